//! Writes the Parquet file of one table of one shard, row by row, in bounded memory.
//!
//! Rows are collected into row groups, each encoded at once, so the bytes of the file depend only on the rows, not on
//! how they were passed. Choices:
//!
//! - Images are not compressed again: zstd makes the PNG files of COSMOS 0.5 % smaller, and takes longer than the rest
//!   of the writing (0.5 ms a slice).
//! - Binary columns have no minimum and maximum, which would copy pictures into the footer.
//! - A data page of a picture column holds one picture, so that a reader can skip to the one it wants.
//! - A dictionary is kept for texts that repeat, not for ids, digests, numbers and binary columns.

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use arrow_schema::DataType;

use super::durable::Staged;
use super::error::{Error, Result, parquet};
use super::rows::Row;
use super::schema::{Column, SCHEMA_VERSION, Table, is_image};

/// Most rows in a row group of a table with pictures: what the Hugging Face viewer asks for.
const IMAGE_ROWS: usize = 100;
/// Rows with pictures that are turned into Arrow's form at once.
const IMAGE_PART: usize = 8;
/// Most rows in a row group of another table.
pub(super) const GROUP_ROWS: usize = 20_000;
/// Most bytes of rows in a row group, before encoding. A row that is larger has a row group of its own.
const BYTES: usize = 16 << 20;
/// Most bytes of a row: Arrow's offsets have 31 bits.
const ROW_BYTES: usize = 1 << 30;

/// What was written.
pub(super) struct Written {
    /// The file, not yet in its place.
    pub(super) staged: Staged,
    /// Number of rows.
    pub(super) rows: u64,
    /// Id of the first row.
    pub(super) first: String,
    /// Id of the last row.
    pub(super) last: String,
}

/// Writer of rows of one type.
pub(super) struct TableWriter<R: Row> {
    writer: ArrowWriter<Staged>,
    group: Vec<R>,
    group_bytes: usize,
    previous: Option<R>,
    first: Option<String>,
    rows: u64,
}

impl<R: Row> TableWriter<R> {
    pub(super) fn new(staged: Staged) -> Result<Self> {
        let path = staged.path().to_path_buf();
        let writer =
            ArrowWriter::try_new(staged, R::TABLE.schema(), Some(properties(R::TABLE))).map_err(parquet(&path))?;
        Ok(TableWriter { writer, group: Vec::new(), group_bytes: 0, previous: None, first: None, rows: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::Order`] where it does not come after the one before, [`Error::RowTooLarge`], and errors of writing.
    pub(super) fn push(&mut self, row: R) -> Result<()> {
        let table = R::TABLE.name();
        let previous = self.group.last().or(self.previous.as_ref());
        if let Some(previous) = previous.filter(|previous| previous.compare(&row).is_ge()) {
            return Err(Error::Order { table, previous: previous.key(), row: row.key() });
        }
        let bytes = row.weight();
        if bytes > ROW_BYTES {
            return Err(Error::RowTooLarge { table, row: row.key(), bytes, limit: ROW_BYTES });
        }
        if self.group.len() == row_limit(R::TABLE) || self.group_bytes + bytes > BYTES {
            self.write_group()?;
        }
        self.first.get_or_insert_with(|| row.id().to_string());
        self.group_bytes += bytes;
        self.rows += 1;
        self.group.push(row);
        Ok(())
    }

    fn write_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        // Pictures go over in small parts, whose memory is used again for the next part.
        let part = if row_limit(R::TABLE) == IMAGE_ROWS { IMAGE_PART } else { GROUP_ROWS };
        let encode = |writer: &mut ArrowWriter<Staged>, group: &[R]| {
            group.chunks(part).try_for_each(|part| writer.write(&R::batch(part)?))?;
            writer.flush()
        };
        let path = self.writer.inner().path().to_path_buf();
        encode(&mut self.writer, &self.group).map_err(parquet(&path))?;
        self.previous = self.group.pop();
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }

    /// Writes what is left and the footer.
    pub(super) fn finish(mut self) -> Result<Written> {
        self.write_group()?;
        let path = self.writer.inner().path().to_path_buf();
        let staged = self.writer.into_inner().map_err(parquet(&path))?;
        let last = self.previous.map(|row| row.id().to_string()).unwrap_or_default();
        Ok(Written { staged, rows: self.rows, first: self.first.unwrap_or_default(), last })
    }
}

fn row_limit(table: Table) -> usize {
    if table.columns().iter().any(|c| is_image(&c.data_type)) { IMAGE_ROWS } else { GROUP_ROWS }
}

fn properties(table: Table) -> WriterProperties {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let schema = table.schema();
    let metadata = schema.metadata().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("medcosmos schema {SCHEMA_VERSION}"))
        .set_key_value_metadata(Some(metadata.collect()))
        .set_max_row_group_row_count(None)
        .set_compression(zstd)
        .set_dictionary_enabled(false);
    for column in table.columns() {
        let path = ColumnPath::from(column.name);
        if repeats(table, &column) {
            properties = properties.set_column_dictionary_enabled(path, true);
        }
        for bytes in binary_leaves(&column) {
            properties = properties.set_column_statistics_enabled(bytes.clone(), EnabledStatistics::None);
            if is_image(&column.data_type) {
                properties = properties
                    .set_column_compression(bytes.clone(), Compression::UNCOMPRESSED)
                    .set_column_data_page_size_limit(bytes, 1);
            }
        }
    }
    properties.build()
}

/// True for texts of which the same few come again and again.
fn repeats(table: Table, column: &Column) -> bool {
    column.data_type == DataType::Utf8 && column.name != table.id_column() && !column.name.ends_with("sha256")
}

/// Paths of the binary values of a column: of itself, or of fields of its struct.
fn binary_leaves(column: &Column) -> Vec<ColumnPath> {
    match &column.data_type {
        DataType::Binary => vec![ColumnPath::from(column.name)],
        DataType::Struct(fields) => {
            let binary = fields.iter().filter(|field| *field.data_type() == DataType::Binary);
            binary.map(|field| ColumnPath::new(vec![column.name.into(), field.name().clone()])).collect()
        }
        _ => Vec::new(),
    }
}
