//! JPEG-LS (ISO/IEC 14495-1, ITU-T T.87): lossless and near-lossless coding of 2–16 bits, by a median predictor whose
//! error is corrected by context and Golomb-coded, with runs where the image is flat.
//!
//! Names follow the standard: Ra, Rb, Rc, Rd are the neighbours to the left, above, above left and above right; A, B, C
//! and N the statistics of a context. Read are one to four components, not interleaved (a scan each), interleaved by
//! line, or by sample. Refused: mapping tables, restart intervals, point transforms and subsampling, none of which
//! DICOM allows or any of its writers makes.
//!
//! The libraries: `charls` is C++ and needs cmake at build time. `dicom-toolkit-codec` 0.5.0, in Rust, decodes the
//! example of annex H.3 to other values without an error, and refuses the streams of CharLS in the tests below: the one
//! interleaved by sample as not implemented, the two others as damaged. It brings 60 packages, so no test repeats this.

use super::cells::Cells;
use super::jpeg_ls_coder::{Bits, Coder, Preset};
use super::{malformed, truncated, unsupported};
use crate::formats::Result;

/// How the components of a scan are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interleave {
    None,
    Line,
    Sample,
}

/// Decodes one frame to interleaved cells, and tells its precision in bits; refuses a stream of another size than
/// `columns` × `rows` × `samples`.
pub(super) fn decode(bytes: &[u8], columns: usize, rows: usize, samples: usize) -> Result<(Cells, usize)> {
    let mut stream = Segments { bytes, at: 0 };
    let mut frame: Option<(usize, Vec<u8>)> = None;
    let mut preset = Preset::default();
    let mut cells: Vec<u16> = Vec::new();
    let mut done = 0;
    if stream.marker()? != 0xD8 {
        return Err(malformed("JPEG-LS: a frame does not start with the SOI marker"));
    }
    loop {
        match stream.marker()? {
            0xF7 => {
                frame = Some(frame_header(stream.segment()?, columns, rows, samples)?);
                cells = vec![0; columns * rows * samples];
            }
            0xF8 => preset = preset_parameters(stream.segment()?)?,
            0xDA => {
                let (precision, ids) =
                    frame.as_ref().ok_or_else(|| malformed("JPEG-LS: a scan without a frame header"))?;
                let (components, near, interleave) = scan_header(stream.segment()?, ids)?;
                let coder = Coder::new(preset, *precision, near)?;
                let area = Area { columns, rows, samples };
                stream.at += decode_scan(&bytes[stream.at..], coder, area, &components, interleave, &mut cells)?;
                done += components.len();
                if done >= samples {
                    break;
                }
            }
            0xDD => {
                if stream.segment()?.iter().any(|&b| b != 0) {
                    return Err(unsupported("JPEG-LS with restart intervals"));
                }
            }
            0xD9 => return Err(malformed("JPEG-LS: the stream ends before all components are decoded")),
            marker @ (0xC0..=0xC3 | 0xC5..=0xCF) => {
                return Err(malformed(format!("JPEG-LS: expected the SOF55 marker, found SOF{}", marker - 0xC0)));
            }
            _ => {
                stream.segment()?;
            }
        }
    }
    let precision = frame.map_or(0, |(precision, _)| precision);
    let cells =
        if precision <= 8 { Cells::U8(cells.into_iter().map(|v| v as u8).collect()) } else { Cells::U16(cells) };
    Ok((cells, precision))
}

/// The marker segments of the stream.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    fn marker(&mut self) -> Result<u8> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let fill = left.iter().take_while(|&&b| b == 0xFF).count();
        match left.get(fill) {
            Some(&marker) if fill > 0 => {
                self.at += fill + 1;
                Ok(marker)
            }
            Some(&byte) => Err(malformed(format!("JPEG-LS: expected a marker, found {byte:#04x}"))),
            None => Err(truncated("a JPEG-LS marker", 2, left.len() as u64)),
        }
    }

    fn segment(&mut self) -> Result<&'a [u8]> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let length = left.first_chunk::<2>().map_or(0, |b| u16::from_be_bytes(*b) as usize);
        if length < 2 || length > left.len() {
            return Err(truncated("a JPEG-LS segment", length.max(2) as u64, left.len() as u64));
        }
        self.at += length;
        Ok(&left[2..length])
    }
}

/// Precision and component identifiers of the frame.
fn frame_header(s: &[u8], columns: usize, rows: usize, samples: usize) -> Result<(usize, Vec<u8>)> {
    let [precision, r0, r1, c0, c1, n] =
        *s.first_chunk::<6>().ok_or_else(|| truncated("the JPEG-LS frame header", 6, s.len() as u64))?;
    let found = (u16::from_be_bytes([c0, c1]) as usize, u16::from_be_bytes([r0, r1]) as usize, n as usize);
    if found != (columns, rows, samples) {
        return Err(malformed(format!(
            "JPEG-LS: expected {columns} x {rows} pixels of {samples} samples, found {} x {} of {}",
            found.0, found.1, found.2
        )));
    }
    let components: Vec<&[u8]> = s[6..].chunks_exact(3).collect();
    if !(2..=16).contains(&precision) || components.len() != samples {
        return Err(malformed(format!("JPEG-LS: {precision} bits, {} of {samples} components", components.len())));
    }
    if components.iter().any(|c| c[1] != 0x11) {
        return Err(unsupported("JPEG-LS with subsampled components"));
    }
    Ok((precision as usize, components.iter().map(|c| c[0]).collect()))
}

fn preset_parameters(s: &[u8]) -> Result<Preset> {
    match s {
        [1, m0, m1, a0, a1, b0, b1, c0, c1, r0, r1, ..] => {
            let word = |a: &u8, b: &u8| u16::from_be_bytes([*a, *b]) as i32;
            Ok(Preset {
                maxval: word(m0, m1),
                t1: word(a0, a1),
                t2: word(b0, b1),
                t3: word(c0, c1),
                reset: word(r0, r1),
            })
        }
        [kind @ 2..=4, ..] => Err(unsupported(format!("JPEG-LS preset segment of type {kind} (tables, large sizes)"))),
        _ => Err(malformed("JPEG-LS: a preset segment that is too short")),
    }
}

/// Indices of the scan's components, the near-lossless tolerance, the interleave.
fn scan_header(s: &[u8], ids: &[u8]) -> Result<(Vec<usize>, i32, Interleave)> {
    let n = s.first().map_or(0, |&n| n as usize);
    let Some(&[near, interleave, transform]) = s.get(1 + 2 * n..).and_then(|tail| tail.first_chunk::<3>()) else {
        return Err(truncated("the JPEG-LS scan header", 4 + 2 * n as u64, s.len() as u64));
    };
    let mut components = Vec::with_capacity(n);
    for pair in s[1..1 + 2 * n].chunks_exact(2) {
        let index = ids.iter().position(|id| *id == pair[0]);
        let index = index.ok_or_else(|| malformed(format!("JPEG-LS: a scan of unknown component {}", pair[0])))?;
        if pair[1] != 0 {
            return Err(unsupported("JPEG-LS with mapping tables"));
        }
        if components.contains(&index) {
            return Err(malformed(format!("JPEG-LS: component {} twice in a scan", pair[0])));
        }
        components.push(index);
    }
    let interleave = match (interleave, n) {
        (_, 0) => return Err(malformed("JPEG-LS: a scan without components")),
        (0, 1) | (1 | 2, 1) => Interleave::None,
        (1, _) => Interleave::Line,
        (2, _) => Interleave::Sample,
        (mode, n) => return Err(malformed(format!("JPEG-LS: interleave mode {mode} with {n} components"))),
    };
    if transform & 15 != 0 {
        return Err(unsupported("JPEG-LS with a point transform"));
    }
    Ok((components, near as i32, interleave))
}

/// Size of the image.
#[derive(Clone, Copy)]
struct Area {
    columns: usize,
    rows: usize,
    samples: usize,
}

/// A line of one component with the pixel before its start and after its end (A.2.1).
struct Lines {
    above: Vec<i32>,
    line: Vec<i32>,
    run_index: usize,
}

impl Lines {
    /// Makes the line just decoded the one above, and sets the edges of the new one.
    fn advance(&mut self) {
        std::mem::swap(&mut self.above, &mut self.line);
        let width = self.above.len() - 2;
        self.above[width + 1] = self.above[width];
        self.line[0] = self.above[1];
    }

    /// Ra, Rb, Rc, Rd of the sample at `x` (counted from 1).
    #[inline]
    fn neighbours(&self, x: usize) -> (i32, i32, i32, i32) {
        (self.line[x - 1], self.above[x], self.above[x - 1], self.above[x + 1])
    }
}

/// Decodes the components of a scan into the interleaved `cells`; returns the number of bytes used.
fn decode_scan(
    bytes: &[u8],
    mut coder: Coder,
    area: Area,
    components: &[usize],
    interleave: Interleave,
    cells: &mut [u16],
) -> Result<usize> {
    let Area { columns, rows, samples } = area;
    let mut bits = Bits::new(bytes);
    let empty = || Lines { above: vec![0; columns + 2], line: vec![0; columns + 2], run_index: 0 };
    let mut lines: Vec<Lines> = components.iter().map(|_| empty()).collect();
    for y in 0..rows {
        lines.iter_mut().for_each(Lines::advance);
        if interleave == Interleave::Sample {
            decode_line_of_samples(&mut bits, &mut coder, &mut lines)?;
        } else {
            for line in &mut lines {
                decode_line(&mut bits, &mut coder, line)?;
            }
        }
        if bits.ended() {
            return Err(truncated("the JPEG-LS lines", rows as u64, y as u64));
        }
        let row = &mut cells[y * columns * samples..][..columns * samples];
        for (component, line) in components.iter().zip(&lines) {
            for (cell, value) in row.iter_mut().skip(*component).step_by(samples).zip(&line.line[1..=columns]) {
                *cell = *value as u16;
            }
        }
    }
    // Only padding is left between here and the next marker.
    let rest = &bytes[bits.at..];
    let marker = rest.windows(2).position(|w| w[0] == 0xFF && w[1] >= 0x80);
    Ok(bits.at + marker.unwrap_or(rest.len()))
}

/// Decodes a line of one component.
fn decode_line(bits: &mut Bits, coder: &mut Coder, lines: &mut Lines) -> Result<()> {
    let width = lines.line.len() - 2;
    let mut x = 1;
    while x <= width {
        let (ra, rb, rc, rd) = lines.neighbours(x);
        let q = coder.context(ra, rb, rc, rd);
        if q != 0 {
            lines.line[x] = coder.regular(bits, q, ra, rb, rc)?;
            x += 1;
            continue;
        }
        let length = coder.run_length(bits, width + 1 - x, &mut lines.run_index)?;
        lines.line[x..x + length].fill(ra);
        x += length;
        if x > width {
            break;
        }
        let (_, rb, ..) = lines.neighbours(x);
        let flat = (ra - rb).abs() <= coder.near;
        let error = coder.interruption(bits, flat, lines.run_index)?;
        lines.line[x] = match (flat, ra > rb) {
            (true, _) => coder.reconstruct(ra, error),
            (false, true) => coder.reconstruct(rb, -error),
            (false, false) => coder.reconstruct(rb, error),
        };
        lines.run_index = lines.run_index.saturating_sub(1);
        x += 1;
    }
    Ok(())
}

/// Decodes a line of all components, sample by sample: a run starts where all are flat, and counts for all.
fn decode_line_of_samples(bits: &mut Bits, coder: &mut Coder, lines: &mut [Lines]) -> Result<()> {
    let width = lines[0].line.len() - 2;
    let mut run_index = lines[0].run_index;
    let mut x = 1;
    while x <= width {
        let flat = lines.iter().all(|l| {
            let (ra, rb, rc, rd) = l.neighbours(x);
            coder.context(ra, rb, rc, rd) == 0
        });
        if !flat {
            for l in lines.iter_mut() {
                let (ra, rb, rc, rd) = l.neighbours(x);
                let q = coder.context(ra, rb, rc, rd);
                l.line[x] = coder.regular(bits, q, ra, rb, rc)?;
            }
            x += 1;
            continue;
        }
        let length = coder.run_length(bits, width + 1 - x, &mut run_index)?;
        for l in lines.iter_mut() {
            let ra = l.line[x - 1];
            l.line[x..x + length].fill(ra);
        }
        x += length;
        if x > width {
            break;
        }
        for l in lines.iter_mut() {
            let (ra, rb, ..) = l.neighbours(x);
            let error = coder.interruption(bits, false, run_index)?;
            l.line[x] = coder.reconstruct(rb, if ra > rb { -error } else { error });
        }
        run_index = run_index.saturating_sub(1);
        x += 1;
    }
    lines[0].run_index = run_index;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The image of annex H.3.
    pub const H3_IMAGE: [u8; 16] = [0, 0, 90, 74, 68, 50, 43, 205, 64, 145, 145, 145, 100, 145, 145, 145];

    pub fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// The code stream of annex H.3.
    pub fn h3_stream() -> Vec<u8> {
        hex("ffd8fff7000b080004000401011100ffda0008010100000000c000006c80208e01c00000574000006ee6000001bc180000\
             05d800009160ffd9")
    }

    fn bytes(cells: Cells) -> Vec<u8> {
        match cells {
            Cells::U8(v) => v,
            other => panic!("expected 8 bits, found {other:?}"),
        }
    }

    #[test]
    fn the_example_of_the_standard_decodes() {
        let (cells, precision) = decode(&h3_stream(), 4, 4, 1).unwrap();
        assert_eq!((bytes(cells), precision), (H3_IMAGE.to_vec(), 8));
    }

    /// Nine by six RGB pixels, mostly black, made for the streams below, which CharLS wrote.
    #[rustfmt::skip]
    const RGB: [[u8; 18]; 3] = [
        [206, 21, 45, 60, 46, 204, 221, 148, 10, 24, 84, 110, 158, 122, 67, 40, 176, 187],
        [8, 28, 115, 99, 226, 131, 107, 109, 169, 149, 44, 188, 192, 243, 200, 72, 81, 165],
        [165, 177, 221, 74, 239, 0, 19, 248, 240, 76, 35, 80, 10, 227, 168, 149, 62, 120],
    ];

    fn rgb() -> Vec<u8> {
        let mut image = vec![0; 9 * 6 * 3];
        for (y, row) in RGB.iter().enumerate() {
            image[((y + 2) * 9 + 3) * 3..][..18].copy_from_slice(row);
        }
        image
    }

    #[test]
    fn components_in_scans_of_their_own() {
        let stream =
            hex("ffd8fff70011080006000903011100021100031100ffda0008010100000000ff760000161000001da103d5ecec600001\
             73000001b5189ed929204a00000368000002f803000000ec800000f4f0ffda0008010200000000ff76005000a0019222\
             4b3b1800000658000007a544000006f0000006ee400003a964000007e80000075c6006e0ffda0008010300000000ff76\
             0000158000001c17d000001c6561c58000062c0000064443ca000002da0000b22a00003000000b5000000df800000cb1\
             e7ffd9");
        assert_eq!(bytes(decode(&stream, 9, 6, 3).unwrap().0), rgb());
    }

    #[test]
    fn components_interleaved_by_line_nearly_lossless() {
        let stream =
            hex("ffd8fff70011080006000903011100021100031100ffda000c03010002000300020100ff7fff7fec00800000cc320000\
             00e479fe53f57aac934c80000d23ec001000011e10bd3c00019ebc0000600002631c2f7001764120000c0076060849da\
             8000006708293401000c000020003005ff00ffd9");
        let decoded = bytes(decode(&stream, 9, 6, 3).unwrap().0);
        let worst = decoded.iter().zip(rgb()).map(|(a, b)| a.abs_diff(b)).max();
        assert_eq!(worst, Some(2));
    }

    #[test]
    fn components_interleaved_by_sample() {
        let stream =
            hex("ffd8fff70011080006000903011100021100031100ffda000c03010002000300000200ff7600001625474000003b5bc4\
             610197f3e286000001c67c64ed3bbaddac69382c000001b500000196280c0e464bd35eaf1c000006f0000005b5000000\
             6ed1e44515454000001b49b000060000017c000001fa0000016ac006c0000037e2b0c0000032c350032c70ffd9");
        assert_eq!(bytes(decode(&stream, 9, 6, 3).unwrap().0), rgb());
    }

    #[test]
    fn streams_cut_short_are_refused() {
        let stream = h3_stream();
        for cut in 0..stream.len() - 6 {
            assert!(decode(&stream[..cut], 4, 4, 1).is_err(), "{cut}");
        }
    }
}
