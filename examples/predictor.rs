//! Write a predictor: a model that takes the bright pixels of a box for the object, on phantom hearts.
//!
//! `cargo run --example predictor`

use medcosmos::demo::downloads::DOWNLOADS;
use medcosmos::mask::Mask;
use medcosmos::models::{Candidate, Error, PreparedSlice, Result, Segmenter};
use medcosmos::pipeline::{
    BuildOptions, EvaluateOptions, Existing, OpenWork, PredictOptions, Progress, build, evaluate, predict,
};
use medcosmos::prompts::{Prompt, Strategy};
use medcosmos::slices::SlicePixels;
use medcosmos::spec::Registry;
use medcosmos::store::{Dataset, MetricRow};

/// The pixels of the box that are brighter than the middle of the slice's range.
struct Bright;

impl Segmenter for Bright {
    fn name(&self) -> &str {
        "bright"
    }

    fn digest(&self) -> String {
        "1".to_string() // a version: raise it when the rule changes, and predictions are made again
    }

    fn takes(&self, strategy: Strategy) -> bool {
        strategy == Strategy::Box
    }

    fn prepare<'s>(&'s self, slice: SlicePixels<'s>) -> Result<Box<dyn PreparedSlice + 's>> {
        Ok(Box::new(Grey { height: slice.height() as u32, width: slice.width(), luma: slice.luma() }))
    }
}

struct Grey {
    height: u32,
    width: usize,
    luma: Vec<u8>,
}

impl PreparedSlice for Grey {
    fn predict(&mut self, prompts: &[Prompt]) -> Result<Vec<Vec<Candidate>>> {
        let segment = |prompt: &Prompt| {
            let [x0, y0, x1, y1] = prompt.bounds.ok_or("a box is needed")?;
            let mask = Mask::from_predicate(self.height, self.width as u32, |i| {
                let (x, y) = ((i % self.width) as f64, (i / self.width) as f64);
                self.luma[i] > 127 && (x0..=x1).contains(&x) && (y0..=y1).contains(&y)
            });
            Ok(vec![Candidate::unrated(mask)])
        };
        prompts.iter().map(segment).collect()
    }
}

fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let [raw, unfinished, data] = ["raw", "unfinished", "data"].map(|name| folder.path().join(name));
    let hearts = DOWNLOADS.iter().find(|download| download.slug == "acdc").ok_or("there are no hearts")?;
    hearts.write(&raw, &unfinished)?;

    let progress = Progress::new(true);
    build(&raw, &data, &Registry::built_in()?, &BuildOptions::default(), &progress)?;
    let dataset = Dataset::open(&data)?;
    let options = PredictOptions { strategies: vec![Strategy::Box], ..PredictOptions::default() };
    let report = predict(&dataset, &Bright, &options, &progress)?;
    evaluate(&dataset, &EvaluateOptions::default(), Existing::Keep, OpenWork::Run, &progress)?;

    let dice = dataset
        .rows::<MetricRow>()?
        .map(|row| row.map(|row| row.values.get("dice").unwrap_or(0.0)))
        .collect::<Result<Vec<_>, _>>()?;
    let mean = dice.iter().sum::<f64>() / dice.len() as f64;
    println!("{}: {} predictions, mean Dice {mean:.3}", report.model, report.predictions);
    Ok(())
}
