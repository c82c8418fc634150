//! Whether downloads and datasets are whole, and where what is in a dataset came from.
//!
//! [`verify_downloads`] reads every file of a folder of downloads and compares it with a list of checksums, with the format
//! that its name promises, and with the counts of the source's spec. [`verify_dataset`] compares a dataset with its receipts
//! and its tables with each other; [`verify_deep`] makes it anew from the downloads. [`trace()`] goes from a mask to the raw
//! files that it was made of, and [`uses_of`] back.
//!
//! What is wrong is a [`Finding`]: a kind that programs can count, a file, and a sentence for people. A remark is a finding
//! that tells and accuses nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::raw::Fault;

mod checksums;
mod content;
mod dataset;
mod deep;
mod downloads;
mod tables;
mod trace;

pub use checksums::{Checksum, Checksums};
pub use dataset::{DatasetReport, verify_dataset};
pub use deep::{DeepReport, verify_deep};
pub use downloads::{ChecksumsReport, DownloadsOptions, DownloadsReport, SourceState, verify_downloads};
pub use trace::{
    ByModel, CaseOrigin, CaseUse, FileFate, FileTrace, MaskOrigin, RawTrace, ShardTrace, SliceOrigin, SourceOrigin,
    Trace, Use, trace, uses_of,
};

/// Why nothing can be verified or traced.
#[derive(Debug, Error)]
pub enum Error {
    /// The downloads cannot be opened.
    #[error(transparent)]
    Raw(#[from] crate::raw::Error),
    /// A spec is wrong, or a source is not known.
    #[error(transparent)]
    Spec(#[from] crate::spec::Error),
    /// The dataset cannot be read.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The build cannot be planned or done anew.
    #[error(transparent)]
    Pipeline(#[from] crate::pipeline::Error),
    /// A list of checksums cannot be read or written.
    #[error("{path}: {reason}")]
    Checksums {
        /// File.
        path: PathBuf,
        /// What was expected and found, and what to do.
        reason: String,
    },
}

/// Result of this module.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! kinds {
    ($($(#[doc = $about:literal])+ $kind:ident = $name:literal,)+) => {
        /// What a finding is about. Its name stands in reports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[doc = $about])+ $kind,)+
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Kind] = &[$(Kind::$kind),+];

            /// The name: `html-page`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)+
                }
            }

            /// What it means, in a line.
            pub fn about(self) -> &'static str {
                match self {
                    $(Kind::$kind => concat!($($about),+).trim_ascii(),)+
                }
            }
        }
    };
}

kinds! {
    /// A web page under the file's name.
    HtmlPage = "html-page",
    /// A pointer of Git LFS in place of the file.
    LfsPointer = "lfs-pointer",
    /// A pointer or link of git-annex in place of the file.
    AnnexPointer = "annex-pointer",
    /// A server's answer in place of the file.
    ServerAnswer = "server-answer",
    /// A file without a byte.
    Empty = "empty",
    /// Zeros where a file begins.
    Zeros = "zeros",
    /// The end of a file is missing, or a part.
    Truncated = "truncated",
    /// Bytes that contradict their format or their checksum.
    Damaged = "damaged",
    /// Bytes of another kind than the name says.
    OtherContent = "other-content",
    /// A password is needed.
    Encrypted = "encrypted",
    /// A legal form that is not read here.
    Unsupported = "unsupported",
    /// Refused for its name, its size or its depth.
    Refused = "refused",
    /// The system does not let it be read.
    Unreadable = "unreadable",
    /// The name of a download that is still going on.
    Unfinished = "unfinished",
    /// Another digest than the list of checksums has.
    Altered = "altered",
    /// In the list of checksums, and not there.
    Missing = "missing",
    /// There, and not in the list of checksums.
    Extra = "extra",
    /// The same bytes at another path.
    Moved = "moved",
    /// Fewer cases than the source has.
    MissingCases = "missing-cases",
    /// More cases than the source has.
    MoreCases = "more-cases",
    /// A source that was asked for and is not recognised.
    NoSource = "no-source",
    /// A case that cannot be built for want of a mask.
    NoMask = "no-mask",
    /// A mask without its image.
    NoImage = "no-image",
    /// Masks that were paired by index, and that their headers put elsewhere.
    Misplaced = "misplaced",
    /// Several files that differ, each of which could be the case's image or mask.
    Ambiguous = "ambiguous",
    /// A file that is known to be wrong as it is distributed.
    KnownBad = "known-bad",
    /// A finished shard of which the receipt is gone.
    MissingShard = "missing-shard",
    /// A receipt that cannot be read or contradicts itself.
    BrokenReceipt = "broken-receipt",
    /// A shard that was written and not committed, or belongs to no run.
    ForeignShard = "foreign-shard",
    /// A file that a receipt vouches for and that is not there.
    MissingFile = "missing-file",
    /// A file that is not what its receipt says.
    AlteredFile = "altered-file",
    /// A file among the tables that no receipt vouches for.
    ForeignFile = "foreign-file",
    /// A manifest that is not what the receipts add up to.
    Manifest = "manifest",
    /// A table that cannot be decoded.
    BrokenTable = "broken-table",
    /// Other rows than the receipt says.
    Rows = "rows",
    /// Rows out of order, or twice.
    Order = "order",
    /// A row that belongs to a row that is not there.
    Orphan = "orphan",
    /// Columns of two tables, or of one row, that contradict each other.
    Disagreement = "disagreement",
    /// A picture that is not what its row says.
    Image = "image",
    /// A mask that is not what its row says.
    Mask = "mask",
    /// A raw file that has other bytes than when the dataset was built.
    RawAltered = "raw-altered",
    /// A raw file that the dataset was built from and that is not there.
    RawMissing = "raw-missing",
    /// A case that the dataset has and the downloads do not give any more.
    CaseMissing = "case-missing",
    /// A case that the downloads give and the dataset does not have.
    CaseNew = "case-new",
    /// Another spec, release or option than the dataset was built with.
    OtherInput = "other-input",
    /// Another version of the program than the dataset was built with.
    OtherTool = "other-tool",
    /// A shard that comes out with other bytes.
    OtherBytes = "other-bytes",
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Kind {
        match fault {
            Fault::HtmlPage => Kind::HtmlPage,
            Fault::LfsPointer => Kind::LfsPointer,
            Fault::AnnexPointer => Kind::AnnexPointer,
            Fault::ServerAnswer => Kind::ServerAnswer,
            Fault::Empty => Kind::Empty,
            Fault::Zeros => Kind::Zeros,
            Fault::Truncated => Kind::Truncated,
            Fault::Damaged => Kind::Damaged,
            Fault::OtherContent => Kind::OtherContent,
            Fault::Encrypted => Kind::Encrypted,
            Fault::Unsupported => Kind::Unsupported,
            Fault::Refused => Kind::Refused,
            Fault::Unreadable => Kind::Unreadable,
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// What it is about.
    pub kind: Kind,
    /// True where something is wrong; a remark is false.
    pub fault: bool,
    /// Path of the file, with slashes: of a download the member below the root, of a dataset the file inside it.
    pub path: String,
    /// Id of the row, in tables.
    pub id: Option<String>,
    /// Slug of the source, where it is known.
    pub source: Option<String>,
    /// What was expected, what was found, and what to do.
    pub says: String,
}

impl Finding {
    /// A fault of a file.
    fn fault(kind: Kind, source: Option<&str>, path: &str, says: impl Into<String>) -> Self {
        let source = source.map(String::from);
        Finding { kind, fault: true, source, path: path.into(), id: None, says: says.into() }
    }

    /// A remark on a file.
    fn remark(kind: Kind, source: Option<&str>, path: &str, says: impl Into<String>) -> Self {
        Finding { fault: false, ..Finding::fault(kind, source, path, says) }
    }
}

/// How many findings there are of each kind, faults and remarks apart.
pub fn count_kinds(findings: &[Finding]) -> BTreeMap<Kind, [u64; 2]> {
    let mut counts: BTreeMap<Kind, [u64; 2]> = BTreeMap::new();
    for finding in findings {
        counts.entry(finding.kind).or_default()[usize::from(!finding.fault)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_and_meanings_of_their_own() {
        for (i, kind) in Kind::ALL.iter().enumerate() {
            assert!(kind.about().ends_with('.') && kind.about().len() < 80, "{kind:?}");
            assert!(kind.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            assert!(Kind::ALL[..i].iter().all(|other| other.name() != kind.name()), "{kind:?}");
        }
    }
}
