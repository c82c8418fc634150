//! `medcosmos licences DATASET`: the terms of its sources.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome};
use crate::licences::{CombinedTerms, Permissions, attribution, terms};
use crate::store::Dataset;
use crate::text::{LINE_WIDTH, TextTable};

/// Options of `licences`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  medcosmos licences data/ --attribution > ATTRIBUTION.md")]
pub(super) struct Arguments {
    /// Dataset
    dataset: PathBuf,
    /// Print only the attribution that the licences require, as Markdown
    #[arg(long)]
    attribution: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let terms = terms(&Dataset::open(&arguments.dataset)?)?;
    let combined = CombinedTerms::of(&terms);
    if arguments.attribution {
        print!("{}", attribution(&terms, &Permissions::default()));
    } else if global.json {
        global.print_json(&serde_json::json!({"sources": terms, "whole": combined}))?;
    } else if terms.is_empty() {
        println!("{} contains no sources: nothing was built.", arguments.dataset.display());
    } else {
        let all = || terms.iter();
        let table = TextTable::new()
            .words("source", all().map(|t| Some(t.source.clone())))
            .words("redistribution", all().map(|t| Some(t.share_derived.text().into())))
            .counts("slices", all().map(|t| t.slices))
            .words("licence", all().map(|t| Some(t.licence.clone())))
            .words("terms", all().map(|t| Some(t.terms.clone())));
        print!("{}\n", table.render(LINE_WIDTH));
        println!("Combined terms:");
        combined.sentences().iter().for_each(|sentence| println!("- {sentence}"));
        println!("\n`medcosmos sources show SOURCE` prints the full terms of a source.");
    }
    Ok(ExitCode::SUCCESS)
}
