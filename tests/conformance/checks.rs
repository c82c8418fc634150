//! The checks that run over every fixture.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use medcosmos::mask::Mask;
use medcosmos::pipeline::{self, BuildOptions, BuildReport, Progress};
use medcosmos::raw::Tree;
use medcosmos::sources::scan;
use medcosmos::spec::Registry;
use medcosmos::store::{CaseRow, Dataset, MaskRow, SliceRow};

use crate::fixture::{Archive, ExpectedCase, Fixture, Raw};

type Check = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}

fn build(raw: &Path, out: &Path) -> Result<(Dataset, BuildReport), String> {
    let registry = Registry::built_in().map_err(|e| e.to_string())?;
    let options = BuildOptions::default();
    let report =
        pipeline::build(raw, out, &registry, &options, &Progress::new(true)).map_err(|e| format!("build: {e}"))?;
    Ok((Dataset::open(out).map_err(|e| e.to_string())?, report))
}

fn cases(dataset: &Dataset) -> Result<BTreeMap<String, CaseRow>, String> {
    let rows = dataset.rows::<CaseRow>().map_err(|e| e.to_string())?;
    rows.map(|row| row.map(|row| (row.case_id.clone(), row)).map_err(|e| e.to_string())).collect()
}

/// Recognised as itself alone, and built to the pixel.
pub fn built(fixture: &Fixture) -> Check {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("downloads");
    (fixture.write)(&Raw::new(&raw));
    let registry = Registry::built_in().map_err(|e| e.to_string())?;
    let tree = Tree::open(&raw).map_err(|e| e.to_string())?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let found: Vec<String> = scan(&registry, &paths).sources.into_iter().map(|s| s.slug).collect();
    ensure!(found == [fixture.slug], "recognised as {found:?}");
    let (dataset, report) = build(&raw, &folder.path().join("data"))?;
    ensure!(report.unclaimed.is_empty(), "files that fit nothing: {:?}", report.unclaimed);
    compare(&dataset, fixture.slug, fixture.cases)?;
    let rows = cases(&dataset)?;
    for (id, word) in fixture.skipped {
        let id = format!("{}/{id}", fixture.slug);
        let row = rows.get(&id).ok_or_else(|| format!("{id} is not among the cases {:?}", rows.keys()))?;
        let reason = row.reason.clone().unwrap_or_default();
        ensure!(row.status == "skipped", "{id} is {} ({reason}), not skipped", row.status);
        ensure!(reason.contains(word), "{id}: the reason {reason:?} does not say {word:?}");
    }
    let expected = fixture.cases.len() + fixture.skipped.len();
    ensure!(rows.len() == expected, "{} cases, expected {expected}: {:?}", rows.len(), rows.keys());
    Ok(())
}

fn compare(dataset: &Dataset, slug: &str, expected: &[ExpectedCase]) -> Check {
    let rows = cases(dataset)?;
    let mut slices: BTreeMap<String, Vec<SliceRow>> = BTreeMap::new();
    for row in dataset.rows::<SliceRow>().map_err(|e| e.to_string())? {
        let row = row.map_err(|e| e.to_string())?;
        slices.entry(row.case_id.clone()).or_default().push(row);
    }
    let mut masks: BTreeMap<String, Vec<MaskRow>> = BTreeMap::new();
    for row in dataset.rows::<MaskRow>().map_err(|e| e.to_string())? {
        let row = row.map_err(|e| e.to_string())?;
        masks.entry(row.case_id.clone()).or_default().push(row);
    }
    for case in expected {
        let id = format!("{slug}/{}", case.id);
        let row = rows.get(&id).ok_or_else(|| format!("{id} is not among the cases {:?}", rows.keys()))?;
        ensure!(row.status == "ok", "{id} is {}: {:?}", row.status, row.reason);
        ensure!(row.patient_id == format!("{slug}/{}", case.patient), "{id}: patient {}", row.patient_id);
        ensure!(row.split.as_deref() == case.split, "{id}: split {:?}", row.split);
        ensure!(row.modality == case.modality, "{id}: modality {}", row.modality);
        ensure!(row.plane.as_deref() == Some(case.plane), "{id}: plane {:?}", row.plane);
        let own = slices.get(&id).map_or(&[][..], |s| s);
        ensure!(own.len() == case.slices, "{id}: {} slices, expected {}", own.len(), case.slices);
        for slice in own {
            let spacing = slice.spacing_row_mm.zip(slice.spacing_col_mm);
            let same = match (spacing, case.spacing) {
                (Some(a), Some(b)) => (a.0 - b.0).abs() < 1e-4 && (a.1 - b.1).abs() < 1e-4,
                (a, b) => a.is_none() && b.is_none(),
            };
            ensure!(same, "{}: spacing {spacing:?}, expected {:?}", slice.slice_id, case.spacing);
        }
        let own = masks.get(&id).map_or(&[][..], |m| m);
        let found: Vec<&str> = own.iter().map(|m| &m.mask_id[id.len() + 1..]).collect();
        let wanted: Vec<&str> = case.masks.iter().map(|m| m.id).collect();
        ensure!(found == wanted, "{id}: masks {found:?}, expected {wanted:?}");
        for (mask, wanted) in own.iter().zip(case.masks) {
            let id = &mask.mask_id;
            ensure!(mask.object == wanted.object, "{id}: object {}", mask.object);
            ensure!(mask.laterality.as_deref() == wanted.laterality, "{id}: laterality {:?}", mask.laterality);
            ensure!(mask.excluded == wanted.excluded, "{id}: excluded {}", mask.excluded);
            ensure!(mask.area_px == wanted.area, "{id}: {} pixels, expected {}", mask.area_px, wanted.area);
            ensure!(mask.bbox == wanted.bbox, "{id}: box {:?}, expected {:?}", mask.bbox, wanted.bbox);
            let pixels = Mask::try_from(&mask.mask).map_err(|e| e.to_string())?;
            let (x, y) = wanted.inside;
            ensure!(pixels.contains(x, y), "{id}: column {x}, row {y} is not inside");
        }
    }
    Ok(())
}

/// Digests of the pictures and codes of the masks, by id.
fn pixels(dataset: &Dataset) -> Result<BTreeMap<String, String>, String> {
    let mut found = BTreeMap::new();
    for row in dataset.rows::<SliceRow>().map_err(|e| e.to_string())? {
        let row = row.map_err(|e| e.to_string())?;
        found.insert(row.slice_id, row.pixels_sha256);
    }
    for row in dataset.rows::<MaskRow>().map_err(|e| e.to_string())? {
        let row = row.map_err(|e| e.to_string())?;
        found.insert(row.mask_id, String::from_utf8_lossy(&row.mask.counts).into_owned());
    }
    Ok(found)
}

/// The archive gives what the folder gives.
pub fn archived(fixture: &Fixture) -> Check {
    use medcosmos::demo::write;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    (fixture.write)(&Raw::new(&at("tree")));
    fs::create_dir(at("downloads")).unwrap();
    let file = |name: &str| at("downloads").join(name);
    match fixture.archive {
        Archive::Zip => write::zip(&file("download.zip"), &at("tree")),
        Archive::Tar => write::tar(&file("download.tar"), &at("tree")),
        Archive::TarGz => write::tar_gz(&file("download.tar.gz"), &at("tree")),
        Archive::NestedZip => fs::create_dir(at("inner"))
            .and_then(|()| write::zip(&at("inner").join("inner.zip"), &at("tree")))
            .and_then(|()| write::zip(&file("download.zip"), &at("inner"))),
    }
    .map_err(|e| e.to_string())?;
    let (from_folder, _) = build(&at("tree"), &at("a"))?;
    let (from_archive, _) = build(&at("downloads"), &at("b"))?;
    ensure!(pixels(&from_folder)? == pixels(&from_archive)?, "the archive gives other slices or masks");
    Ok(())
}

/// A truncated image, a missing mask, a foreign file and an unknown label are named, and the other cases are built.
pub fn damaged(fixture: &Fixture) -> Check {
    let folder = tempfile::tempdir().unwrap();
    let raw = |name: &str| {
        let raw = Raw::new(&folder.path().join(name));
        (fixture.write)(&raw);
        raw
    };
    let damage = &fixture.damage;
    let id = |case: &str| format!("{}/{case}", fixture.slug);

    let cut = raw("cut");
    let image = find(&cut.root, damage.image)?;
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
    cut.file("notes of mine.xyz", "a foreign file");
    let (dataset, report) = build(&cut.root, &folder.path().join("cut.data"))?;
    ensure!(!report.clean(), "a truncated image was not noticed");
    ensure!(report.unclaimed == ["notes of mine.xyz"], "foreign files: {:?}", report.unclaimed);
    let rows = cases(&dataset)?;
    let name = image.file_name().unwrap().to_string_lossy().into_owned();
    for case in damage.image_cases {
        let row = rows.get(&id(case)).ok_or_else(|| format!("no row for {case}"))?;
        let reason = row.reason.clone().unwrap_or_default();
        ensure!(row.status == "failed", "{case} is {}, not failed", row.status);
        let stem = name.split('.').next().unwrap_or(&name);
        ensure!(reason.contains(stem), "{case}: the reason {reason:?} does not name {name}");
    }
    let others = fixture.cases.iter().filter(|c| !damage.image_cases.contains(&c.id));
    for case in others {
        ensure!(rows.get(&id(case.id)).is_some_and(|r| r.status == "ok"), "{} was lost with another case", case.id);
    }

    if let Some((part, word)) = damage.mask {
        let missing = raw("missing");
        let path = find(&missing.root, part)?;
        fs::remove_file(&path).unwrap();
        let (dataset, _) = build(&missing.root, &folder.path().join("missing.data"))?;
        if !word.is_empty() {
            let reasons: Vec<String> =
                cases(&dataset)?.into_values().filter(|r| r.status != "ok").filter_map(|r| r.reason).collect();
            ensure!(reasons.iter().any(|r| r.contains(word)), "without {part}: {reasons:?} do not say {word:?}");
        }
    }
    if let Some(spoil) = damage.unknown_label {
        let unknown = raw("unknown");
        spoil(&unknown);
        let (dataset, report) = build(&unknown.root, &folder.path().join("unknown.data"))?;
        ensure!(!report.clean(), "an unknown label value was not noticed");
        let rows = cases(&dataset)?;
        let told = rows.values().any(|r| r.reason.as_ref().is_some_and(|reason| reason.contains("label value")));
        ensure!(told, "no case says that a label value is unknown");
        ensure!(rows.values().any(|r| r.status == "ok"), "nothing else was built");
    }
    Ok(())
}

fn find(root: &Path, part: &str) -> Result<std::path::PathBuf, String> {
    let mut found: Vec<std::path::PathBuf> = walkdir::WalkDir::new(root)
        .into_iter()
        .filter_map(|e| Some(e.ok()?.into_path()))
        .filter(|p| p.is_file() && p.strip_prefix(root).unwrap().to_string_lossy().contains(part))
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(path), true) => Ok(path),
        (None, _) => Err(format!("the fixture has no file {part:?}")),
        (Some(_), false) => Err(format!("the fixture has several files {part:?}")),
    }
}

/// One command over a folder that holds every fixture, each in a folder of its own.
pub fn all_at_once(fixtures: &[Fixture]) {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("downloads");
    for fixture in fixtures {
        (fixture.write)(&Raw::new(&raw.join(fixture.slug)));
    }
    let (dataset, report) = build(&raw, &folder.path().join("data")).unwrap_or_else(|e| panic!("{e}"));
    let found: Vec<&String> = report.sources.keys().collect();
    let mut wanted: Vec<&str> = fixtures.iter().map(|f| f.slug).collect();
    wanted.sort();
    assert_eq!(found, wanted, "every source is recognised beside the others");
    assert!(report.clean(), "{:?}", report.sources.values().map(|s| &s.failed).collect::<Vec<_>>());
    for fixture in fixtures {
        compare(&dataset, fixture.slug, fixture.cases).unwrap_or_else(|e| panic!("{e}"));
    }
    for (slug, source) in &report.sources {
        println!(
            "{slug}: {} cases, {} slices, {} masks, {} skipped",
            source.cases,
            source.slices,
            source.masks,
            source.skipped.len()
        );
    }
}
