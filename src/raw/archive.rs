//! The interface of all kinds of archives: an entry in the [registry](super::registry), an index of entries, and access
//! to their bytes.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::Reason;
use super::kept::Kept;
use super::nested::Nested;
use super::source::Source;
use crate::memory::Budget;

/// Bounds of what a tree opens and keeps.
#[derive(Debug, Clone)]
pub struct Options {
    /// A member that is larger, in bytes, is an error: 64 GiB by default, which is beyond any image and stops an
    /// archive that was made to decode endlessly.
    pub max_member_bytes: u64,
    /// How many archives may enclose each other: 4 by default.
    pub max_depth: usize,
    /// Bytes of memory for all decoded archives inside archives together: 256 MiB by default, or what the budget sets
    /// aside. The others go to an unnamed temporary file.
    pub nested_bytes: u64,
    /// Most decoders that are open at a time in one archive that can only be decoded forward: 4 by default.
    pub cursors: usize,
    /// Bytes of memory for members that decoders passed over, of all archives together: as many.
    pub kept_bytes: u64,
    /// Bytes of memory for members that `Tree::digests` has read and that are read next: as many. Those beyond are read
    /// twice.
    pub digested_bytes: u64,
    /// Memory that a member may take which is read as a whole, and the bytes that archives may expand to.
    pub budget: Budget,
}

impl Default for Options {
    fn default() -> Self {
        Self::within(&Budget::default())
    }
}

impl Options {
    /// The defaults within a budget.
    pub fn within(budget: &Budget) -> Self {
        Self {
            max_member_bytes: 64 << 30,
            max_depth: 4,
            nested_bytes: budget.caches(),
            cursors: 4,
            kept_bytes: budget.caches(),
            digested_bytes: budget.caches(),
            budget: budget.clone(),
        }
    }

    /// Most bytes that the window of a decoder may take: 1 GiB, or a quarter of the bound where that is less. The size
    /// is written in the file. The presets of xz need 65 MiB at most, `zstd --long=30` needs 1 GiB.
    pub(super) fn window(&self) -> u64 {
        (self.budget.bytes() / 4).min(1 << 30)
    }

    /// Most bytes of names in the index of an archive.
    pub(super) fn name_bytes(&self) -> u64 {
        self.budget.caches()
    }
}

/// What the archives of one tree share.
pub(super) struct Shared {
    pub options: Options,
    pub kept: Arc<Kept>,
    pub nested: Nested,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self { kept: Arc::new(Kept::new(options.kept_bytes)), nested: Nested::new(options.nested_bytes), options }
    }
}

/// Bytes that archives may expand to which lie in one file on disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    /// Of all of them together.
    pub limit: u64,
    /// What is left of it.
    pub left: u64,
    /// Size of the file on disk.
    pub on_disk: u64,
    /// Bytes allowed for each byte of the file on disk.
    pub ratio: u64,
}

impl Allowed {
    pub(super) fn new(budget: &Budget, on_disk: u64) -> Self {
        let limit = budget.expanded(on_disk);
        Self { limit, left: limit, on_disk, ratio: budget.expansion() }
    }

    /// Takes `size` bytes of what is left; an error where there is too little.
    pub(super) fn take(&mut self, size: u64) -> Result<(), Reason> {
        self.left = self.left.checked_sub(size).ok_or_else(|| self.exceeded(size))?;
        Ok(())
    }

    /// What to say where `size` bytes are more than what is left.
    pub(super) fn exceeded(&self, size: u64) -> Reason {
        let Self { limit, left, on_disk, ratio } = *self;
        Reason::Expands { size: (limit - left).saturating_add(size), limit, on_disk, ratio }
    }
}

/// A kind of archive: everything that other modules need to know about it.
pub(super) struct ArchiveKind {
    /// Name, as messages give it.
    pub name: &'static str,
    /// Extensions of its files, in lower case and without the first dot.
    pub extensions: &'static [&'static str],
    /// Whether the first bytes of a file are its magic number.
    pub signature: fn(&[u8]) -> bool,
    /// Opens an archive by its index.
    pub open: fn(&Source, &Shared) -> Result<Opened, Reason>,
    /// Opens a file that is named as one of the kind and begins with no signature; `None` where it is no archive. The
    /// first bytes are given.
    pub open_unsigned: fn(&Source, &[u8], &Shared) -> Option<Opened>,
}

/// An opened archive. Entries are known by their number in the archive's index.
pub(super) trait Archive: Send + Sync {
    /// Writes the bytes of an entry to `out`; an error of `out` is passed on as it is.
    fn copy(&self, entry: usize, out: &mut dyn Write) -> Result<(), Reason>;

    /// The bytes of an entry that the archive stores as they are.
    fn window(&self, _entry: usize) -> Option<Source> {
        None
    }

    /// Whether entries are cheap to read only one after the other.
    fn is_sequential(&self) -> bool {
        false
    }
}

/// An entry of an archive's index.
pub(super) struct Entry {
    /// Path as the archive writes it.
    pub name: String,
    /// Number by which [`Archive::copy`] knows it.
    pub number: usize,
    /// Decoded size in bytes, as declared.
    pub size: u64,
    /// Why it cannot be read, where that is known from the index.
    pub refused: Option<Reason>,
}

/// An archive and its index, folders left out.
pub(super) struct Opened {
    pub archive: Box<dyn Archive>,
    /// In the order in which the archive keeps them, which is the one to read them in.
    pub entries: Vec<Entry>,
    /// Whether a `\` in names separates folders.
    pub backslash: bool,
    /// What is wrong with the archive as a whole although some of its entries can be read.
    pub damage: Option<Reason>,
    /// Whether the index had names twice of which only the later entries are given here.
    pub hides_repeated: bool,
}

/// Copies all of `reader` to `out`; the number of bytes.
pub(super) fn copy(reader: &mut dyn Read, out: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        out.write_all(&buffer[..count])?;
        total += count as u64;
    }
}
