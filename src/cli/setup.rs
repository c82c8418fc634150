//! `medcosmos setup`: install ONNX Runtime and the default SAM model.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{Global, Outcome};
use crate::models::sam::cache_dir;
use crate::models::sam::setup::{SetupOptions, setup};

/// Options of `setup`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder with packages downloaded on another machine, for offline use [default: download them]
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Outcome {
    let mut say = |event: crate::models::sam::setup::SetupEvent| {
        if !global.quiet {
            eprintln!("{event}");
        }
    };
    let options = SetupOptions { packages: arguments.packages.clone(), ..SetupOptions::new(cache_dir()?) };
    let installed = setup(&options, &mut say)?;
    println!("ONNX Runtime: {}", installed.library.display());
    println!("MobileSAM:    {}", installed.model.display());
    Ok(ExitCode::SUCCESS)
}
