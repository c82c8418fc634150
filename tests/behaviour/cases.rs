//! Which files make a case: copies, numbers that begin anew, releases side by side, lists that name nobody.

use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::store::{CaseRow, Dataset, FileRow, MaskRow};
use tempfile::TempDir;

use crate::phantom::{SIZE, gzip, image, labels, nifti, write};
use crate::program::{Run, medcosmos};

const SPEC: &str = concat!(
    r#"slug = "mine"
name = "Mine"
[licence]
id = "LicenseRef-mine"
share_derived = "no"
[[release]]
name = "new"
evidence = ["extra/{x}.txt"]
[[release]]
name = "old"
evidence = ["{p}_img.nii.gz"]
"#,
    scans_of_organs!("{p}_img.nii.gz", "{p}_seg.nii.gz"),
);

const LIST: &str = r#"[[layout.list]]
path = ["groups.csv"]
key = "{p}"
key_column = ["patient"]
split_column = "group"
patient_column = "person"
"#;

struct Downloads {
    folder: TempDir,
}

impl Downloads {
    fn new(spec: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine.toml"), spec).unwrap();
        Downloads { folder }
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("raw")
    }

    fn image(&self, path: &str, seed: usize) -> &Self {
        write(&self.raw().join(format!("{path}_img.nii.gz")), &gzip(&nifti(SIZE, &image(seed))));
        self
    }

    fn mask(&self, path: &str, seed: usize) -> &Self {
        write(&self.raw().join(format!("{path}_seg.nii.gz")), &gzip(&nifti(SIZE, &labels(seed))));
        self
    }

    fn both(&self, path: &str, seed: usize) -> &Self {
        self.image(path, seed).mask(path, seed)
    }

    fn run(&self, command: &str, options: &[&str]) -> Run {
        let mut program = medcosmos(command);
        Run::of(program.current_dir(self.folder.path()).args(options).args(["--spec", "mine.toml"]))
    }

    /// Builds, and gives status, text, and id, status and raw files of each case.
    fn build(&self) -> (Run, Vec<(String, String, Vec<String>)>) {
        let run = self.run("build", &["raw", "--out", "data", "--source", "mine", "--quiet"]);
        let rows = self.rows::<CaseRow>();
        let told = |c: CaseRow| (c.case_id, c.status.to_string(), c.raw.into_iter().map(|file| file.path).collect());
        (run, rows.into_iter().map(told).collect())
    }

    fn rows<R: medcosmos::store::Projection>(&self) -> Vec<R> {
        Dataset::open(self.folder.path().join("data")).unwrap().rows().unwrap().map(Result::unwrap).collect()
    }

    fn reason(&self, path: &str) -> String {
        self.rows::<FileRow>().into_iter().find(|row| row.path == path).unwrap().reason.unwrap_or_default()
    }
}

#[track_caller]
fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// Two people of one number at two sites: neither is built, both are named, and scan says so too.
#[test]
fn two_sites_that_count_alike_are_ambiguous() {
    let downloads = Downloads::new(SPEC);
    downloads.both("A/001", 1).both("B/001", 2).both("A/002", 3);
    let (run, cases) = downloads.build();
    assert_eq!(run.status, 3, "{}", run.out);
    assert_eq!(
        cases.iter().map(|(id, status, _)| (id.as_str(), status.as_str())).collect::<Vec<_>>(),
        [("mine/001", "failed"), ("mine/002", "ok")]
    );
    says(&run.out, &["A/001_img.nii.gz and B/001_img.nii.gz", "`case`"]);
    says(&downloads.reason("B/001_seg.nii.gz"), &["A/001_img.nii.gz"]);
    let scan = downloads.run("scan", &["raw"]);
    assert_eq!(scan.status, 1, "{}", scan.out);
}

/// Equal bytes are a copy, whatever packed them.
#[test]
fn the_same_bytes_are_a_copy() {
    let downloads = Downloads::new(&SPEC.replace("_img.nii.gz", "_img.nii[.gz]"));
    downloads.both("A/001", 1).both("B/001", 1).both("C/002", 2);
    write(&downloads.raw().join("C/002_img.nii"), &nifti(SIZE, &image(2)));
    let (run, cases) = downloads.build();
    assert_eq!((run.status, cases.len()), (0, 2), "{}", run.out);
    says(&downloads.reason("B/001_img.nii.gz"), &["another copy of case 001", "A/001_img.nii.gz"]);
    says(&downloads.reason("B/001_seg.nii.gz"), &["another copy"]);
    says(&run.out, &["2 image(s) are byte-identical copies"]);
}

/// A test set without masks counts from 001 again: the training image keeps its mask.
#[test]
fn a_test_set_that_counts_anew_gets_no_mask_of_the_training_set() {
    let downloads = Downloads::new(SPEC);
    downloads.both("train/001", 1).image("test/001", 2);
    let (run, cases) = downloads.build();
    assert_eq!((run.status, cases.len()), (0, 1), "{}", run.out);
    assert_eq!(cases[0].2, ["train/001_img.nii.gz", "train/001_seg.nii.gz"]);
    says(&run.out, &["test/001_img.nii.gz", "share the id of another image"]);
}

/// An image and a mask of two folder trees are no case, and a build of no case is no success.
#[test]
fn an_image_elsewhere_is_never_taken() {
    for (image, mask) in [
        ("B/001", "A/001"),
        ("B/images/001", "A/masks/001"),
        ("001", "A/001"),
        ("Training_images/001", "Test_labels/001"),
    ] {
        let downloads = Downloads::new(SPEC);
        downloads.image(image, 1).mask(mask, 1);
        let (run, cases) = downloads.build();
        assert_eq!((run.status, cases[0].1.as_str()), (1, "skipped"), "{image} {mask}: {}", run.out);
        says(&run.out, &["is in another folder tree", "No case was built"]);
    }
}

/// Folders that say what they hold belong together.
#[test]
fn folders_of_images_and_of_masks_side_by_side_are_one_tree() {
    for (image, mask) in [
        ("images/001", "masks/001"),
        ("Training_images/001", "Training_labels/001"),
        ("x/imagesTr/001", "x/labelsTr/001"),
        ("set-20240101T101010Z-1-001/001", "set-20240101T101010Z-1-002/001"),
        ("001", "liver_masks/001"),
    ] {
        let downloads = Downloads::new(SPEC);
        downloads.image(image, 1).mask(mask, 1);
        let (run, cases) = downloads.build();
        assert_eq!((run.status, cases[0].2.len()), (0, 2), "{image} {mask}: {}", run.out);
    }
}

/// Corrected labels in a folder of their own do not take the place of those beside the image, and are named.
#[test]
fn labels_of_another_release_are_named() {
    let downloads = Downloads::new(SPEC);
    downloads.both("data/P01", 1).mask("labels_corrected/P01", 2);
    let (run, cases) = downloads.build();
    assert_eq!(run.status, 0);
    assert_eq!(cases[0].2, ["data/P01_img.nii.gz", "data/P01_seg.nii.gz"]);
    says(&run.out, &["labels_corrected/P01_seg.nii.gz"]);
}

/// The folder of the preferred release is built, the other is named once.
#[test]
fn one_release_is_built() {
    let downloads = Downloads::new(SPEC);
    downloads.both("first/P01", 1).both("first/P02", 2).both("second/P01", 3);
    write(&downloads.raw().join("second/extra/x.txt"), b"new");
    let (run, cases) = downloads.build();
    assert_eq!((run.status, cases.len()), (0, 1), "{}", run.out);
    assert_eq!(cases[0].2[0], "second/P01_img.nii.gz");
    assert_eq!(run.out.matches("first/ contains the release old").count(), 1, "{}", run.out);
}

/// Two files of one mask that differ are a guess.
#[test]
fn two_masks_that_differ_are_ambiguous() {
    let downloads = Downloads::new(&SPEC.replace("{p}_seg.nii.gz", "{p}_{kind}seg.nii.gz"));
    downloads.image("001", 1).mask("001_a", 1);
    let rename = |from: &str, to: &str| fs::rename(downloads.raw().join(from), downloads.raw().join(to)).unwrap();
    rename("001_a_seg.nii.gz", "001_aseg.nii.gz");
    downloads.mask("001_b", 2);
    rename("001_b_seg.nii.gz", "001_bseg.nii.gz");
    let (run, cases) = downloads.build();
    assert_eq!((run.status, cases[0].1.as_str()), (3, "failed"), "{}", run.out);
    says(&run.out, &["001_aseg.nii.gz and 001_bseg.nii.gz", "different bytes"]);
}

#[test]
fn a_name_of_a_mac_and_of_a_zip_are_one() {
    let downloads = Downloads::new(SPEC);
    downloads.image("mu\u{308}ller", 1).mask("m\u{fc}ller", 1);
    let (run, cases) = downloads.build();
    assert_eq!((run.status, cases[0].0.as_str()), (0, "mine/m\u{fc}ller"), "{}", run.out);
}

#[test]
fn lists_that_name_nobody_or_contradict_themselves_fail_the_split() {
    for (rows, status, words) in [
        ("1,train,a\n2,test,b\n", 0, &["leading zeros"][..]),
        ("x,train,a\ny,test,b\n", 3, &["2 of 2 entries match no case", "\"001\""]),
        ("001,train,a\n002,test,b\n001,test,a\n", 3, &["contradicts itself", "\"train\" and \"test\""]),
        ("001,train,\"a\n002,test,b\n", 3, &["quotation mark in line 2"]),
        ("001,train\n002,test,b\n", 3, &["ends before the required column 3"]),
        ("001,train,a\n", 0, &["1 of 2 cases are in no list, such as mine/002"]),
    ] {
        let downloads = Downloads::new(&format!("{SPEC}{LIST}"));
        downloads.both("001", 1).both("002", 2);
        write(&downloads.raw().join("groups.csv"), format!("patient,group,person\n{rows}").as_bytes());
        let (run, _) = downloads.build();
        assert_eq!(run.status, status, "{rows}: {}", run.out);
        says(&run.out, words);
        let cases: Vec<CaseRow> = downloads.rows();
        assert_eq!(cases[0].split.as_deref(), (status == 0).then_some("train"), "{rows}");
        assert_eq!(cases[0].patient_id, if status == 0 { "mine/a" } else { "mine/001" }, "{rows}");
    }
}

#[test]
fn check_reads_a_sample_and_names_what_joins() {
    let downloads = Downloads::new(&SPEC.replace("{p}_seg", "{p}_{dat}seg"));
    downloads.image("001", 1);
    let small = gzip(&nifti([SIZE[0], SIZE[1], 2], &labels(1)[..SIZE[0] * SIZE[1] * 2]));
    write(&downloads.raw().join("001_xseg.nii.gz"), &small);
    let run = downloads.run("sources", &["check", "mine.toml", "--raw", "raw"]);
    assert_eq!(run.status, 1, "{}", run.out);
    says(&run.out, &["joined by p", "warning: {dat}", "failed: mine/001", "001_xseg.nii.gz"]);
}

/// A pointer in place of a file is called what it is.
#[test]
fn pointers_of_git_are_named() {
    for (pointer, words) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n"[..], "git lfs pull"),
        (b"/annex/objects/SHA256E-s7--00.nii.gz\n", "git annex get"),
        (b"../../.git/annex/objects/aa/bb/SHA256E-s7--00/SHA256E-s7--00.nii.gz", "git annex get"),
    ] {
        let downloads = Downloads::new(SPEC);
        downloads.both("001", 1).image("002", 2);
        write(&downloads.raw().join("002_seg.nii.gz"), pointer);
        let (run, cases) = downloads.build();
        assert_eq!((run.status, cases[1].1.as_str()), (3, "failed"), "{}", run.out);
        says(&run.out, &["002_seg.nii.gz", words]);
        assert_eq!(downloads.rows::<MaskRow>().len(), 3 * SIZE[2]);
        let inspect = Run::of(medcosmos("inspect").arg(downloads.raw().join("002_seg.nii.gz")));
        says(&inspect.err, &[words]);
    }
}

/// The name of the given folder counts where a source needs it.
#[test]
fn the_given_folder_is_part_of_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let task = folder.path().join("Task09_Spleen");
    for kind in ["imagesTr", "labelsTr"] {
        write(&task.join(kind).join("spleen_1.nii.gz"), b"");
    }
    for (place, given) in [(folder.path(), "Task09_Spleen"), (&task, "."), (folder.path(), ".")] {
        let run = Run::done(medcosmos("scan").current_dir(place).arg(given));
        says(&run.out, &["msd", "joined by n"]);
    }
}

/// A folder that happens to be called as a source hides no other source.
#[test]
fn a_folder_that_is_called_drive() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("content/drive/MyDrive/Task09_Spleen");
    for kind in ["imagesTr", "labelsTr"] {
        write(&below.join(kind).join("spleen_1.nii.gz"), b"");
    }
    says(&Run::done(medcosmos("scan").arg(folder.path())).out, &["msd"]);
}

#[test]
fn near_misses_and_other_sources_are_told() {
    let downloads = Downloads::new(SPEC);
    downloads.both("001", 1);
    let patient: &Path = Path::new("database/training/patient001");
    for name in ["patient001_frame01.nii.gz", "patient001_frame01_seg.nii.gz"] {
        write(&downloads.raw().join(patient).join(name), b"");
    }
    let scan = downloads.run("scan", &["raw"]);
    says(
        &scan.out,
        &["1 file(s) match the image pattern of acdc, but none matches its mask pattern", "sources check acdc"],
    );
    let (run, _) = downloads.build();
    assert!(!run.out.contains("match no source"), "{}", run.out);
    says(&run.out, &["match none of the selected sources (mine)"]);
}
