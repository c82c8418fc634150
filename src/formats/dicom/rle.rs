//! DICOM's run-length code (PS3.5 Annex G): PackBits, each byte of each sample in a segment of its own, high byte
//! first.

use super::cells::Cells;
use super::{malformed, truncated};
use crate::formats::Result;

/// Decodes one frame of `pixels` × `samples` cells of `width` bytes to interleaved cells.
pub(super) fn decode(bytes: &[u8], pixels: usize, samples: usize, width: usize) -> Result<Cells> {
    let segments = segments(bytes, samples * width)?;
    // A PackBits pair makes at most 128 bytes: a frame that cannot be that large is refused before it is allocated.
    let longest = segments.iter().map(|s| s.len()).max().unwrap_or(0);
    if longest.saturating_mul(64) < pixels {
        return Err(truncated("a run-length segment", pixels.div_ceil(64) as u64, longest as u64));
    }
    match width {
        1 => {
            let mut cells = vec![0u8; pixels * samples];
            for (sample, segment) in segments.iter().enumerate() {
                unpack(segment, pixels, |i, byte| cells[i * samples + sample] = byte)?;
            }
            Ok(Cells::U8(cells))
        }
        2 => {
            let mut cells = vec![0u16; pixels * samples];
            for (s, segment) in segments.iter().enumerate() {
                let (sample, shift) = (s / 2, 8 * (1 - s % 2));
                unpack(segment, pixels, |i, byte| cells[i * samples + sample] |= (byte as u16) << shift)?;
            }
            Ok(Cells::U16(cells))
        }
        _ => {
            let mut cells = vec![0u32; pixels * samples];
            for (s, segment) in segments.iter().enumerate() {
                let (sample, shift) = (s / 4, 8 * (3 - s % 4));
                unpack(segment, pixels, |i, byte| cells[i * samples + sample] |= (byte as u32) << shift)?;
            }
            Ok(Cells::U32(cells))
        }
    }
}

/// Decodes one frame of single bits: the packed bytes of the frame in one segment.
pub(super) fn decode_bits(bytes: &[u8], length: usize) -> Result<Vec<u8>> {
    let segments = segments(bytes, 1)?;
    if segments[0].len().saturating_mul(64) < length {
        return Err(truncated("a run-length segment", length.div_ceil(64) as u64, segments[0].len() as u64));
    }
    let mut out = vec![0u8; length];
    unpack(segments[0], length, |i, byte| out[i] = byte)?;
    Ok(out)
}

/// The segments of a frame by its header: 16 words, the count and the offsets.
fn segments(bytes: &[u8], expected: usize) -> Result<Vec<&[u8]>> {
    let header = bytes.first_chunk::<64>().ok_or_else(|| truncated("a run-length header", 64, bytes.len() as u64))?;
    let word = |i: usize| u32::from_le_bytes([header[4 * i], header[4 * i + 1], header[4 * i + 2], header[4 * i + 3]]);
    if word(0) as usize != expected || expected > 15 {
        return Err(malformed(format!("run-length frame: expected {expected} segments, found {}", word(0))));
    }
    (1..=expected)
        .map(|i| {
            let start = word(i) as usize;
            let end = if i == expected { bytes.len() } else { word(i + 1) as usize };
            bytes.get(start..end).ok_or_else(|| {
                malformed(format!("run-length segment {i} from {start} to {end} in {} bytes", bytes.len()))
            })
        })
        .collect()
}

/// Unpacks exactly `length` bytes; what follows is padding.
fn unpack(segment: &[u8], length: usize, mut put: impl FnMut(usize, u8)) -> Result<()> {
    let mut at = 0;
    let mut rest = segment;
    while at < length {
        let (&code, tail) =
            rest.split_first().ok_or_else(|| truncated("a run-length segment, unpacked", length as u64, at as u64))?;
        rest = tail;
        match code {
            0..=127 => {
                let count = code as usize + 1;
                let literal = rest
                    .get(..count.min(length - at))
                    .ok_or_else(|| truncated("a run-length literal", count as u64, rest.len() as u64))?;
                for &byte in literal {
                    put(at, byte);
                    at += 1;
                }
                rest = &rest[count.min(rest.len())..];
            }
            128 => {}
            129..=255 => {
                let (&byte, tail) = rest.split_first().ok_or_else(|| truncated("a run-length run", 1, 0))?;
                rest = tail;
                for _ in 0..(257 - code as usize).min(length - at) {
                    put(at, byte);
                    at += 1;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut header = [0u32; 16];
        header[0] = segments.len() as u32;
        let mut at = 64;
        for (i, s) in segments.iter().enumerate() {
            header[i + 1] = at;
            at += s.len() as u32;
        }
        header.iter().flat_map(|w| w.to_le_bytes()).chain(segments.concat()).collect()
    }

    #[test]
    fn bytes_of_a_sample_are_put_together_high_first() {
        // Literal 1, 2 and a run of three 3; then a run of five 7.
        let bytes = frame(&[&[1, 1, 2, 254, 3], &[252, 7]]);
        let Cells::U16(cells) = decode(&bytes, 5, 1, 2).unwrap() else { panic!("expected 16 bits") };
        assert_eq!(cells, [0x0107, 0x0207, 0x0307, 0x0307, 0x0307]);
    }

    #[test]
    fn short_segments_and_wrong_counts_are_refused() {
        assert!(decode(&frame(&[&[252, 7]]), 6, 1, 1).is_err());
        assert!(decode(&frame(&[&[252, 7], &[252, 7]]), 5, 1, 1).is_err());
        assert!(decode(&frame(&[&[3, 7]]), 4, 1, 1).is_err());
        assert!(decode(&[0; 10], 4, 1, 1).is_err());
    }
}
