//! `medcosmos leaks DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome, ReplaceArguments};
use crate::leaks::Options;
use crate::pipeline::{self, LeaksReport};
use crate::store::Dataset;
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped};

/// Options of `leaks`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A leak is the same image under two patients, or in two official splits of one patient: with equal
pixels (exact), in another encoding (near), or as stated by the sources (declared). Leaks are
recorded in the tables `leaks` and `duplicates`; nothing is deleted. `medcosmos split` keeps
linked patients together.

Examples:
  medcosmos leaks data/
  medcosmos leaks data/ --fail-on-leak --quiet
  medcosmos query data/ \"SELECT * FROM leaks WHERE kind = 'near' ORDER BY similarity\"")]
pub(super) struct Arguments {
    /// Dataset made by `build`
    dataset: PathBuf,
    #[command(flatten)]
    thresholds: Thresholds,
    /// Exit with status 1 if a leak is found
    #[arg(long)]
    fail_on_leak: bool,
    #[command(flatten)]
    replace: ReplaceArguments,
}

/// [`Options`] on the command line.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Thresholds {
    /// Minimum similarity of two single images: the correlation of their local contrast, at most 1
    #[arg(long, default_value_t = Options::default().picture, value_parser = share, value_name = "R")]
    image_similarity: f64,
    /// Minimum similarity of the compared slices of two volumes
    #[arg(long, default_value_t = Options::default().volume, value_parser = share, value_name = "R")]
    volume_similarity: f64,
    /// Minimum share of the slices of the smaller volume that match a slice of the other, in order
    #[arg(long, default_value_t = Options::default().share, value_parser = share, value_name = "SHARE")]
    volume_share: f64,
}

/// A number greater than 0 and at most 1.
fn share(text: &str) -> Result<f64, String> {
    let value = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if value > 0.0 && value <= 1.0 { Ok(value) } else { Err("expected a number greater than 0 and at most 1".into()) }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let Thresholds { image_similarity, volume_similarity, volume_share } = arguments.thresholds;
    let options = Options { picture: image_similarity, volume: volume_similarity, share: volume_share };
    let dataset = Dataset::open(&arguments.dataset)?;
    let existing = arguments.replace.existing();
    let report = pipeline::leaks(&dataset, &global.registry()?, &options, existing, &global.progress())?;
    match global.json {
        true => global.print_json(&report)?,
        false => print(&report),
    }
    Ok(if arguments.fail_on_leak && report.leaks() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints the leaks.
pub(super) fn print(report: &LeaksReport) {
    let LeaksReport { slices, patients, links, groups, grouped_patients, duplicates, repeated, .. } = report;
    if links.is_empty() {
        println!("No leak among {} slices of {} patients", grouped(*slices), grouped(*patients));
    } else {
        let table = TextTable::new()
            .words("source", links.iter().map(|link| Some(link.source.clone())))
            .words("and", links.iter().map(|link| Some(link.other.clone())))
            .words("kind", links.iter().map(|link| Some(link.kind.to_string())))
            .counts("pairs of patients", links.iter().map(|link| link.pairs))
            .counts("slices", links.iter().map(|link| link.slices))
            .counts("across splits", links.iter().map(|link| link.crossing));
        print!("{}", table.render(LINE_WIDTH));
        println!(
            "\n{} of {} patients are linked, in {} group(s). {} of {} slices duplicate another one; keeping the first of\n\
             each removes {} (tables leaks and duplicates)",
            grouped(*grouped_patients),
            grouped(*patients),
            grouped(*groups),
            grouped(*duplicates),
            grouped(*slices),
            grouped(*repeated)
        );
    }
    if !report.crossing.is_empty() {
        let line = |c: &pipeline::Crossing| {
            format!(
                "{} ({}) and {} ({}): {}",
                c.patient,
                c.splits.join(", "),
                c.other,
                c.other_splits.join(", "),
                c.kind
            )
        };
        let lines: Vec<String> = report.crossing.iter().map(line).collect();
        print!("\nAcross the official splits:\n{}", at_most(&lines, 10));
    }
    if !report.unmapped.is_empty() {
        println!("\nOverlaps stated by the sources, without a mapping of patients:");
        for overlap in &report.unmapped {
            let pairs = grouped(overlap.pairs);
            println!("  {} and {}: {}", overlap.source, overlap.other, overlap.note);
            println!("    {pairs} pair(s) of patients found by their pixels");
        }
    }
    if let Some(sentence) = report.outdated.sentence() {
        println!("\n{sentence}");
    }
}
