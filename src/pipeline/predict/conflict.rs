//! Predictions that cannot stand beside those that are asked for: of the same model, and made with other options.

use std::collections::{BTreeMap, BTreeSet};

use super::super::standing::{IMPORTED, OF_PASS, PLACE};
use super::super::{Error, Existing};
use super::{Job, Result};
use crate::store::{Receipt, ShardKey, Table};

/// An option that differs, with the value of the predictions that are there and the one that is asked for.
type Difference = (String, Option<String>, Option<String>);

impl Job<'_> {
    /// The options in which predictions differ from those that are asked for; none where they can stay. A model's name
    /// means one setting in all passes. Imported predictions are not made by the model: they are in the way only of a
    /// pass of their name.
    fn differences(&self, receipt: &Receipt) -> Vec<Difference> {
        let pass = self.passes.iter().find(|pass| receipt.key.get("pass") == Some(&pass.name()));
        if pass.is_none() && receipt.key.get(IMPORTED).is_some() {
            return Vec::new();
        }
        let asked = pass.map_or_else(|| self.key(), |pass| pass.key(self.key()));
        let counts = |name: &str| !PLACE.contains(&name) && (pass.is_some() || !OF_PASS.contains(&name));
        let (there, asked) = (values(&receipt.key, counts), values(&asked, counts));
        let names: BTreeSet<&String> = there.keys().chain(asked.keys()).collect();
        let differ = names.into_iter().filter(|name| there.get(*name) != asked.get(*name));
        differ.map(|name| (name.clone(), there.get(name).cloned(), asked.get(name).cloned())).collect()
    }

    /// Whether predictions of this model have to go for those that are asked for.
    pub(super) fn conflicts(&self, receipt: &Receipt) -> bool {
        !self.differences(receipt).is_empty()
    }

    /// Refuses the job where it cannot be done without taking predictions away. Where that is asked for, it says what
    /// goes.
    pub(super) fn refuse_conflicts(&self) -> Result<()> {
        // By pass and differences: number of predictions and of masks.
        let mut found: BTreeMap<(String, Vec<Difference>), (u64, u64)> = BTreeMap::new();
        for receipt in self.standing() {
            let differences = self.differences(receipt);
            if !differences.is_empty() {
                let pass = receipt.key.get("pass").unwrap_or_default().to_string();
                let total = found.entry((pass, differences)).or_default();
                total.0 += receipt.rows(Table::Predictions);
                total.1 += self.masks_of(receipt).map_or(0, |masks| masks.len() as u64);
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let mut list = String::new();
        for ((pass, differences), (predictions, masks)) in found {
            let differences = match differences.iter().any(|(name, there, _)| name == IMPORTED && there.is_some()) {
                true => "made by `medcosmos import`".to_string(),
                false => differences.iter().map(described).collect::<Vec<_>>().join("; "),
            };
            list += &format!("\n  {pass}: {predictions} predictions of {masks} masks: {differences}");
        }
        let all = match self.chosen {
            Some(_) => "all of these, also those of masks that are not selected,",
            None => "these",
        };
        let name = self.model.name();
        if self.options.existing == Existing::Replace {
            tracing::warn!(
                "--replace: once this run is complete, {all} are removed, because the name {name} stands for one setting:{list}"
            );
            return Ok(());
        }
        let reason = format!(
            "it has predictions of {name} that were made with other options:{list}\nThe name of a model stands for one \
             setting, so {all} would have to go. Nothing was computed. Use the options that they were made with to add \
             to them, or `--replace` to remove them"
        );
        Err(Error::Conflict { path: self.dataset.path().to_path_buf(), reason })
    }
}

fn values(key: &ShardKey, counts: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    key.entries().filter(|(name, _)| counts(name)).map(|(name, value)| (name.into(), value.into())).collect()
}

/// `rule "paper" -> "code"`.
fn described((name, there, asked): &Difference) -> String {
    let short = |value: &Option<String>| match value {
        None => "none".to_string(),
        Some(digest) if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) => digest[..12].to_string(),
        Some(value) => value.clone(),
    };
    format!("{name} {} -> {}", short(there), short(asked))
}
