//! How well leaks are found, and at what cost. `cargo bench --bench leaks`.
//!
//! 1. Precision and recall on pairs of phantoms: half of them one patient, encoded again in one of several ways, half
//!    two
//!    patients of one kind, who are more alike than real ones are. Some pairs are pictures, some are volumes.
//! 2. Seconds and peak memory of `leaks` on a dataset of many slices, a tenth of whose patients are there twice.
//!
//! `MEDCOSMOS_BENCH_PAIRS` (2000) and `MEDCOSMOS_BENCH_SLICES` (1000000) say how much of each; 0 leaves one out. The
//! dataset takes about 1.5 kB a slice in the folder for temporary files.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use medcosmos::demo::phantom::{Acquisition, Grid, Noise, Random, Scene, Shape};
use medcosmos::formats;
use medcosmos::image::Samples;
use medcosmos::leaks::similarity::similarity;
use medcosmos::leaks::{Options, Record, Records, found, suspects};
use medcosmos::pipeline::{Existing, Progress, leaks};
use medcosmos::slices::{luma_fields, pixels_sha256, thumbnail};
use medcosmos::spec::Registry;
use medcosmos::store::{
    Dataset, EncodedImage, LeakRow, MaskRow, Partition, Rle, Shard, ShardKey, SliceRow, Stage, Verify, commit,
};
use rayon::prelude::*;

/// Set for the process that only measures.
const DATASET: &str = "MEDCOSMOS_BENCH_DATASET";

fn main() {
    if let Some(dataset) = std::env::var_os(DATASET) {
        return measure(Path::new(&dataset));
    }
    let size = |name: &str, default: usize| std::env::var(name).map_or(Ok(default), |n| n.parse()).expect("a number");
    let (pairs, slices) = (size("MEDCOSMOS_BENCH_PAIRS", 2000), size("MEDCOSMOS_BENCH_SLICES", 1_000_000));
    if pairs > 0 {
        quality(pairs);
    }
    if slices > 0 {
        scale(slices);
    }
}

/// A grey picture of 8 bits.
#[derive(Clone)]
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// A change of a copy: its name, and what it does.
type Change = (&'static str, fn(&Picture) -> Picture);

/// What is done to copies.
const CHANGES: [Change; 9] = [
    ("JPEG of quality 90", |p| jpeg(p, 90.0)),
    ("JPEG of quality 60", |p| jpeg(p, 60.0)),
    ("JPEG of quality 30", |p| jpeg(p, 30.0)),
    ("another type", |p| levels(p, |v| (0.8 * v + 0.1).floor())),
    ("noise of one level", |p| noise(p)),
    ("gamma 0.7", |p| levels(p, |v| 255.0 * (v / 255.0).powf(0.7))),
    ("gamma 1.5", |p| levels(p, |v| 255.0 * (v / 255.0).powf(1.5))),
    ("window", |p| levels(p, |v| (v - 25.0) * 255.0 / 180.0)),
    ("nine tenths of the size", |p| resized(p, 0.9)),
];

fn levels(p: &Picture, change: impl Fn(f64) -> f64) -> Picture {
    let pixels = p.pixels.iter().map(|&v| change(f64::from(v)).round().clamp(0.0, 255.0) as u8).collect();
    Picture { pixels, ..*p }
}

fn noise(p: &Picture) -> Picture {
    let mut random = Random::new(p.pixels.iter().map(|&v| u64::from(v)).sum());
    let mut moved = |v: u8| (i32::from(v) + (random.bits() % 3) as i32 - 1).clamp(0, 255) as u8;
    Picture { pixels: p.pixels.iter().map(|&v| moved(v)).collect(), ..*p }
}

fn jpeg(p: &Picture, quality: f32) -> Picture {
    let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_GRAYSCALE);
    compress.set_size(p.width, p.height);
    compress.set_quality(quality);
    let mut started = compress.start_compress(Vec::new()).expect("a JPEG");
    started.write_scanlines(&p.pixels).expect("lines");
    let image = formats::jpeg::read(&started.finish().expect("a JPEG")).expect("a picture");
    let Samples::U8(pixels) = image.samples else { panic!("8 bits") };
    Picture { pixels, ..*p }
}

/// Bilinear.
fn resized(p: &Picture, factor: f64) -> Picture {
    let [width, height] = [p.width, p.height].map(|n| (n as f64 * factor) as usize);
    let value = |i: usize| {
        let at = |n: usize, length: usize| ((n as f64 + 0.5) / factor - 0.5).clamp(0.0, length as f64 - 1.0);
        let (x, y) = (at(i % width, p.width), at(i / width, p.height));
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(p.width - 1), (y0 + 1).min(p.height - 1));
        let (fx, fy) = (x - x0 as f64, y - y0 as f64);
        let pixel = |x: usize, y: usize| f64::from(p.pixels[y * p.width + x]);
        let above = pixel(x0, y0) * (1.0 - fx) + pixel(x1, y0) * fx;
        let below = pixel(x0, y1) * (1.0 - fx) + pixel(x1, y1) * fx;
        (above * (1.0 - fy) + below * fy).round() as u8
    };
    Picture { width, height, pixels: (0..width * height).map(value).collect() }
}

/// A torso in CT: the same organs at nearly the same places in everybody.
fn torso(person: u64) -> Scene {
    let mut random = Random::new(person);
    let mut by = |spread: f64| random.between(-spread, spread);
    let mut scene = Scene::new(-600.0, 2.0, 9.0);
    let body = Shape::ellipsoid([0.0; 3], [150.0 + by(5.0), 105.0 + by(4.0), 900.0]).warped(person, 6.0, 80.0);
    scene.paint(body.clone(), -95.0, 12.0);
    scene.paint(body.clone().grown(-16.0), 50.0, 14.0);
    scene.paint(body.grown(-26.0), -90.0, 12.0);
    scene.paint(Shape::ellipsoid([by(2.0), 58.0, 0.0], [22.0, 19.0, 900.0]), 400.0, 40.0);
    for i in 0..8 {
        let at = [45.0 - 14.0 * (i % 5) as f64 + by(18.0), -38.0 + 30.0 * (i / 5) as f64 + by(12.0), by(30.0)];
        scene.paint(Shape::ellipsoid(at, [17.0, 14.0, 24.0]).warped(person ^ (i << 8), 5.0, 14.0), 30.0, 30.0);
    }
    let liver =
        Shape::ellipsoid([-62.0 + by(4.0), -10.0 + by(4.0), 0.0], [62.0, 60.0, 80.0]).warped(person + 1, 9.0, 48.0);
    scene.paint(liver, 110.0, 14.0);
    for side in [-1.0, 1.0] {
        let kidney = Shape::turned([side * (62.0 + by(3.0)), 44.0 + by(3.0), by(6.0)], [24.0, 30.0, 60.0], side * 30.0);
        scene.paint(kidney.warped(person + 2, 3.0, 16.0), 170.0, 12.0);
    }
    scene
}

/// A head in MRI: skull, folded grey matter around white matter, ventricles.
fn head(person: u64) -> Scene {
    let mut random = Random::new(person ^ 0xbead);
    let mut by = |spread: f64| random.between(-spread, spread);
    let mut scene = Scene::new(8.0, 1.5, 5.0);
    let skull = Shape::ellipsoid([0.0; 3], [74.0 + by(2.0), 92.0 + by(2.0), 90.0]);
    scene.paint(skull.clone(), 200.0, 20.0);
    scene.paint(skull.clone().grown(-6.0), 30.0, 6.0);
    scene.paint(skull.clone().grown(-10.0).warped(person, 3.0, 14.0), 110.0, 14.0);
    scene.paint(skull.grown(-17.0).warped(person + 1, 8.0, 16.0), 160.0, 12.0);
    for side in [-1.0, 1.0] {
        let ventricle = Shape::turned([side * (13.0 + by(2.0)), by(5.0), by(4.0)], [7.0, 28.0, 22.0], side * -12.0);
        scene.paint(ventricle.warped(person + 2, 3.0, 16.0), 35.0, 5.0);
    }
    scene
}

/// An eye's ground: a round field, the disc, dark vessels on a mottled red.
fn eye(person: u64) -> Scene {
    let mut random = Random::new(person ^ 0xe4e);
    let mut by = |spread: f64| random.between(-spread, spread);
    let mut scene = Scene::new(4.0, 2.0, 30.0);
    let field = Shape::ellipsoid([0.0; 3], [92.0, 92.0, 400.0]);
    scene.paint(field.clone(), 110.0, 22.0);
    let disc = [46.0 + by(4.0), by(5.0), 0.0];
    for i in 0..10 {
        let turn = 36.0 * f64::from(i) + by(14.0);
        let (sin, cos) = libm::sincos(turn.to_radians());
        let middle = [disc[0] + 45.0 * cos + by(12.0), disc[1] + 45.0 * sin + by(12.0), 0.0];
        let end = [disc[0] + 110.0 * cos + by(30.0), disc[1] + 110.0 * sin + by(30.0), 0.0];
        scene.paint(Shape::tube(&[disc, middle, end], 2.4).within(field.clone()), 65.0, 6.0);
    }
    scene.paint(Shape::ellipsoid(disc, [13.0, 14.0, 400.0]), 190.0, 12.0);
    scene.paint(
        Shape::ellipsoid([-14.0 + by(3.0), by(3.0), 0.0], [17.0, 16.0, 400.0]).warped(person, 4.0, 12.0),
        88.0,
        8.0,
    );
    scene
}

/// `n` slices of a person, stretched to 8 bits each.
fn slices(kind: u64, person: u64, n: usize) -> Vec<Picture> {
    const SIDE: usize = 128;
    let (scene, step, noise) = match kind % 3 {
        0 => (torso(person), [2.5, 1.8, 10.0], 14.0),
        1 => (head(person), [1.3, 1.6, 6.0], 4.0),
        _ => (eye(person), [1.5, 1.5, 1.0], 3.0),
    };
    let grid = Grid::centred([SIDE, SIDE, n], step);
    let seen = scene.render(&grid, Acquisition { noise, bias: 0.1, seed: person });
    let stretched = |values: &[f64]| {
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v), high.max(v)));
        values.iter().map(|v| (255.0 * (v - low) / (high - low)) as u8).collect()
    };
    seen.values.chunks(SIDE * SIDE).map(|page| Picture { width: SIDE, height: SIDE, pixels: stretched(page) }).collect()
}

const KINDS: [&str; 3] = ["torso", "head", "eye"];

/// One slice in every fifth pair is a volume of this many.
const VOLUME: usize = 6;

fn quality(pairs: usize) {
    println!("pairs: {pairs}");
    // Pair `i`: two lists of slices, and the change that makes the second a copy of the first.
    let pair = |i: usize| -> (Vec<Picture>, Vec<Picture>, Option<usize>) {
        let n = if i % 10 < 2 { VOLUME } else { 1 };
        // An eye has no slices.
        let kind = if n > 1 { i as u64 / 2 % 2 } else { i as u64 / 2 };
        let first = slices(kind, 10 * i as u64, n);
        if i % 2 == 1 {
            return (first, slices(kind, 10 * i as u64 + 5, n), None);
        }
        let change = i / 2 % CHANGES.len();
        let copy = first.iter().map(CHANGES[change].1).collect();
        (first, copy, Some(change))
    };
    let all: Vec<(Vec<Picture>, Vec<Picture>, Option<usize>)> = (0..pairs).into_par_iter().map(pair).collect();

    let mut pictures: Vec<(String, String, &Picture)> = Vec::new();
    for (i, (first, second, _)) in all.iter().enumerate() {
        for (name, list) in [("a", first), ("b", second)] {
            let case = format!("{name}/p{i:06}");
            pictures.extend(list.iter().enumerate().map(|(z, p)| (case.clone(), format!("{case}/z{z:04}"), p)));
        }
    }
    let described: Vec<(String, Vec<u8>)> = pictures
        .par_iter()
        .map(|(_, _, p)| (pixels_sha256(&p.pixels), thumbnail(&p.pixels, p.width, p.height, 1)))
        .collect();
    let records = Records::new(pictures.iter().zip(&described).map(|((case, id, p), (digest, thumbnail))| Record {
        slice_id: id,
        case_id: case,
        patient_id: case,
        source: &case[..1],
        split: None,
        size: [p.width as u32, p.height as u32],
        pixels_sha256: digest,
        thumbnail,
    }))
    .expect("records");
    let started = Instant::now();
    let options = Options::default();
    let suspicions = suspects(&records, &options);
    let fields = |slice: u32, side: usize| {
        let p = pictures[slice as usize].2;
        luma_fields(&p.pixels, p.width, p.height, 1, side)
    };
    let look = |a, b, side| similarity(&fields(a, side), &fields(b, side), side);
    let confirmed: Vec<_> = suspicions.iter().filter(|s| s.holds(&records, &options, look)).collect();
    let leaks = found(&records, confirmed.iter().copied());
    println!(
        "suspicions {}, confirmed {}, {:.1} s",
        suspicions.len(),
        confirmed.len(),
        started.elapsed().as_secs_f64()
    );

    let linked: BTreeSet<(&str, &str)> =
        leaks.links.iter().map(|l| (records.patient_id(l.patient), records.patient_id(l.other))).collect();
    let mut recall: BTreeMap<(usize, &str), (usize, usize)> = BTreeMap::new();
    let mut right = 0;
    for (i, (first, _, change)) in all.iter().enumerate() {
        let (a, b) = (format!("a/p{i:06}"), format!("b/p{i:06}"));
        let is_linked = linked.contains(&(a.as_str(), b.as_str()));
        if let Some(change) = change {
            let entry = recall.entry((*change, if first.len() > 1 { "volumes" } else { "pictures" })).or_default();
            entry.0 += usize::from(is_linked);
            entry.1 += 1;
            right += usize::from(is_linked);
        }
    }
    for ((change, what), (found, of)) in &recall {
        println!(
            "recall {:<24} {what:<9} {found:>4} of {of:>4}  {:.3}",
            CHANGES[*change].0,
            *found as f64 / *of as f64
        );
    }
    // What kinds of patients are taken for one, and how alike the pairs of different ones are.
    let kind = |i: usize, n: usize| KINDS[(if n > 1 { i as u64 / 2 % 2 } else { i as u64 / 2 } % 3) as usize];
    let of_name = |name: &str| name[3..].parse::<usize>().expect("a number");
    let mut wrong: BTreeMap<[&str; 2], usize> = BTreeMap::new();
    for (a, b) in &linked {
        let (i, j) = (of_name(a), of_name(b));
        if i != j || all[i].2.is_none() {
            let mut kinds = [kind(i, all[i].0.len()), kind(j, all[j].0.len())];
            kinds.sort();
            *wrong.entry(kinds).or_default() += 1;
        }
    }
    println!("linked by mistake: {wrong:?}");
    let mut different: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (i, (first, second, _)) in all.iter().enumerate().filter(|(_, pair)| pair.2.is_none()) {
        let fields = |p: &Picture| luma_fields(&p.pixels, p.width, p.height, 1, 64);
        let alike = similarity(&fields(&first[0]), &fields(&second[0]), 64);
        different.entry(kind(i, first.len())).or_default().push(alike);
    }
    for (kind, values) in &mut different {
        values.sort_by(f64::total_cmp);
        let (middle, last) = (values[values.len() / 2], values[values.len() - 1]);
        println!("similarity of two patients, {kind:<6} median {middle:.3}, greatest {last:.3}");
    }
    let of: usize = recall.values().map(|(_, of)| of).sum();
    println!("recall    {:.4} ({right} of {of})", right as f64 / of as f64);
    println!("precision {:.4} ({right} of {} linked pairs)", right as f64 / linked.len().max(1) as f64, linked.len());
}

/// Slices of a volume of the large dataset, and volumes of a shard.
const SLICES: usize = 200;
const CASES: usize = 25;

/// Thumbnail `z` of a person: three quarters of what everybody has in common, a quarter of their own, slowly changing.
fn large(common: &[f64], person: u64, z: usize, copy: bool) -> Vec<u8> {
    let (first, second) = (Noise::new(2 * person), Noise::new(2 * person + 1));
    let share = z as f64 / SLICES as f64;
    let value = |i: usize| {
        let (x, y) = ((i % 16) as f64, (i / 16) as f64);
        let rim = (x - 7.5).hypot(y - 7.5) > 7.8;
        let p = [x / 2.5, y / 2.5, 3.0 * share];
        let own = (1.0 - share) * first.smooth(p) + share * second.smooth(p);
        let level = if rim { 3.0 } else { 110.0 + 50.0 * common[i] + 60.0 * own };
        let level = if copy { 255.0 * (level / 255.0).max(0.0).powf(1.2) } else { level };
        level.round().clamp(0.0, 255.0) as u8
    };
    (0..256).map(value).collect()
}

fn scale(slices: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dataset = Dataset::create(folder.path().join("data")).expect("a dataset");
    let common: Vec<f64> =
        (0..256).map(|i| Noise::new(1).fractal([(i % 16) as f64 / 4.0, (i / 16) as f64 / 4.0, 0.0], 2)).collect();
    let cases = slices.div_ceil(SLICES);
    let started = Instant::now();
    let shards: Vec<Shard> = (0..cases.div_ceil(CASES))
        .into_par_iter()
        .map(|at| {
            let key = ShardKey::new().with("first", at.to_string());
            let shard = Shard::new(Stage::Build, Partition::source("large").expect("a name"), key);
            let mut writer = dataset.begin(&shard);
            for case in at * CASES..((at + 1) * CASES).min(cases) {
                // Every tenth patient is the one before once more.
                let copy = case % 10 == 9;
                let person = if copy { case as u64 - 1 } else { case as u64 };
                for z in 0..SLICES.min(slices - case * SLICES) {
                    let row = slice_row(case, z, large(&common, person, z, copy));
                    if case == at * CASES && z == 0 {
                        writer.push(mask_row(&row)).expect("a mask");
                    }
                    writer.push(row).expect("a slice");
                }
            }
            writer.finish().expect("a shard");
            shard
        })
        .collect();
    commit(&dataset, &shards, Verify::Quick).expect("a commit");
    println!("{slices} slices of {cases} patients, written in {:.0} s", started.elapsed().as_secs_f64());
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program).env(DATASET, dataset.path()).status().expect("a process");
    assert!(status.success());
    let mut kinds: HashMap<String, usize> = HashMap::new();
    let (mut right, mut all) = (0, 0);
    for row in dataset.rows::<LeakRow>().expect("leaks") {
        let row = row.expect("a leak");
        *kinds.entry(row.kind.to_string()).or_default() += 1;
        let number = |id: &str| id[id.len() - 6..].parse::<usize>().expect("a number");
        right += usize::from(
            number(&row.patient_id) % 10 == 8 && number(&row.other_patient_id) == number(&row.patient_id) + 1,
        );
        all += 1;
    }
    println!("links {kinds:?}: {right} right, {} wrong, {} there", all - right, cases / 10);
}

fn slice_row(case: usize, z: usize, thumbnail: Vec<u8>) -> SliceRow {
    let case_id = format!("large/p{case:06}");
    let slice_id = format!("{case_id}/z{z:04}");
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().expect("a PNG");
    writer.write_image_data(&thumbnail).expect("a PNG");
    writer.finish().expect("a PNG");
    SliceRow {
        image: EncodedImage { bytes: bytes.into(), path: format!("{slice_id}.png") },
        slice_id,
        patient_id: case_id.clone(),
        case_id,
        source: "large".into(),
        split: None,
        modality: "CT".into(),
        plane: "axial".into(),
        slice_index: z as u32,
        frame: 0,
        height: 16,
        width: 16,
        channels: 1,
        spacing_row_mm: None,
        spacing_col_mm: None,
        intensity_min: 0.0,
        intensity_max: 255.0,
        pixels_sha256: pixels_sha256(&thumbnail),
        perceptual_hash: 0,
        thumbnail: thumbnail.into(),
    }
}

fn mask_row(slice: &SliceRow) -> MaskRow {
    MaskRow {
        mask_id: format!("{}/liver", slice.slice_id),
        slice_id: slice.slice_id.clone(),
        case_id: slice.case_id.clone(),
        patient_id: slice.patient_id.clone(),
        source: slice.source.clone(),
        modality: slice.modality.clone(),
        object: "liver".into(),
        target: "liver-CT".into(),
        label_value: "1".into(),
        label_name: "liver".into(),
        laterality: None,
        instance: None,
        rater: None,
        excluded: false,
        exclusion_reason: None,
        area_px: 0,
        area_mm2: None,
        bbox: [0; 4],
        centroid_x: 0.0,
        centroid_y: 0.0,
        components: 0,
        touches_border: false,
        mask: Rle::default(),
    }
}

/// The process that is measured.
fn measure(path: &Path) {
    let dataset = Dataset::open(path).expect("the dataset");
    let registry = Registry::built_in().expect("the built-in specs");
    let started = Instant::now();
    let report = leaks(&dataset, &registry, &Options::default(), Existing::Keep, &Progress::new(true)).expect("leaks");
    let seconds = started.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak memory unknown").to_string();
    println!("leaks on {} slices, {} threads: {seconds:.1} s; {peak}", report.slices, rayon::current_num_threads());
}
