//! `medcosmos plan STAGE …`.

use std::process::ExitCode;

use clap::CommandFactory;
use serde::Serialize;

use super::planned::{divided, words};
use super::{Failure, Global, Outcome, build, evaluate, predict};
use crate::pipeline::{SHARD_SECONDS, WorkShard};
use crate::store::{Dataset, PlannedShard, StoredPlan};
use crate::text::grouped;

/// Options of `plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The plan is stored in the dataset. `medcosmos shard run` and `medcosmos worker` run its shards, on any \
                  host that sees the dataset, and `medcosmos commit` commits the stage."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    stage: Stage,
    /// Print the ids of the shards that are not done, one per line
    #[arg(long, global = true)]
    ids: bool,
    /// Seconds of work in a shard, about, by estimate
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = SHARD_SECONDS, value_parser = seconds)]
    shard_seconds: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().map_err(|e| e.to_string())?;
    if seconds > 0.0 && seconds.is_finite() { Ok(seconds) } else { Err("expected a number above 0".into()) }
}

/// The stages that have plans, with the arguments of their commands.
#[derive(Debug, clap::Subcommand)]
enum Stage {
    /// Plan `medcosmos build`
    Build(build::Arguments),
    /// Plan `medcosmos predict`
    Predict(predict::Arguments),
    /// Plan `medcosmos evaluate`
    Evaluate(evaluate::Arguments),
}

/// The output with `--json`.
#[derive(Serialize)]
struct Printed<'a> {
    plan: &'a str,
    dataset: String,
    shards: Vec<PrintedShard<'a>>,
    /// Estimated seconds of the open shards.
    seconds: f64,
}

#[derive(Serialize)]
struct PrintedShard<'a> {
    #[serde(flatten)]
    planned: &'a PlannedShard,
    state: &'static str,
    attempts: usize,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let given = super::Arguments::command().get_matches();
    let given = given.subcommand_matches("plan").and_then(clap::ArgMatches::subcommand);
    let (stage, given) = given.ok_or("the stage is missing")?;
    let words = words(stage, given)?;
    // The arguments as the command of the stage has them.
    let parsed = <super::Arguments as clap::Parser>::try_parse_from(["medcosmos".to_string()].iter().chain(&words))?;
    let name = match &arguments.stage {
        Stage::Build(_) => "build".to_string(),
        Stage::Evaluate(_) => "evaluate".to_string(),
        Stage::Predict(predict) => format!("predict-{}", predict.name_of_model()?),
    };
    let Arguments { ids, shard_seconds, .. } = *arguments;
    divided(&parsed.command, global, shard_seconds, |dataset, stage, shards| {
        stage.admit()?;
        let done = WorkShard::are_done(&shards, stage)?;
        let plan = StoredPlan {
            command: words,
            name,
            shard_seconds,
            shards: shards.into_iter().map(|shard| shard.planned).collect(),
            tool_version: env!("CARGO_PKG_VERSION").to_string(),
        };
        dataset.store_plan(&plan)?;
        show(dataset, &plan, &done, ids, global)
    })?
}

fn show(dataset: &Dataset, plan: &StoredPlan, done: &[bool], ids: bool, global: &Global) -> Result<ExitCode, Failure> {
    let open = || plan.shards.iter().zip(done).filter(|(_, done)| !**done).map(|(shard, _)| shard);
    let seconds: f64 = open().map(|shard| shard.seconds).sum();
    if global.json {
        let attempts = dataset.attempt_counts()?;
        let shards = plan.shards.iter().zip(done).map(|(planned, done)| PrintedShard {
            planned,
            state: if *done { "done" } else { "open" },
            attempts: attempts.get(&planned.id).copied().unwrap_or_default(),
        });
        let dataset = dataset.path().display().to_string();
        global.print_json(&Printed { plan: &plan.name, dataset, shards: shards.collect(), seconds })?;
    } else if ids {
        open().for_each(|shard| println!("{}", shard.id));
    } else {
        println!(
            "{}: {} shards, {} of them not done, about {} s of work",
            plan.name,
            grouped(plan.shards.len() as u64),
            grouped(open().count() as u64),
            grouped(seconds.ceil() as u64)
        );
        for shard in open().take(SHOWN) {
            println!("  {}  {:>6.1} s  {}", shard.id, shard.seconds, shard.about);
        }
        if open().count() > SHOWN {
            println!("  … and {} more: --ids or --json lists all", grouped((open().count() - SHOWN) as u64));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shards that are shown to people.
const SHOWN: usize = 10;
