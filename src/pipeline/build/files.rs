//! The tables `sources` and `files`: the sources, and the use of every member of the tree.

use std::collections::BTreeMap;

use crate::digest::canonical_json;
use crate::pipeline::{Error, Result};
use crate::raw::Tree;
use crate::sources::{FileUse, Pseudonyms, Scan};
use crate::spec::{Registry, Spec};
use crate::store::{Dataset, FileRow, FileStatus, Partition, Receipt, Row, Shard, ShardKey, SourceRow, Stage};
use crate::text::printable_line;

/// Source name of the partition of files that no source claims.
pub(in crate::pipeline) const NO_SOURCE: &str = "unclaimed";

/// A shard of the tables of sources and files: what a source is, and what became of its files.
pub(in crate::pipeline) struct Files {
    pub(in crate::pipeline) shard: Shard,
    /// `None` for the files that belong to no source.
    about: Option<SourceRow>,
    rows: Vec<FileRow>,
}

impl Files {
    /// Writes the shard into a dataset.
    pub(in crate::pipeline) fn write(&self, dataset: &Dataset) -> Result<Receipt> {
        let mut writer = dataset.begin(&self.shard);
        if let Some(row) = &self.about {
            writer.push(row.clone())?;
        }
        for row in &self.rows {
            writer.push(row.clone())?;
        }
        Ok(writer.finish()?)
    }
}

/// What became of every member of the tree: one shard for each source, and one for the files that belong to none.
pub(in crate::pipeline) fn planned_files(tree: &Tree, found: &Scan, registry: &Registry) -> Result<Vec<Files>> {
    let mut rows: BTreeMap<String, Vec<FileRow>> = BTreeMap::new();
    let unclaimed = match registry.chosen() {
        Some(chosen) => format!("matches none of the selected sources ({})", chosen.join(", ")),
        None => "matches no source".to_string(),
    };
    let pseudonyms = Pseudonyms::of(found);
    let mut add = |source: &str, path: &str, size: Option<u64>, status: FileStatus, reason: Option<String>| {
        let source = source.to_string();
        let (path, reason) =
            (pseudonyms.hide(path), reason.map(|reason| printable_line(&pseudonyms.hide(&reason)).into_owned()));
        let row = FileRow { path, source: source.clone(), size, status, reason };
        rows.entry(source).or_default().push(row);
    };
    for (member, file) in tree.members().iter().zip(&found.files) {
        let size = Some(member.size);
        match file {
            FileUse::Used { source } => add(source, &member.path, size, FileStatus::Used, None),
            FileUse::Skipped { source, reason } => {
                add(source, &member.path, size, FileStatus::Skipped, Some(reason.clone()))
            }
            FileUse::Unclaimed => {
                add(NO_SOURCE, &member.path, size, FileStatus::Skipped, Some(unclaimed.clone()));
            }
        }
    }
    for ignored in tree.ignored() {
        add(NO_SOURCE, &ignored.path, None, FileStatus::Skipped, Some(ignored.reason.to_string()));
    }
    for problem in tree.problems() {
        add(NO_SOURCE, &problem.path, None, FileStatus::Failed, Some(problem.reason.clone()));
    }
    // Written even where it is empty, in place of what an earlier run found.
    rows.entry(NO_SOURCE.into()).or_default();
    for source in &found.sources {
        rows.entry(source.slug.clone()).or_default();
    }
    let mut planned = Vec::new();
    for (source, mut rows) in rows {
        let about = found.sources.iter().find(|s| s.slug == source);
        let about =
            about.map(|found| Ok::<_, Error>(source_row(registry.get(&found.slug)?, &found.release))).transpose()?;
        rows.sort_by(|a, b| a.compare(b).then_with(|| a.reason.cmp(&b.reason)));
        rows.dedup_by(|a, b| a.path == b.path);
        let described = rows.iter().map(canonical_json);
        let key = ShardKey::new().with_digest_of("files", described).with_digest_of("source", [canonical_json(&about)]);
        let shard = Shard::new(Stage::Files, Partition::source(&source)?, key);
        planned.push(Files { shard, about, rows });
    }
    Ok(planned)
}

fn source_row(spec: &Spec, release: &str) -> SourceRow {
    SourceRow {
        source: spec.slug.clone(),
        name: spec.name.clone(),
        release: Some(release.to_string()),
        home: spec.home.clone(),
        licence: spec.licence.id.clone(),
        terms: spec.licence.terms.clone(),
        share_derived: spec.licence.share_derived.text().into(),
        citation: spec.citation.clone(),
        spec_sha256: spec.digest(),
    }
}
