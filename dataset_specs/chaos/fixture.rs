//! CHAOS: DICOM beside PNG masks in the order of file names, which in CT runs against position; grey ranges in MR.

use medcosmos::demo::write::{DicomFacts, dicom_slices};
use medcosmos::image::{Geometry, Image, Scaling};

use crate::fixture::{
    Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, bilevel, case, object, scan, slice, volume,
};

const SIZE: [usize; 3] = [40, 36, 4];
const LIVER: Ell = Ell::new([3, 5, 0], [18, 20, 1], 63.0);
const LEFT_KIDNEY: Ell = Ell::new([22, 5, 2], [35, 16, 3], 189.0);

/// Slices from head to feet, as the CT files come; from feet to head otherwise.
fn place(mut image: Image, down: bool) -> Image {
    let z = if down { -1.0 } else { 1.0 };
    image.geometry =
        Some(Geometry::from_lps([0.0, 0.0, 50.0], [[1., 0., 0.], [0., 1., 0.], [0., 0., z]], [0.7, 0.7, 2.0]));
    image
}

fn ct(raw: &Raw, patient: &str) {
    let mut image = place(scan(SIZE, "uint16", None, &[LIVER]), true);
    image.scaling = Scaling { slope: 1.0, intercept: -1000.0 };
    let names: Vec<String> = (0..4).map(|n| format!("i{n:04},0000b.dcm")).collect();
    let facts = DicomFacts { modality: "CT".into(), ..DicomFacts::default() };
    let folder = format!("Train_Sets/CT/{patient}");
    dicom_slices(&raw.folder(&format!("{folder}/DICOM_anon")), &names, &image, &facts).unwrap();
    let labels = volume(SIZE, "uint8", None, 0.0, &[LIVER]);
    for z in 0..4 {
        raw.image(&format!("{folder}/Ground/liver_GT_{z:03}.png"), &bilevel(&slice(&labels, z)));
    }
}

fn dicom(raw: &Raw, folder: &str, shapes: &[Ell]) -> Vec<String> {
    let names: Vec<String> = (1..5).map(|n| format!("IMG-0004-{n:05}.dcm")).collect();
    let facts = DicomFacts { modality: "MR".into(), ..DicomFacts::default() };
    let image = place(scan(SIZE, "uint16", None, shapes), false);
    dicom_slices(&raw.folder(folder), &names, &image, &facts).unwrap();
    names
}

fn ground(raw: &Raw, folder: &str, names: &[String], shapes: &[Ell]) {
    let labels = volume(SIZE, "uint8", None, 0.0, shapes);
    for (z, name) in names.iter().enumerate() {
        raw.image(&format!("{folder}/Ground/{}", name.replace("dcm", "png")), &slice(&labels, z));
    }
}

fn t2(raw: &Raw, shapes: &[Ell]) {
    let names = dicom(raw, "Train_Sets/MR/1/T2SPIR/DICOM_anon", shapes);
    ground(raw, "Train_Sets/MR/1/T2SPIR", &names, shapes);
}

fn write(raw: &Raw) {
    ct(raw, "1");
    ct(raw, "21");
    t2(raw, &[LIVER, LEFT_KIDNEY]);
    dicom(raw, "Train_Sets/MR/1/T1DUAL/DICOM_anon/OutPhase", &[LEFT_KIDNEY]);
    let names = dicom(raw, "Train_Sets/MR/1/T1DUAL/DICOM_anon/InPhase", &[LEFT_KIDNEY]);
    ground(raw, "Train_Sets/MR/1/T1DUAL", &names, &[LEFT_KIDNEY]);
    raw.file("Test_Sets/CT/3/DICOM_anon/i0000,0000b.dcm", "not used, so not read");
}

fn unknown_label(raw: &Raw) {
    t2(raw, &[LIVER.of(99.0)]);
}

pub fn fixture() -> Fixture {
    let liver = || object("liver", "liver", LIVER);
    let kidney = || object("left_kidney", "kidney", LEFT_KIDNEY).left();
    let train =
        |id, patient, modality| case(id, modality).patient(patient).split("train").cut(Axis::Z, "axial", (0.7, 0.7));
    Fixture {
        slug: "chaos",
        write,
        archives: &[("Train_Sets", "CHAOS_Train_Sets.zip"), ("Test_Sets", "CHAOS_Test_Sets.zip")],
        cases: vec![
            train("CT_1", "CT_1", "CT").objects([liver()]),
            train("CT_21", "CT_21", "CT").objects([liver()]),
            train("MR_1_T1_InPhase", "MR_1", "T1W MRI").objects([kidney()]),
            train("MR_1_T1_OutPhase", "MR_1", "T1W MRI").objects([kidney()]),
            train("MR_1_T2_SPIR", "MR_1", "T2W MRI").objects([liver(), kidney()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("CT/1/DICOM_anon/i0001,0000b.dcm", &["CT_1"]),
            mask: MissingMask::Fails {
                file: "CT/1/Ground/liver_GT_001.png",
                case: "CT_1",
                reason: "do not belong together",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
