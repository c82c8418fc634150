//! What `predict` costs beyond ONNX Runtime: the time of S2 to S6 on the authors' released slices, over the time of the
//! same encoder and decoder runs alone, one thread each, in the same process.
//!
//! `cargo bench --bench sam_overhead` needs the released slices and the model in `../shared` (or the folder that
//! `MEDCOSMOS_SAMPLES` names, and `models` beside it), and ONNX Runtime.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use medcosmos::mask::Mask;
use medcosmos::models::ModelOptions;
use medcosmos::models::sam::encoder_input::{EncoderClip, encoder_input};
use medcosmos::models::sam::{Model, Runtime, Sam, SessionOptions};
use medcosmos::pipeline::{BuildOptions, PredictOptions, Progress, build, predict};
use medcosmos::prompts::{Prompt, PromptRule, Strategy};
use medcosmos::slices::SlicePixels;
use medcosmos::spec::Registry;
use medcosmos::store::{Dataset, MaskTarget, SliceImage};
use ort::session::Session;
use ort::value::Tensor;

/// The strategies that have a prompt, and the tokens of one prompt of each: points, padding where there is no box,
/// corners of the box.
fn strategies() -> Vec<(Strategy, usize)> {
    let object = Mask::from_predicate(100, 100, |i| (30..60).contains(&(i % 100)) && (30..60).contains(&(i / 100)));
    let tokens = |strategy: &Strategy| {
        let prompt = Prompt::of(*strategy, PromptRule::default(), &object)?;
        Some((*strategy, prompt.points.len() + if prompt.bounds.is_some() { 2 } else { 1 }))
    };
    Strategy::ALL.iter().filter_map(tokens).collect()
}

fn main() {
    let samples = std::env::var_os("MEDCOSMOS_SAMPLES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples"), PathBuf::from);
    let (raw, models) = (samples.join("cosmos"), samples.join("../models"));
    let runtime = match Runtime::load() {
        Ok(runtime) if raw.is_dir() && models.is_dir() => runtime,
        Ok(_) => return println!("not measured: {} or {} is not there", raw.display(), models.display()),
        Err(error) => return println!("not measured: {error}"),
    };
    println!("ONNX Runtime: {}", runtime.library().display());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let registry = Registry::built_in().expect("the built-in specs");
    build(&raw, folder.path(), &registry, &BuildOptions::default(), &Progress::new(true)).expect("a dataset");
    let dataset = Dataset::open(folder.path()).expect("the dataset");
    let model = Model::open(&models).expect("the model");

    let bare = bare(&runtime, &dataset, &model);
    let strategies = strategies().into_iter().map(|(strategy, _)| strategy).collect();
    let options = PredictOptions { strategies, ..PredictOptions::default() };
    let started = Instant::now();
    let predictor = Sam::new(model, ModelOptions::default());
    let report = pool.install(|| predict(&dataset, &predictor, &options, &Progress::new(true))).expect("predictions");
    let whole = started.elapsed();
    println!("slices {}, predictions kept {}", report.slices, report.predictions);
    println!("ONNX Runtime alone: {:.2} s", bare.as_secs_f64());
    println!(
        "predict:            {:.2} s, loading the model, pictures, masks and tables included",
        whole.as_secs_f64()
    );
    println!("ratio:              {:.3}", whole.as_secs_f64() / bare.as_secs_f64());
}

/// The time that ONNX Runtime takes for the same runs: prompts of other places cost the same.
fn bare(runtime: &Runtime, dataset: &Dataset, model: &Model) -> Duration {
    let session = |file: &str| -> Session {
        let mut builder = runtime.session(SessionOptions::default()).expect("a session builder");
        builder.commit_from_file(model.folder().join(file)).expect("a session")
    };
    let mut encoder = session(&model.spec().encoder.file);
    let mut decoder = session(&model.spec().decoder.file);
    let mut masks: BTreeMap<String, usize> = BTreeMap::new();
    for mask in dataset.rows::<MaskTarget>().expect("masks") {
        *masks.entry(mask.expect("a mask").slice_id).or_default() += 1;
    }
    let mut time = Duration::ZERO;
    for slice in dataset.rows::<SliceImage>().expect("slices") {
        let slice = slice.expect("a slice");
        let picture = medcosmos::formats::png::read(&slice.image.bytes).expect("a picture");
        let pixels = SlicePixels::try_from(&picture).expect("a slice");
        let (input, [rows, columns]) = encoder_input(&pixels, EncoderClip::None, &model.spec().encoder.input_format());
        let input = Tensor::from_array(([1, 3, rows, columns], input)).expect("a tensor");
        let started = Instant::now();
        let outputs = encoder.run(ort::inputs![input]).expect("an embedding");
        time += started.elapsed();
        let (_, values) = outputs[0].try_extract_tensor::<f32>().expect("an embedding");
        let n = masks[&slice.slice_id];
        for (_, tokens) in strategies() {
            let coordinates = (0..n * tokens * 2).map(|i| (i * 37 % 900) as f32).collect::<Vec<_>>();
            let inputs = ort::inputs![
                "image_embeddings" => Tensor::from_array(([1, 256, 64, 64], values.to_vec())).expect("a tensor"),
                "point_coords" => Tensor::from_array(([n, tokens, 2], coordinates)).expect("a tensor"),
                "point_labels" => Tensor::from_array(([n, tokens], vec![1.0f32; n * tokens])).expect("a tensor"),
                "mask_input" => Tensor::from_array(([1, 1, 256, 256], vec![0.0f32; 65536])).expect("a tensor"),
                "has_mask_input" => Tensor::from_array(([1], vec![0.0f32])).expect("a tensor"),
            ];
            let started = Instant::now();
            decoder.run(inputs).expect("masks");
            time += started.elapsed();
        }
    }
    time
}
