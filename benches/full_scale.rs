//! The stages on a dataset as large as COSMOS 1050K: 1.05 million slices with six masks each. Images are small (64 x
//! 64), since what grows with the number of slices is what is measured; what a slice of full size costs is measured by
//! `benches/compare.py`.
//!
//! `cargo bench --bench full_scale` runs 1/100, 1/10 and all of it, each in a process of its own, and prints seconds,
//! peak memory and the cost of a slice: where the last is flat, nothing grows faster than the work. `MEDCOSMOS_SLICES`
//! sets another size. The largest run writes some gigabytes below the system's folder for temporary files.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::time::Instant;

use medcosmos::mask::{Connectivity, Mask};
use medcosmos::models::OtsuBox;
use medcosmos::pipeline::{
    Divided, EvaluateOptions, Existing, OpenWork, PredictOptions, Progress, SHARD_SECONDS, WorkShard,
    divided_evaluation, divided_prediction, evaluate, predict,
};
use medcosmos::prompts::Strategy;
use medcosmos::slices::{perceptual_hash, pixels_sha256, thumbnail};
use medcosmos::sources::scan;
use medcosmos::spec::Registry;
use medcosmos::store::{
    CaseRow, CaseStatus, Dataset, EncodedImage, MaskRow, Partition, Rle, Shard, ShardKey, SliceRow, Stage, Verify,
    commit,
};
use rayon::prelude::*;

/// Slices of COSMOS 1050K (the paper's abstract).
const SLICES: usize = 1_050_000;
const MASKS_PER_SLICE: usize = 6;
const SLICES_PER_CASE: usize = 30;
const CASES_PER_SHARD: usize = 64;
const SOURCES: usize = 53;
const SIDE: u32 = 64;
/// Different pictures; ids, patients and digests differ for every slice.
const PICTURES: usize = 512;

fn main() {
    let slices = std::env::var("MEDCOSMOS_SLICES").map_or(SLICES, |n| n.parse().expect("a number of slices"));
    if let Ok(part) = std::env::var("MEDCOSMOS_PART") {
        return measure(part.parse().expect("a number of slices"));
    }
    println!("{:>12}  {:<10}  {:>8}  {:>12}  {:>10}", "slices", "stage", "seconds", "µs a slice", "peak MB");
    for part in [slices / 100, slices / 10, slices] {
        let program = std::env::current_exe().expect("this program");
        let status = std::process::Command::new(program).env("MEDCOSMOS_PART", part.to_string()).status();
        assert!(status.expect("a process").success());
    }
}

/// Peak memory of this process in megabytes, where the system tells it.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1000
}

fn stage<T>(slices: usize, name: &str, run: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let outcome = run();
    let seconds = started.elapsed().as_secs_f64();
    println!("{slices:>12}  {name:<10}  {seconds:>8.1}  {:>12.1}  {:>10}", 1e6 * seconds / slices as f64, peak());
    outcome
}

fn measure(slices: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data");
    let quiet = Progress::new(true);
    stage(slices, "scan", || {
        let paths = paths(slices / SLICES_PER_CASE, slices / 2);
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let found = scan(&Registry::built_in().expect("the built-in specs"), &paths);
        assert_eq!(found.sources.len(), 2);
    });
    let dataset = Dataset::create(&path).expect("a dataset");
    stage(slices, "write", || write(&dataset, slices));
    stage(slices, "plan", || plans(&dataset));
    stage(slices, "predict", || {
        let options = PredictOptions { strategies: vec![Strategy::Box], ..PredictOptions::default() };
        predict(&dataset, &OtsuBox, &options, &quiet).expect("predictions")
    });
    stage(slices, "evaluate", || {
        evaluate(&dataset, &EvaluateOptions::default(), Existing::Keep, &OpenWork::Run, &quiet).expect("metrics")
    });
    stage(slices, "plan done", || plans(&dataset));
    #[cfg(feature = "query")]
    {
        use medcosmos::analysis::{AnalysisOptions, analyze, query};
        stage(slices, "query", || {
            let sql = "SELECT target, count(*) AS masks, avg(area_px) AS area FROM masks GROUP BY target";
            query(&path, sql).expect("an answer")
        });
        stage(slices, "analyze", || analyze(&path, &AnalysisOptions::default()).expect("an analysis"));
    }
}

/// Plans of a prediction and of an evaluation.
fn plans(dataset: &Dataset) {
    let options = PredictOptions { strategies: vec![Strategy::Box], ..PredictOptions::default() };
    let planned = divided_prediction(dataset, &OtsuBox, &options, SHARD_SECONDS, |work| plan(work)).expect("a plan");
    assert!(planned > 0);
    let options = EvaluateOptions::default();
    let planned = divided_evaluation(dataset, &options, Existing::Keep, |work| plan(work)).expect("a plan");
    assert!(planned > 0);
}

/// What `medcosmos plan` does: the shards of work, and whether each is done. Returns their number.
fn plan(work: &dyn Divided) -> usize {
    let shards = WorkShard::all(work, SHARD_SECONDS);
    WorkShard::are_done(&shards, work).expect("states").len()
}

/// Paths as a download of volumes and one of pictures have them.
fn paths(volumes: usize, pictures: usize) -> Vec<String> {
    let case =
        |n: usize| format!("Task03_Liver.tar/Task03_Liver/{}/liver_{}.nii.gz", ["imagesTr", "labelsTr"][n % 2], n / 2);
    let picture = |n: usize| match n % 2 {
        0 => format!("ISIC2018_Task1-2_Training_Input/ISIC_{:07}.jpg", n / 2),
        _ => format!("ISIC2018_Task1_Training_GroundTruth/ISIC_{:07}_segmentation.png", n / 2),
    };
    (0..2 * volumes).map(case).chain((0..2 * pictures).map(picture)).collect()
}

/// A picture with objects in it.
struct Phantom {
    png: Vec<u8>,
    pixels: Vec<u8>,
    masks: Vec<Mask>,
}

fn phantom(n: usize) -> Phantom {
    let mask = |k: usize| {
        let (x, y) = (8.0 + (k % 3) as f64 * 22.0 + (n % 5) as f64, 14.0 + (k / 3) as f64 * 30.0 + (n % 7) as f64);
        let (radius, lobes) = (6.0 + (n * 7 + k) as f64 % 5.0, 2.0 + ((n + k) % 4) as f64);
        Mask::from_predicate(SIDE, SIDE, |i| {
            let (dx, dy) = ((i % SIDE as usize) as f64 - x, (i / SIDE as usize) as f64 - y);
            dx.hypot(dy) < radius * (1.0 + 0.3 * (lobes * dy.atan2(dx)).sin())
        })
    };
    let masks: Vec<Mask> = (0..MASKS_PER_SLICE).map(mask).collect();
    let noise = |i: usize| ((i * 2_654_435_761 + n * 40_503) >> 7) as u8 % 60;
    let mut pixels: Vec<u8> = (0..(SIDE * SIDE) as usize).map(noise).collect();
    for (k, mask) in masks.iter().enumerate() {
        let inside = mask.to_bitmap();
        pixels
            .iter_mut()
            .zip(inside)
            .filter(|(_, inside)| *inside > 0)
            .for_each(|(p, _)| *p = p.saturating_add(60 + 20 * k as u8));
    }
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&pixels).expect("pixels");
    writer.finish().expect("an end");
    Phantom { png, pixels, masks }
}

fn write(dataset: &Dataset, slices: usize) {
    let phantoms: Vec<Phantom> = (0..PICTURES).map(phantom).collect();
    let cases = slices.div_ceil(SLICES_PER_CASE);
    let per_source = cases.div_ceil(SOURCES);
    let shards: Vec<(usize, usize)> = (0..SOURCES)
        .flat_map(|source| (0..per_source.div_ceil(CASES_PER_SHARD)).map(move |shard| (source, shard)))
        .collect();
    let written: Vec<Shard> = shards
        .into_par_iter()
        .map(|(source, shard)| {
            let cases = shard * CASES_PER_SHARD..((shard + 1) * CASES_PER_SHARD).min(per_source);
            write_shard(dataset, &phantoms, source, cases)
        })
        .collect();
    commit(dataset, &written, Verify::Quick).expect("a commit");
}

fn write_shard(dataset: &Dataset, phantoms: &[Phantom], source: usize, cases: std::ops::Range<usize>) -> Shard {
    let name = format!("source{source:02}");
    let key = ShardKey::new().with("first", cases.start.to_string());
    let shard = Shard::new(Stage::Build, Partition::source(&name).expect("a name"), key);
    let mut writer = dataset.begin(&shard);
    let modality = ["CT", "T1W MRI", "T2W MRI", "Ultrasound", "X-ray"][source % 5];
    for case in cases {
        let case_id = format!("{name}/case{case:05}");
        writer.push(case_row(&case_id, &name, modality)).expect("a row");
        for z in 0..SLICES_PER_CASE {
            let seed = (source * 31 + case) * 17 + z;
            let phantom = &phantoms[seed % PICTURES];
            let slice_id = format!("{case_id}/z{z:04}");
            writer.push(slice_row(&slice_id, &case_id, &name, modality, z, phantom)).expect("a row");
            for (k, mask) in phantom.masks.iter().enumerate() {
                writer.push(mask_row(&slice_id, &case_id, &name, modality, k, mask)).expect("a row");
            }
        }
    }
    writer.finish().expect("a shard on disk");
    shard
}

fn case_row(case_id: &str, source: &str, modality: &str) -> CaseRow {
    CaseRow {
        case_id: case_id.into(),
        source: source.into(),
        release: None,
        patient_id: case_id.into(),
        split: None,
        sequence: None,
        modality: modality.into(),
        raw: Vec::new(),
        shape: vec![SLICES_PER_CASE as u32, SIDE, SIDE],
        dtype: Some("int16".into()),
        spacing: Some(vec![1.0; 3]),
        orientation: Some("LPS".into()),
        affine: None,
        plane: Some("axial".into()),
        n_slices: SLICES_PER_CASE as u32,
        kept: SLICES_PER_CASE as u32,
        dropped_slices: 0,
        dropped_masks: 0,
        placement: Some("same".into()),
        placement_error_mm: None,
        status: CaseStatus::Ok,
        reason: None,
        notes: Vec::new(),
    }
}

fn slice_row(slice_id: &str, case_id: &str, source: &str, modality: &str, z: usize, phantom: &Phantom) -> SliceRow {
    let side = SIDE as usize;
    SliceRow {
        slice_id: slice_id.into(),
        case_id: case_id.into(),
        source: source.into(),
        patient_id: case_id.into(),
        split: None,
        modality: modality.into(),
        plane: "axial".into(),
        slice_index: z as u32,
        frame: 0,
        height: SIDE,
        width: SIDE,
        channels: 1,
        spacing_row_mm: Some(1.0),
        spacing_col_mm: Some(1.0),
        intensity_min: 0.0,
        intensity_max: 255.0,
        image: EncodedImage { bytes: phantom.png.clone().into(), path: format!("{slice_id}.png") },
        pixels_sha256: pixels_sha256(slice_id.as_bytes()),
        perceptual_hash: perceptual_hash(&phantom.pixels, side, side, 1),
        thumbnail: thumbnail(&phantom.pixels, side, side, 1).into(),
    }
}

fn mask_row(slice_id: &str, case_id: &str, source: &str, modality: &str, k: usize, mask: &Mask) -> MaskRow {
    let object = ["liver", "spleen", "left kidney", "right kidney", "pancreas", "stomach"][k];
    let (centroid_x, centroid_y) = mask.centroid().unwrap_or_default();
    MaskRow {
        mask_id: format!("{slice_id}/{k}"),
        slice_id: slice_id.into(),
        case_id: case_id.into(),
        patient_id: case_id.into(),
        source: source.into(),
        modality: modality.into(),
        object: object.into(),
        target: format!("{object}-{modality}"),
        label_value: (k + 1).to_string(),
        label_name: object.into(),
        laterality: None,
        instance: None,
        rater: None,
        excluded: false,
        exclusion_reason: None,
        area_px: mask.area() as u32,
        area_mm2: Some(mask.area() as f64),
        bbox: mask.bounding_box().unwrap_or_default(),
        centroid_x,
        centroid_y,
        components: mask.component_count(Connectivity::Eight),
        touches_border: mask.touches_border(),
        mask: Rle { size: [SIDE, SIDE], counts: mask.to_coco().into() },
    }
}
