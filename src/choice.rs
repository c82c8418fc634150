//! The choice of one of the candidates of a prompt. Two stages share it: `predict` stores the candidates that
//! `evaluate` chooses.
//!
//! The paper reports the candidate closest to the ground truth. That is an oracle: users of a model have no ground
//! truth. Results therefore name it `oracle` and report the candidate that the model rates best as `score`.

use crate::mask::Mask;

/// Dice with the smoothing of the released code, `(2 |A∩B| + 0.1) / (|A| + |B| + 0.1)`: for choosing only, two empty
/// masks agree.
///
/// # Panics
/// If the sizes of the masks differ.
pub fn smoothed_dice(a: &Mask, b: &Mask) -> f64 {
    const SMOOTHING: f64 = 0.1;
    (2.0 * a.intersection_area(b) as f64 + SMOOTHING) / ((a.area() + b.area()) as f64 + SMOOTHING)
}

/// Position of the candidate with the best smoothed Dice against the ground truth; the first of equals. `None` without
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

/// The candidates of a prompt that are evaluated, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// The one closest to the ground truth, [`oracle_choice`].
    pub oracle: usize,
    /// The one that the model rates best, [`score_choice`].
    pub score: usize,
}

impl Choices {
    /// The choices among candidates, each a mask and its predicted IoU. `None` without candidates.
    ///
    /// # Panics
    /// If the sizes of the masks differ.
    pub fn of<'a>(candidates: impl Iterator<Item = (&'a Mask, Option<f32>)> + Clone, truth: &Mask) -> Option<Choices> {
        let oracle = oracle_choice(candidates.clone().map(|(mask, _)| mask), truth)?;
        let score = score_choice(candidates.map(|(_, predicted_iou)| predicted_iou))?;
        Some(Choices { oracle, score })
    }

    /// Whether the candidate at a position is chosen.
    pub fn has(self, at: usize) -> bool {
        at == self.oracle || at == self.score
    }
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
        let candidates = [(&half, Some(0.9)), (&full, Some(0.5)), (&other_half, None)];
        let choices = Choices::of(candidates.into_iter(), &full).unwrap();
        assert_eq!((choices.oracle, choices.score), (1, 0));
        assert_eq!([0, 1, 2].map(|at| choices.has(at)), [true, true, false]);
        assert_eq!(Choices::of(std::iter::empty(), &full), None);
    }

    #[test]
    fn smoothing_follows_the_released_code() {
        let a = Mask::from_bitmap(1, 4, &[1, 1, 1, 0]);
        let b = Mask::from_bitmap(1, 4, &[0, 1, 1, 1]);
        assert_eq!(smoothed_dice(&a, &b), 4.1 / 6.1);
        assert_eq!(smoothed_dice(&Mask::empty(1, 4), &Mask::empty(1, 4)), 1.0);
    }
}
