//! Slices and masks as PNG, in folders named by their ids.

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::{Error, ExportScope, Exported, write as write_file};
use crate::slices::png;
use crate::store::{MaskRow, Rows, SliceImage, check_id};
use crate::text::cell;

/// A line of `masks.csv`. No [cell] of it is a formula.
#[derive(Serialize)]
struct Line<'a> {
    mask_id: Cow<'a, str>,
    image: String,
    mask: String,
    source: Cow<'a, str>,
    patient_id: Cow<'a, str>,
    modality: Cow<'a, str>,
    object: Cow<'a, str>,
    target: Cow<'a, str>,
    label_name: Cow<'a, str>,
    laterality: Option<Cow<'a, str>>,
    instance: Option<u32>,
    rater: Option<Cow<'a, str>>,
    excluded: bool,
    area_px: u32,
}

pub(super) fn write_images(scope: &ExportScope, to: &Path) -> Result<u64, Error> {
    let written = AtomicU64::new(0);
    scope.files::<SliceImage>()?.into_par_iter().try_for_each(|file| {
        for slice in Rows::<SliceImage>::of(vec![file]) {
            let slice = slice?;
            write_file(&to.join(image_path(&slice.slice_id)?), &slice.image.bytes)?;
            written.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), Error>(())
    })?;
    Ok(written.into_inner())
}

/// Path of a slice's picture in an export.
pub(super) fn image_path(slice_id: &str) -> Result<String, Error> {
    path_in("images", slice_id)
}

fn path_in(folder: &str, id: &str) -> Result<String, Error> {
    let refused = |why| Error::Damaged { id: id.to_string(), reason: format!("the id cannot name a file: {why}") };
    check_id(id).map_err(refused)?;
    Ok(format!("{folder}/{id}.png"))
}

fn write_masks(scope: &ExportScope, to: &Path) -> Result<u64, Error> {
    let written = AtomicU64::new(0);
    scope.files::<MaskRow>()?.into_par_iter().try_for_each(|file| {
        for mask in Rows::<MaskRow>::of(vec![file]) {
            let row = mask?;
            let mask = row.mask.decode(&row.mask_id)?;
            let pixels: Vec<u8> = mask.to_bitmap().into_iter().map(|inside| 255 * inside).collect();
            let path = to.join(path_in("masks", &row.mask_id)?);
            write_file(&path, &png::encode(&pixels, mask.width(), mask.height(), 1))?;
            written.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), Error>(())
    })?;
    Ok(written.into_inner())
}

pub(super) fn write(scope: &ExportScope, to: &Path) -> Result<Exported, Error> {
    let slices = write_images(scope, to)?;
    let masks = write_masks(scope, to)?;
    let path = to.join("masks.csv");
    let failed = |e: csv::Error| Error::Io { path: path.clone(), source: std::io::Error::other(e) };
    let mut table = csv::Writer::from_path(&path).map_err(failed)?;
    for row in scope.rows::<MaskRow>()? {
        let row = row?;
        let line = Line {
            mask_id: cell(&row.mask_id),
            image: image_path(&row.slice_id)?,
            mask: path_in("masks", &row.mask_id)?,
            source: cell(&row.source),
            patient_id: cell(&row.patient_id),
            modality: cell(&row.modality),
            object: cell(&row.object),
            target: cell(&row.target),
            label_name: cell(&row.label_name),
            laterality: row.laterality.as_deref().map(cell),
            instance: row.instance,
            rater: row.rater.as_deref().map(cell),
            excluded: row.excluded,
            area_px: row.area_px,
        };
        table.serialize(line).map_err(failed)?;
    }
    table.flush().map_err(|source| Error::Io { path: path.clone(), source })?;
    Ok(Exported { slices, masks, ..Exported::default() })
}
