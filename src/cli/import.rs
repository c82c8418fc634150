//! `medcosmos import DATASET FROM --model NAME`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome, SOME_FAILED};
use crate::pipeline::{self, IMPORTED, ImportOptions, LEAST_IOU};
use crate::store::Dataset;
use crate::text::{at_most, grouped};

/// Options of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A folder of PNG holds <mask_id>.png (0 and one other value) or <slice_id>.png: pixels are the label_value of the slice's
masks or, for instances, their numbers. Names may be flat (`_` for `/`), or as --match says. Where a slice has one label
and its picture one value besides 0 (0 and 255), that is the object; any other value that is no label is refused.

A folder of volumes (.nii.gz, .nii, .nrrd, .mha) holds a label map for each case, named by the case: nnU-Net's output. Each
is placed on the grid of its image by both headers, as masks of sources are, and cut as the image was. Values are those of
the source's labels; where nnU-Net's dataset.json lies beside and has the source's names, the names decide.

A COCO file names slices as file_name and labels as categories, with run-length segmentations. A bare list of results (as
for pycocotools' loadRes) is explained by --annotations, or by annotations.json beside it. A Parquet file has the columns
mask_id and counts (COCO's compressed runs), perhaps height, width and predicted_iou.

Instances are matched with those of the truth by overlap and not by number: the pair with the largest IoU first, each in
one pair, none below 0.5; an instance that is missed has an empty prediction. Several predictions of one mask are united;
with --candidates they are candidates, the best rated first.

docs/predictions.md has examples for nnU-Net, SAM, COCO and Parquet.

Example: medcosmos import data results.json --annotations coco/annotations.json --model mask-rcnn")]
pub(super) struct Arguments {
    /// Dataset made by `build`
    dataset: PathBuf,
    /// Predictions: a folder of PNG or of volumes, a COCO .json, or a .parquet
    from: PathBuf,
    /// Name of the model in the tables
    #[arg(long)]
    model: String,
    /// Name of the strategy in the tables
    #[arg(long, default_value = IMPORTED)]
    strategy: String,
    /// Several predictions of one mask are candidates to choose from, and not parts of it
    #[arg(long)]
    candidates: bool,
    /// COCO file that explains the numbers of images and categories in a list of results
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,
    /// How files of a folder are named, with {source}, {case}, {slice}, {mask}: `{case}_pred.nii.gz`
    #[arg(long = "match", value_name = "TEMPLATE")]
    template: Option<String>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let Arguments { dataset, from, model, strategy, candidates, annotations, template } = arguments;
    let dataset = Dataset::open(dataset)?;
    let options = ImportOptions {
        model: model.clone(),
        strategy: strategy.clone(),
        candidates: *candidates,
        annotations: annotations.clone(),
        template: template.clone(),
    };
    let report = pipeline::import(&dataset, from, &options, &global.registry()?, &global.progress())?;
    if global.json {
        global.print_json(&report)?;
    } else {
        println!("{model}: {} predictions of {} masks", grouped(report.predictions), grouped(report.masks));
        for note in &report.notes {
            println!("{note}");
        }
        if report.united > 0 {
            println!(
                "{} masks have several predictions, which are united (`--candidates` takes them as candidates)",
                grouped(report.united)
            );
        }
        if report.missed_instances + report.surplus_instances > 0 {
            println!(
                "instances: {} of the truth are missed (their prediction is empty), {} predicted ones match none (IoU of \
                 {LEAST_IOU} or more)",
                grouped(report.missed_instances),
                grouped(report.surplus_instances)
            );
        }
        if !report.unused.is_empty() {
            print!(
                "\n{} predictions belong to no mask, and are left out:\n{}",
                grouped(report.unused.len() as u64),
                at_most(&report.unused, 10)
            );
        }
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
