//! The folder of an export. Its files appear whole, and the same command goes on where an earlier one was interrupted:
//! `.medcosmos/export.json` says what the folder is for and whether all is there.

use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Error, io};
use crate::whole_file::{WholeFile, sweep};

/// The folder that the program keeps for itself, as in a dataset.
const OWN: &str = ".medcosmos";

/// What a folder is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    /// Form of the export, or `package`.
    pub(super) form: String,
    /// SHA-256 over the tables that go out.
    pub(super) tables_sha256: String,
    /// Sources whose owners gave their permission.
    pub(super) granted: Vec<String>,
    /// Sources that are left out.
    pub(super) left_out: Vec<String>,
}

/// `.medcosmos/export.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    /// True once every file is there.
    complete: bool,
    #[serde(flatten)]
    task: Task,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    task: Task,
}

impl Folder {
    /// Makes a folder, or takes an empty one or one of the same task.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::OtherExport`], and errors of reading and writing.
    pub(super) fn open(root: &Path, task: Task) -> Result<Folder, Error> {
        let folder = Folder { root: root.to_path_buf(), task };
        let scratch = folder.scratch();
        fs::create_dir_all(root).map_err(io(root))?;
        let earlier = match fs::read(folder.marker()) {
            Ok(text) => Some(serde_json::from_slice::<Marker>(&text).ok()),
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(io(&folder.marker())(error)),
        };
        match earlier {
            Some(Some(marker)) if marker.task == folder.task => {}
            Some(_) => return Err(Error::OtherExport(folder.root)),
            None => {
                let mut entries = fs::read_dir(root).map_err(io(root))?;
                if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != OWN)) {
                    return Err(Error::NotEmpty(folder.root));
                }
            }
        }
        fs::create_dir_all(&scratch).map_err(io(&scratch))?;
        sweep(&scratch);
        folder.mark(false)?;
        Ok(folder)
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.root
    }

    /// Writes a file of the folder whole. One that has these bytes already stays.
    pub(super) fn write(&self, relative: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.inside(relative)?;
        let same = |there: fs::Metadata| there.len() == bytes.len() as u64 && fs::read(&path).is_ok_and(|b| b == bytes);
        if fs::symlink_metadata(&path).is_ok_and(|there| there.is_file() && same(there)) {
            return Ok(());
        }
        let mut file = self.begin(relative)?;
        file.write_all(bytes).and_then(|()| file.finish_without_sync()).map_err(io(&path))
    }

    /// Begins a file of the folder, and makes the folders that it lies in.
    pub(super) fn begin(&self, relative: &str) -> Result<WholeFile, Error> {
        let path = self.inside(relative)?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(io(folder))?;
        }
        WholeFile::create_in(&self.scratch(), path.clone()).map_err(io(&path))
    }

    /// Notes that every file is there.
    pub(super) fn complete(&self) -> Result<(), Error> {
        self.mark(true)
    }

    /// The path of a file, by its name inside the folder: the only place where ids of rows become paths.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a name that leads elsewhere.
    pub(super) fn inside(&self, relative: &str) -> Result<PathBuf, Error> {
        let plain = |part: &str| {
            let mut components = Path::new(part).components();
            let one = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
            one && !part.contains('\0')
        };
        match relative.split('/').all(plain) {
            true => Ok(self.root.join(relative)),
            false => {
                let reason = "expected the path of a file inside the folder of the export".to_string();
                Err(Error::Damaged { id: relative.escape_debug().to_string(), reason })
            }
        }
    }

    fn scratch(&self) -> PathBuf {
        self.root.join(OWN).join("scratch")
    }

    fn marker(&self) -> PathBuf {
        self.root.join(OWN).join("export.json")
    }

    fn mark(&self, complete: bool) -> Result<(), Error> {
        let place = self.marker();
        let put = || -> std::io::Result<()> {
            let mut file = WholeFile::create_in(&self.scratch(), place.clone())?;
            serde_json::to_writer_pretty(&mut file, &Marker { complete, task: self.task.clone() })?;
            file.write_all(b"\n")?;
            file.finish()
        };
        put().map_err(io(&place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(form: &str) -> Task {
        Task { form: form.into(), tables_sha256: "00".into(), granted: vec![], left_out: vec![] }
    }

    #[test]
    fn files_stay_inside_the_folder() {
        let to = tempfile::tempdir().unwrap();
        let folder = Folder::open(&to.path().join("out"), task("coco")).unwrap();
        for bad in ["", ".", "..", "a/../b", "../b", "/b", "a//b", "a/", "a/.", "a/./b", "a\0"] {
            assert!(matches!(folder.write(bad, b"x"), Err(Error::Damaged { .. })), "{bad:?}");
        }
        for good in ["a.png", "a/b.png", "a/..b/c..", "a/...", "a b/ü@1-2"] {
            folder.write(good, b"x").unwrap();
        }
        let beside = fs::read_dir(to.path()).unwrap();
        assert_eq!(beside.count(), 1);
    }

    #[test]
    fn a_folder_is_for_one_task() {
        let to = tempfile::tempdir().unwrap();
        let root = to.path();
        let folder = Folder::open(root, task("coco")).unwrap();
        folder.write("a", b"x").unwrap();
        assert!(fs::read_to_string(folder.marker()).unwrap().contains("\"complete\": false"));
        fs::write(folder.scratch().join(".medcosmos-killed.unfinished"), "half").unwrap();
        let folder = Folder::open(root, task("coco")).unwrap();
        assert_eq!(fs::read_dir(folder.scratch()).unwrap().count(), 0);
        folder.complete().unwrap();
        assert!(fs::read_to_string(folder.marker()).unwrap().contains("\"complete\": true"));
        assert!(matches!(Folder::open(root, task("pictures")), Err(Error::OtherExport(_))));
        fs::remove_file(folder.marker()).unwrap();
        assert!(matches!(Folder::open(root, task("coco")), Err(Error::NotEmpty(_))));
    }
}
