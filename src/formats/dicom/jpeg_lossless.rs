//! Lossless JPEG (ISO/IEC 10918-1 Annex H): a predictor from three neighbours, and Huffman-coded differences.
//!
//! DICOM's "process 14", with any predictor, or with the first alone ("selection value 1"), is what most compressed CT
//! and MR archives hold.

use super::jpeg_stream::{Frame, Scan, Stream};
use super::pixels::Cells;
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
    if interval % frame.columns != 0 {
        // H.1.1: the interval must be a whole number of lines.
        return Err(malformed(format!("lossless JPEG: a restart interval of {interval} for {} columns", frame.columns)));
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
