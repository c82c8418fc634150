//! The common base of metrics and factors: a measure is a number (or a name) with a column, a unit, a range and a
//! definition.
//!
//! The tables [`METRICS`](crate::metrics::METRICS) and [`FACTORS`](crate::factors::FACTORS) are the only places where
//! measures are defined. The columns of the tables `metrics` and `factors`, `medcosmos schema`, the help of commands,
//! the definitions in a report, `docs/metrics.md` and `docs/factors.md` are all derived from them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

/// The description of one measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Name of the column.
    pub name: &'static str,
    /// Name on axes and in headings.
    pub label: &'static str,
    /// Type of the column.
    pub kind: Kind,
    /// Unit, empty where there is none.
    pub unit: &'static str,
    /// Values that it can take.
    pub range: Range,
    /// What it is, in one or two sentences that also hold outside of the documentation.
    pub definition: &'static str,
    /// The definition as a formula in Markdown, empty where the sentence is enough.
    pub formula: &'static str,
    /// Where it comes from: the paper, its released code, another publication or tool.
    pub origin: &'static str,
}

/// Type of the column of a measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 64-bit float, never null.
    Number,
    /// A 64-bit float, or null where the measure is undefined.
    NumberOrNull,
    /// An unsigned 32-bit integer.
    Count,
    /// An unsigned 8-bit integer that stands for a name and has no order.
    Code,
    /// A word.
    Word,
}

/// The values that a measure can take, bounds included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Least value.
    pub low: Option<f64>,
    /// Greatest value.
    pub high: Option<f64>,
}

impl Range {
    /// From 0 to 1.
    pub const SHARE: Range = Range { low: Some(0.0), high: Some(1.0) };
    /// 0 and above.
    pub const POSITIVE: Range = Range::at_least(0.0);
    /// Any number, or no number at all.
    pub const ANY: Range = Range { low: None, high: None };

    /// A lower bound alone.
    pub const fn at_least(low: f64) -> Range {
        Range { low: Some(low), high: None }
    }

    /// An upper bound alone.
    pub const fn at_most(high: f64) -> Range {
        Range { low: None, high: Some(high) }
    }

    /// Whether a value lies within the range.
    pub fn contains(&self, value: f64) -> bool {
        self.low.is_none_or(|low| value >= low) && self.high.is_none_or(|high| value <= high)
    }
}

/// A value as pages print it, with a minus sign instead of a hyphen.
pub(crate) fn in_print(value: f64) -> String {
    value.to_string().replace('-', "−")
}

/// `0–1`, `≥ 0`, `≤ 1`; empty where there is no bound.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (Some(low), Some(high)) => write!(f, "{}–{}", in_print(low), in_print(high)),
            (Some(low), None) => write!(f, "≥ {}", in_print(low)),
            (None, Some(high)) => write!(f, "≤ {}", in_print(high)),
            (None, None) => Ok(()),
        }
    }
}

/// One value of a measure.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Undefined: a null.
    Undefined,
    /// Of [`Kind::Number`] and [`Kind::NumberOrNull`].
    Number(f64),
    /// Of [`Kind::Count`].
    Count(u32),
    /// Of [`Kind::Code`].
    Code(u8),
    /// Of [`Kind::Word`].
    Word(Cow<'static, str>),
}

impl Reading {
    /// The value as a number; `None` for a word and where it is undefined.
    pub fn number(&self) -> Option<f64> {
        match *self {
            Reading::Number(value) => Some(value),
            Reading::Count(value) => Some(f64::from(value)),
            Reading::Code(value) => Some(f64::from(value)),
            Reading::Undefined | Reading::Word(_) => None,
        }
    }

    /// Whether a column of this type can hold the value.
    pub fn fits(&self, kind: Kind) -> bool {
        match self {
            Reading::Undefined => kind == Kind::NumberOrNull,
            Reading::Number(_) => matches!(kind, Kind::Number | Kind::NumberOrNull),
            Reading::Count(_) => kind == Kind::Count,
            Reading::Code(_) => kind == Kind::Code,
            Reading::Word(_) => kind == Kind::Word,
        }
    }
}

impl From<f64> for Reading {
    fn from(value: f64) -> Self {
        Reading::Number(value)
    }
}

impl From<Option<f64>> for Reading {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Reading::Undefined, Reading::Number)
    }
}

impl From<u32> for Reading {
    fn from(value: u32) -> Self {
        Reading::Count(value)
    }
}

impl From<u8> for Reading {
    fn from(value: u8) -> Self {
        Reading::Code(value)
    }
}

impl From<&'static str> for Reading {
    fn from(value: &'static str) -> Self {
        Reading::Word(Cow::Borrowed(value))
    }
}

impl From<String> for Reading {
    fn from(value: String) -> Self {
        Reading::Word(Cow::Owned(value))
    }
}

impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Reading::Undefined => serializer.serialize_none(),
            Reading::Number(value) => serializer.serialize_f64(*value),
            Reading::Count(value) => serializer.serialize_u32(*value),
            Reading::Code(value) => serializer.serialize_u8(*value),
            Reading::Word(value) => serializer.serialize_str(value),
        }
    }
}

/// A table of measures, as a type.
pub trait MeasureTable {
    /// All measures, in the order of their columns.
    fn measures() -> impl Iterator<Item = &'static Measure>;

    /// What the column of a measure holds: its definition, and where it is null.
    fn meaning(place: usize) -> String;
}

/// The value of every measure of a table, in the table's order.
#[derive(Debug)]
pub struct Readings<T> {
    values: Vec<Reading>,
    table: PhantomData<T>,
}

impl<T: MeasureTable> Readings<T> {
    /// One value for each measure of the table, in its order.
    pub fn new(values: impl IntoIterator<Item = Reading>) -> Self {
        Readings { values: values.into_iter().collect(), table: PhantomData }
    }

    /// The value of a measure as a number; `None` where it is undefined or a word, and where the table has no such
    /// measure.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.reading(name)?.number()
    }

    /// The value of a measure; `None` where the table has no such measure.
    pub fn reading(&self, name: &str) -> Option<&Reading> {
        self.iter().find(|(measure, _)| measure.name == name).map(|(_, reading)| reading)
    }

    /// The measures with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Measure, &Reading)> {
        T::measures().zip(&self.values)
    }

    /// The value at a place of the table.
    pub(crate) fn at(&self, place: usize) -> &Reading {
        self.values.get(place).unwrap_or(&Reading::Undefined)
    }
}

impl<T> Clone for Readings<T> {
    fn clone(&self) -> Self {
        Readings { values: self.values.clone(), table: PhantomData }
    }
}

impl<T> PartialEq for Readings<T> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

/// As a map from names to values.
impl<T: MeasureTable> Serialize for Readings<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(measure, reading)| (measure.name, reading)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_as_people_write_them() {
        assert_eq!(Range::SHARE.to_string(), "0–1");
        assert_eq!(Range::at_least(-1.0).to_string(), "≥ −1");
        assert_eq!(Range::at_most(1.0).to_string(), "≤ 1");
        assert!(Range::SHARE.contains(1.0) && !Range::SHARE.contains(1.5) && Range::ANY.contains(-7.0));
    }
}
