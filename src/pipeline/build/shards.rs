//! The shards of a build: planning and writing.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::BuildOptions;
use super::rows::{SliceRows, case_row, push_case, slice_rows};
use crate::digest::canonical_json;
use crate::pipeline::{Error, Progress, Result};
use crate::raw::Tree;
use crate::slices::placement::Placement;
use crate::slices::{self, CaseSlices};
use crate::sources::{Case, CaseState, Scan};
use crate::spec::pattern::Pattern;
use crate::spec::{KnownBad, Registry, Spec};
use crate::store::{CaseStatus, Dataset, Partition, Receipt, Shard, ShardKey, Stage};
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

/// Writes a shard into a dataset: a row of each of its cases, and the slices and masks of those that can be cut.
///
/// Cases that could not be read this time are undone: the receipt is that of another shard, whose key names them with
/// their reasons. The planned one stays missing, so that the next run does it.
///
/// # Errors
/// The disk, and with `strict` the first case that fails. Else cases fail alone.
pub(in crate::pipeline) fn write_shard(
    work: &Work,
    (tree, digests): (&Tree, &Digests),
    dataset: &Dataset,
    options: &BuildOptions,
    scratch: &mut slices::Scratch,
    progress: &Progress,
) -> Result<Receipt> {
    let mut writer = dataset.begin(&work.shard);
    let mut undone: BTreeMap<&str, String> = BTreeMap::new();
    for case in &work.cases {
        let mut row = case_row(case, work.release, tree, digests);
        let unread = case.files().find_map(|f| match &digests[f] {
            Some(Err(reason)) => Some(reason.clone()),
            _ => None,
        });
        let outcome = match (&case.state, unread) {
            (CaseState::Skipped(reason), _) => Outcome::Skipped(reason.clone()),
            (CaseState::Ambiguous(reason), _) => Outcome::Failed(reason.clone()),
            (CaseState::Complete, Some(reason)) => Outcome::Failed(format!("{reason}{}", known(case, work.spec, tree))),
            (CaseState::Complete, None) => match slices::cut(case, work.spec, tree, &options.slices, scratch) {
                Ok(mut cut) => match slice_rows(work.spec, case, std::mem::take(&mut cut.slices)) {
                    Ok(rows) => Outcome::Cut(Box::new(cut), rows),
                    Err(reason) => Outcome::Failed(reason),
                },
                Err(error @ slices::Error::Unlabelled { .. }) => Outcome::Skipped(error.to_string()),
                Err(error) if error.is_passing() => {
                    let reason = case.public(&not_read(&error));
                    undone.insert(&case.id, reason.clone());
                    Outcome::Failed(reason)
                }
                Err(error) => Outcome::Failed(format!("{error}{}", known(case, work.spec, tree))),
            },
        };
        match outcome {
            Outcome::Cut(cut, _) if options.strict && cut.placement == Placement::Shifted => {
                let reason = cut.notes.join("; ");
                return Err(Error::Strict { case: case.id.clone(), reason });
            }
            Outcome::Cut(cut, rows) => push_case(&mut writer, row, case, *cut, rows)?,
            Outcome::Skipped(reason) => {
                writer.count("case_skipped", 1);
                (row.status, row.reason) =
                    (CaseStatus::Skipped, Some(printable_line(&case.public(&reason)).into_owned()));
                writer.push(row)?;
            }
            Outcome::Failed(reason) => {
                if options.strict {
                    return Err(Error::Strict { case: case.id.clone(), reason });
                }
                progress.say(&format!("failed: {}: {}", case.id, printable_line(&reason)));
                writer.count("case_failed", 1);
                (row.status, row.reason) =
                    (CaseStatus::Failed, Some(printable_line(&case.public(&reason)).into_owned()));
                writer.push(row)?;
            }
        }
        progress.advance(1);
    }
    Ok(match undone.is_empty() {
        true => writer.finish()?,
        false => writer.finish_as(work.shard.key().clone().with_json(UNDONE, &undone))?,
    })
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

enum Outcome {
    /// What was cut, with the rows of its slices.
    Cut(Box<CaseSlices>, SliceRows),
    Skipped(String),
    Failed(String),
}
