//! JPEG frames: which of the many things called JPEG a stream is, and who decodes it.
//!
//! | process | precision | decoder |
//! |---|---|---|
//! | baseline, extended, progressive DCT | 8 | `jpeg-decoder` |
//! | extended sequential DCT, one component | 12 | `jpeg_dct12` |
//! | lossless, all seven predictors | 2–16 | `jpeg_lossless` |
//!
//! `jpeg-decoder` 0.3.2 refuses 12 bits, and its lossless decoder forgets to reset the prediction at restart markers
//! and applies the point transform to its predictions; both are read here instead, and a test shows each.
//!
//! Colour is left as the stream has it: the header, and the marks that [`Info`] collects, decide what it means. A
//! lossy stream decodes to within a level or two of libjpeg, as the standard allows (inverse transforms are rounded in
//! different places, and chroma is interpolated).

use super::cells::Cells;
use super::jpeg_stream::Stream;
use super::{jpeg_dct12, jpeg_lossless, malformed, unsupported};
use crate::formats::Result;

/// What the header of a stream says.
#[derive(Clone, Debug)]
pub(super) struct Info {
    pub columns: usize,
    pub rows: usize,
    /// Identifiers of the components: `RGB` in ASCII where the encoder was candid.
    pub components: Vec<u8>,
    /// True where a JFIF segment says that three components are YCbCr.
    pub jfif: bool,
}

/// Decodes one frame to interleaved cells; refuses a stream of another size than `columns` × `rows` × `samples`.
pub(super) fn decode(bytes: &[u8], columns: usize, rows: usize, samples: usize) -> Result<(Cells, Info)> {
    let mut stream = Stream::new(bytes)?;
    let scan = stream.next_scan()?.ok_or_else(|| malformed("JPEG: the stream ends before its first scan"))?;
    let frame = stream.frame()?.clone();
    let info = Info {
        columns: frame.columns,
        rows: frame.rows,
        components: frame.components.iter().map(|c| c.id).collect(),
        jfif: stream.jfif,
    };
    if (info.columns, info.rows, info.components.len()) != (columns, rows, samples) {
        return Err(malformed(format!(
            "JPEG: expected {columns} x {rows} pixels of {samples} samples, found {} x {} of {}",
            info.columns,
            info.rows,
            info.components.len()
        )));
    }
    let cells = match (frame.process, frame.precision) {
        (3, _) => jpeg_lossless::decode(&mut stream, &frame, scan)?,
        (1, 12) => jpeg_dct12::decode(&mut stream, &frame, &scan)?,
        (0..=2, 8) => Cells::U8(decode_8_bit(bytes, samples)?),
        (process, precision) => {
            return Err(unsupported(format!("JPEG process SOF{process} with {precision} bits")));
        }
    };
    Ok((cells, info))
}

fn decode_8_bit(bytes: &[u8], components: usize) -> Result<Vec<u8>> {
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    // "RGB" interleaves three components and changes nothing; "None" does not even that in version 0.3.2.
    if components == 3 {
        decoder.set_color_transform(jpeg_decoder::ColorTransform::RGB);
    }
    // A decoder of foreign code must not take the process down over a frame that fuzzing has not met yet.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decoder.decode()))
        .map_err(|_| malformed("JPEG: the stream is broken"))?
        .map_err(|e| malformed(format!("JPEG: {e}")))
}
