//! Names as parts of ids, which are file names wherever slices and masks are exported.
//!
//! A part keeps letters, digits, dots, dashes and underscores; runs of anything else become one `_` ([`file_safe`]).
//! A name is *escaped* instead where that gives nothing, where no system could have a file of that name, or where
//! another name gives the same part: every other character becomes the `%XX` of its UTF-8 bytes, as in a URL. `%` and
//! `~` are in no part that is not escaped, so an escaped one never equals another name's part.

use std::collections::BTreeMap;

use crate::digest::sha256;

/// The most bytes of a part: file systems allow 255, of which ends such as `.png` and what an export puts before it
/// need some.
pub(crate) const MAX_PART: usize = 200;

/// Names that Windows keeps for devices, whatever follows behind a dot.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A text as part of an id: letters, digits, dots, dashes and underscores stay, runs of anything else become one `_`.
pub fn file_safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_plain(c) {
            out.push(c);
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
        }
    }
    out.trim_end_matches('_').to_string()
}

/// A text as the whole of an id's part: as [`file_safe`], or escaped where that is no file's name. The empty text is
/// `_`.
pub fn id_part(text: &str) -> String {
    if matches!(text, "" | "_") {
        return "_".to_string();
    }
    let part = file_safe(text);
    if is_portable(&part) { part } else { escaped(text) }
}

/// Gives each text (the key) a part of its own (the value, at first its [`id_part`]): of texts that share one, all are
/// escaped but the text that is that part itself. The result depends on the texts alone.
pub fn make_distinct(parts: &mut BTreeMap<String, String>) {
    let mut texts: BTreeMap<&str, usize> = BTreeMap::new();
    parts.values().for_each(|part| *texts.entry(part).or_default() += 1);
    let shared: Vec<String> = parts
        .iter()
        .filter(|(text, part)| texts[part.as_str()] > 1 && text != part)
        .map(|(text, _)| text.clone())
        .collect();
    for text in shared {
        let part = escaped(&text);
        parts.insert(text, part);
    }
}

/// A text with everything but letters, digits, dots, dashes and underscores as `%XX`: the same for no other text.
/// Texts longer than [`MAX_PART`] end in a digest.
fn escaped(text: &str) -> String {
    if text.is_empty() {
        return "%".to_string();
    }
    let is_device = is_device(text);
    let last = text.chars().count() - 1;
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        // A dot at the end, or a part that is nothing but dots, means something else to a system; so do devices.
        let misread = (c == '.' && (at == last || text.bytes().all(|b| b == b'.'))) || (is_device && at == 0);
        if is_plain(c) && !misread {
            out.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
        }
    }
    if out.len() > MAX_PART { shortened(&out, text) } else { out }
}

/// A part that was joined of several, in the length that a part may have.
pub fn bounded(part: String) -> String {
    if part.len() > MAX_PART { shortened(&part, &part) } else { part }
}

/// The beginning of a part, and a digest of the text it stands for.
fn shortened(part: &str, text: &str) -> String {
    const DIGITS: usize = 16;
    let mut end = MAX_PART - DIGITS - 1;
    while !part.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{}", &part[..end], &sha256(text.as_bytes())[..DIGITS])
}

/// A character that ids hold as it is.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// Whether every system can have a file of this name, of which all characters are [plain](is_plain).
fn is_portable(part: &str) -> bool {
    !part.is_empty() && !part.ends_with('.') && part.len() <= MAX_PART && !is_device(part)
}

/// Whether Windows takes a file of this name for a device: `CON`, `nul.txt`, `COM1`, `LPT²`.
pub(crate) fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_lowercase();
    let port = |name: &str| {
        let number = stem.strip_prefix(name)?;
        let mut digits = number.chars();
        Some(digits.next().is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c)) && digits.next().is_none())
    };
    DEVICES.contains(&stem.as_str()) || port("com").or_else(|| port("lpt")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distinct(texts: &[&str]) -> Vec<String> {
        let mut parts = texts.iter().map(|text| (text.to_string(), id_part(text))).collect();
        make_distinct(&mut parts);
        texts.iter().map(|text| parts[*text].clone()).collect()
    }

    #[test]
    fn names_that_need_no_escape_keep_their_part() {
        assert_eq!(distinct(&["benign (1)", "a_b-1.2", "Jörg", "患者1"]), ["benign_1", "a_b-1.2", "Jörg", "患者1"]);
        assert_eq!([id_part(""), id_part("_")], ["_", "_"]);
    }

    #[test]
    fn names_that_share_a_part_are_escaped_but_the_one_that_is_it() {
        assert_eq!(distinct(&["p+1", "p_1", "p 1"]), ["p%2B1", "p_1", "p%201"]);
        assert_eq!(distinct(&["p+1", "p 1"]), ["p%2B1", "p%201"]);
        assert_eq!(distinct(&["", "_", "__", "(_)"]), ["%", "_", "__", "%28_%29"]);
        assert_eq!(distinct(&["a", "a_", "+a", "a+"]), ["a", "a_", "%2Ba", "a%2B"]);
    }

    #[test]
    fn names_that_are_no_file_names_are_escaped() {
        assert_eq!(["😀", "😁"].map(id_part), ["%F0%9F%98%80", "%F0%9F%98%81"]);
        assert_eq!([".", "..", "...", "a."].map(id_part), ["%2E", "%2E%2E", "%2E%2E%2E", "a%2E"]);
        assert_eq!(
            ["con", "NUL.1", "com1", "LPT²", "com", "com10", "console"].map(id_part),
            ["%63on", "%4EUL.1", "%63om1", "%4CPT²", "com", "com10", "console"]
        );
        let long = "é".repeat(150);
        assert_ne!(id_part(&long), id_part(&format!("{long}a")));
        assert!(id_part(&long).starts_with("éé"));
    }

    proptest! {
        /// Whatever the names, their parts are distinct, portable, and the same in any order and company of others
        /// that share no part with them.
        #[test]
        fn parts_are_distinct_file_names(texts in prop::collection::btree_set("[a_. +%~/\\\\:😀é\u{1b}\u{202e}]{0,5}|con|(ab ){80}.", 1..12)) {
            let mut parts: BTreeMap<String, String> = texts.iter().map(|t| (t.clone(), id_part(t))).collect();
            make_distinct(&mut parts);
            let all: std::collections::BTreeSet<&String> = parts.values().collect();
            prop_assert_eq!(all.len(), parts.len(), "{:?}", parts);
            for part in parts.values() {
                prop_assert!(!part.is_empty() && part.len() <= MAX_PART && !part.ends_with('.') && !is_device(part));
                prop_assert!(part.chars().all(|c| is_plain(c) || c == '%' || c == '~'), "{}", part);
            }
        }
    }
}
