//! Follows the chunks of a PNG (its specification, section 5) with their checksums, without decoding pixels.

use flate2::Crc;

use crate::fault::Fault;
use crate::formats::probe::Probe;

/// Where a file is followed to.
#[derive(Default)]
struct Chunks {
    part: Part,
    /// Bytes of a part of fixed length that have come so far.
    small: Vec<u8>,
    /// Bytes of data that are to come.
    left: u32,
    kind: [u8; 4],
    crc: Crc,
    wrong: Option<String>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Part {
    #[default]
    Signature,
    Header,
    Data,
    Checksum,
    End,
}

/// Follows a PNG to its chunk IEND.
pub(super) fn probe() -> Box<dyn Probe> {
    Box::new(Chunks::default())
}

impl Probe for Chunks {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.part != Part::End && self.wrong.is_none() {
            let fixed = match self.part {
                Part::Data => {
                    let count = bytes.len().min(self.left as usize);
                    self.crc.update(&bytes[..count]);
                    self.left -= count as u32;
                    bytes = &bytes[count..];
                    if self.left == 0 {
                        self.part = Part::Checksum;
                    }
                    continue;
                }
                Part::Checksum => 4,
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

    fn finish(self: Box<Self>) -> Result<(), (Fault, String)> {
        match self.wrong {
            Some(why) => Err((Fault::Damaged, why)),
            None if self.part != Part::End => {
                Err((Fault::Truncated, "the PNG chunk IEND is missing at the end".into()))
            }
            None => Ok(()),
        }
    }
}

impl Chunks {
    /// Takes a part of fixed length.
    fn take(&mut self, part: &[u8]) {
        let number = u32::from_be_bytes([part[0], part[1], part[2], part[3]]);
        let name = String::from_utf8_lossy(&self.kind).escape_debug().to_string();
        match self.part {
            Part::Signature if part == b"\x89PNG\r\n\x1a\n" => self.part = Part::Header,
            Part::Signature => {
                self.wrong = Some(
                    "the PNG signature is damaged, as after a transfer in text \
                mode"
                        .into(),
                )
            }
            Part::Header if number > i32::MAX as u32 => {
                self.wrong = Some(format!("a chunk of a PNG cannot have {number} bytes"));
            }
            Part::Header => {
                self.left = number;
                self.kind.copy_from_slice(&part[4..]);
                self.crc.reset();
                self.crc.update(&self.kind);
                self.part = if number == 0 { Part::Checksum } else { Part::Data };
            }
            // Readers pass over chunks that nobody needs, whose names begin with a small letter.
            _ if number != self.crc.sum() && self.kind[0].is_ascii_uppercase() => {
                self.wrong = Some(format!("the chunk {name} of a PNG fails its checksum"));
            }
            _ => self.part = if &self.kind == b"IEND" { Part::End } else { Part::Header },
        }
    }
}
