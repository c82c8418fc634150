//! Small DICOM files for tests, written element by element.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

/// A file in the making. Elements are written in the order of their tags.
#[derive(Clone)]
pub(super) struct File {
    syntax: &'static str,
    meta: bool,
    elements: Vec<(Tag, [u8; 2], Vec<u8>)>,
    /// Bytes of the pixel element from its tag on, if it is encapsulated.
    encapsulated: Option<Vec<u8>>,
}

impl File {
    pub fn new(syntax: &'static str) -> Self {
        File { syntax, meta: true, elements: Vec::new(), encapsulated: None }
    }

    /// An image of one frame without its pixels: size, bits, sign, grey.
    pub fn grey(syntax: &'static str, [columns, rows]: [u16; 2], [allocated, stored]: [u16; 2], signed: bool) -> Self {
        File::new(syntax)
            .text(tags::SOP_CLASS_UID, b"UI", "1.2.840.10008.5.1.4.1.1.2")
            .text(tags::MODALITY, b"CS", "CT")
            .number(tags::SAMPLES_PER_PIXEL, 1)
            .text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", "MONOCHROME2")
            .number(tags::ROWS, rows)
            .number(tags::COLUMNS, columns)
            .number(tags::BITS_ALLOCATED, allocated)
            .number(tags::BITS_STORED, stored)
            .number(tags::HIGH_BIT, stored - 1)
            .number(tags::PIXEL_REPRESENTATION, signed.into())
    }

    /// An axial slice of 2 × 2 pixels at a height.
    pub fn slice(z: f64, number: i32, pixels: [i16; 4]) -> Self {
        File::grey(uids::EXPLICIT_VR_LITTLE_ENDIAN, [2, 2], [16, 16], true)
            .text(tags::INSTANCE_NUMBER, b"IS", &number.to_string())
            .text(tags::IMAGE_POSITION_PATIENT, b"DS", &format!("-10\\-20\\{z}"))
            .text(tags::IMAGE_ORIENTATION_PATIENT, b"DS", "1\\0\\0\\0\\1\\0")
            .text(tags::PIXEL_SPACING, b"DS", "0.5\\0.25")
            .text(tags::SLICE_THICKNESS, b"DS", "2")
            .pixels(&pixels.map(i16::to_le_bytes).concat())
    }

    /// Without preamble and file meta information.
    pub fn bare(self) -> Self {
        File { meta: false, ..self }
    }

    /// Adds an element, in the place of one with the same tag.
    pub fn element(mut self, tag: Tag, vr: &[u8; 2], value: &[u8]) -> Self {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if matches!(vr, b"UI" | b"OB") { 0 } else { b' ' });
        }
        match self.elements.iter_mut().find(|e| e.0 == tag) {
            Some(element) => *element = (tag, *vr, value),
            None => self.elements.push((tag, *vr, value)),
        }
        self
    }

    pub fn text(self, tag: Tag, vr: &[u8; 2], value: &str) -> Self {
        self.element(tag, vr, value.as_bytes())
    }

    /// An element of VR US.
    pub fn number(self, tag: Tag, value: u16) -> Self {
        let bytes = if self.big() { value.to_be_bytes() } else { value.to_le_bytes() };
        self.element(tag, b"US", &bytes)
    }

    /// Native pixels as they stand in the file.
    pub fn pixels(self, bytes: &[u8]) -> Self {
        self.element(tags::PIXEL_DATA, b"OW", bytes)
    }

    /// Encapsulated pixels: an empty offset table and the fragments.
    pub fn fragments(mut self, fragments: &[&[u8]]) -> Self {
        let mut bytes = [0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF].to_vec();
        for fragment in std::iter::once(&[][..]).chain(fragments.iter().copied()) {
            bytes.extend([0xFE, 0xFF, 0x00, 0xE0]);
            bytes.extend((fragment.len().next_multiple_of(2) as u32).to_le_bytes());
            bytes.extend(fragment);
            bytes.resize(bytes.len().next_multiple_of(2), 0);
        }
        bytes.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        self.encapsulated = Some(bytes);
        self
    }

    /// A sequence of items of defined length.
    pub fn sequence(self, tag: Tag, items: &[File]) -> Self {
        let mut value = Vec::new();
        for item in items {
            let bytes = item.data_set();
            value.extend([0xFE, 0xFF, 0x00, 0xE0]);
            value.extend((bytes.len() as u32).to_le_bytes());
            value.extend(bytes);
        }
        self.element(tag, b"SQ", &value)
    }

    fn big(&self) -> bool {
        self.syntax == "1.2.840.10008.1.2.2"
    }

    fn data_set(&self) -> Vec<u8> {
        let explicit = self.syntax != uids::IMPLICIT_VR_LITTLE_ENDIAN;
        let word = |v: u16| if self.big() { v.to_be_bytes() } else { v.to_le_bytes() };
        let long = |v: u32| if self.big() { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut elements: Vec<_> = self.elements.iter().collect();
        elements.sort_by_key(|e| e.0);
        let mut out = Vec::new();
        for (tag, vr, value) in elements {
            out.extend(word(tag.group()));
            out.extend(word(tag.element()));
            match vr {
                _ if !explicit => out.extend(long(value.len() as u32)),
                b"OB" | b"OW" | b"OF" | b"SQ" | b"UN" => {
                    out.extend(vr);
                    out.extend([0, 0]);
                    out.extend(long(value.len() as u32));
                }
                _ => {
                    out.extend(vr);
                    out.extend(word(value.len() as u16));
                }
            }
            out.extend(value);
        }
        out.extend(self.encapsulated.iter().flatten());
        out
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.data_set();
        if self.syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
            use std::io::Write;
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
        if !self.meta {
            return body;
        }
        let mut out = vec![0; 128];
        out.extend(b"DICM");
        let meta = File::new(uids::EXPLICIT_VR_LITTLE_ENDIAN).text(tags::TRANSFER_SYNTAX_UID, b"UI", self.syntax);
        out.extend(meta.data_set());
        out.extend(body);
        out
    }
}
