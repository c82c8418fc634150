//! The fixtures, `dataset_specs/<slug>/fixture.rs` for each source, as `build.rs` finds them.

use crate::fixture::Fixture;

/// Makes a fixture.
pub type Make = fn() -> Fixture;

include!(concat!(env!("OUT_DIR"), "/fixtures.rs"));

/// Every fixture, made, in alphabetical order of the slugs.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|(_, fixture)| fixture()).collect()
}
