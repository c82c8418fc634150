//! BMP: Windows and OS/2 bitmaps.
//!
//! Specification: Microsoft's `BITMAPINFOHEADER`, `BITMAPV4HEADER` and `BITMAPV5HEADER`; the OS/2 headers as collected
//! in Jason Summers' "BMP Suite" (<https://entropymine.com/jason/bmpsuite/>).
//!
//! In masks the palette index is the label, which rules out `image` 0.25.10: its mode for indices copies bytes as they
//! are packed where a pixel has 1, 2 or 4 bits, and panics where a row has more pixels than bytes. It also pads every
//! palette to 256 colours, stops at a last row without padding and at a palette shorter than the header says, does not
//! know the headers of OS/2 2.x, and rounds 5-bit channels where Pillow truncates them. A test in this file shows each
//! difference.
//!
//! Indices of 1, 2, 4 and 8 bits come with their palette. Channels of 16-bit pixels and of bit fields are stretched to
//! 0–255 by `value * 255 / maximum` with the remainder dropped, as Pillow does; bit fields Pillow refuses are read too.
//!
//! In the wild: rows run from the bottom up unless the height is negative; the palette is shorter than the header says;
//! the fourth byte of 32-bit pixels is garbage unless an alpha mask names it; the last row lacks its padding.

use super::format::{Format, Start};
use super::{Error, Result};
use crate::image::{Image, Samples};
use crate::memory::Room;

const FORMAT: &str = "BMP";

/// Windows bitmap.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["bmp"],
    signature: |head| head.starts_with(b"BM"),
    start: Start::Signature,
    read: |file, _, _| read_within(&file.plain(promise)?, file.room()),
    ..Format::PLAIN
};

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

fn unsupported(feature: String) -> Error {
    Error::Unsupported { format: FORMAT, feature }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// How the pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Packing {
    /// Palette indices of 1, 2, 4 or 8 bits, rows padded to four bytes.
    Indices,
    /// Palette indices in runs, of 4 or 8 bits.
    Runs,
    /// Blue, green, red bytes.
    Bytes,
    /// Channels cut from a word of 16 or 32 bits by masks: red, green, blue, alpha (0: none).
    Fields([u32; 4]),
}

struct Header {
    width: usize,
    height: usize,
    top_down: bool,
    bits: u16,
    packing: Packing,
    palette: Vec<[u8; 4]>,
    /// Position of the pixels in the file.
    pixels: usize,
}

/// Reads a bitmap: indices with their palette, or 3 components (red, green, blue), or 4 where an alpha mask is given.
/// `uint8` always; the top row first.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Truncated`]; [`Error::Unsupported`] for pictures inside (JPEG, PNG), OS/2's Huffman
/// and 24-bit runs, and bitmap arrays.
pub fn read(bytes: &[u8]) -> Result<Image> {
    read_within(bytes, &Room::default())
}

/// Bytes that a file needs at most for the pixels that its header states; `None` where there is no header. Runs may take
/// twice as much.
fn promise(head: &[u8]) -> Option<u64> {
    let header = read_header(head).ok()?;
    let row = (header.width as u64).checked_mul(header.bits.into())?.div_ceil(8) + 4;
    row.checked_mul(header.height as u64)?.checked_mul(2)?.checked_add(header.pixels as u64)
}

fn read_within(bytes: &[u8], room: &Room) -> Result<Image> {
    let header = read_header(bytes)?;
    let Header { width, height, bits, .. } = header;
    let data = bytes.get(header.pixels..).unwrap_or_default();
    let mut notes = Vec::new();
    let (components, mut samples) = match header.packing {
        Packing::Runs => (1, unpack_runs(&header, data, room)?),
        Packing::Indices => {
            let bits = usize::from(bits);
            let mask = (1u16 << bits) - 1;
            let index = |row: &[u8], x: usize| row[x * bits / 8] >> (8 - bits - x * bits % 8) & mask as u8;
            (1, unpack_rows(&header, data, (1, room), |row, out| (0..width).for_each(|x| out[x] = index(row, x)))?)
        }
        Packing::Bytes => {
            let swap = |row: &[u8], out: &mut [u8]| {
                for (bgr, rgb) in row.chunks_exact(3).zip(out.chunks_exact_mut(3)) {
                    rgb.copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
                }
            };
            (3, unpack_rows(&header, data, (3, room), swap)?)
        }
        Packing::Fields(masks) => {
            let fields = masks.map(Field::new);
            let components = if masks[3] == 0 { 3 } else { 4 };
            let step = usize::from(bits / 8);
            let cut = |row: &[u8], out: &mut [u8]| {
                for (pixel, out) in row.chunks_exact(step).zip(out.chunks_exact_mut(components)) {
                    let word = pixel.iter().rev().fold(0u32, |word, &b| word << 8 | u32::from(b));
                    out.iter_mut().zip(&fields).for_each(|(o, field)| *o = field.value(word));
                }
            };
            if fields.iter().any(|f| f.maximum != 255 && f.mask != 0) {
                notes.push(format!("BMP: channels of {bits}-bit pixels are scaled to 0–255"));
            }
            (components, unpack_rows(&header, data, (components, room), cut)?)
        }
    };
    if !header.top_down {
        flip(&mut samples, width * components);
    }
    let mut image = Image::picture(width, height, components, Samples::U8(samples));
    image.notes = notes;
    if components == 1 {
        image.bits = bits as u8;
        image.palette = Some(header.palette);
    }
    Ok(image)
}

fn read_header(bytes: &[u8]) -> Result<Header> {
    match bytes.get(..2) {
        Some(b"BM") => {}
        Some(b"BA") => return Err(unsupported("an OS/2 array of bitmaps".into())),
        Some(found) => return Err(malformed(format!("expected the letters BM, found {}", found.escape_ascii()))),
        None => return Err(malformed("expected the letters BM, found fewer than two bytes".into())),
    }
    let info = bytes.get(14..).unwrap_or_default();
    let size = u32_at(info, 0) as usize;
    if !matches!(size, 12 | 16..=64 | 108 | 124) {
        return Err(malformed(format!("expected an info header of 12, 16 to 64, 108 or 124 bytes, found {size}")));
    }
    if info.len() < size {
        let (expected, found) = (14 + size as u64, bytes.len() as u64);
        return Err(Error::Truncated { format: FORMAT, what: "header".into(), expected, found });
    }
    let after = &info[size..];
    let info = &info[..size];
    let core = size == 12;
    let (width, height) = if core {
        (i64::from(u16_at(info, 4)), i64::from(u16_at(info, 6)))
    } else {
        (i64::from(u32_at(info, 4) as i32), i64::from(u32_at(info, 8) as i32))
    };
    let bits = u16_at(info, if core { 10 } else { 14 });
    let compression = u32_at(info, 16);
    if width < 1 || height == 0 {
        return Err(malformed(format!("{width} x {height} pixels")));
    }

    // OS/2 2.x headers (16 and 64 bytes) share the layout and give other meanings to compressions 3 and 4.
    let os2 = core || size == 16 || size == 64;
    let field_bits = bits == 16 || bits == 32;
    let mut masks_after = 0;
    let packing = match (compression, bits) {
        (0, 1 | 2 | 4 | 8) => Packing::Indices,
        (0, 16) => Packing::Fields([0x7c00, 0x03e0, 0x001f, 0]),
        (0, 24) => Packing::Bytes,
        (0, 32) => Packing::Fields([0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0]),
        (1, 8) | (2, 4) => Packing::Runs,
        (3 | 6, _) if field_bits && !os2 => {
            let source = if size >= 52 { &info[40..] } else { after };
            let with_alpha = size >= 56 || compression == 6;
            masks_after = if size >= 52 { 0 } else { 12 + 4 * usize::from(with_alpha) };
            let alpha = if with_alpha { u32_at(source, 12) } else { 0 };
            Packing::Fields([u32_at(source, 0), u32_at(source, 4), u32_at(source, 8), alpha])
        }
        _ => {
            let name = match (os2, compression) {
                (true, 3) => "Huffman coding (OS/2)",
                (true, 4) => "24-bit run-length encoding (OS/2)",
                (false, 4) => "a JPEG inside",
                (false, 5) => "a PNG inside",
                _ => "an invalid combination of compression and pixel width",
            };
            return Err(unsupported(format!("{name} (compression {compression}, {bits} bits per pixel)")));
        }
    };
    if let Packing::Fields([red, green, blue, alpha]) = packing {
        let masks = [red, green, blue, alpha];
        // The bits of a mask stand together: shifted down, they are one less than a power of two.
        let whole = |mask: u32| {
            let low = mask >> (mask.trailing_zeros() % 32);
            low & low.wrapping_add(1) == 0
        };
        if !masks.into_iter().all(whole) || red == 0 || green == 0 || blue == 0 {
            return Err(malformed(format!("bit fields {red:#x}, {green:#x}, {blue:#x}, {alpha:#x}")));
        }
    }

    let offset = u32_at(bytes, 10) as usize;
    let table = after.get(masks_after..).unwrap_or_default();
    let table_start = 14 + size + masks_after;
    let entry = if core { 3 } else { 4 };
    let mut palette = Vec::new();
    if bits <= 8 {
        let used = if core || size < 36 { 0 } else { u32_at(info, 32) as usize };
        let colours = if used == 0 { 1 << bits } else { used.min(1 << bits) };
        // Writers that store fewer colours than they say let the pixels begin early.
        let room = offset.checked_sub(table_start).map_or(colours, |gap| gap / entry);
        let table = table.chunks_exact(entry).take(colours.min(room));
        palette = table.map(|c| [c[2], c[1], c[0], 255]).collect();
    }
    let pixels = if offset < table_start { table_start + palette.len() * entry } else { offset };
    let height_px = height.unsigned_abs() as usize;
    Ok(Header { width: width as usize, height: height_px, top_down: height < 0, bits, packing, palette, pixels })
}

/// A channel inside a pixel word.
struct Field {
    mask: u32,
    shift: u32,
    maximum: u32,
}

impl Field {
    fn new(mask: u32) -> Self {
        let shift = mask.trailing_zeros() % 32;
        Field { mask, shift, maximum: (mask >> shift).max(1) }
    }

    fn value(&self, word: u32) -> u8 {
        (u64::from((word & self.mask) >> self.shift) * 255 / u64::from(self.maximum)) as u8
    }
}

/// Unpacks rows in file order with `unpack(stored row, values of the row)`.
fn unpack_rows(
    header: &Header,
    data: &[u8],
    (components, room): (usize, &Room),
    unpack: impl Fn(&[u8], &mut [u8]),
) -> Result<Vec<u8>> {
    let used = (header.width * usize::from(header.bits)).div_ceil(8);
    let stride = used.next_multiple_of(4);
    let need = (header.height - 1) as u64 * stride as u64 + used as u64;
    if need > data.len() as u64 {
        let found = data.len() as u64;
        return Err(Error::Truncated { format: FORMAT, what: "pixels".into(), expected: need, found });
    }
    let width = header.width * components;
    let mut out = room.zeros(header.height * width)?;
    for (row, out) in data.chunks(stride).zip(out.chunks_exact_mut(width)) {
        unpack(&row[..used], out);
    }
    Ok(out)
}

/// Undoes RLE4 and RLE8. Pixels that the runs skip are index 0.
fn unpack_runs(header: &Header, data: &[u8], room: &Room) -> Result<Vec<u8>> {
    let (width, height) = (header.width, header.height);
    let pixels = width.saturating_mul(height);
    // A pair of bytes gives 255 pixels, and an early end leaves the rest 0: allow that for ordinary pictures only.
    if pixels > (1 << 26) + data.len().saturating_mul(128) {
        return Err(malformed(format!("{width} x {height} pixels from {} bytes of runs", data.len())));
    }
    let mut out = room.zeros::<u8>(pixels)?;
    let (mut x, mut y) = (0, 0);
    let mut put = |x: &mut usize, y: usize, index: u8| {
        if *x < width && y < height {
            out[y * width + *x] = index;
        }
        *x += 1;
    };
    let nibbles = header.bits == 4;
    let mut bytes = data.iter().copied();
    while y < height {
        let (Some(first), Some(second)) = (bytes.next(), bytes.next()) else {
            let (expected, found) = (height as u64, y as u64);
            return Err(Error::Truncated { format: FORMAT, what: "runs (rows, not bytes)".into(), expected, found });
        };
        match (first, second) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => {
                x += usize::from(bytes.next().unwrap_or(0));
                y += usize::from(bytes.next().unwrap_or(0));
            }
            (0, count) => {
                let count = usize::from(count);
                let stored = if nibbles { count.div_ceil(2) } else { count };
                let literal: Vec<u8> = bytes.by_ref().take(stored.next_multiple_of(2)).collect();
                for i in 0..count {
                    let byte = literal.get(if nibbles { i / 2 } else { i }).copied().unwrap_or(0);
                    put(&mut x, y, if nibbles { byte >> (4 - 4 * (i % 2)) & 15 } else { byte });
                }
            }
            (count, byte) => {
                for i in 0..count {
                    put(&mut x, y, if nibbles { byte >> (4 - 4 * (i % 2)) & 15 } else { byte });
                }
            }
        }
        // The last row needs no end-of-line mark: the data may simply stop once it is full.
        if x >= width && y + 1 == height && bytes.len() < 2 {
            break;
        }
    }
    Ok(out)
}

fn flip(samples: &mut [u8], row: usize) {
    let rows = samples.len() / row;
    let (upper, lower) = samples.split_at_mut(rows / 2 * row);
    for (a, b) in upper.chunks_exact_mut(row).zip(lower.chunks_exact_mut(row).rev()) {
        a.swap_with_slice(b);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::image::{ImageDecoder, codecs::bmp::BmpDecoder};
    use proptest::prelude::*;

    use super::*;

    /// A file of a Windows 3 header, what follows it (masks, palette), and pixels.
    fn bitmap(width: i32, height: i32, bits: u16, compression: u32, table: &[u8], pixels: &[u8]) -> Vec<u8> {
        let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
        file.extend((54 + table.len() as u32).to_le_bytes());
        file.extend(40u32.to_le_bytes());
        file.extend(width.to_le_bytes());
        file.extend(height.to_le_bytes());
        file.extend([1, 0]);
        file.extend(bits.to_le_bytes());
        file.extend(compression.to_le_bytes());
        file.extend([0; 20]);
        file.extend(table);
        file.extend(pixels);
        file
    }

    const TWO_COLOURS: &[u8] = &[0, 0, 0, 0, 30, 20, 10, 0];

    #[test]
    fn one_bit_indices_keep_their_palette() {
        let image = read(&bitmap(3, 2, 1, 0, TWO_COLOURS, &[0b1010_0000, 0, 0, 0, 0b0110_0000])).unwrap();
        assert_eq!((image.size, image.bits, image.components), ([3, 2, 1, 1], 1, 1));
        assert_eq!(image.samples, Samples::U8(vec![0, 1, 1, 1, 0, 1]), "bottom row first in the file");
        assert_eq!(image.palette, Some(vec![[0, 0, 0, 255], [10, 20, 30, 255]]));
    }

    #[test]
    fn negative_height_is_top_down() {
        let image = read(&bitmap(1, -2, 24, 0, &[], &[3, 2, 1, 0, 6, 5, 4, 0])).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn four_bit_runs_with_delta_and_literals() {
        let runs = [3, 0x12, 0, 0, 0, 2, 1, 0, 2, 0x33, 0, 0, 0, 3, 0x45, 0x60, 0, 1];
        let image = read(&bitmap(3, 3, 4, 2, TWO_COLOURS, &runs)).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![4, 5, 6, 0, 3, 3, 1, 2, 1]));
        assert_eq!(image.bits, 4);
    }

    #[test]
    fn eight_bit_runs_may_end_early() {
        let image = read(&bitmap(2, 2, 8, 1, TWO_COLOURS, &[2, 7, 0, 1])).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![0, 0, 7, 7]));
    }

    #[test]
    fn sixteen_bit_channels_are_stretched() {
        let image = read(&bitmap(2, 1, 16, 0, &[], &[0xff, 0x7f, 0x01, 0x00])).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![255, 255, 255, 0, 0, 8]));
        let masks = [0x00, 0xf8, 0, 0, 0xe0, 0x07, 0, 0, 0x1f, 0, 0, 0];
        let image = read(&bitmap(1, 1, 16, 3, &masks, &[0x20, 0xf8])).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![255, 4, 0]));
        assert!(image.notes[0].contains("scaled to 0–255"));
    }

    #[test]
    fn fourth_byte_is_alpha_only_under_a_mask() {
        let pixel = [3, 2, 1, 9];
        assert_eq!(read(&bitmap(1, 1, 32, 0, &[], &pixel)).unwrap().samples, Samples::U8(vec![1, 2, 3]));
        let masks = [0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255];
        assert_eq!(read(&bitmap(1, 1, 32, 6, &masks, &pixel)).unwrap().samples, Samples::U8(vec![1, 2, 3, 9]));
    }

    #[test]
    fn os2_core_header_has_three_byte_colours() {
        let mut file = b"BM\0\0\0\0\0\0\0\0".to_vec();
        file.extend(32u32.to_le_bytes());
        file.extend([12, 0, 0, 0, 2, 0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 4, 5, 6, 0x40, 0, 0, 0]);
        let image = read(&file).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![0, 1]));
        assert_eq!(image.palette, Some(vec![[3, 2, 1, 255], [6, 5, 4, 255]]));
    }

    /// Width, height and samples by the `image` crate, palettes as indices.
    fn read_by_image(file: &[u8]) -> ::image::ImageResult<(u32, u32, Vec<u8>)> {
        let mut decoder = BmpDecoder::new(Cursor::new(file))?;
        decoder.set_indexed_color(decoder.get_palette().is_some());
        let (width, height) = decoder.dimensions();
        let mut samples = vec![0; decoder.total_bytes() as usize];
        decoder.read_image(&mut samples)?;
        Ok((width, height, samples))
    }

    #[test]
    fn ordinary_files_are_read_as_the_image_crate_reads_them() {
        let grey: Vec<u8> = (0..=255).flat_map(|v| [v, v, v, 0]).collect();
        for (width, bits, table) in [(4, 8, &grey[..]), (3, 24, &[]), (5, 32, &[])] {
            let stride = (width as usize * usize::from(bits)).div_ceil(32) * 4;
            let pixels: Vec<u8> = (0..3 * stride as u8).collect();
            let file = bitmap(width, 3, bits, 0, table, &pixels);
            let image = read(&file).unwrap();
            let (_, _, samples) = read_by_image(&file).unwrap();
            assert_eq!(image.samples, Samples::U8(samples), "{bits} bits");
        }
    }

    #[test]
    fn what_the_image_crate_reads_otherwise_or_not_at_all() {
        // Four pixels in two bytes, which it copies with the two bytes behind them.
        let packed = bitmap(4, 1, 4, 0, TWO_COLOURS, &[0x10, 0x01, 0, 0]);
        assert_eq!(read(&packed).unwrap().samples, Samples::U8(vec![1, 0, 0, 1]));
        let mut by_image = bitmap(4, 1, 4, 0, &[0; 64], &[0x10, 0x01, 0, 0]);
        assert_eq!(read_by_image(&by_image).unwrap().2, [0x10, 0x01, 0, 0]);
        assert_eq!(BmpDecoder::new(Cursor::new(&by_image)).unwrap().get_palette().unwrap().len(), 256);
        // Nine pixels in eight bytes.
        by_image[18] = 9;
        by_image.extend([0; 4]);
        assert_eq!(read(&by_image).unwrap().samples.len(), 9);
        assert!(std::panic::catch_unwind(|| read_by_image(&by_image).is_ok()).is_err());

        let unpadded = bitmap(1, 2, 24, 0, &[], &[3, 2, 1, 0, 6, 5, 4]);
        assert_eq!(read(&unpadded).unwrap().samples, Samples::U8(vec![4, 5, 6, 1, 2, 3]));
        assert!(read_by_image(&unpadded).is_err());
        let short_palette = bitmap(2, 1, 8, 0, TWO_COLOURS, &[0, 1, 0, 0]);
        assert_eq!(read(&short_palette).unwrap().palette.unwrap().len(), 2);
        assert!(read_by_image(&short_palette).is_err());
        let mut os2 = bitmap(1, 1, 24, 0, &[0; 24], &[3, 2, 1, 0]);
        os2[14] = 64;
        assert_eq!(read(&os2).unwrap().samples, Samples::U8(vec![1, 2, 3]));
        assert!(read_by_image(&os2).is_err());
        let deep = bitmap(1, 1, 16, 0, &[], &[0x03, 0, 0, 0]);
        assert_eq!(read(&deep).unwrap().samples, Samples::U8(vec![0, 0, 24]));
        assert_eq!(read_by_image(&deep).unwrap().2, [0, 0, 25]);
    }

    #[test]
    fn broken_files_are_errors_that_say_what_is_wrong() {
        for (file, message) in [
            (bitmap(9, 9, 24, 0, &[], &[0; 20]), "pixels needs 251 bytes, found 20"),
            (bitmap(i32::MAX, i32::MAX, 32, 0, &[], &[0; 20]), "pixels needs"),
            (bitmap(i32::MAX, i32::MAX, 8, 1, &[], &[0; 20]), "of runs"),
            (bitmap(2, 2, 8, 1, &[], &[2, 7]), "runs (rows"),
            (bitmap(0, 1, 24, 0, &[], &[]), "0 x 1"),
            (bitmap(1, 1, 24, 4, &[], &[]), "JPEG inside"),
            (bitmap(1, 1, 16, 3, &[5, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0], &[]), "bit fields"),
            (b"BM".to_vec(), "info header"),
            (b"PNG".to_vec(), "letters BM"),
        ] {
            let error = read(&file).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(
            width in -3i32..70, height in -9i32..9, bits in prop::sample::select(vec![0u16, 1, 2, 4, 8, 16, 24, 32, 64]),
            compression in 0u32..8, tail in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..60, value: u8,
        ) {
            let mut file = bitmap(width, height, bits, compression, &tail[..tail.len() / 2], &tail[tail.len() / 2..]);
            let _ = read(&file);
            if at < file.len() { file[at] = value; }
            let _ = read(&file);
            let _ = read(&file[..at.min(file.len())]);
        }
    }
}
