//! `medcosmos setup`: fetch ONNX Runtime and the default SAM.

use std::process::ExitCode;

use super::{Global, Outcome};
use crate::sam::cache_dir;
use crate::sam::setup::{SetupOptions, setup};

/// Options of `setup`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_: &Arguments, global: &Global) -> Outcome {
    let mut say = |event: crate::sam::setup::SetupEvent| {
        if !global.quiet {
            eprintln!("{event}");
        }
    };
    let installed = setup(&SetupOptions::new(cache_dir()?), &mut say)?;
    println!("ONNX Runtime: {}", installed.library.display());
    println!("MobileSAM:    {}", installed.model.display());
    Ok(ExitCode::SUCCESS)
}
