//! Data files of a detached header: one name, a list of names, or a printf pattern with its range. MetaImage and NRRD
//! write them the same way.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::MOST_LINES;
use crate::formats::{Companion, Error, Result};

/// Where the header says that its data are.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::formats) enum DataFiles {
    /// In the header's own file.
    Local,
    /// One file.
    One(String),
    /// `LIST`: one name a line after the header. `dimension` is the number of axes that one file holds, where given.
    List { names: Vec<String>, dimension: Option<usize> },
    /// `name%03d.raw first last step`, both ends included.
    Pattern { pattern: String, first: i64, last: i64, step: i64, dimension: Option<usize> },
}

/// Names of the data files that a header gives under one of `keys` (in lower case): none where it holds its data
/// itself.
/// `None` where it does not say them one by one.
pub(in crate::formats) fn named_data(header: &[u8], keys: &[&str]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(header);
    let mut lines = text.lines();
    let value = lines.by_ref().find_map(|line| {
        let (key, value) = line.split_once([':', '='])?;
        keys.contains(&key.trim().to_ascii_lowercase().as_str()).then(|| value.trim().to_string())
    })?;
    let first = value.split_whitespace().next().unwrap_or_default();
    let plain = |name: &str| name.strip_prefix("./").unwrap_or(name).to_string();
    if first.eq_ignore_ascii_case("local") {
        return Some(Vec::new());
    }
    if first.eq_ignore_ascii_case("list") {
        return Some(lines.map(str::trim).filter(|line| !line.is_empty()).map(plain).collect());
    }
    (!value.contains('%') && !value.is_empty()).then(|| vec![plain(&value)])
}

impl DataFiles {
    /// Reads the value of the header's field; `rest` is what follows the field's line, where a list has its names.
    pub fn parse(format: &'static str, value: &str, rest: &[u8]) -> Result<Self> {
        let malformed = |reason: String| Error::Malformed { format, reason };
        let words: Vec<&str> = value.split_whitespace().collect();
        match words[..] {
            [] => Err(malformed("the name of the data file is empty".into())),
            [word] if word.eq_ignore_ascii_case("local") => Ok(DataFiles::Local),
            [word, ref dimension @ ..] if word == "LIST" && dimension.len() <= 1 => {
                let dimension = dimension.first().map(|d| d.parse()).transpose();
                let dimension = dimension.map_err(|_| malformed(format!("{value:?} is not a list of data files")))?;
                let text = String::from_utf8_lossy(rest);
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                let names: Vec<String> = lines.take(MOST_LINES + 1).map(str::to_string).collect();
                match names.len() > MOST_LINES {
                    true => Err(malformed(format!("a list of more than {MOST_LINES} data files"))),
                    false => Ok(DataFiles::List { names, dimension }),
                }
            }
            [pattern, ref numbers @ ..] if pattern.contains('%') && (2..=4).contains(&numbers.len()) => {
                let numbers: std::result::Result<Vec<i64>, _> = numbers.iter().map(|n| n.parse()).collect();
                let Ok(numbers) = numbers else { return Ok(DataFiles::One(value.to_string())) };
                let step = numbers.get(2).copied().unwrap_or(1);
                let dimension = numbers.get(3).map(|&d| usize::try_from(d)).transpose();
                let dimension = dimension.map_err(|_| malformed(format!("{value:?}: the dimension is negative")))?;
                if step == 0 {
                    return Err(malformed(format!("{value:?}: the step between file numbers is zero")));
                }
                number_into(pattern, 0).ok_or_else(|| malformed(format!("{pattern:?} has no %d for the number")))?;
                let [first, last] = [numbers[0], numbers[1]];
                Ok(DataFiles::Pattern { pattern: pattern.to_string(), first, last, step, dimension })
            }
            _ => Ok(DataFiles::One(value.to_string())),
        }
    }

    /// Number of axes that one file holds, where the header says so.
    pub fn dimension(&self) -> Option<usize> {
        match self {
            DataFiles::List { dimension, .. } | DataFiles::Pattern { dimension, .. } => *dimension,
            _ => None,
        }
    }

    /// Bytes of every file, in order; stops at the first that is missing. `own` is what follows the header. Each file
    /// holds another part of the data, so that none is named twice, and each lies below the header's folder.
    pub fn fetch<'a>(&self, format: &'static str, own: &'a [u8], companion: &Companion) -> Result<Vec<Cow<'a, [u8]>>> {
        let mut named = BTreeSet::new();
        let mut one = |name: &str| {
            let refused = |why: &str| Error::Malformed { format, reason: format!("the data file {name:?} {why}") };
            let path = below(name).ok_or_else(|| refused("is not below the folder of the header"))?;
            if !named.insert(path.clone()) {
                return Err(refused("is named twice, although each file holds another part of the data"));
            }
            match companion(&path)? {
                Some(bytes) => Ok(Cow::Owned(bytes)),
                None => Err(Error::MissingCompanion { format, name: name.to_string() }),
            }
        };
        match self {
            DataFiles::Local => Ok(vec![Cow::Borrowed(own)]),
            DataFiles::One(name) => Ok(vec![one(name)?]),
            DataFiles::List { names, .. } => names.iter().map(|name| one(name)).collect(),
            DataFiles::Pattern { pattern, first, last, step, .. } => {
                let mut files = Vec::new();
                let mut number = *first;
                while if *step > 0 { number <= *last } else { number >= *last } {
                    files.push(one(&number_into(pattern, number).unwrap_or_default())?);
                    let Some(next) = number.checked_add(*step) else { break };
                    number = next;
                }
                Ok(files)
            }
        }
    }
}

/// The path of a data file below the header's folder, its parts separated by `/`; `None` for one that leads out of it.
///
/// A header may name its data by a path of the machine that wrote it; only the last part can be next to it. So an
/// absolute path is never handed on, be it an honest one or one that fishes for a file of the system.
pub(in crate::formats) fn below(name: &str) -> Option<String> {
    let drive = name.as_bytes().get(1) == Some(&b':');
    let absolute = drive || name.starts_with(['/', '\\']);
    // Windows separates by both; on other systems a `\` may be part of a name, but not of one that leads elsewhere.
    let leads_out = name.split(['/', '\\']).any(|part| part == "..");
    if absolute {
        let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
        return (!matches!(last, "" | "." | "..")).then(|| last.to_string());
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!leads_out && !parts.is_empty() && !name.contains('\0')).then(|| parts.join("/"))
}

/// The pattern with its `%d`, `%i` or `%u` (with width and zero padding) replaced by a number, as printf does.
fn number_into(pattern: &str, number: i64) -> Option<String> {
    let (before, rest) = pattern.split_once('%')?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    let (width, after) = rest.split_at(end);
    let after = after.strip_prefix(['d', 'i', 'u'])?;
    let zeros = width.starts_with('0');
    // A width beyond any file name's length is no width.
    let width = if width.is_empty() { 0 } else { width.parse().ok().filter(|w| *w <= 255)? };
    Some(match zeros {
        true => format!("{before}{number:0width$}{after}"),
        false => format!("{before}{number:width$}{after}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lists_and_patterns_are_told_apart() {
        let parse = |value, rest: &str| DataFiles::parse("test", value, rest.as_bytes());
        assert_eq!(parse("LOCAL", "").unwrap(), DataFiles::Local);
        assert_eq!(parse("my data.raw", "").unwrap(), DataFiles::One("my data.raw".into()));
        assert_eq!(parse("100% sure.raw", "").unwrap(), DataFiles::One("100% sure.raw".into()));
        assert_eq!(
            parse("LIST 2", "a.raw\r\n\r\nb.raw\n").unwrap(),
            DataFiles::List { names: vec!["a.raw".into(), "b.raw".into()], dimension: Some(2) }
        );
        let pattern = parse("s%02d.raw 1 5 2", "").unwrap();
        let asked = std::cell::RefCell::new(Vec::new());
        let files = pattern.fetch("test", &[], &|name| {
            asked.borrow_mut().push(name.to_string());
            Ok(Some(vec![1]))
        });
        assert_eq!(files.unwrap().len(), 3);
        assert_eq!(asked.into_inner(), ["s01.raw", "s03.raw", "s05.raw"]);
        assert!(parse("s%02d.raw 1 5 0", "").is_err());
        assert!(parse("s%02x.raw 1 5 1", "").is_err());
        assert!(parse("s%999999999999d.raw 1 5 1", "").is_err());
    }

    #[test]
    fn endless_patterns_stop_at_the_first_missing_file() {
        let pattern = DataFiles::parse("test", "s%d.raw 0 9223372036854775807 1", &[]).unwrap();
        let error = pattern.fetch("test", &[], &|name| Ok((name != "s3.raw").then(Vec::new))).unwrap_err();
        assert!(error.to_string().contains("s3.raw"), "{error}");
    }

    #[test]
    fn data_files_lie_below_the_folder_of_the_header() {
        let path = |name: &str| below(name);
        assert_eq!(path("/etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(path(r"C:\scans\a.raw").as_deref(), Some("a.raw"));
        assert_eq!(path("data/a.raw").as_deref(), Some("data/a.raw"));
        assert_eq!(path("./data//a.raw").as_deref(), Some("data/a.raw"));
        assert_eq!(path("..a.raw").as_deref(), Some("..a.raw"));
        for out in ["../a.raw", "data/../../a.raw", r"..\a.raw", "..", ".", "", "./", "/", "/etc/..", "a\0.raw"] {
            assert_eq!(path(out), None, "{out}");
        }
    }

    #[test]
    fn lists_have_an_end() {
        let endless = "a\n".repeat(MOST_LINES + 1);
        assert!(
            DataFiles::parse("test", "LIST", endless.as_bytes()).unwrap_err().to_string().contains("more than 65536")
        );
    }

    #[test]
    fn no_file_is_read_twice() {
        let twice = DataFiles::parse("test", "LIST", b"a.raw\nb.raw\n./a.raw\n").unwrap();
        let error = twice.fetch("test", &[], &|_| Ok(Some(vec![1]))).unwrap_err().to_string();
        assert!(error.contains("named twice"), "{error}");
    }
}
