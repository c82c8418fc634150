//! CellSeg: `Training-labeled.zip` and `Tuning.zip` of `images/cell_NNNNN.<ext>` in whatever container the laboratory
//! used, and `labels/cell_NNNNN_label.tiff`, int16, a number for each cell. The 16-bit fluorescence picture does not
//! begin at 0.

use std::io;
use std::path::Path;

use super::{content_folder, in_folder, to_u8, to_u16};
use crate::demo::phantom::{Noise, Random, Shape};
use crate::demo::write;
use crate::image::{Image, Samples};

const SIZE: [usize; 2] = [420, 340];

/// What a microscope shows of a cell, from its depth (pixels inside) and a texture.
#[derive(Clone, Copy)]
enum Microscope {
    /// Stained, in colour.
    Brightfield,
    /// A dark body in a bright halo.
    PhaseContrast,
    /// Relief as if lit from one side.
    InterferenceContrast,
    /// Bright on black.
    Fluorescence,
}

pub(super) fn write(folder: &Path) -> io::Result<()> {
    use Microscope::*;
    let training = [
        ("bmp", Brightfield, 13, false),
        ("png", PhaseContrast, 10, false),
        ("tif", Fluorescence, 16, true),
        ("jpg", InterferenceContrast, 9, false),
    ];
    let tuning = [("tif", Fluorescence, 12, false), ("png", Brightfield, 8, false)];
    for (set, seed, pictures) in [("Training-labeled", 700, &training[..]), ("Tuning", 800, &tuning[..])] {
        let content = content_folder(folder, set)?;
        for (i, &(extension, microscope, count, deep)) in pictures.iter().enumerate() {
            let dish = Dish::new(seed + i as u64, count);
            let name = format!("cell_{:05}", i + 1);
            let image = dish.seen_by(microscope, deep);
            write::image(&in_folder(&content, &format!("{set}/images/{name}.{extension}"))?, &image)?;
            let labels = Image::picture(SIZE[0], SIZE[1], 1, Samples::I16(dish.cell.clone()));
            let path = in_folder(&content, &format!("{set}/labels/{name}_label.tiff"))?;
            write::compressed_image(&path, &labels)?;
        }
        write::zip(&folder.join(format!("{set}.zip")), &content)?;
    }
    Ok(())
}

/// Cells in a dish.
struct Dish {
    seed: u64,
    /// Number of the cell that a pixel is in, 0 for none.
    cell: Vec<i16>,
    /// Pixels to the surface of the nearest cell, negative inside.
    distance: Vec<f64>,
    /// Pixels to the surface of the nearest nucleus.
    nucleus: Vec<f64>,
}

impl Dish {
    /// Scatters up to `count` cells that may touch and do not overlap.
    fn new(seed: u64, count: usize) -> Self {
        let mut random = Random::new(seed);
        let mut cells: Vec<([f64; 2], f64, Shape, Shape)> = Vec::new();
        for attempt in 0..60 * count as u64 {
            if cells.len() == count {
                break;
            }
            let radius = random.between(20.0, 34.0);
            let centre = [random.between(0.0, SIZE[0] as f64), random.between(0.0, SIZE[1] as f64)];
            let free = |(other, r, ..): &([f64; 2], f64, Shape, Shape)| {
                let gap = (other[0] - centre[0]).powi(2) + (other[1] - centre[1]).powi(2);
                gap.sqrt() > 0.97 * (r + radius)
            };
            let turn = random.between(0.0, 180.0);
            let aspect = random.between(0.72, 1.0);
            if cells.iter().all(free) {
                let at = [centre[0], centre[1], 0.0];
                let body = Shape::turned(at, [radius, radius * aspect, radius], turn).warped(
                    seed + attempt,
                    radius * 0.13,
                    radius,
                );
                let shift = random.between(-0.2, 0.2) * radius;
                let inside = [at[0] + shift, at[1] - shift, 0.0];
                let nucleus = Shape::turned(inside, [radius * 0.45, radius * 0.38, radius], turn + 30.0);
                cells.push((centre, radius, body, nucleus.warped(seed + attempt + 1, 2.0, 9.0)));
            }
        }
        let pixels = SIZE[0] * SIZE[1];
        let (mut cell, mut distance) = (vec![0; pixels], vec![f64::INFINITY; pixels]);
        let mut nucleus = vec![f64::INFINITY; pixels];
        for i in 0..pixels {
            let p = [(i % SIZE[0]) as f64, (i / SIZE[0]) as f64, 0.0];
            for (number, (_, _, body, core)) in cells.iter().enumerate() {
                let d = body.distance(p);
                if d < distance[i] {
                    (distance[i], nucleus[i]) = (d, core.distance(p));
                    cell[i] = if d < 0.0 { number as i16 + 1 } else { 0 };
                }
            }
        }
        Dish { seed, cell, distance, nucleus }
    }

    fn seen_by(&self, microscope: Microscope, deep: bool) -> Image {
        let [width, height] = SIZE;
        let texture = Noise::new(self.seed);
        let point = |i: usize, scale: f64| [(i % width) as f64 / scale, (i / width) as f64 / scale, 0.5];
        let soft = |d: f64, width: f64| (0.5 - d / width).clamp(0.0, 1.0);
        let noisy = |i: usize, value: f64, deviation: f64| value + deviation * texture.grain(i as u64);
        let grey = |f: &dyn Fn(usize) -> f64| (0..width * height).map(f).collect::<Vec<f64>>();
        let (d, n) = (&self.distance, &self.nucleus);
        match microscope {
            Microscope::Brightfield => {
                let colour = |i: usize| {
                    let body = 0.75 * soft(d[i], 3.0) + 0.25 * soft(d[i] + 4.0, 6.0);
                    let core = soft(n[i], 4.0) * soft(d[i], 2.0);
                    let grain = texture.fractal(point(i, 9.0), 3);
                    let mix = |ground: f64, plasma: f64, nucleus: f64| {
                        let value = ground + body * (plasma + 14.0 * grain - ground);
                        value + core * (nucleus + 22.0 * grain - value)
                    };
                    [mix(236.0, 205.0, 98.0), mix(226.0, 158.0, 62.0), mix(232.0, 192.0, 138.0)]
                };
                let values: Vec<f64> = (0..3 * width * height).map(|i| noisy(i, colour(i / 3)[i % 3], 4.0)).collect();
                Image::picture(width, height, 3, to_u8(&values))
            }
            Microscope::PhaseContrast => {
                let value = |i: usize| {
                    let halo = 62.0 * libm::exp(-(d[i] - 3.0).powi(2) / 14.0);
                    let body = soft(d[i] + 1.0, 5.0) * (-38.0 + 26.0 * texture.fractal(point(i, 6.0), 3));
                    let core = soft(n[i], 3.0) * soft(d[i], 2.0) * -16.0;
                    noisy(i, 128.0 + 9.0 * texture.smooth(point(i, 90.0)) + halo + body + core, 5.0)
                };
                Image::picture(width, height, 1, to_u8(&grey(&value)))
            }
            Microscope::InterferenceContrast => {
                // The height of a cell is a dome; what is seen is its slope towards one corner.
                let dome = |i: usize| (-d[i]).clamp(0.0, 14.0) + 2.0 * soft(n[i], 6.0) * soft(d[i], 2.0);
                let value = |i: usize| {
                    let (x, y) = (i % width, i / width);
                    let before = if x > 1 && y > 1 { dome(i - 2 - 2 * width) } else { dome(i) };
                    let grain = soft(d[i], 4.0) * 9.0 * texture.fractal(point(i, 4.0), 2);
                    noisy(i, 124.0 + 13.0 * (dome(i) - before) + grain, 4.0)
                };
                Image::picture(width, height, 1, to_u8(&grey(&value)))
            }
            Microscope::Fluorescence => {
                let value = |i: usize| {
                    let glow = libm::exp(-d[i].max(0.0) / 9.0) * 14.0;
                    let brightness = 95.0 + 60.0 * texture.smooth([f64::from(self.cell[i]) * 1.7, 0.5, 0.5]);
                    let body = soft(d[i], 4.0) * (brightness + 30.0 * texture.fractal(point(i, 7.0), 3));
                    noisy(i, 8.0 + glow + body + 45.0 * soft(n[i], 5.0) * soft(d[i], 2.0), 4.0)
                };
                let values = grey(&value);
                match deep {
                    true => {
                        let counts: Vec<f64> = values.iter().map(|v| 27_199.0 + v.max(0.0) * 150.0).collect();
                        Image::picture(width, height, 1, to_u16(&counts))
                    }
                    false => Image::picture(width, height, 1, to_u8(&values)),
                }
            }
        }
    }
}
