//! `medcosmos retry DATASET`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::planned::{command_of, divided, run_shards};
use super::{Failure, Global, Outcome, SOME_FAILED};
use crate::pipeline::WorkShard;
use crate::store::{Attempt, Dataset, PlannedShard, StoredPlan};

/// Options of `retry`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Dataset with the plans
    dataset: PathBuf,
    /// Names of plans [default: all]
    plans: Vec<String>,
    /// Only list the shards, with their attempts
    #[arg(long)]
    dry_run: bool,
}

/// A shard that is not done.
#[derive(Serialize)]
struct Open {
    plan: String,
    #[serde(flatten)]
    planned: PlannedShard,
    attempts: Vec<Attempt>,
}

/// The output with `--dry-run --json`.
#[derive(Serialize)]
struct Printed<'a> {
    shards: &'a [Open],
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let plans = dataset.plans()?;
    if let Some(missing) = arguments.plans.iter().find(|name| plans.iter().all(|plan| plan.name != **name)) {
        return Err(format!("the dataset has no plan {missing:?}; `medcosmos plan` makes one").into());
    }
    let mut open = Vec::new();
    for plan in plans.iter().filter(|plan| arguments.plans.is_empty() || arguments.plans.contains(&plan.name)) {
        open.extend(open_shards(plan, global)?);
    }
    if !arguments.dry_run {
        return run_open(arguments, &open, global);
    }
    match global.json {
        true => global.print_json(&Printed { shards: &open })?,
        false if open.is_empty() => println!("all shards are done"),
        false => open.iter().for_each(print),
    }
    Ok(ExitCode::SUCCESS)
}

/// The shards of a plan that are not done.
fn open_shards(plan: &StoredPlan, global: &Global) -> Result<Vec<Open>, Failure> {
    let parsed = command_of(plan, global)?;
    divided(&parsed.command, &parsed.global, plan.shard_seconds, |dataset, stage, shards| {
        let mut open = Vec::new();
        let done = WorkShard::are_done(&shards, stage)?;
        for (shard, done) in shards.into_iter().zip(done) {
            if !plan.shards.contains(&shard.planned) {
                tracing::warn!("the plan {} is outdated: run `medcosmos plan` again", plan.name);
                return Ok(open);
            }
            if !done {
                let attempts = dataset.attempts(&shard.planned.id)?;
                open.push(Open { plan: plan.name.clone(), planned: shard.planned, attempts });
            }
        }
        Ok(open)
    })?
}

fn run_open(arguments: &Arguments, open: &[Open], global: &Global) -> Outcome {
    let mut failed = 0;
    let ids = open.iter().map(|open| Ok(open.planned.id.clone()));
    run_shards(&arguments.dataset, ids, global, |answer| {
        failed += usize::from(answer.is_failed());
        match global.json {
            true => println!("{}", serde_json::to_string(answer)?),
            false => println!("{}", answer.line()),
        }
        Ok(())
    })?;
    Ok(if failed > 0 { ExitCode::from(SOME_FAILED) } else { ExitCode::SUCCESS })
}

fn print(open: &Open) {
    let PlannedShard { id, about, seconds } = &open.planned;
    println!("{id}  {}  {seconds:.1} s  {about}", open.plan);
    if open.attempts.is_empty() {
        println!("  no attempt");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    for Attempt { begun, host, process, outcome, reason, seconds } in &open.attempts {
        let ago = (now - begun).max(0.0) / 60.0;
        let end = match (outcome, seconds) {
            (Some(outcome), Some(seconds)) => format!("{outcome} after {seconds:.1} s"),
            _ => "runs, or was killed".to_string(),
        };
        let reason = reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        println!("  {ago:.0} min ago on {host}, process {process}: {end}{reason}");
    }
}
