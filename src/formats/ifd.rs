//! The directories of a TIFF file: tags and their values. EXIF blocks of other formats have the same layout.

use std::collections::BTreeMap;

use super::{Error, Result};

pub(super) const NEW_SUBFILE_TYPE: u16 = 254;
pub(super) const SUBFILE_TYPE: u16 = 255;
pub(super) const IMAGE_WIDTH: u16 = 256;
pub(super) const IMAGE_LENGTH: u16 = 257;
pub(super) const BITS_PER_SAMPLE: u16 = 258;
pub(super) const COMPRESSION: u16 = 259;
pub(super) const PHOTOMETRIC: u16 = 262;
pub(super) const FILL_ORDER: u16 = 266;
pub(super) const IMAGE_DESCRIPTION: u16 = 270;
pub(super) const STRIP_OFFSETS: u16 = 273;
pub(super) const ORIENTATION: u16 = 274;
pub(super) const SAMPLES_PER_PIXEL: u16 = 277;
pub(super) const ROWS_PER_STRIP: u16 = 278;
pub(super) const STRIP_BYTE_COUNTS: u16 = 279;
pub(super) const PLANAR_CONFIGURATION: u16 = 284;
pub(super) const PREDICTOR: u16 = 317;
pub(super) const COLOR_MAP: u16 = 320;
pub(super) const TILE_WIDTH: u16 = 322;
pub(super) const TILE_LENGTH: u16 = 323;
pub(super) const TILE_OFFSETS: u16 = 324;
pub(super) const TILE_BYTE_COUNTS: u16 = 325;
pub(super) const INK_SET: u16 = 332;
pub(super) const EXTRA_SAMPLES: u16 = 338;
pub(super) const SAMPLE_FORMAT: u16 = 339;
pub(super) const JPEG_TABLES: u16 = 347;

fn malformed(reason: String) -> Error {
    Error::Malformed { format: "TIFF", reason }
}

/// A TIFF file: its bytes, byte order and width of offsets.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
    big_tiff: bool,
    /// Position of the first directory.
    pub(super) first: u64,
}

/// A value field: type, and the bytes it stands for.
#[derive(Clone, Copy)]
struct Field<'a> {
    kind: u16,
    data: &'a [u8],
}

/// One directory: a page, or EXIF's.
pub(super) struct Directory<'a> {
    file: File<'a>,
    fields: BTreeMap<u16, Field<'a>>,
}

/// The orientation, if it is one that turns or mirrors (2 to 8), of an EXIF block, which is a TIFF file without pixels.
pub(super) fn exif_orientation(block: &[u8]) -> Option<u8> {
    let file = File::open(block).ok()?;
    let (directory, _) = file.directory(file.first).ok()?;
    directory.orientation().ok()?
}

impl<'a> File<'a> {
    /// Reads the header.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let big_endian = match bytes.get(..2) {
            Some(b"II") => false,
            Some(b"MM") => true,
            found => {
                let found = found.map_or("less than two bytes".into(), |b| b.escape_ascii().to_string());
                return Err(malformed(format!("expected II or MM at the start, found {found}")));
            }
        };
        let file = File { bytes, big_endian, big_tiff: false, first: 0 };
        match file.number(2, 2)? {
            42 => Ok(File { first: file.number(4, 4)?, ..file }),
            43 if file.number(4, 4)? == if big_endian { 8 << 16 } else { 8 } => {
                Ok(File { first: file.number(8, 8)?, big_tiff: true, ..file })
            }
            found => Err(malformed(format!("expected version 42 or 43, found {found}"))),
        }
    }

    /// `count` bytes at a position.
    pub(super) fn slice(&self, what: &str, at: u64, count: u64) -> Result<&'a [u8]> {
        let end = at.saturating_add(count);
        let range = usize::try_from(at).ok().zip(usize::try_from(end).ok());
        range.and_then(|(at, end)| self.bytes.get(at..end)).ok_or_else(|| {
            let found = self.bytes.len() as u64;
            Error::Truncated { format: "TIFF", what: what.into(), expected: end, found }
        })
    }

    fn integer(&self, bytes: &[u8]) -> u64 {
        let step = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, step) } else { bytes.iter().rev().fold(0, step) }
    }

    fn number(&self, at: u64, width: u64) -> Result<u64> {
        Ok(self.integer(self.slice("header or directory", at, width)?))
    }

    /// The directory at a position, and the position of the next one (0: none).
    pub(super) fn directory(&self, at: u64) -> Result<(Directory<'a>, u64)> {
        let (count_width, entry, offset_width) = if self.big_tiff { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(at, count_width)?;
        let start = at + count_width;
        let table_size = count.checked_mul(entry).ok_or_else(|| malformed(format!("a directory of {count} tags")))?;
        let table = self.slice("directory", start, table_size)?;
        let mut fields = BTreeMap::new();
        for entry in table.chunks_exact(entry as usize) {
            let (tag, kind) = (self.integer(&entry[..2]) as u16, self.integer(&entry[2..4]) as u16);
            let value = &entry[4..];
            let (count, value) = value.split_at(offset_width as usize);
            let Some(size) = type_size(kind) else { continue };
            let Some(size) = self.integer(count).checked_mul(size) else { continue };
            let data = if size <= offset_width {
                &value[..size as usize]
            } else {
                // A broken field matters only if it is asked for: it is then missing.
                match self.slice("field", self.integer(value), size) {
                    Ok(data) => data,
                    Err(_) => continue,
                }
            };
            fields.entry(tag).or_insert(Field { kind, data });
        }
        // Some writers leave out the link behind the last directory.
        let next = self.number(start + table_size, offset_width).unwrap_or(0);
        Ok((Directory { file: *self, fields }, next))
    }
}

/// Bytes of a value of a field type; `None` for types that are not defined.
fn type_size(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

impl<'a> Directory<'a> {
    /// The Orientation tag, if it turns or mirrors: 2 to 8.
    pub(super) fn orientation(&self) -> Result<Option<u8>> {
        Ok(self.number(ORIENTATION)?.and_then(|n| u8::try_from(n).ok()).filter(|n| (2..=8).contains(n)))
    }

    /// The first values of a tag of an integer type, at most so many.
    pub(super) fn first_numbers(&self, tag: u16, most: usize) -> Result<Option<Vec<u64>>> {
        let Some(field) = self.fields.get(&tag) else { return Ok(None) };
        match (field.kind, type_size(field.kind)) {
            (1 | 3 | 4 | 7 | 13 | 16 | 18, Some(size)) => {
                let values = field.data.chunks_exact(size as usize).take(most);
                Ok(Some(values.map(|v| self.file.integer(v)).collect()))
            }
            (kind, _) => Err(malformed(format!("tag {tag}: expected an unsigned integer, found field type {kind}"))),
        }
    }

    /// The first value of a tag of an integer type.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>> {
        Ok(self.first_numbers(tag, 1)?.and_then(|v| v.first().copied()))
    }

    /// The first value of a tag that must be there.
    pub(super) fn required(&self, tag: u16, name: &str) -> Result<u64> {
        self.number(tag)?.ok_or_else(|| {
            malformed(format!(
                "tag {tag} ({name}) is missing or beyond the end of the \
            file"
            ))
        })
    }

    /// The bytes of a tag.
    pub(super) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        self.fields.get(&tag).map(|f| f.data)
    }
}
