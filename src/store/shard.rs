//! Shards: the units in which a stage is planned, run, checked and resumed.
//!
//! A shard's id is the digest of everything that determines its content. A shard is finished once its receipt exists,
//! which is written after all of its files. Receipts hold nothing that differs from run to run; times are in
//! `.medcosmos/log/`, which is not part of the data.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::checksums;
use super::durable::{self, Staged};
use super::error::{Error, Result};
use super::layout::{self, Partition};
use super::names::Stage;
use super::place;
use super::rows::Row;
use super::schema::{CONTENT_VERSION, SCHEMA_VERSION, Table};
use super::writer::{TableWriter, Written};
use crate::digest::{canonical_json, hex, sha256, sha256_file};

/// All that decides the content of a shard, as names and values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardKey(BTreeMap<String, String>);

impl ShardKey {
    /// A key with the versions of the tables and of the program's results in it.
    #[allow(clippy::new_without_default)] // an empty key is not a key yet
    pub fn new() -> Self {
        ShardKey(BTreeMap::new())
            .with("schema_version", SCHEMA_VERSION.to_string())
            .with("content_version", CONTENT_VERSION.to_string())
    }

    /// Adds a name and its value; the order in which they are added does not matter.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_string(), value.into());
        self
    }

    /// Adds a name and a value that is more than a text, as canonical JSON ([`canonical_json`]).
    pub fn with_json(self, name: &str, value: &impl Serialize) -> Self {
        self.with(name, canonical_json(value))
    }

    /// Adds the digest of a list that would be too long for a receipt, such as the digests of all raw members. Its
    /// order matters.
    pub fn with_digest_of<T: AsRef<str>>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let mut hasher = Sha256::new();
        for value in values {
            hasher.update((value.as_ref().len() as u64).to_le_bytes());
            hasher.update(value.as_ref());
        }
        let digest = format!("sha256:{}", hex(&hasher.finalize()));
        self.with(name, digest)
    }

    /// The key without a name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Names and values, sorted by name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// True where every name of `other` has the same value here.
    pub fn holds(&self, other: &ShardKey) -> bool {
        other.0.iter().all(|(name, value)| self.0.get(name) == Some(value))
    }

    fn id(&self, stage: Stage, partition: &Partition) -> ShardId {
        let canonical = json!([stage, partition.model_name(), partition.source_name(), Vec::from_iter(&self.0)]);
        ShardId(sha256(canonical.to_string().as_bytes())[..16].to_string())
    }
}

/// Name of a shard: the first 16 hex digits of the SHA-256 of its stage, partition and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(String);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A piece of a stage: where it writes, and what decides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    stage: Stage,
    partition: Partition,
    key: ShardKey,
    id: ShardId,
}

impl Shard {
    /// A shard of a stage.
    pub fn new(stage: Stage, partition: Partition, key: ShardKey) -> Self {
        let id = key.id(stage, &partition);
        Shard { stage, partition, key, id }
    }

    /// Its id.
    pub fn id(&self) -> &ShardId {
        &self.id
    }

    /// Its stage.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The partition it writes to.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// What decides its content.
    pub fn key(&self) -> &ShardKey {
        &self.key
    }

    /// Folder of the receipts of its stage and partition, relative to the dataset.
    pub(crate) fn folder(&self) -> String {
        layout::receipts_of(self.stage, self.partition.model_name(), self.partition.source_name())
    }

    /// Path of its receipt, relative to the dataset.
    pub(super) fn receipt_path(&self) -> String {
        layout::receipt(self.stage, &self.partition, &self.id)
    }

    /// Checks that nothing lies in the way of its receipt and files.
    pub(super) fn check_places(&self, root: &Path) -> Result<()> {
        self.file_paths().iter().chain([&self.receipt_path()]).try_for_each(|path| place::check(root, path))
    }

    /// Paths of the files that it may have, one a table, relative to the dataset.
    pub(super) fn file_paths(&self) -> Vec<String> {
        let tables =
            Table::ALL.iter().copied().filter(|table| table.has_model() == self.partition.model_name().is_some());
        tables.map(|table| layout::table_file(table, &self.partition, &self.id)).collect()
    }
}

/// One Parquet file of a finished shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardFile {
    /// Size.
    pub bytes: u64,
    /// CRC-32 of each column chunk and of the footer (`checksums.rs`); empty in datasets of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checksums: String,
    /// Id of the first row.
    pub first: String,
    /// Id of the last row.
    pub last: String,
    /// Path inside the dataset, with slashes.
    pub path: String,
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

/// What a finished shard left behind. The same shard gives the same receipt, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// How often each thing worth counting came up (a mask dropped as too small), by reason.
    pub counts: BTreeMap<String, u64>,
    /// Its files by table. A table without a row has no file.
    pub files: BTreeMap<Table, ShardFile>,
    /// The shard's id.
    pub id: ShardId,
    /// What decided its content.
    pub key: ShardKey,
    /// Model, where the partition has one.
    pub model: Option<String>,
    /// SHA-256 of all else in the receipt, as canonical JSON; empty in datasets of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Source.
    pub source: String,
    /// Stage.
    pub stage: Stage,
    /// Version of the program that did it.
    pub tool_version: String,
}

impl Receipt {
    /// The receipt with the digest of what it says.
    pub(super) fn sealed(mut self) -> Self {
        self.sha256 = String::new();
        self.sha256 = sha256(canonical_json(&self).as_bytes());
        self
    }

    /// True where the receipt says what it said when it was written, as far as that is known.
    pub(super) fn is_sealed(&self) -> bool {
        self.sha256.is_empty() || self.clone().sealed().sha256 == self.sha256
    }

    /// Rows of a table that the shard holds.
    pub fn rows(&self, table: Table) -> u64 {
        self.files.get(&table).map_or(0, |file| file.rows)
    }

    /// The shard that this is the receipt of.
    ///
    /// # Errors
    /// [`Error::Name`] for a receipt that was not read from a dataset.
    pub(crate) fn shard(&self) -> Result<Shard> {
        let partition = match &self.model {
            Some(model) => Partition::model(model, &self.source),
            None => Partition::source(&self.source),
        };
        Ok(Shard::new(self.stage, partition?, self.key.clone()))
    }

    /// Folder of the receipts of its stage and partition, relative to the dataset.
    pub(crate) fn folder(&self) -> String {
        layout::receipts_of(self.stage, self.model.as_deref(), &self.source)
    }

    /// The shard that this is the receipt of.
    ///
    /// # Errors
    /// A sentence, where the receipt contradicts itself.
    fn checked(&self) -> std::result::Result<Shard, String> {
        let shard = self.shard().map_err(|e| e.to_string())?;
        if shard.id != self.id {
            return Err(format!("its key has the id {}, but the receipt states {}", shard.id, self.id));
        }
        for (&table, file) in &self.files {
            let expected = layout::table_file(table, &shard.partition, &shard.id);
            if file.path != expected {
                return Err(format!("expected the file {expected}, but the receipt states {}", file.path));
            }
        }
        Ok(shard)
    }

    /// Its path, relative to the dataset.
    pub(super) fn path(&self) -> String {
        format!("{}/{}.json", self.folder(), self.id)
    }

    /// Reads a receipt and checks that it belongs where it lies; `None` where there is none.
    pub(super) fn read(root: &Path, relative: &str) -> Result<Option<Receipt>> {
        let path = root.join(relative);
        let Some(text) = place::read(root, relative)? else { return Ok(None) };
        let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
        let receipt: Receipt = serde_json::from_slice(&text).map_err(|e| damaged(format!("not a receipt: {e}")))?;
        let place = receipt.checked().map_err(damaged)?.receipt_path();
        if place != relative {
            return Err(damaged(format!("the receipt belongs to {place}")));
        }
        if !receipt.is_sealed() {
            return Err(damaged("its content does not have the SHA-256 that it states".into()));
        }
        Ok(Some(receipt))
    }

    /// A committed receipt that was damaged, with the files that the manifest lists: `None` where that is not enough to
    /// know what it said.
    pub(super) fn restored(root: &Path, relative: &str, listed: &BTreeMap<Table, ShardFile>) -> Option<Receipt> {
        let receipt: Receipt = serde_json::from_slice(&fs::read(root.join(relative)).ok()?).ok()?;
        if receipt.checked().ok()?.receipt_path() != relative {
            return None;
        }
        let restored = Receipt { files: listed.clone(), ..receipt.clone() };
        (restored.is_sealed() || receipt.files == *listed).then(|| restored.sealed())
    }

    /// Faults of the files that the receipt vouches for, one sentence each.
    pub(super) fn faults(&self, root: &Path, verify: Verify) -> Vec<FileFault> {
        self.files.values().filter_map(|file| file.fault(root, verify)).collect()
    }
}

/// A file that is not what its receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileFault {
    pub(super) path: String,
    /// `None` where the file is not there.
    pub(super) reason: Option<String>,
}

impl ShardFile {
    fn fault(&self, root: &Path, verify: Verify) -> Option<FileFault> {
        let path = root.join(&self.path);
        let found = match verify {
            Verify::Quick => fs::metadata(&path).map(|found| (found.len(), None)),
            Verify::Full => sha256_file(&path).map(|(bytes, sha256)| (bytes, Some(sha256))),
        };
        let reason = match found {
            _ if path.is_dir() => Some("is a folder".to_string()),
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some(format!("cannot be read: {error}")),
            Ok((bytes, _)) if bytes != self.bytes => {
                Some(format!("has {bytes} bytes, but its receipt states {}", self.bytes))
            }
            Ok((_, Some(sha256))) if sha256 != self.sha256 => {
                Some(format!("has SHA-256 {sha256}, but its receipt states {}", self.sha256))
            }
            Ok(_) => return None,
        };
        Some(FileFault { path: self.path.clone(), reason })
    }
}

/// How closely files are compared with their receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Sizes only.
    Quick,
    /// Every byte, by SHA-256.
    Full,
}

/// Where a shard stands.
#[derive(Clone, Debug, PartialEq)]
pub enum ShardState {
    /// Its receipt and its files agree: nothing is left to do.
    Done(Receipt),
    /// It was never finished.
    Missing,
    /// It was finished, but is no longer what its receipt says, for the reasons given: it must be done again.
    Altered(Vec<String>),
}

/// Writes the tables of a shard. Nothing of them is seen in the dataset before [`finish`](Self::finish); if the writer
/// is dropped, or the process killed, nothing ever is.
pub struct ShardWriter<'a> {
    root: &'a Path,
    shard: Shard,
    tables: BTreeMap<Table, Box<dyn OpenTable>>,
    counts: BTreeMap<String, u64>,
    begun: Instant,
}

/// A [`TableWriter`] of any row type.
trait OpenTable: Any + Send {
    fn finish(self: Box<Self>) -> Result<Written>;
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<R: Row + Send> OpenTable for TableWriter<R> {
    fn finish(self: Box<Self>) -> Result<Written> {
        TableWriter::finish(*self)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl<'a> ShardWriter<'a> {
    pub(super) fn new(root: &'a Path, shard: &Shard) -> Self {
        let (tables, counts) = (BTreeMap::new(), BTreeMap::new());
        ShardWriter { root, shard: shard.clone(), tables, counts, begun: Instant::now() }
    }

    /// Adds a row to its table. Rows of one table come in the order of their ids; tables may be filled in turns.
    ///
    /// # Errors
    /// [`Error::Order`] for a row out of order, [`Error::Place`] for a table that this partition does not have,
    /// [`Error::RowTooLarge`], and errors of writing.
    pub fn push<R: Row + Send>(&mut self, row: R) -> Result<()> {
        if !self.tables.contains_key(&R::TABLE) {
            if R::TABLE.has_model() != self.shard.partition.model_name().is_some() {
                let place = if R::TABLE.has_model() { "by model and source" } else { "by source alone" };
                return Err(Error::Place { table: R::TABLE.name(), place });
            }
            let writer = TableWriter::<R>::new(Staged::create(&layout::scratch(self.root))?)?;
            self.tables.insert(R::TABLE, Box::new(writer));
        }
        let open = self.tables.get_mut(&R::TABLE).and_then(|table| table.as_any().downcast_mut::<TableWriter<R>>());
        open.expect("a table has one row type").push(row)
    }

    /// Adds to the count of a reason (`mask_too_small`).
    pub fn count(&mut self, reason: &str, n: u64) {
        *self.counts.entry(reason.to_string()).or_default() += n;
    }

    /// As [`finish`](Self::finish), as another shard of the same stage and partition: for one whose content turned out
    /// to depend on more than was planned.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub(crate) fn finish_as(mut self, key: ShardKey) -> Result<Receipt> {
        self.shard = Shard::new(self.shard.stage, self.shard.partition, key);
        self.finish()
    }

    /// Puts the files in place, then the receipt.
    ///
    /// # Errors
    /// Errors of writing. The shard is then not done, and nothing vouches for files that may already be in place.
    pub fn finish(self) -> Result<Receipt> {
        let ShardWriter { root, shard, tables, counts, begun } = self;
        let written = tables.into_iter().map(|(table, open)| Ok((table, open.finish()?)));
        let written: Vec<(Table, Written)> = written.collect::<Result<_>>()?;
        let mut files = BTreeMap::new();
        for (table, Written { staged, rows, first, last }) in written {
            let path = layout::table_file(table, &shard.partition, &shard.id);
            let checksums = checksums::of_file(staged.path())?;
            let (bytes, sha256) = staged.publish(root, &root.join(&path))?;
            files.insert(table, ShardFile { bytes, checksums, first, last, path, rows, sha256 });
        }
        let receipt_path = root.join(shard.receipt_path());
        let receipt = Receipt {
            counts,
            files,
            model: shard.partition.model_name().map(String::from),
            source: shard.partition.source_name().to_string(),
            tool_version: env!("CARGO_PKG_VERSION").to_string(),
            id: shard.id,
            key: shard.key,
            sha256: String::new(),
            stage: shard.stage,
        }
        .sealed();
        let log = json!({"seconds": begun.elapsed().as_secs_f64(), "shard": receipt.id});
        let log_path = layout::log(root, receipt.stage, &receipt.id);
        durable::write_json(root, &log_path, &log)?;
        durable::write_json(root, &receipt_path, &receipt)?;
        Ok(receipt)
    }
}
