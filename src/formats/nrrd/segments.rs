//! The keys with which 3D Slicer says what the values of a NRRD are (`.seg.nrrd`, and whatever else has them).
//!
//! `SegmentN_Name`, `SegmentN_LabelValue`, `SegmentN_Layer` for N from 0, and `SegmentN_Tags`, whose `TerminologyEntry`
//! holds category, type, type modifier and region, each as scheme^value^meaning, with `~` between. Files from before
//! layers (Slicer 4.10) have neither a value nor a layer: one component for each segment, marked by 1.

use std::collections::BTreeMap;

use super::{FORMAT, Parsed, Scratch, malformed, parse, read_into};
use crate::formats::segments::{Content, Kind, Layer, Layers, Segment, Segments, Table, distinct};
use crate::formats::{Companion, Result};
use crate::memory::Room;

/// The table of a segmentation of 3D Slicer; `None` where the header names no segment.
///
/// # Errors
/// Headers that cannot be read; segments of one value in one layer, or of a layer that is not there.
pub fn segment_table(bytes: &[u8]) -> Result<Option<Table>> {
    let parsed = parse(bytes)?;
    table_of(&parsed)
}

/// Reads a segmentation of 3D Slicer; `None` where the header names no segment.
///
/// # Errors
/// As [`segment_table`] and [`read`](super::read).
pub fn segments(bytes: &[u8], companion: &Companion) -> Result<Option<Segments>> {
    within(bytes, companion, &Room::default())
}

/// As [`segments`], in memory of `room`.
pub(super) fn within(bytes: &[u8], companion: &Companion, room: &Room) -> Result<Option<Segments>> {
    let Some(table) = segment_table(bytes)? else { return Ok(None) };
    let image = read_into(bytes, companion, (&mut Scratch::default(), room))?;
    let mask = |s: &Segment| Layer { layer: s.layer as usize, value: f64::from(s.number) };
    let masks = table.segments.iter().map(mask).collect();
    let notes = image.notes.clone();
    Ok(Some(Segments::new(table, notes, Content::Layers(Box::new(Layers { image, masks })))))
}

fn table_of(parsed: &Parsed) -> Result<Option<Table>> {
    let layers = match (parsed.header.components, parsed.header.size[3]) {
        (1, times) => times,
        (components, 1) => components,
        (components, times) => {
            return Err(malformed(format!("segments in {components} components of {times} volumes")));
        }
    };
    let mut numbers: Vec<u32> = parsed.keys.iter().filter_map(|(key, _)| segment_number(key)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let keys: BTreeMap<&str, &str> = parsed.keys.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut segments = Vec::new();
    for (at, &n) in numbers.iter().enumerate() {
        let key = |name: &str| keys.get(format!("Segment{n}_{name}").as_str()).copied();
        let whole = |name: &str| -> Result<Option<u32>> {
            let parse = |v: &str| {
                v.trim().parse().map_err(|_| malformed(format!("Segment{n}_{name} is {v:?}, expected a whole number")))
            };
            key(name).map(parse).transpose()
        };
        let (number, layer) = match (whole("LabelValue")?, whole("Layer")?) {
            (Some(value), layer) if layer.is_some() || layers == 1 => (value, layer.unwrap_or(0)),
            (None, Some(layer)) => (1, layer),
            (value, None) if layers == numbers.len() => (value.unwrap_or(1), at as u32),
            _ => {
                let reason = format!("segment {n} has no label value or layer, but the file has {layers} layer(s)");
                return Err(malformed(reason));
            }
        };
        if layer as usize >= layers {
            return Err(malformed(format!("segment {n} is in layer {layer}, but the file has {layers}")));
        }
        let name = key("Name").or(key("ID")).unwrap_or_default().to_string();
        segments.push(Segment { number, layer, name, terms: key("Tags").map(terms).unwrap_or_default() });
    }
    if segments.is_empty() {
        return Ok(None);
    }
    distinct(FORMAT, &segments)?;
    Ok(Some(Table { kind: Kind::Nrrd, segments, layers, frame_of_reference: None, series: Vec::new() }))
}

/// N of `SegmentN_Name` and of the other keys that make a segment.
fn segment_number(key: &str) -> Option<u32> {
    let (number, rest) = key.strip_prefix("Segment")?.split_once('_')?;
    matches!(rest, "Name" | "ID" | "LabelValue" | "Layer").then(|| number.parse().ok()).flatten()
}

/// Type of a `TerminologyEntry`, as the terms of a [`Segment`].
fn terms(tags: &str) -> Vec<String> {
    let Some(entry) = tags.split('|').find_map(|tag| tag.trim().strip_prefix("TerminologyEntry:")) else {
        return Vec::new();
    };
    let code = |at: usize| {
        let mut parts = entry.split('~').nth(at).unwrap_or_default().split('^').map(str::trim);
        let (scheme, value, meaning) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        (scheme.to_string(), value.to_string(), meaning.to_string())
    };
    // Context, category, type, modifier of the type.
    let (scheme, value, meaning) = code(2);
    let (_, _, modifier) = code(3);
    let mut terms = Vec::new();
    if !modifier.is_empty() && !meaning.is_empty() {
        terms.push(format!("{modifier} {meaning}"));
    }
    if !meaning.is_empty() {
        terms.push(meaning);
    }
    if !value.is_empty() {
        terms.push(if scheme.is_empty() { value } else { format!("{scheme}:{value}") });
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Samples;

    const ENTRY: &str = "Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type~SCT^123037004^Anatomical \
                         Structure~SCT^64033007^Kidney~SCT^7771000^Left~Anatomic codes~^^~^^|";

    fn file(sizes: &str, keys: &str, voxels: &[u8]) -> Vec<u8> {
        let dimension = sizes.split(' ').count();
        let kinds = ["domain"; 3].join(" ");
        let (kinds, none) = if dimension == 4 { (format!("list {kinds}"), "none ") } else { (kinds, "") };
        let header = format!(
            "NRRD0004\ntype: uint8\ndimension: {dimension}\nspace: left-posterior-superior\nsizes: {sizes}\nkinds: {kinds}\n\
             space directions: {none}(1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nencoding: raw\n{keys}\n"
        );
        [header.as_bytes(), voxels].concat()
    }

    #[test]
    fn layers_and_values() {
        let keys = format!(
            "Segment0_Name:=Left kidney\nSegment0_LabelValue:=2\nSegment0_Layer:=0\nSegment0_Tags:={ENTRY}\n\
             Segment10_Name:=Cyst \\n two\nSegment10_LabelValue:=1\nSegment10_Layer:=1\n"
        );
        let bytes = file("2 2 1 1", &keys, &[2, 0, 2, 1]);
        let segments = segments(&bytes, &|_| Ok(None)).unwrap().unwrap();
        let names: Vec<String> = segments.table.segments.iter().map(Segment::describe).collect();
        assert_eq!(names, ["2 \"Left kidney\" (Left Kidney, Kidney, SCT:64033007)", "1 of layer 1 \"Cyst \\n two\""]);
        let marks = |index| match segments.volume(index).unwrap().samples {
            Samples::U8(values) => values,
            _ => panic!("bytes"),
        };
        assert_eq!((marks(0), marks(1)), (vec![1, 1], vec![0, 1]));
        assert!(!segments.table.is_one_map() && segments.unnamed().is_empty());
    }

    #[test]
    fn what_a_header_leaves_out() {
        // From before layers: one component each.
        let old = file("2 1 1 1", "Segment0_Name:=a\nSegment1_Name:=b\n", &[1, 0]);
        let table = segment_table;
        assert_eq!(table(&old).unwrap().unwrap().describe(), "1 \"a\", 1 of layer 1 \"b\"");
        let flat = file("1 1 1", "Segment0_Name:=a\nSegment1_Name:=b\n", &[1]);
        assert!(table(&flat).unwrap_err().to_string().contains("no label value or layer"));
        let beyond = file("1 1 1", "Segment0_Name:=a\nSegment0_LabelValue:=1\nSegment0_Layer:=4\n", &[1]);
        assert!(table(&beyond).unwrap_err().to_string().contains("in layer 4"));
        let twice = "Segment0_Name:=a\nSegment0_LabelValue:=1\nSegment1_Name:=b\nSegment1_LabelValue:=1\n";
        assert!(table(&file("1 1 1", twice, &[1])).unwrap_err().to_string().contains("two segments have the number 1"));
        assert_eq!(table(&file("1 1 1", "author:=me\n", &[1])).unwrap(), None);
    }
}
