//! Lossless JPEG (ISO/IEC 10918-1 Annex H): a predictor from three neighbours, and Huffman-coded differences.
//!
//! DICOM's "process 14", with any predictor, or with the first alone ("selection value 1"), is what most compressed CT
//! and MR archives hold.

use super::cells::Cells;
use super::jpeg_stream::{Frame, Scan, Stream};
use super::{malformed, unsupported};
use crate::formats::Result;

/// Decodes all scans of a lossless frame to interleaved cells.
pub(super) fn decode(stream: &mut Stream, frame: &Frame, first: Scan) -> Result<Cells> {
    if !(2..=16).contains(&frame.precision) {
        return Err(malformed(format!("lossless JPEG of {} bits", frame.precision)));
    }
    if frame.components.iter().any(|c| c.sampling != (1, 1)) && frame.components.len() > 1 {
        return Err(unsupported("lossless JPEG with subsampled components"));
    }
    let count = frame.columns * frame.rows * frame.components.len();
    let mut cells = vec![0u16; count];
    let mut seen = vec![false; frame.components.len()];
    let mut scan = Some(first);
    while let Some(s) = scan {
        decode_scan(stream, frame, &s, &mut cells)?;
        s.components.iter().for_each(|&(index, ..)| seen[index] = true);
        if seen.iter().all(|&s| s) {
            break;
        }
        scan = stream.next_scan()?;
    }
    if !seen.iter().all(|&s| s) {
        return Err(malformed("lossless JPEG: a component has no scan"));
    }
    Ok(if frame.precision <= 8 { Cells::U8(cells.into_iter().map(|v| v as u8).collect()) } else { Cells::U16(cells) })
}

fn decode_scan(stream: &Stream, frame: &Frame, scan: &Scan, cells: &mut [u16]) -> Result<()> {
    let shift = scan.point_transform as usize;
    if !(1..=7).contains(&scan.selection) || shift >= frame.precision {
        return Err(malformed(format!(
            "lossless JPEG: predictor {} and point transform {shift} with {} bits",
            scan.selection, frame.precision
        )));
    }
    let tables = scan
        .components
        .iter()
        .map(|&(_, dc, _)| stream.dc[dc].as_ref().ok_or_else(|| malformed("lossless JPEG: a Huffman table is missing")))
        .collect::<Result<Vec<_>>>()?;
    let interval = stream.restart_interval;
    if !interval.is_multiple_of(frame.columns) {
        // H.1.1: the interval must be a whole number of lines.
        return Err(malformed(format!(
            "lossless JPEG: a restart interval of {interval} for {} columns",
            frame.columns
        )));
    }
    let lines_between_restarts = interval / frame.columns;
    let step = frame.components.len();
    let stride = frame.columns * step;
    let initial = 1i32 << (frame.precision - shift - 1);
    let mut bits = stream.bits();
    for y in 0..frame.rows {
        let restart = lines_between_restarts > 0 && y > 0 && y % lines_between_restarts == 0;
        if restart {
            bits.restart()?;
        }
        // The first line, and each line after a restart, is predicted from the left only.
        let first_line = y == 0 || restart;
        let (above, line) = cells.split_at_mut(y * stride);
        let above = if first_line { &[] } else { &above[(y - 1) * stride..] };
        let line = &mut line[..stride];
        for x in 0..frame.columns {
            for (&(component, ..), table) in scan.components.iter().zip(&tables) {
                let difference = match bits.symbol(table)? {
                    16 => 32768,
                    size @ 0..=15 => bits.difference(size)?,
                    size => return Err(malformed(format!("lossless JPEG: a difference of {size} bits"))),
                };
                let at = x * step + component;
                let prediction = match (first_line, x) {
                    (true, 0) => initial,
                    (true, _) => line[at - step] as i32,
                    (false, 0) => above[at] as i32,
                    (false, _) => {
                        let (a, b, c) = (line[at - step] as i32, above[at] as i32, above[at - step] as i32);
                        match scan.selection {
                            1 => a,
                            2 => b,
                            3 => c,
                            4 => a + b - c,
                            5 => a + ((b - c) >> 1),
                            6 => b + ((a - c) >> 1),
                            _ => (a + b) >> 1,
                        }
                    }
                };
                line[at] = (prediction + difference) as u16;
            }
        }
    }
    if shift > 0 {
        for &(component, ..) in &scan.components {
            cells.iter_mut().skip(component).step_by(step).for_each(|v| *v <<= shift);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::dicom::jpeg_ls::tests::hex;

    fn cells(stream: &[u8], columns: usize, rows: usize, samples: usize) -> Vec<u16> {
        match crate::formats::dicom::jpeg::decode(stream, columns, rows, samples).unwrap().0 {
            Cells::U8(v) => v.into_iter().map(u16::from).collect(),
            Cells::U16(v) => v,
            Cells::U32(_) => panic!("lossless JPEG has at most 16 bits"),
        }
    }

    #[test]
    fn a_stream_of_libjpeg_turbo_decodes() {
        // Predictor 7.
        let stream =
            hex("ffd8ffe000104a46494600010100000100010000ffc3000b100004000401011100ffc4001b000001040300000000\
             00000000000000000f0103090a0d0e10ffda0008010100070000ebf450580000ecfb9a1ab0e1eecf19dca756fa580c04\
             6e8c78bfffd9");
        let image = [0, 1000, 65535, 32768, 5, 1005, 60000, 40000, 10, 990, 61000, 39999, 11, 1, 2, 3];
        assert_eq!(cells(&stream, 4, 4, 1), image);
    }

    /// What an image is, and how it is to be coded.
    #[derive(Clone, Debug)]
    struct Case {
        columns: usize,
        image: Vec<u16>,
        samples: usize,
        precision: u32,
        predictor: u8,
        transform: u8,
        lines_between_restarts: usize,
        one_scan: bool,
    }

    fn case() -> impl Strategy<Value = Case> {
        let shape = (1usize..6, 1usize..6, prop_oneof![Just(1usize), Just(3)], 2u32..=16);
        (shape, 1u8..=7, 0u8..2, 0usize..3, any::<bool>()).prop_flat_map(
            |((columns, rows, samples, precision), predictor, transform, lines_between_restarts, one_scan)| {
                let value = 0..=((1u32 << precision) - 1) as u16;
                prop::collection::vec(value, columns * rows * samples).prop_map(move |image| Case {
                    columns,
                    image,
                    samples,
                    precision,
                    predictor,
                    transform,
                    lines_between_restarts,
                    one_scan,
                })
            },
        )
    }

    /// Codes an image by the text of Annex H, with a Huffman table that gives each of the 17 sizes five bits.
    fn encode(case: &Case) -> Vec<u8> {
        let Case { columns, samples, precision, transform, .. } = *case;
        let rows = case.image.len() / columns / samples;
        let mut out = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 8 + 3 * samples as u8, precision as u8];
        out.extend([0, rows as u8, 0, columns as u8, samples as u8]);
        (0..samples as u8).for_each(|c| out.extend([c, 0x11, 0]));
        out.extend([0xFF, 0xC4, 0, 19 + 17, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend(0..17u8);
        out.extend([0xFF, 0xDD, 0, 4, 0, (case.lines_between_restarts * columns) as u8]);
        let scans: Vec<Vec<usize>> =
            if case.one_scan { vec![(0..samples).collect()] } else { (0..samples).map(|c| vec![c]).collect() };
        for scan in scans {
            out.extend([0xFF, 0xDA, 0, 6 + 2 * scan.len() as u8, scan.len() as u8]);
            scan.iter().for_each(|&c| out.extend([c as u8, 0]));
            out.extend([case.predictor, 0, transform]);
            let at = |x: usize, y: usize, c: usize| (case.image[(y * columns + x) * samples + c] >> transform) as i32;
            let (mut bits, mut restarts) = (Vec::new(), 0u8);
            for y in 0..rows {
                let restart = case.lines_between_restarts > 0 && y > 0 && y % case.lines_between_restarts == 0;
                if restart {
                    flush(&mut bits, &mut out);
                    out.extend([0xFF, 0xD0 + restarts % 8]);
                    restarts += 1;
                }
                for x in 0..columns {
                    for &c in &scan {
                        let prediction = match (x, y == 0 || restart) {
                            (0, true) => 1 << (precision - transform as u32 - 1),
                            (_, true) => at(x - 1, y, c),
                            (0, false) => at(x, y - 1, c),
                            _ => {
                                let (a, b, d) = (at(x - 1, y, c), at(x, y - 1, c), at(x - 1, y - 1, c));
                                [a, b, d, a + b - d, a + (b - d) / 2, b + (a - d) / 2, (a + b) / 2]
                                    [case.predictor as usize - 1]
                                    - [0, 0, 0, 0, odd_below(b - d), odd_below(a - d), 0][case.predictor as usize - 1]
                            }
                        };
                        // Modulo 2^16, as a size and its bits.
                        let difference = (at(x, y, c) - prediction) as i16 as i32;
                        let size = if difference == -32768 { 16 } else { 32 - difference.abs().leading_zeros() };
                        push(&mut bits, size, 5);
                        if size < 16 {
                            let value = if difference < 0 { difference - 1 } else { difference };
                            push(&mut bits, value as u32 & ((1 << size) - 1), size);
                        }
                    }
                }
            }
            flush(&mut bits, &mut out);
        }
        out.extend([0xFF, 0xD9]);
        out
    }

    /// Division rounds toward zero where the standard shifts: one less for odd numbers below zero.
    fn odd_below(v: i32) -> i32 {
        i32::from(v < 0 && v % 2 != 0)
    }

    fn push(bits: &mut Vec<bool>, value: u32, count: u32) {
        bits.extend((0..count).rev().map(|i| value >> i & 1 == 1));
    }

    fn flush(bits: &mut Vec<bool>, out: &mut Vec<u8>) {
        for byte in bits.chunks(8) {
            let value = (0..8).fold(0, |v, i| v << 1 | u8::from(byte.get(i).copied().unwrap_or(true)));
            out.push(value);
            if value == 0xFF {
                out.push(0);
            }
        }
        bits.clear();
    }

    #[test]
    fn jpeg_decoder_is_wrong_after_restarts_and_with_a_point_transform() {
        for (transform, lines_between_restarts, right) in [(0, 0, true), (0, 1, false), (1, 0, false)] {
            let image = vec![100, 2000, 30, 4000, 50, 60000];
            let (columns, samples, precision, predictor) = (2, 1, 16, 1);
            let one_scan = true;
            let case =
                Case { columns, image, samples, precision, predictor, transform, lines_between_restarts, one_scan };
            let stream = encode(&case);
            assert_eq!(cells(&stream, 2, 3, 1), case.image);
            let by_jpeg_decoder = jpeg_decoder::Decoder::new(&stream[..]).decode().unwrap();
            let expected: Vec<u8> = case.image.iter().flat_map(|v| v.to_ne_bytes()).collect();
            assert_eq!(by_jpeg_decoder == expected, right, "{transform} {lines_between_restarts}");
        }
    }

    proptest! {
        #[test]
        fn what_is_coded_by_the_standard_comes_back(case in case()) {
            prop_assume!((case.transform as u32) < case.precision);
            let rows = case.image.len() / case.columns / case.samples;
            let decoded = cells(&encode(&case), case.columns, rows, case.samples);
            let expected: Vec<u16> = case.image.iter().map(|v| v >> case.transform << case.transform).collect();
            prop_assert_eq!(decoded, expected);
        }

        #[test]
        fn broken_streams_never_panic(case in case(), at in 0usize..1000, value: u8) {
            let mut stream = encode(&case);
            let at = at % stream.len();
            stream[at] = value;
            let rows = case.image.len() / case.columns / case.samples;
            let _ = crate::formats::dicom::jpeg::decode(&stream, case.columns, rows, case.samples);
            let _ = crate::formats::dicom::jpeg::decode(&stream[..at], case.columns, rows, case.samples);
        }
    }
}
