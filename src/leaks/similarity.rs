//! Similarity of two images: the correlation of their local contrast.
//!
//! The local contrast of a field is its grey level minus the mean of the fields around it (5 x 5), over their deviation
//! plus a constant of 4 grey levels, below which contrast counts as noise.

use crate::slices::THUMBNAIL_SIDE;

/// Half of the width of the surroundings, without the field itself.
const REACH: usize = 2;
/// Grey levels.
const NOISE: f32 = 4.0;
/// Standard deviation of the grey levels of a thumbnail, below which it shows nothing that could be distinguished.
const FLAT: f32 = 2.0;
/// Deviation of the values of a [`Signature`]: values of up to five deviations fit a byte.
const SCALE: f32 = 25.0;
/// Difference of two values of a signature that is no accident.
pub(super) const CLEAR: i32 = 12;
/// Values of a thumbnail.
pub(super) const FIELDS: usize = THUMBNAIL_SIDE * THUMBNAIL_SIDE;

/// Local contrast of a square of grey levels, row by row, of mean 0 and length 1; all 0 where there is none.
pub(crate) fn local_contrast(levels: &[u8], side: usize) -> Vec<f32> {
    let mut values = vec![0.0; levels.len()];
    for y in 0..side {
        let rows = y.saturating_sub(REACH)..(y + REACH + 1).min(side);
        for x in 0..side {
            let columns = x.saturating_sub(REACH)..(x + REACH + 1).min(side);
            let n = (rows.len() * columns.len()) as f32;
            let (mut sum, mut squares) = (0u32, 0u32);
            for row in rows.clone() {
                for &level in &levels[row * side + columns.start..row * side + columns.end] {
                    sum += u32::from(level);
                    squares += u32::from(level) * u32::from(level);
                }
            }
            let mean = sum as f32 / n;
            let variance = (squares as f32 / n - mean * mean).max(0.0);
            values[y * side + x] = (f32::from(levels[y * side + x]) - mean) / (variance.sqrt() + NOISE);
        }
    }
    let mean = values.iter().sum::<f32>() / values.len().max(1) as f32;
    values.iter_mut().for_each(|v| *v -= mean);
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 0.0 {
        values.iter_mut().for_each(|v| *v /= length);
    }
    values
}

/// Similarity of two squares of grey levels of the same side: 1 for the same image, around 0 for different ones.
pub fn similarity(a: &[u8], b: &[u8], side: usize) -> f64 {
    let (a, b) = (local_contrast(a, side), local_contrast(b, side));
    a.iter().zip(&b).map(|(a, b)| f64::from(a * b)).sum()
}

/// True where a thumbnail has next to no contrast: it is like any other of its kind.
pub(super) fn is_flat(thumbnail: &[u8]) -> bool {
    let n = thumbnail.len().max(1) as f32;
    let mean = thumbnail.iter().map(|&v| f32::from(v)).sum::<f32>() / n;
    let variance = thumbnail.iter().map(|&v| (f32::from(v) - mean).powi(2)).sum::<f32>() / n;
    variance < FLAT * FLAT
}

/// Local contrast of a thumbnail, in bytes: a quarter of a kilobyte a slice is what a million slices leave room for.
pub(super) type Signature = [i8; FIELDS];

/// The signature of a thumbnail.
pub(super) fn signature(thumbnail: &[u8]) -> Signature {
    let contrast = local_contrast(thumbnail, THUMBNAIL_SIDE);
    let scale = SCALE * THUMBNAIL_SIDE as f32;
    std::array::from_fn(|i| (contrast[i] * scale).round().clamp(-127.0, 127.0) as i8)
}

/// [`similarity`] of the thumbnails of two signatures, to a hundredth or so.
pub(super) fn correlation(a: &Signature, b: &Signature) -> f32 {
    let dot =
        |a: &Signature, b: &Signature| -> i32 { a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum() };
    let lengths = (dot(a, a) as f32 * dot(b, b) as f32).sqrt();
    if lengths > 0.0 { dot(a, b) as f32 / lengths } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of waves that a seed turns.
    fn waves(seed: u32, change: impl Fn(f32) -> f32) -> Vec<u8> {
        let wave = |i: usize| {
            let (x, y) = ((i % 16) as f32, (i / 16) as f32);
            let phase = seed as f32;
            ((0.7 * x + phase).sin() + (0.5 * y + 0.3 * x - phase).cos() + 2.0) / 4.0
        };
        (0..FIELDS).map(|i| (255.0 * change(wave(i))).round().clamp(0.0, 255.0) as u8).collect()
    }

    #[test]
    fn gamma_and_window_leave_local_contrast_alone() {
        let plain = waves(1, |v| v);
        for (what, other, least) in [
            ("gamma", waves(1, |v| v.powf(1.6)), 0.97),
            ("darker", waves(1, |v| 0.4 * v + 0.1), 0.97),
            ("window", waves(1, |v| 1.4 * v - 0.2), 0.93),
        ] {
            let found = similarity(&plain, &other, 16);
            assert!(found > least, "{what}: {found}");
            let stored = correlation(&signature(&plain), &signature(&other));
            assert!((f64::from(stored) - found).abs() < 0.01, "{what}: {stored} for {found}");
        }
        assert!(similarity(&plain, &waves(3, |v| v), 16) < 0.5);
    }

    #[test]
    fn flat_pictures_are_known() {
        assert!(is_flat(&[9; FIELDS]) && is_flat(&std::array::from_fn::<u8, FIELDS, _>(|i| 100 + (i % 2) as u8)));
        assert!(!is_flat(&waves(1, |v| v)));
        assert_eq!(correlation(&signature(&[0; FIELDS]), &signature(&[0; FIELDS])), 0.0);
    }
}
