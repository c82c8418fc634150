//! The pixels of a slice as input of models.

use thiserror::Error;

use crate::digest::sha256_parts;
use crate::image::{Image, Samples};

/// Largest height or width of a slice. Positions of mask pixels are 32-bit, and prompts single-precision.
pub const LARGEST_SIDE: usize = 1 << 15;

/// Why pixels are not a slice that a model can take.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SliceError {
    /// A side is 0 or too long.
    #[error("a slice of {height} x {width} pixels: each side must be 1 to {LARGEST_SIDE}")]
    Size {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Not grey, grey with alpha, RGB or RGBA.
    #[error("a slice has {0} channels, expected 1 to 4")]
    Channels(usize),
    /// Not as many values as the size says.
    #[error("a slice of {expected} values has {found}")]
    Length {
        /// Height x width x channels.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// Not 8 bits.
    #[error("a slice has {0} samples, expected uint8")]
    Depth(&'static str),
    /// A volume or a stack.
    #[error("a slice has {0} pages, expected 1")]
    Pages(usize),
}

/// An 8-bit slice as the tables hold it, borrowed: row-major, channels interleaved.
#[derive(Clone, Copy, Debug)]
pub struct SlicePixels<'a> {
    height: usize,
    width: usize,
    channels: usize,
    pixels: &'a [u8],
}

impl<'a> SlicePixels<'a> {
    /// A slice of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels. Alpha is ignored.
    ///
    /// # Errors
    /// A size, channel number or length that is not a slice's.
    pub fn new(height: usize, width: usize, channels: usize, pixels: &'a [u8]) -> Result<Self, SliceError> {
        if !(1..=LARGEST_SIDE).contains(&height) || !(1..=LARGEST_SIDE).contains(&width) {
            return Err(SliceError::Size { height, width });
        }
        if !(1..=4).contains(&channels) {
            return Err(SliceError::Channels(channels));
        }
        let expected = height * width * channels;
        if pixels.len() != expected {
            return Err(SliceError::Length { expected, found: pixels.len() });
        }
        Ok(SlicePixels { height, width, channels, pixels })
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values of a part of the slice: columns from `x0` up to, not including, `x1`, rows alike.
    pub(crate) fn part(&self, [x0, y0, x1, y1]: [usize; 4]) -> Vec<u8> {
        let row = |y: usize| &self.pixels[(y * self.width + x0) * self.channels..(y * self.width + x1) * self.channels];
        (y0..y1).flat_map(row).copied().collect()
    }

    /// Values per pixel.
    pub(crate) fn channels(&self) -> usize {
        self.channels
    }

    /// SHA-256 over size and values, hexadecimal: part of every cache key.
    pub fn digest(&self) -> String {
        let header = format!("{} {} {}\n", self.height, self.width, self.channels);
        sha256_parts([header.as_bytes(), self.pixels])
    }

    /// One byte per pixel: the grey channel, or the luma `(299 R + 587 G + 114 B) / 1000` of ITU-R 601-2, rounded to
    /// nearest as Pillow's `convert("L")` has it.
    pub fn luma(&self) -> Vec<u8> {
        match self.channels {
            1 | 2 => self.pixels.iter().step_by(self.channels).copied().collect(),
            n => self.pixels.chunks_exact(n).map(|p| luma([p[0], p[1], p[2]])).collect(),
        }
    }

    /// The colour channels alone (1 or 3 of them), interleaved.
    pub(crate) fn colour(&self) -> (usize, Vec<u8>) {
        match self.channels {
            2 => (1, self.pixels.iter().step_by(2).copied().collect()),
            4 => (3, self.pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()),
            n => (n, self.pixels.to_vec()),
        }
    }
}

/// Pillow's integer form of the luma (`L24` in `src/libImaging/Convert.c`).
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}

impl<'a> TryFrom<&'a Image> for SlicePixels<'a> {
    type Error = SliceError;

    fn try_from(image: &'a Image) -> Result<Self, SliceError> {
        let [width, height, z, t] = image.size;
        if z * t != 1 {
            return Err(SliceError::Pages(z * t));
        }
        match &image.samples {
            Samples::U8(pixels) => SlicePixels::new(height, width, image.components, pixels),
            other => Err(SliceError::Depth(other.dtype())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_slice_is_refused() {
        assert_eq!(SlicePixels::new(0, 4, 1, &[]).unwrap_err(), SliceError::Size { height: 0, width: 4 });
        assert_eq!(SlicePixels::new(1, 1, 5, &[0; 5]).unwrap_err(), SliceError::Channels(5));
        assert_eq!(SlicePixels::new(2, 2, 3, &[0; 4]).unwrap_err(), SliceError::Length { expected: 12, found: 4 });
        let deep = Image::picture(1, 1, 1, Samples::U16(vec![0]));
        assert_eq!(SlicePixels::try_from(&deep).unwrap_err(), SliceError::Depth("uint16"));
    }
}
