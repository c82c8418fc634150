//! The list of all formats, and the questions that go to all of them: the format of a file, its content, the companions
//! and the first bytes that its extension implies.

use super::format::{File, Format, NamedData, Start};
use super::probe::Probe;
use super::segments::{Segments, Table};
use super::{Companion, Error, Result, Scratch, dicom, gzip};
use crate::fault::substitute;
use crate::image::Image;

/// The formats, in the order in which their signatures are looked for.
pub static FORMATS: &[&Format] = &[
    &super::png::ENTRY,
    &super::jpeg::ENTRY,
    &super::gif::ENTRY,
    // Before TIFF: the preamble of DICOM is free for another format's header, and is used for TIFF's.
    &super::dicom::ENTRY,
    &super::tiff::ENTRY,
    &super::nrrd::ENTRY,
    // Before Analyze, whose header it extends.
    &super::nifti::ENTRY,
    &super::analyze::ENTRY,
    &super::metaimage::ENTRY,
    &super::bmp::ENTRY,
    &super::pnm::ENTRY,
];

/// Files of downloads that are not read as images. They are listed so that they are not mistaken for damaged images or
/// for compressed tars.
struct Other {
    extensions: &'static [&'static str],
    /// Magic number; empty where there is none.
    signature: &'static [u8],
    /// Whether it is text of a kind that servers send instead of a file.
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

/// Detects the format of a file by its signature, else by its extension; `None` where neither is known. Text headers,
/// damaged files and DICOM without a preamble have no signature.
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

/// Reads an image of any format. `name` is the file's name or path: its extension decides where the bytes have no
/// signature, and the name of a companion derives from it.
///
/// ```
/// use medcosmos::formats;
/// use medcosmos::image::Samples;
///
/// let no_companion = |_: &str| Ok(None);
/// let image = formats::read("labels.pgm", b"P5 3 2 255\n\x00\x01\x01\x00\x02\x00", &no_companion)?;
/// assert_eq!(image.size, [3, 2, 1, 1]);
/// assert_eq!(image.samples, Samples::U8(vec![0, 1, 1, 0, 2, 0]));
///
/// let error = formats::read("scan.nii.gz", b"<!DOCTYPE html>", &no_companion).unwrap_err();
/// assert!(error.to_string().contains("HTML page"));
/// # Ok::<(), formats::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unknown`] where no format is recognised, else what its reader says.
pub fn read(name: &str, bytes: &[u8], companion: &Companion) -> Result<Image> {
    read_file(&File::new(name, bytes), companion, &mut Scratch::default())
}

/// As [`read`], of a [`File`] that [`detect`] has seen already, into the memory of volumes read before where `scratch`
/// has some that serves. The room that the file was opened in holds the image in the end.
///
/// # Errors
/// As [`read`].
pub fn read_file(file: &File, companion: &Companion, scratch: &mut Scratch) -> Result<Image> {
    refuse_substitute(file)?;
    let format = detect(file).ok_or_else(|| {
        Error::Unknown(match file.bytes.len() {
            0 => "the file is empty".to_string(),
            n => format!("starts with {:02x?}, which is not a supported signature", &file.bytes[..n.min(8)]),
        })
    })?;
    let image = (format.read)(file, companion, scratch)?;
    file.room().hand_over(image.samples.bytes());
    Ok(image)
}

/// Refuses web pages and pointers that a download holds instead of the file.
fn refuse_substitute(file: &File) -> Result<()> {
    match by_signature(file) {
        Some(_) => Ok(()),
        None => match substitute(file.bytes) {
            Some(looks) => Err(Error::Unknown(format!("the file is {}{}", looks.what, looks.advice))),
            None => Ok(()),
        },
    }
}

/// Reads one DICOM instance, gzipped or not, with its header.
///
/// # Errors
/// Those of [`dicom::read`] and of gzip.
pub fn dicom_instance(file: &File) -> Result<dicom::Instance> {
    refuse_substitute(file)?;
    let instance = dicom::read_file(file)?;
    file.room().hand_over(instance.image.samples.bytes());
    Ok(instance)
}

/// The table of named masks in a file; `None` where there are none.
///
/// # Errors
/// Where the file is damaged, or its table contradicts itself.
pub fn segment_table(file: &File) -> Result<Option<Table>> {
    let held = file.room().held();
    let table = detect(file).map_or(Ok(None), |format| (format.describe)(file));
    file.room().back_to(held);
    table
}

/// Reads the named masks of a file; `None` where there are none.
///
/// # Errors
/// As [`segment_table`], and those of the pixels; frames that do not say which segment they are of.
pub fn segments(file: &File, companion: &Companion) -> Result<Option<Segments>> {
    let segments = detect(file).map_or(Ok(None), |format| (format.segments)(file, companion))?;
    file.room().hand_over(file.room().held());
    Ok(segments)
}

/// Paths where the data file of a header may be: next to it, with the same stem and an extension of the format's
/// convention.
pub(crate) fn companions(path: &str) -> Vec<String> {
    let Some((stem, extension)) = path.rsplit_once('.') else { return Vec::new() };
    let extension = extension.to_ascii_lowercase();
    let headers = FORMATS.iter().flat_map(|format| format.companions);
    let endings = headers.filter(|(header, _)| *header == extension).flat_map(|(_, data)| *data);
    endings.map(|ending| format!("{stem}.{ending}")).collect()
}

/// Reader of the names of the data files in the header at `path`; `None` where its extension is not that of such a
/// header.
pub(crate) fn named_data(path: &str) -> Option<NamedData> {
    let extension = extension_of(path)?;
    let is_header = |format: &&&Format| format.companions.iter().any(|(header, _)| *header == extension);
    FORMATS.iter().find(is_header)?.named_data
}

/// Whether a file begins with the signature of any format, of gzip, or of a format that is not read here.
pub(crate) fn has_signature(head: &[u8]) -> bool {
    let other = |other: &Other| !other.signature.is_empty() && head.starts_with(other.signature);
    gzip::is_gzip(head) || FORMATS.iter().any(|format| (format.signature)(head)) || OTHERS.iter().any(other)
}

/// The probe for a file with these first bytes, which may expand to `most` bytes where it is compressed; `None` where
/// its format has none.
pub(crate) fn probe_of(head: &[u8], most: u64) -> Option<Box<dyn Probe>> {
    if gzip::is_gzip(head) {
        return Some(gzip::probe(most));
    }
    let format = FORMATS.iter().find(|format| (format.signature)(head))?;
    Some(format.probe?())
}

/// How files of an extension (lower case, no dot) begin; `None` for unknown extensions and text.
pub(crate) fn start_of(extension: &str) -> Option<Start> {
    if let Some(format) = by_extension(extension) {
        return Some(format.start);
    }
    is_data(extension).then_some(Start::Any)
}

/// Whether an extension is that of a header's data file, or of another binary file.
fn is_data(extension: &str) -> bool {
    let companion = |format: &&Format| {
        format.companions.iter().flat_map(|(_, data)| *data).any(|ending| ending.eq_ignore_ascii_case(extension))
    };
    FORMATS.iter().any(companion) || other(extension).is_some_and(|other| !other.text)
}

fn other(extension: &str) -> Option<&'static Other> {
    OTHERS.iter().find(|other| other.extensions.contains(&extension))
}

/// Whether an extension is listed here, so that a compressed file of it is not a tar.
pub(crate) fn is_known(extension: &str) -> bool {
    start_of(extension).is_some() || other(extension).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{nifti, tiff};

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
    fn headers_name_their_data() {
        let said = |name: &str, text: &str| named_data(name).unwrap()(text.as_bytes());
        let mhd = |text: &str| said("a/b.mhd", text);
        assert_eq!(mhd("NDims = 3\nElementDataFile = data img.bin\r\n"), Some(vec!["data img.bin".to_string()]));
        assert_eq!(
            said("a.nhdr", "NRRD0004\nencoding: raw\ndata file: ./mask.raw\n"),
            Some(vec!["mask.raw".to_string()])
        );
        assert_eq!(mhd("ElementDataFile = LIST\na.raw\nb.raw\n").unwrap().len(), 2);
        assert_eq!(mhd("ElementDataFile = LOCAL\n"), Some(vec![]));
        assert_eq!((mhd("ElementDataFile = s%d.raw 1 4 1\n"), mhd("junk")), (None, None));
        assert!(named_data("a.hdr").is_none() && named_data("a.mha").is_none());
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
        let read = |bytes: &[u8]| read("a.nii", bytes, &|_| Ok(None)).unwrap_err().to_string();
        assert!(
            read(b"<!DOCTYPE html><html>").contains("the file is an HTML page: the server did not deliver the file")
        );
        assert!(read(b"version https://git-lfs.github.com/spec/v1\n").contains("a Git LFS pointer"));
        assert!(dicom_instance(&File::new("", b"<html>")).unwrap_err().to_string().contains("an HTML page"));
    }
}
