//! The card of a packaged dataset: `README.md` with the metadata that the Hugging Face Hub reads.

use std::fmt::Write;

use super::Error;
use crate::licences::{CombinedTerms, Terms};
use crate::store::{Dataset, Table, schema};
use crate::text::{grouped, markdown};

pub(super) fn card(dataset: &Dataset, terms: &[Terms]) -> Result<String, Error> {
    let mut tables = Vec::new();
    for &table in Table::ALL {
        let rows: u64 = dataset.files(table)?.iter().map(|file| file.file.rows).sum();
        if rows > 0 {
            tables.push((table, rows));
        }
    }
    let mut text = String::from("---\nlicense: other\nlicense_name: by-source\nlicense_link: ATTRIBUTION.md\n");
    text.push_str("task_categories:\n- image-segmentation\ntags:\n- medical\nconfigs:\n");
    for (table, _) in &tables {
        let first = if *table == Table::Slices { "  default: true\n" } else { "" };
        let _ = writeln!(text, "- config_name: {0}\n{first}  data_files: \"{0}/**/*.parquet\"", table.name());
    }
    text.push_str("---\n\n# 2D slices and masks of medical images\n\n");
    let (slices, masks) = terms.iter().fold((0, 0), |(s, m), t| (s + t.slices, m + t.masks));
    let _ = writeln!(
        text,
        "{} slices with {} masks from {} source(s), built by medcosmos {} from the downloads published by their owners.\n",
        grouped(slices),
        grouped(masks),
        terms.len(),
        env!("CARGO_PKG_VERSION")
    );
    text.push_str(
        "## Sources and licences\n\nEach part remains under the licence of its source; ATTRIBUTION.md lists the terms, ",
    );
    text.push_str(
        "CITATION.bib the citations.\n\n| source | name | licence | slices | masks |\n|---|---|---|---:|---:|\n",
    );
    for t in terms {
        let (slices, masks) = (grouped(t.slices), grouped(t.masks));
        let (name, licence) = (markdown(&t.name), markdown(&t.licence));
        let _ = writeln!(text, "| `{}` | {name} | {licence} | {slices} | {masks} |", t.source.replace('`', "'"));
    }
    let combined = CombinedTerms::of(terms);
    text.push('\n');
    for sentence in combined.sentences() {
        let _ = writeln!(text, "- {}", markdown(&sentence));
    }
    text.push_str("\n## Tables\n\n| table | rows | contents of a row |\n|---|---:|---|\n");
    for (table, rows) in &tables {
        let _ = writeln!(text, "| `{}` | {} | {} |", table.name(), grouped(*rows), table.about());
    }
    text.push_str("\n## Columns\n\n");
    text.push_str(&schema::to_markdown());
    Ok(text)
}
