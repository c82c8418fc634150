//! Connected regions of small bitmaps, and how deep a point lies inside one.

/// A row-major bitmap of a part of a slice; non-zero is inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bitmap {
    pub height: usize,
    pub width: usize,
    pub pixels: Vec<u8>,
}

impl Bitmap {
    /// The largest 8-connected region; of equals, the one that comes first row by row. `None` where nothing is inside.
    pub fn largest_region(&self) -> Option<Bitmap> {
        let mut seen = vec![false; self.pixels.len()];
        let mut best: Vec<usize> = Vec::new();
        for start in 0..self.pixels.len() {
            if self.pixels[start] == 0 || seen[start] {
                continue;
            }
            seen[start] = true;
            let mut region = vec![start];
            let mut next = 0;
            while let Some(&at) = region.get(next) {
                next += 1;
                let (y, x) = (at / self.width, at % self.width);
                for ny in y.saturating_sub(1)..(y + 2).min(self.height) {
                    for nx in x.saturating_sub(1)..(x + 2).min(self.width) {
                        let neighbour = ny * self.width + nx;
                        if self.pixels[neighbour] != 0 && !seen[neighbour] {
                            seen[neighbour] = true;
                            region.push(neighbour);
                        }
                    }
                }
            }
            if region.len() > best.len() {
                best = region;
            }
        }
        if best.is_empty() {
            return None;
        }
        let mut pixels = vec![0; self.pixels.len()];
        best.iter().for_each(|&at| pixels[at] = 1);
        Some(Bitmap { pixels, ..*self })
    }

    /// Number of pixels inside.
    pub fn area(&self) -> usize {
        self.pixels.iter().filter(|&&p| p != 0).count()
    }

    /// The pixel (x, y) farthest from the outside, by exact Euclidean distance; the bitmap's border counts as outside.
    /// Of equals, the first row by row. `None` where nothing is inside.
    pub fn deepest_pixel(&self) -> Option<[usize; 2]> {
        let distances = self.squared_distances();
        let mut best: Option<(usize, usize)> = None;
        for (at, &distance) in distances.iter().enumerate() {
            if distance > best.map_or(0, |(_, d)| d) {
                best = Some((at, distance));
            }
        }
        best.map(|(at, _)| [at % self.width, at / self.width])
    }

    /// Squared distance of every pixel to the nearest one outside, by rows and then by columns (Meijster et al. 2000,
    /// in the plain form that is quadratic in the height of a column but stops as soon as nothing nearer can come).
    fn squared_distances(&self) -> Vec<usize> {
        let (h, w) = (self.height, self.width);
        // Distance along the row to the nearest outside pixel.
        let mut along = vec![0usize; h * w];
        for y in 0..h {
            let row = y * w;
            let mut distance = 0;
            for x in 0..w {
                distance = if self.pixels[row + x] == 0 { 0 } else { distance + 1 };
                along[row + x] = distance;
            }
            distance = 0;
            for x in (0..w).rev() {
                distance = if self.pixels[row + x] == 0 { 0 } else { distance + 1 };
                along[row + x] = along[row + x].min(distance);
            }
        }
        let mut squared = vec![0usize; h * w];
        for x in 0..w {
            for y in 0..h {
                let own = along[y * w + x];
                let mut best = own * own;
                let mut step = 1;
                while step * step < best {
                    // A row beyond the bitmap is outside at distance 0.
                    let above = y.checked_sub(step).map_or(0, |r| along[r * w + x]);
                    let below = if y + step < h { along[(y + step) * w + x] } else { 0 };
                    let nearest = above.min(below);
                    best = best.min(step * step + nearest * nearest);
                    step += 1;
                }
                squared[y * w + x] = best;
            }
        }
        squared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(rows: &[&str]) -> Bitmap {
        let pixels = rows.iter().flat_map(|r| r.bytes().map(|b| u8::from(b == b'#'))).collect();
        Bitmap { height: rows.len(), width: rows[0].len(), pixels }
    }

    #[test]
    fn diagonal_neighbours_are_connected() {
        let two = bitmap(&["##..#", "..#.#", "....#"]);
        assert_eq!(two.largest_region(), Some(bitmap(&["##...", "..#..", "....."])));
        assert_eq!(bitmap(&["...", "..."]).largest_region(), None);
    }

    #[test]
    fn the_deepest_pixel_of_a_rectangle_is_its_centre() {
        assert_eq!(bitmap(&["#####", "#####", "#####", "#####", "#####"]).deepest_pixel(), Some([2, 2]));
        assert_eq!(bitmap(&[".....", "..#..", "....."]).deepest_pixel(), Some([2, 1]));
        assert_eq!(bitmap(&["..."]).deepest_pixel(), None);
    }

    proptest::proptest! {
        #[test]
        fn distances_are_exact(h in 1usize..9, w in 1usize..9, bits in proptest::collection::vec(0u8..8, 64)) {
            let pixels: Vec<u8> = bits[..h * w].iter().map(|&b| u8::from(b > 0)).collect();
            let map = Bitmap { height: h, width: w, pixels };
            let outside = |x: i64, y: i64| {
                x < 0 || y < 0 || x >= w as i64 || y >= h as i64 || map.pixels[y as usize * w + x as usize] == 0
            };
            for (at, &ours) in map.squared_distances().iter().enumerate() {
                let (x, y) = ((at % w) as i64, (at / w) as i64);
                let brute = (-1..=h as i64)
                    .flat_map(|v| (-1..=w as i64).map(move |u| (u, v)))
                    .filter(|&(u, v)| outside(u, v))
                    .map(|(u, v)| (u - x).pow(2) + (v - y).pow(2))
                    .min();
                proptest::prop_assert_eq!(Some(ours as i64), brute);
            }
        }
    }
}
