//! How a stage changes a dataset: what others were computed from stays valid, and nothing that is there goes unasked.
//!
//! Results that belong to masks or predictions that are gone are removed with them, or set aside if they are
//! predictions (`parked.rs`). Results of the same inputs and other options are replaced only where the user says so.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{Error, Result, inputs};
use crate::digest::sha256;
use crate::store::{
    Change, Changed, Dataset, Fate, ManifestShard, Receipt, Shard, ShardId, Stage, Table, Verify, apply,
};
use crate::text::grouped;

/// What a stage does where the dataset has its results of other options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It refuses, and says what would be removed.
    #[default]
    Keep,
    /// It replaces them.
    Replace,
}

/// Results that left a dataset because a run replaced them or what they were computed from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outdated {
    /// Rows of earlier runs with other options that this run replaced because of `--replace`, by table.
    pub replaced: BTreeMap<Table, u64>,
    /// Rows that were removed, by table.
    pub removed: BTreeMap<Table, u64>,
    /// Predictions that were set aside, because their cases were built anew.
    pub parked_predictions: u64,
    /// Predictions that were set aside by this run or an earlier one, and are part of the dataset again: their images and
    /// masks are as before.
    pub returned_predictions: u64,
    /// Predictions that stay set aside.
    pub left_aside: u64,
    /// Ids of the shards of predictions that this run set aside.
    #[serde(skip)]
    pub(super) parked: BTreeSet<ShardId>,
}

impl Outdated {
    /// A sentence for the user; `None` where nothing left.
    pub fn sentence(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.replaced.is_empty() {
            parts.push(format!(
                "Removed by --replace, because they were made with other options: {}.",
                rows(&self.replaced)
            ));
        }
        if !self.removed.is_empty() {
            let commands: BTreeSet<&str> = self.removed.keys().map(|table| table.command()).collect();
            let commands: Vec<String> = commands.into_iter().map(|command| format!("`{command}`")).collect();
            parts.push(format!(
                "Removed, because what they were computed from changed: {}. Run {} again.",
                rows(&self.removed),
                commands.join(", ")
            ));
        }
        if self.parked_predictions + self.returned_predictions > 0 {
            let [parked, returned, left] =
                [self.parked_predictions, self.returned_predictions, self.left_aside].map(grouped);
            parts.push(format!(
                "Set aside, because their cases were built anew: {parked} predictions. Taken in again, because their images \
                 and masks are as before: {returned}."
            ));
            if self.left_aside > 0 {
                parts.push(format!(
                    "{left} predictions stay set aside in case a later build has their masks; \
                     `medcosmos verify --repair` lists them."
                ));
            }
        }
        (!parts.is_empty()).then(|| parts.join("\n"))
    }
}

/// Adds the rows of a shard to the sums of their tables.
pub(super) fn add_rows(tables: &mut BTreeMap<Table, u64>, receipt: &Receipt) {
    for (&table, file) in &receipt.files {
        *tables.entry(table).or_default() += file.rows;
    }
}

fn rows(tables: &BTreeMap<Table, u64>) -> String {
    let parts: Vec<String> = tables.iter().map(|(table, rows)| format!("{table} ({} rows)", grouped(*rows))).collect();
    parts.join(", ")
}

/// Ids of the shards that a dataset has once `expected` are committed, and what follows for shards derived from others.
struct After {
    builds: BTreeSet<String>,
    predictions: BTreeSet<String>,
    /// Digests of the whole build and of all leaks.
    digests: [Option<String>; 2],
}

impl After {
    /// `lost` are committed shards whose receipts cannot be read: their stage does them again with the same ids, so what
    /// was derived from them stays.
    fn of(committed: &[Receipt], lost: &[ManifestShard], expected: &[Shard]) -> Self {
        let decided: BTreeSet<String> = expected.iter().map(Shard::folder).collect();
        let ids = |stage: Stage, stays: &dyn Fn(&Receipt) -> bool| -> BTreeSet<String> {
            let stay = committed.iter().filter(|r| r.stage == stage && !decided.contains(&r.folder()) && stays(r));
            let new = expected.iter().filter(|shard| shard.stage() == stage).map(|shard| shard.id().to_string());
            let lost = lost.iter().filter(|shard| shard.stage == stage && !decided.contains(shard.folder()));
            stay.map(|r| r.id.to_string()).chain(lost.map(|shard| shard.id.to_string())).chain(new).collect()
        };
        let builds = ids(Stage::Build, &|_| true);
        let predictions = ids(Stage::Predict, &|r| r.key.get("build").is_some_and(|id| builds.contains(id)));
        let digests =
            [digest(&builds), digest(&ids(Stage::Leaks, &|r| r.key.get("builds") == digest(&builds).as_deref()))];
        After { builds, predictions, digests }
    }

    /// What becomes of a committed shard of another partition.
    fn fate(&self, receipt: &Receipt) -> Fate {
        let [builds, leaks] = self.digests.each_ref().map(Option::as_deref);
        let derived = |key: &str, from: &BTreeSet<String>| receipt.key.get(key).is_some_and(|id| from.contains(id));
        match receipt.stage {
            Stage::Build | Stage::Files => Fate::Keep,
            Stage::Predict if derived("build", &self.builds) => Fate::Keep,
            Stage::Predict => Fate::Park,
            Stage::Factors if derived("build", &self.builds) => Fate::Keep,
            Stage::Evaluate if derived("predictions", &self.predictions) => Fate::Keep,
            Stage::Leaks if receipt.key.get("builds") == builds => Fate::Keep,
            Stage::Split
                if receipt.key.get("builds") == builds && receipt.key.get("leaks") == leaks.or(Some(EXACT)) =>
            {
                Fate::Keep
            }
            Stage::Factors | Stage::Evaluate | Stage::Leaks | Stage::Split => Fate::Remove,
        }
    }
}

/// What a split notes in place of the digest of the leaks, where `leaks` had not been run.
pub(super) const EXACT: &str = "exact";

/// Digest of shards, by which a later stage says what it is derived from; `None` where there are none.
fn digest(ids: &BTreeSet<String>) -> Option<String> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    (!ids.is_empty()).then(|| sha256(ids.join(" ").as_bytes()))
}

/// Digest of all shards of a stage: what is said of a dataset as a whole holds for one build only, and a split for the
/// leaks that were known.
pub(super) fn stage_digest(receipts: &[Receipt], stage: Stage) -> Option<String> {
    digest(&receipts.iter().filter(|r| r.stage == stage).map(|r| r.id.to_string()).collect())
}

/// Refuses a run whose commit would remove results of the same inputs: those of its own stage that differ in one of the
/// `options` (names of the keys of shards), and those of the stages in `derived`. Where they are to be replaced, it says
/// so and returns the rows of its own stage that go, by table.
///
/// # Errors
/// [`Error::Replaces`] with what would be removed and what differs.
pub(super) fn admit(
    dataset: &Dataset,
    expected: &[Shard],
    options: &[&str],
    derived: &[Stage],
    existing: Existing,
) -> Result<BTreeMap<Table, u64>> {
    let (committed, lost) = dataset.sound_and_lost()?;
    let after = After::of(&committed, &lost, expected);
    let (mut changes, mut replaced, mut derived_rows) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    // All shards of a place have the same options.
    let of_place: BTreeMap<String, &Shard> = expected.iter().map(|shard| (shard.folder(), shard)).collect();
    for receipt in &committed {
        let Some(twin) = of_place.get(&receipt.folder()) else {
            if derived.contains(&receipt.stage) && after.fate(receipt) == Fate::Remove {
                add_rows(&mut derived_rows, receipt);
            }
            continue;
        };
        let differing: Vec<String> = options
            .iter()
            .filter_map(|name| Some((*name, receipt.key.get(name)?, twin.key().get(name)?)))
            .flat_map(|(name, before, now)| differences(name, before, now))
            .collect();
        if !differing.is_empty() {
            changes.extend(differing);
            add_rows(&mut replaced, receipt);
        }
    }
    if !changes.is_empty() {
        // What follows from results that go goes with them.
        let follows = |receipt: &&Receipt| after.fate(receipt) != Fate::Keep;
        committed.iter().filter(follows).for_each(|receipt| {
            if !derived.contains(&receipt.stage) {
                add_rows(&mut derived_rows, receipt);
            }
        });
    }
    let mut removed = replaced.clone();
    derived_rows.into_iter().for_each(|(table, n)| *removed.entry(table).or_default() += n);
    if removed.is_empty() {
        return Ok(replaced);
    }
    let changes = if changes.is_empty() {
        "they were made without the leaks that this run finds".to_string()
    } else {
        Vec::from_iter(changes).join(", ")
    };
    if existing == Existing::Replace {
        tracing::warn!("--replace: once this run is complete, it removes {} ({changes})", rows(&removed));
        return Ok(replaced);
    }
    Err(Error::Replaces { dataset: dataset.path().to_path_buf(), removed: rows(&removed), changes })
}

/// What differs between two values of a key, field by field where both are JSON objects.
pub(super) fn differences(name: &str, before: &str, now: &str) -> Vec<String> {
    if before == now {
        return Vec::new();
    }
    let parsed = [before, now].map(serde_json::from_str::<Value>);
    if let [Ok(Value::Object(before)), Ok(Value::Object(now))] = &parsed {
        let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        let text = |value: Option<&Value>| value.map_or_else(|| "none".to_string(), Value::to_string);
        let of_field = |name: &&String| differences(name, &text(before.get(*name)), &text(now.get(*name)));
        return names.iter().flat_map(of_field).collect();
    }
    vec![format!("{name}: {before} before, {now} now")]
}

/// Commits the shards of a stage, with the options to be noted, and removes or sets aside what is outdated by it.
///
/// # Errors
/// Those of the store.
pub(super) fn finish(dataset: &Dataset, expected: &[Shard], options: BTreeMap<String, Value>) -> Result<Outdated> {
    finish_without(dataset, expected, options, &|_| false)
}

/// As [`finish`], and removes committed shards for which `unwanted` is true, in whatever partition they lie.
///
/// # Errors
/// Those of the store.
pub(super) fn finish_without(
    dataset: &Dataset,
    expected: &[Shard],
    options: BTreeMap<String, Value>,
    unwanted: &dyn Fn(&Receipt) -> bool,
) -> Result<Outdated> {
    let (mut committed, lost) = dataset.sound_and_lost()?;
    committed.retain(|receipt| !unwanted(receipt));
    let after = After::of(&committed, &lost, expected);
    let predicted: BTreeSet<&str> =
        committed.iter().filter(|r| r.stage == Stage::Predict).filter_map(|r| r.key.get("build")).collect();
    let removed = committed.iter().filter(|r| r.stage == Stage::Build && !after.builds.contains(&r.id.to_string()));
    let removed: Vec<&Receipt> = removed.filter(|r| predicted.contains(r.id.to_string().as_str())).collect();
    inputs::keep(dataset, &removed)?;
    let others = |receipt: &Receipt| if unwanted(receipt) { Fate::Remove } else { after.fate(receipt) };
    let change = Change { expected, options, others: &others, verify: Verify::Quick };
    let Changed { gone, .. } = apply(dataset, &change)?;
    let own: BTreeSet<Stage> = expected.iter().map(Shard::stage).collect();
    let mut outdated = Outdated::default();
    let parked = gone.iter().filter(|(_, fate)| *fate == Fate::Park);
    outdated.parked = parked.map(|(receipt, _)| receipt.id.clone()).collect();
    for (receipt, fate) in gone.iter().filter(|(receipt, _)| !own.contains(&receipt.stage)) {
        for (&table, file) in &receipt.files {
            match fate {
                Fate::Park => outdated.parked_predictions += file.rows,
                _ => *outdated.removed.entry(table).or_default() += file.rows,
            }
        }
    }
    Ok(outdated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_field_by_field() {
        let before = r#"{"hd":true,"metrics":{"tolerance":2}}"#;
        let now = r#"{"hd":true,"metrics":{"tolerance":3}}"#;
        assert_eq!(differences("options", before, now), ["tolerance: 2 before, 3 now"]);
        assert_eq!(differences("rule", "center", "random"), ["rule: center before, random now"]);
        assert!(differences("rule", now, now).is_empty());
    }
}
