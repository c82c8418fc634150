//! Definitions of the terms on the page, and the options of its numbers.

use serde::Serialize;

use super::ReportError;
use super::page::Section;
use crate::analysis::AnalysisOptions;
use crate::factors::FACTORS;
use crate::metrics::METRICS;
use crate::prompts::{CLICKS, CLICKS_DEFINITION, STRATEGIES, strategy_label};
use crate::store::schema::Column;
use crate::store::{Dataset, FactorRow, MetricRow, Row};

/// Columns of `metrics` that are explained besides the metrics themselves.
const OF_METRICS: [&str; 2] = ["empty_prediction", "choice"];

/// The section of definitions and options.
pub(super) fn section(dataset: &Dataset, options: &AnalysisOptions) -> Result<Section, ReportError> {
    let mut section = Section::new("definitions", "Definitions and options");
    section.heading("Prompt strategies");
    section.text("Prompts are made from the true mask. Another model's own way has its own name in the tables.");
    let strategies = STRATEGIES.iter().map(|entry| (strategy_label(entry.name), entry.definition));
    let clicks = (CLICKS.to_string(), CLICKS_DEFINITION);
    section.definitions(strategies.chain([clicks]).map(|(name, meaning)| (name, meaning.to_string())));
    section.heading("Metrics");
    section
        .text("JAC, the Jaccard index, is the column iou. Means and standard deviations are over masks (population).");
    let metrics = METRICS.iter().map(|metric| metric.measure.name);
    section.definitions(terms(MetricRow::columns(), metrics.chain(OF_METRICS)));
    section.heading("Factors");
    section.definitions(terms(FactorRow::columns(), FACTORS.iter().map(|factor| factor.measure.name)));
    section.heading("Options");
    section.text("Of the stages that made the dataset, and of the analysis on this page.");
    section.preformatted("Options of the stages", &json(&dataset.options()?)?);
    section.preformatted("Options of the analysis", &json(options)?);
    Ok(section)
}

fn json(value: &impl Serialize) -> Result<String, ReportError> {
    let damaged = |e: serde_json::Error| ReportError::Damaged { id: "the options".to_string(), reason: e.to_string() };
    serde_json::to_string_pretty(value).map_err(damaged)
}

fn terms(columns: Vec<Column>, wanted: impl Iterator<Item = &'static str>) -> Vec<(String, String)> {
    let term = |name: &str| {
        let column = columns.iter().find(|column| column.name == name)?;
        let unit = if column.unit.is_empty() { String::new() } else { format!(" Unit: {}.", column.unit) };
        Some((column.name.to_string(), format!("{}{unit}", column.meaning)))
    };
    wanted.filter_map(term).collect()
}
