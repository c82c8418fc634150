//! Masks of one object count as they look, or are refused; through the program.

use std::fs;
use std::path::Path;

use medcosmos::store::{CaseRow, Dataset, MaskRow};

use crate::program::{Run, medcosmos};

const SIDE: usize = 32;

fn spec(decode: &str) -> String {
    format!(
        r#"slug = "own"
name = "Own"
[licence]
id = "LicenseRef-own"
terms = "Own."
share_derived = "yes"
[[release]]
name = "1"
evidence = ["images/{{p}}.pgm"]
[sequences]
S = "Dermoscopy"
[labels.table]
1 = {{ name = "lesion", object = "skin lesion" }}
[[layout]]
name = "pictures"
case = "{{p}}"
[layout.image]
path = ["images/{{p}}.pgm"]
sequence = "S"
[[layout.mask]]
path = ["masks/{{p}}.{{ext:pgm|pbm|ppm|pam|nrrd}}"]
{decode}
"#
    )
}

const BINARY: &str =
    "decode = { kind = \"binary\", above = 127 }\nlabel = { name = \"lesion\", object = \"skin lesion\" }";

/// Pixels of a square of 100 pixels off the centre, and of one of 64.
fn pixel(i: usize) -> usize {
    let (x, y) = (i % SIDE, i / SIDE);
    match () {
        () if (18..28).contains(&x) && (4..14).contains(&y) => 1,
        () if (3..11).contains(&x) && (20..28).contains(&y) => 2,
        () => 0,
    }
}

fn raster(values: [&[u8]; 3]) -> Vec<u8> {
    (0..SIDE * SIDE).flat_map(|i| values[pixel(i)].to_vec()).collect()
}

/// Builds one case of a mask file: status, reason and notes in one text, and the areas of its masks.
fn build(name: &str, header: &str, raster: &[u8], decode: &str) -> (String, String, Vec<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let (raw, data, file) = (folder.path().join("raw"), folder.path().join("data"), folder.path().join("own.toml"));
    let write = |path: &str, bytes: &[u8]| {
        let path = raw.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let grey: Vec<u8> = (0..SIDE * SIDE).map(|i| (i % 251) as u8).collect();
    write("images/a1.pgm", &[b"P5 32 32 255\n", &grey[..]].concat());
    write(&format!("masks/a1.{name}"), &[header.as_bytes(), raster].concat());
    fs::write(&file, spec(decode)).unwrap();
    Run::of(medcosmos("build").arg(&raw).arg("--out").arg(&data).arg("--spec").arg(&file));
    let dataset = Dataset::open(&data).unwrap();
    let cases: Vec<CaseRow> = dataset.rows().unwrap().map(Result::unwrap).collect();
    let areas = dataset.rows::<MaskRow>().unwrap().map(|mask| mask.unwrap().area_px).collect();
    let told = format!("{} {}", cases[0].reason.clone().unwrap_or_default(), cases[0].notes.join(" "));
    (cases[0].status.to_string(), told, areas)
}

#[test]
fn masks_count_as_they_look() {
    let black = [0u8; 4];
    let bits: Vec<u8> =
        (0..SIDE * SIDE / 8).map(|byte| (0..8).fold(0, |b, i| b << 1 | u8::from(pixel(8 * byte + i) != 1))).collect();
    let alpha = "P7\nWIDTH 32\nHEIGHT 32\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n";
    for (name, header, raster, note) in [
        ("pbm", "P4 32 32\n", bits, "the lowest value of a mask is displayed as white"),
        ("pgm", "P5 32 32 255\n", raster([&[0], &[1], &[0]]), "1 counts as the object"),
        ("pgm", "P5 32 32 65535\n", raster([&[0, 0], &[255, 255], &[0, 0]]), ""),
        ("ppm", "P6 32 32 255\n", raster([&[0; 3], &[0, 255, 0], &[0; 3]]), ""),
        ("pam", alpha, raster([&black, &[0, 0, 0, 255], &black]), "the opaque pixels are the object"),
    ] {
        let (status, told, areas) = build(name, header, &raster, BINARY);
        assert_eq!((status.as_str(), &areas[..]), ("ok", &[100][..]), "{name} {header}: {told}");
        assert!(told.contains(note), "{name} {header}: {told}");
    }
}

#[test]
fn two_objects_are_refused_with_their_values() {
    for (name, header, raster, words) in [
        ("pgm", "P5 32 32 255\n", raster([&[0], &[127], &[254]]), ["127 (100 px)", "254 (64 px)"]),
        ("pgm", "P5 32 32 255\n", raster([&[0], &[1], &[2]]), ["1 (100 px)", "2 (64 px)"]),
        (
            "ppm",
            "P6 32 32 255\n",
            raster([&[0; 3], &[0, 255, 0], &[0, 0, 255]]),
            ["#00ff00 (100 px)", "#0000ff (64 px)"],
        ),
    ] {
        let (status, told, areas) = build(name, header, &raster, BINARY);
        assert_eq!((status.as_str(), areas.len()), ("failed", 0), "{name}: {told}");
        assert!(words.iter().all(|word| told.contains(word)) && told.contains("decode ="), "{told}");
    }
}

#[test]
fn layers_need_a_word_and_other_labels_may_be_ignored() {
    let header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 32 32\nkinds: list domain domain\nencoding: raw\n\n";
    let layers = raster([&[0, 0], &[1, 0], &[0, 1]]);
    let (status, told, _) = build("nrrd", header, &layers, "labels = \"table\"");
    assert!(status == "failed" && told.contains("2 layers"), "{status} {told}");
    let second = "decode = { kind = \"channel\", channel = 1, above = 0 }\nlabel = { name = \"lesion\", object = \"skin lesion\" }";
    assert_eq!(build("nrrd", header, &layers, second).2, [64]);

    let map = raster([&[0], &[1], &[2]]);
    let (status, told, _) = build("pgm", "P5 32 32 255\n", &map, "labels = \"table\"");
    assert!(status == "failed" && told.contains("label value 2"), "{status} {told}");
    let (status, told, areas) = build("pgm", "P5 32 32 255\n", &map, "labels = \"table\"\nother_labels = \"ignore\"");
    assert_eq!((status.as_str(), &areas[..]), ("ok", &[100][..]), "{told}");
    assert!(told.contains("ignored by the spec, with their voxel counts: 2 (64)"), "{told}");
}
