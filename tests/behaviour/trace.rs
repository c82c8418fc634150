//! `medcosmos trace`: from a mask up to the raw files, and from a raw file down to its masks.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::json;

use crate::program::{Run, hex, medcosmos};
use crate::samples;

/// Phantom downloads in their archives, and a dataset of two sources of them with a baseline's results.
fn built() -> &'static (PathBuf, PathBuf) {
    static BUILT: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (raw, dataset) = (samples::shared_folder().join("trace-raw"), samples::shared_folder().join("trace-data"));
        for download in &medcosmos::demo::downloads::DOWNLOADS {
            if ["acdc", "i2cvb"].contains(&download.slug) {
                download.write(&raw, &raw.with_file_name("trace-staging")).unwrap();
            }
        }
        std::fs::write(raw.join("thesis.pdf"), b"%PDF").unwrap();
        let sources = ["--source", "acdc", "--source", "i2cvb"];
        Run::done(medcosmos("build").arg(&raw).args(["--quiet", "--out"]).arg(&dataset).args(sources));
        Run::done(medcosmos("predict").arg(&dataset).args(["--model", "otsu-box", "--quiet"]));
        Run::done(medcosmos("evaluate").arg(&dataset).arg("--quiet"));
        (raw, dataset)
    })
}

fn trace(arguments: &[&str]) -> Run {
    Run::of(medcosmos("trace").arg(&built().1).args(arguments))
}

fn a_mask() -> String {
    let dataset = medcosmos::store::Dataset::open(&built().1).unwrap();
    let masks: Vec<medcosmos::store::MaskTarget> = dataset.rows().unwrap().map(Result::unwrap).collect();
    masks.iter().map(|mask| mask.mask_id.clone()).find(|id| id.starts_with("acdc/")).unwrap()
}

/// Bytes of a member of the downloads.
fn member(raw: &Path, path: &str) -> Vec<u8> {
    let tree = medcosmos::raw::Tree::open(raw).unwrap();
    tree.read(tree.find(path).unwrap()).unwrap()
}

#[test]
fn a_mask_leads_to_its_raw_files_and_back() {
    let (raw, dataset) = built();
    let mask = a_mask();
    let found = trace(&[&mask, "--json"]).json();
    assert_eq!(found["mask"]["mask_id"], json!(mask));
    let (slice, case) = (found["slice"]["slice_id"].as_str().unwrap(), found["case"]["case_id"].as_str().unwrap());
    assert!(mask.starts_with(slice) && slice.starts_with(case), "{found}");
    let files = found["raw"].as_array().unwrap();
    let roles: Vec<&str> = files.iter().map(|f| f["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["image", "mask"]);
    for file in files {
        let bytes = member(raw, file["path"].as_str().unwrap());
        assert_eq!((&file["sha256"], &file["size"]), (&json!(hex(&bytes)), &json!(bytes.len())));
        let (archive, inside) = (file["archive"].as_str().unwrap(), file["inside"].as_str().unwrap());
        assert!(archive.ends_with(".zip") && file["path"] == json!(format!("{archive}/{inside}")));
    }
    assert_eq!(found["source"]["source"], "acdc");
    assert_eq!(found["source"]["spec_sha256"], found["shard"]["spec_sha256"]);
    assert_eq!(
        (&found["predictions"], &found["metrics"]),
        (&json!({"otsu-box": {"S5": 1}}), &json!({"otsu-box": {"S5": 2}}))
    );
    assert_eq!(found["shard"]["options"]["min_area"], 50);
    let file = std::fs::read(dataset.join(found["shard"]["file"].as_str().unwrap())).unwrap();
    assert_eq!(found["shard"]["sha256"], json!(hex(&file)));

    // From the raw file down, by its name, its path and its digest.
    let image = &files[0];
    let name = image["path"].as_str().unwrap().rsplit('/').next().unwrap();
    for query in [name, image["path"].as_str().unwrap(), image["sha256"].as_str().unwrap()] {
        let back = trace(&["--file", query, "--json"]).json();
        let uses = back["uses"].as_array().unwrap();
        assert_eq!(uses.len(), 1, "{query}: {back}");
        assert_eq!(
            (&uses[0]["case_id"], &uses[0]["role"], &uses[0]["path"]),
            (&json!(case), &json!("image"), &image["path"])
        );
        assert_eq!((&uses[0]["slices"], &uses[0]["status"]), (&found["case"]["kept"], &json!("ok")));
        let whole = trace(&[case, "--json"]).json();
        assert_eq!(uses[0]["masks"], whole["masks"]);
        assert!(whole["masks"].as_u64().unwrap() > 1 && whole["mask"].is_null() && whole["slice"].is_null());
        assert_eq!(whole["predictions"]["otsu-box"]["S5"], whole["masks"]);
    }
    let of_slice = trace(&[slice, "--json"]).json();
    assert!(of_slice["masks"].as_u64().unwrap() >= 1 && of_slice["mask"].is_null() && !of_slice["slice"].is_null());
}

#[test]
fn blocks_are_printed_from_the_mask_up() {
    let mask = a_mask();
    let text = Run::done(medcosmos("trace").arg(&built().1).arg(&mask)).out;
    let heads: Vec<&str> =
        text.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(heads, ["mask", "slice", "case", "raw", "raw", "source", "shard", "used"], "{text}");
    for words in [
        &mask,
        "(target ",
        "label  ",
        "component(s)",
        "archive      acdc/",
        "sha256       ",
        "licence",
        "otsu-box 1 (S5 1)",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let back = trace(&["--file", "README.md"]);
    assert!(back.status == 1 && back.err.contains("README.md"), "{}{}", back.out, back.err);
}

#[test]
fn a_file_that_no_case_uses_has_its_reason() {
    let unclaimed = trace(&["--file", "thesis.pdf"]);
    assert_eq!(unclaimed.status, 0, "{}", unclaimed.err);
    for words in ["thesis.pdf", "unclaimed", "skipped, in no case", "matches none of the selected sources"] {
        assert!(unclaimed.out.contains(words), "{words}: {}", unclaimed.out);
    }
    // A part of a name is not the end of a path.
    trace(&["--file", "hesis.pdf"]).failed(1, &["hesis.pdf"]);
    trace(&["acdc/no-such-case"]).failed(1, &["acdc/no-such-case", "no mask, slice or case"]);
    trace(&[]).failed(2, &["<ID>"]);
    trace(&["a", "--file", "b"]).failed(2, &["--file"]);
}
