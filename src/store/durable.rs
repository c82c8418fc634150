//! Files that are either complete or absent.
//!
//! A file is written under a random name in the dataset's scratch folder (so on the same file system), hashed while it
//! is written, synced, and renamed to its place; then the folders above it are synced. Two processes that write the
//! same file do not meet: the later rename wins, with the same bytes.
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
use crate::digest::{Hasher, sha256_file};

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

    /// Moves the file to its place inside the folder `root`, and returns once that survives a power cut. Gives its size
    /// and its SHA-256 in hex.
    pub(super) fn publish(self, root: &Path, to: &Path) -> Result<(u64, String)> {
        let Staged { file, path, sha256, bytes } = self;
        file.sync_all().map_err(io(to, "write"))?;
        let folder = to.parent().unwrap_or(root);
        fs::create_dir_all(folder).map_err(io(folder, "create the folder"))?;
        path.persist(to).map_err(|refused| io(to, "move the finished file there")(refused.error))?;
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(root)) {
            sync_folder(folder).map_err(io(folder, "sync the folder"))?;
        }
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
pub(super) fn write_json(root: &Path, to: &Path, value: &impl Serialize) -> Result<()> {
    let encode = || {
        let mut value = serde_json::to_value(value)?;
        value.sort_all_objects();
        serde_json::to_string_pretty(&value)
    };
    let text =
        encode().map_err(|e| Error::Damaged { path: to.into(), reason: format!("cannot convert to JSON: {e}") })?;
    let mut staged = Staged::create(&layout::scratch(root))?;
    staged.write_all(text.as_bytes()).and_then(|()| staged.write_all(b"\n")).map_err(io(to, "write"))?;
    staged.publish(root, to)?;
    Ok(())
}

/// Copies a file to its place inside the folder `root`, whole or not at all. Gives its size and its SHA-256 in hex.
pub(super) fn copy(root: &Path, from: &Path, to: &Path) -> Result<(u64, String)> {
    let mut file = File::open(from).map_err(io(from, "open"))?;
    let mut staged = Staged::create(&layout::scratch(root))?;
    io::copy(&mut file, &mut staged).map_err(io(to, "write"))?;
    staged.publish(root, to)
}

/// As [`copy`], of a file whose size and SHA-256 are known: a copy that is there already stays, and a file with other
/// bytes is not copied. Gives whether the right one is in place.
pub(super) fn copy_known(root: &Path, from: &Path, to: &Path, known: (u64, &str)) -> Result<bool> {
    let is_known = |(bytes, sha256): (u64, String)| (bytes, sha256.as_str()) == known;
    if sha256_file(to).is_ok_and(is_known) {
        return Ok(true);
    }
    let mut file = File::open(from).map_err(io(from, "open"))?;
    let mut staged = Staged::create(&layout::scratch(root))?;
    io::copy(&mut file, &mut staged).map_err(io(to, "write"))?;
    if !is_known((staged.bytes, staged.sha256.clone().finish())) {
        return Ok(false);
    }
    staged.publish(root, to)?;
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

/// Makes renames inside a folder durable. Only Unix lets one open a folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
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
        let (bytes, sha256) = staged.publish(root.path(), &to).unwrap();
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
        staged.publish(root.path(), &root.path().join("file")).unwrap();
        assert_eq!(fs::read(root.path().join("file")).unwrap(), b"alive");
    }
}
