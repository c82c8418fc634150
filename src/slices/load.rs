//! The image of a case or of a mask, from one file or a stack of files.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Error;
use crate::formats::{self, File, dicom};
use crate::image::{Image, Samples, palette_difference};
use crate::raw::{Member, Tree};
use crate::spec::Order;

/// A decoded image and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// Path of its file, or of the first of its stack: what messages call it.
    pub file: String,
    /// The image; a stack lies along z.
    pub image: Image,
    /// Where each slice lies, for DICOM; `reordered` only where no spec says in which order slices come.
    pub positions: Option<dicom::Positions>,
    /// For each slice along z the place of its file among those that were read; empty for an image of one file.
    pub files: Vec<usize>,
}

/// Memory that a worker uses again from one file to the next: fresh memory costs as much as reading does. What is read
/// does not depend on it.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Bytes of the file that is read.
    file: Vec<u8>,
    /// Volumes that are done with.
    pub(super) volumes: formats::Scratch,
}

/// Reads the files of one image (positions in the tree). Several files are a stack: DICOM instances are assembled in
/// the order asked for, pictures are laid upon each other in the order given.
///
/// # Errors
/// The first file that cannot be read, or does not fit the others.
pub fn load(tree: &Tree, files: &[usize], order: Order, scratch: &mut Scratch) -> Result<Loaded, Error> {
    let first = &tree.members()[files[0]];
    with_bytes(tree, first, scratch, |bytes, volumes| {
        load_from(tree, files, &File::new(&first.path, bytes), order, volumes)
    })
}

/// Reads a file into the memory of `scratch`, for as long as `use_bytes` looks at it.
pub(super) fn with_bytes<T>(
    tree: &Tree,
    member: &Member,
    scratch: &mut Scratch,
    use_bytes: impl FnOnce(&[u8], &mut formats::Scratch) -> Result<T, Error>,
) -> Result<T, Error> {
    let Scratch { file, volumes } = scratch;
    use_bytes(tree.read_into(member, file)?, volumes)
}

/// As [`load`], with the first file.
pub(super) fn load_from(
    tree: &Tree,
    files: &[usize],
    head: &File,
    order: Order,
    volumes: &mut formats::Scratch,
) -> Result<Loaded, Error> {
    let members: Vec<&Member> = files.iter().map(|&f| &tree.members()[f]).collect();
    let first = members[0];
    if formats::detect(head) == Some(&dicom::ENTRY) {
        return load_dicom(tree, &members, head.bytes, order);
    }
    let image = decode(tree, first, head, volumes)?;
    let rest: Vec<Image> = members[1..]
        .par_iter()
        .map_init(Scratch::default, |scratch, member| {
            let read = |bytes: &[u8], volumes: &mut _| decode(tree, member, &File::new(&member.path, bytes), volumes);
            with_bytes(tree, member, scratch, read)
        })
        .collect::<Result<_, _>>()?;
    let image = stack(image, rest, &members)?;
    let files = if files.len() > 1 { (0..files.len()).collect() } else { Vec::new() };
    Ok(Loaded { file: first.path.clone(), image, positions: None, files })
}

/// Reads a file with those that its header names. One of these that cannot be read is the error, whatever the reader
/// makes of its absence.
pub(super) fn with_companions<T>(
    tree: &Tree,
    member: &Member,
    read: impl FnOnce(&formats::Companion) -> formats::Result<T>,
) -> Result<T, Error> {
    let folder = member.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let unread = Mutex::new(None);
    let companion = |name: &str| {
        let path = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
        let read = tree.read(tree.find(&path)?);
        read.map_err(|error| unread.lock().unwrap_or_else(PoisonError::into_inner).insert(error).path.clone()).ok()
    };
    let outcome = read(&companion);
    match unread.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(Error::Raw(error)),
        None => outcome.map_err(|source| Error::Format { file: member.path.clone(), source }),
    }
}

fn decode(tree: &Tree, member: &Member, file: &File, volumes: &mut formats::Scratch) -> Result<Image, Error> {
    with_companions(tree, member, |companion| formats::read_file(file, companion, volumes))
}

fn load_dicom(tree: &Tree, members: &[&Member], first: &[u8], order: Order) -> Result<Loaded, Error> {
    let read = |member: &Member, bytes: &[u8]| {
        let instance =
            formats::dicom_instance(bytes).map_err(|source| Error::Format { file: member.path.clone(), source })?;
        Ok(instance.labelled(&member.path))
    };
    let mut instances = vec![read(members[0], first)?];
    let rest: Vec<dicom::Instance> = members[1..]
        .par_iter()
        .map_init(Scratch::default, |scratch, member| with_bytes(tree, member, scratch, |bytes, _| read(member, bytes)))
        .collect::<Result<_, Error>>()?;
    instances.extend(rest);
    let placed = || instances.iter().all(|instance| instance.header.location().is_some() || instance.header.frames > 1);
    let open = order == Order::Auto;
    let order = match order {
        Order::Auto if placed() => dicom::SliceOrder::Position,
        Order::Auto => dicom::SliceOrder::File,
        Order::Position => dicom::SliceOrder::Position,
        Order::Name => dicom::SliceOrder::File,
        Order::InstanceNumber => dicom::SliceOrder::InstanceNumber,
    };
    let file = members[0].path.clone();
    let series = dicom::assemble(instances, order).map_err(|source| Error::Format { file: file.clone(), source })?;
    let mut positions = series.positions;
    if let Some(positions) = &mut positions {
        // What the spec says is no surprise.
        positions.reordered &= open;
    }
    let files = if series.order.len() == series.image.size[2] { series.order } else { Vec::new() };
    Ok(Loaded { file, image: series.image, positions, files })
}

/// Lays pictures of one size and type upon each other along z.
fn stack(mut first: Image, rest: Vec<Image>, members: &[&Member]) -> Result<Image, Error> {
    if rest.is_empty() {
        return Ok(first);
    }
    for (image, member) in rest.into_iter().zip(&members[1..]) {
        let described = |i: &Image| {
            format!("{} x {} pixels, {} component(s) of {}", i.size[0], i.size[1], i.components, i.samples.dtype())
        };
        let with_first = |what: String| {
            let reason = format!("it and {}, the first of the stack, have {what}", members[0].path);
            Error::Stack { file: member.path.clone(), reason }
        };
        if !share_palette(&mut first.palette, &image.palette) {
            return Err(with_first(palette_difference(image.palette.as_deref(), first.palette.as_deref())));
        }
        if image.meaning.low_is_white != first.meaning.low_is_white {
            return Err(with_first("white at opposite ends (MinIsWhite in one, MinIsBlack in the other)".into()));
        }
        if image.meaning.orientation != first.meaning.orientation {
            let tag = |image: &Image| image.meaning.orientation.unwrap_or(1).to_string();
            return Err(with_first(format!("different orientation tags, {} and {}", tag(&image), tag(&first))));
        }
        if described(&image) != described(&first) || image.size[2..] != [1, 1] {
            return Err(Error::Stack {
                file: member.path.clone(),
                reason: format!(
                    "has {}, but {}, the first of the stack, has {}",
                    described(&image),
                    members[0].path,
                    described(&first)
                ),
            });
        }
        append(&mut first.samples, image.samples);
        first.size[2] += 1;
        for note in image.notes {
            if !first.notes.contains(&note) {
                first.notes.push(note);
            }
        }
    }
    Ok(first)
}

/// Makes one palette of two, where one is the beginning of the other: writers leave out the colours that a picture does
/// not use. False where they contradict each other.
fn share_palette(palette: &mut Option<Vec<[u8; 4]>>, other: &Option<Vec<[u8; 4]>>) -> bool {
    match (palette, other) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let both = a.len().min(b.len());
            let agree = a[..both] == b[..both];
            a.extend(b.get(a.len()..).unwrap_or_default());
            agree
        }
        _ => false,
    }
}

/// Adds samples of the same type; the caller has compared the types.
fn append(samples: &mut Samples, more: Samples) {
    match (samples, more) {
        (Samples::U8(a), Samples::U8(b)) => a.extend(b),
        (Samples::I8(a), Samples::I8(b)) => a.extend(b),
        (Samples::U16(a), Samples::U16(b)) => a.extend(b),
        (Samples::I16(a), Samples::I16(b)) => a.extend(b),
        (Samples::U32(a), Samples::U32(b)) => a.extend(b),
        (Samples::I32(a), Samples::I32(b)) => a.extend(b),
        (Samples::U64(a), Samples::U64(b)) => a.extend(b),
        (Samples::I64(a), Samples::I64(b)) => a.extend(b),
        (Samples::F32(a), Samples::F32(b)) => a.extend(b),
        (Samples::F64(a), Samples::F64(b)) => a.extend(b),
        _ => unreachable!("samples of one type are appended"),
    }
}
