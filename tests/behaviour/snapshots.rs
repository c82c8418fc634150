//! The texts that a user reads, held word for word: help, schema, errors, summaries, the analysis, the report.
//!
//! A text that changed on purpose is accepted with
//! `INSTA_UPDATE=always cargo test --test behaviour snapshots`; then read the difference that git shows. Where the
//! variable `CI` is set, a difference fails and nothing is written.
//!
//! What depends on the run is replaced: folders, digests, durations and the version.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use regex::Regex;

use crate::phantom::{self, SIZE, gzip, image, labels, nifti};
use crate::program::{Run, medcosmos};
use crate::samples;

/// Compares a text with the file `tests/behaviour/snapshots/<name>.snap`.
fn hold(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The folder of everything that these tests read and write.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| samples::shared_folder().join("snapshots"))
}

/// Replaces what differs from run to run.
fn redacted(text: &str) -> String {
    let mut text = text.replace(folder().to_str().unwrap(), "FOLDER");
    for (pattern, word) in [
        (r"\b[0-9a-f]{64}\b", "DIGEST"),
        (r"(shard +|source=[a-z0-9-]+/)[0-9a-f]{16}", "${1}SHARD"),
        (r"\b\d+\.\d+ s\b", "SECONDS s"),
        (r"\b\d+\.\d+ slices/s", "RATE slices/s"),
        (&*format!(r"medcosmos {}", regex::escape(env!("CARGO_PKG_VERSION"))), "medcosmos VERSION"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, word).into_owned();
    }
    text
}

/// The command as typed, its exit status unless 0, and what it prints.
fn transcript(arguments: &[&str]) -> String {
    let [command, rest @ ..] = arguments else { return String::new() };
    let mut program = medcosmos(command);
    // No model and no library of the machine is found.
    program.args(rest).current_dir(folder()).env("HOME", folder()).env("XDG_CACHE_HOME", folder().join("cache"));
    for name in ["COLUMNS", "ORT_DYLIB_PATH", "MEDCOSMOS_CACHE", "MEDCOSMOS_PACKAGES"] {
        program.env_remove(name);
    }
    let run = Run::of(&mut program);
    let status = if run.status == 0 { String::new() } else { format!("[status {}]\n", run.status) };
    redacted(&format!("$ medcosmos {}\n{}{}{status}\n", arguments.join(" "), run.out, run.err))
}

fn transcripts<'a>(commands: impl IntoIterator<Item = &'a [&'a str]>) -> String {
    commands.into_iter().map(transcript).collect()
}

/// A dataset of two sources, evaluated: `raw` and `data` in the folder of these tests.
fn evaluated() -> &'static str {
    static SUMMARY: OnceLock<String> = OnceLock::new();
    SUMMARY.get_or_init(|| {
        let raw = folder().join("raw");
        (1..=4).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
        (1..=2).for_each(|number| phantom::spleen_case(&raw, number));
        phantom::write(&raw.join("notes.txt"), b"not a part of any source");
        phantom::write(&raw.join(&phantom::cardiac_paths(5, 1)[0]), &gzip(&nifti(SIZE, &image(5))[..900]));
        phantom::write(&raw.join(&phantom::cardiac_paths(5, 1)[1]), &gzip(&nifti(SIZE, &labels(5))));
        transcripts([
            &["scan", "raw", "--quiet"][..],
            &["build", "raw", "--out", "data", "--quiet"],
            &["leaks", "data", "--quiet"],
            &["split", "data", "--quiet"],
            &["predict", "data", "--model", "otsu-box", "--jitter", "0-10", "--quiet"],
            &["evaluate", "data", "--quiet"],
            &["verify", "data", "--quiet"],
            &["licences", "data"],
            &["trace", "data", "acdc/patient001_frame01/z0000/left_ventricular_cavity"],
        ])
    })
}

/// The commands that a help text lists.
fn commands_of(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|name| !name.is_empty());
    names.filter(|name| *name != "help").map(str::to_string).collect()
}

/// The help of a command, and of the commands below it.
fn help(command: &[&str]) -> String {
    let arguments = [command, &["--help"]].concat();
    let text = transcript(&arguments);
    let below = commands_of(&text).iter().map(|name| help(&[command, &[name.as_str()]].concat())).collect::<String>();
    text + &below
}

#[test]
fn help_of_every_command() {
    fs::create_dir_all(folder()).unwrap();
    let text = help(&[]);
    assert!(text.matches("$ medcosmos").count() > 20, "{text}");
    hold("help", &text);
}

#[test]
fn schema_of_every_table() {
    fs::create_dir_all(folder()).unwrap();
    hold("schema", &transcript(&["schema"]));
}

#[test]
fn summaries_of_stages() {
    hold("summaries", evaluated());
}

#[test]
fn analysis_as_text() {
    hold("analysis", analyzed());
}

#[test]
fn report_as_text() {
    analyzed(); // the report says whether it computed its results or read them
    let report = transcript(&["report", "data", "--no-times", "--out", "report.html"]);
    let page = text_of(&fs::read_to_string(folder().join("report.html")).unwrap());
    let sizes = Regex::new(r"(?m)^\d{1,3}(,\d{3})+$").unwrap(); // of files: they depend on compression
    hold("report", &(report + &sizes.replace_all(&redacted(&page), "BYTES")));
}

/// [`evaluated`], with its correlations stored.
fn analyzed() -> &'static str {
    static PRINTED: OnceLock<String> = OnceLock::new();
    PRINTED.get_or_init(|| {
        evaluated();
        transcript(&["analyze", "data"])
    })
}

/// The text of a page, without its drawings: a line for each cell or paragraph.
fn text_of(page: &str) -> String {
    let mut text = page.to_string();
    for (pattern, with) in [(r"(?s)<(style|svg)\b.*?</(style|svg)>", ""), (r"(?s)<[^>]*>", "\n"), (r"\s*\n\s*", "\n")] {
        text = Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
    }
    for (entity, sign) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
        text = text.replace(entity, sign);
    }
    text
}

/// A source whose terms prohibit redistribution.
const TOY: &str = r#"
slug = "toy-livers"
name = "Toy livers"
home = "https://example.org"
citation = "@misc{toy}"
licence = { id = "LicenseRef-Toy", terms = "Download only.", share_derived = "no" }
sequences = { ct = "CT" }
[[release]]
name = "1"
evidence = ["toy_{n}_liver.nii"]
[labels.liver]
1 = { name = "liver", object = "liver" }
[[layout]]
name = "volumes"
case = "{n}"
patient = "{n}"
image = { path = ["toy_{n:d}.nii"], sequence = "ct" }
[[layout.mask]]
path = ["toy_{n:d}_liver.nii"]
labels = "liver"
"#;

#[test]
fn typical_errors() {
    evaluated();
    let place = folder();
    fs::create_dir_all(place.join("empty")).unwrap();
    phantom::write(&place.join("cut.nii"), &nifti(SIZE, &image(1))[..1000]);
    phantom::write(&place.join("page.nii.gz"), b"<!DOCTYPE html><html><body>Please log in</body></html>");
    phantom::write(&place.join("wrong.toml"), b"slug = \"x\"\nnmae = \"y\"\n");
    // The frame of the mask is half a metre away from that of its image.
    phantom::spleen_case(&place.join("shifted"), 1);
    let spleen: Vec<i16> = labels(1).into_iter().map(|label| i16::from(label == 1)).collect();
    let mut mask = nifti(SIZE, &spleen);
    mask[292..296].copy_from_slice(&500f32.to_le_bytes());
    phantom::write(&place.join("shifted/Task09_Spleen/labelsTr/spleen_1.nii.gz"), &gzip(&mask));
    phantom::write(&place.join("toy.toml"), TOY.as_bytes());
    phantom::write(&place.join("toys/toy_1.nii"), &nifti(SIZE, &image(1)));
    phantom::write(&place.join("toys/toy_1_liver.nii"), &nifti(SIZE, &spleen));
    let errors = transcripts([
        &["predict", "empty"][..],
        &["predict", "nowhere"],
        &["build", "empty", "--out", "new"],
        &["build", "raw", "--out", "raw/data"],
        &["build", "raw", "--out", "shifted"],
        &["build", "shifted", "--out", "new", "--quiet"],
        &["build", "raw", "--out", "new", "--source", "acdcc"],
        &["build", "raw", "--out", "new", "--intensity", "window:1"],
        &["build", "raw"],
        &["bild", "raw"],
        &["sources", "show", "acdcc"],
        &["scan", "raw", "--spec", "wrong.toml"],
        &["inspect", "cut.nii", "page.nii.gz", "gone.nii"],
        &["predict", "data", "--model", "no-such-model"],
        &["predict", "data", "--model", "otsu-box", "--where", "nonsense > 1"],
        &["predict", "data", "--strategies", "S9"],
        &["import", "data", "empty", "--model", "mine"],
        &["query", "data", "SELECT nonsense FROM masks"],
        &["query", "data", "SELEC 1"],
        &["query", "data", "SELECT * FROM mask"],
        &["analyze", "data", "--by", "nonsense"],
        &["build", "toys", "--out", "toydata", "--spec", "toy.toml", "--quiet"],
        &["package", "toydata", "--out", "packed"],
        &["export", "data", "--out", "exported", "--form", "nothing"],
        &["trace", "data", "acdc/patient009"],
        &["models", "check", "no-such-model"],
        &["verify", "nowhere"],
        &["run", "gone.toml"],
    ]);
    hold("errors", &errors);
}
