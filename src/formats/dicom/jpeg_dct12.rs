//! Extended sequential JPEG of 12 bits (ISO/IEC 10918-1 Annex F, process 4), one grey component: what DICOM calls
//! JPEG Extended, in old angiography and nuclear medicine.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use super::cells::Cells;
use super::jpeg_stream::{Bits, Frame, Huffman, Scan, Stream};
use super::{malformed, unsupported};
use crate::formats::Result;

/// Position in an 8 × 8 block, row-major, of each coefficient in the order of the stream.
#[rustfmt::skip]
const ZIGZAG: [usize; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Decodes the only scan of a grey frame.
pub(super) fn decode(stream: &mut Stream, frame: &Frame, scan: &Scan) -> Result<Cells> {
    let ([component], [(_, dc, ac)]) = (&frame.components[..], &scan.components[..]) else {
        return Err(unsupported("12-bit JPEG of more than one component"));
    };
    let missing = || malformed("12-bit JPEG: a table is missing");
    let quantisation = stream.quantisation[component.quantisation].as_ref().ok_or_else(missing)?;
    let dc = stream.dc[*dc].as_ref().ok_or_else(missing)?;
    let ac = stream.ac[*ac].as_ref().ok_or_else(missing)?;
    let basis = basis();
    // A scan of one component is made of single blocks whatever the sampling factors (A.2.2).
    let (across, down) = (frame.columns.div_ceil(8), frame.rows.div_ceil(8));
    let mut cells = vec![0u16; frame.columns * frame.rows];
    let mut bits = stream.bits();
    let mut previous = 0i32;
    for block in 0..across * down {
        if stream.restart_interval > 0 && block > 0 && block % stream.restart_interval == 0 {
            bits.restart()?;
            previous = 0;
        }
        let coefficients = block_coefficients(&mut bits, dc, ac, quantisation, &mut previous)?;
        let values = inverse_dct(&coefficients, &basis);
        let (x0, y0) = (block % across * 8, block / across * 8);
        for (y, row) in values.chunks_exact(8).enumerate().take(frame.rows - y0) {
            let width = (frame.columns - x0).min(8);
            let start = (y0 + y) * frame.columns + x0;
            for (cell, value) in cells[start..start + width].iter_mut().zip(row) {
                *cell = (value + 2048.0).round().clamp(0.0, 4095.0) as u16;
            }
        }
    }
    Ok(Cells::U16(cells))
}

/// Dequantised coefficients of the next block, row-major.
fn block_coefficients(
    bits: &mut Bits,
    dc: &Huffman,
    ac: &Huffman,
    quantisation: &[u16; 64],
    previous: &mut i32,
) -> Result<[f32; 64]> {
    let mut block = [0.0f32; 64];
    let size = bits.symbol(dc)?;
    if size > 15 {
        return Err(malformed(format!("12-bit JPEG: a difference of {size} bits")));
    }
    *previous = previous.wrapping_add(bits.difference(size)?);
    block[0] = *previous as f32 * quantisation[0] as f32;
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = ((symbol >> 4) as usize, symbol & 15);
        match (run, size) {
            (15, 0) => k += 16,
            (_, 0) => break,
            _ => {
                k += run;
                if k > 63 {
                    return Err(malformed("12-bit JPEG: a run of zeros beyond the block"));
                }
                block[ZIGZAG[k]] = bits.difference(size)? as f32 * quantisation[k] as f32;
                k += 1;
            }
        }
    }
    Ok(block)
}

/// `basis[x][u]` = C(u) / 2 · cos((2x + 1) u π / 16).
fn basis() -> [[f32; 8]; 8] {
    std::array::from_fn(|x| {
        std::array::from_fn(|u| {
            let scale = if u == 0 { FRAC_1_SQRT_2 } else { 1.0 };
            scale / 2.0 * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos()
        })
    })
}

/// Inverse transform (A.3.3), columns then rows, in single precision: exact to a small fraction of a level.
fn inverse_dct(block: &[f32; 64], basis: &[[f32; 8]; 8]) -> [f32; 64] {
    let mut columns = [0.0f32; 64];
    for y in 0..8 {
        for v in 0..8 {
            for u in 0..8 {
                columns[y * 8 + u] += basis[y][v] * block[v * 8 + u];
            }
        }
    }
    let mut out = [0.0f32; 64];
    for y in 0..8 {
        for x in 0..8 {
            out[y * 8 + x] = (0..8).map(|u| basis[x][u] * columns[y * 8 + u]).sum();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::dicom::jpeg;
    use crate::formats::dicom::jpeg_ls::tests::hex;

    /// `300 x + 90 y` on ten by eight pixels, as libjpeg-turbo wrote it at quality 95.
    const STREAM: &str = "ffd8ffe000104a46494600010100000100010000ffdb0043000201010101010201010102020202020403020202020504\
        040304060506060605060606070908060709070606080b08090a0a0a0a0a06080b0c0b0a0c090a0a0affc1000b0c0008\
        000a01011100ffc4001500010100000000000000000000000000000c0dffc40023100000030607000000000000000000\
        0000000b280406080945620d293948566673ffda0008010100003f002a9e15484cbe9c294f8a517c2d164ca4be4cbe4e\
        f09c94f6d2e2517af30da3ffd9";

    #[test]
    fn a_ramp_of_twelve_bits_decodes_to_within_a_level() {
        let (cells, info) = jpeg::decode(&hex(STREAM), 10, 8, 1).unwrap();
        let Cells::U16(cells) = cells else { panic!("expected 16 bits") };
        assert_eq!((info.columns, info.rows), (10, 8));
        for (i, &value) in cells.iter().enumerate() {
            let exact = (300 * (i % 10) + 90 * (i / 10)) as u16;
            assert!(value.abs_diff(exact) <= 1, "{value} for {exact}");
        }
    }

    #[test]
    fn jpeg_decoder_refuses_twelve_bits() {
        assert!(jpeg_decoder::Decoder::new(&hex(STREAM)[..]).decode().is_err());
    }

    #[test]
    fn streams_cut_short_are_refused() {
        let stream = hex(STREAM);
        for cut in 0..stream.len() - 4 {
            assert!(jpeg::decode(&stream[..cut], 10, 8, 1).is_err(), "{cut}");
        }
    }
}
