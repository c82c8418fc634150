//! `medcosmos predict DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::named::named;
use super::{Failure, Global, Outcome, ReplaceArguments};
use crate::models::sam::{DEFAULT_MODEL, EncoderClip, Provider};
use crate::models::{self, BUILT_IN, ClickOptions, ModelOptions};
use crate::pipeline::{self, Divided, OpenWork, PredictOptions, PredictReport, Selection};
use crate::prompts::{EverythingOptions, JitterLevel, PromptRule, STRATEGIES, Strategy, strategy_label};
use crate::store::{Choice, Dataset};
use crate::text::grouped;

/// Options of `predict`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Dataset made by `build`
    dataset: PathBuf,
    #[arg(long, default_value = DEFAULT_MODEL, help = model_help())]
    model: String,
    #[arg(long, value_delimiter = ',', default_value = "S2,S5", help = strategies_help())]
    strategies: Vec<Strategy>,
    /// Rule for drawing points: the paper's text, or its released code
    #[arg(long, value_parser = named::<PromptRule>(), default_value_t, value_name = "RULE")]
    prompts: PromptRule,
    /// Intensity clip before the encoder: none (plain SAM), or cosmos (as in the released code)
    #[arg(long, value_parser = named::<EncoderClip>(), default_value_t, value_name = "CLIP")]
    encoder_clip: EncoderClip,
    /// Execution provider: cpu, or cuda or tensorrt if ONNX Runtime was built with them
    #[arg(long, value_parser = named::<Provider>(), default_value_t)]
    provider: Provider,
    /// Store all candidate masks instead of only those that a choice selects
    #[arg(long)]
    keep_candidates: bool,
    /// Store embeddings in the dataset's folder (2 MiB per slice, half precision) and reuse stored ones
    #[arg(long)]
    keep_embeddings: bool,
    #[command(flatten)]
    replace: ReplaceArguments,
    #[command(flatten)]
    selection: SelectionArguments,
    #[command(flatten)]
    randomness: RandomnessArguments,
    #[command(flatten)]
    clicks: ClickArguments,
    #[command(flatten)]
    everything: EverythingArguments,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Selection of masks")]
struct SelectionArguments {
    /// Only masks that match an SQL condition on the columns of the table masks, such as "modality = 'CT'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// At most this many masks per target, drawn at random
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Seed of the random sample
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    sample_seed: u64,
    /// At most this many slices, in order of their ids
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Jittered prompts")]
struct RandomnessArguments {
    /// Also run S2 to S6 with prompts displaced at random by these ranges of pixels (the paper uses 0-10,10-20,20-30)
    #[arg(long, value_delimiter = ',', value_name = "LEVELS")]
    jitter: Vec<JitterLevel>,
    /// Seeds of the displacements
    #[arg(long, value_delimiter = ',', default_value = "0,1,2")]
    seeds: Vec<u64>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Simulated clicks")]
struct ClickArguments {
    /// Also simulate up to this many clicks per object, each in the largest error region
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=99))]
    clicks: Option<u8>,
    /// Candidate that the simulated user continues with: the best-rated, or the closest to the ground truth
    #[arg(long, value_parser = named::<Choice>(), default_value_t = Choice::Score, value_name = "CHOICE")]
    click_choice: Choice,
    /// Do not pass the logits of the previous click to the decoder
    #[arg(long)]
    no_mask_prompt: bool,
}

/// Defaults are those of the original SAM code.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everything mode (S1)")]
struct EverythingArguments {
    /// Grid points per side of the slice (the paper varies this from 8 to 256)
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    grid: u16,
    /// Keep masks with a predicted IoU above this
    #[arg(long, default_value_t = EverythingOptions::default().predicted_iou, value_name = "IOU")]
    min_iou: f32,
    /// Keep masks with at least this stability
    #[arg(long, default_value_t = EverythingOptions::default().stability, value_name = "SHARE")]
    min_stability: f64,
    /// Threshold shift that defines stability
    #[arg(long, default_value_t = EverythingOptions::default().stability_offset, value_name = "LOGIT")]
    stability_offset: f32,
    /// Drop a mask if the IoU of its box with that of a better mask exceeds this
    #[arg(long, default_value_t = EverythingOptions::default().box_iou, value_name = "IOU")]
    nms: f32,
    /// Layers of crops, each crop encoded separately: 1 adds 4 crops, 2 adds 20
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=4))]
    crop_layers: u32,
    /// Overlap of crops, as a fraction of the slice's short side
    #[arg(long, default_value_t = EverythingOptions::default().crop_overlap, value_name = "SHARE")]
    crop_overlap: f64,
    /// Divide the grid points per side by this in each further layer
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    crop_downscale: u16,
    /// Same as --nms, between masks of different crops
    #[arg(long, default_value_t = EverythingOptions::default().crop_box_iou, value_name = "IOU")]
    crop_nms: f32,
}

fn model_help() -> String {
    let built_in: String = BUILT_IN.iter().map(|model| format!("; or {}, {}", model.name, model.about)).collect();
    format!("Model: the name of an installed SAM, or the path of a folder with model.toml, such as ./mine{built_in}")
}

fn strategies_help() -> String {
    let strategies: Vec<String> = STRATEGIES.iter().map(|entry| strategy_label(entry.name)).collect();
    format!("Strategies, separated by commas: {}", strategies.join(", "))
}

impl Arguments {
    /// Name of the model.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Name of the model in the tables.
    pub(super) fn name_of_model(&self) -> Result<String, Failure> {
        Ok(models::open(&self.model, &ModelOptions::default())?.name().to_string())
    }

    fn model_options(&self, dataset: &Dataset) -> ModelOptions {
        ModelOptions {
            clip: self.encoder_clip,
            provider: self.provider,
            embeddings: self.keep_embeddings.then(|| dataset.embedding_cache()),
        }
    }

    /// Hands the work of the prediction to `with`.
    pub(super) fn divided<T>(
        &self,
        shard_seconds: f64,
        with: impl FnOnce(&Dataset, &dyn Divided) -> T,
    ) -> Result<T, Failure> {
        let dataset = Dataset::open(&self.dataset)?;
        let model = models::open(&self.model, &self.model_options(&dataset))?;
        let options = self.options(OpenWork::Run);
        Ok(pipeline::divided_prediction(&dataset, &*model, &options, shard_seconds, |work| with(&dataset, work))?)
    }

    fn options(&self, open_work: OpenWork) -> PredictOptions {
        let Arguments { selection, randomness, clicks, everything, .. } = self;
        PredictOptions {
            strategies: self.strategies.clone(),
            rule: self.prompts,
            jitter: randomness.jitter.clone(),
            seeds: randomness.seeds.clone(),
            clicks: clicks.clicks.map(|n| ClickOptions {
                clicks: usize::from(n),
                choice: clicks.click_choice,
                mask_prompt: !clicks.no_mask_prompt,
            }),
            everything: EverythingOptions {
                grid: usize::from(everything.grid),
                predicted_iou: everything.min_iou,
                stability: everything.min_stability,
                stability_offset: everything.stability_offset,
                box_iou: everything.nms,
                crop_layers: everything.crop_layers,
                crop_overlap: everything.crop_overlap,
                crop_downscale: usize::from(everything.crop_downscale),
                crop_box_iou: everything.crop_nms,
            },
            keep_candidates: self.keep_candidates,
            selection: Selection {
                condition: selection.condition.clone(),
                sample: selection.sample,
                seed: selection.sample_seed,
                limit: selection.limit,
            },
            existing: self.replace.existing(),
            open_work,
        }
    }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let model = models::open(&arguments.model, &arguments.model_options(&dataset))?;
    let report = pipeline::predict(&dataset, &*model, &arguments.options(global.open_work), &global.progress())?;
    match global.json {
        true => global.print_json(&report)?,
        false => {
            println!("{}", sentence(&report));
            report.outdated.sentence().iter().for_each(|sentence| println!("{sentence}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The summary of a prediction run, one line.
pub(super) fn sentence(report: &PredictReport) -> String {
    let PredictReport { model, slices, masks, masks_reused, predictions, seconds, .. } = report;
    let mut line = format!(
        "{model}: {} predictions of {} masks on {} slices",
        grouped(*predictions),
        grouped(*masks),
        grouped(*slices)
    );
    if *slices > 0 {
        line.push_str(&format!(" in {seconds:.1} s ({:.2} slices/s)", *slices as f64 / seconds.max(1e-9)));
    }
    if *masks_reused > 0 {
        line.push_str(&format!("; {} masks had been predicted before", grouped(*masks_reused)));
    }
    line
}
