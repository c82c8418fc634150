//! Cases that names leave ambiguous, resolved by content: several images of one case, several files of one mask.
//!
//! Files with the same bytes, compressed or not, are copies. Different images are distinguished by the spec (a
//! preferred form, another release) and by whether they have masks. The remaining cases are ambiguous: they are not
//! built, and all paths are reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};

use super::claim::{Case, CaseState, Source, release_in};
use super::headers::find_data;
use super::scan::{FileUse, Scan, uses};
use crate::digest::{Hasher, sha256};
use crate::formats::{companions, gzip};
use crate::raw::{DigestCache, Member, Tree};
use crate::spec::pattern::composed;
use crate::spec::{Registry, Spec};

/// Most bytes that a gzip file is unpacked to for a comparison: more than any volume has.
const MOST_UNPACKED: u64 = 16 << 30;

/// Settles what the names of a scan leave open. Only files in question are read: those of equal size that claim to be
/// the same, and those that may be another compression of the same.
pub fn settle(found: &mut Scan, registry: &Registry, tree: &Tree, cache: Option<&mut DigestCache>) {
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let data = find_data(found, tree);
    let in_question: Vec<usize> = files_in_question(found, tree).into_iter().collect();
    let members: Vec<&Member> = in_question.iter().map(|&file| &tree.members()[file]).collect();
    let digests = tree.digests(&members, cache).into_iter().map(Result::ok);
    let mut contents = Contents {
        tree,
        digests: in_question.into_iter().zip(digests).filter_map(|(file, digest)| Some((file, digest?))).collect(),
        unpacked: HashMap::new(),
        claims: HashMap::new(),
    };
    // A header whose data is not known is a copy of no other.
    let whole = |files: &[usize]| -> Option<Vec<usize>> {
        let apart = files.iter().filter_map(|file| data.get(file).cloned()).collect::<Option<Vec<_>>>()?;
        Some([files, &apart.concat()[..]].concat())
    };
    settle_by(found, registry, &paths, &mut |a, b| match (whole(a), whole(b)) {
        (Some(a), Some(b)) => contents.same(&a, &b),
        _ => a == b,
    });
}

/// As [`settle`]; `same` tells whether two lists of files have the same content.
pub(super) fn settle_by(
    found: &mut Scan,
    registry: &Registry,
    paths: &[&str],
    same: &mut dyn FnMut(&[usize], &[usize]) -> bool,
) {
    for at in 0..found.sources.len() {
        let slug = found.sources[at].slug.clone();
        let Some(spec) = registry.specs().iter().find(|spec| spec.slug == slug) else { continue };
        let foreign = |file: usize| matches!(&found.files[file], FileUse::Used { source } if *source != slug);
        let foreign: BTreeSet<usize> = (0..paths.len()).filter(|&file| foreign(file)).collect();
        let (names, releases) = (Vec::new(), HashMap::new());
        Settling { spec, paths, same: &mut *same, foreign: &foreign, names, releases }.source(&mut found.sources[at]);
    }
    found.files = uses(&found.sources, paths.len());
}

/// Files that may be copies of one another.
fn files_in_question(found: &Scan, tree: &Tree) -> BTreeSet<usize> {
    let size = |file: usize| tree.members()[file].size;
    let mut files = BTreeSet::new();
    let mut ask = |a: &[usize], b: &[usize]| {
        if a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| size(a) == size(b)) {
            files.extend(a.iter().chain(b).copied());
        }
    };
    for source in &found.sources {
        let mut by_id: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
        for case in source.cases.iter().filter(|case| case.state == CaseState::Complete) {
            by_id.entry(&case.id).or_default().push(case);
            for mask in &case.masks {
                mask.rivals.iter().for_each(|rival| ask(&mask.files, rival));
            }
        }
        for cases in by_id.values().filter(|cases| cases.len() > 1) {
            for (n, a) in cases.iter().enumerate() {
                for b in cases[n + 1..].iter().filter(|b| (b.layout, b.form) == (a.layout, a.form)) {
                    ask(&a.image, &b.image);
                    ask(&a.companions, &b.companions);
                    a.masks.iter().zip(&b.masks).for_each(|(a, b)| ask(&a.files, &b.files));
                }
            }
        }
    }
    files
}

/// Contents of the files of a tree.
struct Contents<'t> {
    tree: &'t Tree,
    digests: HashMap<usize, String>,
    /// Digests of what gzip files hold, or of files as they are.
    unpacked: HashMap<usize, Option<String>>,
    /// Size and checksum that gzip files claim of what they hold: where these differ nothing has to be unpacked.
    claims: HashMap<usize, Option<(u32, Option<u32>)>>,
}

impl Contents<'_> {
    fn same(&mut self, a: &[usize], b: &[usize]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| self.same_file(a, b))
    }

    fn same_file(&mut self, a: usize, b: usize) -> bool {
        let member = |file: usize| &self.tree.members()[file];
        let known = self.digests.get(&a).zip(self.digests.get(&b));
        if a == b || known.is_some_and(|(a, b)| a == b) {
            return true;
        }
        if !is_packed(&member(a).path) && !is_packed(&member(b).path) {
            // What cannot be read fails where it is used.
            let open = known.is_none() && member(a).size == member(b).size;
            return open && self.unpacked(a).is_some_and(|a| Some(a) == self.unpacked(b));
        }
        let (Some((size_a, sum_a)), Some((size_b, sum_b))) = (self.claimed(a), self.claimed(b)) else { return false };
        if size_a != size_b || sum_a.zip(sum_b).is_some_and(|(a, b)| a != b) {
            return false;
        }
        let (a, b) = (self.unpacked(a), self.unpacked(b));
        a.is_some() && a == b
    }

    /// Digest of what a file holds without gzip around it; `None` where it cannot be read.
    fn unpacked(&mut self, file: usize) -> Option<String> {
        let tree = self.tree;
        let read = || {
            let bytes = tree.read(&tree.members()[file]).ok()?;
            if !gzip::is_gzip(&bytes) {
                return Some(sha256(&bytes));
            }
            let mut plain = Hasher::default();
            io::copy(&mut gzip::Reader::new(&bytes[..]).take(MOST_UNPACKED), &mut plain).ok()?;
            Some(plain.finish())
        };
        self.unpacked.entry(file).or_insert_with(read).clone()
    }

    /// Size of what a file holds without gzip around it (modulo 2³², as gzip says it), and the checksum that gzip has
    /// of it.
    fn claimed(&mut self, file: usize) -> Option<(u32, Option<u32>)> {
        let tree = self.tree;
        let read = || {
            let member = &tree.members()[file];
            if !is_packed(&member.path) {
                return Some((member.size as u32, None));
            }
            let bytes = tree.read(member).ok()?;
            let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
            match bytes.len().checked_sub(8).filter(|_| gzip::is_gzip(&bytes)) {
                Some(end) => Some((word(end + 4)?, word(end))),
                None => Some((bytes.len() as u32, None)),
            }
        };
        *self.claims.entry(file).or_insert_with(read)
    }
}

fn is_packed(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".gz")
}

/// Why a case of an id that another one has is not built.
enum Left {
    /// The same bytes again.
    Copy,
    /// Another form of it is preferred by the spec.
    Form,
    /// No mask belongs to it, and masks belong to another one.
    Bare,
    /// Of another release, with the folder of that.
    Release(String),
    /// Nobody can tell.
    Ambiguous,
}

struct Settling<'a> {
    spec: &'a Spec,
    paths: &'a [&'a str],
    same: &'a mut dyn FnMut(&[usize], &[usize]) -> bool,
    /// Files that another source uses.
    foreign: &'a BTreeSet<usize>,
    /// The paths as patterns see them, once they are needed …
    names: Vec<String>,
    /// … and the release in each folder that was asked about.
    releases: HashMap<String, Option<usize>>,
}

impl Settling<'_> {
    fn source(&mut self, source: &mut Source) {
        self.masks(source);
        let mut by_id: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, case) in source.cases.iter().enumerate() {
            by_id.entry(case.id.clone()).or_default().push(at);
        }
        // Of each case that goes: why, and which one stays.
        let mut left: BTreeMap<usize, (Left, usize)> = BTreeMap::new();
        let mut other_releases: BTreeMap<String, String> = BTreeMap::new();
        for rivals in by_id.into_values().filter(|rivals| rivals.len() > 1) {
            self.rivals(source, &rivals, &mut left, &mut other_releases);
        }
        for at in 0..source.cases.len() {
            let case = &source.cases[at];
            if let Some((root, _)) = other_releases.iter().find(|(root, _)| case.above.starts_with(*root)) {
                left.insert(at, (Left::Release(root.clone()), at));
            }
        }
        self.note(source, &left, &other_releases);
        let mut skipped = Vec::new();
        for (at, (why, stays)) in &left {
            let (case, stays) = (&source.cases[*at], self.path(&source.cases[*stays]));
            let reason = match why {
                Left::Copy => format!("another copy of case {}, which is built from {stays}", name_of(case)),
                Left::Form => {
                    format!("another form of case {}, which is built from the preferred form {stays}", name_of(case))
                }
                Left::Bare => format!("an image without masks; case {} is built from {stays}", name_of(case)),
                Left::Release(root) => other_releases[root].clone(),
                Left::Ambiguous => match &source.cases[left[at].1].state {
                    CaseState::Ambiguous(reason) => format!("case {}: {reason}", name_of(case)),
                    _ => continue,
                },
            };
            skipped
                .extend(case.files().filter(|f| !case.lists.iter().any(|l| l.file == *f)).map(|f| (f, reason.clone())));
        }
        let mut at = 0;
        source.cases.retain(|_| {
            at += 1;
            !left.contains_key(&(at - 1))
        });
        source.skipped.extend(skipped);
        source.skipped.sort();
        source.skipped.dedup_by_key(|(file, _)| *file);
    }

    /// Settles the masks of each case.
    fn masks(&mut self, source: &mut Source) {
        for case in &mut source.cases {
            for mask in &mut case.masks {
                for rival in std::mem::take(&mut mask.rivals) {
                    let first = self.paths[mask.files[0]];
                    if self.same(&mask.files, &rival) {
                        let reason = format!("another copy of the mask {first}");
                        source.skipped.extend(rival.into_iter().map(|f| (f, reason.clone())));
                        continue;
                    }
                    let reason = format!(
                        "two files with different bytes are named as the same mask: {first} and {}; remove one, or \
                         distinguish them in the mask pattern (rater, label_from, or a capture shared with the image)",
                        self.paths[rival[0]]
                    );
                    source.skipped.extend(rival.into_iter().map(|f| (f, reason.clone())));
                    if case.state == CaseState::Complete {
                        case.state = CaseState::Ambiguous(reason);
                    }
                }
            }
        }
    }

    /// Settles the cases of one id.
    fn rivals(
        &mut self,
        source: &mut Source,
        rivals: &[usize],
        left: &mut BTreeMap<usize, (Left, usize)>,
        other_releases: &mut BTreeMap<String, String>,
    ) {
        let cases = &source.cases;
        let gone = |at: &usize| other_releases.keys().any(|root| cases[*at].above.starts_with(root));
        let rivals: Vec<usize> = rivals.iter().copied().filter(|at| !gone(at)).collect();
        let bare = |at: &usize| matches!(cases[*at].state, CaseState::Skipped(_));
        let Some(&first) = rivals.iter().find(|at| !bare(at)).or(rivals.first()) else { return };
        let (mut open, mut gone) = (vec![first], Vec::new());
        for &at in rivals.iter().filter(|&&at| at != first) {
            match bare(&at) {
                true => gone.push((at, Left::Bare)),
                false if cases[at].layout == cases[first].layout && cases[at].form != cases[first].form => {
                    gone.push((at, Left::Form));
                }
                false => open.push(at),
            }
        }
        // The one that has all masks of its copies.
        let mut fullest = first;
        for &at in &open[1..] {
            if cases[at].masks.len() > cases[fullest].masks.len() && self.holds(&cases[at], &cases[fullest]) {
                fullest = at;
            }
        }
        let (mut stays, mut differ) = (fullest, Vec::new());
        for &at in open.iter().filter(|&&at| at != fullest) {
            match self.holds(&cases[fullest], &cases[at]) {
                true => gone.push((at, Left::Copy)),
                false => differ.push(at),
            }
        }
        for at in differ {
            match self.releases(source, &source.cases[stays], &source.cases[at]) {
                Some((false, root, reason)) => {
                    other_releases.insert(root.clone(), reason);
                    gone.push((at, Left::Release(root)));
                }
                Some((true, root, reason)) => {
                    other_releases.insert(root.clone(), reason);
                    gone.push((stays, Left::Release(root)));
                    stays = at;
                }
                None => gone.push((at, Left::Ambiguous)),
            }
        }
        let unsure: Vec<usize> =
            gone.iter().filter(|(_, why)| matches!(why, Left::Ambiguous)).map(|(at, _)| *at).collect();
        if !unsure.is_empty() {
            let mut paths: Vec<&str> =
                [&[stays], &unsure[..]].concat().iter().map(|&at| self.path(&source.cases[at])).collect();
            paths.sort();
            let more = match paths.len() {
                0..=3 => String::new(),
                n => format!(" and {} more", n - 3),
            };
            let reason = format!(
                "{} images with different bytes or masks share this id, so none is built: {}{more}; distinguish them \
                 by a capture of the image pattern (such as the folder) that `case` in the spec also uses, by other \
                 file names, or by building separate datasets",
                paths.len(),
                paths[..paths.len().min(3)].join(" and ")
            );
            source.cases[stays].state = CaseState::Ambiguous(reason);
        }
        left.extend(gone.into_iter().map(|(at, why)| (at, (why, stays))));
    }

    /// Whether `a` has the image and all masks of `b`.
    fn holds(&mut self, a: &Case, b: &Case) -> bool {
        if a.layout != b.layout || !self.same(&a.image, &b.image) {
            return false;
        }
        b.masks.iter().all(|mask| {
            let own = |m: &&super::CaseMask| {
                (m.part, &m.label_key, &m.rater, &m.laterality)
                    == (mask.part, &mask.label_key, &mask.rater, &mask.laterality)
            };
            a.masks.iter().find(own).is_some_and(|m| self.same(&m.files, &mask.files))
        })
    }

    /// Whether two cases lie in folders that hold different releases. If so: whether that of `b` is preferred, the
    /// folder of the other one, and what to say of it.
    fn releases(&mut self, source: &Source, a: &Case, b: &Case) -> Option<(bool, String, String)> {
        let (root_a, root_b) = roots(&a.above, &b.above)?;
        if self.names.is_empty() {
            self.names = self.paths.iter().map(|path| format!("{}{}", source.prefix, composed(path))).collect();
        }
        let mut of = |root: &str| {
            let below = || self.names.iter().filter(|name| name.starts_with(root)).map(|name| (0, name.as_str()));
            let release = || release_in(self.spec, &below().collect::<Vec<_>>());
            *self.releases.entry(root.to_string()).or_insert_with(release)
        };
        let (of_a, of_b) = (of(&root_a)?, of(&root_b)?);
        if of_a == of_b {
            return None;
        }
        let b_first = of_b < of_a;
        let (kept, root, other, kept_root) = match b_first {
            true => (of_b, root_a, of_a, root_b),
            false => (of_a, root_b, of_b, root_a),
        };
        let release = |at: usize| &self.spec.release[at].name;
        let shown = |root: &str| root.strip_prefix(&source.prefix).unwrap_or(root).to_string();
        let reason = format!(
            "{} contains the release {}, but the release {} in {} is built; pass one folder to build the other release",
            shown(&root),
            release(other),
            release(kept),
            shown(&kept_root)
        );
        Some((b_first, root, reason))
    }

    /// Whether two images or masks have the same content, that of their headers' data files included.
    fn same(&mut self, a: &[usize], b: &[usize]) -> bool {
        let (a, b) = (self.content(a), self.content(b));
        (self.same)(&a, &b)
    }

    /// The files of an image or a mask with the data files of its headers.
    fn content(&self, files: &[usize]) -> Vec<usize> {
        let data = |&file: &usize| {
            let find = |name: String| self.paths.binary_search(&name.as_str()).ok();
            companions(self.paths[file]).into_iter().filter_map(find).collect::<Vec<_>>()
        };
        files.iter().copied().chain(files.iter().flat_map(data)).collect()
    }

    fn path(&self, case: &Case) -> &str {
        self.paths[case.image[0]]
    }

    /// Says what was left out, once for each kind.
    fn note(&self, source: &mut Source, left: &BTreeMap<usize, (Left, usize)>, releases: &BTreeMap<String, String>) {
        let mut kinds: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, (why, stays)) in left {
            let what = match why {
                Left::Copy => "image(s) are byte-identical copies and are left out",
                Left::Form => "image(s) are other forms of cases, which are built from the preferred form",
                Left::Bare => "image(s) without masks share the id of another image and are left out",
                Left::Release(_) | Left::Ambiguous => continue,
            };
            let (image, other) = (source.cases[*at].image[0], source.cases[*stays].image[0]);
            if !self.foreign.contains(&image) {
                kinds.entry(what).or_default().push((image, other));
            }
        }
        let path = |file: usize| self.paths[file];
        let mut notes: Vec<String> = releases.values().cloned().collect();
        for (what, pairs) in kinds {
            let (image, other) = pairs[0];
            notes.push(format!("{} {what}, such as {} ({})", pairs.len(), path(image), path(other)));
        }
        let apart: Vec<_> = source.apart.iter().filter(|(mask, _)| !self.foreign.contains(mask)).collect();
        if let Some((mask, image)) = apart.first() {
            notes.push(format!(
                "{} mask(s) are named after an image in another folder tree and are unused, such as {} for {}",
                apart.len(),
                path(*mask),
                path(*image)
            ));
        }
        for joined in &source.joined {
            let Some((mask, images)) = joined.shared.first() else { continue };
            notes.push(format!(
                "{} mask(s) are used by several images of one sequence each, such as {} by {}",
                joined.shared.len(),
                path(*mask),
                images.iter().take(3).map(|&image| path(image)).collect::<Vec<_>>().join(" and ")
            ));
        }
        source.notes.extend(notes);
    }
}

/// The id without its source.
fn name_of(case: &Case) -> &str {
    case.id.split_once('/').map_or(case.id.as_str(), |(_, name)| name)
}

/// The first folders in which two paths differ, with all above them; `None` where one lies above the other.
fn roots(a: &str, b: &str) -> Option<(String, String)> {
    let (of_a, of_b): (Vec<&str>, Vec<&str>) = (a.split_inclusive('/').collect(), b.split_inclusive('/').collect());
    let common = of_a.iter().zip(&of_b).take_while(|(a, b)| a == b).count();
    let root = |of: &[&str]| of.get(common).map(|_| of[..=common].concat());
    Some((root(&of_a)?, root(&of_b)?))
}
