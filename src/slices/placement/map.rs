//! Voxel indices of one grid as those of another, and the storage orders in which two grids are the same.

use super::{Grid, HALF_VOXEL};
use crate::image::{Geometry, Image};

/// Voxel indices of an image to those of a mask, both as their affines count.
pub(super) struct Map {
    rows: [[f64; 4]; 3],
    /// Millimetres of a step along each axis of the mask.
    to_mm: [[f64; 4]; 3],
}

impl Map {
    /// `None` where the axes of the mask do not span a volume.
    pub(super) fn between(from: &Geometry, to: &Geometry) -> Option<Map> {
        let inverse = to.inverse()?;
        let rows = inverse.map(|i| {
            let column = |c: usize| (0..3).map(|r| i[r] * from.affine[r][c]).sum::<f64>();
            [column(0), column(1), column(2), column(3) + i[3]]
        });
        rows.iter().flatten().all(|v| v.is_finite()).then_some(Map { rows, to_mm: to.affine })
    }

    pub(super) fn apply(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        self.rows.map(|r| r[0] * x + r[1] * y + r[2] * z + r[3])
    }

    /// Length in millimetres of a way in steps of the mask's axes.
    pub(super) fn mm(&self, way: [f64; 3]) -> f64 {
        let along = |r: &[f64; 4]| r[0] * way[0] + r[1] * way[1] + r[2] * way[2];
        self.to_mm.iter().map(|r| along(r).powi(2)).sum::<f64>().sqrt()
    }

    /// The farthest that a corner of the image lies from the mask voxel of its own index, in millimetres; `None` where
    /// one moves by half a voxel or more. Sizes must agree.
    pub(super) fn moves_less_than_half(&self, image: &Grid, mask: &Grid) -> Option<f64> {
        self.farthest(image, mask, &Order::IDENTITY)
    }

    /// The order in which the mask stores the image's own grid, and how far corners lie apart. `None` where it is
    /// another grid.
    pub(super) fn order(&self, image: &Grid, mask: &Grid) -> Option<(Order, f64)> {
        let fits = |order: &Order| (0..3).all(|axis| mask.size[order.axes[axis]] == image.size[axis]);
        let orders = Order::all().filter(|order| mask.size[3] == image.size[3] && fits(order));
        let apart = orders.filter_map(|order| Some((order, self.farthest(image, mask, &order.sized(mask))?)));
        let (order, error) = apart.min_by(|a, b| a.1.total_cmp(&b.1))?;
        Some((order.sized(mask), error))
    }

    fn farthest(&self, image: &Grid, mask: &Grid, order: &Order) -> Option<f64> {
        let mut farthest = 0.0f64;
        for (index, at) in image.corners() {
            let way = self.way(at, mask, order.index(index));
            // NaN is not below anything.
            if !way.iter().all(|step| step.abs() < HALF_VOXEL) {
                return None;
            }
            farthest = farthest.max(self.mm(way));
        }
        Some(farthest)
    }

    /// From a voxel of the mask to the place of an image voxel, in steps of the mask.
    fn way(&self, at: [f64; 3], mask: &Grid, [x, y, z]: [usize; 3]) -> [f64; 3] {
        let [u, v, w] = self.apply(at);
        [u - x as f64, v - y as f64, w - mask.height(z)]
    }

    /// Whether the grids differ in their origin alone.
    pub(super) fn only_shifts(&self, image: &Grid, mask: &Grid) -> bool {
        let mut ways = image.corners().map(|(index, at)| self.way(at, mask, index));
        let Some(first) = ways.next() else { return false };
        ways.all(|way| way.iter().zip(first).all(|(step, first)| (step - first).abs() < HALF_VOXEL))
    }

    /// The farthest that a voxel of the image lies from the mask voxel of its own index, in millimetres.
    pub(super) fn farthest_mm(&self, image: &Grid, mask: &Grid) -> f64 {
        image.corners().map(|(index, at)| self.mm(self.way(at, mask, index))).fold(0.0, f64::max)
    }
}

/// An order in which a mask stores the grid of its image: for each image axis the mask axis that runs along it, and
/// whether it runs the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    axes: [usize; 3],
    turned: [bool; 3],
    /// Last index along each image axis.
    last: [usize; 3],
}

impl Order {
    const IDENTITY: Order = Order { axes: [0, 1, 2], turned: [false; 3], last: [0; 3] };

    /// All 48.
    fn all() -> impl Iterator<Item = Order> {
        let permutations = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let turned = |n: usize| std::array::from_fn(|axis| n >> axis & 1 == 1);
        permutations
            .into_iter()
            .flat_map(move |axes| (0..8).map(move |n| Order { axes, turned: turned(n), last: [0; 3] }))
    }

    fn sized(self, mask: &Grid) -> Order {
        Order { last: self.axes.map(|axis| mask.size[axis].saturating_sub(1)), ..self }
    }

    /// Index in the mask of an image voxel.
    fn index(&self, image: [usize; 3]) -> [usize; 3] {
        let mut index = [0; 3];
        for axis in 0..3 {
            index[self.axes[axis]] = if self.turned[axis] { self.last[axis] - image[axis] } else { image[axis] };
        }
        index
    }

    /// Length along an image axis of a mask of this size.
    pub(super) fn size_of(&self, mask: [usize; 4], axis: usize) -> usize {
        mask[self.axes[axis]]
    }

    /// The values of a mask in the order of the image, frame by frame.
    pub(super) fn gathered<T: Copy>(&self, values: &[T], mask: &Image) -> Vec<T> {
        let components = mask.components;
        let [mx, my, _, frames] = mask.size;
        let steps = [components, components * mx, components * mx * my];
        let size: [usize; 3] = std::array::from_fn(|axis| self.size_of(mask.size, axis));
        let start: usize = (0..3).filter(|&a| self.turned[a]).map(|a| steps[self.axes[a]] * (size[a].max(1) - 1)).sum();
        let step: [isize; 3] = std::array::from_fn(|axis| {
            let step = steps[self.axes[axis]] as isize;
            if self.turned[axis] { -step } else { step }
        });
        let volume = components * size.iter().product::<usize>();
        let mut out = Vec::with_capacity(values.len());
        for frame in 0..frames {
            let first = (frame * volume + start) as isize;
            for z in 0..size[2] as isize {
                for y in 0..size[1] as isize {
                    let row = first + z * step[2] + y * step[1];
                    if components == 1 {
                        out.extend((0..size[0] as isize).map(|x| values[(row + x * step[0]) as usize]));
                        continue;
                    }
                    for x in 0..size[0] as isize {
                        let at = (row + x * step[0]) as usize;
                        out.extend_from_slice(&values[at..at + components]);
                    }
                }
            }
        }
        out
    }
}
