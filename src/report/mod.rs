//! The report: one HTML page with everything that docs/protocol.md, 9, lists; it opens from disk and loads nothing.
//!
//! Every statistic on it is one of [`crate::analysis`]; here they are arranged, plotted and shown with images of the
//! masks. The numbers of each plot and table can be saved from the page as CSV. Parts without data are left out and
//! replaced by the command that adds them. The same dataset and options give the same bytes, except for the times,
//! which come last and can be left out.
//!
//! ```no_run
//! use medcosmos::report::{ReportOptions, report};
//! use medcosmos::store::Dataset;
//! let report = report(&Dataset::open("my_dataset")?, &ReportOptions::default())?;
//! std::fs::write("report.html", report.page)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod contours;
mod data;
mod definitions;
mod escape;
mod examples;
mod factors;
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
use crate::analysis::{AnalysisError, AnalysisOptions, kept};
use crate::store::{self, Choice, Dataset, Table};
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

/// A report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The page, HTML.
    pub page: String,
    /// True where the analysis was computed for it; false where there is nothing to analyse, or the results are those
    /// that [`analyze`](crate::analysis::analyze()) has kept.
    pub computed: bool,
}

/// Makes the page of a dataset, at whatever stage the dataset is. The results of the last analysis are used if they are
/// of the same tables and options.
///
/// # Errors
/// Options that do not fit, and tables that cannot be read. A table that is not there yet is no error.
pub fn report(dataset: &Dataset, options: &ReportOptions) -> Result<Report, ReportError> {
    let kept = if_present(kept(dataset.path(), &options.analysis))?.flatten();
    let computed = match &kept {
        Some(_) => None,
        None => if_present(compute(dataset.path(), &options.analysis))?,
    };
    let (computed, analysis) = (computed.is_some(), kept.or(computed));
    let examples = match &analysis {
        Some(_) => examples::examples(dataset, &options.analysis)?,
        None => Vec::new(),
    };
    let mut sections = vec![data::section(dataset)?];
    match &analysis {
        Some(analysis) => sections.extend(evaluated(dataset, analysis, &examples)?),
        None => sections.push(not_evaluated()),
    }
    sections.push(contours::section(dataset, &options.analysis)?);
    sections.push(definitions::section(dataset, &options.analysis)?);
    sections.push(provenance::digests(dataset)?);
    if options.times {
        sections.push(provenance::times(dataset)?);
    }
    let page = page("Segmentation report", &about(dataset, analysis.as_ref())?, sections);
    Ok(Report { page, computed })
}

/// What follows from predictions.
fn evaluated(
    dataset: &Dataset,
    analysis: &Analysis,
    examples: &[examples::ExampleCase],
) -> Result<Vec<Section>, ReportError> {
    Ok(vec![
        results::by_strategy(analysis)?,
        results::by_target(analysis)?,
        results::by_modality(analysis)?,
        factors::curves(analysis, examples)?,
        factors::correlations(analysis)?,
        prompts::randomness(analysis)?,
        prompts::clicks(analysis)?,
        panels::section(dataset, &analysis.options.metric, examples)?,
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
    let partial: Vec<String> = analysis.into_iter().flat_map(|a| &a.partial).map(ToString::to_string).collect();
    let partial = match partial.is_empty() {
        true => String::new(),
        false => format!(" Only a part of the masks has metrics: {}.", partial.join("; ")),
    };
    let tool = concat!("medcosmos ", env!("CARGO_PKG_VERSION"));
    Ok(format!("Sources: {sources}. Models: {models}.{partial} Made by {tool}."))
}

/// A result, or nothing where a table that it needs has not been made yet.
fn if_present<T>(result: Result<T, AnalysisError>) -> Result<Option<T>, ReportError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(AnalysisError::MissingTable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// `1 mask`, `2,000 masks`.
fn count_of(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", crate::text::grouped(n), if n == 1 { one } else { many })
}
