//! Whole trees: archives of every kind are built, damaged and read back.

use std::io::{Cursor, Write};

use ::zip::CompressionMethod;
use ::zip::write::{SimpleFileOptions, ZipWriter};

use super::codec::{CODECS, GZIP, XZ, ZSTD, tests::encode};
use super::*;

mod damaged;
mod zips;

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
    encode(&GZIP, &tar(files))
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
    for codec in CODECS {
        let extension = codec.extensions[0];
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
    let image = encode(&GZIP, b"P5 1 1 255 .");
    let blank = encode(&GZIP, &[0; 5000]);
    let files = vec![
        ("im0001.ppm.gz".to_owned(), image.clone()),
        ("scan.gz".to_owned(), image.clone()),
        ("blank.gz".to_owned(), blank),
        ("table.npz".to_owned(), zip(&files())),
    ];
    let plain: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let (_folder, tree) = open(&plain);
    assert_holds(&tree, "", &files);
    let (_folder, tree) = open(&[("x.zip", &zip(&files)), ("y.tar.gz", &tar_gz(&files))]);
    assert_eq!((tree.members().len(), tree.problems().len()), (8, 0));
    assert_eq!(tree.read(tree.find("y.tar.gz/scan.gz").unwrap()).unwrap(), image);
    // But a tar is one under any name.
    let (_folder, tree) = open(&[("x.zip", &zip(&vec![("labels.gz".into(), tar_gz(&files))]))]);
    assert_holds(&tree, "x.zip/labels.gz/", &files);
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
    for (name, bytes) in [("x.tar", bytes.clone()), ("x.tgz", encode(&GZIP, &bytes))] {
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
        tree.problems().iter().any(|p| p.path == "a/up" && p.reason.contains("a link back")),
        "{:?}",
        tree.problems()
    );
    assert!(tree.problems().iter().any(|p| p.path == "dangling"));
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
        ("x.tar.zst", &encode(&ZSTD, &tar(&files))),
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
    let tree = Tree::open_with(folder.path(), Options { digested_bytes: 0, ..Options::default() }).unwrap();
    let members: Vec<&Member> = tree.members().iter().rev().collect();
    let mut cache = DigestCache::load(&cache_file);
    let digests: Vec<String> = tree.digests(&members, Some(&mut cache)).into_iter().map(Result::unwrap).collect();
    assert_eq!(digests[0], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(crate::digest::sha256(&tree.read(members[1]).unwrap()), digests[1]);
    assert_eq!(tree.digest(members[2]).unwrap(), digests[2]);
    cache.save().unwrap();

    let mut loaded = DigestCache::load(&cache_file);
    assert_eq!(loaded.len(), members.len());
    // What is cached is not read: the file is gone.
    std::fs::remove_file(folder.path().join("x.tar.gz")).unwrap();
    let again: Vec<String> = tree.digests(&members, Some(&mut loaded)).into_iter().map(Result::unwrap).collect();
    assert_eq!(again, digests);
    // Another digest than that of the bytes that were read is none of this tree.
    let wrong = std::fs::read_to_string(&cache_file).unwrap().replace(&digests[0], &"0".repeat(64));
    std::fs::write(&cache_file, wrong).unwrap();
    assert_eq!(
        tree.digests(&members[..1], Some(&mut DigestCache::load(&cache_file)))[0].as_ref().unwrap(),
        &digests[0]
    );
    cache.save().unwrap();

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

#[test]
fn what_was_read_for_its_digest_is_not_read_again() {
    let folder = folder(&[("a.txt", b"abc"), ("b.txt", b"defg")]);
    // Room for one of the two.
    let tree = Tree::open_with(folder.path(), Options { digested_bytes: 5, ..Options::default() }).unwrap();
    let members: Vec<&Member> = tree.members().iter().collect();
    let digests: Vec<String> = tree.digests(&members[..1], None).into_iter().map(Result::unwrap).collect();
    assert!(tree.digests(&members[1..], None)[0].is_ok());
    std::fs::remove_file(folder.path().join("a.txt")).unwrap();
    std::fs::remove_file(folder.path().join("b.txt")).unwrap();
    assert!(tree.read(members[1]).is_err());
    assert_eq!(tree.peek(members[0]).unwrap(), b"abc");
    assert_eq!(tree.digests(&members[..1], None)[0].as_ref().unwrap(), &digests[0]);
    let mut memory = vec![7; 100];
    assert_eq!(tree.read_into(members[0], &mut memory).unwrap(), b"abc");
    assert!(tree.read(members[0]).is_err());
}

#[test]
fn a_member_has_the_same_bytes_throughout() {
    let archive = |bytes: &[u8]| tar(&[("c.txt".to_string(), bytes.to_vec())].into());
    let folder = folder(&[("a.txt", b"abc"), ("b.tar", &archive(b"defg"))]);
    let tree = || Tree::open_with(folder.path(), Options { digested_bytes: 0, ..Options::default() }).unwrap();
    let mut cache = DigestCache::load(&folder.path().join("cache"));
    for (name, file, changed) in [("a.txt", "a.txt", b"abd".to_vec()), ("b.tar/c.txt", "b.tar", archive(b"defh"))] {
        let file = folder.path().join(file);
        let time = std::fs::metadata(&file).unwrap().modified().unwrap();
        let first = tree();
        assert!(first.digests(&[first.find(name).unwrap()], Some(&mut cache))[0].is_ok());
        assert!(first.read(first.find(name).unwrap()).is_ok());
        std::fs::write(&file, changed).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        let second = tree();
        assert!(second.digests(&[second.find(name).unwrap()], Some(&mut cache))[0].is_ok(), "by the cache");
        // Of a run that digested the file itself, and of one that has its digest from the cache.
        for tree in [&first, &second] {
            let error = tree.read(tree.find(name).unwrap()).unwrap_err();
            assert!(matches!(error.reason, Reason::Changed { .. }), "{error}");
            assert!(error.to_string().starts_with(name), "{error}");
        }
        let known = cache.len();
        cache.forget_contradicted(&second);
        assert_eq!(cache.len(), known - 1);
    }
    let gone = tree();
    let member = gone.find("a.txt").unwrap();
    assert!(gone.digests(&[member], None)[0].is_ok());
    std::fs::remove_file(folder.path().join("a.txt")).unwrap();
    assert!(gone.read(member).is_err());
    assert_eq!(gone.contradicted(), [member], "it could be read before");
}
