//! The manifest: the shards that a commit found complete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::dataset::Dataset;
use super::durable;
use super::error::{Error, Result, io};
use super::layout::{self, Partition};
use super::names::Stage;
use super::place;
use super::schema::{SCHEMA_VERSION, Table};
use super::shard::{Receipt, ShardFile, ShardId};
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

impl Manifest {
    /// The manifest of a dataset; `None` before its first commit.
    ///
    /// # Errors
    /// [`Error::Damaged`] and errors of reading.
    pub fn read(dataset: &Dataset) -> Result<Option<Manifest>> {
        let path = dataset.path().join(layout::MANIFEST);
        match place::read(dataset.path(), layout::MANIFEST)? {
            Some(text) => {
                let damaged = |reason: String| Error::Damaged {
                    path: path.clone(),
                    reason: format!(
                        "not a manifest: {reason}. Run `medcosmos verify {} --repair` to see what can be restored",
                        dataset.path().display()
                    ),
                };
                let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
                match manifest.shards.iter().find_map(|shard| shard.fault()) {
                    Some(reason) => Err(damaged(reason)),
                    None => Ok(Some(manifest)),
                }
            }
            None => Ok(None),
        }
    }

    /// The manifest that a commit continues. A damaged one counts as missing, with a warning: finished shards are
    /// found by their receipts, and enter the next manifest when their stage is run again.
    pub(super) fn to_continue(dataset: &Dataset) -> Result<Manifest> {
        match Manifest::read(dataset) {
            Err(Error::Damaged { path, reason }) => {
                tracing::warn!("{}: {reason}; continuing without it", path.display());
                Ok(Manifest::of(BTreeMap::new(), Vec::new(), BTreeMap::new()))
            }
            other => Ok(other?.unwrap_or_else(|| Manifest::of(BTreeMap::new(), Vec::new(), BTreeMap::new()))),
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

    /// The manifest of these shards: those with receipts, by the receipts' paths, and those of which an earlier
    /// manifest is the only record.
    pub(super) fn of(
        receipts: BTreeMap<String, Receipt>,
        recorded: Vec<ManifestShard>,
        options: BTreeMap<String, Value>,
    ) -> Manifest {
        let mut counts: BTreeMap<Stage, BTreeMap<String, u64>> = BTreeMap::new();
        let mut shards = recorded;
        for (path, receipt) in receipts {
            let Receipt { files, id, stage, counts: of_shard, .. } = receipt;
            let of_stage = counts.entry(stage).or_default();
            for (reason, n) in of_shard {
                *of_stage.entry(reason).or_default() += n;
            }
            shards.push(ManifestShard { files, id, receipt: path, stage });
        }
        shards.sort_by(|a, b| a.receipt.cmp(&b.receipt));
        let mut tables: BTreeMap<Table, TableTotal> =
            Table::ALL.iter().map(|&table| (table, TableTotal::default())).collect();
        for (&table, file) in shards.iter().flat_map(|shard| &shard.files) {
            let total = tables.entry(table).or_default();
            total.bytes += file.bytes;
            total.files += 1;
            total.rows += file.rows;
        }
        Manifest { counts, options, schema_version: SCHEMA_VERSION, shards, tables }
    }

    pub(super) fn write(&self, dataset: &Dataset) -> Result<()> {
        durable::write_json(dataset.path(), &dataset.path().join(layout::MANIFEST), self)
    }
}

impl ManifestShard {
    /// Folder of the receipts of its stage and partition, relative to the dataset.
    pub(crate) fn folder(&self) -> &str {
        self.receipt.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The partition of the shard, by the path of its receipt.
    pub(super) fn partition(&self) -> Option<Partition> {
        let (stage, partition, id) = layout::parse_receipt(&self.receipt)?;
        (stage == self.stage && id == self.id.to_string()).then_some(partition)
    }

    /// Why the entry cannot be one of ours: a path that is not that of its stage, partition and id.
    fn fault(&self) -> Option<String> {
        let Some(partition) = self.partition() else {
            return Some(format!("{} is not the receipt of a shard {} of {}", self.receipt, self.id, self.stage));
        };
        self.files.iter().find_map(|(&table, file)| {
            let expected = layout::table_file(table, &partition, &self.id);
            (file.path != expected).then(|| format!("expected the file {expected}, found {}", file.path))
        })
    }
}
