//! Multi-frame instances: where each frame lies, by the functional groups of enhanced objects (PS3.3 C.7.6.16).

use super::header::{FrameHeader, Header};
use super::stack::{Plane, Positions, SAME_POSITION, UNORDERED, locations, stack};
use crate::image::{Image, Samples, Scaling};
use crate::with_samples;

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

/// Where each slice lies that [`place_frames`] makes of the frames.
pub(super) fn slice_positions(header: &Header) -> Option<Positions> {
    Positions::of(&planes_of_slices(header)?, header)
}

fn planes_of_slices(header: &Header) -> Option<Vec<Plane>> {
    let planes = planes_of_frames(header)?;
    Some(match shared_positions(&planes, header.frames) {
        Some((distinct, _)) => distinct.iter().map(|&i| planes[i]).collect(),
        None => planes,
    })
}

/// An image that [`place_frames`] has made, with its slices in the order of their positions along the normal,
/// ascending.
pub(super) fn frames_by_position(header: &Header, mut image: Image) -> (Image, Option<Positions>) {
    let Some(planes) = planes_of_slices(header).filter(|planes| planes.len() == image.size[2]) else {
        return (image, slice_positions(header));
    };
    let Some(along) = locations(&planes) else { return (image, None) };
    let mut sorted: Vec<usize> = (0..planes.len()).collect();
    sorted.sort_by(|&a, &b| along[a].total_cmp(&along[b]));
    let planes: Vec<Plane> = sorted.iter().map(|&slice| planes[slice]).collect();
    let reordered = !sorted.is_sorted();
    if reordered {
        let slices = sorted.len();
        let frame_of: Vec<usize> =
            (0..image.size[3]).flat_map(|t| sorted.iter().map(move |slice| t * slices + slice)).collect();
        let (geometry, notes) = stack(&planes, header);
        image.geometry = geometry;
        image.notes.retain(|note| note != UNORDERED);
        image.notes.extend(notes);
        image.notes.dedup();
        image = permute_frames(image, &frame_of);
    }
    (image, Positions::of(&planes, header).map(|positions| Positions { reordered, ..positions }))
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
            (vec![plane; 2], vec!["frames without positions are ordered along z as stored".to_owned()])
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
#[allow(clippy::unnecessary_cast)] // One of the macro's types is f64 already.
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
    image.notes.push("the rescale differs between frames: samples are converted to real values".into());
    image
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::{tags, uids};

    use super::*;
    use crate::formats::dicom::build::File;
    use crate::formats::dicom::{Instance, SliceOrder, assemble, read};

    /// An enhanced image of frames of one pixel at the given heights; the value of a frame is its number.
    fn enhanced(heights: &[f64], rescale: impl Fn(usize) -> Option<&'static str>) -> Instance {
        let syntax = uids::EXPLICIT_VR_LITTLE_ENDIAN;
        let orientation = File::new(syntax).text(tags::IMAGE_ORIENTATION_PATIENT, b"DS", "1\\0\\0\\0\\1\\0");
        let measures = File::new(syntax).text(tags::PIXEL_SPACING, b"DS", "1\\1");
        let shared = File::new(syntax)
            .sequence(tags::PLANE_ORIENTATION_SEQUENCE, &[orientation])
            .sequence(tags::PIXEL_MEASURES_SEQUENCE, &[measures]);
        let frames: Vec<File> = heights
            .iter()
            .enumerate()
            .map(|(i, z)| {
                let position = File::new(syntax).text(tags::IMAGE_POSITION_PATIENT, b"DS", &format!("0\\0\\{z}"));
                let frame = File::new(syntax).sequence(tags::PLANE_POSITION_SEQUENCE, &[position]);
                match rescale(i) {
                    Some(slope) => {
                        let transform = File::new(syntax).text(tags::RESCALE_SLOPE, b"DS", slope);
                        frame.sequence(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, &[transform])
                    }
                    None => frame,
                }
            })
            .collect();
        let values: Vec<u8> = (0..heights.len() as u8).collect();
        let file = File::grey(syntax, [1, 1], [8, 8], false)
            .text(tags::NUMBER_OF_FRAMES, b"IS", &heights.len().to_string())
            .sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, &[shared])
            .sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, &frames)
            .pixels(&values);
        read(&file.bytes()).unwrap()
    }

    #[test]
    fn frames_are_slices_as_stored() {
        let instance = enhanced(&[6.0, 4.0, 2.0], |_| Some("3"));
        assert_eq!(instance.image.size, [1, 1, 3, 1]);
        assert_eq!(instance.image.samples, Samples::U8(vec![0, 1, 2]));
        assert_eq!(instance.image.scaling.slope, 3.0);
        assert_eq!(instance.image.geometry.as_ref().unwrap().to_world([0.0, 0.0, 1.0]), [0.0, 0.0, 4.0]);
        let series = assemble(vec![instance], SliceOrder::Position).unwrap();
        // By position they come the other way round; in the order of the file they stay.
        assert_eq!((series.order, series.positions.unwrap().along), (vec![0], vec![2.0, 4.0, 6.0]));
        assert_eq!(series.image.samples, Samples::U8(vec![2, 1, 0]));
        assert_eq!(series.image.geometry.unwrap().to_world([0.0, 0.0, 1.0]), [0.0, 0.0, 4.0]);
        let stored = assemble(vec![enhanced(&[6.0, 4.0, 2.0], |_| None)], SliceOrder::File).unwrap();
        assert_eq!(
            (stored.positions.unwrap().along, stored.image.samples),
            (vec![6.0, 4.0, 2.0], Samples::U8(vec![0, 1, 2]))
        );
    }

    #[test]
    fn frames_that_share_positions_are_times() {
        // Time fastest, and position fastest: the same image of [t, z].
        for (heights, samples) in [
            ([0.0, 0.0, 5.0, 5.0, 10.0, 10.0], [0, 2, 4, 1, 3, 5]),
            ([0.0, 5.0, 10.0, 0.0, 5.0, 10.0], [0, 1, 2, 3, 4, 5]),
        ] {
            let instance = enhanced(&heights, |_| None);
            let image = &instance.image;
            assert_eq!(image.size, [1, 1, 3, 2]);
            assert_eq!(image.samples, Samples::U8(samples.to_vec()));
            assert_eq!(image.geometry.as_ref().unwrap().spacing[2], 5.0);
            let series = assemble(vec![instance], SliceOrder::Position).unwrap();
            assert_eq!(series.positions.unwrap().along, [0.0, 5.0, 10.0]);
        }
        let uneven = enhanced(&[0.0, 5.0, 0.0], |_| None).image;
        assert_eq!(uneven.size, [1, 1, 3, 1]);
        assert!(uneven.notes[0].contains("not in the order of their positions"), "{:?}", uneven.notes);
    }

    #[test]
    fn a_rescale_that_differs_by_frame_gives_real_values() {
        let image = enhanced(&[0.0, 1.0, 2.0], |i| Some(["1", "2", "4"][i])).image;
        assert_eq!((image.samples, image.scaling), (Samples::F32(vec![0.0, 2.0, 8.0]), Scaling::IDENTITY));
    }
}
