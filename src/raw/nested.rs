//! Storage of decoded nested archives: in memory while there is room, then in one unnamed temporary file, which the
//! system removes when the tree is closed or the process ends.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::Reason;
use super::source::Source;

/// Keeps the decoded bytes of nested archives for the life of a tree.
pub(super) struct Nested {
    memory_left: Mutex<u64>,
    /// The temporary file and its length so far, made when it is first needed.
    spool: Mutex<Option<(Arc<File>, u64)>>,
}

impl Nested {
    /// A store that keeps at most `memory` bytes in memory.
    pub(super) fn new(memory: u64) -> Self {
        Self { memory_left: Mutex::new(memory), spool: Mutex::new(None) }
    }

    /// Keeps what `decode` writes, `size` bytes.
    pub(super) fn keep(
        &self,
        size: u64,
        decode: impl FnOnce(&mut dyn Write) -> Result<(), Reason>,
    ) -> Result<Source, Reason> {
        if self.reserve(size) {
            let mut bytes = Vec::new();
            decode(&mut bytes)?;
            return Ok(Source::memory(bytes));
        }
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if spool.is_none() {
            *spool = Some((Arc::new(tempfile::tempfile().map_err(|e| Reason::Temporary(e.kind()))?), 0));
        }
        let Some((file, len)) = spool.as_mut() else { return Err(io::Error::other("no temporary file").into()) };
        let mut out = io::BufWriter::with_capacity(1 << 20, WriteAt { file, position: *len });
        decode(&mut out)?;
        out.flush()?;
        let end = out.get_ref().position;
        let source = Source::unnamed(file.clone(), *len, end - *len);
        *len = end;
        Ok(source)
    }

    fn reserve(&self, size: u64) -> bool {
        let mut left = self.memory_left.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = size <= *left;
        if fits {
            *left -= size;
        }
        fits
    }
}

/// Writes to a file at a position of its own, so that readers of the same file do not disturb it.
struct WriteAt<'a> {
    file: &'a File,
    position: u64,
}

impl Write for WriteAt<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::write_at(self.file, bytes, self.position)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_write(self.file, bytes, self.position)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_into_memory_goes_to_the_file() {
        let nested = Nested::new(10);
        let keep = |bytes: &[u8]| nested.keep(bytes.len() as u64, |out| Ok(out.write_all(bytes)?)).unwrap();
        let sources = [keep(b"12345678"), keep(b"abc"), keep(b"90"), keep(b""), keep(b"defgh")];
        let read: Vec<Vec<u8>> = sources.iter().map(|s| s.head(100).unwrap()).collect();
        assert_eq!(read, [&b"12345678"[..], b"abc", b"90", b"", b"defgh"]);
        assert_eq!(nested.spool.lock().unwrap().as_ref().unwrap().1, 8);
    }

    #[test]
    fn a_failed_decode_leaves_no_trace() {
        let nested = Nested::new(0);
        let failed = nested.keep(5, |out| {
            out.write_all(b"12345")?;
            Err(Reason::Encrypted)
        });
        assert!(failed.is_err());
        let kept = nested.keep(3, |out| Ok(out.write_all(b"abc")?)).unwrap();
        assert_eq!(kept.head(10).unwrap(), b"abc");
    }
}
