//! The command line: help, the commands that only print, and what happens where nobody reads on.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use serde_json::Value;

use crate::program::{Run, medcosmos};
use crate::{phantom, samples};

const COMMANDS: [&str; 19] = [
    "sources", "scan", "verify", "inspect", "build", "leaks", "split", "predict", "import", "evaluate", "trace",
    "licences", "export", "package", "schema", "models", "setup", "run", "demo",
];

/// Two cases of one source: raw folder and dataset, built once.
fn built() -> &'static (std::path::PathBuf, std::path::PathBuf) {
    static BUILT: OnceLock<(std::path::PathBuf, std::path::PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (raw, dataset) = (samples::shared_folder().join("cli-raw"), samples::shared_folder().join("cli-data"));
        (1..=2).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
        phantom::write(&raw.join("notes.txt"), b"not a part of any source");
        Run::done(medcosmos("build").arg(&raw).arg("--quiet").arg("--out").arg(&dataset));
        (raw, dataset)
    })
}

#[test]
fn every_command_explains_itself() {
    let all = Run::done(&mut medcosmos("--help"));
    assert!(all.out.contains("Exit status: 0 success, 1 error, 2 usage error, 3 completed with failed cases."));
    let query: &[&str] = if cfg!(feature = "query") { &["analyze", "query", "report"] } else { &[] };
    for command in COMMANDS.iter().chain(query) {
        assert!(all.out.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not in --help");
        let help = Run::done(medcosmos(command).arg("--help"));
        assert!(help.out.contains(&format!("Usage: medcosmos {command}")), "{}", help.out);
        let brief = Run::done(medcosmos(command).arg("-h"));
        assert!(brief.out.lines().count() >= 5 && brief.err.is_empty(), "{}", brief.out);
    }
    for action in ["list", "show", "check", "cite"] {
        Run::done(medcosmos("sources").args([action, "--help"]));
    }
    let version = Run::done(&mut medcosmos("--version"));
    assert_eq!(version.out, format!("medcosmos {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    for (command, arguments, word) in [
        ("bild", &[][..], "bild"),
        ("build", &["raw"], "--out"),
        ("build", &["raw", "--out", "data", "--intensity", "window:1"], "window:LOW:HIGH"),
        ("build", &["raw", "--out", "data", "--min-area", "many"], "--min-area"),
        ("build", &["raw", "--out", "data", "--raters", "best"], "first, all, majority"),
        ("predict", &["data", "--strategies", "S9"], "S9"),
        ("predict", &["data", "--prompts", "mine"], "[possible values: paper, code]"),
        ("sources", &["show"], "<SLUG>"),
        ("schema", &["--threads", "many"], "many"),
        ("run", &[], "<FILE>"),
        ("demo", &["--out", "here", "--downloads", "there"], "--downloads"),
        ("inspect", &[], "<FILES>"),
    ] {
        Run::of(medcosmos(command).args(arguments)).failed(2, &["error: ", word]);
    }
}

#[test]
fn the_schema_names_every_column() {
    let text = Run::done(&mut medcosmos("schema")).out;
    let markdown = Run::done(medcosmos("schema").arg("--markdown")).out;
    for table in medcosmos::store::Table::ALL {
        assert!(text.contains(&format!("{}: {}", table.name(), table.about())), "{}", table.name());
        assert!(markdown.contains(&format!("### `{}`", table.name())), "{}", table.name());
        for column in table.columns() {
            assert!(text.contains(column.name) && markdown.contains(&format!("| `{}` |", column.name)));
        }
    }
}

#[test]
fn sources_are_listed_shown_and_cited() {
    let list = Run::done(&mut medcosmos("sources"));
    assert_eq!(list.out, Run::done(medcosmos("sources").arg("list")).out);
    let Value::Array(entries) = Run::done(medcosmos("sources").args(["list", "--json"])).json() else {
        panic!("a list was expected")
    };
    assert!(entries.len() >= 10);
    let slug_of = |entry: &Value| entry["slug"].as_str().unwrap().to_string();
    assert!(entries.iter().all(|entry| list.out.contains(&slug_of(entry))));
    // Every seventh page: each is a process of its own.
    for entry in entries.iter().step_by(7) {
        let slug = &slug_of(entry);
        let page = Run::done(medcosmos("sources").args(["show", slug])).out;
        for word in [entry["name"].as_str().unwrap(), entry["licence"].as_str().unwrap()] {
            assert!(page.contains(word), "{word:?} is not on the page of {slug}");
        }
        for word in entry["modalities"].as_array().unwrap() {
            assert!(page.contains(word.as_str().unwrap()), "{word} is not on the page of {slug}");
        }
    }
    let cited = Run::done(medcosmos("sources").args(["cite", "acdc", "drive"])).out;
    assert!(cited.contains("@article{bernard2018acdc") && cited.contains("@article{staal2004drive"), "{cited}");
    assert!(!cited.contains("chaos") && Run::done(medcosmos("sources").arg("cite")).out.len() > cited.len());
    let summary = Run::done(medcosmos("sources").args(["--summary", "--json"])).json();
    assert!(summary.is_object(), "{summary}");

    for action in ["show", "cite"] {
        Run::of(medcosmos("sources").args([action, "acdcc"])).failed(1, &["\"acdcc\"", "did you mean \"acdc\"?"]);
    }
}

#[test]
fn a_check_says_what_each_pattern_matches() {
    let (raw, _) = built();
    let check = Run::done(medcosmos("sources").args(["check", "acdc", "--raw"]).arg(raw)).out;
    assert!(check.contains("2 match") && check.contains("e.g. training/patient001/"), "{check}");
    assert!(check.contains("2 case(s) can be built"), "{check}");
    assert!(check.contains("notes.txt: matches no pattern"), "{check}");
    let other = Run::of(medcosmos("sources").args(["check", "drive", "--raw"]).arg(raw));
    assert_eq!(other.status, 1);
    assert!(
        other.out.contains("not recognised: no release has a match for each of its evidence patterns"),
        "{}",
        other.out
    );
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("dataset_specs/acdc/spec.toml");
    let by_file = Run::done(medcosmos("sources").arg("check").arg(&spec).arg("--raw").arg(raw)).out;
    assert_eq!(by_file, check, "a file and the slug of the same spec");
}

#[test]
fn a_scan_counts_and_names_what_is_left() {
    let (raw, _) = built();
    let report = Run::done(medcosmos("scan").arg(raw).arg("--json")).json();
    let source = &report["sources"][0];
    assert_eq!((&source["source"], &source["cases"]), (&"acdc".into(), &2.into()), "{report}");
    assert_eq!((&report["files_used"], &report["unclaimed"][0]), (&4.into(), &"notes.txt".into()), "{report}");
    let text = Run::done(medcosmos("scan").arg(raw).arg("--files")).out;
    assert!(text.contains("acdc") && text.contains("notes.txt\n      matches no source"), "{text}");

    let nothing = tempfile::tempdir().unwrap();
    let empty = Run::of(medcosmos("scan").arg(nothing.path()));
    assert_eq!(empty.status, 1);
    assert!(empty.out.contains("No known source found in"), "{}", empty.out);
    Run::of(medcosmos("scan").arg(nothing.path().join("gone"))).failed(1, &["gone", "No such file"]);
}

#[test]
fn a_file_is_inspected() {
    let (raw, _) = built();
    let [image, _] = phantom::cardiac_paths(1, 1);
    let file = raw.join(image);
    let Value::Array(found) = Run::done(medcosmos("inspect").arg(&file).arg("--json")).json() else { panic!() };
    assert_eq!(found[0]["size"], serde_json::json!([32, 28, 3, 1]), "{found:?}");
    assert_eq!((&found[0]["dtype"], &found[0]["orientation"]), (&"int16".into(), &"RAS".into()), "{found:?}");
    assert_eq!(found[0]["spacing"], serde_json::json!([1.5, 1.5, 8.0]), "{found:?}");

    let folder = tempfile::tempdir().unwrap();
    let npy = folder.path().join("values.npy");
    Run::done(medcosmos("inspect").arg(&file).arg("--npy").arg(&npy));
    let bytes = std::fs::read(&npy).unwrap();
    let header = String::from_utf8_lossy(&bytes[10..128]).to_string();
    assert!(header.contains("'<i2'") && header.contains("(3,28,32,)"), "{header}");
    let values: Vec<u8> = phantom::image(3).iter().flat_map(|v| v.to_le_bytes()).collect();
    assert!(bytes.ends_with(&values));

    // A file that is none does not keep the others from being shown.
    let run = Run::of(medcosmos("inspect").arg(raw.join("notes.txt")).arg(&file));
    run.failed(1, &["notes.txt"]);
    assert!(run.out.contains("spacing 1.5 x 1.5 x 8 mm"), "{}", run.out);
}

#[cfg(feature = "query")]
#[test]
fn queries_answer_or_say_what_is_wrong() {
    let (_, dataset) = built();
    let query = |sql: &str| {
        let mut program = medcosmos("query");
        program.arg(dataset).arg(sql);
        program
    };
    let count = "SELECT object, count(*) AS masks, max(area_px) AS largest FROM masks GROUP BY object ORDER BY object";
    let text = Run::done(&mut query(count)).out;
    assert!(text.contains("left ventricular myocardium") && text.contains("90"), "{text}");
    let lines = Run::done(query(count).arg("--json")).out;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], serde_json::json!({"object": "left ventricle", "masks": 6, "largest": 99}));

    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("masks.csv");
    Run::done(query(count).arg("--out").arg(&csv));
    let written = std::fs::read_to_string(&csv).unwrap();
    assert_eq!(written.lines().next(), Some("object,masks,largest"));
    assert_eq!(written.lines().count(), 4);

    Run::of(&mut query("SELECT nonsense FROM masks")).failed(1, &["nonsense"]);
    Run::of(&mut query("SELECT * FROM mask")).failed(1, &["mask"]);
    Run::of(&mut query("SELEC 1")).failed(1, &["SQL"]);
    Run::of(&mut query("SELECT * FROM metrics")).failed(1, &["metrics"]);
    Run::of(query(count).arg("--out").arg(folder.path().join("masks.xlsx"))).failed(1, &["masks.xlsx", "csv"]);
    let nowhere = folder.path().join("nowhere");
    Run::of(medcosmos("query").arg(&nowhere).arg(count)).failed(1, &["nowhere"]);
}

#[test]
fn stages_want_a_dataset_with_what_they_work_on() {
    let folder = tempfile::tempdir().unwrap();
    let stages: &[&str] = if cfg!(feature = "query") {
        &["leaks", "split", "predict", "evaluate", "analyze", "report"]
    } else {
        &["leaks", "split", "predict", "evaluate"]
    };
    for stage in stages {
        Run::of(medcosmos(stage).arg(folder.path())).failed(1, &[folder.path().to_str().unwrap()]);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a stage that fails leaves nothing behind");
    let (_, dataset) = built();
    Run::of(medcosmos("predict").arg(dataset).args(["--model", "no-such-model"]))
        .failed(1, &["no-such-model", "medcosmos setup"]);
    Run::of(medcosmos("predict").arg(dataset).args(["--strategies", "S99"])).failed(2, &["S99", "S1 to S"]);
    #[cfg(feature = "query")]
    Run::of(medcosmos("analyze").arg(dataset)).failed(1, &["metrics", "medcosmos evaluate"]);
}

#[test]
fn what_a_dataset_contains_is_cited() {
    let (_, dataset) = built();
    let cited = Run::done(medcosmos("sources").args(["cite", "--dataset"]).arg(dataset)).out;
    assert!(cited.contains("@article{bernard2018acdc") && cited.matches('@').count() == 1, "{cited}");
    let empty = tempfile::tempdir().unwrap();
    Run::of(medcosmos("sources").args(["cite", "--dataset"]).arg(empty.path())).failed(1, &["error: "]);
}

/// `medcosmos … | head`: the reader is gone before all is written.
#[test]
fn a_reader_who_has_seen_enough_is_no_error() {
    let (raw, dataset) = built();
    let mut commands = vec![
        medcosmos("schema"),
        medcosmos("sources"),
        medcosmos("--help"),
        medcosmos("scan"),
        medcosmos("sources"),
        medcosmos("inspect"),
    ];
    commands[1].arg("cite");
    commands[3].arg(raw);
    commands[4].args(["list", "--json"]);
    commands[5].arg(raw.join(&phantom::cardiac_paths(1, 1)[0]));
    #[cfg(feature = "query")]
    for format in [&[][..], &["--json"]] {
        let mut query = medcosmos("query");
        query.arg(dataset).arg("SELECT * FROM masks").args(format);
        commands.push(query);
    }
    let _ = dataset;
    for command in &mut commands {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(process.stdout.take()); // closed before the first byte
        let mut err = String::new();
        process.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((process.wait().unwrap().code(), err.as_str()), (Some(0), ""), "{command:?}");
    }
}

/// An address is no folder called `s3:`.
#[test]
fn what_is_written_and_imported_is_on_this_host() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        &["export", "data", "--out", "s3://bucket/x"][..],
        &["package", "data", "--out", "s3://bucket/x"],
        &["report", "data", "--out", "s3://bucket/x.html"],
        &["query", "data", "SELECT 1", "--out", "s3://bucket/x.csv"],
        &["demo", "--out", "s3://bucket/x"],
        &["demo", "--downloads", "s3://bucket/x"],
        &["import", "data", "s3://bucket/x", "--model", "x"],
    ] {
        let run = Run::of(medcosmos(words[0]).args(&words[1..]).current_dir(folder.path()));
        run.failed(2, &["s3://bucket/x", "a path on this host"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{words:?}");
    }
}
