//! Simulated interaction (docs/protocol.md, 7): one click after another, each in the largest error region, for
//! comparison with interactive methods such as FocalClick and SimpleClick.
//!
//! The next click goes to the largest connected region of error, at the point farthest from the region's border (which
//! the border of the slice counts as): positive if object is missing, negative if background is marked as object. The
//! model gets all clicks so far, and its logits of the last step as a mask prompt, as SAM was trained.

use serde::{Deserialize, Serialize};

use super::{PreparedSlice, Result};
use crate::choice::{oracle_choice, score_choice};
use crate::mask::Mask;
use crate::mask::regions::Bitmap;
use crate::prompts::{Point, Prompt};
use crate::store::Choice;

/// What decides a simulated interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickOptions {
    /// Most clicks.
    pub clicks: usize,
    /// The candidate that a simulated user goes on with after each click. The default is the one that the model rates
    /// best: methods that are compared with have no oracle.
    pub choice: Choice,
    /// Give the last logits as a mask prompt. Models without such an input do without.
    pub mask_prompt: bool,
}

impl Default for ClickOptions {
    fn default() -> Self {
        ClickOptions { clicks: 10, choice: Choice::Score, mask_prompt: true }
    }
}

/// One step of an interaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Click {
    /// Where, and whether positive.
    pub point: Point,
    /// The segmentation after this click.
    pub mask: Mask,
    /// The model's own estimate of its IoU.
    pub predicted_iou: Option<f32>,
    /// Its IoU with the ground truth.
    pub iou: f64,
    /// Its Dice with the ground truth.
    pub dice: f64,
}

/// Simulates clicks on one object. It ends early where nothing is wrong any more, and is empty for an empty truth.
///
/// # Errors
/// The model fails.
///
/// # Panics
/// If the ground truth has not the size of the slice.
pub fn simulate_clicks(slice: &mut dyn PreparedSlice, truth: &Mask, options: &ClickOptions) -> Result<Vec<Click>> {
    let mut prompt = Prompt::default();
    let mut mask = Mask::empty(truth.height(), truth.width());
    let mut logits: Option<Vec<f32>> = None;
    let mut done = Vec::new();
    while done.len() < options.clicks && !truth.is_empty() {
        let Some(point) = next_click(truth, &mask) else { break };
        prompt.points.push(point);
        let offered = slice.refine(&prompt, logits.as_deref())?;
        let choice = match options.choice {
            Choice::Score => score_choice(offered.iter().map(|o| o.candidate.predicted_iou)),
            Choice::Oracle => oracle_choice(offered.iter().map(|o| &o.candidate.mask), truth),
        };
        // A model that finds nothing ends the interaction.
        let Some(chosen) = choice.and_then(|i| offered.into_iter().nth(i)) else { break };
        logits = Some(chosen.logits).filter(|logits| options.mask_prompt && !logits.is_empty());
        let predicted_iou = chosen.candidate.predicted_iou;
        mask = chosen.candidate.mask;
        let shared = mask.intersection_area(truth) as f64;
        let both = (mask.area() + truth.area()) as f64;
        let (iou, dice) = (shared / (both - shared), 2.0 * shared / both);
        done.push(Click { point, mask: mask.clone(), predicted_iou, iou, dice });
    }
    Ok(done)
}

/// Number of clicks until the IoU is at least `iou` (NoC@85, NoC@90); `most` where it never is.
pub fn number_of_clicks(clicks: &[Click], iou: f64, most: usize) -> usize {
    clicks.iter().position(|c| c.iou >= iou).map_or(most, |i| i + 1)
}

/// Where a user would click next; `None` where the two masks are equal. Missing object goes before false object of the
/// same size.
///
/// # Panics
/// If the sizes of the masks differ.
pub(crate) fn next_click(truth: &Mask, prediction: &Mask) -> Option<Point> {
    assert_eq!((truth.height(), truth.width()), (prediction.height(), prediction.width()), "masks of one slice");
    let (wanted, given) = (truth.to_bitmap(), prediction.to_bitmap());
    let error = |from: &[u8], without: &[u8]| {
        let pixels = from.iter().zip(without).map(|(a, b)| a & !b & 1).collect();
        Bitmap { height: truth.height() as usize, width: truth.width() as usize, pixels }.largest_region()
    };
    let (missing, false_object) = (error(&wanted, &given), error(&given, &wanted));
    let area = |region: &Option<Bitmap>| region.as_ref().map_or(0, Bitmap::area);
    let foreground = area(&missing) >= area(&false_object);
    let [x, y] = if foreground { missing } else { false_object }?.deepest_pixel()?;
    Some(Point { x: x as f64, y: y as f64, foreground })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: u32, y: u32, side: u32) -> Mask {
        Mask::from_predicate(40, 50, |i| {
            let (u, v) = (i as u32 % 50, i as u32 / 50);
            (x..x + side).contains(&u) && (y..y + side).contains(&v)
        })
    }

    #[test]
    fn the_click_goes_to_the_middle_of_the_largest_error() {
        let nothing = Mask::empty(40, 50);
        assert_eq!(next_click(&square(10, 20, 5), &nothing), Some(Point::foreground(12.0, 22.0)));
        assert_eq!(next_click(&nothing, &square(10, 20, 5)), Some(Point::background(12.0, 22.0)));
        // A missing square of 7 outweighs a false one of 5.
        assert_eq!(next_click(&square(2, 2, 7), &square(30, 20, 5)), Some(Point::foreground(5.0, 5.0)));
        assert_eq!(next_click(&square(2, 2, 5), &square(30, 20, 7)), Some(Point::background(33.0, 23.0)));
        assert_eq!(next_click(&square(2, 2, 5), &square(2, 2, 5)), None);
    }

    #[test]
    fn clicks_are_counted() {
        let (point, mask) = (Point::foreground(0.0, 0.0), Mask::empty(1, 1));
        let click = |iou| Click { point, mask: mask.clone(), predicted_iou: None, iou, dice: 0.0 };
        let clicks = [click(0.2), click(0.85), click(0.8), click(0.92)];
        assert_eq!(number_of_clicks(&clicks, 0.85, 10), 2);
        assert_eq!(number_of_clicks(&clicks, 0.9, 10), 4);
        assert_eq!(number_of_clicks(&clicks, 0.95, 10), 10);
    }
}
