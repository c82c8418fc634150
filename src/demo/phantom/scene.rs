//! Tissues painted one over the other on a grid of voxels, with labels, then seen through a device.

use rayon::prelude::*;

use super::noise::Noise;
use super::shape::Shape;
use crate::image::Geometry;

/// Something with a shape and a look.
#[derive(Clone, Debug)]
pub struct Tissue {
    /// Where it is.
    pub shape: Shape,
    /// Its value.
    pub value: f64,
    /// How far the value wanders, at most.
    pub texture: f64,
    /// Label of what it covers: 0 takes a label away, `None` leaves what is there.
    pub label: Option<u8>,
}

/// Tissues from the bottom up.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Value where there is nothing.
    pub background: f64,
    /// Width of the seam between neighbours in millimetres (partial volume).
    pub seam: f64,
    /// Size of the textures' features in millimetres.
    pub grain: f64,
    /// Each covers those before it.
    pub tissues: Vec<Tissue>,
}

/// Where voxels lie: LPS+ millimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Voxels along x, y, z.
    pub size: [usize; 3],
    /// Millimetres from voxel to voxel along each axis; negative where the index runs to the right, the front or the
    /// feet.
    pub step: [f64; 3],
    /// Position of the first voxel.
    pub first: [f64; 3],
}

/// What a device adds.
#[derive(Clone, Copy, Debug)]
pub struct Acquisition {
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Share by which the sensitivity wanders over some 15 cm (the bias field of MRI).
    pub bias: f64,
    /// Chooses both.
    pub seed: u64,
}

/// A scene on a grid, x fastest.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// Values.
    pub values: Vec<f64>,
    /// Labels.
    pub labels: Vec<u8>,
}

impl Scene {
    /// An empty scene.
    pub fn new(background: f64, seam: f64, grain: f64) -> Self {
        Scene { background, seam, grain, tissues: Vec::new() }
    }

    /// Paints a tissue that takes away the labels below it.
    pub fn paint(&mut self, shape: Shape, value: f64, texture: f64) {
        self.tissues.push(Tissue { shape, value, texture, label: Some(0) });
    }

    /// Paints an object.
    pub fn paint_object(&mut self, shape: Shape, value: f64, texture: f64, label: u8) {
        self.tissues.push(Tissue { shape, value, texture, label: Some(label) });
    }

    /// Paints a detail, which belongs to the object that it lies in.
    pub fn paint_detail(&mut self, shape: Shape, value: f64, texture: f64) {
        self.tissues.push(Tissue { shape, value, texture, label: None });
    }

    /// Values and labels of the scene on a grid.
    pub fn render(&self, grid: &Grid, device: Acquisition) -> Rendered {
        let [nx, ny, nz] = grid.size;
        let (texture, bias, noise) =
            (Noise::new(device.seed), Noise::new(device.seed ^ 0xb1a5), Noise::new(device.seed ^ 0x9a15e));
        let row = |row: usize| {
            let (y, z) = (row % ny, row / ny);
            let voxel = |x: usize| {
                let p = grid.position([x, y, z]);
                let (value, label) = self.look(p, texture);
                let sensitivity = 1.0 + device.bias * bias.smooth(p.map(|v| v / 150.0));
                let index = (row * nx + x) as u64;
                (value * sensitivity + device.noise * noise.grain(index), label)
            };
            (0..nx).map(voxel).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<(f64, u8)>> = (0..ny * nz).into_par_iter().map(row).collect();
        let (values, labels) = rows.into_iter().flatten().unzip();
        Rendered { values, labels }
    }

    /// Value and label of a point, before the device.
    fn look(&self, p: [f64; 3], texture: Noise) -> (f64, u8) {
        let (mut value, mut label) = (self.background, 0);
        let mut grain = None;
        for tissue in &self.tissues {
            let distance = tissue.shape.distance(p);
            if distance > self.seam / 2.0 {
                continue;
            }
            let cover = (0.5 - distance / self.seam).clamp(0.0, 1.0);
            let grain = *grain.get_or_insert_with(|| texture.fractal(p.map(|v| v / self.grain), 3));
            value += cover * (tissue.value + tissue.texture * grain - value);
            if distance < 0.0 {
                label = tissue.label.unwrap_or(label);
            }
        }
        (value, label)
    }
}

impl Grid {
    /// A grid around the origin of the world.
    pub fn centred(size: [usize; 3], step: [f64; 3]) -> Self {
        let first = std::array::from_fn(|i| -step[i] * (size[i] as f64 - 1.0) / 2.0);
        Grid { size, step, first }
    }

    /// LPS+ position of a voxel.
    pub fn position(&self, index: [usize; 3]) -> [f64; 3] {
        std::array::from_fn(|i| self.first[i] + self.step[i] * index[i] as f64)
    }

    /// The frame that a header would hold.
    pub fn geometry(&self) -> Geometry {
        let direction = |axis: usize| {
            let mut unit = [0.0; 3];
            unit[axis] = self.step[axis].signum();
            unit
        };
        Geometry::from_lps(self.first, [direction(0), direction(1), direction(2)], self.step.map(f64::abs))
    }

    /// 1 in a shape and 0 elsewhere.
    pub fn mask(&self, shape: &Shape) -> Vec<u8> {
        let [nx, ny, nz] = self.size;
        let inside = |i: usize| u8::from(shape.distance(self.position([i % nx, i / nx % ny, i / nx / ny])) < 0.0);
        (0..nx * ny * nz).into_par_iter().map(inside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_tissues_cover_earlier_ones_and_details_keep_labels() {
        let mut scene = Scene::new(0.0, 0.1, 1.0);
        let ball = |x: f64, r: f64| Shape::ellipsoid([x, 0.0, 0.0], [r; 3]);
        scene.paint_object(ball(0.0, 5.0), 100.0, 0.0, 1);
        scene.paint_detail(ball(-3.0, 1.2), 150.0, 0.0);
        scene.paint(ball(3.0, 1.2), 50.0, 0.0);
        let grid = Grid::centred([13, 1, 1], [1.0; 3]);
        let still = Acquisition { noise: 0.0, bias: 0.0, seed: 1 };
        let rendered = scene.render(&grid, still);
        assert_eq!(rendered.labels, [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0].map(|v: u8| v));
        assert_eq!((rendered.values[3], rendered.values[6], rendered.values[9]), (150.0, 100.0, 50.0));
        let noisy = scene.render(&grid, Acquisition { noise: 3.0, ..still });
        assert_eq!(noisy.labels, rendered.labels);
        assert_ne!(noisy.values, rendered.values);
    }

    #[test]
    fn the_frame_tells_where_voxels_are() {
        let grid = Grid::centred([4, 3, 2], [-2.0, 1.0, 5.0]);
        let geometry = grid.geometry();
        assert_eq!(geometry.orientation(), "RPS");
        for index in [[0, 0, 0], [3, 2, 1]] {
            let [x, y, z] = grid.position(index);
            assert_eq!(geometry.to_world(index.map(|i| i as f64)), [-x, -y, z]);
        }
    }
}
