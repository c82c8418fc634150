//! Every volume among the real samples reads, or fails for the reason that is listed here.

use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::formats::voxels::Header;
use medcosmos::formats::{File, Result, analyze, detect, metaimage, nifti, nrrd};
use medcosmos::image::Image;

use crate::samples::beside;

/// Files that must fail, with a part of the message.
const FAIL: [(&str, &str); 11] = [
    ("formats/analyze75/header-only/analyze.hdr", "\"analyze.img\""),
    ("formats/metaimage/malformed/referring_to_system_file.mhd", "\"/trying/to/get/a/system/file.conf\""),
    ("formats/metaimage/rse-panimg/image10x10x10-extra-stuff.mhd", "\"image10x10x10.zraw\""),
    ("formats/metaimage/rse-panimg/image5x6x7-no-spacing-with-123-size.mhd", "\"image5x6x7.zraw\""),
    ("formats/metaimage/rse-panimg/image5x6x7-no-spacing.mhd", "\"image5x6x7.zraw\""),
    ("formats/nifti/dtypes-complex-rgb/complex32.nii", "complex"),
    ("formats/nifti/hdr-img-pair/avg152T1_LR_nifti.hdr.gz", "\"avg152T1_LR_nifti.img\""),
    ("formats/nifti/header-only/nifti1.hdr", "\"nifti1.img\""),
    ("formats/nrrd/rse-panimg/image10x11x12_unsupported_version.nrrd", "NRRD1004"),
    ("raw/promise12/imgs/Case00.mhd", "\"Case00.raw\""),
    ("raw/promise12/labels/Case00.mhd", "\"Case00_segmentation.raw\""),
];

const FOLDERS: [&str; 12] = [
    "formats/nifti",
    "formats/analyze75",
    "formats/metaimage",
    "formats/nrrd",
    "formats/dicom-seg",
    "raw/acdc",
    "raw/kits19",
    "raw/luna16",
    "raw/msd",
    "raw/promise12",
    "raw/totalsegmentator-kin",
    "raw/verse",
];

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, files) } else { files.push(path) }
    }
}

/// `None` where the name is not one of a volume's header.
fn read(path: &Path) -> Option<(Result<Header>, Result<Image>)> {
    let name = path.file_name()?.to_str()?;
    let bytes = || fs::read(path).unwrap();
    let companion = |wanted: &str| Ok(fs::read(path.with_file_name(wanted)).ok());
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    if ends(&[".nii", ".nii.gz", ".hdr", ".hdr.gz"]) {
        let bytes = bytes();
        Some(match detect(&File::new(name, &bytes)) == Some(&analyze::ENTRY) {
            true => (analyze::header(name, &bytes), analyze::read(name, &bytes, &companion)),
            false => (nifti::header(name, &bytes), nifti::read(name, &bytes, &companion)),
        })
    } else if ends(&[".mha", ".mhd"]) {
        let bytes = bytes();
        Some((metaimage::header(name, &bytes), metaimage::read(name, &bytes, &companion)))
    } else if ends(&[".nrrd", ".nhdr"]) {
        let bytes = bytes();
        Some((nrrd::header(name, &bytes), nrrd::read(name, &bytes, &companion)))
    } else {
        None
    }
}

#[test]
fn every_volume_reads_or_fails_as_listed() {
    let Some(samples) = beside("samples") else { return };
    let mut files = Vec::new();
    for folder in FOLDERS {
        files_below(&samples.join(folder), &mut files);
    }
    let (mut failed, mut read_whole, mut wrong) = (0, 0, Vec::new());
    for path in &files {
        let Some((header, image)) = read(path) else { continue };
        let name = path.strip_prefix(&samples).unwrap().to_str().unwrap();
        let listed = FAIL.iter().find(|(file, _)| *file == name);
        match (image, listed) {
            (Ok(image), None) => {
                read_whole += 1;
                assert_eq!(image.samples.len(), image.pixels() * image.components, "{name}");
                let header = header.unwrap();
                assert_eq!((header.size, header.dtype.name()), (image.size, image.samples.dtype()), "{name}");
                assert_eq!(header.geometry, image.geometry, "{name}");
            }
            (Err(error), Some((_, cause))) if error.to_string().contains(cause) => failed += 1,
            (Ok(_), Some((_, cause))) => wrong.push(format!("{name} reads, and was to fail for {cause}")),
            (Err(error), _) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((failed, read_whole), (FAIL.len(), 244));
}

/// Values of nibabel and SimpleITK for the same files.
#[test]
fn known_volumes_have_known_values() {
    let Some(samples) = beside("samples") else { return };
    let image = |name: &str| read(&samples.join(name)).unwrap().1.unwrap();

    let acdc = image("raw/acdc/database/training/patient001/patient001_frame01.nii.gz");
    assert_eq!((acdc.samples.dtype(), acdc.geometry.unwrap().spacing), ("int16", [1.5625, 1.5625, 10.0]));
    assert!(acdc.notes[0].contains("1 x 1 x 1 mm"), "{:?}", acdc.notes);

    let verse = image("raw/verse/sub-verse004_seg-vert_msk.nii.gz");
    assert_eq!((verse.samples.dtype(), verse.geometry.unwrap().orientation().as_str()), ("float64", "PIR"));

    let scaled = image("formats/nifti/functional.nii");
    let values: Vec<f64> = (0..scaled.samples.len())
        .map(|i| scaled.samples.get(i) * scaled.scaling.slope + scaled.scaling.intercept)
        .collect();
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    assert!((low - 629.826).abs() < 0.001 && (high - 5571.62).abs() < 0.01, "{low} to {high}");

    let case00 = read(&samples.join("raw/promise12/imgs/Case00.mhd")).unwrap().0.unwrap();
    assert_eq!((case00.size, case00.dtype.name()), ([512, 512, 47, 1], "int16"));
    let affine = case00.geometry.unwrap().affine;
    let direction_of_z = affine.map(|row| row[2] / 2.20001);
    assert!(direction_of_z.iter().zip([0.0193232, 0.149421, 0.988585]).all(|(a, b)| (a - b).abs() < 1e-12));
    assert_eq!(affine.map(|row| row[3]), [71.985, 53.3146, -55.7472]);
}
