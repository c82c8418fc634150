//! JPEG 2000 and High-Throughput JPEG 2000 frames (ISO/IEC 15444-1 and -15), decoded by OpenJPEG's translation to Rust.

use super::cells::Cells;
use super::{malformed, unsupported};
use crate::formats::Result;

/// Decodes a JPEG 2000 frame to interleaved cells of its own precision (two's complement in the low bits where signed).
pub(super) fn decode(bytes: &[u8], columns: usize, rows: usize, samples: usize) -> Result<(Cells, usize)> {
    check_size(bytes, columns, rows, samples)?;
    let parameters = jpeg2k::DecodeParameters::new().strict(true);
    // OpenJPEG translated to Rust: its assertions are panics, which must not take the process down.
    let image = std::panic::catch_unwind(|| jpeg2k::Image::from_bytes_with(bytes, parameters))
        .map_err(|_| malformed("JPEG 2000: the stream is broken"))?
        .map_err(|_| malformed("JPEG 2000: the code stream is broken or truncated"))?;
    let components = image.components();
    let fits = |c: &jpeg2k::ImageComponent| (c.width() as usize, c.height() as usize) == (columns, rows);
    if components.len() != samples || !components.iter().all(fits) {
        let sizes: Vec<_> = components.iter().map(|c| format!("{} x {}", c.width(), c.height())).collect();
        return Err(malformed(format!(
            "JPEG 2000: expected {samples} components of {columns} x {rows}, found {}",
            sizes.join(", ")
        )));
    }
    let precision = components[0].precision() as usize;
    if !(1..=32).contains(&precision) || components.iter().any(|c| c.precision() as usize != precision) {
        return Err(unsupported(format!("JPEG 2000 with components of different or {precision} bits")));
    }
    let cells = match precision {
        1..=8 => Cells::U8(interleave(components, |v| v as u8)),
        9..=16 => Cells::U16(interleave(components, |v| v as u16)),
        _ => Cells::U32(interleave(components, |v| v as u32)),
    };
    Ok((cells, precision))
}

/// Compares the SIZ segment (A.5.1) with the header, before the decoder allocates what the stream promises.
fn check_size(bytes: &[u8], columns: usize, rows: usize, samples: usize) -> Result<()> {
    // DICOM stores bare code streams; some writers leave the boxes of a JP2 file around them.
    let start = bytes.windows(4).position(|w| w == [0xFF, 0x4F, 0xFF, 0x51]);
    let siz = start.and_then(|at| bytes.get(at + 4..at + 4 + 38));
    let siz = siz.ok_or_else(|| malformed("JPEG 2000: a frame without the SOC and SIZ markers"))?;
    let word = |at: usize| u32::from_be_bytes([siz[at], siz[at + 1], siz[at + 2], siz[at + 3]]) as usize;
    let found = (word(4).saturating_sub(word(12)), word(8).saturating_sub(word(16)));
    let components = u16::from_be_bytes([siz[36], siz[37]]) as usize;
    if (found, components) == ((columns, rows), samples) {
        return Ok(());
    }
    Err(malformed(format!(
        "JPEG 2000: expected {columns} x {rows} pixels of {samples} samples, found {} x {} of {components}",
        found.0, found.1
    )))
}

fn interleave<T: Copy>(components: &[jpeg2k::ImageComponent], convert: impl Fn(i32) -> T) -> Vec<T> {
    match components {
        [one] => one.data().iter().map(|&v| convert(v)).collect(),
        many => {
            let planes: Vec<&[i32]> = many.iter().map(|c| c.data()).collect();
            (0..planes[0].len()).flat_map(|i| planes.iter().map(move |p| p[i])).map(convert).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_size_than_the_header_says_is_refused_before_decoding() {
        let mut stream = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
        for word in [100_000u32, 50_000, 0, 0, 100_000, 50_000, 0, 0] {
            stream.extend(word.to_be_bytes());
        }
        stream.extend([0, 1, 7, 1, 1]);
        let message = decode(&stream, 100, 50, 1).unwrap_err().to_string();
        assert!(message.contains("expected 100 x 50 pixels of 1 samples, found 100000 x 50000 of 1"), "{message}");
        assert!(decode(&stream[..20], 100, 50, 1).is_err());
        // The right size, and nothing after it.
        assert!(decode(&stream, 100_000, 50_000, 1).is_err());
    }
}
