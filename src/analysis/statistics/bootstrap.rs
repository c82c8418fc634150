//! Percentile bootstrap over patients (Efron 1979): the slices and structures of one patient are alike, so a
//! confidence interval must draw whole patients, not rows.
//!
//! Patients are numbered by the caller in the order of their ids, every replicate has its own random numbers from
//! (seed, replicate), and replicates are gathered in order: the interval depends on the data and the seed alone,
//! not on the order of rows or the number of threads.

use super::Undefined;
use super::describe::{quantile, sum};
use super::partial::RankCorrelations;
use super::ranks::RankOrder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How intervals are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BootstrapOptions {
    /// Replicates. Default 1000 (ours: the paper gives no intervals). 0 turns intervals off.
    pub replicates: u32,
    /// Probability that an interval covers. Default 0.95.
    pub confidence: f64,
    /// Seed of the random numbers. Default 0.
    pub seed: u64,
}

impl Default for BootstrapOptions {
    fn default() -> Self {
        BootstrapOptions { replicates: 1000, confidence: 0.95, seed: 0 }
    }
}

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Intervals of several statistics of one resample. `statistics` is given how often each patient was drawn, and
/// returns one value for each, NaN for a statistic that this resample does not have: such replicates are left out, and
/// an interval needs half of the replicates. `None` where the options turn intervals off.
///
/// # Panics
/// If `statistics` returns fewer than `count` values.
pub fn intervals(
    count: usize,
    patients: usize,
    options: &BootstrapOptions,
    statistics: impl Fn(&[u32]) -> Vec<f64> + Sync,
) -> Option<Vec<Result<Interval, Undefined>>> {
    if options.replicates == 0 {
        return None;
    }
    if patients < 2 {
        return Some(vec![Err(Undefined::TooFewPatients { patients }); count]);
    }
    let replicate = |replicate: u32| statistics(&draw_patients(patients, options.seed, replicate));
    let replicates: Vec<Vec<f64>> = (0..options.replicates).into_par_iter().map(replicate).collect();
    let tail = (1.0 - options.confidence) / 2.0;
    let interval = |k: usize| {
        let mut values: Vec<f64> = replicates.iter().map(|r| r[k]).filter(|v| !v.is_nan()).collect();
        values.sort_unstable_by(f64::total_cmp);
        match (quantile(&values, tail), quantile(&values, 1.0 - tail)) {
            (Some(low), Some(high)) if values.len() * 2 >= replicates.len() => Ok(Interval { low, high }),
            _ => Err(Undefined::TooFewReplicates { defined: values.len(), replicates: replicates.len() }),
        }
    };
    Some((0..count).map(interval).collect())
}

/// The interval of a mean over rows, `patient` numbering the patient of each row. `None` where intervals are off.
///
/// # Panics
/// If the columns differ in length, or a patient's number is not below `patients`.
pub fn mean_interval(
    values: &[f64],
    patient: &[u32],
    patients: usize,
    options: &BootstrapOptions,
) -> Option<Result<Interval, Undefined>> {
    assert_eq!(values.len(), patient.len(), "columns of one table have one length");
    // Sums of a patient's values, added in sorted order so that the order of rows does not show.
    let mut rows: Vec<(u32, f64)> = patient.iter().copied().zip(values.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut sums = vec![(0.0, 0u64); patients];
    for of_patient in rows.chunk_by(|a, b| a.0 == b.0) {
        sums[of_patient[0].0 as usize] = (sum(of_patient.iter().map(|r| r.1)), of_patient.len() as u64);
    }
    let mean = |drawn: &[u32]| {
        let n: u64 = drawn.iter().zip(&sums).map(|(&w, s)| u64::from(w) * s.1).sum();
        // 0 / 0 is the NaN of a resample without rows.
        vec![sum(drawn.iter().zip(&sums).map(|(&w, s)| f64::from(w) * s.0)) / n as f64]
    };
    intervals(1, patients, options, mean)?.pop()
}

/// The intervals of one correlation.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrelationIntervals {
    /// Of the plain rank correlation.
    pub plain: Result<Interval, Undefined>,
    /// Of the partial one, controlling for the other columns.
    pub partial: Result<Interval, Undefined>,
}

/// The intervals of the correlation of column 0 with columns 1, 2, …. Ranks are taken again in every resample. A
/// resample that leaves a column with one value (a modality of few patients, none of them drawn) is left out. `None`
/// where intervals are off.
///
/// # Panics
/// If the columns differ in length, or a patient's number is not below `patients`.
pub fn correlation_intervals(
    orders: &[RankOrder],
    patient: &[u32],
    patients: usize,
    options: &BootstrapOptions,
) -> Option<Vec<CorrelationIntervals>> {
    let others = orders.len().saturating_sub(1);
    // First all plain coefficients, then all partial ones.
    let statistics = |drawn: &[u32]| {
        let mut found = vec![f64::NAN; 2 * others];
        let Ok(correlations) = RankCorrelations::from_orders(orders, |row| drawn[patient[row] as usize]) else {
            return found;
        };
        let inverse = correlations.invert();
        for other in 0..others {
            found[other] = correlations.plain(0, other + 1).map_or(f64::NAN, |c| c.rho);
            let partial = inverse.as_ref().map_err(Clone::clone).and_then(|p| p.partial(0, other + 1));
            found[others + other] = partial.map_or(f64::NAN, |c| c.rho);
        }
        found
    };
    let mut plain = intervals(2 * others, patients, options, statistics)?;
    let partial = plain.split_off(others);
    let pairs = plain.into_iter().zip(partial);
    Some(pairs.map(|(plain, partial)| CorrelationIntervals { plain, partial }).collect())
}

/// How often each of `patients` patients is drawn, in `patients` draws with replacement.
fn draw_patients(patients: usize, seed: u64, replicate: u32) -> Vec<u32> {
    let mut random = SplitMix64::new(seed, replicate);
    let mut drawn = vec![0; patients];
    (0..patients).for_each(|_| drawn[random.below(patients as u64) as usize] += 1);
    drawn
}

/// Steele, Lea and Flood's SplitMix64: eight bytes of state, and each (seed, stream) an independent start.
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn new(seed: u64, stream: u32) -> Self {
        let mut random = SplitMix64 { state: seed };
        random.state = random.next() ^ u64::from(stream);
        random.state = random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `bound`, without bias (Lemire 2019).
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            let low = product as u64;
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::statistics::partial::rank_columns;
    use proptest::prelude::*;

    #[test]
    fn splitmix_is_the_published_sequence() {
        // The reference implementation's first outputs from state 1234567.
        let mut random = SplitMix64 { state: 1234567 };
        assert_eq!([random.next(), random.next()], [6457827717110365317, 3203168211198807973]);
    }

    #[test]
    fn draws_are_uniform() {
        let total: Vec<u32> = (0..2000).fold(vec![0; 7], |mut total, replicate| {
            draw_patients(7, 3, replicate).iter().zip(&mut total).for_each(|(d, t)| *t += d);
            total
        });
        // Each count has mean 2000 and standard deviation about 41.
        assert!(total.iter().all(|t| (1800..2200).contains(t)), "{total:?}");
    }

    #[test]
    fn the_interval_of_a_mean_has_the_width_theory_gives() {
        // One row a patient: the interval of a mean is about ±1.96 σ / √n.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let patient: Vec<u32> = (0..400).collect();
        let options = BootstrapOptions { replicates: 4000, ..BootstrapOptions::default() };
        let found = mean_interval(&values, &patient, 400, &options).unwrap().unwrap();
        let half = 1.96 * (399.0f64 / 12.0).sqrt() / 20.0;
        assert!((found.low - (9.5 - half)).abs() < 0.03 && (found.high - (9.5 + half)).abs() < 0.03, "{found:?}");
    }

    #[test]
    fn patients_and_not_rows_are_drawn() {
        // Rows repeated within their patient carry nothing new, so the interval must not shrink.
        let one: Vec<f64> = (0..30).map(f64::from).collect();
        let patient: Vec<u32> = (0..30).collect();
        let options = BootstrapOptions::default();
        let repeat = |n| -> (Vec<f64>, Vec<u32>) {
            patient.iter().flat_map(|&p| std::iter::repeat_n((f64::from(p), p), n)).unzip()
        };
        let (ten, patient_of_ten) = repeat(10);
        assert_eq!(mean_interval(&one, &patient, 30, &options), mean_interval(&ten, &patient_of_ten, 30, &options));
    }

    #[test]
    fn without_patients_or_replicates_there_is_no_interval() {
        let options = BootstrapOptions::default();
        let one = mean_interval(&[1.0, 2.0], &[0, 0], 1, &options);
        assert_eq!(one, Some(Err(Undefined::TooFewPatients { patients: 1 })));
        let off = BootstrapOptions { replicates: 0, ..options };
        assert_eq!(mean_interval(&[1.0, 2.0], &[0, 1], 2, &off), None);
        let never = intervals(1, 3, &options, |_| vec![f64::NAN]).unwrap();
        assert_eq!(never, [Err(Undefined::TooFewReplicates { defined: 0, replicates: 1000 })]);
    }

    fn correlate(rows: &[(i32, i32, i32, u32)], threads: usize) -> Option<Vec<(Interval, Interval)>> {
        let column = |f: fn(&(i32, i32, i32, u32)) -> i32| rows.iter().map(|r| f64::from(f(r))).collect::<Vec<f64>>();
        let (x, y, z) = (column(|r| r.0), column(|r| r.1), column(|r| r.2));
        let patient: Vec<u32> = rows.iter().map(|r| r.3).collect();
        let orders = rank_columns(&[&x, &y, &z]).ok()?;
        let options = BootstrapOptions { replicates: 60, ..BootstrapOptions::default() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| correlation_intervals(&orders, &patient, 6, &options)).unwrap();
        found.into_iter().map(|c| Some((c.plain.ok()?, c.partial.ok()?))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn neither_row_order_nor_threads_show(
            rows in prop::collection::vec((-9i32..10, -9i32..10, -9i32..10, 0u32..6), 20..60)
        ) {
            let mut reversed = rows.clone();
            reversed.reverse();
            prop_assert_eq!(correlate(&rows, 1), correlate(&reversed, 3));
        }
    }
}
