//! The second stage: a model's masks for every object of every slice.
//!
//! A shard is one pass (a strategy, undisturbed or moved, or simulated clicks) of one model over one shard of the build. All
//! passes of a build shard are done together, so that each slice goes through the encoder once. Every worker has sessions of
//! its own that compute on one thread: results cannot depend on how many threads there are.

use std::collections::{BTreeSet, HashSet};

use rayon::prelude::*;
use serde::Serialize;

use super::slices_of::{build_shards, slices_of};
use super::{Error, MEASURES, Progress, Result, chunks, discard_outdated};
use crate::sam::{
    ClickOptions, EmbeddingCache, EncoderClip, EverythingOptions, JitterLevel, Model, OTSU_BOX, PromptRule, Provider,
    Strategy,
};
use crate::store::{
    Dataset, Partition, PredictionRow, Receipt, Shard, ShardKey, ShardState, ShardWriter, Stage, Table, Verify, commit,
    discard_stale,
};

mod pass;
mod selection;
mod workers;

use pass::Pass;
pub use selection::Selection;
use workers::Workers;

/// Slices in memory at a time, for each worker.
const SLICES_PER_WORKER: usize = 4;
/// Version of the baseline's rule: raise it with every change of what it gives.
const OTSU_BOX_VERSION: &str = "1";

/// What predicts.
#[derive(Debug)]
pub enum Predictor {
    /// A SAM model.
    Sam(Box<Model>),
    /// The baseline: Otsu's threshold inside the box. Needs no weights, and takes only the box strategy.
    OtsuBox,
}

impl Predictor {
    /// Name in the `model` column.
    pub fn name(&self) -> &str {
        match self {
            Predictor::Sam(model) => &model.spec().name,
            Predictor::OtsuBox => OTSU_BOX,
        }
    }

    fn digest(&self) -> String {
        match self {
            Predictor::Sam(model) => model.digest(),
            Predictor::OtsuBox => OTSU_BOX_VERSION.into(),
        }
    }
}

/// Options of a prediction. Defaults are the protocol's.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Strategies; a repeated one counts once.
    pub strategies: Vec<Strategy>,
    /// How points are drawn.
    pub rule: PromptRule,
    /// Whether intensities are clipped before the encoder, as the released code does.
    pub clip: EncoderClip,
    /// Levels at which the prompts of S2 to S6 are moved as well (protocol 6); none by default.
    pub jitter: Vec<JitterLevel>,
    /// Seeds of the moves (protocol 6: three).
    pub seeds: Vec<u64>,
    /// Simulated clicks as well (protocol 7); none by default.
    pub clicks: Option<ClickOptions>,
    /// Everything mode.
    pub everything: EverythingOptions,
    /// Keep every candidate, and not only those that are closest to the truth and rated best.
    pub keep_candidates: bool,
    /// Keep embeddings below the dataset, in half precision, and use those that are kept.
    pub keep_embeddings: bool,
    /// What computes.
    pub provider: Provider,
    /// Which masks.
    pub selection: Selection,
}

impl Default for PredictOptions {
    fn default() -> Self {
        PredictOptions {
            strategies: vec![Strategy::OnePoint, Strategy::Box],
            rule: PromptRule::default(),
            clip: EncoderClip::default(),
            jitter: Vec::new(),
            seeds: vec![0, 1, 2],
            clicks: None,
            everything: EverythingOptions::default(),
            keep_candidates: false,
            keep_embeddings: false,
            provider: Provider::default(),
            selection: Selection::default(),
        }
    }
}

/// What a prediction did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PredictReport {
    /// Model.
    pub model: String,
    /// Slices that went through the model now.
    pub slices: u64,
    /// Predictions made now: one for each mask, strategy and candidate.
    pub predictions: u64,
    /// Shards that were done before.
    pub shards_reused: usize,
    /// Shards that were done now.
    pub shards_done: usize,
    /// Seconds the stage took.
    pub seconds: f64,
}

/// What is to be done on one shard of the build.
struct Work<'a> {
    build: &'a Receipt,
    /// The masks that are meant; `None` for all.
    masks: Option<HashSet<String>>,
    slices: u64,
    passes: Vec<(&'a Pass, Shard)>,
}

/// Predicts every object of a dataset, or those of a selection.
///
/// # Errors
/// No dataset or an empty one, a model or runtime that does not work, a selection of nothing.
pub fn predict(
    dataset: &Dataset,
    predictor: &Predictor,
    options: &PredictOptions,
    progress: &Progress,
) -> Result<PredictReport> {
    let started = std::time::Instant::now();
    let nothing = |reason: &str| Error::Nothing { path: dataset.path().to_path_buf(), reason: reason.to_string() };
    let builds = build_shards(dataset)?;
    if builds.is_empty() {
        return Err(nothing("the dataset has no masks to predict; `medcosmos build` makes them"));
    }
    let chosen = options.selection.masks(dataset, &builds)?;
    if chosen.as_ref().is_some_and(|shards| shards.iter().all(Vec::is_empty)) {
        return Err(nothing("no mask is left by the selection"));
    }
    let mut passes = Pass::all(options);
    if matches!(predictor, Predictor::OtsuBox) {
        passes.retain(|p| matches!(p, Pass::Prompted(Strategy::Box) | Pass::Moved(Strategy::Box, ..)));
    }
    if passes.is_empty() {
        return Err(nothing("nothing is asked of the model: name a strategy that it has"));
    }
    let cache = options.keep_embeddings.then(|| EmbeddingCache::new(dataset.embedding_cache()));
    let workers = Workers::new(predictor, options, cache)?;
    dataset.record_options(&format!("{} {}", Stage::Predict, predictor.name()), &key_of(predictor, options))?;
    let mut report = PredictReport { model: predictor.name().to_string(), ..Default::default() };

    let mut expected = Vec::new();
    let mut work: Vec<Work> = Vec::new();
    for (at, build) in builds.iter().enumerate() {
        let masks = chosen.as_ref().map(|shards| &shards[at]);
        if masks.is_some_and(Vec::is_empty) {
            continue;
        }
        let mut open = Vec::new();
        for pass in &passes {
            let shard = shard(predictor, options, build, masks.map(Vec::as_slice), pass)?;
            match dataset.state(&shard, Verify::Quick)? {
                ShardState::Done(_) => report.shards_reused += 1,
                _ => open.push((pass, shard.clone())),
            }
            expected.push(shard);
        }
        if !open.is_empty() {
            let slice_of = |mask: &String| mask.rsplit_once('/').map(|(slice, _)| slice.to_string());
            let slices = match masks {
                Some(masks) => masks.iter().map(slice_of).collect::<BTreeSet<_>>().len() as u64,
                None => build.rows(Table::Slices),
            };
            work.push(Work { build, masks: masks.map(|m| m.iter().cloned().collect()), slices, passes: open });
        }
    }
    progress.begin("predict", "slices", work.iter().map(|w| w.slices).sum());
    for Work { build, masks, passes, .. } in work {
        let (passes, shards): (Vec<&Pass>, Vec<Shard>) = passes.into_iter().unzip();
        let mut writers: Vec<ShardWriter> = shards.iter().map(|shard| dataset.begin(shard)).collect();
        let wanted = |mask: &str| masks.as_ref().is_none_or(|masks| masks.contains(mask));
        for chunk in chunks(slices_of(dataset, build, wanted), SLICES_PER_WORKER * rayon::current_num_threads()) {
            let chunk = chunk?;
            let predicted: Vec<Vec<Vec<PredictionRow>>> = chunk
                .par_iter()
                .map(|slice| {
                    let rows = workers.predict(predictor.name(), slice, &passes, options);
                    progress.advance(1);
                    rows
                })
                .collect::<Result<_>>()?;
            report.slices += chunk.len() as u64;
            for by_pass in predicted {
                for (writer, rows) in writers.iter_mut().zip(by_pass) {
                    report.predictions += rows.len() as u64;
                    rows.into_iter().try_for_each(|row| writer.push(row))?;
                }
            }
        }
        for writer in writers {
            writer.finish()?;
            report.shards_done += 1;
        }
    }
    progress.end();
    expected.extend(other_passes(dataset, predictor, options, &builds, &passes)?);
    discard_stale(dataset, &expected)?;
    discard_outdated(dataset, &[Stage::Predict])?;
    discard_outdated(dataset, MEASURES)?;
    commit(dataset, &expected, Verify::Quick)?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// What decides the predictions of a model, whatever the pass and the masks.
fn key_of(predictor: &Predictor, options: &PredictOptions) -> ShardKey {
    let key = ShardKey::new()
        .with("model", predictor.digest())
        .with("candidates", if options.keep_candidates { "all" } else { "chosen" });
    match predictor {
        Predictor::Sam(_) => key
            .with_json("rule", &options.rule)
            .with_json("clip", &options.clip)
            .with("embeddings", if options.keep_embeddings { "f16" } else { "f32" })
            .with("provider", options.provider.name()),
        Predictor::OtsuBox => key,
    }
}

fn shard(
    predictor: &Predictor,
    options: &PredictOptions,
    build: &Receipt,
    masks: Option<&[String]>,
    pass: &Pass,
) -> Result<Shard> {
    let key = pass.key(key_of(predictor, options)).with("build", build.id.to_string());
    let key = match masks {
        Some(masks) => key.with_digest_of("masks", masks),
        None => key,
    };
    Ok(Shard::new(Stage::Predict, Partition::model(predictor.name(), &build.source)?, key))
}

/// Finished shards of other passes of the same model and options: they stay.
fn other_passes(
    dataset: &Dataset,
    predictor: &Predictor,
    options: &PredictOptions,
    builds: &[Receipt],
    done: &[Pass],
) -> Result<Vec<Shard>> {
    let common = key_of(predictor, options);
    let done: BTreeSet<String> = done.iter().map(Pass::name).collect();
    let stays = |receipt: &Receipt| {
        receipt.stage == Stage::Predict
            && receipt.model.as_deref() == Some(predictor.name())
            && receipt.key.holds(&common)
            && receipt.key.get("pass").is_some_and(|pass| !done.contains(pass))
            && builds.iter().any(|build| receipt.key.get("build") == Some(&build.id.to_string()))
    };
    let shard_of = |receipt: Receipt| -> Result<Shard> {
        let partition = Partition::model(predictor.name(), &receipt.source)?;
        Ok(Shard::new(Stage::Predict, partition, receipt.key))
    };
    let mut found = Vec::new();
    for receipt in dataset.receipts()?.into_iter().filter(stays) {
        let shard = shard_of(receipt)?;
        if matches!(dataset.state(&shard, Verify::Quick)?, ShardState::Done(_)) {
            found.push(shard);
        }
    }
    Ok(found)
}
