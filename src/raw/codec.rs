//! The compressions of tar archives and of single files.
//!
//! In the wild: gzip and xz files of several joined members (`pigz`, `pixz`, `cat a.gz b.gz`), which must be read to
//! the end, and zstd and xz files whose window is larger than the decoders' defaults.

use std::io::{self, BufRead, Read};

use crate::formats::gzip;

/// A compression of a stream: everything that other modules need to know about it.
pub(super) struct Codec {
    /// Name, as messages give it.
    pub name: &'static str,
    /// Extensions of single compressed files, in lower case and without a dot.
    pub extensions: &'static [&'static str],
    /// Kinds of compressed tars: how messages call them, and their extensions without the first dot.
    pub tars: &'static [(&'static str, &'static [&'static str])],
    /// Magic numbers.
    pub signatures: &'static [&'static [u8]],
    /// Makes a decoder whose window takes at most so many bytes.
    decoder: fn(Box<dyn BufRead + Send>, u64) -> Decoded,
}

/// A decoded stream, or why its decoder cannot be set up.
type Decoded = io::Result<Box<dyn Read + Send>>;

/// The compressions.
pub(super) static CODECS: &[&Codec] = &[&GZIP, &BZIP2, &XZ, &ZSTD];

pub(super) static GZIP: Codec = Codec {
    name: "gzip",
    extensions: &["gz"],
    tars: &[("tar.gz", &["tar.gz", "tgz"])],
    signatures: &[b"\x1F\x8B"],
    decoder: |reader, _| Ok(Box::new(gzip::Reader::new(reader))),
};

pub(super) static BZIP2: Codec = Codec {
    name: "bzip2",
    extensions: &["bz2"],
    tars: &[("tar.bz2", &["tar.bz2", "tbz", "tbz2"])],
    signatures: &[b"BZh"],
    decoder: |reader, _| Ok(Box::new(bzip2::bufread::MultiBzDecoder::new(reader))),
};

pub(super) static XZ: Codec = Codec {
    name: "xz",
    extensions: &["xz", "lzma"],
    tars: &[("tar.xz", &["tar.xz", "txz"]), ("tar.lzma", &["tar.lzma", "tlz"])],
    // `.lzma` has no magic: its first byte and dictionary size are what every encoder writes.
    signatures: &[b"\xFD7zXZ\0", b"\x5D\0\0"],
    decoder: |reader, window| {
        let joined_streams = xz2::stream::CONCATENATED;
        let stream = xz2::stream::Stream::new_auto_decoder(window, joined_streams)?;
        Ok(Box::new(xz2::bufread::XzDecoder::new_stream(reader, stream)))
    },
};

pub(super) static ZSTD: Codec = Codec {
    name: "zstd",
    extensions: &["zst"],
    tars: &[("tar.zst", &["tar.zst", "tar.zstd", "tzst"])],
    signatures: &[b"\x28\xB5\x2F\xFD"],
    decoder: |reader, window| {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
        decoder.window_log_max(window.max(1).ilog2())?;
        Ok(Box::new(decoder))
    },
};

impl Codec {
    /// The decoded stream, all members of it; the window of the decoder takes at most `window` bytes.
    ///
    /// # Errors
    /// When the decoder cannot be set up. What is wrong with the data shows when they are read.
    pub(super) fn decode(&self, reader: impl BufRead + Send + 'static, window: u64) -> Decoded {
        (self.decoder)(Box::new(reader), window)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    /// `bytes` compressed by `codec`.
    pub(in crate::raw) fn encode(codec: &Codec, bytes: &[u8]) -> Vec<u8> {
        match codec.name {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "bzip2" => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            "xz" => {
                let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            _ => zstd::encode_all(bytes, 1).unwrap(),
        }
    }

    #[test]
    fn all_joined_members_are_decoded() {
        for codec in CODECS {
            let joined = [encode(codec, b"liver "), encode(codec, b""), encode(codec, b"kidney")].concat();
            let mut decoded = Vec::new();
            codec.decode(io::Cursor::new(joined), 1 << 27).unwrap().read_to_end(&mut decoded).unwrap();
            assert_eq!(decoded, b"liver kidney", "{}", codec.name);
        }
    }

    #[test]
    fn cut_streams_are_errors() {
        for codec in CODECS {
            let mut bytes = encode(codec, &[7; 5000]);
            bytes.truncate(bytes.len() - 3);
            let decoded = codec.decode(io::Cursor::new(bytes), 1 << 27).unwrap().read_to_end(&mut Vec::new());
            assert!(decoded.is_err(), "{}", codec.name);
        }
    }
}
