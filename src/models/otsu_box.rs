//! `otsu-box`: a baseline without a network, from the box of S5. It needs no weights, so it demonstrates the pipeline
//! without SAM and gives a lower bound that a learned model should exceed. The bound is low: on the 56 objects of the
//! released slices its mean Dice is 0.47, that of the filled box 0.67, that of MobileSAM's best candidate 0.73 (a
//! myocardium has the brighter blood pool in its middle, a pancreas hardly any contrast).
//!
//! Inside the box, Otsu's threshold (IEEE Trans. SMC 9:62, 1979) divides the pixels into a dark and a bright class. The
//! object is the class that is more frequent in the middle of the box than at its rim, because a tight box has the
//! object in the middle and background in the corners. The mask is the largest connected region of that class in the
//! box. Only the image and the box are used, never the ground truth.

use super::{BuiltIn, Candidate, PreparedSlice, Result, Segmenter};
use crate::mask::Mask;
use crate::mask::regions::Bitmap;
use crate::prompts::{Prompt, Strategy};
use crate::slices::SlicePixels;

/// The baseline in the list of models.
pub(super) const BUILT_IN: BuiltIn =
    BuiltIn { name: "otsu-box", about: "the baseline without weights", open: |_| Ok(Box::new(OtsuBox)) };

/// Version of the rule: raise it with every change of what it gives.
const VERSION: &str = "1";

/// The baseline: Otsu's threshold inside the box. It takes the box strategy alone.
#[derive(Clone, Copy, Debug)]
pub struct OtsuBox;

impl Segmenter for OtsuBox {
    fn name(&self) -> &str {
        BUILT_IN.name
    }

    fn digest(&self) -> String {
        VERSION.to_string()
    }

    fn takes(&self, strategy: Strategy) -> bool {
        strategy == Strategy::Box
    }

    fn prepare<'s>(&'s self, slice: SlicePixels<'s>) -> Result<Box<dyn PreparedSlice + 's>> {
        Ok(Box::new(GreySlice::new(&slice)))
    }
}

/// A slice as it is stored, RGB by its luma.
struct GreySlice {
    height: usize,
    width: usize,
    luma: Vec<u8>,
}

impl PreparedSlice for GreySlice {
    fn predict(&mut self, prompts: &[Prompt]) -> Result<Vec<Vec<Candidate>>> {
        let object = |prompt: &Prompt| {
            let bounds = prompt.bounds.ok_or("otsu-box takes a box, and the prompt has none")?;
            Ok(vec![Candidate::unrated(self.object_in(bounds))])
        };
        prompts.iter().map(object).collect()
    }
}

impl GreySlice {
    fn new(slice: &SlicePixels) -> Self {
        GreySlice { height: slice.height(), width: slice.width(), luma: slice.luma() }
    }

    /// The object in a box `[x_min, y_min, x_max, y_max]` (inclusive pixels; fractions are rounded, and the box is
    /// clipped to the slice). A box without contrast is the object as a whole.
    fn object_in(&self, bounds: [f64; 4]) -> Mask {
        let GreySlice { height, width, ref luma } = *self;
        let clip = |value: f64, length: usize| value.round().clamp(0.0, (length - 1) as f64) as usize;
        let (x0, x1) = (clip(bounds[0].min(bounds[2]), width), clip(bounds[0].max(bounds[2]), width));
        let (y0, y1) = (clip(bounds[1].min(bounds[3]), height), clip(bounds[1].max(bounds[3]), height));
        let inside: Vec<u8> = (y0..=y1).flat_map(|y| luma[y * width + x0..=y * width + x1].iter().copied()).collect();
        let (h, w) = (y1 - y0 + 1, x1 - x0 + 1);
        let class = match otsu_threshold(&inside) {
            Some(threshold) => object_class(&inside, w, threshold),
            None => Bitmap { height: h, width: w, pixels: vec![1; h * w] },
        };
        let object = class.largest_region().unwrap_or(class);
        Mask::from_predicate(height as u32, width as u32, |i| {
            let (y, x) = (i / width, i % width);
            (y0..=y1).contains(&y) && (x0..=x1).contains(&x) && object.pixels[(y - y0) * w + x - x0] != 0
        })
    }
}

/// Otsu's threshold: the dark class is `value <= threshold`. The first of equal maxima of the variance between the
/// classes; `None` where all values are equal.
fn otsu_threshold(values: &[u8]) -> Option<u8> {
    let mut histogram = [0u64; 256];
    values.iter().for_each(|&v| histogram[v as usize] += 1);
    let total: u64 = values.len() as u64;
    let sum: u64 = histogram.iter().enumerate().map(|(v, n)| v as u64 * n).sum();
    let (mut dark, mut dark_sum) = (0u64, 0u64);
    let mut best: Option<(u8, f64)> = None;
    for value in 0..=255u8 {
        dark += histogram[value as usize];
        dark_sum += u64::from(value) * histogram[value as usize];
        let bright = total - dark;
        if dark == 0 || bright == 0 {
            continue;
        }
        let difference = dark_sum as f64 / dark as f64 - (sum - dark_sum) as f64 / bright as f64;
        let between = dark as f64 * bright as f64 * difference * difference;
        if best.is_none_or(|(_, b)| between > b) {
            best = Some((value, between));
        }
    }
    best.map(|(value, _)| value)
}

/// The bright or the dark pixels of a box: the class whose share in the middle half of both axes exceeds its share in
/// the rim (an eighth of each side, at least one pixel) by more. Bright where neither does.
fn object_class(values: &[u8], width: usize, threshold: u8) -> Bitmap {
    let height = values.len() / width;
    let in_middle = |i: usize, n: usize| i >= n / 4 && i < n - n / 4;
    let in_rim = |i: usize, n: usize| i < (n / 8).max(1) || i >= n - (n / 8).max(1);
    let (mut middle, mut rim) = ([0u64; 2], [0u64; 2]);
    for (i, &value) in values.iter().enumerate() {
        let (y, x) = (i / width, i % width);
        let bright = usize::from(value > threshold);
        if in_middle(y, height) && in_middle(x, width) {
            middle[bright] += 1;
        }
        if in_rim(y, height) || in_rim(x, width) {
            rim[bright] += 1;
        }
    }
    let bright_share = |[dark, bright]: [u64; 2]| bright as f64 / ((dark + bright) as f64).max(1.0);
    let object_is_bright = bright_share(middle) >= bright_share(rim);
    let pixels = values.iter().map(|&v| u8::from((v > threshold) == object_is_bright)).collect();
    Bitmap { height, width, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otsu_box(slice: &SlicePixels, bounds: [f64; 4]) -> Mask {
        GreySlice::new(slice).object_in(bounds)
    }

    fn disc(background: u8, object: u8) -> (Vec<u8>, Mask) {
        let inside = |i: usize| ((i % 40) as i32 - 20).pow(2) + ((i / 40) as i32 - 15).pow(2) <= 64;
        let pixels = (0..30 * 40).map(|i| if inside(i) { object } else { background } + (i % 3) as u8).collect();
        (pixels, Mask::from_predicate(30, 40, inside))
    }

    #[test]
    fn bright_and_dark_objects_are_found() {
        for (background, object) in [(20, 200), (200, 20), (100, 110)] {
            let (pixels, truth) = disc(background, object);
            let slice = SlicePixels::new(30, 40, 1, &pixels).unwrap();
            let bounds = truth.bounding_box().unwrap().map(f64::from);
            assert_eq!(otsu_box(&slice, bounds), truth, "{object} on {background}");
        }
    }

    #[test]
    fn otsu_is_that_of_scikit_image() {
        // skimage.filters.threshold_otsu(np.array([10, 10, 12, 50, 52, 60, 200], np.uint8)) = 60
        assert_eq!(otsu_threshold(&[10, 10, 12, 50, 52, 60, 200]), Some(60));
        assert_eq!(otsu_threshold(&[7; 9]), None);
    }

    #[test]
    fn odd_boxes_do_no_harm() {
        let slice = SlicePixels::new(2, 3, 1, &[5, 5, 5, 5, 5, 5]).unwrap();
        assert_eq!(otsu_box(&slice, [0.0, 0.0, 2.0, 1.0]).area(), 6);
        assert_eq!(otsu_box(&slice, [-9.0, -9.0, 99.0, 99.0]).area(), 6);
        assert_eq!(otsu_box(&slice, [2.0, 1.0, 0.0, 0.0]).area(), 6);
        assert_eq!(otsu_box(&slice, [f64::NAN; 4]).area(), 1);
    }

    proptest::proptest! {
        #[test]
        fn the_mask_stays_in_the_box(
            pixels in proptest::collection::vec(0u8..=255, 90), x in 0u32..10, y in 0u32..9, w in 0u32..10, h in 0u32..9,
        ) {
            let slice = SlicePixels::new(9, 10, 1, &pixels).unwrap();
            let (x1, y1) = ((x + w).min(9), (y + h).min(8));
            let mask = otsu_box(&slice, [x, y, x1, y1].map(f64::from));
            let [a, b, c, d] = mask.bounding_box().unwrap();
            proptest::prop_assert!(a >= x && b >= y && c <= x1 && d <= y1);
        }
    }
}
