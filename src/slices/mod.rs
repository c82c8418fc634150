//! From cases to slices and masks: the main viewing plane, 8-bit images, one run-length mask per object, and their
//! retention (docs/protocol.md, 2).
//!
//! A case is read part by part: its image once, then one mask file after another, each converted to runs and freed
//! before the next is read. Memory therefore holds one volume and one mask at a time.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::formats;
use crate::mask::Mask;
use crate::named;
use crate::spec::{Intensity, Label, Plane};

mod binary;
mod cut;
mod intensity;
mod labels;
mod load;
mod names;
mod notes;
mod picture;
mod pixels;
pub(crate) mod placement;
mod plane;
pub mod png;
mod rle_table;
mod segments;

pub(crate) use cut::cut;
pub use intensity::Grey;
pub(crate) use load::{Loaded, Scratch};
pub use picture::{THUMBNAIL_SIDE, luma_fields, perceptual_hash, pixels_sha256, thumbnail};
pub use pixels::{LARGEST_SIDE, SliceError, SlicePixels};
pub(crate) use plane::Axis;
pub(crate) use plane::{slice_size, slice_values};

/// What decides the slices of a dataset. Defaults are the protocol's. What is `None` is as each spec says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// A mask is kept if it has more pixels than this (docs/protocol.md, 2.5: 50).
    pub min_area: u32,
    /// Planes of all cases, in place of the specs' own; empty for those.
    pub planes: Vec<Plane>,
    /// Intensity rule of all cases, in place of the specs' own.
    pub intensity: Option<Intensity>,
    /// Which raters' masks are built (docs/protocol.md, 2.8: the first).
    pub raters: Raters,
    /// One mask for each connected component (8 neighbours) of a label, in place of one for each label
    /// (docs/protocol.md, 2.6).
    pub split_components: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { min_area: 50, planes: Vec::new(), intensity: None, raters: Raters::First, split_components: false }
    }
}

named! {
    /// Raters whose masks are built.
    #[derive(Default)]
    pub enum Raters("choice of raters") {
        /// The reference rater of the source.
        #[default]
        First = "first",
        /// All raters, as separate masks.
        All = "all",
        /// One mask of the pixels that more than half of the raters marked.
        Majority = "majority",
    }
}

/// A case cut into slices.
#[derive(Debug)]
pub struct CaseSlices {
    /// numpy's name of the stored type.
    pub dtype: &'static str,
    /// Stored shape, slowest axis first (t, z, y, x, component), without leading ones of t and z and without a single
    /// component.
    pub shape: Vec<u32>,
    /// Millimetres along x, y, z of the file.
    pub spacing: Option<[f64; 3]>,
    /// Orientation code, as nibabel's `aff2axcodes`.
    pub orientation: Option<String>,
    /// Voxel index (x, y, z of the file) to RAS+ millimetres, where the header says.
    pub affine: Option<[[f64; 4]; 3]>,
    /// Name of the plane that the slices lie in: `axial`, `coronal`, `sagittal` (closest, by the affine), the file axis
    /// that was cut across where the frame is not known, `picture` for single pictures. Several with commas between.
    pub plane: String,
    /// Slices of the volume, kept or not.
    pub n_slices: u32,
    /// Slices with at least one kept mask, in order of their names.
    pub slices: Vec<Slice>,
    /// Slices without any object.
    pub empty_slices: u32,
    /// Slices whose objects were all too small.
    pub dropped_slices: u32,
    /// Masks that were too small.
    pub dropped_masks: u32,
    /// How the masks found their places; the worst of several.
    pub placement: placement::Placement,
    /// How far voxels of image and masks that were paired lie apart by their headers, at most, in millimetres.
    pub placement_error_mm: Option<f64>,
    /// What the readers noted about the files, and what was noted when masks were placed.
    pub notes: Vec<String>,
}

/// One 2D image with its masks.
#[derive(Debug)]
pub struct Slice {
    /// Part of the id behind the case: `z0003`, or `t0012_z0003` where a case has frames.
    pub name: String,
    /// Name of the plane it lies in.
    pub plane: String,
    /// Position along the axis that was cut across, from 0, in storage order.
    pub index: u32,
    /// Frame (fourth axis), from 0.
    pub frame: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// 1 grey, 3 RGB.
    pub channels: u8,
    /// Millimetres from row to row and from column to column.
    pub spacing: Option<(f64, f64)>,
    /// Real value that became 0.
    pub intensity_min: f64,
    /// Real value that became 255.
    pub intensity_max: f64,
    /// Sha-256 of the 8-bit pixels, row by row, channels interleaved; hexadecimal.
    pub pixels_sha256: String,
    /// 64-bit difference hash of the luma.
    pub perceptual_hash: u64,
    /// Mean luma of 16 x 16 fields, row by row.
    pub thumbnail: Vec<u8>,
    /// The 8-bit picture as PNG.
    pub png: Vec<u8>,
    /// Its objects, in the order of the spec.
    pub masks: Vec<ObjectMask>,
}

/// One object in one slice.
#[derive(Clone, Debug)]
pub struct ObjectMask {
    /// What it is.
    pub label: Label,
    /// Value in the file: the number, the colour, or the key of a file that holds one class.
    pub label_value: String,
    /// Instance number of the file (cells, glands), or component number where components are split.
    pub instance: Option<u32>,
    /// Who drew it.
    pub rater: Option<String>,
    /// 0 for the source's reference rater.
    pub rater_rank: u32,
    /// The pixels.
    pub mask: Mask,
}

/// Why a case cannot be cut. Every message names the file.
#[derive(Debug, Error)]
pub enum Error {
    /// The file's bytes cannot be had.
    #[error(transparent)]
    Raw(#[from] crate::raw::Error),
    /// The file is not the image that its name promises.
    #[error("{file}: {source}")]
    Format {
        /// Member of the raw tree.
        file: String,
        /// What the reader found.
        source: formats::Error,
    },
    /// Files of one stack do not fit together.
    #[error("{file}: {reason}")]
    Stack {
        /// Member of the raw tree.
        file: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A mask that does not lie on its image's grid.
    #[error(
        "{mask} has {} pixels (x, y, z, t), but its image {image} has {}: they do not belong together, or one was \
         resampled",
        shape(found),
        shape(expected)
    )]
    Shape {
        /// The mask's file.
        mask: String,
        /// The image's file.
        image: String,
        /// Size of the mask.
        found: [usize; 4],
        /// Size of the image.
        expected: [usize; 4],
    },
    /// A mask whose header puts it elsewhere than its voxels' order does.
    #[error(
        "{mask} is not on the grid of its image {image}: {why} (the mask has {mask_grid}; the image has {image_grid}). \
         If both headers are correct, set pair = \"space\" in the spec; if they are known to be wrong, pair = \
         \"index\" with a pair_reason pairs voxels by index"
    )]
    Placement {
        /// The mask's file.
        mask: String,
        /// The image's file.
        image: String,
        /// Size and frame of the mask.
        mask_grid: String,
        /// Size and frame of the image.
        image_grid: String,
        /// What differs.
        why: String,
    },
    /// A value that the spec's label table does not have.
    #[error("{file}: label value {value} in slice {slice} is not in the spec, which has {known}")]
    UnknownLabel {
        /// The mask's file.
        file: String,
        /// Value as found.
        value: String,
        /// Slice along the third axis, from 0.
        slice: usize,
        /// Keys of the table.
        known: String,
    },
    /// A table of masks that has no row for the image.
    #[error("unlabelled: {table} has no row for {row}")]
    Unlabelled {
        /// The table's file.
        table: String,
        /// What the row would be called.
        row: String,
    },
    /// The spec asks for something that the file does not have.
    #[error("{file}: {reason}")]
    Spec {
        /// Member of the raw tree.
        file: String,
        /// What the spec expects and what was found.
        reason: String,
    },
}

impl Error {
    /// True where the same files may well be read another time. Files of a case are read twice, for their digests and
    /// for their pixels: one of which only the first succeeds has changed, or the system failed.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Error::Raw(_))
    }
}

fn shape(size: &[usize; 4]) -> String {
    size.map(|n| n.to_string()).join(" x ")
}
