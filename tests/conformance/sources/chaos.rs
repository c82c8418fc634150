//! CHAOS: DICOM beside PNG masks in the order of file names, which in CT runs against position; grey ranges in MR.

use medcosmos::demo::write::{DicomFacts, dicom_slices};
use medcosmos::image::{Geometry, Image, Scaling};

use crate::fixture::{Archive, Damage, Ell, ExpectedCase, ExpectedMask, Fixture, Raw, bilevel, gradient, slice, volume};

const SIZE: [usize; 3] = [40, 36, 4];
const LIVER: Ell = Ell { from: [3, 5, 0], to: [18, 20, 1], value: 63.0 };
const LEFT_KIDNEY: Ell = Ell { from: [22, 5, 2], to: [35, 16, 3], value: 189.0 };

/// Slices from head to feet, as the CT files come; from feet to head otherwise.
fn place(mut image: Image, down: bool) -> Image {
    let z = if down { -1.0 } else { 1.0 };
    image.geometry = Some(Geometry::from_lps([0.0, 0.0, 50.0], [[1., 0., 0.], [0., 1., 0.], [0., 0., z]], [0.7, 0.7, 2.0]));
    image
}

fn ct(raw: &Raw, patient: &str) {
    let mut image = place(gradient(SIZE, "uint16", None), true);
    image.scaling = Scaling { slope: 1.0, intercept: -1000.0 };
    let names: Vec<String> = (0..4).map(|n| format!("i{n:04},0000b.dcm")).collect();
    let facts = DicomFacts { modality: "CT".into(), ..DicomFacts::default() };
    let folder = format!("Train_Sets/CT/{patient}");
    dicom_slices(&raw.folder(&format!("{folder}/DICOM_anon")), &names, &image, &facts).unwrap();
    let labels = volume(SIZE, "uint8", None, 0.0, &[LIVER]);
    for z in 0..4 {
        raw.image(&format!("{folder}/Ground/liver_GT_{z:03}.png"), &bilevel(&slice(&labels, z)));
    }
}

fn mr(raw: &Raw, shapes: &[Ell]) {
    let names: Vec<String> = (1..5).map(|n| format!("IMG-0004-{n:05}.dcm")).collect();
    let facts = DicomFacts { modality: "MR".into(), ..DicomFacts::default() };
    let image = place(gradient(SIZE, "uint16", None), false);
    let folder = "Train_Sets/MR/1/T2SPIR";
    dicom_slices(&raw.folder(&format!("{folder}/DICOM_anon")), &names, &image, &facts).unwrap();
    let labels = volume(SIZE, "uint8", None, 0.0, shapes);
    for (z, name) in names.iter().enumerate() {
        raw.image(&format!("{folder}/Ground/{}", name.replace("dcm", "png")), &slice(&labels, z));
    }
}

fn write(raw: &Raw) {
    ct(raw, "1");
    ct(raw, "21");
    mr(raw, &[LIVER, LEFT_KIDNEY]);
    raw.file("Test_Sets/CT/3/DICOM_anon/i0000,0000b.dcm", "not used, so not read");
}

fn unknown_label(raw: &Raw) {
    mr(raw, &[Ell { value: 99.0, ..LIVER }]);
}

const LIVER_MASK: ExpectedMask = ExpectedMask {
    id: "z0000/liver",
    object: "liver",
    laterality: None,
    excluded: false,
    area: 192,
    bbox: [3, 5, 18, 20],
    inside: (18, 20),
};
const KIDNEY_MASK: ExpectedMask = ExpectedMask {
    id: "z0002/left_kidney",
    object: "kidney",
    laterality: Some("left"),
    excluded: false,
    area: 126,
    bbox: [22, 5, 35, 16],
    inside: (35, 16),
};

pub const FIXTURE: Fixture = Fixture {
    slug: "chaos",
    write,
    archive: Archive::Zip,
    cases: &[
        ExpectedCase {
            id: "CT_1",
            patient: "CT_1",
            split: Some("train"),
            modality: "CT",
            plane: "axial",
            spacing: Some((0.7, 0.7)),
            slices: 2,
            masks: &[LIVER_MASK, ExpectedMask { id: "z0001/liver", ..LIVER_MASK }],
        },
        ExpectedCase {
            id: "CT_21",
            patient: "CT_21",
            split: Some("train"),
            modality: "CT",
            plane: "axial",
            spacing: Some((0.7, 0.7)),
            slices: 2,
            masks: &[LIVER_MASK, ExpectedMask { id: "z0001/liver", ..LIVER_MASK }],
        },
        ExpectedCase {
            id: "MR_1_T2_SPIR",
            patient: "MR_1",
            split: Some("train"),
            modality: "T2W MRI",
            plane: "axial",
            spacing: Some((0.7, 0.7)),
            slices: 4,
            masks: &[LIVER_MASK, ExpectedMask { id: "z0001/liver", ..LIVER_MASK }, KIDNEY_MASK, ExpectedMask { id: "z0003/left_kidney", ..KIDNEY_MASK }],
        },
    ],
    skipped: &[],
    damage: Damage {
        image: "CT/1/DICOM_anon/i0001,0000b.dcm",
        image_cases: &["CT_1"],
        mask: Some(("CT/1/Ground/liver_GT_001.png", "do not belong together")),
        unknown_label: Some(unknown_label),
    },
};
