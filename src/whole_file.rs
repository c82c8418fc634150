//! Files that are either complete or absent: pages, results, lists, exports.
//!
//! A file is written under another name beside its place and renamed once it is whole, so a full disk or a kill leaves
//! the earlier file as it was. Tables of datasets have the same rule, and digests besides (`store/durable.rs`).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

/// How names of unfinished files begin …
const PREFIX: &str = ".medcosmos-";
/// … and end.
const SUFFIX: &str = ".unfinished";

/// A file on its way to its place. Dropped before [`finish`](Self::finish), it disappears.
pub(crate) struct WholeFile {
    out: BufWriter<File>,
    /// Where it is and where it belongs; `None` for a pipe or a device, which is written to directly.
    beside: Option<(TempPath, PathBuf)>,
}

impl WholeFile {
    /// Begins a file beside its place, which a link may name. What killed runs left unfinished there is removed.
    ///
    /// # Errors
    /// The folder is missing or cannot be written to, or the place is a folder.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            let out = BufWriter::new(File::options().write(true).open(path)?);
            return Ok(WholeFile { out, beside: None });
        }
        let place = match fs::symlink_metadata(path).is_ok_and(|link| link.is_symlink()) {
            true => fs::canonicalize(path)?,
            false => path.to_path_buf(),
        };
        let folder = folder_of(&place).to_path_buf();
        sweep(&folder);
        Self::create_in(&folder, place)
    }

    /// Begins a file in the folder `scratch`, on the file system of its place.
    ///
    /// # Errors
    /// The folder is missing or cannot be written to.
    pub(crate) fn create_in(scratch: &Path, place: PathBuf) -> io::Result<Self> {
        // Opened here, so that errors do not name the random path and permissions are those of ordinary files.
        let open = |path: &Path| File::options().write(true).create_new(true).open(path);
        let (file, path) = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).make_in(scratch, open)?.into_parts();
        let _ = file.lock(); // tells the next run that it is in use; refused where the file system has no locks
        Ok(WholeFile { out: BufWriter::new(file), beside: Some((path, place)) })
    }

    /// Puts the file in its place, with the permissions of the file that was there, and returns once that survives a
    /// power cut.
    ///
    /// # Errors
    /// The rest cannot be written, or the file not be renamed. Its place is then as it was.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.put(true)
    }

    /// As [`finish`](Self::finish), without waiting for the disk: for many small files that can be compared and written
    /// again.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub(crate) fn finish_without_sync(self) -> io::Result<()> {
        self.put(false)
    }

    fn put(self, sync: bool) -> io::Result<()> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        let Some((path, place)) = self.beside else { return Ok(()) };
        if let Ok(earlier) = fs::metadata(&place) {
            file.set_permissions(earlier.permissions())?;
        }
        if sync {
            file.sync_all()?;
        }
        path.persist(&place).map_err(|refused| refused.error)?;
        if sync && cfg!(unix) {
            File::open(folder_of(&place)).and_then(|folder| folder.sync_all())?;
        }
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a file whole, or not at all.
///
/// # Errors
/// As [`WholeFile`].
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(bytes)?;
    file.finish()
}

/// Removes the unfinished files that killed runs left in a folder.
pub(crate) fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if ours
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && File::options().write(true).open(entry.path()).is_ok_and(|file| file.try_lock().is_ok())
        {
            let _ = fs::remove_file(entry.path()); // if it cannot be removed it does no harm
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.html");
        fs::write(&path, "earlier").unwrap();
        fs::write(folder.path().join(".medcosmos-killed.unfinished"), "half").unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"later").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"earlier");
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"earlier");
        write_whole(&path, b"later").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"later");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "unfinished files are swept");
        let missing = folder.path().join("none").join("page.html");
        let error = write_whole(&missing, b"").unwrap_err().to_string();
        assert!(!error.contains("unfinished"), "{error}");
        assert!(write_whole(folder.path(), b"").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_permissions_and_devices_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|name| folder.path().join(name));
        fs::write(&target, "earlier").unwrap();
        fs::set_permissions(&target, PermissionsExt::from_mode(0o600)).unwrap();
        symlink(&target, &link).unwrap();
        write_whole(&link, b"later").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"later");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        symlink("/dev/null", folder.path().join("null")).unwrap();
        write_whole(&folder.path().join("null"), b"nothing").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
