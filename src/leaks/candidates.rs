//! Candidates for near-duplicates: sorted neighbourhoods (Hernández and Stolfo, 1995) over bits of the thumbnails.
//!
//! A bit says whether a field has more local contrast than its neighbour to the left, or above: 480 of them. A few that
//! are balanced over the data and decided clearly make a key; copies agree in most of its bits and are close to each
//! other when all slices are sorted by it. This is repeated a dozen times with other bits, and in each order a slice is
//! compared with the next few of other patients. The work is linear in the number of slices for any data: in a volume
//! of a thousand similar slices the search for others stops after [`SCAN`] steps.

use rayon::prelude::*;

use super::similarity::{CLEAR, Signature, correlation};
use super::{Pair, Records};
use crate::random::{STEP, scrambled};
use crate::slices::THUMBNAIL_SIDE;

/// Orders that are tried.
const ORDERS: u64 = 14;
/// Slices of others that a slice is compared with in each order …
const NEIGHBOURS: usize = 6;
/// … among so many that follow it.
const SCAN: usize = 192;
/// Least correlation of the thumbnails of a candidate. The lowest of copies of real slices is 0.79, under a window that
/// cuts off three tenths of the range; votes and the closer look sort out the rest.
const LEAST: f32 = 0.75;
/// Most candidates that are kept of one slice, the likest.
const KEPT: usize = 8;
/// Slices from which is learnt which bits tell most.
const SAMPLE: usize = 20_000;

/// Bits of a signature.
const BITS: usize = 2 * THUMBNAIL_SIDE * (THUMBNAIL_SIDE - 1);

/// The two fields that a bit compares.
fn fields(bit: usize) -> (usize, usize) {
    const SIDE: usize = THUMBNAIL_SIDE;
    match bit.checked_sub(BITS / 2) {
        None => (bit / (SIDE - 1) * SIDE + bit % (SIDE - 1), bit / (SIDE - 1) * SIDE + bit % (SIDE - 1) + 1),
        Some(below) => (below, below + SIDE),
    }
}

/// How much each bit tells: most where it is set in half of the slices, and clearly so. A little even where it is the
/// same in all, so that a few slices that are all copies of each other have a key too.
fn weights(signatures: &[&Signature]) -> Vec<f64> {
    let step = signatures.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<&&Signature> = signatures.iter().step_by(step).collect();
    let n = sample.len().max(1) as f64;
    let weight = |bit: usize| {
        let (first, second) = fields(bit);
        let (mut set, mut clear) = (0u32, 0u32);
        for signature in &sample {
            let difference = i32::from(signature[second]) - i32::from(signature[first]);
            set += u32::from(difference > 0);
            clear += u32::from(difference.abs() > CLEAR);
        }
        let share = f64::from(set) / n;
        (4.0 * share * (1.0 - share) + 0.01) * f64::from(clear) / n
    };
    (0..BITS).into_par_iter().map(weight).collect()
}

/// A number from two, the same on every machine.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    scrambled(a.wrapping_mul(STEP).wrapping_add(b.wrapping_mul(0xe703_7ed1_a0b4_28db)))
}

/// The 64 bits that make the key of an order, the first of them deciding most. They are drawn with weights, by the
/// exponential race of Efraimidis and Spirakis (2006).
fn drawn(weights: &[f64], order: u64) -> Vec<usize> {
    let mut race: Vec<(f64, usize)> = weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0.0)
        .map(|(bit, weight)| {
            let uniform = ((mix(order, bit as u64) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            (-libm::log(uniform) / (weight * weight), bit)
        })
        .collect();
    race.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    race.into_iter().take(64).map(|(_, bit)| bit).collect()
}

/// Pairs of slices whose thumbnails are alike and which would be a leak, sorted, each once.
pub(super) fn candidates(records: &Records) -> Vec<Pair> {
    let slices: Vec<u32> = (0..records.len() as u32).filter(|&slice| !records.facts[slice as usize].flat).collect();
    let signature = |slice: u32| &records.signatures[slice as usize];
    let weights = weights(&slices.iter().map(|&slice| signature(slice)).collect::<Vec<_>>());
    let mut found: Vec<Pair> = Vec::new();
    for order in 0..ORDERS {
        let bits: Vec<(usize, usize)> = drawn(&weights, order).into_iter().map(fields).collect();
        if bits.is_empty() {
            break;
        }
        let key = |slice: u32| {
            let signature = signature(slice);
            bits.iter().fold(0u64, |key, &(first, second)| key << 1 | u64::from(signature[second] > signature[first]))
        };
        let mut sorted: Vec<(u64, u32)> = slices.par_iter().map(|&slice| (key(slice), slice)).collect();
        sorted.par_sort_unstable();
        let neighbours = |at: usize| {
            let slice = sorted[at].1;
            let next = sorted[at + 1..].iter().take(SCAN).map(|entry| entry.1);
            let others = next.filter(move |&other| records.apart(slice, other)).take(NEIGHBOURS);
            others.filter_map(move |other| {
                let similarity = correlation(signature(slice), signature(other));
                let (a, b) = (slice.min(other), slice.max(other));
                (similarity >= LEAST).then_some(Pair { a, b, similarity })
            })
        };
        found.par_extend((0..sorted.len()).into_par_iter().flat_map_iter(neighbours));
        tidy(&mut found);
    }
    found
}

/// Sorts pairs, drops what comes twice, and keeps the likest of each slice.
fn tidy(pairs: &mut Vec<Pair>) {
    pairs.par_sort_unstable_by(|x, y| {
        x.a.cmp(&y.a).then_with(|| y.similarity.total_cmp(&x.similarity)).then_with(|| x.b.cmp(&y.b))
    });
    pairs.dedup_by_key(|pair| (pair.a, pair.b));
    let mut run = (u32::MAX, 0);
    pairs.retain(|pair| {
        run = if run.0 == pair.a { (run.0, run.1 + 1) } else { (pair.a, 1) };
        run.1 <= KEPT
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_neighbours_is_a_bit() {
        let all: std::collections::BTreeSet<(usize, usize)> = (0..BITS).map(fields).collect();
        assert_eq!((all.len(), BITS), (480, 480));
        assert!(all.iter().all(|&(a, b)| (b == a + 1 && a % 16 < 15) || (b == a + 16 && b < 256)));
    }

    #[test]
    fn bits_that_tell_nothing_are_not_drawn() {
        let mut weights = vec![0.0; BITS];
        (100..180).for_each(|bit| weights[bit] = 0.5);
        let drawn = super::drawn(&weights, 3);
        assert!(drawn.len() == 64 && drawn.iter().all(|bit| (100..180).contains(bit)));
        assert_ne!(drawn, super::drawn(&weights, 4));
    }
}
