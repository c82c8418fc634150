//! Downloads as they are: folders and archives as one tree of members, without extracting anything to disk.
//!
//! A [`Tree`] is opened on a folder or on one archive file. Opening it only builds the index. Its [`Member`]s are the
//! files below that root, whether in folders or in zip, tar (plain, gzip, bzip2, xz, zstd), 7z or RAR archives, or in
//! archives inside archives; the file name of an archive is one component of the paths of its members: `ACDC.zip` with
//! an entry `ACDC/database/testing/Info.cfg` has the member `ACDC.zip/ACDC/database/testing/Info.cfg`. Files can
//! therefore be recognised by the tail of their path, however a download is stored.
//!
//! Each kind of archive has one entry, listed in `registry.rs`; each compression has one in `codec.rs`.
//!
//! Every file below the root is accounted for: it is a member, an archive whose entries are members, one of the
//! [`Problem`]s, or [`Ignored`]. A bad archive or entry never stops the others.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # std::fs::create_dir(folder.path().join("labels"))?;
//! # std::fs::write(folder.path().join("labels/case, 1.txt"), "liver")?;
//! use medcosmos::raw::Tree;
//!
//! let tree = Tree::open(folder.path())?;
//! let member = tree.find("labels/case, 1.txt").expect("it was just written");
//! assert_eq!(tree.read(member)?, b"liver");
//! assert!(tree.problems().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # What a read costs
//! | location of the member | opening the tree | reading it |
//! |---|---|---|
//! | folder | one directory walk | the file |
//! | zip | its directory at the end of the file | seek and decode that entry |
//! | tar | one header per entry, by seeks | seek and copy |
//! | tar.gz, .bz2, .xz, .zst | the whole archive decoded once | forward from the nearest open decoder, or from the start |
//! | 7z | its directory at the end of the file | forward within the entry's block |
//! | RAR | all headers | forward; skipping decodes only in solid archives |
//!
//! Compressed tars, 7z blocks and RARs can only be decoded forward. Up to [`Options::cursors`] decoders of each such
//! archive stay open where they stopped, and a read continues from the nearest one at or before its entry; two
//! interleaved runs through an archive (`images/` and `labels/`) cost about two passes. Entries passed over on the way
//! stay in memory, [`Options::kept_bytes`] of them in all, so threads that read slightly out of order do not restart
//! it. Random order is expensive: up to a pass per read. [`Tree::in_archive_order`] sorts members by it.
//!
//! A member that [`Tree::digests`] has read stays in memory until it is read next, so a build reads and decodes most
//! files once: up to [`Options::digested_bytes`] in total, in the order of digestion. All others are read twice.
//!
//! Every read for decoding is hashed. A member whose bytes are not those of its first read, or of the digest that a
//! cache has of it, fails with [`Reason::Changed`]: the digests of a run are those of the bytes that it decoded.
//!
//! An archive inside an archive is read in place where the outer one stores it uncompressed. Otherwise it is decoded
//! once when the tree is opened and kept: in memory, until all of them together reach [`Options::nested_bytes`], then
//! in an unnamed temporary file that the system removes with the process.
//!
//! A single compressed file (`im0001.ppm.gz`, `scan.nii.gz`) is one member, unless it contains a tar.
//!
//! What archives expand to is bounded ([`Budget::expanded`](crate::memory::Budget)): an archive beyond the limit for its
//! file on disk is a [`Problem`], and so is what lies behind the point where a compressed tar exceeds it. A member is
//! read as a whole only if the [budget](Options::budget) has the memory.
//!
//! A root may be in a bucket ([`bucket`]): `s3://bucket/prefix`, or an object that is an archive. Its
//! objects are files below a folder, and are read by ranges: of a zip its directory and the wanted entries, of a plain tar
//! its headers and the wanted entries, of everything else the stream (`stored.rs`).
//!
//! Files are read by position, not mapped into memory: a download that is truncated or replaced while being read causes
//! an error, whereas a mapping would kill the process.

use std::io;

use serde::Serialize;
use thiserror::Error;

use crate::bucket;
use crate::memory::Beyond;
use crate::text::byte_size;

mod archive;
mod codec;
mod cursors;
mod digest;
mod folder;
mod kept;
mod known;
mod names;
mod nested;
mod parts;
mod rar;
mod registry;
mod sevenz;
mod single;
mod source;
mod stored;
mod tar;
mod tree;
mod zip;

pub use crate::fault::{Fault, Looks};
pub use archive::Options;
pub(crate) use digest::DigestCache;
pub(crate) use names::{CHECKSUMS, CHECKSUMS_HEADER, PHANTOMS};
pub(crate) use registry::archive_of;
pub(crate) use registry::{is_compressed, is_compression, without_ending};
pub(crate) use single::{is_there, read_companion, read_whole};
pub use tree::{Member, Tree};

/// A file or an archive entry that cannot be read, and why.
#[derive(Debug, Error)]
#[error("{path}: {reason}")]
pub struct Error {
    /// Path of the file, or of the member with its archive's name as a component.
    pub path: String,
    /// What was expected, what was found, and what to do.
    pub reason: Reason,
}

/// Why a file or an archive entry cannot be read.
#[derive(Debug, Error)]
pub enum Reason {
    /// The system refused to open or read it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The content is of another kind than the name says.
    #[error("{}, not a {expected} archive{}", found.what, found.advice)]
    NotAnArchive {
        /// Kind of archive that the name promises.
        expected: &'static str,
        /// What the first bytes are.
        found: Looks,
    },
    /// The data contradict their format.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The data end too early, or a part of them is not there.
    #[error("damaged: truncated: {0}")]
    Cut(String),
    /// A password is needed.
    #[error("protected by a password; unpack it with 7-Zip and the publisher's password, and use the folder")]
    Encrypted,
    /// Legal, but not read here.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// Its bytes are not those that its digest was computed from.
    #[error(
        "it changed while it was being read: its SHA-256 was {known} and is now {found}; run the same command again \
         when nothing writes to it"
    )]
    Changed {
        /// SHA-256 of the first read, or that of the cache of digests.
        known: String,
        /// SHA-256 of this read.
        found: String,
    },
    /// An archive inside an archive needs a temporary file, and there is none.
    #[error("cannot be unpacked to a temporary file: {0}; TMPDIR names the folder for temporary files")]
    Temporary(io::ErrorKind),
    /// Larger than [`Options::max_member_bytes`].
    #[error("{size} bytes or more, above the limit of {limit}; raise the limit if the size is correct")]
    TooLarge {
        /// Size that the archive declares, or that was reached.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// More memory than its content may take.
    #[error(transparent)]
    Memory(#[from] Beyond),
    /// An archive that expands to more than its size allows: a decompression bomb, as a rule.
    #[error(
        "expands to {} or more, above the limit of {} for {} on disk, as decompression bombs do; if the content is \
         genuine, raise the limit with --max-expansion (now {ratio})",
        byte_size(*size),
        byte_size(*limit),
        byte_size(*on_disk)
    )]
    Expands {
        /// Bytes that are declared, or that were reached.
        size: u64,
        /// The limit, with all archives inside the file on disk.
        limit: u64,
        /// Size of the file on disk.
        on_disk: u64,
        /// Bytes allowed for each byte of the file on disk.
        ratio: u64,
    },
    /// An archive below [`Options::max_depth`] other archives.
    #[error("nested in {0} archives, which is deeper than supported; unpack the outer ones and use the folder")]
    TooDeep(usize),
    /// The entry's name is not a path below its archive.
    #[error("{0}; the entry is ignored")]
    Name(&'static str),
    /// The member is not one of this tree.
    #[error("not a member of this tree")]
    Foreign,
}

impl Reason {
    /// What is wrong, in a word.
    pub fn fault(&self) -> Fault {
        match self {
            Reason::Io(error) if is_of_the_system(error) => Fault::Unreadable,
            Reason::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Fault::Truncated,
            Reason::Io(_) | Reason::Damaged(_) => Fault::Damaged,
            Reason::NotAnArchive { found, .. } => found.fault,
            Reason::Cut(_) => Fault::Truncated,
            Reason::Encrypted => Fault::Encrypted,
            Reason::Unsupported(_) => Fault::Unsupported,
            Reason::TooLarge { .. }
            | Reason::Memory(_)
            | Reason::Expands { .. }
            | Reason::TooDeep(_)
            | Reason::Name(_) => Fault::Refused,
            Reason::Foreign | Reason::Changed { .. } | Reason::Temporary(_) => Fault::Unreadable,
        }
    }

    /// This reason, said of the file or member at `path`.
    fn at(self, path: impl Into<String>) -> Error {
        Error { path: path.into(), reason: self }
    }
}

/// Whether an error says that a file or object cannot be read, not that a decoder refuses what was read.
fn is_of_the_system(error: &io::Error) -> bool {
    // What a decoder says of its data has no number of the system.
    if error.raw_os_error().is_some() {
        return true;
    }
    let mut inner = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(error) = inner {
        if error.is::<bucket::Error>() || error.downcast_ref().is_some_and(is_of_the_system) {
            return true;
        }
        inner = error.source();
    }
    false
}

/// An archive, an archive entry or a folder that could not be read. The rest of the tree is not affected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Path below the root, '/'-separated. Of a refused entry it is the archive's path and the entry's name as written.
    pub path: String,
    /// What is wrong, in a word.
    pub fault: Fault,
    /// What was expected, what was found, and what to do.
    pub reason: String,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self { path: error.path, fault: error.reason.fault(), reason: error.reason.to_string() }
    }
}

/// A file or folder that is no part of a download, such as `__MACOSX`. A folder stands for all it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ignored {
    /// Path below the root, '/'-separated.
    pub path: String,
    /// What it is.
    pub reason: &'static str,
}

/// A symbolic link that leads out of the root of a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Link {
    /// Path of the link below the root, '/'-separated.
    pub path: String,
    /// Absolute path of what it leads to.
    pub target: String,
    /// Whether what it leads to is read: not where that is a folder of the system.
    pub followed: bool,
}

#[cfg(test)]
mod tests;
