//! Specs: everything specific to a source, as data without code.
//!
//! A spec is one TOML file, `dataset_specs/<slug>/spec.toml` for the built-in sources or any file given with `--spec`.
//! It declares the source (licence, citation, releases), the names of its files ([`pattern`]), their content (sequences
//! → modalities, label values → objects) and how masks are read. [`crate::sources`] applies it.

use std::path::PathBuf;

use thiserror::Error;

mod ids;
mod model;
mod names;
pub(crate) mod pattern;
mod registry;
mod taxonomy;
mod validate;

pub(crate) use ids::{bounded, file_safe, id_part, is_device, make_distinct};
pub use model::*;
pub(crate) use names::{compare_names, plain_name, sided_names};
pub use registry::Registry;
pub use taxonomy::{Taxonomy, TaxonomyObject, taxonomy};

/// Why a spec cannot be used.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the spec {path}: {source}")]
    Read {
        /// File.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type. The parser's message names line and column.
    #[error("{path}: {message}")]
    Syntax {
        /// File, or the slug of a built-in spec.
        path: String,
        /// Line, column and what was expected there.
        message: String,
    },
    /// The TOML is fine but what it says is not.
    #[error("{path}: {} problem{} in the spec:\n{}", problems.len(), if problems.len() == 1 { "" } else { "s" },
        problems.iter().map(|p| format!("  - {p}")).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// File, or the slug of a built-in spec.
        path: String,
        /// One sentence each.
        problems: Vec<String>,
    },
    /// No spec has this slug.
    #[error("no source named {slug:?}{}; `medcosmos sources list` lists all sources", hint.as_ref().map(|h| format!(" (did you mean {h:?}?)")).unwrap_or_default())]
    UnknownSource {
        /// What was asked for.
        slug: String,
        /// Nearest slug.
        hint: Option<String>,
    },
}
