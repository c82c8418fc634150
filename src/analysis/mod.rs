//! Statistics of a dataset: summaries, correlations, curves, comparisons, and SQL queries.
//!
//! [`analyze()`] joins `metrics` with `factors` and computes the summary tables, the correlations with the factors, the
//! curves, the paired comparisons and the effect of jittered prompts (docs/protocol.md, 4 to 6 and 9). [`query()`]
//! answers any other question in SQL. Files are read by polars; every statistic is computed in [`statistics`], on plain
//! columns, so it does not depend on threads or on the order of rows.
//!
//! ```no_run
//! use medcosmos::analysis::{AnalysisOptions, analyze, report};
//! let analysis = analyze("my_dataset".as_ref(), &AnalysisOptions::default())?;
//! println!("{}", report::analysis_to_text(&analysis, medcosmos::text::LINE_WIDTH));
//! # Ok::<(), medcosmos::analysis::AnalysisError>(())
//! ```

pub mod analyze;
pub mod clicks;
mod codes;
pub mod correlations;
pub mod curves;
mod error;
mod frame;
mod frame_text;
pub mod join;
mod kept;
pub mod options;
pub mod output;
pub mod paired;
pub mod query;
pub mod randomness;
pub mod report;
mod statement;
pub mod statistics;
pub mod summary;
pub mod tables;
#[cfg(test)]
mod tests;

pub use analyze::{Analysis, analyze};
pub use codes::{CodeRow, read_codes};
pub use error::AnalysisError;
pub use frame_text::frame_to_text;
pub use kept::kept;
pub use options::AnalysisOptions;
pub use query::query;
