//! What a prediction is computed from: the pixels of its slice and its mask. Digests of both are kept with predictions
//! that are set aside, so that they are used again where a later build has the same pixels and mask, however its
//! cases are divided into shards.

use std::collections::{BTreeMap, HashMap};

use super::Result;
use super::slices_of::table_file;
use crate::digest::sha256_parts;
use crate::projection;
use crate::store::{Dataset, MaskRow, Receipt, Rows, Table};

projection! {
    /// The digest of a slice's pixels.
    struct Pixels of Slices { slice_id: String, pixels_sha256: String }
}

/// The first 16 hexadecimal digits of the SHA-256 of pixels, size and mask, of each mask of a build shard by its id.
///
/// # Errors
/// Rows that cannot be read.
pub(super) fn of_build(dataset: &Dataset, build: &Receipt) -> Result<BTreeMap<String, String>> {
    let mut pixels = HashMap::new();
    for row in Rows::<Pixels>::of(table_file(dataset, build, Table::Slices)) {
        let Pixels { slice_id, pixels_sha256 } = row?;
        pixels.insert(slice_id, pixels_sha256);
    }
    let mut inputs = BTreeMap::new();
    for row in Rows::<MaskRow>::of(table_file(dataset, build, Table::Masks)) {
        let MaskRow { mask_id, slice_id, mask, .. } = row?;
        let pixels = pixels.get(&slice_id).map_or("", String::as_str);
        let [height, width] = mask.size.map(|n| n.to_le_bytes());
        let digest = sha256_parts([pixels.as_bytes(), &height, &width, &mask.counts]);
        inputs.insert(mask_id, digest[..16].to_string());
    }
    Ok(inputs)
}

/// Keeps the digests of build shards that a change removes and that predictions were computed from. Without them these
/// predictions are computed again, so a shard that cannot be read is only reported.
pub(super) fn keep(dataset: &Dataset, removed: &[&Receipt]) -> Result<()> {
    for build in removed {
        match of_build(dataset, build) {
            Ok(inputs) => dataset.park_inputs(&build.id, &inputs)?,
            Err(error) => tracing::warn!("predictions for {} cannot be used again: {error}", build.source),
        }
    }
    Ok(())
}
