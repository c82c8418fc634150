//! The plan of a prediction: its shards, and which of them lack masks.
//!
//! There is one shard for each model, setting, pass and shard of the build. Its masks are all that were ever asked for,
//! so that another selection adds to it. The key names them where they are not all masks of the build: what a complete
//! shard holds does not depend on how it came to be.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::carried::Carried;
use super::{Job, Pass, Result};
use crate::digest::{canonical_json, sha256};
use crate::pipeline::slices_of::table_file;
use crate::pipeline::standing::{Fitting, fitting, is_whole, masks_of, warn};
use crate::projection;
use crate::store::{Journal, Partition, Receipt, Rows, Shard, ShardId, ShardKey, ShardState, Stage, Table, Verify};

projection! {
    /// A mask, by its id alone.
    struct MaskId of Masks { mask_id: String }
}

/// The shards of a prediction.
#[derive(Default)]
pub(super) struct Plan<'a> {
    /// All shards of the model in the end.
    pub(super) shards: Vec<Shard>,
    /// What is open.
    pub(super) work: Vec<Work<'a>>,
    /// Shards, each without its masks, whose journals are of no use once the job is committed.
    pub(super) journals: Vec<Shard>,
    /// Shards that an interrupted run has finished, and whose predictions are all in shards of the job.
    pub(super) uncommitted: Vec<Shard>,
    /// Predictions that were set aside, and are all in shards of the job.
    pub(super) parked: Vec<Receipt>,
    /// The shards of the job without their masks.
    bases: BTreeSet<ShardId>,
    /// Predictions that were set aside, and the number of their masks that are in no shard of the job.
    set_aside: BTreeMap<ShardId, (usize, Receipt)>,
    /// Shards of the job that were done before.
    pub(super) shards_reused: usize,
    /// Masks of the selection that every pass had before.
    pub(super) masks_reused: u64,
    /// Slices of the selection that need nothing.
    pub(super) slices_reused: u64,
}

/// Predictions by their shards without the masks.
pub(super) type ByBase = BTreeMap<ShardId, Vec<Receipt>>;

pub(super) fn by_base(receipts: Vec<Receipt>) -> Result<ByBase> {
    let mut by_base = ByBase::new();
    for receipt in receipts {
        by_base.entry(base_of(&receipt)?.id().clone()).or_default().push(receipt);
    }
    Ok(by_base)
}

/// The shard of predictions without the masks.
fn base_of(receipt: &Receipt) -> Result<Shard> {
    let shard = receipt.shard()?;
    Ok(Shard::new(Stage::Predict, shard.partition().clone(), receipt.key.clone().without("masks")))
}

/// What is open on one shard of the build.
pub(super) struct Work<'a> {
    pub(super) build: &'a Receipt,
    /// Number of slices with a mask that a pass lacks.
    pub(super) slices: u64,
    pub(super) passes: Vec<Open<'a>>,
}

/// A pass whose shard is not finished.
pub(super) struct Open<'a> {
    pub(super) pass: &'a Pass,
    pub(super) shard: Shard,
    /// The shard without its masks, by which its journal is named.
    pub(super) base: Shard,
    /// The predictions that are there.
    pub(super) carried: Carried,
    /// The masks that the shard will have; `None` for all.
    masks: Option<Arc<HashSet<String>>>,
}

impl Work<'_> {
    /// Whether nothing is there of a pass: it lacks every mask that is meant.
    pub(super) fn lacks_all(&self) -> bool {
        self.passes.iter().any(|open| open.carried.is_empty())
    }

    /// Whether any pass lacks a mask, by its id.
    pub(super) fn lacks(&self, mask: &str) -> bool {
        self.passes.iter().any(|open| open.lacks(mask))
    }
}

impl Open<'_> {
    /// Whether the pass lacks a mask, by its id.
    pub(super) fn lacks(&self, mask: &str) -> bool {
        self.masks.as_ref().is_none_or(|masks| masks.contains(mask)) && !self.carried.has(mask)
    }

    /// Masks that the shard will have, and others.
    fn divided(&self, masks: Vec<String>) -> (Vec<String>, Vec<String>) {
        masks.into_iter().partition(|mask| self.masks.as_ref().is_none_or(|masks| masks.contains(mask)))
    }
}

/// Finds the shards of a job, and what they lack. Nothing is changed.
///
/// # Errors
/// [`Error::Conflict`](super::super::Error::Conflict), and errors of reading.
pub(super) fn plan<'a>(job: &'a Job) -> Result<Plan<'a>> {
    job.refuse_conflicts()?;
    let mut plan = Plan::default();
    for at in 0..job.builds.len() {
        plan.add_build(job, at)?;
    }
    plan.parked = std::mem::take(&mut plan.set_aside)
        .into_values()
        .filter(|(left, _)| *left == 0)
        .map(|(_, receipt)| receipt)
        .collect();
    let others = job.other_shards(&plan.bases)?;
    plan.shards.extend(others);
    Ok(plan)
}

impl<'a> Plan<'a> {
    /// Plans one shard of the build.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn add_build(&mut self, job: &'a Job, at: usize) -> Result<()> {
        let build = &job.builds[at];
        let chosen = job.chosen_of(at);
        if chosen.is_some_and(<[String]>::is_empty) {
            return Ok(());
        }
        let plan = self;
        let mut passes = Vec::new();
        let parked = fitting(job.dataset, &job.parked, build)?;
        for pass in &job.passes {
            let base = job.shard(build, None, pass)?;
            plan.bases.insert(base.id().clone());
            let parked: Vec<&Fitting> = parked.iter().filter(|fitting| is_made_as(&fitting.receipt, &base)).collect();
            let masks = job.masks_to_be(build, &base, chosen, &parked)?;
            let shard = job.shard(build, masks.as_deref(), pass)?;
            job.unpark(&shard)?;
            plan.shards.push(shard.clone());
            let masks = masks.map(|masks| Arc::new(HashSet::from_iter(masks)));
            let mut open = Open { pass, shard, base, carried: Carried::default(), masks };
            let done = matches!(job.dataset.state(&open.shard, Verify::Quick)?, ShardState::Done(_));
            if !done {
                job.carry_shards(&mut open)?;
                for Fitting { file, masks, .. } in &parked {
                    open.carried.add(file.clone(), masks.iter().cloned());
                }
            }
            for Fitting { receipt, masks, of, .. } in parked {
                let (left, _) = plan.set_aside.entry(receipt.id.clone()).or_insert((*of, receipt.clone()));
                *left = left.saturating_sub(masks.len());
            }
            plan.uncommitted.extend(job.carry_uncommitted(&mut open)?);
            if job.carry_journal(&mut open)? {
                plan.journals.push(open.base.clone());
            }
            if done {
                plan.shards_reused += 1;
            } else {
                passes.push(open);
            }
        }
        plan.add(job, Work { build, slices: 0, passes }, chosen)
    }

    /// Adds the open passes of a build shard, and counts what they lack of the selection.
    fn add(&mut self, job: &Job, mut work: Work<'a>, chosen: Option<&[String]>) -> Result<()> {
        let fresh = |open: &Open| open.carried.is_empty() && open.masks.is_none();
        if work.passes.is_empty() && chosen.is_none() {
            self.masks_reused += work.build.rows(Table::Masks);
            self.slices_reused += work.build.rows(Table::Slices);
        } else if work.passes.iter().any(fresh) {
            work.slices = work.build.rows(Table::Slices);
        } else {
            let all = job.masks_of_build(work.build)?;
            let slice = |mask: &'_ String| mask.rsplit_once('/').map_or(String::new(), |(slice, _)| slice.to_string());
            let lacking: BTreeSet<String> = all.iter().filter(|mask| work.lacks(mask)).map(slice).collect();
            let selected = chosen.unwrap_or(&all);
            let slices: BTreeSet<String> = selected.iter().map(slice).collect();
            work.slices = lacking.len() as u64;
            self.masks_reused += selected.iter().filter(|mask| !work.lacks(mask)).count() as u64;
            self.slices_reused += slices.difference(&lacking).count() as u64;
        }
        if !work.passes.is_empty() {
            self.work.push(work);
        }
        Ok(())
    }
}

/// Whether predictions for another build were made with the setting and the pass of a shard.
fn is_made_as(receipt: &Receipt, base: &Shard) -> bool {
    let setting = |key: &ShardKey| key.clone().without("build").without("masks");
    setting(&receipt.key) == setting(base.key())
}

impl Job<'_> {
    /// What decides the predictions of the model, whatever the pass and the masks.
    pub(super) fn key(&self) -> ShardKey {
        let key = ShardKey::new()
            .with("model", self.model.digest())
            .with("candidates", if self.options.keep_candidates { "all" } else { "chosen" })
            .with_json("rule", &self.options.rule);
        self.model.key(key)
    }

    /// The journal of a shard, by the shard without its masks.
    pub(super) fn journal(&self, base: &Shard) -> Journal {
        self.dataset.journal(&self.setting(), base)
    }

    /// Name of the setting that the predictions of the model share.
    pub(super) fn setting(&self) -> String {
        sha256(canonical_json(&self.key()).as_bytes())[..16].to_string()
    }

    /// The shard of a pass for these masks, in the order of the table; `None` for all masks of the build shard.
    fn shard(&self, build: &Receipt, masks: Option<&[String]>, pass: &Pass) -> Result<Shard> {
        let key = pass.key(self.key()).with("build", build.id.to_string());
        let key = match masks {
            Some(masks) => key.with_digest_of("masks", masks),
            None => key,
        };
        Ok(Shard::new(Stage::Predict, Partition::model(self.model.name(), &build.source)?, key))
    }

    /// The shards of a build shard that the job has in the end, a pass each.
    pub(super) fn shards_of(&self, at: usize) -> Result<Vec<Shard>> {
        let build = &self.builds[at];
        let parked = fitting(self.dataset, &self.parked, build)?;
        let of_pass = |pass: &Pass| {
            let base = self.shard(build, None, pass)?;
            let parked: Vec<&Fitting> = parked.iter().filter(|fitting| is_made_as(&fitting.receipt, &base)).collect();
            let masks = self.masks_to_be(build, &base, self.chosen_of(at), &parked)?;
            self.shard(build, masks.as_deref(), pass)
        };
        self.passes.iter().map(of_pass).collect()
    }

    /// The masks of a build shard that are meant, in the order of the table; `None` for all.
    pub(super) fn chosen_of(&self, at: usize) -> Option<&[String]> {
        self.chosen.as_ref().map(|shards| shards[at].as_slice())
    }

    /// The masks of a build shard, in the order of the table.
    pub(super) fn masks_of_build(&self, build: &Receipt) -> Result<Vec<String>> {
        Rows::<MaskId>::of(table_file(self.dataset, build, Table::Masks)).map(|row| Ok(row?.mask_id)).collect()
    }

    /// The masks that predictions are of, in the order of the table; `None` where that cannot be read.
    pub(super) fn masks_of(&self, receipt: &Receipt) -> Option<Vec<String>> {
        masks_of(receipt, self.dataset.file_of(receipt, Table::Predictions))
    }

    /// Predictions of the model for masks of the build.
    pub(super) fn standing(&self) -> impl Iterator<Item = &Receipt> {
        self.standing.values().flatten()
    }

    /// The predictions of the pass that `base` stands for: of any of its masks, and made as is asked for.
    fn standing_of(&self, base: &Shard) -> impl Iterator<Item = &Receipt> {
        self.standing.get(base.id()).into_iter().flatten()
    }

    /// The masks that a shard has when the job is done, in the order of the table: those that are chosen, and those that
    /// it has or had in an earlier build. `None` for all of the build shard.
    fn masks_to_be(
        &self,
        build: &Receipt,
        base: &Shard,
        chosen: Option<&[String]>,
        parked: &[&Fitting],
    ) -> Result<Option<Vec<String>>> {
        let Some(chosen) = chosen else { return Ok(None) };
        let mut masks: HashSet<String> = chosen.iter().cloned().collect();
        masks.extend(parked.iter().flat_map(|fitting| fitting.masks.iter().cloned()));
        for receipt in self.standing_of(base) {
            if receipt.key.get("masks").is_none() {
                return Ok(None);
            }
            match self.masks_of(receipt) {
                Some(there) => masks.extend(there),
                None => warn(receipt, "which masks they are of is not known"),
            }
        }
        if masks.len() as u64 == build.rows(Table::Masks) {
            return Ok(None);
        }
        let mut in_order = self.masks_of_build(build)?;
        in_order.retain(|mask| masks.contains(mask));
        Ok(Some(in_order))
    }

    /// Puts a shard back that was set aside, where the build has gone back to what it was.
    fn unpark(&self, shard: &Shard) -> Result<()> {
        match self.parked.iter().find(|receipt| receipt.id == *shard.id()) {
            Some(receipt) if self.dataset.parked_file(receipt).is_some_and(|file| file.path.exists()) => {
                Ok(self.dataset.unpark(receipt)?)
            }
            _ => Ok(()),
        }
    }

    /// Finds the predictions of committed shards that go into an open one.
    fn carry_shards(&self, open: &mut Open) -> Result<()> {
        for receipt in self.standing_of(&open.base) {
            // Every byte is compared: damaged rows must not get into a new shard.
            let again = "those that are selected are predicted again";
            if !is_whole(self.dataset, receipt, Verify::Full, again)? {
                continue;
            }
            if let (Some(masks), Some(file)) =
                (self.masks_of(receipt), self.dataset.file_of(receipt, Table::Predictions))
            {
                open.carried.add(file, masks);
            }
        }
        Ok(())
    }

    /// Finds the predictions of shards that an interrupted run has finished and that go into an open one. Returns the
    /// shards that have no others.
    fn carry_uncommitted(&self, open: &mut Open) -> Result<Vec<Shard>> {
        let mut spent = Vec::new();
        let of_base = self.uncommitted.get(open.base.id()).into_iter().flatten();
        for receipt in of_base.filter(|receipt| receipt.id != *open.shard.id()) {
            if !is_whole(self.dataset, receipt, Verify::Full, "an interrupted run left them, and they are not used")? {
                continue;
            }
            let file = self.dataset.file_of(receipt, Table::Predictions);
            let (Some(masks), Some(file)) = (self.masks_of(receipt), file) else { continue };
            let (meant, others) = open.divided(masks);
            if others.is_empty() {
                spent.push(receipt.shard()?);
            }
            open.carried.add(file, meant);
        }
        Ok(spent)
    }

    /// Finds the predictions of a journal that go into an open shard. True where the journal has no others.
    fn carry_journal(&self, open: &mut Open) -> Result<bool> {
        let mut spent = true;
        for segment in self.journal(&open.base).segments()? {
            let (meant, others) = open.divided(segment.masks);
            spent &= others.is_empty();
            open.carried.add(segment.file, meant);
        }
        Ok(spent)
    }

    /// Shards of the model that the job leaves as they are: of other passes, and of other shards of the build.
    fn other_shards(&self, bases: &BTreeSet<ShardId>) -> Result<Vec<Shard>> {
        let mut others = Vec::new();
        for receipt in self.standing().filter(|receipt| !self.conflicts(receipt)) {
            let removed = "they are removed: predict or import them again";
            if !bases.contains(base_of(receipt)?.id()) && is_whole(self.dataset, receipt, Verify::Quick, removed)? {
                others.push(receipt.shard()?);
            }
        }
        Ok(others)
    }
}
