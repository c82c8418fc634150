//! The second stage: a model's masks for every object of every slice.
//!
//! A shard is one strategy of one model on one shard of the build. All strategies of a build shard are done together,
//! so that each slice goes through the encoder once. Every worker has sessions of its own that compute on one thread:
//! results cannot depend on how many threads there are.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rayon::prelude::*;
use serde::Serialize;

use super::slices_of::{DecodedSlice, build_shards, slices_of};
use super::{Error, MEASURES, Progress, Result, chunks, discard_outdated};
use crate::sam::{
    Candidate, Decoder, Encoder, EncoderClip, Model, Output, Prompt, PromptRule, Runtime, SamError, SessionOptions,
    SlicePixels, Strategy, otsu_box,
};
use crate::store::{
    Dataset, Partition, PredictionRow, Receipt, Rle, Shard, ShardKey, ShardState, ShardWriter, Verify, commit,
    discard_stale,
};

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
            Predictor::OtsuBox => "otsu-box",
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
    /// Strategies, without repeats.
    pub strategies: Vec<Strategy>,
    /// How points are drawn.
    pub rule: PromptRule,
    /// Whether intensities are clipped before the encoder, as the released code does.
    pub clip: EncoderClip,
}

impl Default for PredictOptions {
    fn default() -> Self {
        let strategies = vec![Strategy::OnePoint, Strategy::Box];
        PredictOptions { strategies, rule: PromptRule::default(), clip: EncoderClip::default() }
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

/// Predicts every object of a dataset.
///
/// # Errors
/// No dataset or an empty one, a model or runtime that does not work, a strategy that the predictor does not have.
pub fn predict(
    dataset: &Dataset,
    predictor: &Predictor,
    options: &PredictOptions,
    progress: &Progress,
) -> Result<PredictReport> {
    let started = std::time::Instant::now();
    let builds = build_shards(dataset)?;
    if builds.is_empty() {
        let reason = "the dataset has no masks to predict; `medcosmos build` makes them".to_string();
        return Err(Error::Nothing { path: dataset.path().to_path_buf(), reason });
    }
    let workers = Workers::new(predictor)?;
    let strategies = strategies_of(predictor, options);
    dataset.record_options(&format!("predict {}", predictor.name()), &key_of(predictor, options, None))?;
    let mut report = PredictReport { model: predictor.name().to_string(), ..Default::default() };

    let mut expected = Vec::new();
    let mut work: Vec<(&Receipt, Vec<(Strategy, Shard)>)> = Vec::new();
    for build in &builds {
        let mut open = Vec::new();
        for &strategy in &strategies {
            let shard = shard(predictor, options, build, strategy)?;
            match dataset.state(&shard, Verify::Quick)? {
                ShardState::Done(_) => report.shards_reused += 1,
                _ => open.push((strategy, shard.clone())),
            }
            expected.push(shard);
        }
        if !open.is_empty() {
            work.push((build, open));
        }
    }
    let slices = work.iter().map(|(build, _)| build.files["slices"].rows).sum();
    progress.begin("predict", "slices", slices);
    for (build, open) in &work {
        let mut writers: Vec<(Strategy, ShardWriter)> =
            open.iter().map(|(s, shard)| (*s, dataset.begin(shard))).collect();
        let strategies: Vec<Strategy> = open.iter().map(|(s, _)| *s).collect();
        for chunk in chunks(slices_of(dataset, build), SLICES_PER_WORKER * rayon::current_num_threads()) {
            let chunk = chunk?;
            let predicted: Vec<Vec<Vec<PredictionRow>>> = chunk
                .par_iter()
                .map(|slice| {
                    let rows = workers.predict(predictor, slice, &strategies, options);
                    progress.advance(1);
                    rows
                })
                .collect::<Result<_>>()?;
            report.slices += chunk.len() as u64;
            for by_strategy in predicted {
                for ((_, writer), rows) in writers.iter_mut().zip(by_strategy) {
                    report.predictions += rows.len() as u64;
                    rows.into_iter().try_for_each(|row| writer.push(row))?;
                }
            }
        }
        for (_, writer) in writers {
            writer.finish()?;
            report.shards_done += 1;
        }
    }
    progress.end();
    expected.extend(other_strategies(dataset, predictor, options, &builds, &strategies)?);
    discard_stale(dataset, &expected)?;
    discard_outdated(dataset, &["predict"])?;
    discard_outdated(dataset, MEASURES)?;
    commit(dataset, &expected, Verify::Quick)?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

fn strategies_of(predictor: &Predictor, options: &PredictOptions) -> Vec<Strategy> {
    let wanted: BTreeSet<&str> = options.strategies.iter().map(|s| s.name()).collect();
    let all = match predictor {
        Predictor::Sam(_) => &Strategy::ALL[..],
        Predictor::OtsuBox => &[Strategy::Box],
    };
    all.iter().copied().filter(|s| wanted.contains(s.name())).collect()
}

/// What decides the predictions of a model; with the shard of the build, what decides a shard.
fn key_of(predictor: &Predictor, options: &PredictOptions, build: Option<&Receipt>) -> ShardKey {
    let key = ShardKey::new().with("model", predictor.digest());
    let key = match predictor {
        Predictor::Sam(_) => {
            key.with("rule", format!("{:?}", options.rule)).with("clip", format!("{:?}", options.clip))
        }
        Predictor::OtsuBox => key,
    };
    match build {
        Some(build) => key.with("build", build.id.to_string()),
        None => key,
    }
}

fn shard(predictor: &Predictor, options: &PredictOptions, build: &Receipt, strategy: Strategy) -> Result<Shard> {
    let key = key_of(predictor, options, Some(build)).with("strategy", strategy.name());
    Ok(Shard::new("predict", Partition::model(predictor.name(), &build.source)?, key)?)
}

/// Finished shards of other strategies of the same model and options: they stay.
fn other_strategies(
    dataset: &Dataset,
    predictor: &Predictor,
    options: &PredictOptions,
    builds: &[Receipt],
    done: &[Strategy],
) -> Result<Vec<Shard>> {
    let mut found = Vec::new();
    for build in builds {
        for strategy in Strategy::ALL.into_iter().filter(|s| !done.contains(s)) {
            let shard = shard(predictor, options, build, strategy)?;
            if matches!(dataset.state(&shard, Verify::Quick)?, ShardState::Done(_)) {
                found.push(shard);
            }
        }
    }
    Ok(found)
}

/// Sessions that wait for work.
struct Workers {
    runtime: Option<Runtime>,
    idle: Mutex<Vec<(Encoder, Decoder)>>,
}

impl Workers {
    /// Loads the first pair of sessions, so that a model or runtime that does not work is found before anything is done.
    fn new(predictor: &Predictor) -> Result<Self> {
        let runtime = match predictor {
            Predictor::Sam(_) => Some(Runtime::load()?),
            Predictor::OtsuBox => None,
        };
        let workers = Workers { runtime, idle: Mutex::new(Vec::new()) };
        if let Predictor::Sam(model) = predictor {
            let first = workers.take(model)?;
            workers.give_back(first);
        }
        Ok(workers)
    }

    fn take(&self, model: &Model) -> Result<(Encoder, Decoder)> {
        if let Some(pair) = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop() {
            return Ok(pair);
        }
        let runtime = self.runtime.as_ref().expect("a SAM predictor has loaded its runtime");
        let options = SessionOptions { threads: 1, spinning: false };
        let encoder = Encoder::load(runtime, model, options).map_err(SamError::from)?;
        let decoder = Decoder::load(runtime, model, options).map_err(SamError::from)?;
        Ok((encoder, decoder))
    }

    fn give_back(&self, pair: (Encoder, Decoder)) {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(pair);
    }

    /// Rows of one slice, strategy by strategy, each in the order of the masks' ids.
    fn predict(
        &self,
        predictor: &Predictor,
        slice: &DecodedSlice,
        strategies: &[Strategy],
        options: &PredictOptions,
    ) -> Result<Vec<Vec<PredictionRow>>> {
        let row = &slice.row;
        let pixels = SlicePixels::new(row.height as usize, row.width as usize, row.channels as usize, &slice.pixels)
            .map_err(|e| Error::Damaged { id: row.slice_id.clone(), reason: e.to_string() })?;
        let prompts_of = |strategy: Strategy| -> Vec<Prompt> {
            // A kept mask is never empty, so every strategy but S1 has a prompt.
            slice.masks.iter().filter_map(|(_, mask)| Prompt::of(strategy, options.rule, mask)).collect()
        };
        let model = match predictor {
            Predictor::OtsuBox => {
                let of_strategy = |&strategy: &Strategy| {
                    let prompts = prompts_of(strategy);
                    let candidate =
                        |prompt: &Prompt| vec![(otsu_box(&pixels, prompt.bounds.unwrap_or_default()), None)];
                    let candidates = prompts.iter().map(candidate).collect();
                    rows(predictor, slice, strategy, prompts, candidates)
                };
                return Ok(strategies.iter().map(of_strategy).collect());
            }
            Predictor::Sam(model) => model,
        };
        let (mut encoder, mut decoder) = self.take(model)?;
        let embedding = encoder.embed(&pixels, options.clip)?;
        let mut by_strategy = Vec::with_capacity(strategies.len());
        for &strategy in strategies {
            let prompts = prompts_of(strategy);
            // Decoded by itself, so that what a strategy gives does not depend on which others are asked for.
            let found: Vec<Vec<Candidate>> = decoder.predict(&embedding, &prompts, Output::Multimask)?;
            let plain = |c: Candidate| (c.mask, Some(c.predicted_iou));
            let candidates = found.into_iter().map(|cs| cs.into_iter().map(plain).collect()).collect();
            by_strategy.push(rows(predictor, slice, strategy, prompts, candidates));
        }
        self.give_back((encoder, decoder));
        Ok(by_strategy)
    }
}

fn rows(
    predictor: &Predictor,
    slice: &DecodedSlice,
    strategy: Strategy,
    prompts: Vec<Prompt>,
    candidates: Vec<Vec<(crate::mask::Mask, Option<f32>)>>,
) -> Vec<PredictionRow> {
    let mut rows = Vec::new();
    for (((truth, _), prompt), candidates) in slice.masks.iter().zip(prompts).zip(candidates) {
        for (index, (mask, predicted_iou)) in candidates.into_iter().enumerate() {
            rows.push(PredictionRow {
                mask_id: truth.mask_id.clone(),
                slice_id: truth.slice_id.clone(),
                case_id: truth.case_id.clone(),
                source: truth.source.clone(),
                model: predictor.name().to_string(),
                strategy: strategy.name().to_string(),
                variant: String::new(),
                points: prompt.points.iter().flat_map(|p| [p.x, p.y]).collect(),
                point_labels: prompt.points.iter().map(|p| u8::from(p.foreground)).collect(),
                r#box: prompt.bounds,
                candidate: index as u8,
                predicted_iou,
                stability: None,
                mask: Rle { size: [mask.height(), mask.width()], counts: mask.to_coco().into() },
            });
        }
    }
    rows
}
