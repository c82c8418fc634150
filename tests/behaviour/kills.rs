//! Kills: any writing command, with options that change between runs, killed at any time. Afterwards every command
//! still runs, and the same last commands end with the same bytes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::phantom;
use crate::program::{Run, assert_same, medcosmos};

/// Kills without and with `MEDCOSMOS_STRESS`.
const KILLS: [usize; 2] = [200, 2000];

/// SplitMix64 (Steele, Lea and Flood 2014): the same kills in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// Writing commands, each with the options that it may be run with; the first are those of the last run.
const COMMANDS: [(&str, &[&[&str]]); 7] = [
    ("build", &[&[], &["--min-area", "60"], &["--split-components"], &["--source", "msd"]]),
    ("leaks", &[&[], &["--image-similarity", "0.5"]]),
    ("split", &[&[], &["--seed", "3"], &["--folds", "2"]]),
    (
        "predict",
        &[
            &["--model", "otsu-box", "--jitter", "0-10,10-20"],
            &["--model", "otsu-box", "--jitter", "10-20"],
            &["--model", "otsu-box", "--limit", "3"],
            &["--model", "otsu-box", "--sample", "2"],
            &["--model", "otsu-box", "--prompts", "code"],
        ],
    ),
    ("evaluate", &[&[], &["--nsd-tolerance-px", "3"], &["--nsd-tolerance-mm", "1"]]),
    ("analyze", &[&[]]),
    ("analyze", &[&["--metric", "iou"]]),
];

struct Place {
    folder: TempDir,
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, data: &str, command: &str, options: &[&str]) -> Command {
        let mut program = medcosmos(command);
        if command == "build" {
            program.arg(self.path("raw")).arg("--out");
        }
        program.arg(self.path(data)).args(options).arg("--quiet");
        if command != "analyze" {
            program.arg("--replace");
        }
        program
    }

    /// The commands with their first options, in order.
    fn last(&self, data: &str) {
        for (command, options) in COMMANDS {
            Run::done(&mut self.command(data, command, options[0]));
        }
    }
}

#[test]
fn no_kill_ends_in_a_dead_end() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    (1..=3).for_each(|patient| phantom::cardiac_case(&place.path("raw"), patient, 1));
    (1..=2).for_each(|number| phantom::spleen_case(&place.path("raw"), number));
    place.last("reference");
    let kills = KILLS[usize::from(std::env::var_os("MEDCOSMOS_STRESS").is_some())];
    let limit = Instant::now() + Duration::from_secs(if kills > 1000 { 7200 } else { 400 });
    let mut random = Random(14);
    let (mut killed, mut ended) = (0, 0);
    place.last("data");
    while killed < kills && Instant::now() < limit {
        let (command, options) = *random.one(&COMMANDS);
        let options = *random.one(options);
        let mut program = place.command("data", command, options);
        let mut process = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_micros(random.below(120_000)));
        process.kill().unwrap(); // SIGKILL: no handler, no clean-up
        match process.wait().unwrap().success() {
            true => ended += 1,
            false => killed += 1,
        }
        // Any other command runs on what is there: it ends well, or says which command has to be run first.
        let (command, options) = *random.one(&COMMANDS);
        let with: &&[&str] = random.one(options);
        let run = Run::of(&mut place.command("data", command, with));
        let waits = ["run `medcosmos", "run the same `medcosmos build` again"];
        assert!(
            run.status == 0 || run.status == 1 && waits.iter().any(|words| run.err.contains(words)),
            "{command} after {killed} kills: status {}\n{}{}",
            run.status,
            run.out,
            run.err
        );
        if killed % 25 == 24 {
            place.last("data");
            compare(&place);
            killed += 1; // counted once
        }
    }
    println!("{killed} kills, {ended} runs ended before");
    assert!(killed >= kills / 2, "{killed} kills within the time");
    place.last("data");
    compare(&place);
}

/// Compares with the dataset that was never killed.
fn compare(place: &Place) {
    let verify = Run::of(medcosmos("verify").arg(place.path("data")).arg("--quiet"));
    assert_eq!(verify.status, 0, "{}", verify.out);
    assert_same(&place.path("reference"), &place.path("data"));
}
