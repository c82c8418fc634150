//! Distances between the surfaces of two masks, exact and Euclidean.
//!
//! The surface of a mask is the mask minus its erosion by the cross of the 4-neighbourhood, what lies beyond the image
//! border counting as outside (docs/protocol.md, 4; MedPy with its default `connectivity = 1`). Distances go from pixel
//! centre to pixel centre. All metrics come out of two lists: for each surface pixel of one mask, the distance to the
//! nearest surface pixel of the other.

use crate::mask::Mask;

/// Size of a pixel: the distance between neighbouring rows and between neighbouring columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spacing {
    row: f64,
    col: f64,
}

impl Spacing {
    /// Distances in pixels.
    pub const PIXEL: Spacing = Spacing { row: 1.0, col: 1.0 };

    /// Millimetres between neighbouring rows and between neighbouring columns; `None` unless both are positive and
    /// finite.
    pub fn new(row_mm: f64, col_mm: f64) -> Option<Self> {
        let valid = |mm: f64| mm.is_finite() && mm > 0.0;
        (valid(row_mm) && valid(col_mm)).then_some(Spacing { row: row_mm, col: col_mm })
    }

    /// Millimetres between neighbouring rows.
    pub fn row_mm(&self) -> f64 {
        self.row
    }

    /// Millimetres between neighbouring columns.
    pub fn col_mm(&self) -> f64 {
        self.col
    }

    /// Squared distance over a number of columns and rows.
    fn squared(&self, dx: u32, dy: u32) -> f64 {
        let (x, y) = (dx as f64 * self.col, dy as f64 * self.row);
        x * x + y * y
    }
}

/// The surfaces of two masks that both have one.
#[derive(Clone, Debug)]
pub struct Surfaces {
    prediction: Surface,
    truth: Surface,
}

/// A surface, with what finds its pixel nearest to a point. Columns and rows count from the corner of the box around
/// both surfaces.
#[derive(Clone, Debug)]
struct Surface {
    /// Column and row of each pixel, in column-major order.
    points: Vec<[u32; 2]>,
    /// The vertical gaps, where a table is worth its cost.
    gaps: Option<GapTable>,
}

impl Surfaces {
    /// The surfaces of both masks; `None` where either is empty.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn of(prediction: &Mask, truth: &Mask) -> Option<Self> {
        let size = |mask: &Mask| (mask.height(), mask.width());
        assert_eq!(size(prediction), size(truth), "masks of one slice have one size");
        let [ax0, ay0, ax1, ay1] = prediction.bounding_box()?;
        let [bx0, by0, bx1, by1] = truth.bounding_box()?;
        let corner = [ax0.min(bx0), ay0.min(by0)];
        let (width, height) = (ax1.max(bx1) - corner[0] + 1, ay1.max(by1) - corner[1] + 1);
        let (prediction, truth) = (surface_points(prediction, corner), surface_points(truth, corner));

        // Few points, however far apart, are found faster by comparing every pair. Either way gives the same bits.
        let pairs = prediction.len() as u64 * truth.len() as u64;
        let worth_a_table = pairs >= width as u64 * height as u64 / 4 && height < NO_SURFACE as u32;
        let surface = |points: Vec<[u32; 2]>| {
            let gaps = worth_a_table.then(|| GapTable::of(&points, height as usize));
            Surface { points, gaps }
        };
        Some(Surfaces { prediction: surface(prediction), truth: surface(truth) })
    }

    /// The distances in both directions.
    pub fn distances(&self, spacing: Spacing) -> SurfaceDistances {
        let Surfaces { prediction, truth } = self;
        SurfaceDistances {
            from_prediction: truth.distances_from(&prediction.points, spacing),
            from_truth: prediction.distances_from(&truth.points, spacing),
        }
    }
}

/// Column and row of each surface pixel, from a corner of the slice on.
fn surface_points(mask: &Mask, corner: [u32; 2]) -> Vec<[u32; 2]> {
    let surface = mask.surface();
    let mut points = Vec::with_capacity(surface.area() as usize);
    for (x, y0, y1) in surface.column_runs() {
        points.extend((y0..y1).map(|y| [x - corner[0], y - corner[1]]));
    }
    points
}

impl Surface {
    /// Distance of each point to the nearest of the surface.
    fn distances_from(&self, points: &[[u32; 2]], spacing: Spacing) -> Vec<f64> {
        let square = |point: &[u32; 2]| match &self.gaps {
            Some(gaps) => gaps.nearest(*point, spacing),
            None => nearest_of_all(&self.points, *point, spacing),
        };
        points.iter().map(|point| square(point).sqrt()).collect()
    }
}

/// Squared distance to the nearest of some points, by comparing all.
fn nearest_of_all(points: &[[u32; 2]], [x, y]: [u32; 2], spacing: Spacing) -> f64 {
    let squares = points.iter().map(|&[u, v]| spacing.squared(x.abs_diff(u), y.abs_diff(v)));
    squares.fold(f64::INFINITY, f64::min)
}

/// For each row, and each column from a surface's first to its last, how many rows off the surface is in that column.
#[derive(Clone, Debug)]
struct GapTable {
    first_column: usize,
    width: usize,
    /// Row-major.
    gaps: Vec<u16>,
}

/// Marks a column without surface.
const NO_SURFACE: u16 = u16::MAX;

impl GapTable {
    /// Of points in column-major order, for rows `0..height`, fewer than [`NO_SURFACE`]. Two passes over the rows, each
    /// of a few instructions for many pixels at once.
    fn of(points: &[[u32; 2]], height: usize) -> Self {
        let column = |point: Option<&[u32; 2]>| point.map_or(0, |point| point[0] as usize);
        let (first_column, last_column) = (column(points.first()), column(points.last()));
        let width = last_column - first_column + 1;
        let mut gaps = vec![NO_SURFACE; width * height];
        for &[x, y] in points {
            gaps[y as usize * width + x as usize - first_column] = 0;
        }
        let pass = |known: &[u16], next: &mut [u16]| {
            for (next, known) in next.iter_mut().zip(known) {
                *next = (*next).min(known.saturating_add(1));
            }
        };
        for y in 1..height {
            let (above, here) = gaps.split_at_mut(y * width);
            pass(&above[(y - 1) * width..], &mut here[..width]);
        }
        for y in (1..height).rev() {
            let (above, here) = gaps.split_at_mut(y * width);
            pass(&here[..width], &mut above[(y - 1) * width..]);
        }
        GapTable { first_column, width, gaps }
    }

    /// Squared distance from a point to the surface: goes to the left and right until the columns are farther away than
    /// the best distance so far, in about as many steps as that distance is long.
    fn nearest(&self, [x, y]: [u32; 2], spacing: Spacing) -> f64 {
        let row = &self.gaps[y as usize * self.width..][..self.width];
        let (x, first, last) = (x as usize, self.first_column, self.first_column + self.width - 1);
        let gap = |x: usize| row.get(x.wrapping_sub(first)).copied().unwrap_or(NO_SURFACE);
        let nearest_column = first.saturating_sub(x).max(x.saturating_sub(last));
        let farthest_column = x.abs_diff(first).max(x.abs_diff(last));
        let mut best = f64::INFINITY;
        for dx in nearest_column..=farthest_column {
            if spacing.squared(dx as u32, 0) >= best {
                break;
            }
            let gap = gap(x.wrapping_sub(dx)).min(gap(x + dx));
            if gap != NO_SURFACE {
                best = best.min(spacing.squared(dx as u32, gap as u32));
            }
        }
        best
    }
}

/// For each surface pixel of one mask, the distance to the nearest surface pixel of the other, in both directions.
/// Neither list is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// From the prediction's surface to the ground truth's, in column-major order of the prediction's pixels.
    pub from_prediction: Vec<f64>,
    /// From the ground truth's surface to the prediction's.
    pub from_truth: Vec<f64>,
}

impl SurfaceDistances {
    /// Distances between two masks; `None` where either is empty.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn between(prediction: &Mask, truth: &Mask, spacing: Spacing) -> Option<Self> {
        Some(Surfaces::of(prediction, truth)?.distances(spacing))
    }

    /// The same distances in another unit.
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |distances: &[f64]| distances.iter().map(|d| d * factor).collect();
        SurfaceDistances { from_prediction: scale(&self.from_prediction), from_truth: scale(&self.from_truth) }
    }

    /// Hausdorff distance: the larger of the two directed maxima (MedPy `hd`).
    pub fn hd(&self) -> f64 {
        self.both().fold(0.0, f64::max)
    }

    /// 95th percentile of the distances of both directions in one list (MedPy `hd95`).
    pub fn hd95(&self) -> f64 {
        percentile(self.both().collect(), 0.95)
    }

    /// The larger of the two directed 95th percentiles (MONAI's `percentile = 95`).
    pub fn hd95_directed(&self) -> f64 {
        percentile(self.from_prediction.clone(), 0.95).max(percentile(self.from_truth.clone(), 0.95))
    }

    /// Average surface distance, directed: the mean from the prediction to the ground truth (MedPy `asd`, and the
    /// paper's released code).
    pub fn asd(&self) -> f64 {
        mean(&[&self.from_prediction])
    }

    /// Average symmetric surface distance: the mean of the distances of both directions in one list (MedPy `assd`
    /// since 0.5, MONAI with `symmetric = True`).
    pub fn assd(&self) -> f64 {
        mean(&[&self.from_prediction, &self.from_truth])
    }

    /// The mean of the two directed means (MedPy `assd` before 0.5).
    pub fn assd_of_means(&self) -> f64 {
        (self.asd() + mean(&[&self.from_truth])) / 2.0
    }

    /// Normalised surface Dice: the share of the surface pixels of both masks that lie within `tolerance` of the other
    /// surface.
    pub fn nsd(&self, tolerance: f64) -> f64 {
        let within = self.both().filter(|d| *d <= tolerance).count();
        within as f64 / self.both().count() as f64
    }

    fn both(&self) -> impl Iterator<Item = f64> + '_ {
        self.from_prediction.iter().chain(&self.from_truth).copied()
    }
}

fn mean(lists: &[&[f64]]) -> f64 {
    let count: usize = lists.iter().map(|list| list.len()).sum();
    lists.iter().map(|list| sum(list)).sum::<f64>() / count as f64
}

/// Sum by halves, whose rounding errors do not grow with the number of values.
fn sum(values: &[f64]) -> f64 {
    if values.len() <= 64 {
        return values.iter().sum();
    }
    let (left, right) = values.split_at(values.len() / 2);
    sum(left) + sum(right)
}

/// numpy's `percentile` with its default method, linear interpolation between the two nearest ranks; `fraction` is
/// within 0 and 1, and there is at least one value.
fn percentile(mut values: Vec<f64>, fraction: f64) -> f64 {
    let rank = fraction * (values.len() - 1) as f64;
    let below = rank.floor() as usize;
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let high = above.iter().copied().fold(f64::INFINITY, f64::min);
    let weight = rank - below as f64;
    if above.is_empty() {
        low
    } else if weight >= 0.5 {
        high - (high - low) * (1.0 - weight)
    } else {
        low + (high - low) * weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_are_numpys() {
        // numpy.percentile([3, 1, 2, 10], 95), [1, 2] at 95, [7] at 95
        assert_eq!(percentile(vec![3.0, 1.0, 2.0, 10.0], 0.95), 8.949999999999998);
        assert_eq!(percentile(vec![1.0, 2.0], 0.95), 1.95);
        assert_eq!(percentile(vec![7.0], 0.95), 7.0);
    }

    #[test]
    fn spacing_must_be_positive_and_finite() {
        assert!(Spacing::new(0.5, 2.0).is_some());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Spacing::new(bad, 1.0).is_none() && Spacing::new(1.0, bad).is_none());
        }
    }

    #[test]
    fn variants_differ_as_their_definitions_say() {
        let distances = SurfaceDistances { from_prediction: vec![0.0, 4.0], from_truth: vec![1.0, 1.0, 1.0] };
        assert_eq!((distances.hd(), distances.asd()), (4.0, 2.0));
        assert_eq!((distances.assd(), distances.assd_of_means()), (7.0 / 5.0, 1.5));
        assert_eq!((distances.hd95(), distances.hd95_directed()), (3.3999999999999995, 3.8));
        assert_eq!((distances.nsd(1.0), distances.nsd(0.5)), (0.8, 0.2));
    }

    #[test]
    fn points_far_apart_in_a_tall_image() {
        let height = 70_000;
        let dot = |y: usize| Mask::from_predicate(height, 1, |i| i == y);
        let distances = SurfaceDistances::between(&dot(0), &dot(69_999), Spacing::PIXEL).unwrap();
        assert_eq!(distances.hd(), 69_999.0);
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same_bits(
            h in 1usize..20, w in 1usize..20, row in 1u32..9, col in 1u32..9, seed in prop::collection::vec(0u8..9, 400),
        ) {
            let spacing = Spacing::new(row as f64 / 3.0, col as f64 / 7.0).unwrap();
            // Column-major, with the columns to the left and right of the points left out now and then.
            let points: Vec<[u32; 2]> = (0..h * w).filter(|&i| seed[i] == 0).map(|i| [i / h, i % h].map(|v| v as u32)).collect();
            prop_assume!(!points.is_empty());
            let table = GapTable::of(&points, h);
            for from in (0..h * w).map(|i| [i / h, i % h].map(|v| v as u32)) {
                prop_assert_eq!(table.nearest(from, spacing), nearest_of_all(&points, from, spacing));
            }
        }
    }
}
