//! The Kruskal–Wallis test: do the groups of a nominal factor (modality, source) differ in rank? It is reported next to
//! the correlation with the modality's index, whose order means nothing. As `scipy.stats.kruskal`, ties corrected.

use super::Undefined;
use super::distributions::chi_square_upper;
use super::ranks::RankOrder;
use serde::{Deserialize, Serialize};

/// Result of the Kruskal–Wallis test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KruskalWallis {
    /// The statistic H, corrected for ties.
    pub h: f64,
    /// Degrees of freedom: groups with rows, less one.
    pub df: u32,
    /// p-value by chi-square. It takes the rows as independent.
    pub p: f64,
    /// Effect size ε² = H / (n − 1): the share of the rank variance that lies between groups, 0 to 1.
    pub epsilon_squared: f64,
    /// Rows.
    pub n: usize,
}

/// Tests whether `values` differ in rank between the groups numbered by `group`. A group number without rows is
/// no group.
///
/// # Errors
/// [`Undefined`] where all values tie, one is NaN, or fewer than two groups have rows.
///
/// # Panics
/// If the columns differ in length.
pub fn kruskal_wallis(values: &[f64], group: &[u32]) -> Result<KruskalWallis, Undefined> {
    assert_eq!(values.len(), group.len(), "columns of one table have one length");
    let order = RankOrder::new(values)?;
    let ranks = order.centred_ranks();
    let mut sums = vec![(0i128, 0u64); group.iter().max().map_or(0, |&g| g as usize + 1)];
    let mut variance = 0i128;
    for (&tie, &group) in order.group_of_rows().iter().zip(group) {
        let rank = i128::from(ranks[tie as usize]);
        sums[group as usize].0 += rank;
        sums[group as usize].1 += 1;
        variance += rank * rank;
    }
    let groups = sums.iter().filter(|(_, n)| *n > 0).count();
    if groups < 2 {
        return Err(Undefined::TooFewGroups { groups });
    }
    if variance == 0 {
        return Err(Undefined::Constant { column: 0 });
    }
    // With centred ranks the tie correction is the rank variance itself.
    let between: f64 = sums.iter().filter(|(_, n)| *n > 0).map(|&(sum, n)| (sum as f64).powi(2) / n as f64).sum();
    let epsilon_squared = (between / variance as f64).min(1.0);
    let h = (values.len() - 1) as f64 * epsilon_squared;
    let df = groups as u32 - 1;
    Ok(KruskalWallis { h, df, p: chi_square_upper(h, df), epsilon_squared, n: values.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // a, b, c = [2.9, 3.0, 2.5, 2.6, 3.2], [3.8, 2.7, 4.0, 2.4], [2.8, 3.4, 3.7, 2.2, 2.0, 3.0, 3.0]
    // scipy.stats.kruskal(a, b, c)
    #[test]
    fn as_scipy() {
        let values = [2.9, 3.0, 2.5, 2.6, 3.2, 3.8, 2.7, 4.0, 2.4, 2.8, 3.4, 3.7, 2.2, 2.0, 3.0, 3.0];
        let group = [0, 0, 0, 0, 0, 4, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2];
        let found = kruskal_wallis(&values, &group).unwrap();
        assert!((found.h - 0.5477599323753222).abs() < 1e-13, "{found:?}");
        assert!((found.p - 0.7604233462962148).abs() < 1e-13, "{found:?}");
        assert_eq!((found.df, found.n), (2, 16));
    }

    #[test]
    fn undefined_is_told() {
        assert_eq!(kruskal_wallis(&[1., 2.], &[3, 3]), Err(Undefined::TooFewGroups { groups: 1 }));
        assert_eq!(kruskal_wallis(&[], &[]), Err(Undefined::TooFewGroups { groups: 0 }));
        assert_eq!(kruskal_wallis(&[1., 1.], &[0, 1]), Err(Undefined::Constant { column: 0 }));
    }

    proptest! {
        #[test]
        fn a_share_of_the_variance(rows in prop::collection::vec((-9i32..10, 0u32..5), 2..60)) {
            let (values, group): (Vec<f64>, Vec<u32>) = rows.iter().map(|&(v, g)| (f64::from(v), g)).unzip();
            if let Ok(found) = kruskal_wallis(&values, &group) {
                prop_assert!((0.0..=1.0).contains(&found.epsilon_squared) && (0.0..=1.0).contains(&found.p));
                let mapped: Vec<f64> = values.iter().map(|v| (v / 4.0).exp()).collect();
                prop_assert_eq!(found, kruskal_wallis(&mapped, &group).unwrap());
            }
        }
    }
}
