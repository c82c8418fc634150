//! NCI-ISBI 2013: DICOM images beside NRRD masks that lie rightly in the patient, though turned, cropped or coarser.

use std::fs;

use medcosmos::demo::write::{DicomFacts, dicom_slices};
use medcosmos::image::{Geometry, Image};

use crate::fixture::{Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, scan, volume};

const SIZE: [usize; 3] = [32, 28, 5];
const ORIGIN: [f64; 3] = [5.0, 6.0, -7.0];
const SPACING: [f64; 3] = [0.5, 0.6, 3.6];
const PERIPHERAL: Ell = Ell::new([4, 16, 1], [27, 27, 3], 1.0);
const CENTRAL: Ell = Ell::new([6, 2, 1], [21, 13, 4], 2.0);
const ZONES: [Ell; 2] = [PERIPHERAL, CENTRAL];

fn place(mut image: Image, origin: [f64; 3], signs: [f64; 3], spacing: [f64; 3]) -> Image {
    let [x, y, z] = signs;
    image.geometry = Some(Geometry::from_lps(origin, [[x, 0., 0.], [0., y, 0.], [0., 0., z]], spacing));
    image
}

/// A series; names run against positions where `down`.
fn series(raw: &Raw, patient: &str, folder: &str, name: fn(usize) -> String, down: bool) {
    let mut names: Vec<String> = (0..SIZE[2]).map(name).collect();
    if down {
        names.reverse();
    }
    let facts = DicomFacts {
        modality: "MR".into(),
        patient_id: patient.into(),
        series_uid: format!("1.3.6.1.4.1.14519.{}", patient.len()),
        ..DicomFacts::default()
    };
    let image = place(scan(SIZE, "uint16", None, &ZONES), ORIGIN, [1.; 3], SPACING);
    dicom_slices(&raw.folder(&format!("{folder}/{patient}/07-08-2009-MRI/1-T2")), &names, &image, &facts).unwrap();
}

fn retriever(raw: &Raw, collection: &str, patient: &str, down: bool) {
    series(raw, patient, &format!("manifest-1600709154662/{collection}"), |z| format!("1-{:02}.dcm", z + 1), down);
}

/// A mask on the grid of its image.
fn on_the_grid(raw: &Raw, shapes: &[Ell]) {
    let labels = volume(SIZE, "uint8", None, 0.0, shapes);
    raw.compressed("Training/Prostate3T-01-0001.nrrd", &place(labels, ORIGIN, [1.; 3], SPACING));
}

/// The same with the last slice first, and with x and y named by the other convention, in which they run backwards.
fn turned(raw: &Raw, path: &str) {
    let [x, y, z] = ORIGIN;
    let upside_down = ZONES.map(|shape| {
        let flip = |z| SIZE[2] - 1 - z;
        Ell::new(
            [shape.from[0], shape.from[1], flip(shape.to[2])],
            [shape.to[0], shape.to[1], flip(shape.from[2])],
            shape.value,
        )
    });
    let labels = volume(SIZE, "uint8", None, 0.0, &upside_down);
    raw.image(path, &place(labels, [-x, -y, z + 4.0 * SPACING[2]], [-1.0; 3], SPACING));
    let bytes = fs::read(raw.root.join(path)).unwrap();
    let lps = b"left-posterior-superior";
    let at = bytes.windows(lps.len()).position(|window| window == lps).unwrap();
    raw.file(path, [&bytes[..at], b"right-anterior-superior", &bytes[at + lps.len()..]].concat());
}

/// Without the first slice of the image.
fn cropped(raw: &Raw, path: &str) {
    let [[px, py, _], [cx, cy, _]] = ZONES.map(|shape| shape.from);
    let peripheral = Ell { from: [px, py, 0], to: [PERIPHERAL.to[0], PERIPHERAL.to[1], 2], ..PERIPHERAL };
    let central = Ell { from: [cx, cy, 0], to: [CENTRAL.to[0], CENTRAL.to[1], 3], ..CENTRAL };
    let labels = volume([SIZE[0], SIZE[1], 4], "uint16", None, 0.0, &[peripheral, central]);
    let [x, y, z] = ORIGIN;
    raw.compressed(path, &place(labels, [x, y, z + SPACING[2]], [1.; 3], SPACING));
}

/// With pixels of twice the size.
fn coarser(raw: &Raw, path: &str) {
    let half = |[x, y, z]: [usize; 3]| [x / 2, y / 2, z];
    let shapes = ZONES.map(|shape| Ell { from: half(shape.from), to: half(shape.to), ..shape });
    let labels = volume(half(SIZE), "uint8", None, 0.0, &shapes);
    let ([x, y, z], [dx, dy, dz]) = (ORIGIN, SPACING);
    raw.compressed(path, &place(labels, [x + dx / 2.0, y + dy / 2.0, z], [1.; 3], [2.0 * dx, 2.0 * dy, dz]));
}

fn write(raw: &Raw) {
    retriever(raw, "Prostate-3T", "Prostate3T-01-0001", false);
    on_the_grid(raw, &ZONES);
    retriever(raw, "PROSTATE-DIAGNOSIS", "ProstateDx-01-0006", true);
    cropped(raw, "Training/ProstateDx-01-0006_correctedLabels.nrrd");
    series(raw, "Prostate3T-02-0001", "DOI", |z| format!("{z:06}.dcm"), true);
    turned(raw, "Leaderboard/Prostate3T-02-0001_truth.nrrd");
    retriever(raw, "PROSTATE-DIAGNOSIS", "ProstateDx-03-0001", false);
    coarser(raw, "Test/ProstateDx-03-0001_truth.nrrd");
    retriever(raw, "PROSTATE-DIAGNOSIS", "ProstateDx-01-0100", false);
    // A program that downloads series by series names folders by the series alone.
    let by_series = "tciaDownload/1.3.6.1.4.1.14519.5.2.1.7307.2101.337767542120034137099613344111";
    raw.file(&format!("{by_series}/1-01.dcm"), "whose it is, only its header says");
    raw.file("ISBI-Prostate-Challenge-Training.tcia", "downloadServerUrl=");
}

fn unknown_label(raw: &Raw) {
    on_the_grid(raw, &[PERIPHERAL.of(3.0)]);
}

pub fn fixture() -> Fixture {
    let zones = || {
        let peripheral = object("peripheral_zone", "prostate peripheral zone", PERIPHERAL);
        [peripheral, object("central_gland", "prostate central gland", CENTRAL)]
    };
    let patient = |id| case(id, "T2W MRI").cut(Axis::Z, "axial", (0.6, 0.5)).objects(zones());
    Fixture {
        slug: "nci-isbi-2013",
        write,
        archives: &[
            ("Training", "NCI-ISBI 2013 Prostate Challenge - Training.zip"),
            ("Leaderboard", "NCI-ISBI-2013-Prostate-Challenge-Leaderboard.zip"),
            ("Test", "NCI-ISBI-2013-Prostate-Challenge-Test.zip"),
        ],
        cases: vec![
            patient("Prostate3T-01-0001").split("train"),
            patient("ProstateDx-01-0006").split("train"),
            patient("Prostate3T-02-0001").split("validation"),
            patient("ProstateDx-03-0001").split("test"),
        ],
        skipped: &[("ProstateDx-01-0100", "not labelled")],
        damage: Damage {
            image: ("ProstateDx-01-0006/07-08-2009-MRI/1-T2/1-02.dcm", &["ProstateDx-01-0006"]),
            mask: MissingMask::Skips {
                file: "ProstateDx-01-0006_correctedLabels",
                case: "ProstateDx-01-0006",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
