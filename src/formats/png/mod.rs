//! PNG.
//!
//! Specification: <https://www.w3.org/TR/png-3/>. Decoded by the `png` crate with every transformation off, so that
//! samples come as stored: a 1-bit picture gives 0 and 1, a 4-bit one 0 to 15, and a palette picture its indices. The
//! `image` crate turns palettes into colours and 1-bit masks into 0 and 255.
//!
//! In the wild: masks of one bit, with or without a palette; 16-bit masks whose values are labels; a `tRNS` chunk;
//! `pHYs`, which speaks of print and not of patients and is therefore not used as spacing (a note gives it); animated
//! files, of which the default image is read.
//!
//! Speed, a second and core: about 200 MB of 8-bit samples of natural pictures, 1.9 billion pixels of 1-bit masks,
//! which are bound by the unpacking to a byte a pixel.

mod probe;

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations, Unit};

use super::format::{Format, Start};
use super::{Error, Result, ifd};
use crate::image::{Image, Samples};
use crate::memory::Room;

const FORMAT: &str = "PNG";

/// PNG.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["png"],
    // The other four bytes are damaged where a file was transferred as text: the reader and the probe say so.
    signature: |head| head.starts_with(b"\x89PNG"),
    start: Start::Signature,
    read: |file, _, _| read_within(&file.plain(promise)?, file.room()),
    probe: Some(probe::probe),
    ..Format::PLAIN
};

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

/// Reads a picture: `uint8` of 1, 2, 4 or 8 `bits`, or `uint16`; 1 to 4 components. Palette pictures have one component
/// and their palette, with `tRNS` as alpha.
///
/// # Errors
/// [`Error::Truncated`] where the pixels end early, [`Error::Malformed`] for all else, checksums included.
pub fn read(bytes: &[u8]) -> Result<Image> {
    read_within(bytes, &Room::default())
}

/// Bytes that a file needs at most for the pixels that its header states, were they not compressed: by its first chunk,
/// which is at a fixed place.
fn promise(head: &[u8]) -> Option<u64> {
    let number = |at: usize| head.get(at..at + 4).map(|b| u64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
    let (width, height) = (number(16)?, number(20)?);
    // Four components of 16 bits, and a byte for the filter.
    width.checked_mul(8)?.checked_add(1)?.checked_mul(height)
}

/// As [`read`], in memory of `room`.
pub(crate) fn read_within(bytes: &[u8], room: &Room) -> Result<Image> {
    let error = |e: DecodingError| match e {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Error::Truncated {
            format: FORMAT,
            what: "data up to the last row".into(),
            expected: bytes.len() as u64 + 1,
            found: bytes.len() as u64,
        },
        other => malformed(other.to_string()),
    };
    // Text and colour profiles are not wanted, and rows are checked below.
    let most = usize::try_from(room.left()).unwrap_or(usize::MAX);
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: most });
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(error)?;
    let (width, height, depth) = (info.width as usize, info.height as usize, info.bit_depth);
    let components = info.color_type.samples();
    let row_bytes = (width * components * depth as usize).div_ceil(8);
    // Deflate gives at most 1032 bytes for one.
    if (row_bytes + 1) as u128 * height as u128 > 1032 * bytes.len() as u128 {
        return Err(malformed(format!("{width} x {height} pixels cannot be stored in {} bytes", bytes.len())));
    }
    let held = room.held();
    let mut packed = room.zeros::<u8>(row_bytes * height)?;
    let mut reader = decoder.read_info().map_err(error)?;
    reader.next_frame(&mut packed).map_err(error)?;

    let samples = match depth {
        BitDepth::Eight => Samples::U8(packed),
        BitDepth::Sixteen => {
            let values = packed.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]));
            Samples::U16(room.collect(packed.len() / 2, values)?)
        }
        // Only grey and palette pictures are narrower than a byte: one component.
        BitDepth::One | BitDepth::Two | BitDepth::Four => Samples::U8(unpack(&packed, width, depth as usize, room)?),
    };
    room.back_to(held + samples.bytes());
    let mut image = Image::picture(width, height, components, samples);
    image.bits = depth as u8;
    let info = reader.info();
    if info.color_type == ColorType::Indexed {
        let colours = info.palette.as_deref().unwrap_or_default();
        let alpha = info.trns.as_deref().unwrap_or_default();
        let rgba = |(i, c): (usize, &[u8])| [c[0], c[1], c[2], alpha.get(i).copied().unwrap_or(255)];
        image.palette = Some(colours.chunks_exact(3).enumerate().map(rgba).collect());
    } else if let Some(key) = &info.trns {
        // The `png` crate has already cut the values of up to 8 bits to a byte.
        let key: Vec<u16> = match depth {
            BitDepth::Sixteen => key.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect(),
            _ => key.iter().copied().map(u16::from).collect(),
        };
        let key = key.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        image.notes.push(format!("PNG: tRNS declares the value {key} transparent; the value is kept"));
    }
    if let Some(orientation) = info.exif_metadata.as_deref().and_then(ifd::exif_orientation) {
        image.meaning.orientation = Some(orientation);
        image
            .notes
            .push(format!("PNG: EXIF orientation {orientation} is not applied; viewers rotate or mirror the image"));
    }
    if let Some(dimensions) = info.pixel_dims.filter(|d| d.unit == Unit::Meter) {
        let (x, y) = (dimensions.xppu, dimensions.yppu);
        image.notes.push(format!("PNG: pHYs states {x} x {y} pixels per metre; not used as spacing"));
    }
    if let Some(animation) = info.animation_control {
        image.notes.push(format!("PNG: animated with {} frames; only the default image is read", animation.num_frames));
    }
    Ok(image)
}

/// One value a byte from rows of 1, 2 or 4 bits, the leftmost pixel in the highest bits. Rows are padded to bytes.
fn unpack(packed: &[u8], width: usize, bits: usize, room: &Room) -> Result<Vec<u8>> {
    let per_byte = 8 / bits;
    let mask = (1u8 << bits) - 1;
    let row_bytes = width.div_ceil(per_byte);
    let mut out = room.zeros(packed.len() / row_bytes * width)?;
    for (row, out) in packed.chunks_exact(row_bytes).zip(out.chunks_exact_mut(width)) {
        for (&byte, out) in row.iter().zip(out.chunks_mut(per_byte)) {
            for (i, value) in out.iter_mut().enumerate() {
                *value = byte >> (8 - bits - i * bits) & mask;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file made by the `png` crate's encoder, with any further chunk asked for.
    fn encode(
        [width, height]: [u32; 2],
        color: ColorType,
        depth: BitDepth,
        data: &[u8],
        more: impl Fn(&mut png::Encoder<&mut Vec<u8>>),
    ) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        more(&mut encoder);
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        file
    }

    #[test]
    fn one_bit_stays_zero_and_one() {
        let file = encode([9, 2], ColorType::Grayscale, BitDepth::One, &[0xaa, 0x80, 0x55, 0], |_| {});
        let image = read(&file).unwrap();
        assert_eq!((image.size, image.bits, image.palette.is_none()), ([9, 2, 1, 1], 1, true));
        assert_eq!(image.samples, Samples::U8(vec![1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]));
    }

    #[test]
    fn palette_pictures_keep_their_indices() {
        let file = encode([3, 1], ColorType::Indexed, BitDepth::Four, &[0x12, 0x00], |e| {
            e.set_palette(&[1, 2, 3, 4, 5, 6, 7, 8, 9][..]);
            e.set_trns(&[255, 7][..]);
        });
        let image = read(&file).unwrap();
        assert_eq!((image.bits, image.samples), (4, Samples::U8(vec![1, 2, 0])));
        assert_eq!(image.palette, Some(vec![[1, 2, 3, 255], [4, 5, 6, 7], [7, 8, 9, 255]]));
    }

    #[test]
    fn sixteen_bits_and_alpha_are_kept() {
        let file = encode([1, 1], ColorType::GrayscaleAlpha, BitDepth::Sixteen, &[1, 2, 3, 4], |_| {});
        let image = read(&file).unwrap();
        assert_eq!((image.components, image.bits), (2, 16));
        assert_eq!(image.samples, Samples::U16(vec![0x0102, 0x0304]));
    }

    #[test]
    fn print_resolution_and_transparent_values_are_only_noted() {
        let file = encode([1, 1], ColorType::Grayscale, BitDepth::Eight, &[5], |e| {
            e.set_pixel_dims(Some(png::PixelDimensions { xppu: 2835, yppu: 2835, unit: Unit::Meter }));
            e.set_trns(&[0, 5][..]);
        });
        let image = read(&file).unwrap();
        assert_eq!((image.geometry, image.components), (None, 1));
        assert!(image.notes[0].contains("value 5 transparent") && image.notes[1].contains("2835 x 2835"));
    }

    #[test]
    fn animations_give_their_default_image() {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 1, 1);
        encoder.set_animated(2, 0).unwrap();
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[7]).unwrap();
        writer.write_image_data(&[9]).unwrap();
        writer.finish().unwrap();
        let image = read(&file).unwrap();
        assert_eq!((image.size[2], image.samples), (1, Samples::U8(vec![7])));
        assert!(image.notes[0].contains("2 frames"));
    }

    #[test]
    fn broken_files_are_errors() {
        let data: Vec<u8> = (0..=255).cycle().map(|v: u8| v.wrapping_mul(v)).take(64 * 64).collect();
        let file = encode([64, 64], ColorType::Grayscale, BitDepth::Eight, &data, |_| {});
        for cut in [0, 7, 20, 40, file.len() / 2, file.len() - 30] {
            assert!(read(&file[..cut]).is_err(), "cut at {cut}");
        }
        assert!(matches!(read(&file[..file.len() / 2]), Err(Error::Truncated { .. })));
        let mut wrong = file.clone();
        wrong[file.len() / 2] ^= 1;
        assert!(read(&wrong).is_err(), "a changed bit breaks the checksum");
        let mut huge = encode([1, 1], ColorType::Grayscale, BitDepth::Eight, &[0], |_| {});
        huge[16..24].copy_from_slice(&[0x7f; 8]);
        assert!(read(&huge).is_err());
    }

    proptest! {
        #[test]
        fn unpack_inverts_packing(bits in prop::sample::select(vec![1usize, 2, 4]), width in 1usize..20, rows in 1usize..4) {
            let values: Vec<u8> = (0..width * rows).map(|i| (i * 7 % (1 << bits)) as u8).collect();
            let mut packed = Vec::new();
            for row in values.chunks(width) {
                packed.extend(row.chunks(8 / bits).map(|c| {
                    c.iter().enumerate().fold(0u8, |byte, (i, v)| byte | v << (8 - bits - i * bits))
                }));
            }
            prop_assert_eq!(unpack(&packed, width, bits, &Room::default()).unwrap(), values);
        }

        #[test]
        fn changed_bytes_never_panic(at in 0usize..400, value: u8, cut in 0usize..400) {
            let mut file = encode([8, 8], ColorType::Indexed, BitDepth::Two, &[0x1b; 16], |e| {
                e.set_palette(&[0; 12][..]);
            });
            let at = at % file.len();
            file[at] = value;
            let _ = read(&file);
            let _ = read(&file[..cut.min(file.len())]);
        }
    }
}
