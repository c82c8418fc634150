//! What can go wrong with a dataset on disk.

use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use thiserror::Error;

use super::audit::Problem;

/// Why a dataset cannot be read or written.
#[derive(Debug, Error)]
pub enum Error {
    /// The file system refuses.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A Parquet file cannot be decoded or encoded.
    #[error("{path}: {source}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The library's answer.
        source: ParquetError,
    },
    /// A dataset would be created in a folder that holds something else.
    #[error("{0}: not empty and not a medcosmos dataset; choose a new or an empty folder")]
    NotEmpty(PathBuf),
    /// There is no dataset at this path.
    #[error("{0}: not a medcosmos dataset; the folder has no dataset.json")]
    NotADataset(PathBuf),
    /// The folder holds the tables of a dataset whose `dataset.json` and manifest are lost.
    #[error(
        "{path}: holds receipts of a dataset, but neither dataset.json nor a manifest.json that can be read: if a \
         medcosmos with tables of version {version} wrote it, write {{\"schema_version\": {version}}} to \
         {path}/dataset.json and run `medcosmos verify {path} --repair --apply`"
    )]
    HeadLost {
        /// The folder.
        path: PathBuf,
        /// Version of the tables of this program.
        version: u32,
    },
    /// The command writes, and the system does not let it.
    #[error(
        "{path}: this command writes to the dataset, which the system does not allow ({source}): make the folder \
         writable, or work on a copy"
    )]
    ReadOnly {
        /// The dataset.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// Another command writes to the dataset.
    #[error("{path}: another medcosmos is writing to this dataset ({holder}); wait until it ends, or stop it")]
    Locked {
        /// The dataset.
        path: PathBuf,
        /// Its process, host and command.
        holder: String,
    },
    /// The dataset was written with other tables than this program knows.
    #[error("{path}: the tables have schema version {found}, but this medcosmos reads version {supported}: {advice}")]
    SchemaVersion {
        /// The dataset.
        path: PathBuf,
        /// Version of the dataset.
        found: u64,
        /// Version of this program.
        supported: u32,
        /// What to do.
        advice: &'static str,
    },
    /// A file of the dataset says something impossible.
    #[error("{path}: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A row whose mask is no run-length code of its size.
    #[error("{id}: {reason}")]
    DamagedMask {
        /// Id of the row.
        id: String,
        /// What is wrong with it.
        reason: crate::mask::RleError,
    },
    /// A row does not come after the one before it.
    #[error("{table}: rows must be in the order of their ids, each once, but {row:?} follows {previous:?}")]
    Order {
        /// Table.
        table: &'static str,
        /// The row before.
        previous: String,
        /// The row at fault.
        row: String,
    },
    /// A row is too large for a Parquet row group.
    #[error("{table}: the row {row:?} has {bytes} bytes, more than the limit of {limit}")]
    RowTooLarge {
        /// Table.
        table: &'static str,
        /// The row at fault.
        row: String,
        /// Its size.
        bytes: usize,
        /// The most that a row may have.
        limit: usize,
    },
    /// A name cannot be part of a path inside a dataset.
    #[error("{what} {name:?}: {reason}")]
    Name {
        /// Source, model or strategy.
        what: &'static str,
        /// The name at fault.
        name: String,
        /// What was expected.
        reason: &'static str,
    },
    /// A table is not kept in this kind of partition.
    #[error("{table} is partitioned {place}, but the shard's partition differs")]
    Place {
        /// Table.
        table: &'static str,
        /// How the table is partitioned.
        place: &'static str,
    },
    /// The dataset is not what a commit expects.
    #[error("{} prevented the commit:{}", count(problems), list(problems))]
    Refused {
        /// Every fault found, in the order of the paths.
        problems: Vec<Problem>,
    },
}

fn count(problems: &[Problem]) -> String {
    if problems.len() == 1 { "1 fault".into() } else { format!("{} faults", problems.len()) }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("\n  {p}")).collect()
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Adds the path and the action to an error of the file system: `.map_err(io(path, "read"))`.
pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { path: path.to_path_buf(), action, source }
}

/// Adds the path to an error of the Parquet library.
pub(super) fn parquet(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    move |source| Error::Parquet { path: path.to_path_buf(), source }
}
