//! The metric against each factor: curves and points, and the partial correlations.

use std::collections::BTreeSet;

use super::examples::ExampleCase;
use super::page::{Figure, Section};
use super::plots::{Axis, Line, lines, scatter};
use super::results::download;
use super::tables::{HtmlTable, Kind};
use super::{CHOICE, ReportError, count_of};
use crate::analysis::Analysis;
use crate::analysis::correlations;
use crate::analysis::curves::CurveRow;
use crate::analysis::options::Curve;
use crate::factors::{Binning, factor_label};
use crate::metrics::metric_label;
use crate::prompts::strategy_label;
use crate::store::Choice;

/// The metric against each factor: means in bins for every strategy, and single masks of one.
pub(super) fn curves(analysis: &Analysis, examples: &[ExampleCase]) -> Result<Section, ReportError> {
    let metric = metric_label(&analysis.options.metric);
    let mut section = Section::new("factors", &format!("{metric} by factor"));
    section.text(
        "All models and strategies share the same bins. Points are single masks of one strategy; the line connects the \
         means of the bins, each at the median of the factor.",
    );
    let models: BTreeSet<&str> = examples.iter().map(|example| example.condition.model.as_str()).collect();
    for model in models {
        section.heading(model);
        let mut figures = Vec::new();
        for curve in &analysis.options.curves {
            figures.extend(bin_figure(analysis, model, curve));
            let example =
                examples.iter().find(|example| example.condition.model == model && !example.points.is_empty());
            if let Some(example) = example {
                figures.extend(point_figure(analysis, example, curve)?);
            }
        }
        section.figures(figures);
    }
    download(analysis, &mut section, "curves")?;
    Ok(section)
}

fn axis_of(curve: &Curve) -> Axis {
    let axis = Axis::new(factor_label(&curve.factor));
    if matches!(curve.bins, Binning::Logarithmic(_)) { axis.logarithmic() } else { axis }
}

/// Means in bins, as points.
fn means<'a>(rows: impl Iterator<Item = &'a CurveRow>) -> Vec<(f64, f64)> {
    rows.filter_map(|row| Some((row.factor_values.median?, row.metric_values.mean?))).collect()
}

fn bin_figure(analysis: &Analysis, model: &str, curve: &Curve) -> Option<Figure> {
    let metric = metric_label(&analysis.options.metric);
    let drawn =
        |row: &&CurveRow| row.condition.model == model && row.condition.choice == CHOICE && row.factor == curve.factor;
    let rows: Vec<&CurveRow> = analysis.curves.iter().filter(drawn).collect();
    let strategies: BTreeSet<&str> = rows.iter().map(|row| row.condition.strategy.as_str()).collect();
    let of = |strategy: &str| -> Vec<&CurveRow> {
        rows.iter().copied().filter(|row| row.condition.strategy == strategy).collect()
    };
    let line = |strategy: &&str| {
        let points = means(of(strategy).into_iter());
        Line { name: strategy_label(strategy), points, band: Vec::new() }
    };
    let drawn: Vec<Line> = strategies.iter().map(line).filter(|line| !line.points.is_empty()).collect();
    let most: u64 = strategies.iter().map(|s| of(s).iter().map(|row| row.metric_values.n as u64).sum()).max()?;
    let x = axis_of(curve);
    let alt = format!("Line plot: mean {metric} of {model} in bins of {}", x.label);
    let caption = format!(
        "Mean {metric} of {model} ({CHOICE}) in bins of {}, {}. Values: curves.csv below.",
        x.label,
        count_of(most, "mask", "masks")
    );
    (!drawn.is_empty()).then(|| Figure::new(lines(&alt, &x, &Axis::share(&format!("mean {metric}")), &drawn), &caption))
}

fn point_figure(analysis: &Analysis, example: &ExampleCase, curve: &Curve) -> Result<Option<Figure>, ReportError> {
    let metric = metric_label(&analysis.options.metric);
    let x = axis_of(curve);
    let positive = |v: f64| v.is_finite() && (v > 0.0 || !x.logarithmic);
    let points = example.points_of(&curve.factor);
    let drawn: Vec<(f64, f64)> = points.into_iter().filter(|(x, y)| positive(*x) && y.is_finite()).collect();
    if drawn.is_empty() {
        return Ok(None);
    }
    let bins = analysis.curves.iter().filter(|row| row.condition == example.condition && row.factor == curve.factor);
    let strategy = strategy_label(&example.condition.strategy);
    let alt = format!("Scatter plot: {metric} by {}, {strategy}", x.label);
    let caption = format!(
        "{metric} of {} with {strategy} ({CHOICE}) by {}: {} of {} shown.",
        example.condition.model,
        x.label,
        count_of(drawn.len() as u64, "mask", "masks"),
        count_of(example.masks as u64, "mask", "masks")
    );
    let svg = scatter(&alt, &x, &Axis::share(metric), &drawn, &means(bins));
    let name = format!("points_{}_{}_{}", example.condition.model, example.condition.strategy, curve.factor);
    Ok(Some(Figure::new(svg, &caption).with_csv(&name, &example.frame(&curve.factor, &analysis.options.metric)?)?))
}

/// The partial correlations, a table for each model.
pub(super) fn correlations(analysis: &Analysis) -> Result<Section, ReportError> {
    let metric = metric_label(&analysis.options.metric);
    let mut section = Section::new("correlations", &format!("Partial correlations of {metric} with the factors"));
    section.text(
        "Spearman correlation with each factor, controlling for the others; two-sided p-value, p-value adjusted for \
         the number of tests, and an interval from resampling patients, because masks of one patient are not \
         independent. Plain: without controlling. The modality is a nominal code: use its group test (Kruskal–Wallis), \
         not its correlation.",
    );
    let keys: BTreeSet<(&str, Choice)> =
        analysis.correlations.iter().map(|row| (row.condition.model.as_str(), row.condition.choice)).collect();
    for (model, choice) in keys {
        let here = |row: &&correlations::CorrelationRow| row.condition.model == model && row.condition.choice == choice;
        let rows: Vec<_> = analysis.correlations.iter().filter(here).cloned().collect();
        let masks = rows.iter().map(|row| row.n).max().unwrap_or(0);
        let caption = format!(
            "Correlation of {metric} of {model} ({choice}) with the factors, {}",
            count_of(masks, "mask", "masks")
        );
        section.table(&caption, &HtmlTable::of_frame(&correlations::to_frame(&rows)?, &COLUMNS));
    }
    download(analysis, &mut section, "correlations")?;
    Ok(section)
}

const COLUMNS: [(&str, &str, Kind); 13] = [
    ("strategy", "Strategy", Kind::Words),
    ("factor", "Factor", Kind::Words),
    ("partial_rho", "Partial ρ", Kind::Signed(3)),
    ("ci_low", "Interval, lower", Kind::Signed(3)),
    ("ci_high", "to", Kind::Signed(3)),
    ("p", "p", Kind::P),
    ("p_adjusted", "p adjusted", Kind::P),
    ("plain_rho", "Plain ρ", Kind::Signed(3)),
    ("plain_p", "p", Kind::P),
    ("kruskal_p", "p (groups)", Kind::P),
    ("n", "Masks", Kind::Count),
    ("patients", "Patients", Kind::Count),
    ("reason", "Reason for missing values", Kind::Words),
];
