//! A coefficient of correlation with its test.

use super::Undefined;
use super::distributions::correlation_two_sided;

/// A rank correlation, plain or partial, and its test against zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correlation {
    /// The coefficient, in −1..=1.
    pub rho: f64,
    /// Two-sided p-value by Student's t with [`df`](Self::df) degrees of freedom. It takes the rows as independent.
    pub p: f64,
    /// Rows.
    pub n: usize,
    /// Degrees of freedom: n − 2, less one for each column controlled for.
    pub df: usize,
}

impl Correlation {
    /// The test that belongs to a coefficient from `n` rows, `controls` columns being controlled for.
    pub(super) fn from_rho(rho: f64, n: usize, controls: usize) -> Result<Self, Undefined> {
        let needed = controls + 3;
        if n < needed {
            return Err(Undefined::TooFewRows { n, needed });
        }
        let df = n - 2 - controls;
        let rho = rho.clamp(-1.0, 1.0);
        Ok(Correlation { rho, p: correlation_two_sided(rho, df as f64), n, df })
    }
}
