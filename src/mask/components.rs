//! Connected components of a mask, found on its runs.
//!
//! The default is the 8-neighbourhood, in which pixels that touch at a corner belong together: it is that of OpenCV's
//! `findContours` and `connectedComponents`, and of skimage's `label`. scipy's `ndimage.label` and MedPy default to the
//! 4-neighbourhood.

use super::{Mask, RunWriter};

/// Which pixels are neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connectivity {
    /// The pixels that share an edge.
    Four,
    /// The pixels that share an edge or a corner.
    #[default]
    Eight,
}

impl Mask {
    /// Number of connected components.
    pub fn component_count(&self, connectivity: Connectivity) -> u32 {
        let runs: Vec<_> = self.column_runs().collect();
        label_runs(&runs, connectivity).1 as u32
    }

    /// The connected components, one mask each, by their first pixel in column-major order.
    pub fn components(&self, connectivity: Connectivity) -> Vec<Mask> {
        let runs: Vec<_> = self.column_runs().collect();
        let (labels, count) = label_runs(&runs, connectivity);
        let mut writers = vec![RunWriter::new(self.height, self.width); count];
        for (&(x, y0, y1), &label) in runs.iter().zip(&labels) {
            writers[label].push(x * self.height + y0, x * self.height + y1);
        }
        writers.into_iter().map(RunWriter::finish).collect()
    }

    /// The component with the most pixels; of several, the one whose first pixel comes first in column-major order.
    /// An empty mask stays empty.
    pub fn largest_component(&self, connectivity: Connectivity) -> Mask {
        let runs: Vec<_> = self.column_runs().collect();
        let (labels, count) = label_runs(&runs, connectivity);
        if count < 2 {
            return self.clone();
        }
        let mut areas = vec![0u64; count];
        for (&(_, y0, y1), &label) in runs.iter().zip(&labels) {
            areas[label] += (y1 - y0) as u64;
        }
        let largest = (0..count).rev().max_by_key(|&label| areas[label]).unwrap_or(0);
        let mut writer = RunWriter::new(self.height, self.width);
        for (&(x, y0, y1), _) in runs.iter().zip(&labels).filter(|(_, label)| **label == largest) {
            writer.push(x * self.height + y0, x * self.height + y1);
        }
        writer.finish()
    }
}

/// The component of each column run, numbered by first run, and the number of components.
fn label_runs(runs: &[(u32, u32, u32)], connectivity: Connectivity) -> (Vec<usize>, usize) {
    // How far a run reaches beyond its ends when it looks for neighbours in the next column.
    let reach = match connectivity {
        Connectivity::Four => 0,
        Connectivity::Eight => 1,
    };
    let mut parents: Vec<usize> = (0..runs.len()).collect();
    let mut before = 0; // first run of the column before that may still touch
    for (i, &(x, y0, y1)) in runs.iter().enumerate() {
        while runs[before].0 + 1 < x || (runs[before].0 + 1 == x && runs[before].2 + reach <= y0) {
            before += 1;
        }
        let neighbours = runs[before..i].iter().take_while(|run| run.0 + 1 == x && run.1 < y1 + reach);
        for k in 0..neighbours.count() {
            let (a, b) = (root(&mut parents, before + k), root(&mut parents, i));
            parents[a.max(b)] = a.min(b); // the smaller index stays the root, so a root is its component's first run
        }
    }
    let mut labels = vec![0; runs.len()];
    let mut count = 0;
    for i in 0..runs.len() {
        let first = root(&mut parents, i);
        if first == i {
            labels[i] = count;
            count += 1;
        } else {
            labels[i] = labels[first];
        }
    }
    (labels, count)
}

/// Root of a run's tree; halves the path on the way.
fn root(parents: &mut [usize], mut i: usize) -> usize {
    while parents[i] != i {
        parents[i] = parents[parents[i]];
        i = parents[i];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn corners_join_in_the_eight_neighbourhood_only() {
        let mask = Mask::from_bitmap(3, 3, &[1, 0, 0, 0, 1, 1, 0, 0, 0]);
        assert_eq!(mask.component_count(Connectivity::Eight), 1);
        assert_eq!(mask.component_count(Connectivity::Four), 2);
        assert_eq!(mask.largest_component(Connectivity::Four).to_bitmap(), [0, 0, 0, 0, 1, 1, 0, 0, 0]);
        assert_eq!(mask.largest_component(Connectivity::Eight), mask);
    }

    #[test]
    fn empty_and_tied_masks() {
        let empty = Mask::empty(4, 4);
        assert_eq!(empty.component_count(Connectivity::Eight), 0);
        assert_eq!(empty.largest_component(Connectivity::Eight), empty);
        let tie = Mask::from_bitmap(1, 5, &[1, 1, 0, 1, 1]);
        assert_eq!(tie.largest_component(Connectivity::Eight).to_bitmap(), [1, 1, 0, 0, 0]);
    }

    /// Components by flooding from pixel to pixel, in column-major order.
    fn flooded(mask: &Mask, connectivity: Connectivity) -> Vec<Mask> {
        let (h, w) = (mask.height() as i32, mask.width() as i32);
        let mut left = mask.to_bitmap();
        let mut found = Vec::new();
        for start in (0..w).flat_map(|x| (0..h).map(move |y| (x, y))) {
            let mut part = vec![0u8; left.len()];
            let mut stack = vec![start];
            while let Some((x, y)) = stack.pop() {
                let at = (y * w + x) as usize;
                if x < 0 || y < 0 || x >= w || y >= h || left[at] == 0 {
                    continue;
                }
                (left[at], part[at]) = (0, 1);
                for (dx, dy) in (-1..2).flat_map(|dx| (-1..2).map(move |dy| (dx, dy))) {
                    if connectivity == Connectivity::Eight || dx == 0 || dy == 0 {
                        stack.push((x + dx, y + dy));
                    }
                }
            }
            if part.contains(&1) {
                found.push(Mask::from_bitmap(h as u32, w as u32, &part));
            }
        }
        found
    }

    proptest! {
        #[test]
        fn runs_give_what_flooding_gives(h in 1u32..14, w in 1u32..14, seed in prop::collection::vec(0u8..5, 196)) {
            let mask = Mask::from_predicate(h, w, |i| seed[i] < 2);
            for connectivity in [Connectivity::Four, Connectivity::Eight] {
                let expected = flooded(&mask, connectivity);
                prop_assert_eq!(&mask.components(connectivity), &expected);
                prop_assert_eq!(mask.component_count(connectivity), expected.len() as u32);
                let largest = mask.largest_component(connectivity);
                prop_assert_eq!(largest.area(), expected.iter().map(Mask::area).max().unwrap_or(0));
            }
        }
    }
}
