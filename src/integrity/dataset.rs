//! Datasets: every file against its receipt, and the tables against each other.
//!
//! Shards are checked in parallel, each with the shards derived from it, row group by row group: memory does not grow
//! with the dataset.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use serde::Serialize;

use super::tables::{Notes, Parents, walk};
use super::{Finding, Kind, Result};
use crate::image::Samples;
use crate::mask::{Connectivity, Mask};
use crate::pipeline::Progress;
use crate::projection;
use crate::slices::placement::Placement;
use crate::slices::{perceptual_hash, pixels_sha256, thumbnail};
use crate::store::rows::compare_ids;
use crate::store::{
    CaseRow, CaseStatus, Dataset, DuplicateRow, FactorRow, FileRow, LeakRow, MaskIdentity, MaskRow, MetricRow,
    PredictionRow, Problem, Receipt, Rle, Row, SliceInfo, SliceRow, SourceRow, SplitRow, Stage, Table, TableFile,
    audit,
};

/// What was found in a dataset.
#[derive(Clone, Debug, Serialize)]
pub struct DatasetReport {
    /// Folder.
    pub path: String,
    /// Finished shards.
    pub shards: u64,
    /// Rows that their receipts vouch for, by table.
    pub rows: BTreeMap<String, u64>,
    /// Faults and remarks, sorted by kind and path.
    pub findings: Vec<Finding>,
}

impl DatasetReport {
    /// True where nothing is wrong.
    pub fn sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.fault)
    }
}

projection! {
    /// What the rows that belong to a mask repeat of it.
    struct MaskKey of Masks { identity: MaskIdentity, area_px: u32 }
}

/// Looks at every file and every row of a dataset, and says what is wrong.
///
/// # Errors
/// The dataset cannot be opened at all: it is none, its tables are of another version, or its folders cannot be read.
pub fn verify_dataset(dataset: &Dataset, progress: &Progress) -> Result<DatasetReport> {
    progress.say("digests of all files");
    let audit = audit(dataset)?;
    let mut findings: Vec<Finding> = audit.problems.iter().map(finding_of).collect();
    // What is not the file that its receipt vouches for is not read.
    let unsound: BTreeSet<&str> = audit.problems.iter().map(Problem::path).collect();
    let tables = Tables { dataset, unsound };
    let (builds, others): (Vec<&Receipt>, Vec<&Receipt>) = audit.receipts.iter().partition(|r| r.stage == Stage::Build);
    findings.extend(overlaps(&builds));
    findings.extend(tables.sources_of(&builds, &others));
    let (dependents, free) = by_build(&builds, &others, &mut findings);

    progress.begin("verify", "shards", audit.receipts.len() as u64);
    let found: Vec<Vec<Finding>> = builds
        .par_iter()
        .with_max_len(1)
        .map(|build| {
            let of_build = dependents.get(build.id.to_string().as_str()).map_or(&[][..], Vec::as_slice);
            let found = tables.check_build(build, of_build);
            progress.advance(1 + of_build.len() as u64);
            found
        })
        .collect();
    findings.extend(found.into_iter().flatten());
    for receipt in free {
        findings.extend(tables.check_free(receipt));
        progress.advance(1);
    }
    progress.end();
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for (table, file) in audit.receipts.iter().flat_map(|receipt| &receipt.files) {
        *rows.entry(table.to_string()).or_default() += file.rows;
    }
    #[cfg(feature = "query")]
    findings.extend(super::analyses::check_analyses(dataset));
    findings.sort();
    let path = dataset.path().display().to_string();
    Ok(DatasetReport { path, shards: audit.receipts.len() as u64, rows, findings })
}

/// What the store found, as a finding.
fn finding_of(problem: &Problem) -> Finding {
    let kind = match problem {
        Problem::MissingShard { .. } => Kind::MissingShard,
        Problem::BrokenReceipt { .. } => Kind::BrokenReceipt,
        Problem::Uncommitted { .. } => Kind::ForeignShard,
        Problem::MissingFile { .. } => Kind::MissingFile,
        Problem::AlteredFile { .. } => Kind::AlteredFile,
        Problem::ForeignFile { .. } => Kind::ForeignFile,
        Problem::InTheWay { .. } => Kind::InTheWay,
        Problem::WrongManifest { .. } => Kind::Manifest,
    };
    let source = problem.path().split('/').find_map(|part| part.strip_prefix("source="));
    // The kind and the path stand before the sentence in a report.
    let says = match problem {
        Problem::MissingShard { .. } => {
            "listed in the manifest, but the receipt is missing: run its stage again".into()
        }
        Problem::BrokenReceipt { reason, .. } => format!("{reason}: run its stage again"),
        Problem::Uncommitted { .. } => {
            "finished, but not part of the dataset: run its stage with the same options, or --repair".into()
        }
        Problem::MissingFile { .. } => "listed in its receipt, but missing: run its stage again".into(),
        Problem::AlteredFile { reason, .. } => format!("it {reason}: run its stage again"),
        Problem::ForeignFile { .. } => "not listed in any receipt: remove it, or use --repair".into(),
        Problem::InTheWay { .. } => "--repair --apply moves it aside".into(),
        Problem::WrongManifest { reason } => format!("{reason}: run the last stage again"),
    };
    Finding::fault(kind, source, problem.path(), says)
}

/// Shards of the build of one source whose ids overlap: rows would come out of order, or twice.
fn overlaps(builds: &[&Receipt]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for table in [Table::Cases, Table::Slices, Table::Masks] {
        let mut files: Vec<_> = builds.iter().filter_map(|r| Some((&r.source, r.files.get(&table)?))).collect();
        files.sort_by(|a, b| a.0.cmp(b.0).then_with(|| compare_ids(&a.1.first, &b.1.first)));
        for pair in files.windows(2) {
            let ((source, before), (next, after)) = (pair[0], pair[1]);
            if source == next && compare_ids(&before.last, &after.first).is_ge() {
                let says = format!("its ids start at {}, before {} ends at {}", after.first, before.path, before.last);
                findings.push(Finding::fault(Kind::Order, Some(source), &after.path, says));
            }
        }
    }
    findings
}

/// Shards by the shard of the build that they were derived from, and those that were derived from none. A shard whose
/// build is missing is reported.
fn by_build<'a>(
    builds: &[&Receipt],
    others: &[&'a Receipt],
    findings: &mut Vec<Finding>,
) -> (HashMap<String, Vec<&'a Receipt>>, Vec<&'a Receipt>) {
    let ids: BTreeSet<String> = builds.iter().map(|receipt| receipt.id.to_string()).collect();
    let build_of: HashMap<String, &str> = others
        .iter()
        .filter(|r| r.stage == Stage::Predict)
        .filter_map(|r| Some((r.id.to_string(), r.key.get("build")?)))
        .collect();
    let (mut made, mut free): (HashMap<String, Vec<&Receipt>>, Vec<&Receipt>) = (HashMap::new(), Vec::new());
    for &receipt in others {
        let build = match receipt.stage {
            Stage::Factors | Stage::Predict => receipt.key.get("build"),
            Stage::Evaluate => receipt.key.get("predictions").map(|id| build_of.get(id).copied().unwrap_or(id)),
            Stage::Build | Stage::Files | Stage::Leaks | Stage::Split => {
                free.push(receipt);
                continue;
            }
        };
        match build.filter(|build| ids.contains(*build)) {
            Some(build) => made.entry(build.to_string()).or_default().push(receipt),
            None => {
                let says = format!(
                    "derived from the shard {}, which is missing: run {} again",
                    build.unwrap_or("of no build"),
                    if receipt.stage == Stage::Predict { Stage::Predict } else { Stage::Evaluate }
                );
                for file in receipt.files.values() {
                    findings.push(Finding::fault(Kind::Orphan, Some(&receipt.source), &file.path, says.clone()));
                }
            }
        }
    }
    (made, free)
}

/// Model, strategy and variant of predictions.
type Pass = (String, String, String);

/// What a case must agree with.
struct CaseInfo {
    row: CaseRow,
    /// Slices that were seen.
    slices: u32,
}

/// Compares columns of a row with those of the row that it belongs to.
macro_rules! agree {
    ($notes:expr, $id:expr, $row:expr, $parent:expr, $what:literal, $($column:ident),+) => {
        $(if $row.$column != $parent.$column {
            let says = format!(
                concat!("its ", stringify!($column), " is {:?}, but that of its ", $what, " {:?}"),
                $row.$column, $parent.$column
            );
            $notes.push(Kind::Disagreement, $id, says);
        })+
    };
}

/// The tables of a dataset.
struct Tables<'a> {
    dataset: &'a Dataset,
    /// Paths of files that are not what their receipts say.
    unsound: BTreeSet<&'a str>,
}

impl Tables<'_> {
    /// The file of a table of a shard. `Err` where it is there and cannot be believed.
    fn file(&self, receipt: &Receipt, table: Table) -> std::result::Result<Option<TableFile>, ()> {
        let file = self.dataset.file_of(receipt, table);
        if file.as_ref().is_some_and(|file| self.unsound.contains(file.file.path.as_str())) {
            Err(())
        } else {
            Ok(file)
        }
    }

    /// Walks over a table of a shard; `None` where it cannot be believed. Findings go to `found`, and what comes back
    /// is whether its rows can be relied on.
    fn walk<R: Row>(&self, receipt: &Receipt, found: &mut Vec<Finding>, check: impl FnMut(&R, &mut Notes)) -> bool {
        match self.file(receipt, R::TABLE) {
            Err(()) => false,
            Ok(None) => true,
            Ok(Some(file)) => {
                let notes = walk(file, check);
                let reliable = notes.in_order();
                found.extend(notes.finish());
                reliable
            }
        }
    }

    /// A shard of the build and everything derived from it.
    fn check_build(&self, build: &Receipt, made: &[&Receipt]) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut cases: HashMap<String, CaseInfo> = HashMap::new();
        let cases_good = self.walk(build, &mut found, |row: &CaseRow, notes| {
            check_case(row, &build.source, notes);
            cases.insert(row.case_id.clone(), CaseInfo { row: row.clone(), slices: 0 });
        });
        let slices_good = self.walk(build, &mut found, |row: &SliceRow, notes| {
            match cases.get_mut(&row.case_id) {
                Some(case) => {
                    case.slices += 1;
                    agree!(notes, row.slice_id.as_str(), row, case.row, "case", source, patient_id, split, modality);
                    if !case.row.plane.iter().flat_map(|planes| planes.split(", ")).any(|plane| plane == row.plane) {
                        let says = format!("its plane is {:?}, but that of its case {:?}", row.plane, case.row.plane);
                        notes.push(Kind::Disagreement, row.slice_id.as_str(), says);
                    }
                }
                None if cases_good => {
                    notes.push(Kind::Orphan, row.slice_id.as_str(), format!("the case {} is missing", row.case_id));
                }
                None => {}
            }
            below(&row.slice_id, &row.case_id, notes);
            if let Err(why) = check_picture(row) {
                notes.push(Kind::Image, row.slice_id.as_str(), why);
            }
        });
        if cases_good && slices_good {
            found.extend(check_kept(build, &cases));
        }
        let masks_good = self.check_masks(build, slices_good, &mut found);
        let mut passes: HashMap<Pass, &str> = HashMap::new();
        for receipt in made {
            let own = self.check_made(build, receipt, slices_good, masks_good, &mut found);
            let Some(file) = receipt.files.get(&Table::Predictions) else { continue };
            for (strategy, variant) in own {
                let model = receipt.model.clone().unwrap_or_default();
                let says = format!("has predictions of {strategy} {variant} for the same masks as ");
                if let Some(other) = passes.insert((model, strategy, variant), &file.path) {
                    let twice = Finding::fault(Kind::Order, Some(&build.source), &file.path, says + other);
                    found.push(twice);
                }
            }
        }
        found
    }

    fn check_masks(&self, build: &Receipt, slices_good: bool, found: &mut Vec<Finding>) -> bool {
        let slices = self.file(build, Table::Slices).unwrap_or_default();
        let mut parents: Parents<SliceInfo> = Parents::of(slices.clone(), |slice| &slice.slice_id);
        let good = self.walk(build, found, |row: &MaskRow, notes| {
            let id = row.mask_id.as_str();
            let slice = parents.find(&row.slice_id);
            match slice {
                Some(slice) => {
                    agree!(notes, id, row, slice, "slice", case_id, source, patient_id, modality);
                    check_size(&row.mask, slice, id, notes);
                }
                None if slices_good => notes.push(Kind::Orphan, id, format!("the slice {} is missing", row.slice_id)),
                None => {}
            }
            below(id, &row.slice_id, notes);
            let target = format!("{}-{}", row.object, row.modality);
            if row.target != target {
                let says = format!("its target is {:?}, but its object and modality give {target:?}", row.target);
                notes.push(Kind::Disagreement, id, says);
            }
            let spacing = slice.and_then(|slice| slice.spacing_row_mm.zip(slice.spacing_col_mm));
            for why in mask_faults(row, slice.is_some().then_some(spacing)) {
                notes.push(Kind::Mask, id, why);
            }
        });
        if good
            && slices_good
            && let Some(file) = slices
        {
            let mut notes = Notes::new(&file.file.path, &build.source);
            for id in parents.unused() {
                notes.push(Kind::Orphan, id.as_str(), "has no mask; slices without masks are not kept");
            }
            found.extend(notes.finish());
        }
        good
    }

    /// A shard of factors, predictions or metrics against the masks and slices that it was derived from. Gives the
    /// strategies and variants of its predictions.
    fn check_made(
        &self,
        build: &Receipt,
        receipt: &Receipt,
        slices_good: bool,
        masks_good: bool,
        found: &mut Vec<Finding>,
    ) -> Vec<(String, String)> {
        let masks = || {
            Parents::<MaskKey>::of(self.file(build, Table::Masks).unwrap_or_default(), |mask| &mask.identity.mask_id)
        };
        let orphan = |id: &str, notes: &mut Notes| {
            if masks_good {
                notes.push(Kind::Orphan, id, "the mask is missing from the shard that it derives from");
            }
        };
        let mut parents = masks();
        self.walk(receipt, found, |row: &FactorRow, notes| {
            let id = row.mask.mask_id.as_str();
            let Some(mask) = parents.find(id) else { return orphan(id, notes) };
            check_identity(&row.mask, &mask.identity, notes);
            let size = row.values.get("size_px").unwrap_or_default();
            if size != f64::from(mask.area_px) {
                let says = format!("its size is {size} px, but its mask has {}", mask.area_px);
                notes.push(Kind::Disagreement, id, says);
            }
        });
        let mut parents = masks();
        self.walk(receipt, found, |row: &MetricRow, notes| {
            let id = row.mask.mask_id.as_str();
            let Some(mask) = parents.find(id) else { return orphan(id, notes) };
            check_identity(&row.mask, &mask.identity, notes);
            check_model(&row.model, receipt, id, notes);
        });
        let mut parents = masks();
        let slices = self.file(build, Table::Slices).unwrap_or_default();
        let mut pictures: Parents<SliceInfo> = Parents::of(slices, |slice| &slice.slice_id);
        let mut passes: Vec<(String, String)> = Vec::new();
        self.walk(receipt, found, |row: &PredictionRow, notes| {
            let id = row.mask_id.as_str();
            if !passes.iter().any(|(strategy, variant)| *strategy == row.strategy && *variant == row.variant) {
                passes.push((row.strategy.clone(), row.variant.clone()));
            }
            match parents.find(id) {
                Some(mask) => {
                    agree!(notes, id, row, mask.identity, "mask", slice_id, case_id, source);
                }
                None => orphan(id, notes),
            }
            match pictures.find(&row.slice_id) {
                Some(slice) => check_size(&row.mask, slice, id, notes),
                None if slices_good => notes.push(Kind::Orphan, id, format!("the slice {} is missing", row.slice_id)),
                None => {}
            }
            if let Err(why) = decode(&row.mask) {
                notes.push(Kind::Mask, id, why);
            }
            check_model(&row.model, receipt, id, notes);
        });
        passes
    }

    /// A shard that was derived from no shard of the build: files and sources, leaks, splits.
    fn check_free(&self, receipt: &Receipt) -> Vec<Finding> {
        let mut found = Vec::new();
        let own = |source: &str, id: &str, notes: &mut Notes| {
            if source != receipt.source {
                let says = format!("its source is {source:?}, but its folder is that of {:?}", receipt.source);
                notes.push(Kind::Disagreement, id, says);
            }
        };
        self.walk(receipt, &mut found, |row: &FileRow, notes| own(&row.source, &row.path, notes));
        self.walk(receipt, &mut found, |row: &SourceRow, notes| own(&row.source, &row.source, notes));
        self.walk(receipt, &mut found, |_: &LeakRow, _| {});
        self.walk(receipt, &mut found, |_: &DuplicateRow, _| {});
        self.walk(receipt, &mut found, |_: &SplitRow, _| {});
        found
    }

    /// Sources that were built and have no row in the table of sources.
    fn sources_of(&self, builds: &[&Receipt], others: &[&Receipt]) -> Vec<Finding> {
        let built: BTreeSet<&String> = builds.iter().map(|receipt| &receipt.source).collect();
        let described: BTreeSet<&String> = others
            .iter()
            .filter(|receipt| receipt.files.contains_key(&Table::Sources))
            .map(|receipt| &receipt.source)
            .collect();
        let missing = built.difference(&described);
        missing
            .map(|source| {
                let says = "has cases, but no row in the table sources: build it again";
                Finding::fault(Kind::Orphan, Some(source), Table::Sources.name(), says)
            })
            .collect()
    }
}

fn check_case(row: &CaseRow, source: &str, notes: &mut Notes) {
    let id = row.case_id.as_str();
    below(id, source, notes);
    if row.source != source {
        let says = format!("its source is {:?}, but its folder is that of {source:?}", row.source);
        notes.push(Kind::Disagreement, id, says);
    }
    if row.placement.as_deref() == Some(Placement::Shifted.text()) {
        let mm = row.placement_error_mm.unwrap_or_default();
        let says = format!("its masks are paired by index, but their headers place them {mm:.2} mm away");
        notes.push(Kind::Misplaced, id, says);
    }
    if (row.status == CaseStatus::Ok) != (row.kept > 0) || (row.status == CaseStatus::Ok) != row.reason.is_none() {
        let says = format!("it is {} with {} slices and the reason {:?}", row.status, row.kept, row.reason);
        notes.push(Kind::Disagreement, id, says);
    }
}

/// A row that is about a mask repeats what the mask says.
fn check_identity(row: &MaskIdentity, mask: &MaskIdentity, notes: &mut Notes) {
    let id = row.mask_id.as_str();
    agree!(notes, id, row, mask, "mask", slice_id, case_id, patient_id, source, modality, object, target, excluded);
}

/// Numbers of slices, as the cases have them and as they are.
fn check_kept(build: &Receipt, cases: &HashMap<String, CaseInfo>) -> Vec<Finding> {
    let Some(file) = build.files.get(&Table::Cases) else { return Vec::new() };
    let mut notes = Notes::new(&file.path, &build.source);
    let mut wrong: Vec<&CaseInfo> = cases.values().filter(|case| case.slices != case.row.kept).collect();
    wrong.sort_by(|a, b| a.row.case_id.cmp(&b.row.case_id));
    for CaseInfo { row, slices } in wrong {
        let says = format!("states {} kept slices, but has {slices}", row.kept);
        notes.push(Kind::Disagreement, row.case_id.as_str(), says);
    }
    notes.finish()
}

/// Checks that an id begins with the one that it belongs below.
fn below(id: &str, parent: &str, notes: &mut Notes) {
    if !id.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/')) {
        notes.push(Kind::Disagreement, id, format!("its id does not start with {parent}/"));
    }
}

/// A mask lies on the grid of its slice.
fn check_size(mask: &Rle, slice: &SliceInfo, id: &str, notes: &mut Notes) {
    let expected = [slice.height, slice.width];
    if mask.size != expected {
        notes.push(
            Kind::Mask,
            id,
            format!("its size is {}, but that of its slice {}", size(mask.size), size(expected)),
        );
    }
}

fn check_model(model: &str, receipt: &Receipt, id: &str, notes: &mut Notes) {
    if receipt.model.as_deref() != Some(model) {
        let says =
            format!("its model is {model:?}, but its folder is that of {:?}", receipt.model.as_deref().unwrap_or(""));
        notes.push(Kind::Disagreement, id, says);
    }
}

/// Compares a picture with its row.
fn check_picture(row: &SliceRow) -> std::result::Result<(), String> {
    let image = crate::formats::png::read(&row.image.bytes).map_err(|e| format!("its image cannot be decoded: {e}"))?;
    let found = [image.size[1], image.size[0], image.components];
    let expected = [row.height as usize, row.width as usize, row.channels as usize];
    if found != expected {
        let describe = |[h, w, c]: [usize; 3]| format!("{h} x {w} pixels and {c} channel(s)");
        return Err(format!("its image has {}, but its row states {}", describe(found), describe(expected)));
    }
    let Samples::U8(pixels) = &image.samples else {
        return Err(format!("its image is {}, expected uint8", image.samples.dtype()));
    };
    let digest = pixels_sha256(pixels);
    if digest != row.pixels_sha256 {
        return Err(format!("its pixels have SHA-256 {digest}, but its row states {}", row.pixels_sha256));
    }
    let (width, height) = (row.width as usize, row.height as usize);
    let hash = perceptual_hash(pixels, width, height, row.channels);
    if hash != row.perceptual_hash {
        return Err(format!("its perceptual hash is {hash:016x}, but its row states {:016x}", row.perceptual_hash));
    }
    if thumbnail(pixels, width, height, row.channels) != row.thumbnail.0 {
        return Err("its thumbnail does not match its image".into());
    }
    Ok(())
}

fn decode(rle: &Rle) -> std::result::Result<Mask, String> {
    Mask::try_from(rle).map_err(|e| format!("its run lengths are not a mask of {}: {e}", size(rle.size)))
}

/// What a mask's row says otherwise than its runs. `spacing` is that of its slice, where the slice is known.
fn mask_faults(row: &MaskRow, spacing: Option<Option<(f64, f64)>>) -> Vec<String> {
    let mask = match decode(&row.mask) {
        Ok(mask) => mask,
        Err(why) => return vec![why],
    };
    let area = mask.area();
    let (x, y) = mask.centroid().unwrap_or_default();
    let mut faults = Vec::new();
    let mut compare = |what: &str, found: String, recorded: String| {
        if found != recorded {
            faults.push(format!("its {what} is {found}, but its row states {recorded}"));
        }
    };
    compare("area", format!("{area} px"), format!("{} px", row.area_px));
    compare("box", format!("{:?}", mask.bounding_box().unwrap_or_default()), format!("{:?}", row.bbox));
    compare("centroid", format!("({x}, {y})"), format!("({}, {})", row.centroid_x, row.centroid_y));
    let components = mask.component_count(Connectivity::Eight);
    compare("number of components", components.to_string(), row.components.to_string());
    compare("contact with the border", mask.touches_border().to_string(), row.touches_border.to_string());
    if let Some(spacing) = spacing {
        let area = spacing.map(|(row, column)| area as f64 * row * column);
        let describe = |area: Option<f64>| area.map_or("unknown".to_string(), |area| format!("{area} mm²"));
        compare("area", describe(area), describe(row.area_mm2));
    }
    faults
}

fn size([height, width]: [u32; 2]) -> String {
    format!("{height} x {width} pixels")
}
