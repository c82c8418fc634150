//! Segmentation quality by strategy and model, by object–modality pair, by modality.

use std::collections::BTreeSet;

use super::page::{Figure, Section};
use super::plots::{Axis, boxes};
use super::tables::HtmlTable;
use super::{CHOICE, ReportError, count_of};
use crate::analysis::Analysis;
use crate::analysis::report::mean_and_std;
use crate::analysis::summary::{Summary, SummaryRow};
use crate::measure::Range;
use crate::metrics::{Metric, metric, metric_label};
use crate::prompts::strategy_label;
use crate::text::grouped;

/// The metrics of the main table and its plots: those of the paper.
const METRICS: [&str; 3] = ["dice", "iou", "hd"];

/// The name of a metric with its unit: `HD (px)`.
fn label_with_unit(Metric { measure, .. }: &Metric) -> String {
    match measure.unit {
        "" => measure.label.to_string(),
        unit => format!("{} ({unit})", measure.label),
    }
}

/// DICE, JAC and HD of each strategy and model.
pub(super) fn by_strategy(analysis: &Analysis) -> Result<Section, ReportError> {
    let mut section = Section::new("strategies", "DICE, JAC and HD per strategy and model");
    let Some(summary) = analysis.summaries.iter().find(|s| s.by.is_empty()) else { return Ok(section) };
    section.text(
        "Oracle: the candidate closest to the ground truth, as in the paper. Score: the candidate that the model rates \
         best. Failed: the prediction is empty; DICE and JAC are then 0, and HD has no value.",
    );
    section.figures(METRICS.iter().filter_map(|name| box_figure(summary, metric(name)?)).collect());
    section.table(
        "Mean ± standard deviation over masks; balanced: mean of the means per object–modality pair",
        &main_table(summary),
    );
    download(analysis, &mut section, "summary")?;
    if !analysis.paired.is_empty() {
        section.text("Paired comparisons of strategies and models on the same masks, with tests:");
        download(analysis, &mut section, "paired")?;
    }
    Ok(section)
}

/// Adds the download of a table of the analysis.
pub(super) fn download(analysis: &Analysis, section: &mut Section, name: &str) -> Result<(), ReportError> {
    for (found, frame) in analysis.frames()? {
        if found == name {
            section.download(name, &frame)?;
        }
    }
    Ok(())
}

fn box_figure(summary: &Summary, metric: &Metric) -> Option<Figure> {
    let name = label_with_unit(metric);
    let drawn = |row: &&SummaryRow| row.metric == metric.measure.name && row.condition.choice == CHOICE;
    let rows: Vec<&SummaryRow> = summary.rows.iter().filter(drawn).collect();
    let models: BTreeSet<&str> = rows.iter().map(|row| row.condition.model.as_str()).collect();
    let label = |row: &SummaryRow| match models.len() {
        1 => strategy_label(&row.condition.strategy),
        _ => format!("{} {}", row.condition.model, row.condition.strategy),
    };
    let group = |row: &SummaryRow| models.iter().position(|m| *m == row.condition.model).unwrap_or(0);
    let groups: Vec<_> = rows.iter().map(|row| (label(row), group(row), row.pooled)).collect();
    let most = rows.iter().map(|row| row.masks).max()?;
    let axis = if metric.measure.range == Range::SHARE { Axis::share(&name) } else { Axis::positive(&name) };
    let alt = format!("Box plot: {name} of {} combinations of model and strategy", rows.len());
    let caption = format!(
        "{name} ({CHOICE}) of up to {}: boxes from the first to the third quartile with the median; whiskers to the \
         extremes, at most 1.5 times the box. Values: summary.csv below.",
        count_of(most, "mask", "masks")
    );
    Some(Figure::new(boxes(&alt, &axis, &groups), &caption))
}

fn main_table(summary: &Summary) -> HtmlTable {
    let mut table = HtmlTable::new([
        "Model",
        "Strategy",
        "Choice",
        "#Masks",
        "#Failed",
        "#DICE",
        "#DICE balanced",
        "#JAC",
        "#HD (px)",
    ]);
    let of = |row: &SummaryRow, metric: &str| {
        summary.rows.iter().find(|other| other.condition == row.condition && other.metric == metric).cloned()
    };
    for row in summary.rows.iter().filter(|row| row.metric == METRICS[0]) {
        let cell = |metric: &str| of(row, metric).map_or("–".to_string(), |row| mean_and_std(&row.pooled));
        table.push(vec![
            row.condition.model.clone(),
            strategy_label(&row.condition.strategy),
            row.condition.choice.to_string(),
            grouped(row.masks),
            grouped(row.failures),
            mean_and_std(&row.pooled),
            mean_and_std(&row.balanced),
            cell("iou"),
            cell("hd"),
        ]);
    }
    table
}

/// The metric of each object–modality pair.
pub(super) fn by_target(analysis: &Analysis) -> Result<Section, ReportError> {
    let mut section = Section::new("targets", "Per object–modality pair");
    grouped_tables(analysis, &mut section, "target", "Object–modality pair");
    download(analysis, &mut section, "summary_by_target")?;
    Ok(section)
}

/// The metric of each modality and strategy.
pub(super) fn by_modality(analysis: &Analysis) -> Result<Section, ReportError> {
    let mut section = Section::new("modalities", "Per modality and strategy");
    if let Some(summary) = analysis.summaries.iter().find(|s| s.by == ["modality"]) {
        let models: BTreeSet<&str> = summary.rows.iter().map(|row| row.condition.model.as_str()).collect();
        let figure = |model: &&str| modality_figure(summary, model, &analysis.options.metric);
        section.figures(models.iter().filter_map(figure).collect());
    }
    grouped_tables(analysis, &mut section, "modality", "Modality");
    download(analysis, &mut section, "summary_by_modality")?;
    Ok(section)
}

/// A box for each modality and strategy of a model.
fn modality_figure(summary: &Summary, model: &str, metric: &str) -> Option<Figure> {
    let drawn = |row: &&SummaryRow| {
        row.metric == metric && row.condition.choice == CHOICE && row.condition.model == model && row.pooled.n > 0
    };
    let rows: Vec<&SummaryRow> = summary.rows.iter().filter(drawn).collect();
    let strategies: BTreeSet<&str> = rows.iter().map(|row| row.condition.strategy.as_str()).collect();
    let mut sorted = rows.clone();
    sorted.sort_by(|a, b| (&a.group, &a.condition.strategy).cmp(&(&b.group, &b.condition.strategy)));
    let label = |row: &SummaryRow| {
        let modality = row.group.first().cloned().flatten().unwrap_or_default();
        format!("{modality} {}", row.condition.strategy)
    };
    let group = |row: &SummaryRow| strategies.iter().position(|s| *s == row.condition.strategy).unwrap_or(0);
    let groups: Vec<_> = sorted.iter().map(|row| (label(row), group(row), row.pooled)).collect();
    let masks: u64 = rows
        .iter()
        .filter(|r| Some(&r.condition.strategy) == rows.first().map(|f| &f.condition.strategy))
        .map(|row| row.masks)
        .sum();
    (!groups.is_empty()).then(|| {
        let metric = metric_label(metric);
        let alt = format!("Box plot: {metric} of {model} per modality and strategy");
        let caption = format!(
            "{metric} of {model} ({CHOICE}) per modality and strategy, {}; one colour per strategy. Values: \
             summary_by_modality.csv below.",
            count_of(masks, "mask", "masks")
        );
        Figure::new(boxes(&alt, &Axis::share(metric), &groups), &caption)
    })
}

/// A table for each model: a row for each group, mean and standard deviation of each strategy.
fn grouped_tables(analysis: &Analysis, section: &mut Section, by: &str, heading: &str) {
    let metric = &analysis.options.metric;
    let Some(summary) = analysis.summaries.iter().find(|s| s.by == [by]) else { return };
    let drawn = |row: &&SummaryRow| row.metric == *metric && row.condition.choice == CHOICE;
    let rows: Vec<&SummaryRow> = summary.rows.iter().filter(drawn).collect();
    let models: BTreeSet<&str> = rows.iter().map(|row| row.condition.model.as_str()).collect();
    for model in models {
        let rows: Vec<&SummaryRow> = rows.iter().filter(|row| row.condition.model == model).copied().collect();
        let metric = metric_label(metric);
        let caption = format!("{metric} of {model} ({CHOICE}): mean ± standard deviation over masks");
        section.table(&caption, &group_table(&rows, heading));
    }
}

fn group_table(rows: &[&SummaryRow], heading: &str) -> HtmlTable {
    let groups: BTreeSet<&Option<String>> = rows.iter().filter_map(|row| row.group.first()).collect();
    let strategies: BTreeSet<&str> = rows.iter().map(|row| row.condition.strategy.as_str()).collect();
    let headings = [heading.to_string(), "#Masks".to_string()].into_iter();
    let mut table =
        HtmlTable::new(headings.chain(strategies.iter().map(|strategy| format!("#{}", strategy_label(strategy)))));
    for group in groups {
        let of = |strategy: &str| {
            rows.iter().find(|row| row.group.first() == Some(group) && row.condition.strategy == strategy)
        };
        let masks = rows.iter().filter(|row| row.group.first() == Some(group)).map(|row| row.masks).max();
        let cells = strategies.iter().map(|s| of(s).map_or("–".to_string(), |row| mean_and_std(&row.pooled)));
        let name = group.clone().unwrap_or("–".to_string());
        table.push([name, grouped(masks.unwrap_or(0))].into_iter().chain(cells).collect());
    }
    table
}
