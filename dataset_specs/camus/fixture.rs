//! CAMUS: the NIfTI release and the older MetaImage one, whose test patients are not labelled; pixels are not square,
//! and the plane that the headers name means nothing.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [48, 40, 1];
const SPACING: Option<[f64; 3]> = Some([0.308, 0.154, 1.0]);
const CAVITY: Ell = Ell::new([4, 5, 0], [17, 18, 0], 1.0);
const WALL: Ell = Ell::new([22, 4, 0], [37, 15, 0], 2.0);
const ATRIUM: Ell = Ell::new([20, 22, 0], [35, 35, 0], 3.0);
const SMALL_ATRIUM: Ell = Ell::new([20, 22, 0], [25, 27, 0], 3.0);

fn nifti(raw: &Raw, frame: &str, shapes: &[Ell]) {
    let (patient, _) = frame.split_once('_').unwrap();
    let stem = format!("CAMUS_public/database_nifti/{patient}/{frame}");
    raw.image(&format!("{stem}.nii.gz"), &scan(SIZE, "uint8", SPACING, shapes));
    raw.image(&format!("{stem}_gt.nii.gz"), &volume(SIZE, "uint8", SPACING, 0.0, shapes));
}

fn metaimage(raw: &Raw, frame: &str, shapes: &[Ell]) {
    raw.image(&format!("{frame}.mhd"), &scan(SIZE, "uint8", SPACING, shapes));
    raw.compressed(&format!("{frame}_gt.mhd"), &volume(SIZE, "uint8", SPACING, 0.0, shapes));
}

fn write(raw: &Raw) {
    nifti(raw, "patient0001_2CH_ED", &[CAVITY, WALL, ATRIUM]);
    nifti(raw, "patient0001_2CH_ES", &[CAVITY, WALL, SMALL_ATRIUM]);
    nifti(raw, "patient0002_4CH_ED", &[CAVITY]);
    let stem = "CAMUS_public/database_nifti/patient0003/patient0003_4CH_ED";
    raw.image(&format!("{stem}.nii"), &scan(SIZE, "uint8", SPACING, &[WALL]));
    raw.image(&format!("{stem}_gt.nii"), &volume(SIZE, "uint8", SPACING, 0.0, &[WALL]));
    for file in ["Info_2CH.cfg", "patient0001_2CH_half_sequence.nii.gz", "patient0001_2CH_half_sequence_gt.nii.gz"] {
        raw.file(&format!("CAMUS_public/database_nifti/patient0001/{file}"), "not used, so not read");
    }
    let sets =
        [("training", "patient0499\n"), ("validation", "patient0002\n"), ("testing", "patient0001\npatient0003\n")];
    for (set, patients) in sets {
        raw.file(&format!("CAMUS_public/database_split/subgroup_{set}.txt"), patients);
    }
    metaimage(raw, "training/patient0450/patient0450_4CH_ES", &[WALL, ATRIUM]);
    for file in
        ["training/patient0450/Info_4CH.cfg", "testing/patient0001/Info_2CH.cfg", "testing/patient0001/Info_4CH.cfg"]
    {
        raw.file(file, "ED: 1\nES: 18\nNbFrame: 18\n");
    }
    for stem in ["training/patient0450/patient0450_4CH_sequence", "testing/patient0001/patient0001_2CH_ED"] {
        raw.image(&format!("{stem}.mhd"), &scan(SIZE, "uint8", SPACING, &[CAVITY]));
    }
}

fn unknown_label(raw: &Raw) {
    nifti(raw, "patient0002_4CH_ED", &[CAVITY.of(4.0)]);
}

pub fn fixture() -> Fixture {
    let cavity = || object("left_ventricular_cavity", "left ventricle", CAVITY);
    let wall = || object("left_ventricular_myocardium", "left ventricular myocardium", WALL);
    let atrium = |shape| object("left_atrium", "left atrium", shape);
    let frame = |id, patient| case(id, "Ultrasound").patient(patient).spacing(0.154, 0.308);
    Fixture {
        slug: "camus",
        write,
        archives: &[("CAMUS_public", "CAMUS_public.zip"), ("training", "training.zip"), ("testing", "testing.zip")],
        cases: vec![
            frame("patient0001_2CH_ED", "patient0001").split("test").objects([cavity(), wall(), atrium(ATRIUM)]),
            frame("patient0001_2CH_ES", "patient0001").split("test").objects([cavity(), wall(), atrium(SMALL_ATRIUM)]),
            frame("patient0002_4CH_ED", "patient0002").split("validation").objects([cavity()]),
            frame("patient0003_4CH_ED", "patient0003").split("test").objects([wall()]),
            frame("patient0450_4CH_ES", "patient0450").split("train").objects([wall(), atrium(ATRIUM)]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("patient0002_4CH_ED.nii.gz", &["patient0002_4CH_ED"]),
            mask: MissingMask::Skips {
                file: "patient0001_2CH_ES_gt",
                case: "patient0001_2CH_ES",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
