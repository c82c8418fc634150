//! The stage `split`: assignment by leak groups, and its check.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::change::{EXACT, admit, finish, stage_digest};
use super::leaks::{PatientFacts, patients_of, read_records};
use super::slices_of::{build_shards, table_file};
use super::{Error, Existing, Outdated, Progress, Result};
use crate::leaks;
use crate::projection;
use crate::splits::{self, Assigned, Patient, Place, SplitPlan};
use crate::store::{
    Dataset, LeakRow, Partition, Receipt, Row, Rows, Shard, ShardKey, ShardState, SplitRow, Stage, Table, TableFile,
    Verify, noted,
};

projection! {
    /// What a mask counts for.
    struct Counted of Masks { mask_id: String, patient_id: String, target: String, excluded: bool }
}

/// Options of a split.
pub type SplitOptions = splits::Options;

/// What a split did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SplitReport {
    /// Parts or folds, in order.
    pub parts: Vec<PartTotal>,
    /// Masks of each target by part, in the order of the parts; those of excluded categories left out.
    pub targets: BTreeMap<String, Vec<u64>>,
    /// Whether `leaks` had been run; else only patients that share the same pixels are kept together.
    pub leaks_known: bool,
    /// Leak groups.
    pub groups: u64,
    /// Groups that straddle official splits, by their first patient: they are in `train`.
    pub straddling: Vec<String>,
    /// Official splits that no part is called after: their patients are assigned like others.
    pub unknown_official: Vec<String>,
    /// What the check found; empty in a split that holds.
    pub problems: Vec<String>,
    /// Shards that were done before.
    pub shards_reused: usize,
    /// Shards that were done now.
    pub shards_done: usize,
    /// A split of other options that was replaced.
    pub outdated: Outdated,
}

/// Size of a part or a fold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PartTotal {
    /// Its name; `fold 0` for a fold.
    pub name: String,
    /// Patients.
    pub patients: u64,
    /// Of these, patients whose official split was kept.
    pub official: u64,
    /// Slices.
    pub slices: u64,
    /// Masks, those of excluded categories left out.
    pub masks: u64,
}

/// What the check of a split found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SplitCheck {
    /// Patients of the dataset.
    pub patients: u64,
    /// Links between them.
    pub links: u64,
    /// Whether `leaks` had been run; else only the same pixels make a link.
    pub leaks_known: bool,
    /// What is wrong; empty where no patient and no leak group is on two sides.
    pub problems: Vec<String>,
}

/// What is known of the leaks of a dataset.
struct LeakLinks {
    /// Digest of the stage's shards; `None` where it was not run.
    digest: Option<String>,
    /// Pairs of linked patients.
    links: Vec<(String, String)>,
}

/// Splits a dataset and writes the table `splits`.
///
/// # Errors
/// A dataset without slices, or with rows that cannot be decoded; [`Error::Replaces`] where the dataset has a split of
/// other options, unless it is to be replaced.
pub fn split(
    dataset: &Dataset,
    options: &SplitOptions,
    existing: Existing,
    progress: &Progress,
) -> Result<SplitReport> {
    let _lock = dataset.lock()?;
    let (builds, files) = built(dataset)?;
    let known = leak_links(dataset, &files, progress)?;
    let groups = groups(&known.links);
    let facts = patients_of(&files)?;
    let mut patients: BTreeMap<&str, Patient> = BTreeMap::new();
    for (id, PatientFacts { official, slices, .. }) in &facts {
        let (official, leak_group) = (official.clone(), groups.get(id).cloned());
        let patient = Patient { id: id.clone(), leak_group, official, slices: *slices, masks: BTreeMap::new() };
        patients.insert(id, patient);
    }
    for row in Rows::<Counted>::of(builds.iter().flat_map(|build| table_file(dataset, build, Table::Masks)).collect()) {
        let Counted { patient_id, target, excluded, .. } = row?;
        if let Some(patient) = patients.get_mut(patient_id.as_str()).filter(|_| !excluded) {
            *patient.masks.entry(target).or_default() += 1;
        }
    }
    let patients: Vec<Patient> = patients.into_values().collect();
    let outcome = splits::split(&patients, options);

    let sources: BTreeSet<&str> = builds.iter().map(|build| build.source.as_str()).collect();
    let key = ShardKey::new()
        .with("builds", stage_digest(&dataset.receipts_of(Stage::Build)?, Stage::Build).unwrap_or_default())
        .with("leaks", known.digest.as_deref().unwrap_or(EXACT))
        .with("options", echo(options).to_string());
    let shard = |source: &&str| Ok(Shard::new(Stage::Split, Partition::source(source)?, key.clone()));
    let shards: Vec<Shard> = sources.iter().map(shard).collect::<Result<_>>()?;
    let replaced = admit(dataset, &shards, &["options"], &[], existing)?;
    let mut done = 0;
    for (source, shard) in sources.into_iter().zip(&shards) {
        if let ShardState::Done(_) = dataset.state(shard, Verify::Quick)? {
            done += 1;
        } else {
            let of_source = |(patient, place): (&Patient, &Place)| {
                let own = &facts[&patient.id].source;
                (own == source).then(|| row(patient, own, place))
            };
            let mut rows: Vec<SplitRow> = patients.iter().zip(&outcome.places).filter_map(of_source).collect();
            rows.sort_by(Row::compare);
            let mut writer = dataset.begin(shard);
            for row in rows {
                writer.push(row)?;
            }
            writer.finish()?;
        }
    }
    let outdated = finish(dataset, &shards, noted(dataset, Stage::Split.name(), &echo(options))?)?;
    let mut report = totals(&patients, &outcome.places, options);
    report.outdated = Outdated { replaced, ..outdated };
    report.leaks_known = known.digest.is_some();
    report.groups = groups.values().collect::<BTreeSet<_>>().len() as u64;
    report.straddling = outcome.straddling;
    report.unknown_official = outcome.unknown.into_iter().collect();
    report.problems = check_split(dataset, progress)?.problems;
    (report.shards_done, report.shards_reused) = (shards.len() - done, done);
    Ok(report)
}

/// Proves from the tables that no patient and no leak group is on two sides.
///
/// # Errors
/// A dataset without splits, or with rows that cannot be decoded.
pub fn check_split(dataset: &Dataset, progress: &Progress) -> Result<SplitCheck> {
    let (_, files) = built(dataset)?;
    let mut assigned = Vec::new();
    for row in dataset.rows::<SplitRow>()? {
        let SplitRow { patient_id, assigned_split, fold, .. } = row?;
        let place = assigned_split.map(Place::Part).or(fold.map(Place::Fold));
        assigned.push(Assigned { patient: patient_id, place });
    }
    if assigned.is_empty() {
        let reason = "the dataset has no split; run `medcosmos split` first".to_string();
        return Err(Error::Nothing { path: dataset.path().to_path_buf(), reason });
    }
    let known = leak_links(dataset, &files, progress)?;
    let patients = patients_of(&files)?;
    let problems = splits::crossings(&assigned, patients.keys().map(String::as_str), &known.links);
    Ok(SplitCheck {
        patients: patients.len() as u64,
        links: known.links.len() as u64,
        leaks_known: known.digest.is_some(),
        problems,
    })
}

/// The build, and the files of its slices.
fn built(dataset: &Dataset) -> Result<(Vec<Receipt>, Vec<TableFile>)> {
    let builds = build_shards(dataset)?;
    if builds.is_empty() {
        let reason = "the dataset has no slices; run `medcosmos build` first".to_string();
        return Err(Error::Nothing { path: dataset.path().to_path_buf(), reason });
    }
    let files = builds.iter().flat_map(|build| table_file(dataset, build, Table::Slices)).collect();
    Ok((builds, files))
}

/// The leaks that `leaks` found in this build; where it was not run, what has the same pixels.
fn leak_links(dataset: &Dataset, files: &[TableFile], progress: &Progress) -> Result<LeakLinks> {
    let builds = stage_digest(&dataset.receipts_of(Stage::Build)?, Stage::Build);
    let receipts = dataset.receipts_of(Stage::Leaks)?;
    if !receipts.is_empty() && receipts.iter().all(|r| r.key.get("builds") == builds.as_deref()) {
        let mut links = Vec::new();
        for row in dataset.rows::<LeakRow>()? {
            let row = row?;
            links.push((row.patient_id, row.other_patient_id));
        }
        return Ok(LeakLinks { digest: stage_digest(&receipts, Stage::Leaks), links });
    }
    let (records, _) = read_records(files, progress)?;
    let name = |patient: u32| records.patient_id(patient).to_string();
    let links = leaks::found(&records, []).links.iter().map(|link| (name(link.patient), name(link.other))).collect();
    Ok(LeakLinks { digest: None, links })
}

/// The leak group of each linked patient: its first patient.
fn groups(links: &[(String, String)]) -> BTreeMap<String, String> {
    let names: BTreeSet<&String> = links.iter().flat_map(|(a, b)| [a, b]).collect();
    let mut names: Vec<&String> = names.into_iter().collect();
    names.sort_by(|a, b| crate::store::rows::compare_ids(a, b));
    let numbers: BTreeMap<&String, u32> =
        names.iter().enumerate().map(|(number, name)| (*name, number as u32)).collect();
    let mut components = leaks::Components::new();
    links.iter().for_each(|(a, b)| components.join(numbers[a], numbers[b]));
    let name = |number: u32| names[number as usize].clone();
    components.first_of_each().into_iter().map(|(patient, first)| (name(patient), name(first))).collect()
}

fn row(patient: &Patient, source: &str, place: &Place) -> SplitRow {
    let official: Vec<&str> = patient.official.iter().map(String::as_str).collect();
    SplitRow {
        patient_id: patient.id.clone(),
        source: source.to_string(),
        leak_group: patient.leak_group.clone(),
        official_split: (!official.is_empty()).then(|| official.join(", ")),
        assigned_split: match place {
            Place::Part(name) => Some(name.clone()),
            Place::Fold(_) => None,
        },
        fold: match place {
            Place::Part(_) => None,
            Place::Fold(fold) => Some(*fold),
        },
        n_slices: patient.slices as u32,
        n_masks: patient.masks.values().sum::<u64>() as u32,
    }
}

fn name(place: &Place) -> String {
    match place {
        Place::Part(name) => name.clone(),
        Place::Fold(fold) => format!("fold {fold}"),
    }
}

fn totals(patients: &[Patient], places: &[Place], options: &SplitOptions) -> SplitReport {
    let mut names: Vec<String> = match &options.plan {
        SplitPlan::Fractions(parts) => parts.iter().map(|(name, _)| name.clone()).collect(),
        SplitPlan::Folds(n) => (0..*n).map(|fold| name(&Place::Fold(fold))).collect(),
    };
    // With folds, an official test set exists in addition to them.
    let beside: BTreeSet<String> = places.iter().map(name).filter(|name| !names.contains(name)).collect();
    names.extend(beside);
    let parts = names.iter().map(|name| PartTotal { name: name.clone(), ..PartTotal::default() }).collect();
    let mut report = SplitReport { parts, ..SplitReport::default() };
    for (patient, place) in patients.iter().zip(places) {
        let place = name(place);
        let Some(at) = names.iter().position(|name| *name == place) else { continue };
        let part = &mut report.parts[at];
        part.patients += 1;
        part.official += u64::from(!options.ignore_official && patient.official.contains(&place));
        part.slices += patient.slices;
        for (target, n) in &patient.masks {
            part.masks += n;
            report.targets.entry(target.clone()).or_insert_with(|| vec![0; names.len()])[at] += n;
        }
    }
    report
}

/// The options as they are noted in the dataset and in the key.
fn echo(options: &SplitOptions) -> serde_json::Value {
    let plan = match &options.plan {
        SplitPlan::Fractions(parts) => serde_json::json!({ "fractions": parts }),
        SplitPlan::Folds(n) => serde_json::json!({ "folds": n }),
    };
    serde_json::json!({ "plan": plan, "seed": options.seed, "ignore_official": options.ignore_official })
}
