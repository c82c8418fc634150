//! Runs the program, and looks at what it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

/// The program, ready for arguments.
pub fn medcosmos(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_medcosmos"));
    program.arg(command).env_remove("MEDCOSMOS_LOG").stdin(Stdio::null());
    program
}

/// What a run printed, and its exit status.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// Runs to the end.
    ///
    /// # Panics
    /// If the program panics, which no input and no argument may make it do.
    pub fn of(program: &mut Command) -> Run {
        let Output { status, stdout, stderr } = program.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let run = Run { status: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) };
        assert!(!run.err.contains("panicked"), "{program:?}\n{}", run.err);
        run
    }

    /// A run that must end with status 0.
    pub fn done(program: &mut Command) -> Run {
        let run = Run::of(program);
        assert_eq!(run.status, 0, "{program:?}\n{}{}", run.out, run.err);
        run
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}\n{}", self.out))
    }

    /// Checks that the run ended with this status and one error on standard error, which has all these words.
    pub fn failed(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        assert_eq!(
            self.err.lines().filter(|line| line.starts_with("error: ")).count(),
            1,
            "not one error: {}",
            self.err
        );
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

/// SHA-256 of every file of a dataset, by path, but for those that the program keeps for itself.
pub fn files_of(dataset: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dataset).into_iter().filter_entry(|e| e.file_name() != ".medcosmos") {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let path = entry.path().strip_prefix(dataset).unwrap().to_str().unwrap().to_string();
            files.insert(path, hex(&fs::read(entry.path()).unwrap()));
        }
    }
    files
}

/// Checks that two datasets are the same, byte for byte.
pub fn assert_same(a: &Path, b: &Path) {
    let (left, right) = (files_of(a), files_of(b));
    let paths: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differing: Vec<&&String> = paths.iter().filter(|path| left.get(**path) != right.get(**path)).collect();
    assert!(differing.is_empty(), "{} and {} differ in {differing:#?}", a.display(), b.display());
}

/// SHA-256 in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
