//! Kvasir-Instrument: JPEG images and PNG masks, each in an archive inside the archive; masks have several channels and
//! grey rims.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object, repeated};

const TOOL: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const SECOND: Ell = Ell::new([29, 20, 0], [40, 34, 0], 255.0);
/// Grey that resizing left, nearer to black than to white.
const RIM: [Ell; 3] = [
    Ell::new([2, 3, 0], [27, 20, 0], 30.0),
    Ell::new([3, 4, 0], [26, 19, 0], 70.0),
    Ell::new([4, 5, 0], [25, 18, 0], 110.0),
];

fn write(raw: &Raw) {
    let folder = "kvasir-instrument";
    raw.image(&format!("{folder}/images/ckcu8ty6z00083b5yzlbgumx2.jpg"), &colour(52, 41, &[TOOL]));
    raw.image(
        &format!("{folder}/masks/ckcu8ty6z00083b5yzlbgumx2.png"),
        &repeated(&mask(52, 41, &[RIM[0], RIM[1], RIM[2], TOOL]), 4),
    );
    raw.image(&format!("{folder}/images/ckcux1a5l00083b5y0kqa4m1d.jpg"), &colour(45, 36, &[TOOL, SECOND]));
    raw.image(&format!("{folder}/masks/ckcux1a5l00083b5y0kqa4m1d.png"), &repeated(&mask(45, 36, &[TOOL, SECOND]), 3));
    raw.file(&format!("{folder}/bboxes.json"), "{}");
    raw.file(&format!("{folder}/train.txt"), "ckcu8ty6z00083b5yzlbgumx2\r\n");
    raw.file(&format!("{folder}/test.txt"), "ckcux1a5l00083b5y0kqa4m1d\r\n");
}

pub fn fixture() -> Fixture {
    let tool = || object("surgical_instrument", "surgical instrument", TOOL);
    Fixture {
        slug: "kvasir-instrument",
        write,
        archives: &[
            ("kvasir-instrument/images", "kvasir-instrument/images.tar.gz"),
            ("kvasir-instrument/masks", "kvasir-instrument/masks.tar.gz"),
            ("*", "kvasir-instrument.zip"),
        ],
        cases: vec![
            case("ckcu8ty6z00083b5yzlbgumx2", "Colonoscopy").split("train").objects([tool()]),
            case("ckcux1a5l00083b5y0kqa4m1d", "Colonoscopy").split("test").objects([tool().and(SECOND)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("images/ckcu8ty6z00083b5yzlbgumx2", &["ckcu8ty6z00083b5yzlbgumx2"]),
            mask: MissingMask::Skips {
                file: "masks/ckcux1a5l00083b5y0kqa4m1d",
                case: "ckcux1a5l00083b5y0kqa4m1d",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
