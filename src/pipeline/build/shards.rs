//! The shards of a build: planning and writing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::BuildOptions;
use super::rows::{SliceRows, case_row, push_case, slice_rows};
use crate::digest::canonical_json;
use crate::pipeline::in_order::{Consumer, in_order};
use crate::pipeline::{Error, Progress, Result};
use crate::raw::Tree;
use crate::slices::placement::Placement;
use crate::slices::{self, CaseSlices};
use crate::sources::{Case, CaseState, Scan};
use crate::spec::pattern::Pattern;
use crate::spec::{KnownBad, Registry, Spec};
use crate::store::{CaseStatus, Dataset, Partition, Receipt, Shard, ShardKey, ShardWriter, Stage};
use crate::text::printable_line;

/// Cases go into shards in the order of their ids, until a shard has this many …
const SHARD_CASES: usize = 64;
/// … or this many raw bytes: small enough to spread over threads and hosts, large enough to keep files few.
const SHARD_BYTES: u64 = 512 << 20;
/// One case in this many ends its shard whatever the size, by the digest of its id: a case that is added or removed
/// moves the bounds of its own shard only, and the others stay as they are.
const BOUND_EVERY: u8 = 32;

/// A shard and the cases in it.
pub(in crate::pipeline) struct Work<'a> {
    pub(in crate::pipeline) shard: Shard,
    pub(in crate::pipeline) spec: &'a Spec,
    pub(in crate::pipeline) release: &'a str,
    pub(in crate::pipeline) cases: Vec<&'a Case>,
}

/// Digest of each member of the tree that a case uses, or why it could not be read.
pub(in crate::pipeline) type Digests = Vec<Option<std::result::Result<String, String>>>;

/// The shards of a build: they depend on the files, the specs and the options, and on nothing else.
pub(in crate::pipeline) fn shards<'a>(
    tree: &Tree,
    found: &'a Scan,
    registry: &'a Registry,
    options: &BuildOptions,
    digests: &Digests,
) -> Result<Vec<Work<'a>>> {
    let mut work = Vec::new();
    for source in &found.sources {
        let spec = registry.get(&source.slug)?;
        let bytes = |case: &Case| -> u64 { case.files().map(|f| tree.members()[f].size).sum() };
        let mut cases = source.cases.iter().peekable();
        while cases.peek().is_some() {
            let (mut taken, mut size) = (Vec::new(), 0);
            while let Some(case) = cases.next_if(|_| taken.len() < SHARD_CASES && size < SHARD_BYTES) {
                size += bytes(case);
                taken.push(case);
                if ends_shard(&case.id) {
                    break;
                }
            }
            let key = shard_key(tree, spec, &source.release, &taken, options, digests);
            let shard = Shard::new(Stage::Build, Partition::source(&source.slug)?, key);
            work.push(Work { shard, spec, release: &source.release, cases: taken });
        }
    }
    Ok(work)
}

fn ends_shard(case_id: &str) -> bool {
    Sha256::digest(case_id)[0].is_multiple_of(BOUND_EVERY)
}

fn shard_key(
    tree: &Tree,
    spec: &Spec,
    release: &str,
    cases: &[&Case],
    options: &BuildOptions,
    digests: &Digests,
) -> ShardKey {
    let file = |f: usize| {
        let digest = match &digests[f] {
            Some(Ok(digest)) => digest.clone(),
            Some(Err(reason)) => reason.clone(),
            None => "unused".into(),
        };
        format!("{} {digest}", tree.members()[f].path)
    };
    let described = cases.iter().map(|case| {
        let files: Vec<String> = case.files().map(file).collect();
        canonical_json(&(&case.id, &case.state, files, &case.notes))
    });
    let key = ShardKey::new().with("release", release).with("spec", spec.digest());
    key.with_json("options", &options.slices).with("first", &cases[0].id).with_digest_of("cases", described)
}

/// Writes a shard into a dataset: a row of each of its cases, and the slices and masks of those that can be cut. So many
/// `workers` cut cases at a time.
///
/// Cases that could not be read this time are undone: the receipt is that of another shard, whose key names them with
/// their reasons. The planned one stays missing, so that the next run does it.
///
/// # Errors
/// The disk, and with `strict` the first case that fails. Else cases fail alone.
pub(in crate::pipeline) fn write_shard(
    work: &Work,
    raw: (&Tree, &Digests),
    dataset: &Dataset,
    options: &BuildOptions,
    (scratch, workers): (&mut slices::Scratch, usize),
    progress: &Progress,
) -> Result<Receipt> {
    let undone = BTreeMap::new();
    let mut output = Output { writer: dataset.begin(&work.shard), work, raw, options, progress, undone };
    if workers < 2 {
        for case in &work.cases {
            output.push(Outcome::of(case, work, raw, options, scratch))?;
        }
    } else {
        let cases = work.cases.iter().map(|case| Ok(*case));
        let cut = |scratch: &mut _, case| Ok(Outcome::of(case, work, raw, options, scratch));
        in_order(cases, [workers, 2 * workers], cut, &mut output)?;
    }
    output.finish()
}

/// What became of a case.
struct Outcome<'a> {
    case: &'a Case,
    kind: OutcomeKind,
}

enum OutcomeKind {
    /// What was cut, with the rows of its slices.
    Cut(Box<CaseSlices>, SliceRows),
    Skipped(String),
    Failed(String),
    /// It could not be read this time.
    Undone(String),
}

impl<'a> Outcome<'a> {
    fn of(
        case: &'a Case,
        work: &Work,
        (tree, digests): (&Tree, &Digests),
        options: &BuildOptions,
        scratch: &mut slices::Scratch,
    ) -> Self {
        let unread = case.files().find_map(|f| match &digests[f] {
            Some(Err(reason)) => Some(reason.clone()),
            _ => None,
        });
        let kind = match (&case.state, unread) {
            (CaseState::Skipped(reason), _) => OutcomeKind::Skipped(reason.clone()),
            (CaseState::Ambiguous(reason), _) => OutcomeKind::Failed(reason.clone()),
            (CaseState::Complete, Some(reason)) => {
                OutcomeKind::Failed(format!("{reason}{}", known(case, work.spec, tree)))
            }
            (CaseState::Complete, None) => match slices::cut(case, work.spec, tree, &options.slices, scratch) {
                Ok(mut cut) => match slice_rows(work.spec, case, std::mem::take(&mut cut.slices)) {
                    Ok(rows) => OutcomeKind::Cut(Box::new(cut), rows),
                    Err(reason) => OutcomeKind::Failed(reason),
                },
                Err(error @ slices::Error::Unlabelled { .. }) => OutcomeKind::Skipped(error.to_string()),
                Err(error) if error.is_passing() => OutcomeKind::Undone(case.public(&not_read(&error))),
                Err(error) => OutcomeKind::Failed(format!("{error}{}", known(case, work.spec, tree))),
            },
        };
        Outcome { case, kind }
    }
}

/// Writes the rows of cases, in the order of their ids.
struct Output<'a> {
    writer: ShardWriter<'a>,
    work: &'a Work<'a>,
    raw: (&'a Tree, &'a Digests),
    options: &'a BuildOptions,
    progress: &'a Progress,
    undone: BTreeMap<&'a str, String>,
}

impl<'a> Output<'a> {
    fn push(&mut self, Outcome { case, kind }: Outcome<'a>) -> Result<()> {
        let (tree, digests) = self.raw;
        let mut row = case_row(case, self.work.release, tree, digests);
        let kind = match kind {
            OutcomeKind::Undone(reason) => {
                self.undone.insert(&case.id, reason.clone());
                OutcomeKind::Failed(reason)
            }
            kind => kind,
        };
        let (status, reason) = match kind {
            OutcomeKind::Cut(cut, _) if self.options.strict && cut.placement == Placement::Shifted => {
                let reason = cut.notes.join("; ");
                return Err(Error::Strict { case: case.id.clone(), reason });
            }
            OutcomeKind::Cut(cut, rows) => {
                push_case(&mut self.writer, row, case, *cut, rows)?;
                self.progress.advance(1);
                return Ok(());
            }
            OutcomeKind::Skipped(reason) => {
                self.writer.count("case_skipped", 1);
                (CaseStatus::Skipped, reason)
            }
            OutcomeKind::Failed(reason) | OutcomeKind::Undone(reason) => {
                if self.options.strict {
                    return Err(Error::Strict { case: case.id.clone(), reason });
                }
                self.progress.say(&format!("failed: {}: {}", case.id, printable_line(&reason)));
                self.writer.count("case_failed", 1);
                (CaseStatus::Failed, reason)
            }
        };
        (row.status, row.reason) = (status, Some(printable_line(&case.public(&reason)).into_owned()));
        self.writer.push(row)?;
        self.progress.advance(1);
        Ok(())
    }

    fn finish(self) -> Result<Receipt> {
        Ok(match self.undone.is_empty() {
            true => self.writer.finish()?,
            false => self.writer.finish_as(self.work.shard.key().clone().with_json(UNDONE, &self.undone))?,
        })
    }
}

impl<'a> Consumer<Outcome<'a>> for Output<'a> {
    fn arrived(&mut self, _: &Outcome<'a>) -> Result<()> {
        Ok(())
    }

    fn in_order(&mut self, outcome: Outcome<'a>) -> Result<()> {
        self.push(outcome)
    }

    fn tick(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Name of the part of a key that holds the cases which were left undone, with their reasons.
pub(in crate::pipeline) const UNDONE: &str = "undone";

/// Why a case is undone, or a file has no digest, where the next run may succeed.
pub(super) fn not_read(error: &impl std::fmt::Display) -> String {
    format!("not read: {error}; run the same build again to try it again")
}

/// What is known to be wrong with the files of a case, to be put behind an error.
fn known(case: &Case, spec: &Spec, tree: &Tree) -> String {
    let files: Vec<&str> = case.files().map(|file| tree.members()[file].path.as_str()).collect();
    let note = |bad: &KnownBad| {
        let pattern = Pattern::new(&bad.path, spec.ignore_case).ok()?;
        files.iter().any(|path| pattern.matches(path)).then(|| format!(" (known: {})", bad.note))
    };
    spec.known_bad.iter().filter_map(note).collect()
}
