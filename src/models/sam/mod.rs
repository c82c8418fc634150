//! SAM (Segment Anything, Kirillov et al., ICCV 2023) through ONNX Runtime, with the prompt strategies of the paper
//! "Segment Anything Model for Medical Images?".
//!
//! The steps for one slice:
//!
//! 1. [`runtime`] finds ONNX Runtime, [`model`] opens a checked model folder; [`setup`] installs both, [`install`]
//!    other models.
//! 2. [`encoder_input`] (with [`resize`]) turns the slice into the encoder's tensor, [`embed`] runs the encoder once.
//! 3. [`decode`] runs the decoder on the prompts in batches, and [`upsample`] turns its logits into masks.
//!
//! [`everything`](mod@everything) is S1, which needs no prompt. [`Sam`] implements [`Segmenter`](super::Segmenter),
//! with sessions for each worker.
//!
//! Everything that determines a result is part of its key: see [`embed::EmbeddingKey`] and [`model::Model::digest`].

mod decode;
mod embed;
mod embedding_cache;
pub mod encoder_input;
pub mod everything;
pub mod install;
mod interface;
pub mod model;
pub mod onnx;
mod packages;
mod resize;
mod runtime;
mod segmenter;
pub mod setup;
mod staging;
mod upsample;

pub use decode::{Decoder, Output};
pub(crate) use embed::EmbeddingKey;
pub use embed::{Embedding, Encoder};
pub use embedding_cache::{EmbeddingCache, KeptEmbedding};
pub use encoder_input::{EncoderClip, ResizedFrame};
pub use everything::everything;
pub use interface::DecoderInterface;
pub use model::{DEFAULT_MODEL, Model, ModelError};
pub use runtime::{Provider, Runtime, RuntimeError, SessionOptions, cache_dir};
pub use segmenter::Sam;

use thiserror::Error;

/// Why an inference failed.
#[derive(Debug, Error)]
pub enum SamError {
    /// The model does not load.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// ONNX Runtime failed while it computed.
    #[error("ONNX Runtime: {0}")]
    Run(#[from] ort::Error),
    /// A model gave a tensor of another shape than its interface says.
    #[error("{model}: `{tensor}` has shape {found:?}, expected {expected}")]
    Shape {
        /// Name of the model.
        model: String,
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape as text.
        expected: String,
    },
    /// A part of a slice is no slice.
    #[error(transparent)]
    Slice(#[from] crate::slices::SliceError),
    /// An embedding cannot be kept.
    #[error("kept embeddings: {}: {source}", path.display())]
    Cache {
        /// File or folder.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A prompt that a decoder cannot take.
    #[error("prompt {index}: {reason}")]
    Prompt {
        /// Its position among the prompts given.
        index: usize,
        /// What is wrong.
        reason: String,
    },
}
