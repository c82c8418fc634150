//! Binary masks of one object in one slice, stored as run lengths.
//!
//! The runs are those of COCO's RLE (pycocotools): columns one after the other, from the top of each, alternately
//! background and object, the first run background (possibly empty). All geometry (area, box, centroid, overlaps) is
//! computed on the runs, without a bitmap. [`label_map`] derives them from label maps.

mod components;
mod erosion;
pub mod label_map;
pub(crate) mod regions;
mod set;

pub use components::Connectivity;

use thiserror::Error;

/// One binary mask of `height` x `width` pixels.
///
/// ```
/// use medcosmos::mask::Mask;
///
/// let mask = Mask::from_bitmap(3, 4, &[
///     0, 1, 1, 0,
///     0, 1, 1, 0,
///     0, 0, 0, 0,
/// ]);
/// assert_eq!(mask.area(), 4);
/// assert_eq!(mask.bounding_box(), Some([1, 0, 2, 1]));
/// assert_eq!(mask.centroid(), Some((1.5, 0.5)));
///
/// let coco = mask.to_coco(); // what pycocotools calls `counts`
/// assert_eq!(Mask::from_coco(3, 4, &coco)?, mask);
/// # Ok::<(), medcosmos::mask::RleError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mask {
    height: u32,
    width: u32,
    counts: Vec<u32>,
}

/// Inclusive pixel box `[x_min, y_min, x_max, y_max]`, without a margin (docs/protocol.md, 3).
pub type PixelBox = [u32; 4];

/// Why a run-length code is not a mask.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RleError {
    /// The runs do not add up to the number of pixels.
    #[error("runs add up to {found} pixels, but a {height} x {width} mask has {expected}")]
    Length {
        /// Sum of the runs.
        found: u64,
        /// Height times width.
        expected: u64,
        /// Rows.
        height: u32,
        /// Columns.
        width: u32,
    },
    /// The compressed string ends in the middle of a number, or holds a byte outside COCO's alphabet.
    #[error("compressed runs are broken at byte {0}")]
    Code(usize),
}

impl Mask {
    /// A mask with no pixel set.
    pub fn empty(height: u32, width: u32) -> Self {
        Mask { height, width, counts: vec![height * width] }
    }

    /// From column-major alternating runs, background first (COCO's uncompressed RLE). Empty runs inside are merged,
    /// so that equal masks have equal runs.
    pub fn from_counts(height: u32, width: u32, counts: &[u32]) -> Result<Self, RleError> {
        let found: u64 = counts.iter().map(|&c| c as u64).sum();
        let expected = height as u64 * width as u64;
        if found != expected {
            return Err(RleError::Length { found, expected, height, width });
        }
        let mut runs = RunWriter::new(height, width);
        let mut position = 0;
        for (i, &count) in counts.iter().enumerate() {
            if i % 2 == 1 {
                runs.push(position, position + count);
            }
            position += count;
        }
        Ok(runs.finish())
    }

    /// From a row-major bitmap, non-zero = object.
    ///
    /// # Panics
    /// If `bitmap.len()` is not `height * width`.
    pub fn from_bitmap(height: u32, width: u32, bitmap: &[u8]) -> Self {
        let mut masks = label_map::class_masks(height, width, bitmap, 1, |value| (value != 0).then_some(0));
        masks.swap_remove(0)
    }

    /// From a test of each pixel by its row-major position.
    pub fn from_predicate(height: u32, width: u32, inside: impl Fn(usize) -> bool) -> Self {
        let mut runs = RunWriter::new(height, width);
        let (h, w) = (height as usize, width as usize);
        for x in 0..w {
            let base = (x * h) as u32;
            let mut start = None;
            for y in 0..h {
                match (inside(y * w + x), start) {
                    (true, None) => start = Some(y as u32),
                    (false, Some(s)) => {
                        runs.push(base + s, base + y as u32);
                        start = None;
                    }
                    _ => {}
                }
            }
            if let Some(s) = start {
                runs.push(base + s, base + height);
            }
        }
        runs.finish()
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Columns.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// COCO's uncompressed counts: column-major, background first; no empty run except possibly the first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Object runs as column-major half-open intervals `start..end`, in order. A run may span columns.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut position = 0;
        self.counts.chunks(2).filter_map(move |pair| {
            let start = position + pair[0];
            let length = *pair.get(1)?;
            position = start + length;
            Some((start, start + length))
        })
    }

    /// Object runs cut at column borders: `(x, y_start, y_end)`, half open in y, in column order.
    pub fn column_runs(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        let h = self.height;
        self.runs().flat_map(move |(start, end)| {
            (start / h..=(end - 1) / h).map(move |x| (x, start.max(x * h) - x * h, end.min((x + 1) * h) - x * h))
        })
    }

    /// Row-major bitmap of 0 and 1.
    pub fn to_bitmap(&self) -> Vec<u8> {
        let w = self.width as usize;
        let mut bitmap = vec![0; self.height as usize * w];
        for (x, y0, y1) in self.column_runs() {
            for y in y0..y1 {
                bitmap[y as usize * w + x as usize] = 1;
            }
        }
        bitmap
    }

    /// Number of object pixels.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&c| c as u64).sum()
    }

    /// True where no pixel is set.
    pub fn is_empty(&self) -> bool {
        self.counts.len() < 2
    }

    /// True where the pixel in column `x`, row `y` is set.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        let position = x * self.height + y;
        x < self.width && y < self.height && self.runs().any(|(start, end)| start <= position && position < end)
    }

    /// Smallest box around the object; `None` where the mask is empty.
    pub fn bounding_box(&self) -> Option<PixelBox> {
        self.column_runs().fold(None, |found, (x, y0, y1)| {
            let [x_min, y_min, x_max, y_max] = found.unwrap_or([x, y0, x, y1 - 1]);
            Some([x_min.min(x), y_min.min(y0), x_max.max(x), y_max.max(y1 - 1)])
        })
    }

    /// Centre of mass (x, y) in pixels, by the moments m10/m00 and m01/m00; `None` where the mask is empty.
    pub fn centroid(&self) -> Option<(f64, f64)> {
        let (mut m00, mut m10, mut m01) = (0u64, 0u64, 0u64);
        for (x, y0, y1) in self.column_runs() {
            let n = (y1 - y0) as u64;
            m00 += n;
            m10 += n * x as u64;
            m01 += n * (y0 as u64 + y1 as u64 - 1) / 2; // y0 + … + (y1 - 1): the product is always even
        }
        (m00 > 0).then(|| (m10 as f64 / m00 as f64, m01 as f64 / m00 as f64))
    }

    /// True where an object pixel lies in the first or last row or column.
    pub fn touches_border(&self) -> bool {
        self.bounding_box()
            .is_some_and(|[x0, y0, x1, y1]| x0 == 0 || y0 == 0 || x1 + 1 == self.width || y1 + 1 == self.height)
    }

    /// Number of pixels set in both masks.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn intersection_area(&self, other: &Mask) -> u64 {
        assert_eq!((self.height, self.width), (other.height, other.width), "masks of one slice have one size");
        let (mut a, mut b) = (self.runs(), other.runs());
        let (mut left, mut right) = (a.next(), b.next());
        let mut total = 0;
        while let (Some((a0, a1)), Some((b0, b1))) = (left, right) {
            total += a1.min(b1).saturating_sub(a0.max(b0)) as u64;
            if a1 <= b1 {
                left = a.next();
            } else {
                right = b.next();
            }
        }
        total
    }

    /// This mask of a part as a mask of the whole: its top left pixel comes to column `x`, row `y`.
    ///
    /// # Panics
    /// If it does not fit into `height` x `width` there.
    pub fn placed(&self, height: u32, width: u32, x: u32, y: u32) -> Mask {
        assert!(x + self.width <= width && y + self.height <= height, "a part lies inside the whole");
        let mut runs = RunWriter::new(height, width);
        for (column, y0, y1) in self.column_runs() {
            let base = (x + column) * height + y;
            runs.push(base + y0, base + y1);
        }
        runs.finish()
    }

    /// COCO's compressed RLE: the string that pycocotools calls `counts`, as bytes.
    pub fn to_coco(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.counts.len() * 2);
        for (i, &count) in self.counts.iter().enumerate() {
            let mut value = count as i64;
            if i > 2 {
                value -= self.counts[i - 2] as i64;
            }
            loop {
                let mut chunk = (value & 0x1f) as u8;
                value >>= 5;
                let more = if chunk & 0x10 != 0 { value != -1 } else { value != 0 };
                if more {
                    chunk |= 0x20;
                }
                out.push(chunk + 48);
                if !more {
                    break;
                }
            }
        }
        out
    }

    /// Reads COCO's compressed RLE.
    ///
    /// # Errors
    /// A broken code, or runs that do not fill the mask.
    pub fn from_coco(height: u32, width: u32, code: &[u8]) -> Result<Self, RleError> {
        let mut counts: Vec<u32> = Vec::with_capacity(code.len() / 2);
        let mut position = 0;
        while position < code.len() {
            let (mut value, mut shift) = (0i64, 0u32);
            loop {
                let byte = *code.get(position).ok_or(RleError::Code(position))?;
                let chunk = byte.checked_sub(48).filter(|c| *c < 64 && shift < 60).ok_or(RleError::Code(position))?;
                position += 1;
                value |= ((chunk & 0x1f) as i64) << shift;
                shift += 5;
                if chunk & 0x20 == 0 {
                    if chunk & 0x10 != 0 {
                        value |= -1i64 << shift;
                    }
                    break;
                }
            }
            if counts.len() > 2 {
                value += counts[counts.len() - 2] as i64;
            }
            counts.push(u32::try_from(value).map_err(|_| RleError::Code(position))?);
        }
        Self::from_counts(height, width, &counts)
    }
}

/// Collects object runs, in column-major order, into a [`Mask`]; runs that touch are joined.
#[derive(Clone, Debug)]
pub struct RunWriter {
    height: u32,
    width: u32,
    counts: Vec<u32>,
    end: u32,
}

impl RunWriter {
    /// Starts an empty mask.
    pub fn new(height: u32, width: u32) -> Self {
        RunWriter { height, width, counts: Vec::new(), end: 0 }
    }

    /// Adds the object pixels `start..end` (column-major positions). Runs come in order and do not overlap.
    pub fn push(&mut self, start: u32, end: u32) {
        debug_assert!(start >= self.end && end <= self.height * self.width);
        if start == end {
            return;
        }
        match self.counts.last_mut() {
            Some(last) if start == self.end => *last += end - start,
            _ => {
                self.counts.push(start - self.end);
                self.counts.push(end - start);
            }
        }
        self.end = end;
    }

    /// The mask.
    pub fn finish(mut self) -> Mask {
        let rest = self.height * self.width - self.end;
        if rest > 0 || self.counts.is_empty() {
            self.counts.push(rest);
        }
        Mask { height: self.height, width: self.width, counts: self.counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_small_mask() {
        // 3 rows x 4 columns
        let mask = Mask::from_bitmap(3, 4, &[0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1]);
        assert_eq!(mask.counts(), [3, 5, 3, 1]);
        assert_eq!(mask.area(), 6);
        assert_eq!(mask.bounding_box(), Some([1, 0, 3, 2]));
        assert_eq!(mask.centroid(), Some(((3 + 2 * 2 + 3) as f64 / 6.0, (3 + 1 + 2) as f64 / 6.0)));
        assert!(mask.contains(3, 2) && !mask.contains(2, 2));
        assert!(mask.touches_border());
    }

    #[test]
    fn a_part_is_placed_in_the_whole() {
        let part = Mask::from_bitmap(2, 2, &[1, 1, 0, 1]);
        assert_eq!(part.placed(2, 2, 0, 0), part);
        assert_eq!(part.placed(3, 4, 2, 1), Mask::from_bitmap(3, 4, &[0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1]));
    }

    #[test]
    fn coco_string_is_that_of_pycocotools() {
        // pycocotools.mask.encode(np.asfortranarray([[0,1,1,0],[0,1,1,0],[0,1,0,1]], dtype=np.uint8))["counts"]
        let mask = Mask::from_bitmap(3, 4, &[0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0, 1]);
        assert_eq!(mask.to_coco(), b"353L".to_vec());
        assert_eq!(Mask::from_coco(3, 4, b"353L").unwrap(), mask);
    }

    #[test]
    fn broken_codes_are_refused() {
        assert!(matches!(Mask::from_coco(3, 4, b"35"), Err(RleError::Length { .. })));
        assert!(matches!(Mask::from_coco(3, 4, b"\x10"), Err(RleError::Code(0))));
        assert!(matches!(Mask::from_coco(3, 4, b"P"), Err(RleError::Code(_))));
    }

    proptest::proptest! {
        #[test]
        fn every_form_holds_the_same_mask(h in 1u32..12, w in 1u32..12, seed in proptest::collection::vec(0u8..2, 144)) {
            let bitmap = &seed[..(h * w) as usize];
            let mask = Mask::from_bitmap(h, w, bitmap);
            proptest::prop_assert_eq!(mask.to_bitmap(), bitmap);
            proptest::prop_assert_eq!(&Mask::from_coco(h, w, &mask.to_coco()).unwrap(), &mask);
            proptest::prop_assert_eq!(&Mask::from_counts(h, w, mask.counts()).unwrap(), &mask);
            proptest::prop_assert_eq!(mask.area(), bitmap.iter().map(|&b| b as u64).sum::<u64>());
            let other = Mask::from_bitmap(h, w, &seed[144 - (h * w) as usize..]);
            let both = bitmap.iter().zip(other.to_bitmap()).filter(|(a, b)| **a == 1 && *b == 1).count();
            proptest::prop_assert_eq!(mask.intersection_area(&other), both as u64);
        }
    }
}
