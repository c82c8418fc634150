//! I2CVB: `siemens-3t.tar.gz` in parts `.aa` and `.ab`. T2-weighted DICOM in a tilted frame, signed; masks are DICOM of
//! 0 and 255 under `GT/<class>`, which repeat the image's series UID. One patient's masks lie in reverse file order;
//! the other has no cancer, and then no folder for it.

use std::fs;
use std::io;
use std::path::Path;

use super::{content_folder, to_i16, volume};
use crate::demo::phantom::{Acquisition, Grid, Random, Scene, Shape};
use crate::demo::write::{self, DicomFacts};
use crate::image::{Geometry, Image, Samples};

pub(super) fn write(folder: &Path) -> io::Result<()> {
    let content = content_folder(folder, "siemens-3t")?;
    patient(&content, 383, true)?;
    patient(&content, 384, false)?;
    let archive = folder.join("siemens-3t.tar.gz");
    write::tar_gz(&archive, &content)?;
    let bytes = fs::read(&archive)?;
    let (first, second) = bytes.split_at(bytes.len() / 2);
    fs::write(folder.join("siemens-3t.tar.gz.aa"), first)?;
    fs::write(folder.join("siemens-3t.tar.gz.ab"), second)?;
    fs::remove_file(archive)
}

fn patient(content: &Path, number: u64, cancer: bool) -> io::Result<()> {
    let grid = Grid::centred([256, 232, 6], [0.72, 0.72, 5.5]);
    let anatomy = Anatomy::new(number);
    let rendered = anatomy.scene(cancer).render(&grid, Acquisition { noise: 13.0, bias: 0.35, seed: number });
    let geometry = tilted(&grid);
    let base = content.join(format!("Siemens/Patient {number}"));
    let depth = grid.size[2];
    let series = |place: &str, samples: Samples, reverse: bool| {
        let folder = base.join(place);
        fs::create_dir_all(&folder)?;
        // File numbers are not padded, and rise with position or fall.
        let number_of = |z: usize| if reverse { depth - z } else { z + 1 };
        let names: Vec<String> = (0..depth).map(|z| format!("image{}.dcm", number_of(z))).collect();
        let facts = DicomFacts {
            modality: "MR".into(),
            patient_id: number.to_string(),
            series_uid: format!("2.25.7700{number}"),
            ..DicomFacts::default()
        };
        let image = Image { geometry: Some(geometry.clone()), ..volume(grid.size, samples) };
        write::dicom_slices(&folder, &names, &image, &facts)
    };
    series("T2W", to_i16(&rendered.values), false)?;
    let mut classes = vec![("prostate", &anatomy.gland), ("pz", &anatomy.peripheral), ("cg", &anatomy.central)];
    if cancer {
        classes.push(("cap", &anatomy.cancer));
    }
    for (class, shape) in classes {
        let mask = grid.mask(shape).iter().map(|v| 255 * u16::from(*v)).collect();
        series(&format!("GT/{class}"), Samples::U16(mask), number == 383)?;
    }
    Ok(())
}

/// The grid's frame, tilted by 10 degrees about x as scans across the prostate are.
fn tilted(grid: &Grid) -> Geometry {
    let (sin, cos) = libm::sincos(10f64.to_radians());
    let turn = |[x, y, z]: [f64; 3]| [x, cos * y - sin * z, sin * y + cos * z];
    let directions = [turn([1.0, 0.0, 0.0]), turn([0.0, 1.0, 0.0]), turn([0.0, 0.0, 1.0])];
    Geometry::from_lps(turn(grid.first), directions, grid.step)
}

/// The objects of a patient.
struct Anatomy {
    seed: u64,
    gland: Shape,
    central: Shape,
    peripheral: Shape,
    cancer: Shape,
}

impl Anatomy {
    fn new(patient: u64) -> Self {
        let mut random = Random::new(500 + patient);
        let mut by = |spread: f64| random.between(-spread, spread);
        let seed = 17 * patient;
        let centre = [by(3.0), 4.0 + by(2.0), 0.0];
        let [x, y, _] = centre;
        let radii = [27.0 + by(3.0), 20.0 + by(2.0), 23.0];
        let gland = Shape::ellipsoid(centre, radii).warped(seed, 2.0, 16.0);
        let central =
            Shape::ellipsoid([x, y - 5.0, 3.0], [18.0 + by(2.0), 13.5 + by(1.5), 18.0]).warped(seed + 1, 2.0, 12.0);
        let central = central.within(gland.clone().grown(-1.5));
        let peripheral =
            gland.clone().without(central.clone()).within(Shape::ellipsoid([x, y + 14.0, 0.0], [40.0, 24.0, 40.0]));
        let cancer = Shape::turned([x + 14.0, y + 10.0, -3.0], [8.0, 4.6, 10.0], -35.0).warped(seed + 2, 1.2, 6.0);
        let cancer = cancer.within(peripheral.clone().grown(-0.5));
        Anatomy { seed, gland, central, peripheral, cancer }
    }

    fn scene(&self, cancer: bool) -> Scene {
        let seed = self.seed;
        let mut scene = Scene::new(8.0, 1.0, 4.0);
        let body = Shape::ellipsoid([0.0, 0.0, 0.0], [175.0, 98.0, 900.0]).warped(seed + 3, 5.0, 60.0);
        scene.paint(body, 330.0, 60.0);
        for side in [-1.0, 1.0] {
            let femur = Shape::ellipsoid([side * 84.0, -4.0, 0.0], [25.0, 26.0, 60.0]);
            scene.paint(femur.clone().grown(4.0), 40.0, 10.0);
            scene.paint(femur, 260.0, 50.0);
            let obturator =
                Shape::turned([side * 44.0, -2.0, 0.0], [8.0, 33.0, 90.0], side * 8.0).warped(seed + 4, 3.0, 18.0);
            scene.paint(obturator, 75.0, 25.0);
            let gluteus =
                Shape::turned([side * 62.0, 58.0, 0.0], [44.0, 22.0, 120.0], side * 24.0).warped(seed + 5, 5.0, 20.0);
            scene.paint(gluteus, 90.0, 45.0);
            let levator =
                Shape::turned([side * 31.0, 22.0, 0.0], [4.5, 24.0, 80.0], side * -14.0).warped(seed + 6, 2.0, 14.0);
            scene.paint(levator, 85.0, 20.0);
        }
        let pubis = Shape::ellipsoid([0.0, -52.0, -8.0], [32.0, 13.0, 30.0]).warped(seed + 7, 4.0, 18.0);
        scene.paint(pubis.clone(), 70.0, 15.0);
        scene.paint(pubis.grown(-4.0), 200.0, 40.0);
        scene.paint(Shape::ellipsoid([0.0, -24.0, 26.0], [30.0, 16.0, 20.0]).warped(seed + 8, 3.0, 20.0), 620.0, 10.0);
        let rectum = Shape::ellipsoid([3.0, 42.0, 0.0], [16.0, 13.0, 200.0]).warped(seed + 9, 3.0, 16.0);
        scene.paint(rectum.clone(), 120.0, 30.0);
        scene.paint(rectum.grown(-4.0), 30.0, 15.0);
        // A dark capsule.
        scene.paint(self.gland.clone().grown(0.9), 110.0, 20.0);
        scene.paint(self.gland.clone(), 165.0, 60.0);
        scene.paint(self.peripheral.clone(), 385.0, 60.0);
        scene.paint(self.central.clone().grown(0.5), 120.0, 20.0);
        scene.paint(self.central.clone().grown(-0.6), 200.0, 130.0);
        if cancer {
            scene.paint(self.cancer.clone(), 165.0, 30.0);
        }
        scene
    }
}
