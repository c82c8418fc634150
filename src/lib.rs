//! medcosmos builds 2D slices and masks in Parquet from the raw downloads of public medical segmentation datasets, runs
//! SAM on them with the prompt strategies of "Segment Anything Model for Medical Images?" (Huang et al., Medical Image
//! Analysis 92:103061, 2024), and measures which factors correlate with Dice.
//!
//! Data flows one way through the modules, in this order: [`formats`] → [`raw`] → [`spec`] → [`sources`] → [`slices`] →
//! [`metrics`] → [`factors`] → [`store`] → [`prompts`] → [`models`] → [`leaks`] → [`splits`] → [`analysis`] →
//! [`report`] → [`licences`] → [`export`] → [`pipeline`] → [`integrity`] → [`cli`]. A module imports only from those
//! before it and from the shared vocabulary: [`choice`], [`coco`], [`digest`], [`image`], [`mask`], [`measure`],
//! [`named`], [`random`] and [`text`].
// `with_samples!` casts a value of every numeric type to f64, and so f64 too.
#![allow(clippy::unnecessary_cast)]

pub mod choice;
pub mod coco;
pub mod digest;
mod fault;
pub mod image;
pub mod mask;
pub mod measure;
pub mod named;
mod random;
pub mod text;

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

pub mod splits;

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
