//! The same input gives the same bytes: on one thread, on two, wherever and in whatever order its files lie, whatever
//! the environment, and however often the program is killed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use crate::program::{Run, assert_same, files_of, medcosmos};
use crate::{phantom, samples};

/// Sources of the samples that take little time.
const SMALL_SOURCES: [&str; 4] = ["acdc", "drive", "i2cvb", "msd"];

/// A dataset to be made on so many threads.
struct Pipeline<'a> {
    raw: &'a Path,
    dataset: &'a Path,
    sources: &'a [&'a str],
    threads: u32,
}

impl Pipeline<'_> {
    /// The commands that make it, in order, each ready to run.
    fn stages(&self) -> Vec<Command> {
        let stage = |name: &str, arguments: &[&str], paths: &[&Path]| {
            let mut program = medcosmos(name);
            program.args(["--threads", &self.threads.to_string()]).args(arguments).args(paths);
            program
        };
        let mut build = stage("build", &["--json", "--quiet", "--out"], &[self.dataset, self.raw]);
        self.sources.iter().for_each(|source| _ = build.args(["--source", source]));
        vec![
            build,
            stage("predict", &["--json", "--quiet", "--model", "otsu-box"], &[self.dataset]),
            stage("evaluate", &["--json", "--quiet"], &[self.dataset]),
            #[cfg(feature = "query")]
            stage("analyze", &["--quiet"], &[self.dataset]),
        ]
    }

    fn run(&self) -> Vec<Run> {
        self.stages().iter_mut().map(Run::done).collect()
    }

    /// Runs each stage again and again, killed whenever it has finished one more shard, until it ends by itself.
    /// Returns how often it was killed.
    fn run_killed(&self) -> usize {
        let mut stages = self.stages();
        (0..stages.len()).map(|n| self.kill_until_done(&mut stages, n)).sum()
    }

    fn kill_until_done(&self, stages: &mut [Command], n: usize) -> usize {
        let mut kills = 0;
        loop {
            if kills == 1 {
                // As a user would who runs the whole script again.
                stages[..n].iter_mut().for_each(|earlier| _ = Run::done(earlier));
            }
            let stage = &mut stages[n];
            let before = self.receipts();
            let mut process = stage.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            loop {
                if let Some(status) = process.try_wait().unwrap() {
                    assert!(status.success(), "{stage:?} after {kills} kills: {status}");
                    return kills;
                }
                if self.receipts() > before {
                    break;
                }
                sleep(Duration::from_millis(1));
            }
            process.kill().unwrap(); // SIGKILL: no handler, no clean-up
            kills += usize::from(!process.wait().unwrap().success());
        }
    }

    fn receipts(&self) -> usize {
        let entries = walkdir::WalkDir::new(self.dataset.join("receipts")).into_iter().flatten();
        entries.filter(|e| e.path().extension().is_some_and(|extension| extension == "json")).count()
    }
}

/// Makes a dataset in three ways and compares every byte; then runs the finished stages again, which must do nothing.
fn check(raw: &Path, sources: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let [one, two, killed] = ["one", "two", "killed"].map(|name| folder.path().join(name));
    let pipeline = |dataset, threads| Pipeline { raw, dataset, sources, threads };
    pipeline(&one, 1).run();
    pipeline(&two, 2).run();
    let kills = pipeline(&killed, 1).run_killed();
    println!("killed {kills} times");
    assert!(kills >= 3, "the stages were too fast to be killed between shards: {kills}");
    assert_same(&one, &two);
    assert_same(&one, &killed);

    let before = files_of(&one);
    assert!(before.keys().any(|path| path.starts_with("metrics/model=otsu-box/")), "{before:#?}");
    let shards = before.keys().filter(|path| path.starts_with("receipts/build/")).count();
    let again = pipeline(&one, 2).run();
    // The evaluation has two shards for each of the build: factors and metrics.
    for (run, expected) in again.iter().zip([shards, shards, 2 * shards]) {
        let report = run.json();
        assert_eq!((&report["shards_done"], &report["shards_reused"]), (&0.into(), &expected.into()), "{report}");
    }
    assert_eq!(files_of(&one), before, "a run over finished work changed the dataset");
}

/// 82 cases of one source, which are two shards, and a few of two others.
fn many_small_cases(raw: &Path) {
    (1..=41).for_each(|patient| [1, 9].iter().for_each(|&frame| phantom::cardiac_case(raw, patient, frame)));
    (1..=3).for_each(|number| phantom::spleen_case(raw, number));
    (1..=3).for_each(|slice| phantom::released_slice(raw, 1, slice));
}

#[test]
fn phantoms_on_any_threads_and_killed() {
    let raw = tempfile::tempdir().unwrap();
    many_small_cases(raw.path());
    check(raw.path(), &["acdc", "cosmos-png", "msd"]);
}

#[test]
fn samples_on_any_threads_and_killed() {
    let Some(raw) = samples::folder("raw") else { return };
    check(&raw, &SMALL_SOURCES);
}

/// Copies a folder whose files are then created in reverse, with other times.
fn copied_backwards(from: &Path, to: &Path) {
    let entries = walkdir::WalkDir::new(from).sort_by_file_name().into_iter().map(Result::unwrap);
    let files: Vec<_> = entries.filter(|entry| entry.file_type().is_file()).collect();
    for file in files.iter().rev() {
        let target = to.join(file.path().strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(&target, fs::read(file.path()).unwrap()).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        fs::File::options().write(true).open(&target).unwrap().set_modified(old).unwrap();
    }
}

/// All stages of a build and an evaluation, each run from a folder with an environment.
fn in_environment(folder: &Path, raw: &Path, dataset: &Path, threads: &str, environment: &[(&str, &str)]) {
    let run = |command: &str, options: &[&str], paths: &[&Path]| {
        let mut program = medcosmos(command);
        program.current_dir(folder).args(["--quiet", "--threads", threads]).args(options).args(paths);
        environment.iter().for_each(|(name, value)| _ = program.env(name, value));
        Run::done(&mut program);
    };
    run("build", &["--source", "acdc", "--source", "msd", "--out"], &[dataset, raw]);
    run("leaks", &[], &[dataset]);
    run("split", &["--folds", "2"], &[dataset]);
    run("predict", &["--model", "otsu-box"], &[dataset]);
    run("evaluate", &[], &[dataset]);
}

#[test]
fn neither_place_nor_order_nor_environment_changes_a_byte() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    (1..=3).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
    (1..=2).for_each(|number| phantom::spleen_case(&raw, number));
    let elsewhere = folder.path().join("another place/ü/raw");
    copied_backwards(&raw, &elsewhere);
    let [plain, other] = ["plain", "other"].map(|name| folder.path().join(name));
    in_environment(folder.path(), &raw, &plain, "1", &[("TZ", "UTC"), ("LC_ALL", "C"), ("LANG", "C")]);
    let foreign = [("TZ", "Asia/Kathmandu"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "de_DE.UTF-8"), ("HOME", "/nowhere")];
    // By a relative path, from a folder of its own, on other threads.
    in_environment(elsewhere.parent().unwrap(), Path::new("raw"), &other, "3", &foreign);
    assert_same(&plain, &other);
}
