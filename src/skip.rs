//! Tests that lack a file or program: they print what is missing and pass, or fail if `CI` is `true`.

use std::fmt::Display;

/// Prints why a test is skipped.
///
/// # Panics
/// If the variable `CI` is `true`: there, nothing is skipped.
pub fn skip(reason: impl Display) {
    assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "it would be skipped: {reason}");
    println!("skipped: {reason}");
}
