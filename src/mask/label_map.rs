//! Label maps to masks, all labels in one pass.
//!
//! Label maps are stored along rows, the runs of a [`Mask`] go along columns. Instead of gathering every column, the
//! pass compares each row with the row above: nearly all pixels repeat the label above them, a comparison that the
//! compiler turns into wide instructions, and only the pixels where the label changes, which are the ends of vertical
//! runs, cost anything more. Columns are taken in stripes, so that even a map of noise needs little memory.

use super::{Mask, RunWriter};
use std::collections::BTreeMap;

/// Columns worked on at a time.
const STRIPE: usize = 256;
/// Pixels compared at a time.
const BLOCK: usize = 32;

/// One mask for each of `classes` classes of a row-major label map.
///
/// `class_of` gives the class of a label, `0..classes`, or `None` for background; it is called once for each vertical
/// run, not for each pixel. Several labels may share a class (a whole tumour out of its parts), and a label may be any
/// comparable value: an integer, a float (NaN equals nothing, so each NaN pixel is asked for alone), an RGB triple.
///
/// # Panics
/// If `labels.len()` is not `height * width`, or `class_of` answers a class outside `0..classes`.
pub(crate) fn class_masks<T: Copy + PartialEq>(
    height: u32,
    width: u32,
    labels: &[T],
    classes: usize,
    class_of: impl FnMut(T) -> Option<usize>,
) -> Vec<Mask> {
    let mut writers = vec![RunWriter::new(height, width); classes];
    scan(height, width, labels, class_of, |class, start, end| writers[class].push(start, end));
    writers.into_iter().map(RunWriter::finish).collect()
}

/// One mask for each value of a row-major label map other than `background`, by ascending value.
///
/// # Panics
/// If `labels.len()` is not `height * width`.
pub fn value_masks<T: Copy + Ord>(height: u32, width: u32, labels: &[T], background: T) -> Vec<(T, Mask)> {
    let mut index: BTreeMap<T, usize> = BTreeMap::new();
    let mut writers: Vec<RunWriter> = Vec::new();
    let mut last = (background, 0);
    let class_of = |label| {
        if label == background {
            return None;
        }
        if label != last.0 {
            let next = index.len();
            last = (label, *index.entry(label).or_insert(next));
        }
        Some(last.1)
    };
    scan(height, width, labels, class_of, |class, start, end| {
        if class >= writers.len() {
            writers.resize(class + 1, RunWriter::new(height, width));
        }
        writers[class].push(start, end);
    });
    let mut masks: Vec<Option<Mask>> = writers.into_iter().map(|writer| Some(writer.finish())).collect();
    index.into_iter().filter_map(|(label, class)| Some((label, masks[class].take()?))).collect()
}

/// A vertical run of one class.
#[derive(Clone, Copy, Default)]
struct Run {
    x: usize,
    start: u32,
    end: u32,
    class: usize,
}

/// Emits every vertical run that has a class as `(class, start, end)` in column-major positions and order.
fn scan<T: Copy + PartialEq>(
    height: u32,
    width: u32,
    labels: &[T],
    mut class_of: impl FnMut(T) -> Option<usize>,
    mut emit: impl FnMut(usize, u32, u32),
) {
    let (h, w) = (height as usize, width as usize);
    assert_eq!(labels.len(), h * w, "a label map has height x width pixels");
    if h == 0 {
        return;
    }
    let mut starts = [0u32; STRIPE];
    let mut runs: Vec<Run> = Vec::new();
    let mut sorted: Vec<Run> = Vec::new();
    for left in (0..w).step_by(STRIPE) {
        let columns = STRIPE.min(w - left);
        let row = |y: usize| &labels[y * w + left..][..columns];
        runs.clear();
        starts.fill(0);
        let mut close = |x: usize, end: usize, label: T| {
            let start = std::mem::replace(&mut starts[x], end as u32);
            if let Some(class) = class_of(label) {
                runs.push(Run { x, start, end: end as u32, class });
            }
        };
        for y in 1..h {
            if row(y - 1) == row(y) {
                continue; // most rows of most maps: bytes are compared by the widest instructions that there are
            }
            let blocks = row(y - 1).chunks(BLOCK).zip(row(y).chunks(BLOCK));
            for (block, (above, here)) in blocks.enumerate() {
                if differ(above, here) {
                    for (x, (&label, _)) in above.iter().zip(here).enumerate().filter(|(_, (a, b))| a != b) {
                        close(block * BLOCK + x, y, label);
                    }
                }
            }
        }
        for (x, &label) in row(h - 1).iter().enumerate() {
            close(x, h, label);
        }
        sort_by_column(&runs, &mut sorted);
        for run in &sorted {
            let top = (left + run.x) as u32 * height;
            emit(run.class, top + run.start, top + run.end);
        }
    }
}

/// True where two blocks hold different labels. Without an early exit, so that it is compiled to wide comparisons.
fn differ<T: Copy + PartialEq>(above: &[T], here: &[T]) -> bool {
    above.iter().zip(here).fold(false, |found, (a, b)| found | (a != b))
}

/// Counting sort by column; runs of a column keep their order, which is from top to bottom.
fn sort_by_column(runs: &[Run], sorted: &mut Vec<Run>) {
    let mut next = [0usize; STRIPE + 1];
    for run in runs {
        next[run.x + 1] += 1;
    }
    for x in 0..STRIPE {
        next[x + 1] += next[x];
    }
    sorted.clear();
    sorted.resize(runs.len(), Run::default());
    for &run in runs {
        sorted[next[run.x]] = run;
        next[run.x] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_come_in_ascending_order() {
        let masks = value_masks(2, 3, &[9i64, 9, 0, -4, 9, 0], 0);
        assert_eq!(
            masks.iter().map(|(v, m)| (*v, m.to_bitmap())).collect::<Vec<_>>(),
            [(-4, vec![0, 0, 0, 1, 0, 0]), (9, vec![1, 1, 0, 0, 1, 0])]
        );
        assert!(value_masks::<u8>(3, 2, &[0; 6], 0).is_empty());
        assert!(value_masks::<u8>(0, 5, &[], 0).is_empty());
    }

    #[test]
    fn classes_may_join_labels_and_stay_empty() {
        let rgb = [[255, 0, 0], [0, 255, 0], [0, 0, 0], [255, 0, 0]];
        let masks = class_masks(2, 2, &rgb, 3, |colour| match colour {
            [255, 0, 0] | [0, 255, 0] => Some(1),
            _ => None,
        });
        assert_eq!(masks.iter().map(Mask::area).collect::<Vec<_>>(), [0, 3, 0]);
        assert_eq!(masks[1].to_bitmap(), [1, 1, 0, 1]);
    }

    proptest! {
        #[test]
        fn every_pixel_lands_in_the_mask_of_its_label(
            h in 1u32..20, w in 1u32..600, palette in 1u8..6, seed in any::<u64>(), smooth in 1u32..9,
        ) {
            let label = |i: u32| {
                let (x, y) = (i % w / smooth, i / w / smooth);
                (seed.wrapping_mul(2 * (x as u64 * 7919 + y as u64 * 104729) + 1) >> 40) as u8 % palette
            };
            let labels: Vec<u8> = (0..h * w).map(label).collect();
            let masks = value_masks(h, w, &labels, 0);
            let mut expected: Vec<u8> = labels.iter().copied().filter(|&v| v != 0).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(masks.iter().map(|(v, _)| *v).collect::<Vec<_>>(), expected);
            for (value, mask) in masks {
                prop_assert_eq!(&mask, &Mask::from_predicate(h, w, |i| labels[i] == value));
            }
        }
    }
}
