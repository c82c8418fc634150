//! Masks of files with named segments: each segment is read as a separate mask, with the label that the spec assigns to
//! its name, and placed on the image by the positions of its frames or contours.

use std::collections::BTreeMap;

use super::cut::{Add, MaskReader, give};
use super::load::{load_from, with_bytes, with_companions};
use super::placement::{Placed, Placement, place};
use super::{Error, Loaded, Scratch};
use crate::formats::segments::{Kind, Misfit, Segment, Segments, Table, Target};
use crate::formats::{self, File, dicom};
use crate::image::{Frame, Image, Samples};
use crate::sources::CaseMask;
use crate::spec::{Decode, Label, LabelTable, MaskPart, OtherLabels, Pair, compare_names, number_range, plain_name};

/// What to do about a container of several masks.
const CURE: &str = "decode = { kind = \"segments\" } with their names as keys of the label table reads each as a \
    separate mask";

/// How the segments of a file get their labels.
#[derive(Clone, Copy)]
enum By {
    /// Names of the table.
    Name,
    /// Numbers of the table.
    Number,
    /// There is one, and the spec says what it is.
    One,
}

/// Gives the masks of a container of segments to `add`. Any other file comes back as an image that has to be placed.
///
/// # Errors
/// A container of several masks that the spec reads as one; segments that the label table does not have, or that are
/// there twice; names that contradict the table; another frame of reference than the image's, other pixels or another
/// place.
pub(super) fn add_each(
    reader: &MaskReader,
    part: &MaskPart,
    found: &CaseMask,
    scratch: &mut Scratch,
    add: &mut Add,
) -> Result<Option<Loaded>, Error> {
    let first = &reader.tree.members()[found.files[0]];
    let problem = |reason: String| Error::Spec { file: first.path.clone(), reason };
    let labels = part.labels.as_ref().and_then(|name| reader.spec.labels.get(name));
    let way = with_bytes(reader.tree, first, scratch, |bytes, volumes| {
        let file = File::new(&first.path, bytes);
        let known =
            formats::segment_table(&file).map_err(|source| Error::Format { file: first.path.clone(), source })?;
        if let Some(by) = way(part, found, known.as_ref()).map_err(problem)? {
            return Ok(Err(by));
        }
        let mut loaded = load_from(reader.tree, &found.files, &file, part.order, volumes)?;
        if let (Decode::Values, Some(known)) = (&part.decode, &known) {
            loaded.image.notes.extend(compared(known, labels).map_err(problem)?);
        }
        Ok(Ok(loaded))
    })?;
    let by = match way {
        Ok(loaded) => return Ok(Some(loaded)),
        Err(by) => by,
    };
    let header = image_header(reader, scratch);
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for &file in &found.files {
        let member = &reader.tree.members()[file];
        let problem = |reason: String| Error::Spec { file: member.path.clone(), reason };
        let segments = with_bytes(reader.tree, member, scratch, |bytes, _| {
            let file = File::new(&member.path, bytes);
            with_companions(reader.tree, member, |companion| formats::read_segments(&file, companion))
        })?
        .ok_or_else(|| problem("the spec reads segments by name, but the file has none".into()))?;
        let mut notes = segments.notes.clone();
        notes.extend(compared_frames(reader, header.as_ref(), &segments.table).map_err(problem)?);
        let (wanted, said) = labelled(&segments, by, part, labels, found).map_err(problem)?;
        notes.extend(said);
        for (index, key, label, note) in wanted {
            let segment = &segments.table.segments[index];
            if let Some(other) = seen.insert(key.clone(), segment.describe()) {
                let reason = format!("{other} and {} both match {key:?} in the label table", segment.describe());
                return Err(problem(reason));
            }
            let mut placed = placed(reader, part, &member.path, (&segments, index), header.as_ref(), scratch)?;
            let own = placed.notes.drain(..).chain(note).map(|n| format!("segment {:?}: {n}", segment.name));
            placed.notes = notes.drain(..).chain(own).collect();
            let found = CaseMask { label: Some(label.clone()), label_key: Some(key), ..found.clone() };
            give(add, &found, placed, scratch)?;
        }
    }
    Ok(None)
}

/// How a file is read segment by segment; `None` where it is read as the image that it also is.
fn way(part: &MaskPart, found: &CaseMask, known: Option<&Table>) -> Result<Option<By>, String> {
    let Some(known) = known else {
        return match part.decode {
            Decode::Segments => {
                Err("the spec reads segments by name, but the file has no segments: expected a DICOM segmentation or \
                    structure set, or an NRRD with the keys of 3D Slicer"
                    .into())
            }
            _ => Ok(None),
        };
    };
    let several = known.segments.len() > 1;
    let alone = found.files.len() == 1 && part.pair != Pair::Index;
    Ok(match (&part.decode, known.kind) {
        (Decode::Segments, _) => Some(By::Name),
        (Decode::Values, Kind::LabelMap) if alone => Some(By::Number),
        (Decode::Binary { above, inverted: false }, Kind::Segmentation | Kind::LabelMap)
            if alone && !several && above.is_none_or(|above| above < 1.0) =>
        {
            Some(By::One)
        }
        (Decode::Binary { .. } | Decode::Channel { .. }, _) if several => return Err(many(known)),
        _ if !known.is_one_map() => return Err(many(known)),
        _ => None,
    })
}

fn many(known: &Table) -> String {
    format!(
        "{} with {} segment(s), which the spec reads as a single mask: {}. {CURE}",
        known.kind.text(),
        known.segments.len(),
        known.describe()
    )
}

/// Names of the values of a file that is read as an image, compared with the table; sentences worth noting.
///
/// # Errors
/// Names that contradict the table.
fn compared(known: &Table, labels: Option<&LabelTable>) -> Result<Vec<String>, String> {
    let Some(labels) = labels else { return Ok(Vec::new()) };
    let said = known.segments.iter().map(|segment| {
        let names = [&segment.name].into_iter().chain(&segment.terms).map(String::as_str).collect();
        (i64::from(segment.number), names)
    });
    let compared = compare_names(said, labels);
    if compared.contradictions.is_empty() {
        return Ok(compared.unknown.into_iter().map(|what| format!("its header states: {what}")).collect());
    }
    Err(format!(
        "the names in its header contradict the label table: {}. Segment numbers differ between files: {CURE}",
        compared.contradictions.join("; ")
    ))
}

/// Segment, key of the table, label, and what is worth noting.
type Labelled = (usize, String, Label, Option<String>);

/// The segments that the table has, in its order of keys, and what is worth noting of the file: names in its header,
/// those that the spec ignores.
fn labelled(
    segments: &Segments,
    by: By,
    part: &MaskPart,
    labels: Option<&LabelTable>,
    found: &CaseMask,
) -> Result<(Vec<Labelled>, Vec<String>), String> {
    let known = &segments.table;
    let ignores = part.other_labels == OtherLabels::Ignore;
    let (mut ignored, mut notes): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let no_table = || "the spec has no label table for the segments".to_string();
    let mut wanted: Vec<Labelled> = Vec::new();
    match by {
        By::One => {
            let label = found.label.clone().ok_or("the spec has no label for the segment")?;
            let key = found.label_key.clone().unwrap_or_else(|| "1".into());
            wanted.extend((0..known.segments.len()).map(|index| (index, key.clone(), label.clone(), None)));
        }
        By::Number => {
            let labels = labels.ok_or_else(no_table)?;
            notes = compared(known, Some(labels))?;
            for (index, segment) in known.segments.iter().enumerate() {
                let is = |key: &str| number_range(key).is_some_and(|range| range.contains(&i64::from(segment.number)));
                match labels.iter().find(|(key, _)| is(key)) {
                    Some((key, label)) => wanted.push((index, key.clone(), label.clone(), None)),
                    None if ignores => ignored.push(segment.describe()),
                    None => return Err(unknown(segment, known, labels)),
                }
            }
        }
        By::Name => {
            let labels = labels.ok_or_else(no_table)?;
            for (index, segment) in known.segments.iter().enumerate() {
                match key_of(segment, labels) {
                    Some((key, note)) => wanted.push((index, key.clone(), labels[key].clone(), note)),
                    None if ignores => ignored.push(segment.describe()),
                    None => return Err(unknown(segment, known, labels)),
                }
            }
        }
    }
    let values: Vec<String> =
        segments.unnamed().iter().map(|(layer, value)| format!("{value} in layer {layer}")).collect();
    if !values.is_empty() {
        return Err(format!(
            "contains values that belong to no segment: {} (of {})",
            values.join(", "),
            known.describe()
        ));
    }
    if wanted.is_empty() && !ignored.is_empty() {
        return Err(format!("no segment is in the label table: {}", known.describe()));
    }
    wanted.sort_by(|a, b| a.1.cmp(&b.1));
    if !ignored.is_empty() {
        notes.push(format!("segments ignored by the spec: {}", ignored.join(", ")));
    }
    Ok((wanted, notes))
}

/// The key of the table that a segment's name is, else one of its terms, in their order. A name and a term of different
/// keys are worth a note.
fn key_of<'a>(segment: &Segment, labels: &'a LabelTable) -> Option<(&'a String, Option<String>)> {
    let key = |name: &str| labels.keys().find(|key| plain_name(key) == plain_name(name));
    let coded = segment.terms.iter().find_map(|term| key(term));
    match (key(&segment.name), coded) {
        (Some(named), Some(coded)) if named != coded => {
            Some((named, Some(format!("its code is {coded:?}; its name decides"))))
        }
        (Some(key), _) => Some((key, None)),
        (None, coded) => coded.map(|key| (key, None)),
    }
}

fn unknown(segment: &Segment, known: &Table, labels: &LabelTable) -> String {
    let keys = labels.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    format!(
        "segment {} is not in the label table, which has {keys}; segments of the file: {}",
        segment.describe(),
        known.describe()
    )
}

/// The header of the image's first file, where it is DICOM.
fn image_header(reader: &MaskReader, scratch: &mut Scratch) -> Option<dicom::Header> {
    let member = &reader.tree.members()[reader.case.image[0]];
    with_bytes(reader.tree, member, scratch, |bytes, _| {
        let is_dicom = formats::detect(&File::new(&member.path, bytes)) == Some(&dicom::ENTRY);
        Ok(is_dicom.then(|| dicom::header(bytes).ok()).flatten())
    })
    .ok()
    .flatten()
}

/// Positions can only be compared within one frame of reference. What else is odd about what the file was drawn on is
/// noted.
fn compared_frames(
    reader: &MaskReader,
    header: Option<&dicom::Header>,
    known: &Table,
) -> Result<Option<String>, String> {
    let Some(header) = header else { return Ok(None) };
    let member = &reader.tree.members()[reader.case.image[0]];
    if let (Some(own), Some(image)) = (&known.frame_of_reference, &header.frame_of_reference)
        && own != image
    {
        return Err(format!(
            "its frame of reference is {own}, but that of the image {} is {image}: their positions cannot be compared",
            member.path
        ));
    }
    Ok(match &header.series {
        Some(series) if !known.series.is_empty() && !known.series.contains(series) => {
            Some(format!("drawn on the series {}, but the image belongs to {series}", known.series.join(", ")))
        }
        _ => None,
    })
}

/// One segment on the grid of the image.
fn placed(
    reader: &MaskReader,
    part: &MaskPart,
    file: &str,
    (segments, index): (&Segments, usize),
    header: Option<&dicom::Header>,
    scratch: &mut Scratch,
) -> Result<Placed, Error> {
    let segment = &segments.table.segments[index];
    let problem = |reason: String| Error::Spec {
        file: file.to_string(),
        reason: format!("segment {}: {reason} (the image is {})", segment.describe(), reader.grid.file),
    };
    let grid = reader.grid;
    let [x, y, z, frames] = grid.size;
    if frames > 1 {
        return Err(problem(format!("the image has {frames} frames, but segments refer to one volume")));
    }
    if let Some((largest, threshold)) = segments.below_threshold(index) {
        return Err(problem(format!(
            "a fractional segmentation whose largest value is {largest}, while values above {threshold}, half of the \
             maximum, form the segment. For a file with one segment, decode = {{ kind = \"binary\", above = … }} in \
             the spec sets another threshold"
        )));
    }
    let mut volume = |pair: Pair| {
        let image = segments.volume(index).map_err(|misfit| problem(misfit.to_string()))?;
        let mask = Loaded { file: file.to_string(), image, positions: None, files: Vec::new() };
        place(grid, mask, pair, [None, None], &mut scratch.volumes)
    };
    if part.pair == Pair::Index {
        return volume(Pair::Index);
    }
    let geometry = grid.geometry.as_ref().filter(|g| g.frame != Frame::Spacing && grid.believed);
    let series = header.and_then(|h| h.series.as_deref());
    let target = Target { size: [x, y, z], geometry, heights: grid.heights.as_deref(), series };
    let kind = segments.table.kind;
    // The rules for volumes, which look at the file's frame alone: all its segments are placed alike. They know no file
    // that is cropped to what it marks.
    let refused = match (kind, part.pair) {
        (Kind::Nrrd, Pair::Grid) => match volume(Pair::Grid) {
            Ok(placed) => return Ok(placed),
            Err(refused) => Some(refused),
        },
        _ => None,
    };
    match segments.on_grid(index, target) {
        Ok(on) => {
            let mut image = Image::picture(x, y * z, 1, Samples::U8(on.marks));
            image.size = [x, y, z, 1];
            image.geometry = grid.geometry.clone();
            let mask = Loaded { file: file.to_string(), image, positions: None, files: Vec::new() };
            let placement = if on.reordered { Placement::Reordered } else { Placement::Same };
            let error_mm = geometry.is_some().then_some(on.error_mm);
            Ok(Placed { mask, slices: None, placement, error_mm, notes: on.notes })
        }
        Err(Misfit::OffGrid(_)) if kind != Kind::StructureSet && part.pair == Pair::Space => volume(Pair::Space),
        Err(Misfit::OffGrid(why)) if refused.is_none() && kind != Kind::StructureSet => Err(problem(format!(
            "{why}. If both headers are correct, pair = \"space\" in the spec uses the nearest pixel"
        ))),
        Err(Misfit::Elsewhere(why)) => Err(problem(why)),
        Err(misfit) => Err(refused.unwrap_or_else(|| problem(misfit.to_string()))),
    }
}
