//! Predictions made elsewhere, taken in under the name of their model: nnU-Net, MedSAM or a colleague's network then goes
//! through the same evaluation as SAM.
//!
//! Three forms are read:
//!
//! | given | holds |
//! |---|---|
//! | a folder | `<mask_id>.png` for each mask (every value but 0 is the object), or `<slice_id>.png` for each slice (the values are the `label_value` of its masks) |
//! | a `.json` | COCO: `images` (`file_name` is the slice's id, `.png` or not), `categories` (`name` is the mask's label: the last part of its id, its `label_name` or its `object`), `annotations` with a run-length `segmentation` and perhaps a `score` |
//! | a `.parquet` | `mask_id`, `counts` (COCO's compressed runs), perhaps `height` and `width`, `predicted_iou` |
//!
//! Several predictions of one mask are its candidates, the best rated first. A mask without a prediction is told and left
//! out: an empty prediction is one that is there and has no pixel.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::slices_of::{build_shards, table_file};
use super::{Error, MEASURES, Progress, Result, discard_outdated};
use crate::digest::sha256;
use crate::image::Samples;
use crate::mask::Mask;
use crate::store::{
    Dataset, MaskRow, Partition, PredictionRow, Receipt, Rle, Rows, Shard, ShardKey, Table, Verify, commit,
    discard_stale,
};

/// Name of the strategy where none is given.
pub const IMPORTED: &str = "imported";

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Model.
    pub model: String,
    /// Masks that have a prediction now.
    pub masks: u64,
    /// Predictions: one for each mask and candidate.
    pub predictions: u64,
    /// Masks of the dataset for which there is none.
    pub missing: Vec<String>,
}

/// Predictions as they are found.
enum Found {
    /// Pictures in a folder.
    Folder(PathBuf),
    /// Candidates by mask, or by slice and label.
    Codes { by_mask: HashMap<String, Vec<Code>>, digest: String },
}

/// One candidate, still in code.
#[derive(Clone, Debug)]
struct Code {
    size: Option<[u32; 2]>,
    counts: Counts,
    score: Option<f32>,
}

/// COCO's runs, compressed or not.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Counts {
    Plain(Vec<u32>),
    Compressed(String),
}

/// Takes the predictions in `from` into a dataset as those of `model`, in place of what was imported under this name and
/// strategy before.
///
/// # Errors
/// A form that is not read, a prediction that does not fit its mask, no prediction that belongs to a mask of the dataset.
pub fn import(
    dataset: &Dataset,
    from: &Path,
    model: &str,
    strategy: &str,
    progress: &Progress,
) -> Result<ImportReport> {
    let builds = build_shards(dataset)?;
    let found = Found::open(from)?;
    let mut report = ImportReport { model: model.to_string(), ..Default::default() };
    let mut shards = Vec::new();
    progress.begin("import", "masks", builds.iter().map(|b| b.files["masks"].rows).sum());
    for build in &builds {
        let mut rows = Vec::new();
        for mask in Rows::<MaskRow>::of(table_file(dataset, build, Table::Masks)) {
            let mask = mask?;
            let candidates = found.candidates(&mask)?;
            progress.advance(1);
            if candidates.is_empty() {
                report.missing.push(mask.mask_id.clone());
                continue;
            }
            report.masks += 1;
            let row = |(index, (found, score)): (usize, (Mask, Option<f32>))| PredictionRow {
                mask_id: mask.mask_id.clone(),
                slice_id: mask.slice_id.clone(),
                case_id: mask.case_id.clone(),
                source: mask.source.clone(),
                model: model.to_string(),
                strategy: strategy.to_string(),
                variant: String::new(),
                points: Vec::new(),
                point_labels: Vec::new(),
                r#box: None,
                candidate: index as u32,
                predicted_iou: score,
                stability: None,
                mask: Rle::from(&found),
            };
            rows.extend(candidates.into_iter().enumerate().map(row));
        }
        report.predictions += rows.len() as u64;
        if !rows.is_empty() {
            shards.push(write(dataset, build, model, strategy, found.digest(), rows)?);
        }
    }
    progress.end();
    if shards.is_empty() {
        let example = report.missing.first().map_or("the dataset has no masks", String::as_str);
        return Err(problem(
            from,
            format!("none of its predictions belongs to a mask of the dataset, such as {example}"),
        ));
    }
    // Other strategies of the same name stay.
    for receipt in dataset.receipts()? {
        let own = receipt.stage == "predict" && receipt.model.as_deref() == Some(model);
        if own && receipt.key.get("pass").is_some_and(|pass| pass != strategy) {
            shards.push(Shard::new("predict", Partition::model(model, &receipt.source)?, receipt.key)?);
        }
    }
    discard_stale(dataset, &shards)?;
    discard_outdated(dataset, MEASURES)?;
    commit(dataset, &shards, Verify::Quick)?;
    Ok(report)
}

/// Writes the predictions of one build shard.
fn write(
    dataset: &Dataset,
    build: &Receipt,
    model: &str,
    strategy: &str,
    from: &str,
    rows: Vec<PredictionRow>,
) -> Result<Shard> {
    let described = rows.iter().map(|row| format!("{row:?}"));
    let key = ShardKey::new()
        .with("build", build.id.to_string())
        .with("pass", strategy)
        .with("from", from)
        .with_digest_of("rows", described);
    let shard = Shard::new("predict", Partition::model(model, &build.source)?, key)?;
    let mut writer = dataset.begin(&shard);
    rows.into_iter().try_for_each(|row| writer.push(row))?;
    writer.finish()?;
    Ok(shard)
}

fn problem(path: &Path, reason: impl ToString) -> Error {
    Error::Import { path: path.to_path_buf(), reason: reason.to_string() }
}

impl Found {
    fn open(from: &Path) -> Result<Found> {
        if from.is_dir() {
            return Ok(Found::Folder(from.to_path_buf()));
        }
        let bytes = fs::read(from).map_err(|e| problem(from, e))?;
        let digest = sha256(&bytes);
        let by_mask = match from.extension().and_then(|e| e.to_str()) {
            Some("json") => coco(&bytes).map_err(|e| problem(from, e))?,
            Some("parquet") => parquet(from)?,
            _ => return Err(problem(from, "expected a folder of PNG, a COCO .json or a .parquet")),
        };
        Ok(Found::Codes { by_mask, digest })
    }

    fn digest(&self) -> &str {
        match self {
            Found::Folder(_) => "pictures",
            Found::Codes { digest, .. } => digest,
        }
    }

    /// The candidates of a mask, the best rated first.
    fn candidates(&self, mask: &MaskRow) -> Result<Vec<(Mask, Option<f32>)>> {
        match self {
            Found::Folder(folder) => Ok(picture(folder, mask)?.into_iter().map(|mask| (mask, None)).collect()),
            Found::Codes { by_mask, .. } => {
                let last = mask.mask_id.rsplit('/').next().unwrap_or_default();
                let keys = [last, &mask.label_name, &mask.object].map(|label| format!("{}\n{label}", mask.slice_id));
                let of_label = || keys.iter().find_map(|key| by_mask.get(key));
                let mut codes = by_mask.get(&mask.mask_id).or_else(of_label).cloned().unwrap_or_default();
                codes.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
                codes.into_iter().map(|code| Ok((decoded(&code, mask)?, code.score))).collect()
            }
        }
    }
}

fn decoded(code: &Code, truth: &MaskRow) -> Result<Mask> {
    let [height, width] = truth.mask.size;
    let damaged = |reason: String| Error::Damaged { id: format!("the prediction of {}", truth.mask_id), reason };
    if let Some(found) = code.size.filter(|size| *size != truth.mask.size) {
        let reason = format!("it is {} x {} (height x width), its slice {height} x {width}", found[0], found[1]);
        return Err(damaged(reason));
    }
    match &code.counts {
        Counts::Plain(counts) => Mask::from_counts(height, width, counts),
        Counts::Compressed(counts) => Mask::from_coco(height, width, counts.as_bytes()),
    }
    .map_err(|e| damaged(e.to_string()))
}

/// The prediction of a mask in a folder of pictures.
fn picture(folder: &Path, truth: &MaskRow) -> Result<Option<Mask>> {
    let own = folder.join(format!("{}.png", truth.mask_id));
    let of_slice = folder.join(format!("{}.png", truth.slice_id));
    let (path, value) = match (own.is_file(), of_slice.is_file()) {
        (true, _) => (own, None),
        (false, true) => {
            let value = truth.label_value.parse::<f64>();
            let value = value.map_err(|_| {
                let reason = format!("{} has no number for a value: give it a picture of its own", truth.mask_id);
                problem(&of_slice, reason)
            })?;
            (of_slice, Some(value))
        }
        (false, false) => return Ok(None),
    };
    let bytes = fs::read(&path).map_err(|e| problem(&path, e))?;
    let image = crate::formats::png::read(&bytes).map_err(|e| problem(&path, e))?;
    let [height, width] = truth.mask.size;
    if image.size[..2] != [width as usize, height as usize] || image.components != 1 {
        let [x, y, ..] = image.size;
        let reason = format!("it is {x} x {y} with {} component(s), its slice {width} x {height}", image.components);
        return Err(problem(&path, reason));
    }
    if matches!(image.samples, Samples::F32(_) | Samples::F64(_)) {
        return Err(problem(&path, "expected whole numbers"));
    }
    let inside = |i: usize| match value {
        Some(value) => image.samples.get(i) == value,
        None => image.samples.get(i) != 0.0,
    };
    Ok(Some(Mask::from_predicate(height, width, inside)))
}

/// A COCO file, as far as it is read.
#[derive(Deserialize)]
struct Coco {
    images: Vec<CocoImage>,
    categories: Vec<CocoCategory>,
    annotations: Vec<CocoAnnotation>,
}

#[derive(Deserialize)]
struct CocoImage {
    id: serde_json::Value,
    file_name: String,
}

#[derive(Deserialize)]
struct CocoCategory {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct CocoAnnotation {
    image_id: serde_json::Value,
    category_id: u64,
    segmentation: serde_json::Value,
    #[serde(default)]
    score: Option<f32>,
}

#[derive(Deserialize)]
struct CocoRuns {
    size: [u32; 2],
    counts: Counts,
}

/// Candidates by slice and label, a line break between them.
fn coco(bytes: &[u8]) -> std::result::Result<HashMap<String, Vec<Code>>, String> {
    let file: Coco = serde_json::from_slice(bytes).map_err(|e| format!("not COCO: {e}"))?;
    let slices: HashMap<String, String> = file
        .images
        .into_iter()
        .map(|image| (image.id.to_string(), image.file_name.trim_end_matches(".png").to_string()))
        .collect();
    let labels: HashMap<u64, String> = file.categories.into_iter().map(|c| (c.id, c.name)).collect();
    let mut found: HashMap<String, Vec<Code>> = HashMap::new();
    for (at, annotation) in file.annotations.into_iter().enumerate() {
        let slice = slices.get(&annotation.image_id.to_string());
        let slice = slice.ok_or_else(|| format!("annotation {at}: there is no image {}", annotation.image_id))?;
        let label = labels.get(&annotation.category_id);
        let label = label.ok_or_else(|| format!("annotation {at}: there is no category {}", annotation.category_id))?;
        let CocoRuns { size, counts } = serde_json::from_value(annotation.segmentation).map_err(|_| {
            format!("annotation {at}: expected a run-length `segmentation`; polygons must be encoded first (pycocotools `annToRLE`)")
        })?;
        let code = Code { size: Some(size), counts, score: annotation.score };
        found.entry(format!("{slice}\n{label}")).or_default().push(code);
    }
    Ok(found)
}

/// Candidates by mask.
#[cfg(feature = "query")]
fn parquet(from: &Path) -> Result<HashMap<String, Vec<Code>>> {
    let table = crate::analysis::read_codes(from).map_err(|e| problem(from, e))?;
    let mut found: HashMap<String, Vec<Code>> = HashMap::new();
    for crate::analysis::CodeRow { mask_id, counts, size, predicted_iou } in table {
        let code = Code { size, counts: Counts::Compressed(counts), score: predicted_iou };
        found.entry(mask_id).or_default().push(code);
    }
    Ok(found)
}

/// Candidates by mask.
#[cfg(not(feature = "query"))]
fn parquet(from: &Path) -> Result<HashMap<String, Vec<Code>>> {
    Err(problem(from, "this program was built without the feature `query`, which reads foreign tables"))
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

    #[test]
    fn coco_is_read_by_slice_and_label() {
        let found = coco(FILE.as_bytes()).unwrap();
        let codes = &found["acdc/p1/z0001\nright ventricle"];
        assert_eq!(codes.iter().map(|c| c.score).collect::<Vec<_>>(), [Some(0.5), Some(0.9)]);
        for (from, to, words) in [
            ("\"image_id\": 7", "\"image_id\": 8", "no image 8"),
            ("\"category_id\": 1", "\"category_id\": 2", "no category 2"),
            ("{\"size\": [3, 4], \"counts\": \"353L\"}", "[[1, 2, 3, 4, 5, 6]]", "polygons must be encoded"),
            ("\"images\"", "\"pictures\"", "not COCO"),
        ] {
            let error = coco(FILE.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
