//! ISIC 2018: six archives, licences among the photographs, and an orientation in them that must not be applied.

use std::fs;

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object};

const LESION: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const TO_THE_BORDER: Ell = Ell::new([0, 0, 0], [43, 38, 0], 255.0);

/// A marker segment of a JPEG: EXIF with orientation 6, a quarter turn.
const TURNED: &[u8] = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";

fn photograph(raw: &Raw, set: &str, id: &str, shape: Ell) {
    let input = format!("ISIC2018_Task1-2_{set}_Input");
    let truth = format!("ISIC2018_Task1_{set}_GroundTruth");
    raw.image(&format!("{input}/{id}.jpg"), &colour(45, 40, &[shape]));
    raw.image(&format!("{truth}/{id}_segmentation.png"), &mask(45, 40, &[shape]));
    for folder in [input, truth] {
        raw.file(&format!("{folder}/ATTRIBUTION.txt"), "the authors");
        raw.file(&format!("{folder}/LICENSE.txt"), "CC BY-NC 4.0");
    }
}

fn turn(raw: &Raw, photograph: &str) {
    let path = raw.place(photograph);
    let mut bytes = fs::read(&path).unwrap();
    bytes.splice(2..2, TURNED.iter().copied());
    fs::write(path, bytes).unwrap();
}

fn write(raw: &Raw) {
    photograph(raw, "Training", "ISIC_0000000", LESION);
    photograph(raw, "Training", "ISIC_0000001", TO_THE_BORDER);
    photograph(raw, "Validation", "ISIC_0012255", LESION);
    photograph(raw, "Test", "ISIC_0012302", LESION);
    turn(raw, "ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg");
    raw.image(
        "ISIC2018_Task2_Training_GroundTruth_v3/ISIC_0000000_attribute_pigment_network.png",
        &mask(45, 40, &[LESION]),
    );
}

pub fn fixture() -> Fixture {
    let lesion = |shape| object("skin_lesion", "skin lesion", shape);
    let photograph = |id, split| case(id, "Dermoscopy").split(split);
    Fixture {
        slug: "isic-2018",
        write,
        archives: &[
            ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1-2_Training_Input.zip"),
            ("ISIC2018_Task1-2_Validation_Input", "ISIC2018_Task1-2_Validation_Input.zip"),
            ("ISIC2018_Task1-2_Test_Input", "ISIC2018_Task1-2_Test_Input.zip"),
            ("ISIC2018_Task1_Training_GroundTruth", "ISIC2018_Task1_Training_GroundTruth.zip"),
            ("ISIC2018_Task1_Validation_GroundTruth", "ISIC2018_Task1_Validation_GroundTruth.zip"),
            ("ISIC2018_Task1_Test_GroundTruth", "ISIC2018_Task1_Test_GroundTruth.zip"),
            ("ISIC2018_Task2_Training_GroundTruth_v3", "ISIC2018_Task2_Training_GroundTruth_v3.zip"),
        ],
        cases: vec![
            photograph("ISIC_0000000", "train").objects([lesion(LESION)]),
            photograph("ISIC_0000001", "train").objects([lesion(TO_THE_BORDER)]),
            photograph("ISIC_0012255", "validation").objects([lesion(LESION)]),
            photograph("ISIC_0012302", "test").objects([lesion(LESION)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("ISIC_0000001.jpg", &["ISIC_0000001"]),
            mask: MissingMask::Skips {
                file: "ISIC_0012302_segmentation",
                case: "ISIC_0012302",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
