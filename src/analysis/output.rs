//! Frames as files: CSV, JSON lines, Parquet, or a table to read.

use super::AnalysisError;
use super::frame_to_text;
use crate::text::{LINE_WIDTH, cell};
use polars::prelude::*;
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::Value;
use std::io::{self, BufWriter, Write};

/// In what form a frame is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A table to read in a terminal, the first rows of many.
    #[default]
    Text,
    /// Comma-separated values with a header. Lists and structs are JSON. Text that a spreadsheet would take for a
    /// formula has a `'` before it.
    Csv,
    /// One JSON object a line (NDJSON). Missing and infinite numbers are null, bytes that are not text are hexadecimal.
    JsonLines,
    /// Apache Parquet, zstd.
    Parquet,
}

impl Format {
    /// Rows that [`Format::Text`] shows.
    pub const TEXT_ROWS: usize = 60;

    /// The format of a file name's ending: `csv`, `jsonl` or `ndjson`, `parquet`, `txt`.
    pub fn from_extension(extension: &str) -> Option<Format> {
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "jsonl" | "ndjson" => Some(Format::JsonLines),
            "parquet" => Some(Format::Parquet),
            "txt" => Some(Format::Text),
            _ => None,
        }
    }
}

/// Writes a frame. The same frame gives the same bytes.
///
/// # Errors
/// [`AnalysisError::Format`] where the frame has a type that the format cannot hold, or `out` fails.
pub fn write_frame(frame: &DataFrame, format: Format, out: impl Write) -> Result<(), AnalysisError> {
    let mut out = BufWriter::new(out);
    let written = match format {
        Format::Text => {
            let text = frame_to_text(frame, LINE_WIDTH, Format::TEXT_ROWS);
            out.write_all(text.as_bytes()).map_err(PolarsError::from)
        }
        Format::Csv => flat(frame).and_then(|mut frame| CsvWriter::new(&mut out).finish(&mut frame)),
        Format::JsonLines => write_json_lines(frame, &mut out),
        Format::Parquet => {
            let mut frame = frame.clone();
            // One thread, so that nothing of the machine shows in the file.
            ParquetWriter::new(&mut out).set_parallel(false).finish(&mut frame).map(|_| ())
        }
    };
    let flushed = written.and_then(|()| out.flush().map_err(PolarsError::from));
    flushed.map_err(|source| AnalysisError::Format { what: format!("{format:?}"), source })
}

fn write_json_lines(frame: &DataFrame, out: &mut impl Write) -> PolarsResult<()> {
    for row in 0..frame.height() {
        serde_json::to_writer(&mut *out, &JsonRow { frame, row }).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A frame as a JSON list of its rows, each an object with the columns in the frame's order. Values are those of
/// [`Format::JsonLines`].
#[derive(Clone, Copy, Debug)]
pub struct JsonRows<'a>(pub &'a DataFrame);

impl Serialize for JsonRows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((0..self.0.height()).map(|row| JsonRow { frame: self.0, row }))
    }
}

struct JsonRow<'a> {
    frame: &'a DataFrame,
    row: usize,
}

impl Serialize for JsonRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(self.frame.width()))?;
        for column in self.frame.columns() {
            let value = column.get(self.row).map_err(S::Error::custom)?;
            object.serialize_entry(column.name().as_str(), &json(&value))?;
        }
        object.end()
    }
}

/// A frame for a spreadsheet: lists, structs and bytes, of which CSV has no types, are JSON words, and no text is a
/// formula.
fn flat(frame: &DataFrame) -> PolarsResult<DataFrame> {
    let flat_column = |column: &Column| {
        let name = PlSmallStr::from(cell(column.name()).as_ref());
        if column.dtype().is_primitive_numeric() || column.dtype().is_bool() || column.dtype().is_temporal() {
            return Ok(column.clone().with_name(name));
        }
        let word = |row| match json(&column.get(row)?) {
            Value::Null => Ok(None),
            Value::String(word) => Ok(Some(cell(&word).into_owned())),
            other => Ok(Some(other.to_string())),
        };
        let words: PolarsResult<Vec<Option<String>>> = (0..column.len()).map(word).collect();
        Ok(Column::new(name, words?))
    };
    DataFrame::new(frame.height(), frame.columns().iter().map(flat_column).collect::<PolarsResult<_>>()?)
}

/// A value as JSON.
fn json(value: &AnyValue) -> Value {
    let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()),
    };
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(v) => Value::from(*v),
        AnyValue::String(v) => Value::from(*v),
        AnyValue::StringOwned(v) => Value::from(v.as_str()),
        AnyValue::UInt8(v) => Value::from(*v),
        AnyValue::UInt16(v) => Value::from(*v),
        AnyValue::UInt32(v) => Value::from(*v),
        AnyValue::UInt64(v) => Value::from(*v),
        AnyValue::Int8(v) => Value::from(*v),
        AnyValue::Int16(v) => Value::from(*v),
        AnyValue::Int32(v) => Value::from(*v),
        AnyValue::Int64(v) => Value::from(*v),
        // Through its shortest digits: 0.9, not 0.8999999761581421.
        AnyValue::Float32(v) => v.to_string().parse::<f64>().map_or(Value::Null, Value::from),
        AnyValue::Float64(v) => Value::from(*v),
        AnyValue::Binary(v) => bytes(v),
        AnyValue::BinaryOwned(v) => bytes(v),
        AnyValue::List(values) => Value::Array(values.iter().map(|v| json(&v)).collect()),
        AnyValue::Struct(_, _, fields) => {
            let names = fields.iter().map(|field| field.name().to_string());
            Value::Object(names.zip(value._iter_struct_av().map(|v| json(&v))).collect())
        }
        AnyValue::StructOwned(parts) => {
            let (values, fields) = &**parts;
            let names = fields.iter().map(|field| field.name().to_string());
            Value::Object(names.zip(values.iter().map(json)).collect())
        }
        other => Value::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> DataFrame {
        let points = Series::new("points".into(), [Series::new("".into(), [1.5, 2.0]), Series::new("".into(), [0.5])]);
        let mut frame = df!(
            "id" => ["a,b", "c\"d"],
            "n" => [1u8, 2],
            "score" => [Some(0.9f32), None],
            "dice" => [0.1 + 0.2, f64::NAN],
            "empty" => [true, false],
            "raw" => [&b"abc"[..], &[0xff, 0x00][..]],
        )
        .unwrap();
        frame.with_column(points.into_column()).unwrap();
        frame
    }

    fn written(format: Format) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_frame(&frame(), format, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn csv_quotes_words_and_holds_lists_as_json() {
        let text = String::from_utf8(written(Format::Csv)).unwrap();
        assert_eq!(
            text,
            "id,n,score,dice,empty,raw,points\n\
             \"a,b\",1,0.9,0.30000000000000004,true,abc,\"[1.5,2.0]\"\n\
             \"c\"\"d\",2,,NaN,false,ff00,[0.5]\n"
        );
    }

    #[test]
    fn csv_holds_no_formulas_and_parquet_keeps_the_text() {
        let frame = df!("=id" => ["=1+1", "-0.5", "@x"], "d" => [-0.5, 1.0, -2.0], "n" => [-1i8, 0, 1]).unwrap();
        let mut bytes = Vec::new();
        write_frame(&frame, Format::Csv, &mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "'=id,d,n\n'=1+1,-0.5,-1\n-0.5,1.0,0\n'@x,-2.0,1\n");
        let mut bytes = Vec::new();
        write_frame(&frame, Format::Parquet, &mut bytes).unwrap();
        assert!(ParquetReader::new(std::io::Cursor::new(bytes)).finish().unwrap().equals(&frame));
    }

    #[test]
    fn json_lines_keep_types() {
        let text = String::from_utf8(written(Format::JsonLines)).unwrap();
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["score"], 0.9);
        assert_eq!(rows[0]["points"], serde_json::json!([1.5, 2.0]));
        assert_eq!((&rows[1]["score"], &rows[1]["dice"]), (&Value::Null, &Value::Null));
        assert_eq!(rows[1]["raw"], "ff00");
        assert!(text.starts_with("{\"id\":\"a,b\",\"n\":1,\"score\":0.9,\"dice\":"), "in the frame's order: {text}");
    }

    #[test]
    fn parquet_comes_back_and_has_one_form() {
        let bytes = written(Format::Parquet);
        assert_eq!(bytes, written(Format::Parquet));
        let back = ParquetReader::new(std::io::Cursor::new(bytes)).finish().unwrap();
        assert!(back.equals_missing(&frame()));
    }

    #[test]
    fn formats_have_their_endings() {
        assert_eq!(Format::from_extension("CSV"), Some(Format::Csv));
        assert_eq!(Format::from_extension("ndjson"), Some(Format::JsonLines));
        assert_eq!(Format::from_extension("xlsx"), None);
    }
}
