//! How complete a source is: its cases against the counts of the spec, and the numbers that are absent among their ids.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::claim::{CaseState, Source};
use crate::spec::{Expected, Spec};
use crate::text::grouped;

/// The cases of a source that are there, against those that its spec expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// Slug of the source.
    pub source: String,
    /// Full name.
    pub name: String,
    /// Release that was recognised.
    pub release: String,
    /// Labelled cases.
    pub cases: u64,
    /// Cases without what they need to be built, most often a mask.
    pub unlabelled: u64,
    /// Cases that several files give, so that they cannot be built.
    pub ambiguous: u64,
    /// Labelled cases of a complete download, where the spec knows their number.
    pub expected: Option<u64>,
    /// Labelled cases that are missing; 0 where their number is not known.
    pub missing: u64,
    /// Labelled cases beyond what is expected of their layout.
    pub more: u64,
    /// Where these counts come from.
    pub origins: Vec<String>,
    /// What that means, as text.
    pub state: String,
}

impl Completeness {
    /// Compares what is there with each count of the spec: those that name the release and those that name none. A
    /// layout of which nothing is there is missing, unless it is a download of its own. What is too many of one layout
    /// makes up for nothing that is missing of another, and layouts without a count are not compared where others have
    /// one.
    pub fn of(source: &Source, spec: &Spec) -> Self {
        let mut by_layout: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut unlabelled, mut ambiguous) = (0, 0);
        for case in &source.cases {
            match case.state {
                CaseState::Complete => *by_layout.entry(&spec.layout[case.layout].name).or_default() += 1,
                CaseState::Skipped(_) => unlabelled += 1,
                CaseState::Ambiguous(_) => ambiguous += 1,
            }
        }
        let cases: u64 = by_layout.values().sum();
        let there = |layout: &Option<String>| match layout {
            Some(layout) => by_layout.get(layout.as_str()).copied().unwrap_or(0),
            None => cases,
        };
        let applies: Vec<&Expected> = spec
            .expected
            .iter()
            .filter(|e| e.release.as_ref().is_none_or(|r| *r == source.release))
            .filter(|e| !e.separate || there(&e.layout) > 0)
            .collect();
        let expected = (!applies.is_empty()).then(|| applies.iter().map(|e| u64::from(e.cases)).sum());
        let compared = |difference: fn(u64, u64) -> u64| -> Vec<(&str, u64)> {
            let parts = applies
                .iter()
                .map(|e| (e.layout.as_deref().unwrap_or_default(), difference(u64::from(e.cases), there(&e.layout))));
            parts.filter(|(_, number)| *number > 0).collect()
        };
        let (lacking, spare) = (compared(u64::saturating_sub), compared(|wanted, there| there.saturating_sub(wanted)));
        let sum = |parts: &[(&str, u64)]| parts.iter().map(|(_, number)| number).sum::<u64>();
        let (missing, more) = (sum(&lacking), sum(&spare));
        let told = |parts: &[(&str, u64)], what: &str| {
            let named = || parts.iter().map(|(layout, number)| format!("{layout} {}", grouped(*number)));
            let of_which = match applies.len() {
                1 => String::new(),
                _ => format!(" ({})", named().collect::<Vec<_>>().join(", ")),
            };
            (!parts.is_empty()).then(|| format!("{} {what}{of_which}", grouped(sum(parts))))
        };
        let differences = [told(&lacking, "missing"), told(&spare, "more than expected")];
        let differences: Vec<String> = differences.into_iter().flatten().collect();
        let state = match expected {
            _ if cases == 0 => "no labelled case".into(),
            None => "expected count unknown".into(),
            Some(_) if differences.is_empty() => "complete".into(),
            Some(_) => differences.join(", "),
        };
        let mut origins: Vec<String> = applies.iter().map(|e| e.origin.clone()).collect();
        origins.dedup();
        let (slug, name) = (source.slug.clone(), spec.name.clone());
        let release = source.release.clone();
        Completeness {
            source: slug,
            name,
            release,
            cases,
            unlabelled,
            ambiguous,
            expected,
            missing,
            more,
            origins,
            state,
        }
    }
}

/// Most ranges of absent numbers that are named for one kind of id.
const RANGES: usize = 12;

/// The numbers that the ids of a source's cases leave out between the first and the last, labelled or not: one sentence
/// for each kind of id, `002–004 of patient…_frame…`. Ids that are not counted (fewer than half of the numbers are
/// there, or as many digits as a date or a UID has) are passed over.
pub fn absent_numbers(source: &Source) -> Vec<String> {
    let mut kinds: BTreeMap<Vec<&str>, Vec<Vec<&str>>> = BTreeMap::new();
    for case in &source.cases {
        let name = case.id.split_once('/').map_or(case.id.as_str(), |(_, name)| name);
        let (words, numbers) = words_and_numbers(name);
        kinds.entry(words).or_default().push(numbers);
    }
    kinds.iter().filter_map(|(words, ids)| absent_of_kind(words, ids)).collect()
}

fn absent_of_kind(words: &[&str], ids: &[Vec<&str>]) -> Option<String> {
    // The first number that differs is what is counted: patients, and not their frames.
    let counted = (0..words.len() - 1).find(|&at| ids.iter().any(|id| id[at] != ids[0][at]))?;
    let texts = || ids.iter().map(|id| id[counted]);
    let there: BTreeSet<u64> = texts().map(str::parse).collect::<Result<_, _>>().ok()?;
    let (first, last) = (*there.first()?, *there.last()?);
    let width = texts().map(str::len).max().filter(|&width| texts().all(|text| text.len() == width)).unwrap_or(0);
    if width > 6 || (last - first) / 2 >= there.len() as u64 {
        return None;
    }
    let numbers: Vec<u64> = there.iter().copied().collect();
    let gaps = numbers.windows(2).filter(|pair| pair[1] > pair[0] + 1);
    let ranges: Vec<String> = gaps
        .map(|pair| match (pair[0] + 1, pair[1] - 1) {
            (low, high) if low == high => format!("{low:0width$}"),
            (low, high) => format!("{low:0width$}–{high:0width$}"),
        })
        .collect();
    let more = match ranges.len().saturating_sub(RANGES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = ranges[..ranges.len().min(RANGES)].join(", ");
    let pattern = words.join("…");
    (!ranges.is_empty()).then(|| format!("{named}{more} of {pattern}"))
}

/// An id taken apart: the texts between its numbers (one more than these), and the numbers.
fn words_and_numbers(id: &str) -> (Vec<&str>, Vec<&str>) {
    let (mut words, mut numbers, mut rest) = (Vec::new(), Vec::new(), id);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| start + length);
        words.push(&rest[..start]);
        numbers.push(&rest[start..end]);
        rest = &rest[end..];
    }
    words.push(rest);
    (words, numbers)
}

#[cfg(test)]
mod tests {
    use super::super::claim::Case;
    use super::*;

    fn source(ids: &[&str]) -> Source {
        let case = |id: &&str| Case {
            id: format!("acdc/{id}"),
            source: "acdc".into(),
            layout: 0,
            patient: String::new(),
            split: None,
            sequence: String::new(),
            modality: String::new(),
            image: Vec::new(),
            image_keys: Vec::new(),
            form: 0,
            above: String::new(),
            channel: None,
            masks: Vec::new(),
            lists: Vec::new(),
            companions: Vec::new(),
            state: CaseState::Complete,
            notes: Vec::new(),
            pseudonym: None,
            names: Default::default(),
        };
        Source {
            slug: "acdc".into(),
            release: "1".into(),
            cases: ids.iter().map(case).collect(),
            skipped: Vec::new(),
            unpaired: Vec::new(),
            prefix: String::new(),
            joined: Vec::new(),
            apart: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn absent_numbers_are_named_by_their_kind() {
        let absent = |ids: &[&str]| absent_numbers(&source(ids));
        let ids = ["patient001_frame01", "patient001_frame12", "patient003_frame01", "patient006_frame07"];
        assert_eq!(absent(&ids), ["002, 004–005 of patient…_frame…"]);
        assert_eq!(absent(&["liver_8", "liver_9", "liver_11", "spleen_1"]), ["10 of liver_…"]);
        assert_eq!(absent(&["a1", "a2", "a3"]), Vec::<String>::new());
        assert_eq!(absent(&["Image_01L", "Image_01R", "Image_03L", "Image_03R"]), ["02 of Image_…L", "02 of Image_…R"]);
    }

    #[test]
    fn ids_that_are_not_counted_are_passed_over() {
        let absent = |ids: &[&str]| absent_numbers(&source(ids));
        assert!(absent(&["s1", "s100", "s1000"]).is_empty(), "too few of too many");
        assert!(absent(&["20170101", "20170103"]).is_empty(), "dates");
        assert!(
            absent(&["1.3.6.1.4.14519.99999999999999999999999", "1.3.6.1.4.14519.99999999999999999999998"]).is_empty()
        );
        assert!(absent(&["alone", "7"]).is_empty());
        assert!(absent(&[]).is_empty());
    }

    #[test]
    fn counts_are_those_of_the_release_and_absent_layouts_are_missing() {
        let mut spec = crate::spec::Registry::built_in().unwrap().get("acdc").unwrap().clone();
        let expected = |release: Option<&str>, layout: Option<&str>, cases| Expected {
            release: release.map(String::from),
            layout: layout.map(String::from),
            separate: false,
            cases,
            origin: "here".into(),
        };
        let layout = spec.layout[0].name.clone();
        spec.expected = vec![
            expected(Some("1"), Some(&layout), 3),
            expected(Some("2"), None, 50),
            Expected { separate: true, ..expected(None, Some("another"), 70) },
        ];
        let two = Completeness::of(&source(&["p1", "p2"]), &spec);
        assert_eq!((two.cases, two.expected, two.missing, two.state.as_str()), (2, Some(3), 1, "1 missing"));
        assert_eq!(Completeness::of(&source(&["p1", "p2", "p3"]), &spec).state, "complete");
        spec.expected[2].separate = false;
        let three = Completeness::of(&source(&["p1", "p2", "p3"]), &spec);
        assert_eq!((three.missing, three.state.as_str()), (70, "70 missing (another 70)"));
        let five = Completeness::of(&source(&["p1", "p2", "p3", "p4", "p5"]), &spec);
        let state = format!("70 missing (another 70), 2 more than expected ({layout} 2)");
        assert_eq!((five.missing, five.state), (70, state), "what is too many makes up for nothing");
        spec.expected.clear();
        assert_eq!(Completeness::of(&source(&["p1"]), &spec).state, "expected count unknown");
    }
}
