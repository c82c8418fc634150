//! `medcosmos report DATASET`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome};
use crate::analysis::AnalysisOptions;
use crate::report::{Report, ReportOptions, report};
use crate::store::Dataset;

/// Options of `report`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Dataset, at whatever stage: what it does not have yet is left out
    dataset: PathBuf,
    /// Page to write, one HTML file that needs no other [default: DATASET/report.html]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave out how long the stages took: the same dataset then gives the same bytes
    #[arg(long)]
    no_times: bool,
    /// Count masks of excluded categories too
    #[arg(long)]
    include_excluded: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let analysis = AnalysisOptions { include_excluded: arguments.include_excluded, ..AnalysisOptions::default() };
    let Report { page, computed } = report(&dataset, &ReportOptions { analysis, times: !arguments.no_times })?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.dataset.join("report.html"));
    fs::write(&out, &page).map_err(|e| format!("{}: {e}", out.display()))?;
    if global.json {
        global.print_json(&serde_json::json!({"page": out.display().to_string(), "bytes": page.len()}))?;
    } else if !global.quiet {
        println!("The report is in {}", out.display());
        if computed {
            println!(
                "Its results were computed now; those that `medcosmos analyze` keeps are used where nothing changed since."
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
