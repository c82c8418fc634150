//! Overlap and distance metrics on pairs of masks.
