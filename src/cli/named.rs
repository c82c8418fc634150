//! Options whose values are the names of a closed set.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::named::Named;

/// A parser of the names of `T`, which `--help` lists.
pub(super) fn named<T: Named + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let names = T::ALL.iter().map(|value| value.name());
    PossibleValuesParser::new(names).try_map(|name| T::named(&name))
}
