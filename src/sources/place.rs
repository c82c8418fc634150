//! Which folders count when images and masks are joined.
//!
//! Captures connect masks and images; but sites, sets and releases each number their files from 001, so the folders
//! outside the patterns must agree as well. Some folder names only describe their content (`images`, `labelsTr.zip`) or
//! are parts of one archive (`Part2`, a download of Google Drive in several zips): these words do not count.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::raw::without_ending;
use crate::spec::Spec;

/// Words that say what a folder holds, and not whose it is.
const HOLDS: &[&str] = &[
    "image",
    "images",
    "img",
    "imgs",
    "imag",
    "scan",
    "scans",
    "picture",
    "pictures",
    "photo",
    "photos",
    "input",
    "inputs",
    "raw",
    "rawdata",
    "data",
    "original",
    "originals",
    "orig",
    "volume",
    "volumes",
    "mask",
    "masks",
    "label",
    "labels",
    "lbl",
    "annotation",
    "annotations",
    "annot",
    "annotated",
    "segmentation",
    "segmentations",
    "seg",
    "segs",
    "ground",
    "truth",
    "truths",
    "groundtruth",
    "gt",
    "manual",
    "contour",
    "contours",
    "derivatives",
    "roi",
    "rois",
    "dicom",
    "dcm",
    "nifti",
    "nii",
    "png",
    "jpg",
    "jpeg",
    "tif",
    "tiff",
    "bmp",
    "mha",
    "mhd",
    "nrrd",
    "ppm",
    "gif",
];

/// Of these words also those count that are written together with another one: `testmasks`.
const LONG: &[&str] =
    &["segmentations", "segmentation", "annotations", "groundtruth", "images", "image", "labels", "masks", "mask"];

/// A folder as it counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Folder {
    /// What is left of its name without words that do not count; never empty.
    stem: String,
    /// Its name says what it holds.
    holds: bool,
}

/// A folder's name in full: without the ends of archives, and of what Google Drive puts behind it.
fn full_name(component: &str) -> &str {
    let mut name = component;
    while let Some(stem) = without_ending(name) {
        name = stem;
    }
    without_copy_mark(without_drive_part(name))
}

impl Folder {
    /// `None` where nothing of the name counts.
    fn new(component: &str) -> Option<Self> {
        let name = full_name(component);
        let mut words: Vec<String> = Vec::new();
        let mut holds = false;
        if !name.is_empty() && !name.chars().any(char::is_alphanumeric) {
            return Some(Folder { stem: name.to_string(), holds });
        }
        for word in words_of(name) {
            if HOLDS.contains(&word.as_str()) {
                holds = true;
            } else if let Some(rest) = LONG.iter().find_map(|w| word.strip_suffix(w).or(word.strip_prefix(w))) {
                holds = true;
                words.push(rest.to_string());
            } else if word.bytes().all(|b| b.is_ascii_digit()) && words.last().is_some_and(|w| w == "part") {
                words.pop();
            } else {
                words.push(word);
            }
        }
        // A sign at the end tells groups apart: HIV+ and HIV-.
        if let (Some(sign @ ('+' | '-')), Some(last)) = (name.chars().last(), words.last_mut()) {
            last.push(sign);
        }
        (!words.is_empty()).then(|| Folder { stem: words.join("-"), holds })
    }
}

fn ends_with(name: &str, end: &str) -> bool {
    name.len() >= end.len()
        && name.is_char_boundary(name.len() - end.len())
        && name[name.len() - end.len()..].eq_ignore_ascii_case(end)
}

/// `scans-20240131T101500Z-1-002` without its end: Google Drive hands out a large folder as several zips of such names,
/// each with some of the files.
fn without_drive_part(name: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut base = name;
    while let Some((before, _)) = base.rsplit_once('-').filter(|(_, number)| digits(number) && number.len() <= 4) {
        base = before;
    }
    let stamp = base.rsplit_once('-').and_then(|(before, stamp)| {
        let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
        (digits(date) && date.len() == 8 && digits(time) && time.len() == 6).then_some(before)
    });
    // OneDrive: `OneDrive_2024-01-31`, `OneDrive_1_31-1-2024`.
    let one_drive = || {
        let (before, stamp) = name.split_once("OneDrive_")?;
        let plain = stamp.bytes().all(|b| b.is_ascii_digit() || b == b'_' || b == b'-');
        plain.then_some(if before.is_empty() { "OneDrive" } else { before.trim_end_matches(['_', '-', ' ']) })
    };
    stamp.or_else(one_drive).unwrap_or(name)
}

/// A name without what a system puts behind the second one of that name: `masks (1)`, `masks - Copy`, `masks copy 2`.
fn without_copy_mark(name: &str) -> &str {
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = name.strip_suffix(')').and_then(|t| t.rsplit_once(" (")).filter(|(_, n)| digits(n));
    let base = match numbered {
        Some((before, _)) => before,
        None => {
            name.rsplit_once(' ').filter(|(before, n)| digits(n) && ends_with(before, " copy")).map_or(name, |(b, _)| b)
        }
    };
    let mark = [" - copy", " copy"].into_iter().find(|mark| ends_with(base, mark) && base.len() > mark.len());
    let base = mark.map_or(base, |mark| &base[..base.len() - mark.len()]);
    if base.trim().is_empty() { name } else { base }
}

/// Words of a name in lower case: runs of letters or of digits; a capital after a small letter begins another one.
fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last: Option<char> = None;
    for c in name.chars() {
        if c.is_alphanumeric() {
            let begins = last.is_none_or(|l| {
                !l.is_alphanumeric() || l.is_numeric() != c.is_numeric() || (l.is_lowercase() && c.is_uppercase())
            });
            let lower = c.to_lowercase();
            match words.last_mut().filter(|_| !begins) {
                Some(word) => word.extend(lower),
                None => words.push(lower.collect()),
            }
        }
        last = Some(c);
    }
    words
}

/// Folders of a file as they count, and by their full names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place(Vec<Folder>, Vec<String>);

impl Place {
    pub(super) fn new(folders: &str) -> Self {
        let mut found: Vec<Folder> = folders.split('/').filter_map(Folder::new).collect();
        // An archive is often unpacked into a folder of its own name.
        found.dedup_by(|a, b| a.stem == b.stem);
        let names = folders.split('/').filter(|name| !name.is_empty());
        let mut full: Vec<String> = names.map(|name| full_name(name).to_string()).collect();
        full.dedup();
        Place(found, full)
    }

    /// True where both have folders of their own below those that they share, as these count.
    pub(super) fn beside(&self, other: &Place) -> bool {
        let common = self.common(other);
        self.0.len() > common && other.0.len() > common
    }

    /// The folders by their full names, from above down to the first in which it differs from another; `None` where one
    /// lies above the other.
    fn root(&self, other: &Place) -> Option<&[String]> {
        let common = self.1.iter().zip(&other.1).take_while(|(a, b)| a == b).count();
        (self.1.len() > common && other.1.len() > common).then(|| &self.1[..=common])
    }

    /// How many folders two places have in common from above.
    pub(super) fn common(&self, other: &Place) -> usize {
        self.0.iter().zip(&other.0).take_while(|(a, b)| a.stem == b.stem).count()
    }

    /// The folders from above down to each of them.
    fn levels(&self) -> impl Iterator<Item = Vec<&str>> {
        (0..=self.0.len()).map(|depth| self.0[..depth].iter().map(|f| f.stem.as_str()).collect())
    }

    fn level(&self, depth: usize) -> Vec<&str> {
        self.0[..depth.min(self.0.len())].iter().map(|f| f.stem.as_str()).collect()
    }
}

/// Places, each made once.
#[derive(Default)]
pub(super) struct Places(HashMap<String, Rc<Place>>);

impl Places {
    pub(super) fn of(&mut self, folders: &str) -> Rc<Place> {
        if let Some(place) = self.0.get(folders) {
            return place.clone();
        }
        let place = Rc::new(Place::new(folders));
        self.0.insert(folders.to_string(), place.clone());
        place
    }
}

/// How a mask lies to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    /// In another folder tree: they do not belong together.
    Apart,
    /// Below one another, or in folders that the spec knows as parts of one download.
    Near,
    /// In the same folders.
    Own,
}

/// The folders of one layout's images and masks.
pub(super) struct Folders<'p> {
    known: &'p HashSet<String>,
    anywhere: bool,
    images: HashSet<Vec<&'p str>>,
    masks: HashSet<Vec<&'p str>>,
    /// Folders by their full names that hold images, and those that hold masks, at any depth.
    full: [HashSet<&'p [String]>; 2],
}

impl<'p> Folders<'p> {
    pub(super) fn new(
        (known, anywhere): (&'p HashSet<String>, bool),
        images: impl Iterator<Item = &'p Place>,
        masks: impl Iterator<Item = &'p Place>,
    ) -> Self {
        let (images, masks): (HashSet<&Place>, HashSet<&Place>) = (images.collect(), masks.collect());
        let levels = |places: &HashSet<&'p Place>| places.iter().flat_map(|place| place.levels()).collect();
        let full = |places: &HashSet<&'p Place>| {
            places.iter().flat_map(|place| (1..=place.1.len()).map(|depth| &place.1[..depth])).collect()
        };
        Folders { known, anywhere, images: levels(&images), masks: levels(&masks), full: [full(&images), full(&masks)] }
    }

    /// How a mask at one place lies to an image at another.
    ///
    /// Folders that differ are no hindrance where the spec says so ([`Layout::anywhere`](crate::spec::Layout)), names
    /// them or, if only one side has any, where they say what they hold. Where both sides have folders of their own,
    /// neither may hold images and masks of its own.
    pub(super) fn relation(&self, image: &Place, mask: &Place) -> Relation {
        let whole = |root: Option<&[String]>| root.is_some_and(|root| self.full.iter().all(|side| side.contains(root)));
        if !self.anywhere && whole(image.root(mask)) && whole(mask.root(image)) {
            return Relation::Apart;
        }
        let common = image.common(mask);
        let (of_image, of_mask) = (&image.0[common..], &mask.0[common..]);
        if of_image.is_empty() && of_mask.is_empty() {
            return Relation::Own;
        }
        let beside = !of_image.is_empty() && !of_mask.is_empty();
        let release = |folder: &Folder| self.anywhere || self.known.contains(&folder.stem) || (folder.holds && !beside);
        if !of_image.iter().chain(of_mask).all(release) {
            return Relation::Apart;
        }
        let of_image = self.masks.contains(&image.level(common + 1));
        let of_mask = self.images.contains(&mask.level(common + 1));
        // Of names that are unique, only two whole trees are not one download.
        let whole = beside && if self.anywhere { of_image && of_mask } else { of_image || of_mask };
        if whole { Relation::Apart } else { Relation::Near }
    }
}

/// Names of folders and archives that a spec's page shows, as they count.
pub(super) fn known_folders(spec: &Spec) -> HashSet<String> {
    let texts = spec.archives.iter().map(String::as_str).chain([spec.tree.as_str()]);
    let names = texts.flat_map(|text| text.split(|c: char| c.is_whitespace() || "/,;()".contains(c)));
    names.filter_map(Folder::new).map(|folder| folder.stem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stems(folders: &str) -> Vec<String> {
        Place::new(folders).0.into_iter().map(|f| f.stem).collect()
    }

    #[test]
    fn words_for_what_a_folder_holds_do_not_count() {
        for (folders, expected) in [
            ("images/", &[][..]),
            ("labelsTr.zip/labelsTr/", &["tr"]),
            ("Training_images/", &["training"]),
            ("testmasks/", &["test"]),
            ("SLIVER07/scan/", &["sliver-07"]),
            ("AbdomenCT-1K-ImagePart3/", &["abdomen-ct-1-k"]),
            ("ACDC.zip/ACDC/", &["acdc"]),
            ("Set-20240131T101500Z-1-002.zip/Set/", &["set"]),
            ("site-1/GroundTruth/", &["site-1"]),
            ("A/", &["a"]),
        ] {
            assert_eq!(stems(folders), expected, "{folders}");
        }
    }

    #[test]
    fn masks_lie_in_the_tree_of_their_image() {
        let known = HashSet::from(["of-it".to_string(), "drawn-by-us".to_string()]);
        let relation = |images: &[&str], masks: &[&str]| {
            let places = |all: &[&str]| all.iter().map(|f| Place::new(f)).collect::<Vec<_>>();
            let (images, masks) = (places(images), places(masks));
            Folders::new((&known, false), images.iter(), masks.iter()).relation(&images[0], &masks[0])
        };
        for (image, mask, expected) in [
            ("A/", "A/", Relation::Own),
            ("A/", "B/", Relation::Apart),
            ("images.zip/", "masks.zip/", Relation::Own),
            ("Training_images/", "Training_labels/", Relation::Own),
            ("Training_images/", "Test_labels/", Relation::Apart),
            ("A_images/", "B_masks/", Relation::Apart),
            ("", "liver_masks/", Relation::Near),
            ("", "B/", Relation::Apart),
            ("x/scans-of-it/", "x/drawn by us.zip/", Relation::Near),
        ] {
            assert_eq!(relation(&[image], &[mask]), expected, "{image} {mask}");
        }
        // Names that differ in what does not count are two folders anyway, where each is whole.
        for (a, b) in [("data/", "raw/"), ("HIV+/", "HIV-/"), ("siteA/", "site A/"), ("+/", "-/"), ("part1/", "part2/")]
        {
            assert_eq!(relation(&[a, b], &[b, a]), Relation::Apart, "{a} {b}");
        }
        for (a, b) in [("HIV+/", "HIV-/"), ("+/", "-/"), ("😀/", "😁/")] {
            assert_eq!(relation(&[a], &[b]), Relation::Apart, "{a} {b}");
        }
        let drive = ["d-20240131T101500Z-1-001/", "d-20240131T101500Z-1-002/"];
        assert_eq!(relation(&drive, &[drive[1], drive[0]]), Relation::Own, "parts of one download");
        for (a, b) in [("images/", "masks (1)/"), ("A/", "A copy/"), ("A/", "A - Copy (2)/")] {
            assert_eq!(relation(&[a], &[b]), Relation::Own, "{a} {b}");
        }
        // Two trees that are whole each are never mixed, whatever the spec calls them.
        let whole = ["scans-of-it/", "drawn-by-us/"];
        assert_eq!(relation(&whole, &["drawn-by-us/", "scans-of-it/"]), Relation::Apart);
    }
}
