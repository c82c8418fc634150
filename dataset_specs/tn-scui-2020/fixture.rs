//! TN-SCUI 2020: extensions in upper case, grey pictures of which some are stored as RGB. It comes as RAR, which zips
//! stand for here.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, grey, mask, object, repeated};

const NODULE: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const OTHER: Ell = Ell::new([20, 14, 0], [45, 30, 0], 255.0);

fn write(raw: &Raw) {
    raw.image("TNSCUI2020_train/image/2.PNG", &grey(50, 34, &[NODULE]));
    raw.image("TNSCUI2020_train/mask/2.PNG", &mask(50, 34, &[NODULE]));
    raw.image("TNSCUI2020_train/image/1273.PNG", &repeated(&grey(56, 41, &[OTHER]), 3));
    raw.image("TNSCUI2020_train/mask/1273.PNG", &mask(56, 41, &[OTHER]));
    raw.file("TNSCUI2020_train/train.csv", "ID,CATE\n2.PNG,0\n1273.PNG,1\n");
    raw.image("tnscui2020_testset/test_1.PNG", &grey(50, 34, &[]));
}

pub fn fixture() -> Fixture {
    let nodule = |shape| object("thyroid_nodule", "thyroid nodule", shape);
    let picture = |id| case(id, "Ultrasound").split("train");
    Fixture {
        slug: "tn-scui-2020",
        write,
        archives: &[("TNSCUI2020_train", "TNSCUI2020_train.zip"), ("tnscui2020_testset", "tnscui2020_testset.zip")],
        cases: vec![picture("2").objects([nodule(NODULE)]), picture("1273").objects([nodule(OTHER)])],
        skipped: &[],
        damage: Damage {
            image: ("image/1273.PNG", &["1273"]),
            mask: MissingMask::Skips { file: "mask/2.PNG", case: "2", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
