//! A target of `targets.rs` under libFuzzer: the one that this program is named by.

#![no_main]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a target fails by panicking")]

#[path = "../targets.rs"]
#[allow(dead_code, reason = "seeds are made by the tests")]
mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    targets::target(env!("CARGO_BIN_NAME")).run(bytes);
});
