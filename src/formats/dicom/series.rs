//! Slices to volumes: order, spacing and frame of a series, and of the frames of a multi-frame instance.
//!
//! The truth about a slice is Image Position (Patient) along the normal of Image Orientation (Patient). Numbers and
//! file names follow it, run against it (CHAOS), or say nothing. Which order a source's masks follow is the caller's to
//! know: [`SliceOrder`]. Masks that are DICOM themselves are paired by position: [`positions`], [`match_positions`].

use super::header::{FrameHeader, Header, cross, dot};
use super::{Instance, malformed, unsupported};
use crate::formats::Result;
use crate::image::{Geometry, Image, Samples, Scaling};
use crate::with_samples;

/// Positions closer than this (in millimetres) are the same slice: decimal strings are rounded.
const SAME_POSITION: f64 = 1e-3;
/// Steps that differ from their median by more than this share are worth a note.
const STEP_TOLERANCE: f64 = 0.01;
/// Cosines of slices of one stack may differ by this (rounding of decimal strings).
const SAME_COSINE: f64 = 1e-3;

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
    /// For each slice along z its position along the slice normal in millimetres, where all slices have one.
    pub positions: Option<Vec<f64>>,
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
        SliceOrder::Position => (keys(slices, "a position and an orientation", Header::location)?, "position", SAME_POSITION),
        SliceOrder::InstanceNumber => {
            (keys(slices, "an Instance Number", |h| h.instance_number.map(|n| n as f64))?, "Instance Number", 0.0)
        }
    };
    indices.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]));
    for pair in indices.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        if keys[b] - keys[a] <= tolerance {
            return Err(malformed(format!(
                "{} and {} share the {what} {}: not one volume",
                named(slices, a),
                named(slices, b),
                keys[a]
            )));
        }
    }
    Ok(indices)
}

fn keys(slices: &[(&str, &Header)], what: &str, key: impl Fn(&Header) -> Option<f64>) -> Result<Vec<f64>> {
    (0..slices.len())
        .map(|i| key(slices[i].1).ok_or_else(|| malformed(format!("{} has not {what} to sort by", named(slices, i)))))
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
/// is another length, and where no frame could be made. Slices that differ in rescale (PET) are converted to real values
/// as `f32`, with a note.
///
/// # Errors
/// Those of [`slice_order`]; [`Malformed`](crate::formats::Error::Malformed) where slices differ in size, components,
/// sample type, orientation or pixel spacing, naming the first and the one that differs;
/// [`Unsupported`](crate::formats::Error::Unsupported) for several multi-frame instances.
pub fn assemble(mut instances: Vec<Instance>, order: SliceOrder) -> Result<Series> {
    if instances.is_empty() {
        return Err(malformed("a series without instances"));
    }
    if instances.len() == 1 && instances[0].header.frames > 1 {
        let Instance { header, image, .. } = instances.remove(0);
        let planes = planes_of_frames(&header).filter(|p| p.len() == image.size[2]);
        let positions = planes.and_then(|p| locations(&p));
        return Ok(Series { image, order: vec![0], positions });
    }
    let slices: Vec<(&str, &Header)> = instances.iter().map(|i| (i.label.as_str(), &i.header)).collect();
    if let Some(i) = slices.iter().position(|(_, h)| h.frames > 1) {
        return Err(unsupported(format!("{} has {} frames: it is a volume of its own", named(&slices, i), slices[i].1.frames)));
    }
    let order = slice_order(&slices, order)?;
    for &index in &order[1..] {
        if let Some(difference) = difference(&instances[order[0]], &instances[index]) {
            return Err(malformed(format!(
                "{} and {} are not of one volume: {difference}",
                named(&slices, order[0]),
                named(&slices, index)
            )));
        }
    }
    let headers: Vec<&Header> = order.iter().map(|&i| &instances[i].header).collect();
    let planes: Vec<Plane> = headers.iter().map(|h| Plane::of(h)).collect();
    let positions = locations(&planes);
    let (geometry, stack_notes) = stack(&planes, headers[0]);

    let mut notes: Vec<String> = Vec::new();
    let all_notes = order.iter().flat_map(|&i| &instances[i].image.notes).cloned().chain(stack_notes);
    for note in all_notes {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    let scalings: Vec<Scaling> = order.iter().map(|&i| instances[i].image.scaling).collect();
    let one_rescale = scalings.iter().all(|s| *s == scalings[0]);
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
    let (samples, scaling) = if one_rescale {
        (join(ordered)?, scalings[0])
    } else {
        notes.push("the rescale differs by slice: samples are real values".into());
        (real_values(ordered.zip(&scalings)), Scaling::IDENTITY)
    };
    let template = template.ok_or_else(|| malformed("a series without instances"))?;
    let [width, height, ..] = template.size;
    let bits = if one_rescale { template.bits } else { 32 };
    let image = Image { size: [width, height, order.len(), 1], samples, bits, scaling, geometry, notes, ..template };
    Ok(Series { image, order, positions })
}

/// What keeps two slices from being of one volume.
fn difference(a: &Instance, b: &Instance) -> Option<String> {
    let (ha, hb) = (&a.header, &b.header);
    if (ha.columns, ha.rows) != (hb.columns, hb.rows) {
        return Some(format!("{} x {} and {} x {} pixels", ha.columns, ha.rows, hb.columns, hb.rows));
    }
    if a.image.components != b.image.components || ha.bright_is_dark() != hb.bright_is_dark() {
        return Some(format!("{:?} and {:?}", ha.photometric, hb.photometric));
    }
    if a.image.samples.dtype() != b.image.samples.dtype() {
        return Some(format!("samples of {} and {}", a.image.samples.dtype(), b.image.samples.dtype()));
    }
    if a.image.palette != b.image.palette {
        return Some("different palettes".into());
    }
    if let (Some(oa), Some(ob)) = (ha.orientation, hb.orientation)
        && !same_orientation(oa, ob)
    {
        return Some(format!("orientations {oa:?} and {ob:?}"));
    }
    if let (Some([ra, ca]), Some([rb, cb])) = (ha.pixel_spacing, hb.pixel_spacing)
        && ((ra - rb).abs() > 1e-3 * ra || (ca - cb).abs() > 1e-3 * ca)
    {
        return Some(format!("pixel spacings {:?} and {:?}", [ra, ca], [rb, cb]));
    }
    None
}

fn same_orientation(a: [[f64; 3]; 2], b: [[f64; 3]; 2]) -> bool {
    a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() <= SAME_COSINE)
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

fn real_values<'a>(parts: impl Iterator<Item = (Samples, &'a Scaling)>) -> Samples {
    let mut out: Vec<f32> = Vec::new();
    for (samples, scaling) in parts {
        let real = |stored: f64| (stored * scaling.slope + scaling.intercept) as f32;
        with_samples!(&samples, v => out.extend(v.iter().map(|&s| real(s as f64))));
    }
    Samples::F32(out)
}

/// Where a slice lies.
#[derive(Clone, Copy, Debug)]
struct Plane {
    position: Option<[f64; 3]>,
    orientation: Option<[[f64; 3]; 2]>,
    spacing: Option<[f64; 2]>,
    thickness: Option<f64>,
}

impl Plane {
    fn of(h: &Header) -> Self {
        let spacing = h.pixel_spacing.or(h.imager_pixel_spacing);
        Plane { position: h.position, orientation: h.orientation, spacing, thickness: h.slice_thickness }
    }
}

/// The planes of a multi-frame instance; `None` where its frames have no facts of their own.
fn planes_of_frames(header: &Header) -> Option<Vec<Plane>> {
    let of = |f: &FrameHeader| Plane {
        position: f.position.or(header.position),
        orientation: f.orientation.or(header.orientation),
        spacing: f.pixel_spacing.or(header.pixel_spacing),
        thickness: f.slice_thickness.or(header.slice_thickness),
    };
    (header.per_frame.len() == header.frames).then(|| header.per_frame.iter().map(of).collect())
}

/// Positions along the normal of the first plane, where all have a position.
fn locations(planes: &[Plane]) -> Option<Vec<f64>> {
    let [row, column] = planes.first()?.orientation?;
    let normal = cross(row, column);
    planes.iter().map(|p| p.position.map(|position| dot(position, normal))).collect()
}

/// Frame of a stack of planes, and what is odd about it.
fn stack(planes: &[Plane], header: &Header) -> (Option<Geometry>, Vec<String>) {
    let mut notes = Vec::new();
    let Some(first) = planes.first() else { return (None, notes) };
    let Some([row_step, column_step]) = first.spacing else { return (None, notes) };
    if header.pixel_spacing.is_none() && header.imager_pixel_spacing == first.spacing {
        notes.push("the pixel spacing is that of the detector, not of the patient".into());
    }
    let positive = |v: &f64| *v > 0.0;
    let assumed = header.spacing_between_slices.map(f64::abs).filter(positive).or(first.thickness.filter(positive));
    let unplaced = |step: Option<f64>| Some(Geometry::from_spacing([column_step, row_step, step.unwrap_or(1.0)]));

    let one_orientation = planes.iter().all(|p| match (first.orientation, p.orientation) {
        (Some(a), Some(b)) => same_orientation(a, b),
        (a, b) => a == b,
    });
    let (Some([row, column]), Some(locations), true) = (first.orientation, locations(planes), one_orientation) else {
        if planes.len() > 1 {
            notes.push("slices without common orientation and positions: the step between them is assumed".into());
        }
        return (unplaced(assumed), notes);
    };
    let origin = first.position.unwrap_or_default();
    let normal = cross(row, column);
    if planes.len() == 1 {
        let spacing = [column_step, row_step, assumed.unwrap_or(1.0)];
        return (Some(Geometry::from_lps(origin, [row, column, normal], spacing)), notes);
    }
    let steps: Vec<f64> = locations.windows(2).map(|w| w[1] - w[0]).collect();
    let step = median(steps.iter().map(|s| s.abs()).collect());
    let monotonic = steps.iter().all(|s| *s > SAME_POSITION) || steps.iter().all(|s| *s < -SAME_POSITION);
    if !monotonic {
        notes.push("the slices do not follow their positions in this order: the stack has no frame".into());
        let step = Some(step).filter(|s| *s > SAME_POSITION).or(assumed);
        return (unplaced(step), notes);
    }
    let (least, most) = steps.iter().fold((f64::MAX, 0.0f64), |(l, m), s| (l.min(s.abs()), m.max(s.abs())));
    if most - step > STEP_TOLERANCE * step || step - least > STEP_TOLERANCE * step {
        notes.push(format!("steps between slices vary from {least:.4} to {most:.4} mm: {step:.4} is their median"));
    }
    if let Some(thickness) = first.thickness.filter(positive)
        && (thickness - step).abs() > STEP_TOLERANCE * step
    {
        notes.push(format!("Slice Thickness is {thickness} mm, the step between slices {step:.4} mm"));
    }
    // From the first to the last slice, scaled to the median step along the normal: with a tilted gantry it leaves the
    // normal, and the affine is sheared.
    let last = planes[planes.len() - 1].position.unwrap_or_default();
    let span = locations[locations.len() - 1] - locations[0];
    let way: [f64; 3] = std::array::from_fn(|i| (last[i] - origin[i]) / span.abs());
    if dot(way, way).sqrt() > 1.0 + 1e-4 {
        notes.push("slices are shifted against each other (tilted gantry): the affine is sheared".into());
    }
    (Some(Geometry::from_lps(origin, [row, column, way], [column_step, row_step, step])), notes)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Gives the image of one instance its geometry, and its frames their places: along z as stored, or, where the same
/// number of frames share each position, along t. Frames whose rescale differs become real values.
pub(super) fn place_frames(header: &Header, mut image: Image) -> Image {
    let planes = planes_of_frames(header);
    image = rescale_frames(header, image);
    let (planes, notes) = match planes {
        _ if header.frames == 1 => {
            let plane = planes.and_then(|p| p.first().copied()).unwrap_or_else(|| Plane::of(header));
            (vec![plane], Vec::new())
        }
        // Frames without places of their own: a film, the pages of a scan, the slices of a dose grid.
        None => {
            let plane = Plane { position: None, ..Plane::of(header) };
            (vec![plane; 2], vec!["frames without positions of their own are along z as stored".to_owned()])
        }
        Some(planes) => (planes, Vec::new()),
    };
    image.notes.extend(notes);
    let planes = match shared_positions(&planes, header.frames) {
        Some((distinct, frame_of)) => {
            let times = frame_of.len() / distinct.len();
            if frame_of.iter().enumerate().any(|(to, &from)| to != from) {
                image = permute_frames(image, &frame_of);
            }
            image.size[2] = distinct.len();
            image.size[3] = times;
            distinct.iter().map(|&i| planes[i]).collect()
        }
        None => planes,
    };
    let (geometry, notes) = stack(&planes, header);
    image.geometry = geometry;
    for note in notes {
        if !image.notes.contains(&note) {
            image.notes.push(note);
        }
    }
    image
}

/// Where several frames share each position, the same number each: the first frame of each position, and the frame
/// that belongs at each place of [t, z].
fn shared_positions(planes: &[Plane], frames: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    if planes.len() != frames || frames < 2 || planes.iter().any(|p| p.orientation.is_none()) {
        return None;
    }
    // Sorted by location, the frames of a position are neighbours; the stable sort keeps their stored order.
    let locations = locations(planes)?;
    let mut sorted: Vec<usize> = (0..frames).collect();
    sorted.sort_by(|&a, &b| locations[a].total_cmp(&locations[b]));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for frame in sorted {
        match groups.last_mut() {
            Some(group) if locations[frame] - locations[group[0]] <= SAME_POSITION => group.push(frame),
            _ => groups.push(vec![frame]),
        }
    }
    let times = groups[0].len();
    if times < 2 || groups.iter().any(|g| g.len() != times) {
        return None;
    }
    for group in &mut groups {
        group.sort_unstable();
        // The same place along the normal is not the same position: frames may be tiles of a slide.
        let together = |&f: &usize| match (planes[f].position, planes[group[0]].position) {
            (Some(a), Some(b)) => a.iter().zip(b).all(|(x, y)| (x - y).abs() <= SAME_POSITION),
            _ => false,
        };
        if !group.iter().all(together) {
            return None;
        }
    }
    groups.sort_by_key(|g| g[0]);
    let order = (0..times).flat_map(|t| groups.iter().map(move |g| g[t])).collect();
    Some((groups.iter().map(|g| g[0]).collect(), order))
}

/// Puts frame `frame_of[i]` at place `i`.
fn permute_frames(image: Image, frame_of: &[usize]) -> Image {
    let length = image.size[0] * image.size[1] * image.components;
    macro_rules! permute {
        ($($variant:ident),*) => {
            match image.samples {
                $(Samples::$variant(v) => {
                    Samples::$variant(frame_of.iter().flat_map(|f| &v[f * length..][..length]).copied().collect())
                })*
            }
        };
    }
    let samples = permute!(U8, I8, U16, I16, U32, I32, U64, I64, F32, F64);
    Image { samples, ..image }
}

/// Real values where the rescale differs by frame (enhanced PET and MR).
fn rescale_frames(header: &Header, mut image: Image) -> Image {
    let scalings: Vec<Scaling> = header.per_frame.iter().map(|f| f.rescale.unwrap_or(Scaling::IDENTITY)).collect();
    let differ = header.per_frame.len() == header.frames && scalings.iter().any(|s| *s != scalings[0]);
    if header.rescale.is_some() || !differ {
        return image;
    }
    let length = image.size[0] * image.size[1] * image.components;
    let real = with_samples!(&image.samples, v => v
        .chunks_exact(length)
        .zip(&scalings)
        .flat_map(|(frame, s)| frame.iter().map(move |&v| (v as f64 * s.slope + s.intercept) as f32))
        .collect());
    image.samples = Samples::F32(real);
    image.bits = 32;
    image.notes.push("the rescale differs by frame: samples are real values".into());
    image
}
