//! All that `predict` can be asked for beside the plain strategies, on a few of the authors' slices: everything mode,
//! moved prompts, clicks, chosen masks, kept embeddings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use medcosmos::store::{Dataset, MetricRow, PredictionRow, Projection};

use crate::program::{Run, assert_same, files_of, medcosmos};
use crate::samples;

fn rows<R: Projection>(dataset: &Path) -> Vec<R> {
    Dataset::open(dataset).unwrap().rows().unwrap().collect::<Result<_, _>>().unwrap()
}

/// A dataset of the released slices, and what the model is called on the command line.
fn dataset(out: &Path) -> Option<String> {
    let (raw, models) = (samples::folder("cosmos")?, samples::beside("models")?);
    if let Err(error) = medcosmos::models::sam::Runtime::load() {
        samples::skip(error);
        return None;
    }
    Run::done(medcosmos("build").arg(raw).arg("--out").arg(out).arg("--quiet"));
    Some(models.to_str().unwrap().to_string())
}

fn predict(dataset: &Path, model: &str, options: &str) -> serde_json::Value {
    let mut program = medcosmos("predict");
    Run::done(program.arg(dataset).args(["--quiet", "--json", "--model", model]).args(options.split_whitespace()))
        .json()
}

#[test]
fn every_pass_whatever_the_threads_and_the_order() {
    const ALL: &str = "--strategies S1,S2,S3,S4,S5,S6 --grid 4 --min-iou 0.5 --min-stability 0.5 --jitter 10-20 --seeds 4,7 \
                       --clicks 3 --keep-embeddings --limit 2";
    let folder = tempfile::tempdir().unwrap();
    let [at_once, in_turn, killed] = ["at-once", "in-turn", "killed"].map(|name| folder.path().join(name));
    let Some(model) = dataset(&at_once) else { return };
    dataset(&in_turn).unwrap();
    dataset(&killed).unwrap();
    predict(&at_once, &model, &format!("{ALL} --threads 1"));
    // In another order: one strategy first, the rest later with the embeddings that are there by then.
    predict(&in_turn, &model, "--strategies S5 --keep-embeddings --limit 2");
    let kept = walkdir::WalkDir::new(in_turn.join(".medcosmos/embeddings")).into_iter().flatten();
    assert_eq!(kept.filter(|e| e.file_type().is_file()).count(), 2, "an embedding for each slice");
    let report = predict(&in_turn, &model, &format!("{ALL} --threads 2"));
    assert_eq!(report["shards_reused"], 1, "S5 was done: {report}");
    assert_same(&at_once, &in_turn);
    // Killed while it computes, and started again.
    let mut program = medcosmos("predict");
    program.arg(&killed).args(["--quiet", "--model", &model]).args(ALL.split_whitespace());
    let mut process = program.stdout(Stdio::null()).spawn().unwrap();
    let kept = killed.join(".medcosmos/embeddings");
    while process.try_wait().unwrap().is_none() && !kept.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    process.kill().unwrap();
    assert!(!process.wait().unwrap().success(), "it was killed");
    predict(&killed, &model, ALL);
    assert_same(&at_once, &killed);

    let predictions: Vec<PredictionRow> = rows(&at_once);
    let masks: BTreeSet<&str> = predictions.iter().map(|p| p.mask_id.as_str()).collect();
    let slices: BTreeSet<&str> = predictions.iter().map(|p| p.slice_id.as_str()).collect();
    assert_eq!(slices.len(), 2);
    // Each mask has one or two candidates under every strategy and variant.
    let mut counts: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    for row in &predictions {
        *counts.entry((&row.strategy, &row.variant)).or_default().entry(&row.mask_id).or_default() += 1;
    }
    let moved = ["S2", "S3", "S4", "S5", "S6"].map(|s| [(s, ""), (s, "jitter10-20/seed4"), (s, "jitter10-20/seed7")]);
    let clicks = ["click01", "click02", "click03"].map(|click| ("clicks", click));
    let expected: BTreeSet<(&str, &str)> = moved.concat().into_iter().chain(clicks).chain([("S1", "")]).collect();
    assert_eq!(counts.keys().copied().collect::<BTreeSet<_>>(), expected);
    for (pass, of_mask) in &counts {
        assert_eq!(of_mask.keys().copied().collect::<BTreeSet<_>>(), masks, "{pass:?}");
        assert!(of_mask.values().all(|n| (1..=2).contains(n)), "{pass:?}: {of_mask:?}");
    }
    for row in &predictions {
        let (points, boxed) = (row.point_labels.len(), row.r#box.is_some());
        let prompt = match row.strategy.as_str() {
            "S1" => (0, false),
            "S2" => (1, false),
            "S3" => (5, false),
            "S4" => (10, false),
            "S5" => (0, true),
            "S6" => (1, true),
            _ => (row.variant[5..].parse().unwrap(), false),
        };
        assert_eq!((points, boxed), prompt, "{} {} {}", row.mask_id, row.strategy, row.variant);
    }
    let good = |p: &PredictionRow| p.strategy == "S1" && p.stability.is_some_and(|s| s > 0.5);
    assert!(predictions.iter().any(good), "everything mode finds something");

    Run::done(medcosmos("evaluate").arg(&at_once).arg("--quiet"));
    let metrics: Vec<MetricRow> = rows(&at_once);
    assert_eq!(metrics.len(), masks.len() * expected.len() * 2, "oracle and score, side by side");
    let mean = |variant: &str| {
        let of = metrics
            .iter()
            .filter(|m| m.variant == variant && m.choice.name() == "oracle")
            .map(|m| m.values.get("dice").unwrap());
        of.clone().sum::<f64>() / of.count() as f64
    };
    println!("Dice after one, two and three clicks: {:?}", ["click01", "click02", "click03"].map(mean));
}

#[test]
fn masks_are_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let built = folder.path().join("built");
    let Some(_) = dataset(&built) else { return };
    // Each selection in a copy of its own: they add up in one dataset.
    let chosen = |options: &[&str]| -> BTreeSet<String> {
        let data = folder.path().join(options.join(" ").replace(' ', "_") + "-data");
        let copied = std::process::Command::new("cp").arg("-r").arg(&built).arg(&data).status().unwrap();
        assert!(copied.success());
        Run::done(medcosmos("predict").arg(&data).args(["--quiet", "--model", "otsu-box"]).args(options));
        rows::<PredictionRow>(&data).into_iter().map(|p| p.mask_id).collect()
    };
    let all = chosen(&[]);
    assert_eq!(all.len(), 56);
    let (small, large) = (chosen(&["--sample", "2"]), chosen(&["--sample", "5"]));
    assert_eq!((small.len(), large.len()), (8, 20), "of each of four targets");
    assert!(small.is_subset(&large) && large.is_subset(&all));
    assert_ne!(small, chosen(&["--sample", "2", "--sample-seed", "1"]));
    #[cfg(feature = "query")]
    {
        let names = chosen(&["--where", "object = 'right ventricle'"]);
        assert!(names.len() == 12 && names.iter().all(|id| id.ends_with("/right_ventricle")), "{names:?}");
        let mut program = medcosmos("predict");
        program.arg(&built).args(["--model", "otsu-box", "--where", "objekt = 'liver'"]);
        Run::of(&mut program).failed(1, &["the condition", "objekt"]);
    }
    let mut program = medcosmos("predict");
    Run::of(program.arg(&built).args(["--model", "otsu-box", "--limit", "0"]))
        .failed(1, &["no mask matches the selection"]);
}

/// The model's passes add to one another, and what one has is not asked of the model again.
#[test]
fn passes_and_selections_of_sam_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let [at_once, in_turn] = ["at-once", "in-turn"].map(|name| folder.path().join(name));
    let Some(model) = dataset(&at_once) else { return };
    dataset(&in_turn).unwrap();
    let report = predict(&at_once, &model, "--strategies S2,S5 --clicks 2 --limit 3");
    assert_eq!((&report["slices"], &report["slices_reused"]), (&3.into(), &0.into()));
    predict(&in_turn, &model, "--strategies S5 --limit 1");
    predict(&in_turn, &model, "--strategies S2 --limit 2");
    predict(&in_turn, &model, "--strategies S5 --clicks 2 --limit 3");
    let report = predict(&in_turn, &model, "--strategies S2,S5 --clicks 2 --limit 3");
    assert_eq!((&report["slices"], &report["slices_reused"]), (&1.into(), &2.into()), "S2 on the third");
    assert_same(&at_once, &in_turn);
    let before = files_of(&in_turn);
    let report = predict(&in_turn, &model, "--clicks 2 --limit 2");
    assert_eq!(report["slices"], 0, "{report}");
    assert_eq!(files_of(&in_turn), before);
    let key = Dataset::open(&in_turn).unwrap().receipts().unwrap().into_iter().find_map(|receipt| {
        let runtime = receipt.key.get("runtime")?;
        Some(runtime.to_string())
    });
    assert!(key.is_some_and(|runtime| runtime.contains("git-commit-id=")), "the build of ONNX Runtime");
    // Kept embeddings are rounded, so they are another setting.
    let mut program = medcosmos("predict");
    program.arg(&in_turn).args(["--model", &model, "--keep-embeddings", "--limit", "1"]);
    Run::of(&mut program).failed(1, &["embeddings f32 -> f16", "--replace"]);
}

#[test]
fn kept_embeddings_change_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(model) = dataset(&data) else { return };
    let options = "--strategies S2,S5 --keep-embeddings --limit 1 --keep-candidates";
    predict(&data, &model, options);
    let first = files_of(&data);
    let cache = data.join(".medcosmos/embeddings");
    std::fs::remove_dir_all(data.join("predictions")).unwrap();
    std::fs::remove_dir_all(data.join("receipts/predict")).unwrap();
    predict(&data, &model, options);
    assert_eq!(files_of(&data), first, "from kept embeddings");
    std::fs::remove_dir_all(cache).unwrap();
    std::fs::remove_dir_all(data.join("predictions")).unwrap();
    std::fs::remove_dir_all(data.join("receipts/predict")).unwrap();
    predict(&data, &model, options);
    assert_eq!(files_of(&data), first, "from new ones");
    let candidates: Vec<u32> = rows::<PredictionRow>(&data).iter().map(|p| p.candidate).collect();
    assert!(candidates.contains(&0) && candidates.contains(&1) && candidates.contains(&2), "{candidates:?}");
}

#[test]
fn models_that_do_not_work_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(model) = dataset(&data) else { return };
    let refused = |model: &Path, words: &[&str]| {
        Run::of(medcosmos("predict").arg(&data).arg("--model").arg(model)).failed(1, words);
    };
    refused(Path::new("no-such-model"), &["no model `no-such-model`", "medcosmos setup"]);
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for file in ["mobile_sam.encoder.onnx", "mobile_sam.decoder.onnx"] {
        std::fs::copy(Path::new(&model).join(file), copy.join(file)).unwrap();
    }
    let decoder = copy.join("mobile_sam.decoder.onnx");
    let mut bytes = std::fs::read(&decoder).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&decoder, bytes).unwrap();
    refused(&copy, &["mobile_sam.decoder.onnx", "sha256 is", "damaged or belongs to another model"]);

    // No runtime at all, and a file that is none.
    let run = |variable: &str, value: &Path| {
        let mut program = medcosmos("predict");
        program.arg(&data).args(["--model", &model]).env_remove("ORT_DYLIB_PATH");
        program.env("MEDCOSMOS_CACHE", folder.path()).env("PATH", folder.path()).env(variable, value);
        Run::of(&mut program)
    };
    run("HOME", folder.path()).failed(1, &["ONNX Runtime not found", "medcosmos setup"]);
    run("ORT_DYLIB_PATH", &decoder).failed(1, &["not an ONNX Runtime library"]);
}
