//! Bytes kept in memory for the next read: entries that decoders passed over, and members that were read for their
//! digests.
//!
//! One store for a whole tree, so its memory is bounded for any number of archives: the oldest entry is removed first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Decoded entries, by archive and entry number, of at most a number of bytes together.
pub(super) struct Kept {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    archives: usize,
    bytes: u64,
    /// Counts the entries kept so far.
    clock: u64,
    entries: HashMap<(usize, usize), (u64, Vec<u8>)>,
    /// The entries by the clock's time at which they were kept.
    by_age: BTreeMap<u64, (usize, usize)>,
}

impl Kept {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// A number for an archive that keeps entries here.
    pub(super) fn register(&self) -> usize {
        let mut state = self.lock();
        state.archives += 1;
        state.archives
    }

    /// Whether an entry of this size is kept at all.
    pub(super) fn accepts(&self, size: u64) -> bool {
        size <= self.limit
    }

    /// Whether an entry of this size can be kept without letting another go.
    pub(super) fn has_room(&self, size: u64) -> bool {
        self.lock().bytes.saturating_add(size) <= self.limit
    }

    /// Keeps an entry, and lets the oldest ones go where there are too many bytes.
    pub(super) fn put(&self, archive: usize, entry: usize, bytes: Vec<u8>) {
        let state = &mut *self.lock();
        state.remove((archive, entry));
        state.clock += 1;
        state.bytes += bytes.len() as u64;
        state.by_age.insert(state.clock, (archive, entry));
        state.entries.insert((archive, entry), (state.clock, bytes));
        while state.bytes > self.limit
            && let Some((_, oldest)) = state.by_age.pop_first()
        {
            state.remove(oldest);
        }
    }

    /// Hands an entry out; it is kept no longer.
    pub(super) fn take(&self, archive: usize, entry: usize) -> Option<Vec<u8>> {
        self.lock().remove((archive, entry))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, key: (usize, usize)) -> Option<Vec<u8>> {
        let (time, bytes) = self.entries.remove(&key)?;
        self.by_age.remove(&time);
        self.bytes -= bytes.len() as u64;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first() {
        let kept = Kept::new(10);
        let (a, b) = (kept.register(), kept.register());
        kept.put(a, 0, vec![0; 4]);
        kept.put(b, 0, vec![1; 4]);
        kept.put(a, 0, vec![2; 4]);
        kept.put(a, 1, vec![3; 4]);
        assert_eq!(kept.take(b, 0), None);
        assert_eq!(kept.take(a, 0), Some(vec![2; 4]));
        assert_eq!(kept.take(a, 0), None);
        assert_eq!(kept.take(a, 1), Some(vec![3; 4]));
        assert!(kept.accepts(10) && !kept.accepts(11));
        kept.put(a, 3, vec![0; 4]);
        assert!(kept.has_room(6) && !kept.has_room(7));
        kept.put(a, 2, vec![0; 11]);
        assert_eq!(kept.take(a, 2), None);
    }
}
