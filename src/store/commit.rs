//! Commits: the one way in which shards enter and leave a dataset.
//!
//! A commit is one step, the replacement of the manifest. Before it, everything that it lists is complete; after it,
//! what it no longer lists is removed. A process that is killed at any point leaves a dataset that readers can use, and
//! perhaps files that no manifest lists: they are ignored, and the next commit of their stage, or
//! `medcosmos verify --repair`, removes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::audit::Problem;
use super::dataset::Dataset;
use super::durable;
use super::error::{Error, Result, io};
use super::layout::{self, RECEIPTS};
use super::manifest::Manifest;
#[cfg(test)]
use super::manifest::ManifestShard;
use super::names::Stage;
use super::reader::TableFile;
use super::schema::Table;
use super::shard::{FileFault, Receipt, Shard, ShardId, Verify};

/// A change of a dataset, made in one step.
pub(crate) struct Change<'a> {
    /// The shards that become the content of the partitions they lie in.
    pub(crate) expected: &'a [Shard],
    /// The options of stages, noted for the reader.
    pub(crate) options: BTreeMap<String, Value>,
    /// What becomes of committed shards of other partitions.
    pub(crate) others: &'a dyn Fn(&Receipt) -> Fate,
    /// How closely the expected shards are compared with their receipts.
    pub(crate) verify: Verify,
}

/// What becomes of a committed shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays.
    Keep,
    /// It is removed: what it was computed from is gone.
    Remove,
    /// It is set aside, to be used again ([`Dataset::parked`]).
    Park,
}

/// What a change did.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The new manifest.
    pub(crate) manifest: Manifest,
    /// Shards that are removed or parked, with which of both.
    pub(crate) gone: Vec<(Receipt, Fate)>,
}

/// Makes the expected shards the content of their partitions, and writes the manifest.
///
/// The list decides on the partitions that it names (a stage, a source, and a model where there is one), and must name
/// every shard of those. Other partitions stay as the last manifest has them, so a stage, a source or a model can be
/// added to a dataset and committed without the inputs of the others, whatever the state of their files.
///
/// # Errors
/// [`Error::Refused`] with every missing or altered shard; the manifest is then left as it was.
pub fn commit(dataset: &Dataset, expected: &[Shard], verify: Verify) -> Result<Manifest> {
    let change = Change { expected, options: BTreeMap::new(), others: &|_| Fate::Keep, verify };
    Ok(apply(dataset, &change)?.manifest)
}

/// Makes a change.
///
/// # Errors
/// As [`commit`].
pub(crate) fn apply(dataset: &Dataset, change: &Change) -> Result<Changed> {
    let mut receipts = complete(dataset, change.expected, change.verify)?;
    let before = Manifest::to_continue(dataset)?;
    let named = receipt_folders(change.expected);
    let (mut recorded, mut gone) = (Vec::new(), Vec::new());
    for shard in before.shards {
        if receipts.contains_key(&shard.receipt) {
            continue;
        }
        let replaced = named.contains(folder_of(&shard.receipt));
        match Receipt::read(dataset.path(), &shard.receipt) {
            Ok(Some(receipt)) => match if replaced { Fate::Remove } else { (change.others)(&receipt) } {
                Fate::Keep => _ = receipts.insert(shard.receipt, receipt),
                fate => gone.push((receipt, fate)),
            },
            Ok(None) | Err(Error::Damaged { .. }) if replaced => {}
            // Its own stage does it again. Until then it stays listed, so that whoever needs it learns what is wrong.
            Ok(None) | Err(Error::Damaged { .. }) => recorded.push(shard),
            Err(error) => return Err(error),
        }
    }
    let mut options = before.options;
    options.extend(change.options.clone());
    let manifest = Manifest::of(receipts, recorded, options);
    manifest.write(dataset)?;
    for (receipt, fate) in &gone {
        if *fate == Fate::Park {
            park(dataset, receipt)?;
        }
        remove_shard(dataset.path(), receipt)?;
    }
    sweep_partitions(dataset, change, &manifest)?;
    Ok(Changed { manifest, gone })
}

/// Receipts of shards that must all be finished and whole.
fn complete(dataset: &Dataset, expected: &[Shard], verify: Verify) -> Result<BTreeMap<String, Receipt>> {
    let (mut receipts, mut problems) = (BTreeMap::new(), Vec::new());
    for path in expected.iter().map(Shard::receipt_path) {
        match needed_receipt(dataset.path(), &path)? {
            Ok(receipt) => _ = receipts.insert(path, receipt),
            Err(problem) => problems.push(problem),
        }
    }
    let faults: Vec<Vec<FileFault>> =
        receipts.par_iter().map(|(_, receipt)| receipt.faults(dataset.path(), verify)).collect();
    problems.extend(faults.into_iter().flatten().map(Problem::from));
    if problems.is_empty() { Ok(receipts) } else { Err(Error::Refused { problems }) }
}

/// Reads a receipt that must be there; the inner error is what is wrong with it.
pub(super) fn needed_receipt(root: &Path, path: &str) -> Result<std::result::Result<Receipt, Problem>> {
    let receipt = path.to_string();
    match Receipt::read(root, path) {
        Ok(Some(found)) => Ok(Ok(found)),
        Ok(None) => Ok(Err(Problem::MissingShard { receipt })),
        Err(Error::Damaged { path: at, reason }) => {
            let reason = if at == root.join(path) { reason } else { format!("{}: {reason}", at.display()) };
            Ok(Err(Problem::BrokenReceipt { receipt, reason }))
        }
        Err(error) => Err(error),
    }
}

/// Removes from the partitions of a change what the manifest does not list: shards of other options, and files that a
/// killed run put in place without a receipt. Finished predictions cost most, so they are set aside, also those of other
/// partitions whose masks are gone. Files that no shard writes are left alone.
fn sweep_partitions(dataset: &Dataset, change: &Change, manifest: &Manifest) -> Result<()> {
    let expected = change.expected;
    let listed: BTreeSet<&str> = manifest.shards.iter().map(|shard| shard.receipt.as_str()).collect();
    let mut vouched: BTreeSet<String> =
        manifest.shards.iter().flat_map(|shard| shard.files.values().map(|file| file.path.clone())).collect();
    let folders = receipt_folders(expected);
    for path in dataset.files_in(RECEIPTS)?.iter().filter(|path| !listed.contains(path.as_str())) {
        let Some((stage, ..)) = layout::parse_receipt(path) else { continue };
        match Receipt::read(dataset.path(), path) {
            Ok(Some(receipt)) if stage == Stage::Predict => {
                let named = folders.contains(folder_of(path));
                if !named && (change.others)(&receipt) != Fate::Park {
                    vouched.extend(receipt.files.into_values().map(|file| file.path));
                    continue;
                }
                if receipt.faults(dataset.path(), Verify::Quick).is_empty() {
                    park(dataset, &receipt)?;
                }
                remove_shard(dataset.path(), &receipt)?;
            }
            Ok(Some(receipt)) if folders.contains(folder_of(path)) => remove_shard(dataset.path(), &receipt)?,
            Ok(Some(receipt)) => vouched.extend(receipt.files.into_values().map(|file| file.path)),
            _ => {}
        }
    }
    let folders: BTreeSet<String> =
        expected.iter().flat_map(Shard::file_paths).map(|path| folder_of(&path).to_string()).collect();
    for &table in Table::ALL {
        for path in dataset.files_in(table.name())? {
            if layout::is_table_file(&path) && folders.contains(folder_of(&path)) && !vouched.contains(&path) {
                remove(&dataset.path().join(path))?;
            }
        }
    }
    Ok(())
}

/// Removes the files of a shard: its receipt first, since nothing may vouch for a file that is gone.
pub(super) fn remove_shard(root: &Path, receipt: &Receipt) -> Result<()> {
    remove(&root.join(receipt.path()))?;
    receipt.files.values().try_for_each(|file| remove(&root.join(&file.path)))
}

/// Copies a shard to the place of those set aside.
fn park(dataset: &Dataset, receipt: &Receipt) -> Result<()> {
    let parked = layout::parked(dataset.path());
    for file in receipt.files.values() {
        durable::copy(dataset.path(), &dataset.path().join(&file.path), &parked.join(&file.path))?;
    }
    durable::write_json(dataset.path(), &parked.join(receipt.path()), receipt)
}

/// Removes a file that may be gone already. A folder in its place is another's, and stays.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(_) if path.is_dir() => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, "remove")(error)),
        _ => Ok(()),
    }
}

/// Copies the committed shards for which `wanted` is true, with their receipts, into a new dataset at `to`, or one that
/// an interrupted copy left there, and commits it. Every file is compared with its receipt before it takes its place.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::Refused`] with a file that is not what its receipt says, and errors of reading and
/// writing.
pub fn copy(dataset: &Dataset, to: &Path, wanted: impl Fn(&Receipt) -> bool + Sync) -> Result<Dataset> {
    let receipts = dataset.receipts()?.into_iter().filter(|receipt| wanted(receipt));
    let receipts: BTreeMap<String, Receipt> = receipts.map(|receipt| (receipt.path(), receipt)).collect();
    let copy = Dataset::create(to)?;
    receipts.par_iter().try_for_each(|(path, receipt)| {
        for file in receipt.files.values() {
            let (from, to_file) = (dataset.path().join(&file.path), to.join(&file.path));
            if !durable::copy_known(to, &from, &to_file, (file.bytes, &file.sha256))? {
                let reason = "does not match its receipt".to_string();
                return Err(Error::Refused {
                    problems: vec![Problem::AlteredFile { path: file.path.clone(), reason }],
                });
            }
        }
        durable::write_json(to, &to.join(path), receipt)
    })?;
    Manifest::of(receipts, Vec::new(), dataset.options()?).write(&copy)?;
    Ok(copy)
}

/// Options as they are noted in a manifest.
///
/// # Errors
/// [`Error::Damaged`] where they are not JSON.
pub(crate) fn noted(dataset: &Dataset, stage: &str, options: &impl Serialize) -> Result<BTreeMap<String, Value>> {
    let damaged = |e: serde_json::Error| Error::Damaged {
        path: dataset.path().join(layout::MANIFEST),
        reason: format!("the options of {stage} cannot be noted: {e}"),
    };
    let mut options = serde_json::to_value(options).map_err(damaged)?;
    options.sort_all_objects();
    Ok(BTreeMap::from([(stage.to_string(), options)]))
}

fn receipt_folders(shards: &[Shard]) -> BTreeSet<String> {
    shards.iter().map(Shard::folder).collect()
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Dataset {
    /// Shards that were set aside because no build had the masks they predict.
    ///
    /// # Errors
    /// Errors of reading.
    pub(crate) fn parked(&self) -> Result<Vec<Receipt>> {
        let parked = Dataset::at(&layout::parked(self.path()));
        let read = |path: String| match Receipt::read(parked.path(), &path) {
            Ok(receipt) => Ok(receipt),
            Err(Error::Damaged { path, reason }) => {
                tracing::warn!("{}: {reason}; not used", path.display());
                Ok(None)
            }
            Err(error) => Err(error),
        };
        parked.files_in(RECEIPTS)?.into_iter().filter_map(|path| read(path).transpose()).collect()
    }

    /// Removes those of the shards that are finished and not committed.
    ///
    /// # Errors
    /// Errors of reading and writing.
    pub(crate) fn drop_uncommitted(&self, shards: &[Shard]) -> Result<()> {
        let manifest = Manifest::to_continue(self)?;
        let listed: BTreeSet<&str> = manifest.shards.iter().map(|shard| shard.receipt.as_str()).collect();
        for path in shards.iter().map(Shard::receipt_path).filter(|path| !listed.contains(path.as_str())) {
            if let Some(receipt) = Receipt::read(self.path(), &path)? {
                remove_shard(self.path(), &receipt)?;
            }
        }
        Ok(())
    }

    /// Keeps digests of what predictions were computed from, by mask, with those of a build shard that are set aside.
    ///
    /// # Errors
    /// Errors of writing.
    pub(crate) fn park_inputs(&self, build: &ShardId, inputs: &BTreeMap<String, String>) -> Result<()> {
        durable::write_json(self.path(), &layout::parked_inputs(self.path(), &build.to_string()), inputs)
    }

    /// The digests kept for a build shard; `None` where there are none that can be read.
    pub(crate) fn parked_inputs(&self, build: &str) -> Option<BTreeMap<String, String>> {
        let bytes = fs::read(layout::parked_inputs(self.path(), build)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The predictions of a parked shard; `None` where it has no row.
    pub(crate) fn parked_file(&self, receipt: &Receipt) -> Option<TableFile> {
        Dataset::at(&layout::parked(self.path())).file_of(receipt, Table::Predictions)
    }

    /// Removes a parked shard, whose predictions are committed elsewhere.
    ///
    /// # Errors
    /// Errors of removing.
    pub(crate) fn discard_parked(&self, receipt: &Receipt) -> Result<()> {
        remove_shard(&layout::parked(self.path()), receipt)
    }

    /// Puts a parked shard back in its place, where it is finished and not committed.
    ///
    /// # Errors
    /// Errors of reading and writing.
    pub(crate) fn unpark(&self, receipt: &Receipt) -> Result<()> {
        let parked = layout::parked(self.path());
        for file in receipt.files.values() {
            durable::copy(self.path(), &parked.join(&file.path), &self.path().join(&file.path))?;
        }
        durable::write_json(self.path(), &self.path().join(receipt.path()), receipt)?;
        remove_shard(&parked, receipt)
    }
}

#[cfg(test)]
impl Manifest {
    /// Makes a dataset of table files that a test wrote at `<table>/[model=…/]source=…/<name>.parquet`.
    pub(crate) fn adopt(root: &Path) {
        let dataset = Dataset::create_at(root).unwrap();
        let mut shards = Vec::new();
        for &table in Table::ALL {
            for path in dataset.files_in(table.name()).unwrap().into_iter().filter(|path| path.ends_with(".parquet")) {
                let folder = path.rsplit_once('/').unwrap().0.split_once('/').unwrap().1.to_string();
                let id = crate::digest::sha256(path.as_bytes())[..16].to_string();
                let to = format!("{}/{folder}/{id}.parquet", table.name());
                fs::rename(root.join(&path), root.join(&to)).unwrap();
                let bytes = fs::metadata(root.join(&to)).unwrap().len();
                let id: super::shard::ShardId = serde_json::from_value(Value::from(id)).unwrap();
                let stage = if table.has_model() { Stage::Evaluate } else { Stage::Factors };
                let file = super::shard::ShardFile {
                    bytes,
                    checksums: String::new(),
                    first: String::new(),
                    last: String::new(),
                    path: to,
                    rows: 0,
                    sha256: String::new(),
                };
                let receipt = format!("{RECEIPTS}/{stage}/{folder}/{id}.json");
                shards.push(ManifestShard { files: BTreeMap::from([(table, file)]), id, receipt, stage });
            }
        }
        Manifest::of(BTreeMap::new(), shards, BTreeMap::new()).write(&dataset).unwrap();
    }
}
