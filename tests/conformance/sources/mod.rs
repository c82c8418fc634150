//! The fixtures, one file for each source.

use crate::fixture::Fixture;

macro_rules! fixtures {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        /// Every fixture, in alphabetical order of the modules.
        pub const ALL: &[fn() -> Fixture] = &[$($module::fixture),*];
    };
}

fixtures![
    acdc,
    chaos,
    chase_db1,
    drive,
    i2cvb,
    luna16,
    montgomery_cxr,
    msd,
    nci_isbi_2013,
    promise12,
    siim_acr,
    ski10,
    sliver07,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
