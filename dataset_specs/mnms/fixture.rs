//! M&Ms: cine loops whose masks are empty but for two frames; headers that are not orthonormal; blanks and `&` in
//! names.

use medcosmos::image::{Frame, Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, stacked, volume};

const SIZE: [usize; 3] = [40, 36, 3];
const SPACING: [f64; 3] = [1.2, 1.3, 10.0];
const LEFT: Ell = Ell::new([3, 4, 0], [16, 15, 1], 1.0);
const WALL: Ell = Ell::new([20, 3, 0], [35, 14, 2], 2.0);
const RIGHT: Ell = Ell::new([18, 18, 1], [33, 33, 2], 3.0);
/// Fewer than 50 pixels in a slice.
const TIP: Ell = Ell::new([3, 20, 0], [9, 26, 0], 1.0);

/// Direction cosines as in some of the headers: neither of length one nor at right angles.
fn skewed(mut image: Image) -> Image {
    let affine = [[-1.2, 0.2, 0.0, 30.0], [0.0, -1.2, 1.5, 20.0], [0.1, 0.0, 9.8, -5.0]];
    image.geometry = Some(Geometry { spacing: SPACING, affine, frame: Frame::Sform });
    image
}

/// Four frames; each is outlined, or not, by the shapes given.
fn subject(raw: &Raw, folder: &str, code: &str, dtype: &str, frames: [&[Ell]; 4]) {
    let image = stacked(&frames.map(|shapes| scan(SIZE, "int16", Some(SPACING), shapes)));
    let labels = stacked(&frames.map(|shapes| volume(SIZE, dtype, Some(SPACING), 0.0, shapes)));
    raw.image(&format!("OpenDataset/{folder}/{code}/{code}_sa.nii.gz"), &skewed(image));
    raw.image(&format!("OpenDataset/{folder}/{code}/{code}_sa_gt.nii.gz"), &skewed(labels));
}

fn write(raw: &Raw) {
    subject(raw, "Training/Labeled", "A0S9V9", "float32", [&[LEFT, WALL, RIGHT], &[], &[WALL, TIP], &[]]);
    subject(raw, "Validation", "B9O3Q1", "uint16", [&[], &[LEFT], &[], &[RIGHT]]);
    subject(raw, "Testing", "G4L8Z7", "int16", [&[RIGHT], &[], &[], &[WALL]]);
    for file in ["E3F5U2_sa.nii.gz", "E3F5U2_sa_gt.nii.gz"] {
        raw.file(&format!("OpenDataset/Training/Unlabeled/E3F5U2/{file}"), "not used, so not read");
    }
    for table in [
        "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv",
        "M&Ms Dataset information - diagnosis - opendataset.csv",
        "mnms_dataset_info.xls",
    ] {
        raw.file(&format!("OpenDataset/{table}"), "\u{feff},External code,VendorName,ED,ES\n0,A0S9V9,Siemens,0,2\n");
    }
}

fn unknown_label(raw: &Raw) {
    subject(raw, "Testing", "G4L8Z7", "int16", [&[RIGHT.of(4.0)], &[], &[], &[WALL]]);
}

pub fn fixture() -> Fixture {
    let left = |shape| object("left_ventricular_cavity", "left ventricle", shape);
    let wall = || object("left_ventricular_myocardium", "left ventricular myocardium", WALL);
    let right = || object("right_ventricular_cavity", "right ventricle", RIGHT);
    let subject = |id, split| case(id, "Cine-MRI").split(split).cut(Axis::Z, "short axis", (1.3, 1.2));
    Fixture {
        slug: "mnms",
        write,
        archives: &[("OpenDataset", "OpenDataset.zip")],
        cases: vec![
            subject("A0S9V9", "train").objects([
                left(LEFT).frame(0),
                wall().frame(0),
                right().frame(0),
                wall().frame(2),
                left(TIP).frame(2),
            ]),
            subject("B9O3Q1", "validation").objects([left(LEFT).frame(1), right().frame(3)]),
            subject("G4L8Z7", "test").objects([right().frame(0), wall().frame(3)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("B9O3Q1_sa.nii.gz", &["B9O3Q1"]),
            mask: MissingMask::Skips { file: "A0S9V9_sa_gt", case: "A0S9V9", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
