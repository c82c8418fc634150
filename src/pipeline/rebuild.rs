//! A repeated build, to check that its result is the same: the downloads are read again, each shard is written to a
//! temporary dataset, and its bytes are compared with the receipt of the existing one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::build::{Digests, NO_SOURCE, Prepared, UNDONE, planned_files, prepare, shards, write_shard};
use super::{BuildOptions, Error, Progress, Result, side_by_side};
use crate::memory::Budget;
use crate::projection;
use crate::raw::Tree;
use crate::slices;
use crate::sources::{Case, Scan, scan_below};
use crate::spec::Registry;
use crate::store::{Dataset, RawMember, Receipt, Shard, Stage, Table};

/// The result of a repeated build.
#[derive(Clone, Debug, Default)]
pub struct Rebuild {
    /// Raw files whose digests were compared.
    pub raw_files: u64,
    /// Shards that a build of the downloads has.
    pub shards: u64,
    /// Shards of these that were rewritten and have the bytes of those in the dataset.
    pub same: u64,
    /// All that differs.
    pub differences: Vec<Difference>,
}

/// Something that is not as it was when the dataset was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A raw file has other bytes, or cannot be read any more.
    RawAltered {
        /// The case it belongs to.
        case: String,
        /// Path below the downloads.
        path: String,
        /// What was recorded and what was found.
        says: String,
    },
    /// A raw file is not there.
    RawMissing {
        /// The case it belongs to.
        case: String,
        /// Path below the downloads.
        path: String,
        /// Where its bytes are now, where they are.
        now: Option<String>,
    },
    /// A case of the dataset that the downloads do not give.
    CaseMissing {
        /// The case.
        case: String,
    },
    /// A case that the dataset does not have.
    CaseNew {
        /// The case.
        case: String,
    },
    /// A spec, a release, an option or the files of a case are others.
    Input {
        /// Slug of the source.
        source: String,
        /// A file of the shard, or its id.
        path: String,
        /// What differs.
        says: String,
    },
    /// Shards were written by another version of the program.
    Tool {
        /// True where their bytes could be compared anyway.
        compared: bool,
        /// What differs.
        says: String,
    },
    /// A shard comes out with other bytes.
    Bytes {
        /// Slug of the source.
        source: String,
        /// The file inside the dataset.
        path: String,
        /// What was recorded and what came out.
        says: String,
    },
}

projection! {
    struct RawOfCase of Cases { case_id: String, source: String, raw: Vec<RawMember> }
}

/// Rebuilds the sources of a dataset from `raw`, with the options that the dataset was built with, and compares.
/// `registry` must know the sources. The files of cases take memory of `budget`.
///
/// # Errors
/// The downloads or the dataset cannot be read, a source is not known, or there is no room for a shard in the folder
/// for temporary files.
pub fn rebuild(
    raw: &Path,
    dataset: &Dataset,
    registry: Registry,
    budget: &Budget,
    progress: &Progress,
) -> Result<Rebuild> {
    let receipts = dataset.receipts()?;
    let sources: BTreeSet<String> =
        receipts.iter().filter(|r| r.stage == Stage::Build).map(|r| r.source.clone()).collect();
    if sources.is_empty() {
        let reason = "nothing was built in the dataset".into();
        return Err(Error::Nothing { path: dataset.path().to_path_buf(), reason });
    }
    let registry = registry.select(&Vec::from_iter(sources))?;
    let options = BuildOptions { slices: options_of(dataset)?, budget: budget.clone(), ..BuildOptions::default() };
    let tree = Tree::open_within(raw, budget)?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let mut found = scan_below(&registry, tree.name(), &paths);
    // What is wrong with a list shows in the rows of its cases.
    let Prepared { digests, .. } = prepare(&tree, &mut found, &registry, None, progress);

    let mut rebuild = Rebuild { raw_files: digests.iter().flatten().count() as u64, ..Rebuild::default() };
    rebuild.differences = raw_differences(dataset, &tree, &found, &digests)?;
    rebuild.differences.extend(other_tools(&receipts));
    let by_id: BTreeMap<String, &Receipt> = receipts.iter().map(|receipt| (receipt.id.to_string(), receipt)).collect();

    let work = shards(&tree, &found, &registry, &options, &digests)?;
    progress.begin("rebuild", "shards", work.len() as u64);
    let compared = side_by_side(&work, |scratch: &mut slices::Scratch, work| {
        let receipt = by_id.get(&work.shard.id().to_string());
        let anew = receipt.map(|receipt| {
            let quiet = Progress::new(true);
            compare(receipt, |place| write_shard(work, (&tree, &digests), place, &options, (scratch, 1), &quiet))
        });
        progress.advance(1);
        anew.transpose()
    });
    progress.end();
    for (work, compared) in work.iter().zip(compared?) {
        match compared {
            Some(differences) => rebuild.note(differences),
            None => {
                rebuild.shards += 1;
                let told = rebuild.differences.iter().any(|d| d.source() == Some(work.shard.partition().source_name()));
                rebuild.differences.extend(other_input(&work.shard, &receipts, told));
            }
        }
    }
    for files in planned_files(&tree, &found, &registry)? {
        let source = files.shard.partition().source_name().to_string();
        if source == NO_SOURCE {
            continue; // what else lies among the downloads changes nothing
        }
        match by_id.get(&files.shard.id().to_string()) {
            Some(receipt) => rebuild.note(compare(receipt, |place| files.write(place))?),
            None => {
                rebuild.shards += 1;
                let says = "the source's files, or their roles, have changed since the build".into();
                rebuild.differences.push(Difference::Input { source, path: "files".into(), says });
            }
        }
    }
    Ok(rebuild)
}

impl Rebuild {
    /// Notes what comparing a shard gave.
    fn note(&mut self, differences: Vec<Difference>) {
        self.shards += 1;
        self.same += u64::from(differences.is_empty());
        self.differences.extend(differences);
    }
}

impl Difference {
    /// Slug of the source that it is about.
    pub fn source(&self) -> Option<&str> {
        match self {
            Difference::RawAltered { case, .. }
            | Difference::RawMissing { case, .. }
            | Difference::CaseMissing { case }
            | Difference::CaseNew { case } => case.split('/').next(),
            Difference::Input { source, .. } | Difference::Bytes { source, .. } => Some(source),
            Difference::Tool { .. } => None,
        }
    }
}

/// The options that the dataset was built with.
fn options_of(dataset: &Dataset) -> Result<slices::Options> {
    let damaged = |reason: String| crate::store::Error::Damaged { path: dataset.path().to_path_buf(), reason };
    let mut options = dataset.options()?;
    let recorded =
        options.remove(Stage::Build.name()).ok_or_else(|| damaged("no record of how the dataset was built".into()))?;
    let options = serde_json::from_value(recorded);
    Ok(options.map_err(|e| damaged(format!("cannot read the options of the build: {e}")))?)
}

/// Cases and raw files, as the dataset records them and as they are.
fn raw_differences(dataset: &Dataset, tree: &Tree, found: &Scan, digests: &Digests) -> Result<Vec<Difference>> {
    let mut now: BTreeMap<&str, &Case> =
        found.sources.iter().flat_map(|source| &source.cases).map(|case| (case.id.as_str(), case)).collect();
    let by_digest: BTreeMap<&str, usize> = digests
        .iter()
        .enumerate()
        .filter_map(|(file, digest)| Some((digest.as_ref()?.as_deref().ok()?, file)))
        .collect();
    // Files whose paths stand in the tables with a pseudonym.
    let cases = now.values().filter(|case| case.pseudonym.is_some());
    let hidden: BTreeMap<String, usize> =
        cases.flat_map(|case| case.files().map(|file| (case.public(&tree.members()[file].path), file))).collect();
    let mut differences = Vec::new();
    for row in dataset.rows::<RawOfCase>()? {
        let row = row?;
        let case = || row.case_id.clone();
        if now.remove(row.case_id.as_str()).is_none() {
            differences.push(Difference::CaseMissing { case: case() });
        }
        for recorded in &row.raw {
            let path = || recorded.path.clone();
            let as_named = || tree.members().binary_search_by(|member| member.path.cmp(&recorded.path)).ok();
            let Some(file) = hidden.get(&recorded.path).copied().or_else(as_named) else {
                let same = by_digest.get(recorded.sha256.as_str());
                let now = same.map(|&file| tree.members()[file].path.clone());
                differences.push(Difference::RawMissing { case: case(), path: path(), now });
                continue;
            };
            // A file of a case that was left out has no digest.
            let says = match &digests[file] {
                Some(Ok(digest)) if recorded.sha256.is_empty() || *digest == recorded.sha256 => continue,
                Some(Ok(digest)) => format!(
                    "had {} bytes and SHA-256 {}, now has {} and {digest}",
                    recorded.size,
                    recorded.sha256,
                    tree.members()[file].size
                ),
                Some(Err(_)) if recorded.sha256.is_empty() => continue,
                Some(Err(reason)) => format!("no longer readable: {reason}"),
                None if tree.members()[file].size == recorded.size => continue,
                None => format!("had {} bytes, now has {}", recorded.size, tree.members()[file].size),
            };
            differences.push(Difference::RawAltered { case: case(), path: path(), says });
        }
    }
    differences.extend(now.into_keys().map(|case| Difference::CaseNew { case: case.to_string() }));
    Ok(differences)
}

/// Versions of the program by which shards were written, where they are not this one.
fn other_tools(receipts: &[Receipt]) -> Vec<Difference> {
    let mut others: BTreeMap<&str, u64> = BTreeMap::new();
    let this = env!("CARGO_PKG_VERSION");
    for receipt in receipts.iter().filter(|r| r.stage == Stage::Build && r.tool_version != this) {
        *others.entry(&receipt.tool_version).or_default() += 1;
    }
    let say = |(version, shards)| Difference::Tool {
        compared: true,
        says: format!("{shards} shard(s) were built by medcosmos {version}; this is {this}"),
    };
    others.into_iter().map(say).collect()
}

/// Writes a shard into a dataset of its own, and compares it with the receipt of the one that is there.
fn compare(receipt: &Receipt, write: impl FnOnce(&Dataset) -> Result<Receipt>) -> Result<Vec<Difference>> {
    let folder = tempfile::tempdir().map_err(|source| crate::store::Error::Io {
        path: std::env::temp_dir(),
        action: "create a temporary folder",
        source,
    })?;
    let anew = write(&Dataset::create(folder.path())?)?;
    let tables: BTreeSet<&Table> = receipt.files.keys().chain(anew.files.keys()).collect();
    let mut differences = Vec::new();
    for table in tables {
        let (path, says) = match (receipt.files.get(table), anew.files.get(table)) {
            (Some(was), Some(is)) if was.sha256 == is.sha256 => continue,
            (Some(was), Some(is)) => (
                was.path.clone(),
                format!(
                    "has {} rows and SHA-256 {}; the rebuild has {} and {}",
                    was.rows, was.sha256, is.rows, is.sha256
                ),
            ),
            (Some(was), None) => (was.path.clone(), format!("has {} rows; the rebuild has none", was.rows)),
            (None, is) => {
                let is = is.expect("one of them has the table");
                (is.path.clone(), format!("missing; the rebuild has {} rows", is.rows))
            }
        };
        differences.push(Difference::Bytes { source: receipt.source.clone(), path, says });
    }
    if differences.is_empty() && receipt.counts != anew.counts {
        let says = format!("counted {:?}; the rebuild counts {:?}", receipt.counts, anew.counts);
        differences.push(Difference::Bytes { source: receipt.source.clone(), path: receipt.id.to_string(), says });
    }
    Ok(differences)
}

/// Why there is no such shard in the dataset: by what its key differs from that of the one which begins with the same
/// case. `told` says that differences of the source are known already.
fn other_input(shard: &Shard, receipts: &[Receipt], told: bool) -> Vec<Difference> {
    let source = shard.partition().source_name();
    let same =
        |r: &&Receipt| r.stage == Stage::Build && r.source == source && r.key.get("first") == shard.key().get("first");
    let input = |path: String, says: String| Difference::Input { source: source.to_string(), path, says };
    let Some(other) = receipts.iter().find(same) else {
        if told {
            return Vec::new();
        }
        let first = shard.key().get("first").unwrap_or_default();
        return vec![input(shard.id().to_string(), format!("no shard of the dataset starts with the case {first}"))];
    };
    let path = || other.files.values().next().map_or(other.id.to_string(), |file| file.path.clone());
    let differs = |name: &str| other.key.get(name) != shard.key().get(name);
    let values = |name: &str| {
        let value = |key: Option<&str>| key.unwrap_or("nothing").to_string();
        (value(other.key.get(name)), value(shard.key().get(name)))
    };
    let mut differences = Vec::new();
    if let Some(undone) = other.key.get(UNDONE) {
        let says = format!("the build could not read all cases ({undone}); run the same `medcosmos build` again");
        differences.push(input(path(), says));
    }
    let inputs = [
        ("release", "the release was"),
        ("spec", "the SHA-256 of its spec was"),
        ("options", "the options of the build were"),
    ];
    for (name, what) in inputs {
        if differs(name) {
            let (was, is) = values(name);
            differences.push(input(path(), format!("{what} {was}, and is now {is}")));
        }
    }
    for (name, what) in [("content_version", "content"), ("schema_version", "tables")] {
        if differs(name) {
            let (was, is) = values(name);
            let says = format!("{} was written with version {was} of the {what}; this is version {is}", path());
            differences.push(Difference::Tool { compared: false, says });
        }
    }
    if differences.is_empty() && !told {
        differences.push(input(path(), "its cases, their files, or their metadata have changed".into()));
    }
    differences
}
