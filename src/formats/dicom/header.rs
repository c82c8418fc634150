//! The facts of one instance: what a dataset tool asks of a DICOM file before, or instead of, its pixels.

use std::fmt;

use dicom_core::Tag;
use dicom_core::dictionary::{UidDictionary, UidDictionaryEntry};
use dicom_dictionary_std::{StandardSopClassDictionary, tags};

use super::dataset::{DataSet, Part10, name};
use super::{malformed, unsupported};
use crate::formats::{Result, listed};
use crate::image::Scaling;

/// Photometric Interpretation (0028,0004): what the samples of a pixel mean (PS3.3 C.7.6.3.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Photometric {
    /// Grey, the lowest value white.
    Monochrome1,
    /// Grey, the lowest value black.
    Monochrome2,
    /// Index into a palette.
    PaletteColor,
    /// Red, green, blue.
    Rgb,
    /// Luma and two chromas, full range.
    YbrFull,
    /// The same, the chromas shared by two neighbours in a row.
    YbrFull422,
    /// JPEG 2000's irreversible transform: RGB after decoding.
    YbrIct,
    /// JPEG 2000's reversible transform: RGB after decoding.
    YbrRct,
    /// Anything else, as written.
    Other(String),
}

impl Photometric {
    fn parse(text: &str) -> Self {
        match text {
            "MONOCHROME1" => Photometric::Monochrome1,
            "MONOCHROME2" => Photometric::Monochrome2,
            "PALETTE COLOR" => Photometric::PaletteColor,
            "RGB" => Photometric::Rgb,
            "YBR_FULL" => Photometric::YbrFull,
            "YBR_FULL_422" => Photometric::YbrFull422,
            "YBR_ICT" => Photometric::YbrIct,
            "YBR_RCT" => Photometric::YbrRct,
            other => Photometric::Other(other.to_owned()),
        }
    }
}

/// What a frame of a multi-frame instance says of itself (its functional groups, else those that all frames share).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameHeader {
    /// Image Position (Patient).
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient).
    pub orientation: Option<[[f64; 3]; 2]>,
    /// Pixel Spacing.
    pub pixel_spacing: Option<[f64; 2]>,
    /// Slice Thickness.
    pub slice_thickness: Option<f64>,
    /// Rescale Slope and Rescale Intercept.
    pub rescale: Option<Scaling>,
}

/// Facts of one instance. Lengths are millimetres, coordinates LPS+ as in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// UID of the transfer syntax, empty where the file does not say.
    pub transfer_syntax: String,
    /// SOP Class UID: what kind of object this is.
    pub sop_class: String,
    /// SOP Instance UID: the name of this object.
    pub sop_instance: String,
    /// Patient ID.
    pub patient_id: Option<String>,
    /// Study Instance UID.
    pub study: Option<String>,
    /// Series Instance UID. Derived objects may carry that of their source (I2CVB's masks do).
    pub series: Option<String>,
    /// Frame of Reference UID: positions of objects that share it can be compared.
    pub frame_of_reference: Option<String>,
    /// Series Description.
    pub series_description: Option<String>,
    /// Modality: `CT`, `MR`, `US`, `SEG`, …
    pub modality: Option<String>,
    /// Image Type, its values joined by backslashes as in the file.
    pub image_type: Option<String>,
    /// Instance Number.
    pub instance_number: Option<i64>,
    /// Image Position (Patient): centre of the first pixel. Of the first frame where there are several.
    pub position: Option<[f64; 3]>,
    /// Image Orientation (Patient): unit direction of a row (rising column), then of a column (rising row).
    pub orientation: Option<[[f64; 3]; 2]>,
    /// Pixel Spacing: between rows, then between columns.
    pub pixel_spacing: Option<[f64; 2]>,
    /// Imager Pixel Spacing: the same at the detector of a projection, not in the patient.
    pub imager_pixel_spacing: Option<[f64; 2]>,
    /// Slice Thickness, which is not the step between slices.
    pub slice_thickness: Option<f64>,
    /// Spacing Between Slices, centre to centre; written by some scanners, wrongly by some.
    pub spacing_between_slices: Option<f64>,
    /// Height in pixels.
    pub rows: usize,
    /// Width in pixels.
    pub columns: usize,
    /// Number of Frames, 1 where absent.
    pub frames: usize,
    /// Samples per Pixel: 1, or 3 for colour.
    pub samples_per_pixel: usize,
    /// Photometric Interpretation.
    pub photometric: Photometric,
    /// Planar Configuration 1: all red, then all green, then all blue.
    pub planar: bool,
    /// Bits Allocated: 1, 8, 16, 32 or 64.
    pub bits_allocated: usize,
    /// Bits Stored.
    pub bits_stored: usize,
    /// High Bit, counted from 0.
    pub high_bit: usize,
    /// Pixel Representation 1: two's complement.
    pub signed: bool,
    /// Stored values, from and to, that stand for no measurement: Pixel Padding Value and, where there is one, Pixel
    /// Padding Range Limit (PS3.3 C.7.5.1.1.2).
    pub padding: Option<[f64; 2]>,
    /// Rescale Slope and Intercept; of all frames where they agree.
    pub rescale: Option<Scaling>,
    /// Facts by frame from the functional groups: one entry for each frame, or a single one for all; empty where the
    /// file has no such groups.
    pub per_frame: Vec<FrameHeader>,
    /// What is odd about the header, one sentence each.
    pub notes: Vec<String>,
}

impl fmt::Display for Photometric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Photometric::Monochrome1 => "MONOCHROME1",
            Photometric::Monochrome2 => "MONOCHROME2",
            Photometric::PaletteColor => "PALETTE COLOR",
            Photometric::Rgb => "RGB",
            Photometric::YbrFull => "YBR_FULL",
            Photometric::YbrFull422 => "YBR_FULL_422",
            Photometric::YbrIct => "YBR_ICT",
            Photometric::YbrRct => "YBR_RCT",
            Photometric::Other(text) => text,
        })
    }
}

impl Header {
    /// Memory of an instance while it is decoded: its values, and the copies that are made on the way. `u64::MAX` where
    /// that is no number of bytes.
    pub(super) fn memory(&self, encapsulated: bool) -> u64 {
        let frame =
            (self.rows as u64).saturating_mul(self.columns as u64).saturating_mul(self.samples_per_pixel as u64);
        let values = frame.saturating_mul(self.frames as u64);
        let bytes = values.saturating_mul(self.bits_allocated.div_ceil(8) as u64);
        // Planes are interleaved and frames put in another order by copying. A rescale by frame makes singles of values.
        let copies = if self.samples_per_pixel > 1 || self.frames > 1 { bytes } else { 0 };
        let rescaled = self.frames > 1 && self.per_frame.len() == self.frames;
        let singles = if rescaled { values.saturating_mul(4) } else { 0 };
        // The decoders of code streams work on values of 32 bits, and keep several of them for each.
        let decoder = if encapsulated { frame.saturating_mul(16) } else { 0 };
        bytes.saturating_add(copies).saturating_add(singles).saturating_add(decoder)
    }

    /// True for MONOCHROME1: high values are meant to be shown dark. The samples are as stored anyway.
    pub(crate) fn bright_is_dark(&self) -> bool {
        self.photometric == Photometric::Monochrome1
    }

    /// Unit normal of the slice: row direction × column direction.
    pub fn normal(&self) -> Option<[f64; 3]> {
        self.orientation.map(|[r, c]| cross(r, c))
    }

    /// Position along the slice's own normal, in millimetres: what orders slices, and what tells which mask slice
    /// belongs to which image slice where their numbers do not.
    pub(crate) fn location(&self) -> Option<f64> {
        Some(dot(self.position?, self.normal()?))
    }

    pub(super) fn of(part10: &Part10, data: &DataSet) -> Result<Self> {
        let sop_class = data.text(tags::SOP_CLASS_UID).unwrap_or_default();
        if data.pixels.is_none() {
            let kind = match sop_class_name(&sop_class) {
                "" => "object without a SOP class",
                name => name.trim_end_matches(" Storage"),
            };
            return Err(unsupported(format!("no pixel data: {kind}")));
        }
        let mut notes = part10.notes.clone();
        let float = data.pixels.is_some_and(|p| p.tag != tags::PIXEL_DATA);
        let required = |tag| data.count(tag)?.ok_or_else(|| malformed(format!("{} is missing", name(tag))));
        let rows = required(tags::ROWS)?;
        let columns = required(tags::COLUMNS)?;
        let bits_allocated = required(tags::BITS_ALLOCATED)?;
        // Float pixels have neither of these (PS3.3 C.7.6.24).
        let bits_stored = data.count(tags::BITS_STORED)?.unwrap_or(bits_allocated);
        let high_bit = data.count(tags::HIGH_BIT)?.unwrap_or_else(|| bits_stored.saturating_sub(1));
        let samples_per_pixel = data.count(tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        let frames = data.count(tags::NUMBER_OF_FRAMES)?.unwrap_or(1).max(1);
        // Both are 16-bit numbers wherever they are written as the standard says.
        if !(1..=65535).contains(&rows) || !(1..=65535).contains(&columns) {
            return Err(malformed(format!("an image of {columns} x {rows} pixels")));
        }
        if !matches!(bits_allocated, 1 | 8 | 16 | 32 | 64) {
            return Err(unsupported(format!("Bits Allocated {bits_allocated} (supported: 1, 8, 16, 32 and 64)")));
        }
        if !float && (bits_stored == 0 || bits_stored > high_bit + 1 || high_bit >= bits_allocated) {
            return Err(malformed(format!(
                "Bits Stored {bits_stored} with High Bit {high_bit} in Bits Allocated {bits_allocated}"
            )));
        }
        let photometric = match data.text(tags::PHOTOMETRIC_INTERPRETATION) {
            Some(text) => Photometric::parse(&text),
            None if samples_per_pixel == 3 => Photometric::Rgb,
            None => Photometric::Monochrome2,
        };
        if photometric == Photometric::Monochrome1 {
            notes.push("MONOCHROME1: low values are bright; values are kept as stored, not inverted".into());
        }
        let image_type = data.text(tags::IMAGE_TYPE);
        if image_type.as_deref().is_some_and(|t| t.split('\\').any(|v| v == "MOSAIC")) {
            notes.push("Siemens mosaic: the slices of a volume are tiles of one image".into());
        }

        let mut facts = Facts { notes };
        let per_frame = frame_headers(data, frames, &mut facts)?;
        let plane = facts.frame(data);
        let first = per_frame.first().cloned().unwrap_or_default();
        let imager_pixel_spacing = facts.positive_pair(data, tags::IMAGER_PIXEL_SPACING);
        let spacing_between_slices = facts.number(data, tags::SPACING_BETWEEN_SLICES);
        let instance_number = facts.number(data, tags::INSTANCE_NUMBER).map(|n| n as i64);
        if data.get(tags::MODALITY_LUT_SEQUENCE).is_some() {
            facts.notes.push("the modality table (a non-linear rescale) is not applied".into());
        }
        let signed = data.count(tags::PIXEL_REPRESENTATION)? == Some(1);
        let padding = facts.padding(data, if signed { bits_allocated } else { 0 });
        let rescale = plane.rescale.or_else(|| {
            let all_agree = per_frame.iter().all(|f| f.rescale == first.rescale);
            if all_agree { first.rescale } else { None }
        });
        Ok(Header {
            transfer_syntax: part10.transfer_syntax.clone(),
            sop_class,
            sop_instance: data.text(tags::SOP_INSTANCE_UID).unwrap_or_default(),
            patient_id: data.text(tags::PATIENT_ID),
            study: data.text(tags::STUDY_INSTANCE_UID),
            series: data.text(tags::SERIES_INSTANCE_UID),
            frame_of_reference: data.text(tags::FRAME_OF_REFERENCE_UID),
            series_description: data.text(tags::SERIES_DESCRIPTION),
            modality: data.text(tags::MODALITY),
            image_type,
            instance_number,
            position: plane.position.or(first.position),
            orientation: plane.orientation.or(first.orientation),
            pixel_spacing: plane.pixel_spacing.or(first.pixel_spacing),
            imager_pixel_spacing,
            slice_thickness: plane.slice_thickness.or(first.slice_thickness),
            spacing_between_slices,
            rows,
            columns,
            frames,
            samples_per_pixel,
            photometric,
            planar: data.count(tags::PLANAR_CONFIGURATION)? == Some(1),
            bits_allocated,
            bits_stored,
            high_bit,
            signed,
            padding,
            rescale,
            per_frame,
            notes: facts.notes,
        })
    }
}

fn sop_class_name(uid: &str) -> &str {
    StandardSopClassDictionary.by_uid(uid).map_or(uid, |entry| entry.name())
}

/// Reads the facts that an image can do without: a value that cannot be understood becomes a note, not an error.
struct Facts {
    notes: Vec<String>,
}

impl Facts {
    fn numbers<const N: usize>(&mut self, data: &DataSet, tag: Tag) -> Option<[f64; N]> {
        match data.numbers(tag) {
            Ok(None) => None,
            Ok(Some(values)) => match values.first_chunk::<N>() {
                Some(chunk) => Some(*chunk),
                None => {
                    self.ignore(format!("{}: expected {N} values, found {}: ignored", name(tag), values.len()));
                    None
                }
            },
            Err(e) => {
                self.ignore(format!("{e}: ignored"));
                None
            }
        }
    }

    fn ignore(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn number(&mut self, data: &DataSet, tag: Tag) -> Option<f64> {
        self.numbers::<1>(data, tag).map(|[v]| v)
    }

    /// The range of padding. Values of "US or SS" are read as unsigned where the file does not say which; `signed_bits`
    /// is the width of signed pixels, 0 for unsigned ones.
    fn padding(&mut self, data: &DataSet, signed_bits: usize) -> Option<[f64; 2]> {
        let value =
            [tags::PIXEL_PADDING_VALUE, tags::FLOAT_PIXEL_PADDING_VALUE, tags::DOUBLE_FLOAT_PIXEL_PADDING_VALUE];
        let limit = [
            tags::PIXEL_PADDING_RANGE_LIMIT,
            tags::FLOAT_PIXEL_PADDING_RANGE_LIMIT,
            tags::DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT,
        ];
        let mut found = |tags: [Tag; 3]| {
            let tag = tags.into_iter().find(|&tag| data.get(tag).is_some())?;
            let value = self.number(data, tag)?;
            let sign = signed_bits == 16 && value >= 32768.0;
            Some(if sign { value - 65536.0 } else { value })
        };
        let value = found(value)?;
        let limit = found(limit).unwrap_or(value);
        Some([value.min(limit), value.max(limit)])
    }

    fn positive_pair(&mut self, data: &DataSet, tag: Tag) -> Option<[f64; 2]> {
        let pair = self.numbers::<2>(data, tag)?;
        if pair.iter().all(|&v| v > 0.0) {
            return Some(pair);
        }
        self.ignore(format!("{}: expected positive lengths, found {} and {}: ignored", name(tag), pair[0], pair[1]));
        None
    }

    fn orientation(&mut self, data: &DataSet) -> Option<[[f64; 3]; 2]> {
        let [a, b, c, d, e, f] = self.numbers::<6>(data, tags::IMAGE_ORIENTATION_PATIENT)?;
        let (row, column) = ([a, b, c], [d, e, f]);
        // Written with few decimals, the cosines are off by up to a percent; zeros and repeated axes are no frame.
        let unit = |v: [f64; 3]| (dot(v, v).sqrt() - 1.0).abs() < 0.01;
        if unit(row) && unit(column) && dot(row, column).abs() < 0.01 {
            return Some([normalised(row), normalised(column)]);
        }
        self.ignore(format!(
            "{}: expected two perpendicular unit vectors, found {} and {}: ignored",
            name(tags::IMAGE_ORIENTATION_PATIENT),
            listed(&row),
            listed(&column)
        ));
        None
    }

    fn rescale(&mut self, data: &DataSet) -> Option<Scaling> {
        let slope = self.number(data, tags::RESCALE_SLOPE);
        let intercept = self.number(data, tags::RESCALE_INTERCEPT);
        if slope.is_none() && intercept.is_none() {
            return None;
        }
        let scaling = Scaling { slope: slope.unwrap_or(1.0), intercept: intercept.unwrap_or(0.0) };
        if scaling.slope == 0.0 {
            self.ignore("Rescale Slope is 0: the rescale is ignored".into());
            return None;
        }
        Some(scaling)
    }

    /// The facts of a plane, from wherever they stand together.
    fn frame(&mut self, data: &DataSet) -> FrameHeader {
        FrameHeader {
            position: self.numbers::<3>(data, tags::IMAGE_POSITION_PATIENT),
            orientation: self.orientation(data),
            pixel_spacing: self.positive_pair(data, tags::PIXEL_SPACING),
            slice_thickness: self.number(data, tags::SLICE_THICKNESS),
            rescale: self.rescale(data),
        }
    }

    /// The facts of a plane in the functional groups of one item (PS3.3 C.7.6.16.2).
    fn functional_groups(&mut self, groups: &DataSet) -> Result<FrameHeader> {
        let mut frame = FrameHeader::default();
        if let Some(item) = groups.item(tags::PLANE_POSITION_SEQUENCE)? {
            frame.position = self.numbers::<3>(&item, tags::IMAGE_POSITION_PATIENT);
        }
        if let Some(item) = groups.item(tags::PLANE_ORIENTATION_SEQUENCE)? {
            frame.orientation = self.orientation(&item);
        }
        if let Some(item) = groups.item(tags::PIXEL_MEASURES_SEQUENCE)? {
            frame.pixel_spacing = self.positive_pair(&item, tags::PIXEL_SPACING);
            frame.slice_thickness = self.number(&item, tags::SLICE_THICKNESS);
        }
        if let Some(item) = groups.item(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE)? {
            frame.rescale = self.rescale(&item);
        }
        Ok(frame)
    }
}

/// One entry for each frame from the functional groups, none where the file has no such groups.
fn frame_headers(data: &DataSet, frames: usize, facts: &mut Facts) -> Result<Vec<FrameHeader>> {
    let shared = match data.item(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)? {
        Some(groups) => Some(facts.functional_groups(&groups)?),
        None => None,
    };
    let items = data.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)?;
    if items.is_empty() {
        // One shared entry is enough for a frame count that no pixel data has confirmed yet.
        return Ok(shared.into_iter().collect());
    }
    if items.len() != frames {
        facts.notes.push(format!("functional groups for {} of {frames} frames: ignored", items.len()));
        return Ok(shared.into_iter().collect());
    }
    let shared = shared.unwrap_or_default();
    items
        .iter()
        .map(|item| {
            let own = facts.functional_groups(item)?;
            Ok(FrameHeader {
                position: own.position.or(shared.position),
                orientation: own.orientation.or(shared.orientation),
                pixel_spacing: own.pixel_spacing.or(shared.pixel_spacing),
                slice_thickness: own.slice_thickness.or(shared.slice_thickness),
                rescale: own.rescale.or(shared.rescale),
            })
        })
        .collect()
}

pub(super) fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn normalised(v: [f64; 3]) -> [f64; 3] {
    let length = dot(v, v).sqrt();
    v.map(|c| c / length)
}
