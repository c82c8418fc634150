//! Rows of factors and metrics, and the predictions and masks that they are computed from.

use std::collections::HashMap;
use std::ops::Range;

use super::super::slices_of::{DecodedSlice, table_file};
use super::super::{Error, Result};
use crate::choice::Choices;
use crate::factors::{FourierOptions, Picture, Subject};
use crate::mask::Mask;
use crate::metrics::{Comparison, MetricOptions, Spacing};
use crate::spec::taxonomy;
use crate::store::{
    Choice, Dataset, FactorRow, MaskIdentity, MaskRow, MetricRow, PredictionRow, Receipt, Rows, SliceInfo, Table,
};

/// The factors of the masks of a slice.
pub(super) fn factor_rows(slice: &DecodedSlice, own: &[String], options: &FourierOptions) -> Result<Vec<FactorRow>> {
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
pub(super) struct Pair {
    truth: MaskRow,
    spacing: Option<Spacing>,
    pub(super) candidates: Vec<PredictionRow>,
}

/// Joins the predictions of a shard with the masks of the build: both are sorted by mask. Those of some slices only.
pub(super) struct Pairs {
    masks: Rows<MaskRow>,
    predictions: std::iter::Peekable<Rows<PredictionRow>>,
    /// Number and spacing of each slice.
    of_slices: HashMap<String, (u64, Option<Spacing>)>,
    /// Numbers of the slices that are wanted.
    wanted: Range<u64>,
    current: Option<MaskRow>,
}

impl Pairs {
    pub(super) fn new(dataset: &Dataset, build: &Receipt, prediction: &Receipt, wanted: Range<u64>) -> Result<Self> {
        let mut of_slices = HashMap::new();
        for (number, slice) in (0..).zip(Rows::<SliceInfo>::of(table_file(dataset, build, Table::Slices))) {
            let slice = slice?;
            let known = slice.spacing_row_mm.zip(slice.spacing_col_mm);
            let spacing = known.and_then(|(row, column)| Spacing::new(row, column));
            of_slices.insert(slice.slice_id, (number, spacing));
        }
        Ok(Pairs {
            masks: Rows::of(table_file(dataset, build, Table::Masks)),
            predictions: Rows::of(table_file(dataset, prediction, Table::Predictions)).peekable(),
            of_slices,
            wanted,
            current: None,
        })
    }
}

impl Iterator for Pairs {
    type Item = Result<Pair>;

    fn next(&mut self) -> Option<Result<Pair>> {
        loop {
            let pair = self.next_of_any_slice()?;
            let number = |pair: &Pair| self.of_slices.get(&pair.truth.slice_id).map(|(number, _)| *number);
            match pair {
                Ok(pair) if number(&pair).is_some_and(|number| !self.wanted.contains(&number)) => {}
                pair => return Some(pair),
            }
        }
    }
}

impl Pairs {
    fn next_of_any_slice(&mut self) -> Option<Result<Pair>> {
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
        let spacing = self.of_slices.get(&truth.slice_id).and_then(|(_, spacing)| *spacing);
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
pub(super) fn metric_rows(pair: &Pair, options: MetricOptions) -> Result<Vec<MetricRow>> {
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
