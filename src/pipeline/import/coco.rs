//! Predictions as COCO: a whole file, or the bare list of results that pycocotools' `loadRes` accepts, whose images and
//! categories are in another file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::label_map::by_rater;
use super::names::Names;
use super::{Candidate, Error, ImportReport, OfSlice, Result, Wanted, one_or_candidates, problem};
use crate::coco::{Annotation, Category, Counts, Document, Explanation, Image, Runs, Segmentation};
use crate::mask::Mask;

/// One prediction, still in code.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) size: Option<[u32; 2]>,
    pub(super) counts: Counts,
    pub(super) score: Option<f32>,
}

impl Code {
    /// The prediction of a mask of `size`, height and width.
    pub(super) fn decoded(&self, [height, width]: [u32; 2], id: &str) -> Result<Candidate> {
        let damaged = |reason: String| Error::Damaged { id: format!("the prediction of {id}"), reason };
        if let Some(found) = self.size.filter(|size| *size != [height, width]) {
            let reason = format!(
                "the size is {} x {} (height x width), but that of the slice {height} x {width}",
                found[0], found[1]
            );
            return Err(damaged(reason));
        }
        let mask = match &self.counts {
            Counts::Plain(counts) => Mask::from_counts(height, width, counts),
            Counts::Compressed(counts) => Mask::from_coco(height, width, counts.as_bytes()),
        };
        Ok(Candidate { mask: mask.map_err(|e| damaged(e.to_string()))?, score: self.score })
    }
}

/// The annotations of a file by slice and category.
pub(super) struct Annotations {
    by_slice: HashMap<String, BTreeMap<String, Vec<Code>>>,
    /// Names of images that are no slice, and of slices with the categories that no mask has.
    unused: BTreeSet<String>,
    /// The file that explains a list of results.
    explained_by: Option<PathBuf>,
}

impl Annotations {
    /// Reads `bytes`, the content of `from`. A list is explained by `explanation`, or by `annotations.json` next to it.
    pub(super) fn open(from: &Path, bytes: &[u8], explanation: Option<&Path>, names: &Names) -> Result<Annotations> {
        let is_list = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
        if !is_list {
            let Document { images, categories, annotations } =
                serde_json::from_slice(bytes).map_err(|e| problem(from, format!("not COCO: {e}")))?;
            return Self::new(images, categories, annotations, names).map_err(|e| problem(from, e));
        }
        let list: Vec<Annotation> =
            serde_json::from_slice(bytes).map_err(|e| problem(from, format!("not a list of COCO results: {e}")))?;
        let beside = from.with_file_name("annotations.json");
        let file =
            explanation.map(Path::to_path_buf).or_else(|| (beside != from && beside.is_file()).then_some(beside));
        let Some(file) = file else {
            let needs = list.iter().any(|a| a.image_id.is_number() || a.category_id.is_number());
            if needs {
                return Err(problem(
                    from,
                    "a list of results identifies images and categories by number: pass the COCO file that defines \
                     them with `--annotations FILE` (the one given to the model; `medcosmos export --form coco` writes \
                     one)",
                ));
            }
            return Self::new(Vec::new(), Vec::new(), list, names).map_err(|e| problem(from, e));
        };
        let bytes = fs::read(&file).map_err(|e| problem(&file, e))?;
        let Explanation { images, categories } = serde_json::from_slice(&bytes)
            .map_err(|e| problem(&file, format!("expected a COCO file with images and categories: {e}")))?;
        let mut found = Self::new(images, categories, list, names).map_err(|e| problem(from, e))?;
        found.explained_by = Some(file);
        Ok(found)
    }

    fn new(
        images: Vec<Image>,
        categories: Vec<Category>,
        annotations: Vec<Annotation>,
        names: &Names,
    ) -> std::result::Result<Annotations, String> {
        let mut of_image: HashMap<String, String> = HashMap::new();
        for image in images {
            if let Some(first) = of_image.insert(key(&image.id), image.file_name.clone()) {
                return Err(format!("image {} occurs twice, as {first} and {}", image.id, image.file_name));
            }
        }
        let mut of_category: HashMap<String, String> = HashMap::new();
        for category in categories {
            if let Some(first) = of_category.insert(key(&category.id), category.name.clone()) {
                return Err(format!("category {} occurs twice, as {first} and {}", category.id, category.name));
            }
        }
        // A word that is no number of the file is a name itself.
        let named = |known: &HashMap<String, String>, id: &Value| match (known.get(&key(id)), id) {
            (Some(name), _) => Some(name.clone()),
            (None, Value::String(name)) => Some(name.clone()),
            (None, _) => None,
        };
        let mut found = Annotations { by_slice: HashMap::new(), unused: BTreeSet::new(), explained_by: None };
        for (at, annotation) in annotations.into_iter().enumerate() {
            let image = named(&of_image, &annotation.image_id);
            let image =
                image.ok_or_else(|| format!("annotation {at}: no image {} in the file", annotation.image_id))?;
            let label = named(&of_category, &annotation.category_id);
            let label =
                label.ok_or_else(|| format!("annotation {at}: no category {} in the file", annotation.category_id))?;
            let Runs { size, counts } = match annotation.segmentation {
                Segmentation::Runs(runs) => runs,
                Segmentation::Other(Value::Null) => {
                    return Err(format!("annotation {at}: no `segmentation`; boxes without masks cannot be evaluated"));
                }
                Segmentation::Other(_) => {
                    return Err(format!(
                        "annotation {at}: expected a run-length encoded `segmentation`; convert polygons first \
                         (pycocotools `annToRLE`)"
                    ));
                }
            };
            match names.slice(without_ending(&image)) {
                None => {
                    found.unused.insert(image);
                }
                Some(slice) => {
                    let code = Code { size: Some(size), counts, score: annotation.score };
                    found.by_slice.entry(slice).or_default().entry(label).or_default().push(code);
                }
            }
        }
        Ok(found)
    }

    /// What is predicted for the masks of a slice. A category names a mask by the last part of its id, its label or its
    /// object; where it names several, or instances, its annotations are matched with them by overlap.
    pub(super) fn of_slice(&mut self, slice: &Wanted, candidates: bool, report: &mut ImportReport) -> Result<OfSlice> {
        let mut of_slice: OfSlice = vec![None; slice.masks.len()];
        let Some(mut by_label) = self.by_slice.remove(&slice.slice_id) else { return Ok(of_slice) };
        let mut members: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (i, (row, _)) in slice.masks.iter().enumerate() {
            let last = row.mask_id.rsplit('/').next().unwrap_or_default();
            let names = [last, &row.label_name, &row.object];
            if let Some(name) = names.into_iter().find(|name| by_label.contains_key(*name)) {
                members.entry(name.to_string()).or_default().push(i);
            }
        }
        for (label, members) in members {
            let codes = by_label.remove(&label).unwrap_or_default();
            let all = codes.iter().map(|code| code.decoded(slice.size(), &format!("{}/{label}", slice.slice_id)));
            let all = all.collect::<Result<Vec<Candidate>>>()?;
            let rows = || members.iter().map(|&i| &slice.masks[i].0);
            let raters: BTreeSet<Option<&str>> = rows().map(|row| row.rater.as_deref()).collect();
            let is_one = raters.len() == members.len()
                && rows().all(|row| row.instance.is_none() || row.mask_id.ends_with(&format!("/{label}")));
            if is_one {
                let all = one_or_candidates(all, candidates, report);
                members.into_iter().for_each(|i| of_slice[i] = Some(all.clone()));
            } else {
                let matched = by_rater(slice, members.clone(), &all, report);
                members.into_iter().zip(matched).for_each(|(i, found)| of_slice[i] = found);
            }
        }
        self.unused.extend(by_label.keys().map(|label| format!("{} ({label})", slice.slice_id)));
        Ok(of_slice)
    }

    pub(super) fn unused(&self) -> Vec<String> {
        self.unused.iter().cloned().collect()
    }

    /// Which file explained a list, where none was named.
    pub(super) fn explained_by(&self) -> Option<String> {
        let file = self.explained_by.as_ref()?;
        Some(format!("images and categories are defined by {}", file.display()))
    }
}

/// An id as text: 7, 7.0 and "7" are one.
fn key(id: &Value) -> String {
    match id {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string())
        }
        other => other.to_string(),
    }
}

/// A file's name without the ending of a picture.
fn without_ending(name: &str) -> &str {
    let picture = |ending: &str| ["png", "jpg", "jpeg", "tif", "tiff", "bmp"].contains(&ending);
    match name.rsplit_once('.') {
        Some((stem, ending)) if picture(&ending.to_ascii_lowercase()) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "images": [{"id": 7, "file_name": "acdc/p1/z0001.png"}],
        "categories": [{"id": 1, "name": "right ventricle"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "segmentation": {"size": [3, 4], "counts": "353L"}, "score": 0.5},
            {"image_id": 7, "category_id": 1, "segmentation": {"size": [3, 4], "counts": [3, 5, 3, 1]}, "score": 0.9}
        ]
    }"#;

    fn open(text: &str) -> Result<Annotations> {
        let names = Names::new(["acdc/p1/z0001".to_string()].into());
        Annotations::open(Path::new("predictions.json"), text.as_bytes(), None, &names)
    }

    fn scores(found: &Annotations) -> Vec<Option<f32>> {
        found.by_slice["acdc/p1/z0001"]["right ventricle"].iter().map(|code| code.score).collect()
    }

    #[test]
    fn a_file_is_read_by_slice_and_label() {
        assert_eq!(scores(&open(FILE).unwrap()), [Some(0.5), Some(0.9)]);
        let elsewhere = open(&FILE.replace("acdc/p1", "acdc/p9")).unwrap();
        assert_eq!(elsewhere.unused(), ["acdc/p9/z0001.png"]);
        for (from, to, words) in [
            ("\"image_id\": 7", "\"image_id\": 8", "no image 8"),
            ("\"category_id\": 1", "\"category_id\": 2", "no category 2"),
            ("{\"size\": [3, 4], \"counts\": \"353L\"}", "[[1, 2, 3, 4, 5, 6]]", "convert polygons first"),
            ("{\"size\": [3, 4], \"counts\": \"353L\"}", "null", "boxes without masks"),
            ("\"images\"", "\"pictures\"", "not COCO"),
            ("[{\"id\": 1,", "[{\"id\": 1, \"name\": \"left\"}, {\"id\": 1,", "category 1 occurs twice"),
        ] {
            let error = open(&FILE.replacen(from, to, 1)).err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn numbers_with_a_point_are_the_same_ids() {
        assert_eq!(
            scores(&open(&FILE.replace("\"image_id\": 7", "\"image_id\": 7.0")).unwrap()),
            [Some(0.5), Some(0.9)]
        );
        assert_eq!(scores(&open(&FILE.replace("\"id\": 1,", "\"id\": 1.0,")).unwrap()), [Some(0.5), Some(0.9)]);
    }

    #[test]
    fn a_list_of_results_needs_an_explanation_or_names() {
        let list =
            r#"[{"image_id": 7, "category_id": 1, "segmentation": {"size": [3, 4], "counts": "353L"}, "score": 0.5}]"#;
        assert!(open(list).err().unwrap().to_string().contains("--annotations"));
        let named = list
            .replace('7', "\"acdc/p1/z0001\"")
            .replace("\"category_id\": 1", "\"category_id\": \"right ventricle\"");
        assert_eq!(scores(&open(&named).unwrap()), [Some(0.5)]);
    }
}
