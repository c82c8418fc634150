//! iSeg: Analyze or NIfTI pairs, often with a fourth axis of length one; two codings of the labels; the training
//! subjects of 2019 are those of 2017, whose names may be spelt otherwise.

use std::fs;

use crate::fixture::{
    Axis, Damage, Ell, ExpectedObject, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume,
};

const SIZE: [usize; 3] = [36, 40, 4];
const SPACING: Option<[f64; 3]> = Some([1.0; 3]);
const FLUID: Ell = Ell::new([2, 3, 0], [12, 14, 1], 1.0);
const GREY: Ell = Ell::new([15, 5, 1], [32, 16, 2], 2.0);
const WHITE: Ell = Ell::new([15, 20, 1], [31, 37, 3], 3.0);
const SMALL: Ell = Ell::new([3, 20, 2], [8, 25, 2], 1.0);

fn with_fourth_axis(raw: &Raw, header: &str) {
    set(raw, header, 40, &[4]);
}

/// With the magic number of a NIfTI pair, which some tools write under the same names.
fn as_nifti(raw: &Raw, header: &str) {
    set(raw, header, 344, b"ni1\0");
}

fn set(raw: &Raw, header: &str, at: usize, bytes: &[u8]) {
    let path = raw.place(header);
    let mut content = fs::read(&path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

fn images(raw: &Raw, stem: &str, sequences: [&str; 2], shapes: &[Ell]) {
    for sequence in sequences {
        raw.image(&format!("{stem}-{sequence}.hdr"), &scan(SIZE, "int16", SPACING, shapes));
        with_fourth_axis(raw, &format!("{stem}-{sequence}.hdr"));
    }
}

fn label(raw: &Raw, stem: &str, dtype: &str, shapes: &[Ell]) {
    raw.image(&format!("{stem}-label.hdr"), &volume(SIZE, dtype, SPACING, 0.0, shapes));
}

fn write(raw: &Raw) {
    let first = "iSeg-2019-Training/subject-1";
    images(raw, first, ["T1", "T2"], &[FLUID, GREY, WHITE, SMALL]);
    label(raw, first, "uint8", &[FLUID, GREY, WHITE, SMALL]);
    with_fourth_axis(raw, &format!("{first}-label.hdr"));
    let tenth = "iSeg-2019-Training/subject-10";
    images(raw, tenth, ["T1", "T2"], &[FLUID, WHITE]);
    label(raw, tenth, "int16", &[FLUID.of(10.0), WHITE.of(250.0)]);
    raw.file("iSeg-2019-Training/subject-9-label.img", "its header was lost");
    images(raw, "iSeg-2019-Validation/subject-11", ["T1", "T2"], &[]);
    images(raw, "iSeg-2019-Testing/subject-24", ["T1", "T2"], &[]);
    let copy = "iSeg-2017-Training/subject-1";
    images(raw, copy, ["t1", "t2"], &[FLUID]);
    label(raw, copy, "uint8", &[FLUID.of(10.0)]);
    let second = "iSeg-2017-Training/iSeg-2017-Training/subject-2";
    images(raw, second, ["T1", "T2"], &[GREY]);
    label(raw, second, "uint8", &[GREY.of(150.0)]);
    for part in ["T1", "T2", "label"] {
        as_nifti(raw, &format!("{second}-{part}.hdr"));
    }
    let renamed = "copy/train/subject-3";
    images(raw, renamed, ["T1", "T2"], &[FLUID, WHITE]);
    label(raw, renamed, "uint8", &[FLUID.of(10.0), WHITE.of(250.0)]);
    images(raw, "iSeg-2017-Testing/subject-11", ["T1", "T2"], &[]);
}

fn unknown_label(raw: &Raw) {
    label(raw, "iSeg-2019-Training/subject-10", "int16", &[WHITE.of(4.0)]);
}

pub fn fixture() -> Fixture {
    let fluid = || object("cerebrospinal_fluid", "cerebrospinal fluid", FLUID);
    let grey = || object("grey_matter", "grey matter", GREY);
    let white = || object("white_matter", "white matter", WHITE);
    let image = |id, modality, patient, objects: &[ExpectedObject]| {
        case(id, modality).patient(patient).split("train").cut(Axis::Z, "z", (1.0, 1.0)).objects(objects)
    };
    Fixture {
        slug: "iseg-2019",
        write,
        archives: &[
            ("iSeg-2019-Training", "iSeg-2019-Training.zip"),
            ("iSeg-2019-Validation", "iSeg-2019-Validation.zip"),
            ("iSeg-2019-Testing", "iSeg-2019-Testing.zip"),
            ("iSeg-2017-Training", "iSeg-2017-Training.zip"),
            ("iSeg-2017-Testing/*", "iSeg-2017-Testing.zip"),
        ],
        cases: vec![
            image("subject-1_T1", "T1W MRI", "subject-1", &[fluid(), grey(), white()]),
            image("subject-1_T2", "T2W MRI", "subject-1", &[fluid(), grey(), white()]),
            image("subject-10_T1", "T1W MRI", "subject-10", &[fluid(), white()]),
            image("subject-10_T2", "T2W MRI", "subject-10", &[fluid(), white()]),
            image("subject-2_T1", "T1W MRI", "subject-2", &[grey()]),
            image("subject-2_T2", "T2W MRI", "subject-2", &[grey()]),
            image("subject-3_T1", "T1W MRI", "subject-3", &[fluid(), white()]),
            image("subject-3_T2", "T2W MRI", "subject-3", &[fluid(), white()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("subject-10-T2.img", &["subject-10_T2"]),
            mask: MissingMask::Skips { file: "subject-10-label.hdr", case: "subject-10_*", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
