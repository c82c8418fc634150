//! ACDC: `ACDC.zip` of `ACDC/database/{training,testing}/patientNNN/`, two labelled frames each. Images are int16 and
//! labels uint8; the sform says 1 mm, `pixdim` the real spacing; the base of the heart shows no object.

use std::fs;
use std::io;
use std::path::Path;

use super::{content_folder, in_folder, to_i16, volume};
use crate::demo::phantom::{Acquisition, Grid, Random, Scene, Shape};
use crate::demo::write;
use crate::image::{Frame, Geometry, Image, Samples};

const SIZE: [usize; 3] = [216, 256, 7];
const SPACING: [f64; 3] = [1.36, 1.36, 10.0];

/// Patients: number, half, frame at end systole, group.
const PATIENTS: [(u64, &str, u32, &str); 3] =
    [(1, "training", 12, "DCM"), (2, "training", 9, "NOR"), (101, "testing", 14, "HCM")];

pub(super) fn write(folder: &Path) -> io::Result<()> {
    let content = content_folder(folder, "ACDC")?;
    for (number, half, systole, group) in PATIENTS {
        let patient = format!("ACDC/database/{half}/patient{number:03}/");
        let info = format!("ED: 1\nES: {systole}\nGroup: {group}\nHeight: 170.0\nNbFrame: 30\nWeight: 70.0\n");
        fs::write(in_folder(&content, &format!("{patient}Info.cfg"))?, info)?;
        for (frame, contracted) in [(1, 0.0), (systole, 1.0)] {
            let stem = format!("{patient}patient{number:03}_frame{frame:02}");
            let grid = Grid::centred(SIZE, SPACING);
            let rendered =
                heart(number, contracted).render(&grid, Acquisition { noise: 9.0, bias: 0.25, seed: number });
            let framed = |samples: Samples| Image { geometry: Some(false_frame()), ..volume(SIZE, samples) };
            write::image(&in_folder(&content, &format!("{stem}.nii.gz"))?, &framed(to_i16(&rendered.values)))?;
            write::image(&in_folder(&content, &format!("{stem}_gt.nii.gz"))?, &framed(Samples::U8(rendered.labels)))?;
        }
    }
    write::zip(&folder.join("ACDC.zip"), &content)
}

/// x to the left, y to the back, 1 mm each way, whatever `pixdim` says.
fn false_frame() -> Geometry {
    let affine = [[-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
    Geometry { spacing: SPACING, affine, frame: Frame::Sform }
}

/// A chest across the short axis of the heart. `contracted` runs from 0, end diastole, to 1, end systole.
fn heart(patient: u64, contracted: f64) -> Scene {
    let mut random = Random::new(1000 + patient);
    let mut vary = |spread: f64| random.between(1.0 - spread, 1.0 + spread);
    let [x, y] = [14.0 * vary(0.3), -8.0 * vary(0.5)];
    let seed = 7 * patient;
    let wall = if patient == 101 { 14.0 } else { 9.0 * vary(0.15) };
    let cavity = 24.0 * vary(0.12) - 8.5 * contracted;
    let epicardium = cavity + wall + 3.5 * contracted;
    let long = 52.0 - 6.0 * contracted;

    let mut scene = Scene::new(12.0, 1.5, 9.0);
    let body = Shape::ellipsoid([0.0, 10.0, 0.0], [138.0, 128.0, 900.0]).warped(seed, 6.0, 70.0);
    scene.paint(body.clone(), 230.0, 40.0);
    scene.paint(body.grown(-11.0), 95.0, 30.0);
    let lung = |side: f64| Shape::ellipsoid([side * 72.0, 18.0, 20.0], [46.0, 76.0, 200.0]).warped(seed + 1, 8.0, 40.0);
    scene.paint(lung(-1.0).or(lung(1.0)), 25.0, 15.0);
    scene.paint(Shape::ellipsoid([-40.0, 55.0, -60.0], [75.0, 50.0, 55.0]).warped(seed + 2, 6.0, 40.0), 125.0, 25.0);
    scene.paint(Shape::ellipsoid([4.0, 95.0, 0.0], [19.0, 17.0, 900.0]), 150.0, 35.0);
    scene.paint(Shape::ellipsoid([26.0, 72.0, 0.0], [11.0, 11.0, 900.0]), 290.0, 10.0);
    scene.paint(Shape::ellipsoid([x - 14.0, y, 0.0], [62.0, 48.0, 70.0]).warped(seed + 3, 5.0, 30.0), 190.0, 40.0);

    let below_base = || Shape::Slab { low: -90.0, high: 25.0 };
    let left = |radius: f64, z: f64| Shape::turned([x, y, 8.0], [radius, radius * 0.94, z], 25.0);
    let outer = left(epicardium, long + wall).warped(seed + 4, 2.0, 22.0);
    let right =
        Shape::turned([x - 38.0, y - 9.0, 12.0], [31.0 - 8.0 * contracted, 37.0 - 6.0 * contracted, 42.0], 18.0)
            .warped(seed + 5, 4.0, 24.0);
    scene.paint(right.clone().grown(3.0).within(below_base()), 100.0, 15.0);
    scene.paint_object(right.without(outer.clone()).within(below_base()), 285.0, 30.0, 1);
    scene.paint_object(outer.within(below_base()), 98.0, 18.0, 2);
    let blood = left(cavity, long).warped(seed + 6, 1.6, 14.0);
    scene.paint_object(blood.within(below_base()), 300.0, 25.0, 3);
    // Papillary muscles belong to the cavity.
    let muscle = |dx: f64, dy: f64| {
        let r = cavity * 0.55;
        Shape::tube(&[[x + dx * r, y + dy * r, -40.0], [x + dx * r, y + dy * r, 12.0]], 3.6)
    };
    scene.paint_detail(muscle(0.9, 0.5), 115.0, 20.0);
    scene.paint_detail(muscle(-0.2, 1.0), 115.0, 20.0);
    scene
}
