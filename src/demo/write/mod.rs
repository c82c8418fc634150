//! Writers of image containers and archives, for phantom downloads and test fixtures.
//!
//! The counterpart of [`crate::formats`]: what is written here reads back as the same [`Image`], as far as the
//! container can hold it. What it cannot hold (a rescale in PNG, a float in BMP) is an error, never a silent
//! change. The bytes depend on the image alone: no times, no names of programs or machines.

mod archives;
mod dicom;
mod pictures;
mod segments;
#[cfg(test)]
mod tests;
mod volumes;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::image::Image;
pub use archives::{tar, tar_gz, zip};
pub use dicom::{DicomFacts, dicom_slices};
pub use segments::{Contour, dicom_segmentation, slicer_segmentation, structure_set};

/// Writes an image in the container that the file name says, uncompressed unless the container or the name (`.gz`)
/// compresses; the folder must exist.
///
/// | extension | container | holds |
/// |---|---|---|
/// | `.nii`, `.nii.gz` | NIfTI-1 | every type, RGB; frame as sform, qform or none by [`Geometry::frame`]; scaling |
/// | `.hdr` | Analyze 7.5 with its `.img` | spacing; scaling as SPM has it |
/// | `.mhd`, `.mha` | MetaImage, `.mhd` with its `.raw` | every type, components, frame |
/// | `.nrrd` | NRRD | every type, components, frame |
/// | `.png` | PNG | 1, 2, 4, 8 or 16 `bits`; grey to RGBA; palettes |
/// | `.jpg`, `.jpeg` | JPEG of quality 90 | 8-bit grey and RGB |
/// | `.bmp` | BMP of 8 or 24 bits | 8-bit grey, palettes, RGB |
/// | `.tif`, `.tiff` | TIFF, a page for each z | every type; RGB of 8 and 16 bits, RGBA of 8 |
/// | `.gif` | GIF of one frame | indices with their palette, or 8-bit grey |
/// | `.pgm`, `.ppm`, and `.gz` | binary Netpbm | 8 and 16-bit grey and RGB |
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for another extension and for an image that the container cannot hold; else what the
/// file system says.
///
/// [`Geometry::frame`]: crate::image::Geometry::frame
pub fn image(path: &Path, image: &Image) -> io::Result<()> {
    write(path, image, false)
}

/// As [`image`], with the container's own compression: gzip in `.nrrd`, zlib in `.mha` and `.mhd` (whose data file is
/// then a `.zraw`), LZW in `.tif`. The others are as [`image`] writes them.
///
/// # Errors
/// Those of [`image`].
pub fn compressed_image(path: &Path, image: &Image) -> io::Result<()> {
    write(path, image, true)
}

fn write(path: &Path, image: &Image, compressed: bool) -> io::Result<()> {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let (plain, gzipped) = match name.strip_suffix(".gz") {
        Some(plain) => (plain, true),
        None => (name.as_str(), false),
    };
    let extension = plain.rsplit_once('.').map_or("", |(_, extension)| extension);
    let bytes = match extension {
        "nii" => volumes::nifti(image)?,
        "hdr" if !gzipped => volumes::analyze(image, path)?,
        "mhd" if !gzipped => volumes::metaimage(image, Some(path), compressed)?,
        "mha" if !gzipped => volumes::metaimage(image, None, compressed)?,
        "nrrd" if !gzipped => volumes::nrrd(image, compressed)?,
        "png" if !gzipped => pictures::png(image)?,
        "jpg" | "jpeg" if !gzipped => pictures::jpeg(image)?,
        "bmp" if !gzipped => pictures::bmp(image)?,
        "tif" | "tiff" if !gzipped => pictures::tiff(image, compressed)?,
        "gif" if !gzipped => pictures::gif(image)?,
        "pgm" | "ppm" => pictures::pnm(image)?,
        _ => return Err(invalid(format!("{name}: no container is written under this name"))),
    };
    fs::write(path, if gzipped { gzip(&bytes)? } else { bytes })
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason.into())
}

/// The image as it is, or why the container cannot hold it.
fn require(holds: bool, container: &str, what: &str, image: &Image) -> io::Result<()> {
    if holds {
        return Ok(());
    }
    let Image { size, components, samples, .. } = image;
    Err(invalid(format!("{container} holds {what}; this image is {size:?} x {components} of {}", samples.dtype())))
}

/// One gzip member without a name or a time.
fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// One zlib stream.
fn zlib(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}
