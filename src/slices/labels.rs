//! From values of a mask file to objects: every encoding of masks (see [`Decode`]) is converted to run lengths.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::binary::{Census, Silhouette, component, counts_as_it_looks, each_neighbourhood, layers_problem, white_of};
use super::plane::{Axis, slice_size, slice_values};
use super::{Error, ObjectMask};
use crate::image::{Image, Samples};
use crate::mask::label_map::{class_masks, value_masks};
use crate::mask::{Connectivity, Mask};
use crate::sources::CaseMask;
use crate::spec::{Decode, Label, LabelTable, MaskPart, OtherLabels, number_range};
use crate::with_samples;

/// How far a stored float may lie from an integer label (`scl_slope` leaves 0.9999999997 in some files).
const LABEL_TOLERANCE: f64 = 0.01;

/// A mask file that is ready to give the objects of its slices.
pub(super) struct Decoder<'a> {
    file: &'a str,
    /// The file's pixels, of which those that hold one value in several components have one component.
    image: Cow<'a, Image>,
    axis: Axis,
    found: &'a CaseMask,
    method: Method<'a>,
    /// Where the lowest value is white: the sum of a stored value and the one that it looks like.
    turned: Option<f64>,
    other_labels: OtherLabels,
    /// What a user should know of how the file was read, one sentence each.
    pub(super) notes: Vec<String>,
}

enum Method<'a> {
    Values { classes: Vec<(&'a str, &'a Label)>, ranges: Vec<(RangeInclusive<i64>, usize)> },
    Colours { classes: Vec<(&'a str, &'a Label)>, colours: BTreeMap<[u8; 3], usize> },
    Object { label: &'a Label, silhouette: Box<Silhouette<'a>> },
    Instances { label: &'a Label },
}

impl<'a> Decoder<'a> {
    /// Prepares a mask image. `table` is the label table of the part, `file` its name for messages.
    ///
    /// # Errors
    /// A decoding that the image's pixels do not allow: colours of a grey image, one value of a file of layers, one
    /// object of a file that holds several or whose values do not say what is inside.
    pub(super) fn new(
        part: &MaskPart,
        table: Option<&'a LabelTable>,
        found: &'a CaseMask,
        file: &'a str,
        image: &'a Image,
        axis: Axis,
    ) -> Result<Self, Error> {
        let problem = |reason: String| Error::Spec { file: file.to_string(), reason };
        let one_label = || found.label.as_ref().ok_or_else(|| problem("the spec has no label for the objects".into()));
        let table = || table.ok_or_else(|| problem("the spec has no label table for the values".into()));
        let object = |silhouette: Result<Silhouette<'a>, String>| {
            Ok::<_, Error>(Method::Object { label: one_label()?, silhouette: Box::new(silhouette.map_err(problem)?) })
        };
        let mut decoder = Decoder {
            file,
            image: Cow::Borrowed(image),
            axis,
            found,
            method: Method::Colours { classes: Vec::new(), colours: BTreeMap::new() },
            turned: None,
            other_labels: part.other_labels,
            notes: Vec::new(),
        };
        decoder.method = match part.decode {
            // A segment of a label map, which was distinguished when it was placed.
            Decode::Values if found.label_key.is_some() => object(Silhouette::new(image, axis, None, false))?,
            Decode::Values => {
                let classes: Vec<(&str, &Label)> = table()?.iter().map(|(key, label)| (key.as_str(), label)).collect();
                let mut ranges = Vec::new();
                for (class, (key, _)) in classes.iter().enumerate() {
                    let range = number_range(key)
                        .ok_or_else(|| problem(format!("the label table's key {key:?} is not a number")))?;
                    ranges.push((range, class));
                }
                decoder.image = one_value(image).map_err(problem)?;
                let known = |value| ranges.iter().any(|(range, _)| range.contains(&value));
                if let Some(greys) = image.labels_of_palette(&known).map_err(problem)? {
                    decoder.notes.push(
                        "the labels of a mask are the grey levels of its palette, not the \
                        indices"
                            .into(),
                    );
                    decoder.image = Cow::Owned(greys);
                }
                decoder.turn(|value| value == 0 || ranges.iter().any(|(range, _)| range.contains(&value)));
                decoder.count_others(&ranges);
                Method::Values { classes, ranges }
            }
            Decode::Colours => {
                let is_colour = image.components >= 3 && !image.meaning.layers || image.palette.is_some();
                if !is_colour || !matches!(image.samples, Samples::U8(_)) && image.palette.is_none() {
                    return Err(problem(format!(
                        "the spec reads colours, but the file has {} component(s) of {} and no palette",
                        image.components,
                        image.samples.dtype()
                    )));
                }
                let classes: Vec<(&str, &Label)> = table()?.iter().map(|(key, label)| (key.as_str(), label)).collect();
                let mut colours = BTreeMap::new();
                for (class, (key, _)) in classes.iter().enumerate() {
                    let colour = colour(key).ok_or_else(|| {
                        problem(format!(
                            "the label table's key {key:?} is not a colour such as \
                            #ff0000"
                        ))
                    })?;
                    colours.insert(colour, class);
                }
                check_opacity(image, &|c| colours.contains_key(&c)).map_err(problem)?;
                if part.other_labels == OtherLabels::Ignore {
                    decoder.count_other_colours(&colours);
                }
                Method::Colours { classes, colours }
            }
            Decode::Binary { above, inverted } => object(Silhouette::new(image, axis, above, inverted))?,
            Decode::Channel { channel, above } => object(Silhouette::of_channel(image, axis, channel, above))?,
            Decode::Instances => {
                decoder.image = one_value(image).map_err(problem)?;
                if image.meaning.low_is_white && image.bits > 1 {
                    return Err(problem(
                        "the lowest value is white, so the numbering of objects is ambiguous: convert \
                        the file to MinIsBlack"
                            .into(),
                    ));
                }
                image.labels_of_palette(&|_| false).map_err(problem)?;
                decoder.turn(|_| true);
                decoder.check_instances().map_err(problem)?;
                Method::Instances { label: one_label()? }
            }
            // Read to zeros and ones.
            Decode::RleTable { .. } | Decode::Segments => object(Silhouette::new(image, axis, None, false))?,
        };
        if let Method::Object { silhouette, .. } = &mut decoder.method {
            decoder.notes.append(&mut silhouette.notes);
        }
        Ok(decoder)
    }

    /// Makes values count as they look where the lowest is white, if the spec knows them so; else they count as stored.
    fn turn(&mut self, known: impl Fn(i64) -> bool) {
        if !self.image.meaning.low_is_white || self.image.palette.is_some() {
            return;
        }
        let census = Census::of(&self.image);
        self.turned = white_of(census.low, census.high, self.image.bits);
        let all_known = census.stored().all(|(stored, _)| self.integer(stored).is_some_and(&known));
        if self.turned.is_some() && all_known {
            self.notes.push(counts_as_it_looks(&self.image, census.high));
        } else {
            self.turned = None;
            self.notes.push(
                "the lowest value of a mask is displayed as white; its labels are the stored \
                values"
                    .into(),
            );
        }
    }

    /// Refuses a file whose values do not number objects: scattered ones, as JPEG leaves them, no background, or one
    /// value for objects that lie apart.
    fn check_instances(&mut self) -> Result<(), String> {
        let census = Census::of(&self.image);
        let stored: Vec<(f64, u64)> = census.stored().collect();
        let background = |stored: f64| self.shown(stored) == 0.0;
        let inside: u64 = stored.iter().filter(|(v, _)| !background(*v)).map(|(_, n)| n).sum();
        let mut alone = 0;
        each_neighbourhood(
            &self.image,
            self.axis,
            |v| !background(v),
            |v, around, _| {
                alone += u64::from(!around.contains(&v));
            },
        );
        // Objects of one pixel are rare among those of more.
        if alone > 200 || alone > 20 && alone * 20 > inside {
            return Err(format!(
                "{alone} of the {inside} pixels have a number that no neighbour has: not a map of numbered objects, or \
                 compressed with loss"
            ));
        }
        if let [(value, _)] = stored.iter().filter(|(v, _)| !background(*v)).collect::<Vec<_>>()[..]
            && [255.0, 65535.0].contains(&self.shown(*value))
            && let Some(pieces) = self.pieces(*value)
        {
            return Err(format!(
                "the only value besides 0 is {}, but there are {pieces} separate objects: number them first \
                 (`scipy.ndimage.label`), or read them as one with decode = {{ kind = \"binary\" }}",
                self.shown(*value)
            ));
        }
        if inside > 0 && !stored.iter().any(|(v, _)| background(*v)) {
            let (value, share) = self.border();
            if share > 0.5 {
                return Err(format!(
                    "no background of 0, and {value} is the value along most of the border: if it is the background, \
                     write 0 instead"
                ));
            }
            self.notes.push(format!("a mask has no background of 0; the most frequent value at its border is {value}"));
        }
        Ok(())
    }

    /// How many parts a value has in the first slice that it has several in.
    fn pieces(&self, value: f64) -> Option<u32> {
        let (height, width, slices) = slice_size(&self.image, self.axis);
        let slices = (0..self.image.size[3]).flat_map(|frame| (0..slices).map(move |slice| (slice, frame)));
        let mut counts = slices.map(|(slice, frame)| {
            with_samples!(&self.image.samples, values => {
                let plane = slice_values(&self.image, values, self.axis, slice, frame);
                let mask = Mask::from_predicate(height as u32, width as u32, |i| plane[i] as f64 == value);
                mask.component_count(Connectivity::Eight)
            })
        });
        counts.find(|&count| count > 1)
    }

    /// The value that is most frequent at the border of slices, and its share there.
    fn border(&self) -> (f64, f64) {
        let (height, width, slices) = slice_size(&self.image, self.axis);
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        for (slice, frame) in (0..self.image.size[3]).flat_map(|frame| (0..slices).map(move |slice| (slice, frame))) {
            with_samples!(&self.image.samples, values => {
                let plane = slice_values(&self.image, values, self.axis, slice, frame);
                for (i, &value) in plane.iter().enumerate() {
                    let (row, column) = (i / width, i % width);
                    if row == 0 || column == 0 || row + 1 == height || column + 1 == width {
                        *counts.entry(self.shown(value as f64).round() as i64).or_default() += 1;
                    }
                }
            });
        }
        let all: u64 = counts.values().sum();
        let most = counts.into_iter().max_by_key(|&(value, n)| (n, -value)).unwrap_or_default();
        (most.0 as f64, most.1 as f64 / all.max(1) as f64)
    }

    /// Notes how many voxels have values that the table does not have, where they are background.
    fn count_others(&mut self, ranges: &[(RangeInclusive<i64>, usize)]) {
        if self.other_labels != OtherLabels::Ignore {
            return;
        }
        let other = |(stored, _): &(f64, u64)| {
            let value = self.integer(*stored);
            value != Some(0) && !value.is_some_and(|v| ranges.iter().any(|(range, _)| range.contains(&v)))
        };
        let others: Vec<(f64, u64)> = Census::of(&self.image).stored().filter(other).collect();
        let words = others.iter().map(|&(stored, n)| format!("{} ({n})", self.shown(stored)));
        self.note_others(words.collect());
    }

    fn count_other_colours(&mut self, known: &BTreeMap<[u8; 3], usize>) {
        let mut counts: BTreeMap<[u8; 3], u64> = BTreeMap::new();
        let [_, _, _, frames] = self.image.size;
        for frame in 0..frames {
            for slice in 0..slice_size(&self.image, self.axis).2 {
                for run in self.colour_plane(slice, frame).chunk_by(|a, b| a == b) {
                    if run[0] != [0; 3] && !known.contains_key(&run[0]) {
                        *counts.entry(run[0]).or_default() += run.len() as u64;
                    }
                }
            }
        }
        self.note_others(counts.iter().map(|([r, g, b], n)| format!("#{r:02x}{g:02x}{b:02x} ({n})")).collect());
    }

    fn note_others(&mut self, words: Vec<String>) {
        const NAMED: usize = 20;
        if words.is_empty() {
            return;
        }
        let more = if words.len() > NAMED { format!(" and {} more", words.len() - NAMED) } else { String::new() };
        let named = words[..words.len().min(NAMED)].join(", ");
        self.notes.push(format!("labels ignored by the spec, with their voxel counts: {named}{more}"));
    }

    /// The objects of one slice, in the order of the label table; objects that do not occur are not there.
    ///
    /// # Errors
    /// A value that the table does not have.
    pub(super) fn objects(&self, slice: usize, frame: usize) -> Result<Vec<ObjectMask>, Error> {
        let (height, width, _) = slice_size(&self.image, self.axis);
        let (h, w) = (height as u32, width as u32);
        let refuses = self.other_labels == OtherLabels::Refuse;
        let masks: Vec<(String, &Label, Option<u32>, Mask)> = match &self.method {
            Method::Values { classes, ranges } => with_samples!(&self.image.samples, values => {
                let plane = slice_values(&self.image, values, self.axis, slice, frame);
                let mut unknown = None;
                let class_of = |stored| {
                    let value = self.integer(stored as f64);
                    let class = value.and_then(|v| ranges.iter().find(|(range, _)| range.contains(&v)));
                    if class.is_none() && value != Some(0) {
                        unknown.get_or_insert(self.shown(stored as f64));
                    }
                    class.map(|(_, class)| *class)
                };
                let masks = class_masks(h, w, &plane, classes.len(), class_of);
                if let Some(value) = unknown.filter(|_| refuses) {
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
                if let Some([r, g, b]) = unknown.filter(|_| refuses) {
                    return Err(self.unknown_label(format!("#{r:02x}{g:02x}{b:02x}"), slice, classes));
                }
                named(classes, masks)
            }
            Method::Object { label, silhouette } => {
                let mask = silhouette.mask(self.axis, slice, frame);
                vec![(self.found.label_key.clone().unwrap_or_else(|| "1".into()), *label, None, mask)]
            }
            Method::Instances { label } => with_samples!(&self.image.samples, values => {
                let plane = slice_values(&self.image, values, self.axis, slice, frame);
                let not_an_instance = |value: String| Error::UnknownLabel {
                    file: self.file.to_string(), value, slice, known: "instances 1, 2, 3, …".into(),
                };
                let number = |&stored: &_| {
                    self.integer(stored as f64).ok_or_else(|| not_an_instance(self.shown(stored as f64).to_string()))
                };
                let numbers: Vec<i64> = plane.iter().map(number).collect::<Result<_, _>>()?;
                let mut objects = Vec::new();
                for (number, mask) in value_masks(h, w, &numbers, 0) {
                    let instance = u32::try_from(number).map_err(|_| not_an_instance(number.to_string()))?;
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

    /// The real value that a stored one looks like.
    fn shown(&self, stored: f64) -> f64 {
        let stored = self.turned.map_or(stored, |sum| sum - stored);
        stored * self.image.scaling.slope + self.image.scaling.intercept
    }

    /// The integer that a stored value means; `None` where it is not near one.
    fn integer(&self, stored: f64) -> Option<i64> {
        let real = self.shown(stored);
        let nearest = real.round();
        ((real - nearest).abs() <= LABEL_TOLERANCE).then_some(nearest as i64)
    }

    fn colour_plane(&self, slice: usize, frame: usize) -> Vec<[u8; 3]> {
        if let Some(palette) = &self.image.palette {
            let entry = |index: usize| palette.get(index).map_or([0; 3], |c| [c[0], c[1], c[2]]);
            return with_samples!(&self.image.samples, values => {
                let plane = slice_values(&self.image, values, self.axis, slice, frame);
                plane.iter().map(|&index| entry(index as usize)).collect()
            });
        }
        let Samples::U8(values) = &self.image.samples else { return Vec::new() };
        let plane = slice_values(&self.image, values, self.axis, slice, frame);
        plane.chunks_exact(self.image.components).map(|p| [p[0], p[1], p[2]]).collect()
    }

    fn unknown_label(&self, value: String, slice: usize, classes: &[(&str, &Label)]) -> Error {
        let known = classes.iter().map(|(key, label)| format!("{key} ({})", label.name)).collect::<Vec<_>>().join(", ");
        Error::UnknownLabel { file: self.file.to_string(), value, slice, known }
    }
}

/// Refuses a mask that viewers turn and whose image they do not turn alike. Pixels are laid on pixels as they are
/// stored, so such a mask would lie elsewhere than where it is seen. An image with a tag whose mask has none is paired,
/// with the note of its reader: most programs draw masks on stored pixels and write no tag.
///
/// # Errors
/// Both tags, and what to do.
pub(super) fn same_orientation(image: &Image, mask: &Image) -> Result<(), String> {
    let (size, turned) = (&image.size, [image.size[1], image.size[0]]);
    match (mask.meaning.orientation, image.meaning.orientation) {
        (None, Some(tag @ 5..=8)) if mask.size[..2] == turned && size[0] != size[1] => Err(format!(
            "the mask has {} x {} pixels, the image {} x {} with orientation tag {tag}, which makes viewers rotate it: \
             the mask was drawn on the rotated image. Apply the tag to the pixels of the image, or rotate the mask back",
            turned[0], turned[1], size[0], size[1]
        )),
        (None, _) => Ok(()),
        (a, b) if a == b => Ok(()),
        (Some(tag), other) => {
            let other = other.map_or("no such tag".into(), |tag| format!("the tag {tag}"));
            let size = match (tag, mask.size[..2] == [image.size[1], image.size[0]]) {
                (5..=8, true) if image.size[0] != image.size[1] => {
                    " (rotated by the tag, it has the size of the \
                    image)"
                }
                _ => "",
            };
            Err(format!(
                "orientation tag {tag} makes viewers rotate or mirror the mask, but the image has {other}{size}: apply \
                 the tag to the pixels of the mask, or remove it if they are oriented like the image"
            ))
        }
    }
}

/// The image with one value for each pixel. Colour pictures that hold a label in each channel must agree with
/// themselves; opacity does not count, unless nothing else is there.
fn one_value(image: &Image) -> Result<Cow<'_, Image>, String> {
    let components = image.components;
    if components == 1 {
        return Ok(Cow::Borrowed(image));
    }
    if image.meaning.layers {
        return Err(layers_problem(components));
    }
    check_opacity(image, &|_| false)?;
    let differ = with_samples!(&image.samples, values => {
        components >= 3 && values.chunks_exact(components).any(|p| p[0] != p[1] || p[1] != p[2])
    });
    if differ {
        return Err("a colour image, but the spec expects one value per pixel (red, green and blue differ)".into());
    }
    Ok(Cow::Owned(component(image, 0)))
}

/// Refuses opacity that says what colours do not: all that there is to see, or that hides a colour that is a label.
fn check_opacity(image: &Image, is_label: &dyn Fn([u8; 3]) -> bool) -> Result<(), String> {
    let n = image.components;
    if !matches!(n, 2 | 4) {
        return Ok(());
    }
    let (only_opacity, hides) = with_samples!(&image.samples, values => {
        let mut pixels = values.chunks_exact(n);
        let Some(first) = pixels.next() else { return Ok(()) };
        let (colour, opacity) = (&first[..n - 1], first[n - 1]);
        let varies = values.chunks_exact(n).any(|p| p[n - 1] != opacity);
        let one_colour = varies && values.chunks_exact(n).all(|p| p[..n - 1] == *colour);
        let hidden = |p: &[_]| n == 4 && p[3] as f64 == 0.0 && is_label([p[0] as u8, p[1] as u8, p[2] as u8]);
        (one_colour, varies && values.chunks_exact(n).any(hidden))
    });
    if only_opacity {
        return Err(format!(
            "all pixels have the same colour and only the opacity varies: read it with decode = {{ kind = \"channel\", \
             channel = {}, above = 127 }}",
            n - 1
        ));
    }
    if hides {
        return Err(
            "some pixels have the colour of a label and are fully transparent, so colour and opacity contradict each \
             other"
                .into(),
        );
    }
    Ok(())
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
            other_labels: OtherLabels::Refuse,
            pair: Default::default(),
            pair_reason: None,
            rater: None,
            rater_rank: 0,
            absent: Absent::Unlabelled,
        }
    }

    fn case_mask() -> CaseMask {
        CaseMask {
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
        }
    }

    fn decode(
        decode: Decode,
        table: Option<&LabelTable>,
        image: &Image,
    ) -> Result<Vec<(String, String, Vec<u8>)>, Error> {
        let found = case_mask();
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
        assert_eq!(error, "m.png: label value 7 in slice 0 is not in the spec, which has 1 (a)");
    }

    #[test]
    fn palettes_are_read_by_colour_and_never_by_alpha() {
        let mut image = Image::picture(3, 1, 1, Samples::U8(vec![0, 1, 1]));
        image.palette = Some(vec![[4, 2, 4, 255], [252, 254, 252, 255]]);
        let binary = Decode::Binary { above: Some(127.0), inverted: false };
        assert_eq!(decode(binary.clone(), None, &image).unwrap()[0].2, [0, 1, 1]);
        let rgba = Image::picture(2, 1, 4, Samples::U8(vec![0, 0, 0, 255, 255, 0, 0, 255]));
        assert_eq!(decode(binary, None, &rgba).unwrap()[0].2, [0, 1]);
        let coloured = table(&[("#fcfefc", "a"), ("#040204", "b")]);
        assert_eq!(decode(Decode::Colours, Some(&coloured), &image).unwrap().len(), 2);
    }

    #[test]
    fn inverted_masks_and_single_channels() {
        let image = Image::picture(2, 1, 1, Samples::U8(vec![0, 255]));
        let inverted = Decode::Binary { above: Some(127.0), inverted: true };
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
    fn other_labels_are_ignored_and_counted_where_the_spec_says_so() {
        let ignoring = |decode| MaskPart { other_labels: OtherLabels::Ignore, ..part(decode) };
        let found = case_mask();
        let labels = table(&[("1", "a")]);
        let image = Image::picture(4, 1, 1, Samples::U8(vec![1, 7, 7, 9]));
        let decoder = Decoder::new(&ignoring(Decode::Values), Some(&labels), &found, "m", &image, Axis::Z).unwrap();
        assert_eq!(decoder.notes, ["labels ignored by the spec, with their voxel counts: 7 (2), 9 (1)"]);
        assert_eq!(decoder.objects(0, 0).unwrap().len(), 1);
        let labels = table(&[("#ff0000", "a")]);
        let image = Image::picture(3, 1, 3, Samples::U8(vec![255, 0, 0, 0, 0, 0, 0, 0, 255]));
        let decoder = Decoder::new(&ignoring(Decode::Colours), Some(&labels), &found, "m", &image, Axis::Z).unwrap();
        assert_eq!(decoder.notes, ["labels ignored by the spec, with their voxel counts: #0000ff (1)"]);
        assert_eq!(decoder.objects(0, 0).unwrap().len(), 1);
    }

    #[test]
    fn the_lowest_value_may_be_white() {
        let mut image = Image::picture(3, 1, 1, Samples::U8(vec![0, 1, 1]));
        (image.bits, image.meaning.low_is_white) = (1, true);
        assert_eq!(decode(Decode::Values, Some(&table(&[("1", "a")])), &image).unwrap()[0].2, [1, 0, 0]);
        // A map of labels keeps the numbers that the spec knows.
        let mut image = Image::picture(3, 1, 1, Samples::U8(vec![0, 1, 2]));
        image.meaning.low_is_white = true;
        let labels = table(&[("1", "a"), ("2", "b")]);
        assert_eq!(decode(Decode::Values, Some(&labels), &image).unwrap()[1].2, [0, 0, 1]);
    }

    #[test]
    fn layers_and_opacity_are_no_labels() {
        let mut layers = Image::picture(2, 1, 2, Samples::U8(vec![1, 0, 0, 1]));
        let labels = table(&[("1", "a")]);
        let error = |image: &Image| decode(Decode::Values, Some(&labels), image).unwrap_err().to_string();
        assert!(error(&Image::picture(2, 1, 2, Samples::U8(vec![0, 0, 0, 255]))).contains("only the opacity varies"));
        layers.meaning.layers = true;
        assert!(error(&layers).contains("2 layers"));
        assert!(decode(Decode::Instances, None, &layers).is_err());
        let opaque = Image::picture(2, 1, 2, Samples::U8(vec![1, 255, 0, 255]));
        assert_eq!(decode(Decode::Values, Some(&labels), &opaque).unwrap()[0].2, [1, 0]);
    }

    #[test]
    fn a_mask_that_viewers_turn_otherwise_than_its_image_is_refused() {
        let tagged = |orientation| {
            let mut image = Image::picture(2, 3, 1, Samples::U8(vec![0; 6]));
            image.meaning.orientation = orientation;
            image
        };
        assert!(same_orientation(&tagged(None), &tagged(None)).is_ok());
        assert!(same_orientation(&tagged(Some(6)), &tagged(None)).is_ok());
        assert!(same_orientation(&tagged(Some(3)), &tagged(Some(3))).is_ok());
        let error = same_orientation(&tagged(None), &tagged(Some(3))).unwrap_err();
        assert!(error.contains("orientation tag 3") && error.contains("no such tag"), "{error}");
    }

    #[test]
    fn a_mask_that_was_drawn_on_the_turned_image_says_so() {
        let mut image = Image::picture(3, 2, 1, Samples::U8(vec![0; 6]));
        image.meaning.orientation = Some(6);
        let mask = Image::picture(2, 3, 1, Samples::U8(vec![0; 6]));
        assert!(same_orientation(&image, &mask).unwrap_err().contains("drawn on the rotated image"));
        image.meaning.orientation = Some(3);
        assert!(same_orientation(&image, &mask).is_ok());
    }

    #[test]
    fn values_that_number_nothing_are_no_instances() {
        let error = |of: &dyn Fn(usize, usize) -> u8| {
            let values: Vec<u8> = (0..32 * 32).map(|i| of(i % 32, i / 32)).collect();
            decode(Decode::Instances, None, &Image::picture(32, 32, 1, values.into())).err().map(|e| e.to_string())
        };
        let square = |x: usize, y: usize| {
            let part = |v: usize| (3..12).contains(&v) as u8 + 2 * (18..28).contains(&v) as u8;
            if part(x) == 0 || part(y) == 0 { 0 } else { 3 * part(x) + part(y) }
        };
        assert_eq!(error(&square), None);
        let noisy = |x: usize, y: usize| {
            if square(x, y) > 0 { square(x, y) * 9 + ((x * 31 + y * 17) * (x + y + 3) / 3 % 7) as u8 } else { 0 }
        };
        assert!(error(&noisy).unwrap().contains("compressed with loss"));
        assert!(error(&|x, y| square(x, y) + 1).unwrap().contains("1 is the value along most of the border"));
        assert!(error(&|x, y| (square(x, y) > 0) as u8 * 255).unwrap().contains("number them first"));
        assert_eq!(error(&|x, y| (square(x, y) == 4) as u8 * 255), None);
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
