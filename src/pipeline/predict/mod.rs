//! The stage `predict`: masks of a model for every object of every slice.
//!
//! A shard is one pass (a strategy, with or without jitter, or simulated clicks) of one model over one shard of the
//! build. All passes of a build shard run together, so the model prepares each slice once. A run adds to what is there:
//! masks that a pass has are carried over into the shard that holds more of them.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Serialize;

use super::change::{add_rows, finish_without};
use super::in_order::{Consumer, in_order};
use super::slices_of::{DecodedSlice, StoredSlice, build_shards, stored_slices};
use super::standing::predictions_of;
use super::work::{Divided, OpenWork};
use super::{Error, Existing, Outdated, Progress, Result};
use crate::mask::Mask;
use crate::models::{ClickOptions, Segmenter};
use crate::prompts::{EverythingOptions, JitterLevel, PromptRule, Strategy};
use crate::slices::SlicePixels;
use crate::store::{Dataset, MaskRow, Receipt, ShardId, Stage, noted};

mod carried;
mod conflict;
mod divided;
mod output;
mod pass;
mod plan;
mod selection;

use divided::DividedJob;
use output::{Output, Predicted};
use pass::{Pass, Scene};
use plan::{ByBase, Plan, Work, by_base, plan};
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
    /// What becomes of predictions of the same model that were made with other options.
    pub existing: Existing,
    /// What happens to masks that are not predicted.
    pub open_work: OpenWork,
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
            existing: Existing::default(),
            open_work: OpenWork::default(),
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
    /// Slices of the selection for which nothing had to be done.
    pub slices_reused: u64,
    /// Masks that were predicted now, in one pass at least.
    pub masks: u64,
    /// Masks of the selection that had been predicted before, in every pass.
    pub masks_reused: u64,
    /// Predictions made now: one for each mask, strategy and candidate.
    pub predictions: u64,
    /// Shards that were done before.
    pub shards_reused: usize,
    /// Shards that were done now.
    pub shards_done: usize,
    /// Seconds the stage took.
    pub seconds: f64,
    /// Results of other stages that were removed, because these predictions changed.
    pub outdated: Outdated,
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
    /// Predictions of the model for masks of the build.
    standing: ByBase,
    /// Those that were set aside when their build went.
    parked: Vec<Receipt>,
    /// Those that an interrupted run has finished, and that are not part of the dataset.
    uncommitted: ByBase,
}

/// Predicts every object of a dataset, or those of a selection. What is there stays: masks that were predicted with the
/// same options are not predicted again, whatever selection or strategies they came with.
///
/// # Errors
/// No dataset or an empty one, a model that does not work or takes nothing of what is asked, a selection of nothing.
/// [`Error::Conflict`] where predictions of the model were made with other options, unless they are to be replaced;
/// nothing is changed then.
pub fn predict(
    dataset: &Dataset,
    model: &dyn Segmenter,
    options: &PredictOptions,
    progress: &Progress,
) -> Result<PredictReport> {
    let started = Instant::now();
    let _lock = dataset.lock()?;
    let job = Job::admit(dataset, model, options)?;
    let plan = plan(&job)?;
    let open = plan.work.iter().filter(|work| work.slices > 0).count();
    if options.open_work == OpenWork::Refuse && open > 0 {
        return Err(Error::Open { dataset: dataset.path().to_path_buf(), stage: Stage::Predict, open });
    }
    progress.begin("predict", "slices", plan.work.iter().map(|work| work.slices).sum());
    let mut report = job.run(&plan, progress)?;
    progress.end();
    report.outdated = job.commit(&plan)?;
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Hands the work of a prediction, in parts of about `shard_seconds`, to `with`, for an engine that does it.
///
/// # Errors
/// As [`predict`].
pub fn divided_prediction<T>(
    dataset: &Dataset,
    model: &dyn Segmenter,
    options: &PredictOptions,
    shard_seconds: f64,
    with: impl FnOnce(&dyn Divided) -> T,
) -> Result<T> {
    let _lock = dataset.lock_shared()?;
    let job = Job::admit(dataset, model, options)?;
    let divided = DividedJob::of(&job, shard_seconds)?;
    Ok(with(&divided))
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
        let ids: BTreeSet<String> = builds.iter().map(|build| build.id.to_string()).collect();
        let mut standing = predictions_of(dataset, model.name())?;
        standing.retain(|receipt| receipt.key.get("build").is_some_and(|build| ids.contains(build)));
        let mut parked = dataset.parked()?;
        parked.retain(|receipt| receipt.model.as_deref() == Some(model.name()));
        let uncommitted = by_base(dataset.uncommitted_predictions(model.name())?)?;
        let standing = by_base(standing)?;
        Ok(Job { dataset, model, options, builds, chosen, passes, standing, parked, uncommitted })
    }

    /// Predicts what is open, and writes the shards. Where that fails, what is finished is in the journals.
    fn run(&self, plan: &Plan, progress: &Progress) -> Result<PredictReport> {
        let mut output = Output::new(self, plan);
        match self.predict_slices(plan, None, progress, &mut output) {
            Ok(()) => output.finish(),
            Err(error) => {
                if let Err(lost) = output.flush() {
                    tracing::warn!("what was finished cannot be kept: {lost}");
                }
                Err(error)
            }
        }
    }

    /// Predicts the masks that passes lack, of all slices or of some.
    fn predict_slices(
        &self,
        plan: &Plan,
        some: Option<&BTreeSet<String>>,
        progress: &Progress,
        output: &mut impl Consumer<Predicted>,
    ) -> Result<()> {
        let slices = plan.work.iter().enumerate().filter(|(_, work)| work.slices > 0).flat_map(|(at, work)| {
            let wanted = move |mask: &str| {
                let inside =
                    |some: &BTreeSet<String>| mask.rsplit_once('/').is_some_and(|(slice, _)| some.contains(slice));
                some.is_none_or(inside) && work.lacks(mask)
            };
            let slices = stored_slices(self.dataset, work.build, wanted);
            slices.map(move |slice| Ok((at, slice?)))
        });
        let predict = |(): &mut (), (at, slice): (usize, StoredSlice)| {
            let predicted = self.predict(&slice.decoded()?, at, &plan.work[at]);
            progress.advance(1);
            predicted
        };
        let workers = self.model.workers(rayon::current_num_threads());
        in_order(slices, [workers, SLICES_PER_WORKER * workers], predict, output)
    }

    /// Predicts the masks of a slice that passes lack.
    fn predict(&self, slice: &DecodedSlice, at: usize, work: &Work) -> Result<Predicted> {
        let row = &slice.row;
        let pixels = SlicePixels::new(row.height as usize, row.width as usize, row.channels as usize, &slice.pixels)
            .map_err(|e| Error::Damaged { id: row.slice_id.clone(), reason: e.to_string() })?;
        let mut prepared = self.model.prepare(pixels)?;
        let mut rows = Vec::with_capacity(work.passes.len());
        for open in &work.passes {
            let masks: Vec<&(MaskRow, Mask)> = slice.masks.iter().filter(|(row, _)| open.lacks(&row.mask_id)).collect();
            let scene = Scene { model: self.model.name(), masks: &masks, options: self.options };
            rows.push(if masks.is_empty() { Vec::new() } else { open.pass.predict(&scene, &mut *prepared)? });
        }
        Ok(Predicted { work: at, masks: slice.masks.len() as u64, rows })
    }

    /// Makes the shards of the plan those of the model, takes away what they replace and what was measured of it, and
    /// removes what is in them now: journals, and predictions that were set aside or left by an interrupted run.
    fn commit(&self, plan: &Plan) -> Result<Outdated> {
        let replaced: BTreeSet<&ShardId> =
            self.standing().filter(|receipt| self.conflicts(receipt)).map(|receipt| &receipt.id).collect();
        let name = format!("{} {}", Stage::Predict, self.model.name());
        let options = noted(self.dataset, &name, &self.key())?;
        let mut outdated =
            finish_without(self.dataset, &plan.shards, options, &|receipt| replaced.contains(&receipt.id))?;
        let gone = self.standing().filter(|receipt| replaced.contains(&receipt.id));
        gone.for_each(|receipt| add_rows(&mut outdated.replaced, receipt));
        plan.parked.iter().try_for_each(|receipt| self.dataset.discard_parked(receipt))?;
        self.dataset.drop_uncommitted(&plan.uncommitted)?;
        if self.options.existing == Existing::Replace {
            self.dataset.remove_other_journals(self.model.name(), &self.setting())?;
        }
        plan.journals.iter().try_for_each(|base| self.journal(base).remove())?;
        Ok(outdated)
    }
}
