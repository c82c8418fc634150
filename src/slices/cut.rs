//! One case: its image read and cut, its masks read one after the other and laid on the slices, what is too small
//! dropped.

use rayon::prelude::*;

use super::intensity::{Rule, to_grey};
use super::labels::{Decoder, same_orientation};
use super::load::{Loaded, load};
use super::picture::{Glance, as_grey_if_equal, without_alpha};
use super::plane::{Axis, anatomical_plane, main_axis, slice_size, slice_values};
use super::{CaseSlices, Error, ObjectMask, Options, Raters, Slice, png, rle_table, space};
use crate::digest::sha256_each;
use crate::formats::dicom::match_positions;
use crate::formats::voxels::recycle;
use crate::image::{Frame, Geometry, Image};
use crate::mask::{Connectivity, Mask};
use crate::raw::Tree;
use crate::sources::{Case, CaseMask};
use crate::spec::{Decode, FourthAxis, Header, ImagePart, Pair, Spec};
use crate::with_samples;

/// A mask slice belongs to an image slice that is nearer than this share of the distance between slices.
const POSITION_TOLERANCE: f64 = 0.1;

/// Slices that are made together, because digests of several pictures take half as long as those of one after the other.
const TOGETHER: usize = 16;

/// Frame, position and masks of a slice that stays.
type Kept = (usize, usize, Vec<ObjectMask>);

/// Reads a case and cuts it into slices.
///
/// # Errors
/// The first file that cannot be read, does not fit its image, or holds a label that the spec does not know.
pub fn cut(case: &Case, spec: &Spec, tree: &Tree, options: &Options) -> Result<CaseSlices, Error> {
    let layout = &spec.layout[case.layout];
    let rules = &layout.image;
    let mut loaded = load(tree, &case.image, rules.order)?;
    loaded.image.geometry = true_frame(rules, loaded.image.geometry);
    // A palette picture is meant as it looks.
    loaded.image = loaded.image.expand_palette();
    // A single slice in several sequences has no axis of slices, and they lie along the third: the same pixels in order.
    let sequences = rules.channels.len();
    if rules.fourth_axis == FourthAxis::Sequences && loaded.image.size[2..] == [sequences, 1] {
        loaded.image.size[2..].copy_from_slice(&[1, sequences]);
    }
    if rules.fourth_axis == FourthAxis::None && loaded.image.size[3] > 1 {
        let found = loaded.image.size[3];
        let reason = format!("the spec expects three dimensions, but it has a fourth one of {found} steps");
        return Err(Error::Spec { file: loaded.file, reason });
    }
    if let Some(channel) = case.channel
        && channel >= loaded.image.size[3]
    {
        let found = loaded.image.size[3];
        let reason = format!("the spec expects sequence {channel} along the fourth axis, which has {found} steps");
        return Err(Error::Spec { file: loaded.file, reason });
    }
    let problem = |reason: String| Error::Spec { file: loaded.file.clone(), reason };
    let image = &loaded.image;
    let axis = main_axis(options.plane.unwrap_or(rules.plane), image.size, image.geometry.as_ref()).map_err(problem)?;
    let rule = Rule::new(options.intensity.unwrap_or(rules.intensity), image).map_err(problem)?;
    let frames = if rules.fourth_axis == FourthAxis::Frames { image.size[3] } else { 1 };

    let mut grid = Objects::new(slice_size(image, axis).2, frames);
    for found in wanted(&case.masks, options.raters) {
        grid.add(found, spec, case, tree, &loaded, axis)?;
    }
    if options.raters == Raters::Majority {
        grid.vote();
    }
    if options.split_components {
        grid.split_components();
    }
    let mask_notes = std::mem::take(&mut grid.notes);
    let (kept, counts) = grid.keep(options.min_area);
    let cutter = Cutter { image, axis, rule, framed: frames > 1, channel: case.channel };
    let slices = kept.into_par_iter().chunks(TOGETHER).flat_map_iter(|kept| cutter.slices(kept)).collect();

    let geometry = image.geometry.as_ref();
    let single_picture = image.size[axis.index()] == 1 && geometry.is_none_or(|g| g.frame == Frame::Spacing);
    let case = CaseSlices {
        dtype: image.samples.dtype(),
        shape: stored_shape(image),
        spacing: geometry.map(|g| g.spacing),
        orientation: geometry.filter(|g| g.frame != Frame::Spacing).map(|g| g.orientation()),
        plane: match rules.plane_name {
            _ if single_picture => "picture".into(),
            // Another plane than the spec's has no name.
            Some(name) if options.plane.is_none() => name.text().into(),
            _ => anatomical_plane(axis, geometry),
        },
        n_slices: (slice_size(image, axis).2 * frames) as u32,
        slices,
        empty_slices: counts.empty_slices,
        dropped_slices: counts.dropped_slices,
        dropped_masks: counts.dropped_masks,
        notes: loaded.image.notes.into_iter().chain(mask_notes).collect(),
    };
    recycle(loaded.image.samples);
    Ok(case)
}

/// What of the frame in a header the spec holds for true, with the spacing that the spec itself may give.
fn true_frame(rules: &ImagePart, found: Option<Geometry>) -> Option<Geometry> {
    match (rules.spacing_mm, rules.header) {
        (Some(spacing), _) => Some(Geometry::from_spacing(spacing)),
        (None, Header::True) => found,
        (None, Header::SpacingOnly) => found.map(|g| Geometry::from_spacing(g.spacing)),
        (None, Header::False) => None,
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

/// The objects of every slice of a case, frame by frame.
struct Objects {
    slices: usize,
    cells: Vec<Vec<ObjectMask>>,
    /// What was noted about the mask files, with their names.
    notes: Vec<String>,
}

#[derive(Default)]
struct Counts {
    empty_slices: u32,
    dropped_slices: u32,
    dropped_masks: u32,
}

impl Objects {
    fn new(slices: usize, frames: usize) -> Self {
        Objects { slices, cells: vec![Vec::new(); slices * frames], notes: Vec::new() }
    }

    /// Reads one mask file and lays its objects on the slices.
    fn add(
        &mut self,
        found: &CaseMask,
        spec: &Spec,
        case: &Case,
        tree: &Tree,
        image: &Loaded,
        axis: Axis,
    ) -> Result<(), Error> {
        let part = &spec.layout[case.layout].mask[found.part];
        let loaded = match (&part.decode, &found.row) {
            (Decode::RleTable { id, runs, .. }, Some(row)) => {
                rle_table::load(tree, found.files[0], row, [id, runs], &image.image)?
            }
            _ => load(tree, &found.files, part.order)?,
        };
        let loaded = if part.pair == Pair::Space { space::on_grid_of(image, loaded, axis)? } else { loaded };
        let mask = &loaded.image;
        same_orientation(&image.image, mask).map_err(|reason| Error::Spec { file: loaded.file.clone(), reason })?;
        let slice_of = match part.pair {
            Pair::Grid | Pair::Space => {
                let mut expected = image.image.size;
                expected[3] = self.cells.len() / self.slices;
                if mask.size != expected {
                    return Err(Error::Shape {
                        mask: loaded.file,
                        image: image.file.clone(),
                        found: mask.size,
                        expected,
                    });
                }
                (0..self.slices).map(Some).collect()
            }
            Pair::Position => match_slices(&loaded, image, axis)?,
        };
        let table = part.labels.as_ref().and_then(|name| spec.labels.get(name));
        let decoder = Decoder::new(part, table, found, &loaded.file, mask, axis)?;
        let notes = mask.notes.iter().chain(&decoder.notes);
        self.notes.extend(notes.map(|note| format!("{}: {note}", loaded.file)));
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
        recycle(loaded.image.samples);
        Ok(())
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

/// For each mask slice the image slice at the same position; `None` where the image has none there.
fn match_slices(mask: &Loaded, image: &Loaded, axis: Axis) -> Result<Vec<Option<usize>>, Error> {
    let problem = |reason: &str| Error::Stack { file: mask.file.clone(), reason: reason.into() };
    let (Some(at), Some(of)) = (&mask.positions, &image.positions) else {
        return Err(problem("the spec pairs slices by position, but these files carry none"));
    };
    if axis != Axis::Z || mask.image.size[..2] != image.image.size[..2] {
        return Err(Error::Shape {
            mask: mask.file.clone(),
            image: image.file.clone(),
            found: mask.image.size,
            expected: image.image.size,
        });
    }
    let step = image.image.geometry.as_ref().map_or(1.0, |g| g.spacing[Axis::Z.index()]);
    let mut slice_of = vec![None; at.len()];
    for (slice, found) in match_positions(of, at, POSITION_TOLERANCE * step).into_iter().enumerate() {
        if let Some(found) = found {
            slice_of[found] = Some(slice);
        }
    }
    if slice_of.iter().all(Option::is_none) {
        return Err(problem("none of its slices lies at the position of an image slice"));
    }
    Ok(slice_of)
}

/// What slices are cut from, and how.
struct Cutter<'a> {
    image: &'a Image,
    axis: Axis,
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
    fn slices(&self, kept: Vec<Kept>) -> Vec<Slice> {
        let pictures: Vec<Picture> = kept.iter().map(|(frame, index, _)| self.picture(*frame, *index)).collect();
        let digests = sha256_each(&pictures.iter().map(|picture| &picture.pixels[..]).collect::<Vec<_>>());
        let parts = kept.into_iter().zip(pictures).zip(digests);
        parts.map(|((kept, picture), digest)| self.slice(kept, picture, digest)).collect()
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

    fn slice(&self, (frame, index, masks): Kept, picture: Picture, pixels_sha256: String) -> Slice {
        let Picture { pixels, channels, ends } = picture;
        let (rows, columns, _) = slice_size(self.image, self.axis);
        let (height, width) = (rows as u32, columns as u32);
        let glance = Glance::of(&pixels, columns, rows, channels);
        let (row_axis, column_axis) = self.axis.rows_and_columns();
        let letter = self.axis.letter();
        Slice {
            name: if self.framed { format!("t{frame:04}_{letter}{index:04}") } else { format!("{letter}{index:04}") },
            index: index as u32,
            frame: frame as u32,
            height,
            width,
            channels,
            spacing: self.image.geometry.as_ref().map(|g| (g.spacing[row_axis], g.spacing[column_axis])),
            intensity_min: ends.0,
            intensity_max: ends.1,
            pixels_sha256,
            perceptual_hash: glance.perceptual_hash(),
            thumbnail: glance.levels(),
            png: png::encode(&pixels, width, height, channels),
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
