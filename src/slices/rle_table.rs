//! Masks of many images in one CSV table: a row for each image, its runs in one column (SIIM-ACR).
//!
//! One such table belongs to thousands of images, so no file name connects an image to its mask: the spec states which
//! part of the image's name identifies the row (`row`). The result is an ordinary mask of zeros and ones.
//!
//! A run is `gap length`: unset pixels since the end of the run before, then set pixels, counted down the columns from
//! the top left one (the competition's `mask_functions.py`). This is not the other encoding of the same site, whose
//! starts are absolute and count from one. Copies of the table rename its columns.
//!
//! The table is read again for each image: a few milliseconds, where decoding the image takes tens.

use super::{Error, Loaded};
use crate::image::{Image, Samples};
use crate::raw::Tree;
use crate::sources::Table;

/// What stands in place of runs where the object does not occur.
const NOTHING: &str = "-1";

/// Reads the mask of one image: 1 inside, 0 outside. `columns` are the names that the column of images and the column
/// of runs may have.
///
/// # Errors
/// [`Error::Unlabelled`] where the table has no such row; a table without the columns, runs that are not pairs of
/// numbers or leave the image, an image that is not one picture.
pub(super) fn load(
    tree: &Tree,
    table: usize,
    row: &str,
    columns: [&[String]; 2],
    image: &Image,
) -> Result<Loaded, Error> {
    let member = &tree.members()[table];
    let bytes = tree.read(member)?;
    let problem = |reason: String| Error::Spec { file: member.path.clone(), reason };
    let [width, height, 1, 1] = image.size else {
        let reason = "its rows are masks of single 2D images, but the image is a volume".to_string();
        return Err(problem(reason));
    };
    let runs = runs_of(&bytes, row, columns).map_err(problem)?;
    if runs.is_empty() {
        return Err(Error::Unlabelled { table: member.path.clone(), row: row.to_string() });
    }
    let mut pixels = vec![0; width * height];
    for text in runs {
        draw(&text, width, height, &mut pixels).map_err(|reason| problem(format!("row {row}: {reason}")))?;
    }
    Ok(Loaded {
        file: member.path.clone(),
        image: Image::picture(width, height, 1, Samples::U8(pixels)),
        positions: None,
        files: Vec::new(),
    })
}

/// The runs of every row of the image.
fn runs_of(table: &[u8], row: &str, [id, runs]: [&[String]; 2]) -> Result<Vec<String>, String> {
    let mut table = Table::new(table)?;
    let (id, runs) = (table.column(id)?, table.column(runs)?);
    let mut found = Vec::new();
    for line in table.rows() {
        let line = line?;
        if line.get(id) == Some(row.as_bytes()) {
            let text = line.get(runs).ok_or_else(|| format!("row {row} has no run lengths"))?;
            found.push(String::from_utf8_lossy(text).into_owned());
        }
    }
    Ok(found)
}

/// Sets the pixels of runs in a picture stored row by row.
fn draw(runs: &str, width: usize, height: usize, pixels: &mut [u8]) -> Result<(), String> {
    if runs == NOTHING {
        return Ok(());
    }
    let numbers = runs
        .split_ascii_whitespace()
        .map(|n| n.parse().map_err(|_| format!("expected a number, found {n:?}")))
        .collect::<Result<Vec<usize>, _>>()?;
    if numbers.is_empty() || numbers.len() % 2 == 1 {
        return Err(format!("expected pairs of gap and length, or {NOTHING}; found {} number(s)", numbers.len()));
    }
    let mut end = 0usize;
    for pair in numbers.chunks_exact(2) {
        let start = end.saturating_add(pair[0]);
        end = start.saturating_add(pair[1]);
        if end > width * height {
            return Err(format!("a run ends at pixel {end}, but the image has {width} x {height}"));
        }
        for at in start..end {
            pixels[at % height * width + at / height] = 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(runs: &str, width: usize, height: usize) -> Result<Vec<u8>, String> {
        let mut pixels = vec![0; width * height];
        draw(runs, width, height, &mut pixels)?;
        Ok(pixels)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn runs_go_down_the_columns_and_start_at_the_last_end() {
        // The example of the competition: (row, column) pixels of a 1024 x 1024 image.
        let pixels = drawn("2 3 1021 2", 1024, 1024).unwrap();
        let set: Vec<(usize, usize)> =
            (0..pixels.len()).filter(|&i| pixels[i] == 1).map(|i| (i / 1024, i % 1024)).collect();
        assert_eq!(set, [(2, 0), (2, 1), (3, 0), (3, 1), (4, 0)]);
        // Two columns of three: the second run crosses from the first column into the second.
        assert_eq!(drawn("2 2", 2, 3).unwrap(), [0, 1, 0, 0, 1, 0]);
        assert_eq!(drawn("-1", 2, 3).unwrap(), [0; 6]);
    }

    #[test]
    fn broken_runs_are_refused() {
        for (runs, word) in [
            ("1 2 3", "pairs"),
            ("", "pairs"),
            ("1 x", "\"x\""),
            ("-1 2", "\"-1\""),
            ("5 2", "2 x 3"),
            ("18446744073709551615 18446744073709551615", "2 x 3"),
        ] {
            let error = drawn(runs, 2, 3).unwrap_err();
            assert!(error.contains(word), "{runs}: {error}");
        }
    }

    #[test]
    fn rows_are_found_whatever_the_blanks_quotes_and_line_ends() {
        let table = b"\xef\xbb\xbfImageId, EncodedPixels\r\na.1, 0 1\r\na.10,-1\n\"a.1\",\"3 1\"\nb\n";
        let (id, runs) = (names(&["ImageId"]), names(&["mask", "EncodedPixels"]));
        assert_eq!(runs_of(table, "a.1", [&id, &runs]).unwrap(), ["0 1", "3 1"]);
        assert_eq!(runs_of(table, "a.10", [&id, &runs]).unwrap(), ["-1"]);
        assert!(runs_of(table, "a", [&id, &runs]).unwrap().is_empty());
        assert!(runs_of(table, "b", [&id, &runs]).unwrap_err().contains("has no run lengths"));
        let error = runs_of(table, "a.1", [&names(&["fname"]), &runs]).unwrap_err();
        assert!(error.contains("fname") && error.contains("EncodedPixels"), "{error}");
        assert!(runs_of(b"", "a", [&id, &runs]).is_err());
    }
}
