//! The effect of other prompts: jittered prompts and simulated clicks.

use std::collections::BTreeSet;

use super::page::{Figure, Section};
use super::plots::{Axis, Line, lines};
use super::results::download;
use super::tables::{HtmlTable, Kind};
use super::{CHOICE, ReportError, count_of};
use crate::analysis::Analysis;
use crate::analysis::clicks::{self, ClickRow};
use crate::analysis::randomness::{self, RandomnessRow};
use crate::metrics::metric_label;
use crate::prompts::strategy_label;

/// What moving the prompts costs.
pub(super) fn randomness(analysis: &Analysis) -> Result<Section, ReportError> {
    let metric = metric_label(&analysis.options.metric);
    let mut section = Section::new("randomness", "Jittered prompts");
    if analysis.randomness.is_empty() {
        let command = "medcosmos predict DATASET --jitter 0-10,10-20,20-30";
        section.missing("No jittered prompts have been evaluated.", command);
        return Ok(section);
    }
    section.text(&format!(
        "Points and box edges are displaced at random by the given number of pixels. The drop is the mean {metric} \
         with the original prompt minus that with the displaced prompt, on the same masks."
    ));
    let models: BTreeSet<&str> = analysis.randomness.iter().map(|row| row.condition.model.as_str()).collect();
    section.figures(models.iter().filter_map(|model| drop_figure(analysis, model)).collect());
    let frame = randomness::to_frame(&analysis.randomness)?;
    section.table(
        &format!("Drop in {metric}, with an interval from resampling patients"),
        &HtmlTable::of_frame(&frame, &DROPS),
    );
    download(analysis, &mut section, "randomness")?;
    Ok(section)
}

const DROPS: [(&str, &str, Kind); 12] = [
    ("model", "Model", Kind::Words),
    ("strategy", "Strategy", Kind::Words),
    ("choice", "Choice", Kind::Words),
    ("low_px", "Displacement from (px)", Kind::Count),
    ("high_px", "to (px)", Kind::Count),
    ("undisturbed_mean", "Still", Kind::Number(3)),
    ("moved_mean", "Moved", Kind::Number(3)),
    ("drop", "Drop", Kind::Signed(3)),
    ("ci_low", "Interval, lower", Kind::Signed(3)),
    ("ci_high", "to", Kind::Signed(3)),
    ("seeds", "Seeds", Kind::Count),
    ("n", "Masks × seeds", Kind::Count),
];

fn drop_figure(analysis: &Analysis, model: &str) -> Option<Figure> {
    let metric = metric_label(&analysis.options.metric);
    let drawn = |row: &&RandomnessRow| row.condition.model == model && row.condition.choice == CHOICE;
    let rows: Vec<&RandomnessRow> = analysis.randomness.iter().filter(drawn).collect();
    let strategies: BTreeSet<&str> = rows.iter().map(|row| row.condition.strategy.as_str()).collect();
    let point = |row: &&&RandomnessRow| Some(((row.low + row.high) / 2.0, row.drop?));
    let line = |strategy: &&str| {
        let here = rows.iter().filter(|row| row.condition.strategy == **strategy);
        Line { name: strategy_label(strategy), points: here.filter_map(|row| point(&row)).collect(), band: Vec::new() }
    };
    let drawn: Vec<Line> = strategies.iter().map(line).filter(|line| !line.points.is_empty()).collect();
    let most = rows.iter().map(|row| row.n).max()?;
    let alt = format!("Line plot: drop in {metric} of {model} by displacement");
    let caption = format!(
        "Drop in {metric} of {model} ({CHOICE}) at the middle of each range of displacements, up to {}, seeds counted \
         separately. Values: randomness.csv below.",
        count_of(most, "mask", "masks")
    );
    let svg = lines(&alt, &Axis::new("displacement (px)"), &Axis::new(&format!("drop in {metric}")), &drawn);
    (!drawn.is_empty()).then(|| Figure::new(svg, &caption))
}

/// Simulated clicks.
pub(super) fn clicks(analysis: &Analysis) -> Result<Section, ReportError> {
    let mut section = Section::new("clicks", "Simulated clicks");
    if analysis.clicks.is_empty() {
        section.missing("No simulated clicks have been evaluated.", "medcosmos predict DATASET --clicks 10");
        return Ok(section);
    }
    section.text(
        "Each click is placed inside the largest error region, as far from its border as possible: positive where the \
         object is missed, negative on background.",
    );
    section.figures(click_figures(analysis));
    section.table("After each click", &HtmlTable::of_frame(&clicks::to_frame(&analysis.clicks)?, &CLICKS));
    download(analysis, &mut section, "clicks")?;
    let needed = clicks::needed_to_frame(&analysis.clicks_needed)?;
    let caption = "Number of clicks (NoC) to reach an IoU; masks that never reach it count with the maximum";
    section.table(caption, &HtmlTable::of_frame(&needed, &NEEDED));
    download(analysis, &mut section, "clicks_needed")?;
    Ok(section)
}

const CLICKS: [(&str, &str, Kind); 9] = [
    ("model", "Model", Kind::Words),
    ("click", "Clicks", Kind::Count),
    ("n", "Masks", Kind::Count),
    ("dice_mean", "Mean DICE", Kind::Number(3)),
    ("ci_low", "Interval, lower", Kind::Number(3)),
    ("ci_high", "to", Kind::Number(3)),
    ("iou_mean", "Mean IoU", Kind::Number(3)),
    ("reached_85", "Fraction at IoU ≥ 0.85", Kind::Number(3)),
    ("reached_90", "Fraction at IoU ≥ 0.90", Kind::Number(3)),
];

const NEEDED: [(&str, &str, Kind); 6] = [
    ("model", "Model", Kind::Words),
    ("iou_percent", "IoU (%)", Kind::Count),
    ("clicks_mean", "Mean clicks", Kind::Number(2)),
    ("n", "Masks", Kind::Count),
    ("failures", "Never reached", Kind::Count),
    ("most", "Maximum clicks", Kind::Count),
];

fn click_figures(analysis: &Analysis) -> Vec<Figure> {
    let models: BTreeSet<&str> = analysis.clicks.iter().map(|row| row.model.as_str()).collect();
    let masks = analysis.clicks.iter().map(|row| row.n).max().unwrap_or(0);
    let of = |model: &str, y: &dyn Fn(&ClickRow) -> Option<f64>, band: bool| {
        let rows: Vec<&ClickRow> =
            analysis.clicks.iter().filter(|row| row.model == model && y(row).is_some()).collect();
        let points = rows.iter().filter_map(|row| Some((f64::from(row.click), y(row)?))).collect();
        let intervals: Option<Vec<(f64, f64)>> =
            rows.iter().map(|row| row.dice_interval.map(|i| (i.low, i.high))).collect();
        Line { name: model.to_string(), points, band: intervals.filter(|_| band).unwrap_or_default() }
    };
    let dice: Vec<Line> = models.iter().map(|model| of(model, &|row| row.dice_mean, true)).collect();
    let mut reached = Vec::new();
    for model in models {
        let named = |name: &str, line: Line| Line { name: format!("{model}, IoU ≥ {name}"), ..line };
        reached.push(named("0.85", of(model, &|row| row.reached_85, false)));
        reached.push(named("0.90", of(model, &|row| row.reached_90, false)));
    }
    let x = Axis { step: Some(1.0), ..Axis::new("clicks") };
    let masks = count_of(masks, "mask", "masks");
    vec![
        Figure::new(
            lines("Line plot: mean DICE by click", &x, &Axis::share("mean DICE"), &dice),
            &format!(
                "Mean DICE by click, {masks}, with an interval from resampling patients. Values: clicks.csv below."
            ),
        ),
        Figure::new(
            lines("Line plot: fraction of masks that reach an IoU", &x, &Axis::share("fraction of masks"), &reached),
            &format!("Fraction of {masks} that have reached an IoU after each click. Values: clicks.csv below."),
        ),
    ]
}
