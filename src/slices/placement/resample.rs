//! A mask on another grid than its image (NCI-ISBI 2013: NRRD masks for DICOM images, cropped, or with slices of
//! another spacing): each image voxel gets the value of the mask voxel nearest to it, which creates no new labels.

use super::map::Map;
use super::{Grid, Loaded, Placed, Placement};
use crate::image::Image;
use crate::slices::Error;
use crate::with_samples;

/// The mask with the size and frame of the image, zero where it says nothing. `to_mask` leads from indices of the image
/// to those of the mask, `to_image` back.
///
/// # Errors
/// A mask of several frames or components, one whose lowest value is white, and one that does not meet its image: no
/// marked voxel lies in the image.
pub(super) fn onto(image: &Grid, own: &Grid, mask: Loaded, to_mask: &Map, to_image: &Map) -> Result<Placed, Error> {
    let problem = |reason: String| Error::Spec { file: mask.file.clone(), reason };
    if mask.image.size[3] != 1 || image.size[3] != 1 {
        return Err(problem(format!("expected one volume to resample, found {} frames", mask.image.size[3])));
    }
    if mask.image.components != 1 {
        return Err(problem(format!("expected one value per voxel, found {}", mask.image.components)));
    }
    if mask.image.meaning.low_is_white {
        return Err(problem(
            "the lowest value is white, so everything outside the mask would be marked: convert the file to \
             MinIsBlack"
                .into(),
        ));
    }
    // What is stored for 0, which a rescale may move.
    let nothing = -mask.image.scaling.intercept / mask.image.scaling.slope;
    let beyond = with_samples!(&mask.image.samples, values => values.iter().position(|&v| v as f64 == nothing));
    if beyond.is_none() && nothing != 0.0 {
        return Err(problem(format!(
            "no voxel is 0 after rescaling (stored {nothing}), so the value outside the mask is undefined"
        )));
    }
    let covered =
        with_samples!(&mask.image.samples, values => cover(to_image, image, own, |i| values[i] as f64 != nothing));
    if covered.marked > 0 && covered.inside == 0 {
        return Err(problem(format!(
            "none of the {} marked voxels is inside the image {}: image and mask do not belong together (the mask has \
             {own}; the image has {image})",
            covered.marked, image.file
        )));
    }

    let mut farthest = 0.0f64;
    let mut met = false;
    let [nx, ny, nz, _] = image.size;
    let mut sources = Vec::with_capacity(nx * ny * nz);
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                let at = to_mask.apply([x as f64, y as f64, image.height(z)]);
                let source = own.nearest(at).map(|index @ [x, y, z]| {
                    let centre = [index[0] as f64, index[1] as f64, own.height(z)];
                    farthest = farthest.max(to_mask.mm(std::array::from_fn(|axis| at[axis] - centre[axis])));
                    met = true;
                    mask.image.offset([x, y, z, 0], 0)
                });
                sources.push(source);
            }
        }
    }
    if !met {
        return Err(problem(format!(
            "does not overlap the image {}: the mask has {own}; the image has {image}",
            image.file
        )));
    }
    let samples = with_samples!(&mask.image.samples, values => {
        let outside = beyond.map_or_else(Default::default, |at| values[at]);
        sources.iter().map(|source| source.map_or(outside, |at| values[at])).collect::<Vec<_>>().into()
    });
    let mut notes = vec![format!(
        "resampled to the nearest voxel, at most {farthest:.2} mm away: the mask has {own}; the image has {image}"
    )];
    if covered.inside < covered.marked {
        let outside = covered.marked - covered.inside;
        notes.push(format!("{outside} of the {} marked voxels are outside the image", covered.marked));
    }
    let placed = Image { size: image.size, samples, geometry: image.geometry.clone(), ..mask.image };
    let mask = Loaded { file: mask.file, image: placed, positions: None, files: Vec::new() };
    Ok(Placed { mask, slices: None, placement: Placement::Resampled, error_mm: Some(super::rounded(farthest)), notes })
}

/// How much of what a mask marks lies in its image.
struct Cover {
    marked: usize,
    inside: usize,
}

fn cover(to_image: &Map, image: &Grid, mask: &Grid, marked: impl Fn(usize) -> bool) -> Cover {
    let [nx, ny, nz, _] = mask.size;
    let mut cover = Cover { marked: 0, inside: 0 };
    for i in (0..nx * ny * nz).filter(|&i| marked(i)) {
        let [x, y, z] = [i % nx, i / nx % ny, i / (nx * ny)];
        cover.marked += 1;
        let at = to_image.apply([x as f64, y as f64, mask.height(z)]);
        cover.inside += usize::from(image.nearest(at).is_some());
    }
    cover
}

impl Grid {
    /// The voxel whose centre is nearest, `None` outside of the grid.
    fn nearest(&self, at: [f64; 3]) -> Option<[usize; 3]> {
        let mut index = [0; 3];
        for axis in 0..3 {
            let place = match (&self.heights, axis) {
                (Some(heights), 2) => nearest_height(heights, at[2])?,
                _ => at[axis].round(),
            };
            // NaN is in no range.
            if !(0.0..self.size[axis] as f64).contains(&place) {
                return None;
            }
            index[axis] = place as usize;
        }
        Some(index)
    }
}

/// Position of the height nearest to `at`, if it is within half a step: what lies in a gap has no slice.
fn nearest_height(heights: &[f64], at: f64) -> Option<f64> {
    let (place, height) = heights.iter().enumerate().min_by(|a, b| (a.1 - at).abs().total_cmp(&(b.1 - at).abs()))?;
    ((height - at).abs() <= 0.5).then_some(place as f64)
}
