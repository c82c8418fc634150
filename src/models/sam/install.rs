//! Models besides the default one: listing, adding and testing them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::encoder_input::EncoderClip;
use super::interface::DecoderInterface;
use super::model::{DecoderSpec, Digests, EncoderSpec, MODEL_FILE, Model, ModelError, ModelSpec, installed_folder};
use super::staging::{Staging, sync_folder};
use super::{Decoder, Encoder, Output, Runtime, SamError, SessionOptions};
use crate::choice::score_choice;
use crate::digest::sha256_file;
use crate::prompts::{Point, Prompt};
use crate::slices::SlicePixels;
use crate::store::check_name;

/// Names of the models that are installed in a cache folder, sorted.
///
/// # Errors
/// The folder cannot be read; one that is not there holds none.
pub fn installed(cache: &Path) -> Result<Vec<String>, ModelError> {
    let folder = installed_folder(cache, "");
    let entries = match fs::read_dir(&folder) {
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|source| ModelError::Read { path: folder.clone(), source })?,
    };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join(MODEL_FILE).is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// The description of a pair of ONNX files, with their digests as they are now.
///
/// # Errors
/// A file cannot be read.
pub fn describe(
    name: &str,
    encoder: EncoderSpec,
    decoder: DecoderSpec,
    folder: &Path,
) -> Result<ModelSpec, ModelError> {
    let mut files = BTreeMap::new();
    for file in [&encoder.file, &decoder.file] {
        let path = folder.join(file);
        let (_, digest) = sha256_file(&path).map_err(|source| ModelError::Read { path, source })?;
        files.insert(file.clone(), Digests::One(digest));
    }
    Ok(ModelSpec { name: name.to_string(), files, encoder, decoder })
}

/// Copies the files of a folder that a description names into the cache, under the model's name, and writes the
/// description next to them. Returns the folder made.
///
/// # Errors
/// A name that cannot be a folder's, one that is taken, a file that cannot be read or written.
pub fn install(spec: &ModelSpec, from: &Path, cache: &Path) -> Result<PathBuf, ModelError> {
    let to = installed_folder(cache, &spec.name);
    let refused = |reason: String| ModelError::Description { path: from.join(MODEL_FILE), reason };
    check_name("model", &spec.name).map_err(|e| refused(e.to_string()))?;
    if to.exists() {
        return Err(refused(format!(
            "a model {:?} is already installed in {}; remove it first",
            spec.name,
            to.display()
        )));
    }
    // Complete or absent: written inside the cache, then renamed.
    let models = installed_folder(cache, "");
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ModelError::Read { path, source }
    };
    fs::create_dir_all(&models).map_err(at(&models))?;
    let staging = Staging::new(cache).map_err(at(cache))?;
    let making = staging.path().join(&spec.name);
    fs::create_dir(&making).map_err(at(&making))?;
    let text = toml::to_string(spec).map_err(|e| refused(e.to_string()))?;
    fs::write(making.join(MODEL_FILE), text).map_err(at(&making))?;
    for file in spec.files.keys() {
        fs::copy(from.join(file), making.join(file)).map_err(at(&from.join(file)))?;
    }
    for file in spec.files.keys().map(String::as_str).chain([MODEL_FILE]) {
        let path = making.join(file);
        fs::File::open(&path).and_then(|file| file.sync_all()).map_err(at(&path))?;
    }
    fs::rename(&making, &to).map_err(at(&to))?;
    sync_folder(&models).map_err(at(&models))?;
    Ok(to)
}

/// What a model did with one slice.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Form of its decoder.
    pub interface: DecoderInterface,
    /// Masks that it offers for a prompt.
    pub candidates: usize,
    /// Its own estimate of the IoU of the best of them.
    pub predicted_iou: f32,
    /// IoU of that with the disc that was to be found.
    pub iou: f64,
    /// Seconds of the encoder and of the decoder.
    pub seconds: [f64; 2],
}

/// Runs a model on a bright disc, with a point in its middle and a box around it.
///
/// # Errors
/// Whatever does not work.
pub fn try_out(runtime: &Runtime, model: &Model, session: SessionOptions) -> Result<Trial, SamError> {
    const SIDE: usize = 256;
    let disc = |i: usize| {
        let (x, y) = ((i % SIDE) as f64 - 120.0, (i / SIDE) as f64 - 140.0);
        x * x + y * y <= 60.0 * 60.0
    };
    let noise = |i: usize| ((i * 7919) % 23) as u8;
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|i| if disc(i) { 190 } else { 40 } + noise(i)).collect();
    let slice = SlicePixels::new(SIDE, SIDE, 1, &pixels)?;
    let truth = crate::mask::Mask::from_predicate(SIDE as u32, SIDE as u32, disc);
    let mut encoder = Encoder::load(runtime, model, session)?;
    let mut decoder = Decoder::load(runtime, model, session)?;
    let started = std::time::Instant::now();
    let embedding = encoder.embed(&slice, EncoderClip::None)?;
    let encoded = started.elapsed().as_secs_f64();
    let prompt = Prompt { points: vec![Point::foreground(120.0, 140.0)], bounds: Some([60.0, 80.0, 180.0, 200.0]) };
    let found = decoder.predict(&embedding, &[prompt], Output::Multimask)?.remove(0);
    let seconds = [encoded, started.elapsed().as_secs_f64() - encoded];
    let best = score_choice(found.iter().map(|c| c.predicted_iou)).unwrap_or(0);
    let mask = &found[best].mask;
    let shared = mask.intersection_area(&truth) as f64;
    Ok(Trial {
        interface: decoder.interface(),
        candidates: found.len(),
        predicted_iou: found[best].predicted_iou.unwrap_or(f32::NAN),
        iou: shared / (mask.area() as f64 + truth.area() as f64 - shared),
        seconds,
    })
}
