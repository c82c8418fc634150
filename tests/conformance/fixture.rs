//! What a fixture says, and the building blocks of its raw tree.

use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::image::{Geometry, Image, Samples};

/// A source's fixture.
pub struct Fixture {
    /// Slug of the source.
    pub slug: &'static str,
    /// Writes the raw tree into an empty folder.
    pub write: fn(&Raw),
    /// How the source is distributed.
    pub archive: Archive,
    /// Cases that must be built, by ascending id.
    pub cases: &'static [ExpectedCase],
    /// Cases that must be skipped: id and a word of the reason.
    pub skipped: &'static [(&'static str, &'static str)],
    /// Files to damage, for the checks of robustness.
    pub damage: Damage,
}

/// How a source is distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    Zip,
    Tar,
    TarGz,
    /// A zip inside a zip.
    NestedZip,
}

/// A case that must be built.
pub struct ExpectedCase {
    /// Id without the source.
    pub id: &'static str,
    /// Patient without the source.
    pub patient: &'static str,
    pub split: Option<&'static str>,
    pub modality: &'static str,
    /// `axial`, `coronal`, `sagittal`, `x`, `y`, `z` or `picture`.
    pub plane: &'static str,
    /// Millimetres from row to row and from column to column.
    pub spacing: Option<(f64, f64)>,
    /// Slices kept.
    pub slices: usize,
    /// All masks kept, by ascending id.
    pub masks: &'static [ExpectedMask],
}

/// A mask that must be there.
pub struct ExpectedMask {
    /// Id without the case: `z0001/liver`.
    pub id: &'static str,
    pub object: &'static str,
    pub laterality: Option<&'static str>,
    pub excluded: bool,
    /// Pixels of the mask.
    pub area: u32,
    /// Inclusive box: first column, first row, last column, last row.
    pub bbox: [u32; 4],
    /// A pixel inside (column, row), chosen so that it lies outside if the mask is flipped or transposed.
    pub inside: (u32, u32),
}

/// Files of the raw tree that the robustness checks damage, by a part of their path that no other file has.
#[derive(Default)]
pub struct Damage {
    /// An image to truncate: its case must fail, the others be built.
    pub image: &'static str,
    /// Id (without the source) of the case or cases of that image.
    pub image_cases: &'static [&'static str],
    /// A mask to remove, and what must then become of its case: a word of the reason, or nothing where an absent mask is
    /// legal.
    pub mask: Option<(&'static str, &'static str)>,
    /// Writes a label value that the source does not have into a mask; `None` where any value is legal.
    pub unknown_label: Option<fn(&Raw)>,
}

/// The folder of a raw tree, and writers into it.
pub struct Raw {
    pub root: PathBuf,
}

impl Raw {
    pub fn new(root: &Path) -> Self {
        fs::create_dir_all(root).unwrap();
        Raw { root: root.to_path_buf() }
    }

    /// Writes an image; the name's extension says the container.
    pub fn image(&self, path: &str, image: &Image) {
        let path = self.place(path);
        medcosmos::demo::write::image(&path, image).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Writes a file as it is.
    pub fn file(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.place(path), bytes).unwrap();
    }

    /// A folder, made where it is not there.
    pub fn folder(&self, path: &str) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The path of a file, its folders made.
    pub fn place(&self, path: &str) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}

/// A box of pixels `[x0, y0, z0]` to `[x1, y1, z1]` (inclusive) with a value, for volumes of labels. An L: the half of the
/// box with low x and high y is left out, so that flips, transposes and reversed slices show.
#[derive(Clone, Copy)]
pub struct Ell {
    pub from: [usize; 3],
    pub to: [usize; 3],
    pub value: f64,
}

/// A volume of `size` (x, y, z) that holds `background` and the given shapes, stored as `dtype` (`uint8`, `int16`, …).
pub fn volume(size: [usize; 3], dtype: &str, spacing: Option<[f64; 3]>, background: f64, shapes: &[Ell]) -> Image {
    let [nx, ny, nz] = size;
    let mut values = vec![background; nx * ny * nz];
    for ell in shapes {
        for z in ell.from[2]..=ell.to[2] {
            for y in ell.from[1]..=ell.to[1] {
                for x in ell.from[0]..=ell.to[0] {
                    let (half_x, half_y) = ((ell.from[0] + ell.to[0]) / 2, (ell.from[1] + ell.to[1]) / 2);
                    if !(x <= half_x && y > half_y) {
                        values[(z * ny + y) * nx + x] = ell.value;
                    }
                }
            }
        }
    }
    let mut image = Image::picture(nx, ny * nz, 1, samples(&values, dtype));
    image.size = [nx, ny, nz, 1];
    image.geometry = spacing.map(|s| Geometry::from_lps([0.0; 3], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], s));
    image
}

/// An image to look at: a gradient over all axes, so that no two slices are alike and no slice is symmetric.
pub fn gradient(size: [usize; 3], dtype: &str, spacing: Option<[f64; 3]>) -> Image {
    let [nx, ny, nz] = size;
    let value = |i: usize| ((i % nx) * 3 + (i / nx % ny) * 2 + (i / nx / ny) * 5) as f64 % 200.0;
    let values: Vec<f64> = (0..nx * ny * nz).map(value).collect();
    let mut image = volume(size, dtype, spacing, 0.0, &[]);
    image.samples = samples(&values, dtype);
    image
}

/// A colour picture of 8 bits.
pub fn colour(width: usize, height: usize) -> Image {
    let value = |i: usize| ((i / 3 % width) * 3 + (i / 3 / width) * 2 + (i % 3) * 40) as u8;
    Image::picture(width, height, 3, Samples::U8((0..width * height * 3).map(value).collect()))
}

/// A bilevel picture (1 bit) of an 8-bit one: non-zero becomes 1.
pub fn bilevel(image: &Image) -> Image {
    let Samples::U8(values) = &image.samples else { panic!("an 8-bit picture is expected") };
    let mut out = image.clone();
    out.samples = Samples::U8(values.iter().map(|&v| u8::from(v != 0)).collect());
    out.bits = 1;
    out
}

fn samples(values: &[f64], dtype: &str) -> Samples {
    match dtype {
        "uint8" => Samples::U8(values.iter().map(|&v| v as u8).collect()),
        "int8" => Samples::I8(values.iter().map(|&v| v as i8).collect()),
        "uint16" => Samples::U16(values.iter().map(|&v| v as u16).collect()),
        "int16" => Samples::I16(values.iter().map(|&v| v as i16).collect()),
        "uint32" => Samples::U32(values.iter().map(|&v| v as u32).collect()),
        "int32" => Samples::I32(values.iter().map(|&v| v as i32).collect()),
        "float32" => Samples::F32(values.iter().map(|&v| v as f32).collect()),
        "float64" => Samples::F64(values.to_vec()),
        other => panic!("no samples of {other}"),
    }
}

/// Slice `z` of a volume as a picture.
pub fn slice(image: &Image, z: usize) -> Image {
    let pixels = image.size[0] * image.size[1];
    let part = |i: usize| z * pixels + i;
    let values: Vec<f64> = (0..pixels).map(|i| image.samples.get(part(i))).collect();
    Image::picture(image.size[0], image.size[1], 1, samples(&values, image.samples.dtype()))
}
