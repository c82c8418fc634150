//! IDRiD: masks of one bit with a palette of black and red, but one that is RGBA with alpha everywhere; masks of one
//! photograph overlap; a lesion that does not occur has no file.

use medcosmos::image::{Image, Samples};

use crate::fixture::{
    Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, coloured, mask, object, opaque,
};

/// Not whole bytes a row.
const SIZE: [usize; 2] = [46, 34];
const MICROANEURYSMS: Ell = Ell::new([3, 3, 0], [14, 13, 0], 1.0);
/// Of 50 pixels or fewer.
const SPECK: Ell = Ell::new([3, 3, 0], [9, 9, 0], 1.0);
const HAEMORRHAGES: Ell = Ell::new([9, 6, 0], [26, 16, 0], 1.0);
const HARD: Ell = Ell::new([29, 3, 0], [44, 13, 0], 1.0);
const SOFT: Ell = Ell::new([2, 19, 0], [17, 31, 0], 1.0);
const DISC: Ell = Ell::new([20, 18, 0], [41, 32, 0], 1.0);

fn photograph(raw: &Raw, set: &str, id: &str, masks: &[(&str, Ell)]) {
    let shapes: Vec<Ell> = masks.iter().map(|(_, shape)| *shape).collect();
    let image = colour(SIZE[0], SIZE[1], &shapes);
    raw.image(&format!("A. Segmentation/1. Original Images/{set}/IDRiD_{id}.jpg"), &image);
    for (class, shape) in masks {
        let path = mask_path(set, id, class);
        let mask = mask(SIZE[0], SIZE[1], &[*shape]);
        if path.ends_with("IDRiD_81_EX.tif") {
            raw.compressed(&path, &opaque(&coloured(&mask, &[(1.0, [255, 0, 0])])));
        } else {
            raw.file(&path, palette_tiff(&mask));
        }
    }
}

fn mask_path(set: &str, id: &str, class: &str) -> String {
    let folder = match class {
        "MA" => "1. Microaneurysms",
        "HE" => "2. Haemorrhages",
        "EX" => "3. Hard Exudates",
        "SE" => "4. Soft Exudates",
        _ => "5. Optic Disc",
    };
    format!("A. Segmentation/2. All Segmentation Groundtruths/{set}/{folder}/IDRiD_{id}_{class}.tif")
}

/// Uncompressed TIFF of one bit, the first pixel in the highest, with a palette of black and red.
fn palette_tiff(mask: &Image) -> Vec<u8> {
    let Samples::U8(values) = &mask.samples else { unreachable!() };
    let byte = |pixels: &[u8]| pixels.iter().zip((0..8).rev()).fold(0, |byte, (v, bit)| byte | v << bit);
    let pixels: Vec<u8> = values.chunks(SIZE[0]).flat_map(|row| row.chunks(8).map(byte)).collect();
    let [width, height] = SIZE.map(|n| n as u32);
    // Behind the directory of nine entries comes the palette, then the pixels.
    let (palette_at, pixels_at) = (122, 134);
    // Width, height, bits, compression, photometric, strip, rows of it, bytes of it, palette: tag, type, count, value.
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 1),
        (259, 3, 1, 1),
        (262, 3, 1, 3),
        (273, 4, 1, pixels_at),
        (278, 4, 1, height),
        (279, 4, 1, pixels.len() as u32),
        (320, 3, 6, palette_at),
    ];
    let mut out = b"II\x2a\0\x08\0\0\0\x09\0".to_vec();
    for (tag, kind, count, value) in entries {
        out.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        out.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    out.extend([0; 4]);
    let (reds, greens_and_blues) = ([0, u16::MAX], [0; 4]);
    out.extend(reds.iter().chain(&greens_and_blues).flat_map(|v| v.to_le_bytes()));
    out.extend(pixels);
    out
}

fn write(raw: &Raw) {
    let (training, testing) = ("a. Training Set", "b. Testing Set");
    photograph(raw, training, "01", &[("MA", MICROANEURYSMS), ("HE", HAEMORRHAGES), ("EX", HARD), ("OD", DISC)]);
    photograph(raw, training, "03", &[("MA", SPECK), ("EX", HARD), ("SE", SOFT), ("OD", DISC)]);
    photograph(raw, testing, "81", &[("MA", MICROANEURYSMS), ("EX", HARD), ("OD", DISC)]);
    raw.file("A. Segmentation/CC-BY-4.0.txt", "licence");
    raw.file("A. Segmentation/LICENSE.txt", "licence");
    raw.file("B. Disease Grading/1. Original Images/a. Training Set/IDRiD_001.jpg", "not used, so not read");
    raw.file("B. Disease Grading/2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv", "Image name\n");
    raw.file("C. Localization/1. Original Images/a. Training Set/IDRiD_001.jpg", "not used, so not read");
}

pub fn fixture() -> Fixture {
    let microaneurysms = || object("microaneurysms", "retinal microaneurysm", MICROANEURYSMS);
    let haemorrhages = || object("haemorrhages", "retinal haemorrhage", HAEMORRHAGES);
    let hard = || object("hard_exudates", "retinal hard exudate", HARD);
    let soft = || object("soft_exudates", "retinal soft exudate", SOFT);
    let disc = || object("optic_disc", "optic disc", DISC);
    Fixture {
        slug: "idrid-2018",
        write,
        archives: &[
            ("A. Segmentation", "A. Segmentation.zip"),
            ("B. Disease Grading", "B. Disease Grading.zip"),
            ("C. Localization", "C. Localization.zip"),
        ],
        cases: vec![
            case("IDRiD_01", "Fundus").split("train").objects([microaneurysms(), haemorrhages(), hard(), disc()]),
            case("IDRiD_03", "Fundus").split("train").objects([hard(), soft(), disc()]),
            case("IDRiD_81", "Fundus").split("test").objects([microaneurysms(), hard(), disc()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("IDRiD_01.jpg", &["IDRiD_01"]),
            mask: MissingMask::Lacks { file: "IDRiD_01_HE.tif", case: "IDRiD_01", label: "haemorrhages" },
            unknown_label: UnknownLabel::None("every red pixel is the lesion of the file"),
        },
    }
}
