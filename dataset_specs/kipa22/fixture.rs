//! KiPA22: unsigned images whose slope and intercept are NaN; numbers without padding; arteries and veins are excluded.

use medcosmos::image::Scaling;

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [42, 38, 4];
const SPACING: Option<[f64; 3]> = Some([0.6, 0.6, 0.6]);
const KIDNEY: Ell = Ell::new([3, 4, 0], [24, 25, 2], 2.0);
const TUMOUR: Ell = Ell::new([16, 5, 1], [27, 13, 3], 4.0);
const VEIN: Ell = Ell::new([28, 16, 0], [38, 25, 1], 1.0);
const ARTERY: Ell = Ell::new([20, 27, 2], [33, 36, 3], 3.0);

fn patient(raw: &Raw, number: &str, structures: &[Ell]) {
    let mut image = scan(SIZE, "uint16", SPACING, structures);
    image.scaling = Scaling { slope: f64::NAN, intercept: f64::NAN };
    raw.image(&format!("train/image/{number}.nii.gz"), &image);
    raw.image(&format!("train/label/{number}.nii.gz"), &volume(SIZE, "uint8", SPACING, 0.0, structures));
}

fn write(raw: &Raw) {
    patient(raw, "0", &[KIDNEY, TUMOUR, VEIN, ARTERY]);
    patient(raw, "10", &[KIDNEY]);
    raw.file("test/image/70.nii.gz", "not labelled, so not read");
}

fn unknown_label(raw: &Raw) {
    patient(raw, "10", &[KIDNEY.of(5.0)]);
}

pub fn fixture() -> Fixture {
    let kidney = || object("kidney", "kidney", KIDNEY);
    let train = |id| case(id, "CT").split("train").cut(Axis::Z, "axial", (0.6, 0.6));
    Fixture {
        slug: "kipa22",
        write,
        archives: &[("train", "train.zip"), ("test", "open_test.zip")],
        cases: vec![
            train("0").objects([
                kidney().without(TUMOUR),
                object("kidney_tumour", "kidney tumour", TUMOUR),
                object("renal_vein", "renal vein", VEIN).excluded(),
                object("renal_artery", "renal artery", ARTERY).excluded(),
            ]),
            train("10").objects([kidney()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("train/image/0.nii.gz", &["0"]),
            mask: MissingMask::Skips { file: "train/label/10.nii.gz", case: "10", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
