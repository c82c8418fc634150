//! SQL over the tables of a dataset, by polars: `SELECT strategy, avg(dice) FROM metrics GROUP BY strategy`.

use super::AnalysisError;
use super::tables::{self, Table};
use polars::prelude::*;
use polars::sql::{SQLContext, extract_table_identifiers};
use std::path::Path;

/// Runs one SQL statement over the tables of a dataset and gives all its rows.
///
/// Only the tables that the statement names need to exist. `SELECT *` leaves the pictures of `slices` out: a
/// statement that wants them names the column `image`. Rows come in the order of the tables or of `ORDER BY`; after a
/// `GROUP BY` without one their order is open, as in any SQL. The last digit of a sum is that of adding row by row where
/// the environment has `POLARS_NO_PARTITION`, which the program sets for itself; otherwise it may differ between runs.
///
/// # Errors
/// [`AnalysisError::MissingTable`] with the command that writes a table named and not there, [`AnalysisError::Sql`]
/// where the statement does not parse, names no known table or column, or uses what polars' SQL lacks.
pub fn query(dataset: &Path, sql: &str) -> Result<DataFrame, AnalysisError> {
    let mut context = SQLContext::new();
    for name in extract_table_identifiers(sql, false, true).map_err(sql_error)? {
        // Another name is a table that the statement itself defines, or a mistake that the engine tells.
        if let Some(table) = Table::named(&name.to_ascii_lowercase()) {
            let frame = if mentions(sql, "image") {
                tables::scan_with_images(dataset, table)?
            } else {
                tables::scan(dataset, table)?
            };
            context.register(&name, frame);
        }
    }
    tables::guarded(|| context.execute(sql).and_then(LazyFrame::collect)).map_err(sql_error)
}

/// True where `sql` has `word` as a word of its own.
fn mentions(sql: &str, word: &str) -> bool {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found.eq_ignore_ascii_case(word))
}

/// polars' message without its preamble, and with the tables there are where one is not known.
fn sql_error(error: PolarsError) -> AnalysisError {
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    let message = message.trim_start_matches("SQL interface error: ").trim_start_matches("sql parser error: ");
    let tables = Table::ALL.map(Table::name).join(", ");
    if message.contains("relation") && message.contains("not found") {
        AnalysisError::Sql(format!("{message}; the tables are {tables}"))
    } else {
        AnalysisError::Sql(message.to_string())
    }
}
