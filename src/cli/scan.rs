//! `medcosmos scan RAW`: the sources in a folder, their releases and their completeness.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{Global, Outcome};
use crate::raw::{Link, Tree};
use crate::sources::{Completeness, FileUse, NearMiss, Scan, Source, near_misses, scan_tree};
use crate::spec::{Registry, Spec};
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped, printable_line};

/// Options of `scan`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of downloads, or one archive; may be in a bucket: s3://BUCKET/PREFIX
    raw: PathBuf,
    /// List every unused file with the reason
    #[arg(long)]
    files: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    sources: Vec<Completeness>,
    files_used: u64,
    files_skipped: u64,
    unclaimed: Vec<String>,
    /// The captures that join images and masks, and notes, by source.
    joined: Vec<(String, Vec<String>)>,
    notes: Vec<(String, Vec<String>)>,
    near: Vec<NearMiss>,
    problems: Vec<(String, String)>,
    links: Vec<Link>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let registry = global.registry()?;
    let tree = Tree::open_within(&arguments.raw, &global.budget())?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let scan = scan_tree(&registry, &tree, None);
    let count = |used: bool| scan.files.iter().filter(|f| matches!(f, FileUse::Used { .. }) == used).count() as u64;
    let free = scan.files.iter().zip(&paths).filter(|(f, _)| **f == FileUse::Unclaimed);
    let report = Report {
        sources: scan
            .sources
            .iter()
            .map(|source| Ok(Completeness::of(source, registry.get(&source.slug)?)))
            .collect::<Result<_, crate::spec::Error>>()?,
        files_used: count(true),
        files_skipped: count(false),
        unclaimed: free.map(|(_, path)| path.to_string()).collect(),
        joined: of_sources(&scan, &registry, Source::joined_by),
        notes: of_sources(&scan, &registry, |source, _| source.notes.clone()),
        near: near_misses(&registry, &scan, tree.name(), &paths),
        problems: tree.problems().iter().map(|p| (p.path.clone(), p.reason.clone())).collect(),
        links: tree.links().to_vec(),
    };
    if global.json {
        global.print_json(&report)?;
    } else {
        print(&report, &arguments.raw.display().to_string());
        if arguments.files {
            print_files(&scan.files, &paths);
        }
    }
    let ambiguous = report.sources.iter().any(|source| source.ambiguous > 0);
    let clean = report.problems.is_empty() && !report.sources.is_empty() && !ambiguous;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The lines that `say` returns for each source.
fn of_sources(
    scan: &Scan,
    registry: &Registry,
    say: impl Fn(&Source, &Spec) -> Vec<String>,
) -> Vec<(String, Vec<String>)> {
    let said = scan
        .sources
        .iter()
        .filter_map(|source| Some((source.slug.clone(), say(source, registry.get(&source.slug).ok()?))));
    said.filter(|(_, lines)| !lines.is_empty()).collect()
}

fn print(report: &Report, raw: &str) {
    if report.sources.is_empty() {
        println!("No known source found in {raw}.");
        println!(
            "`medcosmos sources list` lists the sources; `medcosmos sources show SLUG` shows the folder structure of \
             one."
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
            .counts("unlabelled", found().map(|f| f.unlabelled))
            .counts("ambiguous", found().map(|f| f.ambiguous));
        print!("{}", table.render(LINE_WIDTH));
        report.joined.iter().for_each(|(slug, lines)| println!("{slug}: {}", lines.join("; ")));
    }
    super::build::print_notes(report.notes.iter().map(|(slug, notes)| (slug.as_str(), &notes[..])), &report.near);
    println!(
        "\n{} files used, {} unused (--files lists them with reasons).",
        grouped(report.files_used),
        grouped(report.files_skipped)
    );
    if !report.unclaimed.is_empty() {
        println!("\n{} of these match no source:", grouped(report.unclaimed.len() as u64));
        print!("{}", at_most(&report.unclaimed, 10));
    }
    print_links(&report.links);
    if !report.problems.is_empty() {
        println!("\n{} unreadable:", grouped(report.problems.len() as u64));
        let lines: Vec<String> = report.problems.iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
        print!("{}", at_most(&lines, 50));
    }
}

/// Says how many links lead out of the downloads: what they lead to is read, and may change or be missing elsewhere.
pub(super) fn print_links(links: &[Link]) {
    for (followed, what) in [
        (true, "lead outside the downloads and are followed"),
        (false, "lead to folders of the system and are not followed"),
    ] {
        let of_kind = links.iter().filter(|link| link.followed == followed);
        let lines: Vec<String> = of_kind.map(|link| format!("{} -> {}", link.path, link.target)).collect();
        if !lines.is_empty() {
            print!("\n{} link(s) {what}:\n{}", grouped(lines.len() as u64), at_most(&lines, 10));
        }
    }
}

fn print_files(files: &[FileUse], paths: &[&str]) {
    println!("\nUnused files:");
    for (file, path) in files.iter().zip(paths) {
        match file {
            FileUse::Used { .. } => {}
            FileUse::Skipped { source, reason } => {
                println!("  {}\n      {source}: {}", printable_line(path), printable_line(reason));
            }
            FileUse::Unclaimed => println!("  {}\n      matches no source", printable_line(path)),
        }
    }
}
