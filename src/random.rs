//! SplitMix64 (Steele, Lea and Flood, 2014), for seeded random choices. It uses only additions, multiplications and
//! shifts, so its bits are the same on every machine.

/// What the state of a sequence is advanced by: 2^64 divided by the golden ratio, made odd.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A sequence of 64-bit numbers.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(u64);

impl SplitMix {
    /// The sequence that begins with a state.
    pub(crate) fn new(state: u64) -> Self {
        SplitMix(state)
    }

    /// The next number, of all 64-bit integers.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scrambled(self.0)
    }

    /// The next number, evenly in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.bits())
    }
}

/// The finaliser of the generator: a number whose every bit depends on every bit of the state.
pub(crate) fn scrambled(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in [0, 1) from the upper 53 bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_authors_code() {
        // The first numbers of splitmix64.c (Vigna, 2015) for the state 1234567.
        let mut random = SplitMix::new(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(first.map(|_| random.bits()), first);
        assert_eq!((unit(0), unit(u64::MAX)), (0.0, 1.0 - f64::EPSILON / 2.0));
    }
}
