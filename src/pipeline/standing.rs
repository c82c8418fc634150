//! Predictions of a model that a dataset has when more are added: committed ones, and those that were set aside when
//! their build went.

use super::{Result, inputs};
use crate::digest::sha256_file;
use crate::store::rows::compare_ids;
use crate::store::{
    Dataset, Manifest, PredictedMask, Receipt, Rows, ShardKey, ShardState, Stage, Table, TableFile, Verify,
};

/// Committed predictions of a model. Shards whose receipts are lost or damaged are left out, with a warning.
///
/// # Errors
/// Errors of reading.
pub(super) fn predictions_of(dataset: &Dataset, model: &str) -> Result<Vec<Receipt>> {
    let mut found = dataset.sound_receipts()?;
    found.retain(|receipt| receipt.stage == Stage::Predict && receipt.model.as_deref() == Some(model));
    let listed = Manifest::read(dataset)?.map(|manifest| manifest.shards).unwrap_or_default();
    for shard in listed.iter().filter(|shard| shard.stage == Stage::Predict) {
        let own = shard.files.values().any(|file| file.path.contains(&format!("/model={model}/")));
        if own && !found.iter().any(|receipt| receipt.id == shard.id) {
            tracing::warn!("{}: lost or damaged; its predictions are left out", shard.receipt);
        }
    }
    Ok(found)
}

/// Names in a key that say what predictions are of, and not how they were made.
pub(super) const PLACE: [&str; 2] = ["build", "masks"];
/// Names in a key that concern one pass.
pub(super) const OF_PASS: [&str; 4] = ["pass", "everything", "seeds", "clicks"];
/// The name in the keys of imported predictions that others lack.
pub(super) const IMPORTED: &str = "rows";

/// Whether predictions are those of another program.
pub(super) fn is_imported(receipt: &Receipt) -> bool {
    receipt.key.get(IMPORTED).is_some()
}

/// Whether predictions of one model, by their keys, cannot stand beside each other: a pass has one setting, and so has a
/// model in all passes. Imported predictions are not made by the model, so only their own pass counts.
pub(super) fn contradict(a: &ShardKey, b: &ShardKey) -> bool {
    let is_imported = [a, b].map(|key| key.get(IMPORTED).is_some());
    let setting = |key: &ShardKey, without: &[&str]| without.iter().fold(key.clone(), |key, name| key.without(name));
    let of_place = [&PLACE[..], &[IMPORTED]].concat();
    if a.get("pass") == b.get("pass") {
        return is_imported[0] != is_imported[1] || setting(a, &of_place) != setting(b, &of_place);
    }
    let of_pass = [&PLACE[..], &OF_PASS].concat();
    is_imported == [false; 2] && setting(a, &of_pass) != setting(b, &of_pass)
}

/// Whether the predictions of a receipt are whole. Where they are not, a warning says so, with the consequence.
///
/// # Errors
/// Errors of reading.
pub(super) fn is_whole(dataset: &Dataset, receipt: &Receipt, verify: Verify, consequence: &str) -> Result<bool> {
    let whole = matches!(dataset.state(&receipt.shard()?, verify)?, ShardState::Done(_));
    if !whole {
        warn(receipt, consequence);
    }
    Ok(whole)
}

/// Warns that predictions are damaged.
pub(super) fn warn(receipt: &Receipt, consequence: &str) {
    let (model, pass) = (receipt.model.as_deref().unwrap_or_default(), receipt.key.get("pass").unwrap_or_default());
    tracing::warn!(
        "{model} {pass} on {}: the predictions of shard {} are damaged; {consequence}",
        receipt.source,
        receipt.id
    );
}

/// The masks that predictions are of, in the order of the table; `None` where that cannot be read.
pub(super) fn masks_of(receipt: &Receipt, file: Option<TableFile>) -> Option<Vec<String>> {
    let mut masks: Vec<String> = Vec::new();
    for row in Rows::<PredictedMask>::of(file.into_iter().collect()) {
        let PredictedMask { mask_id } = row.ok()?;
        if masks.last() != Some(&mask_id) {
            masks.push(mask_id);
        }
    }
    let stated = receipt.key.get("masks");
    let digest = ShardKey::new().with_digest_of("masks", &masks);
    (stated.is_none() || stated == digest.get("masks")).then_some(masks)
}

/// Predictions that were set aside and fit masks of a build shard.
pub(super) struct Fitting {
    pub(super) receipt: Receipt,
    pub(super) file: TableFile,
    /// Masks whose pixels and runs are those that the predictions were computed from, in the order of the table.
    pub(super) masks: Vec<String>,
    /// Number of masks that the file has.
    pub(super) of: usize,
}

/// Finds the predictions that were set aside and fit masks of a build shard, whatever their setting and pass.
///
/// # Errors
/// Errors of reading the build shard.
pub(super) fn fitting(dataset: &Dataset, parked: &[Receipt], build: &Receipt) -> Result<Vec<Fitting>> {
    let Some(range) = build.files.get(&Table::Masks) else { return Ok(Vec::new()) };
    // Ids of both are sorted, so that only neighbours are looked into.
    let meets = |file: &TableFile| {
        compare_ids(&file.file.first, &range.last).is_le() && compare_ids(&range.first, &file.file.last).is_le()
    };
    let mut now = None;
    let mut found = Vec::new();
    for receipt in parked.iter().filter(|receipt| receipt.source == build.source) {
        let Some(file) = dataset.parked_file(receipt).filter(meets) else { continue };
        let Some(before) = receipt.key.get("build").and_then(|build| dataset.parked_inputs(build)) else { continue };
        let whole = sha256_file(&file.path).is_ok_and(|(_, sha256)| sha256 == file.file.sha256);
        let masks = masks_of(receipt, Some(file.clone())).filter(|_| whole);
        let Some(mut masks) = masks else {
            warn(receipt, "they were set aside, and are not used");
            continue;
        };
        if now.is_none() {
            now = Some(inputs::of_build(dataset, build)?);
        }
        let Some(now) = &now else { continue };
        let of = masks.len();
        masks.retain(|mask| now.contains_key(mask) && now.get(mask) == before.get(mask));
        if !masks.is_empty() {
            found.push(Fitting { receipt: receipt.clone(), file, of, masks });
        }
    }
    Ok(found)
}
