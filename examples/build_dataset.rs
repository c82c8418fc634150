//! Build a dataset: from a folder of downloads, or from phantom hearts.
//!
//! `cargo run --example build_dataset [DOWNLOADS DATASET]`

use std::error::Error;
use std::path::PathBuf;

use medcosmos::demo::downloads::DOWNLOADS;
use medcosmos::pipeline::{BuildOptions, Progress, build};
use medcosmos::slices::Options;
use medcosmos::spec::Registry;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [raw, data] = match arguments.as_slice() {
        [] => ["raw", "data"].map(|name| folder.path().join(name)),
        [raw, data] => [raw.clone(), data.clone()],
        _ => return Err("expected no argument, or a folder of downloads and a folder for the dataset".into()),
    };
    if arguments.is_empty() {
        let hearts = DOWNLOADS.iter().find(|download| download.slug == "acdc").ok_or("there are no hearts")?;
        hearts.write(&raw, &folder.path().join("unfinished"))?;
    }

    let options = BuildOptions { slices: Options { min_area: 50, ..Options::default() }, ..BuildOptions::default() };
    let report = build(&raw, &data, &Registry::built_in()?, &options, &Progress::new(true))?;
    for (slug, source) in &report.sources {
        println!("{slug}: {} cases, {} slices, {} masks", source.cases, source.slices, source.masks);
        println!("  below 50 pixels, left out: {} masks", source.dropped_masks);
        for (case, reason) in &source.failed {
            println!("  failed: {case}: {reason}");
        }
    }
    Ok(())
}
