//! Prompts derived from a ground truth mask by the strategies of the paper (docs/protocol.md, 3), and their jitter
//! (docs/protocol.md, 6).
//!
//! [`STRATEGIES`] is the table of all strategies: name, definition, the functions that derive points and box. A new
//! strategy is one entry in `strategies.rs`, with a test. `docs/strategies.md` contains the definitions.
//!
//! The paper's text and the authors' released code disagree in two points, so there are two rules ([`PromptRule`]): the
//! paper uses the centroid only if it is inside the mask, the code always; and the paper samples five points without
//! the centroid if it is outside, a case that the code does not have. The code also strides without a bound, which
//! yields a sixth point from most masks and labels it negative; neither rule reproduces this bug.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mask::Mask;
use crate::named;
use crate::random::SplitMix;

mod everything;
mod strategies;

pub use everything::EverythingOptions;
#[cfg(any(feature = "query", test))]
pub(crate) use strategies::CLICKS_DEFINITION;
pub(crate) use strategies::{CLICKS, strategy_label};
pub use strategies::{STRATEGIES, Strategy, StrategyEntry};

named! {
    /// Where a rule for drawing prompts comes from.
    #[derive(Default)]
    pub enum PromptRule("prompt rule") {
        /// The paper's text: the centroid is the first point if it lies inside the mask; else all points are sampled.
        /// The default.
        #[default]
        Paper = "paper",
        /// The authors' released code: the centroid is the first point, inside or not.
        Code = "code",
    }
}

/// One point of a prompt, in pixels of the slice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Column.
    pub x: f64,
    /// Row.
    pub y: f64,
    /// Positive (on the object) or negative.
    pub foreground: bool,
}

impl Point {
    /// A positive point.
    pub fn foreground(x: f64, y: f64) -> Self {
        Point { x, y, foreground: true }
    }

    /// A negative point.
    pub fn background(x: f64, y: f64) -> Self {
        Point { x, y, foreground: false }
    }
}

/// What a user gives SAM: points, a box, or both; in pixels of the slice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// Points in order; the order matters little to SAM, but not nothing.
    pub points: Vec<Point>,
    /// Box `[x_min, y_min, x_max, y_max]`.
    #[serde(rename = "box")]
    pub bounds: Option<[f64; 4]>,
}

impl Prompt {
    /// The prompt of a strategy for one object. `None` for an empty mask, and for S1, which has no prompt.
    pub fn of(strategy: Strategy, rule: PromptRule, truth: &Mask) -> Option<Prompt> {
        if truth.is_empty() || !strategy.has_prompt() {
            return None;
        }
        let StrategyEntry { points, bounds, .. } = strategy.entry();
        Some(Prompt {
            points: points.map_or_else(Vec::new, |draw| draw(truth, rule)),
            bounds: bounds.and_then(|draw| draw(truth)),
        })
    }

    /// This prompt moved at random: the first point by a distance from `level` in a random direction, each edge of the
    /// box by a distance from `level`, outwards or inwards, on its own. Everything stays inside the slice; a box turned
    /// inside out by it has its edges swapped.
    ///
    /// The random numbers depend on `seed` and `mask_id` alone, so a result depends neither on order nor on threads,
    /// and the levels of one seed move a prompt in the same direction.
    pub(crate) fn jittered(&self, level: JitterLevel, seed: u64, mask_id: &str, height: u32, width: u32) -> Prompt {
        let mut random = Random::new(seed, mask_id);
        // The same numbers are drawn whatever the prompt holds: S5 and S6 move the box of an object alike.
        let (direction, distance) = (random.direction(), level.distance(random.unit()));
        let edges: [f64; 4] = std::array::from_fn(|_| {
            let sign = if random.unit() < 0.5 { -1.0 } else { 1.0 };
            sign * level.distance(random.unit())
        });
        let x_in = |x: f64| x.clamp(0.0, f64::from(width.saturating_sub(1)));
        let y_in = |y: f64| y.clamp(0.0, f64::from(height.saturating_sub(1)));
        let mut moved = self.clone();
        if let Some(first) = moved.points.first_mut() {
            first.x = x_in(first.x + distance * direction[0]);
            first.y = y_in(first.y + distance * direction[1]);
        }
        if let Some([x0, y0, x1, y1]) = moved.bounds {
            let (x0, x1) = (x_in(x0 + edges[0]), x_in(x1 + edges[2]));
            let (y0, y1) = (y_in(y0 + edges[1]), y_in(y1 + edges[3]));
            moved.bounds = Some([x0.min(x1), y0.min(y1), x0.max(x1), y0.max(y1)]);
        }
        moved
    }
}

/// The first `n` positive points under a rule. A mask of fewer pixels than `n` gives as many as it has.
///
/// With `P` the object's pixels row by row and `step = floor(|P| / n)`, sampled points are `P[0], P[step],
/// P[2 step], …`; the centroid, where it counts, replaces the first.
fn foreground_points(mask: &Mask, rule: PromptRule, n: usize) -> Vec<Point> {
    let pixels = pixels_by_row(mask);
    let Some([cx, cy]) = mask.centroid().map(|(x, y)| [x as u32, y as u32]) else { return Vec::new() };
    let mut chosen: Vec<[u32; 2]> = strided(&pixels, n).take(n).collect();
    if rule == PromptRule::Code || mask.contains(cx, cy) {
        chosen[0] = [cx, cy];
    } else if n == 1 {
        chosen[0] = pixels[pixels.len() / 2];
    }
    chosen.into_iter().map(|[x, y]| Point::foreground(f64::from(x), f64::from(y))).collect()
}

/// The first `n` negative points, the same under both rules: the pixels of the enlarged box ([`surroundings`]) outside
/// the mask, sampled as the positive ones. Fewer, or none, where the mask fills its surroundings.
fn background_points(mask: &Mask, n: usize) -> Vec<Point> {
    let outside = pixels_around(mask);
    strided(&outside, n).take(n).map(|[x, y]| Point::background(f64::from(x), f64::from(y))).collect()
}

/// Every `floor(len / n)`-th pixel; every pixel where there are fewer than `n`. One more than `n` may come out.
fn strided(pixels: &[[u32; 2]], n: usize) -> impl Iterator<Item = [u32; 2]> {
    pixels.iter().step_by((pixels.len() / n).max(1)).copied()
}

/// Pixels (x, y) of a mask, row by row.
fn pixels_by_row(mask: &Mask) -> Vec<[u32; 2]> {
    let mut pixels: Vec<[u32; 2]> = mask.column_runs().flat_map(|(x, y0, y1)| (y0..y1).map(move |y| [x, y])).collect();
    // Columns come in order, and a stable sort keeps them so within each row.
    pixels.sort_by_key(|&[_, y]| y);
    pixels
}

/// Pixels (x, y) outside a mask in its surroundings, row by row.
fn pixels_around(mask: &Mask) -> Vec<[u32; 2]> {
    let Some([x0, y0, x1, y1]) = surroundings(mask) else { return Vec::new() };
    let bitmap = mask.to_bitmap();
    let outside = |x: u32, y: u32| bitmap[y as usize * mask.width() as usize + x as usize] == 0;
    (y0..y1).flat_map(|y| (x0..x1).map(move |x| [x, y])).filter(|&[x, y]| outside(x, y)).collect()
}

/// The box of a mask enlarged two times about its centre and clipped to the slice, as the released code computes it:
/// `w = x_max - x_min`, from `int(max(x_min - w / 2, 0))` up to, not including, `int(min(that + 2 w, width))`; rows
/// alike. An object of one column or row counts as one pixel wide, where the code would find no surroundings.
fn surroundings(mask: &Mask) -> Option<[u32; 4]> {
    let [x0, y0, x1, y1] = mask.bounding_box()?;
    let span = |low: u32, high: u32, limit: u32| {
        let length = f64::from((high - low).max(1));
        let start = (f64::from(low) - length / 2.0).max(0.0);
        let end = (start + 2.0 * length).min(f64::from(limit));
        // The code cuts the position and the length to integers, each on its own.
        let (first, extent) = (start as u32, (end - start) as u32);
        (first, (first + extent).min(limit))
    };
    let (left, right) = span(x0, x1, mask.width());
    let (top, bottom) = span(y0, y1, mask.height());
    Some([left, top, right, bottom])
}

/// How far a prompt is moved, in pixels of the slice: from `low`, included, to `high`, excluded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct JitterLevel {
    /// Least distance.
    pub low: f64,
    /// Bound of the distance.
    pub high: f64,
}

impl JitterLevel {
    /// The paper's levels: 0–10, 10–20 and 20–30 pixels.
    pub const PAPER: [JitterLevel; 3] = [
        JitterLevel { low: 0.0, high: 10.0 },
        JitterLevel { low: 10.0, high: 20.0 },
        JitterLevel { low: 20.0, high: 30.0 },
    ];

    fn distance(self, unit: f64) -> f64 {
        self.low + (self.high - self.low) * unit
    }
}

impl FromStr for JitterLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |s: &str| s.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        let level = text.split_once('-').and_then(|(low, high)| Some((number(low)?, number(high)?)));
        match level {
            Some((low, high)) if low < high => Ok(JitterLevel { low, high }),
            _ => Err("expected a range of pixels such as 10-20".into()),
        }
    }
}

impl fmt::Display for JitterLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.low, self.high)
    }
}

/// Random numbers seeded by the SHA-256 of seed and mask id. Only operations that IEEE 754 rounds exactly are used on
/// them, so every machine moves a prompt alike.
struct Random(SplitMix);

impl Random {
    fn new(seed: u64, mask_id: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(seed.to_le_bytes());
        hasher.update(mask_id.as_bytes());
        let digest = hasher.finalize();
        Random(SplitMix::new(digest.iter().take(8).fold(0, |state, &byte| state << 8 | u64::from(byte))))
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        self.0.unit()
    }

    /// A uniform direction: a point of the unit disc, pushed to its rim (no sine or cosine, which differ between
    /// machines in the last digit).
    fn direction(&mut self) -> [f64; 2] {
        loop {
            let (x, y) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let length = (x * x + y * y).sqrt();
            if length > 1e-3 && length <= 1.0 {
                return [x / length, y / length];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Mask {
        // A 3 x 3 ring in a 7 x 9 slice: its centroid (4, 3) is outside.
        Mask::from_predicate(7, 9, |i| {
            let (x, y) = ((i % 9) as i32 - 4, (i / 9) as i32 - 3);
            x.abs().max(y.abs()) == 1
        })
    }

    fn xy(points: &[Point]) -> Vec<[f64; 2]> {
        points.iter().map(|p| [p.x, p.y]).collect()
    }

    #[test]
    fn a_centroid_outside_counts_for_the_code_only() {
        let ring = ring();
        let first = |rule| xy(&Prompt::of(Strategy::OnePoint, rule, &ring).unwrap().points);
        assert_eq!(first(PromptRule::Code), [[4.0, 3.0]]);
        assert_eq!(first(PromptRule::Paper), [[5.0, 3.0]]); // the fifth of eight pixels
        let five = Prompt::of(Strategy::FivePoints, PromptRule::Paper, &ring).unwrap();
        assert_eq!(xy(&five.points), [[3.0, 2.0], [4.0, 2.0], [5.0, 2.0], [3.0, 3.0], [5.0, 3.0]]);
    }

    #[test]
    fn strategies_hold_what_their_names_say() {
        let ring = ring();
        let of = |strategy| Prompt::of(strategy, PromptRule::Paper, &ring);
        assert_eq!(of(Strategy::Everything), None);
        assert_eq!(of(Strategy::Box).unwrap().bounds, Some([3.0, 2.0, 5.0, 4.0]));
        assert!(of(Strategy::Box).unwrap().points.is_empty());
        let both = of(Strategy::BoxAndPoint).unwrap();
        assert_eq!((both.points.len(), both.bounds), (1, Some([3.0, 2.0, 5.0, 4.0])));
        let ten = of(Strategy::FiveAndFive).unwrap();
        assert_eq!(ten.points.iter().filter(|p| p.foreground).count(), 5);
        assert_eq!(ten.points.iter().filter(|p| !p.foreground).count(), 5);
        assert_eq!(Prompt::of(Strategy::Box, PromptRule::Paper, &Mask::empty(3, 3)), None);
        assert_eq!("s4".parse(), Ok(Strategy::FiveAndFive));
        assert!("S99".parse::<Strategy>().is_err());
    }

    #[test]
    fn jitter_depends_on_seed_and_mask_alone() {
        let prompt = Prompt { points: vec![Point::foreground(50.0, 60.0); 2], bounds: Some([30.0, 30.0, 70.0, 80.0]) };
        let level = JitterLevel::PAPER[1];
        let moved = prompt.jittered(level, 1, "a", 200, 200);
        assert_eq!(moved, prompt.jittered(level, 1, "a", 200, 200));
        assert_ne!(moved, prompt.jittered(level, 2, "a", 200, 200));
        assert_ne!(moved, prompt.jittered(level, 1, "b", 200, 200));
        assert_eq!(moved.points[1], prompt.points[1]);
        let box_only = Prompt { points: vec![], ..prompt.clone() };
        assert_eq!(box_only.jittered(level, 1, "a", 200, 200).bounds, moved.bounds);
    }

    proptest::proptest! {
        #[test]
        fn jitter_keeps_its_distance_and_the_slice(
            seed in 0u64..1000, level in 0usize..3, x in 0.0f64..100.0, y in 0.0f64..80.0,
        ) {
            let level = JitterLevel::PAPER[level];
            let prompt = Prompt { points: vec![Point::foreground(x, y)], bounds: Some([x, y, x, y]) };
            let free = prompt.jittered(level, seed, "m", u32::MAX, u32::MAX).points[0];
            let distance = ((free.x - x).powi(2) + (free.y - y).powi(2)).sqrt();
            let clipped = free.x == 0.0 || free.y == 0.0;
            proptest::prop_assert!(clipped || distance >= level.low - 1e-9 && distance < level.high + 1e-9);
            let inside = prompt.jittered(level, seed, "m", 80, 100);
            let [x0, y0, x1, y1] = inside.bounds.unwrap();
            proptest::prop_assert!(0.0 <= x0 && x0 <= x1 && x1 <= 99.0 && 0.0 <= y0 && y0 <= y1 && y1 <= 79.0);
        }

        #[test]
        fn sampled_points_lie_where_they_should(bitmap in proptest::collection::vec(0u8..2, 60)) {
            let mask = Mask::from_bitmap(6, 10, &bitmap);
            match Prompt::of(Strategy::FiveAndFive, PromptRule::Paper, &mask) {
                None => proptest::prop_assert!(mask.is_empty()),
                Some(prompt) => {
                    for p in &prompt.points {
                        proptest::prop_assert_eq!(mask.contains(p.x as u32, p.y as u32), p.foreground);
                    }
                    let positive = prompt.points.iter().filter(|p| p.foreground).count();
                    proptest::prop_assert_eq!(positive as u64, mask.area().min(5));
                }
            }
        }
    }
}
