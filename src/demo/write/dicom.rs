//! DICOM series: one file for each slice, Explicit VR Little Endian, pixels uncompressed or as JPEG.

use std::io;
use std::path::Path;

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR, dicom_value};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::pictures::jpeg;
use super::volumes::{directions, flipped};
use super::{invalid, require};
use crate::image::{Frame, Geometry, Image, Samples};

/// What the header of a series says beyond its image.
#[derive(Clone, Debug, Default)]
pub struct DicomFacts {
    /// `CT`, `MR`, …
    pub modality: String,
    /// Patient ID.
    pub patient_id: String,
    /// Series Instance UID; the SOP Instance UIDs are this, a dot and the number of the slice.
    pub series_uid: String,
    /// Further attributes, which replace those written from the image: tag, representation, text.
    pub attributes: Vec<(Tag, VR, String)>,
    /// Pixels as baseline JPEG, which loses some; only for grey of 8 bits.
    pub jpeg: bool,
}

/// Writes a volume as one file for each slice along z, under the given names in that order.
///
/// Position, orientation and pixel spacing come from the image's frame (spacing 1 where it has none), the rescale from
/// its scaling, Instance Number counts from 1 along z. An image that only has a spacing ([`Frame::Spacing`]) gets no
/// position and no orientation, as a projection has none.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for other samples than `uint8`, `uint16` and `int16` of one component or `uint8` of
/// three (`uint8` of one alone as JPEG), a fourth axis, or as many names as there are no slices; else what the file
/// system says.
pub fn dicom_slices(folder: &Path, names: &[String], image: &Image, facts: &DicomFacts) -> io::Result<()> {
    let [columns, rows, depth, _] = image.size;
    require(image.size[3] == 1, "a DICOM series", "three axes", image)?;
    if names.len() != depth {
        return Err(invalid(format!("{} names for {depth} slices", names.len())));
    }
    let (bits, signed) = match (&image.samples, image.components) {
        (Samples::U8(_), 1 | 3) => (8u16, 0u16),
        (Samples::U16(_), 1) => (16, 0),
        (Samples::I16(_), 1) => (16, 1),
        _ => return require(false, "a DICOM series", "uint8, uint16 and int16, or RGB of 8 bits", image),
    };
    let stored = u16::from(image.bits).clamp(1, bits);
    let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let geometry = image.geometry.clone().unwrap_or_else(|| Geometry::from_lps([0.0; 3], identity, [1.0; 3]));
    let class = match facts.modality.as_str() {
        "CT" => uids::CT_IMAGE_STORAGE,
        "MR" => uids::MR_IMAGE_STORAGE,
        _ => uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    };
    let [x, y, _] = directions(&geometry).map(flipped);
    let colour = image.components == 3;

    for (z, name) in names.iter().enumerate() {
        let position = flipped(geometry.to_world([0.0, 0.0, z as f64]));
        let instance = format!("{}.{}", facts.series_uid, z + 1);
        let text = |tag: Tag, vr: VR, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        let number = |tag: Tag, value: u16| DataElement::new(tag, VR::US, dicom_value!(U16, [value]));
        let decimals = |tag: Tag, values: &[f64]| {
            let strings: Vec<String> = values.iter().map(|v| decimal(*v)).collect();
            DataElement::new(tag, VR::DS, PrimitiveValue::Strs(strings.into()))
        };
        let mut elements: Vec<DataElement<InMemDicomObject>> = vec![
            text(tags::SOP_CLASS_UID, VR::UI, class),
            text(tags::SOP_INSTANCE_UID, VR::UI, &instance),
            text(tags::MODALITY, VR::CS, &facts.modality),
            text(tags::PATIENT_ID, VR::LO, &facts.patient_id),
            text(tags::SERIES_INSTANCE_UID, VR::UI, &facts.series_uid),
            text(tags::INSTANCE_NUMBER, VR::IS, &(z + 1).to_string()),
            decimals(tags::SLICE_THICKNESS, &[geometry.spacing[2]]),
            decimals(tags::PIXEL_SPACING, &[geometry.spacing[1], geometry.spacing[0]]),
            number(tags::SAMPLES_PER_PIXEL, image.components as u16),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, if colour { "RGB" } else { "MONOCHROME2" }),
            number(tags::ROWS, side(rows)?),
            number(tags::COLUMNS, side(columns)?),
            number(tags::BITS_ALLOCATED, bits),
            number(tags::BITS_STORED, stored),
            number(tags::HIGH_BIT, stored - 1),
            number(tags::PIXEL_REPRESENTATION, signed),
            decimals(tags::RESCALE_INTERCEPT, &[image.scaling.intercept]),
            decimals(tags::RESCALE_SLOPE, &[image.scaling.slope]),
            if facts.jpeg { compressed_pixels(image, z)? } else { pixels(image, z) },
        ];
        if geometry.frame != Frame::Spacing {
            elements.push(decimals(tags::IMAGE_POSITION_PATIENT, &position));
            elements.push(decimals(tags::IMAGE_ORIENTATION_PATIENT, &[x, y].concat()));
        }
        if colour {
            elements.push(number(tags::PLANAR_CONFIGURATION, 0));
        }
        elements.extend(facts.attributes.iter().map(|(tag, vr, value)| text(*tag, *vr, value)));
        let syntax = if facts.jpeg { uids::JPEG_BASELINE8_BIT } else { uids::EXPLICIT_VR_LITTLE_ENDIAN };
        let meta = FileMetaTableBuilder::new().transfer_syntax(syntax);
        let object = InMemDicomObject::from_element_iter(elements).with_meta(meta).map_err(io::Error::other)?;
        object.write_to_file(folder.join(name)).map_err(io::Error::other)?;
    }
    Ok(())
}

fn side(n: usize) -> io::Result<u16> {
    u16::try_from(n).map_err(|_| invalid(format!("DICOM: a side of {n} pixels")))
}

/// Pixel Data of slice `z`, in an even number of bytes.
fn pixels(image: &Image, z: usize) -> DataElement<InMemDicomObject> {
    let count = image.size[0] * image.size[1] * image.components;
    let range = z * count..(z + 1) * count;
    let (vr, value) = match &image.samples {
        Samples::U16(v) => (VR::OW, PrimitiveValue::U16(v[range].into())),
        Samples::I16(v) => (VR::OW, PrimitiveValue::U16(v[range].iter().map(|&x| x as u16).collect())),
        Samples::U8(v) => {
            let mut bytes = v[range].to_vec();
            bytes.resize(count.next_multiple_of(2), 0);
            (VR::OB, PrimitiveValue::U8(bytes.into()))
        }
        _ => (VR::OB, PrimitiveValue::Empty),
    };
    DataElement::new(tags::PIXEL_DATA, vr, value)
}

/// Pixel Data of slice `z` as one fragment of an even number of bytes.
fn compressed_pixels(image: &Image, z: usize) -> io::Result<DataElement<InMemDicomObject>> {
    let [width, height, ..] = image.size;
    let (Samples::U8(v), 1) = (&image.samples, image.components) else {
        return Err(invalid("JPEG in DICOM is written of grey with 8 bits"));
    };
    let count = width * height;
    let slice = Image::picture(width, height, 1, Samples::U8(v[z * count..(z + 1) * count].to_vec()));
    let mut bytes = jpeg(&slice)?;
    bytes.resize(bytes.len().next_multiple_of(2), 0);
    Ok(DataElement::new(tags::PIXEL_DATA, VR::OB, PixelFragmentSequence::new_fragments(vec![bytes])))
}

/// A Decimal String: the most exact number of at most 16 characters.
pub(super) fn decimal(value: f64) -> String {
    (0..=14)
        .rev()
        .map(|digits| format!("{value:.digits$}"))
        .map(
            |text| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text },
        )
        .find(|text| text.len() <= 16)
        .unwrap_or_else(|| format!("{value:.8e}"))
}
