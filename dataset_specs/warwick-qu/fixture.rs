//! Warwick-QU: BMP, whose rows run from the bottom up; the masks' indices number the glands, and their palette says
//! nothing.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object};

const FOLDER: &str = "Warwick QU Dataset (Released 2016_07_08)";
const FIRST: Ell = Ell::new([4, 5, 0], [19, 17, 0], 1.0);
/// Touches the first.
const SECOND: Ell = Ell::new([20, 5, 0], [36, 15, 0], 2.0);
/// Of 50 pixels or fewer.
const SPECK: Ell = Ell::new([34, 24, 0], [40, 30, 0], 3.0);

/// Neither images nor masks have rows of whole words of four bytes.
fn image(raw: &Raw, name: &str, glands: &[Ell]) {
    let mut numbers = mask(45, 36, glands);
    numbers.palette = Some((0..=255).map(|v| [255 - v, v / 2, 0, 255]).collect());
    raw.image(&format!("{FOLDER}/{name}.bmp"), &colour(45, 36, glands));
    raw.image(&format!("{FOLDER}/{name}_anno.bmp"), &numbers);
}

fn write(raw: &Raw) {
    image(raw, "train_1", &[FIRST, SECOND, SPECK]);
    image(raw, "train_10", &[SECOND]);
    image(raw, "testA_1", &[FIRST]);
    image(raw, "testB_1", &[FIRST, SECOND]);
    let columns = "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)";
    let rows = "train_1, 7, benign, adenomatous\ntrain_10, 7, benign, healthy\ntestA_1, 3, malignant, poorly\n";
    raw.file(&format!("{FOLDER}/Grade.csv"), format!("{columns}\n{rows}"));
}

pub fn fixture() -> Fixture {
    let first = || object("gland-00001", "gland", FIRST);
    let second = || object("gland-00002", "gland", SECOND);
    let picture = |id| case(id, "Histopathology");
    Fixture {
        slug: "warwick-qu",
        write,
        archives: &[(FOLDER, "warwick_qu_dataset_released_2016_07_08.zip")],
        cases: vec![
            picture("testA_1").patient("3").split("test").objects([first()]),
            picture("testB_1").split("test").objects([first(), second()]),
            picture("train_1").patient("7").split("train").objects([first(), second()]),
            picture("train_10").patient("7").split("train").objects([second()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("train_10.bmp", &["train_10"]),
            mask: MissingMask::Skips { file: "testA_1_anno", case: "testA_1", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every number is a gland"),
        },
    }
}
