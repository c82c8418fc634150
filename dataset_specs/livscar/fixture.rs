//! LiVScar: the layout of the download is not known, so it is skipped with what to do; cases arranged by the user are
//! read.

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [40, 36, 3];
const HUMAN: Option<[f64; 3]> = Some([1.4, 1.5, 8.0]);
const PIG: Option<[f64; 3]> = Some([0.6, 0.6, 4.0]);
const SCAR: Ell = Ell::new([5, 6, 0], [17, 16, 1], 1.0);
const MUSCLE: Ell = Ell::new([3, 4, 0], [30, 29, 2], 1.0);
const SMALL: Ell = Ell::new([24, 8, 2], [29, 13, 2], 1.0);

fn image(raw: &Raw, path: &str, spacing: Option<[f64; 3]>, shapes: &[Ell]) {
    raw.image(path, &scan(SIZE, "int16", spacing, shapes));
}

fn mask(raw: &Raw, path: &str, spacing: Option<[f64; 3]>, shapes: &[Ell]) {
    raw.image(path, &volume(SIZE, "uint8", spacing, 0.0, shapes));
}

fn write(raw: &Raw) {
    raw.file("4214622/Human 1/LGE.nii", "an image under a name that nobody knows");
    image(raw, "livscar/human 1/image.nii.gz", HUMAN, &[MUSCLE, SCAR, SMALL]);
    mask(raw, "livscar/human 1/scar.nii.gz", HUMAN, &[SCAR, SMALL]);
    mask(raw, "livscar/human 1/myocardium.nrrd", HUMAN, &[MUSCLE.of(255.0)]);
    image(raw, "livscar/pig1/image.mhd", PIG, &[SCAR]);
    mask(raw, "livscar/pig1/scar.mhd", PIG, &[SCAR.of(255.0)]);
    image(raw, "livscar/pig2/image.nrrd", PIG, &[]);
}

fn unknown_label(raw: &Raw) {
    mask(raw, "livscar/human 1/scar.nii.gz", HUMAN, &[SCAR.of(2.0)]);
}

pub fn fixture() -> Fixture {
    let scar = || object("scar", "left ventricular scar", SCAR);
    let muscle = || object("left_ventricular_myocardium", "left ventricular myocardium", MUSCLE);
    Fixture {
        slug: "livscar",
        write,
        archives: &[("4214622/*", "4214622.zip")],
        cases: vec![
            case("human_1", "CMR").cut(Axis::Z, "axial", (1.5, 1.4)).objects([muscle(), scar()]),
            case("pig1", "CMR").cut(Axis::Z, "axial", (0.6, 0.6)).objects([scar()]),
        ],
        skipped: &[("pig2", "{case}/scar.")],
        damage: Damage {
            image: ("pig1/image.raw", &["pig1"]),
            mask: MissingMask::Lacks { file: "myocardium", case: "human_1", label: "left_ventricular_myocardium" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
