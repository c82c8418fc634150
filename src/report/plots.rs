//! Plots as inline SVG, drawn by kuva: boxes, bars, lines, points. They are drawn 480 pixels wide, so their text is
//! legible on a phone, at three quarters of that width.

use std::sync::Arc;

use kuva::plot::scatter::MarkerShape;
use kuva::plot::{BarPlot, BoxPlot, Histogram, LinePlot, ScatterPlot};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use super::escape::escape;
use crate::analysis::statistics::describe::Description;

/// Colours of Okabe and Ito, which people with any colour vision tell apart; yellow, which is hard to see on white,
/// comes last.
pub(super) const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#f0e442"];
/// Marks that tell lines apart without colour.
const MARKS: [MarkerShape; 8] = [
    MarkerShape::Circle,
    MarkerShape::Square,
    MarkerShape::Triangle,
    MarkerShape::Diamond,
    MarkerShape::TriangleDown,
    MarkerShape::Cross,
    MarkerShape::Plus,
    MarkerShape::Star,
];
/// Dashes that tell them apart as well.
const DASHES: [&str; 8] = ["", "7 3", "2 3", "7 3 2 3", "12 4", "4 2", "1 2", "12 3 2 3"];

/// Width of a plot.
const WIDTH: f64 = 480.0;
/// Height of a plot with two axes of numbers.
const HEIGHT: f64 = 340.0;
/// Height of a row in a plot with a row for each name.
const ROW: f64 = 22.0;
/// Longest name that is written next to a row.
const LONGEST_NAME: usize = 40;

/// An axis.
#[derive(Clone, Debug, Default)]
pub(super) struct Axis {
    /// What is measured along it.
    pub label: String,
    /// Equal steps are equal ratios.
    pub logarithmic: bool,
    /// Where it begins, where the values do not say it.
    pub from: Option<f64>,
    /// Where it ends.
    pub to: Option<f64>,
    /// Distance of its ticks, where they are not free.
    pub step: Option<f64>,
}

impl Axis {
    /// An axis over the values that there are.
    pub(super) fn new(label: &str) -> Self {
        Axis { label: label.to_string(), ..Axis::default() }
    }

    /// An axis from 0 to 1, for overlaps and shares.
    pub(super) fn share(label: &str) -> Self {
        Axis { to: Some(1.0), ..Axis::positive(label) }
    }

    /// An axis that begins at 0, for distances and counts.
    pub(super) fn positive(label: &str) -> Self {
        Axis { from: Some(0.0), ..Axis::new(label) }
    }

    /// The same axis with equal ratios as equal steps.
    pub(super) fn logarithmic(self) -> Self {
        Axis { logarithmic: true, ..self }
    }
}

/// A line through points, with its name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// Name in the legend.
    pub name: String,
    /// Points from left to right.
    pub points: Vec<(f64, f64)>,
    /// Lower and upper end of an interval at each point; as many as points, or none.
    pub band: Vec<(f64, f64)>,
}

/// Horizontal boxes, one above the other: quartiles and median. Whiskers end at the extreme values, or at 1.5 times the
/// box's length where values lie beyond. Boxes of one `group` have one colour.
pub(super) fn boxes(alt: &str, axis: &Axis, rows: &[(String, usize, Description)]) -> String {
    let (mut plot, mut colours, mut names) = (BoxPlot::new().with_horizontal(true).with_width(0.6), vec![], vec![]);
    // The first row of a horizontal plot is the lowest.
    for (name, group, values) in rows.iter().rev() {
        if let Some(five) = five_numbers(values) {
            names.push(short(name));
            plot = plot.with_group(short(name), five);
            colours.push(COLOURS[group % COLOURS.len()]);
        }
    }
    let plots: Vec<Plot> = vec![plot.with_group_colors(colours).into()];
    let layout = rows_layout(&plots, axis, names);
    draw(alt, plots, layout)
}

/// The two ends of the whiskers, the quartiles and the median, in order: the quartiles of these five are themselves.
fn five_numbers(values: &Description) -> Option<[f64; 5]> {
    let (q1, median, q3) = (values.q1?, values.median?, values.q3?);
    let reach = 1.5 * (q3 - q1);
    Some([values.min?.max(q1 - reach), q1, median, q3, values.max?.min(q3 + reach)])
}

/// Horizontal bars, one below the other.
pub(super) fn bars(alt: &str, axis: &Axis, rows: &[(String, f64)]) -> String {
    let bars = rows.iter().rev().map(|(name, value)| (short(name), *value));
    let names = rows.iter().rev().map(|(name, _)| short(name)).collect();
    let plot = BarPlot::new().with_bars(bars).with_color(COLOURS[0]).with_horizontal(true).with_width(0.7);
    let plots: Vec<Plot> = vec![plot.into()];
    let layout = rows_layout(&plots, axis, names);
    draw(alt, plots, layout)
}

/// A histogram of bins that are counted already.
pub(super) fn histogram(alt: &str, x: &Axis, y: &Axis, edges: &[f64], counts: &[f64]) -> String {
    let plot = Histogram::from_bins(edges.to_vec(), counts.to_vec()).with_color(COLOURS[0]);
    let plots: Vec<Plot> = vec![plot.into()];
    let layout = layout(&plots, x, y);
    draw(alt, plots, layout)
}

/// Lines, distinguished by colour, dashes and marks, with a legend below where there are several. The legend is HTML:
/// in kuva's own place for it, it would lie over the name of the axis.
pub(super) fn lines(alt: &str, x: &Axis, y: &Axis, lines: &[Line]) -> String {
    let mut plots = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        plots.extend(line_plots(place, line));
    }
    let layout = layout(&plots, x, y);
    draw(alt, plots, layout) + &legend(lines)
}

/// What each line is, as a list below the plot, in the page's font size; empty for one line.
fn legend(lines: &[Line]) -> String {
    if lines.len() < 2 {
        return String::new();
    }
    let key = |(place, line): (usize, &Line)| {
        let style = place % COLOURS.len();
        format!(
            "<li><svg viewBox=\"0 0 40 12\" aria-hidden=\"true\"><g fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\">\
             <path d=\"M0 6H40\" stroke-dasharray=\"{}\"/>{}</g></svg>{}</li>\n",
            COLOURS[style],
            if DASHES[style].is_empty() { "none" } else { DASHES[style] },
            mark(MARKS[style], COLOURS[style]),
            escape(&line.name)
        )
    };
    format!("<ul class=\"legend\">\n{}</ul>", lines.iter().enumerate().map(key).collect::<String>())
}

/// The mark of a line in its key.
fn mark(shape: MarkerShape, colour: &str) -> String {
    let (path, filled) = match shape {
        MarkerShape::Square => ("M16 2H24V10H16Z", true),
        MarkerShape::Triangle => ("M20 1L25 10H15Z", true),
        MarkerShape::Diamond => ("M20 1L25 6L20 11L15 6Z", true),
        MarkerShape::TriangleDown => ("M20 11L25 2H15Z", true),
        MarkerShape::Cross => ("M16 2L24 10M24 2L16 10", false),
        MarkerShape::Plus => ("M20 1V11M15 6H25", false),
        MarkerShape::Star => ("M20 1L22 5L26 5L23 8L24 12L20 9L16 12L17 8L14 5L18 5Z", true),
        _ => ("M24 6A4 4 0 1 1 16 6A4 4 0 1 1 24 6Z", true),
    };
    format!("<path d=\"{path}\" fill=\"{}\"/>", if filled { colour } else { "none" })
}

/// A line, its band and its marks.
fn line_plots(place: usize, line: &Line) -> [Plot; 2] {
    let style = place % COLOURS.len();
    let mut drawn = LinePlot::new().with_data(line.points.clone()).with_color(COLOURS[style]).with_stroke_width(1.8);
    if !DASHES[style].is_empty() {
        drawn = drawn.with_line_style(kuva::plot::LineStyle::Custom(DASHES[style].to_string()));
    }
    if !line.band.is_empty() {
        let (low, high): (Vec<f64>, Vec<f64>) = line.band.iter().copied().unzip();
        drawn = drawn.with_band(low, high);
    }
    let marks = ScatterPlot::new()
        .with_data(line.points.clone())
        .with_color(COLOURS[style])
        .with_size(4.0)
        .with_marker(MARKS[style]);
    [drawn.into(), marks.into()]
}

/// Many points, and a line through their means in bins.
pub(super) fn scatter(alt: &str, x: &Axis, y: &Axis, points: &[(f64, f64)], means: &[(f64, f64)]) -> String {
    let cloud = ScatterPlot::new()
        .with_data(points.to_vec())
        .with_color(COLOURS[0])
        .with_size(2.5)
        .with_marker_opacity(0.45)
        .with_marker_stroke_width(0.0);
    let line = LinePlot::new().with_data(means.to_vec()).with_color(COLOURS[1]).with_stroke_width(2.5);
    let plots: Vec<Plot> = vec![cloud.into(), line.into()];
    let layout = layout(&plots, x, y);
    draw(alt, plots, layout)
}

/// The layout of a plot with two axes of numbers.
fn layout(plots: &[Plot], x: &Axis, y: &Axis) -> Layout {
    let mut layout = chrome(plots).with_height(HEIGHT).with_x_label(label(&x.label)).with_y_label(label(&y.label));
    if x.logarithmic {
        let format = TickFormat::Custom(Arc::new(|value: f64| power_label(value)));
        layout = layout.with_log_x().with_x_tick_format(format);
    }
    if let Some(low) = y.from {
        layout = layout.with_y_axis_min(low);
    }
    if let Some(high) = y.to {
        layout = layout.with_y_axis_max(high);
    }
    x_limits(layout, x)
}

/// The layout of a plot with a row for each name.
fn rows_layout(plots: &[Plot], axis: &Axis, names: Vec<String>) -> Layout {
    let height = 70.0 + ROW * names.len() as f64;
    let layout = chrome(plots).with_height(height).with_x_label(label(&axis.label)).with_y_categories(names);
    x_limits(layout, axis)
}

fn x_limits(mut layout: Layout, x: &Axis) -> Layout {
    if let Some(low) = x.from {
        layout = layout.with_x_axis_min(low);
    }
    if let Some(high) = x.to {
        layout = layout.with_x_axis_max(high);
    }
    if let Some(step) = x.step {
        layout = layout.with_x_tick_step(step);
    }
    layout
}

/// A tick of a logarithmic axis: `10`, `1k`, `2M`. Zeros in full run out of the picture.
fn power_label(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{}M", v / 1e6),
        v if v >= 1e3 => format!("{}k", v / 1e3),
        v => v.to_string(),
    }
}

/// What all plots have in common.
fn chrome(plots: &[Plot]) -> Layout {
    Layout::auto_from_plots(plots)
        .with_width(WIDTH)
        .with_label_size(13)
        .with_tick_size(11)
        .with_body_size(11)
        .with_ticks(5)
        .with_tick_format(TickFormat::Auto)
        .with_font_family("inherit")
}

/// A name that fits next to its row.
fn short(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return label(name);
    }
    label(&(name.chars().take(LONGEST_NAME - 1).collect::<String>() + "…"))
}

/// Words for kuva, to which a dollar begins a formula.
fn label(text: &str) -> String {
    text.replace('$', "\\$")
}

/// Draws plots and makes the SVG a part of the page: with its own coordinates instead of a size, with a text in place
/// of the picture, and with ids that no other picture of the page has.
fn draw(alt: &str, plots: Vec<Plot>, layout: Layout) -> String {
    let svg = kuva::render_to_svg(plots, layout);
    let (head, body) = svg.split_once('>').unwrap_or(("<svg", &svg));
    let size = |name: &str| {
        let value = head.split(&format!(" {name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or("0").to_string()
    };
    format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\" font-family=\"inherit\">{}",
        size("width"),
        size("height"),
        escape(alt),
        own_ids(body)
    )
}

/// kuva numbers its clipping areas through the whole life of the program. Here they are named after what they are, so
/// that equal plots have equal bytes: two areas of one name are the same area.
fn own_ids(body: &str) -> String {
    const ID: &str = "id=\"kuva-clip-";
    let Some((_, rest)) = body.split_once(ID) else { return body.to_string() };
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let area = rest.split_once("<rect ").and_then(|(_, rest)| rest.split_once("/>")).map_or("", |(area, _)| area);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = area.replace(['"', ' '], "").chars().map(plain).collect();
    body.replace(&format!("kuva-clip-{number}\""), &format!("clip-{name}\""))
        .replace(&format!("kuva-clip-{number})"), &format!("clip-{name})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::statistics::describe::describe;

    #[test]
    fn a_box_ends_where_the_numbers_say() {
        assert_eq!(five_numbers(&describe([0.0, 1.0, 2.0, 3.0, 4.0])), Some([0.0, 1.0, 2.0, 3.0, 4.0]));
        let outlier = describe([0.0, 10.0, 11.0, 12.0, 13.0]);
        assert_eq!(five_numbers(&outlier), Some([7.0, 10.0, 11.0, 12.0, 13.0]));
        assert_eq!(five_numbers(&describe([])), None);
    }

    #[test]
    fn equal_plots_have_equal_bytes_and_no_address() {
        let of = || {
            let line = Line { name: "S5 <box>".into(), points: vec![(1.0, 0.5), (2.0, 0.75)], band: vec![] };
            lines("Dice & clicks", &Axis::new("<clicks> $x$"), &Axis::share("Dice"), &[line.clone(), line])
        };
        assert_eq!(of(), of());
        assert!(!of().contains("http") && of().contains("aria-label=\"Dice &amp; clicks\""));
        assert!(of().contains("S5 &lt;box&gt;") && of().contains("&lt;clicks&gt; $x$"));
        assert_eq!((power_label(1.0), power_label(2e3), power_label(1e6)), ("1".into(), "2k".into(), "1M".into()));
    }

    #[test]
    fn bars_are_as_long_as_their_numbers() {
        let axis = Axis { to: Some(4.0), ..Axis::positive("slices") };
        let svg = bars("bars", &axis, &[("a".into(), 4.0), ("b".into(), 2.0), ("c".into(), 1.0)]);
        let width = |rect: &str| -> f64 {
            rect.split(" width=\"").nth(1).and_then(|w| w.split('"').next()).unwrap().parse().unwrap()
        };
        let mut widths: Vec<f64> =
            svg.split("<rect").skip(1).filter(|rect| rect.contains(COLOURS[0])).map(width).collect();
        widths.sort_by(f64::total_cmp);
        assert_eq!(widths.len(), 3);
        assert!((widths[2] / widths[0] - 4.0).abs() < 0.01 && (widths[1] / widths[0] - 2.0).abs() < 0.01);
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(boxes("a", &Axis::new("x"), &[]).starts_with("<svg"));
        assert!(lines("a", &Axis::new("x"), &Axis::new("y"), &[]).starts_with("<svg"));
        assert!(bars("a", &Axis::new("x"), &[]).starts_with("<svg"));
    }
}
