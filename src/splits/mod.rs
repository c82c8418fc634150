//! Assignment of patients to splits (train, validation, test) or folds.
//!
//! The unit is a *leak group*, or the patient if it has none. No group is ever divided.
//!
//! - Official splits are kept: a group with patients of one official split is assigned to it. A group with patients of
//!   several official splits is assigned to training, because a training image among the test images would invalidate
//!   the test.
//! - All others are assigned by iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the stratification of
//!   multi-label data", ECML PKDD 2011), over the numbers of masks of each target: the target with the fewest remaining
//!   masks is assigned first, each group to the split that lacks most of it.
//!
//! The result depends on the groups, the plan and the seed, but not on the order of the patients.

use std::collections::{BTreeMap, BTreeSet};

mod check;
mod stratify;

pub use check::{Assigned, crossings};
use stratify::{Unit, stratify};

use crate::digest::sha256;
use crate::store::rows::compare_ids;

/// Name of the part that models learn from: where the official splits of a group contradict each other it goes here.
pub const TRAIN: &str = "train";
/// Name of the part that is kept for the end.
pub const TEST: &str = "test";

/// A patient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patient {
    /// Id, with the source's name in front.
    pub id: String,
    /// First patient of the leak group, where the patient is in one.
    pub leak_group: Option<String>,
    /// Splits that the source publishes for slices of this patient.
    pub official: BTreeSet<String>,
    /// Number of slices.
    pub slices: u64,
    /// Masks by target.
    pub masks: BTreeMap<String, u64>,
}

/// What a split is to be.
#[derive(Clone, Debug, PartialEq)]
pub enum SplitPlan {
    /// Parts with their shares, which sum to 1.
    Fractions(Vec<(String, f64)>),
    /// So many folds of equal size.
    Folds(u32),
}

/// Options of a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What it is to be.
    pub plan: SplitPlan,
    /// Decides between parts that are equally good.
    pub seed: u64,
    /// Take no notice of official splits.
    pub ignore_official: bool,
}

/// Where a patient goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A part of [`SplitPlan::Fractions`]; with folds, the official test set, which is in no fold.
    Part(String),
    /// A fold, from 0: the patient is for test there, and for training in all others.
    Fold(u32),
}

/// A finished split.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// Place of each patient, in the order given.
    pub places: Vec<Place>,
    /// First patients of the groups that straddle official splits, sorted.
    pub straddling: Vec<String>,
    /// Official splits that no part is called after: their patients are assigned like the others.
    pub unknown: BTreeSet<String>,
}

/// Deals patients out.
pub fn split(patients: &[Patient], options: &Options) -> Split {
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, patient) in patients.iter().enumerate() {
        groups.entry(patient.leak_group.as_deref().unwrap_or(&patient.id)).or_default().push(at);
    }
    let parts: Vec<(Place, f64)> = match &options.plan {
        SplitPlan::Fractions(parts) => parts.iter().map(|(name, share)| (Place::Part(name.clone()), *share)).collect(),
        SplitPlan::Folds(n) => (0..*n).map(|fold| (Place::Fold(fold), 1.0 / f64::from(*n))).collect(),
    };
    let mut outcome =
        Split { places: vec![parts[0].0.clone(); patients.len()], straddling: Vec::new(), unknown: BTreeSet::new() };
    let mut free: Vec<Unit> = Vec::new();
    let mut members: Vec<&[usize]> = Vec::new();
    for (&name, group) in &groups {
        let official: BTreeSet<&str> = match options.ignore_official {
            true => BTreeSet::new(),
            false => group.iter().flat_map(|&at| patients[at].official.iter().map(String::as_str)).collect(),
        };
        if official.len() > 1 {
            outcome.straddling.push(name.to_string());
        }
        match kept(&official, &parts, &mut outcome.unknown) {
            Some(place) => group.iter().for_each(|&at| outcome.places[at] = place.clone()),
            None => {
                free.push(unit(name, group, patients));
                members.push(group);
            }
        }
    }
    let shares: Vec<f64> = parts.iter().map(|(_, share)| *share).collect();
    for (part, group) in stratify(&free, &shares, options.seed).into_iter().zip(members) {
        group.iter().for_each(|&at| outcome.places[at] = parts[part].0.clone());
    }
    outcome.straddling.sort_by(|a, b| compare_ids(a, b));
    outcome
}

/// The place that official splits give a group; `None` if it is assigned by stratification.
fn kept(official: &BTreeSet<&str>, parts: &[(Place, f64)], unknown: &mut BTreeSet<String>) -> Option<Place> {
    let folds = matches!(parts[0].0, Place::Fold(_));
    let only = match official.len() {
        0 => return None,
        1 => *official.first()?,
        // For training, wherever that is: with folds all that is not the official test set.
        _ if folds => return None,
        _ => TRAIN,
    };
    if folds {
        return (only == TEST).then(|| Place::Part(TEST.into()));
    }
    let part = parts.iter().map(|(place, _)| place).find(|place| matches!(place, Place::Part(name) if name == only));
    if part.is_none() {
        unknown.insert(only.to_string());
    }
    part.cloned().or_else(|| (official.len() > 1).then(|| parts[0].0.clone()))
}

/// A group as the stratification sees it.
fn unit(name: &str, group: &[usize], patients: &[Patient]) -> Unit {
    let mut masks: BTreeMap<String, u64> = BTreeMap::new();
    let mut slices = 0;
    for &at in group {
        slices += patients[at].slices;
        for (target, n) in patients[at].masks.iter().filter(|(_, n)| **n > 0) {
            *masks.entry(target.clone()).or_default() += n;
        }
    }
    Unit { digest: sha256(name.as_bytes()), slices, masks }
}

#[cfg(test)]
mod tests;
