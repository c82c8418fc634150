//! The plan of a prediction: its shards, and which of them are unfinished.

use std::collections::{BTreeSet, HashSet};

use super::{Job, Pass, Result};
use crate::store::{Partition, Receipt, Shard, ShardKey, ShardState, Stage, Table, Verify};

/// The shards of a prediction.
pub(super) struct Plan<'a> {
    /// All of them, open or done.
    pub(super) shards: Vec<Shard>,
    /// What is open.
    pub(super) work: Vec<Work<'a>>,
}

/// What is open on one shard of the build.
pub(super) struct Work<'a> {
    pub(super) build: &'a Receipt,
    /// The masks that are meant; `None` for all.
    masks: Option<HashSet<&'a str>>,
    /// Number of slices with such a mask.
    pub(super) slices: u64,
    pub(super) passes: Vec<(&'a Pass, Shard)>,
}

impl Work<'_> {
    /// Whether a mask is meant, by its id.
    pub(super) fn wanted(&self) -> impl Fn(&str) -> bool {
        |mask| self.masks.as_ref().is_none_or(|masks| masks.contains(mask))
    }
}

/// Finds the shards of a job, and those that no earlier run has done.
pub(super) fn plan<'a>(job: &'a Job) -> Result<Plan<'a>> {
    let mut plan = Plan { shards: Vec::new(), work: Vec::new() };
    for (at, build) in job.builds.iter().enumerate() {
        let masks = job.chosen.as_ref().map(|shards| shards[at].as_slice());
        if masks.is_some_and(<[String]>::is_empty) {
            continue;
        }
        let mut open = Vec::new();
        for pass in &job.passes {
            let shard = job.shard(build, masks, pass)?;
            if !matches!(job.dataset.state(&shard, Verify::Quick)?, ShardState::Done(_)) {
                open.push((pass, shard.clone()));
            }
            plan.shards.push(shard);
        }
        if !open.is_empty() {
            let slices = masks.map_or_else(|| build.rows(Table::Slices), number_of_slices);
            let masks = masks.map(|masks| masks.iter().map(String::as_str).collect());
            plan.work.push(Work { build, masks, slices, passes: open });
        }
    }
    Ok(plan)
}

/// Slices that these masks are on: a mask's id is that of its slice, and its name on it.
fn number_of_slices(masks: &[String]) -> u64 {
    masks.iter().filter_map(|mask| mask.rsplit_once('/')).map(|(slice, _)| slice).collect::<BTreeSet<_>>().len() as u64
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

    fn shard(&self, build: &Receipt, masks: Option<&[String]>, pass: &Pass) -> Result<Shard> {
        let key = pass.key(self.key()).with("build", build.id.to_string());
        let key = match masks {
            Some(masks) => key.with_digest_of("masks", masks),
            None => key,
        };
        Ok(Shard::new(Stage::Predict, Partition::model(self.model.name(), &build.source)?, key))
    }

    /// Finished shards of other passes of the same model and options: they stay.
    pub(super) fn other_passes(&self) -> Result<Vec<Shard>> {
        let (name, common) = (self.model.name(), self.key());
        let done: BTreeSet<String> = self.passes.iter().map(Pass::name).collect();
        let stays = |receipt: &Receipt| {
            receipt.stage == Stage::Predict
                && receipt.model.as_deref() == Some(name)
                && receipt.key.holds(&common)
                && receipt.key.get("pass").is_some_and(|pass| !done.contains(pass))
                && self.builds.iter().any(|build| receipt.key.get("build") == Some(&build.id.to_string()))
        };
        let mut found = Vec::new();
        for receipt in self.dataset.receipts_of(Stage::Predict)?.into_iter().filter(stays) {
            let shard = Shard::new(Stage::Predict, Partition::model(name, &receipt.source)?, receipt.key);
            if matches!(self.dataset.state(&shard, Verify::Quick)?, ShardState::Done(_)) {
                found.push(shard);
            }
        }
        Ok(found)
    }
}
