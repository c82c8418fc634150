//! Names of archive entries and of files: accepted spellings of a path, refused names, ignored files.
//!
//! Entry names of archives are untrusted. Nothing is extracted, so a hostile name cannot write anywhere; but a path
//! that leaves its archive could collide with a member of another one, and a name with a NUL or a drive letter means
//! different files to different programs. Such entries are refused and reported.
//!
//! In the wild: a leading `./` (every `tar c .`), doubled slashes, backslashes as separators (zip files written by old
//! .NET programs), `__MACOSX/` shadow trees, and names in CP437 or in UTF-8 without the flag that says so.

/// A name of bytes as text: a file's in a folder, or an entry's in an archive, whose components `/` separates.
///
/// Names of UTF-8 stay as they are. In a component that is not UTF-8 each byte that is no part of a character becomes
/// `\xNN`, and each backslash is doubled: `b\xff_img.png`. A component of UTF-8 in which `\xNN` is written out has its
/// backslashes doubled too, so that two names never become the same text, and bytes can be found again.
pub(super) fn shown(name: &[u8]) -> String {
    let components: Vec<String> = name.split(|&b| b == b'/').map(shown_component).collect();
    components.join("/")
}

/// The text of a name of the system: see [`shown`].
pub(super) fn shown_os(name: &std::ffi::OsStr) -> String {
    shown(name.as_encoded_bytes())
}

fn shown_component(name: &[u8]) -> String {
    let is_escape = |w: &[u8]| w.starts_with(b"\\x") && w[2..].iter().all(u8::is_ascii_hexdigit);
    if let Ok(text) = std::str::from_utf8(name)
        && !name.windows(4).any(is_escape)
    {
        return text.to_string();
    }
    let mut out = String::with_capacity(name.len() + 8);
    for chunk in name.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', r"\\"));
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out
}

/// The '/'-separated path that an entry's name stands for, below its archive; `None` where the name is of a folder.
///
/// Leading `./`, inner `/./` and doubled slashes are dropped. `backslash` tells whether `\` separates folders too, as
/// in zip, 7z and RAR.
///
/// # Errors
/// What is wrong with the name: empty, absolute, with a `..`, a drive letter or a NUL.
pub(super) fn normalise(name: &str, backslash: bool) -> Result<Option<String>, &'static str> {
    if name.contains('\0') {
        return Err("its name contains a NUL");
    }
    let name = if backslash { name.replace('\\', "/") } else { name.to_owned() };
    if name.starts_with('/') {
        return Err("its name is an absolute path");
    }
    let mut components = Vec::new();
    for component in name.split('/') {
        match component {
            "" | "." => {}
            ".." => return Err("its name leaves the archive with `..`"),
            _ => components.push(component),
        }
    }
    if name.is_empty() {
        return Err("its name is empty");
    }
    if let Some([letter, b':', ..]) = components.first().map(|c| c.as_bytes())
        && letter.is_ascii_alphabetic()
    {
        return Err("its name starts with a drive letter");
    }
    if components.is_empty() || name.ends_with('/') || name.ends_with("/.") {
        return Ok(None);
    }
    Ok(Some(components.join("/")))
}

/// A folder of this name marks phantom downloads, which never lie among real ones.
pub const PHANTOMS: &str = ".medcosmos-phantoms";

/// Name of the list of checksums in the root of a folder of downloads, and end of that of an archive next to it; it is
/// no part of them.
pub const CHECKSUMS: &str = "checksums.tsv";
/// How the first line of such a list begins.
pub const CHECKSUMS_HEADER: &str = "# medcosmos checksums";

/// Whether a file of this name, in the root of a folder of downloads, may be a list of checksums.
pub(super) fn is_checksums(name: &str) -> bool {
    let stem = name.strip_suffix(CHECKSUMS);
    stem.is_some_and(|stem| (stem.is_empty() || stem.ends_with('.')) && !stem.contains('/'))
}

/// Names that operating systems and tools leave behind, and what left them.
const LEFTOVERS: [(&str, &str); 11] = [
    ("__MACOSX", "resource forks of macOS"),
    (".DS_Store", "folder view of macOS"),
    (".Spotlight-V100", "search index of macOS"),
    (".Trashes", "trash of macOS"),
    (".fseventsd", "file system log of macOS"),
    ("Thumbs.db", "thumbnails of Windows"),
    ("desktop.ini", "folder view of Windows"),
    ("@eaDir", "thumbnails of a Synology NAS"),
    (".ipynb_checkpoints", "checkpoints of Jupyter"),
    (".git", "version control"),
    (PHANTOMS, "mark of phantom downloads"),
];

/// Why a file or folder of this name is no part of a download; `None` where it is one.
pub(super) fn leftover(component: &str) -> Option<&'static str> {
    if component.starts_with("._") {
        return Some("resource fork of macOS");
    }
    LEFTOVERS.iter().find(|(name, _)| component.eq_ignore_ascii_case(name)).map(|&(_, why)| why)
}

/// The part of `path` up to its first component that is a [`leftover`], and why it is one.
pub(super) fn leftover_in(path: &str) -> Option<(&str, &'static str)> {
    let mut start = 0;
    for component in path.split('/') {
        let end = start + component.len();
        if let Some(why) = leftover(component) {
            return Some((&path[..end], why));
        }
        start = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn harmless_names_are_normalised() {
        assert_eq!(normalise("./a//b/./c d,é.png", true), Ok(Some("a/b/c d,é.png".into())));
        assert_eq!(normalise(r"a\b\c.png", true), Ok(Some("a/b/c.png".into())));
        assert_eq!(normalise(r"a\b.png", false), Ok(Some(r"a\b.png".into())));
        assert_eq!(normalise("a..b/...c", true), Ok(Some("a..b/...c".into())));
    }

    #[test]
    fn names_that_are_not_utf8_are_escaped_and_stay_apart() {
        assert_eq!(shown(b"a/b\xff_img.png"), r"a/b\xff_img.png");
        assert_eq!(shown(br"a/b\xff_img.png"), r"a/b\\xff_img.png", "a backslash that is written out");
        assert_eq!(shown(b"a\\b/\xc3\xa9\xc3.png"), "a\\b/é\\xc3.png");
        assert_eq!(shown(br"a\b.png"), r"a\b.png");
    }

    #[test]
    fn folders_are_no_members() {
        for name in ["a/", "a/b/", "./", ".", "a/.", "a\\"] {
            assert_eq!(normalise(name, true), Ok(None), "{name:?}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let hostile =
            ["", "/etc/x", "../x", "a/../../x", "a/..", "C:/x", "c:x", "a\0b", r"\\server\x", r"..\x", r"C:\x"];
        for name in hostile {
            assert!(normalise(name, true).is_err(), "{name:?}");
        }
    }

    #[test]
    fn leftovers_are_found_at_their_topmost_component() {
        assert_eq!(leftover_in("a/__MACOSX/b/._c").map(|(p, _)| p), Some("a/__MACOSX"));
        assert_eq!(leftover_in("a/.git/HEAD").map(|(p, _)| p), Some("a/.git"));
        assert_eq!(leftover_in("a/b/._c.png").map(|(p, _)| p), Some("a/b/._c.png"));
        assert_eq!(leftover_in("a/THUMBS.DB").map(|(p, _)| p), Some("a/THUMBS.DB"));
        assert_eq!(leftover_in("a/.github/thumbs.db.png"), None);
    }

    /// The bytes of a text that [`shown`] gave.
    fn bytes_of(text: &str) -> Vec<u8> {
        let component = |text: &str| {
            let escape = |rest: &str| rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let is_escaped = text.match_indices("\\x").any(|(at, _)| escape(&text[at + 2..]).is_some());
            let mut out = Vec::new();
            let mut rest = text;
            while let Some(c) = rest.chars().next() {
                match rest.strip_prefix("\\x").and_then(escape).filter(|_| is_escaped) {
                    Some(byte) => (out.push(byte), rest = &rest[4..]).1,
                    None => {
                        out.extend(c.to_string().bytes());
                        let doubled = is_escaped && rest.starts_with(r"\\");
                        rest = &rest[if doubled { 2 } else { c.len_utf8() }..];
                    }
                }
            }
            out
        };
        text.split('/').map(component).collect::<Vec<_>>().join(&b'/')
    }

    proptest! {
        /// Every name has a text of its own, from which its bytes come back.
        #[test]
        fn shown_names_can_be_reversed(name in prop::collection::vec(prop::sample::select(&b"\\xf0a/\xff\xc3\xa9"[..]), 0..12)) {
            prop_assert_eq!(bytes_of(&shown(&name)), name);
        }

        /// Whatever the name, the result is relative, goes down only, and normalising it again changes nothing.
        #[test]
        fn a_normalised_name_goes_down_only(name in "[a./\\\\:\0é ]{0,12}") {
            if let Ok(Some(path)) = normalise(&name, true) {
                prop_assert!(path.split('/').all(|c| !c.is_empty() && c != "." && c != ".."));
                prop_assert_eq!(normalise(&path, true), Ok(Some(path.clone())));
            }
        }
    }
}
