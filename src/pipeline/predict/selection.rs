//! The selection of masks to predict: all, or a subset.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::super::slices_of::table_file;
use super::super::{Error, Result};
use crate::digest::sha256;
use crate::store::{Dataset, MaskTarget, Receipt, Rows, Table};

/// A part of the masks of a dataset. Each rule narrows what those before it leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Only masks for which this SQL condition on the columns of `masks` is true: `modality = 'CT'`.
    pub condition: Option<String>,
    /// At most this many masks of each target, drawn by the digest of seed and mask id: the same masks whatever the
    /// order of the rows, and a larger sample holds every smaller one.
    pub sample: Option<usize>,
    /// Seed of the sample.
    pub seed: u64,
    /// At most this many slices, the first in the order of their ids.
    pub limit: Option<usize>,
}

impl Selection {
    /// The masks of each build shard that are meant, in the order of their ids; `None` where all are.
    ///
    /// # Errors
    /// A condition that the tables cannot answer, a dataset that cannot be read.
    pub(super) fn masks(&self, dataset: &Dataset, builds: &[Receipt]) -> Result<Option<Vec<Vec<String>>>> {
        if *self == (Selection { seed: self.seed, ..Selection::default() }) {
            return Ok(None);
        }
        let mut chosen: Vec<(usize, MaskTarget)> = Vec::new();
        let allowed = self.condition.as_deref().map(|c| satisfying(dataset, c)).transpose()?;
        for (shard, build) in builds.iter().enumerate() {
            for mask in Rows::<MaskTarget>::of(table_file(dataset, build, Table::Masks)) {
                let mask = mask?;
                if allowed.as_ref().is_none_or(|ids| ids.contains(&mask.mask_id)) {
                    chosen.push((shard, mask));
                }
            }
        }
        if let Some(most) = self.sample {
            let sampled = sample(chosen.iter().map(|(_, m)| m), most, self.seed);
            chosen.retain(|(_, m)| sampled.contains(&m.mask_id));
        }
        if let Some(most) = self.limit {
            let slices: BTreeSet<String> = chosen.iter().map(|(_, m)| m.slice_id.clone()).collect();
            let first: BTreeSet<String> = slices.into_iter().take(most).collect();
            chosen.retain(|(_, m)| first.contains(&m.slice_id));
        }
        let mut by_shard = vec![Vec::new(); builds.len()];
        chosen.into_iter().for_each(|(shard, mask)| by_shard[shard].push(mask.mask_id));
        Ok(Some(by_shard))
    }
}

/// The masks of each target whose digest with the seed is smallest.
fn sample<'a>(masks: impl Iterator<Item = &'a MaskTarget>, most: usize, seed: u64) -> HashSet<String> {
    let mut by_target: BTreeMap<&str, Vec<(String, &str)>> = BTreeMap::new();
    for mask in masks {
        let lot = sha256(format!("{seed}\n{}", mask.mask_id).as_bytes());
        by_target.entry(&mask.target).or_default().push((lot, &mask.mask_id));
    }
    let drawn = by_target.into_values().flat_map(|mut lots| {
        lots.sort();
        lots.truncate(most);
        lots
    });
    drawn.map(|(_, id)| id.to_string()).collect()
}

/// Ids of the masks for which a condition is true.
#[cfg(feature = "query")]
fn satisfying(dataset: &Dataset, condition: &str) -> Result<HashSet<String>> {
    let problem = |reason: String| Error::Condition { condition: condition.to_string(), reason };
    let sql = format!("SELECT mask_id FROM masks WHERE ({condition})");
    let frame = crate::analysis::query(dataset.path(), &sql).map_err(|e| problem(e.to_string()))?;
    let ids = frame.column("mask_id").and_then(|c| c.str().cloned()).map_err(|e| problem(e.to_string()))?;
    Ok(ids.iter().flatten().map(String::from).collect())
}

/// Ids of the masks for which a condition is true.
#[cfg(not(feature = "query"))]
fn satisfying(_: &Dataset, condition: &str) -> Result<HashSet<String>> {
    let reason = "conditions need the feature `query`, which this program was built without".to_string();
    Err(Error::Condition { condition: condition.to_string(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(id: usize) -> MaskTarget {
        let target = if id.is_multiple_of(3) { "liver-CT" } else { "kidney-CT" };
        MaskTarget { mask_id: format!("m{id}"), slice_id: format!("s{}", id / 2), target: target.into() }
    }

    #[test]
    fn samples_are_nested_and_do_not_depend_on_order() {
        let masks: Vec<MaskTarget> = (0..60).map(mask).collect();
        let reversed: Vec<MaskTarget> = (0..60).rev().map(mask).collect();
        let small = sample(masks.iter(), 4, 1);
        let large = sample(reversed.iter(), 9, 1);
        assert_eq!((small.len(), large.len()), (8, 18));
        assert!(small.is_subset(&large));
        assert_ne!(small, sample(masks.iter(), 4, 2));
        assert_eq!(sample(masks.iter(), 1000, 1).len(), 60);
    }
}
