//! The file axis that a volume is cut across, and the pixels of one slice.

use std::borrow::Cow;

use crate::image::{Frame, Geometry, Image};
use crate::spec::Plane;

/// A file axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// First, fastest.
    X,
    /// Second.
    Y,
    /// Third.
    Z,
}

impl Axis {
    /// 0, 1 or 2.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The letter that slice names begin with.
    pub fn letter(self) -> char {
        ['x', 'y', 'z'][self.index()]
    }

    /// The two axes of a slice across this one: rows, columns. Storage order is kept (docs/protocol.md, 2.2): the array
    /// `[z, y, x]` without the axis that is cut.
    pub fn rows_and_columns(self) -> (usize, usize) {
        match self {
            Axis::X => (2, 1),
            Axis::Y => (2, 0),
            Axis::Z => (1, 0),
        }
    }
}

/// The axis to cut across (docs/protocol.md, 2.1). A volume of one slice, whichever axis it is stored along, is a
/// picture: there is one way to see it, whatever its spacing and the file axis that the spec names.
///
/// # Errors
/// An anatomical plane of an image whose frame does not say where its axes point, or of a single slice in another
/// plane.
pub fn main_axis(plane: Plane, size: [usize; 4], geometry: Option<&Geometry>) -> Result<Axis, String> {
    let anatomical = |normal: [char; 2]| {
        let known = geometry.filter(|g| g.frame != Frame::Spacing);
        let letters = known
            .map(|g| g.orientation())
            .ok_or("the spec requests an anatomical plane, but the file does not state its orientation")?;
        let at = letters
            .chars()
            .position(|c| normal.contains(&c))
            .ok_or_else(|| format!("no axis of {letters} is perpendicular to the plane"))?;
        Ok([Axis::X, Axis::Y, Axis::Z][at])
    };
    let single = single_slice(size);
    let across = |axis: Axis| match single {
        Some(single) if single != axis => Err(format!(
            "a single slice ({}) in the {} plane, not in the requested one",
            size[..3].iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
            anatomical_plane(single, geometry)
        )),
        _ => Ok(axis),
    };
    match plane {
        Plane::X | Plane::Y | Plane::Z | Plane::Native if single.is_some() => Ok(single.unwrap_or(Axis::Z)),
        Plane::X => Ok(Axis::X),
        Plane::Y => Ok(Axis::Y),
        Plane::Z => Ok(Axis::Z),
        Plane::Axial => anatomical(['S', 'I']).and_then(across),
        Plane::Coronal => anatomical(['A', 'P']).and_then(across),
        Plane::Sagittal => anatomical(['L', 'R']).and_then(across),
        Plane::Native => {
            let Some([x, y, z]) = geometry.map(|g| g.spacing) else { return Ok(Axis::Z) };
            // Spacings that differ by less than 1 % are equal: headers round.
            let larger = |a: f64, b: f64| a > b * 1.01;
            Ok(if larger(x, y) && larger(x, z) {
                Axis::X
            } else if larger(y, x) && larger(y, z) {
                Axis::Y
            } else {
                Axis::Z
            })
        }
    }
}

/// The axis along which there is one slice and no more; the last of several such axes, for a picture of one row is one.
pub(super) fn single_slice(size: [usize; 4]) -> Option<Axis> {
    [Axis::Z, Axis::Y, Axis::X].into_iter().find(|axis| size[axis.index()] == 1)
}

/// Name of the plane across `axis`: the closest anatomical one, or the axis where the frame is not known.
pub fn anatomical_plane(axis: Axis, geometry: Option<&Geometry>) -> String {
    let letter = geometry.filter(|g| g.frame != Frame::Spacing).and_then(|g| g.orientation().chars().nth(axis.index()));
    match letter {
        Some('S' | 'I') => "axial".into(),
        Some('A' | 'P') => "coronal".into(),
        Some('L' | 'R') => "sagittal".into(),
        _ => axis.letter().to_string(),
    }
}

/// Rows and columns of the slices of `image` across `axis`, and how many there are.
pub(crate) fn slice_size(image: &Image, axis: Axis) -> (usize, usize, usize) {
    let (row, column) = axis.rows_and_columns();
    (image.size[row], image.size[column], image.size[axis.index()])
}

/// Slice `index` of frame `frame` across `axis` of `values` (the image's samples), row by row, components interleaved.
/// Slices across the third axis lie in one piece and are not copied.
pub(crate) fn slice_values<'a, T: Copy>(
    image: &Image,
    values: &'a [T],
    axis: Axis,
    index: usize,
    frame: usize,
) -> Cow<'a, [T]> {
    let c = image.components;
    let (rows, columns, _) = slice_size(image, axis);
    let stored = |row: usize, column: usize, pixels: usize| {
        let at = match axis {
            Axis::X => [index, column, row, frame],
            Axis::Y => [column, index, row, frame],
            Axis::Z => [column, row, index, frame],
        };
        let start = image.offset(at, 0);
        &values[start..start + pixels * c]
    };
    match axis {
        Axis::Z => Cow::Borrowed(stored(0, 0, rows * columns)),
        Axis::Y => Cow::Owned((0..rows).flat_map(|row| stored(row, 0, columns)).copied().collect()),
        Axis::X => {
            let mut slice = Vec::with_capacity(rows * columns * c);
            for row in 0..rows {
                (0..columns).for_each(|column| slice.extend_from_slice(stored(row, column, 1)));
            }
            Cow::Owned(slice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Samples;

    const SIZE: [usize; 4] = [2, 3, 4, 1];

    /// 2 x 3 x 4 pixels, each its own position.
    fn volume() -> Image {
        let mut image = Image::picture(2, 12, 1, Samples::U8((0..24).collect()));
        image.size = SIZE;
        image
    }

    #[test]
    fn slices_keep_the_storage_order_of_the_other_axes() {
        let image = volume();
        let Samples::U8(values) = &image.samples else { unreachable!() };
        let slice = |axis, index| (slice_size(&image, axis), slice_values(&image, values, axis, index, 0).into_owned());
        assert_eq!(slice(Axis::Z, 1), ((3, 2, 4), vec![6, 7, 8, 9, 10, 11]));
        assert_eq!(slice(Axis::Y, 2), ((4, 2, 3), vec![4, 5, 10, 11, 16, 17, 22, 23]));
        assert_eq!(slice(Axis::X, 1), ((4, 3, 2), vec![1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]));
    }

    #[test]
    fn native_is_across_the_largest_spacing() {
        let native = |s| main_axis(Plane::Native, SIZE, Some(&Geometry::from_spacing(s))).unwrap();
        assert_eq!(native([5.0, 0.8, 0.8]), Axis::X);
        assert_eq!(native([0.8, 5.0, 0.8]), Axis::Y);
        assert_eq!(native([0.8, 0.8, 5.0]), Axis::Z);
        assert_eq!(native([1.0, 1.0, 1.0]), Axis::Z);
        assert_eq!(native([1.001, 1.0, 1.0]), Axis::Z);
        assert_eq!(main_axis(Plane::Native, SIZE, None).unwrap(), Axis::Z);
        let columns_apart = Geometry::from_spacing([2.0, 0.5, 1.0]);
        assert_eq!(main_axis(Plane::Native, [30, 20, 1, 1], Some(&columns_apart)).unwrap(), Axis::Z);
    }

    #[test]
    fn a_single_slice_is_a_picture_along_whichever_axis() {
        let known = Geometry { frame: Frame::Header, ..Geometry::from_spacing([1.; 3]) };
        let axis = |plane, size| main_axis(plane, size, Some(&known));
        for plane in [Plane::Native, Plane::Z, Plane::X] {
            assert_eq!(axis(plane, [1, 256, 256, 1]).unwrap(), Axis::X);
            assert_eq!(axis(plane, [256, 1, 256, 1]).unwrap(), Axis::Y);
            assert_eq!(axis(plane, [256, 256, 1, 1]).unwrap(), Axis::Z);
            assert_eq!(axis(plane, [256, 1, 1, 1]).unwrap(), Axis::Z);
        }
        assert_eq!(axis(Plane::Sagittal, [1, 256, 256, 1]).unwrap(), Axis::X);
        let error = axis(Plane::Axial, [1, 256, 256, 1]).unwrap_err();
        assert!(error.contains("1 x 256 x 256") && error.contains("sagittal plane"), "{error}");
    }

    #[test]
    fn anatomical_planes_need_a_frame() {
        assert!(main_axis(Plane::Axial, SIZE, Some(&Geometry::from_spacing([1.; 3]))).is_err());
        let pir = Geometry {
            spacing: [1.; 3],
            affine: [[0., 0., 1., 0.], [-1., 0., 0., 0.], [0., -1., 0., 0.]],
            frame: Frame::Sform,
        };
        assert_eq!(main_axis(Plane::Sagittal, SIZE, Some(&pir)).unwrap(), Axis::Z);
        assert_eq!(main_axis(Plane::Axial, SIZE, Some(&pir)).unwrap(), Axis::Y);
        assert_eq!(anatomical_plane(Axis::X, Some(&pir)), "coronal");
    }
}
