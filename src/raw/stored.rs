//! Reads of objects in buckets: few requests, and large ones where they pay, because each costs 20 to 50 ms and a
//! connection carries some MiB in that time.
//!
//! After a jump a reader takes the block of 64 KiB that it lands in. All readers of a tree share the blocks that were
//! read last, so that an archive's first bytes and its directory are requested once, however often a library goes back
//! to them. A reader that goes on takes four times as much each time, up to 4 MiB, and then requests what follows while
//! its caller works. A reader that is told how far it will go requests that at once,
//! unless it is less than a block.
//!
//! Every request is for the version that was listed: an object that is replaced meanwhile is an error.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::bucket::{Bucket, Object, Pending};

/// What is read after a jump.
const BLOCK: u64 = 64 << 10;
/// Blocks that all readers of a tree share: those of as many archives as are opened at a time.
const BLOCKS: usize = 256;
/// Most bytes of one request of a reader.
const MOST: u64 = 4 << 20;
/// Requests of a reader at a time, once each is of [`MOST`] bytes or its end is known. With 30 ms and 80 MB/s for each
/// connection they bring 200 MB/s.
const IN_FLIGHT: usize = 4;

/// An object that can be read.
pub(super) struct Stored {
    bucket: Bucket,
    object: Object,
    shared: Arc<Fetched>,
}

/// Bytes of an object that stay in memory.
struct Block {
    key: String,
    /// Offset of the first byte.
    start: u64,
    bytes: Arc<Vec<u8>>,
}

/// What the readers of a tree share.
pub(super) struct Fetched {
    /// The block that was used last comes last.
    blocks: Mutex<VecDeque<Block>>,
    /// Bytes that readers may still hold beyond one block each.
    left: AtomicU64,
}

impl Fetched {
    /// Readers may hold so many bytes together, beyond one block each.
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { blocks: Mutex::default(), left: AtomicU64::new(bytes) })
    }

    fn lend(self: &Arc<Self>, bytes: u64) -> Option<Lent> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.is_ok().then(|| Lent { from: self.clone(), bytes })
    }
}

/// Bytes that are counted as held until it is dropped.
struct Lent {
    from: Arc<Fetched>,
    bytes: u64,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.from.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

impl Stored {
    pub(super) fn new(bucket: Bucket, object: Object, shared: Arc<Fetched>) -> Self {
        Self { bucket, object, shared }
    }

    /// Fills `out` from `offset`, by several requests at a time where it is large.
    pub(super) fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let Object { key, version, .. } = &self.object;
        Ok(self.bucket.read_into(key, offset, out, version)?)
    }

    /// The bytes from `offset` to the end of a block that the readers of the tree share.
    fn block(&self, offset: u64) -> io::Result<(Arc<Vec<u8>>, usize)> {
        let Object { key, size, .. } = &self.object;
        // The last block is a whole one: directories are at the end.
        let start = if size - offset < BLOCK { size.saturating_sub(BLOCK) } else { offset - offset % BLOCK };
        let blocks = || self.shared.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let found = {
            let mut blocks = blocks();
            let at = blocks.iter().position(|block| block.key == *key && block.start == start);
            at.and_then(|at| blocks.remove(at))
        };
        let bytes = match found {
            Some(block) => block.bytes,
            None => Arc::new(self.begin(start, BLOCK.min(size - start))?.wait()?),
        };
        let mut blocks = blocks();
        blocks.push_back(Block { key: key.clone(), start, bytes: bytes.clone() });
        if blocks.len() > BLOCKS {
            blocks.pop_front();
        }
        Ok((bytes, (offset - start) as usize))
    }

    fn begin(&self, offset: u64, len: u64) -> io::Result<Pending> {
        let Object { key, version, .. } = &self.object;
        Ok(self.bucket.begin(key, offset..offset + len, version)?)
    }
}

/// Where a reader wants bytes of an object.
pub(super) struct Wanted {
    /// The first byte.
    pub offset: u64,
    /// Behind the last byte that the reader may take.
    pub end: u64,
    /// Behind the last byte that the reader is known to take; nothing is known where it is not behind `offset`.
    pub known: u64,
}

/// What a reader of objects has requested.
#[derive(Default)]
pub(super) struct Ahead {
    /// The byte behind those that were handed out last.
    next: u64,
    /// Bytes to request next; 0 after a jump.
    size: u64,
    /// Requests for what follows `next`, in order, and their lengths.
    requested: VecDeque<(Pending, u64, Lent)>,
    /// For the bytes that were handed out last.
    lent: Option<Lent>,
}

impl Ahead {
    /// Whether the bytes from `offset` are on their way.
    pub(super) fn awaits(&self, offset: u64) -> bool {
        self.next == offset && !self.requested.is_empty()
    }

    /// Forgets what was requested: another object is read.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// One or more of the bytes that are wanted.
    pub(super) fn take(&mut self, stored: &Stored, wanted: &Wanted) -> io::Result<Vec<u8>> {
        let Wanted { offset, end, known } = *wanted;
        self.lent = None;
        if self.next != offset {
            self.clear();
            self.next = offset;
        }
        // Less than a block may have neighbours that are read next.
        if known >= offset + BLOCK {
            self.size = MOST;
        }
        self.request(stored, end, known)?;
        let (bytes, lent) = match self.requested.pop_front() {
            Some((pending, _, lent)) => (pending.wait()?, Some(lent)),
            None => {
                let (block, at) = stored.block(offset)?;
                let until = block.len().min(at + usize::try_from(end - offset).unwrap_or(usize::MAX));
                (block[at..until].to_vec(), None)
            }
        };
        self.next += bytes.len() as u64;
        self.size = (4 * self.size).clamp(4 * BLOCK, MOST);
        self.lent = lent;
        Ok(bytes)
    }

    /// Requests what follows, as far as it pays and there is memory for it.
    fn request(&mut self, stored: &Stored, end: u64, known: u64) -> io::Result<()> {
        let most = match self.size {
            0 => 0,
            MOST => IN_FLIGHT,
            size if 4 * size >= MOST => 2,
            _ => 1,
        };
        let end = if known > self.next { known.min(end) } else { end };
        let mut from = self.next + self.requested.iter().map(|(_, len, _)| len).sum::<u64>();
        while self.requested.len() < most && from < end {
            let len = self.size.min(end - from);
            let Some(lent) = stored.shared.lend(len) else { break };
            self.requested.push_back((stored.begin(from, len)?, len, lent));
            from += len;
        }
        Ok(())
    }
}
