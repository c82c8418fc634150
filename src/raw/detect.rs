//! Tells archives from other files, by name and by first bytes, and the parts of split archives by name.
//!
//! A name makes a file a candidate, its first bytes decide: in the wild, a `.zip` is an HTML page that asks to log in, a
//! `.tar.gz` was unpacked to a plain tar on its way, a `.zip` is a RAR, or wget kept a `?download=1` at the end. First
//! bytes alone make no archive: `.npz`, `.docx` and `.xlsx` files are zips as well, and are members as they are.

use super::codec::Codec;
use super::{Fault, Looks};

/// What a file's name says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// An archive of the named kind.
    Archive(&'static str),
    /// One compressed file, which may be a tar.
    Compressed,
    /// Nothing.
    None,
}

/// Extensions of archives, and how the kind is called in messages. Longer extensions stand before their own tails.
const ARCHIVES: [(&str, &str); 16] = [
    (".tar.gz", "tar.gz"),
    (".tar.bz2", "tar.bz2"),
    (".tar.xz", "tar.xz"),
    (".tar.lzma", "tar.lzma"),
    (".tar.zst", "tar.zst"),
    (".tar.zstd", "tar.zst"),
    (".tgz", "tar.gz"),
    (".tbz", "tar.bz2"),
    (".tbz2", "tar.bz2"),
    (".txz", "tar.xz"),
    (".tlz", "tar.lzma"),
    (".tzst", "tar.zst"),
    (".tar", "tar"),
    (".zip", "zip"),
    (".7z", "7z"),
    (".rar", "RAR"),
];

/// Extensions of single compressed files.
const COMPRESSED: [&str; 5] = [".gz", ".bz2", ".xz", ".zst", ".lzma"];

/// Extensions under [`COMPRESSED`] that say that the content is no tar, so that it need not be looked at.
const DATA: [&str; 24] = [
    ".nii", ".img", ".hdr", ".mgh", ".mnc", ".nrrd", ".nhdr", ".mha", ".mhd", ".raw", ".dcm", ".ppm", ".pgm", ".pbm",
    ".pnm", ".tif", ".tiff", ".png", ".csv", ".tsv", ".txt", ".json", ".xml", ".npy",
];

/// What the name of a file says.
pub(super) fn by_name(name: &str) -> Hint {
    let name = name.split('?').next().unwrap_or(name).to_ascii_lowercase();
    if let Some((_, kind)) = ARCHIVES.iter().find(|(extension, _)| name.ends_with(extension)) {
        return Hint::Archive(kind);
    }
    let Some(inner) = COMPRESSED.iter().find_map(|extension| name.strip_suffix(extension)) else { return Hint::None };
    if DATA.iter().any(|extension| inner.ends_with(extension)) { Hint::None } else { Hint::Compressed }
}

/// What first bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Zip,
    Tar,
    SevenZ,
    Rar,
    Compressed(Codec),
    Other,
}

/// Number of first bytes that [`by_content`] and [`describe`] look at.
pub(crate) const HEAD_BYTES: usize = 512;

/// What `head`, the first [`HEAD_BYTES`] of a file, is the beginning of.
pub(super) fn by_content(head: &[u8]) -> Content {
    // `.lzma` has no magic: its first byte and dictionary size are what every encoder writes.
    const MAGIC: [(&[u8], Content); 9] = [
        (b"PK\x03\x04", Content::Zip),
        (b"PK\x05\x06", Content::Zip),
        (b"7z\xBC\xAF\x27\x1C", Content::SevenZ),
        (b"Rar!\x1A\x07", Content::Rar),
        (b"\x1F\x8B", Content::Compressed(Codec::Gzip)),
        (b"BZh", Content::Compressed(Codec::Bzip2)),
        (b"\xFD7zXZ\0", Content::Compressed(Codec::Xz)),
        (b"\x28\xB5\x2F\xFD", Content::Compressed(Codec::Zstd)),
        (b"\x5D\0\0", Content::Compressed(Codec::Xz)),
    ];
    match MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some(&(_, content)) => content,
        None if begins_tar(head) => Content::Tar,
        None => Content::Other,
    }
}

/// Whether the first 512 bytes are a tar header whose checksum is right. Headers of before POSIX have no other mark.
pub(super) fn begins_tar(head: &[u8]) -> bool {
    let Some(block) = head.get(..512) else { return false };
    if is_zeros(block) {
        return false;
    }
    let unchecked: u32 = block[148..156].iter().map(|&b| u32::from(b)).sum();
    let sum = block.iter().map(|&b| u32::from(b)).sum::<u32>() - unchecked + 8 * u32::from(b' ');
    tar::Header::from_byte_slice(block).cksum().is_ok_and(|stored| stored == sum)
}

/// Whether there is nothing but zeros: the beginning of a tar without entries, or of a download that only its length was
/// written of.
pub(super) fn is_zeros(head: &[u8]) -> bool {
    head.iter().all(|&byte| byte == 0)
}

/// What bytes that are no archive seem to be, and what to do about it.
pub(crate) fn describe(head: &[u8]) -> Looks {
    const AGAIN: &str = ": the download did not reach the file, download it again";
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let starts = |marks: &[&str]| marks.iter().any(|m| text.starts_with(m));
    let looks = |fault, what: &str, advice| Looks { fault, what: what.into(), advice };
    if head.is_empty() {
        looks(Fault::Empty, "an empty file", AGAIN)
    } else if is_zeros(head) {
        let advice = ": the download was not finished, download it again";
        looks(Fault::Zeros, "a file that starts with zeros", advice)
    } else if starts(&["<!doctype html", "<html", "<head", "<body"]) || text.contains("<html") {
        looks(Fault::HtmlPage, "an HTML page", AGAIN)
    } else if let Some(pointer) = stand_in(head) {
        pointer
    } else if starts(&["<?xml", "{"]) {
        looks(Fault::ServerAnswer, "a server's answer in XML or JSON", AGAIN)
    } else if head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        looks(Fault::OtherContent, "plain text", AGAIN)
    } else {
        let first: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let what = format!("unknown data that start with {}", first.join(" "));
        looks(Fault::OtherContent, &what, ": the download may be damaged, download it again")
    }
}

/// What bytes are that only stand for the content of a file which was not fetched; `None` where they do not.
pub(crate) fn stand_in(head: &[u8]) -> Option<Looks> {
    let text = String::from_utf8_lossy(&head[..head.len().min(HEAD_BYTES)]);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("version https://git-lfs") {
        let advice = ": fetch the file that it stands for by `git lfs pull`";
        return Some(Looks { fault: Fault::LfsPointer, what: "a Git LFS pointer".into(), advice });
    }
    // What git-annex leaves in an unlocked file, and in place of a link where the file system has none.
    let annex = text.lines().next().is_some_and(|line| line.trim_start_matches("../").contains("annex/objects/"));
    (annex && head.iter().take(HEAD_BYTES).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())).then(annex_pointer)
}

/// What a file or link of git-annex is whose content is not there.
pub(super) fn annex_pointer() -> Looks {
    let advice = ": fetch the file that it stands for by `git annex get` or `datalad get`";
    Looks { fault: Fault::AnnexPointer, what: "a git-annex pointer".into(), advice }
}

/// The archive that a path of a member leads through, by the names of its components, and the rest of the path: of
/// archives inside archives the innermost one. `None` where no folder of the path is named like an archive.
pub fn archive_of(path: &str) -> Option<(&str, &str)> {
    let slashes = path.char_indices().filter(|&(_, c)| c == '/').map(|(at, _)| at);
    let is_archive = |&at: &usize| {
        let name = path[..at].rsplit('/').next().unwrap_or_default();
        matches!(by_name(name), Hint::Archive(_))
    };
    slashes.rev().find(is_archive).map(|at| (&path[..at], &path[at + 1..]))
}

/// A file that is one of the parts of a split archive, by its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part<'a> {
    /// Name of the archive that the joined parts are.
    pub whole: &'a str,
    /// How parts are counted: the length of the suffix, and whether it is of letters.
    pub scheme: (usize, bool),
    /// Place among the parts: `aa` is 0, `001` is 1.
    pub number: u64,
}

/// Takes `x.tar.gz.ab` or `x.zip.002` apart; `None` for other names.
pub(super) fn split_part(name: &str) -> Option<Part<'_>> {
    let (whole, suffix) = name.rsplit_once('.')?;
    if !matches!(by_name(whole), Hint::Archive(_)) || whole.contains('?') {
        return None;
    }
    let letters = suffix.bytes().all(|b| b.is_ascii_lowercase());
    let digits = suffix.bytes().all(|b| b.is_ascii_digit());
    if !(2..=4).contains(&suffix.len()) || !(letters || digits) || matches!(by_name(name), Hint::Archive(_)) {
        return None;
    }
    let number = match letters {
        true => suffix.bytes().fold(0, |n, b| n * 26 + u64::from(b - b'a')),
        false => suffix.parse().ok()?,
    };
    Some(Part { whole, scheme: (suffix.len(), letters), number })
}

/// The `.zip` that a disc `x.z01` of a multi-part zip belongs to.
pub(super) fn zip_disc(name: &str) -> Option<String> {
    let (stem, extension) = name.rsplit_once('.')?;
    let digits = extension.strip_prefix(['z', 'Z'])?;
    (digits.len() >= 2 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| format!("{stem}.zip"))
}

/// The first volume of the RAR of which the name is a later one: `x.part02.rar` → `x.part01.rar`, `x.r00` → `x.rar`.
pub(super) fn rar_volume(name: &str) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_archives_from_members() {
        for name in ["a.zip", "A.ZIP", "a.zip?download=1", "a.tar", "a.tar.gz", "a.tgz", "a.tar.zst", "a.7z", "a.rar"] {
            assert!(matches!(by_name(name), Hint::Archive(_)), "{name}");
        }
        for name in ["a.gz", "v1.0.gz", "IXI-T1.bz2"] {
            assert_eq!(by_name(name), Hint::Compressed, "{name}");
        }
        for name in ["a.nii.gz", "im0001.ppm.gz", "a.npz", "a.docx", "zip", "a.tar.png", "IM-0001"] {
            assert_eq!(by_name(name), Hint::None, "{name}");
        }
    }

    #[test]
    fn parts_are_counted() {
        let part = split_part("ge-1-5t.tar.gz.ab").unwrap();
        assert_eq!((part.whole, part.number), ("ge-1-5t.tar.gz", 1));
        assert_eq!(split_part("x.zip.001").unwrap().number, 1);
        assert_eq!(split_part("x.7z.00").unwrap().number, 0);
        for name in ["x.nii.aa", "x.zip.txt1", "x.zip.a", "x.tar.gz", "x.zip.7z"] {
            assert_eq!(split_part(name), None, "{name}");
        }
        assert_eq!(zip_disc("x.z01").as_deref(), Some("x.zip"));
        assert_eq!(zip_disc("x.zip"), None);
        assert_eq!(rar_volume("x.part002.rar").as_deref(), Some("x.part001.rar"));
        assert_eq!(rar_volume("x.part1.rar"), None);
        assert_eq!(rar_volume("x.r00").as_deref(), Some("x.rar"));
        assert_eq!(rar_volume("x.raw"), None);
    }

    #[test]
    fn first_bytes_are_described() {
        let cases: [(&[u8], Fault, &str); 7] = [
            (b"", Fault::Empty, "an empty file"),
            (b"\xEF\xBB\xBF\n <!DOCTYPE HTML><html>", Fault::HtmlPage, "an HTML page"),
            (b"version https://git-lfs.github.com/spec/v1", Fault::LfsPointer, "a Git LFS pointer"),
            (b"{\"error\": 403}", Fault::ServerAnswer, "a server's answer in XML or JSON"),
            (b"not found", Fault::OtherContent, "plain text"),
            (&[0; 600], Fault::Zeros, "a file that starts with zeros"),
            (&[0x89, 1], Fault::OtherContent, "unknown data that start with 89 01"),
        ];
        for (head, fault, what) in cases {
            let looks = describe(head);
            assert_eq!((looks.fault, looks.what.as_str()), (fault, what));
        }
    }

    #[test]
    fn paths_are_cut_behind_their_archive() {
        assert_eq!(archive_of("a/ACDC.zip/b/c.nii.gz"), Some(("a/ACDC.zip", "b/c.nii.gz")));
        assert_eq!(archive_of("a.zip/b.tar.gz/c.png"), Some(("a.zip/b.tar.gz", "c.png")));
        assert_eq!(archive_of("a/b.zip"), None, "the archive itself");
        assert_eq!(archive_of("a/b.nii.gz"), None);
    }

    #[test]
    fn tar_headers_are_known_by_their_checksum() {
        let mut header = tar::Header::new_old();
        header.set_path("a").unwrap();
        header.set_size(0);
        header.set_cksum();
        assert_eq!(by_content(header.as_bytes()), Content::Tar);
        header.as_mut_bytes()[0] ^= 1;
        assert_eq!(by_content(header.as_bytes()), Content::Other);
        assert_eq!(by_content(&[0; 100]), Content::Other);
        assert_eq!(by_content(&[0; 512]), Content::Other);
    }
}
