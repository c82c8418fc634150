//! Counts of shared pixels, and the metrics that follow from them alone.

use crate::mask::Mask;

/// How many pixels a prediction and a truth have, and share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Pixels in both.
    pub intersection: u64,
    /// Pixels of the prediction.
    pub prediction_area: u64,
    /// Pixels of the ground truth.
    pub truth_area: u64,
}

/// Which of two masks has no pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Empty {
    /// The prediction: the model found nothing.
    Prediction,
    /// The truth: there was nothing to find.
    Truth,
    /// Both: nothing was there, and nothing was found.
    Both,
}

impl Overlap {
    /// Counts the pixels of two masks, on their runs.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn of(prediction: &Mask, truth: &Mask) -> Self {
        Overlap {
            intersection: prediction.intersection_area(truth),
            prediction_area: prediction.area(),
            truth_area: truth.area(),
        }
    }

    /// Pixels in at least one of the two.
    pub fn union(&self) -> u64 {
        self.prediction_area + self.truth_area - self.intersection
    }

    /// Which mask is empty, if any.
    pub fn empty(&self) -> Option<Empty> {
        match (self.prediction_area, self.truth_area) {
            (0, 0) => Some(Empty::Both),
            (0, _) => Some(Empty::Prediction),
            (_, 0) => Some(Empty::Truth),
            _ => None,
        }
    }

    /// `2 |A∩B| / (|A| + |B|)`, not smoothed; 1 where both are empty (where MedPy `dc` gives NaN).
    pub fn dice(&self) -> f64 {
        ratio_or_one(2 * self.intersection, self.prediction_area + self.truth_area)
    }

    /// Intersection over union, the Jaccard index; 1 where both are empty (as MedPy `jc`).
    pub fn iou(&self) -> f64 {
        ratio_or_one(self.intersection, self.union())
    }

    /// `(3 dice - 2) / dice`: 1 for a perfect match, 0 where errors weigh as much as the intersection, and without
    /// bound below; `None` where Dice is 0.
    pub fn conformity(&self) -> Option<f64> {
        let dice = self.dice();
        (dice > 0.0).then(|| (3.0 * dice - 2.0) / dice)
    }

    /// `(|prediction| - |truth|) / |truth|`, as MedPy `ravd`; `None` where the ground truth is empty.
    pub fn area_difference(&self) -> Option<f64> {
        let (prediction, truth) = (self.prediction_area as f64, self.truth_area as f64);
        (truth > 0.0).then(|| (prediction - truth) / truth)
    }
}

fn ratio_or_one(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
