//! Elliptic Fourier descriptors of a closed contour (Kuhl and Giardina, "Elliptic Fourier Features of a Closed
//! Contour", Computer Graphics and Image Processing 18:236–258, 1982), and the boundary complexity that follows from
//! them.
//!
//! A contour is a sum of ellipses turning 1, 2, 3, … times; the more of them its shape requires, the more complex it
//! is. The Fourier order is the number of ellipses after which the decoded contour, filled, covers the original one
//! (docs/protocol.md, 5). Details that the protocol leaves open were determined from its ten reference values, all of
//! which are reproduced to the last printed digit: the contour is OpenCV's, with every border pixel; it is decoded at
//! as many points as it has, at equal steps of the arc length from 0 to 1 with both ends included, so that the last
//! falls onto the first; points are rounded to pixels, half to even; both contours are filled as OpenCV's `fillPoly`
//! does. Coefficients agree with pyefd. Nothing is clipped at the image border, so the order of a shape does not depend
//! on its position.

use super::contour::{Point, outer_contour};
use super::polygon::{Canvas, Frame};
use crate::mask::Mask;
use serde::{Deserialize, Serialize};
use std::f64::consts::{SQRT_2, TAU};

/// One ellipse of order n: `x = a cos(2πnt) + b sin(2πnt)`, `y = c cos(2πnt) + d sin(2πnt)`, with t from 0 to 1 along
/// the contour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harmonic {
    /// Cosine part of x.
    pub a: f64,
    /// Sine part of x.
    pub b: f64,
    /// Cosine part of y.
    pub c: f64,
    /// Sine part of y.
    pub d: f64,
}

/// The harmonics of a closed contour, from order 1 on, without end.
#[derive(Clone, Debug)]
pub struct Harmonics {
    segments: Vec<Segment>,
    /// Length of the contour.
    length: f64,
    /// Mean of the contour along its length, which all harmonics are relative to.
    centre: [f64; 2],
    order: u32,
}

/// A straight piece of the contour.
#[derive(Clone, Debug)]
struct Segment {
    /// Change of x and y for each unit of length.
    slope: [f64; 2],
    /// Cosine and sine of 2πt at the segment's end.
    turn: [f64; 2],
    /// Cosine and sine of 2πnt at the segment's end, n the order of the last harmonic.
    phase: [f64; 2],
}

impl Harmonics {
    /// Of a closed contour; `None` where all its points are one.
    pub fn of(contour: &[Point]) -> Option<Self> {
        let mut length = 0.0;
        let mut centre = [0.0; 2];
        let mut pieces = Vec::with_capacity(contour.len());
        for (i, &from) in contour.iter().enumerate() {
            let to = contour[(i + 1) % contour.len()];
            let step = [0, 1].map(|axis| (to[axis] - from[axis]) as f64);
            // Neighbours are most of a contour.
            let piece = match step.map(f64::abs) {
                [0.0, straight] | [straight, 0.0] => straight,
                [1.0, 1.0] => SQRT_2,
                [x, y] => x.hypot(y),
            };
            if piece > 0.0 {
                length += piece;
                pieces.push((step.map(|d| d / piece), length));
                for axis in [0, 1] {
                    centre[axis] += (from[axis] + to[axis]) as f64 / 2.0 * piece;
                }
            }
        }
        let segment = |(slope, end): ([f64; 2], f64)| {
            let (sin, cos) = (TAU * end / length).sin_cos();
            Segment { slope, turn: [cos, sin], phase: [1.0, 0.0] }
        };
        (length > 0.0).then(|| Harmonics {
            segments: pieces.into_iter().map(segment).collect(),
            length,
            centre: centre.map(|sum| sum / length),
            order: 0,
        })
    }

    /// Mean of the contour along its length: the point that the harmonics turn around.
    pub fn centre(&self) -> [f64; 2] {
        self.centre
    }
}

impl Iterator for Harmonics {
    type Item = Harmonic;

    fn next(&mut self) -> Option<Harmonic> {
        Some(self.advance())
    }
}

impl Harmonics {
    /// The harmonic of the next order.
    fn advance(&mut self) -> Harmonic {
        self.order += 1;
        let [mut a, mut b, mut c, mut d] = [0.0; 4];
        let [mut cos_before, mut sin_before] = [1.0, 0.0];
        for Segment { slope, turn, phase } in &mut self.segments {
            // The next multiple of the angle, by the sum formulas.
            *phase = [phase[0] * turn[0] - phase[1] * turn[1], phase[0] * turn[1] + phase[1] * turn[0]];
            let [cos, sin] = *phase;
            a += slope[0] * (cos - cos_before);
            b += slope[0] * (sin - sin_before);
            c += slope[1] * (cos - cos_before);
            d += slope[1] * (sin - sin_before);
            [cos_before, sin_before] = [cos, sin];
        }
        let n = self.order as f64;
        let scale = self.length * 2.0 / (TAU * n).powi(2);
        Harmonic { a: a * scale, b: b * scale, c: c * scale, d: d * scale }
    }
}

/// A contour decoded from a growing number of harmonics.
struct Decoded {
    points: Vec<[f64; 2]>,
    /// Cosine and sine of 2πt at the points; the last point, at t = 1, is the first again.
    turns: Vec<[f64; 2]>,
    order: usize,
}

impl Decoded {
    fn new(centre: [f64; 2], points: usize) -> Self {
        let steps = points.saturating_sub(1).max(1);
        let turn = |i| {
            let (sin, cos) = (TAU * i as f64 / steps as f64).sin_cos();
            [cos, sin]
        };
        Decoded { points: vec![centre; points], turns: (0..steps).map(turn).collect(), order: 0 }
    }

    fn add(&mut self, Harmonic { a, b, c, d }: Harmonic) {
        self.order += 1;
        let steps = self.turns.len();
        let stride = self.order % steps;
        let mut at = 0; // order times the point's index, modulo the steps of a turn
        for point in &mut self.points {
            let [cos, sin] = self.turns[at];
            point[0] += a * cos + b * sin;
            point[1] += c * cos + d * sin;
            at += stride;
            if at >= steps {
                at -= steps;
            }
        }
    }

    fn round_into(&self, rounded: &mut Vec<Point>) {
        rounded.clear();
        // Adding 1.5 * 2^52 leaves no bits for a fraction: the sum is rounded to even, as `round_ties_even` does by a
        // call.
        const NO_FRACTION: f64 = 6_755_399_441_055_744.0;
        rounded.extend(self.points.iter().map(|point| point.map(|v| (v + NO_FRACTION - NO_FRACTION) as i32)));
    }
}

/// The contour decoded from its first `order` harmonics, at as many points as it has, the last of which is the first
/// again. `None` where all its points are one.
pub fn decode(contour: &[Point], order: u32) -> Option<Vec<[f64; 2]>> {
    let harmonics = Harmonics::of(contour)?;
    let mut decoded = Decoded::new(harmonics.centre(), contour.len());
    harmonics.take(order as usize).for_each(|harmonic| decoded.add(harmonic));
    Some(decoded.points)
}

/// What decides the Fourier order; stored with results.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FourierOptions {
    /// The order is found where the Dice of the decoded and the original contour is above this: 0.97 (paper).
    pub dice: f64,
    /// It stops rising where Dice changes by less than this: 0.001 (paper).
    pub plateau: f64,
    /// Whether a change of Dice counts without its sign, as the paper's formula has it, so that only a standstill stops
    /// (the default), or with it, so that any fall stops as well.
    pub absolute_change: bool,
    /// Highest order tried: 200 (ours).
    pub cap: u32,
}

impl Default for FourierOptions {
    fn default() -> Self {
        FourierOptions { dice: 0.97, plateau: 0.001, absolute_change: true, cap: 200 }
    }
}

/// Why the order stopped rising.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FourierStop {
    /// Dice is high enough.
    Dice,
    /// Dice no longer changes.
    Plateau,
    /// The highest order was tried.
    Cap,
    /// The contour has fewer than three points (a structure of one or two pixels): order 1 with Dice 1, by definition.
    Degenerate,
}

impl FourierStop {
    /// `dice`, `plateau`, `cap` or `degenerate`.
    pub fn name(self) -> &'static str {
        match self {
            FourierStop::Dice => "dice",
            FourierStop::Plateau => "plateau",
            FourierStop::Cap => "cap",
            FourierStop::Degenerate => "degenerate",
        }
    }
}

/// How complex the boundary of a structure is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundaryComplexity {
    /// Order at which the search stopped.
    pub order: u32,
    /// Dice of the decoded and the original contour at that order, both filled.
    pub dice: f64,
    /// Why it stopped.
    pub stop: FourierStop,
    /// First order whose Dice is high enough, whatever plateaus come before it; the cap where there is none.
    pub true_order: u32,
}

impl BoundaryComplexity {
    /// `F = order + 2 * 100 * (1 - Dice)`, the paper's value of boundary complexity.
    pub fn value(&self) -> f64 {
        self.order as f64 + 200.0 * (1.0 - self.dice)
    }

    /// Of a mask: of the outer contour of its largest component, holes filled. `None` where the mask is empty.
    pub fn of(mask: &Mask, options: &FourierOptions) -> Option<Self> {
        Some(Self::of_contour(&outer_contour(mask)?, options))
    }

    fn of_contour(contour: &[Point], options: &FourierOptions) -> Self {
        let degenerate = BoundaryComplexity { order: 1, dice: 1.0, stop: FourierStop::Degenerate, true_order: 1 };
        if contour.len() < 3 {
            return degenerate;
        }
        // From its first point on, so that not even a rounding error depends on where the contour lies.
        let [x, y] = contour[0];
        let contour: Vec<Point> = contour.iter().map(|point| [point[0] - x, point[1] - y]).collect();
        let Some(mut decoded) = DecodedContour::of(contour) else { return degenerate };
        let mut stopped: Option<(u32, f64, FourierStop)> = None;
        let mut before: Option<f64> = None;
        let mut order = 0;
        loop {
            order += 1;
            let dice = decoded.raise_order();
            let (reached, last) = (dice > options.dice, order >= options.cap);
            let change =
                before.map(|before| if options.absolute_change { (dice - before).abs() } else { dice - before });
            let stop = if reached {
                Some(FourierStop::Dice)
            } else if change.is_some_and(|change| change < options.plateau) {
                Some(FourierStop::Plateau)
            } else if last {
                Some(FourierStop::Cap)
            } else {
                None
            };
            stopped = stopped.or(stop.map(|stop| (order, dice, stop)));
            // A plateau ends the search for the order, not that for the true order.
            if let Some((found, dice, stop)) = stopped
                && (reached || last)
            {
                return BoundaryComplexity { order: found, dice, stop, true_order: order };
            }
            before = Some(dice);
        }
    }
}

/// A contour and its decoded form at a rising order, both filled.
struct DecodedContour {
    harmonics: Harmonics,
    decoded: Decoded,
    rounded: Vec<Point>,
    contour: Vec<Point>,
    frame: Frame,
    original: Canvas,
    canvas: Canvas,
}

impl DecodedContour {
    fn of(contour: Vec<Point>) -> Option<Self> {
        let harmonics = Harmonics::of(&contour)?;
        let decoded = Decoded::new(harmonics.centre(), contour.len());
        let frame = Frame::around(&contour);
        Some(DecodedContour {
            harmonics,
            decoded,
            rounded: Vec::with_capacity(contour.len()),
            frame,
            original: Canvas::filled(frame, &contour),
            contour,
            canvas: Canvas::filled(frame, &[]),
        })
    }

    /// Adds the next harmonic, and gives the Dice of the two.
    fn raise_order(&mut self) -> f64 {
        self.decoded.add(self.harmonics.advance());
        self.decoded.round_into(&mut self.rounded);
        // A low order may reach beyond the contour's box: then both are drawn on a larger canvas from now on.
        let frame = self.frame.union(Frame::around(&self.rounded));
        if frame != self.frame {
            self.frame = frame;
            self.original = Canvas::filled(frame, &self.contour);
            self.canvas = Canvas::filled(frame, &self.rounded);
        } else {
            self.canvas.fill(&self.rounded);
        }
        let shared = self.canvas.shared(&self.original);
        2.0 * shared as f64 / (self.canvas.area() + self.original.area()) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn disc(radius: f64) -> Mask {
        Mask::from_predicate(64, 64, |i| ((i % 64) as f64 - 32.0).hypot((i / 64) as f64 - 31.0) <= radius)
    }

    #[test]
    fn coefficients_are_those_of_pyefd() {
        // pyefd 1.8.0 on this contour: elliptic_fourier_descriptors(c, order=3) and calculate_dc_coefficients(c)
        let contour = [[3, 1], [2, 2], [1, 3], [1, 4], [2, 5], [3, 5], [5, 4], [6, 2]];
        let harmonics = Harmonics::of(&contour).unwrap();
        let expected = [
            [3.368947676622705, 3.029082446895379, 0.0, 0.0],
            [-0.2590438497565811, -2.2606897751008552, -1.7655366655481652, 0.6492701034320499],
            [-0.029726522654973705, 0.02214227579909789, -0.006232676983712787, -0.10991908633218149],
            [-0.04942517381577977, 0.14346761041623296, 0.00046322167052330646, -0.007678329987204871],
        ];
        let [x, y] = harmonics.centre();
        assert!((x - expected[0][0]).abs() < 1e-14 && (y - expected[0][1]).abs() < 1e-14);
        for (harmonic, expected) in harmonics.zip(&expected[1..]) {
            let Harmonic { a, b, c, d } = harmonic;
            for (found, expected) in [a, b, c, d].iter().zip(expected) {
                assert!((found - expected).abs() < 1e-14, "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn a_disc_is_one_ellipse() {
        let found = BoundaryComplexity::of(&disc(20.0), &FourierOptions::default()).unwrap();
        assert_eq!((found.order, found.stop, found.true_order), (1, FourierStop::Dice, 1));
    }

    #[test]
    fn stops_are_told_apart() {
        // A comb is not decoded by a few ellipses.
        let comb = Mask::from_predicate(40, 40, |i| i / 40 < 8 || (i % 40) % 6 < 3);
        let options = |dice, plateau, cap| FourierOptions { dice, plateau, cap, ..FourierOptions::default() };
        let stop = |options| BoundaryComplexity::of(&comb, &options).unwrap();
        assert_eq!(stop(options(2.0, 0.0, 5)).stop, FourierStop::Cap);
        assert_eq!((stop(options(2.0, 0.0, 5)).order, stop(options(2.0, 0.0, 5)).true_order), (5, 5));
        let plateau = stop(options(0.97, 1.0, 200));
        assert_eq!((plateau.order, plateau.stop), (2, FourierStop::Plateau));
        let patient = stop(options(0.97, 0.0, 200));
        assert_eq!((patient.stop, patient.order), (FourierStop::Dice, plateau.true_order));
        let pixel = Mask::from_bitmap(1, 3, &[0, 1, 1]);
        let pixel = BoundaryComplexity::of(&pixel, &FourierOptions::default()).unwrap();
        assert_eq!((pixel.stop, pixel.value()), (FourierStop::Degenerate, 1.0));
        assert_eq!(BoundaryComplexity::of(&Mask::empty(2, 2), &FourierOptions::default()), None);
    }

    #[test]
    fn a_signed_change_also_stops_at_a_fall() {
        // Dice does not only rise on this shape.
        let shape = Mask::from_predicate(30, 30, |i| (i % 30) + (i / 30) < 16 || ((i % 30) < 4 && (i / 30) < 28));
        let mut decoded = DecodedContour::of(outer_contour(&shape).unwrap()).unwrap();
        let dices: Vec<f64> = (0..12).map(|_| decoded.raise_order()).collect();
        let fall = dices.windows(2).position(|pair| pair[1] <= pair[0]).map(|i| i as u32 + 2);
        let options = FourierOptions { dice: 2.0, plateau: 1e-12, absolute_change: false, cap: 12 };
        assert_eq!(Some(BoundaryComplexity::of(&shape, &options).unwrap().order), fall);
    }

    #[test]
    fn many_harmonics_decode_the_contour() {
        let contour = outer_contour(&disc(15.0)).unwrap();
        let decoded = decode(&contour, 300).unwrap();
        assert_eq!(decoded.len(), contour.len());
        let [first, last] = [decoded[0], decoded[decoded.len() - 1]];
        assert!((first[0] - last[0]).abs() < 1e-9 && (first[1] - last[1]).abs() < 1e-9);
        assert!((first[0] - contour[0][0] as f64).abs() < 0.05 && (first[1] - contour[0][1] as f64).abs() < 0.05);
        assert_eq!(decode(&[[4, 4]], 3), None);
    }

    proptest! {
        #[test]
        fn position_does_not_matter(seed in prop::collection::vec(0u8..6, 100), right in 0usize..50, down in 0usize..50) {
            let placed = |right: usize, down: usize| Mask::from_predicate(60, 60, |i| {
                let (x, y) = ((i % 60).wrapping_sub(right), (i / 60).wrapping_sub(down));
                x < 10 && y < 10 && seed[y * 10 + x] > 1
            });
            let options = FourierOptions { cap: 20, ..FourierOptions::default() };
            let (here, there) = (placed(0, 0), placed(right, down));
            let contour = outer_contour(&here);
            let moved = contour.as_ref().map(|points| {
                points.iter().map(|[x, y]| [x + right as i32, y + down as i32]).collect::<Vec<_>>()
            });
            prop_assert_eq!(outer_contour(&there), moved);
            prop_assert_eq!(BoundaryComplexity::of(&here, &options), BoundaryComplexity::of(&there, &options));
            if let Some(found) = BoundaryComplexity::of(&here, &options) {
                prop_assert!(found.order >= 1 && found.order <= found.true_order && found.true_order <= 20);
                prop_assert!(found.dice > 0.0 && found.dice <= 1.0);
            }
        }

        /// A contour that is turned by a right angle and enlarged decodes to the decoded contour, turned and enlarged.
        #[test]
        fn decoding_goes_along_with_rotation_and_scale(
            seed in prop::collection::vec(0u8..6, 100), order in 1u32..12, scale in 1i32..7, turns in 0usize..4,
        ) {
            let mask = Mask::from_predicate(10, 10, |i| seed[i] > 1);
            let Some(contour) = outer_contour(&mask) else { return Ok(()) };
            let turned = |[x, y]: Point| (0..turns).fold([x, y], |[x, y], _| [-y, x]);
            let changed: Vec<Point> = contour.iter().map(|&p| turned(p).map(|v| v * scale)).collect();
            let (Some(here), Some(there)) = (decode(&contour, order), decode(&changed, order)) else { return Ok(()) };
            for ([x, y], found) in here.into_iter().zip(there) {
                let [x, y] = (0..turns).fold([x, y], |[x, y], _| [-y, x]).map(|v| v * f64::from(scale));
                prop_assert!((x - found[0]).abs() < 1e-9 && (y - found[1]).abs() < 1e-9, "{:?}", ([x, y], found));
            }
        }

        #[test]
        fn the_filled_contour_is_the_component_without_holes(seed in prop::collection::vec(0u8..5, 144)) {
            let mask = Mask::from_predicate(12, 12, |i| seed[i] > 1);
            prop_assume!(!mask.is_empty());
            let contour = outer_contour(&mask).unwrap();
            let filled = Canvas::filled(Frame::around(&contour), &contour);
            // Background outside: what the 4-neighbourhood reaches from a margin around the component.
            let component = mask.largest_component(crate::mask::Connectivity::Eight).to_bitmap();
            let outside = Mask::from_predicate(14, 14, |i| {
                let (x, y) = (i % 14, i / 14);
                !((1..13).contains(&x) && (1..13).contains(&y) && component[(y - 1) * 12 + x - 1] == 1)
            });
            let margin = outside.components(crate::mask::Connectivity::Four).swap_remove(0);
            prop_assert_eq!(filled.area(), 14 * 14 - margin.area());
        }
    }
}
