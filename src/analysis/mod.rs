//! Joins, correlations and tables.
