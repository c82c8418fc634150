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
    abdomenct_1k,
    acdc,
    amos_2022,
    chaos,
    chase_db1,
    drive,
    i2cvb,
    kipa22,
    kits19,
    kits21,
    malbcv_abdomen,
    msd,
    totalsegmentator,
    word,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
