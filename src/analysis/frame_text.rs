//! A frame as plain text.

use polars::prelude::*;

use crate::text::{MISSING, TextTable};

/// A frame in lines of at most `width` characters, its first `rows` rows. Pictures and coded masks show their size.
pub fn frame_to_text(frame: &DataFrame, width: usize, rows: usize) -> String {
    let shown = frame.head(Some(rows));
    let column_of = |table: TextTable, column: &Column| {
        let name = column.name().as_str();
        if column.dtype().is_float() {
            let values = (0..column.len()).map(|row| column.get(row).ok().and_then(|v| v.extract::<f64>()));
            table.numbers(name, values)
        } else {
            let cells = (0..column.len()).map(|row| column.get(row).ok().and_then(|value| cell(&value)));
            if column.dtype().is_primitive_numeric() {
                table.aligned_right(name, cells.map(|c| c.unwrap_or(MISSING.to_string())).collect())
            } else {
                table.words(name, cells)
            }
        }
    };
    let mut text = shown.columns().iter().fold(TextTable::new(), column_of).render(width);
    if frame.height() > rows {
        text += &format!("… {} more rows\n", frame.height() - rows);
    }
    text
}

fn cell(value: &AnyValue) -> Option<String> {
    match value {
        AnyValue::Null => None,
        AnyValue::String(word) => Some(word.to_string()),
        AnyValue::StringOwned(word) => Some(word.to_string()),
        AnyValue::Binary(bytes) => Some(format!("{} bytes", bytes.len())),
        AnyValue::BinaryOwned(bytes) => Some(format!("{} bytes", bytes.len())),
        AnyValue::List(values) => {
            let cells = values.iter().map(|v| cell(&v).unwrap_or(MISSING.to_string()));
            Some(format!("[{}]", cells.collect::<Vec<_>>().join(", ")))
        }
        AnyValue::Struct(_, _, fields) => {
            let names = fields.iter().map(|field| field.name().to_string());
            let cells = value._iter_struct_av().map(|v| cell(&v).unwrap_or(MISSING.to_string()));
            let pairs = names.zip(cells).map(|(name, cell)| format!("{name}: {cell}"));
            Some(format!("{{{}}}", pairs.collect::<Vec<_>>().join(", ")))
        }
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::LINE_WIDTH;

    #[test]
    fn a_frame_shows_its_first_rows() {
        let frame =
            df!("id" => ["x\ty", "b", "c"], "n" => [1u32, 20, 3], "v" => [Some(0.25), None, Some(1.0)]).unwrap();
        let lines = "id    n      v\n───  ──  ─────\nx y   1  0.250\nb    20      –\n… 1 more rows\n";
        assert_eq!(frame_to_text(&frame, LINE_WIDTH, 2), lines);
    }
}
