//! A prediction divided for an engine: its units are shards of the build, or parts of their slices where the model needs
//! long for one.
//!
//! What is predicted of a part goes into the journal; whoever finishes the last part of a build shard writes the shards
//! of predictions. So they do not depend on the parts, and the parts may follow what the model costs.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::output::Journalled;
use super::plan::{Plan, Work};
use super::{Job, Pass, Result};
use crate::digest::canonical_json;
use crate::mask::Mask;
use crate::pipeline::slices_of::table_file;
use crate::pipeline::work::{Divided, Part, Unit};
use crate::pipeline::{Error, Progress};
use crate::projection;
use crate::prompts::{Prompt, Strategy};
use crate::slices::SlicePixels;
use crate::store::{Dataset, Receipt, Rows, Stage, Table};

projection! {
    /// A slice, by its id alone.
    struct SliceId of Slices { slice_id: String }
}

/// Seconds that a model takes, measured on this dataset's first plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Cost {
    /// To prepare a slice.
    slice: f64,
    /// For a prompt.
    prompt: f64,
}

impl Cost {
    /// The cost of the model of a job. It is measured once for each dataset and setting, so that every plan has the same
    /// parts.
    fn of(job: &Job) -> Result<Cost> {
        let path = Dataset::cost_file(job.model.name(), &job.setting());
        match job.dataset.own_json(&path) {
            Ok(Some(known)) => return Ok(known),
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}; the cost of the model is measured again"),
        }
        let cost = Cost::measured(job)?;
        job.dataset.write_own_json(&path, &cost)?;
        // Two first plans at a time go by the cost that stays.
        Ok(job.dataset.own_json(&path)?.unwrap_or(cost))
    }

    /// The second of two runs, on a grey ramp with a square: the first loads the model.
    fn measured(job: &Job) -> Result<Cost> {
        const SIDE: usize = 256;
        let ramp: Vec<u8> = (0..SIDE * SIDE).map(|i| (i % SIDE) as u8).collect();
        let square = Mask::from_predicate(SIDE as u32, SIDE as u32, |i| {
            (64..192).contains(&(i % SIDE)) && (64..192).contains(&(i / SIDE))
        });
        let prompted = Strategy::ALL.iter().filter(|&&strategy| job.model.takes(strategy));
        let prompt = prompted.into_iter().find_map(|&strategy| Prompt::of(strategy, job.options.rule, &square));
        let mut cost = Cost { slice: 0.0, prompt: 0.0 };
        for _ in 0..2 {
            let pixels = SlicePixels::new(SIDE, SIDE, 1, &ramp);
            let pixels = pixels.map_err(|e| Error::Damaged { id: "a ramp".into(), reason: e.to_string() })?;
            let begun = Instant::now();
            let mut prepared = job.model.prepare(pixels)?;
            cost.slice = power_of_two(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            if let Some(prompt) = &prompt {
                prepared.predict(std::slice::from_ref(prompt))?;
            }
            cost.prompt = power_of_two(begun.elapsed().as_secs_f64());
        }
        Ok(cost)
    }

    /// Estimated seconds for so many slices and masks.
    fn seconds(self, passes: &[Pass], slices: u64, masks: u64) -> f64 {
        let of_slice: f64 = passes.iter().map(|pass| pass.prompts_per_slice()).sum();
        let of_mask: f64 = passes.iter().map(|pass| pass.prompts_per_mask()).sum();
        slices as f64 * (self.slice + of_slice * self.prompt) + masks as f64 * of_mask * self.prompt
    }
}

/// The nearest power of two, so that hosts of about the same speed divide the same dataset alike: a minute is 42 to 85 s
/// then.
fn power_of_two(seconds: f64) -> f64 {
    seconds.max(1e-6).log2().round().exp2()
}

/// A job with its units.
pub(super) struct DividedJob<'a> {
    job: &'a Job<'a>,
    /// The build shard of each unit, by its position, and the part of its slices.
    parts: Vec<(usize, Part)>,
    units: Vec<Unit>,
}

impl<'a> DividedJob<'a> {
    /// Finds the units. The model is run once where its cost is not known.
    pub(super) fn of(job: &'a Job<'a>, shard_seconds: f64) -> Result<Self> {
        let cost = Cost::of(job)?;
        let (mut parts, mut units) = (Vec::new(), Vec::new());
        for (at, build) in job.builds.iter().enumerate() {
            let chosen = job.chosen_of(at);
            let masks = chosen.map_or(build.rows(Table::Masks), |masks| masks.len() as u64);
            if masks == 0 {
                continue;
            }
            let slices = match chosen {
                Some(masks) => BTreeSet::from_iter(masks.iter().map(|mask| slice_of(mask))).len() as u64,
                None => build.rows(Table::Slices),
            };
            let seconds = cost.seconds(&job.passes, slices, masks);
            let shards = job.shards_of(at)?;
            for part in Part::all(seconds, shard_seconds, slices) {
                let ids: Vec<String> = shards.iter().map(|shard| shard.id().to_string()).collect();
                let key = canonical_json(&(ids, part.index, part.of));
                units.push(Unit { key, about: about(job, build, part), seconds: seconds / part.of as f64 });
                parts.push((at, part));
            }
        }
        Ok(DividedJob { job, parts, units })
    }

    /// What is open on a build shard, by the dataset as it is or as it was seen.
    fn plan(&self, at: usize, seen: Option<&Dataset>) -> Result<Plan<'a>> {
        let mut plan = Plan::of(seen.cloned());
        plan.add_build(self.job, at)?;
        Ok(plan)
    }

    /// Ids of the slices of a build shard that are meant, in the order of the table.
    fn slices(&self, at: usize) -> Result<Vec<String>> {
        let chosen = self.job.chosen_of(at).map(|masks| BTreeSet::from_iter(masks.iter().map(|mask| slice_of(mask))));
        let mut slices = Vec::new();
        for row in Rows::<SliceId>::of(table_file(self.job.dataset, &self.job.builds[at], Table::Slices)) {
            let SliceId { slice_id } = row?;
            if chosen.as_ref().is_none_or(|chosen| chosen.contains(slice_id.as_str())) {
                slices.push(slice_id);
            }
        }
        Ok(slices)
    }

    /// Slices with masks that a pass lacks.
    fn lacking(&self, work: &Work) -> Result<BTreeSet<String>> {
        let masks = self.job.masks_of_build(work.build)?;
        Ok(masks.iter().filter(|mask| work.lacks(mask)).map(|mask| slice_of(mask).to_string()).collect())
    }

    /// Those parts of a build shard on which something is left to do.
    fn open_parts(&self, at: usize, parts: &[Part], seen: &Dataset) -> Result<Vec<Part>> {
        let plan = self.plan(at, Some(seen))?;
        let Some(work) = plan.work.first() else { return Ok(Vec::new()) };
        // Where nothing is there of a pass, no ids need to be read.
        if parts == [Part::WHOLE] || work.lacks_all() {
            return Ok(parts.to_vec());
        }
        let (slices, lacking) = (self.slices(at)?, self.lacking(work)?);
        let open = |part: &&Part| {
            let range = part.slices(slices.len() as u64);
            slices[range.start as usize..range.end as usize].iter().any(|slice| lacking.contains(slice))
        };
        Ok(parts.iter().filter(open).copied().collect())
    }

    fn run_unit(&self, unit: usize, progress: &Progress) -> Result<()> {
        let (at, part) = self.parts[unit];
        let plan = self.plan(at, None)?;
        if plan.work.is_empty() {
            return Ok(());
        }
        if part == Part::WHOLE {
            return self.job.run(&plan, progress).map(drop);
        }
        let slices = self.slices(at)?;
        let range = part.slices(slices.len() as u64);
        let own: BTreeSet<String> = slices[range.start as usize..range.end as usize].iter().cloned().collect();
        let mut journal = Journalled::new(self.job, &plan);
        self.job.predict_slices(&plan, Some(&own), progress, &mut journal)?;
        journal.flush()?;
        // The last part writes the shards. Two that finish at the same time write the same. Each part left a segment, so
        // most of them need not be read here; where parts had nothing to do, the commit writes the shards.
        for open in plan.work.iter().flat_map(|work| &work.passes) {
            if (self.job.journal(&open.base).len()? as u64) < part.of {
                return Ok(());
            }
        }
        let plan = self.plan(at, None)?;
        match plan.work.first() {
            Some(work) if work.lacks_all() || !self.lacking(work)?.is_empty() => Ok(()),
            Some(_) => self.job.run(&plan, progress).map(drop),
            None => Ok(()),
        }
    }
}

/// The slice of a mask, by its id.
fn slice_of(mask: &str) -> &str {
    mask.rsplit_once('/').map_or("", |(slice, _)| slice)
}

fn about(job: &Job, build: &Receipt, part: Part) -> String {
    let first = build.files.get(&Table::Slices).map_or("", |file| file.first.as_str());
    let part = match part {
        Part::WHOLE => String::new(),
        Part { index, of } => format!(", part {} of {of}", index + 1),
    };
    format!("{} from {first}{part}", job.model.name())
}

impl Divided for DividedJob<'_> {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn admit(&self) -> Result<()> {
        self.job.refuse_conflicts()
    }

    fn open(&self, units: Range<usize>) -> Result<BTreeSet<usize>> {
        let mut open = BTreeSet::new();
        let builds = self.parts[units.clone()].iter().map(|(at, _)| *at);
        let seen = self.job.seen(builds.clone().min().unwrap_or(0)..builds.max().map_or(0, |last| last + 1))?;
        for of_build in self.parts[units.clone()].chunk_by(|a, b| a.0 == b.0) {
            let at = of_build[0].0;
            let parts: Vec<Part> = of_build.iter().map(|(_, part)| *part).collect();
            let still_open = self.open_parts(at, &parts, &seen)?;
            // Parts of a build shard follow one another.
            let first = self.parts.partition_point(|(of, _)| *of < at);
            open.extend(still_open.into_iter().map(|part| first + part.index as usize));
        }
        Ok(open)
    }

    fn run(&self, units: Range<usize>, progress: &Progress) -> Result<()> {
        let slices: f64 = units
            .clone()
            .map(|unit| self.parts[unit])
            .map(|(at, part)| self.job.builds[at].rows(Table::Slices) as f64 / part.of as f64)
            .sum();
        progress.begin(Stage::Predict.name(), "slices", slices as u64);
        let outcome = units.into_iter().try_for_each(|unit| self.run_unit(unit, progress));
        progress.end();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_powers_of_two() {
        for (seconds, rounded) in [(0.12, 0.125), (0.17, 0.125), (0.18, 0.25), (1.0, 1.0), (13.0, 16.0), (30.0, 32.0)] {
            assert_eq!(power_of_two(seconds), rounded);
        }
        assert!(power_of_two(0.0) > 0.0);
    }
}
