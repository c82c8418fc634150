//! TIFF and BigTIFF.
//!
//! Specification: TIFF 6.0 (Adobe, 1992), Adobe's technical notes on compression and the floating-point predictor,
//! BigTIFF (<https://www.awaresystems.be/imaging/tiff/bigtiff.html>); conventions of ImageJ and of tifffile for stacks.
//!
//! Read: unsigned integers of 1 to 16, 32 and 64 bits, signed ones of 8 to 64, floats of 16, 32 and 64; strips and
//! tiles, chunky and planar, both byte orders and bit orders, both predictors; no compression, LZW (the old kind, too),
//! Deflate, PackBits, Zstandard, LZMA, CCITT Group 4, JPEG. Values come as stored: palettes as indices, MinIsWhite not
//! inverted, alpha and other extra samples as further components. CMYK alone is converted, to the RGB of Pillow. The
//! number of components is SamplesPerPixel whatever the photometric interpretation says: CVC-ClinicDB calls its
//! three-component frames MinIsBlack.
//!
//! `tiff` 0.11.3 refuses palettes, returns values of fewer than 8 bits packed, inverts MinIsWhite, and reads the first
//! image of an ImageJ stack only: a test in this file shows each. So the directories are read here; codecs are `weezl`,
//! `flate2`, `zstd`, `xz2`, `fax`, and [`jpeg`](super::jpeg).
//!
//! In the wild: thumbnails as second pages (skipped, with a note); ImageJ hyperstacks with one directory for all
//! images; strip counts that are missing; colour maps of 8 bits; resolutions that are a scanner's default. The
//! resolution tags are therefore not used as spacing, in whatever unit.

mod codec;
mod page;
mod samples;

use self::page::Page;
use super::format::{Format, Start};
use super::ifd::File;
use super::{Error, Result};
use crate::image::Image;
use crate::memory::Room;

const FORMAT: &str = "TIFF";

/// TIFF and BigTIFF.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["tif", "tiff"],
    signature: |head| [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| head.starts_with(*magic)),
    start: Start::Signature,
    read: |file, _, _| read_within(&file.plain(|_| None)?, file.room()),
    ..Format::PLAIN
};

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
/// As [`read_pages`]; [`Error::NotTogether`] where pages differ in size, type, palette or sense of white, which
/// [`read_pages`] can read.
pub fn read(bytes: &[u8]) -> Result<Image> {
    read_within(bytes, &Room::default())
}

fn read_within(bytes: &[u8], room: &Room) -> Result<Image> {
    let file = File::open(bytes)?;
    let (pages, skipped) = pages(&file, room)?;
    if let Some(i) = pages.iter().position(|page| !page.is_like(&pages[0])) {
        let reason = format!("pages 0 and {i} do not belong to one image: {}", pages[0].difference(&pages[i]));
        return Err(Error::NotTogether { format: FORMAT, reason });
    }
    // The sum of all pages was checked to be an address.
    let size = pages.iter().filter_map(Page::image_bytes).sum::<u64>() as usize;
    let mut values = room.with_capacity(size)?;
    for page in &pages {
        page.decode(&file, &mut values, room)?;
    }
    let mut image = pages[0].image(values, pages.len(), room)?;
    image.notes.extend(skipped);
    Ok(image)
}

/// Reads every page as an image of its own. Thumbnails and transparency masks of other pages are left out.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Truncated`]; [`Error::Unsupported`] for compressions and sample types not read here.
pub fn read_pages(bytes: &[u8]) -> Result<Vec<Image>> {
    let file = File::open(bytes)?;
    let room = Room::default();
    let (pages, skipped) = pages(&file, &room)?;
    let decode = |page: &Page| {
        let mut values = Vec::new();
        page.decode(&file, &mut values, &room)?;
        page.image(values, 1, &room)
    };
    let mut images = pages.iter().map(decode).collect::<Result<Vec<_>>>()?;
    images[0].notes.extend(skipped);
    Ok(images)
}

/// The pages of a file, at least one, and a note of what was left out.
fn pages<'a>(file: &File<'a>, room: &Room) -> Result<(Vec<Page<'a>>, Option<String>)> {
    let mut pages = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut skipped = 0;
    let mut at = file.first;
    while at != 0 {
        if !seen.insert(at) || seen.len() > MOST_PAGES {
            return Err(malformed(format!("the chain of directories returns to byte {at} or does not end")));
        }
        let (directory, next) = file.directory(at)?;
        // A thumbnail may be stored in a way that is not read here, without harm.
        if at != file.first && page::is_auxiliary(&directory)? {
            skipped += 1;
        } else {
            let page = Page::parse(file, &directory, room)?;
            room.take(page.memory())?;
            pages.push(page);
        }
        at = next;
    }
    match &pages[..] {
        [] => return Err(malformed("no page".into())),
        [page] => pages.extend(pages_without_directory(file, page, room)?),
        _ => {}
    }
    let total = pages.iter().try_fold(0u64, |total, page| total.checked_add(page.image_bytes()?));
    if total.is_none_or(|total| total > page::MOST_BYTES) {
        return Err(malformed(format!("{} pages of more than {} bytes together", pages.len(), page::MOST_BYTES)));
    }
    let note = (skipped > 0).then(|| format!("TIFF: {skipped} reduced or mask pages (NewSubfileType) are skipped"));
    Ok((pages, note))
}

/// Further images behind the only page: ImageJ writes stacks above 4 GB so, and tifffile where it is told to.
fn pages_without_directory<'a>(file: &File<'a>, page: &Page<'a>, room: &Room) -> Result<Vec<Page<'a>>> {
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
            room.take(page.memory())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::ifd as tag;
    use crate::image::Samples;
    use proptest::prelude::*;

    /// A page to write: tags with their values (all LONG, text as BYTE) and strips.
    #[derive(Clone)]
    struct Draft {
        tags: Vec<(u16, Vec<u64>)>,
        text: &'static str,
        strips: Vec<Vec<u8>>,
    }

    fn page(width: u64, height: u64, bits: u64, strips: &[&[u8]]) -> Draft {
        let tags = vec![
            (tag::IMAGE_WIDTH, vec![width]),
            (tag::IMAGE_LENGTH, vec![height]),
            (tag::BITS_PER_SAMPLE, vec![bits]),
            (tag::COMPRESSION, vec![1]),
            (tag::PHOTOMETRIC, vec![1]),
            (tag::ROWS_PER_STRIP, vec![height.div_ceil(strips.len() as u64)]),
        ];
        Draft { tags, text: "", strips: strips.iter().map(|s| s.to_vec()).collect() }
    }

    impl Draft {
        fn with(mut self, tag: u16, values: &[u64]) -> Self {
            self.tags.retain(|(t, _)| *t != tag);
            self.tags.push((tag, values.to_vec()));
            self
        }
    }

    /// Writes a file in either byte order and either kind of TIFF.
    fn write(pages: &[Draft], big_endian: bool, big_tiff: bool) -> Vec<u8> {
        let number = |value: u64, width: usize| {
            let bytes = value.to_be_bytes()[8 - width..].to_vec();
            if big_endian { bytes } else { bytes.into_iter().rev().collect() }
        };
        let (count_width, offset_width) = if big_tiff { (8, 8) } else { (2, 4) };
        let mut file = if big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        file.extend(number(if big_tiff { 43 } else { 42 }, 2));
        if big_tiff {
            file.extend([number(8, 2), number(0, 2)].concat());
        }
        let mut link = file.len();
        file.extend(number(0, offset_width));
        for draft in pages {
            let mut tags = draft.tags.clone();
            tags.push((tag::STRIP_OFFSETS, Vec::new()));
            tags.push((tag::STRIP_BYTE_COUNTS, Vec::new()));
            for strip in &draft.strips {
                let n = tags.len();
                tags[n - 2].1.push(file.len() as u64);
                tags[n - 1].1.push(strip.len() as u64);
                file.extend(strip);
            }
            if tags.iter().any(|(t, _)| *t == tag::TILE_WIDTH) {
                let n = tags.len();
                (tags[n - 2].0, tags[n - 1].0) = (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS);
            }
            let mut entries = Vec::new();
            for (tag, values) in &tags {
                entries.push((*tag, 4, values.len(), values.iter().flat_map(|&v| number(v, 4)).collect::<Vec<u8>>()));
            }
            if !draft.text.is_empty() {
                entries.push((tag::IMAGE_DESCRIPTION, 2, draft.text.len() + 1, [draft.text.as_bytes(), &[0]].concat()));
            }
            for (_, _, _, data) in &mut entries {
                if data.len() <= offset_width {
                    data.resize(offset_width, 0);
                } else {
                    let at = number(file.len() as u64, offset_width);
                    file.extend(std::mem::replace(data, at));
                }
            }
            let here = number(file.len() as u64, offset_width);
            file[link..link + offset_width].copy_from_slice(&here);
            file.extend(number(entries.len() as u64, count_width));
            for (tag, kind, count, data) in entries {
                let entry = [number(u64::from(tag), 2), number(kind, 2), number(count as u64, offset_width), data];
                file.extend(entry.concat());
            }
            link = file.len();
            file.extend(number(0, offset_width));
        }
        file
    }

    fn one(draft: Draft) -> Result<Image> {
        read(&write(&[draft], false, false))
    }

    #[test]
    fn both_byte_orders_and_both_kinds_of_file() {
        for big_endian in [false, true] {
            for big_tiff in [false, true] {
                let value = |v: u16| if big_endian { v.to_be_bytes() } else { v.to_le_bytes() };
                let strips = [[value(1), value(258)].concat(), [value(3), value(4)].concat()];
                let draft = page(2, 2, 16, &[&strips[0], &strips[1]]);
                let image = read(&write(&[draft], big_endian, big_tiff)).unwrap();
                assert_eq!(image.samples, Samples::U16(vec![1, 258, 3, 4]), "{big_endian} {big_tiff}");
                assert_eq!((image.size, image.bits, image.geometry), ([2, 2, 1, 1], 16, None));
            }
        }
    }

    #[test]
    fn one_bit_palette_masks_keep_their_indices() {
        let draft = page(3, 2, 1, &[&[0b1010_0000, 0b0100_0000]]).with(tag::PHOTOMETRIC, &[3]);
        let wide = draft.clone().with(tag::COLOR_MAP, &[0, 65535, 0, 0x8000, 0, 0]);
        let image = one(wide).unwrap();
        assert_eq!((image.samples, image.bits), (Samples::U8(vec![1, 0, 1, 0, 1, 0]), 1));
        assert_eq!(image.palette, Some(vec![[0, 0, 0, 255], [255, 128, 0, 255]]));
        let narrow = draft.with(tag::COLOR_MAP, &[0, 255, 0, 128, 0, 0]);
        assert_eq!(one(narrow).unwrap().palette, Some(vec![[0, 0, 0, 255], [255, 128, 0, 255]]));
    }

    #[test]
    fn three_samples_called_grey_are_three_components() {
        let draft = page(1, 1, 8, &[&[1, 2, 3]]).with(tag::SAMPLES_PER_PIXEL, &[3]).with(tag::PHOTOMETRIC, &[1]);
        let image = one(draft).unwrap();
        assert_eq!((image.components, image.samples), (3, Samples::U8(vec![1, 2, 3])));
    }

    #[test]
    fn extra_samples_are_kept_and_planes_interleaved() {
        let draft =
            page(2, 1, 8, &[&[1, 2], &[3, 4]]).with(tag::ROWS_PER_STRIP, &[1]).with(tag::SAMPLES_PER_PIXEL, &[2]);
        let image = one(draft.with(tag::PLANAR_CONFIGURATION, &[2])).unwrap();
        assert_eq!((image.components, image.samples), (2, Samples::U8(vec![1, 3, 2, 4])));
    }

    #[test]
    fn tiles_are_cut_at_the_border() {
        let tiles: [&[u8]; 2] = [&[1, 2, 4, 5], &[3, 99, 6, 99]];
        let draft = page(3, 2, 8, &tiles).with(tag::TILE_WIDTH, &[2]).with(tag::TILE_LENGTH, &[2]);
        assert_eq!(one(draft).unwrap().samples, Samples::U8(vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn stored_values_survive_what_viewers_change() {
        let draft = page(8, 1, 1, &[&[0b0000_0011]]);
        let image = one(draft.clone().with(tag::PHOTOMETRIC, &[0]).with(tag::ORIENTATION, &[3])).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![0, 0, 0, 0, 0, 0, 1, 1]));
        assert!(image.notes[0].contains("MinIsWhite") && image.notes[1].contains("orientation 3"));
        let image = one(draft.with(tag::FILL_ORDER, &[2])).unwrap();
        assert_eq!(image.samples, Samples::U8(vec![1, 1, 0, 0, 0, 0, 0, 0]));
    }

    #[test]
    fn integers_of_64_bits_are_exact() {
        let draft = page(1, 1, 64, &[&u64::MAX.to_le_bytes()]);
        assert_eq!(one(draft.clone()).unwrap().samples, Samples::U64(vec![u64::MAX]));
        assert_eq!(one(draft.with(tag::SAMPLE_FORMAT, &[2])).unwrap().samples, Samples::I64(vec![-1]));
    }

    #[test]
    fn pages_are_stacked_and_thumbnails_left_out() {
        let small = page(1, 1, 8, &[&[9]]).with(tag::NEW_SUBFILE_TYPE, &[1]).with(tag::COMPRESSION, &[6]);
        let file = write(&[page(2, 1, 8, &[&[1, 2]]), small, page(2, 1, 8, &[&[3, 4]])], false, false);
        let image = read(&file).unwrap();
        assert_eq!((image.size, &image.samples), ([2, 1, 2, 1], &Samples::U8(vec![1, 2, 3, 4])));
        assert!(image.notes[0].contains("1 reduced or mask pages"));
        assert_eq!(read_pages(&file).unwrap().len(), 2);
    }

    #[test]
    fn pages_that_differ_are_read_one_by_one() {
        let file = write(&[page(2, 1, 8, &[&[1, 2]]), page(1, 1, 8, &[&[3]])], true, false);
        let error = read(&file).unwrap_err().to_string();
        assert!(
            error.contains("pages 0 and 1 do not belong to one image: 2 x 1") && error.contains("and 1 x 1"),
            "{error}"
        );
        let pages = read_pages(&file).unwrap();
        assert_eq!(pages[1].samples, Samples::U8(vec![3]));
    }

    #[test]
    fn stacks_with_one_directory() {
        for text in ["ImageJ=1.54f\nimages=3\nslices=3\n", r#"{"shape": [3, 1, 2], "truncated": true}"#] {
            let mut draft = page(2, 1, 8, &[&[1, 2]]);
            draft.text = text;
            // The images lie one after the other from byte 8: the strip names the first only.
            draft.strips = vec![vec![1, 2, 3, 4, 5, 6]];
            let image = read(&write(&[draft], false, false)).unwrap();
            assert_eq!((image.size, image.samples), ([2, 1, 3, 1], Samples::U8(vec![1, 2, 3, 4, 5, 6])), "{text}");
        }
        let mut draft = page(2, 1, 8, &[&[1, 2]]);
        draft.text = "ImageJ=1.54f\nimages=3000\n";
        assert!(read(&write(&[draft], false, false)).unwrap_err().to_string().contains("stack that the description"));
    }

    #[test]
    fn what_the_tiff_crate_reads_otherwise_or_not_at_all() {
        use ::tiff::decoder::{Decoder, DecodingResult};
        let by_tiff = |draft: &Draft| {
            let file = write(std::slice::from_ref(draft), false, false);
            match Decoder::new(std::io::Cursor::new(file))?.read_image()? {
                DecodingResult::U8(values) => Ok(values),
                other => panic!("{other:?}"),
            }
        };
        let by_tiff = |draft: &Draft| -> ::tiff::TiffResult<Vec<u8>> { by_tiff(draft) };
        let grey = page(4, 1, 8, &[&[0, 1, 2, 255]]);
        assert_eq!(by_tiff(&grey).unwrap(), [0, 1, 2, 255]);
        let inverted = grey.clone().with(tag::PHOTOMETRIC, &[0]);
        assert_eq!(one(inverted.clone()).unwrap().samples, Samples::U8(vec![0, 1, 2, 255]));
        assert_eq!(by_tiff(&inverted).unwrap(), [255, 254, 253, 0]);
        let indexed = grey.with(tag::PHOTOMETRIC, &[3]).with(tag::COLOR_MAP, &[0; 768]);
        assert_eq!(one(indexed.clone()).unwrap().samples, Samples::U8(vec![0, 1, 2, 255]));
        assert!(matches!(by_tiff(&indexed), Err(::tiff::TiffError::UnsupportedError(_))));
        let bits = page(4, 1, 1, &[&[0b1010_0000]]);
        assert_eq!(one(bits.clone()).unwrap().samples, Samples::U8(vec![1, 0, 1, 0]));
        assert_eq!(by_tiff(&bits).unwrap(), [0b1010_0000]);
        let mut stack = page(2, 1, 8, &[&[1, 2, 3, 4]]);
        stack.text = "ImageJ=1.54f\nimages=2\n";
        assert_eq!(one(stack.clone()).unwrap().samples, Samples::U8(vec![1, 2, 3, 4]));
        assert_eq!(by_tiff(&stack).unwrap(), [1, 2]);
    }

    #[test]
    fn missing_counts_and_rows_have_defaults() {
        let mut file = write(&[page(2, 2, 8, &[&[1, 2, 3, 4]])], false, false);
        for (old, new) in [(tag::STRIP_BYTE_COUNTS, 60000u16), (tag::ROWS_PER_STRIP, 60001)] {
            let entry = [&old.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0]].concat();
            let at = file.windows(8).position(|w| w == entry).unwrap();
            file[at..at + 2].copy_from_slice(&new.to_le_bytes());
        }
        assert_eq!(read(&file).unwrap().samples, Samples::U8(vec![1, 2, 3, 4]));
    }

    #[test]
    fn broken_files_are_errors_that_say_what_is_wrong() {
        let good = page(2, 2, 8, &[&[1, 2, 3, 4]]);
        for (draft, message) in [
            (good.clone().with(tag::IMAGE_LENGTH, &[9]).with(tag::ROWS_PER_STRIP, &[9]), "needs 18 bytes, found 4"),
            (good.clone().with(tag::IMAGE_LENGTH, &[9]), "expected 5 strips or tiles, found 1"),
            (good.clone().with(tag::IMAGE_WIDTH, &[0]), "0 x 2 pixels"),
            (good.clone().with(tag::COMPRESSION, &[3]), "CCITT Group 3"),
            (good.clone().with(tag::COMPRESSION, &[8]), "Deflate"),
            (good.clone().with(tag::PHOTOMETRIC, &[6]), "YCbCr"),
            (good.clone().with(tag::SAMPLE_FORMAT, &[6]), "sample format 6"),
            (good.clone().with(tag::BITS_PER_SAMPLE, &[24]), "24 bits"),
            (
                good.clone().with(tag::SAMPLES_PER_PIXEL, &[3]).with(tag::BITS_PER_SAMPLE, &[5, 6, 5]),
                "differ in BitsPerSample",
            ),
            (page(1 << 30, 1 << 30, 8, &[&[1, 2, 3, 4]]).with(tag::COMPRESSION, &[8]), "more than"),
        ] {
            let error = one(draft).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        let file = write(&[good], false, false);
        for cut in 0..file.len() - 4 {
            assert!(
                matches!(read(&file[..cut]), Err(Error::Truncated { .. } | Error::Malformed { .. })),
                "cut at {cut}"
            );
        }
        let mut circular = file.clone();
        let link = file.len() - 4;
        circular[link..].copy_from_slice(&file[4..8]);
        assert!(read(&circular).unwrap_err().to_string().contains("returns to byte"));
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(
            changes in prop::collection::vec((0usize..400, any::<u8>()), 1..4), cut in 0usize..400, big: bool,
        ) {
            let pages = [
                page(9, 3, 8, &[&[1; 18], &[2; 9]]).with(tag::PREDICTOR, &[2]),
                page(9, 3, 8, &[&[0x80, 0x3f, 0xe0, 0x50, 0x38], &[2; 9]]).with(tag::COMPRESSION, &[5]),
            ];
            let mut file = write(&pages, big, big);
            for (at, value) in changes {
                let at = at % file.len();
                file[at] = value;
            }
            let _ = read(&file);
            let _ = read_pages(&file);
            let _ = read_pages(&file[..cut.min(file.len())]);
        }
    }
}
