//! A pass: one strategy, with or without jitter, or simulated clicks, over the slices of a build shard. A shard of
//! predictions holds one pass.

use super::PredictOptions;
use crate::choice::Choices;
use crate::mask::Mask;
use crate::models::{self, Candidate, ClickOptions, PreparedSlice, Segmenter, simulate_clicks};
use crate::prompts::{CLICKS, EverythingOptions, JitterLevel, Prompt, Strategy};
use crate::store::{MaskRow, PredictionRow, Rle, ShardKey};

/// A pass.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pass {
    /// S1.
    Everything(EverythingOptions),
    /// S2 to S6.
    Prompted(Strategy),
    /// S2 to S6 with prompts moved at random, once for each seed.
    Moved(Strategy, JitterLevel, Vec<u64>),
    /// Simulated clicks.
    Clicks(ClickOptions),
}

/// A slice's masks that are predicted, who predicts, and how.
pub(super) struct Scene<'a> {
    pub(super) model: &'a str,
    pub(super) masks: &'a [&'a (MaskRow, Mask)],
    pub(super) options: &'a PredictOptions,
}

impl Pass {
    /// All passes that the options ask for and the model can do.
    pub(super) fn all(model: &dyn Segmenter, options: &PredictOptions) -> Vec<Pass> {
        let mut passes = Vec::new();
        for &strategy in options.strategies.iter().filter(|strategy| model.takes(**strategy)) {
            let pass = match strategy {
                Strategy::Everything => Pass::Everything(options.everything),
                prompted => Pass::Prompted(prompted),
            };
            if passes.contains(&pass) {
                continue;
            }
            if let Pass::Prompted(strategy) = pass {
                let moved = |level: &JitterLevel| Pass::Moved(strategy, *level, options.seeds.clone());
                passes.extend(options.jitter.iter().map(moved));
            }
            passes.push(pass);
        }
        let clicks = options.clicks.filter(|clicks| clicks.clicks > 0 && model.takes_clicks());
        passes.extend(clicks.map(Pass::Clicks));
        passes
    }

    /// The strategy, as the table has it.
    fn strategy(&self) -> &'static str {
        match self {
            Pass::Everything(_) => Strategy::Everything.name(),
            Pass::Prompted(strategy) | Pass::Moved(strategy, ..) => strategy.name(),
            Pass::Clicks(_) => CLICKS,
        }
    }

    /// Adds what decides this pass to the key of a shard: `pass` names it, so that another run of the same takes its
    /// place.
    pub(super) fn key(&self, key: ShardKey) -> ShardKey {
        let key = key.with("pass", self.name());
        match self {
            Pass::Everything(options) => key.with_json("everything", options),
            Pass::Prompted(_) => key,
            Pass::Moved(_, _, seeds) => key.with_json("seeds", seeds),
            Pass::Clicks(options) => key.with_json("clicks", options),
        }
    }

    /// Prompts for each mask, for an estimate of the time.
    pub(super) fn prompts_per_mask(&self) -> f64 {
        match self {
            Pass::Everything(_) => 0.0,
            Pass::Prompted(_) => 1.0,
            Pass::Moved(_, _, seeds) => seeds.len() as f64,
            Pass::Clicks(options) => options.clicks as f64,
        }
    }

    /// Prompts for each slice. In a batch they take about an eighth of the time of one alone.
    pub(super) fn prompts_per_slice(&self) -> f64 {
        match self {
            Pass::Everything(options) => {
                let layer = |layer: u32| {
                    let side = options.grid / options.crop_downscale.max(1).pow(layer);
                    4f64.powi(layer as i32) * (side * side) as f64
                };
                (0..=options.crop_layers).map(layer).sum::<f64>() / 8.0
            }
            _ => 0.0,
        }
    }

    /// Name among the passes of a model: `S5`, `S5 jitter0-10`, `clicks`.
    pub(super) fn name(&self) -> String {
        match self {
            Pass::Moved(strategy, level, _) => format!("{strategy} jitter{level}"),
            other => other.strategy().to_string(),
        }
    }

    /// Runs the pass on a slice: at least one row for each mask. Rows come mask by mask in the order of their ids, then by variant.
    ///
    /// # Errors
    /// Those of the model.
    pub(super) fn predict(&self, scene: &Scene, slice: &mut dyn PreparedSlice) -> models::Result<Vec<PredictionRow>> {
        match self {
            Pass::Everything(options) => {
                let candidates = slice.everything(options)?;
                let rows = |&object: &&(MaskRow, Mask)| self.rows(scene, object, "", &Prompt::default(), &candidates);
                Ok(scene.masks.iter().flat_map(rows).collect())
            }
            Pass::Prompted(strategy) => self.prompted(*strategy, &[None], scene, slice),
            Pass::Moved(strategy, level, seeds) => {
                let moves: Vec<_> = seeds.iter().map(|&seed| Some((*level, seed))).collect();
                self.prompted(*strategy, &moves, scene, slice)
            }
            Pass::Clicks(options) => self.clicked(options, scene, slice),
        }
    }

    /// One prompt for each mask, once for each move (`None`: as it is).
    fn prompted(
        &self,
        strategy: Strategy,
        moves: &[Option<(JitterLevel, u64)>],
        scene: &Scene,
        slice: &mut dyn PreparedSlice,
    ) -> models::Result<Vec<PredictionRow>> {
        let mut of_mask: Vec<Vec<PredictionRow>> = vec![Vec::new(); scene.masks.len()];
        // Each variant is predicted by itself, so that what it gives does not depend on which others are asked for.
        for &moved in moves {
            // A kept mask is never empty, so every strategy but S1 has a prompt.
            let prompt = |(row, truth): &&(MaskRow, Mask)| {
                let prompt = Prompt::of(strategy, scene.options.rule, truth)?;
                Some(match moved {
                    Some((level, seed)) => prompt.jittered(level, seed, &row.mask_id, truth.height(), truth.width()),
                    None => prompt,
                })
            };
            let prompts: Vec<Prompt> = scene.masks.iter().filter_map(prompt).collect();
            let variant = moved.map_or_else(String::new, |(level, seed)| format!("jitter{level}/seed{seed}"));
            let found = slice.predict(&prompts)?;
            for (((rows, object), prompt), candidates) in of_mask.iter_mut().zip(scene.masks).zip(&prompts).zip(&found)
            {
                rows.extend(self.rows(scene, object, &variant, prompt, candidates));
            }
        }
        Ok(of_mask.into_iter().flatten().collect())
    }

    /// Simulated clicks on each mask, a variant for each click.
    fn clicked(
        &self,
        options: &ClickOptions,
        scene: &Scene,
        slice: &mut dyn PreparedSlice,
    ) -> models::Result<Vec<PredictionRow>> {
        let mut rows = Vec::new();
        for &object in scene.masks {
            let done = simulate_clicks(slice, &object.1, options)?;
            let mut prompt = Prompt::default();
            for click in 0..options.clicks {
                // Where nothing is wrong any more, further clicks would change nothing.
                let state = done.get(click).or(done.last());
                if let Some(state) = state.filter(|_| click < done.len()) {
                    prompt.points.push(state.point);
                }
                let candidate = state.map(|state| Candidate {
                    mask: state.mask.clone(),
                    predicted_iou: state.predicted_iou,
                    stability: None,
                });
                let variant = format!("click{:02}", click + 1);
                rows.extend(self.rows(scene, object, &variant, &prompt, candidate.as_slice()));
            }
        }
        Ok(rows)
    }

    /// The rows of one mask and prompt: the candidate closest to the ground truth and the one that the model rates
    /// best, or all of them. Where a model offers nothing, that is an empty mask: a failure, to be counted.
    fn rows(
        &self,
        scene: &Scene,
        (truth, mask): &(MaskRow, Mask),
        variant: &str,
        prompt: &Prompt,
        candidates: &[Candidate],
    ) -> Vec<PredictionRow> {
        let nothing = [Candidate::unrated(Mask::empty(mask.height(), mask.width()))];
        let candidates = if candidates.is_empty() { &nothing } else { candidates };
        let chosen = match scene.options.keep_candidates {
            true => None,
            false => Choices::of(candidates.iter().map(|c| (&c.mask, c.predicted_iou)), mask),
        };
        let kept = |index| chosen.is_none_or(|chosen| chosen.has(index));
        let row = |(index, candidate): (usize, &Candidate)| PredictionRow {
            mask_id: truth.mask_id.clone(),
            slice_id: truth.slice_id.clone(),
            case_id: truth.case_id.clone(),
            source: truth.source.clone(),
            model: scene.model.to_string(),
            strategy: self.strategy().to_string(),
            variant: variant.to_string(),
            points: prompt.points.iter().flat_map(|p| [p.x, p.y]).collect(),
            point_labels: prompt.points.iter().map(|p| u8::from(p.foreground)).collect(),
            r#box: prompt.bounds,
            candidate: index as u32,
            predicted_iou: candidate.predicted_iou,
            stability: candidate.stability,
            mask: Rle::from(&candidate.mask),
        };
        candidates.iter().enumerate().filter(|(index, _)| kept(*index)).map(row).collect()
    }
}
