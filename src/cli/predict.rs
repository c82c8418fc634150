//! `medcosmos predict DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Failure, Global, Outcome};
use crate::pipeline::{self, PredictOptions, PredictReport, Predictor};
use crate::sam::{DEFAULT_MODEL, EncoderClip, Model, PromptRule, Strategy};
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
    /// Strategies, separated by commas: S2 one point, S3 five points, S4 five positive and five negative points, S5 one
    /// box, S6 box and point
    #[arg(long, value_delimiter = ',', default_value = "S2,S5")]
    strategies: Vec<Strategy>,
    /// How points are drawn: as the paper's text says, or as its released code does
    #[arg(long, value_parser = parse_rule, default_value = "paper")]
    prompts: PromptRule,
    /// Intensities before the encoder: none (plain SAM), or cosmos (clipped as the released code does)
    #[arg(long, value_parser = parse_clip, default_value = "none")]
    encoder_clip: EncoderClip,
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

/// The predictor of a name.
pub(super) fn predictor(name: &str) -> Result<Predictor, Failure> {
    match name {
        "otsu-box" => Ok(Predictor::OtsuBox),
        _ => Ok(Predictor::Sam(Box::new(Model::find(name)?))),
    }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let mut strategies = arguments.strategies.clone();
    if arguments.model == "otsu-box" {
        strategies = vec![Strategy::Box];
    }
    if strategies.contains(&Strategy::Everything) {
        return Err(
            "S1 (everything) has no prompt for each mask and is not run by `predict`: choose among S2 to S6".into()
        );
    }
    let predictor = predictor(&arguments.model)?;
    let options = PredictOptions { strategies, rule: arguments.prompts, clip: arguments.encoder_clip };
    let report = pipeline::predict(&dataset, &predictor, &options, &global.progress())?;
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
