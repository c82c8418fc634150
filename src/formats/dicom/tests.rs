//! What a single file of each kind becomes, and what broken ones become: an error.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use proptest::prelude::*;

use super::build::File;
use super::*;
use crate::image::Samples;

const EXPLICIT: &str = uids::EXPLICIT_VR_LITTLE_ENDIAN;
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

fn image(file: &File) -> Image {
    read(&file.bytes()).unwrap().image
}

fn message(file: &File) -> String {
    read(&file.bytes()).unwrap_err().to_string()
}

fn bytes_16(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn bits_beyond_the_stored_ones_are_masked_and_the_sign_is_extended() {
    // Bits 12 to 15 hold an overlay.
    let cells = bytes_16(&[0xF001, 0x17FF, 0x0800, 0xFFFF]);
    let file = File::grey(EXPLICIT, [2, 2], [16, 12], true).pixels(&cells);
    let signed = image(&file);
    assert_eq!(signed.samples, Samples::I16(vec![1, 2047, -2048, -1]));
    assert_eq!((signed.size, signed.bits, signed.components), ([2, 2, 1, 1], 12, 1));
    let unsigned = image(&file.clone().number(tags::PIXEL_REPRESENTATION, 0));
    assert_eq!(unsigned.samples, Samples::U16(vec![1, 2047, 2048, 4095]));
    // The same twelve bits at the top of the cell.
    let high = File::grey(EXPLICIT, [2, 1], [16, 12], true).number(tags::HIGH_BIT, 15);
    assert_eq!(image(&high.pixels(&bytes_16(&[0x001F, 0xFFF0]))).samples, Samples::I16(vec![1, -1]));
}

#[test]
fn every_encoding_gives_the_same_image() {
    let cells = [1u16, 2, 300, 65535];
    let expected = Samples::U16(cells.to_vec());
    for syntax in [EXPLICIT, uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN] {
        let file = File::grey(syntax, [2, 2], [16, 16], false).pixels(&bytes_16(&cells));
        assert_eq!(image(&file).samples, expected, "{syntax}");
    }
    let big = File::grey(BIG_ENDIAN, [2, 2], [16, 16], false).pixels(&cells.map(u16::to_be_bytes).concat());
    assert_eq!(image(&big).samples, expected);
    for syntax in [EXPLICIT, uids::IMPLICIT_VR_LITTLE_ENDIAN] {
        let bare = image(&File::grey(syntax, [2, 2], [16, 16], false).pixels(&bytes_16(&cells)).bare());
        assert_eq!(bare.samples, expected, "{syntax}");
        assert!(bare.notes[0].starts_with("no transfer syntax"));
    }
    let bare = File::grey(BIG_ENDIAN, [2, 2], [16, 16], false).pixels(&cells.map(u16::to_be_bytes).concat()).bare();
    assert_eq!(image(&bare).samples, expected);
}

#[test]
fn bytes_in_big_endian_words_are_in_reverse() {
    let file = File::grey(BIG_ENDIAN, [3, 1], [8, 8], false).pixels(&[2, 1, 0, 3]);
    assert_eq!(image(&file).samples, Samples::U8(vec![1, 2, 3]));
}

#[test]
fn single_bits_run_through_all_frames_lowest_first() {
    let file = File::grey(EXPLICIT, [3, 2], [1, 1], false)
        .text(tags::NUMBER_OF_FRAMES, b"IS", "2")
        .pixels(&[0b0100_0001, 0b0000_1000]);
    let image = image(&file);
    assert_eq!(image.samples, Samples::U8(vec![1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]));
    assert_eq!((image.size, image.bits), ([3, 2, 2, 1], 1));
}

fn colour(photometric: &str, planar: u16) -> File {
    File::grey(EXPLICIT, [2, 1], [8, 8], false)
        .number(tags::SAMPLES_PER_PIXEL, 3)
        .text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", photometric)
        .number(tags::PLANAR_CONFIGURATION, planar)
}

#[test]
fn colours_become_interleaved_rgb() {
    let rgb = Samples::U8(vec![1, 2, 3, 4, 5, 6]);
    assert_eq!(image(&colour("RGB", 0).pixels(&[1, 2, 3, 4, 5, 6])).samples, rgb);
    assert_eq!(image(&colour("RGB", 1).pixels(&[1, 4, 2, 5, 3, 6])).samples, rgb);
    // Red and blue in full range: Y 76, Cb 85, Cr 255, and Y 29, Cb 255, Cr 107.
    let ybr = image(&colour("YBR_FULL", 0).pixels(&[76, 85, 255, 29, 255, 107])).samples;
    assert_eq!(ybr, Samples::U8(vec![254, 0, 0, 0, 0, 254]));
    let shared = image(&colour("YBR_FULL_422", 0).pixels(&[10, 20, 128, 128])).samples;
    assert_eq!(shared, Samples::U8(vec![10, 10, 10, 20, 20, 20]));
    assert!(message(&colour("CMYK", 0).pixels(&[0; 6])).contains("CMYK"));
}

#[test]
fn palettes_are_by_stored_value() {
    let mut file = File::grey(EXPLICIT, [2, 2], [8, 8], false)
        .text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", "PALETTE COLOR")
        .pixels(&[0, 10, 11, 200]);
    for tag in [0x1101, 0x1102, 0x1103] {
        file = file.element(Tag(0x0028, tag), b"US", &bytes_16(&[2, 10, 16]));
    }
    for (tag, table) in [(0x1201, [0x1122, 0x3344]), (0x1202, [0, 0]), (0x1203, [0xFF00, 0x0100])] {
        file = file.element(Tag(0x0028, tag), b"OW", &bytes_16(&table));
    }
    let palette = image(&file).palette.unwrap();
    assert_eq!(palette.len(), 256);
    assert_eq!((palette[0], palette[10]), ([0x11, 0, 0xFF, 255], [0x11, 0, 0xFF, 255]));
    assert_eq!((palette[11], palette[200]), ([0x33, 0, 1, 255], [0x33, 0, 1, 255]));
    assert!(message(&file.element(Tag(0x0028, 0x1201), b"OW", &[1, 2])).contains("expected 2 entries, found 1"));
}

#[test]
fn monochrome1_is_kept_and_told() {
    let file = File::grey(EXPLICIT, [2, 1], [8, 8], false)
        .text(tags::PHOTOMETRIC_INTERPRETATION, b"CS", "MONOCHROME1")
        .pixels(&[0, 255]);
    let instance = read(&file.bytes()).unwrap();
    assert!(instance.header.bright_is_dark());
    assert_eq!(instance.image.samples, Samples::U8(vec![0, 255]));
    assert!(instance.image.notes[0].contains("MONOCHROME1"));
}

#[test]
fn facts_are_read_without_pixels() {
    let file = File::slice(5.5, 3, [0; 4])
        .text(tags::RESCALE_INTERCEPT, b"DS", "-1024")
        .text(tags::RESCALE_SLOPE, b"DS", "1")
        .text(tags::SERIES_INSTANCE_UID, b"UI", "1.2.3");
    let bytes = file.bytes();
    let whole = header(&bytes).unwrap();
    assert_eq!(whole.sop_class, "1.2.840.10008.5.1.4.1.1.2");
    assert_eq!((whole.modality.as_deref(), whole.series.as_deref()), (Some("CT"), Some("1.2.3")));
    assert_eq!((whole.instance_number, whole.location()), (Some(3), Some(5.5)));
    assert_eq!((whole.pixel_spacing, whole.slice_thickness), (Some([0.5, 0.25]), Some(2.0)));
    assert_eq!(whole.rescale, Some(Scaling { slope: 1.0, intercept: -1024.0 }));
    let image = read(&bytes).unwrap().image;
    assert_eq!(image.value([0, 0, 0, 0], 0), -1024.0);
    let geometry = image.geometry.unwrap();
    assert_eq!((geometry.spacing, geometry.to_world([0.0; 3])), ([0.25, 0.5, 2.0], [10.0, 20.0, 5.5]));
    // The pixels may be missing: a header does not ask for them.
    let cut = &bytes[..bytes.len() - 4];
    assert_eq!(header(cut).unwrap(), whole);
    assert!(matches!(read(cut), Err(Error::Truncated { expected: 8, found: 4, .. })));
}

#[test]
fn optional_facts_that_make_no_sense_become_notes() {
    let file = File::slice(0.0, 1, [0; 4])
        .text(tags::SLICE_THICKNESS, b"DS", "thin")
        .text(tags::PIXEL_SPACING, b"DS", "0\\1")
        .text(tags::RESCALE_SLOPE, b"DS", "0")
        .text(tags::IMAGE_ORIENTATION_PATIENT, b"DS", "1\\0\\0\\1\\0\\0");
    let header = header(&file.bytes()).unwrap();
    assert_eq!(
        (header.slice_thickness, header.pixel_spacing, header.rescale, header.orientation),
        (None, None, None, None)
    );
    assert_eq!(header.notes.len(), 4, "{:?}", header.notes);
}

#[test]
fn objects_without_pixels_are_named() {
    let file = File::new(EXPLICIT).text(tags::SOP_CLASS_UID, b"UI", "1.2.840.10008.5.1.4.1.1.481.3");
    assert_eq!(message(&file), "DICOM: not supported: no pixel data: RT Structure Set");
    assert_eq!(header(&file.bytes()).unwrap_err().to_string(), message(&file));
}

#[test]
fn what_is_no_dicom_is_unknown() {
    for bytes in [&b"\x89PNG\r\n\x1a\n"[..], b"", b"\x1f\x8b", &[0; 200]] {
        assert!(matches!(read(bytes), Err(Error::Unknown(_))), "{bytes:?}");
    }
}

#[test]
fn syntaxes_without_a_decoder_are_named() {
    for (syntax, name) in
        [(uids::JPEGXL, "JPEG XL"), (uids::MPEG4HP41, "MPEG"), ("1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.204")]
    {
        let file = File::grey(syntax, [2, 2], [8, 8], false).fragments(&[&[0; 8]]);
        assert!(message(&file).contains(name), "{}", message(&file));
    }
}

#[test]
fn sizes_that_a_header_only_promises_are_refused() {
    // Pixels that are not there, native and encapsulated.
    let native = File::grey(EXPLICIT, [65535, 65535], [16, 16], false).pixels(&[0; 8]);
    assert!(matches!(read(&native.bytes()), Err(Error::Truncated { .. })));
    let many = native.text(tags::NUMBER_OF_FRAMES, b"IS", "2147483647");
    assert!(matches!(read(&many.bytes()), Err(Error::Truncated { .. })));
    for syntax in [uids::RLE_LOSSLESS, uids::JPEGLS_LOSSLESS, uids::JPEG2000, uids::JPEG_LOSSLESS] {
        let file = File::grey(syntax, [65535, 65535], [16, 16], false).fragments(&[&[0; 100]]);
        assert!(message(&file).contains("65535 x 65535"), "{}", message(&file));
    }
    // An element of four gigabytes.
    let mut bytes = File::grey(EXPLICIT, [2, 2], [8, 8], false).bytes();
    bytes.extend([0x29, 0, 0, 0, b'O', b'B', 0, 0, 0xF0, 0xFF, 0xFF, 0xFF]);
    assert!(matches!(read(&bytes), Err(Error::Truncated { expected: 0xFFFF_FFF0, .. })));
}

fn endless_nesting(mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..100_000 {
        bytes.extend([0x29, 0, 0, 0, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
        bytes.extend([0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    bytes
}

#[test]
fn endless_nesting_is_refused() {
    let bytes = endless_nesting(File::grey(EXPLICIT, [2, 2], [8, 8], false).bytes());
    assert!(read(&bytes).unwrap_err().to_string().contains("nested deeper"));
}

/// The largest buffer that a reader was asked to fill.
struct Asked<'a> {
    bytes: &'a [u8],
    most: &'a mut usize,
}

impl std::io::Read for Asked<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        *self.most = out.len().max(*self.most);
        self.bytes.read(out)
    }
}

/// A file as `dicom-object` writes it.
fn by_dicom_object() -> Vec<u8> {
    let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let elements = [
        text(tags::SOP_CLASS_UID, VR::UI, uids::MR_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "2.25.1"),
        text(tags::MODALITY, VR::CS, "MR"),
    ];
    let meta = FileMetaTableBuilder::new().transfer_syntax(EXPLICIT);
    let mut bytes = Vec::new();
    InMemDicomObject::from_element_iter(elements).with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

#[test]
fn dicom_object_allocates_what_a_length_field_promises() {
    let mut bytes = by_dicom_object();
    let mut most = 0;
    assert!(dicom_object::from_reader(Asked { bytes: &bytes, most: &mut most }).is_ok());
    assert!(most < 1 << 16, "{most} bytes for a small file");
    // 64 MiB that are not there.
    bytes.extend([0x29, 0, 0, 0, b'O', b'B', 0, 0, 0, 0, 0, 4]);
    assert!(dicom_object::from_reader(Asked { bytes: &bytes, most: &mut most }).is_err());
    assert_eq!(most, 64 << 20);
}

#[test]
fn dicom_object_does_not_survive_endless_nesting() {
    const CHILD: &str = "MEDCOSMOS_TEST_NESTING";
    if std::env::var_os(CHILD).is_some() {
        let _ = dicom_object::from_reader(&endless_nesting(by_dicom_object())[..]);
        return;
    }
    // A stack overflow cannot be caught, so another process has it.
    let name = "formats::dicom::tests::dicom_object_does_not_survive_endless_nesting";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args([name, "--exact"]).env(CHILD, "1").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("overflow"));
}

#[test]
fn frames_may_span_fragments() {
    // A run-length header and three pixels of one byte, in two frames.
    let frame = |value: u8| {
        let mut bytes = vec![0; 64];
        (bytes[0], bytes[4]) = (1, 64);
        bytes.extend([254, value]);
        bytes
    };
    let file = File::grey(uids::RLE_LOSSLESS, [3, 1], [8, 8], false);
    let (one, two) = (frame(7), frame(9));
    let single = file.clone().fragments(&[&one[..64], &one[64..]]);
    assert_eq!(image(&single).samples, Samples::U8(vec![7, 7, 7]));
    let double = file.clone().text(tags::NUMBER_OF_FRAMES, b"IS", "2").fragments(&[&one, &two]);
    assert_eq!(image(&double).samples, Samples::U8(vec![7, 7, 7, 9, 9, 9]));
    let unclear = file.text(tags::NUMBER_OF_FRAMES, b"IS", "2").fragments(&[&one[..64], &one[64..], &two]);
    assert!(message(&unclear).contains("without an offset table"), "{}", message(&unclear));
}

#[test]
fn a_frame_of_another_size_than_the_header_says_is_refused() {
    let stream = super::jpeg_ls::tests::h3_stream();
    let right = File::grey(uids::JPEGLS_LOSSLESS, [4, 4], [8, 8], false).fragments(&[&stream]);
    assert_eq!(image(&right).samples, Samples::U8(super::jpeg_ls::tests::H3_IMAGE.to_vec()));
    let wrong = File::grey(uids::JPEGLS_LOSSLESS, [4, 5], [8, 8], false).fragments(&[&stream]);
    assert!(message(&wrong).contains("expected 4 x 5 pixels of 1 samples, found 4 x 4 of 1"), "{}", message(&wrong));
}

proptest! {
    #[test]
    fn a_file_cut_anywhere_is_an_error(cut in 0usize..1000) {
        let bytes = File::slice(1.0, 1, [1, 2, 3, 4]).bytes();
        let cut = cut % bytes.len();
        prop_assert!(read(&bytes[..cut]).is_err());
        let _ = header(&bytes[..cut]);
    }

    #[test]
    fn altered_bytes_never_panic(at in 0usize..2000, value: u8, which in 0usize..3) {
        let stream = super::jpeg_ls::tests::h3_stream();
        let file = match which {
            0 => File::slice(1.0, 1, [1, 2, 3, 4]),
            1 => File::grey(uids::JPEGLS_LOSSLESS, [4, 4], [8, 8], false).fragments(&[&stream]),
            _ => File::grey(uids::IMPLICIT_VR_LITTLE_ENDIAN, [2, 2], [16, 12], false).pixels(&[0; 8]).bare(),
        };
        let mut bytes = file.bytes();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = read(&bytes);
    }
}
