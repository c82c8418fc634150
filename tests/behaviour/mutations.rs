//! Every reader of files that others made, on small files of which each is mutated 200 times: none panics, none takes
//! long, none returns more than its input can hold. The readers are the fuzz targets (`fuzz/targets.rs`), the files
//! those of the demo's writers and, where they are there, the small ones of the samples.
//!
//! Mutations are the same in every run. `MEDCOSMOS_STRESS` makes them 25 times as many; `MEDCOSMOS_FUZZ_CORPUS`
//! names a folder that `seeds_of_the_fuzz_targets` fills for `cargo fuzz`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use medcosmos::demo::write;
use medcosmos::image::{Geometry, Image, Samples};
use medcosmos::mask::Mask;

use crate::phantom::gzip;
use crate::samples;

#[path = "../../fuzz/targets.rs"]
mod targets;

use targets::{TARGETS, target};

/// Mutations of each seed.
const MUTATIONS: u64 = 200;
/// The longest that one input may take, on a busy machine and without optimisation.
const TIME: Duration = Duration::from_secs(20);
/// The most bytes that a result may have whatever its input: readers take 64 million pixels for granted, of up to four
/// bytes …
const SIZE: u64 = 4 << 26;
/// … and for each byte of it: LZW packs some 4,000 pixels into one.
const SIZE_PER_BYTE: u64 = 4 << 12;
/// The largest sample that is a seed.
const SAMPLE_BYTES: u64 = 24 << 10;
/// The most samples that are seeds of one target.
const SAMPLES: usize = 3;

/// Numbers that depend on their start alone (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// A place in so many bytes, in every other case among the first ones, where headers are.
    fn place(&mut self, len: usize) -> usize {
        let end = if self.below(2) == 0 { len.min(512) } else { len };
        self.below(end)
    }
}

/// Values that lengths, counts and offsets break at.
const EDGES: [u64; 10] = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX];

/// A copy of a seed, changed in one way or in several.
fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..[1, 1, 1, 2, 4][random.below(5)] {
        if bytes.is_empty() {
            bytes.push(random.next() as u8);
        }
        let at = random.place(bytes.len());
        let len = 1 + random.below(64.min(bytes.len() - at));
        match random.below(9) {
            0 | 1 => (0..=random.below(4)).for_each(|_| {
                let at = random.place(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }),
            2 => bytes.truncate(at),
            // A field of a length, a count or an offset, in either byte order.
            3 | 4 => {
                let (value, width) = (EDGES[random.below(EDGES.len())], [1, 2, 4, 8][random.below(4)]);
                let field = match random.below(2) {
                    0 => value.to_le_bytes()[..width].to_vec(),
                    _ => value.to_be_bytes()[8 - width..].to_vec(),
                };
                bytes.iter_mut().skip(at).zip(field).for_each(|(byte, new)| *byte = new);
            }
            // The same in text: another digit, or many of them.
            5 => {
                let digit = (at..bytes.len()).find(|&i| bytes[i].is_ascii_digit()).unwrap_or(at);
                let digits = ["0", "-1", "9", "99999999999", "18446744073709551616", "1e400", "nan", ""];
                let new = digits[random.below(digits.len())].bytes();
                bytes.splice(digit..(digit + 1).min(bytes.len()), new);
            }
            6 => {
                let block: Vec<u8> = bytes[at..at + len].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, block);
            }
            7 => {
                let to = random.below(bytes.len() - len + 1);
                (0..len).for_each(|i| bytes.swap(at + i, to + i));
            }
            _ => drop(bytes.drain(at..at + len)),
        }
    }
    bytes
}

/// Writes the checksum of every chunk of a PNG that its bytes have.
fn right_checksums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(chunk) = png.get(at + 4..at + 8 + length) else { return };
        let mut checksum = flate2::Crc::new();
        checksum.update(chunk);
        let Some(place) = png.get_mut(at + 8 + length..at + 12 + length) else { return };
        place.copy_from_slice(&checksum.sum().to_be_bytes());
        at += 12 + length;
    }
}

/// Runs targets on their seeds and mutations, and names the input at which one fails.
fn check(names: &[&'static str]) {
    for &name in names {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seed");
        let times = if std::env::var_os("MEDCOSMOS_STRESS").is_some() { 25 } else { 1 };
        let (started, count) = (Instant::now(), MUTATIONS * times * seeds.len() as u64);
        let current = Arc::new(Mutex::new((Vec::new(), Instant::now())));
        let (done, outcome) = channel();
        let running = current.clone();
        thread::spawn(move || {
            let mut accepted = 0;
            let fault = seeds.iter().enumerate().find_map(|(n, seed)| {
                (0..=MUTATIONS * times).find_map(|number| {
                    let mut random = Random(number << 32 ^ (n as u64) << 16 ^ name.len() as u64);
                    let mut input = if number == 0 { seed.clone() } else { mutated(seed, &mut random) };
                    // Beyond the check of a chunk, where the reader of its content is.
                    if name == "png" && random.below(2) == 0 {
                        right_checksums(&mut input);
                    }
                    *running.lock().unwrap() = (input.clone(), Instant::now());
                    let limit = SIZE + SIZE_PER_BYTE * input.len() as u64;
                    match catch_unwind(AssertUnwindSafe(|| target(name).run(&input))) {
                        Ok(0) if (n, number) == (0, 0) => Some("refused its first seed".to_string()),
                        Ok(size) if size <= limit => {
                            accepted += u64::from(size > 0);
                            None
                        }
                        Ok(size) => Some(format!("returned {size} bytes of {}", input.len())),
                        Err(_) => Some("panicked".to_string()),
                    }
                })
            });
            let _ = done.send((fault, accepted));
        });
        let (fault, accepted) = loop {
            match outcome.recv_timeout(Duration::from_secs(1)) {
                Ok(outcome) => break outcome,
                Err(RecvTimeoutError::Timeout) if current.lock().unwrap().1.elapsed() < TIME => {}
                Err(_) => break (Some(format!("took more than {TIME:?}")), 0),
            }
        };
        if let Some(fault) = fault {
            let input = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutation-{name}"));
            fs::write(&input, &current.lock().unwrap().0).unwrap();
            panic!("{name} {fault}: the input is {}", input.display());
        }
        println!("{name}: {count} mutations, {accepted} accepted, in {:.1} s", started.elapsed().as_secs_f64());
    }
}

/// Small files that a target reads, or refuses.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let mut seeds = match name {
        "gzip" => vec![gzip(&pattern(3000)), [gzip(b"one"), gzip(&[0; 500])].concat(), gzip(b"")],
        "zip" | "tar" | "tar_gz" | "tar_bz2" | "tar_xz" | "tar_zst" | "sevenz" => vec![archive(name)],
        "rle" => {
            let mask = Mask::from_predicate(20, 30, |i| i % 7 < 3 && i > 40);
            vec![[&[20, 30], &mask.to_coco()[..]].concat(), vec![3, 4, b'3', b'5', b'3', b'L']]
        }
        "onnx" => vec![onnx_model()],
        "spec" => specs(),
        "checksums" => {
            vec![format!("# medcosmos checksums 1: about\n{}\t12\ta/b\\t.png\n", "0a".repeat(32)).into_bytes()]
        }
        "manifest" | "receipt" | "table" => vec![targets::file_of_dataset(name)],
        "import_coco" => vec![coco()],
        "import_nifti" => vec![written("a.nii", &targets::labels())],
        "import_png" => {
            let mut mask = picture(&targets::labels());
            let Samples::U8(values) = &mut mask.samples else { panic!("labels are of 8 bits") };
            values.iter_mut().for_each(|v| *v = if *v == 1 { 255 } else { 0 });
            vec![written("a.png", &mask)]
        }
        _ => images(name),
    };
    seeds.extend(sample_files(name));
    seeds
}

/// Bytes in which a compression finds something, but not all.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * i / 64 % 251) as u8).collect()
}

/// What a writer of the demo makes of an image under this name.
fn written(name: &str, image: &Image) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    write::image(&folder.path().join(name), image).unwrap();
    fs::read(folder.path().join(name)).unwrap()
}

fn packed(name: &str, image: &Image) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    write::compressed_image(&folder.path().join(name), image).unwrap();
    fs::read(folder.path().join(name)).unwrap()
}

/// The first slice of a volume.
fn picture(volume: &Image) -> Image {
    let [width, height, ..] = volume.size;
    let Samples::U8(values) = &volume.samples else { panic!("labels are of 8 bits") };
    Image::picture(width, height, 1, Samples::U8(values[..width * height].to_vec()))
}

fn images(name: &str) -> Vec<Vec<u8>> {
    let volume = |samples: Samples| {
        let page = Image::picture(12, 10 * 3, 1, samples);
        Image { size: [12, 10, 3, 1], geometry: Some(Geometry::from_spacing([0.5, 0.7, 2.0])), ..page }
    };
    let bytes = volume(Samples::U8(pattern(360)));
    let shorts = volume(Samples::I16(pattern(360).into_iter().map(|v| i16::from(v) * 9 - 800).collect()));
    let floats = volume(Samples::F32(pattern(360).into_iter().map(|v| f32::from(v) / 7.0).collect()));
    let grey = Image::picture(17, 13, 1, Samples::U8(pattern(221)));
    let colour = Image::picture(17, 13, 3, Samples::U8(pattern(663)));
    let deep = Image::picture(17, 13, 1, Samples::U16(pattern(221).into_iter().map(|v| u16::from(v) * 200).collect()));
    let dicom = |image: &Image, jpeg: bool| {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..image.size[2]).map(|i| format!("{i}.dcm")).collect();
        let facts = write::DicomFacts { modality: "CT".into(), series_uid: "1.2.3".into(), jpeg, ..Default::default() };
        write::dicom_slices(folder.path(), &names, image, &facts).unwrap();
        fs::read(folder.path().join("0.dcm")).unwrap()
    };
    match name {
        "nifti" => vec![written("a.nii", &shorts), written("a.nii.gz", &floats)],
        "analyze" => vec![written("a.hdr", &bytes)],
        "metaimage" => vec![written("a.mha", &shorts), packed("a.mha", &floats), written("a.mhd", &bytes)],
        "nrrd" => vec![written("a.nrrd", &shorts), packed("a.nrrd", &floats), segmentation("a.seg.nrrd")],
        "dicom" => {
            vec![dicom(&shorts, false), dicom(&bytes, true), segmentation("a.dcm"), segmentation("structures.dcm")]
        }
        "tiff" => vec![written("a.tif", &shorts), packed("a.tif", &colour)],
        "png" => vec![written("a.png", &grey), written("a.png", &colour), written("a.png", &deep)],
        "jpeg" => vec![written("a.jpg", &grey), written("a.jpg", &colour)],
        "bmp" => vec![written("a.bmp", &grey), written("a.bmp", &colour)],
        "gif" => vec![written("a.gif", &grey)],
        "pnm" => vec![written("a.pgm", &grey), written("a.ppm", &colour), written("a.pgm.gz", &deep)],
        other => panic!("no seeds of {other}"),
    }
}

/// Files of named segments, in the three forms that there are.
fn segmentation(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let mut marks = targets::labels();
    let Samples::U8(values) = &mut marks.samples else { panic!("labels are of 8 bits") };
    values.iter_mut().for_each(|v| *v = u8::from(*v == 1));
    let masks = [("liver", marks.clone()), ("spleen", marks)];
    match name {
        "a.seg.nrrd" => write::slicer_segmentation(&path, &masks).unwrap(),
        "a.dcm" => write::dicom_segmentation(&path, &masks).unwrap(),
        _ => {
            let square: write::Contour = vec![[1.0, 1.0, 2.0], [9.0, 1.0, 2.0], [9.0, 8.0, 2.0], [1.0, 8.0, 2.0]];
            write::structure_set(&path, &[("liver", vec![square])]).unwrap();
        }
    }
    fs::read(path).unwrap()
}

/// An archive of a picture, a text, and an archive of the same.
fn archive(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let content = folder.path().join("content");
    fs::create_dir_all(content.join("sub")).unwrap();
    fs::write(content.join("sub/a.png"), written("a.png", &picture(&targets::labels()))).unwrap();
    fs::write(content.join("notes.txt"), pattern(700)).unwrap();
    let path = folder.path().join("packed");
    write::zip(&content.join("inner.zip"), &content).unwrap();
    match name {
        "zip" => write::zip(&path, &content).unwrap(),
        "sevenz" => {
            let mut archive = sevenz_rust2::ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
            for file in ["sub/a.png", "notes.txt", "inner.zip"] {
                let entry = sevenz_rust2::ArchiveEntry::new_file(file);
                archive.push_archive_entry(entry, Some(&fs::read(content.join(file)).unwrap()[..])).unwrap();
            }
            return archive.finish().unwrap().into_inner();
        }
        _ => write::tar(&path, &content).unwrap(),
    }
    let bytes = fs::read(path).unwrap();
    match name {
        "tar_gz" => gzip(&bytes),
        "tar_bz2" => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        }
        "tar_xz" => {
            let mut encoder = xz2::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap()
        }
        "tar_zst" => zstd::encode_all(&bytes[..], 1).unwrap(),
        _ => bytes,
    }
}

/// An ONNX model with an inner tensor `sum` of an input `x`, written field by field: a number and its bytes.
fn onnx_model() -> Vec<u8> {
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    }
    let value = |name: &str| {
        let size = |n: u8| bytes(1, &[1 << 3, n]);
        let tensor = [vec![1 << 3, 1], bytes(2, &[size(1), size(2)].concat())].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    };
    let node = |operation: &str, inputs: [&str; 2], output: &str| {
        [
            bytes(1, inputs[0].as_bytes()),
            bytes(1, inputs[1].as_bytes()),
            bytes(2, output.as_bytes()),
            bytes(4, operation.as_bytes()),
        ]
        .concat()
    };
    let graph = [
        bytes(1, &node("Add", ["x", "x"], "sum")),
        bytes(1, &node("Mul", ["sum", "x"], "y")),
        bytes(2, b"g"),
        bytes(11, &value("x")),
        bytes(12, &value("y")),
        bytes(13, &value("sum")),
    ]
    .concat();
    [vec![1 << 3, 8], bytes(7, &graph), bytes(8, &[2 << 3, 17])].concat()
}

/// Specs of built-in sources, one of each decade of their lengths.
fn specs() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dataset_specs");
    let read = |slug: &str| fs::read(folder.join(slug).join("spec.toml")).unwrap();
    ["acdc", "drive", "msd"].map(read).to_vec()
}

fn coco() -> Vec<u8> {
    let [width, height, _] = targets::SIZE;
    let image = serde_json::json!({"id": 1, "file_name": "mine/a/z0001.png", "width": width, "height": height});
    let runs = Mask::from_predicate(height as u32, width as u32, |i| i % width > 3 && i % width < 9 && i > 60);
    let counts = String::from_utf8(runs.to_coco()).unwrap();
    let runs = serde_json::json!({"size": [height, width], "counts": counts});
    let listed = serde_json::json!({"size": [height, width], "counts": [100, 20, 60, 30, height * width - 210]});
    let annotation = |id: u32, category: u32, segmentation| serde_json::json!({"id": id, "image_id": 1, "category_id": category, "segmentation": segmentation});
    let file = serde_json::json!({
        "images": [image],
        "categories": [{"id": 1, "name": "liver"}, {"id": 2, "name": "spleen"}],
        "annotations": [annotation(1, 1, runs), annotation(2, 2, listed)],
    });
    serde_json::to_vec(&file).unwrap()
}

/// The smallest samples of a target's format that it accepts.
fn sample_files(name: &str) -> Vec<Vec<u8>> {
    let extensions: &[&str] = match name {
        "nifti" => &["nii", "nii.gz"],
        "metaimage" => &["mha", "mhd"],
        "nrrd" => &["nrrd", "nhdr"],
        "dicom" => &["dcm"],
        "tiff" => &["tif", "tiff"],
        "png" | "bmp" | "gif" => &[name],
        "jpeg" => &["jpg"],
        "pnm" => &["pgm", "ppm"],
        "analyze" => &["hdr"],
        _ => return Vec::new(),
    };
    let Some(folder) = samples::folder("formats") else { return Vec::new() };
    let mut found: BTreeMap<(u64, Vec<u8>), ()> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten() {
        let file = entry.file_name().to_string_lossy().to_ascii_lowercase();
        let size = entry.metadata().unwrap().len();
        if size > 0 && size <= SAMPLE_BYTES && extensions.iter().any(|e| file.ends_with(&format!(".{e}"))) {
            found.insert((size, fs::read(entry.path()).unwrap()), ());
        }
    }
    let accepted = found.into_keys().map(|(_, bytes)| bytes).filter(|bytes| target(name).run(bytes) > 0);
    accepted.take(SAMPLES).collect()
}

#[test]
fn volumes() {
    check(&["nifti", "analyze", "metaimage", "nrrd", "dicom"]);
}

#[test]
fn pictures() {
    check(&["tiff", "png", "jpeg", "bmp", "gif", "pnm"]);
}

#[test]
fn archives() {
    check(&["gzip", "zip", "tar", "tar_gz", "tar_bz2", "tar_xz", "tar_zst", "sevenz"]);
}

#[test]
fn texts_and_tables() {
    check(&["rle", "onnx", "spec", "checksums", "manifest", "receipt", "table"]);
}

#[test]
fn imports() {
    check(&["import_coco", "import_nifti", "import_png"]);
}

/// No reader is left out, each has its program, and the fuzzer gets the same seeds.
#[test]
fn seeds_of_the_fuzz_targets() {
    let own = include_str!("mutations.rs");
    let programs = include_str!("../../fuzz/Cargo.toml");
    for target in TARGETS {
        assert!(own.matches(&format!("\"{}\"", target.name)).count() > 1, "{} is not mutated", target.name);
        assert!(programs.contains(&format!("name = \"{}\"", target.name)), "{} has no program", target.name);
        let Some(corpus) = std::env::var_os("MEDCOSMOS_FUZZ_CORPUS") else { continue };
        let folder = Path::new(&corpus).join(target.name);
        fs::create_dir_all(&folder).unwrap();
        for (n, seed) in seeds(target.name).into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{n}")), seed).unwrap();
        }
    }
    let named = |format: &str| match format.to_ascii_lowercase().as_str() {
        "netpbm" => "pnm".to_string(),
        format => format.split(' ').next().unwrap_or_default().replace('-', ""),
    };
    for format in medcosmos::formats::FORMATS {
        let name = named(format.name);
        assert!(TARGETS.iter().any(|target| target.name == name), "{name}: a format without a target");
    }
}
