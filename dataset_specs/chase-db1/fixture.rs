//! CHASE_DB1: JPEG photographs beside PNG masks of one bit, two observers, the eye in the name.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, bilevel, case, colour, mask, object};

const VESSEL: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const SECOND: Ell = Ell::new([8, 9, 0], [30, 20, 0], 255.0);

fn eye(raw: &Raw, eye: &str) {
    raw.image(&format!("CHASEDB1/Image_{eye}.jpg"), &colour(45, 32, &[VESSEL]));
    raw.image(&format!("CHASEDB1/Image_{eye}_1stHO.png"), &bilevel(&mask(45, 32, &[VESSEL])));
    raw.image(&format!("CHASEDB1/Image_{eye}_2ndHO.png"), &bilevel(&mask(45, 32, &[SECOND])));
}

fn write(raw: &Raw) {
    eye(raw, "01L");
    eye(raw, "01R");
    // A copy, with pictures in PNG.
    raw.image("chase/image/Image_02L.png", &colour(45, 32, &[VESSEL]));
    raw.image("chase/mask1/Image_02L_1stHO.png", &bilevel(&mask(45, 32, &[VESSEL])));
    raw.image("chase/mask2/Image_02L_2ndHO.png", &bilevel(&mask(45, 32, &[SECOND])));
}

pub fn fixture() -> Fixture {
    let vessels = || object("retinal_vessel", "retinal vessel", VESSEL);
    Fixture {
        slug: "chase-db1",
        write,
        archives: &[("CHASEDB1/*", "CHASEDB1.zip")],
        cases: vec![
            case("01L", "Fundus").patient("01").objects([vessels().left()]),
            case("01R", "Fundus").patient("01").objects([vessels().right()]),
            case("02L", "Fundus").patient("02").objects([vessels().left()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("Image_01L.jpg", &["01L"]),
            mask: MissingMask::Skips { file: "01R_1stHO", case: "01R", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value but 0 is a vessel"),
        },
    }
}
