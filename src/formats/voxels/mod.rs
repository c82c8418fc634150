//! The common part of the volume formats ([`nifti`](super::nifti), [`analyze`](super::analyze),
//! [`metaimage`](super::metaimage), [`nrrd`](super::nrrd)): a [`Header`] of a few hundred bytes, and after it, or in
//! other files, one regular block of numbers in one type, one byte order and one encoding.
//!
//! The block is decoded once, straight into the typed vector of [`Samples`]: compressed data are inflated into it, and
//! a foreign byte order is swapped in place. On a CT of 312 slices of 512 x 512 16-bit values (164 MB) the second copy
//! that this avoids costs 80–110 ms in addition to 350 ms of inflating.
//!
//! Nothing is allocated before the file is known to have enough bytes for the header's size (for compressed bytes the
//! test is the largest ratio that deflate can reach) and before its memory is taken of the file's
//! [`Room`].
//!
//! The voxels, affines and spacings of the 244 real volumes that `tests/behaviour/volumes.rs` walks, and of 452
//! generated ones (every type, byte order, compression and number of axes), were compared with nibabel 5.4, SimpleITK
//! 2.5 and pynrrd 1.1: the voxels are equal one by one, the affines and spacings agree to 1e-9.

mod detached;
mod scratch;

use std::borrow::Cow;
use std::io::Read;

use bytemuck::Pod;

pub(super) use self::detached::{DataFiles, named_data};
use self::scratch::Kept;
pub use self::scratch::Scratch;
use super::{Error, Result, gzip};
use crate::image::{Geometry, Image, Meaning, Samples, Scaling};
use crate::memory::{Room, Unread};

/// Numeric type of a stored sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Unsigned 8 bit.
    U8,
    /// Signed 8 bit.
    I8,
    /// Unsigned 16 bit.
    U16,
    /// Signed 16 bit.
    I16,
    /// Unsigned 32 bit.
    U32,
    /// Signed 32 bit.
    I32,
    /// Unsigned 64 bit.
    U64,
    /// Signed 64 bit.
    I64,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Dtype {
    /// Bytes of one sample.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 => 1,
            Dtype::U16 | Dtype::I16 => 2,
            Dtype::U32 | Dtype::I32 | Dtype::F32 => 4,
            Dtype::U64 | Dtype::I64 | Dtype::F64 => 8,
        }
    }

    /// numpy's name of the type, the same as [`Samples::dtype`].
    pub fn name(self) -> &'static str {
        match self {
            Dtype::U8 => "uint8",
            Dtype::I8 => "int8",
            Dtype::U16 => "uint16",
            Dtype::I16 => "int16",
            Dtype::U32 => "uint32",
            Dtype::I32 => "int32",
            Dtype::U64 => "uint64",
            Dtype::I64 => "int64",
            Dtype::F32 => "float32",
            Dtype::F64 => "float64",
        }
    }
}

/// What the header of a volume says, read without the voxels: enough to list a download whose data files are missing,
/// cut or too large to open one by one.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Number of voxels along x, y, z, t, as [`Image::size`].
    pub size: [usize; 4],
    /// Values per voxel, interleaved, as [`Image::components`].
    pub components: usize,
    /// The components are no colours.
    pub layers: bool,
    /// Type of the stored values.
    pub dtype: Dtype,
    /// Stored to real values.
    pub scaling: Scaling,
    /// Physical frame; `None` where the header has none at all.
    pub geometry: Option<Geometry>,
    /// What a user should know about the header, one sentence each.
    pub notes: Vec<String>,
}

impl Header {
    /// Number of stored values, or an error where it exceeds what can be addressed.
    pub(super) fn count(&self, format: &'static str) -> Result<usize> {
        self.size
            .iter()
            .try_fold(self.components, |n, &d| n.checked_mul(d))
            .filter(|n| n.checked_mul(self.dtype.bytes()).is_some_and(|bytes| isize::try_from(bytes).is_ok()))
            .ok_or_else(|| Error::Malformed {
                format,
                reason: format!(
                    "{} voxels of {} {} do not fit in memory",
                    self.size.map(|n| n.to_string()).join(" x "),
                    self.components,
                    self.dtype.name()
                ),
            })
    }

    /// The image with its voxels.
    pub(super) fn with(self, samples: Samples) -> Image {
        Image {
            size: self.size,
            components: self.components,
            bits: 8 * self.dtype.bytes() as u8,
            samples,
            scaling: self.scaling,
            geometry: self.geometry,
            palette: None,
            meaning: Meaning { layers: self.layers, ..Meaning::default() },
            notes: self.notes,
        }
    }
}

/// Sizes of any number of axes as the four of an [`Image`]: missing axes are 1, those beyond the fourth are multiplied
/// into t (their order of storage is kept). `None` where the product overflows.
pub(super) fn four_axes(sizes: &[usize]) -> Option<[usize; 4]> {
    let mut four = [1usize; 4];
    for (axis, &size) in sizes.iter().enumerate() {
        four[axis.min(3)] = four[axis.min(3)].checked_mul(size)?;
    }
    Some(four)
}

/// Most lines of a text header, and names in a list of data files: each takes many times its bytes in memory.
pub(super) const MOST_LINES: usize = 1 << 16;

/// Order of the bytes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endian {
    Little,
    Big,
}

impl Endian {
    fn is_foreign(self) -> bool {
        (self == Endian::Big) != cfg!(target_endian = "big")
    }
}

/// How the block of numbers is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Raw,
    /// gzip or zlib, distinguished by their first bytes.
    Deflate,
    Bzip2,
    /// Numbers in decimal, separated by blanks, line ends or commas.
    Text,
    /// Two hexadecimal digits a byte; blanks are ignored.
    Hex,
}

/// Where in the decoded bytes of a file the samples begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// After this many bytes.
    Bytes(usize),
    /// So that they end with the file.
    ToEnd,
}

/// Everything needed to turn bytes into [`Samples`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub format: &'static str,
    pub dtype: Dtype,
    pub endian: Endian,
    /// Number of values in all files together.
    pub count: usize,
    pub encoding: Encoding,
    /// In every file, after decompression.
    pub skip: Skip,
}

impl Block {
    /// Decodes the block from its files, of which each holds an equal share, into memory of `scratch` where it has
    /// some; all memory is taken of `room`.
    pub fn decode(&self, mut files: Vec<Cow<[u8]>>, scratch: &mut Scratch, room: &Room) -> Result<Samples> {
        if files.is_empty() || !self.count.is_multiple_of(files.len()) {
            return Err(self.malformed(format!(
                "{} values cannot be divided among {} data files",
                self.count,
                files.len()
            )));
        }
        if self.encoding == Encoding::Text {
            return self.decode_text(&files, room);
        }
        let share = self.count / files.len() * self.dtype.bytes();
        for file in &mut files {
            let decoded = match (self.encoding, self.skip) {
                (Encoding::Hex, _) => self.decode_hex(file, share, room)?,
                (Encoding::Bzip2, _) => self.decode_bzip2(file, share, room)?,
                (Encoding::Deflate, Skip::ToEnd) => gzip::inflate(file, gzip::with_slack(share as u64), room)?,
                _ => continue,
            };
            *file = Cow::Owned(decoded);
        }
        let inflate = self.encoding == Encoding::Deflate && self.skip != Skip::ToEnd;
        let starts = files.iter().map(|file| self.start(file, share, inflate)).collect::<Result<Vec<usize>>>()?;

        if let ([Cow::Owned(bytes)], Dtype::U8, false) = (&mut files[..], self.dtype, inflate) {
            bytes.truncate(starts[0] + share);
            bytes.drain(..starts[0]);
            return Ok(Samples::U8(std::mem::take(bytes)));
        }
        if let ([file], true) = (&files[..], inflate) {
            // The bytes before the samples are inflated with them, and removed afterwards.
            return self.fill((scratch, room), starts[0], |out| self.inflate_exactly(file, out));
        }
        self.fill((scratch, room), 0, |out| {
            for ((file, &start), part) in files.iter().zip(&starts).zip(out.chunks_exact_mut(share.max(1))) {
                if inflate {
                    let room = room.part();
                    let mut whole = room.zeros(start.saturating_add(share))?;
                    self.inflate_exactly(file, &mut whole)?;
                    part.copy_from_slice(&whole[start..]);
                } else {
                    part.copy_from_slice(&file[start..start + share]);
                }
            }
            Ok(())
        })
    }

    /// Where the samples of a file start, after it has been found long enough for `share` bytes of them.
    fn start(&self, file: &[u8], share: usize, compressed: bool) -> Result<usize> {
        let available = if compressed { gzip::largest_output(file) } else { file.len() };
        let (start, end) = match self.skip {
            Skip::Bytes(skip) => (skip, skip.saturating_add(share)),
            Skip::ToEnd => (file.len().saturating_sub(share), share),
        };
        if end > available {
            return Err(self.truncated(end - share, share, available));
        }
        Ok(start)
    }

    fn inflate_exactly(&self, file: &[u8], out: &mut [u8]) -> Result<()> {
        let found = gzip::inflate_into(file, out)?;
        let skip = if let Skip::Bytes(skip) = self.skip { skip } else { 0 };
        if found < out.len() { Err(self.truncated(skip, out.len() - skip, found)) } else { Ok(()) }
    }

    /// A typed vector of `count` values whose bytes, and `head` bytes before them, are written by `write`.
    fn fill(
        &self,
        memory: (&mut Scratch, &Room),
        head: usize,
        write: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<Samples> {
        let (count, swap) = (self.count, self.endian.is_foreign());
        Ok(match self.dtype {
            Dtype::U8 => Samples::U8(filled(memory, head, count, swap, write)?),
            Dtype::I8 => Samples::I8(filled(memory, head, count, swap, write)?),
            Dtype::U16 => Samples::U16(filled(memory, head, count, swap, write)?),
            Dtype::I16 => Samples::I16(filled(memory, head, count, swap, write)?),
            Dtype::U32 => Samples::U32(filled(memory, head, count, swap, write)?),
            Dtype::I32 => Samples::I32(filled(memory, head, count, swap, write)?),
            Dtype::U64 => Samples::U64(filled(memory, head, count, swap, write)?),
            Dtype::I64 => Samples::I64(filled(memory, head, count, swap, write)?),
            Dtype::F32 => Samples::F32(filled(memory, head, count, swap, write)?),
            Dtype::F64 => Samples::F64(filled(memory, head, count, swap, write)?),
        })
    }

    fn decode_text(&self, files: &[Cow<[u8]>], room: &Room) -> Result<Samples> {
        fn parse<T: std::str::FromStr>(block: &Block, files: &[Cow<[u8]>], room: &Room) -> Result<Vec<T>> {
            let tokens = files.iter().flat_map(|file| {
                let start = if let Skip::Bytes(skip) = block.skip { skip.min(file.len()) } else { 0 };
                file[start..].split(|b| b.is_ascii_whitespace() || *b == b',').filter(|token| !token.is_empty())
            });
            // A value takes a byte at least, and one between it and the next.
            let most = files.iter().map(|file| file.len() / 2 + 1).sum();
            let mut values = room.with_capacity(block.count.min(most))?;
            for token in tokens.take(block.count) {
                let text = String::from_utf8_lossy(token);
                values.push(text.parse().map_err(|_| {
                    block.malformed(format!("value {} is {text:?}, expected a {}", values.len(), block.dtype.name()))
                })?);
            }
            if values.len() < block.count {
                let (expected, found) = (block.count, values.len());
                return Err(block.malformed(format!("expected {expected} values, found {found}")));
            }
            Ok(values)
        }
        Ok(match self.dtype {
            Dtype::U8 => Samples::U8(parse(self, files, room)?),
            Dtype::I8 => Samples::I8(parse(self, files, room)?),
            Dtype::U16 => Samples::U16(parse(self, files, room)?),
            Dtype::I16 => Samples::I16(parse(self, files, room)?),
            Dtype::U32 => Samples::U32(parse(self, files, room)?),
            Dtype::I32 => Samples::I32(parse(self, files, room)?),
            Dtype::U64 => Samples::U64(parse(self, files, room)?),
            Dtype::I64 => Samples::I64(parse(self, files, room)?),
            Dtype::F32 => Samples::F32(parse(self, files, room)?),
            Dtype::F64 => Samples::F64(parse(self, files, room)?),
        })
    }

    fn decode_hex(&self, file: &[u8], share: usize, room: &Room) -> Result<Vec<u8>> {
        let wanted = match self.skip {
            Skip::Bytes(skip) => skip.saturating_add(share),
            Skip::ToEnd => usize::MAX,
        };
        let mut bytes = room.with_capacity((file.len() / 2).min(wanted))?;
        let mut high = None;
        for (at, byte) in file.iter().enumerate().filter(|(_, b)| !b.is_ascii_whitespace()) {
            let digit = (*byte as char).to_digit(16);
            let digit = digit
                .ok_or_else(|| self.malformed(format!("byte {at} is {byte:#04x}, expected a hexadecimal digit")))?;
            match high.take() {
                None => high = Some(digit as u8),
                Some(high) if bytes.len() < wanted => bytes.push(high << 4 | digit as u8),
                Some(_) => break,
            }
        }
        Ok(bytes)
    }

    fn decode_bzip2(&self, file: &[u8], share: usize, room: &Room) -> Result<Vec<u8>> {
        let (wanted, most) = match self.skip {
            Skip::Bytes(skip) => (skip.saturating_add(share) as u64, u64::MAX),
            Skip::ToEnd => (u64::MAX, gzip::with_slack(share as u64)),
        };
        let decoder = bzip2::read::MultiBzDecoder::new(file).take(wanted);
        room.read_to_end(decoder, most).map_err(|unread| match unread {
            Unread::Io(e, _) => self.malformed(format!("bzip2 data of {} bytes: {e}", file.len())),
            Unread::TooLong => self.malformed(format!("bzip2 data expand to more than {most} bytes")),
            Unread::Memory(beyond) => beyond.into(),
        })
    }

    fn truncated(&self, skip: usize, share: usize, available: usize) -> Error {
        let what = match skip {
            0 => "voxel data".to_string(),
            skip => format!("voxel data after the first {skip} bytes"),
        };
        let found = available.saturating_sub(skip) as u64;
        Error::Truncated { format: self.format, what, expected: share as u64, found }
    }

    fn malformed(&self, reason: String) -> Error {
        Error::Malformed { format: self.format, reason }
    }
}

/// A vector of `count` samples. `write` gets the bytes of the samples with `head` bytes before them, which are dropped
/// again; the vector is allocated so that the samples are aligned whatever `head` is.
fn filled<T: Kept>(
    (scratch, room): (&mut Scratch, &Room),
    head: usize,
    count: usize,
    swap: bool,
    write: impl FnOnce(&mut [u8]) -> Result<()>,
) -> Result<Vec<T>> {
    let lead = head.div_ceil(size_of::<T>());
    let mut values = scratch.memory(lead.saturating_add(count), room)?;
    if let Err(error) = write(&mut bytemuck::cast_slice_mut(&mut values)[lead * size_of::<T>() - head..]) {
        scratch.recycle(T::samples(values));
        return Err(error);
    }
    values.drain(..lead);
    if swap {
        swap_bytes(&mut values);
    }
    Ok(values)
}

fn swap_bytes<T: Pod>(values: &mut [T]) {
    match size_of::<T>() {
        2 => bytemuck::cast_slice_mut::<T, u16>(values).iter_mut().for_each(|v| *v = v.swap_bytes()),
        4 => bytemuck::cast_slice_mut::<T, u32>(values).iter_mut().for_each(|v| *v = v.swap_bytes()),
        8 => bytemuck::cast_slice_mut::<T, u64>(values).iter_mut().for_each(|v| *v = v.swap_bytes()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn block(dtype: Dtype, count: usize, encoding: Encoding, skip: Skip) -> Block {
        Block { format: "test", dtype, endian: Endian::Big, count, encoding, skip }
    }

    fn decode(block: Block, files: Vec<Cow<[u8]>>) -> Result<Samples> {
        block.decode(files, &mut Scratch::default(), &Room::default())
    }

    #[test]
    fn raw_samples_are_swapped_and_skipped() {
        let bytes = [9, 9, 9, 0x01, 0x02, 0xff, 0xfe];
        let b = block(Dtype::I16, 2, Encoding::Raw, Skip::Bytes(3));
        assert_eq!(decode(b, vec![Cow::Borrowed(&bytes)]).unwrap(), Samples::I16(vec![0x0102, -2]));
        let b = Block { skip: Skip::ToEnd, endian: Endian::Little, ..b };
        assert_eq!(decode(b, vec![Cow::Borrowed(&bytes)]).unwrap(), Samples::I16(vec![0x0201, -257]));
    }

    #[test]
    fn memory_of_a_volume_is_used_again_and_nothing_of_it_shows() {
        let mut scratch = Scratch::default();
        scratch.recycle(Samples::I16(vec![7; 100]));
        let b = block(Dtype::I16, 2, Encoding::Raw, Skip::Bytes(0));
        let decoded = b.decode(vec![Cow::Borrowed(&[0, 1, 0, 2])], &mut scratch, &Room::default()).unwrap();
        assert_eq!(decoded, Samples::I16(vec![1, 2]));
        assert!(matches!(&decoded, Samples::I16(values) if values.capacity() >= 100));
        // Of another type, or too small, it is not.
        scratch.recycle(decoded);
        let b = block(Dtype::U16, 2, Encoding::Raw, Skip::Bytes(0));
        assert_eq!(decode(b, vec![Cow::Borrowed(&[0, 1, 0, 2])]).unwrap(), Samples::U16(vec![1, 2]));
    }

    #[test]
    fn memory_comes_back_where_a_volume_cannot_be_decoded() {
        // Deflated data whose end is missing: memory is taken before that shows.
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&[1; 100]).unwrap();
        let packed = packed.finish().unwrap();
        let mut scratch = Scratch::default();
        scratch.recycle(Samples::I16(vec![7; 1000]));
        let b = block(Dtype::I16, 60, Encoding::Deflate, Skip::Bytes(0));
        assert!(b.decode(vec![Cow::Borrowed(&packed)], &mut scratch, &Room::default()).is_err());
        let b = block(Dtype::I16, 50, Encoding::Deflate, Skip::Bytes(0));
        let decoded = b.decode(vec![Cow::Borrowed(&packed)], &mut scratch, &Room::default()).unwrap();
        assert!(matches!(decoded, Samples::I16(values) if values.capacity() >= 1000 && values == [0x0101; 50]));
    }

    #[test]
    fn an_owned_file_of_bytes_is_kept() {
        let b = block(Dtype::U8, 2, Encoding::Raw, Skip::Bytes(1));
        assert_eq!(decode(b, vec![Cow::Owned(vec![1, 2, 3, 4])]).unwrap(), Samples::U8(vec![2, 3]));
    }

    #[test]
    fn text_and_hex_are_numbers_of_the_type() {
        let b = block(Dtype::F32, 3, Encoding::Text, Skip::Bytes(0));
        assert_eq!(decode(b, vec![Cow::Borrowed(b"1 -2.5,\r\n3e1")]).unwrap(), Samples::F32(vec![1.0, -2.5, 30.0]));
        let b = block(Dtype::U8, 1, Encoding::Text, Skip::Bytes(0));
        let error = decode(b, vec![Cow::Borrowed(b"300")]).unwrap_err().to_string();
        assert!(error.contains("\"300\"") && error.contains("uint8"), "{error}");
        let b = block(Dtype::U16, 2, Encoding::Hex, Skip::Bytes(0));
        assert_eq!(decode(b, vec![Cow::Borrowed(b"0102\nfFfe")]).unwrap(), Samples::U16(vec![0x0102, 0xfffe]));
        let error = decode(b, vec![Cow::Borrowed(b"0102 xx")]).unwrap_err().to_string();
        assert!(error.contains("byte 5"), "{error}");
    }

    #[test]
    fn short_data_name_both_sizes() {
        let b = block(Dtype::U16, 4, Encoding::Raw, Skip::Bytes(2));
        let error = decode(b, vec![Cow::Borrowed(&[0; 7])]).unwrap_err().to_string();
        assert!(error.contains("needs 8 bytes, found 5"), "{error}");
        let b = block(Dtype::U16, usize::MAX / 4, Encoding::Deflate, Skip::Bytes(0));
        assert!(matches!(decode(b, vec![Cow::Borrowed(&[0x1f, 0x8b, 8])]), Err(Error::Truncated { .. })));
    }

    #[test]
    fn files_share_the_values_equally() {
        let b = block(Dtype::U16, 2, Encoding::Raw, Skip::Bytes(1));
        let files = || vec![Cow::Borrowed(&[7, 0, 1][..]), Cow::Borrowed(&[7, 0, 2][..])];
        assert_eq!(decode(b, files()).unwrap(), Samples::U16(vec![1, 2]));
        assert!(decode(Block { count: 3, ..b }, files()).is_err());
    }

    #[test]
    fn axes_beyond_the_fourth_go_into_t() {
        assert_eq!(four_axes(&[2, 3]), Some([2, 3, 1, 1]));
        assert_eq!(four_axes(&[2, 3, 4, 5, 6]), Some([2, 3, 4, 30]));
        assert_eq!(four_axes(&[1, 1, 1, usize::MAX, 2]), None);
    }
}
