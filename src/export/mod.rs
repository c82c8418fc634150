//! Slices and masks for other programs, and copies of datasets for redistribution.
//!
//! Every export is checked by [`crate::licences`] and contains the attribution that the licences require. The same
//! dataset and options give the same bytes.

mod card;
mod coco;
mod folder;
mod package;
mod pictures;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::digest::sha256_parts;
use crate::licences::{self, Permissions, Terms, attribution, passable};
use crate::named;
use crate::store::{self, Dataset, Manifest, Projection, Rows, Table, TableFile};

use folder::{Folder, Task};
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
    /// The folder was begun by another command, or from other tables.
    #[error(
        "{0}: holds an export with other options, or of another state of the dataset; choose a new folder, or remove \
         this one"
    )]
    OtherExport(PathBuf),
    /// Damaged rows of the dataset, which were left out. Everything else was written.
    #[error(
        "{} damaged part(s) of the dataset were not exported:{}\nRun `medcosmos verify {dataset} --repair --apply`, then the \
         same `medcosmos build` and this command again, which adds them",
        damaged.len(),
        list(damaged)
    )]
    Incomplete {
        /// The dataset.
        dataset: PathBuf,
        /// Ids of rows or paths of files, with what is wrong with them.
        damaged: Vec<Damage>,
    },
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

/// A row or a file of the dataset that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Id of the row, or path of the file.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.reason)
    }
}

fn list(damaged: &[Damage]) -> String {
    damaged.iter().map(|damage| format!("\n  {damage}")).collect()
}

/// Writes slices and masks of a dataset into a folder, in the form of another program. Masks of excluded categories are
/// written too, marked where the form has a place for it. Every picture is compared with the digest of its pixels.
///
/// Files appear whole, and the same call goes on where an earlier one was interrupted: files that are there with the
/// right bytes stay.
///
/// # Errors
/// [`Error::Licence`] before anything is written, where terms forbid it; [`Error::NotEmpty`] and [`Error::OtherExport`]
/// for a folder that holds something else; [`Error::Incomplete`] where rows are damaged, after everything else was
/// written; errors of reading and writing.
pub fn export(dataset: &Dataset, to: &Path, form: Form, permissions: &Permissions) -> Result<Exported, Error> {
    let scope = ExportScope::of(dataset, permissions)?;
    let folder = Folder::open(to, scope.task(form.name(), permissions, &[Table::Slices, Table::Masks]))?;
    folder.write("ATTRIBUTION.md", attribution(&scope.terms, permissions).as_bytes())?;
    let mut exported = match form {
        Form::Pictures => pictures::write(&scope, &folder)?,
        Form::Coco => coco::write(&scope, &folder)?,
    };
    exported.sources = scope.terms.iter().map(|t| t.source.clone()).collect();
    folder.complete()?;
    Ok(exported)
}

/// What of a dataset goes out: the finished shards of the sources that may.
struct ExportScope<'a> {
    dataset: &'a Dataset,
    terms: Vec<Terms>,
    /// Files that the last commit vouches for: table, path and SHA-256.
    committed: BTreeSet<(Table, PathBuf, String)>,
}

impl<'a> ExportScope<'a> {
    fn of(dataset: &'a Dataset, permissions: &Permissions) -> Result<Self, Error> {
        let unfinished = || Error::Unfinished(dataset.path().to_path_buf());
        let manifest = Manifest::read(dataset)?.ok_or_else(unfinished)?;
        let terms = passable(dataset, permissions)?;
        let files = manifest.shards.into_iter().flat_map(|shard| shard.files);
        let committed = files.map(|(table, file)| (table, dataset.path().join(&file.path), file.sha256)).collect();
        Ok(ExportScope { dataset, terms, committed })
    }

    /// What a folder is for that gets these tables.
    fn task(&self, form: &str, permissions: &Permissions, tables: &[Table]) -> Task {
        let sorted = |names: &[String]| BTreeSet::from_iter(names.iter().cloned()).into_iter().collect();
        let files = self.committed.iter().filter(|(table, ..)| tables.contains(table));
        Task {
            form: form.into(),
            tables_sha256: sha256_parts(files.map(|(.., sha256)| sha256.as_bytes())),
            granted: sorted(&permissions.granted),
            left_out: sorted(&permissions.left_out),
        }
    }

    /// Files of a table, in the order of their rows.
    fn files<P: Projection>(&self) -> Result<Vec<TableFile>, Error> {
        let committed: BTreeSet<&PathBuf> = self.committed.iter().map(|(_, path, _)| path).collect();
        let mut files = self.dataset.files(P::TABLE)?;
        files.retain(|f| committed.contains(&f.path) && self.terms.iter().any(|t| t.source == f.source));
        Ok(files)
    }

    fn rows<P: Projection>(&self) -> Result<Rows<P>, Error> {
        Ok(Rows::of(self.files::<P>()?))
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_path_buf(), source }
}
