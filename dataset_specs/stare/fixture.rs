//! STARE: every file a gzipped PPM of its own; masks have three equal channels and values between black and white.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object, repeated};

const VESSEL: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
/// White that is not quite white.
const FAINT: Ell = Ell::new([27, 4, 0], [40, 13, 0], 245.0);
/// Black that is not quite black.
const SHADE: Ell = Ell::new([28, 16, 0], [41, 27, 0], 10.0);
const SECOND: Ell = Ell::new([8, 9, 0], [30, 20, 0], 255.0);

fn photograph(raw: &Raw, id: &str) {
    raw.image(&format!("stare-images/{id}.ppm.gz"), &colour(45, 32, &[VESSEL, FAINT]));
    raw.image(&format!("labels-ah/{id}.ah.ppm.gz"), &repeated(&mask(45, 32, &[VESSEL, FAINT, SHADE]), 3));
    raw.image(&format!("labels-vk/{id}.vk.ppm.gz"), &repeated(&mask(45, 32, &[SECOND]), 3));
}

fn write(raw: &Raw) {
    photograph(raw, "im0001");
    photograph(raw, "im0324");
    raw.image("all-images/im0006.ppm", &colour(45, 32, &[VESSEL]));
}

pub fn fixture() -> Fixture {
    let vessels = || object("retinal_vessel", "retinal vessel", VESSEL).and(FAINT);
    Fixture {
        slug: "stare",
        write,
        archives: &[
            ("stare-images/*", "stare-images.tar"),
            ("labels-ah/*", "labels-ah.tar"),
            ("labels-vk/*", "labels-vk.tar"),
            ("all-images/*", "all-images.zip"),
        ],
        cases: vec![case("im0001", "Fundus").objects([vessels()]), case("im0324", "Fundus").objects([vessels()])],
        skipped: &[("im0006", "not labelled")],
        damage: Damage {
            image: ("im0001.ppm.gz", &["im0001"]),
            mask: MissingMask::Skips { file: "im0324.ah.ppm.gz", case: "im0324", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value is a vessel or none"),
        },
    }
}
