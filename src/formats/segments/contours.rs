//! Structures of closed contours, filled on the grid of an image.
//!
//! A pixel is inside where its centre is (even–odd rule, an edge belonging to the pixel on its right or below). Contours of
//! one structure in one plane are combined by exclusive or, so that a contour within another is a hole; a hole that is drawn
//! as a keyhole, one contour that runs inwards and back, comes out the same. Contours of planes between slices go to
//! the nearest slice; of several planes that fall on one slice the nearest counts.

use std::collections::BTreeMap;

use super::{Misfit, Placed, Target};

/// A contour may rise across the slices by this share of the distance between them.
const FLAT: f64 = 0.5;
/// Contours this close (in slices) lie in one plane.
const SAME_PLANE: f64 = 0.05;
/// A plane this far off its slice (in slices) is worth a note.
const OFF_SLICE: f64 = 0.1;

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
            notes.push(format!("{} point(s) or open contour(s) have no area and are left out", self.without_area));
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
            notes.push("it has no closed contour".into());
            return Ok(Placed { marks, reordered: false, error_mm: 0.0, notes });
        }
        let axis = slice_axis(&contours)?;
        let in_plane = [[1, 2], [0, 2], [0, 1]][axis];
        let mut outlines: Vec<Outline> = contours.iter().map(|c| outline(c, axis, in_plane)).collect();
        let repeated = drop_repeated(&mut outlines);
        if repeated > 0 {
            notes.push(format!("{repeated} contour(s) are there twice: read once"));
        }

        let even: Vec<f64>;
        let heights = match target.heights {
            Some(heights) if axis == 2 => heights,
            Some(_) => {
                let reason = "its contours lie across the slices of the image, of which some are missing";
                return Err(Misfit::OffGrid(reason.into()));
            }
            None => {
                even = (0..size[axis]).map(|i| i as f64).collect();
                &even
            }
        };
        let total = outlines.len();
        let (first, last) =
            outlines.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), o| (l.min(o.at), h.max(o.at)));
        outlines.retain(|o| nearest(heights, o.at).is_some());
        if outlines.is_empty() {
            return Err(Misfit::Elsewhere(format!(
                "its contours lie at slices {first:.2} to {last:.2} of an image of {} slices: they do not belong together",
                size[axis]
            )));
        }
        if outlines.len() < total {
            notes.push(format!("{} of its {total} contours lie outside the image's slices", total - outlines.len()));
        }
        let (chosen, left_out, off) = planes(outlines, heights);
        if left_out > 0 {
            notes.push(format!("{left_out} contour(s) lie between slices that have nearer ones, and are left out"));
        }
        if off > OFF_SLICE {
            notes.push(format!("contours lie up to {off:.2} of a slice off theirs"));
        }
        if let (Some((low, _)), Some((high, _))) = (chosen.first_key_value(), chosen.last_key_value()) {
            let (between, with) = (high - low + 1, chosen.len());
            if with < between {
                notes.push(format!("{} of the {between} slices between its ends have no contour", between - with));
            }
        }
        let steps = [1, size[0], size[0] * size[1]];
        let [columns, rows] = in_plane.map(|a| size[a]);
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
            if !marks.contains(&1) {
                return Err(Misfit::Elsewhere("its contours lie beside the image: they do not belong together".into()));
            }
            notes.push(format!("{clipped} contour(s) reach beyond the image"));
        }
        if crossing > 0 {
            notes.push(format!("{crossing} contour(s) cross others of the same slice: where they overlap is outside"));
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
        "its contours are drawn across the slices of the image: along x, y, z they extend over up to {:.2}, {:.2}, {:.2} \
         pixels, where one of them should be next to 0",
        rises[0], rises[1], rises[2]
    )))
}

fn outline(contour: &[[f64; 3]], axis: usize, in_plane: [usize; 2]) -> Outline {
    let at = contour.iter().map(|p| p[axis]).sum::<f64>() / contour.len() as f64;
    Outline { at, corners: contour.iter().map(|p| in_plane.map(|a| p[a])).collect() }
}

/// A contour that is listed twice would cancel itself.
fn drop_repeated(outlines: &mut Vec<Outline>) -> usize {
    let key = |o: &Outline| -> Vec<u64> {
        [o.at].into_iter().chain(o.corners.iter().flatten().copied()).map(f64::to_bits).collect()
    };
    let mut seen = std::collections::BTreeSet::new();
    let before = outlines.len();
    outlines.retain(|o| seen.insert(key(o)));
    before - outlines.len()
}

/// The outlines of each slice, how many belong to planes that another is nearer than, and how far the farthest plane
/// lies from its slice.
fn planes(mut outlines: Vec<Outline>, heights: &[f64]) -> (BTreeMap<usize, Vec<Outline>>, usize, f64) {
    outlines.sort_by(|a, b| a.at.total_cmp(&b.at));
    let mut planes: Vec<(f64, Vec<Outline>)> = Vec::new();
    for outline in outlines {
        match planes.last_mut() {
            Some((at, plane)) if outline.at - *at <= SAME_PLANE => plane.push(outline),
            _ => planes.push((outline.at, vec![outline])),
        }
    }
    let mut chosen: BTreeMap<usize, (f64, Vec<Outline>)> = BTreeMap::new();
    let mut left_out = 0;
    for (at, plane) in planes {
        let Some(slice) = nearest(heights, at) else { continue };
        let off = (at - heights[slice]).abs();
        match chosen.get(&slice) {
            Some((nearer, _)) if *nearer <= off => left_out += plane.len(),
            _ => left_out += chosen.insert(slice, (off, plane)).map_or(0, |(_, other)| other.len()),
        }
    }
    let off = chosen.values().map(|(off, _)| *off).fold(0.0, f64::max);
    (chosen.into_iter().map(|(slice, (_, plane))| (slice, plane)).collect(), left_out, off)
}

/// The slice that is nearest, within half a step.
fn nearest(heights: &[f64], at: f64) -> Option<usize> {
    let off = |i: &usize| (heights[*i] - at).abs();
    (0..heights.len()).min_by(|a, b| off(a).total_cmp(&off(b))).filter(|i| off(i) <= 0.5)
}

fn area(corners: &[[f64; 2]]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    (corners.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f64>() / 2.0).abs()
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
        Structure { closed, without_area: 0 }.on_grid(Target { size, geometry: Some(&geometry), heights: None })
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
        let placed = filled(vec![square(1.5, 4.5, 2.6), square(1.5, 3.5, 2.2), square(1.5, 3.5, 99.0)]).unwrap();
        assert_eq!([0, 1, 2].map(|z| count(&placed, z)), [0, 4, 0]);
        let notes = placed.notes.join("; ");
        assert!(
            notes.contains("1 of its 3 contours lie outside") && notes.contains("1 contour(s) lie between"),
            "{notes}"
        );
        let Err(Misfit::Elsewhere(why)) = filled(vec![square(1.5, 4.5, -9.0)]) else { panic!("refused") };
        assert!(why.contains("slices -4.50 to -4.50 of an image of 5 slices"), "{why}");
        let beside = filled(vec![square(50.0, 60.0, 2.0)]);
        assert!(matches!(beside, Err(Misfit::Elsewhere(_))), "{beside:?}");
    }

    #[test]
    fn the_same_contour_twice_counts_once() {
        let placed = filled(vec![square(1.5, 4.5, 2.0), square(1.5, 4.5, 2.0)]).unwrap();
        assert_eq!((count(&placed, 1), placed.notes.len()), (9, 1));
        let crossing = filled(vec![square(1.5, 4.5, 2.0), square(3.5, 6.5, 2.0)]).unwrap();
        assert!(crossing.notes[0].contains("cross"), "{:?}", crossing.notes);
    }

    /// The same contour on the same volume whose axes are stored in another order gives the same places.
    #[test]
    fn any_storage_order() {
        let contour = || vec![vec![[-1.2, -2.1, 4.0], [-8.7, -2.4, 4.0], [-8.1, -7.9, 4.0]]];
        let (size, geometry) = grid();
        let straight = Structure { closed: contour(), without_area: 0 }
            .on_grid(Target { size, geometry: Some(&geometry), heights: None })
            .unwrap();
        let turned = Geometry::from_lps([11., 0., 0.], [Z, [-1., 0., 0.], Y], [2., 1., 1.]);
        let other = Structure { closed: contour(), without_area: 0 }
            .on_grid(Target { size: [5, 12, 10], geometry: Some(&turned), heights: None })
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
