//! A run of bytes that archives are read from: a file or an object of a bucket, several of them joined (split archives),
//! bytes in memory, or a window of one of those (an archive stored in another one).
//!
//! Readers open the file when they first need it and have their own position, so a [`Source`] holds no file handle and
//! can be shared by threads. A tree of thousands of archives does not reach the limit of open files.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stored::{Ahead, Stored, Wanted};

/// Bytes of an archive, random access, any number of readers.
#[derive(Clone)]
pub(super) struct Source {
    pieces: Arc<[Piece]>,
    start: u64,
    len: u64,
}

/// One of the joined runs of bytes that a source is a window of.
struct Piece {
    /// Offset of its first byte among all pieces.
    start: u64,
    len: u64,
    place: Place,
}

pub(super) enum Place {
    /// A file, and its size when it was indexed.
    File(PathBuf),
    /// An object of a bucket.
    Object(Stored),
    /// The bytes of an open file that has no name, from an offset.
    Unnamed(Arc<File>, u64),
    Memory(Vec<u8>),
}

impl Source {
    /// The joined contents of `places`, each given with its size.
    pub(super) fn joined(places: impl IntoIterator<Item = (Place, u64)>) -> Self {
        let mut len = 0;
        let mut pieces = Vec::new();
        for (place, size) in places {
            pieces.push(Piece { start: len, len: size, place });
            len += size;
        }
        Self { pieces: pieces.into(), start: 0, len }
    }

    /// Bytes in memory.
    pub(super) fn memory(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self { pieces: [Piece { start: 0, len, place: Place::Memory(bytes) }].into(), start: 0, len }
    }

    /// `len` bytes from `offset` of an open file.
    pub(super) fn unnamed(file: Arc<File>, offset: u64, len: u64) -> Self {
        Self { pieces: [Piece { start: 0, len, place: Place::Unnamed(file, offset) }].into(), start: 0, len }
    }

    /// `len` bytes from `offset`; `None` where they are not all there.
    pub(super) fn window(&self, offset: u64, len: u64) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then(|| Self { pieces: self.pieces.clone(), start: self.start + offset, len })
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The file that holds exactly these bytes, where there is one.
    #[cfg(feature = "rar")]
    pub(super) fn whole_file(&self) -> Option<&Path> {
        match &*self.pieces {
            [Piece { len, place: Place::File(path), .. }] if *len == self.len => Some(path),
            _ => None,
        }
    }

    /// A reader at the first byte.
    pub(super) fn reader(&self) -> SourceReader {
        SourceReader {
            source: self.clone(),
            position: 0,
            open: None,
            buffer: Vec::new(),
            consumed: 0,
            ahead: FIRST_BYTES,
            stored: (0, Ahead::default()),
            known: 0,
        }
    }

    /// A reader at `start` for a caller that takes the next `len` bytes, as far as they are there.
    pub(super) fn reader_of(&self, start: u64, len: u64) -> SourceReader {
        SourceReader { position: start, known: start.saturating_add(len).min(self.len), ..self.reader() }
    }

    /// Up to `len` of the first bytes.
    pub(super) fn head(&self, len: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.reader().take(len as u64).read_to_end(&mut head)?;
        Ok(head)
    }
}

/// Bytes that a reader takes from a file at once after a jump, for a header perhaps; each time it goes on from there it
/// takes twice as many.
const FIRST_BYTES: usize = 2 * 1024;
/// Most bytes that a reader takes from a file at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// Reads a [`Source`] from any position.
pub(super) struct SourceReader {
    source: Source,
    /// Position behind the buffered bytes.
    position: u64,
    /// The file of the piece last read from, by the piece's number.
    open: Option<(usize, File)>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are already handed out.
    consumed: usize,
    /// Bytes to take next.
    ahead: usize,
    /// What is requested of the object of the piece last read from, and the piece's number.
    stored: (usize, Ahead),
    /// Position behind the last byte that the caller is known to take.
    known: u64,
}

/// Buffers of at least so many bytes are filled from an object directly.
const DIRECT_BYTES: usize = 1 << 20;

impl SourceReader {
    /// The piece at `self.position`, past the buffer, by its number; the position in it, and the bytes that are left of
    /// it. `None` at the end.
    fn here(&self) -> Option<(usize, u64, u64)> {
        let left = self.source.len.checked_sub(self.position).filter(|&left| left > 0)?;
        let absolute = self.source.start + self.position;
        let index = self.source.pieces.partition_point(|p| p.start + p.len <= absolute);
        let piece = self.source.pieces.get(index)?;
        let offset = absolute - piece.start;
        Some((index, offset, left.min(piece.len - offset)))
    }

    /// Puts bytes of an object into the buffer, which is empty; false where there is none at `self.position`.
    fn buffer_object(&mut self) -> io::Result<bool> {
        let Some((index, offset, left)) = self.here() else { return Ok(false) };
        let Place::Object(stored) = &self.source.pieces[index].place else { return Ok(false) };
        let (object, ahead) = &mut self.stored;
        if *object != index {
            ahead.clear();
            *object = index;
        }
        let known = offset + self.known.saturating_sub(self.position).min(left);
        self.buffer.clear();
        self.consumed = 0;
        self.buffer = ahead.take(stored, &Wanted { offset, end: offset + left, known })?;
        self.position += self.buffer.len() as u64;
        Ok(true)
    }

    /// Whether so large a buffer is filled without the reader's own.
    fn reads_directly(&self, len: usize) -> bool {
        let object = || {
            let (index, offset, _) = self.here()?;
            matches!(self.source.pieces[index].place, Place::Object(_))
                .then(|| self.stored.0 == index && self.stored.1.awaits(offset))
        };
        match len >= BUFFER_BYTES {
            true => object().is_none_or(|awaits| len >= DIRECT_BYTES && !awaits),
            false => false,
        }
    }

    /// Reads at `self.position`, past the buffer.
    fn read_behind(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some((index, offset, left)) = self.here() else { return Ok(0) };
        let piece = &self.source.pieces[index];
        let wanted = (out.len() as u64).min(left) as usize;
        let out = &mut out[..wanted];
        let count = match &piece.place {
            Place::Memory(bytes) => {
                out.copy_from_slice(&bytes[offset as usize..offset as usize + wanted]);
                wanted
            }
            Place::Unnamed(file, from) => read_at(file, out, from + offset)?,
            Place::Object(stored) => {
                stored.read_exact_at(out, offset)?;
                wanted
            }
            Place::File(path) => {
                #[cfg(debug_assertions)]
                injected_error(path)?;
                if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
                    self.open = Some((index, open_unchanged(path, piece.len)?));
                }
                let (_, file) = self.open.as_ref().expect("opened above");
                read_at(file, out, offset)?
            }
        };
        if count == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than when it was indexed"));
        }
        self.position += count as u64;
        Ok(count)
    }
}

/// Opens a file, and refuses one whose size is not what it was when it was indexed.
fn open_unchanged(path: &Path, expected: u64) -> io::Result<File> {
    let file = File::open(path)?;
    let found = file.metadata()?.len();
    if found != expected {
        let message = format!("the file on disk had {expected} bytes when it was indexed and has {found} now");
        return Err(io::Error::other(message));
    }
    Ok(file)
}

/// Fails where a test asks for it: `MEDCOSMOS_TEST_READ_ERROR=5:train` gives the system's error 5 for every file whose
/// path contains `train`. Release builds have no such variable.
#[cfg(debug_assertions)]
fn injected_error(path: &Path) -> io::Result<()> {
    let Ok(asked) = std::env::var("MEDCOSMOS_TEST_READ_ERROR") else { return Ok(()) };
    match asked.split_once(':').map(|(error, part)| (error.parse(), part)) {
        Some((Ok(error), part)) if path.to_string_lossy().contains(part) => Err(io::Error::from_raw_os_error(error)),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, offset)
}

#[cfg(windows)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, offset)
}

impl BufRead for SourceReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.consumed == self.buffer.len() && !self.buffer_object()? {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(self.ahead, 0);
            self.ahead = (2 * self.ahead).min(BUFFER_BYTES);
            let filled = self.read_behind(&mut buffer);
            buffer.truncate(*filled.as_ref().unwrap_or(&0));
            self.buffer = buffer;
            self.consumed = 0;
            filled?;
        }
        Ok(&self.buffer[self.consumed..])
    }

    fn consume(&mut self, count: usize) {
        self.consumed = (self.consumed + count).min(self.buffer.len());
    }
}

impl Read for SourceReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.consumed == self.buffer.len() && self.reads_directly(out.len()) {
            // What it holds does not end where the reader will stand.
            self.buffer.clear();
            self.consumed = 0;
            return self.read_behind(out);
        }
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let buffered_from = self.position - self.buffer.len() as u64;
        let here = buffered_from + self.consumed as u64;
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.source.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => here.checked_add_signed(offset),
        };
        let target = target.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before the first byte"))?;
        if (buffered_from..=self.position).contains(&target) {
            self.consumed = (target - buffered_from) as usize;
        } else {
            self.buffer.clear();
            self.consumed = 0;
            self.ahead = FIRST_BYTES;
            self.position = target;
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 300,000 bytes in three pieces, the middle one in memory, seen through a window.
    fn joined(folder: &Path) -> (Source, Vec<u8>) {
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
        let path = folder.join("piece");
        std::fs::write(&path, &bytes[..100_000]).unwrap();
        let end = folder.join("end");
        std::fs::write(&end, &bytes[150_000..]).unwrap();
        let middle = Place::Memory(bytes[100_000..150_000].to_vec());
        let pieces = [
            Piece { start: 0, len: 100_000, place: Place::File(path) },
            Piece { start: 100_000, len: 50_000, place: middle },
            Piece { start: 150_000, len: 150_000, place: Place::File(end) },
        ];
        let whole = Source { pieces: pieces.into(), start: 0, len: 300_000 };
        (whole.window(10, 299_000).unwrap(), bytes[10..299_010].to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A reader behaves as a cursor over the same bytes, whatever the seeks and the sizes asked for.
        #[test]
        fn a_reader_is_a_cursor_over_the_joined_bytes(
            steps in proptest::collection::vec((0u8..3, -200_000i64..320_000, 0usize..200_000), 1..12),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (source, bytes) = joined(folder.path());
            let mut cursor = io::Cursor::new(bytes);
            let mut reader = source.reader();
            for (kind, offset, count) in steps {
                let to = match kind {
                    0 => SeekFrom::Start(offset.unsigned_abs()),
                    1 => SeekFrom::Current(offset),
                    _ => SeekFrom::End(offset),
                };
                prop_assert_eq!(reader.seek(to).ok(), cursor.seek(to).ok());
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                (&mut reader).take(count as u64).read_to_end(&mut ours).unwrap();
                (&mut cursor).take(count as u64).read_to_end(&mut theirs).unwrap();
                prop_assert!(ours == theirs);
            }
        }
    }

    #[test]
    fn a_step_back_after_a_large_read_gives_the_bytes_before() {
        let folder = tempfile::tempdir().unwrap();
        let (source, bytes) = joined(folder.path());
        let mut reader = source.reader();
        let buffered = reader.fill_buf().unwrap().len();
        reader.consume(buffered);
        let mut large = vec![0; BUFFER_BYTES];
        let count = reader.read(&mut large).unwrap();
        reader.seek(SeekFrom::Current(-10)).unwrap();
        let mut back = [0; 10];
        reader.read_exact(&mut back).unwrap();
        assert_eq!(back, bytes[buffered + count - 10..buffered + count]);
    }

    /// The same of an object and a piece in memory, with a reader that is told how far it will go.
    #[cfg(feature = "s3")]
    #[test]
    fn a_reader_of_objects_is_a_cursor_over_their_bytes() {
        use crate::bucket::{Condition, requests};
        use crate::raw::stored::Fetched;

        let Some(bucket) = requests::bucket("readers") else { return };
        let bytes: Vec<u8> = (0..9_000_000u32).map(|i| (i * 7 + i / 251) as u8).collect();
        let (first, second) = bytes.split_at(8_500_000);
        bucket.put("a", first.to_vec(), Condition::Always).unwrap();
        let object = bucket.head("a").unwrap().unwrap();
        for held in [0, 1 << 20, 1 << 28] {
            let stored = Stored::new(bucket.clone(), object.clone(), Fetched::new(held));
            let places = [(Place::Object(stored), 8_500_000), (Place::Memory(second.to_vec()), 500_000)];
            let source = Source::joined(places).window(3, 8_999_000).unwrap();
            let mut reader = source.reader_of(100, 5_000_000);
            reader.seek(SeekFrom::Start(0)).unwrap();
            let mut cursor = io::Cursor::new(&bytes[3..8_999_003]);
            let mut random = 1_u32;
            for _ in 0..40 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let to = match random % 3 {
                    0 => SeekFrom::Start(u64::from(random >> 9)),
                    1 => SeekFrom::Current(i64::from(random >> 16) - 30_000),
                    _ => SeekFrom::End(-i64::from(random >> 14)),
                };
                assert_eq!(reader.seek(to).ok(), cursor.seek(to).ok());
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                (&mut reader).take(u64::from(random >> 10)).read_to_end(&mut ours).unwrap();
                (&mut cursor).take(u64::from(random >> 10)).read_to_end(&mut theirs).unwrap();
                assert!(ours == theirs, "{to:?}, {held}");
            }
            let mut whole = vec![0; 8_999_000];
            source.reader().read_exact(&mut whole).unwrap();
            assert!(whole == bytes[3..8_999_003]);
        }
    }

    #[test]
    fn a_window_must_lie_inside() {
        let source = Source::memory(vec![0; 10]);
        assert!(source.window(0, 10).is_some() && source.window(10, 0).is_some());
        assert!(source.window(1, 10).is_none() && source.window(u64::MAX, 2).is_none());
    }

    #[test]
    fn a_file_that_changed_its_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, [0; 10]).unwrap();
        let source = Source::joined([(Place::File(path.clone()), 10)]);
        std::fs::write(&path, [0; 9]).unwrap();
        let error = source.head(4).unwrap_err().to_string();
        assert!(error.contains("had 10 bytes") && error.contains("has 9 now"), "{error}");
    }
}
