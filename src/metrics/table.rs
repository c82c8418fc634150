//! The table of metrics: a new metric is one entry in [`METRICS`].

use super::{Comparison, SurfaceDistances};
use crate::measure::{Kind, Measure, MeasureTable, Range, Reading, Readings, in_print};

/// One metric.
pub struct Metric {
    /// Name, unit, range and definition.
    pub measure: Measure,
    /// Which values are better.
    pub better: Better,
    /// Its value if a mask is empty.
    pub empty: EmptyRule,
    /// True if it is undefined without a known spacing.
    pub needs_spacing: bool,
    /// True if the summary tables of an analysis include it by default.
    pub in_summary: bool,
    /// Its value.
    pub value: fn(&Comparison) -> Reading,
}

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// The higher, the better.
    Higher,
    /// The lower, the better.
    Lower,
    /// The closer to zero, from either side, the better.
    NearZero,
}

impl Better {
    /// `higher`, `lower` or `near 0`.
    pub fn name(self) -> &'static str {
        match self {
            Better::Higher => "higher",
            Better::Lower => "lower",
            Better::NearZero => "near 0",
        }
    }
}

/// The value of a metric if a mask is empty; `None` is undefined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmptyRule {
    /// If only the prediction is empty: the model found nothing.
    pub prediction: Option<f64>,
    /// If only the ground truth is empty.
    pub truth: Option<f64>,
    /// If both are empty.
    pub both: Option<f64>,
}

impl EmptyRule {
    /// 0, the worst score, if one mask is empty; 1, the best, if both are.
    pub const SCORE: EmptyRule = EmptyRule { prediction: Some(0.0), truth: Some(0.0), both: Some(1.0) };
    /// Undefined if either mask is empty: a distance has no worst value.
    pub const UNDEFINED: EmptyRule = EmptyRule { prediction: None, truth: None, both: None };
    /// 0 if either mask is empty, as in the code released with the paper.
    pub const ZERO: EmptyRule = EmptyRule { prediction: Some(0.0), truth: Some(0.0), both: Some(0.0) };

    /// One of the values as pages print it.
    pub(crate) fn in_print(value: Option<f64>) -> String {
        value.map_or("null".to_string(), in_print)
    }
}

impl Metric {
    /// Its value if a mask is empty or the spacing unknown, as a sentence.
    pub(crate) fn exceptions(&self) -> String {
        let EmptyRule { prediction, truth, both } = self.empty;
        let show = EmptyRule::in_print;
        let mut cases = match (prediction == truth, truth == both) {
            (true, true) => vec![format!("{} where a mask is empty", show(both))],
            (true, false) => {
                vec![format!("{} where one mask is empty", show(truth)), format!("{} where both are", show(both))]
            }
            (false, true) => vec![
                format!("{} where the prediction alone is empty", show(prediction)),
                format!("{} where the ground truth is", show(both)),
            ],
            (false, false) => vec![
                format!("{} where the prediction alone is empty", show(prediction)),
                format!("{} where the ground truth alone is", show(truth)),
                format!("{} where both are", show(both)),
            ],
        };
        if self.needs_spacing {
            match cases.last_mut() {
                Some(last) if last.starts_with("null") => last.push_str(" or the spacing is unknown"),
                _ => cases.push("null where the spacing is unknown".to_string()),
            }
        }
        let sentence = cases.join(", ") + ".";
        sentence.strip_prefix("null").map_or(sentence.clone(), |rest| format!("Null{rest}"))
    }
}

/// The value of every metric.
pub type MetricValues = Readings<Metrics>;

/// [`METRICS`] as a type.
#[derive(Debug)]
pub struct Metrics;

impl MeasureTable for Metrics {
    fn measures() -> impl Iterator<Item = &'static Measure> {
        METRICS.iter().map(|metric| &metric.measure)
    }

    fn meaning(place: usize) -> String {
        format!("{} {}", METRICS[place].measure.definition, METRICS[place].exceptions())
    }
}

/// The metric of that name.
pub fn metric(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.measure.name == name)
}

/// The name of a metric on axes and in headings; other columns keep their names.
#[cfg(feature = "query")]
pub(crate) fn metric_label(name: &str) -> &str {
    metric(name).map_or(name, |metric| metric.measure.label)
}

/// All metrics, in the order of their columns.
pub static METRICS: &[Metric] = &[
    Metric {
        measure: Measure {
            name: "dice",
            label: "DICE",
            kind: Kind::Number,
            unit: "",
            range: Range::SHARE,
            definition: "Dice coefficient, not smoothed: twice the number of pixels that both masks share, divided by the \
                         sum of their areas.",
            formula: r"2\|P∩T\| / (\|P\| + \|T\|)",
            origin: "paper",
        },
        better: Better::Higher,
        empty: EmptyRule::SCORE,
        needs_spacing: false,
        in_summary: true,
        value: |c| c.overlap().dice().into(),
    },
    Metric {
        measure: Measure {
            name: "iou",
            label: "JAC",
            kind: Kind::Number,
            unit: "",
            range: Range::SHARE,
            definition: "Intersection over union (Jaccard index): the number of pixels in both masks, divided by the \
                         number in either.",
            formula: r"\|P∩T\| / \|P∪T\|",
            origin: "paper",
        },
        better: Better::Higher,
        empty: EmptyRule::SCORE,
        needs_spacing: false,
        in_summary: true,
        value: |c| c.overlap().iou().into(),
    },
    Metric {
        measure: Measure {
            name: "hd",
            label: "HD",
            kind: Kind::NumberOrNull,
            unit: "px",
            range: Range::POSITIVE,
            definition: "Hausdorff distance: the largest distance from a surface pixel of one mask to the nearest \
                         surface pixel of the other.",
            formula: "max of D(P→T) and D(T→P)",
            origin: "paper",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: false,
        in_summary: true,
        value: |c| c.pixels().map(SurfaceDistances::hd).into(),
    },
    Metric {
        measure: Measure {
            name: "hd_cosmos",
            label: "HD (released code)",
            kind: Kind::Number,
            unit: "px",
            range: Range::POSITIVE,
            definition: "Hausdorff distance as the paper's released code records it.",
            formula: "",
            origin: "the paper's released code",
        },
        better: Better::Lower,
        empty: EmptyRule::ZERO,
        needs_spacing: false,
        in_summary: false,
        value: |c| c.pixels().map_or(0.0, SurfaceDistances::hd).into(),
    },
    Metric {
        measure: Measure {
            name: "hd95",
            label: "HD95",
            kind: Kind::NumberOrNull,
            unit: "px",
            range: Range::POSITIVE,
            definition: "95th percentile of the surface distances of both directions in one list (MedPy).",
            formula: "95th percentile of D(P→T) and D(T→P) in one list, linear interpolation",
            origin: "MedPy",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: false,
        in_summary: true,
        value: |c| c.pixels().map(SurfaceDistances::hd95).into(),
    },
    Metric {
        measure: Measure {
            name: "hd95_directed",
            label: "HD95 (directed)",
            kind: Kind::NumberOrNull,
            unit: "px",
            range: Range::POSITIVE,
            definition: "The larger of the two directed 95th percentiles of surface distances (MONAI).",
            formula: "the larger of the 95th percentiles of D(P→T) and of D(T→P)",
            origin: "MONAI",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: false,
        in_summary: false,
        value: |c| c.pixels().map(SurfaceDistances::hd95_directed).into(),
    },
    Metric {
        measure: Measure {
            name: "asd",
            label: "ASD",
            kind: Kind::NumberOrNull,
            unit: "px",
            range: Range::POSITIVE,
            definition: "Average surface distance, one direction only: the mean distance from the prediction's surface \
                         pixels to the nearest surface pixel of the ground truth.",
            formula: "mean of D(P→T)",
            origin: "the paper's released code, MedPy",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: false,
        in_summary: false,
        value: |c| c.pixels().map(SurfaceDistances::asd).into(),
    },
    Metric {
        measure: Measure {
            name: "assd",
            label: "ASSD",
            kind: Kind::NumberOrNull,
            unit: "px",
            range: Range::POSITIVE,
            definition: "Average symmetric surface distance: the mean of the surface distances of both directions in one \
                         list.",
            formula: "mean of D(P→T) and D(T→P) in one list",
            origin: "MedPy, MONAI",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: false,
        in_summary: true,
        value: |c| c.pixels().map(SurfaceDistances::assd).into(),
    },
    Metric {
        measure: Measure {
            name: "nsd",
            label: "NSD",
            kind: Kind::NumberOrNull,
            unit: "",
            range: Range::SHARE,
            definition: "Normalised surface Dice: the share of the surface pixels of both masks within a tolerance, \
                         in pixels, of the other surface.",
            formula: "share of D(P→T) and D(T→P), in one list, that is at most the tolerance (2 px)",
            origin: "MONAI, surface-distance; the tolerance is ours",
        },
        better: Better::Higher,
        empty: EmptyRule::SCORE,
        needs_spacing: false,
        in_summary: true,
        value: |c| c.nsd(c.pixels(), c.options().nsd_tolerance_px).into(),
    },
    Metric {
        measure: Measure {
            name: "boundary_iou",
            label: "boundary IoU",
            kind: Kind::NumberOrNull,
            unit: "",
            range: Range::SHARE,
            definition: "IoU of the bands along the inner side of both outlines (Cheng et al. 2021).",
            formula: "IoU of the pixels of both masks whose distance to the outside is less than 2 % of the image \
                diagonal",
            origin: "Cheng et al., CVPR 2021",
        },
        better: Better::Higher,
        empty: EmptyRule::SCORE,
        needs_spacing: false,
        in_summary: false,
        value: |c| c.boundary().iou().into(),
    },
    Metric {
        measure: Measure {
            name: "conformity",
            label: "conformity",
            kind: Kind::NumberOrNull,
            unit: "",
            range: Range::at_most(1.0),
            definition: "(3 dice − 2) / dice; null where Dice is 0.",
            formula: "",
            origin: "the paper's released code",
        },
        better: Better::Higher,
        empty: EmptyRule { prediction: None, truth: None, both: Some(1.0) },
        needs_spacing: false,
        in_summary: false,
        value: |c| c.overlap().conformity().into(),
    },
    Metric {
        measure: Measure {
            name: "area_difference",
            label: "area difference",
            kind: Kind::NumberOrNull,
            unit: "",
            range: Range::at_least(-1.0),
            definition: "Area of the prediction minus that of the ground truth, divided by that of the ground truth.",
            formula: r"(\|P\| − \|T\|) / \|T\|",
            origin: "MedPy (`ravd`)",
        },
        better: Better::NearZero,
        empty: EmptyRule { prediction: Some(-1.0), truth: None, both: None },
        needs_spacing: false,
        in_summary: false,
        value: |c| c.overlap().area_difference().into(),
    },
    Metric {
        measure: Measure {
            name: "hd_mm",
            label: "HD",
            kind: Kind::NumberOrNull,
            unit: "mm",
            range: Range::POSITIVE,
            definition: "Hausdorff distance in millimetres.",
            formula: "",
            origin: "paper, in millimetres",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: true,
        in_summary: false,
        value: |c| c.millimetres().map(SurfaceDistances::hd).into(),
    },
    Metric {
        measure: Measure {
            name: "hd95_mm",
            label: "HD95",
            kind: Kind::NumberOrNull,
            unit: "mm",
            range: Range::POSITIVE,
            definition: "95th percentile of the surface distances in millimetres of both directions in one list \
                (MedPy).",
            formula: "",
            origin: "MedPy",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: true,
        in_summary: false,
        value: |c| c.millimetres().map(SurfaceDistances::hd95).into(),
    },
    Metric {
        measure: Measure {
            name: "hd95_directed_mm",
            label: "HD95 (directed)",
            kind: Kind::NumberOrNull,
            unit: "mm",
            range: Range::POSITIVE,
            definition: "The larger of the two directed 95th percentiles of surface distances in millimetres (MONAI).",
            formula: "",
            origin: "MONAI",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: true,
        in_summary: false,
        value: |c| c.millimetres().map(SurfaceDistances::hd95_directed).into(),
    },
    Metric {
        measure: Measure {
            name: "assd_mm",
            label: "ASSD",
            kind: Kind::NumberOrNull,
            unit: "mm",
            range: Range::POSITIVE,
            definition: "Average symmetric surface distance in millimetres.",
            formula: "",
            origin: "MedPy, MONAI",
        },
        better: Better::Lower,
        empty: EmptyRule::UNDEFINED,
        needs_spacing: true,
        in_summary: false,
        value: |c| c.millimetres().map(SurfaceDistances::assd).into(),
    },
    Metric {
        measure: Measure {
            name: "nsd_mm",
            label: "NSD (mm)",
            kind: Kind::NumberOrNull,
            unit: "",
            range: Range::SHARE,
            definition: "Normalised surface Dice with a tolerance in millimetres.",
            formula: "",
            origin: "MedSAM's evaluation",
        },
        better: Better::Higher,
        empty: EmptyRule::SCORE,
        needs_spacing: true,
        in_summary: false,
        value: |c| c.spacing().map(|_| c.nsd(c.millimetres(), c.options().nsd_tolerance_mm)).into(),
    },
];
