//! SQL over the tables of a dataset, by polars: `SELECT strategy, avg(dice) FROM metrics GROUP BY strategy`.

use super::AnalysisError;
use super::frame::frame_of;
use super::statement;
use super::tables::{self, Table};
use crate::store::Dataset;
use polars::prelude::*;
use polars::sql::SQLContext;
use sqlparser::ast::{Query, Statement, Value as Literal};
use std::path::Path;

/// Runs one SQL statement over the tables of a dataset and gives all its rows.
///
/// Whole numbers are signed and have 64 bits, in columns and in what is computed of them, except for `perceptual_hash`,
/// whose 64 bits are no number. `SHOW TABLES` and `DESCRIBE table` are answered too.
///
/// Only the tables that the statement names need to exist. `SELECT *` leaves the pictures of `slices` out: a
/// statement that wants them names the column `image`. Rows come in the order of the tables or of `ORDER BY`; after a
/// `GROUP BY` without one their order is open, as in any SQL. Sums are those of adding row by row, so that
/// the same rows give the same last digit.
///
/// # Errors
/// [`AnalysisError::MissingTable`] with the command that writes a table named and not there, [`AnalysisError::Sql`]
/// where the statement does not parse, names no known table or column, or uses what polars' SQL lacks.
pub fn query(dataset: &Path, sql: &str) -> Result<DataFrame, AnalysisError> {
    Dataset::open(dataset)?; // also where the statement names no table
    match statement::parse(sql).map_err(AnalysisError::Sql)? {
        Statement::Query(question) => answer(dataset, *question, mentions(sql, "image")),
        Statement::ShowTables { .. } => Ok(tables_there(dataset)),
        Statement::ExplainTable { table_name, .. } => described(table_name.to_string().trim_matches('"')),
        other => {
            let first = other.to_string();
            let first = first.split_whitespace().next().unwrap_or_default();
            Err(AnalysisError::Sql(format!(
                "{first} is not supported: expected SELECT (or WITH … SELECT), SHOW TABLES or DESCRIBE with a table"
            )))
        }
    }
}

fn answer(dataset: &Path, mut question: Query, with_images: bool) -> Result<DataFrame, AnalysisError> {
    statement::own_names(&mut question);
    let (names, repeated) = (statement::relations(&question), statement::repeated_keys(&question));
    let mut failure = None;
    let mut value = |part: Query| {
        answer(dataset, part, with_images).and_then(|frame| literal(&frame)).map_err(|error| match error {
            AnalysisError::Sql(reason) => reason,
            other => {
                let reason = other.to_string();
                failure = Some(other);
                reason
            }
        })
    };
    let prepared = statement::prepared(question, &mut value);
    let prepared = prepared.map_err(|reason| failure.unwrap_or(AnalysisError::Sql(reason)))?;
    let mut context = SQLContext::new();
    for name in names {
        // Another name is a table that the statement itself defines, or a mistake that the engine tells.
        if let Ok(table) = name.to_ascii_lowercase().parse::<Table>() {
            let frame =
                if with_images { tables::scan_with_images(dataset, table)? } else { tables::scan(dataset, table)? };
            context.register(&name, signed(frame, table)?);
        }
    }
    let sql = prepared.to_string();
    let frame = tables::guarded(|| context.execute(&sql).and_then(LazyFrame::collect)).map_err(sql_error)?;
    Ok(frame.drop_many(repeated))
}

/// The frame with whole numbers of 64 bits and a sign, so that differences below zero and sums above 2³² are what they
/// are.
fn signed(frame: LazyFrame, table: Table) -> Result<LazyFrame, AnalysisError> {
    fn wide(dtype: &DataType) -> DataType {
        match dtype {
            dtype if dtype.is_integer() => DataType::Int64,
            DataType::List(inner) => DataType::List(Box::new(wide(inner))),
            DataType::Struct(fields) => {
                DataType::Struct(fields.iter().map(|f| Field::new(f.name().clone(), wide(f.dtype()))).collect())
            }
            other => other.clone(),
        }
    }
    let columns = tables::schema(&frame, table)?;
    let widened = columns.iter().filter(|(name, dtype)| name.as_str() != "perceptual_hash" && wide(dtype) != **dtype);
    let casts: Vec<Expr> = widened.map(|(name, dtype)| col(name.clone()).cast(wide(dtype))).collect();
    Ok(if casts.is_empty() { frame } else { frame.with_columns(casts) })
}

/// The value of a query that stands for one: null where it has no row.
fn literal(frame: &DataFrame) -> Result<Literal, AnalysisError> {
    let refuse = |reason: String| Err(AnalysisError::Sql(reason));
    let number = |v: f64| match statement::decimal(v) {
        Some(digits) => Ok(Literal::Number(digits, false)),
        None => refuse("a scalar subquery is not a finite number".into()),
    };
    if frame.width() != 1 {
        return refuse("a scalar subquery must have one column".into());
    }
    if frame.height() > 1 {
        return refuse(format!("a scalar subquery must have one row, found {}", frame.height()));
    }
    if frame.height() == 0 {
        return Ok(Literal::Null);
    }
    let value = frame.columns()[0].get(0).map_err(sql_error)?;
    match value {
        AnyValue::Null => Ok(Literal::Null),
        AnyValue::Boolean(v) => Ok(Literal::Boolean(v)),
        AnyValue::String(v) => Ok(Literal::SingleQuotedString(v.to_string())),
        AnyValue::StringOwned(v) => Ok(Literal::SingleQuotedString(v.to_string())),
        // Through its shortest digits, which give the same number again.
        AnyValue::Float64(v) => number(v),
        AnyValue::Float32(v) => number(f64::from(v)),
        whole if whole.dtype().is_integer() => Ok(Literal::Number(whole.to_string(), false)),
        other => refuse(format!("a scalar subquery of type {} is not supported", other.dtype())),
    }
}

/// `SHOW TABLES`: the tables that the dataset has.
fn tables_there(dataset: &Path) -> DataFrame {
    let names = Table::ALL.iter().filter(|table| tables::files(dataset, **table).is_ok()).map(|table| table.name());
    DataFrame::new_infer_height(vec![Column::new("name".into(), names.collect::<Vec<_>>())]).unwrap_or_default()
}

/// `DESCRIBE table`: its columns.
fn described(name: &str) -> Result<DataFrame, AnalysisError> {
    let table = name.to_ascii_lowercase().parse::<Table>();
    let table = table.map_err(|_| AnalysisError::Sql(format!("no table {name}; the tables are {}", table_names())))?;
    let columns = table.columns();
    frame_of!(columns, |c| {
        "column_name": c.name,
        "column_type": c.type_name(),
        "unit": c.unit,
        "meaning": c.meaning.as_ref(),
    })
    .map_err(sql_error)
}

fn table_names() -> String {
    Table::ALL.iter().map(|table| table.name()).collect::<Vec<_>>().join(", ")
}

/// True where `sql` has `word` as a word of its own.
fn mentions(sql: &str, word: &str) -> bool {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found.eq_ignore_ascii_case(word))
}

/// polars' message without its preamble and without a dump of its syntax tree, and with what there is to choose from.
fn sql_error(error: PolarsError) -> AnalysisError {
    let message = error.to_string();
    let message = message.lines().next().unwrap_or_default();
    let message = message.trim_start_matches("SQL interface error: ").trim_start_matches("sql parser error: ");
    AnalysisError::Sql(told(message))
}

fn told(message: &str) -> String {
    if message.contains("relation") && message.contains("not found") {
        return format!("{message}; the tables are {}", table_names());
    }
    if message.contains("EXISTS") || message.contains("Exists {") {
        return "EXISTS is supported only as a condition in WHERE, joined by AND, that compares columns of the two \
            tables with =; otherwise write `key IN (SELECT key FROM …)` or a JOIN"
            .into();
    }
    if let Some(function) = message.strip_prefix("unsupported function ") {
        let instead = match function.trim_matches('\'').to_ascii_lowercase().as_str() {
            "regexp_extract" => "; use `split_part(mask_id, '/', 2)`, `substr` or `regexp_like`",
            "ntile" | "percent_rank" | "cume_dist" => "; use `row_number`, `rank`, `dense_rank` or `count(*) OVER ()`",
            "arg_max" | "arg_min" | "max_by" | "min_by" => "; use ORDER BY and LIMIT 1",
            _ => "",
        };
        return format!("the function {function} is not supported{instead}");
    }
    if message.contains("mixed asc/desc") {
        return "a window can be ordered in one direction only: for a number x, write ORDER BY -x, y instead of x DESC, \
            y".into();
    }
    if message.contains("no table or struct column") {
        return format!(
            "{message} (a subquery can refer to outer tables only in conditions such as inner.key = outer.key)"
        );
    }
    // What polars prints of a syntax tree is for its makers.
    let tree =
        ["Ident {", "Span(", "Identifier(", "Query {", "Select(", "TokenWithSpan", ": Some(", "Tuple(", "Value("];
    if !tree.iter().any(|mark| message.contains(mark)) {
        return message.to_string();
    }
    let what: String =
        message.trim_start_matches("expression ").chars().take_while(|c| c.is_alphabetic() || *c == ' ').collect();
    format!("{} is not supported here: use WITH, JOIN or CASE", what.trim())
}
