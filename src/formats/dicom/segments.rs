//! Segmentations (PS3.3 C.8.20) and structure sets (C.8.8.5, C.8.8.6): which masks they hold, and where each lies.

use std::collections::BTreeMap;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::dataset::{DataSet, Part10};
use super::header::Header;
use super::{FORMAT, malformed, pixels, truncated, unsupported};
use crate::formats::Result;
use crate::formats::segments::{
    Content, Frames, Kind, Marked, Place, Plane, Segment, Segments, Structure, Table, Voxels, distinct,
};

/// Share of Maximum Fractional Value above which a pixel of a fractional segmentation counts.
const FRACTION: f64 = 0.5;

/// The table of a segmentation or structure set; `None` for other objects.
///
/// # Errors
/// Where an element ends too early, or two segments have one number.
pub fn segment_table(bytes: &[u8]) -> Result<Option<Table>> {
    let part10 = Part10::open(bytes)?;
    table_of(&part10.data_set()?)
}

/// Reads a segmentation or structure set; `None` for other objects.
///
/// # Errors
/// As [`segment_table`] and [`read`](super::read); frames that do not say which segment they are of.
pub fn segments(bytes: &[u8]) -> Result<Option<Segments>> {
    let part10 = Part10::open(bytes)?;
    let data = part10.data_set()?;
    let Some(table) = table_of(&data)? else { return Ok(None) };
    if table.kind == Kind::StructureSet {
        let structures = structures(&data, &table)?;
        return Ok(Some(Segments::new(table, part10.notes, Content::Structures(structures))));
    }
    let header = Header::of(&part10, &data)?;
    let mut notes = header.notes.clone();
    let frames = frames(&header, &data, &table, &mut notes)?;
    Ok(Some(Segments::new(table, notes, Content::Frames(frames))))
}

fn table_of(data: &DataSet) -> Result<Option<Table>> {
    let class = data.text(tags::SOP_CLASS_UID).unwrap_or_default();
    let modality = data.text(tags::MODALITY).unwrap_or_default();
    let kind = match (class.as_str(), modality.as_str()) {
        (uids::LABEL_MAP_SEGMENTATION_STORAGE, _) => Kind::LabelMap,
        (uids::SEGMENTATION_STORAGE, _) | ("", "SEG") => match data.text(tags::SEGMENTATION_TYPE).as_deref() {
            Some("LABELMAP") => Kind::LabelMap,
            _ => Kind::Segmentation,
        },
        (uids::RT_STRUCTURE_SET_STORAGE, _) | ("", "RTSTRUCT") => Kind::StructureSet,
        _ => return Ok(None),
    };
    let (segments, series) = match kind {
        Kind::StructureSet => (structure_table(data)?, structure_series(data)?),
        _ => (segmentation_table(data)?, referenced_series(data)?),
    };
    let segments = match kind {
        // The background of a label map may have a description, and is no segment.
        Kind::LabelMap => {
            let background = background(data)?;
            segments.into_iter().filter(|s: &Segment| f64::from(s.number) != background).collect()
        }
        _ => segments,
    };
    distinct(FORMAT, &segments)?;
    let mut frame_of_reference = data.text(tags::FRAME_OF_REFERENCE_UID);
    if kind == Kind::StructureSet {
        let frames: Vec<String> = data
            .items(tags::STRUCTURE_SET_ROI_SEQUENCE)?
            .iter()
            .filter_map(|roi| roi.text(tags::REFERENCED_FRAME_OF_REFERENCE_UID))
            .collect();
        // Structures of several frames have none in common.
        let one = frames.first().filter(|first| frames.iter().all(|f| f == *first)).cloned();
        frame_of_reference = one.or(frame_of_reference.filter(|_| frames.is_empty()));
    }
    Ok(Some(Table { kind, segments, layers: 1, frame_of_reference, series }))
}

/// Value of a label map where no segment is.
fn background(data: &DataSet) -> Result<f64> {
    Ok(data.number(tags::PIXEL_PADDING_VALUE)?.unwrap_or(0.0))
}

fn number(data: &DataSet, tag: Tag) -> Result<u32> {
    let number = data.count(tag)?.ok_or_else(|| malformed(format!("{} is missing", super::dataset::name(tag))))?;
    u32::try_from(number).map_err(|_| malformed(format!("a segment has the number {number}")))
}

fn segmentation_table(data: &DataSet) -> Result<Vec<Segment>> {
    let items = data.items(tags::SEGMENT_SEQUENCE)?;
    items
        .iter()
        .map(|item| {
            let mut terms = codes(item, tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE)?;
            let modifier = match item.item(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE)? {
                Some(kind) => codes(&kind, tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE)?.into_iter().next(),
                None => None,
            };
            if let (Some(kind), Some(modifier)) = (terms.first(), modifier) {
                terms.insert(0, format!("{modifier} {kind}"));
            }
            Ok(Segment {
                number: number(item, tags::SEGMENT_NUMBER)?,
                layer: 0,
                name: item.text(tags::SEGMENT_LABEL).unwrap_or_default(),
                terms,
            })
        })
        .collect()
}

/// Meaning and code of the first item of a code sequence (PS3.3 section 8.8).
fn codes(data: &DataSet, tag: Tag) -> Result<Vec<String>> {
    let Some(item) = data.item(tag)? else { return Ok(Vec::new()) };
    let value = [tags::CODE_VALUE, tags::LONG_CODE_VALUE, tags::URN_CODE_VALUE].iter().find_map(|t| item.text(*t));
    let scheme = item.text(tags::CODING_SCHEME_DESIGNATOR);
    let code = match (scheme, value) {
        (Some(scheme), Some(value)) => Some(format!("{scheme}:{value}")),
        (None, value) => value,
        (_, None) => None,
    };
    Ok(item.text(tags::CODE_MEANING).into_iter().chain(code).collect())
}

fn referenced_series(data: &DataSet) -> Result<Vec<String>> {
    let items = data.items(tags::REFERENCED_SERIES_SEQUENCE)?;
    Ok(items.iter().filter_map(|item| item.text(tags::SERIES_INSTANCE_UID)).collect())
}

fn structure_table(data: &DataSet) -> Result<Vec<Segment>> {
    let mut terms = BTreeMap::new();
    for item in data.items(tags::RTROI_OBSERVATIONS_SEQUENCE)? {
        if let Some(number) = item.count(tags::REFERENCED_ROI_NUMBER)? {
            terms.insert(number, codes(&item, tags::RTROI_IDENTIFICATION_CODE_SEQUENCE)?);
        }
    }
    let items = data.items(tags::STRUCTURE_SET_ROI_SEQUENCE)?;
    items
        .iter()
        .map(|item| {
            let number = number(item, tags::ROI_NUMBER)?;
            let terms = terms.remove(&(number as usize)).unwrap_or_default();
            Ok(Segment { number, layer: 0, name: item.text(tags::ROI_NAME).unwrap_or_default(), terms })
        })
        .collect()
}

fn structure_series(data: &DataSet) -> Result<Vec<String>> {
    let mut series = Vec::new();
    for frame in data.items(tags::REFERENCED_FRAME_OF_REFERENCE_SEQUENCE)? {
        for study in frame.items(tags::RT_REFERENCED_STUDY_SEQUENCE)? {
            for item in study.items(tags::RT_REFERENCED_SERIES_SEQUENCE)? {
                series.extend(item.text(tags::SERIES_INSTANCE_UID));
            }
        }
    }
    Ok(series)
}

/// LPS+ to RAS+.
fn ras([x, y, z]: [f64; 3]) -> [f64; 3] {
    [-x, -y, z]
}

/// Contours of each structure of the table.
fn structures(data: &DataSet, table: &Table) -> Result<Vec<Structure>> {
    let mut of: BTreeMap<u32, Structure> = BTreeMap::new();
    for item in data.items(tags::ROI_CONTOUR_SEQUENCE)? {
        let structure = of.entry(number(&item, tags::REFERENCED_ROI_NUMBER)?).or_default();
        for contour in item.items(tags::CONTOUR_SEQUENCE)? {
            let values = contour.numbers(tags::CONTOUR_DATA)?.unwrap_or_default();
            let (points, rest) = values.as_chunks::<3>();
            if !rest.is_empty() {
                return Err(malformed(format!(
                    "a contour of {} coordinates, which are not three a point",
                    values.len()
                )));
            }
            if let Some(count) = contour.count(tags::NUMBER_OF_CONTOUR_POINTS)?
                && count != points.len()
            {
                return Err(malformed(format!("a contour of {count} points has {}", points.len())));
            }
            let kind = contour.text(tags::CONTOUR_GEOMETRIC_TYPE).unwrap_or_default();
            match kind.as_str() {
                "CLOSED_PLANAR" | "CLOSEDPLANAR_XOR" if points.len() > 2 => {
                    structure.closed.push(points.iter().map(|p| ras(*p)).collect());
                }
                _ => structure.without_area += 1,
            }
        }
    }
    Ok(table.segments.iter().map(|s| of.remove(&s.number).unwrap_or_default()).collect())
}

fn frames(header: &Header, data: &DataSet, table: &Table, notes: &mut Vec<String>) -> Result<Frames> {
    let area = header.rows * header.columns;
    let (voxels, marked) = voxels(header, data, table, notes)?;
    if header.samples_per_pixel != 1 {
        return Err(unsupported("a segmentation of several samples per pixel"));
    }
    let places = places(header);
    let plane = |frame: usize| Plane { place: places(frame), start: frame * area, frame: frame + 1 };
    let background = if table.kind == Kind::LabelMap { Some(background(data)?) } else { None };
    let mut masks: Vec<(Vec<Plane>, Marked)> = Vec::new();
    if table.kind == Kind::LabelMap {
        let all: Vec<Plane> = (0..header.frames).map(plane).collect();
        masks.extend(table.segments.iter().map(|s| (all.clone(), Marked::Equal(f64::from(s.number)))));
    } else {
        masks.extend(table.segments.iter().map(|_| (Vec::new(), marked)));
        for (frame, number) in segment_of_frames(header, data, table)?.into_iter().enumerate() {
            let Some(at) = table.segments.iter().position(|s| s.number == number) else {
                return Err(malformed(format!("frame {} is of segment {number}, which has no description", frame + 1)));
            };
            masks[at].0.push(plane(frame));
        }
    }
    let thickness = header.per_frame.first().and_then(|f| f.slice_thickness).or(header.slice_thickness);
    let steps = [spacing_between_slices(header, data)?, thickness].into_iter().flatten().filter(|s| *s > 0.0).collect();
    Ok(Frames { size: [header.columns, header.rows], voxels, masks, steps, background })
}

/// Spacing Between Slices, which enhanced objects have among their pixel measures.
fn spacing_between_slices(header: &Header, data: &DataSet) -> Result<Option<f64>> {
    if let Some(groups) = data.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)?
        && let Some(measures) = groups.item(tags::PIXEL_MEASURES_SEQUENCE)?
        && let Some(spacing) = measures.number(tags::SPACING_BETWEEN_SLICES)?
    {
        return Ok(Some(spacing.abs()));
    }
    Ok(header.spacing_between_slices.map(f64::abs))
}

/// Where each frame lies, as far as the header says.
fn places(header: &Header) -> impl Fn(usize) -> Option<Place> {
    move |frame| {
        let own = match header.per_frame.len() {
            n if n == header.frames => header.per_frame.get(frame),
            1 if header.frames == 1 => header.per_frame.first(),
            _ => None,
        };
        let alone = header.frames == 1;
        let position = own.and_then(|f| f.position).or(header.position.filter(|_| alone))?;
        let [row, column] = own.and_then(|f| f.orientation).or(header.orientation)?;
        let [row_step, column_step] = own.and_then(|f| f.pixel_spacing).or(header.pixel_spacing)?;
        Some(Place {
            corner: ras(position),
            x: ras(row).map(|c| c * column_step),
            y: ras(column).map(|c| c * row_step),
        })
    }
}

/// Number of the segment that each frame is of.
fn segment_of_frames(header: &Header, data: &DataSet, table: &Table) -> Result<Vec<u32>> {
    let named = |groups: &DataSet| -> Result<Option<u32>> {
        match groups.item(tags::SEGMENT_IDENTIFICATION_SEQUENCE)? {
            Some(item) => Ok(Some(number(&item, tags::REFERENCED_SEGMENT_NUMBER)?)),
            None => Ok(None),
        }
    };
    let shared = match data.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)? {
        Some(groups) => named(&groups)?,
        None => None,
    };
    let only = match table.segments.as_slice() {
        [one] => Some(one.number),
        _ => None,
    };
    let items = data.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)?;
    let missing = |frame: usize| malformed(format!("frame {} does not say which segment it is of", frame + 1));
    if items.len() != header.frames {
        let number = shared.or(only).ok_or_else(|| missing(0))?;
        return Ok(vec![number; header.frames]);
    }
    items
        .iter()
        .enumerate()
        .map(|(frame, groups)| named(groups)?.or(shared).or(only).ok_or_else(|| missing(frame)))
        .collect()
}

/// Pixels of all frames, and which of them are a segment that has frames of its own.
fn voxels(header: &Header, data: &DataSet, table: &Table, notes: &mut Vec<String>) -> Result<(Voxels, Marked)> {
    let pixels = data.pixels.ok_or_else(|| malformed("no pixel data"))?;
    if header.bits_allocated == 1 && !pixels.encapsulated && !data.encoding.big_endian {
        // Bits stay packed: frames of many segments are eight times as large unpacked.
        let count = (header.rows as u64 * header.columns as u64).saturating_mul(header.frames as u64);
        let needed = count.div_ceil(8);
        let bytes = pixels.value.get(..needed as usize);
        let bytes = bytes.ok_or_else(|| truncated("pixel data", needed, pixels.value.len() as u64))?;
        return Ok((Voxels::Bits(bytes.to_vec()), Marked::Above(0.0)));
    }
    let mut decoded = pixels::decode(header, data)?;
    notes.append(&mut decoded.notes);
    let mut threshold = 0.0;
    if data.text(tags::SEGMENTATION_TYPE).as_deref() == Some("FRACTIONAL") {
        let largest = data.number(tags::MAXIMUM_FRACTIONAL_VALUE)?.filter(|v| *v > 0.0).unwrap_or(255.0);
        threshold = largest * FRACTION;
        let between = crate::with_samples!(&decoded.samples, v => {
            v.iter().filter(|v| **v as f64 > 0.0 && (**v as f64) < largest).count()
        });
        if between > 0 && table.kind == Kind::Segmentation {
            notes.push(format!(
                "a fractional segmentation: values above {threshold} of {largest} are the segment, {between} are neither 0 \
                 nor {largest}"
            ));
        }
    }
    Ok((Voxels::Samples(decoded.samples), Marked::Above(threshold)))
}
