//! The values of a mask file: which there are, how often, and which of them fill fields.

use super::Shown;
use crate::image::{Image, Samples};
use crate::slices::plane::{Axis, slice_size, slice_values};
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
    /// Pixels that do not have both darker and brighter ones within two pixels, as those of an edge do. Not counted at
    /// the ends.
    pub(super) apart: u64,
    /// Those of `apart` that have two equal neighbours or more.
    pub(super) even: u64,
}

/// How often each stored value occurs.
pub(in crate::slices) struct Census {
    /// Least and greatest finite stored value; 0 and 0 where there is none.
    pub(in crate::slices) low: f64,
    /// See `low`.
    pub(in crate::slices) high: f64,
    /// One bin for each whole number, or [`BINS`] equal parts of the range: a value of the bin, and how many there are.
    bins: Vec<(f64, u64)>,
    /// NaN.
    pub(super) nan: u64,
    /// Of either sign.
    pub(super) infinite: u64,
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
                let infinite = values.iter().filter(|&&v| (v as f64).is_infinite()).count() as u64;
                return Census { low: 0.0, high: 0.0, bins: Vec::new(), nan: values.len() as u64 - infinite, infinite };
            }
            let whole = !matches!(image.samples, Samples::F32(_) | Samples::F64(_));
            let bins = if whole && high - low < 65536.0 { (high - low) as usize + 1 } else { BINS };
            let mut census = Census { low, high, bins: vec![(0.0, 0); bins], nan: 0, infinite: 0 };
            for &value in values.iter() {
                let value = value as f64;
                if value.is_finite() {
                    let bin = census.bin(value);
                    let (first, count) = &mut census.bins[bin];
                    if *count == 0 {
                        *first = value;
                    }
                    *count += 1;
                } else if value.is_nan() {
                    census.nan += 1;
                } else {
                    census.infinite += 1;
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
        Census { low, high, bins, nan: 0, infinite: 0 }
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
        let mut values: Vec<Value> = self
            .stored()
            .map(|(v, count)| Value { shown: shown.of(v), count, fills: false, apart: 0, even: 0 })
            .collect();
        values.sort_by(|a, b| a.shown.total_cmp(&b.shown));
        values
    }

    /// Marks the values that fill fields and counts those pixels that lie apart. Gives the number of pixels in
    /// `between` (two values as they look, which are left out) that have no neighbour outside of it.
    pub(super) fn look_around(
        &self,
        image: &Image,
        axis: Axis,
        shown: &Shown,
        between: [f64; 2],
        values: &mut [Value],
    ) -> u64 {
        let mut fills = vec![false; self.bins.len()];
        each_field(image, axis, |index| {
            let stored = image.samples.get(index);
            if stored.is_finite() {
                fills[self.bin(stored)] = true;
            }
        });
        let mut apart = vec![[0u64; 2]; self.bins.len()];
        let mut inner = 0;
        let is_between = |stored: f64| (shown.of(stored) > between[0]) && (shown.of(stored) < between[1]);
        each_neighbourhood(
            image,
            axis,
            |stored| stored > self.low && stored < self.high,
            |stored, near, ring| {
                let both = || near.iter().chain(ring);
                let (darker, brighter) = (both().any(|&n| n < stored), both().any(|&n| n > stored));
                let equal = near.iter().filter(|&&n| n == stored).count();
                let outside = !is_between(stored) || near.iter().any(|&n| !is_between(n));
                inner += u64::from(!outside);
                if !darker || !brighter {
                    let counts = &mut apart[self.bin(stored)];
                    counts[0] += 1;
                    counts[1] += u64::from(equal >= 2);
                }
            },
        );
        for (bin, (fills, apart)) in self.bins.iter().zip(fills.into_iter().zip(apart)) {
            if bin.1 == 0 {
                continue;
            }
            if let Ok(at) = values.binary_search_by(|v| v.shown.total_cmp(&shown.of(bin.0))) {
                values[at].fills |= fills;
                values[at].apart += apart[0];
                values[at].even += apart[1];
            }
        }
        inner
    }
}

/// Calls `seen` with the value of each pixel of a one-component image that `looks` is true of, and with those of its
/// eight neighbours in its slice and of the sixteen around those (fewer at the border).
pub(in crate::slices) fn each_neighbourhood(
    image: &Image,
    axis: Axis,
    looks: impl Fn(f64) -> bool,
    mut seen: impl FnMut(f64, &[f64], &[f64]),
) {
    let (rows, columns, slices) = slice_size(image, axis);
    with_samples!(&image.samples, values => {
        for frame in 0..image.size[3] {
            for slice in 0..slices {
                let plane = slice_values(image, values, axis, slice, frame);
                for (at, &value) in plane.iter().enumerate() {
                    let value = value as f64;
                    if !looks(value) {
                        continue;
                    }
                    let (row, column) = (at / columns, at % columns);
                    let (mut near, mut ring) = (([0.0; 8], 0), ([0.0; 16], 0));
                    for r in row.saturating_sub(2)..(row + 3).min(rows) {
                        for c in column.saturating_sub(2)..(column + 3).min(columns) {
                            let neighbour = plane[r * columns + c] as f64;
                            match r.abs_diff(row).max(c.abs_diff(column)) {
                                0 => {}
                                1 => {
                                    near.0[near.1] = neighbour;
                                    near.1 += 1;
                                }
                                _ => {
                                    ring.0[ring.1] = neighbour;
                                    ring.1 += 1;
                                }
                            }
                        }
                    }
                    seen(value, &near.0[..near.1], &ring.0[..ring.1]);
                }
            }
        }
    })
}

/// Calls `seen` with the position in the samples of each pixel of a one-component image whose eight neighbours in its
/// slice are equal to it; of pixels in a row that are, with the first.
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
