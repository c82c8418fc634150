//! Slices and masks as PNG, in folders named by their ids.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::Serialize;

use super::{Damage, Error, ExportScope, Exported, Folder, io};
use crate::formats;
use crate::image::Samples;
use crate::mask::Mask;
use crate::slices::{pixels_sha256, png};
use crate::store::{self, EncodedImage, MaskRow, Projection, Rows, TableFile, check_columns, check_id};
use crate::text::cell;

/// The table of masks.
const TABLE: &str = "masks.csv";

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

crate::projection! {
    /// A slice's picture, and the digest of its pixels.
    struct Picture of Slices { slice_id: String, image: EncodedImage, pixels_sha256: String }
}

/// Writes the picture of every slice whose pixels are those of its row: their number, and what is damaged.
pub(super) fn write_images(scope: &ExportScope, folder: &Folder) -> Result<(u64, Vec<Damage>), Error> {
    let (mut files, mut damaged) = (Vec::new(), Vec::new());
    for mut file in scope.files::<Picture>()? {
        match check_columns(&file, &["slice_id".into(), "pixels_sha256".into()]) {
            Ok(()) => {
                // A checksum of the whole column of pictures would condemn them all: each has a digest of its own.
                file.file.checksums.clear();
                files.push(file);
            }
            Err(error) => damaged.push(as_damage(error.into())?),
        }
    }
    let (written, more) = each_row(files, |slice: Picture| {
        let image = formats::png::read(&slice.image.bytes).map_err(|e| damage(&slice.slice_id, e))?;
        match &image.samples {
            Samples::U8(pixels) if pixels_sha256(pixels) == slice.pixels_sha256 => {}
            _ => return Err(damage(&slice.slice_id, "the pixels are not those that its pixels_sha256 states").into()),
        }
        folder.write(&image_path(&slice.slice_id)?, &slice.image.bytes)
    })?;
    Ok((written, {
        damaged.extend(more);
        damaged
    }))
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

fn write_masks(scope: &ExportScope, folder: &Folder) -> Result<(u64, Vec<Damage>), Error> {
    each_row(scope.files::<MaskRow>()?, |row: MaskRow| {
        let mask = sound(&row)?;
        let pixels: Vec<u8> = mask.to_bitmap().into_iter().map(|inside| 255 * inside).collect();
        folder.write(&path_in("masks", &row.mask_id)?, &png::encode(&pixels, mask.width(), mask.height(), 1))
    })
}

/// Checks every mask, for a table that holds their codes.
pub(super) fn check_masks(scope: &ExportScope) -> Result<Vec<Damage>, Error> {
    Ok(each_row(scope.files::<MaskRow>()?, |row: MaskRow| sound(&row).map(drop))?.1)
}

/// The mask of a row, if it has the area that the row states.
fn sound(row: &MaskRow) -> Result<Mask, Error> {
    let mask = row.mask.decode(&row.mask_id)?;
    match mask.area() == u64::from(row.area_px) {
        true => Ok(mask),
        false => Err(damage(&row.mask_id, "the mask does not have the area that its area_px states").into()),
    }
}

/// Does something with every row of some files, which are read in parallel: the number of rows that it was done with,
/// and the damage that was found. Behind a row group that cannot be read the rest of its file is left out.
fn each_row<P: Projection>(
    files: Vec<TableFile>,
    one: impl Fn(P) -> Result<(), Error> + Sync,
) -> Result<(u64, Vec<Damage>), Error> {
    let of_file = |file: TableFile| {
        let (mut done, mut damaged) = (0, Vec::new());
        for row in Rows::<P>::of(vec![file]) {
            match row.map_err(Error::from).and_then(&one) {
                Ok(()) => done += 1,
                Err(error) => damaged.push(as_damage(error)?),
            }
        }
        Ok::<_, Error>((done, damaged))
    };
    let files: Vec<(u64, Vec<Damage>)> = files.into_par_iter().map(of_file).collect::<Result<_, Error>>()?;
    let (done, damaged): (Vec<u64>, Vec<Vec<Damage>>) = files.into_iter().unzip();
    Ok((done.into_iter().sum(), damaged.concat()))
}

fn damage(what: &str, reason: impl ToString) -> Damage {
    Damage { what: what.escape_debug().to_string(), reason: reason.to_string() }
}

/// The damage that an error is about; other errors end the export.
fn as_damage(error: Error) -> Result<Damage, Error> {
    match error {
        Error::Damaged { id, reason } => Ok(Damage { what: id, reason }),
        Error::Store(store::Error::Damaged { path, reason }) => Ok(damage(&path.display().to_string(), reason)),
        Error::Store(store::Error::Parquet { path, source }) => Ok(damage(&path.display().to_string(), source)),
        Error::Store(store::Error::DamagedMask { id, reason }) => Ok(damage(&id, reason)),
        other => Err(other),
    }
}

impl From<Damage> for Error {
    fn from(Damage { what, reason }: Damage) -> Error {
        Error::Damaged { id: what, reason }
    }
}

/// The end of an export that found damage: its tables are left out, since they would speak of files that are not there.
pub(super) fn without_damage(scope: &ExportScope, mut damaged: Vec<Damage>) -> Result<(), Error> {
    damaged.sort();
    match damaged.is_empty() {
        true => Ok(()),
        false => Err(Error::Incomplete { dataset: scope.dataset.path().to_path_buf(), damaged }),
    }
}

pub(super) fn write(scope: &ExportScope, folder: &Folder) -> Result<Exported, Error> {
    let (slices, damaged) = write_images(scope, folder)?;
    let (masks, more) = write_masks(scope, folder)?;
    without_damage(scope, [damaged, more].concat())?;
    let path = folder.inside(TABLE)?;
    let failed = |e: csv::Error| Error::Io { path: path.clone(), source: std::io::Error::other(e) };
    let mut table = csv::Writer::from_writer(folder.begin(TABLE)?);
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
    let file = table.into_inner().map_err(|e| io(&path)(std::io::Error::other(e.to_string())))?;
    file.finish().map_err(io(&path))?;
    Ok(Exported { slices, masks, ..Exported::default() })
}
