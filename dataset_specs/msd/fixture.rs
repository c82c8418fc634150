//! MSD: one tar a task, sequences along the fourth axis, labels stored as floats, resource forks beside the images.

use medcosmos::image::Image;

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, stacked, volume};

const SIZE: [usize; 3] = [32, 28, 4];
const SPACING: Option<[f64; 3]> = Some([0.6, 0.7, 3.6]);
const FIRST: Ell = Ell::new([3, 4, 0], [16, 15, 1], 1.0);
const SECOND: Ell = Ell::new([18, 6, 2], [29, 19, 3], 2.0);

fn task(raw: &Raw, task: &str, case: &str, image: &Image, shapes: &[Ell]) {
    pair(raw, task, &format!("{case}.nii.gz"), image, shapes);
    raw.file(&format!("{task}/labelsTr/._{case}.nii.gz"), "resource fork");
}

fn pair(raw: &Raw, task: &str, file: &str, image: &Image, shapes: &[Ell]) {
    raw.image(&format!("{task}/imagesTr/{file}"), image);
    raw.image(&format!("{task}/labelsTr/{file}"), &volume(SIZE, "float32", SPACING, 0.0, shapes));
}

fn hippocampus(raw: &Raw, case: &str, dtype: &str, shapes: &[Ell]) {
    task(raw, "Task04_Hippocampus", case, &scan(SIZE, dtype, SPACING, shapes), shapes);
}

fn write(raw: &Raw) {
    hippocampus(raw, "hippocampus_001", "uint8", &[FIRST, SECOND]);
    hippocampus(raw, "hippocampus_003", "float32", &[FIRST]);
    // Unpacked by hand.
    pair(raw, "Task09_Spleen", "spleen_2.nii", &scan(SIZE, "int16", SPACING, &[FIRST]), &[FIRST]);
    let sequence = |dtype| scan(SIZE, dtype, SPACING, &[SECOND]);
    task(raw, "Task05_Prostate", "prostate_00", &stacked(&[sequence("int16"), sequence("int16")]), &[SECOND]);
    raw.image("Task04_Hippocampus/imagesTs/hippocampus_002.nii.gz", &scan(SIZE, "uint8", SPACING, &[]));
    raw.file("Task04_Hippocampus/dataset.json", "{}");
}

fn unknown_label(raw: &Raw) {
    hippocampus(raw, "hippocampus_003", "float32", &[FIRST.of(3.0)]);
}

pub fn fixture() -> Fixture {
    let anterior = || object("anterior_hippocampus", "hippocampus", FIRST);
    let posterior = || object("posterior_hippocampus", "hippocampus", SECOND);
    let transition = || object("transition_zone", "prostate transition zone", SECOND);
    let train = |id, modality| case(id, modality).split("train").cut(Axis::Z, "axial", (0.7, 0.6));
    Fixture {
        slug: "msd",
        write,
        archives: &[("Task04_Hippocampus", "Task04_Hippocampus.tar"), ("Task05_Prostate", "Task05_Prostate.tar")],
        cases: vec![
            train("hippocampus_001", "T1W MRI").objects([anterior(), posterior()]),
            train("hippocampus_003", "T1W MRI").objects([anterior()]),
            train("spleen_2", "CT").objects([object("spleen", "spleen", FIRST)]),
            train("prostate_00_ADC", "ADC MRI").patient("prostate_00").objects([transition()]),
            train("prostate_00_T2w", "T2W MRI").patient("prostate_00").objects([transition()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("imagesTr/hippocampus_001", &["hippocampus_001"]),
            mask: MissingMask::Skips {
                file: "labelsTr/hippocampus_001",
                case: "hippocampus_001",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
