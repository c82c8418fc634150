//! Downloads: every file is read once, and the files are compared with the specs and with the list of checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::checksums::{Checksum, Checksums, Comparison};
use super::content::{Probe, Probed, is_data};
use super::{Error, Finding, Kind, Result};
use crate::bucket::is_url;
use crate::memory::Budget;
use crate::pipeline::Progress;
use crate::raw::{self, CHECKSUMS, Link, Member, PHANTOMS, Tree};
use crate::sources::{CaseState, Completeness, FileUse, Scan, Source, absent_numbers, scan_below, scan_tree};
use crate::spec::Registry;
use crate::spec::pattern::Pattern;
use crate::text::grouped;

/// What to do with downloads besides reading them.
#[derive(Clone, Debug, Default)]
pub struct DownloadsOptions {
    /// Write the list of checksums, in place of a comparison with it.
    pub write: bool,
    /// The list of checksums; `checksums.tsv` in the folder, or next to the archive, where absent.
    pub checksums: Option<PathBuf>,
    /// Only the files of the sources that the registry has.
    pub only_sources: bool,
    /// Memory that the files may take, and the bytes that archives may expand to.
    pub budget: Budget,
}

/// What was found in downloads.
#[derive(Clone, Debug, Serialize)]
pub struct DownloadsReport {
    /// Folder or archive.
    pub path: String,
    /// Files that were read, those in archives among them.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sources that were recognised.
    pub sources: Vec<SourceState>,
    /// What was done with a list of checksums, where there is one.
    pub checksums: Option<ChecksumsReport>,
    /// Links that lead out of the folder.
    pub links: Vec<Link>,
    /// Faults and remarks, sorted by kind and path.
    pub findings: Vec<Finding>,
}

/// A source among downloads.
#[derive(Clone, Debug, Serialize)]
pub struct SourceState {
    /// Its cases against those expected.
    #[serde(flatten)]
    pub cases: Completeness,
    /// Files of it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Numbers that its case ids leave out, as text.
    pub absent: Vec<String>,
    /// Archives as they are downloaded, as text.
    pub archives: Vec<String>,
}

/// A list of checksums, and what was done with it.
#[derive(Clone, Debug, Serialize)]
pub struct ChecksumsReport {
    /// The list.
    pub file: String,
    /// True where it was written, false where it was compared.
    pub written: bool,
    /// Files in it.
    pub listed: u64,
    /// Files that are as listed.
    pub same: u64,
}

impl DownloadsReport {
    /// True where nothing is wrong.
    pub fn sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.fault)
    }
}

/// Downloads that are looked at.
struct Downloads<'a> {
    tree: &'a Tree,
    scan: &'a Scan,
    registry: &'a Registry,
    /// True where there are phantoms among them, which are never complete.
    phantoms: bool,
    findings: Vec<Finding>,
}

/// Reads every file at `path`, a folder of downloads or an archive, and says what is wrong.
///
/// # Errors
/// The folder or archive cannot be opened at all, or the list of checksums cannot be read or written.
pub fn verify_downloads(
    path: &Path,
    registry: &Registry,
    options: &DownloadsOptions,
    progress: &Progress,
) -> Result<DownloadsReport> {
    let list_path = list_path(path, options)?;
    let listed = match (options.write, options.checksums.is_some() || raw::is_there(&list_path)?) {
        (false, true) => Some(Checksums::read(&list_path)?),
        _ => None,
    };
    let tree = Tree::open_within(path, &options.budget)?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let scan = scan_tree(registry, &tree, None);
    let phantoms = tree.ignored().iter().any(|i| i.path.rsplit('/').next() == Some(PHANTOMS));
    let mut downloads = Downloads { tree: &tree, scan: &scan, registry, phantoms, findings: Vec::new() };

    let read: Vec<usize> =
        (0..paths.len()).filter(|&file| !options.only_sources || source_of(&scan.files[file]).is_some()).collect();
    let members: Vec<&Member> = read.iter().map(|&file| &tree.members()[file]).collect();
    downloads.note_problems();
    let probes = probe(&tree, &members, progress);
    let there = downloads.note_contents(&read, probes);
    downloads.note_known_bad(&read)?;
    let sources = downloads.note_sources(options.only_sources)?;

    let unread: BTreeSet<String> =
        members.iter().map(|m| m.path.clone()).filter(|path| !there.files.contains_key(path)).collect();
    let checksums = if options.write {
        there.write(&list_path)?;
        let listed = there.files.len() as u64;
        Some(ChecksumsReport { file: list_path.display().to_string(), written: true, listed, same: listed })
    } else if let Some(mut list) = listed {
        if options.only_sources {
            list = of_sources(list, &there, registry, tree.name());
        }
        let comparison = list.compare(&there, &unread);
        let same = comparison.same;
        downloads.note_comparison(comparison);
        let listed = list.files.len() as u64;
        Some(ChecksumsReport { file: list_path.display().to_string(), written: false, listed, same })
    } else {
        None
    };
    let mut findings = downloads.findings;
    findings.sort();
    Ok(DownloadsReport {
        path: path.display().to_string(),
        files: members.len() as u64,
        bytes: members.iter().map(|member| member.size).sum(),
        sources,
        checksums,
        links: tree.links().to_vec(),
        findings,
    })
}

/// Where the list of checksums is.
fn list_path(path: &Path, options: &DownloadsOptions) -> Result<PathBuf> {
    let beside = || {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{CHECKSUMS}"));
        path.with_file_name(name)
    };
    if is_url(path) {
        return match &options.checksums {
            Some(chosen) if !(options.write && is_url(chosen)) => Ok(chosen.clone()),
            _ if options.write => {
                let reason = "medcosmos writes no list into a bucket; name a local file with --checksums".to_string();
                Err(Error::Checksums { path: path.to_path_buf(), reason })
            }
            _ if raw::is_there(&beside())? => Ok(beside()),
            _ => Ok(path.join(CHECKSUMS)),
        };
    }
    let own = if path.is_dir() { path.join(CHECKSUMS) } else { beside() };
    let Some(chosen) = &options.checksums else { return Ok(own) };
    let folder = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if options.write && path.is_dir() && folder(chosen).starts_with(folder(path)) && folder(chosen) != folder(&own) {
        let reason = format!("a list inside the downloads must be named {CHECKSUMS}, or it would count as one of them");
        return Err(Error::Checksums { path: chosen.clone(), reason });
    }
    Ok(chosen.clone())
}

/// The source that a file belongs to.
fn source_of(file: &FileUse) -> Option<&str> {
    match file {
        FileUse::Used { source } | FileUse::Skipped { source, .. } => Some(source),
        FileUse::Unclaimed => None,
    }
}

/// The part of a list that belongs to the sources of the registry: what is there, and what they would claim if it were.
fn of_sources(list: Checksums, there: &Checksums, registry: &Registry, root: &str) -> Checksums {
    let paths: BTreeSet<&String> = list.files.keys().chain(there.files.keys()).collect();
    let paths: Vec<&str> = paths.into_iter().map(String::as_str).collect();
    let scan = scan_below(registry, root, &paths);
    let own: BTreeSet<&str> =
        paths.iter().zip(&scan.files).filter(|(_, file)| source_of(file).is_some()).map(|(path, _)| *path).collect();
    let kept = list.files.iter().filter(|(path, _)| own.contains(path.as_str()));
    Checksums { files: kept.map(|(path, sum)| (path.clone(), sum.clone())).collect() }
}

/// Reads every member once.
fn probe(tree: &Tree, members: &[&Member], progress: &Progress) -> Vec<std::result::Result<Probed, raw::Error>> {
    progress.begin("verify", "files", members.len() as u64);
    let probes = tree.each(members, |member| {
        let mut probe = Probe::new(tree.inflation(member));
        let copied = tree.copy(member, &mut probe);
        progress.advance(1);
        copied.map(|()| probe.finish(member.name()))
    });
    progress.end();
    probes
}

impl Downloads<'_> {
    /// What the tree could not look into.
    fn note_problems(&mut self) {
        for problem in self.tree.problems() {
            self.findings.push(Finding::fault(problem.fault.into(), None, &problem.path, &problem.reason));
            if let Some(why) = unfinished(&problem.path) {
                self.findings.push(Finding::fault(Kind::Unfinished, None, &problem.path, why));
            }
        }
    }

    /// What reading the files gave; the checksums of those that could be read.
    fn note_contents(&mut self, files: &[usize], probes: Vec<std::result::Result<Probed, raw::Error>>) -> Checksums {
        let mut there = Checksums::default();
        for (&file, probed) in files.iter().zip(probes) {
            let member = &self.tree.members()[file];
            let source = source_of(&self.scan.files[file]);
            if let Some(why) = unfinished(&member.path) {
                self.findings.push(Finding::fault(Kind::Unfinished, source, &member.path, why));
            }
            let fault = match probed {
                Err(error) => {
                    let again = if error.reason.fault() == raw::Fault::Damaged { "; download it again" } else { "" };
                    Some((error.reason.fault(), format!("{}{again}", error.reason)))
                }
                Ok(probed) => {
                    let sum = Checksum { sha256: probed.sha256, size: member.size };
                    there.files.insert(member.path.clone(), sum);
                    probed.fault
                }
            };
            if let Some((fault, says)) = fault {
                self.findings.push(Finding::fault(fault.into(), source, &member.path, says));
            } else if member.size == 0 {
                let used = matches!(self.scan.files[file], FileUse::Used { .. });
                let fault = used || is_data(member.name());
                let says = if fault { "empty: download it again" } else { "empty" };
                let remark = Finding::remark(Kind::Empty, source, &member.path, says);
                self.findings.push(Finding { fault, ..remark });
            }
        }
        there
    }

    /// What is missing of each source.
    fn note_sources(&mut self, asked_for: bool) -> Result<Vec<SourceState>> {
        let mut states = Vec::new();
        for source in &self.scan.sources {
            let spec = self.registry.get(&source.slug)?;
            let cases = Completeness::of(source, spec);
            let own = |file: &&FileUse| source_of(file) == Some(source.slug.as_str());
            let sizes = self.tree.members().iter().zip(&self.scan.files).filter(|(_, file)| own(file));
            let state = SourceState {
                files: sizes.clone().count() as u64,
                bytes: sizes.map(|(member, _)| member.size).sum(),
                absent: absent_numbers(source),
                archives: spec.archives.clone(),
                cases,
            };
            self.note_cases(source, &state);
            states.push(state);
        }
        if asked_for {
            for spec in self.registry.specs() {
                if !self.scan.sources.iter().any(|source| source.slug == spec.slug) {
                    let says = format!(
                        "no release recognised; `medcosmos sources show {}` shows the expected folder structure",
                        spec.slug
                    );
                    self.findings.push(Finding::fault(Kind::NoSource, Some(&spec.slug), "", says));
                }
            }
        }
        Ok(states)
    }

    fn note_cases(&mut self, source: &Source, state: &SourceState) {
        let slug = Some(source.slug.as_str());
        let path_of = |file: usize| self.tree.members()[file].path.as_str();
        let SourceState { cases, absent, archives, .. } = state;
        let incomplete = cases.missing > 0 && !self.phantoms;
        let mut found = Vec::new();
        if let Some(expected) = cases.expected.filter(|_| cases.missing + cases.more > 0) {
            let origins = cases.origins.join("; ");
            let (expected, there) = (grouped(expected), grouped(cases.cases));
            let mut says = format!("expected {expected} labelled cases ({origins}), found {there}: {}", cases.state);
            if !absent.is_empty() {
                says += &format!("; missing ids: {}", absent.join("; "));
            }
            if cases.missing > 0 && !archives.is_empty() {
                says += &format!("; the source is distributed as {}", archives.join(", "));
            }
            if self.phantoms {
                says += "; phantom downloads are never complete";
            }
            let kind = if cases.missing > 0 { Kind::MissingCases } else { Kind::MoreCases };
            found.push(Finding { fault: incomplete, ..Finding::remark(kind, slug, "", says) });
        }
        for case in &source.cases {
            let (kind, fault, reason) = match &case.state {
                CaseState::Complete => continue,
                CaseState::Skipped(reason) => (Kind::NoMask, incomplete, reason),
                CaseState::Ambiguous(reason) => (Kind::Ambiguous, true, reason),
            };
            let path = case.image.first().map_or("", |&file| path_of(file));
            let remark = Finding::remark(kind, slug, path, reason.clone());
            found.push(Finding { fault, id: Some(case.id.clone()), ..remark });
        }
        for (file, reason) in source.skipped.iter().filter(|(file, _)| source.unpaired.contains(file)) {
            let unsure = (incomplete || cases.expected.is_none()) && !self.phantoms;
            found.push(Finding { fault: unsure, ..Finding::remark(Kind::NoImage, slug, path_of(*file), reason) });
        }
        self.findings.extend(found);
    }

    /// Files that are known to be wrong: what reading them gave is reported, and is not a fault of this download.
    fn note_known_bad(&mut self, files: &[usize]) -> Result<()> {
        for source in &self.scan.sources {
            let spec = self.registry.get(&source.slug)?;
            for bad in &spec.known_bad {
                let Ok(pattern) = Pattern::new(&bad.path, spec.ignore_case) else { continue };
                let own = |file: &&usize| source_of(&self.scan.files[**file]) == Some(source.slug.as_str());
                let paths = files.iter().filter(own).map(|&file| &self.tree.members()[file].path);
                for path in paths.filter(|path| pattern.matches(path)) {
                    for finding in self.findings.iter_mut().filter(|finding| finding.path == *path) {
                        finding.fault = false;
                        finding.says += &format!(" (known: {})", bad.note);
                    }
                    let slug = Some(source.slug.as_str());
                    self.findings.push(Finding::remark(Kind::KnownBad, slug, path, &bad.note));
                }
            }
        }
        Ok(())
    }

    /// What differs from the list of checksums.
    fn note_comparison(&mut self, comparison: Comparison) {
        let source = |path: &str| {
            let at = self.tree.members().binary_search_by(|member| member.path.as_str().cmp(path)).ok()?;
            source_of(&self.scan.files[at])
        };
        let mut found = Vec::new();
        for path in &comparison.altered {
            let says = "differs from the list of checksums: download it again, or rewrite the list with --write if \
                this is another release";
            found.push(Finding::fault(Kind::Altered, source(path), path, says));
        }
        for path in &comparison.extra {
            let says =
                "not in the list of checksums: rewrite the list with --write if the file belongs to the download";
            found.push(Finding::fault(Kind::Extra, source(path), path, says));
        }
        for (from, to) in &comparison.moved {
            let says = format!("its bytes are listed at {from}");
            found.push(Finding::remark(Kind::Moved, source(to), to, says));
        }
        // What is missing of an archive that cannot be opened is reported once.
        let mut closed: BTreeMap<&str, u64> = BTreeMap::new();
        for path in &comparison.missing {
            let inside =
                |problem: &&raw::Problem| path.strip_prefix(problem.path.as_str()).is_some_and(|p| p.starts_with('/'));
            match self.tree.problems().iter().find(inside) {
                Some(problem) => *closed.entry(&problem.path).or_default() += 1,
                None => {
                    let says = "in the list of checksums, but missing: download it again";
                    found.push(Finding::fault(Kind::Missing, None, path, says));
                }
            }
        }
        for (archive, files) in closed {
            let says =
                format!("{} file(s) inside it are in the list of checksums, but cannot be reached", grouped(files));
            found.push(Finding::fault(Kind::Missing, None, archive, says));
        }
        self.findings.extend(found);
    }
}

/// Ends of names that programs give to downloads while they last, and which programs.
const UNFINISHED: [(&str, &str); 9] = [
    (".crdownload", "Chrome"),
    (".opdownload", "Opera"),
    (".part", "Firefox or wget"),
    (".partial", "Edge, curl or rsync"),
    (".download", "Safari"),
    (".aria2", "aria2"),
    (".filepart", "WinSCP"),
    (".!ut", "µTorrent"),
    (".!qb", "qBittorrent"),
];

/// What to say of a path of which a component is named as a download that is still going on.
fn unfinished(path: &str) -> Option<String> {
    let program = |component: &str| {
        let lower = component.to_ascii_lowercase();
        UNFINISHED.iter().find(|(end, _)| lower.ends_with(end) && lower.len() > end.len())
    };
    let (end, program) = path.split('/').find_map(program)?;
    Some(format!("an unfinished download of {program}, as the name ends with {end}: complete it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_downloads_are_known_by_name() {
        for name in ["a/ACDC.zip.part", "ACDC.zip.download/Info.plist", "x.CRDOWNLOAD", "x.zip.!ut", "a.zip.aria2"] {
            assert!(unfinished(name).is_some(), "{name}");
        }
        for name in ["a/x.zip", "x.part01.rar", "x.part1", "download", ".part", "parts/a.png", "ndownloader"] {
            assert_eq!(unfinished(name), None, "{name}");
        }
    }
}
