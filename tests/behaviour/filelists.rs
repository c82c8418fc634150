//! Scans by names alone. What is of one source is in its `file_lists.toml`, which the conformance tests check.

use std::fs;
use std::path::Path;

use medcosmos::sources::{Completeness, Scan, scan};
use medcosmos::spec::Registry;

use crate::program::{Run, medcosmos};
use crate::samples::beside;

/// The paths of a list.
fn paths(folder: &Path, list: &str) -> Vec<String> {
    let packed = fs::File::open(folder.join(format!("{list}.txt.gz"))).unwrap();
    let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(packed)).unwrap();
    text.lines().map(String::from).collect()
}

fn scanned(registry: &Registry, paths: &[String]) -> Scan {
    scan(registry, &paths.iter().map(String::as_str).collect::<Vec<_>>())
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
    assert_eq!(state("msd", spleen), "40 missing", "tasks are separate downloads");
    let small = ["ct", "segmentations/vertebrae_S1"]
        .map(|name| format!("Totalsegmentator_dataset_small_v201/s0011/{name}.nii.gz"));
    assert_eq!(state("totalsegmentator", small.to_vec()), "101 missing");
}
