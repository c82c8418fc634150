//! `medcosmos leaks DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome};
use crate::leaks::Options;
use crate::pipeline::{self, LeaksReport};
use crate::store::Dataset;
use crate::text::{LINE_WIDTH, TextTable, at_most, grouped};

/// Options of `leaks`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A leak is the same image under two patients, or in two official splits of one patient: with the same pixels (exact), in
another encoding (near), or because the sources say so (declared). The tables `leaks` and `duplicates` hold what was
found; nothing is deleted. `medcosmos split` keeps patients together that are linked.

Examples:
  medcosmos leaks data/
  medcosmos leaks data/ --fail-on-leak --quiet
  medcosmos query data/ \"SELECT * FROM leaks WHERE kind = 'near' ORDER BY similarity\"")]
pub(super) struct Arguments {
    /// Dataset that was built
    dataset: PathBuf,
    #[command(flatten)]
    thresholds: Thresholds,
    /// Exit with status 1 where a leak is found
    #[arg(long)]
    fail_on_leak: bool,
}

/// [`Options`] on the command line.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Thresholds {
    /// Least likeness of two single pictures: correlation of their local contrast, up to 1
    #[arg(long, default_value_t = Options::default().picture, value_parser = likeness, value_name = "R")]
    picture_likeness: f64,
    /// Least likeness of the slices of two volumes that are compared closely
    #[arg(long, default_value_t = Options::default().volume, value_parser = likeness, value_name = "R")]
    volume_likeness: f64,
    /// Share of the slices of the smaller volume that must have a twin in the other, in order
    #[arg(long, default_value_t = Options::default().share, value_parser = likeness, value_name = "SHARE")]
    volume_share: f64,
}

/// A number above 0 and up to 1.
fn likeness(text: &str) -> Result<f64, String> {
    let value = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if value > 0.0 && value <= 1.0 { Ok(value) } else { Err("expected a number above 0 and up to 1".into()) }
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let Thresholds { picture_likeness, volume_likeness, volume_share } = arguments.thresholds;
    let options = Options { picture: picture_likeness, volume: volume_likeness, share: volume_share };
    let dataset = Dataset::open(&arguments.dataset)?;
    let report = pipeline::leaks(&dataset, &global.registry()?, &options, &global.progress())?;
    match global.json {
        true => global.print_json(&report)?,
        false => print(&report),
    }
    Ok(if arguments.fail_on_leak && report.leaks() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints what was found.
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
            "\n{} of {} patients are linked, in {} group(s); {} of {} slices show what another one shows, {} of them not\n\
             as the first (tables leaks and duplicates)",
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
        println!("\nShared by what is known of the sources, which do not say who is who:");
        for overlap in &report.unmapped {
            let pairs = grouped(overlap.pairs);
            println!("  {} and {}: {}", overlap.source, overlap.other, overlap.note);
            println!("    the pixels show {pairs} pair(s) of patients");
        }
    }
    if report.splits_removed {
        println!("\nThe splits were made from other leaks and are removed: run `medcosmos split` again");
    }
}
