//! Cells to stored values (PS3.5 section 8): bits that do not belong masked off, signs extended, colours to RGB.

use dicom_core::VR;
use dicom_dictionary_std::tags;

use super::cells::{Cells, native_cells};
use super::dataset::{DataSet, PixelElement};
use super::header::{Header, Photometric};
use super::{frames, malformed, palette, truncated, unsupported};
use crate::formats::Result;
use crate::image::Samples;
use crate::memory::Room;

/// Stored values with what an image needs to know of them.
pub(super) struct Decoded {
    pub samples: Samples,
    pub components: usize,
    pub bits: u8,
    pub palette: Option<Vec<[u8; 4]>>,
    pub notes: Vec<String>,
}

/// Decodes the pixels of an instance, in memory of `room`.
pub(super) fn decode(header: &Header, data: &DataSet, room: &Room) -> Result<Decoded> {
    let pixels = data.pixels.ok_or_else(|| malformed("no pixel data"))?;
    let mut notes = Vec::new();
    if pixels.tag != tags::PIXEL_DATA {
        let samples = float_values(header, data, pixels, room)?;
        let bits = header.bits_allocated as u8;
        return Ok(Decoded { samples, components: 1, bits, palette: None, notes });
    }
    if !matches!(header.samples_per_pixel, 1 | 3) {
        return Err(unsupported(format!("{} samples per pixel", header.samples_per_pixel)));
    }
    let (mut cells, bits, low, mut photometric) = if pixels.encapsulated {
        let frames = frames::decode(header, data, pixels, (&mut notes, room))?;
        // Where the stream knows its precision it decides; High Bit then has no meaning.
        match frames.precision {
            Some(precision) => (frames.cells, precision, 0, frames.photometric),
            None => (frames.cells, header.bits_stored, low_bit(header), frames.photometric),
        }
    } else {
        let cells = native(header, data, pixels, (&mut notes, room))?;
        (cells, header.bits_stored, low_bit(header), header.photometric.clone())
    };
    if header.samples_per_pixel == 3 {
        if photometric == Photometric::YbrFull || photometric == Photometric::YbrFull422 {
            ybr_to_rgb(&mut cells, bits)?;
            photometric = Photometric::Rgb;
        }
        if photometric != Photometric::Rgb {
            return Err(unsupported(format!("three samples per pixel as {photometric}")));
        }
    }
    let palette = match photometric {
        Photometric::PaletteColor => Some(palette::read(header, data, &mut notes)?),
        _ => None,
    };
    let samples = stored_values(cells, bits, low, header.signed);
    Ok(Decoded { samples, components: header.samples_per_pixel, bits: header.bits_stored as u8, palette, notes })
}

fn low_bit(header: &Header) -> usize {
    header.high_bit + 1 - header.bits_stored
}

/// Native (not encapsulated) pixel data to interleaved cells.
fn native(
    header: &Header,
    data: &DataSet,
    pixels: PixelElement,
    (notes, room): (&mut Vec<String>, &Room),
) -> Result<Cells> {
    let Header { rows, columns, frames, samples_per_pixel: samples, bits_allocated, .. } = *header;
    let halved = header.photometric == Photometric::YbrFull422 && samples == 3;
    if halved && (bits_allocated != 8 || columns % 2 != 0) {
        return Err(unsupported(format!("YBR_FULL_422 of {bits_allocated} bits and {columns} columns")));
    }
    // Two pixels share their chromas: four cells in the place of six.
    let count = rows as u64 * columns as u64 * if halved { 2 } else { samples as u64 };
    let needed = count.saturating_mul(frames as u64).saturating_mul(bits_allocated as u64).div_ceil(8);
    let found = pixels.value.len() as u64;
    if found < needed {
        return Err(truncated("pixel data", needed, found));
    }
    room.take(header.memory(false))?;
    if pixels.declared as u64 > needed + 1 {
        notes.push(format!("{} bytes after the last pixel", pixels.declared as u64 - needed));
    }
    let bytes = &pixels.value[..needed as usize];
    // Words in big endian order hold their two bytes in reverse (PS3.5 8.1.1 and Annex A.3).
    let swapped;
    let bytes = if data.encoding.big_endian && pixels.vr == VR::OW && bits_allocated <= 8 {
        let end = pixels.value.len().min(bytes.len().next_multiple_of(2));
        swapped = swap_bytes(&pixels.value[..end]);
        &swapped[..bytes.len()]
    } else {
        bytes
    };
    let count = count as usize * frames;
    let cells = native_cells(bytes, bits_allocated, count, data.encoding.big_endian)?;
    Ok(match cells {
        Cells::U8(cells) if halved => Cells::U8(spread_chroma(&cells)),
        cells if samples == 1 || !header.planar => cells,
        Cells::U8(cells) => Cells::U8(interleave(&cells, rows * columns, samples)),
        Cells::U16(cells) => Cells::U16(interleave(&cells, rows * columns, samples)),
        Cells::U32(cells) => Cells::U32(interleave(&cells, rows * columns, samples)),
    })
}

fn swap_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    out.as_chunks_mut::<2>().0.iter_mut().for_each(|word| word.swap(0, 1));
    out
}

/// Planes of each frame to pixels.
fn interleave<T: Copy>(cells: &[T], pixels: usize, samples: usize) -> Vec<T> {
    let frame = |f: &[T]| (0..pixels).flat_map(|i| (0..samples).map(move |s| s * pixels + i)).map(|at| f[at]).collect();
    cells.chunks_exact(pixels * samples).flat_map(|f| -> Vec<T> { frame(f) }).collect()
}

/// Y Y Cb Cr for two pixels to Y Cb Cr for each.
fn spread_chroma(cells: &[u8]) -> Vec<u8> {
    cells.as_chunks().0.iter().flat_map(|&[y0, y1, cb, cr]| [y0, cb, cr, y1, cb, cr]).collect()
}

/// Full-range YCbCr to RGB in place (PS3.3 C.7.6.3.1.2, ISO/IEC 10918-5), rounded to the nearest level.
fn ybr_to_rgb(cells: &mut Cells, bits: usize) -> Result<()> {
    let Cells::U8(cells) = cells else {
        return Err(unsupported(format!("YBR_FULL of {bits} bits")));
    };
    for pixel in cells.as_chunks_mut::<3>().0 {
        let [y, cb, cr] = pixel.map(|v| v as f32);
        let (cb, cr) = (cb - 128.0, cr - 128.0);
        let rgb = [y + 1.402 * cr, y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr, y + 1.772 * cb];
        // The cast saturates.
        *pixel = rgb.map(|v| (v + 0.5).floor() as u8);
    }
    Ok(())
}

/// Interprets cells whose value stands in `bits` bits from bit `low` on.
fn stored_values(cells: Cells, bits: usize, low: usize, signed: bool) -> Samples {
    match (cells, signed) {
        (Cells::U8(v), false) => Samples::U8(values(v, 8, bits, low, |v, up, down| v << up >> down)),
        (Cells::U8(v), true) => Samples::I8(values(v, 8, bits, low, |v, up, down| (v << up) as i8 >> down)),
        (Cells::U16(v), false) => Samples::U16(values(v, 16, bits, low, |v, up, down| v << up >> down)),
        (Cells::U16(v), true) => Samples::I16(values(v, 16, bits, low, |v, up, down| (v << up) as i16 >> down)),
        (Cells::U32(v), false) => Samples::U32(values(v, 32, bits, low, |v, up, down| v << up >> down)),
        (Cells::U32(v), true) => Samples::I32(values(v, 32, bits, low, |v, up, down| (v << up) as i32 >> down)),
    }
}

/// Shifts each value up to the top of its cell and down to the bottom, which cuts off what stands around it and extends
/// the sign. The vector is reused.
fn values<T: Copy, U>(
    cells: Vec<T>,
    width: usize,
    bits: usize,
    low: usize,
    shift: impl Fn(T, usize, usize) -> U,
) -> Vec<U> {
    let (up, down) = (width.saturating_sub(bits + low), width.saturating_sub(bits));
    cells.into_iter().map(|v| shift(v, up, down)).collect()
}

/// Float Pixel Data and Double Float Pixel Data (PS3.3 C.7.6.24): parametric maps.
fn float_values(header: &Header, data: &DataSet, pixels: PixelElement, room: &Room) -> Result<Samples> {
    if pixels.encapsulated || header.samples_per_pixel != 1 {
        return Err(unsupported("encapsulated or coloured float pixels"));
    }
    let double = pixels.tag == tags::DOUBLE_FLOAT_PIXEL_DATA;
    let width = if double { 8 } else { 4 };
    let needed =
        (header.rows as u64 * header.columns as u64).saturating_mul(header.frames as u64).saturating_mul(width);
    let found = pixels.value.len() as u64;
    if found < needed {
        return Err(truncated("float pixel data", needed, found));
    }
    room.take(needed)?;
    let bytes = &pixels.value[..needed as usize];
    let big = data.encoding.big_endian;
    Ok(if double {
        let convert = |&b: &[u8; 8]| if big { f64::from_be_bytes(b) } else { f64::from_le_bytes(b) };
        Samples::F64(bytes.as_chunks().0.iter().map(convert).collect())
    } else {
        let convert = |&b: &[u8; 4]| if big { f32::from_be_bytes(b) } else { f32::from_le_bytes(b) };
        Samples::F32(bytes.as_chunks().0.iter().map(convert).collect())
    })
}
