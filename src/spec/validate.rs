//! Validation of specs beyond TOML's types: names must exist, patterns must compile, captures must be present.

use std::collections::{BTreeMap, BTreeSet};

use strsim::levenshtein;

use super::ids::{file_safe, id_part, is_device};
use super::names::plain_name;
use super::pattern::{Pattern, Template};
use super::{Decode, FourthAxis, Label, Layout, ListPart, MaskPart, OtherLabels, OwnName, Pair, Plane, Spec, taxonomy};
use crate::text::is_web;

/// The longest slug: it is part of the names of folders and files.
const LONGEST_SLUG: usize = 100;

/// Everything wrong with a spec, one sentence each.
pub(super) fn validate(spec: &Spec) -> Vec<String> {
    let mut problems = Vec::new();
    if spec.slug.is_empty() || !spec.slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        problems.push(format!("slug {:?}: expected lower-case letters, digits and hyphens", spec.slug));
    }
    if spec.slug.len() > LONGEST_SLUG || is_device(&spec.slug) {
        problems.push(format!(
            "slug {:?}: expected at most {LONGEST_SLUG} bytes, and no name of a Windows device",
            spec.slug
        ));
    }
    if !spec.home.is_empty() && !is_web(&spec.home) {
        problems.push(format!("home {:?}: expected an address that begins with https:// or http://", spec.home));
    }
    let common = taxonomy();
    let objects = common.object.iter().flat_map(|o| {
        let synonyms = o.synonyms.iter().map(String::as_str);
        std::iter::once(o.name.as_str()).chain(synonyms).map(|name| (name, o.name.as_str()))
    });
    check_own("object", &spec.object, objects, &mut problems);
    check_own("modality", &spec.modality, common.modalities.iter().map(|m| (m.as_str(), m.as_str())), &mut problems);
    for (sequence, modality) in &spec.sequences {
        if !spec.modality_names().any(|name| name == modality) {
            problems.push(format!("sequence {sequence:?}: {}", unknown("modality", modality, spec.modality_names())));
        }
    }
    for (table, labels) in &spec.labels {
        for (key, label) in labels {
            check_label(spec, &format!("labels.{table}.{key}"), label, &mut problems);
        }
    }
    if spec.release.is_empty() {
        problems.push("no [[release]]: the source cannot be recognised".into());
    }
    for release in &spec.release {
        if release.evidence.is_empty() {
            problems.push(format!("release {:?} has no evidence", release.name));
        }
        for pattern in &release.evidence {
            compile(spec, &format!("release {:?}", release.name), pattern, &mut problems);
        }
    }
    for skip in &spec.skip {
        compile(spec, "skip", &skip.path, &mut problems);
    }
    for bad in &spec.known_bad {
        compile(spec, "known_bad", &bad.path, &mut problems);
    }
    for overlap in &spec.overlaps {
        let Some([own, theirs]) = &overlap.patients else { continue };
        let place = format!("overlap with {:?}", overlap.source);
        let Some(pattern) = compile(spec, &place, own, &mut problems) else { continue };
        for name in Template::new(theirs).names().into_iter().filter(|name| !pattern.names().contains(name)) {
            problems.push(format!("{place}: {theirs:?} uses {{{name}}}, which {own:?} does not capture"));
        }
    }
    let mut names = BTreeSet::new();
    for layout in &spec.layout {
        if !names.insert(&layout.name) {
            problems.push(format!("two layouts are named {:?}", layout.name));
        }
        check_layout(spec, layout, &mut problems);
    }
    for expected in &spec.expected {
        match &expected.layout {
            Some(layout) if !names.contains(layout) => {
                problems.push(format!("expected: no layout {layout:?} in the spec"));
            }
            None if expected.separate => {
                problems.push("expected: separate = true requires a layout".into());
            }
            _ => {}
        }
        if let Some(release) = &expected.release
            && !spec.release.iter().any(|r| r.name == *release)
        {
            problems.push(format!("expected: no release {release:?} in the spec"));
        }
    }
    problems
}

/// Checks names that a spec defines for itself; `common` are those that the taxonomy has a word for, with that word.
fn check_own<'a>(
    kind: &str,
    own: &[OwnName],
    common: impl Iterator<Item = (&'a str, &'a str)>,
    problems: &mut Vec<String>,
) {
    let common: BTreeMap<String, &str> = common.map(|(word, name)| (word.to_lowercase(), name)).collect();
    let mut seen = BTreeSet::new();
    for OwnName { name, .. } in own {
        let place = format!("[[{kind}]] {name:?}");
        if name.trim() != name || name.is_empty() || name.chars().any(|c| c.is_control() || c == '/') {
            problems.push(format!("{place}: expected a name without slashes and without leading or trailing spaces"));
        }
        match common.get(&name.to_lowercase()) {
            Some(other) if other == name => {
                problems.push(format!("{place}: this {kind} is already in the protocol; remove the [[{kind}]]"));
            }
            Some(other) => problems.push(format!("{place}: the protocol's name is {other:?}; use that name")),
            None => {}
        }
        if !seen.insert(name.to_lowercase()) {
            problems.push(format!("{place}: defined twice"));
        }
    }
}

/// Says that a name is not known, and which one is nearest.
fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let distance = |known: &&str| levenshtein(known, name);
    let near = known.min_by_key(distance).filter(|known| distance(known) <= name.chars().count() / 2);
    let near = near.map_or_else(String::new, |known| format!(" (closest: {known:?})"));
    let article = if kind.starts_with('o') { "an" } else { "a" };
    format!(
        "{name:?} is not {article} {kind} of the taxonomy{near}; define it with [[{kind}]], or for a built-in source in \
         dataset_specs/taxonomy.toml"
    )
}

fn compile(spec: &Spec, place: &str, pattern: &str, problems: &mut Vec<String>) -> Option<Pattern> {
    Pattern::new(pattern, spec.ignore_case).map_err(|e| problems.push(format!("{place}: {e}"))).ok()
}

fn check_label(spec: &Spec, place: &str, label: &Label, problems: &mut Vec<String>) {
    if !spec.object_names().any(|name| name == label.object) {
        problems.push(format!("{place}: {}", unknown("object", &label.object, spec.object_names())));
    }
    if file_safe(&label.name).is_empty() {
        problems.push(format!("{place}: the name {:?} has no letter or digit, which an id needs", label.name));
    }
    if let Some(side) = &label.laterality
        && side != "left"
        && side != "right"
    {
        problems.push(format!("{place}: laterality {side:?}: expected \"left\" or \"right\""));
    }
}

fn check_layout(spec: &Spec, layout: &Layout, problems: &mut Vec<String>) {
    let place = format!("layout {:?}", layout.name);
    let image = &layout.image;
    if image.path.is_empty() {
        problems.push(format!("{place}: the image has no path"));
    }
    if layout.mask.is_empty() {
        problems.push(format!("{place}: no [[layout.mask]]"));
    }
    for source in &image.path {
        let Some(pattern) = compile(spec, &place, source, problems) else { continue };
        let names = pattern.names();
        let templates = [Some(&layout.case), layout.patient.as_ref(), layout.split.as_ref(), Some(&image.sequence)];
        let rows = layout.mask.iter().filter_map(|mask| match &mask.decode {
            Decode::RleTable { row, .. } => Some(row),
            _ => None,
        });
        let keys = layout.list.iter().map(|list| &list.key);
        for template in templates.into_iter().flatten().chain(rows).chain(keys) {
            for name in Template::new(template).names() {
                if !names.contains(&name) {
                    problems.push(format!("{place}: {template:?} uses {{{name}}}, which {source:?} does not capture"));
                }
            }
        }
        if let Some(stack) = &image.stack
            && !names.contains(&stack.as_str())
        {
            problems.push(format!("{place}: stack = {stack:?}, which {source:?} does not capture"));
        }
    }
    if !image.planes.is_empty() && image.plane != Plane::Native {
        problems.push(format!("{place}: set plane or planes, not both"));
    }
    match (image.fourth_axis, image.channels.is_empty()) {
        (FourthAxis::Sequences, true) => {
            problems.push(format!("{place}: fourth_axis = \"sequences\" requires channels"))
        }
        (FourthAxis::None | FourthAxis::Frames, false) => {
            problems.push(format!("{place}: channels require fourth_axis = \"sequences\""));
        }
        _ => {}
    }
    let sequences = if image.channels.is_empty() { std::slice::from_ref(&image.sequence) } else { &image.channels };
    for sequence in sequences.iter().filter(|s| !s.contains('{')) {
        if !spec.sequences.contains_key(sequence) {
            problems.push(format!("{place}: sequence {sequence:?} is not in [sequences]"));
        }
    }
    for mask in &layout.mask {
        check_mask(spec, &place, mask, problems);
    }
    for list in &layout.list {
        check_list(spec, &place, list, problems);
    }
}

fn check_list(spec: &Spec, place: &str, list: &ListPart, problems: &mut Vec<String>) {
    let place = format!("{place}, list {:?}", list.path.first().map_or("", String::as_str));
    let split = list.split.as_deref().map(Template::new);
    for source in &list.path {
        let Some(pattern) = compile(spec, &place, source, problems) else { continue };
        let names = pattern.names();
        for name in split.iter().flat_map(Template::names).filter(|name| !names.contains(name)) {
            problems.push(format!("{place}: split uses {{{name}}}, which {source:?} does not capture"));
        }
    }
    if list.key_column.is_empty() && (list.split_column.is_some() || list.patient_column.is_some()) {
        problems.push(format!(
            "{place}: split_column and patient_column require key_column, the column that identifies \
            the case"
        ));
    }
    if list.names {
        if !list.key.is_empty() || list.split.is_some() || !list.key_column.is_empty() {
            problems.push(format!("{place}: with names = true, key, split and columns are not allowed"));
        }
        return;
    }
    if list.key.is_empty() {
        problems.push(format!("{place}: key is missing: the text that identifies a case in the list"));
    }
    if list.split.is_none() && list.split_column.is_none() && list.patient_column.is_none() {
        problems.push(format!("{place}: expected one of split, split_column, patient_column"));
    }
}

fn check_mask(spec: &Spec, place: &str, mask: &MaskPart, problems: &mut Vec<String>) {
    let place = format!("{place}, mask {:?}", mask.path.first().map_or("", String::as_str));
    if mask.path.is_empty() {
        problems.push(format!("{place}: no path"));
    }
    for source in &mask.path {
        let Some(pattern) = compile(spec, &place, source, problems) else { continue };
        let names = pattern.names();
        let rater = mask.rater.as_deref().map(Template::new);
        let used = rater
            .iter()
            .flat_map(|t| t.names())
            .chain(mask.stack.as_deref())
            .chain(mask.label_from.as_deref())
            .chain(mask.laterality_from.as_deref());
        for name in used {
            if !names.contains(&name) {
                problems.push(format!("{place}: {name:?} is not a capture of {source:?}"));
            }
        }
    }
    if let Some(label) = &mask.label {
        check_label(spec, &place, label, problems);
    }
    if let Some(table) = &mask.labels
        && !spec.labels.contains_key(table)
    {
        problems.push(format!("{place}: no table [labels.{table}] in the spec"));
    }
    if matches!(mask.decode, Decode::Values | Decode::Colours | Decode::Segments)
        && let Some((table, labels)) = mask.labels.as_ref().and_then(|name| spec.labels.get_key_value(name))
    {
        // Equal labels may be two encodings of one thing: whether both occur in one file, only that tells.
        let mut seen: BTreeMap<(String, Option<&str>), (&String, &Label)> = BTreeMap::new();
        for (key, label) in labels {
            let id = id_part(&label.name);
            if let Some((other, same)) = seen.insert((id.clone(), label.laterality.as_deref()), (key, label))
                && (&same.name, &same.object) != (&label.name, &label.object)
            {
                problems.push(format!(
                    "{place}: {other} and {key} of [labels.{table}] would both be {id:?} in mask ids; give them \
                     different names"
                ));
            }
        }
    }
    match (mask.pair, &mask.pair_reason) {
        (Pair::Index, None) => problems.push(format!(
            "{place}: pair = \"index\" requires pair_reason = \"…\": why the headers of this source are wrong"
        )),
        (Pair::Grid | Pair::Position | Pair::Space, Some(_)) => {
            problems.push(format!("{place}: pair_reason requires pair = \"index\""));
        }
        _ => {}
    }
    let one_label = mask.label.is_some() || (mask.label_from.is_some() && mask.labels.is_some());
    if mask.other_labels == OtherLabels::Ignore
        && !matches!(mask.decode, Decode::Values | Decode::Colours | Decode::Segments)
    {
        problems.push(format!("{place}: other_labels requires a table of values, colours or segments"));
    }
    match mask.decode {
        Decode::Values | Decode::Colours if mask.labels.is_none() || mask.label_from.is_some() => {
            problems
                .push(format!("{place}: a map of values or colours requires labels = \"table\" (and no label_from)"));
        }
        Decode::Segments if mask.labels.is_none() || mask.label_from.is_some() || mask.label.is_some() => {
            problems.push(format!(
                "{place}: segments require labels = \"table\" with the segment names as keys (and no label or \
                 label_from)"
            ));
        }
        Decode::Segments => {
            let keys = mask.labels.iter().filter_map(|name| spec.labels.get(name)).flat_map(|table| table.keys());
            let mut seen = BTreeSet::new();
            for key in keys.filter(|key| !seen.insert(plain_name(key))) {
                problems.push(format!("{place}: two keys of the table match the same segment as {key:?}"));
            }
        }
        Decode::Binary { .. } | Decode::Channel { .. } | Decode::Instances | Decode::RleTable { .. } if !one_label => {
            problems.push(format!("{place}: a single object requires label, or label_from with labels"));
        }
        _ => {}
    }
}
