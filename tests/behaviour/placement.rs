//! Masks on the pixels that their headers put them on: every storage order, every pair of containers, headers that say
//! nothing, and headers that contradict each other.

use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::demo::write::{self, DicomFacts};
use medcosmos::formats::png;
use medcosmos::image::{Frame, Geometry, Image, Samples};
use medcosmos::mask::Mask;
use medcosmos::store::{CaseRow, Dataset, MaskRow, SliceRow};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::program::{Run, medcosmos};

/// Voxels and millimetres along the axes of the patient.
const SIZE: [usize; 3] = [22, 18, 9];
const SPACING: [f64; 3] = [0.8, 0.9, 2.5];
const IMAGES: [&str; 5] = ["nii.gz", "mhd", "nrrd", "nii", "dicom"];
const MASKS: [&str; 6] = ["nii.gz", "mhd", "nrrd", "nii", "dicom", "seg"];

/// A body that no symmetry of the grid maps onto itself.
fn inside([x, y, z]: [usize; 3]) -> bool {
    let ball = |at: [f64; 3], r: f64| {
        let way = [x as f64 - at[0], y as f64 - at[1], 2.0 * (z as f64 - at[2])];
        way.iter().map(|d| d * d).sum::<f64>() <= r * r
    };
    ball([7.0, 6.0, 3.0], 5.0) || (ball([13.0, 11.0, 5.0], 3.5) && x > y)
}

/// How a grid is stored.
#[derive(Clone, Debug)]
struct Storage {
    container: &'static str,
    /// For each file axis the patient's axis it runs along.
    order: [usize; 3],
    /// Patient's axes that are stored from the other end.
    turned: [bool; 3],
}

/// Where the grid lies: its first voxel, and a rotation about the patient's z axis.
#[derive(Clone, Debug)]
struct Place {
    origin: [f64; 3],
    angle: f64,
}

fn stored(storage: &Storage, place: &Place, value: impl Fn(bool) -> i16) -> Image {
    let (sin, cos) = place.angle.sin_cos();
    let axes = [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]];
    let mut origin = place.origin;
    let mut directions = axes;
    for axis in (0..3).filter(|&a| storage.turned[a]) {
        for i in 0..3 {
            origin[i] += axes[axis][i] * SPACING[axis] * (SIZE[axis] - 1) as f64;
            directions[axis][i] = -axes[axis][i];
        }
    }
    let size = storage.order.map(|axis| SIZE[axis]);
    let mut values = Vec::with_capacity(size.iter().product());
    for c in 0..size[2] {
        for b in 0..size[1] {
            for a in 0..size[0] {
                let mut at = [0; 3];
                for (axis, i) in storage.order.into_iter().zip([a, b, c]) {
                    at[axis] = if storage.turned[axis] { SIZE[axis] - 1 - i } else { i };
                }
                values.push(value(inside(at)));
            }
        }
    }
    let mut image = Image::picture(size[0], size[1] * size[2], 1, Samples::I16(values));
    image.size = [size[0], size[1], size[2], 1];
    let spacing = storage.order.map(|axis| SPACING[axis]);
    image.geometry = Some(Geometry::from_lps(origin, storage.order.map(|axis| directions[axis]), spacing));
    image
}

/// Writes an image as one file, or as a folder of DICOM slices.
fn save(raw: &Path, stem: &str, container: &str, image: &Image) {
    if container == "seg" {
        let Samples::I16(values) = &image.samples else { panic!("int16 expected") };
        let mut marks = Image::picture(
            image.size[0],
            values.len() / image.size[0],
            1,
            Samples::U8(values.iter().map(|v| *v as u8).collect()),
        );
        (marks.size, marks.geometry) = (image.size, image.geometry.clone());
        return write::dicom_segmentation(&raw.join(format!("{stem}.dcm")), &[("liver", marks)]).unwrap();
    }
    if container != "dicom" {
        return write::image(&raw.join(format!("{stem}.{container}")), image).unwrap();
    }
    let folder = raw.join(stem);
    fs::create_dir_all(&folder).unwrap();
    let names: Vec<String> = (0..image.size[2]).map(|z| format!("IM{z:03}.dcm")).collect();
    let facts =
        DicomFacts { modality: "CT".into(), series_uid: format!("1.2.{}", image.size[2]), ..Default::default() };
    write::dicom_slices(&folder, &names, image, &facts).unwrap();
}

/// The spec of these downloads. `mask` are further keys of the masks.
fn spec(mask: &str) -> String {
    let mut spec = String::from(
        r#"slug = "placed"
name = "Placed"
[licence]
id = "LicenseRef-test"
share_derived = "yes"
[[release]]
name = "1"
evidence = ["{p}_{kind:image|mask}{rest:/.*/}"]
[sequences]
CT = "CT"
"#,
    );
    for (image, of) in [("files", false), ("slices", true)] {
        for (masks, at) in [("files", false), ("slices", true)] {
            let path = |kind: &str, dicom: bool| match dicom {
                true => format!(
                    "path = [\"{image}-{masks}{{p:d}}_{kind}/{{file}}.dcm\"]\nstack = \"file\"\norder = \"position\""
                ),
                false => format!("path = [\"{image}-{masks}{{p:d}}_{kind}.{{{kind}:nii.gz|nii|mhd|nrrd|dcm}}\"]"),
            };
            spec.push_str(&format!(
                "[[layout]]\nname = \"{image} {masks}\"\ncase = \"{image}-{masks}{{p}}\"\n[layout.image]\n{}\nsequence = \"CT\"\n\
                 plane = \"z\"\n[[layout.mask]]\n{}\ndecode = {{ kind = \"binary\" }}\nlabel = {{ name = \"liver\", object = \"liver\" }}\n{mask}\n",
                path("image", of),
                path("mask", at),
            ));
        }
    }
    spec
}

/// The stem of a case: its layout and number.
fn stem(image: &Storage, mask: &Storage, number: usize) -> String {
    let kind = |storage: &Storage| if storage.container == "dicom" { "slices" } else { "files" };
    format!("{}-{}{number:03}", kind(image), kind(mask))
}

struct Built {
    _folder: tempfile::TempDir,
    data: PathBuf,
    run: Run,
}

/// Builds what `write` leaves in a folder.
fn built(mask: &str, write: impl FnOnce(&Path)) -> Built {
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, file) = (folder.path().join("raw"), folder.path().join("data"), folder.path().join("placed.toml"));
    fs::create_dir(&raw).unwrap();
    fs::write(&file, spec(mask)).unwrap();
    write(&raw);
    let run = Run::of(
        medcosmos("build").arg(&raw).arg("--spec").arg(&file).arg("--out").arg(&data).arg("--min-area").arg("0"),
    );
    Built { _folder: folder, data, run }
}

impl Built {
    fn cases(&self) -> Vec<CaseRow> {
        Dataset::open(&self.data).unwrap().rows().unwrap().map(Result::unwrap).collect()
    }

    /// Checks, slice by slice, that the masks are what is bright in the pictures; how many slices there are of each
    /// case.
    fn masks_are_the_bright_pixels(&self) -> std::collections::BTreeMap<String, usize> {
        let dataset = Dataset::open(&self.data).unwrap();
        let masks: Vec<MaskRow> = dataset.rows().unwrap().map(Result::unwrap).collect();
        let mut slices = std::collections::BTreeMap::new();
        for slice in dataset.rows::<SliceRow>().unwrap().map(Result::unwrap) {
            let picture = png::read(&slice.image.bytes).unwrap();
            let bright: Vec<u8> =
                (0..picture.samples.len()).map(|i| u8::from(picture.samples.get(i) > 127.0)).collect();
            let [mask] = &masks.iter().filter(|m| m.slice_id == slice.slice_id).collect::<Vec<_>>()[..] else {
                panic!("one mask expected in {}", slice.slice_id)
            };
            let drawn = Mask::from_coco(mask.mask.size[0], mask.mask.size[1], &mask.mask.counts).unwrap().to_bitmap();
            assert_eq!(drawn, bright, "{}", slice.slice_id);
            *slices.entry(slice.case_id).or_insert(0) += 1;
        }
        slices
    }
}

fn storage(containers: &'static [&'static str]) -> impl Strategy<Value = Storage> {
    let order = Just([0usize, 1, 2]).prop_shuffle();
    (proptest::sample::select(containers), order, any::<[bool; 3]>()).prop_map(|(container, order, turned)| Storage {
        container,
        order,
        turned,
    })
}

fn place() -> impl Strategy<Value = Place> {
    let angle = prop_oneof![Just(0.0), -3.0..3.0f64];
    (proptest::array::uniform3(-300.0..300.0f64), angle).prop_map(|(origin, angle)| Place { origin, angle })
}

/// Any signed permutation of the axes of image and mask, at any place, in any two containers, with true headers: the
/// mask lies on the object. (The program is asked once, about many cases.)
#[test]
fn masks_lie_where_true_headers_put_them() {
    let number = std::env::var("MEDCOSMOS_PLACEMENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let pairs: Vec<(Storage, Storage, Place)> = (0..number)
        .map(|_| (storage(&IMAGES), storage(&MASKS), place()).new_tree(&mut runner).unwrap().current())
        .collect();
    let built = built("", |raw| {
        for (number, (image, mask, place)) in pairs.iter().enumerate() {
            let stem = stem(image, mask, number);
            save(
                raw,
                &format!("{stem}_image"),
                image.container,
                &stored(image, place, |inside| i16::from(inside) * 900 - 100),
            );
            save(raw, &format!("{stem}_mask"), mask.container, &stored(mask, place, i16::from));
        }
    });
    let built_cases = built.masks_are_the_bright_pixels();
    for case in built.cases() {
        // Two stacks of files that count the same slices from the two ends contradict their own headers, and frames of
        // a segmentation across the image's slices lie on none of them.
        let refused = ["names and positions contradict", "segment 1 \"liver\""];
        if case.reason.as_ref().is_some_and(|reason| refused.iter().any(|words| reason.contains(words))) {
            assert_eq!(case.status.name(), "failed");
            continue;
        }
        assert_eq!((case.status.name(), &case.reason), ("ok", &None), "{}", case.case_id);
        assert!(built_cases[&case.case_id] > 3, "{}", case.case_id);
        let placement = case.placement.as_deref().unwrap();
        assert!(matches!(placement, "same" | "reordered"), "{}: {placement}", case.case_id);
        assert!(case.placement_error_mm.unwrap() < 0.01, "{case:?}");
    }
    assert!(built_cases.len() > number * 3 / 4, "{} of {number} were built", built_cases.len());
    assert!(built.run.out.contains("reordered: masks in another storage order"), "{}", built.run.out);
}

const UPRIGHT: Storage = Storage { container: "nii.gz", order: [0, 1, 2], turned: [false; 3] };
const HERE: Place = Place { origin: [-20.0, 30.0, 40.0], angle: 0.0 };

/// One case, of which the mask's frame is changed.
fn with_frame(mask: &str, frame: impl Fn(Geometry) -> Option<Geometry>) -> Built {
    built(mask, |raw| {
        let image = stored(&UPRIGHT, &HERE, |inside| i16::from(inside) * 900);
        save(raw, "files-files001_image", "nii.gz", &image);
        let mut drawn = stored(&UPRIGHT, &HERE, i16::from);
        drawn.geometry = drawn.geometry.and_then(frame);
        save(raw, "files-files001_mask", "nii.gz", &drawn);
    })
}

#[test]
fn headers_that_say_nothing_are_told() {
    let identity = |diagonal: [f64; 3]| {
        let [x, y, z] = diagonal;
        let affine = [[x, 0., 0., 0.], [0., y, 0., 0.], [0., 0., z, 0.]];
        Geometry { spacing: diagonal.map(f64::abs), affine, frame: Frame::Sform }
    };
    for silent in [
        None,
        Some(Geometry::from_spacing(SPACING)),
        Some(identity([1.0, 1.0, 1.0])),
        Some(identity([-1.0, -1.0, 1.0])),
        Some(identity(SPACING)),
    ] {
        let built = with_frame("", |_| silent.clone());
        assert_eq!(built.run.status, 0, "{}", built.run.err);
        let [case] = &built.cases()[..] else { panic!("one case expected") };
        assert_eq!(case.placement.as_deref(), Some("by_index"), "{silent:?}");
        assert!(case.notes.iter().any(|note| note.contains("paired by index")), "{:?}", case.notes);
        assert!(built.run.out.contains("placed: 1 case(s) by_index"), "{}", built.run.out);
        built.masks_are_the_bright_pixels();
    }
}

#[test]
fn an_origin_elsewhere_is_told_and_a_fault_for_those_who_ask() {
    let built = with_frame("", |mut frame| {
        frame.affine[0][3] += 24.0;
        Some(frame)
    });
    assert_eq!(built.run.status, 0, "{}", built.run.err);
    let [case] = &built.cases()[..] else { panic!("one case expected") };
    assert_eq!((case.placement.as_deref(), case.placement_error_mm), (Some("shifted"), Some(24.0)));
    assert!(built.run.out.contains("placed: 1 case(s) shifted"), "{}", built.run.out);
    let verify = Run::of(medcosmos("verify").arg(&built.data));
    assert_eq!(verify.status, 1, "{}", verify.out);
    assert!(verify.out.contains("misplaced") && verify.out.contains("24.00 mm"), "{}", verify.out);
    let trace = Run::done(medcosmos("trace").arg(&built.data).arg("placed/files-files001")).out;
    assert!(trace.contains("shifted, error at most 24.000 mm"), "{trace}");
    let folder = built.data.parent().unwrap();
    let mut strict = medcosmos("build");
    strict
        .arg(folder.join("raw"))
        .arg("--spec")
        .arg(folder.join("placed.toml"))
        .arg("--out")
        .arg(&built.data)
        .args(["--strict", "--replace"]);
    Run::of(&mut strict).failed(1, &["placed/files-files001", "24.00 mm"]);
}

#[test]
fn frames_that_contradict_fail_with_both_and_the_cure() {
    for (change, word) in [
        (
            (|frame: &mut Geometry| frame.affine.iter_mut().for_each(|row| row[0] *= 2.0)) as fn(&mut Geometry),
            "voxels have other sizes",
        ),
        (|frame| frame.affine[0][0] *= -1.0, "axes point to"),
        (|frame| frame.affine.iter_mut().for_each(|row| row.swap(0, 1)), "axes point to"),
    ] {
        let changed = |mut frame: Geometry| {
            change(&mut frame);
            Some(frame)
        };
        let refused = with_frame("", changed);
        assert_eq!(refused.run.status, 1 + 2, "{}", refused.run.out);
        for word in [word, "22 x 18 x 9", "pair = \"space\"", "pair = \"index\""] {
            assert!(refused.run.out.contains(word), "{word}: {}", refused.run.out);
        }
        // A spec that knows better.
        let built = with_frame("pair = \"index\"\npair_reason = \"the converter wrote them wrongly\"", changed);
        assert_eq!(built.run.status, 0, "{}", built.run.err);
        assert_eq!(built.cases()[0].placement.as_deref(), Some("by_index"));
        built.masks_are_the_bright_pixels();
    }
    let nameless = with_frame("pair = \"index\"", Some);
    nameless.run.failed(1, &["requires pair_reason"]);
}

#[test]
fn stacks_with_holes_pair_by_name_and_say_what_is_missing() {
    let spec = r#"slug = "stacked"
name = "Stacked"
[licence]
id = "LicenseRef-test"
share_derived = "yes"
[[release]]
name = "1"
evidence = ["{p}/images/{z}.png"]
[sequences]
CT = "CT"
[[layout]]
name = "stacks"
case = "{p}"
[layout.image]
path = ["{p}/images/{z}.png"]
stack = "z"
sequence = "CT"
[[layout.mask]]
path = ["{p}/masks/{z}.png"]
stack = "z"
decode = { kind = "binary" }
label = { name = "liver", object = "liver" }
"#;
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, file) = (folder.path().join("raw"), folder.path().join("data"), folder.path().join("stacked.toml"));
    fs::write(&file, spec).unwrap();
    let square = |z: usize, value: u8| {
        let inside = |i: usize| (i % 40) >= 5 && (i % 40) < 16 && i / 40 >= z && i / 40 < z + 12;
        Image::picture(40, 40, 1, Samples::U8((0..1600).map(|i| if inside(i) { value } else { 0 }).collect()))
    };
    let save = |path: String, z: usize| {
        let path = raw.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        write::image(&path, &square(z, 255)).unwrap();
    };
    for z in 1..=12 {
        save(format!("holes/images/{z:02}.png"), z);
        save(format!("shifted/images/{z:02}.png"), z);
        save(format!("shifted/masks/{:02}.png", z - 1), z);
        if z != 3 && z != 10 {
            save(format!("holes/masks/{z}.png"), z);
        }
    }
    save("holes/masks/13.png".into(), 13);
    let run = Run::of(medcosmos("build").arg(&raw).arg("--spec").arg(&file).arg("--out").arg(&data));
    assert_eq!(run.status, 3, "{}{}", run.out, run.err);
    assert!(run.out.contains("stacked/shifted") && run.out.contains("contradict"), "{}", run.out);
    let built = Built { _folder: folder, data, run };
    assert_eq!(
        built.masks_are_the_bright_pixels().into_iter().collect::<Vec<_>>(),
        [("stacked/holes".to_string(), 10)]
    );
    let notes = built.cases()[0].notes.join("\n");
    for words in ["2 of 12 image slices have no mask slice", "1 of 11 mask slices have no image slice"] {
        assert!(notes.contains(words), "{notes}");
    }
}

#[test]
fn several_planes_are_cut_in_one_build() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, file) = (folder.path().join("raw"), folder.path().join("data"), folder.path().join("placed.toml"));
    fs::create_dir(&raw).unwrap();
    fs::write(&file, spec("").replace("plane = \"z\"", "planes = [\"axial\", \"coronal\", \"z\"]")).unwrap();
    save(&raw, "files-files001_image", "nii.gz", &stored(&UPRIGHT, &HERE, |inside| i16::from(inside) * 900));
    save(&raw, "files-files001_mask", "nii.gz", &stored(&UPRIGHT, &HERE, i16::from));
    let mut build = medcosmos("build");
    let run = Run::done(build.arg(&raw).arg("--spec").arg(&file).arg("--out").arg(&data).arg("--min-area").arg("5"));
    let built = Built { _folder: folder, data, run };
    built.masks_are_the_bright_pixels();
    let [case] = &built.cases()[..] else { panic!("one case expected") };
    assert_eq!((case.plane.as_deref(), case.n_slices), (Some("axial, coronal"), 9 + 18));
    let slices: Vec<SliceRow> = Dataset::open(&built.data).unwrap().rows().unwrap().map(Result::unwrap).collect();
    for (letter, plane) in [("z", "axial"), ("y", "coronal")] {
        let of_plane = slices.iter().filter(|slice| slice.plane == plane);
        assert!(of_plane.clone().count() > 3, "{plane}");
        assert!(of_plane.clone().all(|slice| slice.slice_id.rsplit('/').next().unwrap().starts_with(letter)));
    }
    Run::done(medcosmos("verify").arg(&built.data));
    Run::done(medcosmos("leaks").arg(&built.data));
}
