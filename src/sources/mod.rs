//! From specs and a raw tree to cases: which sources are present, and which files form which case.
//!
//! [`scan`] applies every spec of a registry to the paths of a tree, by names only; its result accounts for every path:
//! used by a case, skipped with a reason, or unclaimed. `settle` compares the files that names alone do not
//! distinguish, and [`scan_tree`] does both. [`read_lists`] then adds splits and patients from the lists and tables of
//! the download, and [`Completeness`] compares their number with the counts of the spec.

mod claim;
mod completeness;
mod headers;
mod join;
mod lists;
mod near;
mod place;
mod pseudonyms;
mod scan;
mod settle;
mod table;

pub use claim::{Case, CaseList, CaseMask, CaseState, Source};
pub use completeness::Completeness;
pub(crate) use completeness::absent_numbers;
pub use join::Joined;
pub(crate) use lists::read_lists;
pub use near::NearMiss;
pub(crate) use near::near_misses;
pub(crate) use pseudonyms::{Pseudonym, Pseudonyms, hide_persons};
pub use scan::{FileUse, Scan, scan};
pub(crate) use scan::{scan_below, scan_tree};
pub(crate) use settle::settle;
pub(crate) use table::Table;
