//! Closed sets of the tables and receipts. Files contain their names.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::DataType;

use super::value::{Value, mismatch};
use crate::named;
use crate::named::Named;

named! {
    /// A stage of the work: what a shard belongs to.
    pub enum Stage("stage") {
        /// Cases, slices and masks of raw downloads.
        Build = "build",
        /// What became of every raw file, and the sources.
        Files = "files",
        /// Patients and slices that are there twice.
        Leaks = "leaks",
        /// Assignment of patients to splits or folds.
        Split = "split",
        /// Predicted masks, computed or imported.
        Predict = "predict",
        /// Factors of masks.
        Factors = "factors",
        /// Metrics of predictions.
        Evaluate = "evaluate",
    }
}

named! {
    /// How it went with a case.
    pub enum CaseStatus("status of a case") {
        /// It gave slices.
        Ok = "ok",
        /// It gave none, for a reason that is no fault.
        Skipped = "skipped",
        /// It could not be read, or contradicts itself.
        Failed = "failed",
    }
}

named! {
    /// What became of a raw file.
    pub enum FileStatus("status of a file") {
        /// A case uses it.
        Used = "used",
        /// No case uses it, for a reason.
        Skipped = "skipped",
        /// It could not be read.
        Failed = "failed",
    }
}

named! {
    /// How one of a model's candidate masks is chosen.
    #[derive(Default)]
    pub enum Choice("choice") {
        #[default]
        /// The candidate with the highest Dice against the ground truth.
        Oracle = "oracle",
        /// The candidate with the highest predicted IoU.
        Score = "score",
    }
}

named! {
    /// How it is known that two patients or slices are one.
    pub enum LeakKind("kind of leak") {
        /// The sources say so themselves.
        Declared = "declared",
        /// Equal pixels.
        Exact = "exact",
        /// Pictures that differ in their encoding only.
        Near = "near",
    }
}

/// A closed choice is a text column.
impl<T: Named> Value for T {
    fn data_type() -> DataType {
        DataType::Utf8
    }

    fn array(values: &[Option<&Self>]) -> ArrayRef {
        Arc::new(values.iter().map(|value| value.map(|v| v.name())).collect::<StringArray>())
    }

    fn read(array: &dyn Array) -> Result<Vec<Self>, String> {
        let array = array.as_string_opt::<i32>().ok_or_else(|| mismatch::<Self>(array))?;
        (0..array.len()).map(|i| Self::named(array.value(i)).map_err(|e| e.to_string())).collect()
    }

    fn weight(&self) -> usize {
        self.name().len()
    }
}
