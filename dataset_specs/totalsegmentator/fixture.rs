//! TotalSegmentator: one file for each class, empty where it is out of view or not there at all; masks may overlap.

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, facing, object, scan, volume};

const SIZE: [usize; 3] = [46, 42, 4];
const SPACING: Option<[f64; 3]> = Some([1.5; 3]);
const LIVER: Ell = Ell::new([24, 3, 0], [43, 16, 2], 1.0);
const LEFT_KIDNEY: Ell = Ell::new([3, 4, 0], [15, 15, 1], 1.0);
const COLON: Ell = Ell::new([2, 20, 2], [16, 33, 3], 1.0);
const MYOCARDIUM: Ell = Ell::new([18, 19, 1], [31, 33, 3], 1.0);
/// Lies on a part of the myocardium.
const LEFT_UPPER_LOBE: Ell = Ell::new([26, 17, 1], [43, 30, 2], 1.0);
const RIGHT_RIB: Ell = Ell::new([30, 34, 0], [44, 40, 3], 1.0);

type Class = (&'static str, Ell);

fn subject(raw: &Raw, id: &str, classes: &[Class], out_of_view: &[&str]) {
    let folder = format!("Totalsegmentator_dataset/{id}");
    let shapes: Vec<Ell> = classes.iter().map(|(_, shape)| *shape).collect();
    raw.image(&format!("{folder}/ct.nii.gz"), &facing(scan(SIZE, "int16", SPACING, &shapes), "RAS"));
    let mask = |class: &str, shapes: &[Ell]| {
        let mask = facing(volume(SIZE, "uint8", SPACING, 0.0, shapes), "RAS");
        raw.image(&format!("{folder}/segmentations/{class}.nii.gz"), &mask);
    };
    classes.iter().for_each(|(class, shape)| mask(class, &[*shape]));
    out_of_view.iter().for_each(|class| mask(class, &[]));
}

fn write(raw: &Raw) {
    let classes = [
        ("liver", LIVER),
        ("kidney_left", LEFT_KIDNEY),
        ("colon", COLON),
        ("heart_myocardium", MYOCARDIUM),
        ("lung_upper_lobe_left", LEFT_UPPER_LOBE),
        ("rib_right_12", RIGHT_RIB),
    ];
    subject(raw, "s0000", &classes, &["spleen", "face"]);
    subject(raw, "s0011", &[("vertebrae_L5", LIVER), ("humerus_right", COLON)], &["urinary_bladder"]);
    let meta = "\u{feff}image_id;age;gender;institute;study_type;split\r\ns0000;64;m;A;ct thorax;train\r\ns0011;70;f;B;;val\r\n";
    raw.file("Totalsegmentator_dataset/meta.csv", meta);
    // Users merge the classes into maps of their own.
    raw.file("Totalsegmentator_dataset/s0000/labels.nii.gz", "not read");
    raw.file("Totalsegmentator_dataset/s0011/segmentations/combined.nii.gz", "not read");
}

pub fn fixture() -> Fixture {
    let subject = |id| case(id, "CT").cut(Axis::Z, "axial", (1.5, 1.5));
    Fixture {
        slug: "totalsegmentator",
        write,
        archives: &[("Totalsegmentator_dataset", "Totalsegmentator_dataset.zip")],
        cases: vec![
            subject("s0000").split("train").objects([
                object("liver", "liver", LIVER),
                object("left_kidney", "kidney", LEFT_KIDNEY).left(),
                object("colon", "colon", COLON).excluded(),
                object("left_ventricular_myocardium", "left ventricular myocardium", MYOCARDIUM),
                object("left_upper_lung_lobe", "lung lobe", LEFT_UPPER_LOBE).left(),
                object("right_rib_12", "rib", RIGHT_RIB).right(),
            ]),
            subject("s0011")
                .split("validation")
                .objects([object("vertebra_L5", "vertebra", LIVER), object("right_humerus", "humerus", COLON).right()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("s0000/ct.nii.gz", &["s0000"]),
            mask: MissingMask::Lacks { file: "s0011/segmentations/vertebrae_L5", case: "s0011", label: "vertebra_L5" },
            unknown_label: UnknownLabel::None("every value but 0 is the class of the file"),
        },
    }
}
