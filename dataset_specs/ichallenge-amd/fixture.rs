//! iChallenge-AMD: BMP masks that are black where the object is, and absent where there is none; grey, palette or RGB.

use medcosmos::image::Image;

use crate::fixture::{
    Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, bilevel, case, colour, object, repeated, volume,
};

const DISC: Ell = Ell::new([5, 6, 0], [24, 17, 0], 0.0);
/// Overlaps the disc.
const DRUSEN: Ell = Ell::new([18, 10, 0], [36, 20, 0], 0.0);
const EXUDATE: Ell = Ell::new([38, 2, 0], [50, 14, 0], 0.0);
const HAEMORRHAGE: Ell = Ell::new([4, 22, 0], [18, 34, 0], 0.0);
const SCAR: Ell = Ell::new([22, 24, 0], [36, 36, 0], 0.0);
const OTHERS: Ell = Ell::new([39, 22, 0], [53, 32, 0], 0.0);
/// Grey that resizing left, nearer to white than to black.
const RIM: [Ell; 3] = [
    Ell::new([36, 19, 0], [55, 35, 0], 220.0),
    Ell::new([37, 20, 0], [55, 34, 0], 190.0),
    Ell::new([38, 21, 0], [54, 33, 0], 150.0),
];

fn photograph(raw: &Raw, group: &str, id: &str, shapes: &[Ell]) {
    let path = format!("iChallenge-AMD-Training400/Training400/{group}/{id}.jpg");
    raw.image(&path, &colour(56, 38, shapes));
}

fn inverted(shapes: &[Ell]) -> Image {
    volume([56, 38, 1], "uint8", None, 255.0, shapes)
}

fn disc(raw: &Raw, id: &str, mask: &Image) {
    raw.image(&format!("iChallenge-AMD-Training400/Training400/Disc_Masks/{id}.bmp"), mask);
}

fn lesion(raw: &Raw, kind: &str, id: &str, shapes: &[Ell]) {
    raw.image(&format!("Training400-Lesion/Lesion_Masks/{kind}/{id}.bmp"), &inverted(shapes));
}

fn write(raw: &Raw) {
    photograph(raw, "AMD", "A0001", &[DISC, DRUSEN, EXUDATE, HAEMORRHAGE, SCAR, OTHERS]);
    disc(raw, "A0001", &inverted(&[DISC]));
    lesion(raw, "drusen", "A0001", &[DRUSEN]);
    lesion(raw, "exudate", "A0001", &[EXUDATE]);
    lesion(raw, "hemorrhage", "A0001", &[HAEMORRHAGE]);
    lesion(raw, "scar", "A0001", &[SCAR]);
    lesion(raw, "others", "A0001", &[RIM[0], RIM[1], RIM[2], OTHERS]);
    raw.image("Training400-Lesion/Lesion_Illustration/A0001.jpg", &colour(56, 38, &[SCAR]));

    // The disc is out of view.
    photograph(raw, "AMD", "A0089", &[SCAR]);
    disc(raw, "A0089", &repeated(&inverted(&[]), 3));
    lesion(raw, "scar", "A0089", &[SCAR]);

    photograph(raw, "Non-AMD", "N0001", &[DISC]);
    let mut palette = bilevel(&inverted(&[DISC]));
    palette.palette = Some(vec![[0, 0, 0, 255], [255, 255, 255, 255]]);
    disc(raw, "N0001", &palette);

    photograph(raw, "Non-AMD", "N0311", &[]);
    raw.file("iChallenge-AMD-Training400/Training400/Fovea_location.xlsx", "a point");
    raw.image("iChallenge-AMD-Validation400/V0001.jpg", &colour(56, 38, &[]));
}

pub fn fixture() -> Fixture {
    let disc = || object("optic_disc", "optic disc", DISC);
    let scar = || object("scar", "retinal scar", SCAR);
    let photograph = |id| case(id, "Fundus").split("train");
    Fixture {
        slug: "ichallenge-amd",
        write,
        archives: &[
            ("iChallenge-AMD-Training400/*", "iChallenge-AMD-Training400.zip"),
            ("Training400-Lesion", "Detection and segmentation of lesions from fundus images Training400-Lesion.zip"),
        ],
        cases: vec![
            photograph("A0001").objects([
                disc(),
                object("drusen", "drusen", DRUSEN),
                object("exudate", "retinal exudate", EXUDATE),
                object("haemorrhage", "retinal haemorrhage", HAEMORRHAGE),
                object("other_lesion", "other retinal lesion", OTHERS),
                scar(),
            ]),
            photograph("A0089").objects([scar()]),
            photograph("N0001").objects([disc()]),
        ],
        skipped: &[("N0311", "not labelled")],
        damage: Damage {
            image: ("Training400/AMD/A0089.jpg", &["A0089"]),
            mask: MissingMask::Lacks { file: "drusen/A0001.bmp", case: "A0001", label: "drusen" },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
