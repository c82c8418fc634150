//! Keys of shards, held fast: another compiler, a renamed field or a reordered map must not change what a dataset was
//! built with, for then its shards would be done again, or worse, taken for those of other options.
//!
//! Where a key changes on purpose, `CONTENT_VERSION` rises and the test's message has the new text to put here.

use std::collections::BTreeMap;
use std::fs;

use medcosmos::digest::canonical_json;
use medcosmos::models::ClickOptions;
use medcosmos::prompts::EverythingOptions;
use medcosmos::store::{Dataset, Receipt};
use serde_json::{Value, json};

use crate::phantom::{SIZE, image, labels, nifti, write};
use crate::program::{Run, medcosmos};

const SPEC: &str = r#"
slug = "keys"
name = "Keys"

[licence]
id = "CC0-1.0"
terms = "None."
share_derived = "yes"

[[release]]
name = "1"
evidence = ["scans/{p}.nii"]

[sequences]
t1 = "T1W MRI"

[labels.parts]
1 = { name = "liver", object = "liver" }
2-3 = { name = "two parts", object = "spleen" }

[[layout]]
name = "only"
case = "{patient}"
patient = "{patient}"

[layout.image]
path = ["scans/{patient}.nii"]
sequence = "t1"
plane = "axial"

[[layout.mask]]
path = ["masks/{patient}.nii"]
labels = "parts"
"#;

/// What decides each shard of a dataset that went through every stage, by stage.
fn keys_of_a_dataset() -> BTreeMap<String, Value> {
    let folder = tempfile::tempdir().unwrap();
    let (raw, spec, data) = (folder.path().join("raw"), folder.path().join("keys.toml"), folder.path().join("data"));
    // Not compressed: bytes of a compressor may change with its version.
    write(&raw.join("scans/p1.nii"), &nifti(SIZE, &image(1)));
    write(&raw.join("masks/p1.nii"), &nifti(SIZE, &labels(1)));
    fs::write(&spec, SPEC).unwrap();
    Run::done(medcosmos("build").arg(&raw).arg("--out").arg(&data).arg("--spec").arg(&spec).args(["--source", "keys"]));
    for (command, options) in [
        ("leaks", &[][..]),
        ("split", &[]),
        ("predict", &["--model", "otsu-box", "--strategies", "S5"]),
        ("evaluate", &[]),
    ] {
        Run::done(medcosmos(command).arg(&data).args(options));
    }
    let receipts = Dataset::open(&data).unwrap().receipts().unwrap();
    let mine = receipts.into_iter().filter(|receipt| receipt.source == "keys");
    mine.map(|receipt| (receipt.stage.to_string(), held(&receipt))).collect()
}

/// What is held of a shard. A new metric or factor changes the columns that the keys of its table name, on purpose.
fn held(receipt: &Receipt) -> Value {
    let mut key = json!(receipt.key);
    match key.as_object_mut().and_then(|key| key.remove("columns")) {
        Some(_) => json!({"key": key}),
        None => json!({"id": receipt.id, "key": key}),
    }
}

#[test]
fn keys_are_those_of_the_last_version() {
    let found = serde_json::to_string_pretty(&keys_of_a_dataset()).unwrap();
    let expected = include_str!("keys.json").trim_end();
    assert!(
        found == expected,
        "keys changed; if on purpose, raise CONTENT_VERSION and put this into keys.json:\n{found}"
    );
}

#[test]
fn options_of_passes_have_one_text() {
    let texts = [
        (canonical_json(&ClickOptions::default()), r#"{"choice":"score","clicks":10,"mask_prompt":true}"#),
        (
            canonical_json(&EverythingOptions::default()),
            concat!(
                r#"{"box_iou":0.699999988079071,"crop_box_iou":0.699999988079071,"crop_downscale":1,"crop_layers":0,"#,
                r#""crop_overlap":0.3413333333333333,"grid":32,"predicted_iou":0.8799999952316284,"stability":0.95,"#,
                r#""stability_offset":1.0}"#
            ),
        ),
    ];
    for (found, expected) in texts {
        assert_eq!(found, expected);
    }
}
