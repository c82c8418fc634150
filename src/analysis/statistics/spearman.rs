//! Spearman's rank correlation, as `scipy.stats.spearmanr`.

use super::Undefined;
use super::correlation::Correlation;
use super::partial::RankCorrelations;

/// Spearman's ρ of two columns, ties at their average rank.
///
/// # Errors
/// [`Undefined`] for fewer than three rows, a NaN, or a column with one value.
///
/// # Panics
/// If the columns differ in length.
///
/// # Examples
/// ```
/// use medcosmos::analysis::statistics::spearman::spearman;
/// let dice = [0.2, 0.5, 0.7, 0.9];
/// let contrast = [1.0, 3.0, 2.0, 40.0];
/// assert!((spearman(&dice, &contrast).unwrap().rho - 0.8).abs() < 1e-15);
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Correlation, Undefined> {
    RankCorrelations::new(&[x, y])?.plain(0, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // x = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]; y = [2, 7, 1, 8, 2, 8, 1, 8, 2, 8, 4]
    // scipy.stats.spearmanr(x, y)
    #[test]
    fn as_scipy() {
        let x = [3., 1., 4., 1., 5., 9., 2., 6., 5., 3., 5.];
        let y = [2., 7., 1., 8., 2., 8., 1., 8., 2., 8., 4.];
        let found = spearman(&x, &y).unwrap();
        assert!((found.rho - 0.1384567651467695).abs() < 1e-14, "{found:?}");
        assert!((found.p - 0.6847503048108998).abs() < 1e-13, "{found:?}");
        assert_eq!((found.n, found.df), (11, 9));
    }

    #[test]
    fn a_monotone_relation_is_exactly_one() {
        let x: Vec<f64> = (1..200).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|v| -v.powi(3)).collect();
        let found = spearman(&x, &y).unwrap();
        assert_eq!((found.rho, found.p), (-1.0, 0.0));
    }

    #[test]
    fn undefined_is_told() {
        assert_eq!(spearman(&[1., 2., 3.], &[5., 5., 5.]), Err(Undefined::Constant { column: 1 }));
        assert_eq!(spearman(&[1., 2.], &[5., 6.]), Err(Undefined::TooFewRows { n: 2, needed: 3 }));
        assert_eq!(spearman(&[1., 2., f64::NAN], &[1., 2., 3.]), Err(Undefined::NotANumber { column: 0 }));
        assert_eq!(spearman(&[], &[]), Err(Undefined::TooFewRows { n: 0, needed: 3 }));
    }

    proptest! {
        #[test]
        fn bounded_symmetric_and_blind_to_monotone_maps(rows in prop::collection::vec((-5i32..6, -5i32..6), 3..60)) {
            let (x, y): (Vec<f64>, Vec<f64>) = rows.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
            let found = spearman(&x, &y);
            let swapped = spearman(&y, &x);
            let mapped: Vec<f64> = x.iter().map(|v| v.exp() + v).collect();
            prop_assert_eq!(&found, &spearman(&mapped, &y));
            if let Ok(found) = found {
                prop_assert!((-1.0..=1.0).contains(&found.rho) && (0.0..=1.0).contains(&found.p));
                prop_assert_eq!(found.rho, swapped.unwrap().rho);
                let negative: Vec<f64> = x.iter().map(|v| -v).collect();
                prop_assert_eq!(spearman(&negative, &y).unwrap().rho, -found.rho);
            }
        }
    }
}
