//! The Wilcoxon signed-rank test of paired values, with its effect size.
//!
//! The numbers are those of `scipy.stats.wilcoxon(differences, correction=False, method="asymptotic")`: normal
//! approximation, variance corrected for ties, no continuity correction. The approximation is good from about 20
//! pairs on; the number of pairs is reported next to the p-value. Differences are compared to the last bit, as in
//! scipy:
//! 0.7 − 0.6 and 0.6 − 0.5 are two values. Round them first where such ties matter.

use super::Undefined;
use super::distributions::normal_two_sided;
use super::ranks::RankOrder;
use serde::{Deserialize, Serialize};

/// What becomes of pairs without a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroDifferences {
    /// They are left out before ranking (Wilcoxon 1945; scipy's default `zero_method="wilcox"`).
    #[default]
    Drop,
    /// They are ranked, and their ranks then left out (Pratt 1959, variance by Cureton 1967;
    /// `zero_method="pratt"`). The more careful choice where zeros are many.
    Pratt,
}

/// Result of the signed-rank test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignedRank {
    /// Pairs with a difference.
    pub n: usize,
    /// Pairs without one.
    pub zeros: usize,
    /// Sum of the ranks of positive differences, R⁺.
    pub positive: f64,
    /// Sum of the ranks of negative differences, R⁻.
    pub negative: f64,
    /// The standardised R⁺: positive where differences are mostly positive.
    pub z: f64,
    /// Two-sided p-value of `z`. It takes the pairs as independent.
    pub p: f64,
    /// Matched-pairs rank-biserial correlation (R⁺ − R⁻) / (R⁺ + R⁻), from −1 (all negative) to 1 (all
    /// positive).
    pub rank_biserial: f64,
}

/// Tests whether paired differences are symmetric about zero.
///
/// # Errors
/// [`Undefined`] where all differences are zero, or one is NaN.
pub fn wilcoxon(differences: &[f64], zero_differences: ZeroDifferences) -> Result<SignedRank, Undefined> {
    let mut differences = differences.to_vec();
    let zeros = differences.iter().filter(|d| **d == 0.0).count();
    let n = differences.len() - zeros;
    if n == 0 {
        return Err(Undefined::NoDifference { n: zeros });
    }
    if zero_differences == ZeroDifferences::Drop {
        differences.retain(|d| *d != 0.0);
    }
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).collect();
    let order = RankOrder::new(&sizes)?;
    let ranked = differences.len() as i64;
    let ranks = order.centred_ranks();
    // Twice the sums of ranks, as integers.
    let (mut positive, mut negative) = (0i128, 0i128);
    for (&group, difference) in order.group_of_rows().iter().zip(&differences) {
        let doubled_rank = i128::from(ranks[group as usize] + ranked + 1);
        if *difference > 0.0 {
            positive += doubled_rank;
        } else if *difference < 0.0 {
            negative += doubled_rank;
        }
    }
    let ranked_zeros = if zero_differences == ZeroDifferences::Pratt { zeros } else { 0 };
    // Zeros are the smallest tie group, and no tie to correct for.
    let ties = order.group_sizes().into_iter().skip(usize::from(ranked_zeros > 0));
    let tie_sum: f64 = ties.map(|size| size as f64).map(|t| t * t * t - t).sum();
    let mean_of = |n: f64| n * (n + 1.0) / 4.0;
    let variance_of = |n: f64| n * (n + 1.0) * (2.0 * n + 1.0);
    let (all, left_out) = (ranked as f64, ranked_zeros as f64);
    let mean = mean_of(all) - mean_of(left_out);
    let deviation = ((variance_of(all) - variance_of(left_out) - tie_sum / 2.0) / 24.0).sqrt();
    let z = (positive as f64 / 2.0 - mean) / deviation;
    Ok(SignedRank {
        n,
        zeros,
        positive: positive as f64 / 2.0,
        negative: negative as f64 / 2.0,
        z,
        p: normal_two_sided(z),
        rank_biserial: (positive - negative) as f64 / (positive + negative) as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const X: [f64; 16] = [6., 8., 14., 16., 23., 24., 28., 29., 41., 48., 49., 56., 60., 67., 75., 50.];
    const Y: [f64; 16] = [6., 10., 10., 20., 20., 24., 20., 20., 40., 40., 50., 50., 50., 60., 60., 50.];

    fn differences(x: &[f64], y: &[f64]) -> Vec<f64> {
        x.iter().zip(y).map(|(x, y)| x - y).collect()
    }

    // for zero_method in ["wilcox", "pratt"]:
    //     scipy.stats.wilcoxon(X, Y, zero_method=zero_method, correction=False, method="asymptotic")
    //     .statistic, .zstatistic, .pvalue
    #[test]
    fn as_scipy() {
        let found = wilcoxon(&differences(&X, &Y), ZeroDifferences::Drop).unwrap();
        assert_eq!((found.n, found.zeros, found.positive, found.negative), (13, 3, 81.0, 10.0));
        assert!((found.p - 0.013020217269782213).abs() < 1e-14, "{found:?}");
        let found = wilcoxon(&differences(&X, &Y), ZeroDifferences::Pratt).unwrap();
        assert_eq!((found.n, found.zeros, found.positive, found.negative), (13, 3, 111.0, 19.0));
        assert!((found.p - 0.01680153363016455).abs() < 1e-14, "{found:?}");
    }

    #[test]
    fn the_effect_size_reaches_its_ends() {
        let up: Vec<f64> = X.iter().map(|v| v + 1.0).collect();
        assert_eq!(wilcoxon(&differences(&up, &X), ZeroDifferences::Drop).unwrap().rank_biserial, 1.0);
        assert_eq!(wilcoxon(&differences(&X, &up), ZeroDifferences::Drop).unwrap().rank_biserial, -1.0);
    }

    #[test]
    fn undefined_is_told() {
        assert_eq!(wilcoxon(&differences(&X, &X), ZeroDifferences::Pratt), Err(Undefined::NoDifference { n: 16 }));
        assert_eq!(wilcoxon(&[f64::NAN], ZeroDifferences::Drop), Err(Undefined::NotANumber { column: 0 }));
    }

    proptest! {
        #[test]
        fn swapping_the_sides_turns_the_sign(pairs in prop::collection::vec((-6i32..7, -6i32..7), 1..60)) {
            let (x, y): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
            for zeros in [ZeroDifferences::Drop, ZeroDifferences::Pratt] {
                if let Ok(found) = wilcoxon(&differences(&x, &y), zeros) {
                    let swapped = wilcoxon(&differences(&y, &x), zeros).unwrap();
                    prop_assert_eq!((found.positive, found.negative), (swapped.negative, swapped.positive));
                    prop_assert_eq!(found.rank_biserial, -swapped.rank_biserial);
                    prop_assert!((found.z + swapped.z).abs() < 1e-9 && (0.0..=1.0).contains(&found.p));
                }
            }
        }
    }
}
