//! S1, everything mode: a grid of points, three masks each, filtered by quality (`SamAutomaticMaskGenerator` of the
//! original code, without removal of small regions; the paper ran it without crops, which is the default).
//!
//! It runs on the embedding that the other strategies use. Masks are filtered by predicted IoU first, on the decoder's
//! numbers alone: only those that pass are upsampled, to the slice's size, where stability is measured and the mask is
//! cut. Boxes of the rest go through non-maximum suppression. With crops, the same is done on parts of the slice, each
//! encoded separately; masks that touch the edge of a part are dropped, and smaller parts go first.

use super::SamError;
use super::decode::{Decoder, LowResolution, MASK_THRESHOLD, Output};
use super::embed::{Embedding, Encoder};
use super::encoder_input::EncoderClip;
use super::upsample::Upsampler;
use crate::mask::{Mask, PixelBox};
use crate::prompts::{EverythingOptions, Point, Prompt};
use crate::slices::SlicePixels;

/// One mask of everything mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The mask, of the slice's size; never empty.
    pub mask: Mask,
    /// Its inclusive box.
    pub bounds: PixelBox,
    /// The grid point that it came from, in pixels of the slice.
    pub point: [f64; 2],
    /// The decoder's estimate of the IoU.
    pub predicted_iou: f32,
    /// Pixels above the raised threshold over pixels above the lowered one.
    pub stability: f64,
}

/// All masks of a slice, best predicted IoU first. `embedding` is that of the whole slice.
///
/// # Errors
/// The decoder fails.
pub fn everything(
    decoder: &mut Decoder,
    embedding: &Embedding,
    options: &EverythingOptions,
) -> Result<Vec<Segment>, SamError> {
    let points = grid_points(options.grid, embedding.frame.height, embedding.frame.width);
    let found = segments_of_points(decoder, embedding, &points, options)?;
    Ok(suppress_overlaps(found, options.box_iou))
}

/// All masks of a slice and of its crops, best predicted IoU first. `embedding` is that of the whole slice; each crop
/// is encoded here.
///
/// # Errors
/// The encoder or the decoder fails.
pub(crate) fn everything_in_crops(
    encoder: &mut Encoder,
    decoder: &mut Decoder,
    slice: &SlicePixels,
    clip: EncoderClip,
    embedding: &Embedding,
    options: &EverythingOptions,
) -> Result<Vec<Segment>, SamError> {
    let (height, width) = (slice.height(), slice.width());
    let mut found: Vec<(usize, Segment)> =
        everything(decoder, embedding, options)?.into_iter().map(|segment| (height * width, segment)).collect();
    for (layer, [x0, y0, x1, y1]) in crops(height, width, options) {
        let pixels = slice.part([x0, y0, x1, y1]);
        let (crop_height, crop_width) = (y1 - y0, x1 - x0);
        let crop = SlicePixels::new(crop_height, crop_width, slice.channels(), &pixels)?;
        let embedding = encoder.embed(&crop, clip)?;
        let grid = (options.grid / options.crop_downscale.max(1).pow(layer)).max(1);
        let points = grid_points(grid, crop_height, crop_width);
        let mut segments = segments_of_points(decoder, &embedding, &points, options)?;
        for segment in &mut segments {
            segment.mask = segment.mask.placed(height as u32, width as u32, x0 as u32, y0 as u32);
            segment.bounds = std::array::from_fn(|i| segment.bounds[i] + [x0, y0][i % 2] as u32);
            segment.point = [segment.point[0] + x0 as f64, segment.point[1] + y0 as f64];
        }
        segments.retain(|s| !is_cut([x0, y0, x1, y1], [width, height], s.bounds));
        found.extend(suppress_overlaps(segments, options.box_iou).into_iter().map(|s| (crop_height * crop_width, s)));
    }
    // Smaller crops first; then, of what is left, the best first as without crops.
    found.sort_by_key(|(area, _)| *area);
    let mut kept = kept_of(found.into_iter().map(|(_, segment)| segment), options.crop_box_iou);
    kept.sort_by(|a, b| b.predicted_iou.total_cmp(&a.predicted_iou));
    Ok(kept)
}

/// The crops of all layers, each with its layer (from 1) and its box: columns from `x0` up to, not including, `x1`,
/// rows alike (`generate_crop_boxes` of the original code).
fn crops(height: usize, width: usize, options: &EverythingOptions) -> Vec<(u32, [usize; 4])> {
    let mut crops = Vec::new();
    for layer in 1..=options.crop_layers {
        let n = 2usize.pow(layer);
        let overlap = (options.crop_overlap * height.min(width) as f64 * (2.0 / n as f64)) as usize;
        let length = |side: usize| (overlap * (n - 1) + side).div_ceil(n);
        let (w, h) = (length(width), length(height));
        let start = |i: usize, length: usize| length.saturating_sub(overlap) * i;
        for x in 0..n {
            for y in 0..n {
                let (x0, y0) = (start(x, w), start(y, h));
                crops.push((layer, [x0, y0, (x0 + w).min(width), (y0 + h).min(height)]));
            }
        }
    }
    crops.retain(|(_, [x0, y0, x1, y1])| x0 < x1 && y0 < y1);
    crops
}

/// True where a box comes within 20 pixels of an edge of its crop that is none of the slice: its object goes on beyond.
fn is_cut(crop: [usize; 4], [width, height]: [usize; 2], bounds: PixelBox) -> bool {
    const NEAR: u32 = 20;
    let near = |edge: usize, at: u32| (edge as u32).abs_diff(at) <= NEAR;
    let slice = [0, 0, width, height];
    (0..4).any(|i| near(crop[i], bounds[i]) && !near(slice[i], bounds[i]))
}

/// Centres of `grid` x `grid` equal cells of the slice, row by row.
fn grid_points(grid: usize, height: usize, width: usize) -> Vec<[f64; 2]> {
    let centre = |i: usize, length: usize| (i as f64 + 0.5) / grid as f64 * length as f64;
    (0..grid).flat_map(|y| (0..grid).map(move |x| [centre(x, width), centre(y, height)])).collect()
}

/// Masks of single points that pass both filters of everything mode, in the order of the points, overlaps included.
///
/// # Errors
/// A model that fails, or gives tensors of another shape than its interface says.
pub fn segments_of_points(
    decoder: &mut Decoder,
    embedding: &Embedding,
    points: &[[f64; 2]],
    options: &EverythingOptions,
) -> Result<Vec<Segment>, SamError> {
    let prompts: Vec<Prompt> =
        points.iter().map(|[x, y]| Prompt { points: vec![Point::foreground(*x, *y)], bounds: None }).collect();
    let mut upsampler = Upsampler::new(&embedding.frame);
    let mut found = Vec::new();
    // All prompts have one point, so their results come in order.
    decoder.decode(embedding, &prompts, |index, low| {
        found.extend(good_segments(&low, points[index], options, &mut upsampler));
    })?;
    Ok(found)
}

fn good_segments(
    low: &LowResolution,
    point: [f64; 2],
    options: &EverythingOptions,
    upsampler: &mut Upsampler,
) -> Vec<Segment> {
    let mut good = Vec::new();
    for token in Output::Multimask.tokens(low.predicted_iou.len()) {
        let predicted_iou = low.predicted_iou[token];
        if predicted_iou.is_nan() || predicted_iou <= options.predicted_iou {
            continue;
        }
        let logits = low.mask(token);
        let Some(stability) = upsampler
            .stability(logits, MASK_THRESHOLD, options.stability_offset)
            .filter(|stability| *stability >= options.stability)
        else {
            continue;
        };
        let mask = upsampler.mask(logits, MASK_THRESHOLD);
        if let Some(bounds) = mask.bounding_box() {
            good.push(Segment { mask, bounds, point, predicted_iou, stability });
        }
    }
    good
}

/// Non-maximum suppression as torchvision's `nms`: best predicted IoU first, the earlier of equals; a segment is
/// dropped if its box overlaps that of a kept one by more than `box_iou`.
fn suppress_overlaps(mut segments: Vec<Segment>, box_iou: f32) -> Vec<Segment> {
    segments.sort_by(|a, b| b.predicted_iou.total_cmp(&a.predicted_iou));
    kept_of(segments, box_iou)
}

/// The segments whose boxes do not overlap that of an earlier one too much.
fn kept_of(segments: impl IntoIterator<Item = Segment>, box_iou: f32) -> Vec<Segment> {
    let mut kept: Vec<Segment> = Vec::new();
    for segment in segments {
        if kept.iter().all(|better| overlap(better.bounds, segment.bounds) <= box_iou) {
            kept.push(segment);
        }
    }
    kept
}

/// IoU of two boxes as the original code has it: between the centres of the outermost pixels, so that a box of one
/// column has no area. Two boxes without area overlap by 0.
fn overlap(a: PixelBox, b: PixelBox) -> f32 {
    let area = |[x0, y0, x1, y1]: PixelBox| (x1 - x0) as f32 * (y1 - y0) as f32;
    let length = |a0: u32, a1: u32, b0: u32, b1: u32| a1.min(b1).saturating_sub(a0.max(b0)) as f32;
    let shared = length(a[0], a[2], b[0], b[2]) * length(a[1], a[3], b[1], b[3]);
    let united = area(a) + area(b) - shared;
    if united > 0.0 { shared / united } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bounds: PixelBox, predicted_iou: f32) -> Segment {
        Segment { mask: Mask::empty(1, 1), bounds, point: [0.0; 2], predicted_iou, stability: 1.0 }
    }

    #[test]
    fn overlaps_are_suppressed_in_order_of_score() {
        // torchvision.ops.nms on these boxes and scores at 0.7 keeps 1, 3, 2.
        let boxes = [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 4]];
        let scores = [0.8, 0.95, 0.5, 0.8];
        let segments = boxes.iter().zip(scores).map(|(b, s)| segment(*b, s)).collect();
        let kept: Vec<PixelBox> = suppress_overlaps(segments, 0.7).into_iter().map(|s| s.bounds).collect();
        assert_eq!(kept, [boxes[1], boxes[3], boxes[2]]);
    }

    #[test]
    fn boxes_without_area_do_not_overlap() {
        assert_eq!(overlap([3, 3, 3, 9], [3, 3, 3, 9]), 0.0);
        assert_eq!(overlap([0, 0, 10, 10], [0, 0, 10, 10]), 1.0);
        assert_eq!(overlap([0, 0, 10, 10], [5, 0, 15, 10]), 50.0 / 150.0);
    }

    #[test]
    fn the_grid_is_centred() {
        assert_eq!(grid_points(2, 8, 4), [[1.0, 2.0], [3.0, 2.0], [1.0, 6.0], [3.0, 6.0]]);
    }

    #[test]
    fn crops_are_those_of_the_original_code() {
        // generate_crop_boxes((100, 140), 2, 512 / 1500)[0][1:] of segment_anything 1.0.
        let options = EverythingOptions { crop_layers: 2, ..Default::default() };
        let boxes = crops(100, 140, &options);
        assert_eq!(boxes.len(), 4 + 16);
        assert_eq!(
            boxes[..4],
            [(1, [0, 0, 87, 67]), (1, [0, 33, 87, 100]), (1, [53, 0, 140, 67]), (1, [53, 33, 140, 100]),]
        );
        assert_eq!(boxes[4], (2, [0, 0, 48, 38]));
        assert_eq!(boxes[19], (2, [93, 63, 140, 100]));
        assert!(crops(100, 140, &EverythingOptions::default()).is_empty());
    }

    #[test]
    fn what_a_crop_cuts_is_dropped() {
        let crop = [53, 0, 140, 67];
        assert!(is_cut(crop, [140, 100], [60, 10, 100, 40]), "near the left edge of the crop");
        assert!(!is_cut(crop, [140, 100], [80, 2, 139, 40]), "edges of the slice count for nothing");
        assert!(is_cut(crop, [140, 100], [80, 30, 120, 60]), "near its lower edge");
    }
}
