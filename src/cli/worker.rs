//! `medcosmos worker DATASET`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use super::planned::run_shards;
use super::{Failure, Global, Outcome};

/// Options of `worker`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Downloads stay scanned and the model stays loaded while the ids are those of one plan. The worker ends \
                  at the end of standard input; a shard that fails does not end it."
)]
pub(super) struct Arguments {
    /// Dataset with the plans
    dataset: PathBuf,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let lines = io::stdin().lines().map(|line| Ok::<_, Failure>(line?.trim().to_string()));
    let ids = lines.filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()));
    run_shards(&arguments.dataset, ids, global, |answer| {
        println!("{}", serde_json::to_string(answer)?);
        Ok(io::stdout().flush()?)
    })?;
    Ok(ExitCode::SUCCESS)
}
