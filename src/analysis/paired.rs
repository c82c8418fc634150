//! Two strategies or two models on the same masks: mean difference with an interval over patients, and the Wilcoxon
//! signed-rank test with its effect size.
//!
//! A test over masks takes masks as independent, which those of one patient are not: its p-values are too small. The
//! same test over patients (mean difference of each) is reported next to it.

use super::AnalysisError;
use super::frame::frame_of;
use super::join::{Condition, Evaluation, Pairs};
use super::options::AnalysisOptions;
use super::statistics::bootstrap::{Interval, mean_interval};
use super::statistics::describe::{describe, sum};
use super::statistics::wilcoxon::{SignedRank, wilcoxon};
use crate::store::Choice;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The comparison of two conditions. Differences are first − second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedRow {
    /// First condition.
    pub first: Condition,
    /// Second condition: of another strategy or another model, never both.
    pub second: Condition,
    /// Name of the metric.
    pub metric: String,
    /// Masks that have the metric under both.
    pub n: u64,
    /// Patients of these masks.
    pub patients: u64,
    /// Mean under the first condition.
    pub first_mean: Option<f64>,
    /// Mean under the second.
    pub second_mean: Option<f64>,
    /// Mean of the differences.
    pub difference: Option<f64>,
    /// Its interval over patients.
    pub interval: Option<Interval>,
    /// Median of the differences.
    pub median_difference: Option<f64>,
    /// The test over masks.
    pub masks_test: Option<SignedRank>,
    /// Its p-value, adjusted within the table.
    pub p_adjusted: Option<f64>,
    /// The test over the mean differences of patients.
    pub patients_test: Option<SignedRank>,
    /// Its p-value, adjusted within the table.
    pub patients_p_adjusted: Option<f64>,
    /// Why a statistic is missing.
    pub reason: Option<String>,
}

/// Compares all strategies of each model, and all models under each strategy, with undisturbed prompts.
///
/// # Errors
/// What [`Evaluation::pairs`] returns.
pub fn compare_all(
    evaluation: &Evaluation,
    conditions: &[Condition],
    options: &AnalysisOptions,
) -> Result<Vec<PairedRow>, AnalysisError> {
    let undisturbed: Vec<&Condition> = conditions.iter().filter(|c| c.variant.is_empty()).collect();
    let mut rows = Vec::new();
    for (place, &first) in undisturbed.iter().enumerate() {
        for &second in &undisturbed[place + 1..] {
            let one_apart = (first.model == second.model) != (first.strategy == second.strategy);
            if one_apart && first.choice == second.choice {
                let pairs = evaluation.pairs(&[first], second, &options.metric)?;
                rows.push(compare(first, second, &pairs, options));
            }
        }
    }
    adjust(&mut rows, options);
    Ok(rows)
}

/// Compares two conditions over the masks of both.
pub fn compare(first: &Condition, second: &Condition, pairs: &Pairs, options: &AnalysisOptions) -> PairedRow {
    let differences: Vec<f64> = pairs.first.iter().zip(&pairs.second).map(|(a, b)| a - b).collect();
    let described = describe(differences.iter().copied());
    let n = differences.len();
    let interval = mean_interval(&differences, &pairs.patient, pairs.patients, &options.bootstrap);
    let test = |differences: Vec<f64>| wilcoxon(&without_rounding(differences), options.zero_differences);
    let patients_test = test(patient_means(&differences, pairs));
    let masks_test = test(differences);
    let reason = match (&masks_test, &interval) {
        _ if n == 0 => Some("no mask has a value in both".to_string()),
        (Err(reason), _) => Some(reason.to_string()),
        (_, Some(Err(reason))) => Some(format!("no interval: {reason}")),
        _ => None,
    };
    PairedRow {
        first: first.clone(),
        second: second.clone(),
        metric: options.metric.clone(),
        n: n as u64,
        patients: pairs.patients as u64,
        first_mean: describe(pairs.first.iter().copied()).mean,
        second_mean: describe(pairs.second.iter().copied()).mean,
        difference: described.mean,
        interval: interval.and_then(Result::ok),
        median_difference: described.median,
        masks_test: masks_test.ok(),
        p_adjusted: None,
        patients_test: patients_test.ok(),
        patients_p_adjusted: None,
        reason,
    }
}

/// The mean difference of each patient, by its number.
fn patient_means(differences: &[f64], pairs: &Pairs) -> Vec<f64> {
    let mut of_patient: Vec<Vec<f64>> = vec![Vec::new(); pairs.patients];
    pairs.patient.iter().zip(differences).for_each(|(&patient, &d)| of_patient[patient as usize].push(d));
    let mean = |mut values: Vec<f64>| {
        values.sort_unstable_by(f64::total_cmp);
        sum(values.iter().copied()) / values.len() as f64
    };
    of_patient.into_iter().map(mean).collect()
}

/// Differences without their last digits, which are rounding: 0.7 − 0.6 and 0.6 − 0.5 must tie, and 0.1 + 0.2 − 0.3
/// must be zero. A real difference of less than a billionth of a metric is of no interest.
fn without_rounding(differences: Vec<f64>) -> Vec<f64> {
    differences.into_iter().map(|d| (d * 1e9).round() / 1e9).collect()
}

/// Adjusts both p-values, those of each choice as one family.
fn adjust(rows: &mut [PairedRow], options: &AnalysisOptions) {
    let choices: BTreeSet<Choice> = rows.iter().map(|r| r.first.choice).collect();
    for choice in choices {
        let mut family: Vec<&mut PairedRow> = rows.iter_mut().filter(|r| r.first.choice == choice).collect();
        let p_of = |test: Option<SignedRank>| test.map(|t| t.p);
        let masks: Vec<Option<f64>> = family.iter().map(|r| p_of(r.masks_test)).collect();
        let patients: Vec<Option<f64>> = family.iter().map(|r| p_of(r.patients_test)).collect();
        let adjusted = options.adjustment.adjust(&masks).into_iter().zip(options.adjustment.adjust(&patients));
        for (row, (masks, patients)) in family.iter_mut().zip(adjusted) {
            (row.p_adjusted, row.patients_p_adjusted) = (masks, patients);
        }
    }
}

/// The table as a frame.
///
/// # Errors
/// None that a caller can cause; the type is polars' own.
pub fn to_frame(rows: &[PairedRow]) -> Result<DataFrame, AnalysisError> {
    let frame = frame_of!(rows, |r| {
        "metric": r.metric.as_str(),
        "choice": r.first.choice.name(),
        "first_model": r.first.model.as_str(),
        "first_strategy": r.first.strategy.as_str(),
        "second_model": r.second.model.as_str(),
        "second_strategy": r.second.strategy.as_str(),
        "n": r.n,
        "patients": r.patients,
        "first_mean": r.first_mean,
        "second_mean": r.second_mean,
        "difference": r.difference,
        "ci_low": r.interval.map(|i| i.low),
        "ci_high": r.interval.map(|i| i.high),
        "median_difference": r.median_difference,
        "zeros": r.masks_test.map(|t| t.zeros as u64),
        "z": r.masks_test.map(|t| t.z),
        "p": r.masks_test.map(|t| t.p),
        "p_adjusted": r.p_adjusted,
        "rank_biserial": r.masks_test.map(|t| t.rank_biserial),
        "patients_z": r.patients_test.map(|t| t.z),
        "patients_p": r.patients_test.map(|t| t.p),
        "patients_p_adjusted": r.patients_p_adjusted,
        "patients_rank_biserial": r.patients_test.map(|t| t.rank_biserial),
        "reason": r.reason.as_deref(),
    });
    frame.map_err(|source| AnalysisError::Format { what: "the paired comparisons".to_string(), source })
}
