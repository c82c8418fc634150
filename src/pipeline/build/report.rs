//! The report of a build: counts and reasons.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::pipeline::{Outdated, Result};
use crate::raw::Link;
use crate::slices::placement::Placement;
use crate::sources::{FileUse, NearMiss, Scan};
use crate::spec::Registry;
use crate::store::{CaseRow, CaseStatus, Dataset, Stage, Table};

/// What a build did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BuildReport {
    /// By source, in alphabetical order.
    pub sources: BTreeMap<String, SourceReport>,
    /// Files that no source claims.
    pub unclaimed: Vec<String>,
    /// The sources that were asked for, where not all were looked for: what is in `unclaimed` may belong to others.
    pub chosen: Option<Vec<String>>,
    /// Sources that are nearly there.
    pub near: Vec<NearMiss>,
    /// Archives and files that could not be read, with the reason.
    pub problems: Vec<(String, String)>,
    /// Cases that the dataset had, and that are not part of it any longer: their files are missing, damaged or others.
    pub lost: Vec<String>,
    /// Results of later stages that belonged to what this build replaced.
    pub outdated: Outdated,
    /// Links that lead out of the folder of downloads.
    pub links: Vec<Link>,
    /// Shards that were done before.
    pub shards_reused: usize,
    /// Shards that were done now.
    pub shards_done: usize,
}

/// What a build did with one source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceReport {
    /// Release that was recognised.
    pub release: String,
    /// Cases that gave slices.
    pub cases: u64,
    /// Slices kept.
    pub slices: u64,
    /// Masks kept.
    pub masks: u64,
    /// Slices without any object.
    pub empty_slices: u64,
    /// Slices whose objects were all too small.
    pub dropped_slices: u64,
    /// Masks that were too small.
    pub dropped_masks: u64,
    /// Cases by how their masks found their places, except for those on the image's own grid.
    pub placements: BTreeMap<Placement, u64>,
    /// Cases left out, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Cases that failed, with the reason.
    pub failed: Vec<(String, String)>,
    /// Patients that are named as persons are, and have a pseudonym in the tables.
    pub pseudonyms: u64,
    /// Files that cases use.
    pub files_used: u64,
    /// Files not used by any case.
    pub files_skipped: u64,
    /// By what images and masks were joined.
    pub joined: Vec<String>,
    /// What a user should know of it, a sentence each.
    pub notes: Vec<String>,
}

impl BuildReport {
    /// True where no case gave a slice.
    pub fn empty(&self) -> bool {
        self.sources.values().all(|source| source.cases == 0)
    }

    /// True where every case that was found was built, and every archive could be read.
    pub fn clean(&self) -> bool {
        self.problems.is_empty() && self.sources.values().all(|s| s.failed.is_empty())
    }
}

/// Name of the count of a receipt that tells how many cases were placed so.
pub(super) fn placement_count(placement: Placement) -> String {
    format!("placement_{placement}")
}

/// Reads the outcome back from the dataset, so that a resumed run reports the whole and not its own part.
pub(super) fn report(dataset: &Dataset, found: &Scan, registry: &Registry) -> Result<BuildReport> {
    let mut report = BuildReport::default();
    for source in &found.sources {
        let entry = report.sources.entry(source.slug.clone()).or_default();
        entry.release = source.release.clone();
        entry.notes = source.notes.clone();
        entry.joined = source.joined_by(registry.get(&source.slug)?);
        let hidden = source.cases.iter().filter(|case| case.pseudonym.is_some()).map(|case| &case.patient);
        entry.pseudonyms = hidden.collect::<BTreeSet<_>>().len() as u64;
        let used = |file: &&FileUse| matches!(file, FileUse::Used { source: s } if *s == source.slug);
        entry.files_used = found.files.iter().filter(used).count() as u64;
        let skipped = |file: &&FileUse| matches!(file, FileUse::Skipped { source: s, .. } if *s == source.slug);
        entry.files_skipped = found.files.iter().filter(skipped).count() as u64;
    }
    for receipt in dataset.receipts_of(Stage::Build)? {
        let Some(entry) = report.sources.get_mut(&receipt.source) else {
            continue;
        };
        let count = |name: &str| receipt.counts.get(name).copied().unwrap_or(0);
        entry.cases += count("case");
        entry.slices += receipt.rows(Table::Slices);
        entry.masks += receipt.rows(Table::Masks);
        entry.empty_slices += count("slice_empty");
        entry.dropped_slices += count("slice_dropped_small");
        entry.dropped_masks += count("mask_dropped_small");
        for placement in Placement::ALL.into_iter().filter(|p| *p != Placement::Same) {
            let cases = count(&placement_count(placement));
            if cases > 0 {
                *entry.placements.entry(placement).or_default() += cases;
            }
        }
    }
    for row in dataset.rows::<CaseRow>()? {
        let row = row?;
        let Some(entry) = report.sources.get_mut(&row.source) else { continue };
        match row.status {
            CaseStatus::Skipped => entry.skipped.push((row.case_id, row.reason.unwrap_or_default())),
            CaseStatus::Failed => entry.failed.push((row.case_id, row.reason.unwrap_or_default())),
            CaseStatus::Ok => {}
        }
    }
    Ok(report)
}

pub(super) fn unclaimed(found: &Scan, paths: &[&str]) -> Vec<String> {
    let free = found.files.iter().zip(paths).filter(|(file, _)| **file == FileUse::Unclaimed);
    free.map(|(_, path)| path.to_string()).collect()
}
