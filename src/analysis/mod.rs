//! Joins, correlations and tables.

pub mod statistics;
