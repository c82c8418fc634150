//! Analyze 7.5 and its SPM99 and SPM2 dialects: a 348-byte `.hdr` without a magic number, and an `.img`.
//!
//! Specification: "ANALYZE 7.5 File Format" of the Mayo Clinic; for SPM's use of the spare fields, nibabel's
//! `Spm2AnalyzeImage`, which this reader follows.
//!
//! **The orientation is an assumption.** The header does not distinguish left from right. Mayo's convention was
//! radiological, SPM2 and nibabel take x to run towards the left (nibabel's `default_x_flip`), and much software wrote
//! the opposite. The affine here is nibabel's (x to the left, y anterior, z superior, zero at SPM's origin where that
//! is within reach and else at the centre), and its frame is [`Frame::Spacing`]: assumed, not known. An SPM `.mat` next
//! to the pair, which nibabel applies, is not read; a note reports it.
//!
//! In the wild: both byte orders; a scale factor in `funused1` (SPM), or a range in `glmax`/`cal_max` (SPM2);
//! the type codes of SPM (130, 132, 136) and of NIfTI in headers that are neither.

use super::format::{File, Format};
use super::nifti::{Cursor, centred_on_volume, data_half, has_size, size_of_axes, spacing_of};
use super::voxels::{Block, Dtype, Encoding, Endian, Header, Scratch, Skip};
use super::{Companion, Error, Result, gzip};
use crate::image::{Frame, Geometry, Image, Scaling};

const FORMAT: &str = "Analyze";
const HEADER: usize = 348;

/// Analyze 7.5.
pub static ENTRY: Format = Format {
    name: FORMAT,
    extensions: &["hdr"],
    // Those with a magic number are NIfTI's.
    signature: |head| has_size(head, HEADER as i32),
    companions: &[("hdr", &["img", "img.gz", "IMG"])],
    read: read_file,
    ..Format::PLAIN
};

/// True for the (decompressed) start of a header of 348 bytes, in either byte order, without NIfTI's magic number.
fn is_analyze(head: &[u8]) -> bool {
    head.len() >= HEADER && has_size(head, HEADER as i32) && !matches!(&head[344..348], b"n+1\0" | b"ni1\0")
}

/// Reads an image from the bytes of its header (`name`, from which the name of the `.img` is made) and its companion.
///
/// # Errors
/// [`Error::MissingCompanion`] without the `.img`, [`Error::Unsupported`] for complex and bilevel voxels,
/// [`Error::Truncated`] and [`Error::Malformed`] for headers and data that contradict each other.
pub fn read(name: &str, bytes: &[u8], companion: &Companion) -> Result<Image> {
    read_file(&File::new(name, bytes), companion, &mut Scratch::default())
}

fn read_file(file: &File, companion: &Companion, scratch: &mut Scratch) -> Result<Image> {
    let (mut header, endian, offset) = parse(&file.head(HEADER)?)?;
    let name = file.name;
    let img = data_half(FORMAT, name, companion)?;
    let mat = format!("{}.mat", name.trim_end_matches(".gz").trim_end_matches(".hdr"));
    if companion(&mat)?.is_some() {
        header.notes.push(format!("{mat} contains an affine of SPM, which is not read."));
    }
    let block = Block {
        format: FORMAT,
        dtype: header.dtype,
        endian,
        count: header.count(FORMAT)?,
        encoding: if gzip::is_gzip(&img) { Encoding::Deflate } else { Encoding::Raw },
        skip: Skip::Bytes(offset),
    };
    let samples = block.decode(vec![img], scratch, file.room())?;
    Ok(header.with(samples))
}

/// Reads the header alone.
///
/// # Errors
/// As [`read`], without those of the data.
pub fn header(name: &str, bytes: &[u8]) -> Result<Header> {
    Ok(parse(&File::new(name, bytes).head(HEADER)?)?.0)
}

fn malformed(reason: String) -> Error {
    Error::Malformed { format: FORMAT, reason }
}

/// Header, byte order, and offset of the voxels in the `.img`.
fn parse(head: &[u8]) -> Result<(Header, Endian, usize)> {
    if head.len() < HEADER {
        let (expected, found) = (HEADER as u64, head.len() as u64);
        return Err(Error::Truncated { format: FORMAT, what: "header".into(), expected, found });
    }
    if !is_analyze(head) {
        return Err(malformed(format!(
            "expected a header size of 348 and no magic, found bytes {}",
            head[..4].escape_ascii()
        )));
    }
    let little = Cursor { head, endian: Endian::Little };
    // The number of axes tells the byte order, as in nibabel.
    let endian = if (1..=7).contains(&little.i16(40)) { Endian::Little } else { Endian::Big };
    let at = Cursor { head, endian };

    let mut notes = Vec::new();
    let dim: [i64; 8] = std::array::from_fn(|i| at.i16(40 + 2 * i).into());
    let size = size_of_axes(FORMAT, &dim, &mut notes)?;
    let axes = dim[0] as usize;
    let spacing = std::array::from_fn(|axis| spacing_of(at.f32(80 + 4 * axis), axis, axes, &mut notes));
    let geometry = Geometry { spacing, affine: affine(at, spacing, size), frame: Frame::Spacing };
    let (dtype, components) = dtype(at.i16(70))?;
    let scaling = if components > 1 { Scaling::IDENTITY } else { scaling(at) };
    // A negative offset says that it applies to every volume of the file; there is only one block here.
    let offset = at.f32(108).abs();
    if offset.is_nan() || offset >= i64::MAX as f64 {
        return Err(malformed(format!("vox_offset is {offset}")));
    }
    notes.push("Analyze does not distinguish left from right; x is assumed to point left, as in nibabel.".into());
    let header = Header { size, components, layers: false, dtype, scaling, geometry: Some(geometry), notes };
    Ok((header, endian, offset as usize))
}

/// SPM's origin is the 1-based index of the voxel at zero, in the first three numbers of `originator`; all zero means
/// that it is not set, and one far outside the volume is not believed.
fn affine(at: Cursor, spacing: [f64; 3], size: [usize; 4]) -> [[f64; 4]; 3] {
    let size = [0, 1, 2].map(|axis| size[axis] as f64);
    let mut affine = centred_on_volume(spacing, size);
    let origin: [f64; 3] = std::array::from_fn(|axis| at.i16(253 + 2 * axis).into());
    let is_near = (0..3).all(|axis| -size[axis] < origin[axis] && origin[axis] < 2.0 * size[axis]);
    if is_near && origin != [0.0; 3] {
        for axis in 0..3 {
            affine[axis][3] = -(origin[axis] - 1.0) * affine[axis][axis];
        }
    }
    affine
}

/// SPM2's rule: the slope field where it is usable, else the ratio of the calibrated to the stored range, else none.
fn scaling(at: Cursor) -> Scaling {
    let (slope, intercept) = (at.f32(112), at.f32(116));
    if slope != 0.0 && slope.is_finite() {
        return Scaling { slope, intercept: if intercept.is_finite() { intercept } else { 0.0 } };
    }
    let (cal_max, cal_min) = (at.f32(124), at.f32(128));
    let (gl_max, gl_min) = (f64::from(at.i32(140)), f64::from(at.i32(144)));
    let slope = (cal_max - cal_min) / (gl_max - gl_min);
    let intercept = cal_min - slope * gl_min;
    if slope != 0.0 && slope.is_finite() && intercept.is_finite() {
        return Scaling { slope, intercept };
    }
    Scaling::IDENTITY
}

fn dtype(code: i16) -> Result<(Dtype, usize)> {
    let unsupported = |feature: &str| Err(Error::Unsupported { format: FORMAT, feature: feature.into() });
    Ok(match code {
        2 => (Dtype::U8, 1),
        4 => (Dtype::I16, 1),
        8 => (Dtype::I32, 1),
        16 => (Dtype::F32, 1),
        64 => (Dtype::F64, 1),
        128 => (Dtype::U8, 3),
        130 | 256 => (Dtype::I8, 1),
        132 | 512 => (Dtype::U16, 1),
        136 | 768 => (Dtype::U32, 1),
        1 => return unsupported("bilevel voxels (datatype 1): save them as 8 bit"),
        32 => return unsupported("complex voxels: save their magnitude as float32"),
        code => return Err(malformed(format!("datatype {code} is not in the specification"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Samples;

    /// A header of 2 x 3 x 4 16-bit voxels.
    fn hdr(big: bool, edit: impl Fn(&mut dyn FnMut(usize, &[u8]))) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        let mut put = |at: usize, value: &[u8]| {
            let mut value = value.to_vec();
            if big {
                value.reverse();
            }
            bytes[at..at + value.len()].copy_from_slice(&value);
        };
        put(0, &348i32.to_le_bytes());
        for (i, n) in [3i16, 2, 3, 4].into_iter().enumerate() {
            put(40 + 2 * i, &n.to_le_bytes());
        }
        put(70, &4i16.to_le_bytes());
        for (i, n) in [0f32, 2.0, 3.0, 4.0].into_iter().enumerate() {
            put(76 + 4 * i, &n.to_le_bytes());
        }
        edit(&mut put);
        bytes
    }

    fn img(name: &str) -> Result<Option<Vec<u8>>> {
        Ok((name == "a.img").then(|| (0..48).collect()))
    }

    #[test]
    fn both_byte_orders_are_read() {
        for (big, first) in [(false, 0x0100), (true, 0x0001)] {
            let image = read("a.hdr", &hdr(big, |_| ()), &img).unwrap();
            assert_eq!(image.size, [2, 3, 4, 1]);
            assert_eq!(image.samples.get(0), f64::from(first));
            let geometry = image.geometry.unwrap();
            assert_eq!((geometry.spacing, geometry.frame), ([2., 3., 4.], Frame::Spacing));
            // nibabel 5: Spm2AnalyzeImage of the same bytes.
            assert_eq!(geometry.affine, [[-2., 0., 0., 1.], [0., 3., 0., -3.], [0., 0., 4., -6.]]);
            assert_eq!(geometry.orientation(), "LAS");
        }
    }

    #[test]
    fn the_origin_of_spm_is_one_based_and_must_be_near() {
        let with_origin = |x: i16| hdr(false, |put| (0..3).for_each(|i| put(253 + 2 * i, &x.to_le_bytes())));
        let affine = header("a.hdr", &with_origin(2)).unwrap().geometry.unwrap().affine;
        assert_eq!(affine.map(|r| r[3]), [2., -3., -4.]);
        let affine = header("a.hdr", &with_origin(1000)).unwrap().geometry.unwrap().affine;
        assert_eq!(affine.map(|r| r[3]), [1., -3., -6.]);
    }

    #[test]
    fn scaling_follows_spm2() {
        let scaling = |fields: &[(usize, f32)], gl: [i32; 2]| {
            let bytes = hdr(true, |put| {
                fields.iter().for_each(|(at, v)| put(*at, &v.to_le_bytes()));
                put(140, &gl[0].to_le_bytes());
                put(144, &gl[1].to_le_bytes());
            });
            header("a.hdr", &bytes).unwrap().scaling
        };
        assert_eq!(scaling(&[], [0, 0]), Scaling::IDENTITY);
        assert_eq!(scaling(&[(112, 2.0), (116, 0.5)], [0, 0]), Scaling { slope: 2.0, intercept: 0.5 });
        assert_eq!(scaling(&[(112, 2.0), (116, f32::NAN)], [0, 0]), Scaling { slope: 2.0, intercept: 0.0 });
        assert_eq!(
            scaling(&[(112, f32::NAN), (124, 6.0), (128, 1.0)], [20, 10]),
            Scaling { slope: 0.5, intercept: -4.0 }
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = read("a.hdr", &hdr(false, |_| ()), &|_| Ok(None)).unwrap_err().to_string();
        assert!(error.contains("a.img"), "{error}");
        let error = read("a.hdr", &hdr(false, |_| ()), &|_| Ok(Some(vec![0; 47]))).unwrap_err().to_string();
        assert!(error.contains("needs 48 bytes, found 47"), "{error}");
        let error = header("a.hdr", &hdr(false, |put| put(70, &32i16.to_le_bytes()))).unwrap_err().to_string();
        assert!(error.contains("complex"), "{error}");
        let error = header("a.hdr", &[0; 100]).unwrap_err().to_string();
        assert!(error.contains("needs 348 bytes, found 100"), "{error}");
    }

    #[test]
    fn types_of_spm_are_read() {
        let image = read("a.hdr", &hdr(true, |put| put(70, &132i16.to_le_bytes())), &img).unwrap();
        assert!(matches!(image.samples, Samples::U16(_)));
    }
}
