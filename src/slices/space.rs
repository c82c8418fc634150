//! A mask on the grid of its image, by where both lie in the patient.
//!
//! Sources whose masks were drawn in another program publish them with a header of their own (NCI-ISBI 2013: NRRD beside
//! DICOM): axes transposed or turned around, slices cut off above and below, now and then another pixel size, but placed
//! rightly in the patient. Comparing slice numbers would put them elsewhere without a sign of it. So each image voxel
//! gets the value of the mask voxel nearest to it, which invents no label and, where the grids agree, changes none. What
//! cannot be such a mask is refused: slices between those of the image, and masks that mostly lie outside it, which
//! belong to another series or patient.

use super::plane::Axis;
use super::{Error, Loaded};
use crate::image::{Frame, Geometry, Image};
use crate::with_samples;

/// A mask slice may lie off its image slice by this share of the distance between mask slices.
const SLICE_TOLERANCE: f64 = 0.25;
/// Share of the marked voxels that must lie in the image.
const COVERED: f64 = 0.99;

/// The mask with the size and frame of the image, zero where it says nothing.
///
/// # Errors
/// A header that does not say where its voxels lie; a mask of several frames or components; slices (across `axis` of the
/// image) that lie between those of the mask; a mask of which more than a hundredth lies outside the image.
pub(super) fn on_grid_of(image: &Loaded, mask: Loaded, axis: Axis) -> Result<Loaded, Error> {
    let problem = |reason: String| Error::Spec { file: mask.file.clone(), reason };
    let frame = |of: &Loaded| {
        let known = of.image.geometry.clone().filter(|g| g.frame != Frame::Spacing);
        known.ok_or_else(|| problem(format!("the spec pairs by place, but {} does not say where it lies", of.file)))
    };
    let (to_world, mask_to_world) = (frame(image)?, frame(&mask)?);
    let [_, _, _, 1] = mask.image.size else {
        return Err(problem(format!("expected one volume, found {} frames", mask.image.size[3])));
    };
    if mask.image.components != 1 {
        return Err(problem(format!("expected one value for each voxel, found {}", mask.image.components)));
    }
    let flat = |of: &Loaded| problem(format!("the axes of {} do not span a volume", of.file));
    let to_mask = Map::between(&to_world, &mask_to_world).ok_or_else(|| flat(&mask))?;
    let to_image = Map::between(&mask_to_world, &to_world).ok_or_else(|| flat(image))?;
    check_slices(&to_mask, image, &mask, axis).map_err(problem)?;
    with_samples!(&mask.image.samples, values => check_cover(&to_image, image, &mask, |i| values[i] as f64 != 0.0))
        .map_err(problem)?;

    // What lies along a fourth axis of the image (sequences) shares the mask.
    let [nx, ny, nz, _] = image.image.size;
    let size = [nx, ny, nz, 1];
    if to_mask.keeps(size) && mask.image.size == size {
        return Ok(mask);
    }
    let source = |x: usize, y: usize, z: usize| {
        let at = nearest(to_mask.apply([x, y, z].map(|i| i as f64)), mask.image.size);
        at.map(|[x, y, z]| mask.image.offset([x, y, z, 0], 0))
    };
    let samples = with_samples!(&mask.image.samples, values => gathered(values, size, source).into());
    let placed = Image { size, samples, geometry: Some(to_world), ..mask.image };
    Ok(Loaded { file: mask.file, image: placed, positions: None })
}

/// For each voxel of a grid the value at its source, zero where it has none.
fn gathered<T: Copy + Default>(
    values: &[T],
    [nx, ny, nz, _]: [usize; 4],
    source: impl Fn(usize, usize, usize) -> Option<usize>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(nx * ny * nz);
    for z in 0..nz {
        for y in 0..ny {
            out.extend((0..nx).map(|x| source(x, y, z).map_or(T::default(), |at| values[at])));
        }
    }
    out
}

/// Voxel indices of one grid to those of another.
struct Map([[f64; 4]; 3]);

impl Map {
    /// `None` where the other grid's axes do not span a volume.
    fn between(from: &Geometry, to: &Geometry) -> Option<Map> {
        let a = &to.affine;
        let cofactor = |r: usize, c: usize| {
            let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            a[r1][c1] * a[r2][c2] - a[r1][c2] * a[r2][c1]
        };
        let determinant: f64 = (0..3).map(|c| a[0][c] * cofactor(0, c)).sum();
        if !determinant.is_normal() {
            return None;
        }
        let mut map = [[0.0; 4]; 3];
        for (row, out) in map.iter_mut().enumerate() {
            for (column, cell) in out.iter_mut().enumerate() {
                let offset = |r: usize| if column == 3 { a[r][3] } else { 0.0 };
                *cell = (0..3).map(|r| cofactor(r, row) / determinant * (from.affine[r][column] - offset(r))).sum();
            }
        }
        Some(Map(map))
    }

    /// Whether every voxel of a grid of this size falls on the one of its own index: all do where the corners do.
    fn keeps(&self, size: [usize; 4]) -> bool {
        let corner = |n: usize| std::array::from_fn(|axis| (n >> axis & 1) * size[axis].saturating_sub(1));
        (0..8).map(corner).all(|at: [usize; 3]| nearest(self.apply(at.map(|i| i as f64)), size) == Some(at))
    }

    fn apply(&self, [x, y, z]: [f64; 3]) -> [f64; 3] {
        self.0.map(|r| r[0] * x + r[1] * y + r[2] * z + r[3])
    }
}

/// The voxel whose centre is nearest, `None` outside of the grid.
fn nearest(at: [f64; 3], size: [usize; 4]) -> Option<[usize; 3]> {
    let mut index = [0; 3];
    for axis in 0..3 {
        let rounded = at[axis].round();
        // NaN is in no range.
        if !(0.0..size[axis] as f64).contains(&rounded) {
            return None;
        }
        index[axis] = rounded as usize;
    }
    Some(index)
}

/// Every image slice within the mask must lie on one mask slice, with all of its corners.
fn check_slices(to_mask: &Map, image: &Loaded, mask: &Loaded, axis: Axis) -> Result<(), String> {
    let cut = axis.index();
    // The mask axis that runs along the image's slices.
    let along = (0..3).max_by(|&a, &b| to_mask.0[a][cut].abs().total_cmp(&to_mask.0[b][cut].abs())).unwrap_or(2);
    let ends = image.image.size.map(|n| n.saturating_sub(1) as f64);
    for slice in 0..image.image.size[cut] {
        let corner = |n: usize| {
            let mut corner: [f64; 3] = std::array::from_fn(|a| if n >> a & 1 == 1 { ends[a] } else { 0.0 });
            corner[cut] = slice as f64;
            to_mask.apply(corner)[along]
        };
        let (low, high) = (0..8).map(corner).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let on = ((low + high) / 2.0).round();
        let inside = (0.0..mask.image.size[along] as f64).contains(&on);
        if inside && (on - low > SLICE_TOLERANCE || high - on > SLICE_TOLERANCE) {
            return Err(format!(
                "slice {slice} of its image {} lies between {low:.2} and {high:.2} of its own slices, not on one: \
                 it was drawn on another series",
                image.file
            ));
        }
    }
    Ok(())
}

/// What the mask marks must lie in the image.
fn check_cover(to_image: &Map, image: &Loaded, mask: &Loaded, marked: impl Fn(usize) -> bool) -> Result<(), String> {
    let [nx, ny, nz, _] = mask.image.size;
    let (mut all, mut covered) = (0usize, 0usize);
    for i in (0..nx * ny * nz).filter(|&i| marked(i)) {
        let at = [i % nx, i / nx % ny, i / (nx * ny)].map(|n| n as f64);
        all += 1;
        covered += usize::from(nearest(to_image.apply(at), image.image.size).is_some());
    }
    if (covered as f64) < COVERED * all as f64 {
        return Err(format!(
            "of the {all} voxels that it marks only {covered} lie in its image {}: they do not belong together",
            image.file
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::Samples;

    /// A frame along LPS axes: file axes in the order and direction given.
    fn frame(origin: [f64; 3], axes: [[f64; 3]; 3], spacing: [f64; 3]) -> Option<Geometry> {
        Some(Geometry::from_lps(origin, axes, spacing))
    }

    const X: [f64; 3] = [1., 0., 0.];
    const Y: [f64; 3] = [0., 1., 0.];
    const Z: [f64; 3] = [0., 0., 1.];

    fn loaded(size: [usize; 3], values: Vec<u8>, geometry: Option<Geometry>) -> Loaded {
        let mut image = Image::picture(values.len(), 1, 1, Samples::U8(values));
        image.size = [size[0], size[1], size[2], 1];
        image.geometry = geometry;
        Loaded { file: "m.nrrd".into(), image, positions: None }
    }

    fn image() -> Loaded {
        loaded([4, 3, 5], vec![0; 60], frame([10., 20., 30.], [X, Y, Z], [0.5, 0.5, 3.0]))
    }

    fn values(loaded: &Loaded) -> Vec<u8> {
        let Samples::U8(values) = &loaded.image.samples else { panic!("the type of the mask expected") };
        values.clone()
    }

    #[test]
    fn transposed_and_cropped_masks_fall_into_place() {
        // Axes y, x, z; slices 1 to 3 of the image; the image's voxel (x 1, y 2, z 3) is the mask's (2, 1, 2).
        let mut marks = vec![0; 3 * 4 * 3];
        marks[2 + 3 + 2 * 12] = 7;
        let mask = loaded([3, 4, 3], marks, frame([10., 20., 33.], [Y, X, Z], [0.5, 0.5, 3.0]));
        let placed = on_grid_of(&image(), mask, Axis::Z).unwrap();
        let mut expected = vec![0; 60];
        expected[1 + 2 * 4 + 3 * 12] = 7;
        assert_eq!(placed.image.size, [4, 3, 5, 1]);
        assert_eq!(values(&placed), expected);
    }

    #[test]
    fn turned_axes_and_a_coarser_grid_in_plane() {
        // Half as many pixels along x and y, z from head to feet. A coarse pixel is four fine ones.
        let mut marks = vec![0; 2 * 2 * 5];
        marks[1 + 4 * 4] = 1;
        let down = [0., 0., -1.];
        let mask = loaded([2, 2, 5], marks, frame([10.25, 20.25, 42.], [X, Y, down], [1.0, 1.0, 3.0]));
        let found: Vec<usize> = values(&on_grid_of(&image(), mask, Axis::Z).unwrap())
            .iter()
            .enumerate()
            .filter(|(_, v)| **v == 1)
            .map(|(i, _)| i)
            .collect();
        assert_eq!(found, [2, 3, 6, 7]);
    }

    #[test]
    fn masks_of_another_series_or_place_are_refused() {
        let ones = || vec![1; 60];
        let between = loaded([4, 3, 5], ones(), frame([10., 20., 31.2], [X, Y, Z], [0.5, 0.5, 3.0]));
        let error = on_grid_of(&image(), between, Axis::Z).unwrap_err().to_string();
        assert!(error.contains("another series"), "{error}");
        let tilted =
            loaded([4, 3, 5], ones(), frame([10., 20., 30.], [[0.8, 0., 0.6], Y, [-0.6, 0., 0.8]], [0.5, 0.5, 3.0]));
        assert!(on_grid_of(&image(), tilted, Axis::Z).is_err());
        let away = loaded([4, 3, 5], ones(), frame([200., 20., 30.], [X, Y, Z], [0.5, 0.5, 3.0]));
        let error = on_grid_of(&image(), away, Axis::Z).unwrap_err().to_string();
        assert!(error.contains("of the 60 voxels that it marks only 0"), "{error}");
        let flat = loaded([4, 3, 5], ones(), frame([10., 20., 30.], [X, X, Z], [0.5, 0.5, 3.0]));
        assert!(on_grid_of(&image(), flat, Axis::Z).unwrap_err().to_string().contains("span"));
        let unplaced = loaded([4, 3, 5], ones(), Some(Geometry::from_spacing([1.; 3])));
        assert!(on_grid_of(&image(), unplaced, Axis::Z).unwrap_err().to_string().contains("does not say"));
    }

    proptest! {
        /// A mask whose axes are a permutation of the image's, each kept or turned around, is the same mask.
        #[test]
        fn any_storage_order_gives_the_same(
            marks in proptest::collection::vec(0u8..4, 60),
            order in Just([0usize, 1, 2]).prop_shuffle(),
            turned in any::<[bool; 3]>(),
        ) {
            let size = [4usize, 3, 5];
            let spacing = [0.5, 0.5, 3.0];
            let mut origin = [10., 20., 30.];
            let mut axes = [X, Y, Z];
            for axis in (0..3).filter(|&a| turned[a]) {
                origin[axis] += spacing[axis] * (size[axis] - 1) as f64;
                axes[axis][axis] = -1.0;
            }
            let stored = order.map(|a| size[a]);
            let mut values_in_order = Vec::new();
            for c in 0..stored[2] {
                for b in 0..stored[1] {
                    for a in 0..stored[0] {
                        let mut at = [0; 3];
                        for (axis, i) in order.into_iter().zip([a, b, c]) {
                            at[axis] = if turned[axis] { size[axis] - 1 - i } else { i };
                        }
                        values_in_order.push(marks[at[0] + 4 * at[1] + 12 * at[2]]);
                    }
                }
            }
            let geometry = frame(origin, order.map(|a| axes[a]), order.map(|a| spacing[a]));
            let placed = on_grid_of(&image(), loaded(stored, values_in_order, geometry), Axis::Z).unwrap();
            prop_assert_eq!(values(&placed), marks);
        }
    }
}
