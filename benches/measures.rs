//! Speed of what is done for every mask: label maps to masks, metrics, factors. `cargo bench --bench measures`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use divan::{Bencher, black_box};
use medcosmos::factors::{BoundaryComplexity, FourierOptions, IntensityContrast, Picture, outer_contour};
use medcosmos::mask::label_map::value_masks;
use medcosmos::mask::{Connectivity, Mask};
use medcosmos::metrics::{Comparison, MetricOptions, Spacing};

const SIDE: u32 = 512;

fn main() {
    divan::main();
}

/// A lobed organ around (x, y).
fn organ(x: f64, y: f64, radius: f64, lobes: f64) -> Mask {
    Mask::from_predicate(SIDE, SIDE, |i| {
        let (dx, dy) = ((i % SIDE as usize) as f64 - x, (i / SIDE as usize) as f64 - y);
        dx.hypot(dy) < radius * (1.0 + 0.25 * (lobes * dy.atan2(dx)).sin())
    })
}

/// Dots all over the slice, as in a field of cells.
fn scattered(shift: usize) -> Mask {
    Mask::from_predicate(SIDE, SIDE, |i| {
        let (x, y) = ((i % SIDE as usize + shift) % 40, (i / SIDE as usize) % 40);
        x.abs_diff(20).pow(2) + y.abs_diff(20).pow(2) < 81
    })
}

fn label_map<T: Copy + From<u8>>() -> Vec<T> {
    let (a, b) = (organ(180.0, 200.0, 70.0, 3.0).to_bitmap(), organ(340.0, 300.0, 90.0, 5.0).to_bitmap());
    a.iter().zip(&b).map(|(a, b)| T::from(a + 2 * b)).collect()
}

#[divan::bench(types = [u8, i16, i64])]
fn masks_of_two_organs<T: Copy + Ord + From<u8>>(bencher: Bencher) {
    let labels = label_map::<T>();
    bencher.bench_local(|| value_masks(SIDE, SIDE, black_box(&labels), T::from(0)));
}

#[divan::bench]
fn components_of_scattered_dots(bencher: Bencher) {
    let mask = scattered(0);
    bencher.bench_local(|| black_box(&mask).component_count(Connectivity::Eight));
}

fn compare(bencher: Bencher, prediction: Mask, truth: Mask) {
    let spacing = Spacing::new(0.7, 0.8);
    bencher.bench_local(|| {
        let comparison = Comparison::new(black_box(&prediction), &truth, spacing, MetricOptions::default());
        comparison.map(|comparison| comparison.values().iter().filter_map(|(_, value)| value.number()).sum::<f64>())
    });
}

#[divan::bench]
fn all_metrics_of_a_compact_organ(bencher: Bencher) {
    compare(bencher, organ(258.0, 250.0, 88.0, 5.0), organ(250.0, 250.0, 90.0, 5.0));
}

#[divan::bench]
fn all_metrics_of_two_distant_organs(bencher: Bencher) {
    compare(bencher, organ(90.0, 90.0, 60.0, 5.0), organ(420.0, 420.0, 60.0, 5.0));
}

#[divan::bench]
fn all_metrics_of_scattered_dots(bencher: Bencher) {
    compare(bencher, scattered(3), scattered(0));
}

#[divan::bench]
fn contour(bencher: Bencher) {
    let mask = organ(250.0, 250.0, 90.0, 5.0);
    bencher.bench_local(|| outer_contour(black_box(&mask)));
}

#[divan::bench]
fn boundary_complexity(bencher: Bencher) {
    let mask = organ(250.0, 250.0, 90.0, 5.0);
    bencher.bench_local(|| BoundaryComplexity::of(black_box(&mask), &FourierOptions::default()));
}

#[divan::bench]
fn boundary_complexity_up_to_the_cap(bencher: Bencher) {
    let mask = organ(250.0, 250.0, 90.0, 5.0);
    let options = FourierOptions { dice: 1.0, plateau: 0.0, ..FourierOptions::default() };
    bencher.bench_local(|| BoundaryComplexity::of(black_box(&mask), &options));
}

#[divan::bench]
fn intensity_difference(bencher: Bencher) {
    let mask = organ(250.0, 250.0, 90.0, 5.0);
    let pixels: Vec<u8> = (0..SIDE * SIDE).map(|i| i as u8).collect();
    bencher.bench_local(|| {
        let picture = Picture::new(SIDE, SIDE, 1, black_box(&pixels))?;
        IntensityContrast::of(&mask, &picture)
    });
}
