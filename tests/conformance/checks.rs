//! The checks that run over every fixture.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use medcosmos::mask::Mask;
use medcosmos::pipeline::{self, BuildOptions, BuildReport, Progress};
use medcosmos::raw::Tree;
use medcosmos::sources::scan;
use medcosmos::spec::Registry;
use medcosmos::store::{CaseRow, CaseStatus, Dataset, MaskRow, SliceRow};

use crate::fixture::{Axis, ExpectedCase, ExpectedObject, Fixture, MissingMask, Raw, UnknownLabel};

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
    let mut registry = Registry::built_in().map_err(|e| e.to_string())?;
    // As a file of a user's it is validated: names, patterns and templates.
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("dataset_specs").join(fixture.slug).join("spec.toml");
    registry.add_file(&spec).map_err(|e| e.to_string())?;
    let tree = Tree::open(&raw).map_err(|e| e.to_string())?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let found: Vec<String> = scan(&registry, &paths).sources.into_iter().map(|s| s.slug).collect();
    ensure!(found == [fixture.slug], "recognised as {found:?}");
    let (dataset, report) = build(&raw, &folder.path().join("data"))?;
    ensure!(report.unclaimed.is_empty(), "files that fit nothing: {:?}", report.unclaimed);
    compare(&dataset, fixture.slug, &fixture.cases)?;
    let rows = cases(&dataset)?;
    for (id, word) in fixture.skipped {
        let id = format!("{}/{id}", fixture.slug);
        let row = rows.get(&id).ok_or_else(|| format!("{id} is not among the cases {:?}", rows.keys()))?;
        let reason = row.reason.clone().unwrap_or_default();
        ensure!(row.status == CaseStatus::Skipped, "{id} is {} ({reason}), not skipped", row.status);
        ensure!(reason.contains(word), "{id}: the reason {reason:?} does not say {word:?}");
    }
    let expected = fixture.cases.len() + fixture.skipped.len();
    ensure!(rows.len() == expected, "{} cases, expected {expected}: {:?}", rows.len(), rows.keys());
    Ok(())
}

/// Whether the dataset holds exactly the slices and masks of these cases, pixel for pixel.
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
        masks.entry(row.slice_id.clone()).or_default().push(row);
    }
    for case in expected {
        let id = format!("{slug}/{}", case.id);
        let row = rows.get(&id).ok_or_else(|| format!("{id} is not among the cases {:?}", rows.keys()))?;
        ensure!(row.status == CaseStatus::Ok, "{id} is {}: {:?}", row.status, row.reason);
        ensure!(row.patient_id == format!("{slug}/{}", case.patient), "{id}: patient {}", row.patient_id);
        ensure!(row.split.as_deref() == case.split, "{id}: split {:?}", row.split);
        ensure!(row.modality == case.modality, "{id}: modality {}", row.modality);
        ensure!(row.plane.as_deref() == Some(case.plane), "{id}: plane {:?}", row.plane);
        let own = slices.get(&id).map_or(&[][..], |s| s);
        let (width, height) = own.first().map_or((0, 0), |s| (s.width, s.height));
        let wanted = expected_masks(case, width, height);
        let names: Vec<&str> = own.iter().map(|s| &s.slice_id[id.len() + 1..]).collect();
        ensure!(names == wanted.keys().collect::<Vec<_>>(), "{id}: slices {names:?}, expected {:?}", wanted.keys());
        for slice in own {
            let spacing = slice.spacing_row_mm.zip(slice.spacing_col_mm);
            let same = match (spacing, case.spacing) {
                (Some(a), Some(b)) => (a.0 - b.0).abs() < 1e-4 && (a.1 - b.1).abs() < 1e-4,
                (a, b) => a.is_none() && b.is_none(),
            };
            ensure!(same, "{}: spacing {spacing:?}, expected {:?}", slice.slice_id, case.spacing);
            let found = masks.get(&slice.slice_id).map_or(&[][..], |m| m);
            compare_masks(slice, found, &wanted[&slice.slice_id[id.len() + 1..]])?;
        }
    }
    Ok(())
}

/// A mask that must be there, and its pixels.
type Wanted<'a> = BTreeMap<&'a str, (&'a ExpectedObject, Mask)>;

/// What must be in each slice of a case: the voxels of its objects, cut across the axis. A slice keeps the two other
/// axes in the order of the file, the slower one along its rows (docs/protocol.md, 2.2).
fn expected_masks(case: &ExpectedCase, width: u32, height: u32) -> BTreeMap<String, Wanted<'_>> {
    let mut slices: BTreeMap<String, Wanted> = BTreeMap::new();
    for object in &case.objects {
        let axis = case.axis as usize;
        let last = object.shape.iter().map(|s| s.to[axis]).max().unwrap_or(0);
        for index in 0..=last {
            let mask = Mask::from_predicate(height, width, |pixel| {
                let (column, row) = (pixel % width as usize, pixel / width as usize);
                match case.axis {
                    Axis::X => object.contains(index, column, row),
                    Axis::Y => object.contains(column, index, row),
                    Axis::Z => object.contains(column, row, index),
                }
            });
            if mask.area() > 50 {
                let letter = ["x", "y", "z"][axis];
                let frame = object.frame.map(|t| format!("t{t:04}_")).unwrap_or_default();
                let slice = slices.entry(format!("{frame}{letter}{index:04}")).or_default();
                slice.insert(object.label, (object, mask));
            }
        }
    }
    slices
}

fn compare_masks(slice: &SliceRow, found: &[MaskRow], wanted: &Wanted) -> Check {
    let labels: Vec<&str> = found.iter().map(|m| &m.mask_id[slice.slice_id.len() + 1..]).collect();
    ensure!(
        labels == wanted.keys().copied().collect::<Vec<_>>(),
        "{}: masks {labels:?}, expected {:?}",
        slice.slice_id,
        wanted.keys()
    );
    let mut any = vec![0; slice.width as usize * slice.height as usize];
    let mut own = Vec::new();
    for (row, (object, expected)) in found.iter().zip(wanted.values()) {
        let id = &row.mask_id;
        ensure!(row.object == object.object, "{id}: object {}, expected {}", row.object, object.object);
        ensure!(row.laterality.as_deref() == object.laterality, "{id}: laterality {:?}", row.laterality);
        ensure!(row.excluded == object.excluded, "{id}: excluded {}", row.excluded);
        let mask = Mask::try_from(&row.mask).map_err(|e| e.to_string())?;
        ensure!(
            mask == *expected,
            "{id}: {} pixels in {:?}, expected {} in {:?}, {} of them common",
            mask.area(),
            mask.bounding_box(),
            expected.area(),
            expected.bounding_box(),
            mask.intersection_area(expected)
        );
        ensure!(u64::from(row.area_px) == expected.area(), "{id}: area {}", row.area_px);
        ensure!(Some(row.bbox) == expected.bounding_box(), "{id}: box {:?}", row.bbox);
        let bitmap = mask.to_bitmap();
        if !object.ground {
            any.iter_mut().zip(&bitmap).for_each(|(all, one)| *all |= one);
        }
        own.push((id, object.ground, bitmap));
    }
    // Objects are bright in the fixtures' images: a mask that lies elsewhere than its image shows.
    let image = medcosmos::formats::png::read(&slice.image.bytes).map_err(|e| e.to_string())?;
    let mean = |mask: &[u8], inside: bool| {
        let values = mask.iter().enumerate().filter(|(_, v)| (**v != 0) == inside);
        let values: Vec<f64> = values.map(|(i, _)| image.samples.get(i * image.components)).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let ground = mean(&any, false);
    for (id, is_ground, mask) in own {
        let object = mean(&mask, true);
        ensure!(
            (object > ground + 60.0) != is_ground,
            "{id} is not where it is in its image: {object:.0} inside, {ground:.0} outside"
        );
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
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let [plain, packed] = ["tree", "downloads"].map(|name| {
        let raw = Raw::new(&at(name));
        (fixture.write)(&raw);
        raw
    });
    for (part, archive) in fixture.archives {
        packed.pack(part, archive);
    }
    let (from_folder, _) = build(&plain.root, &at("a"))?;
    let (from_archive, report) = build(&packed.root, &at("b"))?;
    ensure!(report.clean(), "from the archive: {:?} {:?}", report.problems, report.sources);
    ensure!(report.unclaimed.is_empty(), "files of the archive that fit nothing: {:?}", report.unclaimed);
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
    let id = |case: &str| format!("{}/{case}", fixture.slug);
    let reason = |rows: &BTreeMap<String, CaseRow>, case: &str, status: &str, word: &str| -> Check {
        let row = rows.get(&id(case)).ok_or_else(|| format!("no row for {case}: {:?}", rows.keys()))?;
        let reason = row.reason.clone().unwrap_or_default();
        ensure!(row.status.name() == status, "{case} is {} ({reason}), not {status}", row.status);
        ensure!(reason.contains(word), "{case}: the reason {reason:?} does not say {word:?}");
        Ok(())
    };
    let others_built = |rows: &BTreeMap<String, CaseRow>, but: &[&str]| -> Check {
        for case in fixture.cases.iter().filter(|c| !but.contains(&c.id)) {
            let row = rows.get(&id(case.id));
            ensure!(row.is_some_and(|r| r.status == CaseStatus::Ok), "{} was lost with {but:?}: {row:?}", case.id);
        }
        Ok(())
    };

    let cut = raw("cut");
    let (file, lost) = fixture.damage.image;
    let image = find(&cut.root, file)?;
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
    cut.file("notes of mine.xyz", "a foreign file");
    let (dataset, report) = build(&cut.root, &folder.path().join("cut.data"))?;
    ensure!(!report.clean(), "a truncated image was not noticed");
    ensure!(report.unclaimed == ["notes of mine.xyz"], "foreign files: {:?}", report.unclaimed);
    let rows = cases(&dataset)?;
    let name = image.file_name().unwrap().to_string_lossy().into_owned();
    for case in lost {
        reason(&rows, case, "failed", name.split('.').next().unwrap_or(&name))?;
    }
    others_built(&rows, lost)?;

    let without = |file: &str| -> Result<(Dataset, BuildReport), String> {
        let missing = raw("missing");
        fs::remove_file(find(&missing.root, file)?).unwrap();
        build(&missing.root, &folder.path().join("missing.data"))
    };
    match fixture.damage.mask {
        MissingMask::Skips { file, case, reason: word } => {
            let rows = cases(&without(file)?.0)?;
            let lost = meant(fixture, case);
            lost.iter().try_for_each(|case| reason(&rows, case, "skipped", word))?;
            others_built(&rows, &lost)?;
        }
        MissingMask::Fails { file, case, reason: word } => {
            let rows = cases(&without(file)?.0)?;
            reason(&rows, case, "failed", word)?;
            others_built(&rows, &[case])?;
        }
        MissingMask::Lacks { file, case, label } => {
            let (dataset, report) = without(file)?;
            ensure!(report.clean(), "a mask that may be absent is told as a failure");
            let mut fewer = fixture.cases.clone();
            let lacking = meant(fixture, case);
            fewer.iter_mut().filter(|c| lacking.contains(&c.id)).for_each(|c| c.objects.retain(|o| o.label != label));
            compare(&dataset, fixture.slug, &fewer)?;
        }
        MissingMask::NoFile(_) => {}
    }
    if let UnknownLabel::Written(spoil) = fixture.damage.unknown_label {
        let unknown = raw("unknown");
        spoil(&unknown);
        let (dataset, report) = build(&unknown.root, &folder.path().join("unknown.data"))?;
        ensure!(!report.clean(), "an unknown label value was not noticed");
        let rows = cases(&dataset)?;
        let failed: Vec<&CaseRow> = rows.values().filter(|r| r.status == CaseStatus::Failed).collect();
        let told = failed.iter().any(|r| r.reason.as_ref().is_some_and(|reason| reason.contains("label value")));
        ensure!(told, "no case says that a label value is unknown: {:?}", failed.iter().map(|r| &r.reason));
        ensure!(rows.values().any(|r| r.status == CaseStatus::Ok), "nothing else was built");
    }
    Ok(())
}

/// The cases that a name of [`MissingMask`] means.
fn meant(fixture: &Fixture, name: &'static str) -> Vec<&'static str> {
    match name.strip_suffix('*') {
        Some(start) => fixture.cases.iter().map(|c| c.id).filter(|id| id.starts_with(start)).collect(),
        None => vec![name],
    }
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

/// One command over a folder that holds every fixture, each in a folder of its own. The folder is kept where the
/// variable
/// `MEDCOSMOS_FIXTURES` names one that is not there yet: downloads of all sources, to try commands on.
pub fn all_at_once(fixtures: &[Fixture]) -> Check {
    let folder = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("MEDCOSMOS_FIXTURES").map(std::path::PathBuf::from);
    let raw = kept.unwrap_or_else(|| folder.path().join("downloads"));
    ensure!(!raw.exists(), "{} is there already", raw.display());
    for fixture in fixtures {
        (fixture.write)(&Raw::new(&raw.join(fixture.slug)));
    }
    let (dataset, report) = build(&raw, &folder.path().join("data"))?;
    let found: Vec<&String> = report.sources.keys().collect();
    let mut wanted: Vec<&str> = fixtures.iter().map(|f| f.slug).collect();
    wanted.sort();
    ensure!(found == wanted, "recognised together: {found:?}, expected {wanted:?}");
    let failed: Vec<_> = report.sources.values().flat_map(|s| &s.failed).collect();
    ensure!(report.clean(), "failed together: {failed:?} {:?}", report.problems);
    for fixture in fixtures {
        compare(&dataset, fixture.slug, &fixture.cases)?;
    }
    Ok(())
}
