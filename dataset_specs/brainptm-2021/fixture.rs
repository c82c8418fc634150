//! BrainPTM 2021: one file a tract, images and tracts in trees of their own, tracts that overlap and that may be
//! absent; a test set whose masks are placeholders; diffusion on another grid.

use medcosmos::image::{Geometry, Image};

use crate::fixture::{
    Axis, Damage, Ell, ExpectedObject, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, stacked, volume,
};

const SIZE: [usize; 3] = [40, 44, 4];
// Nearly cubes, so the largest spacing says nothing.
const SPACING: Option<[f64; 3]> = Some([1.31, 1.25, 1.25]);
const OPTIC_LEFT: Ell = Ell::new([22, 4, 0], [36, 15, 1], 1.0);
const OPTIC_RIGHT: Ell = Ell::new([3, 4, 1], [15, 14, 2], 1.0);
const SPINAL_LEFT: Ell = Ell::new([26, 8, 1], [37, 25, 3], 1.0);
const SPINAL_RIGHT: Ell = Ell::new([4, 28, 1], [17, 40, 2], 1.0);
const TRACTS: [(&str, Ell); 4] =
    [("OR_left", OPTIC_LEFT), ("OR_right", OPTIC_RIGHT), ("CST_left", SPINAL_LEFT), ("CST_right", SPINAL_RIGHT)];

fn image(dtype: &str) -> Image {
    scan(SIZE, dtype, SPACING, &TRACTS.map(|(_, shape)| shape))
}

/// Larger than the T1 volume by as many voxels on its sides.
const MARGIN: [usize; 3] = [2, 3, 0];

/// Where a shape of the T1 volume lies in the diffusion volume.
fn moved(shape: Ell) -> Ell {
    let by = |at: [usize; 3]| [at[0] + MARGIN[0], at[1] + MARGIN[1], at[2] + MARGIN[2]];
    Ell { from: by(shape.from), to: by(shape.to), ..shape }
}

/// On a grid of its own, as the header says.
fn diffusion() -> Image {
    let [x, y, z] = SIZE;
    let size = [x + 2 * MARGIN[0], y + 2 * MARGIN[1], z + 2 * MARGIN[2]];
    let mut image = scan(size, "int16", SPACING, &TRACTS.map(|(_, shape)| moved(shape)));
    let spacing = SPACING.unwrap();
    let origin = [0, 1, 2].map(|axis| -(MARGIN[axis] as f64) * spacing[axis]);
    image.geometry = Some(Geometry::from_lps(origin, [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], spacing));
    stacked(&[image.clone(), image.clone(), image])
}

fn data(raw: &Raw, folder: &str) {
    raw.image(&format!("{folder}/T1.nii.gz"), &image("int16"));
    raw.image(&format!("{folder}/Diffusion.nii.gz"), &diffusion());
    raw.file(&format!("{folder}/Diffusion.bvals"), "0 1000 1000\n");
    raw.file(&format!("{folder}/Diffusion.bvecs"), "0 1 0\n0 0 1\n0 0 0\n");
    raw.image(&format!("{folder}/brain_mask.nii.gz"), &volume(SIZE, "uint8", SPACING, 1.0, &[]));
}

fn tracts(raw: &Raw, folder: &str, tracts: &[(&str, Ell)]) {
    for (name, shape) in tracts {
        raw.image(&format!("{folder}/{name}.nii.gz"), &volume(SIZE, "float32", SPACING, 0.0, &[*shape]));
    }
}

fn write(raw: &Raw) {
    data(raw, "sheba75_data_train/case_1");
    tracts(raw, "sheba75_tracts_train/case_1", &TRACTS);
    raw.file("sheba75_streamlines_train/case_1/CST_left.trk", "TRACK");
    data(raw, "sheba75_data_train/case_10");
    tracts(raw, "sheba75_tracts_train/case_10", &TRACTS[..2]);
    data(raw, "sheba75_data_test/case_61");
    tracts(raw, "sheba75_tracts_test_dummy/case_61", &TRACTS);
}

pub fn fixture() -> Fixture {
    let optic = || {
        [
            object("left_optic_radiation", "optic radiation", OPTIC_LEFT).left(),
            object("right_optic_radiation", "optic radiation", OPTIC_RIGHT).right(),
        ]
    };
    let spinal = || {
        [
            object("left_corticospinal_tract", "corticospinal tract", SPINAL_LEFT).left(),
            object("right_corticospinal_tract", "corticospinal tract", SPINAL_RIGHT).right(),
        ]
    };
    let image = |id, modality, patient, objects: &[ExpectedObject]| {
        case(id, modality).patient(patient).split("train").cut(Axis::Z, "axial", (1.25, 1.31)).objects(objects)
    };
    let all = [optic(), spinal()].concat();
    let on_diffusion = |objects: &[ExpectedObject]| -> Vec<ExpectedObject> {
        let moved = |shapes: &[Ell]| shapes.iter().copied().map(moved).collect();
        objects.iter().map(|o| ExpectedObject { shape: moved(&o.shape), ..o.clone() }).collect()
    };
    Fixture {
        slug: "brainptm-2021",
        write,
        archives: &[
            ("sheba75_data_train/*", "sheba75_data_train.zip"),
            ("sheba75_tracts_train", "sheba75_tracts_train.zip"),
            ("sheba75_streamlines_train", "sheba75_streamlines_train.zip"),
            ("sheba75_data_test", "sheba75_data_test.zip"),
            ("sheba75_tracts_test_dummy", "sheba75_tracts_test_dummy.zip"),
        ],
        cases: vec![
            image("case_1_T1", "T1W MRI", "case_1", &all),
            image("case_1_b0", "DW MRI", "case_1", &on_diffusion(&all)),
            image("case_1_b1000", "DW MRI", "case_1", &on_diffusion(&all)),
            image("case_10_T1", "T1W MRI", "case_10", &optic()),
            image("case_10_b0", "DW MRI", "case_10", &on_diffusion(&optic())),
            image("case_10_b1000", "DW MRI", "case_10", &on_diffusion(&optic())),
        ],
        skipped: &[],
        damage: Damage {
            image: ("case_10/T1.nii.gz", &["case_10_T1"]),
            mask: MissingMask::Lacks {
                file: "tracts_train/case_1/CST_left",
                case: "case_1_*",
                label: "left_corticospinal_tract",
            },
            unknown_label: UnknownLabel::None("every value but 0 is the tract of the file"),
        },
    }
}
