//! Boundary complexity by example: the contour of one mask, decoded from a rising number of ellipses.

use std::fmt::Write;

use polars::prelude::{Column, DataFrame};

use super::escape::escape;
use super::page::{Figure, Section};
use super::plots::{Axis, COLOURS, Line, lines};
use super::{ReportError, decode_mask};
use crate::analysis::{AnalysisError, AnalysisOptions};
use crate::factors::{BoundaryComplexity, FourierOptions, Point, decode, outer_contour};
use crate::mask::Mask;
use crate::projection;
use crate::store::{Dataset, Rle, Rows, Table};
use crate::text::fixed;

/// The mask shown is one of the most complex, but not so complex that nothing is to be seen.
const HIGHEST_ORDER: u32 = 30;
/// Orders that are drawn, besides the one that was found.
const DRAWN: [u32; 6] = [1, 2, 3, 5, 8, 16];

projection! {
    /// What an example is chosen by.
    struct Complexity of Factors {
        mask_id: String, target: String, excluded: bool, size_px: u32, fourier_order: u32, fourier_stop: String
    }
}

projection! {
    /// The pixels of a mask.
    struct Pixels of Masks { mask_id: String, mask: Rle }
}

/// The section of the contour.
pub(super) fn section(dataset: &Dataset, options: &AnalysisOptions) -> Result<Section, ReportError> {
    let mut section = Section::new("contour", "Boundary complexity: a contour decoded at increasing order");
    let Some(example) = example(dataset, options.include_excluded)? else {
        section.missing("The factors have not been computed yet.", "medcosmos evaluate DATASET");
        return Ok(section);
    };
    let mut rows = Rows::<Pixels>::of(dataset.files(Table::Masks)?).only([example.mask_id.clone()]);
    let Some(pixels) = rows.next().transpose()? else { return Ok(section) };
    let mask = decode_mask(&pixels.mask, &pixels.mask_id)?;
    section.text(&format!(
        "Elliptic Fourier descriptors represent a contour as a sum of ellipses; the Fourier order is the number of \
         ellipses at which the decoded contour matches the original. The example is {} ({}), with order {}.",
        example.mask_id, example.target, example.fourier_order
    ));
    if let Some(figures) = figures(&mask, &example)? {
        section.figures(figures);
    }
    Ok(section)
}

/// The largest of the most complex masks whose contour was found, within reason; the first by its id among equals.
fn example(dataset: &Dataset, include_excluded: bool) -> Result<Option<Complexity>, ReportError> {
    let mut best: Option<Complexity> = None;
    for row in dataset.rows::<Complexity>()? {
        let row = row?;
        let fits = row.fourier_stop == "dice" && row.fourier_order <= HIGHEST_ORDER;
        let rank = |c: &Complexity| (c.fourier_order, c.size_px);
        if fits && (include_excluded || !row.excluded) && best.as_ref().is_none_or(|best| rank(&row) > rank(best)) {
            best = Some(row);
        }
    }
    Ok(best)
}

fn figures(mask: &Mask, example: &Complexity) -> Result<Option<Vec<Figure>>, ReportError> {
    let Some(contour) = outer_contour(mask) else { return Ok(None) };
    let dice: Vec<(f64, f64)> =
        (1..=example.fourier_order).filter_map(|order| Some((f64::from(order), dice_at(mask, order)?))).collect();
    let mut html = String::from("<div class=\"strip\">\n");
    let orders = DRAWN.into_iter().filter(|order| *order < example.fourier_order).chain([example.fourier_order]);
    for order in orders {
        let Some(decoded) = decode(&contour, order) else { return Ok(None) };
        let dice = dice.get(order as usize - 1).map_or(f64::NAN, |(_, dice)| *dice);
        let words = format!("order {order}: Dice {}", fixed(dice, 3));
        let _ = writeln!(html, "<div>{}{}</div>", drawing(&words, &contour, &decoded), escape(&words));
    }
    html += "</div>";
    let drawn = Figure::new(
        html,
        "One mask: its contour (grey area, solid line), and the contour decoded at increasing order (dashed, orange).",
    );
    let line = Line { points: dice.clone(), ..Line::default() };
    let (x, y) = (Axis::new("order"), Axis::share("Dice of the decoded contour"));
    let plot = Figure::new(
        lines("Line plot: Dice of the decoded contour by order", &x, &y, &[line]),
        "Dice of the filled decoded contour and the filled original contour by order; one mask.",
    );
    Ok(Some(vec![drawn.wide(), plot.with_csv("contour_dice", &frame(&dice)?)?]))
}

/// Dice of the contour decoded at an order: a search that ends there and nowhere else.
fn dice_at(mask: &Mask, order: u32) -> Option<f64> {
    let options = FourierOptions { dice: 2.0, plateau: 0.0, cap: order, ..FourierOptions::default() };
    BoundaryComplexity::of(mask, &options).map(|found| found.dice)
}

fn frame(dice: &[(f64, f64)]) -> Result<DataFrame, ReportError> {
    let (orders, dice): (Vec<f64>, Vec<f64>) = dice.iter().copied().unzip();
    let orders: Vec<u32> = orders.into_iter().map(|order| order as u32).collect();
    let columns = vec![Column::new("order".into(), orders), Column::new("dice".into(), dice)];
    let format_error = |source| AnalysisError::Format { what: "the Dice of a contour".to_string(), source };
    Ok(DataFrame::new_infer_height(columns).map_err(format_error)?)
}

/// Both contours as SVG.
fn drawing(alt: &str, contour: &[Point], decoded: &[[f64; 2]]) -> String {
    let original: Vec<[f64; 2]> = contour.iter().map(|point| point.map(f64::from)).collect();
    let [x, y, width, height] = view(&original, decoded);
    format!(
        "<svg viewBox=\"{x} {y} {width} {height}\" role=\"img\" aria-label=\"Contour, {}\">\
         <path d=\"{}\" fill=\"#d0d0d0\" stroke=\"#333\" stroke-width=\"1.5\" vector-effect=\"non-scaling-stroke\"/>\
         <path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"6 3\" \
         vector-effect=\"non-scaling-stroke\"/></svg>",
        escape(alt),
        path(&original),
        path(decoded),
        COLOURS[1]
    )
}

/// First column, first row, width and height of a view of both, with a margin. Low orders reach beyond the contour.
fn view(original: &[[f64; 2]], decoded: &[[f64; 2]]) -> [f64; 4] {
    let bounds = |axis: usize| {
        let values = original.iter().chain(decoded).map(|point| point[axis]);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (top, bottom)) = (bounds(0), bounds(1));
    let margin = 2.0 + 0.05 * (right - left).max(bottom - top);
    let round = |v: f64| (v * 10.0).round() / 10.0;
    [left - margin, top - margin, right - left + 2.0 * margin, bottom - top + 2.0 * margin].map(round)
}

fn path(points: &[[f64; 2]]) -> String {
    let mut path = String::new();
    for (place, [x, y]) in points.iter().enumerate() {
        let _ = write!(
            path,
            "{}{} {}",
            if place == 0 { 'M' } else { 'L' },
            (x * 10.0).round() / 10.0,
            (y * 10.0).round() / 10.0
        );
    }
    path + "Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dice_rises_to_that_of_the_order_found() {
        let star = Mask::from_predicate(60, 60, |i| {
            let (x, y) = ((i % 60) as f64 - 30.0, (i / 60) as f64 - 30.0);
            x.hypot(y) < 16.0 + 8.0 * (5.0 * y.atan2(x)).cos()
        });
        let found = BoundaryComplexity::of(&star, &FourierOptions::default()).unwrap();
        assert_eq!(dice_at(&star, found.order), Some(found.dice));
        assert!(dice_at(&star, 1).unwrap() < found.dice);
    }

    #[test]
    fn a_path_is_closed() {
        assert_eq!(path(&[[0.0, 1.04], [2.06, 3.0]]), "M0 1L2.1 3Z");
        assert_eq!(path(&[]), "Z");
    }
}
