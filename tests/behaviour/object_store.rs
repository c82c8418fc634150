//! Downloads in a bucket: every command that takes a folder takes `s3://bucket/prefix`, and gives the same.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use zip::CompressionMethod;

use crate::archives::{files, seven_zip, tar, zip};
use crate::phantom;
use crate::program::{Run, assert_same, medcosmos};
use crate::samples::skip;

#[path = "../moto/mod.rs"]
mod moto;
use moto::Moto;

/// A session's token, which is a credential too.
const TOKEN: &str = "token-of-the-tests";

fn start(buckets: &[&str]) -> Option<Moto> {
    Moto::start(buckets, skip)
}

/// The program with what it needs to talk to a server at `port`. It logs all that it can.
fn with_server(command: &str, port: u16) -> Command {
    let mut program = medcosmos(command);
    program.envs(moto::environment(port)).env("AWS_SESSION_TOKEN", TOKEN).env("MEDCOSMOS_LOG", "trace");
    program
}

/// Runs the program, which must not print a credential.
#[track_caller]
fn run(program: &mut Command) -> Run {
    let run = Run::of(program);
    for secret in [moto::KEY_ID, moto::SECRET, TOKEN, "Signature="] {
        assert!(!run.out.contains(secret) && !run.err.contains(secret), "{secret} is in {}{}", run.out, run.err);
    }
    run
}

/// As [`run`], to the status 0.
#[track_caller]
fn done(program: &mut Command) -> Run {
    let run = run(program);
    assert_eq!(run.status, 0, "{program:?}\n{}{}", run.out, run.err);
    run
}

/// Puts all files of a folder below a prefix of a bucket.
fn upload(moto: &Moto, folder: &Path, to: &str) {
    files(folder).iter().for_each(|(path, bytes)| moto.put(&format!("{to}/{path}"), bytes));
}

/// Downloads in every kind of packing: loose, in archives, in parts of one, in an archive inside an archive.
fn downloads() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let patient = |number: usize| {
        let case = tempfile::tempdir().unwrap();
        phantom::cardiac_case(case.path(), number, 1);
        files(case.path())
    };
    let put = |name: &str, bytes: &[u8]| phantom::write(&folder.path().join(name), bytes);
    patient(1).iter().for_each(|(path, bytes)| put(&format!("ACDC/{path}"), bytes));
    put("a b/two.zip", &zip(&patient(2), CompressionMethod::Deflated));
    put("three.tar", &tar(&patient(3)));
    put("four.tar.gz", &phantom::gzip(&tar(&patient(4))));
    put("five.7z", &seven_zip(&patient(5)));
    let parts = zip(&patient(6), CompressionMethod::Stored);
    let (first, second) = parts.split_at(parts.len() / 2);
    put("six.zip.001", first);
    put("six.zip.002", second);
    put(
        "seven.zip",
        &zip(&[("inner.zip".into(), zip(&patient(7), CompressionMethod::Stored))], CompressionMethod::Stored),
    );
    put("__MACOSX/._two.zip", b"leftover");
    folder
}

#[test]
fn downloads_in_a_bucket_are_those_in_a_folder() {
    let Some(moto) = start(&["raw"]) else { return };
    let (raw, place) = (downloads(), tempfile::tempdir().unwrap());
    upload(&moto, raw.path(), "raw/down loads");
    let (url, port) = ("s3://raw/down loads", moto.port);
    let [local, stored] = ["local", "stored"].map(|name| place.path().join(name));
    done(with_server("build", port).arg(raw.path()).arg("--out").arg(&local));
    let report = done(with_server("build", port).args([url, "--out"]).arg(&stored));
    assert!(report.out.contains('7'), "{}", report.out);
    assert_same(&local, &stored);

    // The digests of the first build are those of the same objects.
    let again = tempfile::tempdir().unwrap();
    let digests = Path::new(".medcosmos/digests");
    let lines = fs::read_to_string(stored.join(digests)).unwrap();
    assert!(lines.lines().count() == 14 && lines.lines().all(|line| line.contains("outer_version")), "{lines}");
    fs::create_dir(again.path().join(".medcosmos")).unwrap();
    let same = done(with_server("build", port).args([url, "--out"]).arg(&stored));
    assert!(same.out.contains("7"), "{}", same.out);

    let json = |program: &mut Command| done(program.arg("--json")).json();
    let scans = [raw.path().to_str().unwrap(), url].map(|raw| json(with_server("scan", port).arg(raw)));
    assert_eq!(scans[0], scans[1]);
    done(with_server("sources", port).args(["check", "acdc", "--raw", url]));
    let deep = json(with_server("verify", port).arg(&stored).args(["--deep", url]));
    assert_eq!((&deep["sound"], &deep["deep"]["same"]), (&true.into(), &deep["deep"]["shards"]));
    done(with_server("trace", port).arg(&stored).args(["--file", "patient002_frame01.nii.gz"]));

    // One archive, one part of a split one, and one file.
    for archive in ["a b/two.zip", "six.zip.002"] {
        let scan = |raw: &str| json(with_server("scan", port).arg(format!("{raw}/{archive}")));
        assert_eq!(scan(url), scan(raw.path().to_str().unwrap()), "{archive}");
    }
    let [image, _] = phantom::cardiac_paths(1, 1);
    let inspect = |raw: &str| {
        let mut described = json(with_server("inspect", port).arg(format!("{raw}/ACDC/{image}")));
        described[0]["file"].take();
        described
    };
    assert_eq!(inspect(url), inspect(raw.path().to_str().unwrap()));
}

#[test]
fn downloads_in_a_bucket_are_verified() {
    let Some(moto) = start(&["raw"]) else { return };
    let raw = downloads();
    let written = run(with_server("verify", moto.port).arg(raw.path()).arg("--write"));
    assert!(written.out.contains("Checksums of 14 file(s) written"), "{}", written.out);
    upload(&moto, raw.path(), "raw");
    let verify = |arguments: &[&str]| run(with_server("verify", moto.port).args(arguments).arg("--json"));
    let checked = verify(&["s3://raw"]).json();
    assert_eq!(checked["checksums"]["file"], "s3://raw/checksums.tsv", "{checked}");
    assert_eq!((&checked["checksums"]["same"], &checked["checksums"]["listed"]), (&14.into(), &14.into()));
    moto.put("raw/three.tar", &tar(&[("training/other".into(), vec![1; 10])]));
    assert_eq!(verify(&["s3://raw"]).json()["checksums"]["same"], 12);
    verify(&["s3://raw", "--write"]).failed(1, &["s3://raw", "--checksums"]);
    let list = raw.path().join("list.tsv");
    assert_eq!(
        verify(&["s3://raw", "--write", "--checksums", list.to_str().unwrap()]).json()["checksums"]["written"],
        true
    );
    assert!(list.exists());
}

/// Passes requests on to a server, and counts the bytes of its answers.
struct Between {
    port: u16,
    /// Whether the server is gone.
    gone: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Between {
    /// `before` is called with the first line of each request before it is passed on; where it gives false, the server is
    /// gone from then on.
    fn start(server: u16, before: impl Fn(&str) -> bool + Send + Sync + 'static) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let between = Between { port, gone: Arc::default(), answered: Arc::default(), requests: Arc::default() };
        let (answered, requests, before) = (between.answered.clone(), between.requests.clone(), Arc::new(before));
        let gone = between.gone.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if gone.load(Relaxed) {
                    continue;
                }
                let gone = gone.clone();
                let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let (requests, before, answered) = (requests.clone(), before.clone(), answered.clone());
                let backwards = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    pass(client, server, |bytes| {
                        if bytes.starts_with(b"GET ") || bytes.starts_with(b"HEAD ") {
                            let line = String::from_utf8_lossy(bytes).lines().next().unwrap().to_string();
                            if !before(&line) {
                                gone.store(true, Relaxed);
                            }
                            requests.lock().unwrap().push(line);
                        }
                        !gone.load(Relaxed)
                    });
                });
                std::thread::spawn(move || {
                    pass(backwards.0, backwards.1, |bytes| {
                        answered.fetch_add(bytes.len() as u64, Relaxed);
                        true
                    });
                });
            }
        });
        between
    }
}

/// Passes bytes on while `see` says so.
fn pass(mut from: TcpStream, mut to: TcpStream, see: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !see(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

/// A zip of one case and `megabytes` of other files, none of which compresses.
fn mostly_other_files(megabytes: usize) -> Vec<u8> {
    let case = tempfile::tempdir().unwrap();
    phantom::cardiac_case(case.path(), 1, 1);
    let mut random = 1_u64;
    let mut noise = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u8
    };
    let other = |number: usize, noise: &mut dyn FnMut() -> u8| {
        (format!("other/{number:04}.bin"), (0..1 << 20).map(|_| noise()).collect::<Vec<u8>>())
    };
    let mut all: Vec<(String, Vec<u8>)> = (0..megabytes / 2).map(|number| other(number, &mut noise)).collect();
    all.extend(files(case.path()));
    all.extend((megabytes / 2..megabytes).map(|number| other(number, &mut noise)));
    zip(&all, CompressionMethod::Stored)
}

#[test]
fn one_case_of_a_large_zip_costs_few_bytes_and_requests() {
    let Some(moto) = start(&["raw"]) else { return };
    let bytes = mostly_other_files(24);
    moto.put("raw/large.zip", &bytes);
    let between = Between::start(moto.port, |_| true);
    let out = tempfile::tempdir().unwrap();
    done(
        with_server("build", between.port).args(["s3://raw", "--source", "acdc", "--out"]).arg(out.path().join("data")),
    );
    let (moved, whole) = (between.answered.load(Relaxed), bytes.len() as u64);
    assert!(moved * 20 < whole, "{moved} of {whole} bytes were moved");
    let requests = between.requests.lock().unwrap();
    assert!(requests.len() <= 8, "{requests:#?}");
}

#[test]
fn an_object_that_is_replaced_meanwhile_is_found() {
    let Some(moto) = start(&["raw"]) else { return };
    let moto = Arc::new(moto);
    moto.put("raw/one.zip", &mostly_other_files(2));
    let (server, seen, other) = (moto.clone(), AtomicU64::new(0), mostly_other_files(1));
    let between = Between::start(moto.port, move |line| {
        if line.contains("one.zip") && seen.fetch_add(1, Relaxed) == 1 {
            server.put("raw/one.zip", &other);
        }
        true
    });
    let out = tempfile::tempdir().unwrap();
    let run = run(with_server("build", between.port).args(["s3://raw", "--out"]).arg(out.path().join("data")));
    assert_ne!(run.status, 0, "{}", run.out);
    let said = format!("{}{}", run.out, run.err);
    assert!(said.contains("one.zip") && said.contains("was replaced while it was read"), "{said}");
}

#[test]
fn a_server_that_goes_away_ends_a_build_soon_and_the_next_one_goes_on() {
    let Some(moto) = start(&["raw"]) else { return };
    let (raw, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    (1..=40).for_each(|patient| phantom::cardiac_case(raw.path(), patient, 1));
    upload(&moto, raw.path(), "raw");
    let seen = AtomicU64::new(0);
    let between = Between::start(moto.port, move |_| seen.fetch_add(1, Relaxed) < 30);
    let [local, stored] = ["local", "stored"].map(|name| place.path().join(name));
    let begun = std::time::Instant::now();
    let cut = run(with_server("build", between.port).args(["s3://raw", "--out"]).arg(&stored));
    assert!(begun.elapsed().as_secs() < 75, "{:?}", begun.elapsed());
    let said = format!("{}{}", cut.out, cut.err);
    assert!(cut.status != 0 && said.contains("_frame01") && said.contains("does not answer"), "{said}");
    done(with_server("build", moto.port).args(["s3://raw", "--out"]).arg(&stored));
    done(with_server("build", moto.port).arg(raw.path()).arg("--out").arg(&local));
    assert_same(&local, &stored);
}

#[test]
fn what_cannot_be_reached_is_said() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let begun = std::time::Instant::now();
    run(with_server("scan", dead).arg("s3://raw/a")).failed(1, &["s3://raw/a", "does not answer", "AWS_ENDPOINT_URL"]);
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());

    let Some(moto) = start(&["raw"]) else { return };
    let scan = |url: &str| run(with_server("scan", moto.port).arg(url));
    scan("s3://nobody/a").failed(1, &["s3://nobody/a", "the bucket \"nobody\" does not exist"]);
    scan("s3://raw/none").failed(1, &["s3://raw/none", "no such object"]);
    assert_eq!(scan("s3://raw").status, 1, "an empty bucket has no source");
    let inside = with_server("build", moto.port).args(["s3://raw", "--out", "s3://raw/data"]).output().unwrap();
    assert!(!inside.status.success());

    // From the third request on, the server knows no such user.
    let Some(guarded) = Moto::start_with(&["raw"], &[("INITIAL_NO_AUTH_ACTION_COUNT", "1")], skip) else {
        return;
    };
    let denied = run(with_server("scan", guarded.port).arg("s3://raw"));
    denied.failed(1, &["s3://raw", "does not accept the credentials", "AWS_ACCESS_KEY_ID"]);
    let mut nobody = with_server("scan", moto.port);
    nobody.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").arg("s3://raw");
    run(&mut nobody).failed(1, &["s3://raw", "there are no credentials", "AWS_PROFILE"]);
}
