//! SAM models on disk: a folder with `model.toml` and ONNX files.
//!
//! ```toml
//! name = "sam-vit-b"
//!
//! [files]                       # every file, with its SHA-256 (or a list of the digests that are accepted)
//! "encoder.onnx" = "…"
//! "decoder.onnx" = "…"
//!
//! [encoder]
//! file = "encoder.onnx"
//! input = "input_image"         # may be left out: an encoder has one input
//! size = 1024                   # side of the frame; may be left out, as all that follows
//! layout = "chw"                # or "hwc"
//! prepared = "padded"           # or "resized" or "original", where the graph pads, or resizes and pads
//! mean = [123.675, 116.28, 103.53]
//! std = [58.395, 57.12, 57.375]
//!
//! [decoder]
//! file = "decoder.onnx"
//! interface = "four-mask"       # may be left out where the graph tells
//! ```
//!
//! Weights beyond 2 GB are in a file next to the ONNX file (ONNX external data): name it under `[files]` too. Opening a
//! model checks every digest, so the key of a result identifies the files it was computed with.
//!
//! Decoders in the wild come in three forms, distinguished by their inputs and outputs ([`DecoderInterface`]). Exports
//! whose decoder needs other tensors (HQ-SAM's intermediate embeddings, SAM 2's high-resolution features) are not SAM
//! decoders and are refused.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::encoder_input::{InputFormat, Layout, Prepared};
use super::interface::DecoderInterface;
use super::runtime::{RuntimeError, cache_dir};
use crate::digest::{canonical_json, sha256, sha256_file};
use crate::store::check_name;

/// Name of the model that `medcosmos setup` installs.
pub const DEFAULT_MODEL: &str = "mobile-sam";

/// The file in a model folder that describes it.
pub const MODEL_FILE: &str = "model.toml";

/// The description of the default model, written next to its files by `medcosmos setup`.
pub(crate) const MOBILE_SAM: &str = include_str!("mobile-sam.toml");

/// Why a folder is not a usable model.
#[derive(Debug, Error)]
pub enum ModelError {
    /// No installed model has this name.
    #[error(
        "no model `{name}`: it is not installed as {}. `medcosmos setup` installs `{DEFAULT_MODEL}`; a folder with \
         {MODEL_FILE} is written as a path, such as `./{name}`",
        installed.display()
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where an installed model of this name would be.
        installed: PathBuf,
    },
    /// The name is that of a folder, and not of an installed model.
    #[error("`{name}` is a folder, and no installed model: write `./{name}` to use the model in it")]
    Folder {
        /// What was asked for.
        name: String,
    },
    /// There is no such folder.
    #[error("{}: no such folder; expected a folder with {MODEL_FILE}", .0.display())]
    NoFolder(PathBuf),
    /// No cache folder is known to look for installed models in.
    #[error(transparent)]
    Cache(#[from] RuntimeError),
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// `model.toml` is not valid.
    #[error("{}: {reason}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A file is not the one that the model names.
    #[error("{}: sha256 is {found}, expected {expected}; the file is damaged or belongs to another model", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// Accepted digests.
        expected: String,
        /// Its digest.
        found: String,
    },
    /// The ONNX file holds something else than a SAM encoder or decoder.
    #[error("{}: not a SAM {part}: {reason}", path.display())]
    NotSam {
        /// The file.
        path: PathBuf,
        /// `encoder` or `decoder`.
        part: &'static str,
        /// What was expected and found.
        reason: String,
    },
    /// ONNX Runtime cannot read the file.
    #[error("{}: {source}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What ONNX Runtime says.
        source: ort::Error,
    },
}

/// `model.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Name in tables and reports.
    pub name: String,
    /// Every file of the model, with the digests accepted for it.
    pub files: BTreeMap<String, Digests>,
    /// The image encoder.
    pub encoder: EncoderSpec,
    /// The mask decoder.
    pub decoder: DecoderSpec,
}

/// One accepted SHA-256, or several (the same weights exported by different tools).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Digests {
    /// Exactly this one.
    One(String),
    /// Any of these.
    AnyOf(Vec<String>),
}

impl Digests {
    fn accepted(&self) -> &[String] {
        match self {
            Digests::One(digest) => std::slice::from_ref(digest),
            Digests::AnyOf(digests) => digests,
        }
    }
}

/// `[encoder]` of `model.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// The ONNX file.
    pub file: String,
    /// Name of the image input; without it, the only input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Side of the square input in pixels.
    #[serde(default = "sam_size")]
    pub size: usize,
    /// Axis order of the input.
    #[serde(default)]
    pub layout: Layout,
    /// How far the slice is prepared before the encoder.
    #[serde(default)]
    pub prepared: Prepared,
    /// Mean of red, green, blue on 0–255.
    #[serde(default = "sam_mean")]
    pub mean: [f32; 3],
    /// Standard deviation of red, green, blue on 0–255.
    #[serde(default = "sam_std")]
    pub std: [f32; 3],
}

fn sam_size() -> usize {
    1024
}

fn sam_mean() -> [f32; 3] {
    [123.675, 116.28, 103.53]
}

fn sam_std() -> [f32; 3] {
    [58.395, 57.12, 57.375]
}

impl EncoderSpec {
    /// What the encoder expects of its input.
    pub fn input_format(&self) -> InputFormat {
        let EncoderSpec { size, layout, prepared, mean, std, .. } = *self;
        InputFormat { size, layout, prepared, mean, std }
    }
}

/// `[decoder]` of `model.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderSpec {
    /// The ONNX file.
    pub file: String,
    /// Its form; without it, the graph must tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<DecoderInterface>,
}

impl ModelSpec {
    /// Reads and checks the text of a `model.toml`. The reason of a failure is a sentence without the file's name.
    pub fn parse(text: &str) -> Result<ModelSpec, String> {
        let spec: ModelSpec = toml::from_str(text).map_err(|e| e.to_string())?;
        check_name("model", &spec.name).map_err(|e| e.to_string())?;
        for (file, digests) in &spec.files {
            if file.is_empty() || file.contains(['/', '\\', ':']) || file == "." || file == ".." {
                return Err(format!("file `{file}`: expected a file name without a path"));
            }
            let is_digest = |d: &String| d.len() == 64 && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if digests.accepted().is_empty() || !digests.accepted().iter().all(is_digest) {
                return Err(format!("file `{file}`: expected a sha256 of 64 lower-case hexadecimal digits"));
            }
        }
        for (part, file) in [("encoder", &spec.encoder.file), ("decoder", &spec.decoder.file)] {
            if !spec.files.contains_key(file) {
                return Err(format!("the {part} `{file}` has no sha256 under [files]"));
            }
        }
        if !(64..=4096).contains(&spec.encoder.size) || !spec.encoder.size.is_multiple_of(16) {
            return Err(format!("encoder size {}: expected a multiple of 16 from 64 to 4096", spec.encoder.size));
        }
        if !spec.encoder.mean.iter().all(|m| m.is_finite()) {
            return Err("encoder mean: expected finite numbers".to_string());
        }
        if !spec.encoder.std.iter().all(|s| s.is_finite() && *s > 0.0) {
            return Err("encoder std: expected positive numbers".to_string());
        }
        Ok(spec)
    }
}

/// A model whose files have been checked.
#[derive(Clone, Debug)]
pub struct Model {
    folder: PathBuf,
    spec: ModelSpec,
    digests: BTreeMap<String, String>,
}

impl Model {
    /// Finds a model and opens it: in a folder where the text has a path separator (`./mine`), and under the name that it
    /// is installed by in the cache folder where it has none. What lies in the current folder never stands for an
    /// installed model.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`ModelError::Unknown`], [`ModelError::Folder`], [`ModelError::NoFolder`].
    pub fn find(name: &str) -> Result<Model, ModelError> {
        let folder = Path::new(name);
        if name.contains(std::path::is_separator) {
            return if folder.is_dir() { Model::open(folder) } else { Err(ModelError::NoFolder(folder.to_owned())) };
        }
        let installed = installed_folder(&cache_dir()?, name);
        if !name.is_empty() && !name.starts_with('.') && installed.is_dir() {
            Model::open(&installed)
        } else if folder.is_dir() {
            Err(ModelError::Folder { name: name.into() })
        } else {
            Err(ModelError::Unknown { name: name.into(), installed })
        }
    }

    /// Opens a model folder: reads `model.toml` and checks the digest of every file. A folder without `model.toml` is
    /// taken for the default model, whose description is built in, if it has that model's encoder.
    ///
    /// # Errors
    /// The description or a file is missing, unreadable or wrong.
    pub fn open(folder: &Path) -> Result<Model, ModelError> {
        let described = folder.join(MODEL_FILE);
        let text = match fs::read_to_string(&described) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && folder.join("mobile_sam.encoder.onnx").is_file() => {
                MOBILE_SAM.to_string()
            }
            other => other.map_err(|source| ModelError::Read { path: described.clone(), source })?,
        };
        let spec = ModelSpec::parse(&text).map_err(|reason| ModelError::Description { path: described, reason })?;
        let mut digests = BTreeMap::new();
        for (file, accepted) in &spec.files {
            let path = folder.join(file);
            let (_, found) = sha256_file(&path).map_err(|source| ModelError::Read { path: path.clone(), source })?;
            if !accepted.accepted().contains(&found) {
                return Err(ModelError::Digest { path, expected: accepted.accepted().join(" or "), found });
            }
            digests.insert(file.clone(), found);
        }
        Ok(Model { folder: folder.to_owned(), spec, digests })
    }

    /// The description.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Digest of everything that decides a prediction: all files, and how the input is prepared.
    pub fn digest(&self) -> String {
        self.digest_of(|_| true)
    }

    /// Digest of everything that decides an embedding: the encoder (all files but the decoder), and how its input is
    /// prepared. Two models that differ in the decoder alone share it.
    pub fn encoder_digest(&self) -> String {
        self.digest_of(|file| file != self.spec.decoder.file)
    }

    fn digest_of(&self, counts: impl Fn(&str) -> bool) -> String {
        let mut text = format!("{}\n", canonical_json(&self.spec.encoder.input_format()));
        for (file, digest) in self.digests.iter().filter(|(file, _)| counts(file)) {
            text += &format!("{file} {digest}\n");
        }
        sha256(text.as_bytes())
    }
}

/// Where a model of this name is installed inside the cache folder.
pub(crate) fn installed_folder(cache: &Path, name: &str) -> PathBuf {
    cache.join("models").join(name)
}

/// Digests that the built-in description accepts for a file of the default model.
pub(super) fn built_in_digests(file: &str) -> Vec<String> {
    let spec = ModelSpec::parse(MOBILE_SAM).expect("the built-in description is valid: a test reads it");
    spec.files.get(file).map(|d| d.accepted().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_descriptions_are_explained() {
        assert!(ModelSpec::parse(MOBILE_SAM).is_ok());
        let digest = "0".repeat(64);
        let text = |file: &str, digest: &str, size: usize| {
            format!(
                "name = 'm'\n[files]\n'{file}' = '{digest}'\n[encoder]\nfile = '{file}'\nsize = {size}\n\
                 [decoder]\nfile = '{file}'\n"
            )
        };
        assert!(ModelSpec::parse(&text("m.onnx", &digest, 1024)).is_ok());
        assert!(ModelSpec::parse(&text("../m.onnx", &digest, 1024)).unwrap_err().contains("file name without a path"));
        assert!(ModelSpec::parse(&text("m.onnx", "12", 1024)).unwrap_err().contains("64 lower-case"));
        assert!(ModelSpec::parse(&text("m.onnx", &digest, 1000)).unwrap_err().contains("multiple of 16"));
        assert!(ModelSpec::parse("name = 1").is_err());
        let named = text("m.onnx", &digest, 1024).replace("'m'", "'../m'");
        assert!(ModelSpec::parse(&named).unwrap_err().contains("ASCII letters"));
    }

    #[test]
    fn a_changed_file_is_named_with_both_digests() {
        let folder = tempfile::tempdir().unwrap();
        let digest = "0".repeat(64);
        let text = format!(
            "name = 'm'\n[files]\n'm.onnx' = '{digest}'\n[encoder]\nfile = 'm.onnx'\n[decoder]\nfile = 'm.onnx'\n"
        );
        fs::write(folder.path().join(MODEL_FILE), text).unwrap();
        fs::write(folder.path().join("m.onnx"), "abc").unwrap();
        let message = Model::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("m.onnx: sha256 is ba7816bf"), "{message}");
        assert!(message.contains(&format!("expected {digest}")), "{message}");
        assert!(Model::open(&folder.path().join("absent")).unwrap_err().to_string().contains("model.toml"));
    }
}
