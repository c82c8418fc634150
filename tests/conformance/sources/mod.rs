//! The fixtures, one file for each source.

use crate::fixture::Fixture;

mod abdomenct_1k;
mod acdc;
mod amos_2022;
mod autolaparo;
mod brainptm_2021;
mod brats_2020;
mod camus;
mod cellseg_neurips_2022;
mod chaos;
mod chase_db1;
mod chest_ct_segmentation;
mod cosmos_png;
mod crag;
mod crossmoda;
mod cvc_clinicdb;
mod drive;
mod endotect_2020;
mod epfl_em;
mod etis_larib;
mod feta;
mod han_seg;
mod i2cvb;
mod ichallenge_amd;
mod ichallenge_palm;
mod idrid_2018;
mod iseg_2019;
mod isic_2018;
mod ixi;
mod kipa22;
mod kits19;
mod kits21;
mod kvasir_instrument;
mod kvasir_seg;
mod livscar;
mod luna16;
mod malbcv_abdomen;
mod mnms;
mod montgomery_cxr;
mod mrspineseg;
mod msd;
mod nci_isbi_2013;
mod promise12;
mod qubiq_2021;
mod siim_acr;
mod ski10;
mod sliver07;
mod sstem;
mod stare;
mod tls01_4c2021;
mod tn_scui_2020;
mod totalsegmentator;
mod verse;
mod warwick_qu;
mod word;

/// Every fixture, in alphabetical order of the modules.
pub const ALL: &[fn() -> Fixture] = &[
    abdomenct_1k::fixture,
    acdc::fixture,
    amos_2022::fixture,
    autolaparo::fixture,
    brainptm_2021::fixture,
    brats_2020::fixture,
    camus::fixture,
    cellseg_neurips_2022::fixture,
    chaos::fixture,
    chase_db1::fixture,
    chest_ct_segmentation::fixture,
    cosmos_png::fixture,
    crag::fixture,
    crossmoda::fixture,
    cvc_clinicdb::fixture,
    drive::fixture,
    endotect_2020::fixture,
    epfl_em::fixture,
    etis_larib::fixture,
    feta::fixture,
    han_seg::fixture,
    i2cvb::fixture,
    ichallenge_amd::fixture,
    ichallenge_palm::fixture,
    idrid_2018::fixture,
    iseg_2019::fixture,
    isic_2018::fixture,
    ixi::fixture,
    kipa22::fixture,
    kits19::fixture,
    kits21::fixture,
    kvasir_instrument::fixture,
    kvasir_seg::fixture,
    livscar::fixture,
    luna16::fixture,
    malbcv_abdomen::fixture,
    mnms::fixture,
    montgomery_cxr::fixture,
    mrspineseg::fixture,
    msd::fixture,
    nci_isbi_2013::fixture,
    promise12::fixture,
    qubiq_2021::fixture,
    siim_acr::fixture,
    ski10::fixture,
    sliver07::fixture,
    sstem::fixture,
    stare::fixture,
    tls01_4c2021::fixture,
    tn_scui_2020::fixture,
    totalsegmentator::fixture,
    verse::fixture,
    warwick_qu::fixture,
    word::fixture,
];

/// Every fixture, made.
pub fn all() -> Vec<Fixture> {
    ALL.iter().map(|fixture| fixture()).collect()
}
