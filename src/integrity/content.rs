//! Inspection of a downloaded file as it is read: its digest, whether its content matches its name, and whether it is
//! complete.
//!
//! Only cheap checks are made: the first bytes of all files, and the structure that the probe of a format follows
//! without decoding (`formats/`): the checksum of gzip, the chunks of PNG, the segments of JPEG. A build decodes images
//! and volumes.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::fault::{Fault, HEAD_BYTES, describe};
use crate::formats::{self, Start, has_signature, probe_of, start_of};
use crate::raw::{is_compressed, is_compression};

/// Reads a file as it is written to it.
pub(super) struct Probe {
    sha256: Sha256,
    head: Vec<u8>,
    size: u64,
    /// Zeros at the end so far.
    zeros: u64,
    /// Bytes that it may expand to where it is compressed.
    inflation: u64,
    /// What follows the file to its end, once that is chosen; `None` inside where nothing does.
    probe: Option<Option<Box<dyn formats::Probe>>>,
}

/// What a [`Probe`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Probed {
    /// SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// The fault of the content, and its description.
    pub(super) fault: Option<(Fault, String)>,
}

impl Probe {
    /// Of a file whose decompressed content may have so many bytes.
    pub(super) fn new(inflation: u64) -> Self {
        Probe { sha256: Sha256::new(), head: Vec::new(), size: 0, zeros: 0, inflation, probe: None }
    }

    /// What was found, of a file of this name.
    pub(super) fn finish(mut self, name: &str) -> Probed {
        if self.probe.is_none() {
            self.begin();
        }
        let by_name = misnamed(name, &self.head);
        let ended = self.probe.flatten().map_or(Ok(()), |probe| probe.finish());
        let preallocated = match self.zeros {
            zeros if zeros >= 512 => format!(", the last {zeros} of them zeros: the download is incomplete"),
            _ => String::new(),
        };
        let fault = by_name.or_else(|| {
            let (fault, why) = ended.err()?;
            if fault == Fault::Refused {
                return Some((fault, why));
            }
            let fault = if preallocated.is_empty() { fault } else { Fault::Truncated };
            Some((fault, format!("{why}; the file has {} bytes{preallocated}; download it again", self.size)))
        });
        Probed { sha256: hex(&self.sha256.finalize()), fault }
    }

    /// Chooses by the first bytes what follows the file to its end, and gives it those.
    fn begin(&mut self) {
        if let Some(probe) = self.probe.insert(probe_of(&self.head, self.inflation)) {
            probe.feed(&self.head);
        }
    }
}

impl Write for Probe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sha256.update(bytes);
        self.size += bytes.len() as u64;
        let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count() as u64;
        self.zeros = if zeros == bytes.len() as u64 { self.zeros + zeros } else { zeros };
        let (head, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.head.len()));
        self.head.extend_from_slice(head);
        if self.probe.is_none() && self.head.len() == HEAD_BYTES {
            self.begin();
        }
        if let Some(Some(probe)) = &mut self.probe {
            probe.feed(rest);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// True for a name of a format whose files are never empty.
pub(super) fn is_data(name: &str) -> bool {
    promise(name).is_some()
}

/// The extension of a name, in lower case, and how files of it begin; `None` where nothing is known of it.
fn promise(name: &str) -> Option<(String, Start)> {
    let extension = name.rsplit_once('.')?.1.to_ascii_lowercase();
    let start = if is_compression(&extension) { Some(Start::Signature) } else { start_of(&extension) };
    Some((extension, start?))
}

/// What a file seems to be whose first bytes are not what its name promises. Pictures are often named as another kind
/// of picture, and compressed volumes as plain ones, so any signature will do.
fn misnamed(name: &str, head: &[u8]) -> Option<(Fault, String)> {
    if head.is_empty() || has_signature(head) || is_compressed(head) {
        return None;
    }
    let looks = describe(head);
    let promise = promise(name);
    let pointer = matches!(looks.fault, Fault::LfsPointer | Fault::AnnexPointer);
    let sent = pointer || matches!(looks.fault, Fault::HtmlPage | Fault::ServerAnswer);
    let wrong = match promise {
        Some((_, Start::Signature)) => true,
        Some((_, Start::Content)) => sent || looks.fault == Fault::Zeros,
        Some((_, Start::Any)) => sent,
        None => pointer,
    };
    let extension = promise.map_or("file of its name".to_string(), |(extension, _)| extension);
    wrong.then(|| (looks.fault, format!("{}, not a {extension}{}", looks.what, looks.advice)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn probe(name: &str, bytes: &[u8]) -> Probed {
        let mut probe = Probe::new(u64::MAX);
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
            assert!(fault == Fault::Truncated && why.contains("zeros: the download is incomplete"), "{name}: {why}");
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
        assert_eq!(why, "an HTML page, not a png: the server did not deliver the file; download it again");
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
            let mut pieces = Probe::new(u64::MAX);
            cuts.windows(2).for_each(|pair| pieces.write_all(&bytes[pair[0]..pair[1]]).unwrap());
            prop_assert_eq!(pieces.finish("a.png"), probe("a.png", &bytes));
        }
    }
}
