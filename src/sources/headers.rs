//! Headers with separate data files: the files that they name, if these do not have the header's stem.

use std::collections::HashMap;

use super::scan::Scan;
use crate::formats;
use crate::raw::Tree;
use crate::spec::pattern::composed;

/// Most bytes that a header without data has.
const MOST_BYTES: u64 = 1 << 20;

/// Data files of headers by the header's file: positions in the tree; `None` where not all that it names are known.
pub(super) type DataFiles = HashMap<usize, Option<Vec<usize>>>;

/// Reads the headers of a scan's cases for the data files that they name, and counts these as files of the cases.
pub(super) fn find_data(found: &mut Scan, tree: &Tree) -> DataFiles {
    let paths: Vec<String> = tree.members().iter().map(|member| composed(&member.path)).collect();
    let mut by_path: Option<HashMap<&str, usize>> = None;
    let mut files = DataFiles::new();
    for source in &mut found.sources {
        for case in &mut source.cases {
            let rivals: Vec<usize> = case.masks.iter().flat_map(|mask| &mask.rivals).flatten().copied().collect();
            let own: Vec<usize> = case.image.iter().chain(case.masks.iter().flat_map(|m| &m.files)).copied().collect();
            for file in own.iter().chain(&rivals).copied() {
                let path = &paths[file];
                let Some(named_data) = formats::named_data(path) else { continue };
                let known =
                    by_path.get_or_insert_with(|| paths.iter().enumerate().map(|(i, p)| (p.as_str(), i)).collect());
                let data = files.entry(file).or_insert_with(|| {
                    let member = &tree.members()[file];
                    let bytes = (member.size <= MOST_BYTES).then(|| tree.read(member).ok())??;
                    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
                    let names = named_data(&bytes)?;
                    let of = |name: &String| known.get(composed(&format!("{folder}{name}")).as_str()).copied();
                    names.iter().map(of).collect()
                });
                if let Some(data) = data.as_ref().filter(|_| own.contains(&file)) {
                    case.companions.extend(data);
                }
            }
            case.companions.sort();
            case.companions.dedup();
        }
    }
    files
}
