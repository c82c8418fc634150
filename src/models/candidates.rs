//! Choosing one of the candidate masks of a prompt.
//!
//! The paper matches masks: of the candidates it reports the one that agrees best with the ground truth. That is an
//! oracle, which no user of a model has, so results name it so and the candidate that the model itself rates best stands beside
//! it.

use crate::mask::Mask;

/// A mask that a model offers, and how it rates it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The mask, of the slice's size.
    pub mask: Mask,
    /// The model's own estimate of the IoU with the object; may exceed 1. `None` where the model has none.
    pub predicted_iou: Option<f32>,
    /// Pixels above a raised threshold over pixels above a lowered one; `None` where the model does not measure it.
    pub stability: Option<f32>,
}

impl Candidate {
    /// A mask that the model does not rate.
    pub fn unrated(mask: Mask) -> Self {
        Candidate { mask, predicted_iou: None, stability: None }
    }
}

/// Dice with the smoothing of the released code, `(2 |A∩B| + 0.1) / (|A| + |B| + 0.1)`: for choosing only, two empty
/// masks agree.
///
/// # Panics
/// If the sizes of the masks differ.
pub fn smoothed_dice(a: &Mask, b: &Mask) -> f64 {
    const SMOOTHING: f64 = 0.1;
    (2.0 * a.intersection(b) as f64 + SMOOTHING) / ((a.area() + b.area()) as f64 + SMOOTHING)
}

/// Position of the candidate with the best smoothed Dice against the truth; the first of equals. `None` without
/// candidates.
///
/// # Panics
/// If the sizes of the masks differ.
pub fn oracle_choice<'a>(candidates: impl IntoIterator<Item = &'a Mask>, truth: &Mask) -> Option<usize> {
    first_best(candidates.into_iter().map(|mask| smoothed_dice(mask, truth)))
}

/// Position of the candidate with the highest predicted IoU; the first of equals, and the first where a model predicts
/// none. `None` without candidates.
pub fn score_choice(predicted_iou: impl IntoIterator<Item = Option<f32>>) -> Option<usize> {
    first_best(predicted_iou.into_iter().map(|iou| iou.map_or(f64::NAN, f64::from)))
}

fn first_best(scores: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, score) in scores.enumerate() {
        if best.is_none_or(|(_, b)| score > b || b.is_nan() && !score.is_nan()) {
            best = Some((i, score));
        }
    }
    best.map(|(i, _)| i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_wins() {
        let full = Mask::from_bitmap(1, 4, &[1, 1, 1, 1]);
        let half = Mask::from_bitmap(1, 4, &[1, 1, 0, 0]);
        let other_half = Mask::from_bitmap(1, 4, &[0, 0, 1, 1]);
        assert_eq!(oracle_choice([&half, &other_half], &full), Some(0));
        assert_eq!(oracle_choice([&half, &full, &other_half], &full), Some(1));
        assert_eq!(oracle_choice(std::iter::empty(), &full), None);
        assert_eq!(score_choice([Some(0.5), Some(0.9), Some(0.9)]), Some(1));
        assert_eq!(score_choice([Some(f32::NAN), None, Some(0.1)]), Some(2));
        assert_eq!(score_choice([None, None]), Some(0));
        assert_eq!(score_choice([]), None);
    }

    #[test]
    fn smoothing_follows_the_released_code() {
        let a = Mask::from_bitmap(1, 4, &[1, 1, 1, 0]);
        let b = Mask::from_bitmap(1, 4, &[0, 1, 1, 1]);
        assert_eq!(smoothed_dice(&a, &b), 4.1 / 6.1);
        assert_eq!(smoothed_dice(&Mask::empty(1, 4), &Mask::empty(1, 4)), 1.0);
    }
}
