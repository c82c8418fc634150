//! Boundary IoU (Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR 2021).
//!
//! A boundary is the band of a mask's pixels nearer to its outside than a distance that depends on the image's size.
//! The authors' code erodes with a 3 x 3 square as many times as the distance says, with the image border as outside;
//! eroding once with the square of that radius is the same.

use super::Overlap;
use crate::mask::Mask;

/// Width of the band in pixels: `ratio` times the image's diagonal, rounded, at least 1.
pub fn boundary_width(height: u32, width: u32, ratio: f64) -> u32 {
    let diagonal = (height as f64).hypot(width as f64);
    (ratio * diagonal).round_ties_even().max(1.0) as u32
}

/// Overlap of the boundary bands of two masks: its IoU is the boundary IoU. A band is empty only where its mask is.
///
/// # Panics
/// If the sizes differ.
pub fn boundary_overlap(prediction: &Mask, truth: &Mask, ratio: f64) -> Overlap {
    let radius = boundary_width(truth.height(), truth.width(), ratio);
    let band = |mask: &Mask| mask.difference(&mask.eroded_by_square(radius));
    Overlap::of(&band(prediction), &band(truth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn band_of_a_square() {
        assert_eq!(boundary_width(512, 512, 0.02), 14);
        assert_eq!(boundary_width(10, 10, 0.02), 1);
        let square = |from: usize, to: usize| {
            Mask::from_predicate(100, 100, |i| (from..to).contains(&(i % 100)) && (from..to).contains(&(i / 100)))
        };
        // Width 3 of 141 pixels of diagonal: a ring of 20² - 14² pixels.
        let overlap = boundary_overlap(&square(30, 50), &square(30, 50), 0.02);
        assert_eq!((overlap.intersection, overlap.union()), (400 - 196, 400 - 196));
        // A square one pixel smaller on each side shares two of the three rings.
        let overlap = boundary_overlap(&square(31, 49), &square(30, 50), 0.02);
        assert_eq!(overlap.intersection, 18 * 18 - 14 * 14);
    }

    #[test]
    fn a_mask_that_fills_the_image_still_has_a_boundary() {
        let full = Mask::from_predicate(100, 100, |_| true);
        assert_eq!(boundary_overlap(&full, &full, 0.02).truth_area, 10_000 - 94 * 94);
    }
}
