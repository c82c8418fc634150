//! Iteration over the tables of a shard: rows in order, as many as the receipt states, with the rows that they belong
//! to.

use std::collections::BTreeMap;

use super::{Finding, Kind};
use crate::store::rows::compare_ids;
use crate::store::{Projection, Row, Rows, TableFile};

/// Most findings of a kind that are reported individually per file; of the others there is a count.
const MOST: u64 = 20;

/// What is found in one file.
pub(super) struct Notes {
    path: String,
    source: String,
    findings: Vec<Finding>,
    counts: BTreeMap<Kind, u64>,
}

impl Notes {
    pub(super) fn new(path: &str, source: &str) -> Self {
        Notes { path: path.into(), source: source.into(), findings: Vec::new(), counts: BTreeMap::new() }
    }

    /// Notes a fault of the row with an id, or of the whole file.
    pub(super) fn push<'a>(&mut self, kind: Kind, id: impl Into<Option<&'a str>>, says: impl Into<String>) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= MOST {
            let fault = Finding::fault(kind, Some(&self.source), &self.path, says);
            self.findings.push(Finding { id: id.into().map(String::from), ..fault });
        }
    }

    /// True where no row was out of order and the file could be read to its end.
    pub(super) fn in_order(&self) -> bool {
        !self.counts.contains_key(&Kind::Order) && !self.counts.contains_key(&Kind::BrokenTable)
    }

    /// All that was found.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        for (&kind, &count) in self.counts.iter().filter(|(_, count)| **count > MOST) {
            let says = format!("and {} more of this kind in the file", count - MOST);
            self.findings.push(Finding::fault(kind, Some(&self.source), &self.path, says));
        }
        self.findings
    }
}

/// Reads all rows of a file, one row group in memory at a time, and hands each to `check`. Order, number, first and
/// last row are compared with the receipt.
pub(super) fn walk<R: Row>(file: TableFile, mut check: impl FnMut(&R, &mut Notes)) -> Notes {
    let mut notes = Notes::new(&file.file.path, &file.source);
    let recorded = file.file.clone();
    let (mut count, mut first) = (0, None);
    let mut previous: Option<R> = None;
    for row in Rows::<R>::of(vec![file]) {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                notes.push(Kind::BrokenTable, None, format!("cannot be decoded: {error}"));
                return notes;
            }
        };
        count += 1;
        first.get_or_insert_with(|| row.id().to_string());
        if let Some(previous) = previous.as_ref().filter(|previous| previous.compare(&row).is_ge()) {
            let says = match previous.compare(&row).is_eq() {
                true => "occurs twice".to_string(),
                false => format!("follows {}, but must precede it", previous.key()),
            };
            notes.push(Kind::Order, row.id(), says);
        }
        check(&row, &mut notes);
        previous = Some(row);
    }
    let last = previous.map(|row| row.id().to_string());
    if count != recorded.rows {
        notes.push(Kind::Rows, None, format!("has {count} rows, but its receipt states {}", recorded.rows));
    }
    for (what, found, recorded) in [("first", first, recorded.first), ("last", last, recorded.last)] {
        if found.as_ref() != Some(&recorded) {
            let says = format!("its {what} row is {}, but its receipt states {recorded}", found.unwrap_or_default());
            notes.push(Kind::Rows, None, says);
        }
    }
    notes
}

/// The rows of a table that others belong to, read next to these: both are in the order of their ids.
pub(super) struct Parents<P> {
    rows: Rows<P>,
    id: fn(&P) -> &str,
    current: Option<P>,
    /// True where a row was found to belong to the current one.
    used: bool,
    /// Ids that no row was found to belong to, so far.
    unused: Vec<String>,
}

impl<P: Projection> Parents<P> {
    /// The rows of a file, which need not be there; `id` is that of a row.
    pub(super) fn of(file: Option<TableFile>, id: fn(&P) -> &str) -> Self {
        let mut parents =
            Parents { rows: Rows::of(file.into_iter().collect()), id, current: None, used: true, unused: Vec::new() };
        parents.advance();
        parents
    }

    /// The row with an id. Ids must be asked for in their order.
    pub(super) fn find(&mut self, id: &str) -> Option<&P> {
        while let Some(current) = &self.current
            && compare_ids((self.id)(current), id).is_lt()
        {
            self.advance();
        }
        let found = self.current.as_ref().filter(|current| (self.id)(current) == id)?;
        self.used = true;
        Some(found)
    }

    /// Ids of the rows that no row was found to belong to; the first ones where they are many.
    pub(super) fn unused(mut self) -> Vec<String> {
        while self.current.is_some() {
            self.advance();
        }
        self.unused
    }

    fn advance(&mut self) {
        if let Some(current) = self.current.take().filter(|_| !self.used && self.unused.len() as u64 <= MOST) {
            self.unused.push((self.id)(&current).to_string());
        }
        // What cannot be read is reported where the table itself is walked over.
        self.current = self.rows.next().and_then(Result::ok);
        self.used = false;
    }
}
