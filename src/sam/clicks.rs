//! Simulated interaction (protocol 7): one click after the other, each where the segmentation is most wrong, for
//! comparison with interactive methods such as FocalClick and SimpleClick.
//!
//! The next click goes to the largest connected region of error, at the point farthest from the region's border
//! (which the border of the slice counts as): positive where object is missing, negative where background is taken for
//! object. SAM gets all clicks so far, and its logits of the last step as a mask prompt, as it was trained.

use serde::{Deserialize, Serialize};

use super::SamError;
use super::decode::{Decoder, Output};
use super::embed::Embedding;
use super::prompts::{Point, Prompt};
use super::regions::Bitmap;
use super::upsample::Upsampler;
use crate::choice::{oracle_choice, score_choice};
use crate::mask::Mask;

/// Which candidate a simulated user goes on with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClickChoice {
    /// The one that SAM rates best. The default: methods that are compared with have no oracle.
    #[default]
    Score,
    /// The one that agrees best with the truth.
    Oracle,
}

/// What decides a simulated interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickOptions {
    /// Most clicks.
    pub clicks: usize,
    /// Candidate after each click.
    pub choice: ClickChoice,
    /// Give the last logits as a mask prompt. Decoders without such an input do without.
    pub mask_prompt: bool,
}

impl Default for ClickOptions {
    fn default() -> Self {
        ClickOptions { clicks: 10, choice: ClickChoice::Score, mask_prompt: true }
    }
}

/// One step of an interaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Click {
    /// Where, and whether positive.
    pub point: Point,
    /// The segmentation after this click.
    pub mask: Mask,
    /// SAM's own estimate of its IoU.
    pub predicted_iou: f32,
    /// Its IoU with the truth.
    pub iou: f64,
    /// Its Dice with the truth.
    pub dice: f64,
}

/// Simulates clicks on one object. It ends early where nothing is wrong any more, and is empty for an empty truth.
///
/// # Errors
/// The decoder fails.
///
/// # Panics
/// If the truth has not the size of the slice.
pub fn simulate_clicks(
    decoder: &mut Decoder,
    embedding: &Embedding,
    truth: &Mask,
    options: &ClickOptions,
) -> Result<Vec<Click>, SamError> {
    let mut upsampler = Upsampler::new(&embedding.frame);
    let mut prompt = Prompt::default();
    let mut mask = Mask::empty(truth.height(), truth.width());
    let mut logits: Option<Vec<f32>> = None;
    let mut done = Vec::new();
    while done.len() < options.clicks && !truth.is_empty() {
        let Some(point) = next_click(truth, &mask) else { break };
        prompt.points.push(point);
        let low = decoder.refine(embedding, &prompt, logits.as_deref())?;
        let candidates = low.candidates(Output::Multimask, &mut upsampler);
        let choice = match options.choice {
            ClickChoice::Score => score_choice(candidates.iter().map(|c| Some(c.predicted_iou))),
            ClickChoice::Oracle => oracle_choice(candidates.iter().map(|c| &c.mask), truth),
        };
        // A decoder gives at least one mask: its shapes have been checked.
        let Some(chosen) = choice.and_then(|i| candidates.into_iter().nth(i)) else { break };
        logits = options.mask_prompt.then(|| low.mask(chosen.token).to_vec());
        let predicted_iou = chosen.predicted_iou;
        mask = chosen.mask;
        let shared = mask.intersection(truth) as f64;
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
pub fn next_click(truth: &Mask, prediction: &Mask) -> Option<Point> {
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
    use crate::sam::golden::{label_mask, runtime_and_model, slice_file};
    use crate::sam::{Encoder, EncoderClip, SessionOptions, SlicePixels};

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
        let click = |iou| Click { point, mask: mask.clone(), predicted_iou: 0.0, iou, dice: 0.0 };
        let clicks = [click(0.2), click(0.85), click(0.8), click(0.92)];
        assert_eq!(number_of_clicks(&clicks, 0.85, 10), 2);
        assert_eq!(number_of_clicks(&clicks, 0.9, 10), 4);
        assert_eq!(number_of_clicks(&clicks, 0.95, 10), 10);
    }

    #[test]
    fn clicks_improve_a_real_segmentation() {
        let Some((runtime, model)) = runtime_and_model() else { return };
        let (height, width, pixels) = slice_file("22_Heart_4_6");
        let slice = SlicePixels::new(height, width, 1, &pixels).unwrap();
        let options = SessionOptions { threads: 2, ..Default::default() };
        let embedding = Encoder::load(&runtime, &model, options).unwrap().embed(&slice, EncoderClip::None).unwrap();
        let mut decoder = Decoder::load(&runtime, &model, options).unwrap();
        let truth = label_mask("22_Heart_4_6", 85);
        for choice in [ClickChoice::Score, ClickChoice::Oracle] {
            for mask_prompt in [false, true] {
                let options = ClickOptions { clicks: 5, choice, mask_prompt };
                let clicks = simulate_clicks(&mut decoder, &embedding, &truth, &options).unwrap();
                let dice: Vec<f64> = clicks.iter().map(|c| c.dice).collect();
                println!("{choice:?}, mask prompt {mask_prompt}: {dice:.3?}");
                assert!(clicks[0].point.foreground);
                assert!(dice.iter().skip(1).any(|d| *d > dice[0]), "{dice:?}");
                let again = simulate_clicks(&mut decoder, &embedding, &truth, &options).unwrap();
                assert_eq!(clicks, again);
            }
        }
    }
}
