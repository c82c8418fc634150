//! Containers that hold several masks under names: DICOM segmentations, DICOM structure sets, and NRRD as 3D Slicer
//! writes it.
//!
//! An [`Image`] has one value for each pixel, and no names. These containers also have a table of segments, each with a
//! number, a name and coded terms, and a separate mask that may overlap the others.
//! [`segment_table`](super::segment_table) reads the table, [`read_segments`](super::read_segments) the masks too, and
//! [`Segments::on_grid`] maps one after another to the grid of an image, by the position of each frame:
//!
//! - a **DICOM segmentation** (PS3.3 C.8.20) is a list of frames in any order, each of one segment and at one position;
//!   frames without a mark are left out by most writers. A *label map* has one frame for each position, whose values
//!   are numbers of segments;
//! - a **structure set** (PS3.3 C.8.8.5, C.8.8.6) has no pixels: each structure is a list of closed contours in
//!   millimetres;
//! - a **segmentation of 3D Slicer** is a label map, or several as *layers* where segments overlap, cropped to what is
//!   marked; its keys `SegmentN_Name`, `SegmentN_LabelValue`, `SegmentN_Layer` and `SegmentN_Tags` assign values of
//!   layers to segments.

mod contours;
mod planes;

use std::collections::BTreeMap;

use serde::Serialize;

pub(super) use contours::Structure;
pub(super) use planes::{Frames, Layer, Layers, Marked, Place, Plane, Voxels};

use super::{Error, Result};
use crate::image::{Geometry, Image};

/// What a container of segments is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DICOM segmentation with frames of their own for each segment.
    Segmentation,
    /// DICOM segmentation whose values are numbers of segments.
    LabelMap,
    /// DICOM structure set: contours.
    StructureSet,
    /// NRRD with the keys of 3D Slicer.
    Nrrd,
}

impl Kind {
    /// For messages.
    pub fn text(self) -> &'static str {
        match self {
            Kind::Segmentation => "a DICOM segmentation",
            Kind::LabelMap => "a DICOM segmentation (label map)",
            Kind::StructureSet => "a DICOM structure set",
            Kind::Nrrd => "a segmentation of 3D Slicer",
        }
    }
}

/// One mask of a container, without its pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Segment Number, ROI Number, or the label value of 3D Slicer (which may come again in another layer).
    pub number: u32,
    /// Layer of a segmentation of 3D Slicer, from 0; 0 elsewhere.
    pub layer: u32,
    /// Segment Label, ROI Name, or `SegmentN_Name`.
    pub name: String,
    /// Its coded type: meaning, then `SCHEME:VALUE` (`Liver`, `SCT:10200004`); where a modifier says more (a side), the
    /// meaning with it comes first. Empty where the container has none.
    pub terms: Vec<String>,
}

impl Segment {
    /// `2 "Spleen" (Spleen, SCT:78961009)`.
    pub fn describe(&self) -> String {
        let layer = if self.layer > 0 { format!(" of layer {}", self.layer) } else { String::new() };
        let terms = if self.terms.is_empty() { String::new() } else { format!(" ({})", self.terms.join(", ")) };
        format!("{}{layer} {:?}{terms}", self.number, self.name)
    }
}

/// Which masks a container holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it is.
    pub kind: Kind,
    /// Its segments, as the container lists them.
    pub segments: Vec<Segment>,
    /// Number of layers of a segmentation of 3D Slicer; 1 elsewhere.
    pub layers: usize,
    /// Frame of Reference UID: positions can be compared with those of images that have the same.
    pub frame_of_reference: Option<String>,
    /// Series Instance UIDs of the images that it was drawn on.
    pub series: Vec<String>,
}

impl Table {
    /// Whether one value for each pixel tells all: a label map in one layer, or a single segment.
    pub(crate) fn is_one_map(&self) -> bool {
        match self.kind {
            Kind::Segmentation => self.segments.len() == 1,
            Kind::LabelMap => true,
            Kind::StructureSet => false,
            Kind::Nrrd => self.layers == 1,
        }
    }

    /// All segments, for messages.
    pub fn describe(&self) -> String {
        match self.segments.len() {
            0 => "no segment".into(),
            _ => self.segments.iter().map(Segment::describe).collect::<Vec<_>>().join(", "),
        }
    }
}

/// The masks of a container.
#[derive(Debug)]
pub struct Segments {
    /// Which they are.
    pub table: Table,
    /// What is odd about the file, one sentence each.
    pub notes: Vec<String>,
    content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Frames(Frames),
    Layers(Box<Layers>),
    Structures(Vec<Structure>),
}

/// A frame or contour may lie off a slice by this share of the distance between slices.
const SLICE_TOLERANCE: f64 = 0.25;
/// Share of what a segment marks that must lie in the image.
const COVERED: f64 = 0.99;

/// The pixels of an image, as segments are laid on them.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Number of pixels along x, y, z.
    pub size: [usize; 3],
    /// Where they lie, if the image says so.
    pub geometry: Option<&'a Geometry>,
    /// Where each slice along z lies, in steps of the geometry from the first; `None` where they are 0, 1, 2, … (DICOM
    /// series may lack slices).
    pub heights: Option<&'a [f64]>,
    /// Series Instance UID of the image, if it has one.
    pub series: Option<&'a str>,
}

/// A segment on the grid of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// 1 where the segment is, x fastest, then y and z of the image.
    pub marks: Vec<u8>,
    /// Whether the image stores its pixels in another order: turned around, or axes exchanged.
    pub reordered: bool,
    /// How far pixels were moved at most to lie on the image's, in millimetres. 0 for contours, which have no pixels.
    pub error_mm: f64,
    /// What a user should know, one sentence each.
    pub notes: Vec<String>,
}

/// Why a segment does not lie on the grid of an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Nothing says where it lies.
    #[error("{0}")]
    Unplaced(String),
    /// It has pixels, but they are not those of the image: another spacing, other directions, between slices.
    #[error("{0}")]
    OffGrid(String),
    /// It lies elsewhere.
    #[error("{0}")]
    Elsewhere(String),
}

impl Segments {
    pub(super) fn new(table: Table, notes: Vec<String>, content: Content) -> Self {
        Segments { table, notes, content }
    }

    /// Segment `index` of the table on the grid of an image, each of its pixels on the grid's pixel at the same place,
    /// contours filled.
    ///
    /// Axes may be turned around or exchanged, slices missing or in another order, as long as the pixels are the same:
    /// no pixel may move by half a pixel, and no slice by more than a quarter of the distance between slices. Masks of
    /// slices that lie farther apart than the image's are refused: they say nothing of the slices between. Frames of a
    /// DICOM segmentation may be those of a few slices, which its header's distance between slices tells, and the
    /// series that it was drawn on.
    ///
    /// # Errors
    /// [`Misfit`], with both frames.
    ///
    /// # Panics
    /// Where the table has no such segment.
    pub fn on_grid(&self, index: usize, target: Target) -> std::result::Result<Placed, Misfit> {
        match &self.content {
            Content::Frames(frames) => {
                let series = target.series.filter(|_| !self.table.series.is_empty());
                let drawn_on_it = series.map(|image| self.table.series.iter().any(|s| s == image));
                frames.on_grid(index, target, drawn_on_it)
            }
            Content::Layers(layers) => layers.on_grid(index, target),
            Content::Structures(structures) => structures[index].on_grid(target),
        }
    }

    /// Segment `index` as a volume of its own: 0 and 1 on the grid that its frames span, slices without a frame 0.
    ///
    /// # Errors
    /// [`Misfit::OffGrid`] for contours, which have no pixels, and for frames that lie on no regular grid or would need
    /// far more memory than the file has bytes.
    ///
    /// # Panics
    /// Where the table has no such segment.
    pub fn volume(&self, index: usize) -> std::result::Result<Image, Misfit> {
        match &self.content {
            Content::Frames(frames) => frames.volume(index),
            Content::Layers(layers) => Ok(layers.volume(index)),
            Content::Structures(_) => Err(Misfit::OffGrid("contours have no pixels".into())),
        }
    }

    /// The largest value of a segment and the threshold that it would have to exceed, where it is marked by fractions
    /// and none does.
    ///
    /// # Panics
    /// Where the table has no such segment.
    pub(crate) fn below_threshold(&self, index: usize) -> Option<(f64, f64)> {
        match &self.content {
            Content::Frames(frames) => frames.below_threshold(index),
            Content::Layers(_) | Content::Structures(_) => None,
        }
    }

    /// Values of the layers that are of no segment of the table, each with its layer; the first few.
    pub fn unnamed(&self) -> Vec<(u32, f64)> {
        match &self.content {
            Content::Frames(frames) => frames.unnamed(&self.table),
            Content::Layers(layers) => layers.unnamed(),
            Content::Structures(_) => Vec::new(),
        }
    }
}

/// Two segments of one number (in one layer) cannot be distinguished.
pub(super) fn distinct(format: &'static str, segments: &[Segment]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for segment in segments {
        if let Some(other) = seen.insert((segment.layer, segment.number), &segment.name) {
            let (number, name) = (segment.number, &segment.name);
            let reason = format!("two segments have the number {number}: {other:?} and {name:?}");
            return Err(Error::Malformed { format, reason });
        }
    }
    Ok(())
}
