//! Checksums of the parts of a Parquet file, so that whoever reads a few of its columns notices damage in them without
//! reading the rest.
//!
//! The `parquet` crate writes no page checksums (release 60), and the SHA-256 of a receipt covers whole files, pictures
//! included. A receipt therefore also holds the CRC-32 of every column chunk, row group by row group and in the order of
//! the columns, and last that of the footer: eight hexadecimal digits each, one after the other.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::error::{Error, Result, io, parquet};
use super::place;
use super::reader::{TableFile, guarded};

/// Digits of a CRC-32 in hexadecimal.
const DIGITS: usize = 8;

/// The checksums of a finished file, in one text.
pub(super) fn of_file(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(io(path, "open"))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(parquet(path))?;
    let metadata = metadata.metadata();
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let mut text = String::new();
    let ranges = chunks.map(|chunk| range(path, chunk)).chain([footer(&file, metadata, path)]);
    for range in ranges {
        let (start, length) = range?;
        text.push_str(&format!("{:08x}", crc(path, &file, start, length)?));
    }
    Ok(text)
}

/// Compares the footer of an open file with its recorded checksum. A file that was recorded without checksums passes.
pub(super) fn check_footer(path: &Path, file: &File, metadata: &ParquetMetaData, recorded: &str) -> Result<()> {
    if recorded.is_empty() {
        return Ok(());
    }
    let chunks: usize = metadata.row_groups().iter().map(|group| group.num_columns()).sum();
    if recorded.len() != (chunks + 1) * DIGITS {
        return Err(damaged(path, "its footer lists other row groups and columns than its receipt".into()));
    }
    let (start, length) = footer(file, metadata, path)?;
    check(path, file, (start, length), recorded, chunks, "its footer")
}

/// Compares the chunks of a row group whose column (by number) is `wanted` with their recorded checksums.
pub(super) fn check_group(
    path: &Path,
    file: &File,
    metadata: &ParquetMetaData,
    recorded: &str,
    group: usize,
    wanted: impl Fn(usize) -> bool,
) -> Result<()> {
    if recorded.is_empty() {
        return Ok(());
    }
    let before: usize = metadata.row_groups()[..group].iter().map(|group| group.num_columns()).sum();
    for (column, chunk) in metadata.row_group(group).columns().iter().enumerate().filter(|(column, _)| wanted(*column))
    {
        let what = || format!("column {} of row group {group}", chunk.column_path().string());
        check(path, file, range(path, chunk)?, recorded, before + column, &what())?;
    }
    Ok(())
}

/// Compares the named columns of a table's file, and its size and footer, with its receipt.
///
/// # Errors
/// [`Error::Damaged`] with the column, and errors of reading.
pub(crate) fn check_columns(table: &TableFile, columns: &[String]) -> Result<()> {
    let (path, recorded) = (&table.path, &table.file.checksums);
    let (file, metadata) = open(table)?;
    let schema = metadata.parquet_schema();
    let wanted = |column: usize| {
        let path = schema.column(column).path().clone();
        path.parts().first().is_some_and(|root| columns.contains(root))
    };
    guarded(path, || {
        (0..metadata.metadata().num_row_groups())
            .try_for_each(|group| check_group(path, &file, metadata.metadata(), recorded, group, wanted))
    })
}

/// Compares the size of a table's file with its receipt.
///
/// # Errors
/// [`Error::Damaged`] where it is missing or has another size, and errors of reading.
#[cfg(feature = "query")]
pub(crate) fn check_size(table: &TableFile) -> Result<()> {
    sized(table).map(|_| ())
}

/// Opens a table's file and compares its size and footer with its receipt.
pub(super) fn open(table: &TableFile) -> Result<(File, ArrowReaderMetadata)> {
    let (file, path) = (sized(table)?, &table.path);
    let options =
        ArrowReaderOptions::new().with_offset_index_policy(parquet::file::metadata::PageIndexPolicy::Optional);
    let metadata = guarded(path, || {
        let metadata = ArrowReaderMetadata::load(&file, options).map_err(parquet(path))?;
        check_footer(path, &file, metadata.metadata(), &table.file.checksums)?;
        Ok(metadata)
    })?;
    Ok((file, metadata))
}

/// Opens a table's file and compares its size with its receipt.
fn sized(table: &TableFile) -> Result<File> {
    let TableFile { path, file: recorded, table, .. } = table;
    if path.ends_with(&recorded.path)
        && let Some(root) = path.ancestors().nth(recorded.path.split('/').count())
    {
        place::check(root, &recorded.path)?;
    }
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => damaged(path, format!("missing: run `medcosmos {}` again", table.command())),
        _ => io(path, "open")(error),
    })?;
    let bytes = file.metadata().map_err(io(path, "read the size"))?.len();
    let mend = |reason: String| damaged(path, format!("{reason}: run `medcosmos {}` again", table.command()));
    if bytes != recorded.bytes {
        return Err(mend(format!("has {bytes} bytes, but its receipt states {}", recorded.bytes)));
    }
    Ok(file)
}

fn check(
    path: &Path,
    file: &File,
    (start, length): (u64, u64),
    recorded: &str,
    number: usize,
    what: &str,
) -> Result<()> {
    let found = crc(path, file, start, length)?;
    let expected = recorded.get(number * DIGITS..(number + 1) * DIGITS);
    if expected == Some(format!("{found:08x}").as_str()) {
        return Ok(());
    }
    let advice =
        "run `medcosmos verify DATASET --repair --apply`, which marks the shard to be done again, then its stage";
    Err(damaged(path, format!("{what} does not have the checksum of its receipt: {advice}")))
}

/// Where a chunk begins, and its length; the crate's own `byte_range` panics where a damaged footer has them negative.
fn range(path: &Path, chunk: &ColumnChunkMetaData) -> Result<(u64, u64)> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let range = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
    range.ok_or_else(|| damaged(path, "its footer places a column at a negative offset".into()))
}

/// Where the footer begins, behind the last chunk, and its length.
fn footer(file: &File, metadata: &ParquetMetaData, path: &Path) -> Result<(u64, u64)> {
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    let mut start = 0;
    for chunk in chunks {
        let (from, length) = range(path, chunk)?;
        start = start.max(from.saturating_add(length));
    }
    let size = file.metadata().map_err(io(path, "read the size"))?.len();
    Ok((start, size.saturating_sub(start)))
}

fn crc(path: &Path, file: &File, start: u64, length: u64) -> Result<u32> {
    let mut file = file;
    file.seek(SeekFrom::Start(start)).map_err(io(path, "read"))?;
    let (mut part, mut left) = (vec![0; 128 << 10], length);
    let mut hasher = crc32fast::Hasher::new();
    while left > 0 {
        let wanted = part.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut part[..wanted]).map_err(io(path, "read"))?;
        if read == 0 {
            break; // beyond the end: the checksum differs
        }
        hasher.update(&part[..read]);
        left -= read as u64;
    }
    Ok(hasher.finalize())
}

fn damaged(path: &Path, reason: String) -> Error {
    Error::Damaged { path: path.to_path_buf(), reason }
}
