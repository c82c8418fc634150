//! Compute metrics of two masks: of two files of any format (0 is background), or of two discs.
//!
//! `cargo run --example compare_masks [PREDICTION GROUND_TRUTH]`

use std::error::Error;
use std::fs;

use medcosmos::formats;
use medcosmos::mask::Mask;
use medcosmos::metrics::{Comparison, MetricOptions, Spacing};

/// The pixels of a 2D file that are not 0.
fn read(path: &str) -> Result<Mask, Box<dyn Error>> {
    let image = formats::read(path, &fs::read(path)?, &|_| Ok(None))?;
    let [width, height, 1, 1] = image.size else { return Err(format!("{path}: not a 2D image").into()) };
    Ok(Mask::from_predicate(height as u32, width as u32, |i| image.samples.get(i * image.components) != 0.0))
}

/// A disc of radius 20 in 64 x 64 pixels.
fn disc(centre_x: f64) -> Mask {
    Mask::from_predicate(64, 64, |i| ((i % 64) as f64 - centre_x).hypot((i / 64) as f64 - 32.0) <= 20.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (prediction, truth) = match paths.as_slice() {
        [] => (disc(35.0), disc(30.0)),
        [prediction, truth] => (read(prediction)?, read(truth)?),
        _ => return Err("expected no argument, or the files of a prediction and of its ground truth".into()),
    };
    let spacing = Spacing::new(0.8, 0.8); // millimetres from row to row and from column to column
    let comparison = Comparison::new(&prediction, &truth, spacing, MetricOptions::default())?;
    for (metric, value) in comparison.values().iter() {
        let value = value.number().map_or("undefined".to_string(), |number| format!("{number:.4}"));
        println!("{:24}{value}", metric.name);
    }
    Ok(())
}
