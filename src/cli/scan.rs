//! `medcosmos scan RAW`: which sources are here, which release, complete or not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{Global, Outcome};
use crate::raw::Tree;
use crate::sources::{CaseState, FileUse, Source, scan};
use crate::spec::Spec;
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped};

/// Options of `scan`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of downloads, or one archive
    raw: PathBuf,
    /// List every file that is not used, with the reason
    #[arg(long)]
    files: bool,
}

#[derive(Debug, Serialize)]
struct Found {
    source: String,
    name: String,
    release: String,
    cases: u64,
    unlabelled: u64,
    expected: Option<u64>,
    state: String,
}

#[derive(Debug, Serialize)]
struct Report {
    sources: Vec<Found>,
    files_used: u64,
    files_skipped: u64,
    unclaimed: Vec<String>,
    problems: Vec<(String, String)>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let registry = global.registry()?;
    let tree = Tree::open(&arguments.raw)?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let scan = scan(&registry, &paths);
    let count = |used: bool| scan.files.iter().filter(|f| matches!(f, FileUse::Used { .. }) == used).count() as u64;
    let free = scan.files.iter().zip(&paths).filter(|(f, _)| **f == FileUse::Unclaimed);
    let report = Report {
        sources: scan
            .sources
            .iter()
            .map(|source| Ok(found(source, registry.get(&source.slug)?)))
            .collect::<Result<_, crate::spec::Error>>()?,
        files_used: count(true),
        files_skipped: count(false),
        unclaimed: free.map(|(_, path)| path.to_string()).collect(),
        problems: tree.problems().iter().map(|p| (p.path.clone(), p.reason.clone())).collect(),
    };
    if global.json {
        global.print_json(&report)?;
    } else {
        print(&report, &arguments.raw.display().to_string());
        if arguments.files {
            print_files(&scan.files, &paths);
        }
    }
    let clean = report.problems.is_empty() && !report.sources.is_empty();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares what is there with the counts of the spec: those that name the release and those that name none, summed over
/// the layouts that are there at all (tasks and sequences may be downloaded one by one).
fn found(source: &Source, spec: &Spec) -> Found {
    let mut by_layout: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unlabelled = 0;
    for case in &source.cases {
        match case.state {
            CaseState::Complete => *by_layout.entry(&spec.layout[case.layout].name).or_default() += 1,
            CaseState::Skipped(_) => unlabelled += 1,
        }
    }
    let cases: u64 = by_layout.values().sum();
    let counts: Vec<u64> = spec
        .expected
        .iter()
        .filter(|e| e.release.as_ref().is_none_or(|r| *r == source.release))
        .filter(|e| e.layout.as_ref().is_none_or(|l| by_layout.contains_key(l.as_str())))
        .map(|e| e.cases as u64)
        .collect();
    let expected = (!counts.is_empty()).then(|| counts.iter().sum());
    let state = match expected {
        _ if cases == 0 => "no labelled case".into(),
        Some(n) if cases == n => "complete".into(),
        Some(n) if cases < n => format!("{} missing", grouped(n - cases)),
        Some(n) => format!("{} more than expected", grouped(cases - n)),
        None => "count not known".into(),
    };
    let (slug, name) = (source.slug.clone(), spec.name.clone());
    Found { source: slug, name, release: source.release.clone(), cases, unlabelled, expected, state }
}

fn print(report: &Report, raw: &str) {
    if report.sources.is_empty() {
        println!("No known source is in {raw}.");
        println!(
            "`medcosmos sources list` names the sources; `medcosmos sources show SLUG` draws the tree that one should have."
        );
    } else {
        println!("{} source(s) in {raw}:\n", report.sources.len());
        let found = || report.sources.iter();
        let expected = found().map(|f| f.expected.map_or_else(String::new, grouped)).collect();
        let table = TextTable::new()
            .words("source", found().map(|f| Some(f.source.clone())))
            .words("release", found().map(|f| Some(f.release.clone())))
            .counts("cases", found().map(|f| f.cases))
            .aligned_right("expected", expected)
            .words("state", found().map(|f| Some(f.state.clone())))
            .counts("unlabelled", found().map(|f| f.unlabelled));
        print!("{}", table.render(LINE_WIDTH));
    }
    println!(
        "\n{} files used, {} not used (--files lists them with their reasons).",
        grouped(report.files_used),
        grouped(report.files_skipped)
    );
    if !report.unclaimed.is_empty() {
        println!("\n{} of these fit no source:", grouped(report.unclaimed.len() as u64));
        print!("{}", at_most(&report.unclaimed, 10));
    }
    if !report.problems.is_empty() {
        println!("\n{} could not be looked into:", grouped(report.problems.len() as u64));
        let lines: Vec<String> = report.problems.iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
        print!("{}", at_most(&lines, 50));
    }
}

fn print_files(files: &[FileUse], paths: &[&str]) {
    println!("\nFiles not used:");
    for (file, path) in files.iter().zip(paths) {
        match file {
            FileUse::Used { .. } => {}
            FileUse::Skipped { source, reason } => println!("  {path}\n      {source}: {reason}"),
            FileUse::Unclaimed => println!("  {path}\n      no source claims it"),
        }
    }
}
