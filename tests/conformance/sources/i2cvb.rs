//! I2CVB: DICOM masks matched by position; here their files run against the image's, and there is one slice more.

use medcosmos::demo::write::{DicomFacts, dicom_slices};
use medcosmos::image::{Geometry, Image};

use crate::fixture::{Archive, Damage, Ell, ExpectedCase, ExpectedMask, Fixture, Raw, gradient, volume};

const PROSTATE: Ell = Ell { from: [4, 6, 0], to: [21, 19, 2], value: 255.0 };
const CANCER: Ell = Ell { from: [8, 8, 1], to: [17, 17, 1], value: 255.0 };

fn place(mut image: Image) -> Image {
    image.geometry = Some(Geometry::from_lps([5.0, 6.0, -7.0], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [0.8, 0.8, 1.25]));
    image
}

fn series(raw: &Raw, folder: &str, names: &[String], image: &Image) {
    // The masks carry the series UID of the image, as in the real files.
    let facts = DicomFacts { modality: "MR".into(), series_uid: "1.2.3.4".into(), ..DicomFacts::default() };
    dicom_slices(&raw.folder(folder), names, &place(image.clone()), &facts).unwrap();
}

fn patient(raw: &Raw, folder: &str, cancer: bool) {
    let up: Vec<String> = (1..=3).map(|n| format!("image{n}.dcm")).collect();
    let down: Vec<String> = (1..=4).rev().map(|n| format!("image{n}.dcm")).collect();
    series(raw, &format!("{folder}/T2W"), &up, &gradient([30, 28, 3], "uint16", None));
    let mask = |shapes: &[Ell]| volume([30, 28, 4], "uint8", None, 0.0, shapes);
    series(raw, &format!("{folder}/GT/prostate"), &down, &mask(&[PROSTATE]));
    if cancer {
        series(raw, &format!("{folder}/GT/cap"), &down, &mask(&[CANCER]));
    }
}

fn write(raw: &Raw) {
    patient(raw, "GE/Patient_428260", false);
    patient(raw, "Siemens/Patient 383", true);
    raw.file("Siemens/Patient 383/ADC/image1.dcm", "no masks of its own");
}

const PROSTATE_MASK: ExpectedMask = ExpectedMask {
    id: "z0000/prostate",
    object: "prostate",
    laterality: None,
    excluded: false,
    area: 189,
    bbox: [4, 6, 21, 19],
    inside: (21, 19),
};
const CANCER_MASK: ExpectedMask = ExpectedMask {
    id: "z0001/prostate_cancer",
    object: "prostate cancer",
    laterality: None,
    excluded: false,
    area: 75,
    bbox: [8, 8, 17, 17],
    inside: (17, 17),
};

pub const FIXTURE: Fixture = Fixture {
    slug: "i2cvb",
    write,
    archive: Archive::TarGz,
    cases: &[
        ExpectedCase {
            id: "Patient_383",
            patient: "Patient_383",
            split: None,
            modality: "T2W MRI",
            plane: "axial",
            spacing: Some((0.8, 0.8)),
            slices: 3,
            masks: &[PROSTATE_MASK, ExpectedMask { id: "z0001/prostate", ..PROSTATE_MASK }, CANCER_MASK, ExpectedMask { id: "z0002/prostate", ..PROSTATE_MASK }],
        },
        ExpectedCase {
            id: "Patient_428260",
            patient: "Patient_428260",
            split: None,
            modality: "T2W MRI",
            plane: "axial",
            spacing: Some((0.8, 0.8)),
            slices: 3,
            masks: &[PROSTATE_MASK, ExpectedMask { id: "z0001/prostate", ..PROSTATE_MASK }, ExpectedMask { id: "z0002/prostate", ..PROSTATE_MASK }],
        },
    ],
    skipped: &[],
    damage: Damage {
        image: "Patient 383/T2W/image2.dcm",
        image_cases: &["Patient_383"],
        mask: None,
        unknown_label: None,
    },
};
