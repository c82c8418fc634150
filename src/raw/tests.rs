//! Whole trees: archives of every kind are built, damaged and read back.

use std::io::{Cursor, Write};
use std::path::Path;

use ::zip::CompressionMethod;
use ::zip::write::{SimpleFileOptions, ZipWriter};
use proptest::prelude::*;

use super::codec::{Codec, tests::encode};
use super::*;

/// Files of a small download, as paths and contents.
type Files = Vec<(String, Vec<u8>)>;

fn files() -> Files {
    let noise: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    [
        ("a/images/case, 1.png", noise),
        ("a/images/case 2.png", vec![7; 100_000]),
        ("a/labels/Körper 1.png", b"liver".to_vec()),
        ("a/labels/肝.png", Vec::new()),
        ("readme.txt", b"do not sort before a".to_vec()),
    ]
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .to_vec()
}

fn zip_by(files: &Files, method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        writer.start_file(path.as_str(), SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn zip(files: &Files) -> Vec<u8> {
    zip_by(files, CompressionMethod::Deflated)
}

fn tar(files: &Files) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn tar_gz(files: &Files) -> Vec<u8> {
    encode(Codec::Gzip, &tar(files))
}

/// A 7z with all files in one block, or with a block for each.
fn seven_z(files: &Files, solid: bool) -> Vec<u8> {
    let mut writer = sevenz_rust2::ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    writer.set_content_methods(vec![sevenz_rust2::EncoderMethod::LZMA2.into()]);
    let entry = |path: &str| sevenz_rust2::ArchiveEntry::new_file(path);
    if solid {
        let full: Vec<_> = files.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        let entries = full.iter().map(|(path, _)| entry(path)).collect();
        let readers = full.iter().map(|(_, bytes)| bytes.as_slice().into()).collect();
        writer.push_archive_entries(entries, readers).unwrap();
        for (path, _) in files.iter().filter(|(_, bytes)| bytes.is_empty()) {
            writer.push_archive_entry(entry(path), None::<&[u8]>).unwrap();
        }
    } else {
        for (path, bytes) in files {
            writer.push_archive_entry(entry(path), (!bytes.is_empty()).then_some(bytes.as_slice())).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// A folder with the given files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

fn open(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Tree) {
    let folder = folder(files);
    let tree = Tree::open(folder.path()).unwrap();
    (folder, tree)
}

/// Checks that `tree` has exactly `files` below `prefix`, and no problem.
fn assert_holds(tree: &Tree, prefix: &str, files: &Files) {
    assert_eq!(tree.problems(), []);
    let mut expected: Vec<_> = files.iter().map(|(path, bytes)| (format!("{prefix}{path}"), bytes)).collect();
    expected.sort();
    let paths: Vec<_> = tree.members().iter().map(|m| (m.path.as_str(), m.size)).collect();
    assert_eq!(paths, expected.iter().map(|(path, bytes)| (path.as_str(), bytes.len() as u64)).collect::<Vec<_>>());
    for (path, bytes) in expected {
        assert!(tree.read(tree.find(&path).unwrap()).unwrap() == *bytes, "{path}");
    }
}

/// The only problem of a tree: its path and reason.
fn only_problem(tree: &Tree) -> (&str, &str) {
    match tree.problems() {
        [problem] => (&problem.path, &problem.reason),
        other => panic!("one problem expected: {other:?}"),
    }
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(i, _)| i).collect();
    for &place in &places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    places.len()
}

#[test]
fn a_folder_and_every_archive_give_the_same_members() {
    let files = files();
    let plain: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let (_folder, tree) = open(&plain);
    assert_holds(&tree, "", &files);

    let mut archives: Vec<(String, Vec<u8>)> = vec![
        ("x.zip".into(), zip(&files)),
        ("X.ZIP?download=1".into(), zip(&files)),
        ("no extension".into(), zip(&files)),
        ("x.tar".into(), tar(&files)),
        ("x.tgz".into(), tar_gz(&files)),
        ("x.gz".into(), tar_gz(&files)),
        ("unpacked on its way.tar.gz".into(), tar(&files)),
        ("really a tar.zip".into(), tar(&files)),
        ("x.7z".into(), seven_z(&files, true)),
        ("y.7z".into(), seven_z(&files, false)),
    ];
    for codec in [Codec::Gzip, Codec::Bzip2, Codec::Xz, Codec::Zstd] {
        let extension = match codec {
            Codec::Gzip => "gz",
            Codec::Bzip2 => "bz2",
            Codec::Xz => "xz",
            Codec::Zstd => "zst",
        };
        archives.push((format!("x.tar.{extension}"), encode(codec, &tar(&files))));
    }
    for method in [CompressionMethod::Stored, CompressionMethod::Bzip2, CompressionMethod::Zstd, CompressionMethod::Xz]
    {
        archives.push((format!("{method}.zip"), zip_by(&files, method)));
    }
    for (name, bytes) in &archives {
        let (folder, tree) = open(&[(name, bytes)]);
        assert_holds(&tree, &format!("{name}/"), &files);
        // The archive itself may be the root, and gives the same paths.
        assert_holds(&Tree::open(&folder.path().join(name)).unwrap(), &format!("{name}/"), &files);
    }
}

#[test]
fn archives_in_archives_are_opened_to_the_depth() {
    let files = files();
    let stored = |name: &str, bytes: Vec<u8>| zip_by(&vec![(name.into(), bytes)], CompressionMethod::Stored);
    let packed = |name: &str, bytes: Vec<u8>| tar_gz(&vec![(name.into(), bytes)]);
    let two = stored("b.tar.gz", packed("c.zip", zip(&files)));
    let (folder, tree) = open(&[("a.zip", &two)]);
    assert_holds(&tree, "a.zip/b.tar.gz/c.zip/", &files);
    // The same through the temporary file.
    let spooled = Tree::open_with(folder.path(), Options { nested_bytes: 0, ..Options::default() }).unwrap();
    assert_holds(&spooled, "a.zip/b.tar.gz/c.zip/", &files);

    let four = stored("y.zip", two.clone());
    let (_folder, tree) = open(&[("x.zip", &stored("b.tar.gz", packed("x.zip", four.clone())))]);
    assert_eq!(only_problem(&tree).0, "x.zip/b.tar.gz/x.zip/y.zip/b.tar.gz");
    assert!(only_problem(&tree).1.contains("nested in 4 archives"), "{:?}", tree.problems());
    let stacked = stored("z.7z", seven_z(&vec![("w.zip".into(), zip(&files))], true));
    let (_folder, tree) = open(&[("x.zip", &stacked)]);
    assert_holds(&tree, "x.zip/z.7z/w.zip/", &files);
}

#[test]
fn a_single_compressed_file_is_one_member() {
    let image = encode(Codec::Gzip, b"P5 1 1 255 .");
    let files = vec![
        ("im0001.ppm.gz".to_owned(), image.clone()),
        ("scan.gz".to_owned(), image.clone()),
        ("table.npz".to_owned(), zip(&files())),
    ];
    let plain: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let (_folder, tree) = open(&plain);
    assert_holds(&tree, "", &files);
    let (_folder, tree) = open(&[("x.zip", &zip(&files)), ("y.tar.gz", &tar_gz(&files))]);
    assert_eq!((tree.members().len(), tree.problems().len()), (6, 0));
    assert_eq!(tree.read(tree.find("y.tar.gz/scan.gz").unwrap()).unwrap(), image);
    // But a tar is one under any name.
    let (_folder, tree) = open(&[("x.zip", &zip(&vec![("labels.gz".into(), tar_gz(&files))]))]);
    assert_holds(&tree, "x.zip/labels.gz/", &files);
}

#[test]
fn what_is_no_archive_is_told() {
    let cases: [(&str, &[u8], &str); 6] = [
        (
            "x.zip",
            b"<!DOCTYPE html><html><body>Sign in</body></html>",
            "an HTML page, not a zip archive: the download did not",
        ),
        ("x.tar.gz", b"\n<html>", "an HTML page, not a tar.gz archive"),
        ("x.7z", b"", "an empty file, not a 7z archive"),
        ("x.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("x.tar.gz", &encode(Codec::Gzip, b"no tar"), "gzip data that hold no tar, not a tar.gz archive"),
        ("x.zip", b"\0\x01\x02", "unknown data that start with 00 01 02"),
    ];
    for (name, bytes, why) in cases {
        let (_folder, tree) = open(&[(name, bytes), ("other.txt", b"read on")]);
        assert_eq!(only_problem(&tree).0, name);
        assert!(only_problem(&tree).1.contains(why), "{:?}", tree.problems());
        assert_eq!(tree.members().len(), 1);
    }
}

#[test]
fn cut_archives_are_told_and_give_what_is_there() {
    let files = files();
    for (name, bytes) in [("x.zip", zip(&files)), ("x.7z", seven_z(&files, true))] {
        let (_folder, tree) = open(&[(name, &bytes[..bytes.len() - 30])]);
        assert!(tree.members().is_empty());
        assert!(only_problem(&tree).1.contains("download it again"), "{:?}", tree.problems());
    }
    let whole = tar(&files);
    for (name, bytes) in [("x.tar", whole[..120_000].to_vec()), ("x.tar.gz", encode(Codec::Gzip, &whole[..120_000]))] {
        let (_folder, tree) = open(&[(name, &bytes)]);
        let paths: Vec<_> = tree.members().iter().map(Member::name).collect();
        assert_eq!(paths, ["case, 1.png"], "{name}");
        assert!(tree.read(&tree.members()[0]).unwrap() == files[0].1);
        let problems: Vec<_> = tree.problems().iter().map(|p| p.path.as_str()).collect();
        assert_eq!(problems, [name, &format!("{name}/a/images/case 2.png")]);
    }
    let (_folder, tree) = open(&[("x.tar.xz", &encode(Codec::Xz, &whole)[..1000])]);
    assert!(!tree.problems().is_empty());
}

#[test]
fn a_cut_zip_is_not_taken_for_the_zip_that_it_ends_with() {
    let inner = zip(&vec![("inner.txt".into(), b"inner".to_vec())]);
    let both = zip_by(&vec![("a.txt".into(), vec![1]), ("inner.zip".into(), inner)], CompressionMethod::Stored);
    let directory = both.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    let (_folder, tree) = open(&[("x.zip", &both[..directory - 60])]);
    assert!(tree.members().is_empty(), "{:?}", tree.members());
    assert!(only_problem(&tree).1.contains("download it again"), "{:?}", tree.problems());
}

#[test]
fn a_zip_behind_a_program_is_found() {
    let mut bytes = b"MZ this program unpacks itself".to_vec();
    bytes.extend(zip(&files()));
    let (_folder, tree) = open(&[("x.zip", &bytes)]);
    assert_holds(&tree, "x.zip/", &files());
}

#[test]
fn altered_bytes_are_errors_when_read() {
    let files = files();
    let mut damaged_zip = zip_by(&files, CompressionMethod::Stored);
    let mut damaged_7z = seven_z(&files, false);
    damaged_zip[1000] ^= 1;
    damaged_7z[1000] ^= 1;
    for (name, bytes) in [("x.zip", damaged_zip), ("x.7z", damaged_7z)] {
        let (_folder, tree) = open(&[(name, &bytes)]);
        let path = format!("{name}/a/images/case, 1.png");
        let error = tree.read(tree.find(&path).unwrap()).unwrap_err();
        assert!(error.to_string().starts_with(&path), "{error}");
        assert!(tree.read(tree.find(&format!("{name}/readme.txt")).unwrap()).is_ok());
    }
}

#[test]
fn hostile_names_are_refused_and_the_others_go_on() {
    let names = ["../../etc/x", "/etc/passwd", "C:/x", "a/../../b", "./good//name.txt", "a\\b.txt"];
    let hostile: Files = names.map(|name| (name.to_owned(), b"x".to_vec())).to_vec();
    // The `tar` crate does not write such names either: they are put in afterwards.
    let mut tarred = Vec::new();
    for (name, bytes) in &hostile {
        let mut header = ::tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(1);
        header.set_cksum();
        tarred.extend_from_slice(header.as_bytes());
        tarred.extend_from_slice(bytes);
        tarred.resize(tarred.len().next_multiple_of(512), 0);
    }
    tarred.resize(tarred.len() + 1024, 0);
    let archives = [("x.zip", zip(&hostile), "x.zip/a/b.txt"), ("x.tar", tarred, "x.tar/a\\b.txt")];
    for (name, bytes, windows) in archives {
        let (_folder, tree) = open(&[(name, &bytes)]);
        assert_eq!(tree.problems().len(), 4, "{:?}", tree.problems());
        assert!(tree.problems().iter().all(|p| p.reason.contains("refused") && p.path.starts_with(name)));
        let paths: Vec<_> = tree.members().iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, [windows, &format!("{name}/good/name.txt")]);
    }
}

#[test]
fn zip_names_are_utf8_or_cp437() {
    // "Körper" in CP437, and in UTF-8 without the flag that says so.
    let mut bytes = zip(&vec![("K_rper.txt".into(), vec![1]), ("K__rper.txt".into(), vec![2])]);
    assert_eq!(replace(&mut bytes, b"K_rper", b"K\x94rper"), 2);
    assert_eq!(replace(&mut bytes, b"K__rper", "Körper".as_bytes()), 2);
    let (_folder, tree) = open(&[("x.zip", &bytes)]);
    let paths: Vec<_> = tree.members().iter().map(Member::name).collect();
    // Both are the same name, so that the later one holds.
    assert_eq!(paths, ["Körper.txt"]);
    assert_eq!(tree.read(&tree.members()[0]).unwrap(), [2]);
    assert_eq!(tree.ignored().len(), 1);
}

#[test]
fn entries_with_a_password_are_told_one_by_one() {
    let mut bytes = zip(&vec![("secret.txt".into(), vec![1]), ("open.txt".into(), vec![2])]);
    for (signature, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let first = bytes.windows(4).position(|w| w == signature).unwrap();
        bytes[first + flags] |= 1;
    }
    let (_folder, tree) = open(&[("x.zip", &bytes)]);
    assert_eq!(only_problem(&tree).0, "x.zip/secret.txt");
    assert!(only_problem(&tree).1.contains("password"));
    assert_eq!(tree.members().len(), 1);
}

#[test]
fn unknown_zip_methods_are_told() {
    let mut bytes = zip(&vec![("a.txt".into(), vec![1; 100])]);
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[directory + 10] = 98;
    let (_folder, tree) = open(&[("x.zip", &bytes)]);
    assert!(only_problem(&tree).1.contains("7-Zip"), "{:?}", tree.problems());
}

/// 12,680 bytes, `liver i kidney i` and 300 blanks for i = 0, 1, ... 39 modulo 7, written by 7-Zip with Deflate64.
const DEFLATE64: &str = "504b03041500000009003a87775d020ab8e0c3000000883100000a0000006f7267616e732e747874e5d6b90d85000c04d15628e11f4045102010010112dd63c96ec09a705eb4f146736cf77a0d9f61df96737d62e835e479df3a2f865e439ef7abf362e835e479ff3a2f865e439e37d67931f41af2bca9ce8ba1d790e7cd755e0cbd067daa10fa5421f4a942e85385d0a70aa14f15429f2a843e55087daa10fa5421f4a942e85385d0a70aa14f15429f2a843e55087daa10fa5421f4a942e85385d0a70aa14f15429f2a843e55087daa10fa5421f4a942e85385d0a70aa14f15429f2a843e55087daa102f504b01023f031500000009003a87775d020ab8e0c3000000883100000a0024000000000000002080a481000000006f7267616e732e7478740a0020000000000001001800ad3626c66b7bdd0100000000000000000000000000000000504b050600000000010001005c000000eb0000000000";

#[test]
fn deflate64_is_decoded() {
    let hexadecimal = |i: usize| u8::from_str_radix(&DEFLATE64[i..i + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..DEFLATE64.len()).step_by(2).map(hexadecimal).collect();
    let (_folder, tree) = open(&[("x.zip", &bytes)]);
    let blanks = " ".repeat(300);
    let expected: String = (0..40).map(|i| format!("liver {0} kidney {0} {blanks}", i % 7)).collect();
    assert_holds(&tree, "x.zip/", &vec![("organs.txt".into(), expected.into_bytes())]);
}

/// A zip with the local headers, data and directory of stored entries, each at a given place of a sparse file.
fn sparse_zip(path: &Path, entries: &[(&str, &[u8], u64)], directory: u64, declared: u16) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(path).unwrap();
    let mut headers = Vec::new();
    for (name, bytes, place) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let sizes = [crc.sum(), bytes.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0], sizes.as_slice(), &lengths].concat();
        let local = [b"PK\x03\x04", common.as_slice(), name.as_bytes(), bytes].concat();
        file.write_all_at(&local, *place).unwrap();
        let wrapped = (*place as u32).to_le_bytes();
        headers.extend([b"PK\x01\x02\x14\0", common.as_slice(), &[0; 10], &wrapped, name.as_bytes()].concat());
    }
    let end = [(headers.len() as u32).to_le_bytes(), (directory as u32).to_le_bytes()].concat();
    let counts = [declared.to_le_bytes(), declared.to_le_bytes()].concat();
    headers.extend([b"PK\x05\x06\0\0\0\0", counts.as_slice(), &end, &[0, 0]].concat());
    file.write_all_at(&headers, directory).unwrap();
}

#[test]
#[cfg(unix)]
fn a_zip_beyond_4_gib_without_zip64_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let entries: [(&str, &[u8], u64); 3] =
        [("a.txt", b"below", 0), ("b.txt", b"above", (4 << 30) + 100), ("c.txt", b"on top", (4 << 30) + 200)];
    sparse_zip(&folder.path().join("x.zip"), &entries, (4 << 30) + 300, 3);
    let tree = Tree::open(folder.path()).unwrap();
    let files = entries.map(|(name, bytes, _)| (name.to_owned(), bytes.to_vec())).to_vec();
    assert_holds(&tree, "x.zip/", &files);
}

#[test]
#[cfg(unix)]
fn a_zip_that_declares_fewer_entries_than_it_has_is_told() {
    let folder = tempfile::tempdir().unwrap();
    sparse_zip(&folder.path().join("x.zip"), &[("a.txt", b"a", 0), ("b.txt", b"b", 100)], 200, 1);
    let tree = Tree::open(folder.path()).unwrap();
    assert!(only_problem(&tree).1.contains("goes on"), "{:?}", tree.problems());
}

#[test]
#[cfg(unix)]
fn overlapping_entries_are_read() {
    let folder = tempfile::tempdir().unwrap();
    // The second entry begins inside the first one's data, where a local header stands.
    let mut inner = b"PK\x03\x04".to_vec();
    inner.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    inner.extend([0; 12]);
    inner.extend([5, 0, 0, 0]);
    inner.extend(b"b.txtshared");
    sparse_zip(&folder.path().join("x.zip"), &[("b.txt", b"shared", 35), ("a.txt", &inner, 0)], 200, 2);
    let tree = Tree::open(folder.path()).unwrap();
    assert_eq!(tree.problems(), []);
    assert_eq!(tree.read(tree.find("x.zip/b.txt").unwrap()).unwrap(), b"shared");
    assert!(tree.read(tree.find("x.zip/a.txt").unwrap()).unwrap().ends_with(b"b.txtshared"));
}

#[test]
fn tar_links_and_repeated_names() {
    let mut builder = ::tar::Builder::new(Vec::new());
    let mut append = |kind: ::tar::EntryType, name: &str, target: &str, bytes: &[u8]| {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        if !target.is_empty() {
            header.set_link_name(target).unwrap();
        }
        builder.append_data(&mut header, name, bytes).unwrap();
    };
    append(::tar::EntryType::Regular, "a.txt", "", b"first");
    append(::tar::EntryType::Regular, "a.txt", "", b"second");
    append(::tar::EntryType::Link, "hard.txt", "./a.txt", b"");
    append(::tar::EntryType::Symlink, "soft.txt", "/etc/passwd", b"");
    append(::tar::EntryType::Link, "dangling.txt", "nowhere", b"");
    append(::tar::EntryType::Regular, &format!("{}/long.txt", "folder/".repeat(40)), "", b"long");
    let bytes = builder.into_inner().unwrap();
    for (name, bytes) in [("x.tar", bytes.clone()), ("x.tgz", encode(Codec::Gzip, &bytes))] {
        let (_folder, tree) = open(&[(name, &bytes)]);
        let read = |path: &str| tree.read(tree.find(&format!("{name}/{path}")).unwrap()).unwrap();
        assert_eq!((read("a.txt"), read("hard.txt")), (b"second".to_vec(), b"second".to_vec()));
        assert_eq!(tree.members().len(), 3);
        assert!(tree.members()[1].path.ends_with("folder/long.txt"));
        let problems: Vec<_> = tree.problems().iter().map(|p| p.path.rsplit('/').next().unwrap()).collect();
        assert_eq!(problems, ["dangling.txt", "soft.txt"]);
        assert_eq!(tree.ignored().len(), 1);
    }
}

#[test]
fn split_archives_are_joined() {
    let files = files();
    let cases: [(&str, Vec<u8>, [&str; 3]); 3] = [
        ("ge-1-5t.tar.gz", tar_gz(&files), ["aa", "ab", "ac"]),
        ("x.zip", zip(&files), ["001", "002", "003"]),
        ("x.7z", seven_z(&files, true), ["000", "001", "002"]),
    ];
    for (name, bytes, suffixes) in cases {
        let third = bytes.len() / 3 + 1;
        let folder = tempfile::tempdir().unwrap();
        let part = |i: usize| folder.path().join(format!("{name}.{}", suffixes[i]));
        for (i, bytes) in bytes.chunks(third).enumerate() {
            std::fs::write(part(i), bytes).unwrap();
        }
        assert_holds(&Tree::open(folder.path()).unwrap(), &format!("{name}/"), &files);
        assert_holds(&Tree::open(&part(1)).unwrap(), &format!("{name}/"), &files);
        std::fs::remove_file(part(1)).unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        assert_eq!(only_problem(&tree).0, name);
        assert!(only_problem(&tree).1.contains("missing between"), "{:?}", tree.problems());
    }
    let (_folder, tree) = open(&[("x.tar.gz.ab", b"later part"), ("x.z01", b""), ("x.zip", b"PK"), ("y.z01", b"data")]);
    let told: Vec<_> = tree.problems().iter().map(|p| (p.path.as_str(), &p.reason[..20])).collect();
    assert_eq!(told.iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["x.tar.gz", "x.z01", "x.zip"]);
    assert!(tree.problems()[0].reason.contains("the first part of a split archive is missing"));
    assert!(tree.problems()[2].reason.contains("zip -s 0"));
    assert_eq!(tree.members().len(), 1);
}

#[test]
fn leftovers_are_ignored_in_folders_and_archives() {
    let names = ["__MACOSX/a/._b.png", "a/b.png", "a/._b.png", "a/.DS_Store", "a/Thumbs.db", ".git/HEAD", ".git/x/y"];
    let files: Files = names.map(|name| (name.to_owned(), b"x".to_vec())).to_vec();
    let plain: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let expected = [".git", "__MACOSX", "a/.DS_Store", "a/._b.png", "a/Thumbs.db"];
    let (_folder, tree) = open(&plain);
    assert_eq!(tree.ignored().iter().map(|i| i.path.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(tree.members().len(), 1);
    let (_folder, tree) = open(&[("x.tar.gz", &tar_gz(&files))]);
    let ignored: Vec<_> = tree.ignored().iter().map(|i| i.path.strip_prefix("x.tar.gz/").unwrap()).collect();
    assert_eq!(ignored, expected);
    assert_eq!(tree.members().len(), 1);
}

#[test]
#[cfg(unix)]
fn links_are_followed_and_loops_are_told() {
    let folder = folder(&[("a/b.txt", b"b")]);
    std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("c")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("a/up")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).unwrap();
    let tree = Tree::open(folder.path()).unwrap();
    let paths: Vec<_> = tree.members().iter().map(|m| m.path.as_str()).collect();
    assert_eq!(paths, ["a/b.txt", "c/b.txt"]);
    assert!(
        tree.problems().iter().any(|p| p.path == "a/up" && p.reason.contains("leads back")),
        "{:?}",
        tree.problems()
    );
    assert!(tree.problems().iter().any(|p| p.path == "dangling"));
}

#[test]
fn roots_that_are_not_there_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = Tree::open(&folder.path().join("none")).err().unwrap();
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn sizes_are_bounded_and_never_believed() {
    let files = files();
    let bounded = Options { max_member_bytes: 80_000, ..Options::default() };
    let folder = folder(&[("x.zip", &zip(&files)), ("big.raw", &[0; 90_000])]);
    let tree = Tree::open_with(folder.path(), bounded).unwrap();
    assert_eq!(only_problem(&tree).0, "x.zip/a/images/case 2.png");
    assert!(only_problem(&tree).1.contains("the limit is 80000"));
    let error = tree.read(tree.find("big.raw").unwrap()).unwrap_err();
    assert!(matches!(error.reason, Reason::TooLarge { size: 90_000, limit: 80_000 }));

    // The directory says 4 GB, or one byte, where there are 100,000.
    for lie in [4_000_000_000u32, 1] {
        let mut bytes = zip(&vec![("a.raw".into(), vec![0; 100_000])]);
        let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        bytes[directory + 24..directory + 28].copy_from_slice(&lie.to_le_bytes());
        let (_folder, tree) = open(&[("x.zip", &bytes)]);
        assert!(tree.read(&tree.members()[0]).is_err(), "{lie}");
    }
}

#[test]
fn a_member_of_another_tree_is_an_error() {
    let (_a, one) = open(&[("a.txt", b"a")]);
    let (_b, other) = open(&[("x.zip", &zip(&files()))]);
    assert!(matches!(one.read(&other.members()[0]).unwrap_err().reason, Reason::Foreign));
}

#[test]
fn many_threads_read_every_kind_at_random() {
    let files: Files = (0..60u32)
        .map(|i| {
            (format!("{}/{i:03}.raw", ["images", "labels"][i as usize % 2]), vec![i as u8; 1000 + 37 * i as usize])
        })
        .collect();
    let folder = folder(&[
        ("x.zip", &zip(&files)),
        ("x.tar", &tar(&files)),
        ("x.tar.zst", &encode(Codec::Zstd, &tar(&files))),
        ("x.tar.gz", &tar_gz(&files)),
        ("solid.7z", &seven_z(&files, true)),
        ("loose.7z", &seven_z(&files, false)),
        ("split.tar.gz.aa", &tar_gz(&files)[..500]),
        ("split.tar.gz.ab", &tar_gz(&files)[500..]),
    ]);
    let tree = Tree::open_with(folder.path(), Options { kept_bytes: 20_000, ..Options::default() }).unwrap();
    assert_eq!((tree.members().len(), tree.problems().len()), (7 * 60, 0));
    std::thread::scope(|scope| {
        for thread in 0..6usize {
            let tree = &tree;
            scope.spawn(move || {
                // Each thread visits all members in an order of its own.
                let count = tree.members().len();
                let step = [1, 11, 13, 17, 19, 419][thread];
                for k in 0..count {
                    let member = &tree.members()[(thread * 61 + k * step) % count];
                    let i: usize = member.name()[..3].parse().unwrap();
                    assert!(tree.read(member).unwrap() == vec![i as u8; 1000 + 37 * i], "{}", member.path);
                }
            });
        }
    });
}

#[test]
fn digests_are_cached_and_checked() {
    let files = files();
    let folder = folder(&[("x.tar.gz", &tar_gz(&files)), ("y.txt", b"abc")]);
    let cache_file = folder.path().join("cache/digests.jsonl");
    let tree = Tree::open(folder.path()).unwrap();
    let members: Vec<&Member> = tree.members().iter().rev().collect();
    let mut cache = DigestCache::load(&cache_file);
    let digests: Vec<String> = tree.digests(&members, Some(&mut cache)).into_iter().map(Result::unwrap).collect();
    assert_eq!(digests[0], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(tree.read_with_digest(members[1]).unwrap().1, digests[1]);
    assert_eq!(tree.digest(members[2]).unwrap(), digests[2]);
    cache.save().unwrap();

    let mut loaded = DigestCache::load(&cache_file);
    assert_eq!(loaded.len(), members.len());
    // What is cached is not read: the file is gone.
    std::fs::remove_file(folder.path().join("x.tar.gz")).unwrap();
    let again: Vec<String> = tree.digests(&members, Some(&mut loaded)).into_iter().map(Result::unwrap).collect();
    assert_eq!(again, digests);
    assert!(tree.digests(&members, None)[1].is_err());

    // Another time or size of the file on disk makes its digests unknown.
    std::fs::write(folder.path().join("y.txt"), "abcd").unwrap();
    let changed = Tree::open(folder.path()).unwrap();
    let member = changed.find("y.txt").unwrap();
    assert_eq!(changed.digests(&[member], Some(&mut loaded))[0].as_ref().unwrap(), &changed.digest(member).unwrap());
    assert_ne!(changed.digest(member).unwrap(), digests[0]);

    // Damaged lines are dropped, the others stay.
    let text = std::fs::read_to_string(&cache_file).unwrap();
    std::fs::write(&cache_file, format!("{{broken\n{text}\u{0}\n")).unwrap();
    assert_eq!(DigestCache::load(&cache_file).len(), members.len());
    std::fs::write(&cache_file, [0xFF, 0xFE, 0, 1]).unwrap();
    assert!(DigestCache::load(&cache_file).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Archives with altered bytes or ends never panic: they open or are problems, members are read or are errors.
    #[test]
    fn altered_archives_never_panic(
        kind in 0usize..6,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let files: Files = (0..4).map(|i| (format!("a/{i}.txt"), vec![i; 40])).collect();
        let (name, mut bytes) = match kind {
            0 => ("x.zip", zip(&files)),
            1 => ("x.zip", zip_by(&files, CompressionMethod::Stored)),
            2 => ("x.tar", tar(&files)),
            3 => ("x.tgz", tar_gz(&files)),
            4 => ("x.7z", seven_z(&files, true)),
            _ => ("x.tar.xz", encode(Codec::Xz, &tar(&files))),
        };
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (_folder, tree) = open(&[(name, &bytes)]);
        for member in tree.members() {
            if let Ok(bytes) = tree.read(member) {
                prop_assert_eq!(bytes.len() as u64, member.size);
            }
        }
    }
}

/// The folder of sample files, if it is there.
fn samples() -> Option<std::path::PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples");
    let folder = std::env::var_os("MEDCOSMOS_SAMPLES").map_or_else(beside, Into::into).join("raw");
    folder.is_dir().then_some(folder)
}

#[test]
fn samples_have_the_same_digests_in_folders_and_archives() {
    let Some(samples) = samples() else {
        eprintln!("skipped: no sample files");
        return;
    };
    let digests = |tree: &Tree, prefix: &str| -> Vec<(String, String)> {
        assert_eq!(tree.problems(), []);
        let members: Vec<&Member> = tree.members().iter().collect();
        let paths = members.iter().map(|m| m.path.strip_prefix(prefix).unwrap().to_owned());
        paths.zip(tree.digests(&members, None).into_iter().map(Result::unwrap)).collect()
    };
    for source in ["idrid-2018", "drive", "kits19"] {
        let tree = Tree::open(&samples.join(source)).unwrap();
        let expected = digests(&tree, "");
        assert!(!expected.is_empty());
        let files: Files = tree.members().iter().map(|m| (m.path.clone(), tree.read(m).unwrap())).collect();
        let archives = [("x.zip", zip(&files)), ("x.tar.gz", tar_gz(&files)), ("x.7z", seven_z(&files, true))];
        for (name, bytes) in archives {
            let (_folder, tree) = open(&[(name, &bytes)]);
            assert_eq!(digests(&tree, &format!("{name}/")), expected, "{source} in {name}");
        }
    }
}
