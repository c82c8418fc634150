//! `medcosmos verify` on downloads and datasets that are damaged in every way that there is: each damage is named.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use medcosmos::integrity::{DatasetReport, verify_dataset};
use medcosmos::pipeline::Progress;
use medcosmos::store::{
    CaseRow, Dataset, Manifest, MaskRow, Partition, Receipt, Rle, Row, Shard, SliceRow, Stage, Verify, commit,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::phantom::{self, SIZE, gzip, image, labels, nifti};
use crate::program::{Run, files_of, medcosmos};

/// A source of four cases, two of them in an archive.
const SPEC: &str = r##"
slug = "tiny"
name = "Tiny study"
archives = ["scans.zip (cases 3 and 4)", "two folders"]
expected = [{ cases = 4, origin = "counted by hand" }]
licence = { id = "CC0-1.0", share_derived = "yes" }
sequences = { T1 = "T1W MRI" }
labels.organs = { 1 = { name = "liver", object = "liver" } }

[[release]]
name = "1"
evidence = ["case{n:dd}.nii.gz"]

[[layout]]
name = "scans"
case = "case{n}"
image = { path = ["case{n:dd}.nii.gz"], sequence = "T1" }
mask = [{ path = ["case{n:dd}_mask.nii.gz"], labels = "organs" }]

[[known_bad]]
path = "case02.nii.gz"
note = "its header has the wrong date"
"##;

/// A folder with the spec, and downloads of it that are whole.
struct Tiny {
    folder: TempDir,
}

impl Tiny {
    fn new() -> Tiny {
        let tiny = Tiny { folder: tempfile::tempdir().unwrap() };
        fs::write(tiny.spec(), SPEC).unwrap();
        for (name, bytes) in files(1).into_iter().chain(files(2)) {
            phantom::write(&tiny.raw().join("scans").join(name), &bytes);
        }
        let packed: Vec<(String, Vec<u8>)> = files(3).into_iter().chain(files(4)).collect();
        phantom::write(&tiny.raw().join("scans.zip"), &zip(&packed));
        phantom::write(&tiny.raw().join("readme.txt"), b"four cases");
        tiny
    }

    fn spec(&self) -> PathBuf {
        self.folder.path().join("tiny.toml")
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("raw")
    }

    fn verify(&self, options: &[&str]) -> Run {
        Run::of(medcosmos("verify").arg(self.raw()).arg("--quiet").arg("--spec").arg(self.spec()).args(options))
    }

    /// Faults, as kind and path.
    fn faults(&self, options: &[&str]) -> Vec<(String, String)> {
        let run = self.verify(&[options, &["--json"]].concat());
        let faults = faults(&run.json());
        assert_eq!(run.status, i32::from(!faults.is_empty()), "{}{}", run.out, run.err);
        faults
    }
}

/// Faults of a report, as kind and path.
fn faults(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|f| f["fault"] == true).map(|f| (text(&f["kind"]), text(&f["path"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(kind, path)| (kind.to_string(), path.to_string())).collect()
}

/// Image and mask of a case.
fn files(number: usize) -> [(String, Vec<u8>); 2] {
    let liver: Vec<i16> = labels(number).into_iter().map(|label| i16::from(label == 1)).collect();
    [
        (format!("case{number:02}.nii.gz"), gzip(&nifti(SIZE, &image(number)))),
        (format!("case{number:02}_mask.nii.gz"), gzip(&nifti(SIZE, &liver))),
    ]
}

fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, bytes) in files {
        zip.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn whole_downloads_are_whole_and_every_damage_is_named() {
    let tiny = Tiny::new();
    let (raw, list) = (tiny.raw(), tiny.raw().join("checksums.tsv"));
    let first = tiny.verify(&[]);
    assert_eq!(first.status, 0, "{}{}", first.out, first.err);
    for words in ["9 file(s) of", "tiny", "complete", "verify", "--write` creates them", "No faults.", "known-bad"] {
        assert!(first.out.contains(words), "{words}: {}", first.out);
    }
    assert!(!list.exists());
    let written = tiny.verify(&["--write"]);
    assert_eq!(written.status, 0, "{}{}", written.out, written.err);
    let text = fs::read_to_string(&list).unwrap();
    let digest = crate::program::hex(&files(3)[0].1);
    assert!(text.starts_with("# medcosmos checksums 1: ") && text.lines().count() == 1 + 9, "{text}");
    assert!(text.contains(&format!("{digest}\t{}\tscans.zip/case03.nii.gz\n", files(3)[0].1.len())), "{text}");
    let whole = tiny.verify(&[]);
    assert_eq!(whole.status, 0, "{}{}", whole.out, whole.err);
    assert!(whole.out.contains("9 of 9 file(s) match"), "{}", whole.out);

    // An altered byte that no format notices, a zip without its end, a page named zip, a case less, a file more.
    fs::write(raw.join("readme.txt"), b"four cares").unwrap();
    let packed = fs::read(raw.join("scans.zip")).unwrap();
    fs::write(raw.join("scans.zip"), &packed[..packed.len() - 50]).unwrap();
    fs::write(raw.join("more.zip"), b"<!DOCTYPE html><html><title>Sign in</title></html>").unwrap();
    for (name, _) in files(1) {
        fs::remove_file(raw.join("scans").join(name)).unwrap();
    }
    fs::write(raw.join("scans/notes.txt"), b"more").unwrap();
    let expected = [
        ("html-page", "more.zip"),
        ("truncated", "scans.zip"),
        ("altered", "readme.txt"),
        ("missing", "scans.zip"),
        ("missing", "scans/case01.nii.gz"),
        ("missing", "scans/case01_mask.nii.gz"),
        ("extra", "scans/notes.txt"),
        ("missing-cases", ""),
    ];
    assert_eq!(tiny.faults(&[]), pairs(&expected));
    let text = tiny.verify(&[]);
    assert_eq!(text.status, 1);
    for words in [
        "more.zip: an HTML page, not a zip archive",
        "scans.zip: damaged: truncated: the zip directory is missing",
        "scans.zip: 4 file(s) inside it are in the list of checksums, but cannot be reached",
        "readme.txt: differs from the list",
        "scans/notes.txt: not in the list",
        "tiny: expected 4 labelled cases (counted by hand), found 1",
        "scans.zip (cases 3 and 4)",
        "8 faults.",
    ] {
        assert!(text.out.contains(words), "{words}: {}", text.out);
    }
    let json = tiny.verify(&["--json"]).json();
    assert_eq!((&json["sound"], &json["kinds"]["missing"]), (&false.into(), &serde_json::json!([3, 0])));
    assert_eq!(json["sources"][0]["state"], "3 missing");
}

#[test]
fn contents_are_told_apart_by_their_first_bytes_and_their_ends() {
    let tiny = Tiny::new();
    let put = |name: &str, bytes: &[u8]| phantom::write(&tiny.raw().join("scans").join(name), bytes);
    let [(image, bytes), (mask, mask_bytes)] = files(1);
    put(&image, &bytes[..bytes.len() / 2]);
    let mut altered = mask_bytes.clone();
    let end = altered.len() - 6;
    altered[end] ^= 1;
    put(&mask, &altered);
    put("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    put("b.jpg", b"<html><body>Forbidden</body></html>");
    put("c.nii", &[0; 4096]);
    put("d.dcm", b"{\"error\": \"no access\"}");
    put("e.tif", b"");
    put("f.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
    put("g.zip", &[0; 4096]);
    put("h.nii.gz.part", b"half");
    put("i.txt", b"");
    let expected = [
        ("html-page", "scans/b.jpg"),
        ("lfs-pointer", "scans/a.png"),
        ("server-answer", "scans/d.dcm"),
        ("empty", "scans/e.tif"),
        ("zeros", "scans/c.nii"),
        ("zeros", "scans/g.zip"),
        ("truncated", "scans/case01.nii.gz"),
        ("truncated", "scans/f.png"),
        ("damaged", "scans/case01_mask.nii.gz"),
        ("unfinished", "scans/h.nii.gz.part"),
    ];
    assert_eq!(tiny.faults(&[]), pairs(&expected));
    // What is no file of a source is not looked at where a source is named.
    let own = [("zeros", "scans/g.zip"), ("truncated", "scans/case01.nii.gz"), ("damaged", "scans/case01_mask.nii.gz")];
    assert_eq!(tiny.faults(&["--source", "tiny"]), pairs(&own));
}

#[test]
fn files_that_moved_are_no_fault_and_masks_that_are_missing_are_named() {
    let tiny = Tiny::new();
    let raw = tiny.raw();
    assert_eq!(tiny.faults(&["--write"]), []);
    // The archive is unpacked.
    fs::remove_file(raw.join("scans.zip")).unwrap();
    for (name, bytes) in files(3).into_iter().chain(files(4)) {
        phantom::write(&raw.join("unpacked").join(name), &bytes);
    }
    let run = tiny.verify(&["--json"]);
    assert_eq!(run.status, 0, "{}", run.out);
    assert_eq!(run.json()["kinds"]["moved"], serde_json::json!([0, 4]));
    assert!(tiny.verify(&[]).out.contains("unpacked/case03.nii.gz: its bytes are listed at"));

    fs::remove_file(raw.join("scans/case02_mask.nii.gz")).unwrap();
    fs::remove_file(raw.join("unpacked/case03.nii.gz")).unwrap();
    let expected = [
        ("missing", "scans.zip/case03.nii.gz"),
        ("missing", "scans/case02_mask.nii.gz"),
        ("missing-cases", ""),
        ("no-mask", "scans/case02.nii.gz"),
        ("no-image", "unpacked/case03_mask.nii.gz"),
    ];
    assert_eq!(tiny.faults(&[]), pairs(&expected));
    let text = tiny.verify(&[]).out;
    assert!(text.contains("missing ids: 03 of case…"), "{text}");
}

#[test]
fn lists_of_checksums_are_where_they_are_said_to_be() {
    let tiny = Tiny::new();
    let elsewhere = tiny.folder.path().join("sums.tsv");
    let (raw, sums) = (tiny.raw(), elsewhere.to_str().unwrap());
    assert_eq!(tiny.faults(&["--write", "--checksums", sums]), []);
    assert!(elsewhere.exists() && !raw.join("checksums.tsv").exists());
    assert_eq!(tiny.faults(&["--checksums", sums]), []);
    tiny.verify(&["--checksums", "none.tsv"]).failed(1, &["none.tsv"]);
    let inside = raw.join("sums.tsv");
    tiny.verify(&["--write", "--checksums", inside.to_str().unwrap()]).failed(1, &["sums.tsv", "checksums.tsv"]);

    // A list of the publisher is a file like others, and is not overwritten.
    fs::write(raw.join("checksums.tsv"), b"md5\tfile\n").unwrap();
    tiny.verify(&["--write"]).failed(1, &["checksums.tsv", "choose another file"]);
    assert_eq!(tiny.faults(&["--checksums", sums]), pairs(&[("extra", "checksums.tsv")]));
    fs::remove_file(raw.join("checksums.tsv")).unwrap();

    // An archive has its list beside it.
    let archive = raw.join("scans.zip");
    let verify = |options: &[&str]| Run::of(medcosmos("verify").arg(&archive).arg("--quiet").args(options));
    assert_eq!(verify(&["--write"]).status, 0);
    assert!(raw.join("scans.zip.checksums.tsv").exists());
    assert_eq!(verify(&[]).status, 0);
    assert_eq!(tiny.faults(&["--checksums", sums]), [], "the list of an archive is no part of the downloads");
    let packed: Vec<(String, Vec<u8>)> = files(3).into_iter().chain(files(1)).collect();
    fs::write(&archive, zip(&packed)).unwrap();
    assert_eq!(verify(&[]).status, 1);

    verify(&["--source", "tiny"]).failed(1, &["tiny"]);
    verify(&["--source", "acdc", "--write"]).failed(2, &["--write"]);
    verify(&["--deep", "raw"]).failed(1, &["--deep", "dataset.json"]);
    Run::of(medcosmos("verify").arg(raw.join("gone"))).failed(1, &["gone"]);
}

/// Three cases of two sources, built; with a baseline's predictions and their metrics.
struct Built {
    folder: TempDir,
}

impl Built {
    fn new() -> Built {
        let built = Built { folder: tempfile::tempdir().unwrap() };
        (1..=2).for_each(|patient| phantom::cardiac_case(&built.raw(), patient, 1));
        phantom::spleen_case(&built.raw(), 1);
        let sources = ["--source", "acdc", "--source", "msd"];
        Run::done(medcosmos("build").arg(built.raw()).args(["--quiet", "--out"]).arg(built.data()).args(sources));
        Run::done(medcosmos("predict").arg(built.data()).args(["--model", "otsu-box", "--quiet"]));
        Run::done(medcosmos("evaluate").arg(built.data()).arg("--quiet"));
        built
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("raw")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn verify(&self, options: &[&str]) -> Run {
        Run::of(medcosmos("verify").arg(self.data()).arg("--quiet").args(options))
    }

    fn report(&self) -> DatasetReport {
        verify_dataset(&Dataset::open(self.data()).unwrap(), &Progress::new(true)).unwrap()
    }

    /// Paths of the files of a table.
    fn files(&self, table: &str) -> Vec<String> {
        files_of(&self.data()).into_keys().filter(|path| path.starts_with(&format!("{table}/"))).collect()
    }

    /// Writes the cases, slices and masks of ACDC anew, changed, with a receipt that vouches for them.
    fn rewrite(&self, change: impl Fn(&mut Vec<CaseRow>, &mut Vec<SliceRow>, &mut Vec<MaskRow>)) {
        let dataset = Dataset::open(self.data()).unwrap();
        let receipts = dataset.receipts().unwrap();
        let receipt = receipts.iter().find(|r| r.stage == Stage::Build && r.source == "acdc").unwrap();
        let (mut cases, mut slices, mut masks) = (rows(&dataset), rows(&dataset), rows(&dataset));
        cases.retain(|row: &CaseRow| row.source == "acdc");
        slices.retain(|row: &SliceRow| row.source == "acdc");
        masks.retain(|row: &MaskRow| row.source == "acdc");
        change(&mut cases, &mut slices, &mut masks);
        let mut writer = dataset.begin(&shard(receipt));
        cases.into_iter().for_each(|row| writer.push(row).unwrap());
        slices.into_iter().for_each(|row| writer.push(row).unwrap());
        masks.into_iter().for_each(|row| writer.push(row).unwrap());
        receipt.counts.iter().for_each(|(reason, &n)| writer.count(reason, n));
        writer.finish().unwrap();
        let shards: Vec<Shard> = receipts.iter().map(shard).collect();
        commit(&dataset, &shards, Verify::Full).unwrap();
    }
}

fn rows<R: Row>(dataset: &Dataset) -> Vec<R> {
    dataset.rows().unwrap().collect::<Result<_, _>>().unwrap()
}

fn shard(receipt: &Receipt) -> Shard {
    let partition = match &receipt.model {
        Some(model) => Partition::model(model, &receipt.source).unwrap(),
        None => Partition::source(&receipt.source).unwrap(),
    };
    Shard::new(receipt.stage, partition, receipt.key.clone())
}

/// Checks that a run ends with status 1 and prints all these words.
fn names(run: &Run, words: &[&str]) {
    assert_eq!(run.status, 1, "{}{}", run.out, run.err);
    for word in words {
        assert!(run.out.contains(word), "{word:?} is not in: {}", run.out);
    }
}

#[test]
fn a_whole_dataset_is_whole_and_damaged_files_are_named() {
    let built = Built::new();
    let data = built.data();
    let whole = built.verify(&[]);
    assert_eq!(whole.status, 0, "{}{}", whole.out, whole.err);
    assert!(whole.out.contains("No faults.") && whole.out.contains("masks"), "{}", whole.out);
    let json = built.verify(&["--json"]).json();
    assert_eq!((&json["sound"], &json["rows"]["masks"]), (&true.into(), &21.into()));
    let before = files_of(&data);

    let slices = &built.files("slices")[0];
    let bytes = fs::read(data.join(slices)).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(data.join(slices), flipped).unwrap();
    names(&built.verify(&[]), &["altered-file", slices, "has SHA-256", "1 fault."]);
    fs::remove_file(data.join(slices)).unwrap();
    names(&built.verify(&[]), &["missing-file", slices]);
    fs::write(data.join(slices), bytes).unwrap();

    let receipt = before.keys().find(|path| path.starts_with("receipts/build/source=msd/")).unwrap();
    let text = fs::read(data.join(receipt)).unwrap();
    fs::write(data.join(receipt), b"{}").unwrap();
    names(&built.verify(&[]), &["broken-receipt", receipt]);
    fs::remove_file(data.join(receipt)).unwrap();
    let msd = built.files("masks").into_iter().find(|path| path.contains("source=msd")).unwrap();
    names(
        &built.verify(&[]),
        &["missing-shard", receipt, "foreign-file", &msd, "orphan", "predictions/model=otsu-box/source=msd"],
    );
    fs::write(data.join(receipt), text).unwrap();

    let foreign = "masks/source=acdc/mine.parquet";
    fs::write(data.join(foreign), b"mine").unwrap();
    names(&built.verify(&[]), &["foreign-file", foreign, "1 fault."]);
    fs::remove_file(data.join(foreign)).unwrap();

    let mut manifest = fs::read_to_string(data.join("manifest.json")).unwrap();
    manifest = manifest.replacen("\"rows\": 21", "\"rows\": 22", 1);
    fs::write(data.join("manifest.json"), &manifest).unwrap();
    names(&built.verify(&[]), &["manifest.json: its sums of its tables"]);
    fs::remove_file(data.join("manifest.json")).unwrap();
    names(&built.verify(&[]), &["manifest.json: missing", "run"]);
    let dataset = Dataset::open(&data).unwrap();
    assert!(Manifest::read(&dataset).unwrap().is_none(), "nothing is mended");

    let head = fs::read_to_string(data.join("dataset.json")).unwrap();
    let version = medcosmos::store::schema::SCHEMA_VERSION;
    let other = head.replace(&format!("\"schema_version\": {version}"), "\"schema_version\": 99");
    assert_ne!(head, other);
    fs::write(data.join("dataset.json"), other).unwrap();
    built.verify(&[]).failed(1, &["schema version", "use a newer medcosmos"]);
    built.verify(&["--write"]).failed(1, &["--write"]);
}

#[test]
fn rows_that_contradict_each_other_are_named() {
    type Change = fn(&mut Vec<CaseRow>, &mut Vec<SliceRow>, &mut Vec<MaskRow>);
    let first = "acdc/patient001_frame01/z0000";
    let changes: [(Change, &str, &str, &str); 14] = [
        (|_, _, masks| masks[0].area_px += 1, "mask", "left_ventricular", "its area is"),
        (|_, _, masks| masks[0].bbox[2] += 1, "mask", first, "its box is"),
        (|_, _, masks| masks[0].centroid_x += 0.5, "mask", first, "its centroid is"),
        (|_, _, masks| masks[0].components = 2, "mask", first, "number of components is 1"),
        (|_, _, masks| masks[0].area_mm2 = None, "mask", first, "mm², but its row states unknown"),
        (
            |_, _, masks| masks[0].mask = Rle { size: [20, 20], ..masks[0].mask.clone() },
            "mask",
            first,
            "not a mask of 20 x 20",
        ),
        (
            |_, _, masks| masks[0].mask = outside(&masks[0].mask),
            "mask",
            first,
            "its size is 28 x 40 pixels, but that of its slice 28 x 32",
        ),
        (|_, _, masks| masks[0].mask.counts = b"\xff".to_vec().into(), "mask", first, "its run lengths are not a mask"),
        (
            |_, _, masks| masks[0].patient_id = "acdc/other".into(),
            "disagreement",
            first,
            "patient_id is \"acdc/other\"",
        ),
        (|_, slices, _| drop(slices.remove(0)), "orphan", first, "the slice acdc"),
        (|cases, _, _| drop(cases.remove(0)), "orphan", first, "the case acdc/patient001_frame01 is missing"),
        (|_, slices, _| slices[0].pixels_sha256 = "0".repeat(64), "image", first, "its pixels have SHA-256"),
        (|_, slices, _| slices[0].image.bytes.0.truncate(100), "image", first, "cannot be decoded"),
        (|_, slices, _| slices[0].perceptual_hash ^= 1, "image", first, "its perceptual hash"),
    ];
    let built = Built::new();
    for (change, kind, id, words) in changes {
        built.rewrite(change);
        let report = built.report();
        let named = |f: &&medcosmos::integrity::Finding| {
            f.kind.name() == kind && f.id.as_deref().is_some_and(|found| found.contains(id)) && f.says.contains(words)
        };
        assert!(report.findings.iter().any(|f| named(&f) && f.fault), "{kind} {words}: {:#?}", report.findings);
        built.rewrite(|cases, slices, masks| restore(&built.raw(), cases, slices, masks));
    }
    assert!(built.report().sound(), "{:#?}", built.report().findings);

    // Later tables that were made from rows which are no more.
    built.rewrite(|_, _, masks| drop(masks.remove(0)));
    let report = built.report();
    let tables = ["factors/", "metrics/", "predictions/"];
    let orphans = |table: &str| report.findings.iter().any(|f| f.kind.name() == "orphan" && f.path.starts_with(table));
    assert!(tables.iter().all(|table| orphans(table)), "{:#?}", report.findings);
    names(&built.verify(&[]), &["orphan", "the mask is missing from the shard", first]);
}

/// The same pixels in a wider image: eight columns of background more.
fn outside(rle: &Rle) -> Rle {
    let mask = medcosmos::mask::Mask::try_from(rle).unwrap();
    Rle::from(&mask.placed(rle.size[0], rle.size[1] + 8, 8, 0))
}

/// The rows as a build of the same downloads gives them.
fn restore(raw: &Path, cases: &mut Vec<CaseRow>, slices: &mut Vec<SliceRow>, masks: &mut Vec<MaskRow>) {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, _) = crate::samples::build_with(raw, &folder.path().join("data"), &["acdc"], &Default::default());
    (*cases, *slices, *masks) = (rows(&dataset), rows(&dataset), rows(&dataset));
}

#[test]
fn a_dataset_comes_out_of_its_downloads_byte_for_byte_or_it_is_said_why() {
    let built = Built::new();
    let raw = built.raw();
    let deep = |options: &[&str]| built.verify(&[&["--deep", raw.to_str().unwrap()], options].concat());
    let same = deep(&[]);
    assert_eq!(same.status, 0, "{}{}", same.out, same.err);
    assert!(same.out.contains("6 raw file(s) read, 4 of 4 shard(s) are byte-identical"), "{}", same.out);

    // Rows that only an own hand can have made: all receipts agree, and the downloads give others.
    built.rewrite(|cases, _, _| cases[0].notes.push("mine".into()));
    assert_eq!(built.verify(&[]).status, 0);
    names(&deep(&[]), &["other-bytes", "cases/source=acdc", "3 of 4 shard(s)"]);
    built.rewrite(|cases, slices, masks| restore(&raw, cases, slices, masks));

    // One raw file is altered, one is gone, and its case with it; a case more.
    let [image, _] = phantom::cardiac_paths(1, 1);
    fs::write(raw.join(&image), gzip(&nifti(SIZE, &phantom::image(9)))).unwrap();
    let spleen = "Task09_Spleen/imagesTr/spleen_1.nii.gz";
    fs::rename(raw.join(spleen), raw.join("Task09_Spleen/imagesTr/spleen_7.nii.gz")).unwrap();
    fs::copy(raw.join("Task09_Spleen/labelsTr/spleen_1.nii.gz"), raw.join("Task09_Spleen/labelsTr/spleen_7.nii.gz"))
        .unwrap();
    let run = deep(&["--json"]);
    let found = faults(&run.json()["deep"]);
    for expected in [("raw-altered", image.as_str()), ("raw-missing", spleen), ("case-missing", ""), ("case-new", "")] {
        assert!(found.contains(&(expected.0.into(), expected.1.into())), "{expected:?}: {found:?}");
    }
    names(
        &deep(&[]),
        &["its bytes are at Task09_Spleen/imagesTr/spleen_7.nii.gz", "msd/spleen_7: built from the downloads"],
    );
}

#[test]
fn a_dataset_that_other_options_would_not_give_is_said_to_be_one() {
    let built = Built::new();
    let manifest = built.data().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("\"min_area\": 50"), "{text}");
    fs::write(&manifest, text.replace("\"min_area\": 50", "\"min_area\": 85")).unwrap();
    let run = built.verify(&["--deep", built.raw().to_str().unwrap()]);
    names(&run, &["other-input", "the options of the build were", "2 of 4 shard(s)"]);
}
