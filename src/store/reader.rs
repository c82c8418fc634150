//! Streams rows of a table from the files of its shards, one row group in memory at a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::IntoIter;

use arrow_array::cast::AsArray;
use arrow_array::{Array, BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, ArrowReaderMetadata, ParquetRecordBatchReaderBuilder, RowFilter};
use parquet::schema::types::SchemaDescriptor;

use super::checksums;
use super::error::{Error, Result, io, parquet};
use super::root::Root;
use super::rows::{Projection, compare_ids};
use super::schema::Table;
use super::shard::{Receipt, ShardFile};
use super::writer::GROUP_ROWS;

/// A file of a table, with what its receipt says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// The dataset, or the part of one, that it is in.
    pub(super) root: Root,
    /// Where it is: a path, or a URL.
    pub path: PathBuf,
    /// Table.
    pub table: Table,
    /// Model, in predictions and metrics.
    pub model: Option<String>,
    /// Source.
    pub source: String,
    /// Its size, digest, number of rows, first and last id.
    pub file: ShardFile,
}

impl TableFile {
    /// The file of a table in a finished shard; `None` where the shard has no row of it.
    pub(super) fn of(root: &Root, receipt: &Receipt, table: Table) -> Option<TableFile> {
        let file = receipt.files.get(&table)?.clone();
        let (model, source) = (receipt.model.clone(), receipt.source.clone());
        Some(TableFile { root: root.clone(), path: root.at(&file.path), table, model, source, file })
    }

    /// A file of a table of which a test needs no more than the range of its ids.
    #[cfg(test)]
    pub(crate) fn of_range(table: Table, first: &str, last: &str) -> TableFile {
        let (empty, path) = (String::new, PathBuf::new());
        let (first, last) = (first.to_string(), last.to_string());
        let file = ShardFile { bytes: 0, checksums: empty(), first, last, path: empty(), rows: 0, sha256: empty() };
        TableFile { root: Root::folder(&path), path, table, model: None, source: empty(), file }
    }

    /// Whether a file is there.
    pub(crate) fn is_there(&self) -> bool {
        self.root.is_file(&self.file.path)
    }

    /// Whether every byte is what the receipt states.
    ///
    /// # Errors
    /// The object store does not answer.
    pub(crate) fn is_whole(&self) -> Result<bool> {
        match self.root.digest(&self.file.path) {
            Err(error @ Error::Storage { .. }) => Err(error),
            found => Ok(found.ok().flatten().is_some_and(|(_, sha256)| sha256 == self.file.sha256)),
        }
    }
}

/// Rows of the files of a table, file by file. `P` says which columns are decoded: a whole row type, or a
/// [`projection!`](crate::projection).
pub struct Rows<P> {
    files: IntoIter<TableFile>,
    only: Option<Arc<BTreeSet<String>>>,
    open: Option<OpenFile>,
    batch: IntoIter<P>,
}

struct OpenFile {
    path: PathBuf,
    file: File,
    metadata: ArrowReaderMetadata,
    checksums: String,
    next_group: usize,
}

impl<P: Projection> Rows<P> {
    /// Rows of these files, in the order given.
    ///
    /// # Panics
    /// If a file belongs to another table than `P`.
    pub fn of(files: Vec<TableFile>) -> Self {
        assert!(files.iter().all(|file| file.table == P::TABLE), "files are those of {}", P::TABLE.name());
        Rows { files: files.into_iter(), only: None, open: None, batch: Vec::new().into_iter() }
    }

    /// Only the rows with these ids (`slice_id` in slices, `mask_id` in masks and what follows from them). Files and
    /// row groups without one of them are skipped, and of a picture column only the pages that are wanted are read.
    pub fn only(self, ids: impl IntoIterator<Item = String>) -> Self {
        Rows { only: Some(Arc::new(ids.into_iter().collect())), ..self }
    }

    /// Opens the next file that may hold a wanted row.
    fn open_next(&mut self) -> Result<bool> {
        for table in self.files.by_ref() {
            let (first, last) = (&table.file.first, &table.file.last);
            let inside = |id: &String| compare_ids(first, id).is_le() && compare_ids(id, last).is_le();
            if self.only.as_ref().is_some_and(|ids| !ids.iter().any(inside)) {
                continue;
            }
            let (file, metadata) = checksums::open(&table)?;
            let TableFile { path, file: recorded, .. } = table;
            check_columns::<P>(metadata.schema()).map_err(|reason| Error::Damaged { path: path.clone(), reason })?;
            self.open = Some(OpenFile { path, file, metadata, checksums: recorded.checksums, next_group: 0 });
            return Ok(true);
        }
        Ok(false)
    }

    /// Decodes the next row group; `false` once there is none.
    fn read_next(&mut self) -> Result<bool> {
        loop {
            let Some(open) = &mut self.open else {
                if self.open_next()? {
                    continue;
                }
                return Ok(false);
            };
            if open.next_group < open.metadata.metadata().num_row_groups() {
                let group = open.next_group;
                open.next_group += 1;
                let only = self.only.clone();
                self.batch = guarded(&open.path, || read_group::<P>(open, group, only))?.into_iter();
                return Ok(true);
            }
            self.open = None;
        }
    }
}

impl<P: Projection> Iterator for Rows<P> {
    type Item = Result<P>;

    /// The next row. After an error of one file the rest of that file is left out.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(Ok(row));
            }
            match self.read_next() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.open = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Checks that the file has the columns of `P` with their types.
fn check_columns<P: Projection>(schema: &Schema) -> std::result::Result<(), String> {
    for expected in P::fields() {
        let name = expected.name();
        let found = schema.field_with_name(name).map_err(|_| format!("no column {name} in the file"))?;
        if found.data_type() != expected.data_type() || found.is_nullable() != expected.is_nullable() {
            let describe = |nullable| if nullable { "with nulls" } else { "without nulls" };
            return Err(format!(
                "column {name}: expected {} {}, found {} {}",
                expected.data_type(),
                describe(expected.is_nullable()),
                found.data_type(),
                describe(found.is_nullable())
            ));
        }
    }
    Ok(())
}

/// Runs the Parquet library on a file of which only the size was checked. Its release 60 panics on some damaged footers
/// and pages (subtractions that overflow), which is an error of the file and no reason to end the program.
pub(super) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let reason = "the Parquet library panicked: the file does not match its receipt".into();
        Err(Error::Damaged { path: path.into(), reason })
    })
}

fn read_group<P: Projection>(open: &OpenFile, group: usize, only: Option<Arc<BTreeSet<String>>>) -> Result<Vec<P>> {
    let file = open.file.try_clone().map_err(io(&open.path, "open"))?;
    let schema = open.metadata.parquet_schema();
    // Rows of the group, as far as a damaged footer is to be believed.
    let rows = open.metadata.metadata().row_group(group).num_rows().clamp(1, GROUP_ROWS as i64) as usize;
    let fields = P::fields();
    let columns = ProjectionMask::columns(schema, fields.iter().map(|field| field.name().as_str()));
    // Of pictures only the wanted pages are read; each picture has checksums of its own.
    let pages = |column: usize| only.is_some() && is_picture(schema, column);
    let checked = |column: usize| columns.leaf_included(column) && !pages(column);
    checksums::check_group(&open.path, &open.file, open.metadata.metadata(), &open.checksums, group, checked)?;
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, open.metadata.clone())
        .with_row_groups(vec![group])
        .with_projection(columns)
        .with_batch_size(rows);
    if let Some(ids) = only {
        let id_column = ProjectionMask::columns(schema, [P::TABLE.id_column()]);
        let wanted = move |batch: RecordBatch| is_wanted(&batch, &ids);
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(ArrowPredicateFn::new(id_column, wanted))]));
    }
    let damaged = |reason| Error::Damaged { path: open.path.clone(), reason };
    let mut found = Vec::new();
    for batch in builder.build().map_err(parquet(&open.path))? {
        let batch = batch.map_err(|e| damaged(e.to_string()))?;
        found.append(&mut P::read(&batch).map_err(damaged)?);
    }
    Ok(found)
}

/// True for the bytes of a column of pictures, by its number.
fn is_picture(schema: &SchemaDescriptor, column: usize) -> bool {
    let parts = schema.column(column).path().parts().to_vec();
    parts.first().is_some_and(|root| root == "image") && parts.last().is_some_and(|leaf| leaf == "bytes")
}

fn is_wanted(batch: &RecordBatch, ids: &BTreeSet<String>) -> std::result::Result<BooleanArray, ArrowError> {
    let column = batch.columns().first().and_then(|column| column.as_string_opt::<i32>());
    let column = column.ok_or_else(|| ArrowError::SchemaError("the id is not a string".into()))?;
    Ok((0..column.len()).map(|i| Some(ids.contains(column.value(i)))).collect())
}
