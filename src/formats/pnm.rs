//! Netpbm: PBM, PGM, PPM (plain `P1`–`P3`, raw `P4`–`P6`) and PAM (`P7`).
//!
//! Specification: <https://netpbm.sourceforge.net/doc/pbm.html>, `pgm`, `ppm`, `pam` next to it.
//!
//! Values come as stored: nothing is scaled from `maxval` to the width of the type, which is what `image` 0.25.10 does
//! (a test in this file shows it) and what Pillow does above 255. `bits` is the number of bits that `maxval` needs. In
//! PBM a stored 1 is black, as the specification has it; Pillow shows it as 0.
//!
//! In the wild: comments anywhere in the header; a `maxval` of 4095 for 12-bit detectors; bits of `P1` written with no
//! space between them; several images one after the other in a raw file, of which only the first is read (and a note
//! says so).

use super::format::Format;
use super::{Error, Result};
use crate::image::{Image, Samples};
use crate::memory::Room;

const FORMAT: &str = "Netpbm";

/// Netpbm.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["pgm", "ppm", "pbm", "pnm", "pam"],
    signature: |head| matches!(head, [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..]),
    read: |file, _, _| read_within(&file.plain(promise)?, file.room()),
    ..Format::PLAIN
};

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

/// What the header says.
struct Header {
    width: usize,
    height: usize,
    components: usize,
    max_value: u16,
    /// Values as decimal text (`P1`–`P3`).
    plain: bool,
    /// One bit a value (`P1`, `P4`): eight to a byte in the raw form, without spaces in the plain one.
    bitmap: bool,
}

impl Header {
    fn values(&self) -> Result<usize> {
        (self.width.checked_mul(self.height))
            .and_then(|n| n.checked_mul(self.components))
            .ok_or_else(|| malformed(format!("{} x {} x {} values", self.width, self.height, self.components)))
    }
}

/// Reads one image: `uint8` for a `maxval` up to 255, else `uint16`; 1 component for PBM and PGM, 3 for PPM, DEPTH
/// for PAM.
///
/// # Errors
/// [`Error::Malformed`] for a header that is none and for plain values above `maxval`, [`Error::Truncated`] where the
/// raster is short, [`Error::Unsupported`] for the float maps `PF` and `Pf`.
pub fn read(bytes: &[u8]) -> Result<Image> {
    read_within(bytes, &Room::default())
}

/// Bytes that a file needs for the values that its header states: up to five digits and a space in a plain one. `None`
/// where the first bytes have no whole header.
fn promise(head: &[u8]) -> Option<u64> {
    let mut text = Text { bytes: head, at: 0 };
    let header = read_header(&mut text).ok()?;
    let width = if header.plain { 6 } else { 2 };
    (header.values().ok()? as u64).checked_mul(width)?.checked_add(text.at as u64)
}

fn read_within(bytes: &[u8], room: &Room) -> Result<Image> {
    let mut text = Text { bytes, at: 0 };
    let header = read_header(&mut text)?;
    let count = header.values()?;
    let (samples, end) = match (header.plain, header.bitmap) {
        (true, _) => (plain_raster(&mut text, &header, count, room)?, text.at),
        (false, true) => bit_raster(bytes, text.at, &header, room)?,
        (false, false) => raw_raster(bytes, text.at, &header, (count, room))?,
    };
    let mut image = Image::picture(header.width, header.height, header.components, samples);
    image.bits = (u16::BITS - header.max_value.leading_zeros()) as u8;
    if header.bitmap {
        image.meaning.low_is_white = true;
        image.notes.push("PBM: a stored 1 is black; values are kept as stored".into());
    }
    let above = match &image.samples {
        Samples::U8(v) => v.iter().any(|&x| u16::from(x) > header.max_value),
        Samples::U16(v) => v.iter().any(|&x| x > header.max_value),
        _ => false,
    };
    if above {
        image.notes.push(format!("Netpbm: some values exceed the header's maxval of {}", header.max_value));
    }
    let rest = &bytes[end..];
    if rest.iter().any(|b| !b.is_ascii_whitespace()) {
        image.notes.push(format!("Netpbm: {} bytes after the first image were not read", rest.len()));
    }
    Ok(image)
}

fn read_header(text: &mut Text) -> Result<Header> {
    let magic = text.bytes.get(..2).unwrap_or(text.bytes);
    text.at = 2;
    let kind = match magic {
        [b'P', kind @ b'1'..=b'6'] => kind - b'0',
        b"P7" => return read_pam_header(text),
        b"PF" | b"Pf" => {
            let feature = "a float map (PFM); convert it to TIFF".into();
            return Err(Error::Unsupported { format: FORMAT, feature });
        }
        _ => {
            return Err(malformed(format!(
                "expected a magic of P1 to P7, found {:?}",
                magic.escape_ascii().to_string()
            )));
        }
    };
    let bitmap = kind == 1 || kind == 4;
    let width = text.size("width")?;
    let height = text.size("height")?;
    let max_value = if bitmap { 1 } else { text.max_value()? };
    if kind > 3 {
        text.single_space()?;
    }
    Ok(Header { width, height, components: if kind % 3 == 0 { 3 } else { 1 }, max_value, plain: kind < 4, bitmap })
}

fn read_pam_header(text: &mut Text) -> Result<Header> {
    let (mut width, mut height, mut depth, mut max_value) = (None, None, None, None);
    loop {
        match text.token() {
            b"WIDTH" => width = Some(text.size("WIDTH")?),
            b"HEIGHT" => height = Some(text.size("HEIGHT")?),
            b"DEPTH" => depth = Some(text.size("DEPTH")?),
            b"MAXVAL" => max_value = Some(text.max_value()?),
            b"TUPLTYPE" => text.skip_line(),
            b"ENDHDR" => break,
            other => return Err(malformed(format!("PAM header line {:?}", other.escape_ascii().to_string()))),
        }
    }
    text.single_space()?;
    let (Some(width), Some(height), Some(components), Some(max_value)) = (width, height, depth, max_value) else {
        return Err(malformed("a PAM header needs WIDTH, HEIGHT, DEPTH and MAXVAL".into()));
    };
    Ok(Header { width, height, components, max_value, plain: false, bitmap: false })
}

/// Values of `P2` and `P3` are separated by white space; those of `P1` are single digits with or without it.
fn plain_raster(text: &mut Text, header: &Header, count: usize, room: &Room) -> Result<Samples> {
    let left = text.bytes.len() - text.at;
    let truncated = |found: usize| Error::Truncated {
        format: FORMAT,
        what: "raster (a value takes a byte of text at least)".into(),
        expected: count as u64,
        found: found as u64,
    };
    if count > left {
        return Err(truncated(left));
    }
    let mut values = room.with_capacity::<u16>(count)?;
    for _ in 0..count {
        let token = if header.bitmap { text.digit() } else { text.token() };
        if token.is_empty() {
            return Err(truncated(values.len()));
        }
        match number(token) {
            Some(v) if v <= usize::from(header.max_value) => values.push(v as u16),
            _ => {
                let found = token.escape_ascii();
                return Err(malformed(format!("expected a value of 0 to {}, found {found}", header.max_value)));
            }
        }
    }
    Ok(match header.max_value {
        ..256 => Samples::U8(room.collect(count, values.into_iter().map(|v| v as u8))?),
        _ => Samples::U16(values),
    })
}

/// Rows of `P4` are padded to whole bytes, the leftmost pixel in the highest bit.
fn bit_raster(bytes: &[u8], start: usize, header: &Header, room: &Room) -> Result<(Samples, usize)> {
    let row = header.width.div_ceil(8);
    let need = row.checked_mul(header.height).ok_or_else(|| malformed("size overflows".into()))?;
    let raster = raster(bytes, start, need)?;
    let bits = raster.chunks_exact(row).flat_map(|row| (0..header.width).map(|x| row[x / 8] >> (7 - x % 8) & 1));
    Ok((Samples::U8(room.collect(header.width * header.height, bits)?), start + need))
}

fn raw_raster(bytes: &[u8], start: usize, header: &Header, (count, room): (usize, &Room)) -> Result<(Samples, usize)> {
    let wide = header.max_value > 255;
    let need = count.checked_mul(1 + usize::from(wide)).ok_or_else(|| malformed("size overflows".into()))?;
    let raster = raster(bytes, start, need)?;
    let samples = if wide {
        Samples::U16(room.collect(count, raster.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])))?)
    } else {
        Samples::U8(room.collect(count, raster.iter().copied())?)
    };
    Ok((samples, start + need))
}

fn raster(bytes: &[u8], start: usize, need: usize) -> Result<&[u8]> {
    let found = &bytes[start..];
    found.get(..need).ok_or_else(|| Error::Truncated {
        format: FORMAT,
        what: "raster".into(),
        expected: need as u64,
        found: found.len() as u64,
    })
}

fn number(token: &[u8]) -> Option<usize> {
    if !token.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// Tokens of the header and of plain rasters.
struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    fn skip_line(&mut self) {
        while self.bytes.get(self.at).is_some_and(|&b| b != b'\n' && b != b'\r') {
            self.at += 1;
        }
    }

    /// White space, and comments from `#` to the end of the line.
    fn skip_space(&mut self) {
        while let Some(&b) = self.bytes.get(self.at) {
            match b {
                b'#' => self.skip_line(),
                b if b.is_ascii_whitespace() => self.at += 1,
                _ => break,
            }
        }
    }

    /// The next word; empty at the end of the data.
    fn token(&mut self) -> &'a [u8] {
        self.skip_space();
        let bytes = &self.bytes[self.at.min(self.bytes.len())..];
        let end = bytes.iter().position(|&b| b.is_ascii_whitespace() || b == b'#').unwrap_or(bytes.len());
        self.at += end;
        &bytes[..end]
    }

    /// The next single character; empty at the end of the data.
    fn digit(&mut self) -> &'a [u8] {
        self.skip_space();
        let digit = self.bytes.get(self.at..self.at + 1).unwrap_or_default();
        self.at += digit.len();
        digit
    }

    fn size(&mut self, name: &str) -> Result<usize> {
        let token = self.token();
        match number(token) {
            Some(n @ 1..=0x7fff_ffff) => Ok(n),
            _ => {
                Err(malformed(format!("expected a {name} of 1 or more, found {:?}", token.escape_ascii().to_string())))
            }
        }
    }

    fn max_value(&mut self) -> Result<u16> {
        let token = self.token();
        match number(token) {
            Some(n @ 1..=0xffff) => Ok(n as u16),
            _ => {
                Err(malformed(format!("expected a maxval of 1 to 65535, found {:?}", token.escape_ascii().to_string())))
            }
        }
    }

    /// Exactly one white space stands between the header and a raw raster.
    fn single_space(&mut self) -> Result<()> {
        match self.bytes.get(self.at) {
            Some(b) if b.is_ascii_whitespace() => {
                self.at += 1;
                Ok(())
            }
            Some(b) => Err(malformed(format!("expected white space after the header, found {}", b.escape_ascii()))),
            None => Err(malformed("expected white space after the header, found the end of the file".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_bitmap_needs_no_spaces() {
        let image = read(b"P1\n# a comment\n3 # another\n2\n101\n0 1 0\n").unwrap();
        assert_eq!((image.size, image.bits), ([3, 2, 1, 1], 1));
        assert_eq!(image.samples, Samples::U8(vec![1, 0, 1, 0, 1, 0]));
    }

    #[test]
    fn raw_bitmap_pads_rows() {
        let image = read(b"P4 9 2\n\x80\x80\x01\x7f").unwrap();
        let Samples::U8(v) = image.samples else { panic!() };
        assert_eq!(v, [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn grey_values_are_not_scaled_to_the_type() {
        let image = read(b"P5 3 1 15\n\x00\x07\x0f").unwrap();
        assert_eq!((image.bits, image.samples), (4, Samples::U8(vec![0, 7, 15])));
        let image = read(b"P5 2 1 4095\n\x0f\xff\x00\x01").unwrap();
        assert_eq!((image.bits, image.samples), (12, Samples::U16(vec![4095, 1])));
        let image = read(b"P2 2 1 65535 65535\n1").unwrap();
        assert_eq!((image.bits, image.samples), (16, Samples::U16(vec![65535, 1])));
    }

    #[test]
    fn the_image_crate_scales_what_is_read_as_stored_here() {
        let by_image = |file: &[u8]| ::image::load_from_memory(file).unwrap().into_luma16().into_raw();
        assert_eq!(by_image(b"P5 2 1 4095\n\x0f\xff\x00\x01"), [65535, 16]);
        let full = b"P5 2 1 65535\n\x0f\xff\x00\x01";
        assert_eq!(read(full).unwrap().samples, Samples::U16(by_image(full)));
    }

    #[test]
    fn colour_and_arbitrary_maps() {
        let image = read(b"P6 1 1 255\n\x01\x02\x03").unwrap();
        assert_eq!((image.components, image.samples), (3, Samples::U8(vec![1, 2, 3])));
        let pam = b"P7\nWIDTH 1\nHEIGHT 2\nDEPTH 2\nMAXVAL 255\nTUPLTYPE GRAYSCALE_ALPHA\nENDHDR\n\x01\x02\x03\x04";
        let image = read(pam).unwrap();
        assert_eq!((image.size, image.components), ([1, 2, 1, 1], 2));
        assert_eq!(image.samples, Samples::U8(vec![1, 2, 3, 4]));
    }

    #[test]
    fn oddities_are_noted() {
        let image = read(b"P5 1 1 3\n\x07").unwrap();
        assert!(image.notes[0].contains("exceed the header's maxval"));
        let image = read(b"P5 1 1 255\n\x07P5 1 1 255\n\x07").unwrap();
        assert!(image.notes[0].contains("12 bytes after"), "{:?}", image.notes);
    }

    #[test]
    fn broken_files_are_errors_that_say_what_is_wrong() {
        for (bytes, message) in [
            (&b"P5 3 1 255\n\x00\x07"[..], "raster needs 3 bytes, found 2"),
            (b"P2 3 1 255\n1 2", "truncated"),
            (b"P2 1 1 7 9", "0 to 7, found 9"),
            (b"P5 0 1 255\n", "width of 1 or more"),
            (b"P5 1 1 65536\n", "maxval"),
            (b"P5 2000000000 2000000000 255\n ", "raster needs 4000000000000000000"),
            (b"P7\nWIDTH 1\nENDHDR\n", "needs WIDTH"),
            (b"Pf 1 1 -1\n", "float map"),
            (b"GIF", "magic"),
            (b"", "magic"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn raw_grey_round_trips(w in 1usize..9, h in 1usize..9, seed: u8) {
            let values: Vec<u8> = (0..w * h).map(|i| (i as u8).wrapping_mul(37) ^ seed).collect();
            let mut file = format!("P5\n{w} {h}\n255\n").into_bytes();
            file.extend(&values);
            prop_assert_eq!(read(&file).unwrap().samples, Samples::U8(values));
        }

        #[test]
        fn hostile_bytes_never_panic(kind in b'1'..=b'7', rest in proptest::collection::vec(
            proptest::sample::select(b"0123456789 \n#WIDTHENDR\x00\xff".to_vec()), 0..60)) {
            let _ = read(&[&[b'P', kind, b'\n'][..], &rest].concat());
        }
    }
}
