//! One suite over all sources. Each source brings a fixture: a function that writes a tiny raw tree as the facts about the
//! download describe it (names, containers, types, orientation, label values, quirks; not as the spec reads it), and
//! what must come out. The same checks run over every fixture:
//!
//! - its source is recognised, and no other;
//! - cases, patients, splits, modalities, planes, spacings, slices and masks are as expected, to the pixel;
//! - excluded objects are flagged, unlabelled cases are skipped with the reason;
//! - a missing mask, a truncated image, a foreign file and an unknown label value are reported and survived;
//! - the archive in which the source is distributed gives the same as the folder.

mod checks;
mod fixture;
mod sources;

use fixture::Fixture;

/// Runs one check over every fixture, and names each source that passes or fails.
fn over_all(check: impl Fn(&Fixture) -> Result<(), String> + Sync) {
    use rayon::prelude::*;
    let outcomes: Vec<(&str, Result<(), String>)> =
        sources::ALL.par_iter().map(|fixture| (fixture.slug, check(fixture))).collect();
    let failed: Vec<String> =
        outcomes.iter().filter_map(|(slug, r)| Some(format!("{slug}: {}", r.as_ref().err()?))).collect();
    for (slug, outcome) in &outcomes {
        println!("{slug}: {}", if outcome.is_ok() { "ok" } else { "FAILED" });
    }
    println!("{} of {} sources", outcomes.len() - failed.len(), outcomes.len());
    assert!(failed.is_empty(), "{} source(s) failed:\n{}", failed.len(), failed.join("\n"));
}

/// A source without a fixture is named in a list that can only shrink: a new spec without one fails here.
#[test]
fn every_source_has_a_fixture_or_is_named() {
    let registry = medcosmos::spec::Registry::built_in().unwrap();
    let missing: Vec<&str> = registry
        .specs()
        .iter()
        .map(|s| s.slug.as_str())
        .filter(|slug| !sources::ALL.iter().any(|f| f.slug == *slug))
        .collect();
    println!("no fixture yet, so not run by this suite: {}", missing.join(", "));
    assert_eq!(missing, sources::WITHOUT_FIXTURE);
}

#[test]
fn sources_are_recognised_and_built() {
    over_all(checks::built);
}

#[test]
fn the_archive_gives_the_same() {
    over_all(checks::archived);
}

#[test]
fn damage_is_reported_and_survived() {
    over_all(checks::damaged);
}

#[test]
fn all_at_once() {
    checks::all_at_once(sources::ALL);
}
