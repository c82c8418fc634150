//! Downloads as they are in the wild: cut, mixed up, mislabelled. Each fault gets one error that names the file, and
//! costs no more than the case that it concerns.

use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::store::{CaseRow, Dataset, FileRow, MaskRow, Projection};
use serde_json::Value;
use tempfile::TempDir;

use crate::phantom::{self, SIZE, gzip, image, labels, nifti};
use crate::program::{Run, files_of, medcosmos};

fn build(raw: &Path, dataset: &Path, options: &[&str]) -> Run {
    Run::of(medcosmos("build").arg(raw).arg("--quiet").arg("--out").arg(dataset).args(options))
}

fn rows<R: Projection>(dataset: &Path) -> Vec<R> {
    Dataset::open(dataset).unwrap().rows().unwrap().collect::<Result<_, _>>().unwrap()
}

/// A folder with a raw folder in it, in which patient 1 and a case of another source are good.
fn with_good_cases() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (raw, dataset) = (folder.path().join("raw"), folder.path().join("data"));
    phantom::cardiac_case(&raw, 1, 1);
    phantom::spleen_case(&raw, 1);
    (folder, raw, dataset)
}

/// Writes image and mask of a patient, as they are.
fn write_case(raw: &Path, patient: usize, image: &[u8], mask: &[u8]) {
    let [image_path, mask_path] = phantom::cardiac_paths(patient, 1);
    phantom::write(&raw.join(image_path), image);
    phantom::write(&raw.join(mask_path), mask);
}

fn good_image() -> Vec<u8> {
    gzip(&nifti(SIZE, &image(2)))
}

fn good_mask() -> Vec<u8> {
    gzip(&nifti(SIZE, &labels(2)))
}

/// Builds with patient 2 as given, and checks that it fails alone with a reason that has all these words.
fn check_case(image: &[u8], mask: &[u8], words: &[&str]) {
    // Only these sources: to compile the patterns of all of them takes most of the time of so small a build.
    let build = |raw: &Path, dataset: &Path, options: &[&str]| {
        self::build(raw, dataset, &[&["--source", "acdc", "--source", "msd"], options].concat())
    };
    let (_folder, raw, dataset) = with_good_cases();
    write_case(&raw, 2, image, mask);
    let run = build(&raw, &dataset, &[]);
    assert_eq!(run.status, 3, "{}{}", run.out, run.err);
    let case = "acdc/patient002_frame01";
    let lines: Vec<&str> = run.out.lines().filter(|line| line.contains(case)).collect();
    assert_eq!(lines.len(), 1, "the failure is told once: {}", run.out);
    for word in words {
        assert!(lines[0].contains(word), "{word:?} is not in: {}", lines[0]);
    }

    let cases: Vec<CaseRow> = rows(&dataset);
    let status: Vec<(&str, &str)> = cases.iter().map(|c| (c.case_id.as_str(), c.status.name())).collect();
    assert_eq!(status, [("acdc/patient001_frame01", "ok"), (case, "failed"), ("msd/spleen_1", "ok")]);
    let reason = cases[1].reason.as_deref().unwrap();
    assert!(lines[0].contains(reason) && cases[1].kept == 0, "{:?}", cases[1]);
    let masks: Vec<MaskRow> = rows(&dataset);
    assert_eq!(masks.len(), 9 + 3, "masks of the good cases, and no others");

    // Later stages go on with what there is.
    Run::done(medcosmos("predict").arg(&dataset).args(["--model", "otsu-box", "--quiet"]));
    Run::done(medcosmos("evaluate").arg(&dataset).arg("--quiet"));
    // A second run does nothing, and does not forget.
    let again = build(&raw, &dataset, &["--json"]);
    assert_eq!((again.status, &again.json()["shards_done"]), (3, &0.into()), "{}", again.out);
    assert_eq!(again.json()["sources"]["acdc"]["failed"][0], serde_json::json!([case, reason]));

    // `--strict` stops at it, and leaves what was there.
    let before = files_of(&dataset);
    build(&raw, &dataset, &["--strict"]).failed(1, &[case, words[0]]);
    assert_eq!(files_of(&dataset), before);
    let strict = dataset.with_file_name("strict");
    build(&raw, &strict, &["--strict"]).failed(1, &[case, words[0]]);
    assert!(!strict.join("manifest.json").exists(), "a build that stopped is not complete");

    // Repaired, it is as if nothing had been.
    write_case(&raw, 2, &good_image(), &good_mask());
    let (repaired, fresh) = (build(&raw, &dataset, &[]), dataset.with_file_name("fresh"));
    assert_eq!(repaired.status, 0, "{}{}", repaired.out, repaired.err);
    Run::done(medcosmos("predict").arg(&dataset).args(["--model", "otsu-box", "--quiet"]));
    assert_eq!(build(&raw, &fresh, &["--strict"]).status, 0);
    assert_eq!(rows::<MaskRow>(&dataset), rows::<MaskRow>(&fresh));
}

#[test]
fn a_cut_gzip_file() {
    let whole = good_image();
    check_case(&whole[..whole.len() / 2], &good_mask(), &["patient002_frame01.nii.gz", "truncated"]);
}

#[test]
fn a_cut_volume() {
    let whole = nifti(SIZE, &image(2));
    let cut = gzip(&whole[..whole.len() - 100]);
    check_case(&cut, &good_mask(), &["patient002_frame01.nii.gz", "truncated", "5376", "5276"]);
}

#[test]
fn an_empty_file() {
    check_case(&good_image(), b"", &["patient002_frame01_gt.nii.gz", "empty"]);
}

#[test]
fn a_web_page_in_place_of_an_image() {
    let page = b"<!DOCTYPE html><html><body>Please log in</body></html>";
    check_case(page, &good_mask(), &["patient002_frame01.nii.gz", "HTML"]);
}

#[test]
fn a_header_that_promises_the_impossible() {
    let mut bytes = nifti(SIZE, &image(2));
    bytes[42..44].copy_from_slice(&i16::MAX.to_le_bytes());
    bytes[44..46].copy_from_slice(&i16::MAX.to_le_bytes());
    bytes[46..48].copy_from_slice(&i16::MAX.to_le_bytes());
    check_case(&gzip(&bytes), &good_mask(), &["patient002_frame01.nii.gz"]);
}

#[test]
fn a_mask_of_another_size() {
    let small = gzip(&nifti([32, 28, 2], &labels(2)[..32 * 28 * 2]));
    let sizes = ["32 x 28 x 2", "32 x 28 x 3"];
    check_case(&good_image(), &small, &["patient002_frame01_gt.nii.gz", "frame01.nii.gz", sizes[0], sizes[1]]);
}

#[test]
fn a_label_that_the_spec_does_not_know() {
    let mut values = labels(2);
    values[32 * 28 + 5] = 7;
    let words = ["patient002_frame01_gt.nii.gz", "label value 7", "slice 1", "1 (right ventricular cavity)"];
    check_case(&good_image(), &gzip(&nifti(SIZE, &values)), &words);
}

#[test]
fn a_fourth_dimension_where_three_are_expected() {
    let mut cine = nifti(SIZE, &image(2));
    cine.extend(image(2).iter().flat_map(|v| v.to_le_bytes()));
    cine[40..42].copy_from_slice(&4i16.to_le_bytes());
    cine[48..50].copy_from_slice(&2i16.to_le_bytes());
    check_case(&gzip(&cine), &good_mask(), &["patient002_frame01.nii.gz", "fourth"]);
}

/// Archives that cannot be read stand beside those that can.
#[test]
fn damaged_archives_and_pages_named_zip() {
    let (_folder, raw, dataset) = with_good_cases();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in phantom::cardiac_paths(5, 1).iter().zip([good_image(), good_mask()]) {
        zip.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    phantom::write(&raw.join("good.zip"), &zip);
    phantom::write(&raw.join("cut.zip"), &zip[..zip.len() - 40]);
    phantom::write(&raw.join("page.zip"), b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(good_image().len() as u64);
    tar.append_data(&mut header, "training/image.nii.gz", &good_image()[..]).unwrap();
    let tar_gz = gzip(&tar.into_inner().unwrap());
    phantom::write(&raw.join("cut.tar.gz"), &tar_gz[..tar_gz.len() / 2]);

    let run = build(&raw, &dataset, &[]);
    assert_eq!(run.status, 3, "{}{}", run.out, run.err);
    let files: Vec<FileRow> = rows(&dataset);
    for (name, words) in
        [("cut.zip", &["damaged"][..]), ("page.zip", &["HTML", "not a zip archive"]), ("cut.tar.gz", &["damaged"])]
    {
        let start = format!("  {name}: ");
        let lines: Vec<&str> = run.out.lines().filter(|line| line.starts_with(&start)).collect();
        assert_eq!(lines.len(), 1, "{name} in {}", run.out);
        let row = files.iter().find(|row| row.path == name).unwrap();
        assert_eq!(row.status.name(), "failed");
        for word in words {
            assert!(lines[0].contains(word), "{word:?} is not in: {}", lines[0]);
            assert!(row.reason.as_deref().unwrap().contains(word), "{row:?}");
        }
    }
    let cases: Vec<CaseRow> = rows(&dataset);
    let ids: Vec<&str> = cases.iter().map(|case| case.case_id.as_str()).collect();
    assert_eq!(ids, ["acdc/patient001_frame01", "acdc/patient005_frame01", "msd/spleen_1"]);
    assert!(cases.iter().all(|case| case.status.name() == "ok"));
}

/// Two entries of a zip whose bytes were changed: its directory is whole, and only one case is lost.
#[test]
fn one_damaged_entry_of_a_good_archive() {
    let (_folder, raw, dataset) = with_good_cases();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for patient in [5, 6] {
        for (path, bytes) in phantom::cardiac_paths(patient, 1).iter().zip([good_image(), good_mask()]) {
            zip.start_file(path, stored).unwrap();
            std::io::Write::write_all(&mut zip, &bytes).unwrap();
        }
    }
    let mut zip = zip.finish().unwrap().into_inner();
    zip[200] ^= 0xff; // inside the first image
    phantom::write(&raw.join("ACDC.zip"), &zip);
    let run = build(&raw, &dataset, &[]);
    assert_eq!(run.status, 3, "{}{}", run.out, run.err);
    let cases: Vec<CaseRow> = rows(&dataset);
    let failed: Vec<&CaseRow> = cases.iter().filter(|case| case.status.name() != "ok").collect();
    assert_eq!((cases.len(), failed.len(), failed[0].case_id.as_str()), (4, 1, "acdc/patient005_frame01"));
    let reason = failed[0].reason.as_deref().unwrap();
    assert!(reason.contains("ACDC.zip/") && reason.contains("patient005_frame01.nii.gz"), "{reason}");
}

#[test]
fn an_image_without_its_mask_is_skipped_and_named() {
    let (_folder, raw, dataset) = with_good_cases();
    phantom::write(&raw.join(&phantom::cardiac_paths(2, 1)[0]), &good_image());
    let run = build(&raw, &dataset, &[]);
    assert_eq!(run.status, 0, "a download may hold unlabelled cases: {}", run.err);
    assert!(run.out.contains("Skipped:\n  acdc/patient002_frame01: "), "{}", run.out);
    let cases: Vec<CaseRow> = rows(&dataset);
    assert_eq!(cases[1].status.name(), "skipped");
    assert!(cases[1].reason.as_deref().unwrap().contains("mask"), "{:?}", cases[1].reason);
}

#[test]
fn nothing_to_build() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, dataset) = (folder.path().join("raw"), folder.path().join("data"));
    build(&raw, &dataset, &[]).failed(1, &["raw", "No such file or directory"]);
    fs::create_dir(&raw).unwrap();
    build(&raw, &dataset, &[]).failed(1, &["raw", "the folder contains no files"]);
    fs::write(raw.join("holiday.jpg"), b"not a scan").unwrap();
    build(&raw, &dataset, &[]).failed(1, &["none of the 1 files match", "medcosmos sources show"]);
    fs::write(raw.join("acdc.zip"), b"<html>log in</html>").unwrap();
    build(&raw, &dataset, &[]).failed(1, &["acdc.zip", "HTML"]);
    build(&raw, &dataset, &["--source", "acdcc"]).failed(1, &["acdcc", "did you mean \"acdc\"?"]);
    assert!(!dataset.exists(), "a build of nothing makes no dataset");
}

#[test]
fn a_dataset_folder_that_is_something_else() {
    let (folder, raw, dataset) = with_good_cases();
    fs::create_dir(&dataset).unwrap();
    fs::write(dataset.join("thesis.tex"), b"precious").unwrap();
    build(&raw, &dataset, &[]).failed(1, &["data", "not empty and not a medcosmos dataset"]);
    assert_eq!(files_of(&dataset).len(), 1);
    fs::remove_file(dataset.join("thesis.tex")).unwrap();
    fs::write(dataset.join("dataset.json"), b"{\"schema_version\": 999, \"options\": {}}").unwrap();
    build(&raw, &dataset, &[]).failed(1, &["schema version 999", "newer medcosmos"]);
    fs::write(dataset.join("dataset.json"), b"{\"schema_").unwrap();
    build(&raw, &dataset, &[]).failed(1, &["dataset.json"]);

    // Inside the downloads, the next build would take its files for some of them.
    for inside in [raw.clone(), raw.join("data"), raw.join("new/data"), folder.path().join("raw/../raw/data")] {
        build(&raw, &inside, &[]).failed(1, &["inside the folder of downloads", "folder of downloads"]);
        assert!(!raw.join("data").exists() && !raw.join("new").exists());
    }
}

/// A spec of one's own, and what is said of its faults.
#[test]
fn specs_with_faults() {
    const GOOD: &str = r##"slug = "mine"
name = "My hearts"
[licence]
id = "LicenseRef-mine"
share_derived = "no"
[[release]]
name = "first"
evidence = ["training/patient{p:ddd}/patient{p}_frame{f:dd}_gt.nii.gz"]
[sequences]
cine = "Cine-MRI"
[labels.heart]
1 = { name = "right", object = "right ventricle" }
2 = { name = "muscle", object = "left ventricular myocardium" }
3 = { name = "left", object = "left ventricle" }
[[layout]]
name = "frames"
case = "{patient}_{frame}"
[layout.image]
path = ["training/patient{patient:ddd}/patient{patient}_frame{frame:dd}.nii.gz"]
sequence = "cine"
[[layout.mask]]
path = ["patient{patient:ddd}/patient{patient}_frame{frame:dd}_gt.nii.gz"]
labels = "heart"
"##;
    let (folder, raw, dataset) = with_good_cases();
    let spec = folder.path().join("mine.toml");
    let with = |text: &str| {
        fs::write(&spec, text).unwrap();
        build(&raw, &dataset, &["--source", "mine", "--spec", spec.to_str().unwrap()])
    };
    for (from, to, words) in [
        ("labels = \"heart\"", "lables = \"heart\"", &["line 23", "lables"][..]),
        ("name = \"My hearts\"", "name = My hearts", &["line 2"]),
        ("\"Cine-MRI\"", "\"Cine MRI\"", &["\"Cine MRI\" is not a modality", "closest: \"Cine-MRI\""]),
        ("\"right ventricle\"", "\"right ventrical\"", &["labels.heart.1", "closest: \"right ventricle\""]),
        ("labels = \"heart\"", "labels = \"hart\"", &["no table [labels.hart]"]),
        ("case = \"{patient}_{frame}\"", "case = \"{patient}_{phase}\"", &["{phase}", "does not capture"]),
        ("sequence = \"cine\"", "sequence = \"cin\"", &["sequence \"cin\" is not in [sequences]"]),
        ("slug = \"mine\"", "slug = \"../mine\"", &["slug \"../mine\": expected lower-case letters"]),
        ("patient{patient:ddd}/patient{patient}_frame{frame:dd}_gt", "patient{patient:ddd", &["patient{patient:ddd"]),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let run = with(&GOOD.replace(from, to));
        run.failed(1, &["mine.toml"]);
        run.failed(1, words);
    }
    build(&raw, &dataset, &["--spec", "no/such.toml"]).failed(1, &["no/such.toml", "No such file or directory"]);
    assert!(!dataset.exists());
    let run = with(GOOD);
    assert_eq!(run.status, 0, "{}", run.err);
    let cases: Vec<CaseRow> = rows(&dataset);
    assert_eq!((cases.len(), cases[0].case_id.as_str(), cases[0].kept), (1, "mine/001_01", 3));
}

/// Reports for machines say the same.
#[test]
fn failures_in_json() {
    let (_folder, raw, dataset) = with_good_cases();
    write_case(&raw, 2, b"", &good_mask());
    let run = build(&raw, &dataset, &["--json"]);
    let report: Value = run.json();
    assert_eq!((run.status, &report["sources"]["acdc"]["cases"]), (3, &1.into()), "{report}");
    assert_eq!(report["sources"]["acdc"]["failed"][0][0], "acdc/patient002_frame01");
}
