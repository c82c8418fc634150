//! Spec and raw tree to cases.
