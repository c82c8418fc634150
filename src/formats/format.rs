//! What a format is: its entry in the [registry](super::registry), and the file that an entry looks at.

use std::borrow::Cow;
use std::fmt;

use super::probe::Probe;
use super::segments::{Segments, Table};
use super::{Companion, Result, Scratch, gzip};
use crate::image::Image;

/// An image format: all that other modules know of it.
pub struct Format {
    /// Name, as messages and `inspect` print it.
    pub name: &'static str,
    /// Extensions of its files, in lower case and without a dot: they tell the format of files without a signature.
    pub extensions: &'static [&'static str],
    /// Whether the first bytes of a file, decompressed, are the format's magic number.
    pub signature: fn(&[u8]) -> bool,
    /// How files of these extensions begin that have no known signature.
    pub start: Start,
    /// Extensions of headers whose data lie beside them under the same stem, and of those data, as they are written.
    pub companions: &'static [(&'static str, &'static [&'static str])],
    /// Decodes a file, which may be compressed with gzip, into memory of the scratch where it has some that serves.
    pub read: fn(&File, &Companion, &mut Scratch) -> Result<Image>,
    /// Follows the bytes of a file to its end without decoding them, for `verify`; `None` where that tells nothing.
    pub probe: Option<fn() -> Box<dyn Probe>>,
    /// The table of the masks that a file holds under names, which `inspect` prints beside its image; `None` where it
    /// holds none.
    pub describe: fn(&File) -> Result<Option<Table>>,
    /// Those masks.
    pub segments: fn(&File, &Companion) -> Result<Option<Segments>>,
}

impl Format {
    /// What an entry need not say: no signature, no companions, nothing to follow, no masks under names.
    pub(super) const PLAIN: Format = Format {
        name: "",
        extensions: &[],
        signature: |_| false,
        start: Start::Any,
        companions: &[],
        read: |_, _, _| Err(super::Error::Unknown("there is no reader".into())),
        probe: None,
        describe: |_| Ok(None),
        segments: |_, _| Ok(None),
    };
}

/// Entries are equal where they are the same one.
impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// How a file can begin, as its extension promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With a signature: anything else is another file.
    Signature,
    /// With a signature or with data, but not with zeros.
    Content,
    /// With any bytes: only what servers send in place of a file is told from it.
    Any,
}

/// The bytes of a file, whose first bytes are decompressed once.
pub struct File<'a> {
    /// Its name, without folders.
    pub name: &'a str,
    /// Its bytes, compressed or not.
    pub bytes: &'a [u8],
    /// The first bytes, decompressed.
    start: Cow<'a, [u8]>,
    /// Whether `start` is shorter than it could be because the compressed data are damaged.
    damaged: bool,
}

/// Bytes that are decompressed to look at: more than any signature or binary header needs.
const START_BYTES: usize = 1 << 16;

impl<'a> File<'a> {
    /// The file at `path`, which may be a name alone.
    pub fn new(path: &'a str, bytes: &'a [u8]) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        if !gzip::is_gzip(bytes) {
            return File { name, bytes, start: Cow::Borrowed(bytes), damaged: false };
        }
        let (start, outcome) = gzip::decompress_prefix(bytes, START_BYTES);
        File { name, bytes, start: Cow::Owned(start), damaged: outcome.is_err() }
    }

    /// The name without the `.gz` of a compressed file.
    pub(super) fn plain_name(&self) -> &'a str {
        let ending = if gzip::is_gzip(self.bytes) { [".gz", ".GZ"] } else { [""; 2] };
        ending.iter().find_map(|ending| self.name.strip_suffix(ending)).unwrap_or(self.name)
    }

    /// The first bytes, decompressed, as a signature is looked for in them; `None` where the compressed data are damaged
    /// from the start, of which the reader will tell.
    pub(super) fn signature(&self) -> Option<&[u8]> {
        (!self.damaged).then_some(&*self.start)
    }

    /// The first `wanted` bytes, decompressed, or all where there are fewer.
    ///
    /// # Errors
    /// Where the compressed data are damaged before them.
    pub(super) fn head(&self, wanted: usize) -> Result<Cow<'_, [u8]>> {
        if self.damaged && self.start.len() < wanted {
            let (head, outcome) = gzip::decompress_prefix(self.bytes, wanted);
            return outcome.map(|()| Cow::Owned(head));
        }
        Ok(Cow::Borrowed(&self.start[..self.start.len().min(wanted)]))
    }

    /// All bytes, decompressed.
    ///
    /// # Errors
    /// Where the compressed data are damaged.
    pub fn plain(&self) -> Result<Cow<'a, [u8]>> {
        match gzip::is_gzip(self.bytes) {
            true => gzip::decompress(self.bytes).map(Cow::Owned),
            false => Ok(Cow::Borrowed(self.bytes)),
        }
    }
}
