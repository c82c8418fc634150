//! The image encoder: one slice in, one embedding out. It is the expensive half of SAM and runs once per slice; every
//! prompt is decoded from the embedding.

use ort::value::TensorRef;
use serde::{Deserialize, Serialize};

use super::SamError;
use super::encoder_input::{EncoderClip, InputFormat, Layout, ResizedFrame, encoder_input};
use super::interface::Signature;
use super::model::{Model, ModelError};
use super::runtime::{Graph, Provider, Runtime, SessionOptions};
use crate::digest;
use crate::slices::SlicePixels;

/// Channels of an embedding.
pub const EMBEDDING_CHANNELS: usize = 256;

/// Pixels of the encoder's frame per position of the embedding, along each axis.
pub const EMBEDDING_STRIDE: usize = 16;

/// Everything that decides an embedding.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmbeddingKey {
    /// [`Model::encoder_digest`].
    pub encoder: String,
    /// [`SlicePixels::digest`].
    pub pixels: String,
    /// Intensity clip before the encoder.
    pub clip: EncoderClip,
    /// What computed it: providers agree within a tolerance, and not to the bit.
    pub provider: Provider,
    /// The library that computed it: [`Runtime::build`].
    pub runtime: String,
}

impl EmbeddingKey {
    /// One digest of the whole key, hexadecimal: a file name for a cache.
    pub fn digest(&self) -> String {
        let EmbeddingKey { encoder, pixels, clip, provider, runtime } = self;
        digest::sha256(format!("{encoder}\n{pixels}\n{clip}\n{provider}\n{runtime}\n").as_bytes())
    }
}

/// The image embedding of one slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// What it is the embedding of.
    pub key: EmbeddingKey,
    /// How the slice lies in the encoder's frame.
    pub frame: ResizedFrame,
    /// `[256, size / 16, size / 16]`, row-major.
    pub values: Vec<f32>,
}

/// A loaded image encoder. One per worker: inference needs it exclusively. Clones
/// share the loaded graph.
#[derive(Clone, Debug)]
pub struct Encoder {
    graph: Graph,
    name: String,
    digest: String,
    format: InputFormat,
    input: String,
    /// Axes of its input: 4, or 3 without one for the batch.
    axes: usize,
    provider: Provider,
    /// The library that computes.
    runtime: &'static str,
}

impl Encoder {
    /// Loads the encoder of a model.
    ///
    /// # Errors
    /// ONNX Runtime cannot read the file, or it is not a SAM encoder.
    pub fn load(runtime: &Runtime, model: &Model, options: SessionOptions) -> Result<Encoder, ModelError> {
        let spec = &model.spec().encoder;
        let path = model.folder().join(&spec.file);
        let session = runtime
            .session(options)
            .and_then(|mut builder| builder.commit_from_file(&path))
            .map_err(|source| ModelError::Onnx { path: path.clone(), source })?;
        let (input, axes) = Signature::of(&session).encoder_input(spec).map_err(|reason| ModelError::NotSam {
            path,
            part: "encoder",
            reason,
        })?;
        let (name, digest) = (model.spec().name.clone(), model.encoder_digest());
        let (format, provider, runtime) = (spec.input_format(), options.provider, runtime.build());
        Ok(Encoder { graph: Graph::new(session), name, digest, format, input, axes, provider, runtime })
    }

    /// The key that [`embed`](Self::embed) would give the embedding of this slice.
    pub fn key(&self, slice: &SlicePixels, clip: EncoderClip) -> EmbeddingKey {
        let (encoder, runtime) = (self.digest.clone(), self.runtime.to_string());
        EmbeddingKey { encoder, pixels: slice.digest(), clip, provider: self.provider, runtime }
    }

    /// Computes the embedding of a slice.
    ///
    /// # Errors
    /// ONNX Runtime fails, or the model's output is no embedding.
    pub fn embed(&mut self, slice: &SlicePixels, clip: EncoderClip) -> Result<Embedding, SamError> {
        let key = self.key(slice, clip);
        let (input, [height, width]) = encoder_input(slice, clip, &self.format);
        let (rows, columns) = (height as i64, width as i64);
        let shape = match (self.format.layout, self.axes) {
            (Layout::Chw, _) => vec![1, 3, rows, columns],
            (Layout::Hwc, 3) => vec![rows, columns, 3],
            (Layout::Hwc, _) => vec![1, rows, columns, 3],
        };
        let tensor = TensorRef::from_array_view((shape.as_slice(), input.as_slice()))?;
        let mut session = self.graph.session();
        let outputs = session.run(ort::inputs![self.input.as_str() => tensor])?;
        let side = (self.format.size / EMBEDDING_STRIDE) as i64;
        let expected = [1, EMBEDDING_CHANNELS as i64, side, side];
        // Encoders differ in the name of their output, and some give intermediate features in addition.
        let mut found = (String::new(), Vec::new());
        for (name, value) in outputs.iter() {
            let (shape, values) = value.try_extract_tensor::<f32>()?;
            if shape[..] == expected {
                let frame = ResizedFrame::new(slice.height(), slice.width(), self.format.size);
                return Ok(Embedding { key, frame, values: values.to_vec() });
            }
            found = (name.to_string(), shape.to_vec());
        }
        let (tensor, found) = found;
        Err(SamError::Shape { model: self.name.clone(), tensor, found, expected: format!("{expected:?}") })
    }
}
