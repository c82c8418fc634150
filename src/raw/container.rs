//! What all kinds of archives have in common: an index of entries, and a way to the bytes of one.

use std::io::{self, Read, Write};
use std::sync::Arc;

use super::codec::Codec;
use super::detect::{self, Content, Hint};
use super::kept::Kept;
use super::nested::Nested;
use super::source::Source;
use super::{Fault, Looks, Options, Reason, rar, sevenz, tar, zip};

/// What the archives of one tree share.
pub(super) struct Shared {
    pub options: Options,
    pub kept: Arc<Kept>,
    pub nested: Nested,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self { kept: Arc::new(Kept::new(options.kept_bytes)), nested: Nested::new(options.nested_bytes), options }
    }
}

/// An opened archive. Entries are known by their number in the archive's index.
pub(super) trait Container: Send + Sync {
    /// Writes the bytes of an entry to `out`; an error of `out` is passed on as it is.
    fn copy(&self, entry: usize, out: &mut dyn Write) -> Result<(), Reason>;

    /// The bytes of an entry that the archive stores as they are.
    fn window(&self, _entry: usize) -> Option<Source> {
        None
    }

    /// Whether entries are cheap to read only one after the other.
    fn is_sequential(&self) -> bool {
        false
    }
}

/// An entry of an archive's index.
pub(super) struct Entry {
    /// Path as the archive writes it.
    pub name: String,
    /// Number by which [`Container::copy`] knows it.
    pub number: usize,
    /// Decoded size in bytes, as declared.
    pub size: u64,
    /// Why it cannot be read, where that is known from the index.
    pub refused: Option<Reason>,
}

/// An archive and its index, folders left out.
pub(super) struct Opened {
    pub container: Box<dyn Container>,
    /// In the order in which the archive keeps them, which is the one to read them in.
    pub entries: Vec<Entry>,
    /// Whether a `\` in names separates folders.
    pub backslash: bool,
    /// What is wrong with the archive as a whole although some of its entries can be read.
    pub damage: Option<Reason>,
    /// Whether the index had names twice of which only the later entries are given here.
    pub hides_repeated: bool,
}

/// Opens the archive in `source`, of which the name says `hint`. `None` where it is no archive and need not be one: a
/// member as it is.
pub(super) fn open(source: &Source, hint: Hint, shared: &Shared) -> Result<Option<Opened>, Reason> {
    let head = source.head(detect::HEAD_BYTES)?;
    let content = detect::by_content(&head);
    let expected = match hint {
        Hint::Archive(kind) => Some(kind),
        Hint::Compressed if !matches!(content, Content::Compressed(_)) => return Ok(None),
        Hint::Compressed | Hint::None => None,
    };
    match content {
        Content::Zip => zip::open(source).map(Some),
        Content::Tar => tar::open(source).map(Some),
        Content::SevenZ => sevenz::open(source, shared).map(Some),
        Content::Rar => rar::open(source, shared).map(Some),
        Content::Compressed(codec) => match (decoded_head(source, codec), expected) {
            (Ok(head), _) if detect::begins_tar(&head) => tar::open_compressed(source, codec, shared).map(Some),
            (_, None) => Ok(None),
            (Ok(head), Some(expected)) if expected.starts_with("tar") && detect::is_zeros(&head) => {
                tar::open_compressed(source, codec, shared).map(Some)
            }
            (Ok(_), Some(expected)) => {
                let what = format!("{} data that hold no tar", codec.name());
                Err(Reason::NotAnArchive { expected, found: Looks { fault: Fault::OtherContent, what, advice: "" } })
            }
            (Err(error), Some(_)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Reason::Cut(format!("{} data: {error}; download it again", codec.name())))
            }
            (Err(error), Some(_)) => Err(Reason::Damaged(format!("{} data: {error}; download it again", codec.name()))),
        },
        Content::Other => match expected {
            None => Ok(None),
            // A tar without entries is one record of zeros.
            Some("tar") if !head.is_empty() && detect::is_zeros(&head) && source.len() <= 20 * 512 => {
                tar::open(source).map(Some)
            }
            // A zip may follow other bytes: programs that unpack themselves.
            Some("zip") if let Ok(opened) = zip::open(source) => Ok(Some(opened)),
            Some(expected) => Err(Reason::NotAnArchive { expected, found: detect::describe(&head) }),
        },
    }
}

fn decoded_head(source: &Source, codec: Codec) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    codec.decode(source.reader())?.take(detect::HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Copies all of `reader` to `out`; the number of bytes.
pub(super) fn pump(reader: &mut dyn Read, out: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        out.write_all(&buffer[..count])?;
        total += count as u64;
    }
}
