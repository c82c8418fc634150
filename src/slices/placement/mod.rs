//! Placement of a mask on its image: the frames of both are compared before voxels are paired.
//!
//! A mask file has its own header, and programs store the same grid in every order: dcm2niix reverses the rows of
//! DICOM, SimpleITK and nibabel disagree about left and right, annotation programs crop and transpose. Pairing voxels
//! by their position in the file then puts a mask on the wrong pixels, and sizes that agree hide it. A mask is
//! therefore placed by both headers ([`Placement`]), by index only if one states no frame; contradictions are refused.

use std::fmt;

use super::{Error, Loaded};
use crate::formats::Scratch;
use crate::formats::dicom::Positions;
use crate::image::{Frame, Geometry, Image, axis_lengths};
use crate::spec::Pair;
use crate::with_samples;

mod map;
mod resample;
mod stacks;
#[cfg(test)]
mod tests;

use map::{Map, Order};

/// Grids are the same where no corner moves by this share of a voxel.
const HALF_VOXEL: f64 = 0.5;
/// Spacings that differ by less than this share are equal: headers round.
const SAME_SPACING: f64 = 0.01;
/// An origin nearer to zero than this (in millimetres) is none.
const AT_ZERO: f64 = 1e-6;

/// How the voxels of a mask found those of its image. The worst comes last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Both lie on the same grid in the same order, or neither is more than a picture.
    #[default]
    Same,
    /// The same grid, stored in another order: put into the image's order, exactly.
    Reordered,
    /// On another grid: each image voxel has the value of the nearest mask voxel.
    Resampled,
    /// By their position in the file: one header does not say where its voxels lie, or the spec says that it lies.
    ByIndex,
    /// By their position in the file, although the headers put them at another place: the same grid, except for the
    /// origin.
    Shifted,
}

impl Placement {
    /// All of them, the best first.
    pub const ALL: [Placement; 5] =
        [Placement::Same, Placement::Reordered, Placement::Resampled, Placement::ByIndex, Placement::Shifted];

    /// The word that the tables have for it.
    pub fn text(self) -> &'static str {
        match self {
            Placement::Same => "same",
            Placement::Reordered => "reordered",
            Placement::ByIndex => "by_index",
            Placement::Resampled => "resampled",
            Placement::Shifted => "shifted",
        }
    }

    /// What it means, for a summary that counts cases.
    pub fn meaning(self) -> &'static str {
        match self {
            Placement::Same => "on the same grid",
            Placement::Reordered => "masks in another storage order than their images, reordered exactly",
            Placement::ByIndex => "masks paired by index, because a header states no position or the spec overrides it",
            Placement::Resampled => "masks on another grid, resampled to the nearest voxel",
            Placement::Shifted => {
                "masks paired by index although their headers place them elsewhere: check them before use"
            }
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The grid of an image: all that placing a mask on it needs.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Name of the image, for messages.
    pub file: String,
    /// Voxels along x, y, z, t.
    pub size: [usize; 4],
    /// Where they lie, by the header.
    pub geometry: Option<Geometry>,
    /// Where each slice along z lies, in steps of the geometry from the first slice; `None` where they are 0, 1, 2, …
    /// DICOM series may lack slices.
    pub heights: Option<Vec<f64>>,
    /// Whether the header's frame may be believed (see [`crate::spec::HeaderTrust`]).
    pub believed: bool,
    /// Another frame that the header gives (NIfTI's qform in addition to its sform).
    pub other: Option<Geometry>,
    /// Where each slice lies, where slices say so themselves (DICOM).
    pub positions: Option<Positions>,
}

impl Grid {
    /// The grid of an image that was read.
    pub fn of(loaded: &Loaded) -> Grid {
        let step = loaded.image.geometry.as_ref().map(|g| g.spacing[2]).filter(|step| *step > 0.0);
        let heights = loaded.positions.as_ref().zip(step).map(|(positions, step)| {
            let first = positions.along.first().copied().unwrap_or(0.0);
            positions.along.iter().map(|p| (p - first).abs() / step).collect::<Vec<f64>>()
        });
        // Rounded decimals are no reason to leave the straight way.
        let regular = |h: &Vec<f64>| h.iter().enumerate().all(|(i, h)| (h - i as f64).abs() < 0.02);
        Grid {
            file: loaded.file.clone(),
            size: loaded.image.size,
            geometry: loaded.image.geometry.clone(),
            heights: heights.filter(|h| h.len() == loaded.image.size[2] && !regular(h)),
            believed: true,
            other: loaded
                .image
                .geometry
                .as_ref()
                .zip(loaded.image.meaning.other_frame)
                .map(|(geometry, affine)| Geometry { spacing: geometry.spacing, affine, frame: Frame::Qform }),
            positions: loaded.positions.clone(),
        }
    }

    /// The frame, where the header says more than distances.
    fn frame(&self) -> Option<&Geometry> {
        self.geometry.as_ref().filter(|g| g.frame != Frame::Spacing)
    }

    /// Index along z of slice `z`, as the affine counts.
    fn height(&self, z: usize) -> f64 {
        self.heights.as_ref().map_or(z as f64, |heights| heights[z])
    }

    /// Corners of every slice, as indices and as the affine counts them.
    fn corners(&self) -> impl Iterator<Item = ([usize; 3], [f64; 3])> + '_ {
        let [nx, ny, nz, _] = self.size;
        let ends = [
            [0, 0],
            [nx.saturating_sub(1), 0],
            [0, ny.saturating_sub(1)],
            [nx.saturating_sub(1), ny.saturating_sub(1)],
        ];
        (0..nz).flat_map(move |z| ends.map(|[x, y]| ([x, y, z], [x as f64, y as f64, self.height(z)])))
    }
}

/// Size, voxels, axes and origin, as text.
impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z, t] = self.size;
        write!(f, "{x} x {y} x {z}")?;
        if t > 1 {
            write!(f, " x {t}")?;
        }
        let rounded = |v: f64| (v * 1e3).round() / 1e3 + 0.0;
        let Some(geometry) = &self.geometry else { return write!(f, " voxels, and no word of where they lie") };
        let [sx, sy, sz] = geometry.spacing.map(rounded);
        write!(f, " voxels of {sx} x {sy} x {sz} mm")?;
        if geometry.frame == Frame::Spacing {
            return write!(f, ", and no word of where they lie");
        }
        let [ox, oy, oz] = geometry.to_world([0.0; 3]).map(rounded);
        write!(f, ", axes {}, the first voxel at {ox}, {oy}, {oz} mm", geometry.orientation())
    }
}

/// A mask that has found its image.
#[derive(Debug)]
pub struct Placed {
    /// The mask: on the image's grid, or, where `slices` says so, slice by slice.
    pub mask: Loaded,
    /// For each mask slice along z the image slice that it belongs to, where that is not simply the one of the same
    /// number.
    pub slices: Option<Vec<Option<usize>>>,
    /// How it was placed.
    pub placement: Placement,
    /// How far voxels that were paired lie apart by their headers, at most, in millimetres. `None` where a header does
    /// not say.
    pub error_mm: Option<f64>,
    /// What a user should know of it.
    pub notes: Vec<String>,
}

impl Placed {
    fn as_it_is(mask: Loaded, placement: Placement, error_mm: Option<f64>) -> Placed {
        Placed { mask, slices: None, placement, error_mm: error_mm.map(rounded), notes: Vec::new() }
    }

    /// A mask that was drawn on the pixels of its image.
    pub fn on_its_image(mask: Loaded) -> Placed {
        Placed::as_it_is(mask, Placement::Same, None)
    }

    fn noting_all(mut self, notes: Vec<String>) -> Placed {
        self.notes.extend(notes);
        self
    }

    fn noting(mut self, note: String) -> Placed {
        self.notes.push(note);
        self
    }
}

/// Millimetres without the digits that rounding in headers leaves.
pub(super) fn rounded(mm: f64) -> f64 {
    (mm * 1e4).round() / 1e4
}

/// Names of the slices of a stack, in the order of its slices, and what the spec calls them.
#[derive(Clone, Copy, Debug)]
pub struct SliceNames<'a> {
    /// The capture that numbers them.
    pub capture: &'a str,
    /// Text of the capture of each slice.
    pub texts: &'a [String],
}

/// Places a mask on the grid of its image. `names` are those of the slices of image and mask, where they are stacks of
/// files. A mask that is stored in another order gives its memory to `scratch`.
///
/// # Errors
/// [`Error::Placement`] where the frames contradict each other in a way that `pair` does not allow; the message has
/// both.
pub fn place(
    image: &Grid,
    mask: Loaded,
    pair: Pair,
    names: [Option<SliceNames>; 2],
    scratch: &mut Scratch,
) -> Result<Placed, Error> {
    let strangers = frames_of_reference_differ(image, &mask);
    let placed = place_by(image, mask, pair, names, scratch)?;
    Ok(match strangers {
        true => placed.noting(
            "its frame of reference is another one than its image's: positions were compared all the same".into(),
        ),
        false => placed,
    })
}

/// Whether two DICOM series say that their positions are measured from different origins.
fn frames_of_reference_differ(image: &Grid, mask: &Loaded) -> bool {
    let uid = |positions: &Option<Positions>| positions.as_ref().and_then(|p| p.frame_of_reference.clone());
    matches!((uid(&image.positions), uid(&mask.positions)), (Some(a), Some(b)) if a != b)
}

fn place_by(
    image: &Grid,
    mask: Loaded,
    pair: Pair,
    names: [Option<SliceNames>; 2],
    scratch: &mut Scratch,
) -> Result<Placed, Error> {
    match pair {
        Pair::Index => by_index(image, mask, "the spec pairs by index"),
        Pair::Position => stacks::by_position(image, mask),
        Pair::Space => by_space(image, mask, scratch),
        Pair::Grid => {
            let own = Grid::of(&mask);
            let framed = image.frame().is_some() && own.frame().is_some();
            let named = match names {
                [Some(of), Some(at)] => stacks::by_name(of, at),
                _ => Ok(None),
            };
            match named {
                // Headers decide; names that are equal may not say otherwise.
                Ok(Some(named)) if framed && named.exact => {
                    stacks::agree(image, &own, &named.slices).map_err(|reason| stack_error(&mask, reason))?;
                    by_headers(image, mask, scratch)
                }
                _ if framed => by_headers(image, mask, scratch),
                Ok(Some(named)) => stacks::named(image, mask, named.slices),
                Err(reason) => Err(stack_error(&mask, reason)),
                Ok(None) => {
                    let placed = by_headers(image, mask, scratch)?;
                    Ok(match names {
                        [Some(of), at] => placed.noting_all(stacks::order_notes(of, at)),
                        _ => placed,
                    })
                }
            }
        }
    }
}

fn stack_error(mask: &Loaded, reason: String) -> Error {
    Error::Stack { file: mask.file.clone(), reason }
}

/// The rule for pairs of which the spec says no more: the same grid in any order, or by index where a header is silent.
fn by_headers(image: &Grid, mask: Loaded, scratch: &mut Scratch) -> Result<Placed, Error> {
    let own = Grid::of(&mask);
    let (Some(at), Some(of)) = (image.frame(), own.frame()) else {
        return without_frames(image, &own, mask);
    };
    let same_axes = same_size(image, &own);
    let mask = match on_the_grid(image, mask, scratch) {
        Ok(placed) => return Ok(placed),
        Err(mask) => *mask,
    };
    let Some(map) = Map::between(at, of).filter(|_| Map::between(of, at).is_some()) else {
        // Equal headers are equal, even those of a flat picture, which span no volume.
        if same_axes && at.affine == of.affine {
            return Ok(Placed::as_it_is(mask, Placement::Same, Some(0.0)));
        }
        return Err(refused(image, &own, &mask, "the axes of one of them do not span a volume".into()));
    };
    if stacks::lies_in_plane(&map, image, &own) && stacks::meets(image, &own) {
        return stacks::by_position(image, mask);
    }
    if !image.believed {
        return by_index(image, mask, "the spec says that the image's header is not true");
    }
    if same_axes && says_nothing(of, at) {
        return by_index(image, mask, "its header has the frame that programs write which know none");
    }
    if same_axes && map.only_shifts(image, &own) {
        let distance = map.farthest_mm(image, &own);
        let note = format!(
            "paired by index, although its header puts it {distance:.2} mm away from its image (the origins differ)"
        );
        return Ok(Placed::as_it_is(mask, Placement::Shifted, Some(distance)).noting(note));
    }
    if same_axes && says_nothing(at, of) {
        return by_index(image, mask, "its image's header has the frame that programs write which know none");
    }
    Err(refused(image, &own, &mask, difference(&map, image, &own, [at, of])))
}

/// A mask on the image's own grid, in whatever order it is stored, by any of the frames that the two headers give; the
/// mask comes back where it is on another one.
fn on_the_grid(image: &Grid, mask: Loaded, scratch: &mut Scratch) -> Result<Placed, Box<Loaded>> {
    let own = Grid::of(&mask);
    let frames = |grid: &Grid| -> Vec<Geometry> { grid.frame().into_iter().chain(&grid.other).cloned().collect() };
    for (n, at) in frames(image).iter().enumerate() {
        for (m, of) in frames(&own).iter().enumerate() {
            let Some(map) = Map::between(at, of) else { continue };
            let told = |placed: Placed| match (n, m) {
                (0, 0) => placed,
                _ => placed.noting(
                    "the sform and the qform of a header disagree; one of them puts the mask on its image's grid"
                        .into(),
                ),
            };
            if same_size(image, &own)
                && let Some(error) = map.moves_less_than_half(image, &own)
            {
                return Ok(told(Placed::as_it_is(mask, Placement::Same, Some(error))));
            }
            if let Some((order, error)) = map.order(image, &own) {
                let placed =
                    Placed::as_it_is(reordered(image, mask, order, scratch), Placement::Reordered, Some(error));
                return Ok(told(placed.noting(stored_otherwise(at, of))));
            }
        }
    }
    Err(Box::new(mask))
}

/// Where one side or both do not say where their axes point.
fn without_frames(image: &Grid, own: &Grid, mask: Loaded) -> Result<Placed, Error> {
    let silent = |grid: &Grid| grid.frame().is_none();
    if image.positions.is_some() && own.positions.is_some() {
        return stacks::by_position(image, mask);
    }
    match (&image.geometry, &own.geometry) {
        // Distances alone contradict each other only where both are volumes: those of a picture say how it prints.
        (Some(a), Some(b)) if silent(image) && silent(own) => {
            let unit = |g: &Geometry| g.spacing.iter().all(|s| (s - 1.0).abs() < 1e-6);
            let equal = same_spacing(a.spacing, b.spacing);
            if !equal && image.size[2] > 1 && image.believed && !unit(a) && !unit(b) {
                let [x, y, z] = b.spacing;
                let [ix, iy, iz] = a.spacing;
                let why = format!("their voxels are of {x} x {y} x {z} and {ix} x {iy} x {iz} mm");
                return Err(refused(image, own, &mask, why));
            }
            check_size(image, own, &mask)?;
            let placement = if equal || image.size[2] == 1 { Placement::Same } else { Placement::ByIndex };
            let placed = Placed::as_it_is(mask, placement, None);
            Ok(match placement {
                Placement::Same => placed,
                _ => placed.noting("paired by index: the headers give distances alone, and not the same ones".into()),
            })
        }
        _ if silent(image) && silent(own) => {
            check_size(image, own, &mask)?;
            known_order(image, own, &mask)?;
            Ok(Placed::as_it_is(mask, Placement::Same, None))
        }
        _ => {
            let who = if silent(own) { "it does" } else { "its image does" };
            by_index(image, mask, &format!("{who} not say where its voxels lie"))
        }
    }
}

/// Whether a frame is the one that array libraries write who know none: unit voxels, or those of the other frame, axes
/// along RAS+ or LPS+, and the first voxel at zero.
fn says_nothing(frame: &Geometry, other: &Geometry) -> bool {
    let a = &frame.affine;
    let straight = (0..3).all(|r| (0..3).all(|c| r == c || a[r][c].abs() < AT_ZERO));
    let at_zero = (0..3).all(|r| a[r][3].abs() < AT_ZERO);
    let signs = [a[0][0] > 0.0, a[1][1] > 0.0, a[2][2] > 0.0];
    let size = [a[0][0].abs(), a[1][1].abs(), a[2][2].abs()];
    let unit = size.iter().all(|s| (s - 1.0).abs() < 1e-6);
    straight
        && at_zero
        && matches!(signs, [true, true, true] | [false, false, true])
        && (unit || same_spacing(size, axis_lengths(&other.affine)))
}

fn same_spacing(a: [f64; 3], b: [f64; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= SAME_SPACING * b)
}

fn same_size(image: &Grid, mask: &Grid) -> bool {
    image.size == mask.size
}

/// Slices pair by index only where it is known in which order both sides have them.
fn known_order(image: &Grid, own: &Grid, mask: &Loaded) -> Result<(), Error> {
    let reordered = |grid: &Grid| grid.positions.as_ref().is_some_and(|positions| positions.reordered);
    for (side, file) in [(image, &image.file), (own, &mask.file)] {
        if reordered(side) && side.size[2] > 1 {
            let reason = "its slices lie in another order by position than by name, and the other side does not say where \
                          its own lie: the spec must say which is meant, order = \"position\" or order = \"name\"";
            return Err(Error::Stack { file: file.clone(), reason: reason.into() });
        }
    }
    Ok(())
}

fn check_size(image: &Grid, own: &Grid, mask: &Loaded) -> Result<(), Error> {
    if same_size(image, own) {
        return Ok(());
    }
    Err(Error::Shape { mask: mask.file.clone(), image: image.file.clone(), found: own.size, expected: image.size })
}

fn by_index(image: &Grid, mask: Loaded, why: &str) -> Result<Placed, Error> {
    let own = Grid::of(&mask);
    check_size(image, &own, &mask)?;
    known_order(image, &own, &mask)?;
    Ok(Placed::as_it_is(mask, Placement::ByIndex, None).noting(format!("paired by index: {why}")))
}

/// The rule for `pair = "space"`: by the headers alone, nearest voxel where the grids differ.
fn by_space(image: &Grid, mask: Loaded, scratch: &mut Scratch) -> Result<Placed, Error> {
    let own = Grid::of(&mask);
    let problem = |reason: String| Error::Spec { file: mask.file.clone(), reason };
    let frame = |of: &Grid| {
        let unplaced = || problem(format!("the spec pairs by place, but {} does not say where it lies", of.file));
        of.frame().cloned().ok_or_else(unplaced)
    };
    let (at, of) = (frame(image)?, frame(&own)?);
    let flat = |of: &Grid| problem(format!("the axes of {} do not span a volume", of.file));
    let map = Map::between(&at, &of).ok_or_else(|| flat(&own))?;
    let back = Map::between(&of, &at).ok_or_else(|| flat(image))?;
    match on_the_grid(image, mask, scratch) {
        Ok(placed) => Ok(placed),
        Err(mask) => resample::onto(image, &own, *mask, &map, &back),
    }
}

fn stored_otherwise(image: &Geometry, mask: &Geometry) -> String {
    format!("stored along {}, but the image along {}: reordered exactly", mask.orientation(), image.orientation())
}

/// The difference between two frames, as text.
fn difference(map: &Map, image: &Grid, own: &Grid, [at, of]: [&Geometry; 2]) -> String {
    let mut parts = Vec::new();
    if image.size != own.size {
        parts.push("they have other sizes".to_string());
    }
    if !same_spacing(axis_lengths(&of.affine), axis_lengths(&at.affine)) {
        parts.push("their voxels have other sizes".to_string());
    }
    if at.orientation() != of.orientation() {
        parts.push(format!("their axes point to {} and {}", of.orientation(), at.orientation()));
    }
    if image.size == own.size {
        parts.push(format!("voxels of one index lie up to {:.2} mm apart", map.farthest_mm(image, own)));
    }
    parts.join(", ")
}

fn refused(image: &Grid, own: &Grid, mask: &Loaded, why: String) -> Error {
    Error::Placement {
        mask: mask.file.clone(),
        image: image.file.clone(),
        mask_grid: own.to_string(),
        image_grid: image.to_string(),
        why,
    }
}

/// The mask in the order of the image's axes.
fn reordered(image: &Grid, mask: Loaded, order: Order, scratch: &mut Scratch) -> Loaded {
    let samples = with_samples!(&mask.image.samples, values => order.gathered(values, &mask.image).into());
    let Image { size, samples: old, components, bits, scaling, palette, meaning, notes, .. } = mask.image;
    scratch.recycle(old);
    let size = [order.size_of(size, 0), order.size_of(size, 1), order.size_of(size, 2), size[3]];
    let geometry = image.geometry.clone();
    let image = Image { size, components, samples, bits, scaling, geometry, palette, meaning, notes };
    Loaded { file: mask.file, image, positions: None, files: Vec::new() }
}
