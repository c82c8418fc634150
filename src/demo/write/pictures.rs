//! Containers of pictures: PNG, JPEG, BMP, TIFF, GIF, Netpbm.
//!
//! The encoders of `image` 0.25.10 are not used: they quantise the colours of a GIF, write one page of TIFF,
//! uncompressed and without signed integers, and no PNG of 1 bit or with a palette. BMP and Netpbm would remain, which
//! are forty lines here; the crate and its colour management take 44 s of processor time of a release build. In tests
//! it reads what is written here.

use std::io::{self, Cursor, Write};

use tiff::encoder::colortype as tiff_type;
use tiff::encoder::{Compression, TiffEncoder, TiffValue};

use super::{invalid, require};
use crate::image::{Image, Samples, Scaling};

/// One page, without a rescale.
fn page(image: &Image, container: &str) -> io::Result<[usize; 2]> {
    let [width, height, depth, frames] = image.size;
    require(depth * frames == 1 && image.scaling == Scaling::IDENTITY, container, "one page as stored", image)?;
    Ok([width, height])
}

fn bytes<'a>(image: &'a Image, container: &str) -> io::Result<&'a [u8]> {
    match &image.samples {
        Samples::U8(v) => Ok(v),
        _ => Err(invalid(format!("{container} holds 8-bit samples, these are {}", image.samples.dtype()))),
    }
}

/// PNG, packed to as few bits as the image says.
pub(super) fn png(image: &Image) -> io::Result<Vec<u8>> {
    let [width, height] = page(image, "PNG")?;
    let color = match (image.components, &image.palette) {
        (1, Some(_)) => png::ColorType::Indexed,
        (1, None) => png::ColorType::Grayscale,
        (2, None) => png::ColorType::GrayscaleAlpha,
        (3, None) => png::ColorType::Rgb,
        (4, None) => png::ColorType::Rgba,
        _ => return Err(invalid("PNG holds 1 to 4 components, and a palette for one")),
    };
    let (depth, data) = match (&image.samples, image.bits) {
        (Samples::U8(v), 8) => (png::BitDepth::Eight, v.clone()),
        (Samples::U8(v), 1) => (png::BitDepth::One, packed(v, width * image.components, 1)),
        (Samples::U8(v), 2) => (png::BitDepth::Two, packed(v, width * image.components, 2)),
        (Samples::U8(v), 4) => (png::BitDepth::Four, packed(v, width * image.components, 4)),
        (Samples::U16(v), _) => (png::BitDepth::Sixteen, v.iter().flat_map(|x| x.to_be_bytes()).collect()),
        _ => return Err(invalid("PNG holds 1, 2, 4, 8 or 16 bits, unsigned")),
    };
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if let Some(palette) = &image.palette {
        encoder.set_palette(palette.iter().flat_map(|c| [c[0], c[1], c[2]]).collect::<Vec<_>>());
        if palette.iter().any(|c| c[3] < 255) {
            encoder.set_trns(palette.iter().map(|c| c[3]).collect::<Vec<_>>());
        }
    }
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(&data).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    Ok(out)
}

/// Rows of values of `bits` bits, the first in the highest bits, each row in whole bytes.
fn packed(values: &[u8], row: usize, bits: u8) -> Vec<u8> {
    let per_byte = usize::from(8 / bits);
    let mask = (1u8 << bits) - 1;
    let pack = |chunk: &[u8]| {
        let place = |(i, v): (usize, &u8)| (v & mask) << (8 - bits as usize * (i + 1));
        chunk.iter().enumerate().map(place).fold(0, |byte, v| byte | v)
    };
    values.chunks(row).flat_map(|row| row.chunks(per_byte).map(pack)).collect()
}

/// JPEG of quality 90.
pub(super) fn jpeg(image: &Image) -> io::Result<Vec<u8>> {
    let [width, height] = page(image, "JPEG")?;
    let data = bytes(image, "JPEG")?;
    let space = match (image.components, &image.palette) {
        (1, None) => mozjpeg::ColorSpace::JCS_GRAYSCALE,
        (3, None) => mozjpeg::ColorSpace::JCS_RGB,
        _ => return Err(invalid("JPEG holds grey and RGB")),
    };
    let mut compress = mozjpeg::Compress::new(space);
    compress.set_fastest_defaults();
    compress.set_size(width, height);
    compress.set_quality(90.0);
    let mut started = compress.start_compress(Vec::new())?;
    started.write_scanlines(data)?;
    started.finish()
}

/// BMP, rows from the bottom up: 8 bits with a palette (of greys where the image has none), or 24.
pub(super) fn bmp(image: &Image) -> io::Result<Vec<u8>> {
    let [width, height] = page(image, "BMP")?;
    let data = bytes(image, "BMP")?;
    let palette: Vec<[u8; 4]> = match (image.components, &image.palette) {
        (1, Some(palette)) => palette.clone(),
        (1, None) => (0..=255).map(|v| [v, v, v, 255]).collect(),
        (3, None) => Vec::new(),
        _ => return Err(invalid("BMP holds grey, palettes and RGB")),
    };
    let padding = (width * image.components).next_multiple_of(4) - width * image.components;
    let offset = 14 + 40 + 4 * palette.len();
    let size = offset + (width * image.components + padding) * height;
    let mut out = Vec::with_capacity(size);
    out.extend(b"BM");
    for field in [size as u32, 0, offset as u32, 40, width as u32, height as u32] {
        out.extend(field.to_le_bytes());
    }
    out.extend(1u16.to_le_bytes());
    out.extend((8 * image.components as u16).to_le_bytes());
    for field in [0, 0, 0, 0, palette.len() as u32, 0] {
        out.extend(field.to_le_bytes());
    }
    out.extend(palette.iter().flat_map(|&[r, g, b, _]| [b, g, r, 0]));
    for row in data.chunks(width * image.components).rev() {
        match image.components {
            1 => out.extend(row),
            _ => out.extend(row.chunks(3).flat_map(|c| [c[2], c[1], c[0]])),
        }
        out.extend(std::iter::repeat_n(0, padding));
    }
    Ok(out)
}

/// TIFF, a page for each z.
pub(super) fn tiff(image: &Image, compressed: bool) -> io::Result<Vec<u8>> {
    let plain = image.size[3] == 1 && image.scaling == Scaling::IDENTITY && image.palette.is_none();
    require(plain, "TIFF", "pages as stored, without a palette", image)?;
    match (&image.samples, image.components) {
        (Samples::U8(v), 1) => pages::<tiff_type::Gray8>(image, v, compressed),
        (Samples::I8(v), 1) => pages::<tiff_type::GrayI8>(image, v, compressed),
        (Samples::U16(v), 1) => pages::<tiff_type::Gray16>(image, v, compressed),
        (Samples::I16(v), 1) => pages::<tiff_type::GrayI16>(image, v, compressed),
        (Samples::U32(v), 1) => pages::<tiff_type::Gray32>(image, v, compressed),
        (Samples::I32(v), 1) => pages::<tiff_type::GrayI32>(image, v, compressed),
        (Samples::U64(v), 1) => pages::<tiff_type::Gray64>(image, v, compressed),
        (Samples::I64(v), 1) => pages::<tiff_type::GrayI64>(image, v, compressed),
        (Samples::F32(v), 1) => pages::<tiff_type::Gray32Float>(image, v, compressed),
        (Samples::F64(v), 1) => pages::<tiff_type::Gray64Float>(image, v, compressed),
        (Samples::U8(v), 3) => pages::<tiff_type::RGB8>(image, v, compressed),
        (Samples::U16(v), 3) => pages::<tiff_type::RGB16>(image, v, compressed),
        (Samples::U8(v), 4) => pages::<tiff_type::RGBA8>(image, v, compressed),
        _ => Err(invalid("TIFF holds grey, RGB of 8 and 16 bits, and RGBA of 8")),
    }
}

fn pages<C: tiff_type::ColorType>(image: &Image, values: &[C::Inner], compressed: bool) -> io::Result<Vec<u8>>
where
    [C::Inner]: TiffValue,
{
    let [width, height, ..] = image.size;
    let mut out = Cursor::new(Vec::new());
    let compression = if compressed { Compression::Lzw } else { Compression::Uncompressed };
    let mut write = || {
        let mut encoder = TiffEncoder::new(&mut out)?.with_compression(compression);
        for page in values.chunks(width * height * image.components) {
            encoder.write_image::<C>(width as u32, height as u32, page)?;
        }
        tiff::TiffResult::Ok(())
    };
    write().map_err(io::Error::other)?;
    Ok(out.into_inner())
}

/// GIF of one frame.
pub(super) fn gif(image: &Image) -> io::Result<Vec<u8>> {
    let [width, height] = page(image, "GIF")?;
    let data = bytes(image, "GIF")?;
    require(image.components == 1, "GIF", "one component", image)?;
    let side = |n| u16::try_from(n).map_err(|_| invalid(format!("GIF: a side of {n} pixels")));
    let (width, height) = (side(width)?, side(height)?);
    let colours: Vec<u8> = match &image.palette {
        Some(palette) => palette.iter().flat_map(|c| [c[0], c[1], c[2]]).collect(),
        None => (0..=255).flat_map(|v| [v; 3]).collect(),
    };
    let mut out = Vec::new();
    let mut encoder = gif::Encoder::new(&mut out, width, height, &colours).map_err(io::Error::other)?;
    let frame = gif::Frame { width, height, buffer: data.into(), ..gif::Frame::default() };
    encoder.write_frame(&frame).map_err(io::Error::other)?;
    drop(encoder);
    Ok(out)
}

/// Netpbm: `P5` or `P6`, 16-bit samples with the high byte first.
pub(super) fn pnm(image: &Image) -> io::Result<Vec<u8>> {
    let [width, height] = page(image, "Netpbm")?;
    let kind = match (image.components, &image.palette) {
        (1, None) => "P5",
        (3, None) => "P6",
        _ => return Err(invalid("Netpbm holds grey and RGB")),
    };
    let (highest, data) = match &image.samples {
        Samples::U8(v) => (255, v.clone()),
        Samples::U16(v) => (65535, v.iter().flat_map(|x| x.to_be_bytes()).collect()),
        other => return Err(invalid(format!("Netpbm holds 8 and 16 bits, unsigned; these are {}", other.dtype()))),
    };
    let mut out = Vec::new();
    write!(out, "{kind}\n{width} {height}\n{highest}\n")?;
    out.extend(data);
    Ok(out)
}
