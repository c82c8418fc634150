//! Provenance: from a mask, slice or case back to its raw files, and from a raw file to its cases.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::Result;
use crate::projection;
use crate::raw::archive_of;
use crate::store::rows::compare_ids;
use crate::store::{CaseStatus, Dataset, FileRow, FileStatus, Projection, RawMember, Receipt, Rows, Stage, Table};

projection! {
    /// A mask without its pixels.
    #[derive(Serialize)]
    pub struct MaskOrigin of Masks {
        mask_id: String,
        slice_id: String,
        case_id: String,
        object: String,
        target: String,
        label_value: String,
        label_name: String,
        laterality: Option<String>,
        instance: Option<u32>,
        rater: Option<String>,
        excluded: bool,
        exclusion_reason: Option<String>,
        area_px: u32,
        area_mm2: Option<f64>,
        bbox: [u32; 4],
        components: u32,
    }
}

projection! {
    /// A slice without its picture.
    #[derive(Serialize)]
    pub struct SliceOrigin of Slices {
        slice_id: String,
        case_id: String,
        split: Option<String>,
        plane: String,
        slice_index: u32,
        frame: u32,
        height: u32,
        width: u32,
        channels: u8,
        spacing_row_mm: Option<f64>,
        spacing_col_mm: Option<f64>,
        intensity_min: f64,
        intensity_max: f64,
        pixels_sha256: String,
    }
}

projection! {
    struct CaseAndRaw of Cases {
        case_id: String,
        source: String,
        release: Option<String>,
        patient_id: String,
        split: Option<String>,
        sequence: Option<String>,
        modality: String,
        raw: Vec<RawMember>,
        shape: Vec<u32>,
        dtype: Option<String>,
        spacing: Option<Vec<f64>>,
        orientation: Option<String>,
        plane: Option<String>,
        placement: Option<String>,
        placement_error_mm: Option<f64>,
        n_slices: u32,
        kept: u32,
        status: CaseStatus,
        reason: Option<String>,
        notes: Vec<String>,
    }
}

projection! {
    /// What a source is.
    #[derive(Serialize)]
    pub struct SourceOrigin of Sources {
        source: String,
        name: String,
        release: Option<String>,
        home: String,
        licence: String,
        terms: String,
        share_derived: String,
        spec_sha256: String,
    }
}

projection! {
    struct MaskPlace of Masks { mask_id: String, slice_id: String, case_id: String }
}

projection! {
    struct PredictionPlace of Predictions {
        mask_id: String, slice_id: String, case_id: String, model: String, strategy: String
    }
}

projection! {
    struct MetricPlace of Metrics {
        mask_id: String, slice_id: String, case_id: String, model: String, strategy: String
    }
}

/// A row of a dataset and all that it was derived from, from the mask up. What lies below what was asked for is absent.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    /// The mask.
    pub mask: Option<MaskOrigin>,
    /// Its slice.
    pub slice: Option<SliceOrigin>,
    /// Its case.
    pub case: CaseOrigin,
    /// Raw files of the case.
    pub raw: Vec<RawTrace>,
    /// The source; absent where the table of sources has no row of it.
    pub source: Option<SourceOrigin>,
    /// The shard in which the rows stand.
    pub shard: ShardTrace,
    /// Masks of what was asked for.
    pub masks: u64,
    /// Rows of predictions of these masks, by model and strategy.
    pub predictions: ByModel,
    /// Rows of metrics of these masks, by model and strategy.
    pub metrics: ByModel,
}

/// Numbers of rows by model and strategy.
pub type ByModel = BTreeMap<String, BTreeMap<String, u64>>;

/// A case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseOrigin {
    /// Its id.
    pub case_id: String,
    /// Slug of its source.
    pub source: String,
    /// Release of the source.
    pub release: Option<String>,
    /// Patient.
    pub patient_id: String,
    /// Split that the source publishes.
    pub split: Option<String>,
    /// Sequence, as the source names it.
    pub sequence: Option<String>,
    /// Imaging modality.
    pub modality: String,
    /// Size of the stored array in pixels, the slowest axis first.
    pub shape: Vec<u32>,
    /// Stored type.
    pub dtype: Option<String>,
    /// Distance of neighbours along x, y and z in mm.
    pub spacing: Option<Vec<f64>>,
    /// Where x, y and z point to.
    pub orientation: Option<String>,
    /// Plane of the slices.
    pub plane: Option<String>,
    /// Slices of the volume.
    pub n_slices: u32,
    /// Slices that were kept.
    pub kept: u32,
    /// How the masks found their places.
    pub placement: Option<String>,
    /// How far voxels that were paired lie apart by their headers, in mm.
    pub placement_error_mm: Option<f64>,
    /// How it went.
    pub status: CaseStatus,
    /// Why it was skipped or failed.
    pub reason: Option<String>,
    /// What readers noted.
    pub notes: Vec<String>,
}

/// A raw file of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RawTrace {
    /// What it is to the case: image, mask, data, list.
    pub role: String,
    /// Path below the downloads.
    pub path: String,
    /// Path of the archive that it lies in, where it does.
    pub archive: Option<String>,
    /// Path inside the archive; the same as `path` where it lies in none.
    pub inside: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal; empty where it was not read.
    pub sha256: String,
}

impl RawTrace {
    fn of(member: &RawMember) -> Self {
        let (archive, inside) = match archive_of(&member.path) {
            Some((archive, inside)) => (Some(archive.to_string()), inside.to_string()),
            None => (None, member.path.clone()),
        };
        let RawMember { path, size, sha256, role } = member.clone();
        RawTrace { role, path, archive, inside, size, sha256 }
    }
}

/// The shard of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShardTrace {
    /// Its id.
    pub id: String,
    /// The file inside the dataset in which the row stands.
    pub file: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// Version of the program that wrote it.
    pub tool_version: String,
    /// SHA-256 of the spec by which it was read.
    pub spec_sha256: String,
    /// Options of the build.
    pub options: Value,
}

/// Finds where the mask, slice or case with an id came from; `None` where the dataset has none.
///
/// # Errors
/// Errors of reading the dataset.
pub fn trace(dataset: &Dataset, id: &str) -> Result<Option<Trace>> {
    let receipts: Vec<Receipt> = dataset.receipts_of(Stage::Build)?;
    let mask = find::<MaskOrigin>(dataset, &receipts, id)?;
    let slice_id = mask.as_ref().map_or(id, |(mask, _)| &mask.slice_id);
    let slice = find::<SliceOrigin>(dataset, &receipts, slice_id)?;
    let case_id = slice.as_ref().map_or(id, |(slice, _)| &slice.case_id);
    let Some((case, case_receipt)) = find::<CaseAndRaw>(dataset, &receipts, case_id)? else { return Ok(None) };
    let (receipt, table) = match (&mask, &slice) {
        (Some((_, receipt)), _) => (*receipt, Table::Masks),
        (None, Some((_, receipt))) => (*receipt, Table::Slices),
        (None, None) => (case_receipt, Table::Cases),
    };
    let mut source = None;
    for row in dataset.rows::<SourceOrigin>()? {
        source = Some(row?).filter(|row: &SourceOrigin| row.source == case.source).or(source);
    }
    let below = |mask: &str, slice: &str, case: &str| [mask, slice, case].contains(&id);
    let mut masks = 0;
    for row in rows_below::<MaskPlace>(dataset, id)? {
        let row = row?;
        masks += u64::from(below(&row.mask_id, &row.slice_id, &row.case_id));
    }
    let mut predictions = ByModel::new();
    for row in rows_below::<PredictionPlace>(dataset, id)? {
        let row = row?;
        if below(&row.mask_id, &row.slice_id, &row.case_id) {
            *predictions.entry(row.model).or_default().entry(row.strategy).or_default() += 1;
        }
    }
    let mut metrics = ByModel::new();
    for row in rows_below::<MetricPlace>(dataset, id)? {
        let row = row?;
        if below(&row.mask_id, &row.slice_id, &row.case_id) {
            *metrics.entry(row.model).or_default().entry(row.strategy).or_default() += 1;
        }
    }
    let raw = case.raw.iter().map(RawTrace::of).collect();
    let shard = shard_of(receipt, table);
    let (mask, slice) = (mask.map(|(mask, _)| mask), slice.map(|(slice, _)| slice));
    Ok(Some(Trace { mask, slice, case: case.into(), raw, source, shard, masks, predictions, metrics }))
}

impl From<CaseAndRaw> for CaseOrigin {
    fn from(row: CaseAndRaw) -> Self {
        CaseOrigin {
            case_id: row.case_id,
            source: row.source,
            release: row.release,
            patient_id: row.patient_id,
            split: row.split,
            sequence: row.sequence,
            modality: row.modality,
            shape: row.shape,
            dtype: row.dtype,
            spacing: row.spacing,
            orientation: row.orientation,
            plane: row.plane,
            placement: row.placement,
            placement_error_mm: row.placement_error_mm,
            n_slices: row.n_slices,
            kept: row.kept,
            status: row.status,
            reason: row.reason,
            notes: row.notes,
        }
    }
}

/// The row with an id, and the shard that it stands in.
fn find<'a, P: Projection>(dataset: &Dataset, receipts: &'a [Receipt], id: &str) -> Result<Option<(P, &'a Receipt)>> {
    for receipt in receipts {
        let file = dataset.file_of(receipt, P::TABLE);
        if let Some(row) = Rows::<P>::of(file.into_iter().collect()).only([id.to_string()]).next() {
            return Ok(Some((row?, receipt)));
        }
    }
    Ok(None)
}

/// Rows of the files in which rows with an id, or below it, may stand.
fn rows_below<P: Projection>(dataset: &Dataset, id: &str) -> Result<Rows<P>> {
    let mut files = dataset.files(P::TABLE)?;
    let inside = |first: &str| first.strip_prefix(id).is_some_and(|rest| rest.starts_with('/'));
    files.retain(|f| {
        let begins = compare_ids(&f.file.first, id).is_le() || inside(&f.file.first);
        begins && compare_ids(id, &f.file.last).is_le()
    });
    Ok(Rows::of(files))
}

fn shard_of(receipt: &Receipt, table: Table) -> ShardTrace {
    let file = receipt.files.get(&table);
    let options = receipt.key.get("options").unwrap_or_default();
    ShardTrace {
        id: receipt.id.to_string(),
        file: file.map(|file| file.path.clone()).unwrap_or_default(),
        sha256: file.map(|file| file.sha256.clone()).unwrap_or_default(),
        tool_version: receipt.tool_version.clone(),
        spec_sha256: receipt.key.get("spec").unwrap_or_default().to_string(),
        options: serde_json::from_str(options).unwrap_or_else(|_| Value::String(options.to_string())),
    }
}

/// What became of a raw file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileTrace {
    /// Cases that use the file, in the order of their ids.
    pub uses: Vec<CaseUse>,
    /// What the table of files says, where no case uses it.
    pub fates: Vec<FileFate>,
}

/// A case that uses a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseUse {
    /// The file.
    #[serde(flatten)]
    pub raw: RawTrace,
    /// The case.
    #[serde(flatten)]
    pub case: Use,
}

/// What a file gave to a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Use {
    /// Id of the case.
    pub case_id: String,
    /// How it went.
    pub status: CaseStatus,
    /// Why it was skipped or failed.
    pub reason: Option<String>,
    /// Slices of the case.
    pub slices: u64,
    /// Masks of the case.
    pub masks: u64,
}

/// What became of a file that no case uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFate {
    /// Path below the downloads.
    pub path: String,
    /// Slug of its source, or `unclaimed`.
    pub source: String,
    /// Bytes.
    pub size: Option<u64>,
    /// What became of it.
    pub status: FileStatus,
    /// Why.
    pub reason: Option<String>,
}

/// Finds the cases that use a raw file. `file` is its path below the downloads, the end of that path from any folder
/// on, or its SHA-256.
///
/// # Errors
/// Errors of reading the dataset.
pub fn uses_of(dataset: &Dataset, file: &str) -> Result<FileTrace> {
    let file = file.trim_start_matches("./");
    let digest = Some(file.to_ascii_lowercase()).filter(|f| f.len() == 64 && f.bytes().all(|b| b.is_ascii_hexdigit()));
    let ends = |path: &str| path.strip_suffix(file).is_some_and(|above| above.is_empty() || above.ends_with('/'));
    let fits = |member: &RawMember| ends(&member.path) || digest.as_ref().is_some_and(|d| *d == member.sha256);
    let mut uses = Vec::new();
    for row in dataset.rows::<CaseAndRaw>()? {
        let row = row?;
        for member in row.raw.iter().filter(|member| fits(member)) {
            let case = Use {
                case_id: row.case_id.clone(),
                status: row.status,
                reason: row.reason.clone(),
                slices: u64::from(row.kept),
                masks: 0,
            };
            uses.push(CaseUse { raw: RawTrace::of(member), case });
        }
    }
    let mut masks: HashMap<String, u64> = uses.iter().map(|used| (used.case.case_id.clone(), 0)).collect();
    if let (Some(first), Some(last)) = (uses.first(), uses.last()) {
        let (first, last) = (&first.case.case_id, &last.case.case_id);
        let mut files = dataset.files(Table::Masks)?;
        let above = |id: &str| id.strip_prefix(last.as_str()).is_some_and(|rest| rest.starts_with('/'));
        files.retain(|f| {
            let begins = compare_ids(&f.file.first, last).is_le() || above(&f.file.first);
            begins && compare_ids(first, &f.file.last).is_le()
        });
        for row in Rows::<MaskPlace>::of(files) {
            if let Some(count) = masks.get_mut(&row?.case_id) {
                *count += 1;
            }
        }
    }
    for used in &mut uses {
        used.case.masks = masks.get(&used.case.case_id).copied().unwrap_or(0);
    }
    let mut fates = Vec::new();
    if uses.is_empty() {
        for row in dataset.rows::<FileRow>()? {
            let FileRow { path, source, size, status, reason } = row?;
            // A folder that was passed over stands for all that it holds.
            if ends(&path) || (!path.is_empty() && file.starts_with(&format!("{path}/"))) {
                fates.push(FileFate { path, source, size, status, reason });
            }
        }
    }
    Ok(FileTrace { uses, fates })
}
