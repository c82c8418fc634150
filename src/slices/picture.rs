//! The 8-bit picture of a slice: its channels, its two hashes and its thumbnail.

use std::borrow::Cow;
use std::ops::Range;

use crate::digest::sha256;

/// Pixels without their alpha channel, and how many channels are left: 1 or 3.
pub(super) fn without_alpha<T: Copy>(pixels: Cow<[T]>, components: usize) -> (Cow<[T]>, usize) {
    match components {
        1 | 3 => (pixels, components),
        2 => (pixels.iter().step_by(2).copied().collect(), 1),
        n => (pixels.chunks_exact(n).flat_map(|p| [p[0], p[1], p[2]]).collect(), 3),
    }
}

/// Colour whose three channels are equal everywhere is grey (docs/protocol.md, 2.4).
pub(super) fn as_grey_if_equal(pixels: Vec<u8>, channels: usize) -> (Vec<u8>, u8) {
    if channels == 3 && pixels.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]) {
        return (pixels.into_iter().step_by(3).collect(), 1);
    }
    (pixels, channels as u8)
}

/// Sha-256 of the pixels, hexadecimal: the same picture has the same digest whatever its container was.
pub fn pixels_sha256(pixels: &[u8]) -> String {
    sha256(pixels)
}

/// Side of a [`thumbnail`], in fields.
pub const THUMBNAIL_SIDE: usize = 16;

/// Mean luma of [`THUMBNAIL_SIDE`]² fields of a picture, row by row, rounded: what is left of it at a fingerprint, and
/// the same for two encodings of one picture within a grey level.
pub fn thumbnail(pixels: &[u8], width: usize, height: usize, channels: u8) -> Vec<u8> {
    luma_fields(pixels, width, height, channels, THUMBNAIL_SIDE)
}

/// As [`thumbnail`], of `side` x `side` fields.
pub fn luma_fields(pixels: &[u8], width: usize, height: usize, channels: u8, side: usize) -> Vec<u8> {
    Fingerprint::in_bands(pixels, width, height, channels, side).levels()
}

/// 64-bit difference hash: the luma averaged over a grid of 9 x 8 cells, one bit for each pair of neighbours in a row,
/// set where the right one is brighter; most significant bit first. Two encodings of one picture differ in few bits.
pub fn perceptual_hash(pixels: &[u8], width: usize, height: usize, channels: u8) -> u64 {
    Fingerprint::of(pixels, width, height, channels).perceptual_hash()
}

/// A picture summed up in bands of rows, of which both hashes are made: it is looked at once.
pub(super) struct Fingerprint {
    width: usize,
    height: usize,
    /// For each band, the sum of the luma in each column, in thousandths of a grey level.
    bands: Vec<Vec<u64>>,
}

impl Fingerprint {
    /// In [`THUMBNAIL_SIDE`] bands.
    pub(super) fn of(pixels: &[u8], width: usize, height: usize, channels: u8) -> Self {
        Self::in_bands(pixels, width, height, channels, THUMBNAIL_SIDE)
    }

    fn in_bands(pixels: &[u8], width: usize, height: usize, channels: u8, bands: usize) -> Self {
        let channels = channels as usize;
        let band = |band: usize| {
            let rows = span(band, bands, height);
            let pixels = &pixels[rows.start * width * channels..rows.end * width * channels];
            let mut sums = vec![0; width];
            if channels > 1 {
                let add = |line: &[u8], sums: &mut Vec<u64>| {
                    sums.iter_mut().zip(line.chunks_exact(channels)).for_each(|(sum, pixel)| *sum += luma(pixel));
                };
                pixels.chunks_exact(width * channels).for_each(|line| add(line, &mut sums));
                return sums;
            }
            // 256 rows of bytes fit into 16 bits, and a row of bytes onto a row of those is a loop of wide
            // instructions.
            let mut part = vec![0u16; width];
            for lines in pixels.chunks(256 * width) {
                part.fill(0);
                let add = |line: &[u8]| part.iter_mut().zip(line).for_each(|(sum, &v)| *sum += u16::from(v));
                lines.chunks_exact(width).for_each(add);
                sums.iter_mut().zip(&part).for_each(|(sum, &part)| *sum += 1000 * u64::from(part));
            }
            sums
        };
        Fingerprint { width, height, bands: (0..bands).map(band).collect() }
    }

    /// Mean grey levels of as many fields as there are bands in each band, rounded.
    pub(super) fn levels(&self) -> Vec<u8> {
        let means = (0..self.bands.len()).flat_map(|row| self.means(row..row + 1, self.bands.len()));
        means.map(|mean| ((mean + 500) / 1000) as u8).collect()
    }

    pub(super) fn perceptual_hash(&self) -> u64 {
        const COLUMNS: usize = 9;
        const ROWS: usize = 8;
        const BANDS: usize = THUMBNAIL_SIDE / ROWS;
        let rows = (0..ROWS).map(|row| self.means(BANDS * row..BANDS * (row + 1), COLUMNS));
        let bits = rows.flat_map(|means| means.windows(2).map(|pair| u64::from(pair[1] > pair[0])).collect::<Vec<_>>());
        bits.fold(0, |hash, bit| hash << 1 | bit)
    }

    /// Mean luma in thousandths of `fields` fields from left to right, of some bands together.
    fn means(&self, bands: Range<usize>, fields: usize) -> Vec<u64> {
        let rows: usize = bands.clone().map(|band| span(band, self.bands.len(), self.height).len()).sum();
        let mean = |field: usize| {
            let columns = span(field, fields, self.width);
            let sum: u64 = self.bands[bands.clone()].iter().map(|band| band[columns.clone()].iter().sum::<u64>()).sum();
            sum / (rows * columns.len()) as u64
        };
        (0..fields).map(mean).collect()
    }
}

/// The pixels of a field along a side: whole ones, and at least one, so that tiny pictures have fields too.
fn span(field: usize, fields: usize, length: usize) -> Range<usize> {
    let start = (field * length / fields).min(length - 1);
    start..((field + 1) * length / fields).max(start + 1)
}

/// Luma of an RGB pixel (ITU-R BT.601), in thousandths of a grey level.
fn luma(pixel: &[u8]) -> u64 {
    299 * u64::from(pixel[0]) + 587 * u64::from(pixel[1]) + 114 * u64::from(pixel[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_channels_are_grey_and_alpha_goes() {
        assert_eq!(as_grey_if_equal(vec![1, 1, 1, 2, 2, 2], 3), (vec![1, 2], 1));
        assert_eq!(as_grey_if_equal(vec![1, 1, 1, 2, 2, 3], 3).1, 3);
        assert_eq!(without_alpha(vec![1, 2, 3, 255].into(), 4), (vec![1, 2, 3].into(), 3));
        assert_eq!(without_alpha(vec![5, 255, 6, 255].into(), 2), (vec![5, 6].into(), 1));
    }

    #[test]
    fn the_hash_sees_the_shape_and_not_the_contrast() {
        let ramp: Vec<u8> = (0..64 * 64).map(|i| (i % 64) as u8).collect();
        let brighter: Vec<u8> = ramp.iter().map(|v| v * 3 + 20).collect();
        let turned: Vec<u8> = ramp.iter().map(|v| 63 - v).collect();
        assert_eq!(perceptual_hash(&ramp, 64, 64, 1), u64::MAX);
        assert_eq!(perceptual_hash(&brighter, 64, 64, 1), u64::MAX);
        assert_eq!(perceptual_hash(&turned, 64, 64, 1), 0);
        perceptual_hash(&[9], 1, 1, 1);
    }

    #[test]
    fn a_thumbnail_is_made_of_means() {
        let halves: Vec<u8> = (0..40 * 40).map(|i| if i % 40 < 20 { 10 } else { 200 }).collect();
        let thumbnail = super::thumbnail(&halves, 40, 40, 1);
        assert_eq!(thumbnail.len(), THUMBNAIL_SIDE * THUMBNAIL_SIDE);
        assert_eq!((thumbnail[0], thumbnail[7], thumbnail[8], thumbnail[15]), (10, 10, 200, 200));
        let red = [255, 0, 0].repeat(4);
        assert_eq!(super::thumbnail(&red, 2, 2, 3), [76; 256], "as Pillow's conversion to L");
    }
}
