//! Exports, packages, pages and results of queries are whole or absent, go on where they were interrupted, and hold what
//! the dataset holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::program::{Run, assert_same, files_of, medcosmos};
use crate::{phantom, samples};

const FORMS: [(&str, &[&str]); 3] = [("export", &[]), ("export", &["--form", "coco"]), ("package", &[])];

/// A dataset of eight cases, 24 slices and 72 masks.
fn dataset() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (raw, dataset) = (samples::shared_folder().join("exports-raw"), samples::shared_folder().join("exports"));
        (1..=8).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
        Run::done(medcosmos("build").arg(raw).arg("--quiet").arg("--out").arg(&dataset));
        dataset
    })
}

fn export(dataset: &Path, (command, options): (&str, &[&str]), to: &Path) -> Command {
    let mut program = medcosmos(command);
    program.arg(dataset).arg("--out").arg(to).args(options).args(["--threads", "1"]);
    program
}

fn copy_of(dataset: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(dataset) {
        let entry = entry.unwrap();
        let place = to.join(entry.path().strip_prefix(dataset).unwrap());
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(place).unwrap(),
            false => _ = fs::copy(entry.path(), place).unwrap(),
        }
    }
}

/// Checks that every file of an interrupted export is one of the whole export.
fn part_of(whole: &BTreeMap<String, String>, part: &Path) {
    for (path, digest) in files_of(part) {
        // A package's dataset.json and manifest.json grow with it.
        if !["dataset.json", "manifest.json"].contains(&path.as_str()) {
            assert_eq!(whole.get(&path), Some(&digest), "{path} is not whole");
        }
    }
}

fn complete(folder: &Path) -> bool {
    let marker: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join(".medcosmos/export.json")).unwrap()).unwrap();
    marker["complete"].as_bool().unwrap()
}

#[test]
fn a_killed_export_goes_on() {
    let place = tempfile::tempdir().unwrap();
    for (n, form) in FORMS.into_iter().enumerate() {
        let whole = place.path().join(format!("whole-{n}"));
        Run::done(&mut export(dataset(), form, &whole));
        assert!(complete(&whole));
        for files in [0, 2, 9, 40] {
            let to = place.path().join(format!("killed-{n}-{files}"));
            let mut process = export(dataset(), form, &to).stdout(Stdio::null()).spawn().unwrap();
            let begun = Instant::now();
            while process.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(20) {
                if to.exists() && files_of(&to).len() >= files {
                    break;
                }
            }
            let _ = process.kill();
            process.wait().unwrap();
            part_of(&files_of(&whole), &to);
            Run::done(&mut export(dataset(), form, &to));
            assert_same(&to, &whole);
            assert!(complete(&to));
            Run::done(&mut export(dataset(), form, &to));
        }
    }
}

/// `ulimit -f` is a disk that is full: the program gets an error of writing.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let place = tempfile::tempdir().unwrap();
    let limited = |program: &Command, blocks: u32| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {blocks}; exec \"$@\""), "sh"]).arg(program.get_program());
        Run::of(shell.args(program.get_args()).current_dir(place.path()))
    };
    for (n, form) in FORMS.into_iter().enumerate() {
        let (to, whole) = (place.path().join(format!("full-{n}")), place.path().join(format!("whole-{n}")));
        let run = limited(&export(dataset(), form, &to), 1);
        run.failed(1, &["File too large"]);
        Run::done(&mut export(dataset(), form, &whole));
        part_of(&files_of(&whole), &to);
        Run::done(&mut export(dataset(), form, &to));
        assert_same(&to, &whole);
    }
    let raw = samples::shared_folder().join("exports-raw");
    let picture = raw.join(&phantom::cardiac_paths(1, 1)[0]);
    let list = place.path().join("list.sha256");
    let mut commands = vec![("values.npy", medcosmos("inspect")), ("list.sha256", medcosmos("verify"))];
    commands[0].1.arg(picture).args(["--npy", "values.npy"]);
    commands[1].1.arg(&raw).args(["--write", "--checksums"]).arg(&list);
    #[cfg(feature = "query")]
    for file in ["rows.csv", "rows.parquet"] {
        let mut query = medcosmos("query");
        query.arg(dataset()).args(["SELECT * FROM masks", "--out", file]);
        commands.push((file, query));
    }
    #[cfg(feature = "query")]
    {
        let mut report = medcosmos("report");
        report.arg(dataset()).args(["--out", "page.html"]);
        commands.push(("page.html", report));
    }
    for (file, mut command) in commands {
        let path = place.path().join(file);
        Run::of(command.current_dir(place.path())); // `verify` finds that the source is not complete
        let earlier = fs::read(&path).unwrap();
        let run = limited(&command, 1);
        assert_eq!(run.status, 1, "{file}: {}{}", run.out, run.err);
        assert!(run.err.contains(file) && run.err.contains("File too large"), "{file}: {}", run.err);
        assert_eq!(fs::read(&path).unwrap(), earlier, "{file}");
        Run::of(&mut command);
    }
    let left = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_str().unwrap().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_folder_holds_one_export() {
    let place = tempfile::tempdir().unwrap();
    let to = place.path().join("out");
    Run::done(&mut export(dataset(), FORMS[0], &to));
    let before = files_of(&to);
    let refused = |program: &mut Command| {
        Run::of(program).failed(1, &["out", "other options", "new folder"]);
        assert_eq!(files_of(&to), before);
    };
    refused(&mut export(dataset(), FORMS[1], &to));
    refused(&mut export(dataset(), FORMS[2], &to));
    refused(export(dataset(), FORMS[0], &to).args(["--i-have-permission", "acdc"]));
    let other = place.path().join("other");
    let raw = samples::shared_folder().join("exports-raw");
    Run::done(medcosmos("build").arg(raw).arg("--out").arg(&other).args(["--quiet", "--min-area", "85"]));
    refused(&mut export(&other, FORMS[0], &to));
    fs::create_dir(place.path().join("mine")).unwrap();
    fs::write(place.path().join("mine/thesis.tex"), "").unwrap();
    for form in FORMS {
        Run::of(&mut export(dataset(), form, &place.path().join("mine"))).failed(1, &["mine", "not empty"]);
    }
    // A later stage changes nothing of what goes out.
    let later = place.path().join("later");
    copy_of(dataset(), &later);
    Run::done(medcosmos("predict").arg(&later).args(["--model", "otsu-box", "--quiet"]));
    Run::done(&mut export(&later, FORMS[0], &to));
    assert_eq!(files_of(&to), before);
}

#[test]
fn a_damaged_picture_stays_behind() {
    let place = tempfile::tempdir().unwrap();
    let [data, whole] = ["data", "whole"].map(|name| place.path().join(name));
    copy_of(dataset(), &data);
    let mut tables = walkdir::WalkDir::new(data.join("slices")).into_iter().map(|entry| entry.unwrap().into_path());
    let table = tables.find(|path| path.is_file()).unwrap();
    let sound = fs::read(&table).unwrap();
    let mut damaged = sound.clone();
    let pictures: Vec<usize> = (0..sound.len()).filter(|&at| sound[at..].starts_with(b"\x89PNG")).collect();
    damaged[pictures[4] + 60] ^= 0x10; // among the pixels
    for (n, form) in FORMS.into_iter().enumerate() {
        let to = place.path().join(format!("out-{n}"));
        fs::write(&table, &damaged).unwrap();
        let run = Run::of(&mut export(&data, form, &to));
        run.failed(1, if form.0 == "export" { &["medcosmos verify", "--repair"] } else { &["slices/source=acdc"] });
        assert!(!complete(&to));
        if n == 0 {
            // What the message advises.
            Run::of(medcosmos("verify").arg(&data).args(["--repair", "--apply"]));
            let raw = samples::shared_folder().join("exports-raw");
            Run::done(medcosmos("build").arg(raw).arg("--out").arg(&data).arg("--quiet"));
            assert!(fs::read(&table).unwrap() == sound);
        }
        fs::write(&table, &sound).unwrap();
        let _ = fs::remove_dir_all(&whole);
        Run::done(&mut export(&data, form, &whole));
        part_of(&files_of(&whole), &to);
        if form.0 == "export" {
            let (part, whole) = (files_of(&to.join("images")), files_of(&whole.join("images")));
            let missing: Vec<&String> = whole.keys().filter(|path| !part.contains_key(*path)).collect();
            let [missing] = missing[..] else { panic!("{missing:?}") };
            assert!(run.err.contains(missing.trim_end_matches(".png")), "{}", run.err);
        }
        Run::done(&mut export(&data, form, &to));
        assert_same(&to, &whole);
    }
}
