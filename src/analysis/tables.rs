//! The tables of a dataset folder as polars frames, by name.
//!
//! A table is the Parquet files under `<dataset>/<table>/`, whatever the `key=value` folders in between: their keys
//! are also real columns, so that nothing is read from a path. Frames are lazy: only the columns and row groups that a
//! question needs are read. Pictures are the one column that is left out unless asked for by [`scan_with_images`].

use super::AnalysisError;
pub use crate::store::Table;
use polars::prelude::*;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Once;
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
/// As [`files`], and [`AnalysisError::Read`] where a path is not UTF-8. A damaged file shows when rows are read.
pub fn scan(dataset: &Path, table: Table) -> Result<LazyFrame, AnalysisError> {
    let frame = scan_with_images(dataset, table)?;
    Ok(if table == Table::Slices { frame.drop(by_name(["image"], false, false)) } else { frame })
}

/// A table with its pictures: of [`Table::Slices`] the column `image`, a PNG of each slice.
///
/// # Errors
/// As [`scan`].
pub fn scan_with_images(dataset: &Path, table: Table) -> Result<LazyFrame, AnalysisError> {
    let read_error = |source| AnalysisError::Read { what: format!("table `{}`", table.name()), source };
    let files = files(dataset, table)?;
    let paths: Vec<PlRefPath> =
        files.iter().map(|file| PlRefPath::try_from_path(file)).collect::<PolarsResult<_>>().map_err(read_error)?;
    // The keys of the folders are columns of the files, and a `*` in a path is a letter like any other.
    let options = ScanArgsParquet { hive_options: HiveOptions::new_disabled(), glob: false, ..Default::default() };
    LazyFrame::scan_parquet_files(paths.into_iter().collect(), options).map_err(read_error)
}

/// The names and types of a frame's columns.
///
/// # Errors
/// [`AnalysisError::Read`] where the first file of the table is damaged.
pub fn schema(frame: &LazyFrame, table: Table) -> Result<SchemaRef, AnalysisError> {
    let read_error = |source| AnalysisError::Read { what: format!("table `{}`", table.name()), source };
    guarded(|| frame.clone().collect_schema()).map_err(read_error)
}

/// Makes polars aggregate row by row. Otherwise it adds up the parts of a group in the order in which its threads end, and the
/// last digit of a mean differs from run to run. This variable is the only switch; polars reads it when a query runs.
fn aggregate_in_row_order() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        if std::env::var_os("POLARS_NO_PARTITION").is_none() {
            // SAFETY: Rust code reads and writes the environment under one lock, polars included. Only foreign code that reads
            // it without that lock could see it change: of the libraries here that is ONNX Runtime, while it is loaded.
            unsafe { std::env::set_var("POLARS_NO_PARTITION", "1") };
        }
    });
}

/// Reads by polars, whose Parquet reader panics on some damaged headers (seen in 0.55 on a flipped byte of a footer):
/// here that is an error like any other. Nothing outlives the call that a panic could leave half done.
pub(super) fn guarded<T>(read: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    aggregate_in_row_order();
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(polars_err!(ComputeError: "the reader failed: a file of the table is damaged")))
}
