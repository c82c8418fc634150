//! Iterative stratification over groups with masks of several targets.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::digest::sha256;

/// A group of patients that stay together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unit {
    /// Digest of its name.
    pub(super) digest: String,
    /// Slices.
    pub(super) slices: u64,
    /// Masks by target, none of them 0.
    pub(super) masks: BTreeMap<String, u64>,
}

/// The part of each unit. Their order is of no consequence: where the counts leave a choice, the digest of seed and
/// unit decides.
pub(super) fn stratify(units: &[Unit], shares: &[f64], seed: u64) -> Vec<usize> {
    let draw = |unit: &Unit, part: usize| sha256(format!("{seed} {} {part}", unit.digest).as_bytes());
    let mut left: BTreeMap<&str, u64> = BTreeMap::new();
    for (target, n) in units.iter().flat_map(|unit| &unit.masks) {
        *left.entry(target).or_default() += n;
    }
    let total: u64 = units.iter().map(|unit| unit.slices).sum();
    // What each part still lacks: slices, and masks of each target.
    let mut slices: Vec<f64> = shares.iter().map(|share| share * total as f64).collect();
    let mut masks: Vec<BTreeMap<&str, f64>> =
        shares.iter().map(|share| left.iter().map(|(target, n)| (*target, share * *n as f64)).collect()).collect();
    let mut of_target: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, unit) in units.iter().enumerate() {
        unit.masks.keys().for_each(|target| of_target.entry(target).or_default().push(at));
    }
    let mut parts: Vec<Option<usize>> = vec![None; units.len()];

    // The rarest target first, then in it the groups that have most of it: large ones find room while there is some.
    while let Some((target, _)) =
        left.iter().map(|(target, n)| (*target, *n)).filter(|(_, n)| *n > 0).min_by_key(|(target, n)| (*n, *target))
    {
        let mut open: Vec<usize> = of_target[target].iter().copied().filter(|&at| parts[at].is_none()).collect();
        open.sort_by_cached_key(|&at| (std::cmp::Reverse(units[at].masks[target]), draw(&units[at], 0)));
        for at in open {
            let unit = &units[at];
            let lacks = |part: usize| (masks[part][target], slices[part]);
            let part = best(shares.len(), lacks, |part| draw(unit, part));
            parts[at] = Some(part);
            slices[part] -= unit.slices as f64;
            for (target, n) in &unit.masks {
                *masks[part].entry(target).or_default() -= *n as f64;
                *left.entry(target).or_default() -= n;
            }
        }
    }
    // Groups without a mask go by their slices.
    let mut rest: Vec<usize> = (0..units.len()).filter(|&at| parts[at].is_none()).collect();
    rest.sort_by_cached_key(|&at| (std::cmp::Reverse(units[at].slices), draw(&units[at], 0)));
    for at in rest {
        let unit = &units[at];
        let part = best(shares.len(), |part| (slices[part], shares[part]), |part| draw(unit, part));
        parts[at] = Some(part);
        slices[part] -= unit.slices as f64;
    }
    parts.into_iter().map(|part| part.unwrap_or(0)).collect()
}

/// The part that lacks most, by two measures; equal ones are distinguished by a draw.
fn best(parts: usize, lacks: impl Fn(usize) -> (f64, f64), draw: impl Fn(usize) -> String) -> usize {
    let order = |a: &usize, b: &usize| -> Ordering {
        let (x, y) = (lacks(*a), lacks(*b));
        x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)).then_with(|| draw(*a).cmp(&draw(*b)))
    };
    (0..parts).max_by(order).unwrap_or(0)
}
