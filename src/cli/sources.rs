//! `medcosmos sources`: list sources, show one, and check a spec against a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::{Failure, Global, Outcome};
use crate::raw::Tree;
use crate::slices;
use crate::sources::{Case, CaseState, FileUse, Source, read_lists, scan_tree};
use crate::spec::pattern::{Pattern, Template, composed};
use crate::spec::{Decode, Label, MaskPart, OwnName, Registry, Sharing, Spec, taxonomy};
use crate::store::{Dataset, Table};
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped, printable_line};

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
    /// List all sources
    List,
    /// Show a source: description, folder structure, labels, licence, known issues, citation
    Show {
        /// Slug of the source
        slug: String,
    },
    /// Check a spec against a folder, pattern by pattern
    Check {
        /// Spec file, or the slug of a built-in source
        // Not `spec`: that is the name of a global option.
        #[arg(value_name = "SPEC")]
        source: String,
        /// Folder of downloads, or one archive; may be in a bucket: s3://BUCKET/PREFIX
        #[arg(long)]
        raw: PathBuf,
    },
    /// Print the citations of sources as BibTeX [default: all sources]
    Cite {
        /// Slugs of the sources
        slugs: Vec<String>,
        /// Cite the sources of this dataset
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

/// Sources of a dataset's slices.
fn contained(dataset: &std::path::Path) -> Result<Vec<String>, Failure> {
    let files = Dataset::open(dataset)?.files(Table::Slices)?;
    let slugs: BTreeSet<String> = files.into_iter().map(|file| file.source).collect();
    if slugs.is_empty() {
        return Err(
            format!("{}: the dataset has no slices, and therefore no sources to cite", dataset.display()).into()
        );
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
    /// Those of the modalities and objects that specs define.
    own_modalities: usize,
    own_objects: usize,
}

fn summary(registry: &Registry, global: &Global) -> Outcome {
    let targets: BTreeSet<(&str, &str)> = registry.specs().iter().flat_map(Spec::targets).collect();
    let (objects, modalities): (BTreeSet<&str>, BTreeSet<&str>) = targets.iter().copied().unzip();
    let common = taxonomy();
    let summary = Summary {
        sources: registry.specs().iter().filter(|s| s.part_of_study).count(),
        own_modalities: modalities.iter().filter(|m| common.modality_index(m).is_none()).count(),
        own_objects: objects.iter().filter(|o| common.object(o).is_none()).count(),
        modalities: modalities.len(),
        objects: objects.len(),
        targets: targets.len(),
    };
    if global.json {
        global.print_json(&summary)?;
    } else {
        let Summary { sources, modalities, objects, targets, own_modalities, own_objects } = summary;
        println!(
            "{sources} sources, {modalities} modalities, {objects} objects, {targets} targets (object-modality pairs)"
        );
        if own_modalities + own_objects > 0 {
            println!(
                "Not in the protocol, but defined by specs: {own_modalities} of the modalities, {own_objects} of the \
                 objects"
            );
        }
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
    section("Description", format!("{}\n{}", spec.description, spec.home));
    section("Download", spec.archives.join("\n"));
    let sharing = match spec.licence.share_derived {
        Sharing::Yes => "Slices and masks may be redistributed with attribution.",
        Sharing::Conditions => "Slices and masks may be redistributed under the conditions of the licence.",
        Sharing::No => "Slices and masks must not be redistributed.",
        Sharing::Unknown => "Whether slices and masks may be redistributed is unknown: ask the owners first.",
    };
    section("Licence", format!("{}: {}\n{sharing}", spec.licence.id, spec.licence.terms));
    let release = |r: &crate::spec::Release| match r.note.is_empty() {
        true => format!("- {}\n", r.name),
        false => format!("- {}: {}\n", r.name, r.note),
    };
    section("Releases", spec.release.iter().map(release).collect());
    section("Folder structure", spec.tree.trim_matches('\n').to_string());
    let own_modality = |name: &str| own(&spec.modality, name);
    let sequences = spec.sequences.iter().map(|(s, modality)| format!("- {s}: {modality}{}\n", own_modality(modality)));
    section("Sequences → modalities", sequences.collect());
    let mut seen = BTreeSet::new();
    let mut objects = String::new();
    for label in labels(spec).filter(|l| seen.insert(l.name.clone())) {
        let excluded = label.exclude.as_ref().map(|reason| format!(" (excluded: {reason})")).unwrap_or_default();
        let object = if label.object == label.name { String::new() } else { format!(" → {}", label.object) };
        objects.push_str(&format!("- {}{object}{}{excluded}\n", label.name, own(&spec.object, &label.object)));
    }
    section("Labels → objects", objects);
    let counts = spec.expected.iter().map(|e| {
        let separate = e.separate.then_some("a separate download");
        let of =
            [e.release.as_deref(), e.layout.as_deref(), separate].into_iter().flatten().collect::<Vec<_>>().join(", ");
        let of = if of.is_empty() { of } else { format!(" ({of})") };
        format!("- {} labelled cases{of}: {}\n", grouped(e.cases as u64), e.origin)
    });
    section("Expected cases", counts.collect());
    let lists = spec.layout.iter().flat_map(|l| &l.list).map(|list| {
        let split = (list.split.is_some() || list.split_column.is_some()).then_some("the split");
        let said: Vec<&str> = split.into_iter().chain(list.patient_column.is_some().then_some("the patient")).collect();
        format!("- {}: {}\n", list.path.join(" or "), said.join(" and "))
    });
    section("Lists and tables", unique_lines(lists));
    section("Known issues, handled", bullets(&spec.quirks));
    section("Also in other sources", spec.overlaps.iter().map(|o| format!("- {}: {}\n", o.source, o.note)).collect());
    section("Known damaged files", spec.known_bad.iter().map(|b| format!("- {}: {}\n", b.path, b.note)).collect());
    section("Unused files", spec.skip.iter().map(|s| format!("- {}: {}\n", s.path, s.reason)).collect());
    let by_index = spec.layout.iter().flat_map(|layout| {
        let reason = |part: &MaskPart| Some(format!("- {}: {}\n", layout.name, part.pair_reason.as_ref()?));
        layout.mask.iter().filter_map(reason)
    });
    section("Masks paired by index, regardless of their headers", by_index.collect());
    section("Unverified", bullets(&spec.unverified));
    section("Citation", spec.citation.trim().to_string());
    out
}

/// The remark next to an object or a modality that the spec defines.
fn own(names: &[OwnName], name: &str) -> String {
    match names.iter().find(|own| own.name == name) {
        Some(own) if own.description.is_empty() => " (not in the protocol)".into(),
        Some(own) => format!(" (not in the protocol: {})", own.description),
        None => String::new(),
    }
}

/// Lines in their order, each once: layouts may share them.
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

/// Prints what each pattern of a spec matches, how images and masks join, and whether a sample of the files can be cut.
fn check(spec: &str, raw: &Path, global: &Global) -> Outcome {
    let mut registry = global.registry()?;
    let slug = match Path::new(spec) {
        path if path.is_file() => registry.add_file(path)?,
        _ => registry.get(spec)?.slug.clone(),
    };
    let registry = registry.select(std::slice::from_ref(&slug))?;
    let spec = registry.get(&slug)?;
    let tree = Tree::open_within(raw, &global.budget())?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    println!("{slug} against {} files in {}\n", grouped(paths.len() as u64), raw.display());
    let mut found = scan_tree(&registry, &tree, None);
    let prefix = match found.sources.first() {
        Some(source) => source.prefix.clone(),
        None => format!("{}/", tree.name()),
    };
    let names: Vec<String> = paths.iter().map(|path| composed(&format!("{prefix}{path}"))).collect();
    for release in &spec.release {
        println!("release {:?}", release.name);
        release.evidence.iter().for_each(|p| print_matches(spec, "evidence", p, &names));
    }
    for skip in &spec.skip {
        print_matches(spec, "skip", &skip.path, &names);
    }
    for layout in &spec.layout {
        println!("layout {:?}", layout.name);
        layout.image.path.iter().for_each(|p| print_matches(spec, "image", p, &names));
        layout.mask.iter().flat_map(|m| &m.path).for_each(|p| print_matches(spec, "mask", p, &names));
        layout.list.iter().flat_map(|l| &l.path).for_each(|p| print_matches(spec, "list", p, &names));
    }
    for problem in tree.problems() {
        println!("unreadable: {}", printable_line(&format!("{}: {}", problem.path, problem.reason)));
    }
    let lists =
        read_lists(&mut found, &registry, |file| tree.read_text(&tree.members()[file]).map_err(|e| e.to_string()));
    let Some(source) = found.sources.first() else {
        println!("\nThe source is not recognised: no release has a match for each of its evidence patterns.");
        return Ok(ExitCode::FAILURE);
    };
    let complete = source.cases.iter().filter(|c| c.state == CaseState::Complete).count();
    println!("\nRecognised as release {:?}: {complete} case(s) can be built.", source.release);
    print_joins(source, spec, &paths);
    source.notes.iter().for_each(|note| println!("note: {}", printable_line(note)));
    lists.iter().for_each(|(file, reason)| println!("error: {}: {reason}", printable_line(paths[*file])));
    let fitting = print_sample(source, spec, &tree);
    let skipped: Vec<String> = source
        .cases
        .iter()
        .filter_map(|c| match &c.state {
            CaseState::Skipped(reason) | CaseState::Ambiguous(reason) => Some(format!("{}: {reason}", c.id)),
            CaseState::Complete => None,
        })
        .collect();
    if !skipped.is_empty() {
        print!("\nCases that cannot be built:\n{}", at_most(&skipped, 20));
    }
    let unused: Vec<String> = found
        .files
        .iter()
        .zip(&paths)
        .filter_map(|(file, path)| match file {
            FileUse::Used { .. } => None,
            FileUse::Skipped { reason, .. } => Some(format!("{path}: {reason}")),
            FileUse::Unclaimed => Some(format!("{path}: matches no pattern")),
        })
        .collect();
    if !unused.is_empty() {
        print!("\nUnused files:\n{}", at_most(&unused, 40));
    }
    let ambiguous = source.cases.iter().any(|c| matches!(c.state, CaseState::Ambiguous(_)));
    let fits = complete > 0 && fitting && lists.is_empty() && !ambiguous;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_matches(spec: &Spec, what: &str, pattern: &str, names: &[String]) {
    let Ok(compiled) = Pattern::new(pattern, spec.ignore_case) else { return };
    let matched: Vec<&String> = names.iter().filter(|p| compiled.matches(p)).collect();
    println!("  {what:<8} {:>7} match  {pattern}", grouped(matched.len() as u64));
    if let Some(first) = matched.first() {
        println!("  {:>16}        e.g. {}", "", printable_line(first));
    }
}

/// Prints the captures that join images and masks, and captures of only one side that may be mistakes.
fn print_joins(source: &Source, spec: &Spec, paths: &[&str]) {
    for joined in &source.joined {
        let layout = &spec.layout[joined.layout];
        let part = &layout.mask[joined.part];
        let by = match (&part.decode, joined.by.is_empty()) {
            (Decode::RleTable { .. }, _) => "by the rows of a table of masks".to_string(),
            (_, true) => "by folder only: the patterns have no capture in common".to_string(),
            (_, false) => format!("by {}", joined.by.join(", ")),
        };
        let mask = part.path.first().map_or("", String::as_str);
        println!("joined {by}: layout {:?}, mask {mask} ({} image(s))", layout.name, grouped(joined.images as u64));
        let rater = part.rater.as_deref().map(Template::new);
        let of_mask = |name: &&String| {
            let used = rater.iter().flat_map(Template::names).chain(part.label_from.as_deref());
            !used.chain(part.laterality_from.as_deref()).any(|used| used == name.as_str())
        };
        let texts = [Some(&layout.case), layout.patient.as_ref(), layout.split.as_ref(), Some(&layout.image.sequence)];
        let templates: Vec<Template> = texts
            .into_iter()
            .flatten()
            .chain(layout.list.iter().map(|list| &list.key))
            .map(|text| Template::new(text))
            .collect();
        let of_image = |name: &&String| !templates.iter().flat_map(Template::names).any(|used| used == name.as_str());
        for (side, other, names, patterns) in [
            ("mask", "image", joined.mask_only.iter().filter(of_mask).collect::<Vec<_>>(), &part.path),
            ("image", "mask", joined.image_only.iter().filter(of_image).collect(), &layout.image.path),
        ] {
            // Alternatives and suffixes do not distinguish images.
            let open = |name: &&&String| {
                patterns.iter().any(|p| [format!("{{{name}}}"), format!("{{{name}:d")].iter().any(|c| p.contains(c)))
            };
            for name in names.iter().filter(open) {
                println!(
                    "warning: {{{name}}} is in the {side} pattern only and is unused: if it identifies {side}s, rename it to \
                     match the {other} pattern, otherwise replace it with *"
                );
            }
        }
        for (mask, images) in joined.shared.iter().take(3) {
            println!(
                "warning: the mask {} is used by {} images of one sequence, such as {} and {}",
                paths[*mask],
                images.len(),
                paths[images[0]],
                paths[images[images.len() - 1]]
            );
        }
    }
}

/// Reads the first, the middle and the last case of each layout as a build does; true if all succeed.
fn print_sample(source: &Source, spec: &Spec, tree: &Tree) -> bool {
    let mut all_fit = true;
    let (mut first, mut scratch) = (true, slices::Scratch::default());
    for (index, layout) in spec.layout.iter().enumerate() {
        let whole = |case: &&Case| case.layout == index && case.state == CaseState::Complete;
        let cases: Vec<&Case> = source.cases.iter().filter(whole).collect();
        let sample: BTreeSet<usize> = match cases.len() {
            0 => continue,
            n => [0, n / 2, n - 1].into(),
        };
        if std::mem::take(&mut first) {
            println!("\nSample cases, read as in a build:");
        }
        for case in sample.into_iter().map(|at| cases[at]) {
            match slices::cut(case, spec, tree, &slices::Options::default(), &mut scratch) {
                Ok(cut) => {
                    let masks: usize = cut.slices.iter().map(|slice| slice.masks.len()).sum();
                    let size = cut.shape.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(" x ");
                    println!(
                        "  ok: {} ({:?}): {size}, {} of {} slice(s) kept, with {masks} mask(s)",
                        case.id,
                        layout.name,
                        cut.slices.len(),
                        cut.n_slices
                    );
                    cut.notes.iter().for_each(|note| println!("        {}", printable_line(note)));
                }
                Err(slices::Error::Unlabelled { .. }) => println!("  unlabelled: {}", case.id),
                Err(error) => {
                    all_fit = false;
                    println!("  failed: {}: {}", case.id, printable_line(&error.to_string()));
                }
            }
        }
    }
    all_fit
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[test]
    fn check_accepts_its_spec_next_to_the_global_option() {
        let line = ["medcosmos", "sources", "check", "acdc", "--raw", "downloads", "--spec", "own.toml"];
        let arguments = crate::cli::Arguments::try_parse_from(line).unwrap();
        assert_eq!(arguments.global.spec, [std::path::PathBuf::from("own.toml")]);
    }
}
