//! JPEG: baseline and progressive, 8 bits.
//!
//! Specification: ITU-T T.81; the colour conventions are those of JFIF and of Adobe's APP14 marker. The standard does
//! not define the pixels to the last bit, and published numbers are based on the output of Pillow and OpenCV:
//! libjpeg-turbo with the accurate integer IDCT and smooth ("fancy") chroma upsampling. Exactness therefore determines
//! the library. Differences from Pillow 12, per value: on five fundus pictures (CHASE DB1, IDRiD), and on 227 files of
//! all samplings, odd sizes, progressive, with restarts, grey, RGB and CMYK:
//!
//! | library | fundus: largest | mean | values that differ | all: largest |
//! |---|---|---|---|---|
//! | `jpeg-decoder` 0.3 | 3 | 0.058–0.071 | 4–6 % | 6 |
//! | `zune-jpeg` 0.5 | 5 | 0.063–0.133 | 5–10 % | 6 (and no YCCK) |
//! | `mozjpeg` 0.10: libjpeg-turbo's decoder, compiled from C | 0 | 0 | 0 | 0 |
//!
//! `mozjpeg` needs only a C compiler, because its assembly is disabled; it takes about 15 s of processor time of a cold
//! build, and decodes about 150 million pixels a second and core.
//!
//! In the wild: an EXIF orientation, which is not applied (a mask may have been drawn on the rotated image: a note
//! reports it); CMYK from Photoshop, stored inverted, with or without Adobe's marker; files truncated by a broken
//! download, which are errors here as in Pillow. Damage inside the data that leaves the length alone is decoded as far
//! as possible without an error, as in Pillow and OpenCV.

mod probe;

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mozjpeg::{ColorSpace, Decompress};

use super::format::{Format, Start};
use super::{Error, Result, ifd};
use crate::image::{Image, Samples};
use crate::memory::Room;

const FORMAT: &str = "JPEG";

/// JPEG.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["jpg", "jpeg"],
    signature: |head| head.starts_with(b"\xff\xd8\xff"),
    start: Start::Signature,
    read: |file, _, _| read_within(&file.plain(promise)?, file.room()),
    probe: Some(probe::probe),
    ..Format::PLAIN
};

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

fn unsupported(feature: String) -> Error {
    Error::Unsupported { format: FORMAT, feature }
}

/// Reads a picture as `uint8`: grey, or RGB (from YCbCr, or as stored where the Adobe marker says so). CMYK and YCCK,
/// which files hold inverted (255 for no ink), become the RGB of Pillow's `convert("RGB")`.
///
/// # Errors
/// [`Error::Truncated`] where the data end before the end marker, [`Error::Malformed`] for what libjpeg refuses,
/// [`Error::Unsupported`] for 12 bits, lossless, hierarchical and arithmetic coding.
pub fn read(bytes: &[u8]) -> Result<Image> {
    read_within(bytes, &Room::default())
}

/// Bytes that a file needs at most for the pixels that its header states, each value of which takes up to 26 bits; `None`
/// where the first bytes do not reach to the header of the frame.
fn promise(head: &[u8]) -> Option<u64> {
    let header = read_header(head).ok()?;
    Some(4 * (header.width * header.height * header.components) as u64)
}

fn read_within(bytes: &[u8], room: &Room) -> Result<Image> {
    let header = read_header(bytes)?;
    let held = room.held();
    let mut samples = decode(bytes, &header, room)?;
    let mut components = header.components;
    if components == 4 {
        let rgb = samples.chunks_exact(4).flat_map(|ink| rgb_of_ink([0, 1, 2, 3].map(|i| 255 - ink[i])));
        samples = room.collect(samples.len() / 4 * 3, rgb)?;
        components = 3;
    }
    room.back_to(held + samples.len() as u64);
    let mut image = Image::picture(header.width, header.height, components, Samples::U8(samples));
    image.meaning.orientation = header.orientation;
    if let Some(orientation) = header.orientation {
        image
            .notes
            .push(format!("JPEG: EXIF orientation {orientation} is not applied; viewers rotate or mirror the image"));
    }
    if header.components == 4 {
        image.notes.push("JPEG: stored as CMYK, converted to RGB without a colour profile".into());
    }
    Ok(image)
}

/// Red, green and blue of cyan, magenta, yellow and black with 0 for no ink, rounded as Pillow does: black takes light
/// away, and each ink takes its share of what is left.
pub(super) fn rgb_of_ink([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * light + 128;
        light.saturating_sub(((product >> 8) + product) >> 8) as u8
    })
}

/// What the markers before the first scan say.
pub(super) struct Header {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: usize,
    orientation: Option<u8>,
    /// The coefficients of all pixels are in memory until the last scan.
    progressive: bool,
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
            0xe1 => orientation = orientation.or_else(|| ifd::exif_orientation(segment.strip_prefix(b"Exif\0\0")?)),
            0xc0..=0xc2 => {
                let &[precision, h1, h0, w1, w0, components, ..] = segment else {
                    return Err(malformed(format!("a frame header of {} bytes", segment.len())));
                };
                let (width, height) = (usize::from(w1) << 8 | usize::from(w0), usize::from(h1) << 8 | usize::from(h0));
                let components = usize::from(components);
                if precision != 8 {
                    return Err(unsupported(format!("{precision} bits per sample (only 8 are supported)")));
                }
                if width == 0 || height == 0 {
                    return Err(malformed(format!("{width} x {height} pixels")));
                }
                if !matches!(components, 1 | 3 | 4) {
                    return Err(unsupported(format!("{components} components (1, 3 or 4)")));
                }
                return Ok(Header { width, height, components, orientation, progressive: marker == 0xc2 });
            }
            0xc3 | 0xcb => return Err(unsupported("lossless coding".into())),
            0xc5..=0xc7 | 0xcd..=0xcf => return Err(unsupported("hierarchical coding".into())),
            0xc9 | 0xca => return Err(unsupported("arithmetic coding".into())),
            _ => {}
        }
    }
}

/// Decodes to interleaved values: grey, RGB, or CMYK as stored; their memory, and that of the decoder, is taken of
/// `room`.
pub(super) fn decode(bytes: &[u8], header: &Header, room: &Room) -> Result<Vec<u8>> {
    // Every block of 64 pixels takes a bit at least.
    let pixels = header.width * header.height;
    if pixels > bytes.len().saturating_mul(8 * 64) {
        let Header { width, height, .. } = header;
        return Err(malformed(format!("{width} x {height} pixels cannot be stored in {} bytes", bytes.len())));
    }
    let values = (pixels * header.components) as u64;
    room.take(values.saturating_mul(if header.progressive { 3 } else { 1 }))?;
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
            Err(_) => "libjpeg cannot decode the stream".into(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Files and values by Pillow 12 (libjpeg-turbo 3.2); JFIF headers and comments are cut out.

    /// Noise of 7 x 5 pixels, progressive, chroma halved in both directions.
    const COLOUR: &str = "\
        ffd8ffdb004300140e0f120f0d14121012171514181e32211e1c1c1e3d2c2e243249404c4b47404645505a736250556d5645\
        466488656d777b8182814e608d978c7d96737e817cffdb0043011517171e1a1e3b21213b7c5346537c7c7c7c7c7c7c7c7c7c\
        7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7cffc20011080005000703\
        012200021101031101ffc4001500010100000000000000000000000000000002ffc400150101010000000000000000000000\
        0000000203ffda000c030100021003100000018067ffc400161000030000000000000000000000000000010221ffda000801\
        0100010502687fffc4001511010100000000000000000000000000000011ffda0008010301013f01afffc400161101010100\
        000000000000000000000000010012ffda0008010201013f01d25fffc4001510010100000000000000000000000000002100\
        ffda0008010100063f025bffc40017100101010100000000000000000000000001112100ffda0008010100013f2130144dd7\
        bfffda000c030100020003000000100fffc40017110003010000000000000000000000000000011121ffda0008010301013f\
        10a774ffc40017110100030000000000000000000000000001001141ffda0008010201013f10405393ffc400191001010100\
        030000000000000000000000011121004191ffda0008010100013f1054695a055eedc73cce7fffd9";
    #[rustfmt::skip]
    const COLOUR_VALUES: [u8; 105] = [
        222, 191, 163, 214, 185, 181, 95, 70, 112, 204, 187, 255, 135, 123, 209, 54, 47, 125, 108, 103, 157,
        97, 75, 38, 46, 27, 13, 137, 122, 155, 69, 59, 120, 34, 32, 107, 150, 153, 222, 0, 0, 37,
        69, 66, 11, 145, 144, 113, 182, 184, 197, 103, 112, 153, 56, 73, 127, 156, 178, 225, 145, 168, 186,
        37, 53, 0, 165, 183, 133, 59, 80, 73, 62, 89, 110, 16, 50, 85, 0, 24, 49, 139, 180, 174,
        147, 182, 92, 144, 181, 112, 116, 156, 130, 58, 103, 106, 64, 118, 130, 58, 118, 119, 39, 100, 69,
    ];
    /// 2 x 2 grey pixels.
    const GREY: &str = "\
        ffd8ffdb004300100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933383740485c4e4044574537\
        38506d51575f626768673e4d71797064785c656763ffc0000b080002000201011100ffc40014000100000000000000000000\
        000000000005ffc400161001010100000000000000000000000000010031ffda0008010100003f006cc2ffd9";
    /// A pixel stored as RGB, which the Adobe marker says.
    const RGB: &str = "\
        ffd8ffee000e41646f626500640000000000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d496491\
        8099968f808c8aa0b4e6c3a0aadaad8a8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffc00011080001000103521100\
        471100421100ffc4001500010100000000000000000000000000000504ffc400141001000000000000000000000000000000\
        00ffda000c03520047004200003f001d70b7ffd9";
    /// A pixel of CMYK, stored inverted.
    const CMYK: &str = "\
        ffd8ffee000e41646f626500640000000000ffdb004300281c1e231e19282321232d2b28303c64413c37373c7b585d496491\
        8099968f808c8aa0b4e6c3a0aadaad8a8cc8ffcbdaeef5ffffff9bc1fffffffaffe6fdfff8ffc00014080001000104431100\
        4d11005911004b1100ffc4001500010100000000000000000000000000000504ffc400141001000000000000000000000000\
        00000000ffda000e0443004d0059004b00003f005d01332fffd9";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn values_are_those_of_pillow() {
        let image = read(&bytes(COLOUR)).unwrap();
        assert_eq!((image.size, image.components, image.bits), ([7, 5, 1, 1], 3, 8));
        assert_eq!(image.samples, Samples::U8(COLOUR_VALUES.to_vec()));
        assert!(image.notes.is_empty());
        assert_eq!(read(&bytes(GREY)).unwrap().samples, Samples::U8(vec![176, 180, 176, 180]));
    }

    #[test]
    fn stored_rgb_and_inverted_cmyk() {
        assert_eq!(read(&bytes(RGB)).unwrap().samples, Samples::U8(vec![8, 198, 28]));
        let image = read(&bytes(CMYK)).unwrap();
        // Inks of 12, 202, 32 and 2 of 255.
        assert_eq!((image.components, image.samples), (3, Samples::U8(vec![241, 53, 221])));
        assert!(image.notes[0].contains("CMYK"));
    }

    #[test]
    fn orientation_is_noted_and_nothing_turned() {
        let grey = bytes(GREY);
        let exif = b"\xff\xe1\0\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let image = read(&[&grey[..2], exif, &grey[2..]].concat()).unwrap();
        assert_eq!(image.samples, read(&grey).unwrap().samples);
        assert!(image.notes[0].contains("orientation 6"), "{:?}", image.notes);
    }

    #[test]
    fn broken_files_are_errors_that_say_what_is_wrong() {
        let colour = bytes(COLOUR);
        for cut in 2..colour.len() - 2 {
            let error = read(&colour[..cut]).unwrap_err();
            assert!(matches!(error, Error::Truncated { .. }), "cut at {cut}: {error}");
        }
        let frame = colour.windows(2).position(|w| w == [0xff, 0xc2]).unwrap();
        for (at, value, message) in [
            (0, 0, "expected the marker ff d8"),
            (frame + 1, 0xc3, "lossless"),
            (frame + 1, 0xc9, "arithmetic"),
            (frame + 4, 12, "12 bits per sample"),
            (frame + 5, 0xff, "cannot be stored in"),
            (frame + 6, 0, "7 x 0 pixels"),
            (frame + 9, 2, "2 components"),
            (frame + 11, 0x55, "libjpeg"),
        ] {
            let mut file = colour.clone();
            file[at] = value;
            let error = read(&file).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(which in 0usize..4, changes in prop::collection::vec((0usize..515, any::<u8>()), 1..5)) {
            let mut file = bytes([COLOUR, GREY, RGB, CMYK][which]);
            for (at, value) in changes {
                let at = at % file.len();
                file[at] = value;
            }
            let _ = read(&file);
        }
    }
}
