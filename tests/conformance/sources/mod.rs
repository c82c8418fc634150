//! The fixtures, one file for each source.

use crate::fixture::Fixture;

macro_rules! fixtures {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        /// Every fixture, in alphabetical order.
        pub const ALL: &[Fixture] = &[$($module::FIXTURE),*];
    };
}

fixtures![
    acdc,
];
