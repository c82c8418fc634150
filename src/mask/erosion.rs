//! Erosion and surface of a mask, on its runs. What lies beyond the image border counts as outside, as in scipy's
//! `binary_erosion` with its default `border_value = 0`.

use super::{Mask, RunWriter};

impl Mask {
    /// Erosion by the cross of the 4-neighbourhood: the pixels whose four neighbours are all set.
    pub fn eroded_by_cross(&self) -> Mask {
        self.shrunk_along_columns(1).intersection(&self.shifted_right(1)).intersection(&self.shifted_left(1))
    }

    /// Erosion by the square of `2 radius + 1` pixels: the pixels with no unset pixel nearer than that along both axes.
    pub fn eroded_by_square(&self, radius: u32) -> Mask {
        let size = 2 * radius as u64 + 1;
        // `window` holds the pixels that are set together with the `span - 1` pixels to their right; the span doubles.
        let mut window = self.shrunk_along_columns(radius);
        let mut span = 1;
        while span < size && !window.is_empty() {
            let step = span.min(size - span);
            window = window.intersection(&window.shifted_left(step));
            span += step;
        }
        window.shifted_right(radius as u64)
    }

    /// The surface as distance metrics define it: the mask minus its erosion by the cross (docs/protocol.md, 4). It is
    /// empty only where the mask is.
    pub fn surface(&self) -> Mask {
        self.difference(&self.eroded_by_cross())
    }

    /// Every vertical run without its first and last `radius` pixels.
    fn shrunk_along_columns(&self, radius: u32) -> Mask {
        let mut out = RunWriter::new(self.height, self.width);
        for (x, y0, y1) in self.column_runs().filter(|&(_, y0, y1)| (y1 - y0) as u64 > 2 * radius as u64) {
            out.push(x * self.height + y0 + radius, x * self.height + y1 - radius);
        }
        out.finish()
    }

    /// Moved to the right by a number of columns; what leaves the image is lost.
    fn shifted_right(&self, columns: u64) -> Mask {
        let mut out = RunWriter::new(self.height, self.width);
        if columns < self.width as u64 {
            let by = columns as u32 * self.height;
            let last = self.height * self.width - by;
            for (start, end) in self.runs().take_while(|run| run.0 < last) {
                out.push(start + by, end.min(last) + by);
            }
        }
        out.finish()
    }

    /// Moved to the left by a number of columns; what leaves the image is lost.
    fn shifted_left(&self, columns: u64) -> Mask {
        let mut out = RunWriter::new(self.height, self.width);
        if columns < self.width as u64 {
            let by = columns as u32 * self.height;
            for (start, end) in self.runs().filter(|run| run.1 > by) {
                out.push(start.max(by) - by, end - by);
            }
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// True where all pixels at the offsets are set; those beyond the border are not.
    fn eroded_pixelwise(mask: &Mask, offsets: &[(i64, i64)]) -> Mask {
        let (h, w) = (mask.height() as i64, mask.width() as i64);
        let bitmap = mask.to_bitmap();
        Mask::from_predicate(mask.height(), mask.width(), |i| {
            let (x, y) = (i as i64 % w, i as i64 / w);
            offsets
                .iter()
                .map(|(dx, dy)| (x + dx, y + dy))
                .all(|(x, y)| (0..w).contains(&x) && (0..h).contains(&y) && bitmap[(y * w + x) as usize] == 1)
        })
    }

    proptest! {
        #[test]
        fn runs_erode_as_pixels_do(
            h in 1u32..16, w in 1u32..16, radius in 0u32..9, seed in prop::collection::vec(0u8..12, 256),
        ) {
            let mask = Mask::from_predicate(h, w, |i| seed[i] != 0);
            let cross = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)];
            prop_assert_eq!(mask.eroded_by_cross(), eroded_pixelwise(&mask, &cross));
            let reach = -(radius as i64)..=radius as i64;
            let square: Vec<_> = reach.clone().flat_map(|dx| reach.clone().map(move |dy| (dx, dy))).collect();
            prop_assert_eq!(mask.eroded_by_square(radius), eroded_pixelwise(&mask, &square));
            prop_assert_eq!(mask.surface().is_empty(), mask.is_empty());
        }
    }
}
