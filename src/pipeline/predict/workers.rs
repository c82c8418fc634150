//! Sessions of a model, one pair for each worker, and the embeddings that they share.

use std::sync::{Mutex, PoisonError};

use super::super::slices_of::DecodedSlice;
use super::super::{Error, Result};
use super::pass::{Pass, Scene};
use super::{PredictOptions, Predictor};
use crate::models::sam::{
    Decoder, Embedding, EmbeddingCache, EmbeddingKey, Encoder, Model, ModelError, ResizedFrame, Runtime, SamError,
    SessionOptions, SlicePixels, everything, everything_in_crops,
};
use crate::store::PredictionRow;

/// Sessions that wait for work.
pub(super) struct Workers {
    sam: Option<Sam>,
    idle: Mutex<Vec<Sessions>>,
}

/// What the sessions are made of.
struct Sam {
    runtime: Runtime,
    model: Box<Model>,
    encoder_digest: String,
    session: SessionOptions,
    cache: Option<EmbeddingCache>,
}

/// The sessions of one worker.
struct Sessions {
    /// Loaded when a slice needs it: where all embeddings are kept it is never.
    encoder: Option<Encoder>,
    decoder: Decoder,
}

impl Workers {
    /// Loads the first sessions, so that a model or runtime that does not work is found before anything is done.
    pub(super) fn new(predictor: &Predictor, options: &PredictOptions, cache: Option<EmbeddingCache>) -> Result<Self> {
        let Predictor::Sam(model) = predictor else {
            return Ok(Workers { sam: None, idle: Mutex::default() });
        };
        let session = SessionOptions { provider: options.provider, threads: 1, spinning: false };
        let sam = Sam {
            runtime: Runtime::load()?,
            model: model.clone(),
            encoder_digest: model.encoder_digest(),
            session,
            cache,
        };
        let mut first = sam.sessions().map_err(SamError::from)?;
        if sam.cache.is_none() {
            loaded(&mut first.encoder, &sam).map_err(SamError::from)?;
        }
        Ok(Workers { sam: Some(sam), idle: Mutex::new(vec![first]) })
    }

    /// Rows of one slice, pass by pass, each in the order of the masks' ids.
    pub(super) fn predict(
        &self,
        name: &str,
        slice: &DecodedSlice,
        passes: &[&Pass],
        options: &PredictOptions,
    ) -> Result<Vec<Vec<PredictionRow>>> {
        let row = &slice.row;
        let pixels = SlicePixels::new(row.height as usize, row.width as usize, row.channels as usize, &slice.pixels)
            .map_err(|e| Error::Damaged { id: row.slice_id.clone(), reason: e.to_string() })?;
        let scene = Scene { model: name, pixels, masks: &slice.masks };
        let Some(sam) = &self.sam else {
            return Ok(passes.iter().map(|pass| pass.by_otsu(&scene, options)).collect());
        };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut sessions = idle.map_or_else(|| sam.sessions().map_err(SamError::from), Ok)?;
        let rows = sessions.predict(sam, &scene, passes, options)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sessions);
        Ok(rows)
    }
}

impl Sam {
    fn sessions(&self) -> std::result::Result<Sessions, ModelError> {
        Ok(Sessions { encoder: None, decoder: Decoder::load(&self.runtime, &self.model, self.session)? })
    }
}

/// The encoder, loaded now where it is not.
fn loaded<'e>(encoder: &'e mut Option<Encoder>, sam: &Sam) -> std::result::Result<&'e mut Encoder, ModelError> {
    match encoder {
        Some(encoder) => Ok(encoder),
        none => Ok(none.insert(Encoder::load(&sam.runtime, &sam.model, sam.session)?)),
    }
}

impl Sessions {
    /// The embedding of a slice: kept, or computed now.
    fn embedding(
        &mut self,
        sam: &Sam,
        pixels: &SlicePixels,
        options: &PredictOptions,
    ) -> std::result::Result<Embedding, SamError> {
        let Some(cache) = &sam.cache else {
            return loaded(&mut self.encoder, sam)?.embed(pixels, options.clip);
        };
        let key = EmbeddingKey {
            encoder: sam.encoder_digest.clone(),
            pixels: pixels.digest(),
            clip: options.clip,
            provider: options.provider,
        };
        let frame = ResizedFrame::new(pixels.height(), pixels.width(), sam.model.spec().encoder.size);
        if let Some(kept) = cache.get(&key, &frame) {
            return Ok(kept);
        }
        let mut computed = loaded(&mut self.encoder, sam)?.embed(pixels, options.clip)?;
        cache.put(&mut computed)?;
        Ok(computed)
    }

    fn predict(
        &mut self,
        sam: &Sam,
        scene: &Scene,
        passes: &[&Pass],
        options: &PredictOptions,
    ) -> std::result::Result<Vec<Vec<PredictionRow>>, SamError> {
        let embedding = self.embedding(sam, &scene.pixels, options)?;
        let mut rows = Vec::with_capacity(passes.len());
        for pass in passes {
            let segments = match pass {
                Pass::Everything(rules) if rules.crop_layers > 0 => {
                    let Sessions { encoder, decoder } = self;
                    let encoder = loaded(encoder, sam)?;
                    everything_in_crops(encoder, decoder, &scene.pixels, options.clip, &embedding, rules)?
                }
                Pass::Everything(rules) => everything(&mut self.decoder, &embedding, rules)?,
                _ => Vec::new(),
            };
            rows.push(pass.by_sam(scene, &embedding, &mut self.decoder, &segments, options)?);
        }
        Ok(rows)
    }
}
