//! Stacks of files: their slices find each other by name or by position, by rank only where neither is there.

use std::collections::BTreeMap;

use super::map::Map;
use super::{Grid, HALF_VOXEL, Placed, Placement, SliceNames, refused, stack_error};
use crate::formats::dicom::match_positions;
use crate::image::Frame;
use crate::slices::{Error, Loaded};

/// A mask slice belongs to an image slice that is nearer than this share of the distance between slices.
const POSITION_TOLERANCE: f64 = 0.1;
/// Most slices that a note names.
const NAMED: usize = 8;

/// For each mask slice the image slice of the same name; `None` where there are no names to go by: the spec gives the two
/// stacks captures of different names, or no text of one is one of the other.
///
/// # Errors
/// Names that contradict the order of the files: one side counts from 0 and the other from 1, say.
pub(super) fn by_name(image: SliceNames, mask: SliceNames) -> Result<Option<Vec<Option<usize>>>, String> {
    if image.capture != mask.capture || image.texts.is_empty() || mask.texts.is_empty() {
        return Ok(None);
    }
    let key = |text: &String| text.parse::<u64>().map_or_else(|_| text.clone(), |number| number.to_string());
    let place: BTreeMap<String, usize> = image.texts.iter().enumerate().map(|(z, text)| (key(text), z)).collect();
    let found: Vec<Option<usize>> = mask.texts.iter().map(|text| place.get(&key(text)).copied()).collect();
    let unpaired = found.iter().filter(|z| z.is_none()).count();
    if unpaired == found.len() {
        return Ok(None);
    }
    if unpaired > 0
        && let Some(offset) = constant_offset(image.texts, mask.texts)
    {
        return Err(format!(
            "as many slices as its image, but their numbers differ by {offset} throughout: names and order contradict \
             each other; give the two stacks captures of different names if they pair in order"
        ));
    }
    Ok(Some(found))
}

/// The difference of the numbers of two stacks of equal length, if it is the same throughout, and not nothing.
fn constant_offset(image: &[String], mask: &[String]) -> Option<i64> {
    let numbers = |texts: &[String]| {
        let mut numbers: Vec<i64> = texts.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?;
        numbers.sort_unstable();
        Some(numbers)
    };
    let (image, mask) = (numbers(image)?, numbers(mask)?);
    let offset = mask.first()? - image.first()?;
    let constant = image.len() == mask.len() && image.iter().zip(&mask).all(|(i, m)| m - i == offset);
    (constant && offset != 0).then_some(offset)
}

/// Pairs slices as their names say.
pub(super) fn named(image: &Grid, mask: Loaded, slices: Vec<Option<usize>>) -> Result<Placed, Error> {
    let own = Grid::of(&mask);
    if own.size[..2] != image.size[..2] || own.size[3] != image.size[3] || own.size[2] != slices.len() {
        return Err(Error::Shape { mask: mask.file, image: image.file.clone(), found: own.size, expected: image.size });
    }
    if let (Some(of), Some(at)) = (&image.positions, &own.positions) {
        let placed = slices_at(of, at, image);
        contradiction(&slices, &placed).map_err(|reason| stack_error(&mask, reason))?;
        return by_position(image, mask);
    }
    let notes = holes(&slices, image.size[2], "name");
    let framed = |grid: &Grid| grid.geometry.as_ref().is_some_and(|g| g.frame != Frame::Spacing);
    let placement = if framed(image) || framed(&own) { Placement::ByIndex } else { Placement::Same };
    let mut placed = finish(mask, slices, image.size[2], placement, None, notes);
    if placement == Placement::ByIndex {
        let note = "slices were paired by name, pixels by index: one side does not say where its pixels lie";
        placed.notes.insert(0, note.into());
    }
    Ok(placed)
}

/// Compares what names say with what the headers say: each mask slice that lies on one image slice must be the one of its
/// name. Stacks along other axes have no such slices, and their names mean other things.
///
/// # Errors
/// The first slice of which names and positions say different things.
pub(super) fn agree(image: &Grid, own: &Grid, named: &[Option<usize>]) -> Result<(), String> {
    let (Some(at), Some(of)) = (image.frame(), own.frame()) else { return Ok(()) };
    let Some(map) = Map::between(of, at) else { return Ok(()) };
    let mut lies_on = vec![None; own.size[2]];
    let mut astray = vec![false; own.size[2]];
    for ([_, _, z], corner) in own.corners() {
        let height = map.apply(corner)[2];
        let near = (0..image.size[2]).find(|&slice| (image.height(slice) - height).abs() < HALF_VOXEL);
        astray[z] |= near.is_none() || lies_on[z].is_some_and(|other| Some(other) != near);
        lies_on[z] = near;
    }
    let lies_on: Vec<Option<usize>> =
        lies_on.into_iter().zip(astray).map(|(slice, astray)| slice.filter(|_| !astray)).collect();
    contradiction(named, &lies_on)
}

fn contradiction(named: &[Option<usize>], placed: &[Option<usize>]) -> Result<(), String> {
    let pairs = named.iter().zip(placed).enumerate();
    let other = pairs.filter_map(|(z, (named, placed))| Some((z, (*named)?, (*placed)?))).find(|(_, n, p)| n != p);
    other.map_or(Ok(()), |(z, named, placed)| {
        Err(format!(
            "names and positions contradict each other: by its name slice {z} belongs to image slice {named}, by its \
             position to {placed}; pair = \"position\" goes by positions, stacks with captures of different names do too"
        ))
    })
}

/// For each mask slice the image slice at its position.
fn slices_at(of: &[f64], at: &[f64], image: &Grid) -> Vec<Option<usize>> {
    let step = image.geometry.as_ref().map_or(1.0, |g| g.spacing[2]);
    let mut slices = vec![None; at.len()];
    for (slice, found) in match_positions(of, at, POSITION_TOLERANCE * step).into_iter().enumerate() {
        if let Some(found) = found {
            slices[found] = Some(slice);
        }
    }
    slices
}

/// Pairs DICOM slices that lie at the same position.
pub(super) fn by_position(image: &Grid, mask: Loaded) -> Result<Placed, Error> {
    let own = Grid::of(&mask);
    let (Some(at), Some(of)) = (&own.positions, &image.positions) else {
        return Err(stack_error(&mask, "the spec pairs slices by position, but these files carry none".into()));
    };
    if own.size[..2] != image.size[..2] || own.size[3] != image.size[3] {
        return Err(Error::Shape { mask: mask.file, image: image.file.clone(), found: own.size, expected: image.size });
    }
    let slices = slices_at(of, at, image);
    let apart = slices.iter().enumerate().filter_map(|(z, slice)| Some((at[z] - of[(*slice)?]).abs()));
    let error_mm = apart.fold(0.0, f64::max);
    if slices.iter().all(Option::is_none) {
        return Err(stack_error(&mask, "none of its slices lies at the position of an image slice".into()));
    }
    if let (Some(from), Some(to)) = (image.frame(), own.frame())
        && let Some(map) = Map::between(from, to)
        && !lies_in_plane(&map, image, &own)
    {
        let why = "their slices lie at the same positions, but not their pixels";
        return Err(refused(image, &own, &mask, why.into()));
    }
    let notes = holes(&slices, image.size[2], "position");
    Ok(finish(mask, slices, image.size[2], Placement::Same, Some(error_mm), notes))
}

/// Whether rows and columns of two stacks lie upon each other, whatever the slices are.
pub(super) fn lies_in_plane(map: &Map, image: &Grid, mask: &Grid) -> bool {
    mask.size[..2] == image.size[..2]
        && image.corners().all(|([x, y, _], at)| {
            let [u, v, _] = map.apply(at);
            (u - x as f64).abs() < HALF_VOXEL && (v - y as f64).abs() < HALF_VOXEL
        })
}

fn finish(
    mask: Loaded,
    slices: Vec<Option<usize>>,
    image_slices: usize,
    placement: Placement,
    error_mm: Option<f64>,
    notes: Vec<String>,
) -> Placed {
    let straight = slices.len() == image_slices && slices.iter().enumerate().all(|(z, to)| *to == Some(z));
    let error_mm = error_mm.map(super::rounded);
    Placed { mask, slices: (!straight).then_some(slices), placement, error_mm, notes }
}

/// Slices of either side that have no partner, in words.
fn holes(slices: &[Option<usize>], image_slices: usize, by: &str) -> Vec<String> {
    let paired: Vec<usize> = slices.iter().flatten().copied().collect();
    let bare: Vec<usize> = (0..image_slices).filter(|z| !paired.contains(z)).collect();
    let lost: Vec<usize> = (0..slices.len()).filter(|&z| slices[z].is_none()).collect();
    let named = |which: &[usize]| {
        let first: Vec<String> = which.iter().take(NAMED).map(usize::to_string).collect();
        format!("{}{}", first.join(", "), if which.len() > NAMED { ", …" } else { "" })
    };
    let mut notes = Vec::new();
    if !bare.is_empty() {
        notes.push(format!(
            "{} of {image_slices} image slices have no mask slice of their {by} and are left out of it: {}",
            bare.len(),
            named(&bare)
        ));
    }
    if !lost.is_empty() {
        notes.push(format!(
            "{} of {} mask slices have no image slice of their {by} and are not used: {}",
            lost.len(),
            slices.len(),
            named(&lost)
        ));
    }
    notes
}
