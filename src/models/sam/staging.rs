//! Folders for work in progress inside the cache folder. What is made there is renamed to its place when it is whole.
//!
//! A process holds a lock on a file in each of its folders. A killed process loses its locks, and the next one removes
//! its remains, without touching the folders of running processes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The file in a folder that is locked.
const LOCK: &str = ".lock";

/// A folder that disappears when it is dropped.
pub(super) struct Staging {
    folder: TempDir,
    _lock: File,
}

impl Staging {
    /// A new folder in a cache folder, after the remains of killed processes are removed.
    ///
    /// # Errors
    /// The cache folder cannot be written.
    pub(super) fn new(cache: &Path) -> io::Result<Staging> {
        sweep(cache);
        let all = folder_of(cache);
        fs::create_dir_all(&all)?;
        loop {
            let folder = tempfile::tempdir_in(&all)?;
            match File::create(folder.path().join(LOCK)) {
                Ok(lock) => {
                    let _ = lock.lock(); // refused only where the file system has no locks
                    if folder.path().join(LOCK).exists() {
                        return Ok(Staging { folder, _lock: lock });
                    }
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Err(_) => {}
            } // else a sweep removed it before it was locked
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file to its place, whole or not at all, readable by all users: a cache may be shared.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn publish(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let staged = self.path().join("file");
        let mut file = File::create(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
        }
        drop(file);
        fs::rename(&staged, path)?;
        sync_folder(folder)
    }
}

/// Makes renames inside a folder durable. Only Unix lets one open a folder.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Where the folders are inside a cache folder.
pub(super) fn folder_of(cache: &Path) -> PathBuf {
    cache.join("staging")
}

/// Removes folders whose process is gone.
pub(super) fn sweep(cache: &Path) {
    for entry in fs::read_dir(folder_of(cache)).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let lock = File::options().write(true).open(entry.path().join(LOCK));
        if is_folder && lock.as_ref().map_or(true, |lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path()); // if it cannot be removed it does no harm
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remains_are_swept_and_work_in_progress_is_not() {
        let cache = tempfile::tempdir().unwrap();
        let killed = cache.path().join("staging/.tmpkilled");
        fs::create_dir_all(killed.join("deep")).unwrap();
        fs::write(killed.join("deep/half.whl"), "half").unwrap();
        fs::write(killed.join(LOCK), "").unwrap();
        let working = Staging::new(cache.path()).unwrap();
        assert!(!killed.exists());
        fs::write(working.path().join("mine"), "1").unwrap();
        let other = Staging::new(cache.path()).unwrap();
        assert!(working.path().join("mine").exists());
        other.publish(&cache.path().join("a/b"), b"whole").unwrap();
        assert_eq!(fs::read(cache.path().join("a/b")).unwrap(), b"whole");
        drop((working, other));
        assert_eq!(fs::read_dir(cache.path().join("staging")).unwrap().count(), 0);
    }
}
