//! The stage `evaluate`: metrics of predictions against their masks, and factors of every mask.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use serde::Serialize;

use super::change::{admit, finish};
use super::in_order::{Consumer, in_order};
use super::slices_of::{StoredSlice, build_shards, stored_slices};
use super::work::{Divided, OpenWork, Part, SHARD_SECONDS, Unit, open_shards};
use super::{Error, Existing, Outdated, Progress, Result};
use crate::factors::{Factors, FourierOptions};
use crate::measure::MeasureTable;
use crate::metrics::{MetricOptions, Metrics};
use crate::spec::taxonomy;
use crate::store::{
    CaseRow, CaseStatus, Choice, Dataset, FactorRow, MetricRow, Partition, Receipt, Shard, ShardKey, ShardWriter,
    Stage, Table, noted,
};

mod rows;

use rows::{Pair, Pairs, factor_rows, metric_rows};

/// Predictions that a thread compares at a time.
const PAIRS: usize = 64;
/// Items in memory at a time, for each thread.
const AHEAD: usize = 4;
/// Seconds that the factors of a mask take, or the metrics of a prediction, with all of reading and writing
/// (docs/benchmarks.md). Large shards are divided by it, so it is the same on every host.
const ROW_SECONDS: f64 = 1.25e-3;

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
/// other options, unless they are to be replaced; [`Error::Open`] where open work is refused.
pub fn evaluate(
    dataset: &Dataset,
    options: &EvaluateOptions,
    existing: Existing,
    open_work: OpenWork,
    progress: &Progress,
) -> Result<EvaluateReport> {
    let _lock = dataset.lock()?;
    let inputs = Inputs::read(dataset)?;
    let evaluation = Evaluation::plan(dataset, &inputs, options, existing)?;
    let replaced = evaluation.replaced()?;
    let open = evaluation.open_work(0..evaluation.work.len())?;
    if open_work == OpenWork::Refuse && !open.is_empty() {
        return Err(Error::Open { dataset: dataset.path().to_path_buf(), stage: Stage::Evaluate, open: open.len() });
    }
    let mut report = evaluation.write(&open, progress)?;
    report.shards_reused = evaluation.work.len() - open.len();
    let outdated = finish(dataset, &evaluation.shards(), noted(dataset, Stage::Evaluate.name(), options)?)?;
    report.outdated = Outdated { replaced, ..outdated };
    Ok(report)
}

/// Hands the work of an evaluation to `with`, for an engine that does it.
///
/// # Errors
/// A dataset without masks, and errors of reading.
pub fn divided_evaluation<T>(
    dataset: &Dataset,
    options: &EvaluateOptions,
    existing: Existing,
    with: impl FnOnce(&dyn Divided) -> T,
) -> Result<T> {
    let _lock = dataset.lock_shared()?;
    let inputs = Inputs::read(dataset)?;
    Ok(with(&Evaluation::plan(dataset, &inputs, options, existing)?))
}

/// What is evaluated.
struct Inputs {
    builds: Vec<Receipt>,
    predictions: Vec<Receipt>,
    /// Modalities that specs of users define.
    own: Vec<String>,
}

impl Inputs {
    fn read(dataset: &Dataset) -> Result<Self> {
        let builds = build_shards(dataset)?;
        if builds.is_empty() {
            let reason = "the dataset has no masks; run `medcosmos build` first".to_string();
            return Err(Error::Nothing { path: dataset.path().to_path_buf(), reason });
        }
        Ok(Inputs { builds, predictions: predictions(dataset)?, own: own_modalities(dataset)? })
    }
}

/// An evaluation whose shards are known.
struct Evaluation<'a> {
    dataset: &'a Dataset,
    options: &'a EvaluateOptions,
    existing: Existing,
    own: &'a [String],
    work: Vec<Work<'a>>,
    units: Vec<Unit>,
}

/// A shard of factors or of metrics.
struct Work<'a> {
    shard: Shard,
    build: &'a Receipt,
    /// The predictions that are compared; `None` for factors.
    predictions: Option<&'a Receipt>,
    /// The slices of the build shard that it is about.
    part: Part,
}

/// What a thread takes at a time.
enum Item {
    Slice(Box<StoredSlice>),
    Pairs(Vec<Pair>),
}

/// Rows of an item, in the order of the table.
enum Rows {
    Factors(Vec<FactorRow>),
    Metrics(Vec<MetricRow>),
}

impl<'a> Work<'a> {
    /// The factors of a build shard, or the metrics of predictions for it, in several parts where they are many.
    fn of(
        build: &'a Receipt,
        predictions: Option<&'a Receipt>,
        key: &ShardKey,
        part_seconds: f64,
    ) -> Result<Vec<Work<'a>>> {
        let (stage, partition) = match predictions {
            Some(of) => (Stage::Evaluate, Partition::model(of.model.as_deref().unwrap_or_default(), &of.source)?),
            None => (Stage::Factors, Partition::source(&build.source)?),
        };
        let seconds = rows_of(build, predictions) as f64 * ROW_SECONDS;
        let work = Part::all(seconds, part_seconds, build.rows(Table::Slices)).map(|part| {
            let key = match part {
                Part::WHOLE => key.clone(),
                Part { index, of } => key.clone().with("part", format!("{} of {of}", index + 1)),
            };
            Work { shard: Shard::new(stage, partition.clone(), key), build, predictions, part }
        });
        Ok(work.collect())
    }

    /// Rows of masks or predictions that it is about, in the mean of the parts.
    fn rows(&self) -> u64 {
        rows_of(self.build, self.predictions) / self.part.of
    }

    fn unit(&self) -> Unit {
        let first = self.build.files.get(&Table::Masks).map_or("", |file| file.first.as_str());
        let what = match self.predictions {
            Some(of) => {
                let (model, pass) = (of.model.as_deref().unwrap_or_default(), of.key.get("pass").unwrap_or_default());
                format!("metrics of {model} {pass}").trim_end().to_string()
            }
            None => "factors".to_string(),
        };
        let part = match self.part {
            Part::WHOLE => String::new(),
            Part { index, of } => format!(", part {} of {of}", index + 1),
        };
        let about = format!("{what} from {first}{part}");
        Unit { key: self.shard.id().to_string(), about, seconds: self.rows() as f64 * ROW_SECONDS }
    }

    /// Its input, in the order of the table.
    fn items(&self, dataset: &Dataset) -> Result<Box<dyn Iterator<Item = Result<Item>> + Send>> {
        let slices = self.part.slices(self.build.rows(Table::Slices));
        Ok(match self.predictions {
            Some(predictions) => Box::new(in_pieces(Pairs::new(dataset, self.build, predictions, slices)?)),
            None => {
                let wanted = move |(at, _): &(usize, _)| slices.contains(&(*at as u64));
                let all = stored_slices(dataset, self.build, |_| true).enumerate();
                Box::new(all.filter(wanted).map(|(_, slice)| Ok(Item::Slice(Box::new(slice?)))))
            }
        })
    }
}

fn rows_of(build: &Receipt, predictions: Option<&Receipt>) -> u64 {
    predictions.map_or_else(|| build.rows(Table::Masks), |of| of.rows(Table::Predictions))
}

/// Pairs in pieces, so that threads do not meet for each. The first error ends them.
fn in_pieces(mut pairs: impl Iterator<Item = Result<Pair>>) -> impl Iterator<Item = Result<Item>> {
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed {
            return None;
        }
        let piece: Result<Vec<Pair>> = pairs.by_ref().take(PAIRS).collect();
        failed = piece.is_err();
        piece.map(|pairs| (!pairs.is_empty()).then_some(Item::Pairs(pairs))).transpose()
    })
}

impl<'a> Evaluation<'a> {
    fn plan(
        dataset: &'a Dataset,
        inputs: &'a Inputs,
        options: &'a EvaluateOptions,
        existing: Existing,
    ) -> Result<Self> {
        let mut work = Vec::new();
        for build in &inputs.builds {
            let mut key = ShardKey::new().with("build", build.id.to_string()).with_json("fourier", &options.fourier);
            key = key.with_digest_of("columns", names_of::<Factors>());
            if !inputs.own.is_empty() {
                key = key.with_json("modalities of specs", &inputs.own);
            }
            work.extend(Work::of(build, None, &key, SHARD_SECONDS)?);
        }
        let by_id: HashMap<String, &Receipt> = inputs.builds.iter().map(|b| (b.id.to_string(), b)).collect();
        for predictions in &inputs.predictions {
            let Some(build) = predictions.key.get("build").and_then(|id| by_id.get(id)) else { continue };
            let key = ShardKey::new()
                .with("predictions", predictions.id.to_string())
                .with_json("metrics", &options.metrics)
                .with_digest_of("columns", names_of::<Metrics>());
            work.extend(Work::of(build, Some(predictions), &key, SHARD_SECONDS)?);
        }
        let units = work.iter().map(Work::unit).collect();
        Ok(Evaluation { dataset, options, existing, own: &inputs.own, work, units })
    }

    /// Rows of earlier evaluations that this one replaces, where it may.
    fn replaced(&self) -> Result<BTreeMap<Table, u64>> {
        admit(self.dataset, &self.shards(), &["metrics", "fourier"], &[], self.existing)
    }

    fn shards(&self) -> Vec<Shard> {
        self.work.iter().map(|work| work.shard.clone()).collect()
    }

    /// Those of the shards that are not done.
    fn open_work(&self, shards: Range<usize>) -> Result<Vec<&Work<'a>>> {
        Ok(self.open(shards)?.into_iter().map(|at| &self.work[at]).collect())
    }

    /// Writes shards. Threads take slices and predictions of one shard after the other, so none of them waits for the
    /// last of a shard.
    fn write(&self, work: &[&Work<'a>], progress: &Progress) -> Result<EvaluateReport> {
        progress.begin("evaluate", "rows", work.iter().map(|work| work.rows()).sum());
        let items = work.iter().enumerate().flat_map(|(at, work)| {
            match work.items(self.dataset) {
                Ok(items) => items,
                Err(error) => Box::new(std::iter::once(Err(error))) as Box<dyn Iterator<Item = Result<Item>> + Send>,
            }
            .map(move |item| Ok((at, item?)))
        });
        let compute = |(): &mut (), (at, item): (usize, Item)| {
            let (rows, steps) = match item {
                Item::Slice(slice) => {
                    let slice = slice.decoded()?;
                    (Rows::Factors(factor_rows(&slice, self.own, &self.options.fourier)?), slice.masks.len())
                }
                Item::Pairs(pairs) => {
                    let rows: Vec<Vec<MetricRow>> =
                        pairs.iter().map(|pair| metric_rows(pair, self.options.metrics)).collect::<Result<_>>()?;
                    (Rows::Metrics(rows.concat()), pairs.iter().map(|pair| pair.candidates.len()).sum())
                }
            };
            progress.advance(steps as u64);
            Ok((at, rows))
        };
        let workers = rayon::current_num_threads();
        let mut output = Output { evaluation: self, work, open: None, next: 0, report: EvaluateReport::default() };
        in_order(items, [workers, AHEAD * workers], compute, &mut output)?;
        progress.end();
        output.finish()
    }
}

impl Divided for Evaluation<'_> {
    fn units(&self) -> &[Unit] {
        &self.units
    }

    fn admit(&self) -> Result<()> {
        self.replaced().map(drop)
    }

    fn open(&self, units: Range<usize>) -> Result<BTreeSet<usize>> {
        open_shards(self.dataset, units, |unit| &self.work[unit].shard)
    }

    fn run(&self, units: Range<usize>, progress: &Progress) -> Result<()> {
        let open = self.open_work(units)?;
        self.write(&open, progress).map(drop)
    }
}

/// Writes the rows of shards, one shard after the other.
struct Output<'a, 'w> {
    evaluation: &'w Evaluation<'a>,
    work: &'w [&'w Work<'a>],
    /// The shard before `next`.
    open: Option<ShardWriter<'w>>,
    next: usize,
    report: EvaluateReport,
}

impl Output<'_, '_> {
    /// Finishes the shard that is being written, and begins the next.
    fn advance(&mut self) -> Result<()> {
        if let Some(writer) = self.open.take() {
            writer.finish()?;
            self.report.shards_done += 1;
        }
        self.open = self.work.get(self.next).map(|work| self.evaluation.dataset.begin(&work.shard));
        self.next += 1;
        Ok(())
    }

    /// Finishes all shards, those without a row too.
    fn finish(mut self) -> Result<EvaluateReport> {
        while self.next <= self.work.len() {
            self.advance()?;
        }
        Ok(self.report)
    }
}

impl Consumer<(usize, Rows)> for Output<'_, '_> {
    fn arrived(&mut self, _: &(usize, Rows)) -> Result<()> {
        Ok(())
    }

    fn in_order(&mut self, (at, rows): (usize, Rows)) -> Result<()> {
        while self.next <= at {
            self.advance()?;
        }
        let Some(writer) = &mut self.open else { return Ok(()) };
        match rows {
            Rows::Factors(rows) => {
                self.report.factors += rows.len() as u64;
                rows.into_iter().try_for_each(|row| writer.push(row))?;
            }
            Rows::Metrics(rows) => {
                for row in rows {
                    if row.choice == Choice::Oracle {
                        self.report.comparisons += 1;
                        self.report.empty_predictions += u64::from(row.empty_prediction);
                    }
                    writer.push(row)?;
                }
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::write;
    use crate::image::{Geometry, Image, Samples};
    use crate::models::OtsuBox;
    use crate::pipeline::{BuildOptions, PredictOptions, build, predict};
    use crate::spec::Registry;
    use crate::store::{Rows as TableRows, ShardState, Verify};

    /// Rows of a table in these shards, in the order of the ids.
    fn rows<R: crate::store::Projection + std::fmt::Debug>(dataset: &Dataset, work: &[Work]) -> Vec<String> {
        let state = |work: &Work| match dataset.state(&work.shard, Verify::Full).unwrap() {
            ShardState::Done(receipt) => receipt,
            other => panic!("{other:?}"),
        };
        let files = work.iter().filter_map(|work| dataset.file_of(&state(work), R::TABLE));
        TableRows::<R>::of(files.collect()).map(|row| format!("{:?}", row.unwrap())).collect()
    }

    #[test]
    fn parts_of_a_large_shard_have_its_rows_once() {
        let folder = tempfile::tempdir().unwrap();
        let [raw, data] = ["raw", "data"].map(|name| folder.path().join(name));
        let quiet = Progress::new(true);
        // A frame of ACDC: 40 x 36 x 6 voxels, half of them in the left ventricle.
        let volume = |samples| Image {
            size: [40, 36, 6, 1],
            geometry: Some(Geometry::from_spacing([1.5, 1.5, 8.0])),
            ..Image::picture(40, 216, 1, samples)
        };
        let frame = raw.join("training/patient001/patient001_frame01.nii.gz");
        std::fs::create_dir_all(frame.parent().unwrap()).unwrap();
        let grey = (0..40 * 216).map(|i: i16| i % 89).collect();
        let labels = (0..40 * 216).map(|i| if i % 40 < 20 { 3 } else { 0 }).collect();
        write::image(&frame, &volume(Samples::I16(grey))).unwrap();
        write::image(&frame.with_file_name("patient001_frame01_gt.nii.gz"), &volume(Samples::U8(labels))).unwrap();
        build(&raw, &data, &Registry::built_in().unwrap(), &BuildOptions::default(), &quiet).unwrap();
        let dataset = Dataset::open(&data).unwrap();
        predict(&dataset, &OtsuBox, &PredictOptions::default(), &quiet).unwrap();
        let inputs = Inputs::read(&dataset).unwrap();
        let options = EvaluateOptions::default();
        let mut evaluation = Evaluation::plan(&dataset, &inputs, &options, Existing::Keep).unwrap();
        let of = |predictions, seconds| {
            let key = ShardKey::new().with("test", "parts");
            Work::of(&inputs.builds[0], predictions, &key, seconds).unwrap()
        };
        let (whole, parts) = (1e9, 2.0 * ROW_SECONDS);
        for predictions in [None, Some(&inputs.predictions[0])] {
            let seen: Vec<(usize, Vec<String>)> = [whole, parts]
                .into_iter()
                .map(|seconds| {
                    evaluation.work = of(predictions, seconds);
                    let all: Vec<&Work> = evaluation.work.iter().collect();
                    evaluation.write(&all, &quiet).unwrap();
                    let rows = match predictions {
                        None => rows::<FactorRow>(&dataset, &evaluation.work),
                        Some(_) => rows::<MetricRow>(&dataset, &evaluation.work),
                    };
                    (evaluation.work.len(), rows)
                })
                .collect();
            assert!(seen[0].0 == 1 && seen[1].0 > 2, "{} and {} shards", seen[0].0, seen[1].0);
            assert_eq!(seen[0].1, seen[1].1);
            assert!(!seen[0].1.is_empty());
        }
    }
}
