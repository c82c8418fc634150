//! Datasets in a bucket: every command that takes a dataset takes `s3://bucket/prefix`, and leaves the objects that are the
//! files of a dataset in a folder.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use crate::object_store::moto::Moto;
use crate::object_store::{Between, done, run, start, with_server};
use crate::phantom;
use crate::program::{Run, files_of, hex, medcosmos};

/// A dataset in a bucket.
const URL: &str = "s3://lab/sets/one";

/// The stages, with their options.
const STAGES: [(&str, &[&str]); 6] = [
    ("build", &[]),
    ("leaks", &[]),
    ("split", &[]),
    ("predict", &["--model", "otsu-box"]),
    ("evaluate", &[]),
    ("analyze", &[]),
];

/// Downloads, and folders for the caches of hosts.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        (1..=2).for_each(|patient| phantom::cardiac_case(&place.path("raw"), patient, 1));
        phantom::spleen_case(&place.path("raw"), 1);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command on a host of this name, which reaches the server at `port`.
    fn on(&self, host: &str, port: u16, command: &str) -> Command {
        let mut program = with_server(command, port);
        program.env("MEDCOSMOS_CACHE", self.path(host)).env("MEDCOSMOS_LOG", "warn");
        program
    }

    /// A stage of the dataset at `data` on a host.
    fn stage(&self, host: &str, port: u16, (command, options): (&str, &[&str]), data: &Path) -> Command {
        let mut program = self.on(host, port, command);
        if command == "build" {
            program.arg(self.path("raw")).arg("--out");
        }
        program.arg(data).args(options).arg("--quiet");
        program
    }

    /// The same stages on a folder.
    fn local(&self, stages: &[(&str, &[&str])]) -> BTreeMap<String, String> {
        let data = self.path("local");
        for stage in stages {
            done(&mut self.stage("local-cache", 1, *stage, &data));
        }
        files_of(&data)
    }
}

/// What a GET request gives.
fn get(port: u16, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let authorization =
        "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    let head =
        format!("GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: {authorization}");
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(&answer));
    let body = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
    answer.split_off(body + 4)
}

/// SHA-256 of every object of the dataset, by key, but for those that the program keeps for itself.
fn objects(moto: &Moto) -> BTreeMap<String, String> {
    let listed = String::from_utf8(get(moto.port, "lab?list-type=2&max-keys=1000")).unwrap();
    let keys = listed.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap());
    let own = |key: &&str| key.starts_with("sets/one/") && !key.starts_with("sets/one/.medcosmos/");
    keys.filter(own)
        .map(|key| (key["sets/one/".len()..].to_string(), hex(&get(moto.port, &format!("lab/{key}")))))
        .collect()
}

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    files.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[test]
fn a_dataset_in_a_bucket_is_that_in_a_folder() {
    let Some(moto) = start(&["lab"]) else { return };
    let (place, port) = (Place::new(), moto.port);
    let local = place.local(&STAGES);
    for stage in STAGES {
        done(&mut place.stage("one", port, stage, Path::new(URL)));
    }
    assert_eq!(objects(&moto), local);

    // Another host reads it, which has room for next to nothing.
    let other = |command: &str| {
        let mut program = place.on("two", port, command);
        program.env("MEDCOSMOS_MIRROR", "5kB");
        program
    };
    let sql = "SELECT strategy, target, count(*) AS n, avg(dice) AS d FROM metrics GROUP BY ALL ORDER BY 1, 2";
    let asked = |data: &str, mut program: Command| done(program.args([data, sql, "--json"])).out;
    let folder = place.path("local").to_str().unwrap().to_string();
    assert_eq!(asked(URL, other("query")), asked(&folder, medcosmos("query")));
    let verified = done(other("verify").args([URL, "--json"])).json();
    assert_eq!((&verified["sound"], &verified["path"]), (&true.into(), &URL.into()), "{verified}");
    assert!(bytes_below(&place.path("two/datasets")) < 100_000, "copies go where there is no room for them");
    for command in ["report", "licences", "schema"] {
        let mut program = other(command);
        if command != "schema" {
            program.arg(URL);
        }
        done(&mut program);
    }
    assert!(get(port, "lab/sets/one/report.html").starts_with(b"<!"));
    let exported = |data: &str, to: &str| {
        let granted = ["--i-have-permission", "acdc", "--i-have-permission", "msd"];
        done(other("export").args([data, "--out"]).arg(place.path(to)).args(granted));
        files_of(&place.path(to))
    };
    assert_eq!(exported(URL, "from-url"), exported(&folder, "from-folder"));
    // Nothing is computed anew, and nothing changes.
    for stage in &STAGES[..5] {
        done(&mut place.stage("two", port, *stage, Path::new(URL)));
    }
    let mut same = objects(&moto);
    same.remove("report.html");
    assert_eq!(same, local);
}

#[test]
fn kills_and_a_dead_server_lose_nothing_in_a_bucket() {
    let Some(moto) = start(&["lab"]) else { return };
    let place = Place::new();
    let local = place.local(&STAGES);
    for stage in STAGES {
        for put in [1, 3, 6] {
            // Killed when this object, counted from the first, is about to be written.
            let (puts, now) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
            let reached = now.clone();
            let between = Between::start(moto.port, move |line| {
                if line.starts_with("PUT ") && puts.fetch_add(1, SeqCst) + 1 == put {
                    reached.store(true, SeqCst);
                    return false;
                }
                true
            });
            let mut program = place.stage("one", between.port, stage, Path::new(URL));
            let mut process = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while !now.load(SeqCst) && process.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(5));
            }
            process.kill().unwrap();
            process.wait().unwrap();
        }
        done(&mut place.stage("two", moto.port, stage, Path::new(URL)));
    }
    assert_eq!(objects(&moto), local);
    done(place.on("two", moto.port, "verify").arg(URL));
}

#[test]
fn a_store_that_goes_away_is_said_and_the_next_run_goes_on() {
    let Some(moto) = start(&["lab"]) else { return };
    let place = Place::new();
    let puts = AtomicU64::new(0);
    let between = Between::start(moto.port, move |line| !line.starts_with("PUT ") || puts.fetch_add(1, SeqCst) < 4);
    let cut = run(&mut place.stage("one", between.port, STAGES[0], Path::new(URL)));
    cut.failed(1, &[URL, "does not answer"]);
    done(&mut place.stage("one", moto.port, STAGES[0], Path::new(URL)));
    assert_eq!(objects(&moto), place.local(&STAGES[..1]));
}

#[test]
fn of_two_commands_that_commit_one_says_that_it_changed_nothing() {
    let Some(moto) = start(&["lab"]) else { return };
    let place = Place::new();
    let local = place.local(&STAGES[..4]);
    done(&mut place.stage("one", moto.port, STAGES[0], Path::new(URL)));
    // The manifest of the first is held back until the second has committed.
    let (waits, goes_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (reached, on) = (waits.clone(), goes_on.clone());
    let between = Between::start(moto.port, move |line| {
        if line.starts_with("PUT ") && line.contains("/manifest.json") {
            reached.store(true, SeqCst);
            while !on.load(SeqCst) {
                sleep(Duration::from_millis(5));
            }
        }
        true
    });
    let mut predict = place.stage("one", between.port, STAGES[3], Path::new(URL));
    let first = std::thread::spawn(move || run(&mut predict));
    while !waits.load(SeqCst) {
        sleep(Duration::from_millis(5));
    }
    done(&mut place.stage("two", moto.port, STAGES[1], Path::new(URL)));
    let kept = objects(&moto);
    goes_on.store(true, SeqCst);
    first.join().unwrap().failed(1, &[URL, "another medcosmos committed", "run the same command again"]);
    assert_eq!(objects(&moto), kept, "nothing that was committed is changed");
    for stage in [STAGES[3], STAGES[2]] {
        done(&mut place.stage("one", moto.port, stage, Path::new(URL)));
    }
    assert_eq!(objects(&moto), local);
}

#[test]
fn engines_and_pipelines_work_on_a_bucket() {
    let Some(moto) = start(&["lab"]) else { return };
    let (place, port) = (Place::new(), moto.port);
    let plan = |host: &str, arguments: &[&str]| -> Vec<String> {
        let mut program = place.on(host, port, "plan");
        if arguments[0] == "build" {
            program.arg("build").arg(place.path("raw")).args(["--out", URL]);
        } else {
            program.args([arguments[0], URL]).args(&arguments[1..]);
        }
        done(program.arg("--ids")).out.lines().map(String::from).collect()
    };
    for (arguments, name) in [(&["build"][..], "build"), (&["predict", "--model", "otsu-box"], "predict-otsu-box")] {
        let ids = plan("one", arguments);
        assert!(!ids.is_empty());
        // Other hosts need not read the downloads for their digests.
        assert!(!get(port, "lab/sets/one/.medcosmos/digests").is_empty());
        for (at, id) in ids.iter().enumerate() {
            done(place.on(["one", "two"][at % 2], port, "shard").args(["run", URL, id]));
        }
        assert!(plan("two", arguments).is_empty(), "another host sees that all is done");
        done(place.on("two", port, "commit").args([URL, name]));
    }
    let local = place.local(&[STAGES[0], STAGES[3]]);
    assert_eq!(objects(&moto), local);
    let file = place.path("pipeline.toml");
    let text = format!(
        "raw = {:?}\ndataset = {URL:?}\n[build]\n[[predict]]\nmodel = \"otsu-box\"\n[evaluate]\n",
        place.path("raw")
    );
    std::fs::write(&file, text).unwrap();
    done(place.on("one", port, "run").arg(file));
    assert_eq!(objects(&moto), place.local(&[STAGES[0], STAGES[3], STAGES[4]]));
}

#[test]
fn damage_in_a_bucket_is_found_and_mended() {
    let Some(moto) = start(&["lab"]) else { return };
    let (place, port) = (Place::new(), moto.port);
    done(&mut place.stage("one", port, STAGES[0], Path::new(URL)));
    let sound = objects(&moto);
    // The copies on the host are whole, and the sizes of the objects are right.
    for folder in ["masks/", "receipts/build/"] {
        let key = format!("lab/sets/one/{}", sound.keys().find(|key| key.starts_with(folder)).unwrap());
        let mut bytes = get(port, &key);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        moto.put(&key, &bytes);
    }
    assert_eq!(run(place.on("one", port, "verify").arg(URL)).status, 1);
    done(place.on("one", port, "verify").args([URL, "--repair", "--apply"]));
    done(&mut place.stage("one", port, STAGES[0], Path::new(URL)));
    assert_eq!(objects(&moto), sound);
    assert_eq!(run(place.on("one", port, "verify").arg(URL)).status, 0);
}

/// A look at each of so many shards is about four requests.
#[test]
fn many_shards_are_seen_by_listings() {
    let Some(moto) = start(&["lab"]) else { return };
    let place = Place::new();
    let bins: Vec<String> = (0..30).map(|n| format!("{n}-{}", n + 1)).collect();
    let jitter = format!("--jitter={}", bins.join(","));
    let stages: [(&str, &[&str]); 3] =
        [STAGES[0], ("predict", &["--model", "otsu-box", jitter.as_str()]), ("evaluate", &[])];
    let requests = Arc::new(AtomicU64::new(0));
    let counted = requests.clone();
    let between = Between::start(moto.port, move |_| counted.fetch_add(1, SeqCst) < u64::MAX);
    for stage in stages {
        done(&mut place.stage("one", between.port, stage, Path::new(URL)));
    }
    let stored = objects(&moto);
    assert_eq!(stored, place.local(&stages));
    let shards = stored.keys().filter(|key| key.starts_with("receipts/")).count() as u64;
    requests.store(0, SeqCst);
    done(&mut place.stage("one", between.port, stages[2], Path::new(URL)));
    let requests = requests.load(SeqCst);
    assert!(requests < 2 * shards, "{requests} requests for {shards} shards");
    assert_eq!(objects(&moto), stored);
}

#[test]
fn what_is_no_dataset_is_said() {
    let Some(moto) = start(&["lab"]) else { return };
    let (place, port) = (Place::new(), moto.port);
    moto.put("lab/thesis/chapter.tex", b"precious");
    let query = |url: &str| run(place.on("one", port, "query").args([url, "SELECT 1"]));
    query("s3://lab/none").failed(1, &["s3://lab/none: not a medcosmos dataset"]);
    query("s3://nobody/none").failed(1, &["s3://nobody/none", "does not exist"]);
    let occupied = run(place.on("one", port, "build").arg(place.path("raw")).args(["--out", "s3://lab/thesis"]));
    occupied.failed(1, &["s3://lab/thesis: not empty"]);
    let limit: Run = run(place.on("one", port, "query").env("MEDCOSMOS_MIRROR", "much").args([URL, "SELECT 1"]));
    limit.failed(1, &[URL, "MEDCOSMOS_MIRROR", "20GB"]);
}
