//! `medcosmos schema`: every column of every table.

use std::process::ExitCode;

use super::{Global, Outcome};
use crate::store::schema;

/// Options of `schema`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print Markdown, as in a dataset card
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(arguments: &Arguments, _: &Global) -> Outcome {
    print!("{}", if arguments.markdown { schema::to_markdown() } else { schema::to_text() });
    Ok(ExitCode::SUCCESS)
}
