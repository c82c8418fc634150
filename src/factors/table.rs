//! The table of factors and their parts: a new factor is one entry in [`FACTORS`].

use serde::Serialize;

use super::Subject;
use crate::measure::{Kind, Measure, MeasureTable, Range, Reading, Readings};

/// One factor, or a part of one.
pub struct Factor {
    /// Name, unit, range and definition.
    pub measure: Measure,
    /// How an analysis uses it.
    pub role: Role,
    /// When it is null, as the end of a sentence; empty if it never is.
    pub null_where: &'static str,
    /// Its value.
    pub value: fn(&Subject) -> Reading,
}

/// How an analysis uses a measure of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A factor whose correlation is computed by default, controlling for the others, and against which
    /// the metric is plotted in these bins.
    Factor(Binning),
    /// A default factor whose values are codes without an order: a rank test of its groups is reported next to the
    /// correlation, and no curve is drawn.
    Nominal,
    /// A part of a factor, or another form of it. It is computed, and correlated on request.
    Part,
}

/// How the values of a factor are binned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// This many bins, with as equal numbers of masks as ties allow.
    Quantile(u32),
    /// This many bins per factor of ten, with edges at 1, 10, 100 for any data, so that datasets can be compared.
    Logarithmic(u32),
}

impl Factor {
    /// The definition, and when it is null.
    pub fn meaning(&self) -> String {
        match self.null_where {
            "" => self.measure.definition.to_string(),
            place => format!("{} Null where {place}.", self.measure.definition),
        }
    }
}

/// The value of every factor and part.
pub type FactorValues = Readings<Factors>;

/// [`FACTORS`] as a type.
#[derive(Debug)]
pub struct Factors;

impl MeasureTable for Factors {
    fn measures() -> impl Iterator<Item = &'static Measure> {
        FACTORS.iter().map(|factor| &factor.measure)
    }

    fn meaning(place: usize) -> String {
        FACTORS[place].meaning()
    }
}

/// The factor or part of that name.
pub fn factor(name: &str) -> Option<&'static Factor> {
    FACTORS.iter().find(|factor| factor.measure.name == name)
}

/// The factors that an analysis uses by default, without their parts.
pub fn default_factors() -> impl Iterator<Item = &'static Factor> {
    FACTORS.iter().filter(|factor| factor.role != Role::Part)
}

/// True for a factor whose values are codes without an order.
#[cfg(feature = "query")]
pub(crate) fn is_nominal(name: &str) -> bool {
    factor(name).is_some_and(|factor| factor.role == Role::Nominal)
}

/// The name of a factor on axes; other columns keep their names.
#[cfg(feature = "query")]
pub(crate) fn factor_label(name: &str) -> &str {
    factor(name).map_or(name, |factor| factor.measure.label)
}

/// All factors and parts, in the order of their columns.
pub static FACTORS: &[Factor] = &[
    Factor {
        measure: Measure {
            name: "size_px",
            label: "size (px)",
            kind: Kind::Count,
            unit: "px",
            range: Range::at_least(1.0),
            definition: "Factor size: number of pixels.",
            formula: "",
            origin: "paper",
        },
        role: Role::Factor(Binning::Logarithmic(4)),
        null_where: "",
        value: |s| (s.mask.area() as u32).into(),
    },
    Factor {
        measure: Measure {
            name: "aspect_ratio",
            label: "aspect ratio (short over long side)",
            kind: Kind::Number,
            unit: "",
            range: Range::SHARE,
            definition: "Factor aspect ratio: the short side of the bounding box over the long side.",
            formula: "",
            origin: "paper",
        },
        role: Role::Factor(Binning::Quantile(10)),
        null_where: "",
        value: |s| s.aspect_ratio.into(),
    },
    Factor {
        measure: Measure {
            name: "intensity_inside",
            label: "intensity inside",
            kind: Kind::NumberOrNull,
            unit: "grey level",
            range: Range { low: Some(0.0), high: Some(255.0) },
            definition: "Mean intensity inside the object, on the stored slice (luma for RGB).",
            formula: "",
            origin: "paper",
        },
        role: Role::Part,
        null_where: "",
        value: |s| s.intensity.inside.into(),
    },
    Factor {
        measure: Measure {
            name: "intensity_surround",
            label: "intensity around",
            kind: Kind::NumberOrNull,
            unit: "grey level",
            range: Range { low: Some(0.0), high: Some(255.0) },
            definition: "Mean intensity around the object: in its bounding box, enlarged by a tenth of the box's width and \
                         height on each side, without the object.",
            formula: "",
            origin: "paper",
        },
        role: Role::Part,
        null_where: "the object fills the enlarged box",
        value: |s| s.intensity.surround.into(),
    },
    Factor {
        measure: Measure {
            name: "intensity_difference",
            label: "intensity difference (inside − around)",
            kind: Kind::NumberOrNull,
            unit: "grey level",
            range: Range { low: Some(-255.0), high: Some(255.0) },
            definition: "Mean intensity inside the object minus the mean around it.",
            formula: "`intensity_inside` − `intensity_surround`",
            origin: "paper",
        },
        role: Role::Part,
        null_where: "the object fills the enlarged box",
        value: |s| s.intensity.difference().into(),
    },
    Factor {
        measure: Measure {
            name: "intensity_difference_abs",
            label: "intensity difference (absolute)",
            kind: Kind::NumberOrNull,
            unit: "grey level",
            range: Range { low: Some(0.0), high: Some(255.0) },
            definition: "Factor intensity difference: the absolute difference between the mean intensities inside the \
                         object and around it.",
            formula: r"\|`intensity_difference`\|",
            origin: "paper; the absolute value is our decision",
        },
        role: Role::Factor(Binning::Quantile(10)),
        null_where: "the object fills the enlarged box",
        value: |s| s.intensity.difference().map(f64::abs).into(),
    },
    Factor {
        measure: Measure {
            name: "fourier_order",
            label: "Fourier order",
            kind: Kind::Count,
            unit: "",
            range: Range::at_least(1.0),
            definition: "Fourier order: the number of ellipses of the elliptic Fourier descriptor at which the search \
                         stopped.",
            formula: "",
            origin: "paper; Kuhl and Giardina 1982",
        },
        role: Role::Part,
        null_where: "",
        value: |s| s.boundary.order.into(),
    },
    Factor {
        measure: Measure {
            name: "fourier_dice",
            label: "Dice of the decoded contour",
            kind: Kind::Number,
            unit: "",
            range: Range::SHARE,
            definition: "Dice of the original contour and the contour decoded at `fourier_order`, both filled.",
            formula: "",
            origin: "paper",
        },
        role: Role::Part,
        null_where: "",
        value: |s| s.boundary.dice.into(),
    },
    Factor {
        measure: Measure {
            name: "fourier_stop",
            label: "why the search stopped",
            kind: Kind::Word,
            unit: "",
            range: Range::ANY,
            definition: "Why the search for the order stopped: dice (Dice exceeds the threshold), plateau (Dice no longer \
                         changes), cap (the highest order is reached) or degenerate (fewer than three contour points).",
            formula: "",
            origin: "paper",
        },
        role: Role::Part,
        null_where: "",
        value: |s| s.boundary.stop.name().into(),
    },
    Factor {
        measure: Measure {
            name: "boundary_complexity",
            label: "boundary complexity (Fourier order F)",
            kind: Kind::Number,
            unit: "",
            range: Range::at_least(1.0),
            definition: "Factor boundary complexity: `fourier_order + 200 (1 - fourier_dice)`.",
            formula: "",
            origin: "paper",
        },
        role: Role::Factor(Binning::Logarithmic(8)),
        null_where: "",
        value: |s| s.boundary.value().into(),
    },
    Factor {
        measure: Measure {
            name: "fourier_order_true",
            label: "Fourier order without plateaus",
            kind: Kind::Count,
            unit: "",
            range: Range::at_least(1.0),
            definition: "Order at which the Dice of the decoded contour exceeds the threshold, ignoring plateaus before \
                         it.",
            formula: "",
            origin: "ours",
        },
        role: Role::Part,
        null_where: "",
        value: |s| s.boundary.true_order.into(),
    },
    Factor {
        measure: Measure {
            name: "modality_index",
            label: "modality",
            kind: Kind::Code,
            unit: "",
            range: Range::POSITIVE,
            definition: "Factor modality: its position in the protocol's list, a code without an order. Modalities defined \
                         in specs follow from 18 on, in alphabetical order.",
            formula: "",
            origin: "paper",
        },
        role: Role::Nominal,
        null_where: "",
        value: |s| s.modality_index.into(),
    },
];
