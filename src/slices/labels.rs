//! Values of a mask file to objects: every way in which masks are written (see [`Decode`]) ends in runs.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::plane::{Axis, slice_size, slice_values};
use super::{Error, ObjectMask};
use crate::image::{Image, Samples};
use crate::mask::Mask;
use crate::mask::label_map::{class_masks, value_masks};
use crate::sources::CaseMask;
use crate::spec::{Decode, Label, LabelTable, MaskPart, number_range};
use crate::with_samples;

/// How far a stored float may lie from an integer label (`scl_slope` leaves 0.9999999997 in some files).
const LABEL_TOLERANCE: f64 = 0.01;

/// A mask file that is ready to give the objects of its slices.
pub(super) struct Decoder<'a> {
    file: &'a str,
    image: &'a Image,
    axis: Axis,
    found: &'a CaseMask,
    method: Method<'a>,
}

enum Method<'a> {
    Values { classes: Vec<(&'a str, &'a Label)>, ranges: Vec<(RangeInclusive<i64>, usize)> },
    Colours { classes: Vec<(&'a str, &'a Label)>, colours: BTreeMap<[u8; 3], usize> },
    Threshold { label: &'a Label, channel: usize, above: f64, inverted: bool },
    Instances { label: &'a Label },
}

impl<'a> Decoder<'a> {
    /// Prepares a mask image. `table` is the label table of the part, `file` its name for messages.
    ///
    /// # Errors
    /// A decoding that the image's pixels do not allow (colours of a grey image, say).
    pub(super) fn new(
        part: &MaskPart,
        table: Option<&'a LabelTable>,
        found: &'a CaseMask,
        file: &'a str,
        image: &'a Image,
        axis: Axis,
    ) -> Result<Self, Error> {
        let problem = |reason: String| Error::Spec { file: file.to_string(), reason };
        let one_label = || found.label.as_ref().ok_or_else(|| problem("the spec gives its objects no label".into()));
        let table = || table.ok_or_else(|| problem("the spec gives its values no label table".into()));
        let method = match part.decode {
            Decode::Values => {
                let classes: Vec<(&str, &Label)> = table()?.iter().map(|(key, label)| (key.as_str(), label)).collect();
                let mut ranges = Vec::new();
                for (class, (key, _)) in classes.iter().enumerate() {
                    let range = number_range(key)
                        .ok_or_else(|| problem(format!("the label table's key {key:?} is no number")))?;
                    ranges.push((range, class));
                }
                Method::Values { classes, ranges }
            }
            Decode::Colours => {
                let is_colour = image.components >= 3 || image.palette.is_some();
                if !is_colour || !matches!(image.samples, Samples::U8(_)) {
                    return Err(problem(format!(
                        "the spec reads its colours, but it has {} component(s) of {} and no palette",
                        image.components,
                        image.samples.dtype()
                    )));
                }
                let classes: Vec<(&str, &Label)> = table()?.iter().map(|(key, label)| (key.as_str(), label)).collect();
                let mut colours = BTreeMap::new();
                for (class, (key, _)) in classes.iter().enumerate() {
                    let colour = colour(key)
                        .ok_or_else(|| problem(format!("the label table's key {key:?} is no colour like #ff0000")))?;
                    colours.insert(colour, class);
                }
                Method::Colours { classes, colours }
            }
            Decode::Binary { above, inverted } => {
                Method::Threshold { label: one_label()?, channel: 0, above, inverted }
            }
            Decode::Channel { channel, above } => {
                if channel >= image.components {
                    let n = image.components;
                    return Err(problem(format!("the spec reads channel {channel}, but it has {n} component(s)")));
                }
                Method::Threshold { label: one_label()?, channel, above, inverted: false }
            }
            Decode::Instances => Method::Instances { label: one_label()? },
            // Read to a picture of zeros and ones.
            Decode::RleTable { .. } => {
                Method::Threshold { label: one_label()?, channel: 0, above: 0.0, inverted: false }
            }
        };
        Ok(Decoder { file, image, axis, found, method })
    }

    /// The objects of one slice, in the order of the label table; objects that do not occur are not there.
    ///
    /// # Errors
    /// A value that the table does not have, or a grey value that differs between the channels of a colour image.
    pub(super) fn objects(&self, slice: usize, frame: usize) -> Result<Vec<ObjectMask>, Error> {
        let (height, width, _) = slice_size(self.image, self.axis);
        let (h, w) = (height as u32, width as u32);
        let palette = self.image.palette.as_deref();
        let masks: Vec<(String, &Label, Option<u32>, Mask)> = match &self.method {
            Method::Values { classes, ranges } => with_samples!(&self.image.samples, values => {
                let plane = self.grey_plane(values, slice, frame)?;
                let mut unknown = None;
                let class_of = |stored| {
                    let value = self.integer(stored as f64);
                    let class = value.and_then(|v| ranges.iter().find(|(range, _)| range.contains(&v)));
                    if class.is_none() && value != Some(0) {
                        unknown.get_or_insert(self.real(stored as f64));
                    }
                    class.map(|(_, class)| *class)
                };
                let masks = class_masks(h, w, &plane, classes.len(), class_of);
                if let Some(value) = unknown {
                    return Err(self.unknown_label(value.to_string(), slice, classes));
                }
                named(classes, masks)
            }),
            Method::Colours { classes, colours } => {
                let plane = self.colour_plane(slice, frame);
                let mut unknown = None;
                let class_of = |colour: [u8; 3]| {
                    let class = colours.get(&colour).copied();
                    if class.is_none() && colour != [0; 3] {
                        unknown.get_or_insert(colour);
                    }
                    class
                };
                let masks = class_masks(h, w, &plane, classes.len(), class_of);
                if let Some([r, g, b]) = unknown {
                    return Err(self.unknown_label(format!("#{r:02x}{g:02x}{b:02x}"), slice, classes));
                }
                named(classes, masks)
            }
            Method::Threshold { label, channel, above, inverted } => with_samples!(&self.image.samples, values => {
                let plane = slice_values(self.image, values, self.axis, slice, frame);
                let plane = match self.image.components {
                    1 => plane,
                    components => plane.iter().skip(*channel).step_by(components).copied().collect(),
                };
                let inside = |stored| {
                    let value = match palette {
                        // A mask with a palette is meant as it looks: by its colour, of which red stands for grey too.
                        Some(palette) => palette.get(stored as usize).map_or(0.0, |c| c[*channel] as f64),
                        None => self.real(stored as f64),
                    };
                    ((value > *above) != *inverted).then_some(0)
                };
                let mask = class_masks(h, w, &plane, 1, inside).remove(0);
                vec![(self.found.label_key.clone().unwrap_or_else(|| "1".into()), *label, None, mask)]
            }),
            Method::Instances { label } => with_samples!(&self.image.samples, values => {
                let plane = self.grey_plane(values, slice, frame)?;
                let numbers: Vec<i64> = plane.iter().map(|&stored| self.integer(stored as f64).unwrap_or(-1)).collect();
                let mut objects = Vec::new();
                for (number, mask) in value_masks(h, w, &numbers, 0) {
                    let instance = u32::try_from(number).map_err(|_| Error::UnknownLabel {
                        file: self.file.to_string(), value: number.to_string(), slice, known: "instances 1, 2, 3, …".into(),
                    })?;
                    objects.push((number.to_string(), *label, Some(instance), mask));
                }
                objects
            }),
        };
        let object = |(label_value, label, instance, mask): (String, &Label, Option<u32>, Mask)| ObjectMask {
            label: Label { laterality: self.found.laterality.clone().or(label.laterality.clone()), ..label.clone() },
            label_value,
            instance,
            rater: self.found.rater.clone(),
            rater_rank: self.found.rater_rank,
            mask,
        };
        Ok(masks.into_iter().filter(|(.., mask)| !mask.is_empty()).map(object).collect())
    }

    fn real(&self, stored: f64) -> f64 {
        stored * self.image.scaling.slope + self.image.scaling.intercept
    }

    /// The integer that a stored value means; `None` where it is not near one.
    fn integer(&self, stored: f64) -> Option<i64> {
        let real = self.real(stored);
        let nearest = real.round();
        ((real - nearest).abs() <= LABEL_TOLERANCE).then_some(nearest as i64)
    }

    /// The one value of each pixel of a slice. Colour images that hold a label in each channel must agree with
    /// themselves; alpha does not count.
    fn grey_plane<'v, T: Copy + PartialEq>(
        &self,
        values: &'v [T],
        slice: usize,
        frame: usize,
    ) -> Result<Cow<'v, [T]>, Error> {
        let plane = slice_values(self.image, values, self.axis, slice, frame);
        let components = self.image.components;
        if components == 1 {
            return Ok(plane);
        }
        if components >= 3 && plane.chunks_exact(components).any(|p| p[0] != p[1] || p[1] != p[2]) {
            let reason =
                "it is a colour picture where the spec expects one value for each pixel (red, green and blue differ)";
            return Err(Error::Spec { file: self.file.to_string(), reason: reason.into() });
        }
        Ok(plane.iter().step_by(components).copied().collect())
    }

    fn colour_plane(&self, slice: usize, frame: usize) -> Vec<[u8; 3]> {
        let Samples::U8(values) = &self.image.samples else { return Vec::new() };
        let plane = slice_values(self.image, values, self.axis, slice, frame);
        match &self.image.palette {
            Some(palette) => {
                let entry = |&i: &u8| palette.get(i as usize).map_or([0; 3], |c| [c[0], c[1], c[2]]);
                plane.iter().map(entry).collect()
            }
            None => plane.chunks_exact(self.image.components).map(|p| [p[0], p[1], p[2]]).collect(),
        }
    }

    fn unknown_label(&self, value: String, slice: usize, classes: &[(&str, &Label)]) -> Error {
        let known = classes.iter().map(|(key, label)| format!("{key} ({})", label.name)).collect::<Vec<_>>().join(", ");
        Error::UnknownLabel { file: self.file.to_string(), value, slice, known }
    }
}

fn named<'a>(classes: &[(&'a str, &'a Label)], masks: Vec<Mask>) -> Vec<(String, &'a Label, Option<u32>, Mask)> {
    classes.iter().zip(masks).map(|((key, label), mask)| (key.to_string(), *label, None, mask)).collect()
}

/// `"#ff8000"`.
fn colour(key: &str) -> Option<[u8; 3]> {
    let digits = key.strip_prefix('#').filter(|d| d.len() == 6)?;
    let value = u32::from_str_radix(digits, 16).ok()?;
    Some([(value >> 16) as u8, (value >> 8) as u8, value as u8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Scaling;
    use crate::spec::Absent;

    fn label(name: &str) -> Label {
        Label { name: name.into(), object: "liver".into(), laterality: None, exclude: None }
    }

    fn part(decode: Decode) -> MaskPart {
        MaskPart {
            path: vec!["m".into()],
            decode,
            labels: None,
            label: None,
            label_from: None,
            laterality_from: None,
            stack: None,
            order: Default::default(),
            pair: Default::default(),
            rater: None,
            rater_rank: 0,
            absent: Absent::Unlabelled,
        }
    }

    fn decode(
        decode: Decode,
        table: Option<&LabelTable>,
        image: &Image,
    ) -> Result<Vec<(String, String, Vec<u8>)>, Error> {
        let found = CaseMask {
            part: 0,
            files: vec![0],
            keys: Vec::new(),
            rivals: Vec::new(),
            label: Some(label("organ")),
            label_key: None,
            row: None,
            laterality: None,
            rater: None,
            rater_rank: 0,
        };
        let objects = Decoder::new(&part(decode), table, &found, "m.png", image, Axis::Z)?.objects(0, 0)?;
        Ok(objects.into_iter().map(|o| (o.label.name, o.label_value, o.mask.to_bitmap())).collect())
    }

    fn table(entries: &[(&str, &str)]) -> LabelTable {
        entries.iter().map(|(key, name)| (key.to_string(), label(name))).collect()
    }

    #[test]
    fn values_ranges_and_rounding() {
        let table = table(&[("1", "a"), ("55-70", "b")]);
        let image = Image::picture(4, 1, 1, Samples::F32(vec![0.0, 0.999999, 56.0, 70.0]));
        let found = decode(Decode::Values, Some(&table), &image).unwrap();
        assert_eq!(found, [("a".into(), "1".into(), vec![0, 1, 0, 0]), ("b".into(), "55-70".into(), vec![0, 0, 1, 1])]);
    }

    #[test]
    fn scaled_values_are_labels_after_scaling() {
        let mut image = Image::picture(2, 1, 1, Samples::U8(vec![0, 2]));
        image.scaling = Scaling { slope: 0.49999999, intercept: 0.0 };
        assert_eq!(decode(Decode::Values, Some(&table(&[("1", "a")])), &image).unwrap()[0].2, [0, 1]);
    }

    #[test]
    fn unknown_values_are_named() {
        let image = Image::picture(2, 1, 1, Samples::U8(vec![0, 7]));
        let error = decode(Decode::Values, Some(&table(&[("1", "a")])), &image).unwrap_err().to_string();
        assert_eq!(error, "m.png: label value 7 in slice 0 is not in the spec, which knows 1 (a)");
    }

    #[test]
    fn palettes_are_read_by_colour_and_never_by_alpha() {
        let mut image = Image::picture(3, 1, 1, Samples::U8(vec![0, 1, 1]));
        image.palette = Some(vec![[4, 2, 4, 255], [252, 254, 252, 255]]);
        let binary = Decode::Binary { above: 127.0, inverted: false };
        assert_eq!(decode(binary.clone(), None, &image).unwrap()[0].2, [0, 1, 1]);
        let rgba = Image::picture(2, 1, 4, Samples::U8(vec![0, 0, 0, 255, 255, 0, 0, 255]));
        assert_eq!(decode(binary, None, &rgba).unwrap()[0].2, [0, 1]);
        let coloured = table(&[("#fcfefc", "a"), ("#040204", "b")]);
        assert_eq!(decode(Decode::Colours, Some(&coloured), &image).unwrap().len(), 2);
    }

    #[test]
    fn inverted_masks_and_single_channels() {
        let image = Image::picture(2, 1, 1, Samples::U8(vec![0, 255]));
        let inverted = Decode::Binary { above: 127.0, inverted: true };
        assert_eq!(decode(inverted, None, &image).unwrap()[0].2, [1, 0]);
        let rgb = Image::picture(2, 1, 3, Samples::U8(vec![0, 250, 0, 250, 0, 0]));
        assert_eq!(decode(Decode::Channel { channel: 1, above: 240.0 }, None, &rgb).unwrap()[0].2, [1, 0]);
        assert!(decode(Decode::Channel { channel: 1, above: 240.0 }, None, &image).is_err());
    }

    #[test]
    fn colour_label_maps_must_agree_with_themselves() {
        let same = Image::picture(2, 1, 3, Samples::U8(vec![0, 0, 0, 20, 20, 20]));
        assert_eq!(decode(Decode::Values, Some(&table(&[("20", "a")])), &same).unwrap()[0].2, [0, 1]);
        let other = Image::picture(2, 1, 3, Samples::U8(vec![0, 0, 0, 20, 21, 20]));
        assert!(decode(Decode::Values, Some(&table(&[("20", "a")])), &other).is_err());
    }

    #[test]
    fn instances_are_masks_of_their_own() {
        let image = Image::picture(4, 1, 1, Samples::I16(vec![0, 3, 1, 3]));
        let found = decode(Decode::Instances, None, &image).unwrap();
        assert_eq!(
            found.iter().map(|f| (f.1.as_str(), f.2.clone())).collect::<Vec<_>>(),
            [("1", vec![0, 0, 1, 0]), ("3", vec![0, 1, 0, 1])]
        );
    }
}
