//! The digests of members as a run knows them: each later read of a member must give the same bytes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::Reason;

/// SHA-256 of members, by their place in the tree: of their first read, or as a cache of digests has it.
#[derive(Default)]
pub(super) struct Known {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    digests: HashMap<usize, String>,
    contradicted: BTreeSet<usize>,
}

impl Known {
    /// The digest of a member, in hexadecimal.
    pub(super) fn get(&self, place: usize) -> Option<String> {
        self.lock().digests.get(&place).cloned()
    }

    /// Notes the digest of a member that was read, or compares it with the one that is known.
    ///
    /// # Errors
    /// [`Reason::Changed`] where they differ.
    pub(super) fn compare(&self, place: usize, digest: &str) -> Result<(), Reason> {
        let state = &mut *self.lock();
        let known = state.digests.entry(place).or_insert_with(|| digest.to_owned());
        if known == digest {
            return Ok(());
        }
        let reason = Reason::Changed { known: known.clone(), found: digest.to_owned() };
        state.contradicted.insert(place);
        Err(reason)
    }

    /// Notes that a member cannot be read. Where its digest is known, it could be read when that was computed.
    pub(super) fn not_read(&self, place: usize) {
        let state = &mut *self.lock();
        if state.digests.contains_key(&place) {
            state.contradicted.insert(place);
        }
    }

    /// Members whose bytes were not those of their digest, or could not be read any more.
    pub(super) fn contradicted(&self) -> Vec<usize> {
        self.lock().contradicted.iter().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
