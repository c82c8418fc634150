//! Where predictions go: into a journal as they come, so that an interrupted run keeps them, and in their order into the
//! shards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::carried::Merged;
use super::plan::Open;
use super::{Job, Plan, PredictReport, Result};
use crate::pipeline::in_order::Consumer;
use crate::store::{PredictionRow, Row, ShardWriter};

/// Variable with the seconds of work that an interruption may cost; for tests.
const SECONDS: &str = "MEDCOSMOS_JOURNAL_SECONDS";
/// Seconds of work that an interruption may cost, besides the slices that are being predicted.
const DEFAULT_SECONDS: u64 = 30;
/// Bytes of rows that go into the journal at the latest.
const MOST_BYTES: usize = 64 << 20;

/// The predictions of a slice.
pub(super) struct Predicted {
    /// Position of the slice's build shard in the plan.
    pub(super) work: usize,
    /// Masks of the slice that were predicted.
    pub(super) masks: u64,
    /// Rows of each open pass, in the order of the masks' ids.
    pub(super) rows: Vec<Vec<PredictionRow>>,
}

/// Takes predictions and writes them: into the journal as they come, and in their order into the shards.
pub(super) struct Output<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan<'a>,
    /// Shards that are being written: those of the build shard before `next`.
    writers: Vec<PassWriter<'a>>,
    /// The build shard that comes next.
    next: usize,
    journal: Journalled<'a>,
    report: PredictReport,
}

/// Takes predictions and keeps them in the journal.
pub(super) struct Journalled<'a> {
    job: &'a Job<'a>,
    plan: &'a Plan<'a>,
    /// Rows that are in no journal yet, by build shard and pass.
    rows: BTreeMap<(usize, usize), Vec<PredictionRow>>,
    bytes: usize,
    every: Duration,
    flushed: Instant,
}

impl<'a> Journalled<'a> {
    pub(super) fn new(job: &'a Job<'a>, plan: &'a Plan<'a>) -> Self {
        let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(DEFAULT_SECONDS);
        let every = Duration::from_secs(seconds);
        Journalled { job, plan, rows: BTreeMap::new(), bytes: 0, every, flushed: Instant::now() }
    }

    /// Puts into the journals what is in none.
    pub(super) fn flush(&mut self) -> Result<()> {
        for ((work, pass), rows) in std::mem::take(&mut self.rows) {
            let base = &self.plan.work[work].passes[pass].base;
            self.job.journal(base).append(rows)?;
        }
        self.bytes = 0;
        self.flushed = Instant::now();
        Ok(())
    }
}

impl Consumer<Predicted> for Journalled<'_> {
    fn arrived(&mut self, predicted: &Predicted) -> Result<()> {
        for (pass, rows) in predicted.rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            self.bytes += rows.iter().map(Row::weight).sum::<usize>();
            self.rows.entry((predicted.work, pass)).or_default().extend(rows.iter().cloned());
        }
        Ok(())
    }

    fn in_order(&mut self, _: Predicted) -> Result<()> {
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        let due = self.flushed.elapsed() >= self.every || self.bytes > MOST_BYTES;
        if due && !self.rows.is_empty() { self.flush() } else { Ok(()) }
    }
}

/// Writes the shard of a pass: rows that are carried over, and between them the new ones.
struct PassWriter<'a> {
    writer: ShardWriter<'a>,
    carried: Merged<'a>,
}

impl<'a> PassWriter<'a> {
    fn new(job: &Job<'a>, open: &'a Open) -> Self {
        PassWriter { writer: job.dataset.begin(&open.shard), carried: open.carried.rows() }
    }

    fn push(&mut self, row: PredictionRow) -> Result<()> {
        self.carry(Some(&row))?;
        Ok(self.writer.push(row)?)
    }

    /// Writes the carried rows that come before a row; all that are left, before none.
    fn carry(&mut self, row: Option<&PredictionRow>) -> Result<()> {
        while let Some(carried) = self.carried.next_before(row) {
            self.writer.push(carried?)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.carry(None)?;
        self.writer.finish()?;
        Ok(())
    }
}

impl<'a> Output<'a> {
    pub(super) fn new(job: &'a Job<'a>, plan: &'a Plan<'a>) -> Self {
        let journal = Journalled::new(job, plan);
        let report = PredictReport {
            model: job.model.name().to_string(),
            slices_reused: plan.slices_reused,
            masks_reused: plan.masks_reused,
            shards_reused: plan.shards_reused,
            ..PredictReport::default()
        };
        Output { job, plan, writers: Vec::new(), next: 0, journal, report }
    }

    /// Finishes the shards that are being written, and begins those of the next build shard.
    fn advance(&mut self) -> Result<()> {
        for writer in self.writers.drain(..) {
            writer.finish()?;
            self.report.shards_done += 1;
        }
        if let Some(work) = self.plan.work.get(self.next) {
            self.writers = work.passes.iter().map(|open| PassWriter::new(self.job, open)).collect();
        }
        self.next += 1;
        Ok(())
    }

    /// Finishes all shards, those for which nothing was missing too.
    pub(super) fn finish(mut self) -> Result<PredictReport> {
        while self.next <= self.plan.work.len() {
            self.advance()?;
        }
        Ok(self.report)
    }

    /// Puts into the journals what is in none.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.journal.flush()
    }
}

impl Consumer<Predicted> for Output<'_> {
    fn arrived(&mut self, predicted: &Predicted) -> Result<()> {
        self.journal.arrived(predicted)
    }

    fn in_order(&mut self, predicted: Predicted) -> Result<()> {
        while self.next <= predicted.work {
            self.advance()?;
        }
        self.report.slices += 1;
        self.report.masks += predicted.masks;
        for (writer, rows) in self.writers.iter_mut().zip(predicted.rows) {
            self.report.predictions += rows.len() as u64;
            rows.into_iter().try_for_each(|row| writer.push(row))?;
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        self.journal.tick()
    }
}
