//! Finds the real files that some tests read: samples of downloads, models, reference results.
//!
//! They are not part of the repository. `MEDCOSMOS_SAMPLES` names the folder of samples, else it is
//! `../shared/samples`; models and references lie beside it. A test that lacks something says what and passes. Where
//! the variable `CI` is `true` it fails instead.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A file or folder by its path below `../shared`, such as `samples/raw` or `golden`. `None`, and a printed line, where
/// it is not there.
///
/// # Panics
/// If it is not there and the variable `CI` is `true`.
pub fn find(name: &str) -> Option<PathBuf> {
    let samples = std::env::var_os("MEDCOSMOS_SAMPLES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples"), PathBuf::from);
    let path = match name.strip_prefix("samples") {
        Some(below) => samples.join(below.trim_start_matches('/')),
        None => samples.join("..").join(name),
    };
    if path.exists() {
        return Some(path);
    }
    skip(format!("{} is missing", path.display()));
    None
}

/// Prints why a test is skipped.
///
/// # Panics
/// If the variable `CI` is `true`: there, nothing is skipped.
pub fn skip(reason: impl Display) {
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "nothing is skipped where CI is true: {reason}");
    println!("skipped: {reason}");
}
