//! The paper's released slices: grey PNGs named after case and slice, their masks' grey values told by a JSON.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, grey, mask, object};

const LEFT: Ell = Ell::new([4, 5, 0], [17, 16, 0], 85.0);
const WALL: Ell = Ell::new([20, 4, 0], [33, 15, 0], 170.0);
const RIGHT: Ell = Ell::new([6, 19, 0], [26, 34, 0], 255.0);
/// Of 50 pixels or fewer.
const SPECK: Ell = Ell::new([34, 24, 0], [40, 30, 0], 255.0);
const PANCREAS: Ell = Ell::new([4, 5, 0], [17, 16, 0], 150.0);
const MASS: Ell = Ell::new([20, 4, 0], [33, 15, 0], 255.0);

fn pair(raw: &Raw, folder: &str, name: &str, shapes: &[Ell]) {
    raw.image(&format!("{folder}/images/{name}.png"), &grey(44, 38, shapes));
    raw.image(&format!("{folder}/labels/{name}.png"), &mask(44, 38, shapes));
}

fn write(raw: &Raw) {
    pair(raw, "22_Heart", "22_Heart_2_8", &[LEFT, WALL, RIGHT]);
    pair(raw, "22_Heart", "22_Heart_2_10", &[WALL, SPECK]);
    pair(raw, "22_Heart", "22_Heart_3_2", &[RIGHT]);
    pair(raw, "6_Pancreas", "6_Pancreas_10_43_0", &[PANCREAS, MASS]);
    pair(raw, "6_Pancreas", "6_Pancreas_12_41_1", &[MASS]);
    let heart = r#"{"info": {"1": "LeftVentricle", "2": "LeftVentricularMyocardium", "3": "RightVentricle"},
        "color": {"1": 85, "2": 170, "3": 255}}"#;
    raw.file("data_infor_json/22_Heart.json", heart);
    let pancreas = r#"{"info": {"1": "Pancreas", "2": "PancreaticMass"}, "color": {"1": 150, "2": 255}}"#;
    raw.file("data_infor_json/6_Pancreas.json", pancreas);
}

fn unknown_label(raw: &Raw) {
    write(raw);
    pair(raw, "22_Heart", "22_Heart_3_2", &[RIGHT.of(150.0)]);
}

pub fn fixture() -> Fixture {
    let left = || object("left_ventricle", "left ventricle", LEFT);
    let wall = || object("left_ventricular_myocardium", "left ventricular myocardium", WALL);
    let right = || object("right_ventricle", "right ventricle", RIGHT);
    let pancreas = || object("pancreas", "pancreas", PANCREAS);
    let mass = || object("pancreatic_mass", "pancreas tumour", MASS);
    let heart = |id, patient| case(id, "Cine-MRI").patient(patient);
    Fixture {
        slug: "cosmos-png",
        write,
        archives: &[("*", "test_data.zip")],
        cases: vec![
            heart("22_Heart_2_10", "22_Heart_2").objects([wall()]),
            heart("22_Heart_2_8", "22_Heart_2").objects([left(), wall(), right()]),
            heart("22_Heart_3_2", "22_Heart_3").objects([right()]),
            case("6_Pancreas_10_43_0", "CT").patient("6_Pancreas_10").objects([pancreas(), mass()]),
            case("6_Pancreas_12_41_1", "CT").patient("6_Pancreas_12").objects([mass()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("images/22_Heart_2_10.png", &["22_Heart_2_10"]),
            mask: MissingMask::Skips {
                file: "labels/6_Pancreas_10_43_0",
                case: "6_Pancreas_10_43_0",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
