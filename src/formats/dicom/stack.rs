//! Where the slices of a stack lie, and its frame: step, direction and origin from their positions.

use super::header::{Header, cross, dot};
use crate::image::Geometry;

/// Positions closer than this (in millimetres) are the same slice: decimal strings are rounded.
pub(super) const SAME_POSITION: f64 = 1e-3;
/// Cosines of slices of one stack may differ by this (rounding of decimal strings).
const SAME_COSINE: f64 = 1e-3;
/// Steps that differ from their median by more than this share are worth a note.
const STEP_TOLERANCE: f64 = 0.01;

/// What is noted of slices in another order than that of their positions.
pub(super) const UNORDERED: &str = "the slices are not in the order of their positions: the stack has no frame";
/// Slices that lie aside of the line through the first and the last by more than this share of a pixel have no frame.
const ASIDE: f64 = 0.5;

/// Where a slice lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plane {
    pub position: Option<[f64; 3]>,
    pub orientation: Option<[[f64; 3]; 2]>,
    pub spacing: Option<[f64; 2]>,
    pub thickness: Option<f64>,
}

impl Plane {
    pub fn of(h: &Header) -> Self {
        let spacing = h.pixel_spacing.or(h.imager_pixel_spacing);
        Plane { position: h.position, orientation: h.orientation, spacing, thickness: h.slice_thickness }
    }
}

/// Positions along the normal of the first plane, where all have a position.
pub(super) fn locations(planes: &[Plane]) -> Option<Vec<f64>> {
    let [row, column] = planes.first()?.orientation?;
    let normal = cross(row, column);
    planes.iter().map(|p| p.position.map(|position| dot(position, normal))).collect()
}

/// Where the slices of a stack lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Positions {
    /// Position along the slice normal, in millimetres.
    pub along: Vec<f64>,
    /// Image Position (Patient): centre of the first pixel, LPS+ millimetres.
    pub at: Vec<[f64; 3]>,
    /// Frame of Reference UID, where the slices have one.
    pub frame_of_reference: Option<String>,
    /// The slices are in another order than their files, or than their frames are stored.
    pub reordered: bool,
}

impl Positions {
    pub(super) fn of(planes: &[Plane], header: &Header) -> Option<Positions> {
        let at = planes.iter().map(|plane| plane.position).collect::<Option<Vec<_>>>()?;
        let frame_of_reference = header.frame_of_reference.clone();
        Some(Positions { along: locations(planes)?, at, frame_of_reference, reordered: false })
    }
}

/// Frame of a stack of planes, and what is odd about it.
pub(super) fn stack(planes: &[Plane], header: &Header) -> (Option<Geometry>, Vec<String>) {
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
            notes.push("slices without common orientation and positions: the slice spacing is assumed".into());
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
        notes.push(UNORDERED.into());
        let step = Some(step).filter(|s| *s > SAME_POSITION).or(assumed);
        return (unplaced(step), notes);
    }
    let (least, most) = steps.iter().fold((f64::MAX, 0.0f64), |(l, m), s| (l.min(s.abs()), m.max(s.abs())));
    if most - step > STEP_TOLERANCE * step || step - least > STEP_TOLERANCE * step {
        notes.push(format!(
            "the slice spacing varies from {least:.4} to {most:.4} mm: the median {step:.4} mm is \
            used"
        ));
    }
    if let Some(thickness) = first.thickness.filter(positive)
        && (thickness - step).abs() > STEP_TOLERANCE * step
    {
        notes.push(format!("Slice Thickness is {thickness} mm, the slice spacing {step:.4} mm"));
    }
    // From the first to the last slice, scaled to the median step along the normal: with a tilted gantry it leaves the
    // normal, and the affine is sheared.
    let last = planes[planes.len() - 1].position.unwrap_or_default();
    let span = locations[locations.len() - 1] - locations[0];
    let way: [f64; 3] = std::array::from_fn(|i| (last[i] - origin[i]) / span.abs());
    let aside = planes.iter().zip(&locations).filter_map(|(plane, location)| {
        let (at, along) = (plane.position?, (location - locations[0]).abs());
        let off: [f64; 3] = std::array::from_fn(|i| at[i] - origin[i] - along * way[i]);
        Some(dot(off, off).sqrt())
    });
    let farthest = aside.fold(0.0, f64::max);
    if farthest > ASIDE * row_step.min(column_step) {
        notes.push(format!(
            "slices are up to {farthest:.2} mm away from the line between the first and the last: the stack has no \
             frame"
        ));
        return (unplaced(Some(step)), notes);
    }
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

pub(super) fn same_orientation(a: [[f64; 3]; 2], b: [[f64; 3]; 2]) -> bool {
    a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() <= SAME_COSINE)
}
