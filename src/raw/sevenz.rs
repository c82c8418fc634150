//! 7z archives, decoded block by block.
//!
//! Format: `7zFormat.txt` of the LZMA SDK; read by the `sevenz-rust2` crate: LZMA, LZMA2, bzip2, Deflate, Zstandard and
//! the branch filters. A block is a run of entries compressed as one stream; 7-Zip puts up to 4 GiB, or everything,
//! into one ("solid"). To read an entry, all before it in its block must be decoded, so the decoders stay open where
//! they stopped. Each takes the memory of its dictionary, which is some MiB as a rule and at most 1 GiB.
//!
//! The crate hands entries to a callback and does not expose its decoder. Each decoder therefore runs in its own
//! thread, which waits in the callback until the next entry is requested and ends when its decoder is dropped.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sevenz_rust2::{Archive, BlockDecoder, EncoderMethod, Error, Password};

use super::Reason;
use super::archive::{ArchiveKind, Entry, Opened, Shared};
use super::cursors::{Cursor, Cursors, Sequential};
use super::source::Source;

/// Bytes that a decoder hands over at a time.
const PIECE: usize = 256 << 10;

pub(super) static KIND: ArchiveKind = ArchiveKind {
    name: "7z",
    extensions: &["7z"],
    signature: |head| head.starts_with(b"7z\xBC\xAF\x27\x1C"),
    open,
    open_unsigned: |_, _, _| None,
};

/// Opens a 7z by its directory.
fn open(source: &Source, shared: &Shared) -> Result<Opened, Reason> {
    let memory_kib = usize::try_from(shared.options.window() / 1024).unwrap_or(usize::MAX);
    let archive = Archive::read_with_memory_limit(&mut source.reader(), &Password::empty(), memory_kib)
        .map_err(|error| cannot_open(source, error))?;
    let mut entries = Vec::new();
    for (number, file) in archive.files.iter().enumerate() {
        if file.is_directory || file.is_anti_item {
            continue;
        }
        // 7-Zip for Unix keeps the file's mode in the upper half of the attributes, and says so by this bit.
        let mode = (file.windows_attributes & 0x8000 != 0).then_some(file.windows_attributes >> 16);
        let refused = if archive.is_file_encrypted(number) {
            Some(Reason::Encrypted)
        } else if mode.is_some_and(|mode| mode & 0o170_000 == 0o120_000) {
            let feature = "a symbolic link in an archive; unpack the archive and use the folder";
            Some(Reason::Unsupported(feature.into()))
        } else {
            unread_method(&archive, number).map(unsupported)
        };
        let size = if file.has_stream { file.size } else { 0 };
        entries.push(Entry { name: file.name.clone(), number, size, refused });
    }
    let blocks = Blocks { source: source.clone(), archive: Arc::new(archive), memory_kib };
    Ok(Opened {
        archive: Box::new(Cursors::new(blocks, shared.options.cursors, shared.kept.clone())),
        entries,
        backslash: true,
        damage: None,
        hides_repeated: false,
    })
}

/// Name of the first compression method of an entry's block that is not read here.
fn unread_method(archive: &Archive, entry: usize) -> Option<&'static str> {
    let block = archive.blocks.get(archive.stream_map.file_block_index.get(entry).copied().flatten()?)?;
    block.coders.iter().find_map(|coder| match coder.encoder_method_id() {
        EncoderMethod::ID_PPMD => Some("PPMd"),
        EncoderMethod::ID_DEFLATE64 => Some("Deflate64"),
        EncoderMethod::ID_BROTLI => Some("Brotli"),
        EncoderMethod::ID_LZ4 => Some("LZ4"),
        EncoderMethod::ID_LZS => Some("LZS"),
        EncoderMethod::ID_LIZARD => Some("Lizard"),
        _ => None,
    })
}

fn unsupported(method: &str) -> Reason {
    Reason::Unsupported(format!("7z compression method {method}; unpack the archive with 7-Zip and use the folder"))
}

fn cannot_open(source: &Source, error: Error) -> Reason {
    match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => Reason::Encrypted,
        Error::UnsupportedCompressionMethod(method) if method.starts_with("AES") => Reason::Encrypted,
        Error::UnsupportedCompressionMethod(method) => unsupported(&method),
        Error::Io(error, _) if error.kind() != io::ErrorKind::UnexpectedEof => Reason::Io(error),
        error => {
            let len = source.len();
            Reason::Cut(format!(
                "the 7z directory at the end of the {len} bytes cannot be read ({error}); download it again"
            ))
        }
    }
}

fn reason(error: Error) -> Reason {
    match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => Reason::Encrypted,
        Error::Io(error, _) => Reason::Io(error),
        Error::UnsupportedCompressionMethod(method) => unsupported(&method),
        Error::MaxMemLimited { max_kb, actaul_kb } => {
            Reason::Unsupported(format!("a dictionary of {actaul_kb} KiB, the limit is {max_kb}; unpack the archive"))
        }
        error => Reason::Damaged(error.to_string()),
    }
}

struct Blocks {
    source: Source,
    archive: Arc<Archive>,
    /// Most KiB that the window of a decoder may take.
    memory_kib: usize,
}

impl Blocks {
    fn block(&self, entry: usize) -> Option<usize> {
        self.archive.stream_map.file_block_index.get(entry).copied().flatten()
    }
}

impl Sequential for Blocks {
    type Cursor = Decoder;

    fn len(&self) -> usize {
        self.archive.files.len()
    }

    fn size(&self, entry: usize) -> u64 {
        self.archive.files[entry].size
    }

    fn start(&self, entry: usize) -> usize {
        let first = self.block(entry).and_then(|block| self.archive.stream_map.block_first_file_index.get(block));
        first.map_or(entry, |&first| first.min(entry))
    }

    fn open(&self, start: usize) -> Result<Decoder, Reason> {
        match self.block(start) {
            Some(block) => Decoder::spawn(self.archive.clone(), self.source.clone(), block, self.memory_kib),
            None => Ok(Decoder::Empty),
        }
    }
}

/// A decoder of one block.
enum Decoder {
    /// Of an entry without data, which is in no block.
    Empty,
    Thread {
        /// Whether the bytes of the next entry are wanted.
        asks: SyncSender<bool>,
        /// The bytes of an entry in pieces, and nothing behind the last one.
        answers: Receiver<Result<Option<Vec<u8>>, Reason>>,
    },
}

impl Decoder {
    fn spawn(archive: Arc<Archive>, source: Source, block: usize, memory_kib: usize) -> Result<Self, Reason> {
        let (asks, asked) = sync_channel::<bool>(1);
        let (answer, answers) = sync_channel(1);
        let decode = move || {
            let mut reader = source.reader();
            let password = Password::empty();
            let decoder = BlockDecoder::new_with_memory_limit(1, memory_kib, block, &archive, &password, &mut reader);
            let decoded = decoder.for_each_entries(&mut |_, entry| {
                let Ok(wanted) = asked.recv() else { return Ok(false) };
                if !wanted {
                    io::copy(entry, &mut io::sink())?;
                }
                // An entry may be larger than the memory: it is handed over piece by piece.
                loop {
                    let mut piece = Vec::new();
                    (&mut *entry).take(PIECE as u64).read_to_end(&mut piece)?;
                    let last = piece.is_empty();
                    if answer.send(Ok((!last).then_some(piece))).is_err() {
                        return Ok(false);
                    }
                    if last {
                        return Ok(true);
                    }
                }
            });
            if let Err(error) = decoded {
                // Nobody listens if the decoder was dropped, and then nobody misses it.
                let _ = answer.send(Err(reason(error)));
            }
        };
        std::thread::Builder::new().name("7z".into()).spawn(decode)?;
        Ok(Self::Thread { asks, answers })
    }
}

impl Cursor for Decoder {
    fn advance(&mut self, out: Option<&mut dyn Write>) -> Result<(), Reason> {
        let Self::Thread { asks, answers } = self else { return Ok(()) };
        // The thread has ended after an error, which is then the answer.
        let _ = asks.send(out.is_some());
        let ended = || Reason::Damaged("its block has fewer entries than the archive's directory states".into());
        let mut out = out;
        while let Some(piece) = answers.recv().map_err(|_| ended())?? {
            if let Some(out) = &mut out {
                out.write_all(&piece)?;
            }
        }
        Ok(())
    }
}
