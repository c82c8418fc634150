//! NRRD ("nearly raw raster data"): `.nrrd`, and `.nhdr` with its data in other files.
//!
//! Specification: "Definition of NRRD File Format" of the Teem project, versions 1 to 5. A text header that begins with
//! `NRRD000` and the version, `field: value` lines, an empty line, then the data with the first axis fastest.
//!
//! Which axis is what: an axis with a direction is one of space; one without (`none`, a spacing of NaN, a `kind` that
//! is no domain) is a component axis where it comes first, and t where it comes last. Without any such word the first
//! three axes are x, y, z and the fourth is t.
//!
//! In the wild:
//! - `space` is one of three anatomical names for almost all files (`left-posterior-superior` from ITK and Slicer);
//!   others (`3D-right-handed`, `scanner-xyz`, a bare `space dimension`) do not say where left is: taken as LPS+, as
//!   ITK does, with a note.
//! - `byte skip` of compressed data counts decompressed bytes, after `line skip` was counted in the file. pynrrd 1.1
//!   also seeks in the compressed file, and fails on such files.
//! - Vectors with blanks, `(1, 0, 0)`; field names with and without their blank; headers with CRLF.

mod axes;
mod fields;
mod segments;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::fields::Fields;
pub use self::segments::{segment_table, segments};
use super::format::Format;
use super::voxels::{Block, DataFiles, Dtype, Encoding, Endian, Header, MOST_LINES, Scratch, Skip, named_data};
use super::{Companion, Error, Result};
use crate::image::{Image, Scaling};
use crate::memory::Room;

const FORMAT: &str = "NRRD";

/// NRRD, with its data or the header alone.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["nrrd", "nhdr"],
    signature: |head| head.starts_with(b"NRRD000"),
    companions: &[("nhdr", &["raw", "raw.gz", "img"])],
    named_data: Some(|header| named_data(header, &["data file", "datafile"])),
    read: |file, companion, scratch| read_into(file.bytes, companion, (scratch, file.room())),
    describe: |file| segment_table(file.bytes),
    segments: |file, companion| segments::within(file.bytes, companion, file.room()),
    ..Format::PLAIN
};

/// Reads an image from the bytes of its `.nrrd` or `.nhdr`. Data files are named in the header; `name`, the header's
/// own, is not needed.
///
/// # Errors
/// [`Error::Unsupported`] for `block` samples, other encodings than raw, gzip, bzip2, text and hex, and axes that are
/// neither x, y, z nor components first or t last; [`Error::MissingCompanion`] where a data file is not there;
/// [`Error::Truncated`] where it is too short; [`Error::Malformed`] for a header that lacks a field or contradicts
/// itself, or is of another version, and for a damaged compressed stream.
pub fn read(_name: &str, bytes: &[u8], companion: &Companion) -> Result<Image> {
    read_into(bytes, companion, (&mut Scratch::default(), &Room::default()))
}

fn read_into(bytes: &[u8], companion: &Companion, (scratch, room): (&mut Scratch, &Room)) -> Result<Image> {
    let Parsed { header, endian, encoding, line_skip, skip, files, rest, .. } = parse(bytes)?;
    let mut files = files.fetch(FORMAT, rest, companion)?;
    if line_skip > 0 {
        files = files.into_iter().map(|file| after_lines(file, line_skip)).collect::<Result<_>>()?;
    }
    let block = Block { format: FORMAT, dtype: header.dtype, endian, count: header.count(FORMAT)?, encoding, skip };
    let samples = block.decode(files, scratch, room)?;
    Ok(header.with(samples))
}

/// Reads the header alone, from a `.nhdr`, or the start of a `.nrrd`.
///
/// # Errors
/// As [`read`], without those of the data.
pub fn header(_name: &str, bytes: &[u8]) -> Result<Header> {
    Ok(parse(bytes)?.header)
}

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

fn unsupported(feature: String) -> Error {
    Error::Unsupported { format: FORMAT, feature }
}

struct Parsed<'a> {
    header: Header,
    /// `key:=value` lines, as written.
    keys: Vec<(String, String)>,
    endian: Endian,
    encoding: Encoding,
    line_skip: usize,
    skip: Skip,
    files: DataFiles,
    /// What follows the header in its file.
    rest: &'a [u8],
}

fn parse(bytes: &[u8]) -> Result<Parsed<'_>> {
    let (fields, rest) = Fields::split(bytes)?;
    let dtype = dtype(fields.required("type")?)?;
    let encoding = encoding(fields.required("encoding")?)?;
    let endian = match fields.get("endian").map(str::to_ascii_lowercase).as_deref() {
        Some("little") => Endian::Little,
        Some("big") => Endian::Big,
        Some(other) => return Err(malformed(format!("endian is {other:?}, expected little or big"))),
        None if dtype.bytes() == 1 || encoding == Encoding::Text => Endian::Little,
        None => return Err(malformed(format!("{} samples without the field endian", dtype.name()))),
    };
    let mut notes = Vec::new();
    let axes::Axes { size, components, layers, geometry } = axes::of(&fields, &mut notes)?;
    let files = match fields.get("datafile") {
        Some(value) => DataFiles::parse(FORMAT, value, rest)?,
        None => DataFiles::Local,
    };
    let line_skip = fields.number("lineskip")?.unwrap_or(0);
    let skip = match fields.number::<i64>("byteskip")?.unwrap_or(0) {
        -1 => Skip::ToEnd,
        n => Skip::Bytes(usize::try_from(n).map_err(|_| malformed(format!("byte skip is {n}")))?),
    };
    let header = Header { size, components, layers, dtype, scaling: Scaling::IDENTITY, geometry, notes };
    Ok(Parsed { header, keys: fields.into_keys(), endian, encoding, line_skip, skip, files, rest })
}

/// What follows the first `lines` lines of a file.
fn after_lines(file: Cow<[u8]>, lines: usize) -> Result<Cow<[u8]>> {
    let mut ends = file.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    let start =
        ends.nth(lines - 1).ok_or_else(|| malformed(format!("fewer than {lines} lines to skip in the data file")))?;
    Ok(match file {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[start..]),
        Cow::Owned(mut bytes) => {
            bytes.drain(..start);
            Cow::Owned(bytes)
        }
    })
}

/// Every name that the specification gives to a type.
fn dtype(name: &str) -> Result<Dtype> {
    let words = name.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    Ok(match words.as_str() {
        "signed char" | "int8" | "int8_t" => Dtype::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => Dtype::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => Dtype::I16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => Dtype::U16,
        "int" | "signed int" | "int32" | "int32_t" => Dtype::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => Dtype::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => Dtype::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => Dtype::U64,
        "float" => Dtype::F32,
        "double" => Dtype::F64,
        "block" => return Err(unsupported("samples of type block, which have no numeric meaning".into())),
        _ => return Err(malformed(format!("type {name:?} is not in the specification"))),
    })
}

fn encoding(name: &str) -> Result<Encoding> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "raw" => Encoding::Raw,
        "txt" | "text" | "ascii" => Encoding::Text,
        "hex" => Encoding::Hex,
        "gz" | "gzip" => Encoding::Deflate,
        "bz2" | "bzip2" => Encoding::Bzip2,
        _ => return Err(unsupported(format!("encoding {name:?}; save the file as raw or gzip"))),
    })
}
