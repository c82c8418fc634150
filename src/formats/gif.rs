//! GIF (87a and 89a).
//!
//! Specification: <https://www.w3.org/Graphics/GIF/spec-gif89a.txt>.
//!
//! A single frame, as in masks, is read as palette indices on the logical screen, with the palette; a transparent index
//! has alpha 0. Where the frame is smaller than the screen the rest is the transparent index if there is one, else 0,
//! as Pillow fills it. Several frames are read as RGBA along z, each as a viewer displays it: drawn over the result of
//! the previous frame's disposal, on a transparent screen. Indices would not suffice, because every frame may have its
//! own palette.
//!
//! The blocks are read here and the LZW codes by `weezl`. The decoder of `gif` 0.14.2 refuses files without a palette,
//! which Pillow reads as grey; a test in this file shows it.
//!
//! In the wild: frames beyond the screen (cut off here), a missing trailer, data after the trailer, a colour table
//! shorter than the indices.

use weezl::{BitOrder, decode::Decoder};

use super::format::{Format, Start};
use super::{Error, Result, lzw};
use crate::image::{Image, Samples};
use crate::memory::Room;

const FORMAT: &str = "GIF";

/// GIF.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["gif"],
    signature: |head| head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a"),
    start: Start::Signature,
    read: |file, _, _| read_within(&file.plain(|_| None)?, file.room()),
    ..Format::PLAIN
};

/// Bytes of a frame without its indices: the palette, of 256 colours at most, is copied for each.
const FRAME_BYTES: u64 = 1200;

/// Pixels that a file may have at least, whatever its size: larger screens need data to match.
const MODEST_PIXELS: usize = 1 << 26;

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

/// What a viewer does with a frame before it draws the next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disposal {
    Keep,
    Clear,
    Restore,
}

struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    /// The frame's own palette, or the file's; `None` where there is neither.
    palette: Option<Vec<[u8; 4]>>,
    transparent: Option<u8>,
    disposal: Disposal,
    /// Rows from the top, de-interlaced.
    indices: Vec<u8>,
}

/// Reads a GIF: palette indices of one frame, or RGBA of several along z.
///
/// # Errors
/// [`Error::Malformed`] and [`Error::Truncated`]; a truncated file is not read up to where it ends.
pub fn read(bytes: &[u8]) -> Result<Image> {
    read_within(bytes, &Room::default())
}

fn read_within(bytes: &[u8], room: &Room) -> Result<Image> {
    let mut blocks = Blocks { bytes, at: 0 };
    match blocks.take(6, "signature")? {
        b"GIF87a" | b"GIF89a" => {}
        found => {
            return Err(malformed(format!("expected GIF87a or GIF89a, found {:?}", found.escape_ascii().to_string())));
        }
    }
    let screen = blocks.take(7, "screen descriptor")?;
    let (width, height) = (word(screen, 0), word(screen, 2));
    let palette = blocks.palette(screen[4])?;
    let (frames, complete) = read_frames(&mut blocks, palette.as_deref(), room)?;

    let mut frames = frames.into_iter();
    let Some(first) = frames.next() else { return Err(malformed("no frame".into())) };
    // Some writers leave the screen empty.
    let (width, height) = match (width, height) {
        (0, _) | (_, 0) => (first.left + first.width, first.top + first.height),
        size => size,
    };
    let pixels = (width * height).saturating_mul(1 + frames.len());
    if pixels > MODEST_PIXELS + bytes.len().saturating_mul(1 << 12) {
        return Err(malformed(format!("{width} x {height} pixels from {} bytes", bytes.len())));
    }
    let mut image = match frames.len() {
        0 => single_frame(width, height, first, room)?,
        _ => animation(width, height, first, frames, room)?,
    };
    if !complete {
        image.notes.push("GIF: the trailer is missing, and further frames may be missing too".into());
    }
    Ok(image)
}

fn single_frame(width: usize, height: usize, frame: Frame, room: &Room) -> Result<Image> {
    let covers = (frame.left, frame.top, frame.width, frame.height) == (0, 0, width, height);
    let mut notes = Vec::new();
    let indices = if covers {
        frame.indices
    } else {
        let fill = frame.transparent.unwrap_or(0);
        let mut screen = room.collect(width * height, std::iter::repeat_n(fill, width * height))?;
        for (at, index) in frame.on_screen(width, height) {
            screen[at] = index;
        }
        notes.push(format!(
            "GIF: the frame covers {} x {} pixels at {}, {} of the screen; the rest is index {fill}",
            frame.width, frame.height, frame.left, frame.top
        ));
        screen
    };
    let mut palette = frame.palette;
    if let (Some(palette), Some(index)) = (&mut palette, frame.transparent)
        && let Some(entry) = palette.get_mut(usize::from(index))
    {
        entry[3] = 0;
    }
    Ok(Image { palette, notes, ..Image::picture(width, height, 1, Samples::U8(indices)) })
}

fn animation(
    width: usize,
    height: usize,
    first: Frame,
    rest: impl ExactSizeIterator<Item = Frame>,
    room: &Room,
) -> Result<Image> {
    let count = 1 + rest.len();
    let mut screen = room.zeros::<u8>(width * height * 4)?;
    // For the screen that a frame restores.
    room.take(screen.len() as u64)?;
    let mut samples = room.with_capacity(count.saturating_mul(screen.len()))?;
    for frame in std::iter::once(first).chain(rest) {
        let before = (frame.disposal == Disposal::Restore).then(|| screen.clone());
        for (at, index) in frame.on_screen(width, height).filter(|&(_, index)| frame.transparent != Some(index)) {
            let colour = match &frame.palette {
                Some(palette) => palette.get(usize::from(index)).copied().unwrap_or([0, 0, 0, 255]),
                None => [index, index, index, 255],
            };
            screen[4 * at..][..4].copy_from_slice(&colour);
        }
        samples.extend_from_slice(&screen);
        match (frame.disposal, before) {
            (Disposal::Restore, Some(before)) => screen = before,
            (Disposal::Clear, _) => {
                frame.on_screen(width, height).for_each(|(at, _)| screen[4 * at..][..4].fill(0));
            }
            _ => {}
        }
    }
    let mut image = Image::picture(width, height * count, 4, Samples::U8(samples));
    image.size = [width, height, count, 1];
    image.notes.push(format!("GIF: {count} frames, each as displayed, in RGBA"));
    Ok(image)
}

impl Frame {
    /// Position on the screen and index of each pixel that is on it.
    fn on_screen(&self, width: usize, height: usize) -> impl Iterator<Item = (usize, u8)> + '_ {
        let visible = self.width.min(width.saturating_sub(self.left));
        let rows = self.indices.chunks_exact(self.width).take(height.saturating_sub(self.top));
        rows.enumerate().flat_map(move |(y, row)| {
            let start = (self.top + y) * width + self.left;
            row[..visible].iter().enumerate().map(move |(x, &index)| (start + x, index))
        })
    }
}

/// All frames, and whether the trailer was behind them.
fn read_frames(blocks: &mut Blocks, global: Option<&[[u8; 4]]>, room: &Room) -> Result<(Vec<Frame>, bool)> {
    let mut frames = Vec::new();
    let (mut disposal, mut transparent) = (Disposal::Keep, None);
    loop {
        // Some writers leave out the trailer; a file that stops before its first frame is truncated.
        if blocks.at >= blocks.bytes.len() && !frames.is_empty() {
            return Ok((frames, false));
        }
        match blocks.take(1, "block")?[0] {
            0x3b => return Ok((frames, true)),
            0x21 => {
                let label = blocks.take(1, "extension")?[0];
                let data = blocks.sub_blocks()?;
                if let (0xf9, [flags, _, _, index, ..]) = (label, &data[..]) {
                    disposal = match flags >> 2 & 7 {
                        2 => Disposal::Clear,
                        3 => Disposal::Restore,
                        _ => Disposal::Keep,
                    };
                    transparent = (flags & 1 == 1).then_some(*index);
                }
            }
            0x2c => {
                let descriptor = blocks.take(9, "image descriptor")?;
                let (left, top) = (word(descriptor, 0), word(descriptor, 2));
                let (width, height) = (word(descriptor, 4), word(descriptor, 6));
                let flags = descriptor[8];
                let palette = blocks.palette(flags)?.or_else(|| global.map(<[_]>::to_vec));
                if width == 0 || height == 0 {
                    return Err(malformed(format!("a frame of {width} x {height} pixels")));
                }
                room.take(FRAME_BYTES)?;
                let indices = read_indices(blocks, [width, height], flags & 0x40 != 0, room)?;
                frames.push(Frame { left, top, width, height, palette, transparent, disposal, indices });
                (disposal, transparent) = (Disposal::Keep, None);
            }
            other => return Err(malformed(format!("expected a block of 0x21, 0x2c or 0x3b, found {other:#04x}"))),
        }
    }
}

fn read_indices(blocks: &mut Blocks, [width, height]: [usize; 2], interlaced: bool, room: &Room) -> Result<Vec<u8>> {
    let code_size = blocks.take(1, "LZW code size")?[0];
    if !(1..=11).contains(&code_size) {
        return Err(malformed(format!("expected an LZW code size of 1 to 11 bits, found {code_size}")));
    }
    let codes = blocks.sub_blocks()?;
    let need = width * height;
    // The longest string that a code of 12 bits can stand for has fewer than 4096 indices.
    if need > codes.len().saturating_mul(8 << 12) {
        return Err(malformed(format!("a frame of {width} x {height} pixels from {} bytes", codes.len())));
    }
    let mut indices = room.zeros::<u8>(need)?;
    let found = lzw::fill(Decoder::new(BitOrder::Lsb, code_size), &codes, &mut indices)
        .map_err(|e| malformed(format!("LZW data of a frame: {e}")))?;
    if found < need {
        let (expected, found) = (need as u64, found as u64);
        return Err(Error::Truncated { format: FORMAT, what: "frame (pixels)".into(), expected, found });
    }
    if !interlaced {
        return Ok(indices);
    }
    let temporary = room.part();
    temporary.take(need as u64)?;
    Ok(deinterlace(&indices, width, height))
}

/// Stored order: every 8th row from 0, every 8th from 4, every 4th from 2, every 2nd from 1.
fn deinterlace(stored: &[u8], width: usize, height: usize) -> Vec<u8> {
    let order = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let rows = order.into_iter().flat_map(|(start, step)| (start..height).step_by(step));
    let mut out = vec![0; stored.len()];
    for (y, row) in rows.zip(stored.chunks_exact(width)) {
        out[y * width..][..width].copy_from_slice(row);
    }
    out
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// The file, read from front to back.
struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Blocks<'a> {
    fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at + count).ok_or_else(|| Error::Truncated {
            format: FORMAT,
            what: what.into(),
            expected: (self.at + count) as u64,
            found: self.bytes.len() as u64,
        })?;
        self.at += count;
        Ok(taken)
    }

    /// The colour table that `flags` of a descriptor announces.
    fn palette(&mut self, flags: u8) -> Result<Option<Vec<[u8; 4]>>> {
        if flags & 0x80 == 0 {
            return Ok(None);
        }
        let colours = self.take(3 << ((flags & 7) + 1), "colour table")?;
        Ok(Some(colours.chunks_exact(3).map(|c| [c[0], c[1], c[2], 255]).collect()))
    }

    /// Data up to the empty sub-block.
    fn sub_blocks(&mut self) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            match self.take(1, "sub-block")?[0] {
                0 => return Ok(data),
                count => data.extend_from_slice(self.take(usize::from(count), "sub-block")?),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GLOBAL: &[u8] = &[0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255];

    fn screen(width: u8, height: u8, palette: &[u8]) -> Vec<u8> {
        let flags = if palette.is_empty() { 0 } else { 0x81 };
        [b"GIF89a", &[width, 0, height, 0, flags, 0, 0][..], palette].concat()
    }

    fn control(disposal: u8, transparent: Option<u8>) -> Vec<u8> {
        let flags = disposal << 2 | u8::from(transparent.is_some());
        vec![0x21, 0xf9, 4, flags, 0, 0, transparent.unwrap_or(0), 0]
    }

    /// A frame of two-bit codes at (left, top), with a palette of its own where given.
    fn frame([left, top, width, height]: [u8; 4], flags: u8, palette: &[u8], indices: &[u8]) -> Vec<u8> {
        let codes = weezl::encode::Encoder::new(BitOrder::Lsb, 2).encode(indices).unwrap();
        let mut out = vec![0x2c, left, 0, top, 0, width, 0, height, 0, flags];
        out.extend(palette);
        out.extend([2, codes.len() as u8]);
        out.extend(codes);
        out.push(0);
        out
    }

    #[test]
    fn a_single_frame_keeps_indices_and_palette() {
        let file = [screen(2, 2, GLOBAL), frame([0, 0, 2, 2], 0, &[], &[0, 1, 2, 3]), vec![0x3b]].concat();
        let image = read(&file).unwrap();
        assert_eq!((image.size, image.components, image.bits), ([2, 2, 1, 1], 1, 8));
        assert_eq!(image.samples, Samples::U8(vec![0, 1, 2, 3]));
        assert_eq!(image.palette.unwrap()[1], [255, 0, 0, 255]);
        assert!(image.notes.is_empty());
    }

    #[test]
    fn a_local_palette_wins_and_transparency_is_alpha() {
        let local = [9, 9, 9, 8, 8, 8];
        let file = [screen(1, 1, GLOBAL), control(0, Some(1)), frame([0, 0, 1, 1], 0x80, &local, &[1])].concat();
        assert_eq!(read(&file).unwrap().palette.unwrap(), [[9, 9, 9, 255], [8, 8, 8, 0]]);
    }

    #[test]
    fn a_frame_smaller_than_the_screen_is_placed() {
        let file = [screen(3, 2, GLOBAL), control(0, Some(3)), frame([1, 1, 9, 1], 0, &[], &[1; 9])].concat();
        let image = read(&file).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![3, 3, 3, 3, 1, 1]));
        assert!(image.notes[0].contains("rest is index 3"));
    }

    #[test]
    fn interlaced_rows_are_put_in_order() {
        let stored: Vec<u8> = [0, 8, 4, 2, 6, 1, 3, 5, 7].iter().map(|y| y % 4).collect();
        let file = [screen(1, 9, GLOBAL), frame([0, 0, 1, 9], 0x40, &[], &stored)].concat();
        assert_eq!(read(&file).unwrap().samples, Samples::U8((0..9).map(|y| y % 4).collect()));
    }

    #[test]
    fn several_frames_are_shown_along_z() {
        let file = [
            screen(2, 1, GLOBAL),
            frame([0, 0, 2, 1], 0, &[], &[1, 1]),
            control(2, Some(0)),
            frame([0, 0, 2, 1], 0, &[], &[0, 2]),
            control(3, None),
            frame([0, 0, 1, 1], 0, &[], &[3]),
            frame([1, 0, 1, 1], 0, &[], &[3]),
        ];
        let image = read(&file.concat()).unwrap();
        assert_eq!((image.size, image.components, image.palette.is_none()), ([2, 1, 4, 1], 4, true));
        const R: [u8; 4] = [255, 0, 0, 255];
        const G: [u8; 4] = [0, 255, 0, 255];
        const B: [u8; 4] = [0, 0, 255, 255];
        const NONE: [u8; 4] = [0; 4];
        assert_eq!(image.samples, Samples::U8([R, R, R, G, B, NONE, NONE, B].concat()));
    }

    #[test]
    fn no_palette_is_no_error() {
        let image = read(&[screen(1, 1, &[]), frame([0, 0, 1, 1], 0, &[], &[2])].concat()).unwrap();
        assert_eq!((image.palette, image.samples), (None, Samples::U8(vec![2])));
        assert!(image.notes[0].contains("trailer is missing"));
    }

    #[test]
    fn the_gif_crate_refuses_a_file_without_a_palette() {
        for (palette, readable) in [(GLOBAL, true), (&[], false)] {
            let file = [screen(1, 1, palette), frame([0, 0, 1, 1], 0, &[], &[2]), vec![0x3b]].concat();
            let mut decoder = ::gif::DecodeOptions::new().read_info(&file[..]).unwrap();
            assert_eq!(decoder.read_next_frame().is_ok_and(|frame| frame.is_some()), readable);
            assert_eq!(read(&file).unwrap().samples, Samples::U8(vec![2]));
        }
    }

    #[test]
    fn broken_files_are_errors_that_say_what_is_wrong() {
        let whole = [screen(4, 4, GLOBAL), frame([0, 0, 4, 4], 0, &[], &[1; 16])].concat();
        for cut in 0..whole.len() {
            assert!(matches!(read(&whole[..cut]), Err(Error::Truncated { .. })), "cut at {cut}");
        }
        let short = [screen(4, 4, GLOBAL), frame([0, 0, 4, 4], 0, &[], &[1; 15])].concat();
        assert!(read(&short).unwrap_err().to_string().contains("frame (pixels) needs 16 bytes, found 15"));
        let huge = [&b"GIF89a\xff\xff\xff\xff\0\0\0"[..], &frame([0, 0, 1, 1], 0, &[], &[0])].concat();
        assert!(read(&huge).unwrap_err().to_string().contains("65535 x 65535 pixels from"));
        assert!(read(b"GIF90a").unwrap_err().to_string().contains("expected GIF87a"));
        assert!(read(&[screen(1, 1, GLOBAL), vec![0x3b]].concat()).unwrap_err().to_string().contains("no frame"));
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(at in 0usize..90, value: u8, cut in 0usize..90) {
            let mut file =
                [screen(3, 3, GLOBAL), control(2, Some(1)), frame([1, 0, 2, 2], 0x40, &[], &[0, 1, 2, 3]), frame([0, 0, 3, 3], 0, &[], &[2; 9])]
                    .concat();
            let at = at % file.len();
            file[at] = value;
            let _ = read(&file);
            let _ = read(&file[..cut.min(file.len())]);
        }
    }
}
