//! Scans by names alone. `file_lists.toml` in the folder of a source holds
//!
//! - `[[tree]]`: the `paths` of a small tree as somebody distributes it or as an unpacker leaves it; the `release` that
//!   it must be recognised as, and the ids of the labelled `cases`, without the source;
//! - `[[list]]`: the name of a complete list of true paths, which lies outside the repository
//!   (`findings/filelists/<file>.txt.gz` beside the samples), the number of labelled `cases` in it, and the `state`
//!   that the scan must report.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use medcosmos::sources::{Case, CaseState, Completeness, FileUse, Scan, scan};
use medcosmos::spec::Registry;
use serde::Deserialize;

use crate::samples::find;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLists {
    #[serde(default)]
    list: Vec<List>,
    #[serde(default)]
    tree: Vec<Tree>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    file: String,
    cases: u64,
    state: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tree {
    release: String,
    cases: Vec<String>,
    paths: Vec<String>,
}

/// The lists of a source; `None` where it has none.
fn of(slug: &str) -> Result<Option<FileLists>, String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("dataset_specs").join(slug).join("file_lists.toml");
    if !file.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&file).map_err(|e| e.to_string())?;
    toml::from_str(&text).map(Some).map_err(|e| format!("{}: {e}", file.display()))
}

/// Whether a source has lists to be checked.
pub fn has(slug: &str) -> bool {
    !matches!(of(slug), Ok(None))
}

/// What a scan finds in a list of paths.
struct Found {
    scan: Scan,
    /// Files that no source claims.
    unclaimed: Vec<String>,
    /// Cases whose files fit two sources.
    contested: Vec<String>,
}

impl Found {
    fn of(registry: &Registry, paths: &[String]) -> Self {
        let scan = scan(registry, &paths.iter().map(String::as_str).collect::<Vec<_>>());
        let unclaimed = scan.files.iter().zip(paths).filter(|(file, _)| **file == FileUse::Unclaimed);
        let unclaimed = unclaimed.map(|(_, path)| path.clone()).collect();
        let cases = scan.sources.iter().flat_map(|source| &source.cases);
        let contested =
            cases.filter(|case| matches!(&case.state, CaseState::Skipped(why) if why.contains("fits the sources")));
        let contested = contested.map(|case| case.id.clone()).collect();
        Self { scan, unclaimed, contested }
    }
}

fn labelled(cases: &[Case]) -> impl Iterator<Item = &Case> {
    cases.iter().filter(|case| case.state == CaseState::Complete)
}

/// The paths of a list outside the repository.
fn paths(folder: &Path, list: &List) -> Result<Vec<String>, String> {
    let path = folder.join(format!("{}.txt.gz", list.file));
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let packed = fs::File::open(&path).map_err(failed)?;
    let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(packed)).map_err(failed)?;
    Ok(text.lines().map(String::from).collect())
}

/// Each tree and each list of a source is recognised as what it is, and completely.
pub fn listed(slug: &str) -> Result<(), String> {
    let registry = Registry::built_in().map_err(|e| e.to_string())?;
    let lists = of(slug)?.ok_or_else(|| format!("{slug} has no file_lists.toml"))?;
    let mut wrong: Vec<String> = lists.tree.iter().filter_map(|tree| check_tree(&registry, slug, tree).err()).collect();
    if !lists.list.is_empty()
        && let Some(folder) = find("findings/filelists")
    {
        wrong.extend(lists.list.iter().filter_map(|list| check_list(&registry, &folder, slug, list).err()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn check_tree(registry: &Registry, slug: &str, tree: &Tree) -> Result<(), String> {
    let found = Found::of(registry, &tree.paths);
    let sources: Vec<_> = found.scan.sources.iter().map(|s| (s.slug.as_str(), s.release.as_str())).collect();
    if sources != [(slug, &*tree.release)] || !found.unclaimed.is_empty() {
        return Err(format!("{:?}: recognised as {sources:?}, left over {:?}", tree.paths, found.unclaimed));
    }
    // By names alone a case may be there several times: copies are told by their bytes.
    let mut ids: Vec<&str> = labelled(&found.scan.sources[0].cases).map(|case| &case.id[slug.len() + 1..]).collect();
    ids.dedup();
    if ids == tree.cases { Ok(()) } else { Err(format!("{:?}: cases {ids:?}, expected {:?}", tree.paths, tree.cases)) }
}

fn check_list(registry: &Registry, folder: &Path, slug: &str, list: &List) -> Result<(), String> {
    let Found { scan, unclaimed, contested } = Found::of(registry, &paths(folder, list)?);
    let completeness = |source| {
        let Completeness { source, cases, state, .. } = Completeness::of(source, registry.get(slug).ok()?);
        Some((source, cases, state))
    };
    let found: Vec<_> = scan.sources.iter().filter_map(completeness).collect();
    let cases = || scan.sources.iter().flat_map(|source| &source.cases);
    let unlabelled = cases().filter(|case| case.state != CaseState::Complete).count();
    if found == [(slug.to_string(), list.cases, list.state.clone())]
        && unclaimed.is_empty()
        && contested.is_empty()
        && unlabelled == 0
    {
        return Ok(());
    }
    let unclaimed = &unclaimed[..unclaimed.len().min(3)];
    Err(format!("{}: {found:?}, left over {unclaimed:?}, contested {contested:?}, {unlabelled} unlabelled", list.file))
}

/// The first list of every source in one folder: no source takes what is another's.
pub fn all_at_once(slugs: &[&str]) -> Result<(), String> {
    let Some(folder) = find("findings/filelists") else { return Ok(()) };
    let registry = Registry::built_in().map_err(|e| e.to_string())?;
    let (mut all, mut expected) = (Vec::new(), BTreeSet::new());
    for slug in slugs {
        let Some(list) = of(slug)?.and_then(|lists| lists.list.into_iter().next()) else { continue };
        all.extend(paths(&folder, &list)?.into_iter().map(|path| format!("downloads of {}/{path}", list.file)));
        expected.insert((slug.to_string(), list.cases as usize));
    }
    let found = Found::of(&registry, &all);
    let counts: BTreeSet<_> = found.scan.sources.iter().map(|s| (s.slug.clone(), labelled(&s.cases).count())).collect();
    if counts == expected && found.unclaimed.is_empty() && found.contested.is_empty() {
        return Ok(());
    }
    let Found { unclaimed, contested, .. } = &found;
    Err(format!("found {counts:?}, expected {expected:?}, left over {unclaimed:?}, contested {contested:?}"))
}
