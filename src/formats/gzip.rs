//! gzip and zlib, whole buffers.
//!
//! Specification: RFC 1952 (gzip), RFC 1950 (zlib), RFC 1951 (deflate).
//!
//! Two libraries, because neither is enough. libdeflate decodes a buffer whose output size is known 1.4–1.6 times as
//! fast as zlib-rs (164 MB of CT in 0.35 s against 0.50–0.57 s), but it cannot grow its output, does not say why it fails,
//! and **stops silently after the first member** of a file that has several (bgzip, pigz in parts, `cat a.gz b.gz`). So
//! libdeflate goes first with the size that the caller or the trailer gives, and its result counts only where it is
//! provably whole; everything else is streamed through zlib-rs, which also finds the reason of a failure.
//!
//! In the wild: several members; zeros after the last one (tapes, block devices); a size field (`ISIZE`) that is the
//! size modulo 2^32, or wrong; files cut while downloading.

use std::io::{self, Read};

use flate2::bufread::{GzDecoder, ZlibDecoder};
use libdeflater::Decompressor;

use super::{Error, Result};

const FORMAT: &str = "gzip";

/// Deflate writes at most 258 bytes for two bits.
const LARGEST_RATIO: usize = 1032;

/// True where the bytes start with gzip's magic number.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Most bytes that compressed `bytes` can possibly hold: a bound for what a header promises.
pub fn largest_output(bytes: &[u8]) -> usize {
    bytes.len().saturating_mul(LARGEST_RATIO)
}

/// All members of a gzip file, joined. Zeros after the last member are ignored; other bytes there are an error, as in
/// Python's `gzip`.
///
/// # Errors
/// [`Error::Malformed`] where the bytes end within a member (the message says `truncated`), are not gzip, fail their
/// checksum, or go on with something else after a member.
pub fn decompress(bytes: &[u8]) -> Result<Vec<u8>> {
    if let Some(out) = decompress_single(bytes) {
        return Ok(out);
    }
    let mut out = Vec::new();
    Members::new(bytes).read_to_end(&mut out).map_err(|e| failure(&e, bytes, out.len()))?;
    Ok(out)
}

/// The first `wanted` bytes of the output, or all where there are fewer: for a look at a header. Checksums and what
/// follows are not looked at.
pub fn decompress_prefix(bytes: &[u8], wanted: usize) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(wanted.min(largest_output(bytes)));
    Members::new(bytes).take(wanted as u64).read_to_end(&mut out).map_err(|e| failure(&e, bytes, out.len()))?;
    Ok(out)
}

/// Inflates gzip (by its magic number) or else zlib data, all of them, into a new buffer.
///
/// # Errors
/// As [`decompress`].
pub fn inflate(bytes: &[u8]) -> Result<Vec<u8>> {
    if is_gzip(bytes) {
        return decompress(bytes);
    }
    let mut out = Vec::new();
    ZlibDecoder::new(bytes).read_to_end(&mut out).map_err(|e| failure(&e, bytes, out.len()))?;
    Ok(out)
}

/// Inflates gzip (by its magic number) or else zlib data into `out` and returns the number of bytes written, which is
/// less than `out.len()` where the data are whole and hold less. What follows the member that fills `out` is left alone.
///
/// # Errors
/// As [`decompress`], up to the end of the member that fills `out`, its checksum included.
pub fn inflate_into(bytes: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut decoder = Decompressor::new();
    let direct = if is_gzip(bytes) { decoder.gzip_decompress(bytes, out) } else { decoder.zlib_decompress(bytes, out) };
    if direct == Ok(out.len()) {
        return Ok(out.len());
    }
    let mut found = 0;
    let read = if is_gzip(bytes) {
        let mut members = Members::new(bytes);
        fill(&mut members, out, &mut found).and_then(|()| members.member.as_mut().map_or(Ok(()), to_the_end))
    } else {
        let mut stream = ZlibDecoder::new(bytes);
        fill(&mut stream, out, &mut found).and_then(|()| to_the_end(&mut stream))
    };
    read.map_err(|e| failure(&e, bytes, found))?;
    Ok(found)
}

/// The fast way for a file of one member, `None` where it is not certain to be one or is damaged.
fn decompress_single(bytes: &[u8]) -> Option<Vec<u8>> {
    let trailer: [u8; 8] = *bytes.last_chunk()?;
    let size = u32::from_le_bytes(*trailer.last_chunk()?) as usize;
    if size > largest_output(bytes) {
        return None;
    }
    let mut out = vec![0; size];
    if Decompressor::new().gzip_decompress(bytes, &mut out) != Ok(size) {
        return None;
    }
    // libdeflate has found a first member of this size, and the file ends with this size; but the file may go on with a
    // member of the same size. The first member ends with its own checksum and size: where these eight bytes are nowhere
    // but at the end of the file, its end is the end of the file.
    let mut crc = libdeflater::Crc::new();
    crc.update(&out);
    let own = u64::from(crc.sum()) | (size as u64) << 32;
    let at_end = u64::from_le_bytes(trailer) == own;
    let earlier = bytes[..bytes.len() - 1].windows(8).any(|w| w == own.to_le_bytes());
    (at_end && !earlier).then_some(out)
}

fn fill(from: &mut impl Read, out: &mut [u8], found: &mut usize) -> io::Result<()> {
    while *found < out.len() {
        match from.read(&mut out[*found..])? {
            0 => break,
            n => *found += n,
        }
    }
    Ok(())
}

/// Reads what is left of a stream, because its checksum comes last.
fn to_the_end(stream: &mut impl Read) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(|_| ())
}

fn failure(error: &io::Error, bytes: &[u8], found: usize) -> Error {
    let format = if is_gzip(bytes) { FORMAT } else { "zlib" };
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            format!("truncated: {} compressed bytes end within the stream, after {found} bytes of output", bytes.len())
        }
        _ => format!("after {found} bytes of output: {error}"),
    };
    Error::Malformed { format, reason }
}

/// The members of a gzip file as one stream.
struct Members<'a> {
    member: Option<GzDecoder<&'a [u8]>>,
}

impl<'a> Members<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Members { member: Some(GzDecoder::new(bytes)) }
    }
}

impl Read for Members<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let rest: &[u8] = member.get_ref();
            self.member = if is_gzip(rest) {
                Some(GzDecoder::new(rest))
            } else if rest.iter().all(|&b| b == 0) {
                None
            } else {
                let reason = format!("{} bytes after the last member are neither gzip nor zeros", rest.len());
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            };
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_member_is_read() {
        let joined = [gzip(b"first "), gzip(b""), gzip(b"second")].concat();
        assert_eq!(decompress(&joined).unwrap(), b"first second");
        let mut out = [0; 12];
        assert_eq!(inflate_into(&joined, &mut out).unwrap(), 12);
        assert_eq!(&out, b"first second");
    }

    #[test]
    fn equal_members_are_not_taken_for_one() {
        let joined = [gzip(b"again"), gzip(b"again")].concat();
        assert_eq!(decompress(&joined).unwrap(), b"againagain");
    }

    #[test]
    fn zeros_after_the_end_are_padding_and_other_bytes_an_error() {
        let mut bytes = gzip(b"data");
        bytes.extend([0; 700]);
        assert_eq!(decompress(&bytes).unwrap(), b"data");
        bytes.push(7);
        let error = decompress(&bytes).unwrap_err().to_string();
        assert!(error.contains("701 bytes after the last member"), "{error}");
    }

    #[test]
    fn a_wrong_size_field_is_found_out() {
        let mut bytes = gzip(&[5; 1000]);
        let at = bytes.len() - 4;
        for size in [0u32, 999, 1001, u32::MAX] {
            bytes[at..].copy_from_slice(&size.to_le_bytes());
            assert!(decompress(&bytes).is_err(), "size field {size}");
        }
    }

    #[test]
    fn truncation_is_named() {
        let whole = gzip(&(0..=255).cycle().take(5000).collect::<Vec<u8>>());
        for cut in [3, 12, 40, whole.len() - 9, whole.len() - 1] {
            let error = decompress(&whole[..cut]).unwrap_err().to_string();
            assert!(error.contains("truncated"), "cut at {cut}: {error}");
            let error = inflate_into(&whole[..cut], &mut [0; 6000]).unwrap_err().to_string();
            assert!(error.contains("truncated"), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn checksums_are_checked() {
        for (bytes, trailer) in [(gzip(&[5; 1000]), 8), (zlib(&[5; 1000]), 4)] {
            for wanted in [999, 1000, 1001] {
                let mut bytes = bytes.clone();
                let at = bytes.len() - trailer;
                bytes[at] ^= 1;
                assert!(inflate_into(&bytes, &mut vec![0; wanted]).is_err(), "{wanted}");
                assert!(inflate(&bytes).is_err());
                let cut = inflate_into(&bytes[..at + 1], &mut vec![0; wanted]).unwrap_err().to_string();
                assert!(cut.contains("truncated"), "{cut}");
            }
        }
    }

    #[test]
    fn the_output_may_be_shorter_or_longer_than_the_data() {
        for bytes in [gzip(&[1, 2, 3]), zlib(&[1, 2, 3])] {
            let mut out = [9; 5];
            assert_eq!(inflate_into(&bytes, &mut out).unwrap(), 3);
            assert_eq!(out[..3], [1, 2, 3]);
            let mut out = [9; 2];
            assert_eq!(inflate_into(&bytes, &mut out).unwrap(), 2);
            assert_eq!(out, [1, 2]);
            assert_eq!(inflate(&bytes).unwrap(), [1, 2, 3]);
        }
        assert_eq!(decompress_prefix(&gzip(&[1, 2, 3]), 2).unwrap(), [1, 2]);
    }

    proptest! {
        #[test]
        fn any_members_come_back(parts in prop::collection::vec(prop::collection::vec(0u8..4, 0..300), 1..4)) {
            let joined: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
            prop_assert_eq!(decompress(&joined).unwrap(), parts.concat());
        }

        #[test]
        fn damage_never_panics(data in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), to: u8) {
            for mut bytes in [gzip(&data), zlib(&data)] {
                let at = at.index(bytes.len());
                bytes[at] = to;
                let _ = decompress(&bytes);
                let _ = inflate(&bytes[..at]);
                let _ = inflate_into(&bytes, &mut [0; 100]);
                let _ = decompress_prefix(&bytes, 10);
            }
        }
    }
}
