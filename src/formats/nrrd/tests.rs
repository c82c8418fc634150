use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::image::{Frame, Geometry, Samples};

/// A `.nrrd` of 2 x 3 x 4 bytes that count from 0, with more header lines.
fn nrrd(lines: &str) -> Vec<u8> {
    with_data("raw", lines, &counting())
}

fn with_data(encoding: &str, lines: &str, data: &[u8]) -> Vec<u8> {
    let fields = format!("NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 3 4\nencoding: {encoding}\n{lines}\n");
    [fields.as_bytes(), data].concat()
}

fn counting() -> Vec<u8> {
    (0..24).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read_alone(bytes: &[u8]) -> Result<Image> {
    read("a.nrrd", bytes, &|_| Ok(None))
}

fn message(bytes: &[u8]) -> String {
    read_alone(bytes).unwrap_err().to_string()
}

fn header_of(lines: &str) -> Result<Header> {
    header("a.nrrd", format!("NRRD0005\ntype: float\nencoding: ascii\n{lines}\n").as_bytes())
}

#[test]
fn a_plain_header_is_x_y_z_without_a_frame() {
    let image = read_alone(&nrrd("")).unwrap();
    assert_eq!((image.size, image.components, image.bits), ([2, 3, 4, 1], 1, 8));
    assert_eq!(image.samples, Samples::U8(counting()));
    assert_eq!((image.geometry, image.notes.len()), (None, 0));
}

#[test]
fn comments_keys_blanks_and_line_ends_are_tolerated() {
    let text = "NRRD00.01\r\n# made: by hand\r\nType:  unsigned   char\r\nDimension: 3\r\nSIZES: 2 3 4 \r\nkey:=value: 1\r\nencoding: RAW\r\n\r\n";
    assert_eq!(read_alone(&[text.as_bytes(), &counting()].concat()).unwrap().samples, Samples::U8(counting()));
}

#[test]
fn every_encoding_gives_the_same_samples() {
    let hex: String = counting().iter().map(|b| format!("{b:02X} ")).collect();
    let text: String = counting().iter().map(|b| format!("{b}\n")).collect();
    for (name, data) in [
        ("gzip", gzip(&counting())),
        ("gz", [gzip(&counting()[..5]), gzip(&counting()[5..])].concat()),
        ("bz2", bzip2(&counting())),
        ("hex", hex.into_bytes()),
        ("text", text.into_bytes()),
    ] {
        let bytes = with_data(name, "", &data);
        assert_eq!(read_alone(&bytes).unwrap().samples, Samples::U8(counting()), "{name}");
        let short = with_data(name, "", &data[..data.len() / 2]);
        assert!(read_alone(&short).is_err(), "{name}");
    }
    assert!(message(&with_data("zrl", "", &[])).contains("\"zrl\""));
}

#[test]
fn types_have_many_names_and_need_a_byte_order() {
    let file = |name: &str, endian: &str| {
        let text = format!("NRRD0001\ntype: {name}\ndimension: 1\nsizes: 3\nencoding: raw\n{endian}\n");
        [text.as_bytes(), &counting()].concat()
    };
    for (name, dtype) in [
        ("int8_t", "int8"),
        ("uint8", "uint8"),
        ("signed short int", "int16"),
        ("ushort", "uint16"),
        ("signed int", "int32"),
        ("unsigned int", "uint32"),
        ("long long", "int64"),
        ("unsigned long long int", "uint64"),
        ("float", "float32"),
        ("double", "float64"),
    ] {
        assert_eq!(read_alone(&file(name, "endian: little\n")).unwrap().samples.dtype(), dtype);
    }
    let image = read_alone(&file("uint16", "endian: big\n")).unwrap();
    assert_eq!(image.samples, Samples::U16(vec![0x0001, 0x0203, 0x0405]));
    assert!(message(&file("uint16", "")).contains("endian"));
    assert!(message(&file("block", "")).contains("block"));
    assert!(message(&file("long", "")).contains("\"long\""));
}

#[test]
fn lines_and_bytes_are_skipped() {
    let padded = [b"one\ntwo\n".to_vec(), vec![9; 3], counting()].concat();
    for lines in ["line skip: 2\nbyte skip: 3\n", "lineskip: 1\nbyteskip: 7\n", "byte skip: -1\n", "byte skip: 11\n"] {
        assert_eq!(read_alone(&with_data("raw", lines, &padded)).unwrap().samples, Samples::U8(counting()), "{lines}");
    }
    // Of compressed data, lines are skipped in the file and bytes in what comes out.
    let data = [b"one\n".to_vec(), gzip(&[vec![9; 3], counting()].concat())].concat();
    for lines in ["line skip: 1\nbyte skip: 3\n", "line skip: 1\nbyte skip: -1\n"] {
        assert_eq!(read_alone(&with_data("gzip", lines, &data)).unwrap().samples, Samples::U8(counting()), "{lines}");
    }
    let data = bzip2(&[vec![9; 3], counting()].concat());
    for lines in ["byte skip: 3\n", "byte skip: -1\n"] {
        assert_eq!(read_alone(&with_data("bzip2", lines, &data)).unwrap().samples, Samples::U8(counting()), "{lines}");
    }
    assert!(message(&with_data("raw", "line skip: 4\n", &padded)).contains("fewer than 4 lines"));
    assert!(message(&with_data("raw", "byte skip: 12\n", &padded)).contains("needs 24 bytes, found 23"));
    assert!(message(&with_data("raw", "byte skip: -2\n", &padded)).contains("byte skip is -2"));
}

#[test]
fn detached_data_are_one_file_a_list_or_a_pattern() {
    let file = |name: &str| {
        Ok(match name {
            "all.raw" => Some(counting()),
            "s3.raw" => Some(counting()[..12].to_vec()),
            "s5.raw" => Some(counting()[12..].to_vec()),
            _ => None,
        })
    };
    for lines in [
        "data file: all.raw\n",
        "datafile: s%d.raw 3 5 2\n",
        "data file: s%d.raw 3 5 2 3\n",
        "data file: LIST\ns3.raw\ns5.raw",
        "data file: LIST 3\r\ns3.raw\r\ns5.raw\r\n",
    ] {
        let header = with_data("raw", lines, &[]);
        let header = header.strip_suffix(b"\n").unwrap_or(&header);
        assert_eq!(read("a.nhdr", header, &file).unwrap().samples, Samples::U8(counting()), "{lines}");
    }
    let fails = |lines: &str| read("a.nhdr", &with_data("raw", lines, &[]), &file).unwrap_err().to_string();
    assert!(fails("data file: other.raw\n").contains("\"other.raw\""));
    assert!(fails("data file: LIST\ns3.raw\n").contains("needs 24 bytes, found 12"));
    assert!(fails("data file: LIST\n").contains("0 data files"));
}

#[test]
fn spaces_are_turned_into_ras() {
    let affine = |space: &str| {
        let lines = "dimension: 3\nsizes: 2 3 4\nspace directions: (2, 0, 0) (0,0,3)(0,-4,0)\nspace origin: (1,2,3)\n";
        let header = header_of(&format!("{lines}{space}")).unwrap();
        let geometry = header.geometry.unwrap();
        assert_eq!((geometry.spacing, geometry.frame), ([2., 3., 4.], Frame::Header));
        (geometry.affine, header.notes.len())
    };
    let ras = [[2., 0., 0., 1.], [0., 0., -4., 2.], [0., 3., 0., 3.]];
    let las = [[-2., 0., 0., -1.], [0., 0., -4., 2.], [0., 3., 0., 3.]];
    let lps = [[-2., 0., 0., -1.], [0., 0., 4., -2.], [0., 3., 0., 3.]];
    for (space, expected, notes) in [
        ("space: right-anterior-superior\n", ras, 0),
        ("space: RAS\n", ras, 0),
        ("space: left-anterior-superior\n", las, 0),
        ("space: LAS\n", las, 0),
        ("space: Left-Posterior-Superior\n", lps, 0),
        ("space: LPS\n", lps, 0),
        ("space: 3D-right-handed\n", lps, 1),
        ("space: scanner-xyz\n", lps, 1),
        ("space dimension: 3\n", lps, 1),
    ] {
        assert_eq!(affine(space), (expected, notes), "{space}");
    }
}

#[test]
fn axes_without_direction_are_components_first_and_t_last() {
    let shape = |lines: &str| header_of(lines).map(|h| (h.components, h.size));
    for (lines, expected) in [
        (
            "dimension: 4\nsizes: 3 4 5 6\nspace: LPS\nspace directions: none (1,0,0) (0,1,0) (0,0,1)\n",
            (3, [4, 5, 6, 1]),
        ),
        (
            "dimension: 4\nsizes: 4 5 6 7\nspace: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1) none\n",
            (1, [4, 5, 6, 7]),
        ),
        ("dimension: 4\nsizes: 4 5 6 7\n", (1, [4, 5, 6, 7])),
        ("dimension: 4\nsizes: 3 4 5 6\nkinds: RGB-color domain domain domain\n", (3, [4, 5, 6, 1])),
        ("dimension: 3\nsizes: 3 4 5\nkinds: vector domain domain\n", (3, [4, 5, 1, 1])),
        ("dimension: 3\nsizes: 4 5 9\nspacings: 1 2 nan\n", (1, [4, 5, 1, 9])),
        ("dimension: 3\nsizes: 4 5 9\nkinds: list list list\n", (1, [4, 5, 9, 1])),
        ("dimension: 2\nsizes: 4 5\n", (1, [4, 5, 1, 1])),
        (
            "dimension: 4\nsizes: 4 5 6 7\nspace: LPST\nspace directions: (1,0,0,0) (0,1,0,0) (0,0,1,0) (0,0,0,2)\n",
            (1, [4, 5, 6, 7]),
        ),
    ] {
        assert_eq!(shape(lines).unwrap(), expected, "{lines}");
    }
    let error = shape("dimension: 4\nsizes: 4 3 5 6\nspace directions: (1,0,0) none (0,1,0) (0,0,1)\n").unwrap_err();
    assert!(error.to_string().contains("reorder"), "{error}");
}

#[test]
fn spacings_alone_are_an_assumed_frame() {
    let header = header_of("dimension: 4\nsizes: 3 4 5 6\nspacings: NaN 0.5 0.6 -2\n").unwrap();
    assert_eq!((header.components, header.size), (3, [4, 5, 6, 1]));
    assert_eq!(header.geometry.unwrap(), Geometry::from_spacing([0.5, 0.6, 2.0]));
}

#[test]
fn images_of_two_axes_have_a_frame_too() {
    let lines = "dimension: 2\nsizes: 4 5\nspace dimension: 2\nspace directions: (0,2) (-3,0)\nspace origin: (7,8)\n";
    let geometry = header_of(lines).unwrap().geometry.unwrap();
    assert_eq!(geometry.affine, [[0., 3., 0., -7.], [-2., 0., 0., -8.], [0., 0., 1., 0.]]);
    assert_eq!(geometry.spacing, [2., 3., 1.]);
}

#[test]
fn what_is_wrong_is_named() {
    let header_with = |lines: &str| header_of(lines).unwrap_err().to_string();
    for (lines, cause) in [
        ("sizes: 2\n", "no field dimension"),
        ("dimension: 2\n", "no field sizes"),
        ("dimension: 2\nsizes: 2\n", "expected 2 values"),
        ("dimension: 2\nsizes: 2 0\n", "an axis cannot be empty"),
        ("dimension: 99\nsizes: 2\n", "expected 1 to 16"),
        ("dimension: 1\nsizes: 2\nspace directions: (1,0\n", "expected vectors"),
        ("dimension: 1\nsizes: 2\nspace directions: (1,0,0) (0,1,0)\n", "2 space directions for 1 axes"),
        ("dimension: 1\nsizes: 2\nspace directions: (1,inf,0)\n", "not finite"),
        ("no colon here\n", "\"no colon here\""),
    ] {
        assert!(header_with(lines).contains(cause), "{lines}: {}", header_with(lines));
    }
    assert!(message(b"NRRD1004\ntype: uchar\n").contains("\"NRRD1004\""));
    assert!(message(&with_data("raw", "", &counting()[..23])).contains("needs 24 bytes, found 23"));
    let large = "NRRD0004\ntype: double\ndimension: 3\nsizes: 4000000 4000000 4\nencoding: gzip\nendian: big\n\n";
    assert!(message(large.as_bytes()).contains("found 0"));
}

proptest! {
    #[test]
    fn damage_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let lines = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (1,2,3)\nbyte skip: 0\n";
        for mut bytes in [
            nrrd(lines),
            with_data("gzip", lines, &gzip(&counting())),
            with_data("bzip2", lines, &bzip2(&counting())),
            with_data("raw", "data file: s%02d.raw 1 4 1\n", &[]),
            with_data("text", "kinds: domain domain list\nspacings: 1 2 nan\n", b"1 2 3 4"),
        ] {
            for (at, to) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let _ = header("a.nrrd", &bytes);
            let _ = read("a.nrrd", &bytes, &|_| Ok(Some(vec![1; 6])));
        }
    }
}
