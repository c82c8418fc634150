//! From an 8-bit slice to the input tensor of SAM's image encoder.
//!
//! The steps are those of the original `SamPredictor` (grey repeated to RGB, longest side to 1024 with Pillow's
//! bilinear filter, mean and standard deviation of ImageNet, zero padding right and below *after* normalisation), and
//! before them, on request, the intensity clip of the COSMOS authors' released code.

use serde::Serialize;

use super::resize::resize_bilinear;
use crate::named;
use crate::slices::SlicePixels;

named! {
    /// Intensity clip before the encoder (`encoder_clip`, docs/protocol.md, 3).
    #[derive(Default)]
    pub enum EncoderClip("encoder clip") {
        /// None: plain SAM. The default; whether the paper's zero-shot tables used the clip is unknown.
        #[default]
        None = "none",
        /// That of the released code: clip to the 0.95th and 99.5th percentile of all channels, stretch to 0–255, keep
        /// zeros at zero, truncate to 8 bits. (0.95 percent, not 95: the code says so.)
        Cosmos = "cosmos",
    }
}

/// The clip of the released code, as a table from old to new value; `None` where the image is constant after clipping
/// (numpy would divide by zero there) and is left as it is.
fn cosmos_clip(pixels: &[u8]) -> Option<[u8; 256]> {
    let mut histogram = [0usize; 256];
    for &p in pixels {
        histogram[p as usize] += 1;
    }
    let (low, high) = (percentile(&histogram, 0.95), percentile(&histogram, 99.5));
    let clipped = |value: usize| (value as f64).clamp(low, high);
    let first = histogram.iter().position(|&n| n > 0)?;
    let last = histogram.iter().rposition(|&n| n > 0)?;
    let (min, max) = (clipped(first), clipped(last));
    if max <= min {
        return None;
    }
    let mut table = [0u8; 256];
    for (value, entry) in table.iter_mut().enumerate().skip(1) {
        // Values that do not occur may lie outside min..max: `as` saturates them, and nobody looks them up.
        *entry = ((clipped(value) - min) / (max - min) * 255.0) as u8;
    }
    Some(table)
}

/// `numpy.percentile(values, q)` of the values that a histogram counts, with linear interpolation and numpy's order of
/// operations.
fn percentile(histogram: &[usize; 256], q: f64) -> f64 {
    let n: usize = histogram.iter().sum();
    let position = q / 100.0 * (n - 1) as f64;
    let ranked = |rank: usize| {
        let mut seen = 0;
        histogram.iter().position(|&count| {
            seen += count;
            seen > rank
        })
    };
    let below = ranked(position.floor() as usize).unwrap_or(255) as f64;
    let above = ranked((position.floor() as usize + 1).min(n - 1)).unwrap_or(255) as f64;
    let t = position - position.floor();
    if t < 0.5 { below + (above - below) * t } else { above - (above - below) * (1.0 - t) }
}

/// How a slice lies in the encoder's square frame: enlarged or shrunk so that its longest side fills it, at the top
/// left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizedFrame {
    /// Rows of the slice.
    pub height: usize,
    /// Columns of the slice.
    pub width: usize,
    /// Rows after resizing.
    pub resized_height: usize,
    /// Columns after resizing.
    pub resized_width: usize,
    /// Side of the encoder's frame (1024).
    pub size: usize,
}

impl ResizedFrame {
    /// `ResizeLongestSide.get_preprocess_shape` of SAM: both sides scaled by `size / longest`, rounded half up. A side
    /// that would vanish keeps one pixel.
    pub fn new(height: usize, width: usize, size: usize) -> Self {
        let scale = size as f64 / height.max(width) as f64;
        let scaled = |side: usize| ((side as f64 * scale + 0.5) as usize).max(1);
        ResizedFrame { height, width, resized_height: scaled(height), resized_width: scaled(width), size }
    }

    /// A slice left as it is.
    fn unscaled(height: usize, width: usize) -> Self {
        ResizedFrame { height, width, resized_height: height, resized_width: width, size: height.max(width) }
    }

    /// Pixel coordinates (x, y) of the slice in the encoder's frame: each axis by its own rounded ratio, in double
    /// precision, then to single.
    pub(crate) fn to_model(self, [x, y]: [f64; 2]) -> [f32; 2] {
        [
            (x * (self.resized_width as f64 / self.width as f64)) as f32,
            (y * (self.resized_height as f64 / self.height as f64)) as f32,
        ]
    }
}

named! {
    /// Order of the axes of the encoder's input tensor.
    #[derive(Default)]
    pub enum Layout("layout") {
        /// Channel, row, column.
        #[default]
        Chw = "chw",
        /// Row, column, channel.
        Hwc = "hwc",
    }
}

named! {
    /// How far a slice is prepared before it is given to the encoder; the graph does the rest.
    #[derive(Default)]
    pub enum Prepared("preparation") {
        /// Resized, normalised, padded to the square frame: SAM's own modules, and most exports.
        #[default]
        Padded = "padded",
        /// Resized and normalised: the graph pads (samexporter with its preprocessing, whose graph normalises as well:
        /// give it `mean = [0, 0, 0]`, `std = [1, 1, 1]`).
        Resized = "resized",
        /// Normalised: the graph resizes its longest side to the frame, and pads.
        Original = "original",
    }
}

/// What an encoder expects of its input (part of `model.toml`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InputFormat {
    /// Side of the square frame, in pixels.
    pub size: usize,
    /// Axis order.
    pub layout: Layout,
    /// What is done before the encoder.
    pub prepared: Prepared,
    /// Subtracted from red, green, blue (0–255).
    pub mean: [f32; 3],
    /// Divides red, green, blue after that.
    pub std: [f32; 3],
}

/// The slice after clip and resize, before normalisation: `resized_height x resized_width` pixels of 1 or 3 channels.
fn resized(slice: &SlicePixels, clip: EncoderClip, frame: &ResizedFrame) -> (usize, Vec<u8>) {
    let (channels, mut pixels) = slice.colour();
    if clip == EncoderClip::Cosmos
        && let Some(table) = cosmos_clip(&pixels)
    {
        pixels.iter_mut().for_each(|p| *p = table[*p as usize]);
    }
    let to = (frame.resized_height, frame.resized_width);
    (channels, resize_bilinear(&pixels, (frame.height, frame.width, channels), to))
}

/// The encoder's input in the axis order of `format.layout`, with its rows and columns: those of the square frame, or
/// of the slice as far as it is prepared.
pub fn encoder_input(slice: &SlicePixels, clip: EncoderClip, format: &InputFormat) -> (Vec<f32>, [usize; 2]) {
    let frame = match format.prepared {
        Prepared::Padded | Prepared::Resized => ResizedFrame::new(slice.height(), slice.width(), format.size),
        Prepared::Original => ResizedFrame::unscaled(slice.height(), slice.width()),
    };
    let (channels, pixels) = resized(slice, clip, &frame);
    let [height, width] = match format.prepared {
        Prepared::Padded => [format.size; 2],
        Prepared::Resized | Prepared::Original => [frame.resized_height, frame.resized_width],
    };
    // 256 values a channel: normalise each once. Single precision throughout, as torch does it.
    let tables: [[f32; 256]; 3] =
        std::array::from_fn(|c| std::array::from_fn(|value| (value as f32 - format.mean[c]) / format.std[c]));
    let mut input = vec![0.0; 3 * height * width];
    for (c, table) in tables.iter().enumerate() {
        let (offset, row_stride, step) = match format.layout {
            Layout::Chw => (c * height * width, width, 1),
            Layout::Hwc => (c, width * 3, 3),
        };
        for (y, row) in pixels.chunks_exact(frame.resized_width * channels).enumerate() {
            let target = input[offset + y * row_stride..].iter_mut().step_by(step);
            let source = row.iter().skip(c.min(channels - 1)).step_by(channels);
            target.zip(source).for_each(|(t, &p)| *t = table[p as usize]);
        }
    }
    (input, [height, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: InputFormat = InputFormat {
        size: 8,
        layout: Layout::Chw,
        prepared: Prepared::Padded,
        mean: [10.0, 20.0, 30.0],
        std: [2.0; 3],
    };

    #[test]
    fn grey_is_repeated_and_padding_is_zero_after_normalisation() {
        let pixels = [10, 20, 30, 40, 50, 60, 70, 80];
        let slice = SlicePixels::new(2, 4, 1, &pixels).unwrap();
        let (input, size) = encoder_input(&slice, EncoderClip::None, &PLAIN);
        assert_eq!(size, [8, 8]);
        // 2 x 4 becomes 4 x 8: rows 4..8 are padding.
        for c in 0..3 {
            assert_eq!(input[c * 64], (10.0 - PLAIN.mean[c]) / 2.0);
            assert!(input[c * 64 + 32..(c + 1) * 64].iter().all(|&v| v == 0.0));
        }
        let (hwc, _) = encoder_input(&slice, EncoderClip::None, &InputFormat { layout: Layout::Hwc, ..PLAIN });
        assert!((0..64).all(|i| (0..3).all(|c| hwc[i * 3 + c] == input[c * 64 + i])));
    }

    #[test]
    fn a_graph_that_pads_or_resizes_gets_what_it_wants() {
        let pixels = [10, 20, 30, 40, 50, 60, 70, 80];
        let slice = SlicePixels::new(2, 4, 1, &pixels).unwrap();
        let raw = InputFormat { mean: [0.0; 3], std: [1.0; 3], layout: Layout::Hwc, ..PLAIN };
        let given = |prepared| encoder_input(&slice, EncoderClip::None, &InputFormat { prepared, ..raw });
        let (padded, _) = given(Prepared::Padded);
        assert_eq!(given(Prepared::Resized), (padded[..4 * 8 * 3].to_vec(), [4, 8]));
        let original: Vec<f32> = pixels.iter().flat_map(|&p| [f32::from(p); 3]).collect();
        assert_eq!(given(Prepared::Original), (original, [2, 4]));
    }

    #[test]
    fn alpha_is_dropped() {
        let rgba = [1, 2, 3, 255, 4, 5, 6, 0, 7, 8, 9, 1, 10, 11, 12, 2];
        let rgb = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let input = |channels, pixels: &[u8]| {
            encoder_input(&SlicePixels::new(2, 2, channels, pixels).unwrap(), EncoderClip::Cosmos, &PLAIN).0
        };
        assert_eq!(input(4, &rgba), input(3, &rgb));
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // np.percentile([3, 3, 9, 200, 255], [0.95, 40, 99.5]) = [3, 6.6, 253.9]
        let mut histogram = [0; 256];
        for v in [3, 3, 9, 200, 255] {
            histogram[v] += 1;
        }
        assert_eq!(percentile(&histogram, 0.95), 3.0);
        assert!((percentile(&histogram, 40.0) - 6.6).abs() < 1e-12);
        assert!((percentile(&histogram, 99.5) - 253.9).abs() < 1e-12);
    }

    #[test]
    fn a_constant_slice_survives_the_clip() {
        assert_eq!(cosmos_clip(&[7; 20]), None);
    }

    #[test]
    fn a_thin_slice_keeps_a_pixel() {
        let frame = ResizedFrame::new(1, 4000, 1024);
        assert_eq!((frame.resized_height, frame.resized_width), (1, 1024));
    }
}
