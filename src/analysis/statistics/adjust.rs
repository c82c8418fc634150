//! Adjusting p-values for the number of tests, as R's `p.adjust` and `statsmodels.stats.multitest`.

use serde::Serialize;

/// How p-values are adjusted for the number of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Adjustment {
    /// Benjamini and Hochberg (1995): controls the false discovery rate.
    #[default]
    BenjaminiHochberg,
    /// Holm (1979): controls the family-wise error rate.
    Holm,
    /// The p-values as they are.
    None,
}

impl Adjustment {
    /// Adjusts one family of p-values. A test without a p-value stays without one, and is not counted.
    pub fn adjust(self, p_values: &[Option<f64>]) -> Vec<Option<f64>> {
        let mut order: Vec<usize> = (0..p_values.len()).filter(|&i| p_values[i].is_some()).collect();
        let p = |i: usize| p_values[i].unwrap_or(1.0);
        order.sort_by(|&a, &b| p(a).total_cmp(&p(b)));
        let tests = order.len() as f64;
        let mut adjusted = p_values.to_vec();
        match self {
            Adjustment::None => {}
            Adjustment::Holm => {
                let mut largest = 0.0f64;
                for (rank, &i) in order.iter().enumerate() {
                    largest = largest.max((tests - rank as f64) * p(i)).min(1.0);
                    adjusted[i] = Some(largest);
                }
            }
            Adjustment::BenjaminiHochberg => {
                let mut smallest = 1.0f64;
                for (rank, &i) in order.iter().enumerate().rev() {
                    smallest = smallest.min(tests / (rank as f64 + 1.0) * p(i));
                    adjusted[i] = Some(smallest);
                }
            }
        }
        adjusted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // p = [0.01, 0.04, 0.03, 0.005, 0.55, 0.03]
    // scipy.stats.false_discovery_control(p) = [0.03, 0.048, 0.045, 0.03, 0.55, 0.045]
    // R: p.adjust(p, "holm") = 0.05 0.12 0.12 0.03 0.55 0.12
    #[test]
    fn as_scipy_and_r() {
        let p = [0.01, 0.04, 0.03, 0.005, 0.55, 0.03].map(Some);
        let close = |found: Vec<Option<f64>>, expected: [f64; 6]| {
            found.iter().zip(expected).for_each(|(f, e)| assert!((f.unwrap() - e).abs() < 1e-15, "{found:?}"));
        };
        close(Adjustment::BenjaminiHochberg.adjust(&p), [0.03, 0.048, 0.045, 0.03, 0.55, 0.045]);
        close(Adjustment::Holm.adjust(&p), [0.05, 0.12, 0.12, 0.03, 0.55, 0.12]);
        assert_eq!(Adjustment::None.adjust(&p), p);
    }

    #[test]
    fn missing_tests_do_not_count() {
        assert_eq!(Adjustment::Holm.adjust(&[None, Some(0.04)]), [None, Some(0.04)]);
        assert_eq!(Adjustment::BenjaminiHochberg.adjust(&[]), []);
    }

    proptest! {
        #[test]
        fn never_smaller_never_above_one_and_in_order(p in prop::collection::vec(0.0f64..=1.0, 0..30)) {
            let given: Vec<Option<f64>> = p.iter().copied().map(Some).collect();
            for method in [Adjustment::Holm, Adjustment::BenjaminiHochberg] {
                let adjusted: Vec<f64> = method.adjust(&given).into_iter().flatten().collect();
                for i in 0..p.len() {
                    prop_assert!(adjusted[i] >= p[i] - 1e-15 && adjusted[i] <= 1.0);
                    for j in 0..p.len() {
                        prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
                    }
                }
            }
        }
    }
}
