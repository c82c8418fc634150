//! Image formats, one file or folder each: bytes in, [`Image`](crate::image::Image) out. This module is independent of
//! datasets and of the file system: companions of a header (`.img`, `.raw`, `.zraw`) are requested by name.
//!
//! Each format has one entry, a [`Format`] with its name, extensions, signature, companions, reader and probe;
//! [`FORMATS`] in `registry.rs` lists them. To add a format, write its file with an `ENTRY`, declare the module, and
//! add a line to [`FORMATS`].

use thiserror::Error;

use crate::memory::Beyond;

pub mod analyze;
pub mod bmp;
pub mod dicom;
mod format;
pub mod gif;
pub mod gzip;
mod ifd;
pub mod jpeg;
mod lzw;
pub mod metaimage;
pub mod nifti;
pub mod nrrd;
pub mod png;
pub mod pnm;
mod probe;
mod registry;
pub mod segments;
pub mod tiff;
pub mod voxels;

pub use format::{File, Format, NamedData, Start};
pub use probe::Probe;
pub use registry::{FORMATS, detect, dicom_instance, read, read_file, segment_table, segments as read_segments};
pub(crate) use registry::{companions, has_signature, is_known, named_data, probe_of, start_of};
pub use voxels::Scratch;

/// Numbers for a message, as headers write them.
fn listed<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

/// Why bytes are not an image. The message has no file name: whoever has the name puts it in front.
#[derive(Debug, Error)]
pub enum Error {
    /// The data end before the header says they do.
    #[error("{format}: truncated: {what} needs {expected} bytes, found {found}")]
    Truncated {
        /// Name of the format.
        format: &'static str,
        /// Which part is short.
        what: String,
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The bytes contradict the format's specification.
    #[error("{format}: malformed: {reason}")]
    Malformed {
        /// Name of the format.
        format: &'static str,
        /// What was expected and what was found.
        reason: String,
    },
    /// Legal, but not read here.
    #[error("{format}: not supported: {feature}")]
    Unsupported {
        /// Name of the format.
        format: &'static str,
        /// What the file uses, and what to do instead.
        feature: String,
    },
    /// Files or pages that are sound, each by itself, and do not make one image.
    #[error("{format}: {reason}")]
    NotTogether {
        /// Name of the format.
        format: &'static str,
        /// Which differ, and in what.
        reason: String,
    },
    /// The header names a second file that is not there.
    #[error("{format}: the header names {name:?} as its data file, which is missing next to it")]
    MissingCompanion {
        /// Name of the format.
        format: &'static str,
        /// File name as written in the header, or as the convention demands.
        name: String,
    },
    /// Decoding needs more memory than there is for it.
    #[error("decoding it {0}")]
    Memory(#[from] Beyond),
    /// The format is none of those read here.
    #[error("unknown image format: {0}")]
    Unknown(String),
}

/// Result of a reader.
pub type Result<T> = std::result::Result<T, Error>;

/// Reads a companion file of a header by the name that the header gives: a path below the header's folder, its parts
/// separated by `/`. `None` where there is none; an error where there is no memory for it.
pub type Companion<'a> = dyn Fn(&str) -> Result<Option<Vec<u8>>> + 'a;
