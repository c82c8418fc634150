//! Phantom downloads of eight sources, each in its own tree, containers, types and archive.
//!
//! What a source's real files look like is told at each writer; where those facts come from is in the source's spec.

mod abdomen;
mod acdc;
mod cellseg;
mod chaos;
mod i2cvb;
mod msd;
mod retina;
mod sstem;

use std::fs;
use std::io;
use std::path::Path;

use super::phantom::Rendered;
use crate::image::{Image, Samples};

/// A phantom download.
#[derive(Clone, Copy, Debug)]
pub struct Download {
    /// Slug of the source, and name of the folder.
    pub slug: &'static str,
    /// What is shown.
    pub shows: &'static str,
    /// Archive and containers.
    pub containers: &'static str,
    write: fn(&Path) -> io::Result<()>,
}

/// Every phantom download, by slug.
pub const DOWNLOADS: [Download; 8] = [
    Download {
        slug: "acdc",
        shows: "hearts in cine MRI",
        containers: "zip of NIfTI with a false sform",
        write: acdc::write,
    },
    Download {
        slug: "cellseg-neurips-2022",
        shows: "cells under four kinds of microscope",
        containers: "two zips of BMP, PNG, JPEG, TIFF",
        write: cellseg::write,
    },
    Download {
        slug: "chaos",
        shows: "abdomens in CT and MRI",
        containers: "zip of DICOM and 1-bit PNG",
        write: chaos::write,
    },
    Download {
        slug: "chase-db1",
        shows: "vessels in children's eyes",
        containers: "zip of JPEG and 1-bit PNG",
        write: retina::write_chase,
    },
    Download {
        slug: "drive",
        shows: "vessels in eyes",
        containers: "two zips of TIFF and palette GIF",
        write: retina::write_drive,
    },
    Download {
        slug: "i2cvb",
        shows: "prostates in MRI, and a cancer",
        containers: "tar.gz in two parts of DICOM",
        write: i2cvb::write,
    },
    Download {
        slug: "msd",
        shows: "hippocampi in MRI, spleens in CT",
        containers: "two tars of NIfTI, resource forks",
        write: msd::write,
    },
    Download {
        slug: "sstem",
        shows: "nerve cells in an electron microscope",
        containers: "TIFF of several pages",
        write: sstem::write,
    },
];

impl Download {
    /// Writes the download into `raw/<slug>`, whole or not at all; one that is there is left alone. Returns whether it
    /// was written. `staging` is a folder on the same file system for unfinished work, and is removed afterwards.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, raw: &Path, staging: &Path) -> io::Result<bool> {
        let target = raw.join(self.slug);
        if target.exists() {
            return Ok(false);
        }
        if staging.exists() {
            fs::remove_dir_all(staging)?;
        }
        let folder = staging.join("download");
        fs::create_dir_all(&folder)?;
        (self.write)(&folder)?;
        fs::create_dir_all(raw)?;
        fs::rename(&folder, &target)?;
        fs::remove_dir_all(staging)?;
        Ok(true)
    }
}

/// A new folder in which the content of an archive is laid out, next to the download's own.
fn content_folder(folder: &Path, name: &str) -> io::Result<std::path::PathBuf> {
    let content = folder.with_file_name(format!("content of {name}"));
    fs::create_dir_all(&content)?;
    Ok(content)
}

/// A path whose folder is made.
fn in_folder(folder: &Path, path: &str) -> io::Result<std::path::PathBuf> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(path)
}

fn rounded<T>(values: &[f64], low: f64, high: f64, cast: impl Fn(f64) -> T) -> Vec<T> {
    values.iter().map(|v| cast(v.round().clamp(low, high))).collect()
}

fn to_i16(values: &[f64]) -> Samples {
    Samples::I16(rounded(values, -32768.0, 32767.0, |v| v as i16))
}

fn to_u16(values: &[f64]) -> Samples {
    Samples::U16(rounded(values, 0.0, 65535.0, |v| v as u16))
}

fn to_u8(values: &[f64]) -> Samples {
    Samples::U8(rounded(values, 0.0, 255.0, |v| v as u8))
}

/// A volume without a frame.
fn volume(size: [usize; 3], samples: Samples) -> Image {
    let [nx, ny, nz] = size;
    Image { size: [nx, ny, nz, 1], ..Image::picture(nx * ny * nz, 1, 1, samples) }
}

/// Page `z` of a label volume as a picture, each label replaced.
fn label_page(rendered: &Rendered, [nx, ny, _]: [usize; 3], z: usize, replace: impl Fn(u8) -> u8) -> Image {
    let page = &rendered.labels[z * nx * ny..(z + 1) * nx * ny];
    Image::picture(nx, ny, 1, Samples::U8(page.iter().map(|&label| replace(label)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::Tree;
    use crate::sources::{Case, CaseState, FileUse, scan};
    use crate::spec::Registry;

    #[test]
    fn a_download_has_the_same_bytes_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let download = DOWNLOADS.iter().find(|d| d.slug == "cellseg-neurips-2022").unwrap();
        let write = |raw: &str| {
            let raw = folder.path().join(raw);
            download.write(&raw, &folder.path().join("staging")).unwrap();
            fs::read(raw.join(download.slug).join("Training-labeled.zip")).unwrap()
        };
        assert!(write("first") == write("second"));
    }

    #[test]
    fn every_download_is_recognised_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (raw, staging) = (folder.path().join("raw"), folder.path().join("staging"));
        for download in &DOWNLOADS {
            assert!(download.write(&raw, &staging).unwrap());
            assert!(!download.write(&raw, &staging).unwrap(), "{} was written twice", download.slug);
        }
        assert!(!staging.exists());
        let tree = Tree::open(&raw).unwrap();
        assert!(tree.problems().is_empty());
        let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
        let found = scan(&Registry::built_in().unwrap(), &paths);
        let slugs: Vec<&str> = found.sources.iter().map(|s| s.slug.as_str()).collect();
        assert_eq!(slugs, DOWNLOADS.map(|d| d.slug));
        let free = found.files.iter().zip(&paths).filter(|(file, _)| **file == FileUse::Unclaimed);
        let free: Vec<&str> = free.map(|(_, path)| *path).collect();
        assert!(free.is_empty(), "{free:?}");
        let odd: Vec<&Case> =
            found.sources.iter().flat_map(|s| &s.cases).filter(|c| c.state != CaseState::Complete).collect();
        assert!(odd.is_empty(), "{odd:?}");
    }
}
