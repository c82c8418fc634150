//! Pixel cells as they are allocated (PS3.5 section 8.1), which frames are decoded to and stored values are read from.

use super::{malformed, unsupported};
use crate::formats::Result;

/// Cells of one width, before their bits are interpreted.
#[derive(Debug)]
pub(super) enum Cells {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
}

/// Cells from bytes of exactly the right length.
pub(super) fn native_cells(bytes: &[u8], bits_allocated: usize, count: usize, big_endian: bool) -> Result<Cells> {
    Ok(match (bits_allocated, big_endian) {
        (1, _) => Cells::U8(unpack_bits(bytes, count)),
        (8, _) => Cells::U8(bytes.to_vec()),
        (16, false) => Cells::U16(bytes.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b)).collect()),
        (16, true) => Cells::U16(bytes.as_chunks().0.iter().map(|&b| u16::from_be_bytes(b)).collect()),
        (32, false) => Cells::U32(bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect()),
        (32, true) => Cells::U32(bytes.as_chunks().0.iter().map(|&b| u32::from_be_bytes(b)).collect()),
        _ => return Err(unsupported(format!("integer pixels of {bits_allocated} bits"))),
    })
}

/// Bits to one value a byte; the first pixel is the lowest bit.
pub(super) fn unpack_bits(bytes: &[u8], count: usize) -> Vec<u8> {
    let mut out = vec![0; bytes.len() * 8];
    for (eight, &byte) in out.as_chunks_mut::<8>().0.iter_mut().zip(bytes) {
        *eight = std::array::from_fn(|bit| byte >> bit & 1);
    }
    out.truncate(count);
    out
}

/// Adds the cells of a frame to those before it.
pub(super) fn append(all: &mut Cells, frame: Cells) -> Result<()> {
    match (all, frame) {
        (Cells::U8(all), Cells::U8(mut frame)) => all.append(&mut frame),
        (Cells::U16(all), Cells::U16(mut frame)) => all.append(&mut frame),
        (Cells::U32(all), Cells::U32(mut frame)) => all.append(&mut frame),
        _ => return Err(malformed("frames of different precision")),
    }
    Ok(())
}
