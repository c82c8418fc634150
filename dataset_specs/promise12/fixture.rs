//! PROMISE12: MetaImage with oblique axes, masks of signed or unsigned bytes; the test sets begin again at Case00. The
//! older archives lie beside those of Zenodo.

use medcosmos::image::{Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [36, 32, 4];
const GLAND: Ell = Ell::new([4, 6, 0], [19, 17, 2], 1.0);
/// Too small to be kept.
const APEX: Ell = Ell::new([6, 8, 3], [12, 14, 3], 1.0);

fn oblique(mut image: Image) -> Image {
    let axes = [[1., 0., 0.], [0., 0.96, 0.28], [0., -0.28, 0.96]];
    image.geometry = Some(Geometry::from_lps([-72.0, -53.0, -56.0], axes, [0.5, 0.625, 3.6]));
    image
}

fn image(raw: &Raw, folder: &str, case: &str, shapes: &[Ell]) {
    raw.image(&format!("{folder}/{case}.mhd"), &oblique(scan(SIZE, "int16", None, shapes)));
}

fn training(raw: &Raw, folder: &str, case: &str, dtype: &str, shapes: &[Ell]) {
    image(raw, folder, case, shapes);
    let labels = volume(SIZE, dtype, None, 0.0, shapes);
    raw.image(&format!("{folder}/{case}_segmentation.mhd"), &oblique(labels));
}

fn write(raw: &Raw) {
    training(raw, "training_data", "Case00", "int8", &[GLAND, APEX]);
    training(raw, "training_data", "Case49", "uint8", &[GLAND]);
    training(raw, "TrainingData_Part2", "Case20", "uint8", &[GLAND]);
    for folder in ["test_data", "livechallenge_test_data", "TestData"] {
        image(raw, folder, "Case00", &[]);
    }
    raw.file("LICENSE.TXT", "research");
}

fn unknown_label(raw: &Raw) {
    training(raw, "training_data", "Case49", "uint8", &[GLAND.of(2.0)]);
}

pub fn fixture() -> Fixture {
    let gland = || object("prostate", "prostate", GLAND);
    let train = |id| case(id, "T2W MRI").split("train").cut(Axis::Z, "axial", (0.625, 0.5));
    Fixture {
        slug: "promise12",
        write,
        archives: &[
            ("training_data/*", "training_data.zip"),
            ("test_data/*", "test_data.zip"),
            ("livechallenge_test_data/*", "livechallenge_test_data.zip"),
            ("TrainingData_Part2/*", "TrainingData_Part2.zip"),
            ("TestData/*", "TestData.zip"),
        ],
        cases: vec![
            train("Case00").objects([gland().and(APEX)]),
            train("Case20").objects([gland()]),
            train("Case49").objects([gland()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("training_data/Case49.raw", &["Case49"]),
            mask: MissingMask::Skips { file: "Case00_segmentation.mhd", case: "Case00", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
