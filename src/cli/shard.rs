//! `medcosmos shard run DATASET ID…`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::planned::run_shards;
use super::{Global, Outcome, SOME_FAILED};

/// Options of `shard`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Run shards of plans that are stored in a dataset
    Run {
        /// Dataset with the plan
        dataset: PathBuf,
        /// Ids of shards, as `medcosmos plan --ids` lists them
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let Action::Run { dataset, ids } = &arguments.command;
    let (mut failed, mut ran) = (0, 0);
    run_shards(dataset, ids.iter().map(|id| Ok(id.clone())), global, |answer| {
        match answer.is_failed() {
            true => failed += 1,
            false => ran += 1,
        }
        match global.json {
            true => println!("{}", serde_json::to_string(answer)?),
            false => println!("{}", answer.line()),
        }
        Ok(())
    })?;
    Ok(match (failed, ran) {
        (0, _) => ExitCode::SUCCESS,
        (_, 0) => ExitCode::FAILURE,
        _ => ExitCode::from(SOME_FAILED),
    })
}
