//! Slices to volumes: order, spacing and frame of a series, and of the frames of a multi-frame instance.
//!
//! The truth about a slice is Image Position (Patient) along the normal of Image Orientation (Patient). Numbers and
//! file names follow it, run against it (CHAOS), or say nothing. Which order a source's masks follow is the caller's to
//! know: [`SliceOrder`]. Masks that are DICOM themselves are paired by position: [`positions`], [`match_positions`].

use super::header::Header;
use super::multiframe::{frames_by_position, slice_positions};
use super::stack::{Plane, Positions, SAME_POSITION, same_orientation, stack};
use super::{FORMAT, Instance, malformed, unsupported};
use crate::formats::{Error, Result, listed};
use crate::image::{Image, Samples, Scaling, palette_difference};
use crate::with_samples;

/// Which slice comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceOrder {
    /// By position along the slice normal, ascending (for axial slices from feet to head).
    Position,
    /// As given.
    File,
    /// By Instance Number, ascending.
    InstanceNumber,
}

/// A volume made of instances, and where each of its slices comes from.
#[derive(Clone, Debug)]
pub struct Series {
    /// The volume: slices along z (frames of a single multi-frame instance as [`read`](super::read) places them).
    pub image: Image,
    /// For each slice along z the index of its instance as given to [`assemble`]; `[0]` for a multi-frame instance.
    pub order: Vec<usize>,
    /// Where each slice along z lies, where all slices say.
    pub positions: Option<Positions>,
}

/// Order of instances: indices into `slices`, each a label for messages and the facts.
///
/// # Errors
/// [`Malformed`](crate::formats::Error::Malformed) where a slice lacks what it is to be sorted by, or where two share a
/// position or number: two series, a repeated download, or a series of volumes over time that must be taken apart
/// first.
pub fn slice_order(slices: &[(&str, &Header)], order: SliceOrder) -> Result<Vec<usize>> {
    let mut indices: Vec<usize> = (0..slices.len()).collect();
    let (keys, what, tolerance) = match order {
        SliceOrder::File => return Ok(indices),
        SliceOrder::Position => {
            (keys(slices, "a position and an orientation", Header::location)?, "position", SAME_POSITION)
        }
        SliceOrder::InstanceNumber => {
            (keys(slices, "an Instance Number", |h| h.instance_number.map(|n| n as f64))?, "Instance Number", 0.0)
        }
    };
    indices.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
    for pair in indices.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        if keys[b] - keys[a] <= tolerance {
            return Err(apart(format!(
                "{} and {} share the {what} {}: not one volume",
                named(slices, a),
                named(slices, b),
                keys[a]
            )));
        }
    }
    Ok(indices)
}

fn apart(reason: String) -> Error {
    Error::NotTogether { format: FORMAT, reason }
}

fn keys(slices: &[(&str, &Header)], what: &str, key: impl Fn(&Header) -> Option<f64>) -> Result<Vec<f64>> {
    (0..slices.len())
        .map(|i| key(slices[i].1).ok_or_else(|| apart(format!("{} lacks {what} to sort by", named(slices, i)))))
        .collect()
}

/// The label of a slice, or its number where it has none.
fn named(slices: &[(&str, &Header)], index: usize) -> String {
    match slices[index].0 {
        "" => format!("instance {index}"),
        label => format!("{label:?}"),
    }
}

/// Position of each instance along its slice normal in millimetres, in the order given.
///
/// # Errors
/// Where an instance has no position or orientation; `labels` are as in [`slice_order`].
pub fn positions(slices: &[(&str, &Header)]) -> Result<Vec<f64>> {
    keys(slices, "a position and an orientation", Header::location)
}

/// For each image slice the index of the mask slice at its position, `None` where there is none within `tolerance`
/// millimetres. Masks may be more than slices, fewer, and in another order; both must have the same orientation.
pub fn match_positions(images: &[f64], masks: &[f64], tolerance: f64) -> Vec<Option<usize>> {
    let nearest = |position: f64| {
        let distance = |&i: &usize| (masks[i] - position).abs();
        let best = (0..masks.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
        (distance(&best) <= tolerance).then_some(best)
    };
    images.iter().map(|&position| nearest(position)).collect()
}

/// Stacks instances to a volume; a single multi-frame instance is returned as it is.
///
/// The step along z is the median distance between positions, never Slice Thickness where there are positions; the
/// affine follows the order of the slices, so that a stack from head to feet has its z axis pointing to the feet, and
/// a tilted gantry gives a sheared affine. A note says where steps vary by more than a percent, where Slice Thickness
/// is another length, and where no frame could be made. Slices that differ in rescale (PET) are converted to real
/// values as `f32`, slices of different integer types (I2CVB's masks: empty ones are 16-bit) to one that holds all,
/// with a note.
///
/// # Errors
/// Those of [`slice_order`]; [`NotTogether`](crate::formats::Error::NotTogether) where slices differ in size,
/// components, sample type, orientation or pixel spacing, naming the first and the one that differs;
/// [`Unsupported`](crate::formats::Error::Unsupported) for several multi-frame instances.
pub fn assemble(mut instances: Vec<Instance>, order: SliceOrder) -> Result<Series> {
    if instances.is_empty() {
        return Err(malformed("a series without instances"));
    }
    if instances.len() == 1 && instances[0].header.frames > 1 {
        let Instance { header, image, .. } = instances.remove(0);
        let (image, positions) = match order {
            SliceOrder::Position => frames_by_position(&header, image),
            SliceOrder::File | SliceOrder::InstanceNumber => (image, slice_positions(&header)),
        };
        return Ok(Series { image, order: vec![0], positions });
    }
    let given = instances.len();
    let (instances, kept) = without_repeats(instances);
    one_series(&instances)?;
    let slices: Vec<(&str, &Header)> = instances.iter().map(|i| (i.label.as_str(), &i.header)).collect();
    if let Some(i) = slices.iter().position(|(_, h)| h.frames > 1) {
        return Err(unsupported(format!(
            "{} has {} frames: it is a separate volume",
            named(&slices, i),
            slices[i].1.frames
        )));
    }
    let order = slice_order(&slices, order)?;
    for &index in &order[1..] {
        if let Some(difference) = difference(&instances[order[0]], &instances[index]) {
            let (first, other) = (named(&slices, order[0]), named(&slices, index));
            let reason = format!("{first} and {other} do not belong to one volume: {difference}");
            return Err(apart(reason));
        }
    }
    let headers: Vec<&Header> = order.iter().map(|&i| &instances[i].header).collect();
    let planes: Vec<Plane> = headers.iter().map(|h| Plane::of(h)).collect();
    let reordered = !order.is_sorted();
    let positions = Positions::of(&planes, headers[0]).map(|positions| Positions { reordered, ..positions });
    let (geometry, stack_notes) = stack(&planes, headers[0]);

    let mut notes: Vec<String> = Vec::new();
    if kept.len() < given {
        notes.push(format!(
            "{} file(s) of the series are duplicates with equal pixels: one of each is used",
            given - kept.len()
        ));
    }
    let all_notes = order.iter().flat_map(|&i| &instances[i].image.notes).cloned().chain(stack_notes);
    for note in all_notes {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    let scalings: Vec<Scaling> = order.iter().map(|&i| instances[i].image.scaling).collect();
    let paddings: Vec<Option<[f64; 2]>> = order.iter().map(|&i| instances[i].image.meaning.padding).collect();
    let one_rescale = scalings.iter().all(|s| *s == scalings[0]);
    let bits = instances.iter().map(|i| i.image.bits).max().unwrap_or(8);
    let types: Option<Vec<_>> = instances.iter().map(|i| integer_type(&i.image.samples)).collect();
    let wider = types.filter(|t| t.windows(2).any(|w| w[0] != w[1])).map(|t| common_type(&t));
    let mut parts: Vec<Option<Samples>> = Vec::with_capacity(instances.len());
    let mut template: Option<Image> = None;
    for (i, Instance { image, .. }) in instances.into_iter().enumerate() {
        let Image { samples, .. } = image;
        if i == order[0] {
            template = Some(Image { samples: Samples::U8(Vec::new()), ..image });
        }
        parts.push(Some(samples));
    }
    let ordered = order.iter().filter_map(|&i| parts[i].take());
    let (samples, scaling) = match (one_rescale, wider) {
        (false, _) => {
            notes.push("the rescale differs between slices: samples are converted to real values".into());
            (real_values(ordered.zip(&scalings)), Scaling::IDENTITY)
        }
        (true, None) => (join(ordered)?, scalings[0]),
        (true, Some(wider)) => {
            let samples = join(ordered.map(|part| widened(part, wider)))?;
            notes.push(format!("slices are stored in several integer types and converted to {}", samples.dtype()));
            (samples, scalings[0])
        }
    };
    let template = template.ok_or_else(|| malformed("a series without instances"))?;
    let [width, height, ..] = template.size;
    let bits = if one_rescale { bits } else { 32 };
    let mut meaning = template.meaning;
    if !one_rescale || paddings.iter().any(|p| *p != paddings[0]) {
        if paddings.iter().any(Option::is_some) {
            notes.push(
                "the padding value or its rescale differs between slices: it is treated as an ordinary \
                value"
                    .into(),
            );
        }
        meaning.padding = None;
    }
    let image =
        Image { size: [width, height, order.len(), 1], samples, bits, scaling, geometry, meaning, notes, ..template };
    let order = order.into_iter().map(|index| kept[index]).collect();
    Ok(Series { image, order, positions })
}

/// The instances without those that are another one again, number, position and pixels, and for each that stays its
/// place among those given.
fn without_repeats(instances: Vec<Instance>) -> (Vec<Instance>, Vec<usize>) {
    let (mut stay, mut places): (Vec<Instance>, Vec<usize>) = (Vec::new(), Vec::new());
    for (place, instance) in instances.into_iter().enumerate() {
        let again = |other: &&Instance| {
            let (a, b) = (&other.header, &instance.header);
            a.sop_instance == b.sop_instance
                && (a.position, a.instance_number) == (b.position, b.instance_number)
                && other.image.samples == instance.image.samples
        };
        let named = !instance.header.sop_instance.is_empty();
        if !(named && stay.iter().any(|other| again(&other))) {
            stay.push(instance);
            places.push(place);
        }
    }
    (stay, places)
}

/// Refuses several series in one stack. Anonymised files may each have a UID of their own, which says nothing.
fn one_series(instances: &[Instance]) -> Result<()> {
    for (what, uid) in [
        ("Series Instance UID", (|h: &Header| h.series.clone()) as fn(&Header) -> Option<String>),
        ("Frame of Reference UID", |h| h.frame_of_reference.clone()),
    ] {
        let mut groups: Vec<(Option<String>, &str, usize)> = Vec::new();
        for Instance { header, label, .. } in instances {
            let uid = uid(header);
            match groups.iter_mut().find(|group| group.0 == uid) {
                Some(group) => group.2 += 1,
                None => groups.push((uid, label, 1)),
            }
        }
        groups.retain(|group| group.0.is_some());
        if groups.len() > 1 && groups.iter().any(|group| group.2 > 1) {
            let named: Vec<String> =
                groups.iter().take(3).map(|(_, label, files)| format!("{files} file(s) such as {label:?}")).collect();
            return Err(apart(format!(
                "the files belong to {} or more series, by their {what}: {}; distinguish them in the image pattern, or \
                 put each into a folder",
                groups.len(),
                named.join(", ")
            )));
        }
    }
    Ok(())
}

/// What keeps two slices from being of one volume.
fn difference(a: &Instance, b: &Instance) -> Option<String> {
    let (ha, hb) = (&a.header, &b.header);
    if (ha.columns, ha.rows) != (hb.columns, hb.rows) {
        return Some(format!("{} x {} and {} x {} pixels", ha.columns, ha.rows, hb.columns, hb.rows));
    }
    if a.image.components != b.image.components || ha.bright_is_dark() != hb.bright_is_dark() {
        return Some(format!("{} and {}", ha.photometric, hb.photometric));
    }
    let (ta, tb) = (integer_type(&a.image.samples), integer_type(&b.image.samples));
    if a.image.samples.dtype() != b.image.samples.dtype() && (ta.is_none() || tb.is_none()) {
        return Some(format!("samples of {} and {}", a.image.samples.dtype(), b.image.samples.dtype()));
    }
    if a.image.palette != b.image.palette {
        return Some(palette_difference(a.image.palette.as_deref(), b.image.palette.as_deref()));
    }
    if let (Some(oa), Some(ob)) = (ha.orientation, hb.orientation)
        && !same_orientation(oa, ob)
    {
        let describe = |o: [[f64; 3]; 2]| o.map(|v| listed(&v)).join(", ");
        return Some(format!("orientations {} and {}", describe(oa), describe(ob)));
    }
    if let (Some([ra, ca]), Some([rb, cb])) = (ha.pixel_spacing, hb.pixel_spacing)
        && ((ra - rb).abs() > 1e-3 * ra || (ca - cb).abs() > 1e-3 * ca)
    {
        return Some(format!("pixel spacings {ra} x {ca} mm and {rb} x {cb} mm"));
    }
    None
}

/// Sign and width of an integer type that pixel cells can have.
fn integer_type(samples: &Samples) -> Option<(bool, usize)> {
    match samples {
        Samples::U8(_) => Some((false, 8)),
        Samples::U16(_) => Some((false, 16)),
        Samples::U32(_) => Some((false, 32)),
        Samples::I8(_) => Some((true, 8)),
        Samples::I16(_) => Some((true, 16)),
        Samples::I32(_) => Some((true, 32)),
        _ => None,
    }
}

/// The narrowest integer type that holds all of several.
fn common_type(types: &[(bool, usize)]) -> (bool, usize) {
    let signed = types.iter().any(|t| t.0);
    let needed = types.iter().map(|&(s, width)| if signed && !s { 2 * width } else { width }).max().unwrap_or(8);
    (signed, needed)
}

/// The same values in a wider integer type.
#[allow(clippy::unnecessary_cast)] // One of the macro's types is the target already.
fn widened(samples: Samples, (signed, width): (bool, usize)) -> Samples {
    with_samples!(samples, v => match (signed, width) {
        (false, 8 | 16) => Samples::U16(v.into_iter().map(|s| s as u16).collect()),
        (false, _) => Samples::U32(v.into_iter().map(|s| s as u32).collect()),
        (true, 8 | 16) => Samples::I16(v.into_iter().map(|s| s as i16).collect()),
        (true, 32) => Samples::I32(v.into_iter().map(|s| s as i32).collect()),
        (true, _) => Samples::I64(v.into_iter().map(|s| s as i64).collect()),
    })
}

/// Concatenates samples of one type.
fn join(mut parts: impl Iterator<Item = Samples>) -> Result<Samples> {
    macro_rules! extend {
        ($all:expr, $part:expr, $($variant:ident),*) => {
            match ($all, $part) {
                $((Samples::$variant(all), Samples::$variant(part)) => all.extend_from_slice(&part),)*
                (all, part) => return Err(malformed(format!("slices of {} and {}", all.dtype(), part.dtype()))),
            }
        };
    }
    let mut all = parts.next().unwrap_or(Samples::U8(Vec::new()));
    let (left, _) = parts.size_hint();
    let more = all.len() * left;
    with_samples!(&mut all, v => v.reserve_exact(more));
    for part in parts {
        extend!(&mut all, part, U8, I8, U16, I16, U32, I32, U64, I64, F32, F64);
    }
    Ok(all)
}

/// Slope and intercept applied, slice by slice.
#[allow(clippy::unnecessary_cast)] // One of the macro's types is f64 already.
fn real_values<'a>(parts: impl Iterator<Item = (Samples, &'a Scaling)>) -> Samples {
    let mut out: Vec<f32> = Vec::new();
    for (samples, scaling) in parts {
        let real = |stored: f64| (stored * scaling.slope + scaling.intercept) as f32;
        with_samples!(&samples, v => out.extend(v.iter().map(|&s| real(s as f64))));
    }
    Samples::F32(out)
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::tags;

    use super::*;
    use crate::formats::dicom::build::File;
    use crate::formats::dicom::read;

    fn instance(label: &str, file: &File) -> Instance {
        read(&file.bytes()).unwrap().labelled(label)
    }

    fn stack_of(heights: &[f64]) -> Vec<Instance> {
        let file = |(i, &z): (usize, &f64)| File::slice(z, 100 - i as i32, [i as i16; 4]);
        heights.iter().enumerate().map(|(i, z)| instance(&format!("{i}.dcm"), &file((i, z)))).collect()
    }

    fn first_pixels(image: &Image) -> Vec<f64> {
        (0..image.size[2]).map(|z| image.value([0, 0, z, 0], 0)).collect()
    }

    #[test]
    fn slices_are_ordered_as_asked() {
        let heights = [4.0, 0.0, 2.0];
        for (order, slices) in
            [(SliceOrder::Position, [1, 2, 0]), (SliceOrder::File, [0, 1, 2]), (SliceOrder::InstanceNumber, [2, 1, 0])]
        {
            let series = assemble(stack_of(&heights), order).unwrap();
            assert_eq!(series.order, slices, "{order:?}");
            assert_eq!(first_pixels(&series.image), slices.map(|i| i as f64), "{order:?}");
            assert_eq!(series.positions.unwrap().along, slices.map(|i| heights[i]), "{order:?}");
            assert_eq!(series.image.size, [2, 2, 3, 1]);
        }
    }

    #[test]
    fn the_frame_follows_the_order_of_the_slices() {
        let up = assemble(stack_of(&[-3.0, 0.0, 3.0]), SliceOrder::File).unwrap().image.geometry.unwrap();
        assert_eq!((up.spacing, up.orientation().as_str()), ([0.25, 0.5, 3.0], "LPS"));
        assert_eq!(up.to_world([0.0, 0.0, 2.0]), [10.0, 20.0, 3.0]);
        let down = assemble(stack_of(&[3.0, 0.0, -3.0]), SliceOrder::File).unwrap().image.geometry.unwrap();
        assert_eq!((down.spacing, down.orientation().as_str()), ([0.25, 0.5, 3.0], "LPI"));
        assert_eq!(down.to_world([0.0, 0.0, 2.0]), [10.0, 20.0, -3.0]);
        let mixed = assemble(stack_of(&[3.0, -3.0, 0.0]), SliceOrder::File).unwrap().image;
        assert!(mixed.notes.iter().any(|n| n.contains("has no frame")));
        assert_eq!(mixed.geometry.unwrap().orientation(), "RAS");
    }

    #[test]
    fn steps_that_vary_or_contradict_the_thickness_are_told() {
        let image = assemble(stack_of(&[0.0, 2.0, 4.0, 7.0]), SliceOrder::Position).unwrap().image;
        assert_eq!(image.geometry.unwrap().spacing[2], 2.0);
        assert_eq!(image.notes, ["the slice spacing varies from 2.0000 to 3.0000 mm: the median 2.0000 mm is used"]);
        let image = assemble(stack_of(&[0.0, 1.5, 3.0]), SliceOrder::Position).unwrap().image;
        assert_eq!(image.notes, ["Slice Thickness is 2 mm, the slice spacing 1.5000 mm"]);
    }

    #[test]
    fn a_tilted_gantry_shears_the_affine() {
        let slice = |i: i32| {
            let position = format!("0\\{}\\{}", 0.5 * i as f64, 2 * i);
            File::slice(0.0, i, [0; 4]).text(tags::IMAGE_POSITION_PATIENT, b"DS", &position)
        };
        let image = assemble((0..3).map(|i| instance("", &slice(i))).collect(), SliceOrder::Position).unwrap().image;
        assert!(image.notes[0].contains("tilted gantry"), "{:?}", image.notes);
        let geometry = image.geometry.unwrap();
        assert_eq!(geometry.spacing[2], 2.0);
        assert_eq!(geometry.to_world([0.0, 0.0, 2.0]), [0.0, -1.0, 4.0]);
    }

    #[test]
    fn what_is_not_one_volume_is_refused_by_name() {
        let message = |instances| assemble(instances, SliceOrder::Position).unwrap_err().to_string();
        let same = message(stack_of(&[0.0, 2.0, 0.0]));
        assert!(same.contains("\"0.dcm\" and \"2.dcm\" share the position 0"), "{same}");
        let pair = |b: File| vec![instance("a", &File::slice(0.0, 1, [0; 4])), instance("b", &b)];
        let other = File::slice(1.0, 2, [0; 4]);
        for (file, what) in [
            (other.clone().text(tags::PIXEL_SPACING, b"DS", "1\\1"), "pixel spacings"),
            (other.clone().text(tags::IMAGE_ORIENTATION_PATIENT, b"DS", "0\\1\\0\\-1\\0\\0"), "orientations"),
            (other.clone().number(tags::ROWS, 1), "2 x 2 and 2 x 1 pixels"),
            (other.clone().element(tags::IMAGE_POSITION_PATIENT, b"DS", b""), "\"b\" lacks a position"),
        ] {
            let message = message(pair(file));
            assert!(message.contains(what) && message.contains("\"b\""), "{message}");
        }
        assert!(assemble(Vec::new(), SliceOrder::File).is_err());
    }

    #[test]
    fn a_rescale_that_differs_by_slice_gives_real_values() {
        let slice = |z: f64, slope: &str| {
            let file = File::slice(z, 1, [10; 4]).text(tags::RESCALE_SLOPE, b"DS", slope);
            instance("", &file.text(tags::RESCALE_INTERCEPT, b"DS", "1"))
        };
        let image = assemble(vec![slice(0.0, "2"), slice(2.0, "0.5")], SliceOrder::Position).unwrap().image;
        assert_eq!((image.samples.dtype(), image.scaling, image.bits), ("float32", Scaling::IDENTITY, 32));
        assert_eq!(first_pixels(&image), [21.0, 6.0]);
        assert_eq!(image.notes, ["the rescale differs between slices: samples are converted to real values"]);
        let image = assemble(vec![slice(0.0, "2"), slice(2.0, "2")], SliceOrder::Position).unwrap().image;
        assert_eq!((image.samples.dtype(), image.scaling.slope), ("int16", 2.0));
    }

    #[test]
    fn integer_types_are_widened_to_one_that_holds_all() {
        let unsigned = File::slice(2.0, 2, [-1; 4]).number(tags::PIXEL_REPRESENTATION, 0);
        let signed = File::slice(0.0, 1, [-1; 4]);
        let pair = vec![instance("", &signed), instance("", &unsigned)];
        let image = assemble(pair, SliceOrder::Position).unwrap().image;
        assert_eq!(image.samples, Samples::I32(vec![-1, -1, -1, -1, 65535, 65535, 65535, 65535]));
        assert_eq!(image.notes, ["slices are stored in several integer types and converted to int32"]);
        assert_eq!(common_type(&[(false, 8), (false, 16)]), (false, 16));
        assert_eq!(common_type(&[(true, 16), (false, 8)]), (true, 16));
        assert_eq!(common_type(&[(true, 8), (false, 32)]), (true, 64));
    }

    #[test]
    fn masks_are_found_by_position() {
        let found = match_positions(&[0.0, 1.25, 2.5], &[3.75, 2.5001, 1.2499, -1.25], 0.01);
        assert_eq!(found, [None, Some(2), Some(1)]);
        assert_eq!(match_positions(&[1.0], &[], 1.0), [None]);
    }
}
