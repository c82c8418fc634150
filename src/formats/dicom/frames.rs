//! Encapsulated pixel data (PS3.5 A.4): which fragments make a frame, and which decoder its transfer syntax asks for.

use std::borrow::Cow;
use std::io::Read;

use dicom_dictionary_std::{tags, uids};

use super::cells::{Cells, append, native_cells, unpack_bits};
use super::dataset::{self, DataSet, PixelElement};
use super::header::{Header, Photometric};
use super::{MAX_EXPANSION, jpeg, jpeg_2000, jpeg_ls, malformed, rle, truncated, unsupported};
use crate::formats::Result;
use crate::memory::Room;

/// The families of transfer syntaxes that encapsulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    /// Native cells, a frame in an item.
    Uncompressed,
    /// The same, deflated by frame.
    Deflated,
    RunLength,
    Jpeg,
    JpegLs,
    Jpeg2000,
}

impl Codec {
    fn of(transfer_syntax: &str) -> Result<Self> {
        let name = match transfer_syntax {
            uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN => return Ok(Codec::Uncompressed),
            "1.2.840.10008.1.2.8.1" => return Ok(Codec::Deflated),
            uids::RLE_LOSSLESS => return Ok(Codec::RunLength),
            uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => return Ok(Codec::JpegLs),
            uids::JPEG2000_LOSSLESS | uids::JPEG2000 => return Ok(Codec::Jpeg2000),
            uids::HTJ2K_LOSSLESS | uids::HTJ2K_LOSSLESS_RPCL | uids::HTJ2K => return Ok(Codec::Jpeg2000),
            uids::JPEG2000MC_LOSSLESS | uids::JPEG2000MC => "JPEG 2000 multi-component",
            uids::JPEGXL_LOSSLESS | uids::JPEGXLJPEG_RECOMPRESSION | uids::JPEGXL => "JPEG XL",
            uid if uid.starts_with("1.2.840.10008.1.2.4.10") => "MPEG video",
            // The JPEG processes of Annex 10918-1, the retired ones too: the stream says which.
            uid if is_jpeg(uid) => return Ok(Codec::Jpeg),
            "" => return Err(malformed("encapsulated pixel data without a transfer syntax")),
            _ => "unknown",
        };
        Err(unsupported(format!("transfer syntax {transfer_syntax} ({name}): convert to a lossless or native one")))
    }
}

/// 1.2.840.10008.1.2.4.50 to .70.
fn is_jpeg(uid: &str) -> bool {
    let process = uid.strip_prefix("1.2.840.10008.1.2.4.").and_then(|p| p.parse::<u32>().ok());
    process.is_some_and(|p| (50..=70).contains(&p))
}

/// All frames of an instance.
pub(super) struct Frames {
    /// Interleaved by pixel, frame after frame.
    pub cells: Cells,
    /// Low bits of a cell that hold its value, where the code streams and not the header decide.
    pub precision: Option<usize>,
    /// What the samples mean after decoding.
    pub photometric: Photometric,
}

/// Decodes the encapsulated frames, in memory of `room`.
pub(super) fn decode(
    header: &Header,
    data: &DataSet,
    pixels: PixelElement,
    (notes, room): (&mut Vec<String>, &Room),
) -> Result<Frames> {
    let codec = Codec::of(&header.transfer_syntax)?;
    let area = (header.rows * header.columns) as u64;
    let frame_bytes = area * header.samples_per_pixel as u64 * header.bits_allocated.div_ceil(8) as u64;
    let bound = MAX_EXPANSION.bound(pixels.value.len());
    if frame_bytes.saturating_mul(header.frames as u64) > bound {
        return Err(malformed(format!(
            "{} frames of {} x {} pixels in {} bytes of compressed data",
            header.frames,
            header.columns,
            header.rows,
            pixels.value.len()
        )));
    }
    room.take(header.memory(true))?;
    let streams = split(header, data, pixels, codec)?;
    let mut frames: Option<Frames> = None;
    for stream in &streams {
        let frame = decode_frame(header, codec, stream, notes)?;
        match &mut frames {
            None => frames = Some(frame),
            Some(all) => append(&mut all.cells, frame.cells)?,
        }
    }
    frames.ok_or_else(|| malformed("pixel data without a frame"))
}

fn decode_frame(header: &Header, codec: Codec, bytes: &[u8], notes: &mut Vec<String>) -> Result<Frames> {
    let Header { rows, columns, samples_per_pixel: samples, bits_allocated, .. } = *header;
    let pixels = rows * columns;
    let mut photometric = header.photometric.clone();
    let mut precision = None;
    let cells = match codec {
        Codec::Uncompressed => native_frame(header, bytes)?,
        Codec::Deflated => {
            let mut native = Vec::new();
            let limit = (pixels * samples * bits_allocated).div_ceil(8) as u64 + 1;
            flate2::read::DeflateDecoder::new(bytes)
                .take(limit)
                .read_to_end(&mut native)
                .map_err(|e| malformed(format!("a frame cannot be inflated: {e}")))?;
            native_frame(header, &native)?
        }
        Codec::RunLength if bits_allocated == 1 => {
            let packed = rle::decode_bits(bytes, (pixels * samples).div_ceil(8))?;
            Cells::U8(unpack_bits(&packed, pixels * samples))
        }
        Codec::RunLength => rle::decode(bytes, pixels, samples, bits_allocated / 8)?,
        Codec::Jpeg => {
            let (cells, info) = jpeg::decode(bytes, columns, rows, samples)?;
            let stream = colour_of_jpeg(&photometric, &info);
            if stream != photometric {
                notes_once(notes, format!("the JPEG stream is {stream}, but the header states {photometric}"));
                photometric = stream;
            }
            cells
        }
        Codec::JpegLs => {
            let (cells, bits) = jpeg_ls::decode(bytes, columns, rows, samples)?;
            precision = Some(bits);
            cells
        }
        Codec::Jpeg2000 => {
            let (cells, bits) = jpeg_2000::decode(bytes, columns, rows, samples)?;
            precision = Some(bits);
            // The component transform is undone by the decoder.
            if matches!(photometric, Photometric::YbrIct | Photometric::YbrRct) {
                photometric = Photometric::Rgb;
            }
            cells
        }
    };
    // The allocated width decides the type, so that all slices of a series have the same.
    let cells = match cells {
        Cells::U8(cells) if bits_allocated == 16 => Cells::U16(cells.into_iter().map(u16::from).collect()),
        Cells::U8(cells) if bits_allocated == 32 => Cells::U32(cells.into_iter().map(u32::from).collect()),
        Cells::U16(cells) if bits_allocated == 32 => Cells::U32(cells.into_iter().map(u32::from).collect()),
        cells => cells,
    };
    Ok(Frames { cells, precision, photometric })
}

/// A frame in native form inside an item.
fn native_frame(header: &Header, bytes: &[u8]) -> Result<Cells> {
    let count = header.rows * header.columns * header.samples_per_pixel;
    let needed = (count * header.bits_allocated).div_ceil(8);
    if bytes.len() < needed {
        return Err(truncated("a frame", needed as u64, bytes.len() as u64));
    }
    native_cells(&bytes[..needed], header.bits_allocated, count, false)
}

/// The colour space that a stream of three components really has: its marks go before the header (as in pydicom).
fn colour_of_jpeg(photometric: &Photometric, info: &jpeg::Info) -> Photometric {
    let ybr = matches!(photometric, Photometric::YbrFull | Photometric::YbrFull422);
    match &info.components[..] {
        b"RGB" | b"rgb" => Photometric::Rgb,
        [_, _, _] if info.jfif && !ybr => Photometric::YbrFull,
        _ => photometric.clone(),
    }
}

fn notes_once(notes: &mut Vec<String>, note: String) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// One stream for each frame. Fragments belong to frames one to one, or by an offset table, or, in the JPEG family,
/// by where streams start.
fn split<'a>(header: &Header, data: &DataSet, pixels: PixelElement<'a>, codec: Codec) -> Result<Vec<Cow<'a, [u8]>>> {
    let (table, fragments) = dataset::fragments(pixels.value)?;
    let frames = header.frames;
    if fragments.is_empty() {
        return Err(malformed("encapsulated pixel data without a fragment"));
    }
    if fragments.len() == frames {
        return Ok(fragments.into_iter().map(Cow::Borrowed).collect());
    }
    if frames == 1 {
        return Ok(vec![Cow::Owned(fragments.concat())]);
    }
    if fragments.len() < frames {
        return Err(malformed(format!("{} fragments for {frames} frames", fragments.len())));
    }
    let mut starts = frame_offsets(data, table);
    let mut at = 0;
    let positions: Vec<u64> = fragments
        .iter()
        .map(|f| {
            let position = at;
            at += f.len() as u64 + 8;
            position
        })
        .collect();
    if starts.len() != frames {
        let magic: &[u8] = if codec == Codec::Jpeg2000 { &[0xFF, 0x4F, 0xFF, 0x51] } else { &[0xFF, 0xD8, 0xFF] };
        starts = fragments
            .iter()
            .zip(&positions)
            .filter(|(f, _)| f.starts_with(magic))
            .map(|(_, &position)| position)
            .collect();
    }
    if starts.len() != frames {
        return Err(malformed(format!(
            "{} fragments for {frames} frames without an offset table to assign them",
            fragments.len()
        )));
    }
    let mut streams: Vec<Vec<u8>> = Vec::with_capacity(frames);
    for (fragment, position) in fragments.iter().zip(positions) {
        while streams.len() < frames && starts[streams.len()] <= position {
            streams.push(Vec::new());
        }
        match streams.last_mut() {
            Some(stream) => stream.extend_from_slice(fragment),
            None => return Err(malformed("the offset table starts after the first fragment")),
        }
    }
    Ok(streams.into_iter().map(Cow::Owned).collect())
}

/// Offsets of the frames from the first fragment on, by the extended or the basic table; empty where there is neither.
fn frame_offsets(data: &DataSet, basic: &[u8]) -> Vec<u64> {
    if let Some(extended) = data.get(tags::EXTENDED_OFFSET_TABLE) {
        return extended
            .value
            .chunks_exact(8)
            .map(|c| u64::from_le_bytes([c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]]))
            .collect();
    }
    basic.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]) as u64).collect()
}
