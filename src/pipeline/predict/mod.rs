//! The stage `predict`: masks of a model for every object of every slice.
//!
//! A shard is one pass (a strategy, with or without jitter, or simulated clicks) of one model over one shard of the
//! build. All passes of a build shard run together, so the model prepares each slice once.

use rayon::prelude::*;
use serde::Serialize;

use super::change::finish;
use super::slices_of::{DecodedSlice, build_shards, slices_of};
use super::{Error, Progress, Result, chunks};
use crate::models::{ClickOptions, Segmenter};
use crate::prompts::{EverythingOptions, JitterLevel, PromptRule, Strategy};
use crate::slices::SlicePixels;
use crate::store::{Dataset, PredictionRow, Receipt, Shard, ShardWriter, Stage, noted};

mod pass;
mod plan;
mod selection;

use pass::{Pass, Scene};
use plan::{Work, plan};
pub use selection::Selection;

/// Slices in memory at a time, for each worker.
const SLICES_PER_WORKER: usize = 4;

/// Options of a prediction. Defaults are the protocol's.
#[derive(Clone, Debug)]
pub struct PredictOptions {
    /// Strategies; a repeated one counts once.
    pub strategies: Vec<Strategy>,
    /// How points are drawn.
    pub rule: PromptRule,
    /// Levels at which the prompts of S2 to S6 are moved as well (docs/protocol.md, 6); none by default.
    pub jitter: Vec<JitterLevel>,
    /// Seeds of the moves (docs/protocol.md, 6: three).
    pub seeds: Vec<u64>,
    /// Simulated clicks as well (docs/protocol.md, 7); none by default.
    pub clicks: Option<ClickOptions>,
    /// Everything mode.
    pub everything: EverythingOptions,
    /// Keep every candidate, and not only those that are closest to the ground truth and rated best.
    pub keep_candidates: bool,
    /// Which masks.
    pub selection: Selection,
}

impl Default for PredictOptions {
    fn default() -> Self {
        PredictOptions {
            strategies: vec![Strategy::OnePoint, Strategy::Box],
            rule: PromptRule::default(),
            jitter: Vec::new(),
            seeds: vec![0, 1, 2],
            clicks: None,
            everything: EverythingOptions::default(),
            keep_candidates: false,
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

/// What is predicted, by what, and how: all that has to be right before anything is computed.
struct Job<'a> {
    dataset: &'a Dataset,
    model: &'a dyn Segmenter,
    options: &'a PredictOptions,
    /// Shards of the build.
    builds: Vec<Receipt>,
    /// The masks of each that are meant, in the order of their ids; `None` for all.
    chosen: Option<Vec<Vec<String>>>,
    /// What the model is asked for.
    passes: Vec<Pass>,
}

/// Predicts every object of a dataset, or those of a selection.
///
/// # Errors
/// No dataset or an empty one, a model that does not work or takes nothing of what is asked, a selection of nothing.
pub fn predict(
    dataset: &Dataset,
    model: &dyn Segmenter,
    options: &PredictOptions,
    progress: &Progress,
) -> Result<PredictReport> {
    let started = std::time::Instant::now();
    let _lock = dataset.lock()?;
    let job = Job::admit(dataset, model, options)?;
    let plan = plan(&job)?;
    let mut report = PredictReport {
        model: model.name().to_string(),
        shards_reused: plan.shards.len() - plan.work.iter().map(|work| work.passes.len()).sum::<usize>(),
        ..PredictReport::default()
    };
    progress.begin("predict", "slices", plan.work.iter().map(|work| work.slices).sum());
    for work in &plan.work {
        job.work(work, progress, &mut report)?;
    }
    progress.end();
    job.commit(plan.shards)?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

impl<'a> Job<'a> {
    /// Checks that there is something to do and a model that can.
    fn admit(dataset: &'a Dataset, model: &'a dyn Segmenter, options: &'a PredictOptions) -> Result<Self> {
        let nothing = |reason: &str| Error::Nothing { path: dataset.path().to_path_buf(), reason: reason.to_string() };
        let builds = build_shards(dataset)?;
        if builds.is_empty() {
            return Err(nothing("the dataset has no masks; run `medcosmos build` first"));
        }
        let chosen = options.selection.masks(dataset, &builds)?;
        if chosen.as_ref().is_some_and(|shards| shards.iter().all(Vec::is_empty)) {
            return Err(nothing("no mask matches the selection"));
        }
        let passes = Pass::all(model, options);
        if passes.is_empty() {
            return Err(nothing("no strategy to run: select one that the model supports"));
        }
        model.load()?;
        let job = Job { dataset, model, options, builds, chosen, passes };
        Ok(job)
    }

    /// Does the passes that are open on one shard of the build.
    fn work(&self, work: &Work, progress: &Progress, report: &mut PredictReport) -> Result<()> {
        let mut writers: Vec<ShardWriter> = work.passes.iter().map(|(_, shard)| self.dataset.begin(shard)).collect();
        let slices = slices_of(self.dataset, work.build, work.wanted());
        for chunk in chunks(slices, SLICES_PER_WORKER * rayon::current_num_threads()) {
            let chunk = chunk?;
            let predicted: Vec<Vec<Vec<PredictionRow>>> = chunk
                .par_iter()
                .map(|slice| {
                    let rows = self.rows(slice, work);
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
        Ok(())
    }

    /// Rows of one slice, pass by pass, each in the order of the masks' ids.
    fn rows(&self, slice: &DecodedSlice, work: &Work) -> Result<Vec<Vec<PredictionRow>>> {
        let row = &slice.row;
        let pixels = SlicePixels::new(row.height as usize, row.width as usize, row.channels as usize, &slice.pixels)
            .map_err(|e| Error::Damaged { id: row.slice_id.clone(), reason: e.to_string() })?;
        let scene = Scene { model: self.model.name(), masks: &slice.masks, options: self.options };
        let mut prepared = self.model.prepare(pixels)?;
        work.passes.iter().map(|(pass, _)| Ok(pass.predict(&scene, &mut *prepared)?)).collect()
    }

    /// Takes away what these shards replace and what was measured of it, and makes the rest valid.
    fn commit(&self, shards: Vec<Shard>) -> Result<()> {
        let mut expected = shards;
        expected.extend(self.other_passes()?);
        let name = format!("{} {}", Stage::Predict, self.model.name());
        finish(self.dataset, &expected, noted(self.dataset, &name, &self.key())?)?;
        Ok(())
    }
}
