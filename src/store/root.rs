//! Where a dataset lies: in a local folder, or below a URL of an object store (`remote.rs`).
//!
//! Files of a dataset are read, listed, published and removed here, by their paths below it. What means something to one
//! host only (files being written, the lock, times, caches) is in a local folder in both cases: the dataset's own, or the
//! mirror of the URL.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::error::{Error, Result, io};
use super::layout;
use super::place;
use super::remote::{Begun, Remote};
use crate::bucket;
use crate::digest::{sha256, sha256_file};
use crate::whole_file::replace_whole;

/// A dataset's place, or that of a part of it which is laid out as a dataset.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// The folder or URL of the dataset, as messages name it.
    name: PathBuf,
    /// The local folder: the dataset, or the mirror of a URL.
    folder: PathBuf,
    /// The part, as a path below the dataset; empty for all of it.
    part: &'static str,
    remote: Option<Remote>,
}

impl PartialEq for Root {
    fn eq(&self, other: &Root) -> bool {
        (&self.name, self.part) == (&other.name, other.part)
    }
}

impl Eq for Root {}

impl Root {
    /// The place that a user names: a folder, or a URL.
    ///
    /// # Errors
    /// A URL that is none, and settings of the object store that contradict themselves.
    pub(super) fn of(path: &Path) -> Result<Root> {
        if !bucket::is_url(path) {
            return Ok(Root::folder(path));
        }
        let remote = Remote::open(path)?;
        let (name, folder) = (remote.url().into(), remote.mirror().to_path_buf());
        Ok(Root { name, folder, part: "", remote: Some(remote) })
    }

    /// A local folder.
    pub(super) fn folder(path: &Path) -> Root {
        Root { name: path.into(), folder: path.into(), part: "", remote: None }
    }

    /// A part of a dataset that is laid out as a dataset.
    pub(super) fn part(&self, part: &'static str) -> Root {
        Root { part, ..self.clone() }
    }

    /// The same place, prepared for looks at so many receipts and their files: of an object store, one listing where that
    /// takes fewer requests than a look at each. What changes afterwards is not seen.
    ///
    /// # Errors
    /// Errors of the object store.
    pub(super) fn seen(&self, receipts: &[String]) -> Result<Root> {
        match &self.remote {
            Some(remote) => Ok(Root { remote: Some(remote.seen(receipts)?), ..self.clone() }),
            None => Ok(self.clone()),
        }
    }

    /// Keeps the version of the manifest of an object store until the value is dropped: it is replaced only if no other
    /// command has replaced it since.
    ///
    /// # Errors
    /// Errors of the object store.
    pub(super) fn begin(&self) -> Result<Begun> {
        self.remote.as_ref().map_or(Ok(Begun::default()), Remote::begin)
    }

    /// The folder or URL of the dataset.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// The folder for what means something to this host only.
    pub(super) fn own_folder(&self) -> &Path {
        &self.folder
    }

    /// The place of a file, as messages name it.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.name.join(self.key(path))
    }

    /// Where the file, or a copy of it, is on this host.
    fn local(&self, path: &str) -> PathBuf {
        self.folder.join(self.key(path))
    }

    /// The path below the dataset.
    fn key(&self, path: &str) -> String {
        if self.part.is_empty() { path.to_string() } else { format!("{}/{path}", self.part) }
    }

    /// The object store that a file is in; `None` for one that is on this host.
    fn remote(&self, path: &str) -> Option<&Remote> {
        self.remote.as_ref().filter(|_| !layout::stays_on_host(&self.key(path)))
    }

    /// Creates the folder where it is not there.
    ///
    /// # Errors
    /// Errors of writing.
    pub(super) fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.folder).map_err(io(&self.folder, "create the folder"))
    }

    /// True where it holds anything but the folder that the program keeps for itself.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn is_occupied(&self) -> Result<bool> {
        let own = |name: &str| layout::is_own(name.split('/').next().unwrap_or_default().as_ref());
        if let Some(remote) = &self.remote {
            return Ok(remote.list("")?.iter().any(|object| !own(&object.key)));
        }
        let mut entries = fs::read_dir(&self.folder).map_err(io(&self.folder, "list the folder"))?;
        Ok(entries.any(|entry| entry.is_ok_and(|entry| !layout::is_own(&entry.file_name()))))
    }

    /// Writes a result for the user, whole or not at all, in the place of a link too.
    ///
    /// # Errors
    /// Errors of writing.
    #[cfg(feature = "query")]
    pub(super) fn write_result(&self, path: &str, bytes: &[u8]) -> Result<()> {
        if self.put(path, bytes)? {
            return Ok(());
        }
        let local = self.local(path);
        let written = local.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| replace_whole(&local, bytes));
        written.map_err(io(&local, "write"))
    }

    /// Checks that nothing lies in the way of a file ([`place::check`]). There are no folders on object storage.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(super) fn check(&self, path: &str) -> Result<()> {
        if self.remote(path).is_some() { Ok(()) } else { place::check(&self.folder, &self.key(path)) }
    }

    /// A small file; `None` where it is not there.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.remote(path) {
            Some(remote) => remote.read(&self.key(path)),
            None => place::read(&self.folder, &self.key(path)),
        }
    }

    /// True where a file is there.
    pub(super) fn is_file(&self, path: &str) -> bool {
        self.size(path).is_ok_and(|size| size.is_some()) && !self.is_folder_in_place(path)
    }

    /// True where a folder lies in the place of a file.
    pub(super) fn is_folder_in_place(&self, path: &str) -> bool {
        self.remote(path).is_none() && self.local(path).is_dir()
    }

    /// True where a folder is there.
    pub(super) fn is_folder(&self, path: &str) -> bool {
        match self.remote(path) {
            Some(remote) => remote.list(&self.key(path)).is_ok_and(|objects| !objects.is_empty()),
            None => self.local(path).is_dir(),
        }
    }

    /// Bytes of a file; `None` where it is not there.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn size(&self, path: &str) -> Result<Option<u64>> {
        match self.remote(path) {
            Some(remote) => Ok(remote.object(&self.key(path))?.map(|object| object.size)),
            None => found(fs::metadata(self.local(path)).map(|found| found.len()), &self.at(path), "read the size"),
        }
    }

    /// Size and SHA-256 of a file, in hex; `None` where it is not there.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn digest(&self, path: &str) -> Result<Option<(u64, String)>> {
        match self.remote(path) {
            Some(remote) => Ok(remote.download(&self.key(path))?.map(|(_, bytes, sha256)| (bytes, sha256))),
            None => found(sha256_file(&self.local(path)), &self.at(path), "read"),
        }
    }

    /// Opens a file for reading, of which no more is known than that it has `bytes` bytes where that is stated; `None`
    /// where it is not there.
    ///
    /// # Errors
    /// As [`check`](Self::check), and errors of reading.
    pub(super) fn open(&self, path: &str, bytes: Option<u64>) -> Result<Option<File>> {
        if let Some(remote) = self.remote(path) {
            return remote.open_copy(&self.key(path), bytes);
        }
        self.check(path)?;
        found(File::open(self.local(path)), &self.at(path), "open")
    }

    /// Paths of all files below a folder, with slashes, sorted. Links are not followed: they may lead outside.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn files(&self, folder: &str) -> Result<Vec<String>> {
        let below = |key: &str| {
            Some(if self.part.is_empty() { key } else { key.strip_prefix(self.part)?.get(1..)? }.to_string())
        };
        if let Some(remote) = self.remote(folder) {
            return Ok(remote.list(&self.key(folder))?.iter().filter_map(|object| below(&object.key)).collect());
        }
        let path = self.local(folder);
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in WalkDir::new(&path).sort_by_file_name() {
            let entry = entry.map_err(|e| io(&path, "list the folder")(e.into()))?;
            if !entry.file_type().is_dir() {
                let relative = entry.path().strip_prefix(&self.folder).unwrap_or(entry.path());
                let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
                files.extend(below(&parts.join("/")));
            }
        }
        Ok(files)
    }

    /// Puts a finished file in its place, and returns once that survives a power cut. On object storage the file stays on
    /// this host too, as a copy that can go.
    ///
    /// # Errors
    /// Errors of writing.
    pub(super) fn publish(&self, path: &str, bytes: u64, file: tempfile::TempPath) -> Result<()> {
        let (local, shown) = (self.local(path), self.at(path));
        if let Some(remote) = self.remote(path) {
            remote.upload(&self.key(path), &file)?;
            return remote.keep(&self.key(path), bytes, file);
        }
        let folder = local.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(io(folder, "create the folder"))?;
        file.persist(&local).map_err(|refused| io(&shown, "move the finished file there")(refused.error))?;
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(&self.folder)) {
            sync_folder(folder).map_err(io(folder, "sync the folder"))?;
        }
        Ok(())
    }

    /// Writes a small file of an object store; `false` for one that is on this host, which is left as it is.
    ///
    /// # Errors
    /// [`Error::Overtaken`] for a manifest that another command has replaced ([`begin`](Self::begin)), and errors of the
    /// object store.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let Some(remote) = self.remote(path) else { return Ok(false) };
        let replaced = match self.key(path).as_str() {
            layout::MANIFEST => remote.replace_manifest(bytes)?,
            key => remote.put(key, bytes)?,
        };
        if replaced { Ok(true) } else { Err(Error::Overtaken { path: self.name.clone() }) }
    }

    /// Adds the lines that an object store has of a file of this host before the lines of this host. Returns the SHA-256 of
    /// the object; `None` where there is none, and for a local folder.
    ///
    /// # Errors
    /// Errors of reading and writing.
    pub(super) fn fetch_lines(&self, path: &str) -> Result<Option<String>> {
        let Some(remote) = &self.remote else { return Ok(None) };
        let Some(mut bytes) = remote.read(&self.key(path))? else { return Ok(None) };
        let digest = sha256(&bytes);
        let local = self.local(path);
        let own = found(fs::read(&local), &local, "read")?.unwrap_or_default();
        if sha256(&own) != digest {
            bytes.extend(own);
            let written =
                local.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| replace_whole(&local, &bytes));
            written.map_err(io(&local, "write"))?;
        }
        Ok(Some(digest))
    }

    /// Puts a file of this host into an object store for other hosts, unless the object has this SHA-256 already.
    ///
    /// # Errors
    /// Errors of reading, and of the object store.
    pub(super) fn share(&self, path: &str, known: Option<&str>) -> Result<()> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let local = self.local(path);
        match found(fs::read(&local), &local, "read")? {
            Some(bytes) if known != Some(sha256(&bytes).as_str()) => remote.put(&self.key(path), &bytes).map(drop),
            _ => Ok(()),
        }
    }

    /// Removes a file that may be gone already. A folder in its place is another's, and stays.
    ///
    /// # Errors
    /// Errors of removing.
    pub(super) fn remove(&self, path: &str) -> Result<()> {
        if let Some(remote) = self.remote(path) {
            return remote.remove(&self.key(path));
        }
        let local = self.local(path);
        match fs::remove_file(&local) {
            Err(_) if local.is_dir() => Ok(()),
            removed => found(removed, &local, "remove").map(|_| ()),
        }
    }

    /// Removes a folder that may be gone already, and the folders above it that hold nothing else, up to `above`.
    ///
    /// # Errors
    /// Errors of removing.
    pub(super) fn remove_folder(&self, folder: &str, above: &str) -> Result<()> {
        if let Some(remote) = self.remote(folder) {
            return remote.list(&self.key(folder))?.iter().try_for_each(|object| remote.remove(&object.key));
        }
        let (local, above) = (self.local(folder), self.local(above));
        found(fs::remove_dir_all(&local), &local, "remove")?;
        for folder in local.ancestors().skip(1).take_while(|folder| folder.starts_with(&above)) {
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }
}

/// `None` for what is not there.
fn found<T>(answer: std::io::Result<T>, path: &Path, action: &'static str) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(path, action)(error)),
    }
}

/// Makes renames inside a folder durable. Only Unix lets one open a folder.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
