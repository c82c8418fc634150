//! `medcosmos build RAW --out DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::named::named;
use super::{Failure, Global, Outcome, ReplaceArguments, SOME_FAILED};
use crate::leaks;
use crate::pipeline::{self, BuildOptions, BuildReport, Divided, LeaksReport};
use crate::slices::{self, Raters};
use crate::sources::NearMiss;
use crate::spec::{Intensity, Plane, Registry};
use crate::store::Dataset;
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped};

/// Options of `build`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder of downloads, or one archive; may be in a bucket: s3://BUCKET/PREFIX
    raw: PathBuf,
    /// Folder of the dataset; an interrupted build resumes
    #[arg(long, short, value_name = "DATASET")]
    out: PathBuf,
    /// Build only this source; may be repeated
    #[arg(long, value_name = "SLUG")]
    source: Vec<String>,
    /// Keep masks with more pixels than this (the paper uses 50)
    #[arg(long, default_value_t = 50, value_name = "PIXELS")]
    min_area: u32,
    /// Slice plane of all cases; several are separated by commas [default: per spec]
    #[arg(long, value_parser = named::<Plane>(), value_delimiter = ',')]
    plane: Vec<Plane>,
    /// Scaling of intensities to 8 bits: auto, slice, volume, stored, percentile:LOW:HIGH, window:LOW:HIGH [default:
    /// per spec]
    #[arg(long, value_parser = parse_intensity, value_name = "RULE")]
    intensity: Option<Intensity>,
    /// Raters whose masks are built
    #[arg(long, value_parser = named::<Raters>(), default_value_t)]
    raters: Raters,
    /// One mask per connected component (the paper uses one per label)
    #[arg(long)]
    split_components: bool,
    /// Also run `medcosmos leaks`, which marks duplicates in the tables `leaks` and `duplicates`
    #[arg(long)]
    dedup: bool,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// Stop at the first failed case, including cases whose masks have another origin than the image
    #[arg(long)]
    strict: bool,
}

fn parse_intensity(text: &str) -> Result<Intensity, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |s: &str| s.parse::<f64>().map_err(|_| format!("{s:?} is not a number"));
    match parts[..] {
        ["auto"] => Ok(Intensity::Auto),
        ["slice"] => Ok(Intensity::Slice),
        ["volume"] => Ok(Intensity::Volume),
        ["stored"] => Ok(Intensity::Stored),
        ["percentile", low, high] => Ok(Intensity::Percentile { low: number(low)?, high: number(high)? }),
        ["window", low, high] => Ok(Intensity::Window { low: number(low)?, high: number(high)? }),
        _ => Err("expected auto, slice, volume, stored, percentile:LOW:HIGH or window:LOW:HIGH".into()),
    }
}

/// The output with `--json`.
#[derive(serde::Serialize)]
struct Reports<'a> {
    #[serde(flatten)]
    build: &'a BuildReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaks: Option<&'a LeaksReport>,
}

impl Arguments {
    fn registry(&self, global: &Global) -> Result<Registry, Failure> {
        Ok(global.registry()?.select(&self.source)?)
    }

    fn options(&self, global: &Global) -> BuildOptions {
        BuildOptions {
            slices: slices::Options {
                min_area: self.min_area,
                planes: self.plane.clone(),
                intensity: self.intensity,
                raters: self.raters,
                split_components: self.split_components,
            },
            existing: self.replace.existing(),
            open_work: global.open_work,
            strict: self.strict,
            budget: global.budget(),
        }
    }

    /// Hands the work of the build to `with`.
    pub(super) fn divided<T>(
        &self,
        global: &Global,
        with: impl FnOnce(&Dataset, &dyn Divided) -> T,
    ) -> Result<T, Failure> {
        let (registry, options) = (self.registry(global)?, self.options(global));
        Ok(pipeline::divided_build(&self.raw, &self.out, &registry, &options, &global.progress(), with)?)
    }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let (registry, options) = (arguments.registry(global)?, arguments.options(global));
    let report = pipeline::build(&arguments.raw, &arguments.out, &registry, &options, &global.progress())?;
    let leaks = match arguments.dedup && !report.empty() {
        true => {
            let dataset = Dataset::open(&arguments.out)?;
            let existing = arguments.replace.existing();
            let options = leaks::Options::default();
            Some(pipeline::leaks(&dataset, &global.registry()?, &options, existing, &global.progress())?)
        }
        false => None,
    };
    if global.json {
        global.print_json(&Reports { build: &report, leaks: leaks.as_ref() })?;
    } else {
        print(&report);
        if let Some(leaks) = &leaks {
            println!("");
            super::leaks::print(leaks);
        }
        println!("\nDataset: {}", arguments.out.display());
    }
    Ok(match (report.clean(), report.empty()) {
        (false, _) => ExitCode::from(SOME_FAILED),
        (true, true) => ExitCode::FAILURE,
        (true, false) => ExitCode::SUCCESS,
    })
}

/// Prints notes on the sources, and the sources that are almost recognised.
pub(super) fn print_notes<'a>(notes: impl Iterator<Item = (&'a str, &'a [String])>, near: &[NearMiss]) {
    let of_source = notes.flat_map(|(slug, notes)| notes.iter().map(move |note| format!("note on {slug}: {note}")));
    of_source.for_each(|line| println!("{line}"));
    for near in near {
        println!("almost recognised: {}: run `medcosmos sources check {} --raw …`", near.says, near.source);
    }
}

/// Prints the summary of a build.
pub(super) fn print(report: &BuildReport) {
    let sources = || report.sources.values();
    let table = TextTable::new()
        .words("source", report.sources.keys().cloned().map(Some))
        .counts("cases", sources().map(|s| s.cases))
        .counts("skipped", sources().map(|s| s.skipped.len() as u64))
        .counts("failed", sources().map(|s| s.failed.len() as u64))
        .counts("slices", sources().map(|s| s.slices))
        .counts("masks", sources().map(|s| s.masks))
        .counts("too small", sources().map(|s| s.dropped_masks))
        .counts("files used", sources().map(|s| s.files_used))
        .counts("unused", sources().map(|s| s.files_skipped));
    print!("{}", table.render(LINE_WIDTH));
    println!(
        "(skipped and failed count cases, too small counts masks; the table `files` has the reason for each unused \
         file)"
    );
    for (slug, source) in report.sources.iter().filter(|(_, source)| source.pseudonyms > 0) {
        println!(
            "{slug}: the identifiers of {} patient(s) look like personal names or birth dates and are replaced by \
             anon-…",
            source.pseudonyms
        );
    }
    println!("\nPlacement of masks on images:");
    for (slug, source) in &report.sources {
        if !source.joined.is_empty() {
            println!("  {slug}: {}", source.joined.join("; "));
        }
        for (placement, cases) in &source.placements {
            println!("  {slug}: {} case(s) {placement}: {}", grouped(*cases), placement.meaning());
        }
    }
    print_notes(report.sources.iter().map(|(slug, source)| (slug.as_str(), &source.notes[..])), &report.near);
    let list = |title: &str, pick: fn(&pipeline::SourceReport) -> &Vec<(String, String)>, limit: usize| {
        let lines: Vec<String> =
            report.sources.values().flat_map(pick).map(|(case, reason)| format!("{case}: {reason}")).collect();
        if !lines.is_empty() {
            print!("\n{title}\n{}", at_most(&lines, limit));
        }
    };
    list("Skipped:", |s| &s.skipped, 10);
    list("Failed:", |s| &s.failed, 100);
    if !report.problems.is_empty() {
        let lines: Vec<String> = report.problems.iter().map(|(path, reason)| format!("{path}: {reason}")).collect();
        print!("\nUnreadable:\n{}", at_most(&lines, 100));
    }
    super::scan::print_links(&report.links);
    match &report.chosen {
        _ if report.unclaimed.is_empty() => {}
        Some(chosen) => {
            println!("\n{} file(s) match none of the selected sources ({})", report.unclaimed.len(), chosen.join(", "));
        }
        None => print!("\n{} file(s) match no source:\n{}", report.unclaimed.len(), at_most(&report.unclaimed, 5)),
    }
    if !report.lost.is_empty() {
        print!(
            "\nNo longer in the dataset, because their files are missing, damaged or excluded by an option:\n{}",
            at_most(&report.lost, 20)
        );
    }
    if let Some(sentence) = report.outdated.sentence() {
        println!("\n{sentence}");
    }
    if report.empty() {
        println!(
            "\nNo case was built: see the reasons above, or run `medcosmos sources check SLUG --raw …` to test each pattern."
        );
    }
}
