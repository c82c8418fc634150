//! What the program and the library do, seen from outside: whole stages on small downloads made on the spot, and on
//! real ones where they are there.
//!
//! Real downloads are looked for by `tests/samples`; a test that lacks something says what and passes, but not where
//! the variable `CI` is `true`. All is one binary, because each one that links the whole program costs seconds and
//! hundreds of megabytes.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

/// The part of a spec that describes CT scans with a label map of three organs, by the patterns of both.
macro_rules! scans_of_organs {
    ($image:literal, $mask:literal) => {
        concat!(
            r#"[sequences]
S = "CT"
[labels.organs]
1 = { name = "liver", object = "liver" }
2 = { name = "spleen", object = "spleen" }
3 = { name = "stomach", object = "stomach" }
[[layout]]
name = "scans"
case = "{p}"
[layout.image]
path = [""#,
            $image,
            r#""]
sequence = "S"
plane = "z"
[[layout.mask]]
path = [""#,
            $mask,
            r#""]
labels = "organs"
"#
        )
    };
}

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
mod engines;
mod exports;
mod factors;
mod facts;
mod filelists;
mod golden;
#[cfg(target_os = "linux")] // memory is measured by /proc
mod hostile_memory;
mod keys;
mod kills;
mod leaks;
mod looks;
mod moments;
mod mutations;
mod names;
mod nothing_lost;
#[cfg(all(feature = "s3", unix))] // settings of AWS are kept away by /dev/null
mod object_store;
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
