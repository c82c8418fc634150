//! A dataset against the downloads that it was built from: everything is rebuilt and compared.

use std::path::Path;

use serde::Serialize;

use super::{Finding, Kind, Result};
use crate::memory::Budget;
use crate::pipeline::{Difference, Progress, rebuild};
use crate::spec::Registry;
use crate::store::Dataset;

/// The result of rebuilding a dataset.
#[derive(Clone, Debug, Serialize)]
pub struct DeepReport {
    /// Folder or archive of downloads.
    pub raw: String,
    /// Raw files whose digests were compared.
    pub raw_files: u64,
    /// Shards that a build of the downloads has.
    pub shards: u64,
    /// Shards of these that were rewritten and came out byte for byte.
    pub same: u64,
    /// Faults and remarks, sorted by kind and path.
    pub findings: Vec<Finding>,
}

impl DeepReport {
    /// True where all came out as it is.
    pub fn sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.fault)
    }
}

/// Rebuilds a dataset from the downloads at `raw`, shard by shard, and compares digests of raw files and bytes of
/// shards. The files of cases take memory of `budget`.
///
/// # Errors
/// The downloads or the dataset cannot be read, or the registry does not know a source of the dataset.
pub fn verify_deep(
    dataset: &Dataset,
    raw: &Path,
    registry: Registry,
    budget: &Budget,
    progress: &Progress,
) -> Result<DeepReport> {
    let rebuild = rebuild(raw, dataset, registry, budget, progress)?;
    let mut findings: Vec<Finding> = rebuild.differences.iter().map(finding_of).collect();
    findings.sort();
    let raw = raw.display().to_string();
    Ok(DeepReport { raw, raw_files: rebuild.raw_files, shards: rebuild.shards, same: rebuild.same, findings })
}

fn finding_of(difference: &Difference) -> Finding {
    let source = difference.source();
    let of_case = |kind, case: &str, path: &str, says: &str| Finding {
        id: Some(case.to_string()),
        ..Finding::fault(kind, source, path, says)
    };
    match difference {
        Difference::RawAltered { case, path, says } => of_case(Kind::RawAltered, case, path, says),
        Difference::RawMissing { case, path, now: None } => of_case(Kind::RawMissing, case, path, "missing"),
        Difference::RawMissing { case, path, now: Some(now) } => {
            let says = format!("missing, but its bytes are at {now}: move it back, or build again");
            of_case(Kind::RawMissing, case, path, &says)
        }
        Difference::CaseMissing { case } => {
            of_case(Kind::CaseMissing, case, "", "in the dataset, but no longer built from the downloads")
        }
        Difference::CaseNew { case } => {
            of_case(Kind::CaseNew, case, "", "built from the downloads, but not in the dataset: build again")
        }
        Difference::Input { path, says, .. } => Finding::fault(Kind::OtherInput, source, path, says),
        Difference::Tool { compared, says } => {
            Finding { fault: !compared, ..Finding::remark(Kind::OtherTool, source, "", says) }
        }
        Difference::Bytes { path, says, .. } => Finding::fault(Kind::OtherBytes, source, path, says),
    }
}
