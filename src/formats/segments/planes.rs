//! Masks that are planes of pixels with a place each: frames of a DICOM segmentation, slices of a layer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{COVERED, Misfit, Placed, SLICE_TOLERANCE, Table, Target};
use crate::image::{Frame, Geometry, Image, Samples};
use crate::with_samples;

/// A pixel may lie off the image's pixel by less than this, in pixels.
const PIXEL_TOLERANCE: f64 = 0.5;
/// Slices this many of the image's apart are those of a coarser grid.
const COARSER: f64 = 1.5;
/// Frames of a regular grid lie off it by less than this share of a step.
const REGULAR: f64 = 0.05;
/// A volume of frames and gaps has at most these many voxels, or as many as the frames have times the second.
const MAX_GAPS: (usize, usize) = (1 << 28, 64);

/// Where a plane lies, in RAS+ millimetres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::formats) struct Place {
    /// Centre of the first pixel.
    pub corner: [f64; 3],
    /// From one pixel to the next in a row.
    pub x: [f64; 3],
    /// From one row to the next.
    pub y: [f64; 3],
}

/// One plane of a mask.
#[derive(Clone, Copy, Debug)]
pub(in crate::formats) struct Plane {
    pub place: Option<Place>,
    /// Position of the first pixel among all values.
    pub start: usize,
    /// Number of the frame in its file, from 1, for messages.
    pub frame: usize,
}

/// So many values without a name are enough for a message.
const MANY: usize = 8;

/// Which values are the segment.
#[derive(Clone, Copy, Debug)]
pub(in crate::formats) enum Marked {
    /// Those above a threshold.
    Above(f64),
    /// One value.
    Equal(f64),
}

/// Values of all frames.
#[derive(Debug)]
pub(in crate::formats) enum Voxels {
    /// One bit a pixel, the lowest bit first.
    Bits(Vec<u8>),
    Samples(Samples),
}

impl Voxels {
    fn get(&self, at: usize) -> f64 {
        match self {
            Voxels::Bits(bytes) => f64::from(bytes[at / 8] >> (at % 8) & 1),
            Voxels::Samples(samples) => samples.get(at),
        }
    }
}

/// A DICOM segmentation.
#[derive(Debug)]
pub(in crate::formats) struct Frames {
    /// Width and height of a frame.
    pub size: [usize; 2],
    pub voxels: Voxels,
    /// For each segment its frames, and what of them it is. Those of a label map share all frames.
    pub masks: Vec<(Arc<Vec<Plane>>, Marked)>,
    /// Distances between slices that the header names, the most believable first.
    pub steps: Vec<f64>,
    /// Background of a label map.
    pub background: Option<f64>,
}

/// The volume of 3D Slicer.
#[derive(Debug)]
pub(in crate::formats) struct Layers {
    pub image: Image,
    /// For each segment its layer and its value.
    pub masks: Vec<Layer>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::formats) struct Layer {
    pub layer: usize,
    pub value: f64,
}

/// Pixels of planes: how they are stored, and which are marked.
struct Source<'a> {
    size: [usize; 2],
    voxels: &'a dyn Fn(usize) -> f64,
    stride: usize,
    marked: Marked,
    /// Whether planes are slices of a volume, whose order means something: frames of DICOM have none.
    ordered: bool,
}

impl Source<'_> {
    fn is_marked(&self, plane: &Plane, x: usize, y: usize) -> bool {
        let value = (self.voxels)(plane.start + (y * self.size[0] + x) * self.stride);
        match self.marked {
            Marked::Above(threshold) => value > threshold,
            Marked::Equal(own) => value == own,
        }
    }

    fn marks(&self, plane: &Plane) -> Vec<[usize; 2]> {
        let [width, height] = self.size;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| [x, y]));
        pixels.filter(|&[x, y]| self.is_marked(plane, x, y)).collect()
    }
}

impl Frames {
    fn source<'a>(&self, index: usize, voxels: &'a dyn Fn(usize) -> f64) -> Source<'a> {
        Source { size: self.size, voxels, stride: 1, marked: self.masks[index].1, ordered: false }
    }

    /// `drawn_on_it` is whether the file says that it was drawn on the image's series.
    pub fn on_grid(&self, index: usize, target: Target, drawn_on_it: Option<bool>) -> Result<Placed, Misfit> {
        let size = target.size;
        let voxels = |at| self.voxels.get(at);
        let source = self.source(index, &voxels);
        let planes = &self.masks[index].0;
        let unplaced = planes.iter().filter(|p| p.place.is_none()).count();
        match planes[..] {
            // A picture and its mask say nothing of a place, and are one frame each.
            [ref plane] if unplaced == 1 && size == [self.size[0], self.size[1], 1] => {
                let mut marks = vec![0; size.iter().product()];
                for [x, y] in source.marks(plane) {
                    marks[y * size[0] + x] = 1;
                }
                let notes = vec!["the only frame states no position and is placed on the only image".into()];
                Ok(Placed { marks, reordered: false, error_mm: 0.0, notes })
            }
            _ if unplaced > 0 => {
                Err(Misfit::Unplaced(format!("{unplaced} of {} frames state no position", planes.len())))
            }
            _ => {
                let doubt = self.coarser(target, drawn_on_it)?;
                let mut placed = paint(planes, &source, target)?;
                placed.notes.extend(doubt);
                Ok(placed)
            }
        }
    }

    /// Whether the frames are those of slices that lie farther apart than the image's. Frames of every second slice may
    /// as well be a mask of which the other slices are empty: the header's distance decides, then the series that it
    /// was drawn on. Comes back with a note where they leave a doubt.
    fn coarser(&self, target: Target, drawn_on_it: Option<bool>) -> Result<Option<String>, Misfit> {
        let (geometry, _) = target.frame()?;
        let all = || self.masks.iter().flat_map(|(planes, _)| planes.iter()).filter_map(|p| Some((p, p.place?)));
        let Some((plane, first)) = all().next() else { return Ok(None) };
        let normal = unit(cross(first.x, first.y));
        let along = |axis: usize| dot(geometry.affine.map(|row| row[axis]), normal).abs();
        let across =
            (0..3).max_by(|&a, &b| (along(a) / geometry.spacing[a]).total_cmp(&(along(b) / geometry.spacing[b])));
        let across = across.unwrap_or(2);
        let step = along(across);
        let mut at: Vec<f64> = all().map(|(_, p)| dot(minus(p.corner, first.corner), normal) / step).collect();
        at.sort_by(f64::total_cmp);
        at.dedup_by(|b, a| *b - *a < REGULAR);
        let gap = at.windows(2).map(|w| w[1] - w[0]).reduce(f64::min);
        if target.size[across] < 2 || gap.is_some_and(|gap| gap < COARSER) {
            return Ok(None);
        }
        let apart = gap.map(|gap| format!("the frames are {gap:.1} or more slices of the image apart"));
        let Some(own) = self.steps.first() else {
            let doubt = apart.filter(|_| drawn_on_it != Some(true));
            return Ok(doubt.map(|apart| {
                format!("{apart}, and the header states no slice spacing: read as a mask of single slices")
            }));
        };
        if own / step < COARSER {
            return Ok(None);
        }
        let multiple = |at: &f64| (at - (at * step / own).round() * own / step).abs() < SLICE_TOLERANCE;
        let from_first: Vec<f64> = at.iter().map(|a| a - at[0]).collect();
        if drawn_on_it == Some(true) || !from_first.iter().all(multiple) {
            return Ok(Some(format!(
                "the header states a slice spacing of {own:.2} mm, that of the image is {step:.2} mm: read as a mask \
                 of single slices"
            )));
        }
        let why = format!(
            "its slice spacing is {own:.2} mm, that of the image {step:.2} mm: slices in between would lose their mask"
        );
        Err(Misfit::OffGrid(told(plane, &first, self.size, (target.size, geometry), &why)))
    }

    pub fn below_threshold(&self, index: usize) -> Option<(f64, f64)> {
        let (planes, Marked::Above(threshold)) = &self.masks[index] else { return None };
        // Bits have no values between.
        if *threshold <= 0.0 {
            return None;
        }
        let area = self.size[0] * self.size[1];
        let values = planes.iter().flat_map(|p| (p.start..p.start + area).map(|at| self.voxels.get(at)));
        let largest = values.fold(0.0, f64::max);
        (largest > 0.0 && largest <= *threshold).then_some((largest, *threshold))
    }

    pub fn volume(&self, index: usize) -> Result<Image, Misfit> {
        let voxels = |at| self.voxels.get(at);
        let source = self.source(index, &voxels);
        let [width, height] = self.size;
        let off = |reason: String| Misfit::OffGrid(reason);
        let all: Vec<Place> = self.masks.iter().flat_map(|(planes, _)| planes.iter()).filter_map(|p| p.place).collect();
        let own: Option<Vec<Place>> = self.masks[index].0.iter().map(|p| p.place).collect();
        let own = own.ok_or_else(|| Misfit::Unplaced("the frames state no position".into()))?;
        let Some(first) = own.first().or(all.first()).copied() else {
            return Err(Misfit::Unplaced("no frame".into()));
        };
        let normal = unit(cross(first.x, first.y));
        let along = |place: &Place| dot(minus(place.corner, first.corner), normal);
        for place in &all {
            let aside = minus(place.corner, first.corner.zip_with(normal, |c, n| c + along(place) * n));
            let turned = length(minus(place.x, first.x)).max(length(minus(place.y, first.y)));
            let reach = width.max(height) as f64;
            if length(aside) > PIXEL_TOLERANCE * length(first.x) || turned * reach > PIXEL_TOLERANCE * length(first.x) {
                return Err(off("the frames are rotated or shifted against each other".into()));
            }
        }
        let mut at: Vec<f64> = all.iter().map(along).collect();
        at.sort_by(f64::total_cmp);
        let gaps = at.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap > 1e-3);
        let least = gaps.fold(f64::INFINITY, f64::min);
        let regular = |step: &f64| {
            *step > 1e-3 && at.iter().all(|t| ((t - at[0]) / step - ((t - at[0]) / step).round()).abs() < REGULAR)
        };
        let known = self.steps.iter().copied().filter(|step| *step <= least * (1.0 + REGULAR)).find(regular);
        let step = known.or(Some(least).filter(|s| s.is_finite()).filter(regular));
        let step = match step {
            Some(step) => step,
            None if least.is_infinite() => self.steps.first().copied().filter(|s| *s > 0.0).unwrap_or(1.0),
            None => return Err(off(format!("the frames are {least} mm or more apart and not on a regular grid"))),
        };
        let lowest = own.iter().map(along).fold(f64::INFINITY, f64::min);
        let lowest = if lowest.is_finite() { lowest } else { 0.0 };
        let slice = |place: &Place| ((along(place) - lowest) / step).round() as usize;
        let depth = own.iter().map(slice).max().unwrap_or(0).saturating_add(1);
        let area = width * height;
        let most = MAX_GAPS.0.max(area.saturating_mul(own.len()).saturating_mul(MAX_GAPS.1));
        if depth.checked_mul(area).is_none_or(|n| n > most) {
            return Err(off(format!("{} frames at {depth} steps of {step} mm: too many gaps", own.len())));
        }
        let mut marks = vec![0u8; depth * area];
        let mut taken = BTreeSet::new();
        for (plane, place) in self.masks[index].0.iter().zip(&own) {
            let z = slice(place);
            if !taken.insert(z) {
                return Err(off(format!("frame {} has the position of another frame", plane.frame)));
            }
            for [x, y] in source.marks(plane) {
                marks[z * area + y * width + x] = 1;
            }
        }
        let corner = first.corner.zip_with(normal, |c, n| c + lowest * n);
        let mut affine = [[0.0; 4]; 3];
        for (row, cells) in affine.iter_mut().enumerate() {
            *cells = [first.x[row], first.y[row], step * normal[row], corner[row]];
        }
        let spacing = [length(first.x), length(first.y), step];
        let mut image = Image::picture(width, height * depth, 1, Samples::U8(marks));
        image.size = [width, height, depth, 1];
        image.geometry = Some(Geometry { spacing, affine, frame: Frame::Header });
        Ok(image)
    }

    /// Values of a label map that the table does not have.
    pub fn unnamed(&self, table: &Table) -> Vec<(u32, f64)> {
        let Voxels::Samples(samples) = &self.voxels else { return Vec::new() };
        let Some(background) = self.background else { return Vec::new() };
        let known = |v: f64| v == background || table.segments.iter().any(|s| f64::from(s.number) == v);
        let mut unnamed = Unnamed::default();
        with_samples!(samples, v => v.iter().for_each(|&value| unnamed.see(0, value as f64, known)));
        unnamed.found
    }
}

impl Layers {
    /// Position of the first value of a slice in a layer, and of one pixel to the next.
    fn start(&self, layer: usize, z: usize) -> (usize, usize) {
        let components = self.image.components;
        if components > 1 {
            (self.image.offset([0, 0, z, 0], layer), components)
        } else {
            (self.image.offset([0, 0, z, layer], 0), 1)
        }
    }

    fn planes(&self, mask: Layer) -> Vec<Plane> {
        let geometry = self.image.geometry.as_ref().filter(|g| g.frame != Frame::Spacing);
        let place = |z: usize| {
            geometry.map(|g| Place {
                corner: g.to_world([0.0, 0.0, z as f64]),
                x: g.affine.map(|row| row[0]),
                y: g.affine.map(|row| row[1]),
            })
        };
        (0..self.image.size[2])
            .map(|z| Plane { place: place(z), start: self.start(mask.layer, z).0, frame: z + 1 })
            .collect()
    }

    pub fn on_grid(&self, index: usize, target: Target) -> Result<Placed, Misfit> {
        let mask = self.masks[index];
        let planes = self.planes(mask);
        if planes.iter().any(|p| p.place.is_none()) {
            return Err(Misfit::Unplaced("the header states no position".into()));
        }
        let voxels = |at| self.image.samples.get(at);
        let [width, height, ..] = self.image.size;
        let stride = self.start(mask.layer, 0).1;
        let marked = Marked::Equal(mask.value);
        let source = Source { size: [width, height], voxels: &voxels, stride, marked, ordered: true };
        self.same_slices(&planes, target)?;
        paint(&planes, &source, target)
    }

    /// Whether all slices, marked or not, are those of the image: segments of one file are placed alike.
    fn same_slices(&self, planes: &[Plane], target: Target) -> Result<(), Misfit> {
        let (geometry, to_index) = target.frame()?;
        let [width, height, depth, _] = self.image.size;
        let off = |plane: &Plane, place: &Place, why: &str| {
            Misfit::OffGrid(told(plane, place, [width, height], (target.size, geometry), why))
        };
        for plane in planes {
            let Some(place) = &plane.place else { continue };
            let on = Lattice::of(place, [width, height], &to_index, geometry, target.heights);
            let Some(on) = on.map_err(|why| off(plane, place, &why))? else { continue };
            let own = self.image.geometry.as_ref().map(|g| g.affine.map(|row| row[2]));
            let step = own.map_or(1.0, |own| {
                let row = to_index[on.across];
                dot([row[0], row[1], row[2]], own).abs()
            });
            if (step - 1.0).abs() > SLICE_TOLERANCE && (depth > 1 || target.size[on.across] > 1) {
                let why = format!("its slices are {step:.2} slices of the image apart");
                return Err(off(plane, place, &why));
            }
        }
        Ok(())
    }

    pub fn volume(&self, index: usize) -> Image {
        let mask = self.masks[index];
        let [width, height, depth, _] = self.image.size;
        let mut marks = Vec::with_capacity(width * height * depth);
        for z in 0..depth {
            let (start, stride) = self.start(mask.layer, z);
            marks.extend(
                (0..width * height).map(|i| u8::from(self.image.samples.get(start + i * stride) == mask.value)),
            );
        }
        let mut image = Image::picture(width, height * depth, 1, Samples::U8(marks));
        image.size = [width, height, depth, 1];
        image.geometry = self.image.geometry.clone();
        image
    }

    pub fn unnamed(&self) -> Vec<(u32, f64)> {
        let layers = self.image.components.max(self.image.size[3]);
        let [width, height, depth, _] = self.image.size;
        let mut unnamed = Unnamed::default();
        for layer in 0..layers {
            let known = |value: f64| value == 0.0 || self.masks.contains(&Layer { layer, value });
            for z in 0..depth {
                let (start, stride) = self.start(layer, z);
                (0..width * height)
                    .for_each(|i| unnamed.see(layer as u32, self.image.samples.get(start + i * stride), known));
            }
        }
        unnamed.found
    }
}

/// Values without a name, the first few.
#[derive(Default)]
struct Unnamed {
    found: Vec<(u32, f64)>,
    /// The last value that was seen to be known: neighbours are mostly equal.
    last: Option<(u32, f64)>,
}

impl Unnamed {
    fn see(&mut self, layer: u32, value: f64, known: impl Fn(f64) -> bool) {
        if self.last == Some((layer, value)) || self.found.len() >= MANY {
            return;
        }
        if known(value) {
            self.last = Some((layer, value));
        } else if !self.found.iter().any(|(l, v)| *l == layer && v.to_bits() == value.to_bits()) {
            self.found.push((layer, value));
        }
    }
}

impl Target<'_> {
    /// The frame, and the way back from millimetres to pixels.
    pub(super) fn frame(&self) -> Result<(&Geometry, [[f64; 4]; 3]), Misfit> {
        let unplaced = |why: &str| Misfit::Unplaced(why.into());
        let geometry = self.geometry.ok_or_else(|| unplaced("the image states no position"))?;
        let inverse = geometry.inverse().ok_or_else(|| unplaced("the axes of the image do not span a volume"))?;
        Ok((geometry, inverse))
    }
}

/// Lays the marked pixels of planes on a grid.
fn paint(planes: &[Plane], source: &Source, target: Target) -> Result<Placed, Misfit> {
    let size = target.size;
    let (geometry, to_index) = target.frame()?;
    let mut marks = vec![0u8; size.iter().product()];
    let (mut all, mut outside, mut error_mm) = (0usize, 0usize, 0.0f64);
    let mut taken: BTreeMap<[i64; 3], usize> = BTreeMap::new();
    let (mut in_holes, mut reordered, mut last) = (0, false, None);
    for plane in planes {
        let Some(place) = &plane.place else { continue };
        let pixels = source.marks(plane);
        if pixels.is_empty() {
            continue;
        }
        let on = Lattice::of(place, source.size, &to_index, geometry, target.heights)
            .map_err(|why| Misfit::OffGrid(told(plane, place, source.size, (size, geometry), &why)))?;
        let Some(on) = on else {
            in_holes += 1;
            continue;
        };
        reordered |= source.ordered && last.is_some_and(|last| on.corner[on.across] < last);
        last = Some(on.corner[on.across]);
        if let Some(other) = taken.insert(on.corner, plane.frame) {
            return Err(Misfit::OffGrid(format!(
                "frames {other} and {} map to the same pixels of the image: the image has different slices",
                plane.frame
            )));
        }
        error_mm = error_mm.max(on.error_mm);
        reordered |= (on.x, on.y) != ([1, 0, 0], [0, 1, 0]);
        for [x, y] in pixels {
            all += 1;
            match on.pixel(x, y, size) {
                Some([x, y, z]) => marks[(z * size[1] + y) * size[0] + x] = 1,
                None => outside += 1,
            }
        }
    }
    if in_holes > 0 && all == 0 {
        return Err(Misfit::Elsewhere(format!(
            "all {in_holes} marked frames are in a gap of the series where slices of the image are missing"
        )));
    }
    let mut notes = Vec::new();
    if in_holes > 0 {
        notes.push(format!("{in_holes} frames are at missing slices of the image and are left out"));
    }
    if outside > 0 {
        let inside = all - outside;
        if (inside as f64) < COVERED * all as f64 {
            return Err(Misfit::Elsewhere(format!(
                "of the {all} marked pixels only {inside} are inside the image: they do not belong together"
            )));
        }
        notes.push(format!("{outside} of the {all} marked pixels are outside the image"));
    }
    Ok(Placed { marks, reordered, error_mm, notes })
}

/// Where the pixels of a plane fall on the pixels of a grid.
struct Lattice {
    corner: [i64; 3],
    x: [i64; 3],
    y: [i64; 3],
    /// The axis across the plane.
    across: usize,
    error_mm: f64,
}

impl Lattice {
    /// `None` where the image lacks the slice. The sentence says what does not fit.
    fn of(
        place: &Place,
        [width, height]: [usize; 2],
        to_index: &[[f64; 4]; 3],
        geometry: &Geometry,
        heights: Option<&[f64]>,
    ) -> Result<Option<Lattice>, String> {
        let linear = |v: [f64; 3]| to_index.map(|r| r[0] * v[0] + r[1] * v[1] + r[2] * v[2]);
        let corner = linear(place.corner).zip_with(to_index.map(|r| r[3]), |a, b| a + b);
        let (x, y) = (linear(place.x), linear(place.y));
        let whole = |v: [f64; 3]| v.map(|c| if c.is_finite() { c.round() } else { f64::MAX });
        let (wx, wy) = (whole(x), whole(y));
        let is_axis = |v: [f64; 3]| v.iter().map(|c| c.abs()).sum::<f64>() == 1.0;
        let across = (0..3).find(|&a| wx[a] == 0.0 && wy[a] == 0.0);
        let (true, true, Some(across)) = (is_axis(wx), is_axis(wy), across) else {
            return Err("its pixels differ from those of the image in size or direction".into());
        };
        let mut start = whole(corner);
        let mut slice = None;
        if let Some(heights) = heights {
            if across != 2 {
                return Err("it crosses the slices of the image, of which some are missing".into());
            }
            let off = |i: &usize| (heights[*i] - corner[2]).abs();
            let nearest = (0..heights.len()).min_by(|a, b| off(a).total_cmp(&off(b)));
            match nearest.filter(|i| off(i) < 0.5) {
                Some(nearest) => {
                    start[2] = heights[nearest];
                    slice = Some(nearest as f64);
                }
                // Between the first and the last slice nothing is nearer than half a step: there is a hole.
                None if corner[2] > heights[0] && corner[2] < heights[heights.len() - 1] => return Ok(None),
                None => slice = Some(-1.0),
            }
        }
        if start.iter().any(|c| c.abs() > 1e9) {
            return Err("it is far away".into());
        }
        let mut error_mm = 0.0f64;
        let last = [width.saturating_sub(1) as f64, height.saturating_sub(1) as f64];
        for [i, j] in [[0.0, 0.0], [last[0], 0.0], [0.0, last[1]], last] {
            let moved: [f64; 3] =
                std::array::from_fn(|a| (corner[a] + i * x[a] + j * y[a]) - (start[a] + i * wx[a] + j * wy[a]));
            for axis in 0..3 {
                let (most, what) = match axis == across {
                    true => (SLICE_TOLERANCE, "slice"),
                    false => (PIXEL_TOLERANCE, "pixel"),
                };
                if moved[axis].abs() >= most {
                    let at = corner[axis];
                    return Err(match (axis == across, i == 0.0 && j == 0.0) {
                        (true, true) => format!("it is at slice {at:.2} of the image, between its slices"),
                        _ => format!("its corners are {:.2} {what}s away from those of the image", moved[axis].abs()),
                    });
                }
            }
            let mm = geometry.affine.map(|r| r[0] * moved[0] + r[1] * moved[1] + r[2] * moved[2]);
            error_mm = error_mm.max(length(mm));
        }
        let int = |v: [f64; 3]| v.map(|c| c as i64);
        start[2] = slice.unwrap_or(start[2]);
        Ok(Some(Lattice { corner: int(start), x: int(wx), y: int(wy), across, error_mm }))
    }

    fn pixel(&self, x: usize, y: usize, size: [usize; 3]) -> Option<[usize; 3]> {
        let mut at = [0; 3];
        for axis in 0..3 {
            let index = self.corner[axis] + x as i64 * self.x[axis] + y as i64 * self.y[axis];
            at[axis] = usize::try_from(index).ok().filter(|i| *i < size[axis])?;
        }
        Some(at)
    }
}

/// Both frames, for a message.
fn told(
    plane: &Plane,
    place: &Place,
    [width, height]: [usize; 2],
    (size, geometry): ([usize; 3], &Geometry),
    why: &str,
) -> String {
    let point = |p: [f64; 3]| format!("({:.2}, {:.2}, {:.2})", p[0], p[1], p[2]);
    let [sx, sy, sz] = geometry.spacing;
    let origin = geometry.to_world([0.0; 3]);
    let end = geometry.to_world(size.map(|n| n.saturating_sub(1) as f64));
    format!(
        "{why}. Frame {}: {width} x {height} pixels of {:.4} x {:.4} mm from {} on; image: {} x {} x {} pixels of {sx:.4} x \
         {sy:.4} x {sz:.4} mm ({}) from {} to {} (RAS+ mm)",
        plane.frame,
        length(place.x),
        length(place.y),
        point(place.corner),
        size[0],
        size[1],
        size[2],
        geometry.orientation(),
        point(origin),
        point(end),
    )
}

trait ZipWith {
    fn zip_with(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self;
}

impl ZipWith for [f64; 3] {
    fn zip_with(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        std::array::from_fn(|i| f(self[i], other[i]))
    }
}

fn minus(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    a.zip_with(b, |a, b| a - b)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn length(v: [f64; 3]) -> f64 {
    dot(v, v).sqrt()
}

fn unit(v: [f64; 3]) -> [f64; 3] {
    let n = length(v);
    v.map(|c| if n > 0.0 { c / n } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::segments::{Content, Kind, Segment, Segments};

    const SIZE: [usize; 3] = [4, 3, 5];
    const SPACING: [f64; 3] = [0.5, 0.7, 3.0];
    const AXES: [[f64; 3]; 3] = [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];

    fn geometry() -> Geometry {
        Geometry::from_lps([10., 20., 30.], AXES, SPACING)
    }

    fn table(segments: usize) -> Table {
        let segment = |n: usize| Segment { number: n as u32 + 1, layer: 0, name: format!("s{n}"), terms: Vec::new() };
        Table {
            kind: Kind::Segmentation,
            segments: (0..segments).map(segment).collect(),
            layers: 1,
            frame_of_reference: None,
            series: Vec::new(),
        }
    }

    /// Axial frames at heights of slices of the image, each with all its pixels marked.
    fn frames(slices: &[f64]) -> Segments {
        let origin = |z: f64| geometry().to_world([0.0, 0.0, z]);
        let step = |axis: usize| geometry().affine.map(|row| row[axis]);
        let place = |z: &f64| Place { corner: origin(*z), x: step(0), y: step(1) };
        let planes =
            slices.iter().enumerate().map(|(i, z)| Plane { place: Some(place(z)), start: i * 12, frame: i + 1 });
        let masks = vec![(Arc::new(planes.collect()), Marked::Above(0.0))];
        let voxels = Voxels::Bits(vec![0xFF; (slices.len() * 12).div_ceil(8)]);
        let frames = Frames { size: [4, 3], voxels, masks, steps: vec![3.0], background: None };
        Segments::new(table(1), Vec::new(), Content::Frames(frames))
    }

    fn on(segments: &Segments, heights: Option<&[f64]>) -> Result<Placed, Misfit> {
        let geometry = geometry();
        let depth = heights.map_or(SIZE[2], <[f64]>::len);
        segments.on_grid(0, Target { size: [4, 3, depth], geometry: Some(&geometry), heights, series: None })
    }

    fn marked_slices(placed: &Placed) -> Vec<usize> {
        placed.marks.chunks(12).map(|slice| slice.iter().map(|v| *v as usize).sum::<usize>() / 12).collect()
    }

    #[test]
    fn frames_go_to_their_slices_in_any_order() {
        let placed = on(&frames(&[4.0, 0.0, 2.1]), None).unwrap();
        assert_eq!(marked_slices(&placed), [1, 0, 1, 0, 1]);
        assert!((placed.error_mm - 0.3).abs() < 1e-9 && !placed.reordered && placed.notes.is_empty());
        let Err(Misfit::OffGrid(why)) = on(&frames(&[0.0, 2.4]), None) else { panic!("refused") };
        assert!(why.contains("at slice 2.40") && why.contains("Frame 2") && why.contains("4 x 3 x 5 pixels"), "{why}");
        assert!(matches!(on(&frames(&[0.9, 1.1]), None), Err(Misfit::OffGrid(why)) if why.contains("frames 1 and 2")));
        assert!(matches!(on(&frames(&[7.0]), None), Err(Misfit::Elsewhere(_))));
    }

    #[test]
    fn frames_in_a_hole_of_the_image_are_told() {
        let placed = on(&frames(&[0.0, 1.0, 2.0, 3.0]), Some(&[0.0, 1.0, 3.0])).unwrap();
        assert_eq!(marked_slices(&placed), [1, 1, 1]);
        assert!(placed.notes[0].contains("1 frames are at missing slices of the image"), "{:?}", placed.notes);
        let Err(Misfit::Elsewhere(why)) = on(&frames(&[2.0]), Some(&[0.0, 1.0, 3.0])) else { panic!("refused") };
        assert!(why.contains("in a gap of the series"), "{why}");
    }

    #[test]
    fn frames_of_slices_farther_apart_are_no_mask_of_the_slices_between() {
        let with = |slices: &[f64], steps: &[f64], series: &str| {
            let mut segments = frames(slices);
            let Content::Frames(content) = &mut segments.content else { panic!("frames") };
            content.steps = steps.to_vec();
            segments.table.series = vec!["1.2".into()];
            let geometry = geometry();
            let target = Target { size: SIZE, geometry: Some(&geometry), heights: None, series: Some(series) };
            segments.on_grid(0, target)
        };
        // Steps of 3 mm.
        for slices in [&[0.0, 2.0, 4.0][..], &[2.0]] {
            let Err(Misfit::OffGrid(why)) = with(slices, &[6.0], "1.3") else { panic!("refused: {slices:?}") };
            assert!(
                why.contains("slice spacing is 6.00 mm") && why.contains("image 3.00 mm") && why.contains("Frame 1"),
                "{why}"
            );
        }
        // A mask of a few slices, by the header, or by the series, or by frames of neighbouring slices.
        assert_eq!(with(&[0.0, 2.0, 4.0], &[3.0], "1.3").unwrap().notes, [""; 0]);
        assert!(with(&[0.0, 2.0, 4.0], &[6.0], "1.2").unwrap().notes[0].contains("a mask of single slices"));
        assert_eq!(with(&[0.0, 1.0, 4.0], &[6.0], "1.3").unwrap().notes, [""; 0]);
        // In doubt.
        assert!(with(&[0.0, 2.0, 4.0], &[], "1.3").unwrap().notes[0].contains("states no slice spacing"));
    }

    #[test]
    fn layers_of_slices_farther_apart_are_refused() {
        let mut image = Image::picture(36, 1, 1, Samples::U8(vec![1; 36]));
        image.size = [4, 3, 3, 1];
        image.geometry = Some(Geometry::from_lps([10., 20., 30.], AXES, [0.5, 0.7, 6.0]));
        let layers = Layers { image, masks: vec![Layer { layer: 0, value: 1.0 }] };
        let segments = Segments::new(table(1), Vec::new(), Content::Layers(Box::new(layers)));
        let Err(Misfit::OffGrid(why)) = on(&segments, None) else { panic!("refused") };
        assert!(why.contains("slices are 2.00 slices of the image apart"), "{why}");
    }

    #[test]
    fn a_volume_has_rows_of_zeros_where_frames_are_missing() {
        let volume = frames(&[4.0, 0.0, 2.0]).volume(0).unwrap();
        assert_eq!((volume.size, volume.geometry.unwrap().affine), ([4, 3, 5, 1], geometry().affine));
        let Samples::U8(values) = &volume.samples else { panic!("bytes") };
        assert_eq!((values[..12].to_vec(), values[12..24].to_vec()), (vec![1; 12], vec![0; 12]));
        assert!(matches!(frames(&[0.0, 1.0, 1.6]).volume(0), Err(Misfit::OffGrid(_))));
        assert!(matches!(frames(&[0.0, 1.0, 1e12]).volume(0), Err(Misfit::OffGrid(_))), "memory is not taken");
    }

    proptest! {
        /// A volume of segments whose axes are a permutation of the image's, each kept or turned around, and which is
        /// cropped to what is marked, marks the same pixels.
        #[test]
        fn any_storage_order_gives_the_same(
            marks in proptest::collection::vec(0u8..2, 60),
            order in Just([0usize, 1, 2]).prop_shuffle(),
            turned in any::<[bool; 3]>(),
            last in any::<bool>(),
        ) {
            let mut origin = [10., 20., 30.];
            let mut axes = AXES;
            for axis in (0..3).filter(|&a| turned[a]) {
                origin[axis] += SPACING[axis] * (SIZE[axis] - 1) as f64;
                axes[axis][axis] = -1.0;
            }
            let stored = order.map(|a| SIZE[a]);
            let mut values = Vec::new();
            for c in 0..stored[2] {
                for b in 0..stored[1] {
                    for a in 0..stored[0] {
                        let mut at = [0; 3];
                        for (axis, i) in order.into_iter().zip([a, b, c]) {
                            at[axis] = if turned[axis] { SIZE[axis] - 1 - i } else { i };
                        }
                        values.push(marks[at[0] + 4 * at[1] + 12 * at[2]]);
                    }
                }
            }
            // Layer 0 is full of another value, layer 1 has the marks; components first or layers last.
            let interleaved = values.iter().flat_map(|v| [9, *v]).collect();
            let separate = [vec![9; 60], values.clone()].concat();
            let mut image = Image::picture(60, 1, 2, Samples::U8(interleaved));
            if last {
                image = Image { components: 1, samples: Samples::U8(separate), ..image };
            }
            image.size = [stored[0], stored[1], stored[2], if last { 2 } else { 1 }];
            image.geometry = Some(Geometry::from_lps(origin, order.map(|a| axes[a]), order.map(|a| SPACING[a])));
            let layers = Layers { image, masks: vec![Layer { layer: 1, value: 1.0 }] };
            prop_assert_eq!(layers.unnamed(), vec![(0, 9.0)]);
            let segments = Segments::new(table(1), Vec::new(), Content::Layers(Box::new(layers)));
            let placed = on(&segments, None).unwrap();
            prop_assert_eq!(placed.marks, marks);
        }
    }
}
