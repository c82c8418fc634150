//! Analyses that were written to a dataset: each file against the digest in its `analysis.json`, and whether the tables
//! are still those that were analysed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::{Finding, Kind};
use crate::analysis::{AnalysisOptions, EarlierRecord, FOLDER, RECORD, tables_sha256};
use crate::digest::sha256_file;
use crate::store::Dataset;

/// What is wrong with the analyses of a dataset, and which of them are outdated.
pub(super) fn check_analyses(dataset: &Dataset) -> Vec<Finding> {
    let mut findings = Vec::new();
    let top = dataset.path().join(FOLDER);
    let Some((files, folders)) = entries(&top) else { return findings };
    check_folder(dataset, FOLDER, &files, &mut findings);
    for folder in folders {
        let path = format!("{FOLDER}/{folder}");
        let Some((files, folders)) = entries(&top.join(&folder)) else { continue };
        check_folder(dataset, &path, &files, &mut findings);
        findings.extend(folders.iter().map(|folder| foreign(&format!("{path}/{folder}"))));
    }
    findings
}

/// Names of the files and of the folders in a folder; `None` where it is none, or cannot be read.
fn entries(folder: &Path) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let entries: Vec<(String, bool)> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path().is_dir()))
        .collect();
    let of_kind = |folders: bool| entries.iter().filter(move |entry| entry.1 == folders).map(|entry| entry.0.clone());
    Some((of_kind(false).collect(), of_kind(true).collect()))
}

/// The files of one analysis.
fn check_folder(dataset: &Dataset, folder: &str, names: &BTreeSet<String>, findings: &mut Vec<Finding>) {
    let path = |name: &str| format!("{folder}/{name}");
    let place = |name: &str| dataset.path().join(folder).join(name);
    let read = || -> Result<EarlierRecord, String> {
        let text = fs::read(place(RECORD)).map_err(|e| format!("cannot be read: {e}"))?;
        serde_json::from_slice(&text).map_err(|e| format!("cannot be read: {e}"))
    };
    let record = if names.contains(RECORD) { Some(read()) } else { None };
    let again = mending(dataset, record.iter().flatten().next());
    let listed = match &record {
        Some(Ok(record)) => record.files(),
        Some(Err(reason)) => {
            findings.push(Finding::fault(Kind::AlteredFile, None, &path(RECORD), format!("{reason}: {again}")));
            BTreeMap::new()
        }
        None => BTreeMap::new(),
    };
    for (name, recorded) in &listed {
        match sha256_file(&place(name)) {
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                let says = format!("listed in {RECORD}, but missing: {again}");
                findings.push(Finding::fault(Kind::MissingFile, None, &path(name), says));
            }
            Err(error) => {
                let says = format!("cannot be read: {error}: {again}");
                findings.push(Finding::fault(Kind::AlteredFile, None, &path(name), says));
            }
            Ok((_, sha256)) if recorded.is_some_and(|recorded| recorded != sha256) => {
                let says = format!("it is not the file that `medcosmos analyze` wrote: {again}");
                findings.push(Finding::fault(Kind::AlteredFile, None, &path(name), says));
            }
            Ok(_) => {}
        }
    }
    if let Some(Ok(record)) = &record
        && record.tables_sha256 != tables_sha256(dataset)
    {
        let says = format!("made from other tables than the dataset has now: {again}");
        findings.push(Finding::remark(Kind::Outdated, None, &path(RECORD), says));
    }
    // Where the record is lost, nothing tells results from other files.
    let others = names.iter().filter(|name| *name != RECORD && !listed.contains_key(name.as_str()));
    match record {
        Some(Err(_)) => {}
        _ => findings.extend(others.map(|name| foreign(&path(name)))),
    }
}

fn foreign(path: &str) -> Finding {
    let says = format!("not listed in an {RECORD}: remove it, or run `medcosmos analyze` again if it is a result");
    Finding::remark(Kind::ForeignFile, None, path, says)
}

/// The command that writes an analysis anew, as far as its record tells.
fn mending(dataset: &Dataset, record: Option<&EarlierRecord>) -> String {
    let mut options = String::new();
    if let Some(EarlierRecord { options: record, .. }) = record {
        let metric = record["metric"].as_str().filter(|metric| *metric != AnalysisOptions::default().metric);
        options += &metric.map(|metric| format!(" --metric {metric}")).unwrap_or_default();
        if record["include_excluded"] == true {
            options += " --include-excluded";
        }
        let signed = record["factors"].as_array().is_some_and(|all| all.iter().any(|f| f == "intensity_difference"));
        options += if signed { " --signed-intensity" } else { "" };
    }
    format!("run `medcosmos analyze {}{options}` again", dataset.path().display())
}
