//! Predictions as a folder of volumes, one per case, as written by nnU-Net. Each is placed on the grid of its case's
//! image by the rules for masks ([`placement`](crate::slices::placement)) and cut like the image.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::label_map::{self, Labels};
use super::names::{Names, Template};
use super::pictures::files_below;
use super::{Error, ImportReport, OfSlice, Result, Wanted, problem};
use crate::formats;
use crate::image::{Frame, Geometry, Image, Samples, axis_lengths};
use crate::memory::Budget;
use crate::pipeline::slices_of::table_file;
use crate::projection;
use crate::raw;
use crate::slices::placement::{Grid, Placed, Placement, place};
use crate::slices::{Axis, Loaded, slice_size, slice_values};
use crate::spec::Pair;
use crate::spec::file_safe;
use crate::store::{Dataset, Receipt, Rows, Table};
use crate::with_samples;

/// Endings of volumes; the longer of two comes first.
pub(super) const ENDINGS: &[&str] = &[".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd"];

/// What to do about values that are no labels.
const CURE: &str = "write the value of its label into each voxel, or put a `dataset.json` next to the volumes whose \
    `labels` map label names to values, as nnU-Net does";

/// How far a stored value may lie from a whole number, as in masks of sources.
const TOLERANCE: f64 = 0.01;

projection! {
    /// Where the voxels of a case's image lie.
    struct Lies of Cases {
        case_id: String,
        shape: Vec<u32>,
        spacing: Option<Vec<f64>>,
        affine: Option<Vec<f64>>,
    }
}

/// The volumes of a folder by the case that they are of.
pub(super) struct Volumes {
    folder: PathBuf,
    by_case: BTreeMap<String, Volume>,
    /// Files that are of no case.
    unused: Vec<String>,
    cases: HashMap<String, Lies>,
    /// What the values are called, by `dataset.json`.
    named: BTreeMap<i64, String>,
    /// For each source what its maps hold.
    seen: BTreeMap<String, label_map::Seen>,
    /// For each source what becomes of a value, where names say so; and whether that was told.
    values: BTreeMap<String, BTreeMap<i64, i64>>,
    placed: BTreeMap<Placement, (u64, String)>,
    /// The volume that was read last.
    open: Option<(String, Placed)>,
}

struct Volume {
    path: PathBuf,
    name: String,
    used: bool,
}

/// A name without the ending of a volume; `None` where it has another.
pub(super) fn stem(name: &str) -> Option<&str> {
    let small = name.to_ascii_lowercase();
    ENDINGS.iter().find(|ending| small.ends_with(**ending)).map(|ending| &name[..name.len() - ending.len()])
}

impl Volumes {
    pub(super) fn open(
        folder: &Path,
        template: Option<&str>,
        dataset: &Dataset,
        builds: &[Receipt],
    ) -> Result<Volumes> {
        let mut cases = HashMap::new();
        for build in builds {
            for case in Rows::<Lies>::of(table_file(dataset, build, Table::Cases)) {
                let case = case?;
                cases.insert(case.case_id.clone(), case);
            }
        }
        let names = Names::of_cases(cases.keys().cloned().collect());
        let template = template.map(|t| Template::new(t, &names)).transpose().map_err(|e| problem(folder, e))?;
        let mut found = Volumes {
            folder: folder.to_path_buf(),
            by_case: BTreeMap::new(),
            unused: Vec::new(),
            cases,
            named: BTreeMap::new(),
            seen: BTreeMap::new(),
            values: BTreeMap::new(),
            placed: BTreeMap::new(),
            open: None,
        };
        for (path, name) in files_below(folder)? {
            let Some(stem) = stem(&name) else { continue };
            let id = match &template {
                Some(template) => template.id(&name),
                None => Some(stem.to_string()),
            };
            let Some(case) = id.and_then(|id| names.slice(&id)) else {
                found.unused.push(name);
                continue;
            };
            if let Some(first) = found.by_case.get(&case) {
                let reason = format!("both {} and {name} are named as predictions of {case}", first.name);
                return Err(problem(folder, reason));
            }
            found.by_case.insert(case, Volume { path, name, used: false });
        }
        let beside = found.by_case.values().filter_map(|volume| volume.path.parent());
        let folders: BTreeSet<&Path> = beside.chain([folder]).collect();
        let mut first: Option<(&Path, BTreeMap<i64, String>)> = None;
        for below in folders {
            let Some(named) = names_of_values(below)? else { continue };
            match &first {
                Some((other, known)) if *known != named => {
                    let reason = format!(
                        "contradicts {}: import the two folders separately",
                        other.join("dataset.json").display()
                    );
                    return Err(problem(&below.join("dataset.json"), reason));
                }
                Some(_) => {}
                None => first = Some((below, named)),
            }
        }
        if let Some((below, named)) = first {
            (found.folder, found.named) = (below.to_path_buf(), named);
        }
        Ok(found)
    }

    pub(super) fn of_slice(&mut self, slice: &Wanted, labels: &Labels, report: &mut ImportReport) -> Result<OfSlice> {
        let row = &slice.masks[0].0;
        let Some(volume) = self.by_case.get_mut(&row.case_id) else { return Ok(vec![None; slice.masks.len()]) };
        volume.used = true;
        let path = volume.path.clone();
        let refuse = |reason: String| problem(&path, reason);
        let (axis, index, frame) = position(&slice.slice_id).ok_or_else(|| {
            let name = slice.slice_id.rsplit('/').next().unwrap_or_default();
            refuse(format!("the slice {name} of {} has no position in a volume", row.case_id))
        })?;
        let case = self.cases.get(&row.case_id);
        let case = case.ok_or_else(|| refuse(format!("the table `cases` does not contain {}", row.case_id)))?;
        if self.open.as_ref().is_none_or(|(open, _)| *open != row.case_id) {
            let grid = grid(case, axis, slice.size()).map_err(refuse)?;
            let placed = placed(&path, &grid)?;
            let counted = self.placed.entry(placed.placement).or_insert_with(|| (0, volume.name.clone()));
            counted.0 += 1;
            self.open = Some((row.case_id.clone(), placed));
        }
        let Some((_, placed)) = &self.open else { return Ok(vec![None; slice.masks.len()]) };
        if !self.values.contains_key(&row.source) {
            let by_name = by_name(&self.named, labels, &row.source, report);
            let by_name = by_name.map_err(|reason| problem(&self.folder.join("dataset.json"), reason))?;
            self.values.insert(row.source.clone(), by_name);
        }
        let mut values = cut(placed, axis, index, frame, slice.size()).map_err(refuse)?;
        if let Some(by_name) = self.values.get(&row.source).filter(|by_name| !by_name.is_empty()) {
            // Where names and numbers agree, a value without a name is what its number says.
            let moved = by_name.iter().any(|(value, meant)| value != meant);
            for value in values.iter_mut().filter(|value| **value != 0) {
                match by_name.get(value) {
                    Some(meant) => *value = *meant,
                    None if moved => {
                        return Err(refuse(format!(
                            "contains the value {value}, which {} does not name: name all values there",
                            self.folder.join("dataset.json").display()
                        )));
                    }
                    None => {}
                }
            }
        }
        let seen = self.seen.entry(row.source.clone()).or_default();
        label_map::of_slice(&values, slice, labels, seen, CURE, report)
            .map_err(|reason| refuse(format!("in the slice {}: {reason}", slice.slice_id)))
    }

    pub(super) fn unused(&self) -> Vec<String> {
        let mut unused: Vec<String> =
            self.by_case.values().filter(|volume| !volume.used).map(|volume| volume.name.clone()).collect();
        unused.extend(self.unused.iter().cloned());
        unused.sort();
        unused
    }

    /// Refuses values whose meaning is not clear, and tells how the volumes were placed, where that is not as their
    /// headers agree.
    pub(super) fn check(&self, labels: &BTreeMap<String, Labels>, report: &mut ImportReport) -> Result<()> {
        for (source, seen) in &self.seen {
            if let Some(labels) = labels.get(source) {
                let checked = seen.check(source, labels, CURE, report);
                checked.map_err(|reason| problem(&self.folder, reason))?;
            }
        }
        for (placement, (volumes, example)) in &self.placed {
            if *placement != Placement::Same {
                report.notes.push(format!("{volumes} volume(s), such as {example}: {}", placement.meaning()));
            }
        }
        Ok(())
    }
}

/// Axis, position and frame of a slice, out of the last part of its id: `z0003`, `t0001_z0003`.
fn position(slice_id: &str) -> Option<(Axis, usize, usize)> {
    let name = slice_id.rsplit('/').next()?;
    let (frame, name) = match name.split_once('_') {
        Some((frame, name)) => (frame.strip_prefix('t')?.parse().ok()?, name),
        None => (0, name),
    };
    let axis = [Axis::X, Axis::Y, Axis::Z].into_iter().find(|axis| name.starts_with(axis.letter()))?;
    Some((axis, name[1..].parse().ok()?, frame))
}

/// The grid of a case's image. A colour image has its components behind x; the size of a slice tells it apart.
fn grid(case: &Lies, axis: Axis, slice: [u32; 2]) -> std::result::Result<Grid, String> {
    let size = |shape: &[u32]| {
        let mut size = [1; 4];
        shape.iter().rev().zip(&mut size).for_each(|(n, size)| *size = *n as usize);
        size
    };
    let (rows, columns) = axis.rows_and_columns();
    let fits = |size: &[usize; 4]| [size[rows], size[columns]] == slice.map(|n| n as usize);
    let shapes = [case.shape.as_slice(), &case.shape[..case.shape.len().saturating_sub(1)]];
    let size = shapes.into_iter().filter(|shape| (2..=4).contains(&shape.len())).map(size).find(fits);
    let size = size
        .ok_or_else(|| format!("{} has the shape {:?}, which does not match its slices", case.case_id, case.shape))?;
    let spacing = case.spacing.as_deref().and_then(|s| <[f64; 3]>::try_from(s).ok());
    let affine = case.affine.as_deref().filter(|a| a.len() == 12);
    let geometry = match (affine, spacing) {
        (Some(a), spacing) => {
            let row = |r: usize| [a[4 * r], a[4 * r + 1], a[4 * r + 2], a[4 * r + 3]];
            let affine = [row(0), row(1), row(2)];
            let spacing = spacing.unwrap_or_else(|| axis_lengths(&affine));
            Some(Geometry { spacing, affine, frame: Frame::Header })
        }
        (None, Some(spacing)) => Some(Geometry::from_spacing(spacing)),
        (None, None) => None,
    };
    let file = case.case_id.clone();
    Ok(Grid { file, size, geometry, heights: None, believed: true, other: None, positions: None })
}

/// Reads a volume and puts it on the grid of its case.
fn placed(path: &Path, grid: &Grid) -> Result<Placed> {
    let room = Budget::default().room();
    let bytes = raw::read_whole(path, &room).map_err(|e| problem(path, e.reason))?;
    let companion = |name: &str| raw::read_companion(path, name, &room);
    let name = path.to_string_lossy();
    let file = formats::File::within(&name, &bytes, &room);
    let mut scratch = formats::Scratch::within(&room);
    let image = formats::read_file(&file, &companion, &mut scratch).map_err(|e| problem(path, e))?;
    if image.components != 1 {
        let reason =
            format!("{} values per voxel, expected one label: apply argmax to probabilities first", image.components);
        return Err(problem(path, reason));
    }
    let file = path.display().to_string();
    let loaded = Loaded { file, image, positions: None, files: Vec::new() };
    place(grid, loaded, Pair::Grid, [None, None], &mut scratch).map_err(|error| match error {
        crate::slices::Error::Placement { image, mask_grid, image_grid, why, .. } => problem(
            path,
            format!(
                "not on the grid of {image}: {why} (the prediction has {mask_grid}; the case has {image_grid}): make \
                 the program write predictions on the grid of the image that was built"
            ),
        ),
        other => Error::Import { path: path.to_path_buf(), reason: other.to_string() },
    })
}

/// The labels of one slice, row by row.
fn cut(
    placed: &Placed,
    axis: Axis,
    index: usize,
    frame: usize,
    size: [u32; 2],
) -> std::result::Result<Vec<i64>, String> {
    let image = &placed.mask.image;
    let index = match &placed.slices {
        None => Some(index),
        Some(slices) => slices.iter().position(|slice| *slice == Some(index)),
    };
    let Some(index) = index else { return Ok(vec![0; size[0] as usize * size[1] as usize]) };
    let (rows, columns, slices) = slice_size(image, axis);
    if [rows as u32, columns as u32] != size || index >= slices || frame >= image.size[3] {
        let [x, y, z, t] = image.size;
        return Err(format!(
            "{x} x {y} x {z} x {t} voxels (x, y, z, t) contain no slice {index} of {} x {} pixels perpendicular to {}",
            size[1],
            size[0],
            axis.letter()
        ));
    }
    labels(image, axis, index, frame)
}

fn labels(image: &Image, axis: Axis, index: usize, frame: usize) -> std::result::Result<Vec<i64>, String> {
    let whole =
        matches!(image.samples, Samples::F32(_) | Samples::F64(_)) || image.scaling != crate::image::Scaling::IDENTITY;
    let plane: Vec<f64> = with_samples!(&image.samples, values => {
        slice_values(image, values, axis, index, frame).iter().map(|&value| value as f64).collect()
    });
    let label = |stored: f64| {
        let real = stored * image.scaling.slope + image.scaling.intercept;
        let nearest = real.round();
        if whole && (real.is_nan() || (real - nearest).abs() > TOLERANCE) {
            return Err(format!(
                "contains the value {real}; expected whole numbers: apply argmax to probabilities first"
            ));
        }
        Ok(nearest as i64)
    };
    plane.into_iter().map(label).collect()
}

/// Names of values in the `dataset.json` that nnU-Net copies next to its predictions; `None` where there is no such
/// file. Version 2 maps names to values, version 1 values to names. A region of one value is that value; one of several
/// has none, and is refused.
fn names_of_values(folder: &Path) -> Result<Option<BTreeMap<i64, String>>> {
    let path = folder.join("dataset.json");
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(|e| problem(&path, e))?;
    // Some editors put a mark of the encoding first.
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let file: Value = serde_json::from_slice(text).map_err(|e| problem(&path, e))?;
    let Some(labels) = file.get("labels").and_then(Value::as_object) else { return Ok(None) };
    let whole = |value: &Value| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 1e15);
        number.map(|number| number as i64)
    };
    let mut named = BTreeMap::new();
    for (key, value) in labels {
        let number = |text: &str| text.trim().parse::<i64>().ok();
        let entry = match value {
            Value::Number(_) => whole(value).map(|n| (n, key.clone())),
            Value::Array(all) => match all.as_slice() {
                [one] => whole(one).map(|n| (n, key.clone())),
                _ => None,
            },
            Value::String(text) => match (number(text), number(key)) {
                (Some(n), _) => Some((n, key.clone())),
                (None, Some(n)) => Some((n, text.clone())),
                (None, None) => None,
            },
            _ => None,
        };
        let Some((value, name)) = entry else {
            let reason = format!(
                "the label {key} is {value}, expected one whole number: a region of several values is not a label. \
                 Write a dataset.json that names each value of the predictions once"
            );
            return Err(problem(&path, reason));
        };
        if value == 0 {
            continue;
        }
        if let Some(first) = named.insert(value, name.clone()) {
            return Err(problem(&path, format!("the value {value} has two names, {first} and {name}")));
        }
    }
    Ok(Some(named))
}

/// The values that a source has for what `dataset.json` names; empty where its names are not those of the source, so
/// that numbers count.
fn by_name(
    named: &BTreeMap<i64, String>,
    labels: &Labels,
    source: &str,
    report: &mut ImportReport,
) -> std::result::Result<BTreeMap<i64, i64>, String> {
    let mut values: BTreeMap<i64, i64> = BTreeMap::new();
    let mut strange: BTreeSet<(i64, &str)> = BTreeSet::new();
    for (value, name) in named {
        match labels.value_of(|known| file_safe(known).eq_ignore_ascii_case(&file_safe(name))) {
            Some(meant) => {
                values.insert(*value, meant);
            }
            None => {
                strange.insert((*value, name));
            }
        }
    }
    if named.is_empty() || labels.is_empty() {
        return Ok(BTreeMap::new());
    }
    let moved = values.iter().find(|(value, meant)| value != meant);
    let names = || strange.iter().map(|(value, name)| format!("{value} ({name})")).collect::<Vec<_>>().join(", ");
    match (moved, strange.is_empty()) {
        (None, true) => {}
        (Some(_), true) => report.notes.push(format!(
            "{source}: labels are identified by the names in dataset.json; its numbers differ from those of the source \
             ({})",
            labels.text()
        )),
        (Some((value, meant)), false) => {
            return Err(format!(
                "its {value} is {} of {source}, but {} are not labels of {source} ({}), so the numbers are ambiguous: \
                 use the source's names in dataset.json, or its numbers without that file",
                labels.shown(*meant),
                names(),
                labels.text()
            ));
        }
        (None, false) if !labels.has_numbers() => {
            return Err(format!(
                "contains {}, which are not label names of {source} ({}), and its labels have no numbers: use the \
                 source's names",
                names(),
                labels.text()
            ));
        }
        (None, false) => report.notes.push(format!(
            "{source}: dataset.json contains {}, which are not label names of the source ({}): labels are identified \
             by number",
            names(),
            labels.text()
        )),
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_say_where_they_lie() {
        assert_eq!(position("acdc/p1/z0003"), Some((Axis::Z, 3, 0)));
        assert_eq!(position("acdc/p1/t0002_y0010"), Some((Axis::Y, 10, 2)));
        assert_eq!(position("acdc/p1/left"), None);
    }

    #[test]
    fn the_grid_of_a_colour_image_leaves_its_components_out() {
        let case = |shape: &[u32]| Lies {
            case_id: "a/b".into(),
            shape: shape.to_vec(),
            spacing: Some(vec![1.0, 2.0, 3.0]),
            affine: None,
        };
        assert_eq!(grid(&case(&[5, 6, 7]), Axis::Z, [6, 7]).unwrap().size, [7, 6, 5, 1]);
        assert_eq!(grid(&case(&[5, 6, 7]), Axis::X, [5, 6]).unwrap().size, [7, 6, 5, 1]);
        assert_eq!(grid(&case(&[60, 70, 3]), Axis::Z, [60, 70]).unwrap().size, [70, 60, 1, 1]);
        assert!(grid(&case(&[60, 70, 3]), Axis::Z, [61, 70]).is_err());
    }

    fn labels() -> Labels {
        let mut labels = Labels::default();
        labels.add("1", "liver", "liver", None);
        labels.add("2", "left kidney", "kidney", None);
        labels
    }

    fn named(entries: &[(i64, &str)]) -> BTreeMap<i64, String> {
        entries.iter().map(|(value, name)| (*value, name.to_string())).collect()
    }

    #[test]
    fn names_decide_and_contradictions_are_refused() {
        let mut report = ImportReport::default();
        let same = by_name(&named(&[(1, "Liver"), (2, "left_kidney")]), &labels(), "t", &mut report).unwrap();
        assert_eq!((same[&1], same[&2], report.notes.len()), (1, 2, 0));
        let moved = by_name(&named(&[(2, "liver"), (1, "left kidney")]), &labels(), "t", &mut report).unwrap();
        assert_eq!((moved[&1], moved[&2], report.notes.len()), (2, 1, 1));
        by_name(&named(&[(1, "L"), (2, "K")]), &labels(), "t", &mut report).unwrap();
        assert!(report.notes[1].contains("1 (L), 2 (K)") && report.notes[1].contains("by number"));
        let mixed = by_name(&named(&[(2, "liver"), (1, "K")]), &labels(), "t", &mut report).unwrap_err();
        assert!(mixed.contains("the numbers are ambiguous"), "{mixed}");
    }
}
