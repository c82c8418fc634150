//! `medcosmos report DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::named::local_path;
use super::{Global, Outcome};
use crate::analysis::AnalysisOptions;
use crate::report::{Report, ReportOptions, report};
use crate::store::Dataset;
use crate::whole_file::write_whole;

/// File of a dataset that a report is written to, unless the user names another.
const PAGE: &str = "report.html";

/// Options of `report`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Dataset at any stage; sections without data name the command that is missing
    dataset: PathBuf,
    /// Self-contained HTML file to write [default: DATASET/report.html]
    #[arg(long, short, value_name = "FILE", value_parser = local_path())]
    out: Option<PathBuf>,
    /// Leave out the time per stage, so that the page depends on the dataset only
    #[arg(long)]
    no_times: bool,
    /// Include masks of excluded objects
    #[arg(long)]
    include_excluded: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let analysis = AnalysisOptions { include_excluded: arguments.include_excluded, ..AnalysisOptions::default() };
    let Report { page, computed } = report(&dataset, &ReportOptions { analysis, times: !arguments.no_times })?;
    let out = match &arguments.out {
        Some(out) => {
            write_whole(out, page.as_bytes()).map_err(|e| format!("{}: {e}", out.display()))?;
            out.clone()
        }
        None => {
            dataset.write_result(PAGE, page.as_bytes())?;
            dataset.path().join(PAGE)
        }
    };
    if global.json {
        global.print_json(&serde_json::json!({"page": out.display().to_string(), "bytes": page.len()}))?;
    } else if !global.quiet {
        println!("Report: {}", out.display());
        if computed {
            println!(
                "Its results were computed now. `medcosmos analyze` stores them, and `report` reuses them while \
                 nothing changes."
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
