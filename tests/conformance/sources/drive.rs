//! DRIVE: LZW TIFF beside palette GIFs; the second observer's indices are 0 and 1, whose colours are nearly black and white.

use crate::fixture::{Archive, Damage, Ell, ExpectedCase, ExpectedMask, Fixture, Raw, bilevel, colour, volume};

const VESSEL: Ell = Ell { from: [5, 6, 0], to: [24, 17, 0], value: 255.0 };

fn image(raw: &Raw, folder: &str, number: &str, half: &str) {
    raw.image(&format!("{folder}/images/{number}_{half}.tif"), &colour(45, 32));
    let manual = volume([45, 32, 1], "uint8", None, 0.0, &[VESSEL]);
    raw.image(&format!("{folder}/1st_manual/{number}_manual1.gif"), &manual);
    raw.image(&format!("{folder}/mask/{number}_{half}_mask.gif"), &volume([45, 32, 1], "uint8", None, 255.0, &[]));
    let mut second = bilevel(&manual);
    second.palette = Some(vec![[4, 2, 4, 255], [252, 254, 252, 255]]);
    raw.image(&format!("{folder}/2nd_manual/{number}_manual2.gif"), &second);
}

fn write(raw: &Raw) {
    image(raw, "test", "01", "test");
    image(raw, "training", "21", "training");
}

const VESSELS: ExpectedMask = ExpectedMask {
    id: "z0000/retinal_vessel",
    object: "retinal vessel",
    laterality: None,
    excluded: false,
    area: 180,
    bbox: [5, 6, 24, 17],
    inside: (24, 17),
};

pub const FIXTURE: Fixture = Fixture {
    slug: "drive",
    write,
    archive: Archive::NestedZip,
    cases: &[
        ExpectedCase {
            id: "01",
            patient: "01",
            split: Some("test"),
            modality: "Fundus",
            plane: "picture",
            spacing: None,
            slices: 1,
            masks: &[VESSELS],
        },
        ExpectedCase {
            id: "21",
            patient: "21",
            split: Some("train"),
            modality: "Fundus",
            plane: "picture",
            spacing: None,
            slices: 1,
            masks: &[VESSELS],
        },
    ],
    skipped: &[],
    damage: Damage {
        image: "images/01_test.tif",
        image_cases: &["01"],
        mask: Some(("1st_manual/21_manual1.gif", "not labelled")),
        unknown_label: None,
    },
};
