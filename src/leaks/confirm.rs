//! From suspicions and equal pixels to links.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Components, Duplicate, LeakKind, Leaks, Link, Options, Pair, Records, Suspicion};

/// Where more patients than this share one image, only pairs with the first of them are listed: they are one group all
/// the same.
const LISTED: usize = 32;

/// Least similarity of two single pictures that are too small for 64 fields along a side.
const COARSE: f64 = 0.9;

/// Slices with the same pixels that would be a leak, class by class. A picture of one colour is no evidence.
fn classes(records: &Records) -> Vec<Vec<u32>> {
    let facts = |slice: u32| &records.facts[slice as usize];
    let mut order: Vec<u32> = (0..records.len() as u32).filter(|&slice| !facts(slice).constant).collect();
    order.sort_unstable_by_key(|&slice| (facts(slice).digest, slice));
    let same = order.chunk_by(|&a, &b| facts(a).digest == facts(b).digest);
    let leaks = |class: &&[u32]| class.iter().any(|&slice| records.apart(class[0], slice));
    same.filter(leaks).map(<[u32]>::to_vec).collect()
}

/// Links of one kind while they are collected.
#[derive(Default)]
struct Collected(BTreeMap<(u32, u32), (BTreeSet<u32>, Pair)>);

impl Collected {
    /// Adds a pair of slices to the link of their patients.
    fn add(&mut self, records: &Records, a: u32, b: u32, similarity: f32) {
        let (first, second) = (records.patient_of(a), records.patient_of(b));
        let (a, b) = if first <= second { (a, b) } else { (b, a) };
        let pair = Pair { a, b, similarity };
        let (slices, closest) =
            self.0.entry((first.min(second), first.max(second))).or_insert_with(|| (BTreeSet::new(), pair));
        slices.insert(a);
        let better = similarity.total_cmp(&closest.similarity).then((closest.a, closest.b).cmp(&(a, b)));
        if better.is_gt() {
            *closest = pair;
        }
    }

    fn links(self, kind: LeakKind) -> impl Iterator<Item = Link> {
        self.0.into_iter().map(move |((patient, other), (slices, twins))| Link {
            patient,
            other,
            kind,
            slices: slices.len() as u32,
            twins: Some(twins),
        })
    }
}

/// Links patients by what has the same pixels, and by suspicions that a closer look has confirmed.
pub fn found<'a>(records: &Records, confirmed: impl IntoIterator<Item = &'a Suspicion>) -> Leaks {
    let mut classes_of_slices = Components::new();
    let mut similarity: HashMap<u32, (LeakKind, f32)> = HashMap::new();
    let mut links = Collected::default();
    for class in classes(records) {
        // The slices of each patient and split: within one of these nothing is a leak.
        let mut units: BTreeMap<(u32, u8), Vec<u32>> = BTreeMap::new();
        for &slice in &class {
            let facts = &records.facts[slice as usize];
            units.entry((facts.patient, facts.split)).or_default().push(slice);
            classes_of_slices.join(class[0], slice);
            similarity.insert(slice, (LeakKind::Exact, 1.0));
        }
        let units: Vec<Vec<u32>> = units.into_values().collect();
        for (i, first) in units.iter().enumerate().take(if units.len() > LISTED { 1 } else { units.len() }) {
            for second in &units[i + 1..] {
                if records.apart(first[0], second[0]) {
                    first.iter().for_each(|&a| links.add(records, a, second[0], 1.0));
                }
            }
        }
    }
    let mut near = Collected::default();
    for suspicion in confirmed {
        for pair in &suspicion.pairs {
            let digest = |slice: u32| records.facts[slice as usize].digest;
            if digest(pair.a) == digest(pair.b) {
                continue; // said already
            }
            near.add(records, pair.a, pair.b, pair.similarity);
            classes_of_slices.join(pair.a, pair.b);
            for slice in [pair.a, pair.b] {
                let known = similarity.entry(slice).or_insert((LeakKind::Near, pair.similarity));
                known.1 = known.1.max(pair.similarity);
            }
        }
    }
    let duplicate = |(slice, first): (u32, u32)| {
        let (kind, similarity) = similarity[&slice];
        Duplicate { slice, first, kind, similarity }
    };
    let duplicates = classes_of_slices.first_of_each().into_iter().map(duplicate).collect();
    let mut leaks = Leaks { links: Vec::new(), duplicates };
    leaks.add(links.links(LeakKind::Exact).chain(near.links(LeakKind::Near)));
    leaks
}

impl Suspicion {
    /// Whether a closer look confirms it: for two pictures theirs, for two volumes most of a few pairs. `look` gives
    /// the similarity of two slices at so many fields along a side.
    pub fn holds(&self, records: &Records, options: &Options, look: impl Fn(u32, u32, usize) -> f64) -> bool {
        // With less detail different patients are more alike, and a single picture has no others to vote with it.
        let least = |detail: usize| match (self.volumes, detail) {
            (true, _) => options.volume,
            (false, 64..) => options.picture,
            (false, _) => options.picture.max(COARSE),
        };
        let digest = |slice: u32| records.facts[slice as usize].digest;
        let alike = |&&check: &&usize| {
            let Pair { a, b, .. } = self.pairs[check];
            let detail = records.detail(a, b);
            digest(a) == digest(b) || look(a, b, detail) >= least(detail)
        };
        2 * self.checks.iter().filter(alike).count() > self.checks.len()
    }

    /// The slices that must be looked at, each with the fields along a side.
    pub fn looks(&self, records: &Records) -> impl Iterator<Item = (u32, usize)> {
        self.checks.iter().flat_map(|&check| {
            let Pair { a, b, .. } = self.pairs[check];
            [a, b].map(|slice| (slice, records.detail(a, b)))
        })
    }
}
