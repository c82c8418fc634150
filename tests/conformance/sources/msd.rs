//! MSD: one tar a task, sequences along the fourth axis, labels stored as floats, resource forks beside the images.

use medcosmos::image::{Image, Samples};

use crate::fixture::{Archive, Damage, Ell, ExpectedCase, ExpectedMask, Fixture, Raw, gradient, volume};

const SIZE: [usize; 3] = [32, 28, 4];
const SPACING: Option<[f64; 3]> = Some([0.6, 0.7, 3.6]);
const FIRST: Ell = Ell { from: [3, 4, 0], to: [16, 15, 1], value: 1.0 };
const SECOND: Ell = Ell { from: [18, 6, 2], to: [29, 19, 3], value: 2.0 };

fn task(raw: &Raw, task: &str, case: &str, image: &Image, shapes: &[Ell]) {
    raw.image(&format!("{task}/imagesTr/{case}.nii.gz"), image);
    raw.image(&format!("{task}/labelsTr/{case}.nii.gz"), &volume(SIZE, "float32", SPACING, 0.0, shapes));
    raw.file(&format!("{task}/labelsTr/._{case}.nii.gz"), "resource fork");
}

/// Two sequences along the fourth axis.
fn two_sequences() -> Image {
    let mut image = gradient(SIZE, "int16", SPACING);
    let Samples::I16(first) = &mut image.samples else { unreachable!() };
    let second: Vec<i16> = first.iter().map(|v| 300 - v).collect();
    first.extend(second);
    image.size[3] = 2;
    image
}

fn write(raw: &Raw) {
    task(raw, "Task04_Hippocampus", "hippocampus_001", &gradient(SIZE, "uint8", SPACING), &[FIRST, SECOND]);
    task(raw, "Task04_Hippocampus", "hippocampus_003", &gradient(SIZE, "float32", SPACING), &[FIRST]);
    task(raw, "Task05_Prostate", "prostate_00", &two_sequences(), &[SECOND]);
    raw.image("Task04_Hippocampus/imagesTs/hippocampus_002.nii.gz", &gradient(SIZE, "uint8", SPACING));
    raw.file("Task04_Hippocampus/dataset.json", "{}");
}

fn unknown_label(raw: &Raw) {
    task(raw, "Task04_Hippocampus", "hippocampus_003", &gradient(SIZE, "float32", SPACING), &[Ell { value: 3.0, ..FIRST }]);
}

const ANTERIOR: ExpectedMask = ExpectedMask {
    id: "z0000/anterior_hippocampus",
    object: "hippocampus",
    laterality: None,
    excluded: false,
    area: 126,
    bbox: [3, 4, 16, 15],
    inside: (16, 15),
};
const POSTERIOR: ExpectedMask = ExpectedMask {
    id: "z0002/posterior_hippocampus",
    object: "hippocampus",
    laterality: None,
    excluded: false,
    area: 126,
    bbox: [18, 6, 29, 19],
    inside: (29, 19),
};
const TRANSITION: ExpectedMask = ExpectedMask {
    id: "z0002/transition_zone",
    object: "prostate transition zone",
    laterality: None,
    excluded: false,
    area: 126,
    bbox: [18, 6, 29, 19],
    inside: (29, 19),
};

pub const FIXTURE: Fixture = Fixture {
    slug: "msd",
    write,
    archive: Archive::Tar,
    cases: &[
        ExpectedCase {
            id: "hippocampus_001",
            patient: "hippocampus_001",
            split: Some("train"),
            modality: "T1W MRI",
            plane: "axial",
            spacing: Some((0.7, 0.6)),
            slices: 4,
            masks: &[ANTERIOR, ExpectedMask { id: "z0001/anterior_hippocampus", ..ANTERIOR }, POSTERIOR, ExpectedMask { id: "z0003/posterior_hippocampus", ..POSTERIOR }],
        },
        ExpectedCase {
            id: "hippocampus_003",
            patient: "hippocampus_003",
            split: Some("train"),
            modality: "T1W MRI",
            plane: "axial",
            spacing: Some((0.7, 0.6)),
            slices: 2,
            masks: &[ANTERIOR, ExpectedMask { id: "z0001/anterior_hippocampus", ..ANTERIOR }],
        },
        ExpectedCase {
            id: "prostate_00_ADC",
            patient: "prostate_00",
            split: Some("train"),
            modality: "ADC MRI",
            plane: "axial",
            spacing: Some((0.7, 0.6)),
            slices: 2,
            masks: &[TRANSITION, ExpectedMask { id: "z0003/transition_zone", ..TRANSITION }],
        },
        ExpectedCase {
            id: "prostate_00_T2w",
            patient: "prostate_00",
            split: Some("train"),
            modality: "T2W MRI",
            plane: "axial",
            spacing: Some((0.7, 0.6)),
            slices: 2,
            masks: &[TRANSITION, ExpectedMask { id: "z0003/transition_zone", ..TRANSITION }],
        },
    ],
    skipped: &[],
    damage: Damage {
        image: "imagesTr/hippocampus_001",
        image_cases: &["hippocampus_001"],
        mask: Some(("labelsTr/hippocampus_001", "not labelled")),
        unknown_label: Some(unknown_label),
    },
};
