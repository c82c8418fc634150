//! SKI10: sagittal slices along the third axis under a header that calls them axial; a mirror in NIfTI without splits.

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [30, 36, 4];
const SPACING: Option<[f64; 3]> = Some([0.39, 0.39, 1.0]);
const FEMUR: Ell = Ell::new([3, 3, 0], [16, 14, 1], 1.0);
const FEMORAL_CARTILAGE: Ell = Ell::new([18, 3, 0], [28, 13, 2], 2.0);
const TIBIA: Ell = Ell::new([3, 18, 1], [16, 30, 3], 3.0);
const TIBIAL_CARTILAGE: Ell = Ell::new([18, 18, 1], [28, 29, 3], 4.0);
const KNEE: [Ell; 4] = [FEMUR, FEMORAL_CARTILAGE, TIBIA, TIBIAL_CARTILAGE];

fn knee(raw: &Raw, image: &str, labels: &str, shapes: &[Ell]) {
    raw.image(image, &scan(SIZE, "int16", SPACING, shapes));
    raw.image(labels, &volume(SIZE, "uint8", SPACING, 0.0, shapes));
}

fn training(raw: &Raw, shapes: &[Ell]) {
    knee(raw, "training/image-001.mhd", "training/labels-001.mhd", shapes);
}

fn write(raw: &Raw) {
    training(raw, &KNEE);
    knee(raw, "validation/image-061.mhd", "validation/labels-061.mhd", &[FEMUR, TIBIA]);
    raw.image("validation/roi-061.mhd", &volume(SIZE, "uint8", SPACING, 3.0, &[]));
    raw.image("test/image-101.mhd", &scan(SIZE, "int16", SPACING, &[]));
    for number in ["001", "100"] {
        let path = |kind: &str, stem: &str| format!("SKI10/{kind}/{stem}-{number}.nii");
        knee(raw, &path("image", "image"), &path("label", "labels"), &KNEE);
    }
}

fn unknown_label(raw: &Raw) {
    training(raw, &[FEMUR.of(5.0)]);
}

pub fn fixture() -> Fixture {
    let femur = || object("femur", "femur", FEMUR);
    let tibia = || object("tibia", "tibia", TIBIA);
    let knee = || {
        let femoral = object("femoral_cartilage", "femoral cartilage", FEMORAL_CARTILAGE);
        let tibial = object("tibial_cartilage", "tibial cartilage", TIBIAL_CARTILAGE);
        [femur(), femoral, tibia(), tibial]
    };
    let image = |id| case(id, "MRI").cut(Axis::Z, "sagittal", (0.39, 0.39));
    Fixture {
        slug: "ski10",
        write,
        archives: &[("SKI10", "SKI10.zip")],
        cases: vec![
            image("image-001").split("train").objects(knee()),
            image("image-061").split("validation").objects([femur(), tibia()]),
            image("image-100").split("validation").objects(knee()),
        ],
        skipped: &[],
        damage: Damage {
            image: ("validation/image-061.raw", &["image-061"]),
            mask: MissingMask::Skips { file: "labels-061.mhd", case: "image-061", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
