//! The tables: their names, columns, units and meanings, as Arrow schemas and as text.
//!
//! The columns themselves are described once, as the fields of the row types in [`rows`](super::rows); everything here
//! (Arrow schema, printed reference, dataset card, Hugging Face features) is derived from that description.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::json;

use super::rows::{
    CaseRow, DuplicateRow, FactorRow, FileRow, LeakRow, MaskRow, MetricRow, PredictionRow, Row, SliceRow, SourceRow,
    SplitRow,
};
use crate::named;

/// Version of the tables. It rises when a column is added, removed, renamed or changes its type or meaning; except for
/// new metrics and factors, whose names are in the keys of their shards.
pub const SCHEMA_VERSION: u32 = 5;

/// Version of what is in the tables. It rises when the program begins to give other bytes for the same input (another
/// way to cut slices, another PNG encoder), so that shards written before are built again.
pub const CONTENT_VERSION: u32 = 4;

named! {
    /// A table of a dataset, in the order in which they are made. Its name is also that of its folder.
    pub enum Table("table") {
        /// What became of every raw file.
        Files = "files",
        /// Sources: who made them, and what may be done with them.
        Sources = "sources",
        /// Raw cases.
        Cases = "cases",
        /// 2D images.
        Slices = "slices",
        /// Objects in slices.
        Masks = "masks",
        /// What may explain how well an object is segmented.
        Factors = "factors",
        /// Masks predicted by models.
        Predictions = "predictions",
        /// Predictions measured against masks.
        Metrics = "metrics",
        /// Patients that are found under two names.
        Leaks = "leaks",
        /// Slices that show what another one shows.
        Duplicates = "duplicates",
        /// The split that each patient is in.
        Splits = "splits",
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name in the Parquet file.
    pub name: &'static str,
    /// Arrow type.
    pub data_type: DataType,
    /// True where the column may hold nulls.
    pub nullable: bool,
    /// Unit, empty where there is none.
    pub unit: &'static str,
    /// What a value says, in a sentence or two.
    pub meaning: Cow<'static, str>,
}

impl Column {
    /// The column as an Arrow field.
    pub fn field(&self) -> Field {
        Field::new(self.name, self.data_type.clone(), self.nullable)
    }

    /// The type as text: `string`, `list<uint32>`, `float64?` where nulls are allowed.
    pub fn type_name(&self) -> String {
        format!("{}{}", type_name(&self.data_type), if self.nullable { "?" } else { "" })
    }
}

impl Table {
    /// The command that writes the table.
    pub fn command(self) -> &'static str {
        match self {
            Table::Files | Table::Sources | Table::Cases | Table::Slices | Table::Masks => "build",
            Table::Predictions => "predict",
            Table::Factors | Table::Metrics => "evaluate",
            Table::Leaks | Table::Duplicates => "leaks",
            Table::Splits => "split",
        }
    }

    /// What a row is.
    pub fn about(self) -> &'static str {
        match self {
            Table::Cases => CaseRow::ABOUT,
            Table::Slices => SliceRow::ABOUT,
            Table::Masks => MaskRow::ABOUT,
            Table::Factors => FactorRow::ABOUT,
            Table::Predictions => PredictionRow::ABOUT,
            Table::Metrics => MetricRow::ABOUT,
            Table::Files => FileRow::ABOUT,
            Table::Sources => SourceRow::ABOUT,
            Table::Leaks => LeakRow::ABOUT,
            Table::Duplicates => DuplicateRow::ABOUT,
            Table::Splits => SplitRow::ABOUT,
        }
    }

    /// Its columns, in order.
    pub fn columns(self) -> Vec<Column> {
        match self {
            Table::Cases => CaseRow::columns(),
            Table::Slices => SliceRow::columns(),
            Table::Masks => MaskRow::columns(),
            Table::Factors => FactorRow::columns(),
            Table::Predictions => PredictionRow::columns(),
            Table::Metrics => MetricRow::columns(),
            Table::Files => FileRow::columns(),
            Table::Sources => SourceRow::columns(),
            Table::Leaks => LeakRow::columns(),
            Table::Duplicates => DuplicateRow::columns(),
            Table::Splits => SplitRow::columns(),
        }
    }

    /// The column that names the thing a row is about, and by which rows are sorted first: it comes first.
    pub fn id_column(self) -> &'static str {
        match self {
            Table::Files => "path",
            Table::Sources => "source",
            Table::Cases => "case_id",
            Table::Slices | Table::Duplicates => "slice_id",
            Table::Leaks | Table::Splits => "patient_id",
            Table::Masks | Table::Factors | Table::Predictions | Table::Metrics => "mask_id",
        }
    }

    /// True where files are kept apart by model.
    pub fn has_model(self) -> bool {
        matches!(self, Table::Predictions | Table::Metrics)
    }

    /// Arrow schema. Where a column holds images the metadata key `huggingface` declares it, so that
    /// `datasets.load_dataset("parquet", …)` decodes it.
    pub fn schema(self) -> SchemaRef {
        let columns = self.columns();
        let fields: Vec<Field> = columns.iter().map(Column::field).collect();
        let metadata = hugging_face_features(&columns).map(|json| ("huggingface".to_string(), json));
        Arc::new(Schema::new_with_metadata(fields, HashMap::from_iter(metadata)))
    }
}

/// True for the struct of encoded bytes and path that holds a picture.
pub(super) fn is_image(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Struct(fields) if fields.len() == 2 && fields[0].name() == "bytes")
}

/// The features of a table with an image, as `datasets` keeps them in Parquet metadata; `None` for other tables, whose
/// columns it understands by itself.
fn hugging_face_features(columns: &[Column]) -> Option<String> {
    columns.iter().find(|column| is_image(&column.data_type))?;
    let feature = |column: &Column| match &column.data_type {
        image if is_image(image) => json!({"_type": "Image"}).to_string(),
        scalar => json!({"_type": "Value", "dtype": type_name(scalar)}).to_string(),
    };
    // Put together by hand, so that the columns stay in order.
    let features: Vec<String> = columns.iter().map(|c| format!("{}: {}", json!(c.name), feature(c))).collect();
    Some(format!("{{\"info\": {{\"features\": {{{}}}}}}}", features.join(", ")))
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".into(),
        DataType::Boolean => "bool".into(),
        DataType::List(element) => format!("list<{}>", type_name(element.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}: {}", f.name(), type_name(f.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

/// Describes all tables as plain text, for the terminal.
pub(crate) fn to_text() -> String {
    let mut out = String::new();
    for &table in Table::ALL {
        let columns = table.columns();
        let widest = |text: fn(&Column) -> String| columns.iter().map(|c| text(c).len()).max().unwrap_or(0);
        let (name_width, type_width) = (widest(|c| c.name.into()), widest(Column::type_name).min(24));
        let _ = writeln!(out, "{}: {}", table.name(), table.about());
        for column in &columns {
            let unit = if column.unit.is_empty() { String::new() } else { format!(" [{}]", column.unit) };
            let (name, kind) = (column.name, column.type_name());
            let _ = writeln!(out, "  {name:name_width$}  {kind:type_width$}  {}{unit}", column.meaning);
        }
        out.push('\n');
    }
    out.push_str("A type that ends with ? may be null. Terms: docs/glossary.md; rules: docs/protocol.md.\n");
    out
}

/// Describes all tables as Markdown, for a dataset card.
pub(crate) fn to_markdown() -> String {
    let mut out = String::new();
    for &table in Table::ALL {
        let _ = writeln!(out, "### `{}`\n\n{}\n", table.name(), table.about());
        out.push_str("| column | type | unit | meaning |\n|---|---|---|---|\n");
        for column in table.columns() {
            let (kind, meaning) = (column.type_name(), column.meaning.replace('|', "\\|"));
            let _ = writeln!(out, "| `{}` | `{kind}` | {} | {meaning} |", column.name, column.unit);
        }
        out.push('\n');
    }
    out.push_str(
        "A type that ends with `?` may be null. `docs/glossary.md` of medcosmos defines the terms, `docs/protocol.md` the rules.\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_described_once() {
        for &table in Table::ALL {
            let columns = table.columns();
            assert_eq!(columns[0].name, table.id_column());
            for (i, column) in columns.iter().enumerate() {
                assert!(column.meaning.ends_with('.'), "{}.{}: {:?}", table.name(), column.name, column.meaning);
                assert!(!column.meaning.starts_with(' ') && !column.meaning.contains("  "), "{:?}", column.meaning);
                assert!(columns[..i].iter().all(|other| other.name != column.name));
            }
            assert_eq!(table.name().parse(), Ok(table));
            assert_eq!(columns.iter().any(|c| c.name == "model"), table.has_model());
        }
    }

    #[test]
    fn a_column_means_the_same_type_in_every_table() {
        let mut seen: HashMap<&str, (Table, Column)> = HashMap::new();
        for &table in Table::ALL {
            for column in table.columns() {
                let (first, known) = seen.entry(column.name).or_insert_with(|| (table, column.clone()));
                assert_eq!(known.data_type, column.data_type, "{} in {first:?} and {table:?}", column.name);
            }
        }
    }

    #[test]
    fn the_image_is_declared_to_hugging_face() {
        let schema = Table::Slices.schema();
        let features: serde_json::Value = serde_json::from_str(&schema.metadata["huggingface"]).unwrap();
        let features = features["info"]["features"].as_object().unwrap();
        assert_eq!(features["image"], json!({"_type": "Image"}));
        assert_eq!(features["height"], json!({"_type": "Value", "dtype": "uint32"}));
        assert_eq!(features["spacing_row_mm"], json!({"_type": "Value", "dtype": "float64"}));
        assert_eq!(features.len(), schema.fields().len());
        assert!(Table::Masks.schema().metadata.is_empty());
        // The Arrow type of its `Image` feature; another nullability would leave the bytes undecoded.
        let (bytes, path) = (Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true));
        let image = Field::new("image", DataType::Struct(vec![bytes, path].into()), true);
        assert_eq!(schema.field_with_name("image").unwrap(), &image);
    }

    #[test]
    fn the_reference_names_every_column() {
        let (text, markdown) = (to_text(), to_markdown());
        for &table in Table::ALL {
            for column in table.columns() {
                assert!(text.contains(&format!("  {} ", column.name)), "{}", column.name);
                assert!(markdown.contains(&format!("| `{}` | `{}` |", column.name, column.type_name())));
            }
        }
        assert!(markdown.contains("| `image` | `struct<bytes: binary, path: string>?` |"));
    }
}
