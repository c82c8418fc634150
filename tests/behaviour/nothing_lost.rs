//! More work adds and never takes away, and whatever happens to single files, every stage can still run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::store::Dataset;
use tempfile::TempDir;

use crate::phantom;
use crate::program::{Run, assert_same, files_of, medcosmos};

/// A dataset that has been through all stages.
struct Study {
    folder: TempDir,
}

/// Options that every stage of a study is run with.
const OPTIONS: [(&str, &[&str]); 5] = [
    ("build", &["--source", "acdc", "--source", "msd"]),
    ("leaks", &[]),
    ("split", &["--folds", "2"]),
    ("predict", &["--model", "otsu-box"]),
    ("evaluate", &[]),
];

impl Study {
    fn new() -> Self {
        let study = Study { folder: tempfile::tempdir().unwrap() };
        (1..=3).for_each(|patient| phantom::cardiac_case(&study.raw(), patient, 1));
        (1..=2).for_each(|number| phantom::spleen_case(&study.raw(), number));
        OPTIONS.iter().for_each(|(stage, _)| _ = study.done(stage, &[]));
        study
    }

    fn raw(&self) -> PathBuf {
        self.folder.path().join("raw")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs a stage with the options of the study and more.
    fn run(&self, stage: &str, more: &[&str]) -> Run {
        let mut program = medcosmos(stage);
        if stage == "build" {
            program.arg(self.raw()).arg("--out");
        }
        program.arg(self.data()).arg("--quiet");
        let options = OPTIONS.iter().find(|(name, _)| *name == stage).map_or(&[][..], |(_, options)| options);
        // `--fractions` takes the place of `--folds`.
        if !more.contains(&"--fractions") {
            program.args(options);
        }
        Run::of(program.args(more))
    }

    fn done(&self, stage: &str, more: &[&str]) -> Run {
        let run = self.run(stage, more);
        assert_eq!(run.status, 0, "{stage} {more:?}: {}{}", run.out, run.err);
        run
    }

    fn all(&self) {
        OPTIONS.iter().for_each(|(stage, _)| _ = self.done(stage, &[]));
    }
}

#[test]
fn other_options_are_refused_until_they_are_to_replace() {
    let study = Study::new();
    let before = files_of(&study.data());
    for (stage, options, words) in [
        ("build", &["--min-area", "60"][..], &["masks (", "metrics (", "splits (", "min_area: 50 before, 60 now"][..]),
        ("evaluate", &["--nsd-tolerance-mm", "4"], &["metrics (", "nsd_tolerance_mm"]),
        ("split", &["--seed", "9"], &["splits (", "seed: 0 before, 9 now"]),
        ("split", &["--fractions", "a=0.5,b=0.5"], &["splits ("]),
        ("leaks", &["--image-similarity", "0.5"], &["splits (", "picture: 0.8 before"]),
    ] {
        let run = study.run(stage, options);
        run.failed(1, words);
        run.failed(1, &["--replace"]);
        assert_eq!(files_of(&study.data()), before, "{stage} {options:?} was refused and changed files");
    }
    // What is replaced is counted, for programs too.
    let rows = |table: &str| {
        Dataset::open(study.data())
            .unwrap()
            .files(table.parse().unwrap())
            .unwrap()
            .iter()
            .map(|f| f.file.rows)
            .sum::<u64>()
    };
    for (stage, options, tables) in [
        ("evaluate", &["--nsd-tolerance-mm", "4"][..], &["metrics"][..]),
        ("split", &["--seed", "9"], &["splits"]),
        ("build", &["--min-area", "60"], &["cases", "masks", "slices"]),
    ] {
        let expected: BTreeMap<&str, u64> = tables.iter().map(|table| (*table, rows(table))).collect();
        let run = study.done(stage, &[options, &["--replace", "--json"]].concat());
        assert_eq!(run.json()["outdated"]["replaced"], serde_json::json!(expected), "{stage}");
        let run = study.done(stage, &["--replace"]);
        assert!(
            run.out.contains("Removed by --replace, because") && run.out.contains(tables[0]),
            "{stage}: {}",
            run.out
        );
        study.all();
    }
    // What is replaced, and what follows from it, is said. The predictions come back with the masks.
    let run = study.done("build", &["--min-area", "60", "--replace"]);
    for words in ["Removed, because", "metrics (", "splits (", "leaks", "Set aside", "Taken in again"] {
        assert!(run.out.contains(words), "{words}: {}", run.out);
    }
    study.done("build", &["--replace"]);
    study.all();
    assert_eq!(files_of(&study.data()), before);
}

#[test]
fn one_command_writes_and_others_read() {
    let study = Study::new();
    let before = files_of(&study.data());
    let lock = Dataset::open(study.data()).unwrap().lock().unwrap();
    let process = format!("process {} on ", std::process::id());
    for (stage, _) in OPTIONS {
        study.run(stage, &[]).failed(1, &["another medcosmos is writing to this dataset", &process]);
    }
    Run::of(medcosmos("verify").arg(study.data()).args(["--repair", "--apply"])).failed(1, &[&process]);
    assert_eq!(files_of(&study.data()), before);
    for reader in ["verify", "licences", "analyze", "report"] {
        Run::done(medcosmos(reader).arg(study.data()).current_dir(study.folder.path()));
    }
    drop(lock);
    study.all();
}

/// Ways in which a file can be spoilt, noticed by its size.
fn spoil(path: &Path, way: usize) {
    let content = fs::read(path).unwrap();
    match way % 4 {
        0 => fs::remove_file(path).unwrap(),
        1 => fs::write(path, b"").unwrap(),
        2 => fs::write(path, &content[..content.len() / 2]).unwrap(),
        _ => fs::write(path, [&content[..], b"more"].concat()).unwrap(),
    }
}

#[test]
fn any_file_that_is_lost_or_cut_is_made_again() {
    let study = Study::new();
    let before = files_of(&study.data());
    // Of every table and of the receipts of every stage the first and the last file, and the manifest.
    let mut kinds: BTreeMap<Vec<&str>, Vec<&String>> = BTreeMap::new();
    for path in before.keys().filter(|path| *path != "dataset.json") {
        let parts = if path.starts_with("receipts/") { 2 } else { 1 };
        kinds.entry(path.split('/').take(parts).collect()).or_default().push(path);
    }
    assert!(kinds.len() > 15, "{kinds:?}");
    for (way, path) in kinds.values().flat_map(|paths| [paths[0], paths[paths.len() - 1]]).enumerate() {
        spoil(&study.data().join(path), way);
        study.all();
        assert_eq!(files_of(&study.data()), before, "{path}, way {}", way % 4);
    }
}

/// Of every table, of the receipts of every stage and of the folders above both one path, with the two files at the top.
fn places(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut kinds: BTreeMap<(Vec<&str>, usize), &str> = BTreeMap::new();
    for path in files.keys() {
        let parts: Vec<&str> = path.split('/').collect();
        for depth in 1..=parts.len() {
            let kind = if path.starts_with("receipts/") { 2 } else { 1 };
            let end = parts[..depth].iter().map(|part| part.len() + 1).sum::<usize>() - 1;
            kinds.entry((parts[..kind.min(depth)].to_vec(), depth)).or_insert(&path[..end]);
        }
    }
    kinds.into_values().map(String::from).collect()
}

#[test]
fn a_folder_in_the_place_of_a_file_stops_nothing_halfway_and_is_moved_aside() {
    let study = Study::new();
    let before = files_of(&study.data());
    let places = places(&before);
    assert!(places.len() > 40, "{places:?}");
    const ROUNDS: usize = 14;
    for round in 0..ROUNDS {
        let mut taken: Vec<&String> = places.iter().skip(round).step_by(ROUNDS).collect();
        let all = taken.clone();
        taken.retain(|path| !all.iter().any(|other| path.starts_with(&format!("{other}/"))));
        let dear: Vec<PathBuf> = taken.iter().map(|path| occupy(&study.data().join(path))).collect();
        // One stage after the other, and each time another first.
        for (stage, _) in OPTIONS.iter().cycle().skip(round).take(OPTIONS.len()) {
            let run = study.run(stage, &[]);
            if run.status != 0 {
                run.failed(1, &["expected a f", "found a f", "--repair --apply"]);
                assert!(taken.iter().any(|path| run.err.contains(&format!("{path}: "))), "{taken:?}: {}", run.err);
            }
        }
        let verify = |options: &[&str]| Run::of(medcosmos("verify").arg(study.data()).args(options));
        let report = verify(&["--json"]);
        let found = report.json()["kinds"]["in-the-way"][0].as_u64();
        assert_eq!((report.status, found), (1, Some(taken.len() as u64)), "{taken:?}");
        let plan = verify(&["--repair"]);
        assert!(
            plan.status == 1 && plan.out.contains("In the way, to be moved"),
            "{taken:?}: {}{}",
            plan.out,
            plan.err
        );
        assert!(dear.iter().all(|dear| fs::read_to_string(dear).unwrap() == "precious"), "{taken:?}");
        Run::done(medcosmos("verify").arg(study.data()).args(["--repair", "--apply"]));
        let aside = files_of(&study.data().join(".medcosmos/aside"));
        for path in &taken {
            assert!(aside.keys().any(|kept| kept.starts_with(path.as_str())), "{path}: {aside:?}");
        }
        fs::remove_dir_all(study.data().join(".medcosmos/aside")).unwrap();
        study.all();
        assert_eq!(files_of(&study.data()), before, "{taken:?}");
    }
}

/// Puts a folder in the place of a file, with a file that is dear to somebody, or such a file in the place of a folder.
/// Returns the file.
fn occupy(place: &Path) -> PathBuf {
    let dear = if place.is_file() {
        fs::remove_file(place).unwrap();
        fs::create_dir(place).unwrap();
        place.join("thesis.txt")
    } else {
        fs::remove_dir_all(place).unwrap();
        place.to_path_buf()
    };
    fs::write(&dear, "precious").unwrap();
    dear
}

#[test]
fn stages_do_not_mind_damage_that_is_no_concern_of_theirs() {
    let study = Study::new();
    let before = files_of(&study.data());
    let receipt = |stage: &str| {
        let of_stage = |path: &&String| path.starts_with(&format!("receipts/{stage}/"));
        before.keys().find(of_stage).unwrap().clone()
    };
    for foreign in ["receipts/.DS_Store", "receipts/build/.DS_Store", "masks/.DS_Store", "masks/source=acdc/notes.txt"]
    {
        fs::write(study.data().join(foreign), b"\0\0\0\x01Bud1").unwrap();
    }
    // What each stage reads; the receipts of all others may be gone.
    for (stage, reads) in [
        ("build", &["build", "files"][..]),
        ("predict", &["build", "predict"]),
        ("evaluate", &["build", "predict", "evaluate", "factors"]),
        ("leaks", &["build", "leaks"]),
        ("split", &["build", "leaks", "split"]),
    ] {
        let others = ["build", "files", "leaks", "split", "predict", "factors", "evaluate"];
        let others: Vec<String> = others.iter().filter(|other| !reads.contains(other)).map(|s| receipt(s)).collect();
        for (n, other) in others.iter().enumerate() {
            spoil(&study.data().join(other), n);
        }
        study.done(stage, &[]);
        study.all();
    }
    let mut after = files_of(&study.data());
    after.retain(|path, _| !path.ends_with(".DS_Store") && !path.ends_with("notes.txt"));
    assert_eq!(after, before);
    let repair = Run::of(medcosmos("verify").arg(study.data()).args(["--repair"]));
    assert!(repair.out.contains("Files that medcosmos did not write"), "{}", repair.out);
}

#[test]
fn readers_take_what_is_committed_and_nothing_else() {
    let study = Study::new();
    let manifest = study.data().join("manifest.json");
    let count = |table: &str| {
        let sql = format!("SELECT count(*) AS n, count(DISTINCT mask_id) AS d FROM {table}");
        Run::done(medcosmos("query").arg(study.data()).args([&sql, "--json"])).out
    };
    let tables = ["masks", "predictions", "metrics", "factors"];
    let before = tables.map(count);
    let analysis = Run::done(medcosmos("analyze").arg(study.data())).out;
    let committed = fs::read(&manifest).unwrap();
    // As killed runs leave it: shards of other options, finished, in no manifest.
    study.done("build", &["--min-area", "60", "--replace"]);
    study.done("predict", &["--replace", "--prompts", "code"]);
    study.done("evaluate", &["--nsd-tolerance-px", "7", "--replace"]);
    study.done("build", &["--replace"]);
    // The predictions of the last run came back with their masks.
    study.done("predict", &["--replace"]);
    study.all();
    assert_eq!(fs::read(&manifest).unwrap(), committed);
    let leftover = |table: &str, folder: &str| {
        let folder = study.data().join(table).join(folder);
        let any = fs::read_dir(&folder).unwrap().flatten().next().unwrap();
        fs::copy(any.path(), folder.join("0123456789abcdef.parquet")).unwrap();
    };
    ["masks", "factors"].iter().for_each(|table| leftover(table, "source=acdc"));
    ["predictions", "metrics"].iter().for_each(|table| leftover(table, "model=otsu-box/source=acdc"));
    assert_eq!(tables.map(count), before);
    assert_eq!(Run::done(medcosmos("analyze").arg(study.data())).out, analysis);
}

#[test]
fn analyses_lie_side_by_side_and_say_what_is_partial() {
    let study = Study::new();
    Run::done(medcosmos("analyze").arg(study.data()).arg("--quiet"));
    let dice = files_of(&study.data().join("analysis"));
    Run::done(medcosmos("analyze").arg(study.data()).args(["--quiet", "--metric", "hd95"]));
    Run::done(medcosmos("analyze").arg(study.data()).args(["--quiet", "--include-excluded"]));
    let after = files_of(&study.data().join("analysis"));
    assert!(dice.iter().all(|(path, digest)| after.get(path) == Some(digest)));
    for folder in ["hd95", "dice_with_excluded"] {
        assert!(after.keys().any(|path| path.starts_with(&format!("{folder}/"))), "{after:?}");
    }
    // A part of the masks is said to be one.
    let small = Study { folder: tempfile::tempdir().unwrap() };
    (1..=3).for_each(|patient| phantom::cardiac_case(&small.raw(), patient, 1));
    small.done("build", &[]);
    small.done("predict", &["--limit", "2"]);
    small.done("evaluate", &[]);
    let analysis = Run::done(medcosmos("analyze").arg(small.data())).out;
    assert!(analysis.contains("Only a part of the masks has metrics"), "{analysis}");
    assert!(analysis.contains("otsu-box S5: 6 of 27 masks"), "{analysis}");
    let page = small.folder.path().join("page.html");
    Run::done(medcosmos("report").arg(small.data()).arg("--out").arg(&page));
    assert!(fs::read_to_string(page).unwrap().contains("Only a part of the masks has metrics: otsu-box S5"));
    let whole = Run::done(medcosmos("analyze").arg(study.data())).out;
    assert!(!whole.contains("Only a part"), "{whole}");
}

#[cfg(feature = "query")]
#[test]
fn damaged_and_outdated_analyses_are_found_and_made_again() {
    let study = Study::new();
    let analyze = |options: &[&str]| Run::done(medcosmos("analyze").arg(study.data()).arg("--quiet").args(options));
    let analyze_all = || [&[][..], &["--metric", "hd95"], &["--signed-intensity"]].map(analyze);
    let verify = || Run::of(medcosmos("verify").arg(study.data()));
    analyze_all();
    let sound = verify();
    assert!(sound.status == 0 && !sound.out.contains("analysis"), "{}", sound.out);
    let before = files_of(&study.data());
    let files: Vec<&String> = before.keys().filter(|path| path.starts_with("analysis/")).collect();
    assert!(files.len() > 40, "{files:?}");
    for (n, path) in
        files.iter().enumerate().step_by(11).chain(files.iter().enumerate().filter(|f| f.1.ends_with(".json")))
    {
        let file = study.data().join(path);
        let size = fs::metadata(&file).unwrap().len() as usize;
        match n % 3 {
            0 if !path.ends_with(".json") => flip(&file, size / 2),
            1 if !path.ends_with(".json") => fs::remove_file(&file).unwrap(),
            _ => fs::write(&file, &fs::read(&file).unwrap()[..size / 2]).unwrap(),
        }
        let run = verify();
        assert_eq!(run.status, 1, "{path}: {}", run.out);
        assert!(run.out.contains(&format!("{path}: ")) && run.out.contains("run `medcosmos analyze "), "{}", run.out);
        analyze_all();
        assert_eq!(files_of(&study.data()), before, "{path}");
    }
    // What is not ours is a remark, and so is what later work outdates.
    fs::write(study.data().join("analysis/notes.txt"), "mine").unwrap();
    fs::create_dir_all(study.data().join("analysis/plots/2025")).unwrap();
    fs::write(study.data().join("analysis/plots/2025/plot.svg"), "mine").unwrap();
    study.done("evaluate", &["--nsd-tolerance-mm", "4", "--replace"]);
    let run = verify();
    assert_eq!(run.status, 0, "{}", run.out);
    for words in [
        "analysis/notes.txt: not listed",
        "analysis/plots/2025: not listed",
        "analysis/hd95/analysis.json: made from other tables",
        "--metric hd95` again",
        "--signed-intensity` again",
    ] {
        assert!(run.out.contains(words), "{words}: {}", run.out);
    }
    // A report never shows numbers of a kept analysis that is damaged.
    study.done("evaluate", &["--replace"]);
    analyze_all();
    let report = || {
        let page = study.folder.path().join("page.html");
        Run::done(medcosmos("report").arg(study.data()).arg("--out").arg(&page));
        fs::read(page).unwrap()
    };
    let page = report();
    let kept = study.data().join(".medcosmos/analyses/default");
    for part in 1..20 {
        let size = fs::metadata(&kept).unwrap().len() as usize;
        flip(&kept, size * part / 20);
    }
    assert!(report() == page, "the page differs");
}

#[cfg(unix)]
#[test]
fn a_linked_scratch_folder_is_no_way_out_of_the_dataset() {
    let study = Study::new();
    let victim = study.folder.path().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join(".tmpthesis"), "precious").unwrap();
    fs::write(victim.join("thesis.txt"), "precious").unwrap();
    let scratch = study.data().join(".medcosmos/scratch");
    fs::remove_dir_all(&scratch).unwrap();
    std::os::unix::fs::symlink(&victim, &scratch).unwrap();
    Run::done(medcosmos("verify").arg(study.data()));
    study.run("evaluate", &[]).failed(1, &["scratch", "a symbolic link", "remove it"]);
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 2);
    fs::remove_file(&scratch).unwrap();
    study.all();
}

#[test]
fn a_new_case_moves_only_its_own_shard() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, fresh) = (folder.path().join("raw"), folder.path().join("data"), folder.path().join("fresh"));
    (1..=120).filter(|n| n % 7 != 0).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
    let build = |to: &Path| {
        let mut program = medcosmos("build");
        Run::done(program.arg(&raw).args(["--quiet", "--json", "--source", "acdc", "--out"]).arg(to)).json()
    };
    let shards = build(&data)["shards_done"].as_u64().unwrap();
    assert!(shards > 2, "{shards}");
    Run::done(medcosmos("predict").arg(&data).args(["--model", "otsu-box", "--quiet"]));
    phantom::cardiac_case(&raw, 63, 1);
    let grown = build(&data);
    let done = grown["shards_done"].as_u64().unwrap();
    assert!(done <= 2 && grown["shards_reused"].as_u64().unwrap() + 1 >= shards, "{grown}");
    let report = Run::done(medcosmos("predict").arg(&data).args(["--model", "otsu-box", "--quiet", "--json"])).json();
    assert_eq!(report["slices"], phantom::SIZE[2] as u64, "only the slices of the new case: {report}");
    build(&fresh);
    Run::done(medcosmos("predict").arg(&fresh).args(["--model", "otsu-box", "--quiet"]));
    assert_same(&data, &fresh);
}

/// Changes one bit of a file.
fn flip(path: &Path, at: usize) {
    let mut content = fs::read(path).unwrap();
    content[at] ^= 1;
    fs::write(path, content).unwrap();
}

#[test]
fn a_changed_bit_in_a_receipt_is_noticed_and_mended() {
    let study = Study::new();
    let before = files_of(&study.data());
    let receipts = before.keys().filter(|path| path.starts_with("receipts/"));
    let mut folders: BTreeMap<&str, &String> = BTreeMap::new();
    for path in receipts {
        folders.insert(path.split('/').nth(1).unwrap(), path);
    }
    for path in folders.values() {
        let size = fs::metadata(study.data().join(path)).unwrap().len() as usize;
        for at in (1..size - 1).step_by(size / 9) {
            flip(&study.data().join(path), at);
            // A repair writes it anew where it can; its stage does the rest.
            Run::done(medcosmos("verify").arg(study.data()).args(["--quiet", "--repair", "--apply"]));
            study.all();
            assert_eq!(files_of(&study.data()), before, "{path}, byte {at}");
            flip(&study.data().join(path), at);
            study.all();
            assert_eq!(files_of(&study.data()), before, "{path}, byte {at}, without a repair");
        }
    }
}

#[test]
fn dataset_json_is_restored_from_the_manifest() {
    let study = Study::new();
    let before = files_of(&study.data());
    for way in 0..3 {
        spoil(&study.data().join("dataset.json"), way);
        for reader in ["verify", "licences"] {
            Run::done(medcosmos(reader).arg(study.data()));
        }
        study.all();
        assert_eq!(files_of(&study.data()), before, "way {way}");
    }
}

#[test]
fn what_is_no_dataset_or_not_yet_one_is_told_with_what_to_do() {
    let study = Study::new();
    let verify = |path: &Path, options: &[&str]| Run::of(medcosmos("verify").arg(path).args(options));
    // The first build is running, or was interrupted.
    let begun = study.folder.path().join("begun");
    Dataset::create(&begun).unwrap();
    let page = study.folder.path().join("page.html");
    if cfg!(feature = "query") {
        let query = Run::of(medcosmos("query").arg(&begun).arg("SELECT * FROM masks"));
        query.failed(1, &["no tables yet", "`medcosmos build` is running, or was interrupted"]);
        Run::of(medcosmos("analyze").arg(&begun)).failed(1, &["no tables yet"]);
        Run::of(medcosmos("report").arg(&begun).arg("--out").arg(&page));
    }
    // Another folder.
    let other = study.folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let run = verify(&other, &[]);
    assert!(run.out.contains("no dataset.json either, so the files were checked as downloads"), "{}", run.out);
    verify(&other, &["--repair"]).failed(1, &["--repair requires a dataset"]);
    // A dataset of which only tables and receipts are left.
    let before = files_of(&study.data());
    for file in ["dataset.json", "manifest.json"] {
        fs::remove_file(study.data().join(file)).unwrap();
    }
    for options in [&[][..], &["--repair", "--apply"]] {
        let run = verify(&study.data(), options);
        run.failed(1, &["holds receipts of a dataset", "dataset.json", "--repair --apply"]);
    }
    let head = r#"{"schema_version": 5}"#;
    assert!(verify(&study.data(), &[]).err.contains(head));
    fs::write(study.data().join("dataset.json"), head).unwrap();
    Run::done(medcosmos("verify").arg(study.data()).args(["--repair", "--apply"]));
    study.all();
    let (mut after, mut before) = (files_of(&study.data()), before);
    [&mut after, &mut before].iter_mut().for_each(|files| drop(files.remove("dataset.json")));
    assert_eq!(after, before);
}

#[test]
fn a_build_names_the_cases_that_it_no_longer_finds() {
    let study = Study::new();
    for path in phantom::cardiac_paths(2, 1) {
        fs::remove_file(study.raw().join(path)).unwrap();
    }
    let run = study.done("build", &[]);
    assert!(run.out.contains("No longer in the dataset") && run.out.contains("acdc/patient002_frame01"), "{}", run.out);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_hangs_nothing() {
    let study = Study::new();
    let digests = study.data().join(".medcosmos/digests");
    fs::remove_file(&digests).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&digests).status().unwrap().success());
    std::os::unix::fs::symlink("/proc/self", study.raw().join("self")).unwrap();
    std::os::unix::fs::symlink("/", study.raw().join("root")).unwrap();
    study.done("build", &[]);
}
