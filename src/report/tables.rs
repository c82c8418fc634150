//! Tables of the page, from frames of the analysis and from rows built here.

use polars::prelude::*;

use super::escape::escape;
use crate::text::{MISSING, fixed, grouped, p_value};

/// Rows from which on a table scrolls down as well.
const TALL: usize = 25;

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words.
    Words,
    /// Counts, with a comma between thousands.
    Count,
    /// Numbers with so many decimals.
    Number(usize),
    /// Numbers with a sign and so many decimals.
    Signed(usize),
    /// P-values.
    P,
}

/// A table of text cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HtmlTable {
    headings: Vec<(String, bool)>,
    rows: Vec<Vec<String>>,
}

impl HtmlTable {
    /// A table without rows, from its headings; those that start with `#` have numbers below them.
    pub(super) fn new<T: AsRef<str>>(headings: impl IntoIterator<Item = T>) -> Self {
        let heading = |text: T| match text.as_ref().strip_prefix('#') {
            Some(text) => (text.to_string(), true),
            None => (text.as_ref().to_string(), false),
        };
        HtmlTable { headings: headings.into_iter().map(heading).collect(), rows: Vec::new() }
    }

    /// Columns of a frame under the headings given. A column that is not there, or is empty, is left out.
    pub(super) fn of_frame(frame: &DataFrame, columns: &[(&str, &str, Kind)]) -> Self {
        let here: Vec<_> = columns.iter().filter(|(name, ..)| has_values(frame, name)).collect();
        let cells: Vec<Vec<String>> = here.iter().map(|(name, _, kind)| cells(frame, name, *kind)).collect();
        HtmlTable {
            headings: here.iter().map(|(_, heading, kind)| (heading.to_string(), *kind != Kind::Words)).collect(),
            rows: (0..frame.height()).map(|row| cells.iter().map(|column| column[row].clone()).collect()).collect(),
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The table in a box that scrolls by itself, and never the page.
    pub(super) fn to_html(&self, caption: &str) -> String {
        let class = |numeric: bool| if numeric { " class=\"n\"" } else { "" };
        let heading =
            |(text, numeric): &(String, bool)| format!("<th scope=\"col\"{}>{}</th>", class(*numeric), escape(text));
        let head: String = self.headings.iter().map(heading).collect();
        let cell = |(place, text): (usize, &String)| {
            let numeric = self.headings.get(place).is_some_and(|(_, numeric)| *numeric);
            match place {
                0 => format!("<th scope=\"row\"{}>{}</th>", class(numeric), escape(text)),
                _ => format!("<td{}>{}</td>", class(numeric), escape(text)),
            }
        };
        let row = |row: &Vec<String>| format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>());
        let body: String = self.rows.iter().map(row).collect();
        let tall = if self.rows.len() > TALL { " tall" } else { "" };
        format!(
            "<div class=\"scroll{tall}\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">\n<table>\n\
             <caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n",
            caption = escape(caption)
        )
    }
}

/// True where the frame has the column, and something in it or no rows at all.
fn has_values(frame: &DataFrame, name: &str) -> bool {
    frame.column(name).is_ok_and(|column| column.is_empty() || column.null_count() < column.len())
}

/// A column as text, one cell per row.
fn cells(frame: &DataFrame, name: &str, kind: Kind) -> Vec<String> {
    if kind == Kind::Words {
        return labels(frame, name).into_iter().map(|cell| cell.unwrap_or(MISSING.to_string())).collect();
    }
    numbers(frame, name).into_iter().map(|value| number_cell(value, kind)).collect()
}

/// A number as a cell.
pub(super) fn number_cell(value: Option<f64>, kind: Kind) -> String {
    let Some(value) = value.filter(|v| v.is_finite()) else { return MISSING.to_string() };
    match kind {
        Kind::Words => value.to_string(),
        Kind::Count => grouped(value as u64),
        Kind::Number(decimals) => fixed(value, decimals),
        Kind::Signed(decimals) => format!("{value:+.decimals$}"),
        Kind::P => p_value(value),
    }
}

/// A column as numbers; nothing where the frame does not have it.
pub(super) fn numbers(frame: &DataFrame, name: &str) -> Vec<Option<f64>> {
    let column = frame.column(name).and_then(|column| column.cast(&DataType::Float64));
    let values = column.and_then(|column| Ok(column.f64()?.iter().collect()));
    values.unwrap_or_else(|_| vec![None; frame.height()])
}

/// A column as text; nothing if the frame lacks it.
pub(super) fn labels(frame: &DataFrame, name: &str) -> Vec<Option<String>> {
    let column = frame.column(name).and_then(|column| column.cast(&DataType::String));
    let values = column.and_then(|column| Ok(column.str()?.iter().map(|word| word.map(str::to_string)).collect()));
    values.unwrap_or_else(|_| vec![None; frame.height()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_becomes_cells() {
        let frame = df!("name" => [Some("<a>"), None], "n" => [1234u32, 5], "p" => [Some(1e-9), None]).unwrap();
        let columns =
            [("name", "Name", Kind::Words), ("n", "Masks", Kind::Count), ("p", "p", Kind::P), ("q", "q", Kind::P)];
        let table = HtmlTable::of_frame(&frame, &columns);
        assert_eq!((table.len(), table.headings.len()), (2, 3));
        let html = table.to_html("Masks & \"more\"");
        assert!(html.contains("<th scope=\"row\">&lt;a&gt;</th><td class=\"n\">1,234</td>"));
        assert!(html.contains("<th scope=\"row\">–</th><td class=\"n\">5</td><td class=\"n\">–</td>"));
        assert!(html.contains("<caption>Masks &amp; &quot;more&quot;</caption>"));
    }

    #[test]
    fn a_table_without_rows_has_its_headings() {
        let html = HtmlTable::new(["a", "#b"]).to_html("c");
        assert!(html.contains("<th scope=\"col\">a</th><th scope=\"col\" class=\"n\">b</th>"));
    }
}
