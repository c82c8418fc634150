//! Almost recognised sources: files match some patterns of a spec, but no release has all of its evidence.

use serde::Serialize;

use super::scan::{FileUse, Scan};
use crate::spec::pattern::{Pattern, composed};
use crate::spec::{Registry, Spec};
use crate::text::grouped;

/// Files that are looked at, the first that no source claims: patterns of all specs are tried on each.
const MOST_FILES: usize = 20_000;

/// Sources that are named.
const MOST_SOURCES: usize = 3;

/// A source that is nearly there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NearMiss {
    /// Slug of the source.
    pub source: String,
    /// Files that fit a pattern of its images.
    pub images: u64,
    /// Files that fit a pattern of its masks.
    pub masks: u64,
    /// What is there and what is missing, as text.
    pub says: String,
}

/// Sources that were not recognised although files that nobody claims fit their patterns; those with most files first.
/// `root` is as [`scan_below`](super::scan_below) takes it.
pub fn near_misses(registry: &Registry, found: &Scan, root: &str, paths: &[&str]) -> Vec<NearMiss> {
    let free = found.files.iter().zip(paths).filter(|(file, _)| **file == FileUse::Unclaimed);
    let free: Vec<String> = free.take(MOST_FILES).map(|(_, path)| composed(&format!("{root}/{path}"))).collect();
    // To compile the patterns of all specs takes longer than to match a few files.
    if free.is_empty() {
        return Vec::new();
    }
    let absent = registry.specs().iter().filter(|spec| !found.sources.iter().any(|source| source.slug == spec.slug));
    let mut near: Vec<NearMiss> = absent.filter_map(|spec| near_miss(spec, &free)).collect();
    near.sort_by(|a, b| (b.images + b.masks).cmp(&(a.images + a.masks)).then_with(|| a.source.cmp(&b.source)));
    near.truncate(MOST_SOURCES);
    near
}

fn near_miss(spec: &Spec, paths: &[String]) -> Option<NearMiss> {
    let fits = |pattern: &String| {
        let pattern = Pattern::new(pattern, spec.ignore_case).ok();
        pattern.map_or(0, |pattern| paths.iter().filter(|path| pattern.matches(path)).count() as u64)
    };
    // The layout that most files fit, and the pattern of it that should have had some.
    let images_of = |layout: &crate::spec::Layout| layout.image.path.iter().map(fits).max().unwrap_or(0);
    let counted = spec.layout.iter().map(|layout| (images_of(layout), layout));
    let (images, layout) = counted.max_by_key(|(images, layout)| (*images, std::cmp::Reverse(layout.name.len())))?;
    let masks = spec.layout.iter().flat_map(|l| &l.mask).flat_map(|m| &m.path).map(fits).max().unwrap_or(0);
    if images + masks == 0 {
        return None;
    }
    let mask = layout.mask.first().and_then(|mask| mask.path.first()).map_or("", String::as_str);
    let image = layout.image.path.first().map_or("", String::as_str);
    let slug = &spec.slug;
    let says = match (images, masks) {
        (images, 0) => {
            format!(
                "{} file(s) match the image pattern of {slug}, but none matches its mask pattern {mask}",
                grouped(images)
            )
        }
        (0, masks) => {
            format!(
                "{} file(s) match the mask pattern of {slug}, but none matches its image pattern {image}",
                grouped(masks)
            )
        }
        (images, masks) => {
            let missing = |release: &crate::spec::Release| -> Vec<String> {
                release.evidence.iter().filter(|pattern| fits(pattern) == 0).cloned().collect()
            };
            let missing = spec.release.iter().map(missing).min_by_key(Vec::len).unwrap_or_default();
            let found = format!(
                "{} file(s) match the image pattern of {slug} and {} its mask pattern",
                grouped(images),
                grouped(masks)
            );
            if missing.is_empty() {
                let says = format!(
                    "{found}, but not within one download: pass the folder that contains them, or --source {slug}"
                );
                return Some(NearMiss { source: slug.clone(), images, masks, says });
            }
            format!("{found}, but none matches the required evidence {}", missing.join(" and "))
        }
    };
    Some(NearMiss { source: slug.clone(), images, masks, says })
}

#[cfg(test)]
mod tests {
    use super::super::scan;
    use super::*;

    #[test]
    fn what_is_nearly_there_is_told_with_the_pattern_that_nothing_matches() {
        let registry = Registry::built_in().unwrap();
        let near = |paths: &[&str]| near_misses(&registry, &scan(&registry, paths), "x", paths);
        let acdc = near(&[
            "database/training/patient001/patient001_frame01.nii.gz",
            "database/training/patient001/patient001_frame01_seg.nii.gz",
        ]);
        assert_eq!((acdc[0].source.as_str(), acdc[0].images, acdc[0].masks), ("acdc", 1, 0));
        assert!(acdc[0].says.contains("_gt.nii"), "{}", acdc[0].says);
        let drive = near(&["DRIVE/test/images/01_test.tif", "DRIVE/test/1st_manual/01_manual1.gif"]);
        let drive = drive.iter().find(|n| n.source == "drive").unwrap();
        assert!(drive.says.contains("training/1st_manual"), "{}", drive.says);
        assert!(near(&["holiday.jpg"]).is_empty());
    }
}
