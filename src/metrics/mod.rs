//! How well a predicted mask matches the ground truth: overlap and surface distances, in pixels and in millimetres.
//!
//! [`METRICS`] is the table of all metrics: name, unit, range, definition, function. A metric's function takes a
//! [`Comparison`], which computes shared quantities once, on first use. A new metric is one entry in `table.rs`, with a
//! test. `docs/metrics.md` contains the definitions and the tools that agree with them; values agree with MedPy's `dc`,
//! `jc`, `hd`, `hd95`, `asd`, `assd` and `ravd`.
//!
//! # Empty masks
//! Tools disagree about distances of empty masks: MedPy raises an error, MONAI returns NaN or infinity, and the code
//! released with the paper records 0, the best possible value, so failures improve the mean. Here
//! - scores between 0 and 1 ([`dice`](Overlap::dice), IoU, NSD, boundary IoU) are 0 where one mask is empty, and 1
//!   where both are ([`EmptyRule::SCORE`]);
//! - distances are null where either mask is empty ([`EmptyRule::UNDEFINED`]), and [`Comparison::empty`] states which,
//!   so failures are counted and not averaged away;
//! - only `hd_cosmos` keeps the released code's 0 ([`EmptyRule::ZERO`]).

mod boundary;
mod overlap;
mod surface;
mod table;

pub use boundary::{boundary_overlap, boundary_width};
pub use overlap::{Empty, Overlap};
pub use surface::{Spacing, SurfaceDistances, Surfaces};
#[cfg(feature = "query")]
pub(crate) use table::metric_label;
pub use table::{Better, EmptyRule, METRICS, Metric, MetricValues, Metrics, metric};

use std::cell::OnceCell;

use crate::mask::Mask;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What decides a metric's value besides the masks; stored with results.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricOptions {
    /// Tolerance of `nsd`, in pixels. Ours: as many pixels as MedSAM and FLARE take millimetres.
    pub nsd_tolerance_px: f64,
    /// Tolerance of `nsd_mm`, in millimetres: 2, as in MedSAM's evaluation.
    pub nsd_tolerance_mm: f64,
    /// Width of the band of `boundary_iou` as a share of the image's diagonal: 0.02, as its authors have it.
    pub boundary_ratio: f64,
}

impl Default for MetricOptions {
    fn default() -> Self {
        MetricOptions { nsd_tolerance_px: 2.0, nsd_tolerance_mm: 2.0, boundary_ratio: 0.02 }
    }
}

/// The masks are not of one image.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the prediction has {} x {} pixels, but the truth has {} x {}", prediction.0, prediction.1, truth.0, truth.1)]
pub struct SizeMismatch {
    /// Height and width of the prediction.
    pub prediction: (u32, u32),
    /// Height and width of the ground truth.
    pub truth: (u32, u32),
}

/// A prediction and the ground truth: everything that metrics are computed from. What several metrics need is computed
/// once, when the first of them asks for it.
///
/// ```
/// use medcosmos::mask::Mask;
/// use medcosmos::metrics::{Comparison, MetricOptions, Spacing};
///
/// let square = |x0: usize| Mask::from_predicate(8, 8, |i| (x0..x0 + 4).contains(&(i % 8)) && (2..6).contains(&(i / 8)));
/// let (prediction, truth) = (square(3), square(2)); // one column too far to the right
/// let spacing = Spacing::new(0.5, 0.5); // millimetres
/// let comparison = Comparison::new(&prediction, &truth, spacing, MetricOptions::default())?;
/// assert_eq!(comparison.overlap().dice(), 0.75);
///
/// let values = comparison.values(); // every metric of the table
/// assert_eq!(values.get("hd"), Some(1.0));
/// assert_eq!(values.get("hd_mm"), Some(0.5));
/// # Ok::<(), medcosmos::metrics::SizeMismatch>(())
/// ```
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    prediction: &'a Mask,
    truth: &'a Mask,
    spacing: Option<Spacing>,
    options: MetricOptions,
    overlap: OnceCell<Overlap>,
    boundary: OnceCell<Overlap>,
    surfaces: OnceCell<Option<Surfaces>>,
    pixels: OnceCell<Option<SurfaceDistances>>,
    millimetres: OnceCell<Option<SurfaceDistances>>,
}

impl<'a> Comparison<'a> {
    /// Compares two masks of one image.
    ///
    /// # Errors
    /// The masks differ in size.
    pub fn new(
        prediction: &'a Mask,
        truth: &'a Mask,
        spacing: Option<Spacing>,
        options: MetricOptions,
    ) -> Result<Self, SizeMismatch> {
        let sizes = SizeMismatch {
            prediction: (prediction.height(), prediction.width()),
            truth: (truth.height(), truth.width()),
        };
        if sizes.prediction != sizes.truth {
            return Err(sizes);
        }
        Ok(Comparison {
            prediction,
            truth,
            spacing,
            options,
            overlap: OnceCell::new(),
            boundary: OnceCell::new(),
            surfaces: OnceCell::new(),
            pixels: OnceCell::new(),
            millimetres: OnceCell::new(),
        })
    }

    /// The predicted mask.
    pub fn prediction(&self) -> &'a Mask {
        self.prediction
    }

    /// The ground truth.
    pub fn truth(&self) -> &'a Mask {
        self.truth
    }

    /// Size of a pixel in millimetres, where it is known.
    pub fn spacing(&self) -> Option<Spacing> {
        self.spacing
    }

    /// The options of the metrics.
    pub fn options(&self) -> &MetricOptions {
        &self.options
    }

    /// Pixels shared.
    pub fn overlap(&self) -> &Overlap {
        self.overlap.get_or_init(|| Overlap::of(self.prediction, self.truth))
    }

    /// Pixels shared by the boundary bands.
    pub fn boundary(&self) -> &Overlap {
        let width = self.options.boundary_ratio;
        self.boundary.get_or_init(|| boundary_overlap(self.prediction, self.truth, width))
    }

    /// Both surfaces; `None` where a mask is empty.
    pub fn surfaces(&self) -> Option<&Surfaces> {
        self.surfaces.get_or_init(|| Surfaces::of(self.prediction, self.truth)).as_ref()
    }

    /// Surface distances in pixels; `None` where a mask is empty.
    pub fn pixels(&self) -> Option<&SurfaceDistances> {
        self.pixels.get_or_init(|| Some(self.surfaces()?.distances(Spacing::PIXEL))).as_ref()
    }

    /// Surface distances in millimetres; `None` where a mask is empty or the spacing is unknown.
    pub fn millimetres(&self) -> Option<&SurfaceDistances> {
        let distances = || {
            let spacing = self.spacing?;
            if spacing.row_mm() == spacing.col_mm() {
                return Some(self.pixels()?.scaled(spacing.row_mm()));
            }
            Some(self.surfaces()?.distances(spacing))
        };
        self.millimetres.get_or_init(distances).as_ref()
    }

    /// Which mask is empty, if any.
    pub fn empty(&self) -> Option<Empty> {
        self.overlap().empty()
    }

    /// The value of every metric of [`METRICS`].
    pub fn values(&self) -> MetricValues {
        MetricValues::new(METRICS.iter().map(|metric| (metric.value)(self)))
    }

    /// The surface Dice at a tolerance, with the score that empty masks get.
    fn nsd(&self, distances: Option<&SurfaceDistances>, tolerance: f64) -> f64 {
        match (distances, self.empty()) {
            (Some(distances), _) => distances.nsd(tolerance),
            (None, Some(Empty::Both)) => 1.0,
            (None, _) => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Kind;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn rectangle(height: u32, width: u32, rows: [usize; 2], cols: [usize; 2]) -> Mask {
        Mask::from_predicate(height, width, |i| {
            let (x, y) = (i % width as usize, i / width as usize);
            rows[0] <= y && y <= rows[1] && cols[0] <= x && x <= cols[1]
        })
    }

    fn compare(prediction: &Mask, truth: &Mask, spacing: Option<Spacing>) -> HashMap<&'static str, Option<f64>> {
        let comparison = Comparison::new(prediction, truth, spacing, MetricOptions::default()).unwrap();
        comparison.values().iter().map(|(measure, value)| (measure.name, value.number())).collect()
    }

    fn assert_close(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() <= 1e-12 * expected.abs(), "{found} is not {expected}");
    }

    #[test]
    fn check_values_of_the_protocol() {
        let a = rectangle(20, 20, [5, 11], [5, 11]);
        let b = rectangle(20, 20, [6, 13], [4, 9]);
        let values = compare(&a, &b, Spacing::new(0.5, 2.0));
        // MedPy 0.5.2: dc, jc, hd, hd95, asd, assd of (a, b); with voxelspacing (0.5, 2): hd, hd95, assd
        assert_close(values["dice"], 0.6185567010309279);
        assert_close(values["iou"], 0.44776119402985076);
        assert_close(values["hd"], 2.23606797749979);
        assert_eq!(values["hd_cosmos"], values["hd"]);
        assert_close(values["conformity"], (3.0 * 60.0 / 97.0 - 2.0) / (60.0 / 97.0));
        assert_close(values["area_difference"], 1.0 / 48.0);
        assert_close(values["hd95"], 2.0);
        assert_close(values["asd"], 1.3187617308280368);
        assert_close(values["assd"], 1.3187617308280368);
        assert_close(values["hd_mm"], 4.031128874149275);
        assert_close(values["hd95_mm"], 4.0);
        assert_close(values["assd_mm"], 1.4768813016097233);
    }

    #[test]
    fn empty_masks() {
        let empty = Mask::empty(20, 20);
        let full = rectangle(20, 20, [5, 11], [5, 11]);
        let spacing = Spacing::new(1.0, 2.0);
        let distances =
            ["hd", "hd95", "hd95_directed", "asd", "assd", "hd_mm", "hd95_mm", "hd95_directed_mm", "assd_mm"];
        for (prediction, truth, score) in [(&empty, &full, 0.0), (&full, &empty, 0.0), (&empty, &empty, 1.0)] {
            let values = compare(prediction, truth, spacing);
            assert!(distances.iter().all(|name| values[name].is_none()));
            assert_eq!(values["hd_cosmos"], Some(0.0));
            for name in ["dice", "iou", "nsd", "nsd_mm", "boundary_iou"] {
                assert_eq!(values[name], Some(score), "{name}");
            }
        }
        let flag = |a, b| Comparison::new(a, b, None, MetricOptions::default()).unwrap().empty();
        assert_eq!(flag(&empty, &full), Some(Empty::Prediction));
        assert_eq!(flag(&full, &empty), Some(Empty::Truth));
        assert_eq!(flag(&empty, &empty), Some(Empty::Both));
        assert_eq!(flag(&full, &full), None);
        assert_eq!(compare(&empty, &full, spacing)["conformity"], None);
        assert_eq!(compare(&empty, &full, spacing)["area_difference"], Some(-1.0));
        assert_eq!(compare(&full, &empty, spacing)["area_difference"], None);
    }

    #[test]
    fn millimetres_need_a_spacing() {
        let mask = rectangle(20, 20, [5, 11], [5, 11]);
        let values = compare(&mask, &mask, None);
        assert!(["hd_mm", "hd95_mm", "assd_mm", "nsd_mm"].iter().all(|name| values[name].is_none()));
    }

    #[test]
    fn masks_of_different_sizes_are_refused() {
        let (wide, tall) = (Mask::empty(2, 3), Mask::empty(3, 2));
        let error = Comparison::new(&wide, &tall, None, MetricOptions::default());
        assert_eq!(error.unwrap_err().to_string(), "the prediction has 2 x 3 pixels, but the truth has 3 x 2");
    }

    #[test]
    fn entries_are_complete() {
        for (i, Metric { measure, .. }) in METRICS.iter().enumerate() {
            assert!(METRICS[..i].iter().all(|other| other.measure.name != measure.name), "{}", measure.name);
            assert!(measure.definition.ends_with('.') && !measure.definition.contains("  "), "{}", measure.name);
            assert!(matches!(measure.kind, Kind::Number | Kind::NumberOrNull), "{}", measure.name);
        }
    }

    #[test]
    fn empty_masks_and_unknown_spacings_give_what_the_table_says() {
        let (empty, full) = (Mask::empty(20, 20), rectangle(20, 20, [5, 11], [5, 11]));
        for Metric { measure, empty: rule, needs_spacing, value, .. } in METRICS {
            let of = |prediction, truth, spacing| {
                let reading = value(&Comparison::new(prediction, truth, spacing, MetricOptions::default()).unwrap());
                assert!(reading.fits(measure.kind), "{}", measure.name);
                reading.number()
            };
            let spacing = Spacing::new(1.0, 2.0);
            assert_eq!(of(&empty, &full, spacing), rule.prediction, "{}", measure.name);
            assert_eq!(of(&full, &empty, spacing), rule.truth, "{}", measure.name);
            assert_eq!(of(&empty, &empty, spacing), rule.both, "{}", measure.name);
            assert_eq!(of(&full, &full, None).is_none(), *needs_spacing, "{}", measure.name);
        }
    }

    /// HD, ASD and the pooled mean by definition: surfaces pixel by pixel, distances pair by pair.
    fn by_definition(a: &Mask, b: &Mask, spacing: Spacing) -> [f64; 3] {
        let surface = |mask: &Mask| {
            let (h, w) = (mask.height() as i64, mask.width() as i64);
            let bitmap = mask.to_bitmap();
            let set = |x: i64, y: i64| (0..w).contains(&x) && (0..h).contains(&y) && bitmap[(y * w + x) as usize] == 1;
            let inner = |x, y| set(x - 1, y) && set(x + 1, y) && set(x, y - 1) && set(x, y + 1);
            let pixels = (0..h).flat_map(|y| (0..w).map(move |x| (x, y)));
            pixels.filter(|&(x, y)| set(x, y) && !inner(x, y)).collect::<Vec<_>>()
        };
        let directed = |from: &[(i64, i64)], to: &[(i64, i64)]| -> Vec<f64> {
            let distance = |a: (i64, i64), b: (i64, i64)| {
                ((a.0 - b.0) as f64 * spacing.col_mm()).hypot((a.1 - b.1) as f64 * spacing.row_mm())
            };
            from.iter().map(|&p| to.iter().map(|&q| distance(p, q)).fold(f64::INFINITY, f64::min)).collect()
        };
        let (a, b) = (surface(a), surface(b));
        let (there, back) = (directed(&a, &b), directed(&b, &a));
        let all: Vec<f64> = there.iter().chain(&back).copied().collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        [all.iter().copied().fold(0.0, f64::max), mean(&there), mean(&all)]
    }

    prop_compose! {
        fn pair_of_masks()(h in 2u32..18, w in 2u32..18, seed in prop::collection::vec(0u8..8, 289), bits in 1u8..8)
            -> (Mask, Mask) {
            let mask = |bit: u8| Mask::from_predicate(h, w, |i| seed[i] & bit != 0 || seed[i] == bits);
            (mask(1), mask(2))
        }
    }

    proptest! {
        #[test]
        fn distances_follow_their_definitions((a, b) in pair_of_masks(), row in 1u32..9, col in 1u32..9) {
            prop_assume!(!a.is_empty() && !b.is_empty());
            let spacing = Spacing::new(row as f64 / 2.0, col as f64 / 3.0).unwrap();
            let distances = SurfaceDistances::between(&a, &b, spacing).unwrap();
            let found = [distances.hd(), distances.asd(), distances.assd()];
            for (found, expected) in found.into_iter().zip(by_definition(&a, &b, spacing)) {
                prop_assert!((found - expected).abs() <= 1e-12 * expected, "{} is not {}", found, expected);
            }
        }

        #[test]
        fn symmetric_metrics_are_symmetric((a, b) in pair_of_masks()) {
            let (there, back) = (compare(&a, &b, Spacing::new(0.5, 2.0)), compare(&b, &a, Spacing::new(0.5, 2.0)));
            for name in there.keys().filter(|name| !["asd", "area_difference"].contains(name)) {
                match (there[name], back[name]) {
                    (Some(x), Some(y)) => prop_assert!((x - y).abs() <= 1e-12 * x.abs(), "{}: {} and {}", name, x, y),
                    (x, y) => prop_assert_eq!(x, y),
                }
            }
        }

        #[test]
        fn a_mask_matches_itself((a, _) in pair_of_masks()) {
            let values = compare(&a, &a, Spacing::new(0.5, 2.0));
            for Metric { measure, better, .. } in METRICS {
                if !a.is_empty() {
                    let best = if *better == Better::Higher { measure.range.high } else { Some(0.0) };
                    prop_assert_eq!(values[measure.name], best, "{}", measure.name);
                }
            }
        }

        #[test]
        fn values_lie_within_their_ranges((a, b) in pair_of_masks()) {
            let comparison = Comparison::new(&a, &b, Spacing::new(0.5, 2.0), MetricOptions::default()).unwrap();
            for (measure, reading) in comparison.values().iter() {
                prop_assert!(reading.number().is_none_or(|v| measure.range.contains(v)), "{}: {:?}", measure.name, reading);
                prop_assert!(reading.fits(measure.kind), "{}: {:?}", measure.name, reading);
            }
        }

        #[test]
        fn distances_are_ordered((a, b) in pair_of_masks()) {
            if let Some(d) = SurfaceDistances::between(&a, &b, Spacing::PIXEL) {
                prop_assert!(d.hd() >= d.hd95_directed() && d.hd() >= d.hd95() && d.hd95() >= 0.0);
                prop_assert!(d.hd() >= d.assd() && d.hd() >= d.asd());
                prop_assert_eq!(d.nsd(d.hd()), 1.0);
            }
        }

        #[test]
        fn position_does_not_matter((a, b) in pair_of_masks(), right in 1usize..9, down in 1usize..9) {
            // Room on all sides, so that no surface is cut by the border; the band of 2 % of the diagonal stays 1 wide.
            let placed = |mask: &Mask, right: usize, down: usize| {
                let (bitmap, w, h) = (mask.to_bitmap(), mask.width() as usize, mask.height() as usize);
                Mask::from_predicate(30, 30, |i| {
                    let (x, y) = ((i % 30).wrapping_sub(right), (i / 30).wrapping_sub(down));
                    x < w && y < h && bitmap[y * w + x] == 1
                })
            };
            let spacing = Spacing::new(0.5, 2.0);
            let here = compare(&placed(&a, 1, 1), &placed(&b, 1, 1), spacing);
            let there = compare(&placed(&a, right, down), &placed(&b, right, down), spacing);
            prop_assert_eq!(here, there);
        }
    }
}
