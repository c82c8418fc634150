//! `medcosmos analyze DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome};
use crate::analysis::output::JsonRows;
use crate::analysis::{AnalysisOptions, analyze, report};
use crate::factors::default_factors;
use crate::metrics::METRICS;
use crate::text::LINE_WIDTH;

/// Options of `analyze`.
#[derive(Debug, clap::Args)]
#[command(after_help = factors_help())]
pub(super) struct Arguments {
    /// Evaluated dataset
    dataset: PathBuf,
    /// Columns to group a summary by, separated by commas; may be repeated [default: one summary each by modality,
    /// object, target and source]
    #[arg(long, value_name = "COLUMNS")]
    by: Vec<String>,
    #[arg(long, default_value = "dice", help = metric_help())]
    metric: String,
    /// Include masks of excluded objects
    #[arg(long)]
    include_excluded: bool,
    /// Correlate the signed instead of the absolute intensity difference
    #[arg(long)]
    signed_intensity: bool,
}

fn metric_help() -> String {
    let metrics: Vec<&str> = METRICS.iter().map(|metric| metric.measure.name).collect();
    format!("Metric that is correlated, binned and compared: {}", metrics.join(", "))
}

fn factors_help() -> String {
    let factors: Vec<&str> = default_factors().map(|factor| factor.measure.name).collect();
    format!("Factors that the metric is correlated with: {}.", factors.join(", "))
}

/// Tables by name, in their order.
struct Tables<'a>(Vec<(&'a str, JsonRows<'a>)>);

impl serde::Serialize for Tables<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let mut options = AnalysisOptions {
        metric: arguments.metric.clone(),
        include_excluded: arguments.include_excluded,
        ..AnalysisOptions::default()
    };
    if !arguments.by.is_empty() {
        options.by =
            arguments.by.iter().map(|columns| columns.split(',').map(|c| c.trim().to_string()).collect()).collect();
    }
    if arguments.signed_intensity {
        for factor in options.factors.iter_mut().filter(|f| *f == "intensity_difference_abs") {
            *factor = "intensity_difference".into();
        }
    }
    let analysis = analyze(&arguments.dataset, &options)?;
    if global.json {
        // One object: the tables by the names of their files, each a list of rows.
        let frames = analysis.frames()?;
        let tables = Tables(frames.iter().map(|(name, frame)| (name.as_str(), JsonRows(frame))).collect());
        println!("{}", serde_json::to_string(&tables)?);
    } else if !global.quiet {
        print!("{}", report::analysis_to_text(&analysis, LINE_WIDTH));
        println!("\nAll tables are in {}", arguments.dataset.join("analysis").join(options.folder()).display());
    }
    Ok(ExitCode::SUCCESS)
}
