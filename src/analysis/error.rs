//! What goes wrong between a dataset folder and its numbers, in sentences that name the way out.

use polars::error::PolarsError;
use std::path::PathBuf;
use thiserror::Error;

/// An error of the analysis.
#[derive(Debug, Error)]
pub enum AnalysisError {
    /// A table has no file in this dataset.
    #[error("{}: no table `{table}` in the dataset; run `medcosmos {command}` first", dataset.display())]
    MissingTable {
        /// The dataset folder.
        dataset: PathBuf,
        /// Name of the table.
        table: &'static str,
        /// The command that writes it.
        command: &'static str,
    },
    /// Nothing has been committed to this dataset.
    #[error(
        "{}: the dataset has no tables yet: its first `medcosmos build` is running, or was interrupted. Wait until it ends, \
         or run the same command again",
        .0.display()
    )]
    NoBuild(PathBuf),
    /// The dataset cannot be read.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A column asked for is in none of the tables that could have it.
    #[error("no column `{column}` in {tables}; available columns: {available}")]
    MissingColumn {
        /// The column asked for.
        column: String,
        /// The tables that were searched.
        tables: String,
        /// The columns there are.
        available: String,
    },
    /// A column has another type than asked for.
    #[error("column `{column}`: found {found}, expected {expected}")]
    ColumnType {
        /// The column.
        column: String,
        /// What it holds.
        found: String,
        /// What is needed.
        expected: &'static str,
    },
    /// A mask stands twice under one condition, which would count it twice.
    #[error(
        "table `{table}` contains mask {mask_id} twice for {condition}; check whether shards of different runs are \
        mixed"
    )]
    RepeatedMask {
        /// Name of the table.
        table: &'static str,
        /// The mask.
        mask_id: String,
        /// Model, strategy, variant and choice.
        condition: String,
    },
    /// An option has a value outside its range.
    #[error("option {option}: {reason}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A query that the SQL engine refuses.
    #[error("SQL: {0}")]
    Sql(String),
    /// A table cannot be read: the file is damaged, or its columns are not those of the other files.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What was being read.
        what: String,
        /// The reader's error.
        source: PolarsError,
    },
    /// A result cannot be written in the format asked for.
    #[error("cannot write {what}: {source}")]
    Format {
        /// What was being written.
        what: String,
        /// The writer's error.
        source: PolarsError,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}
