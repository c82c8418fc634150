//! Lists of checksums of downloads: one line per file, including those inside archives, because hosts repack archives.
//!
//! ```text
//! # medcosmos checksums 1: SHA-256, size in bytes, path; compared by `medcosmos verify`
//! ba7816bf…15ad ⇥ 3 ⇥ ACDC.zip/ACDC/database/training/patient001/Info.cfg
//! ```
//! Paths are relative to the folder, with slashes. Tabs, line ends and backslashes in a path are written `\t`, `\n`,
//! `\r` and `\\`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::Path;

use super::{Error, Result};
use crate::memory::Room;
use crate::raw::{CHECKSUMS_HEADER, read_whole};
use crate::whole_file::WholeFile;

/// Version of the format.
const VERSION: &str = "1";

/// What a list says of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// Files by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// The list, sorted by path.
    pub files: BTreeMap<String, Checksum>,
}

/// A list against the files that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Number of files that are as listed.
    pub(super) same: u64,
    /// Paths of files with other bytes.
    pub(super) altered: Vec<String>,
    /// Where a file was, and where its bytes are now.
    pub(super) moved: Vec<(String, String)>,
    /// Paths in the list that are not there.
    pub(super) missing: Vec<String>,
    /// Paths that are there and not in the list.
    pub(super) extra: Vec<String>,
}

impl Checksums {
    /// Reads a list.
    ///
    /// # Errors
    /// The file cannot be read, or is no list of this program.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Checksums { path: path.to_path_buf(), reason };
        let bytes = read_whole(path, &Room::default()).map_err(|e| wrong(format!("the list {}", e.reason)))?;
        let text = String::from_utf8(bytes).map_err(|e| wrong(format!("the list cannot be read: {e}")))?;
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        match header.strip_prefix(CHECKSUMS_HEADER).and_then(|rest| rest.trim().split_once(':')) {
            Some((VERSION, _)) => {}
            Some((other, _)) => {
                return Err(wrong(format!("a list of version {other}, expected version {VERSION}")));
            }
            None => {
                let begins = format!("expected a first line that starts with {CHECKSUMS_HEADER:?}");
                return Err(wrong(format!("not a list by `medcosmos verify --write`: {begins}")));
            }
        }
        let mut files = BTreeMap::new();
        for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let (path, checksum) = entry(line).ok_or_else(|| {
                wrong(format!("line {}: expected a SHA-256, a size and a path, separated by tabs", number + 2))
            })?;
            files.insert(path, checksum);
        }
        Ok(Checksums { files })
    }

    /// Writes the list, in place of one that is there.
    ///
    /// # Errors
    /// The file cannot be written, or is something else than a list.
    pub fn write(&self, path: &Path) -> Result<()> {
        let wrong = |reason: String| Error::Checksums { path: path.to_path_buf(), reason };
        if path.exists() && Checksums::read(path).is_err() {
            let reason = "the file exists and is not a list by `medcosmos verify --write`; choose another file with \
                --checksums";
            return Err(wrong(reason.into()));
        }
        let put = || -> io::Result<()> {
            let mut out = WholeFile::replacing(path)?;
            let about = "SHA-256, size in bytes, path; compared by `medcosmos verify`";
            writeln!(out, "{CHECKSUMS_HEADER} {VERSION}: {about}")?;
            for (path, Checksum { sha256, size }) in &self.files {
                writeln!(out, "{sha256}\t{size}\t{}", escape(path))?;
            }
            out.finish()
        };
        put().map_err(|e| wrong(format!("cannot write the list: {e}")))
    }

    /// Compares the list with the files that are `there`. `unread` are paths of files that are there and cannot be
    /// read: they count as neither missing nor altered.
    pub(super) fn compare(&self, there: &Checksums, unread: &BTreeSet<String>) -> Comparison {
        let mut comparison = Comparison::default();
        let mut gone = Vec::new();
        for (path, listed) in &self.files {
            match there.files.get(path) {
                Some(found) if found == listed => comparison.same += 1,
                Some(_) => comparison.altered.push(path.clone()),
                None if unread.contains(path) => {}
                None => gone.push(path),
            }
        }
        // Files of the same bytes go together in the order of their paths.
        let mut arrived: HashMap<&str, Vec<&String>> = HashMap::new();
        for (path, found) in there.files.iter().rev().filter(|(path, _)| !self.files.contains_key(*path)) {
            arrived.entry(&found.sha256).or_default().push(path);
        }
        for path in gone {
            match arrived.get_mut(self.files[path].sha256.as_str()).and_then(Vec::pop) {
                Some(now) => comparison.moved.push((path.clone(), now.clone())),
                None => comparison.missing.push(path.clone()),
            }
        }
        comparison.extra = arrived.into_values().flatten().cloned().collect();
        comparison.extra.sort();
        comparison
    }
}

fn entry(line: &str) -> Option<(String, Checksum)> {
    let mut fields = line.splitn(3, '\t');
    let (sha256, size, path) = (fields.next()?, fields.next()?, fields.next()?);
    let hexadecimal = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    let checksum = Checksum { sha256: sha256.to_ascii_lowercase(), size: size.parse().ok()? };
    hexadecimal.then(|| (unescape(path), checksum))
}

fn escape(path: &str) -> String {
    path.replace('\\', r"\\").replace('\t', r"\t").replace('\n', r"\n").replace('\r', r"\r")
}

fn unescape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn list(files: &[(&str, &str)]) -> Checksums {
        let checksum =
            |content: &str| Checksum { sha256: crate::digest::sha256(content.as_bytes()), size: content.len() as u64 };
        Checksums { files: files.iter().map(|(path, content)| (path.to_string(), checksum(content))).collect() }
    }

    #[test]
    fn files_are_altered_moved_missing_or_extra() {
        let before =
            list(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("x.zip/e", "5"), ("x.zip/f", "5"), ("g", "6")]);
        let now = list(&[("a", "1"), ("b", "other"), ("h", "7"), ("x/e", "5"), ("x/f", "5"), ("y/f", "5")]);
        let unread = BTreeSet::from(["g".to_string()]);
        let moved = |from: &str, to: &str| (from.to_string(), to.to_string());
        let expected = Comparison {
            same: 1,
            altered: vec!["b".into()],
            moved: vec![moved("x.zip/e", "x/e"), moved("x.zip/f", "x/f")],
            missing: vec!["c".into(), "d".into()],
            extra: vec!["h".into(), "y/f".into()],
        };
        assert_eq!(before.compare(&now, &unread), expected);
    }

    #[test]
    fn what_is_no_list_is_refused_and_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checksums.tsv");
        for (text, word) in [
            ("", "first line"),
            ("md5\tfile\n", "first line"),
            ("# medcosmos checksums 2: x\n", "version 2"),
            ("# medcosmos checksums 1: x\nabc\t1\ta\n", "line 2"),
            ("# medcosmos checksums 1: x\n\nabc\n", "line 3"),
        ] {
            fs::write(&path, text).unwrap();
            let error = Checksums::read(&path).unwrap_err().to_string();
            assert!(error.contains("checksums.tsv") && error.contains(word), "{error}");
            assert!(list(&[("a", "1")]).write(&path).unwrap_err().to_string().contains("choose another file"));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(Checksums::read(&folder.path().join("none")).is_err());
    }

    proptest! {
        /// Whatever the names of the files, a list comes back as it was written.
        #[test]
        fn a_list_comes_back(files in prop::collection::btree_map("\\PC{1,12}|[a\\\\\t\n\r/]{1,8}", any::<u64>(), 0..8)) {
            let checksum = |size: &u64| Checksum { sha256: crate::digest::sha256(&size.to_le_bytes()), size: *size };
            let list = Checksums { files: files.iter().map(|(path, size)| (path.clone(), checksum(size))).collect() };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("list");
            list.write(&path).unwrap();
            prop_assert_eq!(Checksums::read(&path).unwrap(), list.clone());
            list.write(&path).unwrap();
            prop_assert_eq!(list.compare(&list, &BTreeSet::new()).same, list.files.len() as u64);
        }
    }
}
