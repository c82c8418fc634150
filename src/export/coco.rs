//! COCO's `annotations.json`, with run-length masks, as pycocotools and detectron2 read it. `medcosmos import` reads what
//! such programs write back: images are named by their slices, categories by their labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::pictures::{image_path, write_images};
use super::{Error, Exported, Taken, io};
use crate::projection;
use crate::store::MaskRow;

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

pub(super) fn write(taken: &Taken, to: &Path) -> Result<Exported, Error> {
    let slices = write_images(taken, to)?;
    let mut labels: BTreeSet<(String, String)> = BTreeSet::new();
    for row in taken.rows::<Label>()? {
        let Label { label_name, object } = row?;
        labels.insert((object, label_name));
    }
    let categories: BTreeMap<&(String, String), usize> = labels.iter().zip(1..).collect();

    let path = to.join("annotations.json");
    let mut file = BufWriter::new(File::create(&path).map_err(io(&path))?);
    let mut text = |text: &str| file.write_all(text.as_bytes()).map_err(io(&path));
    text("{\n")?;
    text(&format!("\"info\": {},\n", json!({"description": "slices and masks by medcosmos"})))?;
    let licences = taken.terms.iter().zip(1..).map(|(t, id)| json!({"id": id, "name": t.licence, "url": t.home}));
    text(&format!("\"licenses\": {},\n", serde_json::Value::from_iter(licences)))?;
    let listed =
        categories.iter().map(|((object, label), id)| json!({"id": id, "name": label, "supercategory": object}));
    text(&format!("\"categories\": {},\n\"images\": [", serde_json::Value::from_iter(listed)))?;

    // Slices are numbered as they come; the masks come in the same order.
    let mut separator = "\n";
    for (picture, id) in taken.rows::<Picture>()?.zip(1u64..) {
        let picture = picture?;
        let licence = taken.terms.iter().position(|t| t.source == picture.source).map_or(0, |at| at + 1);
        let image = json!({
            "id": id,
            "file_name": image_path(&picture.slice_id).trim_start_matches("images/"),
            "height": picture.height,
            "width": picture.width,
            "license": licence,
            "source": picture.source,
            "patient_id": picture.patient_id,
            "split": picture.split,
            "modality": picture.modality,
        });
        text(&format!("{separator}{image}"))?;
        separator = ",\n";
    }
    text("],\n\"annotations\": [")?;
    let mut pictures = taken.rows::<Picture>()?.zip(1u64..).peekable();
    let (mut separator, mut masks) = ("\n", 0u64);
    for row in taken.rows::<MaskRow>()? {
        let row = row?;
        // A slice without a mask is not in the table: the next one of another name is the next one with a mask.
        while pictures.next_if(|(picture, _)| picture.as_ref().is_ok_and(|p| p.slice_id != row.slice_id)).is_some() {}
        let orphan =
            || Error::Damaged { id: row.mask_id.clone(), reason: "the slice of the mask is not in the dataset".into() };
        let image_id = pictures.peek().map(|(_, id)| *id).ok_or_else(orphan)?;
        masks += 1;
        text(&format!("{separator}{}", annotation(&row, masks, image_id, &categories)))?;
        separator = ",\n";
    }
    text("]\n}\n")?;
    file.into_inner().map_err(|e| e.into_error()).and_then(|f| f.sync_all()).map_err(io(&path))?;
    Ok(Exported { slices, masks, ..Exported::default() })
}

fn annotation(
    row: &MaskRow,
    id: u64,
    image_id: u64,
    categories: &BTreeMap<&(String, String), usize>,
) -> impl Serialize + std::fmt::Display + use<> {
    let [left, top, right, bottom] = row.bbox;
    json!({
        "id": id,
        "image_id": image_id,
        "category_id": categories.get(&(row.object.clone(), row.label_name.clone())),
        "segmentation": {"size": row.mask.size, "counts": String::from_utf8_lossy(&row.mask.counts)},
        "area": row.area_px,
        "bbox": [left, top, right + 1 - left, bottom + 1 - top],
        "iscrowd": 0,
        "mask_id": row.mask_id,
        "excluded": row.excluded,
    })
}
