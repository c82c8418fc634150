//! Pillow's bilinear resampling of 8-bit images, bit for bit.
//!
//! SAM's preprocessing resizes with `PIL.Image.resize(…, BILINEAR)` (through torchvision). Pillow computes in integers:
//! triangle-filter weights with half-pixel centres, rounded to 22 fractional bits, along the width first, rounded to
//! 8 bits, then along the height (`src/libImaging/Resample.c`). The filter widens when an image shrinks. Other
//! bilinear resizers differ by a grey level here and there, which moves the embedding by 1.5 % and a one-point Dice by
//! up to 0.04, so this one follows every rounding.

const FRACTION_BITS: u32 = 22;
const HALF: i32 = 1 << (FRACTION_BITS - 1);

/// The weights of one output position: input positions `first..first + weights.len()`.
struct Window {
    first: usize,
    weights: Vec<i32>,
}

/// Weights for every output position of one axis (`precompute_coeffs` and `normalize_coeffs_8bpc`).
fn windows(input: usize, output: usize) -> Vec<Window> {
    let scale = input as f64 / output as f64;
    let support = scale.max(1.0);
    (0..output)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            // C's conversion to int truncates; both bounds are clamped afterwards.
            let first = ((centre - support + 0.5) as i64).max(0) as usize;
            let end = ((centre + support + 0.5) as i64).min(input as i64) as usize;
            let raw: Vec<f64> =
                (first..end).map(|x| (1.0 - ((x as f64 - centre + 0.5) * (1.0 / support)).abs()).max(0.0)).collect();
            let sum: f64 = raw.iter().sum();
            let fixed = |w: f64| (0.5 + w / sum * f64::from(1u32 << FRACTION_BITS)) as i32;
            Window { first, weights: raw.into_iter().map(fixed).collect() }
        })
        .collect()
}

fn clip(sum: i32) -> u8 {
    (sum >> FRACTION_BITS).clamp(0, 255) as u8
}

/// Resizes an interleaved row-major 8-bit image of `height` x `width` pixels with `channels` values each.
///
/// An axis whose size does not change is left alone, as in Pillow.
///
/// # Panics
/// If a size is 0, or `pixels` has not `height * width * channels` values.
pub fn resize_bilinear(
    pixels: &[u8],
    (height, width, channels): (usize, usize, usize),
    (new_height, new_width): (usize, usize),
) -> Vec<u8> {
    assert!(height > 0 && width > 0 && new_height > 0 && new_width > 0, "an image has at least one pixel");
    assert_eq!(pixels.len(), height * width * channels, "an image has height x width x channels values");
    let wide = match width == new_width {
        true => pixels.to_vec(),
        false => resize_rows(pixels, width, channels, new_width),
    };
    match height == new_height {
        true => wide,
        false => resize_columns(&wide, height, new_width * channels, new_height),
    }
}

/// Horizontal pass: every row on its own.
fn resize_rows(pixels: &[u8], width: usize, channels: usize, new_width: usize) -> Vec<u8> {
    let windows = windows(width, new_width);
    let mut out = Vec::with_capacity(pixels.len() / width * new_width);
    for row in pixels.chunks_exact(width * channels) {
        for window in &windows {
            for c in 0..channels {
                let taps = row[window.first * channels + c..].iter().step_by(channels);
                out.push(clip(HALF + taps.zip(&window.weights).map(|(&p, &w)| i32::from(p) * w).sum::<i32>()));
            }
        }
    }
    out
}

/// Vertical pass: an output row is a weighted sum of whole input rows, which the compiler can vectorise.
fn resize_columns(pixels: &[u8], height: usize, stride: usize, new_height: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(new_height * stride);
    let mut sums = vec![0i32; stride];
    for window in windows(height, new_height) {
        sums.fill(HALF);
        let rows = pixels[window.first * stride..].chunks_exact(stride);
        for (row, &weight) in rows.zip(&window.weights) {
            for (sum, &p) in sums.iter_mut().zip(row) {
                *sum += i32::from(p) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| clip(sum)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.array(PIL.Image.fromarray((np.arange(35) ** 2 * 37).astype("uint8").reshape(5, 7)).resize((w, h),
    /// PIL.Image.BILINEAR))`, Pillow 13.0.0.
    fn picture() -> Vec<u8> {
        (0..35u32).map(|i| (i * i * 37 % 256) as u8).collect()
    }

    #[test]
    fn enlarging_matches_pillow() {
        let expected: &[u8] = &[
            0, 17, 47, 118, 122, 77, 79, 101, 150, 100, 52, 9, 28, 59, 132, 137, 94, 98, 122, 172, 124, 77, 25, 45, 78,
            142, 152, 121, 127, 149, 191, 153, 115, 64, 86, 107, 71, 99, 172, 180, 160, 104, 140, 177, 117, 140, 156,
            72, 80, 155, 166, 149, 95, 134, 172, 182, 207, 225, 145, 96, 72, 85, 114, 164, 133, 100, 128, 154, 175, 96,
            97, 157, 80, 64, 127, 90, 52, 80, 108, 130, 53, 96, 229, 83, 28, 92, 57, 20,
        ];
        assert_eq!(resize_bilinear(&picture(), (5, 7, 1), (8, 11)), expected);
    }

    #[test]
    fn shrinking_matches_pillow() {
        let expected: &[u8] = &[74, 123, 134, 133, 115, 107];
        assert_eq!(resize_bilinear(&picture(), (5, 7, 1), (2, 3)), expected);
    }

    proptest::proptest! {
        #[test]
        fn channels_are_independent(
            h in 1usize..9, w in 1usize..9, nh in 1usize..20, nw in 1usize..20,
            values in proptest::collection::vec(0u8..=255, 3 * 64),
        ) {
            let rgb = &values[..h * w * 3];
            let together = resize_bilinear(rgb, (h, w, 3), (nh, nw));
            for c in 0..3 {
                let plane: Vec<u8> = rgb.iter().skip(c).step_by(3).copied().collect();
                let alone = resize_bilinear(&plane, (h, w, 1), (nh, nw));
                proptest::prop_assert!(together.iter().skip(c).step_by(3).eq(alone.iter()));
            }
        }

        #[test]
        fn a_constant_image_stays_constant(
            h in 1usize..40, w in 1usize..40, nh in 1usize..60, nw in 1usize..60, value in 0u8..=255,
        ) {
            let out = resize_bilinear(&vec![value; h * w], (h, w, 1), (nh, nw));
            proptest::prop_assert_eq!(out, vec![value; nh * nw]);
        }
    }
}
