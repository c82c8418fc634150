//! Embeddings stored on disk, so the encoder processes a slice only once over all runs.
//!
//! One file per embedding, in the safetensors format: one tensor `embedding` in half precision (2 MiB for SAM's size),
//! the whole key as metadata. The file's name is the key's digest; a damaged file, or one with other metadata, is not
//! used, which is reported. Half precision is coarser than the output of the encoder, so an embedding is rounded before
//! its first use: results do not depend on cache hits.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::SamError;
use super::embed::{EMBEDDING_CHANNELS, EMBEDDING_STRIDE, Embedding, EmbeddingKey};
use super::encoder_input::ResizedFrame;

/// Name of the tensor in a file.
const TENSOR: &str = "embedding";

/// A folder of embeddings.
#[derive(Clone, Debug)]
pub struct EmbeddingCache {
    folder: PathBuf,
}

impl EmbeddingCache {
    /// The cache in a folder, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        EmbeddingCache { folder: folder.into() }
    }

    fn path(&self, key: &EmbeddingKey) -> PathBuf {
        let digest = key.digest();
        self.folder.join(&digest[..2]).join(format!("{digest}.safetensors"))
    }

    /// The embedding of a key for a slice that lies so in the encoder's frame; `None` where it is not kept. What is
    /// there and cannot be used is logged as a warning.
    pub fn get(&self, key: &EmbeddingKey, frame: &ResizedFrame) -> Option<Embedding> {
        let path = self.path(key);
        let bytes = fs::read(&path).ok()?;
        match decode(&bytes, key, frame) {
            Ok(values) => Some(Embedding { key: key.clone(), frame: *frame, values }),
            Err(reason) => {
                tracing::warn!("{}: ignored and recomputed: {reason}", path.display());
                None
            }
        }
    }

    /// Keeps an embedding, and rounds it to what is kept.
    ///
    /// # Errors
    /// [`SamError::Cache`]: the folder cannot be written, or the disk is full.
    pub fn put(&self, embedding: &mut Embedding) -> Result<(), SamError> {
        let halves: Vec<f16> = embedding.values.iter().map(|&v| f16::from_f32(v)).collect();
        embedding.values = halves.iter().map(|h| h.to_f32()).collect();
        let path = self.path(&embedding.key);
        let failed = |source| SamError::Cache { path: path.clone(), source };
        let bytes = encode(&halves, &embedding.key, &embedding.frame).map_err(|e| failed(std::io::Error::other(e)))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(failed)?;
        // Renamed when it is whole: other workers and other runs may look for it meanwhile.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(&bytes).map_err(failed)?;
        file.persist(&path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

fn shape(frame: &ResizedFrame) -> Vec<usize> {
    let side = frame.size / EMBEDDING_STRIDE;
    vec![EMBEDDING_CHANNELS, side, side]
}

/// The key, word for word; one entry, since the format keeps several in no order.
fn metadata(key: &EmbeddingKey) -> HashMap<String, String> {
    let EmbeddingKey { encoder, pixels, clip, provider } = key;
    HashMap::from([(
        "key".to_string(),
        format!("encoder {encoder}, pixels {pixels}, clip {clip}, provider {provider}"),
    )])
}

fn encode(values: &[f16], key: &EmbeddingKey, frame: &ResizedFrame) -> Result<Vec<u8>, String> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F16, shape(frame), &data).map_err(|e| e.to_string())?;
    safetensors::serialize([(TENSOR, view)], Some(metadata(key))).map_err(|e| e.to_string())
}

fn decode(bytes: &[u8], key: &EmbeddingKey, frame: &ResizedFrame) -> Result<Vec<f32>, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    if header.metadata().as_ref() != Some(&metadata(key)) {
        return Err("the embedding has another key".to_string());
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let tensor = file.tensor(TENSOR).map_err(|e| e.to_string())?;
    if tensor.dtype() != Dtype::F16 || tensor.shape() != shape(frame) {
        return Err(format!(
            "expected half precision {:?}, found {:?} {:?}",
            shape(frame),
            tensor.dtype(),
            tensor.shape()
        ));
    }
    Ok(tensor.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::sam::{EncoderClip, Provider};

    fn embedding() -> Embedding {
        let frame = ResizedFrame::new(30, 40, 64);
        let key =
            EmbeddingKey { encoder: "e".into(), pixels: "p".into(), clip: EncoderClip::None, provider: Provider::Cpu };
        let values = (0..EMBEDDING_CHANNELS * 16).map(|i| (i as f32 * 0.37).sin()).collect();
        Embedding { key, frame, values }
    }

    #[test]
    fn what_is_kept_is_what_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::new(folder.path());
        let exact = embedding();
        assert_eq!(cache.get(&exact.key, &exact.frame), None);
        let mut used = exact.clone();
        cache.put(&mut used).unwrap();
        assert!(used.values.iter().zip(&exact.values).all(|(a, b)| (a - b).abs() <= b.abs() / 2048.0));
        assert_eq!(cache.get(&exact.key, &exact.frame), Some(used.clone()));
        // Any other key is another file.
        for other in [
            EmbeddingKey { clip: EncoderClip::Cosmos, ..exact.key.clone() },
            EmbeddingKey { encoder: "f".into(), ..exact.key.clone() },
            EmbeddingKey { provider: Provider::Cuda, ..exact.key.clone() },
        ] {
            assert_eq!(cache.get(&other, &exact.frame), None);
            // Even under its name, the embedding of another key is not used.
            let (from, to) = (cache.path(&exact.key), cache.path(&other));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
            assert_eq!(cache.get(&other, &exact.frame), None);
        }
    }

    #[test]
    fn damaged_files_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::new(folder.path());
        let mut used = embedding();
        cache.put(&mut used).unwrap();
        let path = cache.path(&used.key);
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], &whole[..5], b"not safetensors"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&used.key, &used.frame), None);
        }
        cache.put(&mut used).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "the same bytes again");
    }
}
