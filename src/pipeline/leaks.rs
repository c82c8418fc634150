//! The stage `leaks`: duplicate patients and images. It flags them and deletes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use serde::Serialize;

use super::change::{admit, finish, stage_digest};
use super::slices_of::{build_shards, decode_picture, table_file};
use super::{Error, Existing, Outdated, Progress, Result};
use crate::digest::canonical_json;
use crate::leaks::similarity::similarity;
use crate::leaks::{self, Declaration, Leaks, Options, Record, Records, Suspicion};
use crate::projection;
use crate::slices::luma_fields;
use crate::spec::{Registry, Spec};
use crate::store::{
    self, Bytes, Dataset, DuplicateRow, EncodedImage, LeakKind, LeakRow, Partition, Row, Rows, Shard, ShardKey,
    ShardState, Stage, Table, TableFile, Verify, noted,
};

projection! {
    /// What the search needs of a slice.
    struct Look of Slices {
        slice_id: String,
        case_id: String,
        patient_id: String,
        source: String,
        split: Option<String>,
        height: u32,
        width: u32,
        pixels_sha256: String,
        thumbnail: Bytes,
    }
}

projection! {
    /// The picture of a slice, with what is needed to decode it.
    struct Picture of Slices { slice_id: String, height: u32, width: u32, channels: u8, image: EncodedImage }
}

projection! {
    /// Official splits of patients.
    struct Official of Slices { slice_id: String, patient_id: String, source: String, split: Option<String> }
}

/// Suspicions that are looked at together: their pictures are in memory, at 4 kB each.
const LOOKED_AT: usize = 20_000;

/// What was found, read back from the tables.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeaksReport {
    /// Slices of the dataset.
    pub slices: u64,
    /// Patients of the dataset.
    pub patients: u64,
    /// Links, by pair of sources and kind.
    pub links: Vec<LinkTotal>,
    /// Groups of patients that are linked with each other.
    pub groups: u64,
    /// Patients in these groups.
    pub grouped_patients: u64,
    /// Slices that show what another one shows.
    pub duplicates: u64,
    /// Of these, slices that are not the first to show it.
    pub repeated: u64,
    /// Links between official splits.
    pub crossing: Vec<Crossing>,
    /// Overlaps that sources declare without saying which patient is which.
    pub unmapped: Vec<Unmapped>,
    /// Shards that were done before.
    pub shards_reused: usize,
    /// Shards that were done now.
    pub shards_done: usize,
    /// Leaks of other options that were replaced, and splits that were made without these leaks and removed.
    pub outdated: Outdated,
}

impl LeaksReport {
    /// True where a patient or an image is found twice.
    pub fn leaks(&self) -> bool {
        !self.links.is_empty()
    }
}

/// Links of two sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkTotal {
    /// Source of the first patients.
    pub source: String,
    /// Source of the others; may be the same.
    pub other: String,
    /// How it is known.
    pub kind: LeakKind,
    /// Pairs of patients.
    pub pairs: u64,
    /// Slices of the first patients that have a twin in the others.
    pub slices: u64,
    /// Pairs of patients in different official splits.
    pub crossing: u64,
}

/// A link that crosses official splits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Crossing {
    /// Patient.
    pub patient: String,
    /// Its official splits.
    pub splits: Vec<String>,
    /// The other patient; the same one, where an image is in two of its splits.
    pub other: String,
    /// Official splits of the other.
    pub other_splits: Vec<String>,
    /// How it is known.
    pub kind: LeakKind,
}

/// An overlap that is declared without a map of patients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmapped {
    /// The source that says so.
    pub source: String,
    /// The other.
    pub other: String,
    /// What is shared, in its words.
    pub note: String,
    /// Pairs of patients that the pixels show.
    pub pairs: u64,
}

/// Looks for leaks and writes the tables `leaks` and `duplicates`.
///
/// # Errors
/// A dataset without slices, or with rows that cannot be decoded; [`Error::Replaces`] where the dataset has leaks of
/// other options or splits that were made without these leaks, unless they are to be replaced.
pub fn leaks(
    dataset: &Dataset,
    registry: &Registry,
    options: &Options,
    existing: Existing,
    progress: &Progress,
) -> Result<LeaksReport> {
    let _lock = dataset.lock()?;
    let builds = build_shards(dataset)?;
    if builds.is_empty() {
        let reason = "the dataset has no slices; run `medcosmos build` first".to_string();
        return Err(Error::Nothing { path: dataset.path().to_path_buf(), reason });
    }
    let sources: BTreeSet<&str> = builds.iter().map(|build| build.source.as_str()).collect();
    let specs: Vec<&Spec> = registry.specs().iter().filter(|spec| sources.contains(spec.slug.as_str())).collect();
    let key = ShardKey::new()
        .with("builds", stage_digest(&dataset.receipts_of(Stage::Build)?, Stage::Build).unwrap_or_default())
        .with_json("options", options)
        .with_digest_of("overlaps", specs.iter().map(|spec| canonical_json(&(&spec.slug, &spec.overlaps))));
    let shard = |source: &&str| Ok(Shard::new(Stage::Leaks, Partition::source(source)?, key.clone()));
    let shards: Vec<Shard> = sources.iter().map(shard).collect::<Result<_>>()?;
    let replaced = admit(dataset, &shards, &["options"], &[Stage::Split], existing)?;
    let done = |shard: &Shard| Ok(matches!(dataset.state(shard, Verify::Quick)?, ShardState::Done(_)));
    // One search fills the shards of all sources, so that one that is missing costs as much as all.
    let all_done = shards.iter().map(done).collect::<Result<Vec<bool>>>()?.into_iter().all(|done| done);
    let files: Vec<TableFile> = builds.iter().flat_map(|build| table_file(dataset, build, Table::Slices)).collect();
    if !all_done {
        let (records, starts) = read_records(&files, progress)?;
        let found = search(&records, &files, &starts, &specs, options, progress)?;
        write(dataset, &records, &found, &shards)?;
    }
    let outdated = finish(dataset, &shards, noted(dataset, Stage::Leaks.name(), options)?)?;
    let (mut report, shown) = report(dataset, &files)?;
    report.unmapped = unmapped(&sources, &specs, &shown);
    report.outdated = Outdated { replaced, ..outdated };
    (report.shards_done, report.shards_reused) = if all_done { (0, shards.len()) } else { (shards.len(), 0) };
    Ok(report)
}

/// The slices of some files, and the number of the first slice of each.
pub(super) fn read_records(files: &[TableFile], progress: &Progress) -> Result<(Records, Vec<u32>)> {
    let slices = files.iter().map(|file| file.file.rows).sum();
    progress.begin("reading", "slices", slices);
    let (mut filling, mut starts, mut n) = (Records::filling(slices as usize), Vec::with_capacity(files.len()), 0);
    for some in files.chunks(2 * rayon::current_num_threads()) {
        let read = |file: &TableFile| Rows::<Look>::of(vec![file.clone()]).collect::<store::Result<Vec<Look>>>();
        let read: Vec<Vec<Look>> = some.par_iter().map(read).collect::<store::Result<_>>()?;
        for rows in &read {
            starts.push(n);
            n += rows.len() as u32;
            for row in rows {
                let record = Record {
                    slice_id: &row.slice_id,
                    case_id: &row.case_id,
                    patient_id: &row.patient_id,
                    source: &row.source,
                    split: row.split.as_deref(),
                    size: [row.width, row.height],
                    pixels_sha256: &row.pixels_sha256,
                    thumbnail: &row.thumbnail,
                };
                filling.push(record).map_err(|(id, reason)| Error::Damaged { id, reason })?;
            }
            progress.advance(rows.len() as u64);
        }
    }
    progress.end();
    Ok((filling.finish(), starts))
}

fn search(
    records: &Records,
    files: &[TableFile],
    starts: &[u32],
    specs: &[&Spec],
    options: &Options,
    progress: &Progress,
) -> Result<Leaks> {
    let suspicions = leaks::suspects(records, options);
    progress.begin("looking", "suspicions", suspicions.len() as u64);
    let mut confirmed: Vec<&Suspicion> = Vec::new();
    for some in suspicions.chunks(LOOKED_AT) {
        let looks = some.iter().flat_map(|suspicion| suspicion.looks(records)).collect();
        let pictures = read_pictures(records, files, starts, &looks)?;
        let look = |a, b, side| match (pictures.get(&(a, side)), pictures.get(&(b, side))) {
            (Some(a), Some(b)) => similarity(a, b, side),
            _ => 0.0, // never: both were asked for
        };
        let holds: Vec<bool> = some.par_iter().map(|suspicion| suspicion.holds(records, options, look)).collect();
        confirmed.extend(some.iter().zip(holds).filter(|(_, holds)| *holds).map(|(suspicion, _)| suspicion));
        progress.advance(some.len() as u64);
    }
    progress.end();
    let mut found = leaks::found(records, confirmed);
    let spec_error =
        |reason| Error::Spec(crate::spec::Error::Invalid { path: "overlaps".into(), problems: vec![reason] });
    found.add(leaks::declared(records, specs.iter().copied()).map_err(spec_error)?);
    Ok(found)
}

/// Grey levels of slices at so many fields along a side.
type Pictures = HashMap<(u32, usize), Vec<u8>>;
/// One of them.
type Read = ((u32, usize), Vec<u8>);

fn read_pictures(
    records: &Records,
    files: &[TableFile],
    starts: &[u32],
    looks: &BTreeSet<(u32, usize)>,
) -> Result<Pictures> {
    let of_file = |at: usize| -> Result<Vec<Read>> {
        let end = starts.get(at + 1).copied().unwrap_or(records.len() as u32);
        let mut wanted: BTreeMap<&str, (u32, Vec<usize>)> = BTreeMap::new();
        for &(slice, side) in looks.range((starts[at], 0)..(end, 0)) {
            wanted.entry(records.slice_id(slice)).or_insert((slice, Vec::new())).1.push(side);
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = Rows::<Picture>::of(vec![files[at].clone()]).only(wanted.keys().map(ToString::to_string));
        let mut pictures = Vec::new();
        for row in rows {
            let row = row?;
            let Some((slice, sides)) = wanted.get(row.slice_id.as_str()) else { continue };
            let pixels = decode_picture(&row.slice_id, &row.image.bytes, [row.height, row.width], row.channels)?;
            let [width, height] = [row.width, row.height].map(|side| side as usize);
            pictures.extend(
                sides.iter().map(|&side| ((*slice, side), luma_fields(&pixels, width, height, row.channels, side))),
            );
        }
        Ok(pictures)
    };
    let read: Vec<Vec<Read>> = (0..files.len()).into_par_iter().map(of_file).collect::<Result<_>>()?;
    Ok(read.into_iter().flatten().collect())
}

fn write(dataset: &Dataset, records: &Records, found: &Leaks, shards: &[Shard]) -> Result<()> {
    let groups = found.groups();
    let group = |patient: u32| records.patient_id(groups.get(&patient).copied().unwrap_or(patient)).to_string();
    let id = |slice: u32| records.slice_id(slice).to_string();
    let link_row = |link: &leaks::Link| LeakRow {
        patient_id: records.patient_id(link.patient).into(),
        source: records.source(link.patient).into(),
        other_patient_id: records.patient_id(link.other).into(),
        other_source: records.source(link.other).into(),
        kind: link.kind,
        slices: link.slices,
        similarity: link.twins.map(|twins| rounded(twins.similarity)),
        slice_id: link.twins.map(|twins| id(twins.a)),
        other_slice_id: link.twins.map(|twins| id(twins.b)),
        leak_group: group(link.patient),
    };
    let duplicate_row = |duplicate: &leaks::Duplicate| {
        let patient = records.patient_of(duplicate.slice);
        DuplicateRow {
            slice_id: id(duplicate.slice),
            source: records.source(patient).into(),
            patient_id: records.patient_id(patient).into(),
            split: records.split_of(duplicate.slice).map(String::from),
            first_slice_id: id(duplicate.first),
            kind: duplicate.kind,
            similarity: rounded(duplicate.similarity),
            leak_group: group(patient),
        }
    };
    let mut links: Vec<LeakRow> = found.links.iter().map(link_row).collect();
    links.sort_by(Row::compare);
    let mut duplicates: Vec<DuplicateRow> = found.duplicates.iter().map(duplicate_row).collect();
    duplicates.sort_by(Row::compare);
    for shard in shards {
        let source = shard.partition().source_name();
        let mut writer = dataset.begin(shard);
        for row in links.iter().filter(|row| row.source == source) {
            writer.push(row.clone())?;
        }
        for row in duplicates.iter().filter(|row| row.source == source) {
            writer.push(row.clone())?;
        }
        writer.finish()?;
    }
    Ok(())
}

/// A correlation to four decimals, which is more than it means.
fn rounded(similarity: f32) -> f64 {
    (f64::from(similarity) * 1e4).round() / 1e4
}

/// Pairs of patients that pixels link, by their sources.
type Shown = BTreeMap<(String, String), BTreeSet<(String, String)>>;

/// What the tables say.
fn report(dataset: &Dataset, files: &[TableFile]) -> Result<(LeaksReport, Shown)> {
    let mut shown = Shown::new();
    let patients = patients_of(files)?;
    let slices = patients.values().map(|patient| patient.slices).sum();
    let mut report = LeaksReport { slices, patients: patients.len() as u64, ..LeaksReport::default() };
    let mut totals: BTreeMap<(String, String, LeakKind), LinkTotal> = BTreeMap::new();
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in dataset.rows::<LeakRow>()? {
        let row = row?;
        let of = |patient: &String| patients.get(patient).map(|facts| facts.official.clone()).unwrap_or_default();
        let (own, others) = (of(&row.patient_id), of(&row.other_patient_id));
        let known: BTreeSet<&String> = own.iter().chain(&others).collect();
        let crosses = known.len() > 1 && !own.is_empty() && !others.is_empty();
        if crosses {
            report.crossing.push(Crossing {
                patient: row.patient_id.clone(),
                splits: own.into_iter().collect(),
                other: row.other_patient_id.clone(),
                other_splits: others.into_iter().collect(),
                kind: row.kind,
            });
        }
        let mut sources = [row.source, row.other_source];
        sources.sort();
        let [source, other] = sources;
        if row.kind != LeakKind::Declared {
            let pair = (row.patient_id.clone(), row.other_patient_id.clone());
            shown.entry((source.clone(), other.clone())).or_default().insert(pair);
        }
        let key = (source.clone(), other.clone(), row.kind);
        let total =
            totals.entry(key).or_insert(LinkTotal { source, other, kind: row.kind, pairs: 0, slices: 0, crossing: 0 });
        total.pairs += 1;
        total.slices += u64::from(row.slices);
        total.crossing += u64::from(crosses);
        groups.entry(row.leak_group).or_default().extend([row.patient_id, row.other_patient_id]);
    }
    report.links = totals.into_values().collect();
    report.groups = groups.len() as u64;
    report.grouped_patients = groups.values().map(|patients| patients.len() as u64).sum();
    for row in dataset.rows::<DuplicateRow>()? {
        let row = row?;
        report.duplicates += 1;
        report.repeated += u64::from(row.first_slice_id != row.slice_id);
    }
    Ok((report, shown))
}

/// What the slices say of a patient.
#[derive(Clone, Debug)]
pub(super) struct PatientFacts {
    pub(super) source: String,
    /// Official splits of the slices.
    pub(super) official: BTreeSet<String>,
    pub(super) slices: u64,
}

/// All patients of some files of slices.
pub(super) fn patients_of(files: &[TableFile]) -> Result<BTreeMap<String, PatientFacts>> {
    let mut patients: BTreeMap<String, PatientFacts> = BTreeMap::new();
    for row in Rows::<Official>::of(files.to_vec()) {
        let Official { patient_id, source, split, .. } = row?;
        let new = || PatientFacts { source, official: BTreeSet::new(), slices: 0 };
        let patient = patients.entry(patient_id).or_insert_with(new);
        patient.official.extend(split);
        patient.slices += 1;
    }
    Ok(patients)
}

/// Overlaps without a map of patients, each pair of sources once, with what the pixels show.
fn unmapped(sources: &BTreeSet<&str>, specs: &[&Spec], shown: &Shown) -> Vec<Unmapped> {
    let declarations = leaks::declarations(sources, specs.iter().copied());
    let pair = |d: &Declaration| (d.source.clone().min(d.other.clone()), d.source.clone().max(d.other.clone()));
    let mut said: BTreeSet<(String, String)> = declarations.iter().filter(|d| d.mapped).map(pair).collect();
    let mut out = Vec::new();
    for declaration in declarations {
        let pair = pair(&declaration);
        let pairs = shown.get(&pair).map_or(0, |pairs| pairs.len() as u64);
        if said.insert(pair) {
            let Declaration { source, other, note, .. } = declaration;
            out.push(Unmapped { source, other, note, pairs });
        }
    }
    out
}
