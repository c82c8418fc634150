//! Faults of files: their kinds, and the detection of content that does not match a file's name (a web page, a pointer,
//! a server's answer).

use serde::Serialize;

/// What is wrong with a file, in a word: by it faults are counted, and distinguished by programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A web page under the file's name: most often one that asks to log in.
    HtmlPage,
    /// A pointer of Git LFS: the file was not fetched.
    LfsPointer,
    /// A pointer or link of git-annex: the file was not fetched.
    AnnexPointer,
    /// A server's answer in XML or JSON: most often that access is denied.
    ServerAnswer,
    /// No byte.
    Empty,
    /// Zeros where a file begins: only the length of a download was written.
    Zeros,
    /// The end is missing, or a part.
    Truncated,
    /// The bytes contradict their format or their checksum.
    Damaged,
    /// The bytes are of another kind than the name says.
    OtherContent,
    /// A password is needed.
    Encrypted,
    /// Legal, but not read here.
    Unsupported,
    /// Refused for its name, its size or its depth.
    Refused,
    /// The system does not let it be read.
    Unreadable,
}

/// What bytes seem to be that are not what their name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// In a word.
    pub fault: Fault,
    /// In words: `an HTML page`.
    pub what: String,
    /// What to do, as the rest of a sentence.
    pub advice: &'static str,
}

/// Number of first bytes that tell what a file is.
pub(crate) const HEAD_BYTES: usize = 512;

/// Whether there is nothing but zeros: the beginning of a tar without entries, or of a download that only its length
/// was written of.
pub(crate) fn is_zeros(head: &[u8]) -> bool {
    head.iter().all(|&byte| byte == 0)
}

const AGAIN: &str = ": the server did not deliver the file; download it again";

/// What bytes seem to be that are not what their file's name promises, and what to do about it.
pub(crate) fn describe(head: &[u8]) -> Looks {
    let looks = |fault, what: &str, advice| Looks { fault, what: what.into(), advice };
    if head.is_empty() {
        looks(Fault::Empty, "an empty file", AGAIN)
    } else if is_zeros(head) {
        let advice = ": the download is incomplete; download it again";
        looks(Fault::Zeros, "a file that starts with zeros", advice)
    } else if let Some(substitute) = substitute(head) {
        substitute
    } else if ["<?xml", "{"].iter().any(|mark| start_of_text(head).starts_with(mark)) {
        looks(Fault::ServerAnswer, "a server response in XML or JSON", AGAIN)
    } else if is_plain_text(head) {
        looks(Fault::OtherContent, "plain text", AGAIN)
    } else {
        let first: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let what = format!("unknown data that start with {}", first.join(" "));
        looks(Fault::OtherContent, &what, ": the download may be damaged; download it again")
    }
}

/// A web page or a pointer that a download holds instead of the file; `None` for everything else.
pub(crate) fn substitute(head: &[u8]) -> Option<Looks> {
    let text = start_of_text(head).to_ascii_lowercase();
    let page = ["<!doctype html", "<html", "<head", "<body"].iter().any(|mark| text.starts_with(mark));
    if page || text.contains("<html") {
        return Some(Looks { fault: Fault::HtmlPage, what: "an HTML page".into(), advice: AGAIN });
    }
    pointer(head)
}

/// The pointer of Git LFS or git-annex that bytes are; `None` where they are none.
pub(crate) fn pointer(head: &[u8]) -> Option<Looks> {
    let text = start_of_text(head);
    if text.starts_with("version https://git-lfs") {
        let advice = ": fetch the file with `git lfs pull`";
        return Some(Looks { fault: Fault::LfsPointer, what: "a Git LFS pointer".into(), advice });
    }
    // What git-annex leaves in an unlocked file, and in place of a link where the file system has none.
    let annex = text.lines().next().is_some_and(|line| line.trim_start_matches("../").contains("annex/objects/"));
    (annex && is_plain_text(first_bytes(head))).then(annex_pointer)
}

fn first_bytes(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(HEAD_BYTES)]
}

/// The first bytes as text, without a byte order mark and space before it.
fn start_of_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(first_bytes(bytes));
    text.trim_start_matches('\u{feff}').trim_start().to_string()
}

fn is_plain_text(head: &[u8]) -> bool {
    head.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace())
}

/// What a file or link of git-annex is whose content is not there.
pub(crate) fn annex_pointer() -> Looks {
    let advice = ": fetch the file with `git annex get` or `datalad get`";
    Looks { fault: Fault::AnnexPointer, what: "a git-annex pointer".into(), advice }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_described() {
        let cases: [(&[u8], Fault, &str); 7] = [
            (b"", Fault::Empty, "an empty file"),
            (b"\xEF\xBB\xBF\n <!DOCTYPE HTML><html>", Fault::HtmlPage, "an HTML page"),
            (b"version https://git-lfs.github.com/spec/v1", Fault::LfsPointer, "a Git LFS pointer"),
            (b"{\"error\": 403}", Fault::ServerAnswer, "a server response in XML or JSON"),
            (b"not found", Fault::OtherContent, "plain text"),
            (&[0; 600], Fault::Zeros, "a file that starts with zeros"),
            (&[0x89, 1], Fault::OtherContent, "unknown data that start with 89 01"),
        ];
        for (head, fault, what) in cases {
            let looks = describe(head);
            assert_eq!((looks.fault, looks.what.as_str()), (fault, what));
        }
    }
}
