//! Containers of volumes: NIfTI-1, Analyze 7.5, MetaImage, NRRD. All are little-endian.
//!
//! The writer of `nifti` 0.18.0 is not used: it replaces slope and intercept by 1 and 0, which fixtures of rescaled
//! volumes need, writes Analyze and RGBA not at all, and takes a path, not bytes. That crate reads what is written here
//! in tests.

use std::io;
use std::path::Path;

use super::{gzip, invalid, require, zlib};
use crate::image::{Frame, Geometry, Image, Samples, Scaling};
use crate::with_samples;

/// Bytes of the header of NIfTI-1 and of Analyze.
const HEADER: usize = 348;

/// Millimetres and seconds, in the words of `xyzt_units`.
const MM_AND_SECONDS: u8 = 2 | 8;

fn little_endian(samples: &Samples) -> Vec<u8> {
    with_samples!(samples, v => v.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// A header of 348 bytes with what NIfTI and Analyze share: `dim`, `datatype`, `bitpix`, `pixdim`, `glmax` left 0.
struct Header([u8; HEADER]);

impl Header {
    fn new(image: &Image, container: &str) -> io::Result<Header> {
        let mut header = Header([0; HEADER]);
        header.put(0, &(HEADER as i32).to_le_bytes());
        let [_, _, _, t] = image.size;
        header.i16(40, if t > 1 { 4 } else { 3 });
        for (axis, &size) in image.size.iter().enumerate() {
            let size = i16::try_from(size).map_err(|_| invalid(format!("{container}: an axis of {size} pixels")))?;
            header.i16(42 + 2 * axis, size);
        }
        for absent in 5..8 {
            header.i16(40 + 2 * absent, 1);
        }
        let (code, bits) = match (&image.samples, image.components) {
            (Samples::U8(_), 1) => (2, 8),
            (Samples::I16(_), 1) => (4, 16),
            (Samples::I32(_), 1) => (8, 32),
            (Samples::F32(_), 1) => (16, 32),
            (Samples::F64(_), 1) => (64, 64),
            (Samples::U8(_), 3) => (128, 24),
            (Samples::I8(_), 1) => (256, 8),
            (Samples::U16(_), 1) => (512, 16),
            (Samples::U32(_), 1) => (768, 32),
            (Samples::I64(_), 1) => (1024, 64),
            (Samples::U64(_), 1) => (1280, 64),
            (Samples::U8(_), 4) => (2304, 32),
            _ => return Err(invalid(format!("{container} holds one component, or RGB and RGBA of 8 bits"))),
        };
        header.i16(70, code);
        header.i16(72, bits);
        let spacing = image.geometry.as_ref().map_or([1.0; 3], |g| g.spacing);
        header.f32(76, 1.0);
        for (axis, step) in spacing.into_iter().chain([1.0]).enumerate() {
            header.f32(80 + 4 * axis, step);
        }
        Ok(header)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn i16(&mut self, at: usize, value: i16) {
        self.put(at, &value.to_le_bytes());
    }

    fn f32(&mut self, at: usize, value: f64) {
        self.put(at, &(value as f32).to_le_bytes());
    }

    fn scaling(&mut self, scaling: Scaling) {
        self.f32(112, scaling.slope);
        self.f32(116, scaling.intercept);
    }
}

/// NIfTI-1. The form that is written is the one that [`Geometry::frame`] names; `pixdim` is [`Geometry::spacing`] in
/// any case, so that a file can contradict itself as those of ACDC do.
pub(super) fn nifti(image: &Image) -> io::Result<Vec<u8>> {
    let mut header = Header::new(image, "NIfTI")?;
    header.f32(108, 352.0);
    header.scaling(image.scaling);
    header.put(123, &[MM_AND_SECONDS]);
    header.put(344, b"n+1\0");
    if let Some(geometry) = &image.geometry {
        match geometry.frame {
            Frame::Spacing => {}
            Frame::Qform => {
                let (quaternion, handedness) = quaternion(geometry);
                header.i16(252, 1);
                header.f32(76, handedness);
                for (i, value) in quaternion.into_iter().enumerate() {
                    header.f32(256 + 4 * i, value);
                }
                for row in 0..3 {
                    header.f32(268 + 4 * row, geometry.affine[row][3]);
                }
            }
            Frame::Sform | Frame::Header => {
                header.i16(254, 1);
                for (i, value) in geometry.affine.iter().flatten().enumerate() {
                    header.f32(280 + 4 * i, *value);
                }
            }
        }
    }
    let mut bytes = header.0.to_vec();
    bytes.extend([0; 4]);
    bytes.extend(little_endian(&image.samples));
    Ok(bytes)
}

/// `quatern_b`, `_c`, `_d` and the sign of z (`pixdim[0]`) of a frame without shear, as `nifti_mat44_to_quatern` of
/// niftilib has it.
fn quaternion(geometry: &Geometry) -> ([f64; 3], f64) {
    let mut r = directions(geometry);
    let [x, y, z] = r;
    let determinant =
        x[0] * (y[1] * z[2] - y[2] * z[1]) - x[1] * (y[0] * z[2] - y[2] * z[0]) + x[2] * (y[0] * z[1] - y[1] * z[0]);
    let handedness = if determinant < 0.0 { -1.0 } else { 1.0 };
    r[2] = r[2].map(|v| v * handedness);
    // r[column][row]
    let (r11, r21, r31) = (r[0][0], r[0][1], r[0][2]);
    let (r12, r22, r32) = (r[1][0], r[1][1], r[1][2]);
    let (r13, r23, r33) = (r[2][0], r[2][1], r[2][2]);
    let a = 1.0 + r11 + r22 + r33;
    if a > 0.5 {
        let a = 0.5 * a.sqrt();
        return ([0.25 * (r32 - r23) / a, 0.25 * (r13 - r31) / a, 0.25 * (r21 - r12) / a], handedness);
    }
    let (xd, yd, zd) = (1.0 + r11 - r22 - r33, 1.0 + r22 - r11 - r33, 1.0 + r33 - r11 - r22);
    let (mut quaternion, a) = if xd > 1.0 {
        let b = 0.5 * xd.sqrt();
        ([b, 0.25 * (r12 + r21) / b, 0.25 * (r13 + r31) / b], 0.25 * (r32 - r23) / b)
    } else if yd > 1.0 {
        let c = 0.5 * yd.sqrt();
        ([0.25 * (r12 + r21) / c, c, 0.25 * (r23 + r32) / c], 0.25 * (r13 - r31) / c)
    } else {
        let d = 0.5 * zd.sqrt();
        ([0.25 * (r13 + r31) / d, 0.25 * (r23 + r32) / d, d], 0.25 * (r21 - r12) / d)
    };
    if a < 0.0 {
        quaternion = quaternion.map(|v| -v);
    }
    (quaternion, handedness)
}

/// Unit RAS+ direction of x, y and z of the file.
pub(super) fn directions(geometry: &Geometry) -> [[f64; 3]; 3] {
    std::array::from_fn(|axis| {
        let column: [f64; 3] = std::array::from_fn(|row| geometry.affine[row][axis]);
        let length = column.iter().map(|v| v * v).sum::<f64>().sqrt();
        column.map(|v| if length > 0.0 { v / length } else { 0.0 })
    })
}

/// The same vector in the other of RAS+ and LPS+; never a negative zero, which would be a curious sight in a header.
pub(super) fn flipped([x, y, z]: [f64; 3]) -> [f64; 3] {
    [0.0 - x, 0.0 - y, z + 0.0]
}

fn origin(geometry: &Geometry) -> [f64; 3] {
    std::array::from_fn(|row| geometry.affine[row][3])
}

/// Analyze 7.5 with SPM's slope: the header, after its `.img` was written next to `path`. The frame is lost except for
/// the spacing.
pub(super) fn analyze(image: &Image, path: &Path) -> io::Result<Vec<u8>> {
    require(!matches!(image.samples, Samples::I64(_) | Samples::U64(_)), "Analyze", "at most 32-bit integers", image)?;
    require(image.components != 4, "Analyze", "one component or RGB", image)?;
    let mut header = Header::new(image, "Analyze")?;
    header.put(38, b"r");
    header.scaling(image.scaling);
    std::fs::write(path.with_extension("img"), little_endian(&image.samples))?;
    Ok(header.0.to_vec())
}

fn unscaled(image: &Image, container: &str) -> io::Result<()> {
    require(image.scaling == Scaling::IDENTITY, container, "values without a rescale", image)
}

fn words(values: impl IntoIterator<Item = impl ToString>) -> String {
    values.into_iter().map(|v| v.to_string()).collect::<Vec<_>>().join(" ")
}

/// MetaImage. With `detached`, the path of a `.mhd`, the voxels go to the `.raw` or `.zraw` next to it.
pub(super) fn metaimage(image: &Image, detached: Option<&Path>, compressed: bool) -> io::Result<Vec<u8>> {
    unscaled(image, "MetaImage")?;
    let kind = match image.samples {
        Samples::U8(_) => "MET_UCHAR",
        Samples::I8(_) => "MET_CHAR",
        Samples::U16(_) => "MET_USHORT",
        Samples::I16(_) => "MET_SHORT",
        Samples::U32(_) => "MET_UINT",
        Samples::I32(_) => "MET_INT",
        Samples::U64(_) => "MET_ULONG_LONG",
        Samples::I64(_) => "MET_LONG_LONG",
        Samples::F32(_) => "MET_FLOAT",
        Samples::F64(_) => "MET_DOUBLE",
    };
    let raw = little_endian(&image.samples);
    let data = if compressed { zlib(&raw)? } else { raw };
    let geometry = image.geometry.clone().unwrap_or_else(|| Geometry::from_lps([0.0; 3], IDENTITY, [1.0; 3]));
    let dimensions = if image.size[3] > 1 { 4 } else { 3 };

    let mut text = format!("ObjectType = Image\nNDims = {dimensions}\nBinaryData = True\n");
    text.push_str("BinaryDataByteOrderMSB = False\n");
    text.push_str(&format!("CompressedData = {}\n", if compressed { "True" } else { "False" }));
    if compressed {
        text.push_str(&format!("CompressedDataSize = {}\n", data.len()));
    }
    let directions = directions(&geometry).map(flipped);
    let cell = |axis: usize, row: usize| match (directions.get(axis), row) {
        (Some(direction), 0..3) => direction[row],
        _ => f64::from(u8::from(axis == row)),
    };
    let matrix = (0..dimensions).flat_map(|axis| (0..dimensions).map(move |row| cell(axis, row)));
    text.push_str(&format!("TransformMatrix = {}\n", words(matrix)));
    text.push_str(&format!(
        "Offset = {}\n",
        words(flipped(origin(&geometry)).into_iter().chain([0.0]).take(dimensions))
    ));
    text.push_str(&format!("ElementSpacing = {}\n", words(geometry.spacing.into_iter().chain([1.0]).take(dimensions))));
    text.push_str(&format!("DimSize = {}\n", words(&image.size[..dimensions])));
    if image.components > 1 {
        text.push_str(&format!("ElementNumberOfChannels = {}\n", image.components));
    }
    text.push_str(&format!("ElementType = {kind}\n"));
    match detached {
        None => {
            text.push_str("ElementDataFile = LOCAL\n");
            Ok([text.into_bytes(), data].concat())
        }
        Some(path) => {
            let companion = path.with_extension(if compressed { "zraw" } else { "raw" });
            let name = companion.file_name().unwrap_or_default().to_string_lossy();
            text.push_str(&format!("ElementDataFile = {name}\n"));
            std::fs::write(&companion, data)?;
            Ok(text.into_bytes())
        }
    }
}

const IDENTITY: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// NRRD of version 4, in LPS+ as ITK and Slicer write it. Components run first, t last.
pub(super) fn nrrd(image: &Image, compressed: bool) -> io::Result<Vec<u8>> {
    unscaled(image, "NRRD")?;
    let [nx, ny, nz, nt] = image.size;
    let (mut sizes, mut kinds) = (vec![nx, ny, nz], vec!["domain"; 3]);
    if image.components > 1 {
        sizes.insert(0, image.components);
        kinds.insert(0, "vector");
    }
    if nt > 1 {
        sizes.push(nt);
        kinds.push("list");
    }
    let mut text = format!("NRRD0004\ntype: {}\ndimension: {}\n", image.samples.dtype(), sizes.len())
        .replace("float32", "float")
        .replace("float64", "double");
    if let Some(geometry) = &image.geometry {
        let column = |axis| std::array::from_fn(|row| geometry.affine[row][axis]);
        let vector = |v: [f64; 3]| {
            let [x, y, z] = flipped(v);
            format!("({x},{y},{z})")
        };
        let mut space = [0, 1, 2].map(|axis| vector(column(axis))).to_vec();
        if image.components > 1 {
            space.insert(0, "none".into());
        }
        if nt > 1 {
            space.push("none".into());
        }
        text.push_str("space: left-posterior-superior\n");
        text.push_str(&format!("space directions: {}\n", space.join(" ")));
        text.push_str(&format!("space origin: {}\n", vector(origin(geometry))));
    }
    text.push_str(&format!("sizes: {}\nkinds: {}\nendian: little\n", words(&sizes), kinds.join(" ")));
    text.push_str(&format!("encoding: {}\n\n", if compressed { "gzip" } else { "raw" }));
    let raw = little_endian(&image.samples);
    Ok([text.into_bytes(), if compressed { gzip(&raw)? } else { raw }].concat())
}
