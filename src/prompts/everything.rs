//! The parameters of S1, everything mode.

use serde::{Deserialize, Serialize};

/// What decides the result of everything mode. Defaults are those of the original code, which the paper used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EverythingOptions {
    /// Points along each side of the slice; the paper varies it from 8 to 256.
    pub grid: usize,
    /// A mask's predicted IoU must be greater.
    pub predicted_iou: f32,
    /// A mask's stability must be at least this.
    pub stability: f64,
    /// Shift of the logit threshold, up and down, in the measure of stability.
    pub stability_offset: f32,
    /// A mask whose box overlaps that of a better one by a greater IoU is dropped.
    pub box_iou: f32,
    /// Layers of crops: layer i cuts the slice into 2^i x 2^i overlapping parts. 0: the whole slice alone.
    pub crop_layers: u32,
    /// How much neighbouring crops of the first layer overlap, as a share of the slice's short side; half of that in
    /// the next layer, and so on.
    pub crop_overlap: f64,
    /// In layer i the points along each side are divided by this to the power of i.
    pub crop_downscale: usize,
    /// As `box_iou`, between the masks of different crops.
    pub crop_box_iou: f32,
}

impl Default for EverythingOptions {
    fn default() -> Self {
        EverythingOptions {
            grid: 32,
            predicted_iou: 0.88,
            stability: 0.95,
            stability_offset: 1.0,
            box_iou: 0.7,
            crop_layers: 0,
            crop_overlap: 512.0 / 1500.0,
            crop_downscale: 1,
            crop_box_iou: 0.7,
        }
    }
}
