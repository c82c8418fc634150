//! The outer contour of an object, pixel by pixel.

use crate::mask::{Connectivity, Mask};

/// A contour point: column and row of a pixel.
pub type Point = [i32; 2];

/// Steps to the eight neighbours, from the right one on, counter-clockwise as seen on the screen (rows grow downwards).
const STEPS: [Point; 8] = [[1, 0], [1, -1], [0, -1], [-1, -1], [-1, 0], [-1, 1], [0, 1], [1, 1]];

/// The outer contour of the largest component (8-neighbourhood), every border pixel of it in order; `None` where the
/// mask is empty.
///
/// Border following after Suzuki and Abe (1985), with the start and direction of OpenCV's
/// `findContours(RETR_EXTERNAL, CHAIN_APPROX_NONE)`: from the leftmost pixel of the top row, counter-clockwise as seen
/// on the screen. A pixel that the border passes more than once, as on a line one pixel wide, is listed each time. The
/// contour is closed: the last point is a neighbour of the first, which is not repeated.
pub fn outer_contour(mask: &Mask) -> Option<Vec<Point>> {
    let component = mask.largest_component(Connectivity::Eight);
    let [x0, y0, x1, y1] = component.bounding_box()?;
    // A bitmap of the box with one pixel of background on each side.
    let width = (x1 - x0 + 3) as usize;
    let mut bitmap = vec![false; width * (y1 - y0 + 3) as usize];
    for (x, top, bottom) in component.column_runs() {
        for y in top..bottom {
            bitmap[(y - y0 + 1) as usize * width + (x - x0 + 1) as usize] = true;
        }
    }
    let neighbour = |[x, y]: Point, step: usize| [x + STEPS[step][0], y + STEPS[step][1]];
    let is_set = |[x, y]: Point| bitmap[y as usize * width + x as usize];

    let first = bitmap.iter().position(|&set| set)?;
    let start = [(first % width) as i32, (first / width) as i32];
    let to_slice = |[x, y]: Point| [x - 1 + x0 as i32, y - 1 + y0 as i32];
    // The pixel before the start: the first one found clockwise from the left neighbour, which is background.
    let Some(back) = (1..8).map(|turn| (4 + 8 - turn) % 8).find(|&step| is_set(neighbour(start, step))) else {
        return Some(vec![to_slice(start)]);
    };
    let last = neighbour(start, back);
    let mut contour = Vec::new();
    let (mut here, mut back) = (start, back);
    loop {
        contour.push(to_slice(here));
        // The next pixel: the first one found counter-clockwise from where the border came.
        let step = (1..=8).map(|turn| (back + turn) % 8).find(|&step| is_set(neighbour(here, step)))?;
        let next = neighbour(here, step);
        if next == start && here == last {
            return Some(contour);
        }
        (here, back) = (next, (step + 4) % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contours_are_those_of_opencv() {
        // cv2.findContours(m, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0][:, 0]
        let square = Mask::from_bitmap(4, 4, &[0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(outer_contour(&square).unwrap(), [[1, 1], [1, 2], [2, 2], [2, 1]]);
        let line = Mask::from_bitmap(1, 4, &[0, 1, 1, 1]);
        assert_eq!(outer_contour(&line).unwrap(), [[1, 0], [2, 0], [3, 0], [2, 0]]);
        let hook = Mask::from_bitmap(3, 3, &[0, 1, 0, 1, 0, 0, 0, 1, 1]);
        assert_eq!(outer_contour(&hook).unwrap(), [[1, 0], [0, 1], [1, 2], [2, 2], [1, 2], [0, 1]]);
    }

    #[test]
    fn small_masks() {
        assert_eq!(outer_contour(&Mask::empty(3, 3)), None);
        assert_eq!(outer_contour(&Mask::from_bitmap(1, 2, &[0, 1])).unwrap(), [[1, 0]]);
        assert_eq!(outer_contour(&Mask::from_bitmap(2, 1, &[1, 1])).unwrap(), [[0, 0], [0, 1]]);
    }

    #[test]
    fn the_largest_component_is_followed_around_its_hole() {
        let mask = Mask::from_bitmap(3, 6, &[1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1, 0]);
        let contour = outer_contour(&mask).unwrap();
        assert_eq!(contour, [[2, 0], [2, 1], [2, 2], [3, 2], [4, 2], [4, 1], [4, 0], [3, 0]]);
    }
}
