//! Options whose values are the names of a closed set, or local paths.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};

use crate::bucket::is_url;
use crate::named::Named;

/// A parser of the names of `T`, which `--help` lists.
pub(super) fn named<T: Named + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let names = T::ALL.iter().map(|value| value.name());
    PossibleValuesParser::new(names).try_map(|name| T::named(&name))
}

/// A parser of paths of this host, where an address of object storage would be taken for a folder called `s3:`.
pub(super) fn local_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match is_url(&path) {
        true => Err("expected a path on this host: only downloads and datasets may be on object storage"),
        false => Ok(path),
    })
}
