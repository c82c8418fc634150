//! The mask decoder: prompts in, candidate masks out.
//!
//! Prompts with the same number of tokens share a run of the decoder, up to
//! [`Provider::batch`](super::Provider::batch) of them. Tokens are ordered as the original `PromptEncoder` orders them:
//! the points, then the two corners of the box; a prompt without a box gets one padding point instead. So one point
//! (with its padding) and one box (with its two corners) have two tokens each and run together.

use std::collections::BTreeMap;

use ort::session::SessionInputValue;
use ort::value::{Tensor, TensorRef};

use super::SamError;
use super::embed::Embedding;
use super::encoder_input::ResizedFrame;
use super::interface::{DecoderInterface, Signature};
use super::model::{Model, ModelError};
use super::runtime::{Graph, Runtime, SessionOptions};
use super::upsample::{Upsampler, low_resolution_side};
use crate::models::{Candidate, Refined};
use crate::prompts::Prompt;

/// Logit above which a pixel belongs to the mask.
pub const MASK_THRESHOLD: f32 = 0.0;

/// Labels of the decoder's tokens.
mod token {
    pub const PADDING: f32 = -1.0;
    pub const BACKGROUND: f32 = 0.0;
    pub const FOREGROUND: f32 = 1.0;
    pub const BOX_TOP_LEFT: f32 = 2.0;
    pub const BOX_BOTTOM_RIGHT: f32 = 3.0;
}

/// Which of the decoder's masks are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The three masks of multimask output (tokens 1 to 3), or the only mask of a decoder that gives one. The paper's
    /// way, and the default.
    #[default]
    Multimask,
    /// The mask of the single-mask token (0).
    Single,
    /// Everything that the decoder gives.
    All,
}

impl Output {
    pub(super) fn tokens(self, masks: usize) -> std::ops::Range<usize> {
        match self {
            Output::Multimask if masks > 1 => 1..masks,
            Output::All => 0..masks,
            _ => 0..1,
        }
    }
}

/// What the decoder gives for one prompt, before upsampling.
#[derive(Clone, Debug, PartialEq)]
pub struct LowResolution {
    /// `[masks, size / 4, size / 4]` logits, row-major.
    pub logits: Vec<f32>,
    /// A predicted IoU for each mask.
    pub predicted_iou: Vec<f32>,
}

impl LowResolution {
    /// Logits of one mask.
    pub fn mask(&self, token: usize) -> &[f32] {
        let length = self.logits.len() / self.predicted_iou.len();
        &self.logits[token * length..(token + 1) * length]
    }

    /// The wanted candidates at the slice's size, in the order of their tokens.
    pub fn candidates(&self, output: Output, upsampler: &mut Upsampler) -> Vec<Candidate> {
        output.tokens(self.predicted_iou.len()).map(|token| self.candidate(token, upsampler)).collect()
    }

    /// The wanted candidates with their logits.
    pub(super) fn refined(&self, output: Output, upsampler: &mut Upsampler) -> Vec<Refined> {
        let of = |token| Refined { candidate: self.candidate(token, upsampler), logits: self.mask(token).to_vec() };
        output.tokens(self.predicted_iou.len()).map(of).collect()
    }

    fn candidate(&self, token: usize, upsampler: &mut Upsampler) -> Candidate {
        let mask = upsampler.mask(self.mask(token), MASK_THRESHOLD);
        Candidate { mask, predicted_iou: Some(self.predicted_iou[token]), stability: None }
    }
}

/// A loaded mask decoder. One per worker: inference needs it exclusively. Clones
/// share the loaded graph.
#[derive(Clone, Debug)]
pub struct Decoder {
    graph: Graph,
    name: String,
    interface: DecoderInterface,
    batch: usize,
    takes_mask: bool,
}

impl Decoder {
    /// Loads the decoder of a model.
    ///
    /// # Errors
    /// ONNX Runtime cannot read the file, or it is not a SAM decoder.
    pub fn load(runtime: &Runtime, model: &Model, options: SessionOptions) -> Result<Decoder, ModelError> {
        let spec = &model.spec().decoder;
        let path = model.folder().join(&spec.file);
        let session = runtime
            .session(options)
            .and_then(|mut builder| builder.commit_from_file(&path))
            .map_err(|source| ModelError::Onnx { path: path.clone(), source })?;
        let signature = Signature::of(&session);
        let interface =
            signature.decoder_interface(spec).map_err(|reason| ModelError::NotSam { path, part: "decoder", reason })?;
        Ok(Decoder {
            graph: Graph::new(session),
            name: model.spec().name.clone(),
            interface,
            batch: if signature.fixed_batch() { 1 } else { options.provider.batch() },
            takes_mask: signature.takes_mask(),
        })
    }

    /// The form of this decoder.
    pub fn interface(&self) -> DecoderInterface {
        self.interface
    }

    /// Candidate masks of every prompt, in the order of the prompts; none of the prompts needs to be of one kind.
    ///
    /// # Errors
    /// An empty prompt, a failure of ONNX Runtime, or outputs of unexpected shapes.
    pub fn predict(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        output: Output,
    ) -> Result<Vec<Vec<Candidate>>, SamError> {
        let mut upsampler = Upsampler::new(&embedding.frame);
        let mut all = vec![Vec::new(); prompts.len()];
        self.decode(embedding, prompts, |index, low| all[index] = low.candidates(output, &mut upsampler))?;
        Ok(all)
    }

    /// Decodes prompts batch by batch and hands every result to `each` with the position of its prompt. Positions do
    /// not come in order. At most one batch is in memory.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn decode(
        &mut self,
        embedding: &Embedding,
        prompts: &[Prompt],
        mut each: impl FnMut(usize, LowResolution),
    ) -> Result<(), SamError> {
        let mut by_length: BTreeMap<usize, Vec<(usize, Tokens)>> = BTreeMap::new();
        for (index, prompt) in prompts.iter().enumerate() {
            let tokens = tokens(prompt, &embedding.frame).map_err(|reason| SamError::Prompt { index, reason })?;
            by_length.entry(tokens.labels.len()).or_default().push((index, tokens));
        }
        for (length, prompts) in by_length {
            for batch in prompts.chunks(self.batch) {
                let results = self.run(embedding, length, batch, None)?;
                for ((index, _), low) in batch.iter().zip(results) {
                    each(*index, low);
                }
            }
        }
        Ok(())
    }

    /// Decodes one prompt with the logits of an earlier mask (`[size / 4, size / 4]`, row-major) as a further prompt.
    /// A decoder without a mask input ignores them.
    ///
    /// # Errors
    /// As [`predict`](Self::predict); logits of another size.
    pub fn refine(
        &mut self,
        embedding: &Embedding,
        prompt: &Prompt,
        earlier: Option<&[f32]>,
    ) -> Result<LowResolution, SamError> {
        let fault = |reason: String| SamError::Prompt { index: 0, reason };
        let tokens = tokens(prompt, &embedding.frame).map_err(fault)?;
        let pixels = low_resolution_side(&embedding.frame).pow(2);
        if let Some(found) = earlier.map(<[f32]>::len).filter(|n| *n != pixels) {
            return Err(fault(format!("the previous mask has {found} logits, expected {pixels}")));
        }
        let mut results = self.run(embedding, tokens.labels.len(), &[(0, tokens)], earlier)?;
        results.pop().ok_or_else(|| fault("the decoder returned nothing".to_string()))
    }

    fn run(
        &mut self,
        embedding: &Embedding,
        length: usize,
        batch: &[(usize, Tokens)],
        earlier: Option<&[f32]>,
    ) -> Result<Vec<LowResolution>, SamError> {
        let coordinates: Vec<f32> = batch.iter().flat_map(|(_, t)| t.coordinates.iter().flatten().copied()).collect();
        let labels: Vec<f32> = batch.iter().flat_map(|(_, t)| t.labels.iter().copied()).collect();
        let grid = embedding.frame.size / super::embed::EMBEDDING_STRIDE;
        let side = low_resolution_side(&embedding.frame);
        let embedding_shape = [1, super::embed::EMBEDDING_CHANNELS, grid, grid];
        let mut inputs: Vec<(&str, SessionInputValue)> = vec![
            ("image_embeddings", TensorRef::from_array_view((embedding_shape, embedding.values.as_slice()))?.into()),
            ("point_coords", Tensor::from_array(([batch.len(), length, 2], coordinates))?.into()),
            ("point_labels", Tensor::from_array(([batch.len(), length], labels))?.into()),
        ];
        if self.takes_mask {
            let logits = earlier.map_or_else(|| vec![0.0; side * side], <[f32]>::to_vec);
            let given = if earlier.is_some() { 1.0f32 } else { 0.0 };
            inputs.push(("mask_input", Tensor::from_array(([1, 1, side, side], logits))?.into()));
            inputs.push(("has_mask_input", Tensor::from_array(([1], vec![given]))?.into()));
        }
        if self.interface == DecoderInterface::Official {
            // Its full-size masks are not used: asked for in one pixel, they cost nothing.
            inputs.push(("orig_im_size", Tensor::from_array(([2], vec![1.0f32; 2]))?.into()));
        }
        let mut session = self.graph.session();
        let outputs = session.run(inputs)?;
        let (iou_shape, ious) = outputs["iou_predictions"].try_extract_tensor::<f32>()?;
        let (mask_shape, logits) = outputs["low_res_masks"].try_extract_tensor::<f32>()?;
        let shape_error = |tensor: &str, found: &[i64], expected: String| SamError::Shape {
            model: self.name.clone(),
            tensor: tensor.to_string(),
            found: found.to_vec(),
            expected,
        };
        let masks = match (self.interface, iou_shape.last()) {
            (DecoderInterface::FourMask, _) => 4,
            (DecoderInterface::SingleMask, _) | (DecoderInterface::Official, Some(1)) => 1,
            (DecoderInterface::Official, _) => 4,
        };
        if iou_shape[..] != [batch.len() as i64, masks] {
            return Err(shape_error("iou_predictions", iou_shape, format!("[{}, {masks}]", batch.len())));
        }
        if mask_shape[..] != [batch.len() as i64, masks, side as i64, side as i64] {
            let expected = format!("[{}, {masks}, {side}, {side}]", batch.len());
            return Err(shape_error("low_res_masks", mask_shape, expected));
        }
        let masks = masks as usize;
        let per_prompt = logits.chunks_exact(masks * side * side).zip(ious.chunks_exact(masks));
        Ok(per_prompt.map(|(l, i)| LowResolution { logits: l.to_vec(), predicted_iou: i.to_vec() }).collect())
    }
}

/// A prompt as the decoder takes it.
#[derive(Clone, Debug, PartialEq)]
struct Tokens {
    coordinates: Vec<[f32; 2]>,
    labels: Vec<f32>,
}

fn tokens(prompt: &Prompt, frame: &ResizedFrame) -> Result<Tokens, String> {
    if prompt.points.is_empty() && prompt.bounds.is_none() {
        return Err("has neither a point nor a box".to_string());
    }
    let mut coordinates = Vec::with_capacity(prompt.points.len() + 2);
    let mut labels = Vec::with_capacity(prompt.points.len() + 2);
    for point in &prompt.points {
        coordinates.push(frame.to_model([point.x, point.y]));
        labels.push(if point.foreground { token::FOREGROUND } else { token::BACKGROUND });
    }
    match prompt.bounds {
        Some([x0, y0, x1, y1]) => {
            coordinates.extend([frame.to_model([x0, y0]), frame.to_model([x1, y1])]);
            labels.extend([token::BOX_TOP_LEFT, token::BOX_BOTTOM_RIGHT]);
        }
        None => {
            coordinates.push([0.0, 0.0]);
            labels.push(token::PADDING);
        }
    }
    if coordinates.iter().flatten().any(|c| !c.is_finite()) {
        return Err("the coordinates are not finite".to_string());
    }
    Ok(Tokens { coordinates, labels })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::Point;

    #[test]
    fn tokens_are_in_the_order_of_the_prompt_encoder() {
        let frame = ResizedFrame::new(512, 256, 1024);
        let points = vec![Point::foreground(10.0, 20.0), Point::background(1.0, 2.0)];
        let both = Prompt { points: points.clone(), bounds: Some([3.0, 4.0, 5.0, 6.0]) };
        let with_box = tokens(&both, &frame).unwrap();
        assert_eq!(with_box.labels, [1.0, 0.0, 2.0, 3.0]);
        assert_eq!(with_box.coordinates, [[20.0, 40.0], [2.0, 4.0], [6.0, 8.0], [10.0, 12.0]]);
        let without = tokens(&Prompt { points, bounds: None }, &frame).unwrap();
        assert_eq!(without.labels, [1.0, 0.0, -1.0]);
        assert_eq!(without.coordinates[2], [0.0, 0.0]);
    }

    #[test]
    fn empty_and_infinite_prompts_are_refused() {
        let frame = ResizedFrame::new(512, 256, 1024);
        assert!(tokens(&Prompt { points: vec![], bounds: None }, &frame).is_err());
        let far = Prompt { points: vec![Point::foreground(f64::INFINITY, 0.0)], bounds: None };
        assert!(tokens(&far, &frame).is_err());
    }

    #[test]
    fn output_tokens() {
        assert_eq!(Output::Multimask.tokens(4), 1..4);
        assert_eq!(Output::Multimask.tokens(1), 0..1);
        assert_eq!(Output::Single.tokens(4), 0..1);
        assert_eq!(Output::All.tokens(4), 0..4);
    }
}
