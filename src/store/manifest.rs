//! The manifest: the shards that a commit found complete.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dataset::Dataset;
use super::durable;
use super::error::{Error, Result, io};
use super::layout::{self, RECEIPTS};
use super::names::Stage;
use super::schema::{SCHEMA_VERSION, Table};
use super::shard::{FileFault, Receipt, Shard, ShardFile, ShardId, Verify};
use crate::digest::sha256_file;

/// `manifest.json`: everything in a dataset, file by file. The same inputs and options give the same manifest, byte for
/// byte, however the work was cut and however often it was interrupted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// How often each thing worth counting came up: by stage, then by reason.
    pub counts: BTreeMap<Stage, BTreeMap<String, u64>>,
    /// The options that each stage was run with.
    pub options: BTreeMap<String, Value>,
    /// Version of the tables.
    pub schema_version: u32,
    /// Finished shards, sorted by the path of their receipts.
    pub shards: Vec<ManifestShard>,
    /// Sums over all shards, by table.
    pub tables: BTreeMap<Table, TableTotal>,
}

/// A finished shard in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestShard {
    /// Its files, by table.
    pub files: BTreeMap<Table, ShardFile>,
    /// Its id.
    pub id: ShardId,
    /// Path of its receipt inside the dataset.
    pub receipt: String,
    /// Its stage.
    pub stage: Stage,
}

/// Size of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableTotal {
    /// Bytes of its files.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
    /// Number of rows.
    pub rows: u64,
}

/// A fault that stands in the way of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// An expected shard has no receipt.
    MissingShard {
        /// Path that its receipt would have.
        receipt: String,
    },
    /// A receipt cannot be read or contradicts itself.
    BrokenReceipt {
        /// Path.
        receipt: String,
        /// What is wrong.
        reason: String,
    },
    /// A finished shard that is not expected.
    ForeignShard {
        /// Path of its receipt.
        receipt: String,
    },
    /// A file that a receipt vouches for is not there.
    MissingFile {
        /// Path.
        path: String,
    },
    /// A file is not what its receipt says.
    AlteredFile {
        /// Path.
        path: String,
        /// What differs.
        reason: String,
    },
    /// A file among the tables that no receipt vouches for.
    ForeignFile {
        /// Path.
        path: String,
    },
    /// A finished shard that no commit has taken into the manifest.
    Uncommitted {
        /// Path of its receipt.
        receipt: String,
    },
    /// The manifest is not what the receipts add up to, or is not there.
    WrongManifest {
        /// What differs.
        reason: String,
    },
}

impl Problem {
    /// The path inside the dataset that it is about.
    pub fn path(&self) -> &str {
        match self {
            Problem::MissingShard { receipt }
            | Problem::BrokenReceipt { receipt, .. }
            | Problem::ForeignShard { receipt }
            | Problem::Uncommitted { receipt } => receipt,
            Problem::MissingFile { path } | Problem::AlteredFile { path, .. } | Problem::ForeignFile { path } => path,
            Problem::WrongManifest { .. } => layout::MANIFEST,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::MissingShard { receipt } => write!(f, "missing shard: {receipt}: run its stage again"),
            Problem::BrokenReceipt { receipt, reason } => write!(f, "broken receipt: {receipt}: {reason}"),
            Problem::ForeignShard { receipt } => {
                write!(f, "foreign shard: {receipt}: matches neither the inputs nor the options of this run")
            }
            Problem::MissingFile { path } => write!(f, "missing file: {path}: run its stage again"),
            Problem::AlteredFile { path, reason } => write!(f, "altered file: {path} {reason}: run its stage again"),
            Problem::ForeignFile { path } => write!(f, "foreign file: {path}: not listed in any receipt"),
            Problem::Uncommitted { receipt } => {
                write!(f, "shard not committed: {receipt}: complete its stage")
            }
            Problem::WrongManifest { reason } => write!(f, "wrong manifest: {reason}: run the last stage again"),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} {reason}", self.path),
            None => write!(f, "{} is missing", self.path),
        }
    }
}

impl From<FileFault> for Problem {
    fn from(FileFault { path, reason }: FileFault) -> Self {
        match reason {
            Some(reason) => Problem::AlteredFile { path, reason },
            None => Problem::MissingFile { path },
        }
    }
}

impl Manifest {
    /// The manifest of a dataset; `None` before its first commit.
    ///
    /// # Errors
    /// [`Error::Damaged`] and errors of reading.
    pub fn read(dataset: &Dataset) -> Result<Option<Manifest>> {
        let path = dataset.path().join(layout::MANIFEST);
        match fs::read(&path) {
            Ok(text) => {
                let damaged = |e| Error::Damaged { path, reason: format!("not a manifest: {e}") };
                Ok(Some(serde_json::from_slice(&text).map_err(damaged)?))
            }
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, "read")(error)),
        }
    }

    /// SHA-256 of the file; `None` before the first commit. Equal digests are equal datasets.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn digest(dataset: &Dataset) -> Result<Option<String>> {
        let path = dataset.path().join(layout::MANIFEST);
        match sha256_file(&path) {
            Ok((_, digest)) => Ok(Some(digest)),
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, "read")(error)),
        }
    }

    /// The manifest of these shards, by the paths of their receipts.
    fn of(receipts: BTreeMap<String, Receipt>, options: BTreeMap<String, Value>) -> Manifest {
        let mut manifest = Manifest {
            counts: BTreeMap::new(),
            options,
            schema_version: SCHEMA_VERSION,
            shards: Vec::with_capacity(receipts.len()),
            tables: Table::ALL.iter().map(|&table| (table, TableTotal::default())).collect(),
        };
        for (path, receipt) in receipts {
            let counts = manifest.counts.entry(receipt.stage).or_default();
            for (reason, n) in receipt.counts {
                *counts.entry(reason).or_default() += n;
            }
            for (&table, file) in &receipt.files {
                let total = manifest.tables.entry(table).or_default();
                total.bytes += file.bytes;
                total.files += 1;
                total.rows += file.rows;
            }
            let Receipt { files, id, stage, .. } = receipt;
            manifest.shards.push(ManifestShard { files, id, receipt: path, stage });
        }
        manifest
    }

    fn write(&self, dataset: &Dataset) -> Result<()> {
        durable::write_json(dataset.path(), &dataset.path().join(layout::MANIFEST), self)
    }
}

/// Checks that the dataset holds the expected shards, and no others in their partitions, and writes the manifest.
///
/// The list decides on the partitions that it names (a stage, a source, and a model where there is one), and must name
/// every shard of those. A partition that it does not name stays as the last manifest has it: so a stage, a source or a
/// model can be added to a dataset and committed without the inputs of the others. What another run has begun there,
/// and not committed yet, is left alone.
///
/// # Errors
/// [`Error::Refused`] with every missing, foreign and altered shard or file; the manifest is then left as it was.
pub fn commit(dataset: &Dataset, expected: &[Shard], verify: Verify) -> Result<Manifest> {
    let Survey { receipts, problems } = survey(dataset, expected, verify)?;
    if !problems.is_empty() {
        return Err(Error::Refused { problems });
    }
    let manifest = Manifest::of(receipts, dataset.options()?);
    manifest.write(dataset)?;
    Ok(manifest)
}

/// Removes from the partitions that `expected` names every shard that it does not, finished or not: what is left of
/// other options, releases or versions. Returns the paths removed. Not while other processes write to these partitions.
///
/// # Errors
/// Errors of reading and removing.
pub fn discard_stale(dataset: &Dataset, expected: &[Shard]) -> Result<Vec<String>> {
    let folders = receipt_folders(expected);
    let wanted: BTreeSet<String> = expected.iter().map(Shard::receipt_path).collect();
    let stale = |path: &String| folders.contains(folder_of(path)) && !wanted.contains(path);
    let (mut removed, kept): (Vec<String>, Vec<String>) = dataset.files_in(RECEIPTS)?.into_iter().partition(stale);

    let mut vouched: BTreeSet<String> = expected.iter().flat_map(Shard::file_paths).collect();
    for path in kept.iter().filter(|path| !wanted.contains(*path)) {
        let files = Receipt::read(dataset.path(), path)?.map(|receipt| receipt.files).unwrap_or_default();
        vouched.extend(files.into_values().map(|file| file.path));
    }
    let folders = table_folders(expected);
    for &table in Table::ALL {
        let orphan = |path: &String| folders.contains(folder_of(path)) && !vouched.contains(path);
        removed.extend(dataset.files_in(table.name())?.into_iter().filter(orphan));
    }
    // Receipts come first in the list: nothing may vouch for a file that is gone.
    for relative in &removed {
        let path = dataset.path().join(relative);
        fs::remove_file(&path).map_err(io(&path, "remove"))?;
    }
    Ok(removed)
}

/// Removes every finished shard for which `unwanted` is true, in whatever partition it stands, and takes it out of the
/// manifest. Returns the paths of the receipts removed. Not while other processes write to the dataset.
///
/// # Errors
/// [`Error::Damaged`] for a file that is not a receipt, and errors of reading, writing and removing.
pub fn discard(dataset: &Dataset, unwanted: impl Fn(&Receipt) -> bool) -> Result<Vec<String>> {
    let (mut removed, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for path in dataset.files_in(RECEIPTS)? {
        if let Some(receipt) = Receipt::read(dataset.path(), &path)? {
            let side = if unwanted(&receipt) { &mut removed } else { &mut kept };
            side.insert(path, receipt);
        }
    }
    if removed.is_empty() {
        return Ok(Vec::new());
    }
    // Killed after any of these steps, the next call finds the receipts and does the rest.
    if let Some(manifest) = Manifest::read(dataset)? {
        let committed: BTreeSet<String> = manifest.shards.into_iter().map(|shard| shard.receipt).collect();
        kept.retain(|path, _| committed.contains(path));
        Manifest::of(kept, manifest.options).write(dataset)?;
    }
    let tables = removed.values().flat_map(|receipt| receipt.files.values().map(|file| &file.path));
    for relative in tables.chain(removed.keys()) {
        let path = dataset.path().join(relative);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(&path, "remove")(error)),
            _ => {}
        }
    }
    Ok(removed.into_keys().collect())
}

/// Copies the committed shards for which `wanted` is true, with their receipts, into a new dataset at `to`, or one that
/// an interrupted copy left there, and commits it. Every file is compared with its receipt on the way.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::Refused`] with a file that is not what its receipt says, and errors of reading and
/// writing.
pub fn copy(dataset: &Dataset, to: &Path, wanted: impl Fn(&Receipt) -> bool + Sync) -> Result<Dataset> {
    let mut receipts = BTreeMap::new();
    for shard in Manifest::read(dataset)?.map(|manifest| manifest.shards).unwrap_or_default() {
        let missing = || Error::Refused { problems: vec![Problem::MissingShard { receipt: shard.receipt.clone() }] };
        let receipt = Receipt::read(dataset.path(), &shard.receipt)?.ok_or_else(missing)?;
        if wanted(&receipt) {
            receipts.insert(shard.receipt, receipt);
        }
    }
    let copy = Dataset::create(to)?;
    for (stage, options) in dataset.options()? {
        copy.record_options(&stage, &options)?;
    }
    receipts.par_iter().try_for_each(|(path, receipt)| {
        for file in receipt.files.values() {
            // A copy that was interrupted goes on.
            let there = sha256_file(&to.join(&file.path)).ok();
            if there.is_some_and(|there| there == (file.bytes, file.sha256.clone())) {
                continue;
            }
            let copied = durable::copy(to, &dataset.path().join(&file.path), &to.join(&file.path))?;
            if copied != (file.bytes, file.sha256.clone()) {
                let reason = "does not match its receipt".to_string();
                return Err(Error::Refused {
                    problems: vec![Problem::AlteredFile { path: file.path.clone(), reason }],
                });
            }
        }
        durable::write_json(to, &to.join(path), receipt)
    })?;
    Manifest::of(receipts, copy.options()?).write(&copy)?;
    Ok(copy)
}

/// What a dataset holds, and all that is wrong with its files.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Receipts that can be read, in the order of their paths.
    pub receipts: Vec<Receipt>,
    /// Faults, in the order of the paths.
    pub problems: Vec<Problem>,
}

/// Compares every file of a dataset with its receipt, byte for byte, and the receipts with the manifest. Nothing is
/// changed.
///
/// # Errors
/// Errors of reading folders, receipts and the manifest, and [`Error::Damaged`] for a manifest that is none.
pub fn audit(dataset: &Dataset) -> Result<Audit> {
    let (mut receipts, mut problems) = (BTreeMap::new(), Vec::new());
    for path in dataset.files_in(RECEIPTS)? {
        match Receipt::read(dataset.path(), &path) {
            Ok(Some(receipt)) => _ = receipts.insert(path, receipt),
            Ok(None) => {}
            Err(Error::Damaged { reason, .. }) => problems.push(Problem::BrokenReceipt { receipt: path, reason }),
            Err(error) => return Err(error),
        }
    }
    let read: Vec<&Receipt> = receipts.values().collect();
    let faults: Vec<Vec<FileFault>> =
        read.par_iter().map(|receipt| receipt.faults(dataset.path(), Verify::Full)).collect();
    problems.extend(faults.into_iter().flatten().map(Problem::from));
    let vouched: BTreeSet<&str> =
        read.iter().flat_map(|receipt| receipt.files.values().map(|file| file.path.as_str())).collect();
    for table in Table::ALL {
        let files = dataset.files_in(table.name())?.into_iter();
        let foreign = files.filter(|path| !vouched.contains(path.as_str()));
        problems.extend(foreign.map(|path| Problem::ForeignFile { path }));
    }
    match Manifest::read(dataset)? {
        None => {
            let reason = "missing: no stage has completed".into();
            problems.push(Problem::WrongManifest { reason });
        }
        Some(manifest) => {
            let broken = |path: &str| {
                problems.iter().any(|p| matches!(p, Problem::BrokenReceipt { receipt, .. } if receipt == path))
            };
            let told = |p: &Problem| matches!(p, Problem::MissingShard { receipt } if broken(receipt));
            let mut differences = against_manifest(&manifest, &receipts, dataset.options()?);
            differences.retain(|problem| !told(problem));
            problems.extend(differences);
        }
    }
    problems.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(Audit { receipts: receipts.into_values().collect(), problems })
}

/// What a manifest says otherwise than the receipts.
fn against_manifest(
    manifest: &Manifest,
    receipts: &BTreeMap<String, Receipt>,
    options: BTreeMap<String, Value>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let listed: BTreeMap<&String, &ManifestShard> = manifest.shards.iter().map(|s| (&s.receipt, s)).collect();
    for (path, receipt) in receipts {
        match listed.get(path) {
            None => problems.push(Problem::Uncommitted { receipt: path.clone() }),
            Some(shard) if shard.files != receipt.files || shard.id != receipt.id => {
                let reason = format!("contradicts this receipt about the files of {path}");
                problems.push(Problem::WrongManifest { reason });
            }
            Some(_) => {}
        }
    }
    let missing = listed.keys().filter(|path| !receipts.contains_key(**path));
    problems.extend(missing.map(|path| Problem::MissingShard { receipt: path.to_string() }));
    // What is wrong with a shard would be reported twice by the sums.
    if problems.is_empty() {
        // The sums and the options are those of the commit, if nothing was begun since.
        let sums = Manifest::of(receipts.clone(), options);
        let parts = [
            ("schema version", sums.schema_version == manifest.schema_version),
            ("sums of its tables", sums.tables == manifest.tables),
            ("counts", sums.counts == manifest.counts),
            ("options", sums.options == manifest.options),
        ];
        for (what, _) in parts.into_iter().filter(|(_, same)| !same) {
            let reason = format!("its {what} differ from those of the receipts and dataset.json");
            problems.push(Problem::WrongManifest { reason });
        }
    }
    problems
}

struct Survey {
    /// Receipts of the expected shards, by path.
    receipts: BTreeMap<String, Receipt>,
    problems: Vec<Problem>,
}

fn survey(dataset: &Dataset, expected: &[Shard], verify: Verify) -> Result<Survey> {
    let named = receipt_folders(expected);
    let mut wanted: BTreeSet<String> = expected.iter().map(Shard::receipt_path).collect();
    let committed = Manifest::read(dataset)?.map(|manifest| manifest.shards).unwrap_or_default();
    wanted.extend(committed.into_iter().map(|shard| shard.receipt).filter(|path| !named.contains(folder_of(path))));

    let (mut receipts, mut problems) = (BTreeMap::new(), Vec::new());
    for receipt in &wanted {
        match Receipt::read(dataset.path(), receipt) {
            Ok(Some(found)) => _ = receipts.insert(receipt.clone(), found),
            Ok(None) => problems.push(Problem::MissingShard { receipt: receipt.clone() }),
            Err(Error::Damaged { reason, .. }) => {
                problems.push(Problem::BrokenReceipt { receipt: receipt.clone(), reason });
            }
            Err(error) => return Err(error),
        }
    }
    // Files of foreign shards are vouched for: the shard alone is named.
    let mut vouched: BTreeSet<String> = BTreeSet::new();
    for path in dataset.files_in(RECEIPTS)? {
        if !wanted.contains(&path) {
            let foreign = Receipt::read(dataset.path(), &path);
            vouched.extend(foreign.into_iter().flatten().flat_map(|r| r.files.into_values().map(|file| file.path)));
            if named.contains(folder_of(&path)) {
                problems.push(Problem::ForeignShard { receipt: path });
            }
        }
    }
    vouched.extend(receipts.values().flat_map(|receipt| receipt.files.values().map(|file| file.path.clone())));
    let faults: Vec<Vec<FileFault>> =
        receipts.par_iter().map(|(_, receipt)| receipt.faults(dataset.path(), verify)).collect();
    problems.extend(faults.into_iter().flatten().map(Problem::from));
    let folders = table_folders(expected);
    for table in Table::ALL {
        let foreign = |path: &String| folders.contains(folder_of(path)) && !vouched.contains(path);
        let files = dataset.files_in(table.name())?.into_iter();
        problems.extend(files.filter(foreign).map(|path| Problem::ForeignFile { path }));
    }
    Ok(Survey { receipts, problems })
}

fn receipt_folders(shards: &[Shard]) -> BTreeSet<String> {
    shards.iter().map(|shard| layout::receipt_folder(shard.stage(), shard.partition())).collect()
}

/// Folders that the shards may have tables in.
fn table_folders(shards: &[Shard]) -> BTreeSet<String> {
    shards.iter().flat_map(Shard::file_paths).map(|path| folder_of(&path).to_string()).collect()
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
