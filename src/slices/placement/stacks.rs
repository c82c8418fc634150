//! Stacks of files: slices pair by name or by position, and by rank only without either.

use std::collections::BTreeMap;

use super::map::Map;
use super::{Grid, HALF_VOXEL, Placed, Placement, SliceNames, refused, stack_error};
use crate::formats::dicom::{Positions, match_positions};
use crate::image::Frame;
use crate::slices::{Error, Loaded};

/// A mask slice belongs to an image slice that is nearer than this share of the distance between slices.
const POSITION_TOLERANCE: f64 = 0.1;
/// Most slices that a note names.
const NAMED: usize = 8;

/// Mask slices that have found their image slices by name.
pub(super) struct Named {
    /// For each mask slice the image slice of the same name.
    pub(super) slices: Vec<Option<usize>>,
    /// The names are equal, and not only the numbers in them.
    pub(super) exact: bool,
}

/// For each mask slice the image slice of the same name; `None` where there are no names to go by: the spec gives the
/// two stacks captures of different names, or their texts are neither equal nor numbers.
///
/// Texts are equal without regard to case; of texts that only count (`slice_01`, `slice_02` and `mask 1`, `mask 2`) the
/// number is the name.
///
/// # Errors
/// Names that contradict the order of the files: one side counts from 0 and the other from 1, say; two files of one
/// name.
pub(super) fn by_name(image: SliceNames, mask: SliceNames) -> Result<Option<Named>, String> {
    if image.capture != mask.capture || image.texts.len() < 2 || mask.texts.is_empty() {
        return Ok(None);
    }
    let Some((of, at, exact)) = comparable(image.texts, mask.texts) else { return Ok(None) };
    for (keys, texts, whose) in [(&of, image.texts, "its image"), (&at, mask.texts, "the mask")] {
        let mut seen: BTreeMap<&String, usize> = BTreeMap::new();
        for (z, key) in keys.iter().enumerate() {
            if let Some(first) = seen.insert(key, z) {
                let (a, b) = (&texts[first], &texts[z]);
                return Err(format!("two files of {whose} are named as the same slice, {a:?} and {b:?}: remove one"));
            }
        }
    }
    let place: BTreeMap<&String, usize> = of.iter().enumerate().map(|(z, key)| (key, z)).collect();
    let found: Vec<Option<usize>> = at.iter().map(|key| place.get(key).copied()).collect();
    let cure = "use differently named captures for the two stacks if they pair in order";
    if found.iter().any(Option::is_none)
        && let Some(offset) = constant_offset(&of, &at)
    {
        return Err(format!(
            "the same number of slices as the image, but their numbers differ by {offset} throughout, so names and \
             order contradict each other; {cure}"
        ));
    }
    if found.iter().all(Option::is_none) {
        let (own, theirs) = (&mask.texts[0], &image.texts[0]);
        return Err(format!(
            "none of the {} slices has the name of an image slice (for example {own:?} and {theirs:?}); {cure}",
            found.len()
        ));
    }
    Ok(Some(Named { slices: found, exact }))
}

/// The texts of two stacks as they are compared: whole, where one of them is in both, else by the number in them.
fn comparable(image: &[String], mask: &[String]) -> Option<(Vec<String>, Vec<String>, bool)> {
    let whole = |texts: &[String]| -> Vec<String> {
        let key = |text: &String| text.parse::<u64>().map_or_else(|_| text.to_lowercase(), |number| number.to_string());
        texts.iter().map(key).collect()
    };
    let (of, at) = (whole(image), whole(mask));
    if at.iter().any(|key| of.contains(key)) {
        return Some((of, at, true));
    }
    Some((counted(image)?, counted(mask)?, false))
}

/// The numbers of texts that differ in one number alone.
fn counted(texts: &[String]) -> Option<Vec<String>> {
    let parts = |text: &String| {
        let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
        let digits = text[..end].bytes().rev().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[end - digits..end].parse().ok()?;
        Some((text[..end - digits].to_string(), text[end..].to_string(), number))
    };
    let parts: Vec<(String, String, u64)> = texts.iter().map(parts).collect::<Option<_>>()?;
    let alike = parts.iter().all(|(before, after, _)| (before, after) == (&parts[0].0, &parts[0].1));
    alike.then(|| parts.into_iter().map(|(.., number)| number.to_string()).collect())
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

/// What is worth saying of stacks that pair in the order of their files: numbers that one of them leaves out.
pub(super) fn order_notes(image: SliceNames, mask: Option<SliceNames>) -> Vec<String> {
    let missing = |names: SliceNames, whose: &str| {
        let gaps = gaps(names.texts);
        let named: Vec<String> = gaps.iter().take(NAMED).map(u64::to_string).collect();
        (!gaps.is_empty()).then(|| {
            format!("slices pair in the order of their files, and the numbers {whose} skip {}", named.join(", "))
        })
    };
    let of_mask = mask.and_then(|names| missing(names, "of the mask's files"));
    missing(image, "of its image's files").into_iter().chain(of_mask).collect()
}

/// Numbers that the names of a stack leave out between the first and the last, where most go up by ones.
fn gaps(texts: &[String]) -> Vec<u64> {
    let numbers = counted(texts).and_then(|n| n.iter().map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>());
    let mut numbers = numbers.unwrap_or_default();
    numbers.sort_unstable();
    let ones = numbers.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    match 2 * ones > numbers.len().saturating_sub(1) {
        true => numbers.windows(2).flat_map(|pair| pair[0] + 1..pair[1]).take(NAMED + 1).collect(),
        false => Vec::new(),
    }
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
        let note = "slices are paired by name and pixels by index, because one side does not state the position of its \
            pixels";
        placed.notes.insert(0, note.into());
    }
    Ok(placed)
}

/// Compares what names say with what the headers say: each mask slice that lies on one image slice must be the one of
/// its name. Stacks along other axes have no such slices, and their names mean other things.
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
            "names and positions contradict each other: by name, slice {z} belongs to image slice {named}, by position \
             to {placed}; pair = \"position\" or differently named captures pair by position"
        ))
    })
}

/// Whether two DICOM stacks have a slice at the same position.
pub(super) fn meets(image: &Grid, own: &Grid) -> bool {
    let (Some(of), Some(at)) = (&image.positions, &own.positions) else { return false };
    slices_at(of, at, image).iter().any(Option::is_some)
}

/// For each mask slice the image slice at its position.
fn slices_at(of: &Positions, at: &Positions, image: &Grid) -> Vec<Option<usize>> {
    let step = image.geometry.as_ref().map_or(1.0, |g| g.spacing[2]);
    let mut slices = vec![None; at.along.len()];
    for (slice, found) in match_positions(&of.along, &at.along, POSITION_TOLERANCE * step).into_iter().enumerate() {
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
        return Err(stack_error(&mask, "the spec pairs slices by position, but the files state none".into()));
    };
    if own.size[..2] != image.size[..2] || own.size[3] != image.size[3] {
        return Err(Error::Shape { mask: mask.file, image: image.file.clone(), found: own.size, expected: image.size });
    }
    let slices = slices_at(of, at, image);
    if slices.iter().all(Option::is_none) {
        let why = "no slice is at the position of an image slice";
        return Err(refused(image, &own, &mask, why.into()));
    }
    let apart = slices.iter().enumerate().filter_map(|(z, slice)| {
        let (own, image) = (at.at[z], of.at[(*slice)?]);
        Some((0..3).map(|axis| (own[axis] - image[axis]).powi(2)).sum::<f64>().sqrt())
    });
    let error_mm = apart.fold(0.0, f64::max);
    let spacing = image.geometry.as_ref().map_or([1.0; 3], |g| g.spacing);
    if error_mm >= (HALF_VOXEL * spacing[0].min(spacing[1])).max(POSITION_TOLERANCE * spacing[2]) {
        let why = format!(
            "slices at the same position along the stack are displaced sideways by up to {error_mm:.2} \
            mm"
        );
        return Err(refused(image, &own, &mask, why));
    }
    if let (Some(from), Some(to)) = (image.frame(), own.frame())
        && let Some(map) = Map::between(from, to)
        && !lies_in_plane(&map, image, &own)
    {
        let why = "their slices have the same positions, but their pixels do not";
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

/// Slices of either side that have no partner, as text.
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
            "{} of {image_slices} image slices have no mask slice with the same {by} and are left out: {}",
            bare.len(),
            named(&bare)
        ));
    }
    if !lost.is_empty() {
        notes.push(format!(
            "{} of {} mask slices have no image slice with the same {by} and are unused: {}",
            lost.len(),
            slices.len(),
            named(&lost)
        ));
    }
    notes
}
