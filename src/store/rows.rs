//! The rows of the tables.
//!
//! A field of a row type is a column: its name, type, unit and documentation are the column's name, type, unit and
//! meaning, in the schema, in the writer, in the reader and in the printed reference alike.
//!
//! # Order
//! Rows are sorted by id as paths are sorted, part by part (see [`compare_ids`]): so the slices of a case and the masks
//! of a slice stand together, and in the same order in every table.

use std::cmp::Ordering;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, Field};
use serde::Serialize;

use super::names::{CaseStatus, Choice, FileStatus, LeakKind};
use super::schema::{Column, Table};
use super::value::{Bytes, EncodedImage, RawMember, Rle, Value};

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
    ($self:ident, $other:ident, $id:ident $(, $key:ident)*) => {
        compare_ids(&$self.$id, &$other.$id)$(.then_with(|| $self.$key.cmp(&$other.$key)))*
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

        $crate::read_columns!($name, $table, $($column: $type),+);
    };
}

/// The reading half of [`projection!`](crate::projection) and of the row types.
#[doc(hidden)]
#[macro_export]
macro_rules! read_columns {
    ($name:ident, $table:ident, $($column:ident: $type:ty),+) => {
        impl $crate::store::Projection for $name {
            const TABLE: $crate::store::Table = $crate::store::Table::$table;

            fn fields() -> Vec<$crate::store::Field> {
                vec![$(
                    $crate::store::Field::new(
                        stringify!($column).trim_start_matches("r#"),
                        <$type as $crate::store::Value>::data_type(),
                        <$type as $crate::store::Value>::NULLABLE,
                    )
                ),+]
            }

            fn read(batch: &$crate::store::RecordBatch) -> ::std::result::Result<Vec<Self>, String> {
                $(
                    let name = stringify!($column).trim_start_matches("r#");
                    let array = batch.column_by_name(name).ok_or_else(|| format!("column {name}: not there"))?;
                    let mut $column = <$type as $crate::store::Value>::read(array)
                        .map_err(|reason| format!("column {name}: {reason}"))?
                        .into_iter();
                )+
                Ok(::std::iter::from_fn(|| Some($name { $($column: $column.next()?),+ })).collect())
            }
        }
    };
}

macro_rules! row {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident of $table:ident sorted by $id:ident $(, $key:ident)* {
            $($(#[doc = $meaning:literal])+ pub $column:ident: $type:ty $(=> $unit:literal)?,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct $name {
            $($(#[doc = $meaning])+ $(#[doc = concat!(" Unit: ", $unit, ".")])? pub $column: $type,)+
        }

        read_columns!($name, $table, $($column: $type),+);

        impl Row for $name {
            const ABOUT: &'static str = concat!($($about),+).trim_ascii();

            fn columns() -> Vec<Column> {
                vec![$(Column {
                    name: stringify!($column).trim_start_matches("r#"),
                    data_type: <$type>::data_type(),
                    nullable: <$type>::NULLABLE,
                    unit: concat!($($unit)?),
                    meaning: concat!($($meaning),+).trim_ascii(),
                }),+]
            }

            fn batch(rows: &[Self]) -> Result<RecordBatch, ArrowError> {
                let arrays = vec![
                    $(<$type>::array(&rows.iter().map(|row| Some(&row.$column)).collect::<Vec<_>>())),+
                ];
                RecordBatch::try_new(Self::TABLE.schema(), arrays)
            }

            fn weight(&self) -> usize {
                0 $(+ self.$column.weight())+
            }

            fn compare(&self, other: &Self) -> Ordering {
                compare!(self, other, $id $(, $key)*)
            }

            fn key(&self) -> String {
                #[allow(unused_mut)] // where the id alone decides
                let mut key = self.$id.clone();
                $(key.push_str(&format!(" {}={}", stringify!($key), self.$key));)*
                key
            }

            fn id(&self) -> &str {
                &self.$id
            }
        }
    };
}

row! {
    /// One file of the download, or one entry of an archive: what became of it.
    pub struct FileRow of Files sorted by path {
        /// Path below the folder that was built; an archive's name is one component of it.
        pub path: String,
        /// Short name of the dataset that it belongs to; `unclaimed` where it fits none.
        pub source: String,
        /// Size, where it is known.
        pub size: Option<u64> => "byte",
        /// What became of it: used, skipped or failed. A file that is used may belong to a case that failed.
        pub status: FileStatus,
        /// Why it was skipped, or why it could not be read.
        pub reason: Option<String>,
    }
}

row! {
    /// One source of the dataset: where it comes from, and what may be done with it.
    pub struct SourceRow of Sources sorted by source {
        /// Short name of the source.
        pub source: String,
        /// Full name.
        pub name: String,
        /// Release that was recognised.
        pub release: Option<String>,
        /// Home page.
        pub home: String,
        /// SPDX identifier of the licence, or `LicenseRef-…` with `terms` in words.
        pub licence: String,
        /// What a user must know, in words.
        pub terms: String,
        /// Whether slices and masks made from the download may be passed on: yes, conditions, no or unknown.
        pub share_derived: String,
        /// What to cite, as BibTeX.
        pub citation: String,
        /// SHA-256 of the spec by which the source was read.
        pub spec_sha256: String,
    }
}

row! {
    /// One raw case: a volume, a frame of a series or a picture, whether it gave slices or not. Skipped and failed
    /// cases have a row too.
    pub struct CaseRow of Cases sorted by case_id {
        /// Readable, stable name of the case, which starts with its source: `acdc/patient001_frame01`.
        pub case_id: String,
        /// Short name of the dataset that the case comes from.
        pub source: String,
        /// Release of the source that was recognised.
        pub release: Option<String>,
        /// Patient, as the source names them; the case itself where it names none. Cases of one patient are not
        /// independent.
        pub patient_id: String,
        /// Split that the source publishes: train, validation, test.
        pub split: Option<String>,
        /// Sequence or series of the scan, as the source names it.
        pub sequence: Option<String>,
        /// Imaging modality, in the words of the protocol (CT, T2-FLAIR MRI), or one that the source's spec defines for itself.
        pub modality: String,
        /// Files of the download that went into the case.
        pub raw: Vec<RawMember>,
        /// Size of the stored array, the slowest axis first (t, z, y, x, component), without leading ones. Empty where
        /// the image could not be read.
        pub shape: Vec<u32> => "px",
        /// Stored type of a pixel, in numpy's words.
        pub dtype: Option<String>,
        /// Distance of neighbours along x, y and z of the file.
        pub spacing: Option<Vec<f64>> => "mm",
        /// Where x, y and z of the file point to, in three letters: RAS, LPS.
        pub orientation: Option<String>,
        /// Voxel index (x, y, z of the file) to RAS+ millimetres: three rows of four, row by row. Null where the header
        /// does not say where the axes point.
        pub affine: Option<Vec<f64>>,
        /// Viewing plane along which slices were taken: axial, coronal, sagittal, short axis, an axis of the file or
        /// picture; several with commas between.
        pub plane: Option<String>,
        /// Slices that the volume has along these planes.
        pub n_slices: u32,
        /// Slices that were kept.
        pub kept: u32,
        /// Slices that were left out because no mask in them was large enough.
        pub dropped_slices: u32,
        /// Masks that were left out because they were too small.
        pub dropped_masks: u32,
        /// How the masks found their places, the worst of several. same: on the image's own grid; reordered: the same
        /// grid in another order, put right exactly; resampled: another grid, nearest voxel; by_index: a header does not
        /// say where its voxels lie, or the spec says that it lies; shifted: by index, although the origins differ. Null
        /// where nothing was built.
        pub placement: Option<String>,
        /// How far voxels of image and mask that were paired lie apart by their headers, at most. Null where a header
        /// does not say.
        pub placement_error_mm: Option<f64> => "mm",
        /// How it went: ok, skipped or failed.
        pub status: CaseStatus,
        /// Why the case was skipped or failed.
        pub reason: Option<String>,
        /// What a user should know about how the case was read.
        pub notes: Vec<String>,
    }
}

row! {
    /// One 2D image that holds at least one object.
    pub struct SliceRow of Slices sorted by slice_id {
        /// Readable, stable name of the slice: its case and its position, `acdc/patient001_frame01/z0003`.
        pub slice_id: String,
        /// Case that the slice was taken from.
        pub case_id: String,
        /// Short name of the dataset that the case comes from.
        pub source: String,
        /// Patient, as the source names them.
        pub patient_id: String,
        /// Split that the source publishes: train, validation, test.
        pub split: Option<String>,
        /// Imaging modality, in the words of the protocol, or one that the source's spec defines for itself.
        pub modality: String,
        /// Viewing plane along which the slice was taken.
        pub plane: String,
        /// Position of the slice along the axis that the plane cuts, from 0.
        pub slice_index: u32,
        /// Frame of a 4D series that the slice belongs to, from 0.
        pub frame: u32,
        /// Rows of the image.
        pub height: u32 => "px",
        /// Columns of the image.
        pub width: u32 => "px",
        /// Values per pixel: 1 grey, 3 RGB.
        pub channels: u8,
        /// Distance of neighbouring rows.
        pub spacing_row_mm: Option<f64> => "mm",
        /// Distance of neighbouring columns.
        pub spacing_col_mm: Option<f64> => "mm",
        /// Raw value that became 0.
        pub intensity_min: f64 => "raw",
        /// Raw value that became 255.
        pub intensity_max: f64 => "raw",
        /// The image as an 8-bit PNG. Never null, though declared so: `datasets` decodes no other images.
        pub image: EncodedImage,
        /// SHA-256, in hex, of the 8-bit pixels: row by row, channels interleaved.
        pub pixels_sha256: String,
        /// Perceptual hash of the image: near-duplicates differ in few of its 64 bits.
        pub perceptual_hash: u64,
        /// Mean grey levels of 16 x 16 fields of the image, row by row: by them near-duplicates are told apart.
        pub thumbnail: Bytes,
    }
}

row! {
    /// One object in one slice.
    pub struct MaskRow of Masks sorted by mask_id {
        /// Readable, stable name of the mask: its slice and its object, `acdc/patient001_frame01/z0003/left_ventricle`.
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
        /// Object and modality, by which results are grouped: `liver-CT`.
        pub target: String,
        /// Value of the object in the raw label image, or its colour.
        pub label_value: String,
        /// Name of the object in the source's own words.
        pub label_name: String,
        /// Side of the body: left or right.
        pub laterality: Option<String>,
        /// Number of the instance, where the source tells several of one object apart.
        pub instance: Option<u32>,
        /// Who drew the mask, where the source has several raters.
        pub rater: Option<String>,
        /// True where the protocol leaves this kind of object out of its results.
        pub excluded: bool,
        /// Why it is left out.
        pub exclusion_reason: Option<String>,
        /// Number of pixels.
        pub area_px: u32 => "px",
        /// Area, where the spacing is known.
        pub area_mm2: Option<f64> => "mm²",
        /// First column, first row, last column and last row of the object.
        pub bbox: [u32; 4] => "px",
        /// Column of the centre of mass.
        pub centroid_x: f64 => "px",
        /// Row of the centre of mass.
        pub centroid_y: f64 => "px",
        /// Number of connected components.
        pub components: u32,
        /// True where the object reaches the first or last row or column.
        pub touches_border: bool,
        /// The mask as COCO's compressed run-length code.
        pub mask: Rle,
    }
}

row! {
    /// What may explain how well a mask is segmented: five factors, with their parts.
    pub struct FactorRow of Factors sorted by mask_id {
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
        /// Factor size: number of pixels.
        pub size_px: u32 => "px",
        /// Factor aspect ratio: the short side of the bounding box over the long one, above 0 and up to 1.
        pub aspect_ratio: f64,
        /// Mean intensity inside the object.
        pub intensity_inside: Option<f64> => "grey level, 0–255",
        /// Mean intensity around the object, inside its enlarged box; null where the object fills the box.
        pub intensity_surround: Option<f64> => "grey level, 0–255",
        /// Inside minus surround.
        pub intensity_difference: Option<f64> => "grey level",
        /// Factor intensity difference: its absolute value.
        pub intensity_difference_abs: Option<f64> => "grey level",
        /// Order at which the elliptic Fourier description of the contour stopped.
        pub fourier_order: u32,
        /// Dice of the contour decoded at that order.
        pub fourier_dice: f64,
        /// Why it stopped there: dice, plateau, cap or degenerate.
        pub fourier_stop: String,
        /// Factor boundary complexity: `fourier_order + 200 (1 - fourier_dice)`.
        pub boundary_complexity: f64,
        /// Order at which the decoded contour is close enough, whatever plateaus come before.
        pub fourier_order_true: u32,
        /// Factor modality: its position in the protocol's list, a code without an order. Those that specs define for
        /// themselves follow from 18 on, in alphabetical order.
        pub modality_index: u8,
    }
}

row! {
    /// One candidate mask that a model gave for one object and one prompt.
    pub struct PredictionRow of Predictions sorted by mask_id, model, strategy, variant, candidate {
        /// The mask that the prompt was made from.
        pub mask_id: String,
        /// Slice that the mask lies in.
        pub slice_id: String,
        /// Case that the slice was taken from.
        pub case_id: String,
        /// Short name of the dataset that the case comes from.
        pub source: String,
        /// Name of the model.
        pub model: String,
        /// Prompt strategy: S1 to S6 of the protocol, `clicks` for simulated clicks, or what was imported.
        pub strategy: String,
        /// Which prompt of the strategy: empty, `jitter10-20/seed0` where it was moved at random, `click03` after the third
        /// click.
        pub variant: String,
        /// Prompt points as x0, y0, x1, y1 and so on, in pixels of the slice.
        pub points: Vec<f64> => "px",
        /// One label a point: 1 inside the object, 0 outside.
        pub point_labels: Vec<u8>,
        /// Prompt box: first column, first row, last column, last row.
        pub r#box: Option<[f64; 4]> => "px",
        /// Which of the model's candidates this is, from 0. Only those that a choice takes are kept, unless all were asked
        /// for.
        pub candidate: u32,
        /// The model's own estimate of its IoU.
        pub predicted_iou: Option<f32>,
        /// Stability score: IoU of the mask at a raised and at a lowered threshold.
        pub stability: Option<f32>,
        /// The predicted mask as COCO's compressed run-length code.
        pub mask: Rle,
    }
}

row! {
    /// How well one model segmented one object with one strategy, for one way to choose among its candidates.
    pub struct MetricRow of Metrics sorted by mask_id, model, strategy, variant, choice {
        /// The true mask.
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
        /// Name of the model.
        pub model: String,
        /// Prompt strategy.
        pub strategy: String,
        /// How the prompt was perturbed, empty where it was not.
        pub variant: String,
        /// How the candidate was chosen: oracle (the highest Dice against the truth) or score (the highest predicted
        /// IoU).
        pub choice: Choice,
        /// The candidate that was chosen, from 0.
        pub candidate: u32,
        /// The model's own estimate of the candidate's IoU.
        pub predicted_iou: Option<f32>,
        /// True where the prediction has no pixel.
        pub empty_prediction: bool,
        /// Dice coefficient, not smoothed.
        pub dice: f64,
        /// Intersection over union (Jaccard index).
        pub iou: f64,
        /// Hausdorff distance; null for an empty prediction.
        pub hd: Option<f64> => "px",
        /// Hausdorff distance with 0 for an empty prediction, as the released code of COSMOS has it.
        pub hd_cosmos: f64 => "px",
        /// 95th percentile of the surface distances both ways, in one list.
        pub hd95: Option<f64> => "px",
        /// The larger of the 95th percentiles of the two ways.
        pub hd95_directed: Option<f64> => "px",
        /// Mean distance from the surface of the prediction to that of the truth.
        pub asd: Option<f64> => "px",
        /// Mean of the surface distances both ways.
        pub assd: Option<f64> => "px",
        /// Normalised surface Dice, at the tolerance in the options of the dataset.
        pub nsd: Option<f64>,
        /// IoU of the bands along the two contours.
        pub boundary_iou: Option<f64>,
        /// Conformity: `(3 dice - 2) / dice`; null where Dice is 0.
        pub conformity: Option<f64>,
        /// Area of the prediction minus that of the truth, over that of the truth.
        pub area_difference: Option<f64>,
        /// Hausdorff distance, where the spacing is known.
        pub hd_mm: Option<f64> => "mm",
        /// 95th percentile of the surface distances both ways, in one list, where the spacing is known.
        pub hd95_mm: Option<f64> => "mm",
        /// The larger of the 95th percentiles of the two ways, where the spacing is known.
        pub hd95_directed_mm: Option<f64> => "mm",
        /// Mean of the surface distances both ways, where the spacing is known.
        pub assd_mm: Option<f64> => "mm",
        /// Normalised surface Dice at a tolerance in millimetres, where the spacing is known.
        pub nsd_mm: Option<f64>,
    }
}

row! {
    /// Two patients that are, or seem to be, one: by the same picture, by pictures that differ in their encoding only, or by
    /// what the sources say of themselves.
    pub struct LeakRow of Leaks sorted by patient_id, other_patient_id, kind {
        /// The patient whose name comes first.
        pub patient_id: String,
        /// Short name of the source of the first patient.
        pub source: String,
        /// The other patient.
        pub other_patient_id: String,
        /// Short name of the source of the other patient.
        pub other_source: String,
        /// How it is known: exact, near or declared.
        pub kind: LeakKind,
        /// Slices of the first patient that have a twin in the other; 0 where it is only declared.
        pub slices: u32,
        /// Correlation of the local contrast of the thumbnails of the closest pair of slices, 1 where the pixels are the
        /// same; null where it is only declared.
        pub similarity: Option<f64>,
        /// One of these slices.
        pub slice_id: Option<String>,
        /// Its twin.
        pub other_slice_id: Option<String>,
        /// Name of the group of all patients that are linked with each other: that of its first patient.
        pub leak_group: String,
    }
}

row! {
    /// One slice that shows what a slice of another patient, source or split shows: a mark, nothing is deleted.
    pub struct DuplicateRow of Duplicates sorted by slice_id {
        /// The slice.
        pub slice_id: String,
        /// Short name of the dataset that the slice comes from.
        pub source: String,
        /// Patient, as the source names them.
        pub patient_id: String,
        /// Split that the source publishes: train, validation, test.
        pub split: Option<String>,
        /// The first slice, by name, of all that show the same. Where it is the slice itself, this is the one to keep.
        pub first_slice_id: String,
        /// How it is known: exact or near.
        pub kind: LeakKind,
        /// Correlation with the closest twin.
        pub similarity: f64,
        /// Name of the leak group that the patient is in.
        pub leak_group: String,
    }
}

row! {
    /// One patient, and the split that they are in. No patient and no leak group is in two.
    pub struct SplitRow of Splits sorted by patient_id {
        /// Patient, as the source names them.
        pub patient_id: String,
        /// Short name of the source.
        pub source: String,
        /// Name of the leak group, where the patient is in one.
        pub leak_group: Option<String>,
        /// Split that the source publishes, where its slices have one; several with commas.
        pub official_split: Option<String>,
        /// Split by this tool: one of the names asked for. Where folds were asked for, test for the patients of an official
        /// test set, who are in no fold, and null for all others.
        pub assigned_split: Option<String>,
        /// Fold in which the patient is tested, from 0, where folds were asked for.
        pub fold: Option<u32>,
        /// Slices of the patient.
        pub n_slices: u32,
        /// Masks of the patient, those of excluded categories left out.
        pub n_masks: u32,
    }
}

projection! {
    /// A mask without its pixels: what a choice of masks goes by.
    pub struct MaskTarget of Masks { mask_id: String, slice_id: String, target: String }
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
