//! The table of prompt strategies: a new strategy is one entry in [`STRATEGIES`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Point, PromptRule, background_points, foreground_points};
use crate::mask::Mask;

/// The definition of a strategy.
#[derive(Clone, Copy, Debug)]
pub struct StrategyEntry {
    /// Name in tables and on the command line: `S3`.
    pub name: &'static str,
    /// What the user gives, in a few words: the label in plots and printed tables.
    pub label: &'static str,
    /// What the user gives, in a sentence or two.
    pub definition: &'static str,
    /// Its origin: the paper, or our decision.
    pub origin: &'static str,
    /// Derives the points of the prompt from a non-empty mask; `None` if the strategy has no points.
    pub points: Option<fn(&Mask, PromptRule) -> Vec<Point>>,
    /// Derives the box of the prompt, `[x_min, y_min, x_max, y_max]`, from a non-empty mask; `None` if the strategy has
    /// no box. A strategy with neither is the everything mode.
    #[allow(clippy::type_complexity, reason = "the function is the entry")]
    pub bounds: Option<fn(&Mask) -> Option<[f64; 4]>>,
}

/// Defines [`Strategy`] and [`STRATEGIES`] together, so that each strategy has its entry.
macro_rules! strategies {
    ($($strategy:ident = $name:literal { $($field:ident: $value:expr,)+ })+) => {
        /// A prompt strategy. Its description is its [`entry`](Strategy::entry).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Strategy {
            $(
                #[doc = concat!("`", $name, "`.")]
                #[serde(rename = $name)]
                $strategy,
            )+
        }

        impl Strategy {
            /// All strategies, in the order of the table.
            pub const ALL: &'static [Strategy] = &[$(Strategy::$strategy),+];
        }

        /// All strategies, in the paper's order.
        pub static STRATEGIES: &[StrategyEntry] = &[$(StrategyEntry { name: $name, $($field: $value,)+ }),+];
    };
}

strategies! {
    Everything = "S1" {
        label: "everything",
        definition: "No prompt: SAM's everything mode, a grid of points over the whole slice. Of all masks that it finds, the \
                     one closest to the ground truth is evaluated.",
        origin: "paper",
        points: None,
        bounds: None,
    }
    OnePoint = "S2" {
        label: "1 point",
        definition: "One positive point: the centroid of the object, or the middle one of its pixels if the centroid is \
                     outside.",
        origin: "paper; the middle pixel is our decision",
        points: Some(|truth, rule| foreground_points(truth, rule, 1)),
        bounds: None,
    }
    FivePoints = "S3" {
        label: "5 points",
        definition: "Five positive points: pixels of the object at equal steps, the first replaced by the centroid if it is \
                     inside.",
        origin: "paper",
        points: Some(|truth, rule| foreground_points(truth, rule, 5)),
        bounds: None,
    }
    FiveAndFive = "S4" {
        label: "5 + 5 points",
        definition: "The five positive points of S3, and five negative points: pixels outside the object at equal steps, within \
                     its box enlarged two times.",
        origin: "paper",
        points: Some(|truth, rule| [foreground_points(truth, rule, 5), background_points(truth, 5)].concat()),
        bounds: None,
    }
    Box = "S5" {
        label: "box",
        definition: "The bounding box of the object, without a margin.",
        origin: "paper",
        points: None,
        bounds: Some(tight_box),
    }
    BoxAndPoint = "S6" {
        label: "box + 1 point",
        definition: "The box of S5 and the point of S2.",
        origin: "paper",
        points: Some(|truth, rule| foreground_points(truth, rule, 1)),
        bounds: Some(tight_box),
    }
}

/// Name of simulated clicks in the column `strategy`: not a strategy of the paper, and requested by a separate option.
pub(crate) const CLICKS: &str = "clicks";

/// Definition of simulated clicks.
#[cfg(any(feature = "query", test))]
pub(crate) const CLICKS_DEFINITION: &str = "Simulated clicks: one point after another, each in the middle of the largest error \
                                     region, positive or negative.";

/// The bounding box of a mask, inclusive pixel coordinates.
fn tight_box(truth: &Mask) -> Option<[f64; 4]> {
    Some(truth.bounding_box()?.map(f64::from))
}

impl Strategy {
    /// Its definition.
    pub fn entry(self) -> &'static StrategyEntry {
        &STRATEGIES[self as usize]
    }

    /// The paper's name: `S1` to `S6`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// True if each object has its own prompt; false for the everything mode.
    pub fn has_prompt(self) -> bool {
        let entry = self.entry();
        entry.points.is_some() || entry.bounds.is_some()
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Strategy::ALL.iter().copied().find(|strategy| strategy.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let [first, .., last] = STRATEGIES else { return format!("unknown strategy `{name}`") };
            format!("unknown strategy `{name}`, expected {} to {}", first.name, last.name)
        })
    }
}

/// The name of a strategy with its label: `S3 5 points`. Other names, of imported predictions, are unchanged.
pub(crate) fn strategy_label(name: &str) -> String {
    let entry = STRATEGIES.iter().find(|entry| entry.name == name);
    entry.map_or_else(|| name.to_string(), |entry| format!("{name} {}", entry.label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_complete() {
        for (strategy, entry) in Strategy::ALL.iter().zip(STRATEGIES) {
            assert_eq!(strategy.entry().name, entry.name);
            assert_eq!(entry.name.parse(), Ok(*strategy));
            assert_eq!(serde_json::to_string(strategy).unwrap(), format!("{:?}", entry.name));
            assert!(entry.definition.ends_with('.') && !entry.definition.contains("  "), "{}", entry.name);
        }
        assert_eq!(strategy_label("S4"), "S4 5 + 5 points");
        assert_eq!(strategy_label("S44"), "S44");
    }
}
