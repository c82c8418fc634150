//! Plans of stages: from the command line of a stage to its shards of work, and back from a stored plan.

use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, Parser};
use serde::Serialize;

use super::{Arguments, Command, Failure, Global};
use crate::pipeline::{Divided, WorkShard};
use crate::store::{Dataset, StoredPlan};
use crate::text::printable_line;

/// Names of the arguments that are paths.
const PATHS: [&str; 4] = ["raw", "dataset", "out", "spec"];

/// The words behind `medcosmos` that give this stage the same arguments, from any folder.
///
/// # Errors
/// A word that is not UTF-8.
pub(super) fn words(stage: &str, given: &ArgMatches) -> Result<Vec<String>, Failure> {
    let program = Arguments::command();
    let command = program.find_subcommand(stage).ok_or_else(|| format!("no command {stage}"))?;
    let globals = program.get_arguments().filter(|argument| argument.get_id() == "spec");
    let mut words = vec![stage.to_string()];
    for argument in command.get_arguments().chain(globals) {
        let id = argument.get_id().as_str();
        if given.try_contains_id(id).is_err() || given.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        if !argument.get_action().takes_values() {
            words.push(format!("--{}", argument.get_long().unwrap_or(id)));
            continue;
        }
        for value in given.get_raw(id).into_iter().flatten() {
            let value = value.to_str().ok_or_else(|| format!("{id}: {value:?} is not UTF-8"))?;
            let is_path = PATHS.contains(&id) || (id == "model" && value.contains('/'));
            let value = if is_path { absolute(value)? } else { value.to_string() };
            words.push(match argument.get_long() {
                Some(long) => format!("--{long}={value}"),
                None => value,
            });
        }
    }
    Ok(words)
}

/// A path that means the same in every folder. Addresses of object stores do already.
fn absolute(path: &str) -> Result<String, Failure> {
    if path.contains("://") {
        return Ok(path.to_string());
    }
    let absolute = std::path::absolute(Path::new(path)).map_err(|e| format!("{path}: {e}"))?;
    Ok(absolute.to_str().ok_or_else(|| format!("{path}: the folder above it is not UTF-8"))?.to_string())
}

/// Hands the work of a stage, and its shards of about `shard_seconds`, to `with`.
///
/// # Errors
/// What stops the stage, and a command that is none.
pub(super) fn divided<T>(
    command: &Command,
    global: &Global,
    shard_seconds: f64,
    with: impl FnOnce(&Dataset, &dyn Divided, Vec<WorkShard>) -> T,
) -> Result<T, Failure> {
    let with = |dataset: &Dataset, stage: &dyn Divided| with(dataset, stage, WorkShard::all(stage, shard_seconds));
    match command {
        Command::Build(arguments) => arguments.divided(global, with),
        Command::Predict(arguments) => arguments.divided(shard_seconds, with),
        Command::Evaluate(arguments) => arguments.divided(with),
        _ => Err("only build, predict and evaluate are divided into shards".into()),
    }
}

/// The command of a plan that is stored in `dataset`, on that dataset, with the global options of this command.
///
/// # Errors
/// A plan of another version of the program, and words that are no command.
pub(super) fn command_of(plan: &StoredPlan, dataset: &Path, global: &Global) -> Result<Arguments, Failure> {
    let own = env!("CARGO_PKG_VERSION");
    if plan.tool_version != own {
        return Err(format!(
            "the plan {} was made by medcosmos {}, and this is {own}: plan again with this one",
            plan.name, plan.tool_version
        )
        .into());
    }
    let words = std::iter::once("medcosmos").chain(plan.command.iter().map(String::as_str));
    let mut parsed = Arguments::try_parse_from(words)
        .map_err(|error| format!("the plan {}: {}", plan.name, error.to_string().trim_end()))?;
    (parsed.global.quiet, parsed.global.json) = (global.quiet, global.json);
    (parsed.global.memory, parsed.global.max_expansion) = (global.memory, global.max_expansion);
    // A dataset may have been copied or moved with its plans.
    match &mut parsed.command {
        Command::Build(arguments) => arguments.set_dataset(dataset),
        Command::Predict(arguments) => arguments.set_dataset(dataset),
        Command::Evaluate(arguments) => arguments.set_dataset(dataset),
        _ => {}
    }
    Ok(parsed)
}

/// How a shard of a plan ended, as a line of JSON.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) outcome: &'static str,
    pub(super) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// True of one that could not be begun.
    #[serde(skip)]
    pub(super) refused: bool,
}

impl Answer {
    /// A shard that was not begun.
    pub(super) fn refused(id: &str, reason: impl std::fmt::Display) -> Self {
        let reason = Some(printable_line(&reason.to_string()).into_owned());
        Answer { id: id.to_string(), outcome: "failed", seconds: 0.0, reason, refused: true }
    }

    pub(super) fn is_failed(&self) -> bool {
        self.outcome == "failed"
    }

    /// The line for people.
    pub(super) fn line(&self) -> String {
        let Answer { id, outcome, seconds, reason, .. } = self;
        match reason {
            Some(reason) => format!("{id} {outcome}: {reason}"),
            None => format!("{id} {outcome} in {seconds:.1} s"),
        }
    }
}

/// Runs a shard of work where it is not done, and notes the attempt.
pub(super) fn attempt(dataset: &Dataset, stage: &dyn Divided, shard: &WorkShard, global: &Global) -> Answer {
    let id = &shard.planned.id;
    let run = || -> Result<Answer, Failure> {
        if shard.is_done(stage)? {
            return Ok(Answer { id: id.clone(), outcome: "reused", seconds: 0.0, reason: None, refused: false });
        }
        let open = dataset.begin_attempt(id)?;
        let failure =
            shard.run(stage, &global.progress()).err().map(|error| printable_line(&error.to_string()).into_owned());
        let seconds = open.end(failure.as_deref())?;
        let outcome = if failure.is_some() { "failed" } else { "done" };
        Ok(Answer { id: id.clone(), outcome, seconds, reason: failure, refused: false })
    };
    run().unwrap_or_else(|error| Answer::refused(id, error))
}

/// The stored plan that lists a shard.
pub(super) fn plan_of<'p>(plans: &'p [StoredPlan], id: &str) -> Option<&'p StoredPlan> {
    plans.iter().find(|plan| plan.shards.iter().any(|shard| shard.id == id))
}

/// Why an id is not known.
pub(super) fn unknown(id: &str) -> String {
    format!(
        "no plan of the dataset has a shard {id}: check the id, or run `medcosmos plan` again if inputs or options have \
         changed"
    )
}

/// Runs shards of stored plans, one after the other, and hands each answer to `answer`. The inputs and the model of a
/// plan stay open while the ids are those of its shards.
///
/// # Errors
/// Plans that cannot be read, and errors of `answer`.
pub(super) fn run_shards(
    path: &Path,
    mut ids: impl Iterator<Item = Result<String, Failure>>,
    global: &Global,
    mut answer: impl FnMut(&Answer) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let dataset = Dataset::open(path)?;
    let mut next = ids.next().transpose()?;
    while let Some(id) = next.take() {
        let plans = dataset.plans()?;
        let Some(plan) = plan_of(&plans, &id) else {
            answer(&Answer::refused(&id, unknown(&id)))?;
            next = ids.next().transpose()?;
            continue;
        };
        let opened = command_of(plan, path, global).and_then(|parsed| {
            divided(&parsed.command, &parsed.global, plan.shard_seconds, |dataset, stage, shards| {
                let mut current = Some(id.clone());
                while let Some(id) = current {
                    let shard = shards.iter().find(|shard| shard.planned.id == id);
                    match shard {
                        Some(shard) => answer(&attempt(dataset, stage, shard, global))?,
                        // It is of another plan, or this one was made again.
                        None if plan_of(&dataset.plans()?, &id).is_some_and(|now| now != plan) => return Ok(Some(id)),
                        None => answer(&Answer::refused(&id, unknown(&id)))?,
                    }
                    current = ids.next().transpose()?;
                }
                Ok::<_, Failure>(None)
            })
        });
        next = match opened {
            Ok(next) => next?,
            Err(error) => {
                answer(&Answer::refused(&id, error))?;
                ids.next().transpose()?
            }
        };
    }
    Ok(())
}
