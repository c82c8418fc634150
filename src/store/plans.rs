//! Plans of stages, and attempts at the shards of work that they list. They are no part of the data.
//!
//! Each file is written whole by one process under a name of its own, so any number of hosts may work on one plan.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::durable;
use super::error::{Error, Result, io};
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
    path: PathBuf,
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
        durable::write_json(self.dataset.path(), &self.path, &self.attempt)?;
        Ok(seconds)
    }
}

impl Dataset {
    /// Stores a plan in place of an earlier one of its name.
    ///
    /// # Errors
    /// Errors of writing.
    pub fn store_plan(&self, plan: &StoredPlan) -> Result<()> {
        let path = layout::plans(self.path()).join(format!("{}.json", plan.name));
        durable::write_json(self.path(), &path, plan)
    }

    /// The plans that are stored, by name.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a file that is none, and errors of reading.
    pub fn plans(&self) -> Result<Vec<StoredPlan>> {
        json_files(&layout::plans(self.path()))?.iter().map(|path| read_json(path)).collect()
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
        let path = layout::attempts(self.path()).join(shard).join(name);
        durable::write_json(self.path(), &path, &attempt)?;
        Ok(OpenAttempt { dataset: self, path, attempt, started: Instant::now() })
    }

    /// The attempts at a shard of work, in the order of their begin.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a file that is none, and errors of reading.
    pub fn attempts(&self, shard: &str) -> Result<Vec<Attempt>> {
        json_files(&layout::attempts(self.path()).join(shard))?.iter().map(|path| read_json(path)).collect()
    }

    /// Number of attempts at each shard of work that has any.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn attempt_counts(&self) -> Result<BTreeMap<String, usize>> {
        let folder = layout::attempts(self.path());
        let mut counts = BTreeMap::new();
        for shard in entries(&folder)? {
            if let Some(id) = shard.file_name() {
                counts.insert(id.to_string_lossy().into_owned(), json_files(&shard)?.len());
            }
        }
        Ok(counts)
    }

    /// The file in which the cost of a model under a setting is kept. It is no part of the data.
    pub(crate) fn cost_file(&self, model: &str, setting: &str) -> PathBuf {
        layout::costs(self.path()).join(format!("{model}-{setting}.json"))
    }

    /// What a file of the program's own holds; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it holds something else, and errors of reading.
    pub(crate) fn own_json<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>> {
        if path.exists() { read_json(path).map(Some) } else { Ok(None) }
    }

    /// Writes a file of the program's own.
    ///
    /// # Errors
    /// Errors of writing.
    pub(crate) fn write_own_json(&self, path: &Path, value: &impl Serialize) -> Result<()> {
        durable::write_json(self.path(), path, value)
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(io(path, "read"))?;
    serde_json::from_slice(&text).map_err(|e| Error::Damaged { path: path.to_path_buf(), reason: e.to_string() })
}

/// The JSON files in a folder, sorted by name; none where there is no folder.
fn json_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = entries(folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(io(folder, "list the folder"))?,
    };
    let mut paths = Vec::new();
    for entry in listed {
        paths.push(entry.map_err(io(folder, "list the folder"))?.path());
    }
    paths.sort();
    Ok(paths)
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
