//! The first stage: raw downloads to the tables `cases`, `slices`, `masks` and `files`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::{Error, MEASURES, Progress, Result, discard_outdated};
use crate::mask::Connectivity;
use crate::raw::{DigestCache, Member, Tree};
use crate::slices::{self, CaseSlices, ObjectMask, Slice};
use crate::sources::{Case, CaseState, FileUse, Scan, file_safe, read_lists, scan};
use crate::spec::pattern::Pattern;
use crate::spec::{KnownBad, Registry, Spec};
use crate::store::{
    CaseRow, Dataset, EncodedImage, FileRow, MaskRow, Partition, RawMember, Rle, Row, Shard, ShardKey, ShardState,
    ShardWriter, SliceRow, SourceRow, Verify, commit, discard_stale,
};

/// Cases go into shards in the order of their ids, until a shard has this many …
const SHARD_CASES: usize = 64;
/// … or this many raw bytes: small enough to spread over threads and hosts, large enough to keep files few.
const SHARD_BYTES: u64 = 512 << 20;
/// Source name of the partition of files that no source claims.
const NO_SOURCE: &str = "unclaimed";

/// Options of the build.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// How slices are made.
    pub slices: slices::Options,
    /// Stop at the first case that fails.
    pub strict: bool,
}

/// What a build did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BuildReport {
    /// By source, in alphabetical order.
    pub sources: BTreeMap<String, SourceReport>,
    /// Files that no source claims.
    pub unclaimed: Vec<String>,
    /// Archives and files that could not be looked into, with the reason.
    pub problems: Vec<(String, String)>,
    /// Shards that were done before.
    pub shards_reused: usize,
    /// Shards that were done now.
    pub shards_done: usize,
}

/// What a build did with one source.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceReport {
    /// Release that was recognised.
    pub release: String,
    /// Cases that gave slices.
    pub cases: u64,
    /// Slices kept.
    pub slices: u64,
    /// Masks kept.
    pub masks: u64,
    /// Slices without any object.
    pub empty_slices: u64,
    /// Slices whose objects were all too small.
    pub dropped_slices: u64,
    /// Masks that were too small.
    pub dropped_masks: u64,
    /// Cases left out, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Cases that failed, with the reason.
    pub failed: Vec<(String, String)>,
    /// Files that cases use.
    pub files_used: u64,
    /// Files not used by any case.
    pub files_skipped: u64,
}

impl BuildReport {
    /// True where every case that was found was built, and every archive could be read.
    pub fn clean(&self) -> bool {
        self.problems.is_empty() && self.sources.values().all(|s| s.failed.is_empty())
    }
}

/// A shard and the cases in it.
struct Work<'a> {
    shard: Shard,
    spec: &'a Spec,
    release: &'a str,
    cases: Vec<&'a Case>,
}

/// Digest of each member of the tree that a case uses, or why it could not be read.
type Digests = Vec<Option<std::result::Result<String, String>>>;

/// Builds the sources that `registry` knows and `raw` holds into the dataset at `path`.
///
/// # Errors
/// What stops the whole stage: a raw folder or dataset that cannot be used, nothing to build, the disk. Cases fail alone.
pub fn build(
    raw: &Path,
    path: &Path,
    registry: &Registry,
    options: &BuildOptions,
    progress: &Progress,
) -> Result<BuildReport> {
    let tree = Tree::open(raw)?;
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let mut found = scan(registry, &paths);
    if found.sources.is_empty() {
        return Err(Error::Nothing { path: raw.to_path_buf(), reason: nothing_found(&tree, registry) });
    }
    let unread = read_lists(&mut found, registry, |file| tree.read(&tree.members()[file]).map_err(|e| e.to_string()));
    refuse_inside(raw, path)?;
    let dataset = Dataset::create(path)?;
    dataset.record_options("build", &options.slices)?;
    let digests = digest_members(&tree, &found, &dataset, progress);
    let work = shards(&tree, &found, registry, options, &digests)?;

    let cases: u64 = work.iter().map(|w| w.cases.len() as u64).sum();
    progress.begin("build", "cases", cases);
    let (stop, done, reused) = (AtomicBool::new(false), Mutex::new(0), Mutex::new(0));
    let outcome: Result<()> = work.par_iter().try_for_each(|work| {
        if let ShardState::Done(receipt) = dataset.state(&work.shard, Verify::Quick)? {
            // A strict run must not pass over failures that an earlier run left behind.
            if !(options.strict && receipt.counts.contains_key("case_failed")) {
                *lock(&reused) += 1;
                progress.advance(work.cases.len() as u64);
                return Ok(());
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let written = write_shard(work, &tree, &dataset, options, &digests, progress);
        if written.is_err() {
            stop.store(true, Ordering::Relaxed);
        } else {
            *lock(&done) += 1;
        }
        written
    });
    progress.end();
    outcome?;
    let files = write_files(&tree, &found, registry, &dataset)?;
    let expected: Vec<Shard> = work.iter().map(|w| w.shard.clone()).chain(files).collect();
    discard_stale(&dataset, &expected)?;
    discard_outdated(&dataset, MEASURES)?;
    commit(&dataset, &expected, Verify::Quick)?;
    let mut report = report(&dataset, &found)?;
    report.problems = tree.problems().iter().map(|p| (p.path.clone(), p.reason.clone())).collect();
    report.problems.extend(unread.into_iter().map(|(file, reason)| (paths[file].to_string(), reason)));
    report.unclaimed = unclaimed(&found, &paths);
    (report.shards_done, report.shards_reused) = (*lock(&done), *lock(&reused));
    Ok(report)
}

/// Refuses a dataset folder below the folder of downloads.
fn refuse_inside(raw: &Path, dataset: &Path) -> Result<()> {
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn nothing_found(tree: &Tree, registry: &Registry) -> String {
    let specs = registry.specs().len();
    let (files, problems) = (tree.members().len(), tree.problems());
    let mut reason = match files {
        0 => "no file is in it".to_string(),
        _ => format!(
            "none of its {files} files fits the {specs} source(s) looked for; `medcosmos sources show SLUG` draws the tree that a source should have"
        ),
    };
    for problem in problems.iter().take(5) {
        reason.push_str(&format!("\n  {}: {}", problem.path, problem.reason));
    }
    reason
}

/// Digests of every file that a case uses.
fn digest_members(tree: &Tree, found: &Scan, dataset: &Dataset, progress: &Progress) -> Digests {
    let used: Vec<usize> = (0..found.files.len()).filter(|&f| matches!(found.files[f], FileUse::Used { .. })).collect();
    let members: Vec<&Member> = used.iter().map(|&f| &tree.members()[f]).collect();
    progress.begin("digests", "files", members.len() as u64);
    let mut cache = DigestCache::load(&dataset.digest_cache());
    let results = tree.digests(&members, Some(&mut cache));
    if let Err(error) = cache.save() {
        tracing::warn!("digests are not kept for the next run: {error}");
    }
    progress.end();
    let mut digests: Digests = vec![None; tree.members().len()];
    for (file, result) in used.into_iter().zip(results) {
        digests[file] = Some(result.map_err(|e| e.to_string()));
    }
    digests
}

/// The shards of a build: they depend on the files, the specs and the options, and on nothing else.
fn shards<'a>(
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
            }
            let key = shard_key(tree, spec, &source.release, &taken, options, digests);
            let shard = Shard::new("build", Partition::source(&source.slug)?, key)?;
            work.push(Work { shard, spec, release: &source.release, cases: taken });
        }
    }
    Ok(work)
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
            None => "not used".into(),
        };
        format!("{} {digest}", tree.members()[f].path)
    };
    let described = cases.iter().map(|case| {
        let files: Vec<String> = case.files().map(file).collect();
        format!("{} {:?} {}", case.id, case.state, files.join(" "))
    });
    let key = ShardKey::new().with("release", release).with("spec", spec.digest());
    let options = serde_json::to_string(&options.slices).expect("options are plain data");
    key.with("options", options).with("first", &cases[0].id).with_digest_of("cases", described)
}

fn write_shard(
    work: &Work,
    tree: &Tree,
    dataset: &Dataset,
    options: &BuildOptions,
    digests: &Digests,
    progress: &Progress,
) -> Result<()> {
    let mut writer = dataset.begin(&work.shard);
    for case in &work.cases {
        let mut row = case_row(case, work.release, tree, digests);
        let unread = case.files().find_map(|f| match &digests[f] {
            Some(Err(reason)) => Some(reason.clone()),
            _ => None,
        });
        let outcome = match (&case.state, unread) {
            (CaseState::Skipped(reason), _) => Outcome::Skipped(reason.clone()),
            (CaseState::Complete, Some(reason)) => Outcome::Failed(format!("{reason}{}", known(case, work.spec, tree))),
            (CaseState::Complete, None) => match slices::cut(case, work.spec, tree, &options.slices) {
                Ok(slices) => Outcome::Cut(slices),
                Err(error @ slices::Error::Unlabelled { .. }) => Outcome::Skipped(error.to_string()),
                Err(error) => Outcome::Failed(format!("{error}{}", known(case, work.spec, tree))),
            },
        };
        match outcome {
            Outcome::Cut(cut) => push_case(&mut writer, case, row, cut)?,
            Outcome::Skipped(reason) => {
                writer.count("case_skipped", 1);
                (row.status, row.reason) = ("skipped".into(), Some(reason));
                writer.push(row)?;
            }
            Outcome::Failed(reason) => {
                if options.strict {
                    return Err(Error::Strict { case: case.id.clone(), reason });
                }
                progress.say(&format!("failed: {}: {reason}", case.id));
                writer.count("case_failed", 1);
                (row.status, row.reason) = ("failed".into(), Some(reason));
                writer.push(row)?;
            }
        }
        progress.advance(1);
    }
    writer.finish()?;
    Ok(())
}

/// What is known to be wrong with the files of a case, to be put behind an error.
fn known(case: &Case, spec: &Spec, tree: &Tree) -> String {
    let files: Vec<&str> = case.files().map(|file| tree.members()[file].path.as_str()).collect();
    let note = |bad: &KnownBad| {
        let pattern = Pattern::new(&bad.path, spec.ignore_case).ok()?;
        files.iter().any(|path| pattern.matches(path)).then(|| format!(" (this is known: {})", bad.note))
    };
    spec.known_bad.iter().filter_map(note).collect()
}

enum Outcome {
    Cut(CaseSlices),
    Skipped(String),
    Failed(String),
}

/// The row of a case before anything is known of its pixels.
fn case_row(case: &Case, release: &str, tree: &Tree, digests: &Digests) -> CaseRow {
    let member = |&file: &usize, role: &str| RawMember {
        path: tree.members()[file].path.clone(),
        size: tree.members()[file].size,
        sha256: match &digests[file] {
            Some(Ok(digest)) => digest.clone(),
            _ => String::new(),
        },
        role: role.into(),
    };
    let image = case.image.iter().map(|f| member(f, "image"));
    let masks = case.masks.iter().flat_map(|m| &m.files).map(|f| member(f, "mask"));
    let data = case.companions.iter().map(|f| member(f, "data"));
    let lists = case.lists.iter().map(|l| member(&l.file, "list"));
    CaseRow {
        case_id: case.id.clone(),
        source: case.source.clone(),
        release: Some(release.to_string()),
        patient_id: case.patient.clone(),
        split: case.split.clone(),
        sequence: Some(case.sequence.clone()),
        modality: case.modality.clone(),
        raw: image.chain(masks).chain(data).chain(lists).collect(),
        shape: Vec::new(),
        dtype: None,
        spacing: None,
        orientation: None,
        plane: None,
        n_slices: 0,
        kept: 0,
        dropped_slices: 0,
        dropped_masks: 0,
        status: "ok".into(),
        reason: None,
        notes: Vec::new(),
    }
}

fn push_case(writer: &mut ShardWriter, case: &Case, mut row: CaseRow, cut: CaseSlices) -> Result<()> {
    row.shape = cut.shape;
    row.dtype = Some(cut.dtype.into());
    row.spacing = cut.spacing.map(|s| s.to_vec());
    row.orientation = cut.orientation;
    row.plane = Some(cut.plane.clone());
    row.n_slices = cut.n_slices;
    row.kept = cut.slices.len() as u32;
    row.dropped_slices = cut.dropped_slices;
    row.dropped_masks = cut.dropped_masks;
    row.notes = cut.notes;
    if cut.slices.is_empty() {
        row.status = "skipped".into();
        row.reason = Some("no slice has an object that is large enough".into());
    }
    writer.count(if cut.slices.is_empty() { "case_skipped" } else { "case" }, 1);
    writer.count("slice_empty", cut.empty_slices as u64);
    writer.count("slice_dropped_small", cut.dropped_slices as u64);
    writer.count("mask_dropped_small", cut.dropped_masks as u64);
    writer.push(row)?;
    for slice in cut.slices {
        let (slice, mut masks) = slice_rows(case, &cut.plane, slice);
        writer.push(slice)?;
        masks.sort_by(|a, b| a.mask_id.cmp(&b.mask_id));
        for mask in masks {
            writer.push(mask)?;
        }
    }
    Ok(())
}

fn slice_rows(case: &Case, plane: &str, slice: Slice) -> (SliceRow, Vec<MaskRow>) {
    let slice_id = format!("{}/{}", case.id, slice.name);
    let masks = slice.masks.iter().map(|object| mask_row(case, &slice_id, slice.spacing, object)).collect();
    let row = SliceRow {
        case_id: case.id.clone(),
        source: case.source.clone(),
        patient_id: case.patient.clone(),
        split: case.split.clone(),
        modality: case.modality.clone(),
        plane: plane.to_string(),
        slice_index: slice.index,
        frame: slice.frame,
        height: slice.height,
        width: slice.width,
        channels: slice.channels,
        spacing_row_mm: slice.spacing.map(|s| s.0),
        spacing_col_mm: slice.spacing.map(|s| s.1),
        intensity_min: slice.intensity_min,
        intensity_max: slice.intensity_max,
        image: EncodedImage { bytes: slice.png.into(), path: format!("{slice_id}.png") },
        pixels_sha256: slice.pixels_sha256,
        perceptual_hash: slice.perceptual_hash,
        thumbnail: slice.thumbnail.into(),
        slice_id,
    };
    (row, masks)
}

/// `<slice>/<label>`, then `-<instance>` and `@<rater>` where there are several: instances are padded, so that they sort
/// as they count.
fn mask_id(slice_id: &str, object: &ObjectMask) -> String {
    let mut id = format!("{slice_id}/{}", file_safe(&object.label.name));
    if let Some(instance) = object.instance {
        id.push_str(&format!("-{instance:05}"));
    }
    if let Some(rater) = object.rater.as_deref().filter(|_| object.rater_rank > 0) {
        id.push_str(&format!("@{}", file_safe(rater)));
    }
    id
}

fn mask_row(case: &Case, slice_id: &str, spacing: Option<(f64, f64)>, object: &ObjectMask) -> MaskRow {
    let mask = &object.mask;
    let area = mask.area();
    let (centroid_x, centroid_y) = mask.centroid().unwrap_or_default();
    MaskRow {
        mask_id: mask_id(slice_id, object),
        slice_id: slice_id.to_string(),
        case_id: case.id.clone(),
        patient_id: case.patient.clone(),
        source: case.source.clone(),
        modality: case.modality.clone(),
        object: object.label.object.clone(),
        target: format!("{}-{}", object.label.object, case.modality),
        label_value: object.label_value.clone(),
        label_name: object.label.name.clone(),
        laterality: object.label.laterality.clone(),
        instance: object.instance,
        rater: object.rater.clone(),
        excluded: object.label.exclude.is_some(),
        exclusion_reason: object.label.exclude.clone(),
        area_px: area as u32,
        area_mm2: spacing.map(|(row, column)| area as f64 * row * column),
        bbox: mask.bounding_box().unwrap_or_default(),
        centroid_x,
        centroid_y,
        components: mask.component_count(Connectivity::Eight),
        touches_border: mask.touches_border(),
        mask: Rle { size: [mask.height(), mask.width()], counts: mask.to_coco().into() },
    }
}

/// The tables of sources and files: what each source is, and what became of every member of the tree. One shard for each
/// source.
fn write_files(tree: &Tree, found: &Scan, registry: &Registry, dataset: &Dataset) -> Result<Vec<Shard>> {
    let mut rows: BTreeMap<String, Vec<FileRow>> = BTreeMap::new();
    let mut add = |source: &str, path: &str, size: Option<u64>, status: &str, reason: Option<String>| {
        let source = source.to_string();
        let row = FileRow { path: path.into(), source: source.clone(), size, status: status.into(), reason };
        rows.entry(source).or_default().push(row);
    };
    for (member, file) in tree.members().iter().zip(&found.files) {
        let size = Some(member.size);
        match file {
            FileUse::Used { source } => add(source, &member.path, size, "used", None),
            FileUse::Skipped { source, reason } => add(source, &member.path, size, "skipped", Some(reason.clone())),
            FileUse::Unclaimed => {
                add(NO_SOURCE, &member.path, size, "skipped", Some("no source claims it".into()));
            }
        }
    }
    for ignored in tree.ignored() {
        add(NO_SOURCE, &ignored.path, None, "skipped", Some(ignored.reason.to_string()));
    }
    for problem in tree.problems() {
        add(NO_SOURCE, &problem.path, None, "failed", Some(problem.reason.clone()));
    }
    // Written even where it is empty, in place of what an earlier run found.
    rows.entry(NO_SOURCE.into()).or_default();
    for source in &found.sources {
        rows.entry(source.slug.clone()).or_default();
    }
    let mut shards = Vec::new();
    for (source, mut rows) in rows {
        let about = found.sources.iter().find(|s| s.slug == source);
        let about =
            about.map(|found| Ok::<_, Error>(source_row(registry.get(&found.slug)?, &found.release))).transpose()?;
        rows.sort_by(|a, b| a.compare(b).then_with(|| a.reason.cmp(&b.reason)));
        rows.dedup_by(|a, b| a.path == b.path);
        let described = rows.iter().map(|r| format!("{r:?}"));
        let key = ShardKey::new().with_digest_of("files", described).with_digest_of("source", [format!("{about:?}")]);
        let shard = Shard::new("files", Partition::source(&source)?, key)?;
        if !matches!(dataset.state(&shard, Verify::Quick)?, ShardState::Done(_)) {
            let mut writer = dataset.begin(&shard);
            if let Some(row) = about {
                writer.push(row)?;
            }
            for row in rows {
                writer.push(row)?;
            }
            writer.finish()?;
        }
        shards.push(shard);
    }
    Ok(shards)
}

fn source_row(spec: &Spec, release: &str) -> SourceRow {
    SourceRow {
        source: spec.slug.clone(),
        name: spec.name.clone(),
        release: Some(release.to_string()),
        home: spec.home.clone(),
        licence: spec.licence.id.clone(),
        terms: spec.licence.terms.clone(),
        share_derived: spec.licence.share_derived.text().into(),
        citation: spec.citation.clone(),
        spec_sha256: spec.digest(),
    }
}

/// Reads the outcome back from the dataset, so that a resumed run reports the whole and not its own part.
fn report(dataset: &Dataset, found: &Scan) -> Result<BuildReport> {
    let mut report = BuildReport::default();
    for source in &found.sources {
        let entry = report.sources.entry(source.slug.clone()).or_default();
        entry.release = source.release.clone();
        let used = |file: &&FileUse| matches!(file, FileUse::Used { source: s } if *s == source.slug);
        entry.files_used = found.files.iter().filter(used).count() as u64;
        let skipped = |file: &&FileUse| matches!(file, FileUse::Skipped { source: s, .. } if *s == source.slug);
        entry.files_skipped = found.files.iter().filter(skipped).count() as u64;
    }
    for receipt in dataset.receipts()? {
        let Some(entry) = report.sources.get_mut(&receipt.source).filter(|_| receipt.stage == "build") else {
            continue;
        };
        let count = |name: &str| receipt.counts.get(name).copied().unwrap_or(0);
        let rows = |table: &str| receipt.files.get(table).map_or(0, |f| f.rows);
        entry.cases += count("case");
        entry.slices += rows("slices");
        entry.masks += rows("masks");
        entry.empty_slices += count("slice_empty");
        entry.dropped_slices += count("slice_dropped_small");
        entry.dropped_masks += count("mask_dropped_small");
    }
    for row in dataset.rows::<CaseRow>()? {
        let row = row?;
        let Some(entry) = report.sources.get_mut(&row.source) else { continue };
        match row.status.as_str() {
            "skipped" => entry.skipped.push((row.case_id, row.reason.unwrap_or_default())),
            "failed" => entry.failed.push((row.case_id, row.reason.unwrap_or_default())),
            _ => {}
        }
    }
    Ok(report)
}

fn unclaimed(found: &Scan, paths: &[&str]) -> Vec<String> {
    let free = found.files.iter().zip(paths).filter(|(file, _)| **file == FileUse::Unclaimed);
    free.map(|(_, path)| path.to_string()).collect()
}
