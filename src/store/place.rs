//! What lies in the places of a dataset's files and folders.
//!
//! A folder in the place of a file cannot be replaced, nor a file in the place of a folder, and either may be of use to
//! somebody. No stage touches it: it says what is in the way, and `medcosmos verify --repair --apply` moves it aside.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::Path;

use walkdir::WalkDir;

use super::dataset::Dataset;
use super::error::{Error, Result, io};
use super::layout::{self, DATASET, Kind, MANIFEST, RECEIPTS};
use super::schema::Table;

/// Reads a file of a dataset by its path below `root`; `None` where nothing is there.
///
/// # Errors
/// As [`check`], and errors of reading.
pub(super) fn read(root: &Path, relative: &str) -> Result<Option<Vec<u8>>> {
    check(root, relative)?;
    let path = root.join(relative);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(&path, "read")(error)),
    }
}

/// Checks that nothing lies in the way of a file (or folder) of a dataset: neither in its place nor in that of a folder
/// above it.
///
/// # Errors
/// [`Error::Damaged`] with what was found instead, and what to do.
pub(super) fn check(root: &Path, relative: &str) -> Result<()> {
    // Most often the file is there, which needs one look.
    let mut path = root.join(relative);
    let own_kind = layout::expected(relative).unwrap_or(Kind::File);
    if fs::metadata(&path).is_ok_and(|found| is(&found, own_kind)) {
        return Ok(());
    }
    path = root.to_path_buf();
    let depth = relative.split('/').count();
    for (at, part) in relative.split('/').enumerate() {
        path.push(part);
        let kind = if at + 1 == depth { own_kind } else { Kind::Folder };
        let Ok(found) = fs::metadata(&path) else { return Ok(()) };
        if !is(&found, kind) {
            let advice = match Dataset::is_at(root) {
                true => format!("`medcosmos verify {} --repair --apply` moves it aside", root.display()),
                false => "move it elsewhere".to_string(),
            };
            let reason = format!("expected {kind}, found {}: {advice}", found_kind(&found));
            return Err(Error::Damaged { path, reason });
        }
    }
    Ok(())
}

fn is(found: &Metadata, kind: Kind) -> bool {
    match kind {
        Kind::File => found.is_file(),
        Kind::Folder => found.is_dir(),
    }
}

fn found_kind(found: &Metadata) -> &'static str {
    match (found.is_dir(), found.is_file()) {
        (true, _) => "a folder",
        (_, true) => "a file",
        _ => "a device, pipe or socket",
    }
}

impl Dataset {
    /// Paths, relative to the dataset, at which something else lies than belongs there; sorted.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn in_the_way(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let differs = |path: &str| {
            let there = fs::metadata(self.path().join(path)).ok();
            there.zip(layout::expected(path)).is_some_and(|(there, kind)| !is(&there, kind))
        };
        found.extend([DATASET, MANIFEST].iter().filter(|path| differs(path)).map(ToString::to_string));
        for top in Table::ALL.iter().map(|table| table.name()).chain([RECEIPTS]) {
            let folder = self.path().join(top);
            let mut walk = WalkDir::new(&folder).sort_by_file_name().into_iter();
            while let Some(entry) = walk.next() {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(_) if !folder.exists() => break,
                    Err(error) => return Err(io(&folder, "list the folder")(error.into())),
                };
                let relative = entry.path().strip_prefix(self.path()).unwrap_or(entry.path());
                let path = relative.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
                if differs(&path) {
                    if entry.file_type().is_dir() {
                        walk.skip_current_dir();
                    }
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Moves what lies at a path to the folder of things set aside, under a name of its own.
    ///
    /// # Errors
    /// Errors of writing.
    pub(super) fn move_aside(&self, path: &str) -> Result<()> {
        let aside = layout::aside(self.path());
        let numbered = |n: usize| if n == 0 { aside.join(path) } else { aside.join(format!("{path}~{n}")) };
        let free = (0..).map(numbered).find(|to| fs::symlink_metadata(to).is_err());
        let to = free.unwrap_or_else(|| aside.join(path));
        let folder = to.parent().unwrap_or(&aside);
        fs::create_dir_all(folder).map_err(io(folder, "create the folder"))?;
        fs::rename(self.path().join(path), &to).map_err(io(&to, "move what is in the way there"))
    }
}
