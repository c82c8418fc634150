//! Montgomery: one mask of one bit for each lung under the name of the picture, portrait and landscape mixed. A copy has
//! both lungs in one mask, and the Shenzhen set beside them.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, bilevel, case, grey, mask, object, scan};

// The patient's left lung is on the right of the picture.
const RIGHT: Ell = Ell::new([3, 5, 0], [14, 19, 0], 255.0);
const LEFT: Ell = Ell::new([20, 7, 0], [32, 26, 0], 255.0);

fn masks(raw: &Raw, name: &str, width: usize, height: usize) {
    for (side, lung) in [("left", LEFT), ("right", RIGHT)] {
        let path = format!("MontgomerySet/ManualMask/{side}Mask/{name}.png");
        raw.image(&path, &bilevel(&mask(width, height, &[lung])));
    }
    raw.file(&format!("MontgomerySet/ClinicalReadings/{name}.txt"), "Patient's Sex: F \r\nPatient's Age: 027Y\r\n");
}

fn write(raw: &Raw) {
    raw.image("MontgomerySet/CXR_png/MCUCXR_0001_0.png", &grey(48, 36, &[RIGHT, LEFT]));
    masks(raw, "MCUCXR_0001_0", 48, 36);
    let deep = scan([36, 48, 1], "uint16", None, &[RIGHT, LEFT]);
    raw.image("MontgomerySet/CXR_png/MCUCXR_0104_1.png", &deep);
    masks(raw, "MCUCXR_0104_1", 36, 48);
    raw.file("MontgomerySet/NLM-MontgomeryCXRSet-ReadMe.pdf", "read me");
    raw.file("MontgomerySet/CXR_png/Thumbs.db", "thumbnails");
    raw.file("__MACOSX/MontgomerySet/CXR_png/._MCUCXR_0001_0.png", "resource fork");
    for (name, mask_name) in [("MCUCXR_0002_0", "MCUCXR_0002_0"), ("MCUCXR_0113_1", "MCUCXR_0113_1_mask")] {
        raw.image(&format!("data/Lung Segmentation/CXR_png/{name}.png"), &grey(36, 48, &[RIGHT, LEFT]));
        raw.image(&format!("data/Lung Segmentation/masks/{mask_name}.png"), &mask(36, 48, &[RIGHT, LEFT]));
    }
    raw.image("data/Lung Segmentation/CXR_png/CHNCXR_0002_0.png", &grey(36, 48, &[LEFT]));
    raw.image("data/Lung Segmentation/masks/CHNCXR_0002_0_mask.png", &mask(36, 48, &[LEFT]));
    raw.image("MontgomerySet/CXR_png/CHNCXR_0001_0.png", &grey(36, 48, &[LEFT]));
    raw.image("MontgomerySet/masks/CHNCXR_0001_0_mask.png", &mask(36, 48, &[LEFT]));
}

pub fn fixture() -> Fixture {
    let lungs = || [object("left_lung", "lung", LEFT).left(), object("right_lung", "lung", RIGHT).right()];
    let both = || [object("lungs", "lung", LEFT).and(RIGHT)];
    let picture = |id, patient| case(id, "X-ray").patient(patient).spacing(0.0875, 0.0875);
    Fixture {
        slug: "montgomery-cxr",
        write,
        archives: &[("*", "NLM-MontgomeryCXRSet.zip")],
        cases: vec![
            picture("MCUCXR_0001_0", "MCUCXR_0001").objects(lungs()),
            picture("MCUCXR_0104_1", "MCUCXR_0104").objects(lungs()),
            picture("MCUCXR_0002_0_both", "MCUCXR_0002").objects(both()),
            picture("MCUCXR_0113_1_both", "MCUCXR_0113").objects(both()),
        ],
        skipped: &[],
        damage: Damage {
            image: ("CXR_png/MCUCXR_0104_1.png", &["MCUCXR_0104_1"]),
            mask: MissingMask::Skips {
                file: "rightMask/MCUCXR_0001_0.png",
                case: "MCUCXR_0001_0",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::None("every value but 0 is the lung of the folder"),
        },
    }
}
