//! The search as a whole, on pictures made of waves.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::similarity::similarity;
use super::*;

/// A 16 x 16 picture that a seed decides; neighbours of one `z` are alike.
fn picture(seed: u64, z: f64) -> Vec<u8> {
    let number = |i: u64| (candidates::mix(seed, i) >> 11) as f64 / (1u64 << 53) as f64;
    let wave = |at: usize| {
        let (x, y) = ((at % 16) as f64, (at / 16) as f64);
        let one = |i: u64| {
            let (kx, ky, phase) = (1.6 * number(3 * i) - 0.8, 1.6 * number(3 * i + 1) - 0.8, 6.3 * number(3 * i + 2));
            libm::sin(kx * x + ky * y + phase + 0.25 * z * (number(i) - 0.5))
        };
        (0..8).map(one).sum::<f64>()
    };
    (0..256).map(|at| (128.0 + 30.0 * wave(at)).clamp(0.0, 255.0) as u8).collect()
}

/// What stands for a slice: source, patient, case, split, digest and thumbnail.
struct Slice {
    patient: String,
    case: String,
    split: Option<&'static str>,
    digest: u64,
    thumbnail: Vec<u8>,
}

fn records(slices: &[Slice]) -> Records {
    let ids: Vec<String> = slices.iter().enumerate().map(|(at, s)| format!("{}/z{at:05}", s.case)).collect();
    let digests: Vec<String> = slices.iter().map(|s| format!("{:064x}", u128::from(s.digest) << 64)).collect();
    let digests: Vec<String> = digests.iter().map(|d| format!("{}{}", &d[32..], &d[..32])).collect();
    Records::new(slices.iter().zip(ids.iter().zip(&digests)).map(|(s, (id, digest))| Record {
        slice_id: id,
        case_id: &s.case,
        patient_id: &s.patient,
        source: s.patient.split('/').next().unwrap(),
        split: s.split,
        size: [30, 30],
        pixels_sha256: digest,
        thumbnail: &s.thumbnail,
    }))
    .unwrap()
}

fn one(patient: &str, digest: u64, thumbnail: Vec<u8>) -> Slice {
    Slice { patient: patient.into(), case: patient.into(), split: None, digest, thumbnail }
}

/// A volume: slices of a seed, seen through a change of the grey levels.
fn volume(patient: &str, seed: u64, n: usize, digest: u64, change: impl Fn(f64) -> f64) -> Vec<Slice> {
    let slice = |z: usize| {
        let levels =
            picture(seed, z as f64).into_iter().map(|v| (255.0 * change(f64::from(v) / 255.0)).clamp(0.0, 255.0) as u8);
        one(patient, digest + z as u64, levels.collect())
    };
    (0..n).map(slice).collect()
}

fn search(records: &Records, slices: &[Slice]) -> Leaks {
    let options = Options::default();
    let look = |a: u32, b: u32, side: usize| {
        assert_eq!(side, 16);
        similarity(&slices[a as usize].thumbnail, &slices[b as usize].thumbnail, side)
    };
    let suspicions = suspects(records, &options);
    found(records, suspicions.iter().filter(|suspicion| suspicion.holds(records, &options, look)))
}

fn links(records: &Records, leaks: &Leaks) -> Vec<(String, String, &'static str, u32)> {
    let name = |patient: u32| records.patient_id(patient).to_string();
    leaks.links.iter().map(|l| (name(l.patient), name(l.other), l.kind.name(), l.slices)).collect()
}

#[test]
fn volumes_are_found_through_gamma_and_in_reverse() {
    let mut slices = Vec::new();
    for patient in 0..30 {
        slices.extend(volume(&format!("a/p{patient:02}"), patient, 20, 1000 * patient, |v| v));
    }
    slices.extend(volume("b/gamma", 4, 20, 90_000, |v| v.powf(1.5)));
    let mut reversed = volume("b/reversed", 7, 20, 91_000, |v| 0.8 * v + 0.05);
    reversed.reverse();
    slices.extend(reversed);
    slices.extend(volume("b/other", 77, 20, 92_000, |v| v));
    let records = records(&slices);
    let found = search(&records, &slices);
    let expected = [
        ("a/p04".to_string(), "b/gamma".to_string(), "near", 20),
        ("a/p07".to_string(), "b/reversed".to_string(), "near", 20),
    ];
    assert_eq!(links(&records, &found), expected);
    assert_eq!(found.duplicates.len(), 80);
    let groups = found.groups();
    assert_eq!(groups.len(), 4);
}

#[test]
fn the_same_pixels_link_whatever_they_show_but_for_one_colour() {
    let noisy: Vec<u8> = (0..256).map(|i| 100 + (i % 2) as u8).collect();
    let slices = [
        one("a/flat", 1, noisy.clone()),
        one("b/flat", 1, noisy.clone()),
        one("c/flat", 2, noisy), // flat pictures are never near
        one("a/black", 3, vec![0; 256]),
        one("b/black", 3, vec![0; 256]),
        one("a/plain", 4, picture(9, 0.0)),
    ];
    let records = records(&slices);
    let found = search(&records, &slices);
    assert_eq!(links(&records, &found), [("a/flat".to_string(), "b/flat".to_string(), "exact", 1)]);
    assert_eq!(found.duplicates.iter().map(|d| (d.slice, d.first)).collect::<Vec<_>>(), [(0, 0), (1, 0)]);
}

#[test]
fn one_patient_leaks_only_across_splits() {
    let slice = |case: &str, split, digest| Slice {
        patient: "a/p".into(),
        case: format!("a/{case}"),
        split,
        digest,
        thumbnail: picture(3, 0.0),
    };
    let same = [slice("c1", Some("train"), 1), slice("c2", Some("train"), 1), slice("c3", None, 1)];
    assert_eq!(search(&records(&same), &same), Leaks::default());
    let crossing = [slice("c1", Some("train"), 1), slice("c2", Some("test"), 1), slice("c3", Some("test"), 5)];
    let found = search(&records(&crossing), &crossing);
    let kinds: Vec<(u32, u32, LeakKind)> = found.links.iter().map(|l| (l.patient, l.other, l.kind)).collect();
    assert_eq!(kinds, [(0, 0, LeakKind::Exact), (0, 0, LeakKind::Near)]);
}

/// A picture that a thousand patients share must not make a million pairs.
#[test]
fn a_picture_that_everybody_has_is_one_group_at_little_cost() {
    let slices: Vec<Slice> = (0..2000).map(|n| one(&format!("a/p{n:04}"), 7, picture(1, 0.0))).collect();
    let records = records(&slices);
    let found = search(&records, &slices);
    assert!(found.links.len() < 2 * slices.len(), "{}", found.links.len());
    assert_eq!(found.groups().into_values().collect::<BTreeSet<u32>>(), BTreeSet::from([0]));
    assert_eq!(found.duplicates.len(), 2000);
}

#[test]
fn names_of_patients_tell_who_is_who() {
    let registry = crate::spec::Registry::built_in().unwrap();
    let slices: Vec<Slice> = [
        "kits19/case_00003",
        "kits21/case_00003",
        "kits21/case_00004",
        "abdomenct-1k/Case_00297",
        "abdomenct-1k/Case_00928",
    ]
    .into_iter()
    .enumerate()
    .map(|(n, patient)| one(patient, n as u64, picture(n as u64, 0.0)))
    .collect();
    let records = records(&slices);
    let mut leaks = Leaks::default();
    leaks.add(declared(&records, registry.specs()).unwrap());
    let expected = [
        ("abdomenct-1k/Case_00297".to_string(), "abdomenct-1k/Case_00928".to_string(), "declared", 0),
        ("kits19/case_00003".to_string(), "kits21/case_00003".to_string(), "declared", 0),
    ];
    assert_eq!(links(&records, &leaks), expected);
    let there = declarations(&BTreeSet::from(["kits19", "abdomenct-1k"]), registry.specs());
    let told: Vec<(&str, &str, bool)> = there.iter().map(|d| (d.source.as_str(), d.other.as_str(), d.mapped)).collect();
    assert_eq!(
        told,
        [("abdomenct-1k", "abdomenct-1k", true), ("abdomenct-1k", "kits19", false), ("kits19", "abdomenct-1k", false)]
    );
}

proptest! {
    /// Whatever is there: links are between what is apart, twins are in linked patients, and each class has one first.
    #[test]
    fn what_is_found_is_consistent(list in prop::collection::vec((0u64..4, 0u64..5, 0u64..3, 0u8..3), 1..40)) {
        let slices: Vec<Slice> = list.iter().enumerate().map(|(at, &(patient, seed, digest, split))| Slice {
            patient: format!("a/p{patient}"),
            case: format!("a/c{at:03}"),
            split: [None, Some("train"), Some("test")][usize::from(split)],
            digest: 10 * seed + digest,
            thumbnail: picture(seed, 0.0),
        }).collect();
        let records = records(&slices);
        let found = search(&records, &slices);
        let pairs: BTreeSet<(u32, u32)> = found.links.iter().map(|l| (l.patient, l.other)).collect();
        for link in &found.links {
            let twins = link.twins.unwrap();
            prop_assert!(link.patient <= link.other && link.slices > 0);
            prop_assert_eq!((records.patient_of(twins.a), records.patient_of(twins.b)), (link.patient, link.other));
            prop_assert!(records.apart(twins.a, twins.b));
            let same = slices[twins.a as usize].digest == slices[twins.b as usize].digest;
            prop_assert_eq!(same, link.kind == LeakKind::Exact);
        }
        for duplicate in &found.duplicates {
            prop_assert!(duplicate.first <= duplicate.slice);
            let first = found.duplicates.iter().find(|d| d.slice == duplicate.first);
            prop_assert_eq!(first.map(|d| d.first), Some(duplicate.first));
        }
        // Two patients with the same pixels are always linked.
        for (i, a) in slices.iter().enumerate() {
            for (j, b) in slices.iter().enumerate().skip(i + 1) {
                let (p, q) = (records.patient_of(i as u32), records.patient_of(j as u32));
                if a.digest == b.digest && p != q {
                    prop_assert!(pairs.contains(&(p.min(q), p.max(q))), "{:?}", (i, j));
                }
            }
        }
    }
}
