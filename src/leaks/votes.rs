//! From candidates to suspicions: the slices of two volumes vote, single images are compared directly.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::candidates::candidates;
use super::{Options, Pair, Records};

/// A case of at least so many slices is a volume (or a series) that has an order of its own.
const VOLUME: u32 = 4;
/// Slices that must have a twin in any case, for two volumes to be one.
const LEAST_TWINS: usize = 3;
/// Pairs of two volumes that are looked at closely.
const CHECKS: usize = 3;
/// How far, in slices, a twin may lie from where its neighbours' twins say.
const SLACK: i64 = 2;
/// Least correlation of the thumbnails of two single pictures. Of copies the lowest is 0.85 (a small picture of half
/// the size) except for windows; of different patients the highest is 0.97, so that this raises at most a suspicion.
const PICTURE: f32 = 0.8;
/// As [`PICTURE`], for two slices of volumes that are copies of each other.
const TWIN: f32 = 0.75;

/// Two cases that look alike, to be confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicion {
    /// Slices that seem to show the same; those of two volumes in order.
    pub pairs: Vec<Pair>,
    /// Which of the pairs are to be looked at closely.
    pub checks: Vec<usize>,
    /// Two volumes, or two pictures.
    pub volumes: bool,
}

/// Cases that look alike by their thumbnails, in the order of their slices.
pub fn suspects(records: &Records, options: &Options) -> Vec<Suspicion> {
    let mut by_cases: BTreeMap<(u32, u32), Vec<Pair>> = BTreeMap::new();
    for pair in candidates(records) {
        let case = |slice: u32| records.facts[slice as usize].case;
        by_cases.entry((case(pair.a), case(pair.b))).or_default().push(pair);
    }
    let by_cases: Vec<((u32, u32), Vec<Pair>)> = by_cases.into_iter().collect();
    let suspicions = by_cases.into_par_iter().flat_map_iter(|((a, b), pairs)| {
        if records.case_len(a) < VOLUME || records.case_len(b) < VOLUME {
            let alike = pairs.into_iter().filter(|pair| pair.similarity >= PICTURE);
            return alike.map(|pair| Suspicion { pairs: vec![pair], checks: vec![0], volumes: false }).collect();
        }
        Vec::from_iter(volumes(records, options, [a, b], pairs))
    });
    suspicions.collect()
}

/// The vote of two volumes.
fn volumes(records: &Records, options: &Options, cases: [u32; 2], pairs: Vec<Pair>) -> Option<Suspicion> {
    let forward = chain(pairs.clone(), false);
    let backward = chain(pairs, true);
    let reversed = backward.len() > forward.len();
    let chain = if reversed { backward } else { forward };
    let smaller = records.case_len(cases[0]).min(records.case_len(cases[1]));
    if chain.len() < LEAST_TWINS || (chain.len() as f64) < options.share * f64::from(smaller) {
        return None;
    }
    let pairs = completed(records, cases, &chain, reversed);
    // From all parts of the volumes, the ends left out.
    let checks = (0..CHECKS).map(|i| (2 * i + 1) * pairs.len() / (2 * CHECKS)).collect();
    Some(Suspicion { pairs, checks, volumes: true })
}

/// The longest row of pairs that goes up in the first case and up (or down) in the second, no slice twice: the longest
/// increasing subsequence, by patience sorting.
fn chain(mut pairs: Vec<Pair>, reversed: bool) -> Vec<Pair> {
    let place = |pair: &Pair| if reversed { -i64::from(pair.b) } else { i64::from(pair.b) };
    // Pairs of one slice in falling order, so that a row takes one of them.
    pairs.sort_by(|x, y| x.a.cmp(&y.a).then_with(|| place(y).cmp(&place(x))));
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|&end| place(&pairs[end]) < place(pair));
        before.push(length.checked_sub(1).map(|shorter| ends[shorter]));
        if length == ends.len() {
            ends.push(at);
        } else {
            ends[length] = at;
        }
    }
    let mut row: Vec<Pair> =
        std::iter::successors(ends.last().copied(), |&at| before[at]).map(|at| pairs[at]).collect();
    row.reverse();
    row
}

/// The pairs of a row, and those between and around them that the sorted neighbourhoods missed: each slice is compared
/// with those near the place where its twin must be.
fn completed(records: &Records, cases: [u32; 2], chain: &[Pair], reversed: bool) -> Vec<Pair> {
    let range = |case: u32| i64::from(records.cases[case as usize])..i64::from(records.cases[case as usize + 1]);
    let sign = if reversed { -1 } else { 1 };
    let mut out: Vec<Pair> = Vec::with_capacity(chain.len());
    let mut next = 0;
    for a in range(cases[0]) {
        while next < chain.len() && i64::from(chain[next].a) < a {
            next += 1;
        }
        if next < chain.len() && i64::from(chain[next].a) == a {
            out.push(chain[next]);
            continue;
        }
        // Where the line through the pairs on both sides, or the nearest pair, says.
        let (left, right) = (next.checked_sub(1).map(|i| chain[i]), chain.get(next).copied());
        let expected = match (left, right) {
            (Some(l), Some(r)) => {
                let (la, lb, ra, rb) = (i64::from(l.a), i64::from(l.b), i64::from(r.a), i64::from(r.b));
                lb + (a - la) * (rb - lb) / (ra - la)
            }
            (Some(one), None) | (None, Some(one)) => i64::from(one.b) + sign * (a - i64::from(one.a)),
            (None, None) => continue,
        };
        let free = |b: &i64| {
            let after = |pair: Option<Pair>| pair.is_none_or(|pair| sign * (b - i64::from(pair.b)) > 0);
            let before = |pair: Option<Pair>| pair.is_none_or(|pair| sign * (i64::from(pair.b) - b) > 0);
            range(cases[1]).contains(b) && after(out.last().copied()) && before(right)
        };
        let compared = (expected - SLACK..=expected + SLACK).filter(free).map(|b| {
            let (a, b) = (a as u32, b as u32);
            let signature = |slice: u32| &records.signatures[slice as usize];
            Pair { a, b, similarity: super::similarity::correlation(signature(a), signature(b)) }
        });
        let flat = |pair: &Pair| [pair.a, pair.b].iter().any(|&slice| records.facts[slice as usize].flat);
        let best = compared
            .filter(|pair| pair.similarity >= TWIN && records.apart(pair.a, pair.b) && !flat(pair))
            .max_by(|x, y| x.similarity.total_cmp(&y.similarity).then(y.b.cmp(&x.b)));
        out.extend(best);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(u32, u32)]) -> Vec<Pair> {
        list.iter().map(|&(a, b)| Pair { a, b, similarity: 0.9 }).collect()
    }

    #[test]
    fn a_row_takes_each_slice_once_and_keeps_the_order() {
        let found = chain(pairs(&[(1, 11), (1, 12), (2, 12), (2, 13), (3, 12), (3, 13), (4, 19), (5, 14)]), false);
        assert_eq!(found.len(), 4);
        assert!(found.windows(2).all(|w| w[0].a < w[1].a && w[0].b < w[1].b), "{found:?}");
        let down = chain(pairs(&[(1, 19), (2, 18), (3, 12), (3, 17), (4, 20), (5, 16)]), true);
        assert_eq!(down, pairs(&[(1, 19), (2, 18), (3, 17), (5, 16)]));
    }
}
