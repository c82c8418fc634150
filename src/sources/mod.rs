//! Spec and raw tree to cases: which sources are here, and which files make which case.
//!
//! Nothing is decoded here, only names are looked at. [`scan`] applies every spec of a registry to the paths of a tree;
//! what comes out accounts for every path: used by a case, skipped with a reason, or claimed by no source.

mod claim;
mod scan;

pub(crate) use claim::file_safe;
pub use claim::{Case, CaseMask, CaseState, Source};
pub use scan::{FileUse, Scan, scan};
