//! What a list or table of the download says of its cases: to which split they belong, or which patient they come from.
//!
//! Some sources publish their split as lists of ids (CAMUS, Kvasir-Instrument) or as a column of a table
//! (TotalSegmentator), and the patient of a picture in a table only (Warwick-QU).

use std::collections::HashMap;

use super::claim::{file_safe, renamed};
use super::table::Table;
use super::{CaseState, Scan};
use crate::spec::{ListPart, Registry};

/// What a list says of one of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    split: Option<String>,
    patient: Option<String>,
}

/// Completes the cases of a scan with what their lists say. `read` gives the bytes of a file of the tree; each list is read
/// once.
///
/// What could not be read, or lacks a column, comes back as position of the file and reason: its cases keep what their
/// names say.
pub fn read_lists(
    scan: &mut Scan,
    registry: &Registry,
    read: impl Fn(usize) -> Result<Vec<u8>, String>,
) -> Vec<(usize, String)> {
    let mut known: HashMap<(usize, String, usize, usize), HashMap<String, Said>> = HashMap::new();
    let mut problems = Vec::new();
    for case in scan.sources.iter_mut().flat_map(|source| &mut source.cases) {
        let Some(spec) = registry.specs().iter().find(|spec| spec.slug == case.source) else { continue };
        let layout = &spec.layout[case.layout];
        if case.state != CaseState::Complete {
            continue;
        }
        for list in case.lists.iter().filter(|list| !layout.list[list.part].names).cloned().collect::<Vec<_>>() {
            let entries = known.entry((list.file, case.source.clone(), case.layout, list.part)).or_insert_with(|| {
                let entries = read(list.file).and_then(|bytes| entries(&bytes, &layout.list[list.part]));
                entries.unwrap_or_else(|reason| {
                    problems.push((list.file, reason));
                    HashMap::new()
                })
            });
            let Some(said) = entries.get(&list.key) else { continue };
            if let Some(split) = said.split.clone().or(list.split) {
                case.split = Some(renamed(split, &layout.split_names));
            }
            if let Some(patient) = &said.patient {
                let patient = renamed(patient.clone(), &layout.patient_names);
                case.patient = format!("{}/{}", case.source, file_safe(&patient));
            }
        }
    }
    problems
}

/// What a list says, by key.
fn entries(bytes: &[u8], rules: &ListPart) -> Result<HashMap<String, Said>, String> {
    if rules.key_column.is_empty() {
        let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        return Ok(lines.map(|line| (line.to_string(), Said::default())).collect());
    }
    let mut table = Table::new(bytes)?;
    let column = |name: &Option<String>| name.as_ref().map(|n| table.column(std::slice::from_ref(n))).transpose();
    let (key, split, patient) =
        (table.column(&rules.key_column)?, column(&rules.split_column)?, column(&rules.patient_column)?);
    let mut found = HashMap::new();
    for row in table.rows() {
        let row = row?;
        let field = |column: usize| {
            let text = String::from_utf8_lossy(row.get(column)?).into_owned();
            (!text.is_empty()).then_some(text)
        };
        if let Some(key) = field(key) {
            found.insert(key, Said { split: split.and_then(field), patient: patient.and_then(field) });
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
    fn a_plain_list_names_its_cases() {
        let rules = rules("path = [\"{split:train|test}.txt\"]\nkey = \"{id}\"\nsplit = \"{split}\"");
        let found = entries(b"\xef\xbb\xbfpatient0001\r\n patient0002 \r\n\r\n", &rules).unwrap();
        let mut keys: Vec<&String> = found.keys().collect();
        keys.sort();
        assert_eq!(keys, ["patient0001", "patient0002"]);
    }

    #[test]
    fn a_table_is_read_by_its_columns_whatever_its_separator() {
        let rules = rules(
            "path = [\"meta.csv\"]\nkey = \"{id}\"\nkey_column = [\"image_id\", \"id\"]\nsplit_column = \"split\"\npatient_column = \"who\"",
        );
        let said = |split: &str, who: &str| Said { split: Some(split.into()), patient: Some(who.into()) };
        let table = "\u{feff}image_id;who;split\ns0000;7;train\ns0001;;\n";
        let found = entries(table.as_bytes(), &rules).unwrap();
        assert_eq!((&found["s0000"], &found["s0001"]), (&said("train", "7"), &Said::default()));
        let error = entries(b"image_id;split\ns0000;train\n", &rules).unwrap_err();
        assert!(error.contains("\"who\"") && error.contains("image_id"), "{error}");
        let error = entries(b"", &rules).unwrap_err();
        assert!(error.contains("image_id or id"), "{error}");
    }
}
