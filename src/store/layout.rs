//! Paths inside a dataset, defined only here.
//!
//! ```text
//! dataset.json                                        schema version
//! manifest.json                                       all shards that are part of the dataset, options of each stage
//! cases/source=acdc/<shard>.parquet                   so slices, masks, factors
//! metrics/model=mobile_sam/source=acdc/<shard>.parquet  so predictions
//! receipts/build/source=acdc/<shard>.json             a finished shard
//! .medcosmos/aside/                                   what lay in the place of a file or folder of the dataset
//! .medcosmos/digests                                  digests of raw files, so that they are not computed again
//! .medcosmos/embeddings/                              embeddings of slices, where they are kept
//! .medcosmos/journal/mobile-sam/<setting>/<shard>/    finished rows of predictions whose shard is not finished
//! .medcosmos/lock                                     locked by the command that writes, with its name
//! .medcosmos/parked/                                  predictions of masks that no build has at the moment
//! .medcosmos/plans/                                   plans of stages, for engines that run their shards
//! .medcosmos/attempts/                                who tried which shard of work, when, and how it ended
//! .medcosmos/costs/                                   what models cost, measured once for each dataset
//! .medcosmos/scratch/                                 files being written
//! .medcosmos/log/                                     times; differs from run to run, no part of the data
//! ```
//! Table folders hold Parquet files and nothing else: polars and pyarrow refuse a folder in which a receipt lies next
//! to a table (polars 2.1: "directory contained paths with different file extensions"). `source` and `model` are
//! columns as well as folder names; pyarrow's `read_table` (26.0) takes exception to that unless it is called with
//! `partitioning=None`, while its `dataset` and polars' `scan_parquet` read the folder of a table as it is.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use super::error::Result;
use super::ids::check_name;
use super::names::Stage;
use super::schema::Table;

use super::shard::ShardId;

pub(super) const DATASET: &str = "dataset.json";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const RECEIPTS: &str = "receipts";
const OWN: &str = ".medcosmos";

/// Folder with predictions of masks that no build has at the moment, laid out as a dataset is.
pub(super) const PARKED: &str = ".medcosmos/parked";
/// Folder with finished rows of shards that are not finished, by model, setting and shard.
pub(super) const JOURNALS: &str = ".medcosmos/journal";
/// Folder with the plans of stages.
pub(super) const PLANS: &str = ".medcosmos/plans";
/// Folder with what models cost, by model and setting.
pub(super) const COSTS: &str = ".medcosmos/costs";
/// Folder with the attempts at shards of work.
pub(super) const ATTEMPTS: &str = ".medcosmos/attempts";

/// True for the path of a file of the program's own that means something to one host only: everything below its folder,
/// except what other hosts continue from.
pub(super) fn stays_on_host(path: &str) -> bool {
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    below(OWN) && ![PARKED, JOURNALS, PLANS, COSTS, ATTEMPTS].into_iter().any(|folder| path == folder || below(folder))
}

/// The hive partition that a shard writes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    model: Option<String>,
    source: String,
}

impl Partition {
    /// The partition of a source, in tables that do not depend on a model.
    ///
    /// # Errors
    /// [`Name`](super::Error::Name) where the name cannot be part of a path.
    pub fn source(source: &str) -> Result<Self> {
        check_name("source", source)?;
        Ok(Partition { model: None, source: source.to_string() })
    }

    /// The partition of a model and a source, in predictions and metrics.
    ///
    /// # Errors
    /// [`Name`](super::Error::Name) where a name cannot be part of a path.
    pub fn model(model: &str, source: &str) -> Result<Self> {
        check_name("model", model)?;
        Ok(Partition { model: Some(model.to_string()), ..Partition::source(source)? })
    }

    /// The model's name.
    pub(crate) fn model_name(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The source's name.
    pub(crate) fn source_name(&self) -> &str {
        &self.source
    }

    fn folder(&self) -> String {
        partition_folder(self.model.as_deref(), &self.source)
    }
}

fn partition_folder(model: Option<&str>, source: &str) -> String {
    match model {
        Some(model) => format!("model={model}/source={source}"),
        None => format!("source={source}"),
    }
}

/// Folder of the receipts of a stage, model and source, relative to the dataset: what a commit decides on as a whole.
pub(super) fn receipts_of(stage: Stage, model: Option<&str>, source: &str) -> String {
    format!("{RECEIPTS}/{stage}/{}", partition_folder(model, source))
}

/// Path of a shard's file of a table, relative to the dataset.
pub(super) fn table_file(table: Table, partition: &Partition, id: &ShardId) -> String {
    format!("{}/{}/{id}.parquet", table.name(), partition.folder())
}

/// Path of a shard's receipt, relative to the dataset.
pub(super) fn receipt(stage: Stage, partition: &Partition, id: &ShardId) -> String {
    format!("{}/{id}.json", receipts_of(stage, partition.model_name(), partition.source_name()))
}

/// Stage, partition and id of a shard, by the path of its receipt; `None` for any other path.
pub(super) fn parse_receipt(path: &str) -> Option<(Stage, Partition, String)> {
    let parts: Vec<&str> = path.split('/').collect();
    let (stage, partition, file) = match parts[..] {
        [RECEIPTS, stage, source, file] => (stage, Partition::source(source.strip_prefix("source=")?), file),
        [RECEIPTS, stage, model, source, file] => {
            let (model, source) = (model.strip_prefix("model=")?, source.strip_prefix("source=")?);
            (stage, Partition::model(model, source), file)
        }
        _ => return None,
    };
    let id = file.strip_suffix(".json").filter(|id| is_shard_id(id))?;
    Some((stage.parse().ok()?, partition.ok()?, id.to_string()))
}

/// What a path of the dataset leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::File => "a file",
            Kind::Folder => "a folder",
        })
    }
}

/// What the program has at a path of the dataset; `None` where it has nothing.
pub(super) fn expected(path: &str) -> Option<Kind> {
    let is_top = |name: &str| name == RECEIPTS || Table::ALL.iter().any(|table| table.name() == name);
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        [DATASET | MANIFEST] => Some(Kind::File),
        [top] if is_top(top) => Some(Kind::Folder),
        [RECEIPTS, stage] if stage.parse::<Stage>().is_ok() => Some(Kind::Folder),
        [top, .., last] if is_top(top) && (last.starts_with("source=") || last.starts_with("model=")) => {
            Some(Kind::Folder)
        }
        [RECEIPTS, ..] => parse_receipt(path).map(|_| Kind::File),
        [top, ..] if is_top(top) && is_table_file(path) => Some(Kind::File),
        _ => None,
    }
}

/// True for the path of a Parquet file that a shard may have written.
pub(super) fn is_table_file(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.strip_suffix(".parquet").is_some_and(is_shard_id)
}

fn is_shard_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// True for the name of the folder that the program keeps for itself.
pub(super) fn is_own(name: &OsStr) -> bool {
    name == OWN
}

/// Folder for files that are being written.
pub(super) fn scratch(root: &Path) -> PathBuf {
    root.join(OWN).join("scratch")
}

/// The folder that the program keeps for itself.
pub(super) fn own(root: &Path) -> PathBuf {
    root.join(OWN)
}

/// Folder of what lay in the place of a file or folder of the dataset, by its path.
pub(super) fn aside(root: &Path) -> PathBuf {
    root.join(OWN).join("aside")
}

/// File that the one command that writes to the dataset holds a lock on.
pub(super) fn lock(root: &Path) -> PathBuf {
    root.join(OWN).join("lock")
}

/// File with the digests of raw files, which hosts that build into an object store share.
pub(super) const DIGESTS: &str = ".medcosmos/digests";

/// File with the digests of raw files that were computed before.
pub(super) fn digest_cache(root: &Path) -> PathBuf {
    root.join(DIGESTS)
}

/// File with the last analysis of a name.
#[cfg(feature = "query")]
pub(super) fn analysis_cache(root: &Path, name: &str) -> PathBuf {
    root.join(OWN).join("analyses").join(if name.is_empty() { "default" } else { name })
}

/// File with digests of what predictions of a build shard were computed from.
pub(super) fn parked_inputs(build: &str) -> String {
    format!("{PARKED}/inputs/{build}.json")
}

/// Folder with embeddings of slices that were computed before.
pub(super) fn embedding_cache(root: &Path) -> PathBuf {
    root.join(OWN).join("embeddings")
}

/// File with the times of a shard.
pub(super) fn log(stage: Stage, id: &ShardId) -> String {
    format!("{OWN}/log/{stage}-{id}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_dataset() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a\\b", "a=b", "ä", "a b", "a\0"] {
            assert!(Partition::source(bad).is_err(), "{bad:?}");
            assert!(Partition::model(bad, "acdc").is_err(), "{bad:?}");
        }
        assert!(Partition::model("sam_vit-b.1", "msd_task01").is_ok());
    }
}
