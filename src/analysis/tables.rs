//! The tables of a dataset folder as polars frames, by name.
//!
//! A table is the Parquet files that the manifest lists, whatever the `key=value` folders they lie in: their keys are
//! also real columns, so that nothing is read from a path. Frames are lazy: only the columns and row groups that a
//! question needs are read. Pictures are the one column that is left out unless asked for by [`scan_with_images`].

use super::AnalysisError;
use crate::digest::sha256_parts;
pub use crate::store::Table;
use crate::store::{Dataset, Manifest, TableFile, check_columns, check_size};
use polars::prelude::*;
use polars_io::SerReader;
use rayon::prelude::*;
use std::any::Any;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

/// The committed files of a table, sorted by path. What an interrupted stage left is none of them.
///
/// # Errors
/// [`AnalysisError::NoBuild`] and [`AnalysisError::MissingTable`] where there is none, [`AnalysisError::Store`] where the folder is no dataset, and
/// where a file is missing or has another size than its receipt.
pub fn files(dataset: &Path, table: Table) -> Result<Vec<TableFile>, AnalysisError> {
    let opened = Dataset::open(dataset)?;
    let mut files = opened.files(table)?;
    if files.is_empty() && Manifest::read(&opened)?.is_none() {
        return Err(AnalysisError::NoBuild(dataset.into()));
    }
    if files.is_empty() {
        let (dataset, table, command) = (dataset.into(), table.name(), table.command());
        return Err(AnalysisError::MissingTable { dataset, table, command });
    }
    files.iter().try_for_each(check_size)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// A digest of the tables that analyses read, by the manifest; `None` of a dataset without one.
pub(crate) fn tables_sha256(dataset: &Dataset) -> Option<String> {
    let read = [Table::Cases, Table::Slices, Table::Masks, Table::Factors, Table::Metrics];
    let shards = Manifest::read(dataset).ok()??.shards;
    let files = shards.iter().flat_map(|shard| &shard.files).filter(|(table, _)| read.contains(table));
    Some(sha256_parts(files.map(|(_, file)| file.sha256.as_bytes())))
}

/// A table without its pictures.
///
/// # Errors
/// As [`files`], and [`AnalysisError::Read`] where the first file is damaged. Damage in another shows when rows are
/// read.
pub fn scan(dataset: &Path, table: Table) -> Result<LazyFrame, AnalysisError> {
    let frame = scan_with_images(dataset, table)?;
    Ok(if table == Table::Slices { frame.drop(by_name(["image"], false, false)) } else { frame })
}

/// A table with its pictures: of [`Table::Slices`] the column `image`, a PNG of each slice.
///
/// # Errors
/// As [`scan`].
pub fn scan_with_images(dataset: &Path, table: Table) -> Result<LazyFrame, AnalysisError> {
    let files = files(dataset, table)?;
    scan_files(files).map_err(|source| AnalysisError::Read { what: format!("table `{}`", table.name()), source })
}

/// Parquet files of the same columns as one frame, their rows in the order of the paths.
fn scan_files(files: Vec<TableFile>) -> PolarsResult<LazyFrame> {
    let files = Files { files };
    let schema = guarded(|| files.schema(None))?;
    LazyFrame::anonymous_scan(Arc::new(files), ScanArgsAnonymous { schema: Some(schema), ..Default::default() })
}

/// Files that polars reads when a question is asked, and of them only the columns and rows that it needs.
///
/// polars' scan of Parquet files is not used: it is part of the streaming engine, which also sums the parts of a group
/// in the order in which threads end, and which cannot be compiled without a client for cloud storage.
///
/// polars checks no checksums either: every column is compared with the receipt of its file before it is read.
struct Files {
    files: Vec<TableFile>,
}

impl AnonymousScan for Files {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        let first = &self.files[0];
        check_columns(first, &[]).map_err(damaged)?;
        let schema = ParquetReader::new(File::open(&first.path)?).schema()?;
        Ok(Arc::new(Schema::from_arrow_schema(&schema)))
    }

    fn scan(&self, question: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let AnonymousScanArgs { n_rows, with_columns, schema, predicate, .. } = question;
        let columns: Vec<String> = match with_columns {
            Some(names) => names.iter().map(|name| name.to_string()).collect(),
            None => schema.iter_names().map(|name| name.to_string()).collect(),
        };
        let predicate = predicate.and_then(|predicate| conditions(&predicate).into_iter().reduce(Expr::and));
        let read = |file: &TableFile, rows: Option<usize>| {
            check_columns(file, &columns).map_err(damaged)?;
            let reader = ParquetReader::new(File::open(&file.path)?).with_columns(Some(columns.clone()));
            let frame = reader.with_slice(rows.map(|rows| (0, rows))).finish()?.select(&columns)?;
            match &predicate {
                Some(predicate) => frame.lazy().filter(predicate.clone()).collect(),
                None => Ok(frame),
            }
        };
        let frames = match n_rows {
            None => self.files.par_iter().map(|file| read(file, None)).collect::<PolarsResult<Vec<_>>>()?,
            Some(rows) => {
                let (mut frames, mut left) = (Vec::new(), rows);
                for file in &self.files {
                    let frame = read(file, Some(left))?;
                    left -= frame.height();
                    frames.push(frame);
                    if left == 0 {
                        break;
                    }
                }
                frames
            }
        };
        let mut frames = frames.into_iter();
        let mut whole = frames.next().unwrap_or_default();
        for frame in frames {
            whole.vstack_mut_owned(frame)?;
        }
        Ok(whole)
    }

    fn allows_predicate_pushdown(&self) -> bool {
        true
    }

    fn allows_projection_pushdown(&self) -> bool {
        true
    }
}

fn damaged(error: crate::store::Error) -> PolarsError {
    polars_err!(ComputeError: "{error}")
}

/// The parts of a condition that are joined by AND. Bounds that a sort with a limit sets while it runs are left out:
/// they only save work, and have no expression.
fn conditions(predicate: &Expr) -> Vec<Expr> {
    match predicate {
        Expr::BinaryExpr { left, op: Operator::And | Operator::LogicalAnd, right } => {
            [conditions(left), conditions(right)].concat()
        }
        Expr::Display { .. } => Vec::new(),
        part => vec![part.clone()],
    }
}

/// The names and types of a frame's columns.
///
/// # Errors
/// [`AnalysisError::Read`] where the first file of the table is damaged.
pub fn schema(frame: &LazyFrame, table: Table) -> Result<SchemaRef, AnalysisError> {
    let read_error = |source| AnalysisError::Read { what: format!("table `{}`", table.name()), source };
    guarded(|| frame.clone().collect_schema()).map_err(read_error)
}

/// Reads by polars, whose Parquet reader panics on some damaged headers (seen in 0.55 on a flipped byte of a footer):
/// here that is an error like any other. Nothing outlives the call that a panic could leave half done.
pub(super) fn guarded<T>(read: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(polars_err!(ComputeError: "the reader failed; a file of the table is damaged")))
}
