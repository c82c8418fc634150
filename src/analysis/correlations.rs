//! Which factors the metric follows: for each condition and factor the Spearman partial correlation, controlling for
//! the other factors (docs/protocol.md, 5), next to the plain one, both with an interval over patients.
//!
//! Only masks that have the metric and every factor are used, the same for all factors of a condition; the others are
//! counted. A factor with one value (the modality, in a dataset that has one) explains nothing: it has no correlation,
//! and the others are controlled for the rest. The modality's index has no order, so that its correlations are
//! flagged as nominal, and the Kruskal–Wallis test of the metric between its values stands in the same row.

use super::AnalysisError;
use super::frame::frame_of;
use super::join::{Condition, Rows, number};
use super::options::AnalysisOptions;
use super::statistics::Undefined;
use super::statistics::adjust::Adjustment;
use super::statistics::bootstrap::{CorrelationIntervals, Interval, correlation_intervals};
use super::statistics::correlation::Correlation;
use super::statistics::kruskal::{KruskalWallis, kruskal_wallis};
use super::statistics::partial::{RankCorrelations, rank_columns};
use crate::factors::is_nominal;
use crate::store::Choice;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The correlation of a metric with a factor under one condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorrelationRow {
    /// Model, strategy, variant and choice.
    pub condition: Condition,
    /// Name of the metric.
    pub metric: String,
    /// Name of the factor.
    pub factor: String,
    /// The factor is a code without an order: trust the group test, not ρ.
    pub nominal: bool,
    /// The partial correlation, controlling for [`controls`](Self::controls).
    pub partial: Option<Correlation>,
    /// Its p-value, adjusted within the table.
    pub p_adjusted: Option<f64>,
    /// Its interval over patients.
    pub interval: Option<Interval>,
    /// The plain correlation.
    pub plain: Option<Correlation>,
    /// Its interval over patients.
    pub plain_interval: Option<Interval>,
    /// Of a nominal factor, the test between its values.
    pub groups: Option<KruskalWallis>,
    /// The factors controlled for.
    pub controls: Vec<String>,
    /// Masks used.
    pub n: u64,
    /// Patients of these masks.
    pub patients: u64,
    /// Masks left out because this factor has no value.
    pub without_factor: u64,
    /// Masks left out because any factor has no value.
    pub without_any_factor: u64,
    /// Masks left out because the metric has no value.
    pub without_metric: u64,
    /// Masks left out because their category is excluded.
    pub excluded: u64,
    /// Why a statistic is missing.
    pub reason: Option<String>,
}

/// Correlates the metric with each factor, for one condition. The rows must hold both as numbers. P-values are not
/// yet adjusted: see [`adjust`].
pub fn correlate(condition: &Condition, rows: &Rows, options: &AnalysisOptions) -> Vec<CorrelationRow> {
    let factors: Vec<&Vec<f64>> = options.factors.iter().map(|name| &rows.numbers[name]).collect();
    let metric = &rows.numbers[&options.metric];
    let has_factors = |row: usize| factors.iter().all(|values| !values[row].is_nan());
    let kept: Vec<usize> = (0..metric.len()).filter(|&row| !metric[row].is_nan() && has_factors(row)).collect();
    let take = |values: &[f64]| -> Vec<f64> { kept.iter().map(|&row| values[row]).collect() };
    let metric_kept = take(metric);
    let factors_kept: Vec<Vec<f64>> = factors.iter().map(|values| take(values)).collect();
    let (patient, patients) = number(kept.iter().map(|&row| rows.patient[row]));

    let varies = |values: &[f64]| values.iter().any(|v| *v != values[0]);
    let used: Vec<usize> = (0..factors.len()).filter(|&f| varies(&factors_kept[f])).collect();
    let columns: Vec<&[f64]> =
        [metric_kept.as_slice()].into_iter().chain(used.iter().map(|&f| factors_kept[f].as_slice())).collect();
    let name = |reason: Undefined| name_columns(&reason, options, &used);
    let orders =
        if kept.len() < 3 { Err(Undefined::TooFewRows { n: kept.len(), needed: 3 }) } else { rank_columns(&columns) };
    let correlations = orders.clone().and_then(|orders| RankCorrelations::from_orders(&orders, |_| 1));
    let inverse = correlations.clone().and_then(|c| c.invert());
    let intervals: Vec<CorrelationIntervals> = match &orders {
        Ok(orders) => correlation_intervals(orders, &patient, patients.len(), &options.bootstrap).unwrap_or_default(),
        Err(_) => Vec::new(),
    };

    let row_of = |(place, factor): (usize, &String)| {
        let nominal = is_nominal(factor);
        let column = used.iter().position(|&f| f == place);
        let constant = || format!("{factor} has only one value");
        let of = |correlation: Result<Correlation, Undefined>| correlation.map_err(name);
        let missing =
            || Err(if kept.len() < 3 { name(Undefined::TooFewRows { n: kept.len(), needed: 3 }) } else { constant() });
        let partial = column.map_or_else(missing, |c| of(inverse.clone().and_then(|p| p.partial(0, c + 1))));
        let plain = column.map_or_else(missing, |c| of(correlations.clone().and_then(|r| r.plain(0, c + 1))));
        let intervals = column.and_then(|c| intervals.get(c));
        let interval_reason = intervals.and_then(|i| i.partial.as_ref().err()).map(|e| format!("no interval: {e}"));
        let groups = nominal.then(|| {
            let (codes, _) = number(factors_kept[place].iter().map(|v| v.to_bits()));
            kruskal_wallis(&metric_kept, &codes).ok()
        });
        let controls = used.iter().filter(|&&f| f != place).map(|&f| options.factors[f].clone());
        CorrelationRow {
            condition: condition.clone(),
            metric: options.metric.clone(),
            factor: factor.clone(),
            nominal,
            p_adjusted: None,
            interval: intervals.and_then(|i| i.partial.clone().ok()),
            plain_interval: intervals.and_then(|i| i.plain.clone().ok()),
            groups: groups.flatten(),
            controls: if column.is_some() { controls.collect() } else { Vec::new() },
            n: kept.len() as u64,
            patients: patients.len() as u64,
            without_factor: rows.numbers[factor].iter().filter(|v| v.is_nan()).count() as u64,
            without_any_factor: (0..metric.len()).filter(|&row| !has_factors(row)).count() as u64,
            without_metric: metric.iter().filter(|v| v.is_nan()).count() as u64,
            excluded: rows.excluded as u64,
            reason: partial.as_ref().err().cloned().or(interval_reason),
            partial: partial.ok(),
            plain: plain.ok(),
        }
    };
    options.factors.iter().enumerate().map(row_of).collect()
}

/// Adjusts the p-values of the partial correlations, those of each choice as one family: oracle and score are two
/// readings of the same predictions.
pub fn adjust(rows: &mut [CorrelationRow], adjustment: Adjustment) {
    let choices: BTreeSet<Choice> = rows.iter().map(|r| r.condition.choice).collect();
    for choice in choices {
        let mut family: Vec<&mut CorrelationRow> = rows.iter_mut().filter(|r| r.condition.choice == choice).collect();
        let p: Vec<Option<f64>> = family.iter().map(|r| r.partial.map(|c| c.p)).collect();
        family.iter_mut().zip(adjustment.adjust(&p)).for_each(|(row, adjusted)| row.p_adjusted = adjusted);
    }
}

/// The reason with the column's name in the place of its number: column 0 is the metric, then the factors used.
fn name_columns(reason: &Undefined, options: &AnalysisOptions, used: &[usize]) -> String {
    let name = |column: usize| match column.checked_sub(1).and_then(|c| used.get(c)) {
        Some(&factor) => &options.factors[factor],
        None => &options.metric,
    };
    match reason {
        Undefined::Constant { column } => format!("{} has only one value", name(*column)),
        Undefined::Collinear { column } => format!("{} is determined by the other columns", name(*column)),
        other => other.to_string(),
    }
}

/// The table as a frame.
///
/// # Errors
/// None that a caller can cause; the type is polars' own.
pub fn to_frame(rows: &[CorrelationRow]) -> Result<DataFrame, AnalysisError> {
    let frame = frame_of!(rows, |r| {
        "metric": r.metric.as_str(),
        "model": r.condition.model.as_str(),
        "strategy": r.condition.strategy.as_str(),
        "variant": r.condition.variant.as_str(),
        "choice": r.condition.choice.name(),
        "factor": r.factor.as_str(),
        "nominal": r.nominal,
        "partial_rho": r.partial.map(|c| c.rho),
        "p": r.partial.map(|c| c.p),
        "p_adjusted": r.p_adjusted,
        "df": r.partial.map(|c| c.df as u64),
        "ci_low": r.interval.map(|i| i.low),
        "ci_high": r.interval.map(|i| i.high),
        "plain_rho": r.plain.map(|c| c.rho),
        "plain_p": r.plain.map(|c| c.p),
        "plain_ci_low": r.plain_interval.map(|i| i.low),
        "plain_ci_high": r.plain_interval.map(|i| i.high),
        "kruskal_h": r.groups.map(|k| k.h),
        "kruskal_df": r.groups.map(|k| k.df),
        "kruskal_p": r.groups.map(|k| k.p),
        "kruskal_epsilon_squared": r.groups.map(|k| k.epsilon_squared),
        "controls": r.controls.join(" "),
        "n": r.n,
        "patients": r.patients,
        "without_factor": r.without_factor,
        "without_any_factor": r.without_any_factor,
        "without_metric": r.without_metric,
        "excluded": r.excluded,
        "reason": r.reason.as_deref(),
    });
    frame.map_err(|source| AnalysisError::Format { what: "the correlation table".to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::statistics::bootstrap::BootstrapOptions;

    fn options(factors: &[&str]) -> AnalysisOptions {
        AnalysisOptions {
            factors: factors.iter().map(|f| f.to_string()).collect(),
            bootstrap: BootstrapOptions { replicates: 20, ..BootstrapOptions::default() },
            ..AnalysisOptions::default()
        }
    }

    fn rows(columns: &[(&str, &[f64])]) -> Rows {
        let n = columns[0].1.len();
        Rows {
            patient: (0..n as u32).collect(),
            patients: n,
            failed: vec![false; n],
            numbers: columns.iter().map(|(name, values)| (name.to_string(), values.to_vec())).collect(),
            ..Rows::default()
        }
    }

    const DICE: [f64; 8] = [0.1, 0.5, 0.2, 0.9, 0.4, 0.3, 0.8, 0.7];
    const SIZE: [f64; 8] = [5., 1., 7., 3., 8., 2., 9., 4.];

    #[test]
    fn collinear_factors_keep_their_plain_correlation() {
        let cubes = SIZE.map(|v| v.powi(3));
        let rows = rows(&[("dice", &DICE), ("size", &SIZE), ("volume", &cubes)]);
        for row in correlate(&Condition::default(), &rows, &options(&["size", "volume"])) {
            assert_eq!((row.partial, row.interval), (None, None));
            assert!(row.plain.is_some() && row.plain_interval.is_some());
            assert_eq!(row.reason.as_deref(), Some("volume is determined by the other columns"));
        }
    }

    #[test]
    fn a_metric_with_one_value_or_too_few_rows_is_told() {
        let same = rows(&[("dice", &[0.5; 8]), ("size", &SIZE)]);
        let found = correlate(&Condition::default(), &same, &options(&["size"]));
        assert_eq!((found[0].plain, found[0].reason.as_deref()), (None, Some("dice has only one value")));
        for n in 0..3 {
            let few = rows(&[("dice", &DICE[..n]), ("size", &SIZE[..n])]);
            let found = correlate(&Condition::default(), &few, &options(&["size"]));
            assert_eq!(found[0].reason, Some(format!("{n} rows, expected at least 3")));
        }
    }

    #[test]
    fn oracle_and_score_are_two_families() {
        let rows = rows(&[("dice", &DICE), ("size", &SIZE)]);
        let of = |choice: Choice| {
            let condition = Condition { choice, ..Condition::default() };
            correlate(&condition, &rows, &options(&["size"])).remove(0)
        };
        let mut table = vec![of(Choice::Oracle), of(Choice::Score)];
        adjust(&mut table, Adjustment::Holm);
        assert!(table.iter().all(|row| row.p_adjusted == row.partial.map(|c| c.p)));
        let mut table = vec![of(Choice::Oracle), of(Choice::Oracle)];
        adjust(&mut table, Adjustment::Holm);
        assert!(table.iter().all(|row| row.p_adjusted > row.partial.map(|c| c.p)));
    }
}
