//! What a fixture says, and the building blocks of its raw tree.

use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::image::{Frame, Geometry, Image, Samples};

/// A source's fixture.
pub struct Fixture {
    /// Slug of the source.
    pub slug: &'static str,
    /// Writes the raw tree into an empty folder.
    pub write: fn(&Raw),
    /// How the tree is distributed: what is packed into which archive, step after step. What is packed is a folder with
    /// its name (`training`), the content of one (`training/*`), or all that is there (`*`); the archive's name says
    /// its kind (`.zip`, `.tar`, `.tar.gz`, `.7z`). Later steps may pack archives that earlier ones made.
    pub archives: &'static [(&'static str, &'static str)],
    /// Cases that must be built.
    pub cases: Vec<ExpectedCase>,
    /// Cases that must be skipped: id and a word of the reason.
    pub skipped: &'static [(&'static str, &'static str)],
    /// Files to damage, for the checks of robustness.
    pub damage: Damage,
}

/// A case that must be built.
#[derive(Clone)]
pub struct ExpectedCase {
    /// Id without the source.
    pub id: &'static str,
    /// Patient without the source.
    pub patient: &'static str,
    pub split: Option<&'static str>,
    pub modality: &'static str,
    /// File axis that is cut across.
    pub axis: Axis,
    /// `axial`, `coronal`, `sagittal`, `x`, `y`, `z` or `picture`.
    pub plane: &'static str,
    /// Millimetres from row to row and from column to column.
    pub spacing: Option<(f64, f64)>,
    /// Objects in it; those of 50 pixels or fewer in a slice must not be there.
    pub objects: Vec<ExpectedObject>,
}

/// A file axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    X,
    Y,
    Z,
}

/// A single picture, its id being the patient's too; the methods say otherwise.
pub fn case(id: &'static str, modality: &'static str) -> ExpectedCase {
    ExpectedCase {
        id,
        patient: id,
        split: None,
        modality,
        axis: Axis::Z,
        plane: "picture",
        spacing: None,
        objects: Vec::new(),
    }
}

impl ExpectedCase {
    pub fn patient(self, patient: &'static str) -> Self {
        ExpectedCase { patient, ..self }
    }

    pub fn split(self, split: &'static str) -> Self {
        ExpectedCase { split: Some(split), ..self }
    }

    /// A volume, cut across a file axis: name of the plane, millimetres from row to row and from column to column.
    pub fn cut(self, axis: Axis, plane: &'static str, spacing: (f64, f64)) -> Self {
        ExpectedCase { axis, plane, spacing: Some(spacing), ..self }
    }

    /// Spacing where nothing else tells a picture from a volume.
    pub fn spacing(self, row: f64, column: f64) -> Self {
        ExpectedCase { spacing: Some((row, column)), ..self }
    }

    pub fn objects(self, objects: impl Into<Vec<ExpectedObject>>) -> Self {
        ExpectedCase { objects: objects.into(), ..self }
    }
}

/// An object that must be there, in every slice that its shape reaches.
#[derive(Clone)]
pub struct ExpectedObject {
    /// Last part of the mask's id: `left_kidney`, or `cell-00002` for an instance.
    pub label: &'static str,
    /// The taxonomy's object.
    pub object: &'static str,
    pub laterality: Option<&'static str>,
    pub excluded: bool,
    /// It is the ground that the others leave over, and as dark.
    pub ground: bool,
    /// Frame of the fourth axis, for cases that are cut frame by frame.
    pub frame: Option<usize>,
    /// Its voxels.
    pub shape: Vec<Ell>,
    /// Voxels that others have taken from it.
    pub without: Vec<Ell>,
}

/// An object of no side and not excluded; the methods say otherwise.
pub fn object(label: &'static str, object: &'static str, shape: Ell) -> ExpectedObject {
    ExpectedObject {
        label,
        object,
        laterality: None,
        excluded: false,
        ground: false,
        frame: None,
        shape: vec![shape],
        without: Vec::new(),
    }
}

impl ExpectedObject {
    pub fn left(self) -> Self {
        ExpectedObject { laterality: Some("left"), ..self }
    }

    pub fn right(self) -> Self {
        ExpectedObject { laterality: Some("right"), ..self }
    }

    pub fn excluded(self) -> Self {
        ExpectedObject { excluded: true, ..self }
    }

    /// Of a source that labels every pixel: what the other objects leave over, dark in the image.
    pub fn ground(self) -> Self {
        ExpectedObject { ground: true, ..self }
    }

    pub fn frame(self, frame: usize) -> Self {
        ExpectedObject { frame: Some(frame), ..self }
    }

    /// It has the voxels of another shape too.
    pub fn and(mut self, shape: Ell) -> Self {
        self.shape.push(shape);
        self
    }

    /// Another shape lies on it.
    pub fn without(mut self, shape: Ell) -> Self {
        self.without.push(shape);
        self
    }

    pub fn contains(&self, x: usize, y: usize, z: usize) -> bool {
        let within = |shapes: &[Ell]| shapes.iter().any(|s| s.contains(x, y, z));
        within(&self.shape) && !within(&self.without)
    }
}

/// Files of the raw tree that the robustness checks damage, each named by a part of its path that no other file has.
pub struct Damage {
    /// An image to truncate, and the cases (without the source) that must then fail; the others must be built.
    pub image: (&'static str, &'static [&'static str]),
    /// A mask to remove.
    pub mask: MissingMask,
    /// A label value that the source does not have.
    pub unknown_label: UnknownLabel,
}

/// What must become of a case whose mask file is removed. Where several images share the mask, `case` may be the
/// beginning of their ids and a `*`.
#[derive(Clone, Copy)]
pub enum MissingMask {
    /// The case is skipped.
    Skips {
        file: &'static str,
        case: &'static str,
        /// A word of the reason.
        reason: &'static str,
    },
    /// The case fails.
    Fails {
        file: &'static str,
        case: &'static str,
        /// A word of the reason.
        reason: &'static str,
    },
    /// An absent mask is legal: the case is built, and lacks the masks of this label.
    Lacks { file: &'static str, case: &'static str, label: &'static str },
    /// Masks are no files of their own, in these words.
    NoFile(#[allow(dead_code)] &'static str),
}

/// What must happen with a label value that the source does not have.
#[derive(Clone, Copy)]
pub enum UnknownLabel {
    /// Writes one into a mask: its case must fail and the error say so, while others are built.
    Written(fn(&Raw)),
    /// No value is unknown, for this reason.
    None(#[allow(dead_code)] &'static str),
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

    /// Writes an image in the format of the name's extension: `.nii`, `.nii.gz`, `.hdr` (with its `.img`), `.mha`, `.mhd`,
    /// `.nrrd`, `.tif`, `.png`, `.jpg`, `.bmp`, `.gif`, `.pgm`, `.ppm` ([`medcosmos::demo::write::image`]).
    pub fn image(&self, path: &str, image: &Image) {
        let path = self.place(path);
        medcosmos::demo::write::image(&path, image).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Writes an image with the container's own compression (`.mhd` + `.zraw`, LZW in TIFF, gzip in NRRD).
    pub fn compressed(&self, path: &str, image: &Image) {
        let path = self.place(path);
        medcosmos::demo::write::compressed_image(&path, image).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
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

    /// Packs a part of the tree into an archive and removes it, as [`Fixture::archives`] describes.
    pub fn pack(&self, part: &str, archive: &str) {
        use medcosmos::demo::write;
        let staging = tempfile::tempdir().unwrap();
        let inside = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let parts: Vec<PathBuf> = match part.strip_suffix('*') {
            Some(folder) => inside(self.root.join(folder)).collect(),
            None => vec![self.root.join(part)],
        };
        for path in parts {
            fs::rename(&path, staging.path().join(path.file_name().unwrap())).unwrap();
        }
        let (folder, path) = (staging.path(), self.place(archive));
        match archive.rsplit('.').next() {
            Some("zip") => write::zip(&path, folder),
            Some("tar") => write::tar(&path, folder),
            Some("gz") => write::tar_gz(&path, folder),
            Some("7z") => seven_z(&path, folder),
            _ => panic!("{archive}: no archive is written under this name"),
        }
        .unwrap_or_else(|e| panic!("{archive}: {e}"));
    }
}

/// Packs a folder into a 7z archive.
fn seven_z(archive: &Path, folder: &Path) -> std::io::Result<()> {
    let mut writer = sevenz_rust2::ArchiveWriter::create(archive).map_err(std::io::Error::other)?;
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok) {
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            let content = fs::read(entry.path())?;
            let entry = sevenz_rust2::ArchiveEntry::new_file(&name);
            writer.push_archive_entry(entry, Some(&content[..])).map_err(std::io::Error::other)?;
        }
    }
    writer.finish().map(drop)
}

/// A box of voxels `[x0, y0, z0]` to `[x1, y1, z1]` (inclusive) with a value. An L: the quarter of the box with low x
/// and high y is left out, so that flips, transposes and reversed slices show.
#[derive(Clone, Copy, Debug)]
pub struct Ell {
    pub from: [usize; 3],
    pub to: [usize; 3],
    pub value: f64,
}

impl Ell {
    pub const fn new(from: [usize; 3], to: [usize; 3], value: f64) -> Self {
        Ell { from, to, value }
    }

    /// The same shape with another value.
    pub const fn of(self, value: f64) -> Self {
        Ell { value, ..self }
    }

    pub fn contains(&self, x: usize, y: usize, z: usize) -> bool {
        let at = [x, y, z];
        let inside = (0..3).all(|i| (self.from[i]..=self.to[i]).contains(&at[i]));
        let (half_x, half_y) = ((self.from[0] + self.to[0]) / 2, (self.from[1] + self.to[1]) / 2);
        inside && !(x <= half_x && y > half_y)
    }
}

/// A volume of `size` (x, y, z) that holds `background` and the given shapes, later ones over earlier ones, stored as
/// `dtype` (`uint8`, `int16`, …). Spacing gives it a frame with axes along LPS+ from an origin of 0; change `geometry`
/// for another.
pub fn volume(size: [usize; 3], dtype: &str, spacing: Option<[f64; 3]>, background: f64, shapes: &[Ell]) -> Image {
    painted(size, dtype, spacing, |x, y, z| {
        shapes.iter().rev().find(|s| s.contains(x, y, z)).map_or(background, |s| s.value)
    })
}

/// The image that belongs to masks of these shapes: dark with a gradient over all axes, so that no two slices are alike
/// and none is symmetric, and bright where a shape is. Values lie between 0 and 250.
pub fn scan(size: [usize; 3], dtype: &str, spacing: Option<[f64; 3]>, shapes: &[Ell]) -> Image {
    painted(size, dtype, spacing, |x, y, z| {
        let ground = (x * 3 + y * 2 + z * 5) % 50;
        let shape = shapes.iter().rposition(|s| s.contains(x, y, z));
        shape.map_or(ground, |i| 150 + 15 * (i % 5) + ground / 2) as f64
    })
}

fn painted(
    size: [usize; 3],
    dtype: &str,
    spacing: Option<[f64; 3]>,
    value: impl Fn(usize, usize, usize) -> f64,
) -> Image {
    let [nx, ny, nz] = size;
    let values: Vec<f64> = (0..nx * ny * nz).map(|i| value(i % nx, i / nx % ny, i / nx / ny)).collect();
    let mut image = Image::picture(nx, ny * nz, 1, samples(&values, dtype));
    image.size = [nx, ny, nz, 1];
    image.geometry = spacing.map(|s| Geometry::from_lps([0.0; 3], [[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], s));
    image
}

/// The same image, its file axes pointing where the letters say (`LAS`, `IPL`; left, anterior, ... of the patient),
/// from an origin of 0.
pub fn facing(mut image: Image, letters: &str) -> Image {
    let spacing = image.geometry.map_or([1.0; 3], |g| g.spacing);
    let mut affine = [[0.0; 4]; 3];
    for (axis, letter) in letters.chars().enumerate() {
        let (row, sign) = match letter {
            'R' | 'L' => (0, if letter == 'R' { 1.0 } else { -1.0 }),
            'A' | 'P' => (1, if letter == 'A' { 1.0 } else { -1.0 }),
            'S' | 'I' => (2, if letter == 'S' { 1.0 } else { -1.0 }),
            _ => panic!("{letter} is no direction"),
        };
        affine[row][axis] = sign * spacing[axis];
    }
    image.geometry = Some(Geometry { spacing, affine, frame: Frame::Sform });
    image
}

/// A grey picture of 8 bits that belongs to masks of these shapes.
pub fn grey(width: usize, height: usize, shapes: &[Ell]) -> Image {
    scan([width, height, 1], "uint8", None, shapes)
}

/// A colour picture of 8 bits that belongs to masks of these shapes.
pub fn colour(width: usize, height: usize, shapes: &[Ell]) -> Image {
    let Samples::U8(values) = grey(width, height, shapes).samples else { unreachable!() };
    Image::picture(width, height, 3, Samples::U8(values.iter().flat_map(|&v| [v, v / 2 + 20, v / 3 + 5]).collect()))
}

/// A mask of 8 bits: each shape's value on 0.
pub fn mask(width: usize, height: usize, shapes: &[Ell]) -> Image {
    volume([width, height, 1], "uint8", None, 0.0, shapes)
}

/// A bilevel picture (1 bit) of an 8-bit one: non-zero becomes 1.
pub fn bilevel(image: &Image) -> Image {
    let Samples::U8(values) = &image.samples else { panic!("an 8-bit picture is expected") };
    let mut out = image.clone();
    out.samples = Samples::U8(values.iter().map(|&v| u8::from(v != 0)).collect());
    out.bits = 1;
    out
}

/// An RGB picture of a mask: the colour of each value, black where there is none.
pub fn coloured(mask: &Image, colours: &[(f64, [u8; 3])]) -> Image {
    let [width, height, ..] = mask.size;
    let colour = |v: f64| colours.iter().find(|(value, _)| *value == v).map_or([0; 3], |(_, colour)| *colour);
    let values = (0..width * height).flat_map(|i| colour(mask.samples.get(i))).collect();
    Image::picture(width, height, 3, Samples::U8(values))
}

/// A grey picture stored in several channels, all equal; the fourth is an opaque alpha.
pub fn repeated(image: &Image, channels: usize) -> Image {
    let Samples::U8(values) = &image.samples else { panic!("an 8-bit picture is expected") };
    let pixel = |&v: &u8| [v, v, v, 255].into_iter().take(channels);
    Image::picture(image.size[0], image.size[1], channels, Samples::U8(values.iter().flat_map(pixel).collect()))
}

/// A colour picture with an alpha of 255 everywhere.
pub fn opaque(image: &Image) -> Image {
    let Samples::U8(values) = &image.samples else { panic!("an 8-bit picture is expected") };
    let values = values.chunks(3).flat_map(|c| [c[0], c[1], c[2], 255]).collect();
    Image::picture(image.size[0], image.size[1], 4, Samples::U8(values))
}

/// Volumes of the same size behind each other along the fourth axis.
pub fn stacked(volumes: &[Image]) -> Image {
    let mut out = volumes[0].clone();
    let values: Vec<f64> = volumes.iter().flat_map(|v| (0..v.samples.len()).map(|i| v.samples.get(i))).collect();
    out.samples = samples(&values, volumes[0].samples.dtype());
    out.size[3] = volumes.len();
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
