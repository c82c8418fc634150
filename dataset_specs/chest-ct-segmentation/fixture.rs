//! Chest CT: masks as colour JPEGs, one object in each channel, which overlap; slice numbers without padding.

use medcosmos::image::{Image, Samples};

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, grey, mask, object};

// On the blocks of a JPEG, so that its loss does not decide which pixels are expected.
const LUNG: Ell = Ell::new([0, 16, 0], [31, 47, 0], 255.0);
const HEART: Ell = Ell::new([16, 32, 0], [47, 63, 0], 255.0);
const TRACHEA: Ell = Ell::new([32, 0, 0], [63, 31, 0], 255.0);

/// Red trachea, green heart, blue lung.
fn channels(objects: [Option<Ell>; 3]) -> Image {
    let [red, green, blue] = objects.map(|shape| mask(64, 64, shape.as_slice()).samples);
    let values = (0..64 * 64).flat_map(|i| [&red, &green, &blue].map(|channel| channel.get(i) as u8)).collect();
    Image::picture(64, 64, 3, Samples::U8(values))
}

fn image(raw: &Raw, patient: &str, slice: u32, shapes: &[Ell]) {
    let grey = grey(64, 64, shapes);
    let values = (0..64 * 64).flat_map(|i| [grey.samples.get(i) as u8; 3]).collect();
    raw.image(&format!("images/images/{patient}_{slice}.jpg"), &Image::picture(64, 64, 3, Samples::U8(values)));
}

fn slice(raw: &Raw, patient: &str, slice: u32, objects: [Option<Ell>; 3]) {
    image(raw, patient, slice, &objects.into_iter().flatten().collect::<Vec<_>>());
    raw.image(&format!("masks/masks/{patient}_mask_{slice}.jpg"), &channels(objects));
}

fn write(raw: &Raw) {
    slice(raw, "ID00007637202177411956430", 2, [Some(TRACHEA), None, Some(LUNG)]);
    slice(raw, "ID00007637202177411956430", 11, [Some(TRACHEA), Some(HEART), Some(LUNG)]);
    slice(raw, "ID00009637202177434476278", 30, [None, None, None]);
    image(raw, "ID00009637202177434476278", 31, &[LUNG]);
    for part in ["images", "masks"] {
        raw.file(&format!("numpy_{part}_files/ID00007637202177411956430.npy"), "a pickle, not read");
    }
    raw.file("train.csv", "ImageId,MaskId\r\nID00007637202177411956430_2.jpg,ID00007637202177411956430_mask_2.jpg\r\n");
}

pub fn fixture() -> Fixture {
    let lung = || object("lung", "lung", LUNG);
    let heart = || object("heart", "heart", HEART);
    let trachea = || object("trachea", "trachea", TRACHEA);
    let slice = |id| case(id, "CT").patient("ID00007637202177411956430");
    Fixture {
        slug: "chest-ct-segmentation",
        write,
        archives: &[
            ("images/*", "images.zip"),
            ("masks/*", "masks.zip"),
            ("numpy_images_files", "numpy_images_files.zip"),
            ("numpy_masks_files", "numpy_masks_files.zip"),
        ],
        cases: vec![
            slice("ID00007637202177411956430_11").objects([lung(), heart(), trachea()]),
            slice("ID00007637202177411956430_2").objects([lung(), trachea()]),
        ],
        skipped: &[
            ("ID00009637202177434476278_30", "no mask is large enough"),
            ("ID00009637202177434476278_31", "unlabelled"),
        ],
        damage: Damage {
            image: ("430_11.jpg", &["ID00007637202177411956430_11"]),
            mask: MissingMask::Skips { file: "mask_2.jpg", case: "ID00007637202177411956430_2", reason: "unlabelled" },
            unknown_label: UnknownLabel::None("each channel is cut at a threshold"),
        },
    }
}
