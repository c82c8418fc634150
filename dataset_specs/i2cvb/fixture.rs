//! I2CVB: DICOM masks matched by position; here their files run against the image's, and there is one slice more.

use medcosmos::demo::write::{DicomFacts, dicom_slices};
use medcosmos::image::{Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const PROSTATE: Ell = Ell::new([4, 6, 0], [21, 19, 2], 255.0);
const CANCER: Ell = Ell::new([8, 8, 1], [17, 17, 1], 255.0);

fn place(mut image: Image) -> Image {
    image.geometry =
        Some(Geometry::from_lps([5.0, 6.0, -7.0], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [0.8, 0.8, 1.25]));
    image
}

/// Writes a series whose files count from the head down, the number of their slices from the feet up.
fn series(raw: &Raw, folder: &str, names: &[String], image: &Image) {
    // The masks carry the series UID of the image, as in the real files.
    let facts = DicomFacts { modality: "MR".into(), series_uid: "1.2.3.4".into(), ..DicomFacts::default() };
    dicom_slices(&raw.folder(folder), names, &place(image.clone()), &facts).unwrap();
}

fn patient(raw: &Raw, folder: &str, cancer: bool) {
    let up: Vec<String> = (1..=3).map(|n| format!("image{n}.dcm")).collect();
    let down: Vec<String> = (1..=4).rev().map(|n| format!("image{n}.dcm")).collect();
    series(raw, &format!("{folder}/T2W"), &up, &scan([30, 28, 3], "uint16", None, &[PROSTATE]));
    let mask = |shapes: &[Ell]| volume([30, 28, 4], "uint8", None, 0.0, shapes);
    series(raw, &format!("{folder}/GT/prostate"), &down, &mask(&[PROSTATE]));
    if cancer {
        series(raw, &format!("{folder}/GT/cap"), &down, &mask(&[CANCER]));
    }
}

fn write(raw: &Raw) {
    patient(raw, "GE/Patient_428260", false);
    patient(raw, "Siemens/Patient 383", true);
    raw.file("Siemens/Patient 383/ADC/image1.dcm", "no masks of its own");
}

pub fn fixture() -> Fixture {
    let prostate = || object("prostate", "prostate", PROSTATE);
    let patient = |id| case(id, "T2W MRI").cut(Axis::Z, "axial", (0.8, 0.8));
    Fixture {
        slug: "i2cvb",
        write,
        archives: &[("GE", "GE.tar.gz"), ("Siemens", "Siemens.tar.gz")],
        cases: vec![
            patient("Patient_383").objects([prostate(), object("prostate_cancer", "prostate cancer", CANCER)]),
            patient("Patient_428260").objects([prostate()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("Patient 383/T2W/image2.dcm", &["Patient_383"]),
            mask: MissingMask::NoFile(
                "a mask is a folder of files: a slice without its file is a slice without the object",
            ),
            unknown_label: UnknownLabel::None("every value but 0 is the object of the folder"),
        },
    }
}
