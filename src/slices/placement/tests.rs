use proptest::prelude::*;

use super::*;
use crate::image::Samples;

const X: [f64; 3] = [1., 0., 0.];
const Y: [f64; 3] = [0., 1., 0.];
const Z: [f64; 3] = [0., 0., 1.];
const SIZE: [usize; 3] = [4, 3, 5];
const SPACING: [f64; 3] = [0.5, 0.5, 3.0];
const ORIGIN: [f64; 3] = [10., 20., 30.];

fn loaded(size: [usize; 3], values: Vec<u8>, geometry: Option<Geometry>) -> Loaded {
    let mut image = Image::picture(size[0], size[1] * size[2], 1, Samples::U8(values));
    image.size = [size[0], size[1], size[2], 1];
    image.geometry = geometry;
    Loaded { file: "mask.nii".into(), image, positions: None, files: Vec::new() }
}

/// A frame of LPS+ axes: file axes in the order and direction given.
fn frame(origin: [f64; 3], axes: [[f64; 3]; 3], spacing: [f64; 3]) -> Option<Geometry> {
    Some(Geometry::from_lps(origin, axes, spacing))
}

fn grid(geometry: Option<Geometry>) -> Grid {
    let mut grid = Grid::of(&loaded(SIZE, vec![0; 60], geometry));
    grid.file = "image.dcm".into();
    grid
}

fn image() -> Grid {
    grid(frame(ORIGIN, [X, Y, Z], SPACING))
}

/// One marked voxel that no symmetry keeps in its place.
fn marks() -> Vec<u8> {
    let mut values = vec![0; 60];
    values[1 + 4 * 2 + 12 * 3] = 7;
    values
}

fn values(placed: &Placed) -> Vec<u8> {
    let Samples::U8(values) = &placed.mask.image.samples else { panic!("uint8 expected") };
    values.clone()
}

fn paired(image: &Grid, mask: Loaded, pair: Pair) -> Result<Placed, Error> {
    place(image, mask, pair, [None, None], &mut Scratch::default())
}

/// The same voxels stored along other axes: values and frame.
fn stored(marks: &[u8], order: [usize; 3], turned: [bool; 3], at: [f64; 3]) -> Loaded {
    let (mut origin, mut axes) = (at, [X, Y, Z]);
    for axis in (0..3).filter(|&a| turned[a]) {
        origin[axis] += SPACING[axis] * (SIZE[axis] - 1) as f64;
        axes[axis][axis] = -1.0;
    }
    let size = order.map(|a| SIZE[a]);
    let mut values = Vec::new();
    for c in 0..size[2] {
        for b in 0..size[1] {
            for a in 0..size[0] {
                let mut at = [0; 3];
                for (axis, i) in order.into_iter().zip([a, b, c]) {
                    at[axis] = if turned[axis] { SIZE[axis] - 1 - i } else { i };
                }
                values.push(marks[at[0] + 4 * at[1] + 12 * at[2]]);
            }
        }
    }
    loaded(size, values, frame(origin, order.map(|a| axes[a]), order.map(|a| SPACING[a])))
}

#[test]
fn the_same_grid_is_paired_as_it_is() {
    let mask = loaded(SIZE, marks(), frame([10.1, 20., 30.], [X, Y, Z], SPACING));
    let placed = paired(&image(), mask, Pair::Grid).unwrap();
    assert_eq!((placed.placement, values(&placed), placed.notes.len()), (Placement::Same, marks(), 0));
    assert!((placed.error_mm.unwrap() - 0.1).abs() < 1e-9);
}

#[test]
fn only_another_origin_pairs_by_index_and_says_so() {
    let mask = || loaded(SIZE, marks(), frame([10., 26., 30.], [X, Y, Z], SPACING));
    let placed = paired(&image(), mask(), Pair::Grid).unwrap();
    assert_eq!((placed.placement, placed.error_mm, values(&placed)), (Placement::Shifted, Some(6.0), marks()));
    assert!(placed.notes[0].contains("6.00 mm"), "{:?}", placed.notes);
    assert!(paired(&image(), mask(), Pair::Space).unwrap_err().to_string().contains("none of the 1 marked voxels"));
}

#[test]
fn another_grid_is_refused_with_both_frames_and_the_cure() {
    let turned = [X, Y, [0., 0., -1.]];
    for mask in [
        loaded(SIZE, marks(), frame(ORIGIN, [X, Y, Z], [1.0, 1.0, 6.0])),
        loaded(SIZE, marks(), frame(ORIGIN, turned, SPACING)),
        loaded([4, 3, 4], vec![1; 48], frame(ORIGIN, [X, Y, Z], SPACING)),
    ] {
        let error = paired(&image(), mask, Pair::Grid).unwrap_err().to_string();
        for word in [
            "mask.nii",
            "image.dcm",
            "4 x 3 x 5 voxels of 0.5 x 0.5 x 3 mm, axes LPS",
            "pair = \"space\"",
            "pair_reason",
        ] {
            assert!(error.contains(word), "{error}");
        }
    }
}

#[test]
fn headers_that_say_nothing_pair_by_index() {
    let lps = frame([0.; 3], [X, Y, Z], [1.; 3]);
    let ras = Some(Geometry { affine: [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.]], ..lps.clone().unwrap() });
    let bare = frame([0.; 3], [X, Y, Z], SPACING);
    for silent in [None, Some(Geometry::from_spacing(SPACING)), lps.clone(), ras, bare] {
        let placed = paired(&image(), loaded(SIZE, marks(), silent), Pair::Grid).unwrap();
        assert_eq!((placed.placement, placed.error_mm, values(&placed)), (Placement::ByIndex, None, marks()));
        assert_eq!(placed.notes.len(), 1);
    }
    let of_image = grid(lps);
    let turned = loaded(SIZE, marks(), frame(ORIGIN, [X, [0., -1., 0.], Z], SPACING));
    assert_eq!(paired(&of_image, turned, Pair::Grid).unwrap().placement, Placement::ByIndex);
    let smaller = loaded([4, 3, 4], vec![1; 48], None);
    assert!(matches!(paired(&image(), smaller, Pair::Grid), Err(Error::Shape { .. })));
}

#[test]
fn pictures_share_their_pixels_and_distances_alone_must_agree() {
    let spaced = |s| Some(Geometry::from_spacing(s));
    for (of, at, placement) in [
        (None, None, Placement::Same),
        (spaced(SPACING), spaced(SPACING), Placement::Same),
        (spaced(SPACING), spaced([1.; 3]), Placement::ByIndex),
        (None, spaced(SPACING), Placement::Same),
    ] {
        assert_eq!(paired(&grid(of), loaded(SIZE, marks(), at), Pair::Grid).unwrap().placement, placement);
    }
    let other = loaded(SIZE, marks(), spaced([0.7, 0.7, 3.0]));
    assert!(matches!(paired(&grid(spaced(SPACING)), other, Pair::Grid), Err(Error::Placement { .. })));
}

#[test]
fn a_spec_may_pair_by_index_against_the_headers() {
    let mask = loaded(SIZE, marks(), frame(ORIGIN, [X, [0., -1., 0.], Z], SPACING));
    let placed = paired(&image(), mask, Pair::Index).unwrap();
    assert_eq!((placed.placement, values(&placed)), (Placement::ByIndex, marks()));
}

#[test]
fn a_part_of_the_volume_is_placed_by_space_alone() {
    let part = || loaded([2, 2, 2], vec![0, 0, 0, 1, 0, 0, 0, 0], frame([10.5, 20.5, 33.], [X, Y, Z], SPACING));
    assert!(matches!(paired(&image(), part(), Pair::Grid), Err(Error::Placement { .. })));
    let placed = paired(&image(), part(), Pair::Space).unwrap();
    let found: Vec<usize> = (0..60).filter(|&i| values(&placed)[i] == 1).collect();
    assert_eq!((placed.placement, found), (Placement::Resampled, vec![2 + 4 * 2 + 12]));
    assert_eq!(placed.error_mm, Some(0.0));
}

#[test]
fn slices_of_another_spacing_take_the_nearest() {
    // Two slices of 6 mm over the five of 3 mm: 30, 33 | 36, 39, (42 is beyond the mask).
    let mut values_of = vec![0; 12];
    values_of.extend([1; 12]);
    let coarse = loaded([4, 3, 2], values_of, frame([10., 20., 31.5], [X, Y, Z], [0.5, 0.5, 6.0]));
    let placed = paired(&image(), coarse, Pair::Space).unwrap();
    let slices: Vec<u8> = (0..5).map(|z| values(&placed)[12 * z]).collect();
    assert_eq!(slices, [0, 0, 1, 1, 0]);
    assert_eq!(placed.error_mm, Some(1.5));
    assert!(placed.notes[0].contains("1.50 mm"), "{:?}", placed.notes);
}

#[test]
fn slices_that_are_missing_leave_no_wrong_partner() {
    // Image slices at 30, 33, 39, 42, 45: one is missing. The mask has all six.
    let mut of = image();
    of.heights = Some(vec![0., 1., 3., 4., 5.]);
    let all: Vec<u8> = (0..72).map(|i| (i / 12) as u8).collect();
    let mask = || loaded([4, 3, 6], all.clone(), frame(ORIGIN, [X, Y, Z], SPACING));
    assert!(matches!(paired(&of, mask(), Pair::Grid), Err(Error::Placement { .. })));
    let placed = paired(&of, mask(), Pair::Space).unwrap();
    assert_eq!((0..5).map(|z| values(&placed)[12 * z]).collect::<Vec<_>>(), [0, 1, 3, 4, 5]);
    let five = loaded(SIZE, marks(), frame(ORIGIN, [X, Y, Z], SPACING));
    assert!(matches!(paired(&of, five, Pair::Grid), Err(Error::Placement { .. })), "the fourth slice lies elsewhere");
}

fn names<'a>(capture: &'a str, texts: &'a [String]) -> Option<SliceNames<'a>> {
    Some(SliceNames { capture, texts })
}

fn texts(numbers: &[&str]) -> Vec<String> {
    numbers.iter().map(|n| n.to_string()).collect()
}

#[test]
fn stacks_pair_by_name_and_tell_of_holes() {
    let of = texts(&["001", "002", "003", "004", "005"]);
    let stacked = |n: usize| loaded([4, 3, n], vec![1; 12 * n], None);
    let pictures = grid(None);
    let paired = |n: usize, at: &[&str], capture: &str| {
        place(&pictures, stacked(n), Pair::Grid, [names("n", &of), names(capture, &texts(at))], &mut Scratch::default())
    };
    let placed = paired(3, &["1", "4", "5"], "n").unwrap();
    assert_eq!((placed.placement, placed.slices), (Placement::Same, Some(vec![Some(0), Some(3), Some(4)])));
    assert!(placed.notes[0].contains("2 of 5 image slices") && placed.notes[0].ends_with("1, 2"), "{:?}", placed.notes);
    let placed = paired(3, &["4", "5", "6"], "n").unwrap();
    assert_eq!((placed.slices, placed.notes.len()), (Some(vec![Some(3), Some(4), None]), 2));
    assert_eq!(paired(5, &["1", "2", "3", "4", "5"], "n").unwrap().slices, None);
    let error = paired(5, &["0", "1", "2", "3", "4"], "n").unwrap_err().to_string();
    assert!(error.contains("contradict"), "{error}");
    assert_eq!(paired(5, &["0", "1", "2", "3", "4"], "m").unwrap().slices, None, "by rank, where names are unrelated");
    assert!(paired(4, &["1", "2", "3", "4"], "m").is_err(), "by rank only where counts agree");
    // Numbers in names, whatever stands around them.
    let placed = paired(4, &["mask_2", "mask_3", "mask_4", "mask_5"], "n").unwrap();
    assert_eq!(placed.slices, Some(vec![Some(1), Some(2), Some(3), Some(4)]));
    for (n, at) in [(5, &["11", "12", "13", "14", "15"][..]), (2, &["8", "9"]), (2, &["1", "01"])] {
        assert!(paired(n, at, "n").is_err(), "{at:?}");
    }
    let pairless = paired(5, &["a", "b", "c", "d", "e"], "n").unwrap();
    assert_eq!((pairless.slices, pairless.notes.len()), (None, 0));
    let holed = paired(5, &["1", "2", "3", "5", "6"], "m").unwrap();
    assert!(holed.notes[0].contains("skip 4"), "{:?}", holed.notes);
}

#[test]
fn dicom_slices_pair_by_position() {
    let at = |positions: &[f64], origin: [f64; 3]| {
        let mut mask =
            loaded([4, 3, positions.len()], vec![1; 12 * positions.len()], frame(origin, [X, Y, Z], SPACING));
        mask.positions = Some(Positions {
            along: positions.to_vec(),
            at: positions.iter().map(|z| [origin[0], origin[1], *z]).collect(),
            frame_of_reference: None,
            reordered: false,
        });
        mask
    };
    let of = Grid::of(&at(&[30., 33., 36., 39., 42.], ORIGIN));
    let placed = paired(&of, at(&[33., 36., 42.], [10., 20., 33.]), Pair::Grid).unwrap();
    assert_eq!(placed.slices, Some(vec![Some(1), Some(2), Some(4)]));
    let aside = paired(&of, at(&[33., 36., 42.], [15., 20., 33.]), Pair::Position).unwrap_err().to_string();
    assert!(aside.contains("sideways by up to 5.00 mm"), "{aside}");
    let between = paired(&of, at(&[31.6, 34.6], [10., 20., 31.6]), Pair::Position).unwrap_err().to_string();
    assert!(between.contains("no slice is at the position") && between.contains("axes LPS"), "{between}");
    // Where nobody has said in which order the slices come, a mask without places has no partner.
    let mut open = of.clone();
    open.positions.as_mut().unwrap().reordered = true;
    let error = paired(&open, loaded(SIZE, marks(), None), Pair::Grid).unwrap_err().to_string();
    assert!(error.contains("order = \"position\""), "{error}");
    // Another origin of positions.
    let mut strange = at(&[30., 33., 36., 39., 42.], ORIGIN);
    strange.positions.as_mut().unwrap().frame_of_reference = Some("1.2".into());
    let mut here = of.clone();
    here.positions.as_mut().unwrap().frame_of_reference = Some("1.3".into());
    assert!(paired(&here, strange, Pair::Grid).unwrap().notes[0].contains("frame of reference"));
    // Names that say otherwise than positions.
    let numbers = texts(&["1", "2", "3", "4", "5"]);
    let turned = texts(&["5", "4", "3", "2", "1"]);
    let mask = at(&[30., 33., 36., 39., 42.], ORIGIN);
    let error = place(&of, mask, Pair::Grid, [names("n", &numbers), names("n", &turned)], &mut Scratch::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("contradict"), "{error}");
}

proptest! {
    /// A mask whose axes are a permutation of the image's, each kept or turned around, is the same mask, to the voxel,
    /// wherever both lie.
    #[test]
    fn any_storage_order_gives_the_same(
        marks in proptest::collection::vec(0u8..4, 60),
        order in Just([0usize, 1, 2]).prop_shuffle(),
        turned in any::<[bool; 3]>(),
        at in proptest::array::uniform3(-500.0f64..500.0),
        space in any::<bool>(),
    ) {
        let of = grid(frame(at, [X, Y, Z], SPACING));
        let pair = if space { Pair::Space } else { Pair::Grid };
        let placed = paired(&of, stored(&marks, order, turned, at), pair).unwrap();
        prop_assert_eq!(values(&placed), marks);
        let straight = order == [0, 1, 2] && turned == [false; 3];
        prop_assert_eq!(placed.placement, if straight { Placement::Same } else { Placement::Reordered });
        prop_assert!(placed.error_mm.unwrap() < 1e-6);
    }
}

#[test]
fn either_form_of_a_header_may_be_the_mask_s() {
    let turned = Geometry::from_lps([12., 25., 31.], [X, Y, Z], SPACING);
    let mut of = image();
    of.other = Some(turned.clone());
    let placed = paired(&of, loaded(SIZE, marks(), Some(turned)), Pair::Space).unwrap();
    assert_eq!((placed.placement, values(&placed)), (Placement::Same, marks()));
    assert!(placed.notes[0].contains("sform and the qform"), "{:?}", placed.notes);
}

#[test]
fn equal_headers_that_span_no_volume_are_the_same() {
    let flat = frame(ORIGIN, [X, Y, [0.; 3]], SPACING);
    let placed = paired(&grid(flat.clone()), loaded(SIZE, marks(), flat), Pair::Grid).unwrap();
    assert_eq!((placed.placement, placed.error_mm), (Placement::Same, Some(0.0)));
}

#[test]
fn what_lies_beyond_a_rescaled_mask_is_background() {
    let mut part = loaded([2, 2, 2], vec![9, 9, 9, 10, 9, 9, 9, 9], frame([10.5, 20.5, 33.], [X, Y, Z], SPACING));
    part.image.scaling = crate::image::Scaling { slope: 1.0, intercept: -9.0 };
    let placed = paired(&image(), part, Pair::Space).unwrap();
    assert_eq!(values(&placed).iter().filter(|&&v| v != 9).count(), 1);
    let mut full = loaded([2, 2, 2], vec![10; 8], frame([10.5, 20.5, 33.], [X, Y, Z], SPACING));
    full.image.scaling = crate::image::Scaling { slope: 1.0, intercept: -9.0 };
    assert!(paired(&image(), full, Pair::Space).unwrap_err().to_string().contains(
        "the value outside the mask is \
        undefined"
    ));
}
