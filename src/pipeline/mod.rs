//! Stages, shards, the local scheduler and resume: `build → predict → evaluate → analyze`.
//!
//! Each stage first lists its shards, which depend only on the inputs, then runs the unfinished ones on all threads and
//! commits. An interrupted run resumes and ends with the same bytes; a run over finished work only checks receipts.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use thiserror::Error;

use crate::store::Stage;

mod build;
mod change;
mod evaluate;
mod import;
mod in_order;
mod inputs;
mod leaks;
mod parked;
mod predict;
mod progress;
mod rebuild;
mod slices_of;
mod split;
mod standing;
mod work;

pub use build::{BuildOptions, BuildReport, SourceReport, build, divided_build};
pub use change::{Existing, Outdated};
pub use evaluate::{EvaluateOptions, EvaluateReport, divided_evaluation, evaluate};
pub use import::{IMPORTED, ImportOptions, ImportReport, LEAST_IOU, import};
pub use leaks::{Crossing, LeaksReport, LinkTotal, Unmapped, leaks};
pub use predict::{PredictOptions, PredictReport, Selection, divided_prediction, predict};
pub use progress::Progress;
pub use rebuild::{Difference, Rebuild, rebuild};
pub use split::{PartTotal, SplitCheck, SplitOptions, SplitReport, check_split, split};
pub use work::{Divided, OpenWork, SHARD_SECONDS, Unit, WorkShard};

/// Why a stage cannot be done. What concerns one case only is no error of the stage: it is in the case's row and in the
/// report.
#[derive(Debug, Error)]
pub enum Error {
    /// The raw folder cannot be opened.
    #[error(transparent)]
    Raw(#[from] crate::raw::Error),
    /// A spec is wrong, or a source is not known.
    #[error(transparent)]
    Spec(#[from] crate::spec::Error),
    /// The dataset cannot be read or written.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A model cannot be used.
    #[error(transparent)]
    Model(#[from] crate::models::Error),
    /// The dataset would lie among the downloads, and be taken for one of them by the next build.
    #[error("{dataset}: inside the folder of downloads {raw}; choose a dataset folder outside it")]
    InsideRaw {
        /// Folder of the dataset.
        dataset: PathBuf,
        /// Folder of downloads.
        raw: PathBuf,
    },
    /// The build was interrupted: its masks are not all there.
    #[error("{dataset}: the build of {slug} has not finished; run the same `medcosmos build` again first")]
    Unfinished {
        /// Folder of the dataset.
        dataset: PathBuf,
        /// A source that has unfinished work.
        slug: String,
    },
    /// Predictions from elsewhere cannot be taken in.
    #[error("{path}: {reason}")]
    Import {
        /// File or folder.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// What is asked for cannot be added to what is there.
    #[error("{path}: {reason}")]
    Conflict {
        /// The dataset.
        path: PathBuf,
        /// What would have to go, and what to do.
        reason: String,
    },
    /// A condition that chooses masks cannot be answered.
    #[error("the condition {condition:?}: {reason}")]
    Condition {
        /// The condition.
        condition: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Results of other options are in the way.
    #[error(
        "{dataset}: this run would remove results of an earlier one: {removed} ({changes}). Run with `--replace` to \
         remove them, or use another dataset folder"
    )]
    Replaces {
        /// Folder of the dataset.
        dataset: PathBuf,
        /// Tables and numbers of rows.
        removed: String,
        /// Options that differ.
        changes: String,
    },
    /// A stage that is to commit only, while an engine has not done all of its work.
    #[error(
        "{dataset}: {open} shard(s) of {stage} are not done. `medcosmos retry {dataset} --dry-run` lists them with their \
         attempts"
    )]
    Open {
        /// Folder of the dataset.
        dataset: PathBuf,
        /// The stage.
        stage: Stage,
        /// Number of shards.
        open: usize,
    },
    /// Cases that could not be read this time.
    #[error("{reason}")]
    Undone {
        /// The cases, each with its reason.
        reason: String,
    },
    /// Nothing to do.
    #[error("{path}: {reason}")]
    Nothing {
        /// The raw folder or the dataset.
        path: PathBuf,
        /// What was looked for, and what to do.
        reason: String,
    },
    /// `--strict`: the first case that failed.
    #[error("{case}: {reason}")]
    Strict {
        /// Case.
        case: String,
        /// Why it failed.
        reason: String,
    },
    /// A stored mask or image that cannot be decoded.
    #[error("{id}: {reason}")]
    Damaged {
        /// Id of the row.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Result of a stage.
pub type Result<T> = std::result::Result<T, Error>;

/// Does every item, on as many threads as rayon has, in order of the items; the first error ends it. Each thread has a
/// scratch memory of its own, which is no part of what comes out. They are threads of their own: one of rayon's that
/// waits for the parts of an item begins another item meanwhile, and holds the memory of both, and of a third inside
/// that one.
fn side_by_side<T: Sync, R: Send, S: Default>(
    items: &[T],
    one: impl Fn(&mut S, &T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = rayon::current_num_threads().min(items.len());
    if threads < 2 {
        let mut scratch = S::default();
        return items.iter().map(|item| one(&mut scratch, item)).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let (mut scratch, mut done) = (S::default(), Vec::new());
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { break };
            let outcome = one(&mut scratch, item);
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            done.push((at, outcome));
        }
        done
    };
    let mut done: Vec<(usize, Result<R>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_done_once_and_come_back_in_order() {
        let items: Vec<u32> = (0..100).collect();
        let squares = side_by_side(&items, |_: &mut (), n| Ok(n * n)).unwrap();
        assert!(squares.into_iter().eq(items.iter().map(|n| n * n)));
        let strict = |_: &mut (), n: &u32| match n {
            37 => Err(Error::Strict { case: "37".into(), reason: "odd".into() }),
            n => Ok(*n),
        };
        assert!(matches!(side_by_side(&items, strict), Err(Error::Strict { .. })));
        assert!(side_by_side(&[], strict).unwrap().is_empty());
    }
}
