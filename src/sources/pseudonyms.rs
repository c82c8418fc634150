//! Pseudonyms for patients whose identifiers look like personal names.
//!
//! The tables hold the pseudonyms that the sources give their patients. Private downloads, directly from a scanner or a
//! hospital archive, may have folders with names and birth dates instead. Such identifiers are replaced by a name
//! derived from a hash, in ids, paths and messages. The salt of the hash is the content of the patient's images: the
//! same files give the same name, and without the files names cannot be guessed and tested.
//!
//! Three patterns are detected: `^` between letters, which separates the parts of a person's name in DICOM; a day,
//! month and year of a life (19500102, 1950-01-02, 02.01.1950); and two or more capitalised words that the spec does
//! not use.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use regex::{Regex, RegexSet};
use serde_json::Value;

use super::{CaseState, Scan};
use crate::digest::sha256;
use crate::spec::{Registry, Spec};

/// What stands in the tables in place of texts that look personal.
#[derive(Clone, Debug)]
pub struct Pseudonym {
    personal: Regex,
    name: String,
}

impl Pseudonym {
    /// `texts`, in whatever way their words are separated, become a name made of `salt`.
    fn new(texts: &BTreeSet<String>, salt: &str) -> Option<Self> {
        let mut texts: Vec<&String> = texts.iter().collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let word = |c: char| c.is_alphanumeric();
        let any_separator = |text: &&String| {
            let words: Vec<String> = text.split(|c| !word(c)).filter(|w| !w.is_empty()).map(regex::escape).collect();
            words.join(r"[^\p{L}\p{N}/]+")
        };
        let alternatives: Vec<String> = texts.iter().map(any_separator).filter(|p| !p.is_empty()).collect();
        let personal = Regex::new(&format!("(?i){}", alternatives.join("|"))).ok()?;
        Some(Pseudonym { personal, name: format!("anon-{}", &sha256(salt.as_bytes())[..12]) })
    }

    /// The text without what looks personal.
    pub fn hide(&self, text: &str) -> String {
        self.personal.replace_all(text, self.name.as_str()).into_owned()
    }
}

/// All pseudonyms of a scan, for texts of which nobody knows which case they belong to.
#[derive(Clone, Debug)]
pub struct Pseudonyms {
    personal: RegexSet,
    all: Vec<Pseudonym>,
}

impl Pseudonyms {
    /// Those that [`hide_persons`] gave.
    pub fn of(scan: &Scan) -> Self {
        let cases = scan.sources.iter().flat_map(|source| &source.cases);
        let mut all: Vec<Pseudonym> = cases.filter_map(|case| case.pseudonym.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        let personal = RegexSet::new(all.iter().map(|p| p.personal.as_str())).unwrap_or_else(|_| RegexSet::empty());
        Pseudonyms { personal, all }
    }

    /// The text without what looks personal.
    pub fn hide(&self, text: &str) -> String {
        self.personal.matches(text).into_iter().fold(text.to_string(), |text, at| self.all[at].hide(&text))
    }
}

/// Gives a [`Pseudonym`] to every case whose patient, or whose files, are named as persons are, and uses it in the
/// case's id and patient. `paths` are those of the tree; `digest` is that of a file, where it could be read.
pub fn hide_persons<'a>(
    scan: &mut Scan,
    registry: &Registry,
    paths: &[&str],
    digest: impl Fn(usize) -> Option<&'a str>,
) {
    for source in &mut scan.sources {
        let Some(spec) = registry.specs().iter().find(|spec| spec.slug == source.slug) else { continue };
        let own_words = words_of(spec);
        let mut patients: BTreeMap<String, (BTreeSet<String>, BTreeSet<&str>)> = BTreeMap::new();
        for case in source.cases.iter().filter(|case| case.state == CaseState::Complete) {
            let name = case.patient.trim_start_matches(&format!("{}/", source.slug));
            let (texts, salt) = patients.entry(case.patient.clone()).or_default();
            // An escape in the id may hide a name from the eye of the rule.
            if looks_personal(name, &own_words) || looks_personal(&case.names.patient, &own_words) {
                texts.extend([name.to_string(), case.names.patient.clone()]);
            }
            let components = case.files().flat_map(|file| paths[file].split('/'));
            texts.extend(components.filter(|c| has_caret(c)).map(without_extension));
            salt.extend(case.image.iter().filter_map(|&file| digest(file)));
        }
        for case in &mut source.cases {
            let Some((texts, salt)) = patients.get(&case.patient).filter(|(texts, _)| !texts.is_empty()) else {
                continue;
            };
            let salt = Vec::from_iter(salt.iter().copied()).join(" ");
            case.pseudonym = Pseudonym::new(texts, &format!("{} {salt}", case.patient));
            if let Some(pseudonym) = &case.pseudonym {
                (case.id, case.patient) = (pseudonym.hide(&case.id), pseudonym.hide(&case.patient));
            }
        }
        source.cases.sort_by(|a, b| a.id.cmp(&b.id));
    }
}

/// Words that name no person wherever they stand.
const COMMON_WORDS: &str = "image mask label patient case subject study series scan left right train test";

/// Words that a source uses for things: its labels, folders and sequences. What it cites names people, and is left out.
fn words_of(spec: &Spec) -> HashSet<String> {
    let spec = Spec { citation: String::new(), unverified: Vec::new(), ..spec.clone() };
    let mut words = HashSet::new();
    let mut add = |text: &str| {
        words.extend(text.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase));
    };
    add(COMMON_WORDS);
    // A spec is read from TOML, and can be JSON anyway.
    each_text(&serde_json::to_value(&spec).unwrap_or_default(), &mut add);
    words
}

/// Calls `found` for every text and every key in `value`.
fn each_text(value: &Value, found: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => found(text),
        Value::Array(values) => values.iter().for_each(|value| each_text(value, found)),
        Value::Object(entries) => entries.iter().for_each(|(key, value)| {
            found(key);
            each_text(value, found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn without_extension(component: &str) -> String {
    component.split('.').next().unwrap_or(component).to_string()
}

/// True for `DOE^JOHN`.
fn has_caret(text: &str) -> bool {
    text.split_once('^')
        .is_some_and(|(family, given)| family.ends_with(char::is_alphabetic) && given.starts_with(char::is_alphabetic))
}

fn looks_personal(text: &str, own_words: &HashSet<String>) -> bool {
    // Unique identifiers are numbers and dots, and have any digits in them.
    if text.chars().all(|c| c.is_ascii_digit() || c == '.') && text.matches('.').count() > 2 {
        return false;
    }
    let parts: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|p| !p.is_empty()).collect();
    let words: Vec<&str> = parts.iter().copied().filter(|p| p.chars().all(char::is_alphabetic)).collect();
    let only_words = parts.iter().all(|p| words.contains(p) || p.chars().all(|c| c.is_ascii_digit()));
    let capitalised = |w: &&str| w.chars().count() > 1 && w.starts_with(char::is_uppercase);
    let foreign = |w: &&str| !own_words.contains(&w.to_lowercase());
    has_caret(text)
        || has_birth_date(&parts)
        || (words.len() > 1 && only_words && words.iter().all(|w| capitalised(w) && foreign(w)))
}

/// True where a part, or three in a row, are the day, month and year of a birth.
fn has_birth_date(parts: &[&str]) -> bool {
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.chars().all(|c| c.is_ascii_digit()));
    let date = |year: &str, month: &str, day: &str| {
        let inside =
            |text: &str, range: std::ops::RangeInclusive<u32>| number(text).is_some_and(|n| range.contains(&n));
        year.len() == 4 && inside(year, 1900..=2030) && inside(month, 1..=12) && inside(day, 1..=31)
    };
    let whole = |part: &&str| part.len() == 8 && part.is_ascii() && date(&part[..4], &part[4..6], &part[6..]);
    let apart = |three: &[&str]| {
        let two_digits = |text: &str| text.len() == 2;
        (two_digits(three[1]) && two_digits(three[2]) && date(three[0], three[1], three[2]))
            || (two_digits(three[0]) && two_digits(three[1]) && date(three[2], three[1], three[0]))
    };
    parts.iter().any(whole) || parts.windows(3).any(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_birth_dates_are_seen() {
        let own: HashSet<String> = ["patient", "siemens", "left"].map(String::from).into();
        for text in [
            "DOE^JOHN",
            "Doe_John",
            "DOE_JANE_19500102",
            "x-1950-01-02",
            "02.01.1950-7",
            "García_Ana",
            "19500102",
            "Doe_John_3",
        ] {
            assert!(looks_personal(text, &own), "{text}");
        }
        for text in [
            "patient001",
            "Patient_383",
            "Siemens_Patient",
            "case_00123",
            "Doe",
            "IXI012-HH-1211-T1",
            "A_B",
            "1.3.6.1.4.1.14519.5.2.1.6279.6001.19500102",
            "19501302",
            "ProstateDx-01-0001",
            "left_Left",
            "20500101",
        ] {
            assert!(!looks_personal(text, &own), "{text}");
        }
    }

    #[test]
    fn a_name_goes_however_its_words_are_separated() {
        let texts = BTreeSet::from(["Doe_John".to_string()]);
        let pseudonym = Pseudonym::new(&texts, "content").unwrap();
        let hidden = pseudonym.hide("raw.zip/DOE^JOHN/doe, john_frame01.nii: Doe John's mask is missing; Dover stays");
        assert!(!hidden.to_lowercase().contains("john") && hidden.contains("Dover"), "{hidden}");
        assert_eq!(hidden.matches("anon-").count(), 3);
        let other = Pseudonym::new(&texts, "other content").unwrap();
        assert_ne!(pseudonym.name, other.name, "the salt counts");
    }
}
