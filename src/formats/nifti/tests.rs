use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::image::{Frame, Samples};

/// A field of the header: offset and value.
type Field<'a> = (usize, &'a [u8]);

/// A NIfTI-1 file of 2 x 3 x 2 voxels of 16 bit with the values 0 to 11 and spacings 2, 3, 4; `fields` (little endian)
/// are put over it.
fn nii(fields: &[Field]) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    let mut put = |(at, value): Field| bytes[at..at + value.len()].copy_from_slice(value);
    put((0, &348i32.to_le_bytes()));
    put((40, &words(&[3, 2, 3, 2, 1, 1, 1, 1])));
    put((70, &words(&[4, 16])));
    put((76, &floats(&[1., 2., 3., 4., 1., 1., 1., 1.])));
    put((108, &floats(&[352., 1., 0.])));
    put((344, b"n+1\0"));
    fields.iter().for_each(|&field| put(field));
    bytes.extend(words(&std::array::from_fn::<i16, 12, _>(|i| i as i16)));
    bytes
}

fn words(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn alone(_: &str) -> Result<Option<Vec<u8>>> {
    Ok(None)
}

fn read_alone(bytes: &[u8]) -> Result<Image> {
    read("a.nii", bytes, &alone)
}

fn message(bytes: &[u8]) -> String {
    read_alone(bytes).unwrap_err().to_string()
}

fn counting() -> Samples {
    Samples::I16((0..12).collect())
}

#[test]
fn plain_and_compressed_files_are_the_same_image() {
    let plain = read_alone(&nii(&[])).unwrap();
    assert_eq!((plain.size, plain.components, plain.bits), ([2, 3, 2, 1], 1, 16));
    assert_eq!(plain.samples, counting());
    assert_eq!(plain.value([1, 2, 1, 0], 0), 11.0);
    assert_eq!(plain.notes, Vec::<String>::new());
    assert_eq!(read_alone(&gzip(&nii(&[]))).unwrap(), plain);
    let whole = nii(&[]);
    let (first, second) = whole.split_at(361);
    assert_eq!(read_alone(&[gzip(first), gzip(second)].concat()).unwrap(), plain, "two members");
}

#[test]
fn big_endian_headers_are_swapped_with_their_voxels() {
    // Every field written here is made of two- or four-byte numbers at even offsets: swap them in place.
    let mut bytes = nii(&[]);
    for at in (0..40).step_by(4).chain((76..140).step_by(4)).chain((256..328).step_by(4)) {
        bytes[at..at + 4].reverse();
    }
    for at in (40..76).step_by(2).chain((252..256).step_by(2)).chain((352..bytes.len()).step_by(2)) {
        bytes[at..at + 2].reverse();
    }
    assert_eq!(read_alone(&bytes).unwrap(), read_alone(&nii(&[])).unwrap());
}

#[test]
fn nifti_2_is_read_in_both_byte_orders() {
    for big in [false, true] {
        let mut bytes = vec![0; 544];
        let mut put = |at: usize, value: &[u8]| {
            let mut value = value.to_vec();
            if big {
                value.reverse();
            }
            bytes[at..at + value.len()].copy_from_slice(&value);
        };
        put(0, &540i32.to_le_bytes());
        put(12, &512i16.to_le_bytes());
        for (i, n) in [3i64, 2, 1, 1].into_iter().enumerate() {
            put(16 + 8 * i, &n.to_le_bytes());
        }
        for (i, n) in [1f64, 0.7, 0.8, 0.9].into_iter().enumerate() {
            put(104 + 8 * i, &n.to_le_bytes());
        }
        put(168, &544i64.to_le_bytes());
        put(176, &f64::NAN.to_le_bytes());
        put(348, &2i32.to_le_bytes());
        for (row, n) in [0.7f64, 0.8, 0.9].into_iter().enumerate() {
            put(400 + 40 * row, &n.to_le_bytes());
        }
        bytes[4..8].copy_from_slice(b"n+2\0");
        bytes.extend(if big { [1, 2, 3, 4] } else { [2, 1, 4, 3] });
        let image = read_alone(&bytes).unwrap();
        assert_eq!(image.samples, Samples::U16(vec![0x0102, 0x0304]));
        assert_eq!(image.scaling, Scaling::IDENTITY);
        let geometry = image.geometry.unwrap();
        assert_eq!((geometry.spacing, geometry.frame), ([0.7, 0.8, 0.9], Frame::Sform));
        assert_eq!(geometry.affine, [[0.7, 0., 0., 0.], [0., 0.8, 0., 0.], [0., 0., 0.9, 0.]]);
        bytes[4] = b'x';
        assert!(message(&bytes).contains("n+2"));
    }
}

#[test]
fn slopes_that_say_nothing_are_no_scaling() {
    let scaling = |slope, inter| read_alone(&nii(&[(112, &floats(&[slope, inter]))])).map(|image| image.scaling);
    for slope in [0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(scaling(slope, 5.0).unwrap(), Scaling::IDENTITY, "{slope}");
        assert_eq!(scaling(slope, f32::NAN).unwrap(), Scaling::IDENTITY, "{slope}");
    }
    assert_eq!(scaling(2.5, -1.0).unwrap(), Scaling { slope: 2.5, intercept: -1.0 });
    assert!(scaling(2.5, f32::NAN).unwrap_err().to_string().contains("scl_inter is NaN"));
}

#[test]
fn every_type_has_its_samples() {
    for (code, name, components) in [
        (2, "uint8", 1),
        (4, "int16", 1),
        (8, "int32", 1),
        (16, "float32", 1),
        (64, "float64", 1),
        (128, "uint8", 3),
        (256, "int8", 1),
        (512, "uint16", 1),
        (768, "uint32", 1),
        (1024, "int64", 1),
        (1280, "uint64", 1),
        (2304, "uint8", 4),
    ] {
        let mut bytes = nii(&[(70, &words(&[code]))]);
        bytes.extend([0; 100]);
        let image = read_alone(&bytes).unwrap();
        assert_eq!((image.samples.dtype(), image.components), (name, components));
        assert_eq!(image.samples.len(), 12 * components);
        assert_eq!(header("a.nii", &bytes).unwrap().dtype.name(), name);
    }
    for (code, word) in [(1, "bilevel"), (32, "complex"), (1536, "128-bit"), (1792, "complex"), (2048, "complex")] {
        assert!(message(&nii(&[(70, &words(&[code]))])).contains(word), "{code}");
    }
    assert!(message(&nii(&[(70, &words(&[3]))])).contains("datatype 3"));
}

#[test]
fn axes_are_checked_and_joined() {
    let size = |dim: &[i16]| read_alone(&nii(&[(40, &words(dim))])).map(|image| (image.size, image.notes.len()));
    assert_eq!(size(&[1, 12]).unwrap(), ([12, 1, 1, 1], 0));
    assert_eq!(size(&[7, 1, 1, 1, 2, 3, 1, 2]).unwrap(), ([1, 1, 1, 12], 0));
    assert_eq!(size(&[4, 2, 3, 2, 0]).unwrap(), ([2, 3, 2, 1], 1));
    for dim in [[3, 2, 0, 2], [3, -2, 3, 2]] {
        assert!(size(&dim).unwrap_err().to_string().contains("must be at least 1"));
    }
    assert!(size(&[0]).unwrap_err().to_string().contains("1 to 7 axes"));
    let huge = size(&[7, i16::MAX, i16::MAX, i16::MAX, i16::MAX, i16::MAX, i16::MAX, i16::MAX]).unwrap_err();
    assert!(huge.to_string().contains("do not fit in memory"), "{huge}");
    let large = size(&[4, i16::MAX, i16::MAX, 100, 1]).unwrap_err();
    assert!(large.to_string().contains("needs 214735257800 bytes, found 24"), "{large}");
}

#[test]
fn data_begin_where_the_header_says_and_never_within_it() {
    let mut bytes = nii(&[(108, &floats(&[368.])), (348, &[1, 0, 0, 0])]);
    bytes.splice(352..352, [16, 0, 0, 0, 6, 0, 0, 0, b'c', b'o', b'm', b'm', b'e', b'n', b't', 0]);
    assert_eq!(read_alone(&bytes).unwrap().samples, counting(), "an extension");
    let image = read_alone(&nii(&[(108, &floats(&[0.]))])).unwrap();
    assert_eq!(image.samples, counting());
    assert!(image.notes[0].contains("vox_offset is 0"), "{:?}", image.notes);
    for offset in [100., -8., f32::NAN, f32::INFINITY] {
        assert!(message(&nii(&[(108, &floats(&[offset]))])).contains("vox_offset"), "{offset}");
    }
    // An offset that is no multiple of the sample's size, in a compressed file.
    let mut bytes = nii(&[(108, &floats(&[353.]))]);
    bytes.insert(352, 9);
    assert_eq!(read_alone(&gzip(&bytes)).unwrap().samples, counting());
}

#[test]
fn pairs_find_their_data_by_the_header_s_name() {
    let mut hdr = nii(&[(108, &floats(&[0.])), (344, b"ni1\0")]);
    let img = hdr.split_off(352);
    for (name, wanted, data) in [
        ("case.1.hdr", "case.1.img", img.clone()),
        ("a.hdr.gz", "a.img.gz", gzip(&img)),
        ("A.HDR", "A.IMG", img.clone()),
    ] {
        let image = read(name, &hdr, &|asked| Ok((asked == wanted).then(|| data.clone()))).unwrap();
        assert_eq!(image.samples, counting(), "{name}");
    }
    let error = read("a.hdr", &hdr, &alone).unwrap_err().to_string();
    assert!(error.contains("\"a.img\""), "{error}");
    assert_eq!(header("a.hdr", &hdr).unwrap().size, [2, 3, 2, 1]);
}

#[test]
fn headers_without_magic_are_analyze() {
    let mut hdr = nii(&[(108, &floats(&[0.])), (344, &[0; 4])]);
    let img = hdr.split_off(352);
    let image = crate::formats::read("a.hdr", &hdr, &|_| Ok(Some(img.clone()))).unwrap();
    assert_eq!(image.samples, counting());
    assert_eq!(image.geometry.unwrap().orientation(), "LAS");
    assert!(message(b"GIF89a and what follows").contains("needs 348 bytes"));
    assert!(message(&[7; 400]).contains("expected a header size of 348 or 540"));
}

#[test]
fn the_sform_comes_first_and_the_spacing_from_pixdim() {
    let sform = floats(&[-1., 0., 0., 10., 0., -1., 0., 20., 0., 0., 1., 30.]);
    let image = read_alone(&nii(&[(252, &words(&[1, 1])), (280, &sform)])).unwrap();
    let geometry = image.geometry.unwrap();
    assert_eq!(geometry.frame, Frame::Sform);
    assert_eq!(geometry.affine, [[-1., 0., 0., 10.], [0., -1., 0., 20.], [0., 0., 1., 30.]]);
    assert_eq!(geometry.spacing, [2., 3., 4.]);
    let [forms, voxels] = &image.notes[..] else { panic!("two notes expected: {:?}", image.notes) };
    assert!(forms.starts_with("The sform and the qform differ by up to"), "{forms}");
    assert_eq!(
        voxels,
        "The affine has voxels of 1 x 1 x 1 mm, but pixdim states 2 x 3 x 4 mm; the spacing is taken \
        from pixdim."
    );
}

#[test]
fn a_qform_turns_by_its_quaternion() {
    // Half a turn about z, with the third axis reversed.
    let fields = [(76, floats(&[-1.])), (252, words(&[1, 0])), (256, floats(&[0., 0., 1., 5., 6., 7.]))];
    let geometry = read_alone(&nii(&fields.each_ref().map(|(at, f)| (*at, &f[..])))).unwrap().geometry.unwrap();
    assert_eq!(geometry.frame, Frame::Qform);
    assert_eq!(geometry.affine, [[-2., 0., 0., 5.], [0., -3., 0., 6.], [0., 0., -4., 7.]]);
    assert_eq!(geometry.orientation(), "LPI");
}

#[test]
fn without_a_form_the_affine_is_nibabel_s() {
    let geometry = read_alone(&nii(&[])).unwrap().geometry.unwrap();
    assert_eq!(geometry.frame, Frame::Spacing);
    assert_eq!(geometry.affine, [[-2., 0., 0., 1.], [0., 3., 0., -3.], [0., 0., 4., -2.]]);
    // Codes that mean nothing are no form, and a form of NaN is none.
    let image = read_alone(&nii(&[(252, &words(&[9, -1]))])).unwrap();
    assert_eq!((image.geometry.unwrap().frame, image.notes.len()), (Frame::Spacing, 2));
    let image = read_alone(&nii(&[(254, &words(&[1])), (280, &floats(&[f32::NAN]))])).unwrap();
    assert_eq!((image.geometry.unwrap().frame, image.notes.len()), (Frame::Spacing, 1));
}

#[test]
fn lengths_are_converted_to_millimetres() {
    let sform = floats(&[2., 0., 0., 1., 0., 3., 0., 0., 0., 0., 4., 0.]);
    for (unit, mm) in [(0, 1.0), (2, 1.0), (3 + 8, 0.001), (1, 1000.0)] {
        let image = read_alone(&nii(&[(123, &[unit]), (254, &words(&[1])), (280, &sform)])).unwrap();
        let geometry = image.geometry.unwrap();
        assert_eq!(geometry.spacing, [2. * mm, 3. * mm, 4. * mm]);
        assert_eq!(geometry.affine[0], [2. * mm, 0., 0., mm]);
        assert_eq!(image.notes.len(), usize::from(mm != 1.0), "{:?}", image.notes);
    }
}

#[test]
fn useless_spacings_become_one() {
    let image = read_alone(&nii(&[(80, &floats(&[-2., 0., f32::NAN]))])).unwrap();
    assert_eq!(image.geometry.unwrap().spacing, [2., 1., 1.]);
    assert_eq!(image.notes.len(), 2);
}

#[test]
fn short_files_say_what_is_missing() {
    let bytes = nii(&[]);
    assert!(message(&bytes[..bytes.len() - 1]).contains("needs 24 bytes, found 23"));
    assert!(message(&bytes[..200]).contains("header needs 348 bytes, found 200"));
    let packed = gzip(&bytes);
    assert!(message(&packed[..packed.len() - 12]).contains("truncated"));
    assert!(message(&gzip(&bytes[..bytes.len() - 3])).contains("needs 24 bytes, found 21"));
    // The header alone is read from what there is.
    assert_eq!(header("a.nii", &bytes[..348]).unwrap().size, [2, 3, 2, 1]);
}

proptest! {
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((0usize..376, any::<u8>()), 0..12), cut in 0usize..400) {
        let mut bytes = nii(&[]);
        for (at, to) in changes {
            bytes[at] = to;
        }
        bytes.truncate(cut);
        for bytes in [&bytes, &gzip(&bytes)] {
            let _ = header("a.nii", bytes);
            let _ = read("a.nii", bytes, &alone);
            let _ = read("a.hdr", bytes, &|_| Ok(Some(vec![1; 24])));
        }
    }
}

/// The values of a file by the `nifti` crate, x fastest.
fn by_nifti(bytes: &[u8]) -> nifti::Result<Vec<f64>> {
    use nifti::{IntoNdArray, NiftiObject};
    let volume = nifti::InMemNiftiObject::from_reader(bytes)?.into_volume();
    Ok(volume.into_ndarray::<f64>()?.reversed_axes().iter().copied().collect())
}

#[test]
fn what_the_nifti_crate_reads_otherwise_or_not_at_all() {
    let counted: Vec<f64> = (0..12).map(f64::from).collect();
    assert_eq!(by_nifti(&nii(&[])).unwrap(), counted);
    let nan = nii(&[(112, &f32::NAN.to_le_bytes())]);
    assert_eq!(read_alone(&nan).unwrap().samples, counting());
    assert!(by_nifti(&nan).unwrap().iter().all(|value| value.is_nan()));
    // Analyze: no magic number.
    assert!(by_nifti(&nii(&[(344, &[0; 4])])).is_err());
    let mut second = vec![0; 544];
    second[..12].copy_from_slice(b"\x1c\x02\0\0n+2\0\r\n\x1a\n");
    assert!(by_nifti(&second).is_err());
    let whole = nii(&[]);
    let (first, second) = whole.split_at(361);
    let members = [gzip(first), gzip(second)].concat();
    assert_eq!(read_alone(&members).unwrap().samples, counting());
    assert!(by_nifti(&members).is_err());
}
