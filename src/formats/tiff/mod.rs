//! TIFF and BigTIFF.
//!
//! Specification: TIFF 6.0 (Adobe, 1992), Adobe's technical notes on compression and the floating-point predictor,
//! BigTIFF (<https://www.awaresystems.be/imaging/tiff/bigtiff.html>); conventions of ImageJ and of tifffile for stacks.
//!
//! Read: unsigned integers of 1 to 16, 32 and 64 bits, signed ones of 8 to 64, floats of 16, 32 and 64; strips and tiles,
//! chunky and planar, both byte orders and bit orders, both predictors; no compression, LZW (the old kind, too), Deflate,
//! PackBits, Zstandard, LZMA, CCITT Group 4, JPEG. Values come as stored: palettes as indices, MinIsWhite not
//! inverted, alpha and other extra samples as further components. The number of components is SamplesPerPixel whatever
//! the photometric interpretation says: CVC-ClinicDB calls its three-component frames MinIsBlack.
//!
//! The reader is our own, and small, because the `tiff` crate refuses or expands what is common here (palettes, values of
//! fewer than 8 bits, MinIsBlack with three samples, 64-bit integers with a predictor, ImageJ stacks); codecs are `weezl`,
//! `flate2`, `zstd`, `xz2`, `fax`, and [`jpeg`](super::jpeg).
//!
//! In the wild: thumbnails as second pages (skipped, with a note); ImageJ hyperstacks with one directory for all
//! images; strip counts that are missing; colour maps of 8 bits; resolutions that are a scanner's default. The resolution
//! tags are therefore not used as spacing, in whatever unit.

mod codec;
pub(in crate::formats) mod directory;
mod page;
mod samples;

use self::directory::File;
use self::page::Page;
use super::{Error, Result};
use crate::image::Image;

const FORMAT: &str = "TIFF";

/// Pages that a file may have at most.
const MOST_PAGES: usize = 1 << 20;

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

fn unsupported(feature: String) -> Error {
    Error::Unsupported { format: FORMAT, feature }
}

fn truncated(what: String, expected: u64, found: u64) -> Error {
    Error::Truncated { format: FORMAT, what, expected, found }
}

/// Reads all pages as one image, pages along z.
///
/// # Errors
/// As [`read_pages`]; [`Error::Unsupported`] where pages differ in size, type or palette, which [`read_pages`] can read.
pub fn read(bytes: &[u8]) -> Result<Image> {
    let file = File::open(bytes)?;
    let (pages, skipped) = pages(&file)?;
    if let Some(i) = pages.iter().position(|page| !page.is_like(&pages[0])) {
        let (first, other) = (pages[0].describe(), pages[i].describe());
        return Err(unsupported(format!("pages that differ as one image: page 0 has {first}, page {i} {other}")));
    }
    let mut values = Vec::new();
    for page in &pages {
        page.decode(&file, &mut values)?;
    }
    let mut image = pages[0].image(values, pages.len());
    image.notes.extend(skipped);
    Ok(image)
}

/// Reads every page as an image of its own. Thumbnails and transparency masks of other pages are left out.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Truncated`]; [`Error::Unsupported`] for compressions and sample types not read here.
pub fn read_pages(bytes: &[u8]) -> Result<Vec<Image>> {
    let file = File::open(bytes)?;
    let (pages, skipped) = pages(&file)?;
    let decode = |page: &Page| {
        let mut values = Vec::new();
        page.decode(&file, &mut values)?;
        Ok(page.image(values, 1))
    };
    let mut images = pages.iter().map(decode).collect::<Result<Vec<_>>>()?;
    images[0].notes.extend(skipped);
    Ok(images)
}

/// The pages of a file, at least one, and a note of what was left out.
fn pages<'a>(file: &File<'a>) -> Result<(Vec<Page<'a>>, Option<String>)> {
    let mut pages = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut skipped = 0;
    let mut at = file.first;
    while at != 0 {
        if !seen.insert(at) || seen.len() > MOST_PAGES {
            return Err(malformed(format!("the chain of directories comes back to byte {at}, or has no end")));
        }
        let (directory, next) = file.directory(at)?;
        // A thumbnail may be stored in a way that is not read here, without harm.
        if at != file.first && page::is_auxiliary(&directory)? {
            skipped += 1;
        } else {
            pages.push(Page::parse(file, &directory)?);
        }
        at = next;
    }
    match &pages[..] {
        [] => return Err(malformed("there is no page".into())),
        [page] => pages.extend(pages_without_directory(file, page)?),
        _ => {}
    }
    let total = pages.iter().try_fold(0u64, |total, page| total.checked_add(page.image_bytes()?));
    if total.is_none_or(|total| total > page::MOST_BYTES) {
        return Err(malformed(format!("{} pages of more than {} bytes together", pages.len(), page::MOST_BYTES)));
    }
    let note = (skipped > 0).then(|| format!("TIFF: {skipped} reduced or mask pages (NewSubfileType) were not read"));
    Ok((pages, note))
}

/// Further images behind the only page: ImageJ writes stacks above 4 GB so, and tifffile where it is told to.
fn pages_without_directory<'a>(file: &File<'a>, page: &Page<'a>) -> Result<Vec<Page<'a>>> {
    let count = images_described(page);
    let (Some(start), Some(size)) = (page.contiguous_start(), page.plain_bytes()) else { return Ok(Vec::new()) };
    if count <= 1 {
        return Ok(Vec::new());
    }
    let total = count.checked_mul(size).filter(|_| count <= MOST_PAGES as u64);
    let total = total.ok_or_else(|| malformed(format!("a description of {count} images")))?;
    file.slice("stack that the description announces", start, total)?;
    (1..count)
        .map(|i| {
            let mut page = page.clone();
            page.move_to(file, start + i * size)?;
            Ok(page)
        })
        .collect()
}

/// Number of images that an only page says it stands for, in the words of ImageJ (`images=30`) or of tifffile
/// (`{"shape": [30, 512, 512], "truncated": true}`).
fn images_described(page: &Page) -> u64 {
    let text = String::from_utf8_lossy(page.description);
    let text = text.trim_end_matches('\0');
    if text.starts_with("ImageJ=") {
        return text.lines().find_map(|line| line.strip_prefix("images=")?.trim().parse().ok()).unwrap_or(1);
    }
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else { return 1 };
    if json["truncated"] != true {
        return 1;
    }
    let shape = json["shape"].as_array().into_iter().flatten();
    let values = shape.map(serde_json::Value::as_u64).try_fold(1u64, |all, n| all.checked_mul(n?));
    values.unwrap_or(1) / (page.width as u64 * page.height as u64 * page.components as u64)
}
