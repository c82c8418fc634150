//! Predictions of a model that a dataset has when more are added.

use super::Result;
use crate::store::{Dataset, Manifest, Partition, Receipt, Shard, ShardState, Stage, Verify};

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

/// The shard of a receipt.
///
/// # Errors
/// A name that is none.
pub(super) fn shard_of(receipt: &Receipt) -> Result<Shard> {
    let partition = Partition::model(receipt.model.as_deref().unwrap_or_default(), &receipt.source)?;
    Ok(Shard::new(Stage::Predict, partition, receipt.key.clone()))
}

/// Whether the predictions of a receipt are whole. Where they are not, a warning says so, with the consequence.
///
/// # Errors
/// Errors of reading.
pub(super) fn is_whole(dataset: &Dataset, receipt: &Receipt, verify: Verify, consequence: &str) -> Result<bool> {
    let whole = matches!(dataset.state(&shard_of(receipt)?, verify)?, ShardState::Done(_));
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
