//! Which container bytes are in, by their first bytes, and by the name where those say nothing.

use super::{
    Companion, Error, Result, Scratch, analyze, bmp, dicom, gif, gzip, jpeg, metaimage, nifti, nrrd, png, pnm, tiff,
};
use crate::image::Image;
use crate::raw::stand_in;

/// A container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// NIfTI-1 or NIfTI-2, one file or the header of a pair.
    Nifti,
    /// Analyze 7.5 header.
    Analyze,
    /// MetaImage, with its data or the header alone.
    MetaImage,
    /// NRRD, with its data or the header alone.
    Nrrd,
    /// DICOM, with or without its preamble.
    Dicom,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// Windows bitmap.
    Bmp,
    /// TIFF or BigTIFF.
    Tiff,
    /// GIF.
    Gif,
    /// Netpbm.
    Pnm,
}

/// Tells the container of (unzipped or gzipped) bytes; `None` where neither they nor the name say.
pub fn detect(name: &str, bytes: &[u8]) -> Option<Container> {
    if gzip::is_gzip(bytes) {
        // 64 kB unpacked hold every signature there is.
        let inner = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".GZ")).unwrap_or(name);
        return match gzip::decompress_prefix(bytes, 1 << 16) {
            Ok(start) => detect_plain(inner, &start),
            Err(_) => by_name(inner), // its reader will say what is wrong with the gzip data
        };
    }
    detect_plain(name, bytes)
}

fn detect_plain(name: &str, bytes: &[u8]) -> Option<Container> {
    let has = |at: usize, magic: &[u8]| bytes.get(at..at + magic.len()) == Some(magic);
    let header_size = bytes.get(..4).map(|b| [b[0], b[1], b[2], b[3]]);
    let is = |n: u32| header_size == Some(n.to_le_bytes()) || header_size == Some(n.to_be_bytes());
    if has(0, b"\x89PNG\r\n\x1a\n") {
        Some(Container::Png)
    } else if has(0, b"\xff\xd8\xff") {
        Some(Container::Jpeg)
    } else if has(0, b"GIF87a") || has(0, b"GIF89a") {
        Some(Container::Gif)
    } else if has(128, b"DICM") {
        // Before TIFF: the preamble of DICOM is free for another format's header, and is used for TIFF's.
        Some(Container::Dicom)
    } else if has(0, b"II*\0") || has(0, b"MM\0*") || has(0, b"II+\0") || has(0, b"MM\0+") {
        Some(Container::Tiff)
    } else if has(0, b"NRRD000") {
        Some(Container::Nrrd)
    } else if (is(348) && (has(344, b"n+1\0") || has(344, b"ni1\0"))) || is(540) {
        Some(Container::Nifti)
    } else if is(348) {
        Some(Container::Analyze)
    } else if has(0, b"BM") {
        Some(Container::Bmp)
    } else if matches!(bytes, [b'P', b'1'..=b'7', b' ' | b'\t' | b'\r' | b'\n' | b'#', ..]) {
        Some(Container::Pnm)
    } else {
        by_name(name)
    }
}

/// Headers of text, damaged files and DICOM without a preamble have no signature: their names speak for them.
fn by_name(name: &str) -> Option<Container> {
    let lower = name.to_ascii_lowercase();
    let (_, extension) = lower.rsplit_once('.')?;
    Some(match extension {
        "mhd" | "mha" => Container::MetaImage,
        "nrrd" | "nhdr" => Container::Nrrd,
        "nii" => Container::Nifti,
        "hdr" => Container::Analyze,
        "dcm" | "dicom" | "ima" => Container::Dicom,
        "png" => Container::Png,
        "jpg" | "jpeg" => Container::Jpeg,
        "bmp" => Container::Bmp,
        "tif" | "tiff" => Container::Tiff,
        "gif" => Container::Gif,
        "pgm" | "ppm" | "pbm" | "pnm" | "pam" => Container::Pnm,
        _ => return None,
    })
}

/// True for what servers send in place of a file that asks for a login or has moved.
fn is_web_page(bytes: &[u8]) -> bool {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(64)]).to_ascii_lowercase();
    let start = start.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

/// Refuses what only stands for a file that was not fetched: a pointer of Git LFS or git-annex.
fn fetched(bytes: &[u8]) -> Result<()> {
    match stand_in(bytes) {
        Some(looks) => Err(Error::Unknown(format!("it is {}{}", looks.what, looks.advice))),
        None => Ok(()),
    }
}

/// Reads an image of any container. `name` is the file's name or path: it says what bytes without a signature are, and
/// from it the name of a companion is made.
///
/// # Errors
/// [`Error::Unknown`] where no container is recognised, else what its reader says.
pub fn read(name: &str, bytes: &[u8], companion: &Companion) -> Result<Image> {
    read_with(name, bytes, companion, &mut Scratch::default())
}

/// As [`read`], into the memory of volumes that were read before, where `scratch` has some that serves. For whoever reads
/// many volumes, one after the other.
///
/// # Errors
/// Those of [`read`].
pub fn read_with(name: &str, bytes: &[u8], companion: &Companion, scratch: &mut Scratch) -> Result<Image> {
    if is_web_page(bytes) {
        let advice = "it is an HTML page: the download did not reach the file, download it again";
        return Err(Error::Unknown(advice.into()));
    }
    fetched(bytes)?;
    let container = detect(name, bytes).ok_or_else(|| {
        Error::Unknown(match bytes.len() {
            0 => "the file is empty".to_string(),
            _ => format!(
                "it begins with {:02x?}, which is none of the signatures read here",
                &bytes[..bytes.len().min(8)]
            ),
        })
    })?;
    let file = name.rsplit('/').next().unwrap_or(name);
    match container {
        Container::Nifti => return nifti::read(file, bytes, companion, scratch),
        Container::Analyze => return analyze::read(file, bytes, companion, scratch),
        Container::MetaImage => return metaimage::read(file, bytes, companion, scratch),
        Container::Nrrd => return nrrd::read(file, bytes, companion, scratch),
        _ => {}
    }
    let unpacked = gzip::is_gzip(bytes).then(|| gzip::decompress(bytes)).transpose()?;
    let bytes = unpacked.as_deref().unwrap_or(bytes);
    match container {
        Container::Png => png::read(bytes),
        Container::Jpeg => jpeg::read(bytes),
        Container::Bmp => bmp::read(bytes),
        Container::Tiff => tiff::read(bytes),
        Container::Gif => gif::read(bytes),
        Container::Pnm => pnm::read(bytes),
        _ => dicom_instance(bytes).map(|instance| instance.image),
    }
}

/// Reads one DICOM instance, gzipped or not, with its header.
///
/// # Errors
/// Those of [`dicom::read`] and of gzip.
pub fn dicom_instance(bytes: &[u8]) -> Result<dicom::Instance> {
    fetched(bytes)?;
    match gzip::is_gzip(bytes) {
        true => dicom::read(&gzip::decompress(bytes)?),
        false => dicom::read(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preamble_of_dicom_may_be_a_tiff_header() {
        let mut bytes = vec![0; 140];
        bytes[..8].copy_from_slice(b"II*\0\x54\x18\x08\0");
        assert_eq!(detect("CT_small.dcm", &bytes), Some(Container::Tiff));
        bytes[128..132].copy_from_slice(b"DICM");
        assert_eq!(detect("CT_small.dcm", &bytes), Some(Container::Dicom));
    }
}
