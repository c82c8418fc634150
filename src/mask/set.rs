//! Unions, intersections and differences of masks, on their runs.

use super::{Mask, RunWriter};

impl Mask {
    /// The pixels set in either mask.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn union(&self, other: &Mask) -> Mask {
        self.combine(other, |a, b| a || b)
    }

    /// The pixels set in both masks. For their number alone, [`Mask::intersection_area`] is faster.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn intersection(&self, other: &Mask) -> Mask {
        self.combine(other, |a, b| a && b)
    }

    /// The pixels set in this mask and not in the other.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn difference(&self, other: &Mask) -> Mask {
        self.combine(other, |a, b| a && !b)
    }

    /// Walks both run lists together and keeps the stretches that `keep` wants, given whether each mask is set there.
    fn combine(&self, other: &Mask, keep: impl Fn(bool, bool) -> bool) -> Mask {
        assert_eq!((self.height, self.width), (other.height, other.width), "masks of one slice have one size");
        let mut out = RunWriter::new(self.height, self.width);
        let (mut a, mut b) = (Walk::new(&self.counts), Walk::new(&other.counts));
        let mut position = 0;
        loop {
            let next = a.end.min(b.end);
            if keep(a.inside, b.inside) {
                out.push(position, next);
            }
            position = next;
            let a_goes_on = a.end > position || a.step();
            let b_goes_on = b.end > position || b.step();
            if !(a_goes_on && b_goes_on) {
                return out.finish();
            }
        }
    }
}

/// A position in the alternating runs of a mask.
struct Walk<'a> {
    rest: std::slice::Iter<'a, u32>,
    inside: bool,
    end: u32,
}

impl<'a> Walk<'a> {
    fn new(counts: &'a [u32]) -> Self {
        let mut rest = counts.iter();
        let end = rest.next().copied().unwrap_or(0);
        Walk { rest, inside: false, end }
    }

    /// Goes to the next run; false behind the last.
    fn step(&mut self) -> bool {
        let Some(count) = self.rest.next() else { return false };
        self.end += count;
        self.inside = !self.inside;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_are_those_of_the_pixels(h in 1u32..12, w in 1u32..12, seed in prop::collection::vec(0u8..4, 144)) {
            let mask = |bit: u8| Mask::from_predicate(h, w, |i| seed[i] & bit != 0);
            let (a, b) = (mask(1), mask(2));
            let pixels = |keep: fn(u8) -> bool| Mask::from_predicate(h, w, |i| keep(seed[i]));
            prop_assert_eq!(a.union(&b), pixels(|v| v != 0));
            prop_assert_eq!(a.intersection(&b), pixels(|v| v == 3));
            prop_assert_eq!(a.difference(&b), pixels(|v| v == 1));
            prop_assert_eq!(a.difference(&a), Mask::empty(h, w));
        }
    }
}
