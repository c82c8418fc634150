//! `medcosmos predict DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, Global, Outcome};
use crate::models::sam::{DEFAULT_MODEL, EncoderClip, EverythingOptions, Model, Provider};
use crate::models::{ClickChoice, ClickOptions, OTSU_BOX};
use crate::pipeline::{self, PredictOptions, PredictReport, Predictor, Selection};
use crate::prompts::{JitterLevel, PromptRule, STRATEGIES, Strategy, strategy_label};
use crate::store::Dataset;
use crate::text::grouped;

/// Options of `predict`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Dataset made by `build`
    dataset: PathBuf,
    /// SAM model: an installed name or a folder with model.toml; or otsu-box, the baseline without weights
    #[arg(long, default_value = DEFAULT_MODEL)]
    model: String,
    #[arg(long, value_delimiter = ',', default_value = "S2,S5", help = strategies_help())]
    strategies: Vec<Strategy>,
    /// How points are drawn: as the paper's text says, or as its released code does
    #[arg(long, value_parser = parse_rule, default_value = "paper", value_name = "paper|code")]
    prompts: PromptRule,
    /// Intensities before the encoder: none (plain SAM), or cosmos (clipped as the released code does)
    #[arg(long, value_parser = parse_clip, default_value = "none", value_name = "none|cosmos")]
    encoder_clip: EncoderClip,
    /// What computes: cpu, or cuda or tensorrt where the ONNX Runtime that is loaded has them
    #[arg(long, default_value_t)]
    provider: Provider,
    /// Keep every candidate mask, not only the closest to the truth and the best rated
    #[arg(long)]
    keep_candidates: bool,
    /// Keep embeddings in the dataset's folder (2 MiB a slice, half precision) and use those that are kept
    #[arg(long)]
    keep_embeddings: bool,
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
#[command(next_help_heading = "Which masks")]
struct SelectionArguments {
    /// Only masks for which this is true, in SQL over the columns of the table masks: "modality = 'CT'"
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// At most this many masks of each target, drawn at random
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Seed of the sample
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    sample_seed: u64,
    /// At most this many slices, the first by their ids
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Moved prompts")]
struct RandomnessArguments {
    /// Move the prompts of S2 to S6 at random as well, by so many pixels; the paper: 0-10,10-20,20-30
    #[arg(long, value_delimiter = ',', value_parser = parse_level, value_name = "LEVELS")]
    jitter: Vec<JitterLevel>,
    /// Seeds of the moves
    #[arg(long, value_delimiter = ',', default_value = "0,1,2")]
    seeds: Vec<u64>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Simulated clicks")]
struct ClickArguments {
    /// Simulate this many clicks on each object as well; the next one goes to the largest error
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=99))]
    clicks: Option<u8>,
    /// The mask that the simulated user goes on with: the best rated, or the closest to the truth
    #[arg(long, default_value = "score", value_parser = parse_choice, value_name = "score|oracle")]
    click_choice: ClickChoice,
    /// Do not give the logits of the last step to the decoder
    #[arg(long)]
    no_mask_prompt: bool,
}

/// Defaults are those of the original code.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everything (S1)")]
struct EverythingArguments {
    /// Points along each side of the slice; the paper varies it from 8 to 256
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    grid: u16,
    /// A mask's predicted IoU must be greater
    #[arg(long, default_value_t = EverythingOptions::default().predicted_iou, value_name = "IOU")]
    min_iou: f32,
    /// A mask's stability must be at least this
    #[arg(long, default_value_t = EverythingOptions::default().stability, value_name = "SHARE")]
    min_stability: f64,
    /// Shift of the threshold in the measure of stability
    #[arg(long, default_value_t = EverythingOptions::default().stability_offset, value_name = "LOGIT")]
    stability_offset: f32,
    /// A mask is dropped if its box overlaps that of a better one by a greater IoU
    #[arg(long, default_value_t = EverythingOptions::default().box_iou, value_name = "IOU")]
    nms: f32,
    /// Layers of crops, each encoded by itself: 1 adds 4 crops, 2 adds 20
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=4))]
    crop_layers: u32,
    /// Overlap of crops, as a share of the slice's short side
    #[arg(long, default_value_t = EverythingOptions::default().crop_overlap, value_name = "SHARE")]
    crop_overlap: f64,
    /// Points along each side are divided by this in each further layer
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    crop_downscale: u16,
    /// As --nms, between masks of different crops
    #[arg(long, default_value_t = EverythingOptions::default().crop_box_iou, value_name = "IOU")]
    crop_nms: f32,
}

fn strategies_help() -> String {
    let strategies: Vec<String> = STRATEGIES.iter().map(|entry| strategy_label(entry.name)).collect();
    format!("Strategies, separated by commas: {}", strategies.join(", "))
}

fn parse_rule(text: &str) -> Result<PromptRule, String> {
    match text {
        "paper" => Ok(PromptRule::Paper),
        "code" => Ok(PromptRule::Code),
        _ => Err("expected paper or code".into()),
    }
}

fn parse_clip(text: &str) -> Result<EncoderClip, String> {
    match text {
        "none" => Ok(EncoderClip::None),
        "cosmos" => Ok(EncoderClip::Cosmos),
        _ => Err("expected none or cosmos".into()),
    }
}

fn parse_choice(text: &str) -> Result<ClickChoice, String> {
    match text {
        "score" => Ok(ClickChoice::Score),
        "oracle" => Ok(ClickChoice::Oracle),
        _ => Err("expected score or oracle".into()),
    }
}

fn parse_level(text: &str) -> Result<JitterLevel, String> {
    let number = |s: &str| s.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    let level = text.split_once('-').and_then(|(low, high)| Some((number(low)?, number(high)?)));
    match level {
        Some((low, high)) if low < high => Ok(JitterLevel { low, high }),
        _ => Err("expected a range of pixels such as 10-20".into()),
    }
}

/// The predictor of a name.
pub(super) fn predictor(name: &str) -> Result<Predictor, Failure> {
    match name {
        OTSU_BOX => Ok(Predictor::OtsuBox),
        _ => Ok(Predictor::Sam(Box::new(Model::find(name)?))),
    }
}

impl Arguments {
    /// Name of the model.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    fn options(&self) -> PredictOptions {
        let Arguments { selection, randomness, clicks, everything, .. } = self;
        let strategies = match self.model.as_str() {
            OTSU_BOX => vec![Strategy::Box],
            _ => self.strategies.clone(),
        };
        PredictOptions {
            strategies,
            rule: self.prompts,
            clip: self.encoder_clip,
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
            keep_embeddings: self.keep_embeddings,
            provider: self.provider,
            selection: Selection {
                condition: selection.condition.clone(),
                sample: selection.sample,
                seed: selection.sample_seed,
                limit: selection.limit,
            },
        }
    }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let predictor = predictor(&arguments.model)?;
    let report = pipeline::predict(&dataset, &predictor, &arguments.options(), &global.progress())?;
    match global.json {
        true => global.print_json(&report)?,
        false => println!("{}", sentence(&report)),
    }
    Ok(ExitCode::SUCCESS)
}

/// What a prediction did, in a sentence.
pub(super) fn sentence(report: &PredictReport) -> String {
    let PredictReport { model, slices, predictions, shards_reused, seconds, .. } = report;
    let mut line = format!("{model}: {} predictions on {} slices", grouped(*predictions), grouped(*slices));
    if *slices > 0 {
        line.push_str(&format!(" in {seconds:.1} s ({:.2} slices a second)", *slices as f64 / seconds.max(1e-9)));
    }
    if *shards_reused > 0 {
        line.push_str(&format!("; {shards_reused} shard(s) were done before"));
    }
    line
}
