//! Curves of the metric against a factor: its mean and quartiles in bins of the factor.
//!
//! The edges come from the factors of all masks of the dataset, or from round numbers, never from the rows of a
//! condition: curves of two models share their bins.

use super::AnalysisError;
use super::frame::frame_of;
use super::join::{Condition, Rows};
use super::statistics::describe::{Description, describe, quantile};
use crate::factors::Binning;
use polars::prelude::*;

/// The metric in one bin of a factor.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveRow {
    /// Model, strategy, variant and choice.
    pub condition: Condition,
    /// Name of the metric.
    pub metric: String,
    /// Name of the factor.
    pub factor: String,
    /// Number of the bin, from 0.
    pub bin: u32,
    /// Lower edge of the bin, which belongs to it.
    pub low: f64,
    /// Upper edge, which belongs to the next bin; that of the last bin belongs to it.
    pub high: f64,
    /// The factor's values in the bin.
    pub factor_values: Description,
    /// The metric's values in the bin.
    pub metric_values: Description,
    /// Failures in the bin: empty predictions.
    pub failures: u64,
    /// Masks of the condition that are in no bin of this curve: the factor has no value, or none that a logarithm has.
    pub outside: u64,
}

/// The edges of the bins over a factor's values, rising; fewer than two where there is nothing to cut.
pub fn edges(values: &[f64], bins: Binning) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    match bins {
        Binning::Quantile(count) => {
            let edge = |i: u32| quantile(&sorted, f64::from(i) / f64::from(count));
            let mut edges: Vec<f64> = (0..=count).filter_map(edge).collect();
            edges.dedup();
            // One value alone is a bin from itself to itself.
            if edges.len() == 1 {
                edges.push(edges[0]);
            }
            edges
        }
        Binning::Logarithmic(per_decade) => {
            let Some(&smallest) = sorted.iter().find(|v| **v > 0.0) else { return Vec::new() };
            let largest = sorted.last().copied().unwrap_or(smallest);
            let edge = |i: i32| 10f64.powf(f64::from(i) / f64::from(per_decade));
            let place = |v: f64| (v.log10() * f64::from(per_decade)).floor() as i32;
            let (mut first, mut last) = (place(smallest), place(largest) + 1);
            // The logarithm of a value on an edge may fall to either side of it.
            while edge(first) > smallest {
                first -= 1;
            }
            while edge(last) <= largest {
                last += 1;
            }
            (first..=last).map(edge).collect()
        }
    }
}

/// The bin of a value, `None` outside the edges.
fn bin_of(value: f64, edges: &[f64]) -> Option<usize> {
    let (&first, &last) = (edges.first()?, edges.last()?);
    if value.is_nan() || value < first || value > last {
        return None;
    }
    let above = edges.partition_point(|edge| *edge <= value);
    Some(above.saturating_sub(1).min(edges.len().checked_sub(2)?))
}

/// Cuts the rows of a condition into the bins of a factor. The rows must hold both as numbers. Empty bins have a row.
pub fn curve(condition: &Condition, rows: &Rows, metric: &str, factor: &str, edges: &[f64]) -> Vec<CurveRow> {
    let (metric_values, factor_values) = (&rows.numbers[metric], &rows.numbers[factor]);
    let mut members = vec![Vec::new(); edges.len().saturating_sub(1)];
    let mut outside = 0;
    for (row, &value) in factor_values.iter().enumerate() {
        match bin_of(value, edges) {
            Some(bin) => members[bin].push(row),
            None => outside += 1,
        }
    }
    let row_of = |(bin, members): (usize, &Vec<usize>)| CurveRow {
        condition: condition.clone(),
        metric: metric.to_string(),
        factor: factor.to_string(),
        bin: bin as u32,
        low: edges[bin],
        high: edges[bin + 1],
        factor_values: describe(members.iter().map(|&row| factor_values[row])),
        metric_values: describe(members.iter().map(|&row| metric_values[row])),
        failures: members.iter().filter(|&&row| rows.failed[row]).count() as u64,
        outside,
    };
    members.iter().enumerate().map(row_of).collect()
}

/// The table as a frame.
///
/// # Errors
/// None that a caller can cause; the type is polars' own.
pub fn to_frame(rows: &[CurveRow]) -> Result<DataFrame, AnalysisError> {
    let frame = frame_of!(rows, |r| {
        "metric": r.metric.as_str(),
        "model": r.condition.model.as_str(),
        "strategy": r.condition.strategy.as_str(),
        "variant": r.condition.variant.as_str(),
        "choice": r.condition.choice.name(),
        "factor": r.factor.as_str(),
        "bin": r.bin,
        "low": r.low,
        "high": r.high,
        "masks": r.factor_values.n as u64,
        "failures": r.failures,
        "factor_mean": r.factor_values.mean,
        "factor_median": r.factor_values.median,
        "n": r.metric_values.n as u64,
        "mean": r.metric_values.mean,
        "std": r.metric_values.std,
        "q1": r.metric_values.q1,
        "median": r.metric_values.median,
        "q3": r.metric_values.q3,
        "outside": r.outside,
    });
    frame.map_err(|source| AnalysisError::Format { what: "the curves".to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantile_edges_merge_ties() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(edges(&values, Binning::Quantile(4)), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert_eq!(edges(&[1.0, 1.0, 1.0, 1.0, 9.0], Binning::Quantile(4)), [1.0, 9.0]);
        assert_eq!(edges(&[5.0, 5.0], Binning::Quantile(4)), [5.0, 5.0]);
        assert_eq!(edges(&[f64::NAN], Binning::Quantile(4)), [] as [f64; 0]);
    }

    #[test]
    fn logarithmic_edges_are_round_numbers() {
        assert_eq!(edges(&[60.0, 1000.0, f64::NAN, -3.0], Binning::Logarithmic(1)), [10.0, 100.0, 1000.0, 10000.0]);
        assert_eq!(edges(&[-3.0, 0.0], Binning::Logarithmic(1)), [] as [f64; 0]);
    }

    #[test]
    fn values_fall_where_the_edges_say() {
        let edges = [0.0, 1.0, 2.0];
        let bins = [-0.1, 0.0, 1.0, 1.9, 2.0, 2.1, f64::NAN].map(|v| bin_of(v, &edges));
        assert_eq!(bins, [None, Some(0), Some(1), Some(1), Some(1), None, None]);
        assert_eq!(bin_of(5.0, &[5.0, 5.0]), Some(0));
        assert_eq!(bin_of(5.0, &[]), None);
    }

    proptest! {
        #[test]
        fn every_positive_value_is_in_a_bin(values in prop::collection::vec(1e-6f64..1e9, 1..50), count in 1u32..13) {
            for bins in [Binning::Quantile(count), Binning::Logarithmic(count)] {
                let edges = edges(&values, bins);
                prop_assert!(edges.windows(2).all(|w| w[0] < w[1]) || edges.len() == 2);
                for value in &values {
                    let bin = bin_of(*value, &edges).unwrap();
                    prop_assert!(edges[bin] <= *value && *value <= edges[bin + 1]);
                }
            }
        }
    }
}
