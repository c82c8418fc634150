//! The tables of a dataset folder as polars frames, by name.
//!
//! A table is the Parquet files under `<dataset>/<table>/`, whatever the `key=value` folders in between: their keys
//! are also real columns, so that nothing is read from a path. Frames are lazy: only the columns and row groups that a
//! question needs are read. Pictures are the one column that is left out unless asked for by [`scan_with_images`].

use super::AnalysisError;
pub use crate::store::Table;
use polars::prelude::*;
use polars_io::SerReader;
use rayon::prelude::*;
use std::any::Any;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// The Parquet files of a table, sorted by path. Names that start with a dot are files in the making.
///
/// # Errors
/// [`AnalysisError::MissingTable`] where there is none, [`AnalysisError::NotParquet`] with the name of a file that is
/// cut short, [`AnalysisError::Io`] where the folder cannot be read.
pub fn files(dataset: &Path, table: Table) -> Result<Vec<PathBuf>, AnalysisError> {
    let folder = dataset.join(table.name());
    let missing =
        || AnalysisError::MissingTable { dataset: dataset.into(), table: table.name(), command: table.command() };
    if !folder.is_dir() {
        return Err(missing());
    }
    let visible = |name: &std::ffi::OsStr| !name.as_encoded_bytes().starts_with(b".");
    let mut files = Vec::new();
    for entry in WalkDir::new(&folder).into_iter().filter_entry(|e| e.depth() == 0 || visible(e.file_name())) {
        let entry = entry.map_err(|error| AnalysisError::Io {
            path: error.path().unwrap_or(&folder).into(),
            source: error.into(),
        })?;
        if !entry.file_type().is_dir() && entry.path().extension().is_some_and(|e| e == "parquet") {
            files.push(entry.into_path());
        }
    }
    files.sort();
    for path in &files {
        // polars does not say which file it cannot read; most damage is a missing end, and costs little to see.
        if !ends_as_parquet(path).map_err(|source| AnalysisError::Io { path: path.clone(), source })? {
            return Err(AnalysisError::NotParquet { path: path.clone(), command: table.command() });
        }
    }
    if files.is_empty() { Err(missing()) } else { Ok(files) }
}

/// True where the last four bytes are the format's mark.
fn ends_as_parquet(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() < 12 {
        return Ok(false);
    }
    let mut mark = [0; 4];
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut mark)?;
    Ok(&mark == b"PAR1")
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
    let paths = files(dataset, table)?;
    scan_files(paths).map_err(|source| AnalysisError::Read { what: format!("table `{}`", table.name()), source })
}

/// Parquet files of the same columns as one frame, their rows in the order of the paths.
fn scan_files(paths: Vec<PathBuf>) -> PolarsResult<LazyFrame> {
    let files = Files { paths };
    let schema = guarded(|| files.schema(None))?;
    LazyFrame::anonymous_scan(Arc::new(files), ScanArgsAnonymous { schema: Some(schema), ..Default::default() })
}

/// Files that polars reads when a question is asked, and of them only the columns and rows that it needs.
///
/// polars' scan of Parquet files is not used: it is part of the streaming engine, which also sums the parts of a group
/// in the order in which threads end, and which cannot be compiled without a client for cloud storage.
struct Files {
    paths: Vec<PathBuf>,
}

impl AnonymousScan for Files {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn schema(&self, _: Option<usize>) -> PolarsResult<SchemaRef> {
        let schema = ParquetReader::new(File::open(&self.paths[0])?).schema()?;
        Ok(Arc::new(Schema::from_arrow_schema(&schema)))
    }

    fn scan(&self, question: AnonymousScanArgs) -> PolarsResult<DataFrame> {
        let AnonymousScanArgs { n_rows, with_columns, schema, predicate, .. } = question;
        let columns: Vec<String> = match with_columns {
            Some(names) => names.iter().map(|name| name.to_string()).collect(),
            None => schema.iter_names().map(|name| name.to_string()).collect(),
        };
        let predicate = predicate.and_then(|predicate| conditions(&predicate).into_iter().reduce(Expr::and));
        let read = |path: &PathBuf, rows: Option<usize>| {
            let reader = ParquetReader::new(File::open(path)?).with_columns(Some(columns.clone()));
            let frame = reader.with_slice(rows.map(|rows| (0, rows))).finish()?.select(&columns)?;
            match &predicate {
                Some(predicate) => frame.lazy().filter(predicate.clone()).collect(),
                None => Ok(frame),
            }
        };
        let frames = match n_rows {
            None => self.paths.par_iter().map(|path| read(path, None)).collect::<PolarsResult<Vec<_>>>()?,
            Some(rows) => {
                let (mut frames, mut left) = (Vec::new(), rows);
                for path in &self.paths {
                    let frame = read(path, Some(left))?;
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
