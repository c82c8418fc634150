//! What the axes of a NRRD are: components, x, y, z, t; and where they lie.

use super::fields::Fields;
use super::{Result, malformed, unsupported};
use crate::formats::{listed, voxels::four_axes};
use crate::image::{Frame, Geometry};

/// Sizes in the order of an image, and its frame.
pub(super) struct Axes {
    pub size: [usize; 4],
    pub components: usize,
    /// The components are no colours: their axis is a list or a vector, or nothing is said of it.
    pub layers: bool,
    pub geometry: Option<Geometry>,
}

pub(super) fn of(fields: &Fields, notes: &mut Vec<String>) -> Result<Axes> {
    fields.required("dimension")?;
    let dimension: usize = fields.number("dimension")?.unwrap_or(0);
    if !(1..=16).contains(&dimension) {
        return Err(malformed(format!("dimension is {dimension}, expected 1 to 16")));
    }
    fields.required("sizes")?;
    let sizes: Vec<usize> = fields.per_axis("sizes", dimension)?.unwrap_or_default();
    if sizes.contains(&0) {
        return Err(malformed(format!("sizes are {}; an axis cannot be empty", listed(&sizes))));
    }
    let directions = fields.vectors("spacedirections")?;
    if let Some(directions) = &directions
        && directions.len() != dimension
    {
        return Err(malformed(format!("{} space directions for {dimension} axes", directions.len())));
    }
    let spacings: Option<Vec<f64>> = fields.per_axis("spacings", dimension)?;
    let kinds: Option<Vec<String>> = fields.per_axis("kinds", dimension)?;

    let is_space = |axis: usize| {
        let kind = kinds.as_ref().map(|k| k[axis].to_ascii_lowercase());
        match (&directions, kind.as_deref(), &spacings) {
            // A vector of four with time is an axis of space only by its first three parts.
            (Some(d), _, _) => d[axis].as_ref().is_some_and(|v| v.iter().take(3).any(|x| *x != 0.0)),
            (None, Some(kind), _) if kind != "???" && kind != "none" => matches!(kind, "domain" | "space"),
            (None, _, Some(spacings)) => !spacings[axis].is_nan(),
            (None, _, None) => true,
        }
    };
    let mut space: Vec<usize> = (0..dimension).filter(|&axis| is_space(axis)).collect();
    if space.is_empty() {
        space.extend(0..dimension);
    }
    // A fourth axis of space has no place of its own: with the rest it runs slowest.
    space.truncate(3);
    let first = space.first().copied().unwrap_or(0);
    let last = space.last().map_or(0, |axis| axis + 1);
    if last - first != space.len() || first > 1 {
        return Err(unsupported(format!(
            "axes in the order of sizes {}, of which {} are of space; reorder them to components, x, y, z, t",
            listed(&sizes),
            listed(&space)
        )));
    }
    let components = sizes[..first].iter().product();
    let mut image_axes = sizes[first..last].to_vec();
    image_axes.resize(3, 1);
    image_axes.extend(&sizes[last..]);
    let size = four_axes(&image_axes)
        .ok_or_else(|| malformed(format!("the product of the sizes {} is too large", listed(&sizes))))?;
    let colours = kinds.as_ref().is_some_and(|kinds| {
        let kind = kinds[0].to_ascii_lowercase();
        kind.ends_with("-color")
    });
    let geometry = geometry(fields, &space, directions, spacings, notes)?;
    Ok(Axes { size, components, layers: components > 1 && !colours, geometry })
}

/// Signs that turn the space's axes into RAS+, and whether the name is anatomical.
fn ras_signs(space: Option<&str>) -> ([f64; 3], bool) {
    let name = space.unwrap_or_default().to_ascii_lowercase();
    match name.strip_suffix("-time").unwrap_or(&name) {
        "right-anterior-superior" | "ras" | "rast" => ([1.0, 1.0, 1.0], true),
        "left-anterior-superior" | "las" | "last" => ([-1.0, 1.0, 1.0], true),
        "left-posterior-superior" | "lps" | "lpst" => ([-1.0, -1.0, 1.0], true),
        _ => ([-1.0, -1.0, 1.0], false),
    }
}

fn geometry(
    fields: &Fields,
    space: &[usize],
    directions: Option<Vec<Option<Vec<f64>>>>,
    spacings: Option<Vec<f64>>,
    notes: &mut Vec<String>,
) -> Result<Option<Geometry>> {
    let Some(directions) = directions else {
        let Some(spacings) = spacings else { return Ok(None) };
        let mut steps = [1.0; 3];
        for (step, &axis) in steps.iter_mut().zip(space) {
            *step = length_or_one(spacings[axis].abs(), axis, notes);
        }
        return Ok(Some(Geometry::from_spacing(steps)));
    };
    let (signs, is_anatomical) = ras_signs(fields.get("space"));
    if !is_anatomical {
        let name = fields.get("space").unwrap_or("not named");
        notes.push(format!(
            "The space is {name}, which does not distinguish left from right; LPS is assumed, as in ITK."
        ));
    }
    let origin = fields.vectors("spaceorigin")?.and_then(|mut v| if v.is_empty() { None } else { v.swap_remove(0) });
    let origin = origin.unwrap_or_default();
    let part = |vector: &[f64], row: usize| vector.get(row).copied().unwrap_or(0.0);

    let mut affine = [[0.0; 4]; 3];
    let mut steps = [1.0; 3];
    for (column, step) in steps.iter_mut().enumerate() {
        // An image of two axes gets a third across them.
        let across: Vec<f64> = (0..3).map(|row| f64::from(row == column)).collect();
        let vector = space.get(column).and_then(|&axis| directions[axis].as_ref()).unwrap_or(&across);
        for row in 0..3 {
            affine[row][column] = signs[row] * part(vector, row);
        }
        let length = (0..3).map(|row| part(vector, row).powi(2)).sum::<f64>().sqrt();
        *step = length_or_one(length, column, notes);
    }
    for row in 0..3 {
        affine[row][3] = signs[row] * part(&origin, row);
    }
    if !affine.iter().flatten().all(|v| v.is_finite()) {
        return Err(malformed("the space directions or the origin contain values that are not finite".into()));
    }
    Ok(Some(Geometry { spacing: steps, affine, frame: Frame::Header }))
}

fn length_or_one(length: f64, axis: usize, notes: &mut Vec<String>) -> f64 {
    if length > 0.0 && length.is_finite() {
        return length;
    }
    notes.push(format!("The spacing of axis {axis} is {length}; a spacing of 1 is used."));
    1.0
}
