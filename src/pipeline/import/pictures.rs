//! Predictions as a folder of PNG files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::label_map::{self, Labels};
use super::names::{Names, Template};
use super::{Candidate, Error, ImportReport, OfSlice, Result, Wanted, problem};
use crate::formats::png;
use crate::image::{Image, Samples};
use crate::mask::{Connectivity, Mask};
use crate::memory::Budget;
use crate::raw::read_whole;

/// What to do about values that are no labels.
const CURE: &str = "write the value of its label into each pixel, or write one file per mask";

/// The pictures of a folder by what they are of.
pub(super) struct Pictures {
    by_slice: BTreeMap<String, Picture>,
    by_mask: BTreeMap<String, Picture>,
    /// Files that are of nothing.
    unused: Vec<String>,
    /// For each source what the values of its pictures have been.
    seen: BTreeMap<String, Seen>,
}

struct Picture {
    path: PathBuf,
    /// The path below the folder.
    name: String,
    used: bool,
}

#[derive(Default)]
struct Seen {
    values: label_map::Seen,
    several_instances: bool,
    /// A picture of one value in several pieces, where the slice has several instances.
    in_pieces: Option<String>,
}

impl Pictures {
    pub(super) fn open(folder: &Path, template: Option<&str>, names: &Names) -> Result<Pictures> {
        let template = template.map(|t| Template::new(t, names)).transpose().map_err(|e| problem(folder, e))?;
        let mut found =
            Pictures { by_slice: BTreeMap::new(), by_mask: BTreeMap::new(), unused: Vec::new(), seen: BTreeMap::new() };
        let mut others: BTreeMap<String, (usize, String)> = BTreeMap::new();
        for (path, name) in files_below(folder)? {
            let Some(stem) = name.strip_suffix(".png").or_else(|| name.strip_suffix(".PNG")) else {
                let counted = others.entry(ending(&name)).or_insert((0, name));
                counted.0 += 1;
                continue;
            };
            let id = match &template {
                Some(template) => template.id(&name),
                None => Some(stem.to_string()),
            };
            let slice = id.as_deref().and_then(|id| names.slice(id));
            let mask = id.as_deref().filter(|_| slice.is_none()).and_then(|id| names.mask(id));
            let (map, id) = match (slice, mask) {
                (Some(slice), _) => (&mut found.by_slice, slice),
                (None, Some(mask)) => (&mut found.by_mask, mask),
                (None, None) => {
                    found.unused.push(name);
                    continue;
                }
            };
            if let Some(first) = map.get(&id) {
                let reason = format!("both {} and {name} are named as predictions of {id}", first.name);
                return Err(problem(folder, reason));
            }
            map.insert(id, Picture { path, name, used: false });
        }
        if found.by_slice.is_empty() && found.by_mask.is_empty() && found.unused.is_empty() {
            let others: Vec<String> =
                others.iter().map(|(ending, (n, example))| format!("{n} {ending} (such as {example})")).collect();
            let others = if others.is_empty() { "nothing".to_string() } else { others.join(", ") };
            let example = names.example();
            let reason = format!(
                "contains {others}; expected PNG files (such as {example}.png) or volumes (.nii.gz, .nii, .nrrd, .mha, \
                 named by case)"
            );
            return Err(problem(folder, reason));
        }
        Ok(found)
    }

    pub(super) fn of_slice(&mut self, slice: &Wanted, labels: &Labels, report: &mut ImportReport) -> Result<OfSlice> {
        let mut of_slice: OfSlice = vec![None; slice.masks.len()];
        for ((row, _), found) in slice.masks.iter().zip(&mut of_slice) {
            if let Some(picture) = self.by_mask.get_mut(&row.mask_id) {
                picture.used = true;
                let mask = own(picture, row.mask.size)?;
                *found = Some(vec![Candidate { mask, score: None }]);
            }
        }
        if let Some(picture) = self.by_slice.get_mut(&slice.slice_id)
            && of_slice.iter().any(Option::is_none)
        {
            picture.used = true;
            let values = values(picture, slice.size())?;
            let seen = self.seen.entry(slice.masks[0].0.source.clone()).or_default();
            seen.add(&values, slice, &picture.name);
            let by_value = label_map::of_slice(&values, slice, labels, &mut seen.values, CURE, report);
            let by_value = by_value.map_err(|reason| problem(&picture.path, reason))?;
            of_slice.iter_mut().zip(by_value).filter(|(own, _)| own.is_none()).for_each(|(own, found)| *own = found);
        }
        Ok(of_slice)
    }

    /// Files that belong to no mask.
    pub(super) fn unused(&self) -> Vec<String> {
        let all = self.by_slice.values().chain(self.by_mask.values());
        let mut unused: Vec<String> = all.filter(|p| !p.used).map(|p| p.name.clone()).collect();
        unused.extend(self.unused.iter().cloned());
        unused.sort();
        unused
    }

    /// Refuses pictures that tell no instances apart, and notes labels that never occur.
    pub(super) fn check(
        &self,
        folder: &Path,
        labels: &BTreeMap<String, Labels>,
        report: &mut ImportReport,
    ) -> Result<()> {
        for (source, seen) in &self.seen {
            if let Some(example) = seen.in_pieces.as_ref().filter(|_| !seen.several_instances) {
                return Err(problem(
                    folder,
                    format!(
                        "no file of {source} has more than one value besides 0, but {example} has several components \
                         and its slice several instances: number the instances first (`scipy.ndimage.label`)"
                    ),
                ));
            }
            if let Some(labels) = labels.get(source) {
                let checked = seen.values.check(source, labels, CURE, report);
                checked.map_err(|reason| problem(folder, reason))?;
            }
        }
        Ok(())
    }
}

impl Seen {
    fn add(&mut self, values: &[i64], slice: &Wanted, name: &str) {
        let own: BTreeSet<i64> = values.iter().copied().filter(|value| *value != 0).collect();
        if slice.masks.len() > 1 && slice.masks.iter().all(|(row, _)| row.instance.is_some()) {
            self.several_instances |= own.len() > 1;
            if own.len() == 1 && self.in_pieces.is_none() {
                let [height, width] = slice.size();
                let all = Mask::from_predicate(height, width, |i| values[i] != 0);
                self.in_pieces = (all.component_count(Connectivity::Eight) > 1).then(|| name.to_string());
            }
        }
    }
}

/// All files below a folder, and how their paths go on from there, in order.
pub(super) fn files_below(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| problem(folder, e))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let below = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let name = below.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        files.push((entry.into_path(), name));
    }
    Ok(files)
}

/// The ending of a file's name, with the two parts of `.nii.gz`.
fn ending(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    if name.ends_with(".nii.gz") {
        return ".nii.gz".into();
    }
    name.rsplit_once('.').map_or("files without an extension".to_string(), |(_, ending)| format!(".{ending}"))
}

/// The one object of a picture that belongs to a mask.
fn own(picture: &Picture, size: [u32; 2]) -> Result<Mask> {
    let values = values(picture, size)?;
    let found: BTreeSet<i64> = values.iter().copied().collect();
    if found.iter().filter(|value| **value != 0).count() > 1 {
        let n = found.len();
        let found: Vec<String> = found.iter().take(12).map(i64::to_string).collect();
        let more = if n > 12 { format!(", … ({n} values)") } else { String::new() };
        let reason = format!(
            "contains the values {}{more}, but the file of one mask has 0 and one other value: apply a threshold first",
            found.join(", ")
        );
        return Err(problem(&picture.path, reason));
    }
    Ok(Mask::from_predicate(size[0], size[1], |i| values[i] != 0))
}

/// The one value of each pixel, row by row.
fn values(picture: &Picture, [height, width]: [u32; 2]) -> Result<Vec<i64>> {
    let refuse = |reason: String| Err::<Vec<i64>, Error>(problem(&picture.path, reason));
    let room = Budget::default().room();
    let bytes = read_whole(&picture.path, &room).map_err(|e| problem(&picture.path, e.reason))?;
    let image = png::read_within(&bytes, &room).map_err(|e| problem(&picture.path, e))?;
    let [x, y, ..] = image.size;
    if [x, y] != [width as usize, height as usize] {
        let turned = if [y, x] == [width as usize, height as usize] { " (are rows and columns swapped?)" } else { "" };
        return refuse(format!(
            "the size is {x} x {y} (width x height), but that of the slice {width} x \
            {height}{turned}"
        ));
    }
    if let Some(tag) = image.meaning.orientation.filter(|tag| *tag != 1) {
        return refuse(format!(
            "orientation tag {tag} makes viewers rotate or mirror the image: apply the tag to the pixels and remove it"
        ));
    }
    if matches!(image.samples, Samples::F32(_) | Samples::F64(_)) {
        return refuse("expected whole numbers".into());
    }
    grey(&image).or_else(refuse)
}

/// The one value of each pixel of a picture that may have been written as colour.
fn grey(image: &Image) -> std::result::Result<Vec<i64>, String> {
    let value = |i: usize| image.samples.get(i) as i64;
    let n = image.components;
    let pixels = image.samples.len() / n;
    if n == 2 || n == 4 {
        let alpha = value(n - 1);
        if (0..pixels).any(|p| value(p * n + n - 1) != alpha) {
            return Err("partially transparent, which is ambiguous: write the file without alpha".into());
        }
    }
    if n >= 3 && (0..pixels).any(|p| value(p * n) != value(p * n + 1) || value(p * n) != value(p * n + 2)) {
        return Err("a colour image: write the value of the label into a grey image".into());
    }
    let values: Vec<i64> = (0..pixels).map(|p| value(p * n)).collect();
    image.labels_of_palette(&|_| false)?;
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_may_be_written_as_colour() {
        let rgb = Image::picture(2, 1, 3, Samples::U8(vec![0, 0, 0, 7, 7, 7]));
        assert_eq!(grey(&rgb).unwrap(), [0, 7]);
        let rgba = Image::picture(2, 1, 4, Samples::U8(vec![0, 0, 0, 255, 7, 7, 7, 255]));
        assert_eq!(grey(&rgba).unwrap(), [0, 7]);
        let alpha = Image::picture(2, 1, 2, Samples::U8(vec![9, 0, 9, 255]));
        assert!(grey(&alpha).unwrap_err().contains("transparent"));
        let colour = Image::picture(1, 1, 3, Samples::U8(vec![0, 9, 0]));
        assert!(grey(&colour).unwrap_err().contains("a colour image"));
        let mut indexed = Image::picture(2, 1, 1, Samples::U8(vec![0, 1]));
        indexed.palette = Some(vec![[0, 0, 0, 255], [128, 0, 0, 255]]);
        assert_eq!(grey(&indexed).unwrap(), [0, 1]);
        indexed.palette = Some(vec![[255, 255, 255, 255], [0, 0, 0, 255]]);
        assert!(grey(&indexed).unwrap_err().contains("background"));
    }

    #[test]
    fn endings_know_two_parts() {
        assert_eq!(ending("a/case.nii.gz"), ".nii.gz");
        assert_eq!(ending("a/case.TIF"), ".tif");
    }
}
