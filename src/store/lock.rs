//! One command at a time changes a dataset.
//!
//! Processes that do shards of work (`medcosmos shard run`, `medcosmos worker`) share the lock: each file they write has
//! the name of its content, so they do not disturb one another. A command that commits waits for none of them: it is
//! refused while they run, and they are refused while it runs.
//!
//! The lock is advisory and belongs to the open file, so it ends with the process, however that ends: there is no stale
//! lock to remove. The file names its holder for the message that others get. Readers take no lock: what they read is
//! the manifest, which changes in one step. On NFS the kernel passes the lock on to the server (Linux: mounts without
//! `local_lock=flock` or `nolock`); on a file system without locks a warning says that nothing prevents a second writer.
//!
//! Of a dataset on object storage only its mirror on this host is locked. Between hosts the version of the manifest decides
//! (`remote.rs`): nobody waits, and of two commands that commit at the same time the second says so.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::durable;
use super::error::{Error, Result, io};
use super::layout;
use super::remote::Begun;
use super::root::Root;

/// Keeps other commands from writing to a dataset until it is dropped.
#[derive(Debug)]
pub struct WriteLock {
    _begun: Begun,
    _file: File,
}

/// Who holds a lock.
#[derive(Serialize, Deserialize)]
struct Holder {
    command: String,
    host: String,
    pid: u32,
    /// True for a process that shares it; others may hold it too, or still when this one has ended.
    #[serde(default)]
    shared: bool,
}

impl WriteLock {
    /// Takes the lock of the dataset in a folder, and removes what killed commands left in its scratch folder.
    ///
    /// # Errors
    /// [`Error::Locked`] with the holder, [`Error::Damaged`] where the program's folder is a link to another place,
    /// [`Error::ReadOnly`] where the dataset cannot be written to, and errors of writing.
    pub(super) fn take(root: &Root) -> Result<WriteLock> {
        WriteLock::take_as(root, false)
    }

    /// As [`take`](Self::take), together with other processes that share the lock.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(super) fn take_shared(root: &Root) -> Result<WriteLock> {
        WriteLock::take_as(root, true)
    }

    fn take_as(dataset: &Root, shared: bool) -> Result<WriteLock> {
        let root = dataset.own_folder();
        for folder in [layout::own(root), layout::scratch(root)] {
            own_folder(root, &folder)?;
        }
        let path = layout::lock(root);
        if path.is_dir() {
            let reason = "expected a file, found a folder: move it elsewhere".to_string();
            return Err(Error::Damaged { path, reason });
        }
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = &mut file.map_err(refused(root, &path, "open"))?;
        match patiently(|| if shared { file.try_lock_shared() } else { file.try_lock() }) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(dataset.name(), file)),
            Err(TryLockError::Error(error)) => {
                tracing::warn!(
                    "{}: the file system has no locks ({error}); make sure that no other medcosmos writes to this \
                     dataset at the same time",
                    root.display()
                );
            }
        }
        let holder = Holder { command: command(), host: host(), pid: std::process::id(), shared };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes())).and_then(|()| file.flush());
        written.map_err(refused(root, &path, "write"))?;
        durable::sweep(&layout::scratch(root));
        let file = file.try_clone().map_err(io(&path, "open"))?;
        let _begun = if shared { Begun::default() } else { dataset.begin()? };
        Ok(WriteLock { _begun, _file: file })
    }
}

/// How often a lock that another holds is tried again, and after how long. A process that is being started has the open
/// files of the one that starts it for a moment, locks among them.
const PATIENCE: (usize, Duration) = (10, Duration::from_millis(20));

fn patiently(lock: impl Fn() -> std::result::Result<(), TryLockError>) -> std::result::Result<(), TryLockError> {
    for _ in 0..PATIENCE.0 {
        match lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(PATIENCE.1),
            other => return other,
        }
    }
    lock()
}

/// Makes sure that a folder of the program is there and lies inside the dataset. A link could lead files, and the
/// removal of files, anywhere.
fn own_folder(root: &Path, folder: &Path) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(found) => {
            let what = if found.is_symlink() { "a symbolic link" } else { "a file" };
            let reason = format!("expected a folder, found {what}: remove it; medcosmos creates the folder anew");
            Err(Error::Damaged { path: folder.to_path_buf(), reason })
        }
        Err(_) => fs::create_dir_all(folder).map_err(refused(root, folder, "create the folder")),
    }
}

/// The error of a write that a dataset needs before anything else: most often the dataset is read-only.
fn refused(root: &Path, path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    let (root, path) = (root.to_path_buf(), path.to_path_buf());
    move |source| match source.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::ReadOnly { path: root, source },
        _ => io(&path, action)(source),
    }
}

fn held(root: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let read = file.read_to_string(&mut text).ok();
    let holder = read.and_then(|_| serde_json::from_str::<Holder>(&text).ok());
    let holder = match holder {
        Some(Holder { command, host, pid, shared }) => {
            let who = if shared { "shards of work run; the last process to begin was " } else { "" };
            format!("{who}process {pid} on {host}: {command}")
        }
        None => "its holder is not known".to_string(),
    };
    Error::Locked { path: PathBuf::from(root), holder }
}

/// Characters of a command line that others are shown: one may list thousands of shards.
const SHOWN: usize = 200;

/// The command line of this process.
fn command() -> String {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let name =
        words.first().and_then(|path| Path::new(path).file_name()).map(|name| name.to_string_lossy().into_owned());
    let rest = words.iter().skip(1).cloned();
    let line = name.into_iter().chain(rest).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

pub(super) fn host() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_learns_who_the_first_is() {
        let root = tempfile::tempdir().unwrap();
        let first = WriteLock::take(&Root::folder(root.path())).unwrap();
        let refused = WriteLock::take(&Root::folder(root.path())).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} on ", std::process::id())), "{refused}");
        drop(first);
        WriteLock::take(&Root::folder(root.path())).unwrap();
    }

    #[test]
    fn shards_of_work_share_the_lock_and_a_commit_does_not() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (
            WriteLock::take_shared(&Root::folder(root.path())).unwrap(),
            WriteLock::take_shared(&Root::folder(root.path())).unwrap(),
        );
        assert!(WriteLock::take(&Root::folder(root.path())).is_err());
        drop(one);
        assert!(WriteLock::take(&Root::folder(root.path())).is_err());
        drop(other);
        let _alone = WriteLock::take(&Root::folder(root.path())).unwrap();
        assert!(WriteLock::take_shared(&Root::folder(root.path())).is_err());
    }

    #[test]
    fn a_dataset_that_cannot_be_written_to_is_named_and_not_its_lock() {
        let (root, lock) = (Path::new("data"), Path::new("data/.medcosmos/lock"));
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            let error = refused(root, lock, "open")(kind.into()).to_string();
            assert!(error.starts_with("data: this command writes") && error.contains("work on a copy"), "{error}");
        }
        let error = refused(root, lock, "open")(ErrorKind::StorageFull.into()).to_string();
        assert!(error.contains("lock: cannot open"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_folder_is_refused_and_its_files_stay() {
        let (root, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(victim.path().join(".tmpthesis"), b"precious").unwrap();
        for folder in [layout::scratch(root.path()), layout::own(root.path())] {
            fs::create_dir_all(folder.parent().unwrap()).unwrap();
            let _ = fs::remove_dir_all(&folder);
            std::os::unix::fs::symlink(victim.path(), &folder).unwrap();
            let refused = WriteLock::take(&Root::folder(root.path())).unwrap_err().to_string();
            assert!(refused.contains("a symbolic link"), "{refused}");
            fs::remove_file(&folder).unwrap();
        }
        assert!(victim.path().join(".tmpthesis").exists());
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 1);
    }
}
