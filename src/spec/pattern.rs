//! File patterns with named captures, and the templates that use what was captured.
//!
//! A pattern describes the tail of a member's path, whole components only, independent of the folders and archives
//! around a download: `patient{patient:ddd}/Info.cfg` matches `ACDC.zip/ACDC/database/training/patient001/Info.cfg`.
//!
//! | written | matches |
//! |---|---|
//! | `{name}` | one or more characters of one path component, as few as possible |
//! | `{name:d}` | digits; `{name:ddd}` exactly three |
//! | `{name:A\|B}` | one of the alternatives, literally |
//! | `{name:/regex/}` | a regular expression |
//! | `*` | anything inside one component, possibly nothing |
//! | `**/` | any number of folders, possibly none |
//! | `[…]` | the part in brackets or nothing |
//! | `\x` | the character x itself |
//!
//! A name that occurs twice in a pattern must capture the same text both times.

use std::collections::BTreeMap;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

/// Stands among the groups of a pattern for the folders that `**/` passes over.
const ANY_FOLDERS: &str = "**";

/// Stands among the groups of a pattern for what `*` passes over.
const ANY_TEXT: &str = "*";

/// A text in the Unicode form in which names are compared (NFC): a Mac stores an umlaut as two characters, a zip as
/// one.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Where a pattern was found in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'p> {
    /// Folders above the matched tail: empty, or ending in a slash.
    pub above: &'p str,
    /// Folders that `**/` passed over, in their order: empty, or ending in a slash.
    pub between: String,
    /// What was captured.
    pub captures: Captures,
    /// Folders of the matched tail of which the pattern leaves some text open.
    pub folders: Vec<OpenFolder>,
}

/// A folder in a path of which a pattern leaves some text open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFolder {
    /// Its name in the path.
    pub name: String,
    /// Captures that take text of it; none where only `*` does.
    pub captures: Vec<String>,
}

/// What a pattern captured, name by name.
pub type Captures = BTreeMap<String, String>;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: Regex,
    /// Capture name of each group of the regex, in order; a name may repeat.
    groups: Vec<String>,
    /// Of each group with alternatives, these as written.
    choices: Vec<Vec<String>>,
    ignore_case: bool,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong: an unclosed brace or bracket, an empty name, a broken regular expression.
    pub fn new(source: &str, ignore_case: bool) -> Result<Self, String> {
        let mut found = Vec::new();
        let body = compile(&composed(source), &mut found).map_err(|reason| format!("pattern {source:?}: {reason}"))?;
        let flags = if ignore_case { "(?i)" } else { "" };
        let regex = Regex::new(&format!("{flags}(?:^|/){body}$")).map_err(|e| format!("pattern {source:?}: {e}"))?;
        let (groups, choices) = found.into_iter().unzip();
        Ok(Pattern { regex, groups, choices, ignore_case })
    }

    /// Names that this pattern captures, each once, in order of appearance.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for group in self.groups.iter().filter(|group| *group != ANY_FOLDERS && *group != ANY_TEXT) {
            if !names.contains(&group.as_str()) {
                names.push(group);
            }
        }
        names
    }

    /// What the pattern captures in `path`; `None` where it does not match. Optional parts that are absent capture
    /// the empty text.
    pub fn captures(&self, path: &str) -> Option<Captures> {
        self.find(path).map(|found| found.captures)
    }

    /// True where the pattern says of some folders only that there may be any number of them.
    pub fn has_any_folders(&self) -> bool {
        self.groups.iter().any(|group| group == ANY_FOLDERS)
    }

    /// As [`Pattern::captures`], with the folders that the pattern does not name. `path` must be [`composed`].
    pub fn find<'p>(&self, path: &'p str) -> Option<Found<'p>> {
        let found = self.regex.captures(path)?;
        let start = found.get(0).map_or(0, |m| m.start());
        let above = &path[..if path[start..].starts_with('/') { start + 1 } else { start }];
        let mut captures = Captures::new();
        let mut between = String::new();
        // Positions of the folders of which some text is open, and by which captures.
        let mut open: BTreeMap<(usize, usize), Vec<String>> = BTreeMap::new();
        let file = path.rfind('/').map_or(0, |at| at + 1);
        for (i, name) in self.groups.iter().enumerate() {
            let text = found.get(i + 1);
            if name == ANY_FOLDERS {
                between.push_str(text.map_or("", |text| text.as_str()));
                continue;
            }
            if let Some(text) = text.filter(|text| text.start() < file) {
                let begin = path[..text.start()].rfind('/').map_or(0, |at| at + 1);
                let end = path[text.start()..].find('/').map_or(path.len(), |at| text.start() + at);
                let names = open.entry((begin, end)).or_default();
                names.extend((name != ANY_TEXT).then(|| name.clone()));
            }
            if name == ANY_TEXT {
                continue;
            }
            let Some(text) = text else {
                captures.entry(name.clone()).or_default();
                continue;
            };
            // Of alternatives in another case, the one that is written.
            let written =
                self.choices[i].iter().find(|choice| composed(choice).to_lowercase() == text.as_str().to_lowercase());
            let text = written.filter(|_| self.ignore_case).map_or(text.as_str(), String::as_str);
            let same = |before: &str| match self.ignore_case {
                true => before.to_lowercase() == text.to_lowercase(),
                false => before == text,
            };
            match captures.get(name) {
                Some(before) if !before.is_empty() && !same(before) => return None,
                Some(before) if !before.is_empty() => {}
                _ => {
                    captures.insert(name.clone(), text.to_string());
                }
            }
        }
        let folders = open
            .into_iter()
            .map(|((begin, end), captures)| OpenFolder { name: path[begin..end].to_string(), captures });
        Some(Found { above, between, captures, folders: folders.collect() })
    }

    /// A captured text as it is compared with that of another pattern: without its case, where the pattern ignores it.
    pub fn compared(&self, text: &str) -> String {
        if self.ignore_case { text.to_lowercase() } else { text.to_string() }
    }

    /// True where the pattern matches `path`.
    pub fn matches(&self, path: &str) -> bool {
        self.captures(path).is_some()
    }
}

/// Name of a group, and the alternatives that it has.
type Group = (String, Vec<String>);

fn compile(source: &str, groups: &mut Vec<Group>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = source;
    let mut open = 0usize;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            out.push_str("((?:.*/)?)");
            groups.push((ANY_FOLDERS.to_string(), Vec::new()));
            rest = after;
            continue;
        }
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '*' => {
                out.push_str("([^/]*)");
                groups.push((ANY_TEXT.to_string(), Vec::new()));
                after
            }
            '[' => {
                open += 1;
                out.push_str("(?:");
                after
            }
            ']' => {
                open = open.checked_sub(1).ok_or("a ] without [")?;
                out.push_str(")?");
                after
            }
            '{' => {
                let (group, regex, after) = capture(after)?;
                groups.push(group);
                out.push_str(&regex);
                after
            }
            '}' => return Err("a } without {".into()),
            '\\' => {
                let literal = after.chars().next().ok_or("ends with a backslash")?;
                out.push_str(&regex::escape(&literal.to_string()));
                &after[literal.len_utf8()..]
            }
            _ => {
                out.push_str(&regex::escape(&c.to_string()));
                after
            }
        };
    }
    if open > 0 {
        return Err("a [ without ]".into());
    }
    Ok(out)
}

/// Reads a capture after its opening brace: its name and alternatives, the regex group, and what follows the closing
/// brace.
fn capture(text: &str) -> Result<(Group, String, &str), String> {
    let (inner, after) = match text.split_once(":/") {
        // A regular expression may hold braces: it ends at "/}".
        Some((name, regex)) if !name.contains('}') => {
            let (regex, after) = regex.split_once("/}").ok_or("a {name:/regex/} that is not closed")?;
            return Ok(((check_name(name)?, Vec::new()), format!("({regex})"), after));
        }
        _ => text.split_once('}').ok_or("a { without }")?,
    };
    let (name, kind) = inner.split_once(':').unwrap_or((inner, ""));
    let mut written = Vec::new();
    let group = match kind {
        "" => "([^/]+?)".to_string(),
        "d" => "([0-9]+)".to_string(),
        digits if digits.bytes().all(|b| b == b'd') => format!("([0-9]{{{}}})", digits.len()),
        choices => {
            written = choices.split('|').map(String::from).collect();
            format!("({})", choices.split('|').map(regex::escape).collect::<Vec<_>>().join("|"))
        }
    };
    Ok(((check_name(name)?, written), group, after))
}

fn check_name(name: &str) -> Result<String, String> {
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid { Ok(name.to_string()) } else { Err(format!("{name:?} is not a valid capture name (letters, digits, _)")) }
}

/// A text with `{name}` where captures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// A template from its text.
    pub fn new(text: &str) -> Self {
        Template(text.to_string())
    }

    /// Names the template uses.
    pub fn names(&self) -> Vec<&str> {
        self.0.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
    }

    /// The text with every name replaced by what was captured, nothing where it was not.
    pub fn fill(&self, captures: &Captures) -> String {
        let mut out = String::new();
        let mut rest = self.0.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                rest = after;
                break;
            };
            out.push_str(captures.get(name).map_or("", String::as_str));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// Order of names as people count: runs of digits compare as numbers (`image2` before `image10`), the rest byte by
/// byte; equal numbers with other zero padding fall back to the text.
pub fn natural_order(a: &str, b: &str) -> std::cmp::Ordering {
    use std::cmp::Ordering;
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(&l), Some(&r)) = (left.first(), right.first()) {
        if l.is_ascii_digit() && r.is_ascii_digit() {
            let digits = |s: &[u8]| s.iter().take_while(|b| b.is_ascii_digit()).count();
            let (nl, nr) = (digits(left), digits(right));
            let significant = |s: &[u8]| -> Vec<u8> { s.iter().copied().skip_while(|&b| b == b'0').collect() };
            let (vl, vr) = (significant(&left[..nl]), significant(&right[..nr]));
            match vl.len().cmp(&vr.len()).then(vl.cmp(&vr)) {
                Ordering::Equal => (left, right) = (&left[nl..], &right[nr..]),
                other => return other,
            }
        } else if l != r {
            return l.cmp(&r);
        } else {
            (left, right) = (&left[1..], &right[1..]);
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
        Pattern::new(pattern, false).unwrap().captures(path).map(|c| c.into_iter().collect())
    }

    #[test]
    fn matches_the_tail_in_whole_components() {
        let pattern = "patient{p:ddd}/patient{p}_frame{f:dd}.nii.gz";
        let found = captured(pattern, "ACDC.zip/database/training/patient001/patient001_frame12.nii.gz").unwrap();
        assert_eq!(found, [("f".into(), "12".into()), ("p".into(), "001".into())]);
        assert!(captured(pattern, "patient001/patient002_frame12.nii.gz").is_none(), "one name, one text");
        assert!(captured(pattern, "inpatient001/patient001_frame12.nii.gz").is_none(), "components are whole");
        assert!(captured(pattern, "patient001/patient001_frame12_gt.nii.gz").is_none());
    }

    #[test]
    fn optional_alternative_and_regex_parts() {
        assert!(captured("im{id:dddd}.ppm[.gz]", "im0001.ppm").is_some());
        assert!(captured("im{id:dddd}.ppm[.gz]", "im0001.ppm.gz").is_some());
        assert_eq!(captured("{s:train|test}/**/{n}.png", "test/a/b/7.png").unwrap()[0].1, "7");
        assert!(captured("{s:train|test}/*.png", "valid/7.png").is_none());
        assert_eq!(captured("{id:/[0-9]{2}[LR]/}.jpg", "Image/01L.jpg").unwrap()[0].1, "01L");
        assert!(captured("a (1)+\\[x\\].png", "a (1)+[x].png").is_some());
    }

    #[test]
    fn folders_that_no_pattern_names_are_told() {
        let pattern = Pattern::new("images/**/{id}.png", false).unwrap();
        let found = pattern.find("x.zip/images/a/b/7.png").unwrap();
        assert_eq!((found.above, found.between.as_str()), ("x.zip/", "a/b/"));
        assert_eq!((pattern.names(), pattern.has_any_folders()), (vec!["id"], true));
    }

    #[test]
    fn names_are_compared_in_one_unicode_form() {
        let pattern = Pattern::new("mu\u{308}ller_{id}.png", false).unwrap();
        assert!(pattern.matches("m\u{fc}ller_1.png") && pattern.matches(&composed("mu\u{308}ller_1.png")));
    }

    #[test]
    fn alternatives_are_as_written_whatever_the_case_of_a_name() {
        let pattern = Pattern::new("{p}/{p}_{s:T1|T2}.nii", true).unwrap();
        let found = pattern.find("P1/p1_t2.NII").unwrap();
        assert_eq!((found.captures["s"].as_str(), found.captures["p"].as_str()), ("T2", "P1"));
    }

    #[test]
    fn folders_that_are_left_open_are_told() {
        let pattern = Pattern::new("images*/{s}/[x/]{id}.png", false).unwrap();
        let found = pattern.find("a/imagesTr/p1/7.png").unwrap();
        let folders: Vec<_> = found.folders.iter().map(|f| (f.name.as_str(), f.captures.len())).collect();
        assert_eq!(folders, [("imagesTr", 0), ("p1", 1)]);
    }

    #[test]
    fn broken_patterns_say_why() {
        for (pattern, word) in [("{a", "without }"), ("a]", "without ["), ("[a", "without ]"), ("{}", "name")] {
            let error = Pattern::new(pattern, false).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn natural_order_counts() {
        let mut names = vec!["image10", "image2", "image02", "b", "image1"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["b", "image1", "image02", "image2", "image10"]);
    }

    #[test]
    fn templates_fill() {
        let captures = Captures::from([("p".to_string(), "001".to_string())]);
        assert_eq!(Template::new("patient{p}_{q}x").fill(&captures), "patient001_x");
    }
}
