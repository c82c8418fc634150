//! Models that segment slices: their interface ([`Segmenter`]) and the built-in models.
//!
//! | model | what it is |
//! |---|---|
//! | [`sam`] | SAM and its relatives through ONNX Runtime; each model is a folder with weights |
//! | [`otsu_box`] | a threshold in the box, without weights: the baseline |
//!
//! The pipeline uses only [`Segmenter`]. To add a model, implement it in a file or folder here and add a line to
//! [`BUILT_IN`], whose name `medcosmos predict --model` accepts.
//!
//! The choice among the candidates of a model ([`crate::choice`]) and simulated interaction ([`clicks`]) are the same
//! for all models.

use std::path::PathBuf;

use crate::prompts::{EverythingOptions, Prompt, Strategy};
use crate::slices::SlicePixels;
use crate::store::ShardKey;

mod candidates;
mod clicks;
mod otsu_box;
pub mod sam;

pub use candidates::Candidate;
pub use clicks::{Click, ClickOptions, number_of_clicks, simulate_clicks};
pub use otsu_box::OtsuBox;

/// Why a model failed: whatever error it has, with a message for the user.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a model returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A model that segments the objects of a slice. Workers share one and prepare slices at the same time.
///
/// The same slice and prompts must give the same masks whatever was asked before, on every thread: datasets are
/// compared byte by byte.
///
/// ```
/// use medcosmos::mask::Mask;
/// use medcosmos::models::{Candidate, PreparedSlice, Result, Segmenter};
/// use medcosmos::prompts::{Prompt, Strategy};
/// use medcosmos::slices::SlicePixels;
///
/// /// The bright pixels of a box.
/// struct Bright;
///
/// impl Segmenter for Bright {
///     fn name(&self) -> &str {
///         "bright"
///     }
///
///     fn digest(&self) -> String {
///         "1".to_string()
///     }
///
///     fn takes(&self, strategy: Strategy) -> bool {
///         strategy == Strategy::Box
///     }
///
///     fn prepare<'s>(&'s self, slice: SlicePixels<'s>) -> Result<Box<dyn PreparedSlice + 's>> {
///         Ok(Box::new(Grey { height: slice.height(), width: slice.width(), luma: slice.luma() }))
///     }
/// }
///
/// struct Grey {
///     height: usize,
///     width: usize,
///     luma: Vec<u8>,
/// }
///
/// impl PreparedSlice for Grey {
///     fn predict(&mut self, prompts: &[Prompt]) -> Result<Vec<Vec<Candidate>>> {
///         let bright = |prompt: &Prompt| {
///             let [x0, y0, x1, y1] = prompt.bounds.ok_or("a box is needed")?;
///             let mask = Mask::from_predicate(self.height as u32, self.width as u32, |i| {
///                 let (x, y) = ((i % self.width) as f64, (i / self.width) as f64);
///                 self.luma[i] > 100 && (x0..=x1).contains(&x) && (y0..=y1).contains(&y)
///             });
///             Ok(vec![Candidate::unrated(mask)])
///         };
///         prompts.iter().map(bright).collect()
///     }
/// }
///
/// let pixels = [0, 200, 0, 0, 200, 0, 0, 200, 200];
/// let mut slice = Bright.prepare(SlicePixels::new(3, 3, 1, &pixels)?)?;
/// let prompt = Prompt { points: Vec::new(), bounds: Some([0.0, 0.0, 1.0, 1.0]) };
/// let masks = slice.predict(&[prompt])?;
/// assert_eq!(masks[0][0].mask.to_bitmap(), [0, 1, 0, 0, 1, 0, 0, 0, 0]);
/// # Ok::<(), medcosmos::models::Error>(())
/// ```
pub trait Segmenter: Send + Sync {
    /// Name in the column `model` and in the paths of tables: letters, digits, dashes, dots.
    fn name(&self) -> &str;

    /// Digest of everything in the model that decides its masks: its weights, or a version that is raised with every
    /// change of what it gives. Predictions of another digest cannot stand under the same name.
    fn digest(&self) -> String;

    /// Adds the options under which the model was opened, as far as they decide its masks, to the key of its
    /// predictions, and the version of a library that computes them. Called after [`load`](Self::load).
    fn key(&self, key: ShardKey) -> ShardKey {
        key
    }

    /// True where the model segments under this strategy: it takes the prompts that the strategy draws, or, for S1,
    /// does without. Others are left out.
    fn takes(&self, strategy: Strategy) -> bool;

    /// True where simulated clicks make sense: the model takes points, positive and negative
    /// ([`PreparedSlice::refine`]).
    fn takes_clicks(&self) -> bool {
        false
    }

    /// Workers that segment at a time where a process has so many threads.
    fn workers(&self, threads: usize) -> usize {
        threads
    }

    /// Loads what the model needs, so that one that does not work is found before anything is computed. Without it, the
    /// first slice does.
    ///
    /// # Errors
    /// Something is missing, or does not work.
    fn load(&self) -> Result<()> {
        Ok(())
    }

    /// Does what is done once per slice, whatever is asked of it later: the embedding of SAM.
    ///
    /// # Errors
    /// The model fails.
    fn prepare<'s>(&'s self, slice: SlicePixels<'s>) -> Result<Box<dyn PreparedSlice + 's>>;
}

/// A slice that a model is ready to segment, by one thread.
pub trait PreparedSlice {
    /// Candidate masks of every prompt, in the order of the prompts; each of the slice's size. What a prompt gives does
    /// not depend on the others: masks of a slice may be predicted at different times. A model that finds nothing gives
    /// none.
    ///
    /// # Errors
    /// The model fails, or a prompt is not of a kind that it takes.
    fn predict(&mut self, prompts: &[Prompt]) -> Result<Vec<Vec<Candidate>>>;

    /// Masks of everything on the slice, without a prompt (S1), best first.
    ///
    /// # Errors
    /// The model fails, or has no such mode.
    fn everything(&mut self, _options: &EverythingOptions) -> Result<Vec<Candidate>> {
        Err("the model does not segment without a prompt".into())
    }

    /// Candidate masks of one prompt, given the logits of the mask that an earlier call gave ([`Refined::logits`]).
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    fn refine(&mut self, prompt: &Prompt, _earlier: Option<&[f32]>) -> Result<Vec<Refined>> {
        let candidates = self.predict(std::slice::from_ref(prompt))?.into_iter().flatten();
        Ok(candidates.map(|candidate| Refined { candidate, logits: Vec::new() }).collect())
    }
}

/// A candidate, and what the next call may refine.
#[derive(Clone, Debug, PartialEq)]
pub struct Refined {
    /// The mask and its scores.
    pub candidate: Candidate,
    /// Its logits at the model's resolution, row by row.
    pub logits: Vec<f32>,
}

/// Options under which a model is opened. Each model takes those that concern it, and names them in its key.
#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    /// Whether intensities are clipped before the encoder, as the released code does.
    pub clip: sam::EncoderClip,
    /// What computes.
    pub provider: sam::Provider,
    /// Folder in which embeddings are kept, in half precision, and looked for; `None` to compute each again.
    pub embeddings: Option<PathBuf>,
}

/// A model that is part of the program.
pub struct BuiltIn {
    /// Name, as `--model` and the column `model` have it.
    pub name: &'static str,
    /// What it is, for the help.
    pub about: &'static str,
    open: fn(&ModelOptions) -> Result<Box<dyn Segmenter>>,
}

/// The models that are part of the program.
pub const BUILT_IN: &[BuiltIn] = &[otsu_box::BUILT_IN];

/// Opens a model: one of [`BUILT_IN`], or the SAM model that is installed under this name or lies in the folder of this
/// path ([`sam::Model::find`]).
///
/// # Errors
/// There is none, or its files are not those that it names.
pub fn open(name: &str, options: &ModelOptions) -> Result<Box<dyn Segmenter>> {
    match BUILT_IN.iter().find(|model| model.name == name) {
        Some(model) => (model.open)(options),
        None => Ok(Box::new(sam::Sam::new(sam::Model::find(name)?, options.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_models_are_found_by_their_names() {
        for built_in in BUILT_IN {
            let model = open(built_in.name, &ModelOptions::default()).unwrap();
            assert_eq!(model.name(), built_in.name);
            assert!(Strategy::ALL.iter().any(|&strategy| model.takes(strategy)), "{}", built_in.name);
        }
        let error = open("no-such-model", &ModelOptions::default()).err().unwrap().to_string();
        assert!(error.contains("no model `no-such-model`"), "{error}");
    }
}
