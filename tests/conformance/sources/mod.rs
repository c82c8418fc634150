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
    cellseg_neurips_2022,
    chaos,
    chase_db1,
    cosmos_png,
    crag,
    drive,
    epfl_em,
    i2cvb,
    idrid_2018,
    msd,
    sstem,
    stare,
    warwick_qu,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
