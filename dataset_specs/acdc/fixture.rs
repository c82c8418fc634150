//! ACDC: two frames a patient in NIfTI, an sform of 1 mm beside the true spacing in pixdim, a 4D file that is not used.
//! Copies have a folder in place of each file, files that are not compressed, and no folder that names the split.

use medcosmos::image::{Frame, Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [40, 36, 3];
const RIGHT: Ell = Ell::new([2, 4, 0], [13, 13, 1], 1.0);
const WALL: Ell = Ell::new([16, 4, 0], [29, 15, 1], 2.0);
const LEFT: Ell = Ell::new([16, 20, 1], [29, 31, 2], 3.0);

/// As in the real files: the sform says 1 mm, pixdim the truth.
fn with_unit_sform(mut image: Image) -> Image {
    let affine = [[-1., 0., 0., 0.], [0., -1., 0., 0.], [0., 0., 1., 0.]];
    image.geometry = Some(Geometry { spacing: [1.5, 1.5, 10.0], affine, frame: Frame::Sform });
    image
}

/// Training frames are int16, those of the test patients float32.
fn frame(raw: &Raw, folder: &str, patient: &str, frame: &str, labels: &[Ell]) {
    let stem = format!("ACDC/database/{folder}/{patient}/{patient}_frame{frame}");
    let dtype = if folder == "training" { "int16" } else { "float32" };
    pair(raw, &format!("{stem}.nii.gz"), &format!("{stem}_gt.nii.gz"), dtype, labels);
}

fn pair(raw: &Raw, image: &str, mask: &str, dtype: &str, labels: &[Ell]) {
    raw.image(image, &with_unit_sform(scan(SIZE, dtype, None, labels)));
    raw.image(mask, &with_unit_sform(volume(SIZE, "uint8", None, 0.0, labels)));
}

/// As unpackers that follow the name inside each gzip leave it.
fn folders(raw: &Raw) {
    let stem = "ACDC/database/training/patient002/patient002_frame12";
    let (image, mask) = (format!("{stem}.nii/DCM04Gate12.nii"), format!("{stem}_gt.nii/DCM04-OH-AL_V2_12.nii"));
    pair(raw, &image, &mask, "int16", &[RIGHT, LEFT]);
    raw.file("ACDC/database/training/patient002/patient002_4d.nii/DCM04_4d.nii", "not used, so not read");
}

fn write(raw: &Raw) {
    frame(raw, "training", "patient001", "01", &[RIGHT, WALL, LEFT]);
    frame(raw, "training", "patient001", "12", &[WALL]);
    frame(raw, "testing", "patient102", "01", &[LEFT]);
    folders(raw);
    let stem = "ACDC/copy/patient003/patient003_frame01";
    pair(raw, &format!("{stem}.nii"), &format!("{stem}_gt.nii"), "int16", &[RIGHT]);
    raw.file("ACDC/ACDC_training_slices/patient001_frame01_slice_1.h5", "not raw data");
    let mut cine = scan(SIZE, "int16", None, &[]);
    cine.size = [40, 36, 1, 3];
    raw.image("ACDC/database/training/patient001/patient001_4d.nii.gz", &cine);
    raw.file("ACDC/database/training/patient001/Info.cfg", "ED: 1\nES: 12\nGroup: DCM\n");
    raw.file("ACDC/database/MANDATORY_CITATION.md", "cite");
}

fn unknown_label(raw: &Raw) {
    frame(raw, "training", "patient001", "12", &[WALL.of(7.0)]);
}

pub fn fixture() -> Fixture {
    let right = || object("right_ventricular_cavity", "right ventricle", RIGHT);
    let wall = || object("left_ventricular_myocardium", "left ventricular myocardium", WALL);
    let left = || object("left_ventricular_cavity", "left ventricle", LEFT);
    let frame = |id| case(id, "Cine-MRI").cut(Axis::Z, "short axis", (1.5, 1.5));
    Fixture {
        slug: "acdc",
        write,
        archives: &[("*", "ACDC.zip")],
        cases: vec![
            frame("patient001_frame01").patient("patient001").split("train").objects([right(), wall(), left()]),
            frame("patient001_frame12").patient("patient001").split("train").objects([wall()]),
            frame("patient002_frame12").patient("patient002").split("train").objects([right(), left()]),
            frame("patient003_frame01").patient("patient003").split("train").objects([right()]),
            frame("patient102_frame01").patient("patient102").split("test").objects([left()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("patient102_frame01.nii.gz", &["patient102_frame01"]),
            mask: MissingMask::Skips {
                file: "patient001_frame12_gt",
                case: "patient001_frame12",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
