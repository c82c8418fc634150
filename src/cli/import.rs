//! `medcosmos import DATASET FROM --model NAME`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome, SOME_FAILED};
use crate::pipeline::{self, IMPORTED};
use crate::store::Dataset;
use crate::text::{at_most, grouped};

/// Options of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A folder holds <mask_id>.png (every value but 0 is the object) or <slice_id>.png (values are the label_value of the
slice's masks). A COCO file names slices as file_name and labels as categories, with run-length segmentations. A Parquet
file has the columns mask_id and counts (COCO's compressed runs), perhaps height, width and predicted_iou.")]
pub(super) struct Arguments {
    /// Dataset made by `build`
    dataset: PathBuf,
    /// Predictions: a folder of PNG, a COCO .json, or a .parquet
    from: PathBuf,
    /// Name of the model in the tables
    #[arg(long)]
    model: String,
    /// Name of the strategy in the tables
    #[arg(long, default_value = IMPORTED)]
    strategy: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let Arguments { dataset, from, model, strategy } = arguments;
    let dataset = Dataset::open(dataset)?;
    let report = pipeline::import(&dataset, from, model, strategy, &global.progress())?;
    if global.json {
        global.print_json(&report)?;
    } else {
        println!("{model}: {} predictions of {} masks", grouped(report.predictions), grouped(report.masks));
        if !report.missing.is_empty() {
            print!(
                "\n{} masks have none, and will not be evaluated:\n{}",
                grouped(report.missing.len() as u64),
                at_most(&report.missing, 10)
            );
        }
    }
    Ok(if report.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}
