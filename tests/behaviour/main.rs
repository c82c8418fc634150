//! What the program and the library do, seen from outside: whole stages on small downloads made on the spot, and on
//! real ones where they are there.
//!
//! Real downloads are looked for by `tests/samples`; a test that lacks something says what and passes, but not where
//! the variable `CI` is `true`. All is one binary, because each one that links the whole program costs seconds and
//! hundreds of megabytes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod adding;
mod architecture;
mod archives;
mod bad_input;
mod cases;
mod cli;
mod cosmos;
mod custom_source;
mod determinism;
mod dicom;
mod endings;
mod exports;
mod factors;
mod facts;
mod filelists;
mod golden;
mod keys;
mod kills;
mod leaks;
mod looks;
mod moments;
mod mutations;
mod names;
mod nothing_lost;
mod outdated;
mod passes;
mod phantom;
mod pipelines;
mod placement;
mod predictions;
mod privacy;
mod program;
mod rasters;
#[cfg(feature = "query")]
mod report;
mod rle_table;
mod sam;
mod samples;
mod segments;
mod sharing;
#[cfg(all(feature = "query", unix))] // messages of the system are those of Unix
mod snapshots;
#[cfg(unix)] // scripts stand for programs
mod surroundings;
mod trace;
mod verify;
mod volumes;
