//! The outline of a mask as an SVG path: closed loops along the edges of its pixels, holes too.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::mask::Mask;

/// A corner of a pixel: column and row.
type Corner = [i64; 2];

/// The path, in pixels of the slice; empty for an empty mask. A closed loop can be dashed, which single edges cannot.
pub(super) fn outline(mask: &Mask) -> String {
    let mut edges = edges(mask);
    let mut path = String::new();
    while let Some((&start, _)) = edges.first_key_value() {
        let loop_ = take_loop(&mut edges, start);
        for (place, [x, y]) in straightened(&loop_).into_iter().enumerate() {
            let _ = write!(path, "{}{x} {y}", if place == 0 { 'M' } else { 'L' });
        }
        path.push('Z');
    }
    path
}

/// All edges between a pixel of the mask and one outside, by where they start, with the mask on their right.
fn edges(mask: &Mask) -> BTreeMap<Corner, Vec<Corner>> {
    let (width, height) = (mask.width() as i64, mask.height() as i64);
    let inside =
        |x: i64, y: i64| (0..width).contains(&x) && (0..height).contains(&y) && mask.contains(x as u32, y as u32);
    let mut edges: BTreeMap<Corner, Vec<Corner>> = BTreeMap::new();
    let mut add = |from: Corner, to: Corner| edges.entry(from).or_default().push(to);
    for (x, top, bottom) in mask.column_runs() {
        let (x, top, bottom) = (x as i64, top as i64, bottom as i64);
        add([x, top], [x + 1, top]);
        add([x + 1, bottom], [x, bottom]);
        for y in top..bottom {
            if !inside(x - 1, y) {
                add([x, y + 1], [x, y]);
            }
            if !inside(x + 1, y) {
                add([x + 1, y], [x + 1, y + 1]);
            }
        }
    }
    edges
}

/// Follows edges from a corner until it is reached again, and takes them out.
fn take_loop(edges: &mut BTreeMap<Corner, Vec<Corner>>, start: Corner) -> Vec<Corner> {
    let (mut found, mut here) = (vec![start], start);
    while let Some(ways) = edges.get_mut(&here) {
        let Some(next) = ways.pop() else { break };
        if ways.is_empty() {
            edges.remove(&here);
        }
        if next == start {
            break;
        }
        found.push(next);
        here = next;
    }
    found
}

/// Corners at which the loop turns.
fn straightened(corners: &[Corner]) -> Vec<Corner> {
    let n = corners.len();
    let turns = |&i: &usize| {
        let ([ax, ay], [bx, by], [cx, cy]) = (corners[(i + n - 1) % n], corners[i], corners[(i + 1) % n]);
        (bx - ax, by - ay) != (cx - bx, cy - by)
    };
    (0..n).filter(turns).map(|i| corners[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_has_two_loops() {
        let ring = Mask::from_bitmap(3, 3, &[1, 1, 1, 1, 0, 1, 1, 1, 1]);
        assert_eq!(outline(&ring), "M0 0L3 0L3 3L0 3ZM1 1L1 2L2 2L2 1Z");
    }

    #[test]
    fn every_edge_is_drawn_once() {
        assert_eq!(outline(&Mask::empty(2, 2)), "");
        assert_eq!(outline(&Mask::from_bitmap(1, 3, &[0, 1, 1])), "M1 0L3 0L3 1L1 1Z");
        // Two pixels that touch at a corner.
        let diagonal = outline(&Mask::from_bitmap(2, 2, &[1, 0, 0, 1]));
        assert_eq!(diagonal.matches(['M', 'L']).count(), 8);
    }
}
