//! AutoLaparo: grey codes in steps of 20, repeated in three channels; the clip's number says the split.

use crate::fixture::{Damage, Ell, Fixture, MissingMask, Raw, UnknownLabel, case, colour, mask, object, repeated};

/// Label and object of each code, from 20 up.
const OBJECTS: [(&str, &str); 9] = [
    ("grasping_forceps_manipulator", "instrument manipulator"),
    ("grasping_forceps_shaft", "instrument shaft"),
    ("LigaSure_manipulator", "instrument manipulator"),
    ("LigaSure_shaft", "instrument shaft"),
    ("dissecting_and_grasping_forceps_manipulator", "instrument manipulator"),
    ("dissecting_and_grasping_forceps_shaft", "instrument shaft"),
    ("electric_hook_manipulator", "instrument manipulator"),
    ("electric_hook_shaft", "instrument shaft"),
    ("uterus", "uterus"),
];

/// Where object `n` of the list lies; no two overlap.
const fn part(n: usize) -> Ell {
    let (x, y) = (4 + 19 * (n % 3), 2 + 14 * (n / 3));
    Ell::new([x, y, 0], [x + 14, y + 10, 0], 20.0 * (n + 1) as f64)
}

/// 27 pixels: too few to be kept.
const TINY: Ell = Ell::new([50, 34, 0], [55, 39, 0], 60.0);

fn frame(raw: &Raw, name: &str, shapes: &[Ell]) {
    raw.image(&format!("AutoLaparo_Task3/imgs/{name}.jpg"), &colour(64, 46, shapes));
    raw.image(&format!("AutoLaparo_Task3/masks/{name}.png"), &repeated(&mask(64, 46, shapes), 3));
}

fn write(raw: &Raw) {
    let all: Vec<Ell> = (0..9).map(part).collect();
    frame(raw, "001001", &all);
    frame(raw, "170125", &[part(8)]);
    frame(raw, "171025", &[part(0), TINY]);
    frame(raw, "300125", &[part(7)]);
    raw.file("AutoLaparo_Task3/labels/001001.png", "not used, so not read");
    raw.file("AutoLaparo_Task3/scribbles/001001.png", "not used, so not read");
}

fn unknown_label(raw: &Raw) {
    frame(raw, "300125", &[part(7).of(30.0)]);
}

pub fn fixture() -> Fixture {
    let objects = |numbers: &[usize]| -> Vec<_> {
        numbers.iter().map(|&n| object(OBJECTS[n].0, OBJECTS[n].1, part(n))).collect()
    };
    let tiny = object("LigaSure_manipulator", "instrument manipulator", TINY);
    let frame = |id, clip, split| case(id, "Colonoscopy").patient(clip).split(split);
    Fixture {
        slug: "autolaparo",
        write,
        archives: &[("*", "AutoLaparo_Task3.zip")],
        cases: vec![
            frame("001_001", "clip_001", "train").objects(objects(&[0, 1, 2, 3, 4, 5, 6, 7, 8])),
            frame("170_125", "clip_170", "train").objects(objects(&[8])),
            frame("171_025", "clip_171", "validation").objects([objects(&[0]), vec![tiny]].concat()),
            frame("300_125", "clip_300", "test").objects(objects(&[7])),
        ],
        skipped: &[],
        damage: Damage {
            image: ("imgs/171025", &["171_025"]),
            mask: MissingMask::Skips { file: "masks/170125", case: "170_125", reason: "not labelled" },
            unknown_label: UnknownLabel::Written(unknown_label),
        },
    }
}
