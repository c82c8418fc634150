//! Tables as plain text for a terminal or a log: aligned columns, a rule under the header, as many digits as a reader
//! needs, and never wider than requested.
//!
//! Names, texts of headers and of specs come from anyone. [`printable`] is how they reach a terminal, [`cell`] how they
//! reach a spreadsheet, and [`markdown`] how they reach a page.

use std::borrow::Cow;

/// A text as a terminal may show it: characters that a terminal obeys, or that change the order in which others are
/// shown, become `\uXXXX`, as JSON writes them. Line breaks and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_obeyed(c) && !matches!(c, '\n' | '\t'))
}

/// As [`printable`], for a text within a line: line breaks and tabs are escaped too.
pub fn printable_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

fn escaped(text: &str, obeyed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if obeyed(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and marks that embed, override or isolate a
/// direction of writing.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text as a cell of a CSV file. Spreadsheets take a cell for a formula if it begins with `=`, `+`, `-`, `@`, a tab
/// or a carriage return: `'` before it makes it text. Numbers stay numbers.
pub fn cell(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    let is_number = || text.parse::<f64>().is_ok_and(f64::is_finite);
    if is_formula && !is_number() { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// A text within a line of Markdown, which shows it as it is: no character of it is markup, and it has no line breaks.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable_line(&text.replace(['\r', '\n', '\t'], " ")).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// A link of a spec as Markdown: `<https://…>` where it is one of the web, else its text. Schemes such as `javascript:`
/// and `data:` are no links.
pub fn markdown_link(link: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !is_obeyed(c) && !"<>\"`\\".contains(c);
    match is_web(link) && link.chars().all(plain) {
        true => format!("<{link}>"),
        false => markdown(link),
    }
}

/// Whether a link leads to the web.
pub fn is_web(link: &str) -> bool {
    ["https://", "http://"]
        .iter()
        .any(|scheme| link.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)))
}

/// Width of a line, in characters, that fits a terminal and a page.
pub const LINE_WIDTH: usize = 100;

/// What stands for a missing value.
pub const MISSING: &str = "–";
/// Between columns.
const GAP: &str = "  ";
/// A column of words is not made narrower than this.
const NARROWEST: usize = 12;

/// A table of cells that are already words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextTable {
    columns: Vec<TextColumn>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TextColumn {
    name: String,
    cells: Vec<String>,
    numeric: bool,
}

impl TextTable {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of words, aligned to the left. Line breaks and tabs become spaces, other characters that a
    /// terminal obeys are escaped.
    pub fn words(mut self, name: &str, cells: impl IntoIterator<Item = Option<String>>) -> Self {
        let plain = |cell: Option<String>| match cell {
            Some(cell) => printable_line(&cell.replace(['\r', '\n', '\t'], " ")).into_owned(),
            None => MISSING.to_string(),
        };
        let cells = cells.into_iter().map(plain).collect();
        self.columns.push(TextColumn { name: printable_line(name).into_owned(), cells, numeric: false });
        self
    }

    /// Adds a column of numbers with the same number of decimals, aligned to the right.
    pub fn numbers(self, name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let values: Vec<Option<f64>> = values.into_iter().collect();
        self.aligned_right(name, number_cells(&values))
    }

    /// Adds a column of counts, with a comma between thousands.
    pub fn counts(self, name: &str, values: impl IntoIterator<Item = u64>) -> Self {
        let cells = values.into_iter().map(grouped).collect();
        self.aligned_right(name, cells)
    }

    /// Adds a column of p-values.
    #[cfg(any(feature = "query", test))]
    pub fn p_values(self, name: &str, values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let cells = values.into_iter().map(|p| p.map_or(MISSING.to_string(), p_value)).collect();
        self.aligned_right(name, cells)
    }

    /// Adds a column of cells aligned to the right.
    pub fn aligned_right(mut self, name: &str, cells: Vec<String>) -> Self {
        self.columns.push(TextColumn { name: name.to_string(), cells, numeric: true });
        self
    }

    /// The table in lines of at most `width` characters. Words are shortened where they must be, the longest column
    /// first; columns that do not fit even then are left out and named below.
    pub fn render(&self, width: usize) -> String {
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
        let mut widths: Vec<usize> = self.columns.iter().map(TextColumn::width).collect();
        let least = |column: &TextColumn| if column.numeric { column.width() } else { column.width().min(NARROWEST) };
        let mut narrowest: Vec<usize> = self.columns.iter().map(least).collect();
        while total(&narrowest) > width && narrowest.len() > 1 {
            narrowest.pop();
        }
        widths.truncate(narrowest.len());
        while total(&widths) > width {
            let wide = |i: &usize| widths[*i] > narrowest[*i];
            let Some(widest) = (0..widths.len()).filter(wide).max_by_key(|&i| (widths[i], i)) else { break };
            widths[widest] -= 1;
        }
        let (shown, hidden) = self.columns.split_at(widths.len());
        let line = |cell_of: &dyn Fn(&TextColumn) -> String| {
            let cells = shown.iter().zip(&widths).map(|(column, &width)| {
                let cell = shorten(&cell_of(column), width);
                let space = " ".repeat(width.saturating_sub(cell.chars().count()));
                if column.numeric { space + &cell } else { cell + &space }
            });
            cells.collect::<Vec<_>>().join(GAP).trim_end().to_string() + "\n"
        };
        let mut text = line(&|column| column.name.clone());
        text += &(widths.iter().map(|&w| "─".repeat(w)).collect::<Vec<_>>().join(GAP) + "\n");
        let rows = shown.iter().map(|column| column.cells.len()).max().unwrap_or(0);
        for row in 0..rows {
            text += &line(&|column| column.cells.get(row).cloned().unwrap_or_default());
        }
        if !hidden.is_empty() {
            let names: Vec<&str> = hidden.iter().map(|column| column.name.as_str()).collect();
            text += &format!("columns that do not fit: {}\n", names.join(", "));
        }
        text
    }
}

impl TextColumn {
    fn width(&self) -> usize {
        self.cells.iter().chain([&self.name]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

/// Numbers of a column with the same number of decimals: four digits for the largest, three decimals at most, none
/// for whole numbers. A number that would read as zero, or is too long, is written with its power of ten.
fn number_cells(values: &[Option<f64>]) -> Vec<String> {
    let finite = || values.iter().flatten().filter(|v| v.is_finite());
    let largest = finite().fold(0.0f64, |largest, v| largest.max(v.abs()));
    let decimals = if finite().all(|v| v.fract() == 0.0) {
        0
    } else {
        match largest {
            l if l < 10.0 => 3,
            l if l < 100.0 => 2,
            _ => 1,
        }
    };
    values.iter().map(|value| value.map_or(MISSING.to_string(), |v| fixed(v, decimals))).collect()
}

/// A number with so many decimals, or with its power of ten where these would not show it.
pub fn fixed(value: f64, decimals: usize) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return value.to_string();
    }
    if (size != 0.0 && size < 0.5 * 10f64.powi(-(decimals as i32))) || size >= 1e9 {
        return format!("{value:.1e}");
    }
    // A small negative number must not become "-0.000".
    format!("{:.decimals$}", if size == 0.0 { 0.0 } else { value })
}

/// A p-value: three decimals, its power of ten below that, and `<1e-307` for what a double cannot hold.
#[cfg(any(feature = "query", test))]
pub fn p_value(p: f64) -> String {
    match p {
        0.0 => "<1e-307".to_string(),
        p if p < 0.001 => format!("{p:.0e}"),
        p => format!("{p:.3}"),
    }
}

/// 1234567 → `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// A size as a user states it, as its number and what its unit stands for: bytes (`b`, decimal `kB`, binary `KiB` and so
/// on, in any case), or `None` for another unit. `None` where there is no number.
pub(crate) fn stated_size(text: &str) -> Option<(f64, &str, Option<f64>)> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
    let unit = unit.trim();
    let bytes = match unit.to_ascii_lowercase().as_str() {
        "b" => Some(1.0),
        "k" | "kb" => Some(1e3),
        "m" | "mb" => Some(1e6),
        "g" | "gb" => Some(1e9),
        "t" | "tb" => Some(1e12),
        "kib" => Some(f64::from(1 << 10)),
        "mib" => Some(f64::from(1 << 20)),
        "gib" => Some(f64::from(1 << 30)),
        "tib" => Some((1_u64 << 40) as f64),
        _ => None,
    };
    Some((number.parse().ok()?, unit, bytes))
}

/// 1234567 → `1.2 MB`, in powers of a thousand; bytes below ten thousand one by one.
pub fn byte_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 10_000 {
        return format!("{} B", grouped(bytes));
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A list of at most `limit` lines, and how many more there are. A line break within one is escaped.
pub fn at_most(lines: &[String], limit: usize) -> String {
    let mut out: String = lines.iter().take(limit).map(|l| format!("  {}\n", printable_line(l))).collect();
    if lines.len() > limit {
        out.push_str(&format!("  … and {} more\n", lines.len() - limit));
    }
    out
}

fn shorten(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_string();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_align_and_numbers_have_sensible_digits() {
        let table = TextTable::new()
            .words("strategy", ["S1", "S2"].map(|w| Some(w.to_string())))
            .counts("masks", [12, 12345])
            .numbers("dice", [Some(0.61234567), None])
            .numbers("hd", [Some(1.25), Some(212.0)])
            .p_values("p", [Some(0.04321), Some(3.2e-12)]);
        let lines = "strategy   masks   dice     hd      p\n\
                     ────────  ──────  ─────  ─────  ─────\n\
                     S1            12  0.612    1.2  0.043\n\
                     S2        12,345      –  212.0  3e-12\n";
        assert_eq!(table.render(LINE_WIDTH), lines);
    }

    #[test]
    fn numbers_that_decimals_would_hide_keep_their_power_of_ten() {
        let cells = number_cells(&[Some(0.5), Some(-1e-7), Some(0.0), Some(-0.0), Some(f64::INFINITY), Some(2e12)]);
        assert_eq!(cells, ["0.5", "-1.0e-7", "0.0", "0.0", "inf", "2.0e12"]);
        assert_eq!(number_cells(&[Some(3.0), Some(-40.0)]), ["3", "-40"]);
        assert_eq!(p_value(0.0), "<1e-307");
    }

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        let hostile = "a\u{1b}[2J\u{7}\r\u{9b}31m\u{202e}gnp\u{2066}\u{7f}\n\tb";
        let text = r"a\u001b[2J\u0007\u000d\u009b31m\u202egnp\u2066\u007f";
        assert_eq!(printable(hostile), format!("{text}\n\tb"));
        assert_eq!(printable_line(hostile), format!(r"{text}\u000a\u0009b"));
        assert_eq!(printable("Jörg, 患者 – ±0.5\n"), "Jörg, 患者 – ±0.5\n");
        let json = format!("\"{}\"", printable_line("\u{202e}\u{9b}"));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), "\u{202e}\u{9b}", "as JSON reads it");
        let table = TextTable::new().words("a\u{1b}", [Some("x\u{1b}[0m\ny".to_string())]).render(LINE_WIDTH);
        assert!(table.contains(r"a\u001b") && table.contains(r"x\u001b[0m y"), "{table}");
    }

    #[test]
    fn cells_are_no_formulas_and_numbers_stay() {
        for formula in ["=cmd|' /C calc'!A0", "+1+2", "-1-x", "@SUM(A1)", "\t=1", "\r=1", "-", "＝1", "-inf", "--5"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        for text in ["-0.5", "+3", "-1e-7", "0.5", "liver", "a=b", "", "'=1"] {
            assert_eq!(cell(text), text);
        }
    }

    #[test]
    fn markup_of_a_text_is_shown_and_only_links_of_the_web_are_links() {
        assert_eq!(
            markdown("<img src=x onerror=a()>|[x](javascript:y)\n# *b* & CC BY-NC 4.0"),
            r"&lt;img src=x onerror=a()&gt;\|\[x\](javascript:y) \# \*b\* &amp; CC BY-NC 4.0"
        );
        assert_eq!(markdown_link("https://a.org/x_y?z=1&b"), "<https://a.org/x_y?z=1&b>");
        for link in ["javascript:alert(1)", "data:text/html,x", "https://a> <script>", "JavaScript:x", "httpsx"] {
            assert!(!markdown_link(link).contains('<'), "{link}");
        }
    }

    #[test]
    fn sizes_have_a_unit() {
        let sizes = [0, 9_999, 10_000, 999_949, 999_950, 1_234_567, 5_000_000_000, u64::MAX].map(byte_size);
        assert_eq!(sizes, ["0 B", "9,999 B", "10.0 kB", "999.9 kB", "1.0 MB", "1.2 MB", "5.0 GB", "18446.7 PB"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let long = "a word that is far too long for its column";
        let table = TextTable::new().words("a", [Some(long.to_string())]).counts("number", [7]).counts("last", [8]);
        assert_eq!(
            table.render(22),
            "a               number\n──────────────  ──────\na word that i…       7\ncolumns that do not fit: last\n"
        );
    }

    proptest! {
        #[test]
        fn lines_are_never_too_wide(words in prop::collection::vec("\\PC{0,60}", 1..6), width in 30usize..120) {
            let table = words.iter().fold(TextTable::new(), |t, w| t.words("name", [Some(w.clone())]).counts("n", [w.len() as u64]));
            for line in table.render(width).lines().filter(|line| !line.starts_with("columns that")) {
                prop_assert!(line.chars().count() <= width, "{}", line);
            }
        }
    }
}
