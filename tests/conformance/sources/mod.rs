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
    autolaparo,
    chaos,
    chase_db1,
    cvc_clinicdb,
    drive,
    endotect_2020,
    etis_larib,
    i2cvb,
    ichallenge_amd,
    ichallenge_palm,
    isic_2018,
    kvasir_instrument,
    kvasir_seg,
    msd,
    tn_scui_2020,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
