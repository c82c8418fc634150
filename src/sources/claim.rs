//! One spec applied to the paths of a tree: files grouped into images and masks by what their patterns capture, images
//! and masks joined into cases.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::Pseudonym;
use super::join::{Group, Joined, Match, Matches, Part, group, join, nearest};
use super::place::{Places, known_folders};
use crate::formats::companions;
use crate::spec::pattern::{Pattern, Template, natural_order};
use crate::spec::{
    Absent, Decode, FourthAxis, Label, LabelTable, Layout, MaskPart, Pair, Spec, bounded, id_part, make_distinct,
    number_range,
};

/// A source that was found in a tree.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its slug.
    pub slug: String,
    /// Name of the release whose evidence is there.
    pub release: String,
    /// Cases in the order of their ids, those that cannot be built among them.
    pub cases: Vec<Case>,
    /// Files of this source that no case uses (position in the tree) and why.
    pub skipped: Vec<(usize, String)>,
    /// Those of the skipped files that are masks without an image in the tree, sorted.
    pub unpaired: Vec<usize>,
    /// Stands before the paths of the tree in [`Case::above`]: the name of the given folder where it is needed to
    /// recognise the source, with a slash, else empty.
    pub prefix: String,
    /// What joins images and masks, for each mask part of which there are any.
    pub joined: Vec<Joined>,
    /// Masks whose name fits an image that lies in another folder tree: first file of the mask and of the image.
    pub apart: Vec<(usize, usize)>,
    /// What a user should know of it, a sentence each.
    pub notes: Vec<String>,
}

/// Why no case uses a file of a source.
#[derive(Clone)]
enum Unused {
    /// A mask whose image is not in the tree.
    Unpaired(String),
    Other(String),
}

impl Source {
    /// Gives every case its id, distinct for each name.
    fn name_cases(&mut self) {
        let mut parts: BTreeMap<String, String> = self.cases.iter().map(|case| case.names.case()).collect();
        make_distinct(&mut parts);
        for case in &mut self.cases {
            let (name, _) = case.names.case();
            case.id = format!("{}/{}", self.slug, parts[&name]);
        }
    }

    /// Gives every patient an id, distinct for each name.
    pub(super) fn name_patients(&mut self) {
        let mut parts: BTreeMap<String, String> = self.cases.iter().map(|case| case.names.patient()).collect();
        make_distinct(&mut parts);
        for case in &mut self.cases {
            case.patient = format!("{}/{}", self.slug, parts[&case.names.patient]);
        }
    }

    /// By what images and masks were joined: one line for all layouts that have it in common.
    pub(crate) fn joined_by(&self, spec: &Spec) -> Vec<String> {
        let mut layouts: Vec<(String, Vec<&str>)> = Vec::new();
        for joined in &self.joined {
            let by = match joined.by.is_empty() {
                true => "folder only, or by a table of masks".to_string(),
                false => joined.by.join(", "),
            };
            let name = spec.layout[joined.layout].name.as_str();
            match layouts.iter_mut().find(|(known, _)| *known == by) {
                Some((_, names)) if names.contains(&name) => {}
                Some((_, names)) => names.push(name),
                None => layouts.push((by, vec![name])),
            }
        }
        let lines = layouts.iter().map(|(by, names)| match layouts.len() {
            1 => format!("images and masks joined by {by}"),
            _ => format!("images and masks of {} joined by {by}", names.join(", ")),
        });
        let mut lines: Vec<String> = lines.collect();
        for joined in &self.joined {
            let layout = &spec.layout[joined.layout];
            let Some(how) = pairing(&layout.mask[joined.part]) else { continue };
            let line = format!("masks of {} {how}", layout.name);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }
}

/// How the voxels of masks find those of their images, where that is not by the rule for the same grid.
fn pairing(part: &MaskPart) -> Option<String> {
    match part.pair {
        Pair::Grid => None,
        Pair::Position => Some("paired slice by slice by position".into()),
        Pair::Space => Some("placed on their images by both headers, nearest voxel".into()),
        Pair::Index => {
            let reason = part.pair_reason.as_deref().unwrap_or("set in the spec");
            Some(format!("paired by index regardless of their headers: {reason}"))
        }
    }
}

/// One image with its masks: what becomes one row of the `cases` table.
#[derive(Clone, Debug)]
pub struct Case {
    /// `<source>/<case>`.
    pub id: String,
    /// Slug of the source.
    pub source: String,
    /// Position of the layout in the spec.
    pub layout: usize,
    /// Patient, `<source>/<patient>`: never shared between sources.
    pub patient: String,
    /// Official split.
    pub split: Option<String>,
    /// Sequence.
    pub sequence: String,
    /// Modality.
    pub modality: String,
    /// Files of the image (positions in the tree), in natural order of their names.
    pub image: Vec<usize>,
    /// What the layout's `stack` capture says of each file of `image`, in the same order; empty where there is no
    /// stack.
    pub image_keys: Vec<String>,
    /// Position of its pattern among those of the layout's image: of a case in several forms the first is preferred.
    pub form: usize,
    /// Folders above what the pattern matches: empty, or ending in a slash.
    pub above: String,
    /// Which step of the fourth axis, where sequences lie along it.
    pub channel: Option<usize>,
    /// Masks that were found.
    pub masks: Vec<CaseMask>,
    /// Lists that may say more of it, and the text by which they name it.
    pub lists: Vec<CaseList>,
    /// Data files of headers among the files above (`.raw` of a `.mhd`, `.img` of a `.hdr`).
    pub companions: Vec<usize>,
    /// What a user should know of how its files were joined, a sentence each.
    pub notes: Vec<String>,
    /// Whether it can be built.
    pub state: CaseState,
    /// What stands in the tables for a name or a birth date in its files' names.
    pub pseudonym: Option<Pseudonym>,
    /// The names that its ids stand for.
    pub(super) names: CaseNames,
}

/// What a case and its patient are called in the names of files and in lists, of which ids are made.
#[derive(Clone, Debug, Default)]
pub(super) struct CaseNames {
    /// Name of the image.
    pub(super) image: String,
    /// Sequence, where several along the fourth axis have one image.
    pub(super) sequence: Option<String>,
    /// Name of the patient.
    pub(super) patient: String,
}

impl CaseNames {
    /// The whole name of the case, and the part of its id for it.
    fn case(&self) -> (String, String) {
        let part = id_part(&self.image);
        match &self.sequence {
            Some(sequence) => (format!("{}_{sequence}", self.image), bounded(format!("{part}_{}", id_part(sequence)))),
            None => (self.image.clone(), part),
        }
    }

    fn patient(&self) -> (String, String) {
        (self.patient.clone(), id_part(&self.patient))
    }
}

impl Case {
    /// A text about the case as it may stand in the tables.
    pub fn public(&self, text: &str) -> String {
        self.pseudonym.as_ref().map_or_else(|| text.to_string(), |pseudonym| pseudonym.hide(text))
    }

    /// All files of the case: image, masks, companions, lists.
    pub fn files(&self) -> impl Iterator<Item = usize> + '_ {
        let masks = self.masks.iter().flat_map(|m| &m.files);
        let lists = self.lists.iter().map(|l| &l.file);
        self.image.iter().chain(masks).chain(&self.companions).chain(lists).copied()
    }
}

/// A list that may name a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseList {
    /// Position of the list in the layout.
    pub part: usize,
    /// Its file.
    pub file: usize,
    /// The text by which it names the case.
    pub key: String,
    /// Split of all that it names, where its own path says that.
    pub split: Option<String>,
}

/// One mask of a case, still in its files.
#[derive(Clone, Debug)]
pub struct CaseMask {
    /// Position of the mask part in the layout.
    pub part: usize,
    /// Its files, in natural order of their names.
    pub files: Vec<usize>,
    /// What the part's `stack` capture says of each file of `files`, in the same order; empty where there is no stack.
    pub keys: Vec<String>,
    /// Files of other groups that say to be the same mask.
    pub rivals: Vec<Vec<usize>>,
    /// The one label of a file that holds one object.
    pub label: Option<Label>,
    /// Key of the label in its table (one class a file), else the value is read from the pixels.
    pub label_key: Option<String>,
    /// The row of this image, where the file is a table of all images' masks.
    pub row: Option<String>,
    /// Side taken from the file name.
    pub laterality: Option<String>,
    /// Who drew it.
    pub rater: Option<String>,
    /// 0 for the rater used by default.
    pub rater_rank: u32,
}

/// Whether a case can be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum CaseState {
    /// Image and masks are there.
    Complete,
    /// It is left out, with the reason.
    Skipped(String),
    /// Its files fit, but others that differ fit as well: to build it would be a guess.
    Ambiguous(String),
}

/// Applies `spec` to `paths` (position in the tree and path, as patterns see it). `None` where no release's evidence is
/// there. Cases that several images give are there several times: [`settle`](super::settle) tells what they are.
pub(super) fn claim(spec: &Spec, paths: &[(usize, &str)]) -> Option<Source> {
    let compile = |text: &str| Pattern::new(text, spec.ignore_case).expect("patterns of a checked spec compile");
    let release = release_in(spec, paths)?;
    let mut source = Source {
        slug: spec.slug.clone(),
        release: spec.release[release].name.clone(),
        cases: vec![],
        skipped: vec![],
        unpaired: vec![],
        prefix: String::new(),
        joined: vec![],
        apart: vec![],
        notes: vec![],
    };

    let rules = |last: bool| -> Vec<(Pattern, &str)> {
        let wanted = spec.skip.iter().filter(|s| s.last == last);
        wanted.map(|s| (compile(&s.path), s.reason.as_str())).collect()
    };
    let skips = rules(false);
    let mut open: Vec<(usize, &str)> = Vec::with_capacity(paths.len());
    for &(file, path) in paths {
        match skips.iter().find(|(pattern, _)| pattern.matches(path)) {
            Some((_, reason)) => source.skipped.push((file, reason.to_string())),
            None => open.push((file, path)),
        }
    }
    let path_of: HashMap<usize, &str> = open.iter().copied().collect();
    let known = known_folders(spec);
    let mut places = Places::default();
    let mut used: HashSet<usize> = HashSet::new();
    let mut reasons: BTreeMap<usize, Unused> = BTreeMap::new();
    for (index, layout) in spec.layout.iter().enumerate() {
        let free: Vec<(usize, &str)> = open.iter().copied().filter(|(file, _)| !used.contains(file)).collect();
        let patterns: Vec<Pattern> = layout.image.path.iter().map(|p| compile(p)).collect();
        let images = group(&patterns, layout.image.stack.as_deref(), &free, &mut places);
        let find = |paths: &[String], stack: Option<&str>, places: &mut Places| {
            let patterns: Vec<Pattern> = paths.iter().map(|p| compile(p)).collect();
            let groups = group(&patterns, stack, &open, places);
            Part { patterns, groups }
        };
        let masks: Vec<Part> =
            layout.mask.iter().map(|part| find(&part.path, part.stack.as_deref(), &mut places)).collect();
        let lists: Vec<Vec<Group>> =
            layout.list.iter().map(|part| find(&part.path, None, &mut places).groups).collect();
        used.extend(lists.iter().flatten().flat_map(|list| &list.files).filter(|_| !images.is_empty()));
        let fill = |text: &str| images.iter().map(|image| Template::new(text).fill(&image.captures)).collect();
        let (sequences, names): (Vec<String>, Vec<String>) = (fill(&layout.image.sequence), fill(&layout.case));
        let mut matches: Vec<Matches> = Vec::new();
        for part in 0..masks.len() {
            let (found, joined) = join((layout, part), (&images, &patterns), &masks, &known, (&sequences, &names));
            if joined.images > 0 {
                source.joined.push(Joined { layout: index, ..joined });
            }
            matches.push(found);
        }
        for (at, image) in images.iter().enumerate() {
            used.extend(&image.files);
            let (found, copies) = collect_masks(spec, layout, &masks, &matches, (at, image), &path_of);
            reasons.extend(copies.into_iter().map(|(file, reason)| (file, Unused::Other(reason))));
            used.extend(found.iter().flat_map(|m| &m.files));
            let elsewhere = matches.iter().zip(&masks).find_map(|(matches, part)| {
                let (mask, _) = matches.apart.iter().find(|(_, image)| **image == at)?;
                Some(path_of[&part.groups[*mask].files[0]])
            });
            let state = completeness(layout, &found, elsewhere, &path_of);
            let lists = lists_of(&lists, layout, image);
            source.cases.extend(cases_of(spec, index, &names[at], image, &found, &lists, &state));
        }
        for (part, matches) in masks.iter().zip(&matches) {
            for (&mask, &image) in &matches.apart {
                let (files, image) = (&part.groups[mask].files, images[image].files[0]);
                source.apart.push((files[0], image));
                for &file in files {
                    reasons.entry(file).or_insert_with(|| {
                        Unused::Unpaired(format!(
                            "a mask without its image: {} has the matching name, but is in another folder tree",
                            path_of[&image]
                        ))
                    });
                }
            }
        }
        let unpaired = masks.iter().flat_map(|part| &part.groups).flat_map(|g| &g.files);
        for &file in unpaired.filter(|f| !used.contains(f)) {
            reasons.entry(file).or_insert_with(|| {
                let expected = either(&layout.image.path);
                Unused::Unpaired(format!("a mask without its image: expected a file like {expected}"))
            });
        }
    }
    source.apart.retain(|(mask, _)| !used.contains(mask));
    let place: HashMap<&str, usize> = open.iter().map(|(file, path)| (*path, *file)).collect();
    let data_of =
        |file: usize| companions(path_of[&file]).into_iter().filter_map(|name| place.get(name.as_str()).copied());
    for case in &mut source.cases {
        case.companions = case.files().flat_map(data_of).collect();
        case.companions.sort();
        case.companions.dedup();
        used.extend(&case.companions);
    }
    for joined in &source.joined {
        for (mask, images) in &joined.shared {
            for case in source.cases.iter_mut().filter(|case| images.contains(&case.image[0])) {
                let others = images.iter().filter(|image| **image != case.image[0]).map(|image| path_of[image]);
                let note = format!(
                    "the mask {} is used by {} images of the same sequence, including {}",
                    path_of[mask],
                    images.len(),
                    others.take(2).collect::<Vec<_>>().join(" and ")
                );
                case.notes.push(note);
            }
        }
    }
    // The data of a header that is left out is left out for the same reason.
    let data: Vec<_> =
        reasons.iter().flat_map(|(&file, why)| data_of(file).map(move |data| (data, why.clone()))).collect();
    reasons.extend(data);
    let skips = rules(true);
    for &(file, path) in &open {
        if let Some((_, reason)) = skips.iter().find(|(pattern, _)| pattern.matches(path)) {
            reasons.entry(file).or_insert_with(|| Unused::Other(reason.to_string()));
        }
    }
    for (file, why) in reasons.into_iter().filter(|(file, _)| !used.contains(file)) {
        let reason = match why {
            Unused::Unpaired(reason) => {
                source.unpaired.push(file);
                reason
            }
            Unused::Other(reason) => reason,
        };
        source.skipped.push((file, reason));
    }
    source.skipped.sort();
    source.name_cases();
    source.name_patients();
    source.cases.sort_by(|a, b| a.id.cmp(&b.id));
    Some(source)
}

/// The first release of a spec of which all evidence is among `paths`.
pub(super) fn release_in(spec: &Spec, paths: &[(usize, &str)]) -> Option<usize> {
    let present = |text: &String| {
        let pattern = Pattern::new(text, spec.ignore_case).expect("patterns of a checked spec compile");
        paths.iter().any(|(_, path)| pattern.matches(path))
    };
    spec.release.iter().position(|r| r.evidence.iter().all(present))
}

/// The masks of one image, and the files of it that are not used with the reason.
fn collect_masks(
    spec: &Spec,
    layout: &Layout,
    masks: &[Part],
    matches: &[Matches],
    (at, image): (usize, &Group),
    path_of: &HashMap<usize, &str>,
) -> (Vec<CaseMask>, Vec<(usize, String)>) {
    let (mut found, mut unused): (Vec<CaseMask>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
    for (index, part) in layout.mask.iter().enumerate() {
        let groups = &masks[index].groups;
        let mut taken: HashMap<(String, String, Option<String>), (usize, Match)> = HashMap::new();
        let mut raters: Vec<(String, CaseMask)> = Vec::new();
        for &found in &matches[index].of[at] {
            let group = &groups[found.group];
            let capture = |name: &Option<String>| name.as_ref().and_then(|n| group.captures.get(n).cloned());
            let key = capture(&part.label_from);
            let rater = part.rater.as_ref().map(|t| Template::new(t).fill(&group.captures));
            let laterality = capture(&part.laterality_from).and_then(|side| match side.bytes().next() {
                Some(b'L' | b'l') => Some("left".to_string()),
                Some(b'R' | b'r') => Some("right".to_string()),
                _ => None,
            });
            let identity = (key.clone().unwrap_or_default(), rater.clone().unwrap_or_default(), laterality.clone());
            if let Some((first, nearest)) = taken.get(&identity) {
                let mask: &mut CaseMask = &mut raters[*first].1;
                if found.farther_than(nearest) {
                    let nearer = path_of.get(&mask.files[0]).copied().unwrap_or_default();
                    let reason = format!("a duplicate of the mask {nearer}, which is closer to the image");
                    unused.extend(group.files.iter().map(|&f| (f, reason.clone())));
                } else {
                    mask.rivals.push(group.files.clone());
                }
                continue;
            }
            taken.insert(identity, (raters.len(), found));
            let table = part.labels.as_ref().and_then(|name| spec.labels.get(name));
            let label = part.label.clone().or_else(|| label_of(spec, table?, key.as_ref()?));
            let row = match &part.decode {
                Decode::RleTable { row, .. } => Some(Template::new(row).fill(&image.captures)),
                _ => None,
            };
            let mask = CaseMask {
                part: index,
                files: group.files.clone(),
                keys: group.keys.clone(),
                rivals: Vec::new(),
                label,
                label_key: key,
                row,
                laterality,
                rater: rater.clone(),
                rater_rank: 0,
            };
            raters.push((rater.unwrap_or_default(), mask));
        }
        for &less in &matches[index].less[at] {
            let reason = "the same mask in another layout; the preferred layout is used".to_string();
            unused.extend(groups[less].files.iter().map(|&f| (f, reason.clone())));
        }
        let mut names: Vec<String> = raters.iter().map(|(name, _)| name.clone()).collect();
        names.sort_by(|a, b| natural_order(a, b));
        names.dedup();
        found.extend(raters.into_iter().map(|(name, mask)| {
            let place = names.iter().position(|n| *n == name).unwrap_or(0) as u32;
            CaseMask { rater_rank: part.rater_rank + place, ..mask }
        }));
    }
    (found, unused)
}

/// The label of a key; where the spec ignores case, that of the key which differs in it alone.
fn label_of(spec: &Spec, table: &LabelTable, key: &str) -> Option<Label> {
    let alike = || table.iter().find(|(own, _)| spec.ignore_case && own.to_lowercase() == key.to_lowercase());
    table.get(key).or_else(|| alike().map(|(_, label)| label)).cloned()
}

/// A case is complete when every mask part that must be there is. Where none at all was found the case is unlabelled.
/// `elsewhere` is a mask that has the name for it and lies in another folder tree.
fn completeness(
    layout: &Layout,
    found: &[CaseMask],
    elsewhere: Option<&str>,
    path_of: &HashMap<usize, &str>,
) -> CaseState {
    let elsewhere = elsewhere.map_or_else(String::new, |mask| {
        format!(
            "; {mask} has the matching name, but is in another folder tree: if it belongs to the image, put both into \
             one folder, include their folders in the patterns of the spec, or set `anywhere = true` in the layout"
        )
    });
    let missing = layout
        .mask
        .iter()
        .enumerate()
        .find(|(index, part)| part.absent == Absent::Unlabelled && !found.iter().any(|mask| mask.part == *index));
    if let Some((_, part)) = missing {
        return CaseState::Skipped(format!("unlabelled: no mask matches {}{elsewhere}", either(&part.path)));
    }
    if found.is_empty() {
        return CaseState::Skipped(format!("unlabelled: none of its masks exists{elsewhere}"));
    }
    let unknown = found.iter().filter(|m| m.label.is_none()).find_map(|m| Some((m, m.label_key.as_ref()?)));
    if let Some((mask, key)) = unknown {
        let table = layout.mask[mask.part].labels.as_deref().unwrap_or_default();
        let file = mask.files.first().and_then(|file| path_of.get(file)).copied().unwrap_or_default();
        return CaseState::Skipped(format!(
            "the spec has no label {key:?} ({file}): add it to [labels.{table}], or add a [[skip]] for such files"
        ));
    }
    CaseState::Complete
}

/// The lists of a layout with what names the image in them.
fn lists_of(lists: &[Vec<Group>], layout: &Layout, image: &Group) -> Vec<CaseList> {
    let of_part = |(part, groups): (usize, &Vec<Group>)| {
        let rules = &layout.list[part];
        let key = Template::new(&rules.key).fill(&image.captures);
        let one = |list: &Group| CaseList {
            part,
            file: list.files[0],
            key: key.clone(),
            split: rules.split.as_deref().map(|t| Template::new(t).fill(&list.captures)),
        };
        // A dataset.json is of the images in its own folders.
        let agrees = |list: &&Group| {
            let same = |(name, text): (&String, &String)| image.captures.get(name).is_none_or(|own| own == text);
            !rules.names || (list.captures.iter().all(same) && list.above == image.above)
        };
        nearest(image, groups).into_iter().filter(agrees).map(one).collect::<Vec<_>>()
    };
    lists.iter().enumerate().flat_map(of_part).collect()
}

/// The cases of one image: one, or one for each sequence along the fourth axis.
fn cases_of(
    spec: &Spec,
    layout: usize,
    name: &str,
    image: &Group,
    masks: &[CaseMask],
    lists: &[CaseList],
    state: &CaseState,
) -> Vec<Case> {
    let rules = &spec.layout[layout];
    let fill = |text: &str| Template::new(text).fill(&image.captures);
    let patient = rules.patient.as_deref().map(|t| renamed(fill(t), &rules.patient_names));
    let patient = patient.unwrap_or_else(|| name.to_string());
    let split = rules.split.as_deref().map(fill).filter(|s| !s.is_empty());
    let split = split.map(|s| renamed(s, &rules.split_names));
    let sequences: Vec<(String, Option<usize>)> = match rules.image.fourth_axis {
        FourthAxis::Sequences => rules.image.channels.iter().cloned().enumerate().map(|(i, s)| (s, Some(i))).collect(),
        _ => vec![(fill(&rules.image.sequence), None)],
    };
    sequences
        .into_iter()
        .map(|(sequence, channel)| {
            let alike = |own: &&String| spec.ignore_case && own.to_lowercase() == sequence.to_lowercase();
            let sequence = match spec.sequences.contains_key(&sequence) {
                true => sequence,
                false => spec.sequences.keys().find(alike).cloned().unwrap_or(sequence),
            };
            let modality = spec.sequences.get(&sequence).cloned();
            let state = match (&modality, state) {
                (None, CaseState::Complete) => CaseState::Skipped(format!(
                    "the spec has no modality for the sequence {sequence:?}; add it to \
                        [sequences]"
                )),
                _ => state.clone(),
            };
            let names = CaseNames {
                image: name.to_string(),
                sequence: channel.map(|_| sequence.clone()),
                patient: patient.clone(),
            };
            Case {
                id: String::new(),
                source: spec.slug.clone(),
                layout,
                patient: String::new(),
                split: split.clone(),
                sequence,
                modality: modality.unwrap_or_default(),
                image: image.files.clone(),
                image_keys: image.keys.clone(),
                form: image.pattern,
                above: image.above.clone(),
                channel,
                masks: masks.to_vec(),
                lists: lists.to_vec(),
                companions: Vec::new(),
                notes: Vec::new(),
                state,
                pseudonym: None,
                names,
            }
        })
        .collect()
}

/// Patterns as a sentence offers them: `"a" or "b"`.
fn either(patterns: &[String]) -> String {
    patterns.iter().map(|p| format!("\"{p}\"")).collect::<Vec<_>>().join(" or ")
}

/// What a table of names makes of a text: the name of the text itself, else that of the range of numbers (`"26-50"`)
/// it lies in, else the text as it is.
pub(super) fn renamed(text: String, names: &BTreeMap<String, String>) -> String {
    let in_range = || {
        let number = text.parse().ok()?;
        let holds = |key: &str| key.contains('-') && number_range(key).is_some_and(|range| range.contains(&number));
        names.iter().find(|(key, _)| holds(key)).map(|(_, name)| name)
    };
    let name = names.get(&text).or_else(in_range);
    name.cloned().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_by_the_text_then_by_the_range_it_lies_in() {
        let table = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, n)| (k.to_string(), n.to_string())).collect();
        let names = table(&[("1-25", "first"), ("26-170", "second"), ("30", "thirty"), ("a. Set", "train")]);
        let cases =
            [("025", "first"), ("26", "second"), ("30", "thirty"), ("171", "171"), ("a. Set", "train"), ("b", "b")];
        for (text, name) in cases {
            assert_eq!(renamed(text.to_string(), &names), name);
        }
    }
}
