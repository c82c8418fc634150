//! Access to archives that can only be decoded forward, without starting over for each entry.
//!
//! A decoder that has read an entry keeps its position and serves later ones. The rules, for a wanted entry `k`:
//! 1. If `k` was passed over and is still in memory, it is returned.
//! 2. Otherwise the nearest decoder before `k` continues; if another thread uses it, the read waits for it, because
//!    restarting would repeat all of its work.
//! 3. If no decoder is before `k`, one is started, replacing the least recently used one if the limit is reached.
//!
//! Threads that read an archive roughly in step therefore decode it once, and two reads through different folders cost
//! one pass each.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Reason;
use super::archive::Archive;
use super::kept::Kept;

/// An archive whose entries are decoded one after the other.
pub(super) trait Sequential: Send + Sync {
    /// A decoder somewhere in the archive.
    type Cursor: Cursor;

    /// Number of entries.
    fn len(&self) -> usize;

    /// Declared size of an entry.
    fn size(&self, entry: usize) -> u64;

    /// The last entry at or before `entry` where decoding can begin.
    fn start(&self, entry: usize) -> usize;

    /// A decoder that stands before `start`, one of the entries that [`Self::start`] gives.
    fn open(&self, start: usize) -> Result<Self::Cursor, Reason>;
}

/// A decoder that stands before an entry.
pub(super) trait Cursor: Send {
    /// Decodes the next entry into `out`, or to nowhere, and goes behind it.
    fn advance(&mut self, out: Option<&mut dyn Write>) -> Result<(), Reason>;
}

/// The open decoders of one archive.
pub(super) struct Cursors<S: Sequential> {
    archive: S,
    capacity: usize,
    kept: Arc<Kept>,
    /// The archive's number in `kept`.
    number: usize,
    state: Mutex<State<S::Cursor>>,
    /// Told whenever a decoder comes back.
    returned: Condvar,
}

struct State<C> {
    /// Decoders that wait, each with the entry that it stands before; the least recently used first.
    idle: Vec<(usize, C)>,
    /// The ways of the decoders at work: from the entry before which each set out to the one that it is to read.
    busy: Vec<(usize, usize)>,
}

/// What to do for a wanted entry.
enum Plan<C> {
    Hand(Vec<u8>),
    GoOn(usize, C),
    Start(usize),
    Wait,
}

impl<S: Sequential> Cursors<S> {
    /// At most `capacity` decoders, which leave what they pass over in `kept`.
    pub(super) fn new(archive: S, capacity: usize, kept: Arc<Kept>) -> Self {
        let state = Mutex::new(State { idle: Vec::new(), busy: Vec::new() });
        let number = kept.register();
        Self { archive, capacity: capacity.max(1), kept, number, state, returned: Condvar::new() }
    }

    /// Decodes one entry into `out`.
    fn decode(&self, entry: usize, out: &mut dyn Write) -> Result<(), Reason> {
        let start = self.archive.start(entry);
        let mut state = self.lock();
        let (from, cursor) = loop {
            match self.plan(&mut state, entry, start) {
                Plan::Hand(bytes) => {
                    drop(state);
                    return Ok(out.write_all(&bytes)?);
                }
                Plan::GoOn(from, cursor) => break (from, Some(cursor)),
                Plan::Start(from) => break (from, None),
                Plan::Wait => state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        };
        state.busy.push((from, entry));
        drop(state);
        let _in_flight = InFlight { cursors: self, position: (from, entry) };
        let mut cursor = match cursor {
            Some(cursor) => cursor,
            None => self.archive.open(from)?,
        };
        for passed in from..entry {
            self.pass(&mut cursor, passed)?;
        }
        cursor.advance(Some(out))?;
        let next = entry + 1;
        // Where decoding can begin again, a decoder that stands there is worth nothing.
        if next < self.archive.len() && self.archive.start(next) < next {
            self.lock().idle.push((next, cursor));
        }
        Ok(())
    }

    fn plan(&self, state: &mut State<S::Cursor>, entry: usize, start: usize) -> Plan<S::Cursor> {
        if let Some(bytes) = self.kept.take(self.number, entry) {
            return Plan::Hand(bytes);
        }
        let usable = |position: usize| (start..=entry).contains(&position);
        let idle = (0..state.idle.len()).filter(|&i| usable(state.idle[i].0)).max_by_key(|&i| state.idle[i].0);
        let nearest = idle.map(|i| state.idle[i].0);
        let coming = |&(from, to): &(usize, usize)| {
            let passes_over =
                from <= entry && entry < to && usable(from) && self.kept.accepts(self.archive.size(entry));
            passes_over || (usable(to + 1) && nearest.is_none_or(|position| position < to + 1))
        };
        if state.busy.iter().any(coming) {
            return Plan::Wait;
        }
        if let Some(index) = idle {
            let (from, cursor) = state.idle.remove(index);
            return Plan::GoOn(from, cursor);
        }
        if state.idle.len() + state.busy.len() >= self.capacity {
            if state.idle.is_empty() {
                return Plan::Wait;
            }
            state.idle.remove(0);
        }
        Plan::Start(start)
    }

    /// Moves a decoder behind `passed`, and keeps what it finds there if it is small enough.
    fn pass(&self, cursor: &mut S::Cursor, passed: usize) -> Result<(), Reason> {
        if !self.kept.accepts(self.archive.size(passed)) {
            return cursor.advance(None);
        }
        let mut bytes = Vec::new();
        cursor.advance(Some(&mut bytes))?;
        self.kept.put(self.number, passed, bytes);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<S::Cursor>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Sequential> Archive for Cursors<S> {
    fn copy(&self, entry: usize, out: &mut dyn Write) -> Result<(), Reason> {
        self.decode(entry, out)
    }

    fn is_sequential(&self) -> bool {
        true
    }
}

/// The way of a decoder at work; it ends when this is dropped, also by an error.
struct InFlight<'a, S: Sequential> {
    cursors: &'a Cursors<S>,
    position: (usize, usize),
}

impl<S: Sequential> Drop for InFlight<'_, S> {
    fn drop(&mut self) {
        let mut state = self.cursors.lock();
        if let Some(index) = state.busy.iter().position(|position| *position == self.position) {
            state.busy.swap_remove(index);
        }
        drop(state);
        self.cursors.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An archive whose entry `k` holds the number `k`, and which counts what is decoded and opened.
    #[derive(Default)]
    struct Numbers {
        len: usize,
        /// Decoding can begin at each multiple of this.
        block: usize,
        decoded: Arc<AtomicUsize>,
        open: Arc<AtomicUsize>,
        most_open: AtomicUsize,
    }

    struct At(usize, Arc<AtomicUsize>, Arc<AtomicUsize>);

    impl Drop for At {
        fn drop(&mut self) {
            self.2.fetch_sub(1, Ordering::SeqCst);
        }
    }

    impl Cursor for At {
        fn advance(&mut self, out: Option<&mut dyn Write>) -> Result<(), Reason> {
            self.1.fetch_add(1, Ordering::SeqCst);
            std::thread::yield_now();
            if let Some(out) = out {
                out.write_all(&self.0.to_le_bytes())?;
            }
            self.0 += 1;
            Ok(())
        }
    }

    impl Sequential for Numbers {
        type Cursor = At;
        fn len(&self) -> usize {
            self.len
        }
        fn size(&self, _: usize) -> u64 {
            8
        }
        fn start(&self, entry: usize) -> usize {
            entry - entry % self.block
        }
        fn open(&self, start: usize) -> Result<At, Reason> {
            let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_open.fetch_max(open, Ordering::SeqCst);
            Ok(At(start, self.decoded.clone(), self.open.clone()))
        }
    }

    fn cursors(len: usize, block: usize, kept_bytes: u64) -> Cursors<Numbers> {
        let numbers = Numbers { len, block, ..Numbers::default() };
        Cursors::new(numbers, 4, Arc::new(Kept::new(kept_bytes)))
    }

    fn read(cursors: &Cursors<Numbers>, entry: usize) -> usize {
        let mut bytes = Vec::new();
        cursors.copy(entry, &mut bytes).unwrap();
        usize::from_le_bytes(bytes.try_into().unwrap())
    }

    fn decoded(cursors: &Cursors<Numbers>) -> usize {
        cursors.archive.decoded.load(Ordering::SeqCst)
    }

    #[test]
    fn reading_in_order_decodes_once() {
        let cursors = cursors(1000, 1000, 0);
        assert!((0..1000).all(|k| read(&cursors, k) == k));
        assert_eq!(decoded(&cursors), 1000);
    }

    #[test]
    fn two_interleaved_runs_decode_about_twice() {
        let cursors = cursors(1000, 1000, 0);
        assert!((0..500).all(|k| read(&cursors, k) == k && read(&cursors, 500 + k) == 500 + k));
        assert!(decoded(&cursors) <= 1500, "{}", decoded(&cursors));
    }

    #[test]
    fn four_backward_neighbours_are_kept() {
        let cursors = cursors(1000, 1000, 64);
        for group in (0..1000).step_by(4) {
            assert!((group..group + 4).rev().all(|k| read(&cursors, k) == k));
        }
        assert_eq!(decoded(&cursors), 1000);
    }

    /// Eight threads that take the next entry each, as workers do: the archive is decoded about once.
    #[test]
    fn threads_side_by_side_decode_about_once() {
        let cursors = cursors(2000, 2000, 1024);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let entry = next.fetch_add(1, Ordering::SeqCst);
                        if entry >= 2000 {
                            break;
                        }
                        assert_eq!(read(&cursors, entry), entry);
                    }
                });
            }
        });
        assert!(decoded(&cursors) < 2 * 2000, "{}", decoded(&cursors));
        assert!(cursors.archive.most_open.load(Ordering::SeqCst) <= 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever threads ask for, in whatever order, each gets its entry; and no more decoders than allowed are
        /// open.
        #[test]
        fn every_thread_gets_the_entry_it_asks_for(
            wanted in proptest::collection::vec(proptest::collection::vec(0usize..60, 0..40), 1..7),
            block in 1usize..70,
            kept in prop_oneof![Just(0u64), Just(40), Just(1000)],
        ) {
            let cursors = cursors(60, block, kept);
            std::thread::scope(|scope| {
                for thread in &wanted {
                    let cursors = &cursors;
                    scope.spawn(move || thread.iter().for_each(|&k| assert_eq!(read(cursors, k), k)));
                }
            });
            prop_assert!(cursors.archive.most_open.load(Ordering::SeqCst) <= 4);
        }
    }
}
