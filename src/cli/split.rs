//! `medcosmos split DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome, ReplaceArguments};
use crate::pipeline::{self, SplitCheck, SplitOptions, SplitReport};
use crate::splits::SplitPlan;
use crate::store::Dataset;
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped};

/// Options of `split`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every patient, and every group of patients that `medcosmos leaks` links, is assigned to one split.
Official splits are kept; a group that spans several goes to train. All other patients are
assigned so that each target is represented in proportion. The table `splits` holds the result.
With --folds, patients of an official test set are in no fold.

Examples:
  medcosmos split data/
  medcosmos split data/ --fractions train=0.8,test=0.2 --seed 7
  medcosmos split data/ --folds 5
  medcosmos split data/ --check")]
pub(super) struct Arguments {
    /// Dataset made by `build`
    dataset: PathBuf,
    /// Names and fractions of the splits; the fractions sum to 1
    #[arg(
        long,
        value_parser = parse_fractions,
        default_value = "train=0.7,validation=0.1,test=0.2",
        value_name = "NAME=SHARE,…",
        conflicts_with = "folds"
    )]
    fractions: Fractions,
    /// Number of folds of equal size, instead of splits
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=1000), value_name = "K")]
    folds: Option<u32>,
    /// Seed that breaks ties between equally good assignments
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Assign the patients of official splits like all others
    #[arg(long)]
    ignore_official: bool,
    #[command(flatten)]
    replace: ReplaceArguments,
    /// Only check that no patient and no leak group in the table is in two splits
    #[arg(long)]
    check: bool,
}

/// Splits and their fractions.
#[derive(Clone, Debug)]
struct Fractions(Vec<(String, f64)>);

fn parse_fractions(text: &str) -> Result<Fractions, String> {
    let mut parts: Vec<(String, f64)> = Vec::new();
    for part in text.split(',') {
        let (name, share) = part.split_once('=').ok_or_else(|| format!("expected NAME=SHARE, found {part:?}"))?;
        let share: f64 = share.trim().parse().map_err(|_| format!("{share:?} is not a number"))?;
        let name = name.trim().to_string();
        if name.is_empty() || !(share > 0.0 && share <= 1.0) {
            return Err(format!("{part:?}: expected a name and a fraction greater than 0 and at most 1"));
        }
        if parts.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name:?} is given twice"));
        }
        parts.push((name, share));
    }
    let sum: f64 = parts.iter().map(|(_, share)| share).sum();
    if (sum - 1.0).abs() > 1e-6 {
        return Err(format!("the fractions sum to {sum}, expected 1"));
    }
    Ok(Fractions(parts))
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    if arguments.check {
        let check = pipeline::check_split(&dataset, &global.progress())?;
        match global.json {
            true => global.print_json(&check)?,
            false => print_check(&check),
        }
        return Ok(exit(&check.problems));
    }
    let plan = match arguments.folds {
        Some(folds) => SplitPlan::Folds(folds),
        None => SplitPlan::Fractions(arguments.fractions.0.clone()),
    };
    let options = SplitOptions { plan, seed: arguments.seed, ignore_official: arguments.ignore_official };
    let report = pipeline::split(&dataset, &options, arguments.replace.existing(), &global.progress())?;
    match global.json {
        true => global.print_json(&report)?,
        false => print(&report),
    }
    Ok(exit(&report.problems))
}

fn exit(problems: &[String]) -> ExitCode {
    if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(report: &SplitReport) {
    let parts = &report.parts;
    let total = parts.iter().map(|part| part.slices).sum::<u64>().max(1) as f64;
    let table = TextTable::new()
        .words("split", parts.iter().map(|part| Some(part.name.clone())))
        .counts("patients", parts.iter().map(|part| part.patients))
        .counts("official", parts.iter().map(|part| part.official))
        .counts("slices", parts.iter().map(|part| part.slices))
        .numbers("% of slices", parts.iter().map(|part| Some(100.0 * part.slices as f64 / total)))
        .counts("masks", parts.iter().map(|part| part.masks));
    println!("{}", table.render(LINE_WIDTH));
    let mut table = TextTable::new()
        .words("target", report.targets.keys().cloned().map(Some))
        .counts("masks", report.targets.values().map(|n| n.iter().sum()));
    for (at, part) in parts.iter().enumerate() {
        let share = |n: &Vec<u64>| Some(100.0 * n[at] as f64 / n.iter().sum::<u64>().max(1) as f64);
        table = table.numbers(&format!("% {}", part.name), report.targets.values().map(share));
    }
    print!("{}", table.render(LINE_WIDTH));
    if !report.straddling.is_empty() {
        println!("\nPatients that are linked across official splits, all assigned to train:");
        print!("{}", at_most(&report.straddling, 20));
    }
    if !report.unknown_official.is_empty() {
        let names = report.unknown_official.join(", ");
        println!("\nNo split is named {names}: patients of that official split are assigned like all others");
    }
    println!("");
    if !report.leaks_known {
        println!("`medcosmos leaks` has not been run on this build: only patients with equal pixels are kept together");
    }
    match report.problems.is_empty() {
        true => println!("Checked: no patient and none of {} leak group(s) is in two splits", grouped(report.groups)),
        false => print!("The split is invalid:\n{}", at_most(&report.problems, 100)),
    }
    report.outdated.sentence().iter().for_each(|sentence| println!("{sentence}"));
}

fn print_check(check: &SplitCheck) {
    let SplitCheck { patients, links, leaks_known, problems } = check;
    if !leaks_known {
        println!("`medcosmos leaks` has not been run on this build: only patients with equal pixels count as linked");
    }
    match problems.is_empty() {
        true => println!(
            "The split is valid: none of {} patients and {} link(s) between them is in two splits",
            grouped(*patients),
            grouped(*links)
        ),
        false => print!("The split is invalid:\n{}", at_most(problems, 100)),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_fractions;

    #[test]
    fn shares_must_be_whole() {
        assert_eq!(parse_fractions("a=0.5, b=0.5").unwrap().0, [("a".to_string(), 0.5), ("b".to_string(), 0.5)]);
        for (text, word) in [
            ("a=0.5", "sum to 0.5"),
            ("a", "NAME=SHARE"),
            ("a=x", "number"),
            ("a=0,b=1", "greater than 0"),
            ("a=0.5,a=0.5", "twice"),
        ] {
            let error = parse_fractions(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
