//! One spec applied to the paths of a tree: files grouped into images and masks by what their patterns capture, images
//! and masks joined into cases.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Pseudonym;
use crate::spec::pattern::{Captures, Pattern, Template, natural_order};
use crate::spec::{Absent, Decode, FourthAxis, Label, Layout, MaskPart, Spec, number_range};

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
    /// What the layout's `stack` capture says of each file of `image`, in the same order; empty where there is no stack.
    pub image_keys: Vec<String>,
    /// Which step of the fourth axis, where sequences lie along it.
    pub channel: Option<usize>,
    /// Masks that were found.
    pub masks: Vec<CaseMask>,
    /// Lists that may say more of it, and the text by which they name it.
    pub lists: Vec<CaseList>,
    /// Data files of headers among the files above (`.raw` of a `.mhd`, `.img` of a `.hdr`).
    pub companions: Vec<usize>,
    /// Whether it can be built.
    pub state: CaseState,
    /// What stands in the tables for a name or a birth date in its files' names.
    pub pseudonym: Option<Pseudonym>,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseState {
    /// Image and masks are there.
    Complete,
    /// It is left out, with the reason.
    Skipped(String),
}

/// Files that make one image or mask.
#[derive(Debug)]
struct Group {
    pattern: usize,
    /// Folders above the matched tail.
    above: String,
    captures: Captures,
    files: Vec<usize>,
    /// What the stack capture says of each of them; empty without a stack.
    keys: Vec<String>,
}

/// Applies `spec` to `paths` (position in the tree and path). `None` where no release's evidence is there.
pub(super) fn claim(spec: &Spec, paths: &[(usize, &str)]) -> Option<Source> {
    let compile = |text: &str| Pattern::new(text, spec.ignore_case).expect("patterns of a checked spec compile");
    let present = |text: &String| {
        let pattern = compile(text);
        paths.iter().any(|(_, path)| pattern.matches(path))
    };
    let release = spec.release.iter().find(|r| r.evidence.iter().all(present))?;
    let mut source = Source { slug: spec.slug.clone(), release: release.name.clone(), cases: vec![], skipped: vec![] };

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
    let mut used: HashSet<usize> = HashSet::new();
    let mut reasons: BTreeMap<usize, String> = BTreeMap::new();
    for (index, layout) in spec.layout.iter().enumerate() {
        let free: Vec<(usize, &str)> = open.iter().copied().filter(|(file, _)| !used.contains(file)).collect();
        let patterns: Vec<Pattern> = layout.image.path.iter().map(|p| compile(p)).collect();
        let images = group(&patterns, layout.image.stack.as_deref(), &free);
        let masks: Vec<(Vec<Pattern>, Vec<Group>)> = layout
            .mask
            .iter()
            .map(|part| {
                let patterns: Vec<Pattern> = part.path.iter().map(|p| compile(p)).collect();
                let groups = group(&patterns, part.stack.as_deref(), &open);
                (patterns, groups)
            })
            .collect();
        let joins: Vec<Join> =
            layout.mask.iter().zip(&masks).map(|(part, (p, g))| Join::new(layout, part, &patterns, p, g)).collect();
        let lists: Vec<Vec<Group>> = layout
            .list
            .iter()
            .map(|part| group(&part.path.iter().map(|p| compile(p)).collect::<Vec<_>>(), None, &open))
            .collect();
        used.extend(lists.iter().flatten().flat_map(|list| &list.files).filter(|_| !images.is_empty()));
        let mut seen: HashMap<String, usize> = HashMap::new();
        for image in &images {
            let name = file_safe(&Template::new(&layout.case).fill(&image.captures));
            if let Some(&first) = seen.get(&name) {
                for &file in &image.files {
                    reasons
                        .insert(file, format!("another copy of case {name}, which is built from {}", path_of[&first]));
                }
                continue;
            }
            seen.insert(name.clone(), image.files[0]);
            used.extend(&image.files);
            let (found, copies) = collect_masks(spec, layout, &masks, &joins, image, &path_of);
            reasons.extend(copies);
            used.extend(found.iter().flat_map(|m| &m.files));
            let state = completeness(layout, &found);
            let lists = lists_of(&lists, layout, image);
            source.cases.extend(cases_of(spec, index, &name, image, &found, &lists, &state));
        }
        let unpaired = masks.iter().flat_map(|(_, groups)| groups).flat_map(|g| &g.files);
        for &file in unpaired.filter(|f| !used.contains(f)) {
            reasons.entry(file).or_insert_with(|| {
                format!("a mask without its image: expected a file like {}", either(&layout.image.path))
            });
        }
    }
    let place: HashMap<&str, usize> = open.iter().map(|(file, path)| (*path, *file)).collect();
    let data_of =
        |file: usize| companions(path_of[&file]).into_iter().filter_map(|name| place.get(name.as_str()).copied());
    for case in &mut source.cases {
        case.companions = case.files().flat_map(data_of).collect();
        case.companions.sort();
        case.companions.dedup();
        used.extend(&case.companions);
    }
    // The data of a header that is left out is left out for the same reason.
    let data: Vec<_> =
        reasons.iter().flat_map(|(&file, why)| data_of(file).map(move |data| (data, why.clone()))).collect();
    reasons.extend(data);
    let skips = rules(true);
    for &(file, path) in &open {
        if let Some((_, reason)) = skips.iter().find(|(pattern, _)| pattern.matches(path)) {
            reasons.entry(file).or_insert_with(|| reason.to_string());
        }
    }
    source.skipped.extend(reasons.into_iter().filter(|(file, _)| !used.contains(file)));
    source.skipped.sort();
    source.cases.sort_by(|a, b| a.id.cmp(&b.id));
    Some(source)
}

/// Groups files by what `patterns` capture; files that differ only in `stack` belong together. A file goes to the first
/// pattern that matches it. Groups come in the order of pattern, then of path.
fn group(patterns: &[Pattern], stack: Option<&str>, paths: &[(usize, &str)]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut place: HashMap<(usize, String, Captures), usize> = HashMap::new();
    for &(file, path) in paths {
        let Some((pattern, (above, mut captures))) =
            patterns.iter().enumerate().find_map(|(i, p)| p.find(path).map(|found| (i, found)))
        else {
            continue;
        };
        let mut keys = Vec::new();
        if let Some(stack) = stack {
            let stacked = captures.remove(stack).unwrap_or_default();
            let key = (pattern, above.to_string(), captures.clone());
            if let Some(&at) = place.get(&key) {
                groups[at].files.push(file);
                groups[at].keys.push(stacked);
                continue;
            }
            place.insert(key, groups.len());
            keys.push(stacked);
        }
        groups.push(Group { pattern, above: above.to_string(), captures, files: vec![file], keys });
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

/// Finds the masks of an image by the captures that both patterns have: for each image pattern one table for each mask
/// pattern.
struct Join {
    tables: Vec<Vec<JoinTable>>,
}

struct JoinTable {
    /// Names that are compared.
    names: Vec<String>,
    /// Mask groups by the values of these names.
    groups: HashMap<Vec<String>, Vec<usize>>,
}

impl Join {
    fn new(layout: &Layout, part: &MaskPart, images: &[Pattern], masks: &[Pattern], groups: &[Group]) -> Self {
        let tables = images
            .iter()
            .map(|image| {
                let shared = |mask: &Pattern| -> Vec<String> {
                    let stacks = [layout.image.stack.as_deref(), part.stack.as_deref()];
                    let names = image.names().into_iter().filter(|n| !stacks.contains(&Some(*n)));
                    names.filter(|n| mask.names().contains(n)).map(String::from).collect()
                };
                let table = |(index, mask): (usize, &Pattern)| {
                    let names = shared(mask);
                    let mut by_value: HashMap<Vec<String>, Vec<usize>> = HashMap::new();
                    for (at, group) in groups.iter().enumerate().filter(|(_, g)| g.pattern == index) {
                        by_value.entry(values(&names, &group.captures)).or_default().push(at);
                    }
                    JoinTable { names, groups: by_value }
                };
                masks.iter().enumerate().map(table).collect()
            })
            .collect();
        Join { tables }
    }

    /// Mask groups of an image, from the preferred pattern that has any; then those of the other patterns.
    fn groups_of(&self, image: &Group) -> (Vec<usize>, Vec<usize>) {
        let tables = self.tables[image.pattern].iter();
        let mut found = tables.filter_map(|t| t.groups.get(&values(&t.names, &image.captures)).cloned());
        (found.next().unwrap_or_default(), found.flatten().collect())
    }
}

fn values(names: &[String], captures: &Captures) -> Vec<String> {
    names.iter().map(|n| captures.get(n).cloned().unwrap_or_default()).collect()
}

/// The masks of one image, and the files that are copies of them with the reason why they are not used.
fn collect_masks(
    spec: &Spec,
    layout: &Layout,
    masks: &[(Vec<Pattern>, Vec<Group>)],
    joins: &[Join],
    image: &Group,
    path_of: &HashMap<usize, &str>,
) -> (Vec<CaseMask>, Vec<(usize, String)>) {
    let (mut found, mut copies): (Vec<CaseMask>, Vec<(usize, String)>) = (Vec::new(), Vec::new());
    for (index, part) in layout.mask.iter().enumerate() {
        let groups = &masks[index].1;
        let (mut chosen, others) = joins[index].groups_of(image);
        // Masks that lie beside the image come before copies of them elsewhere.
        chosen.sort_by_key(|&at| groups[at].above != image.above);
        let mut taken: HashMap<(String, String), usize> = HashMap::new();
        let mut raters: Vec<(String, CaseMask)> = Vec::new();
        for &at in &chosen {
            let group = &groups[at];
            let capture = |name: &Option<String>| name.as_ref().and_then(|n| group.captures.get(n).cloned());
            let key = capture(&part.label_from);
            let rater = part.rater.as_ref().map(|t| Template::new(t).fill(&group.captures));
            let identity = (key.clone().unwrap_or_default(), rater.clone().unwrap_or_default());
            if let Some(&first) = taken.get(&identity) {
                let first = path_of.get(&first).copied().unwrap_or_default();
                copies.extend(group.files.iter().map(|&f| (f, format!("another copy of the mask {first}"))));
                continue;
            }
            taken.insert(identity, group.files[0]);
            let table = part.labels.as_ref().and_then(|name| spec.labels.get(name));
            let label = part.label.clone().or_else(|| table?.get(key.as_ref()?).cloned());
            let laterality = capture(&part.laterality_from).and_then(|side| match side.bytes().next() {
                Some(b'L' | b'l') => Some("left".to_string()),
                Some(b'R' | b'r') => Some("right".to_string()),
                _ => None,
            });
            let row = match &part.decode {
                Decode::RleTable { row, .. } => Some(Template::new(row).fill(&image.captures)),
                _ => None,
            };
            let mask = CaseMask {
                part: index,
                files: group.files.clone(),
                keys: group.keys.clone(),
                label,
                label_key: key,
                row,
                laterality,
                rater: rater.clone(),
                rater_rank: 0,
            };
            raters.push((rater.unwrap_or_default(), mask));
        }
        for at in others {
            let reason = "the same mask in another layout; the preferred one is used".to_string();
            copies.extend(groups[at].files.iter().map(|&f| (f, reason.clone())));
        }
        let mut names: Vec<String> = raters.iter().map(|(name, _)| name.clone()).collect();
        names.sort_by(|a, b| natural_order(a, b));
        names.dedup();
        found.extend(raters.into_iter().map(|(name, mask)| {
            let place = names.iter().position(|n| *n == name).unwrap_or(0) as u32;
            CaseMask { rater_rank: part.rater_rank + place, ..mask }
        }));
    }
    (found, copies)
}

/// A case is complete when every mask part that must be there is. Where none at all was found the case is unlabelled.
fn completeness(layout: &Layout, found: &[CaseMask]) -> CaseState {
    let missing = layout
        .mask
        .iter()
        .enumerate()
        .find(|(index, part)| part.absent == Absent::Unlabelled && !found.iter().any(|mask| mask.part == *index));
    if let Some((_, part)) = missing {
        return CaseState::Skipped(format!("not labelled: no mask like {} belongs to it", either(&part.path)));
    }
    if found.is_empty() {
        return CaseState::Skipped("not labelled: none of its masks is there".into());
    }
    let unknown = found.iter().find(|m| m.label.is_none() && m.label_key.is_some());
    if let Some(key) = unknown.and_then(|m| m.label_key.as_ref()) {
        return CaseState::Skipped(format!("the spec has no label {key:?}"));
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
        groups.iter().map(one).collect::<Vec<_>>()
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
    let patient = patient.map_or_else(|| name.to_string(), |p| file_safe(&p));
    let split = rules.split.as_deref().map(fill).filter(|s| !s.is_empty());
    let split = split.map(|s| renamed(s, &rules.split_names));
    let sequences: Vec<(String, Option<usize>)> = match rules.image.fourth_axis {
        FourthAxis::Sequences => rules.image.channels.iter().cloned().enumerate().map(|(i, s)| (s, Some(i))).collect(),
        _ => vec![(fill(&rules.image.sequence), None)],
    };
    sequences
        .into_iter()
        .map(|(sequence, channel)| {
            let modality = spec.sequences.get(&sequence).cloned();
            let state = match (&modality, state) {
                (None, CaseState::Complete) => {
                    CaseState::Skipped(format!("the spec gives no modality for the sequence {sequence:?}"))
                }
                _ => state.clone(),
            };
            let id = match channel {
                Some(_) => format!("{}/{name}_{}", spec.slug, file_safe(&sequence)),
                None => format!("{}/{name}", spec.slug),
            };
            Case {
                id,
                source: spec.slug.clone(),
                layout,
                patient: format!("{}/{patient}", spec.slug),
                split: split.clone(),
                sequence,
                modality: modality.unwrap_or_default(),
                image: image.files.clone(),
                image_keys: image.keys.clone(),
                channel,
                masks: masks.to_vec(),
                lists: lists.to_vec(),
                companions: Vec::new(),
                state,
                pseudonym: None,
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

/// Paths under which the data of a header may lie: the same stem beside it, as the formats' conventions have it.
fn companions(path: &str) -> Vec<String> {
    let Some((stem, extension)) = path.rsplit_once('.') else { return Vec::new() };
    let endings: &[&str] = match extension.to_ascii_lowercase().as_str() {
        "mhd" => &["raw", "zraw", "RAW", "raw.gz"],
        "hdr" => &["img", "img.gz", "IMG"],
        "nhdr" => &["raw", "raw.gz", "img"],
        _ => &[],
    };
    endings.iter().map(|ending| format!("{stem}.{ending}")).collect()
}

/// A text as part of an id: letters, digits, dots, dashes and underscores stay, runs of anything else become one `_`.
pub(crate) fn file_safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') {
            out.push(c);
        } else if !out.ends_with('_') && !out.is_empty() {
            out.push('_');
        }
    }
    out.trim_end_matches('_').to_string()
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
