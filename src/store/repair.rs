//! Repair of a dataset: leftovers are swept, and damaged shards are marked to be done again.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::audit::{Audit, Problem};
use super::commit::{remove, remove_shard};
use super::dataset::Dataset;
use super::durable;
use super::error::Result;
use super::journal::remove_folder;
use super::layout;
use super::lock::WriteLock;
use super::manifest::Manifest;
use super::names::Stage;
use super::rows::compare_ids;
use super::schema::Table;
use super::shard::Receipt;

/// What a repair does. Nothing that could be of use is removed: finished predictions that no manifest lists are only
/// named, unless they are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repair {
    /// Paths of files that no finished shard needs: removed.
    pub leftovers: Vec<String>,
    /// Shards that are damaged: taken out of the dataset, so that their stage does them again. By the path of the
    /// receipt, with the stage.
    pub redo: BTreeMap<String, Stage>,
    /// Damaged receipts that can be written anew from the manifest.
    pub restored: Vec<String>,
    /// Finished predictions that the dataset does not list: left by an interrupted run, or set aside because no build
    /// has their masks. By the path of the receipt, with the number of predictions.
    pub predictions: BTreeMap<String, u64>,
    /// Whether the manifest is written anew from the receipts.
    pub manifest: bool,
    /// Paths at which a folder lies in the place of a file, or a file in the place of a folder: moved to
    /// `.medcosmos/aside/`.
    pub in_the_way: Vec<String>,
    /// Paths of files that medcosmos did not write: left alone.
    pub foreign: Vec<String>,
}

impl Repair {
    /// Plans the repair of what an audit found.
    ///
    /// # Errors
    /// Errors of reading.
    pub fn plan(dataset: &Dataset, audit: &Audit) -> Result<Repair> {
        let mut repair = Repair::default();
        let of_file: BTreeMap<&str, &Receipt> = audit
            .receipts
            .iter()
            .flat_map(|receipt| receipt.files.values().map(move |file| (file.path.as_str(), receipt)))
            .collect();
        let listed = Manifest::read(dataset).ok().flatten().map(|manifest| manifest.shards).unwrap_or_default();
        let can_be_restored = |path: &str| {
            let shard = listed.iter().find(|shard| shard.receipt == path);
            shard.is_some_and(|shard| Receipt::restored(dataset.path(), path, &shard.files).is_some())
        };
        for problem in &audit.problems {
            match problem {
                Problem::BrokenReceipt { receipt, .. } if can_be_restored(receipt) => {
                    repair.restored.push(receipt.clone());
                }
                Problem::MissingShard { receipt } | Problem::BrokenReceipt { receipt, .. } => {
                    if let Some((stage, ..)) = layout::parse_receipt(receipt) {
                        repair.redo.insert(receipt.clone(), stage);
                    }
                }
                Problem::MissingFile { path } | Problem::AlteredFile { path, .. } => {
                    if let Some(receipt) = of_file.get(path.as_str()) {
                        repair.redo.insert(receipt.path(), receipt.stage);
                    }
                }
                Problem::ForeignFile { path } if layout::is_table_file(path) => repair.leftovers.push(path.clone()),
                Problem::ForeignFile { path } => repair.foreign.push(path.clone()),
                Problem::WrongManifest { .. } => repair.manifest = true,
                Problem::InTheWay { path } => {
                    repair.in_the_way.push(path.clone());
                    repair.manifest |= path == layout::MANIFEST;
                    if let Some(receipt) = of_file.get(path.as_str()) {
                        repair.redo.insert(receipt.path(), receipt.stage);
                    } else if let Some((stage, ..)) = layout::parse_receipt(path) {
                        repair.redo.insert(path.clone(), stage);
                    }
                }
                Problem::Uncommitted { .. } => {}
            }
        }
        let lost = Manifest::read(dataset).map_or(true, |manifest| manifest.is_none());
        for problem in &audit.problems {
            let Problem::Uncommitted { receipt: path } = problem else { continue };
            let Some(receipt) = audit.receipts.iter().find(|receipt| receipt.path() == *path) else { continue };
            if receipt.stage == Stage::Predict {
                repair.predictions.insert(path.clone(), receipt.rows(Table::Predictions));
            } else if !lost {
                repair.leftovers.push(path.clone());
                repair.leftovers.extend(receipt.files.values().map(|file| file.path.clone()));
            }
        }
        for receipt in dataset.parked()? {
            repair.predictions.insert(format!("parked {}", receipt.path()), receipt.rows(Table::Predictions));
        }
        Ok(repair)
    }

    /// True where there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let Repair { leftovers, redo, restored, manifest, in_the_way, .. } = self;
        leftovers.is_empty() && redo.is_empty() && restored.is_empty() && in_the_way.is_empty() && !manifest
    }

    /// Does it. `predictions` removes those that the dataset does not list as well.
    ///
    /// # Errors
    /// [`Locked`](super::Error::Locked) where another command writes, and errors of reading and writing.
    pub fn apply(&self, dataset: &Dataset, audit: &Audit, predictions: bool) -> Result<()> {
        let _lock = WriteLock::take(dataset.path())?;
        self.in_the_way.iter().try_for_each(|path| dataset.move_aside(path))?;
        dataset.restore_head()?;
        let lost = Manifest::read(dataset).map_or(true, |manifest| manifest.is_none());
        let before = Manifest::to_continue(dataset)?;
        let listed: BTreeSet<&str> = before.shards.iter().map(|shard| shard.receipt.as_str()).collect();
        let whole = if lost { coherent(&audit.receipts) } else { BTreeSet::new() };
        let stays = |path: &str| !self.redo.contains_key(path) && (whole.contains(path) || listed.contains(path));
        let receipts = audit.receipts.iter().map(|receipt| (receipt.path(), receipt.clone()));
        let mut kept: BTreeMap<String, Receipt> = receipts.filter(|(path, _)| stays(path)).collect();
        for shard in before.shards.iter().filter(|shard| self.restored.contains(&shard.receipt)) {
            if let Some(receipt) = Receipt::restored(dataset.path(), &shard.receipt, &shard.files) {
                durable::write_json(dataset.path(), &dataset.path().join(&shard.receipt), &receipt)?;
                kept.insert(shard.receipt.clone(), receipt);
            }
        }
        Manifest::of(kept, Vec::new(), before.options).write(dataset)?;
        for receipt in audit.receipts.iter().filter(|receipt| self.redo.contains_key(&receipt.path())) {
            remove_shard(dataset.path(), receipt)?;
        }
        for path in self.redo.keys().chain(&self.leftovers) {
            remove(&dataset.path().join(path))?;
        }
        if predictions {
            let uncommitted = |receipt: &&Receipt| self.predictions.contains_key(&receipt.path());
            audit.receipts.iter().filter(uncommitted).try_for_each(|receipt| remove_shard(dataset.path(), receipt))?;
            let parked = layout::parked(dataset.path());
            dataset.parked()?.iter().try_for_each(|receipt| remove_shard(&parked, receipt))?;
            remove_folder(&layout::journals(dataset.path()))?;
        }
        Ok(())
    }
}

/// Paths of the receipts of partitions in which no two shards hold rows of the same range of ids: where the manifest is
/// lost, nothing else tells results from the leftovers of other options.
fn coherent(receipts: &[Receipt]) -> BTreeSet<String> {
    let mut partitions: BTreeMap<_, Vec<&Receipt>> = BTreeMap::new();
    for receipt in receipts {
        let place = (receipt.stage, &receipt.model, &receipt.source, receipt.key.get("pass"));
        partitions.entry(place).or_default().push(receipt);
    }
    let overlap = |receipts: &[&Receipt]| {
        Table::ALL.iter().any(|table| {
            let mut files: Vec<_> = receipts.iter().filter_map(|receipt| receipt.files.get(table)).collect();
            files.sort_by(|a, b| compare_ids(&a.first, &b.first));
            files.windows(2).any(|pair| compare_ids(&pair[0].last, &pair[1].first).is_ge())
        })
    };
    let sound = partitions.into_values().filter(|receipts| receipts[0].stage == Stage::Evaluate || !overlap(receipts));
    sound.flatten().map(Receipt::path).collect()
}
