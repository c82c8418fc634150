//! Follows the segments of a JPEG (ITU-T T.81, annex B) without decoding pixels. A thumbnail inside a segment has an
//! end of its own, which is passed over.

use crate::fault::Fault;
use crate::formats::probe::Probe;

/// Where a file is followed to.
#[derive(Default)]
struct Segments {
    part: Part,
    wrong: Option<String>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Part {
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

/// Follows a JPEG to its end-of-image marker.
pub(super) fn probe() -> Box<dyn Probe> {
    Box::new(Segments::default())
}

impl Probe for Segments {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let mut taken = 1;
            self.part = match self.part {
                Part::Open => {
                    let found = bytes.iter().position(|&byte| byte == 0xff);
                    taken = found.map_or(bytes.len(), |at| at + 1);
                    if found.is_some() { Part::Code } else { Part::Open }
                }
                Part::Code => match byte {
                    0xff => Part::Code,
                    0xd9 => Part::End,
                    // A zero stands behind a 0xFF of the data; these markers have no segment.
                    0x00 | 0x01 | 0xd0..=0xd8 => Part::Open,
                    _ => Part::Length,
                },
                Part::Length => Part::LengthLow(byte),
                Part::LengthLow(high) => match u16::from_be_bytes([high, byte]) {
                    0 | 1 => {
                        self.wrong = Some("a segment of a JPEG is shorter than its own length".into());
                        return;
                    }
                    2 => Part::Open,
                    length => Part::Segment(usize::from(length) - 2),
                },
                Part::Segment(left) => {
                    taken = left.min(bytes.len());
                    if taken == left { Part::Open } else { Part::Segment(left - taken) }
                }
                Part::End => return,
            };
            bytes = &bytes[taken..];
        }
    }

    fn finish(self: Box<Self>) -> Result<(), (Fault, String)> {
        match self.wrong {
            Some(why) => Err((Fault::Damaged, why)),
            None if self.part != Part::End => Err((Fault::Truncated, "the JPEG end marker FF D9 is missing".into())),
            None => Ok(()),
        }
    }
}
