//! Candidates: the masks that a model returns for a prompt.

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
