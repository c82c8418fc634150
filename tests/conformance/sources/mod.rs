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
    camus,
    chaos,
    chase_db1,
    chest_ct_segmentation,
    drive,
    han_seg,
    i2cvb,
    mnms,
    msd,
    qubiq_2021,
    tls01_4c2021,
    verse,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
