//! The report: the numbers on the page are those of the analysis, it loads nothing, and it says what is missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::phantom;
use crate::program::{Run, medcosmos};

/// A dataset of two patients, as `build` leaves it.
fn built(folder: &Path) -> std::path::PathBuf {
    let (raw, dataset) = (folder.join("raw"), folder.join("dataset"));
    (1..=2).for_each(|patient| phantom::cardiac_case(&raw, patient, 1));
    Run::done(medcosmos("build").arg(&raw).arg("--quiet").arg("--out").arg(&dataset));
    dataset
}

fn page_of(dataset: &Path, out: &Path) -> String {
    let run = Run::done(medcosmos("report").arg(dataset).arg("--no-times").arg("--out").arg(out));
    assert!(run.out.contains(out.to_str().unwrap()) && run.err.is_empty(), "{run:?}");
    fs::read_to_string(out).unwrap()
}

/// The tables that can be saved from the page, by the name of their file.
fn downloads(page: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for link in page.split("<a download=\"").skip(1) {
        let (name, rest) = link.split_once('"').unwrap();
        let coded = rest.split_once("href=\"data:text/csv;charset=utf-8;base64,").unwrap().1.split_once('"').unwrap().0;
        let text = String::from_utf8(STANDARD.decode(coded).unwrap()).unwrap();
        assert!(files.insert(name.to_string(), text).is_none(), "{name} is on the page twice");
    }
    files
}

/// Everything that a browser could fetch or follow lies on the page itself.
fn loads_nothing(page: &str) {
    for word in ["http:", "https:", "<script", "<iframe", "@import", "url(", "srcset", "src="] {
        let found = page.matches(word).count() - if word == "url(" { page.matches("url(#clip-").count() } else { 0 };
        assert_eq!(found, 0, "{word}");
    }
    for attribute in ["href=\"", "download=\""] {
        for value in page.split(attribute).skip(1) {
            let local = value.starts_with('#') || value.starts_with("data:") || attribute.starts_with("download");
            assert!(local, "{}", &value[..value.len().min(80)]);
        }
    }
}

/// Headings go down one level at a time, and every picture has words.
fn can_be_read_aloud(page: &str) {
    let levels: Vec<u32> = page.split("<h").skip(1).filter_map(|rest| rest.chars().next()?.to_digit(10)).collect();
    assert_eq!((levels.first(), levels.iter().filter(|level| **level == 1).count()), (Some(&1), 1));
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    for svg in page.split("<svg").skip(1) {
        let head = svg.split_once('>').unwrap().0;
        assert!(
            head.contains("aria-hidden") || (head.contains("role=\"img\"") && head.contains("aria-label=\"")),
            "{head}"
        );
    }
}

#[test]
fn the_page_has_the_numbers_of_the_analysis() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = built(folder.path());
    Run::done(medcosmos("predict").arg(&dataset).args(["--model", "otsu-box", "--quiet"]));
    Run::done(medcosmos("evaluate").arg(&dataset).arg("--quiet"));
    Run::done(medcosmos("analyze").arg(&dataset).arg("--quiet"));
    let page = page_of(&dataset, &folder.path().join("first.html"));
    loads_nothing(&page);
    can_be_read_aloud(&page);

    let files = downloads(&page);
    for name in ["summary", "summary_by_target", "summary_by_modality", "curves", "correlations"] {
        let file = format!("{name}.csv");
        let expected = fs::read_to_string(dataset.join("analysis").join(&file)).unwrap();
        assert_eq!(files[&file], expected, "{file}");
        assert!(expected.lines().count() > 1, "{file} is empty");
    }
    // The mean of Dice as a cell of the main table.
    let summary: Vec<Vec<&str>> = files["summary.csv"].lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| summary[0].iter().position(|heading| *heading == name).unwrap();
    let dice = summary.iter().find(|row| row[0] == "dice").unwrap();
    let rounded = |name: &str| format!("{:.3}", dice[column(name)].parse::<f64>().unwrap());
    assert!(page.contains(&format!("{} ± {}", rounded("mean"), rounded("std"))));
    let masks: usize = dice[column("masks")].parse().unwrap();
    let points = files.iter().find(|(name, _)| name.starts_with("points_otsu-box")).unwrap().1;
    assert_eq!(points.lines().count() - 1, masks, "every mask is a point");
    // The digest of the data, and nothing that is not there.
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(dataset.join("manifest.json")).unwrap()).unwrap();
    let shards = manifest["shards"].as_array().unwrap();
    let listed: usize = shards.iter().map(|shard| shard["files"].as_object().unwrap().len()).sum();
    assert_eq!(files["files.csv"].lines().count() - 1, listed);
    for command in ["--jitter", "--clicks"] {
        assert!(page.contains(&format!("medcosmos predict DATASET {command}")), "{command}");
    }
    assert!(page.contains("outlines of ground truth and prediction of") && !page.contains("id=\"times\""));
}

#[test]
fn the_same_dataset_gives_the_same_page() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = built(folder.path());
    Run::done(medcosmos("predict").arg(&dataset).args(["--model", "otsu-box", "--quiet"]));
    Run::done(medcosmos("evaluate").arg(&dataset).arg("--quiet"));
    let first = page_of(&dataset, &folder.path().join("first.html"));
    let second = folder.path().join("second.html");
    Run::done(medcosmos("report").arg(&dataset).args(["--no-times", "--threads", "1", "--out"]).arg(&second));
    assert!(first == fs::read_to_string(second).unwrap());
    let run = Run::done(medcosmos("report").arg(&dataset).arg("--json"));
    let with_times = fs::read_to_string(dataset.join("report.html")).unwrap();
    assert_eq!(run.json()["bytes"], with_times.len());
    let (before, times) = with_times.split_once("<section id=\"times\"").unwrap();
    assert!(times.matches("<section").count() == 0, "times come last");
    let same = first.rsplit_once("</section>").unwrap().0;
    assert_eq!(
        before.split_once("<main>").unwrap().1.trim_end(),
        (same.split_once("<main>").unwrap().1.to_string() + "</section>").trim_end()
    );
}

#[test]
fn what_is_missing_is_said_with_its_command() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = built(folder.path());
    let page = page_of(&dataset, &folder.path().join("page.html"));
    loads_nothing(&page);
    can_be_read_aloud(&page);
    for command in ["medcosmos predict DATASET", "medcosmos evaluate DATASET"] {
        assert!(page.contains(&format!("<code>{command}</code>")), "{command}");
    }
    assert!(downloads(&page)["images_by_source.csv"].starts_with("source,slices,"));
    Run::of(medcosmos("report").arg(folder.path().join("nowhere"))).failed(1, &["nowhere"]);
}
