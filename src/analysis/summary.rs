//! Summary tables: mean, spread and failures of each metric by condition, and by any further columns.
//!
//! A mean over masks is pooled: targets with many masks weigh more. The balanced mean is the mean of the means of
//! the targets (object–modality pairs), each with the same weight. Reports show both (docs/protocol.md, 4).

use super::AnalysisError;
use super::frame::frame_of;
use super::join::{Condition, Labels, Rows, number};
use super::statistics::describe::{Description, describe};
use polars::prelude::*;
use serde::{Deserialize, Serialize};

/// A metric of one condition and group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// Model, strategy, variant and choice.
    pub condition: Condition,
    /// The value of each column of [`Summary::by`].
    pub group: Vec<Option<String>>,
    /// Name of the metric.
    pub metric: String,
    /// Masks.
    pub masks: u64,
    /// Masks with an empty prediction, over which distances have no value.
    pub failures: u64,
    /// The metric over all masks that have it: pooled.
    pub pooled: Description,
    /// Targets that have a value.
    pub targets: u64,
    /// The means of the targets: their mean is the balanced mean, their spread is that between targets.
    pub balanced: Description,
}

/// A summary table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The columns that group, besides the condition.
    pub by: Vec<String>,
    /// Sorted by metric as asked for, condition and group.
    pub rows: Vec<SummaryRow>,
}

/// Summarises metrics of one condition. The rows must hold the metrics as numbers and `target` and the columns of
/// `by` as labels.
pub fn summarise(condition: &Condition, rows: &Rows, by: &[String], metrics: &[String]) -> Vec<SummaryRow> {
    let targets = &rows.labels["target"];
    let groups = by.iter().map(|name| &rows.labels[name]).fold(one_group(rows.patient.len()), cross);
    let group_rows = rows_of_groups(&groups);
    let mut summary = Vec::new();
    for metric in metrics {
        let values = &rows.numbers[metric];
        for (group, members) in groups.words.iter().zip(&group_rows) {
            let mut by_target: Vec<Vec<f64>> = vec![Vec::new(); targets.levels.len()];
            members.iter().for_each(|&row| by_target[targets.codes[row] as usize].push(values[row]));
            let balanced = describe(by_target.into_iter().filter_map(|values| describe(values).mean));
            summary.push(SummaryRow {
                condition: condition.clone(),
                group: group.clone(),
                metric: metric.clone(),
                masks: members.len() as u64,
                failures: members.iter().filter(|&&row| rows.failed[row]).count() as u64,
                pooled: describe(members.iter().map(|&row| values[row])),
                targets: balanced.n as u64,
                balanced,
            });
        }
    }
    summary
}

/// Groups of rows: the words that name each group, in sorted order, and the group of each row.
struct Groups {
    words: Vec<Vec<Option<String>>>,
    codes: Vec<u32>,
}

fn one_group(rows: usize) -> Groups {
    Groups { words: if rows == 0 { vec![] } else { vec![vec![]] }, codes: vec![0; rows] }
}

/// Splits groups further by one more column.
fn cross(groups: Groups, labels: &Labels) -> Groups {
    let (codes, keys) = number(groups.codes.iter().copied().zip(labels.codes.iter().copied()));
    let name = |(group, label): (u32, u32)| {
        let mut words = groups.words[group as usize].clone();
        words.push(labels.levels[label as usize].clone());
        words
    };
    Groups { words: keys.into_iter().map(name).collect(), codes }
}

fn rows_of_groups(groups: &Groups) -> Vec<Vec<usize>> {
    let mut rows = vec![Vec::new(); groups.words.len()];
    groups.codes.iter().enumerate().for_each(|(row, &group)| rows[group as usize].push(row));
    rows
}

impl Summary {
    /// The table as a frame: condition, the columns of `by`, metric, counts and statistics.
    ///
    /// # Errors
    /// [`AnalysisError::Format`] where a column of `by` has the name of another column.
    pub fn to_frame(&self) -> Result<DataFrame, AnalysisError> {
        let format_error = |source| AnalysisError::Format { what: "a summary table".to_string(), source };
        let rows = &self.rows;
        let condition = frame_of!(rows, |r| {
            "metric": r.metric.as_str(),
            "model": r.condition.model.as_str(),
            "strategy": r.condition.strategy.as_str(),
            "variant": r.condition.variant.as_str(),
            "choice": r.condition.choice.name(),
        });
        let statistics = frame_of!(rows, |r| {
            "masks": r.masks,
            "failures": r.failures,
            "n": r.pooled.n as u64,
            "mean": r.pooled.mean,
            "std": r.pooled.std,
            "min": r.pooled.min,
            "q1": r.pooled.q1,
            "median": r.pooled.median,
            "q3": r.pooled.q3,
            "max": r.pooled.max,
            "targets": r.targets,
            "balanced_mean": r.balanced.mean,
            "balanced_std": r.balanced.std,
        });
        let mut columns = condition.map_err(format_error)?.into_columns();
        for (place, name) in self.by.iter().enumerate() {
            let words: Vec<Option<&str>> = rows.iter().map(|r| r.group[place].as_deref()).collect();
            columns.push(Column::new(name.as_str().into(), words));
        }
        columns.extend(statistics.map_err(format_error)?.into_columns());
        DataFrame::new_infer_height(columns).map_err(format_error)
    }
}
