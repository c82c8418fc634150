//! Pseudo-random numbers: a sequence for choices, and fields over space for textures.

use crate::random::{STEP, SplitMix, scrambled, unit};

/// One step of the generator from a state.
fn mix(state: u64) -> u64 {
    scrambled(state.wrapping_add(STEP))
}

/// A sequence of numbers that a seed decides.
#[derive(Clone, Debug)]
pub struct Random(SplitMix);

impl Random {
    /// Starts a sequence.
    pub fn new(seed: u64) -> Self {
        Random(SplitMix::new(mix(seed).wrapping_add(STEP)))
    }

    /// The next number, of all 64-bit integers.
    pub fn bits(&mut self) -> u64 {
        self.0.bits()
    }

    /// Evenly from `low` up to `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * unit(self.bits())
    }
}

/// A random field: a value for each point of space.
#[derive(Clone, Copy, Debug)]
pub struct Noise(u64);

impl Noise {
    /// The field of a seed.
    pub fn new(seed: u64) -> Self {
        Noise(mix(seed))
    }

    fn lattice(self, [x, y, z]: [i64; 3]) -> u64 {
        let point = (x as u64).wrapping_mul(0xe703_7ed1_a0b4_28db)
            ^ (y as u64).wrapping_mul(0xa076_1d64_78bd_642f)
            ^ (z as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mix(self.0 ^ point)
    }

    /// The corners of the cell that a point is in, each with its weight: eased steps, so that no seam is seen.
    fn corners(self, p: [f64; 3]) -> [(u64, f64); 8] {
        let cell = p.map(|v| v.floor());
        let ease: [f64; 3] = std::array::from_fn(|i| {
            let t = p[i] - cell[i];
            t * t * (3.0 - 2.0 * t)
        });
        std::array::from_fn(|corner| {
            let bit = |axis: usize| (corner >> axis) & 1;
            let at = std::array::from_fn(|axis| cell[axis] as i64 + bit(axis) as i64);
            let share = |axis: usize| if bit(axis) == 1 { ease[axis] } else { 1.0 - ease[axis] };
            (self.lattice(at), share(0) * share(1) * share(2))
        })
    }

    /// Smooth, from -1 to 1, features about one unit of length wide (trilinear value noise).
    pub fn smooth(self, p: [f64; 3]) -> f64 {
        self.corners(p).iter().map(|(bits, weight)| weight * (2.0 * unit(*bits) - 1.0)).sum()
    }

    /// Three smooth fields at once.
    pub(crate) fn smooth_vector(self, p: [f64; 3]) -> [f64; 3] {
        const PART: u64 = (1 << 21) - 1;
        let corners = self.corners(p);
        [0, 21, 42].map(|shift| {
            let value = |bits: u64| 2.0 * ((bits >> shift) & PART) as f64 / PART as f64 - 1.0;
            corners.iter().map(|(bits, weight)| weight * value(*bits)).sum()
        })
    }

    /// Smooth with finer and fainter features on top: each octave half as wide and half as strong.
    pub fn fractal(self, p: [f64; 3], octaves: u32) -> f64 {
        let octave = |i: u32| {
            let factor = f64::from(1 << i);
            Noise(self.0.wrapping_add(u64::from(i))).smooth(p.map(|v| v * factor)) / factor
        };
        (0..octaves).map(octave).sum()
    }

    /// Of mean 0 and deviation 1, independent from index to index: four uniform numbers, which are near enough to a
    /// normal distribution for a picture's grain.
    pub fn grain(self, index: u64) -> f64 {
        let bits = mix(self.0 ^ index.wrapping_mul(0xe703_7ed1_a0b4_28db));
        let parts: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        // A uniform number has variance 1/12: the sum of four, 1/3.
        (parts as f64 / 65536.0 - 2.0) * 3f64.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grain_has_mean_0_and_deviation_1() {
        let values: Vec<f64> = (0..20_000).map(|i| Noise::new(3).grain(i)).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn smooth_noise_is_continuous_and_bounded() {
        let noise = Noise::new(9);
        let mut range = (0.0f64, 0.0f64);
        for i in 0..5000 {
            let x = f64::from(i) * 0.01 - 20.0;
            let (a, b) = (noise.smooth([x, 0.3, -0.7]), noise.smooth([x + 0.001, 0.3, -0.7]));
            assert!((a - b).abs() < 0.01);
            range = (range.0.min(a), range.1.max(a));
        }
        assert!(range.0 < -0.3 && range.1 > 0.3 && range.0 >= -1.0 && range.1 <= 1.0, "{range:?}");
    }

    #[test]
    fn a_seed_decides_the_sequence() {
        let take = |seed| {
            let mut random = Random::new(seed);
            [random.between(0.0, 1.0), random.between(2.0, 3.0)]
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }
}
