//! `medcosmos commit DATASET PLAN`.

use std::path::PathBuf;

use super::planned::command_of;
use super::{Global, Outcome, dispatch};
use crate::pipeline::OpenWork;
use crate::store::Dataset;

/// Options of `commit`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Prints what the command of the stage prints. Where shards are not done, it says how many, and the dataset \
                  stays as it is."
)]
pub(super) struct Arguments {
    /// Dataset with the plan
    dataset: PathBuf,
    /// Name of the plan: build, evaluate, or predict-MODEL
    plan: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let plans = dataset.plans()?;
    let Some(plan) = plans.iter().find(|plan| plan.name == arguments.plan) else {
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        let known = if names.is_empty() { "it has none".to_string() } else { format!("it has {}", names.join(", ")) };
        return Err(format!("the dataset has no plan {:?}; {known}. `medcosmos plan` makes one", arguments.plan).into());
    };
    let mut parsed = command_of(plan, global)?;
    parsed.global.open_work = OpenWork::Refuse;
    dispatch(&parsed.command, &parsed.global)
}
