//! Tar archives, plain (read in place by offsets) and compressed (decoded forward).
//!
//! Format: POSIX.1-1988 ustar and POSIX.1-2001 pax, with GNU's extensions; headers are read by the `tar` crate. In the
//! wild: GNU long names, pax headers with names and sizes, pre-POSIX headers, hard links instead of repeated files,
//! repeated names (the last one is used, as in `tar x`), and truncated archives.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;
use std::sync::Arc;

use super::archive::{Allowed, Archive, ArchiveKind, Entry, Opened, Shared, copy};
use super::codec::Codec;
use super::cursors::{Cursor, Cursors, Sequential};
use super::names::{normalise, shown};
use super::source::Source;
use super::{Reason, is_of_the_system};
use crate::fault::is_zeros;

pub(super) static KIND: ArchiveKind = ArchiveKind {
    name: "tar",
    extensions: &["tar"],
    signature: begins_tar,
    open,
    // One without entries is one record of zeros.
    open_unsigned: |source, head, shared| {
        let is_empty = !head.is_empty() && is_zeros(head) && source.len() <= 20 * 512;
        is_empty.then(|| open(source, shared).ok()).flatten()
    },
};

/// Whether the first 512 bytes are a tar header whose checksum is right. Headers of before POSIX have no other mark.
fn begins_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else { return false };
    if is_zeros(block) {
        return false;
    }
    let unchecked: u32 = block[148..156].iter().map(|&b| u32::from(b)).sum();
    let sum = block.iter().map(|&b| u32::from(b)).sum::<u32>() - unchecked + 8 * u32::from(b' ');
    ::tar::Header::from_byte_slice(block).cksum().is_ok_and(|stored| stored == sum)
}

/// Where the bytes of an entry lie in the uncompressed archive.
#[derive(Clone, Copy)]
struct Span {
    offset: u64,
    len: u64,
}

/// Opens a plain tar.
fn open(source: &Source, shared: &Shared) -> Result<Opened, Reason> {
    let meter = Meter::new(u64::MAX, false);
    let mut archive = ::tar::Archive::new(Metered { inner: source.reader(), meter: meter.clone() });
    let index = Index::of(archive.entries_with_seek()?, &meter, shared.options.name_bytes(), || source.len());
    let plain = Plain { source: source.clone(), spans: index.spans };
    Ok(Opened {
        archive: Box::new(plain),
        entries: index.entries,
        backslash: false,
        damage: index.damage,
        hides_repeated: false,
    })
}

/// Opens a compressed tar: decodes all of it once, up to as many bytes as are allowed.
pub(super) fn open_compressed(
    source: &Source,
    codec: &'static Codec,
    shared: &Shared,
    allowed: Allowed,
) -> Result<Opened, Reason> {
    let window = shared.options.window();
    let meter = Meter::new(allowed.left, true);
    let metered = Metered { inner: codec.decode(source.reader(), window)?, meter: meter.clone() };
    let mut archive = ::tar::Archive::new(metered);
    let mut index = Index::of(archive.entries()?, &meter, shared.options.name_bytes(), || meter.count.get());
    if meter.count.get() > allowed.left {
        index.damage = Some(allowed.exceeded(meter.count.get()));
        for entry in index.entries.iter_mut().filter(|entry| matches!(entry.refused, Some(Reason::Cut(_)))) {
            entry.refused = Some(allowed.exceeded(entry.size));
        }
    }
    let stream = Compressed { source: source.clone(), codec, spans: index.spans.into(), window };
    Ok(Opened {
        archive: Box::new(Cursors::new(stream, shared.options.cursors, shared.kept.clone())),
        entries: index.entries,
        backslash: false,
        damage: index.damage,
        hides_repeated: false,
    })
}

/// What walking over the headers gives.
struct Index {
    /// In ascending order of their offsets. Entries know theirs by number, and hard links share one.
    spans: Vec<Span>,
    entries: Vec<Entry>,
    damage: Option<Reason>,
}

impl Index {
    /// Walks over all headers. `reached` tells how many bytes of the archive there are, or are decoded so far. Names
    /// take at most `name_bytes` together.
    fn of<R: Read>(
        mut walk: ::tar::Entries<'_, R>,
        meter: &Meter,
        mut name_bytes: u64,
        reached: impl Fn() -> u64,
    ) -> Self {
        let mut index = Self { spans: Vec::new(), entries: Vec::new(), damage: None };
        let mut by_path = HashMap::new();
        // Bytes that a stream is read for on the way to the next header: those of the entry before.
        let mut skipped = 0u64;
        loop {
            meter.headers.set(skipped.saturating_add(MOST_HEADERS));
            let Some(item) = walk.next() else { break };
            let item = match item {
                Ok(item) => item,
                Err(error) if is_of_the_system(&error) => {
                    index.damage = Some(Reason::Io(error));
                    break;
                }
                Err(error) => {
                    index.damage = Some(ends_early(index.entries.len(), &error.to_string()));
                    break;
                }
            };
            if meter.streams {
                let stored = item.header().entry_size().unwrap_or(0);
                // The size of a sparse entry is that of the file, holes included.
                skipped = if item.header().entry_type().is_gnu_sparse() { stored } else { item.size() };
            }
            if let Some(entry) = index.entry(item, &by_path) {
                let Some(left) = name_bytes.checked_sub(entry.name.len() as u64) else {
                    let why = "the names of its entries take more memory than the bound leaves; raise --memory";
                    index.damage = Some(ends_early(index.entries.len(), why));
                    break;
                };
                name_bytes = left;
                if let Ok(Some(path)) = normalise(&entry.name, false) {
                    by_path.insert(path, index.entries.len());
                }
                index.entries.push(entry);
            }
        }
        index.cut_at(reached());
        index
    }

    /// The entry of a header; `None` where it stands for no file.
    fn entry<R: Read>(&mut self, mut item: ::tar::Entry<'_, R>, by_path: &HashMap<String, usize>) -> Option<Entry> {
        let kind = item.header().entry_type();
        let name = shown(&item.path_bytes());
        // Before POSIX, a slash at the end of the name was the only mark of a folder.
        if kind.is_dir() || kind.is_pax_global_extensions() || name.ends_with('/') {
            return None;
        }
        let link = item.link_name_bytes().map(|target| shown(&target)).unwrap_or_default();
        let span = if kind.is_hard_link() {
            let target = normalise(&link, false).ok().flatten().and_then(|path| by_path.get(&path));
            match target.map(|&entry| &self.entries[entry]) {
                Some(target) if target.refused.is_none() => Ok(target.number),
                _ => Err(Reason::Damaged(format!("a hard link to {link:?}, which does not precede it"))),
            }
        } else if kind.is_symlink() {
            let feature = format!("a symbolic link in an archive, to {link:?}; unpack the archive and use the folder");
            Err(Reason::Unsupported(feature))
        } else if kind.is_gnu_sparse() || is_pax_sparse(&mut item) {
            Err(Reason::Unsupported("a sparse file in a tar; unpack the archive and use the folder".into()))
        } else if kind.is_file() || kind.is_contiguous() {
            self.spans.push(Span { offset: item.raw_file_position(), len: item.size() });
            Ok(self.spans.len() - 1)
        } else {
            Err(Reason::Unsupported(format!(
                "a tar entry of type {:?}, which is not a file",
                char::from(kind.as_byte())
            )))
        };
        Some(match span {
            Ok(number) => Entry { name, number, size: self.spans[number].len, refused: None },
            Err(reason) => Entry { name, number: 0, size: 0, refused: Some(reason) },
        })
    }

    /// Refuses the entries that do not end within the `reached` bytes that there are.
    fn cut_at(&mut self, reached: u64) {
        let mut cut = false;
        for entry in self.entries.iter_mut().filter(|entry| entry.refused.is_none()) {
            let Span { offset, len } = self.spans[entry.number];
            if offset.checked_add(len).is_none_or(|end| end > reached) {
                let found = reached.saturating_sub(offset);
                let why = format!("the archive is truncated inside it: expected {len} bytes, found {found}");
                entry.refused = Some(Reason::Cut(why));
                cut = true;
            }
        }
        if cut && self.damage.is_none() {
            let whole = self.entries.iter().filter(|entry| entry.refused.is_none()).count();
            self.damage = Some(ends_early(whole, &format!("found {reached} bytes")));
        }
    }
}

fn ends_early(entries: usize, why: &str) -> Reason {
    Reason::Cut(format!("cannot be read to its end ({why}), after {entries} entries; download it again"))
}

/// Whether pax headers say that the data are those of a sparse file, which GNU tar stores in pieces.
fn is_pax_sparse<R: Read>(item: &mut ::tar::Entry<'_, R>) -> bool {
    let Ok(Some(mut extensions)) = item.pax_extensions() else { return false };
    extensions.any(|e| e.is_ok_and(|e| e.key_bytes().starts_with(b"GNU.sparse.")))
}

/// Most bytes of the headers of one entry: names, link targets and attributes of GNU tar and pax, which are read as a
/// whole. Attributes of a file take some kilobytes.
const MOST_HEADERS: u64 = 1 << 20;

/// What may be read of an archive, and has been.
struct Meter {
    /// Bytes read so far.
    count: Cell<u64>,
    /// Most bytes to read.
    limit: u64,
    /// Whether entries are read to come to the next one.
    streams: bool,
    /// Most bytes to read before the next entry is found.
    headers: Cell<u64>,
}

impl Meter {
    fn new(limit: u64, streams: bool) -> Rc<Self> {
        Rc::new(Self { count: Cell::new(0), limit, streams, headers: Cell::new(u64::MAX) })
    }
}

/// Reads as far as the meter allows.
struct Metered<R> {
    inner: R,
    meter: Rc<Meter>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        let meter = &self.meter;
        meter.count.set(meter.count.get() + count as u64);
        meter.headers.set(meter.headers.get().saturating_sub(count as u64));
        if meter.count.get() > meter.limit {
            return Err(io::Error::other("more bytes than an archive of its size may expand to"));
        }
        if meter.headers.get() == 0 {
            return Err(io::Error::other(format!("headers of more than {MOST_HEADERS} bytes before an entry")));
        }
        Ok(count)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// A tar that is not compressed.
struct Plain {
    source: Source,
    spans: Vec<Span>,
}

impl Archive for Plain {
    fn copy(&self, entry: usize, out: &mut dyn Write) -> Result<(), Reason> {
        let span = *self.spans.get(entry).ok_or(Reason::Foreign)?;
        copy(&mut self.source.reader_of(span.offset, span.len).take(span.len), out)?;
        Ok(())
    }

    fn window(&self, entry: usize) -> Option<Source> {
        let span = self.spans.get(entry)?;
        self.source.window(span.offset, span.len)
    }
}

/// A compressed tar.
struct Compressed {
    source: Source,
    codec: &'static Codec,
    spans: Arc<[Span]>,
    /// Most bytes that the window of a decoder may take.
    window: u64,
}

impl Sequential for Compressed {
    type Cursor = Decoder;

    fn len(&self) -> usize {
        self.spans.len()
    }

    fn size(&self, entry: usize) -> u64 {
        self.spans[entry].len
    }

    fn start(&self, _entry: usize) -> usize {
        0
    }

    fn open(&self, start: usize) -> Result<Decoder, Reason> {
        let stream = self.codec.decode(self.source.reader(), self.window)?;
        Ok(Decoder { stream, position: 0, next: start, spans: self.spans.clone() })
    }
}

/// A decoder somewhere in a compressed tar.
struct Decoder {
    stream: Box<dyn Read + Send>,
    /// Bytes decoded so far.
    position: u64,
    /// The entry that comes next.
    next: usize,
    spans: Arc<[Span]>,
}

impl Cursor for Decoder {
    fn advance(&mut self, out: Option<&mut dyn Write>) -> Result<(), Reason> {
        let Span { offset, len } = *self.spans.get(self.next).ok_or(Reason::Foreign)?;
        let gap = offset.saturating_sub(self.position);
        self.decode(gap, &mut io::sink())?;
        self.decode(len, out.unwrap_or(&mut io::sink()))?;
        self.next += 1;
        Ok(())
    }
}

impl Decoder {
    fn decode(&mut self, len: u64, out: &mut dyn Write) -> Result<(), Reason> {
        let found = copy(&mut (&mut self.stream).take(len), out)?;
        self.position += found;
        if found < len {
            return Err(Reason::Cut(format!(
                "the archive is truncated inside it: expected {len} bytes, found {found}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_known_by_their_checksum() {
        let mut header = ::tar::Header::new_old();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert!(begins_tar(header.as_bytes()));
        header.as_mut_bytes()[0] ^= 1;
        assert!(!begins_tar(header.as_bytes()));
        assert!(!begins_tar(&[0; 100]));
        assert!(!begins_tar(&[0; 512]));
    }
}
