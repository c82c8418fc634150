//! One suite over all sources. Each source brings a fixture: a function that writes a tiny raw tree as the facts about the
//! download describe it (names, containers, types, orientation, label values, quirks; not as the spec reads it), and
//! what must come out. The same checks run over every fixture:
//!
//! - `built`: its source is recognised, and no other; cases, patients, splits, modalities, planes, spacings, slices and
//!   masks are as expected, to the pixel; masks lie where their objects are in the image; excluded objects are flagged,
//!   unlabelled cases are skipped with the reason;
//! - `damaged`: a missing mask, a truncated image, a foreign file and an unknown label value are reported and survived;
//! - `archived`: the archives in which the source is distributed give the same as the folder.
//!
//! Each is a test of its own, `<source>::<check>`. The last ones build all fixtures at once, and count that there is one
//! for each source.

mod checks;
mod fixture;
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
    for source in sources::ALL {
        for (name, check) in CHECKS {
            let run = move || check(&source()).map_err(Failed::from);
            trials.push(Trial::test(format!("{}::{name}", source().slug), run));
        }
    }
    trials.push(Trial::test("all_at_once", || checks::all_at_once(&sources::all()).map_err(Failed::from)));
    trials.push(Trial::test("every_source_has_a_fixture", || every_source_has_a_fixture().map_err(Failed::from)));
    println!("conformance of {} sources", sources::ALL.len());
    libtest_mimic::run(&arguments, trials).exit();
}

fn every_source_has_a_fixture() -> Result<(), String> {
    let registry = medcosmos::spec::Registry::built_in().map_err(|e| e.to_string())?;
    let fixtures = sources::all();
    let slugs = registry.specs().iter().map(|s| s.slug.as_str());
    let missing: Vec<&str> = slugs.filter(|slug| !fixtures.iter().any(|f| f.slug == *slug)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no fixture for {}", missing.join(", "))) }
}
