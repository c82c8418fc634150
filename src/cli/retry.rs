//! `medcosmos retry DATASET`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::planned::{command_of, divided, run_shards};
use super::{Failure, Global, Outcome, SOME_FAILED};
use crate::pipeline::{self, WorkShard, is_plan_of};
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
    /// Names of plans whose inputs or options are others now.
    outdated: &'a [&'a str],
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let dataset = Dataset::open(&arguments.dataset)?;
    let plans = dataset.plans()?;
    if let Some(missing) = arguments.plans.iter().find(|name| plans.iter().all(|plan| plan.name != **name)) {
        return Err(format!("the dataset has no plan {missing:?}; `medcosmos plan` makes one").into());
    }
    let (mut open, mut outdated) = (Vec::new(), Vec::new());
    for plan in plans.iter().filter(|plan| arguments.plans.is_empty() || arguments.plans.contains(&plan.name)) {
        match open_shards(plan, &arguments.dataset, global)? {
            Some(shards) => open.extend(shards),
            None => outdated.push(plan.name.as_str()),
        }
    }
    for plan in &outdated {
        eprintln!("error: {}", pipeline::Error::OutdatedPlan { plan: plan.to_string() });
    }
    let code = match arguments.dry_run {
        false => run_open(arguments, &open, global)?,
        true => {
            match global.json {
                true => global.print_json(&Printed { shards: &open, outdated: &outdated })?,
                false if open.is_empty() && outdated.is_empty() => println!("all shards are done"),
                false => open.iter().for_each(print),
            }
            ExitCode::SUCCESS
        }
    };
    Ok(if outdated.is_empty() { code } else { ExitCode::FAILURE })
}

/// The shards of a plan that are not done; `None` of one that is outdated.
fn open_shards(plan: &StoredPlan, dataset: &Path, global: &Global) -> Result<Option<Vec<Open>>, Failure> {
    let parsed = command_of(plan, dataset, global)?;
    divided(&parsed.command, &parsed.global, plan.shard_seconds, |dataset, stage, shards| {
        if !is_plan_of(plan, &shards) {
            return Ok(None);
        }
        let mut open = Vec::new();
        let done = WorkShard::are_done(&shards, stage)?;
        for (shard, done) in shards.into_iter().zip(done) {
            if !done {
                let attempts = dataset.attempts(&shard.planned.id)?;
                open.push(Open { plan: plan.name.clone(), planned: shard.planned, attempts });
            }
        }
        Ok(Some(open))
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
