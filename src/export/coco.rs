//! COCO's `annotations.json`, with run-length masks, as pycocotools and detectron2 read it. `medcosmos import` reads
//! what such programs write back: images are named by their slices, categories by their labels.

use std::collections::{BTreeMap, BTreeSet};

use super::pictures::{check_masks, image_path, without_damage, write_images};
use super::{Error, ExportScope, Exported, Folder, io};
use crate::coco::{self, Annotation, Category, Counts, Image, Licence, Runs, Segmentation};
use crate::licences::Terms;
use crate::projection;
use crate::store::MaskRow;

/// The file of annotations.
const ANNOTATIONS: &str = "annotations.json";

projection! {
    /// A slice as COCO's `images` have it.
    struct Picture of Slices {
        slice_id: String,
        source: String,
        patient_id: String,
        split: Option<String>,
        modality: String,
        height: u32,
        width: u32,
    }
}

projection! {
    /// What a category is made of.
    struct Label of Masks { label_name: String, object: String }
}

pub(super) fn write(scope: &ExportScope, folder: &Folder) -> Result<Exported, Error> {
    let (slices, damaged) = write_images(scope, folder)?;
    without_damage(scope, [damaged, check_masks(scope)?].concat())?;
    let mut labels: BTreeSet<(String, String)> = BTreeSet::new();
    for row in scope.rows::<Label>()? {
        let Label { label_name, object } = row?;
        labels.insert((object, label_name));
    }
    let numbers: BTreeMap<&(String, String), usize> = labels.iter().zip(1..).collect();
    let category = |((object, name), id): &(&(String, String), usize)| Category {
        id: (*id).into(),
        name: name.clone(),
        supercategory: object.clone(),
    };
    let categories: Vec<Category> = labels.iter().zip(1..).map(|of| category(&of)).collect();
    let licence = |(terms, id): (&Terms, usize)| Licence { id, name: terms.licence.clone(), url: terms.home.clone() };
    let licences: Vec<Licence> = scope.terms.iter().zip(1..).map(licence).collect();

    // Slices are numbered as they come; the masks come in the same order.
    let images = scope.rows::<Picture>()?.zip(1u64..).map(|(picture, id)| image(picture?, id, scope));
    let mut pictures = scope.rows::<Picture>()?.zip(1u64..).peekable();
    let mut masks = 0u64;
    let annotations = scope.rows::<MaskRow>()?.map(|row| {
        let row = row?;
        // A slice without a mask is not in the table: the next one of another name is the next one with a mask.
        while pictures.next_if(|(picture, _)| picture.as_ref().is_ok_and(|p| p.slice_id != row.slice_id)).is_some() {}
        let orphan =
            || Error::Damaged { id: row.mask_id.clone(), reason: "the slice of the mask is not in the dataset".into() };
        let image_id = pictures.peek().map(|(_, id)| *id).ok_or_else(orphan)?;
        masks += 1;
        Ok(annotation(row, masks, image_id, &numbers))
    });
    let path = folder.inside(ANNOTATIONS)?;
    let mut file = folder.begin(ANNOTATIONS)?;
    let written = coco::write(&mut file, "slices and masks by medcosmos", &licences, &categories, images, annotations)?;
    written.map_err(io(&path))?;
    file.finish().map_err(io(&path))?;
    Ok(Exported { slices, masks, ..Exported::default() })
}

fn image(picture: Picture, id: u64, scope: &ExportScope) -> Result<Image, Error> {
    Ok(Image {
        id: id.into(),
        file_name: image_path(&picture.slice_id)?.trim_start_matches("images/").to_string(),
        height: picture.height,
        width: picture.width,
        license: scope.terms.iter().position(|t| t.source == picture.source).map_or(0, |at| at + 1),
        source: picture.source,
        patient_id: picture.patient_id,
        split: picture.split,
        modality: picture.modality,
    })
}

fn annotation(row: MaskRow, id: u64, image_id: u64, categories: &BTreeMap<&(String, String), usize>) -> Annotation {
    let [left, top, right, bottom] = row.bbox;
    let counts = Counts::Compressed(String::from_utf8_lossy(&row.mask.counts).into_owned());
    Annotation {
        id,
        image_id: image_id.into(),
        category_id: categories.get(&(row.object, row.label_name)).copied().into(),
        segmentation: Segmentation::Runs(Runs { size: row.mask.size, counts }),
        score: None,
        area: row.area_px,
        bbox: [left, top, right + 1 - left, bottom + 1 - top],
        iscrowd: 0,
        mask_id: row.mask_id,
        excluded: row.excluded,
    }
}
