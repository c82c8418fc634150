//! Predictions that are there already, in shards and journals, and are carried over into a shard that holds more.

use std::collections::HashMap;
use std::iter::Peekable;

use super::Result;
use crate::store::rows::compare_ids;
use crate::store::{PredictionRow, Row, Rows, TableFile};

/// Files of finished predictions of one pass over one shard of the build, and the masks that are taken from each.
#[derive(Default)]
pub(super) struct Carried {
    files: Vec<TableFile>,
    /// The file of each mask, by its position.
    file_of: HashMap<String, usize>,
}

impl Carried {
    /// Adds a file. Masks that an earlier one has are taken from there.
    pub(super) fn add(&mut self, file: TableFile, masks: impl IntoIterator<Item = String>) {
        let at = self.files.len();
        self.files.push(file);
        for mask in masks {
            self.file_of.entry(mask).or_insert(at);
        }
    }

    /// Whether a mask's predictions are carried over.
    pub(super) fn has(&self, mask: &str) -> bool {
        self.file_of.contains_key(mask)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.file_of.is_empty()
    }

    /// The rows, in the order of the table.
    pub(super) fn rows(&self) -> Merged<'_> {
        let chains = chains(&self.files).into_iter().map(|chain| {
            let rows = chain.into_iter().flat_map(move |at| {
                let own = move |row: &PredictionRow| self.file_of.get(&row.mask_id) == Some(&at);
                let rows = Rows::<PredictionRow>::of(vec![self.files[at].clone()]);
                rows.filter(move |row| row.as_ref().map_or(true, own)).map(|row| Ok(row?))
            });
            (Box::new(rows) as Box<dyn Iterator<Item = Result<PredictionRow>>>).peekable()
        });
        Merged { chains: chains.collect() }
    }
}

/// Files in chains, each in the order of its rows and without overlap: a journal has thousands of segments, most of
/// which follow one another, and only one file of a chain is open at a time.
fn chains(files: &[TableFile]) -> Vec<Vec<usize>> {
    let mut sorted: Vec<usize> = (0..files.len()).collect();
    sorted.sort_by(|a, b| compare_ids(&files[*a].file.first, &files[*b].file.first));
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for at in sorted {
        let follows = |chain: &&mut Vec<usize>| {
            let last = chain.last().map(|last| &files[*last].file.last);
            last.is_none_or(|last| compare_ids(last, &files[at].file.first).is_lt())
        };
        match chains.iter_mut().find(follows) {
            Some(chain) => chain.push(at),
            None => chains.push(vec![at]),
        }
    }
    chains
}

/// Rows of several sorted sources as one.
pub(super) struct Merged<'a> {
    chains: Vec<Peekable<Box<dyn Iterator<Item = Result<PredictionRow>> + 'a>>>,
}

impl Merged<'_> {
    /// The next row that comes before `row`; before nothing, any.
    pub(super) fn next_before(&mut self, row: Option<&PredictionRow>) -> Option<Result<PredictionRow>> {
        let mut first: Option<(usize, &PredictionRow)> = None;
        let mut failed = None;
        for (at, chain) in self.chains.iter_mut().enumerate() {
            match chain.peek() {
                Some(Ok(head)) if first.is_none_or(|(_, least)| head.compare(least).is_lt()) => {
                    first = Some((at, head))
                }
                Some(Err(_)) => failed = Some(at),
                _ => {}
            }
        }
        let before = first.filter(|(_, head)| row.is_none_or(|row| head.compare(row).is_lt()));
        let at = failed.or(before.map(|(at, _)| at))?;
        self.chains[at].next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Table;

    #[test]
    fn files_that_follow_one_another_are_one_chain() {
        let file = |first: &str, last: &str| TableFile::of_range(Table::Predictions, first, last);
        let files = [file("s/c/1", "s/c/4"), file("s/b/1", "s/b/9"), file("s/b/5", "s/c/0"), file("s/d/1", "s/d/1")];
        assert_eq!(chains(&files), [vec![1, 0, 3], vec![2]]);
        // The slash comes before every other character.
        assert_eq!(chains(&[file("s/c/1", "s/c/4"), file("s/c-/1", "s/c-/2")]), [vec![0, 1]]);
        assert!(chains(&[]).is_empty());
    }
}
