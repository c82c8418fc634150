//! The parts of split archives, by name.

use super::registry::by_name;

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
    if !by_name(whole).is_archive() || whole.contains('?') {
        return None;
    }
    let letters = suffix.bytes().all(|b| b.is_ascii_lowercase());
    let digits = suffix.bytes().all(|b| b.is_ascii_digit());
    if !(2..=4).contains(&suffix.len()) || !(letters || digits) || by_name(name).is_archive() {
        return None;
    }
    let number = match letters {
        true => suffix.bytes().fold(0, |n, b| n * 26 + u64::from(b - b'a')),
        false => suffix.parse().ok()?,
    };
    Some(Part { whole, scheme: (suffix.len(), letters), number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted() {
        let part = split_part("ge-1-5t.tar.gz.ab").unwrap();
        assert_eq!((part.whole, part.number), ("ge-1-5t.tar.gz", 1));
        assert_eq!(split_part("x.zip.001").unwrap().number, 1);
        assert_eq!(split_part("x.7z.00").unwrap().number, 0);
        for name in ["x.nii.aa", "x.zip.txt1", "x.zip.a", "x.tar.gz", "x.zip.7z"] {
            assert_eq!(split_part(name), None, "{name}");
        }
    }
}
