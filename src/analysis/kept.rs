//! Analyses that are written to a dataset, the last of them kept for its report: computing the intervals again would take
//! minutes.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::AnalysisError;
use super::analyze::{Analysis, compute, replace};
use super::options::AnalysisOptions;
use super::tables::{files, tables_sha256};
use crate::digest::{sha256, sha256_parts};
use crate::store::{Dataset, Table};

/// What the file holds, in MessagePack: it keeps every number to the bit.
#[derive(Serialize, Deserialize)]
struct File<A> {
    /// Digest of what decides the results.
    made_from: String,
    analysis: A,
}

/// Analyses a dataset and writes the results to its folder `analysis`, those of other metrics and masks below it. The
/// same tables and options give the same bytes.
///
/// # Errors
/// As [`compute`], and what writing returns.
pub fn analyze(dataset: &Path, options: &AnalysisOptions) -> Result<Analysis, AnalysisError> {
    let analysis = compute(dataset, options)?;
    analysis.write(dataset)?;
    if let Err(error) = keep(dataset, &analysis) {
        tracing::warn!("the analysis is not kept for the next report: {error}");
    }
    Ok(analysis)
}

/// The results that [`analyze`] computed last, if the dataset has the same tables since, and the options
/// are the same; `None` where they have to be computed.
///
/// # Errors
/// As [`compute`] where there are no tables.
pub fn kept(dataset: &Path, options: &AnalysisOptions) -> Result<Option<Analysis>, AnalysisError> {
    let Some((dataset, made_from)) = inputs(dataset, options)? else { return Ok(None) };
    let bytes = fs::read(dataset.analysis_cache(&options.folder())).unwrap_or_default();
    let found: Option<File<Analysis>> = unsealed(&bytes).and_then(|bytes| rmp_serde::from_slice(bytes).ok());
    let found = found.filter(|file| file.made_from == made_from);
    Ok(found.map(|file| Analysis { options: options.clone(), ..file.analysis }))
}

/// Keeps the results of an analysis, in the place of those kept before.
pub(super) fn keep(dataset: &Path, analysis: &Analysis) -> Result<(), AnalysisError> {
    let Some((dataset, made_from)) = inputs(dataset, &analysis.options)? else { return Ok(()) };
    let path = dataset.analysis_cache(&analysis.options.folder());
    let failed = |source: io::Error| AnalysisError::Io { path: path.clone(), source };
    let bytes = rmp_serde::to_vec_named(&File { made_from, analysis }).map_err(|e| failed(io::Error::other(e)))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    replace(&path, &[sha256(&bytes).as_bytes(), &bytes].concat())
}

/// The content of a kept file without the SHA-256 before it, if that is its own: a changed bit would be a changed number.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    let (digest, content) = bytes.split_at_checked(64)?;
    (digest == sha256(content).as_bytes()).then_some(content)
}

/// A digest of what decides an analysis: the program, its options and the tables. `None` of a folder without a manifest.
fn inputs(dataset: &Path, options: &AnalysisOptions) -> Result<Option<(Dataset, String)>, AnalysisError> {
    files(dataset, Table::Metrics)?;
    files(dataset, Table::Factors)?;
    let Ok(opened) = Dataset::open(dataset) else { return Ok(None) };
    let Some(tables) = tables_sha256(&opened) else { return Ok(None) };
    let Ok(options) = serde_json::to_string(options) else { return Ok(None) };
    let tool = env!("CARGO_PKG_VERSION");
    let parts = [tool, "\n", &options, "\n", &tables];
    Ok(Some((opened, sha256_parts(parts.map(str::as_bytes)))))
}
