//! Links declared by the sources.

use std::collections::{BTreeSet, HashMap};

use super::{LeakKind, Link, Records};
use crate::spec::Spec;
use crate::spec::pattern::{Pattern, Template};

/// An overlap of two sources that are both there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The source that says so.
    pub source: String,
    /// The other.
    pub other: String,
    /// What is shared, as text.
    pub note: String,
    /// Whether the names of the patients of one source tell those of the other.
    pub mapped: bool,
}

/// Overlaps between sources that are there.
pub fn declarations<'a>(sources: &BTreeSet<&str>, specs: impl IntoIterator<Item = &'a Spec>) -> Vec<Declaration> {
    let of_spec = |spec: &'a Spec| {
        spec.overlaps.iter().map(|overlap| Declaration {
            source: spec.slug.clone(),
            other: overlap.source.clone(),
            note: overlap.note.clone(),
            mapped: overlap.patients.is_some(),
        })
    };
    let there = |d: &Declaration| [&d.source, &d.other].iter().all(|source| sources.contains(source.as_str()));
    specs.into_iter().flat_map(of_spec).filter(there).collect()
}

/// Links that follow from the names of patients.
///
/// # Errors
/// A sentence, for a pattern that does not compile.
pub fn declared<'a>(records: &Records, specs: impl IntoIterator<Item = &'a Spec>) -> Result<Vec<Link>, String> {
    let numbered = || records.patients.iter().enumerate().map(|(number, patient)| (patient.id.as_str(), number as u32));
    let by_name: HashMap<&str, u32> = numbered().collect();
    let mut links = Vec::new();
    for spec in specs {
        for overlap in &spec.overlaps {
            let Some([own, theirs]) = &overlap.patients else { continue };
            let (own, theirs) = (Pattern::new(own, spec.ignore_case)?, Template::new(theirs));
            let prefix = format!("{}/", spec.slug);
            for (id, patient) in numbered() {
                let Some(captures) = id.strip_prefix(&prefix).and_then(|name| own.captures(name)) else { continue };
                let other = format!("{}/{}", overlap.source, theirs.fill(&captures));
                let Some(&other) = by_name.get(other.as_str()).filter(|other| **other != patient) else { continue };
                let (patient, other) = (patient.min(other), patient.max(other));
                links.push(Link { patient, other, kind: LeakKind::Declared, slices: 0, twins: None });
            }
        }
    }
    Ok(links)
}
