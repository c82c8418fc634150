//! `medcosmos import DATASET FROM --model NAME`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::named::local_path;
use super::{Global, Outcome, ReplaceArguments, SOME_FAILED};
use crate::pipeline::{self, IMPORTED, ImportOptions, LEAST_IOU};
use crate::store::Dataset;
use crate::text::{at_most, grouped};

/// Options of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
PNG folder: <mask_id>.png (0 and one other value), or <slice_id>.png with the label_value of each
mask or, for instances, their numbers. `/` in an id may be a folder or `_`; --match sets other
names. If a slice has one label and its file one value besides 0 (such as 255), that value is the
object; any other value that is not a label is refused.

Volume folder (.nii.gz, .nii, .nrrd, .mha): one label map per case, named after it, as nnU-Net
writes them. Each is placed on the grid of its image by both headers and cut as the image was.
Values are those of the source's labels; if nnU-Net's dataset.json is in the folder and uses the
source's label names, the names decide.

COCO file: file_name identifies slices, categories identify labels, segmentations are run-length
encoded. A bare list of results (as for pycocotools' loadRes) needs --annotations, or
annotations.json in the same folder.

Parquet file: columns mask_id and counts (COCO's compressed run lengths), optionally height, width
and predicted_iou.

Instances are matched to ground truth instances by overlap, not by number: the pair with the
highest IoU first, each instance at most once, none below IoU 0.5; missed instances get an empty
prediction. Several predictions of one mask are merged; with --candidates they are candidates, the
best-rated first.

docs/predictions.md has examples for nnU-Net, SAM, COCO and Parquet.

Example:
  medcosmos import data results.json --annotations coco/annotations.json --model mask-rcnn")]
pub(super) struct Arguments {
    /// Dataset made by `build`
    dataset: PathBuf,
    /// Predictions: a folder of PNG files or volumes, a COCO .json file, or a .parquet file
    #[arg(value_parser = local_path())]
    from: PathBuf,
    /// Model name in the tables
    #[arg(long)]
    model: String,
    /// Strategy name in the tables
    #[arg(long, default_value = IMPORTED)]
    strategy: String,
    /// Treat several predictions of one mask as candidates instead of merging them
    #[arg(long)]
    candidates: bool,
    /// COCO file that defines the image and category ids of a list of results
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// Template of file names, with {source}, {case}, {slice}, {mask}, such as `{case}_pred.nii.gz`
    #[arg(long = "match", value_name = "TEMPLATE")]
    template: Option<String>,
    #[command(flatten)]
    replace: ReplaceArguments,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let Arguments { dataset, from, model, strategy, candidates, annotations, template, replace } = arguments;
    let dataset = Dataset::open(dataset)?;
    let options = ImportOptions {
        model: model.clone(),
        strategy: strategy.clone(),
        candidates: *candidates,
        annotations: annotations.clone(),
        template: template.clone(),
        existing: replace.existing(),
    };
    let report = pipeline::import(&dataset, from, &options, &global.registry()?, &global.progress())?;
    if global.json {
        global.print_json(&report)?;
    } else {
        println!("{model}: {} predictions for {} masks", grouped(report.predictions), grouped(report.masks));
        for (masks, what) in [
            (report.unchanged, "had the same predictions before"),
            (report.replaced, "had other predictions, which are replaced"),
            (report.kept, "keep predictions of earlier imports"),
        ] {
            if masks > 0 {
                println!("{} masks {what}", grouped(masks));
            }
        }
        for note in report.outdated.sentence().iter().chain(&report.notes) {
            println!("{note}");
        }
        if report.united > 0 {
            println!(
                "{} masks have several predictions, which are merged (`--candidates` keeps them separate)",
                grouped(report.united)
            );
        }
        if report.missed_instances + report.surplus_instances > 0 {
            println!(
                "instances: {} missed (their prediction is empty), {} predicted without a match (IoU of {LEAST_IOU} or \
                 more)",
                grouped(report.missed_instances),
                grouped(report.surplus_instances)
            );
        }
        if !report.unused.is_empty() {
            print!(
                "\n{} predictions match no mask and are ignored:\n{}",
                grouped(report.unused.len() as u64),
                at_most(&report.unused, 10)
            );
        }
        if !report.missing.is_empty() {
            print!(
                "\n{} masks have no prediction and will not be evaluated:\n{}",
                grouped(report.missing.len() as u64),
                at_most(&report.missing, 10)
            );
        }
    }
    Ok(if report.missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SOME_FAILED) })
}
