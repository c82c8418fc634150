//! What zip files in the wild do.

#[cfg(unix)]
use std::path::Path;

use super::*;

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) -> usize {
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(i, _)| i).collect();
    for &place in &places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    places.len()
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
#[cfg(unix)]
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
    assert!(only_problem(&tree).1.contains("more entries than it declares"), "{:?}", tree.problems());
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
