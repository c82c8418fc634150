//! Stored values to 8 bits: `trunc(255 (I - min) / (max - min))` (docs/protocol.md, 2.3).
//!
//! The formula is evaluated exactly on stored integers: with a linear rescale it gives the same quotient as on real
//! values, without intermediate rounding in floating point. A negative slope reverses the range.
//!
//! Values that are not measurements never affect the scaling: NaN becomes 0, infinite values become 0 or 255, and so do
//! values that a DICOM header declares as padding. The protocol is silent on all three.

use crate::image::{Image, Samples, Scaling};
use crate::spec::Intensity;
use crate::with_samples;

/// A slice of 8 bits and the real values that its ends stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Grey {
    /// Pixels, row by row, channels interleaved.
    pub pixels: Vec<u8>,
    /// Real value that became 0.
    pub min: f64,
    /// Real value that became 255.
    pub max: f64,
}

/// A rule that is ready for the slices of one image: ranges of the whole volume are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// Each slice's own minimum to maximum.
    Slice,
    /// From and to these real values, clipped.
    Range(f64, f64),
    /// As stored; 8-bit values only.
    Stored,
}

impl Rule {
    /// Works out the rule for an image.
    ///
    /// # Errors
    /// `stored` for values of more than 8 bits, or a percentile pair that is not ascending.
    pub(super) fn new(intensity: Intensity, image: &Image) -> Result<Rule, String> {
        let eight_bits = matches!(image.samples, Samples::U8(_));
        match intensity {
            Intensity::Auto if eight_bits && image.components >= 3 => Ok(Rule::Stored),
            Intensity::Auto | Intensity::Slice => Ok(Rule::Slice),
            Intensity::Stored if eight_bits => Ok(Rule::Stored),
            Intensity::Stored => {
                Err(format!("intensity = \"stored\" requires 8-bit values, found {}", image.samples.dtype()))
            }
            Intensity::Volume => {
                let (low, high) = with_samples!(&image.samples, v => range(v, image.meaning.padding));
                let ends = [low, high].map(|v| real(v, image.scaling));
                Ok(Rule::Range(ends[0].min(ends[1]), ends[0].max(ends[1])))
            }
            Intensity::Window { low, high } if low < high => Ok(Rule::Range(low, high)),
            Intensity::Window { low, high } => Err(format!("an intensity window must increase, found {low} to {high}")),
            Intensity::Percentile { low, high } if 0.0 <= low && low < high && high <= 100.0 => {
                let mut values: Vec<f64> = with_samples!(&image.samples, v => measured(v, image.meaning.padding).map(|x| real(x as f64, image.scaling)).collect());
                values.sort_by(f64::total_cmp);
                Ok(Rule::Range(percentile(&values, low), percentile(&values, high)))
            }
            Intensity::Percentile { low, high } => {
                Err(format!("percentiles must increase between 0 and 100, found {low} and {high}"))
            }
        }
    }
}

fn real(stored: f64, scaling: Scaling) -> f64 {
    stored * scaling.slope + scaling.intercept
}

/// Percentile of sorted values, interpolated linearly (numpy's default); 0 where there are none.
fn percentile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let position = q / 100.0 * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

/// A number that images are stored in.
pub(super) trait Stored: Copy + PartialOrd {
    /// Widens the value.
    fn as_f64(self) -> f64;
    /// The difference to a smaller value of the same kind, for integers.
    fn above(self, low: Self) -> Option<u64>;
    /// The last 16 bits of an integer: enough to subtract two that are no further apart.
    fn low_bits(self) -> u16;
    /// False for NaN and infinities.
    fn is_number(self) -> bool;
}

macro_rules! stored_integer {
    ($($t:ty),*) => {$(impl Stored for $t {
        fn as_f64(self) -> f64 { self as f64 }
        fn above(self, low: Self) -> Option<u64> { Some((self as i128 - low as i128) as u64) }
        fn low_bits(self) -> u16 { self as u16 }
        fn is_number(self) -> bool { true }
    })*};
}
macro_rules! stored_float {
    ($($t:ty),*) => {$(impl Stored for $t {
        fn as_f64(self) -> f64 { self as f64 }
        fn above(self, _: Self) -> Option<u64> { None }
        fn low_bits(self) -> u16 { 0 }
        fn is_number(self) -> bool { self.is_finite() }
    })*};
}
stored_integer!(u8, i8, u16, i16, u32, i32, u64, i64);
stored_float!(f32, f64);

/// Smallest and largest value that is measured; 0 and 0 where there is none.
fn range<T: Stored>(values: &[T], padding: Option<[f64; 2]>) -> (f64, f64) {
    extremes(values, padding).map_or((0.0, 0.0), |(low, high)| (low.as_f64(), high.as_f64()))
}

/// Values that are finite and no padding.
fn measured<T: Stored>(values: &[T], padding: Option<[f64; 2]>) -> impl Iterator<Item = T> + '_ {
    let is_padding = move |v: T| padding.is_some_and(|[from, to]| (from..=to).contains(&v.as_f64()));
    values.iter().copied().filter(move |&v| v.is_number() && !is_padding(v))
}

fn extremes<T: Stored>(values: &[T], padding: Option<[f64; 2]>) -> Option<(T, T)> {
    let Some(_) = padding else { return ends(values.iter().copied().filter(|v| v.is_number())) };
    ends(measured(values, padding))
}

fn ends<T: Stored>(mut numbers: impl Iterator<Item = T>) -> Option<(T, T)> {
    let first = numbers.next()?;
    Some(
        numbers.fold((first, first), |(low, high), v| (if v < low { v } else { low }, if v > high { v } else { high })),
    )
}

/// The 8-bit slice of stored values under a rule. NaN becomes 0; what is infinite or `padding` (stored values, from and
/// to) becomes the end that it lies at.
pub(super) fn to_grey<T: Stored>(values: &[T], scaling: Scaling, rule: Rule, padding: Option<[f64; 2]>) -> Grey {
    match rule {
        Rule::Stored => {
            let pixels = values.iter().map(|v| v.as_f64() as u8).collect();
            Grey { pixels, min: real(0.0, scaling), max: real(255.0, scaling) }
        }
        Rule::Range(low, high) => {
            let scale = |v: &T| (255.0 * ((real(v.as_f64(), scaling) - low) / (high - low)).clamp(0.0, 1.0)) as u8;
            let pixels = if high > low { values.iter().map(scale).collect() } else { vec![0; values.len()] };
            Grey { pixels, min: low, max: high }
        }
        Rule::Slice => {
            let Some((low, high)) = extremes(values, padding) else {
                let infinite = |v: &T| if real(v.as_f64(), scaling) == f64::INFINITY { 255 } else { 0 };
                return Grey { pixels: values.iter().map(infinite).collect(), min: 0.0, max: 0.0 };
            };
            if padding.is_some() && values.iter().any(|&v| v < low || v > high) {
                let clipped: Vec<T> = values
                    .iter()
                    .map(|&v| {
                        if v < low {
                            low
                        } else if v > high {
                            high
                        } else {
                            v
                        }
                    })
                    .collect();
                return to_grey(&clipped, scaling, rule, None);
            }
            let ends = [low, high].map(|v| real(v.as_f64(), scaling));
            let pixels = stretch(values, low, high, scaling.slope < 0.0);
            Grey { pixels, min: ends[0].min(ends[1]), max: ends[0].max(ends[1]) }
        }
    }
}

/// `trunc(255 (v - low) / (high - low))`, or from `high` downwards where the scale is inverted.
fn stretch<T: Stored>(values: &[T], low: T, high: T, inverted: bool) -> Vec<u8> {
    match high.above(low) {
        Some(0) => vec![0; values.len()],
        // The range of CT and of most else, in 16-bit instructions that work on many pixels at once. The quotient by a
        // reciprocal that is rounded up is right or one too large, and then what it leaves is negative.
        Some(span @ 256..=0x7fff) => {
            let (reciprocal, span) = ((255u64 << 16).div_ceil(span) as u16, span as u16);
            let level = |d: u16| {
                let quotient = ((u32::from(d) * u32::from(reciprocal)) >> 16) as u16;
                let left = d.wrapping_mul(255).wrapping_sub(quotient.wrapping_mul(span)) as i16;
                quotient.wrapping_add((left >> 15) as u16) as u8
            };
            let (low, high) = (low.low_bits(), high.low_bits());
            match inverted {
                true => values.iter().map(|v| level(high.wrapping_sub(v.low_bits()))).collect(),
                false => values.iter().map(|v| level(v.low_bits().wrapping_sub(low))).collect(),
            }
        }
        // Integers of a range that fits a table: one exact division for each value that can occur.
        Some(span) if span < 1 << 16 => {
            let level = |d: u64| (255 * if inverted { span - d } else { d } / span) as u8;
            let table: Vec<u8> = (0..=span).map(level).collect();
            values.iter().map(|v| table[v.above(low).unwrap_or(0) as usize]).collect()
        }
        Some(span) => {
            let level = |d: u64| (255 * if inverted { span - d } else { d } as u128 / span as u128) as u8;
            values.iter().map(|v| level(v.above(low).unwrap_or(0))).collect()
        }
        None => {
            let (low, high) = (low.as_f64(), high.as_f64());
            let level = |v: &T| {
                let v = if inverted { high - v.as_f64() } else { v.as_f64() - low };
                (255.0 * v / (high - low)) as u8
            };
            let upper = if inverted { f64::NEG_INFINITY } else { f64::INFINITY };
            let constant = |v: &T| if v.as_f64() == upper { 255 } else { 0 };
            if high > low { values.iter().map(level).collect() } else { values.iter().map(constant).collect() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_spans_0_to_255_and_is_truncated() {
        let grey = to_grey(&[-1000i16, 0, 999, 1000], Scaling::IDENTITY, Rule::Slice, None);
        assert_eq!(grey, Grey { pixels: vec![0, 127, 254, 255], min: -1000.0, max: 1000.0 });
    }

    #[test]
    fn every_quotient_of_a_short_range_is_exact() {
        for span in (1i32..=4097).chain(30_000..30_100).chain(32_700..32_800).chain([65_535]) {
            let values: Vec<i32> = (0..=span).map(|d| d - 1000).collect();
            let expected: Vec<u8> = (0..=span).map(|d| (255 * d / span) as u8).collect();
            assert_eq!(to_grey(&values, Scaling::IDENTITY, Rule::Slice, None).pixels, expected, "{span}");
            let turned = to_grey(&values, Scaling { slope: -1.0, intercept: 0.0 }, Rule::Slice, None).pixels;
            assert!(turned.iter().eq(expected.iter().rev()), "{span}");
        }
    }

    #[test]
    fn a_constant_slice_is_black() {
        assert_eq!(to_grey(&[7u16, 7], Scaling::IDENTITY, Rule::Slice, None).pixels, [0, 0]);
        assert_eq!(to_grey(&[7f32, 7.0], Scaling::IDENTITY, Rule::Slice, None).pixels, [0, 0]);
    }

    #[test]
    fn a_negative_slope_turns_the_range() {
        let grey = to_grey(&[0u8, 1, 4], Scaling { slope: -2.0, intercept: 10.0 }, Rule::Slice, None);
        assert_eq!(grey, Grey { pixels: vec![255, 191, 0], min: 2.0, max: 10.0 });
    }

    #[test]
    fn what_is_not_a_number_is_black_and_does_not_stretch() {
        let grey = to_grey(&[f32::NAN, 0.0, 1.0, f32::NEG_INFINITY], Scaling::IDENTITY, Rule::Slice, None);
        assert_eq!(grey.pixels, [0, 0, 255, 0]);
    }

    #[test]
    fn infinities_lie_at_their_ends_and_do_not_stretch() {
        let values = [f32::INFINITY, 0.0, 1.0, 2.0, f32::NEG_INFINITY, f32::NAN];
        let pixels = |slope, rule| to_grey(&values, Scaling { slope, intercept: 0.0 }, rule, None).pixels;
        assert_eq!(pixels(1.0, Rule::Slice), [255, 0, 127, 255, 0, 0]);
        assert_eq!(pixels(-1.0, Rule::Slice), [0, 255, 127, 0, 255, 0]);
        assert_eq!(pixels(1.0, Rule::Range(0.0, 2.0)), [255, 0, 127, 255, 0, 0]);
        let constant = [f32::INFINITY, 3.0, f32::NEG_INFINITY, f32::NAN];
        assert_eq!(to_grey(&constant, Scaling::IDENTITY, Rule::Slice, None).pixels, [255, 0, 0, 0]);
        let none = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        assert_eq!(to_grey(&none, Scaling::IDENTITY, Rule::Slice, None).pixels, [255, 0, 0]);
    }

    #[test]
    fn padding_does_not_stretch() {
        let grey = to_grey(&[-2000i16, 0, 100, 200, -2000], Scaling::IDENTITY, Rule::Slice, Some([-2000.0, -2000.0]));
        assert_eq!(grey, Grey { pixels: vec![0, 0, 127, 255, 0], min: 0.0, max: 200.0 });
        let above = to_grey(&[65535u16, 0, 100, 200], Scaling::IDENTITY, Rule::Slice, Some([60000.0, 65535.0]));
        assert_eq!(above.pixels, [255, 0, 127, 255]);
        let only = to_grey(&[7u16, 7], Scaling::IDENTITY, Rule::Slice, Some([7.0, 7.0]));
        assert_eq!(only.pixels, [0, 0]);
    }

    #[test]
    fn windows_clip() {
        let grey = to_grey(&[-2000i16, -160, 40, 240, 3000], Scaling::IDENTITY, Rule::Range(-160.0, 240.0), None);
        assert_eq!(grey.pixels, [0, 0, 127, 255, 255]);
    }

    proptest::proptest! {
        #[test]
        fn integers_agree_with_exact_arithmetic(values in proptest::collection::vec(proptest::num::i32::ANY, 1..50)) {
            let (low, high) = (*values.iter().min().unwrap() as i128, *values.iter().max().unwrap() as i128);
            let expected: Vec<u8> = values.iter().map(|&v| if high > low { (255 * (v as i128 - low) / (high - low)) as u8 } else { 0 }).collect();
            proptest::prop_assert_eq!(to_grey(&values, Scaling::IDENTITY, Rule::Slice, None).pixels, expected);
        }
    }
}
