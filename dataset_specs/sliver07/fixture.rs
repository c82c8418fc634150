//! SLIVER07: scans and masks in archives of their own, headers without a matrix; the test set begins again at 001. The
//! older archive lies beside those of Zenodo.

use std::fs;

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [40, 34, 3];
const SPACING: Option<[f64; 3]> = Some([0.6, 0.7, 5.0]);
const LIVER: Ell = Ell::new([3, 5, 0], [20, 18, 1], 1.0);
const TUMOUR: Ell = Ell::new([12, 6, 0], [18, 10, 0], 1.0);

fn training(raw: &Raw, [scans, labels]: [&str; 2], number: &str, shapes: &[Ell]) {
    raw.image(&format!("{scans}/liver-orig{number}.mhd"), &scan(SIZE, "int16", SPACING, shapes));
    raw.image(&format!("{labels}/liver-seg{number}.mhd"), &volume(SIZE, "uint8", SPACING, 0.0, shapes));
}

/// Takes the matrix out of a header.
fn without_matrix(raw: &Raw, path: &str) {
    let header = fs::read_to_string(raw.root.join(path)).unwrap();
    let lines: Vec<&str> = header.lines().filter(|line| !line.starts_with("TransformMatrix")).collect();
    raw.file(path, lines.join("\n") + "\n");
}

fn write(raw: &Raw) {
    let folders = ["training-scans", "training-labels"];
    training(raw, folders, "001", &[LIVER]);
    training(raw, folders, "020", &[LIVER, TUMOUR.of(255.0)]);
    training(raw, ["training-part2"; 2], "015", &[LIVER]);
    without_matrix(raw, "training-scans/liver-orig001.mhd");
    without_matrix(raw, "training-labels/liver-seg001.mhd");
    raw.image("test-scans/liver-orig001.mhd", &scan(SIZE, "int16", SPACING, &[]));
    raw.file("license.txt", "research on livers");
}

pub fn fixture() -> Fixture {
    let liver = || object("liver", "liver", LIVER);
    let train = |id| case(id, "CT").split("train").cut(Axis::Z, "axial", (0.7, 0.6));
    Fixture {
        slug: "sliver07",
        write,
        archives: &[
            ("training-scans", "training-scans.zip"),
            ("training-labels", "training-labels.zip"),
            ("test-scans", "test-scans.zip"),
            ("training-part2", "training-part2.zip"),
        ],
        cases: vec![
            train("liver-orig001").objects([liver()]),
            train("liver-orig015").objects([liver()]),
            train("liver-orig020").objects([liver().and(TUMOUR)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("training-scans/liver-orig020.raw", &["liver-orig020"]),
            mask: MissingMask::Skips { file: "liver-seg001.mhd", case: "liver-orig001", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value but 0 is liver"),
        },
    }
}
