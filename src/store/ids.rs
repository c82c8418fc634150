//! Ids and names as paths: what a row's id, or the name of a model, strategy or source, must be before a file is named
//! by it.
//!
//! Rows may come from a dataset that others made, and an id such as `../../x` would lead out of the folder that is
//! written to.

use super::error::Error;
use crate::spec::is_device;

/// The most bytes that a part of an id may have: with an end such as `.png`, no file system allows more.
const MAX_PART: usize = 250;

/// Checks that an id names a file below any folder, on every system.
///
/// # Errors
/// What is wrong with it: it is empty or absolute, one of its parts is empty, `.`, `..`, too long or the name of a
/// Windows device, or it has a backslash, a colon or a control character.
pub(crate) fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("it is empty");
    }
    if id.chars().any(|c| c.is_control() || matches!(c, '\\' | ':')) {
        return Err("it contains a backslash, a colon or a control character");
    }
    for part in id.split('/') {
        match part {
            "" => return Err("one of its parts is empty"),
            "." | ".." => return Err("one of its parts is `.` or `..`"),
            part if part.len() > MAX_PART => return Err("one of its parts is longer than a file's name can be"),
            part if is_device(part) => return Err("one of its parts is the name of a Windows device"),
            _ => {}
        }
    }
    Ok(())
}

/// The most bytes of a name: a folder such as `model=NAME` is to fit any file system.
const MAX_NAME: usize = 200;

/// Checks the name of a model, strategy or source: it is a folder's name on every system, and text that needs no quotes.
///
/// # Errors
/// [`Error::Name`] with what is wrong.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let reason = if name.is_empty() || !name.chars().all(plain) {
        "expected ASCII letters, digits, '-', '_' and '.'"
    } else if name.starts_with('.') || name.ends_with('.') {
        "expected no '.' at either end"
    } else if name.len() > MAX_NAME {
        "expected at most 200 characters"
    } else if is_device(name) {
        "expected another name: Windows has a device of this one"
    } else {
        return Ok(());
    };
    Err(Error::Name { what, name: name.to_string(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::{Component, Path};

    use proptest::prelude::*;

    #[test]
    fn ids_that_lead_outside_are_refused() {
        let hostile = [
            "",
            "/",
            "/etc/x",
            "..",
            "../x",
            "a/../../x",
            "a/..",
            "a//b",
            "a/",
            "./a",
            "C:/x",
            "C:x",
            r"..\x",
            r"a\..\x",
            "a\0b",
            "a/\u{1b}[2J",
            "a/b\n",
            "src/con",
            "src/NUL.png",
            "src/com1/z0000",
        ];
        for id in hostile {
            assert!(check_id(id).is_err(), "{id:?}");
        }
        assert!(check_id(&format!("src/{}", "a".repeat(300))).is_err());
    }

    #[test]
    fn names_that_are_no_folders_everywhere_are_refused() {
        let long = "a".repeat(MAX_NAME + 1);
        for name in ["", ".", "..", ".a", "a.", "a/b", r"a\b", "a b", "a=b", "ä", "a\u{1b}[2J", "CON", "nul.1", &long]
        {
            let error = check_name("model", name).unwrap_err().to_string();
            assert!(error.starts_with("model \"") && !error.contains('\u{1b}'), "{error}");
        }
        for name in ["sam_vit-b.1", "S5", "imported", "console", &long[1..]] {
            check_name("strategy", name).unwrap();
        }
    }

    #[test]
    fn ids_of_datasets_are_accepted() {
        for id in
            ["acdc/p1/z0000", "acdc/患者_1/t0001_y0003/left-ventricle_left-00001@rater_2", "a/%2E%2E/z0000", "a/..b"]
        {
            assert_eq!(check_id(id), Ok(()), "{id:?}");
        }
    }

    proptest! {
        /// Whatever is accepted goes down only.
        #[test]
        fn an_accepted_id_goes_down_only(id in "[a./\\\\:\0é ]{0,12}") {
            if check_id(&id).is_ok() {
                prop_assert!(Path::new(&id).components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
