//! A dataset on object storage, and its mirror: the copies of objects that this host has read or written.
//!
//! Objects have the keys that files of a local dataset have as paths, so the layout is the same. The bucket alone decides
//! what is there: `manifest.json` is read anew by each command, and a copy of a receipt counts while the bucket states
//! the ETag that it was read with. A copy of a table counts where it has the size that the receipt states; its columns are
//! compared with their checksums whenever they are read, as those of any file.
//!
//! There are no locks on object storage. A command notes the version of the manifest at its beginning and replaces that
//! version alone, so of two commands that commit at the same time the second fails, and finds its finished shards when it
//! is run again. All other objects have the name of their content: whoever writes one writes the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rayon::prelude::*;
use tempfile::TempPath;
use walkdir::WalkDir;

use super::durable::Staged;
use super::error::{Error, Result, io};
use super::layout::{self, JOURNALS, MANIFEST, RECEIPTS};
use super::schema::Table;
use crate::bucket::{self, Bucket, Condition, Kind, Object, Put};
use crate::cache::cache_dir;
use crate::digest::sha256;
use crate::text::stated_size;

/// Folder of the mirror with the copies.
const COPIES: &str = "objects";

/// The variable that bounds the bytes of the copies of a dataset …
const LIMIT_VARIABLE: &str = "MEDCOSMOS_MIRROR";
/// … and the bound where it is not set.
const LIMIT: u64 = 20_000_000_000;

/// Looks at shards from which on a listing is worth it: it is one request for each thousand objects of the dataset, and a
/// look at a shard takes about four.
const LISTED: usize = 32;

/// A dataset on object storage.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    bucket: Bucket,
    mirror: PathBuf,
    /// Most bytes of copies of tables.
    limit: u64,
    /// Bytes of copies, once they were counted.
    kept: Arc<Mutex<Option<u64>>>,
    /// Receipts, tables and journals as they were listed once.
    listed: Option<Arc<BTreeMap<String, Object>>>,
    base: Base,
}

/// What the manifest must be for it to be replaced; `None` outside commands that commit.
type Base = Arc<Mutex<Option<Condition>>>;

/// A command that may commit. The version of the manifest is that of its beginning until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Begun(Option<Base>);

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(base) = &self.0 {
            *held(base) = None;
        }
    }
}

/// Most bytes of the copies of a dataset, as the user bounds them.
///
/// # Errors
/// What is set instead of a size.
fn limit() -> std::result::Result<u64, String> {
    let Some(text) = std::env::var(LIMIT_VARIABLE).ok().filter(|text| !text.is_empty()) else { return Ok(LIMIT) };
    match stated_size(&text) {
        Some((number, _, Some(unit))) => Ok((number * unit) as u64),
        _ => Err(format!(
            "{LIMIT_VARIABLE} is {text:?}, which is no size: expected a number with a unit, such as 20GB or 500MiB"
        )),
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// The dataset at a URL. Nothing is requested.
    pub(super) fn open(url: &Path) -> Result<Remote> {
        let bucket = Bucket::open(url)?;
        let refused = |reason: String| Error::Storage { reason: format!("{}: {reason}", bucket.url("")) };
        let cache = cache_dir().ok_or_else(|| {
            refused("no folder for copies of its files: set MEDCOSMOS_CACHE, XDG_CACHE_HOME or HOME".into())
        })?;
        let name = sha256(format!("{} {}", bucket.server(), bucket.url("")).as_bytes())[..16].to_string();
        let limit = limit().map_err(refused)?;
        let mirror = cache.join("datasets").join(name);
        Ok(Remote { bucket, mirror, limit, kept: Arc::default(), listed: None, base: Base::default() })
    }

    /// Its URL, without a slash at the end.
    pub(super) fn url(&self) -> String {
        self.bucket.url("")
    }

    /// The folder of the copies.
    pub(super) fn mirror(&self) -> &Path {
        &self.mirror
    }

    /// As `Root::begin`.
    pub(super) fn begin(&self) -> Result<Begun> {
        let mut base = held(&self.base);
        if base.is_some() {
            return Ok(Begun(None));
        }
        *base = Some(self.current()?);
        Ok(Begun(Some(self.base.clone())))
    }

    /// The condition that the manifest stays as it is now.
    fn current(&self) -> Result<Condition> {
        Ok(self.bucket.head(MANIFEST)?.map_or(Condition::New, |manifest| Condition::Unchanged(manifest.version)))
    }

    /// As `Root::seen`.
    pub(super) fn seen(&self, receipts: &[String]) -> Result<Remote> {
        if receipts.len() < LISTED {
            return Ok(self.clone());
        }
        let folders: Vec<&str> = Table::ALL.iter().map(|table| table.name()).chain([RECEIPTS, JOURNALS]).collect();
        let found: Vec<Vec<Object>> =
            folders.par_iter().map(|folder| self.bucket.list(folder)).collect::<bucket::Result<_>>()?;
        let objects = found.into_iter().flatten().map(|object| (object.key.clone(), object)).collect();
        let seen = Remote { listed: Some(Arc::new(objects)), ..self.clone() };
        // So that receipts that are read one after the other are here already.
        receipts.par_iter().try_for_each(|receipt| seen.read(receipt).map(|_| ()))?;
        Ok(seen)
    }

    /// The listing that says whether a key is there; `None` where the bucket is asked.
    fn listing(&self, key: &str) -> Option<&BTreeMap<String, Object>> {
        let top = key.split('/').next().unwrap_or_default();
        let covers = top == RECEIPTS || key.starts_with(JOURNALS) || Table::ALL.iter().any(|table| table.name() == top);
        self.listed.as_deref().filter(|_| covers)
    }

    /// An object as the bucket has it; `None` where it is not there.
    pub(super) fn object(&self, key: &str) -> Result<Option<Object>> {
        match self.listing(key) {
            Some(listed) => Ok(listed.get(key).cloned()),
            None => Ok(self.bucket.head(key)?),
        }
    }

    /// Objects below a folder, sorted by key.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let Some(listed) = self.listing(folder) else { return Ok(self.bucket.list(folder)?) };
        let below = format!("{folder}/");
        let objects = listed.range(below.clone()..).take_while(|(key, _)| key.starts_with(&below));
        Ok(objects.map(|(_, object)| object.clone()).collect())
    }

    /// The bytes of a small object; `None` where it is not there.
    pub(super) fn read(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let whole = || Ok(self.bucket.read(key)?.map(|(bytes, _)| bytes));
        if key != MANIFEST && self.listing(key).is_none() {
            return whole();
        }
        let Some(object) = self.object(key)? else { return Ok(None) };
        let Some(tag) = &object.version.e_tag else { return whole() };
        let copy = self.copy(&format!("{key}@{}", &sha256(tag.as_bytes())[..16]));
        if let Some(bytes) = fs::read(&copy).ok().filter(|bytes| bytes.len() as u64 == object.size) {
            return Ok(Some(bytes));
        }
        let Some((bytes, version)) = self.bucket.read(key)? else { return Ok(None) };
        if version.e_tag == object.version.e_tag {
            let mut staged = self.staged()?;
            std::io::Write::write_all(&mut staged, &bytes).map_err(io(&copy, "write"))?;
            self.settle(&copy, bytes.len() as u64, staged.into_parts().1)?;
        }
        Ok(Some(bytes))
    }

    /// Opens the copy of an object that has `bytes` bytes, or as many as the bucket states; `None` where there is none.
    pub(super) fn open_copy(&self, key: &str, bytes: Option<u64>) -> Result<Option<File>> {
        let bytes = match bytes {
            None => self.object(key)?.map(|object| object.size),
            stated => stated,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        if let Ok(file) = File::open(self.copy(key))
            && file.metadata().is_ok_and(|copy| copy.len() == bytes)
        {
            let _ = file.set_modified(SystemTime::now()); // the oldest copies are the first to go
            return Ok(Some(file));
        }
        Ok(self.download(key)?.map(|(file, ..)| file))
    }

    /// Copies an object anew: the copy, its size and its SHA-256 in hex; `None` where the object is not there.
    pub(super) fn download(&self, key: &str) -> Result<Option<(File, u64, String)>> {
        let mut staged = self.staged()?;
        let bytes = match self.bucket.download(key, &mut staged) {
            Err(missing) if missing.kind == Kind::Missing => return Ok(None),
            downloaded => downloaded?,
        };
        let sha256 = staged.digest();
        let (mut file, path) = staged.into_parts();
        std::io::Seek::rewind(&mut file).map_err(io(&path, "read"))?;
        self.settle(&self.copy(key), bytes, path)?;
        Ok(Some((file, bytes, sha256)))
    }

    /// Writes a file to an object, whatever was there.
    pub(super) fn upload(&self, key: &str, from: &Path) -> Result<()> {
        self.bucket.upload(key, from)?;
        Ok(())
    }

    /// Keeps a file that was written to an object as its copy.
    pub(super) fn keep(&self, key: &str, bytes: u64, file: TempPath) -> Result<()> {
        self.settle(&self.copy(key), bytes, file)
    }

    /// Writes a small object, whatever was there.
    pub(super) fn put(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        Ok(self.bucket.put(key, bytes.to_vec(), Condition::Always)? != Put::Refused)
    }

    /// Writes the manifest, unless it is another than at the beginning of the command: then `false`.
    pub(super) fn replace_manifest(&self, bytes: &[u8]) -> Result<bool> {
        let mut base = held(&self.base);
        let condition = match &*base {
            Some(condition) => condition.clone(),
            None => self.current()?,
        };
        match self.bucket.put(MANIFEST, bytes.to_vec(), condition)? {
            Put::Done(version) => {
                // The command may commit once more.
                *base = base.take().map(|_| Condition::Unchanged(version));
                Ok(true)
            }
            Put::Refused => Ok(false),
        }
    }

    /// Removes an object and its copy, which may be gone already.
    pub(super) fn remove(&self, key: &str) -> Result<()> {
        self.bucket.delete(key)?;
        let _ = fs::remove_file(self.copy(key));
        Ok(())
    }

    /// Where the copy of an object is.
    fn copy(&self, key: &str) -> PathBuf {
        self.mirror.join(COPIES).join(key)
    }

    fn staged(&self) -> Result<Staged> {
        Staged::create(&layout::scratch(&self.mirror))
    }

    /// Makes a file of the scratch folder a copy. It is not synced: the bucket has the bytes.
    fn settle(&self, copy: &Path, bytes: u64, file: TempPath) -> Result<()> {
        let folder = copy.parent().unwrap_or(&self.mirror);
        fs::create_dir_all(folder).map_err(io(folder, "create the folder"))?;
        file.persist(copy).map_err(|refused| io(copy, "move the copy there")(refused.error))?;
        self.make_room(bytes);
        Ok(())
    }

    /// Removes the copies that were not used for the longest time where all of them are more than the limit, after one of
    /// `bytes` bytes was added. Readers of a copy keep it open.
    fn make_room(&self, bytes: u64) {
        let mut kept = held(&self.kept);
        let total = kept.map(|kept| kept + bytes).filter(|total| *total <= self.limit);
        if total.is_some() {
            *kept = total;
            return;
        }
        let mut copies = self.copies();
        let mut total: u64 = copies.iter().map(|(.., bytes)| bytes).sum();
        copies.sort();
        // Some more than is needed, so that not every copy counts all others.
        let wanted = if total > self.limit { self.limit / 5 * 4 } else { total };
        for (_, path, bytes) in copies {
            if total <= wanted {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total -= bytes;
            }
        }
        *kept = Some(total);
    }

    /// All copies: when each was used last, where it is and its size.
    fn copies(&self) -> Vec<(SystemTime, PathBuf, u64)> {
        let files = WalkDir::new(self.mirror.join(COPIES)).into_iter().flatten();
        let copy = |entry: walkdir::DirEntry| {
            let found = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((found.modified().ok()?, entry.into_path(), found.len()))
        };
        files.filter_map(copy).collect()
    }
}

impl From<bucket::Error> for Error {
    fn from(error: bucket::Error) -> Error {
        Error::Storage { reason: error.to_string() }
    }
}
