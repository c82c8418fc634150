//! Containers of several masks under names, through the whole program: each segment lands on the pixels that it was
//! drawn on, under its own name, or the case fails with a sentence.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use medcosmos::demo::write::{self, DicomFacts, dicom_segmentation, dicom_slices, slicer_segmentation, structure_set};
use medcosmos::image::{Geometry, Image, Samples};
use medcosmos::mask::Mask;
use medcosmos::store::{CaseRow, Dataset, MaskRow};

use crate::program::{Run, medcosmos};

const SIZE: [usize; 3] = [30, 26, 6];
const AXES: [[f64; 3]; 3] = [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];

fn volume(samples: Samples, geometry: Geometry) -> Image {
    let mut image = Image::picture(samples.len(), 1, 1, samples);
    image.size = [SIZE[0], SIZE[1], SIZE[2], 1];
    image.geometry = Some(geometry);
    image
}

fn geometry() -> Geometry {
    Geometry::from_lps([-10., -20., 30.], AXES, [0.8, 0.7, 3.0])
}

/// A box of more than 50 pixels in the slices of a range.
fn block([x0, y0]: [usize; 2], [w, h]: [usize; 2], slices: std::ops::Range<usize>) -> Vec<u8> {
    let inside = |i: usize| {
        let [x, y, z] = [i % SIZE[0], i / SIZE[0] % SIZE[1], i / (SIZE[0] * SIZE[1])];
        (x0..x0 + w).contains(&x) && (y0..y0 + h).contains(&y) && slices.contains(&z)
    };
    (0..SIZE.iter().product()).map(|i| u8::from(inside(i))).collect()
}

/// They overlap in slices 2 and 3.
fn liver() -> Vec<u8> {
    block([3, 2], [12, 9], 0..4)
}

fn spleen() -> Vec<u8> {
    block([9, 6], [14, 11], 2..5)
}

/// The masks of a download with a CT in DICOM, as they were drawn.
struct Download(tempfile::TempDir);

impl Download {
    /// `decode` are the lines of the mask part, `mask` the file beside the folder of the image.
    fn new(mask: &str, decode: &str) -> Download {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("raw/P1/image");
        fs::create_dir_all(&image).unwrap();
        let values = (0..SIZE.iter().product()).map(|i: usize| (i * 7 % 900) as i16).collect();
        let names: Vec<String> = (0..SIZE[2]).map(|z| format!("{:02}.dcm", 20 - z)).collect();
        let facts = DicomFacts {
            modality: "CT".into(),
            series_uid: "1.2.3".into(),
            attributes: vec![(tags::FRAME_OF_REFERENCE_UID, VR::UI, "1.2.9".into())],
            ..DicomFacts::default()
        };
        dicom_slices(&image, &names, &volume(Samples::I16(values), geometry()), &facts).unwrap();
        let spec = format!(
            r#"slug = "t"
name = "Test"
licence = {{ id = "LicenseRef-test", terms = "Test.", share_derived = "yes" }}
release = [{{ name = "1", evidence = ["{{p}}/image/{{file}}.dcm"] }}]
sequences = {{ S = "CT" }}
[labels.organs]
Liver = {{ name = "liver", object = "liver" }}
"the_spleen" = {{ name = "spleen", object = "spleen" }}
[[layout]]
name = "cases"
case = "{{p}}"
image = {{ path = ["{{p}}/image/{{file}}.dcm"], sequence = "S", stack = "file", order = "position", plane = "z" }}
[[layout.mask]]
path = ["{{p}}/{mask}"]
{decode}
"#
        );
        fs::write(folder.path().join("spec.toml"), spec).unwrap();
        Download(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn build(&self) -> (Run, CaseRow) {
        let data = self.path("data");
        let run = Run::of(
            medcosmos("build").arg(self.path("raw")).arg("--spec").arg(self.path("spec.toml")).arg("--out").arg(&data),
        );
        let cases: Vec<CaseRow> = Dataset::open(&data).unwrap().rows().unwrap().map(Result::unwrap).collect();
        (run, cases.into_iter().next().unwrap())
    }

    /// Checks that these and no other masks are built.
    fn holds(&self, expected: &[(&str, Vec<u8>)]) {
        let (run, case) = self.build();
        assert_eq!((run.status, case.reason), (0, None), "{}{}", run.out, run.err);
        let mut found: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let area = SIZE[0] * SIZE[1];
        for row in Dataset::open(self.path("data")).unwrap().rows::<MaskRow>().unwrap().map(Result::unwrap) {
            let z: usize = row.slice_id.rsplit_once('z').unwrap().1.parse().unwrap();
            let [height, width] = row.mask.size;
            let bitmap = Mask::from_coco(height, width, &row.mask.counts).unwrap().to_bitmap();
            let whole = found.entry(row.label_name).or_insert_with(|| vec![0; area * SIZE[2]]);
            whole[z * area..(z + 1) * area].copy_from_slice(&bitmap);
        }
        let expected: BTreeMap<String, Vec<u8>> =
            expected.iter().map(|(name, mask)| (name.to_string(), mask.clone())).collect();
        assert!(found == expected, "other masks: {:?}", found.keys());
    }

    fn fails(&self, words: &[&str]) {
        let (run, case) = self.build();
        let reason = case.reason.unwrap_or_default();
        assert_eq!(run.status, 3, "{}{}", run.out, run.err);
        words.iter().for_each(|word| assert!(reason.contains(word), "{word:?} is not in: {reason}"));
    }
}

const SEGMENTS: &str = "decode = { kind = \"segments\" }\nlabels = \"organs\"";
const BINARY: &str = "decode = { kind = \"binary\" }\nlabel = { name = \"liver\", object = \"liver\" }";

fn masks<'a>(names: [&'a str; 2], geometry: &Geometry) -> [(&'a str, Image); 2] {
    let mask = |values| volume(Samples::U8(values), geometry.clone());
    [(names[0], mask(liver())), (names[1], mask(spleen()))]
}

const NAMES: [&str; 2] = [" liver", "The spleen"];

#[test]
fn a_dicom_segmentation_of_overlapping_segments() {
    let download = Download::new("seg.dcm", SEGMENTS);
    dicom_segmentation(&download.path("raw/P1/seg.dcm"), &masks(NAMES, &geometry())).unwrap();
    download.holds(&[("liver", liver()), ("spleen", spleen())]);
}

#[test]
fn layers_of_slicer() {
    let download = Download::new("seg.nrrd", SEGMENTS);
    slicer_segmentation(&download.path("raw/P1/seg.nrrd"), &masks(NAMES, &geometry())).unwrap();
    download.holds(&[("liver", liver()), ("spleen", spleen())]);
}

#[test]
fn contours_of_a_structure_set() {
    let download = Download::new("rt.dcm", SEGMENTS);
    let outline = |[x, y]: [usize; 2], [w, h]: [usize; 2], slices: std::ops::Range<usize>| -> Vec<write::Contour> {
        let ends = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]].map(|c| c.map(|n| n as f64 - 0.5));
        slices.map(|z| ends.map(|[x, y]| geometry().to_world([x, y, z as f64])).to_vec()).collect()
    };
    let structures = [(NAMES[1], outline([9, 6], [14, 11], 2..5)), (NAMES[0], outline([3, 2], [12, 9], 0..4))];
    structure_set(&download.path("raw/P1/rt.dcm"), &structures).unwrap();
    download.holds(&[("liver", liver()), ("spleen", spleen())]);
}

#[test]
fn several_masks_are_never_read_as_one() {
    let write = |path: &Path, name: &str| match name {
        "seg.dcm" => dicom_segmentation(path, &masks(NAMES, &geometry())),
        "seg.nrrd" => slicer_segmentation(path, &masks(NAMES, &geometry())),
        _ => structure_set(path, &[(NAMES[0], Vec::new()), (NAMES[1], Vec::new())]),
    };
    for name in ["seg.dcm", "seg.nrrd", "rt.dcm"] {
        let download = Download::new(name, BINARY);
        write(&download.path(&format!("raw/P1/{name}")), name).unwrap();
        download.fails(&[name, "The spleen", "decode = { kind = \"segments\" }"]);
    }
}

#[test]
fn what_the_table_does_not_have_and_what_lies_elsewhere_fails() {
    let download = Download::new("seg.dcm", SEGMENTS);
    let path = download.path("raw/P1/seg.dcm");
    dicom_segmentation(&path, &masks(["liver", "lump"], &geometry())).unwrap();
    download.fails(&["\"lump\"", "Liver, the_spleen"]);
    dicom_segmentation(&path, &masks(["liver", "Liver"], &geometry())).unwrap();
    download.fails(&["both match \"Liver\""]);
    let between = Geometry::from_lps([-10., -20., 31.3], AXES, [0.8, 0.7, 3.0]);
    dicom_segmentation(&path, &masks(NAMES, &between)).unwrap();
    download.fails(&["between its slices", "pair = \"space\"", "30 x 26 x 6 pixels"]);
    let coarse = Geometry::from_lps([-10., -20., 30.], AXES, [1.6, 0.7, 3.0]);
    dicom_segmentation(&path, &masks(NAMES, &coarse)).unwrap();
    download.fails(&["differ from those of the image in size", "1.6000 x 0.7000 mm"]);
}

/// The second and the fifth slice of a volume, as a mask of slices 9 mm apart.
fn every_third(values: Vec<u8>) -> Image {
    let area = SIZE[0] * SIZE[1];
    let kept: Vec<u8> = values.chunks(area).skip(1).step_by(3).flatten().copied().collect();
    let mut image = Image::picture(kept.len(), 1, 1, Samples::U8(kept));
    image.size = [SIZE[0], SIZE[1], SIZE[2] / 3, 1];
    image.geometry = Some(Geometry::from_lps([-10., -20., 33.], AXES, [0.8, 0.7, 9.0]));
    image
}

#[test]
fn segments_of_slices_farther_apart_fail_or_fill_the_slices_between() {
    for name in ["seg.dcm", "seg.nrrd"] {
        let masks = [("liver", every_third(liver())), ("the spleen", every_third(spleen()))];
        let write = |download: &Download| match name {
            "seg.dcm" => dicom_segmentation(&download.path("raw/P1/seg.dcm"), &masks),
            _ => slicer_segmentation(&download.path("raw/P1/seg.nrrd"), &masks),
        };
        let download = Download::new(name, SEGMENTS);
        write(&download).unwrap();
        download.fails(&["9", "30 x 26 x 6", "pair = \"space\""]);
        let download = Download::new(name, &format!("{SEGMENTS}\npair = \"space\""));
        write(&download).unwrap();
        // Slices 0 to 2 have the mask of slice 1, the others that of slice 4.
        download.holds(&[("liver", block([3, 2], [12, 9], 0..3)), ("spleen", block([9, 6], [14, 11], 3..6))]);
        let (_, case) = download.build();
        assert_eq!(case.placement.as_deref(), Some("resampled"));
    }
}

/// One of the segments would fall out of the image, had its header the word.
#[test]
fn all_segments_of_a_file_are_placed_by_one_rule() {
    let download = Download::new("seg.nrrd", SEGMENTS);
    let aside = Geometry::from_lps([-2., -20., 30.], AXES, [0.8, 0.7, 3.0]);
    slicer_segmentation(&download.path("raw/P1/seg.nrrd"), &masks(NAMES, &aside)).unwrap();
    download.holds(&[("liver", liver()), ("spleen", spleen())]);
    let (_, case) = download.build();
    assert_eq!((case.placement.as_deref(), case.placement_error_mm), (Some("shifted"), Some(8.0)));
    assert_eq!(case.notes.iter().filter(|note| note.contains("8.00 mm away")).count(), 2, "{:?}", case.notes);
}
