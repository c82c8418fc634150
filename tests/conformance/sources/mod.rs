//! The fixtures, one file for each source.

use crate::fixture::Fixture;

macro_rules! fixtures {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        /// Every fixture, in alphabetical order of the modules.
        pub const ALL: &[fn() -> Fixture] = &[$($module::fixture),*];
    };
}

fixtures![acdc, chaos, chase_db1, drive, i2cvb, msd,];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
