//! LUNA16: masks under the names of their images, compressed; some scans turned by half a circle, some mask headers
//! with a spacing of 1 mm, masks without an image.

use medcosmos::image::{Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [40, 36, 3];
const SPACING: [f64; 3] = [0.7, 0.8, 2.5];
const UPRIGHT: &str = "1.3.6.1.4.1.14519.5.2.1.6279.6001.105756658031515062000744821261";
const TURNED: &str = "1.3.6.1.4.1.14519.5.2.1.6279.6001.999";
const WITHOUT_IMAGE: &str = "1.3.6.1.4.1.14519.5.2.1.6279.6001.5";
const LEFT: Ell = Ell::new([24, 4, 0], [37, 17, 2], 3.0);
const RIGHT: Ell = Ell::new([2, 4, 0], [14, 15, 1], 4.0);
const TRACHEA: Ell = Ell::new([16, 20, 0], [25, 29, 2], 5.0);
// In a scan that is turned the patient's left comes first.
const TURNED_LEFT: Ell = RIGHT.of(3.0);
const TURNED_RIGHT: Ell = LEFT.of(4.0);
/// Too small to be kept.
const NARROW_TRACHEA: Ell = Ell::new([16, 20, 0], [22, 26, 2], 5.0);

fn place(mut image: Image, turned: bool, spacing: [f64; 3]) -> Image {
    let sign = if turned { -1.0 } else { 1.0 };
    let axes = [[sign, 0., 0.], [0., sign, 0.], [0., 0., 1.]];
    image.geometry = Some(Geometry::from_lps([-198.1, -195.0, -335.2], axes, spacing));
    image
}

fn image(raw: &Raw, subset: &str, uid: &str, turned: bool, shapes: &[Ell]) {
    raw.image(&format!("{subset}/{uid}.mhd"), &place(scan(SIZE, "int16", None, shapes), turned, SPACING));
}

fn mask(raw: &Raw, uid: &str, turned: bool, spacing: [f64; 3], shapes: &[Ell]) {
    let labels = volume(SIZE, "int16", None, 0.0, shapes);
    raw.compressed(&format!("seg-lungs-LUNA16/{uid}.mhd"), &place(labels, turned, spacing));
}

fn write(raw: &Raw) {
    let upright = [LEFT, RIGHT, TRACHEA];
    image(raw, "subset0", UPRIGHT, false, &upright);
    mask(raw, UPRIGHT, false, SPACING, &upright);
    let turned = [TURNED_LEFT, TURNED_RIGHT, NARROW_TRACHEA];
    image(raw, "subset9", TURNED, true, &turned);
    mask(raw, TURNED, true, [1.0; 3], &turned);
    mask(raw, WITHOUT_IMAGE, false, SPACING, &upright);
    for table in ["annotations", "candidates", "candidates_V2"] {
        raw.file(&format!("{table}.csv"), "seriesuid,coordX,coordY,coordZ\n");
    }
    raw.file("evaluationScript/noduleCADEvaluationLUNA16.py", "evaluation");
}

fn unknown_label(raw: &Raw) {
    mask(raw, TURNED, true, SPACING, &[LEFT.of(2.0)]);
}

pub fn fixture() -> Fixture {
    let left = |shape| object("left_lung", "lung", shape).left();
    let right = |shape| object("right_lung", "lung", shape).right();
    let trachea = |shape| object("trachea", "trachea", shape);
    let series = |id| case(id, "CT").cut(Axis::Z, "axial", (0.8, 0.7));
    Fixture {
        slug: "luna16",
        write,
        archives: &[
            ("subset0", "subset0.zip"),
            ("subset9", "subset9.zip"),
            ("seg-lungs-LUNA16", "seg-lungs-LUNA16.zip"),
            ("evaluationScript", "evaluationScript.zip"),
        ],
        cases: vec![
            series(UPRIGHT).objects([left(LEFT), right(RIGHT), trachea(TRACHEA)]),
            series(TURNED).objects([left(TURNED_LEFT), right(TURNED_RIGHT), trachea(NARROW_TRACHEA)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("744821261.raw", &[UPRIGHT]),
            mask: MissingMask::Skips {
                file: "LUNA16/1.3.6.1.4.1.14519.5.2.1.6279.6001.999.mhd",
                case: TURNED,
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
