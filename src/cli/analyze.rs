//! `medcosmos analyze DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome};
use crate::analysis::output::JsonRows;
use crate::analysis::{AnalysisOptions, analyze, report};
use crate::text::LINE_WIDTH;

/// Options of `analyze`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Dataset that was evaluated
    dataset: PathBuf,
    /// Columns to group the summary by, separated by commas; may be given several times [default: modality, object,
    /// target, source, one after the other]
    #[arg(long, value_name = "COLUMNS")]
    by: Vec<String>,
    /// Metric that is correlated, binned and compared
    #[arg(long, default_value = "dice")]
    metric: String,
    /// Count masks of excluded categories too
    #[arg(long)]
    include_excluded: bool,
    /// Correlate the signed intensity difference in place of the absolute one
    #[arg(long)]
    signed_intensity: bool,
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
        println!("\nAll tables are in {}", arguments.dataset.join("analysis").display());
    }
    Ok(ExitCode::SUCCESS)
}
