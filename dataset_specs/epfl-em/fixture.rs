//! EPFL electron microscopy: TIFFs of many pages; Lucchi++ as folders of pages, where the images are called `mask` and
//! the numbers of the masks are not padded.

use medcosmos::image::Image;

use crate::fixture::{
    Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, object, repeated, scan, slice, volume,
};

/// So many pages that the tenth comes before the second by letters.
const SIZE: [usize; 3] = [40, 32, 11];
const FIRST: Ell = Ell::new([5, 4, 0], [21, 16, 8], 255.0);
const SECOND: Ell = Ell::new([22, 17, 2], [37, 29, 10], 255.0);
const NANOMETRES_5: (f64, f64) = (5e-6, 5e-6);

fn labels() -> Image {
    volume(SIZE, "uint8", None, 0.0, &[FIRST, SECOND])
}

fn stack(raw: &Raw, set: &str) {
    raw.image(&format!("{set}.tif"), &scan(SIZE, "uint8", None, &[FIRST, SECOND]));
    raw.image(&format!("{set}_groundtruth.tif"), &labels());
}

fn drawn_anew(raw: &Raw, set: &str, channels: usize) {
    let (image, labels) = (scan(SIZE, "uint8", None, &[FIRST, SECOND]), labels());
    for page in 0..SIZE[2] {
        raw.image(&format!("Lucchi++/{set}_In/mask{page:04}.png"), &slice(&image, page));
        raw.image(&format!("Lucchi++/{set}_Out/{page}.png"), &repeated(&slice(&labels, page), channels));
    }
}

fn write(raw: &Raw) {
    stack(raw, "training");
    stack(raw, "testing");
    raw.file("volumedata.tif", "not used, so not read");
    drawn_anew(raw, "Train", 4);
    drawn_anew(raw, "Test", 1);
}

pub fn fixture() -> Fixture {
    let stack = |id, split| {
        let mitochondria = object("mitochondrion", "mitochondrion", FIRST).and(SECOND);
        let case = case(id, "Electron Microscopy").patient("CA1").split(split);
        case.cut(Axis::Z, "z", NANOMETRES_5).objects([mitochondria])
    };
    Fixture {
        slug: "epfl-em",
        write,
        archives: &[("Lucchi++", "lucchi_pp.zip")],
        cases: vec![
            stack("lucchi_pp_Test", "test"),
            stack("lucchi_pp_Train", "train"),
            stack("testing", "test"),
            stack("training", "train"),
        ],
        skipped: &[],
        damage: Damage {
            image: ("testing.tif", &["testing"]),
            mask: MissingMask::Skips { file: "training_groundtruth", case: "training", reason: "not labelled" },
            unknown_label: UnknownLabel::None("every value but 0 is a mitochondrion"),
        },
    }
}
