//! AMOS: the modality is in the number alone; axes point anywhere, some MRI are coronal, and some scale to millions.

use medcosmos::image::{Image, Scaling};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, facing, object, scan, volume};

const SIZE: [usize; 3] = [44, 40, 4];
const SPACING: Option<[f64; 3]> = Some([0.7, 0.8, 5.0]);
const SPLEEN: Ell = Ell::new([2, 2, 0], [14, 14, 1], 1.0);
const RIGHT_KIDNEY: Ell = Ell::new([18, 3, 0], [29, 13, 2], 2.0);
const LEFT_KIDNEY: Ell = Ell::new([31, 18, 1], [42, 30, 3], 3.0);
const LEFT_ADRENAL: Ell = Ell::new([3, 18, 2], [15, 29, 3], 12.0);
const PROSTATE_OR_UTERUS: Ell = Ell::new([18, 24, 3], [28, 36, 3], 15.0);

/// Of a CT whose slice axis is the first.
const TURNED_SIZE: [usize; 3] = [4, 44, 40];
const TURNED_SPACING: Option<[f64; 3]> = Some([5.0, 0.7, 0.8]);
const TURNED_LIVER: Ell = Ell::new([1, 5, 6], [2, 24, 19], 6.0);

/// Of a coronal MRI.
const CORONAL_SIZE: [usize; 3] = [40, 5, 36];
const CORONAL_SPACING: Option<[f64; 3]> = Some([1.1, 3.0, 1.2]);
const CORONAL_LIVER: Ell = Ell::new([4, 1, 8], [23, 3, 25], 6.0);

fn pair(raw: &Raw, set: &str, name: &str, image: &Image, label: &Image) {
    raw.image(&format!("amos22/images{set}/{name}.nii.gz"), image);
    raw.image(&format!("amos22/labels{set}/{name}.nii.gz"), label);
}

fn axial(raw: &Raw, set: &str, name: &str, organs: &[Ell]) {
    let image = facing(scan(SIZE, "int16", SPACING, organs), "LAS");
    pair(raw, set, name, &image, &facing(volume(SIZE, "uint8", SPACING, 0.0, organs), "LAS"));
}

fn write(raw: &Raw) {
    axial(raw, "Tr", "amos_0001", &[SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, LEFT_ADRENAL, PROSTATE_OR_UTERUS]);
    let image = facing(scan(TURNED_SIZE, "int16", TURNED_SPACING, &[TURNED_LIVER]), "SPR");
    let label = facing(volume(TURNED_SIZE, "uint8", TURNED_SPACING, 0.0, &[TURNED_LIVER]), "SPR");
    pair(raw, "Va", "amos_0500", &image, &label);
    let mut image = scan(CORONAL_SIZE, "int16", CORONAL_SPACING, &[CORONAL_LIVER]);
    image.scaling = Scaling { slope: 13_000.0, intercept: 0.0 };
    pair(raw, "Tr", "amos_0507", &image, &volume(CORONAL_SIZE, "uint8", CORONAL_SPACING, 0.0, &[CORONAL_LIVER]));
    axial(raw, "Va", "amos_0544", &[LEFT_KIDNEY]);
    raw.image("amos22/imagesTs/amos_0002.nii.gz", &scan(SIZE, "int16", SPACING, &[]));
    raw.file("amos22/dataset.json", r#"{"licence": "CC-BY-SA 4.0"}"#);
    raw.file("amos22/readme.md", "AMOS");
    raw.file("__MACOSX/amos22/imagesTr/._amos_0001.nii.gz", "resource fork");
    raw.file("labeled_data_meta_0000_0599.csv", "amos_id,Patient's Sex\n");
    raw.file("amos22_unlabeled_ct_5000_5399/amos_5000.nii.gz", "not labelled, so not read");
}

fn unknown_label(raw: &Raw) {
    axial(raw, "Va", "amos_0544", &[LEFT_KIDNEY.of(16.0)]);
}

pub fn fixture() -> Fixture {
    let left_kidney = || object("left_kidney", "kidney", LEFT_KIDNEY).left();
    let liver = |shape| object("liver", "liver", shape);
    let axial = |id, modality| case(id, modality).cut(Axis::Z, "axial", (0.8, 0.7));
    Fixture {
        slug: "amos-2022",
        write,
        archives: &[("amos22_unlabeled_ct_5000_5399", "amos22_unlabeled_ct_5000_5399.zip"), ("amos22", "amos22.zip")],
        cases: vec![
            axial("amos_0001", "CT").split("train").objects([
                object("spleen", "spleen", SPLEEN),
                object("right_kidney", "kidney", RIGHT_KIDNEY).right(),
                left_kidney(),
                object("left_adrenal_gland", "adrenal gland", LEFT_ADRENAL).left(),
                object("prostate_or_uterus", "prostate or uterus", PROSTATE_OR_UTERUS),
            ]),
            case("amos_0500", "CT")
                .split("validation")
                .cut(Axis::X, "axial", (0.8, 0.7))
                .objects([liver(TURNED_LIVER)]),
            case("amos_0507", "MRI").split("train").cut(Axis::Y, "coronal", (1.2, 1.1)).objects([liver(CORONAL_LIVER)]),
            axial("amos_0544", "MRI").split("validation").objects([left_kidney()]),
        ],
        skipped: &[("amos_0002", "not labelled")],
        damage: Damage {
            image: ("amos22/imagesTr/amos_0001.nii.gz", &["amos_0001"]),
            mask: MissingMask::Skips { file: "labelsTr/amos_0507.nii.gz", case: "amos_0507", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
