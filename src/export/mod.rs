//! Slices and masks for other programs, and copies of datasets for redistribution.
//!
//! Every export is checked by [`crate::licences`] and contains the attribution that the licences require. The same
//! dataset and options give the same bytes.

mod card;
mod coco;
mod package;
mod pictures;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::licences::{self, Permissions, Terms, attribution, passable};
use crate::named;
use crate::store::{self, Dataset, Manifest, Projection, Rows, TableFile};

pub use package::package;

named! {
    /// Form of an export.
    pub enum Form("form") {
        /// `images/<slice_id>.png`, `masks/<mask_id>.png` (0 and 255), and `masks.csv`, which describes each mask.
        Pictures = "pictures",
        /// `images/<slice_id>.png`, and `annotations.json` in COCO format with run-length masks.
        Coco = "coco",
    }
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Sources, by name.
    pub sources: Vec<String>,
    /// Slices.
    pub slices: u64,
    /// Masks.
    pub masks: u64,
}

/// Why nothing, or not all, was written.
#[derive(Debug, Error)]
pub enum Error {
    /// Pixels that must stay where they are.
    #[error(transparent)]
    Licence(#[from] licences::Error),
    /// The dataset cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The folder holds something already.
    #[error("{0}: the folder is not empty; choose a new one")]
    NotEmpty(PathBuf),
    /// The dataset has not been built, or its build was not finished.
    #[error("{0}: the dataset has no finished build; complete `medcosmos build` first")]
    Unfinished(PathBuf),
    /// A file cannot be written.
    #[error("{path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A stored mask that cannot be decoded.
    #[error("{id}: {reason}")]
    Damaged {
        /// Id of the row.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Writes slices and masks of a dataset into a new folder, in the form of another program. Masks of excluded categories
/// are written too, marked where the form has a place for it.
///
/// # Errors
/// [`Error::Licence`] before anything is written, where terms forbid it.
pub fn export(dataset: &Dataset, to: &Path, form: Form, permissions: &Permissions) -> Result<Exported, Error> {
    let scope = ExportScope::of(dataset, permissions)?;
    new_folder(to)?;
    let mut exported = match form {
        Form::Pictures => pictures::write(&scope, to)?,
        Form::Coco => coco::write(&scope, to)?,
    };
    exported.sources = scope.terms.iter().map(|t| t.source.clone()).collect();
    write(&to.join("ATTRIBUTION.md"), attribution(&scope.terms, permissions).as_bytes())?;
    Ok(exported)
}

/// What of a dataset goes out: the finished shards of the sources that may.
struct ExportScope<'a> {
    dataset: &'a Dataset,
    terms: Vec<Terms>,
    /// Paths of the files that the last commit vouches for.
    committed: BTreeSet<PathBuf>,
}

impl<'a> ExportScope<'a> {
    fn of(dataset: &'a Dataset, permissions: &Permissions) -> Result<Self, Error> {
        let unfinished = || Error::Unfinished(dataset.path().to_path_buf());
        let manifest = Manifest::read(dataset)?.ok_or_else(unfinished)?;
        let terms = passable(dataset, permissions)?;
        let files = manifest.shards.iter().flat_map(|shard| shard.files.values());
        let committed = files.map(|file| dataset.path().join(&file.path)).collect();
        Ok(ExportScope { dataset, terms, committed })
    }

    /// Files of a table, in the order of their rows.
    fn files<P: Projection>(&self) -> Result<Vec<TableFile>, Error> {
        let mut files = self.dataset.files(P::TABLE)?;
        files.retain(|f| self.committed.contains(&f.path) && self.terms.iter().any(|t| t.source == f.source));
        Ok(files)
    }

    fn rows<P: Projection>(&self) -> Result<Rows<P>, Error> {
        Ok(Rows::of(self.files::<P>()?))
    }
}

/// Makes a folder, or takes an empty one.
fn new_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(io(path))?;
    match fs::read_dir(path).map_err(io(path))?.next() {
        None => Ok(()),
        Some(_) => Err(Error::NotEmpty(path.to_path_buf())),
    }
}

/// Writes a file, and the folders that it lies in.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io(folder))?;
    }
    fs::write(path, bytes).map_err(io(path))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_path_buf(), source }
}
