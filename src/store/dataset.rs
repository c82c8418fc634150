//! A dataset: a folder of tables in shards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::audit::Problem;
use super::commit::needed_receipt;
use super::durable;
use super::error::{Error, Result};
use super::layout::{self, Partition, RECEIPTS};
use super::lock::WriteLock;
use super::manifest::{Manifest, ManifestShard};
use super::names::Stage;
use super::reader::{Rows, TableFile};
use super::root::Root;
use super::rows::{Projection, compare_ids};
use super::schema::{SCHEMA_VERSION, Table};
use super::shard::{Receipt, Shard, ShardState, ShardWriter, Verify};

/// An open dataset, in a folder or on object storage (`s3://bucket/prefix`). It holds a path and no state: any number of threads, processes and hosts may work on one dataset.
///
/// ```
/// use medcosmos::store::{Dataset, MaskRow};
///
/// # use medcosmos::demo::write;
/// # use medcosmos::image::{Geometry, Image, Samples};
/// # use medcosmos::pipeline::{BuildOptions, Progress, build};
/// # use medcosmos::spec::Registry;
/// # let folder = tempfile::tempdir()?;
/// # let [raw, data] = ["raw", "data"].map(|name| folder.path().join(name));
/// # let patient = raw.join("training/patient001");
/// # std::fs::create_dir_all(&patient)?;
/// # // A frame of a patient of ACDC: 40 x 36 x 2 voxels, the left half of them in the left ventricle.
/// # let volume = |samples| Image {
/// #     size: [40, 36, 2, 1],
/// #     geometry: Some(Geometry::from_spacing([1.5, 1.5, 8.0])),
/// #     ..Image::picture(40, 72, 1, samples)
/// # };
/// # let labels = (0..40 * 72).map(|i| if i % 40 < 20 { 3 } else { 0 }).collect();
/// # write::image(&patient.join("patient001_frame01.nii.gz"), &volume(Samples::I16(vec![100; 40 * 72])))?;
/// # write::image(&patient.join("patient001_frame01_gt.nii.gz"), &volume(Samples::U8(labels)))?;
/// # build(&raw, &data, &Registry::built_in()?, &BuildOptions::default(), &Progress::new(true))?;
/// let dataset = Dataset::open(&data)?; // a folder that `build` wrote
/// for row in dataset.rows::<MaskRow>()? {
///     let row = row?;
///     let mask = row.mask.decode(&row.mask_id)?;
///     assert_eq!((row.target.as_str(), mask.area()), ("left ventricle-Cine-MRI", 20 * 36));
/// }
/// # assert_eq!(dataset.rows::<MaskRow>()?.count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    root: Root,
}

/// `dataset.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Options of stages, in datasets of earlier versions; since then they are in the manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, Value>,
    schema_version: u32,
}

/// The one field that every version of `dataset.json` has.
#[derive(Deserialize)]
struct Versioned {
    schema_version: u64,
}

impl Dataset {
    /// Creates a dataset in a new or empty folder, or opens the one that is there.
    ///
    /// # Errors
    /// [`Error::NotEmpty`] where the folder holds something else, and those of [`open`](Self::open).
    pub fn create(path: impl AsRef<Path>) -> Result<Dataset> {
        let dataset = Dataset { root: Root::of(path.as_ref())? };
        let root = &dataset.root;
        root.create()?;
        if !dataset.is_there() {
            let occupied = root.is_occupied()?;
            // Other processes may be creating the same dataset: look again, now and under the lock.
            if occupied && !root.is_file(layout::DATASET) {
                return Err(Error::NotEmpty(root.name().into()));
            }
            let _lock = WriteLock::take(root)?;
            if !root.is_file(layout::DATASET) {
                let head = Head { options: BTreeMap::new(), schema_version: SCHEMA_VERSION };
                durable::write_json(root, layout::DATASET, &head)?;
            }
        }
        dataset.head()?;
        Ok(dataset)
    }

    /// Opens a dataset. Nothing is written.
    ///
    /// # Errors
    /// [`Error::NotADataset`], [`Error::SchemaVersion`] where it was written with other tables, [`Error::Damaged`].
    pub fn open(path: impl AsRef<Path>) -> Result<Dataset> {
        let dataset = Dataset { root: Root::of(path.as_ref())? };
        dataset.head()?;
        Ok(dataset)
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The same dataset, prepared for looks at so many shards: of an object store, one listing where that takes fewer
    /// requests than a look at each. What changes afterwards is not seen.
    ///
    /// # Errors
    /// Errors of the object store.
    pub(crate) fn seen<'a>(&self, shards: impl IntoIterator<Item = &'a Shard>) -> Result<Dataset> {
        let receipts: Vec<String> = shards.into_iter().map(Shard::receipt_path).collect();
        Ok(Dataset { root: self.root.seen(&receipts)? })
    }

    /// Writes a result for the user in its place below the dataset, whole or not at all. It is no part of the data.
    ///
    /// # Errors
    /// Errors of writing.
    #[cfg(feature = "query")]
    pub(crate) fn write_result(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.root.write_result(path, bytes)
    }

    /// Paths of the results below a folder, and of other files that lie there, sorted.
    ///
    /// # Errors
    /// Errors of reading.
    #[cfg(feature = "query")]
    pub(crate) fn results(&self, folder: &str) -> Result<Vec<String>> {
        self.root.files(folder)
    }

    /// A result that was written before; `None` where there is none.
    ///
    /// # Errors
    /// Errors of reading.
    #[cfg(feature = "query")]
    pub(crate) fn result(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.root.read(path)
    }

    /// Removes a result, which may be gone already.
    ///
    /// # Errors
    /// Errors of removing.
    #[cfg(feature = "query")]
    pub(crate) fn remove_result(&self, path: &str) -> Result<()> {
        self.root.remove(path)
    }

    /// Takes the dataset for writing: no other command writes to it until the lock is dropped. Every stage holds it
    /// from its first look at the manifest to its commit. Readers go on.
    ///
    /// # Errors
    /// [`Error::Locked`] with the process, host and command that holds it, [`Error::Damaged`] where a folder lies in the
    /// place of the manifest, and errors of writing.
    pub fn lock(&self) -> Result<WriteLock> {
        let lock = WriteLock::take(&self.root)?;
        [layout::DATASET, layout::MANIFEST, RECEIPTS].iter().try_for_each(|path| self.root.check(path))?;
        self.restore_head()?;
        Ok(lock)
    }

    /// Writes `dataset.json` anew where it is lost or damaged, and the manifest states the version.
    pub(super) fn restore_head(&self) -> Result<()> {
        let text = self.root.read(layout::DATASET).ok().flatten();
        let sound = text.is_some_and(|text| serde_json::from_slice::<Head>(&text).is_ok());
        if !sound && let Some(schema_version) = self.version_of_manifest() {
            let head = Head { options: BTreeMap::new(), schema_version };
            durable::write_json(&self.root, layout::DATASET, &head)?;
        }
        Ok(())
    }

    /// Takes the dataset for shards of work, together with other processes that do the same. What they write belongs to
    /// the dataset once a stage commits it.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub fn lock_shared(&self) -> Result<WriteLock> {
        WriteLock::take_shared(&self.root)
    }

    /// A dataset in a folder that holds tables already.
    #[cfg(test)]
    pub(super) fn create_at(root: &Path) -> Result<Dataset> {
        let head = Head { options: BTreeMap::new(), schema_version: SCHEMA_VERSION };
        durable::write_json(&Root::folder(root), layout::DATASET, &head)?;
        Dataset::open(root)
    }

    /// True where a folder or URL holds a dataset, of whatever version.
    pub fn is_at(path: &Path) -> bool {
        Root::of(path).is_ok_and(|root| Dataset { root }.is_there())
    }

    fn is_there(&self) -> bool {
        self.root.is_file(layout::DATASET) || self.version_of_manifest().is_some() && self.root.is_folder(RECEIPTS)
    }

    /// True where a folder holds receipts of a dataset, whether or not anything else of it is left.
    pub(crate) fn was_at(path: &Path) -> bool {
        Root::of(path).is_ok_and(|root| Dataset { root }.was_there())
    }

    fn was_there(&self) -> bool {
        let receipts = self.files_in(RECEIPTS).unwrap_or_default();
        receipts.iter().any(|receipt| layout::parse_receipt(receipt).is_some())
    }

    /// Its folder or URL.
    pub fn path(&self) -> &Path {
        self.root.name()
    }

    /// File in which the digests of raw files may be kept between runs. It is no part of the data.
    pub(crate) fn digest_cache(&self) -> PathBuf {
        layout::digest_cache(self.root.own_folder())
    }

    /// Adds the digests of raw files that other hosts computed for a dataset in an object store. Returns what
    /// [`share_digests`](Self::share_digests) compares with.
    ///
    /// # Errors
    /// Errors of reading and writing.
    pub(crate) fn fetch_digests(&self) -> Result<Option<String>> {
        self.root.fetch_lines(layout::DIGESTS)
    }

    /// Hands the digests of raw files to other hosts, where the dataset is in an object store and lacks them.
    ///
    /// # Errors
    /// Errors of reading, and of the object store.
    pub(crate) fn share_digests(&self, fetched: Option<&str>) -> Result<()> {
        self.root.share(layout::DIGESTS, fetched)
    }

    /// File in which the last analysis of a name may be kept. It is no part of the data.
    #[cfg(feature = "query")]
    pub(crate) fn analysis_cache(&self, name: &str) -> PathBuf {
        layout::analysis_cache(self.root.own_folder(), name)
    }

    /// Folder in which embeddings of slices may be kept between runs. It is no part of the data.
    pub(crate) fn embedding_cache(&self) -> PathBuf {
        layout::embedding_cache(self.root.own_folder())
    }

    /// The options that each stage was run with, by stage; those of `predict` by model too. They are an echo for the
    /// reader: what decides a shard's content is in its key.
    ///
    /// # Errors
    /// [`Error::Damaged`] and errors of reading.
    pub fn options(&self) -> Result<BTreeMap<String, Value>> {
        let mut options = self.head()?.options;
        options.extend(Manifest::read(self)?.map(|manifest| manifest.options).unwrap_or_default());
        Ok(options)
    }

    fn head(&self) -> Result<Head> {
        let path = self.root.at(layout::DATASET);
        let text = match self.root.read(layout::DATASET) {
            Ok(Some(text)) if serde_json::from_slice::<Versioned>(&text).is_ok() => text,
            Err(error @ Error::Storage { .. }) => return Err(error),
            // The manifest states the version too.
            _ if self.version_of_manifest().is_some() => {
                let schema_version = self.version_of_manifest().unwrap_or_default();
                tracing::warn!("{}: missing or damaged; the next command that writes restores it", path.display());
                return self.supported(Head { options: BTreeMap::new(), schema_version });
            }
            Ok(Some(text)) => text,
            Ok(None) if self.was_there() => {
                return Err(Error::HeadLost { path: self.path().into(), version: SCHEMA_VERSION });
            }
            Ok(None) => return Err(Error::NotADataset(self.path().into())),
            Err(error) => return Err(error),
        };
        let damaged = |e: serde_json::Error| Error::Damaged { path: path.clone(), reason: e.to_string() };
        let Versioned { schema_version } = serde_json::from_slice(&text).map_err(damaged)?;
        let schema_version = u32::try_from(schema_version).unwrap_or(u32::MAX);
        self.supported(Head { options: BTreeMap::new(), schema_version })?;
        serde_json::from_slice(&text).map_err(damaged)
    }

    /// The version of the tables that the manifest states; `None` where there is no manifest that can be read.
    fn version_of_manifest(&self) -> Option<u32> {
        let manifest = self.root.read(layout::MANIFEST).ok()??;
        serde_json::from_slice::<Manifest>(&manifest).ok().map(|manifest| manifest.schema_version)
    }

    /// The head, if its tables are those of this program.
    fn supported(&self, head: Head) -> Result<Head> {
        let found = u64::from(head.schema_version);
        if found != SCHEMA_VERSION as u64 {
            let advice = if found > SCHEMA_VERSION as u64 {
                "use a newer medcosmos"
            } else {
                "build it again in a new folder, or use the medcosmos that wrote it"
            };
            return Err(Error::SchemaVersion { path: self.path().into(), found, supported: SCHEMA_VERSION, advice });
        }
        Ok(head)
    }

    /// Where a shard stands. A damaged receipt counts as altered: the shard is done again.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a shard that is to be done cannot be written, because something else lies in the place of
    /// one of its files, and errors of reading.
    pub fn state(&self, shard: &Shard, verify: Verify) -> Result<ShardState> {
        let state = self.state_found(shard, verify)?;
        if !matches!(state, ShardState::Done(_)) {
            shard.check_places(&self.root)?;
        }
        Ok(state)
    }

    fn state_found(&self, shard: &Shard, verify: Verify) -> Result<ShardState> {
        let receipt = match Receipt::read(&self.root, &shard.receipt_path()) {
            Ok(None) => return Ok(ShardState::Missing),
            Ok(Some(receipt)) => receipt,
            Err(damaged @ Error::Damaged { .. }) => return Ok(ShardState::Altered(vec![damaged.to_string()])),
            Err(error) => return Err(error),
        };
        let faults = receipt.faults(&self.root, verify)?;
        if faults.is_empty() {
            return Ok(ShardState::Done(receipt));
        }
        Ok(ShardState::Altered(faults.iter().map(ToString::to_string).collect()))
    }

    /// Begins to write a shard, whether or not it was done before.
    pub fn begin(&self, shard: &Shard) -> ShardWriter<'_> {
        ShardWriter::new(&self.root, shard)
    }

    /// Receipts of all committed shards, sorted by stage, model, source and id.
    ///
    /// # Errors
    /// [`Error::Refused`] with every receipt that is missing or damaged, and errors of reading.
    pub fn receipts(&self) -> Result<Vec<Receipt>> {
        self.receipts_where(|_| true)
    }

    /// As [`receipts`](Self::receipts), of one stage: damage to receipts of others is of no concern.
    ///
    /// # Errors
    /// Those of [`receipts`](Self::receipts).
    pub fn receipts_of(&self, stage: Stage) -> Result<Vec<Receipt>> {
        self.receipts_where(|found| found == stage)
    }

    /// Receipts of committed shards as far as they can be read: for what goes on although others are damaged.
    ///
    /// # Errors
    /// Errors of reading.
    pub(crate) fn sound_receipts(&self) -> Result<Vec<Receipt>> {
        Ok(self.sound_and_lost()?.0)
    }

    /// Receipts of committed shards that can be read, and the entries of the manifest for all other shards.
    ///
    /// # Errors
    /// Errors of reading.
    pub(crate) fn sound_and_lost(&self) -> Result<(Vec<Receipt>, Vec<ManifestShard>)> {
        let (mut sound, mut lost) = (Vec::new(), Vec::new());
        let shards = Manifest::to_continue(self)?.shards;
        let receipts: Vec<String> = shards.iter().map(|shard| shard.receipt.clone()).collect();
        let seen = self.root.seen(&receipts)?;
        for shard in shards {
            match Receipt::read(&seen, &shard.receipt) {
                Ok(Some(receipt)) => sound.push(receipt),
                Ok(None) | Err(Error::Damaged { .. }) => lost.push(shard),
                Err(error) => return Err(error),
            }
        }
        Ok((sound, lost))
    }

    fn receipts_where(&self, wanted: impl Fn(Stage) -> bool) -> Result<Vec<Receipt>> {
        let shards = Manifest::read(self)?.map(|manifest| manifest.shards).unwrap_or_default();
        let shards: Vec<ManifestShard> = shards.into_iter().filter(|shard| wanted(shard.stage)).collect();
        let paths: Vec<String> = shards.iter().map(|shard| shard.receipt.clone()).collect();
        let seen = self.root.seen(&paths)?;
        let (mut receipts, mut problems) = (Vec::new(), Vec::new());
        for ManifestShard { receipt, files, .. } in shards {
            match needed_receipt(&seen, &receipt)? {
                Ok(found) if found.files == files => receipts.push(found),
                Ok(_) => {
                    let reason = "contradicts the manifest".to_string();
                    problems.push(Problem::BrokenReceipt { receipt, reason });
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(receipts) } else { Err(Error::Refused { problems }) }
    }

    /// Partitions of shards of a stage that are finished, while no commit has taken them in: the stage was interrupted.
    ///
    /// # Errors
    /// Errors of reading.
    pub(crate) fn unfinished(&self, stage: Stage) -> Result<BTreeSet<Partition>> {
        Ok(self.uncommitted(stage)?.into_iter().map(|(_, partition)| partition).collect())
    }

    /// Paths and partitions of the receipts of a stage that the manifest does not list.
    fn uncommitted(&self, stage: Stage) -> Result<Vec<(String, Partition)>> {
        let committed = Manifest::to_continue(self)?.shards;
        let committed: BTreeSet<String> = committed.into_iter().map(|shard| shard.receipt).collect();
        let open = self.files_in(RECEIPTS)?.into_iter().filter(|path| !committed.contains(path));
        let of_stage = |path: String| match layout::parse_receipt(&path)? {
            (found, partition, _) if found == stage => Some((path, partition)),
            _ => None,
        };
        Ok(open.filter_map(of_stage).collect())
    }

    /// Receipts of predictions of a model that are finished, while no commit has taken them in. Damaged ones are left out.
    ///
    /// # Errors
    /// Errors of reading.
    pub(crate) fn uncommitted_predictions(&self, model: &str) -> Result<Vec<Receipt>> {
        let mut found = Vec::new();
        for (path, _) in self.uncommitted(Stage::Predict)?.iter().filter(|(_, at)| at.model_name() == Some(model)) {
            match Receipt::read(&self.root, path) {
                Err(Error::Damaged { .. }) => {}
                other => found.extend(other?),
            }
        }
        Ok(found)
    }

    /// A finished shard whose key is that of `shard` with one more name, `addition`: what a stage left for it where it
    /// could not do all of it. Of several, the one with the first id.
    ///
    /// # Errors
    /// Errors of reading.
    pub(crate) fn finished_with(&self, shard: &Shard, addition: &str) -> Result<Option<Receipt>> {
        for path in self.files_in(&shard.folder())? {
            match Receipt::read(&self.root, &path) {
                Ok(Some(receipt)) => {
                    let like =
                        receipt.key.get(addition).is_some() && receipt.key.clone().without(addition) == *shard.key();
                    if like && receipt.faults(&self.root, Verify::Quick)?.is_empty() {
                        return Ok(Some(receipt));
                    }
                }
                Ok(None) | Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Seconds that each committed shard took when it was done, by stage. They are no part of the data: shards whose
    /// log is not there are left out.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn times(&self) -> Result<BTreeMap<Stage, Vec<f64>>> {
        let mut times: BTreeMap<Stage, Vec<f64>> = BTreeMap::new();
        for shard in Manifest::read(self)?.map(|manifest| manifest.shards).unwrap_or_default() {
            let log = self.root.read(&layout::log(shard.stage, &shard.id)).ok().flatten();
            let log: Option<Value> = log.and_then(|text| serde_json::from_slice(&text).ok());
            if let Some(seconds) = log.and_then(|log| log["seconds"].as_f64()) {
                times.entry(shard.stage).or_default().push(seconds);
            }
        }
        Ok(times)
    }

    /// Files of a table in committed shards: sorted by model and source, then by their first id, so that their rows
    /// come in order.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a manifest that is none, and errors of reading.
    pub fn files(&self, table: Table) -> Result<Vec<TableFile>> {
        let mut files = Vec::new();
        for mut shard in Manifest::read(self)?.map(|manifest| manifest.shards).unwrap_or_default() {
            if let (Some(file), Some(partition)) = (shard.files.remove(&table), shard.partition()) {
                let (model, source) = (partition.model_name().map(String::from), partition.source_name().to_string());
                let path = self.root.at(&file.path);
                files.push(TableFile { root: self.root.clone(), path, table, model, source, file });
            }
        }
        files.sort_by(|a, b| {
            let place = |f: &TableFile| (f.model.clone(), f.source.clone());
            let ids = compare_ids(&a.file.first, &b.file.first);
            place(a).cmp(&place(b)).then(ids).then_with(|| a.path.cmp(&b.path))
        });
        Ok(files)
    }

    /// The file of a table in a finished shard; `None` where the shard has no row of it.
    pub(crate) fn file_of(&self, receipt: &Receipt, table: Table) -> Option<TableFile> {
        TableFile::of(&self.root, receipt, table)
    }

    /// All rows of a table, in the order of [`files`](Self::files). For some of its files: [`Rows::of`].
    ///
    /// # Errors
    /// Those of [`receipts`](Self::receipts).
    pub fn rows<P: Projection>(&self) -> Result<Rows<P>> {
        Ok(Rows::of(self.files(P::TABLE)?))
    }

    /// Paths of all files below a folder of the dataset, relative to the dataset, with slashes, sorted. Links are not
    /// followed: they may lead outside.
    pub(super) fn files_in(&self, folder: &str) -> Result<Vec<String>> {
        self.root.files(folder)
    }
}
