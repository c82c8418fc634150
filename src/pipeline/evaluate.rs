//! The stage `evaluate`: metrics of predictions against their masks, and factors of every mask.

use std::collections::{BTreeSet, HashMap};

use rayon::prelude::*;
use serde::Serialize;

use super::change::{admit, finish};
use super::slices_of::{DecodedSlice, build_shards, slices_of, table_file};
use super::{Error, Existing, Outdated, Progress, Result, chunks, side_by_side};
use crate::choice::Choices;
use crate::factors::{Factors, FourierOptions, Picture, Subject};
use crate::mask::Mask;
use crate::measure::MeasureTable;
use crate::metrics::{Comparison, MetricOptions, Metrics, Spacing};
use crate::spec::taxonomy;
use crate::store::{
    CaseRow, CaseStatus, Choice, Dataset, FactorRow, MaskIdentity, MaskRow, MetricRow, Partition, PredictionRow,
    Receipt, Rows, Shard, ShardKey, ShardState, SliceInfo, Stage, Table, Verify, noted,
};

/// Slices in memory at a time, for their factors.
const SLICES: usize = 32;
/// Predictions in memory at a time, with the masks they are compared with.
const PAIRS: usize = 256;

/// Options of the evaluation.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EvaluateOptions {
    /// Metrics.
    pub metrics: MetricOptions,
    /// Fourier order.
    pub fourier: FourierOptions,
}

/// What an evaluation did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EvaluateReport {
    /// Masks whose factors were computed now.
    pub factors: u64,
    /// Predictions compared now.
    pub comparisons: u64,
    /// Of these, predictions without a pixel.
    pub empty_predictions: u64,
    /// Shards that were done before.
    pub shards_reused: usize,
    /// Shards that were done now.
    pub shards_done: usize,
    /// Results of other options that were replaced.
    pub outdated: Outdated,
}

/// Computes the factors of all masks, and the metrics of all predictions.
///
/// # Errors
/// A dataset without masks, or with rows that cannot be decoded; [`Error::Replaces`] where the dataset has results of
/// other options, unless they are to be replaced.
pub fn evaluate(
    dataset: &Dataset,
    options: &EvaluateOptions,
    existing: Existing,
    progress: &Progress,
) -> Result<EvaluateReport> {
    let _lock = dataset.lock()?;
    let builds = build_shards(dataset)?;
    if builds.is_empty() {
        let reason = "the dataset has no masks; run `medcosmos build` first".to_string();
        return Err(Error::Nothing { path: dataset.path().to_path_buf(), reason });
    }
    let own = own_modalities(dataset)?;
    let factors = factor_shards(&builds, &own, options)?;
    let predictions = predictions(dataset)?;
    let metrics = metric_shards(&builds, &predictions, options)?;
    let of_factors = factors.iter().map(|(shard, _)| shard);
    let expected: Vec<Shard> = of_factors.chain(metrics.iter().map(|(shard, _)| shard)).cloned().collect();
    let replaced = admit(dataset, &expected, &["metrics", "fourier"], &[], existing)?;
    let mut report = EvaluateReport::default();
    write_factors(dataset, &factors, &own, options, progress, &mut report)?;
    write_metrics(dataset, &metrics, options, progress, &mut report)?;
    let outdated = finish(dataset, &expected, noted(dataset, Stage::Evaluate.name(), options)?)?;
    report.outdated = Outdated { replaced, ..outdated };
    Ok(report)
}

/// What one shard added to a report.
#[derive(Default)]
struct Done {
    rows: u64,
    empty: u64,
    reused: bool,
}

/// Does those of the shards that are not done, several at a time. Shards are of some thousand rows each, so that there
/// are enough for all threads in a large dataset; in a small one the threads share the rows of one.
fn do_shards<T: Sync>(
    dataset: &Dataset,
    work: &[(Shard, T)],
    write: impl Fn(&Shard, &T) -> Result<Done> + Sync,
    report: &mut EvaluateReport,
) -> Result<Vec<Done>> {
    let done = side_by_side(work, |_: &mut (), (shard, of)| match dataset.state(shard, Verify::Quick)? {
        ShardState::Done(_) => Ok(Done { reused: true, ..Done::default() }),
        _ => write(shard, of),
    })?;
    report.shards_reused += done.iter().filter(|d| d.reused).count();
    report.shards_done += done.iter().filter(|d| !d.reused).count();
    Ok(done)
}

/// The shards of factors, each with the shard of the build whose masks they describe.
fn factor_shards<'a>(
    builds: &'a [Receipt],
    own: &[String],
    options: &EvaluateOptions,
) -> Result<Vec<(Shard, &'a Receipt)>> {
    let shard = |build: &'a Receipt| {
        let mut key = ShardKey::new().with("build", build.id.to_string()).with_json("fourier", &options.fourier);
        key = key.with_digest_of("columns", names_of::<Factors>());
        if !own.is_empty() {
            key = key.with_json("modalities of specs", &own);
        }
        Ok((Shard::new(Stage::Factors, Partition::source(&build.source)?, key), build))
    };
    builds.iter().map(shard).collect()
}

fn write_factors(
    dataset: &Dataset,
    work: &[(Shard, &Receipt)],
    own: &[String],
    options: &EvaluateOptions,
    progress: &Progress,
    report: &mut EvaluateReport,
) -> Result<()> {
    progress.begin("factors", "masks", work.iter().map(|(_, build)| build.rows(Table::Masks)).sum());
    let write = |shard: &Shard, build: &&Receipt| {
        let mut done = Done::default();
        let mut writer = dataset.begin(shard);
        for chunk in chunks(slices_of(dataset, build, |_| true), SLICES) {
            let chunk = chunk?;
            let rows: Vec<Vec<FactorRow>> =
                chunk.par_iter().map(|slice| factor_rows(slice, own, &options.fourier)).collect::<Result<_>>()?;
            for row in rows.into_iter().flatten() {
                done.rows += 1;
                writer.push(row)?;
            }
            progress.advance(chunk.iter().map(|slice| slice.masks.len() as u64).sum());
        }
        writer.finish()?;
        Ok(done)
    };
    let done = do_shards(dataset, work, write, report)?;
    progress.end();
    report.factors += done.iter().map(|d| d.rows).sum::<u64>();
    Ok(())
}

/// The names of a table's measures: a new one is computed for shards that were done without it.
fn names_of<T: MeasureTable>() -> impl Iterator<Item = &'static str> {
    T::measures().map(|measure| measure.name)
}

/// Modalities that specs of users define, in alphabetical order: their codes follow those of the protocol.
fn own_modalities(dataset: &Dataset) -> Result<Vec<String>> {
    let mut own = BTreeSet::new();
    for case in dataset.rows::<CaseRow>()? {
        let case = case?;
        if case.status == CaseStatus::Ok && taxonomy().modality_index(&case.modality).is_none() {
            own.insert(case.modality);
        }
    }
    Ok(own.into_iter().collect())
}

fn factor_rows(slice: &DecodedSlice, own: &[String], options: &FourierOptions) -> Result<Vec<FactorRow>> {
    let row = &slice.row;
    let damaged = |id: &str, reason: String| Error::Damaged { id: id.to_string(), reason };
    let picture = Picture::new(row.height, row.width, row.channels, &slice.pixels)
        .map_err(|e| damaged(&row.slice_id, e.to_string()))?;
    let one = |(row, mask): &(MaskRow, Mask)| {
        let of_own = || Some(taxonomy().modalities.len() + own.iter().position(|own| *own == row.modality)?);
        let modality = taxonomy().modality_index(&row.modality).or_else(of_own);
        let modality = modality.and_then(|modality| u8::try_from(modality).ok()).ok_or_else(|| {
            damaged(&row.mask_id, format!("the modality {:?} does not occur in the dataset", row.modality))
        })?;
        let subject =
            Subject::of(mask, &picture, modality, options).map_err(|e| damaged(&row.mask_id, e.to_string()))?;
        let subject = subject.ok_or_else(|| damaged(&row.mask_id, "the mask is empty".into()))?;
        Ok(FactorRow { mask: MaskIdentity::from(row), values: subject.values() })
    };
    slice.masks.iter().map(one).collect()
}

/// Predictions of one mask, one strategy and one variant, with the mask.
struct Pair {
    truth: MaskRow,
    spacing: Option<Spacing>,
    candidates: Vec<PredictionRow>,
}

/// Shards of predictions that are committed. A warning names those that were interrupted.
fn predictions(dataset: &Dataset) -> Result<Vec<Receipt>> {
    for partition in dataset.unfinished(Stage::Predict)? {
        let (model, source) = (partition.model_name().unwrap_or_default(), partition.source_name());
        tracing::warn!(
            "{model} on {source}: `medcosmos predict` has not finished; its last predictions are not evaluated"
        );
    }
    Ok(dataset.receipts_of(Stage::Predict)?)
}

/// The shards of metrics, each with the shards of masks and predictions that they compare.
fn metric_shards<'a>(
    builds: &'a [Receipt],
    predictions: &'a [Receipt],
    options: &EvaluateOptions,
) -> Result<Vec<(Shard, (&'a Receipt, &'a Receipt))>> {
    let by_id: HashMap<String, &Receipt> = builds.iter().map(|b| (b.id.to_string(), b)).collect();
    let mut work = Vec::new();
    for prediction in predictions {
        let Some(build) = prediction.key.get("build").and_then(|id| by_id.get(id)) else { continue };
        let key = ShardKey::new()
            .with("predictions", prediction.id.to_string())
            .with_json("metrics", &options.metrics)
            .with_digest_of("columns", names_of::<Metrics>());
        let model = prediction.model.as_deref().unwrap_or_default();
        let shard = Shard::new(Stage::Evaluate, Partition::model(model, &prediction.source)?, key);
        work.push((shard, (*build, prediction)));
    }
    Ok(work)
}

fn write_metrics(
    dataset: &Dataset,
    work: &[(Shard, (&Receipt, &Receipt))],
    options: &EvaluateOptions,
    progress: &Progress,
    report: &mut EvaluateReport,
) -> Result<()> {
    let rows = |prediction: &Receipt| prediction.rows(Table::Predictions);
    progress.begin("metrics", "masks", work.iter().map(|(_, (_, prediction))| rows(prediction)).sum());
    let write = |shard: &Shard, (build, prediction): &(&Receipt, &Receipt)| {
        let mut done = Done::default();
        let mut writer = dataset.begin(shard);
        for chunk in chunks(Pairs::new(dataset, build, prediction)?, PAIRS) {
            let chunk = chunk?;
            let rows: Vec<Vec<MetricRow>> =
                chunk.par_iter().map(|pair| metric_rows(pair, options.metrics)).collect::<Result<_>>()?;
            progress.advance(chunk.iter().map(|p| p.candidates.len() as u64).sum());
            done.rows += chunk.len() as u64;
            for row in rows.into_iter().flatten() {
                done.empty += u64::from(row.empty_prediction && row.choice == Choice::Oracle);
                writer.push(row)?;
            }
        }
        writer.finish()?;
        Ok(done)
    };
    let done = do_shards(dataset, work, write, report)?;
    progress.end();
    report.comparisons += done.iter().map(|d| d.rows).sum::<u64>();
    report.empty_predictions += done.iter().map(|d| d.empty).sum::<u64>();
    Ok(())
}

/// Joins the predictions of a shard with the masks of the build: both are sorted by mask.
struct Pairs {
    masks: Rows<MaskRow>,
    predictions: std::iter::Peekable<Rows<PredictionRow>>,
    spacing: HashMap<String, Option<Spacing>>,
    current: Option<MaskRow>,
}

impl Pairs {
    fn new(dataset: &Dataset, build: &Receipt, prediction: &Receipt) -> Result<Self> {
        let mut spacing = HashMap::new();
        for slice in Rows::<SliceInfo>::of(table_file(dataset, build, Table::Slices)) {
            let slice = slice?;
            let known = slice.spacing_row_mm.zip(slice.spacing_col_mm);
            spacing.insert(slice.slice_id, known.and_then(|(row, column)| Spacing::new(row, column)));
        }
        Ok(Pairs {
            masks: Rows::of(table_file(dataset, build, Table::Masks)),
            predictions: Rows::of(table_file(dataset, prediction, Table::Predictions)).peekable(),
            spacing,
            current: None,
        })
    }
}

impl Iterator for Pairs {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Result<Pair>> {
        let first = match self.predictions.next()? {
            Ok(row) => row,
            Err(error) => return Some(Err(error.into())),
        };
        while self.current.as_ref().is_none_or(|m| m.mask_id != first.mask_id) {
            match self.masks.next() {
                Some(Ok(mask)) => self.current = Some(mask),
                Some(Err(error)) => return Some(Err(error.into())),
                None => {
                    let reason = "a prediction of a mask that is not in the dataset".to_string();
                    return Some(Err(Error::Damaged { id: first.mask_id, reason }));
                }
            }
        }
        let truth = self.current.clone()?;
        let spacing = self.spacing.get(&truth.slice_id).copied().flatten();
        let mut candidates = vec![first];
        let same = |row: &PredictionRow, of: &PredictionRow| {
            row.mask_id == of.mask_id && row.strategy == of.strategy && row.variant == of.variant
        };
        while let Some(next) =
            self.predictions.next_if(|row| row.as_ref().map_or(true, |row| same(row, &candidates[0])))
        {
            match next {
                Ok(row) => candidates.push(row),
                Err(error) => return Some(Err(error.into())),
            }
        }
        Some(Ok(Pair { truth, spacing, candidates }))
    }
}

/// Two rows: the candidate closest to the ground truth (the paper's oracle), and the one that the model rates best.
fn metric_rows(pair: &Pair, options: MetricOptions) -> Result<Vec<MetricRow>> {
    let truth = pair.truth.mask.decode(&pair.truth.mask_id)?;
    let masks: Vec<Mask> = pair.candidates.iter().map(|c| Ok(c.mask.decode(&c.mask_id)?)).collect::<Result<_>>()?;
    let candidates = masks.iter().zip(&pair.candidates).map(|(mask, candidate)| (mask, candidate.predicted_iou));
    let Some(Choices { oracle, score }) = Choices::of(candidates, &truth) else { return Ok(Vec::new()) };
    let row = |choice, at: usize| metric_row(pair, choice, at, &masks[at], &truth, options);
    let best = row(Choice::Oracle, oracle)?;
    // Mostly both take the same candidate.
    let rated =
        if score == oracle { MetricRow { choice: Choice::Score, ..best.clone() } } else { row(Choice::Score, score)? };
    Ok(vec![best, rated])
}

/// The row of a candidate that was chosen.
fn metric_row(
    pair: &Pair,
    choice: Choice,
    at: usize,
    mask: &Mask,
    truth: &Mask,
    options: MetricOptions,
) -> Result<MetricRow> {
    let (row, candidate) = (&pair.truth, &pair.candidates[at]);
    let comparison = Comparison::new(mask, truth, pair.spacing, options)
        .map_err(|e| Error::Damaged { id: row.mask_id.clone(), reason: e.to_string() })?;
    Ok(MetricRow {
        mask: MaskIdentity::from(row),
        model: candidate.model.clone(),
        strategy: candidate.strategy.clone(),
        variant: candidate.variant.clone(),
        choice,
        candidate: candidate.candidate,
        predicted_iou: candidate.predicted_iou,
        empty_prediction: mask.is_empty(),
        values: comparison.values(),
    })
}
