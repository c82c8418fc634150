//! Zip archives, read entry by entry through their directory.
//!
//! Format: PKWARE's APPNOTE.TXT; directory, names and decoders are the `zip` crate's: stored, Deflate, Deflate64,
//! bzip2, LZMA, xz and Zstandard, with zip64. In the wild:
//! - Names are CP437 by the specification unless a flag says UTF-8; many writers put UTF-8 and no flag. Valid UTF-8 is
//!   taken as such, all else as CP437.
//! - Entries that overlap, which Info-ZIP refuses as a bomb. Entries are located only by the directory, so they are
//!   readable.
//! - Archives beyond 4 GiB without zip64, as macOS writes them: the offsets of the directory count modulo 2^32. The
//!   local header that each entry must start with determines the true position.
//! - Windows separators in names.
//! - Downloads that stop early: the directory is at the end of the file, so nothing can be read.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use ::zip::result::ZipError;
use ::zip::{CompressionMethod, ZipArchive, ZipReadOptions};

use super::Reason;
use super::archive::{Archive, ArchiveKind, Entry, Opened, copy};
use super::source::{Source, SourceReader};

pub(super) static KIND: ArchiveKind = ArchiveKind {
    name: "zip",
    extensions: &["zip"],
    signature: |head| head.starts_with(&LOCAL_HEADER) || head.starts_with(b"PK\x05\x06"),
    open: |source, _| open(source),
    // It may follow other bytes: programs that unpack themselves.
    open_unsigned: |source, _, _| open(source).ok(),
};

struct Zip {
    source: Source,
    directory: Arc<::zip::read::ZipArchiveMetadata>,
    /// How far entries lie from where the directory says, where they do; `None` of those that are not found.
    shifts: HashMap<usize, Option<i64>>,
}

/// Opens a zip by its directory.
fn open(source: &Source) -> Result<Opened, Reason> {
    let archive = ZipArchive::new(source.reader()).map_err(|error| cannot_open(source, error))?;
    let directory = archive.metadata();
    let mut zip = Zip { source: source.clone(), directory: directory.clone(), shifts: HashMap::new() };
    zip.find_shifted(archive.offset())?;
    let mut entries = Vec::with_capacity(directory.len());
    for number in 0..directory.len() {
        let entry = directory.entry(number).map_err(reason)?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(reason)?.into_owned();
        let refused = if zip.shift(number).is_none() {
            let why = "the entry is not where the archive's directory states; download the archive again";
            Some(Reason::Damaged(why.into()))
        } else if entry.encrypted() {
            Some(Reason::Encrypted)
        } else if entry.is_symlink() {
            let feature = "a symbolic link in an archive; unpack the archive and use the folder";
            Some(Reason::Unsupported(feature.into()))
        } else {
            unsupported(entry.compression())
        };
        entries.push((entry.header_start(), Entry { name, number, size: entry.size(), refused }));
    }
    entries.sort_by_key(|&(offset, _)| offset);
    let damage = zip.unread_directory()?.then(|| {
        let why = "the directory contains more entries than it declares, as in macOS archives of more than 65,535 \
            entries; unpack it and use the folder";
        Reason::Damaged(why.into())
    });
    Ok(Opened {
        archive: Box::new(zip),
        entries: entries.into_iter().map(|(_, entry)| entry).collect(),
        backslash: true,
        damage,
        hides_repeated: directory.has_duplicate_names(),
    })
}

/// What to say of a zip whose directory is not found.
fn cannot_open(source: &Source, error: ZipError) -> Reason {
    let advice = "download it again; for a multi-part zip (.z01, .z02, ...), join the parts with `zip -s 0 parts.zip \
        --out joined.zip`";
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => Reason::Io(error),
        error => Reason::Cut(format!(
            "the zip directory is missing at the end of the {} bytes ({error}); {advice}",
            source.len()
        )),
    }
}

/// Why a compression method is not read here; `None` of one that is.
fn unsupported(method: CompressionMethod) -> Option<Reason> {
    match method {
        CompressionMethod::Stored
        | CompressionMethod::Deflated
        | CompressionMethod::Deflate64
        | CompressionMethod::Bzip2
        | CompressionMethod::Lzma
        | CompressionMethod::Xz
        | CompressionMethod::Zstd => None,
        other => {
            let feature = format!("zip compression method {other}; unpack the archive with 7-Zip and use the folder");
            Some(Reason::Unsupported(feature))
        }
    }
}

/// Signature of a local header.
const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
/// Signature of an entry of the directory.
const DIRECTORY_HEADER: [u8; 4] = *b"PK\x01\x02";

impl Zip {
    /// Checks that entries lie where the directory says, and finds those that do not. `offset` is by how much the `zip`
    /// crate moved all of them, since the directory itself lies that far from where its end record says.
    ///
    /// The first and the last entry stand for all: looking at each costs a seek per entry.
    fn find_shifted(&mut self, offset: u64) -> Result<(), Reason> {
        let mut reader = self.source.reader();
        let mut places = Vec::with_capacity(self.directory.len());
        for number in 0..self.directory.len() {
            places.push(self.directory.entry(number).map_err(reason)?.header_start());
        }
        let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) else { return Ok(()) };
        let begins_zip = self.source.head(4)? == LOCAL_HEADER;
        // A zip that begins with an entry has nothing before it: what is moved there was counted modulo 2^32.
        let moved_for_nothing = offset > 0 && begins_zip;
        if !moved_for_nothing
            && self.is_local_header(&mut reader, *first, None)?
            && self.is_local_header(&mut reader, *last, None)?
        {
            return Ok(());
        }
        let mut begins = u64::MAX;
        for (number, &place) in places.iter().enumerate() {
            let wraps = (0..=self.source.len() >> 32).map(|wrap| wrap << 32);
            let candidates = wraps.map(|wrap| place.wrapping_sub(offset).wrapping_add(wrap)).chain([place]);
            let mut found = None;
            for candidate in candidates {
                if self.is_local_header(&mut reader, candidate, Some(number))? {
                    found = Some(candidate);
                    break;
                }
            }
            begins = begins.min(found.unwrap_or(u64::MAX));
            if found != Some(place) {
                self.shifts.insert(number, found.map(|found| found.wrapping_sub(place).cast_signed()));
            }
        }
        if moved_for_nothing && begins > 0 {
            let why = "ends with the directory of an archive inside it, without its own directory; download it again";
            return Err(Reason::Cut(why.into()));
        }
        Ok(())
    }

    /// Whether a local header lies at `place`, of the entry `number` if one is given.
    fn is_local_header(&self, reader: &mut SourceReader, place: u64, number: Option<usize>) -> Result<bool, Reason> {
        if place >= self.source.len() {
            return Ok(false);
        }
        reader.seek(SeekFrom::Start(place))?;
        let mut header = Vec::new();
        reader.by_ref().take(30).read_to_end(&mut header)?;
        if header.len() < 30 || header[..4] != LOCAL_HEADER {
            return Ok(false);
        }
        let Some(number) = number else { return Ok(true) };
        let mut name = Vec::new();
        reader.by_ref().take(u64::from(u16::from_le_bytes([header[26], header[27]]))).read_to_end(&mut name)?;
        let entry = self.directory.entry(number).map_err(reason)?;
        Ok(name == entry.name_raw())
    }

    /// Whether there is another entry in the directory behind those that were read.
    fn unread_directory(&self) -> Result<bool, Reason> {
        let mut last = None;
        for number in 0..self.directory.len() {
            last = last.max(Some(self.directory.entry(number).map_err(reason)?.central_header_start()));
        }
        let Some(last) = last else { return Ok(false) };
        let mut reader = self.source.reader();
        reader.seek(SeekFrom::Start(last))?;
        let mut header = [0; 46];
        reader.read_exact(&mut header)?;
        let length = |at: usize| u64::from(u16::from_le_bytes([header[at], header[at + 1]]));
        reader.seek(SeekFrom::Start(last + 46 + length(28) + length(30) + length(32)))?;
        let mut next = Vec::new();
        reader.take(4).read_to_end(&mut next)?;
        Ok(next == DIRECTORY_HEADER)
    }

    /// How far an entry lies from where the directory says; `None` if it was not found.
    fn shift(&self, number: usize) -> Option<i64> {
        self.shifts.get(&number).copied().unwrap_or(Some(0))
    }
}

impl Archive for Zip {
    fn copy(&self, number: usize, out: &mut dyn Write) -> Result<(), Reason> {
        let entry = self.directory.entry(number).map_err(reason)?;
        let shift = self.shift(number).ok_or(Reason::Foreign)?;
        // The local header may have other fields than the directory: some more than it.
        let len = entry.compressed_size().saturating_add(entry.name_raw().len() as u64 + 512);
        let start = entry.header_start().saturating_add_signed(shift).min(self.source.len());
        let mut reader = Shifted { inner: self.source.reader_of(start, len), shift };
        let mut decoded = entry.with_reader(&mut reader, ZipReadOptions::new()).map_err(reason)?;
        copy(&mut decoded, out)?;
        Ok(())
    }

    fn window(&self, number: usize) -> Option<Source> {
        let entry = self.directory.entry(number).ok()?;
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return None;
        }
        let (size, shift) = (entry.compressed_size(), self.shift(number)?);
        let mut reader = Shifted { inner: self.source.reader(), shift };
        let start = entry.with_reader(&mut reader, ZipReadOptions::new()).ok()?.data_start()?;
        self.source.window(start.checked_add_signed(shift)?, size)
    }
}

/// The `.zip` that a disc `x.z01` of a multi-part zip belongs to.
pub(super) fn disc_of(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let digits = extension.strip_prefix(['z', 'Z'])?;
    (digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| format!("{stem}.zip"))
}

fn reason(error: ZipError) -> Reason {
    match error {
        ZipError::Io(error) => Reason::Io(error),
        ZipError::UnsupportedArchive(what) => Reason::Unsupported(what.into()),
        other => Reason::Damaged(other.to_string()),
    }
}

/// A reader whose positions are counted from elsewhere.
struct Shifted {
    inner: SourceReader,
    /// True position minus the one that is told.
    shift: i64,
}

impl Read for Shifted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.inner.read(out)
    }
}

impl Seek for Shifted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "seek before the first byte");
        let to = match to {
            SeekFrom::Start(told) => SeekFrom::Start(told.checked_add_signed(self.shift).ok_or_else(outside)?),
            relative => relative,
        };
        self.inner.seek(to)?.checked_add_signed(-self.shift).ok_or_else(outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discs_belong_to_their_zip() {
        assert_eq!(disc_of("x.z01").as_deref(), Some("x.zip"));
        assert_eq!(disc_of("x.zip"), None);
    }
}
