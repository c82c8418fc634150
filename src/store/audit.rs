//! Faults of a dataset's files, and the audit that finds all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use rayon::prelude::*;

use super::dataset::Dataset;
use super::error::{Error, Result};
use super::layout::{self, RECEIPTS};
use super::manifest::{Manifest, ManifestShard};
use super::schema::Table;
use super::shard::{FileFault, Receipt, Verify};

/// A fault that stands in the way of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// An expected shard has no receipt.
    MissingShard {
        /// Path that its receipt would have.
        receipt: String,
    },
    /// A receipt cannot be read or contradicts itself.
    BrokenReceipt {
        /// Path.
        receipt: String,
        /// What is wrong.
        reason: String,
    },
    /// A file that a receipt vouches for is not there.
    MissingFile {
        /// Path.
        path: String,
    },
    /// A file is not what its receipt says.
    AlteredFile {
        /// Path.
        path: String,
        /// What differs.
        reason: String,
    },
    /// A file among the tables or receipts that is no receipt, and that none vouches for.
    ForeignFile {
        /// Path.
        path: String,
    },
    /// A folder in the place of a file, or a file in the place of a folder.
    InTheWay {
        /// Path.
        path: String,
    },
    /// A finished shard that no commit has taken into the manifest.
    Uncommitted {
        /// Path of its receipt.
        receipt: String,
    },
    /// The manifest is not what the receipts add up to, or is not there.
    WrongManifest {
        /// What differs.
        reason: String,
    },
}

impl Problem {
    /// The path inside the dataset that it is about.
    pub fn path(&self) -> &str {
        match self {
            Problem::MissingShard { receipt }
            | Problem::BrokenReceipt { receipt, .. }
            | Problem::Uncommitted { receipt } => receipt,
            Problem::MissingFile { path }
            | Problem::AlteredFile { path, .. }
            | Problem::ForeignFile { path }
            | Problem::InTheWay { path } => path,
            Problem::WrongManifest { .. } => layout::MANIFEST,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::MissingShard { receipt } => write!(f, "missing shard: {receipt}: run its stage again"),
            Problem::BrokenReceipt { receipt, reason } => write!(f, "broken receipt: {receipt}: {reason}"),
            Problem::MissingFile { path } => write!(f, "missing file: {path}: run its stage again"),
            Problem::AlteredFile { path, reason } => write!(f, "altered file: {path} {reason}: run its stage again"),
            Problem::ForeignFile { path } => write!(f, "foreign file: {path}: not listed in any receipt"),
            Problem::InTheWay { path } => write!(
                f,
                "in the way: {path}: a folder in the place of a file, or a file in \
                                                     the place of a folder: `medcosmos verify --repair --apply` moves it aside"
            ),
            Problem::Uncommitted { receipt } => {
                write!(f, "shard not committed: {receipt}: complete its stage")
            }
            Problem::WrongManifest { reason } => write!(f, "wrong manifest: {reason}: run the last stage again"),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => write!(f, "{} {reason}", self.path),
            None => write!(f, "{} is missing", self.path),
        }
    }
}

impl From<FileFault> for Problem {
    fn from(FileFault { path, reason }: FileFault) -> Self {
        match reason {
            Some(reason) => Problem::AlteredFile { path, reason },
            None => Problem::MissingFile { path },
        }
    }
}

/// What a dataset holds, and all that is wrong with its files.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Receipts that can be read, in the order of their paths.
    pub receipts: Vec<Receipt>,
    /// Faults, in the order of the paths.
    pub problems: Vec<Problem>,
}

/// Compares every file of a dataset with its receipt, byte for byte, and the receipts with the manifest. Nothing is
/// changed.
///
/// # Errors
/// Errors of reading.
pub fn audit(dataset: &Dataset) -> Result<Audit> {
    let (mut receipts, mut problems) = (BTreeMap::new(), Vec::new());
    let in_the_way = dataset.in_the_way()?;
    let blocks = |path: &str| in_the_way.iter().any(|way| Path::new(path).starts_with(way));
    for path in dataset.files_in(RECEIPTS)?.into_iter().filter(|path| !blocks(path)) {
        if layout::parse_receipt(&path).is_none() {
            problems.push(Problem::ForeignFile { path });
            continue;
        }
        match Receipt::read(dataset.path(), &path) {
            Ok(Some(receipt)) => _ = receipts.insert(path, receipt),
            Ok(None) => {}
            Err(Error::Damaged { reason, .. }) => problems.push(Problem::BrokenReceipt { receipt: path, reason }),
            Err(error) => return Err(error),
        }
    }
    let read: Vec<&Receipt> = receipts.values().collect();
    let faults: Vec<Vec<FileFault>> =
        read.par_iter().map(|receipt| receipt.faults(dataset.path(), Verify::Full)).collect();
    problems.extend(faults.into_iter().flatten().map(Problem::from));
    let vouched: BTreeSet<&str> =
        read.iter().flat_map(|receipt| receipt.files.values().map(|file| file.path.as_str())).collect();
    for table in Table::ALL {
        let files = dataset.files_in(table.name())?.into_iter();
        let foreign = files.filter(|path| !vouched.contains(path.as_str()) && !blocks(path));
        problems.extend(foreign.map(|path| Problem::ForeignFile { path }));
    }
    match Manifest::read(dataset) {
        Ok(None) => {
            let reason = "missing: no stage has completed".into();
            problems.push(Problem::WrongManifest { reason });
        }
        Err(Error::Damaged { reason, .. }) => problems.push(Problem::WrongManifest { reason }),
        Err(error) => return Err(error),
        Ok(Some(manifest)) => {
            let broken = |path: &str| {
                problems.iter().any(|p| matches!(p, Problem::BrokenReceipt { receipt, .. } if receipt == path))
            };
            let told = |p: &Problem| matches!(p, Problem::MissingShard { receipt } if broken(receipt));
            let mut differences = against_manifest(manifest, &receipts);
            differences.retain(|problem| !told(problem));
            problems.extend(differences);
        }
    }
    // What is in the way of a file is the reason why that is missing.
    problems.retain(|problem| !in_the_way.iter().any(|way| way == problem.path()));
    problems.extend(in_the_way.into_iter().map(|path| Problem::InTheWay { path }));
    problems.sort_by(|a, b| a.path().cmp(b.path()));
    Ok(Audit { receipts: receipts.into_values().collect(), problems })
}

/// What a manifest says otherwise than the receipts.
fn against_manifest(manifest: Manifest, receipts: &BTreeMap<String, Receipt>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let listed: BTreeMap<&String, &ManifestShard> = manifest.shards.iter().map(|s| (&s.receipt, s)).collect();
    let mut committed = BTreeMap::new();
    for (path, receipt) in receipts {
        match listed.get(path) {
            None => problems.push(Problem::Uncommitted { receipt: path.clone() }),
            Some(shard) if shard.files != receipt.files || shard.id != receipt.id => {
                let reason = format!("contradicts this receipt about the files of {path}");
                problems.push(Problem::WrongManifest { reason });
            }
            Some(_) => _ = committed.insert(path.clone(), receipt.clone()),
        }
    }
    let missing = listed.keys().filter(|path| !receipts.contains_key(**path));
    problems.extend(missing.map(|path| Problem::MissingShard { receipt: path.to_string() }));
    // What is wrong with a shard would be reported twice by the sums.
    if committed.len() == manifest.shards.len() {
        let sums = Manifest::of(committed, Vec::new(), manifest.options.clone());
        let parts = [
            ("schema version", sums.schema_version == manifest.schema_version),
            ("sums of its tables", sums.tables == manifest.tables),
            ("counts", sums.counts == manifest.counts),
        ];
        for (what, _) in parts.into_iter().filter(|(_, same)| !same) {
            let reason = format!("its {what} differ from those of the receipts");
            problems.push(Problem::WrongManifest { reason });
        }
    }
    problems
}
