//! Phantoms: shapes in millimetres painted with tissue values, and what an imaging device does to them.
//!
//! World coordinates are LPS+, as in DICOM: x to the patient's left, y to the back, z to the head. Everything depends
//! on seeds and positions alone, so that a phantom is the same on every machine and any number of threads.

mod noise;
mod scene;
mod shape;
pub(super) mod vessels;

pub use noise::{Noise, Random};
pub use scene::{Acquisition, Grid, Rendered, Scene, Tissue};
pub use shape::Shape;
