//! Properties that must hold for any patients, seeds and orders.

use proptest::prelude::*;

use super::*;

fn part(name: &str, share: f64) -> (String, f64) {
    (name.to_string(), share)
}

fn default_plan() -> SplitPlan {
    SplitPlan::Fractions(vec![part("train", 0.7), part("validation", 0.1), part("test", 0.2)])
}

/// Number of a leak group and of an official split, slices, and masks of each target.
type Drawn = (Option<u8>, Option<usize>, u64, Vec<u64>);

/// Patients of up to three targets, some linked, some with official splits.
fn patients() -> impl Strategy<Value = Vec<Patient>> {
    let one =
        (prop::option::of(0u8..6), prop::option::weighted(0.3, 0usize..3), 1u64..20, prop::collection::vec(0u64..9, 3));
    prop::collection::vec(one, 1..60).prop_map(|list| {
        let name = |at: usize| format!("source/p{at}");
        // A group is called after its first patient.
        let first = |group: u8| list.iter().position(|entry| entry.0 == Some(group)).map(name);
        let patient = |(at, (group, official, slices, masks)): (usize, &Drawn)| Patient {
            id: name(at),
            leak_group: group.and_then(first),
            official: official.map(|n| ["train", "test", "validation"][n].to_string()).into_iter().collect(),
            slices: *slices,
            masks: masks.iter().enumerate().map(|(t, n)| (format!("target{t}"), *n)).collect(),
        };
        list.iter().enumerate().map(patient).collect()
    })
}

fn plans() -> impl Strategy<Value = SplitPlan> {
    prop_oneof![Just(default_plan()), (2u32..6).prop_map(SplitPlan::Folds)]
}

fn check(patients: &[Patient], split: &Split) -> Vec<String> {
    let assigned: Vec<Assigned> = patients
        .iter()
        .zip(&split.places)
        .map(|(patient, place)| Assigned { patient: patient.id.clone(), place: Some(place.clone()) })
        .collect();
    let links: Vec<(String, String)> =
        patients.iter().filter_map(|p| Some((p.leak_group.clone()?, p.id.clone()))).collect();
    crossings(&assigned, patients.iter().map(|p| p.id.as_str()), &links)
}

proptest! {
    #[test]
    fn nobody_is_on_two_sides_and_the_order_is_of_no_consequence(
        patients in patients(), plan in plans(), seed: u64, ignore_official: bool, turn in 0usize..60,
    ) {
        let options = Options { plan, seed, ignore_official };
        let found = split(&patients, &options);
        prop_assert_eq!(check(&patients, &found), Vec::<String>::new());
        let mut turned = patients.clone();
        turned.rotate_left(turn % patients.len());
        turned.reverse();
        let again = split(&turned, &options);
        prop_assert_eq!(&found.straddling, &again.straddling);
        for (patient, place) in patients.iter().zip(&found.places) {
            let at = turned.iter().position(|p| p.id == patient.id).unwrap();
            prop_assert_eq!(&again.places[at], place);
        }
    }

    #[test]
    fn official_splits_are_kept_and_contradictions_go_to_training(patients in patients(), seed: u64) {
        let found = split(&patients, &Options { plan: default_plan(), seed, ignore_official: false });
        for (patient, place) in patients.iter().zip(&found.places) {
            let group = |p: &Patient| p.leak_group.clone().unwrap_or_else(|| p.id.clone());
            let official: BTreeSet<&String> =
                patients.iter().filter(|p| group(p) == group(patient)).flat_map(|p| &p.official).collect();
            let expected = match official.len() {
                0 => continue,
                1 => official.first().unwrap().as_str(),
                _ => "train",
            };
            prop_assert_eq!(place, &Place::Part(expected.into()));
            prop_assert_eq!(found.straddling.contains(&group(patient)), official.len() > 1);
        }
    }

    /// A part gets what it should, except for a group at most.
    #[test]
    fn shares_are_met_as_far_as_groups_allow(sizes in prop::collection::vec(1u64..12, 12..80), seed: u64) {
        let patients: Vec<Patient> = sizes
            .iter()
            .enumerate()
            .map(|(at, &n)| Patient {
                id: format!("s/{at}"),
                slices: n,
                masks: BTreeMap::from([("target".to_string(), n)]),
                ..Patient::default()
            })
            .collect();
        let found = split(&patients, &Options { plan: default_plan(), seed, ignore_official: false });
        let total: u64 = sizes.iter().sum();
        let largest = *sizes.iter().max().unwrap() as f64;
        for (name, share) in [("train", 0.7), ("validation", 0.1), ("test", 0.2)] {
            let of_part = found.places.iter().zip(&sizes).filter(|(place, _)| **place == Place::Part(name.into()));
            let got: u64 = of_part.map(|(_, n)| n).sum();
            prop_assert!((got as f64 - share * total as f64).abs() <= largest, "{}: {} of {}", name, got, total);
        }
    }
}

#[test]
fn rare_targets_are_dealt_out_evenly() {
    let patient = |at: usize| {
        let mut masks = BTreeMap::from([("common".to_string(), 10)]);
        if at < 10 {
            masks.insert("rare".to_string(), 1);
        }
        Patient { id: format!("s/{at:03}"), slices: 10, masks, ..Patient::default() }
    };
    let patients: Vec<Patient> = (0..100).map(patient).collect();
    for seed in 0..20 {
        let found = split(&patients, &Options { plan: default_plan(), seed, ignore_official: false });
        let count = |part: &str, among: &[Place]| among.iter().filter(|p| **p == Place::Part(part.into())).count();
        assert_eq!(
            ["train", "validation", "test"].map(|part| count(part, &found.places[..10])),
            [7, 1, 2],
            "seed {seed}"
        );
        assert_eq!(["train", "validation", "test"].map(|part| count(part, &found.places)), [70, 10, 20], "seed {seed}");
    }
    let other = |seed| split(&patients, &Options { plan: default_plan(), seed, ignore_official: false }).places;
    assert_ne!(other(1), other(2), "a seed decides between what is equally good");
}

#[test]
fn an_official_test_set_is_in_no_fold() {
    let patient = |id: &str, official: &[&str]| Patient {
        id: id.into(),
        official: official.iter().map(ToString::to_string).collect(),
        slices: 1,
        ..Patient::default()
    };
    let mut patients =
        vec![patient("a", &["test"]), patient("b", &["train"]), patient("c", &[]), patient("d", &["test", "train"])];
    let options = Options { plan: SplitPlan::Folds(3), seed: 0, ignore_official: false };
    let found = split(&patients, &options);
    assert_eq!(found.places[0], Place::Part("test".into()));
    assert!(found.places[1..].iter().all(|place| matches!(place, Place::Fold(_))), "{found:?}");
    assert_eq!(found.straddling, ["d"]);
    // A name that nobody asked for is no reason to leave a patient out.
    patients[1].official = BTreeSet::from(["extra".to_string()]);
    let found = split(&patients, &Options { plan: default_plan(), ..options });
    assert_eq!(found.unknown, BTreeSet::from(["extra".to_string()]));
}

#[test]
fn the_check_finds_what_is_wrong() {
    let row = |patient: &str, place: Option<Place>| Assigned { patient: patient.into(), place };
    let (train, test) = (Some(Place::Part("train".into())), Some(Place::Part("test".into())));
    let link = |a: &str, b: &str| (a.to_string(), b.to_string());
    let rows =
        [row("a", train.clone()), row("b", train.clone()), row("c", test.clone()), row("d", Some(Place::Fold(1)))];
    assert_eq!(crossings(&rows, ["a", "b", "c", "d"], &[link("a", "b")]), [] as [&str; 0]);
    let linked = crossings(&rows, ["a", "b", "c", "d"], &[link("a", "b"), link("c", "b")]);
    assert_eq!(linked, ["linked patients are in different splits: a in train, c in test"]);
    let twice = crossings(&[row("a", train), row("a", test), row("b", None)], ["a", "e"], &[]);
    assert_eq!(twice, ["a is in both train and test", "b is in no split and no fold", "e is not assigned"]);
}
