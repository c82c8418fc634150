//! ACDC: two frames a patient in NIfTI, an sform of 1 mm beside the true spacing in pixdim, a 4D file that is not used.

use medcosmos::image::{Frame, Geometry, Image};

use crate::fixture::{Archive, Damage, Ell, ExpectedCase, ExpectedMask, Fixture, Raw, gradient, volume};

const SIZE: [usize; 3] = [40, 36, 3];
const RIGHT: Ell = Ell { from: [2, 4, 0], to: [13, 13, 1], value: 1.0 };
const WALL: Ell = Ell { from: [16, 4, 0], to: [29, 15, 1], value: 2.0 };
const LEFT: Ell = Ell { from: [16, 20, 1], to: [29, 31, 2], value: 3.0 };

/// As in the real files: the sform says 1 mm, pixdim the truth.
fn with_unit_sform(mut image: Image) -> Image {
    let affine = [[-1., 0., 0., 0.], [0., -1., 0., 0.], [0., 0., 1., 0.]];
    image.geometry = Some(Geometry { spacing: [1.5, 1.5, 10.0], affine, frame: Frame::Sform });
    image
}

fn frame(raw: &Raw, folder: &str, patient: &str, frame: &str, labels: &[Ell]) {
    let stem = format!("ACDC/database/{folder}/{patient}/{patient}_frame{frame}");
    raw.image(&format!("{stem}.nii.gz"), &with_unit_sform(gradient(SIZE, "int16", None)));
    raw.image(&format!("{stem}_gt.nii.gz"), &with_unit_sform(volume(SIZE, "uint8", None, 0.0, labels)));
}

fn write(raw: &Raw) {
    frame(raw, "training", "patient001", "01", &[RIGHT, WALL, LEFT]);
    frame(raw, "training", "patient001", "12", &[WALL]);
    frame(raw, "testing", "patient102", "01", &[LEFT]);
    let mut cine = gradient(SIZE, "int16", None);
    cine.size = [40, 36, 1, 3];
    raw.image("ACDC/database/training/patient001/patient001_4d.nii.gz", &cine);
    raw.file("ACDC/database/training/patient001/Info.cfg", "ED: 1\nES: 12\nGroup: DCM\n");
    raw.file("ACDC/database/MANDATORY_CITATION.md", "cite");
}

fn unknown_label(raw: &Raw) {
    frame(raw, "training", "patient001", "12", &[Ell { value: 7.0, ..WALL }]);
}

const RIGHT_MASK: ExpectedMask = ExpectedMask {
    id: "z0000/right_ventricular_cavity",
    object: "right ventricle",
    laterality: None,
    excluded: false,
    area: 90,
    bbox: [2, 4, 13, 13],
    inside: (13, 13),
};
const WALL_MASK: ExpectedMask = ExpectedMask {
    id: "z0000/left_ventricular_myocardium",
    object: "left ventricular myocardium",
    laterality: None,
    excluded: false,
    area: 126,
    bbox: [16, 4, 29, 15],
    inside: (16, 4),
};
const LEFT_MASK: ExpectedMask = ExpectedMask {
    id: "z0001/left_ventricular_cavity",
    object: "left ventricle",
    laterality: None,
    excluded: false,
    area: 126,
    bbox: [16, 20, 29, 31],
    inside: (29, 31),
};

pub const FIXTURE: Fixture = Fixture {
    slug: "acdc",
    write,
    archive: Archive::Zip,
    cases: &[
        ExpectedCase {
            id: "patient001_frame01",
            patient: "patient001",
            split: Some("train"),
            modality: "Cine-MRI",
            plane: "axial",
            spacing: Some((1.5, 1.5)),
            slices: 3,
            masks: &[
                WALL_MASK,
                RIGHT_MASK,
                LEFT_MASK,
                ExpectedMask { id: "z0001/left_ventricular_myocardium", ..WALL_MASK },
                ExpectedMask { id: "z0001/right_ventricular_cavity", ..RIGHT_MASK },
                ExpectedMask { id: "z0002/left_ventricular_cavity", ..LEFT_MASK },
            ],
        },
        ExpectedCase {
            id: "patient001_frame12",
            patient: "patient001",
            split: Some("train"),
            modality: "Cine-MRI",
            plane: "axial",
            spacing: Some((1.5, 1.5)),
            slices: 2,
            masks: &[WALL_MASK, ExpectedMask { id: "z0001/left_ventricular_myocardium", ..WALL_MASK }],
        },
        ExpectedCase {
            id: "patient102_frame01",
            patient: "patient102",
            split: Some("test"),
            modality: "Cine-MRI",
            plane: "axial",
            spacing: Some((1.5, 1.5)),
            slices: 2,
            masks: &[LEFT_MASK, ExpectedMask { id: "z0002/left_ventricular_cavity", ..LEFT_MASK }],
        },
    ],
    skipped: &[],
    damage: Damage {
        image: "patient102_frame01.nii.gz",
        image_cases: &["patient102_frame01"],
        mask: Some(("patient001_frame12_gt", "not labelled")),
        unknown_label: Some(unknown_label),
    },
};
