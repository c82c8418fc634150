//! Leak groups: connected components of linked patients.

use std::collections::BTreeMap;

/// A union-find over numbers, in which the smallest number of a component stands for it.
#[derive(Clone, Debug, Default)]
pub struct Components(BTreeMap<u32, u32>);

impl Components {
    /// Nothing is linked.
    pub fn new() -> Self {
        Self::default()
    }

    /// The smallest number that `number` is linked with.
    pub fn first(&mut self, number: u32) -> u32 {
        let mut first = number;
        while let Some(&above) = self.0.get(&first).filter(|above| **above != first) {
            first = above;
        }
        // Paths are shortened, so that long chains stay cheap.
        let mut at = number;
        while at != first {
            at = self.0.insert(at, first).unwrap_or(first);
        }
        first
    }

    /// Links two numbers; a number may be linked with itself, to be known.
    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.first(a), self.first(b));
        self.0.insert(a.max(b), a.min(b));
        self.0.entry(a.min(b)).or_insert(a.min(b));
    }

    /// Each number that was linked, with the smallest of its component.
    pub fn first_of_each(mut self) -> BTreeMap<u32, u32> {
        let numbers: Vec<u32> = self.0.keys().copied().collect();
        numbers.into_iter().map(|number| (number, self.first(number))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_one_component_whatever_their_order() {
        let edges = [(7, 8), (1, 2), (8, 3), (5, 5), (2, 3)];
        for turn in 0..edges.len() {
            let mut components = Components::new();
            edges.iter().cycle().skip(turn).take(edges.len()).for_each(|&(a, b)| components.join(a, b));
            let expected = BTreeMap::from([(1, 1), (2, 1), (3, 1), (5, 5), (7, 1), (8, 1)]);
            assert_eq!(components.first_of_each(), expected);
        }
    }
}
