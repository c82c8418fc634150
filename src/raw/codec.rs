//! The compressions of tar archives and of single files.
//!
//! In the wild: gzip and xz files made of several joined members (`pigz`, `pixz`, `cat a.gz b.gz`), which must be read to
//! the end, and zstd and xz files whose window is larger than the decoders' defaults.

use std::io::{self, BufRead, Read};

/// Compression of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// Most memory that a decoder's window may take, in bytes. The presets of xz need 65 MiB at most, `zstd --long=30` needs
/// all of it; the size is written in the file, so that it must be bounded.
pub(super) const WINDOW_LIMIT: u64 = 1 << 30;

impl Codec {
    /// Name of the format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The decoded stream, all members of it.
    ///
    /// # Errors
    /// When the decoder cannot be set up. What is wrong with the data shows when they are read.
    pub(super) fn decode<R: BufRead + Send + 'static>(self, reader: R) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
            Self::Xz => {
                let joined_streams = xz2::stream::CONCATENATED;
                let stream = xz2::stream::Stream::new_auto_decoder(WINDOW_LIMIT, joined_streams)?;
                Box::new(xz2::bufread::XzDecoder::new_stream(reader, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
                decoder.window_log_max(WINDOW_LIMIT.ilog2())?;
                Box::new(decoder)
            }
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    /// `bytes` compressed by `codec`.
    pub(in crate::raw) fn encode(codec: Codec, bytes: &[u8]) -> Vec<u8> {
        match codec {
            Codec::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Xz => {
                let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Codec::Zstd => zstd::encode_all(bytes, 1).unwrap(),
        }
    }

    #[test]
    fn all_joined_members_are_decoded() {
        for codec in [Codec::Gzip, Codec::Bzip2, Codec::Xz, Codec::Zstd] {
            let joined = [encode(codec, b"liver "), encode(codec, b""), encode(codec, b"kidney")].concat();
            let mut decoded = Vec::new();
            codec.decode(io::Cursor::new(joined)).unwrap().read_to_end(&mut decoded).unwrap();
            assert_eq!(decoded, b"liver kidney", "{}", codec.name());
        }
    }

    #[test]
    fn cut_streams_are_errors() {
        for codec in [Codec::Gzip, Codec::Bzip2, Codec::Xz, Codec::Zstd] {
            let mut bytes = encode(codec, &[7; 5000]);
            bytes.truncate(bytes.len() - 3);
            let decoded = codec.decode(io::Cursor::new(bytes)).unwrap().read_to_end(&mut Vec::new());
            assert!(decoded.is_err(), "{}", codec.name());
        }
    }
}
