//! Names that anyone may have given: of files, cases and labels. None gets lost, leads outside, or is obeyed by a
//! terminal, a spreadsheet or a browser.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::store::{
    CaseRow, Dataset, MaskRow, Partition, Projection, Shard, ShardKey, SliceInfo, SliceRow, SourceRow, Stage, Verify,
    commit,
};
use tempfile::TempDir;

use crate::phantom::{SIZE, gzip, image, labels, nifti, write};
use crate::program::{Run, medcosmos};

const SPEC: &str = concat!(
    r#"slug = "mine"
name = "Mine"
home = "https://example.org/mine"
[licence]
id = "CC-BY-4.0"
share_derived = "yes"
[[release]]
name = "1"
evidence = ["{p}_img.nii.gz"]
"#,
    scans_of_organs!("{p}_img.nii.gz", "{p}_seg.nii.gz"),
);

/// What no terminal may get of a text that is not the program's own.
const OBEYED: [char; 7] = ['\u{1b}', '\u{7}', '\r', '\u{9b}', '\u{202e}', '\u{2066}', '\u{7f}'];

struct Place {
    folder: TempDir,
}

impl Place {
    fn new(spec: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine.toml"), spec).unwrap();
        fs::create_dir(folder.path().join("raw")).unwrap();
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An image and its mask.
    fn case(&self, name: impl AsRef<Path>, seed: usize) {
        let name = name.as_ref().as_os_str();
        for (end, values) in [("_img.nii.gz", image(seed)), ("_seg.nii.gz", labels(seed))] {
            let mut file = name.to_os_string();
            file.push(end);
            write(&self.path("raw").join(file), &gzip(&nifti(SIZE, &values)));
        }
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Run {
        Run::of(medcosmos(command).current_dir(self.folder.path()).args(arguments).args(["--spec", "mine.toml"]))
    }

    fn build(&self, raw: &str, to: &str) -> Run {
        self.run("build", &[raw, "--out", to, "--source", "mine", "--quiet"])
    }

    fn rows<R: Projection>(&self, dataset: &str) -> Vec<R> {
        Dataset::open(self.path(dataset)).unwrap().rows().unwrap().map(Result::unwrap).collect()
    }

    fn cases(&self, dataset: &str) -> Vec<String> {
        let of_name = |case: CaseRow| format!("{} {}", case.case_id, case.status);
        self.rows::<CaseRow>(dataset).into_iter().map(of_name).collect()
    }
}

/// Copies a folder, its files in another order.
fn copy_backwards(from: &Path, to: &Path) {
    let mut files: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    fs::create_dir_all(to).unwrap();
    for file in files.into_iter().rev() {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

#[test]
fn names_that_clean_to_one_id_are_cases_of_their_own() {
    let place = Place::new(SPEC);
    // The last two have the same bytes, which makes them no copies.
    for (name, seed) in
        [("p+1", 1), ("p_1", 2), ("p 1", 3), ("😀", 4), ("😁", 5), ("..", 6), ("q (2)", 7), ("q [2]", 7)]
    {
        place.case(name, seed);
    }
    let run = place.build("raw", "data");
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let expected = [
        "mine/%2E%2E ok",
        "mine/%F0%9F%98%80 ok",
        "mine/%F0%9F%98%81 ok",
        "mine/p%201 ok",
        "mine/p%2B1 ok",
        "mine/p_1 ok",
        "mine/q%20%282%29 ok",
        "mine/q%20%5B2%5D ok",
    ];
    assert_eq!(place.cases("data"), expected);
    let patients: BTreeSet<String> = place.rows::<CaseRow>("data").into_iter().map(|case| case.patient_id).collect();
    assert_eq!(patients.len(), expected.len(), "patients are kept apart as cases are: {patients:?}");
    copy_backwards(&place.path("raw"), &place.path("other/raw"));
    place.build("other/raw", "again");
    crate::program::assert_same(&place.path("data"), &place.path("again"));
    let run = place.run("export", &["data", "--out", "files"]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let pictures = walkdir::WalkDir::new(place.path("files/images")).into_iter().flatten();
    let pictures = pictures.filter(|entry| entry.file_type().is_file()).count();
    assert_eq!(pictures, place.rows::<SliceInfo>("data").len(), "one file for each slice");
}

/// A name that needs no escape has the id it always had.
#[test]
fn ordinary_names_keep_their_ids() {
    let place = Place::new(SPEC);
    for (name, seed) in [("benign (1)", 1), ("Jörg-2.5", 2), ("患者 3", 3)] {
        place.case(name, seed);
    }
    place.build("raw", "data");
    assert_eq!(place.cases("data"), ["mine/Jörg-2.5 ok", "mine/benign_1 ok", "mine/患者_3 ok"]);
}

#[test]
fn names_that_no_system_can_have_are_escaped_or_shortened() {
    let place = Place::new(SPEC);
    let long = "é".repeat(110);
    for (name, seed) in [("con", 1), ("nul.a", 2), ("a.", 3), (long.as_str(), 4)] {
        place.case(name, seed);
    }
    let run = place.build("raw", "data");
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let cases = place.cases("data");
    assert_eq!(cases[..3], ["mine/%63on ok", "mine/%6Eul.a ok", "mine/a%2E ok"]);
    assert!(cases[3].starts_with("mine/ééé") && cases[3].len() < 220, "{}", cases[3]);
}

#[cfg(target_os = "linux")] // others refuse such names
mod not_utf8 {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use medcosmos::store::FileRow;

    use super::*;

    /// Two files whose names differ in bytes that are no characters stay two, in a folder as in a tar.
    #[test]
    fn are_kept_apart_and_shown_escaped() {
        let place = Place::new(SPEC);
        for (name, seed) in [(&b"b\xff"[..], 1), (b"b\xfe", 2), (br"b\xff", 3)] {
            place.case(OsStr::from_bytes(name), seed);
        }
        let tar = std::process::Command::new("tar")
            .args(["-cf", "raw.tar", "-C", "raw", "."])
            .current_dir(&place.folder)
            .status();
        assert!(tar.unwrap().success());
        for (raw, prefix) in [("raw", ""), ("raw.tar", "raw.tar/")] {
            let run = place.build(raw, "data");
            assert_eq!(run.status, 0, "{}{}", run.out, run.err);
            let mut files: Vec<String> = place.rows::<FileRow>("data").into_iter().map(|file| file.path).collect();
            files.sort();
            let expected = [r"b\\xff", r"b\xfe", r"b\xff"]
                .map(|name| ["img", "seg"].map(|end| format!("{prefix}{name}_{end}.nii.gz")));
            assert_eq!(files, expected.concat(), "every file is accounted for");
            assert_eq!(place.rows::<CaseRow>("data").len(), 3);
            fs::remove_dir_all(place.path("data")).unwrap();
        }
        let scan = place.run("scan", &["raw"]);
        assert!(scan.out.contains("6 files used, 0 unused"), "{}", scan.out);
    }
}

#[cfg(unix)]
#[test]
fn control_characters_never_reach_the_terminal() {
    let hostile = "a\u{1b}[2J\u{7}\r\u{9b}1m\u{202e}gnp\u{2066}\u{7f}\nb";
    let spec = SPEC
        .replace("name = \"Mine\"", "name = \"M\\u001b[31m\\u202ei\"")
        .replace("id = \"CC-BY-4.0\"", "id = \"X\\u001b]0;t\\u0007\"");
    let place = Place::new(&spec);
    place.case(format!("{hostile}1"), 1);
    place.case("good", 2);
    // One that fails, one that no source knows, and one whose archive is damaged.
    write(&place.path(&format!("raw/{hostile}2_img.nii.gz")), &gzip(b"no image"));
    write(&place.path(&format!("raw/{hostile}2_seg.nii.gz")), &gzip(b"no image"));
    write(&place.path(&format!("raw/{hostile}.txt")), b"unknown");
    write(&place.path(&format!("raw/{hostile}.zip")), b"no zip");
    let raw = place.path("raw").display().to_string();
    let commands: [(&str, &[&str]); 12] = [
        ("scan", &["raw", "--files"]),
        ("verify", &["raw"]),
        ("sources", &["check", "mine", "--raw", &raw]),
        ("sources", &["show", "mine"]),
        ("sources", &["list"]),
        ("build", &["raw", "--out", "data", "--source", "mine"]),
        ("licences", &["data"]),
        ("trace", &["data", "--raw-file", &format!("{hostile}1_img.nii.gz")]),
        ("inspect", &[&format!("raw/{hostile}1_img.nii.gz"), &format!("raw/{hostile}2_img.nii.gz")]),
        ("build", &["raw", "--out", "data", "--source", "mine", "--json"]),
        ("export", &["data", "--out", hostile]),
        ("export", &["data", "--out", hostile]), // is there already
    ];
    for (command, arguments) in commands {
        let run = place.run(command, arguments);
        for text in [&run.out, &run.err] {
            assert!(!text.contains(OBEYED), "{command} {arguments:?} printed {text:?}");
        }
        let forged = |text: &str| text.lines().any(|line| line.starts_with("b1_") || line.starts_with("b.txt"));
        assert!(!forged(&run.out), "{command} {arguments:?} took a name for a line: {}", run.out);
        if arguments.contains(&"--json") {
            assert_eq!(run.json()["sources"]["mine"]["cases"], 2, "{}", run.out);
        }
    }
    #[cfg(feature = "query")]
    for statement in ["SELECT case_id, reason, raw FROM cases", "SELECT path, reason FROM files"] {
        let run = place.run("query", &["data", statement]);
        assert!(run.status == 0 && !run.out.contains(OBEYED), "{:?}{}", run.out, run.err);
    }
    let raw_path =
        place.rows::<CaseRow>("data").into_iter().flat_map(|case| case.raw).any(|file| file.path.contains(hostile));
    assert!(raw_path, "tables keep the name as it is");
    let texts = place.rows::<CaseRow>("data").into_iter().flat_map(|case| case.notes.into_iter().chain(case.reason));
    texts.for_each(|text| assert!(!text.contains(OBEYED), "{text:?}"));
}

#[test]
fn texts_of_a_spec_are_no_formulas_and_no_markup() {
    let spec = SPEC
        .replace("name = \"liver\"", "name = \"=cmd|' /C calc'!A0\"")
        .replace("name = \"spleen\"", "name = \"-0.5\"")
        .replace("name = \"stomach\"", "name = \"@SUM(1+1)\"")
        .replace("name = \"Mine\"", "name = \"<script>alert(1)</script>[x](javascript:alert(2))\"")
        .replace("id = \"CC-BY-4.0\"", "id = \"CC-BY-4.0\"\nterms = \"<img src=x onerror=alert(3)>\"")
        + "";
    let spec = spec.replace("[licence]", "citation = \"```\\n<script>alert(4)</script>\"\n[licence]");
    let place = Place::new(&spec);
    place.case("a", 1);
    let run = place.build("raw", "data");
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let names: BTreeSet<String> = place.rows::<MaskRow>("data").into_iter().map(|mask| mask.label_name).collect();
    assert!(names.contains("=cmd|' /C calc'!A0"), "tables keep the name: {names:?}");

    let run = place.run("export", &["data", "--out", "files"]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let masks = fs::read_to_string(place.path("files/masks.csv")).unwrap();
    assert!(masks.contains(",'=cmd|' /C calc'!A0,") && masks.contains(",'@SUM(1+1),"), "{masks}");
    assert!(masks.contains(",-0.5,"), "a number is no formula: {masks}");

    let run = place.run("package", &["data", "--out", "package"]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    for page in ["package/README.md", "package/ATTRIBUTION.md", "files/ATTRIBUTION.md"] {
        let text = fs::read_to_string(place.path(page)).unwrap();
        let mut fence = String::new();
        for line in text.lines() {
            let ticks: String = line.chars().take_while(|c| *c == '`').collect();
            match fence.is_empty() {
                true if ticks.len() > 2 => fence = ticks,
                false if line == fence => fence.clear(),
                true => assert!(
                    !line.contains("<script") && !line.contains("<img") && !line.contains("[x]("),
                    "{page}: {line}"
                ),
                false => {}
            }
        }
        assert!(fence.is_empty() && text.contains("&lt;script&gt;alert(1)"), "{page}: {text}");
    }
    #[cfg(feature = "query")]
    {
        let run = place.run("query", &["data", "SELECT DISTINCT label_name, bbox FROM masks", "--out", "q.csv"]);
        assert_eq!(run.status, 0, "{}{}", run.out, run.err);
        let csv = fs::read_to_string(place.path("q.csv")).unwrap();
        assert!(csv.contains("\n'=cmd|' /C calc'!A0,") && csv.contains("\n-0.5,"), "{csv}");
    }
}

#[test]
fn a_link_of_a_spec_leads_to_the_web() {
    for home in ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"] {
        let place = Place::new(&SPEC.replace("https://example.org/mine", home));
        place.case("a", 1);
        place.build("raw", "data").failed(1, &["home", home, "https://"]);
    }
}

#[cfg(unix)]
#[test]
fn links_out_of_the_downloads_are_followed_and_told() {
    use std::os::unix::fs::symlink;

    let place = Place::new(SPEC);
    place.case("in", 1);
    place.case("../elsewhere/out", 2);
    let raw = |name: &str| place.path("raw").join(name);
    for end in ["img", "seg"] {
        symlink(place.path("elsewhere").join(format!("out_{end}.nii.gz")), raw(&format!("out_{end}.nii.gz"))).unwrap();
    }
    symlink("in_img.nii.gz", raw("inside_img.nii.gz")).unwrap();
    symlink("in_seg.nii.gz", raw("inside_seg.nii.gz")).unwrap();
    symlink(place.path("elsewhere"), raw("folder")).unwrap();
    symlink(".", raw("loop")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(raw("pipe")).status();
    assert!(pipe.unwrap().success());
    for (command, arguments) in
        [("scan", &["raw", "--files"][..]), ("verify", &["raw"]), ("build", &["raw", "--out", "data"])]
    {
        let run = place.run(command, arguments);
        assert!(run.out.contains("3 link(s) lead outside the downloads"), "{command}: {}", run.out);
        let target = place.path("elsewhere").canonicalize().unwrap();
        assert!(run.out.contains(&format!("folder -> {}", target.display())), "{command}: {}", run.out);
        assert!(run.out.contains("a link back to its parent folder"), "{command}: {}", run.out);
        assert!(!run.out.contains("inside_img.nii.gz ->"), "{command}: {}", run.out);
    }
    assert!(place.cases("data").contains(&"mine/out ok".to_string()), "what a link leads to is read");
}

#[cfg(unix)]
#[test]
fn links_to_the_system_are_not_walked_and_large_ones_are_named() {
    use std::os::unix::fs::symlink;

    let place = Place::new(SPEC);
    place.case("in", 1);
    let raw = |name: &str| place.path("raw").join(name);
    for folder in ["/", "/usr", "/etc", "/proc"] {
        symlink(folder, raw(&format!("system{}", folder.replace('/', "_")))).unwrap();
    }
    fs::create_dir(place.path("large")).unwrap();
    (0..10_050).for_each(|n| fs::write(place.path("large").join(format!("{n}.txt")), "").unwrap());
    symlink(place.path("large"), raw("large")).unwrap();
    let run = place.run("scan", &["raw", "--files"]);
    assert!(run.out.contains("4 link(s) lead to folders of the system and are not followed:"), "{}", run.out);
    assert!(run.out.contains("system_usr -> /usr"), "{}", run.out);
    assert!(run.err.contains("large: this link leads out of the downloads") && run.err.contains("stop the command"));
    assert!(run.out.contains("large/10049.txt") && run.out.contains("large -> "), "what is linked is listed");
    let run = place.run("build", &["raw", "--out", "data"]);
    assert!(run.err.contains("large: this link leads out of the downloads"), "{}", run.err);
    assert!(place.cases("data").contains(&"mine/in ok".to_string()));
}

/// A dataset of the first slice of another one and of its first mask, with ids of its maker's choice.
fn forged(from: &Dataset, to: &Path, slice_id: Option<&str>, mask_id: Option<&str>) {
    let dataset = Dataset::create(to).unwrap();
    let source = Partition::source("mine").unwrap();
    let mut slice: SliceRow = from.rows().unwrap().next().unwrap().unwrap();
    let mut mask: MaskRow = from.rows().unwrap().next().unwrap().unwrap();
    let terms: SourceRow = from.rows().unwrap().next().unwrap().unwrap();
    slice.slice_id = slice_id.unwrap_or(&slice.slice_id).to_string();
    (mask.slice_id, mask.mask_id) = (slice.slice_id.clone(), mask_id.unwrap_or(&mask.mask_id).to_string());
    let build = Shard::new(Stage::Build, source.clone(), ShardKey::new().with("cases", "forged"));
    let mut writer = dataset.begin(&build);
    writer.push(slice).unwrap();
    writer.push(mask).unwrap();
    writer.finish().unwrap();
    let files = Shard::new(Stage::Files, source, ShardKey::new().with("cases", "forged"));
    let mut writer = dataset.begin(&files);
    writer.push(terms).unwrap();
    writer.finish().unwrap();
    commit(&dataset, &[build, files], Verify::Full).unwrap();
}

/// No id of a dataset that others made names a file outside of an export, in whatever form.
#[test]
fn ids_of_a_forged_dataset_lead_nowhere() {
    let place = Place::new(SPEC);
    place.case("a", 1);
    assert_eq!(place.build("raw", "data").status, 0);
    let dataset = Dataset::open(place.path("data")).unwrap();
    let absolute = place.path("escaped/x").display().to_string();
    let long = format!("mine/{}", "a".repeat(300));
    let hostile = [
        "../../../escaped/x",
        &absolute,
        "mine/../../escaped/x",
        r"..\..\escaped\x",
        "C:escaped",
        "mine//x",
        "mine/\u{1b}[2J",
        "",
        ".",
        &long,
    ];
    for (n, id) in hostile.into_iter().enumerate() {
        for (kind, slice, mask) in [("slice", Some(id), None), ("mask", None, Some(id))] {
            let forgery = place.path(&format!("forged-{n}-{kind}"));
            forged(&dataset, &forgery, slice, mask);
            for form in ["pictures", "coco"] {
                if (kind, form) == ("mask", "coco") {
                    continue; // no file is named by a mask
                }
                let out = place.path(&format!("deep/er/{n}-{kind}-{form}"));
                let run = Run::of(medcosmos("export").arg(&forgery).arg("--out").arg(&out).args(["--form", form]));
                run.failed(1, &["the id cannot name a file"]);
                assert!(!run.err.contains(OBEYED), "{:?}", run.err);
                let below = |path: &Path| path.starts_with(&out) || !path.to_string_lossy().contains("escaped");
                let files = walkdir::WalkDir::new(&place.folder).into_iter().flatten();
                files.for_each(|file| assert!(below(file.path()), "{id:?} wrote {}", file.path().display()));
            }
        }
    }
    forged(&dataset, &place.path("sound"), None, None);
    Run::done(medcosmos("export").arg(place.path("sound")).arg("--out").arg(place.path("deep/er/sound")));
}
