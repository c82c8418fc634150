//! ssTEM: stacks whose maps leave nothing over. ISBI 2012 has cells (255) and the membrane (0) between them; the variant
//! of the same name has membranes of five values and organelles, 255 being the rest. A copy has one page a file.

use medcosmos::image::Image;

use crate::fixture::{
    Axis, Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, bilevel, case, mask, object, scan, slice, volume,
};

const SIZE: [usize; 3] = [48, 40, 3];
/// Every pixel: the corner that the shape leaves out lies below the page.
const PAGE: Ell = Ell::new([0, 0, 0], [47, 80, 2], 0.0);
const CELL: Ell = Ell::new([4, 5, 0], [26, 23, 1], 255.0);
const NEXT_CELL: Ell = Ell::new([28, 8, 1], [45, 35, 2], 255.0);

const MEMBRANE: Ell = Ell::new([3, 3, 0], [18, 15, 2], 0.0);
const JUNCTION: Ell = Ell::new([19, 3, 0], [30, 12, 2], 128.0);
const GLIA: Ell = Ell::new([33, 4, 0], [46, 16, 1], 159.0);
const MITOCHONDRION: Ell = Ell::new([4, 20, 1], [21, 37, 2], 191.0);
const SYNAPSE: Ell = Ell::new([26, 21, 0], [42, 34, 0], 223.0);
/// Of 50 pixels or fewer.
const FAINT_SYNAPSE: Ell = Ell::new([26, 21, 1], [32, 27, 1], 223.0);

fn isbi(raw: &Raw, labels: &Image) {
    raw.image("train-volume.tif", &scan(SIZE, "uint8", None, &[CELL, NEXT_CELL]));
    raw.image("train-labels.tif", labels);
    raw.image("test-volume.tif", &scan(SIZE, "uint8", None, &[]));
}

fn variant(raw: &Raw) {
    let shapes = [MEMBRANE, JUNCTION, GLIA, MITOCHONDRION, SYNAPSE, FAINT_SYNAPSE];
    let image = scan(SIZE, "uint8", None, &shapes);
    let labels = volume(SIZE, "uint8", None, 255.0, &shapes);
    let folder = "groundtruth-drosophila-vnc-master";
    for page in 0..SIZE[2] {
        raw.image(&format!("{folder}/stack1/raw/{page:02}.tif"), &slice(&image, page));
        raw.image(&format!("{folder}/stack1/labels/labels{page:08}.png"), &slice(&labels, page));
        for series in ["membranes", "mitochondria", "synapses"] {
            raw.image(&format!("{folder}/stack1/{series}/{page:02}.png"), &bilevel(&mask(48, 40, &[CELL])));
        }
        raw.image(&format!("{folder}/stack2/raw/{page:02}.tif"), &slice(&image, page));
    }
    raw.file(&format!("{folder}/README.md"), "description");
}

fn pages(raw: &Raw) {
    let shapes = [CELL, NEXT_CELL];
    let (image, labels) = (scan(SIZE, "uint8", None, &shapes), volume(SIZE, "uint8", None, 0.0, &shapes));
    for page in 0..SIZE[2] {
        raw.image(&format!("unet/data/membrane/train/image/{page}.png"), &slice(&image, page));
        raw.image(&format!("unet/data/membrane/train/label/{page}.png"), &slice(&labels, page));
        raw.image(&format!("unet/data/membrane/test/{page}.png"), &slice(&image, page));
    }
    raw.file("unet/data/membrane/test/0_predict.png", "a prediction");
    raw.file("unet/data/membrane/train/aug/image_0_1234.png", "bent");
}

fn write(raw: &Raw) {
    pages(raw);
    isbi(raw, &volume(SIZE, "uint8", None, 0.0, &[CELL, NEXT_CELL]));
    variant(raw);
}

fn unknown_label(raw: &Raw) {
    write(raw);
    isbi(raw, &volume(SIZE, "uint8", None, 0.0, &[CELL.of(254.0), NEXT_CELL]));
}

pub fn fixture() -> Fixture {
    let stack = |id, nanometres: f64| {
        let spacing = (nanometres * 1e-6, nanometres * 1e-6);
        case(id, "Electron Microscopy").split("train").cut(Axis::Z, "z", spacing)
    };
    let cells = object("cell_interior", "cell interior", CELL).and(NEXT_CELL);
    let wall = object("membrane", "cell membrane", PAGE).ground().without(CELL).without(NEXT_CELL);
    let organelles = [
        object("membrane", "cell membrane", MEMBRANE).and(JUNCTION),
        object("glia_or_extracellular_space", "glia or extracellular space", GLIA),
        object("mitochondrion", "mitochondrion", MITOCHONDRION),
        object("synapse", "synapse", SYNAPSE),
    ];
    let rest = object("cell_interior", "cell interior", PAGE).ground();
    let rest = organelles.iter().flat_map(|o| &o.shape).fold(rest, |rest, shape| rest.without(*shape));
    let mut objects = organelles.to_vec();
    objects.push(rest.without(FAINT_SYNAPSE));
    Fixture {
        slug: "sstem",
        write,
        archives: &[("groundtruth-drosophila-vnc-master", "groundtruth-drosophila-vnc-master.zip")],
        cases: vec![
            stack("stack1", 4.6).objects(objects),
            stack("train", 4.0).objects([cells.clone(), wall.clone()]),
            stack("membrane_train", 4.0).patient("train").objects([cells, wall]),
        ],
        skipped: &[],
        damage: Damage {
            image: ("train-volume.tif", &["train"]),
            mask: MissingMask::Skips { file: "train-labels.tif", case: "train", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
