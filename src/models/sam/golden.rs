//! Reference predictions for tests: made with the original PyTorch code on 30 released slices. They lie in
//! `../shared/golden` (or `$MEDCOSMOS_SHARED/golden`), with the slices and the model beside them; where they are
//! absent a test says so and passes.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Model, Runtime};
use crate::mask::Mask;

#[derive(Deserialize)]
pub struct Golden {
    pub images: Vec<GoldenImage>,
}

#[derive(Deserialize)]
pub struct GoldenImage {
    pub name: String,
    pub encode: PerVariant<GoldenEncode>,
    pub objects: Vec<GoldenObject>,
}

#[derive(Deserialize)]
pub struct PerVariant<T> {
    pub raw: T,
    pub norm: T,
}

#[derive(Deserialize)]
pub struct GoldenEncode {
    pub input_size_hw: [usize; 2],
    pub resized_u8_sum: u64,
}

#[derive(Deserialize)]
pub struct GoldenObject {
    pub label_value: u8,
    pub area: u64,
    pub box_xyxy_inclusive: [f64; 4],
    pub centroid_inside: bool,
    pub fg_points: Vec<[f64; 2]>,
    pub bg_points: Vec<[f64; 2]>,
    pub modes: PerVariant<GoldenModes>,
}

#[derive(Deserialize)]
pub struct GoldenModes {
    pub p1: GoldenMode,
    pub p5: GoldenMode,
    pub p10: GoldenMode,
    #[serde(rename = "box")]
    pub bounds: GoldenMode,
    pub box_p1: GoldenMode,
}

#[derive(Deserialize)]
pub struct GoldenMode {
    pub iou_pred: [f64; 4],
    pub area: [u64; 4],
    pub best_idx: usize,
    pub best_dice: f64,
    pub score_dice: f64,
}

/// References of everything mode.
#[derive(Deserialize)]
pub struct GoldenEverything {
    pub images: Vec<GoldenEverythingImage>,
}

#[derive(Deserialize)]
pub struct GoldenEverythingImage {
    pub name: String,
    pub height: u32,
    pub width: u32,
    pub n_before_nms: usize,
    pub n_masks: usize,
    pub objects: Vec<GoldenEverythingObject>,
    pub masks: Vec<GoldenSegment>,
}

#[derive(Deserialize)]
pub struct GoldenEverythingObject {
    pub label_value: u8,
    pub best_dice: f64,
}

#[derive(Deserialize)]
pub struct GoldenSegment {
    pub predicted_iou: f64,
    pub stability_score: f64,
    pub point_xy: [f64; 2],
    pub rle_counts: Vec<u32>,
}

impl GoldenEverything {
    pub fn load() -> Option<GoldenEverything> {
        let text = fs::read_to_string(golden_folder()?.join("golden_everything.json")).unwrap();
        Some(serde_json::from_str(&text).unwrap())
    }
}

fn shared() -> PathBuf {
    std::env::var_os("MEDCOSMOS_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"))
}

/// The folder of references, or a printed line that the test is skipped.
pub fn golden_folder() -> Option<PathBuf> {
    let folder = shared().join("golden");
    if folder.join("golden.json").is_file() {
        return Some(folder);
    }
    crate::skip::skip(format!("no references in {}", folder.display()));
    None
}

impl Golden {
    pub fn load() -> Option<Golden> {
        let text = fs::read_to_string(golden_folder()?.join("golden.json")).unwrap();
        Some(serde_json::from_str(&text).unwrap())
    }
}

/// ONNX Runtime and the model of the references, or a printed line that the test is skipped.
pub fn runtime_and_model() -> Option<(Runtime, Model)> {
    let folder = shared().join("models");
    if !folder.is_dir() {
        crate::skip::skip(format!("no models in {}", folder.display()));
        return None;
    }
    match Runtime::load() {
        Ok(runtime) => Some((runtime, Model::open(&folder).unwrap())),
        Err(error) => {
            crate::skip::skip(error);
            None
        }
    }
}

fn sample(name: &str, kind: &str) -> PathBuf {
    let task = if name.starts_with("22_Heart") { "22_Heart" } else { "6_Pancreas" };
    shared().join("samples/cosmos").join(task).join(kind).join(format!("{name}.png"))
}

/// Height, width and pixels of a released grey 8-bit slice.
pub fn slice_file(name: &str) -> (usize, usize, Vec<u8>) {
    read_png(&sample(name, "images"))
}

/// The truth mask of one label of a released slice.
pub fn label_mask(name: &str, value: u8) -> Mask {
    let (height, width, labels) = read_png(&sample(name, "labels"));
    Mask::from_predicate(height as u32, width as u32, |i| labels[i] == value)
}

fn read_png(path: &Path) -> (usize, usize, Vec<u8>) {
    let file = std::io::BufReader::new(fs::File::open(path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::Eight));
    (info.height as usize, info.width as usize, pixels)
}

pub fn read_gzip(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A value of a numpy array.
pub trait NpyValue: Sized {
    const DESCR: &'static str;
    fn read(bytes: &[u8]) -> Vec<Self>;
}

impl NpyValue for u8 {
    const DESCR: &'static str = "|u1";
    fn read(bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}

impl NpyValue for bool {
    const DESCR: &'static str = "|b1";
    fn read(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().map(|&b| b != 0).collect()
    }
}

impl NpyValue for f32 {
    const DESCR: &'static str = "<f4";
    fn read(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// IEEE half precision, widened.
#[derive(Clone, Copy)]
pub struct Half(pub f32);

impl NpyValue for Half {
    const DESCR: &'static str = "<f2";
    fn read(bytes: &[u8]) -> Vec<Half> {
        let widen = |bits: u16| {
            let (sign, exponent, fraction) = (bits >> 15, i32::from(bits >> 10 & 31), f32::from(bits & 1023));
            assert!(exponent < 31, "no infinities in an embedding");
            let size = match exponent {
                0 => fraction * 2f32.powi(-24),
                e => (1024.0 + fraction) * 2f32.powi(e - 25),
            };
            Half(if sign == 1 { -size } else { size })
        };
        bytes.as_chunks().0.iter().map(|b| widen(u16::from_le_bytes(*b))).collect()
    }
}

pub struct Npy<T> {
    pub values: Vec<T>,
}

/// A C-ordered array of numpy's format 1.0.
pub fn read_npy<T: NpyValue>(bytes: &[u8]) -> Npy<T> {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let text = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(text.contains(T::DESCR) && text.contains("'fortran_order': False"), "{text}");
    Npy { values: T::read(&bytes[10 + header..]) }
}

/// One array of an `.npz` file.
pub fn read_npz<T: NpyValue>(path: &Path, name: &str) -> Npy<T> {
    let mut archive = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut bytes).unwrap();
    read_npy(&bytes)
}

mod whole_pipeline {
    use super::*;
    use crate::models::sam::{Decoder, Encoder, EncoderClip, Output, SessionOptions};
    use crate::models::{oracle_choice, score_choice, smoothed_dice};
    use crate::prompts::{Point, Prompt};
    use crate::slices::SlicePixels;

    /// The prompts of the references, by mode.
    fn prompts(object: &GoldenObject) -> [Prompt; 5] {
        let positive = |n: usize| object.fg_points[..n].iter().map(|[x, y]| Point::foreground(*x, *y));
        let negative = object.bg_points[..5].iter().map(|[x, y]| Point::background(*x, *y));
        let bounds = Some(object.box_xyxy_inclusive);
        [
            Prompt { points: positive(1).collect(), bounds: None },
            Prompt { points: positive(5).collect(), bounds: None },
            Prompt { points: positive(5).chain(negative).collect(), bounds: None },
            Prompt { points: Vec::new(), bounds },
            Prompt { points: positive(1).collect(), bounds },
        ]
    }

    impl GoldenModes {
        fn in_order(&self) -> [(&'static str, &GoldenMode); 5] {
            [("p1", &self.p1), ("p5", &self.p5), ("p10", &self.p10), ("box", &self.bounds), ("box_p1", &self.box_p1)]
        }
    }

    fn dice(a: &Mask, b: &Mask) -> f64 {
        2.0 * a.intersection(b) as f64 / (a.area() + b.area()) as f64
    }

    /// Runs of the four masks of every `slice/label/mode`.
    fn masks_of_references() -> std::collections::HashMap<String, [Vec<u32>; 4]> {
        let folder = golden_folder().unwrap();
        serde_json::from_slice(&read_gzip(&folder.join("golden_masks.json.gz"))).unwrap()
    }

    /// From the PNG files to the best Dice of all 56 objects in five modes; prints the largest deviations.
    fn compare(clip: EncoderClip) {
        let (Some(golden), Some((runtime, model))) = (Golden::load(), runtime_and_model()) else { return };
        let options = SessionOptions { threads: 2, ..Default::default() };
        let mut encoder = Encoder::load(&runtime, &model, options).unwrap();
        let mut decoder = Decoder::load(&runtime, &model, options).unwrap();
        let masks = masks_of_references();
        let mut worst = [[0.0f64; 3]; 5];
        let mut objects = 0;
        for image in &golden.images {
            let (height, width, pixels) = slice_file(&image.name);
            let slice = SlicePixels::new(height, width, 1, &pixels).unwrap();
            let embedding = encoder.embed(&slice, clip).unwrap();
            let all: Vec<Prompt> = image.objects.iter().flat_map(prompts).collect();
            let predictions = decoder.predict(&embedding, &all, Output::All).unwrap();
            for (object, predictions) in image.objects.iter().zip(predictions.chunks_exact(5)) {
                let truth = label_mask(&image.name, object.label_value);
                assert_eq!(truth.area(), object.area);
                let variant = match clip {
                    EncoderClip::None => &object.modes.raw,
                    EncoderClip::Cosmos => &object.modes.norm,
                };
                for (m, ((mode, expected), candidates)) in variant.in_order().into_iter().zip(predictions).enumerate() {
                    let what = format!("{} {} {mode}", image.name, object.label_value);
                    for (candidate, iou) in candidates.iter().zip(expected.iou_pred) {
                        worst[m][0] = worst[m][0].max((f64::from(candidate.predicted_iou.unwrap()) - iou).abs());
                    }
                    for (token, (candidate, area)) in candidates.iter().zip(expected.area).enumerate() {
                        let mut flipped = candidate.mask.area().abs_diff(area);
                        // The references hold the masks themselves for plain slices only.
                        if clip == EncoderClip::None {
                            let counts = &masks[&what.replace(' ', "/")][token];
                            let reference = Mask::from_counts(height as u32, width as u32, counts).unwrap();
                            let shared = candidate.mask.intersection(&reference);
                            flipped = candidate.mask.area() + reference.area() - 2 * shared;
                        }
                        assert!(flipped <= 3, "{what}: {flipped} pixels flipped in mask {token}");
                        worst[m][1] = worst[m][1].max(flipped as f64);
                    }
                    let multimask = &candidates[1..];
                    let best = oracle_choice(multimask.iter().map(|c| &c.mask), &truth).unwrap();
                    let best_dice = dice(&multimask[best].mask, &truth);
                    let deviation = (best_dice - expected.best_dice).abs();
                    worst[m][2] = worst[m][2].max(deviation);
                    let tolerance = if matches!(mode, "p1" | "p5") { 0.02 } else { 0.01 };
                    assert!(deviation < tolerance, "{what}: Dice {best_dice}, expected {}", expected.best_dice);
                    let alike = smoothed_dice(&multimask[expected.best_idx - 1].mask, &truth);
                    assert!(best + 1 == expected.best_idx || (alike - best_dice).abs() < 1e-3, "{what}: choice {best}");
                    let scored =
                        dice(&multimask[score_choice(multimask.iter().map(|c| c.predicted_iou)).unwrap()].mask, &truth);
                    assert!(
                        (scored - expected.score_dice).abs() < tolerance,
                        "{what}: Dice of the best score {scored}"
                    );
                }
                objects += 1;
            }
        }
        assert_eq!(objects, 56);
        for (mode, [iou, area, dice]) in ["p1", "p5", "p10", "box", "box_p1"].into_iter().zip(worst) {
            println!("{clip} {mode}: largest deviation of IoU {iou:.1e}, mask {area} px, best Dice {dice:.1e}");
        }
    }

    #[test]
    fn best_dice_is_that_of_the_reference() {
        compare(EncoderClip::None);
    }

    #[test]
    fn best_dice_with_the_clip_is_that_of_the_reference() {
        if std::env::var_os("MEDCOSMOS_LONG_TESTS").is_none() {
            crate::skip::skip("MEDCOSMOS_LONG_TESTS is not set");
            return;
        }
        compare(EncoderClip::Cosmos);
    }
}
