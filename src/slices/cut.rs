//! One case: its image read and cut, its masks read one after another and placed on the slices, what is too small
//! dropped.

use rayon::prelude::*;

use super::intensity::{Rule, to_grey};
use super::labels::{Decoder, same_orientation};
use super::load::{Loaded, load};
use super::notes::Notes;
use super::picture::{Fingerprint, as_grey_if_equal, without_alpha};
use super::placement::{Grid, Placed, Placement, SliceNames, place, rounded};
use super::plane::{Axis, anatomical_plane, main_axis, slice_size, slice_values};
use super::{CaseSlices, Error, ObjectMask, Options, Raters, Scratch, Slice, names, png, rle_table, segments};
use crate::digest::sha256_each;
use crate::image::{Frame, Geometry, Image};
use crate::mask::{Connectivity, Mask};
use crate::memory::Beyond;
use crate::raw::Tree;
use crate::sources::{Case, CaseMask};
use crate::spec::{Decode, FourthAxis, HeaderTrust, ImagePart, Plane, Spec};
use crate::with_samples;

/// Slices that are made together, because digests of several pictures take half as long as those of one after the
/// other.
const TOGETHER: usize = 16;

/// Takes a mask that has found its image, with what the spec says of it.
pub(super) type Add<'f> = dyn FnMut(&CaseMask, &Placed) -> Result<(), Error> + 'f;

/// Gives a mask to `add`, and its memory to `scratch`.
pub(super) fn give(add: &mut Add, found: &CaseMask, placed: Placed, scratch: &mut Scratch) -> Result<(), Error> {
    let added = add(found, &placed);
    scratch.volumes.recycle(placed.mask.image.samples);
    added
}

/// Frame, position and masks of a slice that stays.
type Kept = (usize, usize, Vec<ObjectMask>);

/// Reads a case and cuts it into slices. The files are read into the memory of `scratch`, which is used again for the
/// next case.
///
/// # Errors
/// The first file that cannot be read, does not fit its image, or holds a label that the spec does not know.
pub fn cut(
    case: &Case,
    spec: &Spec,
    tree: &Tree,
    options: &Options,
    scratch: &mut Scratch,
) -> Result<CaseSlices, Error> {
    let budget = tree.budget();
    let attempt = || {
        scratch.begin(budget);
        let cut = cut_alone(case, spec, tree, options, scratch);
        scratch.end(budget);
        cut
    };
    budget.in_turn(attempt, Error::is_crowded)
}

/// As [`cut`], in the memory that is free now.
fn cut_alone(
    case: &Case,
    spec: &Spec,
    tree: &Tree,
    options: &Options,
    scratch: &mut Scratch,
) -> Result<CaseSlices, Error> {
    let mut loaded = load(tree, &case.image, spec.layout[case.layout].image.order, scratch)?;
    // The pictures of all slices, and the colours of a palette: a byte for each value and component.
    let colours = if loaded.image.palette.is_some() { 6 } else { 1 };
    let pictures = (loaded.image.samples.len() as u64).saturating_mul(colours);
    let beyond = |beyond: Beyond| Error::Format { file: loaded.file.clone(), source: beyond.into() };
    scratch.volumes.room.take(pictures).map_err(beyond)?;
    // A palette picture is meant as it looks.
    loaded.image = loaded.image.expand_palette();
    let cut = cut_loaded(case, spec, tree, options, &mut loaded, scratch);
    scratch.volumes.recycle(loaded.image.samples);
    cut
}

/// As [`cut`], of the image that was loaded.
fn cut_loaded(
    case: &Case,
    spec: &Spec,
    tree: &Tree,
    options: &Options,
    loaded: &mut Loaded,
    scratch: &mut Scratch,
) -> Result<CaseSlices, Error> {
    let rules = &spec.layout[case.layout].image;
    // A single slice in several sequences has no axis of slices, and they lie along the third: the same pixels in
    // order.
    let sequences = rules.channels.len();
    if rules.fourth_axis == FourthAxis::Sequences && loaded.image.size[2..] == [sequences, 1] {
        loaded.image.size[2..].copy_from_slice(&[1, sequences]);
    }
    if rules.fourth_axis == FourthAxis::None && loaded.image.size[3] > 1 {
        let found = loaded.image.size[3];
        let reason = format!("the spec expects three dimensions, but the file has a fourth with {found} steps");
        return Err(Error::Spec { file: loaded.file.clone(), reason });
    }
    if let Some(channel) = case.channel
        && channel >= loaded.image.size[3]
    {
        let found = loaded.image.size[3];
        let reason = format!("the spec expects sequence {channel} along the fourth axis, which has {found} steps");
        return Err(Error::Spec { file: loaded.file.clone(), reason });
    }
    let frames = if rules.fourth_axis == FourthAxis::Frames { loaded.image.size[3] } else { 1 };
    let mut grid = Grid::of(loaded);
    grid.size[3] = frames;
    grid.believed = rules.header == HeaderTrust::Full && rules.spacing_mm.is_none();
    loaded.image.geometry = true_frame(rules, loaded.image.geometry.take());
    let loaded = &*loaded;
    let problem = |reason: String| Error::Spec { file: loaded.file.clone(), reason };
    let image = &loaded.image;
    let axes = axes(planes(rules, options), image).map_err(problem)?;
    let rule = Rule::new(options.intensity.unwrap_or(rules.intensity), image).map_err(problem)?;

    let reader = MaskReader { spec, case, tree, image: loaded, grid: &grid };
    let mut notes = Notes::of_image(&loaded.image.notes);
    for (file, said) in names::check(case, spec, tree)? {
        notes.of_mask(&file, said.iter());
    }
    let (mut placement, mut error_mm) = (Placement::Same, None::<f64>);
    let mut stacks: Vec<Objects> =
        axes.iter().map(|&axis| Objects::new(axis, slice_size(image, axis).2, frames)).collect();
    for found in wanted(&case.masks, options.raters) {
        // Masks are in memory one after the other.
        let room = scratch.volumes.room.clone();
        scratch.volumes.room = room.part();
        let added = reader.each(found, scratch, &mut |found, placed| {
            placement = placement.max(placed.placement);
            error_mm = error_mm.into_iter().chain(placed.error_mm).reduce(f64::max);
            let mut said = Vec::new();
            for objects in &mut stacks {
                // What is said of a mask along one axis is said along all.
                said = objects.add(found, &reader, placed)?;
            }
            notes.of_mask(&placed.mask.file, placed.mask.image.notes.iter().chain(&placed.notes).chain(&said));
            Ok(())
        });
        scratch.volumes.room = room;
        added?;
    }

    let geometry = image.geometry.as_ref();
    let mut cut = CaseSlices {
        dtype: image.samples.dtype(),
        shape: stored_shape(image),
        spacing: geometry.map(|g| g.spacing),
        orientation: geometry.filter(|g| g.frame != Frame::Spacing).map(|g| g.orientation()),
        affine: geometry.filter(|g| g.frame != Frame::Spacing).map(|g| g.affine),
        plane: String::new(),
        n_slices: 0,
        slices: Vec::new(),
        empty_slices: 0,
        dropped_slices: 0,
        dropped_masks: 0,
        placement,
        placement_error_mm: error_mm.map(rounded),
        notes: notes.sentences(),
    };
    for mut objects in stacks {
        let axis = objects.axis;
        if options.raters == Raters::Majority {
            objects.vote();
        }
        if options.split_components {
            objects.split_components();
        }
        let (kept, counts) = objects.keep(options.min_area);
        let plane = plane_name(rules, options, axis, image);
        cut.plane = if cut.plane.is_empty() { plane.clone() } else { format!("{}, {plane}", cut.plane) };
        cut.n_slices += (slice_size(image, axis).2 * frames) as u32;
        cut.empty_slices += counts.empty_slices;
        cut.dropped_slices += counts.dropped_slices;
        cut.dropped_masks += counts.dropped_masks;
        let cutter = Cutter { image, axis, plane, rule, framed: frames > 1, channel: case.channel };
        let together = kept.into_par_iter().chunks(TOGETHER);
        let slices = together.map_init(png::Encoder::default, |encoder, kept| cutter.slices(kept, encoder));
        cut.slices.par_extend(slices.flatten_iter());
    }
    // Planes one after the other are not in the order of names.
    cut.slices.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cut)
}

/// The planes to cut: those of the command, else those of the spec.
fn planes<'a>(rules: &'a ImagePart, options: &'a Options) -> &'a [Plane] {
    match (&options.planes[..], &rules.planes[..]) {
        ([], []) => std::slice::from_ref(&rules.plane),
        ([], planes) | (planes, _) => planes,
    }
}

/// The file axes that are cut across; planes that are the same one count once.
fn axes(planes: &[Plane], image: &Image) -> Result<Vec<Axis>, String> {
    let mut axes = Vec::new();
    for &plane in planes {
        let axis = main_axis(plane, image.size, image.geometry.as_ref())?;
        if !axes.contains(&axis) {
            axes.push(axis);
        }
    }
    Ok(axes)
}

fn plane_name(rules: &ImagePart, options: &Options, axis: Axis, image: &Image) -> String {
    let geometry = image.geometry.as_ref();
    let single_picture = image.size[axis.index()] == 1 && geometry.is_none_or(|g| g.frame == Frame::Spacing);
    match rules.plane_name {
        _ if single_picture => "picture".into(),
        // Another plane than the spec's has no name.
        Some(name) if options.planes.is_empty() && rules.planes.is_empty() => name.text().into(),
        _ => anatomical_plane(axis, geometry),
    }
}

/// Reads the masks of a case and places them on its image.
pub(super) struct MaskReader<'a> {
    pub spec: &'a Spec,
    pub case: &'a Case,
    pub tree: &'a Tree,
    pub image: &'a Loaded,
    pub grid: &'a Grid,
}

impl MaskReader<'_> {
    /// Gives the masks of `found` to `add`, one after the other: those of a container of segments, or the one of an
    /// image.
    fn each(&self, found: &CaseMask, scratch: &mut Scratch, add: &mut Add) -> Result<(), Error> {
        let layout = &self.spec.layout[self.case.layout];
        let part = &layout.mask[found.part];
        if let (Decode::RleTable { id, runs, .. }, Some(row)) = (&part.decode, &found.row) {
            // Runs are counted on the image's own pixels.
            let mask = rle_table::load(self.tree, found.files[0], row, [id, runs], &self.image.image)?;
            return give(add, found, Placed::on_its_image(mask), scratch);
        }
        let Some(mask) = segments::add_each(self, part, found, scratch, add)? else { return Ok(()) };
        same_orientation(&self.image.image, &mask.image)
            .map_err(|reason| Error::Spec { file: mask.file.clone(), reason })?;
        let image_names = ordered(&self.case.image_keys, &self.image.files);
        let mask_names = ordered(&found.keys, &mask.files);
        let names = [
            layout.image.stack.as_deref().map(|capture| SliceNames { capture, texts: &image_names }),
            part.stack.as_deref().map(|capture| SliceNames { capture, texts: &mask_names }),
        ];
        let placed = place(self.grid, mask, part.pair, names, &mut scratch.volumes)?;
        if placed.placement == Placement::Resampled && matches!(part.decode, Decode::Binary { inverted: true, .. }) {
            let reason = "an inverted mask cannot be resampled: everything outside it would become the object";
            return Err(Error::Spec { file: placed.mask.file, reason: reason.into() });
        }
        give(add, found, placed, scratch)
    }
}

/// Texts of the files of a stack in the order of its slices.
fn ordered(texts: &[String], files: &[usize]) -> Vec<String> {
    files.iter().filter_map(|&file| texts.get(file).cloned()).collect()
}

/// What of the frame in a header the spec holds for true, with the spacing that the spec itself may give.
fn true_frame(rules: &ImagePart, found: Option<Geometry>) -> Option<Geometry> {
    match (rules.spacing_mm, rules.header) {
        (Some(spacing), _) => Some(Geometry::from_spacing(spacing)),
        (None, HeaderTrust::Full) => found,
        (None, HeaderTrust::SpacingOnly) => found.map(|g| Geometry::from_spacing(g.spacing)),
        (None, HeaderTrust::None) => None,
    }
}

/// The masks to read: all of them, or for each object only those of the reference rater.
fn wanted(masks: &[CaseMask], raters: Raters) -> impl Iterator<Item = &CaseMask> {
    masks.iter().filter(move |mask| raters != Raters::First || mask.rater_rank == 0)
}

/// Stored shape, slowest axis first, without axes of length one that are only there to fill four dimensions.
fn stored_shape(image: &Image) -> Vec<u32> {
    let [x, y, z, t] = image.size;
    let mut shape: Vec<usize> = vec![t, z, y, x];
    while shape.len() > 2 && shape[0] == 1 {
        shape.remove(0);
    }
    if image.components > 1 {
        shape.push(image.components);
    }
    shape.into_iter().map(|n| n as u32).collect()
}

/// The objects of every slice of a case along one axis, frame by frame.
struct Objects {
    axis: Axis,
    slices: usize,
    cells: Vec<Vec<ObjectMask>>,
}

#[derive(Default)]
struct Counts {
    empty_slices: u32,
    dropped_slices: u32,
    dropped_masks: u32,
}

impl Objects {
    fn new(axis: Axis, slices: usize, frames: usize) -> Self {
        Objects { axis, slices, cells: vec![Vec::new(); slices * frames] }
    }

    /// Lays the objects of a mask on the slices; what is worth noting of its values comes back.
    fn add(&mut self, found: &CaseMask, reader: &MaskReader, placed: &Placed) -> Result<Vec<String>, Error> {
        let spec = reader.spec;
        let part = &spec.layout[reader.case.layout].mask[found.part];
        let mask = &placed.mask.image;
        let slice_of: Vec<Option<usize>> = match &placed.slices {
            None => (0..self.slices).map(Some).collect(),
            Some(slices) if self.axis == Axis::Z => slices.clone(),
            Some(_) => {
                let reason = "its slices differ from those of the image: the volume can only be cut along the stack";
                return Err(Error::Stack { file: placed.mask.file.clone(), reason: reason.into() });
            }
        };
        let table = part.labels.as_ref().and_then(|name| spec.labels.get(name));
        let decoder = Decoder::new(part, table, found, &placed.mask.file, mask, self.axis)?;
        let frames = self.cells.len() / self.slices;
        let places: Vec<(usize, usize, usize)> = (0..frames)
            .flat_map(|frame| slice_of.iter().enumerate().filter_map(move |(from, to)| Some((frame, from, (*to)?))))
            .collect();
        let objects: Vec<(usize, Vec<ObjectMask>)> = places
            .into_par_iter()
            .map(|(frame, from, to)| Ok((frame * self.slices + to, decoder.objects(from, frame)?)))
            .collect::<Result<_, Error>>()?;
        for (cell, masks) in objects {
            self.cells[cell].extend(masks);
        }
        Ok(decoder.notes)
    }

    /// One mask for each label: the pixels that more than half of the raters drew. A rater who drew nothing in a slice
    /// votes against it.
    fn vote(&mut self) {
        let mut raters: std::collections::BTreeMap<(String, String), std::collections::BTreeSet<Option<String>>> =
            Default::default();
        for object in self.cells.iter().flatten() {
            raters.entry(identity(object)).or_default().insert(object.rater.clone());
        }
        for cell in &mut self.cells {
            let mut voted: Vec<ObjectMask> = Vec::new();
            for object in cell.iter() {
                if voted.iter().any(|v| identity(v) == identity(object)) {
                    continue;
                }
                let voters = raters[&identity(object)].len();
                if voters < 2 {
                    voted.push(object.clone());
                    continue;
                }
                let ballots: Vec<&Mask> =
                    cell.iter().filter(|o| identity(o) == identity(object)).map(|o| &o.mask).collect();
                let (height, width) = (object.mask.height(), object.mask.width());
                let mut votes = vec![0u16; height as usize * width as usize];
                for ballot in ballots {
                    for (x, y0, y1) in ballot.column_runs() {
                        for y in y0..y1 {
                            votes[y as usize * width as usize + x as usize] += 1;
                        }
                    }
                }
                let mask = Mask::from_predicate(height, width, |i| 2 * votes[i] as usize > voters);
                voted.push(ObjectMask { rater: Some("majority".into()), rater_rank: 0, mask, ..object.clone() });
            }
            voted.retain(|o| !o.mask.is_empty());
            *cell = voted;
        }
    }

    fn split_components(&mut self) {
        for cell in &mut self.cells {
            *cell = std::mem::take(cell)
                .into_iter()
                .flat_map(|object| {
                    let parts = object.mask.components(Connectivity::Eight);
                    parts.into_iter().zip(1..).map(move |(mask, n)| ObjectMask {
                        instance: Some(n),
                        mask,
                        ..object.clone()
                    })
                })
                .collect();
        }
    }

    /// Drops masks of `min_area` pixels or fewer, then slices without any: frame, slice and masks of those that stay.
    fn keep(self, min_area: u32) -> (Vec<Kept>, Counts) {
        let (mut kept, mut counts) = (Vec::new(), Counts::default());
        for (cell, mut masks) in self.cells.into_iter().enumerate() {
            if masks.is_empty() {
                counts.empty_slices += 1;
                continue;
            }
            let before = masks.len();
            masks.retain(|m| m.mask.area() > min_area as u64);
            counts.dropped_masks += (before - masks.len()) as u32;
            if masks.is_empty() {
                counts.dropped_slices += 1;
            } else {
                kept.push((cell / self.slices, cell % self.slices, masks));
            }
        }
        (kept, counts)
    }
}

fn identity(object: &ObjectMask) -> (String, String) {
    (object.label_value.clone(), object.label.name.clone())
}

/// What slices are cut from, and how.
struct Cutter<'a> {
    image: &'a Image,
    axis: Axis,
    plane: String,
    rule: Rule,
    /// Whether names tell the frame.
    framed: bool,
    /// The step of the fourth axis that is cut, where it is not the frame's.
    channel: Option<usize>,
}

/// The 8-bit pixels of a slice.
struct Picture {
    pixels: Vec<u8>,
    channels: u8,
    /// Real values of 0 and 255.
    ends: (f64, f64),
}

impl Cutter<'_> {
    /// Slices that are kept, of which the frame, the position and the masks are given.
    fn slices(&self, kept: Vec<Kept>, encoder: &mut png::Encoder) -> Vec<Slice> {
        let pictures: Vec<Picture> = kept.iter().map(|(frame, index, _)| self.picture(*frame, *index)).collect();
        let digests = sha256_each(&pictures.iter().map(|picture| &picture.pixels[..]).collect::<Vec<_>>());
        let parts = kept.into_iter().zip(pictures).zip(digests);
        parts.map(|((kept, picture), digest)| self.slice(kept, picture, digest, encoder)).collect()
    }

    fn picture(&self, frame: usize, index: usize) -> Picture {
        let image = self.image;
        let (grey, channels) = with_samples!(&image.samples, values => {
            let plane = slice_values(image, values, self.axis, index, self.channel.unwrap_or(frame));
            // Alpha is no intensity: it goes before it can stretch the range.
            let (plane, channels) = without_alpha(plane, image.components);
            (to_grey(&plane, image.scaling, self.rule, image.meaning.padding), channels)
        });
        let (pixels, channels) = as_grey_if_equal(grey.pixels, channels);
        Picture { pixels, channels, ends: (grey.min, grey.max) }
    }

    fn slice(
        &self,
        (frame, index, masks): Kept,
        picture: Picture,
        pixels_sha256: String,
        encoder: &mut png::Encoder,
    ) -> Slice {
        let Picture { pixels, channels, ends } = picture;
        let (rows, columns, _) = slice_size(self.image, self.axis);
        let (height, width) = (rows as u32, columns as u32);
        let fingerprint = Fingerprint::of(&pixels, columns, rows, channels);
        let (row_axis, column_axis) = self.axis.rows_and_columns();
        let letter = self.axis.letter();
        Slice {
            name: if self.framed { format!("t{frame:04}_{letter}{index:04}") } else { format!("{letter}{index:04}") },
            plane: self.plane.clone(),
            index: index as u32,
            frame: frame as u32,
            height,
            width,
            channels,
            spacing: self.image.geometry.as_ref().map(|g| (g.spacing[row_axis], g.spacing[column_axis])),
            intensity_min: ends.0,
            intensity_max: ends.1,
            pixels_sha256,
            perceptual_hash: fingerprint.perceptual_hash(),
            thumbnail: fingerprint.levels(),
            png: encoder.encode(&pixels, width, height, channels),
            masks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_true_of_a_header_is_used() {
        let found = Geometry::from_lps([0.0; 3], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [0.3, 0.2, 1.0]);
        let frame = |key: &str| {
            let rules: ImagePart = toml::from_str(&format!("path = []\nsequence = \"US\"\n{key}")).unwrap();
            true_frame(&rules, Some(found.clone())).map(|g| (g.frame, g.spacing))
        };
        assert_eq!(frame(""), Some((Frame::Header, [0.3, 0.2, 1.0])));
        assert_eq!(frame("header = \"spacing-only\""), Some((Frame::Spacing, [0.3, 0.2, 1.0])));
        assert_eq!(frame("header = \"false\""), None);
        assert_eq!(frame("spacing_mm = [1, 2, 3]"), Some((Frame::Spacing, [1.0, 2.0, 3.0])));
    }
}
