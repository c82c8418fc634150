//! Example masks of each condition: the best, the median and the worst, and points for the scatter plots.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::{Column, DataFrame};

use super::{CHOICE, ReportError};
use crate::analysis::join::{Condition, Evaluation, Rows};
use crate::analysis::{AnalysisError, AnalysisOptions};
use crate::store::Dataset;

/// Points that a scatter plot has at most: more make the page heavy, and hide each other.
const MOST_POINTS: usize = 1500;
/// The strategy whose masks are points, where a model was run with it.
const DRAWN_STRATEGY: &str = "S5";

/// A mask chosen to be shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pick {
    /// Best, median or worst.
    pub rank: &'static str,
    /// The mask.
    pub mask_id: String,
    /// Its metric.
    pub value: f64,
    /// The candidate that was chosen.
    pub candidate: u32,
}

/// A mask as a point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    mask_id: String,
    value: f64,
    factors: Vec<f64>,
}

/// What is shown of the masks of one condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ExampleCase {
    /// Model, strategy and choice; prompts are not moved.
    pub condition: Condition,
    /// Masks with a value of the metric.
    pub masks: usize,
    /// The best, the median and the worst; fewer where there are fewer masks.
    pub picks: Vec<Pick>,
    /// Masks at equal steps of the order of their ids; of one strategy of each model, none of the others.
    pub points: Vec<Point>,
    factors: Vec<String>,
}

impl ExampleCase {
    /// The points of a factor: factor and metric.
    pub(super) fn points_of(&self, factor: &str) -> Vec<(f64, f64)> {
        let Some(place) = self.factors.iter().position(|name| name == factor) else { return Vec::new() };
        self.points.iter().map(|point| (point.factors[place], point.value)).collect()
    }

    /// The points of a factor as a table.
    pub(super) fn frame(&self, factor: &str, metric: &str) -> Result<DataFrame, ReportError> {
        let (x, y): (Vec<f64>, Vec<f64>) = self.points_of(factor).into_iter().unzip();
        let ids: Vec<&str> = self.points.iter().map(|point| point.mask_id.as_str()).collect();
        let columns =
            vec![Column::new("mask_id".into(), ids), Column::new(factor.into(), x), Column::new(metric.into(), y)];
        let format_error = |source| AnalysisError::Format { what: "the points of a plot".to_string(), source };
        Ok(DataFrame::new_infer_height(columns).map_err(format_error)?)
    }
}

/// Examples of every condition on the page.
pub(super) fn examples(dataset: &Dataset, options: &AnalysisOptions) -> Result<Vec<ExampleCase>, ReportError> {
    let evaluation = Evaluation::open(dataset.path(), options.include_excluded)?;
    let conditions: Vec<Condition> =
        evaluation.conditions()?.into_iter().filter(|c| c.variant.is_empty() && c.choice == CHOICE).collect();
    let mut pointed: BTreeMap<String, String> = BTreeMap::new();
    for condition in &conditions {
        let strategy = pointed.entry(condition.model.clone()).or_insert(condition.strategy.clone());
        if condition.strategy == DRAWN_STRATEGY {
            strategy.clone_from(&condition.strategy);
        }
    }
    let factors: Vec<String> = options.curves.iter().map(|curve| curve.factor.clone()).collect();
    let mut numbers: BTreeSet<String> = factors.iter().cloned().collect();
    numbers.extend([options.metric.clone(), "candidate".to_string()]);
    let labels = BTreeSet::from(["mask_id".to_string()]);
    let example = |condition: Condition| {
        let rows = evaluation.rows(&condition, &numbers, &labels)?;
        let with_points = pointed.get(&condition.model) == Some(&condition.strategy);
        Ok(examples_of(condition, &rows, &options.metric, &factors, with_points))
    };
    conditions.into_iter().map(example).collect()
}

fn examples_of(condition: Condition, rows: &Rows, metric: &str, factors: &[String], with_points: bool) -> ExampleCase {
    let (values, ids) = (&rows.numbers[metric], &rows.labels["mask_id"]);
    let id = |row: usize| ids.levels[ids.codes[row] as usize].clone().unwrap_or_default();
    // Codes are in the order of the ids, in whatever order the rows come.
    let mut order: Vec<usize> = (0..values.len()).filter(|&row| values[row].is_finite()).collect();
    order.sort_unstable_by_key(|&row| ids.codes[row]);
    let point = |row: usize| Point {
        mask_id: id(row),
        value: values[row],
        factors: factors.iter().map(|factor| rows.numbers[factor][row]).collect(),
    };
    let step = order.len().div_ceil(MOST_POINTS).max(1);
    let points = match with_points {
        true => order.iter().step_by(step).map(|&row| point(row)).collect(),
        false => Vec::new(),
    };
    let masks = order.len();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let pick = |(rank, place): (&'static str, usize)| {
        let row = order[place];
        Pick { rank, mask_id: id(row), value: values[row], candidate: rows.numbers["candidate"][row] as u32 }
    };
    ExampleCase {
        condition,
        masks,
        picks: ranks(masks).into_iter().map(pick).collect(),
        points,
        factors: factors.to_vec(),
    }
}

/// The places of best, median and worst among so many, no place twice.
fn ranks(masks: usize) -> Vec<(&'static str, usize)> {
    match masks {
        0 => Vec::new(),
        1 => vec![("best", 0)],
        2 => vec![("best", 0), ("worst", 1)],
        n => vec![("best", 0), ("median", n / 2), ("worst", n - 1)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::join::Labels;

    #[test]
    fn best_median_and_worst_do_not_depend_on_the_order_of_rows() {
        let rows = |order: &[usize]| {
            let dice = [0.5, 0.9, 0.1, 0.9, 0.3];
            let take = |values: &[f64]| order.iter().map(|&i| values[i]).collect::<Vec<f64>>();
            Rows {
                numbers: BTreeMap::from([
                    ("dice".to_string(), take(&dice)),
                    ("candidate".to_string(), take(&[0., 1., 2., 0., 1.])),
                    ("size_px".to_string(), take(&[1., 2., 3., 4., 5.])),
                ]),
                labels: BTreeMap::from([(
                    "mask_id".to_string(),
                    Labels {
                        levels: ["a", "b", "c", "d", "e"].map(|id| Some(id.to_string())).to_vec(),
                        codes: order.iter().map(|&i| i as u32).collect(),
                    },
                )]),
                ..Rows::default()
            }
        };
        let of =
            |order: &[usize]| examples_of(Condition::default(), &rows(order), "dice", &["size_px".to_string()], true);
        let example = of(&[0, 1, 2, 3, 4]);
        assert_eq!(example, of(&[4, 2, 0, 3, 1]));
        let found: Vec<_> = example.picks.iter().map(|p| (p.rank, p.mask_id.as_str(), p.candidate)).collect();
        assert_eq!(found, [("best", "b", 1), ("median", "a", 0), ("worst", "c", 2)]);
        assert_eq!(example.points_of("size_px")[1], (2.0, 0.9));
        assert!(example.points_of("aspect_ratio").is_empty());
        assert_eq!(example.frame("size_px", "dice").unwrap().height(), 5);
    }
}
