//! EndoTect 2020: masks are JPEGs under the images' names; some copies of the test set have none.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object, repeated};

const POLYP: Ell = Ell::new([5, 6, 0], [24, 17, 0], 255.0);
const SECOND: Ell = Ell::new([29, 20, 0], [40, 34, 0], 255.0);

fn pair(raw: &Raw, folder: &str, name: &str, shapes: &[Ell]) {
    raw.image(&format!("{folder}/images/{name}"), &colour(53, 41, shapes));
    raw.image(&format!("{folder}/masks/{name}"), &repeated(&mask(53, 41, shapes), 3));
}

fn write(raw: &Raw) {
    pair(raw, "segmented-images", "0a5f3601-4e95-4794-a749-3d7ea3b1bb43.jpg", &[POLYP]);
    pair(raw, "segmented-images", "0b6a84d1-a3d5-4f0c-bd6c-6a45d2f2c3a1.jpg", &[POLYP, SECOND]);
    raw.file("segmented-images/bounding-boxes.json", "{}");
    raw.file("labeled-images/lower-gi-tract/pathological-findings/polyps/0a5f3601.jpg", "not used, so not read");
    let test = "EndoTect_2020_Segmentation_Test_Dataset";
    pair(raw, test, "0c1f.JPG", &[SECOND]);
    raw.image(&format!("{test}/images/0d2e.jpeg"), &colour(53, 41, &[]));
    raw.file(&format!("{test}/bounding-boxes.csv"), "class_name,xmin,ymin,xmax,ymax\n");
}

pub fn fixture() -> Fixture {
    let polyp = |shape| object("polyp", "polyp", shape);
    let frame = |id, split| case(id, "Colonoscopy").split(split);
    Fixture {
        slug: "endotect-2020",
        write,
        archives: &[
            ("segmented-images", "hyper-kvasir-segmented-images.zip"),
            ("labeled-images", "hyper-kvasir-labeled-images.zip"),
            ("EndoTect_2020_Segmentation_Test_Dataset", "EndoTect_2020_Segmentation_Test_Dataset.zip"),
        ],
        cases: vec![
            frame("test_0c1f", "test").objects([polyp(SECOND)]),
            frame("train_0a5f3601-4e95-4794-a749-3d7ea3b1bb43", "train").objects([polyp(POLYP)]),
            frame("train_0b6a84d1-a3d5-4f0c-bd6c-6a45d2f2c3a1", "train").objects([polyp(POLYP).and(SECOND)]),
        ],
        skipped: &[("test_0d2e", "not labelled")],
        damage: Damage {
            image: ("images/0c1f", &["test_0c1f"]),
            mask: MissingMask::Skips {
                file: "masks/0a5f3601",
                case: "train_0a5f3601-4e95-4794-a749-3d7ea3b1bb43",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::None("every value is above the threshold or not"),
        },
    }
}
