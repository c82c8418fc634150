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
    brainptm_2021,
    brats_2020,
    chaos,
    chase_db1,
    crossmoda,
    drive,
    feta,
    i2cvb,
    iseg_2019,
    ixi,
    livscar,
    mrspineseg,
    msd,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
