//! Structures of closed contours, filled on the grid of an image.
//!
//! A pixel is inside where its centre is (even–odd rule, an edge belonging to the pixel on its right or below).
//! Contours of one structure in one plane are combined by exclusive or, so that a contour within another is a hole; a
//! hole that is drawn as a keyhole, one contour that runs inwards and back, comes out the same. A contour that is there
//! twice, in whichever direction, counts once. Contours lie at the mean of their corners, and where all are near slices
//! of the image, each belongs to its slice. Else they were drawn on other slices: those of planes between slices go to
//! the nearest slice, and of several planes that fall on one slice the nearest counts.

use std::collections::{BTreeMap, BTreeSet};

use super::{COVERED, Misfit, Placed, SLICE_TOLERANCE, Target};

/// A contour may rise across the slices by this share of the distance between them.
const FLAT: f64 = 0.5;
/// Contours this close (in slices) lie in one plane.
const SAME_PLANE: f64 = 0.05;
/// A contour this far off its slice (in slices) is worth a note.
const OFF_SLICE: f64 = SAME_PLANE;
/// Contours whose lines lie this close (in pixels) are the same contour.
const SAME_LINE: f64 = 0.05;

/// A closed contour: its corners in RAS+ millimetres.
pub(in crate::formats) type Contour = Vec<[f64; 3]>;

/// One structure.
#[derive(Clone, Debug, Default)]
pub(in crate::formats) struct Structure {
    pub closed: Vec<Contour>,
    /// Points, open lines, contours of fewer than three corners: what has no inside.
    pub without_area: usize,
}

/// A contour in pixels of a slice.
struct Outline {
    /// Position along the slices.
    at: f64,
    corners: Vec<[f64; 2]>,
}

/// Pixels of a row from a start to before an end.
type Span = (usize, usize, usize);

impl Structure {
    pub fn on_grid(&self, target: Target) -> Result<Placed, Misfit> {
        let size = target.size;
        let (geometry, to_index) = target.frame()?;
        let mut notes = Vec::new();
        if self.without_area > 0 {
            notes.push(format!("{} point(s) or open contour(s) without area are left out", self.without_area));
        }
        let mut marks = vec![0u8; size.iter().product()];
        let contours: Vec<Vec<[f64; 3]>> = self
            .closed
            .iter()
            .map(|contour| {
                let index = |p: &[f64; 3]| to_index.map(|r| r[0] * p[0] + r[1] * p[1] + r[2] * p[2] + r[3]);
                contour.iter().map(index).collect()
            })
            .collect();
        if contours.is_empty() {
            notes.push("no closed contour".into());
            return Ok(Placed { marks, reordered: false, error_mm: 0.0, notes });
        }
        let axis = slice_axis(&contours)?;
        let in_plane = [[1, 2], [0, 2], [0, 1]][axis];
        let outlines: Vec<Outline> = contours.iter().map(|c| outline(c, axis, in_plane)).collect();

        let even: Vec<f64>;
        let heights = match target.heights {
            Some(heights) if axis == 2 => heights,
            Some(_) => {
                let reason = "the contours cross the slices of the image, of which some are missing";
                return Err(Misfit::OffGrid(reason.into()));
            }
            None => {
                even = (0..size[axis]).map(|i| i as f64).collect();
                &even
            }
        };
        let total = outlines.len();
        let (first, last) = ends(outlines.iter().map(|o| o.at));
        let (on_slices, others): (Vec<_>, Vec<_>) =
            outlines.into_iter().partition(|o| nearest(heights, o.at).is_some());
        let (bottom, top) = ends(heights.iter().copied());
        let (in_gap, outside): (Vec<_>, Vec<_>) = others.into_iter().partition(|o| bottom < o.at && o.at < top);
        if on_slices.is_empty() {
            let place =
                format!("the contours are at slices {first:.2} to {last:.2} of an image with {} slices", size[axis]);
            return Err(Misfit::Elsewhere(match outside.is_empty() {
                true => format!("{place}, in a gap of the series where slices of the image are missing"),
                false => format!("{place}: they do not belong together"),
            }));
        }
        if !in_gap.is_empty() {
            let count = in_gap.len();
            notes.push(format!(
                "{count} of {total} contours are in a gap of the series where slices of the image are missing, and are \
                 left out"
            ));
        }
        let beyond = outside.len();
        let (mut chosen, left_out, off) = planes(on_slices, heights);
        let mut outside = by_plane(outside);
        let repeated: usize =
            chosen.values_mut().chain(outside.iter_mut().map(|(_, plane)| plane)).map(drop_repeated).sum();
        if repeated > 0 {
            notes.push(format!("{repeated} contour(s) occur twice and are read once"));
        }
        let [columns, rows] = in_plane.map(|a| size[a]);
        let drawn: f64 =
            chosen.values().chain(outside.iter().map(|(_, plane)| plane)).map(|plane| covered(plane, None)).sum();
        let inside: f64 = chosen.values().map(|plane| covered(plane, Some([columns, rows]))).sum();
        if inside < COVERED * drawn {
            let percent = 100.0 * (1.0 - inside / drawn);
            let beside = match beyond {
                0 => String::new(),
                _ => format!(" ({beyond} of {total} contours are above or below its slices)"),
            };
            return Err(Misfit::Elsewhere(format!(
                "{percent:.1} % of the area of the contours is outside the image{beside}: they do not belong together"
            )));
        }
        if beyond > 0 {
            notes.push(format!("{beyond} of {total} contours are outside the image's slices"));
        }
        if left_out > 0 {
            notes.push(format!("{left_out} contour(s) between slices that have closer ones are left out"));
        }
        if off > OFF_SLICE {
            notes.push(format!("contours are up to {off:.2} slices away from their slice"));
        }
        if let (Some((low, _)), Some((high, _))) = (chosen.first_key_value(), chosen.last_key_value()) {
            let (between, with) = (high - low + 1, chosen.len());
            if with < between {
                notes.push(format!("{} of the {between} slices between its ends have no contour", between - with));
            }
        }
        let steps = [1, size[0], size[0] * size[1]];
        let (mut clipped, mut crossing) = (0, 0);
        for (slice, mut outlines) in chosen {
            outlines.sort_by(|a, b| area(&b.corners).total_cmp(&area(&a.corners)));
            for outline in outlines {
                let beyond = |c: &[f64; 2]| c[0] < -1.0 || c[1] < -1.0 || c[0] > columns as f64 || c[1] > rows as f64;
                clipped += usize::from(outline.corners.iter().any(beyond));
                let (mut inside, mut overlap) = (0usize, 0usize);
                for (row, start, end) in spans(&outline.corners, columns, rows) {
                    for column in start..end {
                        let at = slice * steps[axis] + row * steps[in_plane[1]] + column * steps[in_plane[0]];
                        inside += 1;
                        overlap += usize::from(marks[at]);
                        marks[at] ^= 1;
                    }
                }
                crossing += usize::from(overlap > 0 && overlap < inside);
            }
        }
        if clipped > 0 {
            notes.push(format!("{clipped} contour(s) extend beyond the image"));
        }
        if crossing > 0 {
            notes.push(format!("{crossing} contour(s) cross others of the same slice; the overlap counts as outside"));
        }
        Ok(Placed { marks, reordered: false, error_mm: off * geometry.spacing[axis], notes })
    }
}

/// The axis of the image along which every contour is flat.
fn slice_axis(contours: &[Vec<[f64; 3]>]) -> Result<usize, Misfit> {
    let rise = |axis: usize| {
        let extent = |c: &Vec<[f64; 3]>| {
            let (low, high) = c.iter().fold((f64::MAX, f64::MIN), |(l, h), p| (l.min(p[axis]), h.max(p[axis])));
            high - low
        };
        contours.iter().map(extent).fold(0.0, f64::max)
    };
    let rises = [0, 1, 2].map(rise);
    // The third axis first, where several would do.
    let axis = [2, 1, 0].into_iter().min_by(|&a, &b| rises[a].total_cmp(&rises[b])).unwrap_or(2);
    if rises[axis] <= FLAT {
        return Ok(axis);
    }
    Err(Misfit::OffGrid(format!(
        "the contours are not in the planes of the image's slices: along x, y, z they extend over up to {:.2}, {:.2}, \
         {:.2} pixels, but one of these should be close to 0",
        rises[0], rises[1], rises[2]
    )))
}

fn outline(contour: &[[f64; 3]], axis: usize, in_plane: [usize; 2]) -> Outline {
    let at = contour.iter().map(|p| p[axis]).sum::<f64>() / contour.len() as f64;
    Outline { at, corners: contour.iter().map(|p| in_plane.map(|a| p[a])).collect() }
}

/// Drops what would cancel itself: contours along the same line as one before, whatever their direction and first
/// corner.
fn drop_repeated(outlines: &mut Vec<Outline>) -> usize {
    let before = outlines.len();
    let mut kept: Vec<Outline> = Vec::with_capacity(before);
    for outline in outlines.drain(..) {
        if !kept.iter().any(|other| same_line(&other.corners, &outline.corners)) {
            kept.push(outline);
        }
    }
    *outlines = kept;
    before - outlines.len()
}

/// Whether every corner and middle of an edge of either polygon lies on the other.
fn same_line(a: &[[f64; 2]], b: &[[f64; 2]]) -> bool {
    let close = |a: (f64, f64), b: (f64, f64)| (a.0 - b.0).abs() <= SAME_LINE && (a.1 - b.1).abs() <= SAME_LINE;
    let extent = |corners: &[[f64; 2]], axis: usize| ends(corners.iter().map(|c| c[axis]));
    let lies_on = |a: &[[f64; 2]], b: &[[f64; 2]]| {
        edges(a).all(|[from, to]| {
            let middle = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
            [from, middle].iter().all(|point| edges(b).any(|edge| distance(*point, edge) <= SAME_LINE))
        })
    };
    (0..2).all(|axis| close(extent(a, axis), extent(b, axis))) && lies_on(a, b) && lies_on(b, a)
}

fn edges(corners: &[[f64; 2]]) -> impl Iterator<Item = [[f64; 2]; 2]> + '_ {
    corners.iter().zip(corners.iter().cycle().skip(1)).map(|(a, b)| [*a, *b])
}

/// From a point to an edge.
fn distance(point: [f64; 2], [from, to]: [[f64; 2]; 2]) -> f64 {
    let (way, to_point) = ([to[0] - from[0], to[1] - from[1]], [point[0] - from[0], point[1] - from[1]]);
    let length = way[0] * way[0] + way[1] * way[1];
    let share = if length > 0.0 { (way[0] * to_point[0] + way[1] * to_point[1]) / length } else { 0.0 };
    let share = share.clamp(0.0, 1.0);
    (to_point[0] - share * way[0]).hypot(to_point[1] - share * way[1])
}

/// The lowest and the highest value.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// Area that contours of one plane enclose, holes taken out; with a size that of the part within an image.
fn covered(plane: &[Outline], within: Option<[usize; 2]>) -> f64 {
    let encloses = |outer: &Outline, point: [f64; 2]| {
        let beside = |[a, b]: [[f64; 2]; 2]| {
            (a[1] <= point[1]) != (b[1] <= point[1])
                && point[0] < a[0] + (point[1] - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        };
        edges(&outer.corners).filter(|edge| beside(*edge)).count() % 2 == 1
    };
    let areas: Vec<f64> = plane.iter().map(|o| area(&o.corners)).collect();
    let parts = plane.iter().enumerate().map(|(i, outline)| {
        let Some(&corner) = outline.corners.first() else { return 0.0 };
        let larger = plane.iter().zip(&areas).filter(|(_, a)| **a > areas[i]);
        let depth = larger.filter(|(outer, _)| encloses(outer, corner)).count();
        let own = match within {
            Some(size) => area(&clipped(&outline.corners, size)),
            None => areas[i],
        };
        if depth % 2 == 0 { own } else { -own }
    });
    parts.sum()
}

/// The part of a polygon within the outer edges of an image's pixels (Sutherland and Hodgman 1974).
fn clipped(corners: &[[f64; 2]], size: [usize; 2]) -> Vec<[f64; 2]> {
    let mut part = corners.to_vec();
    for axis in 0..2 {
        for (edge, sign) in [(-0.5, 1.0), (size[axis] as f64 - 0.5, -1.0)] {
            let depth = |c: &[f64; 2]| (c[axis] - edge) * sign;
            let mut next = Vec::with_capacity(part.len());
            for [a, b] in edges(&part) {
                let (from, to) = (depth(&a), depth(&b));
                if from >= 0.0 {
                    next.push(a);
                }
                if (from >= 0.0) != (to >= 0.0) {
                    let share = from / (from - to);
                    next.push([a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])]);
                }
            }
            part = next;
        }
    }
    part
}

/// The outlines of each slice, how many belong to planes that another is nearer than, and how far the farthest plane
/// lies from its slice.
fn planes(outlines: Vec<Outline>, heights: &[f64]) -> (BTreeMap<usize, Vec<Outline>>, usize, f64) {
    let placed = |o: &Outline| nearest(heights, o.at).map(|slice| (slice, (o.at - heights[slice]).abs()));
    let slices: BTreeSet<usize> = outlines.iter().filter_map(|o| Some(placed(o)?.0)).collect();
    // Contours of other, closer slices lie farther off somewhere, unless they span less than a step.
    let own = slices.len() > 1 && outlines.iter().all(|o| placed(o).is_some_and(|(_, off)| off <= SLICE_TOLERANCE));
    let mut chosen: BTreeMap<usize, (f64, Vec<Outline>)> = BTreeMap::new();
    let mut left_out = 0;
    for (at, plane) in by_plane(outlines) {
        let Some(slice) = nearest(heights, at) else { continue };
        let off = (at - heights[slice]).abs();
        match chosen.get_mut(&slice) {
            Some((farthest, contours)) if own => {
                *farthest = farthest.max(off);
                contours.extend(plane);
            }
            Some((nearer, _)) if *nearer <= off => left_out += plane.len(),
            _ => left_out += chosen.insert(slice, (off, plane)).map_or(0, |(_, other)| other.len()),
        }
    }
    let off = chosen.values().map(|(off, _)| *off).fold(0.0, f64::max);
    (chosen.into_iter().map(|(slice, (_, plane))| (slice, plane)).collect(), left_out, off)
}

/// Outlines of the same height together, the lowest first, each with that height.
fn by_plane(mut outlines: Vec<Outline>) -> Vec<(f64, Vec<Outline>)> {
    outlines.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut planes: Vec<(f64, Vec<Outline>)> = Vec::new();
    for outline in outlines {
        match planes.last_mut() {
            Some((at, plane)) if outline.at - *at <= SAME_PLANE => plane.push(outline),
            _ => planes.push((outline.at, vec![outline])),
        }
    }
    planes
}

/// The slice that is nearest, within half a step.
fn nearest(heights: &[f64], at: f64) -> Option<usize> {
    let off = |i: &usize| (heights[*i] - at).abs();
    (0..heights.len()).min_by(|a, b| off(a).total_cmp(&off(b))).filter(|i| off(i) <= 0.5)
}

fn area(corners: &[[f64; 2]]) -> f64 {
    (edges(corners).map(|[a, b]| a[0] * b[1] - b[0] * a[1]).sum::<f64>() / 2.0).abs()
}

/// Pixels whose centres lie inside a polygon.
fn spans(corners: &[[f64; 2]], columns: usize, rows: usize) -> Vec<Span> {
    // From the first row at or below one end to the last one above the other.
    let row = |v: f64| (v.ceil().max(0.0) as usize).min(rows);
    let first = corners.iter().map(|c| row(c[1])).min().unwrap_or(0);
    let last = corners.iter().map(|c| row(c[1])).max().unwrap_or(0);
    let mut crossings: Vec<Vec<f64>> = vec![Vec::new(); last - first];
    for (a, b) in corners.iter().zip(corners.iter().cycle().skip(1)) {
        let (top, bottom) = if a[1] <= b[1] { (a, b) } else { (b, a) };
        for y in row(top[1])..row(bottom[1]) {
            let share = (y as f64 - top[1]) / (bottom[1] - top[1]);
            crossings[y - first].push(top[0] + share * (bottom[0] - top[0]));
        }
    }
    let column = |u: f64| (u.ceil().max(0.0) as usize).min(columns);
    let mut spans = Vec::new();
    for (mut at, y) in crossings.into_iter().zip(first..) {
        at.sort_by(f64::total_cmp);
        spans.extend(at.as_chunks::<2>().0.iter().map(|[from, to]| (y, column(*from), column(*to))));
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Geometry;

    const X: [f64; 3] = [1., 0., 0.];
    const Y: [f64; 3] = [0., 1., 0.];
    const Z: [f64; 3] = [0., 0., 1.];

    fn grid() -> ([usize; 3], Geometry) {
        ([12, 10, 5], Geometry::from_lps([0.; 3], [X, Y, Z], [1., 1., 2.]))
    }

    /// A box from one corner to the other in LPS+ at a height, as RAS+.
    fn square(from: f64, to: f64, z: f64) -> Contour {
        [[from, from], [to, from], [to, to], [from, to]].map(|[x, y]| [-x, -y, z]).to_vec()
    }

    fn filled(closed: Vec<Contour>) -> Result<Placed, Misfit> {
        let (size, geometry) = grid();
        Structure { closed, without_area: 0 }.on_grid(Target {
            size,
            geometry: Some(&geometry),
            heights: None,
            series: None,
        })
    }

    fn count(placed: &Placed, slice: usize) -> usize {
        placed.marks[slice * 120..][..120].iter().filter(|v| **v == 1).count()
    }

    #[test]
    fn pixel_centres_decide_and_holes_are_cut_out() {
        let placed = filled(vec![square(3.5, 5.5, 2.0), square(1.5, 7.5, 2.0)]).unwrap();
        assert_eq!((count(&placed, 1), placed.marks.iter().map(|m| *m as usize).sum::<usize>()), (36 - 4, 32));
        assert!(placed.notes.is_empty(), "{:?}", placed.notes);
        // The same hole as a keyhole.
        let corner = |x: f64, y: f64| [-x, -y, 2.0];
        let mut keyhole = square(1.5, 7.5, 2.0);
        keyhole.push(corner(1.5, 1.5));
        keyhole.extend([(3.5, 3.5), (3.5, 5.5), (5.5, 5.5), (5.5, 3.5), (3.5, 3.5)].map(|(x, y)| corner(x, y)));
        keyhole.push(corner(1.5, 1.5));
        assert_eq!(filled(vec![keyhole]).unwrap().marks, placed.marks);
        // An edge through pixel centres takes those of one side.
        assert_eq!(count(&filled(vec![square(2.0, 4.0, 0.0)]).unwrap(), 0), 4);
    }

    #[test]
    fn contours_between_slices_and_outside_are_told() {
        let placed = filled(vec![square(1.5, 4.5, 2.6), square(1.5, 3.5, 2.2)]).unwrap();
        assert_eq!([0, 1, 2].map(|z| count(&placed, z)), [0, 4, 0]);
        assert!(placed.notes.iter().any(|n| n.contains("1 contour(s) between slices")), "{:?}", placed.notes);
        // Less than a hundredth outside is reported, more is refused: above, below and next to the image.
        let most = || [0.0, 2.0, 4.0].map(|z| square(0.5, 8.5, z)).to_vec();
        let placed = filled([most(), vec![square(1.5, 2.5, 99.0)]].concat()).unwrap();
        assert!(placed.notes[0].contains("1 of 4 contours are outside"), "{:?}", placed.notes);
        for (other, words) in [
            (square(1.5, 4.5, 99.0), "4.5 % of the area of the contours is outside"),
            (square(1.5, 14.5, 6.0), "% of the area"),
        ] {
            let Err(Misfit::Elsewhere(why)) = filled([most(), vec![other]].concat()) else { panic!("refused") };
            assert!(why.contains(words), "{why}");
        }
        let Err(Misfit::Elsewhere(why)) = filled(vec![square(1.5, 4.5, -9.0)]) else { panic!("refused") };
        assert!(why.contains("slices -4.50 to -4.50 of an image with 5 slices"), "{why}");
        let beside = filled(vec![square(50.0, 60.0, 2.0)]);
        assert!(matches!(beside, Err(Misfit::Elsewhere(_))), "{beside:?}");
    }

    #[test]
    fn the_same_contour_twice_counts_once() {
        let once = || square(1.5, 4.5, 2.0);
        let mut turned = once();
        turned.reverse();
        turned.rotate_left(1);
        let mut finer = once();
        finer.insert(1, [-3.0, -1.5, 2.0]);
        finer.push(once()[0]);
        let rounded = once().into_iter().map(|[x, y, z]| [x + 0.004, y - 0.003, z + 0.01]).collect();
        for again in [once(), turned, finer, rounded] {
            let placed = filled(vec![once(), again]).unwrap();
            assert_eq!((count(&placed, 1), placed.notes.len()), (9, 1), "{:?}", placed.notes);
        }
        // The same corners, joined otherwise.
        let mut bow = once();
        bow.swap(1, 2);
        assert_ne!(count(&filled(vec![once(), bow]).unwrap(), 1), 9);
        let crossing = filled(vec![square(1.5, 4.5, 2.0), square(3.5, 6.5, 2.0)]).unwrap();
        assert!(crossing.notes[0].contains("cross"), "{:?}", crossing.notes);
    }

    #[test]
    fn contours_beside_their_planes_belong_to_them() {
        let part = |from: f64, z: f64| square(from, from + 2.0, z);
        let both = vec![part(0.5, 0.0), part(4.5, 0.2), part(0.5, 1.8), part(4.5, 2.4)];
        let placed = filled(both).unwrap();
        assert_eq!([0, 1].map(|z| count(&placed, z)), [8, 8]);
        assert!(placed.notes.len() == 1 && placed.notes[0].contains("up to 0.20 slices away"), "{:?}", placed.notes);
        // The contours of slices that lie closer than the image's would cancel each other.
        let closer: Vec<Contour> = (0..9).map(|i| square(0.5, 4.5, f64::from(i) * 0.5)).collect();
        let placed = filled(closer).unwrap();
        assert_eq!([0, 1, 2].map(|z| count(&placed, z)), [16; 3]);
    }

    #[test]
    fn contours_in_a_gap_of_the_series_are_told() {
        let (_, geometry) = grid();
        let on = |heights: &[f64]| {
            let closed = [0.0, 2.0, 4.0].map(|z| square(0.5, 4.5, z)).to_vec();
            let size = [12, 10, heights.len()];
            let target = Target { size, geometry: Some(&geometry), heights: Some(heights), series: None };
            Structure { closed, without_area: 0 }.on_grid(target)
        };
        let placed = on(&[0.0, 1.0, 4.0]).unwrap();
        assert!(placed.notes[0].starts_with("1 of 3 contours are in a gap of the series"), "{:?}", placed.notes);
        let Err(Misfit::Elsewhere(why)) = on(&[-2.0, -1.0, 3.0]) else { panic!("refused") };
        assert!(why.contains("in a gap of the series"), "{why}");
    }

    /// The same contour on the same volume whose axes are stored in another order gives the same places.
    #[test]
    fn any_storage_order() {
        let contour = || vec![vec![[-1.2, -2.1, 4.0], [-8.7, -2.4, 4.0], [-8.1, -7.9, 4.0]]];
        let (size, geometry) = grid();
        let straight = Structure { closed: contour(), without_area: 0 }
            .on_grid(Target { size, geometry: Some(&geometry), heights: None, series: None })
            .unwrap();
        let turned = Geometry::from_lps([11., 0., 0.], [Z, [-1., 0., 0.], Y], [2., 1., 1.]);
        let other = Structure { closed: contour(), without_area: 0 }
            .on_grid(Target { size: [5, 12, 10], geometry: Some(&turned), heights: None, series: None })
            .unwrap();
        assert!(straight.marks.contains(&1));
        for z in 0..5 {
            for y in 0..10 {
                for x in 0..12 {
                    let there = other.marks[(y * 12 + (11 - x)) * 5 + z];
                    assert_eq!(straight.marks[(z * 10 + y) * 12 + x], there, "{x} {y} {z}");
                }
            }
        }
    }

    #[test]
    fn oblique_contours_are_refused() {
        let tilted = vec![vec![[-1.0, -1.0, 0.0], [-8.0, -1.0, 4.0], [-8.0, -8.0, 4.0]]];
        assert!(matches!(filled(tilted), Err(Misfit::OffGrid(_))));
    }
}
