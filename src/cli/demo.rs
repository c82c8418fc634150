//! `medcosmos demo`.
use std::process::ExitCode;
use super::{Global, Outcome};
/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}
pub(super) fn run(_: &Arguments, _: &Global) -> Outcome { Ok(ExitCode::SUCCESS) }
