//! Shards of work that any engine runs: whoever runs them, in whatever order and however often, the dataset is the one
//! that a single process makes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::phantom;
use crate::program::{Run, assert_same, files_of, medcosmos};

/// Downloads of two sources, and what one process makes of them.
struct Place {
    folder: tempfile::TempDir,
}

/// A plan of shards as small as can be, so that a slice or two are a part.
const SMALL: &[&str] = &["--shard-seconds", "0.0001"];
const PREDICT: &[&str] = &["--model", "otsu-box", "--strategies", "S5"];

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        (1..=3).for_each(|patient| phantom::cardiac_case(&place.path("raw"), patient, 1));
        (1..=3).for_each(|slice| phantom::released_slice(&place.path("raw"), 1, slice));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build(&self, name: &str) -> PathBuf {
        let dataset = self.path(name);
        Run::done(medcosmos("build").arg(self.path("raw")).arg("--out").arg(&dataset).arg("--quiet"));
        dataset
    }

    /// A dataset with all stages, by one process each.
    fn reference(&self) -> PathBuf {
        let dataset = self.build("reference");
        Run::done(medcosmos("predict").arg(&dataset).args(PREDICT).arg("--quiet"));
        Run::done(medcosmos("evaluate").arg(&dataset).arg("--quiet"));
        dataset
    }

    fn plan_build(&self, dataset: &Path) -> Plan {
        Plan::of(medcosmos("plan").arg("build").arg(self.path("raw")).arg("--out").arg(dataset).args(SMALL), dataset)
    }
}

/// A plan as `--json` prints it.
struct Plan {
    dataset: PathBuf,
    json: Value,
}

impl Plan {
    fn of(command: &mut Command, dataset: &Path) -> Plan {
        let json = Run::done(command.args(["--json", "--quiet"])).json();
        Plan { dataset: dataset.to_path_buf(), json }
    }

    fn predict(dataset: &Path, options: &[&str]) -> Plan {
        Plan::of(medcosmos("plan").arg("predict").arg(dataset).args(PREDICT).args(options).args(SMALL), dataset)
    }

    fn evaluate(dataset: &Path) -> Plan {
        Plan::of(medcosmos("plan").arg("evaluate").arg(dataset).args(SMALL), dataset)
    }

    /// Ids of the shards in a state.
    fn ids(&self, state: &str) -> Vec<String> {
        let shards = self.json["shards"].as_array().unwrap().iter();
        shards.filter(|shard| shard["state"] == state).map(|shard| shard["id"].as_str().unwrap().to_string()).collect()
    }

    fn open(&self) -> Vec<String> {
        self.ids("open")
    }

    fn commit(&self) -> Command {
        let mut command = medcosmos("commit");
        command.arg(&self.dataset).arg(self.json["plan"].as_str().unwrap()).arg("--quiet");
        command
    }

    /// Runs all shards by several workers at a time, the last first, and commits.
    fn run(&self) {
        let mut ids = self.open();
        ids.reverse();
        let workers: Vec<Worker> = (0..2).map(|_| Worker::start(&self.dataset)).collect();
        let answers = std::thread::scope(|scope| {
            let run = |(at, mut worker): (usize, Worker)| {
                let own: Vec<&String> = ids.iter().skip(at).step_by(2).collect();
                scope.spawn(move || own.into_iter().map(|id| worker.ask(id)).collect::<Vec<Value>>())
            };
            let running: Vec<_> = workers.into_iter().enumerate().map(run).collect();
            running.into_iter().flat_map(|running| running.join().unwrap()).collect::<Vec<Value>>()
        });
        assert!(answers.iter().all(|answer| answer["outcome"] == "done"), "{answers:#?}");
        Run::done(&mut self.commit());
    }
}

/// A process of `medcosmos worker`.
struct Worker {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(dataset: &Path) -> Worker {
        let mut command = medcosmos("worker");
        command.arg(dataset).arg("--quiet").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Worker { child, answers }
    }

    fn ask(&mut self, id: &str) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{id}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert_eq!(answer["id"], id);
        answer
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run_shards(dataset: &Path, ids: &[String]) -> Run {
    Run::of(medcosmos("shard").arg("run").arg(dataset).args(ids).args(["--json", "--quiet"]))
}

fn answers(run: &Run) -> Vec<Value> {
    run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn retry(dataset: &Path) -> Vec<Value> {
    let run = Run::done(medcosmos("retry").arg(dataset).args(["--dry-run", "--json", "--quiet"]));
    run.json()["shards"].as_array().unwrap().clone()
}

#[test]
fn shards_in_any_order_by_several_workers_give_the_bytes_of_one_process() {
    let place = Place::new();
    let (reference, dataset) = (place.reference(), place.path("data"));
    let build = place.plan_build(&dataset);
    assert!(build.open().len() > 1, "{:#}", build.json);
    build.run();
    let predict = Plan::predict(&dataset, &[]);
    let slices = medcosmos_count(&dataset, "slices");
    assert!(predict.open().len() > 4 && predict.open().len() as u64 <= slices, "{:#}", predict.json);
    predict.run();
    Plan::evaluate(&dataset).run();
    assert_same(&reference, &dataset);
    for plan in [place.plan_build(&dataset), Plan::predict(&dataset, &[]), Plan::evaluate(&dataset)] {
        assert!(plan.open().is_empty() && !plan.ids("done").is_empty());
        Run::done(&mut plan.commit());
    }
    assert!(retry(&dataset).is_empty());
    assert_same(&reference, &dataset);
}

fn medcosmos_count(dataset: &Path, table: &str) -> u64 {
    let query = format!("SELECT count(*) AS n FROM {table}");
    let run = Run::done(medcosmos("query").arg(dataset).arg(query).args(["--json", "--quiet"]));
    run.json()["n"].as_u64().unwrap()
}

#[test]
fn a_plan_is_the_same_for_whoever_makes_it_and_holds_in_every_folder() {
    let place = Place::new();
    let dataset = place.path("data");
    let run = |folder: &Path, raw: &str, out: &str| {
        let mut command = medcosmos("plan");
        command.current_dir(folder).args(["build", raw, "--out", out]).args(SMALL).args(["--json", "--quiet"]);
        Run::done(&mut command).json()["shards"].clone()
    };
    let here = run(place.folder.path(), "raw", "data");
    fs::create_dir(place.path("elsewhere")).unwrap();
    assert_eq!(here, run(&place.path("elsewhere"), "../raw", "../data"));
    let ids: Vec<String> =
        here.as_array().unwrap().iter().map(|shard| shard["id"].as_str().unwrap().to_string()).collect();
    assert_eq!(ids.len(), BTreeSet::from_iter(&ids).len());
    let listed = Run::done(
        medcosmos("plan").arg("build").arg(place.path("raw")).arg("--out").arg(&dataset).args(SMALL).arg("--ids"),
    );
    assert_eq!(listed.out.lines().collect::<Vec<_>>(), ids);
    let run = Run::done(
        medcosmos("shard")
            .current_dir(place.path("elsewhere"))
            .args(["run", "../data"])
            .args(&ids)
            .args(["--json", "--quiet"]),
    );
    assert!(answers(&run).iter().all(|answer| answer["outcome"] == "done"));
    Run::done(medcosmos("commit").current_dir("/").arg(&dataset).args(["build", "--quiet"]));
    assert_same(&place.build("other"), &dataset);
}

#[test]
fn a_shard_runs_once_and_its_attempts_are_told() {
    let place = Place::new();
    let dataset = place.build("data");
    let plan = Plan::predict(&dataset, &[]);
    let ids = plan.open();
    let some = &ids[..2];
    for outcome in ["done", "reused", "reused"] {
        let run = run_shards(&dataset, some);
        assert_eq!(run.status, 0, "{}", run.err);
        assert!(answers(&run).iter().all(|answer| answer["outcome"] == outcome), "{}", run.out);
    }
    let again = Plan::predict(&dataset, &[]);
    assert_eq!(again.ids("done"), some);
    let before = files_of(&dataset);
    Run::of(&mut plan.commit()).failed(1, &["not done", "medcosmos retry"]);
    assert_eq!(before, files_of(&dataset));
    let open = retry(&dataset);
    assert_eq!(open.len(), ids.len() - 2);
    assert!(open.iter().all(|shard| shard["attempts"].as_array().unwrap().is_empty()));
    Run::done(medcosmos("retry").arg(&dataset).arg("--quiet"));
    Run::done(&mut plan.commit());
    let attempted = again.json["shards"].as_array().unwrap().iter().map(|shard| shard["attempts"].as_u64().unwrap());
    assert_eq!(attempted.sum::<u64>(), 2);
}

#[test]
fn what_is_no_shard_of_a_plan_is_refused_and_the_worker_goes_on() {
    let place = Place::new();
    let dataset = place.path("data");
    Run::of(medcosmos("shard").arg("run").arg(&dataset).arg("0123456789abcdef")).failed(1, &["data"]);
    let plan = place.plan_build(&dataset);
    let run = run_shards(&dataset, &["0123456789abcdef".to_string()]);
    assert_eq!(run.status, 1);
    assert!(run.out.contains("medcosmos plan"), "{}", run.out);
    let mut worker = Worker::start(&dataset);
    for id in ["no id", "0123456789abcdef", "../../../etc/passwd"] {
        assert_eq!(worker.ask(id)["outcome"], "failed");
    }
    let ids = plan.open();
    assert_eq!(worker.ask(&ids[0])["outcome"], "done");
    assert_eq!(worker.ask("0123456789abcdef")["outcome"], "failed");
    assert_eq!(worker.ask(&ids[0])["outcome"], "reused");
    // Other downloads are another plan.
    worker.end();
    phantom::cardiac_case(&place.path("raw"), 1, 1);
    let image = place.path("raw").join(&phantom::cardiac_paths(1, 1)[0]);
    phantom::write(&image, &phantom::gzip(&phantom::nifti(phantom::SIZE, &phantom::image(7))));
    let run = run_shards(&dataset, &ids);
    let outcomes: BTreeSet<String> =
        answers(&run).iter().map(|answer| answer["outcome"].as_str().unwrap().to_string()).collect();
    assert!(outcomes.contains("failed"), "{}", run.out);
    assert!(run.out.contains("medcosmos plan"), "{}", run.out);
}

#[test]
fn what_the_stage_would_refuse_is_not_planned() {
    let place = Place::new();
    let dataset = place.reference();
    let mut build = medcosmos("plan");
    build.arg("build").arg(place.path("raw")).arg("--out").arg(&dataset).args(["--min-area", "500", "--quiet"]);
    Run::of(&mut build).failed(1, &["--replace", "min_area"]);
    let mut evaluate = medcosmos("plan");
    evaluate.arg("evaluate").arg(&dataset).args(["--nsd-tolerance-px", "3", "--quiet"]);
    Run::of(&mut evaluate).failed(1, &["--replace"]);
    let mut predict = medcosmos("plan");
    predict.arg("predict").arg(&dataset).args(PREDICT).args(["--keep-candidates", "--quiet"]);
    Run::of(&mut predict).failed(1, &["--replace"]);
    Run::of(medcosmos("commit").arg(&dataset).arg("build")).failed(1, &["no plan", "medcosmos plan"]);
    Run::of(
        medcosmos("plan").arg("build").arg(place.path("raw")).arg("--out").arg(&dataset).args(["--shard-seconds", "0"]),
    )
    .failed(2, &["--shard-seconds"]);
}

#[test]
fn a_killed_worker_costs_its_slice_and_the_others_go_on() {
    let place = Place::new();
    let dataset = place.build("data");
    let plan = Plan::of(
        medcosmos("plan").arg("predict").arg(&dataset).args(PREDICT).args(["--shard-seconds", "1000"]),
        &dataset,
    );
    let ids = plan.open();
    assert_eq!(ids.len(), 1);
    let mut command = medcosmos("worker");
    command
        .arg(&dataset)
        .arg("--quiet")
        .env("MEDCOSMOS_JOURNAL_SECONDS", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "{}", ids[0]).unwrap();
    let begun = Instant::now();
    while !dataset.join(".medcosmos/journal").exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = run_shards(&dataset, &ids);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    Run::done(&mut plan.commit());
    Run::done(medcosmos("evaluate").arg(&dataset).arg("--quiet"));
    assert_same(&place.reference(), &dataset);
}

#[test]
fn two_workers_on_one_shard_write_the_same() {
    let place = Place::new();
    let dataset = place.path("data");
    let plan = place.plan_build(&dataset);
    let ids = plan.open();
    std::thread::scope(|scope| {
        let run = || assert_eq!(run_shards(&dataset, &ids).status, 0);
        let running: Vec<_> = (0..3).map(|_| scope.spawn(run)).collect();
        running.into_iter().for_each(|running| running.join().unwrap());
    });
    Run::done(&mut plan.commit());
    assert_same(&place.build("other"), &dataset);
}

#[test]
fn a_shard_that_fails_leaves_the_others_alone_and_is_told() {
    let place = Place::new();
    let dataset = place.build("data");
    // A picture that cannot be decoded, in a file of the size and the checksums that it had would be found by CRC: its
    // shard fails, whoever tries it.
    let file = fs::read_dir(dataset.join("slices/source=acdc")).unwrap().flatten().next().unwrap().path();
    let whole = fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(&file, &damaged).unwrap();
    let plan = Plan::predict(&dataset, &[]);
    let ids = plan.open();
    let run = run_shards(&dataset, &ids);
    let failed: Vec<Value> = answers(&run).into_iter().filter(|answer| answer["outcome"] == "failed").collect();
    assert!(run.status == 3 && !failed.is_empty() && failed.len() < ids.len(), "{}", run.out);
    run_shards(&dataset, &ids);
    let open = retry(&dataset);
    assert_eq!(open.len(), failed.len());
    for shard in &open {
        let attempts = shard["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 2, "{shard:#}");
        assert!(attempts.iter().all(|attempt| attempt["outcome"] == "failed" && attempt["reason"].is_string()));
    }
    let listed = Run::done(medcosmos("retry").arg(&dataset).args(["--dry-run", "--quiet"]));
    assert!(listed.out.contains("failed after") && listed.out.contains("slices/source=acdc"), "{}", listed.out);
    Run::of(&mut plan.commit()).failed(1, &["not done"]);
    fs::write(&file, &whole).unwrap();
    let run = Run::done(medcosmos("retry").arg(&dataset).args(["predict-otsu-box", "--json", "--quiet"]));
    assert!(answers(&run).iter().all(|answer| answer["outcome"] == "done"), "{}", run.out);
    Run::done(&mut plan.commit());
    Run::done(medcosmos("evaluate").arg(&dataset).arg("--quiet"));
    assert_same(&place.reference(), &dataset);
}

#[test]
fn selections_are_planned_and_add_to_what_is_there() {
    let place = Place::new();
    let (dataset, other) = (place.build("data"), place.build("other"));
    for options in [&["--limit", "4"][..], &["--where", "source = 'acdc'"], &[]] {
        Plan::predict(&dataset, options).run();
        Run::done(medcosmos("predict").arg(&other).args(PREDICT).args(options).arg("--quiet"));
        assert_same(&other, &dataset);
    }
}

#[test]
fn a_stage_that_commits_and_shards_of_work_keep_out_of_each_others_way() {
    let place = Place::new();
    let dataset = place.build("data");
    let plan = Plan::predict(&dataset, &[]);
    let ids = plan.open();
    let mut worker = Worker::start(&dataset);
    assert_eq!(worker.ask(&ids[0])["outcome"], "done");
    let run = run_shards(&dataset, &ids[1..]);
    assert_eq!(run.status, 0, "{}", run.err);
    Run::of(&mut plan.commit()).failed(1, &["shards of work run"]);
    worker.end();
    Run::done(&mut plan.commit());
}
