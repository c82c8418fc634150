//! From specs and a raw tree to cases: which sources are present, and which files form which case.
//!
//! [`scan`] applies every spec of a registry to the paths of a tree, by names only; its result accounts for every path:
//! used by a case, skipped with a reason, or unclaimed. [`settle`] compares the files that names alone do not
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
pub use completeness::{Completeness, absent_numbers};
pub use join::Joined;
pub use lists::read_lists;
pub use near::{NearMiss, near_misses};
pub use pseudonyms::{Pseudonym, Pseudonyms, hide_persons};
pub use scan::{FileUse, Scan, scan, scan_below, scan_tree};
pub use settle::settle;
pub(crate) use table::Table;
