//! The values of a mask file: which there are, how often, and which of them fill fields.

use super::Shown;
use crate::image::{Image, Samples};
use crate::slices::plane::{Axis, slice_size};
use crate::with_samples;

/// Bins for the values of a file, where they are not whole numbers in a range of 16 bits.
const BINS: usize = 4096;

/// A value of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    /// As it looks.
    pub(super) shown: f64,
    pub(super) count: u64,
    /// It fills a field of 3 x 3 pixels somewhere.
    pub(super) fills: bool,
}

/// How often each stored value occurs.
pub(in crate::slices) struct Census {
    /// Least and greatest finite stored value; 0 and 0 where there is none.
    pub(in crate::slices) low: f64,
    /// See `low`.
    pub(in crate::slices) high: f64,
    /// One bin for each whole number, or [`BINS`] equal parts of the range: a value of the bin, and how many there are.
    bins: Vec<(f64, u64)>,
    /// NaN and infinities.
    pub(super) not_finite: u64,
}

impl Census {
    /// Counts all samples. Of several components each counts.
    pub(in crate::slices) fn of(image: &Image) -> Self {
        if let Samples::U8(values) = &image.samples {
            return Census::of_bytes(values);
        }
        with_samples!(&image.samples, values => {
            let finite = || values.iter().map(|&v| v as f64).filter(|v| v.is_finite());
            let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            if low > high {
                return Census { low: 0.0, high: 0.0, bins: Vec::new(), not_finite: values.len() as u64 };
            }
            let whole = !matches!(image.samples, Samples::F32(_) | Samples::F64(_));
            let bins = if whole && high - low < 65536.0 { (high - low) as usize + 1 } else { BINS };
            let mut census = Census { low, high, bins: vec![(0.0, 0); bins], not_finite: 0 };
            for &value in values.iter() {
                let value = value as f64;
                if value.is_finite() {
                    let bin = census.bin(value);
                    let (first, count) = &mut census.bins[bin];
                    if *count == 0 {
                        *first = value;
                    }
                    *count += 1;
                } else {
                    census.not_finite += 1;
                }
            }
            census
        })
    }

    fn of_bytes(values: &[u8]) -> Self {
        // Four counters each, for a loop that waits for the one it has just raised is slow.
        let mut counts = [[0u32; 256]; 4];
        let mut bins: Vec<(f64, u64)> = (0..256).map(|v| (v as f64, 0)).collect();
        for part in values.chunks(1 << 30) {
            for four in part.chunks(4) {
                for (counts, &v) in counts.iter_mut().zip(four) {
                    counts[v as usize] += 1;
                }
            }
            for counts in &mut counts {
                bins.iter_mut()
                    .zip(counts.iter_mut())
                    .for_each(|(bin, count)| bin.1 += u64::from(std::mem::take(count)));
            }
        }
        let mut there = bins.iter().filter(|bin| bin.1 > 0).map(|bin| bin.0);
        let low = there.next().unwrap_or(0.0);
        let high = there.next_back().unwrap_or(low);
        bins.drain(..low as usize);
        bins.truncate((high - low) as usize + 1);
        Census { low, high, bins, not_finite: 0 }
    }

    fn bin(&self, stored: f64) -> usize {
        let last = self.bins.len() - 1;
        if self.high == self.low {
            0
        } else {
            ((stored - self.low) / (self.high - self.low) * last as f64).round() as usize
        }
    }

    /// The stored values that occur, and how often.
    pub(in crate::slices) fn stored(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.bins.iter().copied().filter(|&(_, count)| count > 0)
    }

    /// As they look, rising.
    pub(super) fn values(&self, shown: &Shown) -> Vec<Value> {
        let mut values: Vec<Value> =
            self.stored().map(|(v, count)| Value { shown: shown.of(v), count, fills: false }).collect();
        values.sort_by(|a, b| a.shown.total_cmp(&b.shown));
        values
    }

    pub(super) fn mark_fields(&self, image: &Image, axis: Axis, shown: &Shown, values: &mut [Value]) {
        let mut fills = vec![false; self.bins.len()];
        each_field(image, axis, |index| {
            let stored = image.samples.get(index);
            if stored.is_finite() {
                fills[self.bin(stored)] = true;
            }
        });
        for (bin, fills) in self.bins.iter().zip(fills) {
            let at = values.binary_search_by(|v| v.shown.total_cmp(&shown.of(bin.0)));
            if let (true, Ok(at)) = (fills, at) {
                values[at].fills = true;
            }
        }
    }
}

/// Calls `seen` with the position in the samples of each pixel of a one-component image whose eight neighbours in its slice
/// are equal to it; of pixels in a row that are, with the first.
pub(super) fn each_field(image: &Image, axis: Axis, mut seen: impl FnMut(usize)) {
    let (rows, columns, slices) = slice_size(image, axis);
    let (row_axis, column_axis) = axis.rows_and_columns();
    if rows < 3 || columns < 3 {
        return;
    }
    let step = |axis: usize| {
        let mut one = [0; 4];
        one[axis] = 1;
        image.offset(one, 0)
    };
    let (down, right) = (step(row_axis), step(column_axis));
    with_samples!(&image.samples, values => {
        for frame in 0..image.size[3] {
            for slice in 0..slices {
                let mut start = [0, 0, 0, frame];
                start[axis.index()] = slice;
                let start = image.offset(start, 0);
                for row in 0..rows - 2 {
                    let top = start + row * down;
                    // Columns in a row that hold one value in all three rows.
                    let (mut run, mut last) = (0, None);
                    for column in 0..columns {
                        let at = top + column * right;
                        let value = values[at];
                        let even = values[at + down] == value && values[at + 2 * down] == value;
                        run = if !even { 0 } else if last == Some(value) { run + 1 } else { 1 };
                        last = even.then_some(value);
                        if run == 3 {
                            seen(at);
                        }
                    }
                }
            }
        }
    })
}
