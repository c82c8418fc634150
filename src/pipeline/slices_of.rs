//! Slices of a dataset with their pixels and masks, as read by later stages: shard by shard, slice by slice.

use std::collections::BTreeSet;

use super::{Error, Result};
use crate::mask::Mask;
use crate::store::{Dataset, MaskRow, Receipt, Rows, SliceRow, Stage, Table, TableFile};

/// One slice, decoded.
#[derive(Debug)]
pub(super) struct DecodedSlice {
    /// Its row.
    pub(super) row: SliceRow,
    /// 8-bit pixels, row by row, channels interleaved.
    pub(super) pixels: Vec<u8>,
    /// Its masks, in the order of their ids.
    pub(super) masks: Vec<(MaskRow, Mask)>,
}

/// Shards of the committed build, in the order of their sources and ids; those without a slice are left out. A warning
/// names sources whose build was interrupted: they are not part of the dataset yet.
///
/// # Errors
/// [`Error::Unfinished`] where nothing is committed because the build was interrupted.
pub(super) fn build_shards(dataset: &Dataset) -> Result<Vec<Receipt>> {
    let mut receipts = dataset.receipts_of(Stage::Build)?;
    let committed: BTreeSet<&str> = receipts.iter().map(|receipt| receipt.source.as_str()).collect();
    for partition in dataset.unfinished(Stage::Build)? {
        let slug = partition.source_name();
        if receipts.is_empty() {
            return Err(Error::Unfinished { dataset: dataset.path().to_path_buf(), slug: slug.to_string() });
        }
        if !committed.contains(slug) {
            tracing::warn!("the build of {slug} has not finished, so it is not included; run `medcosmos build` again");
        }
    }
    receipts.retain(|r| r.files.contains_key(&Table::Masks));
    receipts
        .sort_by(|a, b| (&a.source, &a.files[&Table::Masks].first).cmp(&(&b.source, &b.files[&Table::Masks].first)));
    Ok(receipts)
}

/// The file of a table in a shard.
pub(super) fn table_file(dataset: &Dataset, receipt: &Receipt, table: Table) -> Vec<TableFile> {
    dataset.file_of(receipt, table).into_iter().collect()
}

/// One slice as it is stored, so that whoever works on it can decode it.
#[derive(Debug)]
pub(super) struct StoredSlice {
    row: SliceRow,
    masks: Vec<MaskRow>,
}

impl StoredSlice {
    /// Decodes the picture and the masks.
    ///
    /// # Errors
    /// [`Error::Damaged`] and its kin, with the id of the row at fault.
    pub(super) fn decoded(self) -> Result<DecodedSlice> {
        let StoredSlice { row, masks } = self;
        let decoded = |row: MaskRow| row.mask.decode(&row.mask_id).map(|mask| (row, mask));
        let masks = masks.into_iter().map(decoded).collect::<std::result::Result<_, _>>()?;
        let pixels = decode_picture(&row.slice_id, &row.image.bytes, [row.height, row.width], row.channels)?;
        Ok(DecodedSlice { row, pixels, masks })
    }
}

/// Walks over the slices of a build shard that have a mask for which `wanted` is true, with these masks; one slice in
/// memory at a time. They are not decoded yet, so that threads can do that.
pub(super) fn stored_slices<W>(
    dataset: &Dataset,
    receipt: &Receipt,
    wanted: W,
) -> impl Iterator<Item = Result<StoredSlice>> + use<W>
where
    W: Fn(&str) -> bool,
{
    let mut masks = Rows::<MaskRow>::of(table_file(dataset, receipt, Table::Masks)).peekable();
    let mut slice = move |row: SliceRow| {
        let mut own = Vec::new();
        while let Some(next) = masks.next_if(|m| m.as_ref().map_or(true, |m| m.slice_id == row.slice_id)) {
            let mask = next?;
            if wanted(&mask.mask_id) {
                own.push(mask);
            }
        }
        Ok((!own.is_empty()).then_some(StoredSlice { row, masks: own }))
    };
    Rows::<SliceRow>::of(table_file(dataset, receipt, Table::Slices))
        .filter_map(move |row| row.map_err(Error::from).and_then(&mut slice).transpose())
}

/// The 8-bit pixels of a stored picture of `height` x `width` x `channels`.
pub(super) fn decode_picture(id: &str, picture: &[u8], [height, width]: [u32; 2], channels: u8) -> Result<Vec<u8>> {
    let damaged = |reason: String| Error::Damaged { id: id.to_string(), reason };
    let image = crate::formats::png::read(picture).map_err(|e| damaged(e.to_string()))?;
    let size = [width as usize, height as usize];
    match image.samples {
        crate::image::Samples::U8(pixels) if image.size[..2] == size && image.components == channels as usize => {
            Ok(pixels)
        }
        _ => Err(damaged(format!(
            "the image does not have the {width} x {height} pixels and {channels} channel(s) stated in its row"
        ))),
    }
}
