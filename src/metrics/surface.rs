//! Distances between the surfaces of two masks, exact and Euclidean.
//!
//! The surface of a mask is the mask minus its erosion by the cross of the 4-neighbourhood, what lies beyond the image
//! border counting as outside (protocol 4; MedPy with its default `connectivity = 1`). Distances go from pixel centre
//! to pixel centre. All metrics come out of two lists: for each surface pixel of one mask, the distance to the nearest
//! surface pixel of the other.

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

/// The surface pixels of two masks that both have some.
#[derive(Clone, Debug)]
pub struct Surfaces {
    /// Column and row of each surface pixel, from the corner of the box around both surfaces; column-major order.
    prediction: Vec<[u32; 2]>,
    truth: Vec<[u32; 2]>,
    width: u32,
    height: u32,
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
        let (left, top) = (ax0.min(bx0), ay0.min(by0));
        let points = |mask: &Mask| {
            let surface = mask.surface();
            let mut points = Vec::with_capacity(surface.area() as usize);
            for (x, y0, y1) in surface.column_runs() {
                points.extend((y0..y1).map(|y| [x - left, y - top]));
            }
            points
        };
        Some(Surfaces {
            prediction: points(prediction),
            truth: points(truth),
            width: ax1.max(bx1) - left + 1,
            height: ay1.max(by1) - top + 1,
        })
    }

    /// The distances in both directions.
    pub fn distances(&self, spacing: Spacing) -> SurfaceDistances {
        SurfaceDistances {
            from_prediction: self.nearest(&self.prediction, &self.truth, spacing),
            from_truth: self.nearest(&self.truth, &self.prediction, spacing),
        }
    }

    /// Distance of each point of `from` to the nearest of `to`, by whichever way costs less. Both give the same bits:
    /// the minimum of the same squares.
    fn nearest(&self, from: &[[u32; 2]], to: &[[u32; 2]], spacing: Spacing) -> Vec<f64> {
        let (pairs, area) = (from.len() as u64 * to.len() as u64, self.width as u64 * self.height as u64);
        if pairs < area / 4 || self.height >= NO_SURFACE as u32 {
            nearest_by_pairs(from, to, spacing)
        } else {
            nearest_by_gaps(from, to, self.width as usize, self.height as usize, spacing)
        }
    }
}

/// Compares every pair. Best for few points, however far apart.
fn nearest_by_pairs(from: &[[u32; 2]], to: &[[u32; 2]], spacing: Spacing) -> Vec<f64> {
    let nearest = |&[x, y]: &[u32; 2]| {
        let squares = to.iter().map(|&[u, v]| spacing.squared(x.abs_diff(u), y.abs_diff(v)));
        squares.fold(f64::INFINITY, f64::min).sqrt()
    };
    from.iter().map(nearest).collect()
}

/// Marks a column without surface in the table of gaps.
const NO_SURFACE: u16 = u16::MAX;

/// Goes from each point to the left and right over a table of vertical gaps, until the columns are farther away than
/// the best distance so far. The table costs a few instructions for many pixels at once, and a point about as many
/// steps as its distance.
fn nearest_by_gaps(from: &[[u32; 2]], to: &[[u32; 2]], width: usize, height: usize, spacing: Spacing) -> Vec<f64> {
    let gaps = vertical_gaps(to, width, height);
    let nearest = |&[x, y]: &[u32; 2]| {
        let row = &gaps[y as usize * width..][..width];
        let x = x as usize;
        let mut best = f64::INFINITY;
        for dx in 0..=x.max(width - 1 - x) {
            if spacing.squared(dx as u32, 0) >= best {
                break;
            }
            let left = if dx <= x { row[x - dx] } else { NO_SURFACE };
            let right = row.get(x + dx).copied().unwrap_or(NO_SURFACE);
            let gap = left.min(right);
            if gap != NO_SURFACE {
                best = best.min(spacing.squared(dx as u32, gap as u32));
            }
        }
        best.sqrt()
    };
    from.iter().map(nearest).collect()
}

/// For each pixel of the box, row-major, the number of rows to the nearest point in the same column. The box is lower
/// than [`NO_SURFACE`].
fn vertical_gaps(points: &[[u32; 2]], width: usize, height: usize) -> Vec<u16> {
    let mut gaps = vec![NO_SURFACE; width * height];
    for &[x, y] in points {
        gaps[y as usize * width + x as usize] = 0;
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
    gaps
}

/// For each surface pixel of one mask, the distance to the nearest surface pixel of the other, in both directions.
/// Neither list is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// From the prediction's surface to the truth's, in column-major order of the prediction's pixels.
    pub from_prediction: Vec<f64>,
    /// From the truth's surface to the prediction's.
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

    /// Average surface distance, directed: the mean from the prediction to the truth (MedPy `asd`, and the paper's
    /// released code).
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
            h in 1usize..20, w in 1usize..20, row in 1u32..9, col in 1u32..9, seed in prop::collection::vec(0u8..8, 400),
        ) {
            let spacing = Spacing::new(row as f64 / 3.0, col as f64 / 7.0).unwrap();
            let points = |kind: u8| -> Vec<[u32; 2]> {
                (0..h * w).filter(|&i| seed[i] == kind).map(|i| [(i % w) as u32, (i / w) as u32]).collect()
            };
            let (from, to) = (points(0), points(1));
            prop_assume!(!to.is_empty());
            prop_assert_eq!(nearest_by_gaps(&from, &to, w, h, spacing), nearest_by_pairs(&from, &to, spacing));
        }
    }
}
