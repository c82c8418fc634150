//! Run-length masks in a table that another program wrote, whatever its types of text and numbers.

use super::AnalysisError;
use super::tables::guarded;
use polars::prelude::*;
use std::fs::File;
use std::path::Path;

/// One mask.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeRow {
    /// The mask that it is a prediction of.
    pub mask_id: String,
    /// COCO's compressed runs.
    pub counts: String,
    /// Height and width, where the table has them.
    pub size: Option<[u32; 2]>,
    /// The model's own estimate of its IoU, where the table has it.
    pub predicted_iou: Option<f32>,
}

/// Reads the columns `mask_id`, `counts`, and where they are there `height`, `width` and `predicted_iou`.
///
/// # Errors
/// [`AnalysisError::Read`]: no Parquet file, or one that lacks a column or has another type in it.
pub fn read_codes(path: &Path) -> Result<Vec<CodeRow>, AnalysisError> {
    let read = || -> PolarsResult<Vec<CodeRow>> {
        let frame = ParquetReader::new(File::open(path)?).finish()?;
        let text = |name: &str| frame.column(name)?.cast(&DataType::String)?.str().cloned();
        let number = |name: &str| -> PolarsResult<Option<Float64Chunked>> {
            match frame.column(name) {
                Ok(column) => Ok(Some(column.cast(&DataType::Float64)?.f64()?.clone())),
                Err(_) => Ok(None),
            }
        };
        let (ids, counts) = (text("mask_id")?, text("counts")?);
        let (height, width, iou) = (number("height")?, number("width")?, number("predicted_iou")?);
        let at = |column: &Option<Float64Chunked>, row: usize| column.as_ref().and_then(|c| c.get(row));
        let row = |row: usize| {
            let empty = |name: &str| polars_err!(ComputeError: "row {row} has no `{name}`");
            Ok(CodeRow {
                mask_id: ids.get(row).ok_or_else(|| empty("mask_id"))?.to_string(),
                counts: counts.get(row).ok_or_else(|| empty("counts"))?.to_string(),
                size: at(&height, row).zip(at(&width, row)).map(|(h, w)| [h as u32, w as u32]),
                predicted_iou: at(&iou, row).map(|v| v as f32),
            })
        };
        (0..frame.height()).map(row).collect()
    };
    guarded(read).map_err(|source| AnalysisError::Read { what: path.display().to_string(), source })
}
