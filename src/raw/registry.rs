//! The list of all kinds of archives; detection by name and first bytes, and opening.
//!
//! The name makes a file a candidate, its first bytes decide: in the wild, a `.zip` is an HTML login page, a `.tar.gz`
//! was unpacked to a plain tar on its way, a `.zip` is a RAR, or wget kept a `?download=1` at the end. First bytes
//! alone do not suffice: `.npz`, `.docx` and `.xlsx` files are zips too, but are ordinary members.

use std::io::{self, Read};

use super::archive::{Allowed, ArchiveKind, Opened, Shared};
use super::codec::{CODECS, Codec};
use super::source::Source;
use super::{Fault, Looks, Reason, is_of_the_system, rar, sevenz, tar, zip};
use crate::fault::{HEAD_BYTES, describe, is_zeros};
use crate::formats;

/// The kinds of archives, in the order in which their signatures are checked. A compressed tar combines the kind tar
/// with a compression of [`CODECS`].
static ARCHIVES: &[&ArchiveKind] = &[&zip::KIND, &sevenz::KIND, &rar::KIND, &tar::KIND];

/// What a file's name says about its content.
#[derive(Clone, Copy)]
pub(super) enum Hint {
    /// An archive.
    Archive(Expected),
    /// One compressed file, which may be a tar.
    Compressed,
    /// Nothing.
    None,
}

/// The archive that a name promises.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    kind: &'static ArchiveKind,
    /// How messages call it: of compressed tars `tar.gz` and the like.
    name: &'static str,
}

impl Hint {
    /// Whether the name promises an archive.
    pub(super) fn is_archive(self) -> bool {
        matches!(self, Hint::Archive(_))
    }
}

/// What the name of a file says.
pub(super) fn by_name(name: &str) -> Hint {
    let name = name.split('?').next().unwrap_or(name).to_ascii_lowercase();
    let stem = |extension: &str| name.strip_suffix(extension)?.strip_suffix('.');
    let ends = |extensions: &[&str]| extensions.iter().any(|extension| stem(extension).is_some());
    let tars = CODECS.iter().flat_map(|codec| codec.tars);
    let tars = tars.map(|&(name, extensions)| (Expected { kind: &tar::KIND, name }, extensions));
    let kinds = ARCHIVES.iter().map(|kind| (Expected { kind, name: kind.name }, kind.extensions));
    if let Some((expected, _)) = tars.chain(kinds).find(|(_, extensions)| ends(extensions)) {
        return Hint::Archive(expected);
    }
    let Some(inner) = CODECS.iter().flat_map(|codec| codec.extensions).find_map(|extension| stem(extension)) else {
        return Hint::None;
    };
    // What is known to be something else need not be looked at.
    let known = inner.rsplit_once('.').is_some_and(|(_, extension)| formats::is_known(extension));
    if known { Hint::None } else { Hint::Compressed }
}

/// A name without the extension of an archive or a compression; `None` where it has none, or nothing else.
pub(crate) fn without_ending(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())?;
    let extension = extension.to_ascii_lowercase();
    let mut tars = CODECS.iter().flat_map(|codec| codec.tars).flat_map(|(_, extensions)| *extensions);
    let known = is_compression(&extension)
        || ARCHIVES.iter().any(|kind| kind.extensions.contains(&extension.as_str()))
        || tars.any(|tar| *tar == extension);
    known.then_some(stem)
}

/// Whether an extension, in lower case, is that of single compressed files.
pub(crate) fn is_compression(extension: &str) -> bool {
    CODECS.iter().any(|codec| codec.extensions.contains(&extension))
}

/// Whether first bytes are the magic number of a compression.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    compression(head).is_some()
}

fn compression(head: &[u8]) -> Option<&'static Codec> {
    let begins = |codec: &&Codec| codec.signatures.iter().any(|signature| head.starts_with(signature));
    CODECS.iter().copied().find(begins)
}

/// The archive that a path of a member leads through, by the names of its components, and the rest of the path: of
/// archives inside archives the innermost one. `None` where no folder of the path is named like an archive.
pub fn archive_of(path: &str) -> Option<(&str, &str)> {
    let slashes = path.char_indices().filter(|&(_, c)| c == '/').map(|(at, _)| at);
    let is_archive = |&at: &usize| by_name(path[..at].rsplit('/').next().unwrap_or_default()).is_archive();
    slashes.rev().find(is_archive).map(|at| (&path[..at], &path[at + 1..]))
}

/// Opens the archive in `source`, of which the name says `hint`. `None` where it is no archive and need not be one: a
/// member as it is.
/// Compressed tars are decoded up to `allowed` bytes.
pub(super) fn open(source: &Source, hint: Hint, shared: &Shared, allowed: Allowed) -> Result<Option<Opened>, Reason> {
    let head = source.head(HEAD_BYTES)?;
    let codec = compression(&head);
    let expected = match hint {
        Hint::Archive(expected) => Some(expected),
        Hint::Compressed if codec.is_none() => return Ok(None),
        Hint::Compressed | Hint::None => None,
    };
    if let Some(kind) = ARCHIVES.iter().find(|kind| (kind.signature)(&head)) {
        return (kind.open)(source, shared).map(Some);
    }
    match (codec, expected) {
        (Some(codec), _) => open_compressed(source, codec, expected, shared, allowed),
        (None, None) => Ok(None),
        (None, Some(Expected { kind, name })) => {
            let opened = if name == kind.name { (kind.open_unsigned)(source, &head, shared) } else { None };
            let wrong = || Reason::NotAnArchive { expected: name, found: describe(&head) };
            opened.map(Some).ok_or_else(wrong)
        }
    }
}

/// Opens compressed data where a tar is in them, or should be.
fn open_compressed(
    source: &Source,
    codec: &'static Codec,
    expected: Option<Expected>,
    shared: &Shared,
    allowed: Allowed,
) -> Result<Option<Opened>, Reason> {
    let head = match decoded_head(source, codec, shared.options.window()) {
        Err(error) if is_of_the_system(&error) => return Err(Reason::Io(error)),
        head => head,
    };
    let Some(Expected { kind, name }) = expected else {
        return match head {
            Ok(head) if (tar::KIND.signature)(&head) => tar::open_compressed(source, codec, shared, allowed).map(Some),
            _ => Ok(None),
        };
    };
    let is_tar = |head: &[u8]| (tar::KIND.signature)(head) || kind.name == tar::KIND.name && is_zeros(head);
    match head {
        Ok(head) if is_tar(&head) => tar::open_compressed(source, codec, shared, allowed).map(Some),
        Ok(_) => {
            let what = format!("{} data without a tar archive", codec.name);
            let found = Looks { fault: Fault::OtherContent, what, advice: "" };
            Err(Reason::NotAnArchive { expected: name, found })
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Reason::Cut(format!("{} data: {error}; download it again", codec.name)))
        }
        Err(error) => Err(Reason::Damaged(format!("{} data: {error}; download it again", codec.name))),
    }
}

fn decoded_head(source: &Source, codec: &Codec, window: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    codec.decode(source.reader(), window)?.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_archives_from_members() {
        for name in ["a.zip", "A.ZIP", "a.zip?download=1", "a.tar", "a.tar.gz", "a.tgz", "a.tar.zst", "a.7z", "a.rar"] {
            assert!(by_name(name).is_archive(), "{name}");
        }
        for name in ["a.gz", "v1.0.gz", "IXI-T1.bz2"] {
            assert!(matches!(by_name(name), Hint::Compressed), "{name}");
        }
        for name in ["a.nii.gz", "im0001.ppm.gz", "a.npz", "a.docx", "zip", "a.tar.png", "IM-0001"] {
            assert!(matches!(by_name(name), Hint::None), "{name}");
        }
    }

    #[test]
    fn paths_are_cut_behind_their_archive() {
        assert_eq!(archive_of("a/ACDC.zip/b/c.nii.gz"), Some(("a/ACDC.zip", "b/c.nii.gz")));
        assert_eq!(archive_of("a.zip/b.tar.gz/c.png"), Some(("a.zip/b.tar.gz", "c.png")));
        assert_eq!(archive_of("a/b.zip"), None, "the archive itself");
        assert_eq!(archive_of("a/b.nii.gz"), None);
    }
}
