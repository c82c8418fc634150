//! crossMoDA: the cases of 2021 come again in 2022 under other names; tumours of Tilburg stored as 0.9999999998.

use medcosmos::image::{Image, Samples, Scaling};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [40, 36, 3];
const LONDON: Option<[f64; 3]> = Some([0.41, 0.41, 1.5]);
const TILBURG: Option<[f64; 3]> = Some([0.78, 0.78, 1.5]);
const TUMOUR: Ell = Ell::new([4, 5, 0], [19, 17, 1], 1.0);
const COCHLEA: Ell = Ell::new([22, 20, 1], [36, 32, 2], 2.0);
const SMALL_COCHLEA: Ell = Ell::new([28, 6, 1], [33, 11, 1], 2.0);

const SOURCE: &str = "crossmoda2022_training/training_source";

fn pair(raw: &Raw, stem: &str, shapes: &[Ell], mask: &Image) {
    let mut image = scan(SIZE, "int16", None, shapes);
    image.geometry = mask.geometry.clone();
    raw.image(&format!("{stem}_ceT1.nii.gz"), &image);
    raw.image(&format!("{stem}_Label.nii.gz"), mask);
}

fn london(raw: &Raw, stem: &str, shapes: &[Ell]) {
    pair(raw, stem, shapes, &volume(SIZE, "float32", LONDON, 0.0, shapes));
}

/// 0 and 1 as the ends of 32 bits, which the slope does not bring back to the end: 1 comes out as 0.99999999976717.
fn spread(mut mask: Image) -> Image {
    let ends = |i| if mask.samples.get(i) == 0.0 { i32::MIN } else { i32::MAX };
    mask.samples = Samples::I32((0..mask.samples.len()).map(ends).collect());
    mask.scaling = Scaling { slope: 2f64.powi(-32), intercept: 0.5 };
    mask
}

fn write(raw: &Raw) {
    london(raw, &format!("{SOURCE}/crossmoda2021_ldn_1"), &[TUMOUR, COCHLEA]);
    // After surgery.
    london(raw, &format!("{SOURCE}/crossmoda2021_ldn_105"), &[COCHLEA]);
    let tumour = volume(SIZE, "uint8", TILBURG, 0.0, &[TUMOUR]);
    pair(raw, &format!("{SOURCE}/crossmoda2022_etz_0"), &[TUMOUR], &spread(tumour));
    let both = volume(SIZE, "uint8", TILBURG, 0.0, &[TUMOUR, SMALL_COCHLEA]);
    pair(raw, &format!("{SOURCE}/crossmoda2022_etz_1"), &[TUMOUR, SMALL_COCHLEA], &both);
    for target in [
        "crossmoda2022_training/training_target/crossmoda2021_ldn_106",
        "crossmoda2022_training/training_target/crossmoda2022_etz_105",
        "crossmoda2022_validation/validation/crossmoda2021_ldn_211",
        "crossmoda_training/target_training/crossmoda_106",
        "crossmoda_validation/target_validation/crossmoda_211",
    ] {
        raw.image(&format!("{target}_hrT2.nii.gz"), &scan(SIZE, "int16", LONDON, &[]));
    }
    raw.file("infos_source_training.csv", "crossmoda_name,koos\n");
    london(raw, "crossmoda_training/source_training/crossmoda_1", &[TUMOUR]);
}

/// As the edition of 2023 has it.
fn unknown_label(raw: &Raw) {
    london(raw, &format!("{SOURCE}/crossmoda2021_ldn_1"), &[TUMOUR, COCHLEA.of(3.0)]);
}

pub fn fixture() -> Fixture {
    let tumour = || object("vestibular_schwannoma", "vestibular schwannoma", TUMOUR);
    let cochlea = || object("cochlea", "cochlea", COCHLEA).excluded();
    let train = |id, spacing| case(id, "T1-Gd MRI").split("train").cut(Axis::Z, "axial", (spacing, spacing));
    Fixture {
        slug: "crossmoda",
        write,
        archives: &[
            ("crossmoda2022_training", "crossmoda2022_training.zip"),
            ("crossmoda2022_validation/*", "crossmoda2022_validation.zip"),
            ("crossmoda_training", "crossmoda_training.zip"),
            ("crossmoda_validation", "crossmoda_validation.zip"),
        ],
        cases: vec![
            train("etz_0", 0.78).objects([tumour()]),
            train("etz_1", 0.78).objects([tumour()]),
            train("ldn_1", 0.41).objects([cochlea(), tumour()]),
            train("ldn_105", 0.41).objects([cochlea()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("etz_0_ceT1", &["etz_0"]),
            mask: MissingMask::Skips { file: "etz_1_Label", case: "etz_1", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
