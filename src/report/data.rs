//! The content of the dataset: images of each source, masks of each object and modality, sizes of the images.

use polars::prelude::DataFrame;

use super::page::{Figure, Section};
use super::plots::{Axis, bars, histogram};
use super::tables::{HtmlTable, Kind, labels, numbers};
use super::{ReportError, count_of, if_present};
use crate::analysis::query;
use crate::store::Dataset;

/// Objects of which a bar is drawn; the table has all.
const MOST_BARS: usize = 30;
/// Bars that a histogram of sizes has at most.
const MOST_BINS: f64 = 16.0;

const SOURCES: &str = "SELECT source, COUNT(*) AS slices, COUNT(DISTINCT case_id) AS cases, \
    COUNT(DISTINCT patient_id) AS patients FROM slices GROUP BY source ORDER BY source";
const OBJECTS: &str = "SELECT object, modality, COUNT(*) AS masks, COUNT(DISTINCT slice_id) AS slices, \
    COUNT(DISTINCT source) AS sources, MEDIAN(area_px) AS median_area_px, SUM(CAST(excluded AS BIGINT)) AS excluded \
    FROM masks GROUP BY object, modality ORDER BY masks DESC, object, modality";
const SIZES: &str = "SELECT height, width, COUNT(*) AS slices FROM slices GROUP BY height, width \
    ORDER BY height, width";

/// The section of the data.
pub(super) fn section(dataset: &Dataset) -> Result<Section, ReportError> {
    let mut section = Section::new("data", "Images and masks");
    let run = |sql: &str| if_present(query(dataset.path(), sql));
    let (Some(sources), Some(objects), Some(sizes)) = (run(SOURCES)?, run(OBJECTS)?, run(SIZES)?) else {
        section.missing("The dataset has no masks yet.", "medcosmos build DOWNLOADS --out DATASET");
        return Ok(section);
    };
    let (slices, masks) = (total(&sources, "slices"), total(&objects, "masks"));
    section.text(&format!(
        "{} with {}, of {} in {}.",
        count_of(slices, "image", "images"),
        count_of(masks, "mask", "masks"),
        count_of(objects.height() as u64, "object–modality pair", "object–modality pairs"),
        count_of(sources.height() as u64, "source", "sources")
    ));
    section.figures(vec![images(&sources, slices)?, resolutions(&sizes, slices)?, pairs(&objects, masks)?.wide()]);
    section.table(
        "Images per source",
        &HtmlTable::of_frame(
            &sources,
            &[
                ("source", "Source", Kind::Words),
                ("slices", "Images", Kind::Count),
                ("cases", "Cases", Kind::Count),
                ("patients", "Patients", Kind::Count),
            ],
        ),
    );
    section.table(
        "Masks per object and modality, most frequent first",
        &HtmlTable::of_frame(
            &objects,
            &[
                ("object", "Object", Kind::Words),
                ("modality", "Modality", Kind::Words),
                ("masks", "Masks", Kind::Count),
                ("slices", "Images", Kind::Count),
                ("sources", "Sources", Kind::Count),
                ("median_area_px", "Median area (px)", Kind::Count),
                ("excluded", "Excluded", Kind::Count),
            ],
        ),
    );
    Ok(section)
}

fn total(frame: &DataFrame, column: &str) -> u64 {
    numbers(frame, column).into_iter().flatten().sum::<f64>() as u64
}

fn images(sources: &DataFrame, slices: u64) -> Result<Figure, ReportError> {
    let names = labels(sources, "source").into_iter().map(Option::unwrap_or_default);
    let rows: Vec<(String, f64)> =
        names.zip(numbers(sources, "slices").into_iter().map(Option::unwrap_or_default)).collect();
    let svg = bars("Bar chart: images per source", &Axis::new("images"), &rows);
    Figure::new(svg, &format!("Images per source: {} in total.", count_of(slices, "image", "images")))
        .with_csv("images_by_source", sources)
}

fn pairs(objects: &DataFrame, masks: u64) -> Result<Figure, ReportError> {
    let both = labels(objects, "object").into_iter().zip(labels(objects, "modality"));
    let names =
        both.map(|(object, modality)| format!("{}, {}", object.unwrap_or_default(), modality.unwrap_or_default()));
    let rows: Vec<(String, f64)> =
        names.zip(numbers(objects, "masks").into_iter().map(Option::unwrap_or_default)).take(MOST_BARS).collect();
    let svg = bars("Bar chart: masks per object and modality", &Axis::new("masks"), &rows);
    let which = match objects.height() > MOST_BARS {
        true => format!(", the {MOST_BARS} most frequent of {}", objects.height()),
        false => String::new(),
    };
    let caption = format!("Masks per object and modality{which}: {} in total.", count_of(masks, "mask", "masks"));
    Figure::new(svg, &caption).with_csv("masks_by_object_and_modality", objects)
}

fn resolutions(sizes: &DataFrame, slices: u64) -> Result<Figure, ReportError> {
    let column = |name| numbers(sizes, name).into_iter().map(Option::unwrap_or_default);
    let sides: Vec<(f64, f64)> =
        column("height").zip(column("width")).map(|(h, w)| h.max(w)).zip(column("slices")).collect();
    let (edges, counts) = bins(&sides);
    let x = Axis::new("longer side (pixels)");
    let svg = histogram("Histogram: longer side of the images", &x, &Axis::new("images"), &edges, &counts);
    let caption = format!(
        "Resolution: longer side of {}, in bins of {} pixels.",
        count_of(slices, "image", "images"),
        edges.get(1).map_or(0.0, |second| second - edges[0])
    );
    Figure::new(svg, &caption).with_csv("resolutions", sizes)
}

/// Edges of round numbers, and how many images are in each bin.
fn bins(sides: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
    let largest = sides.iter().fold(1.0f64, |largest, (side, _)| largest.max(*side));
    let mut step = 16.0;
    while largest / step >= MOST_BINS {
        step *= 2.0;
    }
    let bins = (largest / step).floor() as usize + 1;
    let mut counts = vec![0.0; bins];
    sides.iter().for_each(|(side, images)| counts[(side / step).floor() as usize] += images);
    ((0..=bins).map(|edge| edge as f64 * step).collect(), counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_every_image() {
        let (edges, counts) = bins(&[(32.0, 2.0), (512.0, 3.0), (511.0, 1.0)]);
        assert_eq!((edges[1], *edges.last().unwrap()), (64.0, 576.0));
        assert_eq!((counts[0], counts[7], counts[8]), (2.0, 1.0, 3.0));
        assert_eq!(bins(&[]).1, [0.0]);
    }
}
