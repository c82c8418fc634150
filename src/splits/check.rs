//! The check of a split: no patient and no leak group is in two splits.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Place;
use crate::leaks::Components;

/// A patient and where a table says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// Patient.
    pub patient: String,
    /// Place; `None` where the table names none.
    pub place: Option<Place>,
}

/// What is wrong with a split, one sentence each: patients that are in two places or in none, patients of the dataset
/// that have no row, and groups of linked patients that are in two places. Groups are rebuilt from the `links`.
pub fn crossings<'a>(
    assigned: &[Assigned],
    patients: impl IntoIterator<Item = &'a str>,
    links: &[(String, String)],
) -> Vec<String> {
    let mut problems = Vec::new();
    let mut places: BTreeMap<&str, &Place> = BTreeMap::new();
    for row in assigned {
        match &row.place {
            None => problems.push(format!("{} is in no split and no fold", row.patient)),
            Some(place) => match places.insert(&row.patient, place) {
                Some(before) if before != place => {
                    problems.push(format!("{} is in both {} and {}", row.patient, label(before), label(place)));
                }
                _ => {}
            },
        }
    }
    let named: BTreeSet<&str> = assigned.iter().map(|row| row.patient.as_str()).collect();
    let missing: BTreeSet<&str> = patients.into_iter().filter(|patient| !named.contains(patient)).collect();
    problems.extend(missing.into_iter().map(|patient| format!("{patient} is not assigned")));

    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut names: Vec<&str> = Vec::new();
    let mut components = Components::new();
    for (a, b) in links {
        let [a, b] = [a, b].map(|name| {
            *numbers.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() as u32 - 1
            })
        });
        components.join(a, b);
    }
    let mut groups: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (number, first) in components.first_of_each() {
        groups.entry(first).or_default().push(names[number as usize]);
    }
    for group in groups.values() {
        let mut sides: Vec<(&str, &Place)> = Vec::new();
        for &patient in group {
            let Some(place) = places.get(patient) else { continue };
            if sides.iter().all(|(_, known)| known != place) {
                sides.push((patient, place));
            }
        }
        if sides.len() > 1 {
            let sides: Vec<String> =
                sides.iter().map(|(patient, place)| format!("{patient} in {}", label(place))).collect();
            problems.push(format!("linked patients are in different splits: {}", sides.join(", ")));
        }
    }
    problems
}

fn label(place: &Place) -> String {
    match place {
        Place::Part(name) => name.clone(),
        Place::Fold(fold) => format!("fold {fold}"),
    }
}
