//! The report: one HTML page with all that section 9 of the protocol lists, which opens from disk and loads nothing.
//!
//! Every statistic on it is one of [`crate::analysis`]; here they are only laid out, drawn and put beside pictures of
//! the masks. The numbers of each plot and table can be saved from the page as CSV. What a dataset does not have is left
//! out, with the command that makes it. The same dataset and options give the same bytes, but for the times, which come
//! last and can be left out.
//!
//! ```no_run
//! use medcosmos::report::{ReportOptions, report};
//! use medcosmos::store::Dataset;
//! let page = report(&Dataset::open("my_dataset")?, &ReportOptions::default())?;
//! std::fs::write("report.html", page)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contours;
mod data;
mod definitions;
mod escape;
mod factors;
mod looks;
mod outline;
mod page;
mod panels;
mod plots;
mod prompts;
mod provenance;
mod results;
mod tables;

use std::collections::BTreeSet;

use thiserror::Error;

use crate::analysis::analyze::{Analysis, compute};
use crate::analysis::{AnalysisError, AnalysisOptions};
use crate::mask::Mask;
use crate::store::{self, Choice, Dataset, Rle, Table};
use page::{Section, page};

/// The choice among candidates that is drawn; tables have the others too.
const CHOICE: Choice = Choice::Oracle;

/// Options of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportOptions {
    /// What decides the numbers.
    pub analysis: AnalysisOptions,
    /// Say how long the stages took. It is the one thing on the page that differs from run to run.
    pub times: bool,
}

impl Default for ReportOptions {
    fn default() -> Self {
        ReportOptions { analysis: AnalysisOptions::default(), times: true }
    }
}

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The tables cannot be analysed.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// The dataset cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A mask or a picture of the dataset is not what its row says.
    #[error("{id}: {reason}")]
    Damaged {
        /// The mask or slice.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Makes the page of a dataset, at whatever stage the dataset is.
///
/// # Errors
/// Options that do not fit, and tables that cannot be read. A table that is not there yet is no error.
pub fn report(dataset: &Dataset, options: &ReportOptions) -> Result<String, ReportError> {
    let analysis = there(compute(dataset.path(), &options.analysis))?;
    let looks = match &analysis {
        Some(_) => looks::looks(dataset, &options.analysis)?,
        None => Vec::new(),
    };
    let mut sections = vec![data::section(dataset)?];
    match &analysis {
        Some(analysis) => sections.extend(evaluated(dataset, analysis, &looks)?),
        None => sections.push(not_evaluated()),
    }
    sections.push(contours::section(dataset, &options.analysis)?);
    sections.push(definitions::section(dataset, &options.analysis)?);
    sections.push(provenance::digests(dataset)?);
    if options.times {
        sections.push(provenance::times(dataset)?);
    }
    Ok(page("Segmentation report", &about(dataset, analysis.as_ref())?, sections))
}

/// What follows from predictions.
fn evaluated(dataset: &Dataset, analysis: &Analysis, looks: &[looks::Look]) -> Result<Vec<Section>, ReportError> {
    Ok(vec![
        results::by_strategy(analysis)?,
        results::by_target(analysis)?,
        results::by_modality(analysis)?,
        factors::curves(analysis, looks)?,
        factors::correlations(analysis)?,
        prompts::randomness(analysis)?,
        prompts::clicks(analysis)?,
        panels::section(dataset, &analysis.options.metric, looks)?,
    ])
}

fn not_evaluated() -> Section {
    let mut section = Section::new("results", "Dice, factors and cases");
    section.missing("There are no evaluated predictions yet.", "medcosmos predict DATASET");
    section.missing("Existing predictions are evaluated by another command.", "medcosmos evaluate DATASET");
    section
}

/// The paragraph below the title.
fn about(dataset: &Dataset, analysis: Option<&Analysis>) -> Result<String, ReportError> {
    let sources: BTreeSet<String> = dataset.files(Table::Slices)?.into_iter().map(|file| file.source).collect();
    let sources = sources.into_iter().collect::<Vec<_>>().join(", ");
    let models: BTreeSet<&str> = analysis
        .into_iter()
        .flat_map(|a| a.summaries.iter().flat_map(|s| &s.rows))
        .map(|row| row.condition.model.as_str())
        .collect();
    let models = match models.is_empty() {
        true => "none yet".to_string(),
        false => models.into_iter().collect::<Vec<_>>().join(", "),
    };
    let tool = concat!("medcosmos ", env!("CARGO_PKG_VERSION"));
    Ok(format!("Sources: {sources}. Models: {models}. Made by {tool}."))
}

/// A result, or nothing where a table that it needs has not been made yet.
fn there<T>(result: Result<T, AnalysisError>) -> Result<Option<T>, ReportError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(AnalysisError::MissingTable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A stored mask.
fn decode_mask(rle: &Rle, id: &str) -> Result<Mask, ReportError> {
    Mask::try_from(rle).map_err(|e| ReportError::Damaged { id: id.to_string(), reason: e.to_string() })
}

/// `1 mask`, `2,000 masks`.
fn count_of(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", crate::text::grouped(n), if n == 1 { one } else { many })
}
