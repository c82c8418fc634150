//! Files that are small and decode to more than there is memory for: each fails alone, by name, with what it needs and the
//! option that gives it, within the bound and a little more; the good cases next to it are built.
//!
//! The files are made on the spot. They decode to more than bound and allowance together, so that a reader which ignores
//! the bound is found out, and to as little beyond as shows it.

use std::fs::{self, File};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use flate2::{Compression, Crc};
use medcosmos::store::{CaseRow, Dataset};
use tempfile::TempDir;

use crate::phantom::{gzip, nifti, write};
use crate::program::{Run, files_of, medcosmos};

/// The bound that all commands get.
const BOUND: &str = "256MB";
/// What a command may have at most: the bound, and 200 MB for the program itself.
const MOST_KB: u64 = (256 + 200) * 1000;
/// What a bomb decodes to.
const LARGE: u64 = 500_000_000;
/// Pixels of a square picture of that size.
const SIDE: u32 = 22_400;

const SPEC: &str = r#"
slug = "bombs"
name = "Pictures of all formats"
[licence]
id = "LicenseRef-none"
terms = "Made for a test."
share_derived = "no"
[[release]]
name = "1"
evidence = ["masks/{case}.png"]
[sequences]
any = "Colonoscopy"
[labels.one]
1 = { name = "polyp", object = "polyp" }
[[layout]]
name = "all"
case = "{case}"
patient = "{case}"
[layout.image]
path = ["images/{case:/[a-z0-9-]+/}.{ending:/[a-z]+(?:\\.gz)?/}"]
sequence = "any"
[[layout.mask]]
path = ["masks/{case:/[a-z0-9-]+/}.png"]
labels = "one"
"#;

/// A run of the program under the bound: exit status, output, and the most memory that it had.
struct Bounded {
    status: i32,
    text: String,
    peak_kb: u64,
    took: Duration,
}

impl Bounded {
    fn of(program: &mut Command) -> Self {
        let mut output = tempfile::tempfile().unwrap();
        let [out, err] = [output.try_clone().unwrap(), output.try_clone().unwrap()].map(Stdio::from);
        let began = Instant::now();
        let mut child = program.args(["--memory", BOUND, "--threads", "2"]).stdout(out).stderr(err).spawn().unwrap();
        let (status, peak_kb) = watched(&mut child);
        let mut text = String::new();
        std::io::Seek::rewind(&mut output).unwrap();
        output.read_to_string(&mut text).unwrap();
        let run = Bounded { status, text, peak_kb, took: began.elapsed() };
        assert!(!run.text.contains("panicked"), "{program:?}\n{}", run.text);
        assert!(run.peak_kb <= MOST_KB, "{program:?} had {} kB\n{}", run.peak_kb, run.text);
        assert!(run.peak_kb > 1000, "{program:?}: nothing was measured");
        run
    }

    /// The line of the output that has this word and one of the others.
    fn says(&self, word: &str, others: &[&str]) {
        let told = self.text.lines().any(|line| line.contains(word) && others.iter().any(|other| line.contains(other)));
        assert!(told, "{word:?} with one of {others:?} is not in:\n{}", self.text);
    }
}

/// Waits for the end of a process, and looks at the most memory it had until then.
fn watched(child: &mut Child) -> (i32, u64) {
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let found = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        peak = peak.max(found.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            return (status.code().unwrap_or(-1), peak);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `head`, and zeros up to `size` bytes, into a compressor.
fn pour(mut out: impl Write, head: &[u8], size: u64) {
    out.write_all(head).unwrap();
    let zeros = vec![0; 1 << 20];
    let mut left = size.saturating_sub(head.len() as u64);
    while left > 0 {
        let count = left.min(zeros.len() as u64);
        out.write_all(&zeros[..count as usize]).unwrap();
        left -= count;
    }
}

/// gzip of `head` and zeros, in joined members, of which the zeros are the same again and again.
fn gzip_bomb(head: &[u8], size: u64) -> Vec<u8> {
    const MEMBER: u64 = 25_000_000;
    let mut member = GzEncoder::new(Vec::new(), Compression::fast());
    pour(&mut member, &[], MEMBER);
    let member = member.finish().unwrap();
    let mut bytes = gzip(head);
    (0..size.div_ceil(MEMBER)).for_each(|_| bytes.extend(&member));
    bytes
}

/// gzip of `head` and zeros in one member.
fn gzip_of_one_member(head: &[u8], size: u64) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    pour(&mut out, head, size);
    out.finish().unwrap()
}

fn zlib_bomb(size: u64) -> Vec<u8> {
    let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
    pour(&mut out, &[], size);
    out.finish().unwrap()
}

fn deflate_bomb(head: &[u8], size: u64) -> Vec<u8> {
    let mut out = DeflateEncoder::new(Vec::new(), Compression::fast());
    pour(&mut out, head, size);
    out.finish().unwrap()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
}

/// A grey PNG of 8 bits, with further chunks before its data.
fn png(side: u32, more: &[u8], data: &[u8]) -> Vec<u8> {
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], more, &chunk(b"IDAT", data), &chunk(b"IEND", &[])].concat()
}

/// A picture of 16 x 16 grey pixels, or the mask of its left half.
fn small_png(value: impl Fn(usize) -> u8) -> Vec<u8> {
    // Each row begins with the number of its filter.
    let rows: Vec<u8> = (0..16 * 17).map(|at| if at % 17 == 0 { 0 } else { value(at % 17 - 1) }).collect();
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&rows).unwrap();
    png(16, &[], &packed.finish().unwrap())
}

fn picture() -> Vec<u8> {
    small_png(|x| 10 * x as u8)
}

fn mask() -> Vec<u8> {
    small_png(|x| u8::from(x < 8))
}

/// A DICOM picture of 16 x 16 pixels; `deflated` is what its data set is compressed with.
fn dicom(deflated: bool) -> (Vec<u8>, Vec<u8>) {
    let element = |group: u16, number: u16, vr: &[u8; 2], value: &[u8]| {
        let mut value = value.to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == b"UI" { 0 } else { b' ' });
        }
        let length = match vr {
            b"OB" | b"OW" => [&[0, 0][..], &(value.len() as u32).to_le_bytes()].concat(),
            _ => (value.len() as u16).to_le_bytes().to_vec(),
        };
        [&group.to_le_bytes()[..], &number.to_le_bytes(), vr, &length, &value].concat()
    };
    let syntax: &[u8] = if deflated { b"1.2.840.10008.1.2.1.99" } else { b"1.2.840.10008.1.2.1" };
    let meta = [vec![0; 128], b"DICM".to_vec(), element(2, 0x10, b"UI", syntax)].concat();
    let number = |number: u16, value: u16| element(0x28, number, b"US", &value.to_le_bytes());
    let data = [
        element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.7"),
        number(0x02, 1),
        element(0x28, 4, b"CS", b"MONOCHROME2"),
        number(0x10, 16),
        number(0x11, 16),
        number(0x100, 8),
        number(0x101, 8),
        number(0x102, 7),
        number(0x103, 0),
        element(0x7fe0, 0x10, b"OB", &[7; 256]),
    ]
    .concat();
    (meta, data)
}

/// A TIFF of `pages` pages of `width` x `height` grey pixels, all of the same strip.
fn tiff(pages: u32, width: u32, height: u32, compression: u32, strip: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0".to_vec();
    bytes.extend((8 + strip.len() as u32).to_le_bytes());
    bytes.extend(strip);
    for page in 0..pages {
        let tags = [
            (256, width),
            (257, height),
            (258, 8),
            (259, compression),
            (262, 1),
            (273, 8),
            (278, height),
            (279, strip.len() as u32),
        ];
        bytes.extend((tags.len() as u16).to_le_bytes());
        for (tag, value) in tags {
            bytes.extend((tag as u16).to_le_bytes());
            bytes.extend([4, 0, 1, 0, 0, 0]);
            bytes.extend(value.to_le_bytes());
        }
        let next = if page + 1 == pages { 0 } else { bytes.len() as u32 + 4 };
        bytes.extend(next.to_le_bytes());
    }
    bytes
}

fn bmp() -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0".to_vec();
    bytes.extend([40u32, 16, 16].iter().flat_map(|n| n.to_le_bytes()));
    bytes.extend([1, 0, 24, 0]);
    bytes.resize(54, 0);
    bytes.resize(54 + 16 * 48, 9);
    bytes
}

/// A GIF of many frames of a pixel on a large screen, each of which is shown as a whole.
fn gif(side: u16, frames: usize) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.extend([side.to_le_bytes(), side.to_le_bytes()].concat());
    bytes.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
    for _ in 0..frames {
        bytes.extend([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0]);
    }
    bytes.push(0x3b);
    bytes
}

/// Markers of a JPEG whose frame is as large as is said, and enough bytes behind to hold it.
fn jpeg(side: u16) -> Vec<u8> {
    let size = side.to_be_bytes();
    let frame = [&[0xff, 0xd8, 0xff, 0xc0, 0, 11, 8][..], &size, &size, &[1, 1, 0x11, 0]].concat();
    let enough = usize::from(side) * usize::from(side) / 512 + 1000;
    [frame, vec![0; enough]].concat()
}

/// A header of NIfTI-1 of 8-bit voxels.
fn nifti_header([x, y, z]: [i16; 3]) -> Vec<u8> {
    let mut header = nifti([1, 1, 1], &[0]);
    header.truncate(352);
    for (i, n) in [x, y, z].into_iter().enumerate() {
        header[42 + 2 * i..44 + 2 * i].copy_from_slice(&n.to_le_bytes());
    }
    header[70..74].copy_from_slice(&[2, 0, 8, 0]);
    header
}

fn metaimage(size: &str, data: &str) -> Vec<u8> {
    format!("ObjectType = Image\nNDims = 3\nDimSize = {size}\nElementType = MET_UCHAR\nElementDataFile = {data}").into()
}

/// Words with which a file is refused for what it needs.
const NEEDS: &[&str] = &["of memory, but the bound of 256.0 MB leaves"];
/// Words with which a file is refused for what its header does not promise.
const EXPANDS: &[&str] = &["expands to more than", "expand to more than"];

/// Files that are images of cases, and words of which one is in the reason for which they fail.
fn images() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let (meta, data) = dicom(false);
    let plain_dicom = [meta, data].concat();
    let (deflated, data) = dicom(true);
    let deflated_dicom = [deflated, deflate_bomb(&data, LARGE)].concat();
    let zeros = zlib_bomb(LARGE);
    let mut bz2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    pour(&mut bz2, &[], 25_000_000);
    let bz2 = bz2.finish().unwrap().repeat(20);
    let nrrd = |sizes: &str, more: &str| format!("NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\n{more}\n\n");
    let list = metaimage("1000 1000 500", "LIST\n");
    let shared = [list, b"data/shared.raw\n".repeat(500)].concat();
    let pages = tiff(13_000, 200, 200, 1, &[0; 40_000]);
    vec![
        ("png", png(SIDE, &[], &zlib_bomb(u64::from(SIDE) * u64::from(SIDE + 1))), NEEDS),
        ("nii.gz", gzip_of_one_member(&nifti_header([1000, 1000, 500]), LARGE + 352), NEEDS),
        ("pgm.gz", gzip_bomb(b"P5 16 16 255\n", LARGE), EXPANDS),
        ("ppm.gz", gzip_bomb(b"P6 16000 16000 255\n", 768_000_000), NEEDS),
        ("dcm.gz", gzip_bomb(&plain_dicom, LARGE), EXPANDS),
        ("dcm", deflated_dicom, EXPANDS),
        ("bmp.gz", gzip_bomb(&bmp(), LARGE), EXPANDS),
        ("tif.gz", gzip_bomb(&tiff(1, 16, 16, 1, &[7; 256]), LARGE), NEEDS),
        ("tif", pages, NEEDS),
        ("tiff", tiff(1, SIDE, SIDE, 8, &zlib_bomb(u64::from(SIDE) * u64::from(SIDE))), NEEDS),
        ("gif", gif(4000, 4), NEEDS),
        ("jpg", jpeg(SIDE as u16), NEEDS),
        ("mhd", metaimage("1000 1000 500", "../../../../../../../../dev/zero\n"), &["not below the folder"]),
        ("mha", [metaimage("1000 1000 500", "LOCAL\n"), zeros.clone()].concat(), &["needs 500000000 bytes"]),
        ("nhdr", nrrd("1000 1000 500", "encoding: raw\ndata file: data/large.raw").into_bytes(), NEEDS),
        ("nrrd", [nrrd("10 10 10", "encoding: bzip2\nbyte skip: -1").into_bytes(), bz2].concat(), EXPANDS),
        ("dicom", shared, &["named twice"]),
    ]
}

/// Three good cases, as paths and bytes.
fn good() -> Vec<(String, Vec<u8>)> {
    let case = |name: &str| [(format!("images/{name}.png"), picture()), (format!("masks/{name}.png"), mask())];
    ["good-1", "good-2", "good-3"].iter().flat_map(|name| case(name)).collect()
}

fn folder(files: &[(String, Vec<u8>)]) -> (TempDir, PathBuf, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let (raw, spec) = (place.path().join("raw"), place.path().join("bombs.toml"));
    fs::create_dir(&raw).unwrap();
    fs::write(&spec, SPEC).unwrap();
    files.iter().for_each(|(path, bytes)| write(&raw.join(path), bytes));
    (place, raw, spec)
}

/// Builds a folder, of which three cases must come out, and gives the run.
fn build(raw: &Path, spec: &Path, status: i32) -> Bounded {
    let dataset = spec.with_file_name("data");
    let mut program = medcosmos("build");
    program.arg(raw).arg("--out").arg(&dataset).arg("--spec").arg(spec).args(["--source", "bombs", "--quiet"]);
    let run = Bounded::of(&mut program);
    assert_eq!(run.status, status, "{}", run.text);
    let cases: Vec<CaseRow> = Dataset::open(&dataset).unwrap().rows().unwrap().map(Result::unwrap).collect();
    let built: Vec<&str> = cases.iter().filter(|c| c.status.name() == "ok").map(|c| c.case_id.as_str()).collect();
    assert_eq!(built, ["bombs/good-1", "bombs/good-2", "bombs/good-3"], "{}", run.text);
    run
}

/// The name of the case that a file of this ending is.
fn case(ending: &str) -> String {
    format!("bomb-{}", ending.replace('.', "-"))
}

#[test]
fn images_beyond_the_bound_fail_alone() {
    let images = images();
    let mut files = good();
    for (ending, bytes, _) in &images {
        // A header of a list has another ending than one of a single file.
        let name = if *ending == "dicom" { "mhd" } else { ending };
        files.push((format!("images/{}.{name}", case(ending)), bytes.clone()));
        files.push((format!("masks/{}.png", case(ending)), mask()));
    }
    // A mask may be a bomb, too.
    files.push(("images/bomb-mask.png".into(), picture()));
    files.push(("masks/bomb-mask.png".into(), images[0].1.clone()));
    files.push(("images/data/shared.raw".into(), vec![0; 1_000_000]));
    let (_place, raw, spec) = folder(&files);
    File::create(raw.join("images/data/large.raw")).unwrap().set_len(LARGE).unwrap();

    let inspected: Vec<PathBuf> =
        files.iter().filter(|(path, _)| path.starts_with("images/bomb-")).map(|(path, _)| raw.join(path)).collect();
    let run = Bounded::of(medcosmos("inspect").args(&inspected));
    assert_eq!(run.status, 1, "{}", run.text);
    for (ending, _, words) in &images {
        run.says(&case(ending), words);
    }
    let run = build(&raw, &spec, 3);
    for (ending, _, words) in &images {
        run.says(&format!("bombs/{}: ", case(ending)), words);
    }
    run.says("bombs/bomb-mask: ", NEEDS);
    let run = Bounded::of(medcosmos("scan").arg(&raw).arg("--spec").arg(&spec));
    assert!(run.text.contains("bombs"), "{}", run.text);
}

/// Four cases of which three fit next to each other: whoever is in the way waits and runs alone, and the dataset is the
/// same as without a bound.
#[test]
fn cases_that_crowd_each_other_are_all_built() {
    const SIDE: usize = 2000;
    let mut rows = vec![0; SIDE * (SIDE + 1)];
    rows.chunks_exact_mut(SIDE + 1).for_each(|row| row[200..900].fill(1));
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&rows).unwrap();
    let picture = png(SIDE as u32, &[], &packed.finish().unwrap());
    let slugs = ["bombs-a", "bombs-b", "bombs-c", "bombs-d"];
    let files: Vec<(String, Vec<u8>)> = slugs
        .iter()
        .flat_map(|slug| ["images", "masks"].map(|folder| (format!("{slug}/{folder}/one.png"), picture.clone())))
        .collect();
    let (place, raw, spec) = folder(&files);
    let run = |name: &str, options: &[&str]| {
        let dataset = place.path().join(name);
        let mut program = medcosmos("build");
        program.arg(&raw).arg("--out").arg(&dataset).arg("--quiet").args(options);
        for slug in slugs {
            let own = spec.with_file_name(format!("{slug}.toml"));
            let text = SPEC.replace("\"bombs\"", &format!("{slug:?}")).replace("[\"", &format!("[\"{slug}/"));
            fs::write(&own, text).unwrap();
            program.arg("--spec").arg(own).args(["--source", slug]);
        }
        Run::done(&mut program);
        files_of(&dataset)
    };
    let crowded = run("crowded", &["--memory", "64MiB", "--threads", "4"]);
    assert_eq!(crowded, run("alone", &["--threads", "1"]));
}

/// A case that was beyond the bound is undone: with a larger one the next build builds it.
#[test]
fn a_larger_bound_builds_what_was_beyond_the_smaller_one() {
    const SIDE: usize = 4000;
    let mut rows = vec![0; SIDE * (SIDE + 1)];
    rows.chunks_exact_mut(SIDE + 1).for_each(|row| row[200..900].fill(1));
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&rows).unwrap();
    let picture = png(SIDE as u32, &[], &packed.finish().unwrap());
    let mut files = good();
    files.extend(["images", "masks"].map(|folder| (format!("{folder}/large.png"), picture.clone())));
    let (place, raw, spec) = folder(&files);
    let run = |memory: &str, status: i32, built: u64| {
        let mut program = medcosmos("build");
        program.arg(&raw).arg("--out").arg(place.path().join("data")).arg("--spec").arg(&spec).arg("--json");
        let run = Run::of(program.args(["--source", "bombs", "--quiet", "--memory", memory]));
        assert_eq!(run.status, status, "{}{}", run.out, run.err);
        assert_eq!(run.json()["sources"]["bombs"]["cases"], built, "{}", run.out);
        run
    };
    // 40 MiB for a case, which needs 16 MB for its image, its mask and its pictures each, and is in no one's way.
    let small = run("64MiB", 3, 3);
    let reason = small.json()["sources"]["bombs"]["failed"][0][1].to_string();
    assert!(reason.contains("raise it with --memory"), "{reason}");
    run("256MB", 0, 4);
}

/// Colour profiles and texts of a PNG, and zeros behind its end, are no part of the picture.
#[test]
fn what_is_not_needed_is_not_decoded() {
    let zeros = zlib_bomb(LARGE);
    let profile = chunk(b"iCCP", &[b"x\0\0", &zeros[..]].concat());
    let text = chunk(b"zTXt", &[b"x\0\0", &zeros[..]].concat());
    let international = chunk(b"iTXt", &[b"x\0\x01\0\0\0", &zeros[..]].concat());
    let own = picture();
    let (header, rest) = own.split_at(33);
    let files: Vec<(String, Vec<u8>)> = [profile, text, international]
        .iter()
        .enumerate()
        .flat_map(|(i, more)| {
            let name = format!("good-{}", i + 1);
            [(format!("images/{name}.png"), [header, more, rest].concat()), (format!("masks/{name}.png"), mask())]
        })
        .collect();
    let (_place, raw, spec) = folder(&files);
    build(&raw, &spec, 0);
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    bytes
}

/// The header of an entry of a tar.
fn tar_header(path: &str, kind: ::tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = ::tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(path).unwrap();
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Three good cases and one whose picture is a file of zeros, in archives of each kind.
#[test]
fn members_beyond_the_bound_fail_alone() {
    let mut files = good();
    files.push(("masks/bomb.png".into(), mask()));
    let path = "images/bomb.png";

    let mut zip = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in &files {
        zip.start_file(path.as_str(), ::zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.start_file(path, ::zip::write::SimpleFileOptions::default()).unwrap();
    pour(&mut zip, b"\x89PNG", LARGE);
    let zip = zip.finish().unwrap().into_inner();

    let size = LARGE.next_multiple_of(512);
    let header = tar_header(path, ::tar::EntryType::Regular, size);
    let tar_gz = gzip_bomb(&[tar(&files), header].concat(), size + 1024);

    let mut seven = sevenz_rust2::ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    seven.set_content_methods(vec![sevenz_rust2::EncoderMethod::DEFLATE.into()]);
    for (path, bytes) in &files {
        seven.push_archive_entry(sevenz_rust2::ArchiveEntry::new_file(path), Some(&bytes[..])).unwrap();
    }
    let large = std::io::repeat(0).take(LARGE);
    seven.push_archive_entry(sevenz_rust2::ArchiveEntry::new_file(path), Some(large)).unwrap();
    let seven = seven.finish().unwrap().into_inner();

    for (name, bytes) in [("bombs.zip", zip), ("bombs.tar.gz", tar_gz), ("bombs.7z", seven)] {
        let (_place, raw, spec) = folder(&[(name.to_string(), bytes)]);
        let run = build(&raw, &spec, 3);
        run.says("bombs/bomb: ", NEEDS);
    }
}

/// A name or an attribute of a tar that is larger than the memory ends its index, already at `scan`.
#[test]
fn headers_of_archives_are_bounded() {
    for kind in [::tar::EntryType::GNULongName, ::tar::EntryType::GNULongLink, ::tar::EntryType::XHeader] {
        let size = LARGE.next_multiple_of(512);
        let header = tar_header("images/bomb.png", kind, size);
        let (_place, raw, spec) =
            folder(&[("bombs.tar.gz".into(), gzip_bomb(&[tar(&good()), header].concat(), size + 1024))]);
        let run = Bounded::of(medcosmos("scan").arg(&raw).arg("--spec").arg(&spec));
        run.says("bombs.tar.gz", &["headers of more than 1048576 bytes before an entry"]);
        build(&raw, &spec, 3);
    }
}

/// A zip whose directory has the same entry a thousand times, of a gigabyte and more each, and a zip in a zip in a zip:
/// what they expand to is refused by name within seconds.
#[test]
fn archives_that_expand_without_end_are_refused_by_name() {
    let mut zip = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in good() {
        zip.start_file(path, ::zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.start_file("images/bomb-0000.png", ::zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(&[7; 1000]).unwrap();
    let one = zip.finish().unwrap().into_inner();
    // The last entry of the directory a thousand times, under other names and with another size.
    let find = |signature: &[u8]| one.windows(4).rposition(|w| w == signature).unwrap();
    let (entry, end) = (find(b"PK\x01\x02"), find(b"PK\x05\x06"));
    let mut overlapping = one[..entry].to_vec();
    for number in 0..1000 {
        let mut again = one[entry..end].to_vec();
        again[24..28].copy_from_slice(&1_100_000_000u32.to_le_bytes());
        let name = format!("images/bomb-{number:04}.png");
        again[46..46 + name.len()].copy_from_slice(name.as_bytes());
        overlapping.extend(again);
    }
    let directory = u32::from_le_bytes(one[end + 16..end + 20].try_into().unwrap());
    let size = overlapping.len() as u32 - directory;
    let mut record = one[end..].to_vec();
    let entries = (good().len() as u16 + 1000).to_le_bytes();
    record[8..12].copy_from_slice(&[entries, entries].concat());
    record[12..16].copy_from_slice(&size.to_le_bytes());
    overlapping.extend(record);

    let nested = |inner: &[(String, Vec<u8>)]| {
        let mut zip = ::zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (path, bytes) in inner {
            zip.start_file(path.as_str(), ::zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let many = |bytes: &[u8]| (0..8).map(|i| (format!("{i}.zip"), bytes.to_vec())).collect::<Vec<_>>();
    let deep = nested(&many(&nested(&many(&overlapping))));

    for (name, bytes) in [("overlapping.zip", &overlapping), ("deep.zip", &deep)] {
        let (_place, raw, spec) = folder(&[(name.to_string(), bytes.clone())]);
        let commands = [medcosmos("scan"), medcosmos("verify")];
        for mut program in commands {
            let run = Bounded::of(program.arg(&raw).arg("--spec").arg(&spec));
            assert_eq!(run.status, 1, "{}", run.text);
            run.says(name, &["raise the limit with --max-expansion (now 512)"]);
            assert!(run.took < Duration::from_secs(60), "{name}: {:?}", run.took);
        }
    }
    let (_place, raw, spec) = folder(&[("overlapping.zip".to_string(), overlapping)]);
    build(&raw, &spec, 3);
}
