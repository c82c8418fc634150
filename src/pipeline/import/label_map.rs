//! A predicted label map of one slice, and what it says of the masks of the slice.
//!
//! | the slice's masks | a value is |
//! |---|---|
//! | one for each label | the `label_value` of its mask; where the slice has one label only and the map one value besides 0, that value, whatever it is (0 and 255) |
//! | instances | an instance, matched by overlap |
//! | components of a label (`--split-components`) | the label; its components are matched by overlap |
//!
//! Any other value is refused: 0, 127 and 254 for two labels could be either way round, or a threshold that was not applied.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::matching::matched;
use super::{Candidate, ImportReport, OfSlice, Wanted};
use crate::mask::label_map::value_masks;
use crate::mask::{Connectivity, Mask};
use crate::spec::number_range;
use crate::store::MaskRow;

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
        self.ranges.iter().any(|range| range.contains(&value))
    }

    /// True where the masks of the dataset have several labels.
    pub(super) fn is_several(&self) -> bool {
        !self.known.is_empty() && self.of_masks.len() > 1
    }

    /// `1 (liver), 2 (spleen)`.
    pub(super) fn text(&self) -> String {
        let text = self.known.iter().map(|(value, name, _)| format!("{value} ({name})")).collect::<Vec<_>>();
        if text.is_empty() { "none".into() } else { text.join(", ") }
    }

    /// True where no label is known.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The one number of a label whose name, or else whose object, is meant; `None` where there is none, or several.
    pub(super) fn value_of(&self, is_meant: impl Fn(&str) -> bool) -> Option<i64> {
        let of = |text: fn(&(String, String, String)) -> &str| {
            let meant = self.known.iter().filter(|label| is_meant(text(label)));
            meant.map(|(value, ..)| value.parse::<i64>().ok()).collect::<BTreeSet<Option<i64>>>()
        };
        let (by_name, by_object) = (of(|label| &label.1), of(|label| &label.2));
        let found = if by_name.is_empty() { by_object } else { by_name };
        if found.len() == 1 { found.first().copied().flatten() } else { None }
    }
}

/// True where the value is the number of an instance, and no label.
fn is_numbered(value: &str, instance: Option<u32>) -> bool {
    instance.is_some_and(|number| value == number.to_string())
}

/// What a label map says of each mask of a slice. `values` are the pixels, row by row.
///
/// # Errors
/// Values whose meaning is not clear, in a sentence that names them.
pub(super) fn of_slice(
    values: &[i64],
    slice: &Wanted,
    labels: &Labels,
    report: &mut ImportReport,
) -> Result<OfSlice, String> {
    let [height, width] = slice.size();
    let found: Vec<(i64, Mask)> = value_masks(height, width, values, 0);
    if let Some((negative, _)) = found.iter().find(|(value, _)| *value < 0) {
        return Err(format!("it holds the value {negative}, and labels are whole numbers from 0"));
    }
    let numbered = |(row, _): &(MaskRow, Mask)| is_numbered(&row.label_value, row.instance);
    if slice.masks.iter().any(numbered) {
        let names: BTreeSet<&str> = slice.masks.iter().map(|(row, _)| row.label_name.as_str()).collect();
        if names.len() > 1 || !slice.masks.iter().all(numbered) {
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "its slice has instances of several labels ({names}), and numbers of instances do not say of which: give \
                 each mask a picture of its own, or use COCO"
            ));
        }
        let predicted: Vec<Candidate> = found.into_iter().map(|(_, mask)| Candidate { mask, score: None }).collect();
        return Ok(by_rater(slice, (0..slice.masks.len()).collect(), &predicted, report));
    }

    let own: BTreeSet<&str> = slice.masks.iter().map(|(row, _)| row.label_value.as_str()).collect();
    let unknown = found.iter().any(|(value, _)| !labels.has(*value));
    let only = match (own.len(), found.as_slice()) {
        (1, [(_, mask)]) if unknown => Some(mask),
        _ => None,
    };
    if unknown && only.is_none() {
        let values: Vec<String> = std::iter::once("0".to_string())
            .filter(|_| values.contains(&0))
            .chain(found.iter().take(12).map(|(value, _)| value.to_string()))
            .collect();
        let more = if found.len() > 12 { format!(", … ({} values)", found.len()) } else { String::new() };
        return Err(format!(
            "it holds the values {}{more}, and the labels are {}: write each pixel as the value of its label, or give each \
             mask a picture of its own",
            values.join(", "),
            labels.text()
        ));
    }
    let mut of_slice: OfSlice = vec![None; slice.masks.len()];
    for value in own {
        let members: Vec<usize> = (0..slice.masks.len()).filter(|&i| slice.masks[i].0.label_value == value).collect();
        let region = match (only, number_range(value)) {
            (Some(mask), _) => mask.clone(),
            (None, Some(range)) => {
                let inside = found.iter().filter(|(value, _)| range.contains(value)).map(|(_, mask)| mask);
                inside.fold(Mask::empty(height, width), |all, mask| all.union(mask))
            }
            (None, None) if found.is_empty() => Mask::empty(height, width),
            (None, None) => {
                let id = &slice.masks[members[0]].0.mask_id;
                return Err(format!("{id} has no number for a value ({value}): give it a picture of its own"));
            }
        };
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
