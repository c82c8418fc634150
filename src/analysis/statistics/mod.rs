//! The statistics of a report, on plain slices of `f64`: no tables, no files, no polars.
//!
//! Every function is checked against scipy or pingouin, and is exact in the sense that the order of the rows cannot
//! change a bit of the result: ranks are integers (doubled, so that the average rank of a tie is one), their products
//! are summed as integers, and values are sorted before they are added.
//!
//! A statistic that does not exist (a constant column, too few rows) is an [`Undefined`] with its reason, never a NaN
//! that travels on, and never a panic.

pub mod adjust;
pub mod bootstrap;
pub mod correlation;
pub mod describe;
pub mod distributions;
pub mod kruskal;
pub mod partial;
pub mod ranks;
pub mod spearman;
pub mod wilcoxon;

use thiserror::Error;

/// Why a statistic has no value. Its words go into the `reason` column of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Undefined {
    /// Fewer rows than the statistic needs.
    #[error("{n} rows, expected at least {needed}")]
    TooFewRows {
        /// Rows given.
        n: usize,
        /// Rows the statistic needs.
        needed: usize,
    },
    /// More rows than ranks are counted for (2³¹ − 1).
    #[error("{n} rows are too many to rank")]
    TooManyRows {
        /// Rows given.
        n: usize,
    },
    /// All values of a column are equal, so that it has no rank order.
    #[error("column {column} has only one value")]
    Constant {
        /// Place of the column in the call, from 0.
        column: usize,
    },
    /// A column is a linear function of the ones before it, in ranks.
    #[error("column {column} is determined by the other columns")]
    Collinear {
        /// Place of the column in the call, from 0.
        column: usize,
    },
    /// A value is NaN: rows with missing values must be left out, and counted, by the caller.
    #[error("column {column} contains a value that is not a number")]
    NotANumber {
        /// Place of the column in the call, from 0.
        column: usize,
    },
    /// Only one group has rows, where groups are compared.
    #[error("{groups} group with rows, expected at least 2")]
    TooFewGroups {
        /// Groups that have rows.
        groups: usize,
    },
    /// All differences of a paired comparison are zero.
    #[error("all {n} differences are zero")]
    NoDifference {
        /// Pairs given.
        n: usize,
    },
    /// Only one patient, where patients are resampled.
    #[error("{patients} patient, expected at least 2")]
    TooFewPatients {
        /// Patients given.
        patients: usize,
    },
    /// The statistic is undefined in more than half of the bootstrap replicates.
    #[error("defined in {defined} of {replicates} bootstrap replicates")]
    TooFewReplicates {
        /// Replicates in which the statistic exists.
        defined: usize,
        /// Replicates drawn.
        replicates: usize,
    },
}
