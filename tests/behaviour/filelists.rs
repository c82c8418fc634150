//! The specs against true names: lists of the files of public downloads, as loaders of others know them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use medcosmos::sources::{CaseState, Completeness, FileUse, Scan, scan};
use medcosmos::spec::Registry;

use crate::program::{Run, medcosmos};
use crate::samples::beside;

/// List, source, labelled cases in it, and what the scan says of their number.
const LISTS: [(&str, &str, u64, &str); 20] = [
    ("abd_vista", "abdomenct-1k", 1000, "complete"),
    ("acdc", "acdc", 300, "complete"),
    ("amos", "amos-2022", 360, "complete"),
    ("brainptm", "brainptm-2021", 180, "complete"),
    ("brats", "brats-2020", 1476, "complete"),
    ("btcv", "malbcv-abdomen", 30, "complete"),
    ("cellseg", "cellseg-neurips-2022", 1050, "101 missing (tuning 101)"),
    ("crossmoda", "crossmoda", 105, "complete"),
    ("feta", "feta", 80, "40 missing (Zurich 40)"),
    ("kipa", "kipa22", 70, "complete"),
    ("luna", "luna16", 888, "complete"),
    ("mrspine", "mrspineseg", 91, "81 missing"),
    ("msd_sat", "msd", 1289, "complete"),
    ("msd_vista", "msd", 945, "complete"),
    ("promise", "promise12", 50, "complete"),
    ("ski10", "ski10", 99, "1 missing (training 1)"),
    ("sliver", "sliver07", 20, "complete"),
    ("totalseg_v2", "totalsegmentator", 150, "1,078 missing"),
    ("verse", "verse", 374, "complete"),
    ("word", "word", 150, "complete"),
];

/// The paths of a list.
fn paths(folder: &Path, list: &str) -> Vec<String> {
    let packed = fs::File::open(folder.join(format!("{list}.txt.gz"))).unwrap();
    let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(packed)).unwrap();
    text.lines().map(String::from).collect()
}

fn scanned(registry: &Registry, paths: &[String]) -> Scan {
    scan(registry, &paths.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Files that no source claims, and files that two cases of different sources would be made of.
fn left_over_and_contested(scan: &Scan, paths: &[String]) -> (Vec<String>, Vec<String>) {
    let free = scan.files.iter().zip(paths).filter(|(file, _)| **file == FileUse::Unclaimed);
    let cases = scan.sources.iter().flat_map(|source| &source.cases);
    let contested =
        cases.filter(|case| matches!(&case.state, CaseState::Skipped(why) if why.contains("matches the sources")));
    (free.map(|(_, path)| path.clone()).collect(), contested.map(|case| case.id.clone()).collect())
}

#[test]
fn each_list_is_recognised_completely() {
    let Some(folder) = beside("findings/filelists") else { return };
    let registry = Registry::built_in().unwrap();
    let mut wrong = Vec::new();
    for (list, slug, cases, state) in LISTS {
        let paths = paths(&folder, list);
        let scan = scanned(&registry, &paths);
        let (free, contested) = left_over_and_contested(&scan, &paths);
        let found = scan.sources.iter().map(|source| {
            let completeness = Completeness::of(source, registry.get(&source.slug).unwrap());
            (completeness.source, completeness.cases, completeness.state)
        });
        let found: Vec<_> = found.collect();
        let unlabelled = scan.sources.iter().flat_map(|s| &s.cases).filter(|c| c.state != CaseState::Complete).count();
        if found != [(slug.to_string(), cases, state.to_string())]
            || !free.is_empty()
            || !contested.is_empty()
            || unlabelled > 0
        {
            let free = free.iter().take(3).collect::<Vec<_>>();
            wrong.push(format!(
                "{list}: {found:?}, left over {free:?}, contested {contested:?}, {unlabelled} unlabelled"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All lists in one folder: no source takes what is another's.
#[test]
fn all_lists_together_give_what_they_give_alone() {
    let Some(folder) = beside("findings/filelists") else { return };
    let registry = Registry::built_in().unwrap();
    // The two lists of the decathlon hold the same files.
    let together = LISTS.iter().filter(|(list, ..)| *list != "msd_vista");
    let of_list = |(list, ..): &(&str, &str, u64, &str)| {
        paths(&folder, list).into_iter().map(|path| format!("downloads of {list}/{path}")).collect::<Vec<_>>()
    };
    let paths: Vec<String> = together.clone().flat_map(of_list).collect();
    let scan = scanned(&registry, &paths);
    let (free, contested) = left_over_and_contested(&scan, &paths);
    assert!(free.is_empty() && contested.is_empty(), "left over {free:?}, contested {contested:?}");
    let labelled = |cases: &[medcosmos::sources::Case]| cases.iter().filter(|c| c.state == CaseState::Complete).count();
    let found: BTreeSet<(&str, u64)> =
        scan.sources.iter().map(|s| (s.slug.as_str(), labelled(&s.cases) as u64)).collect();
    assert_eq!(found, together.map(|(_, slug, cases, _)| (*slug, *cases)).collect());
}

/// The same through the program, with empty files: a scan goes by names alone.
#[test]
fn the_program_says_the_same_of_empty_files() {
    let Some(folder) = beside("findings/filelists") else { return };
    let raw = tempfile::tempdir().unwrap();
    for path in paths(&folder, "acdc") {
        let path = raw.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    let run = Run::done(medcosmos("scan").arg(raw.path()).arg("--json"));
    let report = run.json();
    let source = &report["sources"][0];
    assert_eq!(
        (source["source"].as_str(), source["cases"].as_u64(), source["state"].as_str()),
        (Some("acdc"), Some(300), Some("complete"))
    );
    assert_eq!((report["files_used"].as_u64(), report["files_skipped"].as_u64()), (Some(600), Some(0)));
}

/// A tree, the source that it is a copy of, its release, and the ids of its labelled cases.
type Copied = (&'static [&'static str], &'static str, &'static str, &'static [&'static str]);

const PICTURE: &str = "1.2.276.0.7230010.3.1.4.8323329.300.1517875162.258081";

/// Trees as others distribute them or as unpackers leave them.
const COPIES: [Copied; 36] = [
    (
        &[
            "ACDC/database/training/patient001/patient001_frame01.nii/CMD03Gate1.nii",
            "ACDC/database/training/patient001/patient001_frame01_gt.nii/CMD03-OH-AL_V2_1.nii",
            "ACDC/database/training/patient001/patient001_4d.nii/CMD03.nii",
            "ACDC/database/training/patient001/Info.cfg",
        ],
        "acdc",
        "2022 collection",
        &["patient001_frame01"],
    ),
    (
        &["acdc/patient001/patient001_frame01.nii", "acdc/patient001/patient001_frame01_gt.nii"],
        "acdc",
        "2017 challenge",
        &["patient001_frame01"],
    ),
    (
        &["heart/patient101/patient101_frame14.nii.gz", "heart/patient101/patient101_frame14_gt.nii.gz"],
        "acdc",
        "2022 collection",
        &["patient101_frame14"],
    ),
    (
        &[
            "ACDC_preprocessed/ACDC_training_volumes/patient001_frame01.h5",
            "ACDC_preprocessed/ACDC_training_slices/patient001_frame01_slice_1.h5",
        ],
        "acdc",
        "HDF5 copy, not read",
        &[],
    ),
    (
        &[
            "data/imagesTr/img0001.nii.gz",
            "data/labelsTr/label0001.nii.gz",
            "data/imagesTs/img0061.nii.gz",
            "data/dataset_0.json",
        ],
        "malbcv-abdomen",
        "MONAI's folders",
        &["0001"],
    ),
    (
        &["project_TransUNet/test_vol_h5/case0001.npy.h5", "project_TransUNet/train_npz/case0005_slice000.npz"],
        "malbcv-abdomen",
        "TransUNet's copy, not read",
        &[],
    ),
    (
        &[
            "siimacr-pneumothorax-segmentation-data-256/train/{PICTURE}.png",
            "siimacr-pneumothorax-segmentation-data-256/masks/{PICTURE}.png",
            "siimacr-pneumothorax-segmentation-data-512/train/{PICTURE}.png",
            "siimacr-pneumothorax-segmentation-data-512/mask/{PICTURE}.png",
            "siimacr-pneumothorax-segmentation-data-256/test/{PICTURE}1.png",
        ],
        "siim-acr",
        "smaller PNG copy",
        &["png256_{PICTURE}", "png512_{PICTURE}"],
    ),
    (
        &["siim-png-images/input/train_png/{PICTURE}.png", "siim-png-images/train-rle.csv"],
        "siim-acr",
        "PNG pictures for the tables",
        &["{PICTURE}"],
    ),
    (
        &[
            "Lung Segmentation/CXR_png/MCUCXR_0001_0.png",
            "Lung Segmentation/masks/MCUCXR_0001_0.png",
            "Lung Segmentation/CXR_png/MCUCXR_0002_0.png",
            "Lung Segmentation/masks/MCUCXR_0002_0_mask.png",
            "Lung Segmentation/CXR_png/CHNCXR_0001_0.png",
            "Lung Segmentation/masks/CHNCXR_0001_0_mask.png",
            "Lung Segmentation/test/CHNCXR_0025_0.png",
            "Lung Segmentation/ClinicalReadings/CHNCXR_0001_0.txt",
            "Lung Segmentation/NLM-ChinaCXRSet-ReadMe.docx",
        ],
        "montgomery-cxr",
        "Chest Xray Masks and Labels",
        &["MCUCXR_0001_0_both", "MCUCXR_0002_0_both"],
    ),
    (
        &[
            "data/membrane/train/image/0.png",
            "data/membrane/train/image/29.png",
            "data/membrane/train/label/0.png",
            "data/membrane/train/label/29.png",
            "data/membrane/test/0.png",
        ],
        "sstem",
        "ISBI 2012 in PNG",
        &["membrane_train"],
    ),
    (&["data/isbi.h5"], "sstem", "HDF5 copy, not read", &[]),
    (
        &["imagesTr/Case_00001_0000.nii.gz", "labels/Case_00001.nii.gz"],
        "abdomenct-1k",
        "fully supervised challenge",
        &["Case_00001"],
    ),
    (
        &["Images/Case_00001_0000.nii.gz", "Masks/Case_00001.nii.gz"],
        "abdomenct-1k",
        "Images and Masks",
        &["Case_00001"],
    ),
    (&["Train/fundus_images/H0001.jpg", "Train/Disc_Masks/H0001.bmp"], "ichallenge-palm", "AI Studio", &["H0001"]),
    (&["kits19/case_00000/imaging.nii.gz", "kits19/case_00000/segmentation.nii.gz"], "kits19", "2019", &["case_00000"]),
    (&["train/case_00000/imaging.nii.gz", "train/case_00000/segmentation.nii.gz"], "kits19", "2019", &["case_00000"]),
    (
        &[
            "train/subject-1-T1.hdr",
            "train/subject-1-T1.img",
            "train/subject-1-T2.hdr",
            "train/subject-1-T2.img",
            "train/subject-1-label.hdr",
            "train/subject-1-label.img",
        ],
        "iseg-2019",
        "year not named",
        &["subject-1_T1", "subject-1_T2"],
    ),
    (
        &[
            "TestDataset/Kvasir/images/cju0qkwl35piu0993l0dewei2.png",
            "TestDataset/Kvasir/masks/cju0qkwl35piu0993l0dewei2.png",
        ],
        "kvasir-seg",
        "polyp benchmark",
        &["cju0qkwl35piu0993l0dewei2"],
    ),
    (
        &["TrainDataset/image/cju0qkwl35piu0993l0dewei2.png", "TrainDataset/mask/cju0qkwl35piu0993l0dewei2.png"],
        "kvasir-seg",
        "polyp benchmark",
        &["cju0qkwl35piu0993l0dewei2"],
    ),
    (
        &[
            "Kvasir-SEG/images/train/cju0qkwl35piu0993l0dewei2.jpg",
            "Kvasir-SEG/masks/train/cju0qkwl35piu0993l0dewei2.jpg",
            "Kvasir-SEG/images/val/cju0qoxqj9q6s0835b43399p4.jpg",
            "Kvasir-SEG/masks/val/cju0qoxqj9q6s0835b43399p4.jpg",
        ],
        "kvasir-seg",
        "2019",
        &["cju0qkwl35piu0993l0dewei2", "cju0qoxqj9q6s0835b43399p4"],
    ),
    (
        &["TestDataset/CVC-ClinicDB/images/1.png", "TestDataset/CVC-ClinicDB/masks/1.png"],
        "cvc-clinicdb",
        "polyp benchmark",
        &["1"],
    ),
    (&["CVC-ClinicDB/Original/1.png", "CVC-ClinicDB/Ground Truth/1.png"], "cvc-clinicdb", "PNG", &["1"]),
    (
        &["camus/patient0001/patient0001_2CH_ED.nii", "camus/patient0001/patient0001_2CH_ED_gt.nii"],
        "camus",
        "NIfTI",
        &["patient0001_2CH_ED"],
    ),
    (&["data/image/Image_01L.png", "data/mask1/Image_01L_1stHO.png"], "chase-db1", "CHASEDB1", &["01L"]),
    (
        &["DRIVE/training/images/21_training.png", "DRIVE/training/1st_manual/21_manual1.gif"],
        "drive",
        "current",
        &["21"],
    ),
    (
        &["sub-feta001/anat/sub-feta001_T2w.nii.gz", "sub-feta001/anat/sub-feta001_dseg.nii.gz"],
        "feta",
        "early",
        &["sub-feta001"],
    ),
    (
        &[
            "BraTS2020_training_data/content/data/volume_1_slice_0.h5",
            "BraTS2020_training_data/content/data/meta_data.csv",
        ],
        "brats-2020",
        "HDF5 copy, not read",
        &[],
    ),
    (
        &[
            "Totalsegmentator_dataset_small_v201/s0011/ct.nii.gz",
            "Totalsegmentator_dataset_small_v201/s0011/segmentations/vertebrae_S1.nii.gz",
            "Totalsegmentator_dataset_small_v201/meta.csv",
        ],
        "totalsegmentator",
        "v2, small subset",
        &["s0011"],
    ),
    (
        &["any name/s0011/ct.nii.gz", "any name/s0011/segmentations/vertebrae_S1.nii.gz"],
        "totalsegmentator",
        "v2",
        &["s0011"],
    ),
    (
        &[
            "Totalsegmentator_dataset_v201/s0011/ct.nii.gz",
            "Totalsegmentator_dataset_v201/s0011/segmentations/vertebrae_S1.nii.gz",
            "Totalsegmentator_dataset_small_v201.zip/s0011/ct.nii.gz",
            "Totalsegmentator_dataset_small_v201.zip/s0011/segmentations/vertebrae_S1.nii.gz",
        ],
        "totalsegmentator",
        "v2",
        &["s0011"],
    ),
    (
        &[
            "Task09_Spleen/imagesTr/spleen_2.nii",
            "Task09_Spleen/labelsTr/spleen_2.nii",
            "Task09_Spleen/imagesTs/spleen_1.nii",
        ],
        "msd",
        "2018",
        &["spleen_2"],
    ),
    (
        &[
            "dataset-01training/rawdata/sub-verse512/sub-verse512_ct.nii.gz",
            "dataset-01training/derivatives/sub-verse512/sub-verse512_seg-vert_msk.nii.gz",
            "dataset-01training/licence.txt",
            "dataset-01training/readme.txt",
            "challenge/verse512_CT-iso.png",
        ],
        "verse",
        "2020",
        &["verse512"],
    ),
    (
        &[
            "OpenDataset/Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz",
            "OpenDataset/Training/Labeled/A0S9V9/A0S9V9_sa_gt.nii.gz",
            "OpenDataset/mnms_dataset_info.xls",
            "OpenDataset/201014_M&Ms_Dataset_Information_-_opendataset.csv",
        ],
        "mnms",
        "open dataset",
        &["A0S9V9"],
    ),
    (
        &[
            "manifest-1600709154662/1.3.6.1.4.1.14519.5.2.1.7307.2101.337767542120034137099613344111/1-01.dcm",
            "manifest-1600709154662/metadata.csv",
            "Training/Prostate3T-01-0001.nrrd",
        ],
        "nci-isbi-2013",
        "TCIA 2015",
        &[],
    ),
    (
        &["kits21/data/case_00000/imaging.nii.gz", "kits21/data/case_00000/aggregated_MAJ_seg.nii.gz"],
        "kits21",
        "package",
        &["case_00000"],
    ),
    (
        &["Public/images/OpenTest_001.png", "Public/labels/OpenTest_001_label.tiff"],
        "cellseg-neurips-2022",
        "Zenodo 10719375",
        &["Public_OpenTest_001"],
    ),
];

#[test]
fn copies_of_others_are_recognised_as_what_they_are() {
    let registry = Registry::built_in().unwrap();
    let filled = |text: &&str| text.replace("{PICTURE}", PICTURE);
    for (paths, slug, release, cases) in COPIES {
        let paths: Vec<String> = paths.iter().map(filled).collect();
        let scan = scanned(&registry, &paths);
        let (free, _) = left_over_and_contested(&scan, &paths);
        let found: Vec<(&str, &str)> = scan.sources.iter().map(|s| (s.slug.as_str(), s.release.as_str())).collect();
        assert_eq!((found, &free), (vec![(slug, release)], &Vec::new()), "{paths:?}");
        let labelled = scan.sources[0].cases.iter().filter(|case| case.state == CaseState::Complete);
        // By names alone a case may be there several times: copies are told by their bytes.
        let mut ids: Vec<&str> = labelled.map(|case| &case.id[slug.len() + 1..]).collect();
        ids.dedup();
        assert_eq!(ids, cases.iter().map(filled).collect::<Vec<_>>(), "{paths:?}");
    }
}

/// KiTS23 looks like a copy of KiTS19 and has a third value.
#[test]
fn what_only_looks_like_a_source_is_not_taken_for_it() {
    let paths = ["imaging", "segmentation"].map(|name| format!("kits23/dataset/case_00000/{name}.nii.gz"));
    assert!(scanned(&Registry::built_in().unwrap(), &paths).sources.is_empty());
}

#[test]
fn a_layout_of_which_nothing_is_there_is_missing() {
    let registry = Registry::built_in().unwrap();
    let state = |slug: &str, paths: Vec<String>| {
        let scan = scanned(&registry, &paths);
        Completeness::of(&scan.sources[0], registry.get(slug).unwrap()).state
    };
    let pairs = |pairs: &[[&str; 2]]| pairs.iter().flatten().map(|path| path.to_string()).collect();
    let london = (1..=105)
        .flat_map(|n| ["ceT1", "Label"].map(|kind| format!("training_source/crossmoda2021_ldn_{n}_{kind}.nii.gz")));
    assert_eq!(state("crossmoda", london.collect()), "105 missing (Tilburg 105)");
    let ct = pairs(&[["amos22/imagesTr/amos_0001.nii.gz", "amos22/labelsTr/amos_0001.nii.gz"]]);
    assert_eq!(state("amos-2022", ct), "359 missing (CT 299, MRI 60)");
    let knee = pairs(&[["training/image-001.mhd", "training/labels-001.mhd"]]);
    assert_eq!(state("ski10", knee), "99 missing (training 59, validation 40)");
    let tract = ["T1", "OR_left"].map(|name| format!("case_1/{name}.nii.gz")).to_vec();
    assert_eq!(state("brainptm-2021", tract), "179 missing (T1 59, diffusion 120)");
    let spleen = pairs(&[["Task09_Spleen/imagesTr/spleen_2.nii.gz", "Task09_Spleen/labelsTr/spleen_2.nii.gz"]]);
    assert_eq!(state("msd", spleen), "40 missing", "tasks are downloads of their own");
    let small = ["ct", "segmentations/vertebrae_S1"]
        .map(|name| format!("Totalsegmentator_dataset_small_v201/s0011/{name}.nii.gz"));
    assert_eq!(state("totalsegmentator", small.to_vec()), "101 missing");
}
