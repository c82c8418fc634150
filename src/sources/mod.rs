//! Spec and raw tree to cases: which sources are here, and which files make which case.
//!
//! [`scan`] applies every spec of a registry to the paths of a tree and looks at names only; what comes out accounts
//! for every path: used by a case, skipped with a reason, or claimed by no source. [`settle`] compares the files that
//! names alone do not tell apart, and [`scan_tree`] does both. [`read_lists`] then adds what lists and tables of the
//! download say of its cases, and [`Completeness`] compares their number with what the spec expects.

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
