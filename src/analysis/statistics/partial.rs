//! Spearman partial correlation, the statistic of the COSMOS paper (docs/protocol.md, 5): rank every column,
//! invert their correlation matrix R, and take `-P_ij / √(P_ii P_jj)` of P = R⁻¹. Its test is Student's t with
//! n − 2 − k degrees of freedom, k columns being controlled for. The numbers are those of
//! `pingouin.partial_corr(method="spearman")` and of R's `ppcor::pcor.test`.
//!
//! Where R has no inverse pingouin takes the pseudo-inverse and warns; here the result is [`Undefined`].

use super::Undefined;
use super::correlation::Correlation;
use super::ranks::RankOrder;

/// A column is taken as collinear with those before it where less than this share of its rank variance is its own.
/// An exact copy leaves about 1e-16 by rounding.
const OWN_VARIANCE: f64 = 1e-10;

/// The matrix of rank correlations of some columns, of which any plain or partial correlation is read.
#[derive(Clone, Debug, PartialEq)]
pub struct RankCorrelations {
    n: usize,
    r: SquareMatrix,
}

impl RankCorrelations {
    /// Ranks the columns and correlates each with each.
    ///
    /// # Errors
    /// [`Undefined`] for fewer than three rows, a NaN, or a column with one value.
    ///
    /// # Panics
    /// If the columns differ in length.
    pub fn new(columns: &[&[f64]]) -> Result<Self, Undefined> {
        let n = columns.first().map_or(0, |c| c.len());
        if n < 3 {
            return Err(Undefined::TooFewRows { n, needed: 3 });
        }
        let orders = rank_columns(columns)?;
        Self::from_orders(&orders, |_| 1)
    }

    /// The correlations of ranked columns in which row `i` stands `weight(i)` times: a bootstrap replicate without
    /// a new sort.
    ///
    /// # Errors
    /// [`Undefined`] where fewer than three rows are left, or a column is left with one value.
    pub fn from_orders(orders: &[RankOrder], weight: impl Fn(usize) -> u32) -> Result<Self, Undefined> {
        let rows = orders.first().map_or(0, RankOrder::len);
        let n: usize = (0..rows).map(|row| weight(row) as usize).sum();
        if n < 3 {
            return Err(Undefined::TooFewRows { n, needed: 3 });
        }
        let size = orders.len();
        let ranks: Vec<Vec<i64>> = orders.iter().map(|order| order.weighted_centred_ranks(&weight)).collect();
        let mut products = vec![0i128; size * size];
        let mut values = vec![0i64; size];
        for row in 0..rows {
            let weight = i64::from(weight(row));
            if weight == 0 {
                continue;
            }
            for (column, value) in values.iter_mut().enumerate() {
                *value = ranks[column][orders[column].group_of_rows()[row] as usize];
            }
            for i in 0..size {
                let weighted = weight * values[i];
                for j in i..size {
                    products[i * size + j] += i128::from(weighted) * i128::from(values[j]);
                }
            }
        }
        let variance = |i: usize| products[i * size + i] as f64;
        if let Some(column) = (0..size).find(|&i| products[i * size + i] == 0) {
            return Err(Undefined::Constant { column });
        }
        let mut r = SquareMatrix::identity(size);
        for i in 0..size {
            for j in i + 1..size {
                let rho = products[i * size + j] as f64 / (variance(i) * variance(j)).sqrt();
                r.set(i, j, rho);
                r.set(j, i, rho);
            }
        }
        Ok(RankCorrelations { n, r })
    }

    /// The plain correlation of columns `i` and `j`.
    ///
    /// # Errors
    /// None for a matrix that could be made; the type is that of [`partial`](PrecisionMatrix::partial).
    pub fn plain(&self, i: usize, j: usize) -> Result<Correlation, Undefined> {
        Correlation::from_rho(self.r.get(i, j), self.n, 0)
    }

    /// Inverts the matrix, of which every partial correlation is then read.
    ///
    /// # Errors
    /// [`Undefined::Collinear`] where a column follows from those before it, [`Undefined::TooFewRows`] where fewer
    /// than one degree of freedom is left.
    pub fn invert(&self) -> Result<PrecisionMatrix, Undefined> {
        let needed = self.r.size + 1;
        if self.n < needed {
            return Err(Undefined::TooFewRows { n: self.n, needed });
        }
        Ok(PrecisionMatrix { n: self.n, p: self.r.inverse()? })
    }
}

/// The inverse of a rank correlation matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct PrecisionMatrix {
    n: usize,
    p: SquareMatrix,
}

impl PrecisionMatrix {
    /// The correlation of columns `i` and `j`, controlling for all the others.
    ///
    /// # Errors
    /// [`Undefined::TooFewRows`] where no degree of freedom is left.
    pub fn partial(&self, i: usize, j: usize) -> Result<Correlation, Undefined> {
        let rho = -self.p.get(i, j) / (self.p.get(i, i) * self.p.get(j, j)).sqrt();
        Correlation::from_rho(rho, self.n, self.p.size - 2)
    }
}

/// The partial rank correlation of `x` and `y`, controlling for the columns `controls`. Columns are counted `x`, `y`,
/// controls in an [`Undefined`].
///
/// # Errors
/// [`Undefined`] where a column has one value, a NaN or follows from the others, or rows are too few.
///
/// # Panics
/// If the columns differ in length.
pub fn partial_spearman(x: &[f64], y: &[f64], controls: &[&[f64]]) -> Result<Correlation, Undefined> {
    let columns: Vec<&[f64]> = [x, y].into_iter().chain(controls.iter().copied()).collect();
    RankCorrelations::new(&columns)?.invert()?.partial(0, 1)
}

/// Ranks columns of one length.
///
/// # Errors
/// [`Undefined::NotANumber`] and [`Undefined::Constant`] with the column's place.
///
/// # Panics
/// If the columns differ in length.
pub fn rank_columns(columns: &[&[f64]]) -> Result<Vec<RankOrder>, Undefined> {
    let rank = |(column, values): (usize, &&[f64])| {
        assert_eq!(values.len(), columns[0].len(), "columns of one table have one length");
        let order = RankOrder::new(values).map_err(|reason| match reason {
            Undefined::NotANumber { .. } => Undefined::NotANumber { column },
            other => other,
        })?;
        if order.is_constant() { Err(Undefined::Constant { column }) } else { Ok(order) }
    };
    columns.iter().enumerate().map(rank).collect()
}

/// A small square matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
struct SquareMatrix {
    size: usize,
    values: Vec<f64>,
}

impl SquareMatrix {
    fn zeros(size: usize) -> Self {
        SquareMatrix { size, values: vec![0.0; size * size] }
    }

    fn identity(size: usize) -> Self {
        let mut matrix = Self::zeros(size);
        (0..size).for_each(|i| matrix.set(i, i, 1.0));
        matrix
    }

    fn get(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.size + column]
    }

    fn set(&mut self, row: usize, column: usize, value: f64) {
        self.values[row * self.size + column] = value;
    }

    /// The inverse of a correlation matrix by its Cholesky factor L: R⁻¹ = L⁻ᵀ L⁻¹. The square of a diagonal entry of
    /// L is the share of a column's variance that the columns before it do not explain.
    fn inverse(&self) -> Result<Self, Undefined> {
        let size = self.size;
        let mut l = Self::zeros(size);
        for i in 0..size {
            for j in 0..=i {
                let dot: f64 = (0..j).map(|k| l.get(i, k) * l.get(j, k)).sum();
                let rest = self.get(i, j) - dot;
                if i != j {
                    l.set(i, j, rest / l.get(j, j));
                } else if rest < OWN_VARIANCE {
                    return Err(Undefined::Collinear { column: i });
                } else {
                    l.set(i, i, rest.sqrt());
                }
            }
        }
        let mut l_inverse = Self::zeros(size);
        for column in 0..size {
            for row in column..size {
                let dot: f64 = (column..row).map(|k| l.get(row, k) * l_inverse.get(k, column)).sum();
                let unit = if row == column { 1.0 } else { 0.0 };
                l_inverse.set(row, column, (unit - dot) / l.get(row, row));
            }
        }
        let mut inverse = Self::zeros(size);
        for i in 0..size {
            for j in 0..size {
                inverse.set(i, j, (i.max(j)..size).map(|k| l_inverse.get(k, i) * l_inverse.get(k, j)).sum());
            }
        }
        Ok(inverse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // import numpy as np, pandas as pd, pingouin as pg
    // i = np.arange(40)
    // d = pd.DataFrame({"x": i * 7 % 11, "y": (i * i) % 13, "a": (i * 5 % 17) // 2, "b": (i * i * i) % 7, "c": i // 4})
    // pg.partial_corr(d, "x", "y", covar=["a", "b", "c"], method="spearman")[["r", "p_val"]], and covar=["a"]
    fn columns() -> [Vec<f64>; 5] {
        let of = |f: fn(u32) -> u32| (0..40).map(|i| f64::from(f(i))).collect();
        [of(|i| i * 7 % 11), of(|i| i * i % 13), of(|i| i * 5 % 17 / 2), of(|i| i * i * i % 7), of(|i| i / 4)]
    }

    #[test]
    fn as_pingouin() {
        let [x, y, a, b, c] = columns();
        let found = partial_spearman(&x, &y, &[&a, &b, &c]).unwrap();
        assert!((found.rho - -0.06394206384648243).abs() < 1e-13, "{found:?}");
        assert!((found.p - 0.7069317702138377).abs() < 1e-13, "{found:?}");
        assert_eq!((found.n, found.df), (40, 35));
        let found = partial_spearman(&x, &y, &[&a]).unwrap();
        assert!((found.rho - -0.06192338137023315).abs() < 1e-13, "{found:?}");
        assert!((found.p - 0.7080403213356374).abs() < 1e-13, "{found:?}");
    }

    #[test]
    fn without_controls_it_is_the_plain_correlation() {
        let [x, y, ..] = columns();
        let plain = super::super::spearman::spearman(&x, &y).unwrap();
        let partial = partial_spearman(&x, &y, &[]).unwrap();
        assert!((plain.rho - partial.rho).abs() < 1e-15 && plain.df == partial.df);
    }

    #[test]
    fn a_singular_matrix_is_told() {
        let [x, y, a, ..] = columns();
        let constant = vec![2.5; 40];
        let monotone: Vec<f64> = a.iter().map(|v| v.exp()).collect();
        assert_eq!(partial_spearman(&x, &y, &[&a, &constant]), Err(Undefined::Constant { column: 3 }));
        assert_eq!(partial_spearman(&x, &y, &[&a, &monotone]), Err(Undefined::Collinear { column: 3 }));
        assert_eq!(partial_spearman(&x, &x, &[&a]), Err(Undefined::Collinear { column: 1 }));
        let short: Vec<&[f64]> = vec![&a[..4], &y[5..9]];
        assert_eq!(partial_spearman(&x[..4], &y[..4], &short), Err(Undefined::TooFewRows { n: 4, needed: 5 }));
    }

    #[test]
    fn weights_repeat_rows() {
        let columns = columns();
        let slices: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let weight = |row: usize| (row % 4) as u32;
        let weighted = RankCorrelations::from_orders(&rank_columns(&slices).unwrap(), weight).unwrap();
        let repeat = |values: &Vec<f64>| -> Vec<f64> {
            values.iter().enumerate().flat_map(|(row, &v)| std::iter::repeat_n(v, row % 4)).collect()
        };
        let repeated: Vec<Vec<f64>> = columns.iter().map(repeat).collect();
        let slices: Vec<&[f64]> = repeated.iter().map(Vec::as_slice).collect();
        assert_eq!(weighted, RankCorrelations::new(&slices).unwrap());
    }

    proptest! {
        #[test]
        fn bounded_and_blind_to_row_order_and_monotone_maps(
            rows in prop::collection::vec(prop::array::uniform4(-4i32..5), 6..50).prop_shuffle(),
            turn in 0usize..50,
        ) {
            let column = |rows: &[[i32; 4]], k: usize| -> Vec<f64> { rows.iter().map(|r| f64::from(r[k])).collect() };
            let of = |rows: &[[i32; 4]], map: fn(f64) -> f64| {
                let controls = [column(rows, 2), column(rows, 3)];
                let x: Vec<f64> = column(rows, 0).into_iter().map(map).collect();
                partial_spearman(&x, &column(rows, 1), &[&controls[0], &controls[1]])
            };
            let found = of(&rows, |v| v);
            prop_assert_eq!(&found, &of(&rows, |v| v.powi(3) * 10.0 + 1.0));
            let mut turned = rows.clone();
            turned.rotate_left(turn % rows.len());
            turned.swap(0, rows.len() - 1);
            prop_assert_eq!(&found, &of(&turned, |v| v));
            if let Ok(found) = found {
                prop_assert!((-1.0..=1.0).contains(&found.rho) && (0.0..=1.0).contains(&found.p));
            }
        }
    }
}
