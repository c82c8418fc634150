//! CellSeg: images of any container, type and number of channels in one folder, their labels always int16 TIFFs with
//! Deflate; numbers restart in every set; predictions lie beside the reference.

use std::fs::File;

use medcosmos::image::{Image, Samples};
use tiff::encoder::{Compression, TiffEncoder, colortype};

use crate::fixture::{
    Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, grey, object, opaque, scan, volume,
};

const FIRST: Ell = Ell::new([4, 5, 0], [19, 17, 0], 1.0);
/// Touches the first.
const SECOND: Ell = Ell::new([20, 5, 0], [36, 15, 0], 2.0);
/// Of 50 pixels or fewer.
const SPECK: Ell = Ell::new([34, 24, 0], [40, 30, 0], 3.0);
const LAST: Ell = Ell::new([6, 22, 0], [28, 40, 0], 187.0);

fn sample(raw: &Raw, set: &str, image_name: &str, image: &Image, cells: &[Ell]) {
    raw.image(&format!("{set}/images/{image_name}"), image);
    let stem = image_name.split('.').next().unwrap();
    labels(raw, &format!("{set}/labels/{stem}_label.tiff"), cells);
}

fn labels(raw: &Raw, path: &str, cells: &[Ell]) {
    let Samples::I16(numbers) = volume([50, 44, 1], "int16", None, 0.0, cells).samples else { unreachable!() };
    let mut encoder = TiffEncoder::new(File::create(raw.place(path)).unwrap()).unwrap();
    encoder = encoder.with_compression(Compression::Deflate(Default::default()));
    encoder.write_image::<colortype::GrayI16>(50, 44, &numbers).unwrap();
}

/// From 27199 up, as cell_00528.
fn far_from_zero(cells: &[Ell]) -> Image {
    let mut image = scan([50, 44, 1], "uint16", None, cells);
    let Samples::U16(values) = &mut image.samples else { unreachable!() };
    values.iter_mut().for_each(|v| *v = 27199 + *v * 150);
    image
}

fn write(raw: &Raw) {
    let all = [FIRST, SECOND, SPECK, LAST];
    sample(raw, "Training-labeled", "cell_00001.bmp", &colour(50, 44, &all), &all);
    sample(raw, "Training-labeled", "cell_00002.png", &opaque(&colour(50, 44, &[FIRST])), &[FIRST]);
    sample(raw, "Training-labeled", "cell_00528.tif", &far_from_zero(&[SECOND]), &[SECOND]);
    sample(raw, "Tuning", "cell_00001.jpg", &grey(50, 44, &[LAST]), &[LAST]);
    let float = scan([50, 44, 1], "float64", None, &[FIRST, LAST]);
    sample(raw, "Testing/Public", "OpenTest_001.tiff", &float, &[FIRST, LAST]);
    labels(raw, "Testing/Public/1st_osilab_seg/OpenTest_001_label.tiff", &[SECOND]);
    raw.image("Testing/Public/WSI/OpenTest_002.tiff", &grey(50, 44, &[FIRST]));
    labels(raw, "Testing/Public/WSI-labels/OpenTest_002_label.tiff", &[FIRST]);
    raw.image("Testing/Hidden/images/TestHidden_001.png", &grey(50, 44, &[FIRST]));
    labels(raw, "Testing/Hidden/osilab_seg/osilab_seg/TestHidden_001_label.tiff", &[FIRST]);
    raw.image("release-part1/unlabeled_cell_00001.png", &grey(50, 44, &[]));
}

pub fn fixture() -> Fixture {
    let first = || object("cell-00001", "cell", FIRST);
    let second = || object("cell-00002", "cell", SECOND);
    let last = || object("cell-00187", "cell", LAST);
    let test = |id| case(id, "Microscopy").split("test");
    let training = |id| case(id, "Microscopy").split("train");
    Fixture {
        slug: "cellseg-neurips-2022",
        write,
        archives: &[
            ("Training-labeled", "Training-labeled.zip"),
            ("Tuning", "Tuning.zip"),
            ("Testing", "Testing.zip"),
            ("release-part1", "train-unlabeled-part1.zip"),
        ],
        cases: vec![
            test("Public_OpenTest_001").objects([first(), last()]),
            test("Public_WSI_OpenTest_002").objects([first()]),
            training("Training-labeled_cell_00001").objects([first(), second(), last()]),
            training("Training-labeled_cell_00002").objects([first()]),
            training("Training-labeled_cell_00528").objects([second()]),
            case("Tuning_cell_00001", "Microscopy").split("validation").objects([last()]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("cell_00528.tif", &["Training-labeled_cell_00528"]),
            mask: MissingMask::Skips {
                file: "Tuning/labels/cell_00001_label.tiff",
                case: "Tuning_cell_00001",
                reason: "not labelled",
            },
            unknown_label: UnknownLabel::None("every number is a cell"),
        },
    }
}
