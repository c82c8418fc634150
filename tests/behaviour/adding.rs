//! More predictions add to what is there: nothing is lost, nothing is computed twice, and the dataset is in the end the
//! one that a single run would have made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use medcosmos::models::{OtsuBox, PreparedSlice, Segmenter};
use medcosmos::pipeline::{PredictOptions, Progress, predict as predict_with};
use medcosmos::prompts::Strategy;
use medcosmos::slices::SlicePixels;
use medcosmos::store::{Dataset, PredictionRow};
use serde_json::Value;

use crate::phantom;
use crate::program::{Run, assert_same, files_of, medcosmos};

/// Two sources, several slices of each.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        (1..=2).for_each(|patient| phantom::cardiac_case(&place.path("raw"), patient, 1));
        (1..=3).for_each(|slice| phantom::released_slice(&place.path("raw"), 1, slice));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn dataset(&self, name: &str) -> PathBuf {
        let dataset = self.path(name);
        Run::done(medcosmos("build").arg(self.path("raw")).arg("--out").arg(&dataset).arg("--quiet"));
        dataset
    }
}

fn command(dataset: &Path, options: &[&str]) -> Command {
    let mut program = medcosmos("predict");
    program.arg(dataset).args(["--json", "--model", "otsu-box", "--strategies", "S5"]).args(options);
    program
}

fn predict(dataset: &Path, options: &[&str]) -> Value {
    Run::done(&mut command(dataset, options)).json()
}

fn count(report: &Value, of: &str) -> u64 {
    report[of].as_u64().unwrap()
}

/// Mask, strategy, variant and candidate of every prediction.
fn rows(dataset: &Path) -> BTreeSet<(String, String, String, u32)> {
    let mut seen = BTreeSet::new();
    for row in Dataset::open(dataset).unwrap().rows::<PredictionRow>().unwrap() {
        let row = row.unwrap();
        assert!(seen.insert((row.mask_id, row.strategy, row.variant, row.candidate)), "a prediction is there twice");
    }
    seen
}

/// Shards of predictions of a pass and a source, which there may be one of.
fn shards(dataset: &Path) -> usize {
    files_of(dataset).keys().filter(|path| path.starts_with("predictions/")).count()
}

#[test]
fn selections_add_up_to_the_run_at_once() {
    let place = Place::new();
    let jitter = ["--jitter", "0-10,10-20", "--seeds", "3,4"];
    let at_once = place.dataset("at-once");
    let all = predict(&at_once, &jitter);
    let masks = count(&all, "masks");
    assert_eq!((count(&all, "masks_reused"), count(&all, "slices_reused")), (0, 0));

    let grown = place.dataset("grown");
    let mut computed = 0;
    let mut before = BTreeSet::new();
    let source = ["--where", "source = 'acdc'"];
    let where_source: &[&str] = if cfg!(feature = "query") { &source } else { &["--limit", "5"] };
    for selection in
        [&["--limit", "2"][..], &["--sample", "1"], &["--limit", "4"], where_source, &["--sample", "2"], &[]]
    {
        let report = predict(&grown, selection);
        let after = rows(&grown);
        assert!(after.is_superset(&before), "{selection:?} loses predictions");
        assert_eq!((after.len() - before.len()) as u64, count(&report, "predictions"), "{selection:?}: {report}");
        computed += count(&report, "masks");
        before = after;
        // The same again does nothing.
        let files = files_of(&grown);
        let report = predict(&grown, selection);
        assert_eq!((count(&report, "slices"), count(&report, "masks"), count(&report, "predictions")), (0, 0, 0));
        assert_eq!(files_of(&grown), files, "{selection:?}");
    }
    assert_eq!(computed, masks, "each mask was predicted once");
    // Other passes add too; the first of them on a few slices.
    predict(&grown, &[&jitter[..], &["--limit", "1"]].concat());
    let report = predict(&grown, &jitter);
    assert_eq!(count(&report, "masks") + count(&report, "masks_reused"), masks);
    assert!(count(&report, "masks_reused") > 0 && count(&report, "slices_reused") == 1, "{report}");
    assert_same(&at_once, &grown);

    // A smaller selection of what is there changes nothing.
    let files = files_of(&grown);
    for selection in [&["--limit", "4"][..], &["--sample", "1"], where_source] {
        let report = predict(&grown, selection);
        assert_eq!((count(&report, "slices"), count(&report, "masks")), (0, 0), "{report}");
        assert!(count(&report, "masks_reused") < masks);
    }
    assert_eq!(files_of(&grown), files);
    Run::done(medcosmos("verify").arg(&grown));
}

#[test]
fn the_order_of_selections_does_not_matter() {
    let place = Place::new();
    let (one, other) = (place.dataset("one"), place.dataset("other"));
    let selections = [&["--limit", "3"][..], &["--sample", "1"], &["--sample", "2", "--sample-seed", "5"]];
    selections.iter().for_each(|selection| _ = predict(&one, selection));
    selections.iter().rev().for_each(|selection| _ = predict(&other, selection));
    assert_same(&one, &other);
    let sources = ["acdc", "cosmos-png"];
    assert!(shards(&one) <= sources.len(), "one shard for each pass and source");
}

#[test]
fn other_options_are_refused_until_they_replace() {
    let place = Place::new();
    let data = place.dataset("data");
    predict(&data, &["--jitter", "0-10"]);
    let before = files_of(&data);
    let masks = rows(&data).iter().filter(|row| row.2.is_empty()).count();
    let refused = |options: &[&str], words: &[&str]| {
        Run::of(&mut command(&data, options)).failed(1, &[words, &["Nothing was computed", "--replace"]].concat());
        assert_eq!(files_of(&data), before, "{options:?}");
    };
    let s5 = format!("S5: {masks} predictions of {masks} masks");
    let jitter = format!("S5 jitter0-10: {} predictions of {masks} masks", 3 * masks);
    refused(&["--prompts", "code"], &["otsu-box", &s5, &jitter, r#"rule "paper" -> "code""#]);
    // Another selection of masks does not make other options fit.
    let all = "all of these, also those of masks that are not selected, would have to go";
    refused(&["--keep-candidates", "--limit", "1"], &[&s5, &jitter, "candidates chosen -> all", all]);
    refused(&["--jitter", "0-10", "--seeds", "7"], &[&jitter, "seeds [0,1,2] -> [7]"]);

    // Only what conflicts goes.
    let report = predict(&data, &["--jitter", "0-10", "--seeds", "7", "--replace"]);
    assert_eq!(count(&report, "predictions") as usize, masks, "the plain pass stays");
    assert_eq!(count(&report["outdated"]["replaced"], "predictions") as usize, 3 * masks, "{report}");
    let fresh = place.dataset("fresh");
    predict(&fresh, &["--jitter", "0-10", "--seeds", "7"]);
    assert_same(&data, &fresh);
    // A name means one setting: what goes is said before and after, also of masks that are not selected.
    let run = Run::done(&mut command(&data, &["--prompts", "code", "--replace", "--limit", "2"]));
    assert!(run.err.contains("all of these, also those of masks that are not selected, are removed"), "{}", run.err);
    assert_eq!(count(&run.json()["outdated"]["replaced"], "predictions") as usize, 2 * masks, "{}", run.out);
    let fresh = place.dataset("fresh-code");
    predict(&fresh, &["--prompts", "code", "--limit", "2"]);
    assert_same(&data, &fresh);
}

#[test]
fn a_damaged_shard_is_made_again_and_others_stay() {
    let place = Place::new();
    let data = place.dataset("data");
    predict(&data, &["--limit", "4"]);
    let before = files_of(&data);
    let at_once = place.dataset("at-once");
    predict(&at_once, &[]);
    let path = before.keys().find(|path| path.starts_with("predictions/")).unwrap();
    let whole = fs::read(data.join(path)).unwrap();
    // Another size is seen at once; a changed bit when the rows are to be carried over.
    fs::write(data.join(path), &whole[..whole.len() / 2]).unwrap();
    predict(&data, &["--limit", "4"]);
    assert_eq!(files_of(&data), before);
    for at in [whole.len() / 3, whole.len() / 2, whole.len() - 20] {
        let data = place.dataset(&format!("changed-{at}"));
        predict(&data, &["--limit", "4"]);
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(data.join(path), bytes).unwrap();
        let run = Run::done(&mut command(&data, &[]));
        assert!(run.err.contains("are damaged"), "{}", run.err);
        assert_same(&data, &at_once);
    }
}

#[test]
fn what_a_killed_run_has_finished_is_used_by_any_other() {
    let place = Place::new();
    let (data, at_once) = (place.dataset("data"), place.dataset("at-once"));
    let slices = count(&predict(&at_once, &[]), "slices");
    // As if killed before its commit: shards are finished, and the manifest does not list them.
    let manifest = fs::read(data.join("manifest.json")).unwrap();
    let first = count(&predict(&data, &["--limit", "4"]), "slices");
    fs::write(data.join("manifest.json"), manifest).unwrap();
    let report = predict(&data, &[]);
    assert_eq!(count(&report, "slices"), slices - first, "{report}");
    assert_same(&data, &at_once);
}

#[test]
fn a_setting_that_is_replaced_leaves_no_journal() {
    let place = Place::new();
    let (data, marks) = (place.dataset("data"), place.path("marks"));
    failed_run(&data, &marks, 4);
    assert!(!segments(&data).is_empty());
    // Another setting does not use it, nor remove it unasked; and what replaces leaves its own.
    predict(&data, &["--prompts", "code", "--limit", "1"]);
    assert!(!segments(&data).is_empty());
    predict(&data, &["--limit", "1", "--replace"]);
    assert!(!segments(&data).is_empty());
    predict(&data, &["--prompts", "code", "--limit", "1", "--replace"]);
    assert!(segments(&data).is_empty());
}

#[test]
fn predictions_follow_their_masks_into_another_build() {
    let place = Place::new();
    let build = |dataset: &Path, options: &[&str]| {
        let mut program = medcosmos("build");
        Run::done(program.arg(place.path("raw")).arg("--out").arg(dataset).arg("--quiet").args(options));
    };
    let (data, fresh) = (place.dataset("data"), place.path("fresh"));
    let first = count(&predict(&data, &["--jitter", "0-10"]), "masks");
    // Fewer masks, one more case, and a case whose labels change.
    phantom::cardiac_case(&place.path("raw"), 3, 1);
    let [_, mask] = phantom::cardiac_paths(2, 1);
    let other = phantom::gzip(&phantom::nifti(phantom::SIZE, &phantom::labels(7)));
    phantom::write(&place.path("raw").join(mask), &other);
    let options = ["--replace", "--min-area", "60"];
    build(&data, &options);
    build(&fresh, &options);
    // The build takes in what fits, and the next `predict` has the rest to do.
    let kept = rows(&data).len();
    assert!(kept > 0, "nothing came back");
    let expected = predict(&fresh, &["--jitter", "0-10"]);
    let report = predict(&data, &["--jitter", "0-10"]);
    assert!(count(&report, "masks_reused") > 0 && count(&report, "masks") < first, "{report}");
    assert_eq!(count(&report, "masks_reused") + count(&report, "masks"), count(&expected, "masks"));
    assert_same(&data, &fresh);
    Run::done(medcosmos("verify").arg(&data));
    // A selection after a build brings back what fits, whatever it selects of the shard.
    let before = rows(&data).len();
    build(&data, &["--replace"]);
    let report = predict(&data, &["--jitter", "0-10", "--limit", "1"]);
    assert_eq!(count(&report, "slices"), 0, "{report}");
    assert!(rows(&data).len() > before / 2, "{}", rows(&data).len());
}

/// The baseline, with a pause for each slice and a mark of it in a file.
struct Slow {
    pause: Duration,
    marks: PathBuf,
    /// Slices after which it fails.
    works: u64,
}

impl Slow {
    fn marks(path: &Path) -> u64 {
        fs::metadata(path).map_or(0, |file| file.len())
    }
}

impl Segmenter for Slow {
    fn name(&self) -> &str {
        OtsuBox.name()
    }

    fn digest(&self) -> String {
        OtsuBox.digest()
    }

    fn takes(&self, strategy: Strategy) -> bool {
        OtsuBox.takes(strategy)
    }

    fn prepare<'s>(&'s self, slice: SlicePixels<'s>) -> medcosmos::models::Result<Box<dyn PreparedSlice + 's>> {
        use std::io::Write;
        if Slow::marks(&self.marks) >= self.works {
            return Err("the model gave up".into());
        }
        std::thread::sleep(self.pause);
        fs::File::options().create(true).append(true).open(&self.marks)?.write_all(b".")?;
        OtsuBox.prepare(slice)
    }
}

const CHILD: &str = "MEDCOSMOS_TEST_SLOW";

/// Predicts slowly in a process of its own, which can be killed.
fn slow_child(dataset: &Path, marks: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "adding::predicts_slowly", "--nocapture"]).env("MEDCOSMOS_JOURNAL_SECONDS", "0");
    child.env(CHILD, dataset).env("MEDCOSMOS_TEST_MARKS", marks).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn predicts_slowly() {
    let (Some(dataset), Some(marks)) = (std::env::var_os(CHILD), std::env::var_os("MEDCOSMOS_TEST_MARKS")) else {
        return;
    };
    let slow = Slow { pause: Duration::from_millis(150), marks: marks.into(), works: u64::MAX };
    let options = PredictOptions { strategies: vec![Strategy::Box], ..PredictOptions::default() };
    let dataset = Dataset::open(PathBuf::from(dataset)).unwrap();
    predict_with(&dataset, &slow, &options, &Progress::new(true)).unwrap();
}

fn segments(dataset: &Path) -> Vec<PathBuf> {
    let files = walkdir::WalkDir::new(dataset.join(".medcosmos/journal")).into_iter().flatten();
    files.filter(|entry| entry.file_type().is_file()).map(|entry| entry.into_path()).collect()
}

#[test]
fn a_killed_run_keeps_what_is_finished() {
    let place = Place::new();
    let (undisturbed, killed, marks) = (place.dataset("undisturbed"), place.dataset("killed"), place.path("marks"));
    let slices = count(&predict(&undisturbed, &[]), "slices");
    // Killed twice, at another slice each time.
    for until in [2, 5] {
        let mut child = slow_child(&killed, &marks);
        let started = Instant::now();
        while Slow::marks(&marks) < until {
            assert!(started.elapsed() < Duration::from_secs(60), "the child does nothing");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it was killed");
    }
    assert!(!segments(&killed).is_empty());
    assert!(slow_child(&killed, &marks).wait().unwrap().success());
    assert_same(&undisturbed, &killed);
    assert!(segments(&killed).is_empty(), "the journal is of no more use");
    let in_hand = 2 * (std::thread::available_parallelism().unwrap().get() as u64 + 1);
    assert!(Slow::marks(&marks) <= slices + in_hand, "{} slices of {slices}", Slow::marks(&marks));
    Run::done(medcosmos("verify").arg(&killed));
}

/// A run that fails after some slices, with what it leaves in the journal.
fn failed_run(dataset: &Path, marks: &Path, works: u64) {
    let slow = Slow { pause: Duration::ZERO, marks: marks.into(), works };
    let options = PredictOptions { strategies: vec![Strategy::Box], ..PredictOptions::default() };
    let opened = Dataset::open(dataset).unwrap();
    let run = || predict_with(&opened, &slow, &options, &Progress::new(true));
    // One thread, so that it is the first slices that are finished.
    let error = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(run).unwrap_err();
    assert!(error.to_string().contains("gave up"), "{error}");
}

#[test]
fn a_run_that_fails_keeps_what_is_finished_and_damaged_journals_do_no_harm() {
    let place = Place::new();
    let (undisturbed, failed, marks) = (place.dataset("undisturbed"), place.dataset("failed"), place.path("marks"));
    let slices = count(&predict(&undisturbed, &[]), "slices");
    let before = files_of(&failed);
    failed_run(&failed, &marks, 4);
    let unchanged = |path: &String| !path.starts_with("predictions/") && !path.starts_with("receipts/predict/");
    assert!(files_of(&failed).keys().filter(|path| unchanged(path)).eq(before.keys()));
    assert!(!segments(&failed).is_empty());

    // A smaller selection takes its part of the journal, and leaves the rest for the next run.
    let report = predict(&failed, &["--limit", "1"]);
    assert_eq!(count(&report, "slices"), 0, "{report}");
    assert!(!segments(&failed).is_empty());
    for segment in segments(&failed) {
        let mut bytes = fs::read(&segment).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&segment, bytes).unwrap();
    }
    let run = Run::done(&mut command(&failed, &[]));
    assert!(run.err.contains("this part of the journal is ignored"), "{}", run.err);
    assert_eq!(count(&run.json(), "slices"), slices - 1);
    assert_same(&undisturbed, &failed);
}
