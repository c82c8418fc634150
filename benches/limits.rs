//! What one core of this machine can do at best, and what this program takes for the same: the half of
//! `benches/compare.py` that is in Rust. Each line that it prints is a JSON object.
//!
//! `cargo bench --bench limits -- volume IMAGE.nii.gz LABELS.nii.gz` measures the steps of a build, each by its library
//! alone; `-- pairs FILE` the metrics, `-- masks FILE` the coding and `-- contours FILE` the boundary complexity of the
//! masks in a file that `compare.py` writes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, RecordBatch};
use medcosmos::factors::{BoundaryComplexity, FourierOptions};
use medcosmos::mask::Mask;
use medcosmos::metrics::{Comparison, MetricOptions, Spacing};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Each measurement is the median of so many at least, and of as many as this time allows.
const REPEATS: usize = 5;
const SECONDS: f64 = 0.3;

fn main() {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["volume", image, labels] => volume(image, labels),
        ["pairs", file] => pairs(file),
        ["masks", file] => runs(file),
        ["contours", file] => contours(file),
        _ => println!(
            "usage: limits -- volume IMAGE LABELS | pairs FILE | masks FILE | contours FILE (see benches/compare.py)"
        ),
    }
}

/// Median seconds of `run`.
fn seconds<T>(mut run: impl FnMut() -> T) -> f64 {
    let mut times: Vec<f64> = Vec::new();
    while times.len() < REPEATS || times.iter().sum::<f64>() < SECONDS {
        let started = Instant::now();
        std::hint::black_box(run());
        times.push(started.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn say(name: &str, seconds: f64, bytes: usize) {
    let line: Value = json!({"limit": name, "seconds": seconds, "bytes": bytes});
    println!("{line}");
}

/// The steps of building a `.nii.gz` of 16-bit slices that all are kept, each alone and on warm memory.
fn volume(image: &str, labels: &str) {
    let files = [image, labels].map(|path| fs::read(path).expect("a file of the comparison"));
    let decoded = files.each_ref().map(|bytes| medcosmos::formats::gzip::decompress(bytes).expect("gzip"));
    let mut out = vec![0; decoded.iter().map(Vec::len).max().unwrap_or(0)];
    let gunzip = seconds(|| {
        for (bytes, whole) in files.iter().zip(&decoded) {
            let mut decoder = libdeflater::Decompressor::new();
            decoder.gzip_decompress(bytes, &mut out[..whole.len()]).expect("one member");
        }
    });
    say("gunzip", gunzip, decoded.iter().map(Vec::len).sum());
    let sha = seconds(|| files.each_ref().map(Sha256::digest));
    say("sha256 of the files", sha, files.iter().map(Vec::len).sum());

    // The pictures as the build makes them.
    let volume = medcosmos::formats::read(image, &files[0], &|_| Ok(None)).expect("a volume");
    let [width, height, slices, _] = volume.size;
    let medcosmos::image::Samples::I16(values) = &volume.samples else { panic!("16-bit values expected") };
    let pictures: Vec<Vec<u8>> = values
        .chunks_exact(width * height)
        .map(|slice| {
            let (low, high) = slice.iter().fold((i16::MAX, i16::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let span = (i32::from(high) - i32::from(low)).max(1);
            slice.iter().map(|&v| (255 * (i32::from(v) - i32::from(low)) / span) as u8).collect()
        })
        .collect();
    let mut encoded: Vec<Vec<u8>> = Vec::new();
    let png = seconds(|| encoded = pictures.iter().map(|p| encode(p, width as u32, height as u32)).collect());
    let written: usize = encoded.iter().map(Vec::len).sum();
    say("png", png, written);
    let bytes_of = |p: &Vec<u8>| medcosmos::slices::png::encode(p, width as u32, height as u32, 1).len();
    let ours = || pictures.iter().map(bytes_of).sum::<usize>();
    say("png, this program's", seconds(ours), ours());
    let raw: usize = pictures.iter().map(Vec::len).sum();
    let compressed = || pictures.iter().map(|p| zstd::bulk::compress(p, 1).expect("bytes").len()).sum::<usize>();
    say("zstd-1", seconds(compressed), raw);
    let mut copy = vec![0u8; width * height];
    let copy_all = || pictures.iter().for_each(|p| std::hint::black_box(&mut copy).copy_from_slice(p));
    say("memcpy", seconds(copy_all), raw);
    let folder = tempfile::tempdir().expect("a temporary folder");
    say("parquet", seconds(|| parquet(&encoded, &folder.path().join("pictures.parquet"))), written);
    let write = seconds(|| {
        let mut file = fs::File::create(folder.path().join("written")).expect("a file");
        encoded.iter().for_each(|png| file.write_all(png).expect("bytes written"));
        file.sync_all().expect("a file on disk");
    });
    say("write and fsync", write, written);
    say("slices", 0.0, slices);
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(pixels.len());
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(pixels).expect("pixels");
    writer.finish().expect("an end");
    bytes
}

/// A Parquet file of one column with the pictures, uncompressed, in row groups of a hundred; it is not waited for the
/// disk.
fn parquet(pictures: &[Vec<u8>], path: &Path) {
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::{EnabledStatistics, WriterProperties};
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let batch = |pictures: &[Vec<u8>]| {
        let mut column = BinaryBuilder::new();
        pictures.iter().for_each(|png| column.append_value(png));
        let column: ArrayRef = Arc::new(column.finish());
        RecordBatch::try_from_iter([("image", column)]).expect("a column")
    };
    let file = fs::File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch(&[]).schema(), Some(properties)).expect("a writer");
    for group in pictures.chunks(100) {
        writer.write(&batch(group)).expect("rows");
        writer.flush().expect("a group");
    }
    writer.close().expect("a footer");
}

/// Masks of a file: how many, height and width as three little-endian 32-bit numbers, then a byte for each pixel.
fn masks(file: &str) -> Vec<Mask> {
    let bytes = fs::read(file).expect("a file of the comparison");
    let number = |at: usize| u32::from_le_bytes(bytes[4 * at..][..4].try_into().expect("four bytes"));
    let (height, width) = (number(1), number(2));
    let masks = bytes[12..].chunks_exact(height as usize * width as usize);
    masks.map(|bitmap| Mask::from_bitmap(height, width, bitmap)).collect()
}

/// All metrics of masks 0 and 1, 2 and 3, and so on: median seconds of each pair.
fn pairs(file: &str) {
    for pair in masks(file).chunks_exact(2) {
        let time = seconds(|| {
            let comparison = Comparison::new(&pair[0], &pair[1], Spacing::new(1.0, 1.0), MetricOptions::default());
            let comparison = comparison.expect("masks of one size");
            comparison.values().iter().filter_map(|(_, value)| value.number()).sum::<f64>()
        });
        say("metrics", time, pair[0].area() as usize);
    }
}

/// Encoding, decoding and the IoU of masks 0 and 1, 2 and 3, and so on.
fn runs(file: &str) {
    for pair in masks(file).chunks_exact(2) {
        let (height, width, bitmap, code) = (pair[0].height(), pair[0].width(), pair[0].to_bitmap(), pair[0].to_coco());
        say("encode", seconds(|| Mask::from_bitmap(height, width, &bitmap).to_coco()), bitmap.len());
        say("decode", seconds(|| Mask::from_coco(height, width, &code).expect("a code").to_bitmap()), code.len());
        let codes = pair.iter().map(Mask::to_coco).collect::<Vec<_>>();
        let iou = || {
            let [a, b] = [0, 1].map(|i| Mask::from_coco(height, width, &codes[i]).expect("a code"));
            let shared = a.intersection_area(&b);
            shared as f64 / (a.area() + b.area() - shared) as f64
        };
        say("iou", seconds(iou), codes.iter().map(Vec::len).sum());
    }
}

fn contours(file: &str) {
    for mask in masks(file) {
        let options = FourierOptions::default();
        let found = BoundaryComplexity::of(&mask, &options).expect("an object");
        let time = seconds(|| BoundaryComplexity::of(&mask, &options));
        println!(
            "{}",
            json!({"limit": "fourier", "seconds": time, "order": found.order, "true_order": found.true_order, "dice": found.dice})
        );
    }
}
