//! 4C2021 TLS01: blanks in the names of folders, image and label of one name. Little else is known: an image without
//! its label says where that was looked for, and files that lie otherwise say what the user can do.

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [44, 40, 4];
const SPACING: Option<[f64; 3]> = Some([0.5, 0.6, 3.0]);
const CANCER: Ell = Ell::new([6, 5, 0], [25, 20, 1], 1.0);
/// The value of a second class, should there be one.
const SECOND: Ell = Ell::new([20, 22, 1], [37, 35, 2], 2.0);
/// Fewer than 50 pixels in a slice.
const NODE: Ell = Ell::new([4, 4, 3], [9, 9, 3], 1.0);

fn image(raw: &Raw, name: &str, shapes: &[Ell]) {
    raw.image(&format!("4C2021_C04_TLS01/Train Set 01/{name}.nii.gz"), &scan(SIZE, "int16", SPACING, shapes));
}

fn volumes(raw: &Raw, name: &str, shapes: &[Ell]) {
    image(raw, name, shapes);
    let labels = volume(SIZE, "uint8", SPACING, 0.0, shapes);
    raw.image(&format!("4C2021_C04_TLS01/Train Label 01/{name}.nii.gz"), &labels);
}

fn write(raw: &Raw) {
    volumes(raw, "001", &[CANCER, SECOND]);
    volumes(raw, "060", &[SECOND, NODE]);
    image(raw, "061", &[CANCER]);
    raw.file("4C2021_C04_TLS01/Test Set 01/images.nii.gz", "arranged otherwise, so not read");
}

pub fn fixture() -> Fixture {
    let cancer = |shape| object("laryngeal_or_hypopharyngeal_cancer", "laryngeal or hypopharyngeal cancer", shape);
    let volume = |id| case(id, "CT").split("train").cut(Axis::Z, "axial", (0.6, 0.5));
    Fixture {
        slug: "4c2021-tls01",
        write,
        archives: &[("4C2021_C04_TLS01", "4C2021_C04_TLS01.zip")],
        cases: vec![
            volume("01_001").objects([cancer(CANCER).and(SECOND)]),
            volume("01_060").objects([cancer(SECOND).and(NODE)]),
        ],
        skipped: &[("01_061", "no mask like \"Train Label {set:dd}/{n:ddd}.nii[.gz]\"")],
        damage: Damage {
            image: ("Train Set 01/060", &["01_060"]),
            mask: MissingMask::Skips { file: "Train Label 01/001", case: "01_001", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value but 0 is the one object"),
        },
    }
}
