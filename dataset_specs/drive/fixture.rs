//! DRIVE: LZW TIFF beside palette GIFs; the second observer's indices are 0 and 1, whose colours are nearly black and white.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, bilevel, case, colour, mask, object};

const VESSEL: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const SECOND: Ell = Ell::new([8, 9, 0], [30, 20, 0], 255.0);
const FIELD_OF_VIEW: Ell = Ell::new([1, 1, 0], [43, 30, 0], 255.0);

fn image(raw: &Raw, folder: &str, number: &str, half: &str) {
    raw.compressed(&format!("{folder}/images/{number}_{half}.tif"), &colour(45, 32, &[VESSEL]));
    raw.image(&format!("{folder}/1st_manual/{number}_manual1.gif"), &mask(45, 32, &[VESSEL]));
    raw.image(&format!("{folder}/mask/{number}_{half}_mask.gif"), &mask(45, 32, &[FIELD_OF_VIEW]));
    if half == "test" {
        let mut second = bilevel(&mask(45, 32, &[SECOND]));
        second.palette = Some(vec![[4, 2, 4, 255], [252, 254, 252, 255]]);
        raw.image(&format!("{folder}/2nd_manual/{number}_manual2.gif"), &second);
    }
}

fn write(raw: &Raw) {
    image(raw, "test", "01", "test");
    image(raw, "training", "21", "training");
    image(raw, "training", "22", "training");
    // A copy in PNG.
    raw.image("DRIVE/training/images/23_training.png", &colour(45, 32, &[VESSEL]));
    raw.image("DRIVE/training/1st_manual/23_manual1.png", &mask(45, 32, &[VESSEL]));
    raw.image("DRIVE/training/mask/23_training_mask.png", &mask(45, 32, &[FIELD_OF_VIEW]));
}

pub fn fixture() -> Fixture {
    let vessels = || object("retinal_vessel", "retinal vessel", VESSEL);
    Fixture {
        slug: "drive",
        write,
        archives: &[("training", "training.zip"), ("test", "test.zip"), ("*", "datasets.zip")],
        cases: vec![
            case("01", "Fundus").split("test").objects([vessels()]),
            case("21", "Fundus").split("train").objects([vessels()]),
            case("22", "Fundus").split("train").objects([vessels()]),
            case("23", "Fundus").split("train").objects([vessels()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("images/01_test.tif", &["01"]),
            mask: MissingMask::Skips { file: "1st_manual/21_manual1.gif", case: "21", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value but 0 is a vessel"),
        },
    }
}
