//! Real pictures of each raster format, read value for value.

use std::fs;
use std::path::Path;

use medcosmos::formats::{Error, Result, bmp, gif, jpeg, png, pnm, tiff};
use medcosmos::image::Image;
use medcosmos::with_samples;
use sha2::{Digest, Sha256};

use crate::samples;

/// Reads a picture by the ending of its name; `None` for other files.
fn read(path: &Path) -> Option<Result<Image>> {
    let reader = match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => png::read,
        "jpg" | "jpeg" => jpeg::read,
        "bmp" => bmp::read,
        "gif" => gif::read,
        "tif" | "tiff" => tiff::read,
        "pbm" | "pgm" | "ppm" | "pam" => pnm::read,
        _ => return None,
    };
    Some(reader(&fs::read(path).unwrap()))
}

/// The columns of `rasters.tsv` behind the path.
fn describe(image: &Image) -> String {
    let bytes: Vec<u8> = with_samples!(&image.samples, v => v.iter().flat_map(|x| x.to_le_bytes()).collect());
    let digest: String = Sha256::digest(bytes)[..8].iter().map(|b| format!("{b:02x}")).collect();
    let size = image.size.map(|n| n.to_string()).join(" ");
    let colours = image.palette.as_ref().map_or("-".into(), |p| p.len().to_string());
    let (components, bits) = (image.components, image.bits);
    format!("{size}\t{components}\t{}\t{bits}\t{colours}\t{digest}", image.samples.dtype())
}

#[test]
fn every_sample_of_a_format_has_its_values() {
    let Some(folder) = samples::folder("formats") else { return };
    let rows = include_str!("rasters.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut wrong = Vec::new();
    for row in rows {
        let (name, expected) = row.split_once('\t').unwrap();
        let found = match read(&folder.join(name)).unwrap() {
            Ok(image) => describe(&image),
            Err(Error::Unsupported { .. }) => "Unsupported".into(),
            Err(Error::NotTogether { .. }) => "NotTogether".into(),
            Err(e) => e.to_string(),
        };
        if found != expected {
            wrong.push(format!("{name}: expected {expected}, found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_picture_of_a_download_is_read() {
    let Some(folder) = samples::folder("raw") else { return };
    let mut pictures = 0;
    for entry in walkdir::WalkDir::new(folder).into_iter().filter_map(|e| e.ok()) {
        let Some(result) = read(entry.path()) else { continue };
        let image = result.unwrap_or_else(|e| panic!("{}: {e}", entry.path().display()));
        assert_eq!(image.samples.len(), image.pixels() * image.components);
        assert!(image.geometry.is_none(), "resolutions of pictures are no spacing");
        pictures += 1;
    }
    println!("{pictures} pictures");
    assert!(pictures > 0);
}

#[test]
fn no_cut_picture_is_read_as_a_whole_one() {
    let Some(folder) = samples::folder("formats") else { return };
    for row in include_str!("rasters.tsv").lines().filter(|line| !line.starts_with('#')) {
        let (name, expected) = row.split_once('\t').unwrap();
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap();
        for eighth in 0..8 {
            let cut = &bytes[..bytes.len() * eighth / 8];
            let result = match path.extension().unwrap().to_str().unwrap() {
                "png" => png::read(cut),
                "jpg" => jpeg::read(cut),
                "bmp" => bmp::read(cut),
                "gif" => gif::read(cut),
                "tif" | "tiff" => tiff::read(cut),
                _ => pnm::read(cut),
            };
            // What follows the pixels may be missing. A GIF may end after any frame: a note says so.
            if let Ok(image) = result
                && !image.notes.iter().any(|note| note.contains("trailer is missing"))
            {
                assert_eq!(describe(&image), expected, "{name} cut to {eighth}/8");
            }
        }
    }
}
