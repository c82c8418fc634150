//! Failures of a moment: files that change, vanish or cannot be read for once leave a case undone, which the next run
//! does, and the digests in the tables are those of the bytes that were decoded.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use medcosmos::store::{CaseRow, CaseStatus, Dataset};
use tempfile::TempDir;

use crate::phantom::{self, SIZE, cardiac_paths, image, labels, nifti, write};
use crate::program::{Run, assert_same, hex, medcosmos};

/// Cases of three forms: a header with its data beside it, in the folder and in a tar, and a label map; with a list.
const SPEC: &str = concat!(
    r#"slug = "mine"
name = "Mine"
[licence]
id = "LicenseRef-mine"
share_derived = "no"
[[release]]
name = "one"
evidence = ["{p}_img.mhd"]
"#,
    scans_of_organs!("{p}_img.mhd", "{p}_seg.nii"),
    r#"[[layout.list]]
path = ["groups.csv"]
key = "{p}"
key_column = ["patient"]
split_column = "group"
patient_column = "person"
"#
);

struct Place {
    folder: TempDir,
}

impl Place {
    /// Four cases, of which `d` lies in a tar.
    fn new() -> Self {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        write(&place.path("mine.toml"), SPEC.as_bytes());
        let mut tar = tar::Builder::new(Vec::new());
        for (seed, case) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let data: Vec<u8> = image(seed).iter().flat_map(|value| value.to_le_bytes()).collect();
            let [x, y, z] = SIZE;
            let header = format!(
                "ObjectType = Image\nNDims = 3\nDimSize = {x} {y} {z}\nElementSpacing = 1.5 1.5 8\n\
                 ElementType = MET_SHORT\nElementDataFile = {case}_values.raw\n"
            );
            let files = [
                (format!("{case}_img.mhd"), header.into_bytes()),
                (format!("{case}_values.raw"), data),
                (format!("{case}_seg.nii"), nifti(SIZE, &labels(seed))),
            ];
            for (name, bytes) in files {
                if case == "d" {
                    let mut header = tar::Header::new_ustar();
                    header.set_size(bytes.len() as u64);
                    header.set_mode(0o644);
                    tar.append_data(&mut header, name, &bytes[..]).unwrap();
                } else {
                    write(&place.path("raw").join(name), &bytes);
                }
            }
        }
        write(&place.path("raw/more.tar"), &tar.into_inner().unwrap());
        write(&place.path("raw/groups.csv"), b"patient,group,person\na,train,p1\nb,train,p2\nc,test,p3\nd,test,p4\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn build(&self, dataset: &str, options: &[&str], read_error: Option<&str>) -> Run {
        let mut program = medcosmos("build");
        program.arg(self.path("raw")).arg("--out").arg(self.path(dataset)).arg("--quiet").args(options);
        program.arg("--spec").arg(self.path("mine.toml"));
        Run::of(program.envs(read_error.map(|error| ("MEDCOSMOS_TEST_READ_ERROR", error))))
    }

    fn done(&self, dataset: &str, options: &[&str]) {
        let run = self.build(dataset, options, None);
        assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    }

    /// Case, reason and digests of those that failed.
    fn failed(&self, dataset: &str) -> Vec<(String, String)> {
        let rows = Dataset::open(self.path(dataset)).unwrap().rows::<CaseRow>().unwrap();
        let rows = rows.map(Result::unwrap).filter(|row| row.status == CaseStatus::Failed);
        rows.map(|row| (row.case_id, row.reason.unwrap())).collect()
    }

    /// Checks that a run left these cases undone, said so everywhere, and lost no other.
    fn undone(&self, run: &Run, dataset: &str, cases: &[&str]) {
        assert_eq!(run.status, 3, "{}{}", run.out, run.err);
        let failed = self.failed(dataset);
        assert_eq!(failed.iter().map(|(case, _)| case.as_str()).collect::<Vec<_>>(), cases);
        for (case, reason) in &failed {
            assert!(reason.starts_with("not read: ") && reason.contains("run the same build again"), "{reason}");
            assert!(!reason.contains(self.folder.path().to_str().unwrap()), "an absolute path: {reason}");
            assert!(run.out.contains(case.as_str()) && run.out.contains("run the same build again"), "{}", run.out);
        }
        let verified = Run::of(medcosmos("verify").arg(self.path(dataset)));
        assert_eq!(verified.status, 0, "{}", verified.out);
    }
}

/// Changes a byte of a file under the same size and time.
fn change(path: &Path, at: usize) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn digests_of(dataset: &Path) -> Vec<(String, String)> {
    let rows = Dataset::open(dataset).unwrap().rows::<CaseRow>().unwrap().map(Result::unwrap);
    rows.flat_map(|row| row.raw.into_iter().map(|raw| (raw.path, raw.sha256))).collect()
}

#[test]
fn every_file_of_a_case_has_the_digest_of_its_bytes() {
    let place = Place::new();
    place.done("data", &[]);
    let digests = digests_of(&place.path("data"));
    for name in ["a_img.mhd", "a_values.raw", "a_seg.nii", "groups.csv"] {
        let expected = hex(&fs::read(place.path("raw").join(name)).unwrap());
        assert!(digests.contains(&(name.to_string(), expected)), "{name} is not in {digests:?}");
    }
}

#[test]
fn a_wrong_digest_in_the_cache_is_noticed_and_computed_anew() {
    let place = Place::new();
    place.done("data", &[]);
    place.done("same", &[]);
    for name in ["b_values.raw", "c_seg.nii", "more.tar/d_values.raw"] {
        let cache = place.path("data/.medcosmos/digests");
        let text = fs::read_to_string(&cache).unwrap();
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        let at = line.find("sha256\":\"").unwrap() + 9;
        let digit = if &line[at..=at] == "0" { "1" } else { "0" };
        fs::write(&cache, text.replace(line, &format!("{}{digit}{}", &line[..at], &line[at + 1..]))).unwrap();
        let run = place.build("data", &[], None);
        let case = name.trim_start_matches("more.tar/").split('_').next().unwrap();
        place.undone(&run, "data", &[&format!("mine/{case}")]);
        place.done("data", &[]);
        assert_same(&place.path("data"), &place.path("same"));
    }
}

#[test]
fn bytes_that_change_under_the_same_size_and_time_are_noticed() {
    let place = Place::new();
    place.done("data", &[]);
    let tar = fs::read(place.path("raw/more.tar")).unwrap();
    let in_tar = tar.windows(13).position(|part| part == b"d_values.raw\0").unwrap() + 512 + 700;
    for (file, at, cases) in [
        ("b_values.raw", 700, &["mine/b"][..]),
        ("c_seg.nii", 352 + 2 * (3 * 32 + 5), &["mine/c"]),
        ("more.tar", in_tar, &["mine/d"]),
        ("groups.csv", 24, &[]),
    ] {
        change(&place.path("raw").join(file), at);
        let run = place.build("data", &["--min-area", "7", "--replace"], None);
        match cases {
            [] => assert_eq!(run.status, 0, "a list is read before its digest is asked for: {}{}", run.out, run.err),
            cases => place.undone(&run, "data", cases),
        }
        place.done("data", &["--min-area", "7"]);
        let fresh = format!("fresh-{file}");
        place.done(&fresh, &["--min-area", "7"]);
        assert_same(&place.path("data"), &place.path(&fresh));
        place.done("data", &["--replace"]); // the digests are those of the changed file from here on
    }
}

/// Errors of the system while files are read: Linux' numbers of EIO, ENOMEM, ENFILE, EMFILE and ESTALE.
#[cfg(all(debug_assertions, target_os = "linux"))]
#[test]
fn errors_of_the_system_leave_cases_to_the_next_run() {
    let place = Place::new();
    place.done("same", &[]);
    place.done("other", &["--min-area", "7"]);
    for (number, (error, file, cases)) in [
        (5, "b_values.raw", &["mine/b"][..]),
        (12, "c_seg.nii", &["mine/c"]),
        (23, "a_img.mhd", &["mine/a"]),
        (24, "more.tar", &["mine/d"]),
        (116, "b_seg.nii", &["mine/b"]),
        (5, "groups.csv", &["mine/a", "mine/b", "mine/c", "mine/d"]),
    ]
    .into_iter()
    .enumerate()
    {
        let injected = format!("{error}:{file}");
        // While it is digested, or its archive listed: nothing is known of it.
        let first = format!("first-{number}");
        let run = place.build(&first, &[], Some(&injected));
        if file.ends_with(".tar") {
            assert_eq!(run.status, 3, "{}{}", run.out, run.err);
            assert!(run.out.contains("more.tar: cannot be read"), "{}", run.out);
        } else {
            place.undone(&run, &first, cases);
        }
        place.done(&first, &[]);
        assert_same(&place.path(&first), &place.path("same"));
        // While it is decoded, when its digest is known from an earlier run.
        if !file.ends_with(".tar") {
            let run = place.build(&first, &["--min-area", "7", "--replace"], Some(&injected));
            place.undone(&run, &first, cases);
            let again = place.build(&first, &["--min-area", "7"], Some(&injected));
            place.undone(&again, &first, cases);
            let strict = place.build(&first, &["--min-area", "7", "--strict"], Some(&injected));
            strict.failed(1, &[cases[0], "not read"]);
            place.done(&first, &["--min-area", "7"]);
            assert_same(&place.path(&first), &place.path("other"));
        }
    }
}

#[test]
fn a_file_that_is_cut_for_a_moment_is_read_again() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    (1..=3).for_each(|patient| phantom::cardiac_case(&place.path("raw"), patient, 1));
    write(&place.path("mine.toml"), SPEC.as_bytes());
    place.done("same", &[]);
    for path in cardiac_paths(2, 1) {
        let file = place.path("raw").join(path);
        let (whole, time) = (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(place.build("data", &[], None).status, 3);
        fs::write(&file, whole).unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        place.done("data", &[]);
        assert_same(&place.path("data"), &place.path("same"));
    }
}
