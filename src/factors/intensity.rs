//! Contrast of an object against its surroundings.

use super::FactorError;
use crate::mask::Mask;

/// An 8-bit picture as slices are stored: row-major, one grey channel or three of RGB interleaved.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    height: u32,
    width: u32,
    channels: usize,
    pixels: &'a [u8],
}

impl<'a> Picture<'a> {
    /// A picture of `height * width * channels` bytes.
    ///
    /// # Errors
    /// Channels other than 1 or 3, or another number of bytes.
    pub fn new(height: u32, width: u32, channels: u8, pixels: &'a [u8]) -> Result<Self, FactorError> {
        if channels != 1 && channels != 3 {
            return Err(FactorError::Channels(channels));
        }
        let expected = height as u64 * width as u64 * channels as u64;
        if pixels.len() as u64 != expected {
            return Err(FactorError::Bytes { found: pixels.len(), expected, height, width, channels });
        }
        Ok(Picture { height, width, channels: channels as usize, pixels })
    }

    /// Grey value at a row-major position. The luma of RGB is that of Pillow's `convert("L")`: ITU-R 601 weights in 16
    /// bits, rounded.
    fn grey(&self, at: usize) -> u64 {
        match self.pixels[at * self.channels..][..self.channels] {
            [red, green, blue] => (19595 * red as u64 + 38470 * green as u64 + 7471 * blue as u64 + 0x8000) >> 16,
            ref pixel => pixel[0] as u64,
        }
    }

    /// Sum of the grey values from one row-major position to another, both included, in one row.
    fn sum(&self, first: usize, last: usize) -> u64 {
        if self.channels == 1 {
            return self.pixels[first..=last].iter().map(|&value| value as u64).sum();
        }
        (first..=last).map(|at| self.grey(at)).sum()
    }
}

/// Mean intensities of a structure and of its surroundings, on the scale of the stored slice (0–255).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntensityContrast {
    /// Mean of the structure's pixels.
    pub inside: f64,
    /// Mean of the surroundings; `None` where the structure leaves none of the box free.
    pub surround: Option<f64>,
}

impl IntensityContrast {
    /// Mean inside minus mean of the surroundings, signed; the correlation takes its absolute value.
    pub fn difference(&self) -> Option<f64> {
        Some(self.inside - self.surround?)
    }

    /// Measures a structure. Its surroundings are what it leaves free of its bounding box expanded by a tenth of the
    /// box's width and height on each side, rounded outwards and clipped to the image (docs/protocol.md, 5). `None`
    /// where the mask is empty.
    ///
    /// # Errors
    /// Mask and picture differ in size.
    pub fn of(mask: &Mask, picture: &Picture) -> Result<Option<Self>, FactorError> {
        let (mask_size, picture_size) = ((mask.height(), mask.width()), (picture.height, picture.width));
        if mask_size != picture_size {
            return Err(FactorError::Size { mask: mask_size, picture: picture_size });
        }
        let Some([x0, y0, x1, y1]) = mask.bounding_box() else { return Ok(None) };
        let (margin_x, margin_y) = ((x1 - x0 + 1).div_ceil(10), (y1 - y0 + 1).div_ceil(10));
        let columns = x0.saturating_sub(margin_x)..=(x1 + margin_x).min(picture.width - 1);
        let rows = y0.saturating_sub(margin_y)..=(y1 + margin_y).min(picture.height - 1);
        let width = picture.width as usize;
        let box_area = (columns.end() - columns.start() + 1) as u64 * (rows.end() - rows.start() + 1) as u64;
        let box_sum: u64 = rows
            .map(|y| y as usize * width)
            .map(|row| picture.sum(row + *columns.start() as usize, row + *columns.end() as usize))
            .sum();
        let inside_sum: u64 = mask
            .column_runs()
            .flat_map(|(x, y0, y1)| (y0..y1).map(move |y| picture.grey(y as usize * width + x as usize)))
            .sum();
        let area = mask.area();
        Ok(Some(IntensityContrast {
            inside: inside_sum as f64 / area as f64,
            surround: (box_area > area).then(|| (box_sum - inside_sum) as f64 / (box_area - area) as f64),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surroundings_are_a_tenth_of_the_box_on_each_side() {
        // A 10 x 5 structure (rows x columns): one pixel on each side, and one only where the tenth is half a pixel.
        let (h, w) = (20, 12);
        let inside = |i: usize| (3..8).contains(&(i % w)) && (5..15).contains(&(i / w));
        let ring = |i: usize| (2..9).contains(&(i % w)) && (4..16).contains(&(i / w));
        let pixels: Vec<u8> = (0..h * w).map(|i| if inside(i) { 200 } else { [0, 50][ring(i) as usize] }).collect();
        let mask = Mask::from_predicate(h as u32, w as u32, inside);
        let picture = Picture::new(h as u32, w as u32, 1, &pixels).unwrap();
        let contrast = IntensityContrast::of(&mask, &picture).unwrap().unwrap();
        assert_eq!(contrast, IntensityContrast { inside: 200.0, surround: Some(50.0) });
        assert_eq!(contrast.difference(), Some(150.0));
    }

    #[test]
    fn colours_count_by_their_luma() {
        let picture = Picture::new(1, 2, 3, &[255, 0, 0, 0, 255, 0]).unwrap();
        let mask = Mask::from_bitmap(1, 2, &[1, 0]);
        // Pillow: Image.new("RGB", (1, 1), (255, 0, 0)).convert("L") is 76, and 150 for green
        let contrast = IntensityContrast::of(&mask, &picture).unwrap().unwrap();
        assert_eq!(contrast, IntensityContrast { inside: 76.0, surround: Some(150.0) });
    }

    #[test]
    fn a_structure_that_fills_the_image_has_no_surroundings() {
        let picture = Picture::new(2, 2, 1, &[1, 2, 3, 4]).unwrap();
        let full = Mask::from_bitmap(2, 2, &[1; 4]);
        let contrast = IntensityContrast::of(&full, &picture).unwrap().unwrap();
        assert_eq!((contrast.inside, contrast.difference()), (2.5, None));
        assert_eq!(IntensityContrast::of(&Mask::empty(2, 2), &picture), Ok(None));
    }

    #[test]
    fn pictures_that_do_not_fit_are_refused() {
        assert_eq!(Picture::new(2, 2, 4, &[0; 16]).unwrap_err(), FactorError::Channels(4));
        let error = Picture::new(2, 2, 3, &[0; 11]).unwrap_err();
        assert_eq!(error.to_string(), "a 2 x 2 picture of 3 channels has 12 bytes, but 11 were given");
        let picture = Picture::new(2, 2, 1, &[0; 4]).unwrap();
        assert!(matches!(IntensityContrast::of(&Mask::empty(2, 3), &picture), Err(FactorError::Size { .. })));
    }
}
