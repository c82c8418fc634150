//! The fixtures, one file for each source.

use crate::fixture::Fixture;

mod abdomenct_1k;
mod acdc;
mod amos_2022;
mod autolaparo;
mod chaos;
mod chase_db1;
mod cvc_clinicdb;
mod drive;
mod endotect_2020;
mod etis_larib;
mod i2cvb;
mod ichallenge_amd;
mod ichallenge_palm;
mod isic_2018;
mod kipa22;
mod kits19;
mod kits21;
mod kvasir_instrument;
mod kvasir_seg;
mod malbcv_abdomen;
mod msd;
mod tn_scui_2020;
mod totalsegmentator;
mod word;

/// Every fixture, in alphabetical order of the modules.
pub const ALL: &[fn() -> Fixture] = &[
    abdomenct_1k::fixture,
    acdc::fixture,
    amos_2022::fixture,
    autolaparo::fixture,
    chaos::fixture,
    chase_db1::fixture,
    cvc_clinicdb::fixture,
    drive::fixture,
    endotect_2020::fixture,
    etis_larib::fixture,
    i2cvb::fixture,
    ichallenge_amd::fixture,
    ichallenge_palm::fixture,
    isic_2018::fixture,
    kipa22::fixture,
    kits19::fixture,
    kits21::fixture,
    kvasir_instrument::fixture,
    kvasir_seg::fixture,
    malbcv_abdomen::fixture,
    msd::fixture,
    tn_scui_2020::fixture,
    totalsegmentator::fixture,
    word::fixture,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
