//! The fixtures, one file for each source.

use crate::fixture::Fixture;

macro_rules! fixtures {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        /// Every fixture, in alphabetical order.
        pub const ALL: &[Fixture] = &[$($module::FIXTURE),*];
    };
}

fixtures![acdc, chaos, chase_db1, drive, i2cvb, msd,];

/// Sources whose specs were checked on trees of empty files only: they have no fixture yet, so this suite cannot vouch for
/// them.
pub const WITHOUT_FIXTURE: &[&str] = &[
    "4c2021-tls01",
    "abdomenct-1k",
    "amos-2022",
    "autolaparo",
    "brainptm-2021",
    "brats-2020",
    "camus",
    "cellseg-neurips-2022",
    "chest-ct-segmentation",
    "cosmos-png",
    "crag",
    "crossmoda",
    "cvc-clinicdb",
    "endotect-2020",
    "epfl-em",
    "etis-larib",
    "feta",
    "han-seg",
    "ichallenge-amd",
    "ichallenge-palm",
    "idrid-2018",
    "iseg-2019",
    "isic-2018",
    "ixi",
    "kipa22",
    "kits19",
    "kits21",
    "kvasir-instrument",
    "kvasir-seg",
    "livscar",
    "luna16",
    "malbcv-abdomen",
    "mnms",
    "montgomery-cxr",
    "mrspineseg",
    "nci-isbi-2013",
    "promise12",
    "qubiq-2021",
    "siim-acr",
    "ski10",
    "sliver07",
    "sstem",
    "stare",
    "tn-scui-2020",
    "totalsegmentator",
    "verse",
    "warwick-qu",
    "word",
];
