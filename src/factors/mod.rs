//! What makes a structure easy or hard to segment: the paper's five factors, each a number for every mask.
//!
//! Size, aspect ratio, intensity difference, boundary complexity and modality (protocol 5). All are measured within the
//! structure's box on the slice as it is stored.

mod contour;
mod fourier;
mod intensity;
mod polygon;

pub use contour::{Point, outer_contour};
pub use fourier::{BoundaryComplexity, FourierOptions, FourierStop, Harmonic, Harmonics, decode};
pub use intensity::{IntensityContrast, Picture};

use crate::mask::Mask;
use thiserror::Error;

/// Why factors cannot be measured.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FactorError {
    /// Neither grey nor RGB.
    #[error("a slice has 1 channel or 3, but this one has {0}")]
    Channels(u8),
    /// The picture does not hold the pixels that its size says.
    #[error("a {height} x {width} picture of {channels} channels has {expected} bytes, but {found} were given")]
    Bytes {
        /// Bytes given.
        found: usize,
        /// Height times width times channels.
        expected: u64,
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
        /// Values a pixel.
        channels: u8,
    },
    /// Mask and picture are not of one slice.
    #[error("the mask has {} x {} pixels, but its slice has {} x {}", mask.0, mask.1, picture.0, picture.1)]
    Size {
        /// Height and width of the mask.
        mask: (u32, u32),
        /// Height and width of the picture.
        picture: (u32, u32),
    },
}

/// The factors of one mask that follow from its pixels. The fifth, the modality, is its place in the taxonomy
/// ([`crate::spec::Taxonomy::modality_index`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// Number of pixels.
    pub size: u64,
    /// Short side over long side of the bounding box, above 0 and at most 1.
    pub aspect_ratio: f64,
    /// Mean intensities inside and around.
    pub intensity: IntensityContrast,
    /// Fourier order with its parts.
    pub boundary: BoundaryComplexity,
}

impl Factors {
    /// Measures a mask on its slice; `None` where the mask is empty.
    ///
    /// # Errors
    /// Mask and slice differ in size.
    pub fn of(mask: &Mask, slice: &Picture, options: &FourierOptions) -> Result<Option<Self>, FactorError> {
        let intensity = IntensityContrast::of(mask, slice)?;
        let measured = || {
            Some(Factors {
                size: mask.area(),
                aspect_ratio: aspect_ratio(mask)?,
                intensity: intensity?,
                boundary: BoundaryComplexity::of(mask, options)?,
            })
        };
        Ok(measured())
    }
}

/// Short side over long side of the bounding box, counted in pixels; `None` where the mask is empty.
pub fn aspect_ratio(mask: &Mask) -> Option<f64> {
    let [x0, y0, x1, y1] = mask.bounding_box()?;
    let (width, height) = ((x1 - x0 + 1) as f64, (y1 - y0 + 1) as f64);
    Some(width.min(height) / width.max(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_of_small_structures_are_defined() {
        let picture = Picture::new(3, 3, 1, &[9; 9]).unwrap();
        let measure = |bitmap: &[u8; 9]| {
            Factors::of(&Mask::from_bitmap(3, 3, bitmap), &picture, &FourierOptions::default()).unwrap()
        };
        assert_eq!(measure(&[0; 9]), None);
        let pixel = measure(&[0, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
        assert_eq!((pixel.size, pixel.aspect_ratio, pixel.boundary.value()), (1, 1.0, 1.0));
        assert_eq!(pixel.intensity.difference(), Some(0.0));
        let line = measure(&[0, 0, 0, 1, 1, 1, 0, 0, 0]).unwrap();
        assert_eq!(line.aspect_ratio, 1.0 / 3.0);
        assert!(line.boundary.dice > 0.0 && line.boundary.value().is_finite());
    }
}
