//! The fixtures, one file for each source.

use crate::fixture::Fixture;

mod abdomenct_1k;
mod acdc;
mod amos_2022;
mod autolaparo;
mod brainptm_2021;
mod brats_2020;
mod chaos;
mod chase_db1;
mod crossmoda;
mod cvc_clinicdb;
mod drive;
mod endotect_2020;
mod etis_larib;
mod feta;
mod i2cvb;
mod ichallenge_amd;
mod ichallenge_palm;
mod iseg_2019;
mod isic_2018;
mod ixi;
mod kipa22;
mod kits19;
mod kits21;
mod kvasir_instrument;
mod kvasir_seg;
mod livscar;
mod malbcv_abdomen;
mod mrspineseg;
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
    brainptm_2021::fixture,
    brats_2020::fixture,
    chaos::fixture,
    chase_db1::fixture,
    crossmoda::fixture,
    cvc_clinicdb::fixture,
    drive::fixture,
    endotect_2020::fixture,
    etis_larib::fixture,
    feta::fixture,
    i2cvb::fixture,
    ichallenge_amd::fixture,
    ichallenge_palm::fixture,
    iseg_2019::fixture,
    isic_2018::fixture,
    ixi::fixture,
    kipa22::fixture,
    kits19::fixture,
    kits21::fixture,
    kvasir_instrument::fixture,
    kvasir_seg::fixture,
    livscar::fixture,
    malbcv_abdomen::fixture,
    mrspineseg::fixture,
    msd::fixture,
    tn_scui_2020::fixture,
    totalsegmentator::fixture,
    word::fixture,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
