//! `medcosmos models`: list, show, check and add models.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::named::named;
use super::{Failure, Global, Outcome};
use crate::models::sam::encoder_input::{Layout, Prepared};
use crate::models::sam::install::{Trial, describe, install, installed, try_out};
use crate::models::sam::model::{DecoderSpec, EncoderSpec, MODEL_FILE, ModelSpec};
use crate::models::sam::{DEFAULT_MODEL, Model, Provider, Runtime, SessionOptions, cache_dir};

/// Options of `models`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the installed models
    List,
    /// Show a model: its files, their digests, and how slices are prepared for it
    Show {
        /// Name of an installed model, or the path of a folder with model.toml, such as ./mine
        model: String,
    },
    /// Check a model's files, load it, and segment a test image of a disc
    Check {
        /// Name of an installed model, or the path of a folder with model.toml, such as ./mine
        model: String,
        /// Execution provider: cpu, cuda or tensorrt
        #[arg(long, value_parser = named::<Provider>(), default_value_t)]
        provider: Provider,
    },
    /// Install a model: a folder with model.toml, or an encoder and a decoder in ONNX
    Add(Box<AddArguments>),
}

#[derive(Debug, clap::Args)]
struct AddArguments {
    /// Folder with the model's files
    folder: PathBuf,
    /// Name of the model [default: the name in model.toml]
    #[arg(long)]
    name: Option<String>,
    /// Name of the encoder file in the folder, if there is no model.toml
    #[arg(long, value_name = "FILE", requires = "decoder", requires = "name")]
    encoder: Option<String>,
    /// Name of the decoder file in the folder
    #[arg(long, value_name = "FILE", requires = "encoder")]
    decoder: Option<String>,
    /// Axis order of the encoder's input
    #[arg(long, value_parser = named::<Layout>(), default_value_t)]
    layout: Layout,
    /// Preparation before the encoder: padded (resize and pad), resized (the graph pads), original (the graph resizes)
    #[arg(long, value_parser = named::<Prepared>(), default_value_t)]
    prepared: Prepared,
    /// The encoder's graph normalises its input: pass values from 0 to 255
    #[arg(long)]
    normalises: bool,
    /// Side length of the encoder's input
    #[arg(long, default_value_t = 1024, value_name = "PIXELS")]
    size: usize,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    match &arguments.action {
        Action::List => list(global),
        Action::Show { model } => {
            let model = Model::find(model)?;
            match global.json {
                true => global.print_json(
                    &json!({ "folder": model.folder(), "digest": model.digest(), "model": model.spec() }),
                )?,
                false => {
                    println!("# in {}", model.folder().display());
                    println!("# digest of everything that affects predictions: {}\n", model.digest());
                    print!("{}", toml::to_string(model.spec())?);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Check { model, provider } => {
            let model = Model::find(model)?;
            let session = SessionOptions { provider: *provider, threads: 0, spinning: false };
            let trial = try_out(&Runtime::load()?, &model, session)?;
            report(&model, &trial, global)
        }
        Action::Add(add) => {
            let spec = spec_of(add)?;
            let folder = install(&spec, &add.folder, &cache_dir()?)?;
            // Reopened, so that success is reported only if the installed model can be read.
            let model = Model::open(&folder)?;
            println!("Installed {} in {}", model.spec().name, folder.display());
            println!("Run `medcosmos models check {}` to test it", model.spec().name);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(global: &Global) -> Outcome {
    let cache = cache_dir()?;
    let names = installed(&cache)?;
    match global.json {
        true => global.print_json(&names)?,
        false if names.is_empty() => {
            println!("No models are installed in {}.", cache.display());
            println!("`medcosmos setup` installs {DEFAULT_MODEL}; `medcosmos models add` installs your own.");
        }
        false => names.iter().for_each(|name| println!("{name}")),
    }
    Ok(ExitCode::SUCCESS)
}

fn report(model: &Model, trial: &Trial, global: &Global) -> Outcome {
    let Trial { interface, candidates, predicted_iou, iou, seconds: [encoder, decoder] } = trial;
    let works = *iou > 0.5;
    if global.json {
        global.print_json(&json!({
            "model": model.spec().name, "decoder": interface, "candidates": candidates,
            "predicted_iou": predicted_iou, "iou": iou, "encoder_seconds": encoder, "decoder_seconds": decoder,
        }))?;
    } else {
        println!("{}: the files match {MODEL_FILE}, and both graphs load", model.spec().name);
        println!("decoder: {interface:?}, {candidates} mask(s) per prompt");
        println!("test image (bright disc): IoU {iou:.3}, predicted IoU {predicted_iou:.3}");
        println!("encoder {encoder:.2} s, decoder {decoder:.2} s");
        if !works {
            println!(
                "The disc was not found: check that `layout`, `prepared`, `mean` and `std` match the model's export"
            );
        }
    }
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn spec_of(add: &AddArguments) -> Result<ModelSpec, Failure> {
    let file = add.folder.join(MODEL_FILE);
    let AddArguments { folder, name, encoder, decoder, layout, prepared, normalises, size } = add;
    let spec = match (encoder, decoder, name) {
        (Some(encoder), Some(decoder), Some(name)) => {
            let plain = toml::from_str::<EncoderSpec>(&format!("file = {:?}", plain_name(encoder)?))?;
            let (mean, std) = if *normalises { ([0.0; 3], [1.0; 3]) } else { (plain.mean, plain.std) };
            let encoder = EncoderSpec { layout: *layout, prepared: *prepared, size: *size, mean, std, ..plain };
            let decoder = DecoderSpec { file: plain_name(decoder)?.to_string(), interface: None };
            describe(name, encoder, decoder, folder)?
        }
        _ => {
            let mut spec = Model::open(folder)?.spec().clone();
            if let Some(name) = name {
                spec.name.clone_from(name);
            }
            spec
        }
    };
    // A spec that cannot be read back must not be installed.
    ModelSpec::parse(&toml::to_string(&spec)?).map_err(|reason| format!("{}: {reason}", file.display()))?;
    Ok(spec)
}

/// A file's name without folders.
fn plain_name(file: &str) -> Result<&str, Failure> {
    match Path::new(file).file_name() {
        Some(name) if name == file => Ok(file),
        _ => Err(format!("{file}: expected the name of a file in the model's folder, without a path").into()),
    }
}
