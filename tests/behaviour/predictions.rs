//! Predictions of other programs: what is understood is compared to the pixel, what is not clear is refused.

use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::demo::write::image as write_image;
use medcosmos::image::{Frame, Geometry, Image, Samples};
use medcosmos::store::{Dataset, MetricRow, PredictionRow};

use crate::phantom::{SIZE, cardiac_case, labels, write};
use crate::program::{Run, assert_same, files_of, medcosmos};

/// A dataset, and a folder for predictions beside it.
struct Place {
    folder: tempfile::TempDir,
    spec: Option<PathBuf>,
}

impl Place {
    /// Two cases of ACDC, with labels 1, 2 and 3 in each of three slices.
    fn cardiac() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), spec: None };
        cardiac_case(&place.path("raw"), 1, 1);
        cardiac_case(&place.path("raw"), 2, 1);
        place.build()
    }

    /// One picture with three cells.
    fn cells() -> Place {
        let mut place = Place { folder: tempfile::tempdir().unwrap(), spec: None };
        write(&place.path("cells.toml"), SPEC.as_bytes());
        place.spec = Some(place.path("cells.toml"));
        write_image(&created(&place.path("raw/images/a.png")), &picture(&cells([60, 70, 80]))).unwrap();
        write_image(&created(&place.path("raw/masks/a.png")), &picture(&cells([1, 2, 3]))).unwrap();
        place.build()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn build(self) -> Place {
        let mut build = medcosmos("build");
        build.arg(self.path("raw")).arg("--out").arg(self.path("data"));
        self.spec.iter().for_each(|spec| {
            build.arg("--spec").arg(spec);
        });
        Run::done(&mut build);
        self
    }

    /// Imports in place of what was imported before.
    fn import(&self, from: &str, more: &[&str]) -> Run {
        self.add(from, &[&["--replace"], more].concat())
    }

    fn add(&self, from: &str, more: &[&str]) -> Run {
        let mut import = medcosmos("import");
        import.arg(self.path("data")).arg(self.path(from)).args(more);
        if !more.contains(&"--model") {
            import.args(["--model", "m"]);
        }
        self.spec.iter().for_each(|spec| {
            import.arg("--spec").arg(spec);
        });
        Run::of(&mut import)
    }

    /// The Dice of every mask that has a prediction.
    fn dice(&self) -> Vec<f64> {
        Run::done(medcosmos("evaluate").arg(self.path("data")));
        let rows = Dataset::open(self.path("data")).unwrap().rows::<MetricRow>().unwrap();
        rows.map(Result::unwrap)
            .filter(|row| row.choice.name() == "oracle")
            .map(|row| row.values.get("dice").unwrap())
            .collect()
    }
}

const SPEC: &str = r#"
slug = "cells"
name = "Cells"
[licence]
id = "LicenseRef-test"
terms = "Test."
share_derived = "yes"
[[release]]
name = "1"
evidence = ["images/{p}.png"]
[sequences]
S = "Microscopy"
[[layout]]
name = "cases"
case = "{p}"
patient = "{p}"
[layout.image]
path = ["images/{p}.png"]
sequence = "S"
plane = "native"
[[layout.mask]]
path = ["masks/{p}.png"]
decode = { kind = "instances" }
label = { name = "cell", object = "cell" }
"#;

const WIDTH: usize = 60;
const HEIGHT: usize = 50;

fn created(path: &Path) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    path.to_path_buf()
}

/// Three squares of different sizes with these values.
fn cells(values: [u8; 3]) -> Vec<u8> {
    let squares = [(3, 3, 10), (30, 5, 14), (10, 28, 18)];
    let mut pixels = vec![0; WIDTH * HEIGHT];
    for ((x0, y0, side), value) in squares.into_iter().zip(values) {
        for y in y0..y0 + side {
            pixels[y * WIDTH + x0..][..side].fill(value);
        }
    }
    pixels
}

fn picture(pixels: &[u8]) -> Image {
    Image::picture(WIDTH, HEIGHT, 1, Samples::U8(pixels.to_vec()))
}

#[test]
fn instances_are_matched_by_overlap_and_not_by_number() {
    let place = Place::cells();
    write_image(&created(&place.path("permuted/cells/a/z0000.png")), &picture(&cells([9, 1, 4]))).unwrap();
    assert_eq!(place.import("permuted", &[]).status, 0);
    assert_eq!(place.dice(), [1.0, 1.0, 1.0]);

    // One is missed, and what lies elsewhere is one too many.
    let mut pixels = cells([2, 1, 0]);
    pixels[45 * WIDTH + 40..][..15].fill(7);
    write_image(&created(&place.path("flat/cells_a_z0000.png")), &picture(&pixels)).unwrap();
    let report = place.import("flat", &["--json"]).json();
    assert_eq!((report["missed_instances"].as_u64(), report["surplus_instances"].as_u64()), (Some(1), Some(1)));
    assert_eq!(place.dice(), [1.0, 1.0, 0.0]);

    // A map of the foreground does not tell instances apart.
    write_image(&created(&place.path("foreground/cells/a/z0000.png")), &picture(&cells([255, 255, 255]))).unwrap();
    place.import("foreground", &[]).failed(1, &["number the instances", "z0000.png"]);
    Run::done(medcosmos("verify").arg(place.path("data")));
}

/// The labels of a slice of a case, by what each value becomes.
fn label_map(place: &Place, folder: &str, values: [u8; 4]) {
    let [width, height, _] = SIZE;
    for (patient, seed) in [(1, 3), (2, 5)] {
        for (z, slice) in labels(seed).chunks(width * height).enumerate() {
            let pixels = slice.iter().map(|&label| values[label as usize]).collect();
            let path = place.path(&format!("{folder}/acdc/patient{patient:03}_frame01/z{z:04}.png"));
            write_image(&created(&path), &Image::picture(width, height, 1, Samples::U8(pixels))).unwrap();
        }
    }
}

#[test]
fn values_that_are_no_labels_are_refused_with_what_was_found() {
    let place = Place::cardiac();
    label_map(&place, "labels", [0, 1, 2, 3]);
    assert_eq!(place.import("labels", &[]).status, 0);
    assert_eq!(place.dice(), [1.0; 18]);
    label_map(&place, "scaled", [0, 85, 170, 255]);
    place.import("scaled", &[]).failed(1, &["z0000.png", "0, 85, 170, 255", "the labels are 1 ("]);
    label_map(&place, "binary", [0, 255, 255, 255]);
    place.import("binary", &[]).failed(1, &["0, 255", "the labels are 1 ("]);

    let [width, height, _] = SIZE;
    let mask = "acdc/patient001_frame01/z0000/left_ventricular_cavity.png";
    let grey: Vec<u8> = (0..width * height).map(|i| (i % 3 * 127) as u8).collect();
    write_image(&created(&place.path("grey").join(mask)), &Image::picture(width, height, 1, Samples::U8(grey)))
        .unwrap();
    place.import("grey", &[]).failed(1, &["0, 127, 254", "threshold"]);
    write_image(
        &created(&place.path("turned").join(mask)),
        &Image::picture(height, width, 1, Samples::U8(vec![0; width * height])),
    )
    .unwrap();
    place.import("turned", &[]).failed(1, &["rows and columns swapped"]);

    for (file, words) in [("x/patient009.nii.gz", "patient009.nii.gz"), ("y/p.npz", ".npz (such as p.npz)")] {
        write(&place.path(file), b"");
        place.import(file.split('/').next().unwrap(), &[]).failed(1, &[words]);
    }
}

/// A volume of labels of a case, in an order of axes of its own.
fn volume(values: &[i16], order: [usize; 3], flipped: [bool; 3], offset: f64) -> Image {
    let spacing = [1.5, 1.5, 8.0];
    let size = order.map(|axis| SIZE[axis]);
    let mut affine = [[0.0; 4]; 3];
    for (own, &axis) in order.iter().enumerate() {
        let sign = if flipped[own] { -1.0 } else { 1.0 };
        affine[axis][own] = sign * spacing[axis];
        affine[axis][3] = if flipped[own] { spacing[axis] * (SIZE[axis] - 1) as f64 } else { 0.0 };
    }
    affine[0][3] += offset;
    let mut voxels = Vec::new();
    for k in 0..size[2] {
        for j in 0..size[1] {
            for i in 0..size[0] {
                let mut at = [0; 3];
                for (own, (&axis, n)) in order.iter().zip([i, j, k]).enumerate() {
                    at[axis] = if flipped[own] { size[own] - 1 - n } else { n };
                }
                voxels.push(values[at[0] + SIZE[0] * (at[1] + SIZE[1] * at[2])]);
            }
        }
    }
    let mut image = Image::picture(size[0], size[1] * size[2], 1, Samples::I16(voxels));
    image.size = [size[0], size[1], size[2], 1];
    image.geometry = Some(Geometry { spacing: order.map(|axis| spacing[axis]), affine, frame: Frame::Sform });
    image
}

/// A dataset of one volume that says where it lies.
fn placed() -> Place {
    let place = Place::cardiac();
    let raw = place.path("raw/training");
    fs::remove_dir_all(&raw).unwrap();
    fs::remove_dir_all(place.path("data")).unwrap();
    let [x, y, z] = [0, 1, 2];
    for (name, values) in [("", crate::phantom::image(3)), ("_gt", labels(3))] {
        let path = raw.join(format!("patient001/patient001_frame01{name}.nii.gz"));
        write_image(&created(&path), &volume(&values, [x, y, z], [false; 3], 0.0)).unwrap();
    }
    place.build()
}

#[test]
fn volumes_are_placed_by_their_headers_and_cut_as_their_images() {
    let place = placed();
    let orders = [[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]];
    for (n, order) in orders.into_iter().enumerate() {
        let flipped = [n % 2 == 1, n > 1, n == 2];
        let name = [
            "patient001_frame01.nii.gz",
            "acdc_patient001_frame01.nii",
            "acdc/patient001_frame01.nrrd",
            "patient001_frame01.mha",
        ][n];
        let folder = format!("order{n}");
        write_image(&created(&place.path(&folder).join(name)), &volume(&labels(3), order, flipped, 0.0)).unwrap();
        let run = place.import(&folder, &[]);
        assert_eq!(run.status, 0, "{}{}", run.out, run.err);
        assert_eq!(run.out.contains("in another storage order"), n > 0, "{}", run.out);
        assert_eq!(place.dice(), [1.0; 9], "{order:?} {flipped:?}");
    }
    let own = [0, 1, 2];
    let same = volume(&labels(3), own, [false; 3], 0.0);
    write_image(&created(&place.path("named/seg_patient001_frame01_x.nii")), &same).unwrap();
    place.import("named", &[]).failed(1, &["seg_patient001_frame01_x.nii", "--match"]);
    assert_eq!(place.import("named", &["--match", "seg_{case}_x.nii"]).status, 0);
    assert_eq!(place.dice(), [1.0; 9]);

    let mut cropped = same.clone();
    cropped.size[2] -= 1;
    let Samples::I16(voxels) = &mut cropped.samples else { unreachable!() };
    voxels.truncate(SIZE[0] * SIZE[1] * (SIZE[2] - 1));
    write_image(&created(&place.path("cropped/patient001_frame01.nii")), &cropped).unwrap();
    place.import("cropped", &[]).failed(1, &["not on the grid of acdc/patient001_frame01"]);
    let unsure = volume(&labels(3), own, [false; 3], 30.0);
    write_image(&created(&place.path("shifted/patient001_frame01.nii")), &unsure).unwrap();
    assert!(place.import("shifted", &[]).out.contains("although their headers place them elsewhere"));
}

#[test]
fn names_in_dataset_json_decide_or_are_refused() {
    let place = placed();
    let turned: Vec<i16> = labels(3).into_iter().map(|label| [0, 3, 2, 1][label as usize]).collect();
    let names = ["right ventricular cavity", "left ventricular myocardium", "left ventricular cavity"];
    let file = |folder: &str, labels: serde_json::Value| {
        write_image(
            &created(&place.path(folder).join("patient001_frame01.nii.gz")),
            &volume(&turned, [0, 1, 2], [false; 3], 0.0),
        )
        .unwrap();
        write(&place.path(folder).join("dataset.json"), serde_json::json!({"labels": labels}).to_string().as_bytes());
    };
    file("named", serde_json::json!({"background": 0, names[2]: 1, names[1]: 2, names[0]: 3}));
    let run = place.import("named", &[]);
    assert!(run.status == 0 && run.out.contains("by the names in dataset.json"), "{}{}", run.out, run.err);
    assert_eq!(place.dice(), [1.0; 9]);
    file("mixed", serde_json::json!({"background": 0, names[2]: 1, "MYO": 2, names[0]: 3}));
    place.import("mixed", &[]).failed(1, &["dataset.json", "2 (MYO)", "the numbers are ambiguous"]);
}

const ORGANS: &str = r#"
slug = "organs"
name = "Organs"
[licence]
id = "LicenseRef-test"
terms = "Test."
share_derived = "yes"
[[release]]
name = "1"
evidence = ["{p:/c[0-9]+/}/image.nii"]
[sequences]
S = "CT"
[labels.organ]
liver = { name = "liver", object = "liver" }
spleen = { name = "spleen", object = "spleen" }
[[layout]]
name = "cases"
case = "{p}"
patient = "{p}"
[layout.image]
path = ["{p:/c[0-9]+/}/image.nii"]
sequence = "S"
plane = "axial"
[[layout.mask]]
path = ["{p:/c[0-9]+/}/{organ:liver|spleen}.nii"]
decode = { kind = "binary" }
labels = "organ"
label_from = "organ"
"#;

/// A source with a file for each class: the liver is in the first slice, the spleen in the others.
fn organs() -> (Place, Vec<i16>) {
    let mut place = Place { folder: tempfile::tempdir().unwrap(), spec: None };
    write(&place.path("organs.toml"), ORGANS.as_bytes());
    place.spec = Some(place.path("organs.toml"));
    let first = SIZE[0] * SIZE[1];
    let values: Vec<i16> =
        labels(3).iter().enumerate().map(|(i, &v)| i16::from(v != 0) * if i < first { 1 } else { 2 }).collect();
    for (name, of) in [("image", 0), ("liver", 1), ("spleen", 2)] {
        let voxels: Vec<i16> = values.iter().map(|&v| if of == 0 { v * 100 } else { i16::from(v == of) }).collect();
        write_image(&created(&place.path(&format!("raw/c1/{name}.nii"))), &volume(&voxels, [0, 1, 2], [false; 3], 0.0))
            .unwrap();
    }
    (place.build(), values)
}

#[test]
fn values_of_classes_with_a_file_each_need_names() {
    let (place, values) = organs();
    let predicted = |folder: &str, of: [i16; 3], names: Option<serde_json::Value>| {
        let voxels: Vec<i16> = values.iter().map(|&v| of[v as usize]).collect();
        let path = place.path(folder).join("fold_0/c1.nii.gz");
        write_image(&created(&path), &volume(&voxels, [0, 1, 2], [false; 3], 0.0)).unwrap();
        if let Some(labels) = names {
            let text = serde_json::json!({ "labels": labels }).to_string();
            write(&path.with_file_name("dataset.json"), format!("\u{feff}{text}").as_bytes());
        }
        place.import(folder, &[])
    };
    predicted("plain", [0, 1, 2], None).failed(1, &["values 1, 2 besides 0", "liver, spleen", "dataset.json"]);
    predicted("swapped", [0, 2, 1], None).failed(1, &["their meaning is ambiguous"]);
    let run = predicted("named", [0, 2, 1], Some(serde_json::json!({"background": 0, "Spleen": 1, "liver": [2]})));
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    assert_eq!(place.dice(), [1.0; 3]);
    let run = predicted("wrong", [0, 1, 2], Some(serde_json::json!({"background": 0, "spleen": 1, "liver": 2})));
    assert!(run.status == 0 && run.out.contains("names in dataset.json"), "{}{}", run.out, run.err);
    assert_eq!(place.dice(), [0.0; 3]);
    let run = predicted("one", [0, 255, 255], None);
    assert!(run.out.contains("the maps contain only 0 and 255"), "{}{}", run.out, run.err);
    let run = predicted("absent", [0, 1, 0], Some(serde_json::json!({"background": 0, "liver": 1, "spleen": 2})));
    assert!(run.out.contains("no prediction contains the label(s) spleen in a slice"), "{}{}", run.out, run.err);
    predicted("region", [0, 1, 2], Some(serde_json::json!({"background": 0, "both": [1, 2], "liver": 2})))
        .failed(1, &["dataset.json", "the label both is [1,2]"]);
    predicted("other", [0, 1, 2], Some(serde_json::json!({"background": 0, "pancreas": 1, "colon": 2})))
        .failed(1, &["1 (pancreas), 2 (colon)", "liver, spleen"]);
    write(&place.path("named/dataset.json"), br#"{"labels": {"background": 0, "liver": 1, "spleen": 2}}"#);
    place.import("named", &[]).failed(1, &["dataset.json", "contradicts"]);
}

#[test]
fn pictures_that_viewers_turn_are_refused() {
    let place = Place::cells();
    let path = place.path("turned/cells/a/z0000.png");
    write_image(&created(&path), &picture(&cells([1, 2, 3]))).unwrap();
    let bytes = fs::read(&path).unwrap();
    // A chunk `eXIf` behind `IHDR`: big-endian TIFF with one entry, the orientation 3.
    let exif = b"eXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0";
    let mut crc = u32::MAX;
    for &byte in exif {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let (head, tail) = bytes.split_at(33);
    let length = (exif.len() as u32 - 4).to_be_bytes();
    write(&path, &[head, &length, exif, &(!crc).to_be_bytes(), tail].concat());
    place.import("turned", &[]).failed(1, &["z0000.png", "orientation tag 3"]);
}

#[test]
fn two_halves_are_one_prediction_unless_they_are_candidates() {
    let place = Place::cardiac();
    let [width, height, _] = SIZE;
    let object: Vec<usize> =
        labels(3)[..width * height].iter().enumerate().filter(|(_, label)| **label == 1).map(|(i, _)| i).collect();
    let runs = |half: &[usize]| {
        let inside = |x: usize, y: usize| half.contains(&(y * width + x));
        let mut counts = vec![0u32];
        let mut last = false;
        for (x, y) in (0..width).flat_map(|x| (0..height).map(move |y| (x, y))) {
            if inside(x, y) != last {
                counts.push(0);
                last = !last;
            }
            *counts.last_mut().unwrap() += 1;
        }
        serde_json::json!({"size": [height, width], "counts": counts})
    };
    let (first, second) = object.split_at(object.len() / 2);
    let result = |half: &[usize], score: f64| serde_json::json!({"image_id": 4, "category_id": 7, "segmentation": runs(half), "score": score});
    let list = serde_json::json!([result(first, 0.9), result(second, 0.8)]).to_string();
    write(&place.path("results.json"), list.as_bytes());
    let images = serde_json::json!({
        "images": [{"id": 4, "file_name": "images/acdc/patient001_frame01/z0000.png"}],
        "categories": [{"id": 7, "name": "right ventricular cavity"}],
    });
    place.import("results.json", &[]).failed(1, &["list of results", "--annotations"]);
    write(&place.path("ids.json"), images.to_string().as_bytes());
    let ids = place.path("ids.json");
    let ids = ids.to_str().unwrap();
    let run = place.import("results.json", &["--annotations", ids]);
    assert_eq!(run.status, 3, "{}", run.err);
    assert!(run.out.contains("1 masks have several predictions, which are merged"), "{}", run.out);
    assert_eq!(place.dice(), [1.0]);
    place.import("results.json", &["--annotations", ids, "--candidates"]);
    let dice = place.dice();
    assert!((dice[0] - 2.0 / 3.0).abs() < 0.02, "{dice:?}");
}

#[test]
fn imports_add_and_replace_only_what_they_are_asked_to() {
    let (place, at_once) = (Place::cardiac(), Place::cardiac());
    label_map(&place, "all", [0, 1, 2, 3]);
    label_map(&place, "swapped", [0, 3, 2, 1]);
    label_map(&at_once, "all", [0, 1, 2, 3]);
    let patient = |folder: &str, n: u8| format!("{folder}/acdc/patient00{n}_frame01");
    let alone = |folder: &str, n: u8| {
        let name = format!("{}-{n}", folder.replace('/', "-"));
        let to = place.path(&patient(&name, n));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = Run::done(std::process::Command::new("cp").arg("-r").arg(place.path(&patient(folder, n))).arg(to));
        assert_eq!(copied.status, 0);
        name
    };
    let (first, second) = (alone("all", 1), alone("all", 2));
    let report = place.add(&first, &["--json"]);
    assert_eq!((report.status, report.json()["missing"].as_array().unwrap().len()), (3, 9));
    let report = place.add(&second, &["--json"]);
    assert_eq!((report.status, &report.json()["kept"]), (0, &9.into()), "{}", report.err);
    at_once.add("all", &[]);
    assert_same(&place.path("data"), &at_once.path("data"));

    // The same again is nothing; something else is refused, whether it is found at once or halfway.
    let before = files_of(&place.path("data"));
    assert_eq!(place.add("all", &["--json"]).json()["unchanged"], 18);
    assert_eq!(files_of(&place.path("data")), before);
    place.add("swapped", &[]).failed(1, &["12 masks, such as acdc/patient001", "other predictions of m", "--replace"]);
    fs::remove_file(place.path(&patient("swapped", 2)).join("z0002.png")).unwrap();
    write(&place.path(&patient("swapped", 2)).join("z0002.png"), b"no picture");
    place.add("swapped", &["--replace"]).failed(1, &["z0002.png"]);
    place.add("swapped", &["--replace", "--strategy", "new"]).failed(1, &["z0002.png"]);
    assert_eq!(files_of(&place.path("data")), before);

    // Another strategy stays beside it, and only the masks that are imported are replaced.
    assert_eq!(place.add(&first, &["--strategy", "other"]).status, 3);
    let report = place.add(&alone("swapped", 1), &["--replace", "--json"]).json();
    assert_eq!((&report["replaced"], &report["unchanged"], &report["kept"]), (&6.into(), &3.into(), &9.into()));
    assert_eq!(report["outdated"]["replaced"]["predictions"], 6);
    let dice = place.dice();
    assert_eq!(dice.len(), 18 + 9);
    assert_eq!(dice.iter().filter(|dice| **dice < 1.0).count(), 6);
}

#[test]
fn names_of_models_and_strategies_are_those_of_folders() {
    let place = Place::cardiac();
    label_map(&place, "all", [0, 1, 2, 3]);
    let before = files_of(&place.path("data"));
    for name in ["", "..", "a/b", "CON", "lpt1.x", "a b", "größe", "a\u{1b}[2J", "a."] {
        for (option, what) in [("--model", "model \""), ("--strategy", "strategy \"")] {
            let run = place.add("all", &[option, name]);
            run.failed(1, &[what, "expected"]);
            assert!(!run.err.contains('\u{1b}'), "{}", run.err);
        }
    }
    assert_eq!(files_of(&place.path("data")), before);
}

/// Ids of all masks that have a prediction, with the name of the model and the strategy.
fn predicted(dataset: &Path) -> Vec<(String, String, String)> {
    let rows = Dataset::open(dataset).unwrap().rows::<PredictionRow>().unwrap();
    rows.map(|row| row.unwrap()).map(|row| (row.mask_id, row.model, row.strategy)).collect()
}

#[test]
fn a_build_takes_in_the_predictions_whose_masks_it_has() {
    let place = Place::cardiac();
    label_map(&place, "all", [0, 1, 2, 3]);
    label_map(&place, "swapped", [0, 3, 2, 1]);
    assert_eq!(place.add("all", &[]).status, 0);
    assert_eq!(place.add("all", &["--model", "otsu-box", "--strategy", "mine"]).status, 0);
    Run::done(medcosmos("predict").arg(place.path("data")).args(["--model", "otsu-box", "--strategies", "S5"]));
    let (before, rows) = (files_of(&place.path("data")), predicted(&place.path("data")));
    assert_eq!(rows.len(), 3 * 18);
    let build = |options: &[&str]| {
        let mut build = medcosmos("build");
        Run::done(build.arg(place.path("raw")).arg("--out").arg(place.path("data")).args(options))
    };
    // Twelve of eighteen masks are larger than 85 pixels; the others wait for a build that has them.
    let run = build(&["--min-area", "85", "--replace"]);
    assert!(run.out.contains("54 predictions. Taken in again, because their images and masks are as before: 36."));
    assert!(run.out.contains("18 predictions stay set aside"), "{}", run.out);
    let kept = predicted(&place.path("data"));
    assert!(kept.len() == 36 && kept.iter().all(|row| rows.contains(row)), "{kept:?}");
    Run::done(medcosmos("verify").arg(place.path("data")));
    // Nothing is taken in twice.
    let files = files_of(&place.path("data"));
    let report = build(&["--min-area", "85", "--json"]).json();
    assert_eq!(report["outdated"]["returned_predictions"], 0);
    assert_eq!(files_of(&place.path("data")), files);
    // Back again, all are there without another command.
    let report = build(&["--replace", "--json"]).json();
    assert_eq!(
        (&report["outdated"]["returned_predictions"], &report["outdated"]["left_aside"]),
        (&54.into(), &0.into())
    );
    assert_eq!(files_of(&place.path("data")), before);

    // Later predictions come before earlier ones, and another setting stays aside.
    build(&["--min-area", "85", "--replace"]);
    let predict = |more: &[&str]| {
        let options = ["--model", "otsu-box", "--strategies", "S5", "--prompts", "code"];
        Run::done(medcosmos("predict").arg(place.path("data")).args(options).args(more));
    };
    predict(&["--replace"]);
    assert_eq!(place.add("swapped", &["--replace"]).status, 0);
    let report = build(&["--replace", "--json"]).json();
    Run::done(medcosmos("verify").arg(place.path("data")));
    assert_eq!(predicted(&place.path("data")).len(), 18 + 18 + 12, "six are of the first setting only");
    assert_eq!(report["outdated"]["left_aside"], 18, "{report}");
    predict(&[]);
    assert_eq!(predicted(&place.path("data")).len(), 54);
}

#[test]
fn imports_and_computed_predictions_do_not_take_one_another_away() {
    let place = Place::cardiac();
    label_map(&place, "all", [0, 1, 2, 3]);
    let predict =
        |more: &[&str]| Run::of(medcosmos("predict").arg(place.path("data")).args(["--model", "otsu-box"]).args(more));
    let import = |more: &[&str]| place.add("all", &[&["--model", "otsu-box"], more].concat());
    assert_eq!(predict(&[]).status, 0);
    let before = files_of(&place.path("data"));
    import(&["--strategy", "S5"]).failed(1, &["18 predictions of otsu-box", "computed by `medcosmos predict`"]);
    assert_eq!(files_of(&place.path("data")), before);
    assert_eq!(import(&[]).status, 0);
    assert_eq!(predict(&["--jitter", "0-10", "--seeds", "1"]).status, 0);
    assert_eq!(place.dice().len(), 3 * 18);
    let replaced = import(&["--strategy", "S5", "--replace", "--json"]).json();
    assert_eq!(replaced["outdated"]["replaced"], serde_json::json!({"predictions": 18}));
    predict(&[]).failed(1, &["S5: 18 predictions of 18 masks: made by `medcosmos import`"]);
    let replaced = predict(&["--replace", "--json"]).json();
    assert_eq!(replaced["outdated"]["replaced"], serde_json::json!({"predictions": 18}));
    assert_eq!(place.dice().len(), 3 * 18);
}
