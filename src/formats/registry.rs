//! All formats, one line each, and what is asked of them together: which one a file is in, what it holds, what its
//! extension promises.

use super::format::{File, Format, Start};
use super::probe::Probe;
use super::segments::{Segments, Table};
use super::{
    Companion, Error, Result, Scratch, analyze, bmp, dicom, gif, gzip, jpeg, metaimage, nifti, nrrd, png, pnm, tiff,
};
use crate::fault::substitute;
use crate::image::Image;

/// The formats, in the order in which their signatures are looked for.
pub static FORMATS: &[&Format] = &[
    &png::ENTRY,
    &jpeg::ENTRY,
    &gif::ENTRY,
    // Before TIFF: the preamble of DICOM is free for another format's header, and is used for TIFF's.
    &dicom::ENTRY,
    &tiff::ENTRY,
    &nrrd::ENTRY,
    // Before Analyze, whose header it extends.
    &nifti::ENTRY,
    &analyze::ENTRY,
    &metaimage::ENTRY,
    &bmp::ENTRY,
    &pnm::ENTRY,
];

/// Files that lie in downloads and are not read as images: known, so that they are not taken for damaged images or tars.
struct Other {
    extensions: &'static [&'static str],
    /// Magic number; empty where there is none.
    signature: &'static [u8],
    /// Whether it may be what a server sends in place of a file.
    text: bool,
}

impl Other {
    const fn binary(extensions: &'static [&'static str], signature: &'static [u8]) -> Other {
        Other { extensions, signature, text: false }
    }
}

static OTHERS: &[Other] = &[
    Other::binary(&["webp"], b"RIFF"),
    Other::binary(&["jp2"], b"\0\0\0\x0cjP"),
    Other::binary(&["mgh", "mnc"], b""),
    Other::binary(&["csv", "tsv", "xls", "xlsx"], b""),
    Other::binary(&["npy", "npz", "mat", "h5"], b""),
    Other::binary(&["pdf"], b""),
    Other { extensions: &["txt", "json", "xml"], signature: b"", text: true },
];

/// Tells the format of a file by its signature, or by its name where it has none; `None` where neither does. Headers of
/// text, damaged files and DICOM without a preamble have no signature.
pub fn detect(file: &File) -> Option<&'static Format> {
    by_signature(file).or_else(|| by_extension(extension_of(file.plain_name())?.as_str()))
}

fn by_signature(file: &File) -> Option<&'static Format> {
    let start = file.signature()?;
    FORMATS.iter().copied().find(|format| (format.signature)(start))
}

fn by_extension(extension: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|format| format.extensions.contains(&extension))
}

fn extension_of(name: &str) -> Option<String> {
    Some(name.rsplit_once('.')?.1.to_ascii_lowercase())
}

/// Reads an image of any format. `name` is the file's name or path: it tells the format of bytes without a signature, and
/// the name of a companion follows from it.
///
/// # Errors
/// [`Error::Unknown`] where no format is recognised, else what its reader says.
pub fn read(name: &str, bytes: &[u8], companion: &Companion) -> Result<Image> {
    read_file(&File::new(name, bytes), companion, &mut Scratch::default())
}

/// As [`read`], of a file that was looked at before, into the memory of volumes that were read before where `scratch` has some
/// that serves.
///
/// # Errors
/// As [`read`].
pub fn read_file(file: &File, companion: &Companion, scratch: &mut Scratch) -> Result<Image> {
    refuse_substitute(file)?;
    let format = detect(file).ok_or_else(|| {
        Error::Unknown(match file.bytes.len() {
            0 => "the file is empty".to_string(),
            n => format!("it begins with {:02x?}, which is none of the signatures read here", &file.bytes[..n.min(8)]),
        })
    })?;
    (format.read)(file, companion, scratch)
}

/// Refuses what came in place of a file: web pages and pointers. What has a signature is none.
fn refuse_substitute(file: &File) -> Result<()> {
    match by_signature(file) {
        Some(_) => Ok(()),
        None => match substitute(file.bytes) {
            Some(looks) => Err(Error::Unknown(format!("it is {}{}", looks.what, looks.advice))),
            None => Ok(()),
        },
    }
}

/// Reads one DICOM instance, gzipped or not, with its header.
///
/// # Errors
/// Those of [`dicom::read`] and of gzip.
pub fn dicom_instance(bytes: &[u8]) -> Result<dicom::Instance> {
    let file = File::new("", bytes);
    refuse_substitute(&file)?;
    dicom::read(&file.plain()?)
}

/// The table of the masks that a file holds under names; `None` where it holds none.
///
/// # Errors
/// Where the file is damaged, or its table contradicts itself.
pub fn segment_table(file: &File) -> Result<Option<Table>> {
    detect(file).map_or(Ok(None), |format| (format.describe)(file))
}

/// Reads the masks that a file holds under names; `None` where it holds none.
///
/// # Errors
/// As [`segment_table`], and those of the pixels; frames that do not say which segment they are of.
pub fn segments(file: &File, companion: &Companion) -> Result<Option<Segments>> {
    detect(file).map_or(Ok(None), |format| (format.segments)(file, companion))
}

/// Names under which the data of a header may lie: the same stem beside it, by the convention of its format.
pub(crate) fn companions(path: &str) -> Vec<String> {
    let Some((stem, extension)) = path.rsplit_once('.') else { return Vec::new() };
    let extension = extension.to_ascii_lowercase();
    let headers = FORMATS.iter().flat_map(|format| format.companions);
    let endings = headers.filter(|(header, _)| *header == extension).flat_map(|(_, data)| *data);
    endings.map(|ending| format!("{stem}.{ending}")).collect()
}

/// Whether first bytes are a magic number: of a format, whatever the file is named, of gzip, or of a format that is not
/// read here.
pub(crate) fn has_signature(head: &[u8]) -> bool {
    let other = |other: &Other| !other.signature.is_empty() && head.starts_with(other.signature);
    gzip::is_gzip(head) || FORMATS.iter().any(|format| (format.signature)(head)) || OTHERS.iter().any(other)
}

/// What follows a file to its end that begins with these bytes; `None` where nothing does.
pub(crate) fn probe_of(head: &[u8]) -> Option<Box<dyn Probe>> {
    if gzip::is_gzip(head) {
        return Some(gzip::probe());
    }
    let format = FORMATS.iter().find(|format| (format.signature)(head))?;
    Some(format.probe?())
}

/// How files of an extension begin; `None` where nothing is known of it, or they may be text.
pub(crate) fn start_of(extension: &str) -> Option<Start> {
    if let Some(format) = by_extension(extension) {
        return Some(format.start);
    }
    is_data(extension).then_some(Start::Any)
}

/// Whether an extension is that of data beside a header, or of a file that is no image and no text.
fn is_data(extension: &str) -> bool {
    let companion = |format: &&Format| {
        format.companions.iter().flat_map(|(_, data)| *data).any(|ending| ending.eq_ignore_ascii_case(extension))
    };
    FORMATS.iter().any(|format| companion(format)) || other(extension).is_some_and(|other| !other.text)
}

fn other(extension: &str) -> Option<&'static Other> {
    OTHERS.iter().find(|other| other.extensions.contains(&extension))
}

/// Whether an extension is known, so that a compressed file of it is no tar.
pub(crate) fn is_known(extension: &str) -> bool {
    start_of(extension).is_some() || other(extension).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(name: &str, bytes: &[u8]) -> Option<&'static Format> {
        detect(&File::new(name, bytes))
    }

    #[test]
    fn a_preamble_of_dicom_may_be_a_tiff_header() {
        let mut bytes = vec![0; 140];
        bytes[..8].copy_from_slice(b"II*\0\x54\x18\x08\0");
        assert_eq!(detected("CT_small.dcm", &bytes), Some(&tiff::ENTRY));
        bytes[128..132].copy_from_slice(b"DICM");
        assert_eq!(detected("CT_small.dcm", &bytes), Some(&dicom::ENTRY));
    }

    /// Each extension is of one format, and each format has a name of its own.
    #[test]
    fn names_and_extensions_are_distinct() {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        let mut extensions: Vec<&str> = FORMATS.iter().flat_map(|format| format.extensions).copied().collect();
        extensions.extend(OTHERS.iter().flat_map(|other| other.extensions));
        for mut all in [names, extensions] {
            assert!(all.iter().all(|text| !text.is_empty()));
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }

    #[test]
    fn data_lie_beside_their_header() {
        assert_eq!(companions("a/b.mhd"), ["a/b.raw", "a/b.zraw", "a/b.RAW", "a/b.raw.gz"]);
        assert_eq!(companions("a/b.HDR"), ["a/b.img", "a/b.img.gz", "a/b.IMG"]);
        assert_eq!(companions("a.nii.gz"), [""; 0]);
        assert_eq!([start_of("zraw"), start_of("img"), start_of("txt")], [Some(Start::Any), Some(Start::Any), None]);
    }

    #[test]
    fn a_damaged_start_leaves_the_name_to_tell() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, &[0; 4000]).unwrap();
        let mut bytes = encoder.finish().unwrap();
        bytes.truncate(12);
        assert_eq!(detected("a.nii.gz", &bytes), Some(&nifti::ENTRY));
        assert_eq!(detected("a.gz", &bytes), None);
    }

    #[test]
    fn pages_and_pointers_are_named() {
        let read = |bytes: &[u8]| read("a.nii", bytes, &|_| None).unwrap_err().to_string();
        assert!(read(b"<!DOCTYPE html><html>").contains("it is an HTML page: the download did not reach the file"));
        assert!(read(b"version https://git-lfs.github.com/spec/v1\n").contains("a Git LFS pointer"));
        assert!(dicom_instance(b"<html>").unwrap_err().to_string().contains("an HTML page"));
    }
}
