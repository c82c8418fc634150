//! `medcosmos run`: stages from a file, with the options and the exit statuses of the commands themselves.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::phantom;
use crate::program::{Run, assert_same, medcosmos};

/// Two cases of one source, and a pipeline file.
struct Workplace {
    folder: TempDir,
}

impl Workplace {
    fn new(pipeline: &str) -> Self {
        let place = Workplace { folder: tempfile::tempdir().unwrap() };
        (1..=2).for_each(|patient| phantom::cardiac_case(&place.path("raw"), patient, 1));
        fs::write(place.path("small.toml"), pipeline).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the file, in the folder that its paths count from.
    fn run(&self, options: &[&str]) -> Run {
        Run::of(medcosmos("run").arg("small.toml").args(options).current_dir(&self.folder))
    }
}

const SMALL: &str = "
raw = 'raw'
dataset = 'data'

[build]
source = ['acdc']
min-area = 85

[[predict]]
model = 'otsu-box'
limit = 4
keep-candidates = true
keep-embeddings = false

[evaluate]
nsd-tolerance-px = 1
";

#[test]
fn a_pipeline_does_what_its_commands_do() {
    let place = Workplace::new(SMALL);
    let run = place.run(&[]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("metrics of "), "{}", run.out);

    let dry = place.run(&["--dry-run", "--out", "by hand"]);
    assert_eq!((dry.status, dry.err.as_str()), (0, ""));
    let expected = [
        "medcosmos build raw '--out=by hand' --min-area=85 --source=acdc",
        "medcosmos predict 'by hand' --keep-candidates --limit=4 --model=otsu-box",
        "medcosmos evaluate 'by hand' --nsd-tolerance-px=1",
    ];
    assert_eq!(dry.out.lines().collect::<Vec<_>>(), expected);
    assert!(!place.path("by hand").exists());
    for line in dry.out.lines() {
        let words: Vec<String> = line.split(' ').map(str::to_string).collect();
        // The one folder with a space in its name, as a shell would put it together.
        let words = words.join(" ").replace("'--out=by hand'", "--out=by\thand").replace("'by hand'", "by\thand");
        let words: Vec<String> = words.split(' ').skip(1).map(|word| word.replace('\t', " ")).collect();
        Run::done(medcosmos(&words[0]).args(&words[1..]).current_dir(&place.folder));
    }
    assert_same(&place.path("data"), &place.path("by hand"));
}

#[test]
fn a_typo_is_told_before_anything_is_done() {
    for (from, to, words) in [
        ("keep-candidates", "keep-candidate", ["[[predict]] 1", "'--keep-candidates'"]),
        ("keep-embeddings", "keep-embedding", ["[[predict]] 1", "'--keep-embeddings'"]),
        ("85", "'some'", ["[build]", "--min-area"]),
        ("[evaluate]", "[evaluat]", ["unknown field `evaluat`", "line"]),
        ("[evaluate]", "[evaluate", ["line 15", "TOML"]),
    ] {
        let place = Workplace::new(&SMALL.replace(from, to));
        let run = place.run(&[]);
        run.failed(2, &[&["small.toml: "][..], &words].concat());
        assert!(run.out.is_empty() && !place.path("data").exists());
    }
}

#[test]
fn a_stage_that_cannot_be_done_is_the_last() {
    let place = Workplace::new(&SMALL.replace("limit = 4", "where = 'nonsense > 1'"));
    let run = place.run(&["--quiet"]);
    run.failed(1, &["small.toml: [[predict]] 1: ", "nonsense"]);
    assert!(place.path("data/masks").exists() && !place.path("data/factors").exists());

    // What is known not to work is told first.
    let place = Workplace::new(&SMALL.replace("otsu-box", "no-such-model"));
    place.run(&[]).failed(1, &["small.toml: [[predict]] 1: ", "no-such-model"]);
    assert!(!place.path("data").exists());
    Run::of(medcosmos("run").arg(place.path("none.toml"))).failed(1, &["none.toml", "No such file"]);
}

#[test]
fn a_case_that_fails_does_not_stop_the_others_and_is_in_the_status() {
    let place = Workplace::new(SMALL);
    let [_, mask] = phantom::cardiac_paths(2, 1);
    phantom::write(&place.path("raw").join(mask), b"not a volume");
    let run = place.run(&[]);
    assert_eq!(run.status, 3, "{}{}", run.out, run.err);
    assert!(run.out.contains("Failed:") && run.out.contains("metrics of "), "{}", run.out);
    // The same without progress, and with the dataset elsewhere.
    let run = place.run(&["--quiet", "--out", "elsewhere"]);
    assert_eq!((run.status, run.err.as_str()), (3, ""), "{}", run.out);
    assert_same(&place.path("data"), &place.path("elsewhere"));
}

#[test]
fn phantom_downloads_have_a_folder_of_their_own() {
    let place = Workplace::new("raw = 'raw'\n[demo]\n");
    let run = place.run(&[]);
    run.failed(1, &["small.toml: [demo]: ", "raw contains other files"]);
    let run = place.run(&["--raw", "phantoms", "--quiet"]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let found = Run::done(medcosmos("scan").arg(place.path("phantoms")).arg("--json")).json();
    assert_eq!(found["sources"].as_array().unwrap().len(), 8, "{found}");
    assert_eq!(found["unclaimed"].as_array().unwrap().len(), 0, "{found}");
}
