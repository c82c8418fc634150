//! `medcosmos sources`: the known sources, one source's page, and what a spec makes of a folder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, Global, Outcome};
use crate::raw::Tree;
use crate::sources::{CaseState, FileUse, scan};
use crate::spec::pattern::Pattern;
use crate::spec::{Label, MaskPart, Registry, Sharing, Spec};
use crate::store::{Dataset, Table};
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped};

/// Options of `sources`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Action>,
    /// Count sources, modalities, objects and targets
    #[arg(long)]
    summary: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Name all sources
    List,
    /// Show a source's page: what it is, its tree, labels, licence, peculiarities, how to cite
    Show {
        /// Source
        slug: String,
    },
    /// Explain what a spec makes of a folder, pattern by pattern
    Check {
        /// Spec file, or the slug of a built-in source
        // Not `spec`: that is the name of a global option.
        #[arg(value_name = "SPEC")]
        source: String,
        /// Folder of downloads, or one archive
        #[arg(long)]
        raw: PathBuf,
    },
    /// Print the BibTeX of sources [default: of all]
    Cite {
        /// Sources
        slugs: Vec<String>,
        /// Those that a dataset made by `build` contains
        #[arg(long, value_name = "DIR", conflicts_with = "slugs")]
        dataset: Option<PathBuf>,
    },
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    if arguments.summary {
        return summary(&global.registry()?, global);
    }
    match &arguments.command {
        None | Some(Action::List) => list(&global.registry()?, global),
        Some(Action::Show { slug }) => {
            print!("{}", page(global.registry()?.get(slug)?));
            Ok(ExitCode::SUCCESS)
        }
        Some(Action::Check { source, raw }) => check(source, raw, global),
        Some(Action::Cite { slugs, dataset }) => {
            let slugs = dataset.as_deref().map(contained).transpose()?.unwrap_or_else(|| slugs.clone());
            for spec in global.registry()?.select(&slugs)?.specs() {
                println!("{}\n", spec.citation.trim());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Sources that gave slices to a dataset.
fn contained(dataset: &std::path::Path) -> Result<Vec<String>, Failure> {
    let files = Dataset::open(dataset)?.files(Table::Slices)?;
    let slugs: BTreeSet<String> = files.into_iter().map(|file| file.source).collect();
    if slugs.is_empty() {
        return Err(format!("{}: the dataset has no slices, so there is nothing to cite", dataset.display()).into());
    }
    Ok(slugs.into_iter().collect())
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    slug: &'a str,
    name: &'a str,
    modalities: Vec<&'a str>,
    objects: Vec<&'a str>,
    licence: &'a str,
}

fn entries(registry: &Registry) -> Vec<Entry<'_>> {
    registry
        .specs()
        .iter()
        .map(|spec| Entry {
            slug: &spec.slug,
            name: &spec.name,
            modalities: modalities(spec),
            objects: objects(spec),
            licence: &spec.licence.id,
        })
        .collect()
}

fn labels(spec: &Spec) -> impl Iterator<Item = &Label> {
    let tables = spec.labels.values().flat_map(|table| table.values());
    tables.chain(spec.layout.iter().flat_map(|l| &l.mask).filter_map(|m| m.label.as_ref()))
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let set: BTreeSet<&str> = names.collect();
    set.into_iter().collect()
}

fn modalities(spec: &Spec) -> Vec<&str> {
    unique(spec.sequences.values().map(String::as_str))
}

fn objects(spec: &Spec) -> Vec<&str> {
    unique(labels(spec).map(|l| l.object.as_str()))
}

fn list(registry: &Registry, global: &Global) -> Outcome {
    let entries = entries(registry);
    if global.json {
        global.print_json(&entries)?;
        return Ok(ExitCode::SUCCESS);
    }
    let table = TextTable::new()
        .words("source", entries.iter().map(|e| Some(e.slug.to_string())))
        .words("modalities", entries.iter().map(|e| Some(e.modalities.join(", "))))
        .counts("objects", entries.iter().map(|e| e.objects.len() as u64))
        .words("licence", entries.iter().map(|e| Some(e.licence.to_string())))
        .words("name", entries.iter().map(|e| Some(e.name.to_string())));
    print!("{}", table.render(LINE_WIDTH));
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Serialize)]
struct Summary {
    sources: usize,
    modalities: usize,
    objects: usize,
    targets: usize,
}

fn summary(registry: &Registry, global: &Global) -> Outcome {
    let targets: BTreeSet<(&str, &str)> = registry.specs().iter().flat_map(Spec::targets).collect();
    let summary = Summary {
        sources: registry.specs().iter().filter(|s| s.part_of_study).count(),
        modalities: targets.iter().map(|(_, m)| m).collect::<BTreeSet<_>>().len(),
        objects: targets.iter().map(|(o, _)| o).collect::<BTreeSet<_>>().len(),
        targets: targets.len(),
    };
    if global.json {
        global.print_json(&summary)?;
    } else {
        let Summary { sources, modalities, objects, targets } = summary;
        println!(
            "{sources} sources, {modalities} modalities, {objects} objects, {targets} targets (object-modality pairs)"
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// A source's page.
fn page(spec: &Spec) -> String {
    let mut out = format!("{}\n{}\n\n", spec.name, "─".repeat(spec.name.chars().count()));
    let mut section = |title: &str, body: String| {
        if !body.trim().is_empty() {
            out.push_str(&format!("{title}\n{}\n\n", indent(&body)));
        }
    };
    section("What it is", format!("{}\n{}", spec.description, spec.home));
    section("Download", spec.archives.join("\n"));
    let sharing = match spec.licence.share_derived {
        Sharing::Yes => "Slices and masks made from it may be passed on, with attribution.",
        Sharing::Conditions => "Slices and masks made from it may be passed on under the conditions of the licence.",
        Sharing::No => "Slices and masks made from it must not be passed on.",
        Sharing::Unknown => "Whether slices and masks made from it may be passed on is not known: ask before you do.",
    };
    section("Licence", format!("{}: {}\n{sharing}", spec.licence.id, spec.licence.terms));
    let release = |r: &crate::spec::Release| match r.note.is_empty() {
        true => format!("- {}\n", r.name),
        false => format!("- {}: {}\n", r.name, r.note),
    };
    section("Releases", spec.release.iter().map(release).collect());
    section("Tree expected", spec.tree.trim_matches('\n').to_string());
    let sequences = spec.sequences.iter().map(|(sequence, modality)| format!("- {sequence}: {modality}\n"));
    section("Sequences and their modality", sequences.collect());
    let mut seen = BTreeSet::new();
    let mut objects = String::new();
    for label in labels(spec).filter(|l| seen.insert(l.name.clone())) {
        let excluded = label.exclude.as_ref().map(|reason| format!(" (excluded: {reason})")).unwrap_or_default();
        let object = if label.object == label.name { String::new() } else { format!(" → {}", label.object) };
        objects.push_str(&format!("- {}{object}{excluded}\n", label.name));
    }
    section("Labels → objects", objects);
    let counts = spec.expected.iter().map(|e| {
        let of = [e.release.as_deref(), e.layout.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let of = if of.is_empty() { of } else { format!(" ({of})") };
        format!("- {} labelled cases{of}: {}\n", grouped(e.cases as u64), e.origin)
    });
    section("Complete when it has", counts.collect());
    let lists = spec.layout.iter().flat_map(|l| &l.list).map(|list| {
        let split = (list.split.is_some() || list.split_column.is_some()).then_some("the split");
        let said: Vec<&str> = split.into_iter().chain(list.patient_column.is_some().then_some("the patient")).collect();
        format!("- {}: {}\n", list.path.join(" or "), said.join(" and "))
    });
    section("Read beside images and masks", unique_lines(lists));
    section("Peculiarities handled", bullets(&spec.quirks));
    section("Also in other sources", spec.overlaps.iter().map(|o| format!("- {}: {}\n", o.source, o.note)).collect());
    section("Known to be damaged", spec.known_bad.iter().map(|b| format!("- {}: {}\n", b.path, b.note)).collect());
    section("Not used", spec.skip.iter().map(|s| format!("- {}: {}\n", s.path, s.reason)).collect());
    let by_index = spec.layout.iter().flat_map(|layout| {
        let reason = |part: &MaskPart| Some(format!("- {}: {}\n", layout.name, part.pair_reason.as_ref()?));
        layout.mask.iter().filter_map(reason)
    });
    section("Masks paired by index, whatever their headers say", by_index.collect());
    section("Not verified", bullets(&spec.unverified));
    section("How to cite", spec.citation.trim().to_string());
    out
}

/// Lines in their order, each once: layouts may share what they say.
fn unique_lines(lines: impl Iterator<Item = String>) -> String {
    let mut seen = BTreeSet::new();
    lines.filter(|line| seen.insert(line.clone())).collect()
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("- {line}\n")).collect()
}

fn indent(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// What each pattern of a spec matches in a tree.
fn check(spec: &str, raw: &std::path::Path, global: &Global) -> Outcome {
    let mut registry = global.registry()?;
    let slug = match std::path::Path::new(spec) {
        path if path.exists() => registry.add_file(path)?,
        _ => registry.get(spec)?.slug.clone(),
    };
    let registry = registry.select(std::slice::from_ref(&slug))?;
    let spec = registry.get(&slug)?;
    let tree = Tree::open(raw)?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    println!("{slug} against {} files in {}\n", grouped(paths.len() as u64), raw.display());
    for release in &spec.release {
        println!("release {:?}", release.name);
        release.evidence.iter().for_each(|p| print_matches(spec, "evidence", p, &paths));
    }
    for skip in &spec.skip {
        print_matches(spec, "skip", &skip.path, &paths);
    }
    for layout in &spec.layout {
        println!("layout {:?}", layout.name);
        layout.image.path.iter().for_each(|p| print_matches(spec, "image", p, &paths));
        layout.mask.iter().flat_map(|m| &m.path).for_each(|p| print_matches(spec, "mask", p, &paths));
        layout.list.iter().flat_map(|l| &l.path).for_each(|p| print_matches(spec, "list", p, &paths));
    }
    let scan = scan(&registry, &paths);
    let Some(source) = scan.sources.first() else {
        println!("\nThe source is not recognised: no release has all of its evidence.");
        return Ok(ExitCode::FAILURE);
    };
    let complete = source.cases.iter().filter(|c| c.state == CaseState::Complete).count();
    println!("\nRecognised as release {:?}: {complete} case(s) can be built.", source.release);
    let skipped: Vec<String> = source
        .cases
        .iter()
        .filter_map(|c| match &c.state {
            CaseState::Skipped(reason) => Some(format!("{}: {reason}", c.id)),
            CaseState::Complete => None,
        })
        .collect();
    if !skipped.is_empty() {
        print!("\nCases that cannot:\n{}", at_most(&skipped, 20));
    }
    let unused: Vec<String> = scan
        .files
        .iter()
        .zip(&paths)
        .filter_map(|(file, path)| match file {
            FileUse::Used { .. } => None,
            FileUse::Skipped { reason, .. } => Some(format!("{path}: {reason}")),
            FileUse::Unclaimed => Some(format!("{path}: no pattern matches it")),
        })
        .collect();
    if !unused.is_empty() {
        print!("\nFiles not used:\n{}", at_most(&unused, 40));
    }
    Ok(if complete > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_matches(spec: &Spec, what: &str, pattern: &str, paths: &[&str]) {
    let Ok(compiled) = Pattern::new(pattern, spec.ignore_case) else { return };
    let matched: Vec<&str> = paths.iter().copied().filter(|p| compiled.matches(p)).collect();
    println!("  {what:<8} {:>7} match  {pattern}", grouped(matched.len() as u64));
    if let Some(first) = matched.first() {
        println!("  {:>16}        such as {first}", "");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[test]
    fn check_takes_its_spec_beside_the_option_of_every_command() {
        let line = ["medcosmos", "sources", "check", "acdc", "--raw", "downloads", "--spec", "own.toml"];
        let arguments = crate::cli::Arguments::try_parse_from(line).unwrap();
        assert_eq!(arguments.global.spec, [std::path::PathBuf::from("own.toml")]);
    }
}
