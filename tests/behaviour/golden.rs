//! Reference predictions: made with the original PyTorch code on 30 released slices. They lie in `../shared/golden`,
//! the slices and the model beside them (`tests/samples`).

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use medcosmos::mask::Mask;
use medcosmos::models::sam::{Model, Runtime};
use serde::Deserialize;

use crate::samples::{beside, skip};

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

/// The folder of references.
pub fn golden_folder() -> Option<PathBuf> {
    beside("golden")
}

impl Golden {
    pub fn load() -> Option<Golden> {
        let text = fs::read_to_string(golden_folder()?.join("golden.json")).unwrap();
        Some(serde_json::from_str(&text).unwrap())
    }
}

/// ONNX Runtime, or a printed line that the test is skipped.
pub fn runtime() -> Option<Runtime> {
    Runtime::load().inspect_err(|error| skip(error)).ok()
}

/// ONNX Runtime and the model of the references.
pub fn runtime_and_model() -> Option<(Runtime, Model)> {
    let folder = beside("models")?;
    Some((runtime()?, Model::open(&folder).unwrap()))
}

fn sample(name: &str, kind: &str) -> PathBuf {
    let task = if name.starts_with("22_Heart") { "22_Heart" } else { "6_Pancreas" };
    beside(&format!("samples/cosmos/{task}/{kind}/{name}.png")).expect("the slices lie beside the references")
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
