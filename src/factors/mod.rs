//! Factors that may explain how well an object is segmented: the paper's five, each a number for every mask.
//!
//! Size, aspect ratio, intensity difference, boundary complexity and modality (docs/protocol.md, 5). All are measured
//! within the object's box on the stored slice.
//!
//! [`FACTORS`] is the table of all factors and their parts: name, unit, range, definition, function. A function takes a
//! [`Subject`]: a mask on its slice, with what several factors share. A new factor is one entry in `table.rs`, with a
//! test. `docs/factors.md` contains the definitions.

mod contour;
mod fourier;
mod intensity;
mod polygon;
mod table;

pub use contour::{Point, outer_contour};
pub use fourier::{BoundaryComplexity, FourierOptions, FourierStop, Harmonic, Harmonics, decode};
pub use intensity::{IntensityContrast, Picture};
pub use table::{Binning, FACTORS, Factor, FactorValues, Factors, Role, default_factors, factor};
#[cfg(feature = "query")]
pub(crate) use table::{factor_label, is_nominal};

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

/// A mask on its slice: everything that factors are measured from.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The mask, which has a pixel.
    pub mask: &'a Mask,
    /// The slice that it lies in.
    pub slice: &'a Picture<'a>,
    /// The modality of the slice, as its place in the taxonomy
    /// ([`Taxonomy::modality_index`](crate::spec::Taxonomy::modality_index)).
    pub modality_index: u8,
    /// Short side over long side of the bounding box, above 0 and at most 1.
    pub aspect_ratio: f64,
    /// Mean intensities inside and around.
    pub intensity: IntensityContrast,
    /// Fourier order with its parts.
    pub boundary: BoundaryComplexity,
}

impl<'a> Subject<'a> {
    /// Measures what factors share; `None` where the mask is empty.
    ///
    /// # Errors
    /// Mask and slice differ in size.
    pub fn of(
        mask: &'a Mask,
        slice: &'a Picture<'a>,
        modality_index: u8,
        options: &FourierOptions,
    ) -> Result<Option<Self>, FactorError> {
        let intensity = IntensityContrast::of(mask, slice)?;
        let measured = || {
            Some(Subject {
                mask,
                slice,
                modality_index,
                aspect_ratio: aspect_ratio(mask)?,
                intensity: intensity?,
                boundary: BoundaryComplexity::of(mask, options)?,
            })
        };
        Ok(measured())
    }

    /// The value of every factor and part of [`FACTORS`].
    pub fn values(&self) -> FactorValues {
        FactorValues::new(FACTORS.iter().map(|factor| (factor.value)(self)))
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
    use crate::measure::Kind;

    #[test]
    fn factors_of_small_structures_are_defined() {
        let picture = Picture::new(3, 3, 1, &[9; 9]).unwrap();
        let measure = |bitmap: &[u8; 9]| {
            let mask = Mask::from_bitmap(3, 3, bitmap);
            Subject::of(&mask, &picture, 4, &FourierOptions::default()).unwrap().map(|subject| subject.values())
        };
        assert_eq!(measure(&[0; 9]), None);
        let pixel = measure(&[0, 0, 0, 0, 1, 0, 0, 0, 0]).unwrap();
        let of_pixel = ["size_px", "aspect_ratio", "boundary_complexity", "intensity_difference", "modality_index"];
        assert_eq!(of_pixel.map(|name| pixel.get(name).unwrap()), [1.0, 1.0, 1.0, 0.0, 4.0]);
        assert_eq!(pixel.reading("fourier_stop"), Some(&"degenerate".into()));
        let line = measure(&[0, 0, 0, 1, 1, 1, 0, 0, 0]).unwrap();
        assert_eq!(line.get("aspect_ratio"), Some(1.0 / 3.0));
        assert!(line.get("fourier_dice").unwrap() > 0.0 && line.get("boundary_complexity").unwrap().is_finite());
        // It fills the image.
        let full = measure(&[1; 9]).unwrap();
        assert_eq!((full.get("intensity_inside"), full.get("intensity_difference_abs")), (Some(9.0), None));
    }

    #[test]
    fn entries_are_complete() {
        for (i, Factor { measure, null_where, .. }) in FACTORS.iter().enumerate() {
            assert!(FACTORS[..i].iter().all(|other| other.measure.name != measure.name), "{}", measure.name);
            assert!(measure.definition.ends_with('.') && !measure.definition.contains("  "), "{}", measure.name);
            assert!(null_where.is_empty() || measure.kind == Kind::NumberOrNull, "{}", measure.name);
        }
    }

    proptest::proptest! {
        #[test]
        fn values_lie_within_their_ranges(
            bitmap in proptest::collection::vec(0u8..2, 60), pixels in proptest::collection::vec(0u8.., 60),
        ) {
            let (mask, picture) = (Mask::from_bitmap(6, 10, &bitmap), Picture::new(6, 10, 1, &pixels).unwrap());
            let Some(subject) = Subject::of(&mask, &picture, 0, &FourierOptions::default()).unwrap() else {
                return Ok(());
            };
            for (measure, reading) in subject.values().iter() {
                let inside = reading.number().is_none_or(|v| measure.range.contains(v));
                proptest::prop_assert!(inside && reading.fits(measure.kind), "{}: {:?}", measure.name, reading);
            }
        }
    }
}
