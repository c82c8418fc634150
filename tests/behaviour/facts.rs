//! Real downloads, case by case: every slice and mask as other programs read them, and what is known of each source.

use std::collections::BTreeMap;

use medcosmos::formats::png;
use medcosmos::image::Samples;
use medcosmos::mask::Mask;
use medcosmos::pipeline::BuildOptions;
use medcosmos::slices::{Options, Raters};
use medcosmos::store::{CaseRow, Dataset, MaskRow, SliceRow};

use crate::program::hex;
use crate::samples;

fn rows<R: medcosmos::store::Projection>(dataset: &Dataset) -> Vec<R> {
    dataset.rows().unwrap().collect::<Result<_, _>>().unwrap()
}

fn bitmap(row: &MaskRow) -> Vec<u8> {
    let [height, width] = row.mask.size;
    Mask::from_coco(height, width, &row.mask.counts).unwrap().to_bitmap()
}

/// The columns of `masks.tsv` behind the id.
fn describe(row: &MaskRow) -> String {
    let bounds = row.bbox.map(|n| n.to_string()).join(" ");
    format!("{}\t{bounds}\t{}", row.area_px, &hex(&bitmap(row))[..16])
}

/// Lines of a table, by their first column.
fn table(text: &'static str) -> BTreeMap<&'static str, &'static str> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once('\t').unwrap()).collect()
}

/// Checks that two tables are the same, and names every line that is not.
fn assert_lines(expected: &BTreeMap<&str, &str>, found: &BTreeMap<String, String>) {
    let mut wrong: Vec<String> = Vec::new();
    for (id, line) in expected {
        match found.get(*id) {
            None => wrong.push(format!("{id} is missing")),
            Some(found) if found != line => wrong.push(format!("{id}: expected {line}, found {found}")),
            Some(_) => {}
        }
    }
    wrong.extend(found.keys().filter(|id| !expected.contains_key(id.as_str())).map(|id| format!("{id} is too many")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_slice_has_the_pixels_that_other_readers_give() {
    let Some((dataset, _)) = samples::built() else { return };
    let describe = |row: &SliceRow| {
        let digest = &row.pixels_sha256[..16];
        format!("{}\t{}\t{}\t{digest}", row.height, row.width, row.channels)
    };
    let slices = rows::<SliceRow>(dataset);
    let found = slices.iter().map(|row| (row.slice_id.clone(), describe(row))).collect();
    assert_lines(&table(include_str!("slices.tsv")), &found);
    for row in &slices {
        let picture = png::read(&row.image.bytes).unwrap();
        let Samples::U8(pixels) = picture.samples else { panic!("{} is not of 8 bits", row.slice_id) };
        assert_eq!(hex(&pixels), row.pixels_sha256, "{}: the PNG holds other pixels", row.slice_id);
    }
}

#[test]
fn every_mask_has_the_pixels_that_other_readers_give() {
    let Some((dataset, _)) = samples::built() else { return };
    let found = rows::<MaskRow>(dataset).iter().map(|row| (row.mask_id.clone(), describe(row))).collect();
    let mut expected = table(include_str!("masks.tsv"));
    expected.retain(|id, _| !id.contains('@')); // second raters
    assert_lines(&expected, &found);
}

#[test]
fn every_case_is_built_and_nothing_that_was_left_out_is_kept_quiet() {
    let Some((dataset, report)) = samples::built() else { return };
    assert!(report.clean(), "{report:?}");
    let sources: Vec<&str> = report.sources.keys().map(String::as_str).collect();
    assert_eq!(sources, samples::SOURCES);
    let cases = rows::<CaseRow>(dataset);
    assert!(cases.iter().all(|case| case.status.name() == "ok" && case.reason.is_none()));
    for case in &cases {
        assert!(case.raw.iter().all(|file| file.sha256.len() == 64 && file.size > 0), "{case:?}");
        assert!(case.raw.iter().any(|f| f.role == "image") && case.raw.iter().any(|f| f.role == "mask"), "{case:?}");
    }
    // Slices are kept, dropped because their masks are too small, or without any object: none goes missing.
    for (source, counted) in &report.sources {
        let cases = cases.iter().filter(|case| case.source == *source);
        let slices: u32 = cases.map(|case| case.n_slices).sum();
        let accounted = counted.slices + counted.dropped_slices + counted.empty_slices;
        assert_eq!(accounted, slices as u64, "{source}: {counted:?}");
    }
}

/// Area, where the spacing is known, and what the five numbers of a mask say must agree with its pixels.
#[test]
fn columns_of_a_mask_agree_with_its_pixels() {
    let Some((dataset, _)) = samples::built() else { return };
    let slices: BTreeMap<String, SliceRow> =
        rows::<SliceRow>(dataset).into_iter().map(|row| (row.slice_id.clone(), row)).collect();
    for row in rows::<MaskRow>(dataset) {
        let slice = &slices[&row.slice_id];
        assert_eq!(row.mask.size, [slice.height, slice.width], "{}", row.mask_id);
        assert!(row.area_px > 50, "{}", row.mask_id);
        let area_mm2 = slice.spacing_row_mm.zip(slice.spacing_col_mm).map(|(r, c)| r * c * row.area_px as f64);
        let agree = match (row.area_mm2, area_mm2) {
            (Some(found), Some(expected)) => (found / expected - 1.0).abs() < 1e-12,
            (found, expected) => found == expected,
        };
        assert!(agree, "{}: {:?}, expected {area_mm2:?}", row.mask_id, row.area_mm2);
        let bitmap = bitmap(&row);
        let inside = || (0..bitmap.len()).filter(|&i| bitmap[i] == 1);
        let mean = |f: &dyn Fn(usize) -> usize| inside().map(|i| f(i) as f64).sum::<f64>() / row.area_px as f64;
        let width = slice.width as usize;
        assert!((row.centroid_x - mean(&|i| i % width)).abs() < 1e-6, "{}", row.mask_id);
        assert!((row.centroid_y - mean(&|i| i / width)).abs() < 1e-6, "{}", row.mask_id);
        assert_eq!(row.target, format!("{}-{}", row.object, row.modality));
    }
}

/// 8-bit values back to Hounsfield units: truncation loses half a grey level on average.
#[test]
fn the_liver_of_chaos_is_as_bright_as_a_liver() {
    let Some((dataset, _)) = samples::built() else { return };
    let masks: BTreeMap<String, MaskRow> =
        rows::<MaskRow>(dataset).into_iter().map(|row| (row.slice_id.clone(), row)).collect();
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for slice in rows::<SliceRow>(dataset).iter().filter(|slice| slice.source == "chaos") {
        let Samples::U8(pixels) = png::read(&slice.image.bytes).unwrap().samples else { panic!("not of 8 bits") };
        let level = (slice.intensity_max - slice.intensity_min) / 255.0;
        for (&pixel, inside) in pixels.iter().zip(bitmap(&masks[&slice.slice_id])) {
            let hounsfield = slice.intensity_min + level * (pixel as f64 + 0.5);
            if inside == 1 {
                (n, sum, squares) = (n + 1.0, sum + hounsfield, squares + hounsfield * hounsfield);
            }
        }
    }
    let mean: f64 = sum / n;
    let deviation = (squares / n - mean * mean).sqrt();
    println!("{mean:.2} ± {deviation:.2} HU");
    // pydicom and Pillow, all 1342595 pixels of the liver: 140.99 ± 34.12.
    assert!((mean - 140.99).abs() < 0.5 && (deviation - 34.12).abs() < 0.5, "{mean} ± {deviation}");
    let case = rows::<CaseRow>(dataset).into_iter().find(|case| case.source == "chaos").unwrap();
    assert_eq!((case.modality.as_str(), case.spacing), ("CT", Some(vec![0.7265625, 0.7265625, 2.0])));
}

#[test]
fn the_hearts_of_acdc_have_the_volumes_of_hearts() {
    let Some((dataset, _)) = samples::built() else { return };
    let cases = rows::<CaseRow>(dataset);
    let cases: BTreeMap<&str, &CaseRow> = cases.iter().map(|case| (case.case_id.as_str(), case)).collect();
    let masks = rows::<MaskRow>(dataset);
    let volume = |case: &str, object: &str| -> f64 {
        // pixdim's spacing: the affine of these files claims 1 mm.
        let spacing = cases[case].spacing.as_ref().unwrap();
        assert_eq!(spacing, &[1.5625, 1.5625, 10.0]);
        let own = masks.iter().filter(|mask| mask.case_id == case && mask.object == object);
        own.map(|mask| mask.area_mm2.unwrap() * spacing[2] / 1000.0).sum()
    };
    // Patient 1 has a dilated heart: of 295 ml at end diastole it pumps out less than a quarter.
    let (full, emptied) =
        (volume("acdc/patient001_frame01", "left ventricle"), volume("acdc/patient001_frame12", "left ventricle"));
    assert!((full - 295.5).abs() < 0.1 && (emptied - 225.6).abs() < 0.1, "{full} ml, {emptied} ml");
    for case in cases.keys().filter(|case| case.starts_with("acdc/")) {
        let (left, right) = (volume(case, "left ventricle"), volume(case, "right ventricle"));
        let myocardium = volume(case, "left ventricular myocardium");
        assert!((15.0..350.0).contains(&left) && (15.0..250.0).contains(&right), "{case}: {left}, {right} ml");
        // Muscle can not be pressed together: 1.05 g/ml, 80 to 250 g.
        assert!((70.0..250.0).contains(&myocardium), "{case}: {myocardium} ml");
    }
    // The myocardium is a ring around the cavity: its centre is outside of it, its box around the cavity's.
    for ring in masks.iter().filter(|mask| mask.source == "acdc" && mask.label_value == "2") {
        let cavity = masks.iter().find(|mask| mask.slice_id == ring.slice_id && mask.label_value == "3");
        let Some(cavity) = cavity else { continue };
        let [x0, y0, x1, y1] = ring.bbox;
        let [left, top, right, bottom] = cavity.bbox;
        assert!(x0 < left && y0 < top && x1 > right && y1 > bottom, "{}", ring.mask_id);
    }
    let splits: BTreeMap<&str, &str> =
        cases.values().filter(|c| c.source == "acdc").map(|c| (&*c.patient_id, c.split.as_deref().unwrap())).collect();
    assert_eq!(splits, BTreeMap::from([("acdc/patient001", "train"), ("acdc/patient102", "test")]));
}

#[test]
fn the_lesions_of_idrid_are_read_through_their_palettes() {
    let Some((dataset, _)) = samples::built() else { return };
    let masks = rows::<MaskRow>(dataset);
    let found: BTreeMap<&str, u32> =
        masks.iter().filter(|m| m.source == "idrid-2018").map(|m| (m.object.as_str(), m.area_px)).collect();
    // Pillow: sum(convert("RGB").red > 127) of each of the files of one bit.
    let expected = [
        ("optic disc", 213_851),
        ("retinal haemorrhage", 35_430),
        ("retinal hard exudate", 113_286),
        ("retinal microaneurysm", 6_941),
    ];
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn the_zones_of_i2cvb_lie_in_the_prostate() {
    let Some((dataset, _)) = samples::built() else { return };
    let masks: Vec<MaskRow> = rows::<MaskRow>(dataset).into_iter().filter(|mask| mask.source == "i2cvb").collect();
    let case = rows::<CaseRow>(dataset).into_iter().find(|case| case.source == "i2cvb").unwrap();
    assert_eq!((case.modality.as_str(), case.n_slices, case.patient_id.as_str()), ("T2W MRI", 5, "i2cvb/Patient_B"));
    // SpacingBetweenSlices is wrong in these files; the positions are 1.25 mm apart.
    let spacing = case.spacing.unwrap();
    assert!((spacing[0] - 0.67634).abs() < 1e-4 && (spacing[2] - 1.25).abs() < 1e-4, "{spacing:?}");
    for gland in masks.iter().filter(|mask| mask.object == "prostate") {
        let inside = bitmap(gland);
        for zone in masks.iter().filter(|m| m.slice_id == gland.slice_id && m.object.starts_with("prostate p")) {
            let shared = bitmap(zone).iter().zip(&inside).filter(|(a, b)| **a == 1 && **b == 1).count();
            // Drawn by hand on their own: all but the rim agrees. Masks of another slice would not.
            assert!(shared as f64 > 0.9 * zone.area_px as f64, "{}: {shared} of {}", zone.mask_id, zone.area_px);
        }
    }
}

fn vessels(raters: Raters) -> Option<Vec<MaskRow>> {
    let raw = samples::folder("raw")?;
    let out = tempfile::tempdir().unwrap();
    let options = BuildOptions { slices: Options { raters, ..Options::default() }, ..BuildOptions::default() };
    let (dataset, _) = samples::build_with(&raw, out.path(), &["chase-db1", "drive"], &options);
    Some(rows(&dataset))
}

#[test]
fn all_raters_give_masks_of_their_own() {
    let Some(masks) = vessels(Raters::All) else { return };
    let found = masks.iter().map(|row| (row.mask_id.clone(), describe(row))).collect();
    let mut expected = table(include_str!("masks.tsv"));
    expected.retain(|id, _| id.starts_with("drive/") || id.starts_with("chase-db1/"));
    assert_lines(&expected, &found);
    let raters = |case: &str| -> Vec<Option<&str>> {
        masks.iter().filter(|mask| mask.case_id == case).map(|mask| mask.rater.as_deref()).collect()
    };
    assert_eq!(raters("drive/01"), [Some("first observer"), Some("second observer")]);
    assert_eq!(raters("drive/21"), [Some("first observer")], "the training half was drawn once");
}

#[test]
fn a_majority_of_two_raters_is_where_they_agree() {
    let Some(masks) = vessels(Raters::Majority) else { return };
    let found = |case: &str| {
        let own: Vec<&MaskRow> = masks.iter().filter(|mask| mask.case_id == case).collect();
        assert_eq!(own.len(), 1, "{case}");
        (own[0].area_px, own[0].rater.clone().unwrap())
    };
    // Pillow and numpy: sum(first & second).
    assert_eq!(found("drive/01"), (23430, "majority".into()));
    assert_eq!(found("drive/02"), (27785, "majority".into()));
    assert_eq!(found("drive/21").1, "first observer");
}
