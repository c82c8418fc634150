//! SIIM-ACR: JPEG in DICOM, the masks as runs in a table that names images by their file; a table of the first stage
//! with blanks, a second copy of the tree, copies in PNG: under names of their own, smaller, or for the tables.

use medcosmos::demo::write::{DicomFacts, dicom_slices};
use medcosmos::image::Geometry;

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, grey, mask, object};

const SIZE: [usize; 2] = [44, 36];
const APEX: Ell = Ell::new([4, 3, 0], [17, 14, 0], 255.0);
const BASE: Ell = Ell::new([26, 20, 0], [39, 33, 0], 255.0);
/// Too small to be kept.
const RIM: Ell = Ell::new([2, 20, 0], [6, 26, 0], 255.0);
const BOTH: &str = "1.2.276.0.7230010.3.1.4.8323329.1.1517875162.147871";
const SMALL: &str = "1.2.276.0.7230010.3.1.4.8323329.2.1517875162.147872";
const NORMAL: &str = "1.2.276.0.7230010.3.1.4.8323329.3.1517875162.147873";
const WITHOUT_ROW: &str = "1.2.276.0.7230010.3.1.4.8323329.4.1517875162.147874";
const FORMER_TEST: &str = "1.2.276.0.7230010.3.1.4.8323329.5.1517875162.147875";
const SMALLER: &str = "1.2.276.0.7230010.3.1.4.8323329.6.1517875162.147876";
const PICTURE: &str = "1.2.276.0.7230010.3.1.4.8323329.7.1517875162.147877";

fn dicom(raw: &Raw, folder: &str, name: &str, shapes: &[Ell]) {
    let mut image = grey(SIZE[0], SIZE[1], shapes);
    image.geometry = Some(Geometry::from_spacing([0.14, 0.16, 1.0]));
    let facts = DicomFacts {
        modality: "CR".into(),
        patient_id: name.into(),
        series_uid: name.into(),
        jpeg: true,
        ..DicomFacts::default()
    };
    dicom_slices(&raw.folder(folder), &[format!("{name}.dcm")], &image, &facts).unwrap();
}

fn series(raw: &Raw, set: &str, name: &str, shapes: &[Ell]) {
    dicom(raw, &format!("{set}/1.2.276.0.7230010.3.1.2.1/1.2.276.0.7230010.3.1.3.1"), name, shapes);
}

/// Gap and length of each run, down the columns.
fn runs(shape: Ell) -> String {
    let mut runs = vec![(0, 0)];
    for at in 0..SIZE[0] * SIZE[1] {
        let last = runs.last_mut().unwrap();
        match (shape.contains(at / SIZE[1], at % SIZE[1], 0), last.1) {
            (true, _) => last.1 += 1,
            (false, 0) => last.0 += 1,
            (false, _) => runs.push((1, 0)),
        }
    }
    let written = runs.iter().filter(|run| run.1 > 0).map(|(gap, length)| format!("{gap} {length}"));
    written.collect::<Vec<_>>().join(" ")
}

fn png(raw: &Raw, name: &str, shapes: &[Ell]) {
    raw.image(&format!("siim-acr-pneumothorax/png_images/{name}.png"), &grey(SIZE[0], SIZE[1], shapes));
    raw.image(&format!("siim-acr-pneumothorax/png_masks/{name}.png"), &mask(SIZE[0], SIZE[1], shapes));
}

fn write(raw: &Raw) {
    let rows = [(BOTH, runs(APEX)), (SMALL, runs(RIM)), (NORMAL, "-1".into()), (BOTH, runs(BASE))];
    let table = |between: &str| rows.iter().map(|(name, runs)| format!("{name},{between}{runs}\n")).collect::<String>();
    for root in ["siim", "pneumothorax"] {
        series(raw, &format!("{root}/dicom-images-train"), BOTH, &[APEX, BASE]);
        raw.file(&format!("{root}/train-rle.csv"), format!("ImageId, EncodedPixels\n{}", table(" ")));
    }
    series(raw, "siim/dicom-images-train", SMALL, &[RIM]);
    series(raw, "siim/dicom-images-train", NORMAL, &[]);
    series(raw, "siim/dicom-images-train", WITHOUT_ROW, &[]);
    series(raw, "siim/dicom-images-test", FORMER_TEST, &[APEX]);
    let picture = format!("{PICTURE},{}\n", runs(BASE));
    let second = format!("ImageId,EncodedPixels\n{}{FORMER_TEST},{}\n{picture}", table(""), runs(APEX));
    raw.image(&format!("siim-png-images/input/train_png/{PICTURE}.png"), &grey(SIZE[0], SIZE[1], &[BASE]));
    raw.file("siim-png-images/input/train-rle.csv", format!("ImageId,EncodedPixels\n{picture}"));
    let smaller = "siimacr-pneumothorax-segmentation-data-256";
    raw.image(&format!("{smaller}/train/{SMALLER}.png"), &grey(22, 26, &[APEX]));
    raw.image(&format!("{smaller}/masks/{SMALLER}.png"), &mask(22, 26, &[APEX]));
    raw.image(&format!("{smaller}/test/{FORMER_TEST}.png"), &grey(22, 26, &[]));
    raw.file("siim/stage_2_train.csv", second);
    raw.file("siim/stage_2_sample_submission.csv", "ImageId,EncodedPixels\nID_0123456789,-1\n");
    dicom(raw, "siim/stage_2_images", "ID_0123456789", &[]);
    raw.file("siim/sample images/train-rle-sample.csv", "0,-1\n");
    raw.file("siim/sample images/mask_functions.py", "decoder");
    png(raw, "0_train_0_", &[]);
    png(raw, "7_test_1_", &[APEX]);
    raw.file("siim-acr-pneumothorax/stage_1_train_images.csv", "new_filename,ImageId,has_pneumo\n");
    raw.file("siim-acr-pneumothorax/stage_1_test_images.csv", "new_filename,ImageId,has_pneumo\n");
}

pub fn fixture() -> Fixture {
    let pneumothorax = |shape| object("pneumothorax", "pneumothorax", shape);
    let dicom = |id| case(id, "X-ray").spacing(0.16, 0.14);
    Fixture {
        slug: "siim-acr",
        write,
        archives: &[("siim", "siim-train-test.zip"), ("siim-acr-pneumothorax", "archive.zip")],
        cases: vec![
            dicom(BOTH).split("train").objects([pneumothorax(APEX).and(BASE)]),
            dicom(FORMER_TEST).split("test").objects([pneumothorax(APEX)]),
            case(PICTURE, "X-ray").split("train").objects([pneumothorax(BASE)]),
            case("png256_1.2.276.0.7230010.3.1.4.8323329.6.1517875162.147876", "X-ray")
                .patient(SMALLER)
                .split("train")
                .objects([pneumothorax(APEX)]),
            case("7_test_1", "X-ray").split("test").objects([pneumothorax(APEX)]),
        ],
        skipped: &[
            (SMALL, "large enough"),
            (NORMAL, "large enough"),
            (WITHOUT_ROW, "not labelled"),
            ("0_train_0", "large enough"),
        ],
        damage: Damage {
            image: ("147875.dcm", &[FORMER_TEST]),
            mask: MissingMask::Skips { file: "stage_2_train.csv", case: FORMER_TEST, reason: "not labelled" },
            unknown_label: UnknownLabel::None("runs have no values"),
        },
    }
}
