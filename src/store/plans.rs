//! Plans of stages, and attempts at the shards of work that they list. They are no part of the data.
//!
//! Each file is written whole by one process under a name of its own, so any number of hosts may work on one plan.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::durable;
use super::error::{Error, Result};
use super::layout;
use super::lock::host;

/// A plan: a stage with its options, cut into shards of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredPlan {
    /// The command of the stage, as words behind `medcosmos`; its paths are absolute.
    pub command: Vec<String>,
    /// Name: the stage, and the model where it has one (`predict-mobile_sam`).
    pub name: String,
    /// Seconds that a shard of work lasts about.
    pub shard_seconds: f64,
    /// Its shards of work, in the order of their inputs.
    pub shards: Vec<PlannedShard>,
    /// Version of the program that made it.
    pub tool_version: String,
}

/// A shard of work, about a minute by estimate, which one process does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedShard {
    /// What it covers, for people.
    pub about: String,
    /// 16 hex digits, which depend on what decides its content.
    pub id: String,
    /// Estimated seconds on one core, or on the device of the model.
    pub seconds: f64,
}

/// An attempt at a shard of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// When it began, in seconds since 1970.
    pub begun: f64,
    /// Name of the host.
    pub host: String,
    /// How it ended: `done` or `failed`; `None` while it runs, and for one that was killed.
    pub outcome: Option<String>,
    /// Process id.
    pub process: u32,
    /// Why it failed.
    pub reason: Option<String>,
    /// Seconds it took; `None` as for `outcome`.
    pub seconds: Option<f64>,
}

/// An attempt that runs.
#[derive(Debug)]
pub struct OpenAttempt<'a> {
    dataset: &'a Dataset,
    /// Path below the dataset.
    path: String,
    attempt: Attempt,
    started: Instant,
}

impl OpenAttempt<'_> {
    /// Notes how the attempt ended: `None` for well, else why it failed. Returns the seconds it took.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn end(mut self, failure: Option<&str>) -> Result<f64> {
        let seconds = self.started.elapsed().as_secs_f64();
        self.attempt.seconds = Some(seconds);
        self.attempt.outcome = Some(if failure.is_some() { "failed" } else { "done" }.to_string());
        self.attempt.reason = failure.map(String::from);
        durable::write_json(self.dataset.root(), &self.path, &self.attempt)?;
        Ok(seconds)
    }
}

impl Dataset {
    /// Stores a plan in place of an earlier one of its name.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn store_plan(&self, plan: &StoredPlan) -> Result<()> {
        durable::write_json(self.root(), &format!("{}/{}.json", layout::PLANS, plan.name), plan)
    }

    /// The plans that are stored, by name.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn plans(&self) -> Result<Vec<StoredPlan>> {
        self.json_below(layout::PLANS)
    }

    /// Notes that this process begins a shard of work.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn begin_attempt(&self, shard: &str) -> Result<OpenAttempt<'_>> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let attempt = Attempt {
            begun: since.as_millis() as f64 / 1e3,
            host: host(),
            outcome: None,
            process: std::process::id(),
            reason: None,
            seconds: None,
        };
        let name = format!("{}-{}-{}.json", since.as_nanos(), attempt.host, attempt.process);
        let path = format!("{}/{shard}/{name}", layout::ATTEMPTS);
        durable::write_json(self.root(), &path, &attempt)?;
        Ok(OpenAttempt { dataset: self, path, attempt, started: Instant::now() })
    }

    /// The attempts at a shard of work, in the order of their begin.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn attempts(&self, shard: &str) -> Result<Vec<Attempt>> {
        self.json_below(&format!("{}/{shard}", layout::ATTEMPTS))
    }

    /// Number of attempts at each shard of work that has any.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn attempt_counts(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for path in self.root().files(layout::ATTEMPTS)?.iter().filter(|path| path.ends_with(".json")) {
            let below = path.strip_prefix(layout::ATTEMPTS).and_then(|below| below.get(1..));
            if let Some((id, _)) = below.and_then(|below| below.split_once('/')) {
                *counts.entry(id.to_string()).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Path, below the dataset, of the file in which the cost of a model under a setting is kept. It is no part of the
    /// data.
    pub(crate) fn cost_file(model: &str, setting: &str) -> String {
        format!("{}/{model}-{setting}.json", layout::COSTS)
    }

    /// What a file of the program's own holds; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it holds something else, and errors of reading.
    pub(crate) fn own_json<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let damaged = |e: serde_json::Error| Error::Damaged { path: self.root().at(path), reason: e.to_string() };
        self.root().read(path)?.map(|text| serde_json::from_slice(&text).map_err(damaged)).transpose()
    }

    /// Writes a file of the program's own.
    ///
    /// # Errors
    /// Errors of writing.
    pub(crate) fn write_own_json(&self, path: &str, value: &impl Serialize) -> Result<()> {
        durable::write_json(self.root(), path, value)
    }

    /// What the JSON files below a folder hold, in the order of their names. One that holds something else is left out,
    /// with a warning.
    fn json_below<T: DeserializeOwned>(&self, folder: &str) -> Result<Vec<T>> {
        let mut found = Vec::new();
        for path in self.root().files(folder)?.iter().filter(|path| path.ends_with(".json")) {
            match self.own_json(path) {
                Err(error @ Error::Damaged { .. }) => tracing::warn!("{error}; it is left out"),
                other => found.extend(other?),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_and_say_how_they_ended() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset::create(folder.path().join("data")).unwrap();
        assert!(dataset.attempt_counts().unwrap().is_empty());
        dataset.begin_attempt("a").unwrap().end(Some("no space")).unwrap();
        dataset.begin_attempt("a").unwrap().end(None).unwrap();
        let _killed = dataset.begin_attempt("a").unwrap();
        dataset.begin_attempt("b").unwrap();
        assert_eq!(dataset.attempt_counts().unwrap(), BTreeMap::from([("a".into(), 3), ("b".into(), 1)]));
        let attempts = dataset.attempts("a").unwrap();
        let ends: Vec<Option<&str>> = attempts.iter().map(|attempt| attempt.outcome.as_deref()).collect();
        assert_eq!(ends, [Some("failed"), Some("done"), None]);
        assert_eq!(attempts[0].reason.as_deref(), Some("no space"));
        assert!(attempts[0].begun <= attempts[2].begun && attempts[0].process == std::process::id());
    }
}
