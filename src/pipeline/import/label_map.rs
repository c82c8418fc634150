//! Predicted label maps: from the values of a slice to predictions of its masks.
//!
//! | masks of the slice | meaning of a value |
//! |---|---|
//! | one for each label | the `label_value` of its mask; where the slice has one label only and all maps of its source at most one value besides 0, that value, whatever it is (0 and 255) |
//! | instances | an instance, matched by overlap |
//! | components of a label (`--split-components`) | the label; its components are matched by overlap |
//!
//! Any other value is refused: 0, 127 and 254 for two labels could be assigned either way, or be an unthresholded map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::matching::matched;
use super::{Candidate, ImportReport, OfSlice, Wanted};
use crate::mask::label_map::value_masks;
use crate::mask::{Connectivity, Mask};
use crate::spec::number_range;
use crate::store::MaskRow;

/// Where the numbers of labels begin whose values in the dataset are words: names of classes with a file each.
const NAMED: i64 = 1 << 40;

/// The label values of a source, as its masks have them.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// Value, name and object of labels that are no instances, in order of the text.
    known: BTreeSet<(String, String, String)>,
    ranges: Vec<RangeInclusive<i64>>,
    /// Values that masks of the dataset have.
    of_masks: BTreeSet<String>,
}

impl Labels {
    /// Adds what a mask says.
    pub(super) fn add_mask(&mut self, value: &str, name: &str, object: &str, instance: Option<u32>) {
        self.of_masks.insert(value.to_string());
        self.add(value, name, object, instance);
    }

    /// Adds what a mask, or the label table of a spec, says.
    pub(super) fn add(&mut self, value: &str, name: &str, object: &str, instance: Option<u32>) {
        let label = (value.to_string(), name.to_string(), object.to_string());
        if is_numbered(value, instance) || !self.known.insert(label) {
            return;
        }
        self.ranges.extend(number_range(value));
    }

    fn has(&self, value: i64) -> bool {
        self.ranges.iter().any(|range| range.contains(&value)) || self.words().nth(word(value)).is_some()
    }

    /// Label values that are no numbers, in order.
    fn words(&self) -> impl Iterator<Item = &str> {
        let mut words: Vec<&str> = self.known.iter().map(|(value, ..)| value.as_str()).collect();
        words.retain(|value| number_range(value).is_none());
        words.dedup();
        words.into_iter()
    }

    /// The numbers that mean a label value in a map; those of a word are its own, which only names lead to.
    fn range(&self, value: &str) -> Option<RangeInclusive<i64>> {
        let of_word = || self.words().position(|word| word == value).map(|at| NAMED + at as i64);
        number_range(value).or_else(|| of_word().map(|number| number..=number))
    }

    /// A number of a map as a reader knows it.
    pub(super) fn shown(&self, value: i64) -> String {
        self.words().nth(word(value)).map_or_else(|| value.to_string(), str::to_string)
    }

    /// True where the masks of the dataset have several labels.
    pub(super) fn is_several(&self) -> bool {
        !self.known.is_empty() && self.of_masks.len() > 1
    }

    /// `1 (liver), 2 (spleen)`.
    pub(super) fn text(&self) -> String {
        let label = |(value, name, _): &(String, String, String)| match value == name {
            true => name.clone(),
            false => format!("{value} ({name})"),
        };
        let text = self.known.iter().map(label).collect::<Vec<_>>();
        if text.is_empty() { "none".into() } else { text.join(", ") }
    }

    /// True where no label is known.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// True where a number means a label.
    pub(super) fn has_numbers(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// The one number of a label whose name, or else whose object, is meant; `None` where there is none, or several.
    pub(super) fn value_of(&self, is_meant: impl Fn(&str) -> bool) -> Option<i64> {
        let of = |text: fn(&(String, String, String)) -> &str| {
            let meant = self.known.iter().filter(|label| is_meant(text(label)));
            meant
                .map(|(value, ..)| self.range(value).map(|numbers| *numbers.start()))
                .collect::<BTreeSet<Option<i64>>>()
        };
        let (by_name, by_object) = (of(|label| &label.1), of(|label| &label.2));
        let found = if by_name.is_empty() { by_object } else { by_name };
        if found.len() == 1 { found.first().copied().flatten() } else { None }
    }
}

/// The place among the words of a number that stands for one.
fn word(value: i64) -> usize {
    usize::try_from(value - NAMED).unwrap_or(usize::MAX)
}

/// What the label maps of one source hold, over the whole import.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Values other than 0.
    values: BTreeSet<i64>,
    /// For each label of a mask that has a map whether it occurred in one.
    labels: BTreeMap<String, bool>,
    /// A map of which one value, whatever it is, was taken for the one label of its slice.
    lenient: Option<String>,
}

impl Seen {
    /// Adds the values of a map, or of the volume that it is a slice of.
    pub(super) fn add(&mut self, values: impl IntoIterator<Item = i64>) {
        self.values.extend(values.into_iter().filter(|value| *value != 0));
    }

    /// Refuses maps of several values in which one of them was taken for an object, whatever it is, and notes labels
    /// that never occur.
    ///
    /// # Errors
    /// A sentence that names the values.
    pub(super) fn check(
        &self,
        source: &str,
        labels: &Labels,
        cure: &str,
        report: &mut ImportReport,
    ) -> Result<(), String> {
        if let Some(example) = self.lenient.as_ref().filter(|_| self.values.len() > 1) {
            let values: Vec<String> = self.values.iter().take(12).map(|value| labels.shown(*value)).collect();
            return Err(format!(
                "the maps of {source} contain the values {} besides 0, but the labels are {}, so their meaning is \
                 ambiguous, for example in {example}. {cure}",
                values.join(", "),
                labels.text()
            ));
        }
        if let Some(value) = self.values.first().filter(|_| self.lenient.is_some() && labels.is_several()) {
            report.notes.push(format!(
                "{source}: the maps contain only 0 and {}, but the labels are {}; the value counts as the label of \
                 each slice with one label",
                labels.shown(*value),
                labels.text()
            ));
        }
        let absent: Vec<&str> =
            self.labels.iter().filter(|(_, found)| !**found).map(|(name, _)| name.as_str()).collect();
        if !absent.is_empty() {
            report.notes.push(format!(
                "{source}: no prediction contains the label(s) {} in a slice whose ground truth has them",
                absent.join(", ")
            ));
        }
        Ok(())
    }
}

/// True where the value is the number of an instance, and no label.
fn is_numbered(value: &str, instance: Option<u32>) -> bool {
    instance.is_some_and(|number| value == number.to_string())
}

/// What a label map says of each mask of a slice. `values` are the pixels, row by row; `cure` says what to do about
/// values that are no labels.
///
/// # Errors
/// Values whose meaning is not clear, in a sentence that names them.
pub(super) fn of_slice(
    values: &[i64],
    slice: &Wanted,
    labels: &Labels,
    seen: &mut Seen,
    cure: &str,
    report: &mut ImportReport,
) -> Result<OfSlice, String> {
    let [height, width] = slice.size();
    let found: Vec<(i64, Mask)> = value_masks(height, width, values, 0);
    if let Some((negative, _)) = found.iter().find(|(value, _)| *value < 0) {
        return Err(format!("contains the value {negative}; expected whole numbers from 0"));
    }
    let numbered = |(row, _): &(MaskRow, Mask)| is_numbered(&row.label_value, row.instance);
    if slice.masks.iter().any(numbered) {
        let names: BTreeSet<&str> = slice.masks.iter().map(|(row, _)| row.label_name.as_str()).collect();
        if names.len() > 1 || !slice.masks.iter().all(numbered) {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "the slice has instances of several labels ({names}), which instance numbers do not distinguish: write \
                 one file per mask, or use COCO"
            ));
        }
        let predicted: Vec<Candidate> = found.into_iter().map(|(_, mask)| Candidate { mask, score: None }).collect();
        return Ok(by_rater(slice, (0..slice.masks.len()).collect(), &predicted, report));
    }

    seen.add(found.iter().map(|(value, _)| *value));
    let own: BTreeSet<&str> = slice.masks.iter().map(|(row, _)| row.label_value.as_str()).collect();
    let unknown = found.iter().any(|(value, _)| !labels.has(*value));
    let only = match (own.len(), found.as_slice()) {
        (1, [(_, mask)]) if unknown => Some(mask),
        _ => None,
    };
    if only.is_some() {
        seen.lenient.get_or_insert_with(|| slice.slice_id.clone());
    }
    if unknown && only.is_none() {
        let values: Vec<String> = std::iter::once("0".to_string())
            .filter(|_| values.contains(&0))
            .chain(found.iter().take(12).map(|(value, _)| labels.shown(*value)))
            .collect();
        let more = if found.len() > 12 { format!(", … ({} values)", found.len()) } else { String::new() };
        return Err(format!(
            "contains the values {}{more}, but the labels are {}: {cure}",
            values.join(", "),
            labels.text()
        ));
    }
    let mut of_slice: OfSlice = vec![None; slice.masks.len()];
    for value in own {
        let members: Vec<usize> = (0..slice.masks.len()).filter(|&i| slice.masks[i].0.label_value == value).collect();
        let region = match (only, labels.range(value)) {
            (Some(mask), _) => mask.clone(),
            (None, Some(range)) => {
                let inside = found.iter().filter(|(value, _)| range.contains(value)).map(|(_, mask)| mask);
                inside.fold(Mask::empty(height, width), |all, mask| all.union(mask))
            }
            (None, None) if found.is_empty() => Mask::empty(height, width),
            (None, None) => {
                let id = &slice.masks[members[0]].0.mask_id;
                return Err(format!("{id} has a non-numeric label value ({value}): {cure}"));
            }
        };
        let name = slice.masks[members[0]].0.label_name.clone();
        *seen.labels.entry(name).or_default() |= region.area() > 0;
        // Components of one label: those of the prediction are matched with them.
        let (parts, whole): (Vec<usize>, Vec<usize>) =
            members.into_iter().partition(|&i| slice.masks[i].0.instance.is_some());
        if !parts.is_empty() {
            let components = region.components(Connectivity::Eight).into_iter();
            let components: Vec<Candidate> = components.map(|mask| Candidate { mask, score: None }).collect();
            let matched = by_rater(slice, parts.clone(), &components, report);
            parts.into_iter().zip(matched).for_each(|(i, found)| of_slice[i] = found);
        }
        for i in whole {
            of_slice[i] = Some(vec![Candidate { mask: region.clone(), score: None }]);
        }
    }
    Ok(of_slice)
}

/// Matches the predictions with the masks `members` of a slice, which are instances: those of each rater by themselves.
pub(super) fn by_rater(
    slice: &Wanted,
    members: Vec<usize>,
    predicted: &[Candidate],
    report: &mut ImportReport,
) -> OfSlice {
    let mut of_members: OfSlice = vec![None; members.len()];
    let raters: BTreeSet<Option<&str>> = members.iter().map(|&i| slice.masks[i].0.rater.as_deref()).collect();
    for rater in raters {
        let of_rater: Vec<usize> =
            (0..members.len()).filter(|&at| slice.masks[members[at]].0.rater.as_deref() == rater).collect();
        let truths: Vec<&Mask> = of_rater.iter().map(|&at| &slice.masks[members[at]].1).collect();
        let found = matched(&truths, predicted, report);
        of_rater.into_iter().zip(found).for_each(|(at, found)| of_members[at] = Some(vec![found]));
    }
    of_members
}
