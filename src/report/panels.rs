//! Images of the best, the median and the worst mask of each model and strategy, with ground truth and prediction
//! outlined.

use std::collections::{BTreeMap, BTreeSet};

use super::escape::escape;
use super::examples::{ExampleCase, Pick};
use super::outline::outline;
use super::page::{Figure, Section, data_url};
use super::plots::COLOURS;
use super::{ReportError, count_of};
use crate::analysis::join::Condition;
use crate::formats;
use crate::image::Samples;
use crate::mask::Mask;
use crate::metrics::metric_label;
use crate::projection;
use crate::prompts::strategy_label;
use crate::slices::png;
use crate::store::{Dataset, Rle, Rows, SliceImage, Table};
use crate::text::fixed;

/// Colours and dashes of the two outlines: they differ in both, so that either is enough.
const TRUTH: (&str, &str) = (COLOURS[5], "none");
const PREDICTION: (&str, &str) = (COLOURS[4], "5 3");
/// Shortest side of a picture, in pixels of the slice.
const SHORTEST: u32 = 48;
/// A picture of more pixels a side is averaged down.
const LONGEST: usize = 384;

projection! {
    /// A true mask and where it lies.
    struct Truth of Masks { mask_id: String, slice_id: String, target: String, mask: Rle }
}

projection! {
    /// A candidate mask.
    struct Candidate of Predictions {
        mask_id: String, model: String, strategy: String, variant: String, candidate: u32, mask: Rle
    }
}

/// What the pictures are made of.
struct Material {
    truths: BTreeMap<String, Truth>,
    /// By mask, model and strategy.
    predictions: BTreeMap<(String, String, String), Rle>,
    /// PNG of each slice.
    images: BTreeMap<String, Vec<u8>>,
}

/// The section of the cases.
pub(super) fn section(dataset: &Dataset, metric: &str, examples: &[ExampleCase]) -> Result<Section, ReportError> {
    let mut section = Section::new("cases", "Best, median and worst cases");
    section.text(&format!(
        "By {}, among all masks of a model and strategy. The ground truth has a solid, light blue outline, the \
         prediction a dashed, orange outline. Each image is cropped around both.",
        metric_label(metric)
    ));
    let material = gather(dataset, examples)?;
    let mut figures = Vec::new();
    for example in examples.iter().filter(|example| !example.picks.is_empty()) {
        figures.push(figure(example, metric, &material)?);
    }
    section.figures(figures);
    Ok(section)
}

fn figure(example: &ExampleCase, metric: &str, material: &Material) -> Result<Figure, ReportError> {
    let mut html = String::from("<div class=\"strip cases\">\n");
    for pick in &example.picks {
        html += &case(&example.condition, pick, metric, material)?;
    }
    html += "</div>";
    let caption = format!(
        "{}, {}: {} of {}.",
        example.condition.model,
        strategy_label(&example.condition.strategy),
        example.picks.iter().map(|pick| pick.rank).collect::<Vec<_>>().join(", "),
        count_of(example.masks as u64, "mask", "masks")
    );
    Ok(Figure::new(html, &caption))
}

/// One image with its caption.
fn case(condition: &Condition, pick: &Pick, metric: &str, material: &Material) -> Result<String, ReportError> {
    let gone = |what: &str| ReportError::Damaged { id: pick.mask_id.clone(), reason: format!("has no {what}") };
    let truth = material.truths.get(&pick.mask_id).ok_or_else(|| gone("row among the masks"))?;
    let key = (pick.mask_id.clone(), condition.model.clone(), condition.strategy.clone());
    let predicted = match material.predictions.get(&key) {
        Some(rle) => rle.decode(&pick.mask_id)?,
        None => return Err(gone("row among the predictions")),
    };
    let image = material.images.get(&truth.slice_id).ok_or_else(|| gone("image"))?;
    let alt = format!("{}: outlines of ground truth and prediction of {}", pick.rank, truth.target);
    let true_mask = truth.mask.decode(&pick.mask_id)?;
    let empty = if predicted.is_empty() { ", empty prediction" } else { "" };
    Ok(format!(
        "<div>{}<strong>{}</strong>, {} {}{empty}<br>{}</div>\n",
        picture(&alt, image, &true_mask, &predicted).map_err(|reason| gone_wrong(&truth.slice_id, reason))?,
        pick.rank,
        escape(metric_label(metric)),
        fixed(pick.value, 3),
        escape(&pick.mask_id)
    ))
}

fn gone_wrong(id: &str, reason: String) -> ReportError {
    ReportError::Damaged { id: id.to_string(), reason }
}

/// Reads the masks, predictions and images of all cases that are shown.
fn gather(dataset: &Dataset, examples: &[ExampleCase]) -> Result<Material, ReportError> {
    let ids: BTreeSet<String> =
        examples.iter().flat_map(|example| &example.picks).map(|pick| pick.mask_id.clone()).collect();
    let chosen: BTreeSet<(&str, &str, &str, u32)> = examples
        .iter()
        .flat_map(|example| example.picks.iter().map(move |pick| (example, pick)))
        .map(|(example, pick)| {
            let condition = &example.condition;
            (pick.mask_id.as_str(), condition.model.as_str(), condition.strategy.as_str(), pick.candidate)
        })
        .collect();
    let mut truths = BTreeMap::new();
    for truth in Rows::<Truth>::of(dataset.files(Table::Masks)?).only(ids.iter().cloned()) {
        let truth = truth?;
        truths.insert(truth.mask_id.clone(), truth);
    }
    let mut predictions = BTreeMap::new();
    for row in Rows::<Candidate>::of(dataset.files(Table::Predictions)?).only(ids.iter().cloned()) {
        let Candidate { mask_id, model, strategy, variant, candidate, mask } = row?;
        if variant.is_empty() && chosen.contains(&(mask_id.as_str(), model.as_str(), strategy.as_str(), candidate)) {
            predictions.insert((mask_id, model, strategy), mask);
        }
    }
    let slices: BTreeSet<String> = truths.values().map(|truth| truth.slice_id.clone()).collect();
    let mut images = BTreeMap::new();
    for row in Rows::<SliceImage>::of(dataset.files(Table::Slices)?).only(slices) {
        let row = row?;
        images.insert(row.slice_id, row.image.bytes.0);
    }
    Ok(Material { truths, predictions, images })
}

/// A part of a slice, in pixels: first column, first row, width, height.
type Window = [u32; 4];

/// The part of a slice around both masks.
fn window(truth: &Mask, predicted: &Mask) -> Window {
    let (width, height) = (truth.width(), truth.height());
    let boxes = [truth.bounding_box(), predicted.bounding_box()];
    let around =
        boxes.into_iter().flatten().reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    let [x0, y0, x1, y1] = around.unwrap_or([0, 0, width.saturating_sub(1), height.saturating_sub(1)]);
    let side = (x1 - x0).max(y1 - y0) + 1;
    let side = (side + side / 3).max(SHORTEST);
    let place = |first: u32, last: u32, length: u32| {
        let side = side.min(length);
        let centred = ((first + last) / 2).saturating_sub(side / 2);
        (centred.min(length - side), side)
    };
    let ((x, w), (y, h)) = (place(x0, x1, width), place(y0, y1, height));
    [x, y, w, h]
}

/// The part of the image around the masks, with both outlines, as SVG.
fn picture(alt: &str, png: &[u8], truth: &Mask, predicted: &Mask) -> Result<String, String> {
    let [x, y, w, h] = window(truth, predicted);
    let cut = cut_out(png, [x, y, w, h])?;
    let line = |mask: &Mask, (colour, dash): (&str, &str)| {
        format!(
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" \
             vector-effect=\"non-scaling-stroke\"/>",
            outline(mask)
        )
    };
    Ok(format!(
        "<svg viewBox=\"{x} {y} {w} {h}\" role=\"img\" aria-label=\"{}\"><image x=\"{x}\" y=\"{y}\" width=\"{w}\" \
         height=\"{h}\" preserveAspectRatio=\"none\" href=\"{}\"/>{}{}</svg>",
        escape(alt),
        data_url("image/png", &cut),
        line(truth, TRUTH),
        line(predicted, PREDICTION)
    ))
}

/// A part of a PNG as a PNG, averaged down where it is large.
fn cut_out(png: &[u8], [x, y, w, h]: Window) -> Result<Vec<u8>, String> {
    let image = formats::png::read(png).map_err(|e| e.to_string())?;
    let (columns, rows, channels) = (image.size[0], image.size[1], image.components);
    let Samples::U8(pixels) = image.samples else { return Err("the image does not have 8 bits per channel".into()) };
    let [x, y, w, h] = [x, y, w, h].map(|v| v as usize);
    if x + w > columns || y + h > rows || !(channels == 1 || channels == 3) {
        return Err(format!(
            "the image has {columns} x {rows} pixels and {channels} channels, which differs from its row"
        ));
    }
    let step = w.max(h).div_ceil(LONGEST).max(1);
    let (out_w, out_h) = (w.div_ceil(step), h.div_ceil(step));
    let mut cut = Vec::with_capacity(out_w * out_h * channels);
    for (top, left) in (0..out_h).flat_map(|row| (0..out_w).map(move |column| (row * step, column * step))) {
        for channel in 0..channels {
            let (bottom, right) = ((top + step).min(h), (left + step).min(w));
            let cell = (top..bottom).flat_map(|row| (left..right).map(move |column| (row, column)));
            let value = |(row, column): (usize, usize)| {
                u64::from(pixels[((y + row) * columns + x + column) * channels + channel])
            };
            let (sum, n) = cell.map(value).fold((0, 0), |(sum, n), v| (sum + v, n + 1));
            cut.push((sum / n) as u8);
        }
    }
    Ok(png::encode(&cut, out_w as u32, out_h as u32, channels as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_cut_out_around_both_masks() {
        let truth = Mask::from_predicate(200, 300, |i| (i % 300) == 250 && (i / 300) < 10);
        let predicted = Mask::from_predicate(200, 300, |i| (i % 300) == 270 && (i / 300) == 60);
        let [x, y, w, h] = window(&truth, &predicted);
        assert!(x <= 250 && x + w > 270 && y == 0 && h > 60 && w == h);
        assert_eq!(window(&Mask::empty(20, 30), &Mask::empty(20, 30)), [0, 0, 30, 20]);
    }

    #[test]
    fn large_pictures_are_averaged_down() {
        let pixels: Vec<u8> = (0..800 * 2).map(|i| if i % 2 == 0 { 10 } else { 20 }).collect();
        let png = png::encode(&pixels, 800, 2, 1);
        let cut = formats::png::read(&cut_out(&png, [0, 0, 800, 2]).unwrap()).unwrap();
        assert_eq!(cut.size[..2], [267, 1]);
        let part = formats::png::read(&cut_out(&png, [1, 1, 2, 1]).unwrap()).unwrap();
        assert_eq!(part.samples, Samples::U8(vec![20, 10]));
        assert!(cut_out(&png, [799, 0, 2, 1]).is_err());
    }

    #[test]
    fn the_two_outlines_differ_in_colour_and_dashes() {
        let mask = Mask::from_predicate(60, 60, |i| i % 60 < 9);
        let svg = picture("a \"b\"", &png::encode(&[7; 3600], 60, 60, 1), &mask, &mask).unwrap();
        assert!(TRUTH.0 != PREDICTION.0 && TRUTH.1 != PREDICTION.1);
        for (colour, dash) in [TRUTH, PREDICTION] {
            assert!(svg.contains(&format!("stroke=\"{colour}\"")) && svg.contains(&format!("dasharray=\"{dash}\"")));
        }
        assert!(svg.contains("aria-label=\"a &quot;b&quot;\""));
    }
}
