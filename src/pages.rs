//! Tests that pages and scripts outside `src/` agree with the tables of metrics, factors and strategies.
//!
//! The tables in `docs/metrics.md`, `docs/factors.md` and `docs/strategies.md` are generated. After a change,
//! `MEDCOSMOS_WRITE_DOCS=1 cargo test --lib pages` rewrites them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::factors::{Binning, FACTORS, Role};
use crate::metrics::{EmptyRule, METRICS};
use crate::prompts::{CLICKS, CLICKS_DEFINITION, STRATEGIES};
use crate::store::Table;

/// A file of the repository, with the line ends of Unix.
fn read(path: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    (path, text)
}

/// Compares the generated part of a page with what it should be, or writes it.
fn check(path: &str, generated: &str) {
    const BEGIN: &str = "<!-- generated, see src/pages.rs -->\n";
    const END: &str = "<!-- end of the generated part -->\n";
    let (file, text) = read(path);
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    let (before, (found, after)) = parts.unwrap_or_else(|| panic!("{path} has lost the marks of its generated part"));
    if found == generated {
        return;
    }
    if std::env::var_os("MEDCOSMOS_WRITE_DOCS").is_some() {
        fs::write(file, [before, BEGIN, generated, END, after].concat()).unwrap();
        return;
    }
    panic!("{path} is out of date: `MEDCOSMOS_WRITE_DOCS=1 cargo test --lib pages` rewrites it");
}

fn markdown_table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut lines = vec![format!("| {} |", headings.join(" | ")), format!("|{}", "---|".repeat(N))];
    lines.extend(rows.into_iter().map(|cells| format!("| {} |", cells.join(" | "))));
    lines.join("\n") + "\n"
}

/// The definition as text, and below it as a formula.
fn definition(words: &str, formula: &str) -> String {
    let lines: Vec<&str> = [words, formula].into_iter().filter(|line| !line.is_empty()).collect();
    lines.join("<br>")
}

#[test]
fn the_page_of_metrics_is_up_to_date() {
    let show = EmptyRule::in_print;
    let rows = METRICS.iter().map(|metric| {
        let EmptyRule { prediction, truth, both } = metric.empty;
        let one = match prediction == truth {
            true => show(truth),
            false => format!("{} (P), {} (T)", show(prediction), show(truth)),
        };
        let m = &metric.measure;
        let name = format!("`{}`", m.name);
        let [unit, range] = [m.unit.to_string(), m.range.to_string()];
        let [better, origin] = [metric.better.name(), m.origin].map(str::to_string);
        [name, definition(m.definition, m.formula), unit, range, better, one, show(both), origin]
    });
    let headings = ["name", "definition", "unit", "range", "better", "one mask empty", "both empty", "origin"];
    check("docs/metrics.md", &markdown_table(headings, rows));
}

#[test]
fn the_page_of_factors_is_up_to_date() {
    let rows = FACTORS.iter().map(|factor| {
        let role = match factor.role {
            Role::Factor(Binning::Quantile(bins)) => format!("factor, curve in {bins} quantile bins"),
            Role::Factor(Binning::Logarithmic(bins)) => format!("factor, curve in {bins} bins per factor of ten"),
            Role::Nominal => "factor, nominal".to_string(),
            Role::Part => "part".to_string(),
        };
        let null = match factor.null_where {
            "" => "never".to_string(),
            place => format!("where {place}"),
        };
        let m = &factor.measure;
        let name = format!("`{}`", m.name);
        let [unit, range, origin] = [m.unit.to_string(), m.range.to_string(), m.origin.to_string()];
        [name, definition(m.definition, m.formula), unit, range, null, role, origin]
    });
    let headings = ["name", "definition", "unit", "range", "null", "in `analyze`", "origin"];
    check("docs/factors.md", &markdown_table(headings, rows));
}

#[test]
fn the_page_of_strategies_is_up_to_date() {
    let yes = |has: bool| if has { "yes" } else { "no" };
    let strategies = STRATEGIES.iter().map(|entry| {
        let [points, bounds] = [entry.points.is_some(), entry.bounds.is_some()].map(yes);
        [entry.name, entry.label, entry.definition, points, bounds, entry.origin]
    });
    let clicks = [CLICKS, "simulated clicks", CLICKS_DEFINITION, "yes", "no", "ours, after FocalClick and SimpleClick"];
    let rows = strategies.chain([clicks]).map(|[name, cells @ ..]| {
        let [label, definition, points, bounds, origin] = cells.map(str::to_string);
        [format!("`{name}`"), label, definition, points, bounds, origin]
    });
    let headings = ["name", "what is given", "definition", "points", "box", "origin"];
    check("docs/strategies.md", &markdown_table(headings, rows));
}

/// The names that stand after a prefix such as `f.`
fn names_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let places = text.match_indices(prefix).filter(|(at, _)| !text[..*at].ends_with(is_part));
    places.map(|(at, _)| text[at + prefix.len()..].split(|c| !is_part(c)).next().unwrap_or_default()).collect()
}

/// The strings of a list in a script: `NAME = ["a", "b"]`.
fn list<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (_, rest) = text.split_once(&format!("\n{name} = [")).unwrap();
    rest.split_once(']').unwrap().0.split(',').map(|item| item.trim().trim_matches('"')).collect()
}

#[test]
fn scripts_name_columns_that_there_are() {
    let has = |table: Table, names: &[&str]| {
        let columns = table.columns();
        for name in names {
            assert!(columns.iter().any(|column| column.name == *name), "{} has no column {name:?}", table.name());
        }
        assert!(!names.is_empty());
    };
    let (_, sql) = read("pipelines/factor_correlation.sql");
    has(Table::Metrics, &names_after(&sql, "m."));
    has(Table::Factors, &names_after(&sql, "f."));
    let (_, python) = read("pipelines/factor_correlation.py");
    has(Table::Factors, &list(&python, "FACTORS"));
    has(Table::Metrics, &list(&python, "CONDITION"));
}
