//! Containers that hold several masks under names: DICOM segmentation and structure set, NRRD as 3D Slicer has it.

use std::fs;
use std::io;
use std::path::Path;

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::dicom::decimal;
use super::volumes::{self, directions, flipped};
use super::{invalid, require};
use crate::image::{Geometry, Image, Samples};

type Element = DataElement<InMemDicomObject>;

fn text(tag: Tag, vr: VR, value: impl Into<String>) -> Element {
    DataElement::new(tag, vr, PrimitiveValue::from(value.into()))
}

fn number(tag: Tag, value: u16) -> Element {
    DataElement::new(tag, VR::US, dicom_value!(U16, [value]))
}

fn decimals(tag: Tag, values: impl IntoIterator<Item = f64>) -> Element {
    let strings: Vec<String> = values.into_iter().map(decimal).collect();
    DataElement::new(tag, VR::DS, PrimitiveValue::Strs(strings.into()))
}

fn sequence(tag: Tag, items: Vec<Vec<Element>>) -> Element {
    let items: Vec<InMemDicomObject> = items.into_iter().map(InMemDicomObject::from_element_iter).collect();
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

fn write(path: &Path, elements: Vec<Element>) -> io::Result<()> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let object = InMemDicomObject::from_element_iter(elements).with_meta(meta).map_err(io::Error::other)?;
    object.write_to_file(path).map_err(io::Error::other)
}

fn frame_of(masks: &[(&str, Image)]) -> io::Result<([usize; 4], Geometry)> {
    let Some((_, first)) = masks.first() else { return Err(invalid("no mask")) };
    for (_, mask) in masks {
        let alike = mask.size == first.size && mask.size[3] == 1 && mask.components == 1;
        require(alike && matches!(mask.samples, Samples::U8(_)), "a segmentation", "masks of uint8 on one grid", mask)?;
    }
    let geometry = first.geometry.clone().ok_or_else(|| invalid("a mask without a frame"))?;
    Ok((first.size, geometry))
}

fn marks(mask: &Image) -> &[u8] {
    match &mask.samples {
        Samples::U8(values) => values,
        _ => &[],
    }
}

/// Writes a DICOM segmentation of binary segments, numbered from 1: a frame for each slice of a segment that has a
/// mark, those of the last slice first.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for masks that are not 0 and 1 in `uint8` on one grid with a frame; else what the
/// file system says.
pub fn dicom_segmentation(path: &Path, masks: &[(&str, Image)]) -> io::Result<()> {
    let ([columns, rows, depth, _], geometry) = frame_of(masks)?;
    let area = columns * rows;
    let [x, y, _] = directions(&geometry).map(flipped);
    let (mut frames, mut bits) = (Vec::new(), Vec::new());
    for z in (0..depth).rev() {
        for (n, (_, mask)) in masks.iter().enumerate() {
            let slice = &marks(mask)[z * area..(z + 1) * area];
            if slice.iter().all(|v| *v == 0) {
                continue;
            }
            bits.extend_from_slice(slice);
            let position = flipped(geometry.to_world([0.0, 0.0, z as f64]));
            frames.push(vec![
                sequence(tags::PLANE_POSITION_SEQUENCE, vec![vec![decimals(tags::IMAGE_POSITION_PATIENT, position)]]),
                sequence(
                    tags::SEGMENT_IDENTIFICATION_SEQUENCE,
                    vec![vec![number(tags::REFERENCED_SEGMENT_NUMBER, n as u16 + 1)]],
                ),
            ]);
        }
    }
    let described = masks
        .iter()
        .zip(1..)
        .map(|((name, _), n)| vec![number(tags::SEGMENT_NUMBER, n), text(tags::SEGMENT_LABEL, VR::LO, *name)]);
    let shared = vec![
        sequence(
            tags::PLANE_ORIENTATION_SEQUENCE,
            vec![vec![decimals(tags::IMAGE_ORIENTATION_PATIENT, x.into_iter().chain(y))]],
        ),
        sequence(
            tags::PIXEL_MEASURES_SEQUENCE,
            vec![vec![
                decimals(tags::PIXEL_SPACING, [geometry.spacing[1], geometry.spacing[0]]),
                decimals(tags::SPACING_BETWEEN_SLICES, [geometry.spacing[2]]),
            ]],
        ),
    ];
    let mut packed: Vec<u8> =
        bits.chunks(8).map(|c| c.iter().enumerate().fold(0, |byte, (i, v)| byte | (v & 1) << i)).collect();
    packed.resize(packed.len().next_multiple_of(2), 0);
    let side = |n: usize| u16::try_from(n).map_err(|_| invalid(format!("DICOM: a side of {n} pixels")));
    write(
        path,
        vec![
            text(tags::SOP_CLASS_UID, VR::UI, uids::SEGMENTATION_STORAGE),
            text(tags::MODALITY, VR::CS, "SEG"),
            text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY"),
            number(tags::SAMPLES_PER_PIXEL, 1),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            text(tags::NUMBER_OF_FRAMES, VR::IS, frames.len().to_string()),
            number(tags::ROWS, side(rows)?),
            number(tags::COLUMNS, side(columns)?),
            number(tags::BITS_ALLOCATED, 1),
            number(tags::BITS_STORED, 1),
            number(tags::HIGH_BIT, 0),
            number(tags::PIXEL_REPRESENTATION, 0),
            sequence(tags::SEGMENT_SEQUENCE, described.collect()),
            sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]),
            sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames),
            DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::U8(packed.into())),
        ],
    )
}

/// A closed contour: its corners in RAS+ millimetres.
pub type Contour = Vec<[f64; 3]>;

/// Writes a DICOM structure set, structures numbered from 1.
///
/// # Errors
/// What the file system says.
pub fn structure_set(path: &Path, structures: &[(&str, Vec<Contour>)]) -> io::Result<()> {
    let named = structures.iter().zip(1..).map(|((name, _), n): (_, u16)| {
        vec![text(tags::ROI_NUMBER, VR::IS, n.to_string()), text(tags::ROI_NAME, VR::LO, *name)]
    });
    let drawn = structures.iter().zip(1..).map(|((_, contours), n): (_, u16)| {
        let contour = |points: &Contour| {
            vec![
                text(tags::CONTOUR_GEOMETRIC_TYPE, VR::CS, "CLOSED_PLANAR"),
                text(tags::NUMBER_OF_CONTOUR_POINTS, VR::IS, points.len().to_string()),
                decimals(tags::CONTOUR_DATA, points.iter().flat_map(|p| flipped(*p))),
            ]
        };
        vec![
            text(tags::REFERENCED_ROI_NUMBER, VR::IS, n.to_string()),
            sequence(tags::CONTOUR_SEQUENCE, contours.iter().map(contour).collect()),
        ]
    });
    write(
        path,
        vec![
            text(tags::SOP_CLASS_UID, VR::UI, uids::RT_STRUCTURE_SET_STORAGE),
            text(tags::MODALITY, VR::CS, "RTSTRUCT"),
            sequence(tags::STRUCTURE_SET_ROI_SEQUENCE, named.collect()),
            sequence(tags::ROI_CONTOUR_SEQUENCE, drawn.collect()),
        ],
    )
}

/// Writes a segmentation as 3D Slicer does, each mask in a layer of its own and marked by 1.
///
/// # Errors
/// As [`dicom_segmentation`].
pub fn slicer_segmentation(path: &Path, masks: &[(&str, Image)]) -> io::Result<()> {
    let (size, _) = frame_of(masks)?;
    let voxels = size.iter().product();
    let values = (0..voxels).flat_map(|i| masks.iter().map(move |(_, mask)| marks(mask)[i])).collect();
    let image = Image { components: masks.len(), samples: Samples::U8(values), ..masks[0].1.clone() };
    let bytes = volumes::nrrd(&image, false)?;
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or_else(|| invalid("a header without an end"))? + 1;
    let keys: String = masks
        .iter()
        .enumerate()
        .map(|(n, (name, _))| format!("Segment{n}_Name:={name}\nSegment{n}_LabelValue:=1\nSegment{n}_Layer:={n}\n"))
        .collect();
    fs::write(path, [&bytes[..end], keys.as_bytes(), &bytes[end..]].concat())
}
