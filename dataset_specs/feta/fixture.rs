//! FeTA: three methods of reconstruction in the names, axes whose signs differ between them, labels of either type.

use medcosmos::image::{Geometry, Image};

use crate::fixture::{
    Axis, Damage, Ell, ExpectedObject, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume,
};

const SIZE: [usize; 3] = [42, 38, 4];
const NAMES: [(&str, &str); 7] = [
    ("external_cerebrospinal_fluid", "cerebrospinal fluid"),
    ("grey_matter", "grey matter"),
    ("white_matter", "white matter"),
    ("ventricles", "ventricle of the brain"),
    ("cerebellum", "cerebellum"),
    ("deep_grey_matter", "deep grey matter"),
    ("brainstem", "brainstem"),
];

/// Three tissues a row, each two slices thick.
fn tissue(value: usize) -> Ell {
    let (column, row, slice) = ((value - 1) % 3, (value - 1) / 3, value % 3);
    let from = [2 + 12 * column, 2 + 12 * row, slice];
    Ell::new(from, [from[0] + 10, from[1] + 9, slice + 1], value as f64)
}

/// Too small to be kept.
const SPECK: Ell = Ell::new([30, 28, 3], [35, 33, 3], 7.0);

struct Method {
    name: &'static str,
    /// Towards left, posterior and up where positive.
    signs: [f64; 3],
    spacing: f64,
    dtype: &'static str,
}

const MIAL: Method = Method { name: "mial", signs: [-1.0, -1.0, 1.0], spacing: 0.5, dtype: "float32" };
const IRTK: Method = Method { name: "irtk", signs: [1.0, 1.0, 1.0], spacing: 0.8, dtype: "uint8" };
const NMIC: Method = Method { name: "nmic", signs: [1.0, -1.0, -1.0], spacing: 1.0, dtype: "uint8" };

impl Method {
    fn place(&self, mut image: Image) -> Image {
        let [x, y, z] = self.signs;
        let directions = [[x, 0., 0.], [0., y, 0.], [0., 0., z]];
        image.geometry = Some(Geometry::from_lps([10.0, 20.0, 30.0], directions, [self.spacing; 3]));
        image
    }

    fn child(&self, raw: &Raw, folder: &str, child: &str, shapes: &[Ell]) {
        let stem = format!("{folder}/{child}/anat/{child}_rec-{}", self.name);
        raw.image(&format!("{stem}_T2w.nii.gz"), &self.place(scan(SIZE, "float32", None, shapes)));
        raw.image(&format!("{stem}_dseg.nii.gz"), &self.place(volume(SIZE, self.dtype, None, 0.0, shapes)));
        raw.file(&format!("{stem}_T2w.json"), "{}");
        raw.file(&format!("{stem}_dseg.json"), "{}");
    }
}

fn write(raw: &Raw) {
    let all: Vec<Ell> = (1..=7).map(tissue).chain([SPECK]).collect();
    MIAL.child(raw, "feta_2.2", "sub-001", &all);
    IRTK.child(raw, "feta_2.2", "sub-041", &[tissue(4), tissue(7)]);
    NMIC.child(raw, "feta22_Vienna", "sub-101", &[tissue(2), tissue(4)]);
    let stem = "early/sub-feta002/anat/sub-feta002";
    raw.image(&format!("{stem}_T2w.nii.gz"), &MIAL.place(scan(SIZE, "float32", None, &[tissue(3)])));
    raw.image(&format!("{stem}_dseg.nii.gz"), &MIAL.place(volume(SIZE, "uint8", None, 0.0, &[tissue(3)])));
    raw.file("feta_2.2/participants.tsv", "participant_id\tPathology\tGestational age\n");
}

fn unknown_label(raw: &Raw) {
    IRTK.child(raw, "feta_2.2", "sub-041", &[tissue(7).of(8.0)]);
}

pub fn fixture() -> Fixture {
    let tissues = |values: &[usize]| -> Vec<ExpectedObject> {
        let expected = |&value: &usize| object(NAMES[value - 1].0, NAMES[value - 1].1, tissue(value));
        values.iter().map(expected).collect()
    };
    let child = |id, patient, spacing| case(id, "T2W MRI").patient(patient).cut(Axis::Z, "axial", (spacing, spacing));
    Fixture {
        slug: "feta",
        write,
        archives: &[("feta_2.2", "feta_2.2.tar.gz"), ("feta22_Vienna", "feta22_Vienna.zip")],
        cases: vec![
            child("sub-001_rec-mial", "sub-001", 0.5).objects(tissues(&[1, 2, 3, 4, 5, 6, 7])),
            child("sub-041_rec-irtk", "sub-041", 0.8).objects(tissues(&[4, 7])),
            child("sub-feta002", "sub-002", 0.5).objects(tissues(&[3])),
            child("sub-101_rec-nmic", "sub-101", 1.0).objects(tissues(&[2, 4])),
        ],
        skipped: &[],
        damage: Damage {
            image: ("sub-001_rec-mial_T2w.nii.gz", &["sub-001_rec-mial"]),
            mask: MissingMask::Skips {
                file: "sub-101_rec-nmic_dseg.nii.gz",
                case: "sub-101_rec-nmic",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
