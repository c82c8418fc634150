//! From the decoder's low-resolution logits to a mask of the slice's size.
//!
//! SAM enlarges the 256 x 256 logits bilinearly to the encoder's frame (1024 x 1024), crops the padding, resizes the
//! rest bilinearly to the slice, and thresholds at 0; both steps as torch's `interpolate(mode="bilinear",
//! align_corners=False)`, without antialiasing. Both steps are linear and separable, so they are done as one: every
//! output row is a fixed weighted sum of at most three low-resolution rows, and every output column of at most three
//! columns. No array of the frame's size is allocated, and only the part of the slice that a logit above the threshold
//! can reach is computed: an average of values that are not above the threshold is not above it.
//!
//! Work goes column by column, because masks are stored as column runs ([`crate::mask`]).

use super::encoder_input::ResizedFrame;
use crate::mask::{Mask, RunWriter};

/// One output position: weights of the low-resolution positions `first`, `first + 1` and `first + 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taps {
    first: usize,
    weights: [f32; 3],
}

/// torch's source positions for output `i` of a bilinear step: two neighbours and the weight of the second. Positions
/// are single precision, as torch computes them.
fn neighbours(i: usize, input: usize, output: usize) -> (usize, usize, f64) {
    let scale = input as f32 / output as f32;
    let position = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
    let low = (position as usize).min(input - 1);
    let high = (low + 1).min(input - 1);
    (low, high, f64::from((position - low as f32).clamp(0.0, 1.0)))
}

/// Both steps of one axis: `low` positions enlarged to `frame`, cut to `resized`, resized to `original`.
fn taps(low: usize, frame: usize, resized: usize, original: usize) -> Vec<Taps> {
    (0..original)
        .map(|i| {
            let (m0, m1, t) = neighbours(i, resized, original);
            // The last three positions serve the far edge, where a fourth does not exist.
            let first = neighbours(m0, low, frame).0.min(low - 3);
            let mut weights = [0.0f64; 3];
            for (middle, share) in [(m0, 1.0 - t), (m1, t)] {
                let (l0, l1, u) = neighbours(middle, low, frame);
                weights[l0 - first] += share * (1.0 - u);
                if u > 0.0 {
                    weights[l1 - first] += share * u;
                }
            }
            Taps { first, weights: weights.map(|w| w as f32) }
        })
        .collect()
}

/// The upsampling of all masks of one slice: weights computed once, buffers kept.
#[derive(Debug)]
pub struct Upsampler {
    height: u32,
    width: u32,
    side: usize,
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    transposed: Vec<f32>,
    tall: Vec<f32>,
    column: Vec<f32>,
}

impl Upsampler {
    /// Prepares the weights for a slice.
    pub fn new(frame: &ResizedFrame) -> Self {
        let side = low_resolution_side(frame);
        Upsampler {
            height: frame.height as u32,
            width: frame.width as u32,
            side,
            rows: taps(side, frame.size, frame.resized_height, frame.height),
            columns: taps(side, frame.size, frame.resized_width, frame.width),
            transposed: vec![0.0; side * side],
            tall: vec![0.0; side * frame.height],
            column: vec![0.0; frame.height],
        }
    }

    /// The mask `logit > threshold` at the slice's size, from row-major low-resolution logits.
    pub fn mask(&mut self, logits: &[f32], threshold: f32) -> Mask {
        let height = self.height;
        let mut runs = RunWriter::new(height, self.width);
        self.visit(logits, threshold, |x, top, column| {
            let base = x as u32 * height + top as u32;
            let mut start = None;
            for (y, &logit) in column.iter().enumerate() {
                match (logit > threshold, start) {
                    (true, None) => start = Some(y),
                    (false, Some(s)) => {
                        runs.push(base + s as u32, base + y as u32);
                        start = None;
                    }
                    _ => {}
                }
            }
            if let Some(s) = start {
                runs.push(base + s as u32, base + column.len() as u32);
            }
        });
        runs.finish()
    }

    /// Number of pixels with a logit above `threshold + offset` over the number above `threshold - offset`, at the
    /// slice's size: SAM's stability score. `None` where no pixel is above the lower one.
    pub fn stability(&mut self, logits: &[f32], threshold: f32, offset: f32) -> Option<f64> {
        let (low, high) = (threshold - offset, threshold + offset);
        let (mut wide, mut narrow) = (0u64, 0u64);
        self.visit(logits, low, |_, _, column| {
            for &logit in column {
                wide += u64::from(logit > low);
                narrow += u64::from(logit > high);
            }
        });
        (wide > 0).then(|| narrow as f64 / wide as f64)
    }

    /// Calls `visit(x, top, logits of column x from row top down)` for every column that may hold a logit above
    /// `floor`; pixels that are not visited are not above it.
    fn visit(&mut self, logits: &[f32], floor: f32, mut visit: impl FnMut(usize, usize, &[f32])) {
        let side = self.side;
        assert_eq!(logits.len(), side * side, "logits of one mask");
        let Some((row_range, column_range)) = extent(logits, side, floor) else { return };
        let ys = reached(&self.rows, row_range);
        let xs = reached(&self.columns, column_range);
        if ys.is_empty() || xs.is_empty() {
            return;
        }
        let lows = self.columns[xs.start].first..self.columns[xs.end - 1].first + 3;
        let low_rows = self.rows[ys.start].first..self.rows[ys.end - 1].first + 3;
        for r in low_rows {
            for c in lows.clone() {
                self.transposed[c * side + r] = logits[r * side + c];
            }
        }
        // Vertically first, one low-resolution column at a time …
        let tall_height = ys.len();
        for (slot, c) in lows.clone().enumerate() {
            let source = &self.transposed[c * side..(c + 1) * side];
            let target = &mut self.tall[slot * tall_height..(slot + 1) * tall_height];
            for (value, tap) in target.iter_mut().zip(&self.rows[ys.clone()]) {
                let [a, b, c] = tap.weights;
                *value = a * source[tap.first] + b * source[tap.first + 1] + c * source[tap.first + 2];
            }
        }
        // … then horizontally: a column of the slice is a weighted sum of three of those.
        let column = &mut self.column[..tall_height];
        for x in xs {
            let tap = self.columns[x];
            let three = &self.tall[(tap.first - lows.start) * tall_height..][..3 * tall_height];
            let (left, rest) = three.split_at(tall_height);
            let (middle, right) = rest.split_at(tall_height);
            let [a, b, c] = tap.weights;
            for (((value, l), m), r) in column.iter_mut().zip(left).zip(middle).zip(right) {
                *value = a * l + b * m + c * r;
            }
            visit(x, ys.start, column);
        }
    }
}

/// Side of the decoder's low-resolution masks.
pub fn low_resolution_side(frame: &ResizedFrame) -> usize {
    frame.size / 4
}

/// First and last row and column with a logit above `floor`.
fn extent(logits: &[f32], side: usize, floor: f32) -> Option<([usize; 2], [usize; 2])> {
    let mut found: Option<([usize; 2], [usize; 2])> = None;
    for (r, row) in logits.chunks_exact(side).enumerate() {
        let Some(left) = row.iter().position(|&v| v > floor) else { continue };
        let right = row.iter().rposition(|&v| v > floor).unwrap_or(left);
        let (rows, columns) = found.get_or_insert(([r, r], [left, right]));
        rows[1] = r;
        *columns = [columns[0].min(left), columns[1].max(right)];
    }
    found
}

/// Output positions whose three taps meet `low..=high`. They are contiguous, because taps move in order.
fn reached(taps: &[Taps], [low, high]: [usize; 2]) -> std::ops::Range<usize> {
    taps.partition_point(|t| t.first + 2 < low)..taps.partition_point(|t| t.first <= high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One bilinear step, straight from torch's definition, on a row-major array.
    fn interpolate(values: &[f64], (h, w): (usize, usize), (nh, nw): (usize, usize)) -> Vec<f64> {
        let mut out = Vec::new();
        for y in 0..nh {
            let (y0, y1, ty) = neighbours(y, h, nh);
            for x in 0..nw {
                let (x0, x1, tx) = neighbours(x, w, nw);
                let row = |r: usize| values[r * w + x0] * (1.0 - tx) + values[r * w + x1] * tx;
                out.push(row(y0) * (1.0 - ty) + row(y1) * ty);
            }
        }
        out
    }

    /// The two steps with the crop between them, as SAM's `postprocess_masks` writes them.
    fn in_two_steps(logits: &[f32], frame: &ResizedFrame) -> Vec<f64> {
        let (low, size) = (frame.size / 4, frame.size);
        let wide: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
        let large = interpolate(&wide, (low, low), (size, size));
        let cropped: Vec<f64> = large
            .chunks_exact(size)
            .take(frame.resized_height)
            .flat_map(|row| row[..frame.resized_width].to_vec())
            .collect();
        interpolate(&cropped, (frame.resized_height, frame.resized_width), (frame.height, frame.width))
    }

    #[test]
    fn neighbours_are_those_of_torch() {
        // F.interpolate(torch.arange(4.).view(1, 1, 4), 8, mode="linear"): 0, .25, .75, 1.25, …, 2.75, 3
        let values: Vec<f64> = (0..8)
            .map(|i| {
                let (a, b, t) = neighbours(i, 4, 8);
                a as f64 * (1.0 - t) + b as f64 * t
            })
            .collect();
        assert_eq!(values, [0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(40))]
        #[test]
        fn one_step_equals_two(h in 1usize..200, w in 1usize..200, seed in 0u64..1_000_000) {
            let frame = ResizedFrame::new(h, w, 64);
            let mut state = seed;
            let logits: Vec<f32> = (0..16 * 16)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 40) as f32 / (1u32 << 24) as f32 * 8.0 - 6.5
                })
                .collect();
            let slow = in_two_steps(&logits, &frame);
            let mut upsampler = Upsampler::new(&frame);
            let bitmap = upsampler.mask(&logits, 0.0).to_bitmap();
            for (i, (&ours, &value)) in bitmap.iter().zip(&slow).enumerate() {
                proptest::prop_assert!(value.abs() < 1e-4 || (ours == 1) == (value > 0.0), "pixel {} has {}", i, value);
            }
            let count = |t: f64| slow.iter().filter(|v| **v > t).count() as f64;
            let stability = upsampler.stability(&logits, 0.0, 1.0);
            if count(-1.0) > 0.0 {
                let difference = stability.unwrap_or(0.0) - count(1.0) / count(-1.0);
                proptest::prop_assert!(difference.abs() < 0.02, "{:?}", stability);
            }
        }
    }

    #[test]
    fn nothing_above_the_threshold_is_an_empty_mask() {
        let mut upsampler = Upsampler::new(&ResizedFrame::new(50, 70, 64));
        assert!(upsampler.mask(&[-1.0; 256], 0.0).is_empty());
        assert_eq!(upsampler.stability(&[-2.0; 256], 0.0, 1.0), None);
        assert_eq!(upsampler.mask(&[1.0; 256], 0.0).area(), 50 * 70);
    }

    #[test]
    fn logits_that_are_not_numbers_are_no_pixels() {
        let mut upsampler = Upsampler::new(&ResizedFrame::new(50, 70, 64));
        assert!(upsampler.mask(&[f32::NAN; 256], 0.0).is_empty());
    }
}
