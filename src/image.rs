//! The one decoded image type: what every reader in [`crate::formats`] returns, from a bitmap of one bit to a CT
//! volume.
//!
//! It follows SimpleITK's notion of an image (a regular grid of pixels with components, and a physical frame if the
//! file states one) and nibabel's convention for the frame (RAS+ millimetres). Samples keep the type and order of the
//! file: readers do not flip, rescale or widen them.

use std::collections::BTreeSet;
use std::fmt;

/// Pixel values in the numeric type that the file stores.
#[derive(Clone, PartialEq)]
pub enum Samples {
    /// Unsigned 8 bit, and everything narrower (bits are unpacked to one value a byte, never expanded to 0–255).
    U8(Vec<u8>),
    /// Signed 8 bit.
    I8(Vec<i8>),
    /// Unsigned 16 bit.
    U16(Vec<u16>),
    /// Signed 16 bit.
    I16(Vec<i16>),
    /// Unsigned 32 bit.
    U32(Vec<u32>),
    /// Signed 32 bit.
    I32(Vec<i32>),
    /// Unsigned 64 bit.
    U64(Vec<u64>),
    /// Signed 64 bit.
    I64(Vec<i64>),
    /// IEEE single precision (half precision is widened to it).
    F32(Vec<f32>),
    /// IEEE double precision.
    F64(Vec<f64>),
}

/// Runs an expression with `$v` bound to the typed vector inside a [`Samples`].
#[macro_export]
macro_rules! with_samples {
    ($samples:expr, $v:ident => $body:expr) => {
        match $samples {
            $crate::image::Samples::U8($v) => $body,
            $crate::image::Samples::I8($v) => $body,
            $crate::image::Samples::U16($v) => $body,
            $crate::image::Samples::I16($v) => $body,
            $crate::image::Samples::U32($v) => $body,
            $crate::image::Samples::I32($v) => $body,
            $crate::image::Samples::U64($v) => $body,
            $crate::image::Samples::I64($v) => $body,
            $crate::image::Samples::F32($v) => $body,
            $crate::image::Samples::F64($v) => $body,
        }
    };
}

impl Samples {
    /// Number of values.
    pub fn len(&self) -> usize {
        with_samples!(self, v => v.len())
    }

    /// Bytes of the values.
    pub fn bytes(&self) -> u64 {
        with_samples!(self, v => size_of_val(&v[..]) as u64)
    }

    /// Bytes of the memory that the vector holds, used or not.
    pub(crate) fn reserved(&self) -> u64 {
        fn of<T>(values: &Vec<T>) -> u64 {
            (values.capacity() * size_of::<T>()) as u64
        }
        with_samples!(self, v => of(v))
    }

    /// True where there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index` as a double, before scaling. 64-bit integers above 2^53 lose their last digits.
    pub fn get(&self, index: usize) -> f64 {
        with_samples!(self, v => v[index] as f64)
    }

    /// numpy's name of the type: `uint8`, `int16`, `float32`, …
    pub fn dtype(&self) -> &'static str {
        match self {
            Samples::U8(_) => "uint8",
            Samples::I8(_) => "int8",
            Samples::U16(_) => "uint16",
            Samples::I16(_) => "int16",
            Samples::U32(_) => "uint32",
            Samples::I32(_) => "int32",
            Samples::U64(_) => "uint64",
            Samples::I64(_) => "int64",
            Samples::F32(_) => "float32",
            Samples::F64(_) => "float64",
        }
    }
}

macro_rules! samples_from {
    ($($variant:ident($type:ty)),*) => {
        $(impl From<Vec<$type>> for Samples {
            fn from(values: Vec<$type>) -> Self {
                Samples::$variant(values)
            }
        })*
    };
}

samples_from![U8(u8), I8(i8), U16(u16), I16(i16), U32(u32), I32(i32), U64(u64), I64(i64), F32(f32), F64(f64)];

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.dtype(), self.len())
    }
}

/// Where the affine of a [`Geometry`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// NIfTI sform.
    Sform,
    /// NIfTI qform.
    Qform,
    /// Spacing alone (NIfTI without a form, Analyze, TIFF or PNG resolution): the axes are assumed, not known.
    Spacing,
    /// Origin, directions and spacing of the header (MetaImage, NRRD, DICOM).
    Header,
}

/// Length of each column of an affine: the steps along x, y and z that it takes.
pub fn axis_lengths(affine: &[[f64; 4]; 3]) -> [f64; 3] {
    std::array::from_fn(|axis| affine.iter().map(|row| row[axis].powi(2)).sum::<f64>().sqrt())
}

/// The physical frame of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    /// Millimetres between neighbours along x, y, z of the file, as the header's spacing field says (NIfTI `pixdim`,
    /// DICOM pixel spacing and the step between positions). Always positive.
    pub spacing: [f64; 3],
    /// Voxel index (x, y, z of the file) to RAS+ millimetres, three rows of four, as nibabel's `affine`. Formats that
    /// speak LPS+ (DICOM, ITK) are converted.
    pub affine: [[f64; 4]; 3],
    /// Where the affine comes from.
    pub frame: Frame,
}

impl Geometry {
    /// A frame from spacing alone: axes along RAS+, origin at zero.
    pub fn from_spacing(spacing: [f64; 3]) -> Self {
        let [x, y, z] = spacing;
        Geometry { spacing, affine: [[x, 0., 0., 0.], [0., y, 0., 0.], [0., 0., z, 0.]], frame: Frame::Spacing }
    }

    /// A frame from what ITK-like headers (and DICOM) give: LPS+ origin, unit direction of each file axis, spacing.
    pub fn from_lps(origin: [f64; 3], directions: [[f64; 3]; 3], spacing: [f64; 3]) -> Self {
        let mut affine = [[0.0; 4]; 3];
        for row in 0..3 {
            let sign = if row < 2 { -1.0 } else { 1.0 };
            for axis in 0..3 {
                affine[row][axis] = sign * directions[axis][row] * spacing[axis];
            }
            affine[row][3] = sign * origin[row];
        }
        Geometry { spacing, affine, frame: Frame::Header }
    }

    /// RAS+ millimetres of a voxel index (x, y, z of the file; fractions allowed).
    pub fn to_world(&self, index: [f64; 3]) -> [f64; 3] {
        self.affine.map(|r| r[0] * index[0] + r[1] * index[1] + r[2] * index[2] + r[3])
    }

    /// RAS+ millimetres to voxel index, three rows of four; `None` where the axes do not span a volume.
    pub fn inverse(&self) -> Option<[[f64; 4]; 3]> {
        let a = &self.affine;
        let cofactor = |r: usize, c: usize| {
            let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            a[r1][c1] * a[r2][c2] - a[r1][c2] * a[r2][c1]
        };
        let determinant: f64 = (0..3).map(|c| a[0][c] * cofactor(0, c)).sum();
        if !determinant.is_normal() {
            return None;
        }
        let mut inverse = [[0.0; 4]; 3];
        for (row, out) in inverse.iter_mut().enumerate() {
            let linear: [f64; 3] = std::array::from_fn(|column| cofactor(column, row) / determinant);
            out[..3].copy_from_slice(&linear);
            out[3] = -(0..3).map(|k| linear[k] * a[k][3]).sum::<f64>();
        }
        Some(inverse)
    }

    /// Three letters that name where x, y and z of the file point to: `RAS`, `LPS`, `PIR`, … The rule is nibabel's
    /// `aff2axcodes`: each axis goes to the world axis it is most aligned with, the strongest alignment first, so that
    /// no world axis is named twice. An axis of length zero is `?`.
    pub fn orientation(&self) -> String {
        const CODES: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];
        let mut cosines = [[0.0f64; 3]; 3];
        for (axis, length) in axis_lengths(&self.affine).into_iter().enumerate() {
            for (row, cosine) in cosines.iter_mut().enumerate() {
                cosine[axis] = if length > 0.0 { self.affine[row][axis] / length } else { 0.0 };
            }
        }
        let mut letters = ['?'; 3];
        let (mut free_rows, mut free_axes) = ([true; 3], [true; 3]);
        for _ in 0..3 {
            let mut best: Option<(usize, usize)> = None;
            for axis in (0..3).filter(|&a| free_axes[a]) {
                for row in (0..3).filter(|&r| free_rows[r]) {
                    let c = cosines[row][axis].abs();
                    if c > 1e-10 && best.is_none_or(|(r, a)| c > cosines[r][a].abs() + 1e-10) {
                        best = Some((row, axis));
                    }
                }
            }
            let Some((row, axis)) = best else { break };
            letters[axis] = CODES[row][usize::from(cosines[row][axis] > 0.0)];
            (free_rows[row], free_axes[axis]) = (false, false);
        }
        letters.iter().collect()
    }
}

/// Linear map from stored to real values: `real = slope * stored + intercept` (NIfTI `scl_slope`, DICOM rescale).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Factor; never 0 or NaN.
    pub slope: f64,
    /// Offset in real units.
    pub intercept: f64,
}

impl Scaling {
    /// No change.
    pub const IDENTITY: Scaling = Scaling { slope: 1.0, intercept: 0.0 };
}

/// What the numbers of an image mean to whoever looks at it. Readers note it and change no value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Meaning {
    /// The lowest value is shown white: TIFF's MinIsWhite, DICOM's MONOCHROME1, PBM.
    pub low_is_white: bool,
    /// The components are layers or vectors, each with a meaning of its own: no viewer shows them as one colour.
    pub layers: bool,
    /// Orientation tag of EXIF or TIFF, 2 to 8: viewers turn or mirror the picture.
    pub orientation: Option<u8>,
    /// Stored values, from and to, that stand for no measurement: DICOM's Pixel Padding Value and Range Limit.
    pub padding: Option<[f64; 2]>,
    /// Another frame that the header gives in addition to [`Image::geometry`]: NIfTI's qform in addition to its sform,
    /// where they differ. Voxel index to RAS+ millimetres.
    pub other_frame: Option<[[f64; 4]; 3]>,
}

/// A decoded image: a picture, a stack of pages, a volume or a series of volumes.
///
/// ```
/// use medcosmos::image::{Geometry, Image, Samples, Scaling};
///
/// // A CT slice of 3 x 2 pixels: stored 0 is -1024 Hounsfield units.
/// let ct = Image {
///     scaling: Scaling { slope: 1.0, intercept: -1024.0 },
///     geometry: Some(Geometry::from_spacing([0.7, 0.7, 5.0])),
///     ..Image::picture(3, 2, 1, Samples::U16(vec![0, 24, 1024, 1064, 1084, 2024]))
/// };
/// assert_eq!((ct.pixels(), ct.components, ct.samples.dtype()), (6, 1, "uint16"));
/// assert_eq!(ct.value([0, 1, 0, 0], 0), 40.0); // x 0, y 1
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Number of pixels along x (fastest), y, z (slices or pages), t (frames or channels that vary slowest); 1 where
    /// an axis is absent. In numpy's words the array is `[t, z, y, x, component]`.
    pub size: [usize; 4],
    /// Values per pixel, interleaved: 1 grey or label, 2 grey + alpha, 3 RGB, 4 RGBA; any number of layers where
    /// [`Meaning::layers`] says so.
    pub components: usize,
    /// `size.product() * components` stored values.
    pub samples: Samples,
    /// Bits a sample uses where the container says so (1 for a bilevel PNG, 12 for much DICOM), else the type's width.
    pub bits: u8,
    /// Stored to real values.
    pub scaling: Scaling,
    /// Physical frame, absent for plain pictures.
    pub geometry: Option<Geometry>,
    /// Palette of an indexed image as RGBA, index by index; `samples` are then the indices (one component).
    pub palette: Option<Vec<[u8; 4]>>,
    /// What the numbers mean beyond their value.
    pub meaning: Meaning,
    /// What a user should know about how this file was read, one sentence each: an EXIF orientation left alone, a
    /// header that contradicts itself, MONOCHROME1 kept as stored.
    pub notes: Vec<String>,
}

impl Image {
    /// A picture of one page without a physical frame; `bits` is the width of the type.
    pub fn picture(width: usize, height: usize, components: usize, samples: Samples) -> Self {
        debug_assert_eq!(samples.len(), width * height * components);
        let bits = match samples {
            Samples::U8(_) | Samples::I8(_) => 8,
            Samples::U16(_) | Samples::I16(_) => 16,
            Samples::U32(_) | Samples::I32(_) | Samples::F32(_) => 32,
            _ => 64,
        };
        Image {
            size: [width, height, 1, 1],
            components,
            samples,
            bits,
            scaling: Scaling::IDENTITY,
            geometry: None,
            palette: None,
            meaning: Meaning::default(),
            notes: Vec::new(),
        }
    }

    /// All but the samples, which are left empty, and the notes: the frame for other values on the same grid.
    pub(crate) fn clone_frame(&self) -> Image {
        Image {
            size: self.size,
            components: self.components,
            samples: Samples::U8(Vec::new()),
            bits: self.bits,
            scaling: self.scaling,
            geometry: self.geometry.clone(),
            palette: self.palette.clone(),
            meaning: self.meaning,
            notes: Vec::new(),
        }
    }

    /// Number of pixels (not of values).
    pub fn pixels(&self) -> usize {
        self.size.iter().product()
    }

    /// Position in `samples` of component `c` of the pixel at x, y, z, t.
    pub fn offset(&self, [x, y, z, t]: [usize; 4], c: usize) -> usize {
        let [nx, ny, nz, _] = self.size;
        (((t * nz + z) * ny + y) * nx + x) * self.components + c
    }

    /// Real (scaled) value of component `c` of the pixel at x, y, z, t.
    pub fn value(&self, at: [usize; 4], c: usize) -> f64 {
        self.samples.get(self.offset(at, c)) * self.scaling.slope + self.scaling.intercept
    }

    /// The labels of an indexed picture, where they are not its indices (PASCAL VOC and most others number by index):
    /// the greys of its palette, if they are not the indices and `known` is true of each but 0. `None` where the
    /// indices count.
    ///
    /// # Errors
    /// A palette that paints another index than 0 black, and 0 in colour, and whose greys do not say more: which of
    /// both is the background is not known.
    pub(crate) fn labels_of_palette(&self, known: &dyn Fn(i64) -> bool) -> Result<Option<Image>, String> {
        let Some(palette) = &self.palette else { return Ok(None) };
        let colour = |index: usize| palette.get(index).map_or([0; 3], |c| [c[0], c[1], c[2]]);
        let used: BTreeSet<usize> = with_samples!(&self.samples, v => v.iter().map(|&i| i as usize).collect());
        let grey = |&i: &usize| colour(i).iter().all(|&v| v == colour(i)[0]);
        let is_known = |&i: &usize| colour(i)[0] == 0 || known(colour(i)[0].into());
        let same = used.iter().all(|&i| colour(i)[0] as usize == i);
        if used.iter().all(grey) && !same && used.iter().all(is_known) {
            let greys = with_samples!(&self.samples, v => v.iter().map(|&i| colour(i as usize)[0]).collect());
            return Ok(Some(Image { samples: Samples::U8(greys), bits: 8, palette: None, ..self.clone_frame() }));
        }
        let black = used.iter().find(|&&i| i != 0 && colour(i) == [0; 3]);
        if let Some(black) = black.filter(|_| colour(0) != [0; 3]) {
            const NAMED: usize = 8;
            let entry = |&i: &usize| colour(i).iter().fold(format!("{i}: #"), |text, v| format!("{text}{v:02x}"));
            let more = if used.len() > NAMED { ", …" } else { "" };
            return Err(format!(
                "its palette paints {black} black and 0 in colour, so that it is not clear which is the background (its entries \
                 are {}{more}): write it without a palette",
                used.iter().take(NAMED).map(entry).collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(None)
    }

    /// An indexed picture as RGB (alpha dropped): every index replaced by its palette entry. Indices beyond the palette
    /// become black, as libpng and Pillow have it. Images without a palette are returned as they are.
    pub fn expand_palette(self) -> Image {
        let Some(palette) = &self.palette else { return self };
        let colour = |index: usize| {
            let [r, g, b, _] = palette.get(index).copied().unwrap_or([0, 0, 0, 255]);
            [r, g, b]
        };
        let rgb = with_samples!(&self.samples, v => v.iter().flat_map(|&i| colour(i as usize)).collect());
        Image { components: 3, samples: Samples::U8(rgb), bits: 8, palette: None, ..self }
    }
}

/// Which entries of two palettes differ, as text.
pub(crate) fn palette_difference(a: Option<&[[u8; 4]]>, b: Option<&[[u8; 4]]>) -> String {
    let (Some(a), Some(b)) = (a, b) else { return "a palette in only one of them".into() };
    if a.len() != b.len() {
        return format!("palettes of {} and {} colours", a.len(), b.len());
    }
    let differ: Vec<usize> = (0..a.len()).filter(|&i| a[i] != b[i]).collect();
    let colour = |[r, g, b, alpha]: [u8; 4]| match alpha {
        255 => format!("#{r:02x}{g:02x}{b:02x}"),
        _ => format!("#{r:02x}{g:02x}{b:02x}{alpha:02x}"),
    };
    let first: Vec<String> =
        differ.iter().take(3).map(|&i| format!("{i}: {} and {}", colour(a[i]), colour(b[i]))).collect();
    let more = if differ.len() > 3 { ", …" } else { "" };
    format!("palettes that differ in {} of {} entries ({}{more})", differ.len(), a.len(), first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palettes_number_by_index_unless_their_greys_are_labels() {
        let indexed = |palette: &[u8; 3]| {
            let mut image = Image::picture(3, 1, 1, Samples::U8(vec![0, 1, 2]));
            image.palette = Some(palette.iter().map(|&v| [v, v, v, 255]).collect());
            image
        };
        let known = |value: i64| matches!(value, 100 | 200);
        let reversed = indexed(&[200, 100, 0]);
        let labels = reversed.labels_of_palette(&known).unwrap().unwrap();
        assert_eq!((labels.samples, labels.palette), (Samples::U8(vec![200, 100, 0]), None));
        let refused = reversed.labels_of_palette(&|v| v < 3).unwrap_err();
        assert!(refused.contains("0: #c8c8c8, 1: #646464, 2: #000000"), "{refused}");
        assert_eq!(indexed(&[0, 100, 250]).labels_of_palette(&known), Ok(None));
        let mut voc = indexed(&[0, 1, 2]);
        voc.palette = Some(vec![[0, 0, 0, 255], [128, 0, 0, 255], [0, 128, 0, 255]]);
        assert_eq!(voc.labels_of_palette(&|_| true), Ok(None));
    }

    #[test]
    fn orientation_follows_nibabel() {
        assert_eq!(Geometry::from_spacing([1., 2., 3.]).orientation(), "RAS");
        let lps = Geometry::from_lps([0.; 3], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [1.; 3]);
        assert_eq!(lps.orientation(), "LPS");
        let pir = Geometry {
            spacing: [1.; 3],
            affine: [[0., 0., 1., 0.], [-1., 0., 0., 0.], [0., -1., 0., 0.]],
            frame: Frame::Sform,
        };
        assert_eq!(pir.orientation(), "PIR");
    }

    #[test]
    fn from_lps_puts_the_origin_into_ras() {
        let g = Geometry::from_lps([10., 20., 30.], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], [1., 1., 2.]);
        assert_eq!(g.to_world([0., 0., 1.]), [-10., -20., 32.]);
    }

    #[test]
    fn values_are_scaled_and_found_by_axis() {
        let mut image = Image::picture(2, 2, 1, Samples::I16(vec![0, 1, 2, 3]));
        image.scaling = Scaling { slope: 2.0, intercept: -1.0 };
        assert_eq!(image.value([1, 1, 0, 0], 0), 5.0);
    }
}
