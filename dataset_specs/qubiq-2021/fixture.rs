//! QUBIQ: a mask file for each rater and sub-task, one of them missing; four sequences along the third axis; volumes
//! whose slices lie along the first axis under a false header; NaN in pictures.

use medcosmos::image::Samples;

use crate::fixture::{
    Axis, Damage, Ell, ExpectedCase, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume,
};

const PICTURE: [usize; 3] = [40, 36, 1];
const SPACING: Option<[f64; 3]> = Some([0.6, 0.7, 1.0]);
const LARGE: Ell = Ell::new([3, 4, 0], [30, 31, 0], 1.0);
const MIDDLE: Ell = Ell::new([8, 6, 0], [27, 24, 0], 1.0);
const INNER: Ell = Ell::new([17, 8, 0], [26, 20, 0], 1.0);
/// What another rater drew.
const OTHER: Ell = Ell::new([5, 5, 0], [24, 29, 0], 1.0);
/// Slices lie along x.
const VOLUME: [usize; 3] = [4, 40, 36];
const FALSE: Option<[f64; 3]> = Some([1.0, 1.0, 1.0]);
const ORGAN: Ell = Ell::new([0, 5, 4], [3, 26, 19], 1.0);
const OTHER_ORGAN: Ell = Ell::new([1, 8, 8], [3, 30, 25], 1.0);
const TRAINING: &str = "training_data_v3_QC";
const VALIDATION: &str = "validation_data_qubiq2021_QC";

/// A picture of 8-bit values stored as floats, and its masks.
fn picture(raw: &Raw, folder: &str, shape: Ell, masks: &[(&str, Ell)]) {
    raw.image(&format!("{folder}/image.nii.gz"), &scan(PICTURE, "float32", SPACING, &[shape]));
    for (name, shape) in masks {
        raw.image(&format!("{folder}/{name}.nii.gz"), &volume(PICTURE, "float32", SPACING, 0.0, &[*shape]));
    }
}

fn prostate(raw: &Raw) {
    let training = format!("{TRAINING}/prostate/Training");
    let both = [
        ("task01_seg01", LARGE),
        ("task01_seg02", OTHER),
        ("task01_seg03", OTHER),
        ("task02_seg01", INNER),
        ("task02_seg02", OTHER),
        ("task02_seg03", OTHER),
    ];
    picture(raw, &format!("{training}/case01"), LARGE, &both);
    let without_the_third = both.into_iter().filter(|(name, _)| !name.ends_with("seg03")).collect::<Vec<_>>();
    picture(raw, &format!("{training}/case09"), LARGE, &without_the_third);
    let mut image = scan(PICTURE, "float32", SPACING, &[LARGE]);
    let Samples::F32(values) = &mut image.samples else { unreachable!() };
    values[..40].fill(f32::NAN);
    let validation = format!("{VALIDATION}/prostate/Validation/case56");
    picture(raw, &validation, LARGE, &both);
    raw.image(&format!("{validation}/image.nii.gz"), &image);
}

fn brain_tumor(raw: &Raw) {
    let folder = format!("{TRAINING}/brain-tumor/Training/case01");
    let everywhere = |shape: Ell| Ell { to: [shape.to[0], shape.to[1], 3], ..shape };
    raw.image(&format!("{folder}/image.nii.gz"), &scan([40, 36, 4], "float32", SPACING, &[everywhere(LARGE)]));
    for (task, shape) in [("task01", LARGE), ("task02", MIDDLE), ("task03", INNER)] {
        raw.image(&format!("{folder}/{task}_seg01.nii.gz"), &volume(PICTURE, "uint8", SPACING, 0.0, &[shape]));
        raw.image(&format!("{folder}/{task}_seg02.nii.gz"), &volume(PICTURE, "uint8", SPACING, 0.0, &[OTHER]));
    }
}

fn pancreas(raw: &Raw, folder: &str) {
    raw.image(&format!("{folder}/image.nii.gz"), &scan(VOLUME, "int16", FALSE, &[ORGAN]));
    raw.image(&format!("{folder}/task01_seg01.nii.gz"), &volume(VOLUME, "uint8", FALSE, 0.0, &[ORGAN]));
    raw.image(&format!("{folder}/task01_seg02.nii.gz"), &volume(VOLUME, "uint8", FALSE, 0.0, &[OTHER_ORGAN]));
}

fn write(raw: &Raw) {
    prostate(raw);
    brain_tumor(raw);
    let raters = [("task01_seg01", MIDDLE), ("task01_seg02", OTHER)];
    picture(raw, &format!("{TRAINING}/brain-growth/Training/case01"), MIDDLE, &raters);
    picture(
        raw,
        &format!("{VALIDATION}/brain-growth/Validation/case40"),
        MIDDLE,
        &[("seg01", MIDDLE), ("seg02", OTHER)],
    );
    picture(
        raw,
        &format!("{TRAINING}/kidney/Training/case01"),
        LARGE,
        &[("case01_seg01", LARGE), ("case01_seg02", OTHER)],
    );
    pancreas(raw, &format!("{TRAINING}/pancreas/case1-1"));
    pancreas(raw, &format!("{TRAINING}/pancreatic-lesion/case1-1"));
    pancreas(raw, &format!("{VALIDATION}/pancreas/case13-1"));
    pancreas(raw, &format!("{VALIDATION}/pancreatic-lesion/Validation/case13-1"));
    raw.file("QUBIQ21_test/kidney/Testing/case29/image.nii.gz", "not used, so not read");
}

pub fn fixture() -> Fixture {
    let picture = |id, modality, split| case(id, modality).split(split).spacing(0.7, 0.6);
    let tumour = |id, modality| {
        picture(id, modality, "train").patient("brain-tumor_01").objects([
            object("whole_tumour", "brain tumour", LARGE),
            object("tumour_core", "brain tumour core", MIDDLE),
            object("enhancing_tumour", "brain tumour enhancing core", INNER),
        ])
    };
    let prostate = || {
        [
            object("prostate", "prostate", LARGE),
            object("zone_of_the_prostate", "prostate central gland", INNER).excluded(),
        ]
    };
    let white_matter = || [object("growing_white_matter", "white matter", MIDDLE)];
    let volume = |id, split| ExpectedCase { axis: Axis::X, plane: "x", ..case(id, "CT").split(split) };
    let organ = || [object("pancreas", "pancreas", ORGAN)];
    let lesion = || [object("pancreatic_lesion", "pancreas tumour", ORGAN)];
    Fixture {
        slug: "qubiq-2021",
        write,
        archives: &[
            // Some copies have the top folder twice.
            (TRAINING, "training_data_v3_QC/training_data_v3_QC.zip"),
            (VALIDATION, "validation_data_qubiq2021_QC.zip"),
            ("QUBIQ21_test", "QUBIQ21_test.zip"),
        ],
        cases: vec![
            picture("brain-growth_01", "MRI", "train").objects(white_matter()),
            picture("brain-growth_40", "MRI", "validation").objects(white_matter()),
            tumour("brain-tumor_01_FLAIR", "T2-FLAIR MRI"),
            tumour("brain-tumor_01_T1", "T1W MRI"),
            tumour("brain-tumor_01_T1gd", "T1-Gd MRI"),
            tumour("brain-tumor_01_T2", "T2W MRI"),
            picture("kidney_01", "CT", "train").objects([object("kidney", "kidney", LARGE)]),
            volume("pancreas_1-1", "train").patient("pancreas_1").objects(organ()),
            volume("pancreas_13-1", "validation").patient("pancreas_13").objects(organ()),
            volume("pancreatic-lesion_1-1", "train").patient("pancreatic-lesion_1").objects(lesion()),
            volume("pancreatic-lesion_13-1", "validation").patient("pancreatic-lesion_13").objects(lesion()),
            picture("prostate_01", "MRI", "train").objects(prostate()),
            picture("prostate_09", "MRI", "train").objects(prostate()),
            picture("prostate_56", "MRI", "validation").objects(prostate()),
        ],
        skipped: &[],
        damage: Damage {
            image: ("kidney/Training/case01/image", &["kidney_01"]),
            // Of the others' masks none takes the place of the reference rater's.
            mask: MissingMask::Lacks {
                file: "prostate/Training/case01/task02_seg01",
                case: "prostate_01",
                label: "zone_of_the_prostate",
            },
            unknown_label: UnknownLabel::None("a mask holds one object, 0 or 1"),
        },
    }
}
