//! Splits and patients of cases from the lists and tables of a download.
//!
//! Some sources publish their split as lists of ids (CAMUS, Kvasir-Instrument) or as a column of a table
//! (TotalSegmentator), and the patient of a picture in a table only (Warwick-QU).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::claim::renamed;
use super::table::{Table, bare, other_encoding};
use super::{Case, CaseState, Scan};
use crate::fault::pointer;
use crate::spec::pattern::composed;
use crate::spec::{Layout, ListPart, Registry, Spec, file_safe};

/// What a list says of one of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ListEntry {
    split: Option<String>,
    patient: Option<String>,
}

impl ListEntry {
    /// Takes what another row says of the same key; where both say something else, the two words.
    fn and(&mut self, other: &ListEntry) -> Result<(), [String; 2]> {
        for (own, other) in [(&mut self.split, &other.split), (&mut self.patient, &other.patient)] {
            match (own.as_ref(), other) {
                (Some(a), Some(b)) if a != b => return Err([a.clone(), b.clone()]),
                (None, Some(_)) => own.clone_from(other),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a list says, by key.
type Entries = BTreeMap<String, ListEntry>;

/// Completes the cases of a scan with what their lists say, and the notes of their sources. `read` gives the bytes of a
/// file of the tree; each list is read once. Keys without the leading zeros of a case (a spreadsheet makes 1 of 001)
/// name it where no other could be meant.
///
/// What cannot be used comes back as position of the file and reason: a list that cannot be read, lacks a column,
/// contradicts itself or another one, or names no case at all. Nothing is taken from it.
pub fn read_lists(
    scan: &mut Scan,
    registry: &Registry,
    read: impl Fn(usize) -> Result<Vec<u8>, String>,
) -> Vec<(usize, String)> {
    let mut problems = BTreeMap::new();
    for source in &mut scan.sources {
        let Some(spec) = registry.specs().iter().find(|spec| spec.slug == source.slug) else { continue };
        let mut lists =
            Lists { spec, read: &read, known: BTreeMap::new(), problems: BTreeMap::new(), zeros: BTreeMap::new() };
        lists.load(&source.cases);
        lists.refuse_strangers(&source.cases);
        lists.refuse_contradictions(&source.cases);
        let mut named = vec![false; source.cases.len()];
        for (case, named) in source.cases.iter_mut().zip(&mut named) {
            *named = lists.complete(case);
        }
        source.name_patients();
        source.notes.extend(lists.notes(&source.cases, &named));
        problems.extend(lists.problems);
    }
    problems.into_iter().collect()
}

/// The lists of one source.
struct Lists<'a, R> {
    spec: &'a Spec,
    read: &'a R,
    /// Entries of each file, by layout and part of it.
    known: BTreeMap<(usize, usize, usize), Entries>,
    problems: BTreeMap<usize, String>,
    /// Keys of lists that name a case without its leading zeros, and the case's own.
    zeros: BTreeMap<(usize, String), String>,
}

impl<R: Fn(usize) -> Result<Vec<u8>, String>> Lists<'_, R> {
    /// Reads all lists.
    fn load(&mut self, cases: &[Case]) {
        for (case, list) in cases.iter().flat_map(|case| case.lists.iter().map(move |list| (case, list))) {
            let key = (case.layout, list.part, list.file);
            if self.known.contains_key(&key) || self.problems.contains_key(&list.file) {
                continue;
            }
            let rules = &self.layout(case).list[list.part];
            if rules.names {
                continue;
            }
            match (self.read)(list.file).and_then(|bytes| entries(&bytes, rules)) {
                Ok(entries) => drop(self.known.insert(key, entries)),
                Err(reason) => drop(self.problems.insert(list.file, reason)),
            }
        }
        self.match_zeros(cases);
    }

    fn layout(&self, case: &Case) -> &Layout {
        &self.spec.layout[case.layout]
    }

    /// Finds the keys that lack the leading zeros of a case.
    fn match_zeros(&mut self, cases: &[Case]) {
        for (&(layout, part, file), entries) in &self.known {
            let consult = cases.iter().filter(|case| case.layout == layout).flat_map(|case| &case.lists);
            let keys: BTreeSet<&str> =
                consult.filter(|l| (l.part, l.file) == (part, file)).map(|l| l.key.as_str()).collect();
            let mut by_number: HashMap<String, (BTreeSet<&str>, BTreeSet<&str>)> = HashMap::new();
            for key in &keys {
                by_number.entry(without_zeros(key)).or_default().0.insert(key);
            }
            for key in entries.keys() {
                if let Some(found) = by_number.get_mut(&without_zeros(key)) {
                    found.1.insert(key);
                }
            }
            for (of_cases, of_list) in by_number.values().filter(|(cases, list)| (cases.len(), list.len()) == (1, 1)) {
                let (Some(own), Some(listed)) = (of_cases.first(), of_list.first()) else { continue };
                if own != listed {
                    self.zeros.insert((file, own.to_string()), listed.to_string());
                }
            }
        }
    }

    /// What a list says of a case.
    fn entry(&self, case: &Case, list: &super::CaseList) -> Option<ListEntry> {
        let entries = self.known.get(&(case.layout, list.part, list.file))?;
        let key = self.zeros.get(&(list.file, list.key.clone())).unwrap_or(&list.key);
        let entry = entries.get(key)?.clone();
        Some(ListEntry { split: entry.split.or_else(|| list.split.clone()), ..entry })
    }

    /// Refuses lists none of whose keys is a case, where no other list of the same kind names one.
    fn refuse_strangers(&mut self, cases: &[Case]) {
        let mut useful: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut read: BTreeSet<usize> = BTreeSet::new();
        for (case, list) in cases.iter().flat_map(|case| case.lists.iter().map(move |list| (case, list))) {
            if self.entry(case, list).is_some() {
                useful.insert((case.layout, list.part));
                read.insert(list.file);
            }
        }
        let strange = self
            .known
            .iter()
            .filter(|((layout, part, file), _)| !useful.contains(&(*layout, *part)) && !read.contains(file));
        for ((layout, _, file), entries) in strange {
            let own = cases.iter().filter(|c| c.layout == *layout).flat_map(|c| &c.lists).find(|l| l.file == *file);
            let such_as = entries.keys().next().map_or_else(String::new, |key| format!(", such as {key:?}"));
            let reason = format!(
                "{n} of {n} entries match no case of {}{such_as}; expected names such as {:?}. The list is ignored",
                self.spec.slug,
                own.map_or("", |l| l.key.as_str()),
                n = entries.len(),
            );
            self.problems.insert(*file, reason);
        }
        self.forget();
    }

    /// Refuses lists that contradict each other.
    fn refuse_contradictions(&mut self, cases: &[Case]) {
        for case in cases {
            let mut all: Option<(ListEntry, usize)> = None;
            for list in &case.lists {
                let Some(entry) = self.entry(case, list) else { continue };
                let Some((before, first)) = &mut all else {
                    all = Some((entry, list.file));
                    continue;
                };
                if let Err([a, b]) = before.and(&entry) {
                    let reason = |other: &str| {
                        format!("contradicts {other}: {:?} is {a:?} and {b:?}. Both lists are ignored", list.key)
                    };
                    self.problems.entry(*first).or_insert_with(|| reason("another list"));
                    self.problems.entry(list.file).or_insert_with(|| reason("another list"));
                }
            }
        }
        self.forget();
    }

    /// Drops what is entry by lists that have problems.
    fn forget(&mut self) {
        let problems = &self.problems;
        self.known.retain(|(_, _, file), _| !problems.contains_key(file));
    }

    /// Gives a case what its lists say; true where one names it.
    fn complete(&self, case: &mut Case) -> bool {
        let mut named = false;
        for list in case.lists.clone() {
            let Some(entry) = self.entry(case, &list) else { continue };
            named = true;
            let layout = self.layout(case);
            let split = entry.split.map(|split| renamed(split, &layout.split_names));
            let patient = entry.patient.map(|patient| renamed(patient, &layout.patient_names));
            if let Some(split) = split {
                case.split = Some(split);
            }
            if let Some(patient) = patient {
                case.names.patient = patient;
            }
        }
        named
    }

    /// What a user should know of them that is no fault.
    fn notes(&self, cases: &[Case], named: &[bool]) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(((_, own), listed)) = self.zeros.first_key_value() {
            notes.push(format!(
                "{} key(s) of the lists match after adding leading zeros, such as {listed:?} for {own:?}",
                self.zeros.len()
            ));
        }
        for layout in cases.iter().map(|case| case.layout).collect::<BTreeSet<_>>() {
            let listed = |case: &Case| {
                case.state == CaseState::Complete
                    && case.lists.iter().any(|l| self.known.contains_key(&(layout, l.part, l.file)))
            };
            let of_layout = cases.iter().zip(named).filter(|(case, _)| case.layout == layout && listed(case));
            let (with, without): (Vec<_>, Vec<_>) = of_layout.partition(|(_, named)| **named);
            if let (Some((case, _)), false) = (without.first(), with.is_empty()) {
                notes.push(format!(
                    "{} of {} cases are in no list, such as {}",
                    without.len(),
                    with.len() + without.len(),
                    case.id
                ));
            }
        }
        notes
    }
}

/// A key with the leading zeros of its numbers left out.
fn without_zeros(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    let mut chars = key.chars().peekable();
    while let Some(c) = chars.next() {
        let begins = !out.ends_with(|last: char| last.is_ascii_digit());
        if c == '0' && begins && chars.peek().is_some_and(char::is_ascii_digit) {
            continue;
        }
        out.push(c);
    }
    out
}

/// What programs write where a table has no value.
const NO_VALUE: &[&str] = &["nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nat"];

/// What a list says, by key.
fn entries(bytes: &[u8], rules: &ListPart) -> Result<Entries, String> {
    if let Some(looks) = pointer(bytes) {
        return Err(format!("the file is {}{}", looks.what, looks.advice));
    }
    let mut found = Entries::new();
    if let Some(reason) = other_encoding(bytes) {
        return Err(reason);
    }
    if rules.key_column.is_empty() {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for line in text.split(|&b| b == b'\n' || b == b'\r') {
            let key = composed(String::from_utf8_lossy(bare(line)).trim());
            if !key.is_empty() {
                found.insert(key, ListEntry::default());
            }
        }
        return Ok(found);
    }
    let mut table = Table::new(bytes)?;
    let column = |name: &Option<String>| name.as_ref().map(|n| table.column(std::slice::from_ref(n))).transpose();
    let (key, split, patient) =
        (table.column(&rules.key_column)?, column(&rules.split_column)?, column(&rules.patient_column)?);
    for (row, number) in table.rows().zip(2..) {
        let row = row?;
        let field = |column: usize| {
            let text = composed(&String::from_utf8_lossy(row.get(column)?));
            (!text.is_empty()).then_some(text)
        };
        let Some(key) = field(key) else { continue };
        if let Some(absent) = [split, patient].into_iter().flatten().find(|&column| row.get(column).is_none()) {
            return Err(format!("row {number} ({key:?}) ends before the required column {}", absent + 1));
        }
        let value =
            |column: usize| field(column).filter(|text| !NO_VALUE.contains(&text.to_ascii_lowercase().as_str()));
        let entry = ListEntry { split: split.and_then(value), patient: patient.and_then(value) };
        if let Some(who) = entry.patient.as_ref().filter(|who| file_safe(who).is_empty()) {
            return Err(format!(
                "row {number} ({key:?}) has the patient {who:?}, which contains no letter or digit. The list is ignored"
            ));
        }
        if let Err([a, b]) = found.entry(key.clone()).or_default().and(&entry) {
            return Err(format!("contradicts itself: {key:?} is {a:?} and {b:?} (row {number}). The list is ignored"));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(toml: &str) -> ListPart {
        toml::from_str(toml).unwrap()
    }

    #[test]
    fn zeros_before_numbers_are_left_out() {
        let cases = [("001", "1"), ("p010_0", "p10_0"), ("000", "0"), ("a1.02", "a1.2"), ("1001", "1001")];
        for (key, expected) in cases {
            assert_eq!(without_zeros(key), expected);
        }
    }

    #[test]
    fn a_plain_list_names_its_cases() {
        let rules = rules("path = [\"{split:train|test}.txt\"]\nkey = \"{id}\"\nsplit = \"{split}\"");
        let found = entries(b"\xef\xbb\xbfpatient0001\r\n patient0002 \r\n\r\n", &rules).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["patient0001", "patient0002"]);
    }

    #[test]
    fn a_table_is_read_by_its_columns_whatever_its_separator() {
        let rules = rules(
            "path = [\"meta.csv\"]\nkey = \"{id}\"\nkey_column = [\"image_id\", \"id\"]\nsplit_column = \"split\"\npatient_column = \"who\"",
        );
        let entry = |split: &str, who: &str| ListEntry { split: Some(split.into()), patient: Some(who.into()) };
        let table = "\u{feff}image_id;who;split\ns0000;7;train\ns0001;;\ns0000;;train\n";
        let found = entries(table.as_bytes(), &rules).unwrap();
        assert_eq!((&found["s0000"], &found["s0001"]), (&entry("train", "7"), &ListEntry::default()));
        let error = entries(b"image_id;split\ns0000;train\n", &rules).unwrap_err();
        assert!(error.contains("\"who\"") && error.contains("image_id"), "{error}");
        for (row, words) in [("s0000;8;train", "contradicts itself"), ("s0002", "ends before the required column")] {
            let error = entries(format!("{table}{row}\n").as_bytes(), &rules).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let error = entries(b"", &rules).unwrap_err();
        assert!(error.contains("image_id or id"), "{error}");
    }
}
