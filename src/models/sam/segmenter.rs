//! SAM as a [`Segmenter`]: its sessions, and the processing of a slice.

use std::sync::{Mutex, PoisonError};

use super::everything::{Segment, everything, everything_in_crops};
use super::upsample::Upsampler;
use super::{
    Decoder, Embedding, EmbeddingCache, EmbeddingKey, Encoder, Model, ModelError, Output, Provider, ResizedFrame,
    Runtime, SessionOptions,
};
use crate::models::{Candidate, ModelOptions, PreparedSlice, Refined, Result, Segmenter};
use crate::prompts::{EverythingOptions, Prompt, Strategy};
use crate::slices::SlicePixels;
use crate::store::ShardKey;

/// A SAM model that workers share. On the processor each has sessions of its own that compute on one thread: results
/// cannot depend on how many threads there are. A card holds the model once, and workers take turns on it: while one
/// computes there, the others prepare slices and trace masks.
pub struct Sam {
    model: Model,
    encoder_digest: String,
    options: ModelOptions,
    cache: Option<EmbeddingCache>,
    /// Sessions that wait for a slice.
    idle: Mutex<Vec<Sessions>>,
    /// The sessions that all workers share on a card.
    on_card: Mutex<Sessions>,
}

/// Workers that keep a card busy; more are slower (docs/scale.md).
const WORKERS_OF_A_CARD: usize = 4;

/// The sessions of one worker, each loaded when it is needed: where all embeddings are kept the encoder never is.
#[derive(Default)]
struct Sessions {
    encoder: Option<Encoder>,
    decoder: Option<Decoder>,
}

/// A slice with its embedding, and the sessions that work on it.
struct EmbeddedSlice<'s> {
    sam: &'s Sam,
    pixels: SlicePixels<'s>,
    embedding: Embedding,
    sessions: Sessions,
    /// Of the masks that are refined; made for the first of them.
    upsampler: Option<Upsampler>,
}

impl Sam {
    /// A model under some options. Nothing is loaded yet.
    pub fn new(model: Model, options: ModelOptions) -> Self {
        let encoder_digest = model.encoder_digest();
        let cache = options.embeddings.as_ref().map(|folder| EmbeddingCache::new(folder, &model.spec().name));
        Sam { model, encoder_digest, options, cache, idle: Mutex::default(), on_card: Mutex::default() }
    }

    fn session_options(&self) -> SessionOptions {
        SessionOptions { provider: self.options.provider, ..SessionOptions::default() }
    }

    fn encoder<'e>(&self, slot: &'e mut Option<Encoder>) -> Result<&'e mut Encoder> {
        let load = || Encoder::load(&Runtime::load()?, &self.model, self.session_options());
        Ok(loaded(slot, || self.shared(|on_card| &mut on_card.encoder, load))?)
    }

    fn decoder<'d>(&self, slot: &'d mut Option<Decoder>) -> Result<&'d mut Decoder> {
        let load = || Decoder::load(&Runtime::load()?, &self.model, self.session_options());
        Ok(loaded(slot, || self.shared(|on_card| &mut on_card.decoder, load))?)
    }

    /// A session for one worker: a new one on the processor, the one that all share on a card.
    fn shared<T: Clone>(
        &self,
        of: impl FnOnce(&mut Sessions) -> &mut Option<T>,
        load: impl FnOnce() -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        if self.options.provider == Provider::Cpu {
            return load();
        }
        let mut on_card = self.on_card.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(loaded(of(&mut on_card), load)?.clone())
    }

    /// The embedding of a slice: kept, or computed now.
    fn embedding(&self, pixels: &SlicePixels, encoder: &mut Option<Encoder>) -> Result<Embedding> {
        let clip = self.options.clip;
        let Some(cache) = &self.cache else {
            return Ok(self.encoder(encoder)?.embed(pixels, clip)?);
        };
        let key = EmbeddingKey {
            encoder: self.encoder_digest.clone(),
            pixels: pixels.digest(),
            clip,
            provider: self.options.provider,
            runtime: Runtime::load()?.build().to_string(),
        };
        let frame = ResizedFrame::new(pixels.height(), pixels.width(), self.model.spec().encoder.size);
        if let Some(kept) = cache.get(&key, &frame) {
            return Ok(kept);
        }
        let mut computed = self.encoder(encoder)?.embed(pixels, clip)?;
        cache.put(&mut computed)?;
        Ok(computed)
    }

    fn take_sessions(&self) -> Sessions {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, sessions: Sessions) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sessions);
    }
}

impl Segmenter for Sam {
    fn name(&self) -> &str {
        &self.model.spec().name
    }

    fn digest(&self) -> String {
        self.model.digest()
    }

    fn key(&self, key: ShardKey) -> ShardKey {
        key.with_json("clip", &self.options.clip)
            .with("embeddings", if self.cache.is_some() { "f16" } else { "f32" })
            .with("provider", self.options.provider.name())
            .with("runtime", Runtime::load().map(|runtime| runtime.build()).unwrap_or_default())
    }

    fn takes(&self, _: Strategy) -> bool {
        true
    }

    fn takes_clicks(&self) -> bool {
        true
    }

    fn workers(&self, threads: usize) -> usize {
        if self.options.provider == Provider::Cpu { threads } else { threads.min(WORKERS_OF_A_CARD) }
    }

    fn load(&self) -> Result<()> {
        let mut sessions = self.take_sessions();
        self.decoder(&mut sessions.decoder)?;
        if self.cache.is_none() {
            self.encoder(&mut sessions.encoder)?;
        }
        self.give_back(sessions);
        Ok(())
    }

    fn prepare<'s>(&'s self, pixels: SlicePixels<'s>) -> Result<Box<dyn PreparedSlice + 's>> {
        let mut sessions = self.take_sessions();
        let embedding = self.embedding(&pixels, &mut sessions.encoder)?;
        Ok(Box::new(EmbeddedSlice { sam: self, pixels, embedding, sessions, upsampler: None }))
    }
}

/// What is in a slot, loaded now where nothing is.
fn loaded<T>(slot: &mut Option<T>, load: impl FnOnce() -> Result<T, ModelError>) -> Result<&mut T, ModelError> {
    match slot {
        Some(there) => Ok(there),
        none => Ok(none.insert(load()?)),
    }
}

impl PreparedSlice for EmbeddedSlice<'_> {
    fn predict(&mut self, prompts: &[Prompt]) -> Result<Vec<Vec<Candidate>>> {
        let decoder = self.sam.decoder(&mut self.sessions.decoder)?;
        Ok(decoder.predict(&self.embedding, prompts, Output::Multimask)?)
    }

    fn everything(&mut self, options: &EverythingOptions) -> Result<Vec<Candidate>> {
        let EmbeddedSlice { sam, pixels, embedding, sessions: Sessions { encoder, decoder }, .. } = self;
        let decoder = sam.decoder(decoder)?;
        let segments = match options.crop_layers {
            0 => everything(decoder, embedding, options)?,
            _ => everything_in_crops(sam.encoder(encoder)?, decoder, pixels, sam.options.clip, embedding, options)?,
        };
        Ok(segments.into_iter().map(Candidate::from).collect())
    }

    fn refine(&mut self, prompt: &Prompt, earlier: Option<&[f32]>) -> Result<Vec<Refined>> {
        let decoder = self.sam.decoder(&mut self.sessions.decoder)?;
        let low = decoder.refine(&self.embedding, prompt, earlier)?;
        let upsampler = self.upsampler.get_or_insert_with(|| Upsampler::new(&self.embedding.frame));
        Ok(low.refined(Output::Multimask, upsampler))
    }
}

impl Drop for EmbeddedSlice<'_> {
    fn drop(&mut self) {
        self.sam.give_back(std::mem::take(&mut self.sessions));
    }
}

impl From<Segment> for Candidate {
    fn from(Segment { mask, predicted_iou, stability, .. }: Segment) -> Self {
        Candidate { mask, predicted_iou: Some(predicted_iou), stability: Some(stability as f32) }
    }
}
