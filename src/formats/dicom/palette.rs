//! Palettes of PALETTE COLOR images (PS3.3 C.7.6.3.1.5 and .6): three tables, plain or in segments, of 8 or 16 bits.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::dataset::{DataSet, name};
use super::header::Header;
use super::{malformed, unsupported};
use crate::formats::Result;

const CHANNELS: [[Tag; 3]; 3] = [
    [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
    [
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ],
];

/// The palette by stored value, for all values that the stored bits can hold: below the first mapped value stands the
/// first colour, beyond the table the last, as the standard says. 16-bit colours are cut to their high byte.
pub(super) fn read(header: &Header, data: &DataSet, notes: &mut Vec<String>) -> Result<Vec<[u8; 4]>> {
    if header.signed {
        return Err(unsupported("PALETTE COLOR with signed indices"));
    }
    let mut tables = Vec::with_capacity(3);
    for tags in CHANNELS {
        tables.push(table(data, tags)?);
    }
    // Some writers declare 16 bits and fill in 0 to 255.
    let wide = tables.iter().any(|t| t.bits == 16);
    let small = tables.iter().all(|t| t.values.iter().all(|&v| v < 256));
    if wide && small && tables.iter().any(|t| t.values.iter().any(|&v| v > 0)) {
        notes.push("the palette is declared as 16-bit, but contains 8-bit colours".into());
    }
    let shift = if wide && !small { 8 } else { 0 };
    let colours = 1usize << header.bits_stored.min(16);
    let colour = |table: &Table, index: usize| {
        let at = index.saturating_sub(table.first).min(table.values.len() - 1);
        (table.values[at] >> shift) as u8
    };
    Ok((0..colours).map(|i| [colour(&tables[0], i), colour(&tables[1], i), colour(&tables[2], i), 255]).collect())
}

struct Table {
    /// Stored value of the first entry.
    first: usize,
    bits: usize,
    /// At least one.
    values: Vec<u16>,
}

fn table(data: &DataSet, [descriptor, plain, segmented]: [Tag; 3]) -> Result<Table> {
    let numbers = data.numbers(descriptor)?.unwrap_or_default();
    let [entries, first, bits] = numbers[..] else {
        return Err(malformed(format!("{}: expected 3 values, found {}", name(descriptor), numbers.len())));
    };
    // 0 means 65536, which does not fit its 16 bits.
    let entries = if entries == 0.0 { 1 << 16 } else { entries as usize };
    let bits = if bits == 16.0 { 16 } else { 8 };
    let first = first as usize;
    if let Some(element) = data.get(plain) {
        let bytes = element.value;
        // Eight-bit tables are packed two to a word, except by those who write a word for each entry.
        let values: Vec<u16> = if bits == 8 && bytes.len() < 2 * entries {
            bytes.iter().take(entries).map(|&b| b as u16).collect()
        } else {
            words(data, bytes).take(entries).collect()
        };
        if values.len() < entries {
            return Err(malformed(format!("{}: expected {entries} entries, found {}", name(plain), values.len())));
        }
        return Ok(Table { first, bits, values });
    }
    let Some(element) = data.get(segmented) else {
        return Err(malformed(format!("{} is missing", name(plain))));
    };
    let words: Vec<u16> = if bits == 8 {
        element.value.iter().map(|&b| b as u16).collect()
    } else {
        words(data, element.value).collect()
    };
    let values = expand_segments(&words, entries)
        .ok_or_else(|| malformed(format!("{}: segments that do not make {entries} entries", name(segmented))))?;
    Ok(Table { first, bits, values })
}

fn words<'a>(data: &DataSet, bytes: &'a [u8]) -> impl Iterator<Item = u16> + 'a {
    let encoding = data.encoding;
    bytes.chunks_exact(2).map(move |w| encoding.u16([w[0], w[1]]))
}

/// Expands discrete (0), linear (1) and indirect (2) segments; `None` where they are broken or too few.
fn expand_segments(words: &[u16], entries: usize) -> Option<Vec<u16>> {
    let mut out: Vec<u16> = Vec::with_capacity(entries);
    let mut at = 0;
    while at + 1 < words.len() && out.len() < entries {
        match words[at] {
            2 => {
                // Repeat `count` segments that stand at an offset in words; they are never indirect themselves.
                let (count, low, high) = (words[at + 1], *words.get(at + 2)?, *words.get(at + 3)?);
                let mut source = (high as usize) << 16 | low as usize;
                for _ in 0..count {
                    source = segment(words, source, &mut out)?;
                }
                at += 4;
            }
            _ => at = segment(words, at, &mut out)?,
        }
        if out.len() > 2 * (1 << 16) {
            return None;
        }
    }
    out.truncate(entries);
    (out.len() == entries).then_some(out)
}

/// Appends the discrete or linear segment at `at`; returns where the next one starts.
fn segment(words: &[u16], at: usize, out: &mut Vec<u16>) -> Option<usize> {
    let (&kind, &length) = (words.get(at)?, words.get(at + 1)?);
    let length = length as usize;
    // More than any table holds: an indirect segment that repeats itself into the gigabytes.
    if out.len() > 1 << 16 {
        return None;
    }
    match kind {
        0 => {
            out.extend(words.get(at + 2..at + 2 + length)?);
            Some(at + 2 + length)
        }
        1 => {
            let (start, end) = (*out.last()? as f64, *words.get(at + 2)? as f64);
            out.extend((1..=length).map(|i| (start + (end - start) * i as f64 / length as f64).round() as u16));
            Some(at + 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_expand() {
        // Discrete 10, 20; linear in four steps to 60; then the first segment again.
        let words = [0, 2, 10, 20, 1, 4, 60, 2, 1, 0, 0];
        assert_eq!(expand_segments(&words, 8).unwrap(), [10, 20, 30, 40, 50, 60, 10, 20]);
    }

    #[test]
    fn broken_segments_are_refused() {
        assert_eq!(expand_segments(&[0, 5, 1], 5), None);
        assert_eq!(expand_segments(&[1, 5, 1], 5), None);
        assert_eq!(expand_segments(&[7, 5, 1], 5), None);
        assert_eq!(expand_segments(&[0, 1, 9], 5), None);
        assert_eq!(expand_segments(&[2, 65535, 0, 0], 5), None);
    }
}
