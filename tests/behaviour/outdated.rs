//! What must be done again when something changes, and nothing else: in the end the dataset is always the one that a
//! first run would have made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;
use tempfile::TempDir;

use crate::phantom;
use crate::program::{Run, assert_same, files_of, medcosmos};

/// A raw folder with three sources, and places for datasets.
struct Workplace {
    folder: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let place = Workplace { folder: tempfile::tempdir().unwrap() };
        (1..=2).for_each(|patient| phantom::cardiac_case(&place.raw(), patient, 1));
        (1..=2).for_each(|number| phantom::spleen_case(&place.raw(), number));
        (1..=2).for_each(|slice| phantom::released_slice(&place.raw(), 1, slice));
        place
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("raw")
    }

    fn dataset(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build(&self, dataset: &Path, options: &[&str]) -> Value {
        let mut program = medcosmos("build");
        program.arg(self.raw()).args(["--json", "--quiet", "--out"]).arg(dataset).args(options);
        if !options.contains(&"--source") {
            program.args(["acdc", "cosmos-png", "msd"].iter().flat_map(|source| ["--source", source]));
        }
        Run::done(&mut program).json()
    }

    /// All stages; what `build`, `predict` and `evaluate` report.
    fn all(&self, dataset: &Path, options: &[&str]) -> [Value; 3] {
        [self.build(dataset, options), predict(dataset), evaluate(dataset, &[])]
    }
}

fn predict(dataset: &Path) -> Value {
    Run::done(medcosmos("predict").arg(dataset).args(["--model", "otsu-box", "--json", "--quiet"])).json()
}

fn evaluate(dataset: &Path, options: &[&str]) -> Value {
    Run::done(medcosmos("evaluate").arg(dataset).args(["--json", "--quiet"]).args(options)).json()
}

/// Shards that a stage did, and those that it found done.
fn shards(report: &Value) -> (u64, u64) {
    (report["shards_done"].as_u64().unwrap(), report["shards_reused"].as_u64().unwrap())
}

/// When each file of the tables was written.
fn written(dataset: &Path) -> BTreeMap<String, SystemTime> {
    let paths = files_of(dataset).into_keys().filter(|path| path.ends_with(".parquet"));
    paths.map(|path| (path.clone(), fs::metadata(dataset.join(&path)).unwrap().modified().unwrap())).collect()
}

/// Sources of which a table has rows.
fn sources_in(dataset: &Path, table: &str) -> Vec<String> {
    let mut found: Vec<String> = files_of(dataset)
        .into_keys()
        .filter(|path| path.starts_with(&format!("{table}/")))
        .flat_map(|path| path.split('/').find_map(|part| part.strip_prefix("source=").map(String::from)))
        .collect();
    found.dedup();
    found
}

#[test]
fn a_new_case_touches_only_its_own_source() {
    let place = Workplace::new();
    let dataset = place.dataset("grown");
    place.all(&dataset, &[]);
    let before = written(&dataset);
    phantom::cardiac_case(&place.raw(), 3, 1);

    let [build, predict, evaluate] = place.all(&dataset, &[]);
    assert_eq!(build["sources"]["acdc"]["cases"], 3);
    assert_eq!((shards(&build), shards(&predict), shards(&evaluate)), ((1, 2), (1, 2), (2, 4)));
    let after = written(&dataset);
    for (path, time) in before.iter().filter(|(path, _)| !path.contains("source=acdc")) {
        assert_eq!(after.get(path), Some(time), "{path} was written again");
    }

    let fresh = place.dataset("fresh");
    place.all(&fresh, &[]);
    assert_same(&dataset, &fresh);
}

#[test]
fn a_file_that_changes_is_read_again_and_one_that_goes_is_forgotten() {
    let place = Workplace::new();
    let dataset = place.dataset("changed");
    place.build(&dataset, &[]);
    // Other labels, same length: only the digest tells.
    let [_, mask] = phantom::cardiac_paths(1, 1);
    phantom::write(&place.raw().join(mask), &phantom::gzip(&phantom::nifti(phantom::SIZE, &phantom::labels(2))));
    assert_eq!(shards(&place.build(&dataset, &[])), (1, 2));
    let fresh = place.dataset("fresh");
    place.build(&fresh, &[]);
    assert_same(&dataset, &fresh);

    for path in phantom::cardiac_paths(2, 1) {
        fs::remove_file(place.raw().join(path)).unwrap();
    }
    let report = place.build(&dataset, &[]);
    assert_eq!((shards(&report), &report["sources"]["acdc"]["cases"]), ((1, 2), &1.into()));
}

#[test]
fn an_option_of_the_metrics_leaves_all_else_alone() {
    let place = Workplace::new();
    let dataset = place.dataset("data");
    place.all(&dataset, &[]);
    let before = written(&dataset);
    let other = ["--nsd-tolerance-px", "5"];
    let refused = Run::of(medcosmos("evaluate").arg(&dataset).args(other));
    refused.failed(1, &["metrics (", "nsd_tolerance_px: 2.0 before, 5.0 now", "--replace"]);
    assert_eq!(written(&dataset), before);
    let report = evaluate(&dataset, &["--replace", "--nsd-tolerance-px", "5"]);
    assert_eq!(shards(&report), (3, 3), "factors do not depend on it");
    let after = written(&dataset);
    for (path, time) in before.iter().filter(|(path, _)| !path.starts_with("metrics/")) {
        assert_eq!(after.get(path), Some(time), "{path}");
    }
    assert!(before.keys().filter(|path| path.starts_with("metrics/")).all(|path| !after.contains_key(path)));
}

#[test]
fn an_option_of_the_build_leaves_nothing_of_the_old_one_behind() {
    let place = Workplace::new();
    let dataset = place.dataset("data");
    place.all(&dataset, &[]);
    // The spleen has 80 pixels in every slice: its source has no mask left, and so no shard in the later stages.
    let options = ["--min-area", "85"];
    let build = place.build(&dataset, &["--replace", "--min-area", "85"]);
    assert_eq!((shards(&build), &build["sources"]["msd"]["masks"]), ((3, 0), &0.into()));
    // Between the stages: nothing measured on masks that are gone is left to be summed up.
    assert!(sources_in(&dataset, "factors").is_empty() && sources_in(&dataset, "metrics").is_empty());
    evaluate(&dataset, &[]);
    assert_eq!(sources_in(&dataset, "factors"), ["acdc", "cosmos-png"]);
    // Predictions of masks that are as before came back with the build.
    assert_eq!(
        sources_in(&dataset, "metrics"),
        ["acdc", "cosmos-png"],
        "metrics of predictions for masks that are gone"
    );

    predict(&dataset);
    evaluate(&dataset, &[]);
    let fresh = place.dataset("fresh");
    place.all(&fresh, &options);
    assert_same(&dataset, &fresh);
}

#[test]
fn predictions_wait_for_a_build_to_go_back() {
    let place = Workplace::new();
    let (dataset, fresh) = (place.dataset("data"), place.dataset("fresh"));
    place.all(&fresh, &[]);
    place.all(&dataset, &[]);
    place.build(&dataset, &["--replace", "--min-area", "85"]);
    let [build, predict, evaluate] = place.all(&dataset, &["--replace"]);
    assert_eq!((shards(&build), shards(&predict), shards(&evaluate)), ((3, 0), (0, 3), (6, 0)));
    assert_same(&dataset, &fresh);
}

#[test]
fn a_run_with_other_sources_does_not_get_in_the_way() {
    let place = Workplace::new();
    let (dataset, fresh) = (place.dataset("data"), place.dataset("fresh"));
    place.build(&dataset, &["--source", "msd"]);
    let report = place.build(&dataset, &[]);
    assert_eq!(shards(&report), (2, 1));
    place.build(&fresh, &[]);
    // `files` says of no file any more that no source claims it.
    assert_same(&dataset, &fresh);
}

/// A stage that is killed leaves finished shards that no manifest names, as here the manifest of the moment before does
/// not.
fn as_if_killed<T>(dataset: &Path, stage: impl FnOnce() -> T) -> T {
    let manifest = dataset.join("manifest.json");
    let before = fs::read(&manifest);
    let result = stage();
    match before {
        Ok(bytes) => fs::write(&manifest, bytes).unwrap(),
        Err(_) => fs::remove_file(&manifest).unwrap(),
    }
    result
}

#[test]
fn a_build_that_was_killed_is_finished_before_others_go_on() {
    let place = Workplace::new();
    let (dataset, fresh) = (place.dataset("data"), place.dataset("fresh"));
    as_if_killed(&dataset, || place.build(&dataset, &[]));
    for stage in ["predict", "evaluate"] {
        let model: &[&str] = if stage == "predict" { &["--model", "otsu-box"] } else { &[] };
        let run = Run::of(medcosmos(stage).arg(&dataset).args(model));
        run.failed(1, &["the build of acdc has not finished", "medcosmos build"]);
    }
    // Another selection of sources does not stumble over it, nor does the first one afterwards.
    assert_eq!(shards(&place.build(&dataset, &["--source", "msd"])), (0, 1));
    assert_eq!(shards(&place.build(&dataset, &[])), (0, 3));
    place.all(&fresh, &[]);
    place.all(&dataset, &[]);
    assert_same(&dataset, &fresh);
}

#[test]
fn predictions_that_were_killed_wait_for_their_own_stage() {
    let place = Workplace::new();
    let (dataset, fresh) = (place.dataset("data"), place.dataset("fresh"));
    place.build(&dataset, &[]);
    as_if_killed(&dataset, || predict(&dataset));
    assert_eq!(shards(&place.build(&dataset, &[])), (0, 3), "a build does not mind");
    let run = Run::done(medcosmos("evaluate").arg(&dataset).arg("--json"));
    assert_eq!(run.json()["comparisons"], 0);
    assert!(run.err.contains("otsu-box on acdc: `medcosmos predict` has not finished"), "{}", run.err);
    assert_eq!(shards(&predict(&dataset)), (0, 3));
    as_if_killed(&dataset, || evaluate(&dataset, &[]));
    phantom::cardiac_case(&place.raw(), 3, 1);
    place.all(&dataset, &[]);
    place.all(&fresh, &[]);
    assert_same(&dataset, &fresh);
}

#[test]
fn a_file_of_the_dataset_that_is_cut_or_gone_is_made_again() {
    let place = Workplace::new();
    let dataset = place.dataset("data");
    place.all(&dataset, &[]);
    let before = files_of(&dataset);
    for (table, stage, remove) in [
        ("slices", "build", false),
        ("masks", "build", true),
        ("predictions", "predict", false),
        ("factors", "evaluate", true),
    ] {
        let path = before.keys().find(|path| path.starts_with(&format!("{table}/"))).unwrap();
        match remove {
            true => fs::remove_file(dataset.join(path)).unwrap(),
            false => fs::File::options().write(true).open(dataset.join(path)).unwrap().set_len(1000).unwrap(),
        }
        // A stage that reads it does not pass over it, and says which one mends it.
        let (other, options): (_, &[&str]) = match table {
            "slices" | "masks" => ("predict", &["--model", "otsu-box", "--jitter", "0-10"]),
            "predictions" => ("evaluate", &["--replace", "--nsd-tolerance-px", "5"]),
            _ => ("analyze", &[]),
        };
        Run::of(medcosmos(other).arg(&dataset).args(options).arg("--quiet")).failed(1, &[path, "medcosmos", stage]);
        match stage {
            "build" => place.build(&dataset, &[]),
            "predict" => {
                predict(&dataset);
                evaluate(&dataset, &[]) // which sweeps what the refused evaluation left
            }
            _ => evaluate(&dataset, &[]),
        };
        assert_eq!(files_of(&dataset), before, "{path}");
    }
    let receipt = before.keys().find(|path| path.starts_with("receipts/build/")).unwrap();
    fs::write(dataset.join(receipt), "{}").unwrap();
    assert_eq!(shards(&place.build(&dataset, &[])), (1, 2));
    assert_eq!(files_of(&dataset), before);
}
