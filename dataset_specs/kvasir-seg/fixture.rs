//! Kvasir-SEG: masks are JPEGs of three channels under the images' names; the list of boxes is misspelt. Copies have
//! folders of a split; polyp benchmarks have PNGs.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object, repeated};

const POLYP: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const SECOND: Ell = Ell::new([29, 20, 0], [40, 34, 0], 255.0);

fn frame(raw: &Raw, id: &str, width: usize, height: usize, shapes: &[Ell]) {
    raw.image(&format!("Kvasir-SEG/images/{id}.jpg"), &colour(width, height, shapes));
    raw.image(&format!("Kvasir-SEG/masks/{id}.jpg"), &repeated(&mask(width, height, shapes), 3));
}

fn benchmark(raw: &Raw, images: &str, masks: &str, id: &str) {
    raw.image(&format!("benchmark/{images}/{id}.png"), &colour(53, 41, &[POLYP]));
    raw.image(&format!("benchmark/{masks}/{id}.png"), &mask(53, 41, &[POLYP]));
}

fn write(raw: &Raw) {
    raw.image("Kvasir-SEG/images/val/cju0roawvklrq0799vmjorwfv.jpg", &colour(53, 41, &[POLYP]));
    raw.image("Kvasir-SEG/masks/val/cju0roawvklrq0799vmjorwfv.jpg", &repeated(&mask(53, 41, &[POLYP]), 3));
    benchmark(raw, "TestDataset/Kvasir/images", "TestDataset/Kvasir/masks", "cju0rx1idathl0835detmsp84");
    benchmark(raw, "TrainDataset/image", "TrainDataset/mask", "cju0s2a9ekvms080138tjjpxr");
    frame(raw, "cju0qkwl35piu0993l0dewei2", 53, 41, &[POLYP]);
    frame(raw, "cju0qoxqj9q6s0835b43399p4", 47, 50, &[POLYP, SECOND]);
    raw.file("Kvasir-SEG/kavsir_bboxes.json", "{}");
    raw.file("Kvasir-SEG/train.txt", "cju0qkwl35piu0993l0dewei2\n");
    raw.file("Kvasir-SEG/val.txt", "cju0qoxqj9q6s0835b43399p4\n");
}

pub fn fixture() -> Fixture {
    let polyp = || object("polyp", "polyp", POLYP);
    Fixture {
        slug: "kvasir-seg",
        write,
        archives: &[("*", "kvasir-seg.zip")],
        cases: vec![
            case("cju0qkwl35piu0993l0dewei2", "Colonoscopy").objects([polyp()]),
            case("cju0qoxqj9q6s0835b43399p4", "Colonoscopy").objects([polyp().and(SECOND)]),
            case("cju0roawvklrq0799vmjorwfv", "Colonoscopy").objects([polyp()]),
            case("cju0rx1idathl0835detmsp84", "Colonoscopy").objects([polyp()]),
            case("cju0s2a9ekvms080138tjjpxr", "Colonoscopy").objects([polyp()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("images/cju0qkwl35piu0993l0dewei2", &["cju0qkwl35piu0993l0dewei2"]),
            mask: MissingMask::Skips {
                file: "masks/cju0qoxqj9q6s0835b43399p4",
                case: "cju0qoxqj9q6s0835b43399p4",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
