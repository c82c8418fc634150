//! CRAG: the test images are called `test_*` and lie in `valid`; masks number the glands, which may touch.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object};

const FIRST: Ell = Ell::new([4, 5, 0], [19, 17, 0], 1.0);
/// Touches the first.
const SECOND: Ell = Ell::new([20, 5, 0], [36, 15, 0], 2.0);
/// Of 50 pixels or fewer.
const SPECK: Ell = Ell::new([34, 24, 0], [40, 30, 0], 3.0);
const LAST: Ell = Ell::new([6, 22, 0], [28, 40, 0], 60.0);

fn image(raw: &Raw, set: &str, name: &str, glands: &[Ell]) {
    raw.image(&format!("CRAG_v2/CRAG/{set}/Images/{name}.png"), &colour(50, 44, glands));
    raw.image(&format!("CRAG_v2/CRAG/{set}/Annotation/{name}.png"), &mask(50, 44, glands));
    raw.image(&format!("CRAG_v2/CRAG/{set}/Overlay/{name}.png"), &colour(50, 44, glands));
}

fn write(raw: &Raw) {
    image(raw, "train", "train_1", &[FIRST, SECOND, SPECK, LAST]);
    image(raw, "train", "train_10", &[FIRST]);
    image(raw, "valid", "test_1", &[SECOND, LAST]);
    raw.file("CRAG_v2/CRAG/README.txt", "test/Annotations");
}

pub fn fixture() -> Fixture {
    let first = || object("gland-00001", "gland", FIRST);
    let second = || object("gland-00002", "gland", SECOND);
    let last = || object("gland-00060", "gland", LAST);
    Fixture {
        slug: "crag",
        write,
        archives: &[("CRAG_v2", "CRAG_v2.zip")],
        cases: vec![
            case("test_1", "Histopathology").split("test").objects([second(), last()]),
            case("train_1", "Histopathology").split("train").objects([first(), second(), last()]),
            case("train_10", "Histopathology").split("train").objects([first()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("Images/train_10.png", &["train_10"]),
            mask: MissingMask::Skips { file: "Annotation/test_1.png", case: "test_1", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every number is a gland"),
        },
    }
}
