//! The stage `import`: predictions of other programs (nnU-Net, MedSAM, any network) under the name of their model, for
//! the same evaluation as SAM. docs/predictions.md has an example of each form.
//!
//! | input | content |
//! |---|---|
//! | a folder of PNG | `<mask_id>.png` for each mask, or `<slice_id>.png` for each slice, whose values are the labels of its masks or the numbers of its instances |
//! | a folder of `.nii.gz`, `.nii`, `.nrrd`, `.mha` | a label map for each case, named by the case: nnU-Net's output |
//! | a `.json` | COCO: a file with `images`, `categories` and `annotations`, or the bare list of results that pycocotools' `loadRes` takes |
//! | a `.parquet` | `mask_id`, `counts` (COCO's compressed runs), perhaps `height` and `width`, `predicted_iou` |
//!
//! Predictions are matched slice by slice. Several instances of a label are matched with those of the ground truth by
//! overlap ([`matching`]) regardless of their numbers. Several predictions of one mask are merged, unless they are
//! declared as candidates. A mask without a prediction is reported and left out: an empty prediction is one that is
//! present but has no pixel. A prediction that belongs to no mask is reported too.

mod coco;
mod label_map;
mod matching;
mod names;
mod pictures;
mod volumes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::label_map::Labels;
use self::names::Names;
use super::change::{add_rows, finish_without};
use super::slices_of::{build_shards, table_file};
use super::standing::{is_imported, is_whole, predictions_of};
use super::{Error, Existing, Outdated, Progress, Result};
use crate::digest::canonical_json;
use crate::mask::Mask;
use crate::projection;
use crate::spec::{Decode, MaskPart, Registry, number_range};
use crate::store::{
    Dataset, MaskRow, Partition, PredictionRow, Receipt, Rle, Rows, Shard, ShardKey, ShardState, Stage, Table, Verify,
    check_name,
};

pub use self::matching::LEAST_IOU;

/// Name of the strategy where none is given.
pub const IMPORTED: &str = "imported";

/// What to import, and how.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Name of the model in the tables.
    pub model: String,
    /// Name of the strategy in the tables.
    pub strategy: String,
    /// Several predictions of one mask are candidates to choose from, and not parts of it.
    pub candidates: bool,
    /// COCO file that says which images and categories the numbers of a result list mean.
    pub annotations: Option<PathBuf>,
    /// Template of the files' names: `{case}_seg.png`.
    pub template: Option<String>,
    /// What becomes of other predictions of the same masks.
    pub existing: Existing,
}

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImportReport {
    /// Model.
    pub model: String,
    /// Masks that were predicted.
    pub masks: u64,
    /// Predictions: one for each mask and candidate.
    pub predictions: u64,
    /// Masks of these for which the same was imported before.
    pub unchanged: u64,
    /// Masks of these for which something else was imported before.
    pub replaced: u64,
    /// Other masks, whose predictions of earlier imports stay.
    pub kept: u64,
    /// Masks of the dataset for which there is no prediction.
    pub missing: Vec<String>,
    /// Files, or slices of a COCO file, that belong to nothing in the dataset.
    pub unused: Vec<String>,
    /// Instances of the ground truth that no predicted one overlaps enough; their prediction is empty.
    pub missed_instances: u64,
    /// Predicted instances that overlap none of the ground truth enough.
    pub surplus_instances: u64,
    /// Masks whose prediction was put together of several.
    pub united: u64,
    /// What else a user should know.
    pub notes: Vec<String>,
    /// Results of other stages that were removed, because these predictions changed.
    pub outdated: Outdated,
}

/// One prediction of a mask, and how sure its model is of it.
#[derive(Clone, Debug)]
struct Candidate {
    mask: Mask,
    score: Option<f32>,
}

/// A slice, as far as predictions are looked for in it.
struct Wanted {
    slice_id: String,
    /// Its masks, in the order of their ids.
    masks: Vec<(MaskRow, Mask)>,
}

impl Wanted {
    /// Height and width.
    fn size(&self) -> [u32; 2] {
        self.masks[0].0.mask.size
    }
}

/// What is predicted for the masks of a slice, in their order; `None` where nothing was predicted.
type OfSlice = Vec<Option<Vec<Candidate>>>;

/// Predictions as they are found.
enum Found {
    Pictures(pictures::Pictures),
    Volumes(Box<volumes::Volumes>),
    Coco(coco::Annotations),
    Codes(HashMap<String, Vec<coco::Code>>),
}

projection! {
    /// What the names of predictions are matched with, and their values.
    struct Key of Masks {
        slice_id: String,
        source: String,
        label_value: String,
        label_name: String,
        object: String,
        instance: Option<u32>,
    }
}

/// Takes the predictions in `from` into a dataset as those of a model. They add to what was imported under this name and
/// strategy before. The specs of `registry` say which labels a source has besides those that its masks show.
///
/// # Errors
/// A name of a model or strategy that cannot be a folder's, a form that is not read, a prediction that does not fit its mask or whose values have no clear meaning, no
/// prediction that belongs to a mask of the dataset. [`Error::Conflict`] where a mask has other predictions under this
/// name and strategy, unless they are to be replaced. The dataset is then as it was before.
pub fn import(
    dataset: &Dataset,
    from: &Path,
    options: &ImportOptions,
    registry: &Registry,
    progress: &Progress,
) -> Result<ImportReport> {
    check_name("model", &options.model)?;
    check_name("strategy", &options.strategy)?;
    let _lock = dataset.lock()?;
    let mut written = Vec::new();
    let report = take_in(dataset, from, options, registry, progress, &mut written);
    if report.is_err() {
        dataset.drop_uncommitted(&written)?; // what is refused halfway leaves nothing
    }
    report
}

/// The import; the shards that it writes go to `written`.
fn take_in(
    dataset: &Dataset,
    from: &Path,
    options: &ImportOptions,
    registry: &Registry,
    progress: &Progress,
    written: &mut Vec<Shard>,
) -> Result<ImportReport> {
    let builds = build_shards(dataset)?;
    let standing = Standing::of(dataset, &builds, options)?;
    let (names, labels) = keys(dataset, &builds, registry)?;
    let mut found = Found::open(dataset, &builds, from, options, &names)?;
    let mut report = ImportReport { model: options.model.clone(), ..Default::default() };
    let (mut shards, mut other) = (Vec::new(), Vec::new());
    progress.begin("import", "masks", builds.iter().map(|b| b.rows(Table::Masks)).sum());
    for build in &builds {
        let mut rows = Vec::new();
        let mut there = standing.rows_of(dataset, build)?;
        for slice in wanted(dataset, build) {
            let slice = slice?;
            let no_labels = Labels::default();
            let of_source = labels.get(&slice.masks[0].0.source).unwrap_or(&no_labels);
            let predicted = found.of_slice(&slice, of_source, options.candidates, &mut report)?;
            progress.advance(slice.masks.len() as u64);
            for ((mask, _), candidates) in slice.masks.iter().zip(predicted) {
                let row = |(index, candidate): (usize, Candidate)| prediction(mask, options, index, &candidate);
                let new = candidates.map(|candidates| candidates.into_iter().enumerate().map(row).collect());
                rows.extend(report.taken(&mask.mask_id, new, there.remove(&mask.mask_id), options, &mut other));
            }
        }
        if !rows.is_empty() {
            shards.push(write(dataset, build, options, rows, written)?);
        }
    }
    progress.end();
    report.unused = found.unused();
    if report.masks == 0 {
        let example =
            report.missing.first().map_or("the dataset has no masks; run `medcosmos build` first", String::as_str);
        return Err(problem(from, format!("{}, such as {example}", found.nothing_fits(&report.unused))));
    }
    found.check(from, &labels, &mut report)?;
    refuse_other(dataset, options, &other)?;
    shards.extend(standing.others);
    let computed = |receipt: &Receipt| standing.computed.iter().any(|computed| computed.id == receipt.id);
    let outdated = finish_without(dataset, &shards, BTreeMap::new(), &computed)?;
    report.outdated = Outdated { replaced: std::mem::take(&mut report.outdated.replaced), ..outdated };
    standing.computed.iter().for_each(|receipt| add_rows(&mut report.outdated.replaced, receipt));
    Ok(report)
}

impl ImportReport {
    /// Counts what becomes of a mask, and returns its rows: those that are imported now, or those of an earlier import.
    /// A mask that has `old` ones that differ goes to `other`.
    fn taken(
        &mut self,
        mask: &str,
        new: Option<Vec<PredictionRow>>,
        old: Option<Vec<PredictionRow>>,
        options: &ImportOptions,
        other: &mut Vec<String>,
    ) -> Vec<PredictionRow> {
        let Some(new) = new else {
            match &old {
                Some(_) => self.kept += 1,
                None => self.missing.push(mask.to_string()),
            }
            return old.unwrap_or_default();
        };
        self.masks += 1;
        self.predictions += new.len() as u64;
        match old {
            Some(old) if canonical_json(&old) == canonical_json(&new) => self.unchanged += 1,
            Some(old) if options.existing == Existing::Replace => {
                self.replaced += 1;
                *self.outdated.replaced.entry(Table::Predictions).or_default() += old.len() as u64;
            }
            Some(_) => other.push(mask.to_string()),
            None => {}
        }
        new
    }
}

/// What a dataset has of the model that is imported.
struct Standing {
    /// Imported under the same strategy.
    imported: Vec<Receipt>,
    /// Computed under the same strategy.
    computed: Vec<Receipt>,
    /// Shards that the import does not concern: of other strategies.
    others: Vec<Shard>,
}

impl Standing {
    /// Finds it.
    ///
    /// # Errors
    /// [`Error::Conflict`] where predictions of the strategy were computed, unless they are to be replaced.
    fn of(dataset: &Dataset, builds: &[Receipt], options: &ImportOptions) -> Result<Standing> {
        let ImportOptions { model, strategy, .. } = options;
        let mut standing = Standing { imported: Vec::new(), computed: Vec::new(), others: Vec::new() };
        for receipt in predictions_of(dataset, model)? {
            let of_build = builds.iter().any(|build| receipt.key.get("build") == Some(&build.id.to_string()));
            if receipt.key.get("pass") != Some(strategy) || !of_build {
                if is_whole(dataset, &receipt, Verify::Quick, "they are removed: predict or import them again")? {
                    standing.others.push(receipt.shard()?);
                }
            } else if is_imported(&receipt) {
                standing.imported.push(receipt);
            } else {
                standing.computed.push(receipt);
            }
        }
        let computed: u64 = standing.computed.iter().map(|receipt| receipt.rows(Table::Predictions)).sum();
        if computed > 0 && options.existing == Existing::Keep {
            let reason = format!(
                "{computed} predictions of {model} with the strategy {strategy} were computed by `medcosmos predict` and \
                 would have to go, also those of masks that are not imported. Nothing was imported. Use another \
                 `--strategy` or `--model`, or `--replace` to remove them"
            );
            return Err(Error::Conflict { path: dataset.path().to_path_buf(), reason });
        }
        Ok(standing)
    }

    /// Predictions that were imported for the masks of a build shard.
    fn rows_of(&self, dataset: &Dataset, build: &Receipt) -> Result<HashMap<String, Vec<PredictionRow>>> {
        let mut rows: HashMap<String, Vec<PredictionRow>> = HashMap::new();
        for receipt in self.imported.iter().filter(|r| r.key.get("build") == Some(&build.id.to_string())) {
            if !is_whole(dataset, receipt, Verify::Full, "they are left out: import them again")? {
                continue;
            }
            for row in Rows::<PredictionRow>::of(table_file(dataset, receipt, Table::Predictions)) {
                let row = row?;
                rows.entry(row.mask_id.clone()).or_default().push(row);
            }
        }
        Ok(rows)
    }
}

/// Refuses predictions of masks that have others.
fn refuse_other(dataset: &Dataset, options: &ImportOptions, other: &[String]) -> Result<()> {
    let Some(first) = other.first() else { return Ok(()) };
    let ImportOptions { model, strategy, .. } = options;
    let reason = format!(
        "{} masks, such as {first}, have other predictions of {model} with the strategy {strategy}, which would have to \
         go. Nothing was imported. Use another `--strategy` or `--model`, or `--replace` to replace them",
        other.len()
    );
    Err(Error::Conflict { path: dataset.path().to_path_buf(), reason })
}

/// Names of all slices, and for each source the values of its labels.
fn keys(dataset: &Dataset, builds: &[Receipt], registry: &Registry) -> Result<(Names, BTreeMap<String, Labels>)> {
    let mut slices = BTreeSet::new();
    let mut labels: BTreeMap<String, Labels> = BTreeMap::new();
    for build in builds {
        for key in Rows::<Key>::of(table_file(dataset, build, Table::Masks)) {
            let key = key?;
            labels.entry(key.source).or_default().add_mask(
                &key.label_value,
                &key.label_name,
                &key.object,
                key.instance,
            );
            slices.insert(key.slice_id);
        }
    }
    for (source, labels) in &mut labels {
        let Ok(spec) = registry.get(source) else { continue };
        let by_value = |part: &&MaskPart| part.decode == Decode::Values && part.label_from.is_none();
        let parts = spec.layout.iter().flat_map(|layout| &layout.mask).filter(by_value);
        let tables = parts.filter_map(|part| spec.labels.get(part.labels.as_ref()?));
        for (value, label) in tables.flatten().filter(|(value, _)| number_range(value).is_some()) {
            labels.add(value, &label.name, &label.object, None);
        }
    }
    Ok((Names::new(slices), labels))
}

/// Slices of a build shard that have masks, with these.
fn wanted(dataset: &Dataset, build: &Receipt) -> impl Iterator<Item = Result<Wanted>> + use<> {
    let mut rows = Rows::<MaskRow>::of(table_file(dataset, build, Table::Masks)).peekable();
    let mut next = move || -> Result<Option<Wanted>> {
        let mut slice: Option<Wanted> = None;
        let same = |row: &std::result::Result<MaskRow, _>, slice: &Option<Wanted>| match (row, slice) {
            (Ok(row), Some(slice)) => row.slice_id == slice.slice_id,
            _ => true,
        };
        while let Some(row) = rows.next_if(|row| same(row, &slice)) {
            let row = row?;
            let mask = row.mask.decode(&row.mask_id)?;
            let open = slice.get_or_insert_with(|| Wanted { slice_id: row.slice_id.clone(), masks: Vec::new() });
            open.masks.push((row, mask));
        }
        Ok(slice)
    };
    std::iter::from_fn(move || next().transpose())
}

fn prediction(mask: &MaskRow, options: &ImportOptions, index: usize, candidate: &Candidate) -> PredictionRow {
    PredictionRow {
        mask_id: mask.mask_id.clone(),
        slice_id: mask.slice_id.clone(),
        case_id: mask.case_id.clone(),
        source: mask.source.clone(),
        model: options.model.clone(),
        strategy: options.strategy.clone(),
        variant: String::new(),
        points: Vec::new(),
        point_labels: Vec::new(),
        r#box: None,
        candidate: index as u32,
        predicted_iou: candidate.score,
        stability: None,
        mask: Rle::from(&candidate.mask),
    }
}

/// Writes the predictions of one build shard, unless they are there; it goes to `written`.
fn write(
    dataset: &Dataset,
    build: &Receipt,
    options: &ImportOptions,
    rows: Vec<PredictionRow>,
    written: &mut Vec<Shard>,
) -> Result<Shard> {
    let described = rows.iter().map(canonical_json);
    let key = ShardKey::new()
        .with("build", build.id.to_string())
        .with("pass", &options.strategy)
        .with_digest_of("rows", described);
    let shard = Shard::new(Stage::Predict, Partition::model(&options.model, &build.source)?, key);
    if !matches!(dataset.state(&shard, Verify::Quick)?, ShardState::Done(_)) {
        let mut writer = dataset.begin(&shard);
        rows.into_iter().try_for_each(|row| writer.push(row))?;
        writer.finish()?;
        written.push(shard.clone());
    }
    Ok(shard)
}

fn problem(path: &Path, reason: impl ToString) -> Error {
    Error::Import { path: path.to_path_buf(), reason: reason.to_string() }
}

impl Found {
    /// Opens predictions.
    fn open(
        dataset: &Dataset,
        builds: &[Receipt],
        from: &Path,
        options: &ImportOptions,
        names: &Names,
    ) -> Result<Found> {
        if from.is_dir() {
            let files = pictures::files_below(from)?;
            let pictures = files.iter().find(|(_, name)| name.to_ascii_lowercase().ends_with(".png"));
            let volumes = files.iter().find(|(_, name)| volumes::stem(name).is_some());
            if let (Some((_, picture)), Some((_, volume))) = (pictures, volumes) {
                let reason = format!(
                    "contains both 2D images ({picture}) and volumes ({volume}): import them \
                    separately"
                );
                return Err(problem(from, reason));
            }
            if volumes.is_some() {
                let volumes = volumes::Volumes::open(from, options.template.as_deref(), dataset, builds)?;
                return Ok(Found::Volumes(Box::new(volumes)));
            }
            let pictures = pictures::Pictures::open(from, options.template.as_deref(), names)?;
            return Ok(Found::Pictures(pictures));
        }
        let bytes = fs::read(from).map_err(|e| problem(from, e))?;
        Ok(match from.extension().and_then(|e| e.to_str()) {
            Some("json") => Found::Coco(coco::Annotations::open(from, &bytes, options.annotations.as_deref(), names)?),
            Some("parquet") => Found::Codes(parquet(from)?),
            _ => return Err(problem(from, "expected a folder, a COCO .json file or a .parquet file")),
        })
    }

    fn of_slice(
        &mut self,
        slice: &Wanted,
        labels: &Labels,
        candidates: bool,
        report: &mut ImportReport,
    ) -> Result<OfSlice> {
        match self {
            Found::Pictures(pictures) => pictures.of_slice(slice, labels, report),
            Found::Volumes(volumes) => volumes.of_slice(slice, labels, report),
            Found::Coco(annotations) => annotations.of_slice(slice, candidates, report),
            Found::Codes(by_mask) => {
                let of_mask = |(row, _): &(MaskRow, Mask)| match by_mask.remove(&row.mask_id) {
                    None => Ok(None),
                    Some(codes) => {
                        let all = codes.iter().map(|code| code.decoded(row.mask.size, &row.mask_id));
                        let all = all.collect::<Result<Vec<_>>>()?;
                        Ok(Some(one_or_candidates(all, candidates, report)))
                    }
                };
                slice.masks.iter().map(of_mask).collect()
            }
        }
    }

    /// What belongs to no mask of the dataset.
    fn unused(&self) -> Vec<String> {
        match self {
            Found::Pictures(pictures) => pictures.unused(),
            Found::Volumes(volumes) => volumes.unused(),
            Found::Coco(annotations) => annotations.unused(),
            Found::Codes(by_mask) => by_mask.keys().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }

    /// The first half of a sentence for the case that no prediction is of use.
    fn nothing_fits(&self, unused: &[String]) -> String {
        let (what, advice) = match self {
            Found::Pictures(_) => (
                "file",
                " (expected <slice_id>.png or <mask_id>.png, with `/` or `_` between the parts; set other names with \
                 `--match`)",
            ),
            Found::Volumes(_) => (
                "file",
                " (expected a case id with .nii.gz, .nii, .nrrd or .mha, with or without the source; set other names \
                 with `--match`)",
            ),
            Found::Coco(_) => ("image", " (expected slice ids as `file_name`, with or without `.png`)"),
            Found::Codes(_) => ("mask_id", ""),
        };
        match unused.first() {
            None => format!("contains no prediction of a mask of the dataset{advice}"),
            Some(example) => {
                let n = unused.len();
                format!("none of the {n} {what}(s), such as {example}, matches a mask of the dataset{advice}")
            }
        }
    }

    /// Says what can only be seen when all slices are done.
    fn check(&self, from: &Path, labels: &BTreeMap<String, Labels>, report: &mut ImportReport) -> Result<()> {
        match self {
            Found::Pictures(pictures) => pictures.check(from, labels, report),
            Found::Volumes(volumes) => volumes.check(labels, report),
            Found::Coco(annotations) => {
                report.notes.extend(annotations.explained_by());
                Ok(())
            }
            Found::Codes(_) => Ok(()),
        }
    }
}

/// Several predictions of one mask as its candidates, the best rated first, or as one that unites them.
fn one_or_candidates(mut all: Vec<Candidate>, candidates: bool, report: &mut ImportReport) -> Vec<Candidate> {
    all.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0)));
    if candidates || all.len() < 2 {
        return all;
    }
    report.united += 1;
    let score = all.iter().all(|one| one.score == all[0].score).then_some(all[0].score).flatten();
    let united = all.iter().skip(1).fold(all[0].mask.clone(), |united, one| united.union(&one.mask));
    vec![Candidate { mask: united, score }]
}

/// Predictions by mask.
#[cfg(feature = "query")]
fn parquet(from: &Path) -> Result<HashMap<String, Vec<coco::Code>>> {
    use crate::coco::Counts;

    let table = crate::analysis::read_codes(from).map_err(|e| problem(from, e))?;
    let mut found: HashMap<String, Vec<coco::Code>> = HashMap::new();
    for crate::analysis::CodeRow { mask_id, counts, size, predicted_iou } in table {
        let code = coco::Code { size, counts: Counts::Compressed(counts), score: predicted_iou };
        found.entry(mask_id).or_default().push(code);
    }
    Ok(found)
}

/// Predictions by mask.
#[cfg(not(feature = "query"))]
fn parquet(from: &Path) -> Result<HashMap<String, Vec<coco::Code>>> {
    Err(problem(from, "Parquet predictions need the feature `query`, which this program was built without"))
}
