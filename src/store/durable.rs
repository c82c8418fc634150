//! Files that are either complete or absent.
//!
//! A file is written under a random name in the dataset's scratch folder (so on the same file system), hashed while it
//! is written, synced, and renamed to its place; then the folders above it are synced. Two processes that write the
//! same file do not meet: the later rename wins, with the same bytes. On object
//! storage the finished file is uploaded, which is one step too.
//!
//! A process holds a lock on each of its scratch files. A killed process loses its locks, and the next to open the
//! dataset removes its remains, without touching the files of running processes. On file systems without locks nothing
//! is removed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use tempfile::TempPath;

use super::error::{Error, Result, io};
use super::layout;
use super::root::Root;
use super::shard::ShardFile;
use crate::digest::Hasher;

/// How the names of scratch files begin.
const PREFIX: &str = ".tmp";

/// A file on its way to its place. Dropped before [`publish`](Staged::publish), it disappears.
pub(super) struct Staged {
    file: File,
    path: TempPath,
    sha256: Hasher,
    bytes: u64,
}

impl Staged {
    /// Creates an empty file in the scratch folder.
    pub(super) fn create(scratch: &Path) -> Result<Staged> {
        fs::create_dir_all(scratch).map_err(io(scratch, "create the folder"))?;
        loop {
            let (file, path) = new_file(scratch).map_err(io(scratch, "create a file in it"))?.into_parts();
            let _ = file.lock(); // refused only where the file system has no locks
            if path.exists() {
                return Ok(Staged { file, path, sha256: Hasher::default(), bytes: 0 });
            } // else a sweep removed it before it was locked
        }
    }

    /// Where the file is now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of what was written so far, in hex.
    pub(super) fn digest(&self) -> String {
        self.sha256.clone().finish()
    }

    /// The open file, and its path, for a place that is not one of a dataset.
    pub(super) fn into_parts(self) -> (File, TempPath) {
        (self.file, self.path)
    }

    /// Puts the file in its place in a dataset, and returns once that survives a power cut. Gives its size and its SHA-256
    /// in hex.
    pub(super) fn publish(self, root: &Root, to: &str) -> Result<(u64, String)> {
        let Staged { file, path, sha256, bytes } = self;
        file.sync_all().map_err(io(&root.at(to), "write"))?;
        root.publish(to, bytes, path)?;
        Ok((bytes, sha256.finish()))
    }
}

impl Write for Staged {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer)?;
        self.sha256.write_all(&buffer[..written])?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a small JSON file whole, or not at all. The same value gives the same bytes: keys of free-form objects are
/// sorted, whether or not a dependency makes `serde_json` keep them as they come (polars does).
pub(super) fn write_json(root: &Root, to: &str, value: &impl Serialize) -> Result<()> {
    let encode = || {
        let mut value = serde_json::to_value(value)?;
        value.sort_all_objects();
        serde_json::to_string_pretty(&value).map(|text| text + "\n")
    };
    let text =
        encode().map_err(|e| Error::Damaged { path: root.at(to), reason: format!("cannot convert to JSON: {e}") })?;
    write(root, to, text.as_bytes())
}

/// Writes a small file whole, or not at all.
pub(super) fn write(root: &Root, to: &str, bytes: &[u8]) -> Result<()> {
    if root.put(to, bytes)? {
        return Ok(());
    }
    let mut staged = Staged::create(&layout::scratch(root.own_folder()))?;
    staged.write_all(bytes).map_err(io(&root.at(to), "write"))?;
    staged.publish(root, to)?;
    Ok(())
}

/// Copies a table file to the same place in another part of the dataset, whole or not at all.
pub(super) fn copy(from: &Root, to: &Root, file: &ShardFile) -> Result<()> {
    read_into(from, to, file)?.publish(to, &file.path)?;
    Ok(())
}

/// The bytes of a table file, on their way to another place.
fn read_into(from: &Root, to: &Root, file: &ShardFile) -> Result<Staged> {
    let missing = || io(&from.at(&file.path), "open")(io::ErrorKind::NotFound.into());
    let mut source = from.open(&file.path, Some(file.bytes))?.ok_or_else(missing)?;
    let mut staged = Staged::create(&layout::scratch(to.own_folder()))?;
    io::copy(&mut source, &mut staged).map_err(io(&to.at(&file.path), "write"))?;
    Ok(staged)
}

/// As [`copy`], with a look at the digest: a copy that is there already stays, and a file with other bytes is not copied.
/// Gives whether the right one is in place.
pub(super) fn copy_known(from: &Root, to: &Root, file: &ShardFile) -> Result<bool> {
    let known = (file.bytes, file.sha256.clone());
    if to.digest(&file.path).is_ok_and(|found| found.as_ref() == Some(&known)) {
        return Ok(true);
    }
    let staged = read_into(from, to, file)?;
    if (staged.bytes, staged.digest()) != known {
        return Ok(false);
    }
    staged.publish(to, &file.path)?;
    Ok(true)
}

/// Removes what killed processes left in the scratch folder: regular files with a name of [`Staged::create`]'s making.
pub(super) fn sweep(scratch: &Path) {
    let Ok(entries) = fs::read_dir(scratch) else { return };
    let staged = |entry: &fs::DirEntry| {
        entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.file_type().is_ok_and(|kind| kind.is_file())
    };
    for entry in entries.flatten().filter(staged) {
        let Ok(file) = File::options().write(true).open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(entry.path()); // if it cannot be removed it does no harm
        }
    }
}

/// A new file that, unlike other temporary files, gets the permissions of ordinary ones.
fn new_file(scratch: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_file_is_whole_and_digested() {
        let root = tempfile::tempdir().unwrap();
        let (scratch, to) = (root.path().join("scratch"), root.path().join("a/b/file"));
        let mut staged = Staged::create(&scratch).unwrap();
        staged.write_all(b"abc").unwrap();
        assert!(!to.exists());
        let (bytes, sha256) = staged.publish(&Root::folder(root.path()), "a/b/file").unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"abc");
        // the test vector of FIPS 180-2
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(crate::digest::sha256_file(&to).unwrap(), (bytes, sha256));
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
    }

    #[test]
    fn a_dropped_file_disappears() {
        let root = tempfile::tempdir().unwrap();
        let mut staged = Staged::create(root.path()).unwrap();
        staged.write_all(b"half").unwrap();
        drop(staged);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_sweep_spares_files_in_use() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".tmpkilled"), b"half").unwrap();
        let mut staged = Staged::create(root.path()).unwrap();
        sweep(root.path());
        assert!(!root.path().join(".tmpkilled").exists());
        staged.write_all(b"alive").unwrap();
        staged.publish(&Root::folder(root.path()), "file").unwrap();
        assert_eq!(fs::read(root.path().join("file")).unwrap(), b"alive");
    }
}
