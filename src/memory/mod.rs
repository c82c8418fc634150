//! The bound on memory: how much the contents of files may take, whoever made them.
//!
//! A [`Budget`] is shared by all threads of a command and is passed down to whatever reads files. Its bytes are divided:
//! a part is set aside for what lies between reads ([`Budget::caches`]: members kept for their next read, decoded inner
//! archives, buffers that a worker uses again), the rest is for the cases in work.
//!
//! A case opens a [`Room`] and takes from it what the headers of its files promise, before anything is allocated: the
//! bytes of the file, and what its reader needs to decode it. Where the promise is beyond what a case may have, the case
//! fails with [`Beyond`]. Where only the other cases in work are in the way, the case gives back all it has and waits
//! until it can run alone ([`Budget::in_turn`]). A case waits only while it holds nothing, so no case waits for another
//! for ever, and results do not depend on the number of threads.
//!
//! Sizes are estimates of the largest memory in use at a time: the decoded values, and the copies that a reader makes of
//! them. What is not estimated is small: tables of a file format, the window of a decompressor, the rows of a table.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::text::{byte_size, stated_size};

mod machine;

/// Least bound: the program itself takes some of it.
const LEAST: u64 = 64 << 20;
/// Share of the machine's memory that is used by default.
const SHARE: f64 = 0.75;
/// Bytes that any archive may expand to, whatever its size.
const FREE_EXPANSION: u64 = 1 << 30;
/// Bytes that an archive may expand to for each byte of its file, by default.
pub(crate) const EXPANSION: u64 = 512;

/// The memory that the contents of files may take, and the bytes that archives may expand to. Clones share one account.
#[derive(Clone, Debug)]
pub struct Budget {
    pool: Arc<Pool>,
    expansion: u64,
    free_expansion: u64,
}

#[derive(Debug)]
struct Pool {
    bytes: u64,
    /// Bytes that cases in work have taken.
    taken: AtomicU64,
    /// Held by every case for reading, and for writing by one that runs alone.
    turn: RwLock<()>,
}

impl Default for Budget {
    /// Three quarters of the memory that the system, its control group and its limits leave to this process.
    fn default() -> Self {
        Self::new((machine::memory() as f64 * SHARE) as u64)
    }
}

impl Budget {
    /// A bound of so many bytes; at least 64 MiB.
    pub fn new(bytes: u64) -> Self {
        let pool = Pool { bytes: bytes.max(LEAST), taken: AtomicU64::new(0), turn: RwLock::new(()) };
        Self { pool: Arc::new(pool), expansion: EXPANSION, free_expansion: FREE_EXPANSION }
    }

    /// The same memory, with another number of bytes that an archive may expand to for each byte of its file.
    pub fn with_expansion(self, expansion: u64) -> Self {
        Self { expansion, ..self }
    }

    /// The same memory, with another number of bytes that any archive may expand to.
    #[cfg(test)]
    pub(crate) fn with_free_expansion(self, free_expansion: u64) -> Self {
        Self { free_expansion, ..self }
    }

    /// The bound in bytes.
    pub fn bytes(&self) -> u64 {
        self.pool.bytes
    }

    /// Bytes set aside for each of four stores between reads: a sixteenth of the bound, at most 256 MiB.
    pub(crate) fn caches(&self) -> u64 {
        (self.bytes() / 16).min(256 << 20)
    }

    /// Bytes that the cases in work may have together, and each of them alone.
    pub(crate) fn for_cases(&self) -> u64 {
        self.bytes() - 4 * self.caches() - self.bytes() / 8
    }

    /// Bytes that each of `threads` workers may keep to use them again for the next case: an eighth of the bound for all.
    pub(crate) fn kept(&self, threads: usize) -> u64 {
        self.bytes() / 8 / threads.max(1) as u64
    }

    /// Bytes that an archive of `size` bytes on disk may expand to, with all archives inside it.
    pub(crate) fn expanded(&self, size: u64) -> u64 {
        size.saturating_mul(self.expansion).saturating_add(self.free_expansion)
    }

    /// Bytes to which one byte of an archive may expand.
    pub(crate) fn expansion(&self) -> u64 {
        self.expansion
    }

    /// An account of a new case, or of a file that is read by itself.
    pub fn room(&self) -> Room {
        Room(Arc::new(Account { budget: self.clone(), held: AtomicU64::new(0), whole: None }))
    }

    /// Checks that `needs` bytes are not more than one case may have.
    pub(crate) fn check(&self, needs: u64) -> Result<(), Beyond> {
        if needs <= self.for_cases() { Ok(()) } else { Err(self.beyond(needs, false)) }
    }

    fn beyond(&self, needs: u64, crowded: bool) -> Beyond {
        Beyond { needs, limit: self.for_cases(), bound: self.bytes(), crowded }
    }

    /// Runs a case beside others, and once more alone where they left it too little memory, which `is_crowded` tells of
    /// its error. `case` must free all it has taken when it fails. To be called by threads that hold no memory of a case,
    /// and not by those of rayon, which may begin another case inside one.
    pub(crate) fn in_turn<T, E>(
        &self,
        mut case: impl FnMut() -> Result<T, E>,
        is_crowded: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let beside = self.pool.turn.read().unwrap_or_else(PoisonError::into_inner);
        let outcome = case();
        drop(beside);
        match outcome {
            Err(error) if is_crowded(&error) => {
                let _alone = self.pool.turn.write().unwrap_or_else(PoisonError::into_inner);
                case()
            }
            outcome => outcome,
        }
    }
}

/// What a case, or a part of it, has taken of a [`Budget`]; clones share one account, and the last one gives all back.
#[derive(Clone, Debug)]
pub struct Room(Arc<Account>);

#[derive(Debug)]
struct Account {
    budget: Budget,
    held: AtomicU64,
    /// The account of the whole that this is a part of.
    whole: Option<Room>,
}

impl Account {
    fn release(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        match &self.whole {
            Some(whole) => whole.0.release(bytes),
            None => _ = self.budget.pool.taken.fetch_sub(bytes, Ordering::Relaxed),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.release(self.held.load(Ordering::Relaxed));
    }
}

impl Default for Room {
    /// Room without a bound, for bytes that the program made itself.
    fn default() -> Self {
        Budget::new(u64::MAX).room()
    }
}

impl Room {
    /// An account of a part of this case, such as one file. What it takes counts for the case too.
    pub(crate) fn part(&self) -> Self {
        let budget = self.0.budget.clone();
        Self(Arc::new(Account { budget, held: AtomicU64::new(0), whole: Some(self.clone()) }))
    }

    /// Takes memory before it is allocated.
    ///
    /// # Errors
    /// Where this case would have more than a case may, or where others have the rest: [`Beyond::is_crowded`].
    pub(crate) fn take(&self, bytes: u64) -> Result<(), Beyond> {
        let Account { budget, held, whole } = &*self.0;
        match whole {
            Some(whole) => whole.take(bytes)?,
            None => {
                let limit = budget.for_cases();
                let needs = self.held().saturating_add(bytes);
                if needs > limit {
                    return Err(budget.beyond(needs, false));
                }
                let fits = |taken: u64| taken.checked_add(bytes).filter(|&sum| sum <= limit);
                let taken = budget.pool.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
                taken.map_err(|_| budget.beyond(needs, true))?;
            }
        }
        held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes taken so far.
    pub(crate) fn held(&self) -> u64 {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Gives back what was taken since `held` bytes were: the memory is free again. For an account that one thread uses.
    pub(crate) fn back_to(&self, held: u64) {
        self.0.release(self.held().saturating_sub(held));
    }

    /// Gives back all but the `bytes` of a result, which the whole holds from now on.
    pub(crate) fn hand_over(&self, bytes: u64) {
        let bytes = bytes.min(self.held());
        self.back_to(bytes);
        if self.0.whole.is_some() {
            self.0.held.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that this case may still take.
    pub(crate) fn left(&self) -> u64 {
        match &self.0.whole {
            Some(whole) => whole.left(),
            None => self.0.budget.for_cases().saturating_sub(self.held()),
        }
    }

    /// A vector of `count` zeros, whose memory is taken before.
    ///
    /// # Errors
    /// As [`take`](Self::take), and where the system has no memory for it.
    pub(crate) fn zeros<T: Copy + Default>(&self, count: usize) -> Result<Vec<T>, Beyond> {
        let mut values = self.with_capacity(count)?;
        values.resize(count, T::default());
        Ok(values)
    }

    /// An empty vector with room for `count` values, whose memory is taken before.
    ///
    /// # Errors
    /// As [`take`](Self::take), and where the system has no memory for it.
    pub(crate) fn with_capacity<T>(&self, count: usize) -> Result<Vec<T>, Beyond> {
        let bytes = (count as u64).saturating_mul(size_of::<T>() as u64);
        self.take(bytes)?;
        let mut values = Vec::new();
        values.try_reserve_exact(count).map_err(|_| self.refused(bytes))?;
        Ok(values)
    }

    /// The values of an iterator that gives `count` of them, whose memory is taken before.
    ///
    /// # Errors
    /// As [`take`](Self::take), and where the system has no memory for it.
    pub(crate) fn collect<T>(&self, count: usize, values: impl IntoIterator<Item = T>) -> Result<Vec<T>, Beyond> {
        let mut collected = self.with_capacity(count)?;
        collected.extend(values.into_iter().take(count));
        Ok(collected)
    }

    /// All that `reader` gives, at most `most` bytes; the memory is taken as it grows.
    ///
    /// # Errors
    /// [`Unread`].
    pub(crate) fn read_to_end(&self, mut reader: impl Read, most: u64) -> Result<Vec<u8>, Unread> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut filled = 0;
        loop {
            if filled == bytes.len() {
                let wanted = (2 * filled as u64).max(1 << 16).min(most.saturating_add(1)) as usize;
                if wanted == filled {
                    return Err(Unread::TooLong);
                }
                let more = wanted - filled;
                self.take(more as u64).map_err(Unread::Memory)?;
                bytes.try_reserve_exact(more).map_err(|_| Unread::Memory(self.refused(wanted as u64)))?;
                bytes.resize(wanted, 0);
            }
            match reader.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Unread::Io(error, filled)),
            }
        }
        if filled as u64 > most {
            return Err(Unread::TooLong);
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// What a failed allocation of `bytes` means: the system has less than the bound says.
    pub(crate) fn refused(&self, bytes: u64) -> Beyond {
        Beyond { limit: 0, ..self.0.budget.beyond(bytes, false) }
    }
}

/// Why a reader could not be read to its end.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It failed after so many bytes.
    Io(io::Error, usize),
    /// It gives more than is wanted at most.
    TooLong,
    /// There is no memory for what it gives.
    Memory(Beyond),
}

/// More memory than a case may have, or than the others in work leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beyond {
    needs: u64,
    /// Bytes that a case may have; 0 where the system refused what is within the bound.
    limit: u64,
    bound: u64,
    crowded: bool,
}

impl Beyond {
    /// Whether it would fit if no other case were in work.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needs, limit, bound, .. } = *self;
        let needs_text = byte_size(needs);
        if limit == 0 {
            return write!(
                f,
                "needs {needs_text} of memory, which the system refuses; close other programs or use fewer --threads"
            );
        }
        // In the units of the option, rounded up.
        let enough = (needs as f64 * (bound as f64 / limit as f64) / 1e9).ceil().max(1.0);
        write!(
            f,
            "needs {needs_text} of memory, but the bound of {} leaves {} for a case; raise it with --memory {enough}GB",
            byte_size(bound),
            byte_size(limit)
        )
    }
}

impl std::error::Error for Beyond {}

/// A bound as a user states it: `8GB`, `2GiB`, or `50%` of the machine's memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size(u64);

impl Size {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size: expected a number with a unit, such as 8GB, 2GiB or 50%");
        let (number, unit) = match stated_size(text).ok_or_else(wrong)? {
            (number, "%", _) if number > 100.0 => {
                return Err(format!("{text:?} is more than the memory of the machine"));
            }
            (number, "%", _) => (number, machine::memory() as f64 / 100.0),
            (number, _, Some(unit)) => (number, unit),
            _ => return Err(wrong()),
        };
        let bytes = (number * unit) as u64;
        match bytes < LEAST {
            true => Err(format!("{text:?} is too little: expected {} or more", byte_size(LEAST))),
            false => Ok(Self(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn sizes_have_units() {
        let bytes = |text: &str| text.parse::<Size>().map(Size::bytes);
        assert_eq!(bytes("8GB"), Ok(8_000_000_000));
        assert_eq!(bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(bytes("512m"), Ok(512_000_000));
        assert_eq!(bytes("100%"), Ok(machine::memory()));
        for wrong in ["", "8", "GB", "1MB", "101%", "8 bits", "-8GB", "1e9", "1.2.3GB"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rooms_share_the_budget_and_give_back() {
        let budget = Budget::new(1_000_000_000);
        let limit = budget.for_cases();
        let (a, b) = (budget.room(), budget.room());
        a.take(limit / 2).unwrap();
        b.take(limit / 2).unwrap();
        let crowded = b.take(limit / 4).unwrap_err();
        assert!(crowded.is_crowded());
        assert!(!b.take(limit).unwrap_err().is_crowded());
        drop(a);
        b.take(limit / 4).unwrap();
        b.back_to(0);
        assert_eq!(b.left(), limit);
        b.take(limit).unwrap();
    }

    #[test]
    fn messages_name_the_need_and_an_option_that_is_enough() {
        let budget = Budget::new(512_000_000);
        let message = budget.check(3_600_000_000).unwrap_err().to_string();
        assert_eq!(
            message,
            "needs 3.6 GB of memory, but the bound of 512.0 MB leaves 320.0 MB for a case; raise it with --memory 6GB"
        );
        let raised = "6GB".parse::<Size>().unwrap().bytes();
        assert!(Budget::new(raised).check(3_600_000_000).is_ok());
    }

    /// Eight threads with cases of which any two are too large together: each is done, and none waits for ever.
    #[test]
    fn crowded_cases_run_alone() {
        let budget = Budget::new(1_000_000_000);
        let (done, limit) = (AtomicUsize::new(0), budget.for_cases());
        let case = || {
            let room = budget.room();
            room.take(limit / 3)?;
            std::thread::yield_now();
            room.take(limit / 3)
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        budget.in_turn(case, Beyond::is_crowded).unwrap();
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!((done.into_inner(), budget.pool.taken.load(Ordering::SeqCst)), (400, 0));
    }

    #[test]
    fn parts_count_for_the_whole_and_hand_over_their_result() {
        let budget = Budget::new(1_000_000_000);
        let case = budget.room();
        let file = case.part();
        file.take(1000).unwrap();
        file.part().take(500).unwrap();
        assert_eq!((file.held(), case.held()), (1000, 1000));
        file.hand_over(300);
        drop(file);
        assert_eq!(case.held(), 300);
        let rest = case.left();
        assert!(case.part().zeros::<u64>(rest as usize / 8 + 1).is_err());
        drop(case);
        assert_eq!(budget.pool.taken.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn streams_are_read_up_to_a_limit() {
        let room = Budget::new(LEAST).room();
        let read = |count: u64, most: u64| room.part().read_to_end(io::repeat(7).take(count), most);
        assert_eq!(read(200_000, 200_000).unwrap(), vec![7; 200_000]);
        assert!(matches!(read(200_001, 200_000), Err(Unread::TooLong)));
        assert!(matches!(read(1 << 40, u64::MAX), Err(Unread::Memory(_))));
        assert!(read(0, 0).unwrap().is_empty());
        assert_eq!(room.held(), 0);
    }

    #[test]
    fn archives_expand_by_their_size() {
        let budget = Budget::new(1 << 30).with_expansion(10);
        assert_eq!(budget.expanded(1_000_000_000), 10_000_000_000 + FREE_EXPANSION);
        assert_eq!(budget.expanded(u64::MAX), u64::MAX);
    }
}
