//! Matching of predicted instances and ground truth instances by overlap, regardless of their numbers.
//!
//! The rule is panoptica's (`NaiveThresholdMatching`) and, except for the order, COCO's: of all pairs with an IoU of at
//! least 0.5, the one with the largest comes first, and each instance is in one pair at most. Where instances of one
//! side do not overlap, at most one pair of each can reach more than 0.5, so every such rule gives the same result
//! (Kirillov et al., Panoptic Segmentation, 2019).

use super::{Candidate, ImportReport};
use crate::mask::Mask;

/// Least IoU of a pair.
pub const LEAST_IOU: f64 = 0.5;

/// For each instance of the ground truth the predicted one that belongs to it, in the order of the ground truth; an
/// empty mask where there is none.
pub(super) fn matched(truths: &[&Mask], predicted: &[Candidate], report: &mut ImportReport) -> Vec<Candidate> {
    let mut pairs = Vec::new();
    for (t, truth) in truths.iter().enumerate() {
        for (p, candidate) in predicted.iter().enumerate() {
            let both = truth.intersection_area(&candidate.mask);
            let iou = both as f64 / (truth.area() + candidate.mask.area() - both).max(1) as f64;
            if iou >= LEAST_IOU {
                pairs.push((iou, candidate.score.unwrap_or(0.0), t, p));
            }
        }
    }
    // Ties by score, then in the order in which both are given.
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)).then((a.2, a.3).cmp(&(b.2, b.3))));
    let mut of_truth: Vec<Option<usize>> = vec![None; truths.len()];
    let mut taken = vec![false; predicted.len()];
    for (_, _, t, p) in pairs {
        if of_truth[t].is_none() && !taken[p] {
            of_truth[t] = Some(p);
            taken[p] = true;
        }
    }
    report.missed_instances += of_truth.iter().filter(|found| found.is_none()).count() as u64;
    report.surplus_instances += taken.iter().filter(|taken| !**taken).count() as u64;
    let candidate = |(truth, found): (&&Mask, Option<usize>)| match found {
        Some(p) => predicted[p].clone(),
        None => Candidate { mask: Mask::empty(truth.height(), truth.width()), score: None },
    };
    truths.iter().zip(of_truth).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(from: usize, to: usize) -> Mask {
        Mask::from_predicate(1, 20, |i| (from..to).contains(&i))
    }

    fn candidate(mask: Mask) -> Candidate {
        Candidate { mask, score: None }
    }

    #[test]
    fn the_largest_overlap_comes_first_and_each_is_taken_once() {
        let truths = [bar(0, 6), bar(6, 10), bar(12, 14)];
        let truths: Vec<&Mask> = truths.iter().collect();
        let predicted = [candidate(bar(6, 11)), candidate(bar(0, 10)), candidate(bar(0, 5)), candidate(bar(17, 20))];
        let mut report = ImportReport::default();
        let found = matched(&truths, &predicted, &mut report);
        assert_eq!(found[0].mask, bar(0, 5), "5/6, and not 6/10");
        assert_eq!(found[1].mask, bar(6, 11));
        assert!(found[2].mask.is_empty());
        assert_eq!((report.missed_instances, report.surplus_instances), (1, 2));
    }

    #[test]
    fn half_is_enough_and_less_is_not() {
        let truth = bar(0, 10);
        let mut report = ImportReport::default();
        assert_eq!(matched(&[&truth], &[candidate(bar(0, 5))], &mut report)[0].mask, bar(0, 5));
        assert!(matched(&[&truth], &[candidate(bar(0, 4))], &mut report)[0].mask.is_empty());
    }
}
