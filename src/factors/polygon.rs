//! Filling polygons of whole-pixel corners, with the pixels that OpenCV's `fillPoly` sets: those under the outline,
//! drawn as 8-connected lines, and those inside by the even-odd rule.
//!
//! Two polygons are drawn in one [`Canvas`] each, of the same [`Frame`], to count what they share. The canvas has one
//! bit a pixel and covers the polygons only, wherever they lie: nothing is clipped.

use super::contour::Point;

/// The rectangle of pixels that a canvas covers: the first column and row, and those behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    start: Point,
    end: Point,
}

impl Frame {
    /// The smallest frame around some points.
    pub(super) fn around(points: &[Point]) -> Self {
        let nothing = Frame { start: [i32::MAX; 2], end: [i32::MIN; 2] };
        points.iter().fold(nothing, |frame, &[x, y]| frame.union(Frame { start: [x, y], end: [x + 1, y + 1] }))
    }

    /// The smallest frame around both.
    pub(super) fn union(self, other: Frame) -> Self {
        let [a, b] = [self.start, other.start];
        let [c, d] = [self.end, other.end];
        Frame { start: [a[0].min(b[0]), a[1].min(b[1])], end: [c[0].max(d[0]), c[1].max(d[1])] }
    }
}

/// A bitmap of a frame, 64 pixels of a row to a word.
pub(super) struct Canvas {
    frame: Frame,
    words_per_row: usize,
    words: Vec<u64>,
    crossings: Vec<u64>,
}

impl Canvas {
    /// The filled polygon in a frame that holds all its points.
    pub(super) fn filled(frame: Frame, polygon: &[Point]) -> Self {
        let [width, height] = [0, 1].map(|axis| (frame.end[axis] - frame.start[axis]).max(0) as usize);
        let words_per_row = width.div_ceil(64);
        let mut canvas = Canvas { frame, words_per_row, words: vec![0; words_per_row * height], crossings: Vec::new() };
        canvas.fill(polygon);
        canvas
    }

    /// Wipes the canvas and fills a polygon, all of whose points lie in the frame.
    pub(super) fn fill(&mut self, polygon: &[Point]) {
        self.words.fill(0);
        let Some(&last) = polygon.last() else { return };
        self.crossings.clear();
        let mut from = last;
        for &to in polygon {
            // Points of a contour are neighbours mostly: the line is both, and every point is the end of a line.
            let apart = [0, 1].map(|axis| (to[axis] - from[axis]).unsigned_abs());
            if apart[0].max(apart[1]) < 2 {
                self.set_point(to);
            } else {
                self.draw_line(from, to);
            }
            if apart[1] > 0 {
                self.cross_rows(from, to);
            }
            from = to;
        }
        self.crossings.sort_unstable();
        // Every row is crossed an even number of times, so that both of a pair are of one row.
        for pair in 0..self.crossings.len() / 2 {
            let [left, right] = [self.crossings[2 * pair], self.crossings[2 * pair + 1]];
            let (row, left, right) = ((left >> ROW_SHIFT) as usize, left & COLUMN_MASK, right & COLUMN_MASK);
            self.set(row, left.div_ceil(FRACTION), right / FRACTION + 1);
        }
    }

    /// Number of pixels set.
    pub(super) fn area(&self) -> u64 {
        self.words.iter().map(|word| word.count_ones() as u64).sum()
    }

    /// Number of pixels set in both; the canvases have one frame.
    pub(super) fn shared(&self, other: &Canvas) -> u64 {
        debug_assert_eq!(self.frame, other.frame);
        self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones() as u64).sum()
    }

    /// Sets the pixels `start..end` of a row; both are counted from the frame's start.
    fn set(&mut self, row: usize, start: u64, end: u64) {
        let (mut x, end) = (start as usize, end as usize);
        while x < end {
            let bits = (64 - x % 64).min(end - x);
            self.words[row * self.words_per_row + x / 64] |= (u64::MAX >> (64 - bits)) << (x % 64);
            x += bits;
        }
    }

    fn set_point(&mut self, [x, y]: Point) {
        let [x, y] = [x - self.frame.start[0], y - self.frame.start[1]].map(|v| v as usize);
        self.words[y * self.words_per_row + x / 64] |= 1 << (x % 64);
    }

    /// Draws Bresenham's 8-connected line, from left to right as OpenCV does: the direction decides ties.
    fn draw_line(&mut self, from: Point, to: Point) {
        let (from, to) = if to[0] < from[0] { (to, from) } else { (from, to) };
        let (dx, dy) = (to[0] - from[0], (to[1] - from[1]).abs());
        let down = if to[1] < from[1] { -1 } else { 1 };
        let (long, short) = (dx.max(dy), dx.min(dy));
        let (mut x, mut y) = ((from[0] - self.frame.start[0]) as usize, from[1] - self.frame.start[1]);
        let mut error = long - 2 * short;
        for _ in 0..=long {
            self.words[y as usize * self.words_per_row + x / 64] |= 1 << (x % 64);
            let both = error < 0;
            error += if both { 2 * long } else { 0 } - 2 * short;
            if both || dx >= dy {
                x += 1;
            }
            if both || dx < dy {
                y += down;
            }
        }
    }

    /// Notes where an edge that is not level crosses each of its rows, the lower end not counted.
    fn cross_rows(&mut self, from: Point, to: Point) {
        let (top, bottom) = if to[1] < from[1] { (to, from) } else { (from, to) };
        let rows = (bottom[1] - top[1]) as i64;
        let first = (top[1] - self.frame.start[1]) as u64;
        let x = (top[0] - self.frame.start[0]) as i64 * FRACTION as i64;
        if rows == 1 {
            self.crossings.push(first << ROW_SHIFT | x as u64);
            return;
        }
        let slope = (bottom[0] - top[0]) as i64 * FRACTION as i64 / rows;
        self.crossings.extend((0..rows).map(|row| (first + row as u64) << ROW_SHIFT | (x + row * slope) as u64));
    }
}

/// Edges are followed in fixed point with 16 bits of fraction, as OpenCV does.
const FRACTION: u64 = 1 << 16;
/// A crossing is one number, so that sorting is fast: the row above, the column in fixed point below.
const ROW_SHIFT: u32 = 40;
const COLUMN_MASK: u64 = (1 << ROW_SHIFT) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of `.` and `#`.
    fn drawn(polygon: &[Point]) -> Vec<String> {
        let frame = Frame::around(polygon);
        let canvas = Canvas::filled(frame, polygon);
        let is_set = |x: i32, y: i32| canvas.words[y as usize * canvas.words_per_row + x as usize / 64] >> (x % 64) & 1;
        let width = frame.end[0] - frame.start[0];
        let row = |y| (0..width).map(|x| if is_set(x, y) == 1 { '#' } else { '.' }).collect();
        (0..frame.end[1] - frame.start[1]).map(row).collect()
    }

    #[test]
    fn pixels_are_those_of_opencv() {
        // cv2.fillPoly on an image that holds the whole polygon
        assert_eq!(drawn(&[[-2, 5], [4, 5], [1, 8]]), ["#######", ".#####.", "..###..", "...#..."]);
        assert_eq!(drawn(&[[7, 7]]), ["#"]);
        assert_eq!(drawn(&[[0, 0], [3, 1]]), ["##..", "..##"]);
    }

    #[test]
    fn rows_wider_than_a_word() {
        let canvas = Canvas::filled(Frame::around(&[[0, 0], [199, 3]]), &[[0, 0], [199, 0], [199, 3], [0, 3]]);
        assert_eq!(canvas.area(), 800);
        let other = Canvas::filled(canvas.frame, &[[100, 1], [150, 1], [150, 2], [100, 2]]);
        assert_eq!((canvas.shared(&other), other.area()), (102, 102));
    }
}
