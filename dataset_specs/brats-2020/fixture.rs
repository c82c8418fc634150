//! BraTS 2020: one mask for four images, codes 1, 2 and 4. The copy on Kaggle is not compressed, and one mask in it has
//! another name.

use crate::fixture::{
    Axis, Damage, Ell, ExpectedObject, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume,
};

const SIZE: [usize; 3] = [44, 40, 4];
const SPACING: Option<[f64; 3]> = Some([1.0; 3]);
const OEDEMA: Ell = Ell::new([3, 4, 1], [28, 27, 2], 2.0);
const CORE: Ell = Ell::new([16, 8, 1], [26, 17, 2], 1.0);
const ENHANCING: Ell = Ell::new([31, 20, 1], [41, 33, 1], 4.0);
const SMALL: Ell = Ell::new([32, 4, 2], [37, 9, 2], 4.0);

const OFFICIAL: &str = "MICCAI_BraTS2020_TrainingData";
const KAGGLE: &str = "archive/BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData";

fn patient(raw: &Raw, folder: &str, ending: &str, mask: &str, shapes: &[Ell]) {
    images(raw, folder, ending, shapes);
    raw.image(&format!("{folder}/{mask}"), &volume(SIZE, "uint8", SPACING, 0.0, shapes));
}

fn images(raw: &Raw, folder: &str, ending: &str, shapes: &[Ell]) {
    let name = folder.rsplit('/').next().unwrap();
    for sequence in ["flair", "t1", "t1ce", "t2"] {
        raw.image(&format!("{folder}/{name}_{sequence}{ending}"), &scan(SIZE, "int16", SPACING, shapes));
    }
}

fn first(raw: &Raw, shapes: &[Ell]) {
    let folder = format!("{OFFICIAL}/BraTS20_Training_001");
    patient(raw, &folder, ".nii.gz", "BraTS20_Training_001_seg.nii.gz", shapes);
}

fn write(raw: &Raw) {
    first(raw, &[OEDEMA, CORE, ENHANCING, SMALL]);
    raw.file(&format!("{OFFICIAL}/BraTS20_Training_001/._BraTS20_Training_001_seg.nii.gz"), "resource fork");
    raw.file(&format!("{OFFICIAL}/name_mapping.csv"), "Grade,BraTS_2017_subject_ID\n");
    raw.file(&format!("{OFFICIAL}/survival_info.csv"), "Brats20ID,Age\n");
    let validation = "MICCAI_BraTS2020_ValidationData";
    images(raw, &format!("{validation}/BraTS20_Validation_001"), ".nii.gz", &[]);
    raw.file(&format!("{validation}/name_mapping_validation_data.csv"), "");
    raw.file(&format!("{validation}/survival_evaluation.csv"), "");
    // Of low grade, without an enhancing part.
    let low = format!("{KAGGLE}/BraTS20_Training_260");
    patient(raw, &low, ".nii", "BraTS20_Training_260_seg.nii", &[OEDEMA, CORE]);
    let misnamed = format!("{KAGGLE}/BraTS20_Training_355");
    patient(raw, &misnamed, ".nii", "W39_1998.09.19_Segm.nii", &[ENHANCING]);
    raw.file(&format!("{KAGGLE}/name_mapping.csv"), "");
    let hdf5 = "archive/BraTS2020_training_data/content/data";
    for file in ["volume_1_slice_0.h5", "meta_data.csv", "name_mapping.csv"] {
        raw.file(&format!("{hdf5}/{file}"), "of the copy in HDF5");
    }
    let validation = "archive/BraTS2020_ValidationData/MICCAI_BraTS2020_ValidationData";
    images(raw, &format!("{validation}/BraTS20_Validation_125"), ".nii", &[]);
}

fn unknown_label(raw: &Raw) {
    first(raw, &[OEDEMA.of(3.0)]);
}

pub fn fixture() -> Fixture {
    let oedema = || object("peritumoral_oedema", "brain tumour oedema", OEDEMA).without(CORE);
    let core = || object("necrotic_and_non-enhancing_tumour_core", "brain tumour non-enhancing core", CORE);
    let enhancing = || object("enhancing_tumour", "brain tumour enhancing core", ENHANCING);
    let image = |id, modality, patient, objects: &[ExpectedObject]| {
        case(id, modality).patient(patient).split("train").cut(Axis::Z, "axial", (1.0, 1.0)).objects(objects)
    };
    let first = |id, modality| image(id, modality, "BraTS20_Training_001", &[oedema(), core(), enhancing()]);
    let low = |id, modality| image(id, modality, "BraTS20_Training_260", &[oedema(), core()]);
    let misnamed = |id, modality| image(id, modality, "BraTS20_Training_355", &[enhancing()]);
    Fixture {
        slug: "brats-2020",
        write,
        archives: &[
            ("MICCAI_BraTS2020_TrainingData", "MICCAI_BraTS2020_TrainingData.zip"),
            ("MICCAI_BraTS2020_ValidationData", "MICCAI_BraTS2020_ValidationData.zip"),
            ("archive/*", "archive.zip"),
        ],
        cases: vec![
            first("BraTS20_Training_001_flair", "T2-FLAIR MRI"),
            first("BraTS20_Training_001_t1", "T1W MRI"),
            first("BraTS20_Training_001_t1ce", "T1-Gd MRI"),
            first("BraTS20_Training_001_t2", "T2W MRI"),
            low("BraTS20_Training_260_flair", "T2-FLAIR MRI"),
            low("BraTS20_Training_260_t1", "T1W MRI"),
            low("BraTS20_Training_260_t1ce", "T1-Gd MRI"),
            low("BraTS20_Training_260_t2", "T2W MRI"),
            misnamed("BraTS20_Training_355_flair", "T2-FLAIR MRI"),
            misnamed("BraTS20_Training_355_t1", "T1W MRI"),
            misnamed("BraTS20_Training_355_t1ce", "T1-Gd MRI"),
            misnamed("BraTS20_Training_355_t2", "T2W MRI"),
        ],
        skipped: &[],
        damage: Damage {
            image: ("BraTS20_Training_001_t1ce", &["BraTS20_Training_001_t1ce"]),
            mask: MissingMask::Skips {
                file: "BraTS20_Training_260_seg",
                case: "BraTS20_Training_260_*",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
