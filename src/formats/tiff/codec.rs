//! Compressions of strips and tiles: compressed bytes in, exactly the bytes of the segment out.

use std::io::Read;

use fax::Color;
use fax::decoder::{DecodeStatus, Group4Decoder, pels};
use flate2::read::ZlibDecoder;
use weezl::{BitOrder, decode::Configuration};
use xz2::read::XzDecoder;

use super::{Result, malformed, truncated, unsupported};
use crate::formats::lzw;

/// How the segments of a page are compressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compression {
    None,
    Group4,
    Lzw,
    Jpeg,
    Deflate,
    PackBits,
    Lzma,
    Zstd,
}

impl Compression {
    /// From the value of the Compression tag.
    pub(super) fn from_tag(value: u64) -> Result<Self> {
        let name = match value {
            1 => return Ok(Compression::None),
            4 => return Ok(Compression::Group4),
            5 => return Ok(Compression::Lzw),
            7 => return Ok(Compression::Jpeg),
            8 | 32946 => return Ok(Compression::Deflate),
            32773 => return Ok(Compression::PackBits),
            34925 => return Ok(Compression::Lzma),
            50000 => return Ok(Compression::Zstd),
            2 => "CCITT run lengths",
            3 => "CCITT Group 3",
            6 => "old-style JPEG",
            33003 | 33005 | 34712 => "JPEG 2000",
            34676 | 34677 => "SGI LogLuv",
            34887 => "LERC",
            50001 | 34927 => "WebP",
            50002 | 52546 => "JPEG XL",
            _ => "unknown to this reader",
        };
        Err(unsupported(format!("compression {value} ({name}); convert the file with a lossless tool such as tiffcp")))
    }

    /// True where a Predictor tag counts. The specification has it for LZW; libtiff ignores it without compression,
    /// where tifffile heeds it, as is done here: who writes the tag means it.
    pub(super) fn has_predictor(self) -> bool {
        !matches!(self, Compression::Jpeg | Compression::Group4)
    }

    /// The most bytes that one compressed byte can stand for, with which sizes in headers are checked before memory is
    /// taken for them. `row` is the number of bytes of a row.
    pub(super) fn most_bytes_per_byte(self, row: u64) -> u64 {
        match self {
            Compression::None => 1,
            // Two bytes for 128.
            Compression::PackBits => 64,
            // A code of 9 to 12 bits for fewer than 4096 bytes.
            Compression::Lzw => 1 << 12,
            // A length of 258 in two bits.
            Compression::Deflate => 1032,
            // A block of 64 values of each component in a bit.
            Compression::Jpeg => 8 * 64 * 4,
            // A row like the one above it in a bit.
            Compression::Group4 => 8 * row,
            // A block of 128 KiB of one value in four bytes.
            Compression::Zstd | Compression::Lzma => 1 << 15,
        }
    }
}

/// Decompresses a segment of `need` bytes. JPEG is not for here.
pub(super) fn decompress(
    compression: Compression,
    data: &[u8],
    need: usize,
    row: usize,
    width: usize,
) -> Result<Vec<u8>> {
    match compression {
        Compression::None | Compression::Jpeg => match data.get(..need) {
            Some(data) => Ok(data.to_vec()),
            None => Err(short(need, data.len())),
        },
        Compression::PackBits => unpack_bits(data, need),
        Compression::Lzw => unpack_lzw(data, need),
        Compression::Group4 => group4(data, need, row, width),
        Compression::Deflate => read(ZlibDecoder::new(data), need, "Deflate"),
        Compression::Lzma => read(XzDecoder::new(data), need, "LZMA"),
        Compression::Zstd => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(data).map_err(|e| malformed(format!("Zstandard: {e}")))?;
            read(decoder, need, "Zstandard")
        }
    }
}

fn short(need: usize, found: usize) -> super::Error {
    truncated("strip or tile (decompressed)".into(), need as u64, found as u64)
}

/// Data beyond `need` are left: some writers fill the last strip up.
fn read(mut decoder: impl Read, need: usize, name: &str) -> Result<Vec<u8>> {
    let mut out = vec![0; need];
    let mut filled = 0;
    while filled < need {
        match decoder.read(&mut out[filled..]) {
            Ok(0) => return Err(short(need, filled)),
            Ok(count) => filled += count,
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(short(need, filled)),
            Err(e) => return Err(malformed(format!("{name}: {e}"))),
        }
    }
    Ok(out)
}

fn unpack_bits(data: &[u8], need: usize) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(need);
    let mut data = data.iter().copied();
    while out.len() < need {
        let Some(header) = data.next() else { return Err(short(need, out.len())) };
        match header as i8 {
            count @ 0.. => out.extend(data.by_ref().take(count as usize + 1)),
            i8::MIN => {}
            count => match data.next() {
                Some(value) => out.extend(std::iter::repeat_n(value, 1 + usize::from(count.unsigned_abs()))),
                None => return Err(short(need, out.len())),
            },
        }
    }
    out.truncate(need);
    Ok(out)
}

/// Codes are packed from the highest bit, and grow one code early. Files from before TIFF 5.0 pack them from the lowest
/// bit and grow on time; they begin with a clear code of 9 bits, whose bytes are 00 01.
fn unpack_lzw(data: &[u8], need: usize) -> Result<Vec<u8>> {
    let old = matches!(data, [0, second, ..] if second & 1 == 1);
    let configuration =
        if old { Configuration::new(BitOrder::Lsb, 8) } else { Configuration::with_tiff_size_switch(BitOrder::Msb, 8) };
    let mut out = vec![0; need];
    match lzw::fill(configuration.build(), data, &mut out) {
        Ok(found) if found < need => return Err(short(need, found)),
        Ok(_) => {}
        Err(e) => return Err(malformed(format!("LZW: {e}"))),
    }
    Ok(out)
}

/// White is 0 and black 1 whatever the photometric interpretation says, as in libtiff.
fn group4(data: &[u8], need: usize, row: usize, width: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; need];
    let corrupt = |y: usize| malformed(format!("CCITT Group 4: no code at row {y}"));
    let bytes = data.iter().map(|&b| Ok::<u8, std::convert::Infallible>(b));
    let mut decoder = Group4Decoder::new(bytes, width as u32).map_err(|_| corrupt(0))?;
    for (y, out) in out.chunks_exact_mut(row).enumerate() {
        match decoder.advance() {
            Ok(DecodeStatus::Incomplete) => {}
            Ok(DecodeStatus::End) => return Err(short(need, y * row)),
            Err(_) => return Err(corrupt(y)),
        }
        for (x, color) in pels(decoder.transition(), width as u32).enumerate() {
            out[x / 8] |= u8::from(color == Color::Black) << (7 - x % 8);
        }
    }
    Ok(out)
}

/// A strip or tile of JPEG as a file of its own: the tables of the page, and a marker for the colours, since a stream
/// inside a TIFF has none and decoders would guess.
pub(super) fn jpeg_file(data: &[u8], tables: &[u8], photometric: u64) -> Vec<u8> {
    let transform = u8::from(photometric == 6);
    let adobe = [0xff, 0xee, 0, 14, b'A', b'd', b'o', b'b', b'e', 0, 100, 0, 0, 0, 0, transform];
    // Both parts begin with ff d8, and the tables end with ff d9.
    let tables = tables.strip_prefix(&[0xff, 0xd8]).unwrap_or_default();
    let tables = tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(tables);
    let data = data.strip_prefix(&[0xff, 0xd8]).unwrap_or(data);
    [&[0xff, 0xd8][..], &adobe, tables, data].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Cursor, Write};

    fn compress(compression: Compression, data: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Lzw => weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(data).unwrap(),
            Compression::Deflate => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Lzma => {
                let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 0);
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(Cursor::new(data), 1).unwrap(),
            Compression::PackBits => data.chunks(128).flat_map(|c| [&[c.len() as u8 - 1], c].concat()).collect(),
            _ => data.to_vec(),
        }
    }

    const ALL: [Compression; 6] = [
        Compression::None,
        Compression::Lzw,
        Compression::Deflate,
        Compression::PackBits,
        Compression::Lzma,
        Compression::Zstd,
    ];

    #[test]
    fn packed_runs_and_the_byte_that_means_nothing() {
        assert_eq!(unpack_bits(&[0xfe, 7, 0x80, 1, 8, 9], 5).unwrap(), [7, 7, 7, 8, 9]);
        assert!(unpack_bits(&[0xfe], 5).is_err());
    }

    #[test]
    fn old_style_lzw_packs_codes_from_the_lowest_bit() {
        let data: Vec<u8> = (0..6000u32).map(|i| (i * i / 7) as u8).collect();
        let codes = weezl::encode::Encoder::new(BitOrder::Lsb, 8).encode(&data).unwrap();
        assert_eq!(codes[..2], [0, 1 | codes[1]]);
        assert_eq!(unpack_lzw(&codes, data.len()).unwrap(), data);
    }

    proptest! {
        #[test]
        fn segments_round_trip_and_short_ones_are_errors(data in prop::collection::vec(0u8..4, 1..3000)) {
            for compression in ALL {
                let packed = compress(compression, &data);
                prop_assert_eq!(&decompress(compression, &packed, data.len(), 1, 8).unwrap(), &data);
                prop_assert!(decompress(compression, &packed, data.len() + 1, 1, 8).is_err());
                // A few bytes of LZW may be all there before the end code.
                let cut = decompress(compression, &packed[..packed.len() / 2], data.len(), 1, 8);
                prop_assert!(cut.is_err() || cut.unwrap() == data);
            }
        }

        #[test]
        fn hostile_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..200), need in 0usize..500) {
            for compression in ALL {
                let _ = decompress(compression, &data, need, 1, 8);
            }
            let _ = decompress(Compression::Group4, &data, 50, 5, 39);
        }
    }
}
