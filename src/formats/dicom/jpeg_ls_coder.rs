//! The entropy coder of JPEG-LS (ISO/IEC 14495-1 Annex A): bits, contexts, Golomb codes and runs.

use super::malformed;
use crate::formats::Result;

/// Scan parameters (annex C.2.4.1.1).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Preset {
    pub maxval: i32,
    pub t1: i32,
    pub t2: i32,
    pub t3: i32,
    pub reset: i32,
}

/// Bits of a scan: after a byte of 0xFF the next one brings seven (annex A.1), and a higher one is a marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    pub at: usize,
    buffer: u64,
    count: u32,
    after_ff: bool,
    /// Bits delivered beyond the data.
    borrowed: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Bits { bytes, at: 0, buffer: 0, count: 0, after_ff: false, borrowed: 0 }
    }

    #[inline]
    fn fill(&mut self) {
        while self.count <= 56 {
            let width = if self.after_ff { 7 } else { 8 };
            let byte = match self.bytes.get(self.at) {
                Some(0xFF) if self.bytes.get(self.at + 1).is_none_or(|&next| next >= 0x80) => None,
                Some(&byte) if !self.after_ff || byte < 0x80 => Some(byte),
                _ => None,
            };
            match byte {
                Some(byte) => {
                    self.at += 1;
                    self.after_ff = byte == 0xFF;
                    self.buffer |= (byte as u64) << (64 - width - self.count);
                    self.count += width;
                }
                None => {
                    self.borrowed += 8;
                    self.count += 8;
                }
            }
        }
    }

    #[inline]
    fn take(&mut self, bits: u32) -> i32 {
        if bits == 0 {
            return 0;
        }
        if self.count < bits {
            self.fill();
        }
        let value = (self.buffer >> (64 - bits)) as i32;
        self.buffer <<= bits;
        self.count -= bits;
        value
    }

    /// Number of zeros before the next one, which is taken too; `limit` where there are as many or more.
    #[inline]
    fn zeros(&mut self, limit: u32) -> u32 {
        let mut total = 0;
        loop {
            if self.count < 32 {
                self.fill();
            }
            let zeros = self.buffer.leading_zeros().min(self.count);
            if total + zeros > limit {
                return limit + 1;
            }
            if zeros < self.count {
                self.buffer = self.buffer << zeros << 1;
                self.count -= zeros + 1;
                return total + zeros;
            }
            total += zeros;
            (self.buffer, self.count) = (0, 0);
        }
    }

    pub fn ended(&self) -> bool {
        self.borrowed > self.count
    }
}

/// Statistics of a regular context.
#[derive(Clone, Copy)]
struct Context {
    a: i64,
    b: i64,
    c: i32,
    n: i64,
}

/// Statistics of a run interruption.
#[derive(Clone, Copy)]
struct RunContext {
    a: i64,
    n: i64,
    negative: i64,
}

/// Order of the run-length code by run index (A.2.1).
#[rustfmt::skip]
const J: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15,
];

/// Parameters and statistics of a scan.
pub(super) struct Coder {
    maxval: i32,
    pub near: i32,
    range: i32,
    qbpp: u32,
    limit: u32,
    reset: i64,
    t1: i32,
    t2: i32,
    t3: i32,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
}

impl Coder {
    pub fn new(preset: Preset, precision: usize, near: i32) -> Result<Self> {
        let highest = (1i32 << precision) - 1;
        let maxval = if preset.maxval == 0 { highest } else { preset.maxval };
        if maxval > highest || near > 255.min(maxval / 2) {
            return Err(malformed(format!("JPEG-LS: maximum {maxval} and tolerance {near} for {precision} bits")));
        }
        let (t1, t2, t3) = thresholds(preset, maxval, near);
        let reset = if preset.reset == 0 { 64 } else { preset.reset };
        if t1 < near + 1 || t2 < t1 || t3 < t2 || t3 > maxval || reset < 3 {
            return Err(malformed(format!("JPEG-LS: thresholds {t1}, {t2}, {t3}, reset {reset} for maximum {maxval}")));
        }
        let range = (maxval + 2 * near) / (2 * near + 1) + 1;
        let bits = |v: i32| i32::BITS - (v - 1).leading_zeros();
        let bpp = bits(maxval + 1).max(2);
        let a = 2.max((range as i64 + 32) / 64);
        Ok(Coder {
            maxval,
            near,
            range,
            qbpp: bits(range),
            limit: 2 * (bpp + bpp.max(8)),
            reset: reset as i64,
            t1,
            t2,
            t3,
            contexts: vec![Context { a, b: 0, c: 0, n: 1 }; 365],
            runs: [RunContext { a, n: 1, negative: 0 }; 2],
        })
    }

    #[inline]
    fn quantise(&self, d: i32) -> i32 {
        let level = match d.abs() {
            m if m <= self.near => 0,
            m if m < self.t1 => 1,
            m if m < self.t2 => 2,
            m if m < self.t3 => 3,
            _ => 4,
        };
        if d < 0 { -level } else { level }
    }

    /// Context number with its sign; 0 where all gradients are flat.
    #[inline]
    pub fn context(&self, ra: i32, rb: i32, rc: i32, rd: i32) -> i32 {
        (self.quantise(rd - rb) * 9 + self.quantise(rb - rc)) * 9 + self.quantise(rc - ra)
    }

    /// A mapped error in the limited-length Golomb code (A.5.3).
    #[inline]
    fn golomb(&self, bits: &mut Bits, k: u32, limit: u32) -> Result<i32> {
        if k > 24 {
            return Err(malformed("JPEG-LS: impossible statistics"));
        }
        let escape = limit.saturating_sub(self.qbpp + 1);
        let zeros = bits.zeros(escape);
        let value = match zeros {
            z if z < escape => (z as i32) << k | bits.take(k),
            z if z == escape => bits.take(self.qbpp) + 1,
            _ => return Err(malformed("JPEG-LS: a code that is too long")),
        };
        // The standard's errors stay within the range; beyond twice it the stream is broken.
        if value > 2 * self.range {
            return Err(malformed("JPEG-LS: a prediction error out of range"));
        }
        Ok(value)
    }

    /// The value that an error makes of a prediction (A.4.5 reversed).
    #[inline]
    pub fn reconstruct(&self, prediction: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut value = prediction + error * step;
        if value < -self.near {
            value += self.range * step;
        } else if value > self.maxval + self.near {
            value -= self.range * step;
        }
        value.clamp(0, self.maxval)
    }

    /// Decodes a sample in regular mode (A.4 to A.6).
    #[inline]
    pub fn regular(&mut self, bits: &mut Bits, q: i32, ra: i32, rb: i32, rc: i32) -> Result<i32> {
        let sign = if q < 0 { -1 } else { 1 };
        let index = q.unsigned_abs() as usize;
        let mut context = self.contexts[index];
        let median = if rc >= ra.max(rb) {
            ra.min(rb)
        } else if rc <= ra.min(rb) {
            ra.max(rb)
        } else {
            ra + rb - rc
        };
        let prediction = (median + sign * context.c).clamp(0, self.maxval);
        let mut k = 0;
        while context.n << k < context.a {
            k += 1;
        }
        let mapped = self.golomb(bits, k, self.limit)?;
        // Odd codes are the negative errors, except where the context's bias makes those the likelier ones.
        let flipped = self.near == 0 && k == 0 && 2 * context.b <= -context.n;
        let error = match (mapped & 1 == 1, flipped) {
            (false, false) => mapped / 2,
            (true, false) => -(mapped + 1) / 2,
            (true, true) => (mapped - 1) / 2,
            (false, true) => -(mapped / 2) - 1,
        };

        context.b += error as i64 * (2 * self.near as i64 + 1);
        context.a += error.unsigned_abs() as i64;
        if context.n == self.reset {
            context.a >>= 1;
            // Toward minus infinity for negative sums too, as the standard's code has it.
            context.b = if context.b >= 0 { context.b >> 1 } else { -((1 - context.b) >> 1) };
            context.n >>= 1;
        }
        context.n += 1;
        if context.b <= -context.n {
            context.b = (context.b + context.n).max(1 - context.n);
            context.c = (context.c - 1).max(-128);
        } else if context.b > 0 {
            context.b = (context.b - context.n).min(0);
            context.c = (context.c + 1).min(127);
        }
        self.contexts[index] = context;
        Ok(self.reconstruct(prediction, sign * error))
    }

    /// Decodes the error of the sample that ends a run (A.7.2).
    pub fn interruption(&mut self, bits: &mut Bits, flat: bool, run_index: usize) -> Result<i32> {
        let kind = usize::from(flat);
        let mut run = self.runs[kind];
        let sum = if flat { run.a + (run.n >> 1) } else { run.a };
        let mut k = 0;
        while run.n << k < sum {
            k += 1;
        }
        let mapped = self.golomb(bits, k, self.limit - J[run_index] - 1)?;
        let doubled = mapped + kind as i32;
        let odd = doubled & 1;
        let magnitude = (doubled + odd) / 2;
        let negative = (k != 0 || 2 * run.negative >= run.n) == (odd == 1);
        let error = if negative { -magnitude } else { magnitude };
        if error < 0 {
            run.negative += 1;
        }
        run.a += (mapped as i64 + 1 - kind as i64) >> 1;
        if run.n == self.reset {
            run.a >>= 1;
            run.n >>= 1;
            run.negative >>= 1;
        }
        run.n += 1;
        self.runs[kind] = run;
        Ok(error)
    }

    /// Length of the run that starts here, at most `left`, and whether it reaches the end of the line (A.7.1).
    pub fn run_length(&self, bits: &mut Bits, left: usize, run_index: &mut usize) -> Result<usize> {
        let mut length = 0;
        while bits.take(1) == 1 {
            let span = 1usize << J[*run_index];
            if length + span <= left {
                *run_index = (*run_index + 1).min(31);
            }
            length = (length + span).min(left);
            if length == left {
                return Ok(length);
            }
        }
        length += bits.take(J[*run_index]) as usize;
        if length >= left {
            return Err(malformed("JPEG-LS: a run beyond the end of the line"));
        }
        Ok(length)
    }
}

/// Default thresholds (C.2.4.1.1.1), each replaced where the preset gives it.
fn thresholds(preset: Preset, maxval: i32, near: i32) -> (i32, i32, i32) {
    let clamp = |value: i32, lowest: i32| if value > maxval || value < lowest { lowest } else { value };
    let (b1, b2, b3) = if maxval >= 128 {
        let factor = (maxval.min(4095) + 128) / 256;
        (factor + 2 + 3 * near, 4 * factor + 3 + 5 * near, 17 * factor + 4 + 7 * near)
    } else {
        let factor = 256 / (maxval + 1);
        ((3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4))
    };
    let or = |given: i32, default: i32| if given == 0 { default } else { given };
    let t1 = or(preset.t1, clamp(b1, near + 1));
    let t2 = or(preset.t2, clamp(b2, t1));
    let t3 = or(preset.t3, clamp(b3, t2));
    (t1, t2, t3)
}
