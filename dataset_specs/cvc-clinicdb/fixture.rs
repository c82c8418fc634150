//! CVC-ClinicDB: TIFFs numbered through 29 sequences of 25 studies, masks of one or three channels. It comes as RAR, which a zip
//! stands for here. Beside it the Kaggle copy, of which a PNG is used only where there is no TIFF.

use medcosmos::image::Image;

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object, repeated};

const POLYP: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const SECOND: Ell = Ell::new([28, 20, 0], [43, 31, 0], 255.0);
/// Grey that resizing left, nearer to black than to white.
const RIM: [Ell; 3] = [
    Ell::new([2, 3, 0], [27, 20, 0], 30.0),
    Ell::new([3, 4, 0], [26, 19, 0], 70.0),
    Ell::new([4, 5, 0], [25, 18, 0], 110.0),
];

fn official(raw: &Raw, number: u32, shapes: &[Ell], mask: &Image) {
    raw.image(&format!("CVC-ClinicDB/Original/{number}.tif"), &colour(48, 36, shapes));
    raw.image(&format!("CVC-ClinicDB/Ground Truth/{number}.tif"), mask);
}

fn kaggle(raw: &Raw, number: u32, shapes: &[Ell], mask: &Image) {
    raw.image(&format!("archive/PNG/Original/{number}.png"), &colour(48, 36, shapes));
    raw.image(&format!("archive/PNG/Ground Truth/{number}.png"), mask);
}

fn write(raw: &Raw) {
    official(raw, 1, &[POLYP], &repeated(&mask(48, 36, &[POLYP]), 3));
    official(raw, 25, &[POLYP, SECOND], &repeated(&mask(48, 36, &[POLYP, SECOND]), 3));
    official(raw, 26, &[POLYP], &mask(48, 36, &[POLYP]));
    kaggle(raw, 26, &[SECOND], &mask(48, 36, &[SECOND]));
    kaggle(raw, 612, &[POLYP], &mask(48, 36, &[RIM[0], RIM[1], RIM[2], POLYP]));
    raw.image("converted/Original/100.png", &colour(48, 36, &[SECOND]));
    raw.image("converted/Ground Truth/100.png", &mask(48, 36, &[SECOND]));
    raw.file("archive/metadata.csv", "frame_id,sequence_id\n26,2\n612,29\n");
}

pub fn fixture() -> Fixture {
    let polyp = || object("polyp", "polyp", POLYP);
    let frame = |id| case(id, "Colonoscopy").patient("25_studies");
    Fixture {
        slug: "cvc-clinicdb",
        write,
        archives: &[("CVC-ClinicDB", "CVC-ClinicDB.zip"), ("archive/*", "archive.zip")],
        cases: vec![
            frame("1").objects([polyp()]),
            frame("25").objects([polyp().and(SECOND)]),
            frame("26").objects([polyp()]),
            frame("100").objects([object("polyp", "polyp", SECOND)]),
            frame("612").objects([polyp()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("Original/1.tif", &["1"]),
            mask: MissingMask::Skips { file: "Ground Truth/25.tif", case: "25", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
