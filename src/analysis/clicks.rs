//! Simulated clicks (docs/protocol.md, 7): Dice and IoU after each click, and the number of clicks that a target IoU
//! takes (NoC@85, NoC@90), as interactive methods are compared.

use super::AnalysisError;
use super::frame::frame_of;
use super::join::{Condition, Evaluation};
use super::options::AnalysisOptions;
use super::statistics::bootstrap::{Interval, mean_interval};
use super::statistics::describe::describe;
use crate::store::Choice;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// IoU that is to be reached, in per cent.
const TARGETS: [u32; 2] = [85, 90];

/// The segmentations after one click.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClickRow {
    /// Name of the model.
    pub model: String,
    /// Clicks given so far.
    pub click: u32,
    /// Masks.
    pub n: u64,
    /// Their patients.
    pub patients: u64,
    /// Mean Dice.
    pub dice_mean: Option<f64>,
    /// Interval of it over patients.
    pub dice_interval: Option<Interval>,
    /// Mean IoU.
    pub iou_mean: Option<f64>,
    /// Share of the masks that have reached an IoU of 0.85 by now.
    pub reached_85: Option<f64>,
    /// Share of the masks that have reached an IoU of 0.90 by now.
    pub reached_90: Option<f64>,
}

/// The number of clicks to a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClicksNeededRow {
    /// Name of the model.
    pub model: String,
    /// IoU to reach, in per cent.
    pub iou_percent: u32,
    /// Most clicks; a mask that does not reach the target counts with this many.
    pub most: u32,
    /// Masks.
    pub n: u64,
    /// Mean number of clicks (NoC).
    pub clicks_mean: Option<f64>,
    /// Masks that never reach it.
    pub failures: u64,
}

/// The click of a variant; `None` where it is of another kind.
fn click_of(variant: &str) -> Option<u32> {
    variant.strip_prefix("click")?.parse().ok()
}

/// Clicks of all models that were predicted with them.
///
/// # Errors
/// What [`Evaluation::rows`] returns.
pub fn clicks(
    evaluation: &Evaluation,
    conditions: &[Condition],
    options: &AnalysisOptions,
) -> Result<(Vec<ClickRow>, Vec<ClicksNeededRow>), AnalysisError> {
    // The one candidate of a click is both choices.
    let mut by_model: BTreeMap<&str, BTreeMap<u32, &Condition>> = BTreeMap::new();
    for condition in conditions.iter().filter(|c| c.choice == Choice::Score) {
        if let Some(click) = click_of(&condition.variant) {
            by_model.entry(&condition.model).or_default().insert(click, condition);
        }
    }
    let numbers = BTreeSet::from(["dice".to_string(), "iou".to_string()]);
    let labels = BTreeSet::from(["mask_id".to_string()]);
    let (mut rows, mut needed) = (Vec::new(), Vec::new());
    for (model, clicks) in by_model {
        let most = clicks.keys().last().copied().unwrap_or(0);
        // For each target, the first click at which a mask reaches it.
        let mut first: [HashMap<String, u32>; 2] = Default::default();
        let mut masks: BTreeSet<String> = BTreeSet::new();
        for (click, condition) in clicks {
            let found = evaluation.rows(condition, &numbers, &labels)?;
            let ids = &found.labels["mask_id"];
            let id = |row: usize| ids.levels[ids.codes[row] as usize].clone().unwrap_or_default();
            let (dice, iou) = (&found.numbers["dice"], &found.numbers["iou"]);
            for (row, &iou) in iou.iter().enumerate() {
                masks.insert(id(row));
                for (first, target) in first.iter_mut().zip(TARGETS) {
                    if iou >= f64::from(target) / 100.0 {
                        first.entry(id(row)).or_insert(click);
                    }
                }
            }
            let share =
                |reached: &HashMap<String, u32>| (!masks.is_empty()).then(|| reached.len() as f64 / masks.len() as f64);
            rows.push(ClickRow {
                model: model.to_string(),
                click,
                n: dice.len() as u64,
                patients: found.patients as u64,
                dice_mean: describe(dice.iter().copied()).mean,
                dice_interval: mean_interval(dice, &found.patient, found.patients, &options.bootstrap)
                    .and_then(Result::ok),
                iou_mean: describe(iou.iter().copied()).mean,
                reached_85: share(&first[0]),
                reached_90: share(&first[1]),
            });
        }
        for (first, iou_percent) in first.iter().zip(TARGETS) {
            let of_mask = masks.iter().map(|id| f64::from(first.get(id).copied().unwrap_or(most)));
            needed.push(ClicksNeededRow {
                model: model.to_string(),
                iou_percent,
                most,
                n: masks.len() as u64,
                clicks_mean: describe(of_mask).mean,
                failures: (masks.len() - first.len()) as u64,
            });
        }
    }
    Ok((rows, needed))
}

/// The table of clicks as a frame.
///
/// # Errors
/// None that a caller can cause; the type is polars' own.
pub fn to_frame(rows: &[ClickRow]) -> Result<DataFrame, AnalysisError> {
    let frame = frame_of!(rows, |r| {
        "model": r.model.as_str(),
        "click": r.click,
        "n": r.n,
        "patients": r.patients,
        "dice_mean": r.dice_mean,
        "ci_low": r.dice_interval.map(|i| i.low),
        "ci_high": r.dice_interval.map(|i| i.high),
        "iou_mean": r.iou_mean,
        "reached_85": r.reached_85,
        "reached_90": r.reached_90,
    });
    frame.map_err(|source| AnalysisError::Format { what: "the table of clicks".to_string(), source })
}

/// The table of clicks needed as a frame.
///
/// # Errors
/// As [`to_frame`].
pub fn needed_to_frame(rows: &[ClicksNeededRow]) -> Result<DataFrame, AnalysisError> {
    let frame = frame_of!(rows, |r| {
        "model": r.model.as_str(),
        "iou_percent": r.iou_percent,
        "most": r.most,
        "n": r.n,
        "clicks_mean": r.clicks_mean,
        "failures": r.failures,
    });
    frame.map_err(|source| AnalysisError::Format { what: "the table of clicks needed".to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_are_told_from_other_variants() {
        assert_eq!((click_of("click03"), click_of("click12")), (Some(3), Some(12)));
        assert_eq!((click_of(""), click_of("jitter0-10/seed1"), click_of("click")), (None, None, None));
    }
}
