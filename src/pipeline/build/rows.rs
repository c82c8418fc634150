//! The rows of a case, its slices and its masks.

use std::collections::{BTreeMap, BTreeSet};

use super::report::placement_count;
use super::shards::Digests;
use crate::mask::Connectivity;
use crate::pipeline::Result;
use crate::raw::Tree;
use crate::slices::{CaseSlices, ObjectMask, Slice};
use crate::sources::Case;
use crate::spec::{Spec, bounded, id_part, make_distinct, sided_names};
use crate::store::{CaseRow, CaseStatus, EncodedImage, MaskRow, RawMember, Rle, ShardWriter, SliceRow};
use crate::text::printable_line;

/// The row of a case before anything is known of its pixels.
pub(super) fn case_row(case: &Case, release: &str, tree: &Tree, digests: &Digests) -> CaseRow {
    let member = |&file: &usize, role: &str| RawMember {
        path: case.public(&tree.members()[file].path),
        size: tree.members()[file].size,
        sha256: match &digests[file] {
            Some(Ok(digest)) => digest.clone(),
            _ => String::new(),
        },
        role: role.into(),
    };
    let image = case.image.iter().map(|f| member(f, "image"));
    let masks = case.masks.iter().flat_map(|m| &m.files).map(|f| member(f, "mask"));
    let data = case.companions.iter().map(|f| member(f, "data"));
    let lists = case.lists.iter().map(|l| member(&l.file, "list"));
    CaseRow {
        case_id: case.id.clone(),
        source: case.source.clone(),
        release: Some(release.to_string()),
        patient_id: case.patient.clone(),
        split: case.split.clone(),
        sequence: Some(case.sequence.clone()),
        modality: case.modality.clone(),
        raw: image.chain(masks).chain(data).chain(lists).collect(),
        shape: Vec::new(),
        dtype: None,
        spacing: None,
        orientation: None,
        affine: None,
        plane: None,
        n_slices: 0,
        kept: 0,
        dropped_slices: 0,
        dropped_masks: 0,
        placement: None,
        placement_error_mm: None,
        status: CaseStatus::Ok,
        reason: None,
        notes: Vec::new(),
    }
}

/// The rows of the slices and masks of a case.
pub(super) type SliceRows = Vec<(SliceRow, Vec<MaskRow>)>;

/// The rows of what was cut of a case, of each slice in the order of their ids; the reason where two masks would have
/// one id.
pub(super) fn slice_rows(spec: &Spec, case: &Case, slices: Vec<Slice>) -> std::result::Result<SliceRows, String> {
    let sided = sided_names(spec, &spec.layout[case.layout]);
    let raters = case.masks.iter().filter_map(|mask| mask.rater.clone());
    let mut raters: BTreeMap<String, String> = raters.map(|rater| (rater.clone(), id_part(&rater))).collect();
    make_distinct(&mut raters);
    let names = MaskNames { sided, raters };
    let rows: SliceRows = slices.into_iter().map(|slice| rows_of(case, &names, slice)).collect();
    for (_, masks) in &rows {
        if let Some([a, b]) = masks.array_windows().find(|[a, b]| a.mask_id == b.mask_id) {
            let described = |mask: &MaskRow| format!("{:?} ({})", mask.label_name, mask.label_value);
            return Err(format!(
                "two masks of one slice share the id {}: {} and {}; distinguish them in the spec by label name, \
                 laterality or rater, or remove one of the files",
                a.mask_id,
                described(a),
                described(b)
            ));
        }
    }
    Ok(rows)
}

/// Writes the rows of a case that was cut: `row` is completed by what `cut` says, and `rows` are those of its slices.
pub(super) fn push_case(
    writer: &mut ShardWriter,
    mut row: CaseRow,
    case: &Case,
    cut: CaseSlices,
    rows: SliceRows,
) -> Result<()> {
    row.shape = cut.shape;
    row.dtype = Some(cut.dtype.into());
    row.spacing = cut.spacing.map(|s| s.to_vec());
    row.orientation = cut.orientation;
    row.affine = cut.affine.map(|affine| affine.concat());
    row.plane = Some(cut.plane);
    row.n_slices = cut.n_slices;
    row.kept = rows.len() as u32;
    row.dropped_slices = cut.dropped_slices;
    row.dropped_masks = cut.dropped_masks;
    row.placement = Some(cut.placement.text().into());
    row.placement_error_mm = cut.placement_error_mm;
    // Notes quote texts of headers.
    let note = |note: &String| printable_line(&case.public(note)).into_owned();
    row.notes = cut.notes.iter().chain(&case.notes).map(note).collect();
    if rows.is_empty() {
        row.status = CaseStatus::Skipped;
        row.reason = Some("no mask is large enough".into());
    }
    writer.count(if rows.is_empty() { "case_skipped" } else { "case" }, 1);
    writer.count(&placement_count(cut.placement), 1);
    writer.count("slice_empty", cut.empty_slices as u64);
    writer.count("slice_dropped_small", cut.dropped_slices as u64);
    writer.count("mask_dropped_small", cut.dropped_masks as u64);
    writer.push(row)?;
    for (slice, masks) in rows {
        writer.push(slice)?;
        for mask in masks {
            writer.push(mask)?;
        }
    }
    Ok(())
}

/// What mask ids of a case depend on besides the mask.
struct MaskNames {
    /// Labels that only the side tells apart.
    sided: BTreeSet<String>,
    /// The part of an id for each rater.
    raters: BTreeMap<String, String>,
}

fn rows_of(case: &Case, names: &MaskNames, slice: Slice) -> (SliceRow, Vec<MaskRow>) {
    let slice_id = format!("{}/{}", case.id, slice.name);
    let row = |object| mask_row(case, (&slice_id, names), slice.spacing, object);
    let mut masks: Vec<MaskRow> = slice.masks.iter().map(row).collect();
    masks.sort_by(|a, b| a.mask_id.cmp(&b.mask_id));
    let row = SliceRow {
        case_id: case.id.clone(),
        source: case.source.clone(),
        patient_id: case.patient.clone(),
        split: case.split.clone(),
        modality: case.modality.clone(),
        plane: slice.plane,
        slice_index: slice.index,
        frame: slice.frame,
        height: slice.height,
        width: slice.width,
        channels: slice.channels,
        spacing_row_mm: slice.spacing.map(|s| s.0),
        spacing_col_mm: slice.spacing.map(|s| s.1),
        intensity_min: slice.intensity_min,
        intensity_max: slice.intensity_max,
        image: EncodedImage { bytes: slice.png.into(), path: format!("{slice_id}.png") },
        pixels_sha256: slice.pixels_sha256,
        perceptual_hash: slice.perceptual_hash,
        thumbnail: slice.thumbnail.into(),
        slice_id,
    };
    (row, masks)
}

/// `<slice>/<label>`, `_left` or `_right` where only the side tells labels of the layout apart, then `-<instance>` and
/// `@<rater>` where there are several: instances are padded, so that they sort as they count.
fn mask_id(slice_id: &str, names: &MaskNames, object: &ObjectMask) -> String {
    let label = id_part(&object.label.name);
    let mut name = label.clone();
    if let Some(side) = object.label.laterality.as_deref().filter(|_| names.sided.contains(&label)) {
        name.push_str(&format!("_{side}"));
    }
    if let Some(instance) = object.instance {
        name.push_str(&format!("-{instance:05}"));
    }
    if let Some(rater) = object.rater.as_deref().filter(|_| object.rater_rank > 0) {
        let part = names.raters.get(rater).cloned().unwrap_or_else(|| id_part(rater));
        name.push_str(&format!("@{part}"));
    }
    format!("{slice_id}/{}", bounded(name))
}

fn mask_row(
    case: &Case,
    (slice_id, names): (&str, &MaskNames),
    spacing: Option<(f64, f64)>,
    object: &ObjectMask,
) -> MaskRow {
    let mask = &object.mask;
    let area = mask.area();
    let (centroid_x, centroid_y) = mask.centroid().unwrap_or_default();
    MaskRow {
        mask_id: mask_id(slice_id, names, object),
        slice_id: slice_id.to_string(),
        case_id: case.id.clone(),
        patient_id: case.patient.clone(),
        source: case.source.clone(),
        modality: case.modality.clone(),
        object: object.label.object.clone(),
        target: format!("{}-{}", object.label.object, case.modality),
        label_value: object.label_value.clone(),
        label_name: object.label.name.clone(),
        laterality: object.label.laterality.clone(),
        instance: object.instance,
        rater: object.rater.clone(),
        excluded: object.label.exclude.is_some(),
        exclusion_reason: object.label.exclude.clone(),
        area_px: area as u32,
        area_mm2: spacing.map(|(row, column)| area as f64 * row * column),
        bbox: mask.bounding_box().unwrap_or_default(),
        centroid_x,
        centroid_y,
        components: mask.component_count(Connectivity::Eight),
        touches_border: mask.touches_border(),
        mask: Rle { size: [mask.height(), mask.width()], counts: mask.to_coco().into() },
    }
}
