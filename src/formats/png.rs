//! PNG.
