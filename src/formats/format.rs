//! [`Format`], the entry of a format in the [registry](super::registry), and [`File`], what its functions read.

use std::borrow::Cow;
use std::fmt;

use super::probe::Probe;
use super::segments::{Segments, Table};
use super::{Companion, Result, Scratch, gzip};
use crate::image::Image;
use crate::memory::Room;

/// An image format: everything that other modules need to know about it.
pub struct Format {
    /// Name, as messages and `inspect` print it.
    pub name: &'static str,
    /// Extensions of its files, in lower case and without a dot: they tell the format of files without a signature.
    pub extensions: &'static [&'static str],
    /// Whether the first bytes of a file, decompressed, are the format's magic number.
    pub signature: fn(&[u8]) -> bool,
    /// How files of these extensions begin that have no known signature.
    pub start: Start,
    /// Extension of a header, and extensions (as written) that its data file has next to it, under the same stem.
    pub companions: &'static [(&'static str, &'static [&'static str])],
    /// Reads the names of the data files from a header; `None` for formats whose headers do not name them.
    pub named_data: Option<NamedData>,
    /// Decodes a file, which may be compressed with gzip, into memory of the scratch where it has some that serves.
    pub read: fn(&File, &Companion, &mut Scratch) -> Result<Image>,
    /// Checks that a file is whole without decoding it, for `verify`; `None` where only decoding can find out.
    pub probe: Option<fn() -> Box<dyn Probe>>,
    /// The table of named masks in a file, which `inspect` prints in addition to the image; `None` where there are
    /// none.
    pub describe: fn(&File) -> Result<Option<Table>>,
    /// The named masks of a file; `None` where there are none.
    pub segments: fn(&File, &Companion) -> Result<Option<Segments>>,
}

/// Reads the names of the data files from a header: an empty list where the header's file holds the data, `None` where
/// the header does not list them one by one.
pub type NamedData = fn(&[u8]) -> Option<Vec<String>>;

impl Format {
    /// Defaults of an entry: no signature, no companions, no probe, no named masks.
    pub(super) const PLAIN: Format = Format {
        name: "",
        extensions: &[],
        signature: |_| false,
        start: Start::Any,
        companions: &[],
        named_data: None,
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

/// How the files of an extension begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With a signature: anything else is another file.
    Signature,
    /// With a signature or with data, but not with zeros.
    Content,
    /// With any bytes; only a web page, a pointer or a server's answer is recognised as foreign.
    Any,
}

/// A file in memory, and the memory that reading it may take. Its first bytes are decompressed once, however often they are looked at.
pub struct File<'a> {
    /// Its name, without folders.
    pub name: &'a str,
    /// Its bytes, compressed or not.
    pub bytes: &'a [u8],
    /// The first bytes, decompressed.
    start: Cow<'a, [u8]>,
    /// Whether damage of the compressed data cut `start` short.
    damaged: bool,
    room: Room,
}

/// Number of bytes to decompress for `start`: more than any signature or binary header needs.
const START_BYTES: usize = 1 << 16;

impl<'a> File<'a> {
    /// The file at `path`, which may be a name alone; reading it may take any memory.
    pub fn new(path: &'a str, bytes: &'a [u8]) -> Self {
        Self::within(path, bytes, &Room::default())
    }

    /// The file at `path`; reading it takes memory of `room`, which holds its image in the end.
    pub fn within(path: &'a str, bytes: &'a [u8], room: &Room) -> Self {
        let room = room.part();
        let name = path.rsplit('/').next().unwrap_or(path);
        if !gzip::is_gzip(bytes) {
            return File { name, bytes, start: Cow::Borrowed(bytes), damaged: false, room };
        }
        let (start, outcome) = gzip::decompress_prefix(bytes, START_BYTES);
        File { name, bytes, start: Cow::Owned(start), damaged: outcome.is_err(), room }
    }

    /// The name without the `.gz` of a compressed file.
    pub(super) fn plain_name(&self) -> &'a str {
        let ending = if gzip::is_gzip(self.bytes) { [".gz", ".GZ"] } else { [""; 2] };
        ending.iter().find_map(|ending| self.name.strip_suffix(ending)).unwrap_or(self.name)
    }

    /// The first bytes, decompressed, to search for a signature; `None` where they are damaged, which the reader
    /// reports.
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

    /// Memory that reading this file may take.
    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    /// All bytes, decompressed. `promise` tells from the first ones, as far as there are [`START_BYTES`], how many bytes
    /// the header says that there are; `None` where it does not say. What the file holds beyond is as much again at
    /// most, and 16 MiB.
    ///
    /// # Errors
    /// Where the compressed data are damaged, or expand to more than is promised or there is memory for.
    pub(super) fn plain(&self, promise: impl FnOnce(&[u8]) -> Option<u64>) -> Result<Cow<'a, [u8]>> {
        if !gzip::is_gzip(self.bytes) {
            return Ok(Cow::Borrowed(self.bytes));
        }
        let most = promise(&self.start).map_or(u64::MAX, gzip::with_slack);
        gzip::decompress_within(self.bytes, most, &self.room).map(Cow::Owned)
    }
}
