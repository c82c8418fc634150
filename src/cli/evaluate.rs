//! `medcosmos evaluate DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, Global, Outcome, ReplaceArguments};
use crate::factors::FACTORS;
use crate::metrics::{METRICS, MetricOptions};
use crate::pipeline::{self, Divided, EvaluateOptions, EvaluateReport};
use crate::store::Dataset;
use crate::text::grouped;

/// Options of `evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = measures_help())]
pub(super) struct Arguments {
    /// Dataset with predictions
    dataset: PathBuf,
    /// Tolerance of surface Dice (nsd), in pixels
    #[arg(long, default_value_t = MetricOptions::default().nsd_tolerance_px, value_name = "PIXELS")]
    nsd_tolerance_px: f64,
    /// Tolerance of surface Dice (nsd_mm), in millimetres
    #[arg(long, default_value_t = MetricOptions::default().nsd_tolerance_mm, value_name = "MM")]
    nsd_tolerance_mm: f64,
    #[command(flatten)]
    replace: ReplaceArguments,
}

fn measures_help() -> String {
    let metrics: Vec<&str> = METRICS.iter().map(|metric| metric.measure.name).collect();
    let factors: Vec<&str> = FACTORS.iter().map(|factor| factor.measure.name).collect();
    format!(
        "Metrics: {}.\n\nFactors and their parts: {}.\n\n`medcosmos schema` defines them.",
        metrics.join(", "),
        factors.join(", ")
    )
}

impl Arguments {
    fn options(&self) -> EvaluateOptions {
        let metrics = MetricOptions {
            nsd_tolerance_px: self.nsd_tolerance_px,
            nsd_tolerance_mm: self.nsd_tolerance_mm,
            ..MetricOptions::default()
        };
        EvaluateOptions { metrics, ..EvaluateOptions::default() }
    }

    /// Hands the work of the evaluation to `with`.
    pub(super) fn divided<T>(&self, with: impl FnOnce(&Dataset, &dyn Divided) -> T) -> Result<T, Failure> {
        let dataset = Dataset::open(&self.dataset)?;
        let existing = self.replace.existing();
        Ok(pipeline::divided_evaluation(&dataset, &self.options(), existing, |work| with(&dataset, work))?)
    }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let (existing, open_work) = (arguments.replace.existing(), global.open_work);
    let report = pipeline::evaluate(&dataset, &arguments.options(), existing, open_work, &global.progress())?;
    match global.json {
        true => global.print_json(&report)?,
        false => {
            println!("{}", sentence(&report));
            report.outdated.sentence().iter().for_each(|sentence| println!("{sentence}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The summary of an evaluation, one line.
pub(super) fn sentence(report: &EvaluateReport) -> String {
    let EvaluateReport { factors, comparisons, empty_predictions, shards_reused, .. } = report;
    let mut line = format!("factors of {} masks, metrics of {} predictions", grouped(*factors), grouped(*comparisons));
    if *empty_predictions > 0 {
        line.push_str(&format!(" ({} of them empty)", grouped(*empty_predictions)));
    }
    if *shards_reused > 0 {
        line.push_str(&format!("; {shards_reused} shard(s) reused"));
    }
    line
}
