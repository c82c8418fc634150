//! The whole analysis of a dataset: from its metrics and factors to the tables of a paper, written to
//! `<dataset>/analysis/`, each as Parquet and as CSV. Analyses of other metrics lie in folders below it.

use super::AnalysisError;
use super::clicks::{self, ClickRow, ClicksNeededRow};
use super::correlations::{self, CorrelationRow};
use super::curves::{self, CurveRow};
use super::join::{Condition, Evaluation};
use super::options::AnalysisOptions;
use super::output::{Format, write_frame};
use super::paired::{self, PairedRow};
use super::randomness::{self, RandomnessRow};
use super::summary::{Summary, summarise};
use super::tables::tables_sha256;
use crate::digest::sha256;
use crate::store::Dataset;
use crate::text::grouped;
use crate::whole_file::replace_whole;
use polars::prelude::DataFrame;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// The folder of results in a dataset.
pub const FOLDER: &str = "analysis";
/// The file that says with what options the results were made, and lists their files.
pub const RECORD: &str = "analysis.json";

/// The results of an analysis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// What was asked for.
    #[serde(skip)]
    pub options: AnalysisOptions,
    /// One table for each entry of [`AnalysisOptions::by`].
    pub summaries: Vec<Summary>,
    /// The metric and the factors, of undisturbed prompts.
    pub correlations: Vec<CorrelationRow>,
    /// The metric against the factors, of undisturbed prompts.
    pub curves: Vec<CurveRow>,
    /// Strategies and models against each other, of undisturbed prompts.
    pub paired: Vec<PairedRow>,
    /// What moving the prompts costs.
    pub randomness: Vec<RandomnessRow>,
    /// Simulated clicks, one after the other.
    pub clicks: Vec<ClickRow>,
    /// How many of them a target takes.
    pub clicks_needed: Vec<ClicksNeededRow>,
    /// Models and strategies whose metrics are those of a part of the masks.
    #[serde(default)]
    pub partial: Vec<Coverage>,
}

/// How many masks of a dataset a model and strategy have metrics of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Model.
    pub model: String,
    /// Strategy.
    pub strategy: String,
    /// Masks with metrics.
    pub masks: usize,
    /// Masks of the dataset.
    pub of: usize,
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [masks, of] = [self.masks, self.of].map(|n| grouped(n as u64));
        write!(f, "{} {}: {masks} of {of} masks", self.model, self.strategy)
    }
}

/// Finds the models and strategies that have metrics of a part of the masks only.
fn partial(evaluation: &Evaluation, conditions: &[Condition]) -> Result<Vec<Coverage>, AnalysisError> {
    let of = evaluation.masks()?;
    let mut first: BTreeMap<(&str, &str), &Condition> = BTreeMap::new();
    for condition in conditions {
        first.entry((&condition.model, &condition.strategy)).or_insert(condition);
    }
    let none = BTreeSet::new();
    let coverage = first.into_iter().map(|((model, strategy), condition)| {
        let masks = evaluation.rows(condition, &none, &none)?.failed.len();
        Ok(Coverage { model: model.to_string(), strategy: strategy.to_string(), masks, of })
    });
    let coverage: Vec<Coverage> = coverage.collect::<Result<_, AnalysisError>>()?;
    Ok(coverage.into_iter().filter(|coverage| coverage.masks < coverage.of).collect())
}

/// Analyses a dataset and writes nothing.
///
/// # Errors
/// [`AnalysisError::MissingTable`] before `evaluate` was run, [`AnalysisError::Option`] and
/// [`AnalysisError::MissingColumn`] where the options do not fit, and what reading returns.
pub fn compute(dataset: &Path, options: &AnalysisOptions) -> Result<Analysis, AnalysisError> {
    options.check()?;
    let evaluation = Evaluation::open(dataset, options.include_excluded)?;
    let conditions = evaluation.conditions()?;
    let mut edges = BTreeMap::new();
    for curve in &options.curves {
        edges.insert(&curve.factor, curves::edges(&evaluation.factor(&curve.factor)?, curve.bins));
    }

    let mut numbers: BTreeSet<String> = options.summary_metrics.iter().chain(&options.factors).cloned().collect();
    numbers.insert(options.metric.clone());
    numbers.extend(options.curves.iter().map(|curve| curve.factor.clone()));
    let mut labels: BTreeSet<String> = options.by.iter().flatten().cloned().collect();
    labels.insert("target".to_string());

    let mut summaries: Vec<Summary> =
        options.by.iter().map(|by| Summary { by: by.clone(), rows: Vec::new() }).collect();
    let (mut correlations, mut curve_rows) = (Vec::new(), Vec::new());
    for condition in &conditions {
        if !condition.variant.is_empty() {
            continue;
        }
        let rows = evaluation.rows(condition, &numbers, &labels)?;
        for summary in &mut summaries {
            summary.rows.extend(summarise(condition, &rows, &summary.by, &options.summary_metrics));
        }
        correlations.extend(correlations::correlate(condition, &rows, options));
        for (factor, edges) in &edges {
            curve_rows.extend(curves::curve(condition, &rows, &options.metric, factor, edges));
        }
    }
    let place = |metric: &String| options.summary_metrics.iter().position(|m| m == metric);
    summaries.iter_mut().for_each(|summary| summary.rows.sort_by_key(|row| place(&row.metric)));
    correlations::adjust(&mut correlations, options.adjustment);
    let (clicks, clicks_needed) = clicks::clicks(&evaluation, &conditions, options)?;
    Ok(Analysis {
        options: options.clone(),
        summaries,
        correlations,
        curves: curve_rows,
        paired: paired::compare_all(&evaluation, &conditions, options)?,
        randomness: randomness::drops(&evaluation, &conditions, options)?,
        clicks,
        clicks_needed,
        partial: partial(&evaluation, &conditions)?,
    })
}

/// What `analysis.json` holds.
#[derive(Serialize)]
struct Record<'a> {
    tool: &'static str,
    options: &'a AnalysisOptions,
    /// Digest of the tables that were analysed; `None` of a folder that is no dataset.
    tables_sha256: Option<String>,
    /// SHA-256 of each file that was written, by its name.
    files: BTreeMap<String, String>,
}

/// What an `analysis.json` that was written before says.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct EarlierRecord {
    /// The options, of which this program may know others.
    #[serde(default)]
    pub(crate) options: serde_json::Value,
    /// Digest of the tables that were analysed.
    #[serde(default)]
    pub(crate) tables_sha256: Option<String>,
    files: EarlierFiles,
}

/// Files of an earlier record; those of the first versions have no digests.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum EarlierFiles {
    Digests(BTreeMap<String, String>),
    Names(Vec<String>),
}

impl Default for EarlierFiles {
    fn default() -> Self {
        EarlierFiles::Names(Vec::new())
    }
}

impl EarlierRecord {
    /// The files that it lists and that lie in its folder, with their SHA-256 where that is known.
    pub(crate) fn files(&self) -> BTreeMap<&str, Option<&str>> {
        let files: BTreeMap<&str, Option<&str>> = match &self.files {
            EarlierFiles::Digests(files) => {
                files.iter().map(|(name, sha256)| (name.as_str(), Some(sha256.as_str()))).collect()
            }
            EarlierFiles::Names(names) => names.iter().map(|name| (name.as_str(), None)).collect(),
        };
        let own = |name: &str| {
            let ours = name.ends_with(".parquet") || name.ends_with(".csv");
            ours && !name.contains(['/', '\\', ':']) && !name.starts_with('.')
        };
        files.into_iter().filter(|(name, _)| own(name)).collect()
    }
}

impl Analysis {
    /// The result tables by the name of their file: `summary`, `summary_by_target`, `correlations`, `curves`,
    /// `paired`, `randomness`, `clicks`, `clicks_needed`.
    ///
    /// # Errors
    /// [`AnalysisError::Format`] where a grouping column has the name of another column.
    pub fn frames(&self) -> Result<Vec<(String, DataFrame)>, AnalysisError> {
        let mut frames = Vec::new();
        for summary in &self.summaries {
            let name = match summary.by.is_empty() {
                true => "summary".to_string(),
                false => format!("summary_by_{}", summary.by.join("_")),
            };
            frames.push((name, summary.to_frame()?));
        }
        frames.push(("correlations".to_string(), correlations::to_frame(&self.correlations)?));
        frames.push(("curves".to_string(), curves::to_frame(&self.curves)?));
        frames.push(("paired".to_string(), paired::to_frame(&self.paired)?));
        frames.push(("randomness".to_string(), randomness::to_frame(&self.randomness)?));
        frames.push(("clicks".to_string(), clicks::to_frame(&self.clicks)?));
        frames.push(("clicks_needed".to_string(), clicks::needed_to_frame(&self.clicks_needed)?));
        Ok(frames)
    }

    /// Writes every table as Parquet and CSV into the dataset's folder `analysis` or one below it
    /// ([`AnalysisOptions::folder`]), and the options next to them. Each file is replaced at once; tables of an earlier
    /// analysis in this folder that this one does not have are removed.
    ///
    /// # Errors
    /// [`AnalysisError::Io`] and [`AnalysisError::Format`].
    pub fn write(&self, dataset: &Path) -> Result<(), AnalysisError> {
        let folder = dataset.join(FOLDER).join(self.options.folder());
        fs::create_dir_all(&folder).map_err(|source| AnalysisError::Io { path: folder.clone(), source })?;
        let earlier = fs::read(folder.join(RECORD)).ok();
        let earlier: Option<EarlierRecord> = earlier.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut files = BTreeMap::new();
        for (name, frame) in self.frames()? {
            for (ending, format) in [("parquet", Format::Parquet), ("csv", Format::Csv)] {
                let file = format!("{name}.{ending}");
                let mut bytes = Vec::new();
                write_frame(&frame, format, &mut bytes)?;
                replace(&folder.join(&file), &bytes)?;
                files.insert(file, sha256(&bytes));
            }
        }
        for file in earlier.unwrap_or_default().files().into_keys() {
            if !files.contains_key(file) {
                let path = folder.join(file);
                match fs::remove_file(&path) {
                    Err(source) if source.kind() != io::ErrorKind::NotFound => {
                        return Err(AnalysisError::Io { path, source });
                    }
                    _ => {}
                }
            }
        }
        let tool = concat!("medcosmos ", env!("CARGO_PKG_VERSION"));
        let tables_sha256 = Dataset::open(dataset).ok().and_then(|dataset| tables_sha256(&dataset));
        let record = Record { tool, options: &self.options, tables_sha256, files };
        let mut bytes = serde_json::to_vec_pretty(&record)
            .map_err(|source| AnalysisError::Io { path: folder.join(RECORD), source: source.into() })?;
        bytes.push(b'\n');
        replace(&folder.join(RECORD), &bytes)
    }
}

/// Writes a file whole, or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), AnalysisError> {
    replace_whole(path, bytes).map_err(|source| AnalysisError::Io { path: path.into(), source })
}
