//! Retinas. DRIVE: `training.zip` and `test.zip` of LZW TIFF and palette GIF, the second observer's in two nearly black
//! and nearly white colours. CHASE_DB1: `CHASEDB1.zip`, flat, of JPEG and PNG of one bit by two observers.

use std::io;
use std::path::Path;

use super::{content_folder, in_folder};
use crate::demo::phantom::vessels::{Segment, depth_map, tree};
use crate::demo::phantom::{Noise, Random};
use crate::demo::write;
use crate::image::{Image, Samples};

/// An eye, seen through a fundus camera.
struct Eye {
    seed: u64,
    /// The optic disc, in units of the field's radius.
    disc: [f64; 2],
    vessels: Vec<Segment>,
    size: [usize; 2],
    /// Radius of the field in pixels.
    radius: f64,
}

impl Eye {
    fn new(seed: u64, left: bool, size: [usize; 2], radius: f64) -> Self {
        let mut random = Random::new(600 + seed);
        // In a picture of a left eye the disc is on the left.
        let side = if left { -1.0 } else { 1.0 };
        let disc = [side * random.between(0.42, 0.5), random.between(-0.06, 0.06)];
        Eye { seed, disc, vessels: tree(disc, &mut random), size, radius }
    }

    fn centre(&self) -> [f64; 2] {
        self.size.map(|n| n as f64 / 2.0 - 0.5)
    }

    /// Pixels that an observer calls vessel: those in vessels of at least a radius.
    fn drawn(&self, least_radius: f64) -> Vec<u8> {
        let map = depth_map(&self.vessels, self.size, self.centre(), self.radius, |s| s.radius >= least_radius);
        let field = self.radius - 2.0;
        let centre = self.centre();
        let in_field = |i: usize| {
            let [dx, dy] = [(i % self.size[0]) as f64 - centre[0], (i / self.size[0]) as f64 - centre[1]];
            dx * dx + dy * dy < field * field
        };
        // A vessel thinner than a pixel is drawn one pixel wide.
        map.iter().enumerate().map(|(i, depth)| u8::from(*depth > -0.3 && in_field(i))).collect()
    }

    /// The photograph.
    fn picture(&self) -> Image {
        let depth = |vein: bool| depth_map(&self.vessels, self.size, self.centre(), self.radius, |s| s.vein == vein);
        let (arteries, veins) = (depth(false), depth(true));
        let [width, height] = self.size;
        let centre = self.centre();
        let (choroid, grain) = (Noise::new(self.seed), Noise::new(self.seed ^ 0x6a1));
        let mut rgb = Vec::with_capacity(width * height * 3);
        for i in 0..width * height {
            let [x, y] = [(i % width) as f64, (i / width) as f64];
            let [u, v] = [(x - centre[0]) / self.radius, (y - centre[1]) / self.radius];
            let from_centre = (u * u + v * v).sqrt();
            let colour = self.colour([u, v], choroid, [arteries[i], veins[i]]);
            // The field ends in a soft edge; the surround is nearly black.
            let field = ((1.0 - from_centre) * self.radius / 2.0).clamp(0.0, 1.0);
            let light = field * (1.0 - 0.38 * from_centre * from_centre);
            for (channel, value) in colour.into_iter().enumerate() {
                let noise = 3.0 * grain.grain((3 * i + channel) as u64) * (0.3 + field);
                rgb.push((2.0 + value * light + noise).round().clamp(0.0, 255.0) as u8);
            }
        }
        Image::picture(width, height, 3, Samples::U8(rgb))
    }

    /// Colour at a point of the field, under full light.
    fn colour(&self, [u, v]: [f64; 2], choroid: Noise, [artery, vein]: [f64; 2]) -> [f64; 3] {
        let texture = choroid.fractal([6.0 * u, 6.0 * v, 0.5], 4);
        let mut colour = [196.0 + 12.0 * texture, 98.0 + 16.0 * texture, 46.0 + 8.0 * texture];
        let blend = |colour: &mut [f64; 3], other: [f64; 3], share: f64| {
            for (value, target) in colour.iter_mut().zip(other) {
                *value += share * (target - *value);
            }
        };
        let side = self.disc[0].signum();
        let fovea = (u + 0.12 * side).powi(2) + (v - self.disc[1] - 0.03).powi(2);
        blend(&mut colour, [128.0, 52.0, 26.0], 0.75 * libm::exp(-fovea / 0.012));
        let [du, dv] = [u - self.disc[0], v - self.disc[1]];
        let from_disc = (du * du + (0.9 * dv) * (0.9 * dv)).sqrt();
        let disc = ((0.125 - from_disc) / 0.03 + 0.5).clamp(0.0, 1.0);
        blend(&mut colour, [250.0, 196.0, 120.0], disc);
        let cup = ((0.05 - (from_disc - 0.01)) / 0.03 + 0.5).clamp(0.0, 1.0);
        blend(&mut colour, [255.0, 232.0, 176.0], 0.8 * cup);
        // Thin vessels are pale, because they are thinner than the light's blur.
        let strength = |depth: f64| ((depth + 0.9) / 2.4).clamp(0.0, 1.0);
        blend(&mut colour, [158.0, 52.0, 30.0], 0.72 * strength(artery));
        blend(&mut colour, [122.0, 34.0, 22.0], 0.85 * strength(vein));
        colour
    }
}

/// Least radii of vessels that the first and the second observer draw.
const OBSERVERS: [f64; 2] = [0.0028, 0.0042];

pub(super) fn write_drive(folder: &Path) -> io::Result<()> {
    const SIZE: [usize; 2] = [565, 584];
    for (half, ids) in [("training", &[21, 22][..]), ("test", &[1][..])] {
        let content = content_folder(folder, half)?;
        for &id in ids {
            let eye = Eye::new(id, id % 2 == 0, SIZE, 270.0);
            write::compressed_image(
                &in_folder(&content, &format!("{half}/images/{id:02}_{half}.tif"))?,
                &eye.picture(),
            )?;
            let gif = |folder: &str, name: &str, indices: Vec<u8>, palette: Vec<[u8; 4]>| {
                let image = Image::picture(SIZE[0], SIZE[1], 1, Samples::U8(indices));
                let path = in_folder(&content, &format!("{half}/{folder}/{id:02}_{name}.gif"))?;
                write::image(&path, &Image { palette: Some(palette), ..image })
            };
            let greys = || (0..=255).map(|v| [v, v, v, 255]).collect::<Vec<[u8; 4]>>();
            let first = eye.drawn(OBSERVERS[0]).iter().map(|v| 255 * v).collect();
            gif("1st_manual", "manual1", first, greys())?;
            gif("mask", &format!("{half}_mask"), field_of_view(&eye), greys())?;
            if half == "test" {
                let colours = vec![[4, 2, 4, 255], [252, 254, 252, 255]];
                gif("2nd_manual", "manual2", eye.drawn(OBSERVERS[1]), colours)?;
            }
        }
        write::zip(&folder.join(format!("{half}.zip")), &content)?;
    }
    Ok(())
}

fn field_of_view(eye: &Eye) -> Vec<u8> {
    let ([width, height], [cx, cy]) = (eye.size, eye.centre());
    let inside = |i: usize| ((i % width) as f64 - cx).powi(2) + ((i / width) as f64 - cy).powi(2) < eye.radius.powi(2);
    (0..width * height).map(|i| if inside(i) { 255 } else { 0 }).collect()
}

pub(super) fn write_chase(folder: &Path) -> io::Result<()> {
    const SIZE: [usize; 2] = [999, 960];
    let content = content_folder(folder, "CHASEDB1")?;
    for (child, side) in [(1, 'L'), (1, 'R'), (2, 'L')] {
        let eye = Eye::new(40 + 2 * child + u64::from(side == 'R'), side == 'L', SIZE, 462.0);
        let stem = format!("Image_{child:02}{side}");
        write::image(&in_folder(&content, &format!("{stem}.jpg"))?, &eye.picture())?;
        for (name, least_radius) in [("1stHO", OBSERVERS[0]), ("2ndHO", OBSERVERS[1])] {
            let mask = Image::picture(SIZE[0], SIZE[1], 1, Samples::U8(eye.drawn(least_radius)));
            write::image(&in_folder(&content, &format!("{stem}_{name}.png"))?, &Image { bits: 1, ..mask })?;
        }
    }
    write::zip(&folder.join("CHASEDB1.zip"), &content)
}
