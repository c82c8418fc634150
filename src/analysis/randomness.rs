//! What moving the prompts costs (docs/protocol.md, 6): the mean drop of the metric from undisturbed prompts to
//! prompts moved at random by 0–10, 10–20 and 20–30 pixels, over masks and seeds.

use super::AnalysisError;
use super::frame::frame_of;
use super::join::{Condition, Evaluation, Pairs};
use super::options::AnalysisOptions;
use super::statistics::bootstrap::{Interval, mean_interval};
use super::statistics::describe::describe;
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far prompts were moved, and the seed of the random numbers: a variant such as `jitter10-20/seed0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// Smallest distance in pixels of the original image.
    pub low: f64,
    /// Largest distance, itself not reached.
    pub high: f64,
    /// Seed.
    pub seed: u64,
}

impl Jitter {
    /// Reads a variant; `None` where it is of another kind.
    pub fn parse(variant: &str) -> Option<Self> {
        let (range, seed) = variant.strip_prefix("jitter")?.split_once("/seed")?;
        let (low, high) = range.split_once('-')?;
        let (low, high) = (low.parse::<f64>().ok()?, high.parse::<f64>().ok()?);
        let seed = seed.parse().ok()?;
        (low.is_finite() && high.is_finite() && low < high).then_some(Jitter { low, high, seed })
    }
}

/// The drop at one level, over all seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomnessRow {
    /// Model, strategy and choice; the variant is empty.
    pub condition: Condition,
    /// Name of the metric.
    pub metric: String,
    /// Smallest distance in pixels.
    pub low: f64,
    /// Largest distance in pixels.
    pub high: f64,
    /// Seeds that have rows.
    pub seeds: u64,
    /// Masks times seeds that have the metric both undisturbed and moved.
    pub n: u64,
    /// Patients of these masks.
    pub patients: u64,
    /// Mean with undisturbed prompts, of the same masks.
    pub undisturbed_mean: Option<f64>,
    /// Mean with jittered prompts.
    pub moved_mean: Option<f64>,
    /// Mean drop, positive where moving does harm.
    pub drop: Option<f64>,
    /// Population standard deviation of the mean drops of the seeds.
    pub drop_std_of_seeds: Option<f64>,
    /// Interval of the drop over patients.
    pub interval: Option<Interval>,
}

/// The drops of all models, strategies and choices that were predicted with jittered prompts.
///
/// # Errors
/// What [`Evaluation::pairs`] returns.
pub fn drops(
    evaluation: &Evaluation,
    conditions: &[Condition],
    options: &AnalysisOptions,
) -> Result<Vec<RandomnessRow>, AnalysisError> {
    // Levels by their bits, which for the positive numbers of a distance are in the numbers' order.
    let mut levels: BTreeMap<(Condition, u64, u64), Vec<&Condition>> = BTreeMap::new();
    for condition in conditions {
        if let Some(jitter) = Jitter::parse(&condition.variant) {
            let undisturbed = Condition { variant: String::new(), ..condition.clone() };
            let level = (undisturbed, jitter.low.to_bits(), jitter.high.to_bits());
            levels.entry(level).or_default().push(condition);
        }
    }
    let row = |((undisturbed, low, high), moved): ((Condition, u64, u64), Vec<&Condition>)| {
        let pairs = evaluation.pairs(&moved, &undisturbed, &options.metric)?;
        Ok(drop_at(undisturbed, f64::from_bits(low), f64::from_bits(high), &pairs, options))
    };
    levels.into_iter().map(row).collect()
}

/// The drop over pairs of moved (first) and undisturbed (second) prompts.
fn drop_at(condition: Condition, low: f64, high: f64, pairs: &Pairs, options: &AnalysisOptions) -> RandomnessRow {
    let drops: Vec<f64> = pairs.first.iter().zip(&pairs.second).map(|(moved, still)| still - moved).collect();
    let mut of_seed: Vec<Vec<f64>> = vec![Vec::new(); pairs.variant.levels.len()];
    pairs.variant.codes.iter().zip(&drops).for_each(|(&seed, &drop)| of_seed[seed as usize].push(drop));
    let seed_means = describe(of_seed.into_iter().filter_map(|drops| describe(drops).mean));
    let interval = mean_interval(&drops, &pairs.patient, pairs.patients, &options.bootstrap);
    RandomnessRow {
        condition,
        metric: options.metric.clone(),
        low,
        high,
        seeds: seed_means.n as u64,
        n: drops.len() as u64,
        patients: pairs.patients as u64,
        undisturbed_mean: describe(pairs.second.iter().copied()).mean,
        moved_mean: describe(pairs.first.iter().copied()).mean,
        drop: describe(drops).mean,
        drop_std_of_seeds: seed_means.std,
        interval: interval.and_then(Result::ok),
    }
}

/// The table as a frame.
///
/// # Errors
/// None that a caller can cause; the type is polars' own.
pub fn to_frame(rows: &[RandomnessRow]) -> Result<DataFrame, AnalysisError> {
    let frame = frame_of!(rows, |r| {
        "metric": r.metric.as_str(),
        "model": r.condition.model.as_str(),
        "strategy": r.condition.strategy.as_str(),
        "choice": r.condition.choice.name(),
        "low_px": r.low,
        "high_px": r.high,
        "seeds": r.seeds,
        "n": r.n,
        "patients": r.patients,
        "undisturbed_mean": r.undisturbed_mean,
        "moved_mean": r.moved_mean,
        "drop": r.drop,
        "drop_std_of_seeds": r.drop_std_of_seeds,
        "ci_low": r.interval.map(|i| i.low),
        "ci_high": r.interval.map(|i| i.high),
    });
    frame.map_err(|source| AnalysisError::Format { what: "the randomness table".to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_read() {
        assert_eq!(Jitter::parse("jitter10-20/seed3"), Some(Jitter { low: 10.0, high: 20.0, seed: 3 }));
        for other in ["", "clicks3", "jitter10-20", "jitter20-10/seed0", "jitter-5-5/seed0", "jitterNaN-1/seed0"] {
            assert_eq!(Jitter::parse(other), None, "{other}");
        }
    }
}
