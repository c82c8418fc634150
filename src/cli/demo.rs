//! `medcosmos demo`.
use super::{Global, Outcome};
use std::process::ExitCode;
/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}
pub(super) fn run(_: &Arguments, _: &Global) -> Outcome {
    Ok(ExitCode::SUCCESS)
}
