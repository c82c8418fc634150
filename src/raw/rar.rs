//! RAR archives, with the cargo feature `rar` only.
//!
//! The format is proprietary, and so is the only decoder, C++ source under a non-free licence; the `unrar` crate wraps
//! it. It reads files by their path, so a RAR inside another archive is written to a temporary file. Solid RARs are
//! decoded forward, others skip to the next entry. Of several volumes (`x.part1.rar`, `x.part2.rar`, or `x.rar`,
//! `x.r00`) the first is opened, and the decoder finds the others next to it.

use super::Reason;
use super::archive::{ArchiveKind, Opened, Shared};
use super::source::Source;

pub(super) static KIND: ArchiveKind = ArchiveKind {
    name: "RAR",
    extensions: &["rar"],
    signature: |head| head.starts_with(b"Rar!\x1A\x07"),
    open,
    open_unsigned: |_, _| None,
};

/// The first volume of the RAR of which the name is a later one: `x.part02.rar` → `x.part01.rar`, `x.r00` → `x.rar`.
pub(super) fn first_volume(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    if extension == "rar" {
        let (base, part) = stem.rsplit_once(".part")?;
        let number: u64 = part.parse().ok()?;
        return (number > 1).then(|| format!("{base}.part{:0width$}.rar", 1, width = part.len()));
    }
    let digits = extension.strip_prefix('r')?;
    (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| format!("{stem}.rar"))
}

/// Says how to go on without a decoder.
#[cfg(not(feature = "rar"))]
fn open(_source: &Source, _shared: &Shared) -> Result<Opened, Reason> {
    let feature = "a RAR archive, which this build cannot read; unpack it with 7-Zip or unrar and use the folder, or \
        build medcosmos with `--features rar`";
    Err(Reason::Unsupported(feature.into()))
}

#[cfg(feature = "rar")]
use with_decoder::open;

#[cfg(feature = "rar")]
mod with_decoder {
    use std::io::Write;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::{Path, PathBuf};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use unrar::error::{Code, UnrarError};

    use super::super::archive::{Entry, copy};
    use super::super::cursors::{Cursor, Cursors, Sequential};
    use super::{Opened, Reason, Shared, Source};

    /// Opens a RAR by reading all its headers.
    pub(super) fn open(source: &Source, shared: &Shared) -> Result<Opened, Reason> {
        let (path, temporary) = match source.whole_file() {
            Some(path) => (path.to_owned(), None),
            None => {
                let mut file = tempfile::Builder::new().suffix(".rar").tempfile()?;
                copy(&mut source.reader(), &mut file)?;
                let path = file.into_temp_path();
                (path.to_path_buf(), Some(path))
            }
        };
        let (headers, damage) = list(&path)?;
        let mut entries = Vec::new();
        let mut sizes = Vec::new();
        for (number, header) in headers.into_iter().enumerate() {
            sizes.push(header.size);
            if !header.is_folder {
                let refused = header.is_encrypted.then_some(Reason::Encrypted);
                entries.push(Entry { name: header.name, number, size: header.size, refused });
            }
        }
        let volumes = Volumes { path, sizes, _temporary: temporary };
        Ok(Opened {
            archive: Box::new(Cursors::new(volumes, shared.options.cursors, shared.kept.clone())),
            entries,
            backslash: true,
            damage,
            hides_repeated: false,
        })
    }

    struct Header {
        name: String,
        size: u64,
        is_folder: bool,
        is_encrypted: bool,
    }

    /// All headers that can be read, and what ended them too early.
    fn list(path: &Path) -> Result<(Vec<Header>, Option<Reason>), Reason> {
        guarded(|| {
            let mut headers = Vec::new();
            for header in unrar::Archive::new(path).open_for_listing().map_err(reason)? {
                match header {
                    Ok(header) => headers.push(Header {
                        name: super::super::names::shown_os(header.filename.as_os_str()),
                        size: header.unpacked_size,
                        is_folder: header.is_directory(),
                        is_encrypted: header.is_encrypted(),
                    }),
                    Err(error) => return Ok((headers, Some(reason(error)))),
                }
            }
            Ok((headers, None))
        })
    }

    /// Runs the decoder. Its wrapper panics at flags that it does not know.
    fn guarded<T>(run: impl FnOnce() -> Result<T, Reason>) -> Result<T, Reason> {
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
            Err(Reason::Damaged(
                "the RAR headers contain an unknown flag; unpack the archive and use the folder".into(),
            ))
        })
    }

    fn reason(error: UnrarError) -> Reason {
        match error.code {
            Code::MissingPassword | Code::BadPassword => Reason::Encrypted,
            Code::EOpen => Reason::Damaged("a volume of the RAR archive is missing or cannot be opened".into()),
            Code::EReference => {
                Reason::Unsupported("a RAR entry that refers to another entry; unpack the archive".into())
            }
            _ => Reason::Damaged(format!("{error}; download it again")),
        }
    }

    struct Volumes {
        path: PathBuf,
        sizes: Vec<u64>,
        /// Removes the file when the archive is closed.
        _temporary: Option<tempfile::TempPath>,
    }

    impl Sequential for Volumes {
        type Cursor = Decoder;

        fn len(&self) -> usize {
            self.sizes.len()
        }

        fn size(&self, entry: usize) -> u64 {
            self.sizes[entry]
        }

        fn start(&self, _entry: usize) -> usize {
            0
        }

        fn open(&self, _start: usize) -> Result<Decoder, Reason> {
            Decoder::spawn(self.path.clone())
        }
    }

    /// An open RAR. The handle of the decoder must stay in one thread, so that it gets one of its own.
    struct Decoder {
        /// Whether the bytes of the next entry are wanted.
        asks: SyncSender<bool>,
        answers: Receiver<Result<Vec<u8>, Reason>>,
    }

    impl Decoder {
        fn spawn(path: PathBuf) -> Result<Self, Reason> {
            let (asks, asked) = sync_channel::<bool>(1);
            let (answer, answers) = sync_channel(1);
            let decode = move || {
                let decoded = guarded(|| {
                    let mut archive = unrar::Archive::new(&path).open_for_processing().map_err(reason)?;
                    while let Ok(wanted) = asked.recv() {
                        let Some(entry) = archive.read_header().map_err(reason)? else { break };
                        let (bytes, behind) = match wanted {
                            true => entry.read().map_err(reason)?,
                            false => (Vec::new(), entry.skip().map_err(reason)?),
                        };
                        archive = behind;
                        if answer.send(Ok(bytes)).is_err() {
                            break;
                        }
                    }
                    Ok(())
                });
                if let Err(reason) = decoded {
                    // Nobody listens if the decoder was dropped, and then nobody misses it.
                    let _ = answer.send(Err(reason));
                }
            };
            std::thread::Builder::new().name("rar".into()).spawn(decode)?;
            Ok(Self { asks, answers })
        }
    }

    impl Cursor for Decoder {
        fn advance(&mut self, out: Option<&mut dyn Write>) -> Result<(), Reason> {
            // The thread has ended after an error, which is then the answer.
            let _ = self.asks.send(out.is_some());
            let ended = || Reason::Damaged("the archive has fewer entries than when it was indexed".into());
            let bytes = self.answers.recv().map_err(|_| ended())??;
            if let Some(out) = out {
                out.write_all(&bytes)?;
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_volumes_lead_to_the_first() {
        assert_eq!(first_volume("x.part002.rar").as_deref(), Some("x.part001.rar"));
        assert_eq!(first_volume("x.part1.rar"), None);
        assert_eq!(first_volume("x.r00").as_deref(), Some("x.rar"));
        assert_eq!(first_volume("x.raw"), None);
    }
}
