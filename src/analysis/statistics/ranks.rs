//! Ranks with average ties, as `scipy.stats.rankdata(method="average")`, kept as integers.
//!
//! The average rank of a tie may be a half, so ranks are doubled; and centred, so that their sum is zero. Sums of
//! products of such ranks are integers that fit 128 bits for any number of rows a table can have, and are therefore
//! exact and independent of the order of the rows.

use super::Undefined;

/// The rank order of a column: which tie group each row is in, groups numbered from the smallest value up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RankOrder {
    group: Vec<u32>,
    groups: usize,
}

impl RankOrder {
    /// Sorts a column into its tie groups. `-0.0` and `0.0` tie, infinities are the largest values.
    ///
    /// # Errors
    /// [`Undefined::NotANumber`] (column 0) where a value is NaN, [`Undefined::TooManyRows`] from 2³¹ rows on.
    pub fn new(values: &[f64]) -> Result<Self, Undefined> {
        if values.len() > i32::MAX as usize {
            return Err(Undefined::TooManyRows { n: values.len() });
        }
        if values.iter().any(|v| v.is_nan()) {
            return Err(Undefined::NotANumber { column: 0 });
        }
        let mut order: Vec<u32> = (0..values.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| values[a as usize].total_cmp(&values[b as usize]));
        let mut group = vec![0; values.len()];
        let mut groups = 0;
        let mut previous = None;
        for &row in &order {
            let value = values[row as usize];
            if previous != Some(value) {
                groups += 1;
                previous = Some(value);
            }
            group[row as usize] = groups as u32 - 1;
        }
        Ok(RankOrder { group, groups })
    }

    /// The tie group of each row.
    pub fn group_of_rows(&self) -> &[u32] {
        &self.group
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// True where there are no rows.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// True where all rows tie.
    pub fn is_constant(&self) -> bool {
        self.groups < 2
    }

    /// Number of rows in each tie group.
    pub fn group_sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0; self.groups];
        self.group.iter().for_each(|&g| sizes[g as usize] += 1);
        sizes
    }

    /// Twice the average rank minus `n + 1`, for each tie group: zero-sum integers in `-(n - 1)..=n - 1`.
    pub fn centred_ranks(&self) -> Vec<i64> {
        centred_ranks_of_sizes(&self.group_sizes())
    }

    /// The same, with row `i` standing there `weight(i)` times (none, where it is 0).
    pub fn weighted_centred_ranks(&self, weight: impl Fn(usize) -> u32) -> Vec<i64> {
        let mut sizes = vec![0; self.groups];
        self.group.iter().enumerate().for_each(|(row, &g)| sizes[g as usize] += u64::from(weight(row)));
        centred_ranks_of_sizes(&sizes)
    }
}

/// A tie group of `size` rows with `below` rows before it has the average rank `below + (size + 1) / 2`.
fn centred_ranks_of_sizes(sizes: &[u64]) -> Vec<i64> {
    let n: u64 = sizes.iter().sum();
    let mut below = 0;
    let centred = sizes.iter().map(|&size| {
        let doubled = (2 * below + size + 1) as i64;
        below += size;
        doubled - (n as i64 + 1)
    });
    centred.collect()
}

/// Ranks from 1, ties at their average.
///
/// # Errors
/// As [`RankOrder::new`].
pub fn average_ranks(values: &[f64]) -> Result<Vec<f64>, Undefined> {
    let order = RankOrder::new(values)?;
    let centred = order.centred_ranks();
    let n = values.len() as i64;
    Ok(order.group.iter().map(|&g| (centred[g as usize] + n + 1) as f64 / 2.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_share_their_average_rank() {
        // scipy.stats.rankdata([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5])
        let values = [3., 1., 4., 1., 5., 9., 2., 6., 5., 3., 5.];
        assert_eq!(average_ranks(&values).unwrap(), [4.5, 1.5, 6., 1.5, 8., 11., 3., 10., 8., 4.5, 8.]);
    }

    #[test]
    fn zeros_of_both_signs_tie_and_infinity_is_last() {
        assert_eq!(average_ranks(&[f64::INFINITY, 0.0, -0.0, -1.0]).unwrap(), [4.0, 2.5, 2.5, 1.0]);
    }

    #[test]
    fn not_a_number_is_refused() {
        assert_eq!(RankOrder::new(&[1.0, f64::NAN]), Err(Undefined::NotANumber { column: 0 }));
    }

    #[test]
    fn weights_repeat_rows() {
        let weights = [2, 0, 1, 3];
        let order = RankOrder::new(&[5.0, 1.0, 5.0, 2.0]).unwrap();
        let weighted = order.weighted_centred_ranks(|row| weights[row]);
        let repeated = RankOrder::new(&[5.0, 5.0, 5.0, 2.0, 2.0, 2.0]).unwrap();
        assert_eq!(weighted[2], repeated.centred_ranks()[1]);
        assert_eq!(weighted[1], repeated.centred_ranks()[0]);
    }

    proptest! {
        #[test]
        fn centred_ranks_sum_to_zero(values in prop::collection::vec(-3i32..4, 0..60)) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let order = RankOrder::new(&values).unwrap();
            let centred = order.centred_ranks();
            let sum: i64 = order.group_of_rows().iter().map(|&g| centred[g as usize]).sum();
            prop_assert_eq!(sum, 0);
        }
    }
}
