//! MSD: `Task04_Hippocampus.tar` and `Task09_Spleen.tar`, NIfTI in RAS+ with true frames, a `dataset.json`, and the
//! resource forks of the machine that packed them (`._*`, which end in `.nii.gz` and are no images).

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Map, json};

use super::abdomen::{CT, SPLEEN, abdomen};
use super::{content_folder, in_folder, to_i16, volume};
use crate::demo::phantom::{Acquisition, Grid, Random, Rendered, Scene, Shape};
use crate::demo::write;
use crate::image::{Frame, Geometry, Image, Samples};

pub(super) fn write(folder: &Path) -> io::Result<()> {
    let content = content_folder(folder, "Task04_Hippocampus")?;
    let base = content.join("Task04_Hippocampus");
    let cases = [1, 17].map(|n| (format!("hippocampus_{n:03}"), n));
    for (name, n) in &cases {
        let grid = Grid::centred([36, 52, 8], [-1.0, -1.0, 1.0]);
        let rendered = hippocampus(*n).render(&grid, Acquisition { noise: 3.5, bias: 0.1, seed: *n });
        let values = Samples::F32(rendered.values.iter().map(|&v| v.max(0.0) as f32).collect());
        put(&base, name, &grid, values, Samples::U8(rendered.labels))?;
    }
    let labels = ["background", "Anterior", "Posterior"];
    describe(&base, "Hippocampus", "MRI", &labels, &cases.map(|(name, _)| name))?;
    write::tar(&folder.join("Task04_Hippocampus.tar"), &content)?;

    let content = content_folder(folder, "Task09_Spleen")?;
    let base = content.join("Task09_Spleen");
    let cases = [2, 13].map(|n| (format!("spleen_{n}"), n));
    for (name, n) in &cases {
        // The spleen is in the upper half: the scan begins below it and ends above.
        let mut grid = Grid::centred([256, 256, 6], [-1.4, -1.4, 18.0]);
        grid.first[2] += 24.0;
        let Rendered { values, labels } =
            abdomen(300 + n, &CT).render(&grid, Acquisition { noise: 16.0, bias: 0.0, seed: 300 + n });
        let spleen = Samples::U8(labels.iter().map(|&label| u8::from(label == SPLEEN)).collect());
        put(&base, name, &grid, to_i16(&values), spleen)?;
    }
    describe(&base, "Spleen", "CT", &["background", "spleen"], &cases.map(|(name, _)| name))?;
    write::tar(&folder.join("Task09_Spleen.tar"), &content)
}

fn put(base: &Path, name: &str, grid: &Grid, values: Samples, labels: Samples) -> io::Result<()> {
    let geometry = Geometry { frame: Frame::Sform, ..grid.geometry() };
    for (folder, samples) in [("imagesTr", values), ("labelsTr", labels)] {
        let image = Image { geometry: Some(geometry.clone()), ..volume(grid.size, samples) };
        write::image(&in_folder(base, &format!("{folder}/{name}.nii.gz"))?, &image)?;
        // An AppleDouble file begins with this number and says who made it.
        let fork = [&[0x00, 0x05, 0x16, 0x07, 0x00, 0x02, 0x00, 0x00][..], b"Mac OS X        "].concat();
        fs::write(in_folder(base, &format!("{folder}/._{name}.nii.gz"))?, fork)?;
    }
    Ok(())
}

fn describe(base: &Path, name: &str, modality: &str, labels: &[&str], cases: &[String]) -> io::Result<()> {
    let file = |folder: &str, case: &String| format!("./{folder}/{case}.nii.gz");
    let pair = |case: &String| json!({"image": file("imagesTr", case), "label": file("labelsTr", case)});
    let dataset = json!({
        "name": name,
        "tensorImageSize": "3D",
        "modality": {"0": modality},
        "labels": labels.iter().zip(0..).map(|(label, value)| (value.to_string(), json!(label))).collect::<Map<_, _>>(),
        "numTraining": cases.len(),
        "training": cases.iter().map(pair).collect::<Vec<_>>(),
        "test": [],
    });
    fs::write(in_folder(base, "dataset.json")?, serde_json::to_string_pretty(&dataset)? + "\n")
}

/// A hippocampus from above: a head, in front, and a tail that bends inwards; about 1 mm from the fluid of the horn.
fn hippocampus(person: u64) -> Scene {
    let mut random = Random::new(400 + person);
    let mut by = |spread: f64| random.between(-spread, spread);
    let seed = 53 * person;
    let mut scene = Scene::new(92.0, 1.3, 4.0);
    scene.background += by(3.0);
    // Grey matter in folds over white matter.
    let white = Shape::ellipsoid([by(3.0), 2.0, 0.0], [14.0, 30.0, 30.0]).warped(seed, 5.0, 9.0);
    scene.paint(white, 122.0, 12.0);
    scene.paint(
        Shape::ellipsoid([-13.0, -8.0 + by(3.0), 0.0], [4.5, 12.0, 12.0]).warped(seed + 1, 2.0, 6.0),
        42.0,
        8.0,
    );
    let (head, tail) = ([by(1.0), -11.0 + by(1.5), 0.0], [5.0 + by(1.0), 19.0, 3.0]);
    let middle = [-2.5 + by(1.0), 4.0, 1.0];
    scene.paint(Shape::tube(&[[-7.5, -14.0, 0.0], [-7.0, 4.0, 1.0], [0.0, 20.0, 3.0]], 2.0), 35.0, 6.0);
    let front = Shape::turned(head, [7.0 + by(0.5), 9.0 + by(0.5), 6.5], 10.0).warped(seed + 2, 1.5, 5.0);
    let back = Shape::tube(&[head, middle, tail], 4.3 + by(0.3)).warped(seed + 3, 1.0, 5.0);
    scene.paint_object(back, 97.0, 10.0, 2);
    scene.paint_object(front, 99.0, 10.0, 1);
    scene
}
