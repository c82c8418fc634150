//! The stage `build`: from downloads to the tables `cases`, `slices`, `masks` and `files`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::change::{admit, finish};
use super::parked::take_in;
use super::work::{Divided, OpenWork, Unit, open_shards};
use super::{Error, Existing, Outdated, Progress, Result, side_by_side};
use crate::bucket::is_url;
use crate::fault::{Fault, HEAD_BYTES, pointer};
use crate::memory::Budget;
use crate::projection;
use crate::raw::{DigestCache, Member, Tree};
use crate::slices::{self, placement::Placement};
use crate::sources::{FileUse, NearMiss, Scan, hide_persons, near_misses, read_lists, scan_below, settle};
use crate::spec::Registry;
use crate::store::{CaseStatus, Dataset, Shard, ShardState, Stage, Table, Verify, noted};

mod files;
mod report;
mod rows;
mod shards;

pub(super) use files::{NO_SOURCE, planned_files};
pub use report::{BuildReport, SourceReport};
use report::{placement_count, report, unclaimed};
pub(super) use shards::{Digests, UNDONE, shards, write_shard};
use shards::{Work, not_read};

/// Options of the build.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// How slices are made.
    pub slices: slices::Options,
    /// What happens to slices and masks that were built with other options.
    pub existing: Existing,
    /// What happens to shards that are not done.
    pub open_work: OpenWork,
    /// Stop at the first case that fails, or whose masks were paired by index against their headers.
    pub strict: bool,
    /// Memory that the files of cases may take.
    pub budget: Budget,
}

/// Builds the sources that `registry` knows and `raw` holds into the dataset at `path`.
///
/// ```
/// use medcosmos::demo::write;
/// use medcosmos::image::{Geometry, Image, Samples};
/// use medcosmos::pipeline::{BuildOptions, Progress, build};
/// use medcosmos::spec::Registry;
///
/// let folder = tempfile::tempdir()?;
/// let [raw, data] = ["raw", "data"].map(|name| folder.path().join(name));
/// let patient = raw.join("training/patient001");
/// std::fs::create_dir_all(&patient)?;
/// // A frame of a patient of ACDC: 40 x 36 x 2 voxels, the left half of them in the left ventricle.
/// let volume = |samples| Image {
///     size: [40, 36, 2, 1],
///     geometry: Some(Geometry::from_spacing([1.5, 1.5, 8.0])),
///     ..Image::picture(40, 72, 1, samples)
/// };
/// let labels = (0..40 * 72).map(|i| if i % 40 < 20 { 3 } else { 0 }).collect();
/// write::image(&patient.join("patient001_frame01.nii.gz"), &volume(Samples::I16(vec![100; 40 * 72])))?;
/// write::image(&patient.join("patient001_frame01_gt.nii.gz"), &volume(Samples::U8(labels)))?;
///
/// let report = build(&raw, &data, &Registry::built_in()?, &BuildOptions::default(), &Progress::new(true))?;
/// let acdc = &report.sources["acdc"];
/// assert_eq!((acdc.cases, acdc.slices, acdc.masks), (1, 2, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What stops the whole stage: a raw folder or dataset that cannot be used, nothing to build, the disk. Cases fail
/// alone.
pub fn build(
    raw: &Path,
    path: &Path,
    registry: &Registry,
    options: &BuildOptions,
    progress: &Progress,
) -> Result<BuildReport> {
    let (tree, mut found) = scan_downloads(raw, path, registry, options)?;
    let dataset = Dataset::create(path)?;
    let _lock = dataset.lock()?;
    let fetched = dataset.fetch_digests()?;
    let mut cache = DigestCache::load(&dataset.digest_cache());
    let Prepared { digests, unread, .. } = prepare(&tree, &mut found, registry, Some(&mut cache), progress);
    save(&cache);
    let work = shards(&tree, &found, registry, options, &digests)?;
    let planned = Planned::new(&dataset, (&tree, &digests), work, options);
    options.open_work.check(&planned)?;
    let replaced = planned.replaced()?;

    let before = built_cases(&dataset);
    let outcome = match &options.open_work {
        OpenWork::Run => planned.write(0..planned.work.len(), progress),
        OpenWork::Refuse(_) => planned.done(),
    };
    cache.forget_contradicted(&tree);
    save(&cache);
    dataset.share_digests(fetched.as_deref())?;
    let written = outcome?;
    let done = written.iter().filter(|(_, written)| *written).count();
    let files = planned_files(&tree, &found, registry)?;
    for files in &files {
        if !matches!(dataset.state(&files.shard, Verify::Quick)?, ShardState::Done(_)) {
            files.write(&dataset)?;
        }
    }
    let files = files.into_iter().map(|files| files.shard);
    // Those of cases that were left undone are others than planned.
    let reused = written.len() - done;
    let expected: Vec<Shard> = written.into_iter().map(|(shard, _)| shard).chain(files).collect();
    let mut outdated = finish(&dataset, &expected, noted(&dataset, Stage::Build.name(), &options.slices)?)?;
    take_in(&dataset, &mut outdated)?;
    let mut report = report(&dataset, &found, registry)?;
    report.problems = tree.problems().iter().map(|p| (p.path.clone(), p.reason.clone())).collect();
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    report.problems.extend(unread.into_iter().map(|(file, reason)| (paths[file].to_string(), reason)));
    report.links = tree.links().to_vec();
    report.unclaimed = unclaimed(&found, &paths);
    report.near = near_misses(registry, &found, tree.name(), &paths);
    let after = built_cases(&dataset);
    report.lost = before.difference(&after).cloned().collect();
    report.outdated = Outdated { replaced, ..outdated };
    report.chosen = registry.chosen().map(<[String]>::to_vec);
    (report.shards_done, report.shards_reused) = (done, reused);
    Ok(report)
}

/// Hands the dataset and the work of a build to `with`, for an engine that does it. The dataset is created where it is
/// not there.
///
/// # Errors
/// As [`build`].
pub fn divided_build<T>(
    raw: &Path,
    path: &Path,
    registry: &Registry,
    options: &BuildOptions,
    progress: &Progress,
    with: impl FnOnce(&Dataset, &dyn Divided) -> T,
) -> Result<T> {
    let (tree, mut found) = scan_downloads(raw, path, registry, options)?;
    let dataset = Dataset::create(path)?;
    let _lock = dataset.lock_shared()?;
    let fetched = dataset.fetch_digests()?;
    let mut cache = DigestCache::load(&dataset.digest_cache());
    let digests = prepare(&tree, &mut found, registry, Some(&mut cache), progress).digests;
    save(&cache);
    dataset.share_digests(fetched.as_deref())?;
    let work = shards(&tree, &found, registry, options, &digests)?;
    Ok(with(&dataset, &Planned::new(&dataset, (&tree, &digests), work, options)))
}

/// Opens the downloads and recognises their sources.
fn scan_downloads(raw: &Path, path: &Path, registry: &Registry, options: &BuildOptions) -> Result<(Tree, Scan)> {
    let tree = Tree::open_within(raw, &options.budget)?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let found = scan_below(registry, tree.name(), &paths);
    if found.sources.is_empty() {
        let reason = nothing_found(&tree, registry, &near_misses(registry, &found, tree.name(), &paths), raw);
        return Err(Error::Nothing { path: raw.to_path_buf(), reason });
    }
    refuse_inside(raw, path)?;
    Ok((tree, found))
}

/// Bytes of downloads that a core reads, cuts and writes in a second, about; most of it is spent on gzip.
const BYTES_PER_SECOND: f64 = 20e6;

/// A build whose shards are known.
struct Planned<'a> {
    dataset: &'a Dataset,
    raw: (&'a Tree, &'a Digests),
    work: Vec<Work<'a>>,
    options: &'a BuildOptions,
    units: Vec<Unit>,
}

impl<'a> Planned<'a> {
    fn new(dataset: &'a Dataset, raw: (&'a Tree, &'a Digests), work: Vec<Work<'a>>, options: &'a BuildOptions) -> Self {
        let bytes = |work: &Work| -> u64 {
            let files = work.cases.iter().flat_map(|case| case.files());
            files.map(|file| raw.0.members()[file].size).sum()
        };
        let unit = |work: &Work| Unit {
            key: work.shard.id().to_string(),
            about: format!("{} cases from {}", work.cases.len(), work.cases[0].id),
            seconds: bytes(work) as f64 / BYTES_PER_SECOND,
        };
        let units = work.iter().map(unit).collect();
        Planned { dataset, raw, work, options, units }
    }

    /// Writes those of the shards that are not done, the longest first. Returns all of them in their order, and whether
    /// they were written now. Where cases are left undone, a shard is another than planned.
    fn write(&self, shards: Range<usize>, progress: &Progress) -> Result<Vec<(Shard, bool)>> {
        progress.begin("build", "cases", self.work[shards.clone()].iter().map(|w| w.cases.len() as u64).sum());
        let seen = self.dataset.seen(self.work[shards.clone()].iter().map(|work| &work.shard))?;
        let mut longest_first: Vec<usize> = shards.collect();
        longest_first.sort_by(|&a, &b| self.units[b].seconds.total_cmp(&self.units[a].seconds));
        // Threads that have no shard of their own left help with the cases of those that begin.
        let unfinished = AtomicUsize::new(longest_first.len());
        let outcome = side_by_side(&longest_first, |scratch, &at| {
            let workers = rayon::current_num_threads() / unfinished.load(Ordering::Relaxed).max(1);
            let written = self.write_one(at, &seen, (scratch, workers), progress)?;
            unfinished.fetch_sub(1, Ordering::Relaxed);
            Ok((at, written))
        });
        progress.end();
        let mut written = outcome?;
        written.sort_by_key(|(at, _)| *at);
        Ok(written.into_iter().map(|(_, written)| written).collect())
    }

    fn write_one(
        &self,
        at: usize,
        seen: &Dataset,
        workers: (&mut slices::Scratch, usize),
        progress: &Progress,
    ) -> Result<(Shard, bool)> {
        let work = &self.work[at];
        if let ShardState::Done(receipt) = seen.state(&work.shard, Verify::Quick)? {
            // A strict run must not pass over failures that an earlier run left behind.
            let doubtful = ["case_failed".to_string(), placement_count(Placement::Shifted)];
            if !(self.options.strict && doubtful.iter().any(|count| receipt.counts.contains_key(count))) {
                progress.advance(work.cases.len() as u64);
                return Ok((work.shard.clone(), false));
            }
        }
        let receipt = write_shard(work, self.raw, self.dataset, self.options, workers, progress)?;
        Ok((Shard::new(Stage::Build, work.shard.partition().clone(), receipt.key), true))
    }

    /// Rows of earlier builds that this one replaces, where it may.
    fn replaced(&self) -> Result<BTreeMap<Table, u64>> {
        let shards: Vec<Shard> = self.work.iter().map(|work| work.shard.clone()).collect();
        admit(self.dataset, &shards, &["options"], &[], self.options.existing)
    }

    /// The shards as an engine left them: as planned, or without cases that could not be read.
    fn done(&self) -> Result<Vec<(Shard, bool)>> {
        let (mut done, mut open) = (Vec::new(), 0);
        let seen = self.dataset.seen(self.work.iter().map(|work| &work.shard))?;
        for work in &self.work {
            match seen.state(&work.shard, Verify::Quick)? {
                ShardState::Done(_) => done.push((work.shard.clone(), false)),
                _ => match seen.finished_with(&work.shard, UNDONE)? {
                    Some(receipt) => {
                        let partition = work.shard.partition().clone();
                        done.push((Shard::new(Stage::Build, partition, receipt.key), false));
                    }
                    None => open += 1,
                },
            }
        }
        match open {
            0 => Ok(done),
            open => Err(Error::Open { dataset: self.dataset.path().to_path_buf(), stage: Stage::Build, open }),
        }
    }
}

impl Divided for Planned<'_> {
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
        let written = self.write(units, progress)?;
        let undone: Vec<&str> = written.iter().filter_map(|(shard, _)| shard.key().get(UNDONE)).collect();
        if undone.is_empty() { Ok(()) } else { Err(Error::Undone { reason: undone.join("; ") }) }
    }
}

/// Ids of the cases that the dataset has slices of, as far as they can be read.
fn built_cases(dataset: &Dataset) -> BTreeSet<String> {
    let rows = dataset.rows::<CaseState>().into_iter().flatten().flatten();
    rows.filter(|case| case.status == CaseStatus::Ok).map(|case| case.case_id).collect()
}

projection! {
    /// How it went with a case.
    struct CaseState of Cases { case_id: String, status: CaseStatus }
}

/// Stores the digests for the next run, which does without them where that is not possible.
fn save(cache: &DigestCache) {
    if let Err(error) = cache.save() {
        tracing::warn!("cannot store digests for the next run: {error}");
    }
}

/// Refuses a dataset folder below the folder of downloads.
fn refuse_inside(raw: &Path, dataset: &Path) -> Result<()> {
    if is_url(raw) || is_url(dataset) {
        return match is_url(raw) && dataset.starts_with(raw) {
            true => Err(Error::InsideRaw { dataset: dataset.to_path_buf(), raw: raw.to_path_buf() }),
            false => Ok(()),
        };
    }
    // The dataset's folder need not be there yet: the nearest one above it that is decides.
    let path = std::path::absolute(dataset).unwrap_or_else(|_| dataset.to_path_buf());
    let there = path.ancestors().find_map(|folder| folder.canonicalize().ok());
    match (raw.canonicalize(), there) {
        (Ok(downloads), Some(folder)) if downloads.is_dir() && folder.starts_with(&downloads) => {
            Err(Error::InsideRaw { dataset: dataset.to_path_buf(), raw: raw.to_path_buf() })
        }
        _ => Ok(()),
    }
}

fn nothing_found(tree: &Tree, registry: &Registry, near: &[NearMiss], raw: &Path) -> String {
    let specs = registry.specs().len();
    let (files, problems) = (tree.members().len(), tree.problems());
    let mut reason = match files {
        0 => "the folder contains no files".to_string(),
        _ => format!(
            "none of the {files} files match the {specs} source(s); `medcosmos sources show SLUG` shows the folder \
             structure of a source"
        ),
    };
    for near in near {
        reason.push_str(&format!(
            "\n  {}: `medcosmos sources check {} --raw {}`",
            near.says,
            near.source,
            raw.display()
        ));
    }
    for problem in problems.iter().take(5) {
        reason.push_str(&format!("\n  {}: {}", problem.path, problem.reason));
    }
    reason
}

/// A scan whose files are read, except for the pixels.
pub(super) struct Prepared {
    pub(super) digests: Digests,
    /// Lists that could not be read, and why.
    pub(super) unread: Vec<(usize, String)>,
}

/// Reads the files of a scan: copies are told from what only has the same name, its cases get what lists say of
/// them, and pseudonyms where they are named as persons.
pub(super) fn prepare(
    tree: &Tree,
    found: &mut Scan,
    registry: &Registry,
    mut cache: Option<&mut DigestCache>,
    progress: &Progress,
) -> Prepared {
    settle(found, registry, tree, cache.as_deref_mut());
    let lists = RefCell::new(BTreeMap::new());
    let unread = read_lists(found, registry, |file| {
        let read = tree.read_text(&tree.members()[file]).map_err(|error| not_read(&error));
        read.inspect_err(|reason| drop(lists.borrow_mut().insert(file, reason.clone())))
    });
    let mut digests = digest_members(tree, found, cache, progress);
    // Whether or not it has a digest: its cases lack what it says of them.
    lists.into_inner().into_iter().for_each(|(file, reason)| digests[file] = Some(Err(reason)));
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    hide_persons(found, registry, &paths, |file| digests[file].as_ref()?.as_deref().ok());
    Prepared { digests, unread }
}

/// Digests of every file that a case uses.
fn digest_members(tree: &Tree, found: &Scan, cache: Option<&mut DigestCache>, progress: &Progress) -> Digests {
    let used: Vec<usize> = (0..found.files.len()).filter(|&f| matches!(found.files[f], FileUse::Used { .. })).collect();
    let members: Vec<&Member> = used.iter().map(|&f| &tree.members()[f]).collect();
    progress.begin("digests", "files", members.len() as u64);
    let results = tree.digests(&members, cache);
    progress.end();
    let mut digests: Digests = vec![None; tree.members().len()];
    for (file, result) in used.into_iter().zip(results) {
        digests[file] = Some(result.map_err(|error| match error.reason.fault() {
            Fault::Unreadable => not_read(&error),
            _ => error.to_string(),
        }));
        let member = &tree.members()[file];
        if member.size <= HEAD_BYTES as u64
            && let Some(looks) = tree.peek(member).ok().and_then(|bytes| pointer(&bytes))
        {
            digests[file] = Some(Err(format!("{}: the file is {}{}", member.path, looks.what, looks.advice)));
        }
    }
    digests
}
