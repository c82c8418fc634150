//! Journals: rows of predictions that are finished while their shard is not, so that an interrupted run does not compute
//! them again.
//!
//! A journal is a folder of segments: Parquet files of prediction rows, each written whole or not at all, and named by
//! the first 16 hex digits of its SHA-256. A segment that is not what its name says is ignored. Journals are no part of
//! the data: rows count once a shard that holds them is committed.

use std::collections::BTreeSet;

use super::dataset::Dataset;
use super::durable::Staged;
use super::error::{Error, Result, io};
use super::layout;
use super::reader::{Rows, TableFile};
use super::root::Root;
use super::rows::{PredictedMask, PredictionRow, Row};
use super::schema::Table;
use super::shard::{Shard, ShardFile};
use super::writer::TableWriter;
use crate::digest::sha256_of;

/// The journal of a shard.
pub(crate) struct Journal {
    root: Root,
    /// Path below the dataset.
    folder: String,
    model: Option<String>,
    source: String,
}

/// A part of a journal.
pub(crate) struct Segment {
    /// The file.
    pub(crate) file: TableFile,
    /// The masks that it holds all predictions of, in the order of the rows.
    pub(crate) masks: Vec<String>,
}

impl Dataset {
    /// The journal of a shard, among those of its setting; empty where none was begun.
    pub(crate) fn journal(&self, setting: &str, shard: &Shard) -> Journal {
        let model = shard.partition().model_name().unwrap_or_default();
        Journal {
            root: self.root().clone(),
            folder: format!("{}/{setting}/{}", journals_of(model), shard.id()),
            model: shard.partition().model_name().map(String::from),
            source: shard.partition().source_name().to_string(),
        }
    }
}

impl Dataset {
    /// Removes the journals of a model that are of another setting.
    ///
    /// # Errors
    /// Errors of removing.
    pub(crate) fn remove_other_journals(&self, model: &str, setting: &str) -> Result<()> {
        let folder = journals_of(model);
        let setting_of = |path: &str| Some(path.strip_prefix(&folder)?.get(1..)?.split_once('/')?.0.to_string());
        let settings: BTreeSet<String> =
            self.root().files(&folder)?.iter().filter_map(|path| setting_of(path)).collect();
        let others = settings.iter().filter(|other| *other != setting);
        others.into_iter().try_for_each(|other| self.root().remove_folder(&format!("{folder}/{other}"), &folder))
    }
}

fn journals_of(model: &str) -> String {
    format!("{}/{model}", layout::JOURNALS)
}

impl Journal {
    /// Keeps rows, which come in any order, and returns once they survive a power cut.
    ///
    /// # Errors
    /// Errors of writing.
    pub(crate) fn append(&self, mut rows: Vec<PredictionRow>) -> Result<()> {
        rows.sort_by(Row::compare);
        let mut writer = TableWriter::new(Staged::create(&layout::scratch(self.root.own_folder()))?)?;
        rows.into_iter().try_for_each(|row| writer.push(row))?;
        let staged = writer.finish()?.staged;
        let name = format!("{}.parquet", &staged.digest()[..16]);
        staged.publish(&self.root, &format!("{}/{name}", self.folder))?;
        Ok(())
    }

    /// Number of its segments, damaged ones among them.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn len(&self) -> Result<usize> {
        Ok(self.root.files(&self.folder)?.len())
    }

    /// Its segments, in the order of their names. Damaged ones are left out, with a warning.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn segments(&self) -> Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for path in self.root.files(&self.folder)? {
            match self.segment(path) {
                Ok(segment) => segments.push(segment),
                Err(error @ Error::Storage { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!("{error}: this part of the journal is ignored, and its masks are predicted again");
                }
            }
        }
        Ok(segments)
    }

    fn segment(&self, name: String) -> Result<Segment> {
        let path = self.root.at(&name);
        let missing = || io(&path, "open")(std::io::ErrorKind::NotFound.into());
        let file = self.root.open(&name, None)?.ok_or_else(missing)?;
        let (bytes, sha256) = sha256_of(file).map_err(io(&path, "read"))?;
        if path.file_stem().is_none_or(|name| name != &sha256[..16]) {
            let reason = format!("its SHA-256 is {sha256}, which is not its name");
            return Err(Error::Damaged { path, reason });
        }
        let (model, source) = (self.model.clone(), self.source.clone());
        let empty = String::new;
        let file = ShardFile { bytes, checksums: empty(), first: empty(), last: empty(), path: name, rows: 0, sha256 };
        let mut file = TableFile { root: self.root.clone(), path, table: Table::Predictions, model, source, file };
        let mut masks: Vec<String> = Vec::new();
        for row in Rows::<PredictedMask>::of(vec![file.clone()]) {
            let PredictedMask { mask_id } = row?;
            file.file.rows += 1;
            if masks.last() != Some(&mask_id) {
                masks.push(mask_id);
            }
        }
        file.file.first = masks.first().cloned().unwrap_or_default();
        file.file.last = masks.last().cloned().unwrap_or_default();
        Ok(Segment { file, masks })
    }

    /// Removes the journal.
    ///
    /// # Errors
    /// Errors of removing.
    pub(crate) fn remove(&self) -> Result<()> {
        self.root.remove_folder(&self.folder, layout::JOURNALS)
    }
}
