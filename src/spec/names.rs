//! Comparison of label names: those of a file with those of a spec's table.

use std::collections::{BTreeMap, BTreeSet};

use super::ids::id_part;
use super::pattern::Pattern;
use super::{Label, LabelTable, Layout, Spec, number_range};

/// A name without what writers differ in: lower case, words with one blank between, `_` as a blank, `tumour` for
/// `tumor`.
pub fn plain_name(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || c == '_').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase().replace("tumor", "tumour")
}

/// Names of labels, as they stand in ids, that a layout has on more than one side: only the side tells their masks
/// apart.
pub fn sided_names(spec: &Spec, layout: &Layout) -> BTreeSet<String> {
    let mut sides: BTreeMap<String, BTreeSet<Option<&str>>> = BTreeMap::new();
    let in_name = |path: &String, name: &str| {
        Pattern::new(path, spec.ignore_case).is_ok_and(|pattern| pattern.names().contains(&name))
    };
    for mask in &layout.mask {
        let table = mask.labels.iter().filter_map(|table| spec.labels.get(table)).flat_map(|table| table.values());
        // A side in the name of the mask alone, and not in that of its image, is one of several.
        let several = mask
            .laterality_from
            .as_deref()
            .is_some_and(|side| !layout.image.path.iter().any(|path| in_name(path, side)));
        for label in mask.label.iter().chain(table) {
            let found = sides.entry(id_part(&label.name)).or_default();
            match several {
                true => found.extend([Some("left"), Some("right")]),
                false => _ = found.insert(label.laterality.as_deref()),
            }
        }
    }
    sides.into_iter().filter(|(_, sides)| sides.len() > 1).map(|(name, _)| name).collect()
}

/// What a file's names of its values say of a label table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Values that the file names as the table names another, one sentence each.
    pub contradictions: Vec<String>,
    /// Names that neither agree nor contradict, one sentence each.
    pub unknown: Vec<String>,
}

/// Compares what a file calls its values (each with names, the first its own) with a label table.
///
/// A name agrees with the table where it is the label's name or object, or one contains the other. It contradicts it
/// where it is the name or object of another value, and not of this one.
pub fn compare_names<'a>(said: impl IntoIterator<Item = (i64, Vec<&'a str>)>, table: &LabelTable) -> Compared {
    let mut compared = Compared::default();
    let entries: Vec<(&String, &Label)> = table.iter().collect();
    let is = |key: &str, value: i64| number_range(key).is_some_and(|range| range.contains(&value));
    let equal = |name: &str, label: &Label| [&label.name, &label.object].iter().any(|own| plain_name(own) == name);
    let alike = |name: &str, label: &Label| {
        let own = [&label.name, &label.object].map(|own| plain_name(own));
        !name.is_empty() && own.iter().any(|own| own.contains(name) || name.contains(own.as_str()))
    };
    for (value, names) in said {
        let Some(first) = names.first() else { continue };
        let plain: Vec<String> = names.iter().map(|name| plain_name(name)).filter(|name| !name.is_empty()).collect();
        let own = entries.iter().find(|(key, _)| is(key, value)).map(|(_, label)| *label);
        if own.is_some_and(|own| plain.iter().any(|name| equal(name, own))) {
            continue;
        }
        let other = entries.iter().find(|(key, label)| !is(key, value) && plain.iter().any(|name| equal(name, label)));
        let own_name = own.map_or("no label".to_string(), |own| format!("{:?}", own.name));
        if let Some((key, label)) = other {
            compared.contradictions.push(format!(
                "value {value} is {first:?}, but in the spec that is {key} ({}) and {value} is {own_name}",
                label.name
            ));
        } else if let Some(own) = own
            && !plain.iter().any(|name| alike(name, own))
        {
            compared.unknown.push(format!("value {value} is {first:?}, but in the spec it is {own_name}"));
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> LabelTable {
        let label = |name: &str, object: &str| Label {
            name: name.into(),
            object: object.into(),
            laterality: None,
            exclude: None,
        };
        [("1", label("liver", "liver")), ("2", label("lesion", "liver tumour")), ("3-5", label("vessels", "vessel"))]
            .map(|(key, label)| (key.to_string(), label))
            .into()
    }

    #[test]
    fn only_the_name_of_another_value_contradicts() {
        let said = [(1, vec!["Liver "]), (2, vec!["Liver_Tumor"]), (4, vec!["blood vessel"]), (9, vec!["spleen"])];
        assert_eq!(compare_names(said, &table()), Compared::default());
        let swapped = compare_names([(1, vec!["Lesion"]), (2, vec!["liver"])], &table()).contradictions;
        assert_eq!(swapped.len(), 2);
        assert_eq!(swapped[0], "value 1 is \"Lesion\", but in the spec that is 2 (lesion) and 1 is \"liver\"");
        // A coded term counts as well as the name.
        assert_eq!(compare_names([(1, vec!["Segment_1", "Liver"])], &table()), Compared::default());
        let unknown = compare_names([(2, vec!["cancer"])], &table());
        assert_eq!((unknown.contradictions.len(), unknown.unknown.len()), (0, 1));
    }
}
