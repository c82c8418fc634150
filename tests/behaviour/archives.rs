//! A download gives the same slices and masks whatever it is packed in.

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use medcosmos::pipeline::BuildOptions;
use medcosmos::projection;
use medcosmos::raw::{Member, Tree};
use medcosmos::store::Rle;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::{phantom, samples};

projection! {
    struct PixelsOfSlice of Slices { slice_id: String, pixels_sha256: String }
}
projection! {
    struct ShapeOfMask of Masks { mask_id: String, mask: Rle }
}

/// Every slice and every mask of what `raw` holds.
type Content = (Vec<PixelsOfSlice>, Vec<ShapeOfMask>);

fn content(raw: &Path, sources: &[&str]) -> Content {
    let out = tempfile::tempdir().unwrap();
    let (dataset, report) = samples::build_with(raw, out.path(), sources, &BuildOptions::default());
    assert!(report.clean(), "{}: {report:?}", raw.display());
    let slices: Vec<PixelsOfSlice> = dataset.rows().unwrap().collect::<Result<_, _>>().unwrap();
    let masks: Vec<ShapeOfMask> = dataset.rows().unwrap().collect::<Result<_, _>>().unwrap();
    (slices, masks)
}

/// Files below a folder, with their paths in it, sorted.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(Result::unwrap);
    entries
        .filter(|e| e.file_type().is_file())
        .map(|e| (e.path().strip_prefix(folder).unwrap().to_str().unwrap().into(), fs::read(e.path()).unwrap()))
        .collect()
}

pub fn zip(files: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        zip.start_file(path, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

pub fn seven_zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = sevenz_rust2::ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    for (path, bytes) in files {
        archive.push_archive_entry(sevenz_rust2::ArchiveEntry::new_file(path), Some(&bytes[..])).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Packs a folder in all ways, one folder for each with nothing else in it, and checks what comes out. Then the same
/// for an archive that is named itself.
fn check(folder: &Path, sources: &[&str]) {
    let expected = content(folder, sources);
    assert!(!expected.0.is_empty() && !expected.1.is_empty());
    let files = files(folder);
    let deflated = zip(&files, CompressionMethod::Deflated);
    let nested = |method| zip(&[("download/inner.zip".into(), deflated.clone())], method);
    let mut tar_gz = GzEncoder::new(Vec::new(), Compression::fast());
    tar_gz.write_all(&tar(&files)).unwrap();
    let packed: [(&str, Vec<u8>); 7] = [
        ("deflated.zip", deflated.clone()),
        ("stored.zip", zip(&files, CompressionMethod::Stored)),
        ("zip-in-stored.zip", nested(CompressionMethod::Stored)),
        ("zip-in-deflated.zip", nested(CompressionMethod::Deflated)),
        ("plain.tar", tar(&files)),
        ("whole.tar.gz", tar_gz.finish().unwrap()),
        ("packed.7z", seven_zip(&files)),
    ];
    let place = tempfile::tempdir().unwrap();
    let mut archives: Vec<PathBuf> = Vec::new();
    for (name, bytes) in packed {
        archives.push(place.path().join(name).join(name));
        phantom::write(archives.last().unwrap(), &bytes);
    }
    for archive in &archives {
        for raw in [archive.parent().unwrap(), archive] {
            assert!(content(raw, sources) == expected, "{} differs from the folder", raw.display());
        }
    }
    // The end of an archive that is cut is missed, and said so: it never passes for a smaller download.
    for archive in &archives {
        let length = fs::metadata(archive).unwrap().len();
        File::options().write(true).open(archive).unwrap().set_len(length * 2 / 3).unwrap();
        let tree = Tree::open(archive.parent().unwrap()).unwrap();
        assert!(!tree.problems().is_empty(), "{} is cut and passes for whole", archive.display());
    }
}

#[test]
fn phantoms() {
    let raw = tempfile::tempdir().unwrap();
    (1..=2).for_each(|patient| phantom::cardiac_case(raw.path(), patient, 1));
    phantom::released_slice(raw.path(), 1, 1);
    check(raw.path(), &["acdc", "cosmos-png"]);
}

/// Stacks of DICOM files and GIF masks beside TIFF pictures: cases of many files each.
#[test]
fn samples_of_stacks_and_pictures() {
    let Some(folder) = samples::folder("raw") else { return };
    let raw = tempfile::tempdir().unwrap();
    ["drive", "i2cvb"].iter().for_each(|source| samples::copy(&folder.join(source), &raw.path().join(source)));
    check(raw.path(), &["drive", "i2cvb"]);
}

/// Digests of all members by path below a prefix.
fn digests(raw: &Path, prefix: &str) -> Vec<(String, String)> {
    let tree = Tree::open(raw).unwrap();
    assert_eq!(tree.problems(), []);
    let members: Vec<&Member> = tree.members().iter().collect();
    let paths = members.iter().map(|m| m.path.strip_prefix(prefix).unwrap().to_owned());
    paths.zip(tree.digests(&members, None).into_iter().map(Result::unwrap)).collect()
}

#[test]
fn samples_have_the_same_digests_in_folders_and_archives() {
    let Some(folder) = samples::folder("raw") else { return };
    for source in ["idrid-2018", "drive", "kits19"] {
        let expected = digests(&folder.join(source), "");
        assert!(!expected.is_empty());
        let files = files(&folder.join(source));
        let mut tar_gz = GzEncoder::new(Vec::new(), Compression::fast());
        tar_gz.write_all(&tar(&files)).unwrap();
        let archives = [
            ("x.zip", zip(&files, CompressionMethod::Deflated)),
            ("x.tar.gz", tar_gz.finish().unwrap()),
            ("x.7z", seven_zip(&files)),
        ];
        for (name, bytes) in archives {
            let place = tempfile::tempdir().unwrap();
            fs::write(place.path().join(name), bytes).unwrap();
            assert_eq!(digests(place.path(), &format!("{name}/")), expected, "{source} in {name}");
        }
    }
}
