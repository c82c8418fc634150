//! Predictions that were set aside come back where the build has their images and masks again.
//!
//! `build` does this at its end, for computed and imported predictions alike. Committed predictions come before those
//! that this build set aside, and these before older ones. What cannot be decided so stays set aside: predictions of a
//! setting that contradicts the model's others (`predict` takes in those of its own setting, [`fitting`]), and two
//! different imports of one mask.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::change::{Outdated, finish};
use super::slices_of::{build_shards, table_file};
use super::standing::{Fitting, contradict, fitting, is_imported, is_whole, masks_of, predictions_of};
use crate::digest::canonical_json;
use crate::store::{
    Dataset, Partition, PredictedMask, PredictionRow, Receipt, Row, Rows, Shard, ShardKey, ShardState, Stage, Table,
    Verify,
};

/// Predictions by mask, in the order of the masks.
type ByMask = BTreeMap<String, Vec<PredictionRow>>;

/// Takes in what fits of the predictions that were set aside, and adds what that changes to `outdated`.
///
/// # Errors
/// Errors of reading and writing.
pub(super) fn take_in(dataset: &Dataset, outdated: &mut Outdated) -> Result<()> {
    let parked = dataset.parked()?;
    let models: BTreeSet<&str> = parked.iter().filter_map(|receipt| receipt.model.as_deref()).collect();
    let builds = if parked.is_empty() { Vec::new() } else { build_shards(dataset)? };
    for model in models {
        let of_model: Vec<Receipt> = parked.iter().filter(|r| r.model.as_deref() == Some(model)).cloned().collect();
        let ages = of_model.iter().cloned().partition(|receipt| outdated.parked.contains(&receipt.id));
        Returning { dataset, builds: &builds, model }.take_in(ages.into(), outdated)?;
        let standing = dataset.sound_receipts()?;
        for receipt in &of_model {
            outdated.left_aside += left(dataset, &builds, &standing, receipt)?;
        }
    }
    Ok(())
}

/// The predictions of one model that come back.
struct Returning<'a> {
    dataset: &'a Dataset,
    builds: &'a [Receipt],
    model: &'a str,
}

impl Returning<'_> {
    /// `parked` are those that this build set aside, and older ones.
    fn take_in(&self, parked: [Vec<Receipt>; 2], outdated: &mut Outdated) -> Result<()> {
        let Some(standing) = self.standing()? else { return Ok(()) };
        let [newer, older] = parked;
        let newer = self.admissible(newer, &standing)?;
        let older = self.admissible(older, &[&standing[..], &newer].concat())?;
        let (mut added, mut merged) = (Vec::new(), BTreeSet::new());
        for build in self.builds {
            let fits = [fitting(self.dataset, &newer, build)?, fitting(self.dataset, &older, build)?];
            let passes: BTreeSet<&str> = fits.iter().flatten().filter_map(|fit| fit.receipt.key.get("pass")).collect();
            for pass in passes {
                let of_pass = |receipt: &Receipt| receipt.key.get("pass") == Some(pass);
                let own = |r: &&Receipt| of_pass(r) && r.key.get("build") == Some(&build.id.to_string());
                let there: Vec<&Receipt> = standing.iter().filter(own).collect();
                let mut rows = self.rows(&there)?;
                let before = rows.values().map(Vec::len).sum::<usize>();
                let mut doubtful = BTreeSet::new();
                for fits in &fits {
                    add_fitting(&mut rows, fits.iter().filter(|fit| of_pass(&fit.receipt)), &mut doubtful)?;
                }
                let after = rows.values().map(Vec::len).sum::<usize>();
                let key = fits.iter().flatten().find(|fit| of_pass(&fit.receipt)).map(|fit| &fit.receipt.key);
                if let Some(key) = key.filter(|_| after > before) {
                    outdated.returned_predictions += (after - before) as u64;
                    merged.extend(there.iter().map(|receipt| receipt.id.clone()));
                    added.push(self.write(build, key, rows)?);
                }
            }
        }
        if added.is_empty() {
            return Ok(());
        }
        for receipt in standing.iter().filter(|receipt| !merged.contains(&receipt.id)) {
            added.push(receipt.shard()?);
        }
        let Outdated { removed, .. } = finish(self.dataset, &added, BTreeMap::new())?;
        removed.into_iter().for_each(|(table, rows)| *outdated.removed.entry(table).or_default() += rows);
        Ok(())
    }

    /// Committed predictions of the model; `None` where some are damaged, so that nothing can be added to them before
    /// they are done again.
    fn standing(&self) -> Result<Option<Vec<Receipt>>> {
        let lost = self.dataset.sound_and_lost()?.1;
        let place = format!("/model={}/", self.model);
        let mut whole = !lost.iter().any(|shard| shard.stage == Stage::Predict && shard.receipt.contains(&place));
        let standing = predictions_of(self.dataset, self.model)?;
        for receipt in &standing {
            whole &= is_whole(self.dataset, receipt, Verify::Quick, "those that were set aside are not taken in yet")?;
        }
        Ok(whole.then_some(standing))
    }

    /// Those of the predictions that contradict neither `standing` ones, nor the setting that the model was last run with,
    /// nor one another.
    fn admissible(&self, mut parked: Vec<Receipt>, standing: &[Receipt]) -> Result<Vec<Receipt>> {
        let noted = self.dataset.options()?.remove(&format!("{} {}", Stage::Predict, self.model));
        let noted: Option<ShardKey> = noted.and_then(|setting| serde_json::from_value(setting).ok());
        parked.retain(|receipt| {
            let as_noted = is_imported(receipt) || noted.as_ref().is_none_or(|noted| receipt.key.holds(noted));
            as_noted && !standing.iter().any(|other| contradict(&receipt.key, &other.key))
        });
        let alone = |receipt: &&Receipt| !parked.iter().any(|other| contradict(&receipt.key, &other.key));
        Ok(parked.iter().filter(alone).cloned().collect())
    }

    /// The rows of committed shards.
    fn rows(&self, receipts: &[&Receipt]) -> Result<ByMask> {
        let files = receipts.iter().flat_map(|receipt| table_file(self.dataset, receipt, Table::Predictions));
        let mut rows = ByMask::new();
        for row in Rows::<PredictionRow>::of(files.collect()) {
            let row = row?;
            rows.entry(row.mask_id.clone()).or_default().push(row);
        }
        Ok(rows)
    }

    /// Writes a shard for a build shard, with the setting and pass of `key`.
    fn write(&self, build: &Receipt, key: &ShardKey, rows: ByMask) -> Result<Shard> {
        let mut sorted: Vec<PredictionRow> = rows.into_values().flatten().collect();
        sorted.sort_by(Row::compare);
        let mut masks: Vec<&String> = sorted.iter().map(|row| &row.mask_id).collect();
        masks.dedup();
        let imported = key.get("rows").is_some();
        let key = key.clone().without("masks").with("build", build.id.to_string());
        let key = match (imported, masks.len() as u64 == build.rows(Table::Masks)) {
            (true, _) => key.with_digest_of("rows", sorted.iter().map(canonical_json)),
            (false, true) => key,
            (false, false) => key.with_digest_of("masks", masks),
        };
        let shard = Shard::new(Stage::Predict, Partition::model(self.model, &build.source)?, key);
        if !matches!(self.dataset.state(&shard, Verify::Quick)?, ShardState::Done(_)) {
            let mut writer = self.dataset.begin(&shard);
            sorted.into_iter().try_for_each(|row| writer.push(row))?;
            writer.finish()?;
        }
        Ok(shard)
    }
}

/// Adds the rows of masks that have none. A mask of which two of the files say different things becomes doubtful, and
/// gets none of them.
fn add_fitting<'a>(
    rows: &mut ByMask,
    fits: impl Iterator<Item = &'a Fitting>,
    doubtful: &mut BTreeSet<String>,
) -> Result<()> {
    let there: BTreeSet<String> = rows.keys().chain(doubtful.iter()).cloned().collect();
    for fit in fits {
        let masks = fit.masks.iter().filter(|mask| !there.contains(*mask)).cloned();
        let mut found = ByMask::new();
        for row in Rows::<PredictionRow>::of(vec![fit.file.clone()]).only(masks) {
            let row = row?;
            found.entry(row.mask_id.clone()).or_default().push(row);
        }
        for (mask, new) in found {
            if rows.get(&mask).is_some_and(|old| canonical_json(old) != canonical_json(&new)) {
                doubtful.insert(mask.clone());
            }
            rows.entry(mask).or_insert(new);
        }
    }
    rows.retain(|mask, _| !doubtful.contains(mask));
    Ok(())
}

/// Number of predictions of a parked shard that the dataset does not have. Where it has all, the shard is removed.
fn left(dataset: &Dataset, builds: &[Receipt], standing: &[Receipt], parked: &Receipt) -> Result<u64> {
    let Some(file) = dataset.parked_file(parked) else { return Ok(0) };
    let mut have = BTreeSet::new();
    for build in builds.iter().filter(|build| build.source == parked.source) {
        for Fitting { masks, .. } in fitting(dataset, std::slice::from_ref(parked), build)? {
            let own = |receipt: &&Receipt| {
                receipt.stage == Stage::Predict
                    && receipt.model == parked.model
                    && receipt.key.get("build") == Some(&build.id.to_string())
                    && receipt.key.get("pass") == parked.key.get("pass")
                    && !contradict(&receipt.key, &parked.key)
            };
            let there: BTreeSet<String> = standing
                .iter()
                .filter(own)
                .filter_map(|receipt| masks_of(receipt, dataset.file_of(receipt, Table::Predictions)))
                .flatten()
                .collect();
            have.extend(masks.into_iter().filter(|mask| there.contains(mask)));
        }
    }
    let mut left = 0;
    for row in Rows::<PredictedMask>::of(vec![file]) {
        // What cannot be read stays.
        left += u64::from(row.map_or(true, |row| !have.contains(&row.mask_id)));
    }
    if left == 0 {
        dataset.discard_parked(parked)?;
    }
    Ok(left)
}
