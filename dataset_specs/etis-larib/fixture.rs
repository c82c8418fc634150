//! ETIS-Larib: TIFFs whose masks alone have the prefix p. It comes as RAR, which a zip stands for here. Beside it a
//! JPEG copy, and a polyp benchmark's PNGs without the prefix.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object, repeated};

const POLYP: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const SECOND: Ell = Ell::new([28, 20, 0], [43, 35, 0], 255.0);

fn write(raw: &Raw) {
    let image = |shapes: &[Ell]| colour(49, 38, shapes);
    let label = |shapes: &[Ell]| repeated(&mask(49, 38, shapes), 3);
    raw.image("ETIS-LaribPolypDB/ETIS-LaribPolypDB/1.tif", &image(&[POLYP]));
    raw.image("ETIS-LaribPolypDB/Ground Truth/p1.tif", &label(&[POLYP]));
    raw.compressed("ETIS-LaribPolypDB/ETIS-LaribPolypDB/10.tif", &image(&[POLYP, SECOND]));
    raw.compressed("ETIS-LaribPolypDB/Ground Truth/p10.tif", &mask(49, 38, &[POLYP, SECOND]));
    raw.image("TestDataset/ETIS-LaribPolypDB/images/2.png", &image(&[SECOND]));
    raw.image("TestDataset/ETIS-LaribPolypDB/masks/2.png", &label(&[SECOND]));
    for (number, shape) in [(1, SECOND), (196, POLYP)] {
        raw.image(&format!("copy/Original/{number}.jpg"), &image(&[shape]));
        raw.image(&format!("copy/GroundTruth/p{number}.jpg"), &label(&[shape]));
    }
}

pub fn fixture() -> Fixture {
    let polyp = |shape| object("polyp", "polyp", shape);
    let frame = |id| case(id, "Colonoscopy");
    Fixture {
        slug: "etis-larib",
        write,
        archives: &[("ETIS-LaribPolypDB", "ETIS-LaribPolypDB.zip"), ("TestDataset", "TestDataset.zip")],
        cases: vec![
            frame("1").objects([polyp(POLYP)]),
            frame("2").objects([polyp(SECOND)]),
            frame("10").objects([polyp(POLYP).and(SECOND)]),
            frame("196").objects([polyp(POLYP)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("ETIS-LaribPolypDB/1.tif", &["1"]),
            mask: MissingMask::Skips { file: "Ground Truth/p10.tif", case: "10", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
