//! Verification of downloads and datasets, and tracing of masks to raw files.
//!
//! [`verify_downloads`] reads every file of a folder of downloads and compares it with a list of checksums, with the
//! format that its name implies, and with the counts of the source's spec. [`verify_dataset`] compares a dataset with
//! its receipts and its tables with each other; [`verify_deep`] rebuilds it from the downloads. [`trace()`] traces a
//! mask back to its raw files, and [`uses_of`] a raw file to its cases.
//!
//! A problem is a [`Finding`]: a kind that programs can count, a file, and a sentence for people. A remark is a finding
//! that is not a fault.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::raw::Fault;

#[cfg(feature = "query")]
mod analyses;
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
    /// The build cannot be planned or repeated.
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
        /// The kind of a finding, as named in reports.
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

            /// Its meaning, one line.
            pub fn about(self) -> &'static str {
                match self {
                    $(Kind::$kind => concat!($($about),+).trim_ascii(),)+
                }
            }
        }
    };
}

kinds! {
    /// A web page instead of the file.
    HtmlPage = "html-page",
    /// A Git LFS pointer instead of the file.
    LfsPointer = "lfs-pointer",
    /// A git-annex pointer or link instead of the file.
    AnnexPointer = "annex-pointer",
    /// A server response instead of the file.
    ServerAnswer = "server-answer",
    /// An empty file.
    Empty = "empty",
    /// Zeros at the start of a file.
    Zeros = "zeros",
    /// A file that is cut short or incomplete.
    Truncated = "truncated",
    /// Bytes that contradict the format or a checksum.
    Damaged = "damaged",
    /// Content of another kind than the file name indicates.
    OtherContent = "other-content",
    /// Protected by a password.
    Encrypted = "encrypted",
    /// A valid variant that is not supported.
    Unsupported = "unsupported",
    /// Refused because of its name, size or nesting.
    Refused = "refused",
    /// Not readable because of the file system.
    Unreadable = "unreadable",
    /// The name of an unfinished download.
    Unfinished = "unfinished",
    /// A digest that differs from the list of checksums.
    Altered = "altered",
    /// In the list of checksums, but missing.
    Missing = "missing",
    /// Not in the list of checksums.
    Extra = "extra",
    /// Equal bytes at another path.
    Moved = "moved",
    /// Fewer cases than expected.
    MissingCases = "missing-cases",
    /// More cases than expected.
    MoreCases = "more-cases",
    /// A selected source that is not recognised.
    NoSource = "no-source",
    /// A case that cannot be built without a mask.
    NoMask = "no-mask",
    /// A mask without its image.
    NoImage = "no-image",
    /// Masks paired by index although their headers place them elsewhere.
    Misplaced = "misplaced",
    /// Different files that could each be the image or mask of a case.
    Ambiguous = "ambiguous",
    /// A file that is known to be damaged as distributed.
    KnownBad = "known-bad",
    /// A finished shard whose receipt is missing.
    MissingShard = "missing-shard",
    /// A receipt that cannot be read or contradicts itself.
    BrokenReceipt = "broken-receipt",
    /// A shard that is not committed or belongs to no run.
    ForeignShard = "foreign-shard",
    /// A file that is listed in a receipt or an analysis, but missing.
    MissingFile = "missing-file",
    /// A file that does not match its receipt or the record of its analysis.
    AlteredFile = "altered-file",
    /// A file among the tables or analyses that is listed nowhere.
    ForeignFile = "foreign-file",
    /// A folder in the place of a file, or a file in the place of a folder.
    InTheWay = "in-the-way",
    /// A manifest that contradicts the receipts.
    Manifest = "manifest",
    /// A table that cannot be decoded.
    BrokenTable = "broken-table",
    /// Rows that contradict the receipt.
    Rows = "rows",
    /// Rows that are out of order or duplicated.
    Order = "order",
    /// A row whose parent row is missing.
    Orphan = "orphan",
    /// Columns of two tables, or of one row, that contradict each other.
    Disagreement = "disagreement",
    /// An image that does not match its row.
    Image = "image",
    /// A mask that does not match its row.
    Mask = "mask",
    /// A raw file that has changed since the build.
    RawAltered = "raw-altered",
    /// A raw file of the build that is missing.
    RawMissing = "raw-missing",
    /// Results that were made from other tables than the dataset has.
    Outdated = "outdated",
    /// A case of the dataset that the downloads no longer yield.
    CaseMissing = "case-missing",
    /// A case of the downloads that is not in the dataset.
    CaseNew = "case-new",
    /// A spec, release or option that differs from the build.
    OtherInput = "other-input",
    /// A program version that differs from the build.
    OtherTool = "other-tool",
    /// A shard whose rebuild has different bytes.
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

/// A fault or a remark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// True for a fault, false for a remark.
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

/// Number of faults and remarks per kind.
pub(crate) fn count_kinds(findings: &[Finding]) -> BTreeMap<Kind, [u64; 2]> {
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
