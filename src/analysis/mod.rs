//! Statistics of a dataset: summaries, correlations, curves, comparisons, and SQL queries.
//!
//! [`analyze()`] joins `metrics` with `factors` and computes the summary tables, the correlations with the factors, the
//! curves, the paired comparisons and the effect of jittered prompts (docs/protocol.md, 4 to 6 and 9). [`query()`]
//! answers any other question in SQL. Files are read by polars; every statistic is computed in [`statistics`], on plain
//! columns, so it does not depend on threads or on the order of rows.
//!
//! ```no_run
//! use medcosmos::analysis::{AnalysisOptions, analysis_to_text, analyze};
//! let analysis = analyze("my_dataset".as_ref(), &AnalysisOptions::default())?;
//! println!("{}", analysis_to_text(&analysis, 100));
//! # Ok::<(), medcosmos::analysis::AnalysisError>(())
//! ```

pub(crate) mod analyze;
pub(crate) mod clicks;
mod codes;
pub(crate) mod correlations;
pub(crate) mod curves;
mod error;
mod frame;
mod frame_text;
pub(crate) mod join;
mod kept;
pub(crate) mod options;
pub(crate) mod output;
pub(crate) mod paired;
pub(crate) mod query;
pub(crate) mod randomness;
pub(crate) mod report;
mod statement;
pub mod statistics;
pub(crate) mod summary;
pub(crate) mod tables;
#[cfg(test)]
mod tests;

pub use analyze::{Analysis, compute};
pub(crate) use analyze::{EarlierRecord, FOLDER, RECORD};
pub use clicks::{ClickRow, ClicksNeededRow};
pub(crate) use codes::{CodeRow, read_codes};
pub use correlations::CorrelationRow;
pub use curves::CurveRow;
pub use error::AnalysisError;
pub(crate) use frame_text::frame_to_text;
pub use join::Condition;
pub use kept::analyze;
pub(crate) use kept::kept;
pub use options::{AnalysisOptions, Curve};
pub use paired::PairedRow;
pub use query::query;
pub use randomness::RandomnessRow;
pub use report::analysis_to_text;
pub use summary::{Summary, SummaryRow};
pub(crate) use tables::tables_sha256;
