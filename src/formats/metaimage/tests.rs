use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::image::Samples;

/// A `.mha` of 2 x 3 x 4 bytes that count from 0; `lines` come before the last line.
fn mha(lines: &str) -> Vec<u8> {
    with_data(&format!("{lines}ElementDataFile = LOCAL\n"), &counting())
}

fn with_data(lines: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\n{lines}");
    [header.as_bytes(), data].concat()
}

fn counting() -> Vec<u8> {
    (0..24).collect()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read_alone(bytes: &[u8]) -> Result<Image> {
    read("a.mha", bytes, &|_| Ok(None))
}

fn message(bytes: &[u8]) -> String {
    read_alone(bytes).unwrap_err().to_string()
}

#[test]
fn local_data_follow_the_header() {
    let image = read_alone(&mha("")).unwrap();
    assert_eq!((image.size, image.components, image.bits), ([2, 3, 4, 1], 1, 8));
    assert_eq!(image.samples, Samples::U8(counting()));
    let geometry = image.geometry.unwrap();
    assert_eq!(geometry, Geometry::from_lps([0.; 3], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [1.; 3]));
}

#[test]
fn writing_is_free() {
    let loose =
        b"junk\r\n# comment\r\nndims:3\r\nDIMSIZE =  2,3  4 \r\nelementtype=met_uchar\r\nElementDataFile = Local\r\n";
    let image = read_alone(&[&loose[..], &counting()].concat()).unwrap();
    assert_eq!(image.samples, Samples::U8(counting()));
}

#[test]
fn compressed_data_are_read_whatever_size_the_header_gives() {
    let packed = zlib(&counting());
    for lines in ["CompressedData = True\n".to_string(), format!("CompressedData = True\nCompressedDataSize = {}\n", 5)]
    {
        let bytes = with_data(&format!("{lines}ElementDataFile = LOCAL\n"), &packed);
        assert_eq!(read_alone(&bytes).unwrap().samples, Samples::U8(counting()));
        assert!(message(&bytes[..bytes.len() - 3]).contains("truncated"));
    }
    let bytes = with_data("CompressedData = True\nCompressedDataSize = 500\nElementDataFile = LOCAL\n", &packed);
    assert!(message(&bytes).contains("needs 500 bytes"));
    let bytes = with_data("CompressedData = True\nElementDataFile = LOCAL\n", &zlib(&[1; 20]));
    assert!(message(&bytes).contains("needs 24 bytes, found 20"));
}

#[test]
fn types_channels_and_byte_orders() {
    let read_as = |lines: &str| {
        let header = format!("NDims = 2\nDimSize = 3 1\n{lines}ElementDataFile = LOCAL\n");
        read_alone(&[header.as_bytes(), &counting()].concat()).unwrap()
    };
    for (name, dtype) in [
        ("MET_CHAR", "int8"),
        ("MET_UCHAR", "uint8"),
        ("MET_SHORT", "int16"),
        ("MET_USHORT", "uint16"),
        ("MET_INT", "int32"),
        ("MET_UINT", "uint32"),
        ("MET_LONG", "int32"),
        ("MET_ULONG", "uint32"),
        ("MET_LONG_LONG", "int64"),
        ("MET_ULONG_LONG", "uint64"),
        ("MET_FLOAT", "float32"),
        ("MET_DOUBLE", "float64"),
    ] {
        assert_eq!(read_as(&format!("ElementType = {name}\n")).samples.dtype(), dtype);
    }
    let image = read_as("ElementType = MET_USHORT_ARRAY\nElementNumberOfChannels = 2\nElementByteOrderMSB = True\n");
    assert_eq!(image.components, 2);
    assert_eq!(image.samples, Samples::U16(vec![0x0001, 0x0203, 0x0405, 0x0607, 0x0809, 0x0a0b]));
    let image = read_as("ElementType = MET_SHORT\nBinaryDataByteOrderMSB = False\n");
    assert_eq!(image.samples, Samples::I16(vec![0x0100, 0x0302, 0x0504]));
}

#[test]
fn bytes_before_the_data_are_skipped() {
    let detached = |lines: &str, data: Vec<u8>| {
        let bytes = with_data(&format!("{lines}ElementDataFile = a.raw\n"), &[]);
        read("a.mhd", &bytes, &move |name| Ok((name == "a.raw").then(|| data.clone())))
    };
    let padded = [vec![9; 7], counting()].concat();
    for lines in ["HeaderSize = 7\n", "HeaderSize = -1\n"] {
        assert_eq!(detached(lines, padded.clone()).unwrap().samples, Samples::U8(counting()), "{lines}");
    }
    assert!(detached("HeaderSize = 8\n", padded).unwrap_err().to_string().contains("needs 24 bytes, found 23"));
    assert!(detached("HeaderSize = -2\n", counting()).is_err());
    // In a single file the size counts from the start: that of the text, and three bytes more.
    let lines = "HeaderSize = 113\nElementDataFile = LOCAL\n";
    let mut bytes = with_data(lines, &[9, 9, 9]);
    assert_eq!(bytes.len(), 113);
    bytes.extend(counting());
    assert_eq!(read_alone(&bytes).unwrap().samples, Samples::U8(counting()));
}

#[test]
fn slices_may_be_files_of_their_own() {
    let part = |name: &str| {
        let number: u8 = name.strip_prefix("s")?.strip_suffix(".raw")?.parse().ok()?;
        (1..=4).contains(&number).then(|| counting()[6 * (usize::from(number) - 1)..][..6].to_vec())
    };
    let slice = |name: &str| Ok(part(name));
    for lines in [
        "ElementDataFile = LIST\ns1.raw\r\ns2.raw\ns3.raw\ns4.raw",
        "ElementDataFile = LIST 2\ns1.raw\ns2.raw\ns3.raw\ns4.raw\n",
        "ElementDataFile = s%01d.raw 1 4 1\n",
        "ElementDataFile = s%d.raw 1 4\n",
    ] {
        let image = read("a.mhd", &with_data(lines, &[]), &slice).unwrap();
        assert_eq!(image.samples, Samples::U8(counting()), "{lines}");
    }
    let fails = |lines: &str| read("a.mhd", &with_data(lines, &[]), &slice).unwrap_err().to_string();
    assert!(fails("ElementDataFile = LIST\ns1.raw\ns2.raw\n").contains("expected 4 data files"));
    assert!(fails("ElementDataFile = s%d.raw 1 9 1\n").contains("\"s5.raw\""));
    let packed = |name: &str| Ok(part(name).map(|bytes| zlib(&bytes)));
    let bytes = with_data("CompressedData = True\nElementDataFile = s%d.raw 1 4 1\n", &[]);
    assert_eq!(read("a.mhd", &bytes, &packed).unwrap().samples, Samples::U8(counting()));
}

#[test]
fn numbers_may_be_text() {
    let bytes = with_data("BinaryData = False\nElementDataFile = LOCAL\n", b"");
    let text: Vec<String> = counting().iter().map(u8::to_string).collect();
    assert_eq!(read_alone(&[bytes.clone(), text.join(" ").into()].concat()).unwrap().samples, Samples::U8(counting()));
    assert!(message(&[bytes, text[1..].join("\n").into()].concat()).contains("expected 24 values"));
}

/// The values are SimpleITK's of the same headers.
#[test]
fn the_frame_is_itk_s() {
    let geometry = |lines: &str| header("a.mha", &mha(lines)).map(|h| (h.geometry.unwrap(), h.notes.len()));
    for key in ["TransformMatrix", "Rotation", "Orientation"] {
        let (frame, _) =
            geometry(&format!("{key} = 0 1 0 0 0 1 1 0 0\nElementSpacing = 4 5 6\nPosition = 1 2 3\n")).unwrap();
        let itk = Geometry::from_lps([1., 2., 3.], [[0., 1., 0.], [0., 0., 1.], [1., 0., 0.]], [4., 5., 6.]);
        assert_eq!(frame, itk, "{key}");
    }
    let spacing = |lines| geometry(lines).unwrap().0.spacing;
    assert_eq!(spacing("ElementSize = 1 2 3\n"), [1., 2., 3.]);
    assert_eq!(spacing("ElementSize = 1 2 3\nElementSpacing = 4 5 6\n"), [4., 5., 6.]);
    let (frame, notes) = geometry("ElementSpacing = -4 0 6\n").unwrap();
    assert_eq!((frame.spacing, frame.affine[0][0], notes), ([4., 1., 6.], 4.0, 2));
    assert_eq!(geometry("ElementToIntensityFunctionSlope = 2\n").unwrap().1, 1);
    assert!(geometry("Offset = 1 nan 3\n").is_err());
    assert!(geometry("Offset = 1 2\n").is_err());
}

#[test]
fn two_and_five_axes() {
    let header_of =
        |lines: &str| header("a.mhd", format!("{lines}ElementType = MET_UCHAR\nElementDataFile = a.raw\n").as_bytes());
    let two = header_of("NDims = 2\nDimSize = 4 6\nTransformMatrix = 0 1 -1 0\nOffset = 3 4\n").unwrap();
    assert_eq!(two.size, [4, 6, 1, 1]);
    let frame = Geometry::from_lps([3., 4., 0.], [[0., 1., 0.], [-1., 0., 0.], [0., 0., 1.]], [1.; 3]);
    assert_eq!(two.geometry.unwrap(), frame);
    assert_eq!(header_of("NDims = 5\nDimSize = 2 3 4 5 6\n").unwrap().size, [2, 3, 4, 30]);
}

#[test]
fn what_is_wrong_is_named() {
    for (bytes, cause) in [
        (b"".to_vec(), "no ElementDataFile"),
        (b"NDims = 3\nElementDataFile = LOCAL\n".to_vec(), "no DimSize"),
        (b"NDims = 3\0\nElementDataFile = LOCAL\n".to_vec(), "byte 9 is 0"),
        (with_data("ElementDataFile = a.raw\n", &[]), "\"a.raw\""),
        (with_data("ElementDataFile = LOCAL\n", &[0; 23]), "needs 24 bytes, found 23"),
        (with_data("ElementDataFile = \n", &[0; 24]), "data file is empty"),
        (mha("CompressedData = perhaps\n"), "perhaps"),
        (mha("ElementNumberOfChannels = 0\n"), "ElementNumberOfChannels"),
    ] {
        assert!(message(&bytes).contains(cause), "{}", message(&bytes));
    }
    let replaced = |from: &str, to: &str| String::from_utf8_lossy(&mha("")).replacen(from, to, 1).into_bytes();
    for (from, to, cause) in [
        ("Image", "Mesh", "Mesh"),
        ("NDims = 3", "NDims = 0", "NDims is 0"),
        ("2 3 4", "2 3", "expected 3 numbers"),
        ("2 3 4", "2 0 4", "an axis cannot be empty"),
        ("2 3 4", "2 -3 4", "expected 3 numbers"),
        ("2 3 4", "2 3 400000000000", "needs 2400000000000 bytes, found 24"),
        ("2 3 4", "4294967296 4294967296 4294967296", "do not fit in memory"),
        ("MET_UCHAR", "MET_OTHER", "MET_OTHER"),
    ] {
        assert!(message(&replaced(from, to)).contains(cause), "{to}: {}", message(&replaced(from, to)));
    }
}

#[test]
fn absolute_paths_are_not_followed() {
    let bytes = with_data("ElementDataFile = /etc/passwd\n", &[]);
    let error = read("a.mhd", &bytes, &|name| Ok(name.contains('/').then(|| vec![0; 24]))).unwrap_err();
    assert!(error.to_string().contains("/etc/passwd"), "{error}");
}

proptest! {
    #[test]
    fn damage_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let lines = "CompressedData = True\nElementSpacing = 1 2 3\nHeaderSize = 0\n";
        let packed = with_data(&format!("{lines}ElementDataFile = LOCAL\n"), &zlib(&counting()));
        for mut bytes in [packed, mha("Offset = 1 2 3\n"), with_data("ElementDataFile = s%d.raw 1 4 1\n", &[])] {
            for (at, to) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = header("a.mha", &bytes);
            let _ = read("a.mha", &bytes, &|_| Ok(Some(vec![1; 6])));
        }
    }
}
