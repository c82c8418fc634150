//! One way to ask a model for the masks of a slice: a strategy, undisturbed or moved at random, or simulated clicks. A
//! shard of predictions holds one pass over one shard of the build.

use super::PredictOptions;
use crate::choice::Choices;
use crate::mask::Mask;
use crate::sam::{
    Candidate, ClickOptions, Decoder, Embedding, EverythingOptions, JitterLevel, Output, Prompt, SamError, Segment,
    SlicePixels, Strategy, otsu_box, simulate_clicks,
};
use crate::store::{MaskRow, PredictionRow, Rle, ShardKey};

/// Name of simulated clicks in the column `strategy`.
const CLICKS: &str = "clicks";

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

/// A mask that a model offers, and what it says of it.
struct Offered {
    index: usize,
    mask: Mask,
    predicted_iou: Option<f32>,
    stability: Option<f32>,
}

/// A slice with those of its masks that are predicted, and who predicts.
pub(super) struct Scene<'a> {
    pub(super) model: &'a str,
    pub(super) pixels: SlicePixels<'a>,
    pub(super) masks: &'a [(MaskRow, Mask)],
}

impl Pass {
    /// All passes that the options ask for.
    pub(super) fn all(options: &PredictOptions) -> Vec<Pass> {
        let mut passes = Vec::new();
        for &strategy in &options.strategies {
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
        passes.extend(options.clicks.map(Pass::Clicks));
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

    /// Adds what decides this pass to the key of a shard: `pass` names it, so that another run of the same takes its place.
    pub(super) fn key(&self, key: ShardKey) -> ShardKey {
        let key = key.with("pass", self.name());
        match self {
            Pass::Everything(options) => key.with_json("everything", options),
            Pass::Prompted(_) => key,
            Pass::Moved(_, _, seeds) => key.with_json("seeds", seeds),
            Pass::Clicks(options) => key.with_json("clicks", options),
        }
    }

    /// Name among the passes of a model: `S5`, `S5 jitter0-10`, `clicks`.
    pub(super) fn name(&self) -> String {
        match self {
            Pass::Moved(strategy, level, _) => format!("{strategy} jitter{level}"),
            other => other.strategy().to_string(),
        }
    }

    /// Runs the pass on a slice by SAM. Rows come mask by mask in the order of their ids, then by variant.
    ///
    /// # Errors
    /// What the decoder says.
    pub(super) fn by_sam(
        &self,
        scene: &Scene,
        embedding: &Embedding,
        decoder: &mut Decoder,
        segments: &[Segment],
        options: &PredictOptions,
    ) -> Result<Vec<PredictionRow>, SamError> {
        match self {
            Pass::Everything(_) => Ok(scene
                .masks
                .iter()
                .flat_map(|(row, truth)| {
                    let offered = segments.iter().enumerate().map(|(index, segment)| Offered {
                        index,
                        mask: segment.mask.clone(),
                        predicted_iou: Some(segment.predicted_iou),
                        stability: Some(segment.stability as f32),
                    });
                    self.rows(scene.model, row, truth, "", &Prompt::default(), offered.collect(), options)
                })
                .collect()),
            Pass::Clicks(clicks) => {
                let mut rows = Vec::new();
                for (row, truth) in scene.masks {
                    let done = simulate_clicks(decoder, embedding, truth, clicks)?;
                    let mut prompt = Prompt::default();
                    for click in 0..clicks.clicks {
                        // Where nothing is wrong any more, further clicks would change nothing.
                        let Some(state) = done.get(click).or(done.last()) else { break };
                        if click < done.len() {
                            prompt.points.push(state.point);
                        }
                        let offered = Offered {
                            index: 0,
                            mask: state.mask.clone(),
                            predicted_iou: Some(state.predicted_iou),
                            stability: None,
                        };
                        let variant = format!("click{:02}", click + 1);
                        rows.extend(self.rows(scene.model, row, truth, &variant, &prompt, vec![offered], options));
                    }
                }
                Ok(rows)
            }
            Pass::Prompted(_) | Pass::Moved(..) => {
                // Each variant is decoded by itself, so that what it gives does not depend on which others are asked for.
                let decode = |prompts: &[Prompt]| decoder.predict(embedding, prompts, Output::Multimask);
                let offered = |(index, c): (usize, Candidate)| Offered {
                    index,
                    mask: c.mask,
                    predicted_iou: Some(c.predicted_iou),
                    stability: None,
                };
                self.prompted(scene, options, decode, offered)
            }
        }
    }

    /// Runs the pass on a slice by the baseline, which takes the box of a prompt alone.
    pub(super) fn by_otsu(&self, scene: &Scene, options: &PredictOptions) -> Vec<PredictionRow> {
        let segment = |prompts: &[Prompt]| -> Result<Vec<Vec<Mask>>, std::convert::Infallible> {
            let mask = |prompt: &Prompt| vec![otsu_box(&scene.pixels, prompt.bounds.unwrap_or_default())];
            Ok(prompts.iter().map(mask).collect())
        };
        let offered = |(index, mask): (usize, Mask)| Offered { index, mask, predicted_iou: None, stability: None };
        match self.prompted(scene, options, segment, offered) {
            Ok(rows) => rows,
            Err(never) => match never {},
        }
    }

    fn prompted<M, E>(
        &self,
        scene: &Scene,
        options: &PredictOptions,
        mut segment: impl FnMut(&[Prompt]) -> Result<Vec<Vec<M>>, E>,
        offered: impl Fn((usize, M)) -> Offered,
    ) -> Result<Vec<PredictionRow>, E> {
        let (strategy, variants) = match self {
            Pass::Prompted(strategy) => (*strategy, vec![None]),
            Pass::Moved(strategy, level, seeds) => {
                (*strategy, seeds.iter().map(|&seed| Some((*level, seed))).collect())
            }
            Pass::Everything(_) | Pass::Clicks(_) => return Ok(Vec::new()),
        };
        let mut of_mask: Vec<Vec<PredictionRow>> = vec![Vec::new(); scene.masks.len()];
        for variant in variants {
            // A kept mask is never empty, so every strategy but S1 has a prompt.
            let prompts: Vec<Prompt> = scene
                .masks
                .iter()
                .filter_map(|(row, truth)| {
                    let prompt = Prompt::of(strategy, options.rule, truth)?;
                    Some(match variant {
                        Some((level, seed)) => {
                            prompt.jittered(level, seed, &row.mask_id, truth.height(), truth.width())
                        }
                        None => prompt,
                    })
                })
                .collect();
            let name = variant.map_or_else(String::new, |(level, seed)| format!("jitter{level}/seed{seed}"));
            let found = segment(&prompts)?;
            for (((rows, (row, truth)), prompt), masks) in of_mask.iter_mut().zip(scene.masks).zip(&prompts).zip(found)
            {
                let masks = masks.into_iter().enumerate().map(&offered).collect();
                rows.extend(self.rows(scene.model, row, truth, &name, prompt, masks, options));
            }
        }
        Ok(of_mask.into_iter().flatten().collect())
    }

    /// The rows of one mask and prompt: the candidate closest to the truth and the one that the model rates best, or all of
    /// them. Where a model offers nothing, that is an empty mask: a failure, to be counted.
    #[allow(clippy::too_many_arguments)]
    fn rows(
        &self,
        model: &str,
        truth: &MaskRow,
        mask: &Mask,
        variant: &str,
        prompt: &Prompt,
        mut offered: Vec<Offered>,
        options: &PredictOptions,
    ) -> Vec<PredictionRow> {
        if offered.is_empty() {
            let mask = Mask::empty(mask.height(), mask.width());
            offered.push(Offered { index: 0, mask, predicted_iou: None, stability: None });
        }
        if !options.keep_candidates {
            let chosen = Choices::of(offered.iter().map(|o| (&o.mask, o.predicted_iou)), mask);
            let mut at = 0..;
            offered.retain(|_| chosen.zip(at.next()).is_some_and(|(chosen, at)| chosen.has(at)));
        }
        let row = |offered: Offered| PredictionRow {
            mask_id: truth.mask_id.clone(),
            slice_id: truth.slice_id.clone(),
            case_id: truth.case_id.clone(),
            source: truth.source.clone(),
            model: model.to_string(),
            strategy: self.strategy().to_string(),
            variant: variant.to_string(),
            points: prompt.points.iter().flat_map(|p| [p.x, p.y]).collect(),
            point_labels: prompt.points.iter().map(|p| u8::from(p.foreground)).collect(),
            r#box: prompt.bounds,
            candidate: offered.index as u32,
            predicted_iou: offered.predicted_iou,
            stability: offered.stability,
            mask: Rle::from(&offered.mask),
        };
        offered.into_iter().map(row).collect()
    }
}
