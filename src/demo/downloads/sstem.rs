//! ssTEM: `train-volume.tif` and `train-labels.tif`, 8-bit pages; 255 is the inside of cells and 0 the membrane.

use std::io;
use std::path::Path;

use rayon::prelude::*;

use super::{to_u8, volume};
use crate::demo::phantom::{Noise, Random};
use crate::demo::write;
use crate::image::Samples;

const SIZE: [usize; 3] = [512, 512, 4];
/// Pixels between the seeds of cells.
const CELL: f64 = 74.0;
/// Pixels that a section is thick (50 nm, where a pixel is 4 nm wide).
const SECTION: f64 = 12.5;

pub(super) fn write(folder: &Path) -> io::Result<()> {
    for (name, seed) in [("train", 1), ("test", 2)] {
        let (values, labels) = tissue(seed);
        write::image(&folder.join(format!("{name}-volume.tif")), &volume(SIZE, to_u8(&values)))?;
        if name == "train" {
            write::image(&folder.join("train-labels.tif"), &volume(SIZE, Samples::U8(labels)))?;
        }
    }
    Ok(())
}

/// Cells around scattered seeds, each pixel in the cell of the nearest one (a Voronoi diagram), with curved walls, some
/// with a mitochondrion and a few dark inside.
fn tissue(seed: u64) -> (Vec<f64>, Vec<u8>) {
    let (bend, texture, grain) = (Noise::new(seed), Noise::new(seed + 10), Noise::new(seed + 20));
    let pixel = |i: usize| {
        let [x, y, z] = [i % SIZE[0], i / SIZE[0] % SIZE[1], i / SIZE[0] / SIZE[1]];
        let p = [x as f64, y as f64, z as f64 * SECTION];
        let q = p.map(|v| v / 45.0);
        let shift = |offset: f64| 20.0 * bend.fractal([q[0] + offset, q[1], q[2]], 3);
        let warped = [p[0] + shift(0.0), p[1] + shift(31.0), p[2] + shift(67.0)];
        let Cell { from_wall, from_seed, random } = nearest_cell(warped, seed);
        let mut random = random;
        let cytoplasm = random.between(150.0, 190.0);
        let mut value = cytoplasm + 22.0 * texture.fractal(p.map(|v| v / 7.0), 3);
        let organelle = random.between(9.0, 15.0);
        if random.between(0.0, 1.0) < 0.4 && from_seed < organelle + 3.0 {
            let cristae = 24.0 * texture.smooth([p[0] / 4.0, p[1] / 9.0, p[2] / 9.0]);
            let cover = ((organelle - from_seed) / 3.0 + 0.5).clamp(0.0, 1.0);
            value += cover * (100.0 + cristae - value);
        }
        let wall = ((5.0 - from_wall) / 4.0 + 0.5).clamp(0.0, 1.0);
        value += wall * (62.0 - value);
        (value + 11.0 * grain.grain(i as u64), if from_wall < 5.0 { 0 } else { 255 })
    };
    (0..SIZE.iter().product()).into_par_iter().map(pixel).unzip()
}

struct Cell {
    /// Pixels to the wall with the next cell.
    from_wall: f64,
    /// Pixels to the seed.
    from_seed: f64,
    /// Numbers of the cell's own.
    random: Random,
}

fn nearest_cell(p: [f64; 3], seed: u64) -> Cell {
    let home = p.map(|v| (v / CELL).floor() as i64);
    let (mut first, mut second) = ((f64::INFINITY, Random::new(0), [0.0; 3]), (f64::INFINITY, [0.0; 3]));
    for i in 0..27 {
        let at = [home[0] + i % 3 - 1, home[1] + i / 3 % 3 - 1, home[2] + i / 9 - 1];
        let key = at.iter().fold(seed, |key, &v| key.wrapping_mul(0x1_0000_01b3).wrapping_add(v as u64 ^ 0x5bd1));
        let mut random = Random::new(key);
        let point = at.map(|v| (v as f64 + random.between(0.1, 0.9)) * CELL);
        let distance = (0..3).map(|axis| (p[axis] - point[axis]).powi(2)).sum::<f64>();
        if distance < first.0 {
            second = (first.0, first.2);
            first = (distance, random, point);
        } else if distance < second.0 {
            second = (distance, point);
        }
    }
    let apart = (0..3).map(|axis| (first.2[axis] - second.1[axis]).powi(2)).sum::<f64>().sqrt();
    // The wall is the plane halfway between the two seeds.
    let from_wall = (second.0 - first.0) / (2.0 * apart.max(1e-9));
    Cell { from_wall, from_seed: first.0.sqrt(), random: first.1 }
}
