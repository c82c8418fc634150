//! Files that are cut, altered, hostile, or no archives at all.

use proptest::prelude::*;

use super::*;
use crate::memory::Budget;

#[test]
fn what_is_no_archive_is_told() {
    let cases: [(&str, &[u8], &str); 8] = [
        (
            "x.zip",
            b"<!DOCTYPE html><html><body>Sign in</body></html>",
            "an HTML page, not a zip archive: the server did not",
        ),
        ("x.tar.gz", b"\n<html>", "an HTML page, not a tar.gz archive"),
        ("x.7z", b"", "an empty file, not a 7z archive"),
        ("x.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ("x.tar.gz", &encode(&GZIP, b"no tar"), "gzip data without a tar archive, not a tar.gz archive"),
        ("x.zip", &[0; 4096], "starts with zeros, not a zip archive: the download is incomplete"),
        ("x.tar", &[0; 40_960], "starts with zeros"),
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
fn an_empty_tar_is_no_problem() {
    let files = Vec::new();
    for (name, bytes) in [("x.tar", tar(&files)), ("x.tar.gz", tar_gz(&files)), ("x.zip", zip(&files))] {
        let (_folder, tree) = open(&[(name, &bytes)]);
        assert_eq!((tree.members(), tree.problems()), (&[][..], &[][..]), "{name}");
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
    for (name, bytes) in [("x.tar", whole[..120_000].to_vec()), ("x.tar.gz", encode(&GZIP, &whole[..120_000]))] {
        let (_folder, tree) = open(&[(name, &bytes)]);
        let paths: Vec<_> = tree.members().iter().map(Member::name).collect();
        assert_eq!(paths, ["case, 1.png"], "{name}");
        assert!(tree.read(&tree.members()[0]).unwrap() == files[0].1);
        let problems: Vec<_> = tree.problems().iter().map(|p| p.path.as_str()).collect();
        assert_eq!(problems, [name, &format!("{name}/a/images/case 2.png")]);
    }
    let (_folder, tree) = open(&[("x.tar.xz", &encode(&XZ, &whole)[..1000])]);
    assert!(!tree.problems().is_empty());
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
        assert!(tree.problems().iter().all(|p| p.reason.contains("ignored") && p.path.starts_with(name)));
        let paths: Vec<_> = tree.members().iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, [windows, &format!("{name}/good/name.txt")]);
    }
}

#[test]
fn roots_that_are_not_there_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = Tree::open(&folder.path().join("none")).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn sizes_are_bounded_and_never_believed() {
    let files = files();
    let bounded = Options { max_member_bytes: 80_000, ..Options::default() };
    let folder = folder(&[("x.zip", &zip(&files)), ("big.raw", &[0; 90_000])]);
    let tree = Tree::open_with(folder.path(), bounded).unwrap();
    assert_eq!(only_problem(&tree).0, "x.zip/a/images/case 2.png");
    assert!(only_problem(&tree).1.contains("the limit of 80000"));
    let error = tree.read(tree.find("big.raw").unwrap()).unwrap_err();
    assert!(matches!(error.reason, Reason::TooLarge { size: 90_000, limit: 80_000 }));

    // The directory says 4 GB, or one byte, where there are 100,000.
    for lie in [4_000_000_000u32, 1] {
        let mut bytes = zip(&vec![("a.raw".into(), vec![0; 100_000])]);
        let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        bytes[directory + 24..directory + 28].copy_from_slice(&lie.to_le_bytes());
        let (_folder, tree) = open(&[("x.zip", &bytes)]);
        match tree.members() {
            [member] => assert!(tree.read(member).is_err(), "{lie}"),
            _ => assert!(only_problem(&tree).1.contains("expands to 4.0 GB or more"), "{lie}"),
        }
    }
}

/// Of a zip whose entries expand to more than its size allows, those that still fit are members, and the others are
/// problems by name; of a compressed tar what lies before the limit. An archive inside counts for the file on disk.
#[test]
fn archives_expand_to_what_their_size_allows() {
    let zeros = |count: usize| (0..count).map(|i| (format!("{i:02}.raw"), vec![0; 1 << 20])).collect::<Files>();
    let budget = Budget::new(1 << 30).with_expansion(0);
    let kinds =
        [("x.zip", zip(&zeros(4))), ("x.tar.gz", encode(&GZIP, &tar(&zeros(4)))), ("x.7z", seven_z(&zeros(4), true))];
    for (name, bytes) in kinds {
        let folder = folder(&[(name, &bytes), ("outer.zip", &zip(&vec![(name.to_string(), bytes.clone())]))]);
        let limited = |free: u64| {
            let tree = Tree::open_with(folder.path(), Options::within(&budget.clone().with_free_expansion(free)));
            tree.unwrap()
        };
        assert!(limited(8 << 20).problems().is_empty(), "{name}: {:?}", limited(8 << 20).problems());
        let tree = limited(5 << 19);
        let whole: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
        let expected = ["00.raw", "01.raw"].map(|file| format!("{name}/{file}"));
        assert_eq!(whole.iter().filter(|path| path.starts_with(name)).copied().collect::<Vec<_>>(), expected);
        assert!(whole.len() <= 4, "{whole:?}");
        for file in ["02.raw", "03.raw"] {
            let path = format!("{name}/{file}");
            let problem = tree.problems().iter().find(|problem| problem.path == path);
            let said = problem.is_some_and(|problem| problem.reason.contains("--max-expansion"));
            assert!(said || name == "x.tar.gz", "{path}: {:?}", tree.problems());
        }
        let told = |path: &str| {
            tree.problems().iter().any(|p| p.path.starts_with(path) && p.reason.contains("--max-expansion (now 0)"))
        };
        assert!(told(name) && told("outer.zip"), "{:?}", tree.problems());
        tree.members().iter().for_each(|member| assert_eq!(tree.read(member).unwrap().len(), 1 << 20));
    }
}

/// A name or an attribute of a gigabyte is not read: neither at the beginning nor behind good entries.
#[test]
fn headers_of_tars_are_bounded() {
    let long = |kind: ::tar::EntryType, size: usize| {
        let mut header = ::tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_path("long").unwrap();
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.resize(512 + size.next_multiple_of(512), b'a');
        bytes
    };
    let good = tar(&vec![("a.txt".into(), b"a".to_vec())]);
    let good = &good[..1024];
    for kind in [::tar::EntryType::GNULongName, ::tar::EntryType::GNULongLink, ::tar::EntryType::XHeader] {
        let bytes = [good, &long(kind, 3 << 20), good, &[0; 1024]].concat();
        for (name, bytes) in [("x.tar", bytes.clone()), ("x.tar.gz", encode(&GZIP, &bytes))] {
            let (_folder, tree) = open(&[(name, &bytes)]);
            assert_eq!(tree.members().len(), 1, "{name}");
            assert!(only_problem(&tree).1.contains("headers of more than 1048576 bytes"), "{:?}", tree.problems());
        }
    }
}

/// A member that does not fit into memory is an error when it is read as a whole, and can be copied.
#[test]
fn members_beyond_the_memory_are_refused_before_they_are_read() {
    let files: Files = vec![("big.raw".into(), vec![0; 41 << 20]), ("small.raw".into(), vec![1; 10])];
    let folder = folder(&[
        ("x.zip", &zip(&files)),
        ("x.tar.gz", &encode(&GZIP, &tar(&files))),
        ("x.7z", &seven_z(&files, true)),
    ]);
    let tree = Tree::open_within(folder.path(), &Budget::new(1 << 26)).unwrap();
    for member in tree.members() {
        match member.name() {
            "big.raw" => {
                let error = tree.read(member).unwrap_err();
                assert!(matches!(error.reason, Reason::Memory(_)) && error.to_string().contains("--memory"), "{error}");
                tree.copy(member, &mut std::io::sink()).unwrap();
            }
            _ => assert_eq!(tree.read(member).unwrap(), [1; 10]),
        }
    }
}

#[test]
fn a_member_of_another_tree_is_an_error() {
    let (_a, one) = open(&[("a.txt", b"a")]);
    let (_b, other) = open(&[("x.zip", &zip(&files()))]);
    assert!(matches!(one.read(&other.members()[0]).unwrap_err().reason, Reason::Foreign));
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
            _ => ("x.tar.xz", encode(&XZ, &tar(&files))),
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
