//! The image of a case or of a mask, out of one file or a stack of them.

use std::cell::Cell;

use rayon::prelude::*;

use super::Error;
use crate::formats::{self, Container, dicom};
use crate::image::{Image, Samples};
use crate::raw::{Member, Tree};
use crate::spec::Order;

/// A decoded image and where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// Path of its file, or of the first of its stack: what messages call it.
    pub file: String,
    /// The image; a stack lies along z.
    pub image: Image,
    /// Position of each slice along the normal in millimetres, for DICOM.
    pub positions: Option<Vec<f64>>,
    /// For each slice along z the place of its file among those that were read; empty for an image of one file.
    pub files: Vec<usize>,
}

thread_local! {
    /// Memory for the file that a thread reads, used again for the next: fresh memory costs as much as reading does.
    static FILE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads the files of one image (positions in the tree). Several files are a stack: DICOM instances are assembled in the
/// order asked for, pictures are laid upon each other in the order given.
///
/// # Errors
/// The first file that cannot be read, or does not fit the others.
pub fn load(tree: &Tree, files: &[usize], order: Order) -> Result<Loaded, Error> {
    let members: Vec<&Member> = files.iter().map(|&f| &tree.members()[f]).collect();
    let first = members[0];
    let mut memory = FILE.take();
    let bytes = tree.read_into(first, &mut memory)?;
    if formats::detect(&first.path, bytes) == Some(Container::Dicom) {
        return load_dicom(tree, &members, bytes, order);
    }
    let image = decode(tree, first, bytes)?;
    FILE.set(memory);
    let rest: Vec<Image> =
        members[1..].par_iter().map(|member| decode(tree, member, &tree.read(member)?)).collect::<Result<_, _>>()?;
    let image = stack(image, rest, &members)?;
    let files = if files.len() > 1 { (0..files.len()).collect() } else { Vec::new() };
    Ok(Loaded { file: first.path.clone(), image, positions: None, files })
}

fn decode(tree: &Tree, member: &Member, bytes: &[u8]) -> Result<Image, Error> {
    let folder = member.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let companion = |name: &str| {
        let path = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
        tree.find(&path).and_then(|m| tree.read(m).ok())
    };
    formats::read(&member.path, bytes, &companion).map_err(|source| Error::Format { file: member.path.clone(), source })
}

fn load_dicom(tree: &Tree, members: &[&Member], first: &[u8], order: Order) -> Result<Loaded, Error> {
    let read = |member: &Member, bytes: &[u8]| {
        let instance =
            formats::dicom_instance(bytes).map_err(|source| Error::Format { file: member.path.clone(), source })?;
        Ok(instance.labelled(&member.path))
    };
    let mut instances = vec![read(members[0], first)?];
    let rest: Vec<dicom::Instance> =
        members[1..].par_iter().map(|member| read(member, &tree.read(member)?)).collect::<Result<_, Error>>()?;
    instances.extend(rest);
    let order = match order {
        Order::Position => dicom::SliceOrder::Position,
        Order::Name => dicom::SliceOrder::File,
        Order::InstanceNumber => dicom::SliceOrder::InstanceNumber,
    };
    let file = members[0].path.clone();
    let series = dicom::assemble(instances, order).map_err(|source| Error::Format { file: file.clone(), source })?;
    let files = if series.order.len() == series.image.size[2] { series.order } else { Vec::new() };
    Ok(Loaded { file, image: series.image, positions: series.positions, files })
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
        if described(&image) != described(&first) || image.size[2..] != [1, 1] {
            return Err(Error::Stack {
                file: member.path.clone(),
                reason: format!(
                    "it has {}, but {}, the first of its stack, has {}",
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
