//! IXI: images only, stored sagittally on oblique axes; masks of the user's own lie in a folder beside. IXI Tiny has
//! brain masks.

use medcosmos::image::{Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [44, 40, 4];
const CALLOSUM: Ell = Ell::new([8, 10, 1], [26, 18, 2], 1.0);
const BRAIN: Ell = Ell::new([4, 5, 0], [38, 30, 3], 1.0);
const SMALL: Ell = Ell::new([10, 30, 3], [15, 35, 3], 1.0);

const TINY_SIZE: [usize; 3] = [34, 30, 3];
const TINY_SPACING: Option<[f64; 3]> = Some([3.0, 4.0, 4.5]);
const TINY_BRAIN: Ell = Ell::new([4, 5, 0], [25, 22, 1], 1.0);

/// The third axis runs to the left, all of them turned by some six degrees.
fn sagittal(mut image: Image) -> Image {
    let (sine, cosine) = 0.1f64.sin_cos();
    let directions = [[-sine, cosine, 0.], [0., 0., -1.], [cosine, sine, 0.]];
    image.geometry = Some(Geometry::from_lps([-90.0, -120.0, 130.0], directions, [0.9375, 0.9375, 1.2]));
    image
}

fn t1(raw: &Raw, name: &str, shapes: &[Ell]) {
    raw.image(&format!("IXI-T1/{name}-T1.nii.gz"), &sagittal(scan(SIZE, "int16", None, shapes)));
}

fn mask(raw: &Raw, name: &str, shapes: &[Ell]) {
    raw.image(&format!("masks/{name}"), &sagittal(volume(SIZE, "uint8", None, 0.0, shapes)));
}

fn tiny(raw: &Raw, name: &str, brain: Ell) {
    let image = scan(TINY_SIZE, "float32", TINY_SPACING, &[brain]);
    raw.image(&format!("ixi_tiny/image/{name}_image.nii.gz"), &image);
    let label = volume(TINY_SIZE, "float32", TINY_SPACING, 0.0, &[brain]);
    raw.image(&format!("ixi_tiny/label/{name}_label.nii.gz"), &label);
}

fn write(raw: &Raw) {
    t1(raw, "IXI002-Guys-0828", &[BRAIN, CALLOSUM, SMALL]);
    t1(raw, "IXI012-HH-1211", &[CALLOSUM]);
    t1(raw, "IXI035-IOP-0873", &[]);
    for file in ["IXI-T2/IXI002-Guys-0828-T2", "IXI-PD/IXI002-Guys-0828-PD", "IXI-MRA/IXI012-HH-1211-MRA"] {
        raw.image(&format!("{file}.nii.gz"), &scan(SIZE, "int16", Some([0.94, 0.94, 1.25]), &[]));
    }
    for direction in ["00", "15"] {
        let file = format!("IXI-DTI/IXI002-Guys-0828-DTI-{direction}.nii.gz");
        raw.image(&file, &scan(SIZE, "int16", Some([1.75, 1.75, 2.35]), &[]));
    }
    raw.file("IXI.xls", "");
    raw.file("bvals.txt", "0 1000\n");
    raw.file("bvecs.txt", "0 1\n0 0\n0 0\n");
    mask(raw, "IXI002-Guys-0828-T1_corpus_callosum.nii.gz", &[CALLOSUM, SMALL]);
    mask(raw, "IXI002-Guys-0828-T1_brain.nii.gz", &[BRAIN]);
    mask(raw, "IXI012-HH-1211-T1_corpus_callosum.nii", &[CALLOSUM]);
    tiny(raw, "IXI002-Guys-0828", TINY_BRAIN);
    tiny(raw, "IXI012-HH-1211", TINY_BRAIN);
}

fn unknown_label(raw: &Raw) {
    tiny(raw, "IXI012-HH-1211", TINY_BRAIN.of(2.0));
}

pub fn fixture() -> Fixture {
    let callosum = || object("corpus_callosum", "corpus callosum", CALLOSUM);
    let t1 = |id, patient| case(id, "T1W MRI").patient(patient).cut(Axis::Z, "sagittal", (0.9375, 0.9375));
    let tiny = |id, patient| {
        let brain = object("brain", "brain", TINY_BRAIN);
        case(id, "T1W MRI").patient(patient).cut(Axis::Z, "axial", (4.0, 3.0)).objects([brain])
    };
    Fixture {
        slug: "ixi",
        write,
        archives: &[
            ("IXI-T1/*", "IXI-T1.tar"),
            ("IXI-T2/*", "IXI-T2.tar"),
            ("IXI-PD/*", "IXI-PD.tar"),
            ("IXI-MRA/*", "IXI-MRA.tar"),
            ("IXI-DTI/*", "IXI-DTI.tar"),
            ("ixi_tiny", "ixi_tiny.zip"),
        ],
        cases: vec![
            t1("IXI002_T1", "IXI002").objects([object("brain", "brain", BRAIN), callosum()]),
            tiny("IXI002_tiny", "IXI002"),
            t1("IXI012_T1", "IXI012").objects([callosum()]),
            tiny("IXI012_tiny", "IXI012"),
        ],
        skipped: &[("IXI035_T1", "-T1_{object:corpus_callosum|brain}")],
        damage: Damage {
            image: ("IXI012-HH-1211-T1.nii.gz", &["IXI012_T1"]),
            mask: MissingMask::Skips {
                file: "IXI012-HH-1211-T1_corpus_callosum",
                case: "IXI012_T1",
                reason: "corpus_callosum",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
