//! Plain-text tables and numbers for the terminal.

/// A table with a header; columns are as wide as their widest cell, numbers to the right.
#[derive(Debug, Default)]
pub(super) struct TextTable {
    rows: Vec<Vec<String>>,
}

impl TextTable {
    /// Starts a table.
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        TextTable { rows: vec![header.map(String::from).to_vec()] }
    }

    /// Adds a row of as many cells as the header has.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.rows[0].len());
        self.rows.push(cells.to_vec());
    }

    /// Draws it, every line indented by two.
    pub(super) fn draw(&self) -> String {
        let columns = self.rows[0].len();
        let width = |c: usize| self.rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let numeric = |c: usize| {
            let is_number = |cell: &String| cell.chars().all(|ch| ch.is_ascii_digit() || ",.-+ %".contains(ch));
            self.rows.len() > 1 && self.rows[1..].iter().all(|r| is_number(&r[c]))
        };
        let right: Vec<bool> = (0..columns).map(numeric).collect();
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::from(" ");
            for (c, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[c] - cell.chars().count());
                line.push(' ');
                line.push_str(&if right[c] { format!("{pad}{cell}") } else { format!("{cell}{pad}") });
                line.push(' ');
            }
            out.push_str(line.trim_end());
            out.push('\n');
            if index == 0 {
                let rule: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
                out.push_str(&format!("  {}\n", rule.join("  ")));
            }
        }
        out
    }
}

/// 1234567 → `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
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

/// A list of at most `limit` lines, and how many more there are.
pub(super) fn at_most(lines: &[String], limit: usize) -> String {
    let mut out: String = lines.iter().take(limit).map(|l| format!("  {l}\n")).collect();
    if lines.len() > limit {
        out.push_str(&format!("  … and {} more\n", lines.len() - limit));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = TextTable::new(["name", "n"]);
        table.row(["liver".into(), grouped(1234567)]);
        table.row(["é".into(), grouped(12)]);
        assert_eq!(table.draw(), "  name           n\n  ─────  ─────────\n  liver  1,234,567\n  é             12\n");
    }
}
