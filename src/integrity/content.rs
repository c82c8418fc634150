//! What the bytes of a downloaded file say of themselves, as they stream past: their digest, whether they are what the name
//! promises, and whether they reach their end.
//!
//! Looked at is what costs little: the first bytes of all files, the checksum of gzip, the chunks of PNG with their
//! checksums up to IEND, the segments of JPEG up to its end-of-image marker. Pictures and volumes are decoded by a build.

use std::io::{self, Write};

use flate2::Crc;
use flate2::write::GzDecoder;
use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::raw::{Fault, HEAD_BYTES, describe};

/// Reads a file as it is written to it.
pub(super) struct Probe {
    sha256: Sha256,
    head: Vec<u8>,
    size: u64,
    /// Zeros at the end so far.
    zeros: u64,
    format: Option<Format>,
}

/// What a [`Probe`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Probed {
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// What is wrong with the content, and in words.
    pub(super) fault: Option<(Fault, String)>,
}

/// Formats that are followed to their end.
enum Format {
    Gzip(Box<Gzip>),
    Png(Png),
    Jpeg(Jpeg),
    Other,
}

/// Bytes by which a [`Format`] is known.
const SIGNATURE: usize = 3;

impl Probe {
    pub(super) fn new() -> Self {
        Probe { sha256: Sha256::new(), head: Vec::new(), size: 0, zeros: 0, format: None }
    }

    /// What was found, of a file of this name.
    pub(super) fn finish(self, name: &str) -> Probed {
        let by_name = misnamed(name, &self.head);
        let ended = match self.format {
            Some(Format::Gzip(gzip)) => gzip.finish(),
            Some(Format::Png(png)) => png.finish(),
            Some(Format::Jpeg(jpeg)) => jpeg.finish(),
            Some(Format::Other) | None => Ok(()),
        };
        let preallocated = match self.zeros {
            zeros if zeros >= 512 => format!(", the last {zeros} of them zeros: the download was not finished"),
            _ => String::new(),
        };
        let fault = by_name.or_else(|| {
            let (fault, why) = ended.err()?;
            let fault = if preallocated.is_empty() { fault } else { Fault::Truncated };
            Some((fault, format!("{why}; it has {} bytes{preallocated}; download it again", self.size)))
        });
        Probed { sha256: hex(&self.sha256.finalize()), fault }
    }

    fn feed(&mut self, bytes: &[u8]) {
        match &mut self.format {
            Some(Format::Gzip(gzip)) => gzip.feed(bytes),
            Some(Format::Png(png)) => png.feed(bytes),
            Some(Format::Jpeg(jpeg)) => jpeg.feed(bytes),
            Some(Format::Other) => {}
            None if self.head.len() >= SIGNATURE => {
                self.format = Some(match self.head[..] {
                    [0x1f, 0x8b, ..] => Format::Gzip(Box::default()),
                    [0x89, b'P', b'N', ..] => Format::Png(Png::default()),
                    [0xff, 0xd8, 0xff, ..] => Format::Jpeg(Jpeg::default()),
                    _ => Format::Other,
                });
                // All that has come so far is in the head.
                let start = self.head.clone();
                self.feed(&start);
            }
            None => {}
        }
    }
}

impl Write for Probe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Little at a time until the format is known, so that the head holds all of it.
        let bytes = if self.format.is_none() { &bytes[..bytes.len().min(SIGNATURE)] } else { bytes };
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
        let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count() as u64;
        self.zeros = if zeros == bytes.len() as u64 { self.zeros + zeros } else { zeros };
        let known = self.format.is_some();
        let room = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // The byte that makes the format known is fed with the head.
        if known || self.head.len() >= SIGNATURE {
            self.feed(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Extensions of formats that begin with a signature.
const SIGNED: [&str; 12] =
    [".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".nii", ".gz", ".dcm", ".bz2", ".xz"];
/// Extensions of other formats that are no text of the kinds that come in place of a download.
const DATA: [&str; 22] = [
    ".img", ".hdr", ".raw", ".zraw", ".mha", ".mhd", ".nrrd", ".nhdr", ".ppm", ".pgm", ".pbm", ".pnm", ".ima", ".csv",
    ".tsv", ".mat", ".npy", ".npz", ".h5", ".xls", ".xlsx", ".pdf",
];

/// True for a name of a format whose files are never empty.
pub(super) fn is_data(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SIGNED.iter().chain(&DATA).any(|extension| name.ends_with(extension))
}

/// What a file seems to be whose first bytes are not what its name promises.
fn misnamed(name: &str, head: &[u8]) -> Option<(Fault, String)> {
    if head.is_empty() || has_signature(head) {
        return None;
    }
    let looks = describe(head);
    let lower = name.to_ascii_lowercase();
    let ends = |extensions: &[&'static str]| extensions.iter().find(|e| lower.ends_with(**e)).copied();
    let wrong = match (ends(&SIGNED), ends(&DATA)) {
        // A data set of DICOM may begin without a preamble.
        (Some(".dcm"), _) => !matches!(looks.fault, Fault::OtherContent | Fault::Empty),
        (Some(_), _) => true,
        (_, Some(_)) => {
            matches!(looks.fault, Fault::HtmlPage | Fault::LfsPointer | Fault::AnnexPointer | Fault::ServerAnswer)
        }
        _ => matches!(looks.fault, Fault::LfsPointer | Fault::AnnexPointer),
    };
    let extension = ends(&SIGNED).or(ends(&DATA)).unwrap_or("file of its name");
    wrong.then(|| (looks.fault, format!("{}, not a {}{}", looks.what, extension.trim_start_matches('.'), looks.advice)))
}

/// True where the first bytes are those of a format that files of [`SIGNED`] names may be in: pictures are often named as
/// another kind of picture, and compressed volumes as plain ones.
fn has_signature(head: &[u8]) -> bool {
    const MAGIC: [&[u8]; 18] = [
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"GIF8",
        b"II*\0",
        b"MM\0*",
        b"II+\0",
        b"MM\0+",
        b"BM",
        b"\x1f\x8b",
        b"BZh",
        b"\xfd7zXZ",
        b"NRRD",
        b"\x5c\x01\0\0",
        b"\0\0\x01\x5c",
        b"\x1c\x02\0\0",
        b"\0\0\x02\x1c",
        b"RIFF",
        b"\0\0\0\x0cjP",
    ];
    let netpbm = matches!(head, [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..]);
    netpbm || head.get(128..132) == Some(b"DICM") || MAGIC.iter().any(|magic| head.starts_with(magic))
}

/// One or more gzip members; zeros may follow the last one.
#[derive(Default)]
struct Gzip {
    member: Option<GzDecoder<io::Sink>>,
    members: usize,
    padding: bool,
    wrong: Option<String>,
}

impl Gzip {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let (Some(&first), None) = (bytes.first(), &self.wrong) {
            if self.member.is_none() && self.members > 0 && (self.padding || first != 0x1f) {
                self.padding = true;
                if bytes.iter().any(|&byte| byte != 0) {
                    self.wrong = Some("the gzip data are followed by something else".into());
                }
                return;
            }
            let member = self.member.get_or_insert_with(|| GzDecoder::new(io::sink()));
            match member.write(bytes) {
                // It takes nothing more: the member has ended.
                Ok(0) => self.end_member(),
                Ok(taken) => bytes = &bytes[taken..],
                Err(error) => self.wrong = Some(format!("its gzip data cannot be decoded: {error}")),
            }
        }
    }

    fn end_member(&mut self) {
        self.members += 1;
        if let Some(Err(error)) = self.member.take().map(|mut member| member.try_finish()) {
            self.wrong = Some(format!("its gzip data fail their checksum: {error}"));
        }
    }

    fn finish(mut self) -> Result<(), (Fault, String)> {
        if let (Some(member), None) = (&mut self.member, &self.wrong) {
            // One byte more is not taken where the member has ended.
            match member.write(&[0]) {
                Ok(0) => self.end_member(),
                Ok(_) => return Err((Fault::Truncated, "its gzip data end in the middle".into())),
                Err(error) => self.wrong = Some(format!("its gzip data cannot be decoded: {error}")),
            }
        }
        self.wrong.map_or(Ok(()), |why| Err((Fault::Damaged, why)))
    }
}

/// The chunks of a PNG (its specification, section 5).
#[derive(Default)]
struct Png {
    part: PngPart,
    /// Bytes of a part of fixed length that have come so far.
    small: Vec<u8>,
    /// Bytes of data that are to come.
    left: u32,
    kind: [u8; 4],
    crc: Crc,
    wrong: Option<String>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum PngPart {
    #[default]
    Signature,
    Header,
    Data,
    Checksum,
    End,
}

impl Png {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.part != PngPart::End && self.wrong.is_none() {
            let fixed = match self.part {
                PngPart::Data => {
                    let count = bytes.len().min(self.left as usize);
                    self.crc.update(&bytes[..count]);
                    self.left -= count as u32;
                    bytes = &bytes[count..];
                    if self.left == 0 {
                        self.part = PngPart::Checksum;
                    }
                    continue;
                }
                PngPart::Checksum => 4,
                _ => 8,
            };
            let count = bytes.len().min(fixed - self.small.len());
            self.small.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.small.len() == fixed {
                let small = std::mem::take(&mut self.small);
                self.take(&small);
            }
        }
    }

    /// Takes a part of fixed length.
    fn take(&mut self, part: &[u8]) {
        let number = u32::from_be_bytes([part[0], part[1], part[2], part[3]]);
        let name = String::from_utf8_lossy(&self.kind).escape_debug().to_string();
        match self.part {
            PngPart::Signature if part == b"\x89PNG\r\n\x1a\n" => self.part = PngPart::Header,
            PngPart::Signature => self.wrong = Some("the signature of PNG is damaged, as by a transfer as text".into()),
            PngPart::Header if number > i32::MAX as u32 => {
                self.wrong = Some(format!("a chunk of a PNG cannot have {number} bytes"));
            }
            PngPart::Header => {
                self.left = number;
                self.kind.copy_from_slice(&part[4..]);
                self.crc.reset();
                self.crc.update(&self.kind);
                self.part = if number == 0 { PngPart::Checksum } else { PngPart::Data };
            }
            // Readers pass over chunks that nobody needs, whose names begin with a small letter.
            _ if number != self.crc.sum() && self.kind[0].is_ascii_uppercase() => {
                self.wrong = Some(format!("the chunk {name} of a PNG fails its checksum"));
            }
            _ => self.part = if &self.kind == b"IEND" { PngPart::End } else { PngPart::Header },
        }
    }

    fn finish(self) -> Result<(), (Fault, String)> {
        match self.wrong {
            Some(why) => Err((Fault::Damaged, why)),
            None if self.part != PngPart::End => {
                Err((Fault::Truncated, "a PNG ends with the chunk IEND, and there is none".into()))
            }
            None => Ok(()),
        }
    }
}

/// The segments of a JPEG (ITU-T T.81, annex B). A thumbnail inside a segment has an end of its own, which is passed over.
#[derive(Default)]
struct Jpeg {
    part: JpegPart,
    wrong: Option<String>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum JpegPart {
    /// Between segments, or in coded data: the next 0xFF begins a marker.
    #[default]
    Open,
    /// Behind a 0xFF.
    Code,
    /// Before the length of a segment.
    Length,
    /// Behind its first byte.
    LengthLow(u8),
    /// Inside a segment, of which so many bytes are to come.
    Segment(usize),
    End,
}

impl Jpeg {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let mut taken = 1;
            self.part = match self.part {
                JpegPart::Open => {
                    let found = bytes.iter().position(|&byte| byte == 0xff);
                    taken = found.map_or(bytes.len(), |at| at + 1);
                    if found.is_some() { JpegPart::Code } else { JpegPart::Open }
                }
                JpegPart::Code => match byte {
                    0xff => JpegPart::Code,
                    0xd9 => JpegPart::End,
                    // A zero stands behind a 0xFF of the data; these markers have no segment.
                    0x00 | 0x01 | 0xd0..=0xd8 => JpegPart::Open,
                    _ => JpegPart::Length,
                },
                JpegPart::Length => JpegPart::LengthLow(byte),
                JpegPart::LengthLow(high) => match u16::from_be_bytes([high, byte]) {
                    0 | 1 => {
                        self.wrong = Some("a segment of a JPEG is shorter than its own length".into());
                        return;
                    }
                    2 => JpegPart::Open,
                    length => JpegPart::Segment(usize::from(length) - 2),
                },
                JpegPart::Segment(left) => {
                    taken = left.min(bytes.len());
                    if taken == left { JpegPart::Open } else { JpegPart::Segment(left - taken) }
                }
                JpegPart::End => return,
            };
            bytes = &bytes[taken..];
        }
    }

    fn finish(self) -> Result<(), (Fault, String)> {
        match self.wrong {
            Some(why) => Err((Fault::Damaged, why)),
            None if self.part != JpegPart::End => {
                Err((Fault::Truncated, "a JPEG ends with the marker FF D9, and there is none".into()))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probe(name: &str, bytes: &[u8]) -> Probed {
        let mut probe = Probe::new();
        probe.write_all(bytes).unwrap();
        probe.finish(name)
    }

    fn fault(name: &str, bytes: &[u8]) -> Option<Fault> {
        probe(name, bytes).fault.map(|(fault, _)| fault)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn png() -> Vec<u8> {
        let pixels: Vec<u8> = (0..64 * 64).map(|i: u32| (i * 7 % 251) as u8).collect();
        crate::slices::png::encode(&pixels, 64, 64, 1)
    }

    /// A JPEG in its outer form, with an end-of-image marker inside a segment and a stuffed one inside its data.
    fn jpeg() -> Vec<u8> {
        let mut bytes = b"\xff\xd8\xff\xe1\x00\x08Ex\xff\xd9if\xff\xda\x00\x04ab".to_vec();
        bytes.extend_from_slice(b"data\xff\x00data\xff\xd3more\xff\xff\xd9");
        bytes
    }

    #[test]
    fn whole_files_are_whole_and_digested() {
        let joined = [gzip(b"liver"), gzip(b"kidney")].concat();
        let padded = [joined.clone(), vec![0; 700]].concat();
        let files: [(&str, Vec<u8>); 8] = [
            ("a.nii.gz", gzip(&[7; 5000])),
            ("a.nii.gz", joined),
            ("a.nii.gz", padded),
            ("a.png", png()),
            ("a.png", [png(), vec![0; 2000]].concat()),
            ("a.jpg", jpeg()),
            ("a.jpg", [jpeg(), b"<html>a signature of a server</html>".to_vec()].concat()),
            ("a.png", jpeg()),
        ];
        for (name, bytes) in files {
            let found = probe(name, &bytes);
            assert_eq!((found.fault, found.sha256), (None, crate::digest::sha256(&bytes)), "{name}");
        }
        assert_eq!(fault("a.txt", b""), None);
    }

    #[test]
    fn cut_files_are_truncated_wherever_they_are_cut() {
        for (name, bytes) in [("a.nii.gz", gzip(&[7; 5000])), ("a.png", png()), ("a.jpg", jpeg())] {
            for length in [4, bytes.len() / 2, bytes.len() - 1] {
                assert_eq!(fault(name, &bytes[..length]), Some(Fault::Truncated), "{name} {length}");
            }
            let mut filled = bytes[..bytes.len() - 12].to_vec();
            filled.resize(filled.len() + 4096, 0);
            let (fault, why) = probe(name, &filled).fault.unwrap();
            assert!(fault == Fault::Truncated && why.contains("zeros: the download was not finished"), "{name}: {why}");
        }
    }

    #[test]
    fn altered_bytes_fail_their_checksum() {
        for (name, bytes) in [("a.nii.gz", gzip(b"some bytes of a volume")), ("a.png", png())] {
            for at in [bytes.len() / 2, bytes.len() - 5] {
                let mut altered = bytes.clone();
                altered[at] ^= 1;
                assert!(fault(name, &altered).is_some(), "{name} {at}");
            }
        }
        let text = [b"\x89PNG\n\x1a\n".to_vec(), png()[8..].to_vec()].concat();
        assert_eq!(fault("a.png", &text), Some(Fault::Damaged));
        assert_eq!(fault("a.nii.gz", &[gzip(b"liver"), b"more".to_vec()].concat()), Some(Fault::Damaged));
    }

    #[test]
    fn what_came_in_place_of_a_file_is_told_by_its_first_bytes() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
        let (page, answer) = (&b"<!DOCTYPE html><html>Sign in</html>"[..], &b"{\"error\": \"forbidden\"}"[..]);
        let cases: [(&str, &[u8], Option<Fault>); 12] = [
            ("a.PNG", page, Some(Fault::HtmlPage)),
            ("a.nii.gz", pointer, Some(Fault::LfsPointer)),
            ("a.dcm", answer, Some(Fault::ServerAnswer)),
            ("a.csv", page, Some(Fault::HtmlPage)),
            ("a.nii", &[0; 600], Some(Fault::Zeros)),
            ("a.tif", b"not found", Some(Fault::OtherContent)),
            ("weights.pth", pointer, Some(Fault::LfsPointer)),
            ("index.html", page, None),
            ("a.json", answer, None),
            ("a.raw", &[0; 600], None),
            ("a.dcm", b"\x08\0\x05\0CS", None),
            ("IM-0001", b"\x08\0\x05\0CS", None),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(fault(name, bytes), expected, "{name}");
        }
        let (_, why) = probe("a.png", page).fault.unwrap();
        assert_eq!(why, "an HTML page, not a png: the download did not reach the file, download it again");
    }

    proptest! {
        /// However the bytes come in pieces, the outcome is the same, and no bytes make it panic.
        #[test]
        fn pieces_do_not_matter(
            kind in 0usize..4,
            change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
            noise in prop::collection::vec(any::<u8>(), 1..40),
        ) {
            let mut bytes = [gzip(&[5; 300]), png(), jpeg(), noise][kind].clone();
            if let Some((index, byte)) = change {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort();
            let mut pieces = Probe::new();
            cuts.windows(2).for_each(|pair| pieces.write_all(&bytes[pair[0]..pair[1]]).unwrap());
            prop_assert_eq!(pieces.finish("a.png"), probe("a.png", &bytes));
        }
    }
}
