//! Analyze 7.5.
