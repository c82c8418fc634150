//! MRSpineSeg: image and mask spell "case" differently, numbers have gaps, and the third file axis runs from side to
//! side.

use medcosmos::image::{Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [44, 40, 4];
const SACRUM: Ell = Ell::new([3, 28, 0], [16, 38, 2], 1.0);
const L5: Ell = Ell::new([18, 28, 1], [31, 37, 2], 2.0);
const T9: Ell = Ell::new([3, 2, 1], [14, 12, 3], 10.0);
const L5_S: Ell = Ell::new([3, 15, 1], [15, 25, 2], 11.0);
const T9_T10: Ell = Ell::new([18, 3, 1], [32, 12, 2], 19.0);
const SMALL_DISC: Ell = Ell::new([36, 20, 1], [41, 25, 1], 18.0);

fn sagittal(mut image: Image) -> Image {
    let directions = [[0., 1., 0.], [0., 0., -1.], [-1., 0., 0.]];
    image.geometry = Some(Geometry::from_lps([30.0, -80.0, 120.0], directions, [0.34, 0.35, 4.4]));
    image
}

fn image(raw: &Raw, path: &str, shapes: &[Ell]) {
    raw.image(path, &sagittal(scan(SIZE, "int16", None, shapes)));
}

fn labelled(raw: &Raw, number: u32, dtype: &str, shapes: &[Ell]) {
    image(raw, &format!("train/MR/Case{number}.nii.gz"), shapes);
    let mask = sagittal(volume(SIZE, dtype, None, 0.0, shapes));
    raw.image(&format!("train/Mask/mask_case{number}.nii.gz"), &mask);
}

fn write(raw: &Raw) {
    labelled(raw, 1, "uint8", &[SACRUM, L5, T9, L5_S, T9_T10, SMALL_DISC]);
    labelled(raw, 113, "float32", &[SACRUM, L5]);
    image(raw, "test1/MR/Case2.nii.gz", &[]);
    image(raw, "test2/MR/Case201.nii.gz", &[]);
}

fn unknown_label(raw: &Raw) {
    labelled(raw, 113, "uint16", &[SACRUM.of(20.0)]);
}

pub fn fixture() -> Fixture {
    let sacrum = || object("sacrum", "sacrum", SACRUM);
    let l5 = || object("vertebra_L5", "vertebra", L5);
    let upper = || {
        [
            object("vertebra_T9", "vertebra", T9),
            object("disc_L5_S", "intervertebral disc", L5_S),
            object("disc_T9_T10", "intervertebral disc", T9_T10),
        ]
    };
    let train = |id| case(id, "T2W MRI").split("train").cut(Axis::Z, "sagittal", (0.35, 0.34));
    Fixture {
        slug: "mrspineseg",
        write,
        archives: &[("train", "MRI_train.zip"), ("test1", "test1.zip"), ("test2", "test2.zip")],
        cases: vec![
            train("Case1").objects([&[sacrum(), l5()][..], &upper()].concat()),
            train("Case113").objects([sacrum(), l5()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("Case113", &["Case113"]),
            mask: MissingMask::Skips { file: "mask_case113", case: "Case113", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
