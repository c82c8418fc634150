//! The digests of the data on the page, and the times of the stages.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{Column, DataFrame};

use super::ReportError;
use super::page::Section;
use super::tables::{HtmlTable, Kind, number_cell};
use crate::analysis::AnalysisError;
use crate::store::{Dataset, Manifest, Stage};
use crate::text::grouped;

/// The digests of the data and the models.
pub(super) fn digests(dataset: &Dataset) -> Result<Section, ReportError> {
    let mut section = Section::new("digests", "Digests");
    let (Some(manifest), Some(digest)) = (Manifest::read(dataset)?, Manifest::digest(dataset)?) else {
        section.missing("The dataset has no manifest yet.", "medcosmos build DOWNLOADS --out DATASET");
        return Ok(section);
    };
    section.text(&format!("SHA-256 of manifest.json, which lists the digest of every file of the dataset: {digest}"));
    let mut totals = HtmlTable::new(["Table", "#Files", "#Rows", "#Bytes"]);
    for (table, total) in manifest.tables.iter().filter(|(_, total)| total.files > 0) {
        totals.push(vec![table.to_string(), grouped(total.files), grouped(total.rows), grouped(total.bytes)]);
    }
    section.table("Tables of the dataset", &totals);
    section.download("files", &files(&manifest)?)?;
    let models = models(dataset)?;
    if models.len() > 0 {
        section.table("Models, by the digest of their files", &models);
    }
    Ok(section)
}

/// Every file of the manifest with its digest.
fn files(manifest: &Manifest) -> Result<DataFrame, ReportError> {
    let all =
        || manifest.shards.iter().flat_map(|shard| shard.files.iter().map(move |(table, file)| (shard, table, file)));
    let columns = vec![
        Column::new("stage".into(), all().map(|(shard, ..)| shard.stage.name()).collect::<Vec<_>>()),
        Column::new("table".into(), all().map(|(_, table, _)| table.name()).collect::<Vec<_>>()),
        Column::new("path".into(), all().map(|(.., file)| file.path.as_str()).collect::<Vec<_>>()),
        Column::new("rows".into(), all().map(|(.., file)| file.rows).collect::<Vec<_>>()),
        Column::new("bytes".into(), all().map(|(.., file)| file.bytes).collect::<Vec<_>>()),
        Column::new("sha256".into(), all().map(|(.., file)| file.sha256.as_str()).collect::<Vec<_>>()),
    ];
    let format_error = |source| AnalysisError::Format { what: "the list of files".to_string(), source };
    Ok(DataFrame::new_infer_height(columns).map_err(format_error)?)
}

/// The models that predicted, as the receipts of their predictions have them.
fn models(dataset: &Dataset) -> Result<HtmlTable, ReportError> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for receipt in dataset.receipts_of(Stage::Predict)? {
        if let (Some(model), Some(digest)) = (receipt.model, receipt.key.get("model")) {
            found.entry(model).or_default().insert(digest.to_string());
        }
    }
    let mut table = HtmlTable::new(["Model", "Digest"]);
    for (model, digests) in found {
        digests.into_iter().for_each(|digest| table.push(vec![model.clone(), digest]));
    }
    Ok(table)
}

/// How long each stage took.
pub(super) fn times(dataset: &Dataset) -> Result<Section, ReportError> {
    let mut section = Section::new("times", "Time per stage");
    section.text(
        "Measured when this copy of the dataset was built. Shards run in parallel, so the sum of their times exceeds \
         the elapsed time.",
    );
    let times = dataset.times()?;
    if times.is_empty() {
        section.text("This copy has no recorded times.");
        return Ok(section);
    }
    let mut table = HtmlTable::new(["Stage", "#Shards", "#Seconds in total", "#Longest shard (s)"]);
    for (stage, seconds) in &times {
        let longest = seconds.iter().copied().fold(0.0, f64::max);
        let cell = |value: f64| number_cell(Some(value), Kind::Number(1));
        table.push(vec![stage.to_string(), grouped(seconds.len() as u64), cell(seconds.iter().sum()), cell(longest)]);
    }
    section.table("Seconds, summed over shards", &table);
    let stages: Vec<&str> = times.keys().map(|stage| stage.name()).collect();
    let columns = vec![
        Column::new("stage".into(), stages),
        Column::new("shards".into(), times.values().map(|s| s.len() as u64).collect::<Vec<_>>()),
        Column::new("seconds".into(), times.values().map(|s| s.iter().sum::<f64>()).collect::<Vec<_>>()),
    ];
    let format_error = |source| AnalysisError::Format { what: "the times".to_string(), source };
    section.download("times", &DataFrame::new_infer_height(columns).map_err(format_error)?)?;
    Ok(section)
}
