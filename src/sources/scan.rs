//! Scan: all specs of a registry applied to a tree.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::claim::{Case, CaseState, Source, claim};
use super::settle;
use crate::raw::{DigestCache, Tree};
use crate::spec::pattern::composed;
use crate::spec::{Registry, Spec};

/// What a tree holds.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Sources found, in alphabetical order.
    pub sources: Vec<Source>,
    /// Use of every file, in the order of the tree.
    pub files: Vec<FileUse>,
}

/// What becomes of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileUse {
    /// Part of a case that will be built.
    Used {
        /// Slug of the source.
        source: String,
    },
    /// Known, and not used.
    Skipped {
        /// Slug of the source.
        source: String,
        /// Why.
        reason: String,
    },
    /// No source claims it.
    Unclaimed,
}

/// Finds the sources of `registry` among `paths` (the members of a tree, in its order), by their names alone: several
/// images may give one case, until `settle` reads them.
///
/// A file below a folder or archive that is named exactly as a source's slug belongs to that source, where that has its
/// evidence there and knows the file; of several such folders the innermost counts. A file that two sources claim all
/// the same belongs to neither: the cases are skipped with the names of both, and naming the source (`--source`)
/// settles it.
pub fn scan(registry: &Registry, paths: &[&str]) -> Scan {
    scan_below(registry, "", paths)
}

/// As [`scan`], of all that a tree holds; the name of its folder counts as [`scan_below`] says. What names leave open
/// is settled by content.
pub fn scan_tree(registry: &Registry, tree: &Tree, cache: Option<&mut DigestCache>) -> Scan {
    let paths: Vec<&str> = tree.members().iter().map(|m| m.path.as_str()).collect();
    let mut found = scan_below(registry, tree.name(), &paths);
    settle(&mut found, registry, tree, cache);
    found
}

/// As [`scan`], of paths below a folder called `root`. A source that is not recognised by the paths is looked for with
/// this name before them: patterns of some sources hold the name of the outermost folder (`Kvasir-SEG/images/…`).
pub fn scan_below(registry: &Registry, root: &str, paths: &[&str]) -> Scan {
    let plain: Vec<String> = paths.iter().map(|path| composed(path)).collect();
    let prefix = if root.is_empty() { String::new() } else { format!("{}/", composed(root)) };
    let rooted: Vec<String> = plain.iter().map(|path| format!("{prefix}{path}")).collect();
    let owner = owners(registry, &rooted);
    let claim_of = |(index, spec): (usize, &Spec)| {
        let open = |names: &[String]| {
            let names = names.iter().enumerate().filter(|(file, _)| owner[*file].is_none_or(|o| o == index));
            claim(spec, &names.map(|(file, name)| (file, name.as_str())).collect::<Vec<_>>())
        };
        let with_root = || Some(Source { prefix: prefix.clone(), ..open(&rooted)? });
        open(&plain).or_else(|| if prefix.is_empty() { None } else { with_root() })
    };
    let mut sources: Vec<Source> = registry.specs().par_iter().enumerate().filter_map(claim_of).collect();
    settle_conflicts(&mut sources, paths);
    let files = uses(&sources, paths.len());
    Scan { sources, files }
}

/// The source that each file must belong to by the name of a folder above it: of several such folders the innermost,
/// and of the files below it those that the source knows.
fn owners(registry: &Registry, paths: &[String]) -> Vec<Option<usize>> {
    let slugs: HashMap<&str, usize> = registry.specs().iter().enumerate().map(|(i, s)| (s.slug.as_str(), i)).collect();
    let mut owned: HashMap<String, HashSet<usize>> = HashMap::new();
    let known_below = |folder: &str, source: usize| -> HashSet<usize> {
        let inside = paths.iter().enumerate().filter(|(_, path)| path.starts_with(folder));
        let inside: Vec<(usize, &str)> = inside.map(|(file, path)| (file, path.as_str())).collect();
        let Some(found) = claim(&registry.specs()[source], &inside) else { return HashSet::new() };
        found.cases.iter().flat_map(Case::files).chain(found.skipped.iter().map(|(file, _)| *file)).collect()
    };
    let mut owner_of = |(file, path): (usize, &String)| {
        let ends: Vec<usize> = path.match_indices('/').map(|(end, _)| end).collect();
        ends.into_iter().rev().find_map(|end| {
            let start = path[..end].rfind('/').map_or(0, |at| at + 1);
            let source = slugs.get(&path[start..end]).copied()?;
            let folder = &path[..=end];
            if !owned.contains_key(folder) {
                owned.insert(folder.to_string(), known_below(folder, source));
            }
            owned[folder].contains(&file).then_some(source)
        })
    };
    paths.iter().enumerate().map(&mut owner_of).collect()
}

/// What becomes of each of so many files.
pub(super) fn uses(sources: &[Source], files: usize) -> Vec<FileUse> {
    let mut files = vec![FileUse::Unclaimed; files];
    for source in sources {
        let slug = &source.slug;
        for (file, reason) in &source.skipped {
            if !matches!(files[*file], FileUse::Used { .. }) {
                files[*file] = FileUse::Skipped { source: slug.clone(), reason: reason.clone() };
            }
        }
        for case in &source.cases {
            for file in case.files() {
                match &case.state {
                    CaseState::Complete => files[file] = FileUse::Used { source: slug.clone() },
                    CaseState::Skipped(reason) | CaseState::Ambiguous(reason) if files[file] == FileUse::Unclaimed => {
                        files[file] = FileUse::Skipped { source: slug.clone(), reason: reason.clone() };
                    }
                    CaseState::Skipped(_) | CaseState::Ambiguous(_) => {}
                }
            }
        }
    }
    files
}

/// Skips every case that shares a file with a case of another source.
fn settle_conflicts(sources: &mut [Source], paths: &[&str]) {
    let mut claims: HashMap<usize, Vec<String>> = HashMap::new();
    for source in sources.iter() {
        for case in source.cases.iter().filter(|c| c.state == CaseState::Complete) {
            for &file in &case.image {
                let claimants = claims.entry(file).or_default();
                if !claimants.contains(&source.slug) {
                    claimants.push(source.slug.clone());
                }
            }
        }
    }
    for source in sources {
        for case in &mut source.cases {
            let contested = case.image.iter().find(|file| claims.get(file).is_some_and(|c| c.len() > 1));
            if let (Some(file), CaseState::Complete) = (contested, &case.state) {
                let names = claims[file].join(" and ");
                case.state = CaseState::Skipped(format!(
                    "{} matches the sources {names}: select one with --source, or put it into a folder of that name",
                    paths[*file]
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settle::settle_by;
    use super::*;

    fn found(paths: &[&str]) -> Scan {
        let registry = Registry::built_in().unwrap();
        let mut found = scan(&registry, paths);
        settle_by(&mut found, &registry, paths, &mut |_, _| true);
        found
    }

    #[test]
    fn pairs_images_and_masks_wherever_they_lie() {
        let scan = found(&[
            "ACDC.zip/ACDC/database/training/patient001/Info.cfg",
            "ACDC.zip/ACDC/database/training/patient001/patient001_4d.nii.gz",
            "ACDC.zip/ACDC/database/training/patient001/patient001_frame01.nii.gz",
            "ACDC.zip/ACDC/database/training/patient001/patient001_frame01_gt.nii.gz",
            "ACDC.zip/ACDC/database/training/patient001/patient001_frame12.nii.gz",
            "notes.txt",
        ]);
        let [acdc] = &scan.sources[..] else { panic!("one source expected: {:?}", scan.sources) };
        assert_eq!((acdc.slug.as_str(), acdc.release.as_str()), ("acdc", "2022 collection"));
        let [first, second] = &acdc.cases[..] else { panic!("two cases expected") };
        assert_eq!(first.id, "acdc/patient001_frame01");
        assert_eq!(first.patient, "acdc/patient001");
        assert_eq!(first.split.as_deref(), Some("train"));
        assert_eq!(first.modality, "Cine-MRI");
        assert_eq!((&first.image[..], &first.masks[0].files[..]), (&[2][..], &[3][..]));
        assert!(matches!(&second.state, CaseState::Skipped(reason) if reason.starts_with("unlabelled")));
        assert!(matches!(&scan.files[1], FileUse::Skipped { reason, .. } if reason.contains("cine loop")));
        assert_eq!(scan.files[5], FileUse::Unclaimed);
    }

    #[test]
    fn a_folder_called_like_a_source_has_only_what_that_knows() {
        let scan = found(&[
            "drive/ACDC/patient001/patient001_frame01.nii.gz",
            "drive/ACDC/patient001/patient001_frame01_gt.nii.gz",
            "drive/DRIVE/training/1st_manual/21_manual1.gif",
            "drive/DRIVE/training/images/21_training.tif",
            "drive/x/mnms/OpenDataset/Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz",
            "drive/x/mnms/OpenDataset/Training/Labeled/A0S9V9/A0S9V9_sa_gt.nii.gz",
        ]);
        let found: Vec<_> = scan.sources.iter().map(|s| (s.slug.as_str(), s.cases.len())).collect();
        assert_eq!(found, [("acdc", 1), ("drive", 1), ("mnms", 1)]);
    }

    #[test]
    fn copies_are_named_and_not_built_twice() {
        let scan = found(&[
            "a/Image_01L.jpg",
            "a/Image_01L_1stHO.png",
            "a/Image_01L_2ndHO.png",
            "b/Image_01L.jpg",
            "b/Image_01L_1stHO.png",
        ]);
        let case = &scan.sources[0].cases[0];
        assert_eq!(scan.sources[0].cases.len(), 1);
        assert_eq!(case.masks.iter().map(|m| m.rater_rank).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(case.masks[0].laterality.as_deref(), Some("left"));
        assert!(matches!(&scan.files[3], FileUse::Skipped { reason, .. } if reason.contains("another copy")));
        assert!(matches!(&scan.files[4], FileUse::Skipped { reason, .. } if reason.contains("another copy")));
    }

    #[test]
    fn stacks_are_ordered_as_people_count() {
        let scan = found(&[
            "Siemens/Patient 383/GT/prostate/image1.dcm",
            "Siemens/Patient 383/GT/prostate/image10.dcm",
            "Siemens/Patient 383/GT/prostate/image2.dcm",
            "Siemens/Patient 383/T2W/image1.dcm",
            "Siemens/Patient 383/T2W/image10.dcm",
            "Siemens/Patient 383/T2W/image2.dcm",
        ]);
        let case = &scan.sources[0].cases[0];
        assert_eq!(case.id, "i2cvb/Patient_383");
        assert_eq!(case.image, [3, 5, 4]);
        assert_eq!(case.image_keys, ["1", "2", "10"]);
        assert_eq!(case.masks[0].files, [0, 2, 1]);
        assert_eq!(case.masks[0].keys, ["1", "2", "10"]);
        assert_eq!(case.masks[0].label.as_ref().unwrap().object, "prostate");
    }

    #[test]
    fn every_image_finds_its_row_in_the_one_table() {
        let scan = found(&[
            "dicom-images-test/1/2/9.3.dcm",
            "dicom-images-train/1/2/9.1.dcm",
            "dicom-images-train/1/2/9.2.dcm",
            "stage_2_train.csv",
            "train-rle.csv",
        ]);
        let rows: Vec<_> =
            scan.sources[0].cases.iter().map(|c| (c.masks[0].files[0], c.masks[0].row.as_deref())).collect();
        assert_eq!(rows, [(3, Some("9.1")), (3, Some("9.2")), (3, Some("9.3"))]);
        assert!(matches!(&scan.files[4], FileUse::Skipped { reason, .. } if reason.contains("preferred")));
    }

    #[test]
    fn sequences_along_the_fourth_axis_become_cases() {
        let scan =
            found(&["Task05_Prostate/imagesTr/prostate_00.nii.gz", "Task05_Prostate/labelsTr/prostate_00.nii.gz"]);
        let ids: Vec<&str> = scan.sources[0].cases.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["msd/prostate_00_ADC", "msd/prostate_00_T2w"]);
        assert_eq!(scan.sources[0].cases[0].channel, Some(1));
    }

    #[test]
    fn files_that_belong_to_no_case_have_a_reason() {
        const UID: &str = "1.3.6.1.4.1.14519.5.2.1.6279.6001.1";
        let (header, data) = (format!("seg-lungs-LUNA16/{UID}.mhd"), format!("seg-lungs-LUNA16/{UID}.zraw"));
        let scan = found(&["livscar/p1/image.nii", "livscar/p1/scar.nii", "livscar/readme.pdf", &header, &data]);
        let reason = |file: &FileUse| match file {
            FileUse::Skipped { reason, .. } => reason.clone(),
            other => panic!("a skipped file expected: {other:?}"),
        };
        assert_eq!(scan.files[0], FileUse::Used { source: "livscar".into() });
        assert!(reason(&scan.files[2]).starts_with("the layout of this download"));
        assert!(reason(&scan.files[3]).starts_with("a mask without its image"));
        assert_eq!(reason(&scan.files[4]), reason(&scan.files[3]), "the data goes the way of its header");
    }

    #[test]
    fn a_download_in_an_unknown_layout_says_how_to_arrange_it() {
        let scan = found(&["4C2021_C04_TLS01.zip/images/001.nii.gz", "4C2021_C04_TLS01.zip/labels/001.nii.gz"]);
        assert_eq!(scan.sources[0].slug, "4c2021-tls01");
        for file in &scan.files {
            let FileUse::Skipped { reason, .. } = file else { panic!("a skipped file expected: {file:?}") };
            assert!(reason.contains("Train Label 01/001.nii.gz") && reason.contains("--spec"), "{reason}");
        }
    }
}
