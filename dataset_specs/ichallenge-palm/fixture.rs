//! iChallenge-PALM: BMP masks that are black where the object is, and absent where there is none. Two packagings side
//! by side, each with photographs of its own: one tree from figshare, archives inside archives from the challenge. A task
//! of AI Studio has them in one folder.

use medcosmos::image::Image;

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, object, repeated, volume};

const DISC: Ell = Ell::new([5, 6, 0], [24, 17, 0], 0.0);
/// Overlaps the disc.
const ATROPHY: Ell = Ell::new([18, 10, 0], [36, 26, 0], 0.0);
const DETACHMENT: Ell = Ell::new([38, 2, 0], [52, 30, 0], 0.0);
/// Grey that resizing left, nearer to white than to black.
const RIM: [Ell; 3] = [
    Ell::new([35, 0, 0], [55, 33, 0], 220.0),
    Ell::new([36, 0, 0], [54, 32, 0], 190.0),
    Ell::new([37, 1, 0], [53, 31, 0], 150.0),
];

fn image(shapes: &[Ell]) -> Image {
    colour(56, 38, shapes)
}

fn inverted(shapes: &[Ell]) -> Image {
    volume([56, 38, 1], "uint8", None, 255.0, shapes)
}

fn figshare(raw: &Raw) {
    raw.image("PALM/Training/Images/P0001.jpg", &image(&[DISC, ATROPHY, DETACHMENT]));
    raw.image("PALM/Training/Disc Masks/P0001.bmp", &inverted(&[DISC]));
    raw.image("PALM/Training/Lesion Masks/Atrophy/P0001.bmp", &inverted(&[ATROPHY]));
    raw.image("PALM/Training/Lesion Masks/Detachment/P0001.bmp", &inverted(&[RIM[0], RIM[1], RIM[2], DETACHMENT]));
    raw.image("PALM/Validation/Images/V0001.jpg", &image(&[ATROPHY]));
    raw.image("PALM/Validation/Lesion Masks/Atrophy/V0001.bmp", &inverted(&[ATROPHY]));
    raw.image("PALM/Testing/Images/T0001.jpg", &image(&[DISC]));
    raw.image("PALM/Testing/Disc Masks/T0001.bmp", &repeated(&inverted(&[DISC]), 3));
    raw.image("PALM/Testing/Images/T0002.jpg", &image(&[]));
    raw.file("PALM/Training/Classification Labels.xlsx", "a diagnosis");
    raw.file("PALM/Training/Fovea Localization.xlsx", "a point");
    raw.file("__MACOSX/PALM/Training/Images/._P0001.jpg", "resource fork");
}

fn challenge(raw: &Raw) {
    let folder = "PALM-Training400";
    let discs = format!("{folder}/PALM-Training400-Annotation-D&F");
    let lesions = format!("{folder}/PALM-Training400-Annotation-Lession");
    for (id, shapes) in [("H0001", &[DISC][..]), ("N0001", &[DISC]), ("P0002", &[ATROPHY])] {
        raw.image(&format!("{folder}/PALM-Training400/{id}.jpg"), &image(shapes));
    }
    raw.image(&format!("{discs}/Disc_Masks/H0001.bmp"), &inverted(&[DISC]));
    raw.image(&format!("{discs}/Disc_Masks/N0001.bmp"), &inverted(&[DISC]));
    raw.image(&format!("{discs}/Disc_Fovea_Illustration/H0001.jpg"), &image(&[DISC]));
    raw.image(&format!("{lesions}/Lesion_Masks/Atrophy/P0002.bmp"), &inverted(&[ATROPHY]));
    raw.image(&format!("{lesions}/Lesion_Illustration/Atrophy/P0002.jpg"), &image(&[ATROPHY]));
    raw.image("PALM-Validation400/V0002.jpg", &image(&[DISC, DETACHMENT]));
    raw.image("PALM-Validation-GT/Disc_Masks/V0002.bmp", &inverted(&[DISC]));
    raw.image("PALM-Validation-GT/Lesion_Masks/Detachment/V0002.bmp", &inverted(&[DETACHMENT]));
    raw.file("PALM-Validation-GT/PM_Label_and_Fovea_Location.xlsx", "a diagnosis and a point");
}

fn ai_studio(raw: &Raw) {
    raw.image("Train/fundus_images/V0003.jpg", &image(&[DISC, ATROPHY]));
    raw.image("Train/Disc_Masks/V0003.bmp", &inverted(&[DISC]));
    raw.image("Train/Lesion_Masks/Atrophy/V0003.bmp", &inverted(&[ATROPHY]));
    raw.file("Train/Fovea_Localization.xlsx", "a point");
    raw.file("Train/Classification.xlsx", "a diagnosis");
}

fn write(raw: &Raw) {
    figshare(raw);
    challenge(raw);
    ai_studio(raw);
}

pub fn fixture() -> Fixture {
    let disc = || object("optic_disc", "optic disc", DISC);
    let atrophy = || object("patchy_retinal_atrophy", "retinal atrophy", ATROPHY);
    let detachment = || object("retinal_detachment", "retinal detachment", DETACHMENT);
    let photograph = |id, split| case(id, "Fundus").split(split);
    Fixture {
        slug: "ichallenge-palm",
        write,
        archives: &[
            ("PALM", "PALM.zip"),
            ("PALM-Training400/PALM-Training400", "PALM-Training400/PALM-Training400.zip"),
            (
                "PALM-Training400/PALM-Training400-Annotation-D&F/*",
                "PALM-Training400/PALM-Training400-Annotation-D&F.zip",
            ),
            (
                "PALM-Training400/PALM-Training400-Annotation-Lession/*",
                "PALM-Training400/PALM-Training400-Annotation-Lession.zip",
            ),
            ("PALM-Training400", "training.zip"),
            ("PALM-Validation400", "validation.zip"),
            ("PALM-Validation-GT", "valid_gt.zip"),
        ],
        cases: vec![
            photograph("H0001", "train").objects([disc()]),
            photograph("N0001", "train").objects([disc()]),
            photograph("P0001", "train").objects([disc(), atrophy(), detachment()]),
            photograph("P0002", "train").objects([atrophy()]),
            photograph("T0001", "test").objects([disc()]),
            photograph("V0001", "validation").objects([atrophy()]),
            photograph("V0002", "validation").objects([disc(), detachment()]),
            photograph("V0003", "train").objects([disc(), atrophy()]),
        ],
        skipped: &[("T0002", "not labelled")],
        damage: Damage {
            image: ("Images/P0001.jpg", &["P0001"]),
            mask: MissingMask::Lacks { file: "Detachment/V0002.bmp", case: "V0002", label: "retinal_detachment" },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
