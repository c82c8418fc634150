//! The rows of the tables.
//!
//! A field of a row type is a column: its name, type, unit and documentation are the column's name, type, unit and
//! meaning, in the schema, in the writer, in the reader and in the printed reference alike. Columns that several tables
//! share ([`MaskIdentity`]) and those that follow from a table of measures ([`Readings`]) are one field each.
//!
//! # Order
//! Rows are sorted by id as paths are sorted, part by part (see [`compare_ids`]): so the slices of a case and the masks
//! of a slice are adjacent, in the same order in every table.

use std::cmp::Ordering;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Field};
use serde::Serialize;

use super::names::{CaseStatus, Choice, FileStatus, LeakKind};
use super::schema::{Column, Table};
use super::value::{Bytes, Columns, EncodedImage, RawMember, Rle};
use crate::factors::FactorValues;
use crate::metrics::MetricValues;

/// Some columns of a table, as a Rust type: what a reader decodes. [`projection!`](crate::projection) defines one.
pub trait Projection: Sized {
    /// The table.
    const TABLE: Table;

    /// The columns that are read.
    fn fields() -> Vec<Field>;

    /// Rows of a batch that has these columns.
    ///
    /// # Errors
    /// A sentence that names the column at fault, the expected and the found type.
    fn read(batch: &RecordBatch) -> Result<Vec<Self>, String>;
}

/// A whole row: what a writer takes.
pub trait Row: Projection + 'static {
    /// What a row is, in a sentence or two.
    const ABOUT: &'static str;

    /// All columns of the table.
    fn columns() -> Vec<Column>;

    /// Rows as an Arrow batch with the table's schema.
    fn batch(rows: &[Self]) -> Result<RecordBatch, ArrowError>;

    /// Bytes that the row takes before encoding.
    fn weight(&self) -> usize;

    /// Position in the table, relative to another row; equal means that the two are the same thing twice.
    fn compare(&self, other: &Self) -> Ordering;

    /// The values that decide the position, first of them the id.
    fn key(&self) -> String;

    /// The id: the first column.
    fn id(&self) -> &str;
}

/// Order of ids: part by part between the slashes, each part by its bytes. It differs from the order of plain strings
/// where an id has a character below the slash (`p1/z0003` comes before `p1-2/z0001`), and keeps what belongs together
/// in one order in every table.
pub fn compare_ids(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}

/// A value by which rows are sorted after the id.
macro_rules! compare {
    ($self:ident, $other:ident, $($id:ident).+ $(, $key:ident)*) => {
        compare_ids(&$self.$($id).+, &$other.$($id).+)$(.then_with(|| $self.$key.cmp(&$other.$key)))*
    };
}

/// Defines a type that reads some columns of a table: `projection! { pub struct SliceSize of Slices { slice_id: String,
/// height: u32, width: u32 } }`. Names and types must be those of the table; a reader checks them against the file.
#[macro_export]
macro_rules! projection {
    ($(#[$about:meta])* $vis:vis struct $name:ident of $table:ident { $($column:ident: $type:ty),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $(
                #[doc = concat!("Column `", stringify!($column), "` of the table.")]
                pub $column: $type,
            )+
        }

        impl $crate::store::Projection for $name {
            const TABLE: $crate::store::Table = $crate::store::Table::$table;

            fn fields() -> Vec<$crate::store::Field> {
                let name = |name: &'static str| name.trim_start_matches("r#");
                let columns = [$(<$type as $crate::store::Columns>::columns(name(stringify!($column)), "", "")),+];
                columns.iter().flatten().map($crate::store::schema::Column::field).collect()
            }

            fn read(batch: &$crate::store::RecordBatch) -> ::std::result::Result<Vec<Self>, String> {
                $(
                    let name = stringify!($column).trim_start_matches("r#");
                    let mut $column = <$type as $crate::store::Columns>::read_columns(batch, name)?.into_iter();
                )+
                Ok(::std::iter::from_fn(|| Some($name { $($column: $column.next()?),+ })).collect())
            }
        }
    };
}

/// Defines columns that rows of several tables have in common, as one field.
macro_rules! columns {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $($(#[doc = $meaning:literal])+ pub $column:ident: $type:ty $(=> $unit:literal)?,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct $name {
            $($(#[doc = $meaning])+ $(#[doc = concat!(" Unit: ", $unit, ".")])? pub $column: $type,)+
        }

        impl Columns for $name {
            fn columns(_: &'static str, _: &'static str, _: &'static str) -> Vec<Column> {
                let columns = [$(
                    <$type as Columns>::columns(
                        stringify!($column).trim_start_matches("r#"),
                        concat!($($unit)?),
                        concat!($($meaning),+).trim_ascii(),
                    )
                ),+];
                columns.into_iter().flatten().collect()
            }

            fn arrays(rows: &[&Self]) -> Vec<ArrayRef> {
                let arrays = [
                    $(<$type as Columns>::arrays(&rows.iter().map(|row| &row.$column).collect::<Vec<_>>())),+
                ];
                arrays.into_iter().flatten().collect()
            }

            fn read_columns(batch: &RecordBatch, _: &str) -> Result<Vec<Self>, String> {
                $(
                    let name = stringify!($column).trim_start_matches("r#");
                    let mut $column = <$type as Columns>::read_columns(batch, name)?.into_iter();
                )+
                Ok(std::iter::from_fn(|| Some($name { $($column: $column.next()?),+ })).collect())
            }

            fn columns_weight(&self) -> usize {
                0 $(+ self.$column.columns_weight())+
            }
        }
    };
}

/// Defines the rows of a table.
macro_rules! row {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident of $table:ident sorted by $($id:ident).+ $(, $key:ident)* { $($columns:tt)+ }
    ) => {
        columns! {
            $(#[doc = $about])+
            pub struct $name { $($columns)+ }
        }

        impl Projection for $name {
            const TABLE: Table = Table::$table;

            fn fields() -> Vec<Field> {
                <Self as Row>::columns().iter().map(Column::field).collect()
            }

            fn read(batch: &RecordBatch) -> Result<Vec<Self>, String> {
                <Self as Columns>::read_columns(batch, "")
            }
        }

        impl Row for $name {
            const ABOUT: &'static str = concat!($($about),+).trim_ascii();

            fn columns() -> Vec<Column> {
                <Self as Columns>::columns("", "", "")
            }

            fn batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
                RecordBatch::try_new(Self::TABLE.schema(), Columns::arrays(&rows.iter().collect::<Vec<_>>()))
            }

            fn weight(&self) -> usize {
                self.columns_weight()
            }

            fn compare(&self, other: &Self) -> Ordering {
                compare!(self, other, $($id).+ $(, $key)*)
            }

            fn key(&self) -> String {
                #[allow(unused_mut)] // where the id alone decides
                let mut key = self.$($id).+.clone();
                $(key.push_str(&format!(" {}={}", stringify!($key), self.$key));)*
                key
            }

            fn id(&self) -> &str {
                &self.$($id).+
            }
        }
    };
}

row! {
    /// One file of the downloads, in a folder or an archive, and its use.
    pub struct FileRow of Files sorted by path {
        /// Path below the folder of downloads; an archive counts as a folder.
        pub path: String,
        /// Slug of the source that the file belongs to; `unclaimed` if it matches none.
        pub source: String,
        /// Size, if known.
        pub size: Option<u64> => "byte",
        /// Status: used, skipped or failed. A used file may belong to a failed case.
        pub status: FileStatus,
        /// Why the file was skipped or could not be read.
        pub reason: Option<String>,
    }
}

row! {
    /// One source of the dataset, with its licence and citation.
    pub struct SourceRow of Sources sorted by source {
        /// Slug of the source.
        pub source: String,
        /// Full name.
        pub name: String,
        /// Release that was recognised.
        pub release: Option<String>,
        /// Home page.
        pub home: String,
        /// SPDX identifier of the licence, or `LicenseRef-…` if `terms` states it.
        pub licence: String,
        /// Summary of the terms of use.
        pub terms: String,
        /// Whether slices and masks may be redistributed: yes, conditions, no or unknown.
        pub share_derived: String,
        /// Citation, as BibTeX.
        pub citation: String,
        /// SHA-256 of the spec that the source was built with.
        pub spec_sha256: String,
    }
}

row! {
    /// One case: a volume, a frame of a series or a single 2D image. Skipped and failed cases have a row as well.
    pub struct CaseRow of Cases sorted by case_id {
        /// Readable, stable id of the case, starting with its source: `acdc/patient001_frame01`.
        pub case_id: String,
        /// Slug of the source.
        pub source: String,
        /// Release of the source that was recognised.
        pub release: Option<String>,
        /// Patient identifier of the source, or the case id if the source has none. Cases of one patient are not
        /// independent.
        pub patient_id: String,
        /// Official split of the source: train, validation or test.
        pub split: Option<String>,
        /// Sequence or series of the scan, as named by the source.
        pub sequence: Option<String>,
        /// Imaging modality of the protocol (docs/protocol.md, 1), such as T2-FLAIR MRI, or one that the spec defines.
        pub modality: String,
        /// Raw files of the case.
        pub raw: Vec<RawMember>,
        /// Shape of the stored array, slowest axis first (t, z, y, x, component), without leading axes of length 1.
        /// Empty if the image could not be read.
        pub shape: Vec<u32> => "px",
        /// Stored data type, as named by NumPy.
        pub dtype: Option<String>,
        /// Voxel spacing along x, y and z of the file.
        pub spacing: Option<Vec<f64>> => "mm",
        /// Anatomical directions of the x, y and z axes of the file: RAS, LPS.
        pub orientation: Option<String>,
        /// Affine from voxel index (x, y, z of the file) to RAS+ millimetres, 3 x 4, row-major. Null if the header does
        /// not state the orientation.
        pub affine: Option<Vec<f64>>,
        /// Plane of the slices: axial, coronal, sagittal, short axis, an axis of the file, or picture for a single 2D
        /// image; several are separated by commas (docs/protocol.md, 2.1).
        pub plane: Option<String>,
        /// Number of slices of the volume in these planes.
        pub n_slices: u32,
        /// Number of slices kept.
        pub kept: u32,
        /// Number of slices dropped because none of their masks is large enough (docs/protocol.md, 2.5).
        pub dropped_slices: u32,
        /// Number of masks dropped because they are too small.
        pub dropped_masks: u32,
        /// Placement of the masks on the image grid, the weakest of several. same: identical grid; reordered: same grid
        /// in another storage order, reordered exactly; resampled: another grid, nearest voxel; by_index: paired by
        /// index, because a header states no position or the spec overrides it; shifted: paired by index although the
        /// origins differ. Null if nothing was built.
        pub placement: Option<String>,
        /// Largest distance between paired voxels of image and mask according to their headers. Null if a header states
        /// no position.
        pub placement_error_mm: Option<f64> => "mm",
        /// Status: ok, skipped or failed.
        pub status: CaseStatus,
        /// Why the case was skipped or failed.
        pub reason: Option<String>,
        /// Remarks on how the case was read.
        pub notes: Vec<String>,
    }
}

row! {
    /// One 2D image with at least one mask.
    pub struct SliceRow of Slices sorted by slice_id {
        /// Readable, stable id of the slice, its case and its position: `acdc/patient001_frame01/z0003`.
        pub slice_id: String,
        /// Case of the slice.
        pub case_id: String,
        /// Slug of the source.
        pub source: String,
        /// Patient identifier of the source.
        pub patient_id: String,
        /// Official split of the source: train, validation or test.
        pub split: Option<String>,
        /// Imaging modality of the protocol (docs/protocol.md, 1), or one that the spec defines.
        pub modality: String,
        /// Plane of the slice.
        pub plane: String,
        /// Index of the slice along the axis perpendicular to the plane, from 0.
        pub slice_index: u32,
        /// Frame of a 4D series, from 0.
        pub frame: u32,
        /// Number of rows.
        pub height: u32 => "px",
        /// Number of columns.
        pub width: u32 => "px",
        /// Number of channels: 1 for grey, 3 for RGB.
        pub channels: u8,
        /// Distance between neighbouring rows.
        pub spacing_row_mm: Option<f64> => "mm",
        /// Distance between neighbouring columns.
        pub spacing_col_mm: Option<f64> => "mm",
        /// Raw value mapped to 0 (docs/protocol.md, 2.3).
        pub intensity_min: f64 => "raw",
        /// Raw value mapped to 255.
        pub intensity_max: f64 => "raw",
        /// The image as an 8-bit PNG. Never null; declared nullable because Hugging Face `datasets` requires it.
        pub image: EncodedImage,
        /// SHA-256, in hexadecimal, of the 8-bit pixels, row-major with interleaved channels.
        pub pixels_sha256: String,
        /// Perceptual hash of the image; near-duplicates differ in few of its 64 bits.
        pub perceptual_hash: u64,
        /// Mean grey levels of a 16 x 16 grid over the image, row-major; used to find near-duplicates.
        pub thumbnail: Bytes,
    }
}

row! {
    /// One object in one slice.
    pub struct MaskRow of Masks sorted by mask_id {
        /// Readable, stable id of the mask, its slice and its label: `acdc/patient001_frame01/z0003/left_ventricle`.
        pub mask_id: String,
        /// Slice of the mask.
        pub slice_id: String,
        /// Case of the slice.
        pub case_id: String,
        /// Patient identifier of the source.
        pub patient_id: String,
        /// Slug of the source.
        pub source: String,
        /// Imaging modality of the protocol (docs/protocol.md, 1), or one that the spec defines.
        pub modality: String,
        /// Common name of the anatomical structure or lesion.
        pub object: String,
        /// Object and modality, the unit of results: `liver-CT`.
        pub target: String,
        /// Value or colour of the label in the raw mask file.
        pub label_value: String,
        /// Name of the label in the source.
        pub label_name: String,
        /// Side of the body, left or right, where the label distinguishes sides.
        pub laterality: Option<String>,
        /// Instance number, where the source distinguishes instances of a label.
        pub instance: Option<u32>,
        /// Rater, where the source has several (docs/protocol.md, 2.8).
        pub rater: Option<String>,
        /// True if the protocol excludes this object from results (docs/protocol.md, 2.7).
        pub excluded: bool,
        /// Reason for the exclusion.
        pub exclusion_reason: Option<String>,
        /// Number of pixels.
        pub area_px: u32 => "px",
        /// Area, if the spacing is known.
        pub area_mm2: Option<f64> => "mm²",
        /// Bounding box: first column, first row, last column, last row (inclusive).
        pub bbox: [u32; 4] => "px",
        /// Column of the centroid.
        pub centroid_x: f64 => "px",
        /// Row of the centroid.
        pub centroid_y: f64 => "px",
        /// Number of connected components (8 neighbours).
        pub components: u32,
        /// True if the mask touches the first or last row or column.
        pub touches_border: bool,
        /// The mask in COCO's compressed run-length encoding.
        pub mask: Rle,
    }
}

columns! {
    /// What a row of `factors` or `metrics` is about: a mask of the table `masks`, with what results are grouped by.
    pub struct MaskIdentity {
        /// The mask.
        pub mask_id: String,
        /// Slice that the mask lies in.
        pub slice_id: String,
        /// Case that the slice was taken from.
        pub case_id: String,
        /// Patient, as the source names them.
        pub patient_id: String,
        /// Short name of the dataset that the case comes from.
        pub source: String,
        /// Imaging modality, in the words of the protocol, or one that the source's spec defines for itself.
        pub modality: String,
        /// Common name of the anatomical structure or lesion, or one that the source's spec defines for itself.
        pub object: String,
        /// Object and modality.
        pub target: String,
        /// True where the protocol leaves this kind of object out of its results.
        pub excluded: bool,
    }
}

impl From<&MaskRow> for MaskIdentity {
    fn from(row: &MaskRow) -> Self {
        MaskIdentity {
            mask_id: row.mask_id.clone(),
            slice_id: row.slice_id.clone(),
            case_id: row.case_id.clone(),
            patient_id: row.patient_id.clone(),
            source: row.source.clone(),
            modality: row.modality.clone(),
            object: row.object.clone(),
            target: row.target.clone(),
            excluded: row.excluded,
        }
    }
}

row! {
    /// What may explain how well a mask is segmented: five factors, with their parts.
    pub struct FactorRow of Factors sorted by mask.mask_id {
        /// The mask.
        pub mask: MaskIdentity,
        /// The measures of the table of factors, a column each.
        pub values: FactorValues,
    }
}

row! {
    /// One candidate mask of a model for one mask and one prompt.
    pub struct PredictionRow of Predictions sorted by mask_id, model, strategy, variant, candidate {
        /// Ground truth mask from which the prompt is derived.
        pub mask_id: String,
        /// Slice of the mask.
        pub slice_id: String,
        /// Case of the slice.
        pub case_id: String,
        /// Slug of the source.
        pub source: String,
        /// Name of the model.
        pub model: String,
        /// Prompt strategy: S1 to S6 (docs/protocol.md, 3.1), `clicks` for simulated clicks, or the name given to
        /// imported predictions.
        pub strategy: String,
        /// Variant of the prompt: empty for none, `jitter10-20/seed0` for random displacement, `click03` after the
        /// third click.
        pub variant: String,
        /// Prompt points as x0, y0, x1, y1 and so on.
        pub points: Vec<f64> => "px",
        /// Label of each point: 1 positive, 0 negative.
        pub point_labels: Vec<u8>,
        /// Prompt box: first column, first row, last column, last row.
        pub r#box: Option<[f64; 4]> => "px",
        /// Index of the candidate, from 0. Only candidates that a choice selects are stored, unless `--keep-candidates`
        /// was given.
        pub candidate: u32,
        /// IoU predicted by the model.
        pub predicted_iou: Option<f32>,
        /// Stability score: IoU between the masks at a raised and at a lowered threshold.
        pub stability: Option<f32>,
        /// The predicted mask in COCO's compressed run-length encoding.
        pub mask: Rle,
    }
}

row! {
    /// How well one model segmented one object with one strategy, for one way to choose among its candidates.
    pub struct MetricRow of Metrics sorted by mask.mask_id, model, strategy, variant, choice {
        /// The true mask.
        pub mask: MaskIdentity,
        /// Name of the model.
        pub model: String,
        /// Prompt strategy.
        pub strategy: String,
        /// How the prompt was perturbed, empty where it was not.
        pub variant: String,
        /// How the candidate was chosen: oracle (the highest Dice against the ground truth) or score (the highest
        /// predicted IoU).
        pub choice: Choice,
        /// The candidate that was chosen, from 0.
        pub candidate: u32,
        /// The model's own estimate of the candidate's IoU.
        pub predicted_iou: Option<f32>,
        /// True where the prediction has no pixel.
        pub empty_prediction: bool,
        /// The measures of the table of metrics, a column each.
        pub values: MetricValues,
    }
}

row! {
    /// Two patients that share images: with equal pixels, in another encoding, or as stated by the sources.
    pub struct LeakRow of Leaks sorted by patient_id, other_patient_id, kind {
        /// The patient whose identifier sorts first.
        pub patient_id: String,
        /// Slug of the first patient's source.
        pub source: String,
        /// The other patient.
        pub other_patient_id: String,
        /// Slug of the other patient's source.
        pub other_source: String,
        /// Kind: exact (equal pixels), near (another encoding) or declared (stated by the sources).
        pub kind: LeakKind,
        /// Number of slices of the first patient that match one of the other; 0 if only declared.
        pub slices: u32,
        /// Correlation of local contrast between the thumbnails of the most similar pair of slices, 1 for equal pixels;
        /// null if only declared.
        pub similarity: Option<f64>,
        /// First patient's slice of that pair.
        pub slice_id: Option<String>,
        /// The other patient's slice of that pair.
        pub other_slice_id: Option<String>,
        /// Leak group of the two patients, named after its first patient.
        pub leak_group: String,
    }
}

row! {
    /// One slice that duplicates a slice of another patient, source or split. Nothing is deleted.
    pub struct DuplicateRow of Duplicates sorted by slice_id {
        /// The slice.
        pub slice_id: String,
        /// Slug of the source.
        pub source: String,
        /// Patient identifier of the source.
        pub patient_id: String,
        /// Official split of the source: train, validation or test.
        pub split: Option<String>,
        /// First slice, by id, of the duplicates. If it is the slice itself, this is the one to keep.
        pub first_slice_id: String,
        /// Kind: exact (equal pixels) or near (another encoding).
        pub kind: LeakKind,
        /// Similarity to the closest duplicate.
        pub similarity: f64,
        /// Leak group of the patient.
        pub leak_group: String,
    }
}

row! {
    /// One patient and their split. No patient and no leak group is in more than one.
    pub struct SplitRow of Splits sorted by patient_id {
        /// Patient identifier of the source.
        pub patient_id: String,
        /// Slug of the source.
        pub source: String,
        /// Leak group of the patient, if any.
        pub leak_group: Option<String>,
        /// Official split of the source, if any; several are separated by commas.
        pub official_split: Option<String>,
        /// Split assigned by `medcosmos split`. With folds: test for the patients of an official test set, who are in
        /// no fold, and null for all others.
        pub assigned_split: Option<String>,
        /// Fold in which the patient is tested, from 0; null without folds.
        pub fold: Option<u32>,
        /// Number of slices of the patient.
        pub n_slices: u32,
        /// Number of masks of the patient, without excluded objects.
        pub n_masks: u32,
    }
}

projection! {
    /// A mask without its pixels: what a choice of masks goes by.
    pub struct MaskTarget of Masks { mask_id: String, slice_id: String, target: String }
}

projection! {
    /// The mask that a prediction is of.
    pub struct PredictedMask of Predictions { mask_id: String }
}

projection! {
    /// A slice without its image.
    pub struct SliceInfo of Slices {
        slice_id: String,
        case_id: String,
        source: String,
        patient_id: String,
        modality: String,
        height: u32,
        width: u32,
        channels: u8,
        spacing_row_mm: Option<f64>,
        spacing_col_mm: Option<f64>,
        pixels_sha256: String,
    }
}

projection! {
    /// The image of a slice.
    pub struct SliceImage of Slices { slice_id: String, image: EncodedImage }
}
