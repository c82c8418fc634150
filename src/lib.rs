//! medcosmos builds 2D slices and masks in Parquet from the raw downloads of public medical segmentation datasets, runs
//! SAM on them with the prompt strategies of "Segment Anything Model for Medical Images?" (Huang et al., Medical Image
//! Analysis 92:103061, 2024), and measures which factors correlate with Dice.
//!
//! Data flows one way through the modules, in this order: [`formats`] → [`raw`] → [`spec`] → [`sources`] → [`slices`] →
//! [`metrics`] → [`factors`] → [`store`] → [`prompts`] → [`models`] → [`leaks`] → [`splits`] → [`analysis`] →
//! [`report`] → [`licences`] → [`export`] → [`pipeline`] → [`integrity`] → [`cli`]. A module imports only from those
//! before it and from the shared vocabulary: [`choice`], [`coco`], [`digest`], [`image`], [`mask`], [`measure`],
//! [`mod@named`], [`random`] and [`text`].
//!
//! ```
//! use medcosmos::demo::downloads::DOWNLOADS;
//! use medcosmos::models::OtsuBox;
//! use medcosmos::pipeline::{
//!     BuildOptions, EvaluateOptions, Existing, OpenWork, PredictOptions, Progress, build, evaluate, predict,
//! };
//! use medcosmos::spec::Registry;
//! use medcosmos::store::{Dataset, MetricRow};
//!
//! let folder = tempfile::tempdir()?;
//! let [raw, unfinished, data] = ["raw", "unfinished", "data"].map(|name| folder.path().join(name));
//! for download in DOWNLOADS.iter().filter(|download| download.slug == "sstem") {
//!     download.write(&raw, &unfinished)?; // phantoms, in the layout of the real download
//! }
//!
//! let progress = Progress::new(true);
//! build(&raw, &data, &Registry::built_in()?, &BuildOptions::default(), &progress)?;
//! let dataset = Dataset::open(&data)?;
//! predict(&dataset, &OtsuBox, &PredictOptions::default(), &progress)?;
//! evaluate(&dataset, &EvaluateOptions::default(), Existing::Keep, &OpenWork::Run, &progress)?;
//! for row in dataset.rows::<MetricRow>()?.take(3) {
//!     let row = row?;
//!     let dice = row.values.get("dice").ok_or("Dice is always defined")?;
//!     assert!((0.0..=1.0).contains(&dice));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
// `with_samples!` casts a value of every numeric type to f64, and so f64 too.
#![allow(clippy::unnecessary_cast)]

/// Replaces the standard macro, which panics where standard error is closed (`medcosmos … 2>&1 | head`, a terminal that is
/// gone): hours of work do not end because nobody reads their progress. The lint `clippy::print_stderr` finds others.
macro_rules! eprintln {
    ($($argument:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), $($argument)*);
    }};
}

mod bucket;
mod cache;
pub mod choice;
mod coco;
pub mod digest;
mod fault;
pub mod image;
mod interrupt;
pub mod mask;
pub mod measure;
pub mod memory;
pub mod named;
mod random;
mod text;
mod whole_file;

pub mod formats;

pub mod raw;

pub mod spec;

pub mod sources;

pub mod slices;

pub mod metrics;

pub mod factors;

pub mod store;

pub mod prompts;

pub mod models;

pub mod leaks;

mod splits;

#[cfg(feature = "query")]
pub mod analysis;

#[cfg(feature = "query")]
pub mod report;

pub mod licences;

pub mod export;

pub mod pipeline;

pub mod integrity;

pub mod demo;

pub mod cli;

#[cfg(test)]
mod pages;

#[cfg(test)]
mod skip;
