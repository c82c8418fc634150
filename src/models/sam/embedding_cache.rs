//! Embeddings stored on disk, so the encoder processes a slice only once over all runs.
//!
//! One file per embedding, in the safetensors format: one tensor `embedding` in half precision (2 MiB for SAM's size),
//! and as metadata the whole key, the SHA-256 of the tensor and the name of the model. The file's name is the key's
//! digest. A file with other metadata, or whose tensor has another digest, is not used, which is reported. Half precision
//! is coarser than the output of the encoder, so an embedding is rounded before its first use: results do not depend on
//! cache hits. The time of a file's last change is that of its last use.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use walkdir::WalkDir;

use super::SamError;
use super::embed::{EMBEDDING_CHANNELS, EMBEDDING_STRIDE, Embedding, EmbeddingKey};
use super::encoder_input::ResizedFrame;
use super::staging::{self, Staging};
use crate::digest::sha256;

/// Name of the tensor in a file.
const TENSOR: &str = "embedding";
/// Longest header of a file that is looked into for its model; those that are written here have some hundred bytes.
const LONGEST_HEADER: u64 = 1 << 16;

/// A folder of embeddings.
#[derive(Clone, Debug)]
pub struct EmbeddingCache {
    folder: PathBuf,
    model: String,
}

/// A file of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEmbedding {
    /// The file.
    pub path: PathBuf,
    /// Name of the model that made it; `None` where the file does not say.
    pub model: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
}

impl EmbeddingCache {
    /// The cache in a folder, which need not exist, for a model of this name.
    pub fn new(folder: impl Into<PathBuf>, model: &str) -> Self {
        EmbeddingCache { folder: folder.into(), model: model.to_string() }
    }

    /// Files of the cache in a folder, of all models, those first that were not used for longest. A folder that is not
    /// there has none.
    ///
    /// # Errors
    /// [`SamError::Cache`]: the folder cannot be read.
    pub fn list(folder: &Path) -> Result<Vec<KeptEmbedding>, SamError> {
        let mut kept = Vec::new();
        if !folder.exists() {
            return Ok(kept);
        }
        let staging = staging::folder_of(folder);
        for entry in WalkDir::new(folder).into_iter().filter_entry(|entry| entry.path() != staging) {
            let failed = |source: io::Error| SamError::Cache { path: folder.to_path_buf(), source };
            let entry = entry.map_err(|error| failed(error.into()))?;
            if entry.file_type().is_file() {
                let metadata = entry.metadata().map_err(|error| failed(error.into()))?;
                let used = metadata.modified().map_err(failed)?;
                let (path, bytes) = (entry.into_path(), metadata.len());
                kept.push(KeptEmbedding { model: model_of(&path), path, bytes, used });
            }
        }
        kept.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        Ok(kept)
    }

    /// Removes the files that were not used for longest, until all together have at most this many bytes. Returns what
    /// it removed. What killed runs left goes too.
    ///
    /// # Errors
    /// [`SamError::Cache`]: the folder cannot be read, or a file cannot be removed.
    pub fn limit(folder: &Path, bytes: u64) -> Result<Vec<KeptEmbedding>, SamError> {
        staging::sweep(folder);
        let mut kept = Self::list(folder)?;
        let mut total: u64 = kept.iter().map(|file| file.bytes).sum();
        let mut removed = 0;
        while total > bytes {
            let KeptEmbedding { path, bytes, .. } = &kept[removed];
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(SamError::Cache { path: path.clone(), source });
                }
                _ => {}
            }
            total -= bytes;
            removed += 1;
        }
        kept.truncate(removed);
        Ok(kept)
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
            Ok(values) => {
                // Where the time cannot be set, it is only thrown out earlier.
                let _ = File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
                Some(Embedding { key: key.clone(), frame: *frame, values })
            }
            Err(reason) => {
                tracing::warn!("{}: ignored and recomputed: {reason}", path.display());
                None
            }
        }
    }

    /// Keeps an embedding, and rounds it to what is kept. Returns once it survives a power cut.
    ///
    /// # Errors
    /// [`SamError::Cache`]: the folder cannot be written, or the disk is full.
    pub fn put(&self, embedding: &mut Embedding) -> Result<(), SamError> {
        let halves: Vec<f16> = embedding.values.iter().map(|&v| f16::from_f32(v)).collect();
        embedding.values = halves.iter().map(|h| h.to_f32()).collect();
        let path = self.path(&embedding.key);
        let failed = |source| SamError::Cache { path: path.clone(), source };
        let bytes = encode(&halves, embedding, &self.model).map_err(|e| failed(io::Error::other(e)))?;
        // Renamed when it is whole: other workers and other runs may look for it meanwhile.
        let staging = Staging::new(&self.folder).map_err(failed)?;
        staging.publish(&path, &bytes).map_err(failed)
    }
}

/// The model that a file names.
fn model_of(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    let mut header = Vec::new();
    (length <= LONGEST_HEADER).then(|| file.take(length).read_to_end(&mut header))?.ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    let (_, model) = header["__metadata__"]["key"].as_str()?.rsplit_once(MODEL)?;
    Some(model.to_string())
}

/// What stands between the parts of the metadata.
const CHECKSUM: &str = "; sha256 ";
const MODEL: &str = "; model ";

fn shape(frame: &ResizedFrame) -> Vec<usize> {
    let side = frame.size / EMBEDDING_STRIDE;
    vec![EMBEDDING_CHANNELS, side, side]
}

/// The key, word for word.
fn described(key: &EmbeddingKey) -> String {
    let EmbeddingKey { encoder, pixels, clip, provider, runtime } = key;
    format!("encoder {encoder}, pixels {pixels}, clip {clip}, provider {provider}, runtime {runtime}")
}

fn encode(values: &[f16], embedding: &Embedding, model: &str) -> Result<Vec<u8>, String> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    // One entry, since the format keeps several in no order.
    let text = format!("{}{CHECKSUM}{}{MODEL}{model}", described(&embedding.key), sha256(&data));
    let metadata = HashMap::from([("key".to_string(), text)]);
    let view = TensorView::new(Dtype::F16, shape(&embedding.frame), &data).map_err(|e| e.to_string())?;
    safetensors::serialize([(TENSOR, view)], Some(metadata)).map_err(|e| e.to_string())
}

fn check_shape(tensor: &TensorView, frame: &ResizedFrame) -> Result<(), String> {
    let (found, expected) = ((tensor.dtype(), tensor.shape()), (Dtype::F16, shape(frame)));
    if found.0 == expected.0 && found.1 == expected.1 {
        return Ok(());
    }
    Err(format!("expected {:?} {:?}, found {:?} {:?}", expected.0, expected.1, found.0, found.1))
}

fn decode(bytes: &[u8], key: &EmbeddingKey, frame: &ResizedFrame) -> Result<Vec<f32>, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get("key"));
    let parts = text.and_then(|text| text.rsplit_once(MODEL)).and_then(|(text, _)| text.rsplit_once(CHECKSUM));
    let (found, checksum) = parts.ok_or("the file states no key and no checksum")?;
    if found != described(key) {
        return Err("the embedding has another key".to_string());
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let tensor = file.tensor(TENSOR).map_err(|e| e.to_string())?;
    check_shape(&tensor, frame)?;
    let digest = sha256(tensor.data());
    if digest != checksum {
        return Err(format!("the SHA-256 of its values is {digest}, expected {checksum}"));
    }
    Ok(tensor.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::sam::{EncoderClip, Provider};

    fn embedding() -> Embedding {
        let frame = ResizedFrame::new(30, 40, 64);
        let key = EmbeddingKey {
            encoder: "e".into(),
            pixels: "p".into(),
            clip: EncoderClip::None,
            provider: Provider::Cpu,
            runtime: "1".into(),
        };
        let values = (0..EMBEDDING_CHANNELS * 16).map(|i| (i as f32 * 0.37).sin()).collect();
        Embedding { key, frame, values }
    }

    #[test]
    fn what_is_kept_is_what_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::new(folder.path(), "m");
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
            EmbeddingKey { runtime: "2".into(), ..exact.key.clone() },
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
        let cache = EmbeddingCache::new(folder.path(), "m");
        let mut used = embedding();
        cache.put(&mut used).unwrap();
        let path = cache.path(&used.key);
        let whole = fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], &whole[..5], b"not safetensors"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get(&used.key, &used.frame), None);
        }
        // Bits of values and of the header, and zeros where a file was not written out.
        for at in (0..whole.len()).step_by(101) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(&path, damaged).unwrap();
            assert!(cache.get(&used.key, &used.frame).is_none_or(|found| found == used), "byte {at}");
        }
        let mut zeros = whole.clone();
        zeros[whole.len() - 1000..].fill(0);
        fs::write(&path, zeros).unwrap();
        assert_eq!(cache.get(&used.key, &used.frame), None);
        cache.put(&mut used).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "the same bytes again");
    }

    #[test]
    fn those_that_were_not_used_for_longest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(EmbeddingCache::list(&folder.path().join("none")).unwrap(), []);
        let caches = ["a", "b"].map(|model| EmbeddingCache::new(folder.path(), model));
        let mut all = Vec::new();
        for (n, pixels) in ["p", "q", "r", "s"].into_iter().enumerate() {
            let mut one = embedding();
            one.key.pixels = pixels.into();
            let cache = &caches[n % 2];
            cache.put(&mut one).unwrap();
            let used = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n as u64);
            File::options().append(true).open(cache.path(&one.key)).unwrap().set_modified(used).unwrap();
            all.push(one);
        }
        assert!(caches[0].get(&all[0].key, &all[0].frame).is_some(), "used now");
        let listed = EmbeddingCache::list(folder.path()).unwrap();
        let order: Vec<&str> = listed.iter().map(|file| file.model.as_deref().unwrap()).collect();
        assert_eq!(order, ["b", "a", "b", "a"]);
        let bytes = listed[0].bytes;
        assert_eq!(EmbeddingCache::limit(folder.path(), 4 * bytes).unwrap(), []);
        assert_eq!(EmbeddingCache::limit(folder.path(), 2 * bytes + 1).unwrap(), listed[..2]);
        assert!(caches[0].get(&all[0].key, &all[0].frame).is_some());
        assert!(caches[1].get(&all[1].key, &all[1].frame).is_none());
        assert_eq!(EmbeddingCache::limit(folder.path(), 0).unwrap().len(), 2);
        assert_eq!(EmbeddingCache::list(folder.path()).unwrap(), []);
    }
}
