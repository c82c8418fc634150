//! The work of a stage, divided for an engine: the local threads, or processes on many hosts.
//!
//! A stage has units, each of which is a shard of its tables or a part of one. Neighbouring units form a shard of work,
//! which takes about a minute by estimate (30 to 120 s where the inputs allow), so that an engine has neither a million
//! calls nor an hour to lose. What a unit writes depends neither on the shard of work that it is in nor on who does it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Progress, Result};
use crate::digest::{canonical_json, sha256};
use crate::store::{Dataset, PlannedShard, Shard, ShardState, Verify};

/// Seconds that a shard of work lasts about, unless the plan says otherwise.
pub const SHARD_SECONDS: f64 = 60.0;

/// What a stage does with work that is not done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenWork {
    /// It does it.
    #[default]
    Run,
    /// It refuses: an engine does it, and the stage only commits.
    Refuse,
}

/// A part of the work of a stage that is done or not done as a whole.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What decides its content.
    pub(super) key: String,
    /// What it covers.
    pub(super) about: String,
    /// Estimated seconds.
    pub(super) seconds: f64,
}

/// A stage whose inputs are read, and whose work is known.
pub trait Divided: Sync {
    /// Its units, in the order of their inputs. Those that are done are among them.
    fn units(&self) -> &[Unit];

    /// Refuses what the commit would refuse, before anything is computed.
    ///
    /// # Errors
    /// [`Error::Replaces`](super::Error::Replaces), [`Error::Conflict`](super::Error::Conflict).
    fn admit(&self) -> Result<()>;

    /// Those of some units on which something is left to do.
    ///
    /// # Errors
    /// Errors of reading.
    fn open(&self, units: Range<usize>) -> Result<BTreeSet<usize>>;

    /// Does what is left to do on some units.
    ///
    /// # Errors
    /// Why one of them is not done.
    fn run(&self, units: Range<usize>, progress: &Progress) -> Result<()>;
}

/// Those of some units that are not done, where each is a shard of tables.
///
/// # Errors
/// Errors of reading.
pub(super) fn open_shards<'s>(
    dataset: &Dataset,
    units: Range<usize>,
    shard: impl Fn(usize) -> &'s Shard,
) -> Result<BTreeSet<usize>> {
    let mut open = BTreeSet::new();
    for unit in units {
        if !matches!(dataset.state(shard(unit), Verify::Quick)?, ShardState::Done(_)) {
            open.insert(unit);
        }
    }
    Ok(open)
}

/// A shard of work of a stage.
#[derive(Clone, Debug)]
pub struct WorkShard {
    /// As the plan has it.
    pub planned: PlannedShard,
    units: Range<usize>,
}

impl WorkShard {
    /// The shards of work of a stage, of about so many seconds. They depend on its inputs and options, and not on what is
    /// done.
    pub fn all(stage: &dyn Divided, shard_seconds: f64) -> Vec<WorkShard> {
        let mut shards: Vec<WorkShard> = Vec::new();
        let units = stage.units();
        let mut first = 0;
        while first < units.len() {
            let (mut next, mut seconds) = (first, 0.0);
            while next < units.len() && (next == first || seconds + units[next].seconds <= shard_seconds) {
                seconds += units[next].seconds;
                next += 1;
            }
            shards.push(WorkShard::of(units, first..next, seconds));
            first = next;
        }
        shards
    }

    fn of(all: &[Unit], units: Range<usize>, seconds: f64) -> WorkShard {
        let keys: Vec<&str> = all[units.clone()].iter().map(|unit| unit.key.as_str()).collect();
        let id = sha256(canonical_json(&keys).as_bytes())[..16].to_string();
        let about = match units.len() {
            1 => all[units.start].about.clone(),
            n => format!("{} to {} ({n} parts)", all[units.start].about, all[units.end - 1].about),
        };
        // So that the text of a plan does not depend on the order of a sum.
        let seconds = (seconds * 1e4).round() / 1e4;
        WorkShard { planned: PlannedShard { about, id, seconds }, units }
    }

    /// Whether nothing is left to do on it.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn is_done(&self, stage: &dyn Divided) -> Result<bool> {
        Ok(stage.open(self.units.clone())?.is_empty())
    }

    /// [`is_done`](Self::is_done) of each shard of work of a stage, at the cost of one look at it.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn are_done(shards: &[WorkShard], stage: &dyn Divided) -> Result<Vec<bool>> {
        let open = stage.open(0..stage.units().len())?;
        Ok(shards.iter().map(|shard| open.range(shard.units.clone()).next().is_none()).collect())
    }

    /// Does what is left to do on it.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn run(&self, stage: &dyn Divided, progress: &Progress) -> Result<()> {
        stage.run(self.units.clone(), progress)
    }
}

/// A part of the slices of a shard: `index` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) index: u64,
    pub(super) of: u64,
}

impl Part {
    /// All slices.
    pub(super) const WHOLE: Part = Part { index: 0, of: 1 };

    /// Parts of about `part_seconds` for work of so many seconds on so many slices; one, unless the work is more than twice
    /// as much.
    pub(super) fn all(seconds: f64, part_seconds: f64, slices: u64) -> impl Iterator<Item = Part> {
        let of = if seconds <= 2.0 * part_seconds { 1 } else { (seconds / part_seconds).ceil() as u64 };
        let of = of.clamp(1, slices.max(1));
        (0..of).map(move |index| Part { index, of })
    }

    /// Numbers of the slices that it has, of so many.
    pub(super) fn slices(self, slices: u64) -> Range<u64> {
        let at = |index: u64| (u128::from(index) * u128::from(slices) / u128::from(self.of)) as u64;
        at(self.index)..at(self.index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stage(Vec<Unit>);

    impl Divided for Stage {
        fn units(&self) -> &[Unit] {
            &self.0
        }

        fn admit(&self) -> Result<()> {
            Ok(())
        }

        fn open(&self, units: Range<usize>) -> Result<BTreeSet<usize>> {
            Ok(units.filter(|unit| *unit > 2).collect())
        }

        fn run(&self, _: Range<usize>, _: &Progress) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_unit_is_in_one_shard_of_work_of_about_a_minute() {
        for seconds in [vec![], vec![500.0], vec![0.1; 5000], vec![59.0, 2.0, 70.0, 1.0, 1.0, 30.0, 30.0]] {
            let unit =
                |(at, seconds): (usize, &f64)| Unit { key: at.to_string(), about: at.to_string(), seconds: *seconds };
            let stage = Stage(seconds.iter().enumerate().map(unit).collect());
            let shards = WorkShard::all(&stage, SHARD_SECONDS);
            let covered: Vec<usize> = shards.iter().flat_map(|shard| shard.units.clone()).collect();
            assert!(covered.into_iter().eq(0..seconds.len()));
            for pair in shards.windows(2) {
                assert!(pair[0].planned.seconds + seconds[pair[1].units.start] > SHARD_SECONDS - 1e-6);
                assert_ne!(pair[0].planned.id, pair[1].planned.id);
            }
            assert!(shards.iter().all(|shard| shard.units.len() == 1 || shard.planned.seconds <= SHARD_SECONDS + 1e-6));
            let done = shards.iter().filter(|shard| shard.is_done(&stage).unwrap());
            let all = WorkShard::are_done(&shards, &stage).unwrap();
            assert!(all.iter().zip(&shards).all(|(done, shard)| *done == shard.is_done(&stage).unwrap()));
            assert!(done.flat_map(|shard| shard.units.clone()).all(|unit| unit < 3));
        }
    }

    #[test]
    fn parts_cover_the_slices_once() {
        for (seconds, slices) in [(1.0, 10), (119.0, 10), (121.0, 10), (1e6, 7), (1e6, 100_000), (1e3, 0)] {
            let parts: Vec<Part> = Part::all(seconds, SHARD_SECONDS, slices).collect();
            let covered: Vec<u64> = parts.iter().flat_map(|part| part.slices(slices)).collect();
            assert!(covered.into_iter().eq(0..slices));
            assert!(
                parts.len() as u64 <= slices.max(1) && (seconds <= 2.0 * SHARD_SECONDS) == (parts.len() == 1)
                    || slices < 2
            );
        }
        assert_eq!(Part::all(600.0, SHARD_SECONDS, 1000).count(), 10);
    }
}
