//! Mean, population standard deviation and quartiles of a column.

use serde::{Deserialize, Serialize};

/// A column in numbers. Statistics are of the finite values; without any they are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Finite values.
    pub n: usize,
    /// Values that are missing (NaN) or infinite.
    pub missing: usize,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Population standard deviation (division by n), the paper's.
    pub std: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// First quartile, linear between values (numpy's default).
    pub q1: Option<f64>,
    /// Median.
    pub median: Option<f64>,
    /// Third quartile.
    pub q3: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
}

/// Describes a column. The order of the values does not change a bit of the result.
pub fn describe(values: impl IntoIterator<Item = f64>) -> Description {
    let mut missing = 0;
    let mut finite: Vec<f64> = Vec::new();
    for value in values {
        if value.is_finite() { finite.push(value) } else { missing += 1 }
    }
    finite.sort_unstable_by(f64::total_cmp);
    let Some((mean, std)) = mean_and_std(&finite) else {
        return Description { missing, ..Description::default() };
    };
    Description {
        n: finite.len(),
        missing,
        mean: Some(mean),
        std: Some(std),
        min: finite.first().copied(),
        q1: quantile(&finite, 0.25),
        median: quantile(&finite, 0.5),
        q3: quantile(&finite, 0.75),
        max: finite.last().copied(),
    }
}

/// Mean and population standard deviation in two passes, added in the order given; `None` of nothing.
pub fn mean_and_std(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let mean = sum(values.iter().copied()) / n;
    let variance = sum(values.iter().map(|v| (v - mean) * (v - mean))) / n;
    Some((mean, variance.sqrt()))
}

/// Neumaier's compensated sum: millions of values add up to the last digit.
pub fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut total, mut lost) = (0.0f64, 0.0);
    for value in values {
        let next = total + value;
        lost += if total.abs() >= value.abs() { (total - next) + value } else { (value - next) + total };
        total = next;
    }
    total + lost
}

/// The quantile `q` in 0..=1 of sorted values, linear between neighbours as numpy's default; `None` of nothing.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    let share = place - below as f64;
    // An infinite neighbour of weight zero must not make a NaN.
    if share == 0.0 {
        return Some(sorted[below]);
    }
    Some(sorted[below] + share * (sorted[above] - sorted[below]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // v = [0.91, 0.12, 0.0, 0.55, 0.83, 0.83]
    // numpy: v.mean(), v.std(), np.quantile(v, [.25, .5, .75])
    #[test]
    fn as_numpy() {
        let found = describe([0.91, 0.12, f64::NAN, 0.0, 0.55, 0.83, f64::NEG_INFINITY, 0.83]);
        let close = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-15);
        close(found.mean, 0.54);
        close(found.std, 0.3589800365851375);
        close(found.q1, 0.2275);
        close(found.median, 0.69);
        close(found.q3, 0.83);
        assert_eq!((found.n, found.missing, found.min, found.max), (6, 2, Some(0.0), Some(0.91)));
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(describe([]), Description::default());
        assert_eq!(describe([f64::NAN]), Description { missing: 1, ..Description::default() });
    }

    #[test]
    fn small_values_survive_beside_large_ones() {
        assert_eq!(sum([1e16, 1.0, 1.0, -1e16]), 2.0);
    }

    proptest! {
        #[test]
        fn the_order_of_values_does_not_matter(values in prop::collection::vec(-1e3f64..1e3, 0..50)) {
            let reversed = describe(values.iter().rev().copied());
            let found = describe(values.iter().copied());
            prop_assert_eq!(found, reversed);
            if let (Some(min), Some(q1), Some(q3), Some(max)) = (found.min, found.q1, found.q3, found.max) {
                prop_assert!(min <= q1 && q1 <= q3 && q3 <= max);
            }
        }
    }
}
