//! What is written reads back as it was, by the readers of [`crate::formats`] and [`crate::raw`].

use std::fs;
use std::path::Path;

use dicom_core::VR;
use dicom_dictionary_std::tags;
use tempfile::tempdir;

use super::*;
use crate::formats::dicom::{SliceOrder, assemble};
use crate::formats::{self, File, dicom_instance};
use crate::image::{Frame, Geometry, Samples, Scaling};
use crate::raw::Tree;

fn read(path: &Path) -> Image {
    let folder = path.parent().unwrap();
    let companion = |name: &str| Ok(fs::read(folder.join(name)).ok());
    formats::read(path.to_str().unwrap(), &fs::read(path).unwrap(), &companion).unwrap()
}

fn there_and_back(name: &str, original: &Image, compressed: bool) -> Image {
    let folder = tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, original, compressed).unwrap();
    let first = fs::read(&path).unwrap();
    write(&path, original, compressed).unwrap();
    assert_eq!(first, fs::read(&path).unwrap(), "{name} is written differently the second time");
    read(&path)
}

fn assert_same(name: &str, read: &Image, original: &Image) {
    assert_eq!(read.samples, original.samples, "{name}");
    assert_eq!((read.size, read.components, read.bits), (original.size, original.components, original.bits), "{name}");
    assert_eq!((read.scaling, &read.palette), (original.scaling, &original.palette), "{name}");
}

fn assert_same_frame(name: &str, read: &Image, original: &Image) {
    let (read, original) = (read.geometry.as_ref().unwrap(), original.geometry.as_ref().unwrap());
    let gap = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(gap(&read.spacing, &original.spacing) < 1e-5, "{name}: {:?}", read.spacing);
    let affine = gap(read.affine.as_flattened(), original.affine.as_flattened());
    assert!(affine < 1e-4, "{name}: {:?} for {:?}", read.affine, original.affine);
}

/// Values that differ everywhere, in a type of the caller's choice.
fn ramp<T>(n: usize, value: impl Fn(usize) -> T) -> Vec<T> {
    (0..n).map(value).collect()
}

/// 5 x 4 x 3 voxels in an oblique frame without a mirror, or with one.
fn volume(samples: Samples, frame: Frame, mirrored: bool) -> Image {
    let mirror = if mirrored { -1.0 } else { 1.0 };
    let z = [0.576, -0.768, 0.28].map(|v| v * mirror);
    let directions = [[0.8, 0.6, 0.0], [-0.168, 0.224, 0.96], z];
    let mut geometry = Geometry::from_lps([12.5, -40.25, 7.0], directions, [0.75, 1.25, 3.0]);
    geometry.frame = frame;
    let bits = Image::picture(samples.len(), 1, 1, samples.clone()).bits;
    Image { size: [5, 4, 3, 1], bits, geometry: Some(geometry), ..Image::picture(60, 1, 1, samples) }
}

fn every_type() -> Vec<Samples> {
    vec![
        Samples::U8(ramp(60, |i| i as u8)),
        Samples::I8(ramp(60, |i| i as i8 - 30)),
        Samples::U16(ramp(60, |i| 1000 * i as u16)),
        Samples::I16(ramp(60, |i| 300 * i as i16 - 9000)),
        Samples::U32(ramp(60, |i| 70_000_000 * i as u32)),
        Samples::I32(ramp(60, |i| -70_000 * i as i32)),
        Samples::U64(ramp(60, |i| (i as u64) << 40)),
        Samples::I64(ramp(60, |i| -((i as i64) << 40))),
        Samples::F32(ramp(60, |i| i as f32 / 7.0)),
        Samples::F64(ramp(60, |i| i as f64 / 7.0)),
    ]
}

#[test]
fn volumes_of_every_type_keep_their_frame() {
    for samples in every_type() {
        for mirrored in [false, true] {
            for (name, frame, compressed) in [
                ("a.nii", Frame::Sform, false),
                ("a.nii.gz", Frame::Qform, false),
                ("a.mhd", Frame::Header, false),
                ("a.mhd", Frame::Header, true),
                ("a.mha", Frame::Header, false),
                ("a.mha", Frame::Header, true),
                ("a.nrrd", Frame::Header, false),
                ("a.seg.nrrd", Frame::Header, true),
            ] {
                let original = volume(samples.clone(), frame, mirrored);
                let read = there_and_back(name, &original, compressed);
                let what = format!("{name} of {} ({mirrored}, {compressed})", samples.dtype());
                assert_same(&what, &read, &original);
                assert_same_frame(&what, &read, &original);
                assert_eq!(read.geometry.unwrap().frame, frame, "{what}");
            }
        }
    }
}

#[test]
fn scaling_and_false_forms_are_kept() {
    let mut original = volume(Samples::I16(ramp(60, |i| i as i16)), Frame::Sform, false);
    original.scaling = Scaling { slope: 0.5, intercept: -1024.0 };
    original.geometry.as_mut().unwrap().spacing = [1.5, 1.5, 10.0];
    let read = there_and_back("patient001_frame01.nii.gz", &original, false);
    assert_same("NIfTI", &read, &original);
    assert_same_frame("NIfTI", &read, &original);
    assert_eq!(read.notes.len(), 1, "{:?}", read.notes);

    let analyze = there_and_back("a.hdr", &original, false);
    assert_same("Analyze", &analyze, &original);
    assert_eq!(analyze.geometry.unwrap().spacing, [1.5, 1.5, 10.0]);
    let message = image(Path::new("a.mha"), &original).unwrap_err().to_string();
    assert!(message.contains("without a rescale"), "{message}");
}

#[test]
fn the_nifti_crate_reads_what_is_written() {
    use nifti::{IntoNdArray, NiftiObject, ReaderOptions};
    let folder = tempdir().unwrap();
    for samples in every_type() {
        for (name, frame) in [("a.nii", Frame::Sform), ("a.nii.gz", Frame::Qform)] {
            let mut original = volume(samples.clone(), frame, false);
            original.scaling = Scaling { slope: 0.5, intercept: -3.0 };
            let path = folder.path().join(name);
            image(&path, &original).unwrap();
            let object = ReaderOptions::new().read_file(&path).unwrap();
            let header = object.header().clone();
            let values = object.into_volume().into_ndarray::<f64>().unwrap();
            assert_eq!(values.shape(), [5, 4, 3], "{name}");
            let read = read(&path);
            for ((x, y, z), value) in
                (0..60).map(|i| (i % 5, i / 5 % 4, i / 20)).map(|at| (at, values[[at.0, at.1, at.2]]))
            {
                let ours = read.value([x, y, z, 0], 0);
                assert!((value - ours).abs() <= 1e-6 * ours.abs(), "{name} of {}: {value} for {ours}", samples.dtype());
            }
            let geometry = read.geometry.unwrap();
            let spacing = geometry.spacing.map(|step| step as f32);
            assert_eq!(header.pixdim[1..4], spacing, "{name}");
            if frame == Frame::Sform {
                let rows = [header.srow_x, header.srow_y, header.srow_z];
                assert_eq!(rows, geometry.affine.map(|row| row.map(|v| v as f32)));
            }
        }
    }
}

#[test]
fn the_image_crate_reads_what_is_written() {
    let grey = bits(8, Samples::U8(ramp(35, |i| 7 * i as u8)));
    let rgb = Image::picture(7, 5, 3, Samples::U8(ramp(105, |i| 2 * i as u8)));
    let indexed = Image { palette: Some(palette(256)), ..grey.clone() };
    let folder = tempdir().unwrap();
    for name in ["a.bmp", "a.ppm"] {
        for original in [&grey, &rgb, &indexed] {
            let path = folder.path().join(name);
            if original.palette.is_some() && name == "a.ppm" {
                assert!(image(&path, original).is_err());
                continue;
            }
            image(&path, original).unwrap();
            let colours = ::image::open(&path).unwrap().into_rgb8();
            assert_eq!(colours.dimensions(), (7, 5));
            let expected = match original.components {
                1 => Image { palette: original.palette.clone().or(Some(greys())), ..original.clone() }.expand_palette(),
                _ => original.clone(),
            };
            assert_eq!(Samples::U8(colours.into_raw()), expected.samples, "{name}");
        }
    }
}

fn greys() -> Vec<[u8; 4]> {
    (0..=255).map(|v| [v, v, v, 255]).collect()
}

#[test]
fn components_and_times_are_kept() {
    let mut original = volume(Samples::U8(vec![0; 60]), Frame::Header, false);
    original.samples = Samples::U8(ramp(360, |i| i as u8));
    original.size[3] = 2;
    original.components = 3;
    for name in ["a.mha", "a.nrrd", "a.nii"] {
        let read = there_and_back(name, &original, true);
        assert_same(name, &read, &original);
        assert_same_frame(name, &read, &original);
    }
}

fn bits(bits: u8, samples: Samples) -> Image {
    Image { bits, ..Image::picture(7, 5, 1, samples) }
}

fn palette(n: usize) -> Vec<[u8; 4]> {
    (0..=255u8).take(n).map(|i| [i.wrapping_mul(3), 255 - i, i ^ 90, 255]).collect()
}

#[test]
fn pictures_are_kept_as_stored() {
    let grey = bits(8, Samples::U8(ramp(35, |i| 7 * i as u8)));
    let one = bits(1, Samples::U8(ramp(35, |i| u8::from(i % 3 == 0))));
    let four = bits(4, Samples::U8(ramp(35, |i| (i % 16) as u8)));
    let deep = bits(16, Samples::U16(ramp(35, |i| 1800 * i as u16)));
    let rgb = Image::picture(7, 5, 3, Samples::U8(ramp(105, |i| 2 * i as u8)));
    let deep_rgb = Image::picture(7, 5, 3, Samples::U16(ramp(105, |i| 600 * i as u16)));
    let indexed = Image { palette: Some(palette(256)), ..grey.clone() };
    let few = Image { palette: Some(palette(16)), ..four.clone() };
    for original in [&grey, &one, &four, &deep, &rgb, &deep_rgb, &indexed, &few] {
        assert_same("PNG", &there_and_back("a.png", original, false), original);
    }
    for original in [&grey, &deep, &rgb, &deep_rgb] {
        for compressed in [false, true] {
            assert_same("TIFF", &there_and_back("a.tif", original, compressed), original);
        }
        assert_same("Netpbm", &there_and_back("a.ppm", original, false), original);
        assert_same("Netpbm", &there_and_back("a.pgm.gz", original, false), original);
    }
    let rgba = Image::picture(7, 5, 4, Samples::U8(ramp(140, |i| i as u8)));
    assert_same("TIFF", &there_and_back("a.tif", &rgba, true), &rgba);
    for original in [&rgb, &indexed] {
        assert_same("BMP", &there_and_back("a.bmp", original, false), original);
    }
    assert_same("GIF", &there_and_back("a.gif", &indexed, false), &indexed);
    for name in ["a.bmp", "a.gif"] {
        let read = there_and_back(name, &grey, false).expand_palette();
        let expected: Vec<u8> = (0..35).flat_map(|i| [7 * i as u8; 3]).collect();
        assert_eq!(read.samples, Samples::U8(expected), "{name}");
    }
}

#[test]
fn pages_of_every_type_are_kept() {
    for samples in every_type() {
        let original = Image { geometry: None, ..volume(samples, Frame::Header, false) };
        for compressed in [false, true] {
            assert_same("TIFF", &there_and_back("a.tiff", &original, compressed), &original);
        }
    }
}

#[test]
fn jpeg_is_close() {
    for components in [1, 3] {
        // A smooth ramp: what the loss of JPEG is small on.
        let samples = Samples::U8(ramp(64 * 48 * components, |i| (i / components % 64 * 3 + 20) as u8));
        let original = Image::picture(64, 48, components, samples);
        let read = there_and_back("a.jpg", &original, false);
        assert_eq!((read.size, read.components), (original.size, components));
        let gap = (0..read.samples.len()).map(|i| (read.samples.get(i) - original.samples.get(i)).abs());
        assert!(gap.fold(0.0, f64::max) <= 4.0);
    }
}

#[test]
fn what_a_container_cannot_hold_is_refused() {
    let floats = Image::picture(2, 2, 1, Samples::F32(vec![0.5; 4]));
    for name in ["a.png", "a.jpg", "a.bmp", "a.gif", "a.pgm", "a.txt", "noextension"] {
        let error = image(Path::new(name), &floats).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}: {error}");
    }
}

#[test]
fn a_dicom_series_keeps_values_frame_and_facts() {
    let mut original = volume(Samples::I16(ramp(60, |i| 40 * i as i16 - 1024)), Frame::Header, false);
    original.scaling = Scaling { slope: 1.0, intercept: -24.0 };
    let facts = DicomFacts {
        modality: "CT".into(),
        patient_id: "7".into(),
        series_uid: "2.25.7".into(),
        attributes: vec![(tags::SERIES_DESCRIPTION, VR::LO, "Abdomen 3.0".into())],
        jpeg: false,
    };
    let names: Vec<String> = (0..3).map(|z| format!("i{z:04},0000b.dcm")).collect();
    let folder = tempdir().unwrap();
    dicom_slices(folder.path(), &names, &original, &facts).unwrap();
    let instances: Vec<_> = names
        .iter()
        .map(|name| dicom_instance(&File::new("", &fs::read(folder.path().join(name)).unwrap())).unwrap())
        .collect();
    let header = &instances[0].header;
    assert_eq!((header.modality.as_deref(), header.instance_number), (Some("CT"), Some(1)));
    let series = assemble(instances, SliceOrder::File).unwrap();
    assert_same("DICOM", &series.image, &original);
    assert_same_frame("DICOM", &series.image, &original);

    let first = fs::read(folder.path().join(&names[2])).unwrap();
    dicom_slices(folder.path(), &names, &original, &facts).unwrap();
    assert_eq!(first, fs::read(folder.path().join(&names[2])).unwrap());
    assert!(dicom_slices(folder.path(), &names[..2], &original, &facts).is_err());
}

#[test]
fn single_bytes_and_colours_are_dicom_too() {
    for (components, size) in [(1, [5, 3, 1, 1]), (3, [5, 3, 1, 1])] {
        let samples = Samples::U8(ramp(15 * components, |i| 5 * i as u8));
        let original = Image { size, ..Image::picture(5, 3, components, samples) };
        let facts = DicomFacts { modality: "OT".into(), series_uid: "2.25.8".into(), ..DicomFacts::default() };
        let folder = tempdir().unwrap();
        dicom_slices(folder.path(), &["a.dcm".into()], &original, &facts).unwrap();
        let read = read(&folder.path().join("a.dcm"));
        assert_eq!((&read.samples, read.size), (&original.samples, original.size));
    }
}

#[test]
fn a_projection_is_dicom_without_a_place() {
    let mut original = Image::picture(16, 8, 1, Samples::U8(ramp(128, |i| i as u8)));
    original.geometry = Some(Geometry::from_spacing([0.25, 0.5, 1.0]));
    let facts = DicomFacts { modality: "CR".into(), series_uid: "2.25.9".into(), jpeg: true, ..DicomFacts::default() };
    let folder = tempdir().unwrap();
    dicom_slices(folder.path(), &["a.dcm".into()], &original, &facts).unwrap();
    let read = read(&folder.path().join("a.dcm"));
    assert_eq!((read.size, &read.geometry), (original.size, &original.geometry));
    assert!((0..128).all(|i| (read.samples.get(i) - i as f64).abs() < 12.0), "JPEG keeps about what it was");
    original.samples = Samples::I16(vec![0; 128]);
    assert!(dicom_slices(folder.path(), &["a.dcm".into()], &original, &facts).is_err());
}

#[test]
fn archives_hold_the_folder_in_order_and_no_times() {
    let folder = tempdir().unwrap();
    let inside = folder.path().join("inside/Task 09");
    fs::create_dir_all(&inside).unwrap();
    fs::write(inside.join("b.txt"), "second").unwrap();
    fs::write(inside.join("a.txt"), "first".repeat(100)).unwrap();
    for (name, pack) in [("a.zip", zip as fn(&Path, &Path) -> io::Result<()>), ("a.tar", tar), ("a.tar.gz", tar_gz)] {
        let raw = tempdir().unwrap();
        let archive = raw.path().join(name);
        pack(&archive, &folder.path().join("inside")).unwrap();
        let bytes = fs::read(&archive).unwrap();
        fs::write(inside.join("a.txt"), "first".repeat(100)).unwrap();
        pack(&archive, &folder.path().join("inside")).unwrap();
        assert_eq!(bytes, fs::read(&archive).unwrap(), "{name}");

        let tree = Tree::open(raw.path()).unwrap();
        let found: Vec<_> = tree.members().iter().map(|m| tree.read(m).unwrap()).collect();
        assert_eq!(found, ["first".repeat(100).into_bytes(), b"second".to_vec()], "{name}");
        assert!(tree.find(&format!("{name}/Task 09/a.txt")).is_some(), "{:?}", tree.members()[0].path);
    }
}
