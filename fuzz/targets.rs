//! What is run on hostile bytes: every reader of files that others made, each under a name.
//!
//! The programs of `fuzz_targets/` run one of them each under libFuzzer, and `tests/behaviour/mutations.rs` runs all of
//! them on mutations of small files. A reader may refuse its input; it may not panic, and what it returns may not be
//! out of proportion to the input. To add a target, add a line to [`TARGETS`], seeds to `mutations.rs`, and a `[[bin]]`
//! to `fuzz/Cargo.toml`.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};

use medcosmos::demo::write;
use medcosmos::formats::{self, File, Scratch};
use medcosmos::image::{Geometry, Image, Samples};
use medcosmos::integrity::Checksums;
use medcosmos::mask::Mask;
use medcosmos::models::sam::onnx::{Dimension, NewOutput, extract};
use medcosmos::pipeline::{self, BuildOptions, Existing, IMPORTED, ImportOptions, Progress};
use medcosmos::raw::Tree;
use medcosmos::spec::Registry;
use medcosmos::store::{Dataset, Manifest, MaskRow, audit};
use medcosmos::with_samples;
use tempfile::TempDir;

/// A reader of hostile bytes.
pub struct Target {
    /// Its name, which is that of its program and of its folder of seeds.
    pub name: &'static str,
    /// Name of the file that the bytes are given as.
    file: &'static str,
    read: fn(&str, &[u8]) -> u64,
}

/// All of them.
pub static TARGETS: &[Target] = &[
    Target { name: "nifti", file: "a.nii", read: image },
    Target { name: "analyze", file: "a.hdr", read: image },
    Target { name: "metaimage", file: "a.mha", read: image },
    Target { name: "nrrd", file: "a.nrrd", read: image },
    Target { name: "dicom", file: "a.dcm", read: image },
    Target { name: "tiff", file: "a.tif", read: image },
    Target { name: "png", file: "a.png", read: image },
    Target { name: "jpeg", file: "a.jpg", read: image },
    Target { name: "bmp", file: "a.bmp", read: image },
    Target { name: "gif", file: "a.gif", read: image },
    Target { name: "pnm", file: "a.pgm", read: image },
    Target { name: "gzip", file: "a.gz", read: gzip },
    Target { name: "zip", file: "a.zip", read: archive },
    Target { name: "tar", file: "a.tar", read: archive },
    Target { name: "tar_gz", file: "a.tar.gz", read: archive },
    Target { name: "tar_bz2", file: "a.tar.bz2", read: archive },
    Target { name: "tar_xz", file: "a.tar.xz", read: archive },
    Target { name: "tar_zst", file: "a.tar.zst", read: archive },
    Target { name: "sevenz", file: "a.7z", read: archive },
    Target { name: "rle", file: "", read: rle },
    Target { name: "onnx", file: "", read: onnx },
    Target { name: "spec", file: "a.toml", read: spec },
    Target { name: "checksums", file: "checksums.tsv", read: checksums },
    Target { name: "manifest", file: "manifest.json", read: manifest },
    Target { name: "receipt", file: "", read: receipt },
    Target { name: "table", file: "", read: table },
    Target { name: "import_coco", file: "a.json", read: import },
    Target { name: "import_nifti", file: "a.nii", read: import_folder },
    Target { name: "import_png", file: "a/z0001/liver.png", read: import_folder },
];

impl Target {
    /// Runs the target, and returns how many bytes the result has.
    pub fn run(&self, bytes: &[u8]) -> u64 {
        (self.read)(self.file, bytes)
    }
}

/// The target of a name.
///
/// # Panics
/// Where there is none.
pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target {name}"))
}

/// The most bytes of members that are decoded of an archive: it may promise more than there is room for.
const MEMBERS: u64 = 16 << 20;

fn image(name: &str, bytes: &[u8]) -> u64 {
    let companion = |_: &str| Some(vec![7; 4096]);
    let file = File::new(name, bytes);
    let _ = formats::segment_table(&file);
    let _ = formats::read_segments(&file, &companion);
    let Ok(image) = formats::read_file(&file, &companion, &mut Scratch::default()) else { return 0 };
    assert_eq!(image.samples.len(), image.size.iter().product::<usize>() * image.components);
    with_samples!(&image.samples, values => std::mem::size_of_val(&values[..])) as u64
}

fn gzip(_: &str, bytes: &[u8]) -> u64 {
    formats::gzip::decompress(bytes).map_or(0, |bytes| bytes.len() as u64)
}

fn archive(name: &str, bytes: &[u8]) -> u64 {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let Ok(tree) = Tree::open(&path) else { return 0 };
    let (mut read, mut size) = (0, 0);
    for member in tree.members() {
        assert!(member.path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{}", member.path);
        size += member.path.len() as u64;
        if member.size <= MEMBERS - read {
            let bytes = tree.read(member).map_or(0, |bytes| bytes.len() as u64);
            (read, size) = (read + bytes, size + bytes);
        }
    }
    size
}

/// The first two bytes are height and width.
fn rle(_: &str, bytes: &[u8]) -> u64 {
    let [height, width, code @ ..] = bytes else { return 0 };
    let Ok(mask) = Mask::from_coco((*height).into(), (*width).into(), code) else { return 0 };
    assert_eq!(mask.to_bitmap().iter().map(|v| u64::from(*v)).sum::<u64>(), mask.area());
    assert_eq!(Mask::from_coco(mask.height(), mask.width(), &mask.to_coco()).unwrap(), mask);
    mask.to_coco().len() as u64
}

fn onnx(_: &str, bytes: &[u8]) -> u64 {
    let output =
        NewOutput { tensor: "sum", name: "doubled", dimensions: &[Dimension::Free("rows"), Dimension::Size(2)] };
    extract(bytes, &[output], &[("x", "rows")]).map_or(0, |model| model.len() as u64)
}

fn spec(name: &str, bytes: &[u8]) -> u64 {
    thread_local!(static BUILT_IN: Registry = Registry::built_in().unwrap());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let mut registry = BUILT_IN.with(Registry::clone);
    let Ok(slug) = registry.add_file(&path) else { return 0 };
    let registry = registry.select(&[slug]).unwrap();
    let scan = medcosmos::sources::scan(&registry, &["a_img.nii", "a_seg.nii", "b/x 1_img.nii", "b/x_1_img.nii"]);
    1 + scan.sources.iter().map(|source| source.cases.len() as u64).sum::<u64>()
}

fn checksums(name: &str, bytes: &[u8]) -> u64 {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    Checksums::read(&path).map_or(0, |list| list.files.len() as u64)
}

/// A small dataset for the targets that read one: a case of three slices with two masks each.
struct Small {
    folder: TempDir,
    registry: Registry,
}

const SPEC: &str = r#"slug = "mine"
name = "Mine"
[licence]
id = "CC0-1.0"
share_derived = "yes"
[[release]]
name = "1"
evidence = ["{p}_img.nii"]
[sequences]
S = "CT"
[labels.organs]
1 = { name = "liver", object = "liver" }
2 = { name = "spleen", object = "spleen" }
[[layout]]
name = "scans"
case = "{p}"
[layout.image]
path = ["{p}_img.nii"]
sequence = "S"
plane = "z"
[[layout.mask]]
path = ["{p}_seg.nii"]
labels = "organs"
"#;

/// Width, height and depth of the volumes of the small dataset.
pub const SIZE: [usize; 3] = [24, 20, 3];

/// A volume of [`SIZE`]: label 1 on the left, label 2 on the right, a border of zeros.
pub fn labels() -> Image {
    let [width, height, depth] = SIZE;
    let label = |i: usize| {
        let (x, y) = (i % width, i / width % height);
        let inside = (1..width - 1).contains(&x) && (1..height - 1).contains(&y);
        if inside { 1 + u8::from(x >= width / 2) } else { 0 }
    };
    let samples = Samples::U8((0..width * height * depth).map(label).collect());
    let page = Image::picture(width, height * depth, 1, samples);
    Image { size: [width, height, depth, 1], geometry: Some(Geometry::from_spacing([1.0, 1.0, 2.0])), ..page }
}

impl Small {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (raw, toml) = (folder.path().join("raw"), folder.path().join("mine.toml"));
        fs::create_dir(&raw).unwrap();
        fs::write(&toml, SPEC).unwrap();
        write::image(&raw.join("a_img.nii"), &labels()).unwrap();
        write::image(&raw.join("a_seg.nii"), &labels()).unwrap();
        let mut registry = Registry::built_in().unwrap();
        registry.add_file(&toml).unwrap();
        let registry = registry.select(&["mine".to_string()]).unwrap();
        let data = folder.path().join("data");
        let report = pipeline::build(&raw, &data, &registry, &BuildOptions::default(), &Progress::new(true)).unwrap();
        assert_eq!(report.sources["mine"].masks, 6);
        Small { folder, registry }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The first file of a kind below a folder of the dataset.
    fn file(&self, below: &str, extension: &str) -> PathBuf {
        let mut folders = vec![self.path().join(below)];
        while let Some(folder) = folders.pop() {
            let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            entries.sort();
            for path in entries {
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.extension().is_some_and(|e| e == extension) => return path,
                    false => {}
                }
            }
        }
        panic!("no {extension} below {below}")
    }
}

/// Runs something on a small dataset of this thread, which is made once.
fn with_dataset<T>(run: impl FnOnce(&Small) -> T) -> T {
    thread_local!(static SMALL: OnceCell<Small> = const { OnceCell::new() });
    SMALL.with(|small| run(small.get_or_init(Small::new)))
}

/// The bytes of a file of the small dataset, as a seed: its manifest, a receipt, or a table.
pub fn file_of_dataset(target: &str) -> Vec<u8> {
    with_dataset(|small| fs::read(place(small, target)).unwrap())
}

fn place(small: &Small, target: &str) -> PathBuf {
    match target {
        "manifest" => small.path().join("manifest.json"),
        "receipt" => small.file("receipts/build", "json"),
        _ => small.file("masks", "parquet"),
    }
}

/// Reads the dataset with one of its files replaced, and puts that back.
fn with_file(target: &str, bytes: &[u8]) -> u64 {
    with_dataset(|small| {
        let path = place(small, target);
        let sound = fs::read(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        let dataset = Dataset::open(small.path()).unwrap();
        let _ = Manifest::read(&dataset);
        let _ = audit(&dataset);
        let mut size = 0;
        if let Ok(rows) = dataset.rows::<MaskRow>() {
            for row in rows.map_while(Result::ok) {
                let decoded = row.mask.decode(&row.mask_id);
                size += row.mask.counts.len() as u64 + decoded.map_or(0, |mask| mask.area());
            }
        }
        fs::write(&path, sound).unwrap();
        size
    })
}

fn manifest(_: &str, bytes: &[u8]) -> u64 {
    with_file("manifest", bytes)
}

fn receipt(_: &str, bytes: &[u8]) -> u64 {
    with_file("receipt", bytes)
}

fn table(_: &str, bytes: &[u8]) -> u64 {
    with_file("table", bytes)
}

fn imported(from: &Path) -> u64 {
    let options = ImportOptions {
        existing: Existing::Replace,
        model: "fuzz".into(),
        strategy: IMPORTED.into(),
        candidates: false,
        annotations: None,
        template: None,
    };
    with_dataset(|small| {
        let dataset = Dataset::open(small.path()).unwrap();
        let report = pipeline::import(&dataset, from, &options, &small.registry, &Progress::new(true));
        report.map_or(0, |report| report.predictions)
    })
}

fn import(name: &str, bytes: &[u8]) -> u64 {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    imported(&path)
}

fn import_folder(name: &str, bytes: &[u8]) -> u64 {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("mine").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    imported(folder.path())
}
