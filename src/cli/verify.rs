//! `medcosmos verify PATH`: checks that downloads or a dataset are complete and unaltered.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::{Failure, Global, Outcome, shell_word};
use crate::integrity::{
    DatasetReport, DeepReport, DownloadsOptions, DownloadsReport, Finding, count_kinds, verify_dataset, verify_deep,
    verify_downloads,
};
use crate::store::{Dataset, Repair, Stage, audit};
use crate::text::{LINE_WIDTH, TextTable, at_most, byte_size, grouped};

/// Options of `verify`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A folder with dataset.json is a dataset; everything else is treated as downloads. Every file is\n\
                  read. The exit status is 0 only if there are no faults.\n\n\
                  Examples:\n  \
                  medcosmos verify downloads/ --write          check the downloads and write checksums.tsv\n  \
                  medcosmos verify downloads/                  check the downloads against checksums.tsv\n  \
                  medcosmos verify data/                       check every file and row of a dataset\n  \
                  medcosmos verify data/ --deep downloads/     also rebuild the dataset and compare all bytes"
)]
pub(super) struct Arguments {
    /// Folder of downloads, an archive (both may be in a bucket: s3://BUCKET/PREFIX), or a dataset
    path: PathBuf,
    /// Downloads: check only this source; may be repeated
    #[arg(long, value_name = "SLUG")]
    source: Vec<String>,
    /// Downloads: write the checksums of all files, including those in archives
    #[arg(long, conflicts_with = "source")]
    write: bool,
    /// Downloads: file of checksums [default: checksums.tsv in the folder, or next to the archive]
    #[arg(long, value_name = "FILE")]
    checksums: Option<PathBuf>,
    /// Dataset: rebuild every shard from these downloads and compare its bytes
    #[arg(long, value_name = "RAW", conflicts_with_all = ["source", "write", "checksums"])]
    deep: Option<PathBuf>,
    /// Dataset: list what a repair would do: sweep leftovers of interrupted runs, and mark damaged shards to be done
    /// again
    #[arg(long, conflicts_with_all = ["source", "write", "checksums", "deep"])]
    repair: bool,
    /// Repair the dataset instead of listing
    #[arg(long, requires = "repair")]
    apply: bool,
    /// With --repair --apply: also remove finished predictions that the dataset does not list
    #[arg(long, requires = "apply")]
    remove_predictions: bool,
}

/// Number of findings printed per kind; `--json` lists all of them.
const LISTED: usize = 20;

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let is_dataset = Dataset::is_at(&arguments.path) || Dataset::was_at(&arguments.path);
    let sound = if is_dataset { of_dataset(arguments, global)? } else { of_downloads(arguments, global)? };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_downloads(arguments: &Arguments, global: &Global) -> Result<bool, Failure> {
    let of_datasets = [("--deep", arguments.deep.is_some()), ("--repair", arguments.repair)];
    if let Some((option, _)) = of_datasets.iter().find(|(_, given)| *given) {
        let path = arguments.path.display();
        return Err(format!("{path}: {option} requires a dataset, but the folder has no dataset.json").into());
    }
    let registry = global.registry()?.select(&arguments.source)?;
    let options = DownloadsOptions {
        write: arguments.write,
        checksums: arguments.checksums.clone(),
        only_sources: !arguments.source.is_empty(),
        budget: global.budget(),
    };
    let report = verify_downloads(&arguments.path, &registry, &options, &global.progress())?;
    if global.json {
        print_json(global, &report, &report.findings, report.sound())?;
    } else {
        print_downloads(&report, arguments);
    }
    Ok(report.sound())
}

fn of_dataset(arguments: &Arguments, global: &Global) -> Result<bool, Failure> {
    let path = arguments.path.display();
    if arguments.write || arguments.checksums.is_some() || !arguments.source.is_empty() {
        return Err(
            format!("{path}: --write, --checksums and --source apply to downloads, but this is a dataset").into()
        );
    }
    let dataset = Dataset::open(&arguments.path)?;
    let progress = global.progress();
    if arguments.repair {
        return repair(&dataset, arguments, global);
    }
    let report = verify_dataset(&dataset, &progress)?;
    let deep = match &arguments.deep {
        Some(raw) => Some(verify_deep(&dataset, raw, global.registry()?, &global.budget(), &progress)?),
        None => None,
    };
    let sound = report.sound() && deep.as_ref().is_none_or(DeepReport::sound);
    let deep_findings = deep.iter().flat_map(|deep| &deep.findings);
    let findings: Vec<Finding> = report.findings.iter().chain(deep_findings).cloned().collect();
    if global.json {
        #[derive(Serialize)]
        struct Both<'a> {
            #[serde(flatten)]
            dataset: &'a DatasetReport,
            deep: &'a Option<DeepReport>,
        }
        print_json(global, &Both { dataset: &report, deep: &deep }, &findings, sound)?;
        return Ok(sound);
    }
    println!("{path}: {} finished shard(s), every file and row checked\n", grouped(report.shards));
    let table = TextTable::new()
        .words("table", report.rows.keys().cloned().map(Some))
        .counts("rows", report.rows.values().copied());
    print!("{}", table.render(LINE_WIDTH));
    if let Some(deep) = &deep {
        println!(
            "\nRebuilt from {}: {} raw file(s) read, {} of {} shard(s) are byte-identical.",
            deep.raw,
            grouped(deep.raw_files),
            grouped(deep.same),
            grouped(deep.shards)
        );
    }
    print_findings(&findings);
    Ok(sound)
}

/// Lists what a repair does, and does it if asked. True where nothing is left to do.
fn repair(dataset: &Dataset, arguments: &Arguments, global: &Global) -> Result<bool, Failure> {
    global.progress().say("digests of all files");
    let audit = audit(dataset)?;
    let repair = Repair::plan(dataset, &audit)?;
    if arguments.apply {
        repair.apply(dataset, &audit, arguments.remove_predictions)?;
    }
    let predictions_stay = !arguments.remove_predictions;
    if global.json {
        global.print_json(&repair)?;
        return Ok(arguments.apply || repair.is_empty());
    }
    let (done, path) = (arguments.apply, arguments.path.display());
    let list = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            print!("\n{title}\n{}", at_most(&lines, LISTED));
        }
    };
    let verb = |now: &str, then: &str| if done { now.to_string() } else { then.to_string() };
    println!("{path}: {}", verb("repaired", "nothing is changed yet; add --apply to repair"));
    let redo = repair.redo.iter().map(|(receipt, stage)| format!("{receipt}: run `{}` again", command_of(*stage)));
    list(
        &verb("Damaged shards, taken out of the dataset:", "Damaged shards, to be taken out of the dataset:"),
        redo.collect(),
    );
    list(&verb("Receipts, written anew:", "Receipts, to be written anew:"), repair.restored.clone());
    list(
        &verb("In the way, moved to .medcosmos/aside:", "In the way, to be moved to .medcosmos/aside:"),
        repair.in_the_way.clone(),
    );
    list(&verb("Leftovers, removed:", "Leftovers, to be removed:"), repair.leftovers.clone());
    if repair.manifest {
        list(&verb("Written anew:", "To be written anew:"), vec!["manifest.json, from the receipts".to_string()]);
    }
    let predictions = repair.predictions.iter().map(|(path, n)| format!("{path}: {} predictions", grouped(*n)));
    let title = match (done, predictions_stay) {
        (true, false) => "Predictions that the dataset does not list, removed:",
        _ => {
            "Predictions that the dataset does not list; the same `predict` uses them, and a `build` those that fit; \
             --remove-predictions removes them for good:"
        }
    };
    list(title, predictions.collect());
    list("Files that medcosmos did not write, left alone:", repair.foreign.clone());
    if repair.is_empty() {
        println!("\nNothing to repair.");
    }
    Ok(done || repair.is_empty())
}

/// The command that does a stage.
fn command_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Build | Stage::Files => "medcosmos build",
        Stage::Leaks => "medcosmos leaks",
        Stage::Split => "medcosmos split",
        Stage::Predict => "medcosmos predict (or import)",
        Stage::Factors | Stage::Evaluate => "medcosmos evaluate",
    }
}

/// A report with its verdict.
fn print_json(global: &Global, report: &impl Serialize, findings: &[Finding], sound: bool) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Judged<'a, R> {
        sound: bool,
        /// Faults and remarks by kind.
        kinds: std::collections::BTreeMap<&'static str, [u64; 2]>,
        #[serde(flatten)]
        report: &'a R,
    }
    let kinds = count_kinds(findings).into_iter().map(|(kind, counts)| (kind.name(), counts)).collect();
    global.print_json(&Judged { sound, kinds, report })
}

fn print_downloads(report: &DownloadsReport, arguments: &Arguments) {
    println!("{}: {} file(s) of {} read\n", report.path, grouped(report.files), byte_size(report.bytes));
    let sources = || report.sources.iter();
    let faults = |slug: &str| report.findings.iter().filter(|f| f.fault && f.source.as_deref() == Some(slug)).count();
    if report.sources.is_empty() {
        println!("No known source found. There is no dataset.json either, so the files were checked as downloads.");
    } else {
        let expected = sources().map(|s| s.cases.expected.map_or_else(String::new, grouped)).collect();
        let table = TextTable::new()
            .words("source", sources().map(|s| Some(s.cases.source.clone())))
            .words("release", sources().map(|s| Some(s.cases.release.clone())))
            .counts("files", sources().map(|s| s.files))
            .aligned_right("size", sources().map(|s| byte_size(s.bytes)).collect())
            .counts("cases", sources().map(|s| s.cases.cases))
            .aligned_right("expected", expected)
            .words("state", sources().map(|s| Some(s.cases.state.clone())))
            .counts("faults", sources().map(|s| faults(&s.cases.source) as u64));
        print!("{}", table.render(LINE_WIDTH));
    }
    match &report.checksums {
        Some(list) if list.written => {
            println!("\nChecksums of {} file(s) written to {}", grouped(list.listed), list.file);
        }
        Some(list) => {
            let (same, listed) = (grouped(list.same), grouped(list.listed));
            println!("\nChecksums: {same} of {listed} file(s) match {}.", list.file);
        }
        None => {
            let path = shell_word(&arguments.path.display().to_string());
            println!("\nNo checksums to compare with: `medcosmos verify {path} --write` creates them.");
        }
    }
    super::scan::print_links(&report.links);
    print_findings(&report.findings);
}

fn print_findings(findings: &[Finding]) {
    for (title, fault) in [("Faults", true), ("Remarks", false)] {
        let of_kind = |kind| findings.iter().filter(move |f| f.kind == kind && f.fault == fault);
        let counts: Vec<_> = count_kinds(findings)
            .into_iter()
            .map(|(kind, n)| (kind, n[usize::from(!fault)]))
            .filter(|(_, n)| *n > 0)
            .collect();
        if counts.is_empty() {
            continue;
        }
        println!("\n{title}\n");
        let table = TextTable::new()
            .words("kind", counts.iter().map(|(kind, _)| Some(kind.name().to_string())))
            .counts("number", counts.iter().map(|(_, n)| *n))
            .words("meaning", counts.iter().map(|(kind, _)| Some(kind.about().to_string())));
        print!("{}", table.render(LINE_WIDTH));
        for (kind, _) in counts {
            println!("\n{}", kind.name());
            let lines: Vec<String> = of_kind(kind).map(line).collect();
            print!("{}", at_most(&lines, LISTED));
        }
    }
    let faults = findings.iter().filter(|finding| finding.fault).count() as u64;
    match faults {
        0 => println!("\nNo faults."),
        1 => println!("\n1 fault."),
        n => println!("\n{} faults.", grouped(n)),
    }
}

/// `path: id: problem`, without the parts that are missing.
fn line(finding: &Finding) -> String {
    let source = finding.source.iter().filter(|_| finding.path.is_empty() && finding.id.is_none());
    let path = Some(&finding.path).filter(|path| !path.is_empty());
    let parts: Vec<&str> = source.chain(path).chain(&finding.id).chain([&finding.says]).map(String::as_str).collect();
    parts.join(": ")
}
