//! KiTS19: axial slices along the first file axis, from the head down; a few masks with the qform instead of the sform.

use medcosmos::image::Frame;

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, facing, object, scan, volume};

const SIZE: [usize; 3] = [4, 44, 40];
const SPACING: Option<[f64; 3]> = Some([3.0, 0.7, 0.8]);
const KIDNEY: Ell = Ell::new([0, 4, 5], [2, 25, 20], 1.0);
const TUMOUR: Ell = Ell::new([1, 18, 8], [3, 33, 17], 2.0);
/// Too small to be kept.
const SMALL_TUMOUR: Ell = Ell::new([0, 30, 25], [1, 36, 31], 2.0);

fn image(raw: &Raw, case: &str, structures: &[Ell]) {
    let image = facing(scan(SIZE, "float32", SPACING, structures), "IPL");
    raw.image(&format!("{case}/imaging.nii.gz"), &image);
}

fn patient(raw: &Raw, case: &str, structures: &[Ell]) {
    image(raw, case, structures);
    // Nine of the real labels were saved again, among them those of case 15.
    let again = case.ends_with("case_00015");
    let dtype = if again { "uint16" } else { "uint8" };
    let mut label = facing(volume(SIZE, dtype, SPACING, 0.0, structures), "IPL");
    if again {
        label.geometry.as_mut().unwrap().frame = Frame::Qform;
    }
    raw.image(&format!("{case}/segmentation.nii.gz"), &label);
}

fn write(raw: &Raw) {
    patient(raw, "kits19/data/case_00000", &[KIDNEY, TUMOUR]);
    patient(raw, "kits19/data/case_00015", &[KIDNEY, SMALL_TUMOUR]);
    image(raw, "kits19/data/case_00210", &[KIDNEY]);
    // Copies keep other folders above the cases.
    patient(raw, "kits19/case_00003", &[TUMOUR]);
    patient(raw, "copy/train/case_00004", &[KIDNEY]);
    raw.file("kits19/data/kits.json", "[]");
    for file in ["README.md", "LICENSE", "requirements.txt", ".gitignore", "starter_code/get_imaging.py"] {
        raw.file(&format!("kits19/{file}"), "of the repository");
    }
}

fn unknown_label(raw: &Raw) {
    patient(raw, "kits19/data/case_00015", &[KIDNEY.of(3.0)]);
}

pub fn fixture() -> Fixture {
    let kidney = || object("kidney", "kidney", KIDNEY);
    let train = |id| case(id, "CT").split("train").cut(Axis::X, "axial", (0.8, 0.7));
    Fixture {
        slug: "kits19",
        write,
        archives: &[("kits19", "kits19.zip")],
        cases: vec![
            train("case_00000").objects([kidney().without(TUMOUR), object("kidney_tumour", "kidney tumour", TUMOUR)]),
            train("case_00003").objects([object("kidney_tumour", "kidney tumour", TUMOUR)]),
            train("case_00004").objects([kidney()]),
            train("case_00015").objects([kidney(), object("kidney_tumour", "kidney tumour", SMALL_TUMOUR)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("case_00000/imaging.nii.gz", &["case_00000"]),
            mask: MissingMask::Skips {
                file: "case_00015/segmentation.nii.gz",
                case: "case_00015",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
