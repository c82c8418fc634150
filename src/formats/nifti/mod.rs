//! NIfTI-1 and NIfTI-2: `.nii`, `.nii.gz`, and pairs `.hdr` + `.img` with either half compressed.
//!
//! Specification: `nifti1.h` and `nifti2.h` of the NIfTI working group; where they leave a choice, nibabel's is
//! followed, because labels were drawn and published results computed on its output. A fixed binary header (348 or 540
//! bytes, byte order of the writer), optional extensions, then the voxels with x fastest.
//!
//! In the wild:
//! - `scl_slope` is 0, NaN or infinite when the writer means "no scaling".
//! - `vox_offset` is 0 in single files. niftilib reads from the end of the header; nibabel 5 reads the header itself as
//!   voxels. Here the data begin at 352 (NIfTI-2: 544), and a note reports it.
//! - The lengths of the sform's columns differ from `pixdim`. The files of ACDC have an sform of 1 mm and the true
//!   spacing in `pixdim`. So the spacing of an image is always `pixdim`'s, the affine is nibabel's, and a note reports
//!   the difference.
//! - `xyzt_units` may say micrometres or metres: spacing and affine are converted to millimetres, as ITK does and
//!   nibabel does not.
//! - A 348-byte header without a magic number is Analyze 7.5: [`analyze`](super::analyze).
//!
//! `nifti` 0.18.0 is a second reader in tests (`demo/write/tests.rs`), not the reader of the program. It refuses
//! NIfTI-2 and Analyze, turns a volume whose slope is NaN or infinite into NaN and infinities throughout, and reads a
//! gzip file of several members up to the end of the first: a test shows each. It is also slow: a CT of 312 slices of
//! 512 x 512 16-bit voxels (71 MB compressed) took it 0.64 s of processor time to load and 0.88 s to an array; this
//! module needs 0.46 s, most of them libdeflate's.

mod affine;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use super::format::{File, Format, Start};
use super::voxels::{Block, Dtype, Encoding, Endian, Header, Scratch, Skip, four_axes};
use super::{Companion, Error, Result, gzip};
use crate::image::{Image, Scaling};

pub(super) use self::affine::{centred_on_volume, spacing_of};

const FORMAT: &str = "NIfTI";

/// NIfTI-1 and NIfTI-2, one file or a pair. The header of a pair is named as that of [`analyze`](super::analyze), whose
/// entry has the name of its companion.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["nii"],
    signature: |head| {
        let magic = head.get(344..348);
        has_size(head, 540) || has_size(head, 348) && (magic == Some(b"n+1\0") || magic == Some(b"ni1\0"))
    },
    start: Start::Signature,
    read: read_file,
    ..Format::PLAIN
};

/// Bytes of the largest header (NIfTI-2).
const LARGEST_HEADER: usize = 540;

/// Reads an image from the bytes of its single file or of its header. `name` is the header's file name, from which the
/// name of the data file of a pair is made (`x.hdr` → `x.img` or `x.img.gz`).
///
/// Axes beyond the fourth are joined into t, in the order of storage. RGB and RGBA are three and four components.
///
/// # Errors
/// Complex and 128-bit types and single bits are [`Error::Unsupported`]; a pair without its `.img` is
/// [`Error::MissingCompanion`]; short data are [`Error::Truncated`]; a header that contradicts itself, among them a
/// valid slope with an infinite intercept, is [`Error::Malformed`].
pub fn read(name: &str, bytes: &[u8], companion: &Companion) -> Result<Image> {
    read_file(&File::new(name, bytes), companion, &mut Scratch::default())
}

fn read_file(file: &File, companion: &Companion, scratch: &mut Scratch) -> Result<Image> {
    let Parsed { header, other_frame, endian, layout } = parse(file.name, &file.head(LARGEST_HEADER)?)?;
    let room = file.room();
    let file = match layout.pair {
        true => data_half(FORMAT, file.name, companion)?,
        false => Cow::Borrowed(file.bytes),
    };
    let block = Block {
        format: FORMAT,
        dtype: header.dtype,
        endian,
        count: header.count(FORMAT)?,
        encoding: if gzip::is_gzip(&file) { Encoding::Deflate } else { Encoding::Raw },
        skip: Skip::Bytes(layout.offset),
    };
    let samples = block.decode(vec![file], scratch, room)?;
    let mut image = header.with(samples);
    image.meaning.other_frame = other_frame;
    Ok(image)
}

/// Reads the header alone; the first few hundred bytes of the file, compressed or not, are enough.
///
/// # Errors
/// As [`read`], without those of the data.
pub fn header(name: &str, bytes: &[u8]) -> Result<Header> {
    Ok(parse(name, &File::new(name, bytes).head(LARGEST_HEADER)?)?.header)
}

/// Whether a header begins with its size, in either byte order.
pub(super) fn has_size(head: &[u8], size: i32) -> bool {
    head.starts_with(&size.to_le_bytes()) || head.starts_with(&size.to_be_bytes())
}

/// The `.img` of a `.hdr`, compressed or not.
pub(super) fn data_half<'a>(format: &'static str, name: &str, companion: &Companion) -> Result<Cow<'a, [u8]>> {
    let stem = without_suffix(name, ".gz").unwrap_or(name);
    let (stem, upper) = match (without_suffix(stem, ".hdr"), without_suffix(stem, ".nii")) {
        (Some(stem_of), _) | (None, Some(stem_of)) => (stem_of, stem.ends_with(|c: char| c.is_ascii_uppercase())),
        (None, None) => (stem, false),
    };
    let img = format!("{stem}{}", if upper { ".IMG" } else { ".img" });
    let found = match companion(&img)? {
        None => companion(&format!("{img}.gz"))?,
        found => found,
    };
    found.map(Cow::Owned).ok_or(Error::MissingCompanion { format, name: img })
}

fn without_suffix<'a>(name: &'a str, suffix: &str) -> Option<&'a str> {
    let at = name.len().checked_sub(suffix.len())?;
    let (stem, end) = (name.get(..at)?, name.get(at..)?);
    end.eq_ignore_ascii_case(suffix).then_some(stem)
}

struct Parsed {
    header: Header,
    other_frame: Option<[[f64; 4]; 3]>,
    endian: Endian,
    layout: Layout,
}

/// Where the voxels are.
struct Layout {
    pair: bool,
    offset: usize,
}

/// The fields of both versions that decide something, in the widest of their types.
struct Fields {
    version: u8,
    pair_magic: bool,
    dim: [i64; 8],
    datatype: i16,
    pixdim: [f64; 8],
    vox_offset: f64,
    slope: f64,
    inter: f64,
    qform_code: i32,
    sform_code: i32,
    /// `quatern_b`, `_c`, `_d`.
    quaternion: [f64; 3],
    /// `qoffset_x`, `_y`, `_z`.
    qoffset: [f64; 3],
    srow: [[f64; 4]; 3],
    units: u8,
}

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

fn parse(name: &str, head: &[u8]) -> Result<Parsed> {
    let (fields, endian) = Fields::parse(head)?;
    let mut notes = Vec::new();
    let size = fields.size(&mut notes)?;
    let (dtype, components) = dtype(fields.datatype)?;
    let scaling = if components > 1 { Scaling::IDENTITY } else { fields.scaling()? };
    let geometry = fields.geometry(&mut notes);
    let layout = fields.layout(name, &mut notes)?;
    let header = Header { size, components, layers: false, dtype, scaling, geometry: Some(geometry), notes };
    Ok(Parsed { header, other_frame: fields.other_form(), endian, layout })
}

impl Fields {
    fn parse(head: &[u8]) -> Result<(Fields, Endian)> {
        let short =
            |expected| Error::Truncated { format: FORMAT, what: "header".into(), expected, found: head.len() as u64 };
        let sizeof = head.first_chunk().map(|&b| i32::from_le_bytes(b)).ok_or_else(|| short(348))?;
        let version = match (sizeof, sizeof.swap_bytes()) {
            (540, _) | (_, 540) => 2,
            _ if head.len() < 348 => return Err(short(348)),
            _ => match &head[344..348] {
                b"n+1\0" | b"ni1\0" => 1,
                magic => {
                    return Err(malformed(format!(
                        "expected a header size of 348 or 540 and the magic n+1 or ni1, found {sizeof} and {}",
                        magic.escape_ascii()
                    )));
                }
            },
        };
        if version == 1 {
            // The header's size is wrong more often than the number of axes, by which nibabel knows the byte order.
            let little = Cursor { head, endian: Endian::Little };
            let endian = if (1..=7).contains(&little.i16(40)) { Endian::Little } else { Endian::Big };
            return Ok((Fields::version_1(Cursor { head, endian }), endian));
        }
        if head.len() < LARGEST_HEADER {
            return Err(short(LARGEST_HEADER as u64));
        }
        let endian = if sizeof == 540 { Endian::Little } else { Endian::Big };
        if !matches!(&head[4..7], b"n+2" | b"ni2") {
            return Err(malformed(format!("expected the magic n+2 or ni2, found {}", head[4..8].escape_ascii())));
        }
        Ok((Fields::version_2(Cursor { head, endian }), endian))
    }

    fn version_1(at: Cursor) -> Fields {
        Fields {
            version: 1,
            pair_magic: at.head[345] == b'i',
            dim: std::array::from_fn(|i| at.i16(40 + 2 * i).into()),
            datatype: at.i16(70),
            pixdim: std::array::from_fn(|i| at.f32(76 + 4 * i)),
            vox_offset: at.f32(108),
            slope: at.f32(112),
            inter: at.f32(116),
            qform_code: at.i16(252).into(),
            sform_code: at.i16(254).into(),
            quaternion: std::array::from_fn(|i| at.f32(256 + 4 * i)),
            qoffset: std::array::from_fn(|i| at.f32(268 + 4 * i)),
            srow: std::array::from_fn(|row| std::array::from_fn(|i| at.f32(280 + 16 * row + 4 * i))),
            units: at.head[123],
        }
    }

    fn version_2(at: Cursor) -> Fields {
        Fields {
            version: 2,
            pair_magic: at.head[5] == b'i',
            dim: std::array::from_fn(|i| at.i64(16 + 8 * i)),
            datatype: at.i16(12),
            pixdim: std::array::from_fn(|i| at.f64(104 + 8 * i)),
            vox_offset: at.i64(168) as f64,
            slope: at.f64(176),
            inter: at.f64(184),
            qform_code: at.i32(344),
            sform_code: at.i32(348),
            quaternion: std::array::from_fn(|i| at.f64(352 + 8 * i)),
            qoffset: std::array::from_fn(|i| at.f64(376 + 8 * i)),
            srow: std::array::from_fn(|row| std::array::from_fn(|i| at.f64(400 + 32 * row + 8 * i))),
            units: at.i32(500) as u8,
        }
    }

    /// Number of axes that `dim[0]` gives.
    fn axes(&self) -> usize {
        self.dim[0].clamp(1, 7) as usize
    }

    fn size(&self, notes: &mut Vec<String>) -> Result<[usize; 4]> {
        size_of_axes(FORMAT, &self.dim, notes)
    }

    /// nibabel's rule: no scaling where the slope is 0 or not finite, an error where only the intercept is not.
    fn scaling(&self) -> Result<Scaling> {
        if self.slope == 0.0 || !self.slope.is_finite() {
            return Ok(Scaling::IDENTITY);
        }
        if !self.inter.is_finite() {
            return Err(malformed(format!("scl_slope is {} but scl_inter is {}", self.slope, self.inter)));
        }
        Ok(Scaling { slope: self.slope, intercept: self.inter })
    }

    /// The extension of the name decides whether the data are in a file of their own, as in nibabel; the magic number
    /// where there is no telling extension.
    fn layout(&self, name: &str, notes: &mut Vec<String>) -> Result<Layout> {
        let plain = without_suffix(name, ".gz").unwrap_or(name);
        let pair = match (without_suffix(plain, ".hdr"), without_suffix(plain, ".nii")) {
            (Some(_), _) => true,
            (_, Some(_)) => false,
            _ => self.pair_magic,
        };
        let (header, smallest) = if self.version == 1 { (348, 352) } else { (540, 544) };
        let offset = self.vox_offset;
        if !(offset >= 0.0 && offset < i64::MAX as f64) {
            return Err(malformed(format!("vox_offset is {offset}")));
        }
        if pair || offset >= f64::from(smallest) {
            return Ok(Layout { pair, offset: offset as usize });
        }
        if offset != 0.0 && offset != f64::from(header) {
            return Err(malformed(format!("vox_offset is {offset}, within the header, which ends at {smallest}")));
        }
        let offset = if offset == 0.0 { smallest } else { header };
        notes.push(format!("vox_offset is {}; the voxels were read from byte {offset}.", self.vox_offset));
        Ok(Layout { pair, offset: offset as usize })
    }
}

/// Sizes of the axes of a `dim` field (number of axes, then their sizes). A fourth or later axis of size 0 counts as 1,
/// as in niftilib; the first three must be there.
pub(super) fn size_of_axes(format: &'static str, dim: &[i64; 8], notes: &mut Vec<String>) -> Result<[usize; 4]> {
    let malformed = |reason: String| Error::Malformed { format, reason };
    let axes = usize::try_from(dim[0]).ok().filter(|n| (1..=7).contains(n));
    let axes = axes.ok_or_else(|| malformed(format!("expected 1 to 7 axes in dim[0], found {}", dim[0])))?;
    let mut sizes = Vec::with_capacity(axes);
    for (axis, &size) in dim.iter().enumerate().take(axes + 1).skip(1) {
        match usize::try_from(size) {
            Ok(size) if size > 0 => sizes.push(size),
            _ if axis > 3 => {
                notes.push(format!("dim[{axis}] is {size}; it was taken as 1."));
                sizes.push(1);
            }
            _ => return Err(malformed(format!("dim[{axis}] is {size}, and must be at least 1"))),
        }
    }
    four_axes(&sizes)
        .ok_or_else(|| malformed(format!("the product of the axes {} is too large", super::listed(&sizes))))
}

/// Type and components of a `datatype` code.
fn dtype(code: i16) -> Result<(Dtype, usize)> {
    let unsupported = |feature: &str| Err(Error::Unsupported { format: FORMAT, feature: feature.into() });
    Ok(match code {
        2 => (Dtype::U8, 1),
        4 => (Dtype::I16, 1),
        8 => (Dtype::I32, 1),
        16 => (Dtype::F32, 1),
        64 => (Dtype::F64, 1),
        128 => (Dtype::U8, 3),
        256 => (Dtype::I8, 1),
        512 => (Dtype::U16, 1),
        768 => (Dtype::U32, 1),
        1024 => (Dtype::I64, 1),
        1280 => (Dtype::U64, 1),
        2304 => (Dtype::U8, 4),
        1 => return unsupported("bilevel voxels (datatype 1): their bit order is not specified; save them as uint8"),
        32 | 1792 | 2048 => return unsupported("complex voxels: save their magnitude as float32"),
        1536 => return unsupported("128-bit floating point voxels: save them as float64"),
        code => return Err(malformed(format!("datatype {code} is not in the specification"))),
    })
}

/// Reads numbers at offsets of a header that is known to be long enough.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub head: &'a [u8],
    pub endian: Endian,
}

impl Cursor<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.head[at..at + N]);
        if self.endian == Endian::Big {
            bytes.reverse();
        }
        bytes
    }

    pub fn i16(&self, at: usize) -> i16 {
        i16::from_le_bytes(self.array(at))
    }

    pub fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.array(at))
    }

    pub fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(self.array(at))
    }

    /// A single-precision field, widened.
    pub fn f32(&self, at: usize) -> f64 {
        f32::from_le_bytes(self.array(at)).into()
    }

    pub fn f64(&self, at: usize) -> f64 {
        f64::from_le_bytes(self.array(at))
    }
}
