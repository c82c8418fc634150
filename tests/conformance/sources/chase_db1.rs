//! CHASE_DB1: JPEG photographs beside PNG masks of one bit, two observers, the eye in the name.

use crate::fixture::{Archive, Damage, Ell, ExpectedCase, ExpectedMask, Fixture, Raw, bilevel, colour, volume};

const VESSEL: Ell = Ell { from: [5, 6, 0], to: [24, 17, 0], value: 255.0 };

fn eye(raw: &Raw, eye: &str) {
    raw.image(&format!("CHASEDB1/Image_{eye}.jpg"), &colour(45, 32));
    let mask = bilevel(&volume([45, 32, 1], "uint8", None, 0.0, &[VESSEL]));
    raw.image(&format!("CHASEDB1/Image_{eye}_1stHO.png"), &mask);
    raw.image(&format!("CHASEDB1/Image_{eye}_2ndHO.png"), &mask);
}

fn write(raw: &Raw) {
    eye(raw, "01L");
    eye(raw, "01R");
}

const LEFT: ExpectedMask = ExpectedMask {
    id: "z0000/retinal_vessel",
    object: "retinal vessel",
    laterality: Some("left"),
    excluded: false,
    area: 180,
    bbox: [5, 6, 24, 17],
    inside: (24, 17),
};

pub const FIXTURE: Fixture = Fixture {
    slug: "chase-db1",
    write,
    archive: Archive::Zip,
    cases: &[
        ExpectedCase {
            id: "01L",
            patient: "01",
            split: None,
            modality: "Fundus",
            plane: "picture",
            spacing: None,
            slices: 1,
            masks: &[LEFT],
        },
        ExpectedCase {
            id: "01R",
            patient: "01",
            split: None,
            modality: "Fundus",
            plane: "picture",
            spacing: None,
            slices: 1,
            masks: &[ExpectedMask { laterality: Some("right"), ..LEFT }],
        },
    ],
    skipped: &[],
    damage: Damage {
        image: "Image_01L.jpg",
        image_cases: &["01L"],
        mask: Some(("01R_1stHO", "not labelled")),
        unknown_label: None,
    },
};
