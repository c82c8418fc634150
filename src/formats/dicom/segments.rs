//! Segmentations (PS3.3 C.8.20) and structure sets (C.8.8.5, C.8.8.6): which masks they hold, and where each lies.

use std::collections::BTreeMap;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::dataset::{DataSet, Part10};
use super::header::Header;
use super::{FORMAT, malformed, pixels, truncated, unsupported};
use crate::formats::Result;
use crate::formats::segments::{
    Content, Frames, Kind, Marked, Place, Plane, Segment, Segments, Structure, Table, Voxels, distinct,
};
use crate::memory::Room;

/// Share of Maximum Fractional Value above which a pixel of a fractional segmentation counts.
const FRACTION: f64 = 0.5;

/// The table of a segmentation or structure set; `None` for other objects.
///
/// # Errors
/// Where an element ends too early, or two segments have one number.
pub fn segment_table(bytes: &[u8]) -> Result<Option<Table>> {
    table_within(bytes, &Room::default())
}

/// As [`segment_table`], in memory of `room`.
pub(super) fn table_within(bytes: &[u8], room: &Room) -> Result<Option<Table>> {
    let part10 = Part10::open(bytes, room)?;
    table_of(&part10.data_set()?)
}

/// Reads a segmentation or structure set; `None` for other objects.
///
/// # Errors
/// As [`segment_table`] and [`read`](super::read); frames that do not say which segment they are of.
pub fn segments(bytes: &[u8]) -> Result<Option<Segments>> {
    within(bytes, &Room::default())
}

/// As [`segments`], in memory of `room`.
pub(super) fn within(bytes: &[u8], room: &Room) -> Result<Option<Segments>> {
    let part10 = Part10::open(bytes, room)?;
    let data = part10.data_set()?;
    let Some(table) = table_of(&data)? else { return Ok(None) };
    if table.kind == Kind::StructureSet {
        // A number of two characters becomes one of eight bytes, and another one in a point.
        room.take((bytes.len() as u64).saturating_mul(8))?;
        let structures = structures(&data, &table)?;
        return Ok(Some(Segments::new(table, part10.notes, Content::Structures(structures))));
    }
    let header = Header::of(&part10, &data)?;
    let mut notes = header.notes.clone();
    let frames = frames(&header, &data, &table, (&mut notes, room))?;
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
                return Err(malformed(format!("a contour of {} coordinates, expected three per point", values.len())));
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

fn frames(header: &Header, data: &DataSet, table: &Table, (notes, room): (&mut Vec<String>, &Room)) -> Result<Frames> {
    let area = header.rows * header.columns;
    let (voxels, marked) = voxels(header, data, table, (notes, room))?;
    if header.samples_per_pixel != 1 {
        return Err(unsupported("a segmentation of several samples per pixel"));
    }
    let places = places(header);
    let plane = |frame: usize| Plane { place: places(frame), start: frame * area, frame: frame + 1 };
    let background = if table.kind == Kind::LabelMap { Some(background(data)?) } else { None };
    let masks: Vec<(Arc<Vec<Plane>>, Marked)> = if table.kind == Kind::LabelMap {
        let all = Arc::new((0..header.frames).map(plane).collect::<Vec<_>>());
        table.segments.iter().map(|s| (Arc::clone(&all), Marked::Equal(f64::from(s.number)))).collect()
    } else {
        let mut of: BTreeMap<u32, Vec<Plane>> = table.segments.iter().map(|s| (s.number, Vec::new())).collect();
        for (frame, number) in segment_of_frames(header, data, table)?.into_iter().enumerate() {
            let planes = of.get_mut(&number).ok_or_else(|| {
                malformed(format!("frame {} belongs to segment {number}, which is not described", frame + 1))
            })?;
            planes.push(plane(frame));
        }
        table.segments.iter().map(|s| (Arc::new(of.remove(&s.number).unwrap_or_default()), marked)).collect()
    };
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
    let missing = |frame: usize| malformed(format!("frame {} does not state its segment", frame + 1));
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
fn voxels(
    header: &Header,
    data: &DataSet,
    table: &Table,
    (notes, room): (&mut Vec<String>, &Room),
) -> Result<(Voxels, Marked)> {
    let pixels = data.pixels.ok_or_else(|| malformed("no pixel data"))?;
    if header.bits_allocated == 1 && !pixels.encapsulated && !data.encoding.big_endian {
        // Bits stay packed: frames of many segments are eight times as large unpacked.
        let count = (header.rows as u64 * header.columns as u64).saturating_mul(header.frames as u64);
        let needed = count.div_ceil(8);
        let bytes = pixels.value.get(..needed as usize);
        let bytes = bytes.ok_or_else(|| truncated("pixel data", needed, pixels.value.len() as u64))?;
        let bits = room.collect(bytes.len(), bytes.iter().copied())?;
        return Ok((Voxels::Bits(bits), Marked::Above(0.0)));
    }
    let mut decoded = pixels::decode(header, data, room)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::dicom::build::File;
    use crate::formats::segments::Target;
    use crate::image::{Geometry, Samples};

    const SYNTAX: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;

    fn code(value: &str, meaning: &str) -> File {
        File::new(SYNTAX).text(tags::CODE_VALUE, b"SH", value).text(tags::CODING_SCHEME_DESIGNATOR, b"SH", "SCT").text(
            tags::CODE_MEANING,
            b"LO",
            meaning,
        )
    }

    fn segment(number: u16, label: &str, kind: File) -> File {
        File::new(SYNTAX)
            .number(tags::SEGMENT_NUMBER, number)
            .text(tags::SEGMENT_LABEL, b"LO", label)
            .sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, &[kind])
    }

    fn left(kind: File) -> File {
        kind.sequence(tags::SEGMENTED_PROPERTY_TYPE_MODIFIER_CODE_SEQUENCE, &[code("7771000", "Left")])
    }

    /// Frames of 4 x 1 pixels: segment (if it says), height and bits of each.
    fn segmentation(kind: &str, frames: &[(Option<u16>, f64, [u8; 4])]) -> Vec<u8> {
        let orientation = File::new(SYNTAX).text(tags::IMAGE_ORIENTATION_PATIENT, b"DS", "1\\0\\0\\0\\1\\0");
        let measures =
            File::new(SYNTAX).text(tags::PIXEL_SPACING, b"DS", "1\\1").text(tags::SPACING_BETWEEN_SLICES, b"DS", "2");
        let shared = File::new(SYNTAX)
            .sequence(tags::PLANE_ORIENTATION_SEQUENCE, &[orientation])
            .sequence(tags::PIXEL_MEASURES_SEQUENCE, &[measures]);
        let groups = |(segment, z, _): &(Option<u16>, f64, [u8; 4])| {
            let position = File::new(SYNTAX).text(tags::IMAGE_POSITION_PATIENT, b"DS", &format!("0\\0\\{z}"));
            let frame = File::new(SYNTAX).sequence(tags::PLANE_POSITION_SEQUENCE, &[position]);
            match segment {
                Some(n) => frame.sequence(
                    tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                    &[File::new(SYNTAX).number(tags::REFERENCED_SEGMENT_NUMBER, *n)],
                ),
                None => frame,
            }
        };
        let (bits, pixels): (u16, Vec<u8>) = if kind == "BINARY" {
            let all: Vec<u8> = frames.iter().flat_map(|f| f.2).collect();
            (1, all.chunks(8).map(|c| c.iter().enumerate().fold(0, |b, (i, v)| b | v << i)).collect())
        } else {
            (8, frames.iter().flat_map(|f| f.2).collect())
        };
        let class = if kind == "LABELMAP" { uids::LABEL_MAP_SEGMENTATION_STORAGE } else { uids::SEGMENTATION_STORAGE };
        File::grey(SYNTAX, [4, 1], [bits, bits], false)
            .text(tags::SOP_CLASS_UID, b"UI", class)
            .text(tags::MODALITY, b"CS", "SEG")
            .text(tags::SEGMENTATION_TYPE, b"CS", kind)
            .number(tags::MAXIMUM_FRACTIONAL_VALUE, 100)
            .text(tags::NUMBER_OF_FRAMES, b"IS", &frames.len().to_string())
            .sequence(
                tags::SEGMENT_SEQUENCE,
                &[segment(1, "Liver", code("10200004", "Liver")), segment(2, "K", left(code("64033007", "Kidney")))],
            )
            .sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, &[shared])
            .sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, &frames.iter().map(groups).collect::<Vec<_>>())
            .pixels(&pixels)
            .bytes()
    }

    fn opened(bytes: &[u8]) -> Result<Segments> {
        segments(bytes).map(|found| found.expect("segments"))
    }

    fn volume(segments: &Segments, index: usize) -> Vec<u8> {
        let Samples::U8(values) = segments.volume(index).unwrap().samples else { panic!("bytes") };
        values
    }

    #[test]
    fn frames_of_two_segments_in_any_order() {
        let one = Some(1);
        let frames = [
            (Some(2), 4.0, [0, 0, 1, 1]),
            (one, 2.0, [1, 0, 0, 0]),
            (Some(2), 0.0, [0, 1, 1, 0]),
            (one, 4.0, [1, 1, 1, 0]),
        ];
        let segments = opened(&segmentation("BINARY", &frames)).unwrap();
        let names: Vec<String> = segments.table.segments.iter().map(Segment::describe).collect();
        assert_eq!(names, ["1 \"Liver\" (Liver, SCT:10200004)", "2 \"K\" (Left Kidney, Kidney, SCT:64033007)"]);
        assert_eq!(volume(&segments, 0), [1, 0, 0, 0, 1, 1, 1, 0]);
        assert_eq!(volume(&segments, 1), [0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1], "a slice without a frame is empty");
        let geometry = Geometry::from_lps([0.; 3], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [1., 1., 2.]);
        let target = Target { size: [4, 1, 3], geometry: Some(&geometry), heights: None, series: None };
        assert_eq!(segments.on_grid(0, target).unwrap().marks, [0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0]);
    }

    #[test]
    fn fractions_and_label_maps() {
        let segments = opened(&segmentation("FRACTIONAL", &[(Some(1), 0.0, [0, 50, 51, 100])])).unwrap();
        assert_eq!(volume(&segments, 0), [0, 0, 1, 1]);
        assert!(segments.notes.iter().any(|n| n.contains("above 50 of 100") && n.contains("2 are neither")));
        let low =
            opened(&segmentation("FRACTIONAL", &[(Some(1), 0.0, [0, 45, 50, 0]), (Some(2), 0.0, [0; 4])])).unwrap();
        assert_eq!((low.below_threshold(0), low.below_threshold(1)), (Some((50.0, 50.0)), None));
        assert_eq!(segments.below_threshold(0), None);
        let segments =
            opened(&segmentation("LABELMAP", &[(None, 0.0, [0, 1, 2, 2]), (None, 2.0, [2, 1, 0, 7])])).unwrap();
        assert_eq!((segments.table.kind, segments.table.is_one_map()), (Kind::LabelMap, true));
        assert_eq!(volume(&segments, 1), [0, 0, 1, 1, 1, 0, 0, 0]);
        assert_eq!(segments.unnamed(), [(0, 7.0)]);
    }

    #[test]
    fn frames_without_a_segment_and_cut_files_are_refused() {
        let error = opened(&segmentation("BINARY", &[(None, 0.0, [1; 4])])).unwrap_err().to_string();
        assert!(error.contains("frame 1 does not state its segment"), "{error}");
        let error = opened(&segmentation("BINARY", &[(Some(3), 0.0, [1; 4])])).unwrap_err().to_string();
        assert!(error.contains("segment 3, which is not described"), "{error}");
        let whole = segmentation("BINARY", &[(Some(1), 0.0, [1; 4]), (Some(2), 0.0, [1; 4])]);
        for end in 0..whole.len() {
            let _ = segments(&whole[..end]);
        }
        assert!(opened(&whole[..whole.len() - 2]).is_err());
    }

    #[test]
    fn contours_are_in_millimetres_of_ras() {
        let contour = |kind: &str, data: &str, points: u16| {
            File::new(SYNTAX)
                .text(tags::CONTOUR_GEOMETRIC_TYPE, b"CS", kind)
                .text(tags::NUMBER_OF_CONTOUR_POINTS, b"IS", &points.to_string())
                .text(tags::CONTOUR_DATA, b"DS", data)
        };
        let square = "0.5\\-0.5\\0\\2.5\\-0.5\\0\\2.5\\0.5\\0\\0.5\\0.5\\0";
        let file = |points: u16| {
            let contours = [contour("CLOSED_PLANAR", square, points), contour("POINT", "1\\0\\0", 1)];
            let roi = File::new(SYNTAX).text(tags::ROI_NUMBER, b"IS", "5").text(tags::ROI_NAME, b"LO", "PTV");
            let drawn = File::new(SYNTAX)
                .text(tags::REFERENCED_ROI_NUMBER, b"IS", "5")
                .sequence(tags::CONTOUR_SEQUENCE, &contours);
            File::new(SYNTAX)
                .text(tags::SOP_CLASS_UID, b"UI", uids::RT_STRUCTURE_SET_STORAGE)
                .sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, &[roi])
                .sequence(tags::ROI_CONTOUR_SEQUENCE, &[drawn])
                .bytes()
        };
        let segments = opened(&file(4)).unwrap();
        assert_eq!(segment_table(&file(4)).unwrap().unwrap().describe(), "5 \"PTV\"");
        let geometry = Geometry::from_lps([0.; 3], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [1., 1., 2.]);
        let placed = segments
            .on_grid(0, Target { size: [4, 1, 1], geometry: Some(&geometry), heights: None, series: None })
            .unwrap();
        assert_eq!(placed.marks, [0, 1, 1, 0]);
        assert!(placed.notes[0].starts_with("1 point(s) or open contour(s)"), "{:?}", placed.notes);
        assert!(opened(&file(5)).unwrap_err().to_string().contains("a contour of 5 points has 4"));
    }

    #[test]
    fn other_objects_have_no_segments() {
        let image = File::slice(0.0, 1, [0; 4]).bytes();
        assert_eq!(segment_table(&image).unwrap(), None);
    }
}
