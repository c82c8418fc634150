//! The skeleton that all JPEG processes share (ISO/IEC 10918-1 Annexes B, C and F): segments, Huffman tables, bits.

use super::{malformed, truncated};
use crate::formats::Result;

/// A component of the frame header.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub id: u8,
    /// Horizontal and vertical sampling factors.
    pub sampling: (u8, u8),
    /// Number of its quantisation table.
    pub quantisation: usize,
}

/// The frame header.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// 0 baseline, 1 extended sequential, 2 progressive, 3 lossless, … (the digit of the SOF marker).
    pub process: u8,
    pub precision: usize,
    pub rows: usize,
    pub columns: usize,
    pub components: Vec<Component>,
}

/// A scan header.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// Index into the frame's components, DC table, AC table.
    pub components: Vec<(usize, usize, usize)>,
    /// Start of spectral selection, or the predictor of the lossless process.
    pub selection: u8,
    /// Point transform.
    pub point_transform: u8,
}

/// A stream, read segment by segment.
pub(super) struct Stream<'a> {
    bytes: &'a [u8],
    at: usize,
    frame: Option<Frame>,
    pub quantisation: [Option<[u16; 64]>; 4],
    pub dc: [Option<Huffman>; 4],
    pub ac: [Option<Huffman>; 4],
    /// Units between restart markers, 0 for none.
    pub restart_interval: usize,
    pub jfif: bool,
}

impl<'a> Stream<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        if bytes.get(..2) != Some(&[0xFF, 0xD8]) {
            return Err(malformed("JPEG: a frame does not start with the SOI marker"));
        }
        Ok(Stream {
            bytes,
            at: 2,
            frame: None,
            quantisation: [None; 4],
            dc: [const { None }; 4],
            ac: [const { None }; 4],
            restart_interval: 0,
            jfif: false,
        })
    }

    pub fn frame(&self) -> Result<&Frame> {
        self.frame.as_ref().ok_or_else(|| malformed("JPEG: a scan without a frame header"))
    }

    /// Reads segments up to the next scan header and stands at its entropy-coded bytes; `None` at the end of the image.
    pub fn next_scan(&mut self) -> Result<Option<Scan>> {
        loop {
            // Whatever stands between segments is skipped: fill bytes, and the rest of a scan.
            let Some(marker) = self.next_marker() else { return Ok(None) };
            if marker == 0xD9 {
                return Ok(None);
            }
            if marker == 0xD8 || marker == 0x01 || (0xD0..=0xD7).contains(&marker) {
                continue;
            }
            let segment = self.segment()?;
            match marker {
                0xC4 => self.huffman_tables(segment)?,
                0xC0..=0xCF if marker != 0xC8 && marker != 0xCC => self.frame_header(marker - 0xC0, segment)?,
                0xDA => return self.scan_header(segment).map(Some),
                0xDB => self.quantisation_tables(segment)?,
                0xDD => {
                    let [a, b] = *segment.first_chunk::<2>().ok_or_else(|| short("restart interval"))?;
                    self.restart_interval = u16::from_be_bytes([a, b]) as usize;
                }
                0xE0 => self.jfif |= segment.starts_with(b"JFIF"),
                _ => {}
            }
        }
    }

    fn next_marker(&mut self) -> Option<u8> {
        loop {
            let left = self.bytes.get(self.at..)?;
            let skip = left.iter().position(|&b| b == 0xFF)?;
            self.at += skip + 1;
            while self.bytes.get(self.at) == Some(&0xFF) {
                self.at += 1;
            }
            let marker = *self.bytes.get(self.at)?;
            self.at += 1;
            if marker != 0 {
                return Some(marker);
            }
        }
    }

    fn segment(&mut self) -> Result<&'a [u8]> {
        let left = &self.bytes[self.at..];
        let length = left.first_chunk::<2>().map_or(0, |b| u16::from_be_bytes(*b) as usize);
        if length < 2 || length > left.len() {
            return Err(truncated("a JPEG segment", length.max(2) as u64, left.len() as u64));
        }
        self.at += length;
        Ok(&left[2..length])
    }

    fn frame_header(&mut self, process: u8, s: &[u8]) -> Result<()> {
        if self.frame.is_some() {
            return Err(malformed("JPEG: a second frame header (hierarchical streams are not read)"));
        }
        let [precision, r0, r1, c0, c1, n] = *s.first_chunk::<6>().ok_or_else(|| short("frame header"))?;
        let components: Vec<Component> = s[6..]
            .chunks_exact(3)
            .take(n as usize)
            .map(|c| Component { id: c[0], sampling: (c[1] >> 4, c[1] & 15), quantisation: (c[2] & 3) as usize })
            .collect();
        if components.is_empty() || components.len() != n as usize {
            return Err(short("frame header"));
        }
        self.frame = Some(Frame {
            process,
            precision: precision as usize,
            rows: u16::from_be_bytes([r0, r1]) as usize,
            columns: u16::from_be_bytes([c0, c1]) as usize,
            components,
        });
        Ok(())
    }

    fn scan_header(&self, s: &[u8]) -> Result<Scan> {
        let frame = self.frame()?;
        let n = *s.first().ok_or_else(|| short("scan header"))? as usize;
        let tail = s.get(1 + 2 * n..4 + 2 * n).ok_or_else(|| short("scan header"))?;
        let components = s[1..1 + 2 * n]
            .chunks_exact(2)
            .map(|c| {
                let index = frame.components.iter().position(|f| f.id == c[0]);
                let index = index.ok_or_else(|| malformed(format!("JPEG: a scan of unknown component {}", c[0])))?;
                Ok((index, (c[1] >> 4 & 3) as usize, (c[1] & 3) as usize))
            })
            .collect::<Result<Vec<_>>>()?;
        if components.is_empty() {
            return Err(malformed("JPEG: a scan without components"));
        }
        Ok(Scan { components, selection: tail[0], point_transform: tail[2] & 15 })
    }

    fn quantisation_tables(&mut self, mut s: &[u8]) -> Result<()> {
        while let Some((&head, rest)) = s.split_first() {
            let wide = head >> 4 != 0;
            let size = if wide { 128 } else { 64 };
            let values = rest.get(..size).ok_or_else(|| short("quantisation table"))?;
            let table: [u16; 64] = std::array::from_fn(|i| {
                if wide { u16::from_be_bytes([values[2 * i], values[2 * i + 1]]) } else { values[i] as u16 }
            });
            self.quantisation[(head & 3) as usize] = Some(table);
            s = &rest[size..];
        }
        Ok(())
    }

    fn huffman_tables(&mut self, mut s: &[u8]) -> Result<()> {
        while let Some((&head, rest)) = s.split_first() {
            let counts = rest.first_chunk::<16>().ok_or_else(|| short("Huffman table"))?;
            let total: usize = counts.iter().map(|&c| c as usize).sum();
            let symbols = rest.get(16..16 + total).ok_or_else(|| short("Huffman table"))?;
            let table = Huffman::new(counts, symbols)?;
            let tables = if head >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            tables[(head & 3) as usize] = Some(table);
            s = &rest[16 + total..];
        }
        Ok(())
    }

    /// Bits of the scan whose header was read last.
    pub fn bits(&self) -> Bits<'a> {
        Bits { bytes: self.bytes, at: self.at, buffer: 0, count: 0, borrowed: 0 }
    }
}

fn short(what: &str) -> crate::formats::Error {
    malformed(format!("JPEG: the {what} is too short"))
}

/// A Huffman table as one look-up by the next 16 bits.
pub(super) struct Huffman {
    /// Length of the code in the high byte (0: no such code), symbol in the low byte.
    entries: Vec<u16>,
}

impl Huffman {
    fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self> {
        let mut entries = vec![0u16; 1 << 16];
        let (mut code, mut next) = (0usize, 0);
        for (i, &count) in counts.iter().enumerate() {
            let length = i + 1;
            let span = 1usize << (16 - length);
            for _ in 0..count {
                let start = code * span;
                let slots = entries
                    .get_mut(start..start + span)
                    .ok_or_else(|| malformed("JPEG: a Huffman table with too many codes"))?;
                slots.fill((length as u16) << 8 | symbols[next] as u16);
                code += 1;
                next += 1;
            }
            code <<= 1;
        }
        Ok(Huffman { entries })
    }
}

/// Reads the entropy-coded bits of a scan: stuffed zeros removed, zeros delivered after a marker or the end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits not yet used, the next one highest.
    buffer: u64,
    count: u32,
    /// Bytes delivered beyond the data.
    borrowed: u32,
}

impl Bits<'_> {
    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at) {
                Some(0xFF) if self.bytes.get(self.at + 1) == Some(&0) => {
                    self.at += 2;
                    0xFF
                }
                Some(&b) if b != 0xFF => {
                    self.at += 1;
                    b
                }
                _ => {
                    self.borrowed += 1;
                    0
                }
            };
            self.buffer |= (byte as u64) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next symbol of a table.
    ///
    /// # Errors
    /// Where no code fits, or the data have ended.
    #[inline]
    pub fn symbol(&mut self, table: &Huffman) -> Result<u8> {
        if self.count < 32 {
            self.fill();
        }
        let entry = table.entries[(self.buffer >> 48) as usize];
        let length = (entry >> 8) as u32;
        if length == 0 {
            return Err(malformed("JPEG: bits that match no Huffman code"));
        }
        self.consume(length)?;
        Ok(entry as u8)
    }

    /// `size` bits (at most 16) as a signed difference (EXTEND of F.2.2.1).
    #[inline]
    pub fn difference(&mut self, size: u8) -> Result<i32> {
        if size == 0 {
            return Ok(0);
        }
        if self.count < 32 {
            self.fill();
        }
        let value = (self.buffer >> (64 - size as u32)) as i32;
        self.consume(size as u32)?;
        Ok(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    #[inline]
    fn consume(&mut self, bits: u32) -> Result<()> {
        self.buffer <<= bits;
        self.count -= bits;
        if self.borrowed * 8 > self.count {
            return Err(malformed("JPEG: the entropy-coded data end too early"));
        }
        Ok(())
    }

    /// Passes the restart marker that must stand here.
    pub fn restart(&mut self) -> Result<()> {
        (self.buffer, self.count, self.borrowed) = (0, 0, 0);
        while self.bytes.get(self.at) == Some(&0xFF) && self.bytes.get(self.at + 1) == Some(&0xFF) {
            self.at += 1;
        }
        match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
            (Some(0xFF), Some(0xD0..=0xD7)) => {
                self.at += 2;
                Ok(())
            }
            _ => Err(malformed("JPEG: expected a restart marker in the entropy-coded data")),
        }
    }
}
