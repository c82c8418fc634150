//! Which masks belong to which image: by captures first, then by the folders outside the patterns.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::place::{Folders, Place, Places, Relation};
use crate::spec::pattern::{Captures, OpenFolder, Pattern, Template, natural_order};
use crate::spec::{Decode, Layout};

/// Files that make one image or mask.
#[derive(Debug)]
pub(super) struct Group {
    /// Position of their pattern.
    pub(super) pattern: usize,
    /// Folders above the matched tail.
    pub(super) above: String,
    pub(super) captures: Captures,
    pub(super) files: Vec<usize>,
    /// What the stack capture says of each of them; empty without a stack.
    pub(super) keys: Vec<String>,
    /// Folder of the first file.
    folder: String,
    /// Folders above the matched tail, as they count …
    place: Rc<Place>,
    /// … with those that `**/` passes over …
    open: Rc<Place>,
    /// … and all of them.
    whole: Rc<Place>,
    /// Folders of which the pattern leaves some text open.
    left_open: Vec<OpenFolder>,
}

/// Groups files by what `patterns` capture; files that differ only in `stack` belong together. A file goes to the first
/// pattern that matches it. Groups come in the order of pattern, then of path.
pub(super) fn group(
    patterns: &[Pattern],
    stack: Option<&str>,
    paths: &[(usize, &str)],
    places: &mut Places,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut known: HashMap<(usize, String, String, Captures), usize> = HashMap::new();
    for &(file, path) in paths {
        let Some((pattern, found)) =
            patterns.iter().enumerate().find_map(|(i, p)| p.find(path).map(|found| (i, found)))
        else {
            continue;
        };
        let (above, mut captures, left_open) = (found.above.to_string(), found.captures, found.folders);
        let mut keys = Vec::new();
        if let Some(stack) = stack {
            let stacked = captures.remove(stack).unwrap_or_default();
            let key = (pattern, above.clone(), found.between.clone(), captures.clone());
            if let Some(&at) = known.get(&key) {
                groups[at].files.push(file);
                groups[at].keys.push(stacked);
                continue;
            }
            known.insert(key, groups.len());
            keys.push(stacked);
        }
        let place = places.of(&above);
        let open =
            if found.between.is_empty() { place.clone() } else { places.of(&format!("{above}{}", found.between)) };
        let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let whole = places.of(&folder);
        groups.push(Group { pattern, above, captures, files: vec![file], keys, folder, place, open, whole, left_open });
    }
    let path_of: HashMap<usize, &str> = paths.iter().copied().collect();
    for group in groups.iter_mut().filter(|group| group.files.len() > 1) {
        let mut stack: Vec<(usize, String)> = group.files.drain(..).zip(group.keys.drain(..)).collect();
        stack.sort_by(|(a, _), (b, _)| natural_order(path_of[a], path_of[b]));
        (group.files, group.keys) = stack.into_iter().unzip();
    }
    groups.sort_by(|a, b| {
        a.pattern.cmp(&b.pattern).then_with(|| natural_order(path_of[&a.files[0]], path_of[&b.files[0]]))
    });
    groups
}

impl Group {
    /// Whether two groups lie below the same folders, of which the pattern of one names more than that of the other.
    fn shares_folders(&self, other: &Group) -> bool {
        let (short, long) = if self.above.len() < other.above.len() { (self, other) } else { (other, self) };
        short.above.len() < long.above.len()
            && long.above.starts_with(&short.above)
            && short.folder.starts_with(&long.above)
    }

    /// Folders of which only `*` and captures in `alone` take text, as they count.
    fn open_but_for(&self, alone: &dyn Fn(&str) -> bool) -> Place {
        let folders = self.left_open.iter().filter(|folder| folder.captures.iter().all(|name| alone(name)));
        Place::new(&folders.map(|folder| format!("{}/", folder.name)).collect::<String>())
    }
}

/// Patterns of a mask part, and the groups that they find.
pub(super) struct Part {
    pub(super) patterns: Vec<Pattern>,
    pub(super) groups: Vec<Group>,
}

/// What joins the images and masks of one part of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Position of the layout in the spec.
    pub layout: usize,
    /// Position of the mask part in the layout.
    pub part: usize,
    /// Captures by which they join; none for a table that all images share.
    pub by: Vec<String>,
    /// Captures of the images alone.
    pub image_only: Vec<String>,
    /// Captures of the masks alone.
    pub mask_only: Vec<String>,
    /// Images that have a mask of this part.
    pub images: usize,
    /// Masks that several images of one sequence share: their first file, and those of the images.
    pub shared: Vec<(usize, Vec<usize>)>,
}

/// A mask group of an image: the position of the group, and how near they lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) group: usize,
    near: Near,
}

/// How near a mask lies to an image; the nearest comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Near {
    relation: Relation,
    /// Folders that they share, as they count …
    depth: usize,
    /// … and by their full names.
    folders: usize,
}

/// The masks of one part by the image that they belong to.
#[derive(Default)]
pub(super) struct Matches {
    /// Of each image, from the preferred pattern that has any; of these the nearest come first.
    pub(super) of: Vec<Vec<Match>>,
    /// Of each image, those of patterns that are less preferred.
    pub(super) less: Vec<Vec<usize>>,
    /// Masks whose captures fit an image in another folder tree: the mask group, and the image group.
    pub(super) apart: BTreeMap<usize, usize>,
}

impl Match {
    /// True where another one of the same image is nearer.
    pub(super) fn farther_than(&self, other: &Match) -> bool {
        self.near < other.near
    }
}

/// Names of captures, and images by their values of these.
type ByValue = (Vec<String>, HashMap<Vec<String>, Vec<usize>>);

/// Joins the images of a layout with the masks of one of its parts. `sequences` and `names` are those of the images and
/// of their cases.
pub(super) fn join(
    (layout, index): (&Layout, usize),
    (images, image_patterns): (&[Group], &[Pattern]),
    parts: &[Part],
    known: &HashSet<String>,
    (sequences, names): (&[String], &[String]),
) -> (Matches, Joined) {
    let part = &parts[index];
    let rules = &layout.mask[index];
    let table = matches!(rules.decode, Decode::RleTable { .. });
    let stacks = [layout.image.stack.as_deref(), rules.stack.as_deref()];
    let names_of = |image: &Pattern, mask: &Pattern| -> Vec<String> {
        let names = image.names().into_iter().filter(|n| !stacks.contains(&Some(*n)));
        names.filter(|n| mask.names().contains(n)).map(String::from).collect()
    };
    // Images by the values that they share with a mask pattern, for each pair of patterns.
    let mut by_value: HashMap<(usize, usize), ByValue> = HashMap::new();
    for (i, image_pattern) in image_patterns.iter().enumerate() {
        for (m, mask_pattern) in part.patterns.iter().enumerate() {
            let names = names_of(image_pattern, mask_pattern);
            let mut found: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
            for (at, image) in images.iter().enumerate().filter(|(_, image)| image.pattern == i) {
                found.entry(values(image_pattern, &names, &image.captures)).or_default().push(at);
            }
            by_value.insert((i, m), (names, found));
        }
    }
    let (known, masks) = ((known, layout.anywhere), &part.groups);
    let closed = Folders::new(known, images.iter().map(|g| &*g.place), masks.iter().map(|g| &*g.place));
    let opened = Folders::new(known, images.iter().map(|g| &*g.open), masks.iter().map(|g| &*g.open));
    // Captures that say what an image or mask is, and not whose.
    let kinds: Vec<String> = Template::new(&layout.image.sequence)
        .names()
        .into_iter()
        .chain(stacks.into_iter().flatten())
        .chain(rules.label_from.as_deref())
        .chain(rules.laterality_from.as_deref())
        .map(String::from)
        .chain(
            rules
                .rater
                .iter()
                .flat_map(|rater| Template::new(rater).names().into_iter().map(String::from).collect::<Vec<_>>()),
        )
        .collect();
    // What only one side captures joins nothing: such folders must agree as those do that no pattern names.
    let left_open_apart = |image: &Group, mask: &Group| {
        if image.left_open.is_empty() || mask.left_open.is_empty() {
            return false;
        }
        let alone =
            |other: &Group, name: &str| !other.captures.contains_key(name) && !kinds.iter().any(|kind| kind == name);
        let of_image = image.open_but_for(&|name| alone(mask, name));
        let of_mask = mask.open_but_for(&|name| alone(image, name));
        of_image.beside(&of_mask)
    };
    let relation = |image: &Group, mask: &Group| {
        if table || image.shares_folders(mask) {
            return Relation::Own;
        }
        if !layout.anywhere && left_open_apart(image, mask) {
            return Relation::Apart;
        }
        match image_patterns[image.pattern].has_any_folders() && part.patterns[mask.pattern].has_any_folders() {
            true => opened.relation(&image.open, &mask.open),
            false => closed.relation(&image.place, &mask.place),
        }
    };
    let mut matches =
        Matches { of: vec![Vec::new(); images.len()], less: vec![Vec::new(); images.len()], ..Default::default() };
    let mut pairs: Vec<(usize, Match)> = Vec::new();
    for (at, mask) in part.groups.iter().enumerate() {
        let candidates = (0..image_patterns.len()).flat_map(|i| {
            let (names, found) = &by_value[&(i, mask.pattern)];
            let all = found.get(&values(&image_patterns[i], names, &mask.captures)).map_or(&[][..], Vec::as_slice);
            // Where case is ignored, one that agrees in it as well comes first.
            let exact = |at: &&usize| names.iter().all(|n| images[**at].captures.get(n) == mask.captures.get(n));
            let only_exact = all.iter().any(|at| exact(&at));
            all.iter().filter(move |at| !only_exact || exact(at))
        });
        let mut found: Vec<(usize, Match)> = Vec::new();
        for &image in candidates {
            match relation(&images[image], mask) {
                Relation::Apart => {
                    matches.apart.entry(at).or_insert(image);
                }
                relation => {
                    let depth = images[image].whole.common(&mask.whole);
                    let folders =
                        images[image].folder.split('/').zip(mask.folder.split('/')).take_while(|(a, b)| a == b);
                    let near = Near { relation, depth, folders: folders.count() };
                    found.push((image, Match { group: at, near }));
                }
            }
        }
        if !table {
            // Images of one sequence are rivals for a mask, and the nearest has it. Those of several sequences may
            // share it.
            let mut nearest: HashMap<&str, Match> = HashMap::new();
            for (image, found) in &found {
                let best = nearest.entry(&sequences[*image]).or_insert(*found);
                if best.farther_than(found) {
                    *best = *found;
                }
            }
            let own = found.iter().any(|(_, m)| m.near.relation == Relation::Own);
            found.retain(|(image, m)| {
                !(m.farther_than(&nearest[sequences[*image].as_str()]) || own && m.near.relation != Relation::Own)
            });
        }
        if !found.is_empty() {
            matches.apart.remove(&at);
        }
        pairs.extend(found);
    }
    for (image, found) in pairs {
        matches.of[image].push(found);
    }
    for (image, found) in matches.of.iter_mut().enumerate() {
        // A set of its own is not completed from elsewhere.
        if found.iter().any(|m| m.near.relation == Relation::Own) {
            for other in found.extract_if(.., |m| m.near.relation != Relation::Own) {
                matches.apart.insert(other.group, image);
            }
        }
        let preferred = found.iter().map(|m| part.groups[m.group].pattern).min();
        let less = found.extract_if(.., |m| Some(part.groups[m.group].pattern) != preferred);
        matches.less[image].extend(less.map(|m| m.group));
        found.sort_by_key(|m| (Reverse(m.near), m.group));
    }
    let joined =
        joined((layout, index), (images, image_patterns), part, (&matches, sequences, names, table), &names_of);
    (matches, joined)
}

/// What joined the images and masks that were found.
fn joined(
    (layout, index): (&Layout, usize),
    (images, image_patterns): (&[Group], &[Pattern]),
    part: &Part,
    (matches, sequences, cases, table): (&Matches, &[String], &[String], bool),
    names_of: &dyn Fn(&Pattern, &Pattern) -> Vec<String>,
) -> Joined {
    let (mut by, mut image_only, mut mask_only) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut serves: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut seen: HashSet<(usize, usize)> = HashSet::new();
    let stacks = [layout.image.stack.as_deref(), layout.mask[index].stack.as_deref()];
    for (image, found) in matches.of.iter().enumerate() {
        for m in found {
            let (i, k) = (images[image].pattern, part.groups[m.group].pattern);
            serves.entry(m.group).or_default().push(image);
            if !seen.insert((i, k)) {
                continue;
            }
            let (of_image, of_mask) = (image_patterns[i].names(), part.patterns[k].names());
            let names = names_of(&image_patterns[i], &part.patterns[k]);
            let alone = |all: &[&str], set: &mut BTreeSet<String>| {
                let alone = all.iter().filter(|n| !names.iter().any(|s| s == *n) && !stacks.contains(&Some(**n)));
                set.extend(alone.map(|n| n.to_string()));
            };
            alone(&of_image, &mut image_only);
            alone(&of_mask, &mut mask_only);
            names.into_iter().for_each(|name| {
                if !by.contains(&name) {
                    by.push(name);
                }
            });
        }
    }
    let several = serves.iter().filter(|_| !table).filter_map(|(&mask, of)| {
        let alike = |a: &usize, b: &usize| sequences[*a] == sequences[*b] && cases[*a] != cases[*b];
        let same = of.iter().filter(|&a| of.iter().any(|b| alike(a, b))).map(|&i| images[i].files[0]);
        let same: Vec<usize> = same.collect();
        (!same.is_empty()).then(|| (part.groups[mask].files[0], same))
    });
    Joined {
        layout: 0,
        part: index,
        by,
        image_only: image_only.into_iter().collect(),
        mask_only: mask_only.into_iter().collect(),
        images: matches.of.iter().filter(|of| !of.is_empty()).count(),
        shared: several.collect(),
    }
}

fn values(pattern: &Pattern, names: &[String], captures: &Captures) -> Vec<String> {
    names.iter().map(|n| pattern.compared(captures.get(n).map_or("", String::as_str))).collect()
}

/// Of several lists that say the same kind of thing, those nearest to an image.
pub(super) fn nearest<'g>(image: &Group, lists: &'g [Group]) -> Vec<&'g Group> {
    let depth = |list: &Group| image.place.common(&list.place);
    let best = lists.iter().map(depth).max().unwrap_or(0);
    lists.iter().filter(|list| depth(list) == best).collect()
}
