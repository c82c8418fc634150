//! How long threads wait for work: the share of the time of two threads in which a stage does not compute.
//!
//! `cargo bench --bench idle` runs `predict` with a model that computes for a known time, different for every slice, and
//! `evaluate`, whose time is that of the process, over shards of different sizes. The limit is 0; each row also states
//! the speed-up from one thread to two, whose limit is 2. Other work on the machine makes it worse.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use medcosmos::demo::write;
use medcosmos::image::{Geometry, Image, Samples};
use medcosmos::mask::Mask;
use medcosmos::models::{Candidate, PreparedSlice, Result, Segmenter};
use medcosmos::pipeline::{
    BuildOptions, EvaluateOptions, Existing, OpenWork, PredictOptions, Progress, build, evaluate, predict,
};
use medcosmos::prompts::{Prompt, Strategy};
use medcosmos::slices::SlicePixels;
use medcosmos::spec::Registry;
use medcosmos::store::Dataset;

const SIDE: usize = 160;
/// Slices of each case: shards of different sizes.
const DEPTHS: [usize; 6] = [40, 3, 25, 1, 60, 8];

/// A model that computes for 2 to 40 ms a slice.
#[derive(Default)]
struct Spinning {
    /// Nanoseconds of all slices.
    total: AtomicU64,
}

impl Segmenter for Spinning {
    fn name(&self) -> &str {
        "spinning"
    }

    fn digest(&self) -> String {
        "1".into()
    }

    fn takes(&self, strategy: Strategy) -> bool {
        strategy == Strategy::Box
    }

    fn prepare<'s>(&'s self, slice: SlicePixels<'s>) -> Result<Box<dyn PreparedSlice + 's>> {
        let sum: u64 = slice.luma().iter().map(|&p| u64::from(p)).sum();
        let spin = Duration::from_millis(2 + sum.wrapping_mul(2_654_435_761) % 39);
        let begun = Instant::now();
        while begun.elapsed() < spin {
            std::hint::spin_loop();
        }
        self.total.fetch_add(spin.as_nanos() as u64, Ordering::Relaxed);
        Ok(Box::new(Blank { height: slice.height() as u32, width: slice.width() as u32 }))
    }
}

struct Blank {
    height: u32,
    width: u32,
}

impl PreparedSlice for Blank {
    fn predict(&mut self, prompts: &[Prompt]) -> Result<Vec<Vec<Candidate>>> {
        let inside = |i: usize| (40..120).contains(&(i % SIDE)) && (30..130).contains(&(i / SIDE));
        let mask = Mask::from_predicate(self.height, self.width, inside);
        Ok(prompts.iter().map(|_| vec![Candidate::unrated(mask.clone())]).collect())
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    downloads(&raw);
    println!("{:<10}  {:>10}  {:>14}  {:>10}", "stage", "wall s", "idle share", "speed-up");
    let [one, two] = [1, 2].map(|threads| {
        let data = folder.path().join(format!("data{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| stages(&raw, &data, threads))
    });
    for (one, two) in one.iter().zip(&two) {
        println!("{:<10}  {:>10.2}  {:>13.1} %  {:>10.2}", two.stage, two.wall, 100.0 * two.idle, one.wall / two.wall);
    }
}

struct Row {
    stage: &'static str,
    wall: f64,
    idle: f64,
}

fn stages(raw: &Path, data: &Path, threads: usize) -> [Row; 3] {
    let quiet = Progress::new(true);
    let row = |stage, busy: f64, wall: f64| Row { stage, wall, idle: 1.0 - busy / (wall * threads as f64) };
    let (busy, wall) = timed(|| {
        build(raw, data, &Registry::built_in().unwrap(), &BuildOptions::default(), &quiet).unwrap();
    });
    let built = row("build", busy, wall);
    let dataset = Dataset::open(data).unwrap();
    let model = Spinning::default();
    let options = PredictOptions { strategies: vec![Strategy::Box], ..PredictOptions::default() };
    let (_, wall) = timed(|| {
        predict(&dataset, &model, &options, &quiet).unwrap();
    });
    let predicted = row("predict", model.total.load(Ordering::Relaxed) as f64 / 1e9, wall);
    let (busy, wall) = timed(|| {
        evaluate(&dataset, &EvaluateOptions::default(), Existing::Keep, OpenWork::Run, &quiet).unwrap();
    });
    [built, predicted, row("evaluate", busy, wall)]
}

/// Seconds of processor and of wall.
fn timed(run: impl FnOnce()) -> (f64, f64) {
    let (begun, before) = (Instant::now(), processor());
    run();
    (processor() - before, begun.elapsed().as_secs_f64())
}

/// Processor seconds of this process; 0 where the system does not tell.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

/// Frames of ACDC with one object in every slice.
fn downloads(raw: &Path) {
    for (patient, depth) in (1..).zip(DEPTHS) {
        let volume = |samples| Image {
            size: [SIDE, SIDE, depth, 1],
            geometry: Some(Geometry::from_spacing([1.5, 1.5, 8.0])),
            ..Image::picture(SIDE, SIDE * depth, 1, samples)
        };
        let voxels = SIDE * SIDE * depth;
        let grey = |i: usize| ((i * 2_654_435_761 + patient * 40_503) >> 9) as i16 % 300;
        let label = |i: usize| {
            let (x, y) = ((i % SIDE) as f64 - 80.0, ((i / SIDE) % SIDE) as f64 - 80.0);
            if x.hypot(y) < 40.0 + 10.0 * (5.0 * y.atan2(x)).sin() { 3 } else { 0 }
        };
        let frame = raw.join(format!("training/patient{patient:03}/patient{patient:03}_frame01.nii.gz"));
        std::fs::create_dir_all(frame.parent().unwrap()).unwrap();
        write::image(&frame, &volume(Samples::I16((0..voxels).map(grey).collect()))).unwrap();
        let mask = frame.with_file_name(format!("patient{patient:03}_frame01_gt.nii.gz"));
        write::image(&mask, &volume(Samples::U8((0..voxels).map(label).collect()))).unwrap();
    }
}
