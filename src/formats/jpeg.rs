//! JPEG: baseline and progressive, 8 bits.
//!
//! Specification: ITU-T T.81; the colour conventions are those of JFIF and of Adobe's APP14 marker. A JPEG does not say
//! how its coefficients become pixels to the last bit, and published numbers were made with what Pillow and OpenCV
//! decode: libjpeg-turbo with the accurate integer IDCT and smooth ("fancy") chroma upsampling. So exactness decides which
//! library is used. Largest and mean difference from Pillow 12, per value, on 227 pictures (camera and fundus pictures,
//! all samplings, odd sizes, progressive, restarts, CMYK):
//!
//! | library | fundus pictures (CHASE DB1, IDRiD) | values that differ | all |
//! |---|---|---|---|
//! | `jpeg-decoder` 0.3 | max 3, mean 0.058–0.071 | 4–6 % | max 4 |
//! | `zune-jpeg` 0.5 | max 5, mean 0.063–0.133 | 5–10 % | max 5, refuses YCCK |
//! | `mozjpeg` 0.10 (libjpeg-turbo's decoder, compiled from C) | none | none | none |
//!
//! `mozjpeg` needs a C compiler only, since its assembly is left out; it takes about 10 s of a cold build, and decodes
//! 45 million pixels a second and core.
//!
//! In the wild: an EXIF orientation, which is left alone (masks were drawn on the stored raster, or not: a note tells);
//! CMYK from Photoshop, stored inverted; files cut short by a broken download, which are errors here as in Pillow. Damage
//! inside the data that leaves the length alone is decoded as well as it goes, as Pillow and OpenCV do, without an error.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::{ColorSpace, Decompress};

use super::{Error, Result, tiff::directory};
use crate::image::{Image, Samples};

const FORMAT: &str = "JPEG";

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

fn unsupported(feature: String) -> Error {
    Error::Unsupported { format: FORMAT, feature }
}

/// Reads a picture as `uint8`: grey, RGB (from YCbCr, or as stored where the Adobe marker says so), or CMYK (from YCCK
/// or as stored) with 0 for no ink, which inverts what files hold, as Pillow does.
///
/// # Errors
/// [`Error::Truncated`] where the data end before the end marker, [`Error::Malformed`] for what libjpeg refuses,
/// [`Error::Unsupported`] for 12 bits, lossless, hierarchical and arithmetic coding.
pub fn read(bytes: &[u8]) -> Result<Image> {
    let header = read_header(bytes)?;
    let mut samples = decode(bytes, &header)?;
    if header.components == 4 {
        samples.iter_mut().for_each(|v| *v = 255 - *v);
    }
    let mut image = Image::picture(header.width, header.height, header.components, Samples::U8(samples));
    if let Some(orientation @ 2..=8) = header.orientation {
        image
            .notes
            .push(format!("JPEG: EXIF orientation {orientation} left alone: viewers turn or mirror this picture"));
    }
    if header.components == 4 {
        image.notes.push("JPEG: CMYK, inverted to 0 for no ink".into());
    }
    Ok(image)
}

/// What the markers before the first scan say.
pub(super) struct Header {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: usize,
    orientation: Option<u64>,
}

/// Reads the markers up to the first scan.
pub(super) fn read_header(bytes: &[u8]) -> Result<Header> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        let found = &bytes[..bytes.len().min(2)];
        return Err(malformed(format!("expected the marker ff d8 at the start, found {found:02x?}")));
    }
    let truncated = |expected: usize| Error::Truncated {
        format: FORMAT,
        what: "header".into(),
        expected: expected as u64,
        found: bytes.len() as u64,
    };
    let mut at = 2;
    let mut orientation = None;
    loop {
        // Bytes that are no marker may stand between segments; libjpeg skips them, too.
        let marker = loop {
            match bytes.get(at..at + 2).ok_or_else(|| truncated(at + 2))? {
                [0xff, marker @ 0x01..=0xfe] => break *marker,
                _ => at += 1,
            }
        };
        at += 2;
        if matches!(marker, 0x01 | 0xd0..=0xd8) {
            continue;
        }
        if matches!(marker, 0xd9 | 0xda) {
            return Err(malformed(format!("marker {marker:#04x} before any frame header")));
        }
        let length = bytes.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])));
        let length = length.ok_or_else(|| truncated(at + 2))?;
        let segment = bytes.get(at + 2..at + length.max(2)).ok_or_else(|| truncated(at + length))?;
        at += length.max(2);
        match marker {
            0xe1 => orientation = orientation.or_else(|| exif_orientation(segment)),
            0xc0..=0xc2 => {
                let &[precision, h1, h0, w1, w0, components, ..] = segment else {
                    return Err(malformed(format!("a frame header of {} bytes", segment.len())));
                };
                let (width, height) = (usize::from(w1) << 8 | usize::from(w0), usize::from(h1) << 8 | usize::from(h0));
                let components = usize::from(components);
                if precision != 8 {
                    return Err(unsupported(format!("{precision} bits a sample (8 only)")));
                }
                if width == 0 || height == 0 {
                    return Err(malformed(format!("{width} x {height} pixels")));
                }
                if !matches!(components, 1 | 3 | 4) {
                    return Err(unsupported(format!("{components} components (1, 3 or 4)")));
                }
                return Ok(Header { width, height, components, orientation });
            }
            0xc3 | 0xcb => return Err(unsupported("lossless coding".into())),
            0xc5..=0xc7 | 0xcd..=0xcf => return Err(unsupported("hierarchical coding".into())),
            0xc9 | 0xca => return Err(unsupported("arithmetic coding".into())),
            _ => {}
        }
    }
}

/// The orientation of an `Exif` APP1 segment, which holds a TIFF directory.
fn exif_orientation(segment: &[u8]) -> Option<u64> {
    let tiff = directory::File::open(segment.strip_prefix(b"Exif\0\0")?).ok()?;
    tiff.directory(tiff.first).ok()?.0.number(directory::ORIENTATION).ok()?
}

/// Decodes to interleaved values: grey, RGB, or CMYK as stored.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>> {
    // Every block of 64 pixels takes a bit at least.
    let pixels = header.width * header.height;
    if pixels > bytes.len().saturating_mul(8 * 64) {
        let Header { width, height, .. } = header;
        return Err(malformed(format!("{width} x {height} pixels cannot come from {} bytes", bytes.len())));
    }
    let at_end = Cell::new(false);
    let source = Source { bytes, at_end: &at_end };
    // libjpeg leaves a failed call by a long jump; the binding makes that an unwinding, which must be caught here.
    let decoded = catch_unwind(AssertUnwindSafe(|| -> io::Result<Vec<u8>> {
        let picture = Decompress::new_reader(source)?;
        let mut lines = picture.to_colorspace(match header.components {
            1 => ColorSpace::JCS_GRAYSCALE,
            3 => ColorSpace::JCS_RGB,
            _ => ColorSpace::JCS_CMYK,
        })?;
        lines.read_scanlines::<u8>()
    }));
    let reason = match decoded {
        Ok(Ok(samples)) if samples.len() == pixels * header.components => return Ok(samples),
        Ok(Ok(samples)) => format!("expected {} values, found {}", pixels * header.components, samples.len()),
        Ok(Err(e)) => e.to_string(),
        Err(panic) => match panic.downcast::<String>() {
            Ok(message) => *message,
            Err(_) => "libjpeg gave up".into(),
        },
    };
    if at_end.get() {
        let found = bytes.len() as u64;
        let what = "data up to the end marker".into();
        return Err(Error::Truncated { format: FORMAT, what, expected: found + 1, found });
    }
    Err(malformed(reason))
}

/// The file as libjpeg reads it. At the end it fails: the binding would go on with an invented end marker, and give a
/// truncated picture with a grey lower half.
struct Source<'a> {
    bytes: &'a [u8],
    at_end: &'a Cell<bool>,
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(out)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.bytes.is_empty() {
            self.at_end.set(true);
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(self.bytes)
    }

    fn consume(&mut self, count: usize) {
        self.bytes = &self.bytes[count..];
    }
}
