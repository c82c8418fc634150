//! KiTS21: the scans of KiTS19 with the majority of three annotators as 32-bit integers, beside what it was made from.

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, facing, object, scan, volume};

const SIZE: [usize; 3] = [4, 44, 40];
const SPACING: Option<[f64; 3]> = Some([3.0, 0.7, 0.8]);
const KIDNEY: Ell = Ell::new([0, 4, 5], [2, 25, 20], 1.0);
const CYST: Ell = Ell::new([1, 26, 22], [3, 40, 33], 3.0);
const TUMOUR: Ell = Ell::new([1, 18, 8], [3, 33, 24], 2.0);
/// What another rule than the majority would give.
const ANYBODY: Ell = Ell::new([0, 2, 2], [3, 42, 37], 1.0);

fn segmentation(raw: &Raw, case: &str, name: &str, dtype: &str, structures: &[Ell]) {
    let mask = facing(volume(SIZE, dtype, SPACING, 0.0, structures), "IPL");
    raw.image(&format!("kits21/data/{case}/{name}.nii.gz"), &mask);
}

fn patient(raw: &Raw, case: &str, structures: &[Ell]) {
    let image = facing(scan(SIZE, "float32", SPACING, structures), "IPL");
    raw.image(&format!("kits21/data/{case}/imaging.nii.gz"), &image);
    segmentation(raw, case, "aggregated_MAJ_seg", "int32", structures);
    segmentation(raw, case, "aggregated_AND_seg", "int32", &[]);
    segmentation(raw, case, "aggregated_OR_seg", "int32", &[ANYBODY]);
    // Not every instance has all three annotations.
    for name in ["kidney_instance-1_annotation-1", "tumor_instance-2_annotation-2", "cyst_instance-1_annotation-3"] {
        segmentation(raw, case, &format!("segmentations/{name}"), "uint8", &[ANYBODY]);
    }
    raw.file(&format!("kits21/data/{case}/raw/kidney/1/1/annotation.json"), "[]");
}

fn write(raw: &Raw) {
    patient(raw, "case_00000", &[KIDNEY, CYST, TUMOUR]);
    patient(raw, "case_00299", &[KIDNEY]);
    raw.file("kits21/data/kits.json", "[]");
    for file in ["README.md", "LICENSE", "setup.py", ".gitignore", "starter_code/get_imaging.py"] {
        raw.file(&format!("kits21/{file}"), "of the repository");
    }
}

/// Before release 2.0 a tumour was 6.
fn unknown_label(raw: &Raw) {
    patient(raw, "case_00299", &[KIDNEY, TUMOUR.of(6.0)]);
}

pub fn fixture() -> Fixture {
    let train = |id| case(id, "CT").split("train").cut(Axis::X, "axial", (0.8, 0.7));
    Fixture {
        slug: "kits21",
        write,
        archives: &[("kits21", "kits21.zip")],
        cases: vec![
            train("case_00000").objects([
                object("kidney", "kidney", KIDNEY).without(TUMOUR),
                object("kidney_tumour", "kidney tumour", TUMOUR),
                object("kidney_cyst", "kidney cyst", CYST).without(TUMOUR),
            ]),
            train("case_00299").objects([object("kidney", "kidney", KIDNEY)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("case_00000/imaging.nii.gz", &["case_00000"]),
            mask: MissingMask::Skips {
                file: "case_00299/aggregated_MAJ_seg",
                case: "case_00299",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
