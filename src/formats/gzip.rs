//! gzip and zlib: whole buffers, streams, and bytes as they come.
//!
//! Specification: RFC 1952 (gzip), RFC 1950 (zlib), RFC 1951 (deflate).
//!
//! Two libraries, because neither is enough. libdeflate decodes a buffer whose output size is known 1.4–1.6 times as
//! fast as zlib-rs (164 MB of CT in 0.35 s against 0.50–0.57 s), but it cannot grow its output, does not report why it
//! fails, and **stops silently after the first member** of a file that has several (bgzip, pigz in parts, `cat a.gz
//! b.gz`). So libdeflate goes first with the size that the caller or the trailer gives, and its result is used only if
//! it is provably complete; everything else is streamed through zlib-rs, which also reports the reason of a failure.
//!
//! Only `Members` iterates over the members of a file. It takes pieces of any size, so the functions for whole buffers,
//! `Reader` for streams and `probe` for `verify` share it.
//!
//! In the wild: several members; zeros after the last one (tapes, block devices); a size field (`ISIZE`) that is the
//! size modulo 2^32, or wrong; files cut while downloading.

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::ZlibDecoder;
use flate2::{Crc, Decompress, FlushDecompress, Status};
use libdeflater::Decompressor;

use super::probe::Probe;
use super::{Error, Result};
use crate::fault::Fault;
use crate::memory::{Room, Unread};
use crate::text::byte_size;

const FORMAT: &str = "gzip";

/// Deflate writes at most 258 bytes for two bits.
const LARGEST_RATIO: usize = 1032;

/// True where the bytes start with gzip's magic number.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Most bytes that compressed `bytes` can possibly hold: a bound for what a header promises.
pub(crate) fn largest_output(bytes: &[u8]) -> usize {
    bytes.len().saturating_mul(LARGEST_RATIO)
}

/// All members of a gzip file, joined. Zeros after the last member are ignored; other bytes there are an error, as in
/// Python's `gzip`.
///
/// # Errors
/// [`Error::Malformed`] where the bytes end within a member (the message says `truncated`), are not gzip, fail their
/// checksum, or go on with something else after a member.
pub fn decompress(bytes: &[u8]) -> Result<Vec<u8>> {
    decompress_within(bytes, u64::MAX, &Room::default())
}

/// As [`decompress`], at most `most` bytes, whose memory is taken of `room`.
///
/// # Errors
/// As [`decompress`], and [`Error::Memory`].
pub(super) fn decompress_within(bytes: &[u8], most: u64, room: &Room) -> Result<Vec<u8>> {
    let held = room.held();
    if let Some(out) = decompress_single(bytes, most, room)? {
        return Ok(out);
    }
    room.back_to(held);
    let mut reader = Reader::new(bytes);
    room.read_to_end(&mut reader, most).map_err(|unread| of_unread(unread, bytes, most, reader.members.end))
}

/// What a file may expand to whose header promises `promised` bytes: as much again may follow, and 16 MiB.
pub(super) fn with_slack(promised: u64) -> u64 {
    promised.saturating_mul(2).saturating_add(16 << 20)
}

/// `end` is where the last whole member ends.
fn of_unread(unread: Unread, bytes: &[u8], most: u64, end: u64) -> Error {
    match unread {
        Unread::Io(error, found) => failure(&error, bytes, found, end),
        Unread::Memory(beyond) => beyond.into(),
        Unread::TooLong => {
            let format = if is_gzip(bytes) { FORMAT } else { "zlib" };
            let reason = format!("expands to more than {most} bytes, which the header of the image does not explain");
            Error::Malformed { format, reason }
        }
    }
}

/// The first `wanted` bytes of the output, or all where there are fewer, and the error that cut them short. Later bytes
/// and checksums are not read.
pub(super) fn decompress_prefix(bytes: &[u8], wanted: usize) -> (Vec<u8>, Result<()>) {
    let mut out = Vec::with_capacity(if wanted == usize::MAX { 0 } else { wanted.min(largest_output(bytes)) });
    let mut reader = Reader::new(bytes);
    let read = (&mut reader).take(wanted as u64).read_to_end(&mut out);
    let read = read.map_err(|e| failure(&e, bytes, out.len(), reader.members.end)).map(|_| ());
    (out, read)
}

/// Inflates gzip (by its magic number) or else zlib data, all of them and at most `most` bytes, into a new buffer.
///
/// # Errors
/// As [`decompress_within`].
pub(super) fn inflate(bytes: &[u8], most: u64, room: &Room) -> Result<Vec<u8>> {
    if is_gzip(bytes) {
        return decompress_within(bytes, most, room);
    }
    room.read_to_end(ZlibDecoder::new(bytes), most).map_err(|unread| of_unread(unread, bytes, most, 0))
}

/// Inflates gzip (by its magic number) or else zlib data into `out` and returns the number of bytes written, which is
/// less than `out.len()` where the data are whole and hold less. What follows the member that fills `out` is left
/// alone.
///
/// # Errors
/// As [`decompress`], up to the end of the member that fills `out`, its checksum included.
pub(crate) fn inflate_into(bytes: &[u8], out: &mut [u8]) -> Result<usize> {
    let mut decoder = Decompressor::new();
    let direct = if is_gzip(bytes) { decoder.gzip_decompress(bytes, out) } else { decoder.zlib_decompress(bytes, out) };
    if direct == Ok(out.len()) {
        return Ok(out.len());
    }
    let mut found = 0;
    if is_gzip(bytes) {
        let mut reader = Reader::new(bytes);
        let read = fill(&mut reader, out, &mut found).and_then(|()| reader.finish_member());
        read.map_err(|e| failure(&e, bytes, found, reader.members.end))?;
    } else {
        let mut stream = ZlibDecoder::new(bytes);
        // The checksum comes last.
        let read = fill(&mut stream, out, &mut found).and_then(|()| io::copy(&mut stream, &mut io::sink()));
        read.map_err(|e| failure(&e, bytes, found, 0))?;
    }
    Ok(found)
}

/// The fast way for a file of one member, `None` where it is not certain to be one or is damaged.
fn decompress_single(bytes: &[u8], most: u64, room: &Room) -> Result<Option<Vec<u8>>> {
    let Some(&trailer) = bytes.last_chunk::<8>() else { return Ok(None) };
    let size = u32::from_le_bytes([trailer[4], trailer[5], trailer[6], trailer[7]]) as usize;
    if size > largest_output(bytes) || size as u64 > most {
        return Ok(None);
    }
    // The size that the trailer states may be a lie: it is no reason to refuse the file.
    let Ok(mut out) = room.zeros(size) else { return Ok(None) };
    if Decompressor::new().gzip_decompress(bytes, &mut out) != Ok(size) {
        return Ok(None);
    }
    // libdeflate has found a first member of this size, and the file ends with this size; but the file may go on with a
    // member of the same size. The first member ends with its own checksum and size: where these eight bytes are
    // nowhere but at the end of the file, its end is the end of the file.
    let mut crc = libdeflater::Crc::new();
    crc.update(&out);
    let own = u64::from(crc.sum()) | (size as u64) << 32;
    let at_end = u64::from_le_bytes(trailer) == own;
    let earlier = bytes[..bytes.len() - 1].windows(8).any(|w| w == own.to_le_bytes());
    Ok((at_end && !earlier).then_some(out))
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

/// `end` is where the last whole member ends.
fn failure(error: &io::Error, bytes: &[u8], found: usize, end: u64) -> Error {
    let format = if is_gzip(bytes) { FORMAT } else { "zlib" };
    let broken = error.get_ref().and_then(|error| error.downcast_ref());
    let reason = match (error.kind(), broken) {
        (io::ErrorKind::UnexpectedEof, _) => {
            format!("truncated: {} compressed bytes end inside the stream, after {found} bytes of output", bytes.len())
        }
        (_, Some(broken @ Broken::Followed)) => {
            format!("after {found} bytes of output: {} {broken}", bytes.len() as u64 - end)
        }
        _ => format!("after {found} bytes of output: {error}"),
    };
    Error::Malformed { format, reason }
}

/// Walks over the members of a gzip file, piece by piece.
#[derive(Default)]
struct Members {
    part: Part,
    header: Header,
    inflate: Option<Decompress>,
    /// Of the output of this member.
    crc: Crc,
    trailer: Vec<u8>,
    /// Bytes taken so far.
    position: u64,
    /// Where the last whole member ends; 0 before there is one.
    end: u64,
}

/// What comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Header,
    Data,
    Trailer,
    /// Another member, zeros, or the end.
    Between,
    Zeros,
}

/// Number of bytes that a step took from its input and wrote to its output.
struct Step {
    taken: usize,
    given: usize,
}

/// Why bytes are not valid gzip data.
#[derive(Clone, Copy, Debug)]
enum Broken {
    Header,
    Data,
    Checksum,
    Followed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Broken::Header => "invalid gzip header",
            Broken::Data => "corrupt deflate stream",
            Broken::Checksum => "corrupt gzip stream does not have a matching checksum",
            Broken::Followed => "bytes after the last member are neither gzip nor zeros",
        })
    }
}

impl std::error::Error for Broken {}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, broken)
    }
}

impl Members {
    /// Whether the bytes may end here.
    fn is_whole(&self) -> bool {
        matches!(self.part, Part::Between | Part::Zeros)
    }

    /// Takes bytes of the input and writes to the output, until it has written something, needs more input, or a member
    /// ends.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> std::result::Result<Step, Broken> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            if rest.is_empty() && self.part != Part::Data {
                return Ok(Step { taken, given: 0 });
            }
            let count = match self.part {
                Part::Header => match self.header.take(rest[0]) {
                    Ok(whole) => {
                        if whole {
                            self.begin_data();
                        }
                        1
                    }
                    Err(Broken::Header) if self.end > 0 && !self.header.has_magic() => return Err(Broken::Followed),
                    Err(broken) => return Err(broken),
                },
                Part::Data => {
                    let step = self.inflate(rest, output)?;
                    if step.given > 0 || self.part == Part::Data {
                        self.position += step.taken as u64;
                        return Ok(Step { taken: taken + step.taken, given: step.given });
                    }
                    step.taken
                }
                Part::Trailer => {
                    self.trailer.push(rest[0]);
                    self.position += 1;
                    taken += 1;
                    if self.trailer.len() == 8 {
                        self.end_member()?;
                        return Ok(Step { taken, given: 0 });
                    }
                    continue;
                }
                Part::Between if rest[0] == 0x1f => {
                    self.part = Part::Header;
                    0
                }
                Part::Between | Part::Zeros => {
                    self.part = Part::Zeros;
                    match rest.iter().all(|&byte| byte == 0) {
                        true => rest.len(),
                        false => return Err(Broken::Followed),
                    }
                }
            };
            taken += count;
            self.position += count as u64;
        }
    }

    fn begin_data(&mut self) {
        self.header = Header::default();
        self.crc.reset();
        match &mut self.inflate {
            Some(inflate) => inflate.reset(false),
            None => self.inflate = Some(Decompress::new(false)),
        }
        self.part = Part::Data;
    }

    fn inflate(&mut self, input: &[u8], output: &mut [u8]) -> std::result::Result<Step, Broken> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
        let before = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(input, output, FlushDecompress::None).map_err(|_| Broken::Data)?;
        let taken = (inflate.total_in() - before.0) as usize;
        let given = (inflate.total_out() - before.1) as usize;
        self.crc.update(&output[..given]);
        if status == Status::StreamEnd {
            self.part = Part::Trailer;
        }
        Ok(Step { taken, given })
    }

    fn end_member(&mut self) -> std::result::Result<(), Broken> {
        let own = u64::from(self.crc.sum()) | u64::from(self.crc.amount()) << 32;
        let stored = std::mem::take(&mut self.trailer);
        self.end = self.position;
        self.part = Part::Between;
        if stored == own.to_le_bytes() { Ok(()) } else { Err(Broken::Checksum) }
    }
}

/// The header of a member (RFC 1952, section 2.3), byte by byte.
#[derive(Default)]
struct Header {
    field: Field,
    /// Bytes of a field of fixed length that have come so far.
    small: Vec<u8>,
    flags: u8,
    /// CRC of the header so far.
    crc: Crc,
}

/// Parts of a header. Those after the first are there where a flag says so.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Fixed,
    ExtraLength,
    /// So many bytes are to come.
    Extra(u16),
    Name,
    Comment,
    Checksum,
}

impl Header {
    const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
    const CHECKSUM: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;

    /// Takes the next byte; true where the header ends with it.
    fn take(&mut self, byte: u8) -> std::result::Result<bool, Broken> {
        if self.field != Field::Checksum {
            self.crc.update(&[byte]);
        }
        let ended = match self.field {
            Field::Fixed => {
                self.small.push(byte);
                if !self.has_magic() {
                    return Err(Broken::Header);
                }
                self.small.len() == 10
            }
            Field::ExtraLength | Field::Checksum => {
                self.small.push(byte);
                self.small.len() == 2
            }
            Field::Extra(left) => {
                self.field = Field::Extra(left - 1);
                left == 1
            }
            Field::Name | Field::Comment => byte == 0,
        };
        if ended { self.next_field() } else { Ok(false) }
    }

    /// Whether what has come so far begins with the magic number, or its start.
    fn has_magic(&self) -> bool {
        let known = self.small.len().min(Self::MAGIC.len());
        self.small[..known] == Self::MAGIC[..known]
    }

    fn next_field(&mut self) -> std::result::Result<bool, Broken> {
        let small = std::mem::take(&mut self.small);
        let number = || u16::from_le_bytes([small[0], small[1]]);
        match self.field {
            Field::Fixed => {
                self.flags = small[3];
                if self.flags & Self::RESERVED != 0 {
                    return Err(Broken::Header);
                }
            }
            Field::ExtraLength if number() > 0 => {
                self.field = Field::Extra(number());
                return Ok(false);
            }
            Field::Checksum if number() != self.crc.sum() as u16 => return Err(Broken::Checksum),
            _ => {}
        }
        let later = [
            (Field::ExtraLength, Self::EXTRA),
            (Field::Name, Self::NAME),
            (Field::Comment, Self::COMMENT),
            (Field::Checksum, Self::CHECKSUM),
        ];
        let done = match self.field {
            Field::Fixed => 0,
            Field::ExtraLength | Field::Extra(_) => 1,
            Field::Name => 2,
            Field::Comment => 3,
            Field::Checksum => 4,
        };
        let next = later[done..].iter().find(|(_, flag)| self.flags & flag != 0);
        Ok(match next {
            Some(&(field, _)) => {
                self.field = field;
                false
            }
            None => true,
        })
    }
}

/// All members of a stream, joined, as [`decompress`] reads them.
pub(crate) struct Reader<R> {
    inner: R,
    members: Members,
}

impl<R: BufRead> Reader<R> {
    /// Reads from where `inner` stands.
    pub(crate) fn new(inner: R) -> Self {
        Reader { inner, members: Members::default() }
    }

    /// Reads to the end of the current member, where its checksum is.
    fn finish_member(&mut self) -> io::Result<()> {
        let mut output = [0; 4096];
        while !self.members.is_whole() {
            self.step(&mut output)?;
        }
        Ok(())
    }

    /// One step; an error where the stream ends within a member.
    fn step(&mut self, output: &mut [u8]) -> io::Result<usize> {
        let input = self.inner.fill_buf()?;
        let at_end = input.is_empty();
        let Step { taken, given } = self.members.step(input, output)?;
        self.inner.consume(taken);
        match at_end && given == 0 && !self.members.is_whole() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(given),
        }
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        while !output.is_empty() {
            let given = self.step(output)?;
            if given > 0 {
                return Ok(given);
            }
            if self.members.is_whole() && self.inner.fill_buf()?.is_empty() {
                break;
            }
        }
        Ok(0)
    }
}

/// Checks that a gzip file is whole, including its checksums, which may expand to `most` bytes.
pub(crate) fn probe(most: u64) -> Box<dyn Probe> {
    Box::new(ToTheEnd { members: Members::default(), output: vec![0; 1 << 15], given: 0, most, broken: None })
}

struct ToTheEnd {
    members: Members,
    output: Vec<u8>,
    /// Bytes of output so far, and at most.
    given: u64,
    most: u64,
    broken: Option<Broken>,
}

impl ToTheEnd {
    /// Takes all of `bytes`, or gives what is still to come where there are none.
    fn drive(&mut self, mut bytes: &[u8]) -> std::result::Result<(), Broken> {
        loop {
            let Step { taken, given } = self.members.step(bytes, &mut self.output)?;
            bytes = &bytes[taken..];
            self.given += given as u64;
            if bytes.is_empty() && given == 0 || self.given > self.most {
                return Ok(());
            }
        }
    }
}

impl Probe for ToTheEnd {
    fn feed(&mut self, bytes: &[u8]) {
        if self.broken.is_none() && !bytes.is_empty() && self.given <= self.most {
            self.broken = self.drive(bytes).err();
        }
    }

    fn finish(mut self: Box<Self>) -> std::result::Result<(), (Fault, String)> {
        let broken = self.broken.or_else(|| self.drive(&[]).err());
        if self.given > self.most {
            let why = format!(
                "its gzip data expand to more than {}, as decompression bombs do; if the content is genuine, raise the \
                 limit with --max-expansion",
                byte_size(self.most)
            );
            return Err((Fault::Refused, why));
        }
        let why = match broken {
            None if self.members.is_whole() => return Ok(()),
            None => return Err((Fault::Truncated, "the gzip data are truncated".into())),
            Some(Broken::Followed) => "the gzip data are followed by other data".into(),
            Some(Broken::Checksum) => format!("its gzip data fail their checksum: {}", Broken::Checksum),
            Some(broken) => format!("its gzip data cannot be decoded: {broken}"),
        };
        Err((Fault::Damaged, why))
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
                assert!(inflate(&bytes, u64::MAX, &Room::default()).is_err());
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
            assert_eq!(inflate(&bytes, u64::MAX, &Room::default()).unwrap(), [1, 2, 3]);
        }
        assert_eq!(decompress_prefix(&gzip(&[1, 2, 3]), 2).0, [1, 2]);
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
                let _ = inflate(&bytes[..at], u64::MAX, &Room::default());
                let _ = inflate_into(&bytes, &mut [0; 100]);
                let _ = decompress_prefix(&bytes, 10);
            }
        }
    }
}
