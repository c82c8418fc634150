//! One suite over all sources. Each source brings a fixture, `dataset_specs/<slug>/fixture.rs`: a function that writes
//! a tiny raw tree as the facts about the download describe it (names, containers, types, orientation, label values,
//! quirks; not as the spec reads it), and what must come out. The same checks run over every fixture:
//!
//! - `built`: its source is recognised, and no other; cases, patients, splits, modalities, planes, spacings, slices and
//!   masks are as expected, to the pixel; masks lie where their objects are in the image; excluded objects are flagged,
//!   unlabelled cases are skipped with the reason;
//! - `damaged`: a missing mask, a truncated image, a foreign file and an unknown label value are reported and survived;
//! - `archived`: the archives in which the source is distributed give the same as the folder;
//! - `listed`, where the source has a `file_lists.toml`: its trees of names are recognised.
//!
//! Each is a test of its own, `<source>::<check>`. The last ones take all fixtures and all lists at once.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod checks;
mod fixture;
mod lists;
#[path = "../samples/mod.rs"]
mod samples;
mod sources;

use fixture::Fixture;
use libtest_mimic::{Arguments, Failed, Trial};

/// A check over one fixture; the error is a sentence.
type Check = fn(&Fixture) -> Result<(), String>;

const CHECKS: [(&str, Check); 3] =
    [("archived", checks::archived), ("built", checks::built), ("damaged", checks::damaged)];

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (slug, fixture) in sources::ALL {
        for (name, check) in CHECKS {
            let run = move || check(&named(slug, *fixture)?).map_err(Failed::from);
            trials.push(Trial::test(format!("{slug}::{name}"), run));
        }
        if lists::has(slug) {
            trials.push(Trial::test(format!("{slug}::listed"), || lists::listed(slug).map_err(Failed::from)));
        }
    }
    let slugs: Vec<&str> = sources::ALL.iter().map(|(slug, _)| *slug).collect();
    trials.push(Trial::test("all_at_once", || checks::all_at_once(&sources::all()).map_err(Failed::from)));
    trials.push(Trial::test("all_lists_at_once", move || lists::all_at_once(&slugs).map_err(Failed::from)));
    println!("conformance of {} sources", sources::ALL.len());
    libtest_mimic::run(&arguments, trials).exit();
}

/// A fixture, whose slug must be the name of its folder.
fn named(slug: &str, fixture: sources::Make) -> Result<Fixture, String> {
    let fixture = fixture();
    let same = fixture.slug == slug;
    if same { Ok(fixture) } else { Err(format!("the fixture in dataset_specs/{slug} is of {:?}", fixture.slug)) }
}
