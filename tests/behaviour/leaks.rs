//! Leaks and splits, seen from outside: copies of images under other names and in other encodings are found, patients
//! that look alike are not taken for one, and no split has them on two sides.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::demo::phantom::{Acquisition, Grid, Random, Scene, Shape};
use medcosmos::demo::write;
use medcosmos::image::{Frame, Geometry, Image, Samples};
use medcosmos::store::{Dataset, DuplicateRow, LeakRow, SplitRow};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Run, files_of, medcosmos};

/// A torso with kidneys (label 1), as alike from person to person as real ones are: the same organs in nearly the same
/// places.
fn torso(person: u64) -> Scene {
    let mut random = Random::new(700 + person);
    let mut by = |spread: f64| random.between(-spread, spread);
    let mut scene = Scene::new(-1000.0, 2.0, 9.0);
    let body = Shape::ellipsoid([0.0; 3], [150.0 + by(6.0), 105.0 + by(5.0), 900.0]).warped(person, 7.0, 80.0);
    scene.paint(body.clone(), -95.0, 12.0);
    scene.paint(body.clone().grown(-16.0), 50.0, 14.0);
    scene.paint(body.grown(-26.0), -90.0, 12.0);
    scene.paint(Shape::ellipsoid([by(2.0), 58.0, 0.0], [22.0, 19.0, 900.0]), 400.0, 40.0);
    for i in 0..10 {
        let at = [by(70.0), -35.0 + by(35.0), by(50.0)];
        scene.paint(Shape::ellipsoid(at, [16.0, 13.0, 24.0]).warped(10 * person + i, 5.0, 14.0), 30.0, 30.0);
    }
    let liver =
        Shape::ellipsoid([-62.0 + by(6.0), -12.0 + by(5.0), 0.0], [60.0, 58.0, 80.0]).warped(person + 40, 9.0, 45.0);
    scene.paint(liver, 110.0, 14.0);
    for side in [-1.0, 1.0] {
        let kidney = Shape::turned([side * (62.0 + by(4.0)), 44.0 + by(4.0), by(6.0)], [24.0, 30.0, 60.0], side * 30.0);
        scene.paint_object(kidney.warped(person + 50, 3.0, 16.0), 170.0, 12.0, 1);
    }
    scene
}

const SLICES: usize = 8;
const SIDE: usize = 128;

/// A volume with the slices along its first axis, as KiTS has them, from values and labels of a person.
fn kidneys(person: u64) -> (Vec<f64>, Vec<u8>) {
    let grid = Grid::centred([SIDE, SIDE, SLICES], [2.6, 2.6, 9.0]);
    let seen = torso(person).render(&grid, Acquisition { noise: 12.0, bias: 0.0, seed: person });
    let place = |i: usize| i / SLICES + i % SLICES * SIDE * SIDE;
    let all = 0..SIDE * SIDE * SLICES;
    (all.clone().map(|i| seen.values[place(i)].round()).collect(), all.map(|i| seen.labels[place(i)]).collect())
}

fn nifti(path: &Path, samples: Samples) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let affine = [[0.0, 0.0, -2.6, 0.0], [0.0, -2.6, 0.0, 0.0], [-9.0, 0.0, 0.0, 0.0]];
    let geometry = Some(Geometry { spacing: [9.0, 2.6, 2.6], affine, frame: Frame::Sform });
    let image = Image::picture(SLICES, SIDE * SIDE, 1, samples);
    write::image(path, &Image { size: [SLICES, SIDE, SIDE, 1], geometry, ..image }).unwrap();
}

fn kits19(raw: &Path, number: usize, person: u64) {
    let (values, labels) = kidneys(person);
    let folder = raw.join(format!("kits19/data/case_{number:05}"));
    nifti(&folder.join("imaging.nii.gz"), Samples::I16(values.iter().map(|&v| v as i16).collect()));
    nifti(&folder.join("segmentation.nii.gz"), Samples::U8(labels));
}

fn kits21(raw: &Path, number: usize, person: u64, save: impl Fn(Vec<f64>) -> Samples) {
    let (values, labels) = kidneys(person);
    let folder = raw.join(format!("kits21/kits21/data/case_{number:05}"));
    nifti(&folder.join("imaging.nii.gz"), save(values));
    nifti(&folder.join("aggregated_MAJ_seg.nii.gz"), Samples::I32(labels.into_iter().map(i32::from).collect()));
}

fn as_floats(values: Vec<f64>) -> Samples {
    Samples::F32(values.into_iter().map(|v| v as f32).collect())
}

/// Saved with 8 bits: another type, and a little is lost.
fn as_bytes(values: Vec<f64>) -> Samples {
    Samples::U8(values.into_iter().map(|v| ((v + 1024.0) / 8.0).clamp(0.0, 255.0) as u8).collect())
}

/// With another gamma, as after a round through pictures.
fn with_gamma(values: Vec<f64>) -> Samples {
    let curve = |v: f64| 1000.0 * libm::pow(((v + 1100.0) / 2000.0).clamp(0.0, 1.0), 1.4);
    Samples::I16(values.into_iter().map(|v| curve(v) as i16).collect())
}

/// A frame of a colonoscopy, and its mask: folds, a polyp, and a dark rim that all frames share.
fn frame(person: u64) -> (Image, Image) {
    const SIZE: [usize; 2] = [300, 260];
    let mut random = Random::new(900 + person);
    let mut by = |spread: f64| random.between(-spread, spread);
    let mut scene = Scene::new(5.0, 3.0, 40.0);
    scene.paint(Shape::ellipsoid([0.0; 3], [140.0, 118.0, 100.0]), 120.0, 50.0);
    for i in 0..7 {
        let fold = Shape::ellipsoid([by(100.0), by(80.0), 0.0], [50.0 + by(15.0), 16.0, 50.0]).warped(
            person * 8 + i,
            14.0,
            40.0,
        );
        scene.paint_detail(fold.within(Shape::ellipsoid([0.0; 3], [136.0, 114.0, 100.0])), 165.0 + by(30.0), 30.0);
    }
    let polyp = Shape::ellipsoid([by(60.0), by(50.0), 0.0], [30.0 + by(8.0), 24.0, 30.0]).warped(person + 3, 4.0, 20.0);
    scene.paint_object(polyp, 200.0, 25.0, 1);
    let grid = Grid::centred([SIZE[0], SIZE[1], 1], [1.0; 3]);
    let seen = scene.render(&grid, Acquisition { noise: 3.0, bias: 0.0, seed: person });
    let channel = |v: f64| v.round().clamp(0.0, 255.0) as u8;
    let pixels = seen.values.iter().flat_map(|&v| [channel(v), channel(0.6 * v), channel(0.5 * v)]).collect();
    let mask = seen.labels.iter().flat_map(|&label| [255 * label; 3]).collect();
    let picture = |pixels| Image::picture(SIZE[0], SIZE[1], 3, Samples::U8(pixels));
    (picture(pixels), picture(mask))
}

fn jpeg(path: &Path, image: &Image, quality: f32) {
    let Samples::U8(pixels) = &image.samples else { panic!("8 bits") };
    let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    compress.set_size(image.size[0], image.size[1]);
    compress.set_quality(quality);
    let mut started = compress.start_compress(Vec::new()).unwrap();
    started.write_scanlines(pixels).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, started.finish().unwrap()).unwrap();
}

fn polyp(folder: &Path, name: &str, person: u64, quality: f32) {
    let (image, mask) = frame(person);
    jpeg(&folder.join(format!("images/{name}.jpg")), &image, quality);
    jpeg(&folder.join(format!("masks/{name}.jpg")), &mask, 95.0);
}

fn kvasir_name(person: u64) -> String {
    format!("cju0qkwl35piu0993l0dew{person:03}")
}

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("raw")
    }

    fn dataset(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build(&self, dataset: &Path) {
        Run::done(medcosmos("build").arg(self.raw()).arg("--quiet").arg("--out").arg(dataset));
    }
}

fn leaks(dataset: &Path) -> Value {
    Run::done(medcosmos("leaks").arg(dataset).args(["--json", "--quiet"])).json()
}

fn rows<R: medcosmos::store::Projection>(dataset: &Path) -> Vec<R> {
    Dataset::open(dataset).unwrap().rows().unwrap().collect::<Result<_, _>>().unwrap()
}

/// Pairs of patients by how they are linked.
fn links(dataset: &Path) -> Vec<(String, String, String)> {
    rows::<LeakRow>(dataset)
        .into_iter()
        .map(|row| (row.patient_id, row.other_patient_id, row.kind.to_string()))
        .collect()
}

fn link(a: &str, b: &str, kind: &str) -> (String, String, String) {
    (a.into(), b.into(), kind.into())
}

/// Persons 1 to 6 in Kvasir-SEG; 1 to 4 of them in the training set of EndoTect, as JPEGs of another quality; 4 in its
/// test set too, where it must not be, and 11 and 12.
fn polyps(raw: &Path) {
    for person in 1..=6 {
        polyp(&raw.join("Kvasir-SEG"), &kvasir_name(person), person, 92.0);
    }
    for person in 1..=4 {
        polyp(&raw.join("segmented-images"), &format!("0a{person}-uuid"), person, 55.0);
    }
    for (name, person) in [("test-a", 4), ("test-b", 11), ("test-c", 12)] {
        polyp(&raw.join("EndoTect_2020_Segmentation_Test_Dataset"), name, person, 75.0);
    }
}

#[test]
fn frames_that_were_encoded_again_are_found_and_others_are_not() {
    let place = Place::new();
    polyps(&place.raw());
    let dataset = place.dataset("data");
    place.build(&dataset);
    let report = leaks(&dataset);
    let mut expected: Vec<_> = (1..=4)
        .map(|n| link(&format!("endotect-2020/train_0a{n}-uuid"), &format!("kvasir-seg/{}", kvasir_name(n)), "near"))
        .collect();
    expected.insert(0, link("endotect-2020/test_test-a", &format!("kvasir-seg/{}", kvasir_name(4)), "near"));
    expected.insert(0, link("endotect-2020/test_test-a", "endotect-2020/train_0a4-uuid", "near"));
    assert_eq!(links(&dataset), expected);

    let crossing: Vec<&Value> = report["crossing"].as_array().unwrap().iter().collect();
    assert_eq!(crossing.len(), 1, "{report}");
    assert_eq!(crossing[0]["splits"], serde_json::json!(["test"]));
    assert_eq!(crossing[0]["other_splits"], serde_json::json!(["train"]));
    assert_eq!((&report["groups"], &report["grouped_patients"]), (&4.into(), &9.into()), "{report}");
    let unmapped = report["unmapped"].as_array().unwrap();
    assert_eq!(unmapped.len(), 1, "both specs name the other, which is said once: {unmapped:?}");
    assert_eq!(unmapped[0]["pairs"], 5);

    // One class of three frames: the first by name is the one to keep.
    let duplicates: BTreeMap<String, DuplicateRow> =
        rows::<DuplicateRow>(&dataset).into_iter().map(|row| (row.slice_id.clone(), row)).collect();
    assert_eq!(duplicates.len(), 9);
    let fourth = &duplicates[&format!("kvasir-seg/{}/z0000", kvasir_name(4))];
    assert_eq!((fourth.first_slice_id.as_str(), fourth.kind.name()), ("endotect-2020/test_test-a/z0000", "near"));
    assert_eq!((fourth.leak_group.as_str(), fourth.split.as_deref()), ("endotect-2020/test_test-a", None));
    assert!(fourth.similarity > 0.95 && fourth.similarity <= 1.0, "{fourth:?}");

    let text = Run::done(medcosmos("leaks").arg(&dataset)).out;
    for word in [
        "endotect-2020",
        "kvasir-seg",
        "near",
        "Across the official splits:",
        "5 pair(s) of patients found by their pixels",
    ] {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    let strict = Run::of(medcosmos("leaks").arg(&dataset).args(["--fail-on-leak", "--quiet"]));
    assert_eq!((strict.status, strict.err.as_str()), (1, ""));
}

#[test]
fn volumes_that_were_saved_again_are_found_and_other_patients_are_not() {
    let place = Place::new();
    let raw = place.raw();
    (0..5).for_each(|n| kits19(&raw, n, n as u64));
    kits21(&raw, 0, 0, as_floats);
    kits21(&raw, 1, 1, as_bytes);
    kits21(&raw, 2, 2, with_gamma);
    (210..214).for_each(|n| kits21(&raw, n, n as u64, as_floats));
    let dataset = place.dataset("data");
    place.build(&dataset);
    let report = leaks(&dataset);
    let pair = |n: usize, kind| link(&format!("kits19/case_{n:05}"), &format!("kits21/case_{n:05}"), kind);
    let expected = [
        pair(0, "declared"),
        pair(0, "exact"),
        pair(1, "declared"),
        pair(1, "near"),
        pair(2, "declared"),
        pair(2, "near"),
    ];
    assert_eq!(links(&dataset), expected);
    assert_eq!(report["unmapped"], serde_json::json!([]), "the names of patients tell who is who");
    for row in rows::<LeakRow>(&dataset) {
        match row.kind.name() {
            "declared" => assert_eq!((row.slices, row.similarity, row.slice_id), (0, None, None)),
            _ => assert_eq!(row.slices as usize, SLICES, "every slice has its twin: {row:?}"),
        }
    }
    // Twins are at the same place.
    for row in rows::<DuplicateRow>(&dataset) {
        let part = |id: &str| id.split_once('/').unwrap().1.to_string();
        assert_eq!(part(&row.slice_id), part(&row.first_slice_id), "{row:?}");
        assert!(row.first_slice_id.starts_with("kits19/"));
    }
}

#[test]
fn what_is_found_depends_on_nothing_but_the_dataset() {
    let place = Place::new();
    polyps(&place.raw());
    let [one, two] = ["one", "two"].map(|name| place.dataset(name));
    place.build(&one);
    place.build(&two);
    Run::done(medcosmos("leaks").arg(&one).args(["--threads", "1", "--quiet"]));
    Run::done(medcosmos("split").arg(&one).args(["--threads", "1", "--quiet"]));
    let first = leaks(&two);
    Run::done(medcosmos("split").arg(&two).args(["--threads", "3", "--quiet"]));
    assert_eq!(files_of(&one), files_of(&two));
    let again = leaks(&two);
    assert_eq!(
        (&first["shards_done"], &again["shards_done"], &again["shards_reused"]),
        (&2.into(), &0.into(), &2.into())
    );
    assert_eq!((&first["links"], &again["outdated"]["removed"]), (&again["links"], &serde_json::json!({})));

    // Other thresholds: other leaks, and splits that were made from the first are gone.
    let strict =
        Run::done(medcosmos("leaks").arg(&two).args(["--image-similarity", "1", "--replace", "--json", "--quiet"]))
            .json();
    assert_eq!((&strict["links"], &strict["outdated"]["removed"]["splits"].is_u64()), (&serde_json::json!([]), &true));
    assert!(files_of(&two).keys().all(|path| !path.starts_with("splits/")));

    // Another build: what was said of the first does not hold any more.
    polyp(&place.raw().join("Kvasir-SEG"), &kvasir_name(7), 7, 92.0);
    place.build(&one);
    assert!(files_of(&one).keys().all(|path| !path.starts_with("leaks/") && !path.starts_with("splits/")));
    let dedup = Run::done(medcosmos("build").arg(place.raw()).args(["--dedup", "--quiet", "--out"]).arg(&one));
    assert!(dedup.out.contains("pairs of patients") && dedup.out.contains("Dataset: "), "{}", dedup.out);
    assert_eq!(links(&one).len(), 6);
    let report =
        Run::done(medcosmos("build").arg(place.raw()).args(["--dedup", "--json", "--quiet", "--out"]).arg(&one));
    assert_eq!(report.json()["leaks"]["groups"], 4);
}

#[test]
fn no_leak_is_on_two_sides_of_a_split() {
    let place = Place::new();
    polyps(&place.raw());
    let dataset = place.dataset("data");
    place.build(&dataset);
    Run::of(medcosmos("split").arg(&dataset).arg("--check"))
        .failed(1, &["the dataset has no split", "medcosmos split"]);
    // Before `leaks`, only the same pixels are known, and it says so.
    let blind = Run::done(medcosmos("split").arg(&dataset));
    assert!(blind.out.contains("`medcosmos leaks` has not been run"), "{}", blind.out);
    Run::of(medcosmos("leaks").arg(&dataset)).failed(1, &["splits (13 rows)", "--replace"]);
    Run::done(medcosmos("leaks").arg(&dataset).args(["--replace", "--quiet"]));
    for options in [&["--seed", "1"][..], &["--seed", "2", "--fractions", "train=0.5,test=0.5"], &["--folds", "3"]] {
        let report =
            Run::done(medcosmos("split").arg(&dataset).args(options).args(["--replace", "--json", "--quiet"])).json();
        assert_eq!((&report["problems"], &report["leaks_known"]), (&serde_json::json!([]), &true.into()));
        assert_eq!(report["straddling"], serde_json::json!(["endotect-2020/test_test-a"]), "{report}");
        let splits: BTreeMap<String, SplitRow> =
            rows::<SplitRow>(&dataset).into_iter().map(|row| (row.patient_id.clone(), row)).collect();
        assert_eq!(splits.len(), 13);
        for row in rows::<LeakRow>(&dataset) {
            let side = |patient: &String| (splits[patient].assigned_split.clone(), splits[patient].fold);
            assert_eq!(side(&row.patient_id), side(&row.other_patient_id), "{options:?}: {row:?}");
        }
        let official = &splits["endotect-2020/test_test-b"];
        assert_eq!((official.assigned_split.as_deref(), official.fold), (Some("test"), None));
        let straddling = &splits["endotect-2020/test_test-a"];
        assert_eq!(straddling.official_split.as_deref(), Some("test"));
        match options[0] {
            "--folds" => assert!(straddling.fold.is_some()),
            _ => assert_eq!(straddling.assigned_split.as_deref(), Some("train")),
        }
        let check = Run::done(medcosmos("split").arg(&dataset).arg("--check"));
        assert!(check.out.contains("The split is valid: none of 13 patients and 6 link(s)"), "{}", check.out);
    }
    let free =
        Run::done(medcosmos("split").arg(&dataset).args(["--ignore-official", "--replace", "--json", "--quiet"]))
            .json();
    assert_eq!(free["straddling"], serde_json::json!([]));

    let text = Run::done(medcosmos("split").arg(&dataset).arg("--replace")).out;
    for word in [
        "polyp-Colonoscopy",
        "% of slices",
        "across official splits",
        "Checked: no patient and none of 4 leak group(s)",
    ] {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    for (arguments, word) in [
        (&["--fractions", "train=0.7"][..], "sum to 0.7"),
        (&["--folds", "1"], "1"),
        (&["--folds", "3", "--fractions", "a=1"], "--fractions"),
    ] {
        Run::of(medcosmos("split").arg(&dataset).args(arguments)).failed(2, &[word]);
    }
}

/// Real patients whose pictures look alike (DRIVE, CHASE_DB1, MSD) are not taken for one, and the released slices of
/// COSMOS, which come from other hearts than those of ACDC's sample, are not either.
#[test]
fn real_patients_are_told_apart() {
    for name in ["raw", "cosmos"] {
        let Some(raw) = crate::samples::folder(name) else { continue };
        let place = Place::new();
        let dataset = place.dataset("data");
        Run::of(medcosmos("build").arg(raw).arg("--quiet").arg("--out").arg(&dataset));
        let report = leaks(&dataset);
        assert_eq!(report["links"], serde_json::json!([]), "{name}: {report}");
    }
}
