//! From the bytes of a strip or tile to values: bit packing, byte order, predictors, types.

use super::{Result, unsupported};
use crate::image::Samples;

/// The SampleFormat tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Unsigned,
    Signed,
    Float,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Format::Unsigned => "unsigned",
            Format::Signed => "signed",
            Format::Float => "float",
        })
    }
}

/// How one value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SampleType {
    pub(super) format: Format,
    pub(super) bits: usize,
}

impl SampleType {
    pub(super) fn new(format: u64, bits: u64) -> Result<Self> {
        let format = match format {
            // 4 is "undefined": bits without a meaning, taken for what they most often are.
            1 | 4 => Format::Unsigned,
            2 => Format::Signed,
            3 => Format::Float,
            _ => return Err(unsupported(format!("sample format {format} (complex numbers, or unknown)"))),
        };
        match (format, bits) {
            (Format::Unsigned, 1..=16 | 32 | 64)
            | (Format::Signed, 8 | 16 | 32 | 64)
            | (Format::Float, 16 | 32 | 64) => Ok(SampleType { format, bits: bits as usize }),
            _ => Err(unsupported(format!("{format} samples of {bits} bits"))),
        }
    }

    /// Bytes of a value once it is unpacked.
    pub(super) fn width(self) -> usize {
        self.bits.div_ceil(8).next_power_of_two()
    }

    fn is_packed(self) -> bool {
        !self.bits.is_multiple_of(8)
    }

    /// Bytes of a row of `values`; rows begin on a byte.
    pub(super) fn row_bytes(self, values: u64) -> Option<u64> {
        Some(values.checked_mul(self.bits as u64)?.div_ceil(8))
    }
}

/// The Predictor tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predictor {
    None,
    /// Differences from the value to the left.
    Horizontal,
    /// Differences of bytes, the bytes of a row sorted by significance.
    FloatingPoint,
}

/// Unpacks rows of `values` values each (`stride` of them a pixel) to native byte order, and undoes the predictor.
pub(super) fn unpack(
    mut bytes: Vec<u8>,
    kind: SampleType,
    values: usize,
    stride: usize,
    predictor: Predictor,
    big_endian: bool,
) -> Vec<u8> {
    let width = kind.width();
    if predictor == Predictor::FloatingPoint {
        return bytes
            .chunks_exact_mut(values * width)
            .flat_map(|row| undo_floating_point(row, width, stride))
            .collect();
    }
    if kind.is_packed() {
        bytes = unpack_bits(&bytes, kind, values);
    } else if width > 1 && big_endian != cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    if predictor == Predictor::Horizontal {
        for row in bytes.chunks_exact_mut(values * width) {
            match width {
                1 => add_left(row, stride, |a, b: [u8; 1]| [a[0].wrapping_add(b[0])]),
                2 => add_left(row, stride, |a, b| {
                    u16::from_ne_bytes(a).wrapping_add(u16::from_ne_bytes(b)).to_ne_bytes()
                }),
                4 => add_left(row, stride, |a, b| {
                    u32::from_ne_bytes(a).wrapping_add(u32::from_ne_bytes(b)).to_ne_bytes()
                }),
                _ => add_left(row, stride, |a, b| {
                    u64::from_ne_bytes(a).wrapping_add(u64::from_ne_bytes(b)).to_ne_bytes()
                }),
            }
        }
        if kind.is_packed() {
            mask(&mut bytes, kind);
        }
    }
    bytes
}

/// Adds to each value of `N` bytes the one `stride` values before it.
fn add_left<const N: usize>(row: &mut [u8], stride: usize, add: impl Fn([u8; N], [u8; N]) -> [u8; N]) {
    let (values, _) = row.as_chunks_mut::<N>();
    for i in stride..values.len() {
        values[i] = add(values[i], values[i - stride]);
    }
}

/// Differences of values narrower than their type wrap at their own width.
fn mask(bytes: &mut [u8], kind: SampleType) {
    let mask = (1u16 << kind.bits) - 1;
    if kind.width() == 1 {
        bytes.iter_mut().for_each(|v| *v &= mask as u8);
    } else {
        for value in bytes.as_chunks_mut::<2>().0 {
            *value = (u16::from_ne_bytes(*value) & mask).to_ne_bytes();
        }
    }
}

/// Adobe's Technical Note 3: bytes are differences from the byte `stride` before them; the row holds the highest bytes
/// of all values first, whatever the byte order of the file.
fn undo_floating_point(row: &mut [u8], width: usize, stride: usize) -> Vec<u8> {
    for i in stride..row.len() {
        row[i] = row[i].wrapping_add(row[i - stride]);
    }
    let values = row.len() / width;
    let mut out = vec![0; row.len()];
    for (i, value) in out.chunks_exact_mut(width).enumerate() {
        for (byte, out) in value.iter_mut().enumerate() {
            let significance = if cfg!(target_endian = "big") { byte } else { width - 1 - byte };
            *out = row[significance * values + i];
        }
    }
    out
}

/// Values of 1 to 15 bits, packed from the highest bit whatever the byte order of the file.
fn unpack_bits(bytes: &[u8], kind: SampleType, values: usize) -> Vec<u8> {
    let SampleType { bits, .. } = kind;
    let row_bytes = (values * bits).div_ceil(8);
    let width = kind.width();
    let mut out = vec![0u8; bytes.len() / row_bytes * values * width];
    for (row, out) in bytes.chunks_exact(row_bytes).zip(out.chunks_exact_mut(values * width)) {
        if bits == 1 {
            for (&byte, out) in row.iter().zip(out.chunks_mut(8)) {
                out.iter_mut().enumerate().for_each(|(i, v)| *v = byte >> (7 - i) & 1);
            }
            continue;
        }
        let (mut window, mut held) = (0u32, 0);
        let mut row = row.iter();
        for out in out.chunks_exact_mut(width) {
            while held < bits {
                window = window << 8 | u32::from(*row.next().unwrap_or(&0));
                held += 8;
            }
            held -= bits;
            let value = (window >> held & ((1 << bits) - 1)) as u16;
            match out {
                [byte] => *byte = value as u8,
                out => out.copy_from_slice(&value.to_ne_bytes()),
            }
        }
    }
    out
}

/// Values in native byte order as a typed vector. Half precision is widened.
pub(super) fn typed(bytes: Vec<u8>, kind: SampleType) -> Samples {
    macro_rules! values {
        ($type:ty) => {
            bytes.as_chunks::<{ size_of::<$type>() }>().0.iter().map(|&b| <$type>::from_ne_bytes(b)).collect()
        };
    }
    match (kind.format, kind.width()) {
        (Format::Unsigned, 1) => Samples::U8(bytes),
        (Format::Unsigned, 2) => Samples::U16(values!(u16)),
        (Format::Unsigned, 4) => Samples::U32(values!(u32)),
        (Format::Unsigned, _) => Samples::U64(values!(u64)),
        (Format::Signed, 1) => Samples::I8(values!(i8)),
        (Format::Signed, 2) => Samples::I16(values!(i16)),
        (Format::Signed, 4) => Samples::I32(values!(i32)),
        (Format::Signed, _) => Samples::I64(values!(i64)),
        (Format::Float, 2) => {
            Samples::F32(bytes.as_chunks::<2>().0.iter().map(|&b| widen_half(u16::from_ne_bytes(b))).collect())
        }
        (Format::Float, 4) => Samples::F32(values!(f32)),
        (Format::Float, _) => Samples::F64(values!(f64)),
    }
}

/// IEEE half precision to single precision, exactly.
fn widen_half(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let (exponent, fraction) = (u32::from(half >> 10 & 31), u32::from(half & 0x3ff));
    match exponent {
        // Zero and subnormal numbers are multiples of 2^-24.
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(bits: usize) -> SampleType {
        SampleType { format: Format::Unsigned, bits }
    }

    #[test]
    fn narrow_values_are_packed_from_the_highest_bit() {
        assert_eq!(unpack_bits(&[0xa0, 0x40], kind(1), 3), [1, 0, 1, 0, 1, 0]);
        assert_eq!(unpack_bits(&[0x12, 0x30], kind(4), 3), [1, 2, 3]);
        let twelve = unpack_bits(&[0x12, 0x3f, 0xff, 0x45, 0x60], kind(12), 3);
        assert_eq!(typed(twelve, kind(12)), Samples::U16(vec![0x123, 0xfff, 0x456]));
    }

    #[test]
    fn horizontal_differences_wrap_at_their_width() {
        let rgb = unpack(vec![1, 2, 3, 255, 1, 1], kind(8), 6, 3, Predictor::Horizontal, false);
        assert_eq!(rgb, [1, 2, 3, 0, 3, 4]);
        let words = unpack(vec![1, 0, 0, 5], kind(16), 2, 1, Predictor::Horizontal, true);
        assert_eq!(typed(words, kind(16)), Samples::U16(vec![256, 261]));
        let twelve = unpack(vec![0xff, 0xf0, 0x02], kind(12), 2, 1, Predictor::Horizontal, false);
        assert_eq!(typed(twelve, kind(12)), Samples::U16(vec![0xfff, 1]));
    }

    #[test]
    fn floating_point_predictor_sorts_bytes_by_significance() {
        let (a, b) = (1.5f32.to_be_bytes(), (-2.25f32).to_be_bytes());
        let mut row: Vec<u8> = (0..4).flat_map(|i| [a[i], b[i]]).collect();
        for i in (1..row.len()).rev() {
            row[i] = row[i].wrapping_sub(row[i - 1]);
        }
        let float = SampleType { format: Format::Float, bits: 32 };
        let bytes = unpack(row, float, 2, 1, Predictor::FloatingPoint, false);
        assert_eq!(typed(bytes, float), Samples::F32(vec![1.5, -2.25]));
    }

    #[test]
    fn half_precision_is_widened_exactly() {
        for (half, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2f32.powi(-24)),
            (0x03ff, 1023.0 * 2f32.powi(-24)),
            (0x0400, 2f32.powi(-14)),
            (0x7bff, 65504.0),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(widen_half(half), value, "{half:#06x}");
        }
        assert!(widen_half(0x7e00).is_nan() && widen_half(0x8000).is_sign_negative());
    }
}
