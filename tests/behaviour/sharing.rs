//! What leaves a dataset: only what the terms of its sources let go, and with the attribution that they ask for.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::phantom;
use crate::program::{Run, files_of, medcosmos};

/// A dataset of two sources: ACDC, whose licence lets derived data go under conditions, and the authors' released
/// slices, whose terms do not say.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        (1..=2).for_each(|patient| phantom::cardiac_case(&place.path("raw"), patient, 1));
        (1..=2).for_each(|slice| phantom::released_slice(&place.path("raw"), 3, slice));
        Run::done(medcosmos("build").arg(place.path("raw")).arg("--out").arg(place.path("data")).arg("--quiet"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command on the dataset.
    fn run(&self, command: &str, options: &[&str]) -> Run {
        Run::of(medcosmos(command).arg(self.path("data")).args(options).current_dir(&self.folder))
    }

    fn done(&self, command: &str, options: &[&str]) -> Run {
        let run = self.run(command, options);
        assert_eq!(run.status, 0, "{command} {options:?}: {}{}", run.out, run.err);
        run
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn count(folder: &Path) -> usize {
    walkdir::WalkDir::new(folder).into_iter().filter(|e| e.as_ref().unwrap().file_type().is_file()).count()
}

#[test]
fn the_terms_of_the_whole_are_those_of_the_strictest() {
    let place = Place::new();
    let found = place.done("licences", &["--json"]).json();
    let sources: Vec<&str> =
        found["sources"].as_array().unwrap().iter().map(|s| s["source"].as_str().unwrap()).collect();
    assert_eq!(sources, ["cosmos-png", "acdc"], "the strictest first");
    assert_eq!(found["whole"]["share_derived"], "unknown");
    assert_eq!(found["whole"]["non_commercial"][0], "acdc");
    let text = place.done("licences", &[]).out;
    assert!(text.contains("Ask the owners before you redistribute it: the terms of cosmos-png"), "{text}");
    assert!(text.contains("must be licensed under CC-BY-NC-SA-4.0"), "{text}");
    let text = place.done("licences", &["--attribution"]).out;
    assert!(text.contains("@") && text.contains("`source=acdc`"), "{text}");
}

#[test]
fn pixels_stay_where_the_terms_want_them() {
    let place = Place::new();
    for command in ["export", "package"] {
        let refused = place.run(command, &["--out", "out"]);
        refused.failed(1, &["cosmos-png", "--i-have-permission", "--leave-out"]);
        assert!(!refused.err.contains("of acdc") && !place.path("out").exists());
        place.run(command, &["--out", "out", "--leave-out", "acdd"]).failed(1, &["acdd", "acdc, cosmos-png"]);
        place.run(command, &["--out", "raw", "--leave-out", "cosmos-png"]).failed(1, &["raw", "not empty"]);
        place
            .run(command, &["--out", "out", "--leave-out", "acdc", "--leave-out", "cosmos-png"])
            .failed(1, &["no sources left"]);
    }
}

#[test]
fn pictures_have_a_table_and_an_attribution() {
    let place = Place::new();
    let exported = place.done("export", &["--out", "out", "--i-have-permission", "cosmos-png", "--json"]).json();
    assert_eq!(exported["sources"], serde_json::json!(["acdc", "cosmos-png"]));
    let (slices, masks) = (exported["slices"].as_u64().unwrap(), exported["masks"].as_u64().unwrap());
    assert_eq!((count(&place.path("out/images")), count(&place.path("out/masks"))), (slices as usize, masks as usize));
    let table = fs::read_to_string(place.path("out/masks.csv")).unwrap();
    assert_eq!(table.lines().count() as u64, 1 + masks);
    for line in table.lines().skip(1) {
        let mut fields = line.split(',').skip(1);
        let (image, mask) = (fields.next().unwrap(), fields.next().unwrap());
        assert!(place.path("out").join(image).exists() && place.path("out").join(mask).exists(), "{line}");
    }
    let attribution = fs::read_to_string(place.path("out/ATTRIBUTION.md")).unwrap();
    assert_eq!(attribution.matches("Redistributed with permission").count(), 1, "{attribution}");
}

#[test]
fn what_is_exported_as_coco_comes_back_as_it_was() {
    let place = Place::new();
    place.done("export", &["--out", "coco", "--form", "coco", "--leave-out", "cosmos-png"]);
    let file = json(&place.path("coco/annotations.json"));
    let images = file["images"].as_array().unwrap();
    assert!(images.iter().all(|image| place.path("coco/images").join(image["file_name"].as_str().unwrap()).exists()));
    assert!(images.iter().all(|image| image["source"] == "acdc"));
    let masks = file["annotations"].as_array().unwrap().len();
    // The masks as predictions of themselves: no shift, no flip, no mask with another's label.
    let imported = place.run("import", &["coco/annotations.json", "--model", "truth", "--json"]);
    assert_eq!(imported.status, 3, "the masks of the other source have none");
    assert_eq!(imported.json()["masks"].as_u64().unwrap() as usize, masks);
    place.done("evaluate", &["--quiet"]);
    if cfg!(feature = "query") {
        let sql = "SELECT count(*) AS n, min(dice) AS dice, max(hd) AS hd FROM metrics";
        let answer = place.done("query", &[sql, "--json"]).json();
        assert_eq!((answer["dice"].as_f64(), answer["hd"].as_f64()), (Some(1.0), Some(0.0)));
        assert!(answer["n"].as_u64().unwrap() as usize >= masks, "{answer}");
    }
}

#[test]
fn a_package_is_a_dataset_of_what_may_be_passed_on() {
    let place = Place::new();
    place.done("package", &["--out", "shared", "--leave-out", "cosmos-png"]);
    let (whole, packed) = (files_of(&place.path("data")), files_of(&place.path("shared")));
    let of_acdc = |path: &&String| path.contains("source=acdc");
    let expected: Vec<&String> = whole.keys().filter(of_acdc).collect();
    assert_eq!(packed.keys().filter(|path| path.contains("source=")).collect::<Vec<_>>(), expected);
    assert!(expected.iter().all(|path| whole[*path] == packed[*path]));
    let card = fs::read_to_string(place.path("shared/README.md")).unwrap();
    for words in ["config_name: slices\n  default: true", "| `acdc` |", "CC-BY-NC-SA-4.0", "| `mask_id` | `string` |"] {
        assert!(card.contains(words), "{words:?} is not in: {card}");
    }
    assert!(!card.contains("cosmos-png"), "{card}");
    assert!(fs::read_to_string(place.path("shared/CITATION.bib")).unwrap().starts_with('@'));
    let licences = Run::done(medcosmos("licences").arg(place.path("shared")).arg("--json")).json();
    assert_eq!(licences["sources"].as_array().unwrap().len(), 1);
    // The whole with permission is the same data, by the same manifest.
    place.done("package", &["--out", "whole", "--i-have-permission", "cosmos-png"]);
    let digest = |folder: &str| json(&place.path(folder).join("manifest.json"))["tables"]["masks"].clone();
    assert_eq!(digest("whole"), digest("data"));
}
