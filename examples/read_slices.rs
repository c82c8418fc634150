//! Read slices and masks of a dataset: of one that `medcosmos build` wrote, or of phantom nerve cells.
//!
//! `cargo run --example read_slices [DATASET]`

use std::error::Error;
use std::path::PathBuf;

use medcosmos::demo::downloads::DOWNLOADS;
use medcosmos::formats::png;
use medcosmos::pipeline::{BuildOptions, Progress, build};
use medcosmos::spec::Registry;
use medcosmos::store::{Dataset, MaskRow, SliceImage};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let data = std::env::args_os().nth(1).map_or_else(|| folder.path().join("data"), PathBuf::from);
    if std::env::args_os().len() < 2 {
        let raw = folder.path().join("raw");
        let cells = DOWNLOADS.iter().find(|download| download.slug == "sstem").ok_or("there are no cells")?;
        cells.write(&raw, &folder.path().join("unfinished"))?;
        build(&raw, &data, &Registry::built_in()?, &BuildOptions::default(), &Progress::new(true))?;
    }

    let dataset = Dataset::open(&data)?;
    for mask in dataset.rows::<MaskRow>()?.take(8) {
        let mask = mask?;
        // Only the image of this slice is read. For all slices, read the images in one pass and keep what you need.
        let mut images = dataset.rows::<SliceImage>()?.only([mask.slice_id.clone()]);
        let slice = png::read(&images.next().ok_or("every mask has a slice")??.image.bytes)?;
        let [width, height, ..] = slice.size;
        let inside = mask.mask.decode(&mask.mask_id)?.to_bitmap();
        let greys = (0..inside.len()).filter(|&i| inside[i] == 1).map(|i| slice.samples.get(i * slice.components));
        let mean = greys.sum::<f64>() / f64::from(mask.area_px);
        println!("{}: {width} x {height}, {} px, mean grey {mean:.1}", mask.mask_id, mask.area_px);
    }
    Ok(())
}
