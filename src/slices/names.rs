//! Comparison of the names of labels and modalities in a download's `dataset.json` with the spec: a contradiction would
//! give every mask of the case a wrong name.
//!
//! Two forms are read: that of the Medical Segmentation Decathlon (`"labels": {"1": "liver"}`, `"modality": {"0":
//! "CT"}`) and that of nnU-Net (`"labels": {"liver": 1, "whole": [1, 2]}`, `"channel_names": {"0": "CT"}`).

use serde_json::Value;

use super::Error;
use crate::raw::Tree;
use crate::sources::Case;
use crate::spec::{Decode, Spec, compare_names, plain_name};

/// Compares the `dataset.json` of a case with its spec: for each file what is worth noting.
///
/// # Errors
/// A file that cannot be read, or that contradicts the spec.
pub(super) fn check(case: &Case, spec: &Spec, tree: &Tree) -> Result<Vec<(String, Vec<String>)>, Error> {
    let layout = &spec.layout[case.layout];
    let mut notes = Vec::new();
    for list in case.lists.iter().filter(|list| layout.list[list.part].names) {
        let member = &tree.members()[list.file];
        let problem = |reason: String| Error::Spec { file: member.path.clone(), reason };
        let bytes = tree.read_text(member)?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let json: Value = serde_json::from_slice(bytes).map_err(|e| problem(format!("not JSON: {e}")))?;
        let mut contradictions = Vec::new();
        let said = labels(&json);
        let tables = layout.mask.iter().filter(|mask| mask.decode == Decode::Values);
        let mut own_notes = Vec::new();
        for table in tables.filter_map(|mask| spec.labels.get(mask.labels.as_ref()?)) {
            let compared = compare_names(said.iter().map(|(value, name)| (*value, vec![name.as_str()])), table);
            contradictions.extend(compared.contradictions);
            own_notes.extend(compared.unknown);
        }
        contradictions.extend(modality(&json, case, spec));
        if !contradictions.is_empty() {
            return Err(problem(format!(
                "its names of labels and modalities contradict the spec: {}. Correct the one that is wrong",
                contradictions.join("; ")
            )));
        }
        notes.push((member.path.clone(), own_notes));
    }
    Ok(notes)
}

/// Value and name of each label but the background; those of regions (several values) are left out.
fn labels(json: &Value) -> Vec<(i64, String)> {
    let Some(labels) = json.get("labels").and_then(Value::as_object) else { return Vec::new() };
    let mut said: Vec<(i64, String)> = labels
        .iter()
        .filter_map(|(key, value)| match value {
            Value::String(name) => Some((key.trim().parse().ok()?, name.clone())),
            Value::Number(number) => Some((number.as_i64()?, key.clone())),
            _ => None,
        })
        .filter(|(value, _)| *value != 0)
        .collect();
    said.sort();
    said
}

/// What contradicts the sequence of a case: its channel has the name of another sequence of the spec.
fn modality(json: &Value, case: &Case, spec: &Spec) -> Option<String> {
    let channels = json.get("modality").or(json.get("channel_names"))?;
    let name = match (channels, case.channel) {
        (Value::String(name), _) => name,
        (Value::Object(names), Some(channel)) => names.get(&channel.to_string())?.as_str()?,
        (Value::Object(names), None) if names.len() == 1 => names.values().next()?.as_str()?,
        _ => return None,
    };
    let plain = plain_name(name);
    let own = [plain_name(&case.sequence), plain_name(&case.modality)];
    if plain.is_empty() || own.iter().any(|own| own.contains(&plain) || plain.contains(own.as_str())) {
        return None;
    }
    let is_other = |(sequence, modality): &(&String, &String)| {
        **modality != case.modality && (plain_name(sequence) == plain || plain_name(modality) == plain)
    };
    let (sequence, modality) = spec.sequences.iter().find(is_other)?;
    Some(format!(
        "it names the image {name:?} (the spec's {sequence}, {modality}), the spec {} ({})",
        case.sequence, case.modality
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let decathlon = serde_json::json!({"labels": {"0": "background", "2": "cancer", "1": "liver"}});
        let nnunet = serde_json::json!({"labels": {"background": 0, "liver": 1, "cancer": 2, "whole": [1, 2]}});
        let expected = vec![(1, "liver".to_string()), (2, "cancer".to_string())];
        assert_eq!((labels(&decathlon), labels(&nnunet)), (expected.clone(), expected));
    }
}
