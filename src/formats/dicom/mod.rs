//! DICOM: the format of every scanner, a flat list of tagged elements of which the last holds the pixels.
//!
//! Specification: PS3.3 (what the attributes mean), PS3.5 (how they are written, and the transfer syntaxes), PS3.10
//! (files), at <https://www.dicomstandard.org/current>. JPEG-LS: ISO/IEC 14495-1. JPEG: ISO/IEC 10918-1.
//!
//! One file is an *instance* (mostly one slice); the instances of a *series* make a volume. [`header()`] reads the
//! facts of one instance without its pixels, [`read`] both, [`assemble`] stacks instances. Stages: `dataset` (bytes →
//! elements), `header` (elements → facts), `frames` (encapsulated frames → `cells`, by transfer syntax), `pixels`
//! (cells → stored values), `stack`, `multiframe` and `series` (planes, frames and instances → volume).
//!
//! # What is kept, and what is changed
//!
//! Samples are the *stored* values of the standard: bits outside Bits Stored (old overlays) are masked off, the sign is
//! extended, and the rescale to Hounsfield units goes into [`Image::scaling`]. Windows, modality and VOI tables,
//! presentation states and overlays are not applied. Colour is converted to interleaved RGB from any encoding (planar,
//! YBR_FULL, YBR_FULL_422, YBR_ICT, YBR_RCT). PALETTE COLOR stays indices with [`Image::palette`].
//!
//! **MONOCHROME1** (bright is dark: much of mammography and computed radiography) is *not* inverted, so masks of values
//! and the rescale remain valid. [`Meaning::low_is_white`] is true and the image has a note: to display the image, or
//! to feed it to a model, replace `v` by `lowest + highest - v`.
//!
//! **Padding** (Pixel Padding Value and Range Limit) stays as stored, and [`Meaning::padding`] has its range: the
//! standard keeps it out of windowing, and so does the range of an 8-bit slice.
//!
//! # Deviations in the wild
//!
//! No preamble, no file meta information, no transfer syntax (then the encoding is guessed from the first element);
//! elements out of order; a transfer syntax that the elements contradict; SliceThickness that differs from the slice
//! spacing (slices overlap or leave gaps); InstanceNumber that runs against position, or twice over it; JPEG streams
//! whose colour space contradicts the header; signed pixels in unsigned code streams; Siemens mosaics.
//!
//! # Libraries
//!
//! `dicom-dictionary-std` names the tags, `jpeg-decoder` and `jpeg2k` (OpenJPEG in Rust) decode. `dicom-pixeldata` is
//! not used: it decodes the output of `dicom-object`; `dataset` states why that is not used to read files. JPEG-LS,
//! lossless and 12-bit JPEG are decoded here (`jpeg_ls` and `jpeg` state why).
//!
//! Compared with pydicom on the 293 sample files that both decode: 279 are equal value for value, all lossless ones
//! among them. Lossy JPEG differs by at most 1 level where no colour transform is undone, and by at most 3 where one
//! is, because undoing it multiplies a level of chroma by up to 1.8.

mod cells;
mod dataset;
mod frames;
mod header;
mod jpeg;
mod jpeg_2000;
mod jpeg_dct12;
mod jpeg_lossless;
mod jpeg_ls;
mod jpeg_ls_coder;
mod jpeg_stream;
mod multiframe;
mod palette;
mod pixels;
mod rle;
mod segments;
mod series;
mod stack;

#[cfg(test)]
mod build;
#[cfg(test)]
mod tests;

pub use header::{FrameHeader, Header, Photometric};
pub use segments::{segment_table, segments};
pub use series::{Series, SliceOrder, assemble, match_positions, positions, slice_order};
pub use stack::Positions;

use super::format::{File, Format, Start};
use super::{Error, Result};
use crate::image::{Image, Meaning, Scaling};
use crate::memory::Room;

const FORMAT: &str = "DICOM";

/// DICOM, with or without its preamble.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["dcm", "dicom", "ima"],
    signature: |head| head.get(128..132) == Some(b"DICM"),
    start: Start::Content,
    read: |file, _, _| read_file(file).map(|instance| instance.image),
    describe: |file| segments::table_within(&file.plain(dataset::promise)?, file.room()),
    segments: |file, _| segments::within(&file.plain(dataset::promise)?, file.room()),
    ..Format::PLAIN
};

/// One file: its facts and its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// What messages call it: whatever the caller gives, usually the file's name. Empty from [`read`].
    pub label: String,
    /// The facts.
    pub header: Header,
    /// The pixels: one slice, or all frames of a multi-frame instance along z (along t where several frames share a
    /// position). Geometry as [`assemble`] describes it; a single slice is as thick as its header says, else 1 mm.
    pub image: Image,
}

impl Instance {
    /// The same under a name for messages.
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Instance { label: label.into(), ..self }
    }
}

/// Reads the facts of a file and leaves its pixels alone.
///
/// # Errors
/// [`Error::Unknown`] where the bytes are no DICOM; [`Error::Unsupported`] where the object has no pixels (structure
/// sets, reports, plans: named); [`Error::Malformed`] and [`Error::Truncated`] where an element ends too early, or the
/// description of the pixels is missing or contradicts itself.
pub fn header(bytes: &[u8]) -> Result<Header> {
    let part10 = dataset::Part10::open(bytes, &Room::default())?;
    let data_set = part10.data_set()?;
    Header::of(&part10, &data_set)
}

/// Reads a file with its pixels: the facts, and an image of stored values.
///
/// # Errors
/// As [`header()`]; [`Error::Unsupported`] for transfer syntaxes without a decoder (JPEG XL, MPEG and others: named),
/// and for pixel layouts that the standard has retired; [`Error::Truncated`] where pixels are missing;
/// [`Error::Malformed`] where a code stream is broken or has another size than the header says.
pub fn read(bytes: &[u8]) -> Result<Instance> {
    read_within(bytes, &Room::default())
}

/// As [`read`], of a file that may be gzipped, in the memory of its room.
pub(super) fn read_file(file: &File) -> Result<Instance> {
    read_within(&file.plain(dataset::promise)?, file.room())
}

fn read_within(bytes: &[u8], room: &Room) -> Result<Instance> {
    let part10 = dataset::Part10::open(bytes, room)?;
    let data_set = part10.data_set()?;
    let header = Header::of(&part10, &data_set)?;
    let mut decoded = pixels::decode(&header, &data_set, room)?;
    let mut notes = header.notes.clone();
    notes.append(&mut decoded.notes);
    let image = Image {
        size: [header.columns, header.rows, header.frames, 1],
        components: decoded.components,
        samples: decoded.samples,
        bits: decoded.bits,
        scaling: header.rescale.unwrap_or(Scaling::IDENTITY),
        geometry: None,
        palette: decoded.palette,
        meaning: Meaning { low_is_white: header.bright_is_dark(), padding: header.padding, ..Meaning::default() },
        notes,
    };
    let image = multiframe::place_frames(&header, image);
    Ok(Instance { label: String::new(), header, image })
}

/// How large decoded data may be against the bytes they come from: a guard against headers that promise gigabytes.
struct Expansion {
    /// Bytes that are always allowed.
    free: u64,
    /// Factor on the encoded bytes beyond them. Deflate ends at 1032; blank frames of JPEG-LS and JPEG 2000 can pass
    /// this, but only small ones occur, and those are free.
    ratio: u64,
}

const MAX_EXPANSION: Expansion = Expansion { free: 64 << 20, ratio: 1100 };

impl Expansion {
    fn bound(&self, encoded: usize) -> u64 {
        (encoded as u64).saturating_mul(self.ratio).saturating_add(self.free)
    }
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::Malformed { format: FORMAT, reason: reason.into() }
}

fn unsupported(feature: impl Into<String>) -> Error {
    Error::Unsupported { format: FORMAT, feature: feature.into() }
}

fn truncated(what: impl Into<String>, expected: u64, found: u64) -> Error {
    Error::Truncated { format: FORMAT, what: what.into(), expected, found }
}
