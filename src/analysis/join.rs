//! Metrics joined with factors: the rows that all statistics are made of, one condition at a time.
//!
//! A condition is a model, a strategy, a variant of its prompts and a choice among its candidates. Each mask stands at
//! most once under a condition, so that a statistic of a condition counts every mask once, and memory is bounded by
//! the largest condition and not by the table.

use super::AnalysisError;
use super::tables::{self, Table};
use crate::store::Choice;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// Under what masks were predicted: what a row of every result table is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Condition {
    /// Name of the model.
    pub model: String,
    /// `S1` to `S6`, or a baseline's own.
    pub strategy: String,
    /// Empty for undisturbed prompts, else such as `jitter10-20/seed0`.
    pub variant: String,
    /// How the candidate was chosen.
    pub choice: Choice,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [self.model.as_str(), &self.strategy, &self.variant, self.choice.name()];
        let words: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
        f.write_str(&words.join(" "))
    }
}

/// A column of words, as numbers into the sorted list of those that occur. A null is a word of its own, the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The words that occur, sorted.
    pub levels: Vec<Option<String>>,
    /// For each row, which one.
    pub codes: Vec<u32>,
}

/// The rows of one condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// For each row the number of its patient, in the order of source and patient id.
    pub patient: Vec<u32>,
    /// Number of patients.
    pub patients: usize,
    /// For each row, whether the prediction is empty: a failure.
    pub failed: Vec<bool>,
    /// Rows left out because their mask is of an excluded category.
    pub excluded: usize,
    /// The columns asked for as numbers, NaN for null.
    pub numbers: BTreeMap<String, Vec<f64>>,
    /// The columns asked for as words.
    pub labels: BTreeMap<String, Labels>,
}

/// The same masks under two conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// The metric under the first condition.
    pub first: Vec<f64>,
    /// The metric under the second.
    pub second: Vec<f64>,
    /// The variant of the first condition.
    pub variant: Labels,
    /// For each pair the number of its patient, in the order of source and patient id.
    pub patient: Vec<u32>,
    /// Number of patients.
    pub patients: usize,
}

/// The evaluated predictions of a dataset: its `metrics`, to which other tables are joined as columns are asked for.
pub struct Evaluation {
    dataset: PathBuf,
    metrics: LazyFrame,
    columns: SchemaRef,
    include_excluded: bool,
}

impl Evaluation {
    /// Opens the metrics of a dataset, with or without the masks of excluded categories.
    ///
    /// # Errors
    /// [`AnalysisError::MissingTable`] before `evaluate` was run, and what [`tables::scan`] returns.
    pub fn open(dataset: &Path, include_excluded: bool) -> Result<Self, AnalysisError> {
        let metrics = tables::scan(dataset, Table::Metrics)?;
        let columns = tables::schema(&metrics, Table::Metrics)?;
        Ok(Evaluation { dataset: dataset.into(), metrics, columns, include_excluded })
    }

    /// The conditions that have rows, sorted.
    ///
    /// # Errors
    /// [`AnalysisError::Read`].
    pub fn conditions(&self) -> Result<Vec<Condition>, AnalysisError> {
        let names = ["model", "strategy", "variant", "choice"];
        let distinct = self.metrics.clone().select(names.map(col)).unique(None, UniqueKeepStrategy::Any);
        let frame = collect(distinct, "table `metrics`")?;
        let words = names.map(|name| labels_of(&frame, name));
        let [model, strategy, variant, choice] = words;
        let (model, strategy, variant, choice) = (model?, strategy?, variant?, choice?);
        let word = |labels: &Labels, row: usize| labels.levels[labels.codes[row] as usize].clone().unwrap_or_default();
        let condition = |row| -> Result<Condition, AnalysisError> {
            let choice = word(&choice, row);
            let unknown = |_| AnalysisError::ColumnType {
                column: "choice".into(),
                found: choice.clone(),
                expected: "oracle or score",
            };
            Ok(Condition {
                model: word(&model, row),
                strategy: word(&strategy, row),
                variant: word(&variant, row),
                choice: choice.parse().map_err(unknown)?,
            })
        };
        Ok((0..frame.height()).map(condition).collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect())
    }

    /// The rows of one condition, with the columns asked for, each taken from the first of `metrics`, `factors`,
    /// `masks`, `slices` and `cases` that has it. A mask without a row in such a table has nulls there.
    ///
    /// # Errors
    /// [`AnalysisError::MissingColumn`], [`AnalysisError::ColumnType`] where a number is asked of words,
    /// [`AnalysisError::RepeatedMask`], and what [`tables::scan`] returns.
    pub fn rows(
        &self,
        condition: &Condition,
        numbers: &BTreeSet<String>,
        labels: &BTreeSet<String>,
    ) -> Result<Rows, AnalysisError> {
        let what = format!("the metrics of {condition}");
        let mut frame = self.metrics.clone().filter(is_condition(condition));
        let mut wanted: BTreeSet<&str> =
            ["mask_id", "source", "patient_id", "excluded", "variant", "empty_prediction"].into_iter().collect();
        wanted.extend(numbers.iter().chain(labels).map(String::as_str));
        for (table, names) in self.tables_of(&wanted)? {
            frame = match table {
                Table::Metrics => {
                    let keys = ["slice_id", "case_id"].into_iter().filter(|key| !names.contains(key));
                    frame.select(names.iter().copied().chain(keys).map(col).collect::<Vec<_>>())
                }
                _ => {
                    let key = key_of(table);
                    let columns: Vec<Expr> = [key].iter().chain(&names).map(|name| col(*name)).collect();
                    let other = tables::scan(&self.dataset, table)?.select(columns);
                    frame.join(other, [col(key)], [col(key)], JoinArgs::new(JoinType::Left))
                }
            };
        }
        let frame = frame.select(wanted.iter().map(|name| col(*name)).collect::<Vec<_>>());
        let frame = collect(frame, &what)?;
        refuse_repeats(&frame, condition)?;
        let (frame, excluded) = self.leave_out_excluded(frame, &what)?;
        let (patient, patients) = number_patients(&frame)?;
        let failed = numbers_of(&frame, "empty_prediction")?.into_iter().map(|v| v == 1.0).collect();
        let numbers = numbers.iter().map(|name| Ok((name.clone(), numbers_of(&frame, name)?)));
        let labels = labels.iter().map(|name| Ok((name.clone(), labels_of(&frame, name)?)));
        Ok(Rows {
            patient,
            patients,
            failed,
            excluded,
            numbers: numbers.collect::<Result<_, AnalysisError>>()?,
            labels: labels.collect::<Result<_, AnalysisError>>()?,
        })
    }

    /// The masks that have a value of `metric` both under one of the `first` conditions and under `second`. A mask
    /// stands once for each of the first conditions, which differ in variant only.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn pairs(&self, first: &[&Condition], second: &Condition, metric: &str) -> Result<Pairs, AnalysisError> {
        if !self.columns.contains(metric) {
            return Err(missing_column(metric, "`metrics`", self.columns.iter_names()));
        }
        let what = format!("the metrics of {second}");
        let Some(any_first) = first.iter().map(|c| is_condition(c)).reduce(Expr::or) else {
            return Ok(Pairs::default());
        };
        let names = ["mask_id", "source", "patient_id", "excluded", "variant"];
        let columns: Vec<Expr> = names.map(col).into_iter().chain([col(metric).alias("first")]).collect();
        let left = self.metrics.clone().filter(any_first).select(columns);
        let columns = [col("mask_id"), col(metric).alias("second")];
        let right = self.metrics.clone().filter(is_condition(second)).select(columns);
        let both = left.join(right, [col("mask_id")], [col("mask_id")], JoinArgs::new(JoinType::Inner));
        let frame = collect(both, &what)?;
        refuse_repeats(&frame, second)?;
        let (frame, _) = self.leave_out_excluded(frame, &what)?;
        let finite = |name: &str| Ok::<_, AnalysisError>(numbers_of(&frame, name)?.into_iter().map(f64::is_finite));
        let both: BooleanChunked = finite("first")?.zip(finite("second")?).map(|(a, b)| Some(a && b)).collect();
        let frame = frame.filter(&both).map_err(|source| AnalysisError::Read { what, source })?;
        let (patient, patients) = number_patients(&frame)?;
        Ok(Pairs {
            first: numbers_of(&frame, "first")?,
            second: numbers_of(&frame, "second")?,
            variant: labels_of(&frame, "variant")?,
            patient,
            patients,
        })
    }

    /// A column of `factors` over all its masks, NaN for null, excluded masks left out as in the rows.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn factor(&self, name: &str) -> Result<Vec<f64>, AnalysisError> {
        let frame = tables::scan(&self.dataset, Table::Factors)?;
        let columns = tables::schema(&frame, Table::Factors)?;
        if !columns.contains(name) {
            return Err(missing_column(name, "`factors`", columns.iter_names()));
        }
        let frame = collect(frame.select([col("excluded"), col(name)]), "table `factors`")?;
        let (frame, _) = self.leave_out_excluded(frame, "table `factors`")?;
        numbers_of(&frame, name)
    }

    /// Number of masks of the dataset, excluded ones left out as in the rows.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn masks(&self) -> Result<usize, AnalysisError> {
        let what = "table `factors`";
        let frame = collect(tables::scan(&self.dataset, Table::Factors)?.select([col("excluded")]), what)?;
        Ok(self.leave_out_excluded(frame, what)?.0.height())
    }

    /// Which table to take each column from. Tables that are not there are passed over, but where a column is found
    /// nowhere, missing factors are the likelier reason.
    fn tables_of<'a>(&self, wanted: &BTreeSet<&'a str>) -> Result<Vec<(Table, Vec<&'a str>)>, AnalysisError> {
        let (here, mut missing) = wanted.iter().copied().partition::<Vec<_>, _>(|name| self.columns.contains(name));
        let mut found = vec![(Table::Metrics, here)];
        let mut available: BTreeSet<String> = self.columns.iter_names().map(|name| name.to_string()).collect();
        let mut without_factors = None;
        for table in [Table::Factors, Table::Masks, Table::Slices, Table::Cases] {
            if missing.is_empty() {
                break;
            }
            let columns = match tables::scan(&self.dataset, table).and_then(|frame| tables::schema(&frame, table)) {
                Ok(columns) => columns,
                Err(error @ AnalysisError::MissingTable { .. }) => {
                    if table == Table::Factors {
                        without_factors = Some(error);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            available.extend(columns.iter_names().map(|name| name.to_string()));
            let (here, elsewhere) = missing.into_iter().partition::<Vec<_>, _>(|name| columns.contains(name));
            if !here.is_empty() {
                found.push((table, here));
            }
            missing = elsewhere;
        }
        match missing.first() {
            None => Ok(found),
            Some(name) => Err(without_factors.unwrap_or_else(|| AnalysisError::MissingColumn {
                column: name.to_string(),
                tables: "`metrics` or a table joined to it".to_string(),
                available: available.into_iter().collect::<Vec<_>>().join(", "),
            })),
        }
    }

    /// The frame without excluded masks, where these do not count, and how many rows that took away.
    fn leave_out_excluded(&self, frame: DataFrame, what: &str) -> Result<(DataFrame, usize), AnalysisError> {
        if self.include_excluded {
            return Ok((frame, 0));
        }
        let kept: BooleanChunked = numbers_of(&frame, "excluded")?.into_iter().map(|v| Some(v != 1.0)).collect();
        let rows = frame.height();
        let read_error = |source| AnalysisError::Read { what: what.to_string(), source };
        let frame = frame.filter(&kept).map_err(read_error)?;
        let excluded = rows - frame.height();
        Ok((frame, excluded))
    }
}

fn collect(frame: LazyFrame, what: &str) -> Result<DataFrame, AnalysisError> {
    tables::guarded(|| frame.collect()).map_err(|source| AnalysisError::Read { what: what.to_string(), source })
}

fn is_condition(condition: &Condition) -> Expr {
    col("model")
        .eq(lit(condition.model.as_str()))
        .and(col("strategy").eq(lit(condition.strategy.as_str())))
        .and(col("variant").eq(lit(condition.variant.as_str())))
        .and(col("choice").eq(lit(condition.choice.name())))
}

/// The column by which a table is joined to `metrics`.
fn key_of(table: Table) -> &'static str {
    match table {
        Table::Slices => "slice_id",
        Table::Cases => "case_id",
        _ => "mask_id",
    }
}

fn missing_column<'a>(name: &str, tables: &str, available: impl Iterator<Item = &'a PlSmallStr>) -> AnalysisError {
    let available: Vec<&str> = available.map(PlSmallStr::as_str).collect();
    AnalysisError::MissingColumn {
        column: name.to_string(),
        tables: tables.to_string(),
        available: available.join(", "),
    }
}

/// A mask that stands twice under a condition would count twice, be it that `metrics` repeats it or that a table
/// joined to it does.
fn refuse_repeats(frame: &DataFrame, condition: &Condition) -> Result<(), AnalysisError> {
    let read_error = |source| AnalysisError::Read { what: "column `mask_id`".to_string(), source };
    let masks = frame.column("mask_id").and_then(|column| column.str()).map_err(read_error)?;
    let variant = labels_of(frame, "variant")?;
    let mut seen = HashSet::with_capacity(frame.height());
    match masks.iter().zip(&variant.codes).find(|&key| !seen.insert(key)) {
        None => Ok(()),
        Some((mask, _)) => Err(AnalysisError::RepeatedMask {
            table: Table::Metrics.name(),
            mask_id: mask.unwrap_or_default().to_string(),
            condition: condition.to_string(),
        }),
    }
}

/// Numbers patients in the order of source and patient id, which say together who it is.
fn number_patients(frame: &DataFrame) -> Result<(Vec<u32>, usize), AnalysisError> {
    let source = labels_of(frame, "source")?;
    let patient = labels_of(frame, "patient_id")?;
    let (codes, keys) = number(source.codes.into_iter().zip(patient.codes));
    Ok((codes, keys.len()))
}

/// Numbers keys in their order: for each key its number, and the sorted keys.
pub(super) fn number<K: Ord + std::hash::Hash + Copy>(keys: impl Iterator<Item = K>) -> (Vec<u32>, Vec<K>) {
    let mut first_seen: HashMap<K, u32> = HashMap::new();
    let mut codes = Vec::new();
    for key in keys {
        let next = first_seen.len() as u32;
        codes.push(*first_seen.entry(key).or_insert(next));
    }
    let mut sorted: Vec<(K, u32)> = first_seen.into_iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    let mut place = vec![0; sorted.len()];
    sorted.iter().enumerate().for_each(|(number, (_, seen))| place[*seen as usize] = number as u32);
    codes.iter_mut().for_each(|code| *code = place[*code as usize]);
    (codes, sorted.into_iter().map(|(key, _)| key).collect())
}

/// A column as numbers, NaN for null; a truth value is 0 or 1.
fn numbers_of(frame: &DataFrame, name: &str) -> Result<Vec<f64>, AnalysisError> {
    let read_error = |source| AnalysisError::Read { what: format!("column `{name}`"), source };
    let column = frame.column(name).map_err(read_error)?;
    if !(column.dtype().is_primitive_numeric() || column.dtype().is_bool()) {
        return Err(AnalysisError::ColumnType {
            column: name.to_string(),
            found: column.dtype().to_string(),
            expected: "a number",
        });
    }
    let numbers = column.cast(&DataType::Float64).map_err(read_error)?;
    Ok(numbers.f64().map_err(read_error)?.iter().map(|v| v.unwrap_or(f64::NAN)).collect())
}

/// A column as words.
fn labels_of(frame: &DataFrame, name: &str) -> Result<Labels, AnalysisError> {
    let read_error = |source| AnalysisError::Read { what: format!("column `{name}`"), source };
    let column = frame.column(name).map_err(read_error)?;
    if column.dtype().is_nested() || column.dtype().is_binary() {
        return Err(AnalysisError::ColumnType {
            column: name.to_string(),
            found: column.dtype().to_string(),
            expected: "a word or a number",
        });
    }
    let column = column.cast(&DataType::String).map_err(read_error)?;
    let (codes, levels) = number(column.str().map_err(read_error)?.iter());
    Ok(Labels { levels: levels.into_iter().map(|level| level.map(str::to_string)).collect(), codes })
}
