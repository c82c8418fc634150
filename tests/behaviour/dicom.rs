//! Real DICOM files: what each of them must be read as, or refused with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medcosmos::formats::dicom::{Instance, SliceOrder, assemble, header, match_positions, read};
use medcosmos::image::Image;

use crate::samples::folder;

/// All files below a folder in the order of their paths.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .filter_map(|e| e.ok())
        .filter(|e| e.file_type().is_file())
        .map(|e| e.into_path())
        .collect();
    files.sort();
    files
}

fn instance(path: &Path) -> Instance {
    let label = path.file_name().unwrap().to_string_lossy().into_owned();
    read(&std::fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display())).labelled(label)
}

/// Lowest and highest stored value.
fn range(image: &Image) -> (f64, f64) {
    (0..image.samples.len())
        .map(|i| image.samples.get(i))
        .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
}

/// What must become of the files that are not images, or are broken on purpose.
const REFUSED: [(&str, &str); 21] = [
    ("csa_slice_norm.dcm", "no pixel data: MR Image"),
    ("ExplVR_BigEndNoMeta.dcm", "no pixel data: RT Ion Plan"),
    ("ExplVR_LitEndNoMeta.dcm", "no pixel data: RT Ion Plan"),
    ("JPEG2000-embedded-sequence-delimiter.dcm", "JPEG 2000: expected 256 x 1024 pixels"),
    ("MR_truncated.dcm", "pixel data needs 8192 bytes, found 8130"),
    ("UN_sequence.dcm", "no pixel data"),
    ("badVR.dcm", "expected a number, found \"1A\""),
    ("empty_charset_LEI.dcm", "no pixel data"),
    ("meta_missing_tsyntax.dcm", "Rows (0028,0010) is missing"),
    ("nested_priv_SQ.dcm", "Rows (0028,0010) is missing"),
    ("no_meta.dcm", "no DICOM element at the start"),
    ("no_meta_group_length.dcm", "no pixel data"),
    ("priv_SQ.dcm", "no pixel data"),
    ("reportsi.dcm", "no pixel data: Basic Text SR"),
    ("reportsi_with_empty_number_tags.dcm", "no pixel data: Basic Text SR"),
    ("rtplan.dcm", "no pixel data: RT Plan"),
    ("rtplan_truncated.dcm", "truncated: BeamSequence (300A,00B0)"),
    ("rtstruct.dcm", "no pixel data: RT Structure Set"),
    ("test-SR.dcm", "no pixel data: Comprehensive SR"),
    ("waveform_ecg.dcm", "no pixel data: 12-lead ECG Waveform"),
    ("rtss.dcm", "no pixel data: RT Structure Set"),
];

#[test]
fn every_sample_is_read_or_refused_as_it_should() {
    let Some(root) = folder("formats") else { return };
    let refused: BTreeMap<&str, &str> = REFUSED.into();
    let (mut read_well, mut refused_well) = (0, 0);
    for path in ["dicom", "dicom-seg", "rtstruct"].iter().flat_map(|f| files(&root.join(f))) {
        let extension = path.extension().and_then(|e| e.to_str());
        if !matches!(extension, Some("dcm") | None) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match (read(&bytes), refused.get(name.as_str())) {
            (Ok(Instance { header: facts, image, .. }), None) => {
                assert_eq!(image.samples.len(), image.pixels() * image.components, "{}", path.display());
                assert_eq!((image.size[0], image.size[1]), (facts.columns, facts.rows), "{}", path.display());
                assert_eq!(header(&bytes).unwrap(), facts, "{}", path.display());
                read_well += 1;
            }
            (Err(error), Some(part)) => {
                assert!(error.to_string().contains(part), "{}: {error}", path.display());
                refused_well += 1;
            }
            (Ok(_), Some(part)) => panic!("{}: expected the error {part:?}", path.display()),
            (Err(error), None) => panic!("{}: {error}", path.display()),
        }
    }
    println!("{read_well} read, {refused_well} refused");
    assert_eq!(refused_well, REFUSED.len());
}

/// Ranges of stored values as pydicom gives them, one file for each kind of encoding; they catch a wrong sign, byte
/// order, mask or table, which sizes alone do not.
#[test]
fn stored_values_have_the_ranges_of_pydicom() {
    let Some(root) = folder("formats/dicom") else { return };
    for (file, low, high) in [
        ("pydicom/CT_small.dcm", 128., 2191.),
        ("pydicom/MR_small_bigendian.dcm", 127., 2145.),
        ("pydicom/MR_small_implicit.dcm", 127., 2145.),
        ("pydicom/MR_small_RLE.dcm", 127., 2145.),
        ("pydicom/MR_small_jpeg_ls_lossless.dcm", 127., 2145.),
        ("pydicom/MR_small_jp2klossless.dcm", 127., 2145.),
        ("pydicom/693_J2KI.dcm", -2971., 2836.),
        ("pydicom/J2K_pixelrep_mismatch.dcm", -2000., 1896.),
        ("pydicom/JPGExtended.dcm", 0., 264.),
        ("pydicom/JPEG2000.dcm", -30., 245.),
        ("pydicom/rtdose_rle.dcm", 795000., 1254000.),
        ("pydicom/SC_rgb_rle_32bit.dcm", 0., 4294967295.),
        ("pydicom/image_dfl.dcm", 0., 255.),
        ("pydicom/examples_overlay.dcm", 0., 1123.),
        ("pydicom-data/JLSL_16_15_1_1F.dcm", -16384., 16383.),
        ("pydicom-data/JPEG-LL.dcm", 0., 278.),
        ("pydicom-data/mlut_18.dcm", -2048., 2047.),
        ("pydicom-data/gdcm-US-ALOKA-16_big.dcm", 0., 64512.),
    ] {
        assert_eq!(range(&instance(&root.join(file)).image), (low, high), "{file}");
    }
}

#[test]
fn the_same_image_in_several_encodings_is_the_same() {
    let Some(root) = folder("formats/dicom") else { return };
    for group in [
        &[
            "pydicom/MR_small.dcm",
            "pydicom/MR_small_bigendian.dcm",
            "pydicom/MR_small_implicit.dcm",
            "pydicom/MR_small_RLE.dcm",
            "pydicom/MR_small_jpeg_ls_lossless.dcm",
            "pydicom/MR_small_jp2klossless.dcm",
            "pydicom/MR_small_expb.dcm",
            "pydicom/MR_small_padded.dcm",
        ][..],
        &[
            "pydicom-data/emri_small.dcm",
            "pydicom-data/emri_small_RLE.dcm",
            "pydicom-data/emri_small_big_endian.dcm",
            "pydicom-data/emri_small_jpeg_2k_lossless.dcm",
            "pydicom-data/emri_small_jpeg_ls_lossless.dcm",
        ],
        &["pydicom-data/liver.dcm", "pydicom-data/liver_rle.dcm", "pydicom-data/liver_deflate.dcm"],
        &["pydicom/rtdose.dcm", "pydicom/rtdose_rle.dcm", "pydicom/rtdose_expb.dcm"],
        &["pydicom/SC_rgb_small_odd.dcm", "pydicom/SC_rgb_small_odd_big_endian.dcm"],
        &["pydicom/JPGExtended.dcm", "pydicom/JPEG-lossy.dcm"],
    ] {
        let images: Vec<Image> = group.iter().map(|f| instance(&root.join(f)).image).collect();
        for (image, file) in images.iter().zip(group) {
            assert!(image.samples == images[0].samples, "{file} is not {}", group[0]);
        }
    }
}

#[test]
fn chaos_masks_follow_the_order_of_the_files() {
    let Some(case) = folder("raw/chaos/Train_Sets/CT/1") else { return };
    let instances = || files(&case.join("DICOM_anon")).iter().map(|p| instance(p)).collect::<Vec<_>>();
    let masks: Vec<Vec<bool>> = files(&case.join("Ground")).iter().map(|p| mask(p)).collect();
    let by_file = assemble(instances(), SliceOrder::File).unwrap();
    let by_position = assemble(instances(), SliceOrder::Position).unwrap();
    assert_eq!(by_file.image.size, [512, 512, 78, 1]);
    assert_eq!(masks.len(), 78);

    let (mean, deviation) = inside(&by_file.image, &masks);
    println!("in the liver by file order {mean:.1} ± {deviation:.1} HU");
    assert!((mean - 141.0).abs() < 1.0 && (deviation - 34.0).abs() < 1.0, "{mean} ± {deviation}");
    // By ascending position the stack is upside down against the masks.
    let (mean, deviation) = inside(&by_position.image, &masks);
    println!("by position {mean:.1} ± {deviation:.1} HU");
    assert!(deviation > 200.0, "{mean} ± {deviation}");

    let geometry = by_file.image.geometry.unwrap();
    assert_eq!((geometry.spacing, geometry.orientation().as_str()), ([0.7265625, 0.7265625, 2.0], "LPI"));
    assert!(by_file.image.notes.iter().any(|n| n.starts_with("Slice Thickness is 3.2 mm")));
    assert_eq!(by_position.image.geometry.unwrap().orientation(), "LPS");
    assert_eq!(by_position.order, (0..78).rev().collect::<Vec<_>>());
}

/// A one-bit PNG.
fn mask(path: &Path) -> Vec<bool> {
    let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (512, 512));
    let step = info.line_size / 512;
    pixels.iter().step_by(step).map(|&v| v > 0).collect()
}

/// Mean and standard deviation of the real values where the masks are set, mask `z` on slice `z`.
fn inside(image: &Image, masks: &[Vec<bool>]) -> (f64, f64) {
    let area = image.size[0] * image.size[1];
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for (z, mask) in masks.iter().enumerate() {
        for at in (0..area).filter(|&at| mask[at]) {
            let value = image.samples.get(z * area + at) * image.scaling.slope + image.scaling.intercept;
            (n, sum, squares) = (n + 1.0, sum + value, squares + value * value);
        }
    }
    let mean: f64 = sum / n;
    (mean, (squares / n - mean * mean).sqrt())
}

#[test]
fn i2cvb_masks_are_paired_by_position() {
    let Some(patient) = folder("raw/i2cvb/Patient_B") else { return };
    let folder = |name: &str| files(&patient.join(name)).iter().map(|p| instance(p)).collect::<Vec<_>>();
    let image = assemble(folder("T2W"), SliceOrder::Position).unwrap();
    let image_series = folder("T2W")[0].header.series.clone();
    for name in ["GT/cap", "GT/cg", "GT/prostate", "GT/pz"] {
        let masks = folder(name);
        assert_eq!(masks[0].header.series, image_series, "the masks carry the series of their image");
        let mask = assemble(masks, SliceOrder::Position).unwrap();
        let (dtype, range) = (mask.image.samples.dtype(), range(&mask.image));
        // The empty masks of the central gland are 16-bit, the others 8-bit.
        assert_eq!((dtype, range), (if name == "GT/cg" { "uint16" } else { "uint8" }, (0.0, 255.0)), "{name}");
        let pairs =
            match_positions(&image.positions.as_ref().unwrap().along, &mask.positions.as_ref().unwrap().along, 0.01);
        assert!(pairs.iter().all(Option::is_some), "{name}: {pairs:?}");
    }
    // The thickness is right here: slices touch.
    assert!((image.image.geometry.unwrap().spacing[2] - 1.25).abs() < 0.01);
}

#[test]
fn real_series_have_their_steps() {
    let Some(root) = folder("formats/dicom") else { return };
    for (folder, slices, step, note) in [
        ("series-mr-hippocampus-crop", 32, 1.0, None),
        ("series-mr-t1post", 22, 6.5, Some("Slice Thickness is 5 mm")),
        ("series-ct-noext-monai", 4, 1.25, Some("the slice spacing varies")),
    ] {
        let instances: Vec<Instance> = files(&root.join(folder)).iter().map(|p| instance(p)).collect();
        let series = assemble(instances, SliceOrder::Position).unwrap();
        assert_eq!(series.image.size[2], slices, "{folder}");
        let spacing = series.image.geometry.as_ref().unwrap().spacing;
        assert!((spacing[2] - step).abs() < 1e-3, "{folder}: {spacing:?}");
        let notes = &series.image.notes;
        match note {
            Some(note) => assert!(notes.iter().any(|n| n.starts_with(note)), "{folder}: {notes:?}"),
            None => assert!(notes.is_empty(), "{folder}: {notes:?}"),
        }
    }

    // Two points of time of an fMRI run are not one volume.
    let instances = files(&root.join("series-mr-ge-epi")).iter().map(|p| instance(p)).collect();
    let error = assemble(instances, SliceOrder::Position).unwrap_err().to_string();
    assert!(
        error.contains("-00001.dcm") && error.contains("-00016.dcm") && error.contains("share the position"),
        "{error}"
    );
}
