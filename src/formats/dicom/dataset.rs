//! The byte level: file meta information, data elements, sequences (PS3.5 section 7, PS3.10 section 7).
//!
//! Nothing is copied: an [`Element`] borrows its value from the file, and sequences are walked only when asked for.
//! Parsing stops at the pixel data, so that a header costs microseconds whatever the size of the image.
//!
//! `dicom-object` 0.10.1 writes files (`demo/write`) but does not read them here: it allocates and clears as many bytes
//! as a length field promises, up to four gigabytes, before it reads the first of them, and it descends into nested
//! sequences without a limit, so that a hostile file ends the process where an error is due. Tests in `tests.rs` show
//! both.

use std::borrow::Cow;
use std::io::Read;

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};

use super::{MAX_EXPANSION, malformed, truncated};
use crate::formats::{Error, Result};

/// Sequences in sequences beyond this depth are refused; real files stay below ten.
const MAX_DEPTH: usize = 64;

const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
const UNDEFINED: u32 = 0xFFFF_FFFF;

/// How elements are written: with or without their VR, and in which byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    pub explicit: bool,
    pub big_endian: bool,
}

impl Encoding {
    const IMPLICIT: Encoding = Encoding { explicit: false, big_endian: false };
    const EXPLICIT: Encoding = Encoding { explicit: true, big_endian: false };

    pub fn u16(self, b: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) }
    }

    pub fn u32(self, b: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) }
    }

    fn tag(self, b: &[u8; 4]) -> Tag {
        Tag(self.u16([b[0], b[1]]), self.u16([b[2], b[3]]))
    }
}

/// A file taken apart into its transfer syntax and the bytes of its data set.
pub(super) struct Part10<'a> {
    /// UID, empty where the file has no meta information.
    pub transfer_syntax: String,
    /// Encoding of the data set.
    pub encoding: Encoding,
    /// The file, or its inflated data set.
    bytes: Cow<'a, [u8]>,
    start: usize,
    /// Oddities worth telling.
    pub notes: Vec<String>,
}

impl<'a> Part10<'a> {
    /// Reads preamble and file meta information; where they are missing the encoding is guessed from the first element,
    /// as pydicom does under `force`.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let mut notes = Vec::new();
        let start = match (bytes.get(128..132), bytes.get(..4)) {
            (Some(b"DICM"), _) => 132,
            (_, Some(b"DICM")) => 4,
            _ => 0,
        };
        if start == 0 {
            plausible_start(bytes)?;
        }
        let meta_encoding = if looks_explicit(&bytes[start..]) { Encoding::EXPLICIT } else { Encoding::IMPLICIT };
        let mut cursor = Cursor { bytes, at: start, encoding: meta_encoding };
        let mut transfer_syntax = String::new();
        while cursor.peek_tag().is_some_and(|tag| tag.group() == 2) {
            let element = cursor.element(0)?;
            if element.tag == tags::TRANSFER_SYNTAX_UID {
                transfer_syntax = text_of(element.value);
            }
        }
        let start = cursor.at;
        let body = bytes.get(start..).unwrap_or_default();

        if transfer_syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            let inflated = inflate(body)?;
            return Ok(Part10 {
                transfer_syntax,
                encoding: Encoding::EXPLICIT,
                bytes: inflated.into(),
                start: 0,
                notes,
            });
        }
        let declared = match transfer_syntax.as_str() {
            "" => None,
            uids::IMPLICIT_VR_LITTLE_ENDIAN => Some(Encoding::IMPLICIT),
            "1.2.840.10008.1.2.2" => Some(Encoding { explicit: true, big_endian: true }),
            _ => Some(Encoding::EXPLICIT),
        };
        let found = guess(body);
        let encoding = match (declared, found) {
            (Some(declared), Some(found)) if declared != found => {
                notes.push(format!(
                    "the transfer syntax is {}, but the elements are {}: read as the latter",
                    describe(declared),
                    describe(found)
                ));
                found
            }
            (Some(declared), _) => declared,
            (None, found) => {
                let found = found.unwrap_or(Encoding::IMPLICIT);
                notes.push(format!("no transfer syntax in the file: read as {}", describe(found)));
                found
            }
        };
        Ok(Part10 { transfer_syntax, encoding, bytes: bytes.into(), start, notes })
    }

    /// The top-level elements up to the pixel data.
    pub fn data_set(&self) -> Result<DataSet<'_>> {
        let mut cursor = Cursor { bytes: &self.bytes, at: self.start, encoding: self.encoding };
        cursor.data_set(0)
    }
}

/// A file without a preamble must start with an element of a low group, or it is no DICOM file.
fn plausible_start(bytes: &[u8]) -> Result<()> {
    let Some(&[a, b, c, d]) = bytes.first_chunk::<4>() else {
        return Err(Error::Unknown(format!("expected more than {} bytes for DICOM", bytes.len())));
    };
    let little = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let big = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let plausible = |(group, element): (u16, u16)| matches!(group, 2 | 4 | 8 | 0x10) && element < 0x3000;
    if plausible(little) || plausible(big) {
        return Ok(());
    }
    Err(Error::Unknown(format!(
        "no DICM at byte 128 and no DICOM element at the start (found {a:02x} {b:02x} {c:02x} {d:02x})"
    )))
}

fn describe(encoding: Encoding) -> &'static str {
    match (encoding.explicit, encoding.big_endian) {
        (false, _) => "implicit VR little endian",
        (true, false) => "explicit VR little endian",
        (true, true) => "explicit VR big endian",
    }
}

/// Encoding of a data set by its first element; `None` where there is none.
fn guess(body: &[u8]) -> Option<Encoding> {
    let head = body.first_chunk::<4>()?;
    // A first group of 0x0400 and above is a low group read in the wrong order: 0x0008 becomes 0x0800.
    let big_endian = u16::from_le_bytes([head[0], head[1]]) >= 0x0400;
    let explicit = looks_explicit(body);
    Some(Encoding { explicit, big_endian: big_endian && explicit })
}

fn looks_explicit(element: &[u8]) -> bool {
    element.get(4..6).is_some_and(|vr| vr.iter().all(u8::is_ascii_uppercase))
}

/// Inflates a deflated data set. Raw deflate by the standard; some writers wrap it in zlib.
fn inflate(body: &[u8]) -> Result<Vec<u8>> {
    let limit = MAX_EXPANSION.bound(body.len());
    let zlib = body.first().is_some_and(|b| b & 0x0F == 8)
        && body.first_chunk::<2>().is_some_and(|h| u16::from_be_bytes(*h).is_multiple_of(31));
    let mut out = Vec::new();
    let read = if zlib {
        flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(&mut out)
    } else {
        flate2::read::DeflateDecoder::new(body).take(limit).read_to_end(&mut out)
    };
    read.map_err(|e| malformed(format!("the deflated data set cannot be inflated: {e}")))?;
    Ok(out)
}

/// Where the pixels are.
#[derive(Clone, Copy, Debug)]
pub(super) struct PixelElement<'a> {
    /// Pixel Data, Float Pixel Data or Double Float Pixel Data.
    pub tag: Tag,
    /// Explicit VR, `OW` where implicit.
    pub vr: VR,
    /// Native values, or the items of the encapsulated form.
    pub value: &'a [u8],
    /// True for the encapsulated form (undefined length).
    pub encapsulated: bool,
    /// Length field; more than `value.len()` in a truncated file.
    pub declared: u32,
}

/// One element with its value where it stands in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub tag: Tag,
    /// `None` where the encoding is implicit.
    vr: Option<VR>,
    pub value: &'a [u8],
}

/// Elements of a data set or of an item, by tag.
#[derive(Debug)]
pub(super) struct DataSet<'a> {
    elements: Vec<Element<'a>>,
    pub encoding: Encoding,
    /// The pixel data, at which parsing stopped.
    pub pixels: Option<PixelElement<'a>>,
}

impl<'a> DataSet<'a> {
    /// The element, `None` where absent or empty.
    pub fn get(&self, tag: Tag) -> Option<&Element<'a>> {
        let at = self.elements.partition_point(|e| e.tag < tag);
        self.elements.get(at).filter(|e| e.tag == tag && !e.value.is_empty())
    }

    /// Value as text without padding, `None` where absent or blank.
    pub fn text(&self, tag: Tag) -> Option<String> {
        self.get(tag).map(|e| text_of(e.value)).filter(|t| !t.is_empty())
    }

    /// Values as numbers, whatever numeric VR (binary or decimal text) they are written in; `None` where absent.
    ///
    /// # Errors
    /// Where the text is no number, or the length no multiple of the VR's width.
    pub fn numbers(&self, tag: Tag) -> Result<Option<Vec<f64>>> {
        let Some(element) = self.get(tag) else { return Ok(None) };
        // Implicit VR, and explicit files that passed through a system that did not know the tag (UN), need the
        // dictionary. "US or SS" is read as unsigned: the callers know the sign.
        let vr = match element.vr {
            Some(vr) if vr != VR::UN => vr,
            _ => StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed()),
        };
        let e = self.encoding;
        let (bytes, wide): (&[u8], usize) = match vr {
            VR::US | VR::SS => (element.value, 2),
            VR::UL | VR::SL | VR::FL => (element.value, 4),
            VR::FD => (element.value, 8),
            _ => return decimals(tag, element.value),
        };
        if bytes.len() % wide != 0 {
            return Err(malformed(format!(
                "{}: expected values of {wide} bytes, found {} bytes",
                name(tag),
                bytes.len()
            )));
        }
        let numbers = bytes
            .chunks_exact(wide)
            .map(|c| match (vr, c) {
                (VR::US, &[a, b]) => e.u16([a, b]) as f64,
                (VR::SS, &[a, b]) => e.u16([a, b]) as i16 as f64,
                (VR::UL, &[a, b, c, d]) => e.u32([a, b, c, d]) as f64,
                (VR::SL, &[a, b, c, d]) => e.u32([a, b, c, d]) as i32 as f64,
                (VR::FL, &[a, b, c, d]) => f32::from_bits(e.u32([a, b, c, d])) as f64,
                (_, &[a, b, c, d, x, y, z, w]) if e.big_endian => f64::from_be_bytes([a, b, c, d, x, y, z, w]),
                (_, &[a, b, c, d, x, y, z, w]) => f64::from_le_bytes([a, b, c, d, x, y, z, w]),
                _ => f64::NAN,
            })
            .collect();
        Ok(Some(numbers))
    }

    /// The first value as a number.
    pub fn number(&self, tag: Tag) -> Result<Option<f64>> {
        Ok(self.numbers(tag)?.and_then(|v| v.first().copied()))
    }

    /// A count or code: a whole number from 0 to `u32::MAX`.
    pub fn count(&self, tag: Tag) -> Result<Option<usize>> {
        let Some(value) = self.number(tag)? else { return Ok(None) };
        if value.fract() == 0.0 && (0.0..=u32::MAX as f64).contains(&value) {
            return Ok(Some(value as usize));
        }
        Err(malformed(format!("{}: expected a whole number, found {value}", name(tag))))
    }

    /// Items of a sequence, none where it is absent.
    pub fn items(&self, tag: Tag) -> Result<Vec<DataSet<'a>>> {
        let Some(element) = self.get(tag) else { return Ok(Vec::new()) };
        // A sequence written as UN holds implicit VR little endian whatever the rest of the file (PS3.5 6.2.2).
        let encoding = if element.vr == Some(VR::UN) { Encoding::IMPLICIT } else { self.encoding };
        let mut cursor = Cursor { bytes: element.value, at: 0, encoding };
        let mut items = Vec::new();
        while cursor.at < element.value.len() {
            let (tag, length) = cursor.item_header()?;
            match tag {
                SEQUENCE_END => break,
                ITEM if length == UNDEFINED => items.push(cursor.data_set(1)?),
                ITEM => {
                    let value = cursor.take(length as usize, || "an item".into())?;
                    items.push(Cursor { bytes: value, at: 0, encoding }.data_set(1)?);
                }
                _ => return Err(malformed(format!("expected an item, found {}", name(tag)))),
            }
        }
        Ok(items)
    }

    /// The first item of a sequence.
    pub fn item(&self, tag: Tag) -> Result<Option<DataSet<'a>>> {
        Ok(self.items(tag)?.into_iter().next())
    }
}

/// Text without its padding. Only what is ASCII in every character set is used from it; other bytes are read as UTF-8
/// or else as Latin-1.
fn text_of(value: &[u8]) -> String {
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|&b| b as char).collect(),
    };
    text.trim_matches([' ', '\0']).to_owned()
}

fn decimals(tag: Tag, value: &[u8]) -> Result<Option<Vec<f64>>> {
    let text = text_of(value);
    if text.trim().is_empty() {
        return Ok(None);
    }
    let parse = |part: &str| {
        let part = part.trim_matches([' ', '\0']);
        match part.parse::<f64>() {
            Ok(v) if v.is_finite() => Ok(v),
            _ => Err(malformed(format!("{}: expected a number, found {}", name(tag), unlike_a_name(part)))),
        }
    };
    text.split('\\').map(parse).collect::<Result<Vec<f64>>>().map(Some)
}

/// A text for a message. Where words stand in place of numbers they may be those of a person, and are not quoted.
fn unlike_a_name(text: &str) -> String {
    let is_word = text.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 1);
    if is_word { format!("a text of {} characters", text.chars().count()) } else { format!("{text:?}") }
}

/// `Rows (0028,0010)`: keyword and tag for messages.
pub(super) fn name(tag: Tag) -> String {
    match StandardDataDictionary.by_tag(tag) {
        Some(entry) => format!("{} {tag}", entry.alias()),
        None => format!("element {tag}"),
    }
}

/// A place in the bytes, and how to read on from there.
pub(super) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    pub encoding: Encoding,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn chunk<const N: usize>(&mut self, what: &str) -> Result<&'a [u8; N]> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let chunk = left.first_chunk::<N>().ok_or_else(|| truncated(what.to_owned(), N as u64, left.len() as u64))?;
        self.at += N;
        Ok(chunk)
    }

    pub fn take(&mut self, length: usize, what: impl Fn() -> String) -> Result<&'a [u8]> {
        if length > self.left() {
            return Err(truncated(what(), length as u64, self.left() as u64));
        }
        let value = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(value)
    }

    fn peek_tag(&self) -> Option<Tag> {
        self.bytes.get(self.at..)?.first_chunk::<4>().map(|b| self.encoding.tag(b))
    }

    /// Tag and length of an item or delimiter.
    pub fn item_header(&mut self) -> Result<(Tag, u32)> {
        let tag = self.encoding.tag(self.chunk::<4>("an item header")?);
        let length = self.encoding.u32(*self.chunk::<4>("an item header")?);
        Ok((tag, length))
    }

    /// Tag, VR and length of an element.
    fn header(&mut self) -> Result<(Tag, Option<VR>, u32)> {
        let tag = self.encoding.tag(self.chunk::<4>("an element header")?);
        let head = *self.chunk::<4>("an element header")?;
        // Items never have a VR; an element whose VR is no pair of letters is read as implicit, as pydicom does.
        let lettered = head[..2].iter().all(u8::is_ascii_uppercase);
        if !self.encoding.explicit || tag.group() == 0xFFFE || !lettered {
            return Ok((tag, None, self.encoding.u32(head)));
        }
        let vr = VR::from_binary([head[0], head[1]]);
        let long = matches!(
            &head[..2],
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV"
        );
        let length = if long {
            self.encoding.u32(*self.chunk::<4>("an element header")?)
        } else {
            self.encoding.u16([head[2], head[3]]) as u32
        };
        Ok((tag, Some(vr.unwrap_or(VR::UN)), length))
    }

    /// The next element, its value skipped over.
    fn element(&mut self, depth: usize) -> Result<Element<'a>> {
        let (tag, vr, length) = self.header()?;
        let value = if length == UNDEFINED {
            let start = self.at;
            let outer = self.encoding;
            if vr == Some(VR::UN) {
                self.encoding = Encoding::IMPLICIT;
            }
            self.skip_items(depth + 1)?;
            self.encoding = outer;
            &self.bytes[start..self.at]
        } else {
            self.take(length as usize, || name(tag))?
        };
        Ok(Element { tag, vr, value })
    }

    /// Elements up to the pixel data, the end of the item, or the end of the bytes.
    fn data_set(&mut self, depth: usize) -> Result<DataSet<'a>> {
        let mut elements: Vec<Element<'a>> = Vec::new();
        let mut pixels = None;
        // Trailing zeros after the last element are padding (a tag of group 0 does not occur in files).
        while self.left() >= 8 && !self.bytes[self.at..].iter().take(8).all(|&b| b == 0) {
            let before = self.at;
            let (tag, vr, length) = self.header()?;
            if tag == ITEM_END {
                break;
            }
            let is_pixels = matches!(tag, tags::PIXEL_DATA | tags::FLOAT_PIXEL_DATA | tags::DOUBLE_FLOAT_PIXEL_DATA);
            if is_pixels && depth == 0 {
                let rest = &self.bytes[self.at..];
                let encapsulated = length == UNDEFINED;
                let value = if encapsulated { rest } else { &rest[..rest.len().min(length as usize)] };
                let vr = vr.unwrap_or(VR::OW);
                pixels = Some(PixelElement { tag, vr, value, encapsulated, declared: length });
                break;
            }
            self.at = before;
            elements.push(self.element(depth)?);
        }
        // Elements stand in ascending order by the standard; the sort is for the files where they do not.
        elements.sort_by_key(|e| e.tag);
        Ok(DataSet { elements, encoding: self.encoding, pixels })
    }

    /// Moves behind the delimiter of a sequence of undefined length.
    fn skip_items(&mut self, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(malformed(format!("sequences are nested deeper than {MAX_DEPTH}")));
        }
        loop {
            let (tag, length) = self.item_header()?;
            match tag {
                SEQUENCE_END => return Ok(()),
                ITEM if length != UNDEFINED => {
                    self.take(length as usize, || "an item".into())?;
                }
                ITEM => while self.element_or_item_end(depth)? {},
                _ => return Err(malformed(format!("expected an item or the end of a sequence, found {}", name(tag)))),
            }
        }
    }

    /// Skips one element of an item of undefined length; false at the item's end.
    fn element_or_item_end(&mut self, depth: usize) -> Result<bool> {
        if self.peek_tag() == Some(ITEM_END) {
            self.item_header()?;
            return Ok(false);
        }
        self.element(depth)?;
        Ok(true)
    }
}

/// Items of the encapsulated form: the basic offset table, then the fragments (PS3.5 A.4).
pub(super) fn fragments(value: &[u8]) -> Result<(&[u8], Vec<&[u8]>)> {
    let mut cursor = Cursor { bytes: value, at: 0, encoding: Encoding::EXPLICIT };
    let mut items = Vec::new();
    loop {
        // Files that end without the sequence delimiter are read to their end.
        if cursor.left() < 8 {
            break;
        }
        let (tag, length) = cursor.item_header()?;
        match tag {
            SEQUENCE_END => break,
            ITEM => items.push(cursor.take(length as usize, || format!("pixel data fragment {}", items.len()))?),
            _ => return Err(malformed(format!("expected a pixel data fragment, found {}", name(tag)))),
        }
    }
    if items.is_empty() {
        return Err(malformed("encapsulated pixel data without an offset table item"));
    }
    Ok((items[0], items.split_off(1)))
}
