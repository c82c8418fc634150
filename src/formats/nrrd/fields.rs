//! The lines of a NRRD header.

use std::str::FromStr;

use super::{MOST_LINES, Result, malformed};

/// Field names, lower case and without blanks (the specification allows `data file` and `datafile`), with their values.
pub(super) struct Fields {
    fields: Vec<(String, String)>,
    /// `key:=value` lines are the writer's own.
    keys: Vec<(String, String)>,
}

impl Fields {
    /// Reads lines up to the empty one, or to the end of a detached header, and gives the rest of the bytes. The names
    /// of a `LIST` of data files are part of that rest.
    pub fn split(bytes: &[u8]) -> Result<(Fields, &[u8])> {
        let (magic, mut rest) = line(bytes);
        let known = ["NRRD00.01", "NRRD0001", "NRRD0002", "NRRD0003", "NRRD0004", "NRRD0005"];
        if !known.contains(&magic.as_ref()) {
            let magic: String = magic.chars().take(16).collect();
            return Err(malformed(format!("expected a first line of NRRD0001 to NRRD0005, found {magic:?}")));
        }
        let (mut fields, mut keys) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (text, after) = line(rest);
            rest = after;
            if text.is_empty() {
                break;
            }
            if fields.len() + keys.len() == MOST_LINES {
                return Err(malformed(format!("a header of more than {MOST_LINES} lines")));
            }
            if text.starts_with('#') {
                continue;
            }
            let Some((name, value)) = text.split_once(':') else {
                let text: String = text.chars().take(40).collect();
                return Err(malformed(format!("header line {text:?} is neither a field, a key, a comment nor empty")));
            };
            if let Some(value) = value.strip_prefix('=') {
                keys.push((unescaped(name), unescaped(value)));
                continue;
            }
            let name = name.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
            let is_list = name == "datafile" && value.split_whitespace().next() == Some("LIST");
            fields.push((name, value.trim().to_string()));
            if is_list {
                break;
            }
        }
        Ok((Fields { fields, keys }, rest))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    pub fn into_keys(self) -> Vec<(String, String)> {
        self.keys
    }

    pub fn required(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| malformed(format!("the header has no field {name}")))
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let parse =
            |value: &str| value.parse().map_err(|_| malformed(format!("{name} is {value:?}, expected a whole number")));
        self.get(name).map(parse).transpose()
    }

    /// A field with one value an axis.
    pub fn per_axis<T: FromStr>(&self, name: &str, axes: usize) -> Result<Option<Vec<T>>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let values: Vec<T> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        if values.len() != axes || text.split_whitespace().count() != axes {
            return Err(malformed(format!("{name} is {text:?}, expected {axes} values")));
        }
        Ok(Some(values))
    }

    /// A field of vectors `(a,b,c)` or `none`, blanks allowed anywhere.
    pub fn vectors(&self, name: &str) -> Result<Option<Vec<Option<Vec<f64>>>>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = || malformed(format!("{name} is {text:?}, expected vectors (a,b,c) or none"));
        let (mut vectors, mut rest) = (Vec::new(), text.trim_start());
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("none") {
                vectors.push(None);
                rest = after.trim_start();
                continue;
            }
            let (inside, after) = rest.strip_prefix('(').and_then(|r| r.split_once(')')).ok_or_else(wrong)?;
            let numbers: std::result::Result<Vec<f64>, _> = inside.split(',').map(|n| n.trim().parse()).collect();
            let numbers = numbers.map_err(|_| wrong())?;
            // Old writers put a vector of NaN for a component axis.
            vectors.push(if numbers.iter().all(|n| n.is_nan()) { None } else { Some(numbers) });
            rest = after.trim_start();
        }
        Ok(Some(vectors))
    }
}

/// Keys and values have their line ends and backslashes escaped.
fn unescaped(text: &str) -> String {
    let parts: Vec<String> = text.split("\\\\").map(|part| part.replace("\\n", "\n")).collect();
    parts.join("\\")
}

/// The first line without its end, and what follows.
fn line(bytes: &[u8]) -> (std::borrow::Cow<'_, str>, &[u8]) {
    let end = bytes.iter().position(|&b| b == b'\n').unwrap_or(bytes.len());
    let text = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    (String::from_utf8_lossy(text), bytes.get(end + 1..).unwrap_or_default())
}
